use burn::module::Module;
use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, outer};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State};

/// Settings of [`TwoThreshold`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TwoThresholdConfig {
    /// η above 0, per unit of time.
    pub rate: f64,
    /// θ₋, above which a synapse is depressed, in the unit of the activity.
    pub depression_threshold: f64,
    /// θ₊ − θ₋ above 0: potentiation begins that much higher.
    pub gap: f64,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for TwoThresholdConfig {
    fn default() -> Self {
        Self {
            rate: 0.01,
            depression_threshold: 0.5,
            gap: 0.5,
            trainable: Vec::new(),
        }
    }
}

impl TwoThresholdConfig {
    fn settings(&self) -> [Setting<'_>; 3] {
        [
            Setting::number("rate", &self.rate, Range::Positive),
            Setting::number(
                "depression_threshold",
                &self.depression_threshold,
                Range::Any,
            ),
            Setting::number("gap", &self.gap, Range::Positive),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate(
            "two-threshold",
            &self.settings(),
            &self.trainable,
            (1, "unit"),
        )
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<TwoThreshold, DynamicsError> {
        self.validate()?;
        let [rate, depression_threshold, gap] =
            setting::init("two-threshold", self.settings(), &self.trainable, place);
        Ok(TwoThreshold {
            rate: rate?,
            depression_threshold: depression_threshold?,
            gap: gap?,
        })
    }
}

/// The two thresholds of Artola, Bröcher and Singer (1990): an active synapse onto a unit whose activity is below θ₋ stays
/// as it is, between θ₋ and θ₊ it is depressed, and above θ₊ potentiated. dw/dt = η x φ(y) with the simplest continuous
/// function of these signs, φ(y) = max(y − θ₋, 0)(y − θ₊).
#[derive(Module, Debug)]
pub struct TwoThreshold {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
    /// θ₋, `[1, 1]` or `[1, post]`.
    pub depression_threshold: Parameter,
    /// θ₊ − θ₋, `[1, 1]` or `[1, post]`.
    pub gap: Parameter,
}

impl Rule for TwoThreshold {
    fn name(&self) -> &'static str {
        "two-threshold"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt } = activity;
        let above = post.clone() - self.depression_threshold.value();
        let factor = activation::relu(above.clone()) * (above - self.gap.value());
        let rate = self.rate.value().mul_scalar(*dt);
        let change = outer(pre.clone(), factor * rate, weights);
        (change, traces.clone())
    }
}
