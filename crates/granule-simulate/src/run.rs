use std::cell::{OnceCell, RefCell};
use std::ops::ControlFlow;

use burn::tensor::Tensor;
use granule_io::budget;

use super::config::ExperimentConfig;
use super::outcome::{Group, Outcome, Statistics, Trace, TraceStatistics};
use super::record::{Kept, Recorder, SpikeReader};
use super::samples::ReadSamples;
use super::snapshot::Snapshot;
use super::stimulus::{Stimulus, StimulusConfig};
use super::stream::{Stream, TakeBlock};
use super::subject::unit::spread;
use super::subject::{Body, Subject};
use super::whole::Whole;
use granule_dynamics::composite::MultiGranularityModel;
use granule_dynamics::model::{Clock, Dynamics, Input};
use granule_dynamics::unit::SpikeStatistics;
use granule_dynamics::{
    CHECK_EVERY, DynamicsError, Grid, Place, QuantityKind, State, Stop, Variable, host,
    simulate_after,
};
use granule_io::words::Number;
use granule_io::words::short;

/// The numbers that a step holds of each of the state's: before, after, and what the solver and the equations make in between.
const BETWEEN: usize = 8;

/// An [`ExperimentConfig`] on a device, ready to run.
pub struct Experiment {
    config: ExperimentConfig,
    pub(super) subject: Subject,
    pub(super) stimulus: Option<Stimulus>,
    pub(super) grid: Grid,
    /// The steps before its initial state, which an earlier run has taken.
    pub(super) begins: usize,
    pub(super) stop: Stop,
    /// The variables of which something is recorded.
    kept: Vec<Kept>,
    /// Recorded at the first run.
    whole: OnceCell<Result<Whole, String>>,
    warnings: Vec<String>,
}

/// What a run has come to.
pub(super) struct Ran<'a> {
    /// The steps done, and the time.
    pub(super) reached: (usize, f64),
    pub(super) last: State,
    pub(super) recorder: Recorder,
    /// Of each level with spikes.
    pub(super) readers: Vec<(usize, SpikeReader)>,
    /// The stimulus at the samples that are kept.
    pub(super) given: Vec<f64>,
    /// Where the record goes while it is made.
    pub(super) stream: Option<Stream<'a>>,
}

impl ExperimentConfig {
    /// Reads the files that the configuration names, where they are not read yet.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the setting and says what is wrong with its file.
    pub fn read(&mut self, reader: &dyn ReadSamples) -> Result<(), DynamicsError> {
        match &mut self.stimulus {
            Some(StimulusConfig::File(config)) => config.read(reader),
            _ => Ok(()),
        }
    }

    /// Draws and places the model, and checks everything that can be checked before a run.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate) and of the model.
    pub fn init(&self, place: &Place) -> Result<Experiment, DynamicsError> {
        self.init_trained(place, Ok)
    }

    /// As [`init`](Self::init); `trained` puts weights into a composite. Other models come as they are.
    ///
    /// # Errors
    ///
    /// As [`init`](Self::init), and those of `trained`.
    pub fn init_trained(
        &self,
        place: &Place,
        trained: impl FnOnce(MultiGranularityModel) -> Result<MultiGranularityModel, DynamicsError>,
    ) -> Result<Experiment, DynamicsError> {
        self.validate()?;
        let grid = self.grid()?;
        let stop = Stop::default();
        let subject = Subject::new(self, place, &stop, trained)?;
        let state = subject.body.dynamics().variables().iter();
        let width = state.fold(0, |all: usize, variable| all.saturating_add(variable.width));
        budget::ask_for_numbers("the steps of the run", &[width, BETWEEN])?;
        let stimulus = match &self.stimulus {
            Some(stimulus) => Some(stimulus.init(&subject.inputs, &grid, self.seed, place)?),
            None => None,
        };
        let dynamics = subject.body.dynamics();
        let recorder = Recorder::new(&self.record, dynamics, subject.shown, &grid)?;
        self.check_figure(recorder.kept(), !subject.firing.is_empty())?;
        let mut warnings = self.too_long();
        warnings.extend(subject.doubts.iter().cloned());
        let late = self.stimulus.as_ref();
        warnings.extend(late.and_then(|stimulus| stimulus.too_late(grid.time(grid.steps()))));
        Ok(Experiment {
            kept: recorder.variables().collect(),
            whole: OnceCell::new(),
            config: self.clone(),
            subject,
            stimulus,
            grid,
            begins: 0,
            stop,
            warnings,
        })
    }
}

