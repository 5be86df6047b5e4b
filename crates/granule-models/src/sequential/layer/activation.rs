use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features};
use crate::{Activation, Mode, ModelError, Outline};

macro_rules! activations {
    ($($(#[$doc:meta])+ $Config:ident = $activation:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields)]
        pub struct $Config {}

        impl LayerSettings for $Config {
            type Layer = Nonlinearity;

            fn build(
                &self,
                _: &mut Builder,
                _: &mut Parameters<'_>,
            ) -> Result<Nonlinearity, ModelError> {
                Ok(Nonlinearity {
                    activation: Activation::$activation,
                })
            }
        }
    )+};
}

activations! {
    /// max(0, x)
    ReluLayerConfig = Relu;
    /// x·Φ(x), with the normal distribution function Φ
    GeluLayerConfig = Gelu;
    /// tanh x
    TanhLayerConfig = Tanh;
    /// 1/(1 + exp(−x))
    SigmoidLayerConfig = Sigmoid;
}

/// A nonlinearity.
#[derive(Module, Debug)]
pub struct Nonlinearity {
    #[module(skip)]
    activation: Activation,
}

impl Layer for Nonlinearity {
    fn run(&self, x: Features, _: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(match x {
            Features::Vector(x) => Features::Vector(self.activation.forward(x)),
            Features::Image(x) => Features::Image(self.activation.forward(x)),
        })
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        outline.activation(self.activation);
    }

    fn has_bf16(&self) -> bool {
        true
    }
}
