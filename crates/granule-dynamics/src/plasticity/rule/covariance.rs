use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, Threshold, ThresholdConfig, outer};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State, Variable};

/// Settings of [`Covariance`]. The settings `pre` and `post` may be trainable: the level, or the mean's time constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CovarianceConfig {
    /// η above 0, per unit of time.
    #[cfg_attr(feature = "schema", schemars(transform = crate::setting::Range::Positive))]
    pub rate: f64,
    /// θ of the presynaptic activity.
    pub pre: ThresholdConfig,
    /// θ of the postsynaptic activity.
    pub post: ThresholdConfig,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for CovarianceConfig {
    fn default() -> Self {
        let mean = ThresholdConfig::Mean {
            time_constant: 100.0,
        };
        Self {
            rate: 0.01,
            pre: mean,
            post: mean,
            trainable: Vec::new(),
        }
    }
}

impl CovarianceConfig {
    fn settings(&self) -> [Setting<'_>; 3] {
        [
            Setting::number("rate", &self.rate, Range::Positive),
            self.pre.setting("pre"),
            self.post.setting("post"),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        setting::validate("covariance", &self.settings(), &self.trainable, (1, "unit"))
    }

    /// Makes the rule.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<Covariance, DynamicsError> {
        self.validate()?;
        let [rate, pre, post] =
            setting::init("covariance", self.settings(), &self.trainable, place);
        Ok(Covariance {
            rate: rate?,
            pre: self.pre.with(pre?),
            post: self.post.with(post?),
        })
    }
}

/// The covariance rule (Sejnowski 1977): dw/dt = η (x − θ_x)(y − θ_y). Activities on the same side of their thresholds are
/// potentiated and those on different sides depressed. With running means as thresholds the mean change is η times the
/// covariance of x and y; with one of them fixed at 0 it is the rule gated by the other side (Dayan and Abbott 2001, 8.2).
#[derive(Module, Debug)]
pub struct Covariance {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
    /// θ_x.
    pub pre: Threshold,
    /// θ_y.
    pub post: Threshold,
}

impl Rule for Covariance {
    fn name(&self) -> &'static str {
        "covariance"
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        let sides = [
            ("covariance.pre_mean", &self.pre, pre),
            ("covariance.post_mean", &self.post, post),
        ];
        let sides = sides.into_iter().filter(|(_, side, _)| side.is_mean());
        sides
            .map(|(name, _, width)| Variable::new(name, "1", width))
            .collect()
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let mut means = traces.tensors().iter();
        let mut side = |threshold: &Threshold, x: &Tensor<2>| {
            let mean = if threshold.is_mean() {
                means.next()
            } else {
                None
            };
            threshold.compare(x, mean, activity.dt)
        };
        let (pre, pre_mean) = side(&self.pre, &activity.pre);
        let (post, post_mean) = side(&self.post, &activity.post);
        let rate = self.rate.value().mul_scalar(activity.dt);
        let change = outer(pre, post * rate, weights);
        let means = [pre_mean, post_mean].into_iter().flatten();
        (change, State::new(means.collect()))
    }
}
