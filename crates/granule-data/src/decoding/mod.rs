//! Decoding: a signal over time, such as spike counts, and what it is to tell, in the arrays of `recording:PATH`.
//!
//! PATH is a folder of `.npy`, NIfTI and CSV files, an `.npz` archive, or a MATLAB, HDF5, NWB, NIfTI or CSV file, of which [`DecodingConfig`] names the arrays. A sample is a window
//! of bins around the one that is decoded, or the bins of a whole trial where a trial has one target. Windows of one
//! recording share its bins: they are cut when a batch is made.

mod anomaly;
mod config;
mod found;
mod inspect;
mod overlap;
mod repeats;
mod series;
mod source;
pub(crate) mod store;
mod windows;

use std::path::Path;

use granule_io::budget;
use granule_io::words::{counted, first_of};

pub use anomaly::{ANOMALIES, Anomaly, Unusual};
pub use config::{DecodingConfig, Division, Edges, Window};
pub use found::{Found, Numbers, Suggestion};
pub use inspect::{Inspection, inspect};
pub use repeats::Repeat;
pub use series::{BinPlace, Series};

use crate::arrays::{Outputs, TargetKind, named_classes};
pub use crate::division::apart;
use crate::moments::float_moments;
use crate::{DataError, Dataset, Features, Fold, Normalization, Shape, Split, Targets};
use repeats::Conditions;
use source::{Named, Source};
use store::Store;
use windows::{Windows, divide, stretches};

/// Constant channels that a warning names.
const MOST_CHANNELS: usize = 8;

/// What a trained decoder that is scored makes of a recording.
#[derive(Clone, Copy)]
pub(crate) struct Scored<'a> {
    /// Whether a recording without a test part of its own is not divided, and all of it tested on.
    pub tested: bool,
    /// What it takes off each channel.
    pub means: Option<&'a [f64]>,
    /// What is made of the signal that is tested on.
    pub unusual: Option<Unusual>,
}

