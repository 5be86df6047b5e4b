//! The firing rate `r = φ(x)` of a unit in the state `x`, by one of the usual transfer functions `φ`:
//!
//! | | `φ(x)` | `φ′(x)` |
//! | --- | --- | --- |
//! | tanh | `tanh x` | `1 − r²` |
//! | relu | `max(0, x)` | `1` where `r > 0`, else `0` |
//! | softplus | `ln(1 + eˣ)` | `1 − e⁻ʳ` |
//! | sigmoid | `1 / (1 + e⁻ˣ)` | `r (1 − r)` |
//! | power law | `k max(0, x)ᵖ` | `p r (r / k)^(−1/p)` where `r ≠ 0`, else `0` |
//!
//! Every slope follows from the rate alone.

#[cfg(any(feature = "flex", feature = "ndarray", gpu))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) mod cpu;
#[cfg(gpu)]
pub(crate) mod cube;
// Some functions are for the kernels of the CPU backends alone, some for recorded steps.
#[cfg_attr(
    not(all(feature = "capture", any(feature = "flex", feature = "ndarray"))),
    allow(dead_code)
)]
pub(crate) mod elementary;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
pub(crate) mod tests;

use burn::tensor::{Tensor, activation};

/// How the rate of a unit depends on its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transfer {
    /// `tanh x`: rates relative to a baseline.
    Tanh,
    /// `max(0, x)`, also called threshold-linear.
    Relu,
    /// `ln(1 + eˣ)`
    Softplus,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// `gain · max(0, x)^exponent`; the stabilised supralinear network has an exponent of 2 or so (Ahmadian, Rubin &
    /// Miller 2013, doi:10.1162/NECO_a_00472).
    PowerLaw {
        /// `k`, the rate at `x = 1`; positive.
        gain: f64,
        /// `p`, at least 1: below that the slope at 0 is infinite.
        exponent: f64,
    },
}

/// Rates `φ(x)` of units in the states `x`, element by element.
///
/// On `flex` and `ndarray` in f32 or f64 (in f32 within 3 units in the last place) and on GPUs in f32 this is a kernel of
/// this crate, elsewhere it is composed of Burn's operations.
pub fn firing_rate<const D: usize>(x: Tensor<D>, transfer: Transfer) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&x) {
        return backend::run(x, transfer);
    }
    #[cfg(gpu)]
    if crate::gpu::serves(&x) {
        return backend::run(x, transfer);
    }
    composed(x, transfer)
}

pub(crate) fn composed<const D: usize>(x: Tensor<D>, transfer: Transfer) -> Tensor<D> {
    match transfer {
        Transfer::Tanh => x.tanh(),
        Transfer::Relu => activation::relu(x),
        Transfer::Softplus => -activation::log_sigmoid(-x),
        // Burn's sigmoid computes f64 in f32.
        Transfer::Sigmoid => activation::log_sigmoid(x).exp(),
        Transfer::PowerLaw { gain, exponent } => activation::relu(x).powf_scalar(exponent) * gain,
    }
}
