//! Rate sequences on slices.
//!
//! The rows of a batch do not meet before the gradient of the weights, so each task runs some of them through all the
//! steps (forward) or through a segment of them (backward), after which one product adds the segment's part of that
//! gradient. Rows and segments are divided by the sizes alone, never by the number of threads.

use rayon::prelude::*;

use super::RateSequenceOptions;
use crate::firing_rate::cpu::{Phi, Rates, with_phi};
use crate::firing_rate::elementary::Elementary;
use crate::matmul::{Matrix, matmul, matmul_in_parts};
use crate::vectorised::{Kernel, vectorised};

/// Rows of the batch in one task: enough for a product with the weights to run at full speed.
const ROWS: usize = 16;
/// Rows, of all the steps of a segment, that the product for the gradient of the weights should at least sum over.
const DEPTH: usize = 1024;
/// Parts of that product.
const PARTS: usize = 4;

/// Sizes of one sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) units: usize,
    pub(super) every: usize,
}

impl Geometry {
    /// Elements of one step.
    fn step(&self) -> usize {
        self.batch * self.units
    }

    /// Elements of one task's rows.
    fn rows(&self) -> usize {
        ROWS * self.units
    }

    fn segment(&self) -> usize {
        DEPTH.div_ceil(self.batch * self.every) * self.every
    }

    fn is_empty(&self) -> bool {
        self.steps * self.step() == 0
    }
}

/// Gradients of a sequence, each of them a `V`.
pub(super) struct Gradients<V> {
    pub(super) x0: V,
    pub(super) drive: V,
    pub(super) weight: Option<V>,
    pub(super) alpha: Option<V>,
}

impl<V> Gradients<V> {
    pub(super) fn map<U>(self, f: impl Fn(V) -> U) -> Gradients<U> {
        Gradients {
            x0: f(self.x0),
            drive: f(self.drive),
            weight: self.weight.map(&f),
            alpha: self.alpha.map(&f),
        }
    }
}

/// Which of the gradients that cost something are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(super) weight: bool,
    pub(super) alpha: bool,
}

/// What every step needs: `α`, `1 − α` and `W` with its columns multiplied by `α`.
struct Network<T> {
    alpha: Vec<T>,
    leak: Vec<T>,
    weight: Vec<T>,
}

impl<T: Elementary> Network<T> {
    fn new(weight: &[T], alpha: &[T]) -> Self {
        let mut weight = weight.to_vec();
        scale_columns(&mut weight, alpha);
        Self {
            alpha: alpha.to_vec(),
            leak: alpha.iter().map(|a| T::ONE - *a).collect(),
            weight,
        }
    }

    fn units(&self) -> usize {
        self.alpha.len()
    }

    /// The scaled weights, transposed into rows.
    fn transposed(&self) -> Vec<T> {
        let n = self.units();
        let mut out = vec![T::ZERO; n * n];
        for (i, row) in self.weight.chunks_exact(n).enumerate() {
            for (j, w) in row.iter().enumerate() {
                out[j * n + i] = *w;
            }
        }
        out
    }

    /// Moves `state`, whose rates are `rates`, by one step. `product` is scratch.
    fn advance(
        &self,
        phi: impl Phi<T>,
        drive: &[T],
        state: &mut [T],
        rates: &mut [T],
        product: &mut [T],
    ) {
        let n = self.units();
        let rows = state.len() / n;
        let weight = Matrix::new(&self.weight, n, n);
        matmul(product, Matrix::new(rates, rows, n), weight, false);
        vectorised(Advance {
            phi,
            network: self,
            drive,
            product,
            state,
            rates,
        });
    }
}

/// `state = (1 − α) ∘ state + α ∘ drive + product`, `rates = φ(state)`
struct Advance<'a, T, P> {
    phi: P,
    network: &'a Network<T>,
    drive: &'a [T],
    product: &'a [T],
    state: &'a mut [T],
    rates: &'a mut [T],
}

