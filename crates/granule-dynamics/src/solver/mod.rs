//! Numerical integration, one method a file.
//!
//! | solver | order | for |
//! | --- | --- | --- |
//! | [`Rk4`] | 4 | smooth fields, the default |

mod rk4;

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;

pub use rk4::Rk4;

use crate::model::{Clock, Dynamics, Field};
use crate::{DynamicsError, State, Variable};

/// A one-step method with a step given from outside.
pub trait Solver: fmt::Debug + Send + Sync {
    /// The name in configuration files.
    fn name(&self) -> &'static str;

    /// The order of convergence on smooth fields.
    fn order(&self) -> usize;

    /// The state after `at.dt`, before [`Field::settle`].
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Unsupported`] when the field lacks the form of the equations that the method needs.
    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError>;
}

/// A field with a solver: a model that moves in steps.
#[derive(Clone, Debug)]
pub struct Stepped<F, S> {
    /// The equations.
    pub field: F,
    /// The method.
    pub solver: S,
}

impl<F: Field, S: Solver> Dynamics for Stepped<F, S> {
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
        self.field.observe(state)
    }
}

/// A solver behind a pointer is that solver.
macro_rules! pointer {
    ($($pointer:ident)*) => {$(
        impl<S: Solver + ?Sized> Solver for $pointer<S> {
            fn name(&self) -> &'static str {
                self.as_ref().name()
            }

            fn order(&self) -> usize {
                self.as_ref().order()
            }

            fn step(
                &self,
                field: &dyn Field,
                at: Clock,
                state: &State,
                input: Option<&Tensor<2>>,
            ) -> Result<State, DynamicsError> {
                self.as_ref().step(field, at, state, input)
            }
        }
    )*};
}

pointer!(Box Arc);
