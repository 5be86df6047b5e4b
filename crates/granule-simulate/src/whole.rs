//! An experiment whose steps are taken many in a call.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use granule_io::budget;

use super::run::{Driven, Experiment, Ran};
use super::stimulus::Stimulus;
use super::subject::{Body, Subject};
use granule_dynamics::whole::WholeSteps;
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
    variables: usize,
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
        kept: &[usize],
    ) -> Result<Self, String> {
        let clock = grid.clock(0);
        let input = stimulus.map(|stimulus| [1, stimulus.channels()]);
        let watches = RefCell::new(Vec::new());
        let step = |body: &Body, clock: Clock, state: &State, input: Option<&Tensor<2>>| {
            let (mut found, mut seen) = (Vec::new(), Vec::new());
            let mut taken = 0;
            let mut see = |level: usize, time: f64, own: &State| {
                taken += 1;
                if taken > MOST_LEVEL_STEPS {
                    let allowed = format!("at most {MOST_LEVEL_STEPS} of levels to be recorded");
                    return Err(DynamicsError::config("steps", "more", allowed));
                }
                let readers = subject.firing.iter().enumerate();
                for (reader, (_, firing)) in readers.filter(|(_, (of, _))| *of == level) {
                    let read = firing.reads();
                    found.push(Watch {
                        reader,
                        after: time - clock.time,
                        variables: read.len(),
                    });
                    seen.extend(read.into_iter().map(|variable| own[variable].clone()));
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
            let kept = kept.iter().map(|variable| next[*variable].clone());
            let seen = kept.chain(seen).collect();
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
        ran: &mut Ran,
        progress: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<(), DynamicsError> {
        let grid = &of.grid;
        let dynamics = of.subject.body.dynamics();
        let every: Vec<usize> = (0..self.steps.script().seen().len())
            .map(|index| {
                if index < self.kept {
                    ran.recorder.every()
                } else {
                    1
                }
            })
            .collect();
        let script = self.steps.script();
        let columns: usize = script.seen().iter().chain(&script.given()).sum();
        let most = budget::waiting_samples(columns + 1).min(CHECK_EVERY);
        let mut run = self.steps.begin(&of.subject.initial)?;
        let mut good = run.clone();
        let mut together = FIRST.min(most);
        while run.done() < grid.steps() && !of.stop.is_asked() {
            let first = run.done();
            // The state is looked at after the same steps in every run.
            let to_check = CHECK_EVERY - first % CHECK_EVERY;
            let count = together.min(to_check).min(grid.steps() - first);
            let input = |count: usize| {
                let given = of.stimulus.iter();
                let steps = first..first + count;
                given
                    .flat_map(|given| steps.clone().flat_map(|step| given.values(step)))
                    .collect()
            };
            let before = run.clone();
            let began = Instant::now();
            let mut seen = run.steps(count, input(count), &every)?;
            let took = began.elapsed();
            let mut done = first + count;
            let heard =
                (first + 1..=done).find(|step| progress(*step, grid.time(*step)).is_break());
            if let Some(last) = heard.filter(|last| *last < done) {
                run = before;
                seen = run.steps(last - first, input(last - first), &every)?;
                done = last;
            }
            if done.is_multiple_of(CHECK_EVERY) || done == grid.steps() {
                let pairs = dynamics.variables().iter().zip(run.values());
                if pairs
                    .into_iter()
                    .any(|(variable, values)| !variable.is_plausible(values))
                {
                    let from = (good.done(), good.state(&of.subject.initial));
                    let late = run.state(&of.subject.initial);
                    let first = failure(dynamics, from, done, &Driven(&of.stimulus), grid);
                    first.map_or(Ok(()), Err)?;
                    late.check_plausible(dynamics.variables(), grid.time(done))?;
                }
                good = run.clone();
            }
            self.keep(of, ran, first, done, seen)?;
            if heard.is_some() {
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
        ran: &mut Ran,
        first: usize,
        done: usize,
        mut seen: Vec<Vec<f64>>,
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
        ran.recorder.take(&times, seen)?;
        let mut watched = watched.into_iter();
        let mut parts: Vec<(&Watch, Vec<Vec<f64>>)> = Vec::new();
        for watch in &self.watches {
            parts.push((watch, watched.by_ref().take(watch.variables).collect()));
        }
        let steps = done - first;
        for (index, (_, reader)) in ran.readers.iter_mut().enumerate() {
            let (mut own, others) = parts
                .into_iter()
                .partition::<Vec<_>, _>(|(watch, _)| watch.reader == index);
            parts = others;
            let times = (first..done).flat_map(|step| {
                own.iter()
                    .map(move |(watch, _)| grid.time(step) + watch.after)
            });
            let times: Vec<f64> = times.collect();
            let values = match own.as_mut_slice() {
                [] => continue,
                [(_, read)] => std::mem::take(read),
                own => in_order(own, steps),
            };
            reader.take(&times, values)?;
        }
        Ok(())
    }
}

/// What was seen at several times in each step, in the order of time.
fn in_order(own: &[(&Watch, Vec<Vec<f64>>)], steps: usize) -> Vec<Vec<f64>> {
    let count = own.first().map_or(0, |(_, read)| read.len());
    let of_variable = (0..count).map(|variable| {
        let mut values = Vec::new();
        for step in 0..steps {
            for (_, read) in own {
                let width = read[variable].len() / steps;
                values.extend_from_slice(&read[variable][step * width..][..width]);
            }
        }
        values
    });
    of_variable.collect()
}
