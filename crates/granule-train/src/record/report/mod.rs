//! The page that shows a run.

mod anomalies;
mod axis;
mod compare;
mod curves;
mod format;
mod heatmap;
mod importance;
mod null;
mod picture;
mod psychometric;
mod receptive;
mod scatter;
mod trial;
mod view;

use std::path::Path;

use granule_io::{Bound, read};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::{Deserialize, Serialize};

use super::measured::Measured;
use super::recorder;
use super::{CONFIG_FILE, EpochRow, REPORT_HTML, REPORT_JSON, RecordError, StepRow};
use crate::metrics::{
    Baseline, ClassShares, ClassificationReport, ConfusionMatrix, PermutationTest,
    RegressionScores, finite,
};
use crate::{RecordingScores, TrialScores};

pub use anomalies::render_detection;
pub use compare::{ComparedRun, Comparison, RunInfo, list_runs, render_comparison};
pub use picture::{Picture, first_layer_filters};
pub use scatter::Scatter;
pub use trial::{OutputTrace, TrialExample};

const TEMPLATE: &str = include_str!("template.html");
/// What all pages have around their content.
const SHELL: &str = include_str!("shell.html");
const CHARTS: &str = include_str!("charts.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const MOST_STORED_STEPS: usize = 1000;

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
    /// When the run ended, or was last begun or resumed, as shown: RFC 3339.
    pub created: String,
    /// Wall time of training in seconds.
    #[serde(with = "finite")]
    pub seconds: f64,
    /// Training samples per second of wall time.
    #[serde(with = "finite")]
    pub images_per_second: f64,
    /// Whether the run has not reached its end: it was interrupted, failed, or goes on.
    pub interrupted: bool,
    /// The epoch whose weights were kept, counted from 1.
    pub best_epoch: Option<u64>,
    /// The learning curves.
    pub epochs: Vec<EpochRow>,
    /// The learning curve within epochs, sampled.
    pub steps: Vec<StepRow>,
    /// How the model did on the test split; none while a run has not been tested.
    pub test: Option<TestResult>,
    /// First-layer filters as images, see [`first_layer_filters`].
    pub filters: Vec<Picture>,
    /// The resolved configuration.
    pub config_toml: String,
    /// Where the model comes from, in the order shown: data fingerprint, run folder, command, …
    pub provenance: Vec<Fact>,
    /// What was recognised in the data and taken for granted.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What the reader should know before trusting the numbers.
    pub warnings: Vec<String>,
}

/// The [`Fact`] that tells data apart.
pub(crate) const DATA_FINGERPRINT: &str = "Data fingerprint";

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
pub enum TestResult {
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
        /// What a decoder of a recording is compared with.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        baselines: Vec<Baseline<ClassShares>>,
        /// Whether answers for a recording have to do with the truth.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permutation: Option<PermutationTest>,
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
    /// Trials of a task were gone through.
    Trials {
        /// Mean test loss.
        #[serde(with = "finite")]
        loss: f64,
        /// The scores.
        scores: TrialScores,
        /// The first test trial.
        example: Option<TrialExample>,
    },
    /// A recording was to be followed.
    Recording {
        /// Mean test loss.
        #[serde(with = "finite")]
        loss: f64,
        /// The scores.
        scores: RecordingScores,
        /// The first test trial.
        example: TrialExample,
    },
}

/// One wrong prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MistakeCard {
    /// Position of the sample in the test split.
    pub index: usize,
    /// The class it belongs to.
    pub truth: usize,
    /// The class it was taken for.
    pub predicted: usize,
    /// The probability given to `predicted`.
    #[serde(with = "finite")]
    pub probability: f64,
    /// The image; none for feature vectors.
    pub picture: Option<Picture>,
}

impl ReportData {
    /// Reads `report.json` of a run folder. Without results, as after a crash, the curves are those of `metrics.jsonl`,
    /// which goes further.
    ///
    /// # Errors
    /// [`RecordError::NotARun`] when the folder is not that of a run, [`RecordError::NoReport`] when the run ended before
    /// its first step, [`RecordError::Io`] when a file cannot be read, [`RecordError::Damaged`] when it cannot be
    /// understood.
    pub fn load(run_dir: &Path) -> Result<Self, RecordError> {
        let mut data = Self::stored(run_dir)?;
        if data.test.is_none() {
            let (epochs, steps) = recorder::rows(run_dir)?;
            data.continue_with(epochs, steps);
        }
        Ok(data)
    }

