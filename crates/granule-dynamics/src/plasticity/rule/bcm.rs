use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, averaged, outer};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State, Variable};

/// Settings of [`Bcm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BcmConfig {
    /// η above 0, per unit of time.
    pub rate: f64,
    /// τ_θ above 0, in ms. The threshold must move faster than the weights, or both oscillate.
    pub time_constant: f64,
    /// y₀ above 0, in the unit of the activity.
    pub target: f64,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for BcmConfig {
    fn default() -> Self {
        Self {
            rate: 0.01,
            time_constant: 10.0,
            target: 1.0,
            trainable: Vec::new(),
        }
    }
}

impl BcmConfig {
    fn settings(&self) -> [Setting<'_>; 3] {
        [
            Setting::number("rate", &self.rate, Range::Positive),
            Setting::number("time_constant", &self.time_constant, Range::Positive),
            Setting::number("target", &self.target, Range::Positive),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate("bcm", &self.settings(), &self.trainable, (1, "unit"))
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Bcm, DynamicsError> {
        self.validate()?;
        let [rate, time_constant, target] =
            setting::init("bcm", self.settings(), &self.trainable, place);
        Ok(Bcm {
            rate: rate?,
            time_constant: time_constant?,
            target: target?,
        })
    }
}

/// Bienenstock, Cooper and Munro's rule (1982) with the threshold of Intrator and Cooper (1992):
/// dw/dt = η x y (y − θ), τ_θ dθ/dt = y²/y₀ − θ. Responses below the threshold are weakened and those above it strengthened,
/// and the threshold follows the mean square of the response, so that a unit becomes selective: of patterns that come with
/// probability p each, it answers one with y₀/p and the others with 0.
///
/// A step changes weights by the threshold before it.
#[derive(Module, Debug)]
pub struct Bcm {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
    /// τ_θ, `[1, 1]` or `[1, post]`.
    pub time_constant: Parameter,
    /// y₀, `[1, 1]` or `[1, post]`.
    pub target: Parameter,
}

impl Rule for Bcm {
    fn name(&self) -> &'static str {
        "bcm"
    }

    fn variables(&self, _pre: usize, post: usize) -> Vec<Variable> {
        vec![Variable::new("bcm.threshold", "1", post)]
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt } = activity;
        let threshold = traces[0].clone();
        let square = post.clone() * post.clone();
        let rate = self.rate.value().mul_scalar(*dt);
        let factor = (square.clone() - post.clone() * threshold.clone()) * rate;
        let change = outer(pre.clone(), factor, weights);
        let square = square / self.target.value();
        let threshold = averaged(threshold, square, &self.time_constant, *dt);
        (change, State::new(vec![threshold]))
    }
}
