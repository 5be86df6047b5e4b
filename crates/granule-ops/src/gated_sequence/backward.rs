//! The adjoint sweep on slices, from the last segment of steps to the first.
//!
//! In each segment every task sweeps its trials back; then one product over all of the segment's trials and steps adds its
//! part of the gradient of each matrix. Nothing that is as long as the sequence is made, but the gradient of the inputs.

use core::ops::Range;

use rayon::prelude::*;

use super::cells::{Adjoints, Before, Cell};
use super::cpu::{Geometry, Inputs};
use crate::firing_rate::elementary::Elementary;
use crate::matmul::{Matrix, matmul, matmul_in_parts, transposed};
use crate::scratch::Scratch;
use crate::trials::DEPTH;
use crate::vectorised::{Kernel, vectorised};

/// What the forward pass left behind, and the gradient of the states that it returned.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a, T> {
    pub(super) states: &'a [T],
    pub(super) kept: &'a [T],
    pub(super) grad: &'a [T],
}

/// The gradients that are wanted.
pub(super) fn backward<T: Elementary, C: Cell<T>>(
    cell: C,
    g: Geometry,
    inputs: Inputs<&[T]>,
    saved: Saved<'_, T>,
    wanted: Inputs<bool>,
) -> Inputs<Option<Vec<T>>> {
    let (n, width) = (g.units, C::GATES * g.units);
    let zeros = |wanted: bool, len: usize| wanted.then(|| vec![T::ZERO; len]);
    let mut gradients = Inputs {
        input: zeros(wanted.input, inputs.input.len()),
        weight_in: zeros(wanted.weight_in, inputs.weight_in.len()),
        bias_in: zeros(wanted.bias_in, width),
        weight: zeros(wanted.weight, inputs.weight.len()),
        bias: zeros(wanted.bias, width),
    };
    if g.is_empty() {
        return gradients;
    }
    let sweep = Sweep {
        cell,
        g,
        saved,
        transposed: &transposed(inputs.weight, n, width),
    };
    let (of_units, of_gates) = (g.trials(n), g.trials(width));
    let of_epsilons = g.trials(C::EPSILON * n);
    let length = DEPTH.div_ceil(g.batch).min(g.steps);
    let mut deltas = Scratch::take(length * of_gates.step());
    let mut epsilons = Scratch::take(length * of_epsilons.step());
    let mut of_h = vec![T::ZERO; of_units.step()];
    let mut of_memory = of_h.clone();
    let mut sums = vec![T::ZERO; of_units.tasks() * 2 * width];
    for first in (0..g.steps).step_by(length).rev() {
        let steps = first..(first + length).min(g.steps);
        let rows = steps.len() * g.batch;
        let deltas = &mut deltas[..rows * width];
        let epsilons = &mut epsilons[..rows * of_epsilons.width];
        of_gates
            .by_task(deltas.chunks_mut(of_gates.step()))
            .into_par_iter()
            .zip(of_epsilons.by_task(epsilons.chunks_mut(of_epsilons.step().max(1))))
            .zip(of_h.par_chunks_mut(of_units.task()))
            .zip(of_memory.par_chunks_mut(of_units.task()))
            .zip(sums.par_chunks_mut(2 * width))
            .enumerate()
            .for_each(|(task, ((((deltas, epsilons), h), memory), sums))| {
                let adjoints = Adjoints { h, memory };
                sweep.back(task, steps.clone(), deltas, epsilons, adjoints, sums);
            });
        let epsilons: &[T] = if C::EPSILON > 0 { epsilons } else { deltas };
        let matrix = Matrix::new(deltas, rows, width);
        // Nothing comes from `h_0`.
        let from = first.max(1);
        let rows_after = (steps.end - from) * g.batch;
        let states = &saved.states[(from - 1) * of_units.step()..][..rows_after * n];
        let after = &epsilons[(from - first) * of_gates.step()..];
        let of_input = g.trials(g.channels).step();
        let input = first * of_input..steps.end * of_input;
        let Inputs {
            weight,
            weight_in,
            input: of_input,
            ..
        } = &mut gradients;
        rayon::join(
            || {
                if let Some(weight) = weight {
                    let states = Matrix::new(states, rows_after, n).transposed();
                    let after = Matrix::new(after, rows_after, width);
                    matmul_in_parts(weight, states, after, true, n);
                }
            },
            || {
                if let Some(weight_in) = weight_in {
                    let inputs = &inputs.input[input.clone()];
                    let inputs = Matrix::new(inputs, rows, g.channels).transposed();
                    matmul_in_parts(weight_in, inputs, matrix, true, g.channels);
                }
            },
        );
        if let Some(gradient) = of_input {
            let weight_in = Matrix::new(inputs.weight_in, g.channels, width).transposed();
            matmul_in_parts(&mut gradient[input], matrix, weight_in, false, steps.len());
        }
    }
    for sums in sums.chunks_exact(2 * width) {
        let (deltas, epsilons) = sums.split_at(width);
        let epsilons = if C::EPSILON > 0 { epsilons } else { deltas };
        for (bias, sums) in [
            (&mut gradients.bias_in, deltas),
            (&mut gradients.bias, epsilons),
        ] {
            if let Some(bias) = bias {
                add(bias, sums);
            }
        }
    }
    gradients
}

