//! Reading a run off the device, in blocks so that a step does not wait for it.

use burn::tensor::Tensor;
use granule_io::budget;

use super::config::RecordConfig;
use super::outcome::{Trace, TraceStatistics};
use super::subject::Firing;
use granule_dynamics::unit::{SpikeDetector, Spikes};
use granule_dynamics::{Dynamics, DynamicsError, Grid, QuantityKind, State, Variable, host};

/// Recordings above this many numbers are refused before the run: 4 GiB.
const MOST: usize = 1 << 29;

/// A quantity that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// A variable of the state.
    Variable(usize),
    /// One of [`Dynamics::currents`].
    Current(usize),
}

/// Those of a state.
pub(super) fn kept_of(
    kept: impl Iterator<Item = Kept> + Clone,
    dynamics: &dyn Dynamics,
    state: &State,
) -> Vec<Tensor<2>> {
    let has_currents = kept.clone().any(|own| matches!(own, Kept::Current(_)));
    let currents = if has_currents {
        dynamics.currents_of(state)
    } else {
        Vec::new()
    };
    let all = kept.map(|own| match own {
        Kept::Variable(index) => state[index].clone(),
        Kept::Current(index) => currents[index].clone(),
    });
    all.collect()
}

/// Times, samples, and what is known of them.
type Record = (Vec<f64>, Vec<Trace>, Vec<TraceStatistics>);

/// Keeps chosen variables.
pub(super) struct Recorder {
    every: usize,
    /// The steps before the first sample.
    first: usize,
    /// What is kept of each, and how many columns.
    chosen: Vec<(Kept, usize)>,
    /// Of a whole run.
    samples: usize,
    traces: Vec<Trace>,
    statistics: Vec<TraceStatistics>,
    times: Vec<f64>,
    waiting: Vec<Vec<Tensor<2>>>,
}

impl Recorder {
    pub(super) fn new(
        config: &RecordConfig,
        dynamics: &dyn Dynamics,
        shown: usize,
        grid: &Grid,
    ) -> Result<Self, DynamicsError> {
        let steps = grid.steps();
        let end = grid.time(steps);
        if !(config.from >= 0.0 && config.from <= end) {
            let allowed = format!("0 to {end} ms, the end of the run");
            return Err(DynamicsError::config("record.from", config.from, allowed));
        }
        // A step that ends there within rounding counts.
        let early = |step: &usize| grid.time(*step) < config.from * (1.0 - 1e-12);
        let first = (0..=steps).take_while(early).count();
        let variables = dynamics.variables()[..shown].iter().enumerate();
        let currents = dynamics.currents().iter().enumerate();
        let all: Vec<(Kept, &Variable)> = variables
            .map(|(index, own)| (Kept::Variable(index), own))
            .chain(currents.map(|(index, own)| (Kept::Current(index), own)))
            .collect();
        let chosen: Vec<usize> = if config.variables.is_empty() {
            (0..shown)
                .filter(|index| all[*index].1.kind != QuantityKind::Elapsed)
                .collect()
        } else {
            let find = |name: &String| {
                all.iter()
                    .position(|(_, known)| known.name == *name)
                    .ok_or_else(|| {
                        let names: Vec<&str> = all.iter().map(|(_, v)| v.name.as_str()).collect();
                        DynamicsError::config("record.variables", name, names.join(", "))
                    })
            };
            config
                .variables
                .iter()
                .map(find)
                .collect::<Result<_, _>>()?
        };
        let repeated = chosen.iter().enumerate();
        let mut repeated = repeated.filter(|(place, index)| chosen[..*place].contains(index));
        if let Some((_, index)) = repeated.next() {
            let found = format!("{} twice", all[*index].1.name);
            let allowed = "each variable once";
            return Err(DynamicsError::config("record.variables", found, allowed));
        }
        let kept = |index: usize| match config.columns {
            0 => all[index].1.width,
            most => all[index].1.width.min(most),
        };
        let chosen: Vec<(usize, usize)> = chosen.into_iter().map(|i| (i, kept(i))).collect();
        let samples = (steps - first.min(steps)) / config.every + 2;
        let traces = chosen.iter().map(|(index, width)| {
            let own = all[*index].1;
            Trace {
                name: own.name.clone(),
                unit: own.unit.into(),
                width: *width,
                values: Vec::new(),
                labels: own.labels.iter().take(*width).cloned().collect(),
            }
        });
        Ok(Self {
            every: config.every,
            first,
            samples,
            traces: traces.collect(),
            statistics: vec![TraceStatistics::default(); chosen.len()],
            waiting: vec![Vec::new(); chosen.len()],
            chosen: chosen
                .into_iter()
                .map(|(index, width)| (all[index].0, width))
                .collect(),
            times: Vec::new(),
        })
    }

