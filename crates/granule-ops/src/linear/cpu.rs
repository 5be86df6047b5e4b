//! The products of a layer on slices, each divided by its sizes alone, so that no result depends on the number of threads.
//!
//! `y` is divided by columns, each part of which reads its part of `W` once, and the gradients by rows of `W`.

use rayon::prelude::*;

use crate::lanes::LANES;
use crate::matmul::{Matrix, matmul, matmul_by_rows};
use crate::real::Real;
use crate::scratch::{self, Scratch};

/// Multiply-adds of which several threads take a part each.
const SHARED: usize = 1 << 20;
/// The most parts of `y` and of `∂L/∂x`, the fewest columns of one of `y`, and the fewest rows of one of `∂L/∂x`.
const PARTS: usize = 8;
const COLUMNS: usize = 64;
const GRAD_ROWS: usize = 32;
/// The most parts of `∂L/∂W`, and the fewest rows of one.
const WEIGHT_PARTS: usize = 16;
const WEIGHT_ROWS: usize = 96;
/// The fewest weights, of which a copy leaves the processor's caches, and the most rows of `∂L/∂y`: more of them pay for it.
const LARGE: usize = 1 << 19;
const BATCH: usize = 256;
/// Rows and columns that are turned together.
const SQUARE: usize = 16;

/// `y = x W + b`: `[batch, outputs]`.
pub(super) fn forward<T: Real>(x: &[T], weight: &[T], bias: &[T], inputs: usize) -> Vec<T> {
    let outputs = bias.len();
    let batch = x.len() / inputs.max(1);
    let mut out = vec![T::ZERO; batch * outputs];
    let x = Matrix::new(x, batch, inputs);
    let weight = Matrix::new(weight, inputs, outputs);
    let width = outputs.div_ceil(PARTS).next_multiple_of(COLUMNS);
    // In parts of columns whatever the batch, so that a sample gives the same bits in any.
    if width >= outputs {
        matmul(&mut out, x, weight, false);
        for out in out.chunks_exact_mut(outputs.max(1)) {
            for (out, bias) in out.iter_mut().zip(bias) {
                *out += *bias;
            }
        }
        return out;
    }
    let part = |part: usize| {
        let first = part * width;
        let columns = width.min(outputs - first);
        let mut out = Scratch::take(batch * columns);
        matmul(&mut out, x, weight.columns(first, columns), false);
        out
    };
    let parts = 0..outputs.div_ceil(width);
    let parts: Vec<Scratch<T>> = if batch * inputs * outputs < SHARED {
        parts.map(part).collect()
    } else {
        parts.into_par_iter().map(part).collect()
    };
    for (row, out) in out.chunks_exact_mut(outputs).enumerate() {
        let biases = bias.chunks(width);
        for ((out, part), bias) in out.chunks_mut(width).zip(&parts).zip(biases) {
            let part = &part[row * out.len()..][..out.len()];
            for ((out, sum), bias) in out.iter_mut().zip(part).zip(bias) {
                *out = *sum + *bias;
            }
        }
    }
    out
}

/// `∂L/∂W = xᵀ ∂L/∂y`: `[inputs, outputs]`.
pub(super) fn weight_gradient<T: Real>(
    x: &[T],
    grad: &[T],
    [inputs, outputs]: [usize; 2],
) -> Vec<T> {
    let batch = x.len() / inputs.max(1);
    let mut out = scratch::take_exactly(inputs * outputs);
    let x = Matrix::new(x, batch, inputs).transposed();
    let grad = Matrix::new(grad, batch, outputs);
    if batch == 0 {
        out.fill(T::ZERO);
    } else {
        let rows = if batch * inputs * outputs < SHARED {
            inputs
        } else {
            let parts = (inputs / WEIGHT_ROWS).clamp(1, WEIGHT_PARTS);
            inputs.div_ceil(parts).next_multiple_of(LANES)
        };
        matmul_by_rows(&mut out, x, grad, false, rows);
    }
    out
}

/// `∂L/∂b = Σ_batch ∂L/∂y`: `[outputs]`.
pub(super) fn bias_gradient<T: Real>(grad: &[T], outputs: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; outputs];
    for grad in grad.chunks_exact(outputs.max(1)) {
        for (out, grad) in out.iter_mut().zip(grad) {
            *out += *grad;
        }
    }
    out
}

/// `∂L/∂x = ∂L/∂y Wᵀ`: `[batch, inputs]`.
pub(super) fn input_gradient<T: Real>(
    grad: &[T],
    weight: &[T],
    [inputs, outputs]: [usize; 2],
) -> Vec<T> {
    let batch = grad.len() / outputs.max(1);
    if inputs * outputs >= LARGE && batch <= BATCH {
        return turned(grad, weight, [inputs, outputs]);
    }
    let mut out = vec![T::ZERO; batch * inputs];
    let rows = if batch * inputs * outputs < SHARED {
        batch
    } else {
        batch.div_ceil(PARTS).max(GRAD_ROWS)
    };
    let grad = Matrix::new(grad, batch, outputs);
    let weight = Matrix::new(weight, inputs, outputs).transposed();
    matmul_by_rows(&mut out, grad, weight, false, rows);
    out
}

/// The same for a large `W`, all of which a product that writes rows of `∂L/∂x` lays out anew: of the transpose, `W ∂L/∂yᵀ`, it
/// lays out the smaller factor.
pub(super) fn turned<T: Real>(grad: &[T], weight: &[T], [inputs, outputs]: [usize; 2]) -> Vec<T> {
    let batch = grad.len() / outputs.max(1);
    let mut transpose = Scratch::take(inputs * batch);
    let weight = Matrix::new(weight, inputs, outputs);
    let grad = Matrix::new(grad, batch, outputs).transposed();
    let rows = inputs.div_ceil(PARTS).next_multiple_of(SQUARE);
    matmul_by_rows(&mut transpose, weight, grad, false, rows);
    let mut out = vec![T::ZERO; batch * inputs];
    out.par_chunks_mut(SQUARE * inputs)
        .enumerate()
        .for_each(|(band, out)| {
            let count = out.len() / inputs;
            for (part, lines) in transpose.chunks(SQUARE * batch).enumerate() {
                for (row, out) in out.chunks_exact_mut(inputs).enumerate().take(count) {
                    let out = &mut out[part * SQUARE..];
                    let values = lines[band * SQUARE + row..].iter().step_by(batch);
                    for (out, value) in out.iter_mut().zip(values) {
                        *out = *value;
                    }
                }
            }
        });
    out
}
