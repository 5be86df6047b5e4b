//! One optimiser step, and what it is counted as.

use std::time::Instant;

use burn::tensor::Tensor;
use granule_models::NoiseStream;

use crate::engine::gathered::{Done, Gathered, Waiting};
use crate::engine::session::Session;
use crate::engine::work::{BatchContext, Contribution, Work};
use crate::error::TrainError;
use crate::event::{Event, StepEvent};
use crate::loss::Tally;
use crate::optimizer::GradientNorm;
use crate::record::StepRow;

/// Steps on a GPU between two readings of the losses: each reading waits for the device.
const GROUP: usize = 16;

/// A run has diverged when a loss is so many times that of its first step, or 1 where that was less: no output of a network
/// that still learns is so far off.
const DIVERGED: f64 = 1e8;

impl Session<'_> {
    /// The levels that learn in this epoch; none when all do.
    fn turn(&self) -> Option<&[String]> {
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
        let context = BatchContext {
            device: self.device,
            train_device: &self.train_device,
            loss: &self.loss,
            noise: self.noise(),
            turn: self.turn(),
            memory: self.config.train.memory.as_ref(),
        };
        let part = work.contribution(context, self.network()?);
        let mut part = part.map_err(|error| self.after_training(error))?;
        self.check_finite(&mut part)?;
        self.take_up(part, begun)
    }

    /// What the layers draw in the batch under way.
    fn noise(&self) -> NoiseStream {
        let accumulate = self.config.train.accumulate.max(1) as u64;
        let steps = self.progress.before.steps + self.progress.global_step;
        let place = steps * accumulate + self.gathered.batches as u64;
        NoiseStream::new(self.config.seed, place).with_factors(self.config.train.compute.factors())
    }

    /// Refuses a batch whose loss, where it is on the host, is not finite.
    fn check_finite(&mut self, part: &mut Contribution) -> Result<(), TrainError> {
        if part.tally.loss.is_finite() {
            return Ok(());
        }
        let mut done = self.begin_step(part.samples);
        done.tally = part.tally;
        done.gradient_norm = Some(part.gradient.norm().value()?);
        Err(self.non_finite(&done))
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
