//! Training.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use granule::io::table::rename;
use granule::models::folder::checkpoints;
use granule::train::config::from_folder;
use granule::train::{Event, Observer, Outcome, RunConfig, StopFlag, resume, train};
use pyo3::prelude::*;
use serde_json::{Value as Json, json};

use crate::error::{Failure, raised, work};
use crate::settings::{Described, overrides};

/// How often Python hears of steps and is asked whether somebody pressed Ctrl-C.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells Python what happens, and hears from it when to stop.
struct Watcher {
    /// Called with the name of an event and what it says; False stops the run.
    notify: Py<PyAny>,
    stop: StopFlag,
    last: Option<Instant>,
    raised: Option<PyErr>,
}

impl Watcher {
    fn tell(&mut self, name: &str, fields: &Json) {
        if self.raised.is_some() {
            return;
        }
        let told = Python::attach(|py| {
            py.check_signals()?;
            let answer = self.notify.call1(py, (name, fields.to_string()))?;
            // What else it answers means to go on.
            PyResult::Ok(answer.extract::<bool>(py).is_ok_and(|go_on| !go_on))
        });
        match told {
            Ok(false) => {}
            Ok(true) => self.stop.stop(),
            Err(error) => {
                self.raised = Some(error);
                self.stop.stop();
            }
        }
    }

    /// As [`tell`](Self::tell), of what happens often.
    fn tell_now_and_then(&mut self, name: &str, fields: impl FnOnce() -> Json) {
        if self.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            self.tell(name, &fields());
            self.last = Some(Instant::now());
        }
    }
}

impl Observer for Watcher {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Device(device) => self.tell("device", &json!({ "device": device.name() })),
            Event::Dataset {
                dataset,
                train,
                validation,
                test,
            } => self.tell(
                "data",
                &json!({ "name": dataset.name, "train": train, "validation": validation, "test": test }),
            ),
            Event::Start(start) => self.tell(
                "start",
                &json!({
                    "run_dir": start.run_dir,
                    "parameters": start.parameters,
                    "steps_per_epoch": start.steps_per_epoch,
                    "total_steps": start.total_steps,
                    "done_steps": start.done_steps,
                    "epochs": start.config.train.epochs,
                }),
            ),
            Event::Step(step) => self.tell_now_and_then("step", || {
                json!({
                    "epoch": step.epoch,
                    "epochs": step.epochs,
                    "step": step.global_step,
                    "total_steps": step.total_steps,
                    "loss": step.mean_loss,
                    "accuracy": step.accuracy,
                    "remaining_seconds": step.remaining_seconds,
                })
            }),
            Event::Epoch(epoch) => self.tell("epoch", &json!(epoch)),
            Event::Evaluated { done, total } => {
                self.tell_now_and_then("evaluated", || json!({ "done": done, "total": total }));
            }
            Event::Note { text } => self.tell("note", &json!({ "text": text })),
            Event::Warning { text } => self.tell("warning", &json!({ "text": text })),
            Event::EarlyStop { epoch, .. } => self.tell("early_stop", &json!({ "epoch": epoch })),
            _ => {}
        }
    }

    fn is_impatient(&self) -> bool {
        self.stop.is_stopped()
    }
}

fn config(what: Option<&str>, settings: &str) -> Result<RunConfig, Failure> {
    let mut described = match what {
        Some(what) => Described::training(what)?,
        None => Described::text("", "nothing")?,
    };
    from_folder(&mut described.table, &described.folder);
    let mut settings = overrides(settings)?;
    rename(&mut described.table);
    rename(&mut settings.table);
    Ok(RunConfig::described(&described.table, &settings)?)
}

/// Runs, and gives the outcome as JSON. What Python raised meanwhile is raised once the run is saved.
fn watched(
    py: Python<'_>,
    notify: Py<PyAny>,
    run: impl FnOnce(&mut Watcher, &StopFlag) -> Result<Outcome, Failure> + Send,
) -> PyResult<String> {
    let stop = StopFlag::new();
    let mut watcher = Watcher {
        notify,
        stop: stop.clone(),
        last: None,
        raised: None,
    };
    work(py, || {
        let done = run(&mut watcher, &stop);
        match watcher.raised.take() {
            Some(error) => Err(raised(error, done.err())),
            None => done.map(|outcome| {
                let mut json = json!(outcome);
                // The weights of a run that was stopped are in its last checkpoint.
                let last = checkpoints(&outcome.run_dir).pop();
                if let (Json::Object(fields), Some(last)) = (&mut json, last) {
                    fields.insert("checkpoint".to_owned(), json!(last));
                }
                json.to_string()
            }),
        }
    })
}

/// Trains a model as `granule train` does; the outcome as JSON.
#[pyfunction]
pub fn train_run(
    py: Python<'_>,
    what: Option<&str>,
    settings: &str,
    run_dir: Option<PathBuf>,
    notify: Py<PyAny>,
) -> PyResult<String> {
    let config = work(py, || config(what, settings))?;
    watched(py, notify, |watcher, stop| {
        Ok(train(&config, run_dir.as_deref(), watcher, stop)?)
    })
}

/// Goes on with a run that was stopped; the outcome as JSON.
#[pyfunction]
pub fn resume_run(py: Python<'_>, run_dir: PathBuf, notify: Py<PyAny>) -> PyResult<String> {
    watched(py, notify, |watcher, stop| {
        Ok(resume(&run_dir, watcher, stop)?)
    })
}

/// The configuration that a run would have, as TOML.
#[pyfunction]
pub fn run_config(py: Python<'_>, what: Option<&str>, settings: &str) -> PyResult<String> {
    work(py, || Ok(config(what, settings)?.to_toml()?))
}
