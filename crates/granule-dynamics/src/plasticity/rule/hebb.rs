use burn::tensor::Tensor;

use super::{Activity, Rule, outer, plasticity_rule};
use crate::State;

plasticity_rule! {
    "hebb",
    /// Hebb's postulate (Hebb 1949) in its simplest form: dw/dt = η x y. Weights grow without end unless [limits] or another
    /// rule, such as [`Decay`](super::Decay), hold them.
    ///
    /// [limits]: super::super::WeightLimits
    module Hebb,
    config HebbConfig,
    parameters: {
        /// η, any sign, per unit of time; below 0 it is anti-Hebbian.
        rate = 0.01, Any, post;
    }
}

impl Rule for Hebb {
    fn name(&self) -> &'static str {
        "hebb"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt, .. } = activity;
        let rate = self.rate.value().mul_scalar(*dt);
        let change = outer(pre.clone(), post.clone() * rate, weights);
        (change, traces.clone())
    }
}
