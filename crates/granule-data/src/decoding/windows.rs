//! The parts to learn from and to test on, and the windows in them.

use std::ops::Range;

use granule_io::budget;
use granule_io::words::{counted, first_of};

use super::config::{DecodingConfig, Division, Edges, wrong};
use super::source::{Source, lengths, runs};
use super::store::Store;
use crate::division::shuffled;
use crate::{DataError, Fold};

/// Numbers of groups that a message names.
const MOST_GROUPS: usize = 20;

/// The bins that are tested on, and those of the test part in cross-validation, which are neither learnt from nor tested on.
pub(super) struct Divided {
    pub is_test: Vec<bool>,
    pub aside: Vec<bool>,
}

/// Which bins of a recording are tested on.
pub(super) fn divide(
    store: &mut Store<'_>,
    source: &mut Source,
    config: &DecodingConfig,
    (seed, fold): (u64, Option<Fold>),
    notes: &mut Vec<String>,
) -> Result<Divided, DataError> {
    let (bins, trials) = (source.bins(), &source.trials);
    let mut stretches = None;
    let none = || budget::filled(false, bins, "the parts of the recording");
    let (mut is_test, mut aside) = (none()?, none()?);
    let share = |count: usize| (config.test * count as f64).round() as usize;
    let percent = || format!("{:.3} %", 100.0 * config.test).replace(".000", "");
    match config.split {
        Division::Time if let Some(fold) = fold => {
            let of_trial = |trial: usize| trials.get(trial).map_or(bins, |trial| trial.start);
            let (count, what) = if source.by_trial {
                (trials.len(), "trial")
            } else {
                (bins, "bin")
            };
            let count = count - share(count);
            let part = part_of(fold, count, what)?;
            let bins_of = |part: Range<usize>| {
                if source.by_trial {
                    of_trial(part.start)..of_trial(part.end)
                } else {
                    part
                }
            };
            let own = bins_of(part.clone());
            is_test.get_mut(own).unwrap_or_default().fill(true);
            let end = bins_of(0..count).end;
            aside.get_mut(end..).unwrap_or_default().fill(true);
            notes.push(format!(
                "{fold}: {what}s {} to {}, counted from 0, are tested on",
                part.start,
                part.end - 1
            ));
        }
        Division::Time => {
            let first = if source.by_trial {
                trials
                    .get(trials.len() - share(trials.len()))
                    .map_or(bins, |trial| trial.start)
            } else {
                bins - share(bins)
            };
            is_test.iter_mut().skip(first).for_each(|test| *test = true);
            let what = if source.by_trial { "trials" } else { "bins" };
            notes.push(format!(
                "the last {} of the {what} are tested on",
                percent()
            ));
        }
        Division::Trial => {
            if trials.len() < 2 {
                let allowed = "\"time\" or \"group\" for a recording of one trial; data.decoding.trial names the array of trials";
                return Err(wrong("split", "\"trial\"", allowed));
            }
            // The first ones that are drawn are tested on in the end.
            let tested = share(trials.len());
            let part = match fold {
                Some(fold) => {
                    let part = part_of(fold, trials.len() - tested, "trial")?;
                    tested + part.start..tested + part.end
                }
                None => 0..tested,
            };
            let drawn = shuffled(trials.len(), seed);
            let mark = |part: Range<usize>, mask: &mut Vec<bool>| {
                for &trial in drawn.get(part).unwrap_or_default() {
                    let of_trial = trials.get(trial).cloned().unwrap_or_default();
                    mask.get_mut(of_trial).unwrap_or_default().fill(true);
                }
            };
            mark(part.clone(), &mut is_test);
            if fold.is_some() {
                mark(0..tested, &mut aside);
            }
            let of = fold.map_or_else(String::new, |fold| format!("{fold}: "));
            notes.push(format!(
                "{of}{} of {} are tested on, drawn from data.seed",
                part.len(),
                counted(trials.len(), "trial")
            ));
        }
        Division::Group => {
            let name = config.group.as_deref().unwrap_or_default();
            let place = store.place(name);
            let groups = store.read("group", name, |array| array.column())?;
            let of_fold = fold
                .map(|fold| groups_of(fold, &groups, &config.test_groups, notes))
                .transpose()?;
            let test_groups = of_fold.as_ref().unwrap_or(&config.test_groups);
            if test_groups.is_empty() {
                let allowed = "the numbers in group that are tested on";
                return Err(wrong("test_groups", "[]", allowed));
            }
            for number in test_groups {
                if !groups.contains(number) {
                    let mut known = groups.clone();
                    known.sort_unstable();
                    known.dedup();
                    let known = first_of(known, MOST_GROUPS);
                    let allowed = format!("numbers in {}: {known}", place.display());
                    return Err(wrong("test_groups", number, allowed));
                }
            }
            let mark = |of: &[i64], mask: &mut Vec<bool>| {
                if groups.len() == bins {
                    for (mask, number) in mask.iter_mut().zip(&groups) {
                        *mask = of.contains(number);
                    }
                    return;
                }
                for (trial, number) in trials.iter().zip(&groups) {
                    let of_trial = mask.get_mut(trial.clone()).unwrap_or_default();
                    of_trial.fill(of.contains(number));
                }
            };
            if groups.len() != bins && !(source.has_trials && groups.len() == trials.len()) {
                return Err(lengths(&place, groups.len(), &source.signal, bins));
            }
            mark(test_groups, &mut is_test);
            if of_fold.is_some() {
                mark(&config.test_groups, &mut aside);
            }
            if groups.len() == bins && !source.by_trial {
                stretches = Some(within_groups(trials, &groups)?);
            }
        }
    }
    if source.by_trial {
        let mixed = |trial: &Range<usize>| {
            let parts = is_test.get(trial.clone()).unwrap_or_default();
            parts.contains(&true) && parts.contains(&false)
        };
        if let Some(trial) = trials.iter().position(mixed) {
            let name = config.group.as_deref().unwrap_or_default();
            let reason =
                format!("trial {trial}, counted from 0, has bins of both parts by {name:?}");
            return Err(DataError::format(&source.signal, reason));
        }
    }
    if let Some(stretches) = stretches {
        source.trials = stretches;
    }
    Ok(Divided { is_test, aside })
}

