use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, outer};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State};

/// Settings of [`Sanger`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SangerConfig {
    /// η above 0, per unit of time.
    pub rate: f64,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for SangerConfig {
    fn default() -> Self {
        Self {
            rate: 0.01,
            trainable: Vec::new(),
        }
    }
}

impl SangerConfig {
    fn settings(&self) -> [Setting<'_>; 1] {
        [Setting::number("rate", &self.rate, Range::Positive)]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate("sanger", &self.settings(), &self.trainable, (1, "unit"))
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Sanger, DynamicsError> {
        self.validate()?;
        let [rate] = setting::init("sanger", self.settings(), &self.trainable, place);
        Ok(Sanger { rate: rate? })
    }
}

/// The generalised Hebbian algorithm (Sanger 1989): dwᵢⱼ/dt = η yⱼ (xᵢ − Σ_{k≤j} wᵢₖ yₖ). With y = xᵀW and inputs of mean 0
/// the columns of W tend to the eigenvectors of ⟨xxᵀ⟩, in the order of their eigenvalues, each of norm 1.
#[derive(Module, Debug)]
pub struct Sanger {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
}

impl Rule for Sanger {
    fn name(&self) -> &'static str {
        "sanger"
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
        let correlation = outer(post.clone(), scaled, weights).triu(0);
        let explained = weights.clone().matmul(correlation);
        (growth - explained, traces.clone())
    }
}
