use burn::nn::LayerNorm;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::layers::{to_features, to_images};
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features};
use crate::{Mode, ModelError};

/// Layer normalisation over all values of a sample, each with a scale and a shift of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LayerNormLayerConfig {}

impl LayerSettings for LayerNormLayerConfig {
    type Layer = LayerNorm;

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<LayerNorm, ModelError> {
        p.layer_norm(at.index(), at.input().len())
    }
}

impl Layer for LayerNorm {
    fn run(&self, x: Features, _: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(match x {
            Features::Vector(x) => Features::Vector(self.forward(x)),
            Features::Image(x) => {
                let [_, channels, height, width] = x.dims();
                let x = self.forward(to_features(x));
                Features::Image(to_images(x, [channels, height, width]))
            }
        })
    }

    fn has_bf16(&self) -> bool {
        true
    }
}
