//! Rate sequences on slices: what the passes share, and the forward pass, in which each task runs some trials through all
//! the steps.

use rayon::prelude::*;

use super::{RateSequenceOptions, Recorded};
use crate::firing_rate::cpu::{Phi, Rates, with_phi};
use crate::firing_rate::elementary::Elementary;
use crate::matmul::{Matrix, matmul};
use crate::trials::Trials;
use crate::vectorised::{Kernel, vectorised};

/// Sizes of one sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) units: usize,
    pub(super) channels: usize,
    pub(super) every: usize,
}

impl Geometry {
    /// The states, or what else there is of every unit, of all trials.
    pub(super) fn trials(&self) -> Trials {
        Trials {
            batch: self.batch,
            width: self.units,
        }
    }

    /// Elements of one step.
    pub(super) fn step(&self) -> usize {
        self.trials().step()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps * self.step() == 0
    }
}

/// What a sequence is computed from; empty where there are no inputs or no direct drive.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a, T> {
    pub(super) x0: &'a [T],
    pub(super) input: &'a [T],
    pub(super) weight_in: &'a [T],
    pub(super) direct: &'a [T],
    pub(super) weight: &'a [T],
    pub(super) alpha: &'a [T],
}

/// What every step needs.
pub(super) struct Network<'a, T> {
    pub(super) g: Geometry,
    pub(super) inputs: Inputs<'a, T>,
    pub(super) leak: Vec<T>,
    /// `W` with its columns multiplied by `α`.
    pub(super) weight: Vec<T>,
    /// `W_in`, likewise.
    pub(super) weight_in: Vec<T>,
}

impl<'a, T: Elementary> Network<'a, T> {
    pub(super) fn new(g: Geometry, inputs: Inputs<'a, T>) -> Self {
        let scaled = |weight: &[T]| {
            let mut weight = weight.to_vec();
            scale_columns(&mut weight, inputs.alpha);
            weight
        };
        Self {
            g,
            inputs,
            leak: inputs.alpha.iter().map(|a| T::ONE - *a).collect(),
            weight: scaled(inputs.weight),
            weight_in: scaled(inputs.weight_in),
        }
    }

    /// Moves one task's states from `step` to the next, and their rates. `change` is scratch.
    pub(super) fn advance(
        &self,
        phi: impl Phi<T>,
        (step, task): (usize, usize),
        x: &mut [T],
        rates: &mut [T],
        change: &mut [T],
    ) {
        let (n, inputs) = (self.g.units, &self.inputs);
        let trials = x.len() / n;
        let mut add = false;
        if !inputs.direct.is_empty() {
            let direct = self.g.trials().of_task(inputs.direct, step, task);
            for (change, direct) in change.chunks_exact_mut(n).zip(direct.chunks_exact(n)) {
                for ((c, d), alpha) in change.iter_mut().zip(direct).zip(inputs.alpha) {
                    *c = *alpha * *d;
                }
            }
            add = true;
        }
        if !inputs.input.is_empty() {
            let channels = self.g.channels;
            let inputs_of = Trials {
                width: channels,
                ..self.g.trials()
            };
            let input = inputs_of.of_task(inputs.input, step, task);
            let weight_in = Matrix::new(&self.weight_in, channels, n);
            matmul(change, Matrix::new(input, trials, channels), weight_in, add);
            add = true;
        }
        let weight = Matrix::new(&self.weight, n, n);
        matmul(change, Matrix::new(rates, trials, n), weight, add);
        vectorised(Advance {
            phi,
            leak: &self.leak,
            change,
            x,
            rates,
        });
    }
}

/// `x = (1 − α) ∘ x + change`, `rates = φ(x)`
struct Advance<'a, T, P> {
    phi: P,
    leak: &'a [T],
    change: &'a [T],
    x: &'a mut [T],
    rates: &'a mut [T],
}

impl<T: Elementary, P: Phi<T>> Kernel for Advance<'_, T, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let n = self.leak.len();
        let trials = self
            .x
            .chunks_exact_mut(n)
            .zip(self.rates.chunks_exact_mut(n))
            .zip(self.change.chunks_exact(n));
        for ((x, rates), change) in trials {
            for (((x, r), c), leak) in x.iter_mut().zip(rates).zip(change).zip(self.leak) {
                *x = *leak * *x + *c;
                *r = self.phi.rate::<FUSED>(*x);
            }
        }
    }
}

pub(super) fn scale_columns<T: Elementary>(matrix: &mut [T], factors: &[T]) {
    for row in matrix.chunks_exact_mut(factors.len().max(1)) {
        for (value, factor) in row.iter_mut().zip(factors) {
            *value = *value * *factor;
        }
    }
}

/// What is returned, and the states when they are to be kept beside it, each `[steps / every, batch, units]`.
pub(super) fn forward<T: Elementary>(
    g: Geometry,
    options: RateSequenceOptions,
    inputs: Inputs<'_, T>,
    keep_states: bool,
) -> (Vec<T>, Option<Vec<T>>) {
    let zeros = || vec![T::ZERO; g.steps / g.every * g.step()];
    let mut returned = zeros();
    let mut kept = (keep_states && options.record == Recorded::Rates).then(zeros);
    if !g.is_empty() {
        let network = Network::new(g, inputs);
        let (states, rates) = match options.record {
            Recorded::States => (returned.as_mut_slice(), Default::default()),
            Recorded::Rates => (
                kept.as_deref_mut().unwrap_or_default(),
                returned.as_mut_slice(),
            ),
        };
        with_phi!(options.transfer, phi => run(&network, phi, states, rates));
    }
    (returned, kept)
}

/// Fills what is not empty.
fn run<T: Elementary>(
    network: &Network<'_, T>,
    phi: impl Phi<T>,
    all_states: &mut [T],
    all_rates: &mut [T],
) {
    let (g, trials) = (&network.g, network.g.trials());
    trials
        .by_task(all_states.chunks_mut(g.step()))
        .into_par_iter()
        .zip(trials.by_task(all_rates.chunks_mut(g.step())))
        .enumerate()
        .for_each(|(task, (mut states, mut all_rates))| {
            let mut x = trials.of_task(network.inputs.x0, 0, task).to_vec();
            let mut rates = vec![T::ZERO; x.len()];
            let mut change = vec![T::ZERO; x.len()];
            vectorised(Rates {
                phi,
                x: &x,
                rates: &mut rates,
            });
            for step in 0..g.steps {
                network.advance(phi, (step, task), &mut x, &mut rates, &mut change);
                if (step + 1) % g.every == 0 {
                    if let Some(states) = states.get_mut(step / g.every) {
                        states.copy_from_slice(&x);
                    }
                    if let Some(all_rates) = all_rates.get_mut(step / g.every) {
                        all_rates.copy_from_slice(&rates);
                    }
                }
            }
        });
}
