//! An experiment whose steps are taken many in a call.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use granule_io::budget;

use super::record::{Fired, Kept, SpikeReader, kept_of};
use super::run::{Driven, Experiment, Ran};
use super::stimulus::Stimulus;
use super::subject::{Body, Firing, Subject};
use granule_dynamics::whole::{See, Seen, WholeRun, WholeSteps};
use granule_dynamics::{CHECK_EVERY, Clock, DynamicsError, Grid, State, failure};

/// After about so long somebody hears of the steps done, and can end the run.
const HEARD: Duration = Duration::from_millis(50);
/// The most steps of levels in one of the whole that are recorded: each has operations of its own.
const MOST_LEVEL_STEPS: usize = 1000;
/// Steps of the first call.
const FIRST: usize = 1;

/// Where spikes are looked for: in some variables of a level, after one of its steps within a step of the whole.
#[derive(Clone, Debug)]
struct Watch {
    reader: usize,
    /// How long after the beginning of the whole's step, ms.
    after: f64,
    /// How much is seen for it.
    things: usize,
    how: Looking,
}

/// What of it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Looking {
    /// All voltages.
    Everywhere,
    /// The voltages before and after the step, where they crossed the threshold.
    AtCrossings,
    /// What counts spikes, where there are any.
    AtCounts,
}

/// The recorded step of an experiment.
pub(super) struct Whole {
    steps: WholeSteps,
    /// How much of what is seen is kept; the rest is what spikes are looked for in.
    kept: usize,
    watches: Vec<Watch>,
}

impl Whole {
    /// Records the step of a subject of which the variables `kept` are recorded.
    ///
    /// # Errors
    ///
    /// A sentence that says why there is no such step.
    pub(super) fn record(
        subject: &Subject,
        stimulus: Option<&Stimulus>,
        grid: &Grid,
        kept: &[Kept],
    ) -> Result<Self, String> {
        let clock = grid.clock(0);
        let input = stimulus.map(|stimulus| [1, stimulus.channels()]);
        let watches = RefCell::new(Vec::new());
        let step = |body: &Body, clock: Clock, state: &State, input: Option<&Tensor<2>>| {
            let (mut found, mut seen) = (Vec::new(), Vec::new());
            let mut taken = 0;
            // Of levels is not known what they were before each of their steps.
            let before = matches!(body, Body::One(_)).then_some(state);
            let mut see = |level: usize, time: f64, own: &State| {
                taken += 1;
                if taken > MOST_LEVEL_STEPS {
                    let allowed = format!("at most {MOST_LEVEL_STEPS} of levels to be recorded");
                    return Err(DynamicsError::config("steps", "more", allowed));
                }
                let readers = subject.firing.iter().enumerate();
                for (reader, (_, firing)) in readers.filter(|(_, (of, _))| *of == level) {
                    let read = firing.reads().into_iter();
                    let read = read.map(|variable| own[variable].clone());
                    let (how, things) = match (firing, before) {
                        (Firing::Threshold(threshold), Some(before)) => (
                            Looking::AtCrossings,
                            crossings(*threshold, before[0].clone(), own[0].clone()).to_vec(),
                        ),
                        (Firing::Threshold(_), None) => (Looking::Everywhere, read.collect()),
                        (Firing::Counted { .. }, _) => (Looking::AtCounts, read.collect()),
                    };
                    found.push(Watch {
                        reader,
                        after: time - clock.time,
                        things: things.len(),
                        how,
                    });
                    seen.extend(things);
                }
                Ok(())
            };
            let next = match body {
                Body::One(dynamics) => {
                    let next = dynamics.step(clock, state, input)?;
                    see(0, clock.time + clock.dt, &next)?;
                    next
                }
                Body::Levels(composite) => composite.step_watched(clock, state, input, &mut see)?,
            };
            watches.replace(found);
            let kept = kept_of(kept.iter().copied(), body.dynamics(), &next);
            let seen = kept.into_iter().chain(seen).collect();
            Ok((next, seen))
        };
        let steps = WholeSteps::record(&subject.initial, input, clock, &subject.again, step)?;
        Ok(Self {
            steps,
            kept: kept.len(),
            watches: watches.into_inner(),
        })
    }

    /// How many operations a step has.
    pub(super) fn operations(&self) -> usize {
        self.steps.script().operations()
    }

