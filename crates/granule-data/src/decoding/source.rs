//! A signal, its trials and its target.

use std::ops::Range;
use std::path::PathBuf;

use granule_io::words::{counted, first_of};
use granule_io::{budget, ranges};

use super::config::{DecodingConfig, Window, wrong};
use super::store::Store;
use crate::DataError;
use crate::arrays::{Outputs, TargetKind, Values};
use crate::division::shuffled;

/// A signal and what is decoded from it.
pub(super) struct Source {
    pub signal: PathBuf,
    pub target: PathBuf,
    /// `[bins, channels]`
    pub data: Vec<f32>,
    pub channels: usize,
    /// The channels of the array that those of `data` are.
    pub columns: Vec<usize>,
    /// The channels of the array that are predicted.
    pub held_out: Vec<usize>,
    /// The bins of each trial, in order; all bins where there are no trials.
    pub trials: Vec<Range<usize>>,
    /// Whether trials were named, or are an extent of the signal.
    pub has_trials: bool,
    /// Whether a target is that of a trial, not of a bin.
    pub by_trial: bool,
}

/// The arrays of a part, and what the keys of the configuration that name them begin with.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    signal: &'a str,
    target: &'a str,
    trial: Option<&'a str>,
    prefix: &'static str,
}

impl<'a> Named<'a> {
    /// The array that is decoded from.
    pub fn signal(&self) -> &'a str {
        self.signal
    }

    /// Of what is learnt from.
    pub fn learnt(config: &'a DecodingConfig) -> Self {
        Self {
            signal: &config.signal,
            target: &config.target,
            trial: config.trial.as_deref(),
            prefix: "",
        }
    }

    /// Of what is tested on, where it has arrays of its own.
    pub fn tested(config: &'a DecodingConfig) -> Option<Self> {
        Some(Self {
            signal: config.test_signal.as_deref()?,
            target: if config.has_own_target() {
                ""
            } else {
                config.test_target.as_deref()?
            },
            trial: config.test_trial.as_deref(),
            prefix: "test_",
        })
    }
}

/// How an array of targets is laid out.
struct Layout {
    by_trial: bool,
    /// Whether its first two extents are trials and bins.
    in_trials: bool,
}

impl Source {
    /// Reads the arrays of a part.
    pub fn read(
        store: &mut Store<'_>,
        named: Named<'_>,
        config: &DecodingConfig,
        (kind, seed): (Option<TargetKind>, u64),
        notes: &mut Vec<String>,
    ) -> Result<(Self, Outputs), DataError> {
        let (mut source, signal) = Self::of_signal(store, named, config, notes)?;
        source.choose(config, notes)?;
        let own = match source.hold_out(config, seed, notes)? {
            // Sums over windows are known once these are cut.
            None if config.reconstruct => Some(Values::of_floats(Vec::new(), source.channels)),
            held_out => held_out,
        };
        if let Some(own) = own {
            source.take_roots(config);
            source.check(config)?;
            return Ok((source, Outputs::Values(own)));
        }
        let Named { target, prefix, .. } = named;
        let (bins, trials, has_trials) = (source.bins(), source.trials.len(), source.has_trials);
        let (outputs, by_trial) = store.read(&format!("{prefix}target"), target, |array| {
            let array = array.without_row();
            let extents = array.extents();
            let inside = match *signal.as_slice() {
                [_, _, inside] => Some(inside),
                _ => None,
            };
            let Layout { by_trial, in_trials } = layout(&extents, bins, trials, inside, has_trials)
                .ok_or_else(|| {
                    let of_trials = match trials {
                        1 => String::new(),
                        count => format!(" in {}", counted(count, "trial")),
                    };
                    let reason = format!(
                        "its shape is {extents:?}, and {} has {}{of_trials}: a target is a row for every bin or for every trial{}",
                        source.signal.display(),
                        counted(bins, "bin"),
                        swapped(&extents, &signal, named, has_trials),
                    );
                    DataError::format(&source.target, reason)
                })?;
            let array = if in_trials { array.flattened()? } else { array };
            Ok((Outputs::read(array, kind, notes)?, by_trial))
        })?;
        source.by_trial = by_trial;
        source.take_roots(config);
        source.check(config)?;
        Ok((source, outputs))
    }