    fn continue_with(&mut self, epochs: Vec<EpochRow>, steps: Vec<StepRow>) {
        let last = |steps: &[StepRow]| steps.last().map_or(0, |row| row.step);
        if epochs.len() < self.epochs.len() || last(&steps) < last(&self.steps) {
            return;
        }
        let seconds: f64 = epochs.iter().map(|row| row.seconds).sum();
        if seconds > self.seconds {
            let samples: f64 = epochs
                .iter()
                .map(|row| row.seconds * row.images_per_second)
                .sum();
            self.seconds = seconds;
            self.images_per_second = samples / seconds;
        }
        self.epochs = epochs;
        self.steps = steps;
    }

    fn stored(run_dir: &Path) -> Result<Self, RecordError> {
        let path = run_dir.join(REPORT_JSON);
        let bytes = match read(&path, Bound::RECORD) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => {
                let dir = run_dir.to_owned();
                return Err(if run_dir.join(CONFIG_FILE).exists() {
                    RecordError::NoReport { dir }
                } else {
                    RecordError::NotARun {
                        dir,
                        file: CONFIG_FILE,
                    }
                });
            }
            Err(error) => return Err(error.into()),
        };
        granule_io::from_json(&bytes).map_err(|error| RecordError::Damaged {
            path,
            reason: error.to_string(),
        })
    }
}

/// The page as HTML: self-contained, without any request to elsewhere.
///
/// # Errors
/// [`RecordError::Render`] when the template fails.
pub fn render(data: &ReportData) -> Result<String, RecordError> {
    render_with(data, &Measured::default())
}

/// The same with what was measured after the training.
fn render_with(data: &ReportData, measured: &Measured) -> Result<String, RecordError> {
    let view = view::view(data, measured);
    let (title, version) = (view.title.clone(), &data.version);
    let run = Value::from(Serde(view));
    page(TEMPLATE, context! { title, version, run })
}

/// A page: a template that fills the blocks of `shell.html` and may take its charts from `charts.html`; its context has
/// `title` and `version`.
fn page(template: &str, context: Value) -> Result<String, RecordError> {
    let failed = |error: minijinja::Error| RecordError::Render {
        reason: format!("{error:#}"),
    };
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(failed)?;
    environment.set_syntax(syntax);
    let parts = [
        ("shell.html", SHELL),
        ("charts.html", CHARTS),
        (REPORT_HTML, template),
    ];
    for (name, text) in parts {
        environment.add_template(name, text).map_err(failed)?;
    }
    let template = environment.get_template(REPORT_HTML).map_err(failed)?;
    let context = context! { style => STYLE, script => SCRIPT, ..context };
    template.render(context).map_err(failed)
}

/// Writes `report.json` and `report.html` into the run folder; the page shows what `importance.json` and
/// `receptive_fields.json` there have as well.
///
/// # Errors
/// [`RecordError::Render`] when the page cannot be made, [`RecordError::File`] when a file cannot be written,
/// [`RecordError::Damaged`] when one of these cannot be understood.
pub fn write_report(run_dir: &Path, data: &ReportData) -> Result<(), RecordError> {
    let stored = write_data(run_dir, data)?;
    let page = render_with(&stored, &Measured::load(run_dir)?)?;
    super::replace(&run_dir.join(REPORT_HTML), page.as_bytes())
}

/// Writes `report.json` alone, so that a run that ends before its time can be reported; what was written.
pub(crate) fn write_data(run_dir: &Path, data: &ReportData) -> Result<ReportData, RecordError> {
    let stored = ReportData {
        steps: curves::thin_steps(&data.steps, MOST_STORED_STEPS),
        ..data.clone()
    };
    let json = serde_json::to_vec(&stored).map_err(|error| RecordError::Render {
        reason: error.to_string(),
    })?;
    super::replace(&run_dir.join(REPORT_JSON), &json)?;
    Ok(stored)
}

#[cfg(test)]
mod tests;
