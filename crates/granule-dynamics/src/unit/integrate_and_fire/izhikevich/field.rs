use burn::tensor::Tensor;

use super::IzhikevichValues;
use crate::model::Field;
use crate::quantity::Quantity;
use crate::unit::input::fits;
use crate::unit::integrate_and_fire::Resetting;
use crate::{DynamicsError, State, Variable};

/// `Izhikevich` between two spikes, with its parameters' values. State: `v`, `u`.
#[derive(Clone, Debug)]
pub struct IzhikevichField {
    pub(super) variables: [Variable; 2],
    pub(super) values: IzhikevichValues,
    /// With the equation's constant.
    pub(super) current: Quantity,
    /// −y is kept above this.
    pub(super) summit: f64,
}

impl Field for IzhikevichField {
    fn name(&self) -> &str {
        "izhikevich"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        input.map_or(Ok(()), |u| fits(u, &state[0], self.name()))
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let (v, u) = (state[0].clone(), state[1].clone());
        let IzhikevichValues { a, b, .. } = &self.values;
        let mut dv = (v.clone() * 0.04 + 5.0) * v.clone() - u.clone() + &self.current;
        if let Some(input) = input {
            dv = dv + input.clone();
        }
        let du = (v * b - u) * a;
        State::new(vec![dv, du])
    }
}

impl Resetting for IzhikevichField {
    fn reset(&self, v: Tensor<2>) -> Tensor<2> {
        v.zeros_like() + &self.values.c
    }

    fn jump(&self, u: Tensor<2>) -> Tensor<2> {
        u + &self.values.d
    }
}
