//! What goes wrong, as a number and in words.

use granule::models::ModelError;

/// What a function answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All went well.
    GranuleOk = 0,
    /// A pointer is NULL, or not aligned.
    GranuleNullPointer = 1,
    /// A path is not UTF-8.
    GranuleNotUtf8 = 2,
    /// A length or a count is not the one that is needed.
    GranuleLength = 3,
    /// A value is not finite, or one that the model does not take.
    GranuleValue = 4,
    /// The model cannot be read, or is damaged.
    GranuleFile = 5,
    /// The model has no such thing: a step of one that is not recurrent.
    GranuleModel = 6,
    /// Computing failed.
    GranuleCompute = 7,
    /// A fault of this library.
    GranulePanic = 8,
    /// What is written lies over what is read, or over something else that is written.
    GranuleOverlap = 9,
}

/// A status other than `GranuleOk`, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(status: Status, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, reason }
    }

    /// Of a model that is loaded.
    pub(crate) fn loading(error: &impl ToString) -> Self {
        Self::new(Status::GranuleFile, error.to_string())
    }
}

/// Of a model that is used.
impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let status = match &error {
            ModelError::InputLength { .. } => Status::GranuleLength,
            ModelError::NonFiniteInput { .. }
            | ModelError::Intensity(_)
            | ModelError::Config(_) => Status::GranuleValue,
            ModelError::NotRecurrent => Status::GranuleModel,
            _ => Status::GranuleCompute,
        };
        Self::new(status, error.to_string())
    }
}