#[inline(always)]
fn add<T: Elementary>(sums: &mut [T], values: &[T]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += *value;
    }
}

/// One backward pass, as every task sees it.
struct Sweep<'a, T, C> {
    cell: C,
    g: Geometry,
    saved: Saved<'a, T>,
    /// `Vᵀ`
    transposed: &'a [T],
}

impl<T: Elementary, C: Cell<T>> Sweep<'_, T, C> {
    /// Sweeps one task back over a segment, whose `δ` and `ε` it writes and adds to `sums`, side by side.
    fn back(
        &self,
        task: usize,
        steps: Range<usize>,
        mut deltas: Vec<&mut [T]>,
        mut epsilons: Vec<&mut [T]>,
        adjoints: Adjoints<'_, T>,
        sums: &mut [T],
    ) {
        let (g, n, width) = (&self.g, self.g.units, C::GATES * self.g.units);
        let (of_units, of_kept) = (g.trials(n), g.trials(C::KEPT * n));
        let Adjoints { h, memory } = adjoints;
        let trials = h.len() / n;
        let none = vec![T::ZERO; trials * of_kept.width];
        for (i, step) in steps.enumerate().rev() {
            add(h, of_units.of_task(self.saved.grad, step, task));
            let delta = &mut *deltas[i];
            let epsilon = epsilons.get_mut(i).map_or(&mut [][..], |epsilon| epsilon);
            let before = match step.checked_sub(1) {
                Some(before) => Before {
                    h: of_units.of_task(self.saved.states, before, task),
                    kept: of_kept.of_task(self.saved.kept, before, task),
                },
                None => Before {
                    h: &none[..trials * n],
                    kept: &none,
                },
            };
            vectorised(Retreat {
                cell: self.cell,
                n,
                kept: of_kept.of_task(self.saved.kept, step, task),
                before,
                adjoints: Adjoints { h, memory },
                delta,
                epsilon,
                sums: &mut *sums,
            });
            let epsilon = if C::EPSILON > 0 { &*epsilon } else { &*delta };
            if step > 0 {
                let transposed = Matrix::new(self.transposed, width, n);
                matmul(h, Matrix::new(epsilon, trials, width), transposed, true);
            }
        }
    }
}

/// A step of some trials, back.
struct Retreat<'a, T, C> {
    cell: C,
    n: usize,
    kept: &'a [T],
    before: Before<'a, T>,
    adjoints: Adjoints<'a, T>,
    delta: &'a mut [T],
    epsilon: &'a mut [T],
    sums: &'a mut [T],
}

impl<T: Elementary, C: Cell<T>> Kernel for Retreat<'_, T, C> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self {
            cell,
            n,
            kept,
            before,
            adjoints,
            delta,
            epsilon,
            sums,
        } = self;
        let (sum_of_deltas, sum_of_epsilons) = sums.split_at_mut(C::GATES * n);
        for trial in 0..adjoints.h.len() / n {
            let of = |width: usize| trial * width * n..(trial + 1) * width * n;
            let before = Before {
                h: &before.h[of(1)],
                kept: &before.kept[of(C::KEPT)],
            };
            let adjoints = Adjoints {
                h: &mut adjoints.h[of(1)],
                memory: &mut adjoints.memory[of(1)],
            };
            let (delta, epsilon) = (&mut delta[of(C::GATES)], &mut epsilon[of(C::EPSILON)]);
            cell.retreat::<FUSED>(&kept[of(C::KEPT)], before, adjoints, delta, epsilon);
            add(sum_of_deltas, delta);
            add(sum_of_epsilons, epsilon);
        }
    }
}
