use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError, Outline};

/// Makes a vector of an image or a sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlattenLayerConfig {}

/// Vectors of whatever it takes.
#[derive(Module, Debug)]
pub struct Flatten;

impl LayerSettings for FlattenLayerConfig {
    type Layer = Flatten;

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        let len = site.input().len();
        Ok(InputShape::Vector { len })
    }

    fn build(&self, _: &mut Builder, _: &mut Parameters<'_>) -> Result<Flatten, ModelError> {
        Ok(Flatten)
    }
}

impl Layer for Flatten {
    fn run(&self, x: Features, _: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(Features::Vector(x.flat()))
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        outline.flatten();
    }

    fn has_bf16(&self) -> bool {
        true
    }
}
