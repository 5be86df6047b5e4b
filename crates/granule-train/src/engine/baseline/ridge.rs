//! Ridge regression: it minimises Σ |y − Wx − b|² + λ |W|² of standardised signals and targets, in closed form
//! (Hoerl & Kennard 1970); b has no penalty. Of fewer samples than inputs it is solved for the samples. λ is chosen by
//! cross-validation in the training part, never on what is tested. For a class stand 0 and 1. Of counts it is the
//! regression of [`super::glm`].

use std::ops::Range;

use granule_data::{DataError, Targets};
use granule_io::budget;
use granule_io::words::counted;

use super::glm::{self, Table};
use super::normal::{Moments, Normal, ROWS, Ridge, WHAT, add_squares, dot};
use crate::TrainError;
use crate::engine::samples::Samples;
use crate::event::{Event, Observer};

/// The penalties that are tried, all of them: the error need not have one minimum alone.
pub(super) const PENALTIES: [f64; 7] = [1e5, 1e4, 1e3, 100.0, 10.0, 1.0, 0.1];
/// The most multiplications that the fits of one regression may take: some seconds.
const MOST_WORK: f64 = 2e10;
/// The multiplications that are told of before they are done: a second or two.
const MUCH_WORK: f64 = 2e9;
/// The multiplications that take as long as to read a number.
pub(super) const READING: f64 = 4.0;
/// Samples that are read at a time.
const BLOCK: usize = 32;
/// Why a baseline is not there.
pub(crate) enum Left {
    /// It needs more memory, samples or time than there is; the decoder's scores stand without it.
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

/// Leaves out what is not there yet once the user has asked to stop.
pub(super) fn check_patience(observer: &dyn Observer) -> Result<(), Left> {
    if observer.is_impatient() {
        Err(Left::Out("it was stopped".to_owned()))
    } else {
        Ok(())
    }
}

/// Leaves out what would take long, with so many multiplications, and tells of what takes a while.
pub(super) fn check_work(
    name: &str,
    work: f64,
    design: Option<&Design<'_>>,
    observer: &mut dyn Observer,
) -> Result<(), Left> {
    match design {
        Some(design) if work > MOST_WORK => Err(Left::Out(format!(
            "of {} and {} it would take long",
            counted(design.learnt.indices.len(), "sample"),
            counted(design.inputs(), "input")
        ))),
        _ => {
            if work > MUCH_WORK {
                let text = format!("fitting {name}, to compare the model with");
                observer.event(&Event::Note { text: &text });
            }
            Ok(())
        }
    }
}

/// Samples that are learnt from, and those that are held out meanwhile.
pub(crate) type Block = (Vec<usize>, Vec<usize>);

/// Some steps of the samples that a regression reads.
pub(crate) struct Design<'a> {
    pub learnt: Samples<'a>,
    pub steps: Range<usize>,
    pub channels: usize,
    /// What each step counts for in the one that it reads in place of all.
    pub weights: Option<Vec<f32>>,
    /// Real values, or classes, for which stand 0 and 1.
    pub outputs: usize,
}

impl<'a> Design<'a> {
    /// What reads no input has the means of the targets.
    pub fn of_nothing(learnt: Samples<'a>, outputs: usize) -> Self {
        Self {
            learnt,
            steps: 0..0,
            channels: 0,
            weights: None,
            outputs,
        }
    }

    pub fn inputs(&self) -> usize {
        let steps = match self.weights {
            Some(_) => 1,
            None => self.steps.len(),
        };
        steps * self.channels
    }

    /// About how many multiplications all fits take, and numbers that are read for them.
    pub fn work(&self, folds: usize) -> f64 {
        let (inputs, samples) = (self.inputs() as f64, self.learnt.indices.len() as f64);
        let (blocks, unknown) = (folds as f64, inputs.min(samples));
        let penalties = PENALTIES.len() as f64;
        let read = (blocks + penalties) * samples * self.learnt.split.shape().len() as f64;
        let of_counts = if self.learnt.scaling.counts {
            2.0 * glm::PASSES * blocks * penalties * samples * inputs * self.outputs as f64
        } else {
            0.0
        };
        0.5 * blocks * samples * inputs * unknown
            + blocks * penalties * unknown.powi(3) / 6.0
            + of_counts
            + READING * read
    }

