use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activity, Rule, outer};
use crate::{Parameter, State};

rate_rule! {
    "sanger", SangerConfig => Sanger, Positive,
    /// η above 0, per unit of time.
}

/// The generalised Hebbian algorithm (Sanger 1989): dwᵢⱼ/dt = η yⱼ (xᵢ − Σ_{k≤j} wᵢₖ yₖ). With y = xᵀW and inputs of mean 0
/// the columns of W tend to the eigenvectors of ⟨xxᵀ⟩, in the order of their eigenvalues, each of norm 1.
#[derive(Module, Debug)]
pub struct Sanger {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
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
        let Activity { pre, post, dt } = activity;
        let scaled = post.clone() * self.rate.value().mul_scalar(*dt);
        let growth = outer(pre.clone(), scaled.clone(), weights);
        let correlation = outer(post.clone(), scaled, weights).triu(0);
        let explained = weights.clone().matmul(correlation);
        (growth - explained, traces.clone())
    }
}
