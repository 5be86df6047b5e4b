//! The population level: rate networks, Wilson–Cowan pairs and gated baselines.
//!
//! | model | equation | source |
//! | --- | --- | --- |
//! | [`RateNetwork`] | τ dx/dt = −x + r(x) W + u W_in + b | Sompolinsky, Crisanti and Sommers 1988 |
//! | [`WilsonCowan`] | excitation and inhibition with refractoriness | Wilson and Cowan 1972 |
//! | [`WilsonCowanNetwork`] | the same, with trained connections between populations | |
//! | [`GatedNetwork`] | GRU or LSTM, to compare with | Cho et al. 2014; Hochreiter and Schmidhuber 1997 |
//!
//! [`RateNetwork`] is a [`crate::Model`] and [`WilsonCowan`] a [`crate::system::System`], so that they are simulated and
//! differentiated like any other; [`RateNetwork`], [`WilsonCowanNetwork`] and
//! [`GatedNetwork`] are [`SequenceModel`]s, which map whole input
//! sequences to outputs, for training on tasks.

mod activation;
mod gated;
mod noise;
mod rate;
mod wilson_cowan;
mod wilson_cowan_network;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;

pub use activation::Activation;
pub use gated::{GatedCell, GatedCells, GatedNetwork, GatedNetworkConfig};
pub use rate::{
    DenseWeights, Initialization, LowRankWeights, RateDynamics, RateField, RateNetwork,
    RateNetworkConfig, RateOnHost, Readout, Rectifier, Recurrence, RecurrentWeights,
};
pub use wilson_cowan::{WilsonCowan, WilsonCowanConfig, WilsonCowanField, WilsonCowanPopulation};
pub use wilson_cowan_network::{WilsonCowanNetwork, WilsonCowanNetworkConfig};

use crate::random::NormalNoise;
use crate::{DynamicsError, State, host};

/// A network that maps a batch of input sequences to output sequences.
pub trait SequenceModel: Module {
    /// Runs over `inputs`, `[batch, steps, inputs]`, from the model's initial state. `noise` is drawn where the model has
    /// any; `None` runs without. A training loop gives every step its own stream.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for inputs of another width, or without steps.
    fn forward(
        &self,
        inputs: Tensor<3>,
        noise: Option<NormalNoise>,
    ) -> Result<Trajectory, DynamicsError>;
}

/// What a network went through: one entry after every step, the initial state left out.
#[derive(Clone, Debug)]
pub struct Trajectory {
    /// r(x), `[batch, steps, units]`; of a gated network its hidden states.
    pub rates: Tensor<3>,
    /// `[batch, steps, outputs]`; the rates where the network has no outputs.
    pub outputs: Tensor<3>,
}

impl Trajectory {
    /// With a linear readout of the rates.
    fn read_out(rates: Tensor<3>, readout: &Linear) -> Self {
        let [first, second, units] = rates.dims();
        let rows = rates.clone().reshape([first * second, units]);
        let outputs = readout.forward(rows);
        let channels = outputs.dims()[1];
        Self {
            rates,
            outputs: outputs.reshape([first, second, channels]),
        }
    }

    /// Batches before steps, of what has them the other way round.
    fn swapped(self) -> Self {
        Self {
            rates: self.rates.swap_dims(0, 1),
            outputs: self.outputs.swap_dims(0, 1),
        }
    }

    /// Checks that every rate is finite; waits for the device.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::NonFinite`] names the first step at which one is not; its time is the number of steps taken.
    pub fn check_finite(&self) -> Result<(), DynamicsError> {
        let [_, steps, units] = self.rates.dims();
        let values = host(self.rates.clone())?;
        let place = |at: usize| (at / units % steps, at / units / steps, at % units);
        let bad = values.iter().enumerate().filter(|(_, x)| !x.is_finite());
        match bad.map(|(at, _)| place(at)).min() {
            None => Ok(()),
            Some((step, batch, unit)) => Err(DynamicsError::NonFinite {
                time: (step + 1) as f64,
                variable: "the rate".into(),
                batch,
                unit,
            }),
        }
    }
}

/// Checks the width of a batch of sequences and that there is something in it.
fn check_sequences(inputs: &Tensor<3>, width: usize) -> Result<(), DynamicsError> {
    let [batch, steps, found] = inputs.dims();
    if found == width && batch > 0 && steps > 0 {
        Ok(())
    } else {
        Err(DynamicsError::Shape {
            what: "the inputs [batch, steps, inputs]".into(),
            expected: vec![batch.max(1), steps.max(1), width],
            found: vec![batch, steps, found],
        })
    }
}

/// Checks that an input has `width` columns and one row or the state's.
fn check_input(
    width: usize,
    state: &State,
    input: Option<&Tensor<2>>,
) -> Result<(), DynamicsError> {
    let Some([rows, columns]) = input.map(Tensor::dims) else {
        return Ok(());
    };
    let batch = state[0].dims()[0];
    if columns == width && (rows == 1 || rows == batch) {
        Ok(())
    } else {
        Err(DynamicsError::Shape {
            what: "the input [batch, inputs]".into(),
            expected: vec![batch, width],
            found: vec![rows, columns],
        })
    }
}
