//! The device and the data of a run, opened.

use std::borrow::Cow;

use granule_data::{Dataset, LoadOptions};
use granule_device::OpenDevice;

use crate::ConfigError;
use crate::config::{Compute, RunConfig};
use crate::error::TrainError;
use crate::event::{Event, Observer};
use crate::objective::Objective;

/// What a program has in memory to learn from.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Dataset(&'a Dataset),
    Objective(&'a dyn Objective),
}

impl Given<'_> {
    pub fn name(&self) -> String {
        match self {
            Self::Dataset(dataset) => dataset.name.clone(),
            Self::Objective(objective) => objective.name(),
        }
    }
}

/// What there is to learn from besides the configuration.
#[expect(clippy::large_enum_variant, reason = "a run has one")]
pub(crate) enum Data<'a> {
    Dataset(Cow<'a, Dataset>),
    Objective(&'a dyn Objective),
    /// The configuration describes it.
    Described,
}

/// Runs work on a device. That it fails is [`TrainError::Device`], whichever part of the work or of the runtime says so.
pub(super) fn on<T>(
    device: &OpenDevice,
    work: impl FnOnce() -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    device.guard(work)?.map_err(|error| error.of_device(device))
}

/// Refuses products in bfloat16 on a device that has none.
fn check_device(config: &RunConfig, device: &OpenDevice) -> Result<(), ConfigError> {
    if config.train.compute == Compute::F32 || device.is_host() {
        return Ok(());
    }
    let allowed = format!(
        "\"f32\" on {}; \"bf16\" is for the devices flex and ndarray, as --device cpu",
        device.spec()
    );
    Err(ConfigError::new("train.compute", "\"bf16\"", allowed))
}

/// Opens the device and loads the data set, unless what to learn from is given or described.
pub(super) fn open<'a>(
    config: &RunConfig,
    given: Option<Given<'a>>,
    observer: &mut dyn Observer,
) -> Result<(OpenDevice, Data<'a>), TrainError> {
    let device = config.device.open()?;
    observer.event(&Event::Device(&device));
    check_device(config, &device)?;
    let data = match given {
        Some(Given::Dataset(dataset)) => Data::Dataset(match config.data.fold()? {
            Some(fold) => Cow::Owned(dataset.fold(fold, config.data.seed)?),
            None => Cow::Borrowed(dataset),
        }),
        Some(Given::Objective(objective)) => Data::Objective(objective),
        None if config.data.task.is_some() || config.data.recording.is_some() => Data::Described,
        None => Data::Dataset(Cow::Owned(granule_data::load(
            &config.data.dataset,
            &LoadOptions {
                progress: observer.progress(),
                ..config.data.load_options()?
            },
        )?)),
    };
    Ok((device, data))
}
