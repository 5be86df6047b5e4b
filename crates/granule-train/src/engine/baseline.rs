//! What a decoder has to beat: the mean of the training part, and ridge regression.
//!
//! Ridge regression minimises Σ |y − Wx − b|² + λ |W|² of standardised signals and targets, in closed form
//! (Hoerl & Kennard 1970); b has no penalty. Of fewer samples than inputs it is solved for the samples. λ is chosen by
//! cross-validation in blocks of the training part, never on what is tested.

use std::ops::Range;

use granule_data::{DataError, Shape};
use granule_io::budget;
use granule_io::words::counted;

use crate::TrainError;
use crate::batches::{Purpose, shuffle};
use crate::engine::score::Samples;
use crate::event::{Event, Observer};
use crate::metrics::{Baseline, RegressionScores};

/// The penalties that are tried, all of them: the error need not have one minimum alone.
const PENALTIES: [f64; 7] = [1e5, 1e4, 1e3, 100.0, 10.0, 1.0, 0.1];
/// Blocks of the training part, each of which is held out once.
const BLOCKS: usize = 5;
/// Rows that are worked on while they are at hand.
const ROWS: usize = 4;
/// The most multiplications that the fits of one regression may take: some ten seconds.
const MOST_WORK: f64 = 4e10;
/// The multiplications that take as long as to read a number.
const READING: f64 = 4.0;
/// Samples that are read at a time.
const BLOCK: usize = 32;
/// What asks for memory here.
const WHAT: &str = "ridge regression";

/// The baselines of windows with real-valued targets, learnt from some samples and scored on others, as the decoder itself.
/// A regression that would take long is left out, and the observer told so.
pub(crate) fn baselines(
    learnt: Samples<'_>,
    tested: Samples<'_>,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Vec<Baseline>, TrainError> {
    let (Some(starts), Shape::Sequence { steps, channels }) =
        (learnt.split.starts(), learnt.split.shape())
    else {
        return Ok(Vec::new());
    };
    let truth = tested.values()?;
    let score = |name: &str, penalty, mut predicted: Vec<f32>| {
        let width = learnt.width();
        tested.scale_back(&mut predicted, width);
        let RegressionScores { outputs, mean, .. } =
            RegressionScores::new(&truth, &predicted, width)?;
        Ok::<_, TrainError>(Baseline {
            name: name.to_owned(),
            penalty,
            outputs,
            mean,
        })
    };
    let folds = folds(starts, steps, learnt.indices);
    let fit = |steps: Range<usize>| Design {
        learnt,
        steps,
        channels,
    };
    let current = learnt.split.current();

    let mut found = vec![score(
        "training mean",
        None,
        fit(0..0)
            .moments(learnt.indices)?
            .repeated(tested.indices.len())?,
    )?];
    let now = fit(current..current + 1);
    let whole = fit(0..steps);
    let mut best = None;
    let lagged = (steps > 1).then_some(("ridge, whole window", &whole));
    for (name, design) in [("ridge, current bin", &now)].into_iter().chain(lagged) {
        let fitted = design.regression(&folds, tested);
        if let Some((penalty, predicted)) = there(name, fitted, observer)? {
            found.push(score(name, Some(penalty), predicted)?);
            best = Some((design, penalty));
        }
    }
    if let Some((design, penalty)) = best {
        let name = "ridge, shuffled targets";
        let mut others = learnt.indices.to_vec();
        shuffle(&mut others, seed, 0, Purpose::Baseline);
        let fitted = design.answers(penalty, tested, Some(&others));
        if let Some(predicted) = there(name, fitted, observer)? {
            found.push(score(name, Some(penalty), predicted)?);
        }
    }
    Ok(found)
}

/// What was fitted; of what is left out the observer is told.
fn there<T>(
    name: &str,
    fitted: Result<T, Left>,
    observer: &mut dyn Observer,
) -> Result<Option<T>, TrainError> {
    match fitted {
        Ok(fitted) => Ok(Some(fitted)),
        Err(Left::Out(why)) => {
            let text = format!("no {name} beside the model: {why}");
            observer.event(&Event::Note { text: &text });
            Ok(None)
        }
        Err(Left::Failed(error)) => Err(error),
    }
}