pub(super) struct Driven<'a>(pub(super) &'a Option<Stimulus>);

impl Input for Driven<'_> {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        self.0.as_ref()?.at(at)
    }
}

/// The readers of all levels with spikes, by level.
type Readers = RefCell<Vec<(usize, SpikeReader)>>;

fn read(readers: &Readers, level: usize, time: f64, state: &State) -> Result<(), DynamicsError> {
    let mut readers = readers.borrow_mut();
    let mut own = readers.iter_mut().filter(|(of, _)| *of == level);
    own.try_for_each(|(_, reader)| reader.push(time, state))
}

/// The model, whose spikes are found in all steps of its levels, not only in those of the whole.
struct Watched<'a> {
    body: &'a Body,
    stop: &'a Stop,
    readers: &'a Readers,
}

impl Watched<'_> {
    fn begin(&self, time: f64, state: &State) -> Result<(), DynamicsError> {
        match self.body {
            Body::One(_) => read(self.readers, 0, time, state),
            Body::Levels(composite) => {
                let levels: Vec<usize> = self.readers.borrow().iter().map(|(of, _)| *of).collect();
                let mut levels = levels.into_iter();
                levels.try_for_each(|level| {
                    let own = composite.level_state(level, state);
                    own.map_or(Ok(()), |own| read(self.readers, level, time, &own))
                })
            }
        }
    }
}

impl Dynamics for Watched<'_> {
    fn name(&self) -> &str {
        self.body.dynamics().name()
    }

    fn variables(&self) -> &[Variable] {
        self.body.dynamics().variables()
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        match self.body {
            Body::One(dynamics) => {
                let next = dynamics.step(at, state, input)?;
                read(self.readers, 0, at.time + at.dt, &next)?;
                Ok(next)
            }
            Body::Levels(composite) => {
                composite.step_watched(at, state, input, &mut |level, time, own| {
                    self.stop.check()?;
                    read(self.readers, level, time, own)
                })
            }
        }
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.body.dynamics().observe(state)
    }
}

/// Cells that would fire more often than once in a step do not, which shows in spikes less than a step apart.
fn fires_in_every_step(spikes: &[SpikeStatistics], dt: f64, of: &str) -> Option<String> {
    let pair_in_a_step = |cell: &SpikeStatistics| {
        let shortest = cell.shortest_interval();
        shortest.is_some_and(|shortest| shortest <= dt * (1.0 + 1e-9))
    };
    spikes.iter().position(pair_in_a_step).map(|cell| {
        format!(
            "cell {cell}{of} fires again within dt = {} ms, and more often than once in a step it cannot: take a shorter dt",
            Number(dt)
        )
    })
}

impl Experiment {
    /// What it was made from.
    pub fn config(&self) -> &ExperimentConfig {
        &self.config
    }

    /// The number of steps.
    pub fn steps(&self) -> usize {
        self.grid.steps()
    }

    /// The method, or `exact`, or `by level`.
    pub fn solver(&self) -> &str {
        &self.subject.solver
    }

    /// How many operations a step has where many of them are taken in a call; else why they are not, in a sentence.
    ///
    /// # Errors
    ///
    /// The sentence.
    pub fn whole(&self) -> Result<usize, &str> {
        match self.recorded() {
            Ok(whole) => Ok(whole.operations()),
            Err(why) => Err(why),
        }
    }

    fn recorded(&self) -> &Result<Whole, String> {
        self.whole.get_or_init(|| {
            let stimulus = self.stimulus.as_ref();
            Whole::record(&self.subject, stimulus, &self.grid, &self.kept)
        })
    }

    /// The same experiment, whose steps are taken one by one.
    #[cfg(test)]
    pub(super) fn apart(self) -> Self {
        let apart = Err("apart".into());
        Self {
            whole: OnceCell::from(apart),
            ..self
        }
    }

