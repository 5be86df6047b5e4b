//! The one error type of this crate.

use std::path::{Path, PathBuf};

use granule_dynamics::DynamicsError;
use granule_io::image::ImageError;
use granule_io::words::counted;
use granule_io::{ConfigError, FileError, MemoryError};

/// What can go wrong when a model is configured, built, stored, loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No model has this name.
    #[error("there is no model \"{name}\"; the models are {known}")]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// Two types of a program have the same name for a model, or one has that of a model of granule.
    #[error("there is another model called \"{kind}\"; give yours a KIND of its own")]
    KindTaken {
        /// The name.
        kind: &'static str,
    },
    /// A model has a parameter under another path than it was asked for.
    #[error(
        "the model's parameter {path} was {}; ask Parameters for it by the name of its field, within scope for what is \
         deeper", Asked(.asked)
    )]
    ParameterPath {
        /// Where the model has it.
        path: String,
        /// The path it was asked for by; none when it is from elsewhere.
        asked: Option<String>,
    },
    /// A setting is outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A layer does not fit what it is given.
    #[error("{layer} {problem}")]
    Layer {
        /// Its place in the configuration and its kind, as `layer[3] (dense)`.
        layer: String,
        /// What it takes, what it is given, and what to do.
        problem: String,
    },
    /// A tensor that the model needs is missing.
    #[error("the tensor \"{name}\" is missing; these weights belong to another model")]
    MissingTensor {
        /// The parameter's path, for example `layers.0.weight`.
        name: String,
    },
    /// A tensor is there that the model does not have.
    #[error("the model has no tensor \"{name}\"; these weights belong to another model")]
    UnexpectedTensor {
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape than the model's.
    #[error(
        "the tensor \"{name}\" has shape {found:?}, the model needs {expected:?}; these weights belong to another model"
    )]
    TensorShape {
        /// The parameter's path.
        name: String,
        /// The shape the model has.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A setting would replace what was learnt and has no place in the configuration.
    #[error(
        "what is set would replace the learnt \"{name}\", for which the configuration has no value; take that setting back"
    )]
    LearntReplaced {
        /// The parameter's path.
        name: String,
    },
    /// A model file names another number of outputs than its weights give.
    #[error(
        "what it says of its outputs does not fit its weights: it has {}, and weights for {weights}; take another copy",
        counted(*named, noun)
    )]
    Outputs {
        /// The number of classes or values that it names.
        named: usize,
        /// What they are: `class` or `value`.
        noun: &'static str,
        /// The number of values that its weights give.
        weights: usize,
    },
    /// A tensor holds NaN or infinity.
    #[error(
        "the tensor \"{name}\" holds a value that is not finite, at index {index}; the model is damaged or diverged"
    )]
    NonFiniteTensor {
        /// The parameter's path.
        name: String,
        /// The first such element, counted row-major.
        index: usize,
    },
    /// There is no model where one was looked for.
    #[error("{}: {reason}", path.display())]
    NoModel {
        /// What was named.
        path: PathBuf,
        /// What is there instead, and what to do.
        reason: String,
    },
    /// The bytes are not a granule model file, or a damaged one.
    #[error("not a usable model file: {reason}")]
    Format {
        /// What is wrong with it.
        reason: String,
    },
    /// The content of a model file does not match its checksum.
    #[error(
        "the model file is damaged: its CRC-32 is {found:08x}, it says {expected:08x}; take another copy"
    )]
    Checksum {
        /// The checksum written in the file.
        expected: u32,
        /// The checksum of what was found.
        found: u32,
    },
    /// The file was written by a later version of granule.
    #[error(
        "the model file has format version {found}, this program reads up to version {supported}; use a newer granule"
    )]
    Version {
        /// The version found.
        found: u32,
        /// The newest version understood.
        supported: u32,
    },
    /// Something went wrong with a particular file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<ModelError>,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The operating system refused.
    #[error("{action}: {source}")]
    Io {
        /// What was tried, for example `cannot read`.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The sample has the wrong number of values.
    #[error("the model takes {expected}, but {} given", were(*found))]
    InputLength {
        /// What the model takes, in words.
        expected: String,
        /// The number of values given.
        found: usize,
    },
    /// The image has another size than the model's input.
    #[error(
        "the model takes images of {expected_width}×{expected_height} pixels, this one has {width}×{height}; \
         crop it, or ask for resizing with `.resizing(true)`"
    )]
    ImageSize {
        /// Width of the model's input in pixels.
        expected_width: usize,
        /// Height of the model's input in pixels.
        expected_height: usize,
        /// Width given in pixels.
        width: usize,
        /// Height given in pixels.
        height: usize,
    },
    /// The model takes vectors, or has a channel count that no image has.
    #[error("the model takes {expected}, not an image")]
    NotAnImageModel {
        /// What the model takes, in words.
        expected: String,
    },
    /// The image cannot be used.
    #[error("{source}")]
    Image {
        /// The reason.
        source: ImageError,
    },
    /// The numbers of an image are not intensities.
    #[error("the image cannot be used: {0}")]
    Intensity(#[from] granule_io::IntensityError),
    /// A value of the sample is NaN or infinite.
    #[error("the value at index {index} is {value}; every value must be finite")]
    NonFiniteInput {
        /// The index of the value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The model gives values, not classes.
    #[error(
        "the model gives {outputs} real values, not classes; use `Predictor` instead of `Classifier`"
    )]
    NotAClassifier {
        /// The number of values.
        outputs: usize,
    },
    /// The model has no state that goes from step to step.
    #[error(
        "the model has no state that goes from step to step; those that have are rate, wilson-cowan, gru and lstm"
    )]
    NotRecurrent,
    /// The model computed NaN or infinity from finite values.
    #[error(
        "the model computed a value that is not finite; the input is far outside what it was trained on"
    )]
    NonFiniteOutput,
    /// A network of neural dynamics cannot be built.
    #[error(transparent)]
    Dynamics(DynamicsError),
    /// Products in bfloat16 are asked for, in training, of a model that has others.
    #[error(
        "a stream with factors in bfloat16 is for models that have them, as Model::has_bf16 says; this one is trained with \
         Factors::Full"
    )]
    NoBf16,
    /// The device failed.
    #[error("the device failed: {reason}")]
    Device {
        /// Burn's answer.
        reason: String,
    },
}

