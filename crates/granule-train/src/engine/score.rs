//! Scoring a network on samples it does not learn from.

use std::iter::repeat;

use burn::tensor::Device;
use granule_data::{Dataset, Shape, Targets};
use granule_device::OpenDevice;
use granule_io::budget;
use granule_models::{ModelFile, Network, Task};

use super::opened::on;
use super::test_part::{TestPart, with_regression};
use crate::batches::{Purpose, shuffle};
use crate::engine::baseline;
use crate::engine::samples::{Samples, check_finite};
use crate::error::TrainError;
use crate::event::{Event, Observer};
use crate::loss::{LossFunction, argmax, probability};
use crate::metrics::{
    ClassShares, ClassificationReport, ConfusionMatrix, PermutationTest, RegressionScores,
};
use crate::outcome::{Classification, Evaluation, Mistake, Scores};

/// How many mistakes are kept.
const MISTAKES: usize = 64;
/// The fewest and the most rounds of a permutation test.
const ROUNDS: (usize, usize) = (100, 1000);
/// Samples that all rounds go through, about: a second.
const ROUNDS_WORK: usize = 50_000_000;

impl Samples<'_> {
    /// All scores of samples of the test part, and the outputs, row-major `[samples, outputs]`: real values on the scale on
    /// which the targets are stored. The loss is that of normalised targets.
    pub fn evaluate(
        &self,
        network: &Network,
        task: &Task,
        device: &Device,
        batch: usize,
        observer: &mut dyn Observer,
    ) -> Result<(Evaluation, Vec<f32>), TrainError> {
        let width = task.outputs();
        let samples = self.indices.len();
        let function = LossFunction::scoring().of_counts(self.scaling.rates());
        let mut outputs = budget::with_capacity(
            samples.saturating_mul(width),
            "the network's outputs for the test part",
        )?;
        let mut loss = 0.0;
        let mut done = 0;
        self.run("test", network, device, batch, |indices, batch| {
            loss += self.with_truth(indices, |truth| {
                function.on_host(batch, truth, width, None).loss
            })?;
            outputs.extend_from_slice(batch);
            done += indices.len();
            observer.event(&Event::Evaluated {
                done,
                total: samples,
            });
            Ok(())
        })?;
        let scores = match task {
            Task::Classification { classes } => {
                Scores::Classification(self.classification(&outputs, classes)?)
            }
            Task::Regression { .. } | Task::Trials { .. } | Task::Recording { .. } => {
                self.scale_back(&mut outputs, width);
                check_finite("test", self.indices, &outputs)?;
                Scores::Regression(self.regression(&self.values()?, &outputs, width)?)
            }
        };
        let evaluation = Evaluation {
            loss: loss / samples.max(1) as f64,
            samples,
            scores,
        };
        Ok((evaluation, outputs))
    }

    /// The stored real-valued targets, row-major.
    pub fn values(&self) -> Result<Vec<f32>, TrainError> {
        let width = self.width();
        let rows = self.indices.iter();
        let rows = rows.filter_map(|&index| self.split.target_values(index));
        let count = self.indices.len().saturating_mul(width);
        Ok(budget::collect(
            rows.flatten().copied(),
            count,
            "the targets of the test part",
        )?)
    }

    /// Real-valued targets of a sample.
    pub fn width(&self) -> usize {
        match self.split.targets() {
            Targets::Classes(_) => 0,
            Targets::Values { width, .. } => *width,
        }
    }

    /// Brings outputs, row-major, to the scale on which the targets are stored.
    pub fn scale_back(&self, outputs: &mut [f32], width: usize) {
        let means = self.split.target_means(self.scaling.targets);
        if let Some(rates) = self.scaling.rates() {
            for row in outputs.chunks_mut(width.max(1)) {
                let pairs = row
                    .iter_mut()
                    .zip(&rates)
                    .zip(means.iter().chain(repeat(&0.0)));
                for ((output, rate), mean) in pairs {
                    *output = (rate * f64::from(*output).exp() + f64::from(*mean)) as f32;
                }
            }
            return;
        }
        for row in outputs.chunks_mut(width.max(1)) {
            for (at, output) in row.iter_mut().enumerate() {
                let std = self.scaling.targets.std.get(at).copied().unwrap_or(1.0);
                *output = *output * std + means.get(at).copied().unwrap_or(0.0);
            }
        }
    }

    /// The scores of predictions on the scale on which the targets are stored.
    pub fn regression(
        &self,
        truth: &[f32],
        predicted: &[f32],
        width: usize,
    ) -> Result<RegressionScores, TrainError> {
        let scores = RegressionScores::new(truth, predicted, width)?;
        if !self.scaling.counts {
            return Ok(scores);
        }
        let means = self.split.target_means(self.scaling.targets);
        let offset = |at: usize| means.get(at % width.max(1)).copied().unwrap_or(0.0);
        let whole = |values: &[f32]| -> Vec<f32> {
            let values = values.iter().enumerate();
            values.map(|(at, x)| x - offset(at)).collect()
        };
        Ok(scores.of_counts(&whole(truth), &whole(predicted)))
    }

    /// The scores of outputs, as a network gives them, beside the stored targets.
    pub fn value_scores(
        &self,
        truth: &[f32],
        mut outputs: Vec<f32>,
        width: usize,
    ) -> Result<RegressionScores, TrainError> {
        self.scale_back(&mut outputs, width);
        self.regression(truth, &outputs, width)
    }

    /// The shares of outputs, one a class and the largest the answer, that are right.
    pub fn class_shares(
        &self,
        outputs: &[f32],
        classes: &[String],
    ) -> Result<ClassShares, TrainError> {
        let mut confusion = ConfusionMatrix::new(classes.len());
        let rows = outputs.chunks_exact(classes.len().max(1));
        for (&index, row) in self.indices.iter().zip(rows) {
            let truth = self.split.class(index).map(usize::from);
            truth.map_or(Ok(()), |truth| confusion.add(truth, argmax(row)))?;
        }
        Ok(ClassificationReport::new(&confusion, classes)?.shares())
    }

    fn classification(
        &self,
        outputs: &[f32],
        classes: &[String],
    ) -> Result<Classification, TrainError> {
        let mut confusion = ConfusionMatrix::new(classes.len());
        let mut mistakes = Vec::new();
        for (&index, row) in self
            .indices
            .iter()
            .zip(outputs.chunks(classes.len().max(1)))
        {
            let Some(truth) = self.split.class(index).map(usize::from) else {
                continue;
            };
            let predicted = argmax(row);
            confusion.add(truth, predicted)?;
            if truth != predicted {
                mistakes.push(Mistake {
                    index,
                    truth,
                    predicted,
                    probability: probability(row, predicted),
                });
            }
        }
        mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        mistakes.truncate(MISTAKES);
        let report = ClassificationReport::new(&confusion, classes)?;
        Ok(Classification {
            accuracy: confusion.accuracy(),
            macro_f1: report.macro_avg.f1,
            report,
            confusion,
            mistakes,
            baselines: Vec::new(),
            permutation: self.permutation(outputs, classes.len()),
        })
    }

    /// A permutation test of the answers to sequences: trials in another order, bins of one recording shifted in a circle.
    fn permutation(&self, outputs: &[f32], classes: usize) -> Option<PermutationTest> {
        let Shape::Sequence { .. } = self.split.shape() else {
            return None;
        };
        let rows = self.indices.iter().zip(outputs.chunks(classes.max(1)));
        let pairs = rows.filter_map(|(&index, row)| {
            let truth = self.split.class(index).map(usize::from)?;
            Some((truth, argmax(row)))
        });
        let (truths, answers): (Vec<usize>, Vec<usize>) = pairs.unzip();
        let (truths, answers) = (truths.as_slice(), answers.as_slice());
        let samples = truths.len();
        let (fewest, most) = ROUNDS;
        let rounds = (ROUNDS_WORK / samples.max(1)).clamp(fewest, most);
        let shifted = self.split.starts().is_some();
        if shifted {
            // As far apart as they can be; a shift by nothing is no round.
            let rounds = rounds.min(samples.saturating_sub(1));
            return PermutationTest::new(truths, answers, shifted, rounds, |round| {
                let mut truths = truths.to_vec();
                truths.rotate_left((round + 1) * samples / (rounds + 1));
                truths
            });
        }
        PermutationTest::new(truths, answers, shifted, rounds, |round| {
            let mut truths = truths.to_vec();
            shuffle(&mut truths, 0, round as u64, Purpose::Permutation);
            truths
        })
    }
}

