//! The page that shows a run.

mod picture;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{EpochRow, RecordError, StepRow};
use crate::metrics::{ClassificationReport, ConfusionMatrix, RegressionScores, finite};

pub use picture::{Picture, first_layer_filters};

/// Everything the report shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportData {
    /// The model's name: `"lenet"`.
    pub model: String,
    /// How many trainable numbers the model has.
    pub parameters: u64,
    /// The data set's name: `"mnist"`.
    pub dataset: String,
    /// Samples trained on.
    pub train_samples: u64,
    /// Samples held out for validation, 0 without a split.
    pub validation_samples: u64,
    /// Samples tested on.
    pub test_samples: u64,
    /// The device in words: `"flex (CPU, 2 threads)"`.
    pub device: String,
    /// The seed of the run.
    pub seed: u64,
    /// The granule version that trained it.
    pub version: String,
    /// When the run ended, RFC 3339.
    pub created: String,
    /// Wall time of training in seconds.
    #[serde(with = "finite")]
    pub seconds: f64,
    /// Training samples per second of wall time.
    #[serde(with = "finite")]
    pub images_per_second: f64,
    /// Whether the run was stopped before its last epoch.
    pub interrupted: bool,
    /// The epoch whose weights were kept, counted from 1.
    pub best_epoch: Option<u64>,
    /// The learning curves.
    pub epochs: Vec<EpochRow>,
    /// The learning curve within epochs, sampled.
    pub steps: Vec<StepRow>,
    /// How the model did on the test split.
    pub outcome: Outcome,
    /// First-layer filters as images, see [`first_layer_filters`].
    pub filters: Vec<Picture>,
    /// The resolved configuration.
    pub config_toml: String,
    /// Where the model comes from, in the order shown: data fingerprint, run folder, command, …
    pub provenance: Vec<Fact>,
    /// What the reader should know before trusting the numbers.
    pub warnings: Vec<String>,
}

/// A named value, shown as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Results on the test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Outcome {
    /// Samples were sorted into classes.
    Classification {
        /// Mean test loss.
        #[serde(with = "finite")]
        loss: f64,
        /// The scores; class names are taken from here.
        report: ClassificationReport,
        /// The counts behind them.
        confusion: ConfusionMatrix,
        /// Wrong predictions, the most confident first; the first 32 are shown.
        mistakes: Vec<MistakeCard>,
    },
    /// Real values were predicted.
    Regression {
        /// Mean test loss.
        #[serde(with = "finite")]
        loss: f64,
        /// The scores.
        scores: RegressionScores,
        /// Predictions against the truth, see [`Scatter::sample`].
        scatters: Vec<Scatter>,
    },
}

/// One wrong prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MistakeCard {
    /// Position of the sample in the test split.
    pub index: u64,
    /// The class it belongs to.
    pub truth: usize,
    /// The class it was taken for.
    pub predicted: usize,
    /// The probability given to `predicted`.
    pub probability: f32,
    /// The image; none for feature vectors.
    pub picture: Option<Picture>,
}

/// Predictions of one output against the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scatter {
    /// Which output, counted from 0.
    pub output: usize,
    /// (true, predicted) pairs.
    pub points: Vec<(f32, f32)>,
}

impl Scatter {
    /// Evenly spaced samples of `truth` and `predicted`, both row-major `[samples, width]`: at most 1500 for each of the
    /// first six outputs. Pairs with a NaN or infinite value are left out.
    pub fn sample(truth: &[f32], predicted: &[f32], width: usize) -> Vec<Self> {
        let _ = (truth, predicted, width);
        Vec::new()
    }
}

impl ReportData {
    /// Reads `report.json` of a run folder.
    ///
    /// # Errors
    /// [`RecordError::NotARun`] when there is none, [`RecordError::Damaged`] when it cannot be understood.
    pub fn load(run_dir: &Path) -> Result<Self, RecordError> {
        Err(RecordError::NotARun {
            dir: run_dir.to_owned(),
            file: super::REPORT_JSON,
        })
    }
}

/// The page as HTML: self-contained, without any request to elsewhere.
///
/// # Errors
/// [`RecordError::Render`] when the template fails.
pub fn render(data: &ReportData) -> Result<String, RecordError> {
    let _ = data;
    Ok(String::new())
}

/// Writes `report.json` and `report.html` into the run folder.
///
/// # Errors
/// [`RecordError::Render`] and [`RecordError::Replace`].
pub fn write_report(run_dir: &Path, data: &ReportData) -> Result<(), RecordError> {
    let _ = (run_dir, data);
    Ok(())
}
