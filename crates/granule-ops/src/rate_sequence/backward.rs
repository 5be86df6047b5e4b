//! The adjoint sweep on slices, from the last segment of steps to the first.
//!
//! In each segment every task sweeps its trials back; then one product over all of the segment's trials and steps adds its
//! part of the gradient of the weights. Nothing that is as long as the sequence is made, but gradients that are.

use core::ops::Range;

use rayon::prelude::*;

use super::Recorded;
use super::cpu::{Geometry, Inputs, Network, scale_columns};
use crate::firing_rate::Transfer;
use crate::firing_rate::cpu::{Phi, Rates, Slopes, with_phi};
use crate::firing_rate::elementary::Elementary;
use crate::matmul::{Matrix, matmul, matmul_in_parts, transposed};
use crate::trials::DEPTH;
use crate::vectorised::{Kernel, vectorised};

/// Rows of that gradient that one task should at least compute.
const ROWS: usize = 128;

/// What the forward pass left behind, and the gradient of what it returned.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a, T> {
    /// The states after every `every` steps, or empty.
    pub(super) states: &'a [T],
    /// Without states, the rates of every step; the gradient of `alpha` cannot be had from them.
    pub(super) rates: &'a [T],
    pub(super) grad: &'a [T],
    /// Of what `grad` is the gradient.
    pub(super) of: Recorded,
}

/// Which gradients are asked for, beside that of `x0`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) input: bool,
    pub(super) weight_in: bool,
    pub(super) direct: bool,
    pub(super) weight: bool,
    pub(super) alpha: bool,
}

/// Gradients of a sequence, each of them a `V`.
pub(super) struct Gradients<V> {
    pub(super) x0: V,
    pub(super) input: Option<V>,
    pub(super) weight_in: Option<V>,
    pub(super) direct: Option<V>,
    pub(super) weight: Option<V>,
    pub(super) alpha: Option<V>,
}

impl<V> Gradients<V> {
    pub(super) fn map<U>(self, f: impl Fn(V) -> U) -> Gradients<U> {
        Gradients {
            x0: f(self.x0),
            input: self.input.map(&f),
            weight_in: self.weight_in.map(&f),
            direct: self.direct.map(&f),
            weight: self.weight.map(&f),
            alpha: self.alpha.map(&f),
        }
    }
}

pub(super) fn backward<T: Elementary>(
    g: Geometry,
    transfer: Transfer,
    inputs: Inputs<'_, T>,
    saved: Saved<'_, T>,
    wanted: Wanted,
) -> Gradients<Vec<T>> {
    let zeros = |wanted: bool, len: usize| wanted.then(|| vec![T::ZERO; len]);
    let (n, input) = (g.units, inputs.input.len());
    let weight_in = wanted.weight_in || wanted.alpha && input > 0;
    let mut gradients = Gradients {
        x0: vec![T::ZERO; g.step()],
        input: zeros(wanted.input, input),
        weight_in: zeros(weight_in, inputs.weight_in.len()),
        direct: zeros(wanted.direct, g.steps * g.step()),
        weight: zeros(wanted.weight || wanted.alpha, n * n),
        alpha: zeros(wanted.alpha, n),
    };
    if g.is_empty() {
        return gradients;
    }
    let network = Network::new(g, inputs);
    with_phi!(transfer, phi => run(&network, phi, saved, &mut gradients));
    let Gradients {
        weight,
        weight_in,
        alpha,
        ..
    } = &mut gradients;
    for (weight, product) in [(inputs.weight, weight), (inputs.weight_in, weight_in)] {
        let Some(product) = product else { continue };
        if let Some(alpha) = alpha {
            fold_columns(alpha, weight, product, |sum, w, m| sum + w * m);
        }
        scale_columns(product, inputs.alpha);
    }
    gradients
}

/// Folds two matrices by columns.
fn fold_columns<T: Elementary>(sums: &mut [T], a: &[T], b: &[T], f: impl Fn(T, T, T) -> T) {
    for (a, b) in a.chunks_exact(sums.len()).zip(b.chunks_exact(sums.len())) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = f(*sum, *a, *b);
        }
    }
}

/// Steps that are swept before the gradients of the weights are added to; the lengths but the first are multiples of `every`.
fn segments(g: &Geometry, from_rates: bool) -> Vec<Range<usize>> {
    let length = DEPTH.div_ceil(g.batch * g.every) * g.every;
    // The rates at the first step are not among those that were returned.
    let first = if from_rates { 1 } else { 0 };
    (0..first)
        .map(|step| step..step + 1)
        .chain(
            (first..g.steps)
                .step_by(length)
                .map(|start| start..(start + length).min(g.steps)),
        )
        .collect()
}

