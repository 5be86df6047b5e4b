//! One step of all levels together.

use burn::tensor::Tensor;

use super::coupler::BoundCoupler;
use crate::model::{Clock, Dynamics};
use crate::{DynamicsError, State, Variable};

/// A level with its parameters bound.
pub(super) struct BoundLevel {
    pub(super) dynamics: Box<dyn Dynamics>,
    /// Steps of this level in one step of the whole.
    pub(super) substeps: usize,
    /// Where its variables begin in the state of the whole.
    pub(super) first_variable: usize,
    /// Where its own columns lie in the input of the whole; none for a level without an input from outside.
    pub(super) external: Option<(usize, usize)>,
}

/// The levels of a [`super::MultiGranularityModel`] with their couplers, as one model that moves in steps.
///
/// Within a step every level takes its own, smaller steps; what it receives from the others stays as it was at the step's
/// beginning, and what it sends is filtered over all of its own steps.
pub struct Composite {
    pub(super) name: String,
    pub(super) variables: Vec<Variable>,
    pub(super) levels: Vec<BoundLevel>,
    pub(super) couplers: Vec<BoundCoupler>,
    /// The variables that [`Dynamics::observe`] joins, by index.
    pub(super) observed: Vec<usize>,
}

impl Composite {
    /// The input of a level: what comes from outside and what the couplers bring, added.
    fn input(&self, level: usize, state: &State, external: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let own = self.levels[level].external.zip(external).map(|((first, width), input)| {
            input.clone().narrow(1, first, width)
        });
        self.couplers
            .iter()
            .filter(|coupler| coupler.to == level)
            .map(|coupler| coupler.output(state))
            .chain(own)
            .reduce(|sum, term| sum + term)
    }
}

impl Dynamics for Composite {
    fn name(&self) -> &str {
        &self.name
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let mut next = state.clone();
        for (index, level) in self.levels.iter().enumerate() {
            let input = self.input(index, state, input);
            let width = level.dynamics.variables().len();
            let range = level.first_variable..level.first_variable + width;
            let mut own = State::new(state.tensors()[range.clone()].to_vec());
            let dt = at.dt / level.substeps as f64;
            for substep in 0..level.substeps {
                let at = Clock {
                    step: at.step * level.substeps + substep,
                    time: at.time + substep as f64 * dt,
                    dt,
                };
                own = level.dynamics.step(at, &own, input.as_ref())?;
                for coupler in self.couplers.iter().filter(|coupler| coupler.from == index) {
                    coupler.filter(&own, dt, &mut next);
                }
            }
            for (variable, value) in range.zip(own.into_tensors()) {
                next.replace(variable, value);
            }
        }
        Ok(next)
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        let parts: Vec<Tensor<2>> = self.observed.iter().map(|i| state[*i].clone()).collect();
        Tensor::cat(parts, 1)
    }
}
