//! What a run tells while it works, and how it is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use granule_data::task::{TaskInfo, TaskShape};
use granule_data::{Dataset, Progress};
use granule_device::OpenDevice;
use granule_models::Parent;

use crate::{Keep, Lengthened, Monitor, Outcome, RunConfig};

/// Receives the events of a run, in order, on the training thread.
pub trait Observer {
    /// One thing that happened.
    fn event(&mut self, event: &Event<'_>);

    /// Receives the progress of downloads and long loads.
    fn progress(&self) -> Option<&dyn Progress> {
        None
    }

    /// Whether what is worth having, but not the result, is to be left out: the user has asked to stop.
    fn is_impatient(&self) -> bool {
        false
    }
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn event(&mut self, _event: &Event<'_>) {}
}

/// Asks a run to stop after the current step; clones share the flag, so a signal handler can hold one.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to write a checkpoint and stop.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One thing that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The device is open.
    Device(&'a OpenDevice),
    /// The data are in memory.
    Dataset {
        /// All of it.
        dataset: &'a Dataset,
        /// Samples to learn from.
        train: usize,
        /// Samples held out of the training part.
        validation: usize,
        /// Samples to score on.
        test: usize,
    },
    /// The task is set up; its trials are made when they are needed.
    Task {
        /// What it is.
        task: &'a TaskInfo,
        /// The extents of a trial.
        shape: TaskShape,
        /// The step of a trial, ms.
        dt: f64,
        /// New trials to learn from in every epoch.
        train: usize,
        /// Trials to validate on.
        validation: usize,
        /// Trials to score on.
        test: usize,
        /// Equal for equal trials.
        fingerprint: &'a str,
    },
    /// The recording is in memory.
    Recording {
        /// The file.
        path: &'a Path,
        /// What the model is to show: names and recorded columns.
        quantities: &'a [(String, usize)],
        /// Instants of a trial.
        samples: usize,
        /// From one instant to the next, ms.
        interval: f64,
        /// Trials in all. The parts of a single one are stretches of time.
        trials: usize,
        /// Trials to learn from.
        train: usize,
        /// Trials to validate on.
        validation: usize,
        /// Trials to score on.
        test: usize,
        /// Equal for equal content.
        fingerprint: &'a str,
    },
    /// The objective of the program's own is at hand.
    Objective {
        /// Its name.
        name: &'a str,
        /// Samples to learn from.
        train: usize,
        /// Samples to validate on.
        validation: usize,
        /// Samples to score on.
        test: usize,
        /// Equal for equal data.
        fingerprint: &'a str,
    },
    /// Training begins or goes on.
    Start(StartEvent<'a>),
    /// Other levels of a model learn from here on.
    Turn {
        /// Which turn, from 1.
        turn: usize,
        /// How many there are.
        turns: usize,
        /// The levels that learn in it.
        levels: &'a [String],
    },
    /// Steps were done: one on a CPU, a group on a GPU.
    Step(StepEvent),
    /// The model was scored on the validation part.
    Validation(ScoreEvent),
    /// An epoch is over.
    Epoch(EpochEvent),
    /// A checkpoint is on disk.
    Checkpoint {
        /// The file.
        path: &'a Path,
        /// Optimiser steps done.
        step: u64,
    },
    /// What was recognised in the data and taken for granted.
    Note {
        /// One sentence.
        text: &'a str,
    },
    /// Something the user should know that is not an error.
    Warning {
        /// One sentence.
        text: &'a str,
    },
    /// The monitored score of the validation part no longer improves.
    EarlyStop {
        /// The epoch just done, from 1.
        epoch: usize,
        /// What was monitored.
        monitor: Monitor,
        /// The last epoch in which it improved, by more than `min_delta`; from 1.
        improved: usize,
        /// How much of a change counts as an improvement: `train.early_stopping.min_delta`.
        min_delta: f64,
        /// Which weights are kept: those of the best epoch, if not the last.
        keep: Keep,
        /// The best epoch so far by [`TrainConfig::keep`](crate::TrainConfig::keep), from 1.
        best_epoch: usize,
    },
    /// The stop flag was set; the checkpoint resumes the run.
    Interrupted {
        /// Optimiser steps done.
        step: u64,
        /// The file.
        checkpoint: &'a Path,
    },
    /// The test part, or a part of it, was scored.
    Evaluated {
        /// Samples scored so far.
        done: usize,
        /// Samples in all.
        total: usize,
    },
    /// The run was finished before; nothing is left to do.
    AlreadyFinished {
        /// The run folder.
        run_dir: &'a Path,
    },
    /// The run is over.
    Result(&'a Outcome),
}

/// Training begins or goes on.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartEvent<'a> {
    /// The run folder.
    pub run_dir: &'a Path,
    /// The resolved configuration.
    pub config: &'a RunConfig,
    /// Trainable numbers in the model.
    pub parameters: usize,
    /// Optimiser steps in one epoch.
    pub steps_per_epoch: usize,
    /// Optimiser steps in the whole run.
    pub total_steps: u64,
    /// Why the run is longer than `train.epochs` was set to, if it is.
    pub lengthened: Option<Lengthened>,
    /// Optimiser steps that an earlier process did.
    pub done_steps: u64,
    /// The checkpoint the run goes on from.
    pub resumed_from: Option<&'a Path>,
    /// What the run began from, unless from weights of its own seed.
    pub parent: Option<&'a Parent>,
    /// Which weights will be the result.
    pub keep: Keep,
}

/// Steps were done.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepEvent {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps done in this epoch.
    pub step_in_epoch: usize,
    /// Steps in one epoch.
    pub steps_per_epoch: usize,
    /// Steps done in the run.
    pub global_step: u64,
    /// Steps in the whole run.
    pub total_steps: u64,
    /// Mean loss of the samples since the last event.
    pub loss: f64,
    /// Mean loss of the epoch so far.
    pub mean_loss: f64,
    /// Share of the epoch's samples so far that were classified rightly before their step; classes only.
    pub accuracy: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Global L2 norm of the gradient before clipping; with `train.clip_norm` only.
    pub gradient_norm: Option<f64>,
    /// Samples per second in this epoch so far.
    pub images_per_second: f64,
    /// Estimated seconds until the last step of the run.
    pub remaining_seconds: f64,
}

/// The model was scored on the validation part.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ScoreEvent {
    /// The epoch just done, from 1.
    pub epoch: usize,
    /// Mean loss, without label smoothing.
    pub loss: f64,
    /// Share classified rightly; classes only.
    pub accuracy: Option<f64>,
    /// Whether the epoch is the best so far by [`TrainConfig::keep`](crate::TrainConfig::keep).
    pub best: bool,
}

/// An epoch is over.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EpochEvent {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Steps done in the run.
    pub global_step: u64,
    /// Mean loss over the epoch's steps.
    pub train_loss: f64,
    /// Share classified rightly before each sample's step; classes only.
    pub train_accuracy: Option<f64>,
    /// Mean loss on the validation part.
    pub validation_loss: Option<f64>,
    /// Share of the validation part classified rightly.
    pub validation_accuracy: Option<f64>,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Seconds spent in the epoch's steps, over all processes that worked on it.
    pub seconds: f64,
    /// Samples per second in the epoch's steps.
    pub images_per_second: f64,
    /// Seconds that the rest of the run will take, by the steps so far.
    pub remaining_seconds: f64,
    /// Whether the epoch is the best so far by [`TrainConfig::keep`](crate::TrainConfig::keep).
    pub best: bool,
}
