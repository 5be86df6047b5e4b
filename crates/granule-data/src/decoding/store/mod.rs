//! Where the arrays of a recording are.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use granule_io::words::printable;

use super::config::{DecodingConfig, wrong};
use super::found::{Found, Suggestion};
use crate::arrays::Array;
use crate::{DataError, reading};

mod folder;
mod grid;
mod guard;
mod hdf5;
mod links;
mod mat;
mod nifti;
mod numbers;
mod numpy;
mod nwb;
mod phy;
pub(crate) mod sonata;
mod spikes;
pub(crate) mod sweeps;
mod table;

/// What HDF5 files begin with.
const HDF5: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// What is read.
const KINDS: &str = "a folder of .npy, NIfTI and CSV files or of sorted spikes, an .npz archive, or a MATLAB (.mat), HDF5, NWB, \
     NIfTI (.nii, .nii.gz) or CSV (.csv, .tsv) file";

/// Names that a message lists.
const MOST_NAMES: usize = 60;

/// What is done with an array that was found.
pub(super) type Read<'r> = &'r mut dyn FnMut(Array<'_>) -> Result<(), DataError>;

/// A file or folder of arrays. Another kind of it is another container, which [`Store::open`] knows.
pub(super) trait Container {
    /// What kind of file it is, in words.
    fn kind(&self) -> &'static str;

    /// The names of the arrays that are there.
    fn names(&mut self) -> Result<Vec<String>, DataError>;

    /// Whether there is an array of this name.
    fn has(&mut self, name: &str) -> Result<bool, DataError>;

    /// Where an array is, for messages.
    fn place(&self, name: &str) -> PathBuf;

    /// Reads an array that is there.
    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError>;

    /// What was taken for granted in what was read.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What an array is that is more than its numbers; none where they say it all.
    fn describe(&mut self, _: &str) -> Result<Option<Found>, DataError> {
        Ok(None)
    }

    /// Whether the shapes of its arrays say what may be decoded from what.
    fn by_shape(&self) -> bool {
        true
    }

    /// Whether it has times, which are brought to bins.
    fn has_times(&self) -> bool {
        false
    }

    /// Whether an array is of volumes, of which a mask keeps voxels.
    fn has_volumes(&self, _: &str) -> bool {
        false
    }

    /// What may be decoded from what, where the file says more than its arrays do.
    fn suggest(&mut self, _: &[Found]) -> Result<Option<Suggestion>, DataError> {
        Ok(None)
    }
}

/// The arrays of a recording.
pub(super) struct Store<'a> {
    path: &'a Path,
    container: Box<dyn Container + 'a>,
}

impl<'a> Store<'a> {
    /// Opens what `recording:PATH` names; `config` says how times become bins, and which voxels are kept.
    ///
    /// # Errors
    /// Where nothing is there, or nothing that holds arrays; where `config` asks for bins of what has no times, or has a mask for
    /// a signal that is not of volumes.
    pub fn open(path: &'a Path, config: Option<&DecodingConfig>) -> Result<Self, DataError> {
        let mut container = container(path, config)?;
        let Some(config) = config else {
            return Ok(Self { path, container });
        };
        if let Some(width) = config.bin_width.filter(|_| !container.has_times()) {
            let allowed = format!(
                "unset: {} has no times, its rows are bins",
                container.kind()
            );
            return Err(wrong("bin_width", width, allowed));
        }
        let signal = &config.signal;
        if let Some(mask) = &config.mask
            && !container.has_volumes(signal)
            && container.has(signal)?
        {
            let place = container.place(signal);
            let allowed = format!("unset: {} is no NIfTI file of voxels", place.display());
            return Err(wrong("mask", format!("{:?}", mask.display()), allowed));
        }
        Ok(Self { path, container })
    }

    /// A single array in a file of its own.
    pub fn of_file(path: &'a Path) -> Self {
        Self {
            path,
            container: Box::new(numpy::File(path)),
        }
    }

    /// What kind of file it is, in words.
    pub fn kind(&self) -> &'static str {
        self.container.kind()
    }

    /// The names of the arrays that are there.
    pub fn names(&mut self) -> Result<Vec<String>, DataError> {
        self.container.names()
    }

    /// Whether there is an array of this name.
    pub fn has(&mut self, name: &str) -> Result<bool, DataError> {
        self.container.has(name)
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
        if !self.has(name)? {
            return Err(missing(key, name, self.path, &self.names()?));
        }
        let mut read = Some(read);
        let mut found = None;
        self.container.read(name, &mut |array| {
            if let Some(read) = read.take() {
                found = Some(read(array)?);
            }
            Ok(())
        })?;
        found.ok_or_else(|| DataError::format(&self.place(name), "holds no array"))
    }

    /// Where an array is.
    pub fn place(&self, name: &str) -> PathBuf {
        self.container.place(name)
    }

    /// What was taken for granted in what was read so far.
    pub fn notes(&mut self) -> Vec<String> {
        self.container.notes()
    }

    /// Whether the shapes of its arrays say what may be decoded from what.
    pub fn by_shape(&self) -> bool {
        self.container.by_shape()
    }

    /// What an array is that is more than its numbers.
    pub fn describe(&mut self, name: &str) -> Result<Option<Found>, DataError> {
        self.container.describe(name)
    }

    /// What may be decoded from what, where the file says more than its arrays do.
    pub fn suggest(&mut self, arrays: &[Found]) -> Result<Option<Suggestion>, DataError> {
        self.container.suggest(arrays)
    }
}

