use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Activity, Rule, Signal, outer, plasticity_rule, retained};
use crate::{Parameter, State, Variable};

/// Which spikes make pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Every spike with every earlier spike of the other side: a spike adds 1 to its trace.
    #[default]
    AllToAll,
    /// Every spike with the latest earlier spike of the other side only: a spike sets its trace to 1.
    NearestNeighbour,
}

impl Pairing {
    /// A trace that has decayed, after the spikes of a step.
    pub(super) fn with_spikes(self, trace: Tensor<2>, spikes: &Tensor<2>) -> Tensor<2> {
        match self {
            Self::AllToAll => trace + spikes.clone(),
            Self::NearestNeighbour => trace * spikes.clone().neg().add_scalar(1.0) + spikes.clone(),
        }
    }
}

plasticity_rule! {
    "pair-stdp",
    /// Spike-timing-dependent plasticity of pairs (Gerstner, Kempter, van Hemmen and Wagner 1996; Song, Miller and Abbott 2000)
    /// with Δt = t_post − t_pre: a pair changes the weight by A₊ e^(−Δt/τ₊) for Δt > 0 and by −A₋ e^(Δt/τ₋) for Δt < 0.
    ///
    /// Traces of both sides decay with τ₊ and τ₋ and rise with spikes. A postsynaptic spike potentiates by the presynaptic
    /// trace, a presynaptic one depresses by the postsynaptic trace. Two spikes in one step make no pair, except where it is known
    /// that the presynaptic one is first ([`Rule::change_in_turn`]).
    module PairStdp,
    /// A₊ = 0.01 and A₋/A₊ = 1.05 with τ± = 20 ms, as in Song, Miller and Abbott (2000), whose A₊ is 0.005.
    config PairStdpConfig,
    parameters: {
        /// A₊ of at least 0, in the unit of the weights.
        potentiation = 0.01, NonNegative, post;
        /// A₋ of at least 0, in the unit of the weights.
        depression = 0.0105, NonNegative, post;
        /// τ₊ above 0, in ms.
        potentiation_time_constant = 20.0, Positive, pre;
        /// τ₋ above 0, in ms.
        depression_time_constant = 20.0, Positive, post;
    }
    settings: {
        /// Which spikes make pairs.
        pairing: Pairing = Pairing::AllToAll;
    }
}

impl Rule for PairStdp {
    fn name(&self) -> &'static str {
        "pair-stdp"
    }

    fn signal(&self) -> Option<Signal> {
        Some(Signal::Spikes)
    }

    fn variables(&self, pre: usize, post: usize) -> Vec<Variable> {
        vec![
            Variable::new("pair-stdp.pre", "1", pre),
            Variable::new("pair-stdp.post", "1", post),
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

impl PairStdp {
    /// `in_turn` says whether spikes of one step make a pair, the presynaptic one first.
    fn changed(
        &self,
        weights: &Tensor<3>,
        activity: &Activity,
        traces: &State,
        in_turn: bool,
    ) -> (Tensor<3>, State) {
        let parameters = [
            &self.potentiation,
            &self.depression,
            &self.potentiation_time_constant,
            &self.depression_time_constant,
        ];
        let Paired {
            heard,
            up,
            down,
            traces,
        } = Paired::new(self.pairing, parameters, (activity, traces), in_turn);
        let pre = activity.pre.clone();
        let change = outer(heard, up, weights) - outer(pre, down, weights);
        (change, State::new(traces.to_vec()))
    }
}

/// What the pairs of a step call for, heard·upᵀ − pre·downᵀ.
pub(super) struct Paired {
    /// The presynaptic trace, and A₊ where a spike hears it.
    pub(super) heard: Tensor<2>,
    pub(super) up: Tensor<2>,
    /// The postsynaptic trace times A₋.
    pub(super) down: Tensor<2>,
    /// Both traces after the step.
    pub(super) traces: [Tensor<2>; 2],
}

impl Paired {
    /// Of A₊, A₋, τ₊ and τ₋, and the traces of both sides, which come first among `traces`.
    pub(super) fn new(
        pairing: Pairing,
        [potentiation, depression, tau_plus, tau_minus]: [&Parameter; 4],
        (activity, traces): (&Activity, &State),
        in_turn: bool,
    ) -> Self {
        let Activity { pre, post, dt, .. } = activity;
        let before = traces[0].clone() * retained(tau_plus, *dt);
        let after = traces[1].clone() * retained(tau_minus, *dt);
        let risen = pairing.with_spikes(before.clone(), pre);
        Self {
            heard: if in_turn { risen.clone() } else { before },
            up: post.clone() * potentiation.value(),
            down: after.clone() * depression.value(),
            traces: [risen, pairing.with_spikes(after, post)],
        }
    }
}
