//! How unusual samples are, by the error with which a model that learnt normal ones reconstructs them.

use granule_data::task::Part;
use granule_data::{Dataset, Normalization, Shape};
use granule_device::OpenDevice;
use granule_io::budget;
use granule_io::words::counted;
use granule_models::{ModelFile, Network, Task};

use super::baseline::gaussian::{Gaussian, usual};
use super::baseline::{folds, glm, ridge, there};
use super::dataset::{Parts, has_counts, input_shape};
use super::opened::on;
use super::samples::{Samples, part_name};
use super::test_part::{other_input, scales_of, whole};
use crate::batch::Scaling;
use crate::config::RunConfig;
use crate::detection::{Detection, Detector, Scored, UnusualScores};
use crate::event::Observer;
use crate::metrics::auroc;
use crate::{ConfigError, TrainError};

/// The test part is divided into so many stretches, and the mean score of each is reported.
const TENTHS: usize = 10;
/// How much a channel counts at most, in units of its usual error, lest one that is silent for long and then is not outweighs all
/// others.
const MOST: f64 = 100.0;
/// What the samples are called that are not unusual.
const NORMAL: &str = "normal";

/// Scores samples by a model that reconstructs them (`data.decoding.reconstruct`), by means and variances of the channels and by
/// their covariances. Thresholds are from samples that were held out of training, never from those that are tested.
pub struct AnomalyDetector<'a> {
    file: &'a ModelFile,
    device: &'a OpenDevice,
    batch: usize,
    network: Network,
    inputs: Normalization,
    targets: Normalization,
    dataset: &'a Dataset,
    learnt: Vec<usize>,
    /// The mean error of each channel in the samples that were learnt from.
    usual: Vec<f64>,
    gaussians: Vec<(&'static str, Gaussian)>,
    /// Of the normal samples, by detector.
    normal: Vec<Vec<f64>>,
    detection: Detection,
}

