use burn::tensor::Tensor;

use super::Solver;
use crate::model::{Clock, Field};
use crate::{DynamicsError, State};

/// The classical Runge–Kutta method (Kutta 1901). Order 4, four evaluations a step, no error estimate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rk4;

impl Solver for Rk4 {
    fn name(&self) -> &'static str {
        "rk4"
    }

    fn order(&self) -> usize {
        4
    }

    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let Clock { time, dt, .. } = at;
        let half = 0.5 * dt;
        let k1 = field.derivative(time, state, input);
        let k2 = field.derivative(time + half, &state.add_scaled(&k1, half), input);
        let k3 = field.derivative(time + half, &state.add_scaled(&k2, half), input);
        let k4 = field.derivative(time + dt, &state.add_scaled(&k3, dt), input);
        let middle = k2.add_scaled(&k3, 1.0);
        let slope = k1.add_scaled(&middle, 2.0).add_scaled(&k4, 1.0);
        Ok(state.add_scaled(&slope, dt / 6.0))
    }
}
