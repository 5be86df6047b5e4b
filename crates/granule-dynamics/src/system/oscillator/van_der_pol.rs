use burn::tensor::Tensor;

use super::both;
use crate::model::Field;
use crate::setting::Range;
use crate::system::parameters::mass_model;
use crate::system::plus;
use crate::{State, Variable};

mass_model! {
    /// Settings of [`VanDerPol`].
    config VanDerPolConfig,
    /// An oscillator with nonlinear damping (van der Pol 1926, Philosophical Magazine 2:978).
    ///
    /// ```text
    /// τ dx/dt = y + u_x
    /// τ dy/dt = μ·(1 − x²)·y − x + u_y
    /// ```
    ///
    /// State: x and y. Input: two channels, u_x and u_y. Observed and given to other systems: x.
    module VanDerPol,
    /// [`VanDerPol`] with its parameters' values.
    field VanDerPolField,
    noise: {
        /// The amplitude of white noise in both variables (1/√ms).
        amplitude = 0.0;
    }
    parameters: {
        /// τ: the unit of time (ms).
        time_constant = 1.0, Range::Positive;
        /// μ: 0 for a harmonic oscillator, large for relaxation oscillations.
        damping = 1.0, Range::Any;
    }
    variables: {
        x ["1"] = 2.0;
        y ["1"] = 0.0;
    }
    inputs: { "x drive" ["1"]; "y drive" ["1"]; }
}

impl VanDerPolConfig {
    /// About the shortest time constant that a solver has to resolve, ms.
    pub(in crate::system) fn shortest_time_constant(&self) -> Option<f64> {
        Some(self.time_constant.lowest() / self.damping.highest().max(1.0))
    }
}

impl Field for VanDerPolField {
    fn name(&self) -> &str {
        "van-der-pol"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (x, y) = (state[0].clone(), state[1].clone());
        let pump = (1.0 - x.clone().square()) * y.clone() * &self.damping;
        let x_slope = plus(y, self.channel(0, input));
        let y_slope = plus(pump - x, self.channel(1, input));
        let tau = &self.time_constant;
        State::new(vec![x_slope / tau, y_slope / tau])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        both(state, self.noise.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NoInput;
    use crate::system::testing::{every_gradient_agrees, trace};
    use crate::testing::{assert_close, f64_places};

    #[test]
    fn the_limit_cycle_has_the_known_period() {
        // DOP853 at a relative tolerance of 1e-13: x(10) from (2, 0), and the period at μ = 1.
        for (_, place) in f64_places() {
            let model = VanDerPolConfig::default().init(&place).unwrap();
            let (seen, _) = trace(&model, &NoInput, 0.02, 2000);
            assert_close(seen[500][0], -2.00834078257971, 1e-6);
            let x: Vec<f64> = seen.iter().map(|row| row[0]).collect();
            let crossings: Vec<f64> = (1..x.len())
                .filter(|i| x[i - 1] < 0.0 && x[*i] >= 0.0)
                .map(|i| 0.02 * (i as f64 - x[i] / (x[i] - x[i - 1])))
                .collect();
            let last = crossings.len() - 1;
            assert_close(crossings[last] - crossings[last - 1], 6.663286859323, 1e-4);
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(
            |place| {
                VanDerPolConfig {
                    nodes: 2,
                    damping: vec![0.5, 2.0].into(),
                    trainable: VanDerPolConfig::PARAMETERS
                        .iter()
                        .map(|x| (*x).into())
                        .collect(),
                    ..Default::default()
                }
                .init(place)
                .unwrap()
            },
            &[0.1, 0.2, 0.3, -0.2],
            0.1,
            30,
        );
    }
}
