use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

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

/// Writes the metrics of one run into its folder: `metrics.jsonl`, `metrics.csv` and a TensorBoard event file.
///
/// Rows reach the disk when [`sync`](Self::sync) is called, and at least the system about once a second. A run that was
/// interrupted after a checkpoint at step `s` continues with [`resume(run_dir, s, …)`](Self::resume), provided that the
/// rows up to `s` had been recorded and synced before the checkpoint was written.
pub struct RunRecorder {
    run_dir: PathBuf,
    options: RecordOptions,
    jsonl: LineFile,
    csv: LineFile,
    events: EventWriter,
    epochs: Vec<EpochRow>,
    steps: Vec<StepRow>,
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
    /// [`RecordError::Occupied`] when the folder already holds a run, [`RecordError::Io`] and [`RecordError::Replace`]
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
        fs::create_dir_all(run_dir).map_err(|source| RecordError::Io {
            action: "create",
            path: run_dir.to_owned(),
            source,
        })?;
        super::replace(&run_dir.join(CONFIG_FILE), config_toml.as_bytes())?;
        let events = EventWriter::create(run_dir)?;
        Self::open(run_dir, options, events, &[], &[])
    }

    /// Continues the files of an interrupted run: torn lines are repaired, rows past `upto_step` and a result removed.
    ///
    /// # Errors
    /// [`RecordError::NotARun`] when the folder holds no configuration, [`RecordError::Io`] and
    /// [`RecordError::Replace`] when its files cannot be read or written.
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
        if row.step != 1
            && !row
                .step
                .checked_rem(self.options.step_interval)
                .is_some_and(|rest| rest == 0)
        {
            return Ok(());
        }
        self.jsonl.push(&json(&Line::Step(*row))?)?;
        let values = [
            ("train/loss", Some(row.loss)),
            ("train/accuracy", row.accuracy),
            ("train/learning_rate", Some(row.learning_rate)),
        ];
        self.events.scalars(row.step, &present(&values))?;
        self.steps.push(*row);
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Records one epoch.
    ///
    /// # Errors
    /// [`RecordError::Io`] when a file cannot be written to.
    pub fn epoch(&mut self, row: &EpochRow) -> Result<(), RecordError> {
        self.jsonl.push(&json(&Line::Epoch(*row))?)?;
        self.csv.push(&csv_line(row))?;
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
        self.jsonl.push(&json(&Line::Result(summary.clone()))?)?;
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
        self.jsonl.sync()?;
        self.csv.sync()?;
        self.events.sync()
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
        let header = CSV_HEADER.to_owned();
        Ok(Self {
            run_dir: run_dir.to_owned(),
            options,
            jsonl: LineFile::open(run_dir.join(METRICS_JSONL), jsonl)?,
            csv: LineFile::open(
                run_dir.join(METRICS_CSV),
                std::iter::once(&header).chain(csv),
            )?,
            events,
            epochs: Vec::new(),
            steps: Vec::new(),
            flushed: Instant::now(),
        })
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        self.flushed = Instant::now();
        self.jsonl.flush()?;
        self.csv.flush()?;
        self.events.flush()
    }
}

struct LineFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl LineFile {
    /// A file that holds `lines` and is open for more.
    fn open<'a>(
        path: PathBuf,
        lines: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self, RecordError> {
        let text: String = lines
            .into_iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect();
        super::replace(&path, text.as_bytes())?;
        match OpenOptions::new().append(true).open(&path) {
            Ok(file) => Ok(Self {
                path,
                out: BufWriter::new(file),
            }),
            Err(source) => Err(RecordError::Io {
                action: "write",
                path,
                source,
            }),
        }
    }

    fn push(&mut self, line: &str) -> Result<(), RecordError> {
        self.out
            .write_all(line.as_bytes())
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|source| self.failed(source))
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        self.out.flush().map_err(|source| self.failed(source))
    }

    fn sync(&mut self) -> Result<(), RecordError> {
        self.flush()?;
        self.out
            .get_ref()
            .sync_data()
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> RecordError {
        RecordError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        }
    }
}

