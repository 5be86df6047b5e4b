//! Runs side by side: what a folder of them holds, and where they differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use granule_io::Bound;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use super::curves::{Chart, overlays, run_class};
use super::{DATA_FINGERPRINT, ReportData, TestResult, format, page};
use crate::record::{CONFIG_FILE, EpochRow, RecordError};
use crate::settings::flatten;

const TEMPLATE: &str = include_str!("compare.html");

/// A run in one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunInfo {
    /// The run folder.
    #[serde(serialize_with = "lossy")]
    pub dir: PathBuf,
    /// When the run ended, or was last begun or resumed, RFC 3339; empty when it ended before its first step.
    pub created: String,
    /// Whether it has reached its end.
    pub finished: bool,
    /// The model's name.
    pub model: String,
    /// The data set's, task's or recording's name.
    pub dataset: String,
    /// The seed.
    pub seed: u64,
    /// Epochs done.
    pub epochs: u64,
    /// Scores on the test part by name: `accuracy`, `macro_f1`, `bits_per_spike`, `r2`, `loss`, each where there is one.
    pub scores: BTreeMap<&'static str, f64>,
    /// Wall time of training in seconds.
    pub seconds: f64,
    /// The device, in words.
    pub device: String,
}

fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The scores that a run may have, in the order shown.
const SCORES: [&str; 5] = ["accuracy", "macro_f1", "bits_per_spike", "r2", "loss"];

impl RunInfo {
    fn new(dir: &Path, data: &ReportData) -> Self {
        Self {
            dir: dir.to_owned(),
            created: data.created.clone(),
            finished: !data.interrupted,
            model: data.model.clone(),
            dataset: data.dataset.clone(),
            seed: data.seed,
            epochs: data.epochs.len() as u64,
            scores: data.test.as_ref().map(scores).unwrap_or_default(),
            seconds: data.seconds,
            device: data.device.clone(),
        }
    }

    /// A run that has nothing to report yet.
    fn begun(dir: &Path) -> Result<Self, RecordError> {
        let config = crate::RunConfig::from_toml_str(&config_text(dir)?);
        let config = config.map_err(|error| RecordError::Damaged {
            path: dir.join(CONFIG_FILE),
            reason: error.to_string(),
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            created: String::new(),
            finished: false,
            model: config.model.name().to_owned(),
            dataset: match &config.data.task {
                Some(task) => task.kind().to_string(),
                None => config.data.dataset.to_string(),
            },
            seed: config.seed,
            epochs: 0,
            scores: BTreeMap::new(),
            seconds: 0.0,
            device: config.device.to_string(),
        })
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        let name = self.dir.file_name().unwrap_or(self.dir.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

fn scores(test: &TestResult) -> BTreeMap<&'static str, f64> {
    let (loss, others) = match test {
        TestResult::Classification { loss, report, .. } => (
            loss,
            vec![
                ("accuracy", Some(report.accuracy)),
                ("macro_f1", Some(report.macro_avg.f1)),
            ],
        ),
        TestResult::Regression { loss, scores, .. } => (
            loss,
            vec![
                ("bits_per_spike", scores.bits_per_spike),
                ("r2", Some(scores.mean.r2)),
            ],
        ),
        TestResult::Trials { loss, scores, .. } => {
            (loss, vec![("accuracy", scores.score.accuracy())])
        }
        TestResult::Recording { loss, scores, .. } => (loss, vec![("r2", scores.r2())]),
    };
    let others = others.into_iter().filter_map(|(name, x)| Some((name, x?)));
    others.chain([("loss", *loss)]).collect()
}

fn config_text(dir: &Path) -> Result<String, RecordError> {
    let path = dir.join(CONFIG_FILE);
    granule_io::read_text(&path, Bound::CONFIGURATION).map_err(|error| {
        if error.is_absent() {
            RecordError::NotARun {
                dir: dir.to_owned(),
                file: CONFIG_FILE,
            }
        } else {
            error.into()
        }
    })
}

/// The runs in a folder, the latest last, and those whose records cannot be read.
///
/// # Errors
/// [`RecordError::Io`] when the folder cannot be listed.
pub fn list_runs(folder: &Path) -> Result<(Vec<RunInfo>, Vec<RecordError>), RecordError> {
    let list = |error| RecordError::io("list", folder, error);
    let (mut runs, mut unreadable) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(list)? {
        let dir = entry.map_err(list)?.path();
        if !dir.join(CONFIG_FILE).is_file() {
            continue;
        }
        let info = match ReportData::load(&dir) {
            Ok(data) => Ok(RunInfo::new(&dir, &data)),
            Err(RecordError::NoReport { .. }) => RunInfo::begun(&dir),
            Err(error) => Err(error),
        };
        match info {
            Ok(info) => runs.push(info),
            Err(error) => unreadable.push(error),
        }
    }
    // Two runs of one second go by their names, which begin with the date.
    runs.sort_by(|a, b| (&a.created, &a.dir).cmp(&(&b.created, &b.dir)));
    Ok((runs, unreadable))
}

/// Runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The runs, in the order they were named.
    pub runs: Vec<ComparedRun>,
    /// The settings that are not alike in all runs, by their names in TOML, each with a value for every run that has it.
    pub settings: Vec<(String, Vec<Option<String>>)>,
}

/// A run among others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedRun {
    /// What it is called: the name of its folder, or its path where two names are alike.
    pub name: String,
    /// The run in one line.
    #[serde(flatten)]
    pub info: RunInfo,
    /// Its learning curves.
    pub curve: Vec<EpochRow>,
    /// That of its data, where the report has it.
    pub fingerprint: Option<String>,
}

