use std::borrow::Cow;
use std::path::PathBuf;
use std::rc::Rc;

use granule_io::image::{self, ImageError};

use crate::parquet::Rows;

/// An encoded image and its class.
pub(crate) struct Sample {
    pub(crate) class: u16,
    pub(crate) image: Encoded,
}

/// Where an encoded image is.
pub(crate) enum Encoded {
    File(PathBuf),
    /// A row of a table.
    Row(Rc<Rows>, usize),
}

impl Sample {
    pub(super) fn bytes(&self) -> Result<Cow<'_, [u8]>, ImageError> {
        match &self.image {
            Encoded::File(path) => image::read(path).map(Cow::Owned),
            Encoded::Row(rows, row) => Ok(Cow::Borrowed(rows.image(*row))),
        }
    }

    /// What a message calls it.
    pub(super) fn place(&self) -> PathBuf {
        match &self.image {
            Encoded::File(path) => path.clone(),
            Encoded::Row(rows, row) => rows.place(*row),
        }
    }
}