/// Why a baseline is not there.
enum Left {
    /// It would take what there is not, which is no fault of the decoder.
    Out(String),
    Failed(TrainError),
}

impl From<TrainError> for Left {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Data(DataError::Memory(error)) => Self::Out(error.to_string()),
            error => Self::Failed(error),
        }
    }
}

/// Blocks of samples in a row, each with the other samples that share no bin with it.
fn folds(starts: &[usize], steps: usize, indices: &[usize]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let at = |index: &usize| starts.get(*index).copied().unwrap_or(0);
    let blocks = indices.chunks(indices.len().div_ceil(BLOCKS).max(1));
    let fold = |held_out: &[usize]| {
        let first = held_out.iter().map(at).min().unwrap_or(0);
        let last = held_out.iter().map(at).max().unwrap_or(0);
        let apart = |index: &&usize| at(index) + steps <= first || last + steps <= at(index);
        let kept: Vec<usize> = indices.iter().filter(apart).copied().collect();
        (kept, held_out.to_vec())
    };
    blocks
        .map(fold)
        .filter(|(kept, _)| !kept.is_empty())
        .collect()
}

/// Some steps of the windows that a regression reads.
struct Design<'a> {
    learnt: Samples<'a>,
    steps: Range<usize>,
    channels: usize,
}

/// Means of inputs and targets.
struct Moments {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Moments {
    /// The mean of the targets for so many samples.
    fn repeated(&self, samples: usize) -> Result<Vec<f32>, TrainError> {
        let all = self.y.iter().map(|&y| y as f32).cycle();
        let count = samples.saturating_mul(self.y.len());
        Ok(budget::collect(all.take(count), count, WHAT)?)
    }
}

/// XᵀX, its lower half, and XᵀY, of centred numbers; or XXᵀ and Y, with X.
struct Normal {
    moments: Moments,
    gram: Vec<f64>,
    /// `[inputs, outputs]`, or `[samples, outputs]`
    cross: Vec<f64>,
    /// `[samples, inputs]`, where the unknown are a weight for each sample.
    samples: Option<Vec<f64>>,
}

/// W, `[outputs, inputs]`, and the means that it is used with.
struct Ridge {
    moments: Moments,
    weights: Vec<f64>,
}

impl Design<'_> {
    fn inputs(&self) -> usize {
        self.steps.len() * self.channels
    }

    /// About how many multiplications all fits take, and numbers that are read for them.
    fn work(&self) -> f64 {
        let (inputs, samples) = (self.inputs() as f64, self.learnt.indices.len() as f64);
        let (blocks, unknown) = (BLOCKS as f64, inputs.min(samples));
        let penalties = PENALTIES.len() as f64;
        let read = (blocks + penalties) * samples * self.learnt.split.shape().len() as f64;
        0.5 * blocks * samples * inputs * unknown
            + blocks * penalties * unknown.powi(3) / 6.0
            + READING * read
    }

    /// A penalty chosen on the blocks, and what the regression then says of samples.
    fn regression(
        &self,
        folds: &[(Vec<usize>, Vec<usize>)],
        tested: Samples<'_>,
    ) -> Result<(f64, Vec<f32>), Left> {
        if folds.is_empty() {
            let why = "no block of the training part shares no bin with the others, so that no penalty can be chosen";
            return Err(Left::Out(why.to_owned()));
        }
        if self.work() > MOST_WORK {
            return Err(Left::Out(format!(
                "of {} and {} it would take long",
                counted(self.learnt.indices.len(), "sample"),
                counted(self.inputs(), "input")
            )));
        }
        let penalty = self.choose(folds)?;
        Ok((penalty, self.answers(penalty, tested, None)?))
    }

    /// What the regression says of samples; with `others` it learnt their targets in the place of its own.
    fn answers(
        &self,
        penalty: f64,
        tested: Samples<'_>,
        others: Option<&[usize]>,
    ) -> Result<Vec<f32>, Left> {
        let ridge = self.fit(self.learnt.indices, others)?.solve(penalty)?;
        Ok(self.predict(&ridge, tested)?)
    }

