//! Files of which the whole content is wanted, and of which one knows how long they can be.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use crate::content::BYTE_ORDER_MARK;
use crate::open::{NotRegular, kind, open_regular};
use crate::watch::{self, Access};
use crate::{ByteSize, FileError, budget, content};

/// What a file holds, and how much of it there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What it holds, with its article: "a configuration".
    pub what: &'static str,
    /// The most that is read.
    pub limit: ByteSize,
}

impl Bound {
    /// What a run leaves behind: its steps, its events, its report.
    pub const RECORD: Self = Self {
        what: "a record of a run",
        limit: ByteSize(4 << 30),
    };

    /// A file that people write: a run, an experiment, a list.
    pub const CONFIGURATION: Self = Self {
        what: "a configuration",
        limit: ByteSize(4 << 20),
    };
}

/// Reads a whole file. What is longer than the bound is not read, and nothing is read of what is no file; standard input
/// and a shell's `<(command)`, which have no length, are read as far as the bound.
///
/// # Errors
/// [`FileError`] with the path.
pub fn read(path: &Path, bound: Bound) -> Result<Vec<u8>, FileError> {
    let (file, metadata) = opened(path, bound.what)?;
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
    // A file that grows meanwhile is followed to the bound.
    file.take(bound.limit.0.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| FileError::io(path, "read", e))?;
    if bytes.len() as u64 > bound.limit.0 {
        Err(too_large(None))
    } else {
        watch::tell(Access::Read, path, bytes.len() as u64);
        Ok(bytes)
    }
}

/// As [`read`], of text; a byte-order mark before it is left out.
///
/// # Errors
/// [`FileError`] with the path; what is not UTF-8 is [`FileError::NotText`].
pub fn read_text(path: &Path, bound: Bound) -> Result<String, FileError> {
    let mut bytes = read(path, bound)?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(bytes).map_err(|error| FileError::NotText {
        path: path.to_path_buf(),
        what: bound.what,
        instead: content::instead_of_text(error.as_bytes()),
    })
}

/// Opens a file that has a beginning and an end, and says how long it is.
///
/// # Errors
/// [`FileError`] with the path; `what` says what the file should hold.
pub fn open(path: &Path, what: &'static str) -> Result<(File, u64), FileError> {
    let (file, metadata) = opened(path, what)?;
    if !metadata.is_file() {
        return Err(not_a_file(path, kind(metadata.file_type()), what));
    }
    watch::tell(Access::Read, path, metadata.len());
    Ok((file, metadata.len()))
}

fn opened(path: &Path, what: &'static str) -> Result<(File, Metadata), FileError> {
    open_regular(path).map_err(|error| match NotRegular::of(&error) {
        Some(NotRegular(kind)) => not_a_file(path, kind, what),
        None => FileError::io(path, "read", error),
    })
}

fn not_a_file(path: &Path, kind: &'static str, what: &'static str) -> FileError {
    FileError::NotAFile {
        path: path.to_path_buf(),
        kind,
        what,
    }
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

    #[test]
    fn text_of_other_systems_is_read_or_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, b"\xef\xbb\xbfa = 1").unwrap();
        assert_eq!(read_text(&path, SMALL).unwrap(), "a = 1");
        std::fs::write(&path, b"\xff\xfea\0 \0").unwrap();
        let message = read_text(&path, SMALL).unwrap_err().to_string();
        assert!(message.contains("text in UTF-16"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_no_length_is_bounded() {
        assert!(matches!(
            read(Path::new("/dev/zero"), SMALL),
            Err(FileError::NotAFile { .. })
        ));
        assert!(matches!(
            open(Path::new("/dev/zero"), "a model"),
            Err(FileError::NotAFile { .. })
        ));
        assert!(matches!(
            read(Path::new("/proc/self/status"), SMALL),
            Err(FileError::TooLarge { found: None, .. })
        ));
    }
}
