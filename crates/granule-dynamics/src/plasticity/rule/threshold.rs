//! What the covariance rule compares activities with.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::averaged;
use crate::Parameter;
use crate::setting::{Range, Setting};

/// What an activity is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ThresholdConfig {
    /// A level, in the unit of the activity.
    Fixed {
        /// The level; 0 takes the activity as it is.
        value: f64,
    },
    /// The unit's own running mean.
    Mean {
        /// Of the exponential average, above 0, in ms.
        time_constant: f64,
    },
}

impl ThresholdConfig {
    pub(super) fn setting(&self, name: &'static str) -> Setting<'_> {
        match self {
            Self::Fixed { value } => Setting::number(name, value, Range::Any),
            Self::Mean { time_constant } => Setting::number(name, time_constant, Range::Positive),
        }
    }

    pub(super) fn with(self, parameter: Parameter) -> Threshold {
        match self {
            Self::Fixed { .. } => Threshold::Fixed(parameter),
            Self::Mean { .. } => Threshold::Mean(parameter),
        }
    }
}

/// What an activity is compared with.
#[derive(Module, Debug)]
pub enum Threshold {
    /// A level, `[1, 1]` or `[1, units]`.
    Fixed(Parameter),
    /// A running mean with this time constant, `[1, 1]` or `[1, units]`, that begins at 0. A step uses the mean before it.
    Mean(Parameter),
}

impl Threshold {
    pub(super) fn is_mean(&self) -> bool {
        matches!(self, Self::Mean(_))
    }

    /// The activity less the threshold, and the mean after the step.
    pub(super) fn compare(
        &self,
        x: &Tensor<2>,
        mean: Option<&Tensor<2>>,
        dt: f64,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        match (self, mean) {
            (Self::Mean(time_constant), Some(mean)) => {
                let next = averaged(mean.clone(), x.clone(), time_constant, dt);
                (x.clone() - mean.clone(), Some(next))
            }
            (Self::Fixed(level) | Self::Mean(level), _) => (x.clone() - level.value(), None),
        }
    }
}
