use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use granule_io::budget;
use serde::{Deserialize, Serialize};

use crate::random::NormalNoise;
use crate::setting::{Range, check_count};
use crate::{DynamicsError, Place};

/// Settings of [`Mlp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// The widths of the hidden layers.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 1))))]
    pub hidden: Vec<usize>,
    /// The scale of the last layer's weights at the beginning: small for a system that starts slowly.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub scale: f64,
    /// The seed of the weights.
    pub seed: u64,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self {
            hidden: vec![32],
            scale: 1.0,
            seed: 0,
        }
    }
}

impl MlpConfig {
    /// Checks every value; `field` is where the network stands in a configuration.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed.
    pub fn validate(&self, field: &str) -> Result<(), DynamicsError> {
        for (layer, width) in self.hidden.iter().enumerate() {
            check_count(format!("{field}.hidden[{layer}]"), *width)?;
        }
        for pair in self.hidden.windows(2) {
            budget::ask_for_numbers("the weights of a network in a system", pair)?;
        }
        Range::Positive.check(format!("{field}.scale"), self.scale)
    }

    /// The network from `inputs` to `outputs` values; weights are normal with variance 1/inputs of their layer, biases
    /// zero. One seed gives one network on every device; `stream` separates networks of one seed.
    pub fn init(&self, inputs: usize, outputs: usize, stream: u64, place: &Place) -> Mlp {
        let noise = NormalNoise::new(self.seed, stream);
        let widths: Vec<usize> = [inputs]
            .into_iter()
            .chain(self.hidden.clone())
            .chain([outputs])
            .collect();
        let last = widths.len() - 2;
        let layers = widths.windows(2).enumerate().map(|(layer, pair)| {
            let (from, to) = (pair[0], pair[1]);
            let scale = if layer == last { self.scale } else { 1.0 } / (from.max(1) as f64).sqrt();
            let weights = noise.at(layer, [from, to], place).mul_scalar(scale);
            Linear {
                weight: Param::from_tensor(weights),
                bias: Some(Param::from_tensor(place.full(0.0, [to]))),
            }
        });
        Mlp {
            layers: layers.collect(),
        }
    }
}

/// A small network: linear layers with tanh between them.
#[derive(Module, Debug)]
pub struct Mlp {
    /// First to last.
    pub layers: Vec<Linear>,
}

impl Mlp {
    /// `[batch, inputs]` → `[batch, outputs]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len().saturating_sub(1);
        self.layers
            .iter()
            .enumerate()
            .fold(x, |x, (layer, linear)| {
                let y = linear.forward(x);
                if layer == last { y } else { y.tanh() }
            })
    }
}
