//! Why a run cannot begin, go on or be resumed.

use std::path::{Path, PathBuf};

use granule_data::DataError;
use granule_device::{DeviceError, OpenDevice};
use granule_dynamics::DynamicsError;
use granule_io::words::counted;
use granule_io::{ConfigError, FileError, MemoryError};
use granule_models::ModelError;
use thiserror::Error;

use crate::metrics::MetricsError;
use crate::record::RecordError;

/// What can go wrong while training, resuming or evaluating.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A configuration is not TOML, or has an unknown key or a value of the wrong type.
    #[error("not a run configuration: {reason}")]
    ConfigSyntax {
        /// Where and what.
        reason: String,
    },
    /// The device cannot be opened or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The data cannot be loaded or used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of the run cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model cannot be built, stored or loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model of several levels cannot be run: what diverges is named with the time at which it does.
    #[error(transparent)]
    Dynamics(Box<DynamicsError>),
    /// Training led to values with which a model of equations cannot be run.
    #[error("after {} of training: {source}; {advice}{}", counted(*.step as usize, "step"), Kept(.checkpoint))]
    Unstable {
        /// Optimiser steps done.
        step: u64,
        /// What happened in the run that followed.
        source: Box<TrainError>,
        /// What to change.
        advice: String,
        /// The last checkpoint, if one was written.
        checkpoint: Option<PathBuf>,
    },
    /// The model and the data set do not belong together.
    #[error(
        "the model takes {expected}, the data set has {found}; choose the data set it was trained on"
    )]
    Mismatch {
        /// What the model takes or gives.
        expected: String,
        /// What the data set has.
        found: String,
    },
    /// An objective of the program's own cannot be learnt from.
    #[error("the objective {name}: {reason}")]
    Objective {
        /// Its name.
        name: String,
        /// What it said, or what is wrong with what it gave.
        reason: String,
    },
    /// The loss became NaN or infinite.
    #[error(
        "the loss became {loss} at step {step} (learning rate {learning_rate:.3e}, gradient norm {gradient_norm:.3e}); \
         {advice}{}", Kept(.checkpoint)
    )]
    NonFinite {
        /// The optimiser step, from 1.
        step: u64,
        /// The loss of the step's batch.
        loss: f64,
        /// The learning rate of the step.
        learning_rate: f64,
        /// Global L2 norm of the step's gradient.
        gradient_norm: f64,
        /// What to change.
        advice: String,
        /// The last checkpoint, if one was written.
        checkpoint: Option<PathBuf>,
    },
    /// A weight became NaN or infinite while the loss was still finite.
    #[error("{reason} after step {step}; {advice}{}", Kept(.checkpoint))]
    NonFiniteWeights {
        /// Optimiser steps done.
        step: u64,
        /// Which weight.
        reason: String,
        /// What to change.
        advice: String,
        /// The last checkpoint, if one was written.
        checkpoint: Option<PathBuf>,
    },
    /// The network gave NaN or infinity for a sample it was to be scored on.
    #[error(
        "the network's output for sample {sample} of the {part} part is {value}; train with a lower optimizer.lr, or check \
         the values of that sample"
    )]
    NonFiniteOutput {
        /// `test`, `validation` for trials, or `training` for samples held out for validation.
        part: &'static str,
        /// Index of the sample in that part, from 0.
        sample: usize,
        /// The output.
        value: f32,
    },
    /// The run folder holds something already.
    #[error("{} is not empty; {}give another --run-dir", path.display(), way_on(path))]
    RunDirNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is no run folder.
    #[error("{} holds no config.toml; give the folder of an earlier run", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process works in the run folder.
    #[error("another process is training in {}; wait for it or stop it", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The run folder is no longer the one that the run began in.
    #[error(
        "{} was deleted, moved or taken over while the run was training, so nothing more is saved; leave the folder of a \
         run alone until it ends. If it still holds a checkpoint, --resume goes on from there", path.display()
    )]
    FolderLost {
        /// The folder.
        path: PathBuf,
    },
    /// The lock of the run folder is gone, or another one is in its place.
    #[error(
        "{} was deleted or replaced while the run was training: without it another process may write to the folder as well, \
         so nothing more is saved; leave the files of a run alone until it ends. --resume goes on from its last checkpoint",
        path.display()
    )]
    LockLost {
        /// The lock.
        path: PathBuf,
    },
    /// A file of the run is gone, or no longer the one that the run writes.
    #[error("{} was {how} while the run was training; {lost}. What was learnt is saved in {}", path.display(), saved.display())]
    FileLost {
        /// The file.
        path: PathBuf,
        /// `deleted`, `replaced` or `cut`.
        how: &'static str,
        /// What went with it, and what to do.
        lost: &'static str,
        /// The checkpoint or model with the weights so far.
        saved: PathBuf,
    },
    /// No checkpoint of the run can be read.
    #[error("no usable checkpoint in {}: {reason}; start the run anew", path.display())]
    NoCheckpoint {
        /// The folder of the checkpoints.
        path: PathBuf,
        /// What was found wrong.
        reason: String,
    },
    /// A checkpoint is damaged.
    #[error("the checkpoint {} is damaged: {reason}{}", path.display(), Other(.other))]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// Another one of the same run, which is whole.
        other: Option<PathBuf>,
    },
    /// A checkpoint was written by a granule that stores them differently.
    #[error(
        "the checkpoint {} has format {found}, this granule reads {supported}; resume with the granule that wrote it",
        path.display()
    )]
    CheckpointFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format read here.
        supported: u32,
    },
    /// `config.toml` was changed since the run began.
    #[error(
        "{field} is {found}, the run began with {expected}; put it back, or begin a new run, which `granule train --continue \
         RUN` does with the weights of this one"
    )]
    OtherConfig {
        /// The first setting that differs, for example `train.batch_size`.
        field: String,
        /// The value the run began with.
        expected: String,
        /// The value in `config.toml`.
        found: String,
    },
    /// `config.toml` was changed since the run ended.
    #[error(
        "the run in {} is finished, with {field} = {expected}, which is now {found}; train it further as a new run with \
         `granule train --continue {}`, or put it back in config.toml",
        path.display(), path.display()
    )]
    Finished {
        /// The run folder.
        path: PathBuf,
        /// The first setting that differs, for example `train.epochs`.
        field: String,
        /// The value the run had.
        expected: String,
        /// The value in `config.toml`.
        found: String,
    },
    /// The weights to begin from do not fit the model.
    #[error("the weights in {} are not those of this model: {tensors}; give both the same settings (a last layer \
             for other classes, or a first layer for other channels, would be drawn anew)", path.display())]
    OtherWeights {
        /// The file.
        path: PathBuf,
        /// The tensors that differ, with their shapes.
        tensors: String,
    },
    /// The loss is finite, but has grown beyond any use.
    #[error(
        "the training diverged: the loss is {loss:.3e} at step {step}, {first:.3e} at the first one (learning rate \
         {learning_rate:.3e}); {advice}{}", Kept(.checkpoint)
    )]
    Diverged {
        /// The optimiser step, from 1.
        step: u64,
        /// The loss of the step's batch.
        loss: f64,
        /// The loss of the first step's batch.
        first: f64,
        /// The learning rate of the step.
        learning_rate: f64,
        /// What to change.
        advice: String,
        /// The last checkpoint, if one was written.
        checkpoint: Option<PathBuf>,
    },
    /// A new run folder cannot be written to.
    #[error("{source}; choose a folder that can be written to with --run-dir DIR")]
    CannotBegin {
        /// What failed.
        source: Box<TrainError>,
    },
    /// A file of the run could not be written; what was saved before is whole.
    #[error("{source}; mend that, then go on with `granule train --resume {}`", path.display())]
    Stopped {
        /// What failed.
        source: Box<TrainError>,
        /// The run folder.
        path: PathBuf,
    },
    /// The device failed while a run was going on; what was saved before is whole.
    #[error(
        "{source}; go on with `granule train --resume {}`, on another device with --device",
        path.display()
    )]
    DeviceStopped {
        /// What failed.
        source: DeviceError,
        /// The run folder.
        path: PathBuf,
    },
    /// The data set differs from the one the run began with.
    #[error(
        "the data set has fingerprint {found}, the run began with {expected}; give the same files"
    )]
    OtherData {
        /// The fingerprint in the checkpoint.
        expected: String,
        /// The fingerprint of the data at hand.
        found: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A record of the run cannot be written or read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A score could not be computed.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The backend failed while computing.
    #[error("the device failed: {reason}")]
    Backend {
        /// Burn's answer.
        reason: String,
    },
}

