//! The loop.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use granule_data::task::Part;
use granule_device::OpenDevice;
use granule_io::words::counted;
use granule_models::state::{load_state_dict, state_dict};
use granule_models::{Model as _, ModelFile, Network, StateDict};
use granule_ops::Bf16Arithmetic;

use crate::checkpoint::{Checkpoint, Snapshot, Store, damaged, weights_fit};
use crate::config::{ClassWeights, Compute, Keep, Lengthened, Monitor, RunConfig, ScheduleConfig};
use crate::engine::gathered::{Gathered, Waiting};
use crate::engine::problem::Problem;
use crate::engine::source::Supply;
use crate::event::{EpochEvent, Event, Observer, ScoreEvent, StartEvent, StopFlag};
use crate::folder::{CURVES, CURVES_BLOCKED, ConfigFile, Lock};
use crate::loss::LossFunction;
use crate::optimizer::{Optimizer, all_finite};
use crate::outcome::Outcome;
use crate::progress::{Best, Course, Progress};
use crate::record::{EpochRow, RunRecorder};
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::{ConfigError, TrainError};

/// The most epochs of a run that end in a checkpoint.
const MOST_CHECKPOINTS: usize = 100;
/// An epoch has grown worse than no training when its mean loss is so many times that of the first step, or 1 where that
/// was less.
const GROWN: f64 = 10.0;
/// Weights of classes and weight decay beyond these are what a divergence comes from.
const HEAVY: f64 = 1e3;
const STRONG: f64 = 10.0;
/// A bound of the gradient's norm below which a run learns next to nothing.
const LEAST_NORM: f64 = 1e-6;

/// One run in one process.
pub(crate) struct Session<'a> {
    pub config: &'a RunConfig,
    pub problem: &'a Problem<'a>,
    pub device: &'a OpenDevice,
    pub run_dir: &'a Path,
    pub observer: &'a mut dyn Observer,
    pub stop: &'a StopFlag,
    pub lock: &'a Lock,
    pub recorder: RunRecorder,
    pub store: Store,
    pub progress: Progress,
    /// Collected for the report.
    pub warnings: Vec<String>,
    /// Absent only inside a step.
    pub(super) network: Option<Network>,
    pub(super) optimizer: Optimizer,
    pub(super) loss: LossFunction,
    /// Training device, with autodiff.
    pub(super) train_device: Device,
    pub(super) batches_per_epoch: usize,
    pub(super) steps_per_epoch: usize,
    /// Trainable numbers in the model.
    pub(super) parameters: usize,
    pub(super) waiting: Vec<Waiting>,
    /// The batches of the step under way; none between two steps.
    pub(super) gathered: Gathered,
    /// Seconds inside forward, backward and update.
    pub(super) step_seconds: f64,
    pub(super) clock: Clock,
    /// Why it is longer than was asked for.
    pub(super) lengthened: Option<Lengthened>,
    /// Whether it was said that the loss grows.
    warned_of_growth: bool,
    config_file: ConfigFile,
}

/// Adds the time since an epoch, or its rest, began to what earlier processes spent.
pub(super) struct Clock {
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

    pub(super) fn advance(&self, progress: &mut Progress) {
        let elapsed = self.begun.elapsed().as_secs_f64();
        progress.seconds = self.seconds + elapsed;
        progress.train_seconds = self.train_seconds + elapsed;
        progress.sums.seconds = self.epoch_seconds + elapsed;
    }
}

/// How a stretch of training ended.
pub(crate) enum End {
    /// All epochs are done, or early stopping ended them.
    Finished,
    /// The stop flag was set; the checkpoint is on disk.
    Interrupted,
}

/// The network of a configuration with the weights of its seed, on the training device.
pub(crate) fn network(
    config: &RunConfig,
    problem: &Problem<'_>,
    device: &OpenDevice,
) -> Result<Network, TrainError> {
    let (input, outputs) = (&problem.input.shape, problem.task.learnt_outputs());
    let device = device.burn().clone().autodiff();
    let network = config.model.init(input, outputs, config.seed, &device)?;
    check_layers(config, &network)?;
    Ok(network.answering(problem.task.outputs()))
}

