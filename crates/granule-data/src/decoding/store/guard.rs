use std::path::Path;

use granule_io::answered;
use hdf5_pure::FormatError;

use crate::DataError;

/// Calls the reader of HDF5, which is made to answer any file by an error; should a damaged one yet make it panic, that is
/// the error that the file is damaged. All calls of it go through here.
///
/// # Errors
/// [`DataError::Format`] with what the reader says, [`DataError::Corrupt`] for a panic.
pub(super) fn guarded<T>(
    path: &Path,
    call: impl FnOnce() -> Result<T, hdf5_pure::Error>,
) -> Result<T, DataError> {
    match answered(call) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(hdf5_pure::Error::Io(error))) => Err(DataError::io(path, "read", error)),
        Ok(Err(hdf5_pure::Error::FileMarkedInUse(_))) => {
            let reason = format!(
                "it is open for writing, or a program ended without closing it: close it there, or, where no program has \
                 it open, h5clear -s {} sets it right",
                path.display()
            );
            Err(DataError::format(path, reason))
        }
        Ok(Err(hdf5_pure::Error::Format(
            error @ (FormatError::UnsupportedFilter(_)
            | FormatError::UnsupportedZfp(_)
            | FormatError::UnsupportedVirtualLayout
            | FormatError::UnsupportedExternalStorage),
        ))) => Err(DataError::format(
            path,
            format!(
                "stored in a way that is not read: {error}; copied by h5repack -l CONTI -f NONE it is"
            ),
        )),
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