/// Loads what is decoded and what it is decoded from. In cross-validation a part of what is learnt from is tested on, and
/// arrays to test on are not read. Under a limit so many windows are learnt from, the first ones.
///
/// # Errors
/// A [`DataError`] that names the key, the array or the bin: an array that is missing (with those that are there), lengths
/// that do not agree, numbers that are not finite or no counts, parts that overlap or are empty.
pub(crate) fn load(
    path: &Path,
    config: &DecodingConfig,
    kind: Option<TargetKind>,
    (seed, fold, limit): (u64, Option<Fold>, Option<usize>),
    scored: Scored<'_>,
) -> Result<Dataset, DataError> {
    config.validate()?;
    let without_test;
    let config = match fold {
        None => config,
        Some(_) => {
            // Of arrays to test on none are left, else a part is set aside.
            without_test = match Named::tested(config) {
                Some(_) => DecodingConfig {
                    test: 0.0,
                    ..config.without_test()
                },
                None => config.clone(),
            };
            &without_test
        }
    };
    let mut store = Store::open(path, Some(config))?;
    let mut notes = Vec::new();
    let mut outputs = Vec::new();
    let mut read = |store: &mut Store<'_>, named: Named<'_>, kind| {
        let (source, found) = Source::read(store, named, config, (kind, seed), &mut notes)?;
        let kind = found.kind();
        outputs.push(found);
        Ok::<_, DataError>((source, kind))
    };
    let (mut first, kind) = read(&mut store, Named::learnt(config), kind)?;
    let mut second = None;
    if let Some(named) = Named::tested(config) {
        let (source, _) = read(&mut store, named, Some(kind)).map_err(or_without_test)?;
        first.check_beside(&source)?;
        overlap::check(&first, &source)?;
        second = Some(source);
    }
    let of_test = second.as_ref().unwrap_or(&first);
    // Another recording need not have them.
    let conditions = Conditions::read(&mut store, of_test, config, scored.tested)?;
    let mut repeats = None;
    let whole_tested = scored.tested && second.is_none();
    let divided = !scored.tested && second.is_none() && fold.is_none();
    let mut aside = Vec::new();
    let tests = match &second {
        None if whole_tested => {
            if let Some(cut) = stretches(&mut store, &first, config)? {
                first.trials = cut;
            }
            vec![budget::filled(true, first.bins(), "the parts")?]
        }
        None => {
            let divided = divide(&mut store, &mut first, config, (seed, fold), &mut notes)?;
            aside = divided.aside;
            vec![divided.is_test]
        }
        Some(second) => vec![
            budget::filled(false, first.bins(), "the parts")?,
            budget::filled(true, second.bins(), "the parts")?,
        ],
    };
    notes.splice(0..0, store.notes());
    let mut sources = vec![first];
    sources.extend(second);
    if let Some(unusual) = scored.unusual
        && let (Some(source), Some(is_test)) = (sources.last_mut(), tests.last())
    {
        unusual.make(source, is_test, config, seed)?;
    }

    let (classes, targets, offset) = all_targets(&sources, outputs, &mut notes)?;
    let whole = || sources.iter().zip(&tests).zip(&targets);
    let limit = limit.filter(|_| !whole_tested);
    let not_learnt = sources.first().zip(tests.first());
    let not_learnt =
        not_learnt.map(|(source, is_test)| beyond(limit, source, (is_test, &aside), config));
    let not_learnt = not_learnt.transpose()?.unwrap_or_default();
    let learnt = sources.first().map(|source| (source, &*not_learnt));
    let learnt = learnt_rows(learnt, config, whole_tested)?;
    let channels = sources.first().map_or(1, |source| source.channels);
    let (mean, std) = float_moments(&learnt, channels, 1, &[]);
    let warnings = if whole_tested {
        Vec::new()
    } else {
        constant_channels(sources.first(), &learnt)
    };
    let mut left = Left::default();
    let mut parts = Vec::new();
    let of_learnt = whole().next().filter(|_| !whole_tested);
    for (place, part) in [(of_learnt, false), (whole().next_back(), true)] {
        let Some(((source, is_test), targets)) = place else {
            continue;
        };
        let is_test = if part { is_test } else { &*not_learnt };
        let conditions = conditions.as_ref().filter(|_| part);
        let split = if source.by_trial {
            let of_part = source.trials.iter().map(|trial| trial.start);
            let of_part = of_part.filter(|&first| is_test.get(first) == Some(&part));
            let bins: Vec<usize> = of_part.collect();
            repeats = conditions.map(|found| found.of(&bins)).transpose()?;
            of_trials(source, (is_test, part), config, targets)?
        } else {
            let means = scored.means.filter(|means| means.len() == channels);
            let fill: Vec<f32> = means
                .unwrap_or(&mean)
                .iter()
                .map(|&mean| mean as f32)
                .collect();
            let windows = Windows::of(source, is_test, part, config, &fill)?;
            left.add(&windows);
            repeats = conditions
                .map(|found| found.of(&windows.bins))
                .transpose()?;
            let Windows {
                series,
                starts,
                bins,
                ..
            } = windows;
            let targets = if config.reconstructs() {
                sums(&series, &starts, config.window.steps(), channels)?
            } else {
                targets.subset(&bins)?
            };
            let shape = Shape::Sequence {
                steps: config.window.steps(),
                channels,
            };
            Split::windows(shape, series, (starts, config.window.before), targets)?
        };
        if split.is_empty() {
            let name = if part { "test" } else { "training" };
            let reason = format!(
                "leaves no sample in the {name} part; choose another division or a shorter window"
            );
            return Err(DataError::format(&source.signal, reason));
        }
        parts.push(split.centred(Vec::new(), offset.clone())?);
    }
    left.tell(&sources, &mut notes);
    if whole_tested && let Some(test) = parts.first() {
        // A data set has a training part.
        parts.insert(0, test.subset(&[0])?);
    }
    let (Some(test), Some(train)) = (parts.pop(), parts.pop()) else {
        let what = "holds no signal".to_owned();
        return Err(DataError::Empty {
            path: path.to_owned(),
            what,
        });
    };
    let named = sources
        .last()
        .map(|source| (&source.signal, &source.target));
    let normalization = Normalization { mean, std };
    let mut dataset = Dataset::new("recording", classes, normalization, train, test).map_err(
        |error| match named {
            Some((signal, target)) => error.of_part("test", signal, target),
            None => error,
        },
    )?;
    if whole_tested {
        dataset.warnings = dataset.absent_in_test().into_iter().collect();
    }
    dataset.divided = divided;
    dataset.notes = notes;
    dataset.counts = config.holds_out();
    dataset.reconstructs = config.reconstructs();
    dataset.learns_inputs = config.learns_inputs();
    dataset.repeats = repeats;
    if let Some(source) = sources.pop() {
        (dataset.columns, dataset.target_columns) = (source.columns, source.held_out);
    }
    let sameness = dataset.sameness();
    dataset
        .warnings
        .extend(warnings.into_iter().chain(sameness));
    Ok(dataset)
}