    /// Hands the standardised inputs of samples, and their targets or those of `others` in their place, to `each`.
    fn rows(
        &self,
        samples: Samples<'_>,
        indices: &[usize],
        others: Option<&[usize]>,
        mut each: impl FnMut(&[f32], &[f32]),
    ) -> Result<(), TrainError> {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        let of = self.steps.start * self.channels..self.steps.end * self.channels;
        let (len, width) = (samples.split.shape().len(), samples.width());
        let targets = others.unwrap_or(indices);
        for (chunk, targets) in indices.chunks(BLOCK).zip(targets.chunks(BLOCK)) {
            samples
                .split
                .gather(chunk, samples.scaling.inputs, None, &mut x)?;
            samples
                .split
                .gather_targets(targets, samples.scaling.targets, &mut y)?;
            for (x, y) in x.chunks_exact(len).zip(y.chunks_exact(width)) {
                each(x.get(of.clone()).unwrap_or_default(), y);
            }
        }
        Ok(())
    }

    fn moments(&self, indices: &[usize]) -> Result<Moments, TrainError> {
        let count = indices.len().max(1) as f64;
        let mut moments = Moments {
            x: budget::filled(0.0, self.inputs(), WHAT)?,
            y: budget::filled(0.0, self.learnt.width(), WHAT)?,
        };
        self.rows(self.learnt, indices, None, |x, y| {
            for (means, values) in [(&mut moments.x, x), (&mut moments.y, y)] {
                means
                    .iter_mut()
                    .zip(values)
                    .for_each(|(mean, &value)| *mean += f64::from(value) / count);
            }
        })?;
        Ok(moments)
    }

    /// The equations of samples, with the targets of `others` in the place of their own.
    fn fit(&self, indices: &[usize], others: Option<&[usize]>) -> Result<Normal, TrainError> {
        if indices.len() < self.inputs() {
            return self.fit_samples(indices, others);
        }
        let moments = self.moments(indices)?;
        let (inputs, outputs) = (self.inputs(), self.learnt.width());
        let mut gram = budget::filled(0.0, inputs.saturating_mul(inputs), WHAT)?;
        let mut cross = budget::filled(0.0, inputs * outputs, WHAT)?;
        let mut block: Vec<f64> = budget::with_capacity(ROWS * inputs, WHAT)?;
        self.rows(self.learnt, indices, others, |x, y| {
            let centred = x
                .iter()
                .zip(&moments.x)
                .map(|(&x, mean)| f64::from(x) - mean);
            let start = block.len();
            block.extend(centred);
            let own = block.get(start..).unwrap_or_default();
            for (row, a) in cross.chunks_exact_mut(outputs).zip(own) {
                for ((sum, &y), mean) in row.iter_mut().zip(y).zip(&moments.y) {
                    *sum += a * (f64::from(y) - mean);
                }
            }
            if block.len() == ROWS * inputs {
                add_squares(&mut gram, &block, inputs);
                block.clear();
            }
        })?;
        add_squares(&mut gram, &block, inputs);
        Ok(Normal {
            moments,
            gram,
            cross,
            samples: None,
        })
    }

    /// The same for a weight for each sample.
    fn fit_samples(
        &self,
        indices: &[usize],
        others: Option<&[usize]>,
    ) -> Result<Normal, TrainError> {
        let moments = self.moments(indices)?;
        let (count, inputs) = (indices.len(), self.inputs());
        let mut samples = budget::with_capacity(count.saturating_mul(inputs), WHAT)?;
        let mut cross = budget::with_capacity(count * self.learnt.width(), WHAT)?;
        self.rows(self.learnt, indices, others, |x, y| {
            let centred = |values: &[f32], means: &[f64], all: &mut Vec<f64>| {
                let pairs = values.iter().zip(means);
                all.extend(pairs.map(|(&value, mean)| f64::from(value) - mean));
            };
            centred(x, &moments.x, &mut samples);
            centred(y, &moments.y, &mut cross);
        })?;
        let mut gram = budget::filled(0.0, count.saturating_mul(count), WHAT)?;
        for (start, rows) in (0..).step_by(ROWS).zip(samples.chunks(ROWS * inputs)) {
            for (column, other) in samples.chunks_exact(inputs).enumerate().take(start + ROWS) {
                let own = (start..).zip(rows.chunks_exact(inputs));
                for (row, own) in own.filter(|(row, _)| column <= *row) {
                    gram[row * count + column] = dot(own, other);
                }
            }
        }
        Ok(Normal {
            moments,
            gram,
            cross,
            samples: Some(samples),
        })
    }

