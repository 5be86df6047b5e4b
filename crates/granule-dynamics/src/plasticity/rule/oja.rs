use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activity, Rule, columns, outer};
use crate::{Parameter, State};

rate_rule! {
    "oja", OjaConfig => Oja, Positive,
    /// η above 0, per unit of time. Stable for η·dt below 1/⟨y²⟩, or so.
}

/// Oja's rule (Oja 1982): dw/dt = η (x y − y² w). With y = xᵀw and inputs of mean 0, every unit's weights tend to the
/// unit-norm eigenvector of ⟨xxᵀ⟩ with the largest eigenvalue: all units find the same one ([`Sanger`](super::Sanger)
/// finds several), unless their activities compete.
#[derive(Module, Debug)]
pub struct Oja {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
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
        let Activity { pre, post, dt } = activity;
        let scaled = post.clone() * self.rate.value().mul_scalar(*dt);
        let growth = outer(pre.clone(), scaled.clone(), weights);
        let decay = weights.clone() * columns(scaled * post.clone(), weights);
        (growth - decay, traces.clone())
    }
}