/// Of so many things in a row those that a part of cross-validation tests on.
fn part_of(fold: Fold, count: usize, what: &str) -> Result<Range<usize>, DataError> {
    match fold.range(count) {
        part if part.is_empty() || part.len() == count => {
            Err(fold.too_many(&counted(count, what), count))
        }
        part => Ok(part),
    }
}

/// The groups that a part of cross-validation tests on, none of which is `aside`.
fn groups_of(
    fold: Fold,
    groups: &[i64],
    aside: &[i64],
    notes: &mut Vec<String>,
) -> Result<Vec<i64>, DataError> {
    let mut all = budget::collect(groups.iter().copied(), groups.len(), "the groups")?;
    all.sort_unstable();
    all.dedup();
    all.retain(|number| !aside.contains(number));
    let part = part_of(fold, all.len(), "group")?;
    let tested = all.get(part).unwrap_or_default().to_vec();
    notes.push(format!(
        "{fold}: the groups {} of {} are tested on",
        first_of(&tested, MOST_GROUPS),
        all.len()
    ));
    Ok(tested)
}

/// As [`divide`] cuts a recording of several runs that is not divided: no window reaches from one into the next, where it has
/// the array that tells them apart.
pub(super) fn stretches(
    store: &mut Store<'_>,
    source: &Source,
    config: &DecodingConfig,
) -> Result<Option<Vec<Range<usize>>>, DataError> {
    let name = match config.group.as_deref() {
        Some(name) if store.has(name)? => name,
        _ => return Ok(None),
    };
    let groups = store.read("group", name, |array| array.column())?;
    if source.by_trial || groups.len() != source.bins() {
        return Ok(None);
    }
    within_groups(&source.trials, &groups).map(Some)
}

/// The stretches of bins that are of one trial and of one group, such as a run: what lies between two runs was not recorded.
fn within_groups(trials: &[Range<usize>], groups: &[i64]) -> Result<Vec<Range<usize>>, DataError> {
    let of_trial = |trial: &Range<usize>| {
        let first = trial.start;
        let own = groups.get(trial.clone()).unwrap_or_default();
        runs(own).map(move |run| first + run.start..first + run.end)
    };
    let count = trials.iter().flat_map(of_trial).count();
    let all = trials.iter().flat_map(of_trial);
    Ok(budget::collect(all, count, "the runs of the recording")?)
}