/// The lines of a file that end with a newline; none when there is no file.
fn whole_lines(path: &Path) -> Result<Vec<String>, RecordError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(RecordError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect())
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::tensorboard;

    const STEPS_PER_EPOCH: u64 = 25;

    fn summary() -> RunSummary {
        RunSummary {
            test_accuracy: Some(0.975),
            test_loss: 0.08,
            macro_f1: Some(0.974),
            r2: None,
            epochs: 3,
            steps: 75,
            images_per_second: 4000.0,
            seconds: 30.0,
            device: "flex (CPU, 2 threads)".into(),
            run_dir: "run".into(),
            model: "run/model.granule".into(),
        }
    }

    fn record(recorder: &mut RunRecorder, steps: std::ops::RangeInclusive<u64>) {
        for step in steps {
            let epoch = step.div_ceil(STEPS_PER_EPOCH);
            let loss = 1.0 / step as f64;
            recorder
                .step(&StepRow {
                    step,
                    epoch,
                    loss,
                    accuracy: Some(1.0 - loss),
                    learning_rate: 1e-7,
                })
                .unwrap();
            if step % STEPS_PER_EPOCH == 0 {
                recorder
                    .epoch(&EpochRow {
                        epoch,
                        step,
                        train_loss: loss * 0.3,
                        train_accuracy: Some(1.0 - loss),
                        validation_loss: Some(loss / 0.7),
                        validation_accuracy: None,
                        learning_rate: 1e-7,
                        images_per_second: 1000.0 / 3.0,
                        seconds: 7.0,
                    })
                    .unwrap();
            }
        }
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    fn contents(dir: &Path) -> (String, String, Vec<(u64, Vec<String>)>) {
        (
            read(dir, METRICS_JSONL),
            read(dir, METRICS_CSV),
            tensorboard::events(dir),
        )
    }

    fn uninterrupted() -> (String, String, Vec<(u64, Vec<String>)>) {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder =
            RunRecorder::create(dir.path(), "seed = 1\n", RecordOptions::default()).unwrap();
        record(&mut recorder, 1..=75);
        recorder.finish(&summary()).unwrap();
        contents(dir.path())
    }

    #[test]
    fn writes_every_file() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("runs/first");
        let mut recorder =
            RunRecorder::create(&run, "seed = 1\n", RecordOptions { step_interval: 25 }).unwrap();
        record(&mut recorder, 1..=25);
        recorder.finish(&summary()).unwrap();
        assert_eq!((recorder.epochs().len(), recorder.steps().len()), (1, 2));
        let (jsonl, csv, events) = contents(&run);
        assert_eq!(read(&run, CONFIG_FILE), "seed = 1\n");
        assert_eq!(
            csv,
            "epoch,step,train_loss,train_accuracy,validation_loss,validation_accuracy,learning_rate,\
             images_per_second,seconds\n1,25,0.012,0.96,0.05714285714285715,,0.0000001,333.3333333333333,7\n"
        );
        let lines: Vec<_> = jsonl.lines().collect();
        assert_eq!(
            lines[0],
            r#"{"event":"step","step":1,"epoch":1,"loss":1.0,"accuracy":0.0,"learning_rate":1e-7}"#
        );
        assert_eq!(lines.len(), 4);
        assert!(
            lines[2].starts_with(r#"{"event":"epoch","epoch":1,"step":25,"train_loss":0.012,"#)
        );
        assert!(lines[3].starts_with(
            r#"{"event":"result","test_accuracy":0.975,"test_loss":0.08,"macro_f1":0.974,"#
        ));
        let tags = |list: &[&str]| list.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            events,
            [
                (0, vec![]),
                (
                    1,
                    tags(&["train/loss", "train/accuracy", "train/learning_rate"])
                ),
                (
                    25,
                    tags(&["train/loss", "train/accuracy", "train/learning_rate"])
                ),
                (
                    25,
                    tags(&[
                        "epoch/train_loss",
                        "epoch/train_accuracy",
                        "epoch/images_per_second",
                        "validation/loss"
                    ])
                ),
                (75, tags(&["test/loss", "test/accuracy", "test/macro_f1"])),
            ]
        );
    }

    #[test]
    fn values_that_are_not_finite_are_written_as_null_and_nan() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = RunRecorder::create(dir.path(), "", RecordOptions::default()).unwrap();
        let row = EpochRow {
            epoch: 1,
            step: 5,
            train_loss: f64::NAN,
            train_accuracy: None,
            validation_loss: Some(f64::INFINITY),
            validation_accuracy: None,
            learning_rate: 0.1,
            images_per_second: 1.0,
            seconds: 2.0,
        };
        recorder.epoch(&row).unwrap();
        let (jsonl, csv, _) = contents(dir.path());
        assert!(csv.ends_with("\n1,5,nan,,nan,,0.1,1,2\n"));
        let expected = r#"{"event":"epoch","epoch":1,"step":5,"train_loss":null,"validation_loss":null,"learning_rate":0.1,"images_per_second":1.0,"seconds":2.0}"#;
        assert_eq!(jsonl.trim_end(), expected);
        drop(recorder);
        let resumed = RunRecorder::resume(dir.path(), 5, RecordOptions::default()).unwrap();
        let [row] = resumed.epochs() else {
            panic!("one epoch")
        };
        assert!(row.train_loss.is_nan() && row.train_accuracy.is_none());
        assert!(row.validation_loss.is_some_and(f64::is_nan));
        assert_eq!(contents(dir.path()).1, csv);
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = RunRecorder::resume(dir.path(), 0, RecordOptions::default())
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("config.toml is missing"),
            "{error}"
        );
        drop(RunRecorder::create(dir.path(), "a", RecordOptions::default()).unwrap());
        let error = RunRecorder::create(dir.path(), "b", RecordOptions::default())
            .err()
            .unwrap();
        assert!(
            error
                .to_string()
                .contains("choose another folder, or resume it"),
            "{error}"
        );
        assert_eq!(read(dir.path(), CONFIG_FILE), "a");
    }

    #[test]
    fn a_lost_csv_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = RunRecorder::create(dir.path(), "", RecordOptions::default()).unwrap();
        record(&mut recorder, 1..=75);
        drop(recorder);
        let csv = read(dir.path(), METRICS_CSV);
        fs::remove_file(dir.path().join(METRICS_CSV)).unwrap();
        let recorder = RunRecorder::resume(dir.path(), 50, RecordOptions::default()).unwrap();
        assert_eq!(recorder.epochs().len(), 2);
        let rows = |text: &str| {
            text.lines()
                .skip(1)
                .filter_map(parse_csv_line)
                .map(|row| row.epoch)
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(&read(dir.path(), METRICS_CSV)), rows(&csv)[..2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_resumed_run_equals_an_uninterrupted_one(
            checkpoint in 0u64..=75,
            overrun in 0u64..40,
            torn in 0usize..60,
            finished in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path();
            let mut recorder = RunRecorder::create(path, "", RecordOptions::default()).unwrap();
            record(&mut recorder, 1..=checkpoint);
            recorder.sync().unwrap();
            let synced = [METRICS_JSONL, METRICS_CSV].map(|name| fs::metadata(path.join(name)).unwrap().len());
            record(&mut recorder, checkpoint + 1..=(checkpoint + overrun).min(75));
            if finished {
                recorder.finish(&summary()).unwrap();
            }
            drop(recorder);
            for (name, synced) in [METRICS_JSONL, METRICS_CSV].into_iter().zip(synced) {
                let file = OpenOptions::new().write(true).open(path.join(name)).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(length.saturating_sub(torn as u64).max(synced)).unwrap();
            }
            let mut recorder = RunRecorder::resume(path, checkpoint, RecordOptions::default()).unwrap();
            record(&mut recorder, checkpoint + 1..=75);
            recorder.finish(&summary()).unwrap();
            prop_assert_eq!((recorder.epochs().len(), recorder.steps().len()), (3, 8));
            prop_assert_eq!(contents(path), uninterrupted());
        }
    }
}
