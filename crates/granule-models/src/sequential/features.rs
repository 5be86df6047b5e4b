//! What flows between layers.

use burn::tensor::Tensor;

use crate::layers::{to_features, to_images};
use crate::{InputShape, ModelError};

/// What one layer gives to the next, of a batch.
#[derive(Clone, Debug)]
pub enum Features {
    /// `[batch, values]`; the values of a sequence one after the other, step by step.
    Vector(Tensor<2>),
    /// `[batch, channels, height, width]`
    Image(Tensor<4>),
}

impl Features {
    pub(super) fn of_input(x: Tensor<2>, input: &InputShape) -> Self {
        match *input {
            InputShape::Image {
                channels,
                height,
                width,
            } => Self::Image(to_images(x, [channels, height, width])),
            InputShape::Vector { .. } | InputShape::Sequence { .. } => Self::Vector(x),
        }
    }

    /// `[batch, values]` of either form.
    pub fn flat(self) -> Tensor<2> {
        match self {
            Self::Vector(x) => x,
            Self::Image(x) => to_features(x),
        }
    }

    /// `[batch, channels, height, width]`
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] for vectors, which no layer of images [takes](super::Site::misfit).
    pub fn image(self) -> Result<Tensor<4>, ModelError> {
        match self {
            Self::Image(x) => Ok(x),
            Self::Vector(x) => {
                let found = format!("vectors of {}", x.dims()[1]);
                Err(ModelError::config("input", found, "images for this layer"))
            }
        }
    }

    pub(super) fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Image(a), Self::Image(b)) => Self::Image(a.add(b)),
            (a, b) => Self::Vector(a.flat().add(b.flat())),
        }
    }
}
