//! Checkpoints: everything a run needs to go on as if it had never stopped, in a file that is a model as well.
//!
//! No random state is stored: every draw depends on (seed, epoch, step) alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::TrainError;
use crate::progress::Progress;
use granule_io::{from_json, write_atomic_with};
use granule_models::folder::{BEST_CHECKPOINT, CHECKPOINTS, checkpoint_step, checkpoints};
use granule_models::state::mismatches;
use granule_models::{
    CheckpointFile, ModelError, ModelFile, Network, StateDict, TensorView, read_tensors,
};

/// The extension of a file set aside.
const ASIDE: &str = "ckpt.damaged";

/// A run at a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checkpoint {
    pub progress: Progress,
    pub model: ModelFile,
    pub optimizer: StateDict,
}

/// What is written as a [`Checkpoint`]; the optimiser's numbers stay where they are.
pub(crate) struct Snapshot<'a> {
    pub progress: &'a Progress,
    pub model: &'a ModelFile,
    pub optimizer: BTreeMap<String, TensorView<'a>>,
}

impl Checkpoint {
    fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let file = CheckpointFile::from_bytes(bytes)?;
        Ok(Self {
            progress: from_json(file.progress.as_bytes()).map_err(|error| ModelError::Format {
                reason: format!("of its progress: {error}"),
            })?,
            model: file.model,
            optimizer: file.optimizer,
        })
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let bytes = read_tensors(path, "a checkpoint").map_err(|error| match error {
            ModelError::File(error) => error.into(),
            ModelError::Format { reason } => damaged(path, reason),
            error => error.into(),
        })?;
        let checkpoint = Self::from_bytes(&bytes).map_err(|error| match error {
            ModelError::Version { found, supported } => TrainError::CheckpointFormat {
                path: path.to_owned(),
                found,
                supported,
            },
            ModelError::Checksum { expected, found } => damaged(
                path,
                format!("its CRC-32 is {found:08x}, it says {expected:08x}"),
            ),
            ModelError::Format { reason } => damaged(path, reason),
            error => damaged(path, error.to_string()),
        })?;
        let possible = checkpoint.progress.check();
        possible.map_err(|reason| damaged(path, reason))?;
        Ok(checkpoint)
    }
}

/// The checkpoints of one run folder.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
    keep: usize,
}

impl Store {
    pub fn new(run_dir: &Path, keep: usize) -> Self {
        Self {
            dir: run_dir.join(CHECKPOINTS),
            keep: keep.max(1),
        }
    }

    /// Writes a checkpoint and removes the oldest beyond the number to keep.
    pub fn save(&self, snapshot: Snapshot<'_>) -> Result<PathBuf, TrainError> {
        let name = format!("step-{:08}.ckpt", snapshot.progress.global_step);
        let path = self.dir.join(name);
        self.write(&path, snapshot)?;
        let mut steps = self.steps()?;
        steps.truncate(steps.len().saturating_sub(self.keep));
        for (_, old) in steps {
            fs::remove_file(&old).map_err(|e| TrainError::io("remove", &old, e))?;
        }
        Ok(path)
    }

    /// Where the best weights are.
    pub fn best_path(&self) -> PathBuf {
        self.dir.join(BEST_CHECKPOINT)
    }

    /// Writes the best weights so far.
    pub fn save_best(&self, progress: &Progress, model: &ModelFile) -> Result<(), TrainError> {
        let snapshot = Snapshot {
            progress,
            model,
            optimizer: BTreeMap::new(),
        };
        self.write(&self.best_path(), snapshot)
    }

    /// Reads the best weights.
    pub fn load_best(&self) -> Result<Checkpoint, TrainError> {
        Checkpoint::read(&self.best_path())
    }

