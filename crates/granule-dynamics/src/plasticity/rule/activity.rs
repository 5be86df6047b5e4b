//! What the weights lie between.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::DynamicsError;
use crate::setting::Range;

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

impl Signal {
    /// In words, for messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Rates => "rates",
            Self::Spikes => "spikes",
        }
    }
}

/// What both sides of the weights did during one step.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Of the presynaptic units, `[batch, pre]`: rates, or the number of spikes in this step.
    pub pre: Tensor<2>,
    /// Of the postsynaptic units, `[batch, post]`.
    pub post: Tensor<2>,
    /// The length of the step.
    pub dt: f64,
    /// The reward that came in the step, `[batch or 1, 1]`: of spikes their number, of a rate its integral over the step. Rules without
    /// a reward do not look at it.
    pub reward: Option<Tensor<2>>,
}

impl Activity {
    /// Checks that weights `[sets, pre, post]` lie between these activities, with one set for all rows or one for each.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`]; [`DynamicsError::Config`] for a `dt` that is not above 0.
    pub fn check(&self, weights: &Tensor<3>) -> Result<(), DynamicsError> {
        let [sets, pre, post] = weights.dims();
        let [batch, _] = self.pre.dims();
        let fits = |what: &str, x: &Tensor<2>, width: usize| {
            if x.dims() == [batch, width] {
                Ok(())
            } else {
                Err(DynamicsError::Shape {
                    what: format!("the {what}synaptic activity"),
                    expected: vec![batch, width],
                    found: x.dims().to_vec(),
                })
            }
        };
        fits("pre", &self.pre, pre)?;
        fits("post", &self.post, post)?;
        if let Some(reward) = &self.reward
            && ![[1, 1], [batch, 1]].contains(&reward.dims())
        {
            return Err(DynamicsError::Shape {
                what: "the reward".into(),
                expected: vec![batch, 1],
                found: reward.dims().to_vec(),
            });
        }
        if ![1, batch].contains(&sets) {
            return Err(DynamicsError::Shape {
                what: "the weights (sets)".into(),
                expected: vec![batch, pre, post],
                found: vec![sets, pre, post],
            });
        }
        Range::Positive.check("dt", self.dt)
    }
}
