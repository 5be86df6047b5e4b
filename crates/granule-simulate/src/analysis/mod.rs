//! What a model does, asked on the host in double precision: fixed points, chaos, principal components.
//!
//! [`HostField`] is the vector field that is analysed:
//! [`RateNetwork::on_host`](granule_dynamics::population::RateNetwork::on_host) gives that of a rate network with its exact
//! Jacobian, [`FieldOnHost`] that of any other [`Field`](granule_dynamics::Field) with central differences.

mod fixed_points;
mod lyapunov;
mod pca;
#[cfg(test)]
mod tests;

pub use fixed_points::{FixedPoint, FixedPointSearch, Stability, fixed_points, scattered_starts};
pub use granule_dynamics::{FieldOnHost, HostField};
pub use lyapunov::{Lyapunov, maximal_lyapunov_exponent};
pub use pca::Pca;
