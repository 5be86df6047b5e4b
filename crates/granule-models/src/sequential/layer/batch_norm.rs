use burn::nn::BatchNorm;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::layers::normalize;
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError, Outline};

/// Batch normalisation of every channel of an image, or of every value of a vector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchNormLayerConfig {}

impl LayerSettings for BatchNormLayerConfig {
    type Layer = BatchNorm;

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        match site.input() {
            InputShape::Sequence { .. } => {
                Err(site.misfit("takes images or vectors", "put a flatten between them"))
            }
            shape => Ok(shape),
        }
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<BatchNorm, ModelError> {
        p.norm(at.index(), at.channels())
    }
}

impl Layer for BatchNorm {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(match x {
            Features::Vector(x) => Features::Vector(normalize(self, x, mode)),
            Features::Image(x) => Features::Image(normalize(self, x, mode)),
        })
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        outline.batch_norm(self);
    }

    fn has_bf16(&self) -> bool {
        true
    }
}
