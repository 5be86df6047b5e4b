//! The Kalman filter of Wu et al. (2006, Neural Computation 18:80–118): the standardised targets are a state that moves on its
//! own, x_t = A x_{t−1} + w, and the channels of the current bin tell of it, y_t = C x_t + q, with Gaussian w and q of the
//! covariances W and Q. A, C, W and Q are those of least squares in the training part; λ is added to the diagonal of the
//! squares that C leaves over, before Q is their mean, lest many channels of few bins give noise that has no inverse.
//!
//! It knows the current bin and those before it. It begins with mean and covariance of the targets in the training part, and
//! begins anew where a bin does not follow the one before it.

use granule_io::budget;

use super::normal::{Moments, WHAT, dot, factor, substitute};
use super::ridge::{Block, Design, Left, PENALTIES, READING, check_patience, check_work};
use crate::TrainError;
use crate::engine::samples::Samples;
use crate::event::Observer;

/// What is added to variances of standardised targets, lest those that are constant or hang together stop the filter.
const LEAST: f64 = 1e-9;

/// What the filter of the penalty with the least error in blocks that are held out says of samples, and that penalty.
pub(super) fn fitted(
    name: &str,
    design: &Design<'_>,
    folds: &[Block],
    tested: Samples<'_>,
    observer: &mut dyn Observer,
) -> Result<(f64, Vec<f32>), Left> {
    check_work(
        name,
        work(design, folds.len(), tested),
        Some(design),
        observer,
    )?;
    design.check_folds(folds, true)?;
    let sums = folds.iter().map(|(kept, _)| {
        check_patience(observer)?;
        Sums::of(design, kept)
    });
    let sums = sums.collect::<Result<Vec<_>, _>>()?;
    let mut best: Option<(f64, f64)> = None;
    for penalty in PENALTIES {
        let mut error = 0.0;
        for ((_, held_out), sums) in folds.iter().zip(&sums) {
            check_patience(observer)?;
            let held_out = Samples {
                indices: held_out,
                ..design.learnt
            };
            sums.filter(penalty)?.follow(design, held_out, |found, y| {
                let pairs = found.iter().zip(y);
                error += pairs
                    .map(|(found, &y)| (found - f64::from(y)).powi(2))
                    .sum::<f64>();
            })?;
        }
        if error.is_finite() && best.is_none_or(|(_, least)| error < least) {
            best = Some((penalty, error));
        }
    }
    drop(sums);
    let Some((penalty, _)) = best else {
        return Err(unsettled());
    };
    check_patience(observer)?;
    let sums = Sums::of(design, design.learnt.indices)?;
    let filter = sums.filter(penalty)?;
    let count = tested.indices.len().saturating_mul(design.outputs);
    let mut predicted: Vec<f32> = budget::with_capacity(count, WHAT).map_err(TrainError::from)?;
    filter.follow(design, tested, |found, _| {
        predicted.extend(found.iter().map(|&x| x as f32));
    })?;
    if predicted.iter().all(|x| x.is_finite()) {
        Ok((penalty, predicted))
    } else {
        Err(unsettled())
    }
}

fn unsettled() -> Left {
    Left::Out("it runs away from the targets".to_owned())
}

/// About how many multiplications all fits and runs take, and numbers that are read for them.
fn work(design: &Design<'_>, folds: usize, tested: Samples<'_>) -> f64 {
    let (channels, outputs) = (design.inputs() as f64, design.outputs as f64);
    let (learnt, blocks) = (design.learnt.indices.len() as f64, folds as f64);
    let penalties = PENALTIES.len() as f64;
    let fits = 0.5 * blocks * learnt * channels * (channels + 2.0 * outputs)
        + blocks * penalties * channels * channels * (channels / 6.0 + outputs);
    let followed = penalties * learnt + tested.indices.len() as f64;
    let bin = outputs * channels + 5.0 * outputs.powi(3);
    let read = (blocks + penalties + 1.0) * learnt * design.learnt.split.shape().len() as f64;
    fits + followed * bin + READING * read
}

/// Sums over samples, of centred numbers; matrices of targets are `[outputs, outputs]`.
struct Sums {
    moments: Moments,
    samples: f64,
    /// Σ x xᵀ of targets.
    targets: Vec<f64>,
    /// C, `[channels, outputs]`.
    tuning: Vec<f64>,
    /// Σ (y − Cx)(y − Cx)ᵀ, its lower half.
    left_over: Vec<f64>,
    /// A.
    transition: Vec<f64>,
    /// W.
    noise: Vec<f64>,
}

