use burn::tensor::Tensor;

use super::{Activity, Rule, outer, plasticity_rule};
use crate::State;

plasticity_rule! {
    "sanger",
    /// The generalised Hebbian algorithm (Sanger 1989): dwᵢⱼ/dt = η yⱼ (xᵢ − Σ_{k≤j} wᵢₖ yₖ). With y = xᵀW and inputs of mean 0
    /// the columns of W tend to the eigenvectors of ⟨xxᵀ⟩, in the order of their eigenvalues, each of norm 1.
    module Sanger,
    config SangerConfig,
    parameters: {
        /// η above 0, per unit of time.
        rate = 0.01, Positive, post;
    }
}

impl Rule for Sanger {
    fn name(&self) -> &'static str {
        "sanger"
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
        let correlation = outer(post.clone(), scaled, weights).triu(0);
        let explained = weights.clone().matmul(correlation);
        (growth - explained, traces.clone())
    }
}
