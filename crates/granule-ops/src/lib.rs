#![doc = include_str!("../README.md")]
//!
//! Each operation is a folder: the contract, equation and routing in `mod.rs`, the kernel on slices in
//! `cpu.rs`, which serves `flex` and `ndarray` alike, and the kernel for GPUs, where there is one, in `cube.rs`. On any
//! other device the function calls Burn's own operations, so a model may use it without asking where it runs. [`Plan`] runs the layers of a whole network at inference.
//!
//! # Features
//! - `flex`, `ndarray`, `wgpu`, `cuda`: route tensors of that backend to the kernels here.
//! - `fusion`: goes with Burn's, under which its operations are fused on GPUs and the kernels here for these are not used.
//! - `autodiff`: the backward passes.
//! - `capture`: steps of any model as scripts.
// Without autodiff the backward passes have no caller, without a CPU backend what its kernels share.
#![cfg_attr(
    not(all(feature = "autodiff", any(feature = "flex", feature = "ndarray"))),
    allow(dead_code)
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod bf16;
mod conductance_step;
mod conv2d;
mod cross_entropy;
mod firing_rate;
mod fused;
mod gated_sequence;
#[cfg(gpu)]
mod gpu;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod host;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod lanes;
mod linear;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod matmul;
mod plan;
pub mod random;
mod rate_sequence;
mod real;
mod relu_max_pool2d;
mod scratch;
#[cfg(feature = "capture")]
pub mod script;
mod sparse_product;
#[cfg(test)]
mod testing;
mod threads;
mod tree_solve;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod trials;
mod update;
mod vectorised;

pub use bf16::{Bf16Arithmetic, Factors};
pub use conductance_step::{
    Argument, CableStep, Channel, Coefficient, ConductanceStep, Course, Curve, Gate, GateKinetics,
    ImplicitScheme, Membrane, Pool, Ran, RateCurve, Reversal, Term,
};
pub use conv2d::{Conv2dOptions, conv2d, conv2d_relu_max_pool2d, conv2d_with};
pub use cross_entropy::cross_entropy;
pub use firing_rate::{Transfer, firing_rate};
pub use fused::{FUSED, Fused};
pub use gated_sequence::{GatedUnit, GatedWeights, gated_sequence};
pub use linear::{linear, linear_relu, linear_with};
pub use plan::{Plan, PlanActivation, PlanInput, PlanLayer};
pub use rate_sequence::{Drive, RateSequenceOptions, Recorded, rate_sequence};
pub use relu_max_pool2d::relu_max_pool2d;
pub use scratch::{give_back, release_kept};
pub use sparse_product::{Connections, sparse_product};
pub use threads::{join_threads, most_threads};
pub use tree_solve::{Tree, tree_solve};
pub use update::{UpdateRule, update, update_on_gpu};

/// The backward operations are not differentiable themselves.
#[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray", gpu)))]
#[allow(clippy::panic)]
pub(crate) fn first_order(operation: &str) -> ! {
    panic!("{operation}: a gradient of a gradient is not defined, Burn's autodiff is first-order")
}

/// Whether the tensors of a device lie in host memory.
#[cfg(feature = "capture")]
pub(crate) fn is_host(device: &burn::tensor::Device) -> bool {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    let is_host = host::is_host(device);
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    let is_host = {
        let _ = device;
        false
    };
    is_host
}

/// Whether a tensor lives in host memory and has a type that the kernels here serve, so that reading it waits for nothing.
pub fn is_on_host<const D: usize>(x: &burn::tensor::Tensor<D>) -> bool {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    let on_host = host::serves(x);
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    let on_host = {
        let _ = x;
        false
    };
    on_host
}