    /// Runs an experiment to its end, to where `progress` breaks, or until it is stopped. `ran` has what there is of the initial
    /// state.
    pub(super) fn run(
        &self,
        of: &Experiment,
        ran: &mut Ran<'_>,
        progress: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<(), DynamicsError> {
        let grid = &of.grid;
        let dynamics = of.subject.body.dynamics();
        let mut see = vec![See::Every(ran.recorder.every()); self.kept];
        for watch in &self.watches {
            let first = see.len();
            let how = match watch.how {
                Looking::Everywhere => See::Every(1),
                Looking::AtCrossings | Looking::AtCounts => See::Where(first),
            };
            see.extend(vec![how; watch.things]);
        }
        let script = self.steps.script();
        let columns: usize = script.seen().iter().chain(&script.given()).sum();
        let most = budget::waiting_samples(columns + 1).min(CHECK_EVERY);
        let mut run = self.steps.begin_after(of.begins, &of.subject.initial)?;
        // What was plausible last, and where a call began.
        let (mut good, mut begun) = (run.saved(), run.saved());
        let mut together = FIRST.min(most);
        while run.done() < grid.steps() && !of.stop.is_asked() {
            let first = run.done();
            // The state is looked at after the same steps in every run.
            let to_check = CHECK_EVERY - first % CHECK_EVERY;
            let mut count = together.min(to_check).min(grid.steps() - first);
            // Before the first sample nothing is copied.
            let quiet = ran.recorder.before_first(first, count);
            count = quiet.unwrap_or(count);
            let every = match quiet {
                Some(_) => See::Never,
                None => See::Every(ran.recorder.every()),
            };
            see[..self.kept].fill(every);
            let input = |count: usize| {
                let given = of.stimulus.iter();
                let steps = first..first + count;
                given
                    .flat_map(|given| steps.clone().flat_map(|step| given.values(step)))
                    .collect::<Vec<f64>>()
            };
            if good.done() != first {
                run.save(&mut begun);
            }
            let began = Instant::now();
            let mut seen = run.steps(count, &input(count), &see)?;
            let took = began.elapsed();
            let mut done = first + count;
            let heard =
                (first + 1..=done).find(|step| progress(*step, grid.time(*step)).is_break());
            if let Some(last) = heard.filter(|last| *last < done) {
                run.restore(if good.done() == first { &good } else { &begun });
                seen = run.steps(last - first, &input(last - first), &see)?;
                done = last;
            }
            self.keep(of, ran, first, done, seen)?;
            if done.is_multiple_of(CHECK_EVERY) || done == grid.steps() {
                run.save(&mut begun);
                let mut pairs = dynamics.variables().iter().zip(begun.state());
                if pairs.any(|(variable, values)| !variable.is_plausible(values)) {
                    let last = WholeRun::state_of(&good, &of.subject.initial);
                    let from = (good.done(), last);
                    let late = run.state(&of.subject.initial);
                    let first = failure(dynamics, from, done, &Driven(&of.stimulus), grid);
                    first.map_or(Ok(()), Err)?;
                    late.check_plausible(dynamics.variables(), grid.time(done))?;
                }
                std::mem::swap(&mut good, &mut begun);
            }
            if heard.is_some() || ran.hand_on(of, false)?.is_break() {
                break;
            }
            together = match took {
                took if took < HEARD / 2 => (2 * together).min(most),
                took if took > HEARD => (together / 2).max(1),
                _ => together,
            };
        }
        ran.last = run.state(&of.subject.initial);
        Ok(())
    }

    /// Hands on what was seen of the steps after `first` up to `done`.
    fn keep(
        &self,
        of: &Experiment,
        ran: &mut Ran<'_>,
        first: usize,
        done: usize,
        mut seen: Vec<Seen>,
    ) -> Result<(), DynamicsError> {
        let grid = &of.grid;
        ran.reached = (done, grid.time(done));
        let watched = seen.split_off(self.kept);
        let taken: Vec<usize> = (first + 1..=done)
            .filter(|step| ran.recorder.takes(*step))
            .collect();
        for step in &taken {
            ran.given
                .extend(of.stimulus.iter().flat_map(|given| given.values(*step)));
        }
        let times: Vec<f64> = taken.iter().map(|step| grid.time(*step)).collect();
        let kept = seen.into_iter().map(|seen| seen.values).collect();
        ran.recorder.take(&times, kept)?;
        let mut watched = watched.into_iter();
        let mut parts: Vec<(&Watch, Vec<Seen>)> = Vec::new();
        for watch in &self.watches {
            parts.push((watch, watched.by_ref().take(watch.things).collect()));
        }
        for (index, (_, reader)) in ran.readers.iter_mut().enumerate() {
            let (own, others) = parts
                .into_iter()
                .partition::<Vec<_>, _>(|(watch, _)| watch.reader == index);
            parts = others;
            match reader {
                _ if own.is_empty() => {}
                SpikeReader::Crossings(detector) if own[0].0.how == Looking::AtCrossings => {
                    let found = own.into_iter().flat_map(|(_, seen)| crossed(seen, grid));
                    detector.take_crossings(self.cells(index), found);
                }
                SpikeReader::Crossings(detector) => {
                    let times = (first..done).flat_map(|step| {
                        own.iter()
                            .map(move |(watch, _)| grid.time(step) + watch.after)
                    });
                    let times: Vec<f64> = times.collect();
                    detector.take(&times, &in_order(own, done - first));
                }
                SpikeReader::Counts(counts) => {
                    counts.take_some(fired(own, grid), self.cells(index))?;
                }
            }
        }
        Ok(())
    }

    /// How many cells a reader of counted spikes has.
    fn cells(&self, reader: usize) -> usize {
        let seen = self.steps.script().seen();
        let mut first = self.kept;
        for watch in &self.watches {
            if watch.reader == reader {
                return seen[first];
            }
            first += watch.things;
        }
        0
    }
}

/// Where voltages cross a threshold upwards in a step, as 1 there and 0 elsewhere, and what they are before and after it.
fn crossings(threshold: f64, before: Tensor<2>, after: Tensor<2>) -> [Tensor<2>; 3] {
    let above = after.clone().greater_equal_scalar(threshold);
    let crossed = before.clone().lower_scalar(threshold).bool_and(above);
    [after.zeros_like().mask_fill(crossed, 1.0), before, after]
}

/// The same of those that crossed it, each with its cell and the times.
fn crossed(seen: Vec<Seen>, grid: &Grid) -> impl Iterator<Item = (usize, [(f64, f64); 2])> + '_ {
    let mut seen = seen.into_iter();
    let [mask, before, after] = [(); 3].map(|()| seen.next().unwrap_or_default());
    let values = before.values.into_iter().zip(after.values);
    mask.places
        .into_iter()
        .zip(values)
        .map(move |((step, cell), (before, after))| {
            let times = [grid.time(step), grid.time(step + 1)];
            (cell, [(times[0], before), (times[1], after)])
        })
}

