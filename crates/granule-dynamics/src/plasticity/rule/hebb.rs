use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activity, Rule, outer};
use crate::{Parameter, State};

rate_rule! {
    "hebb", HebbConfig => Hebb, Any,
    /// η, any sign, per unit of time; below 0 it is anti-Hebbian.
}

/// Hebb's postulate (Hebb 1949) in its simplest form: dw/dt = η x y. Weights grow without end unless [limits] or another
/// rule, such as [`Decay`](super::Decay), hold them.
///
/// [limits]: super::super::WeightLimits
#[derive(Module, Debug)]
pub struct Hebb {
    /// η per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
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
        let Activity { pre, post, dt } = activity;
        let rate = self.rate.value().mul_scalar(*dt);
        let change = outer(pre.clone(), post.clone() * rate, weights);
        (change, traces.clone())
    }
}
