use std::path::{Path, PathBuf};

use granule_data::DataError;
use granule_io::words::{counted, first_of};
use granule_io::{FileError, MemoryError};
use granule_models::ModelError;
use granule_models::state::Mismatch;

use crate::FORMATS;

/// The most tensors that one message names.
const MOST_NAMED: usize = 8;

/// Why a file of another program could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterchangeError {
    /// No format has this name.
    #[error("there is no format \"{name}\"; the formats are {}", names(|_| true))]
    UnknownFormat {
        /// The name that was asked for.
        name: String,
    },
    /// The name of a file does not say its format.
    #[error("{}: its name does not say its format; end it with {}, or name the format", path.display(), endings())]
    NoFormat {
        /// The file.
        path: PathBuf,
    },
    /// A format is read and not written.
    #[error(
        "{format} is read and not written; write {}",
        names(crate::Format::is_written)
    )]
    ReadOnly {
        /// The format.
        format: &'static str,
    },
    /// The file is damaged, or of another kind than its name says.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A pickle asks for something that is no part of a state dict, which would be run by what reads it.
    #[error(
        "{}: refused: beside tensors it holds {global}, which is code to be run or an object of Python; save the weights alone, \
         by torch.save(model.state_dict(), FILE)", path.display()
    )]
    Code {
        /// The file.
        path: PathBuf,
        /// Module and name of what it asks for.
        global: String,
    },
    /// A graph has operators that no model of granule is made of.
    #[error(
        "{}: it has {}, of which no model of granule is made; import the weights as safetensors or a state dict if the model is \
         one of granule's", path.display(), named(operators)
    )]
    Operators {
        /// The file.
        path: PathBuf,
        /// The operators.
        operators: Vec<String>,
    },
    /// Names or shapes of tensors are not those of the model.
    #[error(
        "{}: these are not the weights of this model, {model}: {}; name the model and settings that they were trained with", path.display(), listed(tensors)
    )]
    Mismatched {
        /// The file.
        path: PathBuf,
        /// The kind of the model.
        model: String,
        /// What is missing, superfluous or of another shape.
        tensors: Vec<Mismatch>,
    },
    /// A weight is not a floating-point number of a type that is read.
    #[error(
        "{}: the tensor \"{tensor}\" has elements of type {element}; weights are float32, float16, bfloat16 or float64", path.display()
    )]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type.
        element: String,
    },
    /// The format cannot say what the model computes.
    #[error(
        "{model} cannot be written as {format}: {reason}; its weights can, as safetensors or npz"
    )]
    Inexpressible {
        /// The kind of the model.
        model: String,
        /// The format.
        format: &'static str,
        /// What keeps it.
        reason: String,
    },
    /// What was written could not be.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
    /// An archive or array could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The model cannot be built, or its weights are no numbers.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl InterchangeError {
    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

fn names(which: impl Fn(&crate::Format) -> bool) -> String {
    let formats = FORMATS.iter().filter(|format| which(format));
    let names: Vec<&str> = formats.map(|format| format.name()).collect();
    names.join(", ")
}

fn endings() -> String {
    let endings = FORMATS.iter().flat_map(|format| format.extensions());
    let endings: Vec<String> = endings.map(|ending| format!(".{ending}")).collect();
    endings.join(", ")
}

fn named(names: &[String]) -> String {
    let count = if names.len() == 1 {
        "the operator"
    } else {
        "the operators"
    };
    format!("{count} {}", first_of(names, MOST_NAMED))
}

/// The first of them, one after the other.
fn listed(tensors: &[Mismatch]) -> String {
    let first = tensors.iter().take(MOST_NAMED).map(ToString::to_string);
    let first = first.collect::<Vec<_>>().join(", ");
    match tensors.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first}, and {} more", counted(more, "tensor")),
    }
}
