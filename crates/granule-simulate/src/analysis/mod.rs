//! What a model does: fixed points, bifurcations and chaos of its equations, and what a run shows, by name in [`ANALYSES`] or one by
//! one, on the host in double precision.
//!
//! [`HostField`] is the vector field that is analysed: [`VectorField`] is that of an experiment,
//! [`RateNetwork::on_host`](granule_dynamics::population::RateNetwork::on_host) gives that of a rate network with its exact
//! Jacobian, [`FieldOnHost`] that of any other [`Field`](granule_dynamics::Field) with central differences.

mod components;
mod connectivity;
mod continuation;
mod eeg;
mod exponent;
mod findings;
mod fit;
mod fixed_points;
mod lyapunov;
mod parallel;
mod pca;
mod points;
mod registry;
mod scan;
mod spectrum;
mod spikes;
#[cfg(test)]
mod tests;
mod vector_field;

pub use continuation::{Branch, BranchPoint, Continuation, Special, continue_branch};
pub use findings::{Array, Cell, Column, Findings, Table};
pub use fixed_points::{FixedPoint, FixedPointSearch, Stability, fixed_points, scattered_starts};
pub use granule_dynamics::{FieldOnHost, HostField};
pub use lyapunov::{Lyapunov, maximal_lyapunov_exponent};
pub use pca::Pca;
pub use registry::{ANALYSES, Analysis, Request, go_on, settings_of};
pub use spectrum::{Spectrum, power_spectrum};
pub use vector_field::VectorField;