/// Scores a model file on the test part of a data set, `batch` samples at a time.
///
/// # Errors
/// [`TrainError::Mismatch`] when sample shape or targets differ from the model's, or a class is none of its classes,
/// [`TrainError::NonFiniteOutput`] when the network gives NaN or infinity for a sample.
pub fn evaluate(
    file: &ModelFile,
    dataset: &Dataset,
    device: &OpenDevice,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    let test = TestPart::new(file, dataset, observer)?;
    let samples = test.samples();
    on(device, || {
        let network = file.network(device.burn())?;
        let (mut evaluation, outputs) =
            samples.evaluate(&network, &file.task, device.burn(), batch, observer)?;
        samples.explain(&mut evaluation, dataset, &outputs)?;
        Ok(evaluation)
    })
}

/// Adds the [baselines](crate::metrics::Baseline) of a recording to the scores on its test part, as a run with this limit and
/// this seed of the data has them; other evaluations stay as they are, and so do those of a model that reconstructs what it sees,
/// which a regression on the same would do without error. The task is that of the model.
///
/// # Errors
/// [`TrainError`] when memory does not hold them.
pub fn compare(
    evaluation: &mut Evaluation,
    task: &Task,
    dataset: &Dataset,
    limit_train: Option<usize>,
    data_seed: u64,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    if dataset.reconstructs {
        return Ok(());
    }
    with_regression(dataset, task, (limit_train, data_seed), |learnt, tested| {
        baseline::add(
            evaluation,
            learnt,
            tested,
            &dataset.classes,
            data_seed,
            observer,
        )
    })
}