impl<T: Elementary, P: Phi<T>> Kernel for Advance<'_, T, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let n = self.network.units();
        let rows = self
            .state
            .chunks_exact_mut(n)
            .zip(self.rates.chunks_exact_mut(n))
            .zip(self.drive.chunks_exact(n))
            .zip(self.product.chunks_exact(n));
        for (((state, rates), drive), product) in rows {
            let units = state
                .iter_mut()
                .zip(rates)
                .zip(drive)
                .zip(product)
                .zip(&self.network.leak)
                .zip(&self.network.alpha);
            for (((((x, r), d), p), leak), alpha) in units {
                *x = *leak * *x + *alpha * *d + *p;
                *r = self.phi.rate::<FUSED>(*x);
            }
        }
    }
}

/// `earlier += (1 − α) ∘ later + φ′(x) ∘ product`, `rates = φ(x)`
struct Retreat<'a, T, P> {
    phi: P,
    network: &'a Network<T>,
    x: &'a [T],
    later: &'a [T],
    product: &'a [T],
    earlier: &'a mut [T],
    rates: &'a mut [T],
}

impl<T: Elementary, P: Phi<T>> Kernel for Retreat<'_, T, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let n = self.network.units();
        let rows = self
            .earlier
            .chunks_exact_mut(n)
            .zip(self.rates.chunks_exact_mut(n))
            .zip(self.x.chunks_exact(n))
            .zip(self.later.chunks_exact(n))
            .zip(self.product.chunks_exact(n));
        for ((((earlier, rates), x), later), product) in rows {
            let units = earlier
                .iter_mut()
                .zip(rates)
                .zip(x)
                .zip(later)
                .zip(product)
                .zip(&self.network.leak);
            for (((((earlier, r), x), later), p), leak) in units {
                let (rate, slope) = self.phi.rate_and_slope::<FUSED>(*x);
                *earlier += *leak * *later + slope * *p;
                *r = rate;
            }
        }
    }
}

fn scale_columns<T: Elementary>(matrix: &mut [T], factors: &[T]) {
    for row in matrix.chunks_exact_mut(factors.len()) {
        for (value, factor) in row.iter_mut().zip(factors) {
            *value = *value * *factor;
        }
    }
}

/// For each task its rows of every step.
fn by_rows<'a, T>(g: &Geometry, steps: impl Iterator<Item = &'a mut [T]>) -> Vec<Vec<&'a mut [T]>> {
    let mut tasks: Vec<Vec<&mut [T]>> = (0..g.batch.div_ceil(ROWS)).map(|_| Vec::new()).collect();
    for step in steps {
        for (task, rows) in tasks.iter_mut().zip(step.chunks_mut(g.rows())) {
            task.push(rows);
        }
    }
    tasks
}

/// States `[steps / every, batch, units]`.
pub(super) fn forward<T: Elementary>(
    g: &Geometry,
    options: RateSequenceOptions,
    x0: &[T],
    drive: &[T],
    weight: &[T],
    alpha: &[T],
) -> Vec<T> {
    let mut states = vec![T::ZERO; g.steps / g.every * g.step()];
    if !g.is_empty() {
        let network = Network::new(weight, alpha);
        with_phi!(options.transfer, phi => run_forward(g, phi, &network, x0, drive, &mut states));
    }
    states
}

fn run_forward<T: Elementary>(
    g: &Geometry,
    phi: impl Phi<T>,
    network: &Network<T>,
    x0: &[T],
    drive: &[T],
    states: &mut [T],
) {
    by_rows(g, states.chunks_mut(g.step()))
        .into_par_iter()
        .zip(x0.par_chunks(g.rows()))
        .enumerate()
        .for_each(|(task, (mut states, x0))| {
            let mut x = x0.to_vec();
            let mut rates = vec![T::ZERO; x.len()];
            let mut product = vec![T::ZERO; x.len()];
            vectorised(Rates {
                phi,
                x: &x,
                rates: &mut rates,
            });
            for (step, drive) in drive.chunks_exact(g.step()).enumerate() {
                let drive = &drive[task * g.rows()..][..x.len()];
                network.advance(phi, drive, &mut x, &mut rates, &mut product);
                if (step + 1) % g.every == 0 {
                    states[step / g.every].copy_from_slice(&x);
                }
            }
        });
}

