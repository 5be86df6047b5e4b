mod config;
mod connectivity;
mod field;
mod sequence;
#[cfg(test)]
mod tests;
mod validation;
mod weights;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use granule_io::budget;
use granule_ops::{Drive, Recorded};

pub use config::{Initialization, RateNetworkConfig, Rectifier, Recurrence};
pub use field::{RateDynamics, RateField, RateOnHost};
pub use weights::{DenseWeights, LowRankWeights, RecurrentWeights};

use super::noise::NetworkNoise;
use super::{SequenceModel, Trajectory, check_sequences};
use crate::random::NormalNoise;
use crate::setting::check_within;
use crate::{Bounds, DynamicsError, Parameter, Place};
use connectivity::Purpose;

/// A rate network; see [`RateNetworkConfig`] for its equation.
///
/// As a [`SequenceModel`] it runs over whole sequences in one operation, in Euler steps of its own `dt`. As a
/// [`crate::Model`] it is simulated and differentiated like any other, with its solver in the steps of the grid; with
/// Euler's and the same step and noise they are the same states. [`field`](Self::field) is the equation by itself.
#[derive(Module, Debug)]
pub struct RateNetwork {
    /// Between the units.
    pub recurrent: RecurrentWeights,
    /// W_in, `[inputs, units]`; `None` without inputs.
    pub input: Option<Param<Tensor<2>>>,
    /// b, `[1, units]`.
    pub bias: Parameter,
    /// To the outputs; `None` without outputs.
    pub readout: Option<Readout>,
    /// τ in ms, `[1, 1]` or `[1, units]`.
    pub time_constant: Parameter,
    /// x at the beginning, `[1, units]`.
    pub initial: Parameter,
    /// The noise that [`Model::dynamics`](crate::Model::dynamics) draws; `None`, as it is at first, runs without.
    #[module(skip)]
    pub noise: Option<NormalNoise>,
    #[module(skip)]
    config: RateNetworkConfig,
}

/// r(x) W_out + b_out.
#[derive(Module, Debug)]
pub struct Readout {
    /// What an optimiser sees of W_out, `[units, outputs]`.
    pub raw: Param<Tensor<2>>,
    /// b_out, `[1, outputs]`.
    pub bias: Parameter,
    /// 1 in the rows of units that are read out, `[units, 1]`, fixed; `None` for all of them.
    pub units: Option<Param<Tensor<2>>>,
}

impl Readout {
    /// W_out, `[units, outputs]`.
    pub fn weights(&self) -> Tensor<2> {
        let raw = self.raw.val();
        match &self.units {
            None => raw,
            Some(units) => raw * units.val(),
        }
    }
}

impl RateNetworkConfig {
    /// Draws a network for `inputs` input and `outputs` output channels, either of which may be 0. Input weights are
    /// Gaussian of variance 1/`inputs`, output weights of variance 1/`units`, biases 0. Everything is drawn on the host:
    /// one seed gives one network on every device.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate); [`DynamicsError::NotConverged`] where the eigenvalues for a spectral radius
    /// cannot be found.
    pub fn init(
        &self,
        inputs: usize,
        outputs: usize,
        seed: u64,
        place: &Place,
    ) -> Result<RateNetwork, DynamicsError> {
        self.validate()?;
        let n = self.units;
        for (field, width) in [("inputs", inputs), ("outputs", outputs)] {
            check_within(field, width, 0)?;
            budget::ask_for_numbers("the network's weights", &[2, n, width])?;
        }
        let drawn = |purpose, shape: [usize; 2], variance: f64| {
            let values = connectivity::draw(seed, purpose, shape[0] * shape[1], variance.sqrt());
            Param::from_tensor(place.tensor(values, shape))
        };
        let zeros = |field: &str, width: usize| {
            Parameter::trainable(field, &vec![0.0; width], Bounds::Free, place)
        };
        let input = (inputs > 0).then(|| drawn(Purpose::Input, [inputs, n], 1.0 / inputs as f64));
        let readout = match outputs {
            0 => None,
            _ => Some(Readout {
                raw: drawn(Purpose::Output, [n, outputs], 1.0 / n as f64),
                bias: zeros("output_bias", outputs)?,
                units: self.excitatory_output.then(|| {
                    let rows = self.excitatory().into_iter().map(f64::from).collect();
                    Param::from_tensor(place.tensor(rows, [n, 1])).set_require_grad(false)
                }),
            }),
        };
        let (tau, taus) = ("time_constant", self.time_constant.as_slice());
        let time_constant = match self.time_constant_bounds {
            None => Parameter::fixed(tau, taus, Bounds::Above(0.0), place)?,
            Some([low, high]) => {
                let each = match taus {
                    [one] => vec![*one; n],
                    many => many.to_vec(),
                };
                Parameter::trainable(tau, &each, Bounds::Between(low, high), place)?
            }
        };
        let initial = if self.train_initial_state {
            zeros("initial_state", n)?
        } else {
            Parameter::fixed("initial_state", &vec![0.0; n], Bounds::Free, place)?
        };
        Ok(RateNetwork {
            recurrent: RecurrentWeights::new(self, seed, place)?,
            input,
            bias: zeros("bias", n)?,
            readout,
            time_constant,
            initial,
            noise: None,
            config: self.clone(),
        })
    }
}

