//! What carries a quantity of one level into the input of another.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::state::Place;
use crate::{Bounds, DynamicsError, Parameter, State};

/// How a coupler turns the quantity it reads into the one it delivers. Each conversion fixes both units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Conversion {
    /// Membrane potential (mV) → activity in [0, 1]: `sigmoid((v − threshold)/slope)`, then a filter. Smooth, so the
    /// gradient reaches the cells.
    VoltageToRate {
        /// mV; half activity. Default −20.
        #[serde(default = "threshold")]
        threshold: f64,
        /// mV; the width of the transition. Default 5.
        #[serde(default = "slope")]
        slope: f64,
    },
    /// Spikes (1 in the step of a spike, else 0) → spikes per ms: divided by the step, then a filter.
    SpikeToRate,
    /// Rate (1) → current density (µA/cm²); the weights are µA/cm² per unit of rate.
    RateToCurrent,
    /// Rate (1) → drive of a system (1).
    RateToDrive,
    /// State of a system (1) → input of a population (1).
    DriveToRate,
    /// State of a system (1) → current density (µA/cm²).
    DriveToCurrent,
}

fn threshold() -> f64 {
    -20.0
}

fn slope() -> f64 {
    5.0
}

impl Conversion {
    /// The unit of the quantity read.
    pub fn from_unit(self) -> &'static str {
        match self {
            Self::VoltageToRate { .. } => "mV",
            Self::SpikeToRate => "spike",
            Self::RateToCurrent
            | Self::RateToDrive
            | Self::DriveToRate
            | Self::DriveToCurrent => "1",
        }
    }

    /// The unit of the input delivered to.
    pub fn to_unit(self) -> &'static str {
        match self {
            Self::VoltageToRate { .. } | Self::SpikeToRate => "1",
            Self::RateToCurrent | Self::DriveToCurrent => "µA/cm²",
            Self::RateToDrive | Self::DriveToRate => "1",
        }
    }
}

/// Who is connected to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Projection {
    /// Every receiver gets the mean over all senders, times one gain.
    Mean {
        /// The gain.
        gain: f64,
    },
    /// Sender i goes to receiver i alone, times one gain.
    OneToOne {
        /// The gain.
        gain: f64,
    },
    /// Given weights, one row for each sender, one column for each receiver.
    Dense {
        /// The weights.
        weights: Vec<Vec<f64>>,
    },
    /// Weights drawn from a normal distribution with this standard deviation divided by √senders.
    Random {
        /// The standard deviation of the sum over independent senders of unit variance.
        gain: f64,
        /// The seed.
        seed: u64,
    },
}

impl Default for Projection {
    fn default() -> Self {
        Self::Mean { gain: 1.0 }
    }
}

/// A coupler of a multi-granularity model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouplerConfig {
    /// The level and its quantity, for example `cells.v`.
    pub from: String,
    /// The level that receives.
    pub to: String,
    /// The first input channel of the receiver that is written to. Default 0.
    #[serde(default)]
    pub channel: usize,
    /// How many channels are written to; absent: all from `channel` on.
    #[serde(default)]
    pub channels: Option<usize>,
    /// What becomes of the quantity on the way.
    pub conversion: Conversion,
    /// Who is connected to whom.
    #[serde(default)]
    pub projection: Projection,
    /// The time constant of the filter, in ms; 0: none. Default 0.
    #[serde(default)]
    pub time_constant: f64,
    /// Whether training may change gain or weights. Default true.
    #[serde(default = "yes")]
    pub trainable: bool,
}

fn yes() -> bool {
    true
}

/// The parameters of a coupler.
#[derive(Module, Debug)]
pub struct Coupler {
    /// The gain, `[1, 1]`; of [`Projection::Mean`] and [`Projection::OneToOne`].
    pub gain: Option<Parameter>,
    /// The weights, `[senders, receivers]`; of the others.
    pub weights: Option<Param<Tensor<2>>>,
}

/// Where a coupler begins and ends.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The variable within the sending level.
    pub(super) variable: usize,
    /// The variable of the whole that the coupler reads when it delivers: its filter, or the source itself.
    pub(super) source: usize,
    /// The coupler's own variable, if it filters or converts over the sender's steps.
    pub(super) filter: Option<usize>,
    pub(super) senders: usize,
    /// The receiver's input channels: all, and the first and number written to.
    pub(super) inputs: usize,
    pub(super) channel: usize,
    pub(super) channels: usize,
}

