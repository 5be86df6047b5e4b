use granule_dynamics::population::GatedCell;
use serde::{Deserialize, Serialize};

use super::LayerSettings;
use crate::parameters::Parameters;
use crate::sequence::Readout;
use crate::sequential::{Builder, Recurrent, Site};
use crate::{InputShape, ModelError};

/// Long short-term memory, as gru.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LstmLayerConfig {
    /// The width of the hidden state, 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub units: usize,
    /// Which steps' states the layer gives. Default auto.
    #[serde(default)]
    pub readout: Readout,
}

impl LayerSettings for LstmLayerConfig {
    type Layer = Recurrent;
    const WEIGHT: Option<&'static str> = Some("cells.input.weight");

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        Recurrent::gated_shape(site, self.units, self.readout)
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Recurrent, ModelError> {
        Recurrent::gated(at, p, GatedCell::Lstm, self.units, self.readout)
    }
}
