use granule_io::held::{Held, HeldError};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::{AnyLayer, Layer, LayerConfig, LayerSettings, run};
use crate::parameters::Parameters;
use crate::sequential::site::Shown;
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError};

/// Adds what layers give to what they take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResidualLayerConfig {
    /// The layers, of any kind, which give the shape that they take.
    #[serde(rename = "layer", deserialize_with = "inner_layers")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "any_layers"))]
    pub layers: Vec<LayerConfig>,
}

/// Layers within a layer, read so that what is wrong with one is said with its place.
pub(super) fn inner_layers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<LayerConfig>, D::Error> {
    let layers = Deserialize::deserialize(Held::deserialize(deserializer)?);
    layers.map_err(|error: HeldError| D::Error::custom(error.below("layer")))
}

/// Layers within a layer: tables that have a kind. Were it the whole schema again, a list of all keys would never end.
#[cfg(feature = "schema")]
pub(super) fn any_layers(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "type": "object", "additionalProperties": true, "within": "#/$defs/LayerConfig" },
    })
}

impl LayerSettings for ResidualLayerConfig {
    type Layer = Vec<AnyLayer>;

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        if self.layers.is_empty() {
            return Err(site.refused("has no layers; give it some, or leave it out"));
        }
        let given = site.through(&self.layers)?;
        if given != site.input() {
            return Err(site.refused(format_args!(
                "adds what its layers give to what they take, but they give {} and {}; let them keep the shape",
                Shown(given),
                site.before()
            )));
        }
        Ok(given)
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Vec<AnyLayer>, ModelError> {
        at.within(&self.layers, p)
    }

    fn inner(&self) -> Vec<&[LayerConfig]> {
        vec![&self.layers]
    }
}

/// Layers whose result is added to what they take.
impl Layer for Vec<AnyLayer> {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(run(self, x.clone(), mode)?.add(x))
    }

    fn has_bf16(&self) -> bool {
        self.iter().all(Layer::has_bf16)
    }

    fn fixed_count(&self) -> usize {
        self.iter().map(Layer::fixed_count).sum()
    }
}
