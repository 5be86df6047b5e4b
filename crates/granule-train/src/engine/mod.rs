//! The training loop and what surrounds it.

use std::path::Path;

use granule_data::Dataset;
use granule_device::OpenDevice;
use granule_models::ModelFile;

use crate::{Evaluation, Observer, Outcome, RunConfig, StopFlag, TrainError};

/// Loads the data, trains, scores on the test part and writes the run folder.
///
/// `run_dir` must be absent or empty; without one it is `runs/<date>-<time>-<model>-<dataset>`.
///
/// # Errors
/// A [`TrainError`]; what was on disk before it stays, so that the run can be resumed.
pub fn train(
    config: &RunConfig,
    run_dir: Option<&Path>,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let _ = (config, run_dir, observer, stop);
    Err(TrainError::backend("not available yet"))
}

/// As [`train`], on data already in memory; `config.data.dataset` is only recorded.
///
/// # Errors
/// As [`train`].
pub fn train_with(
    config: &RunConfig,
    dataset: &Dataset,
    run_dir: Option<&Path>,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let _ = (config, dataset, run_dir, observer, stop);
    Err(TrainError::backend("not available yet"))
}

/// Goes on with an interrupted run at its last usable checkpoint. A finished run is reported as such.
///
/// # Errors
/// [`TrainError::NotARun`], [`TrainError::Locked`], [`TrainError::NoCheckpoint`], [`TrainError::OtherData`], and as
/// [`train`].
pub fn resume(
    run_dir: &Path,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let _ = (run_dir, observer, stop);
    Err(TrainError::backend("not available yet"))
}

/// As [`resume`], on data already in memory.
///
/// # Errors
/// As [`resume`].
pub fn resume_with(
    run_dir: &Path,
    dataset: &Dataset,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let _ = (run_dir, dataset, observer, stop);
    Err(TrainError::backend("not available yet"))
}

/// Scores a model file on the test part of a data set, `batch` samples at a time.
///
/// # Errors
/// [`TrainError::Mismatch`] when sample shape, targets or class count differ from the model's.
pub fn evaluate(
    file: &ModelFile,
    dataset: &Dataset,
    device: &OpenDevice,
    batch: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation, TrainError> {
    let _ = (file, dataset, device, batch, observer);
    Err(TrainError::backend("not available yet"))
}