    /// Takes the square root of every bin, where it is asked for; of trials with a target it is that of sums.
    pub fn take_roots(&mut self, config: &DecodingConfig) {
        if config.square_root && !self.by_trial {
            self.data.iter_mut().for_each(|x| *x = x.sqrt());
        }
    }

    /// Leaves the channels that `config` chooses.
    pub fn choose(
        &mut self,
        config: &DecodingConfig,
        notes: &mut Vec<String>,
    ) -> Result<(), DataError> {
        let Some(chosen) = &config.channels else {
            return Ok(());
        };
        let all = self.channels;
        ranges::check("data.decoding.channels", chosen, Some(all))?;
        let count = ranges::count(chosen);
        let numbers = self.bins().saturating_mul(count);
        let mut data = budget::with_capacity(numbers, "the channels that are seen")?;
        for row in self.data.chunks_exact(all.max(1)) {
            for &[first, end] in chosen {
                data.extend_from_slice(row.get(first..end).unwrap_or_default());
            }
        }
        self.data = data;
        self.channels = count;
        self.columns = chosen.iter().flat_map(|&[first, end]| first..end).collect();
        let shown: Vec<String> = chosen
            .iter()
            .map(|[first, end]| format!("{first} to {}", end.saturating_sub(1)))
            .collect();
        let text = format!(
            "{count} of {} are seen, counted from 0: {}",
            counted(all, "channel"),
            shown.join(", ")
        );
        // Of a part to test on they are the same.
        if !notes.contains(&text) {
            notes.push(text);
        }
        Ok(())
    }

    /// Takes the channels away that are predicted from the others: their counts, where there are some.
    pub fn hold_out(
        &mut self,
        config: &DecodingConfig,
        seed: u64,
        notes: &mut Vec<String>,
    ) -> Result<Option<Values>, DataError> {
        if !config.holds_out() {
            return Ok(None);
        }
        let held_out = held_out(config, self.channels, seed, notes)?;
        let (others, counts) = apart(&self.data, self.channels, &held_out)?;
        self.data = others;
        self.channels -= held_out.len();
        self.columns
            .retain(|channel| held_out.binary_search(channel).is_err());
        let width = held_out.len();
        self.held_out = held_out;
        Ok(Some(Values::of_floats(counts, width)))
    }

    /// Reads the signal of a part and its trials; the extents of its array besides.
    pub fn of_signal(
        store: &mut Store<'_>,
        named: Named<'_>,
        config: &DecodingConfig,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Vec<usize>), DataError> {
        let Named {
            signal,
            target,
            trial,
            prefix,
        } = named;
        let key = |name: &str| format!("{prefix}{name}");
        let place = store.place(signal);
        let (extents, values) = store.read(&key("signal"), signal, |array| array.values())?;
        let (bins, channels, inside) = match *extents.as_slice() {
            [bins] => (bins, 1, None),
            [bins, channels] => (bins, channels, None),
            [trials, channels, bins] => (trials * bins, channels, Some(bins)),
            _ => {
                return Err(DataError::ArrayShape {
                    path: place.clone(),
                    found: extents.iter().map(|&extent| extent as u64).collect(),
                    allowed: "[bins, channels], or [trials, channels, bins], for a signal"
                        .to_owned(),
                });
            }
        };
        if let Some(bins_of_trial) = inside {
            notes.push(format!(
                "{}: {}, {} and {} a trial",
                place.display(),
                counted(bins / bins_of_trial.max(1), "trial"),
                counted(channels, "channel"),
                counted(bins_of_trial, "bin")
            ));
        }
        if let Some(asked) = counts_for(config) {
            check_counts(&place, &extents, &values, asked)?;
        }
        let mut data = values.cut(&[], &place)?;
        let trials: Vec<Range<usize>> = match (inside, trial) {
            (Some(inside), None) => {
                data = bins_first(&data, channels, inside)?;
                (0..bins / inside)
                    .map(|trial| trial * inside..(trial + 1) * inside)
                    .collect()
            }
            (Some(_), Some(name)) => {
                let allowed = "unset for a signal [trials, channels, bins]";
                return Err(wrong(&key("trial"), format!("{name:?}"), allowed));
            }
            (None, Some(name)) => {
                let of_trials = store.place(name);
                let numbers = store.read(&key("trial"), name, |array| array.column())?;
                if numbers.len() != bins {
                    return Err(lengths(&of_trials, numbers.len(), &place, bins));
                }
                runs(&numbers).collect()
            }
            (None, None) => std::iter::once(0..bins).collect(),
        };
        let has_trials = inside.is_some() || trial.is_some();
        let source = Self {
            target: store.place(if config.has_own_target() {
                signal
            } else {
                target
            }),
            signal: place,
            data,
            channels,
            columns: budget::collect(0..channels, channels, "the signal")?,
            held_out: Vec::new(),
            trials,
            has_trials,
            by_trial: false,
        };
        Ok((source, extents))
    }

