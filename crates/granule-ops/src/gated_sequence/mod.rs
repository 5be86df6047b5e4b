//! Gated recurrent cells over a whole sequence.
//!
//! With σ the logistic function, ⊙ the product of elements, the inputs `u_t`, `t = 0 … T − 1`, and
//!
//! `p_t = u_t W + b`, `q_t = h_t V + c`, `h_0 = 0`,
//!
//! whose columns stand side by side for the gates, the gated recurrent unit (Cho et al. 2014, doi:10.3115/v1/D14-1179) with
//! the reset gate after the product with the weights is
//!
//! `r, z = σ(p + q)`, `n = tanh(p + r ⊙ q)`, `h_{t+1} = (1 − z) ⊙ n + z ⊙ h_t`
//!
//! and long short-term memory (Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735) with forget gates is
//!
//! `i, f, o = σ(p + q)`, `g = tanh(p + q)`, `m_{t+1} = f ⊙ m_t + i ⊙ g`, `h_{t+1} = o ⊙ tanh(m_{t+1})`, `m_0 = 0`.
//!
//! With the adjoints `λ = ∂L/∂h_{t+1}` and `μ = ∂L/∂m_{t+1}`, which count every way to the loss `L`, those of the sums before
//! the functions of the gates are, of a gated recurrent unit,
//!
//! `δ_n = λ ⊙ (1 − z) ⊙ (1 − n²)`, `δ_z = λ ⊙ (h_t − n) ⊙ z ⊙ (1 − z)`, `δ_r = δ_n ⊙ q_n ⊙ r ⊙ (1 − r)`
//!
//! and of long short-term memory, `s = tanh(m_{t+1})` and `μ` with `λ ⊙ o ⊙ (1 − s²)` added,
//!
//! `δ_o = λ ⊙ s ⊙ o ⊙ (1 − o)`, `δ_i = μ ⊙ g ⊙ i ⊙ (1 − i)`, `δ_f = μ ⊙ m_t ⊙ f ⊙ (1 − f)`, `δ_g = μ ⊙ i ⊙ (1 − g²)`.
//!
//! Side by side they are `∂L/∂p_t = δ_t`; `∂L/∂q_t = ε_t` is the same but for `ε_n = δ_n ⊙ r` of a gated recurrent unit. The
//! step before then has, beside what comes from its own `h_t`,
//!
//! `∂L/∂h_t = ε_t Vᵀ`, and `z ⊙ λ` of a gated recurrent unit; `∂L/∂m_t = f ⊙ μ`,
//!
//! and the gradients are, sums over the batch included,
//!
//! `∂L/∂W = Σ_t u_tᵀ δ_t`, `∂L/∂b = Σ_t δ_t`, `∂L/∂V = Σ_t h_tᵀ ε_t`, `∂L/∂c = Σ_t ε_t`, `∂L/∂u_t = δ_t Wᵀ`.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backward;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cells;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::Tensor;

use crate::firing_rate::{Transfer, firing_rate};
use crate::rate_sequence::split;

/// The cell of [`gated_sequence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatedUnit {
    /// A gated recurrent unit with the gates r, z, n, `r` after the product with the weights.
    Gru,
    /// Long short-term memory with the gates i, f, o, g.
    Lstm,
}

impl GatedUnit {
    /// How many parts stand side by side in the weights, each as wide as there are units: 3 of a gated recurrent unit, 4 of
    /// long short-term memory.
    pub fn gates(self) -> usize {
        match self {
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// The weights of [`gated_sequence`], whose columns stand side by side for the gates.
#[derive(Clone, Debug)]
pub struct GatedWeights {
    /// `W`, `[channels, gates · units]`.
    pub input: Tensor<2>,
    /// `b`, `[gates · units]`.
    pub input_bias: Tensor<1>,
    /// `V`, `[units, gates · units]`.
    pub recurrent: Tensor<2>,
    /// `c`, `[gates · units]`.
    pub recurrent_bias: Tensor<1>,
}

/// Gated cells over a sequence, from `h = 0`: the hidden states after every step, `[steps, batch, units]`.
///
/// - `input` `[steps, batch, channels]`: `u_t`.
/// - `weights`: `W`, `b`, `V` and `c` of the equation, with [`GatedUnit::gates`] parts each.
///
/// All of them have gradients. On `flex` and `ndarray` in f32 or f64 this is the kernel of this crate; elsewhere it is
/// composed of Burn's operations, step by step. On a CPU a result is the same bit for bit whatever the number of threads.
///
/// # Panics
/// Like every Burn operation, when the shapes do not fit together.
pub fn gated_sequence(input: Tensor<3>, weights: GatedWeights, unit: GatedUnit) -> Tensor<3> {
    let [_, _, channels] = input.dims();
    let [units, width] = weights.recurrent.dims();
    assert_eq!(
        (
            width,
            weights.input.dims(),
            weights.input_bias.dims(),
            weights.recurrent_bias.dims()
        ),
        (unit.gates() * units, [channels, width], [width], [width]),
        "gated_sequence: weights of {channels} channels, {units} units and {} gates",
        unit.gates()
    );
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&weights.recurrent) {
        return backend::run(input, weights, unit);
    }
    composed(input, weights, unit)
}

/// The same in Burn's operations.
fn composed(input: Tensor<3>, weights: GatedWeights, unit: GatedUnit) -> Tensor<3> {
    let [steps, batch, channels] = input.dims();
    let [n, _] = weights.recurrent.dims();
    let like = (&input.device().without_autodiff(), input.dtype());
    if steps == 0 {
        return Tensor::zeros([0, batch, n], like);
    }
    let [b, c] = [weights.input_bias, weights.recurrent_bias].map(|bias| bias.unsqueeze::<2>());
    let mut inputs = Vec::with_capacity(steps);
    split(input, &mut inputs);
    let mut h = Tensor::<2>::zeros([batch, n], like);
    let mut memory = h.clone();
    let mut states = Vec::with_capacity(steps);
    for u in inputs {
        // A step at a time: slices of a product over all steps would each cost as much as all of it on the way back.
        let p = u.reshape([batch, channels]).matmul(weights.input.clone()) + b.clone();
        let q = h.clone().matmul(weights.recurrent.clone()) + c.clone();
        match unit {
            GatedUnit::Gru => {
                let gates = sigmoid(part(&p, 0, 2 * n) + part(&q, 0, 2 * n));
                let (r, z) = (part(&gates, 0, n), part(&gates, n, n));
                let new = tanh(part(&p, 2 * n, n) + r * part(&q, 2 * n, n));
                h = z * (h - new.clone()) + new;
            }
            GatedUnit::Lstm => {
                let sum = p + q;
                let gates = sigmoid(part(&sum, 0, 3 * n));
                let [i, f, o] = [0, 1, 2].map(|gate| part(&gates, gate * n, n));
                memory = f * memory + i * tanh(part(&sum, 3 * n, n));
                h = o * tanh(memory.clone());
            }
        }
        states.push(h.clone().unsqueeze::<3>());
    }
    Tensor::cat(states, 0)
}

/// Columns of a tensor.
fn part(x: &Tensor<2>, from: usize, width: usize) -> Tensor<2> {
    x.clone().narrow(1, from, width)
}

fn sigmoid(x: Tensor<2>) -> Tensor<2> {
    firing_rate(x, Transfer::Sigmoid)
}

fn tanh(x: Tensor<2>) -> Tensor<2> {
    firing_rate(x, Transfer::Tanh)
}
