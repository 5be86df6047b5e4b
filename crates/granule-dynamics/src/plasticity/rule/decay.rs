use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, columns};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State};

/// Settings of [`Decay`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecayConfig {
    /// λ above 0, per unit of time.
    pub rate: f64,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for DecayConfig {
    fn default() -> Self {
        Self {
            rate: 0.01,
            trainable: Vec::new(),
        }
    }
}

impl DecayConfig {
    fn settings(&self) -> [Setting<'_>; 1] {
        [Setting::number("rate", &self.rate, Range::Positive)]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate("decay", &self.settings(), &self.trainable, (1, "unit"))
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Decay, DynamicsError> {
        self.validate()?;
        let [rate] = setting::init("decay", self.settings(), &self.trainable, place);
        Ok(Decay { rate: rate? })
    }
}

/// Forgetting: dw/dt = −λw, solved exactly over a step. With [`Hebb`](super::Hebb) it makes the fast weights of Ba, Hinton,
/// Mnih, Leibo and Ionescu (2016).
#[derive(Module, Debug)]
pub struct Decay {
    /// λ per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
}

impl Rule for Decay {
    fn name(&self) -> &'static str {
        "decay"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let kept = self.rate.value().mul_scalar(-activity.dt).exp();
        let change = weights.clone() * columns(kept.sub_scalar(1.0), weights);
        (change, traces.clone())
    }
}
