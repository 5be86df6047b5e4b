#![doc = include_str!("../README.md")]
//!
//! | to | look at |
//! | --- | --- |
//! | train a classifier | [Training](#training), the module `train` |
//! | change the device | [Devices](#devices), [`device`] |
//! | embed what was trained | [Using a trained model](#using-a-trained-model), [`Classifier`] |
//! | simulate and train neurons | [Neurons](#neurons), [`dynamics`] |
//! | decode neural signals | [Decoding](#decoding), [`Predictor`](models::Predictor) |
//!
//! The command `granule` does the same from a terminal.
//!
#![cfg_attr(
    feature = "train",
    doc = r#"
# Training

```no_run
use granule::prelude::*;
use granule::train::{Quiet, train};

let mut config = RunConfig::default();
config.model = ModelConfig::from_name("lenet")?;
config.device = "cpu".parse()?;
let outcome = train(&config, None, &mut Quiet, &StopFlag::new())?;
println!("{}", outcome.run_dir.display());
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
//! # Devices
//!
//! A word names a device, at run time; what cannot be opened is an error, never another device:
//!
//! ```no_run
//! use granule::prelude::*;
//!
//! let device = "auto".parse::<DeviceSpec>()?.open()?;
//! let classifier = Classifier::from_path("model.granule", device.burn())?;
//! println!("on {}", device.name());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Using a trained model
//!
//! A `model.granule` file holds weights, configuration, class names and normalisation, and so does a checkpoint. Load it
//! from a path, which may be that of a run folder, from bytes or from the program itself, and ask for classes with
//! probabilities:
//!
//! ```no_run
//! let classifier = granule::load("model.granule")?;
//! for (name, probability) in classifier.predict_image_file("digit.png")?.top(3) {
//!     println!("{probability:.3} {name}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```no_run
//! static MODEL: &[u8] = &[]; // include_bytes!("model.granule")
//!
//! let classifier = granule::from_bytes(MODEL)?;
//! let pixels = [0_u8; 28 * 28]; // by channel, row, column
//! let prediction = classifier.predict_pixels(&pixels)?;
//! let (name, probability) = prediction.best();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Classifier`] is `Send + Sync`, takes encoded and decoded images, pixels and values, one by one or in batches, and
//! answers bad input with an error. [`Predictor`](models::Predictor) serves models with real-valued outputs.
//!
//! The smallest form compiles neither download, training nor command line:
//!
//! ```toml
//! granule = { version = "0.1", default-features = false, features = ["flex"] }
//! ```
//!
#![cfg_attr(
    feature = "train",
    doc = r#"
# Neurons

A squid's axon under a current, and the gradient of its mean voltage by a conductance:

```
use std::sync::Arc;
use granule::dynamics::{record, solver::ExponentialEuler};
use granule::prelude::*;

let device = DeviceSpec::Cpu.open()?;
let mut config = HodgkinHuxleyConfig { current: 10.0.into(), ..Default::default() };
config.trainable = vec!["g_na".to_owned()];
let cell = config.init(Arc::new(ExponentialEuler), &Place::f64(&device.burn().clone().autodiff()))?;
let grid = Grid::over(5.0, 0.025)?;
let (voltage, _) = record(&cell.dynamics()?, cell.initial_state(1)?, &NoInput, &grid)?;
let gradients = voltage.mean().backward();
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
#![cfg_attr(
    feature = "train",
    doc = r#"
# Decoding

Spike counts, one row a time bin, and what the animal did then, one row each, in one `.npz` file:

```no_run
use granule::prelude::*;
use granule::train::{Quiet, train};

let mut config = RunConfig::default();
config.data.dataset = "arrays:session.npz".parse()?;
let outcome = train(&config, None, &mut Quiet, &StopFlag::new())?;

let device = DeviceSpec::Cpu.open()?;
let decoder = Predictor::from_path(outcome.run_dir.join("model.granule"), device.burn())?;
let counts = [0.0, 3.0, 1.0, 0.0];
println!("{:?}", decoder.outputs(Sample::Values(&counts))?);
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `flex`, `ndarray` | Burn's CPU backends; `flex` is the faster |
//! | `wgpu`, `vulkan`, `metal`, `cuda` | GPUs |
//! | `fusion`, `autotune` | Burn's kernel fusion and kernel selection on GPUs |
//! | `train` | the modules `train` and `data`: data sets, training, evaluation, reports |
//! | `fetch` | downloads of published data sets |
//! | `simulate` | the module `simulate`: simulations as data, with presets |
//! | `plot` | the module `chart` and figures of simulations, as SVG or pixels |
//! | `schema` | `train::schema`: every key of the configurations with its help, and their JSON Schema |
//! | `burn-train` | Burn's own learner for the models, see `examples/burn_learner.rs` |
//!
//! By default `flex`, `ndarray`, `wgpu`, `simulate`, `train` and `fetch` are on.
//!
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::path::Path;

pub use burn;
#[cfg(feature = "burn-train")]
pub use burn_train;
#[cfg(feature = "plot")]
pub use granule_chart as chart;
#[cfg(feature = "train")]
pub use granule_data as data;
pub use granule_device as device;
pub use granule_dynamics as dynamics;
pub use granule_io as io;
pub use granule_models as models;
#[cfg(feature = "simulate")]
pub use granule_simulate as simulate;
#[cfg(feature = "train")]
pub use granule_train as train;

pub use granule_models::{Classifier, Prediction};

/// What most programs need.
pub mod prelude {
    pub use crate::device::{DeviceSpec, OpenDevice};
    pub use crate::dynamics::unit::{HodgkinHuxleyConfig, UnitConfig};
    // Only its methods: `models::Model` has the same name.
    pub use crate::dynamics::{Grid, Model as _, NoInput, Place};
    pub use crate::models::{
        Classifier, InputShape, InputSpec, Model, ModelConfig, ModelFile, Network, Prediction,
        Predictor, Sample,
    };

    #[cfg(feature = "train")]
    pub use crate::data::{Dataset, DatasetSpec, LoadOptions};
    #[cfg(feature = "train")]
    pub use crate::train::{Evaluation, Event, Observer, Outcome, RunConfig, StopFlag};
}

#[cfg(all(doctest, feature = "train"))]
#[doc = include_str!("../../../README.md")]
mod readme {}

#[cfg(all(doctest, feature = "train"))]
#[doc = include_str!("../../../CONTRIBUTING.md")]
mod contributing {}

/// What can go wrong in [`load`] and [`from_bytes`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CPU cannot be opened: no CPU backend was compiled in.
    #[error(transparent)]
    Device(#[from] device::DeviceError),
    /// The file is not a usable classifier.
    #[error(transparent)]
    Model(#[from] models::ModelError),
}

/// Loads a classifier from a `.granule` file, a checkpoint or the folder of a run, on the CPU.
///
/// # Errors
///
/// [`Error::Model`] for a file that cannot be read or is not a whole classifier, [`Error::Device`] when no CPU backend
/// was compiled in.
pub fn load(path: impl AsRef<Path>) -> Result<Classifier, Error> {
    let device = device::DeviceSpec::Cpu.open()?;
    Ok(Classifier::from_path(path, device.burn())?)
}

/// Loads a classifier from the content of a `.granule` file, on the CPU.
///
/// # Errors
///
/// As for [`load`].
pub fn from_bytes(bytes: &[u8]) -> Result<Classifier, Error> {
    let device = device::DeviceSpec::Cpu.open()?;
    Ok(Classifier::from_bytes(bytes, device.burn())?)
}
