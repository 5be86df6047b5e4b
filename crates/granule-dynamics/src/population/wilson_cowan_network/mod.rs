mod config;
#[cfg(test)]
mod tests;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use granule_io::budget;
use granule_ops::{Transfer, firing_rate};

pub use config::WilsonCowanNetworkConfig;

use super::rate::RecurrentWeights;
use super::{SequenceModel, Trajectory, check_sequences};
use crate::random::NormalNoise;
use crate::setting::check_count;
use crate::{DynamicsError, Place};

/// What the inputs draw from, beside the recurrent weights.
const INPUTS: u64 = 0x5743_4e00;
const OUTPUTS: u64 = 0x5743_4e01;

impl WilsonCowanNetworkConfig {
    /// Draws a network, on the host. Biases begin where S is steepest, so that the first gradients are not lost.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(
        &self,
        inputs: usize,
        outputs: usize,
        seed: u64,
        place: &Place,
    ) -> Result<WilsonCowanNetwork, DynamicsError> {
        self.validate()?;
        check_count("inputs", inputs)?;
        check_count("outputs", outputs)?;
        let n = self.units;
        budget::ask_for_numbers(
            "the network's inputs and outputs",
            &[2, n, inputs.saturating_add(outputs)],
        )?;
        let excitatory = self.excitatory();
        let (e, i) = (self.excitatory_time_constant, self.inhibitory_time_constant);
        let each = |first: f64, second: f64| {
            let values = (0..n).map(|unit| if unit < excitatory { first } else { second });
            place.tensor(values.collect(), [1, n])
        };
        let drawn = |stream: u64, shape: [usize; 2]| {
            let scale = (shape[0] as f64).sqrt().recip();
            let values = NormalNoise::new(seed, stream).values(0, shape[0] * shape[1]);
            place.tensor(values.into_iter().map(|x| scale * x).collect(), shape)
        };
        let threshold = each(self.excitatory_threshold, self.inhibitory_threshold);
        Ok(WilsonCowanNetwork {
            input: Linear {
                weight: Param::from_tensor(drawn(INPUTS, [inputs, n])),
                bias: Some(Param::from_tensor(threshold.clone().reshape([n]))),
            },
            recurrent: RecurrentWeights::new(&self.recurrent(), seed, place)?,
            readout: Linear {
                weight: Param::from_tensor(drawn(OUTPUTS, [n, outputs])),
                bias: Some(Param::from_tensor(place.full(0.0, [outputs]))),
            },
            time_constant: fixed(each(e, i)),
            slope: fixed(each(self.excitatory_slope, self.inhibitory_slope)),
            threshold: fixed(threshold),
            dt: self.dt,
            refractoriness: self.refractoriness,
        })
    }
}

fn fixed(values: Tensor<2>) -> Param<Tensor<2>> {
    Param::from_tensor(values).set_require_grad(false)
}

/// Populations of Wilson and Cowan that learn; see [`WilsonCowanNetworkConfig`] for the equation.
#[derive(Module, Debug)]
pub struct WilsonCowanNetwork {
    /// W_in and b: `[inputs, units]`.
    pub input: Linear,
    /// W.
    pub recurrent: RecurrentWeights,
    /// `[units, outputs]`.
    pub readout: Linear,
    /// τ, ms, `[1, units]`; fixed.
    pub time_constant: Param<Tensor<2>>,
    /// a, `[1, units]`; fixed.
    pub slope: Param<Tensor<2>>,
    /// θ, `[1, units]`; fixed.
    pub threshold: Param<Tensor<2>>,
    #[module(skip)]
    dt: f64,
    #[module(skip)]
    refractoriness: f64,
}

impl WilsonCowanNetwork {
    /// The step, ms.
    pub fn dt(&self) -> f64 {
        self.dt
    }

    /// r.
    pub fn refractoriness(&self) -> f64 {
        self.refractoriness
    }
}

impl SequenceModel for WilsonCowanNetwork {
    /// There is no noise.
    fn forward(
        &self,
        inputs: Tensor<3>,
        _noise: Option<NormalNoise>,
    ) -> Result<Trajectory, DynamicsError> {
        let [width, units] = self.input.weight.dims();
        check_sequences(&inputs, width)?;
        let [batch, steps, _] = inputs.dims();
        let weights = self.recurrent.value();
        let (slope, threshold) = (self.slope.val(), self.threshold.val());
        let floor = firing_rate((slope.clone() * threshold.clone()).neg(), Transfer::Sigmoid);
        let largest = floor.clone().neg().add_scalar(1.0);
        let share = self.time_constant.val().recip().mul_scalar(self.dt);
        let mut x = Tensor::<2>::zeros([batch, units], (&inputs.device(), inputs.dtype()));
        let mut rates = Vec::with_capacity(steps);
        for u in inputs.iter_dim(1) {
            let driven = self.input.forward(u.reshape([batch, width]));
            let current = driven + x.clone().matmul(weights.clone());
            let above = (current - threshold.clone()) * slope.clone();
            let response = firing_rate(above, Transfer::Sigmoid) - floor.clone();
            let ready = largest.clone() - x.clone().mul_scalar(self.refractoriness);
            x = x.clone() + (ready * response - x) * share.clone();
            rates.push(x.clone().unsqueeze_dim::<3>(1));
        }
        Ok(Trajectory::read_out(Tensor::cat(rates, 1), &self.readout))
    }
}