    /// Refuses settings that do not go with targets of bins, or with those of trials.
    pub fn check(&self, config: &DecodingConfig) -> Result<(), DataError> {
        if !self.by_trial {
            return match (config.bins, config.sum) {
                (Some(bins), _) => {
                    let allowed = "unset with a target for every bin";
                    Err(wrong("bins", format!("{bins:?}"), allowed))
                }
                (None, 1) => Ok(()),
                (None, sum) => Err(wrong("sum", sum, "1 with a target for every bin")),
            };
        }
        if config.window != Window::default() {
            let Window { before, after } = config.window;
            let allowed = "unset with a target for every trial, whose bins are a sample; data.decoding.bins chooses them";
            let value = format!("{{ before = {before}, after = {after} }}");
            return Err(wrong("window", value, allowed));
        }
        let lengths = || self.trials.iter().map(Range::len).enumerate();
        let [first, end] = config
            .bins
            .unwrap_or([0, self.trials.first().map_or(0, Range::len)]);
        let misfit = |(_, len): &(usize, usize)| match config.bins {
            Some(_) => *len < end,
            None => *len != end,
        };
        let Some((trial, len)) = lengths().find(misfit) else {
            return match end.saturating_sub(first) {
                seen if seen % config.sum == 0 => Ok(()),
                seen => {
                    let allowed = format!("a divisor of the {} of a trial", counted(seen, "bin"));
                    Err(wrong("sum", config.sum, allowed))
                }
            };
        };
        let shortest = lengths().map(|(_, len)| len).min().unwrap_or(0);
        let reason = match config.bins {
            Some(_) => format!(
                "trial {trial}, counted from 0, has {}, fewer than data.decoding.bins = [{first}, {end}] takes",
                counted(len, "bin")
            ),
            None => format!(
                "trials of unequal length: trial 0 has {}, trial {trial} has {}; data.decoding.bins = [0, {shortest}] takes \
                 as many of each",
                counted(end, "bin"),
                counted(len, "bin"),
            ),
        };
        Err(DataError::format(&self.signal, reason))
    }

    /// Refuses a part to test on that is of another kind.
    pub fn check_beside(&self, test: &Self) -> Result<(), DataError> {
        if self.channels != test.channels {
            let reason = format!(
                "has {} channels, {} has {}",
                test.channels,
                self.signal.display(),
                self.channels
            );
            return Err(DataError::format(&test.signal, reason));
        }
        if self.by_trial != test.by_trial {
            let reason =
                "one of train and test has a target for every bin, the other one for every trial";
            return Err(DataError::format(&test.target, reason));
        }
        Ok(())
    }

    pub fn bins(&self) -> usize {
        self.data.len() / self.channels.max(1)
    }

