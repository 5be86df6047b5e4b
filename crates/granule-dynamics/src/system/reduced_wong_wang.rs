use burn::tensor::Tensor;

use super::gating::{firing_rate, gating};
use super::parameters::mass_model;
use super::plus;
use crate::model::Field;
use crate::setting::Range;
use crate::{State, Variable};

mass_model! {
    /// Settings of [`ReducedWongWang`]; the defaults are those of Deco et al. 2013.
    config ReducedWongWangConfig,
    /// One excitatory population of a brain area by its NMDA gating, the node of large networks (Deco et al. 2013,
    /// Journal of Neuroscience 33:11239).
    ///
    /// ```text
    /// ds/dt = −s/τ_S + (1 − s)·γ·H(x)
    /// x = J·(w·s + u) + I₀ + I
    /// ```
    ///
    /// with H as in [`WongWang`](super::WongWang). State: the gating s. Input: two channels, the synaptic drive u, in units of
    /// gating, where a network's coupling belongs, and a current I (nA). Observed and given to other systems: s. The
    /// proxy of the local field potential is the recurrent current J·w·s (nA).
    module ReducedWongWang,
    /// [`ReducedWongWang`] with its parameters' values.
    field ReducedWongWangField,
    noise: {
        /// The amplitude of white noise in the gating (1/√ms).
        amplitude = 0.0;
    }
    parameters: {
        /// J: the synaptic current (nA).
        synaptic_current = 0.2609, Range::Positive;
        /// w: the share of it that a population gives itself.
        recurrence = 0.9, Range::Any;
        /// I₀: the background current (nA).
        background = 0.3, Range::Any;
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
    }
    variables: { s ["1"] = 0.1; }
    inputs: { "synaptic drive" ["1"]; "current" ["nA"]; }
}

impl ReducedWongWangField {
    fn firing_rate(&self, state: &State, input: Option<&Tensor<2>>) -> Tensor<2> {
        let synaptic = plus(state[0].clone() * &self.recurrence, self.channel(0, input));
        let current = synaptic * &self.synaptic_current + &self.background;
        let current = plus(current, self.channel(1, input));
        firing_rate(current, &self.gain, &self.offset, &self.curvature)
    }
}

impl Field for ReducedWongWangField {
    fn name(&self) -> &str {
        "reduced-wong-wang"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let rate = self.firing_rate(state, input);
        State::new(vec![gating(
            &state[0],
            rate,
            &self.time_constant,
            &self.opening,
        )])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        Some(State::new(vec![
            state[0].zeros_like() + self.noise.as_ref()?,
        ]))
    }

    fn field_potential(&self) -> Option<Variable> {
        Some(Variable::new("recurrent current", "nA", self.nodes()))
    }

    fn rate(&self, state: &State, input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        Some(self.firing_rate(state, input))
    }

    fn local_field_potential(&self, state: &State) -> Option<Tensor<2>> {
        Some(state[0].clone() * &(&self.recurrence * &self.synaptic_current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConstantInput;
    use crate::system::testing::{every_gradient_agrees, trace};
    use crate::testing::{assert_close, f64_places};

    #[test]
    fn trace_agrees_with_an_independent_integration() {
        // DOP853 at a relative tolerance of 1e-13, from 0.1 and 0.5, with I₀ = 0.3 and 0.32 nA.
        let expected = [
            (0.0, 100, 0.06535137355506, 0.31832038189354),
            (0.0, 1000, 0.03438336023061, 0.03469831163996),
            (0.02, 500, 0.08678263254589, 0.18310084393573),
        ];
        for (_, place) in f64_places() {
            let config = ReducedWongWangConfig {
                nodes: 2,
                initial: vec![vec![0.1, 0.5].into()],
                ..Default::default()
            };
            let model = config.init(&place).unwrap();
            for (current, at, low, high) in expected {
                let input = ConstantInput(place.tensor(vec![0.0, 0.0, current, current], [1, 4]));
                let (seen, _) = trace(&model, &input, 1.0, at);
                assert_close(seen[at][0], low, 1e-9);
                assert_close(seen[at][1], high, 1e-9);
            }
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(
            |place| {
                ReducedWongWangConfig {
                    nodes: 2,
                    recurrence: vec![0.9, 0.8].into(),
                    trainable: ReducedWongWangConfig::PARAMETERS
                        .iter()
                        .map(|x| (*x).into())
                        .collect(),
                    ..Default::default()
                }
                .init(place)
                .unwrap()
            },
            &[0.2, 0.1, 0.05, 0.08],
            2.0,
            40,
        );
    }
}
