use granule_io::image::{Background, Channels, Resize, Size};
use serde::{Deserialize, Serialize};

use crate::DataError;

/// What is done with an image file that stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Truncated {
    /// The folder is refused, and the file named.
    #[default]
    Error,
    /// It is left out, and a warning says how many were.
    Skip,
}

/// How the image files of a folder become samples of one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// Grey or colour; absent: grey when every image is.
    pub channels: Option<Channels>,
    /// What images are brought to; absent: all must be of one size.
    pub size: Option<Size>,
    /// How an image of another size is brought to it; absent: it is refused.
    pub resize: Option<Resize>,
    /// What transparent pixels are laid over, and what lies beside an image that is padded.
    pub background: Background,
    /// What is done with a file that stops before its end.
    pub truncated: Truncated,
}

impl ImageOptions {
    pub(crate) fn validate(&self) -> Result<(), DataError> {
        match (self.size, self.resize) {
            (Some(size), _) if !size.is_allowed() => Err(DataError::invalid(
                "size",
                size,
                format!("1 to {} pixels a side", Size::MAX),
            )),
            (None, Some(resize)) => Err(DataError::invalid(
                "resize",
                format!("{:?}", resize.to_string()),
                "only with a size: size = 64, or size = [height, width]",
            )),
            _ => Ok(()),
        }
    }
}
