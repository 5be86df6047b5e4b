use burn::module::Module;
use burn::tensor::Tensor;

use super::readout::Readout;
use super::{System, SystemField};
use crate::model::{Clock, Dynamics, Model};
use crate::solver::Solver;
use crate::{DynamicsError, State, Variable};

/// A system with a solver and a read-out: a [`Model`].
#[derive(Module, Debug)]
pub struct Integrated<S: Module, V> {
    /// The system.
    pub system: S,
    #[module(skip)]
    solver: V,
    #[module(skip)]
    readout: Readout,
}

impl<S: System, V: Solver + Clone + 'static> Integrated<S, V> {
    /// Moves `system` with `solver`; what is recorded is the field's own choice.
    pub fn new(system: S, solver: V) -> Self {
        Self {
            system,
            solver,
            readout: Readout::Observed,
        }
    }

    /// Records something else.
    pub fn with_readout(mut self, readout: Readout) -> Self {
        self.readout = readout;
        self
    }
}

impl<S: System, V: Solver + Clone + 'static> Model for Integrated<S, V> {
    type Dynamics = Moving<S::Field, V>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        let field = self.system.field()?;
        self.readout.check(&field, &self.system.initial_state(1)?)?;
        Ok(Moving {
            field,
            solver: self.solver.clone(),
            readout: self.readout,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        self.system.initial_state(batch)
    }
}

/// A system's field in motion.
#[derive(Clone, Debug)]
pub struct Moving<F, V> {
    /// The equations.
    pub field: F,
    solver: V,
    readout: Readout,
}

impl<F: SystemField, V: Solver> Dynamics for Moving<F, V> {
    fn name(&self) -> &str {
        self.field.name()
    }

    fn variables(&self) -> &[Variable] {
        self.field.variables()
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        self.field.check_input(state, input)?;
        let next = self.solver.step(&self.field, at, state, input)?;
        Ok(self.field.settle(at.time + at.dt, state, next))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.readout.read(&self.field, state, None)
    }
}
