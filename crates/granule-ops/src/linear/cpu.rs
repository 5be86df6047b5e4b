//! `∂L/∂x = ∂L/∂y Wᵀ` on slices. Both factors lie along the sum, so that a tile of results is summed in registers by lanes,
//! where a general product would first lay out all of `W` anew; each task reads some rows of `W` once.

use rayon::prelude::*;

use crate::lanes::{self, LANES, Lanes};
use crate::real::Real;
use crate::scratch::Scratch;
use crate::vectorised::{Kernel, is_wide, vectorised};

/// Rows of `∂L/∂y` and of `W` of a tile.
const GRADS: usize = 4;
const WEIGHTS: usize = 5;
/// Rows of `W` of a task.
const ROWS: usize = 60;
/// The fewest weights, of which a copy leaves the processor's caches, and the most rows of `∂L/∂y`: more of them pay for it.
const LARGE: usize = 1 << 19;
const BATCH: usize = 128;

/// Whether this kernel is faster than a general product.
pub(super) fn serves(batch: usize, weights: usize) -> bool {
    is_wide() && weights >= LARGE && (1..=BATCH).contains(&batch)
}

/// `[batch, inputs]` from `grad` `[batch, outputs]` and `weight` `[inputs, outputs]`.
pub(super) fn input_gradient<T: Real>(grad: &[T], weight: &[T], outputs: usize) -> Vec<T> {
    let (batch, inputs) = (grad.len() / outputs, weight.len() / outputs);
    let parts: Vec<Scratch<T>> = weight
        .par_chunks(ROWS * outputs)
        .map(|weight| {
            let mut out = Scratch::take(batch * weight.len() / outputs);
            vectorised(Products {
                grad,
                weight,
                outputs,
                out: &mut out,
            });
            out
        })
        .collect();
    let mut out = vec![T::ZERO; batch * inputs];
    out.par_chunks_mut(inputs)
        .enumerate()
        .for_each(|(row, out)| {
            for (out, part) in out.chunks_mut(ROWS).zip(&parts) {
                out.copy_from_slice(&part[row * out.len()..][..out.len()]);
            }
        });
    out
}

/// The product of every row of `grad` with every one of `weight`.
struct Products<'a, T> {
    grad: &'a [T],
    weight: &'a [T],
    outputs: usize,
    out: &'a mut [T],
}

impl<'a, T: Real> Kernel for Products<'a, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (grads, weights) = (
            self.grad.len() / self.outputs,
            self.weight.len() / self.outputs,
        );
        // A tile that is not full has its last row several times.
        let row = |values: &'a [T], i: usize, count: usize| {
            &values[i.min(count - 1) * self.outputs..][..self.outputs]
        };
        for i in (0..weights).step_by(WEIGHTS) {
            let weight: [_; WEIGHTS] = core::array::from_fn(|k| row(self.weight, i + k, weights));
            for j in (0..grads).step_by(GRADS) {
                let grad: [_; GRADS] = core::array::from_fn(|l| row(self.grad, j + l, grads));
                let sums = products::<FUSED, T>(grad, weight, [[[T::ZERO; LANES]; WEIGHTS]; GRADS]);
                for (l, sums) in sums.iter().enumerate().take(grads - j) {
                    for (k, sum) in sums.iter().enumerate().take(weights - i) {
                        let tail = tail::<FUSED, T>(grad[l], weight[k]);
                        self.out[(j + l) * weights + i + k] = lanes::sum(*sum) + tail;
                    }
                }
            }
        }
    }
}

/// The sum over what fills no lanes.
#[inline(always)]
fn tail<const FUSED: bool, T: Real>(a: &[T], b: &[T]) -> T {
    let pairs = a
        .as_chunks::<LANES>()
        .1
        .iter()
        .zip(b.as_chunks::<LANES>().1);
    pairs.fold(T::ZERO, |sum, (a, b)| a.multiply_add::<FUSED>(*b, sum))
}

/// A tile of sums by lanes.
#[inline(always)]
fn products<const FUSED: bool, T: Real>(
    grad: [&[T]; GRADS],
    weight: [&[T]; WEIGHTS],
    mut sums: [[Lanes<T>; WEIGHTS]; GRADS],
) -> [[Lanes<T>; WEIGHTS]; GRADS] {
    let grad = grad.map(|row| row.as_chunks::<LANES>().0);
    let weight = weight.map(|row| row.as_chunks::<LANES>().0);
    for i in 0..grad[0].len() {
        let weights = weight.map(|row| row[i]);
        for (sums, grad) in sums.iter_mut().zip(&grad) {
            let grad = grad[i];
            for (sum, weight) in sums.iter_mut().zip(&weights) {
                for ((sum, a), b) in sum.iter_mut().zip(&grad).zip(weight) {
                    *sum = a.multiply_add::<FUSED>(*b, *sum);
                }
            }
        }
    }
    sums
}
