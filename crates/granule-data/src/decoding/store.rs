use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use granule_io::words::printable;

use super::config::wrong;
use crate::arrays::{Archive, Array};
use crate::{DataError, reading};

/// What an array's file ends with.
const END: &str = ".npy";

/// Where the arrays of a recording are.
pub(super) enum Store<'a> {
    Folder(&'a Path),
    Archive(Box<Archive<'a, BufReader<File>>>, &'a Path),
}

impl<'a> Store<'a> {
    pub fn open(path: &'a Path) -> Result<Self, DataError> {
        let is_archive = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("npz"));
        match path {
            path if path.is_dir() => Ok(Self::Folder(path)),
            path if is_archive => Ok(Self::Archive(Box::new(Archive::open(path)?), path)),
            path if path.exists() => Err(DataError::format(
                path,
                "a recording is a folder of .npy files or an .npz archive; in Python, numpy.savez(\"recording.npz\", \
                 counts=counts, velocity=velocity) makes one, of a .mat file with what scipy.io.loadmat reads",
            )),
            path => Err(DataError::Missing {
                path: path.to_owned(),
                what: vec!["a folder of .npy files, or an .npz archive".to_owned()],
                hint: "write recording:DIR or recording:FILE.npz".to_owned(),
            }),
        }
    }

    /// Reads the array that a key of the configuration names.
    ///
    /// # Errors
    /// [`DataError::Config`] with the arrays that are there, where there is none of this name; those of `read`.
    pub fn read<T>(
        &mut self,
        key: &str,
        name: &str,
        read: impl FnOnce(Array<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let is_there = match self {
            Self::Folder(_) => self.place(name).is_file(),
            Self::Archive(archive, _) => archive.has(name),
        };
        if !is_there {
            let (Self::Folder(path) | Self::Archive(_, path)) = self;
            let allowed = format!(
                "one of the arrays of {}: {}",
                path.display(),
                self.listed()?
            );
            return Err(wrong(key, format!("{name:?}"), allowed));
        }
        let place = self.place(name);
        match self {
            Self::Archive(archive, _) => archive.read(name, read),
            Self::Folder(_) => {
                let (file, len) = reading::open(&place)?;
                read(Array::plain(&mut BufReader::new(file), len, &place)?)
            }
        }
    }

    /// Where an array is.
    pub fn place(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(format!("{name}{END}")),
            Self::Archive(_, path) => PathBuf::from(format!("{}!{name}", path.display())),
        }
    }

    /// The names of the arrays that are there.
    fn listed(&self) -> Result<String, DataError> {
        let folder = match self {
            Self::Archive(archive, _) => return Ok(archive.listed()),
            Self::Folder(folder) => folder,
        };
        let failed = |error| DataError::io(folder, "read", error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            names.extend(name.strip_suffix(END).map(printable));
        }
        names.sort_unstable();
        Ok(match names.as_slice() {
            [] => format!("none, no name ends in {END}"),
            names => names.join(", "),
        })
    }
}
