use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::growing::{GrowingFile, whole_lines};
use super::tensorboard::EventWriter;
use super::{CONFIG_FILE, EpochRow, METRICS_CSV, METRICS_JSONL, RecordError, RunSummary, StepRow};

const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const CSV_HEADER: &str = "epoch,step,train_loss,train_accuracy,validation_loss,validation_accuracy,\
                          learning_rate,images_per_second,seconds";
/// Tags of the end of a run; they are written anew when a run is resumed.
const TEST_TAGS: &str = "test/";

/// How much of a run is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordOptions {
    /// Every how many steps a step row is kept; the first step always is, and 0 means no other.
    pub step_interval: u64,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self { step_interval: 10 }
    }
}

impl RecordOptions {
    /// What is missing of the rows of steps up to `step`, which were on the disk before its checkpoint was, in words.
    fn gap(self, step: u64, rows: &[StepRow]) -> Option<String> {
        let expected = match self.step_interval {
            1 => step,
            interval => step.checked_div(interval).unwrap_or(0) + u64::from(step > 0),
        };
        let found = rows.len() as u64;
        (found < expected).then(|| {
            format!(
                "{METRICS_JSONL} has {found} of the {expected} rows up to step {step}: it was cut or damaged, and the \
                 curves of this run lack the others"
            )
        })
    }
}

/// The rows of `metrics.jsonl`; a torn line is left out.
pub(super) fn rows(run_dir: &Path) -> Result<(Vec<EpochRow>, Vec<StepRow>), RecordError> {
    let (mut epochs, mut steps) = (Vec::new(), Vec::new());
    for text in whole_lines(&run_dir.join(METRICS_JSONL))? {
        match serde_json::from_str(&text) {
            Ok(Line::Step(row)) => steps.push(row),
            Ok(Line::Epoch(row)) => epochs.push(row),
            Ok(Line::Result(_)) | Err(_) => {}
        }
    }
    Ok((epochs, steps))
}

/// Writes the metrics of one run into its folder: `metrics.jsonl`, `metrics.csv` and a TensorBoard event file.
///
/// Rows reach the disk when [`sync`](Self::sync) is called, and at least the system about once a second. A run that was
/// interrupted after a checkpoint at step `s` continues with [`resume(run_dir, s, …)`](Self::resume), provided that the
/// rows up to `s` had been recorded and synced before the checkpoint was written.
pub struct RunRecorder {
    run_dir: PathBuf,
    options: RecordOptions,
    jsonl: GrowingFile,
    csv: GrowingFile,
    events: EventWriter,
    epochs: Vec<EpochRow>,
    steps: Vec<StepRow>,
    gap: Option<String>,
    flushed: Instant,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line {
    Step(StepRow),
    Epoch(EpochRow),
    Result(RunSummary),
}

impl RunRecorder {
    /// Creates the folder with the resolved `config.toml` and empty metrics files.
    ///
    /// # Errors
    /// [`RecordError::Occupied`] when the folder already holds a run, [`RecordError::Io`] and [`RecordError::File`]
    /// when it cannot be written to.
    pub fn create(
        run_dir: &Path,
        config_toml: &str,
        options: RecordOptions,
    ) -> Result<Self, RecordError> {
        if let Some(file) = [CONFIG_FILE, METRICS_JSONL, METRICS_CSV]
            .into_iter()
            .find(|f| run_dir.join(f).exists())
        {
            return Err(RecordError::Occupied {
                dir: run_dir.to_owned(),
                file,
            });
        }
        fs::create_dir_all(run_dir).map_err(|error| RecordError::io("create", run_dir, error))?;
        super::replace(&run_dir.join(CONFIG_FILE), config_toml.as_bytes())?;
        let events = EventWriter::create(run_dir)?;
        Self::open(run_dir, options, events, &[], &[])
    }

