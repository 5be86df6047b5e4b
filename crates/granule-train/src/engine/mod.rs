//! The training loop and what surrounds it.

mod baseline;
mod dataset;
mod detect;
mod finish;
mod gathered;
mod importance;
mod opened;
mod own;
mod plan;
mod problem;
mod receptive;
mod recording_score;
mod samples;
mod score;
mod seen;
mod session;
mod source;
mod start;
mod step;
mod test_part;
mod trial_score;
mod work;

use std::fs;
use std::path::{Path, PathBuf};

use granule_data::task::Part;
use granule_data::{Dataset, DatasetSpec};
use granule_device::OpenDevice;
use granule_io::write_atomic;
use granule_models::folder::MODEL_FILE;
use granule_models::{Network, Provenance};

use crate::checkpoint::{Checkpoint, Store};
use crate::config::{Lengthened, Loss, RunConfig};
use crate::engine::finish::{earlier_outcome, finished_config, restore_model, tell};
use crate::engine::opened::{Given, on, open};
use crate::engine::problem::Problem;
use crate::engine::session::{End, Session, fits, network, optimizer};
use crate::engine::start::{Begun, Start};
use crate::error::TrainError;
use crate::event::{Event, Observer, StopFlag};
use crate::folder::{Lock, check_empty, create_named};
use crate::objective::Objective;
use crate::outcome::Outcome;
use crate::record::{CONFIG_FILE, RecordOptions, RunRecorder};
use crate::settings::Settings;

pub use dataset::test_samples;
pub use detect::AnomalyDetector;
pub use importance::measure_importance;
pub use own::evaluate_on;
pub use plan::{LayerPlan, Plan, plan};
pub use receptive::receptive_fields;
pub use recording_score::evaluate_recording;
pub use score::{compare, evaluate};
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

/// As [`train`], on data already in memory; neither `config.data.task` nor `config.data.recording` must be set.
///
/// The run records `config.data.dataset` where that is the name of the data set; else that the data were in memory, so that
/// nothing but [`resume_with`] goes on with it.
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
    begin(
        config,
        Some(Given::Dataset(dataset)),
        run_dir,
        observer,
        stop,
    )
}

/// As [`train`], on an objective of the program's own. The run records its name, so that nothing but [`resume_on`] goes on
/// with it.
///
/// # Errors
/// As [`train`]; [`TrainError::Objective`] for what the objective cannot give, [`TrainError::Config`] for a setting that only
/// data sets know.
pub fn train_on(
    config: &RunConfig,
    objective: &dyn Objective,
    run_dir: Option<&Path>,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let given = Given::Objective(objective);
    begin(config, Some(given), run_dir, observer, stop)
}

/// Goes on with an interrupted run at its last usable checkpoint. A finished run is reported as such, and its model file
/// written again where that is gone.
///
/// # Errors
/// [`TrainError::NotARun`], [`TrainError::Locked`], [`TrainError::NoCheckpoint`], [`TrainError::OtherConfig`],
/// [`TrainError::Finished`], [`TrainError::OtherData`], and as [`train`].
pub fn resume(
    run_dir: &Path,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    go_on(run_dir, None, None, observer, stop)
}

/// As [`resume`], with a configuration that may differ from that of the run in where it computes, where the data are and
/// what is kept on disk: `device`, `data.data_dir`, `data.offline`, the path in `data.dataset`, `data.recording.file`,
/// `start.weights`, `train.checkpoint_every_steps` and `train.keep_checkpoints`. It takes the place of `config.toml`.
///
/// On another device the run ends where it would have within the error of rounding, not bit for bit.
///
/// # Errors
/// As [`resume`]; [`TrainError::OtherConfig`] names any other setting that differs.
pub fn resume_as(
    run_dir: &Path,
    config: &RunConfig,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    go_on(run_dir, Some(config), None, observer, stop)
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
    let given = Given::Dataset(dataset);
    go_on(run_dir, None, Some(given), observer, stop)
}

/// As [`resume`], on an objective of the program's own.
///
/// # Errors
/// As [`resume`] and [`train_on`].
pub fn resume_on(
    run_dir: &Path,
    objective: &dyn Objective,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let given = Given::Objective(objective);
    go_on(run_dir, None, Some(given), observer, stop)
}

