use std::f64::consts::TAU;

use burn::tensor::Tensor;

use super::both;
use crate::model::Field;
use crate::setting::Range;
use crate::system::parameters::mass_model;
use crate::system::plus;
use crate::{State, Variable};

mass_model! {
    /// Settings of [`StuartLandau`]; the default is a 10 Hz rhythm of amplitude 1.
    config StuartLandauConfig,
    /// The normal form of a supercritical Hopf bifurcation (Landau 1944; Stuart 1960; as a node of the whole brain:
    /// Deco et al. 2017, Scientific Reports 7:3095).
    ///
    /// ```text
    /// dx/dt = a·x − b·(x² + y²)·x − 2πf·y + u_x
    /// dy/dt = a·y − b·(x² + y²)·y + 2πf·x + u_y
    /// ```
    ///
    /// For a > 0 it oscillates with amplitude √(a/b), for a < 0 it rings and decays. State: x and y. Input: two
    /// channels, u_x and u_y (1/ms). Observed and given to other systems: x.
    module StuartLandau,
    /// [`StuartLandau`] with its parameters' values.
    field StuartLandauField,
    noise: {
        /// The amplitude of white noise in both variables (1/√ms).
        amplitude = 0.0;
    }
    parameters: {
        /// a: the growth of small oscillations (1/ms).
        growth = 0.02, Range::Any;
        /// b: what limits large ones (1/ms).
        saturation = 0.02, Range::Positive;
        /// f: the frequency (Hz).
        frequency = 10.0, Range::Any;
    }
    variables: {
        x ["1"] = 0.1;
        y ["1"] = 0.0;
    }
    inputs: { "x drive" ["1/ms"]; "y drive" ["1/ms"]; }
}

impl StuartLandauConfig {
    /// About the shortest time constant that a solver has to resolve, ms.
    pub(in crate::system) fn shortest_time_constant(&self) -> Option<f64> {
        let fastest = self.frequency.highest().max(-self.frequency.lowest());
        Some(1e3 / (TAU * fastest))
    }
}

impl Field for StuartLandauField {
    fn name(&self) -> &str {
        "stuart-landau"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (x, y) = (state[0].clone(), state[1].clone());
        let square = x.clone().square() + y.clone().square();
        let growth = &self.growth - square * &self.saturation;
        let turn = &(&self.frequency * (TAU * 1e-3));
        let x_slope = x.clone() * growth.clone() - y.clone() * turn;
        let y_slope = y * growth + x * turn;
        State::new(vec![
            plus(x_slope, self.channel(0, input)),
            plus(y_slope, self.channel(1, input)),
        ])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        both(state, self.noise.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::model::NoInput;
    use crate::system::testing::{every_gradient_agrees, trace};
    use crate::testing::{assert_close, f64_places};

    #[test]
    fn amplitude_and_phase_follow_the_closed_form() {
        // ρ² = a/(b + (a/ρ₀² − b)·e^(−2at)), φ = 2πft
        let (a, b, f, start) = (0.02_f64, 0.05, 12.0, 0.3);
        for (_, place) in f64_places() {
            let config = StuartLandauConfig {
                growth: a.into(),
                saturation: b.into(),
                frequency: f.into(),
                initial: vec![start.into(), 0.0.into()],
                ..Default::default()
            };
            let (_, state) = trace(&config.init(&place).unwrap(), &NoInput, 0.25, 280);
            let t = 70.0;
            let radius = (a / (b + (a / (start * start) - b) * (-2.0 * a * t).exp())).sqrt();
            let angle = TAU * f * 1e-3 * t;
            assert_close(
                host(state[0].clone()).unwrap()[0],
                radius * angle.cos(),
                1e-8,
            );
            assert_close(
                host(state[1].clone()).unwrap()[0],
                radius * angle.sin(),
                1e-8,
            );
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(
            |place| {
                StuartLandauConfig {
                    nodes: 2,
                    frequency: vec![10.0, 30.0].into(),
                    trainable: StuartLandauConfig::PARAMETERS
                        .iter()
                        .map(|x| (*x).into())
                        .collect(),
                    ..Default::default()
                }
                .init(place)
                .unwrap()
            },
            &[0.01, 0.02, 0.0, -0.01],
            1.0,
            30,
        );
    }
}
