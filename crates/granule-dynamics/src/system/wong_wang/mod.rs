#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use super::gating::{firing_rate, gating};
use super::parameters::mass_model;
use super::plus;
use crate::model::Field;
use crate::setting::Range;
use crate::{State, Variable};

mass_model! {
    /// Settings of [`WongWang`]; the defaults are those of Wong & Wang 2006 without recurrent AMPA synapses.
    config WongWangConfig,
    /// A decision between two populations that excite themselves and inhibit each other, by their slow NMDA gating
    /// (Wong & Wang 2006, Journal of Neuroscience 26:1314, the reduced two-variable model).
    ///
    /// ```text
    /// ds₁/dt = −s₁/τ_S + (1 − s₁)·γ·H(x₁)
    /// x₁ = J₁₁·s₁ − J₁₂·s₂ + I₀ + J_ext·μ₁ + i₁              (and with 1 and 2 exchanged)
    /// H(x) = (a·x − b)/(1 − exp(−d·(a·x − b)))
    /// di₁ = −i₁/τ_AMPA dt + σ/√τ_AMPA dW₁
    /// ```
    ///
    /// State: the gating s1, s2 and the noise currents i1, i2 (nA), which stay at rest without noise. Input: two
    /// channels, the rates μ₁ and μ₂ (Hz) of the stimulus to either population; [`stimulus`](Self::stimulus) gives them
    /// for a motion coherence. Observed: s1 then s2. Given to other systems: s1 − s2. The rate is that of 1, then of 2.
    module WongWang,
    /// [`WongWang`] with its parameters' values.
    field WongWangField,
    noise: {
        /// σ: the standard deviation of the noise before the synapses' filter (nA).
        amplitude = 0.02;
    }
    parameters: {
        /// J₁₁ = J₂₂: a population's excitation of itself (nA).
        self_excitation = 0.2609, Range::Any;
        /// J₁₂ = J₂₁: the inhibition of the other population (nA).
        cross_inhibition = 0.0497, Range::Any;
        /// J_ext: the current of a stimulus (nA/Hz).
        stimulus_weight = 5.2e-4, Range::Any;
        /// I₀: the background current (nA).
        background = 0.3255, Range::Any;
        /// τ_S: the gating's time constant (ms).
        time_constant = 100.0, Range::Positive;
        /// γ: the gating opened by a spike.
        opening = 0.641, Range::Positive;
        /// a: the slope of the input–output function (Hz/nA).
        gain = 270.0, Range::Positive;
        /// b: its offset (Hz).
        offset = 108.0, Range::Any;
        /// d: its curvature (s).
        curvature = 0.154, Range::Positive;
        /// τ_AMPA: the noise's time constant (ms).
        noise_time_constant = 2.0, Range::Positive;
    }
    variables: {
        s1 ["1", 0.0 to 1.0] = 0.1;
        s2 ["1", 0.0 to 1.0] = 0.1;
        i1 ["nA"] = 0.0;
        i2 ["nA"] = 0.0;
    }
    inputs: { "stimulus 1" ["Hz"]; "stimulus 2" ["Hz"]; }
}

impl WongWang {
    /// The two channels (Hz) of a motion stimulus of `strength` (30 Hz in the paper) and `coherence`, from −1, all
    /// dots for population 2, to 1.
    pub fn stimulus(strength: f64, coherence: f64) -> (f64, f64) {
        (strength * (1.0 + coherence), strength * (1.0 - coherence))
    }
}

impl WongWangField {
    /// The rates (Hz) of population 1 and 2, each `[batch, nodes]`.
    pub fn rates(&self, state: &State, input: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<2>) {
        let rate = |own: usize, other: usize| {
            let stimulus = self.channel(own, input);
            let stimulus = stimulus.map(|rate| rate * &self.stimulus_weight);
            let current = state[own].clone() * &self.self_excitation
                - state[other].clone() * &self.cross_inhibition
                + state[own + 2].clone()
                + &self.background;
            let current = plus(current, stimulus);
            firing_rate(current, &self.gain, &self.offset, &self.curvature)
        };
        (rate(0, 1), rate(1, 0))
    }
}

impl Field for WongWangField {
    fn name(&self) -> &str {
        "wong-wang"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (first, second) = self.rates(state, input);
        let decay = &self.noise_time_constant.reciprocal().negative();
        State::new(vec![
            gating(&state[0], first, &self.time_constant, &self.opening),
            gating(&state[1], second, &self.time_constant, &self.opening),
            state[2].clone() * decay,
            state[3].clone() * decay,
        ])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        let zeros = state[0].zeros_like();
        let noise = zeros.clone() + &(self.noise.as_ref()? / &self.noise_time_constant.sqrt());
        Some(State::new(vec![zeros.clone(), zeros, noise.clone(), noise]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        Tensor::cat(vec![state[0].clone(), state[1].clone()], 1)
    }

    fn activity(&self) -> Variable {
        Variable::new("s1 - s2", "1", self.nodes())
    }

    fn observed(&self) -> Variable {
        Variable::new("s1, s2", "1", 2 * self.nodes()).within(0.0, 1.0)
    }

    fn field_potential(&self) -> Option<Variable> {
        Some(Variable::new("synaptic current", "nA", self.nodes()))
    }

    fn output(&self, state: &State) -> Tensor<2> {
        state[0].clone() - state[1].clone()
    }

    fn rate(&self, state: &State, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let (first, second) = self.rates(state, input);
        Some(Tensor::cat(vec![first, second], 1))
    }

    fn local_field_potential(&self, state: &State) -> Option<Tensor<2>> {
        Some((state[0].clone() + state[1].clone()) * &self.self_excitation)
    }
}