    /// The latest undamaged checkpoint that `fits` the run; none when none was written. Others after it are set aside, each
    /// with a call of `warn`; without a good one everything stays as it is.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] when all are damaged; at once when a file cannot be read or is of another format.
    pub fn latest(
        &self,
        fits: impl Fn(&Checkpoint) -> Result<(), String>,
        mut warn: impl FnMut(String),
    ) -> Result<Option<(PathBuf, Checkpoint)>, TrainError> {
        let mut bad: Vec<(PathBuf, String)> = Vec::new();
        for (_, path) in self.steps()?.into_iter().rev() {
            let read = Checkpoint::read(&path).and_then(|checkpoint| {
                fits(&checkpoint).map_err(|reason| damaged(&path, reason))?;
                Ok(checkpoint)
            });
            match read {
                Ok(checkpoint) => {
                    for (path, reason) in bad {
                        set_aside(&path)?;
                        warn(format!("{reason}; falling back to the one before"));
                    }
                    return Ok(Some((path, checkpoint)));
                }
                Err(error @ TrainError::Checkpoint { .. }) => {
                    bad.push((path, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        let reason = match bad.into_iter().next() {
            Some((_, reason)) => Some(reason),
            None => self
                .entries()?
                .into_iter()
                .find(|path| path.to_string_lossy().ends_with(ASIDE))
                .map(|path| format!("only {} is left", path.display())),
        };
        match reason {
            None => Ok(None),
            Some(reason) => Err(TrainError::NoCheckpoint {
                path: self.dir.clone(),
                reason,
            }),
        }
    }

    /// The path of the latest checkpoint, readable or not.
    pub fn latest_path(&self) -> Option<PathBuf> {
        let steps = self.steps().ok()?;
        steps.into_iter().next_back().map(|(_, path)| path)
    }

    /// The step checkpoints on disk, oldest first.
    fn steps(&self) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        let mut steps = Vec::new();
        for path in self.entries()? {
            steps.extend(checkpoint_step(&path).map(|step| (step, path)));
        }
        steps.sort();
        Ok(steps)
    }

    /// All files of the folder; none when there is no folder.
    fn entries(&self) -> Result<Vec<PathBuf>, TrainError> {
        let list = |error| TrainError::io("list", &self.dir, error);
        match fs::read_dir(&self.dir) {
            Ok(entries) => entries
                .map(|entry| Ok(entry.map_err(list)?.path()))
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(list(error)),
        }
    }

    fn write(&self, path: &Path, snapshot: Snapshot<'_>) -> Result<(), TrainError> {
        let Snapshot {
            progress,
            model,
            optimizer,
        } = snapshot;
        let progress =
            serde_json::to_string(progress).map_err(|error| damaged(path, error.to_string()))?;
        // Not the run folder with it: one that was deleted meanwhile would come back without its configuration.
        match fs::create_dir(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(TrainError::io("create", &self.dir, error));
            }
            _ => {}
        }
        write_atomic_with(path, |file| {
            let mut out = BufWriter::new(file);
            CheckpointFile::write(&mut out, &progress, model, optimizer)?;
            out.flush()
        })?;
        Ok(())
    }
}

/// The latest whole checkpoint beside one that is not.
fn other_than(path: &Path) -> Option<PathBuf> {
    let all = checkpoints(path.parent()?.parent()?);
    let mut others = all.into_iter().rev().filter(|other| other != path);
    others.find(|other| Checkpoint::read(other).is_ok())
}

fn set_aside(path: &Path) -> Result<(), TrainError> {
    fs::rename(path, path.with_extension(ASIDE)).map_err(|e| TrainError::io("rename", path, e))
}

/// Names another checkpoint of the same run in an error of a damaged one.
pub(crate) fn with_other(error: TrainError) -> TrainError {
    match error {
        TrainError::Checkpoint { path, reason, .. } => TrainError::Checkpoint {
            other: other_than(&path),
            path,
            reason,
        },
        other => other,
    }
}

/// The most tensors that are named of those that differ.
const NAMED: usize = 3;

/// Refuses weights that are not those of a network, with the names and shapes of the tensors that differ.
pub(crate) fn weights_fit(network: &Network, state: &StateDict) -> Result<(), String> {
    let all = mismatches(network, state);
    if all.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let named = named.join("; ");
    Err(match all.len() {
        0..=NAMED => named,
        // Of a model with other layers most tensors differ.
        count => format!("{count} tensors differ, as {named}"),
    })
}

pub(crate) fn damaged(path: &Path, reason: String) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        reason,
        other: None,
    }
}

#[cfg(test)]
mod tests {
    use granule_models::{
        InputShape, InputSpec, MlpConfig, ModelConfig, Provenance, Task, TensorValue,
    };

    use super::*;
    use crate::progress::Best;
    use crate::settings::Settings;