impl<'a> AnomalyDetector<'a> {
    /// The detector of a run with this configuration, model and data set, whose test part are the normal samples; of those that
    /// are held out of training at most the share `false_alarms` is above the threshold.
    ///
    /// # Errors
    /// [`TrainError::Config`] for a model that does not reconstruct, for a run that held no samples out, or too few of them, and
    /// for a share that is not between 0 and 1; [`TrainError::Mismatch`] where the samples are not those of the model.
    pub fn new(
        file: &'a ModelFile,
        config: &RunConfig,
        dataset: &'a Dataset,
        false_alarms: f64,
        (device, batch): (&'a OpenDevice, usize),
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let is_regression = matches!(file.task, Task::Regression { .. });
        if dataset.learns_inputs {
            return Err(answers_others(config));
        }
        if !(is_regression && dataset.reconstructs) {
            return Err(does_not_reconstruct());
        }
        if !(false_alarms > 0.0 && false_alarms < 1.0) {
            return Err(ConfigError::new("false_alarms", false_alarms, "between 0 and 1").into());
        }
        check_shape(file, dataset)?;
        let (parts, ..) = Parts::new(config, dataset)?;
        let held_out = parts.validation.len();
        if held_out == 0 {
            let allowed = "above 0: the threshold is from samples that are held out of training";
            return Err(ConfigError::new("data.validation", 0, allowed).into());
        }
        if most(held_out, false_alarms) == 0 {
            let allowed = format!(
                "at least {:.4} with {} held out of training: a smaller share of them is not one",
                least_share(held_out),
                counted(held_out, "sample"),
            );
            return Err(ConfigError::new("false_alarms", false_alarms, allowed).into());
        }
        let [inputs, targets] = scales_of(file);
        let mut detector = Self {
            file,
            device,
            batch,
            network: on(device, || Ok(file.network(device.burn())?))?,
            inputs,
            targets,
            dataset,
            learnt: parts.train,
            usual: Vec::new(),
            gaussians: Vec::new(),
            normal: Vec::new(),
            detection: Detection {
                false_alarms,
                held_out,
                normal: dataset.test.len(),
                detectors: Vec::new(),
                scores: Vec::new(),
            },
        };
        detector.usual = detector.usual_errors()?;
        detector.learn(observer)?;
        let validation = dataset.validation.as_ref().unwrap_or(&dataset.train);
        let part = match dataset.validation {
            Some(_) => Part::Validation,
            None => Part::Train,
        };
        let held_out = detector.all(part, detector.samples(validation, &parts.validation))?;
        let tested = whole(&dataset.test)?;
        detector.normal = detector.all(Part::Test, detector.samples(&dataset.test, &tested))?;
        let names = std::iter::once(("this model", None));
        let names = names.chain(
            detector
                .gaussians
                .iter()
                .map(|(name, g)| (*name, g.penalty)),
        );
        let all = names.zip(held_out).zip(&detector.normal);
        let detectors = all.map(|(((name, penalty), held_out), normal)| {
            let threshold = threshold(held_out, false_alarms);
            Detector {
                name: name.to_owned(),
                penalty,
                threshold,
                false_alarms: above(normal, threshold),
                drift: tenths(normal),
                unusual: Vec::new(),
            }
        });
        detector.detection.detectors = detectors.collect();
        detector.keep(NORMAL, detector.normal.first().cloned());
        Ok(detector)
    }

    /// Scores the test part of a data set of unusual samples.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] where they are of other steps or channels.
    pub fn add(&mut self, name: &str, dataset: &Dataset) -> Result<(), TrainError> {
        check_shape(self.file, dataset)?;
        let scores = self.all(
            Part::Test,
            self.samples(&dataset.test, &whole(&dataset.test)?),
        )?;
        let all = self.detection.detectors.iter_mut();
        for ((detector, normal), scores) in all.zip(&self.normal).zip(&scores) {
            detector.unusual.push(UnusualScores {
                name: name.to_owned(),
                samples: scores.len(),
                auroc: auroc(normal, scores),
                detected: above(scores, detector.threshold),
            });
        }
        self.keep(name, scores.into_iter().next());
        Ok(())
    }

    /// What was found.
    pub fn finish(self) -> Detection {
        self.detection
    }

    fn keep(&mut self, name: &str, scores: Option<Vec<f64>>) {
        self.detection.scores.push(Scored {
            name: name.to_owned(),
            scores: scores.unwrap_or_default(),
        });
    }

    fn samples<'s>(&'s self, split: &'s granule_data::Split, indices: &'s [usize]) -> Samples<'s> {
        Samples {
            split,
            indices,
            scaling: Scaling {
                inputs: &self.inputs,
                targets: &self.targets,
                counts: has_counts(&self.file.task),
            },
        }
    }

    /// The mean of the steps of each sample.
    fn design(&self) -> ridge::Design<'_> {
        let (steps, channels) = match self.dataset.train.shape() {
            Shape::Sequence { steps, channels } => (steps, channels),
            _ => (0, 0),
        };
        ridge::Design {
            learnt: self.samples(&self.dataset.train, &self.learnt),
            steps: 0..steps,
            channels,
            weights: Some(vec![1.0 / steps.max(1) as f32; steps]),
            outputs: self.targets.std.len(),
        }
    }

    /// Fits what the model has to beat.
    fn learn(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let design = self.design();
        let mut found = vec![("means and variances", Gaussian::of_variances(&design)?)];
        let starts = self.dataset.train.starts().unwrap_or_default();
        let folds = folds(starts, design.steps.len(), &self.learnt);
        let name = "Mahalanobis distance";
        let fitted = Gaussian::of_covariances(name, &design, &folds, observer);
        if let Some(gaussian) = there(name, fitted, observer)? {
            found.push((name, gaussian));
        }
        self.gaussians = found;
        Ok(())
    }

    /// The scores of samples, by detector.
    fn all(&self, part: Part, samples: Samples<'_>) -> Result<Vec<Vec<f64>>, TrainError> {
        let mut found = vec![self.errors(part, samples)?];
        let design = self.design();
        for (_, gaussian) in &self.gaussians {
            found.push(gaussian.distances(&design, samples)?);
        }
        Ok(found)
    }

    /// The mean over the channels of the model's errors, each in units of what it is in the mean of training.
    fn errors(&self, part: Part, samples: Samples<'_>) -> Result<Vec<f64>, TrainError> {
        let mut errors = budget::with_capacity(samples.indices.len(), "the scores")?;
        let width = self.usual.len().max(1) as f64;
        self.channels(part, samples, |sample| {
            let pairs = sample.zip(&self.usual);
            let sum: f64 = pairs.map(|(error, usual)| (error / usual).min(MOST)).sum();
            errors.push(sum / width);
        })?;
        Ok(errors)
    }

    /// The mean error of each channel in the samples that were learnt from.
    fn usual_errors(&self) -> Result<Vec<f64>, TrainError> {
        let count = self.learnt.len().max(1) as f64;
        let mut sums = vec![0.0; self.targets.std.len()];
        let learnt = self.samples(&self.dataset.train, &self.learnt);
        self.channels(Part::Train, learnt, |sample| {
            sums.iter_mut()
                .zip(sample)
                .for_each(|(sum, error)| *sum += error / count);
        })?;
        usual(&mut sums, f64::MIN_POSITIVE);
        Ok(sums)
    }

    /// Hands what the model's answer is off in each channel to `each`, sample by sample: the square of standardised values, or
    /// half the deviance of counts.
    fn channels(
        &self,
        part: Part,
        samples: Samples<'_>,
        mut each: impl FnMut(&mut dyn Iterator<Item = f64>),
    ) -> Result<(), TrainError> {
        let (rates, width) = (samples.scaling.rates(), self.targets.std.len().max(1));
        let (part, device) = (part_name(part), self.device.burn());
        let mut truth = Vec::new();
        let mut read = |indices: &[usize], outputs: &[f32]| {
            let targets = samples.scaling.targets;
            samples.split.gather_targets(indices, targets, &mut truth)?;
            let rows = outputs.chunks_exact(width).zip(truth.chunks_exact(width));
            for (outputs, truth) in rows {
                let pairs = outputs.iter().zip(truth);
                let pairs = pairs.map(|(&y, &t)| (f64::from(y), f64::from(t)));
                match &rates {
                    Some(rates) => {
                        let pairs = pairs.zip(rates);
                        each(&mut pairs.map(|(pair, rate)| rate * deviance(pair)));
                    }
                    None => each(&mut pairs.map(|(y, t)| (y - t).powi(2))),
                }
            }
            Ok(())
        };
        on(self.device, || {
            samples.run(part, &self.network, device, self.batch, &mut read)
        })
    }
}

