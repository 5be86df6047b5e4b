use burn::tensor::Tensor;

use super::Solver;
use super::linear::update_groups;
use crate::model::{Clock, Field};
use crate::{DynamicsError, State};

/// The semi-implicit scheme of cell simulators: every [group](Field::groups) but the last — the gates — by the
/// exponential update at the old values, then the last — the voltage — by a backward Euler step of its linear form with
/// the new gates, V ← (V + dt·drive)/(1 + dt·decay). Order 1.
///
/// It is backward Euler for the linearised equation, so one division takes the place of a nonlinear solve; stable at any
/// `dt` for decay ≥ 0, and damped where [`ExponentialEuler`](super::ExponentialEuler) is exact. A field with one group
/// takes the implicit step alone. A variable of no group keeps its value.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackwardEuler;

impl Solver for BackwardEuler {
    fn name(&self) -> &'static str {
        "backward-euler"
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
        update_groups(self.name(), field, at, state, input, |last, linear, x| {
            if last {
                linear.implicit(x, at.dt)
            } else {
                linear.relax(x, at.dt)
            }
        })
    }
}
