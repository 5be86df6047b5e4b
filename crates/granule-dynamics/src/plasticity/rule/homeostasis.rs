use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, averaged, columns};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State, Variable};

/// What an activity is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Rates.
    #[default]
    Rates,
    /// Numbers of spikes in a step; divided by its length they are rates per ms.
    Spikes,
}

/// Settings of [`Homeostasis`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HomeostasisConfig {
    /// y* above 0, in the unit of the activity; of spikes, per ms.
    pub target: f64,
    /// τ_w above 0, in ms times the unit of the activity: large, for scaling takes hours to days.
    pub time_constant: f64,
    /// τ_a above 0, in ms: of the average of the activity.
    pub average_time_constant: f64,
    /// What the activity is.
    pub signal: Signal,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for HomeostasisConfig {
    fn default() -> Self {
        Self {
            target: 1.0,
            time_constant: 10_000.0,
            average_time_constant: 1_000.0,
            signal: Signal::Rates,
            trainable: Vec::new(),
        }
    }
}

impl HomeostasisConfig {
    fn settings(&self) -> [Setting<'_>; 3] {
        [
            Setting::number("target", &self.target, Range::Positive),
            Setting::number("time_constant", &self.time_constant, Range::Positive),
            Setting::number(
                "average_time_constant",
                &self.average_time_constant,
                Range::Positive,
            ),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate(
            "homeostasis",
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
    pub fn init(&self, place: &Place) -> Result<Homeostasis, DynamicsError> {
        self.validate()?;
        let [target, time_constant, average_time_constant] =
            setting::init("homeostasis", self.settings(), &self.trainable, place);
        Ok(Homeostasis {
            target: target?,
            time_constant: time_constant?,
            average_time_constant: average_time_constant?,
            signal: self.signal,
        })
    }
}

/// Homeostatic synaptic scaling (Turrigiano, Leslie, Desai, Rutherford and Nelson 1998; van Rossum, Bi and Turrigiano 2000):
/// τ_w dw/dt = w (y* − ā), τ_a dā/dt = y − ā. All weights onto a unit are multiplied by one factor, so that their ratios
/// stay, until its average activity ā, which begins at y*, is at the target.
#[derive(Module, Debug)]
pub struct Homeostasis {
    /// y*, `[1, 1]` or `[1, post]`.
    pub target: Parameter,
    /// τ_w, `[1, 1]` or `[1, post]`.
    pub time_constant: Parameter,
    /// τ_a, `[1, 1]` or `[1, post]`.
    pub average_time_constant: Parameter,
    #[module(skip)]
    signal: Signal,
}

impl Rule for Homeostasis {
    fn name(&self) -> &'static str {
        "homeostasis"
    }

    fn variables(&self, _pre: usize, post: usize) -> Vec<Variable> {
        let unit = match self.signal {
            Signal::Rates => "1",
            Signal::Spikes => "1/ms",
        };
        vec![Variable::new("homeostasis.average", unit, post)]
    }

    fn initial(&self, batch: usize, _pre: usize, post: usize, _place: &Place) -> State {
        State::new(vec![self.target.value().expand([batch, post])])
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { post, dt, .. } = activity;
        let rate = match self.signal {
            Signal::Rates => post.clone(),
            Signal::Spikes => post.clone().mul_scalar(dt.recip()),
        };
        let average = averaged(traces[0].clone(), rate, &self.average_time_constant, *dt);
        let error = (self.target.value() - average.clone()).mul_scalar(*dt);
        let factor = columns(error / self.time_constant.value(), weights);
        (weights.clone() * factor, State::new(vec![average]))
    }
}
