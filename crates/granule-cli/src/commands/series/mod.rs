//! `granule train --seeds N`, `--folds K` and `--sweep KEY=VALUES`.

mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use granule::models::folder::CONFIG_FILE;
use granule::train::{
    Observer, Outcome, Quiet, RunConfig, StopFlag, TrainError, plan, resume_as, train,
};
use serde_json::json;

use self::table::{Run, Table};
use super::train::{in_configuration, interrupted, result_line};
use crate::args;
use crate::config::sweep::Sweep;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::output::{self, note};
use crate::progress::{Style, Watcher};
use crate::written::OutFile;

/// So many values of a sweep take a while to be tried.
const MANY: usize = 16;

/// What differs from run to run of one configuration.
#[derive(Clone, Copy)]
pub enum Varied {
    /// So many seeds, from that of the configuration on.
    Seeds(usize),
    /// Each of so many parts of the samples is tested on once.
    Folds(usize),
}

impl Varied {
    /// What one is called; several are the event of `--json`.
    fn one(self) -> &'static str {
        match self {
            Self::Seeds(_) => "seed",
            Self::Folds(_) => "fold",
        }
    }

    /// How many samples each is tested on, of one that it learns from, where they learn from much the same.
    fn overlap(self) -> f64 {
        match self {
            Self::Seeds(_) => 0.0,
            Self::Folds(count) => 1.0 / (count as f64 - 1.0),
        }
    }

    /// The configurations, each with its number.
    fn configs(self, first: &RunConfig) -> Result<Vec<(u64, RunConfig)>, Usage> {
        match self {
            Self::Seeds(count) => {
                let last = first.seed.checked_add(count.saturating_sub(1) as u64);
                let Some(last) = last.filter(|last| i64::try_from(*last).is_ok()) else {
                    let seed = first.seed;
                    return Err(Usage::new(format!(
                        "there are no {count} seeds from {seed} on"
                    )));
                };
                let of = |seed| RunConfig {
                    seed,
                    ..first.clone()
                };
                Ok((first.seed..=last).map(|seed| (seed, of(seed))).collect())
            }
            Self::Folds(count) => {
                if first.data.task.is_some() || first.data.recording.is_some() {
                    return Err(Usage::new(format!(
                        "--folds {count} divides the samples of a data set, and there is none"
                    ))
                    .hint("--seeds N tells how far runs differ"));
                }
                if let Some([index, of]) = first.data.fold {
                    return Err(Usage::new(format!(
                        "data.fold = [{index}, {of}] is one part of a cross-validation, --folds {count} is all of one; \
                         leave one of them out"
                    )));
                }
                let of = |index| {
                    let mut config = first.clone();
                    config.data.fold = Some([index, count]);
                    (index as u64, config)
                };
                Ok((1..=count).map(of).collect())
            }
        }
    }
}

/// The configurations that are trained, each once or with every seed or fold.
pub enum Over {
    One(Box<RunConfig>),
    Values(Sweep),
}

/// A run that is to come.
struct Planned {
    value: Option<String>,
    number: Option<u64>,
    /// Below the folder of the series.
    folder: PathBuf,
    config: RunConfig,
}

impl Over {
    fn configs(&self) -> Vec<(Option<&str>, PathBuf, &RunConfig)> {
        match self {
            Self::One(config) => vec![(None, PathBuf::new(), config)],
            Self::Values(sweep) => {
                let points = sweep.points.iter().enumerate();
                let point = points.map(|(index, (value, config))| {
                    (Some(&**value), sweep.folder(index).into(), config)
                });
                point.collect()
            }
        }
    }

    fn planned(&self, varied: Option<Varied>) -> Result<Vec<Planned>, Usage> {
        let mut all = Vec::new();
        for (value, folder, config) in self.configs() {
            let value = value.map(str::to_owned);
            let Some(varied) = varied else {
                all.push(Planned {
                    value,
                    number: None,
                    folder,
                    config: config.clone(),
                });
                continue;
            };
            let of = |(number, config)| Planned {
                value: value.clone(),
                number: Some(number),
                folder: folder.join(format!("{}-{number}", varied.one())),
                config,
            };
            all.extend(varied.configs(config)?.into_iter().map(of));
        }
        Ok(all)
    }

