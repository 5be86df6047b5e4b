//! What a user names as RUN|MODEL_FILE.

use std::path::{Path, PathBuf};

use granule::device::{DeviceSpec, OpenDevice};
use granule::train::RunConfig;
use granule::train::record::CONFIG_FILE;

use crate::failure::Usage;
use crate::output;

/// The model's file name inside a run folder.
const MODEL_FILE: &str = "model.granule";

/// A model file, and the run it belongs to where that is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub model: PathBuf,
    pub run_dir: Option<PathBuf>,
}

impl Target {
    /// # Errors
    /// [`Usage`] when there is no such file or folder, or the run has no model yet.
    pub fn find(path: &Path) -> Result<Self, Usage> {
        if !path.exists() {
            return Err(Usage::new(format!(
                "{}: no such run folder or model file",
                path.display()
            ))
            .hint(
                "`granule train` prints the run folder at its end; by default it is under runs/",
            ));
        }
        if path.is_file() {
            let folder = path
                .parent()
                .filter(|folder| folder.join(CONFIG_FILE).is_file());
            return Ok(Self {
                model: path.to_path_buf(),
                run_dir: folder.map(Path::to_path_buf),
            });
        }
        let model = path.join(MODEL_FILE);
        if model.is_file() {
            return Ok(Self {
                model,
                run_dir: Some(path.to_path_buf()),
            });
        }
        let error = Usage::new(format!("{} holds no {MODEL_FILE}", path.display()));
        Err(match path.join(CONFIG_FILE).is_file() {
            true => error.hint(format!(
                "the run is not finished: granule train --resume {}",
                path.display()
            )),
            false => error.hint("give the folder of a run, or a model file"),
        })
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
    Ok(spec.open()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_stands_for_its_model() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = Target::find(dir.path()).unwrap_err();
        assert!(unfinished.hint_text().unwrap().contains("a model file"));
        std::fs::write(dir.path().join(CONFIG_FILE), "").unwrap();
        let unfinished = Target::find(dir.path()).unwrap_err();
        assert!(unfinished.hint_text().unwrap().contains("--resume"));

        let model = dir.path().join(MODEL_FILE);
        std::fs::write(&model, "").unwrap();
        let expected = Target {
            model: model.clone(),
            run_dir: Some(dir.path().to_path_buf()),
        };
        assert_eq!(Target::find(dir.path()).unwrap(), expected);
        assert_eq!(Target::find(&model).unwrap(), expected);
        assert!(Target::find(&dir.path().join("none")).is_err());
    }
}
