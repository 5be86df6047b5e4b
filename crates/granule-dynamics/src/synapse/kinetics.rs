use std::collections::BTreeMap;
use std::f64::consts::E;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::quantity::{Constant, Quantity};
use crate::setting::Range;
use crate::setting::Settings;
use crate::{Bounds, DynamicsError, Values};

/// The time course after one spike at t = 0 through a weight w; each value for all postsynaptic cells or one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kinetics {
    /// w·exp(−t/τ).
    Exponential {
        /// τ, ms.
        time_constant: Values,
    },
    /// w·(t/τ)·exp(1 − t/τ): w at its peak, t = τ (Rall 1967).
    Alpha {
        /// τ, ms.
        time_constant: Values,
    },
    /// w·(exp(−t/decay) − exp(−t/rise)), scaled to w at its peak.
    DoubleExponential {
        /// ms; below `decay`.
        rise: Values,
        /// ms.
        decay: Values,
    },
}

impl Kinetics {
    /// The time course with its values fixed, each one for all cells.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the value below `field` that is out of its range, or one of several.
    pub(crate) fn fixed(&self, field: &str) -> Result<BoundKinetics, DynamicsError> {
        let (none, free) = (Vec::new(), BTreeMap::new());
        let mut all = Settings::new("synapse", &none, &free);
        let named = |error: DynamicsError| match error {
            DynamicsError::Config(own) => {
                let name = own.field.trim_start_matches("synapse.kinetics.").to_owned();
                own.named(format!("{field}.{name}")).into()
            }
            other => other,
        };
        self.settings(&mut all).map_err(named)?;
        // One value is a number, for which there is no place to ask.
        let make = |name: &str| match all.values(name) {
            [value] => Ok(Constant::Number(*value)),
            several => {
                let found = format!("[{} values]", several.len());
                Err(DynamicsError::config(
                    format!("{field}.{name}"),
                    found,
                    "one value",
                ))
            }
        };
        all.check(1).map_err(named)?;
        Ok(self.init(make)?.bind())
    }

    pub(super) fn settings<'a>(&'a self, all: &mut Settings<'a>) -> Result<(), DynamicsError> {
        let mut add = |name, values| all.add(("synapse.kinetics", name), values, Range::Positive);
        match self {
            Self::Exponential { time_constant } | Self::Alpha { time_constant } => {
                add("time_constant", time_constant);
            }
            Self::DoubleExponential { rise, decay } => {
                add("rise", rise);
                add("decay", decay);
                let slowest_rise = rise.as_slice().iter().copied().fold(0.0, f64::max);
                let fastest_decay = decay.as_slice().iter().copied().fold(f64::MAX, f64::min);
                if slowest_rise >= fastest_decay {
                    return Err(DynamicsError::config(
                        "synapse.kinetics.rise",
                        slowest_rise,
                        format!("below decay = {fastest_decay}"),
                    ));
                }
                // A bound between the two keeps them apart while both are trained.
                let between = (slowest_rise * fastest_decay).sqrt();
                all.keep("rise", Bounds::Between(0.0, between));
                all.keep("decay", Bounds::Above(between));
            }
        }
        Ok(())
    }

    pub(super) fn init(
        &self,
        make: impl Fn(&str) -> Result<Constant, DynamicsError>,
    ) -> Result<Course, DynamicsError> {
        Ok(match self {
            Self::Exponential { .. } => Course::Exponential(make("time_constant")?),
            Self::Alpha { .. } => Course::Alpha(make("time_constant")?),
            Self::DoubleExponential { .. } => Course::DoubleExponential(Pair {
                rise: make("rise")?,
                decay: make("decay")?,
            }),
        })
    }
}

/// The parameters of a time course.
#[derive(Module, Debug)]
pub enum Course {
    /// τ.
    Exponential(Constant),
    /// τ.
    Alpha(Constant),
    /// Rise and decay.
    DoubleExponential(Pair),
}

/// The time constants of a double exponential, ms.
#[derive(Module, Debug)]
pub struct Pair {
    /// Below `decay`.
    pub rise: Constant,
    /// Above `rise`.
    pub decay: Constant,
}