fn begin(
    config: &RunConfig,
    given: Option<Given<'_>>,
    run_dir: Option<&Path>,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    config.validate()?;
    if let Some(run_dir) = run_dir {
        check_empty(run_dir).map_err(TrainError::at_the_beginning)?;
    }
    let name = given.map(|given| given.name());
    let start = Start::of(config)?;
    let (device, data) = open(config, given, observer)?;
    on(&device, || {
        let problem = Problem::new(config, &data, device.burn())?;
        // Wrong weights are refused before there is a folder.
        problem.source.class_weights(&config.train)?;
        let network = network(config, &problem, &device)?;
        let (mut resolved, lengthened) = resolved(config, &problem, &device)?;
        if let (Some(from), Some(start)) = (&mut resolved.start, &start) {
            from.weights = absolute(&start.file)?;
        }
        if let Some(name) = name.filter(|name| *name != config.data.dataset.to_string()) {
            resolved.data.dataset = DatasetSpec::InMemory(name);
        }
        let config = resolved;
        let (network, begun) = start_from(start, &config, network, &problem, &device)?;
        problem.tell(observer);
        let (lock, recorder) = create(&config, run_dir, &problem.source.name())
            .map_err(TrainError::at_the_beginning)?;
        let optimizer = optimizer(&config, &network, &device);
        let mut session = Session::new(
            &config, &problem, &device, &lock, network, optimizer, recorder, observer, stop,
        )?;
        session.lengthened = lengthened;
        if let Some(begun) = begun {
            session.begin_from(begun);
        }
        complete(session, None)
    })
}

/// The network with the weights to begin from, if there are some.
fn start_from(
    start: Option<Start>,
    config: &RunConfig,
    network: Network,
    problem: &Problem<'_>,
    device: &OpenDevice,
) -> Result<(Network, Option<Begun>), TrainError> {
    match start {
        None => Ok((network, None)),
        Some(start) => {
            let (network, begun) = start.apply(config, network, problem, device)?;
            Ok((network, Some(begun)))
        }
    }
}

/// A new run folder with its configuration, held by this process.
fn create(
    config: &RunConfig,
    run_dir: Option<&Path>,
    data: &str,
) -> Result<(Lock, RunRecorder), TrainError> {
    let run_dir = match run_dir {
        Some(run_dir) => {
            fs::create_dir_all(run_dir).map_err(|e| TrainError::io("create", run_dir, e))?;
            run_dir.to_owned()
        }
        None => {
            let now = Provenance::now().created;
            create_named(Path::new("runs"), &now, config.model.name(), data)?
        }
    };
    let lock = Lock::take(&run_dir)?;
    let recorder = RunRecorder::create(&run_dir, &text(config)?, RecordOptions::default())?;
    Ok((lock, recorder))
}

/// What `config.toml` says: with what is unset, where the schemas are there.
fn text(config: &RunConfig) -> Result<String, TrainError> {
    #[cfg(feature = "schema")]
    return config.to_documented_toml();
    #[cfg(not(feature = "schema"))]
    config.to_toml()
}

fn go_on(
    run_dir: &Path,
    config: Option<&RunConfig>,
    given: Option<Given<'_>>,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    let path = run_dir.join(CONFIG_FILE);
    let own = RunConfig::of_run(run_dir)?;
    own.validate()?;
    let config = match config {
        Some(config) => {
            config.validate()?;
            let config = settled_as(config, &own);
            Settings::of(&own)?.check(&Settings::of(&config)?)?;
            config
        }
        None => own.clone(),
    };
    let config = &config;
    let lock = Lock::take(run_dir)?;
    if let Some(outcome) = earlier_outcome(run_dir)? {
        return report_finished(run_dir, config, outcome, observer);
    }
    let mut warnings = Vec::new();
    let store = Store::new(run_dir, config.train.keep_checkpoints);
    let mut found = store.latest(|_| Ok(()), warn(observer, &mut warnings))?;

    if let Some((_, checkpoint)) = &found {
        checkpoint.progress.settings.check(&Settings::of(config)?)?;
    }
    let start = match &found {
        Some(_) => None,
        None => Start::of(config)?,
    };

    let (device, data) = open(config, given, observer)?;
    on(&device, || {
        let problem = Problem::new(config, &data, device.burn())?;
        let network = network(config, &problem, &device)?;
        let (network, begun) = start_from(start, config, network, &problem, &device)?;
        let optimizer = optimizer(config, &network, &device);
        if let Some((_, checkpoint)) = &found {
            let fingerprint = problem.source.fingerprint();
            if checkpoint.progress.fingerprint != fingerprint {
                return Err(TrainError::OtherData {
                    expected: checkpoint.progress.fingerprint.clone(),
                    found: fingerprint.to_owned(),
                });
            }
            let fits = |it: &Checkpoint| fits(it, config, &problem, &network, &optimizer);
            if fits(checkpoint).is_err() {
                // One before it is taken instead.
                found = store.latest(fits, warn(observer, &mut warnings))?;
            }
        }
        problem.tell(observer);
        let changed = if *config == own {
            None
        } else {
            let (config, _) = resolved(config, &problem, &device)?;
            write_atomic(&path, text(&config)?.as_bytes())
                .map_err(|error| TrainError::from(error).on_the_way(run_dir))?;
            Some(config)
        };
        let config = changed.as_ref().unwrap_or(config);
        let step = found.as_ref().map_or(0, |(_, c)| c.progress.global_step);
        let recorder = RunRecorder::resume(run_dir, step, RecordOptions::default())
            .map_err(|error| TrainError::from(error).on_the_way(run_dir))?;
        let gap = recorder.gap();
        let mut session = Session::new(
            config, &problem, &device, &lock, network, optimizer, recorder, observer, stop,
        )?;
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
                if let Some(begun) = begun {
                    session.begin_from(begun);
                }
                None
            }
        };
        complete(session, resumed_from)
    })
}