fn run<T: Elementary>(
    network: &Network<'_, T>,
    phi: impl Phi<T>,
    saved: Saved<'_, T>,
    gradients: &mut Gradients<Vec<T>>,
) {
    let (g, inputs) = (&network.g, &network.inputs);
    let (n, step) = (g.units, g.step());
    let from_rates = !saved.rates.is_empty();
    let segments = segments(g, from_rates);
    let longest = segments.iter().map(Range::len).max().unwrap_or(0);
    let sweep = Sweep {
        network,
        phi,
        saved,
        transposed: &transposed(&network.weight, n, n),
        wants_alpha: gradients.alpha.is_some(),
    };
    let mut adjoints = vec![T::ZERO; longest * step];
    let mut rates = vec![T::ZERO; if from_rates { step } else { longest * step }];
    let mut states = vec![T::ZERO; if from_rates { 0 } else { longest * step }];
    // The adjoints at the first step of the segment after, and in the end those of `x_0`.
    let carry = &mut gradients.x0;
    sweep.last(carry);
    for steps in segments.into_iter().rev() {
        let (first, trials) = (steps.start, steps.len() * g.batch);
        let adjoints = &mut adjoints[..steps.len() * step];
        let rates = if from_rates && first > 0 {
            &saved.rates[(first - 1) * step..][..adjoints.len()]
        } else {
            let rates = &mut rates[..adjoints.len()];
            sweep.again(&steps, rates, &mut states);
            rates
        };
        let blocks = core::iter::once(carry.as_mut_slice()).chain(adjoints.chunks_mut(step));
        let partials: Vec<Vec<T>> = g
            .trials()
            .by_task(blocks)
            .into_par_iter()
            .enumerate()
            .map(|(task, blocks)| sweep.back(task, &steps, blocks, rates, &states))
            .collect();
        if let Some(alpha) = &mut gradients.alpha {
            for partial in partials {
                for (a, p) in alpha.iter_mut().zip(partial) {
                    *a += p;
                }
            }
        }

        let matrix = Matrix::new(adjoints, trials, n);
        if let Some(weight) = &mut gradients.weight {
            let rates = Matrix::new(rates, trials, n).transposed();
            matmul_in_parts(weight, rates, matrix, true, n / ROWS);
        }
        let channels = first * g.batch * g.channels..(first * g.batch + trials) * g.channels;
        if let Some(weight_in) = &mut gradients.weight_in {
            let input = Matrix::new(&inputs.input[channels.clone()], trials, g.channels);
            matmul_in_parts(weight_in, input.transposed(), matrix, true, 1);
        }
        if let Some(input) = &mut gradients.input {
            let weight_in = Matrix::new(&network.weight_in, g.channels, n).transposed();
            matmul_in_parts(&mut input[channels], matrix, weight_in, false, 1);
        }
        if let Some(direct) = &mut gradients.direct {
            direct[first * step..][..adjoints.len()]
                .par_chunks_mut(g.trials().task())
                .zip(adjoints.par_chunks(g.trials().task()))
                .for_each(|(direct, adjoints)| {
                    direct.copy_from_slice(adjoints);
                    scale_columns(direct, inputs.alpha);
                });
        }
    }
}

/// One backward pass, as every task sees it.
struct Sweep<'a, T, P> {
    network: &'a Network<'a, T>,
    phi: P,
    saved: Saved<'a, T>,
    /// The transpose of the weights, with its rows multiplied by `α`.
    transposed: &'a [T],
    wants_alpha: bool,
}

