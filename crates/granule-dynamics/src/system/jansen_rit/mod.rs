#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use super::parameters::mass_model;
use super::plus;
use crate::model::Field;
use crate::quantity::Quantity;
use crate::setting::Range;
use crate::{QuantityKind, State, Variable};

mass_model! {
    /// Settings of [`JansenRit`]; the defaults are the standard parameters of Jansen & Rit 1995, at which the column
    /// shows an alpha rhythm.
    config JansenRitConfig,
    /// A cortical column of pyramidal cells, excitatory and inhibitory interneurons (Jansen & Rit 1995, Biological
    /// Cybernetics 73:357).
    ///
    /// ```text
    /// y0″ = A/τe·S(y1 − y2)                  − 2/τe·y0′ − y0/τe²
    /// y1″ = A/τe·(p + u + c2·C·S(c1·C·y0))   − 2/τe·y1′ − y1/τe²
    /// y2″ = B/τi·c4·C·S(c3·C·y0)             − 2/τi·y2′ − y2/τi²
    /// S(v) = 2·e0/(1 + exp(r·(v0 − v)))
    /// ```
    ///
    /// State: y0, y1, y2 (mV) and their slopes y3, y4, y5 (mV/ms). Input: one channel u, the rate (Hz) of pulses that
    /// arrive from elsewhere. Observed, and the proxy of the local field potential: y1 − y2 (mV), the difference of the
    /// pyramidal cells' excitatory and inhibitory postsynaptic potentials. Given to other systems: the pyramidal rate
    /// S(y1 − y2) (Hz).
    module JansenRit,
    /// [`JansenRit`] with its parameters' values.
    field JansenRitField,
    noise: {
        /// The amplitude of white noise in the pulse rate (Hz·√ms).
        amplitude = 0.0;
    }
    parameters: {
        /// A: the largest excitatory postsynaptic potential (mV).
        excitatory_gain = 3.25, Range::Positive;
        /// B: the largest inhibitory postsynaptic potential (mV).
        inhibitory_gain = 22.0, Range::Positive;
        /// τe = 1/a: the excitatory synapses' time constant (ms).
        excitatory_time_constant = 10.0, Range::Positive;
        /// τi = 1/b: the inhibitory synapses' time constant (ms).
        inhibitory_time_constant = 20.0, Range::Positive;
        /// C: the number of synapses between the populations.
        connectivity = 135.0, Range::Positive;
        /// c1: pyramidal to excitatory cells, as a share of C.
        pyramidal_to_excitatory = 1.0, Range::Positive;
        /// c2: excitatory to pyramidal cells, as a share of C.
        excitatory_to_pyramidal = 0.8, Range::Positive;
        /// c3: pyramidal to inhibitory cells, as a share of C.
        pyramidal_to_inhibitory = 0.25, Range::Positive;
        /// c4: inhibitory to pyramidal cells, as a share of C.
        inhibitory_to_pyramidal = 0.25, Range::Positive;
        /// e0: half of the largest firing rate (Hz).
        half_rate = 2.5, Range::Positive;
        /// v0: the potential of half the largest rate (mV).
        threshold = 6.0, Range::Any;
        /// r: the steepness of the sigmoid (1/mV).
        steepness = 0.56, Range::Positive;
        /// p: the pulse rate from outside without input (Hz); 120 to 320 in the paper.
        drive = 220.0, Range::Any;
    }
    variables: {
        y0 ["mV"] = 0.0;
        y1 ["mV"] = 0.0;
        y2 ["mV"] = 0.0;
        y3 ["mV/ms"] = 0.0;
        y4 ["mV/ms"] = 0.0;
        y5 ["mV/ms"] = 0.0;
    }
    inputs: { "pulse rate" ["Hz"]; }
}

/// Hz · ms
const PER_MILLISECOND: f64 = 1e-3;

impl JansenRitField {
    /// S(v) in Hz.
    fn sigmoid(&self, v: Tensor<2>) -> Tensor<2> {
        // 2/(1 + exp(−x)) = 1 + tanh(x/2)
        (((v - &self.threshold) * &(&self.steepness * 0.5)).tanh() + 1.0) * &self.half_rate
    }

    /// The potential of the pyramidal cells, y1 − y2.
    fn potential(&self, state: &State) -> Tensor<2> {
        state[1].clone() - state[2].clone()
    }
}

impl Field for JansenRitField {
    fn name(&self) -> &str {
        "jansen-rit"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let synapses = |share: &Quantity| share * &self.connectivity;
        let rate = |share: &Quantity| self.sigmoid(state[0].clone() * &synapses(share));

        let pyramidal = self.sigmoid(self.potential(state));
        let excitatory = rate(&self.pyramidal_to_excitatory)
            * &synapses(&self.excitatory_to_pyramidal)
            + &self.drive;
        let excitatory = plus(excitatory, self.channel(0, input));
        let inhibitory =
            rate(&self.pyramidal_to_inhibitory) * &synapses(&self.inhibitory_to_pyramidal);

        // gain/τ·pulses − 2/τ·y′ − y/τ²
        let synapse = |gain: &Quantity, time_constant: &Quantity| {
            let per = time_constant.reciprocal();
            (gain * &(&per * PER_MILLISECOND), per)
        };
        let bend = |pulses: Tensor<2>, (gain, per): &(Quantity, Quantity), y: usize| {
            let slope = state[y + 3].clone() * 2.0 + state[y].clone() * per;
            pulses * gain - slope * per
        };
        let of_e = synapse(&self.excitatory_gain, &self.excitatory_time_constant);
        let of_i = synapse(&self.inhibitory_gain, &self.inhibitory_time_constant);
        State::new(vec![
            state[3].clone(),
            state[4].clone(),
            state[5].clone(),
            bend(pyramidal, &of_e, 0),
            bend(excitatory, &of_e, 1),
            bend(inhibitory, &of_i, 2),
        ])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        let noise = self.noise.as_ref()? * PER_MILLISECOND;
        let gain = &self.excitatory_gain / &self.excitatory_time_constant;
        let zeros = state[0].zeros_like();
        let mut amplitude = State::new(vec![zeros.clone(); 6]);
        amplitude.replace(4, zeros + &(gain * &noise));
        Some(amplitude)
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.potential(state)
    }

    fn activity(&self) -> Variable {
        Variable::new("pyramidal rate", "Hz", self.nodes()).of_kind(QuantityKind::Rate)
    }

    fn observed(&self) -> Variable {
        Variable::new("y1 - y2", "mV", self.nodes())
    }

    fn field_potential(&self) -> Option<Variable> {
        Some(self.observed())
    }

    fn output(&self, state: &State) -> Tensor<2> {
        self.sigmoid(self.potential(state))
    }

    fn rate(&self, state: &State, _input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        Some(self.output(state))
    }

    fn local_field_potential(&self, state: &State) -> Option<Tensor<2>> {
        Some(self.potential(state))
    }
}
