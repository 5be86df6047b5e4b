use burn::tensor::Tensor;

use super::Solver;
use super::linear::update_groups;
use crate::model::{Clock, Field, Input, Span};
use crate::{DynamicsError, State};

/// The exponential Euler method: every variable relaxes exactly towards where its linear form
/// dx/dt = drive − decay·x leads, x ← x∞ + (x − x∞)·exp(−dt·decay) with x∞ = drive/decay. Order 1.
///
/// Exact at any `dt` where drive and decay do not change, hence for a diagonal linear system with constant input; stable
/// at any `dt` for decay ≥ 0. [Groups](Field::groups) are updated in turn and a later one sees the new values of those
/// before it: for a Hodgkin–Huxley cell, whose gates come before the voltage, the errors of both then cancel to second
/// order. A variable of no group keeps its value.
///
/// Also known as the Rush–Larsen method (1978) and as `cnexp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExponentialEuler;

impl Solver for ExponentialEuler {
    fn name(&self) -> &'static str {
        "exponential-euler"
    }

    fn order(&self) -> usize {
        1
    }

    fn relative_step(&self) -> f64 {
        4.0
    }

    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        if let Some(next) = field.exponential_step(at, state, input) {
            return Ok(next);
        }
        update_groups(self.name(), field, at, state, input, |_, linear, x| {
            linear.relax(x, at.dt)
        })
    }

    fn course(
        &self,
        field: &dyn Field,
        span: &Span,
        state: &State,
        input: &dyn Input,
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
        field.exponential_course(span, state, input)
    }
}
