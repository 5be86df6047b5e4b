use burn::tensor::Tensor;

use super::{Activity, Rule, Signal, averaged, columns, plasticity_rule};
use crate::{Place, State, Variable};

plasticity_rule! {
    "homeostasis",
    /// Homeostatic synaptic scaling (Turrigiano, Leslie, Desai, Rutherford and Nelson 1998; van Rossum, Bi and Turrigiano 2000):
    /// τ_w dw/dt = w (y* − ā), τ_a dā/dt = y − ā. All weights onto a unit are multiplied by one factor, so that their ratios
    /// stay, until its average activity ā, which begins at y*, is at the target.
    module Homeostasis,
    config HomeostasisConfig,
    parameters: {
        /// y* above 0, in the unit of the activity; of spikes, per ms.
        target = 1.0, Positive, post;
        /// τ_w above 0, in ms times the unit of the activity: large, for scaling takes hours to days.
        time_constant = 10_000.0, Positive, post;
        /// τ_a above 0, in ms: of the average of the activity.
        average_time_constant = 1_000.0, Positive, post;
    }
    settings: {
        /// What the activity is.
        signal: Signal = Signal::Rates;
    }
}

impl Rule for Homeostasis {
    fn name(&self) -> &'static str {
        "homeostasis"
    }

    fn signal(&self) -> Option<Signal> {
        Some(self.signal)
    }

    fn variables(&self, _pre: usize, post: usize) -> Vec<Variable> {
        let unit = match self.signal {
            Signal::Rates => "1",
            Signal::Spikes => "1/ms",
        };
        vec![Variable::new("homeostasis.average", unit, post)]
    }

    fn initial(&self, batch: usize, _pre: usize, post: usize, _place: &Place) -> State {
        State::new(vec![self.target.value().expand([batch, post])])
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { post, dt, .. } = activity;
        let rate = match self.signal {
            Signal::Rates => post.clone(),
            Signal::Spikes => post.clone().mul_scalar(dt.recip()),
        };
        let average = averaged(traces[0].clone(), rate, &self.average_time_constant, *dt);
        let error = (self.target.value() - average.clone()).mul_scalar(*dt);
        let factor = columns(error / self.time_constant.value(), weights);
        (weights.clone() * factor, State::new(vec![average]))
    }
}
