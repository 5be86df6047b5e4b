//! Numerical integration, one method a file.
//!
//! | solver | name | order | evaluations a step | for |
//! | --- | --- | --- | --- | --- |
//! | [`Euler`] | `euler` | 1 | 1 | rate networks with noise-free, coarse steps; resets at every step |
//! | [`Heun`] | `heun` | 2 | 2 | smooth fields, stable for weakly damped oscillations |
//! | [`Midpoint`] | `midpoint` | 2 | 2 | smooth fields |
//! | [`Rk4`] | `rk4` | 4 | 4 | smooth fields, the default |
//! | [`ExponentialEuler`] | `exponential-euler` | 1 ¹ | 1 ² | cells and leaks at coarse steps; exact for diagonal linear parts |
//! | [`BackwardEuler`] | `backward-euler` | 1 | 1 ² | stiff cells and cables, whose voltage it damps |
//! | [`DormandPrince`] | `dormand-prince` | 5 | 6 | precise runs; also [`adaptive`] |
//! | [`Tsit5`] | `tsit5` | 5 | 6 | precise runs; also [`adaptive`], the first choice there |
//! | [`EulerMaruyama`] | `euler-maruyama` | 1 (strong ½) | 1 | noise, Itô |
//! | [`StochasticHeun`] | `stochastic-heun` | 2 (strong 1) | 2 | noise, Stratonovich |
//!
//! ¹ second order in effect for Hodgkin–Huxley cells, whose gates are updated before the voltage. ² of the linear form
//! ([`Field::linear`]) instead of the derivative.
//!
//! The order is that without noise; the last two methods alone see [`Field::diffusion`]. All of them can be
//! differentiated through. [`SolverKind`] names them in configuration files.

pub mod adaptive;
mod backward_euler;
mod dormand_prince;
mod euler;
mod euler_maruyama;
mod exponential_euler;
mod heun;
mod kind;
pub(crate) mod linear;
mod midpoint;
mod noise;
mod rk4;
mod stochastic_heun;
mod tableau;
#[cfg(test)]
mod tests;
mod tsit5;

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;

pub use backward_euler::BackwardEuler;
pub use dormand_prince::DormandPrince;
pub use euler::Euler;
pub use euler_maruyama::EulerMaruyama;
pub use exponential_euler::ExponentialEuler;
pub use heun::Heun;
pub use kind::{SolverConfig, SolverKind};
pub use midpoint::Midpoint;
pub use rk4::Rk4;
pub use stochastic_heun::StochasticHeun;
pub use tsit5::Tsit5;

use crate::model::{Clock, Dynamics, Field, Input, Span};
use crate::{DynamicsError, State, Variable};

/// A one-step method with a step given from outside.
pub trait Solver: fmt::Debug + Send + Sync {
    /// The name in configuration files.
    fn name(&self) -> &'static str;

    /// The order of convergence on smooth fields.
    fn order(&self) -> usize;

    /// Whether it takes a field's noise into account. Default: it leaves it out.
    fn is_stochastic(&self) -> bool {
        false
    }

    /// How many times as long its steps may be as those of a Runge–Kutta method of second order or higher. Default 1.
    fn relative_step(&self) -> f64 {
        1.0
    }

    /// The state after `at.dt`, before [`Field::after_step`].
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

    /// [`Dynamics::course`], where the method has it for the field.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    fn course(
        &self,
        _field: &dyn Field,
        _span: &Span,
        _state: &State,
        _input: &dyn Input,
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
        Ok(None)
    }
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
        Ok(self.field.after_step(at.time + at.dt, state, next))
    }

    fn course(
        &self,
        span: &Span,
        state: &State,
        input: &dyn Input,
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
        self.solver.course(&self.field, span, state, input)
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.field.observe(state)
    }

    fn currents(&self) -> &[Variable] {
        self.field.currents()
    }

    fn currents_of(&self, state: &State) -> Vec<Tensor<2>> {
        self.field.currents_of(state)
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

            fn is_stochastic(&self) -> bool {
                self.as_ref().is_stochastic()
            }

            fn relative_step(&self) -> f64 {
                self.as_ref().relative_step()
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

            fn course(
                &self,
                field: &dyn Field,
                span: &Span,
                state: &State,
                input: &dyn Input,
            ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
                self.as_ref().course(field, span, state, input)
            }
        }
    )*};
}

pointer!(Box Arc);