impl Coupler {
    pub(super) fn new(
        field: &str,
        config: &CouplerConfig,
        route: &Route,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let parameter = |value: f64| {
            let field = format!("{field}.projection.gain");
            match config.trainable {
                true => Parameter::trainable(&field, &[value], Bounds::Free, place),
                false => Parameter::fixed(&field, &[value], Bounds::Free, place),
            }
        };
        let shape = [route.senders, route.channels];
        let weights = |values: Vec<f64>| {
            let weights = Param::from_tensor(place.tensor(values, shape));
            match config.trainable {
                true => weights,
                false => weights.set_require_grad(false),
            }
        };
        let (gain, weights) = match &config.projection {
            Projection::Mean { gain } => (Some(parameter(*gain)?), None),
            Projection::OneToOne { gain } if route.senders == route.channels => {
                (Some(parameter(*gain)?), None)
            }
            Projection::OneToOne { .. } => {
                return Err(DynamicsError::Shape {
                    what: format!("{field}.projection: one-to-one (senders, receivers)"),
                    expected: vec![route.channels, route.channels],
                    found: shape.to_vec(),
                });
            }
            Projection::Dense { weights: rows } => {
                let columns = rows.iter().map(Vec::len);
                let wrong = columns.clone().find(|columns| *columns != route.channels);
                if rows.len() != route.senders || wrong.is_some() {
                    return Err(DynamicsError::Shape {
                        what: format!("{field}.projection.weights"),
                        expected: shape.to_vec(),
                        found: vec![rows.len(), wrong.unwrap_or(route.channels)],
                    });
                }
                if let Some(value) = rows.iter().flatten().find(|x| !x.is_finite()) {
                    let field = format!("{field}.projection.weights");
                    return Err(DynamicsError::config(field, value, "finite numbers"));
                }
                (None, Some(weights(rows.iter().flatten().copied().collect())))
            }
            Projection::Random { gain, seed } => {
                if !gain.is_finite() {
                    let field = format!("{field}.projection.gain");
                    return Err(DynamicsError::config(field, gain, "a finite number"));
                }
                let scale = gain / (route.senders as f64).sqrt();
                let noise = crate::random::NormalNoise::new(*seed, 0);
                let values = noise.values(0, route.senders * route.channels);
                (None, Some(weights(values.iter().map(|x| x * scale).collect())))
            }
        };
        Ok(Self { gain, weights })
    }

    pub(super) fn bind(&self, route: &Route, config: &CouplerConfig) -> BoundCoupler {
        BoundCoupler {
            from: route.from,
            to: route.to,
            route: route.clone(),
            conversion: config.conversion,
            time_constant: config.time_constant,
            one_to_one: matches!(config.projection, Projection::OneToOne { .. }),
            gain: self.gain.as_ref().map(Parameter::value),
            weights: self.weights.as_ref().map(Param::val),
        }
    }
}

/// A coupler with its parameters bound.
pub(super) struct BoundCoupler {
    pub(super) from: usize,
    pub(super) to: usize,
    route: Route,
    conversion: Conversion,
    time_constant: f64,
    one_to_one: bool,
    gain: Option<Tensor<2>>,
    weights: Option<Tensor<2>>,
}

impl BoundCoupler {
    /// What the sender's quantity is after conversion. `dt` is the sender's step.
    fn convert(&self, x: Tensor<2>, dt: f64) -> Tensor<2> {
        match self.conversion {
            Conversion::VoltageToRate { threshold, slope } => {
                activation::sigmoid(x.sub_scalar(threshold).div_scalar(slope))
            }
            Conversion::SpikeToRate => x.div_scalar(dt),
            _ => x,
        }
    }

    /// Moves the filter over one step of the sender: exact for a quantity that is constant over it.
    pub(super) fn filter(&self, sender: &State, dt: f64, state: &mut State) {
        let Some(variable) = self.route.filter else {
            return;
        };
        let x = self.convert(sender[self.route.variable].clone(), dt);
        let value = match self.time_constant > 0.0 {
            true => {
                let keep = (-dt / self.time_constant).exp();
                state[variable].clone().mul_scalar(keep) + x.mul_scalar(1.0 - keep)
            }
            false => x,
        };
        state.replace(variable, value);
    }

    /// The receiver's input, `[batch, inputs]`.
    pub(super) fn output(&self, state: &State) -> Tensor<2> {
        let x = state[self.route.source].clone();
        let [batch, _] = x.dims();
        let Route {
            inputs,
            channel,
            channels,
            ..
        } = self.route;
        let sent = match (&self.gain, &self.weights) {
            (Some(gain), _) if self.one_to_one => x * gain.clone(),
            (Some(gain), _) => (x.mean_dim(1) * gain.clone()).expand([batch, channels]),
            (None, Some(weights)) => x.matmul(weights.clone()),
            (None, None) => x,
        };
        if channels == inputs {
            return sent;
        }
        let zeros = |width: usize| Tensor::zeros([batch, width], (&sent.device(), sent.dtype()));
        let parts = [
            (channel > 0).then(|| zeros(channel)),
            Some(sent.clone()),
            (channel + channels < inputs).then(|| zeros(inputs - channel - channels)),
        ];
        Tensor::cat(parts.into_iter().flatten().collect(), 1)
    }
}