    /// The penalty with the least squared error on the blocks that are held out.
    fn choose(&self, folds: &[(Vec<usize>, Vec<usize>)]) -> Result<f64, TrainError> {
        let mut squares = [0.0; PENALTIES.len()];
        for (kept, held_out) in folds {
            let normal = self.fit(kept, None)?;
            for (penalty, squares) in PENALTIES.into_iter().zip(&mut squares) {
                let ridge = normal.solve(penalty)?;
                self.rows(self.learnt, held_out, None, |x, y| {
                    let errors = ridge
                        .answer(x)
                        .zip(y)
                        .map(|(found, &y)| found - f64::from(y));
                    *squares += errors.map(|error| error * error).sum::<f64>();
                })?;
            }
        }
        let both = PENALTIES.into_iter().zip(squares);
        let best = both.min_by(|a, b| a.1.total_cmp(&b.1));
        Ok(best.map_or(PENALTIES[0], |(penalty, _)| penalty))
    }

    fn predict(&self, ridge: &Ridge, samples: Samples<'_>) -> Result<Vec<f32>, TrainError> {
        let count = samples.indices.len().saturating_mul(samples.width());
        let mut predicted = budget::with_capacity(count, WHAT)?;
        self.rows(samples, samples.indices, None, |x, _| {
            predicted.extend(ridge.answer(x).map(|y| y as f32));
        })?;
        Ok(predicted)
    }
}

impl Ridge {
    fn answer<'a>(&'a self, x: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let rows = self
            .weights
            .chunks_exact(x.len().max(1))
            .zip(&self.moments.y);
        rows.map(move |(weights, y)| {
            let centred = x
                .iter()
                .zip(&self.moments.x)
                .map(|(&x, mean)| f64::from(x) - mean);
            weights
                .iter()
                .zip(centred)
                .fold(*y, |sum, (w, x)| sum + w * x)
        })
    }
}

impl Normal {
    /// (XᵀX + λ) Wᵀ = XᵀY, or (XXᵀ + λ) A = Y and Wᵀ = XᵀA, by Cholesky's decomposition.
    fn solve(&self, penalty: f64) -> Result<Ridge, TrainError> {
        let outputs = self.moments.y.len();
        let n = self.cross.len() / outputs.max(1);
        let mut lower = budget::collect(self.gram.iter().copied(), self.gram.len(), WHAT)?;
        for start in (0..n).step_by(ROWS) {
            let (above, rest) = lower.split_at_mut(start * n);
            let block = &mut rest[..ROWS.min(n - start) * n];
            for (column, of_column) in above.chunks_exact(n).enumerate() {
                block
                    .chunks_exact_mut(n)
                    .for_each(|own| eliminate(own, of_column, column));
            }
            for row in start..start + block.len() / n {
                let (before, rest) = block.split_at_mut((row - start) * n);
                let own = &mut rest[..n];
                for (column, of_column) in (start..).zip(before.chunks_exact(n)) {
                    eliminate(own, of_column, column);
                }
                let squares = dot(&own[..row], &own[..row]);
                // XᵀX has no negative eigenvalue but by rounding, which is far less than λ.
                own[row] = (own[row] + penalty - squares).max(f64::MIN_POSITIVE).sqrt();
            }
        }
        let mut weights = budget::filled(0.0, n * outputs, WHAT)?;
        for (output, weights) in weights.chunks_exact_mut(n.max(1)).enumerate() {
            for row in 0..n {
                let sum = dot(&lower[row * n..row * n + row], &weights[..row]);
                weights[row] = (self.cross[row * outputs + output] - sum) / lower[row * n + row];
            }
            for row in (0..n).rev() {
                weights[row] /= lower[row * n + row];
                let (before, own) = weights.split_at_mut(row);
                let column = &lower[row * n..row * n + row];
                before
                    .iter_mut()
                    .zip(column)
                    .for_each(|(w, l)| *w -= own[0] * l);
            }
        }
        if let Some(samples) = &self.samples {
            let inputs = self.moments.x.len();
            let of_samples =
                std::mem::replace(&mut weights, budget::filled(0.0, inputs * outputs, WHAT)?);
            let all = weights
                .chunks_exact_mut(inputs.max(1))
                .zip(of_samples.chunks_exact(n));
            for (weights, of_samples) in all {
                for (x, a) in samples.chunks_exact(inputs.max(1)).zip(of_samples) {
                    weights
                        .iter_mut()
                        .zip(x)
                        .for_each(|(weight, x)| *weight += a * x);
                }
            }
        }
        let moments = Moments {
            x: self.moments.x.clone(),
            y: self.moments.y.clone(),
        };
        Ok(Ridge { moments, weights })
    }
}

