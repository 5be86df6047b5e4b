#![doc = include_str!("../README.md")]
//!
//! - [`ModelConfig`] describes a model as data; [`ModelConfig::init`] builds a [`Network`] on a device.
//! - [`Mlp`], [`LeNet`], [`Cnn`], [`ResNet`], [`Rate`], [`Gated`], [`Sequential`] and [`MultiGranularity`] are Burn modules that
//!   implement [`Model`]. A program adds its own with [`ModelSettings`] and [`register`].
//! - [`state`] reads and writes all weights of any Burn module by name.
//! - [`ModelFile`] is a trained model in one file: weights, configuration, classes, normalisation, provenance.
//! - [`Classifier`] and [`Predictor`] run such a file on images and arrays, [`Stepper`] a recurrent one step by step.
//!
//! Initial weights and dropout masks are drawn on the host: one seed gives the same ones on every device.
//!
//! # Features
//!
//! - `flex`, `ndarray`: granule's own convolution and pooling on that CPU backend, instead of Burn's.
//! - `burn-train`: `TrainStep` and `InferenceStep` for [`Network`], so that Burn's own learner can train it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod checkpoint;
mod classifier;
mod cnn;
mod config;
mod dropout;
mod error;
mod file;
pub mod folder;
mod gated;
mod input;
mod layers;
#[cfg(feature = "burn-train")]
mod learner;
mod lenet;
mod mlp;
mod model;
mod multi_granularity;
mod outline;
mod parameters;
mod predictor;
mod profile;
mod rate;
mod resnet;
mod sequence;
pub mod sequential;
mod settings;
mod sliding;
pub mod state;
mod stepper;
mod tensors;
mod wilson_cowan;

pub use checkpoint::CheckpointFile;
pub use classifier::{Classifier, Prediction};
pub use cnn::{Cnn, CnnConfig};
pub use config::{ModelConfig, register};
pub use dropout::NoiseStream;
pub use error::ModelError;
pub use file::{Link, ModelFile, Parent, Provenance, Task};
pub use gated::{Gated, GruConfig, LstmConfig};
pub use granule_io::image::{Background, Resize};
pub use granule_ops::Factors;
pub use input::{Brightness, InputShape, InputSpec};
pub use layers::{Activation, Initialization};
#[cfg(feature = "burn-train")]
pub use learner::ClassificationBatch;
pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Mlp, MlpConfig};
pub use model::{Mode, Model, Network, Trace};
pub use multi_granularity::{MultiGranularity, load_levels, load_undescribed};
pub use outline::Outline;
pub use parameters::{Draw, Parameters, Window};
pub use predictor::{Pixels, Predictor, Sample};
pub use profile::Profile;
pub use rate::{Rate, RateConfig};
pub use resnet::{ResNet, ResNetConfig};
pub use sequence::Readout;
pub use sequential::{LayerConfig, Sequential, SequentialConfig};
pub use settings::ModelSettings;
pub use sliding::SlidingWindow;
pub use state::{StateDict, TensorValue};
pub use stepper::{Intervention, Step, Stepper, Units};
pub use tensors::{TensorView, read_tensors, write_tensors};
pub use wilson_cowan::{WilsonCowan, WilsonCowanConfig};

// As the configuration of a rate network has it.
pub use granule_dynamics::population::Initialization as RecurrentInitialization;