impl RateNetwork {
    /// What the network was made from.
    pub fn config(&self) -> &RateNetworkConfig {
        &self.config
    }

    /// N.
    pub fn units(&self) -> usize {
        self.config.units
    }

    /// The number of input channels.
    pub fn inputs(&self) -> usize {
        self.input.as_ref().map_or(0, |input| input.dims()[0])
    }

    fn network_noise(&self, source: Option<NormalNoise>) -> Option<NetworkNoise> {
        let RateNetworkConfig {
            private_noise,
            shared_noise,
            ..
        } = self.config;
        source.and_then(|source| NetworkNoise::new(source, private_noise, shared_noise))
    }

    /// The states after every step of what [`forward`](SequenceModel::forward) runs, `[batch, steps, units]`.
    ///
    /// # Errors
    ///
    /// Those of [`forward`](SequenceModel::forward).
    pub fn states(
        &self,
        inputs: Tensor<3>,
        noise: Option<NormalNoise>,
    ) -> Result<Tensor<3>, DynamicsError> {
        Ok(self.run(inputs, noise, Recorded::States)?.swap_dims(0, 1))
    }

    /// `[steps, batch, units]`
    fn run(
        &self,
        inputs: Tensor<3>,
        noise: Option<NormalNoise>,
        record: Recorded,
    ) -> Result<Tensor<3>, DynamicsError> {
        let width = (self.input.as_ref()).map_or(inputs.dims()[2], |weights| weights.dims()[0]);
        check_sequences(&inputs, width)?;
        let [batch, steps, _] = inputs.dims();
        let n = self.units();
        let bias = self.bias.value();
        let place = Place::of(&bias);
        let mut drive = match &self.input {
            None => Drive::direct(bias.reshape([1, 1, n]).expand([steps, batch, n])),
            Some(weights) => {
                Drive::input(inputs.swap_dims(0, 1), weights.val()).with_bias(bias.reshape([n]))
            }
        };
        let alpha = self.time_constant.value().recip();
        let alpha = alpha.mul_scalar(self.config.dt);
        if let Some(noise) = self.network_noise(noise) {
            // Inside the bracket that α multiplies, √(2α) ξ is √(2/α) ξ.
            let scale = alpha.clone().recip().mul_scalar(2.0).sqrt();
            let xi = noise.sequence([steps, batch, n], &place);
            drive = drive.plus(xi * scale.unsqueeze());
        }
        Ok(sequence::sequence(
            self.initial.value().expand([batch, n]),
            drive,
            self.recurrent.value(),
            alpha.expand([1, n]).reshape([n]),
            (self.config.activation, record),
        ))
    }
}

impl SequenceModel for RateNetwork {
    /// A network without inputs takes only the batch and the steps from `inputs`, whatever their width.
    fn forward(
        &self,
        inputs: Tensor<3>,
        noise: Option<NormalNoise>,
    ) -> Result<Trajectory, DynamicsError> {
        let rates = self.run(inputs, noise, Recorded::Rates)?;
        let [steps, batch, n] = rates.dims();
        let outputs = match &self.readout {
            None => rates.clone(),
            Some(readout) => {
                let rows = rates.clone().reshape([steps * batch, n]);
                let out = rows.matmul(readout.weights()) + readout.bias.value();
                let channels = out.dims()[1];
                out.reshape([steps, batch, channels])
            }
        };
        Ok(Trajectory { rates, outputs }.swapped())
    }
}
