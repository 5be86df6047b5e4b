use burn::tensor::Tensor;

use super::{Activity, Pairing, Rule, Signal, outer, plasticity_rule, retained};
use crate::{Parameter, State, Variable};

plasticity_rule! {
    "triplet-stdp",
    /// Spike-timing-dependent plasticity of pairs and triplets (Pfister and Gerstner 2006). A presynaptic spike changes the
    /// weight by −o₁ (A₂₋ + A₃₋ r₂), a postsynaptic one by r₁ (A₂₊ + A₃₊ o₂), with the traces before the spikes of the step.
    module TripletStdp,
    /// The full all-to-all model fitted to visual cortex by Pfister and Gerstner (2006); the numbers belong to that pairing.
    config TripletStdpConfig,
    parameters: {
        /// A₂₊ of at least 0, in the unit of the weights.
        pair_potentiation = 5e-10, NonNegative, post;
        /// A₃₊ of at least 0.
        triplet_potentiation = 6.2e-3, NonNegative, post;
        /// A₂₋ of at least 0.
        pair_depression = 7e-3, NonNegative, post;
        /// A₃₋ of at least 0.
        triplet_depression = 2.3e-4, NonNegative, post;
        /// τ₊ above 0, in ms: of r₁, the fast presynaptic trace.
        pre_time_constant = 16.8, Positive, pre;
        /// τ_x above 0, in ms: of r₂, the slow presynaptic trace.
        slow_pre_time_constant = 101.0, Positive, pre;
        /// τ₋ above 0, in ms: of o₁, the fast postsynaptic trace.
        post_time_constant = 33.7, Positive, post;
        /// τ_y above 0, in ms: of o₂, the slow postsynaptic trace.
        slow_post_time_constant = 125.0, Positive, post;
    }
    settings: {
        /// Which spikes make pairs and triplets. Each pairing has amplitudes and time constants of its own.
        pairing: Pairing = Pairing::AllToAll;
    }
}

impl TripletStdpConfig {
    /// The full nearest-spike model fitted to visual cortex by Pfister and Gerstner (2006).
    pub fn nearest_neighbour() -> Self {
        Self {
            pair_potentiation: 8.8e-11,
            triplet_potentiation: 5.3e-2,
            pair_depression: 6.6e-3,
            triplet_depression: 3.1e-3,
            slow_pre_time_constant: 714.0,
            slow_post_time_constant: 40.0,
            pairing: Pairing::NearestNeighbour,
            ..Self::default()
        }
    }
}

impl Rule for TripletStdp {
    fn name(&self) -> &'static str {
        "triplet-stdp"
    }

    fn signal(&self) -> Option<Signal> {
        Some(Signal::Spikes)
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        vec![
            Variable::new("triplet-stdp.pre", "1", pre),
            Variable::new("triplet-stdp.slow_pre", "1", pre),
            Variable::new("triplet-stdp.post", "1", post),
            Variable::new("triplet-stdp.slow_post", "1", post),
        ]
    }

    fn change(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        self.changed(weights, activity, traces, false)
    }

    fn change_in_turn(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
    ) -> (Tensor<3>, State) {
        self.changed(weights, activity, traces, true)
    }
}

impl TripletStdp {
    /// `in_turn` says whether spikes of one step make a pair, the presynaptic one first.
    fn changed(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
        in_turn: bool,
    ) -> (Tensor<3>, State) {
        let Activity { pre, post, dt, .. } = activity;
        let decayed = |trace: usize, tau: &Parameter| traces[trace].clone() * retained(tau, *dt);
        let r1 = decayed(0, &self.pre_time_constant);
        let r2 = decayed(1, &self.slow_pre_time_constant);
        let o1 = decayed(2, &self.post_time_constant);
        let o2 = decayed(3, &self.slow_post_time_constant);
        let up = o2.clone() * self.triplet_potentiation.value() + self.pair_potentiation.value();
        let heard = if in_turn {
            self.pairing.with_spikes(r1.clone(), pre)
        } else {
            r1.clone()
        };
        let potentiation = outer(heard, post.clone() * up, weights);
        let pairs = o1.clone() * self.pair_depression.value();
        let triplets = o1.clone() * self.triplet_depression.value();
        let depression =
            outer(pre.clone(), pairs, weights) + outer(pre.clone() * r2.clone(), triplets, weights);
        let traces = [(r1, pre), (r2, pre), (o1, post), (o2, post)]
            .map(|(trace, spikes)| self.pairing.with_spikes(trace, spikes));
        (potentiation - depression, State::new(traces.to_vec()))
    }
}
