//! Simulations as data: what is simulated, for how long, with which method and stimulus, and what is recorded.
//!
//! An [`ExperimentConfig`] holds exactly one model (`unit`, `population`, `system`, `network` or `composite`);
//! [`ExperimentConfig::init`] places it on a device, [`Experiment::run`] runs it and returns an [`Outcome`] with
//! traces, spikes and the last state. [`presets`] has ready-made ones.
//!
//! ```
//! use std::ops::ControlFlow;
//! use granule_dynamics::experiment::ExperimentConfig;
//! use granule_dynamics::Place;
//!
//! # fn run(device: &burn::tensor::Device) -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"{"duration": 150.0, "unit": {"model": "hodgkin-huxley", "current": 10.0}}"#;
//! let config: ExperimentConfig = serde_json::from_str(text)?;
//! let outcome = config.init(&Place::f64(device))?.run(|_, _| ControlFlow::Continue(()))?;
//! println!("{:?}", outcome.spikes[0].times);
//! # Ok(())
//! # }
//! ```

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
mod stimulus;
mod subject;
#[cfg(test)]
mod tests;

pub use config::{ExperimentConfig, ExperimentModel, FigureKind, RecordConfig};
pub use outcome::{Group, Outcome, Trace};
pub use presets::Preset;
pub use run::Experiment;
pub use samples::{FileConfig, Interpolation, ReadError, ReadSamples, Samples};
pub use stimulus::{NoiseConfig, PulseConfig, SineConfig, StepConfig, StimulusConfig};