/// The configuration with what it leaves to the data as the data have settled it in a run: loss and length.
fn settled_as(config: &RunConfig, own: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    if config.train.loss == Loss::Auto {
        config.train.loss = own.train.loss;
    }
    if config.train.min_steps.is_some() && own.train.epochs >= config.train.epochs {
        config.train.epochs = own.train.epochs;
        config.train.min_steps = own.train.min_steps;
    }
    config
}

/// Tells of what is found wrong and keeps it for the report.
fn warn<'a>(
    observer: &'a mut dyn Observer,
    warnings: &'a mut Vec<String>,
) -> impl FnMut(String) + 'a {
    |text| {
        observer.event(&Event::Warning { text: &text });
        warnings.push(text);
    }
}

/// Tells how a finished run ended, if it is still asked for the same; writes its model again if that is gone.
fn report_finished(
    run_dir: &Path,
    config: &RunConfig,
    outcome: Outcome,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    if let Some(then) = finished_config(run_dir) {
        let same = Settings::of(&then)?.check(&Settings::of(config)?);
        same.map_err(|error| match error {
            TrainError::OtherConfig {
                field,
                expected,
                found,
            } => TrainError::Finished {
                path: run_dir.to_owned(),
                field,
                expected,
                found,
            },
            error => error,
        })?;
    }
    if !run_dir.join(MODEL_FILE).exists() {
        let checkpoint = restore_model(run_dir, &outcome)?;
        let text = format!(
            "{MODEL_FILE} was gone; it is written again from {}",
            checkpoint.display()
        );
        observer.event(&Event::Warning { text: &text });
    }
    observer.event(&Event::AlreadyFinished { run_dir });
    Ok(tell(outcome, observer))
}

/// Trains to the end and finishes, or stops where asked to.
fn complete(
    mut session: Session<'_>,
    resumed_from: Option<PathBuf>,
) -> Result<Outcome, TrainError> {
    let run_dir = session.run_dir;
    session
        .begin_report()
        .map_err(|error| error.on_the_way(run_dir))?;
    let device = session.device;
    let outcome = match on(device, || session.run(resumed_from.as_deref())) {
        Ok(End::Finished) => on(device, || session.finish()),
        Ok(End::Interrupted) => on(device, || session.suspend()),
        Err(error) => {
            session.give_up(&error);
            Err(error)
        }
    };
    outcome.map_err(|error| error.on_the_way(run_dir))
}

/// The configuration that repeats the run from any working directory: the device, loss and length that were chosen,
/// absolute paths. And why the length is another than was asked for, if it is.
fn resolved(
    config: &RunConfig,
    problem: &Problem<'_>,
    device: &OpenDevice,
) -> Result<(RunConfig, Option<Lengthened>), TrainError> {
    let mut config = config.clone();
    config.device = device.spec().clone();
    let lengthened = config.train.settle_length(problem.source.len(Part::Train));
    config.train.loss = problem.loss();
    if let Some(dir) = &mut config.data.data_dir {
        *dir = absolute(dir)?;
    }
    if let Some(start) = &mut config.start {
        start.weights = absolute(&start.weights)?;
    }
    if let Some(recording) = &mut config.data.recording {
        recording.file = absolute(&recording.file)?;
    }
    for path in config.data.dataset.paths_mut() {
        *path = absolute(path)?;
    }
    Ok((config, lengthened))
}

fn absolute(path: &Path) -> Result<PathBuf, TrainError> {
    std::path::absolute(granule_io::path::expand(path))
        .map_err(|e| TrainError::io("resolve", path, e))
}
