//! Checkpoints: everything a run needs to go on as if it had never stopped, in a file that is a model as well.
//!
//! No random state is stored: every draw depends on (seed, epoch, step) alone.

use granule_io::words::counted;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use granule_io::write_atomic_with;
use granule_models::folder::{BEST_CHECKPOINT, CHECKPOINTS, checkpoint_step};
use granule_models::{
    CheckpointFile, ModelError, ModelFile, Parent, StateDict, TensorView, read_tensors,
};
use serde::{Deserialize, Serialize};

use crate::config::Keep;
use crate::error::TrainError;
use crate::settings::Settings;

/// The extension of a file set aside.
const ASIDE: &str = "ckpt.damaged";

/// How far a run has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    format: u32,
    /// The data set's fingerprint.
    pub fingerprint: String,
    /// The settings the run began with.
    pub settings: Settings,
    /// Optimiser steps done.
    pub global_step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Steps done in the epoch under way.
    pub step_in_epoch: usize,
    /// Sums over the epoch under way.
    pub sums: Sums,
    /// Samples of all steps.
    pub samples: u64,
    /// Seconds spent in all epochs' steps.
    #[serde(with = "exact")]
    pub train_seconds: f64,
    /// Seconds spent, validation included.
    #[serde(with = "exact")]
    pub seconds: f64,
    /// The lowest validation loss.
    pub best: Option<Best>,
    /// What early stopping waits for.
    pub early_stopping: Patience,
    /// What the schedule `plateau` waits for.
    #[serde(default)]
    pub plateau: Patience,
    /// How often the schedule `plateau` has lowered the learning rate.
    #[serde(default)]
    pub falls: u32,
    /// Whether early stopping has ended the run.
    pub stopped_early: bool,
    /// What the run began from.
    #[serde(default)]
    pub before: Before,
    /// The loss of the first step's batch; 0 before it.
    #[serde(default, with = "exact")]
    pub first_loss: f64,
    /// The devices that the run was on, in their order, each with the steps done before.
    #[serde(default)]
    pub devices: Vec<(u64, String)>,
}

/// What was done before a run that continues another one began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// Epochs; the draws of the run go on after them.
    pub epochs: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Where the weights come from, unless drawn.
    pub parent: Option<Box<Parent>>,
}

/// How long the monitored score has not improved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Patience {
    /// Epochs without improvement.
    stale: usize,
    /// The score to improve upon, with the sign that makes less better.
    #[serde(with = "exact")]
    reference: f64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stale: 0,
            reference: f64::INFINITY,
        }
    }
}

impl Patience {
    /// Takes a score, less being better; whether it is at an end, after `patience` epochs without an improvement by more
    /// than `min_delta`.
    pub fn ends(&mut self, score: f64, min_delta: f64, patience: usize) -> bool {
        if score < self.reference - min_delta {
            self.reference = score;
            self.stale = 0;
        } else {
            self.stale += 1;
        }
        self.stale >= patience
    }

    /// Epochs since the last improvement.
    pub fn stale(&self) -> usize {
        self.stale
    }

    /// Begins to wait anew, for an improvement upon the same score.
    pub fn renew(&mut self) {
        self.stale = 0;
    }
}

/// Sums over the steps of an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    #[serde(with = "exact")]
    pub loss: f64,
    pub correct: u64,
    pub samples: u64,
    #[serde(with = "exact")]
    pub seconds: f64,
}

/// The best epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// From 1.
    pub epoch: usize,
    #[serde(with = "exact")]
    pub loss: f64,
    /// Share of the validation part classified rightly; classes only.
    #[serde(default)]
    pub accuracy: Option<Exact>,
}

impl Best {
    pub fn new(epoch: usize, loss: f64, accuracy: Option<f64>) -> Self {
        Self {
            epoch,
            loss,
            accuracy: accuracy.map(Exact),
        }
    }

    /// Whether another epoch is better by what is kept: the one with the higher accuracy, where there is one and the score
    /// is asked for, and of equal ones that with the lower loss.
    pub fn is_beaten_by(&self, loss: f64, accuracy: Option<f64>, keep: Keep) -> bool {
        match (keep, accuracy, self.accuracy) {
            (Keep::BestScore | Keep::Last, Some(accuracy), Some(Exact(best))) => {
                accuracy > best || accuracy == best && loss < self.loss
            }
            _ => loss < self.loss,
        }
    }
}

/// A double as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exact(#[serde(with = "exact")] pub f64);

impl Progress {
    /// Says what cannot be, in a run of `epochs` epochs of `steps_per_epoch` steps: a file may be whole and yet not come
    /// from this run.
    pub fn check(&self, epochs: usize, steps_per_epoch: usize) -> Result<(), String> {
        let steps = (self.epoch as u64)
            .saturating_mul(steps_per_epoch as u64)
            .saturating_add(self.step_in_epoch as u64);
        let spans = [self.train_seconds, self.seconds];
        let reason = if self.epoch > epochs || self.step_in_epoch > steps_per_epoch {
            format!(
                "it is {} and {} along, the run has {} of {}",
                counted(self.epoch, "epoch"),
                counted(self.step_in_epoch, "step"),
                counted(epochs, "epoch"),
                counted(steps_per_epoch, "step")
            )
        } else if steps != self.global_step {
            format!(
                "it counts {} steps, {} and {} are {steps}",
                self.global_step,
                counted(self.epoch, "epoch"),
                counted(self.step_in_epoch, "step")
            )
        } else if spans.iter().any(|span| !(span.is_finite() && *span >= 0.0)) {
            format!("it took {} seconds", self.seconds)
        } else if let Some(best) = self.best.filter(|best| best.epoch > self.epoch + 1) {
            format!(
                "its best epoch is {}, it is {} along",
                best.epoch,
                counted(self.epoch, "epoch")
            )
        } else {
            return Ok(());
        };
        Err(reason)
    }