    fn checkpoint(step: u64) -> Checkpoint {
        let dict = |scale: f32| {
            let value = TensorValue {
                shape: vec![2, 3],
                data: (0..6).map(|i| i as f32 * scale).collect(),
            };
            StateDict([("layer.weight".to_owned(), value)].into())
        };
        let mut progress = Progress::new("f00", Settings::default());
        progress.global_step = step;
        progress.samples = step;
        progress.epoch = 1;
        progress.sums.loss = 0.1 + 0.2;
        progress.best = Some(Best::new(2, 1.0 / 3.0, Some(0.1 + 0.2)));
        progress.first_loss = 2.3;
        progress.devices = vec![(0, "flex".to_owned())];
        Checkpoint {
            progress,
            model: ModelFile {
                model: ModelConfig::new(MlpConfig::default()),
                input: InputSpec::new(InputShape::Vector { len: 2 }),
                task: Task::Classification {
                    classes: ["a", "b"].map(str::to_owned).to_vec(),
                },
                provenance: Provenance::default(),
                state: dict(0.1),
            },
            optimizer: dict(-7.3),
        }
    }

    fn bytes(checkpoint: Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        let progress = serde_json::to_string(&checkpoint.progress).unwrap();
        let of = snapshot(&checkpoint);
        CheckpointFile::write(&mut bytes, &progress, of.model, of.optimizer).unwrap();
        bytes
    }

    #[test]
    fn comes_back_bit_for_bit() {
        let checkpoint = checkpoint(5);
        let bytes = bytes(checkpoint.clone());
        assert_eq!(Checkpoint::from_bytes(&bytes).unwrap(), checkpoint);
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let whole = bytes(checkpoint(5));
        for i in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[i] ^= 0x11;
            match Checkpoint::from_bytes(&bytes) {
                Err(_) => {}
                // Padding of the header carries nothing.
                Ok(read) => assert_eq!(read, checkpoint(5), "byte {i}"),
            }
            assert!(Checkpoint::from_bytes(&whole[..i]).is_err());
        }
    }

    fn fits(_: &Checkpoint) -> Result<(), String> {
        Ok(())
    }

    fn snapshot(of: &Checkpoint) -> Snapshot<'_> {
        Snapshot {
            progress: &of.progress,
            model: &of.model,
            optimizer: of.optimizer.views(),
        }
    }

    #[test]
    fn keeps_the_last_and_falls_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 2);
        assert!(store.latest(fits, |_| ()).unwrap().is_none());
        for step in [3, 7, 100_000_000] {
            store.save(snapshot(&checkpoint(step))).unwrap();
        }
        let steps: Vec<u64> = store.steps().unwrap().into_iter().map(|(s, _)| s).collect();
        assert_eq!(steps, [7, 100_000_000]);

        fs::write(store.latest_path().unwrap(), b"torn").unwrap();
        let mut warnings = Vec::new();
        let (_, found) = store
            .latest(fits, |text| warnings.push(text))
            .unwrap()
            .unwrap();
        assert_eq!(found, checkpoint(7));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("step-100000000.ckpt"), "{warnings:?}");

        fs::write(store.latest_path().unwrap(), b"").unwrap();
        for _ in 0..2 {
            let error = store.latest(fits, |_| ()).unwrap_err();
            assert!(matches!(error, TrainError::NoCheckpoint { .. }), "{error}");
        }
        assert!(store.latest_path().unwrap().ends_with("step-00000007.ckpt"));

        // What was set aside is all that is left.
        fs::remove_file(store.latest_path().unwrap()).unwrap();
        let error = store.latest(fits, |_| ()).unwrap_err().to_string();
        assert!(error.contains("step-100000000.ckpt.damaged"), "{error}");
    }

    #[test]
    fn only_damage_sets_a_checkpoint_aside() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), 2);
        store.save(snapshot(&checkpoint(1))).unwrap();
        let mut newer = checkpoint(2);
        newer.progress.format = CheckpointFile::FORMAT + 1;
        let path = store.save(snapshot(&newer)).unwrap();
        let error = store.latest(fits, |_| ()).unwrap_err();
        assert!(
            matches!(error, TrainError::CheckpointFormat { .. }),
            "{error}"
        );
        assert!(path.exists());

        // A folder of that name cannot be read.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = store.latest(fits, |_| ()).unwrap_err();
        assert!(matches!(error, TrainError::File(_)), "{error}");
        assert!(path.exists());
    }
}