/// Inputs of a backward pass; `states` and their gradient `grad` are `[steps / every, batch, units]`, and `drive` is needed
/// for `∂L/∂α` and where `every > 1`.
pub(super) struct Inputs<'a, T> {
    pub(super) x0: &'a [T],
    pub(super) drive: &'a [T],
    pub(super) weight: &'a [T],
    pub(super) alpha: &'a [T],
    pub(super) states: &'a [T],
    pub(super) grad: &'a [T],
}

pub(super) fn backward<T: Elementary>(
    g: &Geometry,
    options: RateSequenceOptions,
    inputs: &Inputs<'_, T>,
    wanted: Wanted,
) -> Gradients<Vec<T>> {
    let n = g.units;
    let mut gradients = Gradients {
        x0: vec![T::ZERO; g.step()],
        drive: vec![T::ZERO; g.steps * g.step()],
        weight: (wanted.weight || wanted.alpha).then(|| vec![T::ZERO; n * n]),
        alpha: wanted.alpha.then(|| vec![T::ZERO; n]),
    };
    if g.is_empty() {
        return gradients;
    }
    with_phi!(options.transfer, phi => run_backward(g, phi, inputs, &mut gradients));
    if let (Some(alpha), Some(product)) = (&mut gradients.alpha, &gradients.weight) {
        for (w, m) in inputs.weight.chunks_exact(n).zip(product.chunks_exact(n)) {
            for ((a, w), m) in alpha.iter_mut().zip(w).zip(m) {
                *a += *w * *m;
            }
        }
    }
    if let Some(product) = &mut gradients.weight {
        scale_columns(product, inputs.alpha);
    }
    gradients
}

fn run_backward<T: Elementary>(
    g: &Geometry,
    phi: impl Phi<T>,
    inputs: &Inputs<'_, T>,
    gradients: &mut Gradients<Vec<T>>,
) {
    let (n, step) = (g.units, g.step());
    let network = Network::new(inputs.weight, inputs.alpha);
    let sweep = Sweep {
        g,
        phi,
        inputs,
        transposed: &network.transposed(),
        network: &network,
        wants_alpha: gradients.alpha.is_some(),
    };
    let last = inputs.grad.len() - step;
    let adjoints = &mut gradients.drive;
    let end = adjoints.len() - step;
    adjoints[end..].copy_from_slice(&inputs.grad[last..]);

    let length = g.segment().min(g.steps);
    let mut rates = vec![T::ZERO; length * step];
    for first in (0..g.steps).step_by(length).rev() {
        let steps = first..(first + length).min(g.steps);
        let rates = &mut rates[..steps.len() * step];
        // The adjoint of `x_t` lies in the block before that of the drive at `t`, and that of `x_0` has its own place.
        let earlier = adjoints[..steps.end * step].chunks_mut(step);
        let earlier = core::iter::once(gradients.x0.as_mut_slice())
            .chain(earlier)
            .skip(first);
        let partials: Vec<Vec<T>> = by_rows(g, earlier)
            .into_par_iter()
            .zip(by_rows(g, rates.chunks_mut(step)))
            .enumerate()
            .map(|(task, (adjoints, rates))| sweep.rows(task, steps.clone(), adjoints, rates))
            .collect();
        if let Some(alpha) = &mut gradients.alpha {
            for partial in partials {
                for (a, p) in alpha.iter_mut().zip(partial) {
                    *a += p;
                }
            }
        }
        let adjoints = &mut adjoints[first * step..steps.end * step];
        if let Some(weight) = &mut gradients.weight {
            let rows = steps.len() * g.batch;
            let rates = Matrix::new(rates, rows, n).transposed();
            matmul_in_parts(weight, rates, Matrix::new(adjoints, rows, n), true, PARTS);
        }
        adjoints
            .par_chunks_mut(g.rows())
            .for_each(|adjoints| scale_columns(adjoints, inputs.alpha));
    }
}