impl Sums {
    fn of(design: &Design<'_>, indices: &[usize]) -> Result<Self, Left> {
        let (n, m) = (design.outputs, design.inputs());
        let normal = design.fit(indices, None)?;
        let samples = indices.len() as f64;
        let zeros = || budget::filled(0.0, n.saturating_mul(n), WHAT).map_err(TrainError::from);
        let (mut targets, mut before) = (zeros()?, zeros()?);
        let (mut after, mut lagged) = (zeros()?, zeros()?);
        let mut pairs = 0_usize;
        let mut follows = follows(design.learnt, indices);
        let (mut x, mut last) = (vec![0.0; n], vec![0.0; n]);
        design.rows(design.learnt, indices, None, |_, y| {
            std::mem::swap(&mut x, &mut last);
            let centred = y.iter().zip(&normal.moments.y);
            let centred = centred.map(|(&y, mean)| f64::from(y) - mean);
            x.iter_mut().zip(centred).for_each(|(x, y)| *x = y);
            add_product(&mut targets, &x, &x);
            if follows.next() == Some(true) {
                pairs += 1;
                add_product(&mut after, &x, &x);
                add_product(&mut lagged, &x, &last);
                add_product(&mut before, &last, &last);
            }
        })?;
        if pairs <= n {
            let why = format!("only {pairs} of its training samples follow another, bin by bin");
            return Err(Left::Out(why));
        }
        let tuning = divided(&normal.cross, &targets, n, samples)?;
        let mut left_over = normal.gram;
        let rows = left_over.chunks_exact_mut(m.max(1));
        for (at, (row, own)) in rows.zip(tuning.chunks_exact(n)).enumerate() {
            let others = normal.cross.chunks_exact(n);
            for (entry, other) in row.iter_mut().zip(others).take(at + 1) {
                *entry -= dot(own, other);
            }
        }
        let transition = divided(&lagged, &before, n, pairs as f64)?;
        let mut noise = zeros()?;
        for row in 0..n {
            for column in 0..n {
                let explained = |row: usize, column: usize| {
                    dot(of_row(&transition, n, row), of_row(&lagged, n, column))
                };
                // Least squares leave as much over either way, but for rounding.
                let both = 0.5 * (explained(row, column) + explained(column, row));
                noise[row * n + column] = (after[row * n + column] - both) / pairs as f64;
            }
        }
        Ok(Self {
            moments: normal.moments,
            samples,
            targets,
            tuning,
            left_over,
            transition,
            noise,
        })
    }

    fn filter(&self, penalty: f64) -> Result<Filter<'_>, Left> {
        let (n, m) = (self.moments.y.len(), self.moments.x.len());
        let lower = factor(&self.left_over, m, penalty)?;
        let mut readout: Vec<f64> =
            budget::filled(0.0, n.saturating_mul(m), WHAT).map_err(TrainError::from)?;
        let mut information = vec![0.0; n * n];
        let rows = readout
            .chunks_exact_mut(m.max(1))
            .zip(information.chunks_exact_mut(n));
        for (output, (own, row)) in rows.enumerate() {
            let tuning = self.tuning.iter().skip(output).step_by(n);
            own.iter_mut().zip(tuning).for_each(|(own, c)| *own = *c);
            substitute(&lower, own);
            own.iter_mut().for_each(|x| *x *= self.samples);
            for (own, tuning) in own.iter().zip(self.tuning.chunks_exact(n)) {
                row.iter_mut()
                    .zip(tuning)
                    .for_each(|(sum, c)| *sum += own * c);
            }
        }
        Ok(Filter {
            sums: self,
            readout,
            information,
        })
    }
}

/// A filter that is fitted.
struct Filter<'a> {
    sums: &'a Sums,
    /// CᵀQ⁻¹, `[outputs, channels]`.
    readout: Vec<f64>,
    /// CᵀQ⁻¹C.
    information: Vec<f64>,
}

