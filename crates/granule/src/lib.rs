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

A run is a folder with the model, its report and its checkpoints; the digits are drawn, so that nothing is downloaded:

```
use granule::prelude::*;

let mut config = RunConfig::default();
config.model = ModelConfig::from_name("mlp")?;
config.data.limit_train = Some(500);
config.train.epochs = 2;
config.device = "cpu".parse()?;
# let folder = std::env::temp_dir().join(format!("granule-front-{}", std::process::id()));
# let run_dir = folder.join("run");
let outcome = train(&config, Some(&run_dir), &mut Quiet, &StopFlag::new())?;
println!("{} epochs: {}", outcome.epochs, run_dir.display());

let classifier = granule::load(&run_dir)?;
let prediction = classifier.predict_pixels(&[0; 28 * 28])?; // by channel, row, column
println!("an empty image is a {:?}", prediction.best());
# std::fs::remove_dir_all(folder)?;
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
//! # Devices
//!
//! A word names a device, at run time; what cannot be opened is an error, never another device:
//!
//! ```
//! use granule::prelude::*;
//!
//! let device = "cpu".parse::<DeviceSpec>()?.open()?; // or auto, gpu, wgpu, cuda:0, …
//! println!("on {}", device.name());
//! assert!("cuda:x".parse::<DeviceSpec>().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Classifier::from_path("model.granule", device.burn())` puts a model there, and `config.device` a run.
//!
//! # Using a trained model
//!
//! A `model.granule` file holds weights, configuration, class names and normalisation, and so does a checkpoint. Load it
//! from a path, which may be that of a run folder, from bytes or from the program itself, and ask for classes with
//! probabilities, as above or of pixels:
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
//! The smallest form compiles neither download, training, command line nor readers of image files:
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
use granule::prelude::*;

let device = DeviceSpec::Cpu.open()?;
let mut config = HodgkinHuxleyConfig { current: 10.0.into(), ..Default::default() };
config.trainable = vec!["g_na".to_owned()];
let cell = config.init(Arc::new(ExponentialEuler), &Place::f64(&device.burn().clone().autodiff()))?;
let grid = Grid::over(5.0, 0.025)?;
let (voltage, _) = record(&cell.dynamics()?, cell.initial_state(1)?, &NoInput, &grid)?;
let gradients = voltage.mean().backward();
let conductance = cell.parameters.get("g_na").and_then(|g_na| g_na.parameter());
println!("{:?}", conductance.and_then(|g_na| g_na.raw.val().grad(&gradients)));
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
#![cfg_attr(
    feature = "train",
    doc = r#"
# Decoding

Spike counts, one row a time bin, and what the animal did then, one row each; those of files are `recording:PATH` and
`arrays:FILE.npz` in `config.data.dataset`:

```
use granule::data::{Features, Normalization, Shape, Split, Targets};
use granule::prelude::*;

// Two cells, of which one fires when it moves to the left and the other to the right.
let bins = |count: usize| {
    let speed = (0..count).map(|t| (0.1 * t as f32).sin());
    let counts = speed.clone().flat_map(|v| [(5.0 - 5.0 * v).round(), (5.0 + 5.0 * v).round()]);
    let targets = Targets::Values { data: speed.collect(), width: 1 };
    Split::new(Shape::Vector { len: 2 }, Features::Floats(counts.collect()), targets)
};
let (learnt, tested) = (bins(400)?, bins(100)?);
let normalization = Normalization::of(&learnt);
let session = Dataset::new("session", Vec::new(), normalization, learnt, tested)?;

let mut config = RunConfig::default();
config.model = ModelConfig::from_name("mlp")?;
config.device = "cpu".parse()?;
# config.train.epochs = 2;
# let folder = std::env::temp_dir().join(format!("granule-decoding-{}", std::process::id()));
# let run_dir = folder.join("run");
train_with(&config, &session, Some(&run_dir), &mut Quiet, &StopFlag::new())?;

let device = DeviceSpec::Cpu.open()?;
let decoder = Predictor::from_path(run_dir.join("model.granule"), device.burn())?;
println!("{:?}", decoder.outputs(Sample::Values(&[1.0, 9.0]))?);
# std::fs::remove_dir_all(folder)?;
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
//! | `images` | readers of image files: PNG, JPEG, WebP, BMP and GIF; `train` has them too |
//! | `train` | the modules `train` and `data`: data sets, training, evaluation, reports |
//! | `fetch` | downloads of published data sets |
//! | `simulate` | the module `simulate`: simulations as data, with presets |
//! | `plot` | the module `chart` and figures of simulations, as SVG or pixels |
//! | `interchange` | the module `interchange`: weights in the files of PyTorch, ONNX, safetensors and NumPy, both ways |
//! | `schema` | `train::schema`: every key of the configurations with its help, and their JSON Schema |
//! | `burn-train` | Burn's own learner for the models, see `examples/burn_learner.rs` |
//!
//! By default `flex`, `ndarray`, `wgpu`, `images`, `simulate`, `train` and `fetch` are on.
//!
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(all(feature = "simulate", feature = "train"))]
mod files;

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
#[cfg(feature = "interchange")]
pub use granule_interchange as interchange;
pub use granule_io as io;
pub use granule_models as models;
pub use granule_ops as ops;
#[cfg(feature = "simulate")]
pub use granule_simulate as simulate;
#[cfg(feature = "train")]
pub use granule_train as train;

#[cfg(all(feature = "simulate", feature = "train"))]
pub use files::FilesFrom;
pub use granule_models::{Classifier, Prediction};

/// What most programs need.
pub mod prelude {
    pub use crate::device::{DeviceSpec, OpenDevice};
    pub use crate::dynamics::solver::{ExponentialEuler, Rk4, SolverKind};
    pub use crate::dynamics::unit::{HodgkinHuxleyConfig, SpikeDetector, UnitConfig};
    // Only its methods: `models::Model` has the same name.
    pub use crate::dynamics::{Grid, Model as _, NoInput, Place, State, record, simulate};
    pub use crate::models::{
        Classifier, InputShape, InputSpec, Model, ModelConfig, ModelFile, Network, Prediction,
        Predictor, Sample,
    };

    #[cfg(feature = "train")]
    pub use crate::data::{Dataset, DatasetSpec, LoadOptions};
    #[cfg(feature = "train")]
    pub use crate::train::{
        Evaluation, Event, Observer, Outcome, Quiet, RunConfig, StopFlag, train, train_with,
    };
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

/// Gives a trained model new classes, on the CPU: [`train::fine_tune`] with every default but those of `options`.
///
/// ```
/// use granule::prelude::*;
/// use granule::train::FineTune;
///
/// # let device = DeviceSpec::Cpu.open()?;
/// # let input = InputSpec::new(InputShape::Image { channels: 1, height: 28, width: 28 });
/// # let model = ModelConfig::from_name("lenet")?;
/// # let network = model.init(&input.shape, 10, 1, device.burn())?;
/// # let trained = ModelFile {
/// #     state: granule::models::state::state_dict(&network)?,
/// #     model,
/// #     input,
/// #     task: granule::models::Task::Classification { classes: (0..10).map(|i| i.to_string()).collect() },
/// #     provenance: Default::default(),
/// # };
/// // let trained = ModelFile::load("lenet.granule")?;
/// let (dark, light) = ([20; 28 * 28], [230; 28 * 28]);
/// let samples = [(Sample::Pixels(&dark), "night"), (Sample::Pixels(&light), "day")];
/// let tuned = granule::fine_tune(&trained, &samples, &FineTune::default())?;
/// let classifier = granule::from_bytes(&tuned.to_bytes()?)?;
/// assert_eq!(classifier.predict_pixels(&dark)?.best().0, "night");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`train::fine_tune`], and [`train::TrainError::Device`] when no CPU backend was compiled in.
#[cfg(feature = "train")]
pub fn fine_tune(
    model: &models::ModelFile,
    samples: &[(models::Sample<'_>, &str)],
    options: &train::FineTune,
) -> Result<models::ModelFile, train::TrainError> {
    let device = device::DeviceSpec::Cpu.open()?;
    train::fine_tune(model, samples, options, &device)
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