/// Half the deviance of a count, in units of its mean, from the logarithm of what is expected.
fn deviance((logarithm, ratio): (f64, f64)) -> f64 {
    let best = if ratio > 0.0 {
        ratio - ratio * ratio.ln()
    } else {
        0.0
    };
    glm::loss(logarithm, ratio) - best
}

fn answers_others(config: &RunConfig) -> TrainError {
    let allowed = "unset: a model that answers with channels held out tells no anomalies in those that it sees";
    let decoding = config.data.decoding();
    match decoding.held_out {
        Some(share) => ConfigError::new("data.decoding.held_out", share, allowed),
        None => {
            let channels = format!("{:?}", decoding.held_out_channels);
            ConfigError::new("data.decoding.held_out_channels", channels, allowed)
        }
    }
    .into()
}

fn does_not_reconstruct() -> TrainError {
    let allowed =
        "true: anomalies are told by how well the model reconstructs the signal that it sees";
    ConfigError::new("data.decoding.reconstruct", false, allowed).into()
}

fn check_shape(file: &ModelFile, dataset: &Dataset) -> Result<(), TrainError> {
    match input_shape(dataset.test.shape()) {
        shape if shape == file.input.shape => Ok(()),
        shape => Err(other_input(file, &shape).of_set(&dataset.name)),
    }
}

