//! A recurrent network of rate units over a whole sequence of forward Euler steps.
//!
//! The network `τ dx/dt = −x + r W + d` with the rates `r = φ(x)` and a step `dt` is, with `α = dt / τ`,
//!
//! `x_{t+1} = (1 − α) ∘ x_t + α ∘ (r_t W + d_t)`, `d_t = u_t W_in + n_t`, `t = 0 … T − 1`.
//!
//! With the adjoints `λ_t = ∂L/∂x_t`, which count every way from `x_t` to the loss `L`, and `g_t` the part of them that
//! does not pass through `x_{t+1}`, the backward pass is the sweep
//!
//! `λ_t = g_t + (1 − α) ∘ λ_{t+1} + φ′(x_t) ∘ ((α ∘ λ_{t+1}) Wᵀ)`
//!
//! and the gradients are, with `M = Σ_t r_tᵀ λ_{t+1}` and `N = Σ_t u_tᵀ λ_{t+1}`, sums over the batch included,
//!
//! `∂L/∂x_0 = λ_0`, `∂L/∂W = M ∘ α` and `∂L/∂W_in = N ∘ α` (by columns), `∂L/∂u_t = (α ∘ λ_{t+1}) W_inᵀ`,
//! `∂L/∂n_t = α ∘ λ_{t+1}`,
//! `∂L/∂α = Σ_t λ_{t+1} ∘ (n_t − x_t) + Σ_i W_i ∘ M_i + Σ_i W_in,i ∘ N_i`.
//!
//! Slopes follow from rates, so that a sequence of rates needs nothing else to be stored. A sequence of states needs them
//! alone, all or every `k`-th; rates and the states between are computed again.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backward;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(gpu)]
mod cube;
mod drive;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::Tensor;

use crate::firing_rate::{Transfer, firing_rate};
pub use drive::Drive;

/// Settings of [`rate_sequence`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSequenceOptions {
    /// From states to rates.
    pub transfer: Transfer,
    /// What is returned.
    pub record: Recorded,
    /// Only what holds after every `every` steps is returned and kept for the backward pass; at least 1.
    ///
    /// With more than 1 the backward pass computes the steps between again, which costs another forward pass and saves
    /// the memory of what is left out.
    pub every: usize,
}

/// What [`rate_sequence`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// `x_1 … x_T`
    States,
    /// `φ(x_1) … φ(x_T)`, in less time and memory than [`firing_rate`](crate::firing_rate()) of the states.
    Rates,
}

impl RateSequenceOptions {
    /// The rates of every step, by this transfer function.
    pub fn rates(transfer: Transfer) -> Self {
        Self {
            transfer,
            record: Recorded::Rates,
            every: 1,
        }
    }

    /// The states after every step, of a network with this transfer function.
    pub fn states(transfer: Transfer) -> Self {
        Self {
            record: Recorded::States,
            ..Self::rates(transfer)
        }
    }
}

/// A recurrent rate network over a sequence, `x_{t+1} = (1 − α) ∘ x_t + α ∘ (φ(x_t) W + d_t)`: the rates or states after
/// every `k` steps, `k =` [`RateSequenceOptions::every`], as `[steps / k, batch, units]`.
///
/// - `x0` `[batch, units]`: the states before the first step.
/// - `drive`: `d_t`, what comes to each unit from outside.
/// - `weight` `[units, units]`: row = presynaptic unit, column = postsynaptic.
/// - `alpha` `[units]`: `dt / τ` of each unit. Steps are stable for `0 < α < 2` and follow the continuous network for
///   `α ≪ 1`; no value is refused here.
///
/// All of them have gradients. On `flex` and `ndarray` in f32 or f64 and on GPUs in f32 this is a kernel of this crate;
/// elsewhere it is composed of Burn's operations, step by step. On a CPU a result is the same bit for bit whatever the number
/// of threads. On a GPU the drive of all steps is in memory, and the backward pass computes with all states.
///
/// # Panics
/// Like every Burn operation, when the shapes do not fit together; when `every` is zero or does not divide the steps.
pub fn rate_sequence(
    x0: Tensor<2>,
    drive: impl Into<Drive>,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    let drive = drive.into();
    let [batch, units] = x0.dims();
    let steps = drive.steps(batch, units);
    assert_eq!(
        (weight.dims(), alpha.dims()),
        ([units, units], [units]),
        "rate_sequence: weight and alpha of {units} units"
    );
    assert!(
        options.every > 0 && steps % options.every == 0,
        "rate_sequence: {steps} steps are no multiple of every = {}",
        options.every
    );
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&weight) {
        return backend::run(x0, drive, weight, alpha, options);
    }
    #[cfg(gpu)]
    if cube::serve(&x0, &drive, &weight, &alpha) {
        return cube::run(x0, drive, weight, alpha, options, false);
    }
    composed(x0, drive, weight, alpha, options)
}

/// The same in Burn's operations.
fn composed(
    x0: Tensor<2>,
    drive: Drive,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    let [batch, units] = x0.dims();
    let alpha = alpha.unsqueeze::<2>();
    let weight = weight * alpha.clone();
    let leak = -alpha.clone() + 1.0;
    let drive = drive.into_tensor();
    if drive.dims()[0] == 0 {
        return drive;
    }
    let mut drives = Vec::with_capacity(drive.dims()[0]);
    split(drive * alpha.unsqueeze::<3>(), &mut drives);
    let mut recorded = Vec::with_capacity(drives.len() / options.every);
    let mut x = x0;
    let mut rates = firing_rate(x.clone(), options.transfer);
    for (step, drive) in drives.into_iter().enumerate() {
        x = leak.clone() * x + rates.matmul(weight.clone()) + drive.reshape([batch, units]);
        rates = firing_rate(x.clone(), options.transfer);
        if (step + 1) % options.every == 0 {
            let record = match options.record {
                Recorded::States => x.clone(),
                Recorded::Rates => rates.clone(),
            };
            recorded.push(record.unsqueeze::<3>());
        }
    }
    Tensor::cat(recorded, 0)
}

/// Appends the steps of `sequence`, halving it again and again: the gradient of a slice is as long as what it was cut from,
/// so that cutting every step from the whole would cost the square of the steps.
pub(crate) fn split(sequence: Tensor<3>, steps: &mut Vec<Tensor<3>>) {
    let length = sequence.dims()[0];
    if length == 1 {
        return steps.push(sequence);
    }
    let middle = length / 2;
    split(sequence.clone().narrow(0, 0, middle), steps);
    split(sequence.narrow(0, middle, length - middle), steps);
}
