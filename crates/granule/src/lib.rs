//! Train, evaluate and ship neural models on any CPU or GPU, on [Burn].
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
//! answers bad input with an error. [`Predictor`](models::Predictor) serves models with real-valued outputs. Another
//! device than the CPU is opened by name:
//!
//! ```no_run
//! use granule::prelude::*;
//!
//! let device = DeviceSpec::Auto.open()?;
//! let classifier = Classifier::from_path("model.granule", device.burn())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
# Training

```no_run
use granule::prelude::*;
use granule::train::{Quiet, train};

let mut config = RunConfig::default();
config.model = ModelConfig::from_name("lenet")?;
let outcome = train(&config, None, &mut Quiet, &StopFlag::new())?;
println!("{}", outcome.run_dir.display());
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
//! | `plot` | figures of simulations as SVG or pixels |
//! | `schema` | `train::schema`: every key of the configurations with its help, and their JSON Schema |
//! | `burn-train` | Burn's own learner for the models, see `examples/burn_learner.rs` |
//!
//! By default `flex`, `ndarray`, `wgpu`, `train` and `fetch` are on.
//!
//! [Burn]: https://burn.dev
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::path::Path;

pub use burn;
#[cfg(feature = "burn-train")]
pub use burn_train;
#[cfg(feature = "train")]
pub use granule_data as data;
pub use granule_device as device;
pub use granule_dynamics as dynamics;
pub use granule_io as io;
pub use granule_models as models;
#[cfg(feature = "train")]
pub use granule_train as train;

pub use granule_models::{Classifier, Prediction};

/// What most programs need.
pub mod prelude {
    pub use crate::device::{DeviceSpec, OpenDevice};
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