    /// Adds the steps of a trial that has a target, row by row: the bins that are chosen, summed and their root taken.
    pub fn add_steps(&self, trial: &Range<usize>, config: &DecodingConfig, steps: &mut Vec<f32>) {
        let seen = match config.bins {
            Some([first, end]) => trial.start + first..trial.start + end,
            None => trial.clone(),
        };
        let channels = self.channels.max(1);
        let span = seen.start * channels..seen.end * channels;
        let rows = self.data.get(span).unwrap_or_default();
        if config.sum == 1 && !config.square_root {
            steps.extend_from_slice(rows);
            return;
        }
        for bins in rows.chunks(config.sum.saturating_mul(channels)) {
            let start = steps.len();
            steps.extend_from_slice(bins.get(..channels).unwrap_or_default());
            let sums = steps.get_mut(start..).unwrap_or_default();
            for bin in bins.chunks(channels).skip(1) {
                sums.iter_mut().zip(bin).for_each(|(sum, x)| *sum += x);
            }
            if config.square_root {
                sums.iter_mut().for_each(|x| *x = x.sqrt());
            }
        }
    }

    /// Steps of each trial as a decoder sees them, with a target for every trial.
    pub fn steps(&self, config: &DecodingConfig) -> usize {
        let seen = match config.bins {
            Some([first, end]) => end - first,
            None => self.trials.first().map_or(0, Range::len),
        };
        seen / config.sum.max(1)
    }

    /// The values of a bin.
    pub fn row(&self, bin: usize) -> &[f32] {
        let start = bin * self.channels;
        self.data
            .get(start..start + self.channels)
            .unwrap_or_default()
    }
}

/// How targets of these extents belong to the signal; none when they do not.
fn layout(
    extents: &[usize],
    bins: usize,
    trials: usize,
    inside: Option<usize>,
    has_trials: bool,
) -> Option<Layout> {
    let of = |by_trial, in_trials| {
        Some(Layout {
            by_trial,
            in_trials,
        })
    };
    match (extents, inside) {
        (&[first, second] | &[first, second, _], Some(inside))
            if first == trials && second == inside =>
        {
            of(false, true)
        }
        (&[first] | &[first, _], Some(_)) if first == trials => of(true, false),
        (&[first] | &[first, _], None) if first == bins => of(false, false),
        (&[first] | &[first, _], None) if has_trials && first == trials => of(true, false),
        _ => None,
    }
}

/// What there is to say where the axes of a signal or of a target seem to be in another order.
fn swapped(extents: &[usize], signal: &[usize], named: Named<'_>, has_trials: bool) -> String {
    let exchanged = |name: &str, axes: &str| format!("{name} = {name}.transpose({axes}) in Python");
    let (name, prefix) = (named.signal, named.prefix);
    let of_signal = |axes: &str, meant: &str, order: &str| {
        format!(
            "; data.decoding.{prefix}signal = \"{name}\" of the shape {signal:?} is read as {axes}: if it is {meant}, \
             exchange its axes, {}",
            exchanged(name, order)
        )
    };
    match (signal, extents) {
        (&[bins, channels], &[rows, ..]) if rows == channels && rows != bins => {
            of_signal("[bins, channels]", "[channels, bins]", "1, 0")
        }
        (&[trials, channels, bins], &[first, rows, ..])
            if first == trials && rows == channels && rows != bins =>
        {
            let meant = "[trials, bins, channels]";
            of_signal("[trials, channels, bins]", meant, "0, 2, 1")
        }
        (&[bins, _], &[_, columns]) if columns == bins && !has_trials => format!(
            "; if its axes are [outputs, bins], exchange them, {}",
            exchanged(named.target, "1, 0")
        ),
        _ => String::new(),
    }
}

pub(super) fn lengths(
    place: &std::path::Path,
    found: usize,
    signal: &std::path::Path,
    bins: usize,
) -> DataError {
    let reason = format!(
        "holds {}, {} has {}",
        counted(found, "number"),
        signal.display(),
        counted(bins, "bin")
    );
    DataError::format(place, reason)
}

/// Where equal numbers stand in a row.
pub(super) fn runs(numbers: &[i64]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    let same = numbers.chunk_by(|a, b| a == b);
    same.map(move |run| {
        start += run.len();
        start - run.len()..start
    })
}

/// `[trials, channels, bins]` → `[trials, bins, channels]`.
fn bins_first(data: &[f32], channels: usize, bins: usize) -> Result<Vec<f32>, DataError> {
    let mut out = budget::with_capacity(data.len(), "the signal")?;
    for trial in data.chunks_exact((channels * bins).max(1)) {
        for bin in 0..bins {
            out.extend(trial.iter().skip(bin).step_by(bins));
        }
    }
    Ok(out)
}

