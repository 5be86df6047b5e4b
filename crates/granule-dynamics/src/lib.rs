#![doc = include_str!("../README.md")]
//!
//! - A [`Field`] is a differential equation over a [`State`] of named tensors, each `[batch, units]`; a [`solver`] makes
//!   [`Dynamics`] of it, which move in steps. [`simulate()`] runs them.
//! - A [`Model`] is a Burn module whose parameters, kept in bounds by a map ([`Parameter`]), become such dynamics.
//!   [`gradient`] differentiates a loss through a whole run, with as much memory as it is given.
//!
//! Units are mV, ms, µA/cm², mS/cm² and µF/cm² unless an item says otherwise.
//!
//! # Features
//!
//! - `autodiff`: [`gradient`], differentiation through a run.
//! - `capture`: [`whole`], many steps in one call.
//! - `flex`, `ndarray`: granule's fused operations on that CPU backend.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod circuit;
pub mod composite;
pub mod delay;
mod derivative;
#[cfg(test)]
mod differences;
mod error;
#[cfg(feature = "autodiff")]
pub mod gradient;
mod host_field;
pub mod linalg;
pub mod model;
pub mod network;
mod parameter;
pub mod plasticity;
pub mod population;
mod quantity;
pub mod random;
pub mod resolution;
pub mod setting;
mod simulate;
pub mod solver;
mod state;
mod stop;
pub mod synapse;
pub mod system;
#[cfg(test)]
mod testing;
pub mod unit;
pub mod whole;

pub use error::DynamicsError;
pub use host_field::{
    FieldOnHost, HostField, jacobian_by_differences, rows_of_state, state_of_rows,
    tangent_by_differences,
};
pub use model::{
    Clock, ConstantInput, Dynamics, Field, Input, InputSeries, Linear, Model, NoInput, Span,
};
pub use parameter::{Bounds, Held, Parameter, Values};
pub use random::{NormalNoise, PoissonNoise};
pub use simulate::{CHECK_EVERY, Grid, failure, record, record_every, simulate, simulate_after};
pub use state::{Place, QuantityKind, State, Variable, host};
pub use stop::Stop;
