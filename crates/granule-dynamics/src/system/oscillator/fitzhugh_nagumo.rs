use burn::tensor::Tensor;

use super::both;
use crate::model::Field;
use crate::setting::Range;
use crate::system::parameters::mass_model;
use crate::system::plus;
use crate::{State, Variable};

mass_model! {
    /// Settings of [`FitzHughNagumo`]; the defaults are those of FitzHugh 1961.
    config FitzHughNagumoConfig,
    /// An excitable or oscillating system (FitzHugh 1961, Biophysical Journal 1:445; Nagumo et al. 1962).
    ///
    /// ```text
    /// τ dv/dt = v − v³/3 − w + u_v
    /// τ dw/dt = ε·(v + a − b·w) + u_w
    /// ```
    ///
    /// State: v and the recovery w. Input: two channels, u_v and u_w. Observed and given to other systems: v.
    module FitzHughNagumo,
    /// [`FitzHughNagumo`] with its parameters' values.
    field FitzHughNagumoField,
    noise: {
        /// The amplitude of white noise in both variables (1/√ms).
        amplitude = 0.0;
    }
    parameters: {
        /// τ: the unit of time (ms).
        time_constant = 1.0, Range::Positive;
        /// ε: how slow the recovery is.
        recovery_rate = 0.08, Range::Positive;
        /// a.
        recovery_offset = 0.7, Range::Any;
        /// b.
        recovery_leak = 0.8, Range::Any;
    }
    variables: {
        v ["1"] = 0.0;
        w ["1"] = 0.0;
    }
    inputs: { "v drive" ["1"]; "w drive" ["1"]; }
}

impl FitzHughNagumoConfig {
    /// About the shortest time constant that a solver has to resolve, ms.
    pub(in crate::system) fn shortest_time_constant(&self) -> Option<f64> {
        Some(self.time_constant.lowest())
    }
}

impl Field for FitzHughNagumoField {
    fn name(&self) -> &str {
        "fitzhugh-nagumo"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (v, w) = (state[0].clone(), state[1].clone());
        let cubic = (v.clone().square() * (-1.0 / 3.0) + 1.0) * v.clone();
        let v_slope = plus(cubic - w.clone(), self.channel(0, input));
        let recovery = v + &self.recovery_offset - w * &self.recovery_leak;
        let w_slope = plus(recovery * &self.recovery_rate, self.channel(1, input));
        let tau = &self.time_constant;
        State::new(vec![v_slope / tau, w_slope / tau])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        both(state, self.noise.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::model::ConstantInput;
    use crate::system::testing::{every_gradient_agrees, trace};
    use crate::testing::{assert_close, f64_places};

    #[test]
    fn trace_agrees_with_an_independent_integration() {
        // DOP853 at a relative tolerance of 1e-13, from (0, 0) with u_v = 0.5.
        for (_, place) in f64_places() {
            let model = FitzHughNagumoConfig::default().init(&place).unwrap();
            let drive = ConstantInput(place.tensor(vec![0.5, 0.0], [1, 2]));
            let (seen, state) = trace(&model, &drive, 0.05, 1000);
            assert_close(seen[200][0], 1.18792071981386, 1e-6);
            assert_close(seen[1000][0], 1.12097896429701, 1e-6);
            assert_close(host(state[1].clone()).unwrap()[0], 1.2856662423345, 1e-6);
        }
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        every_gradient_agrees(
            |place| {
                FitzHughNagumoConfig {
                    initial: vec![0.5.into(), 0.2.into()],
                    trainable: FitzHughNagumoConfig::PARAMETERS
                        .iter()
                        .map(|x| (*x).into())
                        .collect(),
                    ..Default::default()
                }
                .init(place)
                .unwrap()
            },
            &[0.5, 0.1],
            0.1,
            30,
        );
    }
}
