use std::io;

use thiserror::Error;

use super::{KINDS, MAX_SIDE};
use crate::{ByteSize, MemoryError};

/// Why an image cannot be used. The file is named by who asked for it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The operating system refused.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The file stops before its end.
    #[error("truncated: {missing}; copy or fetch the file again")]
    Truncated {
        /// What is not there.
        missing: String,
    },
    /// The content contradicts itself.
    #[error("a damaged image: {reason}")]
    Damaged {
        /// What the decoder says.
        reason: String,
    },
    /// The bytes are not those of an image that is read.
    #[error("not an image of a kind that is read ({KINDS}){}", seems(*.found))]
    Kind {
        /// What they seem to be, where that is known.
        found: Option<&'static str>,
    },
    /// The program was built without the readers of image files.
    #[error(
        "files of images are not read by this program: build granule with its feature `images`, or give the pixels"
    )]
    NotBuilt,
    /// The image has a form of its kind that is not read.
    #[error("an image of a form that is not read: {reason}; save it as an ordinary PNG or JPEG")]
    Form {
        /// What the decoder says.
        reason: String,
    },
    /// The image is larger than any that is decoded.
    #[error(
        "{width}×{height} pixels, which take {} to decode; at most {} and {MAX_SIDE} pixels a side are decoded; scale it \
         down first",
        ByteSize(*.needed), ByteSize(*.limit)
    )]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes that decoding takes.
        needed: u64,
        /// Bytes that decoding may take.
        limit: u64,
    },
    /// The file is larger than any image that is read.
    #[error("more than {} in one image file, which is the most that is read", ByteSize(*.limit))]
    FileTooLarge {
        /// The most bytes of one file.
        limit: u64,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The image has another size than is wanted, and resizing was not asked for.
    #[error("{}×{} pixels, {}×{} are wanted", found.0, found.1, expected.0, expected.1)]
    Size {
        /// Width and height found.
        found: (usize, usize),
        /// Width and height wanted.
        expected: (usize, usize),
    },
}

fn seems(found: Option<&str>) -> String {
    found.map_or_else(String::new, |found| format!("; it is {found}"))
}

impl ImageError {
    pub(super) fn truncated(missing: impl Into<String>) -> Self {
        Self::Truncated {
            missing: missing.into(),
        }
    }

    /// Sorts what a decoder says.
    pub(super) fn from_decoder(error: image::ImageError) -> Self {
        match error {
            image::ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::truncated("it stops in the middle of its pixels")
            }
            image::ImageError::IoError(error) => Self::Io(error),
            image::ImageError::Limits(_) => Self::Damaged {
                reason: "it claims to be larger than any image".to_owned(),
            },
            image::ImageError::Unsupported(error) => Self::Form {
                reason: error.to_string(),
            },
            error => Self::Damaged {
                reason: error.to_string(),
            },
        }
    }
}
