//! The formats, a file each.

mod npz;
mod pickle;
mod pytorch;
mod safetensors;

use std::io;
use std::path::Path;

use crate::exporting::Described;
use crate::weights::Weights;
use crate::{InterchangeError, onnx};

/// The formats, by the order in which they are listed.
pub static FORMATS: &[&Format] = &[
    &safetensors::FORMAT,
    &onnx::FORMAT,
    &npz::FORMAT,
    &pytorch::FORMAT,
];

/// Opens a file, and reads what it says of its tensors.
type Open = fn(&Path) -> Result<Box<dyn Weights>, InterchangeError>;

/// Writes a model.
type Write = fn(&Described<'_>, &mut dyn io::Write) -> Result<(), InterchangeError>;

/// A format of files.
#[derive(Debug)]
pub struct Format {
    pub(crate) name: &'static str,
    /// How names of files end, without the point.
    pub(crate) extensions: &'static [&'static str],
    /// What such a file is.
    pub(crate) summary: &'static str,
    pub(crate) open: Open,
    /// None where it is read alone.
    pub(crate) write: Option<Write>,
}

impl Format {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How names of its files end, without the point.
    pub fn extensions(&self) -> &'static [&'static str] {
        self.extensions
    }

    /// What such a file is.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// Whether it is written as well as read.
    pub fn is_written(&self) -> bool {
        self.write.is_some()
    }

    /// The format of this name.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::UnknownFormat`] lists those that exist.
    pub fn from_name(name: &str) -> Result<&'static Self, InterchangeError> {
        let mut formats = FORMATS.iter().copied();
        let unknown = || InterchangeError::UnknownFormat {
            name: name.to_owned(),
        };
        formats
            .find(|format| format.name == name)
            .ok_or_else(unknown)
    }

    /// The format that the end of a file's name says.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::NoFormat`].
    pub fn of_path(path: &Path) -> Result<&'static Self, InterchangeError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let extension = extension.map(str::to_ascii_lowercase);
        let mut formats = FORMATS.iter().copied();
        let fits = |format: &&Self| {
            let mut extensions = format.extensions.iter();
            extensions.any(|one| Some(*one) == extension.as_deref())
        };
        formats
            .find(fits)
            .ok_or_else(|| InterchangeError::NoFormat {
                path: path.to_owned(),
            })
    }
}