/// Adds the squares of rows to the lower half of a matrix.
fn add_squares(gram: &mut [f64], rows: &[f64], inputs: usize) {
    for (at, sums) in gram.chunks_exact_mut(inputs.max(1)).enumerate() {
        for row in rows.chunks_exact(inputs.max(1)) {
            let a = row[at];
            sums.iter_mut()
                .zip(row)
                .take(at + 1)
                .for_each(|(sum, b)| *sum += a * b);
        }
    }
}

/// One entry of a row of Cholesky's factor, after those before it.
fn eliminate(own: &mut [f64], of_column: &[f64], column: usize) {
    let sum = dot(&own[..column], &of_column[..column]);
    own[column] = (own[column] - sum) / of_column[column];
}

/// Σ a b, in eight sums that a processor adds at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use granule_data::{Normalization, Split, Targets};

    use super::*;
    use crate::batches::Scaling;
    use crate::event::Quiet;

    /// Windows of two bins of three channels; the target is 2 a − b of the bin before and c of the own one.
    fn recording(bins: usize, seed: u32) -> Split {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let series: Vec<f32> = (0..3 * bins).map(|_| next()).collect();
        let row = |bin: usize| &series[3 * bin..3 * bin + 3];
        let data: Vec<f32> = (1..bins)
            .flat_map(|bin| [2.0 * row(bin - 1)[0] - row(bin - 1)[1] + 5.0, row(bin)[2]])
            .collect();
        let targets = Targets::Values { data, width: 2 };
        let shape = Shape::Sequence {
            steps: 2,
            channels: 3,
        };
        Split::windows(shape, series, ((0..bins - 1).collect(), 1), targets).unwrap()
    }

    fn of(train: &Split, test: &Split) -> Vec<Baseline> {
        let (inputs, targets) = (Normalization::of(train), Normalization::of_targets(train));
        let scaling = Scaling {
            inputs: &inputs,
            targets: &targets,
        };
        let all: Vec<Vec<usize>> = [train, test]
            .iter()
            .map(|split| (0..split.len()).collect())
            .collect();
        let samples = |split, indices| Samples {
            split,
            indices,
            scaling,
        };
        {
            let (learnt, tested) = (samples(train, &all[0]), samples(test, &all[1]));
            baselines(learnt, tested, 1, &mut Quiet).unwrap()
        }
    }

    #[test]
    fn the_whole_window_tells_what_the_current_bin_does_not() {
        let (train, test) = (recording(400, 1), recording(200, 2));
        let found = of(&train, &test);
        let names: Vec<&str> = found
            .iter()
            .map(|baseline| baseline.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "training mean",
                "ridge, current bin",
                "ridge, whole window",
                "ridge, shuffled targets"
            ]
        );
        let r2 = |at: usize, output: usize| found[at].outputs[output].r2;
        assert!(r2(0, 0) <= 0.0 && r2(0, 0) > -0.05);
        assert!(r2(1, 0) < 0.05 && r2(1, 1) > 0.999, "{found:?}");
        assert!(r2(2, 0) > 0.999 && r2(2, 1) > 0.999, "{found:?}");
        assert!(r2(3, 0) < 0.2 && r2(3, 1) < 0.2, "{found:?}");
        assert_eq!(found[2].penalty, Some(0.1));
        // A correlation that there is not is NaN.
        assert_eq!(format!("{:?}", of(&train, &test)), format!("{found:?}"));
    }

    #[test]
    fn blocks_that_are_held_out_share_no_bin_with_the_others() {
        let (starts, steps) = ((0..20).collect::<Vec<_>>(), 4);
        let all: Vec<usize> = (0..20).collect();
        let found = folds(&starts, steps, &all);
        let held_out: Vec<usize> = found.iter().flat_map(|(_, out)| out.clone()).collect();
        assert_eq!(held_out, all);
        for (kept, out) in &found {
            assert!(!kept.is_empty());
            let pairs = kept.iter().flat_map(|a| out.iter().map(move |b| (a, b)));
            for (&kept, &out) in pairs {
                assert!(starts[kept].abs_diff(starts[out]) >= steps, "{kept} {out}");
            }
        }
        // Windows as long as the recording leave nothing to learn a penalty from.
        assert!(folds(&starts, 20, &all).is_empty());
    }

    #[test]
    fn what_cannot_be_fitted_is_left_out_and_told_of() {
        struct Notes(Vec<String>);
        impl Observer for Notes {
            fn event(&mut self, event: &Event<'_>) {
                if let Event::Note { text } = event {
                    self.0.push((*text).to_owned());
                }
            }
        }
        let train = recording(4, 5);
        let (inputs, targets) = (Normalization::of(&train), Normalization::of_targets(&train));
        let scaling = Scaling {
            inputs: &inputs,
            targets: &targets,
        };
        let samples = Samples {
            split: &train,
            indices: &[1],
            scaling,
        };
        let mut notes = Notes(Vec::new());
        let found = baselines(samples, samples, 1, &mut notes).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(notes.0.len(), 2, "{:?}", notes.0);
        assert!(
            notes.0[0].contains("no ridge, current bin"),
            "{:?}",
            notes.0
        );
    }

    #[test]
    fn weights_of_samples_give_those_of_inputs() {
        let (train, indices) = (recording(40, 3), (0..39).collect::<Vec<_>>());
        let (inputs, targets) = (Normalization::of(&train), Normalization::of_targets(&train));
        let scaling = Scaling {
            inputs: &inputs,
            targets: &targets,
        };
        let design = Design {
            learnt: Samples {
                split: &train,
                indices: &indices,
                scaling,
            },
            steps: 0..2,
            channels: 3,
        };
        let of_inputs = design.fit(&indices, None).unwrap().solve(2.0).unwrap();
        let of_samples = design.fit_samples(&indices, None).unwrap();
        let of_samples = of_samples.solve(2.0).unwrap();
        assert_eq!(of_inputs.weights.len(), 12);
        for (a, b) in of_inputs.weights.iter().zip(&of_samples.weights) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn ridge_is_that_of_its_closed_form() {
        // x = −1, 0, 1 twice; y = x: W = Σxy / (Σx² + λ) = 4 / (4 + λ).
        let normal = Normal {
            moments: Moments {
                x: vec![0.0],
                y: vec![0.5],
            },
            gram: vec![4.0],
            cross: vec![4.0],
            samples: None,
        };
        assert_eq!(normal.solve(12.0).unwrap().weights, [0.25]);
        // [[2, 1], [1, 3]] + 1 and (1, 2): W = (4·1 − 1·2, 3·2 − 1·1) / 11.
        let normal = Normal {
            moments: Moments {
                x: vec![0.0; 2],
                y: vec![0.0],
            },
            gram: vec![2.0, 0.0, 1.0, 3.0],
            cross: vec![1.0, 2.0],
            samples: None,
        };
        let found = normal.solve(1.0).unwrap().weights;
        for (found, expected) in found.iter().zip([2.0 / 11.0, 5.0 / 11.0]) {
            assert!((found - expected).abs() < 1e-15, "{found}");
        }
    }
}
