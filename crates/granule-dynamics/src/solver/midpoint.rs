use burn::tensor::Tensor;

use super::Solver;
use crate::model::{Clock, Field};
use crate::{DynamicsError, State};

/// The explicit midpoint method (Runge 1895): half an Euler step, then a whole step with the slope found there. Order 2,
/// two evaluations a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Midpoint;

impl Solver for Midpoint {
    fn name(&self) -> &'static str {
        "midpoint"
    }

    fn order(&self) -> usize {
        2
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
        Ok(state.add_scaled(&k2, dt))
    }
}