    /// Whether every value is one that the data and the model can have: better said before the first run than after hours.
    fn check(
        &self,
        args: &args::Train,
        planned: &[Planned],
        stop: &StopFlag,
    ) -> anyhow::Result<()> {
        let Self::Values(sweep) = self else {
            return Ok(());
        };
        if sweep.points.len() > MANY {
            note(&format!(
                "note: each of {} is tried on the data before the first run",
                output::counted(sweep.points.len(), "value")
            ));
        }
        for (value, _) in &sweep.points {
            let own = |run: &&Planned| run.value.as_ref() == Some(value);
            let Some(run) = planned.iter().find(own).filter(|_| !stop.is_stopped()) else {
                continue;
            };
            if run.begun(args).is_some() {
                continue;
            }
            plan(&run.config, &mut Quiet).map_err(|error| {
                let error = in_configuration(error);
                match error.downcast::<Usage>() {
                    Ok(usage) => usage.at(&format!("--sweep {}={value}", sweep.key)).into(),
                    Err(error) => error.context(format!("--sweep {}={value}", sweep.key)),
                }
            })?;
        }
        Ok(())
    }
}

impl Planned {
    fn dir(&self, args: &args::Train) -> Option<PathBuf> {
        args.run_dir.as_ref().map(|dir| dir.join(&self.folder))
    }

    /// What it differs in, as its folder says it.
    fn name(&self) -> String {
        self.folder.display().to_string()
    }

    /// Trains it; of a series that was interrupted, what is there is gone on with.
    fn train(&self, args: &args::Train, observer: &mut dyn Observer, stop: &StopFlag) -> Trained {
        match self.begun(args) {
            Some(dir) => resume_as(&dir, &self.config, observer, stop),
            None => train(&self.config, self.dir(args).as_deref(), observer, stop),
        }
    }

    /// The folder of a run that was begun before.
    fn begun(&self, args: &args::Train) -> Option<PathBuf> {
        self.dir(args).filter(|dir| dir.join(CONFIG_FILE).is_file())
    }
}

/// Trains once for each, one after the other or several at a time.
pub fn run(
    args: &args::Train,
    over: Over,
    varied: Option<Varied>,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let style = Style::choose(args.json, args.quiet);
    let csv = args.csv.as_ref().map(|path| OutFile::new(path, "--csv"));
    let csv = csv.transpose()?;
    let planned = over.planned(varied)?;
    over.check(args, &planned, &interrupt.stop)?;
    let starts = |run: &Planned| run.config.start.is_some();
    if matches!(varied, Some(Varied::Folds(_))) && planned.iter().any(starts) {
        output::warn(
            "if the weights of --from have learnt from these data, they know what is tested here, and scores are too good",
        );
    }
    let key = match &over {
        Over::One(_) => None,
        Over::Values(sweep) => Some(&*sweep.key),
    };
    let overlap = varied.map_or(0.0, Varied::overlap);
    let mut table = Table::new(key, varied.map(Varied::one), overlap);
    let mut stopped = Stopped::default();
    for (run, outcome) in trained(planned, args, style, interrupt)? {
        match outcome {
            Ok(outcome) if outcome.interrupted => stopped.interrupted.push(outcome),
            Ok(outcome) => table.push(run.value, Run::new(run.number, &outcome)),
            Err(error) if is_of_training(&error) => stopped.diverged.push((run.name(), error)),
            Err(error) => stopped.failed = stopped.failed.or(Some((run.name(), error))),
        }
    }
    // What there is of it, if not all.
    if let Some(csv) = &csv {
        table.write(csv)?;
    }
    table.show(args.json)?;
    stopped.tell(args, &table.several())
}

/// Runs that did not end.
#[derive(Default)]
struct Stopped {
    interrupted: Vec<Outcome>,
    /// Each with what it differs in.
    diverged: Vec<(String, TrainError)>,
    /// The first that failed for another reason, after which no other was begun.
    failed: Option<(String, TrainError)>,
}

