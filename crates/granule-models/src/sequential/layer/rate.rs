use granule_dynamics::Values;
use granule_dynamics::population::{Activation, RateNetworkConfig};
use serde::{Deserialize, Serialize};

use super::LayerSettings;
use crate::layers::check_size;
use crate::parameters::Parameters;
use crate::rate::rate_network;
use crate::sequence::Readout;
use crate::sequential::{Builder, Cells, Recurrent, Site};
use crate::{InputShape, ModelError};

/// A rate network, along the steps of a sequence or the rows of an image; it gives its rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateLayerConfig {
    /// The number of units, 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub units: usize,
    /// r(x). Default relu, whose rates are not negative.
    #[serde(default = "relu")]
    pub activation: Activation,
    /// The time of a step in ms, at most the time constant. Default 20.
    #[serde(default = "twenty")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub dt: f64,
    /// τ in ms. Default 100.
    #[serde(default = "hundred")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub time_constant: f64,
    /// The share of excitatory units, 0 to 1: Dale's law. Unset, weights have any sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
    pub dale_ratio: Option<f64>,
    /// Which steps' rates the layer gives. Default auto.
    #[serde(default)]
    pub readout: Readout,
}

fn relu() -> Activation {
    Activation::Relu
}

fn twenty() -> f64 {
    20.0
}

fn hundred() -> f64 {
    100.0
}

impl RateLayerConfig {
    fn network(&self) -> RateNetworkConfig {
        RateNetworkConfig {
            units: self.units,
            activation: self.activation,
            dt: self.dt,
            time_constant: Values::One(self.time_constant),
            dale_ratio: self.dale_ratio,
            ..RateNetworkConfig::default()
        }
    }
}

impl LayerSettings for RateLayerConfig {
    type Layer = Recurrent;
    const WEIGHT: Option<&'static str> = Some("cells.input");

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        check_size(site.field("units"), self.units)?;
        let network = self.network().validate();
        network.map_err(|error| error.under(site.place()))?;
        Recurrent::shape(site, self.units, self.readout)
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Recurrent, ModelError> {
        Recurrent::build(at, p, self.readout, |inputs, seed, place| {
            let network = rate_network(self.network(), [inputs, 0], seed, place)?;
            Ok(Cells::Rate(network))
        })
    }
}
