use burn::tensor::Tensor;

use super::{Activity, Rule, Signal, columns, plasticity_rule};
use crate::State;

plasticity_rule! {
    "decay",
    /// Forgetting: dw/dt = −λw, solved exactly over a step. With [`Hebb`](super::Hebb) it makes the fast weights of Ba, Hinton,
    /// Mnih, Leibo and Ionescu (2016).
    module Decay,
    config DecayConfig,
    parameters: {
        /// λ above 0, per unit of time.
        rate = 0.01, Positive, post;
    }
}

impl Rule for Decay {
    fn name(&self) -> &'static str {
        "decay"
    }

    fn signal(&self) -> Option<Signal> {
        None
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