impl Stopped {
    fn tell(mut self, args: &args::Train, all: &str) -> anyhow::Result<ExitCode> {
        let named = |name: String, error: anyhow::Error| match name.as_str() {
            "" => error,
            _ => error.context(name),
        };
        let again = || {
            if args.run_dir.is_some() {
                note(&format!(
                    "the same command given again goes on with all {all}"
                ));
            }
        };
        // One of them is the error, where nothing else ended the series.
        let ended = self.failed.is_none() && self.interrupted.is_empty();
        let diverged = if ended { self.diverged.pop() } else { None };
        for (name, error) in &self.diverged {
            output::warn(&format!("{name}: {error}"));
        }
        if let Some((name, error)) = self.failed {
            if !self.interrupted.is_empty() {
                let others = output::counted(self.interrupted.len(), "run");
                note(&format!(
                    "{others} beside it saved a checkpoint and stopped"
                ));
            }
            again();
            let error = in_configuration(error);
            return Err(if error.is::<Usage>() {
                error
            } else {
                named(name, error)
            });
        }
        let mut code = None;
        for outcome in &self.interrupted {
            if args.json && args.jobs > 1 {
                let fields = json!({"run_dir": outcome.run_dir, "step": outcome.steps});
                output::event("interrupted", fields)?;
            }
            code = Some(interrupted(outcome));
        }
        if let Some(code) = code {
            again();
            return Ok(code);
        }
        match diverged {
            Some((name, error)) => Err(named(name, error.into())),
            None => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Whether training itself came to nothing, so that other runs need not.
fn is_of_training(error: &TrainError) -> bool {
    matches!(
        error,
        TrainError::NonFinite { .. }
            | TrainError::NonFiniteWeights { .. }
            | TrainError::NonFiniteOutput { .. }
            | TrainError::Diverged { .. }
            | TrainError::Unstable { .. }
    )
}

type Trained = Result<Outcome, TrainError>;

/// What became of the runs that were begun, in their order: all of them, unless one was interrupted or failed in what others
/// need as well.
fn trained(
    planned: Vec<Planned>,
    args: &args::Train,
    style: Style,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<(Planned, Trained)>> {
    if args.jobs > 1 {
        return side_by_side(planned, args, interrupt);
    }
    let mut all = Vec::new();
    for run in planned {
        let mut watcher = Watcher::new(style, Some(interrupt));
        let outcome = run.train(args, &mut watcher, &interrupt.stop);
        drop(watcher);
        if matches!(style, Style::Bar | Style::Lines) {
            note("");
        }
        let last = match &outcome {
            Ok(outcome) if outcome.interrupted => true,
            Ok(outcome) => {
                if args.json {
                    result_line(outcome)?;
                }
                false
            }
            Err(error) => !is_of_training(error),
        };
        all.push((run, outcome));
        if last {
            break;
        }
    }
    Ok(all)
}

/// What a run needs of the stack, as the thread that a program begins with has it.
const STACK: usize = 8 << 20;

/// Trains several at a time, each with a line when it has ended.
fn side_by_side(
    planned: Vec<Planned>,
    args: &args::Train,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<(Planned, Trained)>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Why a result could not be told.
    let broken: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let runs: Vec<(Planned, Mutex<Option<Trained>>)> = planned
        .into_iter()
        .map(|run| (run, Mutex::new(None)))
        .collect();
    let work = || {
        while let Some((run, place)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if interrupt.stop.is_stopped() {
                return;
            }
            let mut watcher = Watcher::new(Style::Quiet, Some(interrupt));
            let outcome = run.train(args, &mut watcher, &interrupt.stop);
            drop(watcher);
            match &outcome {
                Ok(outcome) if outcome.interrupted => {}
                Ok(outcome) => {
                    let done = 1 + done.fetch_add(1, Ordering::Relaxed);
                    if args.json {
                        if let Err(error) = result_line(outcome) {
                            broken
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .get_or_insert(error);
                        }
                    } else if !args.quiet {
                        let name = Some(run.name()).filter(|name| !name.is_empty());
                        let name = name.map_or(String::new(), |name| format!("{name}, "));
                        let score = Run::new(run.number, outcome).first();
                        note(&format!("{done} of {}: {name}{score}", runs.len()));
                    }
                }
                Err(error) if is_of_training(error) => {}
                // The others save what they have.
                Err(_) => interrupt.stop.stop(),
            }
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        }
    };
    std::thread::scope(|scope| {
        for started in 0..args.jobs.min(runs.len()) {
            let thread = std::thread::Builder::new().stack_size(STACK);
            match thread.spawn_scoped(scope, work) {
                Ok(_) => {}
                Err(error) if started == 0 => return Err(error),
                Err(error) => {
                    output::warn(&format!("no more than {started} at a time: {error}"));
                    break;
                }
            }
        }
        Ok(())
    })?;
    if let Some(error) = broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let ended = runs.into_iter().filter_map(|(run, place)| {
        let outcome = place.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some((run, outcome?))
    });
    Ok(ended.collect())
}
