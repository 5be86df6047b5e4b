use burn::tensor::Tensor;

use super::Solver;
use crate::model::{Clock, Field};
use crate::{DynamicsError, State};

/// The forward Euler method, x ← x + dt·f(t, x). Order 1, one evaluation a step.
///
/// Stable for |1 + dt·λ| ≤ 1: a leak with time constant τ needs dt ≤ 2τ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Euler;

impl Solver for Euler {
    fn name(&self) -> &'static str {
        "euler"
    }

    fn order(&self) -> usize {
        1
    }

    fn relative_step(&self) -> f64 {
        0.2
    }

    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        Ok(state.add_scaled(&field.derivative(at.time, state, input), at.dt))
    }
}
