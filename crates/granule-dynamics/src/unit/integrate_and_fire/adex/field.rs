use burn::tensor::Tensor;

use super::AdexValues;
use crate::model::Field;
use crate::quantity::Quantity;
use crate::unit::input::fits;
use crate::unit::integrate_and_fire::Resetting;
use crate::{DynamicsError, State, Variable};

/// `Adex` between two spikes, with its parameters' values. State: `v`, `w`.
#[derive(Clone, Debug)]
pub struct AdexField {
    pub(super) variables: [Variable; 2],
    pub(super) values: AdexValues,
    /// a Δ_T C/(τ_w g_L)
    pub(super) shear: Quantity,
    /// Where w goes while v is at the reset.
    pub(super) balance_at_reset: Quantity,
    pub(super) current: Quantity,
    pub(super) refractory: f64,
}

impl Field for AdexField {
    fn name(&self) -> &str {
        "adex"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        input.map_or(Ok(()), |u| fits(u, &state[0], self.name()))
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (v, w) = (state[0].clone(), state[1].clone());
        let own = &self.values;
        let away = v.clone() - &own.e_l;
        let upstroke = ((v - &own.threshold) / &own.slope).exp() * &own.slope;
        let mut current = (upstroke - away.clone()) * &own.g_l - w.clone() + &self.current;
        if let Some(u) = input {
            current = current + u.clone();
        }
        let dv = current / &own.capacitance;
        let dw = (away * &own.adaptation - w) / &own.adaptation_time_constant;
        State::new(vec![dv, dw])
    }
}

impl Resetting for AdexField {
    fn reset(&self, v: Tensor<2>) -> Tensor<2> {
        v.zeros_like() + &self.values.reset
    }

    fn jump(&self, w: Tensor<2>) -> Tensor<2> {
        w + &self.values.adaptation_jump
    }

    fn refractory(&self) -> f64 {
        self.refractory
    }

    fn hold(&self, w: Tensor<2>, time: Tensor<2>) -> Tensor<2> {
        let left = (time / &self.values.adaptation_time_constant).neg().exp();
        (w - &self.balance_at_reset) * left + &self.balance_at_reset
    }
}