impl From<ImageError> for ModelError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Io(source) => Self::Io {
                action: "cannot read",
                source,
            },
            ImageError::Size {
                found: (width, height),
                expected: (expected_width, expected_height),
            } => Self::ImageSize {
                expected_width,
                expected_height,
                width,
                height,
            },
            source => Self::Image { source },
        }
    }
}

impl From<DynamicsError> for ModelError {
    fn from(error: DynamicsError) -> Self {
        match error {
            DynamicsError::Config(error) => error.into(),
            DynamicsError::Device { reason } => Self::Device { reason },
            error => Self::Dynamics(error),
        }
    }
}

impl ModelError {
    /// The same error, with the file it happened in.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            // They name it themselves, or are of no file.
            Self::File(_) | Self::Memory(_) | Self::InFile { .. } | Self::Device { .. } => self,
            error => Self::InFile {
                path: path.to_owned(),
                source: Box::new(error),
            },
        }
    }

    /// A setting outside its range.
    pub fn config(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        ConfigError::new(field, value, allowed).into()
    }

    /// The same error, with the place of the table that a setting belongs to.
    #[must_use]
    pub fn under(self, place: &str) -> Self {
        match self {
            Self::Config(error) => error.under(place).into(),
            other => other,
        }
    }

    /// Whether memory ran out.
    pub fn is_of_memory(&self) -> bool {
        match self {
            Self::Memory(_) | Self::File(FileError::Memory(_)) => true,
            Self::InFile { source, .. } => source.is_of_memory(),
            _ => false,
        }
    }

    pub(crate) fn format(reason: impl std::fmt::Display) -> Self {
        Self::Format {
            reason: reason.to_string(),
        }
    }

    pub(crate) fn device(reason: impl std::fmt::Debug) -> Self {
        Self::Device {
            reason: format!("{reason:?}"),
        }
    }
}

struct Asked<'a>(&'a Option<String>);

impl std::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(asked) => write!(f, "asked for as {asked}"),
            None => f.write_str("not asked for"),
        }
    }
}

/// `1 value was`, `3 values were`.
fn were(values: usize) -> String {
    let verb = if values == 1 { "was" } else { "were" };
    format!("{} {verb}", granule_io::words::counted(values, "value"))
}
