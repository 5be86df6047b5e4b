use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use granule_ops::{Transfer, firing_rate};
use serde::{Deserialize, Serialize};

use super::rate::{Initialization, RateNetworkConfig, RecurrentWeights};
use super::{SequenceModel, Trajectory, check_sequences};
use crate::random::NormalNoise;
use crate::setting::{Range, ask_for, check_count, check_within};
use crate::{DynamicsError, Place};

/// A network of excitatory and inhibitory populations of Wilson and Cowan (1972), whose connections are trained:
///
/// τⱼ dxⱼ/dt = −xⱼ + (kⱼ − rⱼ xⱼ) Sⱼ((x W + u W_in + b)ⱼ)
///
/// with S(x) = 1/(1 + e^(−a(x − θ))) − 1/(1 + e^(aθ)), k its largest value and x = 0 at the beginning, by steps of Euler's
/// method. The first populations are excitatory, the others inhibitory: Dale's law. Time constants, slopes, thresholds and
/// refractoriness are those of [`WilsonCowanConfig`](super::WilsonCowanConfig), one for each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WilsonCowanNetworkConfig {
    /// The number of populations.
    pub units: usize,
    /// The share of excitatory ones, above 0 and below 1.
    pub excitatory_share: f64,
    /// The step, ms; at most the smaller time constant.
    pub dt: f64,
    /// τ of excitatory populations, ms.
    pub excitatory_time_constant: f64,
    /// τ of inhibitory populations, ms.
    pub inhibitory_time_constant: f64,
    /// a of excitatory populations.
    pub excitatory_slope: f64,
    /// a of inhibitory populations.
    pub inhibitory_slope: f64,
    /// θ of excitatory populations.
    pub excitatory_threshold: f64,
    /// θ of inhibitory populations.
    pub inhibitory_threshold: f64,
    /// r of all populations.
    pub refractoriness: f64,
    /// W at the beginning.
    pub initialization: Initialization,
}

impl Default for WilsonCowanNetworkConfig {
    fn default() -> Self {
        Self {
            units: 128,
            excitatory_share: 0.8,
            dt: 20.0,
            excitatory_time_constant: 100.0,
            inhibitory_time_constant: 50.0,
            excitatory_slope: 1.3,
            inhibitory_slope: 2.0,
            excitatory_threshold: 4.0,
            inhibitory_threshold: 3.7,
            refractoriness: 1.0,
            initialization: Initialization::SpectralRadius(4.0),
        }
    }
}

/// What the inputs draw from, beside the recurrent weights.
const INPUTS: u64 = 0x5743_4e00;
const OUTPUTS: u64 = 0x5743_4e01;

