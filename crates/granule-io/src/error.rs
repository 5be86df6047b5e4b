use std::io;
use std::path::{Path, PathBuf};

use crate::{ByteSize, MemoryError};

/// Why a file could not be read or written. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted: "read", "write", "rename to".
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The disk is full.
    #[error("{}: no space left on the disk; free some or choose another folder", path.display())]
    NoSpace {
        /// The file being written.
        path: PathBuf,
    },
    /// The file is larger than such a file can be.
    #[error(
        "{}: {what} is at most {limit} long, this file has {}; is it the right file?", path.display(), Length(*found)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What the file should hold: "a configuration".
        what: &'static str,
        /// The most that is read.
        limit: ByteSize,
        /// Its length in bytes, if that is known.
        found: Option<u64>,
    },
    /// A folder, a device, a pipe or a socket stands where a file was expected.
    #[error("{}: this is {kind}, not a file with {what}", path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
        /// What kind it is: "a folder".
        kind: &'static str,
        /// What the file should hold.
        what: &'static str,
    },
    /// Something else than a file stands where one was to be written.
    #[error("{}: {kind} stands there, which is not replaced by a file; give another name", path.display())]
    NotReplaced {
        /// The place.
        path: PathBuf,
        /// What kind it is: "a pipe".
        kind: &'static str,
    },
    /// A file of text holds something else.
    #[error("{}: this is {}; {what} was expected", path.display(), instead.unwrap_or("not text"))]
    NotText {
        /// The file.
        path: PathBuf,
        /// What the file should hold.
        what: &'static str,
        /// What it is instead, if that is known.
        instead: Option<&'static str>,
    },
    /// The content does not fit into memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::NoSpace {
                path: path.to_path_buf(),
            };
        }
        Self::Io {
            path: path.to_path_buf(),
            action,
            source,
        }
    }
}

struct Length(Option<u64>);

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(bytes) => ByteSize(bytes).fmt(f),
            None => f.write_str("more"),
        }
    }
}