impl From<MemoryError> for TrainError {
    fn from(error: MemoryError) -> Self {
        Self::Data(error.into())
    }
}

impl From<DynamicsError> for TrainError {
    /// Settings by their names in a run configuration.
    fn from(error: DynamicsError) -> Self {
        match error {
            DynamicsError::Config(error) => error.under("model").into(),
            error => Self::Dynamics(Box::new(error)),
        }
    }
}

impl TrainError {
    /// Whether other values of what is learnt could have kept it from happening in a run of the model.
    pub(crate) fn may_be_of_training(&self) -> bool {
        match self {
            Self::Config(_) | Self::Model(ModelError::Config(_)) => true,
            Self::Dynamics(error) => matches!(
                **error,
                DynamicsError::NonFinite { .. }
                    | DynamicsError::Runaway { .. }
                    | DynamicsError::StepTooSmall { .. }
                    | DynamicsError::TooManySteps { .. }
                    | DynamicsError::NotConverged { .. }
            ),
            _ => false,
        }
    }

    /// Names the data set in which something else was found than the model takes.
    pub(crate) fn of_set(self, name: &str) -> Self {
        match self {
            Self::Mismatch { expected, found } => Self::Mismatch {
                expected,
                found: format!("{found} ({name})"),
            },
            error => error,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Names the file that a configuration was read from.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::ConfigSyntax { reason } => Self::ConfigSyntax {
                reason: format!("{}: {reason}", path.display()),
            },
            other => other,
        }
    }