/// Windows in one part of a recording.
#[derive(Default)]
pub(super) struct Windows {
    /// `[steps, channels]`: the bins of the part, and what stands for bins beyond the edge of a trial.
    pub series: Vec<f32>,
    /// The step that each window begins at: one after the window before it where bin follows bin, more where a trial begins
    /// or bins are left out.
    pub starts: Vec<usize>,
    /// The bin that each is decoded for.
    pub bins: Vec<usize>,
    /// Windows that are filled up at an edge.
    pub filled: usize,
    /// Windows that are left out at an edge.
    pub at_edges: usize,
    /// Windows that are left out as they reach into the other part.
    pub across: usize,
}

impl Windows {
    /// The windows of the bins of a part; `fill` is what a bin beyond an edge is taken for.
    pub fn of(
        source: &Source,
        is_test: &[bool],
        part: bool,
        config: &DecodingConfig,
        fill: &[f32],
    ) -> Result<Self, DataError> {
        let (before, after) = (config.window.before, config.window.after);
        let zeros = config.edges == Edges::Zeros;
        let what = "the windows of the recording";
        let mut windows = Self::default();
        let own = is_test.iter().filter(|test| **test == part).count();
        let between = if zeros { (before + after).max(1) } else { 1 };
        let steps = own.saturating_add(source.trials.len().saturating_mul(between));
        budget::reserve(
            &mut windows.series,
            steps.saturating_mul(source.channels),
            what,
        )?;
        budget::reserve(&mut windows.starts, own, what)?;
        budget::reserve(&mut windows.bins, own, what)?;
        for trial in &source.trials {
            let mut start = trial.start;
            for run in is_test
                .get(trial.clone())
                .unwrap_or_default()
                .chunk_by(|a, b| a == b)
            {
                let end = start + run.len();
                if run.first() == Some(&part) {
                    // Whether the trial, not the part, begins and ends here.
                    let edges = [start == trial.start, end == trial.end];
                    let fill = zeros.then_some(fill);
                    let sides = ([before, after], config.reach());
                    windows.add(source, start..end, edges, sides, fill);
                }
                start = end;
            }
        }
        Ok(windows)
    }

    /// The windows of a run of bins of the part, filled up at the edges of its trial where there is something to fill in.
    fn add(
        &mut self,
        source: &Source,
        run: Range<usize>,
        edges: [bool; 2],
        ([before, after], reach): ([usize; 2], usize),
        fill: Option<&[f32]>,
    ) {
        let base = self.series.len() / source.channels.max(1);
        let fills = edges.map(|edge| edge && fill.is_some());
        let fill = fill.unwrap_or_default();
        let ahead = if fills[0] { before } else { 0 };
        for _ in 0..ahead {
            self.series.extend_from_slice(fill);
        }
        let span = run.start * source.channels..run.end * source.channels;
        self.series
            .extend_from_slice(source.data.get(span).unwrap_or_default());
        for _ in 0..if fills[1] { after } else { 0 } {
            self.series.extend_from_slice(fill);
        }
        if before + after == 0 {
            // A step that is in no window, lest the next run seems to go on from this one.
            let end = self.series.len() + source.channels;
            self.series.resize(end, 0.0);
        }
        for bin in run.clone() {
            let (left, right) = (bin - run.start, run.end - 1 - bin);
            // Next to the other part smoothing has brought its spikes into bins.
            let margin = edges.map(|edge| if edge { 0 } else { reach });
            let beyond = [
                left < before.saturating_add(margin[0]),
                right < after.saturating_add(margin[1]),
            ];
            let fits = |side: usize| !beyond[side] || fills[side];
            if fits(0) && fits(1) {
                self.starts.push(base + ahead + left - before);
                self.bins.push(bin);
                self.filled += usize::from(beyond[0] || beyond[1]);
            } else if (beyond[0] && !edges[0]) || (beyond[1] && !edges[1]) {
                self.across += 1;
            } else {
                self.at_edges += 1;
            }
        }
    }
}
