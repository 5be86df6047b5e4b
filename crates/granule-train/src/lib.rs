#![doc = include_str!("../README.md")]
//!
//! - [`RunConfig`] is a whole run as data; [`train`] carries it out, [`resume`] goes on with an interrupted one,
//!   [`evaluate`] scores a model file on a data set. [`StartConfig`] trains a finished run further, or begins from weights.
//! - [`fine_tune`] gives a trained model new classes, in memory.
//! - [`train_on`] learns from an [`Objective`] of the program's own: its data, its loss, its scores.
//! - An [`Observer`] hears of every step; a [`StopFlag`] ends a run at the next step with a checkpoint.
//! - [`metrics`] scores predictions, [`record`] writes what a run leaves behind.
//!
//! A run is decided by its configuration and seed alone: the order of the samples, augmentation and dropout are drawn
//! on the host from (seed, epoch, step), so a resumed run takes the steps the uninterrupted one would have taken.
//!
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
mod batches;
mod checkpoint;
pub mod config;
pub mod detection;
mod engine;
mod error;
mod event;
mod fine_tune;
mod folder;
pub mod importance;
mod loss;
pub mod metrics;
mod objective;
pub(crate) mod optimizer;
mod outcome;
#[cfg(feature = "probe")]
pub mod probe;
mod progress;
pub mod receptive;
pub mod record;
mod recording;
mod resident;
pub mod schedule;
#[cfg(feature = "schema")]
pub mod schema;
mod settings;
mod trials;

pub use config::{
    ClassWeights, Compute, DataConfig, EarlyStopping, Keep, Lengthened, Loss, Monitor,
    OptimizerConfig, Overrides, RUN_PRESETS, RecordingConfig, RunConfig, RunPreset, ScheduleConfig,
    StartConfig, TrainConfig, TrialsConfig,
};
pub use engine::{
    AnomalyDetector, LayerPlan, Plan, compare, evaluate, evaluate_on, evaluate_recording,
    evaluate_trials, measure_importance, plan, receptive_fields, resume, resume_as, resume_on,
    resume_with, test_samples, train, train_on, train_with,
};
pub use error::TrainError;
pub use event::{EpochEvent, Event, Observer, Quiet, ScoreEvent, StartEvent, StepEvent, StopFlag};
pub use fine_tune::{FineTune, fine_tune};
pub use granule_io::ConfigError;
pub use granule_ops::{join_threads, most_threads};
pub use objective::Objective;
pub use outcome::{
    Classification, Evaluation, Mistake, Outcome, QuantityScores, RecordingScores, Scores,
    TrainedValues, TrialScores,
};