    /// Whether a file could not be written or read, as on a full disk or in a folder of someone else.
    fn is_of_storage(&self) -> bool {
        let refused =
            |error: &FileError| matches!(error, FileError::Io { .. } | FileError::NoSpace { .. });
        match self {
            Self::Io { .. } | Self::Record(RecordError::Io { .. }) => true,
            Self::File(error)
            | Self::Record(RecordError::File(error))
            | Self::Model(ModelError::File(error)) => refused(error),
            Self::Data(error) => {
                matches!(error, DataError::Io { .. } | DataError::NoSpace { .. })
            }
            Self::Model(ModelError::InFile { source, .. }) => {
                matches!(**source, ModelError::Io { .. })
            }
            _ => false,
        }
    }

    /// Says where else a run can begin, after its folder could not be written to.
    pub(crate) fn at_the_beginning(self) -> Self {
        if self.is_of_storage() {
            Self::CannotBegin {
                source: Box::new(self),
            }
        } else {
            self
        }
    }

    /// Says how to go on with a run whose folder could not be written to, or whose device failed.
    pub(crate) fn on_the_way(self, run_dir: &Path) -> Self {
        match self {
            Self::Device(source) if source.is_of_open_device() => Self::DeviceStopped {
                source,
                path: run_dir.to_owned(),
            },
            error if error.is_of_storage() => Self::Stopped {
                source: Box::new(error),
                path: run_dir.to_owned(),
            },
            error => error,
        }
    }

    /// What the computing parts say of a device, as the error of that device.
    pub(crate) fn of_device(self, device: &OpenDevice) -> Self {
        let report = match &self {
            Self::Backend { reason } | Self::Model(ModelError::Device { reason }) => Some(reason),
            Self::Dynamics(error) => match &**error {
                DynamicsError::Device { reason } => Some(reason),
                _ => None,
            },
            _ => None,
        };
        match report {
            Some(reason) => Self::Device(device.failure(reason)),
            None => self,
        }
    }

    pub(crate) fn backend(reason: impl std::fmt::Debug) -> Self {
        Self::Backend {
            reason: format!("{reason:?}"),
        }
    }
}

struct Other<'a>(&'a Option<PathBuf>);

impl std::fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(path) => write!(f, "; {} is whole, give that one", path.display()),
            None => Ok(()),
        }
    }
}

struct Kept<'a>(&'a Option<PathBuf>);

impl std::fmt::Display for Kept<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(path) => write!(f, "; the last good checkpoint is {}", path.display()),
            None => Ok(()),
        }
    }
}

/// What can be done with a folder that holds something, where it is a run.
fn way_on(path: &Path) -> String {
    if path.join(granule_models::folder::CONFIG_FILE).is_file() {
        format!("continue that run with --resume {}, or ", path.display())
    } else {
        "it is not the folder of a run; ".to_owned()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn whatever_storage_refuses_the_next_command_is_named() {
        // A full disk, a file beyond the limit, a quota, a read-only file system, a folder of someone else, a failing
        // disk.
        for code in [28, 27, 122, 30, 13, 5] {
            let path = || PathBuf::from("r/checkpoints/x.ckpt");
            let source = || io::Error::from_raw_os_error(code);
            let of_file = || match code {
                28 => FileError::NoSpace { path: path() },
                _ => FileError::Io {
                    path: path(),
                    action: "write",
                    source: source(),
                },
            };
            let errors = || {
                [
                    TrainError::io("write", &path(), source()),
                    TrainError::File(of_file()),
                    TrainError::Model(ModelError::File(of_file())),
                    TrainError::Record(RecordError::File(of_file())),
                    TrainError::Record(RecordError::Io {
                        action: "write",
                        path: path(),
                        source: source(),
                    }),
                    TrainError::Data(DataError::io(&path(), "write", source())),
                ]
            };
            for error in errors() {
                let text = error.on_the_way(Path::new("r")).to_string();
                assert!(text.contains("x.ckpt"), "{text}");
                let next = "go on with `granule train --resume r`";
                assert!(text.contains(next), "{code}: {text}");
            }
            for error in errors() {
                let text = error.at_the_beginning().to_string();
                assert!(text.contains("x.ckpt"), "{text}");
                assert!(text.contains("--run-dir DIR"), "{code}: {text}");
            }
        }
    }
}
