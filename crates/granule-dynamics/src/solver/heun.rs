use burn::tensor::Tensor;

use super::Solver;
use crate::model::{Clock, Field};
use crate::{DynamicsError, State};

/// Heun's method (1900): an Euler step, then the mean of the slopes at both its ends. Order 2, two evaluations a step.
///
/// Also known as the explicit trapezoidal rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heun;

impl Solver for Heun {
    fn name(&self) -> &'static str {
        "heun"
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
        let k1 = field.derivative(time, state, input);
        let k2 = field.derivative(time + dt, &state.add_scaled(&k1, dt), input);
        Ok(state.add_scaled(&k1.add_scaled(&k2, 1.0), 0.5 * dt))
    }
}
