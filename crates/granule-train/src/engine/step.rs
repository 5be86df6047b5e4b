//! One optimiser step, and what it is counted as.

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use granule_models::{Model as _, Network, NoiseStream};

use crate::batch::{Batch, BatchTruth};
use crate::engine::session::Session;
use crate::engine::source::Work;
use crate::error::TrainError;
use crate::event::{Event, StepEvent};
use crate::loss::{DeviceTruth, Tally, Truth, correct_on_device, counted};
use crate::optimizer::{Amount, Gradient, GradientNorm};
use crate::record::StepRow;

/// Steps on a GPU between two readings of the losses: each reading waits for the device.
const GROUP: usize = 16;

/// A run has diverged when a loss is so many times that of its first step, or 1 where that was less: no output of a network
/// that still learns is so far off.
const DIVERGED: f64 = 1e8;

/// A step on a GPU whose loss was not read yet.
pub(super) struct Waiting {
    step: Done,
    /// Mean loss times samples, hits and gradient norm; `[1]` each.
    readings: Vec<Tensor<1>>,
}

/// The batches of an optimiser step so far.
#[derive(Default)]
pub(super) struct Gathered {
    batches: usize,
    sum: Option<Contribution>,
}

/// What one batch, or several, give to an optimiser step.
pub(crate) struct Contribution {
    /// Of the mean loss; of several batches that of the sum, until all are there.
    gradient: Gradient,
    amount: Amount,
    samples: usize,
    /// On the host.
    tally: Tally,
    /// On a device: the mean loss times the number of samples, and hits; `[1]` each.
    readings: Option<[Tensor<1>; 2]>,
}

impl Contribution {
    /// Of samples whose loss is on the host.
    pub fn read(gradient: Gradient, samples: usize, tally: Tally) -> Self {
        Self {
            gradient,
            amount: Amount::Host(samples as f64),
            samples,
            tally,
            readings: None,
        }
    }

    /// Of samples whose mean loss is read later, with that of other steps.
    pub fn waiting(gradient: Gradient, samples: usize, loss: Tensor<1>) -> Self {
        let loss = loss.without_autodiff().mul_scalar(samples as f64);
        let hits = loss.zeros_like();
        Self {
            readings: Some([loss, hits]),
            ..Self::read(gradient, samples, Tally::default())
        }
    }

    fn plus(mut self, other: Self) -> Result<Self, TrainError> {
        self.gradient.add(other.gradient)?;
        Ok(Self {
            gradient: self.gradient,
            amount: self.amount.plus(other.amount),
            samples: self.samples + other.samples,
            tally: Tally {
                loss: self.tally.loss + other.tally.loss,
                correct: self.tally.correct + other.tally.correct,
            },
            readings: match (self.readings, other.readings) {
                (Some([loss, hits]), Some([more_loss, more_hits])) => {
                    Some([loss + more_loss, hits + more_hits])
                }
                _ => None,
            },
        })
    }
}

/// A step done.
#[derive(Debug, Clone, Copy)]
struct Done {
    /// Steps done before.
    step: u64,
    step_in_epoch: usize,
    samples: usize,
    learning_rate: f64,
    tally: Tally,
    gradient_norm: Option<f64>,
}

impl Work for Batch {
    fn contribution(
        self: Box<Self>,
        session: &mut Session<'_>,
        network: &Network,
    ) -> Result<Contribution, TrainError> {
        let outputs = network.forward_train(self.inputs, &mut session.dropout())?;
        let amount = session.amount(&self.truth, self.len);
        let host = session.device.is_host();
        match &self.truth {
            BatchTruth::HostClasses(classes) if host => {
                session.part_on_host(network, outputs, Truth::Classes(classes), amount)
            }
            BatchTruth::HostValues(values) if host => {
                session.part_on_host(network, outputs, Truth::Values(values), amount)
            }
            BatchTruth::Trials { targets, mask } if host => {
                let truth = Truth::Trials { targets, mask };
                session.part_on_host(network, outputs, truth, amount)
            }
            _ => {
                let truth = session.truth_on_device(self.truth, self.len);
                session.part_on_device(network, outputs, truth, amount)
            }
        }
    }
}