/// Refuses products in bfloat16 of a model that has others.
fn check_layers(config: &RunConfig, network: &Network) -> Result<(), ConfigError> {
    if config.train.compute == Compute::F32 || network.has_bf16() {
        return Ok(());
    }
    let allowed = format!(
        "\"f32\" for this model, {}: \"bf16\" is for models whose products are all of dense layers and convolutions, as mlp, \
         lenet, cnn and resnet",
        config.model.name()
    );
    Err(ConfigError::new("train.compute", "\"bf16\"", allowed))
}

/// What computes the products of a run in bfloat16 on this machine; none where it has none.
pub(crate) fn arithmetic(config: &RunConfig) -> Option<&'static str> {
    match config.train.compute {
        Compute::F32 => None,
        Compute::Bf16 => Some(Bf16Arithmetic::of_this_processor().name()),
    }
}

/// The optimiser of a configuration, at its beginning.
pub(crate) fn optimizer(config: &RunConfig, network: &Network, device: &OpenDevice) -> Optimizer {
    let (rule, clip) = (&config.optimizer, config.train.clip_norm);
    Optimizer::new(rule, clip, network, device.is_host())
}

/// Refuses a checkpoint that this run cannot have written, with the first thing in it that cannot be.
pub(crate) fn fits(
    checkpoint: &Checkpoint,
    config: &RunConfig,
    problem: &Problem<'_>,
    network: &Network,
    optimizer: &Optimizer,
) -> Result<(), String> {
    let progress = &checkpoint.progress;
    if progress.fingerprint != problem.source.fingerprint() {
        return Err("it learnt from other data".to_owned());
    }
    let settings = Settings::of(config).and_then(|settings| progress.settings.check(&settings));
    settings.map_err(|error| error.to_string())?;
    progress.check_in(&Course::of(config, problem.source.len(Part::Train)))?;
    weights_fit(network, &checkpoint.model.state)?;
    optimizer.check(&checkpoint.optimizer)
}

