#[cfg(test)]
mod tests;

use std::f64::consts::PI;

use burn::tensor::Tensor;

use super::parameters::mass_model;
use super::plus;
use crate::model::Field;
use crate::setting::Range;
use crate::{State, Variable};

mass_model! {
    /// Settings of [`MontbrioPazoRoxin`]; the defaults are the bistable example of the paper (Δ = 1, η = −5, J = 15).
    config MontbrioPazoRoxinConfig,
    /// The exact mean field of quadratic integrate-and-fire cells, all coupled to all, whose excitabilities have a
    /// Lorentzian distribution with centre η and half width Δ (Montbrió, Pazó & Roxin 2015, Physical Review X
    /// 5:021028).
    ///
    /// ```text
    /// τ dr/dt = Δ/(πτ) + 2·r·v
    /// τ dv/dt = v² + η + J·τ·r + I − (π·τ·r)²
    /// ```
    ///
    /// It is the mean of cells τ dV/dt = V² + ηᵢ + J·τ·r + I that spike and reset at ±∞: r is their rate, v their mean
    /// potential.
    ///
    /// State: r (1/ms) and v (dimensionless, as the cells' potential). Input: one channel I, a dimensionless current.
    /// Observed and given to other systems: r. The proxy of the local field potential is the recurrent synaptic current
    /// J·τ·r.
    module MontbrioPazoRoxin,
    /// [`MontbrioPazoRoxin`] with its parameters' values.
    field MontbrioPazoRoxinField,
    noise: {
        /// The amplitude of white noise in the current (√ms).
        amplitude = 0.0;
    }
    parameters: {
        /// τ: the membrane's time constant (ms).
        time_constant = 1.0, Range::Positive;
        /// Δ: the half width of the excitabilities.
        half_width = 1.0, Range::Positive;
        /// η: the centre of the excitabilities.
        excitability = -5.0, Range::Any;
        /// J: the synaptic weight.
        coupling = 15.0, Range::Any;
    }
    variables: {
        r ["1/ms"] as Rate = 0.0;
        v ["1"] = -2.0;
    }
    inputs: { "current" ["1"]; }
}

impl MontbrioPazoRoxinField {
    /// J·τ·r
    fn synaptic_current(&self, state: &State) -> Tensor<2> {
        state[0].clone() * &(&self.coupling * &self.time_constant)
    }
}

impl Field for MontbrioPazoRoxinField {
    fn name(&self) -> &str {
        "montbrio-pazo-roxin"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn inputs(&self) -> &[Variable] {
        &self.inputs
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (r, v) = (state[0].clone(), state[1].clone());
        let per = &self.time_constant.reciprocal();
        let current = self.synaptic_current(state) + &self.excitability;
        let current = plus(current, self.channel(0, input));
        let firing = (r.clone() * &(&self.time_constant * PI)).square();
        let r_slope = r * v.clone() * 2.0 + &(&self.half_width * &(per * (1.0 / PI)));
        let v_slope = v.square() + current - firing;
        State::new(vec![r_slope * per, v_slope * per])
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        let noise = self.noise.as_ref()? / &self.time_constant;
        let zeros = state[0].zeros_like();
        Some(State::new(vec![zeros.clone(), zeros + &noise]))
    }

    fn field_potential(&self) -> Option<Variable> {
        Some(Variable::new("synaptic current", "1", self.nodes()))
    }

    fn rate(&self, state: &State, _input: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        Some(state[0].clone() * 1e3)
    }

    fn local_field_potential(&self, state: &State) -> Option<Tensor<2>> {
        Some(self.synaptic_current(state))
    }
}
