//! `granule simulate`.

mod files;
pub mod replay;
mod result;
mod stream;

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use granule::burn::tensor::DType;
use granule::device::{DeviceSpec, OpenDevice};
use granule::dynamics::{DynamicsError, Place};
use granule::io::words::denoised;
use granule::models::{ModelError, load_undescribed};
use granule::simulate::{Experiment, Snapshot, SnapshotError};
use indicatif::{ProgressBar, ProgressStyle};

use super::target::{on, open};
use crate::args::{self, Precision};
use crate::config::experiment::{Described, resolve};
use crate::failure::{INTERRUPTED, Usage, unreadable};
use crate::interrupt::Interrupt;
use crate::output::{self, note};
use crate::plot::Plot;
use crate::progress::Style;
use crate::verbose;
use crate::written::{OutFile, was_read};
use toml::Table;

pub fn run(args: &args::Simulate) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let out = args.out.as_deref().map(files::Table::new).transpose()?;
    let saved = args.save_state.as_deref();
    let saved = saved
        .map(|path| OutFile::new(path, "--save-state"))
        .transpose()?;
    let plot = Plot::of(&args.drawing)?;
    let described = resolve(args)?;
    verbose::settings(|| {
        let config = Table::try_from(&described.config)?;
        Ok((config, described.defaults.clone()))
    })?;
    for text in &described.notes {
        if !args.quiet {
            note(&format!("note: {}", output::printable(text)));
        }
    }
    let device = open(args.device.as_ref(), DeviceSpec::Cpu)?;
    on(&device, || {
        simulate(args, &device, described, (out, plot, saved), &interrupt)
    })
}