/// What each channel adds up to over the windows.
fn sums(
    series: &[f32],
    starts: &[usize],
    steps: usize,
    channels: usize,
) -> Result<Targets, DataError> {
    let what = "the windows to reconstruct";
    let mut data = budget::filled(0.0, starts.len().saturating_mul(channels), what)?;
    for (sums, start) in data.chunks_exact_mut(channels.max(1)).zip(starts) {
        let window = series.get(start * channels..(start + steps) * channels);
        for bin in window.unwrap_or_default().chunks_exact(channels.max(1)) {
            sums.iter_mut().zip(bin).for_each(|(sum, x)| *sum += x);
        }
    }
    let width = channels;
    Ok(Targets::Values { data, width })
}

/// What to do where the arrays that are tested on are not there, such as those of a preset.
fn or_without_test(error: DataError) -> DataError {
    match error {
        DataError::Config(mut error) if error.field.starts_with("data.decoding.test_") => {
            error.allowed.push_str(
                "; --set data.decoding.test_signal= --set data.decoding.test_target= tests on the end of the signal",
            );
            DataError::Config(error)
        }
        error => error,
    }
}

/// The names of classes, the targets of all rows of each source, and what is subtracted from real values.
type AllTargets = (Vec<String>, Vec<Targets>, Vec<f64>);

fn all_targets(
    sources: &[Source],
    outputs: Vec<Outputs>,
    notes: &mut Vec<String>,
) -> Result<AllTargets, DataError> {
    let (mut labels, mut values, mut offset) = (Vec::new(), Vec::new(), None);
    for (source, outputs) in sources.iter().zip(outputs) {
        match outputs {
            Outputs::Labels(found) => labels.push((found, source.target.clone())),
            Outputs::Values(found) => {
                let offset = match &offset {
                    Some(offset) => offset,
                    None => offset.insert(found.offset(&source.target)?),
                };
                let width = found.width;
                let data = found.cut(offset, &source.target)?;
                values.push(Targets::Values { data, width });
            }
        }
    }
    let (classes, targets) = if labels.is_empty() {
        (Vec::new(), values)
    } else {
        named_classes(labels, notes)?
    };
    Ok((classes, targets, offset.unwrap_or_default()))
}

/// The bins that are not learnt from: those that are tested on, those that are set aside and, under a limit, those after as many windows with a target
/// for every bin.
fn beyond(
    limit: Option<usize>,
    source: &Source,
    (is_test, aside): (&[bool], &[bool]),
    config: &DecodingConfig,
) -> Result<Vec<bool>, DataError> {
    // The last of the windows has its bins.
    let limit = limit.filter(|_| !source.by_trial);
    let mut left = limit.map_or(usize::MAX, |limit| {
        limit.saturating_add(config.window.after)
    });
    let mark = |(bin, test): (usize, &bool)| {
        let learnt = !test && aside.get(bin) != Some(&true) && left > 0;
        left -= usize::from(learnt);
        !learnt
    };
    let marked = is_test.iter().enumerate().map(mark);
    Ok(budget::collect(marked, is_test.len(), "the parts")?)
}