impl Comparison {
    /// Reads the runs.
    ///
    /// # Errors
    /// Those of [`ReportData::load`], and [`RecordError::Damaged`] for a configuration that is not TOML.
    pub fn load(dirs: &[PathBuf]) -> Result<Self, RecordError> {
        let (mut runs, mut tables) = (Vec::new(), Vec::new());
        for dir in dirs {
            let data = ReportData::load(dir)?;
            let table = data.config_toml.parse::<toml::Table>();
            let table = table.map_err(|error| RecordError::Damaged {
                path: dir.join(super::REPORT_JSON),
                reason: error.to_string(),
            })?;
            let mut settings = BTreeMap::new();
            flatten(String::new(), &toml::Value::Table(table), &mut settings);
            tables.push(settings);
            let info = RunInfo::new(dir, &data);
            let of_data = data.provenance.iter();
            let fingerprint = of_data
                .filter(|fact| fact.name == DATA_FINGERPRINT)
                .map(|fact| fact.value.clone())
                .next();
            runs.push(ComparedRun {
                name: info.name(),
                info,
                curve: data.epochs,
                fingerprint,
            });
        }
        let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
        for run in &mut runs {
            if names.iter().filter(|name| **name == run.name).count() > 1 {
                run.name = run.info.dir.display().to_string();
            }
        }
        let names: std::collections::BTreeSet<&String> =
            tables.iter().flat_map(BTreeMap::keys).collect();
        let settings = names
            .into_iter()
            .map(|name| {
                let values = tables.iter().map(|table| table.get(name).cloned());
                (name.clone(), values.collect::<Vec<_>>())
            })
            .filter(|(_, values)| values.iter().any(|value| Some(value) != values.first()))
            .collect();
        Ok(Self { runs, settings })
    }

    /// What of the runs cannot be compared, one sentence each.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut known = self.runs.iter().filter(|run| run.fingerprint.is_some());
        if let Some(first) = known.next()
            && let Some(other) = known.find(|run| run.fingerprint != first.fingerprint)
        {
            doubts.push(format!(
                "{} and {} had different data, by their fingerprints: what they score on them cannot be compared",
                first.name, other.name
            ));
        }
        let losses = self.settings.iter().find(|(name, _)| name == "train.loss");
        let Some((_, losses)) = losses else {
            return doubts;
        };
        let runs = self.runs.iter().zip(losses);
        let of = runs.map(|(run, loss)| {
            let loss = loss
                .as_deref()
                .unwrap_or("an unknown one")
                .trim_matches('"');
            format!("{loss} of {}", run.name)
        });
        doubts.push(format!(
            "the losses are of different kinds and cannot be compared: {}",
            of.collect::<Vec<_>>().join(", ")
        ));
        doubts
    }

    /// The scores that a run has, in the order shown.
    pub fn score_names(&self) -> Vec<&'static str> {
        let has = |name: &&str| {
            let mut runs = self.runs.iter();
            runs.any(|run| run.info.scores.contains_key(*name))
        };
        SCORES.into_iter().filter(has).collect()
    }
}

#[derive(Serialize)]
struct Page {
    runs: Vec<Row>,
    doubts: Vec<String>,
    score_names: Vec<&'static str>,
    settings: Vec<Setting>,
    charts: Vec<Chart>,
}

#[derive(Serialize)]
struct Row {
    class: String,
    name: String,
    created: String,
    finished: bool,
    model: String,
    dataset: String,
    epochs: u64,
    scores: Vec<String>,
    time: String,
    device: String,
}

#[derive(Serialize)]
struct Setting {
    name: String,
    values: Vec<Option<String>>,
}

/// A score's name as a heading.
fn title_of(score: &'static str) -> &'static str {
    match score {
        "macro_f1" => "macro F1",
        "r2" => "R²",
        "bits_per_spike" => "bits per spike",
        other => other,
    }
}

/// The comparison as one self-contained page of HTML.
///
/// # Errors
/// [`RecordError::Render`] when the template fails.
pub fn render_comparison(comparison: &Comparison) -> Result<String, RecordError> {
    let names = comparison.score_names();
    let shown = |name: &str, value: f64| match name {
        "accuracy" => format::percent(value, 2),
        "loss" => format::significant(value),
        _ => format!("{value:.4}"),
    };
    let runs = comparison.runs.iter().enumerate();
    let rows = runs.map(|(index, run)| Row {
        class: run_class(index),
        name: run.name.clone(),
        created: run.info.created.clone(),
        finished: run.info.finished,
        model: run.info.model.clone(),
        dataset: run.info.dataset.clone(),
        epochs: run.info.epochs,
        scores: names
            .iter()
            .map(|name| {
                let score = run.info.scores.get(name);
                score.map_or("–".to_owned(), |score| shown(name, *score))
            })
            .collect(),
        time: format::duration(run.info.seconds),
        device: run.info.device.clone(),
    });
    let curves: Vec<(&str, &[EpochRow])> = comparison
        .runs
        .iter()
        .map(|run| (run.name.as_str(), run.curve.as_slice()))
        .collect();
    let settings = comparison.settings.iter().map(|(name, values)| Setting {
        name: name.clone(),
        values: values.clone(),
    });
    let view = Page {
        runs: rows.collect(),
        doubts: comparison.doubts(),
        settings: settings.collect(),
        charts: overlays(&curves),
        score_names: names.iter().map(|name| title_of(name)).collect(),
    };
    let title = format!("{} runs compared", view.runs.len());
    let version = env!("CARGO_PKG_VERSION");
    let view = Value::from(Serde(view));
    page(TEMPLATE, context! { title, version, page => view })
}