    pub fn new(fingerprint: &str, settings: Settings) -> Self {
        Self {
            format: CheckpointFile::FORMAT,
            fingerprint: fingerprint.to_owned(),
            settings,
            ..Self::default()
        }
    }
}

/// A double as its bits: decimal JSON numbers need not come back the same.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

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
            progress: serde_json::from_str(&file.progress).map_err(format_error)?,
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
        Self::from_bytes(&bytes).map_err(|error| match error {
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
        })
    }
}

fn format_error(error: serde_json::Error) -> ModelError {
    ModelError::Format {
        reason: error.to_string(),
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

    /// The latest undamaged checkpoint; none when none was written. Damaged ones after it are set aside, each with a
    /// call of `warn`; without an undamaged one everything stays as it is.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] when all are damaged; at once when a file cannot be read or is of another format.
    pub fn latest(
        &self,
        mut warn: impl FnMut(String),
    ) -> Result<Option<(PathBuf, Checkpoint)>, TrainError> {
        let mut damaged: Vec<(PathBuf, String)> = Vec::new();
        for (_, path) in self.steps()?.into_iter().rev() {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => {
                    for (path, reason) in damaged {
                        set_aside(&path)?;
                        warn(format!("{reason}; falling back to the one before"));
                    }
                    return Ok(Some((path, checkpoint)));
                }
                Err(error @ TrainError::Checkpoint { .. }) => {
                    damaged.push((path, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        let reason = match damaged.into_iter().next() {
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

fn set_aside(path: &Path) -> Result<(), TrainError> {
    fs::rename(path, path.with_extension(ASIDE)).map_err(|e| TrainError::io("rename", path, e))
}

fn damaged(path: &Path, reason: String) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use granule_models::{InputShape, InputSpec, ModelConfig, Provenance, Task, TensorValue};

    use super::*;

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
        progress.sums.loss = 0.1 + 0.2;
        progress.best = Some(Best::new(2, 1.0 / 3.0, Some(0.1 + 0.2)));
        progress.first_loss = 2.3;
        progress.devices = vec![(0, "flex (CPU)".to_owned())];
        Checkpoint {
            progress,
            model: ModelFile {
                model: ModelConfig::default(),
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

    #[test]
    fn progress_that_cannot_be_is_told() {
        let good = Progress {
            global_step: 27,
            epoch: 2,
            step_in_epoch: 7,
            ..Progress::new("f00", Settings::default())
        };
        good.check(3, 10).unwrap();
        let wrong = [
            Progress {
                epoch: 4,
                global_step: 47,
                ..good.clone()
            },
            Progress {
                step_in_epoch: 11,
                global_step: 31,
                ..good.clone()
            },
            Progress {
                global_step: 26,
                ..good.clone()
            },
            Progress {
                global_step: u64::MAX,
                ..good.clone()
            },
            Progress {
                seconds: f64::NAN,
                ..good.clone()
            },
            Progress {
                train_seconds: -1.0,
                ..good.clone()
            },
            Progress {
                best: Some(Best::new(9, 0.1, None)),
                ..good.clone()
            },
        ];
        for progress in wrong {
            progress.check(3, 10).unwrap_err();
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
        assert!(store.latest(|_| ()).unwrap().is_none());
        for step in [3, 7, 100_000_000] {
            store.save(snapshot(&checkpoint(step))).unwrap();
        }
        let steps: Vec<u64> = store.steps().unwrap().into_iter().map(|(s, _)| s).collect();
        assert_eq!(steps, [7, 100_000_000]);

        fs::write(store.latest_path().unwrap(), b"torn").unwrap();
        let mut warnings = Vec::new();
        let (_, found) = store.latest(|text| warnings.push(text)).unwrap().unwrap();
        assert_eq!(found, checkpoint(7));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("step-100000000.ckpt"), "{warnings:?}");

        fs::write(store.latest_path().unwrap(), b"").unwrap();
        for _ in 0..2 {
            let error = store.latest(|_| ()).unwrap_err();
            assert!(matches!(error, TrainError::NoCheckpoint { .. }), "{error}");
        }
        assert!(store.latest_path().unwrap().ends_with("step-00000007.ckpt"));

        // What was set aside is all that is left.
        fs::remove_file(store.latest_path().unwrap()).unwrap();
        let error = store.latest(|_| ()).unwrap_err().to_string();
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
        let error = store.latest(|_| ()).unwrap_err();
        assert!(
            matches!(error, TrainError::CheckpointFormat { .. }),
            "{error}"
        );
        assert!(path.exists());

        // A folder of that name cannot be read.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = store.latest(|_| ()).unwrap_err();
        assert!(matches!(error, TrainError::File(_)), "{error}");
        assert!(path.exists());
    }
}
