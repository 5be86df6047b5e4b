//! Poisson regression: the rate of a count is r exp(b + Wx), with the mean r of its training part, and minimised is
//! Σ (e^η − y η / r) + λ |W|² / 2 of each output, its negative log-likelihood divided by r (Nelder & Wedderburn 1972).
//!
//! Minimised by L-BFGS (Nocedal & Wright 2006, algorithm 7.4) from XᵀX + λ, which is the Hessian where all rates are r, so
//! that one factor serves all outputs and passes; a step that does not lower the objective enough is halved.

use std::collections::VecDeque;

use granule_io::budget;

use super::normal::{Moments, Normal, Ridge, WHAT, dot, substitute};
use crate::TrainError;

/// About how many passes a fit takes that begins with the weights of another penalty.
pub(super) const PASSES: f64 = 12.0;
/// The most passes of a fit.
const MOST_PASSES: usize = 100;
/// Steps that are remembered.
const MEMORY: usize = 8;
/// The share of the gain that a slope promises that a step has to bring.
const SHARE: f64 = 1e-4;
/// What is expected to be gained by a step that is no longer worth one, of the objective of a sample.
const LITTLE: f64 = 1e-7;
/// No rate is above e³⁰ times the mean, lest it overflows on the way.
pub(super) const MOST: f64 = 30.0;

/// The loss of a ratio of a count and its mean, of the logarithm of the ratio that is expected.
pub(crate) fn loss(logarithm: f64, ratio: f64) -> f64 {
    logarithm.min(MOST).exp() - ratio * logarithm
}

/// Samples to fit, and their normal equations.
pub(super) struct Table {
    /// `[samples, inputs]`, centred.
    pub x: Vec<f64>,
    /// `[samples, outputs]`, of the mean.
    pub y: Vec<f64>,
    pub normal: Normal,
}

/// What is known of an output; vectors are b, then W.
struct Output {
    objective: f64,
    at: Vec<f64>,
    slopes: Vec<f64>,
    direction: Vec<f64>,
    step: f64,
    /// The last steps, and how much the slopes changed along each.
    memory: VecDeque<(Vec<f64>, Vec<f64>)>,
    done: bool,
}

impl Output {
    fn new(begin: &[f64]) -> Result<Self, TrainError> {
        let zeros = || budget::filled(0.0, begin.len(), WHAT);
        Ok(Self {
            objective: f64::INFINITY,
            at: budget::collect(begin.iter().copied(), begin.len(), WHAT)?,
            slopes: zeros()?,
            direction: zeros()?,
            step: 1.0,
            memory: VecDeque::with_capacity(MEMORY),
            done: false,
        })
    }

    /// Takes what the objective and its slopes are at `trial`, and moves `trial` to where they are wanted next.
    fn next(
        &mut self,
        objective: f64,
        slopes: &[f64],
        trial: &mut [f64],
        samples: f64,
        lower: &[f64],
    ) {
        let promised = self.step * dot(&self.direction, &self.slopes);
        // Of a first point there is no direction yet.
        if objective <= self.objective + SHARE * promised {
            if self.objective.is_finite() {
                let difference =
                    |new: &[f64], old: &[f64]| new.iter().zip(old).map(|(a, b)| a - b).collect();
                let pair: (Vec<f64>, Vec<f64>) = (
                    difference(trial, &self.at),
                    difference(slopes, &self.slopes),
                );
                if dot(&pair.0, &pair.1) > 0.0 {
                    self.memory.truncate(MEMORY - 1);
                    self.memory.push_front(pair);
                }
            }
            self.objective = objective;
            self.at.copy_from_slice(trial);
            self.slopes.copy_from_slice(slopes);
            self.step = 1.0;
            self.direct(samples, lower);
            self.done = -dot(&self.direction, &self.slopes) < LITTLE * samples;
        } else {
            self.step *= 0.5;
            self.done = self.step < 1e-6;
        }
        let steps = self.at.iter().zip(&self.direction);
        let moved = trial.iter_mut().zip(steps);
        moved.for_each(|(trial, (at, direction))| *trial = at + self.step * direction);
    }

