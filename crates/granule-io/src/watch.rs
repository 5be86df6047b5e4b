//! Who wants to know which files are read and written.

use std::path::Path;
use std::sync::OnceLock;

/// What was done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It was read, or opened to be.
    Read,
    /// Its whole content was written.
    Written,
}

/// Is told of a file and its length in bytes, on the thread that reads or writes it.
pub type FileWatcher = fn(Access, &Path, u64);

static WATCHER: OnceLock<FileWatcher> = OnceLock::new();

/// Has a function told of every file that loaders read and [`write_atomic`](crate::write_atomic) writes from now on, in all
/// threads. The first function stays.
pub fn watch_files(watcher: FileWatcher) {
    WATCHER.get_or_init(|| watcher);
}

/// Tells of a file; for readers that open files themselves.
pub fn tell(access: Access, path: &Path, bytes: u64) {
    if let Some(watcher) = WATCHER.get() {
        watcher(access, path, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;
    use crate::{Bound, open, read, write_atomic};

    static SEEN: Mutex<Vec<(Access, PathBuf, u64)>> = Mutex::new(Vec::new());

    fn note(access: Access, path: &Path, bytes: u64) {
        SEEN.lock().unwrap().push((access, path.to_owned(), bytes));
    }

    #[test]
    fn files_are_told_of_with_their_length() {
        watch_files(note);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watched");
        write_atomic(&path, b"12345").unwrap();
        read(&path, Bound::CONFIGURATION).unwrap();
        open(&path, "a note").unwrap();
        crate::image::read(&path).unwrap();
        let seen = SEEN.lock().unwrap();
        let own = seen.iter().filter(|(_, seen, _)| *seen == path);
        let own: Vec<_> = own.map(|(access, _, bytes)| (*access, *bytes)).collect();
        use Access::{Read, Written};
        assert_eq!(own, [(Written, 5), (Read, 5), (Read, 5), (Read, 5)]);
    }
}
