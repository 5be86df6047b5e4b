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
        let bend = |pulses: Tensor<2>, gain: &Quantity, time_constant: &Quantity, y: usize| {
            let per = &time_constant.reciprocal();
            let slope = state[y + 3].clone() * 2.0 + state[y].clone() * per;
            pulses * &(gain * &(per * PER_MILLISECOND)) - slope * per
        };
        let (gain_e, tau_e) = (&self.excitatory_gain, &self.excitatory_time_constant);
        let (gain_i, tau_i) = (&self.inhibitory_gain, &self.inhibitory_time_constant);
        State::new(vec![
            state[3].clone(),
            state[4].clone(),
            state[5].clone(),
            bend(pyramidal, gain_e, tau_e, 0),
            bend(excitatory, gain_e, tau_e, 1),
            bend(inhibitory, gain_i, tau_i, 2),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Clock, NoInput};
    use crate::simulate::{Grid, record};
    use crate::solver::Rk4;
    use crate::system::testing::{
        agrees_on_every_device, every_gradient_agrees, peak_frequency, trace,
    };
    use crate::system::{Integrated, System};
    use crate::testing::{assert_close, f64_place, f64_places};
    use crate::{Model, Values, host};

    #[test]
    fn trace_from_rest_agrees_with_an_independent_integration() {
        // DOP853 at a relative tolerance of 1e-13: y1 − y2 every 20 ms, then the whole state at 100 ms.
        let potential = [
            0.0,
            3.9823534641772,
            6.86004104719549,
            13.11606658815979,
            13.02552617615683,
            6.97382936395992,
        ];
        let last = [
            1.49234696685265e-01,
            2.43236531781993e+01,
            1.73498238142394e+01,
            -1.25841322155970e-03,
            3.12128403863692e-02,
            3.40316134082583e-01,
        ];
        for (name, place) in f64_places() {
            let model = JansenRitConfig::default().init(&place).unwrap();
            let (seen, state) = trace(&model, &NoInput, 0.1, 1000);
            for (at, expected) in potential.iter().enumerate() {
                let found = seen[at * 200][0];
                assert!(
                    (found - expected).abs() < 1e-7,
                    "{name}: {found} {expected}"
                );
            }
            for (found, expected) in state.tensors().iter().zip(last) {
                assert_close(host(found.clone()).unwrap()[0], expected, 1e-8);
            }
        }
    }

    #[test]
    fn a_column_shows_the_alpha_rhythm() {
        let place = f64_place();
        let model = Integrated::new(JansenRitConfig::default().init(&place).unwrap(), Rk4);
        let steady = [150.0, 180.0, 220.0, 260.0, 300.0];
        let batch = steady.len() + 1;
        // The last row's pulses are drawn anew every ms between 120 and 320 Hz, as in the paper.
        let mut random = crate::system::testing::uniform(7);
        let pulses: Vec<f64> = (0..6000).map(|_| 120.0 + 200.0 * random()).collect();
        let input = |at: Clock| {
            let row = steady.iter().copied().chain([pulses[at.step]]);
            Some(place.tensor(row.map(|p| p - 220.0).collect(), [batch, 1]))
        };
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 1.0,
            steps: 6000,
        };
        let initial = model.initial_state(batch).unwrap();
        let (seen, _) = record(&model.dynamics().unwrap(), initial, &input, &grid).unwrap();
        let seen = host(seen).unwrap();
        for row in 0..batch {
            let potential: Vec<f64> = seen.iter().skip(row).step_by(batch).copied().collect();
            let peak = peak_frequency(&potential[2001..], 1e-3);
            assert!((8.0..=12.0).contains(&peak), "row {row}: {peak} Hz");
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(
            |place| {
                JansenRitConfig {
                    nodes: 2,
                    threshold: vec![6.0, 5.5].into(),
                    initial: [0.05, 8.0, 5.0, 0.01, 0.3, 0.2].map(Into::into).to_vec(),
                    trainable: JansenRitConfig::PARAMETERS
                        .iter()
                        .map(|x| (*x).into())
                        .collect(),
                    ..Default::default()
                }
                .init(place)
                .unwrap()
            },
            &[60.0, -40.0],
            0.5,
            30,
        );
    }

    #[test]
    fn single_precision_follows_on_every_device() {
        let config = JansenRitConfig {
            nodes: 2,
            ..Default::default()
        };
        agrees_on_every_device(
            |place| config.init(place).unwrap(),
            &[30.0, -30.0],
            0.5,
            20,
            1e-4,
        );
    }

    #[test]
    fn noise_enters_the_excitatory_slope_alone() {
        let place = f64_place();
        let config = JansenRitConfig {
            noise: 400.0.into(),
            ..Default::default()
        };
        let model = config.init(&place).unwrap();
        let state = model.initial_state(1).unwrap();
        let amplitude = model.field().unwrap().diffusion(0.0, &state).unwrap();
        let values: Vec<f64> = amplitude
            .tensors()
            .iter()
            .map(|x| host(x.clone()).unwrap()[0])
            .collect();
        assert_close(values[4], 3.25 / 10.0 * 0.4, 1e-14);
        assert_eq!(values.iter().filter(|x| **x == 0.0).count(), 5);
        let silent = JansenRitConfig::default().init(&place).unwrap();
        assert!(silent.field().unwrap().diffusion(0.0, &state).is_none());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |config: JansenRitConfig| config.validate().unwrap_err().to_string();
        let default = JansenRitConfig::default;
        let error = refused(JansenRitConfig {
            excitatory_time_constant: (-10.0).into(),
            ..default()
        });
        assert!(
            error.starts_with("excitatory_time_constant = -10"),
            "{error}"
        );
        let error = refused(JansenRitConfig {
            drive: f64::NAN.into(),
            ..default()
        });
        assert!(error.starts_with("drive = NaN"), "{error}");
        let error = refused(JansenRitConfig {
            nodes: 3,
            threshold: vec![6.0; 2].into(),
            ..default()
        });
        assert!(error.starts_with("threshold = [2 values]"), "{error}");
        let error = refused(JansenRitConfig {
            noise: (-1.0).into(),
            ..default()
        });
        assert!(error.starts_with("noise = -1"), "{error}");
        let error = refused(JansenRitConfig {
            initial: vec![0.0.into()],
            ..default()
        });
        assert!(error.starts_with("initial = 1 entries"), "{error}");
        let error = refused(JansenRitConfig {
            trainable: vec!["gain".into()],
            ..default()
        });
        assert!(error.starts_with("trainable = gain"), "{error}");
        assert!(
            refused(JansenRitConfig {
                nodes: 0,
                ..default()
            })
            .starts_with("nodes = 0")
        );
        let unknown = serde_json::from_str::<JansenRitConfig>(r#"{"gian": 3}"#);
        assert!(unknown.unwrap_err().to_string().contains("gian"));
        let config: JansenRitConfig =
            serde_json::from_str(r#"{"nodes": 2, "drive": [150, 200.5], "connectivity": 140}"#)
                .unwrap();
        assert_eq!(config.drive, Values::Each(vec![150.0, 200.5]));
        assert_eq!(config.connectivity, Values::One(140.0));
        config.validate().unwrap();
    }
}
