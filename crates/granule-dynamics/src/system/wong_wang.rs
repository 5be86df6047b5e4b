use burn::tensor::Tensor;

use super::guarded::linear_exponential;
use super::parameters::mass_model;
use super::plus;
use crate::model::Field;
use crate::quantity::Quantity;
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
    /// for a motion coherence. Observed: s1 then s2. Given to other systems: s1 − s2. The rate is that of both
    /// populations, 1 then 2.
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

/// H(x) in Hz.
pub(super) fn firing_rate(
    x: Tensor<2>,
    gain: &Quantity,
    offset: &Quantity,
    curvature: &Quantity,
) -> Tensor<2> {
    linear_exponential((x * gain - offset) * curvature) / curvature
}

/// ds/dt = −s/τ + (1 − s)·γ·rate, with the rate in Hz and the time in ms.
pub(super) fn gating(
    s: &Tensor<2>,
    rate: Tensor<2>,
    time_constant: &Quantity,
    opening: &Quantity,
) -> Tensor<2> {
    let open = rate * &(opening * 1e-3);
    open.clone() - s.clone() * (open + &time_constant.reciprocal())
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
        let amplitude = self.noise.as_ref()? / &self.noise_time_constant.sqrt();
        let zeros = state[0].zeros_like();
        let noise = zeros.clone() + &amplitude;
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

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::model::{Constant, Model, NoInput};
    use crate::simulate::{Grid, simulate};
    use crate::solver::{EulerMaruyama, StochasticHeun};
    use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
    use crate::system::{Integrated, System};
    use crate::testing::{assert_close, f64_place, f64_places};
    use crate::{NormalNoise, Place, host};

    #[test]
    fn decision_trace_agrees_with_an_independent_integration() {
        // DOP853 at a relative tolerance of 1e-13; coherence 25.6 %, 30 Hz.
        let expected = [
            (100, 0.1678959615642, 0.12972091586795),
            (500, 0.59255758492019, 0.09351047130069),
            (2000, 0.6749129040826, 0.04162271153338),
        ];
        for (_, place) in f64_places() {
            let model = WongWangConfig::default().init(&place).unwrap();
            let (first, second) = WongWang::stimulus(30.0, 0.256);
            let stimulus = Constant(place.tensor(vec![first, second], [1, 2]));
            let (seen, _) = trace(&model, &stimulus, 1.0, 2000);
            for (at, s1, s2) in expected {
                assert_close(seen[at][0], s1, 1e-9);
                assert_close(seen[at][1], s2, 1e-9);
            }
        }
    }

    #[test]
    fn the_population_with_more_evidence_wins_sooner_the_more_it_has() {
        let place = f64_place();
        let model = WongWangConfig::default().init(&place).unwrap();
        let mut times = Vec::new();
        for coherence in [0.032, 0.128, 0.512, -0.128] {
            let (first, second) = WongWang::stimulus(30.0, coherence);
            let stimulus = Constant(place.tensor(vec![first, second], [1, 2]));
            let (seen, state) = trace(&model, &stimulus, 2.0, 1000);
            let (rate_1, rate_2) = model.field().unwrap().rates(&state, Some(&stimulus.0));
            let (rate_1, rate_2) = (host(rate_1).unwrap()[0], host(rate_2).unwrap()[0]);
            let (winner, loser) = if coherence > 0.0 {
                (rate_1, rate_2)
            } else {
                (rate_2, rate_1)
            };
            assert!(
                winner > 15.0 && loser < 5.0,
                "{coherence}: {rate_1} {rate_2} Hz"
            );
            let apart = seen.iter().position(|s| (s[0] - s[1]).abs() > 0.3).unwrap();
            times.push(apart);
        }
        assert!(times[0] > times[1] && times[1] > times[2], "{times:?}");
        assert_eq!(times[1], times[3]);
    }

    #[test]
    fn without_stimulus_both_populations_fire_spontaneously() {
        let place = f64_place();
        let model = WongWangConfig::default().init(&place).unwrap();
        let (_, state) = trace(&model, &NoInput, 5.0, 2000);
        let (rate, _) = model.field().unwrap().rates(&state, None);
        assert_close(host(state[0].clone()).unwrap()[0], 0.10265124956488, 1e-6);
        assert_close(host(rate).unwrap()[0], 1.78461668261941, 1e-6);
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(
            |place| {
                WongWangConfig {
                    initial: [0.3, 0.2, 0.01, -0.01].map(Into::into).to_vec(),
                    trainable: WongWangConfig::PARAMETERS
                        .iter()
                        .map(|x| (*x).into())
                        .collect(),
                    ..Default::default()
                }
                .init(place)
                .unwrap()
            },
            &[40.0, 20.0],
            1.0,
            40,
        );
    }

    #[test]
    fn single_precision_follows_on_every_device() {
        let config = WongWangConfig::default();
        agrees_on_every_device(
            |place| config.init(place).unwrap(),
            &[40.0, 20.0],
            1.0,
            20,
            1e-5,
        );
    }

    #[test]
    fn noise_currents_reach_their_stationary_variance() {
        let place = f64_place();
        let config = WongWangConfig {
            nodes: 50,
            ..Default::default()
        };
        let solver = StochasticHeun {
            noise: NormalNoise::new(5, 0),
        };
        let model = Integrated::new(config.init(&place).unwrap(), solver);
        let grid = Grid::over(60.0, 0.2).unwrap();
        let initial = model.initial_state(20).unwrap();
        let (mut sum, mut count) = (0.0, 0.0);
        simulate(
            &model.dynamics().unwrap(),
            initial,
            &NoInput,
            &grid,
            |step, _, state| {
                if step >= 100 && step.is_multiple_of(20) {
                    let both = state[2].clone().square() + state[3].clone().square();
                    sum += host(both.mean()).unwrap()[0] / 2.0;
                    count += 1.0;
                }
                ControlFlow::Continue(())
            },
        )
        .unwrap();
        // σ²/2 of 22 000 numbers
        assert_close(sum / count / (0.5 * 0.02 * 0.02), 1.0, 0.03);
    }

    #[test]
    fn with_noise_decisions_are_the_better_the_more_evidence_there_is() {
        let place = Place::f32(&crate::testing::host_device("flex"));
        let coherences = [0.0, 0.064, 0.128, 0.512];
        let trials = 200;
        let rows = coherences
            .iter()
            .flat_map(|c| std::iter::repeat_n(*c, trials));
        let stimuli = rows.flat_map(|c| <[f64; 2]>::from(WongWang::stimulus(30.0, c)));
        let stimuli = Constant(place.tensor(stimuli.collect(), [coherences.len() * trials, 2]));
        let solver = EulerMaruyama {
            noise: NormalNoise::new(11, 0),
        };
        let model = Integrated::new(WongWangConfig::default().init(&place).unwrap(), solver);
        let initial = model.initial_state(coherences.len() * trials).unwrap();
        let grid = Grid::over(1500.0, 1.0).unwrap();
        let dynamics = model.dynamics().unwrap();
        let last = simulate(&dynamics, initial, &stimuli, &grid, |_, _, _| {
            ControlFlow::Continue(())
        })
        .unwrap();
        let apart = host(last[0].clone() - last[1].clone()).unwrap();
        let right: Vec<f64> = apart
            .chunks(trials)
            .map(|row| row.iter().filter(|x| **x > 0.0).count() as f64 / trials as f64)
            .collect();
        eprintln!("right at coherences {coherences:?}: {right:?}");
        assert!((right[0] - 0.5).abs() < 0.12, "{right:?}");
        assert!(right.windows(2).all(|pair| pair[0] < pair[1]), "{right:?}");
        assert!(right[3] > 0.98, "{right:?}");
    }

    #[test]
    fn noise_drives_the_currents_by_its_filter() {
        let place = f64_place();
        let model = WongWangConfig::default().init(&place).unwrap();
        let state = model.initial_state(1).unwrap();
        let amplitude = model.field().unwrap().diffusion(0.0, &state).unwrap();
        let values: Vec<f64> = amplitude
            .tensors()
            .iter()
            .map(|x| host(x.clone()).unwrap()[0])
            .collect();
        assert_eq!(values[..2], [0.0, 0.0]);
        assert_close(values[2], 0.02 / 2f64.sqrt(), 1e-14);
    }
}
