use burn::tensor::Tensor;

use super::rule::{Signal, plasticity_rule};
use crate::{Place, State, Variable};

plasticity_rule! {
    "short-term",
    /// Short-term depression and facilitation (Tsodyks and Markram 1997; Tsodyks, Pawelzik and Markram 1998). It scales what a
    /// presynaptic unit transmits and leaves weights as they are.
    ///
    /// Of spikes at times t_s, with u⁺ = u + U(1 − u): du/dt = −u/τ_f + U(1 − u) Σδ(t − t_s), dx/dt = (1 − x)/τ_d −
    /// u⁺x Σδ(t − t_s); each spike transmits u⁺x, with x before it. Of a rate r the sum of δ is replaced by r, and a step solves
    /// both equations exactly for a constant r, the second one with u⁺ after the first.
    module ShortTermPlasticity,
    /// Depressing synapses between excitatory cells as in the networks of Tsodyks, Uziel and Markram (2000), with facilitation
    /// that is over before the next spike.
    config ShortTermConfig,
    parameters: {
        /// U, above 0 and below 1: the share of the resources that a spike after long rest uses.
        release = 0.5, OpenFraction, pre;
        /// τ_f above 0, in ms.
        facilitation_time_constant = 1.0, Positive, pre;
        /// τ_d above 0, in ms.
        recovery_time_constant = 800.0, Positive, pre;
    }
    settings: {
        /// What the presynaptic activity is. Rates are in spikes per ms, not negative.
        signal: Signal = Signal::Spikes;
    }
}

impl ShortTermPlasticity {
    /// u, the facilitation, and x, the resources that are left.
    pub fn variables(&self, pre: usize) -> Vec<Variable> {
        vec![
            Variable::new("short-term.facilitation", "1", pre),
            Variable::new("short-term.resources", "1", pre),
        ]
    }

    /// After long rest: u = 0, x = 1.
    pub fn initial(&self, batch: usize, pre: usize, place: &Place) -> State {
        let shape = [batch, pre];
        State::new(vec![place.full(0.0, shape), place.full(1.0, shape)])
    }

    /// The efficacy u⁺x at the beginning of a step, `[batch, pre]`, by which the activity `pre` of that step is multiplied,
    /// and the state at its end. Spikes are at its beginning; of n spikes in one step, one after the other without a time between
    /// them, it is their mean: they leave x(1 − u)ⁿ(1 − U)^(n(n+1)/2), transmit the rest, and u⁺ = 1 − (1 − u)(1 − U)ⁿ.
    pub fn step(&self, pre: &Tensor<2>, dt: f64, state: &State) -> (Tensor<2>, State) {
        let (u, x) = (state[0].clone(), state[1].clone());
        let release = self.release.value();
        let facilitated = |u: Tensor<2>| u.clone() + (u.neg().add_scalar(1.0)) * release.clone();
        let mut efficacy = facilitated(u.clone()) * x.clone();
        let forgetting = self.facilitation_time_constant.value().recip();
        let recovery = self.recovery_time_constant.value().recip();
        let next = match self.signal {
            Signal::Spikes => {
                let several = pre.clone().greater_elem(1.0);
                let rest = |share: Tensor<2>| share.neg().add_scalar(1.0);
                // The derivative of a power of 0 is not a number.
                let shut = rest(u.clone()).clamp_min(1e-30);
                let kept = rest(release.clone());
                let count = pre.clone().clamp_min(1.0);
                let pairs = count.clone() * count.clone().add_scalar(1.0) * 0.5;
                let kept_by = |count: Tensor<2>| kept.clone().expand(count.dims()).powf(count);
                let after = shut.clone().powf(count.clone()) * kept_by(pairs);
                let mean = x.clone() * rest(after) / count.clone();
                efficacy = efficacy.mask_where(several.clone(), mean);
                let left = x - efficacy.clone() * pre.clone();
                let one = u + shut.clone() * release * pre.clone();
                let u = one.mask_where(several, rest(shut * kept_by(count)));
                let u = u * forgetting.mul_scalar(-dt).exp();
                let missing = left.neg().add_scalar(1.0);
                let x = (missing * recovery.mul_scalar(-dt).exp())
                    .neg()
                    .add_scalar(1.0);
                vec![u, x]
            }
            Signal::Rates => {
                let rise = release.clone() * pre.clone();
                let u = relaxed(u, rise.clone(), rise + forgetting, dt);
                let use_up = facilitated(u.clone()) * pre.clone();
                let x = relaxed(x, recovery.clone(), use_up + recovery, dt);
                vec![u, x]
            }
        };
        (efficacy, State::new(next))
    }
}

/// The solution of dx/dt = drive − decay·x after `dt`.
fn relaxed(x: Tensor<2>, drive: Tensor<2>, decay: Tensor<2>, dt: f64) -> Tensor<2> {
    let steady = drive / decay.clone();
    steady.clone() + (x - steady) * decay.mul_scalar(-dt).exp()
}