fn simulate(
    args: &args::Simulate,
    device: &OpenDevice,
    mut described: Described,
    (out, plot, saved): (Option<files::Table>, Option<Plot>, Option<OutFile>),
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let place = place(device, args.precision.or(described.precision))?;
    replay::take_up(&mut described, &place, args.quiet);
    let config = &described.config;
    let mut foreign = None;
    let experiment = config.init_trained(&place, |model| match &described.weights {
        None => Ok(model),
        Some(weights) => {
            let mut base = weights.described.clone();
            // What is drawn again with another seed was not set.
            let seed = config.composite.as_ref().map_or(base.seed, |own| own.seed);
            base.seed = seed.wrapping_add(config.seed);
            base.dt = config.dt;
            load_undescribed(model, &base.init(&place)?, &weights.state).map_err(|error| {
                let reason = error.to_string();
                foreign = Some((error, &weights.file));
                DynamicsError::config("composite", "this", reason)
            })
        }
    });
    if let Some((error, file)) = foreign {
        if error.is_of_memory() {
            return Err(error.into());
        }
        let hint = match error {
            ModelError::LearntReplaced { .. } => {
                "`granule simulate RUN/config.toml` takes the model as it was before training"
            }
            _ => "--set may change inputs, steps and couplings of a trained model, not its sizes",
        };
        let usage = Usage::new(error.in_file(file).to_string());
        return Err(usage.hint(hint).into());
    }
    let mut experiment = experiment.map_err(|error| described.explain(error))?;
    if let Some(path) = &args.from_state {
        continue_from(&mut experiment, path, args.quiet)?;
    }
    for text in experiment.notes() {
        if !args.quiet {
            note(&format!("note: {}", output::printable(&text)));
        }
    }
    warn(experiment.warnings());
    verbose::phase("model built");

    if let Some(out) = &out {
        out.check_unread()?;
    }
    if let Some(plot) = &plot {
        plot.check_unread()?;
    }
    if let Some(saved) = &saved {
        saved.check_unread()?;
    }
    let mut stream = args
        .stream
        .as_deref()
        .map(stream::Stream::new)
        .transpose()?;
    if let (Some(stream), Some(saved)) = (&stream, &saved) {
        stream.check_apart(saved)?;
    }
    let stop = experiment.stop();
    interrupt.also(stop.flag())?;
    let mut progress = RunProgress::new(
        "simulate",
        Style::choose(args.json, args.quiet),
        experiment.steps(),
    );
    let began = Instant::now();
    interrupt.be_gentle();
    let watch = |step: usize, _: f64| {
        progress.step(step);
        ControlFlow::Continue(())
    };
    let outcome = match &mut stream {
        None => experiment.run_saving(watch),
        Some(stream) => experiment.run_into(&mut |block| stream.take(block), watch),
    };
    progress.clear();
    verbose::phase("simulated");
    let (outcome, state) = outcome.map_err(|error| match error {
        // The cells' variables and units are in the message; the hint is, too.
        DynamicsError::NonFinite { .. } => anyhow::Error::new(error),
        other => described.explain(other),
    })?;
    // The configuration with the result gives it again from any folder.
    described.name_whole_paths();
    let config = &described.config;
    if !outcome.complete {
        note(&format!(
            "interrupted at {:.1} of {} ms; the result is of what there is so far",
            outcome.reached,
            denoised(config.duration)
        ));
    }
    warn(&outcome.warnings);
    // What was computed is printed whether or not it can be written.
    let mut failed = None;
    let mut written = Vec::new();
    let made = result::Made {
        learnt_without_setting: described.without_setting(),
        precision: match place.dtype {
            DType::F64 => "f64",
            _ => "f32",
        },
    };
    let table = out.map(|table| table.write(&outcome, config, made));
    let plot = plot.map(|plot| plot.write(&outcome.figure(config, &described.title)));
    let state = saved.as_ref().map(|file| {
        file.write(|file| {
            let mut file = BufWriter::new(file);
            serde_json::to_writer(&mut file, &state)?;
            file.flush()
        })?;
        Ok(vec![file.path().to_path_buf()])
    });
    let result = result::Result {
        config,
        outcome: &outcome,
        device: device.spec().to_string(),
        made,
    };
    let stream = stream.map(|stream| stream.finish(&result));
    for part in [table, stream, plot, state].into_iter().flatten() {
        match part {
            Ok(files) => written.extend(files),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if args.json {
        result.print_json()?
    } else {
        result.show()?;
        if !args.quiet {
            result.show_run(began.elapsed().as_secs_f64())?;
        }
    }
    if !args.quiet {
        for path in &written {
            let path = output::quoted(path);
            if args.json {
                note(&format!("wrote {path}"))
            } else {
                super::result::fact("wrote", &path)?
            }
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(if outcome.complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(INTERRUPTED)
    })
}

/// Lets a run go on from a file.
fn continue_from(experiment: &mut Experiment, path: &Path, quiet: bool) -> anyhow::Result<()> {
    was_read(path);
    let snapshot = Snapshot::from_file(path).map_err(|error| match error {
        SnapshotError::File(error) => {
            unreadable(format!("--from-state {error}"), !error.is_absent())
        }
        other => Usage::new(format!("--from-state {}: {other}", path.display()))
            .hint("`granule simulate … --save-state FILE.json` writes one")
            .into(),
    })?;
    let differs = experiment.differs_from(&snapshot);
    experiment.continue_from(&snapshot).map_err(|error| {
        let text = format!("--from-state {}: {error}", path.display());
        anyhow::Error::from(Usage::new(text))
    })?;
    if quiet {
        return Ok(());
    }
    note(&format!(
        "note: the run goes on from {} ms",
        denoised(snapshot.time())
    ));
    if !differs.is_empty() {
        note(&format!(
            "note: not as in the run before: {}; the state is taken as it is",
            differs.join(", ")
        ));
    }
    Ok(())
}

fn warn(warnings: &[String]) {
    for text in warnings {
        note(&format!("warning: {}", output::printable(text)));
    }
}

fn place(device: &OpenDevice, precision: Option<Precision>) -> anyhow::Result<Place> {
    match (precision, device.is_host()) {
        (Some(Precision::F64), false) => Err(Usage::new(format!(
            "{} computes in single precision only",
            device.spec()
        ))
        .hint("take --precision f32, or --device cpu for double precision")
        .into()),
        (Some(Precision::F32), _) | (None, false) => Ok(Place::f32(device.burn())),
        (Some(Precision::F64) | None, true) => Ok(Place::f64(device.burn())),
    }
}

/// Simulations shorter than this show no bar.
const PATIENCE: Duration = Duration::from_millis(700);

/// The first word of a simulation that is not watched on a terminal; each later one takes twice as long.
const FIRST_LINE: Duration = Duration::from_secs(10);

/// How far runs have come that take their time: a bar on a terminal, else a line now and then.
pub(super) struct RunProgress {
    /// What is done.
    what: &'static str,
    shown: Shown,
    steps: usize,
    began: Instant,
}

enum Shown {
    /// There from [`PATIENCE`] on.
    Bar(Option<ProgressBar>),
    /// When the next line is due.
    Lines(Duration),
    Nothing,
}

impl RunProgress {
    pub(super) fn new(what: &'static str, style: Style, steps: usize) -> Self {
        Self {
            what,
            shown: match style {
                Style::Bar => Shown::Bar(None),
                Style::Lines => Shown::Lines(FIRST_LINE),
                _ => Shown::Nothing,
            },
            steps,
            began: Instant::now(),
        }
    }

    pub(super) fn step(&mut self, step: usize) {
        let (elapsed, steps, what) = (self.began.elapsed(), self.steps, self.what);
        match &mut self.shown {
            Shown::Bar(bar) if bar.is_some() || elapsed > PATIENCE => {
                let bar = bar.get_or_insert_with(|| {
                    let bar = ProgressBar::new(steps as u64);
                    let template = format!("{what} {{wide_bar}} {{percent:>3}} %  {{eta}} left");
                    match ProgressStyle::with_template(&template) {
                        Ok(style) => bar.with_style(style.progress_chars("━━ ")),
                        Err(_) => bar,
                    }
                });
                bar.set_position(step as u64);
            }
            Shown::Lines(due) if elapsed > *due && step < steps => {
                *due = 2 * elapsed;
                let left = elapsed.as_secs_f64() * (steps - step) as f64 / step.max(1) as f64;
                note(&format!(
                    "{what}: {:.0} %, about {} left",
                    100.0 * step as f64 / steps as f64,
                    output::duration(left)
                ));
            }
            _ => {}
        }
    }

    pub(super) fn clear(&mut self) {
        if let Shown::Bar(Some(bar)) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