/// The bins that are learnt from, one after the other.
fn learnt_rows(
    source: Option<(&Source, &[bool])>,
    config: &DecodingConfig,
    all: bool,
) -> Result<Vec<f32>, DataError> {
    let Some((source, is_test)) = source else {
        return Ok(Vec::new());
    };
    let is_learnt = |test: &bool| all || !*test;
    let own = is_test.iter().filter(|test| is_learnt(test)).count();
    let mut rows = budget::with_capacity(own.saturating_mul(source.channels), "the training part")?;
    for trial in &source.trials {
        if source.by_trial && is_test.get(trial.start).is_some_and(is_learnt) {
            source.add_steps(trial, config, &mut rows);
        } else if !source.by_trial {
            let own = trial.clone();
            for bin in own.filter(|&bin| is_test.get(bin).is_some_and(is_learnt)) {
                rows.extend_from_slice(source.row(bin));
            }
        }
    }
    Ok(rows)
}

/// Names the channels that never change.
fn constant_channels(source: Option<&Source>, rows: &[f32]) -> Vec<String> {
    let Some(source) = source else {
        return Vec::new();
    };
    let channels = source.channels.max(1);
    let mut changes = vec![false; channels];
    for row in rows.chunks_exact(channels).skip(1) {
        for ((changes, x), first) in changes.iter_mut().zip(row).zip(rows) {
            *changes |= x != first;
        }
    }
    let constant: Vec<usize> = (0..channels)
        .filter(|&at| changes.get(at) == Some(&false))
        .collect();
    // That all are so is said of the whole.
    if constant.is_empty() || constant.len() == channels {
        return Vec::new();
    }
    let shown = first_of(&constant, MOST_CHANNELS);
    let (are, them) = match constant.len() {
        1 => ("is", "it"),
        _ => ("are", "them"),
    };
    vec![format!(
        "{}: {} of {} {are} the same in every training bin, so that nothing is decoded from {them}: {shown}, counted from 0",
        source.signal.display(),
        constant.len(),
        counted(channels, "channel")
    )]
}

/// Trials as samples.
fn of_trials(
    source: &Source,
    (is_test, part): (&[bool], bool),
    config: &DecodingConfig,
    targets: &Targets,
) -> Result<Split, DataError> {
    let (steps, channels) = (source.steps(config), source.channels);
    let of_part = |trial: &std::ops::Range<usize>| is_test.get(trial.start) == Some(&part);
    let chosen: Vec<usize> = source
        .trials
        .iter()
        .enumerate()
        .filter_map(|(at, trial)| of_part(trial).then_some(at))
        .collect();
    let count = chosen.len().saturating_mul(steps).saturating_mul(channels);
    let mut values = budget::with_capacity(count, "the trials")?;
    for trial in chosen.iter().filter_map(|&at| source.trials.get(at)) {
        source.add_steps(trial, config, &mut values);
    }
    let shape = Shape::Sequence { steps, channels };
    Split::new(shape, Features::Floats(values), targets.subset(&chosen)?)
}

/// What became of windows at the edges, in both parts.
#[derive(Default)]
struct Left {
    filled: usize,
    at_edges: usize,
    across: usize,
}

impl Left {
    fn add(&mut self, windows: &Windows) {
        self.filled += windows.filled;
        self.at_edges += windows.at_edges;
        self.across += windows.across;
    }

    fn tell(&self, sources: &[Source], notes: &mut Vec<String>) {
        let trials = sources.iter().any(|source| source.has_trials);
        let edge = if trials { "a trial" } else { "the recording" };
        if self.filled > 0 {
            notes.push(format!(
                "{} reach beyond the edge of {edge} and are filled up with zeros (data.decoding.edges)",
                counted(self.filled, "window")
            ));
        }
        if self.at_edges > 0 {
            notes.push(format!(
                "left out at the edges of {edge}: {} (data.decoding.edges)",
                counted(self.at_edges, "window")
            ));
        }
        if self.across > 0 {
            notes.push(format!(
                "left out, so that train and test share no bin: {} with bins of both",
                counted(self.across, "window")
            ));
        }
    }
}
