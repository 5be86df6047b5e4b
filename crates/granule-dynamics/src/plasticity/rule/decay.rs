use burn::module::Module;
use burn::tensor::Tensor;

use super::{Activity, Rule, columns};
use crate::{Parameter, State};

rate_rule! {
    "decay", DecayConfig => Decay, Positive,
    /// λ above 0, per unit of time.
}

/// Forgetting: dw/dt = −λw, solved exactly over a step. With [`Hebb`](super::Hebb) it makes the fast weights of Ba, Hinton,
/// Mnih, Leibo and Ionescu (2016).
#[derive(Module, Debug)]
pub struct Decay {
    /// λ per unit of time, `[1, 1]` or `[1, post]`.
    pub rate: Parameter,
}

impl Rule for Decay {
    fn name(&self) -> &'static str {
        "decay"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let kept = self.rate.value().mul_scalar(-activity.dt).exp();
        let change = weights.clone() * columns(kept.sub_scalar(1.0), weights);
        (change, traces.clone())
    }
}
