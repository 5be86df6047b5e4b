//! Files that are either whole or absent.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::DataError;

/// Writes a file by way of a temporary one in the same folder: readers see the old content or the new, never a part.
/// The folder is created when it is absent.
///
/// # Errors
/// [`DataError::Io`] or [`DataError::NoSpace`] with the path of the file.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomic`], with a function that writes the content.
///
/// # Errors
/// [`DataError::Io`] or [`DataError::NoSpace`] with the path of the file.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), DataError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(|error| DataError::io(folder, "create", error))?;
    // Made here and not by the library, whose error would name the temporary file.
    let create = |temporary: &Path| {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(temporary)
    };
    let mut file = tempfile::Builder::new()
        .prefix(".granule-")
        .suffix(".part")
        .make_in(folder, create)
        .map_err(|error| DataError::io(path, "write", error))?;
    write(file.as_file_mut())
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| DataError::io(path, "write", error))?;
    file.persist(path)
        .map_err(|error| DataError::io(path, "rename to", error.error))?;
    // Makes the rename durable where the file system can; the content is safe either way.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_made_is_named_as_asked_for() {
        let error = write_atomic(Path::new("/proc/self/out.npz"), b"").unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("/proc/self/out.npz: cannot write: "),
            "{message}"
        );
        assert!(!message.contains(".granule-"), "{message}");
        assert!(message.contains("(os error 2)"), "{message}");
    }

    #[test]
    fn replaces_whole_files_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/file.bin");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new content").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new content");
        let failed = write_atomic_with(&path, |file| {
            file.write_all(b"half")?;
            Err(std::io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(failed, Err(DataError::NoSpace { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"new content");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