/// What asks for a signal of counts.
fn counts_for(config: &DecodingConfig) -> Option<&'static str> {
    if config.square_root {
        Some("data.decoding.square_root asks for counts")
    } else if config.holds_out() {
        Some("the channels that data.decoding.held_out predicts are counts")
    } else {
        None
    }
}

/// Channels that a note names.
const MOST_SHOWN: usize = 100;

/// The channels that are predicted from the others, rising.
fn held_out(
    config: &DecodingConfig,
    channels: usize,
    seed: u64,
    notes: &mut Vec<String>,
) -> Result<Vec<usize>, DataError> {
    let mut chosen = match config.held_out {
        Some(share) => {
            let count = (share * channels as f64).round() as usize;
            if count == 0 || count >= channels {
                let allowed = format!(
                    "a share of {} that leaves some of each",
                    counted(channels, "channel")
                );
                return Err(wrong("held_out", share, allowed));
            }
            let mut drawn = shuffled(channels, seed);
            drawn.truncate(count);
            drawn
        }
        None => config.held_out_channels.clone(),
    };
    chosen.sort_unstable();
    let twice = chosen.windows(2).find(|pair| pair[0] == pair[1]);
    let beyond = chosen.last().filter(|last| **last >= channels);
    if twice.is_some() || beyond.is_some() || chosen.len() >= channels {
        let allowed = format!(
            "channels from 0 to {}, each once and not all of them",
            channels.saturating_sub(1)
        );
        let value = format!("{:?}", config.held_out_channels);
        return Err(wrong("held_out_channels", value, allowed));
    }
    let shown = first_of(&chosen, MOST_SHOWN);
    let drawn = match config.held_out {
        Some(_) => ", drawn from data.seed",
        None => "",
    };
    // Of a part to test on they are the same.
    let text = format!(
        "{} of {} are predicted from the others{drawn}, as outputs in this order: {shown}, counted from 0",
        chosen.len(),
        counted(channels, "channel")
    );
    if !notes.contains(&text) {
        notes.push(text);
        if config.reconstruct {
            let others = counted(channels - chosen.len(), "other");
            notes.push(format!(
                "the counts of the {others} in the same bin are learnt as well, and neither answered nor scored"
            ));
        }
    }
    Ok(chosen)
}

/// The channels, of rows, that are not among `held_out`, and those that are.
fn apart(
    data: &[f32],
    channels: usize,
    held_out: &[usize],
) -> Result<(Vec<f32>, Vec<f32>), DataError> {
    let bins = data.len() / channels.max(1);
    let mut is_held_out = vec![false; channels];
    for &channel in held_out {
        if let Some(is) = is_held_out.get_mut(channel) {
            *is = true;
        }
    }
    let mut targets = budget::with_capacity(bins * held_out.len(), "the channels held out")?;
    let mut others = budget::with_capacity(data.len() - bins * held_out.len(), "the signal")?;
    for (x, &is) in data.iter().zip(is_held_out.iter().cycle()) {
        let part = if is { &mut targets } else { &mut others };
        part.push(*x);
    }
    Ok((others, targets))
}

/// Refuses what is no count.
fn check_counts(
    path: &std::path::Path,
    extents: &[usize],
    values: &Values,
    asked: &str,
) -> Result<(), DataError> {
    let bad = values
        .iter()
        .enumerate()
        .find(|(_, x)| *x < 0.0 || x.fract() != 0.0);
    let Some((at, x)) = bad else {
        return Ok(());
    };
    let place = match *extents {
        [_, channels, bins] => format!(
            "in trial {}, channel {}, bin {}",
            at / (channels * bins),
            at / bins % channels,
            at % bins
        ),
        [_, channels] => format!("in bin {}, channel {}", at / channels, at % channels),
        _ => format!("in bin {at}"),
    };
    let reason =
        format!("holds {x} {place}, counted from 0: counts are whole numbers from 0, and {asked}");
    Err(DataError::format(path, reason))
}