/// What was seen at several times in each step, in the order of time.
fn in_order(mut own: Vec<(&Watch, Vec<Seen>)>, steps: usize) -> Vec<f64> {
    let mut voltages: Vec<Vec<f64>> = own
        .drain(..)
        .map(|(_, read)| read.into_iter().next().unwrap_or_default().values)
        .collect();
    if let [_] = voltages.as_slice() {
        return voltages.swap_remove(0);
    }
    let mut all = Vec::new();
    for step in 0..steps {
        for values in &voltages {
            let width = values.len() / steps;
            all.extend_from_slice(&values[step * width..][..width]);
        }
    }
    all
}

/// The cells that fired, in the order of time.
fn fired(own: Vec<(&Watch, Vec<Seen>)>, grid: &Grid) -> Vec<Fired> {
    let mut all = Vec::new();
    for (order, (watch, read)) in own.into_iter().enumerate() {
        let mut read = read.into_iter();
        let [counts, since, intervals] = [(); 3].map(|()| read.next().unwrap_or_default());
        for (at, ((step, cell), count)) in counts.places.into_iter().zip(counts.values).enumerate()
        {
            let own = |seen: &Seen| seen.values.get(at).copied().unwrap_or_default();
            let time = grid.time(step) + watch.after;
            let fired = Fired {
                time,
                cell,
                count,
                since: own(&since),
                interval: own(&intervals),
            };
            all.push(((step, order), fired));
        }
    }
    all.sort_by_key(|(when, _)| *when);
    all.into_iter().map(|(_, fired)| fired).collect()
}
