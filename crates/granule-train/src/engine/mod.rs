//! The training loop and what surrounds it.

mod finish;
mod plan;
mod problem;
mod recording_score;
mod score;
mod session;
mod step;
mod trial_score;

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use granule_data::task::Part;
use granule_data::{Dataset, LoadOptions};
use granule_device::OpenDevice;
use granule_io::Bound;
use granule_models::Provenance;

use crate::checkpoint::Store;
use crate::config::RunConfig;
use crate::engine::finish::{earlier_outcome, tell};
use crate::engine::problem::{Problem, Source};
use crate::engine::session::{End, Session};
use crate::error::TrainError;
use crate::event::{Event, Observer, StopFlag};
use crate::folder::{Lock, check_empty, create_named};
use crate::outcome::Outcome;
use crate::record::{CONFIG_FILE, RecordOptions, RunRecorder};
use crate::settings::Settings;

pub use plan::{LayerPlan, Plan, plan};
pub use problem::test_samples;
pub use recording_score::evaluate_recording;
pub use score::evaluate;
pub use trial_score::evaluate_trials;

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
    begin(config, None, run_dir, observer, stop)
}

/// As [`train`], on data already in memory; `config.data.dataset` is only recorded, and neither `config.data.task` nor
/// `config.data.recording` must be set.
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
    begin(config, Some(dataset), run_dir, observer, stop)
}

/// Goes on with an interrupted run at its last usable checkpoint. A finished run is reported as such.
///
/// # Errors
/// [`TrainError::NotARun`], [`TrainError::Locked`], [`TrainError::NoCheckpoint`], [`TrainError::OtherConfig`],
/// [`TrainError::OtherData`], and as [`train`].
pub fn resume(
    run_dir: &Path,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    go_on(run_dir, None, observer, stop)
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
    go_on(run_dir, Some(dataset), observer, stop)
}

fn begin(
    config: &RunConfig,
    dataset: Option<&Dataset>,
    run_dir: Option<&Path>,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    config.validate()?;
    if let Some(run_dir) = run_dir {
        check_empty(run_dir)?;
    }
    let (device, dataset) = open(config, dataset, observer)?;
    let problem = Problem::new(config, dataset.as_deref(), device.burn())?;
    // Wrong weights are refused before there is a folder.
    problem.class_weights(&config.train)?;
    tell_data(&problem, observer);

    let run_dir = match run_dir {
        Some(run_dir) => {
            fs::create_dir_all(run_dir).map_err(|e| TrainError::io("create", run_dir, e))?;
            run_dir.to_owned()
        }
        None => {
            let now = Provenance::now().created;
            let parent = Path::new("runs");
            create_named(parent, &now, config.model.name(), &problem.name())?
        }
    };
    let lock = Lock::take(&run_dir)?;
    let config = resolved(config, &problem, &device)?;
    #[cfg(feature = "schema")]
    let text = config.to_documented_toml()?;
    #[cfg(not(feature = "schema"))]
    let text = config.to_toml()?;
    let recorder = RunRecorder::create(&run_dir, &text, RecordOptions::default())?;
    let session = Session::new(&config, &problem, &device, &lock, recorder, observer, stop)?;
    complete(session, None)
}

fn go_on(
    run_dir: &Path,
    dataset: Option<&Dataset>,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let path = run_dir.join(CONFIG_FILE);
    let text = match granule_io::read_text(&path, Bound::CONFIGURATION) {
        Ok(text) => text,
        Err(error) if error.is_absent() => {
            return Err(TrainError::NotARun {
                path: run_dir.to_owned(),
            });
        }
        Err(error) => return Err(error.into()),
    };
    let config = RunConfig::from_toml_str(&text).map_err(|error| error.in_file(&path))?;
    config.validate()?;
    let lock = Lock::take(run_dir)?;
    if let Some(outcome) = earlier_outcome(run_dir)? {
        observer.event(&Event::AlreadyFinished { run_dir });
        return Ok(tell(outcome, observer));
    }
    let mut warnings = Vec::new();
    let store = Store::new(run_dir, config.train.keep_checkpoints);
    let found = store.latest(|text| {
        observer.event(&Event::Warning { text: &text });
        warnings.push(text);
    })?;

    if let Some((_, checkpoint)) = &found {
        checkpoint
            .progress
            .settings
            .check(&Settings::of(&config)?)?;
    }

    let (device, dataset) = open(&config, dataset, observer)?;
    let problem = Problem::new(&config, dataset.as_deref(), device.burn())?;
    tell_data(&problem, observer);
    let step = found.as_ref().map_or(0, |(_, c)| c.progress.global_step);
    let recorder = RunRecorder::resume(run_dir, step, RecordOptions::default())?;
    let gap = recorder.gap();
    let mut session = Session::new(&config, &problem, &device, &lock, recorder, observer, stop)?;
    session.warnings.extend(warnings);
    if let Some(gap) = gap {
        session.warn(gap);
    }
    let resumed_from = match found {
        Some((path, checkpoint)) => {
            session.restore(&path, checkpoint)?;
            Some(path)
        }
        None => {
            session.warn("the run has no checkpoint yet; beginning anew".to_owned());
            None
        }
    };
    complete(session, resumed_from)
}