impl<'a> Session<'a> {
    /// A run at its beginning, with a [`network`].
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: &'a RunConfig,
        problem: &'a Problem<'a>,
        device: &'a OpenDevice,
        lock: &'a Lock,
        network: Network,
        optimizer: Optimizer,
        recorder: RunRecorder,
        observer: &'a mut dyn Observer,
        stop: &'a StopFlag,
    ) -> Result<Self, TrainError> {
        let train_device = device.burn().clone().autodiff();
        let mut progress = Progress::new(problem.source.fingerprint(), Settings::of(config)?);
        progress.devices.push((0, device.spec().to_string()));
        if let Some(arithmetic) = arithmetic(config) {
            progress.compute_by(arithmetic);
        }
        let batches_per_epoch = config
            .train
            .batches_per_epoch(problem.source.len(Part::Train));
        let steps_per_epoch = config
            .train
            .steps_per_epoch(problem.source.len(Part::Train));
        Ok(Self {
            optimizer,
            store: Store::new(lock.run_dir(), config.train.keep_checkpoints),
            clock: Clock::new(&Progress::default()),
            progress,
            warnings: problem.source.warnings().to_vec(),
            parameters: network.parameter_count(),
            network: Some(network),
            waiting: Vec::new(),
            gathered: Gathered::default(),
            step_seconds: 0.0,
            warned_of_growth: false,
            config_file: ConfigFile::new(lock.run_dir()),
            lengthened: None,
            config,
            problem,
            device,
            run_dir: lock.run_dir(),
            lock,
            recorder,
            observer,
            stop,
            loss: LossFunction::training(
                &config.train,
                problem.source.class_weights(&config.train)?,
            )
            .of_counts(problem.source.rates()),
            train_device,
            batches_per_epoch,
            steps_per_epoch,
        })
    }

    /// Goes back to a checkpoint that [`fits`].
    pub fn restore(&mut self, path: &Path, checkpoint: Checkpoint) -> Result<(), TrainError> {
        let network = load_state_dict(self.take_network()?, &checkpoint.model.state)
            .map_err(|error| error.in_file(path))?;
        self.network = Some(network);
        self.optimizer
            .load_state_dict(
                checkpoint.optimizer,
                checkpoint.progress.before.steps + checkpoint.progress.global_step,
                self.device.burn(),
            )
            .map_err(|reason| damaged(path, reason))?;
        self.progress = checkpoint.progress;
        let device = self.device.spec().to_string();
        if let Some((_, before)) = self.progress.devices.last()
            && *before != device
        {
            let (before, step) = (before.clone(), self.progress.global_step);
            self.progress.devices.push((step, device.clone()));
            self.warn(format!(
                "the run was on {before} and goes on on {device} after step {step}: it ends where a run on one device \
                 does within the error of rounding, not bit for bit"
            ));
        }
        if let Some(now) = arithmetic(self.config)
            && let Some(changed) = self.progress.compute_by(now)
        {
            self.warn(changed);
        }
        Ok(())
    }

    /// Which weights are the result.
    pub fn keep(&self) -> Keep {
        let validated = self.problem.source.len(Part::Validation) > 0;
        self.config
            .train
            .keep
            .of(validated, self.problem.has_classes())
    }

    /// Trains until the end, early stopping or the stop flag.
    pub fn run(&mut self, resumed_from: Option<&Path>) -> Result<End, TrainError> {
        self.observer.event(&Event::Start(StartEvent {
            run_dir: self.run_dir,
            config: self.config,
            parameters: self.parameters,
            steps_per_epoch: self.steps_per_epoch,
            total_steps: self.total_steps(),
            lengthened: self.lengthened,
            done_steps: self.progress.global_step,
            resumed_from,
            parent: self.progress.before.parent.as_deref(),
            keep: self.keep(),
        }));
        self.tell_what_is_idle();
        self.tell_what_is_emulated();
        let supply = self.problem.source.supply(self.config, self.device)?;
        while self.progress.epoch < self.config.train.epochs && !self.progress.stopped_early {
            if let End::Interrupted = self.epoch(&*supply)? {
                return Ok(End::Interrupted);
            }
        }
        Ok(End::Finished)
    }

    fn epoch(&mut self, supply: &dyn Supply) -> Result<End, TrainError> {
        self.clock = Clock::new(&self.progress);
        // A run that continues another one draws what that one would have drawn next.
        let epoch = (self.progress.before.epochs + self.progress.epoch) as u64;
        let first = self.progress.step_in_epoch;
        self.begin_turn(first);
        let first = first * self.config.train.accumulate.max(1);
        supply.epoch(epoch, first, &mut |work| {
            if self.step(work)? {
                return self.after_step();
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if self.progress.step_in_epoch < self.steps_per_epoch {
            return Ok(End::Interrupted);
        }
        self.end_epoch()?;
        self.progress.seconds = self.clock.seconds + self.clock.begun.elapsed().as_secs_f64();
        let stopped = self.stop.is_stopped();
        if stopped || self.checkpoint_is_due() {
            let path = self.save()?;
            if stopped {
                self.tell_interrupted(&path);
                return Ok(End::Interrupted);
            }
        }
        Ok(End::Finished)
    }

    /// Whether the epoch just done ends in a checkpoint: of short epochs by the hundred not every one does, which would
    /// take longer than the training.
    fn checkpoint_is_due(&self) -> bool {
        let (epoch, epochs) = (self.progress.epoch, self.config.train.epochs);
        epoch >= epochs
            || self.progress.stopped_early
            || epoch.is_multiple_of(epochs.div_ceil(MOST_CHECKPOINTS).max(1))
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
        let classes = self.problem.has_classes();
        let epoch = self.progress.epoch + 1;
        let learning_rate = self.learning_rate(self.progress.global_step.saturating_sub(1));
        let score = self.validate(epoch)?;
        let best = score.is_some_and(|score| score.best);
        if let Some(score) = score {
            self.take_score(score)?;
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
            learning_rate,
            seconds: sums.seconds,
            images_per_second: sums.samples as f64 / sums.seconds.max(1e-9),
            remaining_seconds: self.remaining_seconds(),
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
        self.warn_of_growth(epoch, event.train_loss);
        if self.progress.stopped_early {
            self.observer.event(&Event::EarlyStop {
                epoch,
                monitor: self.config.train.monitor,
                improved: epoch - self.progress.early_stopping.stale().min(epoch),
                min_delta: self
                    .config
                    .train
                    .early_stopping
                    .map_or(0.0, |early| early.min_delta),
                keep: self.keep(),
                best_epoch: self.progress.best.map_or(epoch, |best| best.epoch),
            });
        }
        Ok(())
    }

    /// Says once that a run learns nothing but grows, which need not end in a loss that is not finite.
    fn warn_of_growth(&mut self, epoch: usize, loss: f64) {
        let first = self.progress.first_loss;
        if self.warned_of_growth || loss <= GROWN * first.max(1.0) {
            return;
        }
        self.warned_of_growth = true;
        self.warn(format!(
            "the training loss of epoch {epoch} is {loss:.3e}, that of the first step was {first:.3e}: the training diverges; \
             lower optimizer.lr or set train.clip_norm"
        ));
    }

    fn validate(&mut self, epoch: usize) -> Result<Option<ScoreEvent>, TrainError> {
        if self.problem.source.len(Part::Validation) == 0 {
            return Ok(None);
        }
        let network = burn::module::Module::valid(self.network()?);
        let (device, batch) = (self.device.burn(), self.config.train.batch_size.max(64));
        let score = self
            .problem
            .source
            .validate(&network, device, batch)
            .map_err(|error| self.after_training(error));
        let (loss, accuracy) = match score {
            Err(error @ TrainError::NonFiniteOutput { .. }) => {
                self.finite_state()?;
                return Err(error);
            }
            score => score?,
        };
        let (score, keep) = (self.score(accuracy), self.keep());
        let best = self.progress.best;
        let event = ScoreEvent {
            epoch,
            loss,
            accuracy,
            best: best.is_none_or(|best| best.is_beaten_by(loss, score, keep)),
        };
        self.observer.event(&Event::Validation(event));
        Ok(Some(event))
    }

    /// The accuracy where it decides which weights are best.
    fn score(&self, accuracy: Option<f64>) -> Option<f64> {
        accuracy.filter(|_| self.problem.has_classes())
    }

    /// Keeps the best weights and counts epochs without improvement.
    fn take_score(&mut self, score: ScoreEvent) -> Result<(), TrainError> {
        if score.best {
            let accuracy = self.score(score.accuracy);
            self.progress.best = Some(Best::new(score.epoch, score.loss, accuracy));
            let model = self.model(score.epoch)?;
            self.lock.check()?;
            self.store.save_best(&self.progress, &model)?;
        }
        let progress = &mut self.progress;
        let early = self.config.train.early_stopping;
        let monitored = match (self.config.train.monitor, score.accuracy) {
            (Monitor::Loss, _) => score.loss,
            (Monitor::Accuracy, Some(accuracy)) => -accuracy,
            (Monitor::Accuracy, None) => {
                let allowed = "\"loss\" where nothing is right or wrong";
                return Err(ConfigError::new("train.monitor", "\"accuracy\"", allowed).into());
            }
        };
        if let Some(early) = early {
            let stopping = &mut progress.early_stopping;
            progress.stopped_early = stopping.ends(monitored, early.min_delta, early.patience);
        }
        if let ScheduleConfig::Plateau(plateau) = &self.config.schedule {
            let (patience, min_delta) = (plateau.patience, plateau.min_delta);
            if progress.plateau.ends(monitored, min_delta, patience) {
                progress.plateau.renew();
                progress.falls += 1;
            }
        }
        Ok(())
    }

    fn save(&mut self) -> Result<PathBuf, TrainError> {
        let model = self.model(self.progress.epoch)?;
        self.lock.check()?;
        // Rows must be on disk before the checkpoint that says they are.
        self.recorder.sync()?;
        let optimizer = self.optimizer.state()?;
        all_finite(&optimizer).map_err(|reason| TrainError::NonFiniteWeights {
            step: self.progress.global_step,
            reason,
            advice: self.advice(),
            checkpoint: self.store.latest_path(),
        })?;
        let path = self.store.save(Snapshot {
            progress: &self.progress,
            model: &model,
            optimizer,
        })?;
        self.check_files(&path)?;
        self.observer.event(&Event::Checkpoint {
            path: &path,
            step: self.progress.global_step,
        });
        Ok(path)
    }

    /// Refuses to go on without the files of the run, once `saved` has the weights and the rows are on the disk.
    pub(super) fn check_files(&mut self, saved: &Path) -> Result<(), TrainError> {
        self.lock.check_files(saved)?;
        if let Some(changed) = self.config_file.told() {
            self.warn(changed);
        }
        match self.recorder.lost() {
            None => Ok(()),
            Some((path, how)) => Err(TrainError::FileLost {
                path: path.to_owned(),
                how,
                lost: if path.is_file() || !path.exists() {
                    CURVES
                } else {
                    CURVES_BLOCKED
                },
                saved: saved.to_owned(),
            }),
        }
    }

    /// What to change in a run that diverges: the setting that is far beyond what is usual, else the learning rate.
    pub(super) fn advice(&self) -> String {
        let train = &self.config.train;
        let (lr, decay) = (
            self.config.optimizer.lr(),
            self.config.optimizer.weight_decay(),
        );
        let most = match &train.class_weights {
            Some(ClassWeights::Each(weights)) => weights.iter().copied().fold(0.0, f64::max),
            _ => 1.0,
        };
        if most > HEAVY {
            format!(
                "the losses are weighted by up to {most:.3e}: give train.class_weights near 1, of which only the ratios matter"
            )
        } else if decay >= STRONG && lr * decay >= 1.0 {
            format!(
                "a step takes {:.3e} times a weight away: lower optimizer.weight_decay = {decay:.3e}, which counts times \
                 optimizer.lr",
                lr * decay
            )
        } else {
            "lower optimizer.lr or set train.clip_norm".to_owned()
        }
    }

    /// Products in bfloat16 without an instruction for them.
    fn tell_what_is_emulated(&mut self) {
        if arithmetic(self.config) == Some(Bf16Arithmetic::Emulated.name()) {
            self.warn(
                "train.compute = \"bf16\" is emulated on this processor, which has no AVX512-BF16: slower than \"f32\", and less exact"
                    .to_owned(),
            );
        }
    }

    /// Settings by which a run learns next to nothing.
    fn tell_what_is_idle(&mut self) {
        let (warmup, total) = (
            self.config.schedule.warmup_steps() as u64,
            self.total_steps(),
        );
        if warmup >= total && warmup > 0 {
            self.warn(format!(
                "schedule.warmup_steps = {warmup}, and the run has {}: the learning rate never reaches optimizer.lr",
                counted(total as usize, "step")
            ));
        }
        if let Some(norm) = self
            .config
            .train
            .clip_norm
            .filter(|norm| *norm > 0.0 && *norm < LEAST_NORM)
        {
            self.warn(format!(
                "train.clip_norm = {norm:e} leaves next to nothing of a gradient; 1 is usual, 0 turns clipping off"
            ));
        }
    }

    /// The model as it stands after so many epochs, if its weights are all finite.
    fn model(&self, epoch: usize) -> Result<ModelFile, TrainError> {
        Ok(ModelFile {
            model: self.config.model.clone(),
            input: self.problem.input.clone(),
            task: self.problem.task.clone(),
            provenance: self.provenance(None, epoch),
            state: self.finite_state()?,
        })
    }

    /// The weights, if they are all finite.
    fn finite_state(&self) -> Result<StateDict, TrainError> {
        // The copy takes the place of the memory of gradients.
        granule_ops::release_kept();
        let state = state_dict(self.network()?)?;
        state
            .check_finite()
            .map_err(|error| TrainError::NonFiniteWeights {
                step: self.progress.global_step,
                reason: error.to_string(),
                advice: self.advice(),
                checkpoint: self.store.latest_path(),
            })?;
        Ok(state)
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

    /// The learning rate of a step, from 0; every turn has the whole course of it.
    pub(super) fn learning_rate(&self, step: u64) -> f64 {
        let steps = self.steps_per_epoch.max(1) as u64;
        let (_, epochs) = self.config.train.turn((step / steps) as usize);
        let (schedule, lr) = (self.config.schedule, self.config.optimizer.lr());
        Schedule::new(schedule, lr, self.steps_per_epoch, epochs.len())
            .after_falls(self.progress.falls)
            .learning_rate(step.saturating_sub(epochs.start as u64 * steps))
    }

    /// Tells of a turn that begins with this epoch, with the whole course of the learning rate.
    fn begin_turn(&mut self, first_step: usize) {
        let train = &self.config.train;
        let (turn, epochs) = train.turn(self.progress.epoch);
        if let Some(turns) = &train.turns
            && let Some(levels) = turns.get(turn)
            && first_step == 0
            && epochs.start == self.progress.epoch
        {
            self.progress.plateau = Default::default();
            self.progress.falls = 0;
            self.observer.event(&Event::Turn {
                turn: turn + 1,
                turns: turns.len(),
                levels,
            });
        }
    }

    /// Says how far training had come, and where to go on from, where a model of equations can no longer be run.
    pub(super) fn after_training(&self, error: TrainError) -> TrainError {
        let step = self.progress.before.steps + self.progress.global_step;
        if step == 0 || !error.may_be_of_training() {
            return error;
        }
        TrainError::Unstable {
            step,
            source: Box::new(error),
            advice: self.advice(),
            checkpoint: self.store.latest_path(),
        }
    }

    pub fn total_steps(&self) -> u64 {
        (self.steps_per_epoch as u64).saturating_mul(self.config.train.epochs as u64)
    }

    pub fn network(&self) -> Result<&Network, TrainError> {
        self.network.as_ref().ok_or_else(lost)
    }

    pub(super) fn take_network(&mut self) -> Result<Network, TrainError> {
        self.network.take().ok_or_else(lost)
    }

    /// The device, and what the products in bfloat16 are computed by, if there are any.
    pub(super) fn computed_on(&self) -> String {
        match arithmetic(self.config) {
            Some(arithmetic) => format!("{}, bf16 ({arithmetic})", self.device.name()),
            None => self.device.name().to_owned(),
        }
    }

    /// The run as it stands, without scores.
    pub fn outcome(&self, interrupted: bool) -> Outcome {
        Outcome {
            run_dir: self.run_dir.to_owned(),
            model_path: None,
            evaluation: None,
            epochs: self.progress.epoch,
            model_epoch: None,
            kept: None,
            parent: self
                .progress
                .before
                .parent
                .as_ref()
                .map(|parent| parent.file.clone()),
            steps: self.progress.global_step,
            seconds: self.progress.seconds,
            step_seconds: self.step_seconds,
            images_per_second: self.progress.samples as f64 / self.progress.train_seconds.max(1e-9),
            device: self.computed_on(),
            interrupted,
            stopped_early: self.progress.stopped_early,
        }
    }
}

fn lost() -> TrainError {
    TrainError::backend("the network was lost in a step that failed")
}
