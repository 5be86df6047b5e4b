//! Arrays as NumPy writes them.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{Container, Read};
use crate::arrays::{Archive, Array};
use crate::{DataError, reading};

/// What an array's file ends with.
pub(super) const END: &str = ".npy";

/// The `.npy` files of a folder.
pub(super) struct Folder<'a>(pub &'a Path);

impl Container for Folder<'_> {
    fn kind(&self) -> &'static str {
        "a folder of .npy files"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        let failed = |error| DataError::io(self.0, "read", error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            // What is no text nobody can name.
            let name = name.to_str().and_then(|name| name.strip_suffix(END));
            names.extend(name.map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        // What it is, if it is no file, is told where it is read.
        Ok(!name.is_empty() && self.place(name).symlink_metadata().is_ok())
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}{END}"))
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        of_file(&self.place(name), read)
    }
}

/// A single `.npy` file, whose array is called as the file is.
pub(super) struct File<'a>(pub &'a Path);

impl File<'_> {
    fn name(&self) -> String {
        let name = self.0.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

impl Container for File<'_> {
    fn kind(&self) -> &'static str {
        "an .npy file"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        Ok(vec![self.name()])
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(name == self.name())
    }

    fn place(&self, _: &str) -> PathBuf {
        self.0.to_owned()
    }

    fn read(&mut self, _: &str, read: Read<'_>) -> Result<(), DataError> {
        of_file(self.0, read)
    }
}

/// Reads an `.npy` file.
pub(super) fn of_file(path: &Path, read: Read<'_>) -> Result<(), DataError> {
    let (file, len) = reading::open(path)?;
    read(Array::plain(&mut BufReader::new(file), len, path)?)
}

/// An `.npz` archive.
pub(super) struct Npz<'a> {
    archive: Archive<'a, BufReader<std::fs::File>>,
    path: &'a Path,
}

impl<'a> Npz<'a> {
    pub fn open(path: &'a Path) -> Result<Self, DataError> {
        let archive = Archive::open(path)?;
        Ok(Self { archive, path })
    }
}

impl Container for Npz<'_> {
    fn kind(&self) -> &'static str {
        "an .npz archive"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        Ok(self.archive.keys())
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(self.archive.has(name))
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}!{name}", self.path.display()))
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        self.archive.read(name, read)
    }
}