/// Trains to the end and finishes, or stops where asked to.
fn complete(
    mut session: Session<'_>,
    resumed_from: Option<PathBuf>,
) -> Result<Outcome, TrainError> {
    session.begin_report()?;
    match session.run(resumed_from.as_deref()) {
        Ok(End::Finished) => session.finish(),
        Ok(End::Interrupted) => session.suspend(),
        Err(error) => {
            session.give_up(&error);
            Err(error)
        }
    }
}

/// Opens the device and loads the data set, unless it is given or another source of data is named.
fn open<'a>(
    config: &RunConfig,
    dataset: Option<&'a Dataset>,
    observer: &mut dyn Observer,
) -> Result<(OpenDevice, Option<Cow<'a, Dataset>>), TrainError> {
    let device = config.device.open()?;
    observer.event(&Event::Device(&device));
    let dataset = match dataset {
        Some(dataset) => Some(Cow::Borrowed(dataset)),
        None if config.data.task.is_some() || config.data.recording.is_some() => None,
        None => Some(Cow::Owned(granule_data::load(
            &config.data.dataset,
            &LoadOptions {
                data_dir: config.data.data_dir.clone(),
                offline: config.data.offline,
                seed: config.data.seed,
                images: config.data.images(),
                arrays: config.data.arrays(),
                progress: observer.progress(),
            },
        )?)),
    };
    Ok((device, dataset))
}

fn tell_data(problem: &Problem<'_>, observer: &mut dyn Observer) {
    let [train, validation, test] =
        [Part::Train, Part::Validation, Part::Test].map(|part| problem.len(part));
    let quantities: Vec<(String, usize)> = match &problem.source {
        Source::Recording(recorded) => {
            let all = recorded.quantities();
            all.map(|q| (q.name.clone(), q.columns)).collect()
        }
        _ => Vec::new(),
    };
    observer.event(&match &problem.source {
        Source::Recording(recorded) => Event::Recording {
            path: recorded.path(),
            quantities: &quantities,
            samples: recorded.samples(),
            interval: recorded.interval(),
            trials: recorded.trials(),
            train,
            validation,
            test,
            fingerprint: recorded.fingerprint(),
        },
        Source::Dataset(parts) => Event::Dataset {
            dataset: parts.dataset,
            train,
            validation,
            test,
        },
        Source::Trials(trials) => Event::Task {
            task: &trials.info,
            shape: trials.shape,
            dt: trials.dt,
            train,
            validation,
            test,
            fingerprint: &trials.fingerprint,
        },
    });
    for text in problem.notes() {
        observer.event(&Event::Note { text });
    }
    for text in problem.warnings() {
        observer.event(&Event::Warning { text });
    }
}

/// The configuration that repeats the run from any working directory: the device, loss and length that were chosen,
/// absolute paths.
fn resolved(
    config: &RunConfig,
    problem: &Problem<'_>,
    device: &OpenDevice,
) -> Result<RunConfig, TrainError> {
    use granule_data::DatasetSpec::{Arrays, Folder, Idx};

    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|e| TrainError::io("resolve", path, e));
    let mut config = config.clone();
    config.device = device.spec().clone();
    config.train.settle_length(problem.len(Part::Train));
    config.train.loss = problem.loss();
    if let Some(dir) = &mut config.data.data_dir {
        *dir = absolute(dir)?;
    }
    if let Some(recording) = &mut config.data.recording {
        recording.file = absolute(&recording.file)?;
    }
    match &mut config.data.dataset {
        Folder(dir) | Idx(dir) => *dir = absolute(dir)?,
        Arrays { x, y } => {
            *x = absolute(x)?;
            if let Some(y) = y {
                *y = absolute(y)?;
            }
        }
        _ => {}
    }
    Ok(config)
}
