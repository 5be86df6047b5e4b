#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod analysis;
mod config;
#[cfg(feature = "plot")]
mod figure;
mod outcome;
pub mod presets;
mod record;
mod resolution;
mod run;
mod samples;
mod shown;
mod snapshot;
mod stimulus;
mod stream;
mod subject;
#[cfg(test)]
#[path = "../../granule-dynamics/src/testing.rs"]
#[allow(dead_code)] // as much of it as the tests here need
mod testing;
#[cfg(test)]
mod tests;
mod whole;

pub use config::{ExperimentConfig, ExperimentModel, FigureKind, RecordConfig};
pub use outcome::{Group, Outcome, Statistics, Trace, TraceStatistics};
pub use presets::Preset;
pub use run::Experiment;
pub use samples::{FileConfig, Interpolation, ReadError, ReadSamples, Samples};
pub use snapshot::{Snapshot, SnapshotError};
pub use stimulus::{NoiseConfig, PulseConfig, SineConfig, StepConfig, StimulusConfig};
pub use stream::{Block, TakeBlock};

#[cfg(test)]
use granule_dynamics::Place;