impl Filter<'_> {
    /// Runs over samples and hands what it knows of the targets after each, and the targets, to `each`.
    fn follow(
        &self,
        design: &Design<'_>,
        samples: Samples<'_>,
        mut each: impl FnMut(&[f64], &[f32]),
    ) -> Result<(), TrainError> {
        let sums = self.sums;
        let (moments, n) = (&sums.moments, sums.moments.y.len());
        let mut follows = follows(samples, samples.indices);
        let (mut state, mut spread) = (vec![0.0; n], vec![0.0; n * n]);
        let mut answer = vec![0.0; n];
        let mut failed = None;
        design.rows(samples, samples.indices, None, |x, y| {
            if failed.is_some() {
                return;
            }
            if follows.next() == Some(true) {
                let rows = sums.transition.chunks_exact(n);
                state = rows.map(|row| dot(row, &state)).collect();
                spread = moved(&sums.transition, &spread, n);
                let pairs = spread.iter_mut().zip(&sums.noise);
                pairs.for_each(|(spread, noise)| *spread += noise);
            } else {
                state.fill(0.0);
                let all = spread.iter_mut().zip(&sums.targets);
                all.for_each(|(spread, squares)| *spread = squares / sums.samples);
            }
            // P = (P₋⁻¹ + CᵀQ⁻¹C)⁻¹ and x = x₋ + P CᵀQ⁻¹ (y − C x₋), with the prediction x₋ and its covariance P₋.
            let posterior = inverse(&spread, n, LEAST).and_then(|mut precision| {
                let pairs = precision.iter_mut().zip(&self.information);
                pairs.for_each(|(precision, information)| *precision += information);
                inverse(&precision, n, 0.0)
            });
            match posterior {
                Ok(posterior) => spread = posterior,
                Err(error) => {
                    failed = Some(error);
                    return;
                }
            }
            let known = self.information.chunks_exact(n);
            let readout = self.readout.chunks_exact(x.len().max(1));
            let surprise = readout.zip(known).map(|(readout, known)| {
                let pairs = readout.iter().zip(x.iter().zip(&moments.x));
                let told: f64 = pairs.map(|(w, (&x, mean))| w * (f64::from(x) - mean)).sum();
                told - dot(known, &state)
            });
            let surprise: Vec<f64> = surprise.collect();
            for (state, row) in state.iter_mut().zip(spread.chunks_exact(n)) {
                *state += dot(row, &surprise);
            }
            let all = answer.iter_mut().zip(state.iter().zip(&moments.y));
            all.for_each(|(answer, (state, mean))| *answer = state + mean);
            each(&answer, y);
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// Of each of the samples whether its bin comes after that of the one before it in the list.
fn follows(samples: Samples<'_>, indices: &[usize]) -> impl Iterator<Item = bool> {
    let starts = samples.split.starts().unwrap_or_default();
    let mut last = None;
    indices.iter().map(move |&index| {
        let start = starts.get(index).copied();
        let before = std::mem::replace(&mut last, start);
        start.is_some() && start == before.map(|before| before + 1)
    })
}

fn of_row(matrix: &[f64], n: usize, row: usize) -> &[f64] {
    matrix.get(row * n..(row + 1) * n).unwrap_or_default()
}

/// Adds a bᵀ.
fn add_product(sum: &mut [f64], a: &[f64], b: &[f64]) {
    for (row, a) in sum.chunks_exact_mut(b.len().max(1)).zip(a) {
        row.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
    }
}

/// A P Aᵀ.
fn moved(transition: &[f64], spread: &[f64], n: usize) -> Vec<f64> {
    // Rows of A P, for P is symmetric.
    let half: Vec<f64> = transition
        .chunks_exact(n)
        .flat_map(|row| {
            spread
                .chunks_exact(n)
                .map(move |of_spread| dot(row, of_spread))
        })
        .collect();
    let rows = half.chunks_exact(n);
    rows.flat_map(|row| transition.chunks_exact(n).map(move |other| dot(row, other)))
        .collect()
}

/// The rows of `numbers`, each times the inverse of the mean square of so many samples.
fn divided(
    numbers: &[f64],
    squares: &[f64],
    n: usize,
    samples: f64,
) -> Result<Vec<f64>, TrainError> {
    let lower = factor(squares, n, LEAST * samples)?;
    let mut found = budget::collect(numbers.iter().copied(), numbers.len(), WHAT)?;
    found
        .chunks_exact_mut(n)
        .for_each(|row| substitute(&lower, row));
    Ok(found)
}

/// The inverse of a symmetric matrix with something added to its diagonal.
fn inverse(matrix: &[f64], n: usize, added: f64) -> Result<Vec<f64>, TrainError> {
    let lower = factor(matrix, n, added)?;
    let mut found = vec![0.0; n * n];
    for (at, row) in found.chunks_exact_mut(n).enumerate() {
        if let Some(one) = row.get_mut(at) {
            *one = 1.0;
        }
        substitute(&lower, row);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use granule_data::{Normalization, Shape, Split, Targets};

    use super::super::tests::of;
    use super::*;
    use crate::batch::Scaling;

    /// Trials of two targets that turn slowly, and three noisy channels that tell of them in single bins.
    fn slow(trials: usize, bins: usize, seed: u32) -> Split {
        let mut drawn = seed;
        let mut next = || {
            drawn = drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(drawn >> 8) / 8_388_608.0 - 1.0
        };
        let (mut series, mut starts, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..trials {
            let mut x = [0.0, 0.0];
            for _ in 0..bins {
                x = [
                    0.95 * x[0] + 0.1 * x[1] + next(),
                    0.9 * x[1] - 0.1 * x[0] + next(),
                ];
                starts.push(series.len() / 3);
                for told in [x[0], x[0] - x[1], 2.0 * x[1]] {
                    series.push((told + 2.0 * next()) as f32);
                }
                data.extend([(x[0] + 3.0) as f32, x[1] as f32]);
            }
            series.extend([0.0; 3]);
        }
        let targets = Targets::Values { data, width: 2 };
        let shape = Shape::Sequence {
            steps: 1,
            channels: 3,
        };
        Split::windows(shape, series, (starts, 0), targets).unwrap()
    }

    #[test]
    fn the_filter_is_that_of_its_equations_by_numpy() {
        let (train, test) = (slow(3, 40, 1), slow(2, 15, 2));
        let (inputs, targets) = (Normalization::of(&train), Normalization::of_targets(&train));
        let scaling = Scaling {
            inputs: &inputs,
            targets: &targets,
            counts: false,
        };
        let (learnt, tested): (Vec<usize>, Vec<usize>) = ((0..120).collect(), (0..30).collect());
        let samples = |split, indices| Samples {
            split,
            indices,
            scaling,
        };
        let design = Design {
            learnt: samples(&train, &learnt),
            steps: 0..1,
            channels: 3,
            weights: None,
            outputs: 2,
        };
        let Ok(sums) = Sums::of(&design, &learnt) else {
            panic!("there are bins enough");
        };
        let Ok(filter) = sums.filter(10.0) else {
            panic!("there is memory enough");
        };
        let mut found: Vec<f32> = Vec::new();
        let tested = samples(&test, &tested);
        let each = |x: &[f64], _: &[f32]| found.extend(x.iter().map(|&x| x as f32));
        filter.follow(&design, tested, each).unwrap();
        tested.scale_back(&mut found, 2);
        // numpy 2.4.6: A, C by numpy.linalg.lstsq of standardised numbers (channels by all steps of the series), Q = (RᵀR + 10)/120 of what C leaves over, and
        // x += K (y − Cx) with the gain K = P Cᵀ (C P Cᵀ + Q)⁻¹; bins 0, 7 and 14 of both trials.
        let expected = [
            [2.856276778, 0.136587391],
            [2.572104468, -1.202195791],
            [1.940780914, 3.123753190],
            [2.491871606, 0.557668543],
            [3.734962245, 2.350686762],
            [3.617323598, 0.902370032],
        ];
        let own = [0, 7, 14, 15, 22, 29].map(|bin| [found[2 * bin], found[2 * bin + 1]]);
        for (found, expected) in own.iter().zip(expected) {
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{own:?}");
            }
        }
    }

    #[test]
    fn slow_targets_are_told_better_with_what_was_before() {
        let found = of(&slow(3, 200, 3), &slow(2, 100, 4));
        let r2 = |name: &str| {
            let of_name = found.iter().find(|baseline| baseline.name == name);
            of_name.unwrap().scores.mean.r2
        };
        let (filter, ridge) = (r2("Kalman filter"), r2("ridge, current bin"));
        assert!(filter > ridge + 0.05, "{filter} {ridge}");
    }

    #[test]
    fn a_bin_follows_the_one_before_it_or_begins_a_trial() {
        let (split, normalization) = (slow(2, 3, 1), Normalization::default());
        let scaling = Scaling {
            inputs: &normalization,
            targets: &normalization,
            counts: false,
        };
        let indices = [0, 1, 2, 3, 5, 4];
        let samples = Samples {
            split: &split,
            indices: &indices,
            scaling,
        };
        let found: Vec<bool> = follows(samples, &indices).collect();
        assert_eq!(found, [false, true, true, false, false, false]);
    }
}
