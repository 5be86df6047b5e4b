use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, outer};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State};

/// Settings of [`Hebb`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HebbConfig {
    /// η, any sign, per unit of time; below 0 it is anti-Hebbian.
    pub rate: f64,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for HebbConfig {
    fn default() -> Self {
        Self {
            rate: 0.01,
            trainable: Vec::new(),
        }
    }
}

impl HebbConfig {
    fn settings(&self) -> [Setting<'_>; 1] {
        [Setting::number("rate", &self.rate, Range::Any)]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate("hebb", &self.settings(), &self.trainable, (1, "unit"))
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Hebb, DynamicsError> {
        self.validate()?;
        let [rate] = setting::init("hebb", self.settings(), &self.trainable, place);
        Ok(Hebb { rate: rate? })
    }
}

/// Hebb's postulate (Hebb 1949) in its simplest form: dw/dt = η x y. Weights grow without end unless [limits] or another
/// rule, such as [`Decay`](super::Decay), hold them.
///
/// [limits]: super::super::WeightLimits
#[derive(Module, Debug)]
pub struct Hebb {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
}

impl Rule for Hebb {
    fn name(&self) -> &'static str {
        "hebb"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt } = activity;
        let rate = self.rate.value().mul_scalar(*dt);
        let change = outer(pre.clone(), post.clone() * rate, weights);
        (change, traces.clone())
    }
}