    /// What may be wrong with the run, known before it begins: one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the model can record.
    pub fn variables(&self) -> &[Variable] {
        &self.subject.body.dynamics().variables()[..self.subject.shown]
    }

    /// The currents that can be recorded beside them.
    pub fn currents(&self) -> &[Variable] {
        self.subject.body.dynamics().currents()
    }

    /// Lets the run begin after so many of its steps, in the state that they lead to: each variable with all its columns.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for another number of variables or columns.
    pub(crate) fn begin_at(
        &mut self,
        step: usize,
        state: Vec<Vec<f64>>,
    ) -> Result<(), DynamicsError> {
        let initial = &self.subject.initial;
        let place = Place::of(&initial[0]);
        let widths: Vec<usize> = initial.tensors().iter().map(|x| x.dims()[1]).collect();
        let found: Vec<usize> = state.iter().map(Vec::len).collect();
        if widths != found {
            return Err(DynamicsError::Shape {
                what: "the state that a run begins in".into(),
                expected: widths,
                found,
            });
        }
        let tensors = state.into_iter().map(|values| {
            let width = values.len();
            place.tensor(values, [1, width])
        });
        self.subject.initial = State::new(tensors.collect());
        self.begins = step;
        // What never changes may be part of a recorded step.
        self.whole = OnceCell::new();
        Ok(())
    }

    /// The time at which the run begins, ms.
    pub fn begins(&self) -> f64 {
        self.grid.time(self.begins)
    }

