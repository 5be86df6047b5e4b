use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::DataError;

thread_local! {
    static GUARDED: Cell<usize> = const { Cell::new(0) };
}

/// Whether a panic on this thread ends as an error about a damaged file: for a panic hook, which otherwise reports it as
/// a fault of the program.
#[must_use]
pub fn answers_for_panics() -> bool {
    GUARDED.get() > 0
}

/// Calls the reader of HDF5, which is made to answer any file by an error; should a damaged one yet make it panic, that is
/// the error that the file is damaged. All calls of it go through here.
///
/// # Errors
/// [`DataError::Format`] with what the reader says, [`DataError::Corrupt`] for a panic.
pub(super) fn guarded<T>(
    path: &Path,
    call: impl FnOnce() -> Result<T, hdf5_pure::Error>,
) -> Result<T, DataError> {
    GUARDED.set(GUARDED.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(GUARDED.get() - 1);
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(hdf5_pure::Error::Io(error))) => Err(DataError::io(path, "read", error)),
        Ok(Err(error)) => Err(DataError::format(
            path,
            format!("damaged, or HDF5 of a kind that is not read: {error}"),
        )),
        Err(_) => Err(DataError::corrupt(
            path,
            "its HDF5 structure makes no sense",
        )),
    }
}
