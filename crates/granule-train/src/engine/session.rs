//! The loop.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use granule_device::OpenDevice;
use granule_models::state::{load_state_dict, state_dict};
use granule_models::{DropoutStream, Network, StateDict};

use crate::batches::{Batch, BatchTruth, Batches};
use crate::checkpoint::{Best, Checkpoint, Progress, Store};
use crate::config::RunConfig;
use crate::engine::problem::Problem;
use crate::engine::score::{Samples, has_classes};
use crate::error::TrainError;
use crate::event::{EpochEvent, Event, Observer, ScoreEvent, StartEvent, StepEvent, StopFlag};
use crate::loss::{LossFunction, Tally, Truth, correct_on_device};
use crate::optimizer::{Gradient, GradientNorm, Optimizer};
use crate::outcome::Outcome;
use crate::record::{EpochRow, RunRecorder, StepRow};
use crate::schedule::Schedule;

/// Steps on a GPU between two readings of the losses: each reading waits for the device.
const GROUP: usize = 16;

/// One run in one process.
pub(crate) struct Session<'a> {
    pub config: &'a RunConfig,
    pub problem: &'a Problem<'a>,
    pub device: &'a OpenDevice,
    pub run_dir: &'a Path,
    pub observer: &'a mut dyn Observer,
    pub stop: &'a StopFlag,
    pub recorder: RunRecorder,
    pub store: Store,
    pub progress: Progress,
    /// Collected for the report.
    pub warnings: Vec<String>,
    /// Absent only inside a step.
    network: Option<Network>,
    optimizer: Optimizer,
    schedule: Schedule,
    loss: LossFunction,
    /// Training device, with autodiff.
    train_device: Device,
    /// The targets of every class, `[classes, classes]`, on a GPU.
    class_rows: Option<Tensor<2>>,
    steps_per_epoch: usize,
    gradient_buffer: Vec<f32>,
    waiting: Vec<Waiting>,
    /// Seconds inside forward, backward and update.
    step_seconds: f64,
    clock: Clock,
}

/// Adds the time since an epoch, or its rest, began to what earlier processes spent.
struct Clock {
    begun: Instant,
    seconds: f64,
    train_seconds: f64,
    epoch_seconds: f64,
}

impl Clock {
    fn new(progress: &Progress) -> Self {
        Self {
            begun: Instant::now(),
            seconds: progress.seconds,
            train_seconds: progress.train_seconds,
            epoch_seconds: progress.sums.seconds,
        }
    }

    fn advance(&self, progress: &mut Progress) {
        let elapsed = self.begun.elapsed().as_secs_f64();
        progress.seconds = self.seconds + elapsed;
        progress.train_seconds = self.train_seconds + elapsed;
        progress.sums.seconds = self.epoch_seconds + elapsed;
    }
}

/// A step on a GPU whose loss was not read yet.
struct Waiting {
    step: Done,
    /// Mean loss, hits and, with clipping, gradient norm; `[1]` each.
    readings: Vec<Tensor<1>>,
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

/// How a stretch of training ended.
pub(crate) enum End {
    /// All epochs are done, or early stopping ended them.
    Finished,
    /// The stop flag was set; the checkpoint is on disk.
    Interrupted,
}

impl<'a> Session<'a> {
    /// A run at its beginning.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: &'a RunConfig,
        problem: &'a Problem<'a>,
        device: &'a OpenDevice,
        run_dir: &'a Path,
        recorder: RunRecorder,
        observer: &'a mut dyn Observer,
        stop: &'a StopFlag,
    ) -> Result<Self, TrainError> {
        let train_device = device.burn().clone().autodiff();
        let outputs = problem.task.outputs();
        let network =
            config
                .model
                .init(&problem.input.shape, outputs, config.seed, &train_device)?;
        let steps_per_epoch = problem.train.len().div_ceil(config.train.batch_size.max(1));
        let loss = LossFunction::training(&config.train);
        let class_rows = (!device.is_host() && has_classes(&problem.dataset.train)).then(|| {
            let rows = TensorData::new(loss.class_rows(outputs), [outputs, outputs]);
            Tensor::from_data(rows, device.burn())
        });
        Ok(Self {
            optimizer: Optimizer::new(
                &config.optimizer,
                config.train.clip_norm,
                &network,
                device.is_host(),
            ),
            schedule: Schedule::new(
                config.schedule,
                config.optimizer.lr(),
                steps_per_epoch,
                config.train.epochs,
            ),
            store: Store::new(run_dir, config.train.keep_checkpoints),
            clock: Clock::new(&Progress::default()),
            progress: Progress::new(&problem.dataset.fingerprint),
            warnings: problem.dataset.warnings.clone(),
            network: Some(network),
            gradient_buffer: Vec::new(),
            waiting: Vec::new(),
            step_seconds: 0.0,
            config,
            problem,
            device,
            run_dir,
            recorder,
            observer,
            stop,
            loss,
            train_device,
            class_rows,
            steps_per_epoch,
        })
    }