    /// Continues the files of an interrupted run: torn lines are repaired, rows past `upto_step` and a result removed.
    ///
    /// # Errors
    /// [`RecordError::NotARun`] when the folder holds no configuration, [`RecordError::Io`] and
    /// [`RecordError::File`] when its files cannot be read or written.
    pub fn resume(
        run_dir: &Path,
        upto_step: u64,
        options: RecordOptions,
    ) -> Result<Self, RecordError> {
        if !run_dir.join(CONFIG_FILE).exists() {
            return Err(RecordError::NotARun {
                dir: run_dir.to_owned(),
                file: CONFIG_FILE,
            });
        }
        let mut lines = Vec::new();
        let mut steps = Vec::new();
        let mut epochs = BTreeMap::new();
        for text in whole_lines(&run_dir.join(METRICS_JSONL))? {
            match serde_json::from_str(&text) {
                Ok(Line::Step(row)) if row.step <= upto_step => steps.push(row),
                Ok(Line::Epoch(row)) if row.step <= upto_step => {
                    epochs.insert(row.epoch, (row, csv_line(&row)));
                }
                _ => continue,
            }
            lines.push(text);
        }
        for text in whole_lines(&run_dir.join(METRICS_CSV))? {
            if let Some(row) = parse_csv_line(&text).filter(|row| row.step <= upto_step) {
                epochs.insert(row.epoch, (row, text));
            }
        }
        let (epochs, csv): (Vec<_>, Vec<_>) = epochs.into_values().unzip();
        let events = EventWriter::resume(run_dir, upto_step, TEST_TAGS)?;
        let recorder = Self::open(run_dir, options, events, &lines, &csv)?;
        Ok(Self {
            gap: options.gap(upto_step, &steps),
            epochs,
            steps,
            ..recorder
        })
    }

