use std::ops::ControlFlow;

use super::config::ExperimentConfig;
use super::outcome::{Group, Outcome, Trace};
use super::record::{Recorder, SpikeReader};
use super::stimulus::Stimulus;
use super::subject::Subject;
use crate::composite::MultiGranularityModel;
use crate::model::{Clock, Input};
use crate::{DynamicsError, Grid, Place, State, Variable, host, simulate};

/// An [`ExperimentConfig`] on a device, ready to run.
pub struct Experiment {
    config: ExperimentConfig,
    subject: Subject,
    stimulus: Option<Stimulus>,
    grid: Grid,
}

impl ExperimentConfig {
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
        let subject = Subject::new(self, place, trained)?;
        let channels = subject.inputs.iter().map(|input| input.width).sum();
        let stimulus = match &self.stimulus {
            Some(stimulus) => Some(stimulus.init(channels, &grid, self.seed, place)?),
            None => None,
        };
        let variables = subject.dynamics.variables();
        Recorder::new(&self.record, variables, subject.shown, grid.steps())?;
        Ok(Experiment {
            config: self.clone(),
            subject,
            stimulus,
            grid,
        })
    }
}

struct Driven<'a>(&'a Option<Stimulus>);

impl Input for Driven<'_> {
    fn at(&self, at: Clock) -> Option<burn::tensor::Tensor<2>> {
        self.0.as_ref()?.at(at)
    }
}

impl Experiment {
    /// The number of steps.
    pub fn steps(&self) -> usize {
        self.grid.steps()
    }

    /// The method, or `exact`, or `by level`.
    pub fn solver(&self) -> &str {
        &self.subject.solver
    }

    /// What the model can record.
    pub fn variables(&self) -> &[Variable] {
        &self.subject.dynamics.variables()[..self.subject.shown]
    }

    /// Runs it. `progress` hears of every step, with their number and the time; breaking ends the run, whose outcome is then
    /// not complete.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::NonFinite`], [`DynamicsError::Device`] and what the model's step returns.
    pub fn run(
        &self,
        mut progress: impl FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<Outcome, DynamicsError> {
        let subject = &self.subject;
        let variables = subject.dynamics.variables();
        let steps = self.grid.steps();
        let mut recorder = Recorder::new(&self.config.record, variables, subject.shown, steps)?;
        let mut spikes = SpikeReader::new(&subject.firing);
        let mut given: Vec<f64> = Vec::new();
        let mut reached = (0, 0.0);
        let mut failure = None;
        let last = simulate(
            subject.dynamics.as_ref(),
            subject.initial.clone(),
            &Driven(&self.stimulus),
            &self.grid,
            |step, time, state| {
                reached = (step, time);
                let mut kept = spikes.push(time, state);
                if recorder.takes(step) {
                    kept = kept.and_then(|()| recorder.push(time, state));
                    given.extend(self.stimulus.iter().flat_map(|given| given.values(step)));
                }
                if let Err(error) = kept {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
                progress(step, time)
            },
        )?;
        if let Some(error) = failure {
            return Err(error);
        }
        let (times, traces) = recorder.finish()?;
        Ok(Outcome {
            reached: reached.1,
            complete: reached.0 == steps,
            times,
            traces,
            stimulus: self.channels(&given),
            spikes: spikes.finish()?,
            last: self.last(&last)?,
            groups: self.groups(),
            solver: subject.solver.clone(),
        })
    }

    /// The stimulus, one trace for each input of the model.
    fn channels(&self, given: &[f64]) -> Vec<Trace> {
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
