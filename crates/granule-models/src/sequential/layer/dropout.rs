use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::layers::check_dropout;
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError};

/// Dropout, in training only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DropoutLayerConfig {
    /// The probability of dropping a value, from 0 up to, but not including, 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub probability: f64,
}

/// Dropout.
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    probability: f64,
}

impl LayerSettings for DropoutLayerConfig {
    type Layer = Dropout;

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        check_dropout(&site.field("probability"), self.probability)?;
        Ok(site.input())
    }

    fn build(&self, _: &mut Builder, _: &mut Parameters<'_>) -> Result<Dropout, ModelError> {
        Ok(Dropout {
            probability: self.probability,
        })
    }
}

impl Layer for Dropout {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(match x {
            Features::Vector(x) => Features::Vector(mode.dropout(x, self.probability)),
            Features::Image(x) => Features::Image(mode.dropout(x, self.probability)),
        })
    }
}
