use burn::tensor::Tensor;

use super::pair_stdp::Paired;
use super::{Activity, Pairing, Rule, Signal, plasticity_rule, retained, rows};
use crate::{Parameter, State, Variable};

plasticity_rule! {
    "reward-stdp",
    /// Spike-timing-dependent plasticity that a reward turns into changes of weights (Izhikevich 2007; Frémaux and Gerstner 2016):
    /// τ_e de/dt = −e + τ_e·STDP(t), τ_d dd/dt = −d + τ_d·r(t), dw/dt = (d − b)·e.
    ///
    /// Pairs of spikes change the eligibility e of their weight as [`PairStdp`](super::PairStdp) changes the weight itself, the
    /// reward of the activity raises d ([`Activity::reward`]), and between two steps the weight moves by the integral of (d − b)·e, which
    /// is exact. A reward counts for the pairs that were before it, and for those of the next τ_d.
    module RewardStdp,
    /// Those of Izhikevich's program, there with a tonic dopamine that b = −0.002 is.
    config RewardStdpConfig,
    parameters: {
        /// A₊ of at least 0, in the unit of the weights per unit of reward and ms.
        potentiation = 0.01, NonNegative, post;
        /// A₋ of at least 0, in the unit of A₊.
        depression = 0.015, NonNegative, post;
        /// τ₊ above 0, in ms.
        potentiation_time_constant = 20.0, Positive, pre;
        /// τ₋ above 0, in ms.
        depression_time_constant = 20.0, Positive, post;
        /// τ_e above 0, in ms: how long a pair is remembered.
        eligibility_time_constant = 1_000.0, Positive, post;
        /// τ_d above 0, in ms: how long a reward lasts.
        reward_time_constant = 200.0, Positive, post;
        /// b, the reward that leaves weights as they are, in the unit of the reward.
        baseline = 0.0, Any, post;
    }
    settings: {
        /// Which spikes make pairs.
        pairing: Pairing = Pairing::AllToAll;
    }
}

impl Rule for RewardStdp {
    fn name(&self) -> &'static str {
        "reward-stdp"
    }

    fn signal(&self) -> Option<Signal> {
        Some(Signal::Spikes)
    }

    fn needs_reward(&self) -> bool {
        true
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        vec![
            Variable::new("reward-stdp.pre", "1", pre),
            Variable::new("reward-stdp.post", "1", post),
            Variable::new("reward-stdp.eligibility", "1", pre * post),
            Variable::new("reward-stdp.reward", "1", post),
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

impl RewardStdp {
    /// `in_turn` says whether spikes of one step make a pair, the presynaptic one first.
    fn changed(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
        in_turn: bool,
    ) -> (Tensor<3>, State) {
        let dt = activity.dt;
        let [sets, pre, post] = weights.dims();
        let e = traces[2].clone();
        let e = e.clone().reshape([e.dims()[0], pre, post]);
        let d = traces[3].clone();

        // ∫(d − b)·e since the step before: both decay from what they were after it.
        let rate = |tau: &Parameter| tau.value().recip();
        let left_of_e = retained(&self.eligibility_time_constant, dt);
        let left_of_d = retained(&self.reward_time_constant, dt);
        let both = rate(&self.eligibility_time_constant) + rate(&self.reward_time_constant);
        let of_reward = (left_of_e.clone() * left_of_d.clone())
            .neg()
            .add_scalar(1.0)
            / both;
        let of_baseline = left_of_e.clone().neg().add_scalar(1.0)
            * self.eligibility_time_constant.value()
            * self.baseline.value();
        let factor = d.clone() * of_reward - of_baseline;
        let change = e.clone() * factor.unsqueeze_dim::<3>(1);
        let change = if sets == 1 {
            change.mean_dim(0)
        } else {
            change.expand([sets, pre, post])
        };

        let Paired {
            heard,
            up,
            down,
            traces: [before, after],
        } = Paired::new(
            self.pairing,
            [
                &self.potentiation,
                &self.depression,
                &self.potentiation_time_constant,
                &self.depression_time_constant,
            ],
            (activity, traces),
            in_turn,
        );
        let e = e * left_of_e.unsqueeze_dim::<3>(1) + rows(heard, up)
            - rows(activity.pre.clone(), down);
        let batch = e.dims()[0];
        let d = d * left_of_d;
        let d = match &activity.reward {
            Some(reward) => d + reward.clone(),
            None => d,
        };
        let traces = vec![before, after, e.reshape([batch, pre * post]), d];
        (change, State::new(traces))
    }
}