impl WilsonCowanNetworkConfig {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        check_within("units", self.units, 2)?;
        Range::OpenFraction.check("excitatory_share", self.excitatory_share)?;
        for (field, value) in [
            ("dt", self.dt),
            ("excitatory_time_constant", self.excitatory_time_constant),
            ("inhibitory_time_constant", self.inhibitory_time_constant),
            ("excitatory_slope", self.excitatory_slope),
            ("inhibitory_slope", self.inhibitory_slope),
        ] {
            Range::Positive.check(field, value)?;
        }
        let shortest = self
            .excitatory_time_constant
            .min(self.inhibitory_time_constant);
        if self.dt > shortest {
            let allowed = format!("at most the smallest time constant, {shortest} ms");
            return Err(DynamicsError::config("dt", self.dt, allowed));
        }
        for (field, value) in [
            ("excitatory_threshold", self.excitatory_threshold),
            ("inhibitory_threshold", self.inhibitory_threshold),
        ] {
            Range::Any.check(field, value)?;
        }
        Range::NonNegative.check("refractoriness", self.refractoriness)?;
        self.recurrent().validate()
    }

    /// The network of rates that has the same connections.
    fn recurrent(&self) -> RateNetworkConfig {
        RateNetworkConfig {
            units: self.units,
            dale_ratio: Some(self.excitatory() as f64 / self.units as f64),
            initialization: self.initialization,
            ..RateNetworkConfig::default()
        }
    }

    /// How many of the populations are excitatory: one at least, as of the inhibitory ones.
    fn excitatory(&self) -> usize {
        let share = (self.excitatory_share * self.units as f64).round() as usize;
        share.clamp(1, self.units - 1)
    }

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
        ask_for(
            "the network's inputs and outputs",
            &[2, n, inputs.saturating_add(outputs)],
        )?;
        let excitatory = self.excitatory();
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
            time_constant: fixed(each(
                self.excitatory_time_constant,
                self.inhibitory_time_constant,
            )),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Constant, Model};
    use crate::population::WilsonCowanConfig;
    use crate::solver::Euler;
    use crate::state::host;
    use crate::system::Integrated;
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_place};
    use crate::{Grid, record};

    fn small() -> WilsonCowanNetworkConfig {
        WilsonCowanNetworkConfig {
            units: 5,
            dt: 10.0,
            ..Default::default()
        }
    }

    /// One population of either kind with the connections of the paper's limit cycle is its pair.
    #[test]
    fn two_populations_are_the_pair_of_the_paper() {
        let (place, dt, steps) = (f64_place(), 0.5, 200);
        let config = WilsonCowanNetworkConfig {
            units: 2,
            excitatory_share: 0.5,
            dt,
            excitatory_time_constant: 8.0,
            inhibitory_time_constant: 8.0,
            ..Default::default()
        };
        let mut network = config.init(2, 1, 3, &place).unwrap();
        let RecurrentWeights::Dense(dense) = &mut network.recurrent else {
            panic!("other weights");
        };
        // Rows presynaptic: E on E and I, then I on E and I, whose sign Dale's law gives.
        dense.raw = Param::from_tensor(place.tensor(vec![16.0, 15.0, 12.0, 3.0], [2, 2]));
        network.input.weight = Param::from_tensor(place.tensor(vec![1.0, 0.0, 0.0, 1.0], [2, 2]));
        network.input.bias = None;
        let drives = [1.25, 0.1].repeat(steps);
        let found = network
            .forward(place.tensor(drives, [1, steps, 2]), None)
            .unwrap();
        let found = host(found.rates).unwrap();

        let pair = WilsonCowanConfig {
            excitatory_drive: 0.0.into(),
            ..Default::default()
        };
        let pair = Integrated::new(pair.init(&place).unwrap(), Arc::new(Euler));
        let grid = Grid::over(dt * steps as f64, dt).unwrap();
        let input = Constant(place.tensor(vec![1.25, 0.1], [1, 2]));
        let initial = pair.initial_state(1).unwrap();
        let (seen, _) = record(&pair.dynamics().unwrap(), initial, &input, &grid).unwrap();
        let expected = host(seen).unwrap();
        let excitation: Vec<f64> = found.chunks(2).map(|x| x[0]).collect();
        assert!(excitation.iter().any(|e| *e > 0.2), "{excitation:?}");
        for (found, expected) in excitation.iter().zip(&expected[1..]) {
            assert_close(*found, *expected, 1e-12);
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let place = f64_autodiff();
        let network = small().init(2, 1, 7, &place).unwrap();
        let u = place.tensor(
            (0..16).map(|i| (f64::from(i) * 0.7).sin()).collect(),
            [2, 4, 2],
        );
        let loss = |network: &WilsonCowanNetwork| {
            let out = network.forward(u.clone(), None).unwrap().outputs;
            (out * 3.0).cos().mean()
        };
        let gradients = loss(&network).backward();
        let RecurrentWeights::Dense(dense) = &network.recurrent else {
            panic!("other weights");
        };
        let check = |value: Tensor<2>, put: &dyn Fn(Tensor<2>) -> WilsonCowanNetwork| {
            let slope = host(value.grad(&gradients).unwrap()).unwrap();
            let (values, shape) = (host(value.clone()).unwrap(), value.dims());
            for at in 0..values.len() {
                let moved = |by: f64| {
                    let mut values = values.clone();
                    values[at] += by;
                    host(loss(&put(place.tensor(values, shape)))).unwrap()[0]
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (slope[at] - difference).abs() < 1e-8,
                    "{} {difference}",
                    slope[at]
                );
            }
        };
        check(dense.raw.val(), &|values| {
            let mut moved = network.clone();
            if let RecurrentWeights::Dense(dense) = &mut moved.recurrent {
                dense.raw = Param::from_tensor(values);
            }
            moved
        });
        check(network.input.weight.val(), &|values| {
            let mut moved = network.clone();
            moved.input.weight = Param::from_tensor(values);
            moved
        });
    }

    #[test]
    fn rates_are_shares_on_every_device() {
        let expected = {
            let place = f64_place();
            let network = small().init(2, 1, 5, &place).unwrap();
            host(
                network
                    .forward(place.full(2.0, [1, 9, 2]), None)
                    .unwrap()
                    .rates,
            )
            .unwrap()
        };
        assert!(expected.iter().all(|x| (0.0..1.0).contains(&x.abs())));
        for (name, place) in f32_places() {
            let network = small().init(2, 1, 5, &place).unwrap();
            let found = network.forward(place.full(2.0, [1, 9, 2]), None).unwrap();
            for (a, b) in host(found.rates).unwrap().iter().zip(&expected) {
                assert!((a - b).abs() < 1e-5, "{name}: {a} {b}");
            }
        }
    }

    #[test]
    fn settings_without_sense_are_named() {
        let refused = |change: fn(&mut WilsonCowanNetworkConfig), field: &str| {
            let mut config = small();
            change(&mut config);
            let DynamicsError::Config(error) = config.validate().unwrap_err() else {
                panic!("{field}");
            };
            assert_eq!(error.field, field);
        };
        refused(|c| c.units = 1, "units");
        refused(|c| c.excitatory_share = 1.0, "excitatory_share");
        refused(|c| c.dt = 60.0, "dt");
        refused(|c| c.inhibitory_slope = 0.0, "inhibitory_slope");
        refused(
            |c| c.excitatory_threshold = f64::NAN,
            "excitatory_threshold",
        );
        refused(|c| c.refractoriness = -1.0, "refractoriness");
        let infinite = |c: &mut WilsonCowanNetworkConfig| {
            c.initialization = Initialization::SpectralRadius(f64::INFINITY);
        };
        refused(infinite, "initialization.spectral_radius");
    }
}