    /// Records one step, if the sampling interval selects it.
    ///
    /// # Errors
    /// [`RecordError::Io`] when a file cannot be written to.
    pub fn step(&mut self, row: &StepRow) -> Result<(), RecordError> {
        let on_interval = row.step.checked_rem(self.options.step_interval) == Some(0);
        if row.step != 1 && !on_interval {
            return Ok(());
        }
        self.write_step(row)?;
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Records the step at which a run fails, on the interval or not.
    ///
    /// # Errors
    /// [`RecordError::Io`] when a file cannot be written to.
    pub fn failed_step(&mut self, row: &StepRow) -> Result<(), RecordError> {
        self.write_step(row)?;
        self.flush()
    }

    fn write_step(&mut self, row: &StepRow) -> Result<(), RecordError> {
        self.jsonl.push_line(&json(&Line::Step(*row))?)?;
        let values = [
            ("train/loss", Some(row.loss)),
            ("train/accuracy", row.accuracy),
            ("train/learning_rate", Some(row.learning_rate)),
        ];
        self.events.scalars(row.step, &present(&values))?;
        self.steps.push(*row);
        Ok(())
    }

    /// Records one epoch.
    ///
    /// # Errors
    /// [`RecordError::Io`] when a file cannot be written to.
    pub fn epoch(&mut self, row: &EpochRow) -> Result<(), RecordError> {
        self.jsonl.push_line(&json(&Line::Epoch(*row))?)?;
        self.csv.push_line(&csv_line(row))?;
        let values = [
            ("epoch/train_loss", Some(row.train_loss)),
            ("epoch/train_accuracy", row.train_accuracy),
            ("epoch/images_per_second", Some(row.images_per_second)),
            ("validation/loss", row.validation_loss),
            ("validation/accuracy", row.validation_accuracy),
        ];
        self.events.scalars(row.step, &present(&values))?;
        self.epochs.push(*row);
        self.flush()
    }

    /// Records the end of the run and brings everything to the disk.
    ///
    /// # Errors
    /// [`RecordError::Io`] when a file cannot be written to.
    pub fn finish(&mut self, summary: &RunSummary) -> Result<(), RecordError> {
        self.jsonl
            .push_line(&json(&Line::Result(summary.clone()))?)?;
        let values = [
            ("test/loss", Some(summary.test_loss)),
            ("test/accuracy", summary.test_accuracy),
            ("test/macro_f1", summary.macro_f1),
            ("test/r2", summary.r2),
        ];
        self.events.scalars(summary.steps, &present(&values))?;
        self.sync()
    }

    /// Brings everything recorded so far to the disk: call it before a checkpoint is written.
    ///
    /// # Errors
    /// [`RecordError::Io`] when a file cannot be written to.
    pub fn sync(&mut self) -> Result<(), RecordError> {
        self.files().into_iter().try_for_each(GrowingFile::sync)
    }

    /// What has become of `metrics.jsonl` while it was written: `deleted`, `replaced` or `cut`; the other files are made of
    /// its rows when a run is resumed. Ask after [`sync`](Self::sync).
    pub(crate) fn lost(&self) -> Option<(&Path, &'static str)> {
        Some((self.jsonl.path.as_path(), self.jsonl.lost()?))
    }

    /// What is missing of the rows that a resumed run should have found, in words.
    pub fn gap(&self) -> Option<String> {
        self.gap.clone()
    }

    /// The run folder.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The epochs recorded so far, including those before a resume.
    pub fn epochs(&self) -> &[EpochRow] {
        &self.epochs
    }

    /// The step rows kept so far, including those before a resume.
    pub fn steps(&self) -> &[StepRow] {
        &self.steps
    }

    fn open(
        run_dir: &Path,
        options: RecordOptions,
        events: EventWriter,
        jsonl: &[String],
        csv: &[String],
    ) -> Result<Self, RecordError> {
        let file = |name, lines: String| GrowingFile::open(run_dir.join(name), lines.as_bytes());
        Ok(Self {
            run_dir: run_dir.to_owned(),
            options,
            jsonl: file(METRICS_JSONL, text(jsonl))?,
            csv: file(METRICS_CSV, format!("{CSV_HEADER}\n{}", text(csv)))?,
            events,
            gap: None,
            epochs: Vec::new(),
            steps: Vec::new(),
            flushed: Instant::now(),
        })
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        self.flushed = Instant::now();
        self.files().into_iter().try_for_each(GrowingFile::flush)
    }

    fn files(&mut self) -> [&mut GrowingFile; 3] {
        [&mut self.jsonl, &mut self.csv, self.events.file()]
    }
}

fn text(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

fn json(line: &Line) -> Result<String, RecordError> {
    serde_json::to_string(line).map_err(|error| RecordError::Render {
        reason: error.to_string(),
    })
}

fn present<'a>(values: &[(&'a str, Option<f64>)]) -> Vec<(&'a str, f64)> {
    values
        .iter()
        .filter_map(|&(tag, value)| value.map(|value| (tag, value)))
        .collect()
}

fn csv_line(row: &EpochRow) -> String {
    let number = |value: f64| {
        if value.is_finite() {
            value.to_string()
        } else {
            "nan".to_owned()
        }
    };
    let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
    [
        row.epoch.to_string(),
        row.step.to_string(),
        number(row.train_loss),
        optional(row.train_accuracy),
        optional(row.validation_loss),
        optional(row.validation_accuracy),
        number(row.learning_rate),
        number(row.images_per_second),
        number(row.seconds),
    ]
    .join(",")
}

fn parse_csv_line(line: &str) -> Option<EpochRow> {
    let cells: Vec<&str> = line.split(',').collect();
    let &[
        epoch,
        step,
        loss,
        accuracy,
        validation_loss,
        validation_accuracy,
        rate,
        speed,
        seconds,
    ] = cells.as_slice()
    else {
        return None;
    };
    let number = |cell: &str| cell.parse::<f64>().ok();
    let optional = |cell: &str| {
        if cell.is_empty() {
            Some(None)
        } else {
            number(cell).map(Some)
        }
    };
    Some(EpochRow {
        epoch: epoch.parse().ok()?,
        step: step.parse().ok()?,
        train_loss: number(loss)?,
        train_accuracy: optional(accuracy)?,
        validation_loss: optional(validation_loss)?,
        validation_accuracy: optional(validation_accuracy)?,
        learning_rate: number(rate)?,
        images_per_second: number(speed)?,
        seconds: number(seconds)?,
    })
}

#[cfg(test)]
mod tests;