impl Session<'_> {
    /// The levels that learn in this epoch; none when all do.
    pub(super) fn turn(&self) -> Option<&[String]> {
        let turns = self.config.train.turns.as_ref()?;
        let (turn, _) = self.config.train.turn(self.progress.epoch);
        turns.get(turn).map(Vec::as_slice)
    }

    fn begin_step(&self, samples: usize) -> Done {
        let step = self.progress.global_step;
        Done {
            step,
            step_in_epoch: self.progress.step_in_epoch,
            samples,
            learning_rate: self.learning_rate(step),
            tally: Tally::default(),
            gradient_norm: None,
        }
    }

    /// One batch; whether that made a whole optimiser step.
    pub(super) fn step(&mut self, work: Box<dyn Work + '_>) -> Result<bool, TrainError> {
        let begun = Instant::now();
        let network = self.take_network()?;
        let part = work
            .contribution(self, &network)
            .map_err(|error| self.after_training(error))?;
        self.network = Some(network);
        self.take_up(part, begun)
    }

    /// What the batch under way draws.
    pub(super) fn dropout(&self) -> NoiseStream {
        let accumulate = self.config.train.accumulate.max(1) as u64;
        let steps = self.progress.before.steps + self.progress.global_step;
        let place = steps * accumulate + self.gathered.batches as u64;
        NoiseStream::new(self.config.seed, place)
    }

    fn amount(&self, truth: &BatchTruth, samples: usize) -> Amount {
        let host = |truth| Amount::Host(self.loss.amount(truth, samples));
        match truth {
            BatchTruth::HostClasses(classes) => host(Truth::Classes(classes)),
            BatchTruth::HostValues(values) => host(Truth::Values(values)),
            BatchTruth::Trials { targets, mask } => host(Truth::Trials { targets, mask }),
            BatchTruth::DeviceValues(_) => Amount::Host(samples as f64),
            BatchTruth::DeviceClasses(classes) => match self.loss.amount_on_device(classes) {
                Some(amount) => Amount::Device(Box::new(amount)),
                None => Amount::Host(samples as f64),
            },
        }
    }

    fn part_on_host(
        &mut self,
        network: &Network,
        outputs: Tensor<2>,
        truth: Truth<'_>,
        amount: Amount,
    ) -> Result<Contribution, TrainError> {
        let [samples, width] = outputs.dims();
        let shape = outputs.shape();
        let values = outputs
            .clone()
            .without_autodiff()
            .try_into_vec_as::<f32>()
            .map_err(TrainError::backend)?;
        let mut slope = Vec::new();
        let tally = self.loss.on_host(&values, truth, width, Some(&mut slope));
        let slope = Tensor::from_data(TensorData::new(slope, shape), &self.train_device);
        let gradient = outputs.mul(slope).sum().backward();
        let mut gradient = Gradient::collect(gradient, network, true)?;
        self.check_finite(samples, tally, &mut gradient)?;
        Ok(Contribution {
            gradient,
            amount,
            samples,
            tally,
            readings: None,
        })
    }

    /// Refuses a batch whose loss is not finite.
    pub(super) fn check_finite(
        &mut self,
        samples: usize,
        tally: Tally,
        gradient: &mut Gradient,
    ) -> Result<(), TrainError> {
        if tally.loss.is_finite() {
            return Ok(());
        }
        let mut done = self.begin_step(samples);
        done.tally = tally;
        done.gradient_norm = Some(gradient.norm().value()?);
        Err(self.non_finite(&done))
    }

    fn part_on_device(
        &self,
        network: &Network,
        outputs: Tensor<2>,
        truth: DeviceTruth,
        amount: Amount,
    ) -> Result<Contribution, TrainError> {
        let [samples, _] = outputs.dims();
        let loss = self.loss.on_device(outputs.clone(), truth.clone());
        let gradient = Gradient::collect(loss.backward(), network, false)?;
        let hits = match truth {
            DeviceTruth::Classes(classes) => correct_on_device(outputs.without_autodiff(), classes),
            DeviceTruth::Values(_) | DeviceTruth::Trials { .. } => {
                Tensor::zeros([1], self.device.burn())
            }
        };
        let loss = loss.without_autodiff().mul_scalar(samples as f64);
        Ok(Contribution {
            gradient,
            amount,
            samples,
            tally: Tally::default(),
            readings: Some([loss, hits]),
        })
    }

    /// Adds a batch to the step under way, and does the step with its last batch.
    fn take_up(&mut self, mut part: Contribution, begun: Instant) -> Result<bool, TrainError> {
        let accumulate = self.config.train.accumulate.max(1);
        if accumulate > 1 {
            part.gradient.multiply(&part.amount)?;
        }
        let gathered = std::mem::take(&mut self.gathered);
        let mut sum = match gathered.sum {
            Some(sum) => sum.plus(part)?,
            None => part,
        };
        let batches = gathered.batches + 1;
        let done = self.progress.step_in_epoch * accumulate + batches;
        if batches < accumulate && done < self.batches_per_epoch {
            self.gathered = Gathered {
                batches,
                sum: Some(sum),
            };
            self.step_seconds += begun.elapsed().as_secs_f64();
            return Ok(false);
        }
        if accumulate > 1 {
            sum.gradient.divide(sum.amount.clone())?;
        }
        self.update(sum, begun)?;
        Ok(true)
    }

    fn update(&mut self, mut part: Contribution, begun: Instant) -> Result<(), TrainError> {
        let mut done = self.begin_step(part.samples);
        done.tally = part.tally;
        // The norm of a diverged run is wanted too late to compute it then.
        let watched = part.readings.is_some().then(|| part.gradient.norm());
        let network = self.take_network()?;
        let (network, norm) = self
            .optimizer
            .step(network, part.gradient, done.learning_rate)?;
        self.network = Some(network);
        let Some(readings) = part.readings else {
            done.gradient_norm = norm.map(GradientNorm::value).transpose()?;
            self.step_seconds += begun.elapsed().as_secs_f64();
            self.progress.step_in_epoch += 1;
            self.progress.global_step += 1;
            return self.account(&[done]);
        };
        self.step_seconds += begun.elapsed().as_secs_f64();
        self.progress.step_in_epoch += 1;
        self.progress.global_step += 1;
        let mut readings = readings.to_vec();
        readings.extend(match watched {
            Some(GradientNorm::Device(norm)) => Some(*norm),
            _ => None,
        });
        self.waiting.push(Waiting {
            step: done,
            readings,
        });
        let last = self.progress.step_in_epoch == self.steps_per_epoch;
        if last || self.waiting.len() >= GROUP || self.stop.is_stopped() {
            self.read_waiting()
        } else {
            Ok(())
        }
    }

    fn truth_on_device(&self, truth: BatchTruth, samples: usize) -> DeviceTruth {
        let device = self.device.burn();
        match truth {
            BatchTruth::DeviceClasses(classes) => DeviceTruth::Classes(classes),
            BatchTruth::DeviceValues(values) => DeviceTruth::Values(values),
            BatchTruth::HostClasses(classes) => {
                let classes: Vec<i32> = classes.into_iter().map(i32::from).collect();
                let data = TensorData::new(classes, [samples]);
                DeviceTruth::Classes(Tensor::from_data(data, device))
            }
            BatchTruth::HostValues(values) => {
                let width = values.len() / samples.max(1);
                let data = TensorData::new(values, [samples, width]);
                DeviceTruth::Values(Tensor::from_data(data, device))
            }
            BatchTruth::Trials { targets, mut mask } => {
                let count = counted(&mask);
                mask.iter_mut()
                    .for_each(|m| *m = (f64::from(*m) / count) as f32);
                let width = targets.len() / samples.max(1);
                let rows = |values| TensorData::new(values, [samples, width]);
                DeviceTruth::Trials {
                    targets: Tensor::from_data(rows(targets), device),
                    weights: Tensor::from_data(rows(mask), device),
                }
            }
        }
    }

    /// Reads the losses of the waiting steps in one go.
    pub(super) fn read_waiting(&mut self) -> Result<(), TrainError> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(width) = waiting.first().map(|first| first.readings.len()) else {
            return Ok(());
        };
        let (steps, readings): (Vec<Done>, Vec<Vec<Tensor<1>>>) = waiting
            .into_iter()
            .map(|waiting| (waiting.step, waiting.readings))
            .unzip();
        let readings = readings.into_iter().flatten().collect();
        let values = Tensor::cat(readings, 0)
            .try_into_vec_as::<f32>()
            .map_err(TrainError::backend)?;
        let mut done = Vec::with_capacity(steps.len());
        for (mut step, row) in steps.into_iter().zip(values.chunks(width)) {
            if let [loss, correct, rest @ ..] = row {
                step.tally = Tally {
                    loss: f64::from(*loss),
                    correct: *correct as u64,
                };
                step.gradient_norm = rest.first().copied().map(f64::from);
            }
            if !step.tally.loss.is_finite() {
                return Err(self.non_finite(&step));
            }
            done.push(step);
        }
        self.account(&done)
    }

    /// Adds steps to the sums and tells of them.
    fn account(&mut self, steps: &[Done]) -> Result<(), TrainError> {
        self.clock.advance(&mut self.progress);
        let classes = self.problem.has_classes();
        let epoch = self.progress.epoch + 1;
        for step in steps {
            self.heed_growth(step)?;
            let row = self.row(step);
            self.recorder.step(&row)?;
            self.progress.samples += step.samples as u64;
            let sums = &mut self.progress.sums;
            sums.loss += step.tally.loss;
            sums.correct += step.tally.correct;
            sums.samples += step.samples as u64;
        }
        let Some(last) = steps.last() else {
            return Ok(());
        };
        let sums = &self.progress.sums;
        let seen: f64 = steps.iter().map(|step| step.samples as f64).sum();
        let loss: f64 = steps.iter().map(|step| step.tally.loss).sum();
        let rate = sums.samples as f64 / sums.seconds.max(1e-9);
        self.observer.event(&Event::Step(StepEvent {
            epoch,
            epochs: self.config.train.epochs,
            step_in_epoch: last.step_in_epoch + 1,
            steps_per_epoch: self.steps_per_epoch,
            global_step: last.step + 1,
            total_steps: self.total_steps(),
            loss: loss / seen.max(1.0),
            mean_loss: sums.loss / sums.samples.max(1) as f64,
            accuracy: classes.then(|| sums.correct as f64 / sums.samples.max(1) as f64),
            learning_rate: last.learning_rate,
            gradient_norm: self.config.train.clip_norm.and(last.gradient_norm),
            images_per_second: rate,
            remaining_seconds: self.remaining_seconds(),
        }));
        Ok(())
    }

    /// Seconds that the steps to come will take, by those that were done.
    pub(super) fn remaining_seconds(&self) -> f64 {
        let done = self.progress.global_step;
        let per_step = self.progress.seconds / done.max(1) as f64;
        per_step * self.total_steps().saturating_sub(done) as f64
    }

    fn row(&self, step: &Done) -> StepRow {
        let samples = step.samples.max(1) as f64;
        let classes = self.problem.has_classes();
        StepRow {
            step: step.step + 1,
            epoch: self.progress.epoch as u64 + 1,
            loss: step.tally.loss / samples,
            accuracy: classes.then(|| step.tally.correct as f64 / samples),
            learning_rate: step.learning_rate,
        }
    }

    /// Stops a run whose loss has left every sensible range, however finite it is; the record keeps the step.
    fn heed_growth(&mut self, step: &Done) -> Result<(), TrainError> {
        let row = self.row(step);
        if step.step == 0 {
            self.progress.first_loss = row.loss;
        }
        let first = self.progress.first_loss;
        if row.loss <= DIVERGED * first.max(1.0) {
            return Ok(());
        }
        self.recorder.failed_step(&row)?;
        Err(TrainError::Diverged {
            step: row.step,
            loss: row.loss,
            first,
            learning_rate: step.learning_rate,
            advice: self.advice(),
            checkpoint: self.store.latest_path(),
        })
    }

    /// The error of a step whose loss is not finite, which the record keeps.
    fn non_finite(&mut self, step: &Done) -> TrainError {
        let row = self.row(step);
        if let Err(error) = self.recorder.failed_step(&row) {
            return error.into();
        }
        TrainError::NonFinite {
            step: row.step,
            loss: step.tally.loss / step.samples.max(1) as f64,
            learning_rate: step.learning_rate,
            gradient_norm: step.gradient_norm.unwrap_or(f64::NAN),
            advice: self.advice(),
            checkpoint: self.store.latest_path(),
        }
    }
}