    /// What ends a run early: its outcome is then not complete and has what there was after the last whole step.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// What was taken for granted, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(unit) = &self.config.unit {
            let (asked, made) = (unit.cells(), spread(unit).cells());
            if asked != made {
                notes.push(format!(
                    "unit.current has {made} values, and there are {made} cells, one for each"
                ));
            }
        }
        let units = self.subject.inputs.iter().map(|input| input.unit);
        if let Some(StimulusConfig::File(config)) = &self.config.stimulus {
            let end = self.grid.time(self.steps());
            notes.extend(config.notes(&units.collect::<Vec<_>>(), end));
        }
        notes
    }

    /// Runs it. `progress` hears of every step, with their number and the time, of those that are taken in one call after all
    /// of them; breaking ends the run at that step, as [`stop`](Self::stop) does after a call of about 50 ms.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::NonFinite`] for a value that is not a number, [`DynamicsError::Runaway`] for one that is far
    /// outside its range, [`DynamicsError::Device`], and what the model's step returns.
    pub fn run(
        &self,
        progress: impl FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<Outcome, DynamicsError> {
        Ok(self.run_to(progress, None)?.0)
    }

    /// The same, with what the run is [continued from](Self::continue_from).
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_saving(
        &self,
        progress: impl FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<(Outcome, Snapshot), DynamicsError> {
        let (outcome, step, last) = self.run_to(progress, None)?;
        Ok((outcome, self.snapshot(step, &last)?))
    }

    /// The same, whose record is handed on while it runs and not kept: `take` hears of a few MiB at a time, and at the end of what is
    /// left. The outcome has what is [known of it](Outcome::statistics).
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_into(
        &self,
        take: &mut TakeBlock<'_>,
        progress: impl FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<(Outcome, Snapshot), DynamicsError> {
        let (outcome, step, last) = self.run_to(progress, Some(Stream::new(take)))?;
        Ok((outcome, self.snapshot(step, &last)?))
    }

    /// What became of the run, the steps done, and the whole state after them.
    pub(super) fn run_to(
        &self,
        mut progress: impl FnMut(usize, f64) -> ControlFlow<()>,
        stream: Option<Stream<'_>>,
    ) -> Result<(Outcome, usize, State), DynamicsError> {
        let subject = &self.subject;
        let steps = self.grid.steps();
        let mut ran = self.begin(stream)?;
        let ran_on = match self.recorded() {
            Ok(whole) => self.many_in_a_call(whole, &mut ran, &mut progress),
            Err(_) => self.step_by_step(&mut ran, &mut progress),
        };
        // Nobody is left to end it. What there is before a failure goes as well, which is what is looked for then.
        let handed_on = ran.hand_on(self, true);
        ran_on?;
        let _ = handed_on?;
        let Ran {
            reached,
            last,
            recorder,
            readers,
            given,
            stream,
        } = ran;
        let (times, traces, statistics) = recorder.finish()?;
        let mut spikes = Vec::new();
        for (_, reader) in readers {
            spikes.extend(reader.finish()?);
        }
        let from = self.records_from();
        // A level may have been ahead of the whole when it was stopped.
        for cell in &mut spikes {
            let kept = from..=reached.1;
            cell.times.retain(|time| kept.contains(time));
        }
        let fired = match stream {
            None => spikes
                .iter()
                .map(|cell| SpikeStatistics::of(&cell.times))
                .collect(),
            Some(stream) => {
                spikes.clear();
                stream.spikes
            }
        };
        let mut warnings = Vec::new();
        let mut rest = fired.as_slice();
        for ((name, cells), step) in subject.groups.iter().zip(&subject.fires_once) {
            let (own, others) = rest.split_at((*cells).min(rest.len()));
            rest = others;
            let of = match self.config.composite {
                Some(_) => format!(" of {name}"),
                None => String::new(),
            };
            warnings.extend(step.and_then(|dt| fires_in_every_step(own, dt, &of)));
        }
        let whole = last;
        let last = self.last(&whole)?;
        warnings.extend(self.below_zero(&traces, &statistics, &last));
        let outcome = Outcome {
            warnings,
            from,
            reached: reached.1,
            complete: reached.0 == steps,
            times,
            traces,
            stimulus: self.channels(&given),
            spikes,
            statistics: Statistics {
                traces: statistics,
                spikes: fired,
            },
            last,
            groups: self.groups(),
            distances: subject.distances.clone(),
            solver: subject.solver.clone(),
            operations: self.whole().ok(),
        };
        Ok((outcome, reached.0, whole))
    }

    /// From when on something is recorded, ms.
    pub(super) fn records_from(&self) -> f64 {
        self.config.record.from.max(self.begins())
    }

    /// A run before its first step, whose readers of spikes know the initial state.
    fn begin<'a>(&self, stream: Option<Stream<'a>>) -> Result<Ran<'a>, DynamicsError> {
        let subject = &self.subject;
        let dynamics = subject.body.dynamics();
        let firing = subject.firing.iter();
        let readers = firing.map(|(level, firing)| (*level, SpikeReader::new(firing)));
        let readers = RefCell::new(readers.collect());
        let watched = Watched {
            body: &subject.body,
            stop: &self.stop,
            readers: &readers,
        };
        watched.begin(self.begins(), &subject.initial)?;
        let record = &self.config.record;
        let mut recorder = Recorder::new(record, dynamics, subject.shown, &self.grid)?;
        if stream.is_none() {
            recorder.reserve()?;
        }
        Ok(Ran {
            reached: (self.begins, self.begins()),
            last: subject.initial.clone(),
            recorder,
            readers: readers.into_inner(),
            given: Vec::new(),
            stream,
        })
    }

    /// Takes many steps in a call.
    fn many_in_a_call(
        &self,
        whole: &Whole,
        ran: &mut Ran<'_>,
        progress: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<(), DynamicsError> {
        let subject = &self.subject;
        let variables = subject.body.dynamics().variables();
        subject.initial.check(variables)?;
        let (step, time) = (self.begins, self.begins());
        subject.initial.check_finite(variables, time)?;
        if ran.recorder.takes(step) {
            ran.recorder
                .push(time, subject.body.dynamics(), &subject.initial)?;
            let given = self.stimulus.iter();
            ran.given.extend(given.flat_map(|given| given.values(step)));
        }
        match progress(step, time) {
            ControlFlow::Continue(()) => whole.run(self, ran, progress),
            ControlFlow::Break(()) => Ok(()),
        }
    }

    /// Takes one step after the other with the model's own operations.
    fn step_by_step(
        &self,
        ran: &mut Ran<'_>,
        progress: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<(), DynamicsError> {
        let subject = &self.subject;
        let readers = RefCell::new(std::mem::take(&mut ran.readers));
        let watched = Watched {
            body: &subject.body,
            stop: &self.stop,
            readers: &readers,
        };
        let mut failure = None;
        let ended = simulate_after(
            self.begins,
            &watched,
            subject.initial.clone(),
            &Driven(&self.stimulus),
            &self.grid,
            |step, time, state| {
                ran.reached = (step, time);
                ran.last = state.clone();
                let mut kept = Ok(());
                if ran.recorder.takes(step) {
                    kept = ran.recorder.push(time, subject.body.dynamics(), state);
                    let given = self.stimulus.iter();
                    ran.given.extend(given.flat_map(|given| given.values(step)));
                }
                let kept = kept.and_then(|()| {
                    if !step.is_multiple_of(CHECK_EVERY) && !ran.recorder.takes(step) {
                        return Ok(ControlFlow::Continue(()));
                    }
                    std::mem::swap(&mut ran.readers, &mut readers.borrow_mut());
                    let heard = ran.hand_on(self, false);
                    std::mem::swap(&mut ran.readers, &mut readers.borrow_mut());
                    heard
                });
                match kept {
                    Err(error) => failure = Some(error),
                    Ok(ControlFlow::Continue(())) if !self.stop.is_asked() => {
                        return progress(step, time);
                    }
                    Ok(_) => {}
                }
                ControlFlow::Break(())
            },
        );
        ran.readers = readers.into_inner();
        match (failure, ended) {
            (Some(error), _) => return Err(error),
            (None, Err(DynamicsError::Stopped)) => {}
            (None, ended) => ran.last = ended?,
        }
        Ok(())
    }

    /// A warning for each concentration that became negative, which no concentration is.
    fn below_zero(
        &self,
        traces: &[Trace],
        known: &[TraceStatistics],
        last: &[Trace],
    ) -> Vec<String> {
        let variables = self.variables().iter();
        let pools = variables.filter(|variable| variable.kind == QuantityKind::Concentration);
        let lowest = pools.map(|pool| {
            let recorded = traces
                .iter()
                .zip(known)
                .filter(|(trace, _)| trace.name == pool.name);
            let recorded = recorded.map(|(_, known)| known.lowest);
            let own = last.iter().filter(|trace| trace.name == pool.name);
            let values = own.flat_map(|trace| trace.values.iter().copied());
            (&pool.name, recorded.chain(values).fold(0.0, f64::min))
        });
        let negative = lowest.filter(|(_, lowest)| *lowest < 0.0);
        let text = negative.map(|(name, lowest)| {
            format!(
                "the concentration {name} fell to {}: a current that flows out of the cell takes more away than comes in; look at its influx, rest and time constant",
                short(lowest)
            )
        });
        text.collect()
    }

    /// The stimulus, one trace for each input of the model.
    pub(super) fn channels(&self, given: &[f64]) -> Vec<Trace> {
        let all = self.stimulus.as_ref().map_or(0, Stimulus::channels);
        let mut first = 0;
        let inputs = self.subject.inputs.iter().take(all);
        inputs
            .map(|input| {
                let from = first;
                first += input.width;
                let rows = given.chunks_exact(all.max(1));
                Trace {
                    name: input.name.clone(),
                    unit: input.unit.into(),
                    width: input.width,
                    values: rows.flat_map(|row| row[from..first].to_vec()).collect(),
                    labels: input.labels.to_vec(),
                }
            })
            .collect()
    }

    fn last(&self, state: &State) -> Result<Vec<Trace>, DynamicsError> {
        let variables = self.variables().iter().zip(state.tensors());
        variables
            .map(|(variable, x)| {
                Ok(Trace {
                    name: variable.name.clone(),
                    unit: variable.unit.into(),
                    width: variable.width,
                    values: host(x.clone())?,
                    labels: variable.labels.to_vec(),
                })
            })
            .collect()
    }

    fn groups(&self) -> Vec<Group> {
        let mut first = 0;
        let groups = self.subject.groups.iter();
        groups
            .map(|(name, size)| {
                first += size;
                Group {
                    name: name.clone(),
                    cells: first - size..first,
                }
            })
            .collect()
    }
}