    /// Goes back to a checkpoint.
    pub fn restore(&mut self, path: &Path, checkpoint: Checkpoint) -> Result<(), TrainError> {
        if checkpoint.progress.fingerprint != self.problem.dataset.fingerprint {
            return Err(TrainError::OtherData {
                expected: checkpoint.progress.fingerprint,
                found: self.problem.dataset.fingerprint.clone(),
            });
        }
        let network = load_state_dict(self.take_network()?, &checkpoint.model)?;
        self.network = Some(network);
        self.optimizer
            .load_state_dict(
                checkpoint.optimizer,
                checkpoint.progress.global_step,
                self.device.burn(),
            )
            .map_err(|reason| TrainError::Checkpoint {
                path: path.to_owned(),
                reason,
            })?;
        self.progress = checkpoint.progress;
        Ok(())
    }

    /// Trains until the end, early stopping or the stop flag.
    pub fn run(&mut self, resumed_from: Option<&Path>) -> Result<End, TrainError> {
        let parameters = self.network()?.parameter_count();
        self.observer.event(&Event::Start(StartEvent {
            run_dir: self.run_dir,
            config: self.config,
            parameters,
            steps_per_epoch: self.steps_per_epoch,
            total_steps: self.total_steps(),
            done_steps: self.progress.global_step,
            resumed_from,
        }));
        let problem = self.problem;
        let batches = Batches::new(
            &problem.dataset.train,
            problem.normalization(),
            &self.config.data.augmentation,
            &problem.train,
            self.config.train.batch_size,
            self.config.seed,
            self.device,
        )?;
        while self.progress.epoch < self.config.train.epochs && !self.progress.stopped_early {
            if let End::Interrupted = self.epoch(&batches)? {
                return Ok(End::Interrupted);
            }
        }
        Ok(End::Finished)
    }

    fn epoch(&mut self, batches: &Batches<'_>) -> Result<End, TrainError> {
        self.clock = Clock::new(&self.progress);
        let first = self.progress.step_in_epoch;
        batches.run(self.progress.epoch as u64, first, |batch| {
            self.step(batch)?;
            self.after_step()
        })?;
        if self.progress.step_in_epoch < self.steps_per_epoch {
            return Ok(End::Interrupted);
        }
        self.end_epoch()?;
        self.progress.seconds = self.clock.seconds + self.clock.begun.elapsed().as_secs_f64();
        let path = self.save()?;
        if self.stop.is_stopped() {
            self.tell_interrupted(&path);
            return Ok(End::Interrupted);
        }
        Ok(End::Finished)
    }

