//! Multilayer perceptron.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::layers::{activated, check_dropout, check_size, dense};
use crate::parameters::Parameters;
use crate::{
    Activation, Initialization, InputShape, Mode, Model, ModelError, ModelSettings, Outline,
};

/// Configuration of [`Mlp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// The widths of the hidden layers; empty gives a linear model. Default `[128]`, each from 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 1, max = 65536))))]
    pub widths: Vec<usize>,
    /// The nonlinearity after each hidden layer. Default relu.
    pub activation: Activation,
    /// The probability of dropping a hidden unit while training. Default 0, less than 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub dropout: f64,
    /// How the weights of the hidden layers are drawn. Default He.
    pub init: Initialization,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self {
            widths: vec![128],
            activation: Activation::Relu,
            dropout: 0.0,
            init: Initialization::He,
        }
    }
}

impl ModelSettings for MlpConfig {
    type Model = Mlp;
    const KIND: &'static str = "mlp";
    const SUMMARY: &'static str = "Multilayer perceptron, for images and feature vectors.";

    fn first_weight(&self) -> Option<String> {
        Some("layers.0.weight".to_owned())
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        check_size("outputs", outputs)?;
        if self.widths.len() > 256 {
            let found = format!("{} layers", self.widths.len());
            return Err(ModelError::config("widths", found, "at most 256 layers"));
        }
        for (i, width) in self.widths.iter().enumerate() {
            check_size(format!("widths[{i}]"), *width)?;
        }
        check_dropout("dropout", self.dropout)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        parameters: &mut Parameters<'_>,
    ) -> Result<Mlp, ModelError> {
        let mut sizes = vec![input.len()];
        sizes.extend(&self.widths);
        sizes.push(outputs);
        let last = self.widths.len();
        let layers = parameters.scope("layers", |p| {
            let layer = |(i, pair): (usize, &[usize])| {
                let init = if i == last {
                    Initialization::Xavier
                } else {
                    self.init
                };
                p.linear(i, [pair[0], pair[1]], init)
            };
            sizes.windows(2).enumerate().map(layer).collect()
        })?;
        Ok(Mlp {
            layers,
            activation: self.activation,
            dropout: self.dropout,
        })
    }
}

/// Fully connected layers with a nonlinearity, and dropout while training, after each but the last.
///
/// `[batch, features]` → `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// The layers from input to output.
    pub layers: Vec<Linear>,
    #[module(skip)]
    activation: Activation,
    dropout: f64,
}

impl Model for Mlp {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let last = self.layers.len().saturating_sub(1);
        Ok(self.layers.iter().enumerate().fold(x, |x, (i, layer)| {
            if i == last {
                return dense(layer, x, &mode);
            }
            let x = activated(layer, self.activation, x, &mode);
            mode.dropout(x, self.dropout)
        }))
    }

    fn has_bf16(&self) -> bool {
        true
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        let last = self.layers.len().saturating_sub(1);
        outline.flatten();
        for (i, layer) in self.layers.iter().enumerate() {
            outline.dense(layer);
            if i < last {
                outline.activation(self.activation);
            }
        }
    }
}
