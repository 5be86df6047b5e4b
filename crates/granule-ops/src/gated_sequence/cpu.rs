//! Gated sequences on slices: what the passes share, and the forward pass, in which each task runs some trials through all
//! the steps.

use rayon::prelude::*;

use super::cells::{Before, Cell};
use crate::firing_rate::elementary::Elementary;
use crate::matmul::{Matrix, matmul};
use crate::scratch::Scratch;
use crate::trials::Trials;
use crate::vectorised::{Kernel, vectorised};

/// Sizes of one sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) units: usize,
    pub(super) channels: usize,
}

impl Geometry {
    /// So many values of every unit, or the like, of all trials.
    pub(super) fn trials(&self, width: usize) -> Trials {
        Trials {
            batch: self.batch,
            width,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps * self.batch * self.units == 0
    }
}

/// What a sequence is computed from, or something of each part of it.
#[derive(Clone, Copy)]
pub(super) struct Inputs<V> {
    pub(super) input: V,
    pub(super) weight_in: V,
    pub(super) bias_in: V,
    pub(super) weight: V,
    pub(super) bias: V,
}

impl<V> From<[V; 5]> for Inputs<V> {
    fn from([input, weight_in, bias_in, weight, bias]: [V; 5]) -> Self {
        Self {
            input,
            weight_in,
            bias_in,
            weight,
            bias,
        }
    }
}

impl<V> From<Inputs<V>> for [V; 5] {
    fn from(all: Inputs<V>) -> Self {
        [all.input, all.weight_in, all.bias_in, all.weight, all.bias]
    }
}

/// The hidden states, `[steps, batch, units]`, and what the backward pass reads beside them, `[steps, batch, KEPT · units]`,
/// or nothing where it is not to be kept.
pub(super) fn forward<T: Elementary, C: Cell<T>>(
    cell: C,
    g: Geometry,
    inputs: Inputs<&[T]>,
    keep: bool,
) -> [Vec<T>; 2] {
    let (of_states, of_kept) = (g.trials(g.units), g.trials(C::KEPT * g.units));
    let mut states = vec![T::ZERO; g.steps * of_states.step()];
    // Two steps that are taken in turns do, if no other pass reads them.
    let steps_kept = if keep { g.steps } else { g.steps.min(2) };
    let mut kept = vec![T::ZERO; steps_kept * of_kept.step()];
    if !g.is_empty() {
        of_states
            .by_task(states.chunks_mut(of_states.step()))
            .into_par_iter()
            .zip(of_kept.by_task(kept.chunks_mut(of_kept.step())))
            .enumerate()
            .for_each(|(task, (states, kept))| run(cell, g, inputs, task, states, kept));
    }
    if !keep {
        kept = Vec::new();
    }
    [states, kept]
}

/// Runs one task through all the steps.
fn run<T: Elementary, C: Cell<T>>(
    cell: C,
    g: Geometry,
    inputs: Inputs<&[T]>,
    task: usize,
    mut states: Vec<&mut [T]>,
    mut kept: Vec<&mut [T]>,
) {
    let (n, width) = (g.units, C::GATES * g.units);
    let trials = states[0].len() / n;
    let weight_in = Matrix::new(inputs.weight_in, g.channels, width);
    let weight = Matrix::new(inputs.weight, n, width);
    let mut p = Scratch::take(trials * width);
    let mut q = Scratch::take(trials * width);
    let all = kept.len() == g.steps;
    let none = vec![T::ZERO; trials * C::KEPT * n];
    for step in 0..g.steps {
        let (earlier, later) = states.split_at_mut(step);
        let (h_before, h) = (earlier.last(), &mut *later[0]);
        let (earlier, later) = kept.split_at_mut(if all { step } else { step.min(1) });
        let (kept_before, now) = (earlier.last(), &mut *later[0]);
        let input = g.trials(g.channels).of_task(inputs.input, step, task);
        fill_rows(&mut p, inputs.bias_in);
        matmul(
            &mut p,
            Matrix::new(input, trials, g.channels),
            weight_in,
            true,
        );
        fill_rows(&mut q, inputs.bias);
        if let Some(h) = h_before {
            matmul(&mut q, Matrix::new(h, trials, n), weight, true);
        }
        vectorised(Advance {
            cell,
            n,
            p: &p,
            q: &q,
            before: Before {
                h: h_before.map_or(&none[..trials * n], |h| h),
                kept: kept_before.map_or(&none, |kept| kept),
            },
            h,
            kept: now,
        });
        if !all && step > 0 {
            kept.swap(0, 1);
        }
    }
}

fn fill_rows<T: Copy>(matrix: &mut [T], row: &[T]) {
    for values in matrix.chunks_exact_mut(row.len()) {
        values.copy_from_slice(row);
    }
}

/// A step of some trials.
struct Advance<'a, T, C> {
    cell: C,
    n: usize,
    p: &'a [T],
    q: &'a [T],
    before: Before<'a, T>,
    h: &'a mut [T],
    kept: &'a mut [T],
}

impl<T: Elementary, C: Cell<T>> Kernel for Advance<'_, T, C> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self {
            cell,
            n,
            p,
            q,
            before,
            h,
            kept,
        } = self;
        for trial in 0..h.len() / n {
            let of = |width: usize| trial * width * n..(trial + 1) * width * n;
            let before = Before {
                h: &before.h[of(1)],
                kept: &before.kept[of(C::KEPT)],
            };
            let (p, q) = (&p[of(C::GATES)], &q[of(C::GATES)]);
            let (h, kept) = (&mut h[of(1)], &mut kept[of(C::KEPT)]);
            cell.advance::<FUSED>(p, q, before, h, kept);
        }
    }
}
