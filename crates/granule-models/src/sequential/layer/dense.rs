use burn::nn::Linear;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::layers::{check_size, dense};
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError, Outline};

/// A dense layer. It takes vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DenseLayerConfig {
    /// The number of units, 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub units: usize,
}

impl LayerSettings for DenseLayerConfig {
    type Layer = Linear;
    const WEIGHT: Option<&'static str> = Some("weight");

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        check_size(site.field("units"), self.units)?;
        match site.input() {
            InputShape::Vector { .. } => Ok(InputShape::Vector { len: self.units }),
            _ => Err(site.misfit("takes vectors", "put a flatten between them")),
        }
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Linear, ModelError> {
        p.linear(at.index(), [at.input().len(), self.units], at.init())
    }
}

impl Layer for Linear {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(Features::Vector(dense(self, x.flat(), mode)))
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        outline.dense(self);
    }

    fn has_bf16(&self) -> bool {
        true
    }
}
