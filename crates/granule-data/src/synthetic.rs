//! Digits drawn by code.

use crate::{DataError, Dataset};

/// The `synthetic-digits` set for a seed.
///
/// # Errors
/// Those of [`Dataset::new`].
pub fn digits(seed: u64) -> Result<Dataset, DataError> {
    let _ = seed;
    Err(DataError::invalid(
        "dataset",
        "synthetic-digits",
        "not available yet",
    ))
}