    /// A penalty chosen on the blocks, and its error there.
    pub fn chosen(&self, folds: &[Block], observer: &dyn Observer) -> Result<(f64, f64), Left> {
        self.check_folds(folds, self.learnt.scaling.counts)?;
        self.choose(folds, observer)
    }

    /// Leaves out what no penalty can be chosen for, and what is to have samples for all its inputs and has not.
    pub fn check_folds(&self, folds: &[Block], for_all_inputs: bool) -> Result<(), Left> {
        if folds.is_empty() {
            let why = "no block of the training part shares no bin with the others, so that no penalty can be chosen";
            return Err(Left::Out(why.to_owned()));
        }
        let inputs = self.inputs();
        if for_all_inputs && folds.iter().any(|(kept, _)| kept.len() < inputs) {
            return Err(Left::Out(format!(
                "of {} and {} there are too few samples",
                counted(self.learnt.indices.len(), "sample"),
                counted(inputs, "input")
            )));
        }
        Ok(())
    }

    /// What the regression says of samples; with `others` it learnt their targets in the place of its own.
    pub fn answers(
        &self,
        penalty: f64,
        tested: Samples<'_>,
        others: Option<&[usize]>,
    ) -> Result<Vec<f32>, Left> {
        Ok(self.predict(&self.fitted(penalty, others)?, tested)?)
    }

    /// The regression on all that is learnt from; with `others` of their targets in the place of its own.
    pub fn fitted(&self, penalty: f64, others: Option<&[usize]>) -> Result<Ridge, TrainError> {
        self.equations(self.learnt.indices, others)?
            .solve(penalty, None)
    }

    /// The weights of a regression for every number of a sample of so many steps, `[outputs, steps × channels]`, and what it
    /// says where all of them are 0.
    pub fn spread(&self, ridge: &Ridge, steps: usize) -> Result<[Vec<f64>; 2], TrainError> {
        let (len, inputs) = (steps * self.channels, self.inputs().max(1));
        let mut all = budget::filled(0.0, self.outputs.saturating_mul(len), WHAT)?;
        let mut constants = budget::with_capacity(self.outputs, WHAT)?;
        let rows = ridge.weights.chunks_exact(inputs).zip(&ridge.moments.y);
        for (all, (weights, y)) in all.chunks_exact_mut(len.max(1)).zip(rows) {
            constants.push(y - dot(weights, &ridge.moments.x));
            let steps = all.chunks_exact_mut(self.channels.max(1));
            let steps = steps.skip(self.steps.start).take(self.steps.len());
            for (step, own) in steps.enumerate() {
                let (of_step, share) = match &self.weights {
                    Some(shares) => (weights, shares.get(step).copied().map_or(0.0, f64::from)),
                    None => (weights.get(step * self.channels..).unwrap_or_default(), 1.0),
                };
                own.iter_mut()
                    .zip(of_step)
                    .for_each(|(own, weight)| *own = share * weight);
            }
        }
        Ok([all, constants])
    }

    /// What is to be solved, with the targets of `others` in the place of their own.
    fn equations(
        &self,
        indices: &[usize],
        others: Option<&[usize]>,
    ) -> Result<Equations, TrainError> {
        let normal = self.fit(indices, others)?;
        if !self.learnt.scaling.counts {
            return Ok(Equations::Squares(normal));
        }
        let mut table = Table {
            x: budget::with_capacity(indices.len().saturating_mul(self.inputs()), WHAT)?,
            y: budget::with_capacity(indices.len().saturating_mul(self.outputs), WHAT)?,
            normal,
        };
        let means = &table.normal.moments.x;
        self.rows(self.learnt, indices, others, |x, y| {
            let pairs = x.iter().zip(means);
            table.x.extend(pairs.map(|(&x, mean)| f64::from(x) - mean));
            table.y.extend(y.iter().copied().map(f64::from));
        })?;
        Ok(Equations::Counts(table))
    }

