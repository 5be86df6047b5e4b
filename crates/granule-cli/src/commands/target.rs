//! What a user names as RUN|MODEL_FILE.

use std::path::{Path, PathBuf};

use granule::device::{DeviceSpec, OpenDevice};
use granule::dynamics::DynamicsError;
use granule::models::ModelError;
use granule::models::folder::{CONFIG_FILE, ModelPlace};
use granule::train::RunConfig;

use crate::failure::Usage;
use crate::{output, verbose};

/// A model file or checkpoint, and the run it belongs to where that is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub model: PathBuf,
    pub run_dir: Option<PathBuf>,
}

impl Target {
    /// # Errors
    /// [`Usage`] when there is no such file or folder, or the run has no model yet.
    pub fn find(path: &Path) -> Result<Self, Usage> {
        match ModelPlace::find(path) {
            Ok(ModelPlace { file, run_dir }) => Ok(Self {
                model: file,
                run_dir,
            }),
            Err(error) if path.exists() => Err(Usage::new(error.to_string())),
            Err(error) => Err(Usage::new(error.to_string()).hint(
                "`granule train` prints the run folder at its end; by default it is under runs/",
            )),
        }
    }

    /// The configuration of the run, where there is one; a warning when it cannot be used.
    pub fn config(&self) -> Option<RunConfig> {
        let path = self.run_dir.as_ref()?.join(CONFIG_FILE);
        let config = match granule::io::read_text(&path, granule::io::Bound::CONFIGURATION) {
            Err(error) if error.is_absent() => return None,
            Err(error) => Err(error.to_string()),
            Ok(text) => RunConfig::from_toml_str(&text).map_err(|error| error.to_string()),
        };
        match config {
            Ok(config) => Some(config),
            Err(reason) => {
                output::warn(&format!(
                    "cannot use {}, going by the model file alone: {}",
                    path.display(),
                    reason.trim_end()
                ));
                None
            }
        }
    }
}

/// Opens the device that was named, else that of GRANULE_DEVICE, else the default of the command.
pub fn open(named: Option<&DeviceSpec>, default: DeviceSpec) -> anyhow::Result<OpenDevice> {
    let spec = match named {
        Some(spec) => spec.clone(),
        None => DeviceSpec::from_env()
            .map_err(|error| Usage::new(error.to_string()))?
            .unwrap_or(default),
    };
    let device = spec.open()?;
    verbose::device(&device);
    Ok(device)
}

/// Runs work on a device. That it fails is an error of the device, whichever part of the work or of the runtime says so.
///
/// # Errors
/// Those of the work; a `DeviceError`.
pub fn on<T>(device: &OpenDevice, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    device.guard(work)?.map_err(|error| {
        let report = error.chain().find_map(|cause| {
            let of_model = match cause.downcast_ref::<ModelError>() {
                Some(ModelError::Device { reason }) => Some(reason),
                _ => None,
            };
            of_model.or_else(|| match cause.downcast_ref::<DynamicsError>() {
                Some(DynamicsError::Device { reason }) => Some(reason),
                _ => None,
            })
        });
        match report {
            Some(reason) => device.failure(reason).into(),
            None => error,
        }
    })
}