/// One backward pass, as every task sees it.
struct Sweep<'a, T, P> {
    g: &'a Geometry,
    phi: P,
    inputs: &'a Inputs<'a, T>,
    network: &'a Network<T>,
    transposed: &'a [T],
    wants_alpha: bool,
}

impl<T: Elementary, P: Phi<T>> Sweep<'_, T, P> {
    /// Sweeps one task's rows back over `steps`: reads the last of `adjoints`, those of `x` at the first step and after each
    /// of them, and fills the others and the rates. Returns the rows' part of `Σ λ ∘ (d − x)` when it is wanted.
    fn rows(
        &self,
        task: usize,
        steps: core::ops::Range<usize>,
        mut adjoints: Vec<&mut [T]>,
        mut rates: Vec<&mut [T]>,
    ) -> Vec<T> {
        let (g, n) = (self.g, self.g.units);
        let len = rates[0].len();
        let transposed = Matrix::new(self.transposed, n, n);
        let of_task = |slice: &[T], step: usize| -> core::ops::Range<usize> {
            debug_assert!(step * g.step() < slice.len());
            let start = step * g.step() + task * g.rows();
            start..start + len
        };
        let mut product = vec![T::ZERO; len];
        let between = self.states_between(task, &steps, &mut rates, &mut product);
        let mut alpha = vec![T::ZERO; if self.wants_alpha { n } else { 0 }];
        for step in steps.clone().rev() {
            let i = step - steps.start;
            let kept = step % g.every == 0;
            let x = match step {
                0 => &self.inputs.x0[of_task(self.inputs.x0, 0)],
                _ if kept => &self.inputs.states[of_task(self.inputs.states, step / g.every - 1)],
                _ => &between[i * len..(i + 1) * len],
            };
            let (earlier, later) = adjoints.split_at_mut(i + 1);
            let (earlier, later) = (&mut *earlier[i], &*later[0]);
            if step > 0 && kept {
                let grad = of_task(self.inputs.grad, step / g.every - 1);
                earlier.copy_from_slice(&self.inputs.grad[grad]);
            }
            matmul(
                &mut product,
                Matrix::new(later, len / n, n),
                transposed,
                false,
            );
            vectorised(Retreat {
                phi: self.phi,
                network: self.network,
                x,
                later,
                product: &product,
                earlier,
                rates: &mut *rates[i],
            });
            if self.wants_alpha {
                let drive = &self.inputs.drive[of_task(self.inputs.drive, step)];
                for ((later, drive), x) in later
                    .chunks_exact(n)
                    .zip(drive.chunks_exact(n))
                    .zip(x.chunks_exact(n))
                {
                    for (((a, l), d), x) in alpha.iter_mut().zip(later).zip(drive).zip(x) {
                        *a += *l * (*d - *x);
                    }
                }
            }
        }
        alpha
    }

    /// The states of `steps` that were not kept, each at its place; nothing where all were.
    fn states_between(
        &self,
        task: usize,
        steps: &core::ops::Range<usize>,
        rates: &mut [&mut [T]],
        product: &mut [T],
    ) -> Vec<T> {
        let (g, len) = (self.g, product.len());
        if g.every == 1 {
            return Vec::new();
        }
        let mut states = vec![T::ZERO; steps.len() * len];
        let mut x = vec![T::ZERO; len];
        for step in steps.clone() {
            let i = step - steps.start;
            if step % g.every == 0 {
                let kept = match step {
                    0 => self.inputs.x0,
                    _ => &self.inputs.states[(step / g.every - 1) * g.step()..],
                };
                x.copy_from_slice(&kept[task * g.rows()..][..len]);
                vectorised(Rates {
                    phi: self.phi,
                    x: &x,
                    rates: &mut *rates[i],
                });
            } else {
                let drive = &self.inputs.drive[(step - 1) * g.step() + task * g.rows()..][..len];
                let (before, now) = rates.split_at_mut(i);
                now[0].copy_from_slice(before[i - 1]);
                self.network
                    .advance(self.phi, drive, &mut x, now[0], product);
                states[i * len..(i + 1) * len].copy_from_slice(&x);
            }
        }
        states
    }
}