impl Course {
    pub(super) fn bind(&self) -> BoundKinetics {
        let minus_rate = |tau: &Constant| tau.quantity().reciprocal().negative();
        match self {
            Self::Exponential(tau) => BoundKinetics::Exponential(minus_rate(tau)),
            Self::Alpha(tau) => BoundKinetics::Alpha(minus_rate(tau)),
            Self::DoubleExponential(Pair { rise, decay }) => {
                let (minus_rise, minus_decay) = (minus_rate(rise), minus_rate(decay));
                let (rise, decay) = (rise.quantity(), decay.quantity());
                // The peak is at rise·decay/(decay − rise)·ln(decay/rise).
                let span = decay.plus(&rise.negative()).reciprocal();
                let ratio = decay.times(&rise.reciprocal()).ln();
                let peak = rise.times(&decay).times(&span).times(&ratio);
                let rising = minus_rise.times(&peak).exp();
                let decaying = minus_decay.times(&peak).exp();
                BoundKinetics::DoubleExponential {
                    minus_rise,
                    minus_decay,
                    scale: decaying.plus(&rising.negative()).reciprocal(),
                }
            }
        }
    }
}

/// A time course with its rates, −1/τ.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each run, and its tensors are read at every step"
)]
pub(crate) enum BoundKinetics {
    Exponential(Quantity),
    Alpha(Quantity),
    DoubleExponential {
        minus_rise: Quantity,
        minus_decay: Quantity,
        scale: Quantity,
    },
}

impl BoundKinetics {
    /// The names of the state variables.
    pub(crate) fn variables(&self) -> &'static [&'static str] {
        match self {
            Self::Exponential(_) => &["open"],
            Self::Alpha(_) => &["open", "released"],
            Self::DoubleExponential { .. } => &["decaying", "rising"],
        }
    }

    /// The exact solution after `dt`, with `arrived` `[batch, post]` (weights times spikes) at its beginning.
    pub(crate) fn step(
        &self,
        dt: f64,
        state: &[Tensor<2>],
        arrived: Option<Tensor<2>>,
    ) -> Vec<Tensor<2>> {
        let kick = |x: &Tensor<2>| match &arrived {
            Some(arrived) => x.clone() + arrived.clone(),
            None => x.clone(),
        };
        let dt = Quantity::Number(dt);
        let left = |minus_rate: &Quantity| minus_rate.times(&dt).exp();
        match self {
            Self::Exponential(rate) => vec![left(rate).scale(kick(&state[0]))],
            Self::Alpha(rate) => {
                let (released, left) = (kick(&state[1]), left(rate));
                let opening = rate.times(&dt).times(&Quantity::Number(-E));
                let open = state[0].clone() + opening.scale(released.clone());
                vec![left.scale(open), left.scale(released)]
            }
            Self::DoubleExponential {
                minus_rise,
                minus_decay,
                ..
            } => vec![
                left(minus_decay).scale(kick(&state[0])),
                left(minus_rise).scale(kick(&state[1])),
            ],
        }
    }

    /// The exact mean of what is open over the `dt` from a state on, `[batch, post]`.
    pub(crate) fn mean(&self, dt: f64, state: &[Tensor<2>]) -> Tensor<2> {
        let dt = Quantity::Number(dt);
        match self {
            Self::Exponential(rate) => rate.times(&dt).mean_exp().scale(state[0].clone()),
            Self::Alpha(rate) => {
                // Open is e^(−t/τ)·(open + e·t/τ·released).
                let past = rate.times(&dt);
                let mean = past.mean_exp();
                let opening = mean
                    .plus(&past.exp().negative())
                    .times(&Quantity::Number(E));
                mean.scale(state[0].clone()) + opening.scale(state[1].clone())
            }
            Self::DoubleExponential {
                minus_rise,
                minus_decay,
                scale,
            } => {
                let mean =
                    |rate: &Quantity, x: &Tensor<2>| rate.times(&dt).mean_exp().scale(x.clone());
                scale.scale(mean(minus_decay, &state[0]) - mean(minus_rise, &state[1]))
            }
        }
    }

    /// What is open, `[batch, post]`.
    pub(crate) fn open(&self, state: &[Tensor<2>]) -> Tensor<2> {
        match self {
            Self::Exponential(_) | Self::Alpha(_) => state[0].clone(),
            Self::DoubleExponential { scale, .. } => {
                scale.scale(state[0].clone() - state[1].clone())
            }
        }
    }
}
