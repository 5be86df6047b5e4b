//! The one error type of this crate.

use granule_io::words::short;
use granule_io::{ConfigError, FileError};

/// What can go wrong when a dynamical model is configured, simulated or differentiated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DynamicsError {
    /// A setting is outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A state became NaN or infinite.
    #[error(
        "{variable} is no longer finite at t = {time} (batch {batch}, unit {unit}); take a smaller dt, another solver, or look at the input there"
    )]
    NonFinite {
        /// The end of the step after which it was so.
        time: f64,
        /// The state variable.
        variable: String,
        /// The row.
        batch: usize,
        /// The column.
        unit: usize,
    },
    /// A state is finite, but so large that no model has it: the steps are unstable.
    #[error(
        "{variable} = {} at t = {time} (batch {batch}, unit {unit}) is far outside its range, {} to {}: the run blows up; take a smaller dt, another solver, or look at the input there",
        short(*.value), short(*.low), short(*.high)
    )]
    Runaway {
        /// The end of the step after which it was so.
        time: f64,
        /// The state variable.
        variable: String,
        /// The row.
        batch: usize,
        /// The column.
        unit: usize,
        /// The value.
        value: f64,
        /// The lowest value allowed.
        low: f64,
        /// The highest value allowed.
        high: f64,
    },
    /// An adaptive solver cannot meet its tolerance with a step it can represent.
    #[error(
        "the step at t = {time} shrank to {dt:e} without meeting the tolerance in {variable} (batch {batch}, unit {unit}); loosen the tolerance or look for a discontinuity there"
    )]
    StepTooSmall {
        /// The beginning of the step.
        time: f64,
        /// The step that was refused.
        dt: f64,
        /// The state variable with the largest error.
        variable: String,
        /// Its row.
        batch: usize,
        /// Its column.
        unit: usize,
    },
    /// A run needs more steps than it may take.
    #[error(
        "{steps} steps reached only t = {time}, with {variable} (batch {batch}, unit {unit}) holding the step back; allow more steps or loosen the tolerance"
    )]
    TooManySteps {
        /// The steps taken.
        steps: usize,
        /// How far they came.
        time: f64,
        /// The state variable with the largest error.
        variable: String,
        /// Its row.
        batch: usize,
        /// Its column.
        unit: usize,
    },
    /// An iteration on the host did not come to its end.
    #[error("{what} did not converge in {iterations} iterations")]
    NotConverged {
        /// The method.
        what: String,
        /// How long it was tried.
        iterations: usize,
    },
    /// Tensors do not fit together.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        what: String,
        /// The shape that fits.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// Two quantities that are joined have different units, or are different things.
    #[error("{from} is {found}, {to} takes {expected}; conversions that fit: {fits}")]
    Units {
        /// The source.
        from: String,
        /// The destination.
        to: String,
        /// What the destination takes: a unit, or what it has to be.
        expected: String,
        /// What the source is, as `in mV` or `a gate`.
        found: String,
        /// The couplers' conversions that would do.
        fits: String,
    },
    /// A solver needs a form of the equations that a model does not offer.
    #[error("the solver {solver} needs {needed}, which {model} does not offer; use {instead}")]
    Unsupported {
        /// The solver.
        solver: String,
        /// The missing form.
        needed: String,
        /// The model.
        model: String,
        /// What to use.
        instead: String,
    },
    /// The run was asked to [stop](crate::Stop) inside a step.
    #[error("the run was stopped")]
    Stopped,
    /// A file that a setting names cannot be read.
    #[error("{field}: {source}")]
    File {
        /// The setting.
        field: String,
        /// Why not, with the file.
        source: FileError,
    },
    /// What is in a file that a setting names cannot be used.
    #[error("{field}: {reason}")]
    Content {
        /// The setting.
        field: String,
        /// What is wrong, with the file.
        reason: String,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] granule_io::MemoryError),
    /// The device failed.
    #[error("the device failed: {reason}")]
    Device {
        /// What it said.
        reason: String,
    },
}

impl DynamicsError {
    /// A setting outside its range.
    pub fn config(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        ConfigError::new(field, value, allowed).into()
    }

    /// A setting that has no value.
    pub(crate) fn missing(field: impl Into<String>) -> Self {
        Self::config(field, "nothing", "a value")
    }

    /// The same error, with the place of the table that a setting belongs to.
    #[must_use]
    pub fn under(self, place: &str) -> Self {
        match self {
            Self::Config(error) => error.under(place).into(),
            Self::File { field, source } => Self::File {
                field: ConfigError::new(field, "", "").under(place).field,
                source,
            },
            Self::Content { field, reason } => Self::Content {
                field: ConfigError::new(field, "", "").under(place).field,
                reason,
            },
            other => other,
        }
    }

    /// A file that a setting names cannot be read, or does not fit into memory.
    pub(crate) fn file(field: &str, error: FileError) -> Self {
        match error {
            FileError::Memory(error) => error.into(),
            source => Self::File {
                field: field.to_owned(),
                source,
            },
        }
    }

    pub(crate) fn device(reason: impl std::fmt::Display) -> Self {
        Self::Device {
            reason: reason.to_string(),
        }
    }
}
