//! A recurrent network of rate units over a whole sequence of forward Euler steps.
//!
//! The network `τ dx/dt = −x + r W + d` with the rates `r = φ(x)` and a step `dt` is, with `α = dt / τ`,
//!
//! `x_{t+1} = (1 − α) ∘ x_t + α ∘ (φ(x_t) W + d_t)`, `t = 0 … T − 1`.
//!
//! With the adjoints `λ_t = ∂L/∂x_t`, which count every way from `x_t` to the loss `L`, and `g_t` the part of them that
//! does not pass through `x_{t+1}`, the backward pass is the sweep
//!
//! `λ_t = g_t + (1 − α) ∘ λ_{t+1} + φ′(x_t) ∘ ((α ∘ λ_{t+1}) Wᵀ)`
//!
//! and the gradients are, with `M = Σ_t φ(x_t)ᵀ λ_{t+1}`, sums over the batch included,
//!
//! `∂L/∂x_0 = λ_0`, `∂L/∂d_t = α ∘ λ_{t+1}`, `∂L/∂W = M ∘ α` (by columns),
//! `∂L/∂α = Σ_t λ_{t+1} ∘ (d_t − x_t) + Σ_i W_i ∘ M_i`.
//!
//! Only states are stored, all of them or every `k`-th; rates, slopes and the states between are computed again.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::Tensor;

use crate::firing_rate::{Transfer, firing_rate};

/// Settings of [`rate_sequence`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSequenceOptions {
    /// From states to rates.
    pub transfer: Transfer,
    /// The states returned, and kept for the backward pass, are those after every `every` steps; at least 1.
    ///
    /// With more than 1 the backward pass computes the states between again, which costs another forward pass and saves
    /// the memory of the states left out.
    pub every: usize,
}

impl RateSequenceOptions {
    /// Every state, of a network with this transfer function.
    pub fn new(transfer: Transfer) -> Self {
        Self { transfer, every: 1 }
    }
}

/// States of a recurrent rate network over a sequence: `x_k, x_2k, … x_T` of
/// `x_{t+1} = (1 − α) ∘ x_t + α ∘ (φ(x_t) W + d_t)`, `k =` [`RateSequenceOptions::every`], as
/// `[steps / every, batch, units]`.
///
/// - `x0` `[batch, units]`: the states before the first step.
/// - `drive` `[steps, batch, units]`: what comes to each unit from outside, as `u_t W_in + b + noise_t`.
/// - `weight` `[units, units]`: row = presynaptic unit, column = postsynaptic.
/// - `alpha` `[units]`: `dt / τ` of each unit. Steps are stable for `0 < α < 2` and follow the continuous network for
///   `α ≪ 1`; no value is refused here.
///
/// All four have gradients. On `flex` and `ndarray` in f32 or f64 this is the kernel of this crate; elsewhere it is
/// composed of Burn's operations, step by step. A result on a CPU is the same bit for bit whatever the number of threads.
///
/// # Panics
/// Like every Burn operation, when the shapes do not fit together; when `every` is zero or does not divide the steps.
pub fn rate_sequence(
    x0: Tensor<2>,
    drive: Tensor<3>,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    let [steps, batch, units] = drive.dims();
    assert_eq!(
        (x0.dims(), weight.dims(), alpha.dims()),
        ([batch, units], [units, units], [units]),
        "rate_sequence: x0, weight and alpha of a drive [{steps}, {batch}, {units}]"
    );
    assert!(
        options.every > 0 && steps % options.every == 0,
        "rate_sequence: {steps} steps are no multiple of every = {}",
        options.every
    );
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&drive) {
        return backend::run(x0, drive, weight, alpha, options);
    }
    composed(x0, drive, weight, alpha, options)
}

/// The same in Burn's operations.
fn composed(
    x0: Tensor<2>,
    drive: Tensor<3>,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    let [steps, batch, units] = drive.dims();
    if steps == 0 {
        return drive;
    }
    let alpha = alpha.unsqueeze::<2>();
    let weight = weight * alpha.clone();
    let leak = -alpha.clone() + 1.0;
    let mut drives = Vec::with_capacity(steps);
    split(drive * alpha.unsqueeze::<3>(), &mut drives);
    let mut x = x0;
    let mut states = Vec::with_capacity(steps / options.every);
    for (step, drive) in drives.into_iter().enumerate() {
        let product = firing_rate(x.clone(), options.transfer).matmul(weight.clone());
        x = leak.clone() * x + product + drive.reshape([batch, units]);
        if (step + 1) % options.every == 0 {
            states.push(x.clone().unsqueeze::<3>());
        }
    }
    Tensor::cat(states, 0)
}

/// Appends the steps of `sequence`, halving it again and again: the gradient of a slice is as long as what it was cut from,
/// so that cutting every step from the whole would cost the square of the steps.
fn split(sequence: Tensor<3>, steps: &mut Vec<Tensor<3>>) {
    let [length, batch, units] = sequence.dims();
    if length == 1 {
        return steps.push(sequence);
    }
    let middle = length / 2;
    split(
        sequence.clone().slice([0..middle, 0..batch, 0..units]),
        steps,
    );
    split(sequence.slice([middle..length, 0..batch, 0..units]), steps);
}
