//! Files of which the whole content is wanted, and of which one knows how long they can be.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{ByteSize, FileError, budget};

/// What a file holds, and how much of it there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What it holds, with its article: "a configuration".
    pub what: &'static str,
    /// The most that is read.
    pub limit: ByteSize,
}

impl Bound {
    /// A file that people write: a run, an experiment, a list.
    pub const CONFIGURATION: Self = Self {
        what: "a configuration",
        limit: ByteSize(4 << 20),
    };
}

/// Reads a whole file. Its kind and length are looked at first: folders, devices and pipes are refused, and what is longer
/// than the bound is not read.
///
/// # Errors
/// [`FileError`] with the path.
pub fn read(path: &Path, bound: Bound) -> Result<Vec<u8>, FileError> {
    let file = open(path, bound.what)?;
    let metadata = file
        .metadata()
        .map_err(|e| FileError::io(path, "inspect", e))?;
    let length = metadata.len();
    let too_large = |found| FileError::TooLarge {
        path: path.to_path_buf(),
        what: bound.what,
        limit: bound.limit,
        found,
    };
    if length > bound.limit.0 {
        return Err(too_large(Some(length)));
    }
    let expected = usize::try_from(length).map_err(|_| too_large(Some(length)))?;
    // One byte more tells that the end is reached.
    let mut bytes = budget::with_capacity(expected.saturating_add(1), path.display())?;
    // A file that grows meanwhile, and those that /proc says are empty, are followed to the bound.
    file.take(bound.limit.0.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| FileError::io(path, "read", e))?;
    match bytes.len() as u64 > bound.limit.0 {
        true => Err(too_large(None)),
        false => Ok(bytes),
    }
}

/// Opens a file that can be read from its beginning to an end.
fn open(path: &Path, what: &'static str) -> Result<File, FileError> {
    // Asked before it is opened too: opening a pipe waits for its writer.
    let metadata = std::fs::metadata(path).map_err(|e| FileError::io(path, "read", e))?;
    let kind = metadata.file_type();
    if !kind.is_file() {
        return Err(FileError::NotAFile {
            path: path.to_path_buf(),
            kind: match kind.is_dir() {
                true => "a folder",
                false => "a device or a pipe",
            },
            what,
        });
    }
    File::open(path).map_err(|e| FileError::io(path, "read", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bound = Bound {
        what: "a note",
        limit: ByteSize(8),
    };

    #[test]
    fn what_fits_is_read_and_what_does_not_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "12345678").unwrap();
        assert_eq!(read(&path, SMALL).unwrap(), b"12345678");
        File::create(&path).unwrap().set_len(3 << 30).unwrap();
        let message = read(&path, SMALL).unwrap_err().to_string();
        assert!(
            message.ends_with(
                "a note is at most 8 bytes long, this file has 3 GiB; is it the right file?"
            ),
            "{message}"
        );
        let message = read(dir.path(), SMALL).unwrap_err().to_string();
        assert!(
            message.ends_with("this is a folder, not a file with a note"),
            "{message}"
        );
        assert!(matches!(
            read(&dir.path().join("absent"), SMALL),
            Err(FileError::Io { action: "read", .. })
        ));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn devices_are_refused_and_files_without_a_length_are_bounded() {
        assert!(matches!(
            read(Path::new("/dev/zero"), SMALL),
            Err(FileError::NotAFile {
                kind: "a device or a pipe",
                ..
            })
        ));
        assert!(matches!(
            read(Path::new("/proc/self/status"), SMALL),
            Err(FileError::TooLarge { found: None, .. })
        ));
    }
}
