use std::f64::consts::E;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::parameter::{self, Bounds, Parameter, Setting, Values};
use crate::{DynamicsError, Place};

/// The time course after one spike at t = 0 through a weight w; each value for all postsynaptic cells or one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    fn settings(&self) -> Result<Vec<Setting<'_>>, DynamicsError> {
        Ok(match self {
            Self::Exponential { time_constant } | Self::Alpha { time_constant } => {
                vec![Setting::new(
                    "time_constant",
                    time_constant,
                    Bounds::Above(0.0),
                )]
            }
            Self::DoubleExponential { rise, decay } => {
                let positive = Bounds::Above(0.0);
                for (name, values) in [("rise", rise), ("decay", decay)] {
                    let values = Setting::new(name, values, positive);
                    parameter::validate(values.values.as_slice().len(), &[values], &[])?;
                }
                let values = |values: &Values| values.as_slice().to_vec();
                let slowest_rise = values(rise).into_iter().fold(0.0, f64::max);
                let fastest_decay = values(decay).into_iter().fold(f64::INFINITY, f64::min);
                if slowest_rise >= fastest_decay {
                    return Err(DynamicsError::config(
                        "rise",
                        slowest_rise,
                        format!("below decay = {fastest_decay}"),
                    ));
                }
                // A bound between the two keeps them apart while both are trained.
                let between = (slowest_rise * fastest_decay).sqrt();
                vec![
                    Setting::new("rise", rise, Bounds::Between(0.0, between)),
                    Setting::new("decay", decay, Bounds::Above(between)),
                ]
            }
        })
    }

    pub(super) fn validate(&self, trainable: &[String]) -> Result<(), DynamicsError> {
        let settings = self.settings()?;
        let units = settings.iter().map(|s| s.values.as_slice().len()).max();
        parameter::validate(units.unwrap_or(1), &settings, trainable)
    }

    pub(super) fn init(
        &self,
        post: usize,
        trainable: &[String],
        place: &Place,
    ) -> Result<Course, DynamicsError> {
        let settings = self.settings()?;
        parameter::validate(post, &settings, trainable)?;
        let mut made = settings.into_iter().map(|s| s.init(trainable, place));
        let mut next = || {
            let none = || DynamicsError::config("kinetics", "", "a time constant");
            made.next().ok_or_else(none)?
        };
        Ok(match self {
            Self::Exponential { .. } => Course::Exponential(next()?),
            Self::Alpha { .. } => Course::Alpha(next()?),
            Self::DoubleExponential { .. } => Course::DoubleExponential(Pair {
                rise: next()?,
                decay: next()?,
            }),
        })
    }
}

/// The parameters of a time course.
#[derive(Module, Debug)]
pub enum Course {
    /// τ.
    Exponential(Parameter),
    /// τ.
    Alpha(Parameter),
    /// Rise and decay.
    DoubleExponential(Pair),
}

/// The time constants of a double exponential, ms.
#[derive(Module, Debug)]
pub struct Pair {
    /// Below `decay`.
    pub rise: Parameter,
    /// Above `rise`.
    pub decay: Parameter,
}

impl Course {
    pub(super) fn bind(&self) -> Bound {
        match self {
            Self::Exponential(tau) => Bound::Exponential(tau.value().recip()),
            Self::Alpha(tau) => Bound::Alpha(tau.value().recip()),
            Self::DoubleExponential(Pair { rise, decay }) => {
                let (rise, decay) = (rise.value(), decay.value());
                let ratio = decay.clone() / rise.clone();
                let peak =
                    rise.clone() * decay.clone() / (decay.clone() - rise.clone()) * ratio.log();
                let (rise, decay) = (rise.recip(), decay.recip());
                let height = (-peak.clone() * decay.clone()).exp() - (-peak * rise.clone()).exp();
                Bound::DoubleExponential {
                    rise,
                    decay,
                    scale: height.recip(),
                }
            }
        }
    }
}

/// A time course with its rates, 1/ms.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Exponential(Tensor<2>),
    Alpha(Tensor<2>),
    DoubleExponential {
        rise: Tensor<2>,
        decay: Tensor<2>,
        scale: Tensor<2>,
    },
}

impl Bound {
    /// The names of the state variables.
    pub(super) fn variables(&self) -> &'static [&'static str] {
        match self {
            Self::Exponential(_) => &["open"],
            Self::Alpha(_) => &["open", "released"],
            Self::DoubleExponential { .. } => &["decaying", "rising"],
        }
    }

    /// The exact solution after `dt`, with `arrived` `[batch, post]` (weights times spikes) at its beginning.
    pub(super) fn step(
        &self,
        dt: f64,
        state: &[Tensor<2>],
        arrived: Option<Tensor<2>>,
    ) -> Vec<Tensor<2>> {
        let kick = |x: &Tensor<2>| match &arrived {
            Some(arrived) => x.clone() + arrived.clone(),
            None => x.clone(),
        };
        let left = |rate: &Tensor<2>| (-rate.clone() * dt).exp();
        match self {
            Self::Exponential(rate) => vec![kick(&state[0]) * left(rate)],
            Self::Alpha(rate) => {
                let (released, left) = (kick(&state[1]), left(rate));
                let opening = released.clone() * rate.clone() * (E * dt);
                vec![(state[0].clone() + opening) * left.clone(), released * left]
            }
            Self::DoubleExponential { rise, decay, .. } => {
                vec![kick(&state[0]) * left(decay), kick(&state[1]) * left(rise)]
            }
        }
    }

    /// What is open, `[batch, post]`.
    pub(super) fn open(&self, state: &[Tensor<2>]) -> Tensor<2> {
        match self {
            Self::Exponential(_) | Self::Alpha(_) => state[0].clone(),
            Self::DoubleExponential { scale, .. } => {
                (state[0].clone() - state[1].clone()) * scale.clone()
            }
        }
    }
}
