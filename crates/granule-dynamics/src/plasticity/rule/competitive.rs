use burn::tensor::{DType, Tensor};

use super::{Activity, Rule, columns, outer, plasticity_rule};
use crate::{DynamicsError, State};

plasticity_rule! {
    "competitive",
    /// Competitive Hebbian learning with global inhibition (Krotov and Hopfield 2019, with p = 2): dw/dt = η g (x − y w), where
    /// g is 1 for the unit with the largest response y to a row, −Δ for the one at `rank`, and 0 for all others. The weights of
    /// a unit tend to the direction of the mean of the rows it wins, with norm 1.
    ///
    /// Fewer units than `rank` leave out the inhibition.
    module Competitive,
    config CompetitiveConfig checked by check_rank,
    parameters: {
        /// η above 0, per unit of time. A unit learns from the rows it wins, one in as many as there are units.
        rate = 0.02, Positive, post;
        /// Δ of at least 0: how strongly the unit at `rank` unlearns.
        inhibition = 0.4, NonNegative, post;
    }
    settings: {
        /// At least 2.
        #[cfg_attr(feature = "schema", schemars(range(min = 2)))]
        rank: usize = 2;
    }
}

/// The rank of a unit that unlearns, below the winner's.
fn check_rank(config: &CompetitiveConfig) -> Result<(), DynamicsError> {
    if config.rank < 2 {
        let field = "competitive.rank";
        return Err(DynamicsError::config(field, config.rank, "at least 2"));
    }
    Ok(())
}

impl Competitive {
    /// g, `[batch, post]`.
    fn competition(&self, post: &Tensor<2>) -> Tensor<2> {
        let [_, units] = post.dims();
        let dtype: DType = post.dtype();
        let responses = crate::state::plain(post.clone());
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
        let Activity { pre, post, dt, .. } = activity;
        let chosen = self.competition(post) * self.rate.value().mul_scalar(*dt);
        let growth = outer(pre.clone(), chosen.clone(), weights);
        let decay = weights.clone() * columns(chosen * post.clone(), weights);
        (growth - decay, traces.clone())
    }
}