impl<T: Elementary, P: Phi<T>> Sweep<'_, T, P> {
    /// The adjoints of the last states.
    fn last(&self, adjoints: &mut [T]) {
        let (phi, saved) = (self.phi, &self.saved);
        let at = saved.grad.len() - adjoints.len();
        if saved.of == Recorded::States {
            return adjoints.copy_from_slice(&saved.grad[at..]);
        }
        if saved.rates.is_empty() {
            vectorised(Rates {
                phi,
                x: &saved.states[at..],
                rates: &mut *adjoints,
            });
        } else {
            adjoints.copy_from_slice(&saved.rates[at..]);
        }
        vectorised(Slopes {
            phi,
            gradient: &saved.grad[at..],
            rates: adjoints,
        });
    }

    /// Computes the rates of a segment, and its states where they are needed and `states` has room for them.
    fn again(&self, steps: &Range<usize>, rates: &mut [T], states: &mut [T]) {
        let g = &self.network.g;
        let (step, phi) = (g.step(), self.phi);
        let len = rates.len();
        if states.is_empty() {
            return vectorised(Rates {
                phi,
                x: self.network.inputs.x0,
                rates,
            });
        }
        g.trials()
            .by_task(rates.chunks_mut(step))
            .into_par_iter()
            .zip(g.trials().by_task(states[..len].chunks_mut(step)))
            .enumerate()
            .for_each(|(task, (mut all_rates, mut states))| {
                let mut x = g.trials().of_task(self.network.inputs.x0, 0, task).to_vec();
                let mut rates = vec![T::ZERO; x.len()];
                let mut change = vec![T::ZERO; x.len()];
                for (i, step) in steps.clone().enumerate() {
                    if step % g.every == 0 {
                        if step > 0 {
                            let kept = step / g.every - 1;
                            x.copy_from_slice(g.trials().of_task(self.saved.states, kept, task));
                        }
                        vectorised(Rates {
                            phi,
                            x: &x,
                            rates: &mut rates,
                        });
                    } else {
                        self.network.advance(
                            phi,
                            (step - 1, task),
                            &mut x,
                            &mut rates,
                            &mut change,
                        );
                    }
                    all_rates[i].copy_from_slice(&rates);
                    states[i].copy_from_slice(&x);
                }
            });
    }

    /// Sweeps one task back over a segment: `adjoints` are those at its first step, which are read as those after its last,
    /// and then those after each of its steps. Returns the task's part of `Σ λ ∘ (n − x)` when it is wanted.
    fn back(
        &self,
        task: usize,
        steps: &Range<usize>,
        mut adjoints: Vec<&mut [T]>,
        rates: &[T],
        states: &[T],
    ) -> Vec<T> {
        let (g, n) = (&self.network.g, self.network.g.units);
        let len = adjoints[0].len();
        let transposed = Matrix::new(self.transposed, n, n);
        let mut product = vec![T::ZERO; len];
        let mut alpha = vec![T::ZERO; if self.wants_alpha { n } else { 0 }];
        let (carry, others) = adjoints.split_at_mut(1);
        if let Some(last) = others.last_mut() {
            last.copy_from_slice(carry[0]);
        }
        for (i, step) in steps.clone().enumerate().rev() {
            let (earlier, later) = adjoints.split_at_mut(i + 1);
            let (earlier, later) = (&mut *earlier[i], &*later[0]);
            let grad = (step > 0 && step % g.every == 0).then(|| {
                g.trials()
                    .of_task(self.saved.grad, step / g.every - 1, task)
            });
            let of_rates = grad.filter(|_| self.saved.of == Recorded::Rates);
            if let Some(grad) = of_rates {
                product.copy_from_slice(grad);
            }
            let matrix = Matrix::new(later, len / n, n);
            matmul(&mut product, matrix, transposed, of_rates.is_some());
            vectorised(Retreat {
                phi: self.phi,
                leak: &self.network.leak,
                rates: g.trials().of_task(rates, i, task),
                later,
                product: &product,
                earlier,
            });
            if let (Some(grad), None) = (grad, of_rates) {
                for (earlier, grad) in earlier.iter_mut().zip(grad) {
                    *earlier += *grad;
                }
            }
            if self.wants_alpha {
                let x = g.trials().of_task(states, i, task);
                fold_columns(&mut alpha, later, x, |sum, l, x| sum - l * x);
                if !self.network.inputs.direct.is_empty() {
                    let direct = g.trials().of_task(self.network.inputs.direct, step, task);
                    fold_columns(&mut alpha, later, direct, |sum, l, d| sum + l * d);
                }
            }
        }
        alpha
    }
}

/// `earlier = (1 − α) ∘ later + φ′(x) ∘ product`
struct Retreat<'a, T, P> {
    phi: P,
    leak: &'a [T],
    rates: &'a [T],
    later: &'a [T],
    product: &'a [T],
    earlier: &'a mut [T],
}

impl<T: Elementary, P: Phi<T>> Kernel for Retreat<'_, T, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let n = self.leak.len();
        let trials = self
            .earlier
            .chunks_exact_mut(n)
            .zip(self.rates.chunks_exact(n))
            .zip(self.later.chunks_exact(n))
            .zip(self.product.chunks_exact(n));
        for (((earlier, rates), later), product) in trials {
            let units = earlier
                .iter_mut()
                .zip(rates)
                .zip(later)
                .zip(product)
                .zip(self.leak);
            for ((((earlier, r), later), p), leak) in units {
                *earlier = *leak * *later + self.phi.slope::<FUSED>(*r) * *p;
            }
        }
    }
}
