//! What a run leaves behind in its folder: metrics as JSON lines, CSV and TensorBoard events, and the HTML report.

mod growing;
mod measured;
mod recorder;
mod report;
mod tensorboard;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::metrics::finite;

pub use granule_models::folder::CONFIG_FILE;
pub(crate) use measured::Measured;
pub use measured::{
    load_importance, load_receptive_fields, store_importance, store_receptive_fields,
};
pub use recorder::{RecordOptions, RunRecorder};
pub use report::{
    ComparedRun, Comparison, Fact, MistakeCard, OutputTrace, Picture, ReportData, RunInfo, Scatter,
    TestResult, TrialExample, first_layer_filters, list_runs, render, render_comparison,
    render_detection, write_report,
};
pub(crate) use report::{DATA_FINGERPRINT, write_data};

/// Step and epoch rows inside a run folder, one JSON object a line.
pub const METRICS_JSONL: &str = "metrics.jsonl";
/// Epoch rows inside a run folder.
pub const METRICS_CSV: &str = "metrics.csv";
/// The page for people inside a run folder.
pub const REPORT_HTML: &str = "report.html";
/// What the decoder of the run uses, which the page shows where it was measured.
pub const IMPORTANCE_JSON: &str = "importance.json";
/// What its outputs answer to, which the page shows where it was measured.
pub const RECEPTIVE_FIELDS_JSON: &str = "receptive_fields.json";
/// What the page is made from.
pub const REPORT_JSON: &str = "report.json";

/// The state of a run at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Counted from 1.
    pub epoch: u64,
    /// Optimiser steps taken since the start of the run.
    pub step: u64,
    /// Mean loss over the epoch's training batches.
    #[serde(with = "finite")]
    pub train_loss: f64,
    /// Fraction in 0..=1; none for regression.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub train_accuracy: Option<f64>,
    /// None without a validation split.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub validation_loss: Option<f64>,
    /// Fraction in 0..=1; none without a validation split and for regression.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub validation_accuracy: Option<f64>,
    /// The learning rate of the epoch's last step.
    #[serde(with = "finite")]
    pub learning_rate: f64,
    /// Training samples per second of wall time.
    #[serde(with = "finite")]
    pub images_per_second: f64,
    /// Wall time of this epoch.
    #[serde(with = "finite")]
    pub seconds: f64,
}

/// One optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Optimiser steps taken since the start of the run, this one included.
    pub step: u64,
    /// The epoch the step belongs to, counted from 1.
    pub epoch: u64,
    /// Loss of the batch.
    #[serde(with = "finite")]
    pub loss: f64,
    /// Fraction of the batch predicted right; none for regression.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub accuracy: Option<f64>,
    /// The learning rate of this step.
    #[serde(with = "finite")]
    pub learning_rate: f64,
}

/// The end of a run, scored on the test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Fraction in 0..=1; none for regression.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub test_accuracy: Option<f64>,
    /// Mean loss over the test split.
    #[serde(with = "finite")]
    pub test_loss: f64,
    /// Plain mean of the classes' F1 scores; none for regression.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub macro_f1: Option<f64>,
    /// Mean coefficient of determination; none for classification.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "finite::optional"
    )]
    pub r2: Option<f64>,
    /// Epochs completed.
    pub epochs: u64,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Training samples per second of wall time.
    #[serde(with = "finite")]
    pub images_per_second: f64,
    /// Wall time of the run.
    #[serde(with = "finite")]
    pub seconds: f64,
    /// The device, in words.
    pub device: String,
    /// The run folder.
    pub run_dir: String,
    /// Path of the model file.
    pub model: String,
}

/// Why a run could not be recorded or reported.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder already belongs to a run.
    #[error("{} already holds a run ({file} is there); choose another folder, or resume it", dir.display())]
    Occupied {
        /// The run folder.
        dir: PathBuf,
        /// The file that was found.
        file: &'static str,
    },
    /// The folder is not that of a run.
    #[error("{} is not a run folder: {file} is missing", dir.display())]
    NotARun {
        /// The folder.
        dir: PathBuf,
        /// The file that was expected.
        file: &'static str,
    },
    /// The run ended before it had anything to report.
    #[error(
        "the run in {} has nothing to report yet; go on with it: granule train --resume {}",
        dir.display(), dir.display()
    )]
    NoReport {
        /// The run folder.
        dir: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `"read"`, `"write"`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be replaced as a whole.
    #[error(transparent)]
    File(#[from] granule_io::FileError),
    /// A file is there but does not say what it should.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Pixels that do not make an image.
    #[error(
        "a picture of {channels}×{height}×{width} needs 1 or 3 channels and {expected} bytes, found {found}"
    )]
    Picture {
        /// Channels asked for.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The page could not be made.
    #[error("cannot render the report: {reason}")]
    Render {
        /// What failed.
        reason: String,
    },
}

impl RecordError {
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    Ok(granule_io::write_atomic(path, bytes)?)
}