    /// How many numbers a sample has.
    pub(super) fn columns(&self) -> usize {
        self.chosen.iter().map(|(_, width)| width).sum()
    }

    /// Makes room for all samples of a run that keeps them.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for more than 4 GiB, [`DynamicsError::Memory`].
    pub(super) fn reserve(&mut self) -> Result<(), DynamicsError> {
        let (samples, columns) = (self.samples, self.columns());
        let numbers = columns.saturating_mul(samples);
        if numbers > MOST {
            return Err(DynamicsError::config(
                "record.every",
                self.every,
                format!(
                    "at least {}, for less than 4 GiB; or name fewer record.variables or record.columns; or let the record go to disk \
                     while it runs (granule simulate --stream FOLDER)",
                    self.every.saturating_mul(numbers.div_ceil(MOST))
                ),
            ));
        }
        budget::ask_for_numbers("the record", &[samples, columns + 1])?;
        budget::reserve(&mut self.times, samples, "the record")?;
        for trace in &mut self.traces {
            budget::reserve(&mut trace.values, samples * trace.width, "the record")?;
        }
        Ok(())
    }

    /// Whether the sample after so many steps is kept.
    pub(super) fn takes(&self, step: usize) -> bool {
        step >= self.first && step.is_multiple_of(self.every)
    }

    /// After how many of `steps` more, beyond `done`, something has to be kept for the first time, or all of them.
    pub(super) fn before_first(&self, done: usize, steps: usize) -> Option<usize> {
        let quiet = self.first.checked_sub(done + 1)?;
        (quiet > 0).then_some(quiet.min(steps))
    }

    /// After how many steps a sample is kept.
    pub(super) fn every(&self) -> usize {
        self.every
    }

    /// The variables of which something is kept.
    pub(super) fn variables(&self) -> impl Iterator<Item = Kept> + Clone + '_ {
        self.chosen.iter().map(|(own, _)| *own)
    }

    /// Samples that are on the host: of each [variable](Self::variables) all columns at all times, in a row.
    pub(super) fn take(&mut self, times: &[f64], kept: Vec<Vec<f64>>) -> Result<(), DynamicsError> {
        self.flush()?;
        self.times.extend(times);
        let count = times.len().max(1);
        let traces = self.traces.iter_mut().zip(&mut self.statistics);
        for ((trace, statistics), values) in traces.zip(kept) {
            let columns = (values.len() / count).max(1);
            let rows = values.chunks_exact(columns);
            let before = trace.values.len();
            trace
                .values
                .extend(rows.flat_map(|row| &row[..trace.width]));
            statistics.add(&trace.values[before..]);
        }
        Ok(())
    }

    /// How many variables are kept.
    pub(super) fn kept(&self) -> usize {
        self.chosen.len()
    }

    pub(super) fn push(
        &mut self,
        time: f64,
        dynamics: &dyn Dynamics,
        state: &State,
    ) -> Result<(), DynamicsError> {
        self.times.push(time);
        let all = kept_of(self.variables(), dynamics, state);
        // A sample of some columns may keep all of them.
        let numbers = all.iter().map(|x| x.dims()[1]).sum();
        for ((x, (_, width)), waiting) in all.into_iter().zip(&self.chosen).zip(&mut self.waiting) {
            waiting.push(if x.dims()[1] == *width {
                x
            } else {
                x.narrow(1, 0, *width)
            });
        }
        let enough = budget::waiting_samples(numbers);
        if self.waiting.first().is_some_and(|x| x.len() >= enough) {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), DynamicsError> {
        let traces = self.traces.iter_mut().zip(&mut self.statistics);
        for ((trace, statistics), waiting) in traces.zip(&mut self.waiting) {
            let waiting = std::mem::take(waiting);
            if !waiting.is_empty() {
                let values = host(Tensor::stack::<3>(waiting, 0))?;
                statistics.add(&values);
                trace.values.extend(values);
            }
        }
        Ok(())
    }

    /// How many samples there are that were not [cleared](Self::clear).
    pub(super) fn held(&self) -> usize {
        self.times.len()
    }

    /// The times and the samples since the last [`clear`](Self::clear).
    pub(super) fn since(&mut self) -> Result<(&[f64], &[Trace]), DynamicsError> {
        self.flush()?;
        Ok((&self.times, &self.traces))
    }

    /// Forgets the samples.
    pub(super) fn clear(&mut self) {
        self.times.clear();
        self.traces
            .iter_mut()
            .for_each(|trace| trace.values.clear());
    }

    /// What is held, and what is known of all samples.
    pub(super) fn finish(mut self) -> Result<Record, DynamicsError> {
        self.flush()?;
        Ok((self.times, self.traces, self.statistics))
    }
}

/// Finds the spikes of all cells.
pub(super) enum SpikeReader {
    Crossings(SpikeDetector),
    Counts(Counts),
}