    /// Hands the standardised inputs of samples, and their targets or those of `others` in their place, to `each`.
    pub fn rows(
        &self,
        samples: Samples<'_>,
        indices: &[usize],
        others: Option<&[usize]>,
        mut each: impl FnMut(&[f32], &[f32]),
    ) -> Result<(), TrainError> {
        let (mut x, mut y, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        let of = self.steps.start * self.channels..self.steps.end * self.channels;
        let (len, width) = (samples.split.shape().len(), self.outputs.max(1));
        let targets = others.unwrap_or(indices);
        for (chunk, targets) in indices.chunks(BLOCK).zip(targets.chunks(BLOCK)) {
            samples
                .split
                .gather(chunk, samples.scaling.inputs, None, &mut x)?;
            self.gather_targets(samples, targets, &mut y)?;
            for (x, y) in x.chunks_exact(len).zip(y.chunks_exact(width)) {
                let mut x = x.get(of.clone()).unwrap_or_default();
                if let Some(weights) = &self.weights {
                    sums.clear();
                    sums.resize(self.channels, 0.0);
                    for (step, weight) in x.chunks_exact(self.channels).zip(weights) {
                        sums.iter_mut()
                            .zip(step)
                            .for_each(|(sum, x)| *sum += weight * x);
                    }
                    x = &sums;
                }
                each(x, y);
            }
        }
        Ok(())
    }

    /// Standardised values, or 1 for the class of a sample and 0 for the others.
    fn gather_targets(
        &self,
        samples: Samples<'_>,
        indices: &[usize],
        y: &mut Vec<f32>,
    ) -> Result<(), TrainError> {
        let Targets::Classes(classes) = samples.split.targets() else {
            return Ok(samples
                .split
                .gather_targets(indices, samples.scaling.targets, y)?);
        };
        y.clear();
        for &index in indices {
            let class = classes.get(index).map(|&class| usize::from(class));
            y.extend((0..self.outputs).map(|output| f32::from(u8::from(Some(output) == class))));
        }
        Ok(())
    }

    pub fn moments(&self, indices: &[usize]) -> Result<Moments, TrainError> {
        let count = indices.len().max(1) as f64;
        let mut moments = Moments {
            x: budget::filled(0.0, self.inputs(), WHAT)?,
            y: budget::filled(0.0, self.outputs, WHAT)?,
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
    pub fn fit(&self, indices: &[usize], others: Option<&[usize]>) -> Result<Normal, TrainError> {
        if indices.len() < self.inputs() {
            return self.fit_samples(indices, others);
        }
        let moments = self.moments(indices)?;
        let (inputs, outputs) = (self.inputs(), self.outputs);
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
        let mut cross = budget::with_capacity(count * self.outputs, WHAT)?;
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

    /// The penalty with the least error on the blocks that are held out, and that error: squared, or of counts.
    fn choose(&self, folds: &[Block], observer: &dyn Observer) -> Result<(f64, f64), Left> {
        let rates = self.learnt.scaling.rates();
        let of_fold = |(kept, _): &Block| {
            check_patience(observer)?;
            Ok((self.equations(kept, None)?, None))
        };
        let fits = folds.iter().map(of_fold);
        let mut fits = fits.collect::<Result<Vec<_>, Left>>()?;
        let mut best = (PENALTIES[0], f64::INFINITY);
        let mut worse = 0;
        for penalty in PENALTIES {
            let mut error = 0.0;
            for ((_, held_out), (equations, last)) in folds.iter().zip(&mut fits) {
                check_patience(observer)?;
                let fitted = equations.solve(penalty, last.take())?;
                self.rows(self.learnt, held_out, None, |x, y| {
                    let pairs = fitted.answer(x).zip(y);
                    let pairs = pairs.map(|(found, &y)| (found, f64::from(y)));
                    error += match &rates {
                        Some(rates) => pairs
                            .zip(rates)
                            .map(|((found, y), rate)| rate * glm::loss(found, y))
                            .sum::<f64>(),
                        None => pairs.map(|(found, y)| (found - y).powi(2)).sum(),
                    };
                })?;
                *last = Some(fitted);
            }
            if error < best.1 {
                best = (penalty, error);
                worse = 0;
            } else {
                worse += 1;
            }
            // The fits of counts take the longer, the lower the penalty.
            if rates.is_some() && worse == 2 {
                break;
            }
        }
        Ok(best)
    }

    fn predict(&self, ridge: &Ridge, samples: Samples<'_>) -> Result<Vec<f32>, TrainError> {
        let count = samples.indices.len().saturating_mul(self.outputs);
        let mut predicted = budget::with_capacity(count, WHAT)?;
        self.rows(samples, samples.indices, None, |x, _| {
            predicted.extend(
                ridge
                    .answer(x)
                    .map(|y| bounded(y, self.learnt.scaling.counts)),
            );
        })?;
        Ok(predicted)
    }
}

/// An answer, of counts within what can be raised to a power.
pub(crate) fn bounded(answer: f64, counts: bool) -> f32 {
    let most = if counts { glm::MOST } else { f64::INFINITY };
    answer.min(most) as f32
}

/// What gives the weights for a penalty.
enum Equations {
    Squares(Normal),
    Counts(Table),
}

impl Equations {
    /// The weights; those of another penalty may be begun with.
    fn solve(&self, penalty: f64, begin: Option<Ridge>) -> Result<Ridge, TrainError> {
        match self {
            Self::Squares(normal) => normal.solve(penalty),
            Self::Counts(table) => table.solve(penalty, begin),
        }
    }
}

#[cfg(test)]
mod tests {
    use granule_data::Normalization;

    use super::super::tests::recording;
    use super::*;
    use crate::batch::Scaling;

    #[test]
    fn weights_of_samples_give_those_of_inputs() {
        let (train, indices) = (recording(40, 3), (0..39).collect::<Vec<_>>());
        let (inputs, targets) = (Normalization::of(&train), Normalization::of_targets(&train));
        let scaling = Scaling {
            inputs: &inputs,
            targets: &targets,
            counts: false,
        };
        let design = Design {
            learnt: Samples {
                split: &train,
                indices: &indices,
                scaling,
            },
            steps: 0..2,
            channels: 3,
            weights: None,
            outputs: 2,
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
    fn weights_that_are_spread_say_the_same() {
        let (train, indices) = (recording(40, 3), (0..39).collect::<Vec<_>>());
        let (inputs, targets) = (Normalization::of(&train), Normalization::of_targets(&train));
        let scaling = Scaling {
            inputs: &inputs,
            targets: &targets,
            counts: false,
        };
        let learnt = Samples {
            split: &train,
            indices: &indices,
            scaling,
        };
        for (steps, weights) in [(0..2, None), (1..2, None), (0..2, Some(vec![0.25, 0.75]))] {
            let design = Design {
                learnt,
                steps,
                channels: 3,
                weights,
                outputs: 2,
            };
            let ridge = design.fitted(2.0, None).unwrap();
            let expected = design.predict(&ridge, learnt).unwrap();
            let [weights, constants] = design.spread(&ridge, 2).unwrap();
            let mut x = Vec::new();
            train.gather(&indices, &inputs, None, &mut x).unwrap();
            let found = x.chunks_exact(6).flat_map(|x| {
                let x: Vec<f64> = x.iter().copied().map(f64::from).collect();
                let rows = weights.chunks_exact(6).zip(&constants);
                rows.map(|(w, b)| b + dot(w, &x)).collect::<Vec<_>>()
            });
            for (found, expected) in found.zip(&expected) {
                assert!((found - f64::from(*expected)).abs() < 1e-5);
            }
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
