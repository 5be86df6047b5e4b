use burn::tensor::Tensor;

use super::{Activity, Rule, columns, outer, plasticity_rule};
use crate::State;

plasticity_rule! {
    "oja",
    /// Oja's rule (Oja 1982): dw/dt = η (x y − y² w). With y = xᵀw and inputs of mean 0, every unit's weights tend to the
    /// unit-norm eigenvector of ⟨xxᵀ⟩ with the largest eigenvalue: all units find the same one ([`Sanger`](super::Sanger)
    /// finds several), unless their activities compete.
    module Oja,
    config OjaConfig,
    parameters: {
        /// η above 0, per unit of time. Stable for η·dt below 1/⟨y²⟩, or so.
        rate = 0.01, Positive, post;
    }
}

impl Rule for Oja {
    fn name(&self) -> &'static str {
        "oja"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt, .. } = activity;
        let scaled = post.clone() * self.rate.value().mul_scalar(*dt);
        let growth = outer(pre.clone(), scaled.clone(), weights);
        let decay = weights.clone() * columns(scaled * post.clone(), weights);
        (growth - decay, traces.clone())
    }
}