    /// The direction from here.
    fn direct(&mut self, samples: f64, lower: &[f64]) {
        let add = |sum: &mut [f64], x: &[f64], factor: f64| {
            let pairs = sum.iter_mut().zip(x);
            pairs.for_each(|(sum, x)| *sum += factor * x);
        };
        // Of centred inputs b is apart from W.
        let solved = |slopes: &mut [f64]| {
            if let Some((first, others)) = slopes.split_first_mut() {
                *first /= samples.max(1.0);
                substitute(lower, others);
            }
        };
        let mut direction = self.slopes.clone();
        let mut factors = Vec::with_capacity(self.memory.len());
        for (step, change) in &self.memory {
            let factor = dot(step, &direction) / dot(step, change);
            add(&mut direction, change, -factor);
            factors.push(factor);
        }
        solved(&mut direction);
        if let Some((step, change)) = self.memory.front() {
            let mut last = change.clone();
            solved(&mut last);
            let scale = dot(step, change) / dot(change, &last);
            direction.iter_mut().for_each(|x| *x *= scale);
        }
        for ((step, change), factor) in self.memory.iter().zip(factors).rev() {
            let back = dot(change, &direction) / dot(step, change);
            add(&mut direction, step, factor - back);
        }
        direction.iter_mut().for_each(|x| *x = -*x);
        self.direction = direction;
    }
}

impl Table {
    pub fn solve(&self, penalty: f64, begin: Option<Ridge>) -> Result<Ridge, TrainError> {
        let moments = &self.normal.moments;
        let (inputs, outputs) = (moments.x.len(), moments.y.len());
        let samples = self.y.len() / outputs.max(1);
        let lower = self.normal.factor(penalty)?;
        // Of each output b, then W.
        let mut trial: Vec<f64> = budget::filled(0.0, outputs * (inputs + 1), WHAT)?;
        let mut gradient: Vec<f64> = budget::filled(0.0, trial.len(), WHAT)?;
        let least = 0.5 / samples.max(1) as f64;
        for (output, own) in trial.chunks_exact_mut(inputs + 1).enumerate() {
            let mean = moments.y.get(output).copied().unwrap_or(0.0);
            match &begin {
                Some(begin) => {
                    own[0] = begin.moments.y.get(output).copied().unwrap_or(0.0);
                    let weights = begin.weights.chunks_exact(inputs.max(1)).nth(output);
                    own[1..].copy_from_slice(weights.unwrap_or_default());
                }
                None => own[0] = mean.max(least).ln(),
            }
        }
        let states = trial.chunks_exact(inputs + 1).map(Output::new);
        let mut states = states.collect::<Result<Vec<_>, _>>()?;
        for _ in 0..MOST_PASSES {
            let objectives = self.pass(&states, &trial, penalty, &mut gradient)?;
            let all = states
                .iter_mut()
                .zip(objectives)
                .zip(trial.chunks_exact_mut(inputs + 1))
                .zip(gradient.chunks_exact(inputs + 1));
            for (((state, objective), trial), slopes) in all {
                if !state.done {
                    state.next(objective, slopes, trial, samples as f64, &lower);
                }
            }
            if states.iter().all(|state| state.done) {
                break;
            }
        }
        let mut weights = budget::with_capacity(inputs * outputs, WHAT)?;
        let mut y = Vec::with_capacity(outputs);
        for state in &states {
            y.extend(state.at.first());
            weights.extend_from_slice(state.at.get(1..).unwrap_or_default());
        }
        let moments = Moments {
            x: moments.x.clone(),
            y,
        };
        Ok(Ridge { moments, weights })
    }

