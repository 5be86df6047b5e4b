use std::path::PathBuf;

use crate::data::DataError;
use crate::data::numbers::read_course;
use crate::io::path::expand;
use crate::simulate::{ReadError, ReadSamples, Samples};

/// Reads the files that a simulation names, from a folder where their paths are relative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesFrom {
    /// The folder; empty for the current one.
    pub folder: PathBuf,
}

impl ReadSamples for FilesFrom {
    fn read(&self, file: &std::path::Path, array: Option<&str>) -> Result<Samples, ReadError> {
        let course =
            read_course(&self.folder.join(expand(file)), array).map_err(|error| match error {
                DataError::Memory(error) => ReadError::Memory(error),
                error if error.is_of_file() => ReadError::Content(error.to_string()),
                error => ReadError::File(error.to_string()),
            })?;
        Ok(Samples {
            times: course.times,
            width: course.width,
            values: course.values,
            unit: course.unit,
            times_have_unit: course.times_have_unit,
        })
    }
}