    /// One optimiser step.
    fn step(&mut self, batch: Batch) -> Result<(), TrainError> {
        let begun = Instant::now();
        let step = self.progress.global_step;
        let mut done = Done {
            step,
            step_in_epoch: self.progress.step_in_epoch,
            samples: batch.len,
            learning_rate: self.schedule.learning_rate(step),
            tally: Tally::default(),
            gradient_norm: None,
        };
        let network = self.take_network()?;
        let mut dropout = DropoutStream::new(self.config.seed, step);
        let outputs = network.forward_train(batch.inputs, &mut dropout);
        let truth = match &batch.truth {
            BatchTruth::HostClasses(classes) if self.device.is_host() => {
                Ok(Truth::Classes(classes))
            }
            BatchTruth::HostValues(values) if self.device.is_host() => Ok(Truth::Values(values)),
            _ => Err(()),
        };
        match truth {
            Ok(truth) => {
                let [_, width] = outputs.dims();
                let shape = outputs.shape();
                let values = outputs
                    .clone()
                    .without_autodiff()
                    .try_into_vec_as::<f32>()
                    .map_err(TrainError::backend)?;
                let mut slope = std::mem::take(&mut self.gradient_buffer);
                done.tally = self.loss.on_host(&values, truth, width, Some(&mut slope));
                let slope = Tensor::from_data(TensorData::new(slope, shape), &self.train_device);
                let gradient = outputs.mul(slope).sum().backward();
                let mut gradient = Gradient::collect(gradient, &network, true)?;
                if !done.tally.loss.is_finite() {
                    done.gradient_norm = Some(gradient.norm().value()?);
                    return Err(self.non_finite(&done));
                }
                let (network, norm) = self.optimizer.step(network, gradient, done.learning_rate)?;
                self.network = Some(network);
                done.gradient_norm = norm.map(GradientNorm::value).transpose()?;
                self.step_seconds += begun.elapsed().as_secs_f64();
                self.progress.step_in_epoch += 1;
                self.progress.global_step += 1;
                self.account(&[done])
            }
            Err(()) => {
                let (targets, classes) = self.targets_on_device(batch.truth, outputs.shape()[1]);
                let loss = self.loss.on_device(outputs.clone(), targets);
                let mut gradient = Gradient::collect(loss.backward(), &network, false)?;
                // The norm of a diverged run is wanted too late to compute it then.
                let norm = gradient.norm();
                let mut readings = vec![loss.without_autodiff()];
                readings.push(match classes {
                    Some(classes) => correct_on_device(outputs.without_autodiff(), classes),
                    None => Tensor::zeros([1], self.device.burn()),
                });
                readings.extend(match norm {
                    GradientNorm::Device(norm) => Some(*norm),
                    GradientNorm::Host(_) => None,
                });
                let (network, _) = self.optimizer.step(network, gradient, done.learning_rate)?;
                self.network = Some(network);
                self.step_seconds += begun.elapsed().as_secs_f64();
                self.progress.step_in_epoch += 1;
                self.progress.global_step += 1;
                self.waiting.push(Waiting {
                    step: done,
                    readings,
                });
                let last = self.progress.step_in_epoch == self.steps_per_epoch;
                match last || self.waiting.len() >= GROUP || self.stop.is_stopped() {
                    true => self.read_waiting(),
                    false => Ok(()),
                }
            }
        }
    }

    /// Targets `[samples, outputs]` and, for classes, their indices.
    fn targets_on_device(
        &self,
        truth: BatchTruth,
        width: usize,
    ) -> (Tensor<2>, Option<Tensor<1, Int>>) {
        let device = self.device.burn();
        let classes = match truth {
            BatchTruth::DeviceValues(values) => return (values.autodiff(), None),
            BatchTruth::HostValues(values) => {
                let samples = values.len() / width.max(1);
                let data = TensorData::new(values, [samples, width]);
                return (Tensor::from_data(data, &self.train_device), None);
            }
            BatchTruth::DeviceClasses(classes) => classes,
            BatchTruth::HostClasses(classes) => {
                let classes: Vec<i32> = classes.into_iter().map(i32::from).collect();
                let len = classes.len();
                Tensor::from_data(TensorData::new(classes, [len]), device)
            }
        };
        let rows = match &self.class_rows {
            Some(rows) => rows.clone().select(0, classes.clone()),
            None => Tensor::zeros([classes.dims()[0], width], device),
        };
        (rows.autodiff(), Some(classes))
    }