    /// The objectives of the outputs, and their gradients.
    fn pass(
        &self,
        states: &[Output],
        trial: &[f64],
        penalty: f64,
        gradient: &mut [f64],
    ) -> Result<Vec<f64>, TrainError> {
        let outputs = states.len();
        let inputs = self.normal.moments.x.len();
        let mut objectives = vec![0.0; outputs];
        gradient.fill(0.0);
        let rows = self
            .x
            .chunks_exact(inputs.max(1))
            .zip(self.y.chunks_exact(outputs.max(1)));
        for (x, y) in rows {
            let of_output = states.iter().zip(y).zip(&mut objectives);
            let of_output = of_output
                .zip(trial.chunks_exact(inputs + 1))
                .zip(gradient.chunks_exact_mut(inputs + 1));
            for ((((state, &ratio), objective), trial), gradient) in of_output {
                if state.done {
                    continue;
                }
                let logarithm = trial[0] + dot(&trial[1..], x);
                *objective += loss(logarithm, ratio);
                let slope = logarithm.min(MOST).exp() - ratio;
                gradient[0] += slope;
                let slopes = gradient[1..].iter_mut().zip(x);
                slopes.for_each(|(sum, x)| *sum += slope * x);
            }
        }
        let of_output = objectives.iter_mut().zip(trial.chunks_exact(inputs + 1));
        let of_output = of_output.zip(gradient.chunks_exact_mut(inputs + 1));
        for ((objective, trial), gradient) in of_output {
            *objective += 0.5 * penalty * dot(&trial[1..], &trial[1..]);
            let slopes = gradient[1..].iter_mut().zip(&trial[1..]);
            slopes.for_each(|(sum, w)| *sum += penalty * w);
        }
        Ok(objectives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objective_has_no_slope_where_it_ends() {
        // Counts that grow with the first input and fall with the second, of two outputs.
        let (samples, inputs) = (60_usize, 2_usize);
        let raw = |at: usize| [(at % 7) as f64 - 3.0, ((at * 5) % 11) as f64 - 5.0];
        let mean =
            |input: usize| (0..samples).map(|at| raw(at)[input]).sum::<f64>() / samples as f64;
        let x: Vec<f64> = (0..samples)
            .flat_map(|at| (0..inputs).map(move |input| raw(at)[input]))
            .enumerate()
            .map(|(at, x)| x - mean(at % inputs))
            .collect();
        let y: Vec<f64> = x
            .chunks_exact(2)
            .enumerate()
            .flat_map(|(at, x)| [(0.4 * x[0] - 0.2 * x[1]).exp().round(), (at % 3) as f64])
            .collect();
        let mut gram = vec![0.0; 4];
        for x in x.chunks_exact(2) {
            for (at, sum) in gram.iter_mut().enumerate() {
                *sum += x[at / 2] * x[at % 2];
            }
        }
        let moments = Moments {
            x: vec![mean(0), mean(1)],
            y: (0..2)
                .map(|output| y.iter().skip(output).step_by(2).sum::<f64>() / samples as f64)
                .collect(),
        };
        let table = Table {
            normal: Normal::of_gram(moments, gram),
            x,
            y,
        };
        let mut last = None;
        for penalty in [100.0, 1.0] {
            let fitted = table.solve(penalty, last.take()).unwrap();
            for output in 0..2 {
                let weights = &fitted.weights[2 * output..2 * output + 2];
                let mut slopes = [0.0, penalty * weights[0], penalty * weights[1]];
                for (x, y) in table.x.chunks_exact(2).zip(table.y.chunks_exact(2)) {
                    let logarithm = fitted.moments.y[output] + dot(weights, x);
                    let error = logarithm.exp() - y[output];
                    slopes[0] += error;
                    slopes[1] += error * x[0];
                    slopes[2] += error * x[1];
                }
                assert!(slopes.iter().all(|slope| slope.abs() < 0.05), "{slopes:?}");
            }
            assert!(
                fitted.weights[0] > 0.1 && fitted.weights[1] < -0.05,
                "{:?}",
                fitted.weights
            );
            last = Some(fitted);
        }
    }
}
