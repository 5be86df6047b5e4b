//! Files that are either whole or absent.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::FileError;
use crate::open::{is_descriptor, kind};
use crate::watch::{self, Access};

const PREFIX: &str = ".granule-";
const SUFFIX: &str = ".part";

/// Writes a file by way of a temporary one in the same folder: readers see the old content or the new, never a part.
///
/// # Errors
/// [`FileError::Io`] or [`FileError::NoSpace`] with the path of the file, also when its folder is not there;
/// [`FileError::NotReplaced`] where something else than a file stands.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomic`], with a function that writes the content.
///
/// # Errors
/// [`FileError::Io`] or [`FileError::NoSpace`] with the path of the file, also when its folder is not there;
/// [`FileError::NotReplaced`] where something else than a file stands.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), FileError> {
    check_place(path)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = temporary(folder).map_err(|error| FileError::io(path, "write", error))?;
    write(file.as_file_mut())
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| FileError::io(path, "write", error))?;
    let length = file.as_file().metadata().map_or(0, |found| found.len());
    file.persist(path)
        .map_err(|error| FileError::io(path, "rename to", error.error))?;
    // Makes the rename durable where the file system can; the content is safe either way.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    watch::tell(Access::Written, path, length);
    Ok(())
}

/// Refuses to put a file in the place of what is none: of a pipe, a device, a folder or standard output.
fn check_place(path: &Path) -> Result<(), FileError> {
    let kind = match std::fs::metadata(path) {
        _ if is_descriptor(path) => "an open file of this process",
        Ok(found) if !found.is_file() => kind(found.file_type()),
        _ => return Ok(()),
    };
    Err(FileError::NotReplaced {
        path: path.to_path_buf(),
        kind,
    })
}

/// Whether a file is one that [`write_atomic`] was writing: its process was ended before it could rename it.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

/// Whether [`write_atomic`] can make a file at `path`, now and as far as one can know: its folder, or the nearest one above
/// that is there, takes a file, of which nothing is left.
///
/// # Errors
/// [`FileError::Io`] with the path of the file, [`FileError::NotReplaced`] where something else than a file stands.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    let failed = |error| FileError::io(path, "write", error);
    check_place(path)?;
    let mut folders = path.ancestors().skip(1).map(|folder| match folder {
        empty if empty.as_os_str().is_empty() => Path::new("."),
        named => named,
    });
    let folder = folders.find(|folder| folder.symlink_metadata().is_ok());
    temporary(folder.unwrap_or(Path::new(".")))
        .and_then(NamedTempFile::close)
        .map_err(failed)
}

/// A file that goes away unless it is kept.
fn temporary(folder: &Path) -> std::io::Result<NamedTempFile> {
    // Made here and not by the library, whose error would name the temporary file, and whose file the owner alone
    // could read.
    let create = |temporary: &Path| {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(temporary)
    };
    tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .make_in(folder, create)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_place_is_tried_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        check_writable(&dir.path().join("new/er/a.npz")).unwrap();
        check_writable(&dir.path().join("file")).unwrap();
        for wrong in ["", "file/a.npz"] {
            let error = check_writable(&dir.path().join(wrong)).unwrap_err();
            assert!(!error.to_string().contains(".granule-"), "{error}");
        }
        if cfg!(target_os = "linux") {
            assert!(check_writable(Path::new("/proc/self/out.npz")).is_err());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_made_is_named_as_asked_for() {
        let error = write_atomic(Path::new("/proc/self/out.npz"), b"").unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("/proc/self/out.npz: cannot write: "),
            "{message}"
        );
        assert!(!message.contains(PREFIX), "{message}");
        assert!(message.contains("(os error 2)"), "{message}");
    }

    #[test]
    fn replaces_whole_files_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.bin");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new content").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new content");
        let failed = write_atomic_with(&path, |file| {
            let name = fs::read_dir(dir.path())?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<std::io::Result<Vec<_>>>()?;
            assert_eq!(name.iter().filter(|name| is_temporary(name)).count(), 1);
            file.write_all(b"half")?;
            Err(std::io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(failed, Err(FileError::NoSpace { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"new content");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(!is_temporary(OsStr::new("file.bin")));
    }

    #[test]
    fn a_folder_that_is_gone_is_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("gone");
        write_atomic(&folder.join("file"), b"").unwrap_err();
        assert!(!folder.exists());
    }
}
