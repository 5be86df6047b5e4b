use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, columns, outer};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State};

/// Settings of [`Oja`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OjaConfig {
    /// η above 0, per unit of time. Stable for η·dt below 1/⟨y²⟩, or so.
    pub rate: f64,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for OjaConfig {
    fn default() -> Self {
        Self {
            rate: 0.01,
            trainable: Vec::new(),
        }
    }
}

impl OjaConfig {
    fn settings(&self) -> [Setting<'_>; 1] {
        [Setting::number("rate", &self.rate, Range::Positive)]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate("oja", &self.settings(), &self.trainable, (1, "unit"))
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Oja, DynamicsError> {
        self.validate()?;
        let [rate] = setting::init("oja", self.settings(), &self.trainable, place);
        Ok(Oja { rate: rate? })
    }
}

/// Oja's rule (Oja 1982): dw/dt = η (x y − y² w). With y = xᵀw and inputs of mean 0, every unit's weights tend to the
/// unit-norm eigenvector of ⟨xxᵀ⟩ with the largest eigenvalue: all units find the same one ([`Sanger`](super::Sanger)
/// finds several), unless their activities compete.
#[derive(Module, Debug)]
pub struct Oja {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
}

impl Rule for Oja {
    fn name(&self) -> &'static str {
        "oja"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt } = activity;
        let scaled = post.clone() * self.rate.value().mul_scalar(*dt);
        let growth = outer(pre.clone(), scaled.clone(), weights);
        let decay = weights.clone() * columns(scaled * post.clone(), weights);
        (growth - decay, traces.clone())
    }
}
