use burn::module::Module;
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, columns, outer};
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, Parameter, Place, State};

/// Settings of [`Competitive`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CompetitiveConfig {
    /// η above 0, per unit of time. A unit learns from the rows it wins, one in as many as there are units.
    pub rate: f64,
    /// Δ of at least 0: how strongly the unit at `rank` unlearns.
    pub inhibition: f64,
    /// At least 2.
    pub rank: usize,
    /// The settings that training by gradient may change.
    pub trainable: Vec<String>,
}

impl Default for CompetitiveConfig {
    fn default() -> Self {
        Self {
            rate: 0.02,
            inhibition: 0.4,
            rank: 2,
            trainable: Vec::new(),
        }
    }
}

impl CompetitiveConfig {
    fn settings(&self) -> [Setting<'_>; 2] {
        [
            Setting::number("rate", &self.rate, Range::Positive),
            Setting::number("inhibition", &self.inhibition, Range::NonNegative),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        if self.rank < 2 {
            return Err(DynamicsError::config(
                "competitive.rank",
                self.rank,
                "at least 2",
            ));
        }
        setting::validate(
            "competitive",
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
    pub fn init(&self, place: &Place) -> Result<Competitive, DynamicsError> {
        self.validate()?;
        let [rate, inhibition] =
            setting::init("competitive", self.settings(), &self.trainable, place);
        Ok(Competitive {
            rate: rate?,
            inhibition: inhibition?,
            rank: self.rank,
        })
    }
}

/// Competitive Hebbian learning with global inhibition (Krotov and Hopfield 2019, with p = 2): dw/dt = η g (x − y w), where
/// g is 1 for the unit with the largest response y to a row, −Δ for the one at `rank`, and 0 for all others. The weights of
/// a unit tend to the direction of the mean of the rows it wins, with norm 1.
///
/// Fewer units than `rank` leave out the inhibition.
#[derive(Module, Debug)]
pub struct Competitive {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
    /// Δ, `[1, 1]` or `[1, post]`.
    pub inhibition: Parameter,
    #[module(skip)]
    rank: usize,
}

impl Competitive {
    /// g, `[batch, post]`.
    fn competition(&self, post: &Tensor<2>) -> Tensor<2> {
        let [_, units] = post.dims();
        let dtype: DType = post.dtype();
        let responses = post.clone().without_autodiff();
        let at = |level: Tensor<2>| responses.clone().equal(level).float().cast(dtype);
        if self.rank > units {
            return at(responses.clone().max_dim(1));
        }
        let largest = responses.clone().topk(self.rank, 1);
        let winner = at(largest.clone().narrow(1, 0, 1));
        let inhibited = at(largest.narrow(1, self.rank - 1, 1));
        winner - inhibited * self.inhibition.value()
    }
}

impl Rule for Competitive {
    fn name(&self) -> &'static str {
        "competitive"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt } = activity;
        let chosen = self.competition(post) * self.rate.value().mul_scalar(*dt);
        let growth = outer(pre.clone(), chosen.clone(), weights);
        let decay = weights.clone() * columns(chosen * post.clone(), weights);
        (growth - decay, traces.clone())
    }
}
