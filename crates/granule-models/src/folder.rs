//! Run folders: what lies where, and which file is meant by a path.

use std::path::{Path, PathBuf};

use crate::ModelError;

/// The resolved configuration inside a run folder.
pub const CONFIG_FILE: &str = "config.toml";
/// The model inside the folder of a finished run.
pub const MODEL_FILE: &str = "model.granule";
/// The outcome inside the folder of a finished run.
pub const RESULT_FILE: &str = "result.json";
/// The folder of the checkpoints inside a run folder.
pub const CHECKPOINTS: &str = "checkpoints";
/// The checkpoint of the best epoch, in the folder of the checkpoints.
pub const BEST_CHECKPOINT: &str = "best.ckpt";

/// A model file or a checkpoint, and the folder of the run it belongs to where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPlace {
    /// The file.
    pub file: PathBuf,
    /// The run folder.
    pub run_dir: Option<PathBuf>,
}

impl ModelPlace {
    /// What a path to a model file, a checkpoint or a run folder means; of a run folder its `model.granule`.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoModel`] when there is no such file or folder, or no model in it.
    pub fn find(path: &Path) -> Result<Self, ModelError> {
        let none = |reason: String| {
            Err(ModelError::NoModel {
                path: path.to_owned(),
                reason,
            })
        };
        if !path.exists() {
            return none("there is no such run folder or model file".to_owned());
        }
        if !path.is_dir() {
            return Ok(Self {
                file: path.to_owned(),
                run_dir: run_of(path),
            });
        }
        let file = path.join(MODEL_FILE);
        if file.is_file() {
            return Ok(Self {
                file,
                run_dir: Some(path.to_owned()),
            });
        }
        let shown = path.display();
        if path.join(RESULT_FILE).is_file() {
            return none(format!(
                "the run is finished, but its {MODEL_FILE} is gone; `granule train --resume {shown}` writes it again"
            ));
        }
        if path.join(CONFIG_FILE).is_file() {
            let checkpoint = checkpoints(path).pop();
            let other = checkpoint.map_or_else(String::new, |file| {
                format!(", and a checkpoint is a model as well: {}", file.display())
            });
            return none(format!(
                "the run is not finished; `granule train --resume {shown}` goes on with it{other}"
            ));
        }
        none(format!(
            "the folder holds no {MODEL_FILE}; give the folder of a run, a model file or a checkpoint"
        ))
    }
}

/// The run folder that a model file or a checkpoint lies in.
fn run_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    let run = match folder.file_name() {
        Some(name) if name == CHECKPOINTS => folder.parent()?,
        _ => folder,
    };
    run.join(CONFIG_FILE).is_file().then(|| run.to_owned())
}

/// The checkpoints of a run by step, oldest first, without that of the best epoch.
pub fn checkpoints(run_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(run_dir.join(CHECKPOINTS)) else {
        return Vec::new();
    };
    let mut steps: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((checkpoint_step(&path)?, path))
        })
        .collect();
    steps.sort();
    steps.into_iter().map(|(_, path)| path).collect()
}

/// The optimiser step that the name of a checkpoint tells of.
pub fn checkpoint_step(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("step-")?
        .strip_suffix(".ckpt")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_stands_for_its_model() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        let reason = || ModelPlace::find(run).unwrap_err().to_string();
        assert!(
            reason().contains("give the folder of a run"),
            "{}",
            reason()
        );
        std::fs::write(run.join(CONFIG_FILE), "").unwrap();
        assert!(reason().contains("not finished"), "{}", reason());
        let checkpoint = run.join(CHECKPOINTS).join("step-00000012.ckpt");
        std::fs::create_dir(run.join(CHECKPOINTS)).unwrap();
        for name in ["step-00000012.ckpt", "step-7.ckpt", BEST_CHECKPOINT] {
            std::fs::write(run.join(CHECKPOINTS).join(name), "").unwrap();
        }
        assert!(reason().contains("step-00000012.ckpt"), "{}", reason());
        std::fs::write(run.join(RESULT_FILE), "").unwrap();
        assert!(reason().contains("--resume"), "{}", reason());
        assert!(reason().contains("is gone"), "{}", reason());

        let file = run.join(MODEL_FILE);
        std::fs::write(&file, "").unwrap();
        let run_dir = Some(run.to_owned());
        for (path, file) in [(run, &file), (&file, &file), (&checkpoint, &checkpoint)] {
            let expected = ModelPlace {
                file: file.clone(),
                run_dir: run_dir.clone(),
            };
            assert_eq!(ModelPlace::find(path).unwrap(), expected);
        }
        assert!(ModelPlace::find(&run.join("none")).is_err());
    }
}
