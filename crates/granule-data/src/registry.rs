//! Published data sets: file names, sizes, checksums, addresses.

/// One published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedFile {
    /// File name.
    pub name: &'static str,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: &'static str,
    /// Addresses, best first.
    pub mirrors: &'static [&'static str],
}

/// One published data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Name, also that of its folder: `mnist`.
    pub name: &'static str,
    /// Its files.
    pub files: &'static [PublishedFile],
}

/// The published set of that name.
pub fn find(name: &str) -> Option<&'static Published> {
    let _ = name;
    None
}