impl SpikeReader {
    pub(super) fn new(firing: &Firing) -> Self {
        match firing {
            Firing::Threshold(threshold) => Self::Crossings(SpikeDetector::new(*threshold)),
            Firing::Counted {
                count,
                since,
                interval,
            } => Self::Counts(Counts {
                read: [Some(*count), Some(*since), *interval],
                times: Vec::new(),
                waiting: Default::default(),
                spikes: Vec::new(),
            }),
        }
    }

    pub(super) fn push(&mut self, time: f64, state: &State) -> Result<(), DynamicsError> {
        match self {
            Self::Crossings(detector) => {
                detector.push(time, &state[0]);
                Ok(())
            }
            Self::Counts(counts) => counts.push(time, state),
        }
    }

    /// How many cells are looked at; 0 before the first step.
    pub(super) fn cells(&self) -> usize {
        match self {
            Self::Crossings(detector) => detector.cells(),
            Self::Counts(counts) => counts.spikes.len(),
        }
    }

    /// How many spikes are kept.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Crossings(detector) => detector.held(),
            Self::Counts(counts) => counts.spikes.iter().map(|cell| cell.times.len()).sum(),
        }
    }

    /// Hands on the spikes so far, each with its cell, and forgets them; those of a cell come in the order of time.
    pub(super) fn drain(&mut self, mut take: impl FnMut(usize, f64)) -> Result<(), DynamicsError> {
        match self {
            Self::Crossings(detector) => detector.drain(take),
            Self::Counts(counts) => {
                counts.flush()?;
                for (cell, spikes) in counts.spikes.iter_mut().enumerate() {
                    spikes.times.drain(..).for_each(|time| take(cell, time));
                }
                Ok(())
            }
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Spikes>, DynamicsError> {
        match self {
            Self::Crossings(detector) => detector.finish(),
            Self::Counts(mut counts) => {
                counts.flush()?;
                Ok(counts.spikes)
            }
        }
    }
}

/// Spikes that the model counts itself.
pub(super) struct Counts {
    /// The variables that count the spikes of a step, say how long before its end the last one was, and how far apart
    /// they are where there are several.
    read: [Option<usize>; 3],
    times: Vec<f64>,
    waiting: [Vec<Tensor<2>>; 3],
    spikes: Vec<Spikes>,
}

impl Counts {
    fn push(&mut self, time: f64, state: &State) -> Result<(), DynamicsError> {
        self.times.push(time);
        for (waiting, variable) in self.waiting.iter_mut().zip(self.read) {
            waiting.extend(variable.map(|variable| state[variable].clone()));
        }
        let numbers = state[0].dims()[1] * self.read.iter().flatten().count();
        if self.times.len() >= budget::waiting_samples(numbers) {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), DynamicsError> {
        let times = std::mem::take(&mut self.times);
        let waiting = std::mem::take(&mut self.waiting);
        if waiting[0].is_empty() {
            return Ok(());
        }
        let read = |tensors: Vec<Tensor<2>>| {
            if tensors.is_empty() {
                Ok(Vec::new())
            } else {
                host(Tensor::stack::<3>(tensors, 0))
            }
        };
        let [counts, since, intervals] = waiting.map(read);
        self.take(&times, [&counts?, &since?, &intervals?]);
        Ok(())
    }

    fn take(&mut self, times: &[f64], [counts, since, intervals]: [&[f64]; 3]) {
        let width = counts.len() / times.len().max(1);
        self.spikes.resize(width, Spikes::default());
        for (row, time) in times.iter().enumerate() {
            for cell in 0..width {
                let at = row * width + cell;
                // Most cells are silent in most steps.
                if counts[at] != 0.0 {
                    self.add(&Fired {
                        time: *time,
                        cell,
                        count: counts[at],
                        since: since[at],
                        interval: intervals.get(at).copied().unwrap_or_default(),
                    });
                }
            }
        }
    }

    /// What is on the host of those of `cells` cells that fired, in the order of time.
    pub(super) fn take_some(
        &mut self,
        fired: Vec<Fired>,
        cells: usize,
    ) -> Result<(), DynamicsError> {
        self.flush()?;
        self.spikes.resize(cells, Spikes::default());
        fired.iter().for_each(|fired| self.add(fired));
        Ok(())
    }

    fn add(&mut self, fired: &Fired) {
        let count = fired.count.round() as usize;
        let before = (0..count).rev().map(|later| later as f64 * fired.interval);
        self.spikes[fired.cell]
            .times
            .extend(before.map(|before| fired.time - fired.since - before));
    }
}

/// A cell that fired in a step that ended at `time`.
pub(super) struct Fired {
    pub(super) time: f64,
    pub(super) cell: usize,
    /// How often.
    pub(super) count: f64,
    /// How long before the end the last spike was, ms.
    pub(super) since: f64,
    /// How far apart they were, ms.
    pub(super) interval: f64,
}