/// The least score of which no more than a share of the samples have a higher one.
fn threshold(mut scores: Vec<f64>, share: f64) -> f64 {
    scores.sort_by(|a, b| b.total_cmp(a));
    let most = most(scores.len(), share);
    scores.get(most).copied().unwrap_or(f64::NEG_INFINITY)
}

/// How many of `count` are no more than this share of them.
fn most(count: usize, share: f64) -> usize {
    // A share such as 0.05 of 100 is 5, whatever rounding makes of it.
    (share * count as f64 * (1.0 + 1e-12)).floor() as usize
}

/// The least share of four decimals that is one of `count`.
fn least_share(count: usize) -> f64 {
    (1e4 / count.max(1) as f64).ceil() / 1e4
}

/// The mean of each tenth, all of nearly equal size; of fewer scores than ten each is one.
fn tenths(scores: &[f64]) -> Vec<f64> {
    let count = scores.len().min(TENTHS);
    let parts = (0..count).filter_map(|at| {
        let edge = |at| at * scores.len() / count;
        scores.get(edge(at)..edge(at + 1))
    });
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    parts.map(mean).collect()
}

fn above(scores: &[f64], threshold: f64) -> f64 {
    let count = scores.iter().filter(|score| **score > threshold).count();
    count as f64 / scores.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_share_is_above_the_threshold() {
        let scores: Vec<f64> = (0..100).map(|at| f64::from(at * 37 % 100)).collect();
        for (share, expected) in [(0.05, 94.0), (0.1, 89.0), (0.07, 92.0)] {
            let found = threshold(scores.clone(), share);
            assert_eq!(found, expected);
            assert!((above(&scores, found) - share).abs() < 1e-12);
        }
        // Of equal scores none is above itself.
        assert_eq!(above(&[1.0; 4], threshold(vec![1.0; 4], 0.5)), 0.0);
    }

    #[test]
    fn the_least_share_that_is_named_is_taken() {
        for held_out in (1..3000).chain([9_999, 10_001, 25_000]) {
            let named: f64 = format!("{:.4}", least_share(held_out)).parse().unwrap();
            assert!(most(held_out, named) >= 1, "{named} of {held_out}");
            // One in so many, whatever rounding makes of it.
            assert_eq!(most(held_out, 1.0 / held_out as f64), 1);
        }
        assert_eq!(least_share(49), 0.0205);
        assert_eq!(most(49, 0.0204), 0);
    }

    #[test]
    fn tenths_are_ten_of_nearly_equal_size() {
        for (count, parts) in [(0, 0), (7, 7), (11, 10), (81, 10), (600, 10)] {
            let scores: Vec<f64> = (0..count).map(f64::from).collect();
            let means = tenths(&scores);
            assert_eq!(means.len(), parts);
            let steps = means.windows(2).map(|pair| pair[1] - pair[0]);
            let size = f64::from(count) / parts.max(1) as f64;
            assert!(steps.into_iter().all(|step| (step - size).abs() <= 1.0));
        }
        assert_eq!(tenths(&[1.0, 2.0, 6.0]), [1.0, 2.0, 6.0]);
    }

    #[test]
    fn a_count_that_is_as_expected_has_no_deviance() {
        for ratio in [0.25, 1.0, 4.0_f64] {
            assert!(deviance((ratio.ln(), ratio)).abs() < 1e-12);
            assert!(deviance((ratio.ln() + 0.5, ratio)) > 0.0);
        }
        // None where e^−1 are expected.
        assert!((deviance((-1.0, 0.0)) - (-1.0_f64).exp()).abs() < 1e-12);
    }
}