    /// Reads the losses of the waiting steps in one go.
    fn read_waiting(&mut self) -> Result<(), TrainError> {
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
                    loss: f64::from(*loss) * step.samples as f64,
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
        let classes = has_classes(&self.problem.dataset.train);
        let epoch = self.progress.epoch + 1;
        for step in steps {
            let samples = step.samples as f64;
            self.recorder.step(&StepRow {
                step: step.step + 1,
                epoch: epoch as u64,
                loss: step.tally.loss / samples,
                accuracy: classes.then(|| step.tally.correct as f64 / samples),
                learning_rate: step.learning_rate,
            })?;
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
        let done = self.progress.global_step;
        let per_step = self.progress.seconds / done.max(1) as f64;
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
            remaining_seconds: per_step * self.total_steps().saturating_sub(done) as f64,
        }));
        Ok(())
    }

    /// Writes the checkpoint that is due, if one is, and heeds the stop flag.
    fn after_step(&mut self) -> Result<ControlFlow<()>, TrainError> {
        if self.progress.step_in_epoch == self.steps_per_epoch {
            return Ok(ControlFlow::Continue(()));
        }
        let stopped = self.stop.is_stopped();
        let due = self
            .config
            .train
            .checkpoint_every_steps
            .is_some_and(|every| self.progress.global_step.is_multiple_of(every as u64));
        if !stopped && !due {
            return Ok(ControlFlow::Continue(()));
        }
        self.read_waiting()?;
        let path = self.save()?;
        if stopped {
            self.tell_interrupted(&path);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Scores the validation part, heeds early stopping and closes the epoch's sums.
    fn end_epoch(&mut self) -> Result<(), TrainError> {
        let classes = has_classes(&self.problem.dataset.train);
        let epoch = self.progress.epoch + 1;
        let score = self.validate(epoch)?;
        let best = score.is_some_and(|score| score.best);
        if let Some(score) = score {
            self.heed(score)?;
        }
        let sums = std::mem::take(&mut self.progress.sums);
        let samples = sums.samples.max(1) as f64;
        let event = EpochEvent {
            epoch,
            epochs: self.config.train.epochs,
            global_step: self.progress.global_step,
            train_loss: sums.loss / samples,
            train_accuracy: classes.then(|| sums.correct as f64 / samples),
            validation_loss: score.map(|score| score.loss),
            validation_accuracy: score.and_then(|score| score.accuracy),
            learning_rate: self
                .schedule
                .learning_rate(self.progress.global_step.saturating_sub(1)),
            seconds: sums.seconds,
            images_per_second: sums.samples as f64 / sums.seconds.max(1e-9),
            best,
        };
        self.recorder.epoch(&EpochRow {
            epoch: epoch as u64,
            step: event.global_step,
            train_loss: event.train_loss,
            train_accuracy: event.train_accuracy,
            validation_loss: event.validation_loss,
            validation_accuracy: event.validation_accuracy,
            learning_rate: event.learning_rate,
            images_per_second: event.images_per_second,
            seconds: event.seconds,
        })?;
        self.progress.epoch = epoch;
        self.progress.step_in_epoch = 0;
        self.observer.event(&Event::Epoch(event));
        if self.progress.stopped_early {
            self.observer.event(&Event::EarlyStop {
                epoch,
                best_epoch: self.progress.best.map_or(epoch, |best| best.epoch),
            });
        }
        Ok(())
    }

    fn validate(&mut self, epoch: usize) -> Result<Option<ScoreEvent>, TrainError> {
        if self.problem.validation.is_empty() {
            return Ok(None);
        }
        let samples = Samples {
            split: &self.problem.dataset.train,
            indices: &self.problem.validation,
            normalization: self.problem.normalization(),
        };
        let network = burn::module::Module::valid(self.network()?);
        let batch = self.config.train.batch_size.max(64);
        let tally = samples.tally(&network, self.device.burn(), batch, self.config.train.loss)?;
        let count = self.problem.validation.len() as f64;
        let loss = tally.loss / count;
        let event = ScoreEvent {
            epoch,
            loss,
            accuracy: has_classes(&self.problem.dataset.train)
                .then(|| tally.correct as f64 / count),
            best: loss.is_finite() && self.progress.best.is_none_or(|best| loss < best.loss),
        };
        self.observer.event(&Event::Validation(event));
        Ok(Some(event))
    }

    /// Keeps the best weights and counts epochs without improvement.
    fn heed(&mut self, score: ScoreEvent) -> Result<(), TrainError> {
        if score.best {
            self.progress.best = Some(Best {
                epoch: score.epoch,
                loss: score.loss,
            });
            let model = self.finite_state()?;
            self.store.save_best(self.progress.clone(), model)?;
        }
        let Some(early) = self.config.train.early_stopping else {
            return Ok(());
        };
        if score.loss < self.progress.reference_loss - early.min_delta {
            self.progress.reference_loss = score.loss;
            self.progress.stale_epochs = 0;
        } else {
            self.progress.stale_epochs += 1;
            self.progress.stopped_early = self.progress.stale_epochs >= early.patience;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<PathBuf, TrainError> {
        let checkpoint = Checkpoint {
            model: self.finite_state()?,
            optimizer: self.optimizer.state_dict()?,
            progress: self.progress.clone(),
        };
        // Rows must be on disk before the checkpoint that says they are.
        self.recorder.sync()?;
        let path = self.store.save(&checkpoint)?;
        self.observer.event(&Event::Checkpoint {
            path: &path,
            step: self.progress.global_step,
        });
        Ok(path)
    }

    /// The weights, if they are all finite.
    fn finite_state(&self) -> Result<StateDict, TrainError> {
        let state = state_dict(self.network()?)?;
        state
            .check_finite()
            .map_err(|error| TrainError::NonFiniteWeights {
                step: self.progress.global_step,
                reason: error.to_string(),
                checkpoint: self.store.latest_path(),
            })?;
        Ok(state)
    }

    fn non_finite(&self, step: &Done) -> TrainError {
        TrainError::NonFinite {
            step: step.step,
            loss: step.tally.loss / step.samples.max(1) as f64,
            learning_rate: step.learning_rate,
            gradient_norm: step.gradient_norm.unwrap_or(f64::NAN),
            checkpoint: self.store.latest_path(),
        }
    }

    fn tell_interrupted(&mut self, checkpoint: &Path) {
        self.observer.event(&Event::Interrupted {
            step: self.progress.global_step,
            checkpoint,
        });
    }

    /// Tells of something and keeps it for the report.
    pub fn warn(&mut self, text: String) {
        self.observer.event(&Event::Warning { text: &text });
        self.warnings.push(text);
    }

    pub fn total_steps(&self) -> u64 {
        (self.steps_per_epoch as u64).saturating_mul(self.config.train.epochs as u64)
    }

    pub fn network(&self) -> Result<&Network, TrainError> {
        self.network.as_ref().ok_or_else(lost)
    }

    fn take_network(&mut self) -> Result<Network, TrainError> {
        self.network.take().ok_or_else(lost)
    }

    /// The run as it stands, without scores.
    pub fn outcome(&self, interrupted: bool) -> Outcome {
        Outcome {
            run_dir: self.run_dir.to_owned(),
            model_path: None,
            evaluation: None,
            epochs: self.progress.epoch,
            model_epoch: None,
            steps: self.progress.global_step,
            seconds: self.progress.seconds,
            step_seconds: self.step_seconds,
            images_per_second: self.progress.samples as f64 / self.progress.train_seconds.max(1e-9),
            device: self.device.name().to_owned(),
            interrupted,
            stopped_early: self.progress.stopped_early,
        }
    }
}

fn lost() -> TrainError {
    TrainError::backend("the network was lost in a step that failed")
}
