use burn::tensor::{Tensor, activation};

use super::{Activity, Rule, outer, plasticity_rule};
use crate::State;

plasticity_rule! {
    "two-threshold",
    /// The two thresholds of Artola, Bröcher and Singer (1990): an active synapse onto a unit whose activity is below θ₋ stays
    /// as it is, between θ₋ and θ₊ it is depressed, and above θ₊ potentiated. dw/dt = η x φ(y) with the simplest continuous
    /// function of these signs, φ(y) = max(y − θ₋, 0)(y − θ₊).
    module TwoThreshold,
    config TwoThresholdConfig,
    parameters: {
        /// η above 0, per unit of time.
        rate = 0.01, Positive, post;
        /// θ₋, above which a synapse is depressed, in the unit of the activity.
        depression_threshold = 0.5, Any, post;
        /// θ₊ − θ₋ above 0: potentiation begins that much higher.
        gap = 0.5, Positive, post;
    }
}

impl Rule for TwoThreshold {
    fn name(&self) -> &'static str {
        "two-threshold"
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt, .. } = activity;
        let above = post.clone() - self.depression_threshold.value();
        let factor = activation::relu(above.clone()) * (above - self.gap.value());
        let rate = self.rate.value().mul_scalar(*dt);
        let change = outer(pre.clone(), factor * rate, weights);
        (change, traces.clone())
    }
}
