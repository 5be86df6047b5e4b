use burn::tensor::Tensor;

use super::{Activity, Rule, averaged, outer, plasticity_rule};
use crate::{State, Variable};

plasticity_rule! {
    "bcm",
    /// Bienenstock, Cooper and Munro's rule (1982) with the threshold of Intrator and Cooper (1992):
    /// dw/dt = η x y (y − θ), τ_θ dθ/dt = y²/y₀ − θ. Responses below the threshold are weakened and those above it strengthened,
    /// and the threshold follows the mean square of the response, so that a unit becomes selective: of patterns that come with
    /// probability p each, it answers one with y₀/p and the others with 0.
    ///
    /// A step changes weights by the threshold before it.
    module Bcm,
    config BcmConfig,
    parameters: {
        /// η above 0, per unit of time.
        rate = 0.01, Positive, post;
        /// τ_θ above 0, in ms. The threshold must move faster than the weights, or both oscillate.
        time_constant = 10.0, Positive, post;
        /// y₀ above 0, in the unit of the activity.
        target = 1.0, Positive, post;
    }
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
        let Activity { pre, post, dt, .. } = activity;
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
