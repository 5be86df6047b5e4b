use burn::module::Module;
use burn::tensor::Tensor;

use super::System;
use super::readout::Readout;
use crate::model::{Clock, Dynamics, Field, Model};
use crate::solver::{Solver, Stepped};
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
    type Dynamics = ReadOut<S::Field, V>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        let field = self.system.field()?;
        self.readout.check(&field, &self.system.initial_state(1)?)?;
        Ok(ReadOut {
            stepped: Stepped {
                field,
                solver: self.solver.clone(),
            },
            readout: self.readout,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        self.system.initial_state(batch)
    }
}

/// A system's field with a solver, observed through a read-out.
#[derive(Clone, Debug)]
pub struct ReadOut<F, V> {
    stepped: Stepped<F, V>,
    readout: Readout,
}

impl<F, V> ReadOut<F, V> {
    /// The equations.
    pub fn field(&self) -> &F {
        &self.stepped.field
    }
}

impl<F: Field, V: Solver> Dynamics for ReadOut<F, V> {
    fn name(&self) -> &str {
        self.stepped.name()
    }

    fn variables(&self) -> &[Variable] {
        self.stepped.variables()
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        self.stepped.step(at, state, input)
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.readout.read(self.field(), state, None)
    }
}