/// What `recording:PATH` names.
fn container<'a>(
    path: &'a Path,
    config: Option<&DecodingConfig>,
) -> Result<Box<dyn Container + 'a>, DataError> {
    let ends_in = |wanted: &str| {
        let end = path.extension();
        end.is_some_and(|end| end.eq_ignore_ascii_case(wanted))
    };
    let mask = |folder: Option<&Path>| Some(folder?.join(config?.mask.as_ref()?));
    Ok(match path {
        path if path.is_dir() && phy::Phy::is_one(path) => Box::new(phy::Phy::new(path, config)?),
        path if path.is_dir() => Box::new(folder::Folder::new(path, mask(Some(path)))),
        path if ends_in("npz") => Box::new(numpy::Npz::open(path)?),
        path if path.exists() && nifti::Nifti::is_one(path) => {
            Box::new(nifti::Nifti::new(path.to_owned(), mask(path.parent())))
        }
        path if path.exists() && (ends_in("csv") || ends_in("tsv")) => {
            Box::new(table::Table::read(path.to_owned())?)
        }
        path if path.exists() => match beginning(path)? {
            start
                if start.starts_with(HDF5.as_slice())
                    || !start.starts_with(b"MATLAB") && has_user_block(path)? =>
            {
                let file = hdf5::Hdf5::open(path)?;
                if nwb::Nwb::is_one(&file)? {
                    Box::new(nwb::Nwb::new(file, config)?)
                } else {
                    Box::new(hdf5::Plain(file))
                }
            }
            start if start.starts_with(b"MATLAB 7.3") => {
                Box::new(mat::Mat73(hdf5::Hdf5::open(path)?))
            }
            start if start.starts_with(b"MATLAB 5.0") => Box::new(mat::Mat::open(path, &start)?),
            _ if ends_in("mat") => {
                let reason = "not a MATLAB file of version 5 to 7.3; save -v7 writes one";
                return Err(DataError::format(path, reason));
            }
            _ => {
                let reason = format!(
                    "a recording is {KINDS}; in Python, numpy.savez(\"recording.npz\", counts=counts, velocity=velocity) makes one"
                );
                return Err(DataError::format(path, reason));
            }
        },
        path => {
            return Err(DataError::Missing {
                path: path.to_owned(),
                what: vec![KINDS.to_owned()],
                hint: match config {
                    Some(_) => "write recording:DIR or recording:FILE",
                    None => "check how it is written, from the folder in which the command runs",
                }
                .to_owned(),
            });
        }
    })
}

/// That a key names no array that is there.
fn missing(key: &str, name: &str, path: &Path, names: &[String]) -> DataError {
    let shown = names.iter().take(MOST_NAMES).map(|name| printable(name));
    let mut listed = shown.collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        listed.push_str("none");
    } else if names.len() > MOST_NAMES {
        listed.push_str(", … (granule data inspect lists all)");
    }
    let place = path.display().to_string();
    let allowed = format!("one of the arrays of {}: {listed}", printable(&place));
    wrong(key, format!("{name:?}"), allowed)
}

/// That what has times is asked for without bins.
fn without_width(name: &str) -> DataError {
    let allowed = format!(
        "a width in s, as in --set data.decoding.bin_width=0.02: {name} has times, which are brought to bins"
    );
    wrong("bin_width", "unset", allowed)
}

/// Whether HDF5 begins behind a block of the user's: at byte 512, 1024, 2048 and so on.
fn has_user_block(path: &Path) -> Result<bool, DataError> {
    let failed = |error| DataError::io(path, "read", error);
    let (mut file, len) = reading::open(path)?;
    let mut at = 512_u64;
    while at.saturating_add(8) <= len {
        let mut found = [0; 8];
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        reading::fill(&mut file, &mut found, path)?;
        if found == *HDF5 {
            return Ok(true);
        }
        at *= 2;
    }
    Ok(false)
}

/// What a file begins with.
fn beginning(path: &Path) -> Result<Vec<u8>, DataError> {
    let (file, _) = reading::open(path)?;
    let mut start = Vec::new();
    let read = file.take(128).read_to_end(&mut start);
    read.map_err(|error| DataError::io(path, "read", error))?;
    Ok(start)
}
