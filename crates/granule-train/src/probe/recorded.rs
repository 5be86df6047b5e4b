//! A network on the trials of its task, unit by unit.

use std::ops::Range;

use granule_data::task::{Part, Score, Trial, TrialBatch, TrialScore, Verdict};
use granule_dynamics::random::NormalNoise;
use granule_io::budget;
use granule_io::words::counted;
use granule_models::{Intervention, Stepper};

use super::intervention::{Applied, Interventions};
use super::registry::Request;
use crate::trials::Trials;
use crate::{ConfigError, TrainError};

/// About so many trials of every condition, unless another number of trials is asked for.
const OF_EACH: usize = 20;
/// The most trials.
const MOST: usize = 100_000;

/// What a network did in trials.
pub(super) struct Recorded {
    pub batch: TrialBatch,
    pub results: Vec<TrialScore>,
    pub score: Score,
    /// The names of the outputs.
    pub names: Vec<String>,
    /// `[trials, steps, outputs]`
    pub outputs: Vec<f32>,
    /// What each unit hands on after each step, `[trials, steps, units]`; empty where it was not asked for.
    pub activity: Vec<f32>,
    pub units: usize,
    pub seed: u64,
    /// The units of each population that has a name.
    pub populations: Vec<(&'static str, Vec<usize>)>,
}

/// What is kept of the activity of units.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    /// All of it, of a network of at most so many units.
    Activity {
        most: usize,
    },
    Nothing,
}

/// The trials, and the network that they are shown to.
struct Shown {
    batch: TrialBatch,
    stepper: Stepper,
    applied: Applied,
    seed: u64,
}

impl Recorded {
    /// Runs all trials; `part` is where these stand in the whole work.
    pub fn new(
        request: &Request<'_>,
        interventions: &Interventions,
        keep: Keep,
        part: Range<f64>,
    ) -> Result<Self, TrainError> {
        let device = granule_device::DeviceSpec::Cpu.open()?;
        let seed = request.seed.unwrap_or(request.file.provenance.data_seed);
        let trials = Trials::of(request.file, seed, 1)?;
        let count = request
            .trials
            .unwrap_or_else(|| OF_EACH.saturating_mul(trials.config.conditions()).min(MOST));
        if !(1..=MOST).contains(&count) {
            let allowed = format!("1 to {MOST}");
            return Err(ConfigError::new("trials", count, allowed).into());
        }
        let mut stepper = {
            let network = request.file.network(device.burn())?;
            Stepper::new(&network, &request.file.input, &request.file.task)?
        };
        let applied = Applied::new(interventions, &mut stepper)?;
        let shape = trials.shape;
        let (units, populations) = {
            let own = stepper.units()?;
            (own.count(), own.populations())
        };
        if stepper.outputs() != shape.outputs {
            let allowed = format!("{} outputs a step", shape.outputs);
            return Err(ConfigError::new("readout", stepper.outputs(), allowed).into());
        }
        let kept = match keep {
            Keep::Activity { most } if units > most => {
                let allowed = format!("a network of at most {most} units");
                return Err(ConfigError::new("model.units", units, allowed).into());
            }
            Keep::Activity { .. } => units,
            Keep::Nothing => 0,
        };
        // Inputs, targets and mask besides.
        let of_step = shape.inputs + 3 * shape.outputs + kept;
        budget::ask_for_numbers(
            format_args!("the activity of {count} trials"),
            &[count, shape.steps, of_step],
        )?;
        let batch = trials.make(Part::Test, 0..count as u64)?;
        check_periods(&applied, &batch)?;
        let shown = Shown {
            batch,
            stepper,
            applied,
            seed,
        };
        let places = count * shape.steps;
        let mut outputs = vec![0.0; places * shape.outputs];
        let mut activity = vec![0.0; places * kept];
        for trial in 0..count {
            let rows =
                |width: usize| trial * shape.steps * width..(trial + 1) * shape.steps * width;
            let own = &mut activity[rows(kept)];
            shown.run(trial, &mut outputs[rows(shape.outputs)], own)?;
            let share = (trial + 1) as f64 / count as f64;
            request.done(part.start + share * (part.end - part.start))?;
        }
        let batch = shown.batch;
        let results = trials.config.judge(&outputs, &batch)?;
        Ok(Self {
            score: trials.config.summarise(&results)?,
            results,
            names: trials.info.outputs,
            outputs,
            activity,
            units,
            populations,
            seed,
            batch,
        })
    }

    /// Which trials they are, and how they were run.
    pub fn about(&self) -> String {
        let noise = "without noise of the network's own";
        let count = counted(self.batch.len(), "trial");
        format!("{count} of the test with the seed {}, {noise}", self.seed)
    }

    /// What a unit did at a step of a trial.
    pub fn at(&self, trial: usize, step: usize, unit: usize) -> f64 {
        f64::from(self.activity[(trial * self.batch.steps + step) * self.units + unit])
    }

    /// The number of a variable in each trial.
    pub fn variable(&self, name: &str) -> Result<Vec<f64>, ConfigError> {
        let of_trial = |(trial, result): (&Trial, &TrialScore)| {
            let mut all = self.variables_of(trial, result).into_iter();
            all.find(|(own, _)| *own == name).map(|(_, value)| value)
        };
        let both = self.batch.trials.iter().zip(&self.results);
        let values: Option<Vec<f64>> = both.map(of_trial).collect();
        values.ok_or_else(|| {
            let names = self.variables().join(", ");
            ConfigError::new("variable", name, format!("one of {names}"))
        })
    }

    /// The names of what differs between trials.
    pub fn variables(&self) -> Vec<&'static str> {
        let mut all = self.batch.trials.iter().zip(&self.results);
        let first = all
            .next()
            .map(|(trial, result)| self.variables_of(trial, result));
        let names = first.into_iter().flatten();
        names.map(|(name, _)| name).collect()
    }

    /// What the task varies, and the choice.
    fn variables_of(&self, trial: &Trial, result: &TrialScore) -> Vec<(&'static str, f64)> {
        let mut all = trial.condition.variables();
        if let Verdict::Choice { chosen } = result.verdict {
            all.push(("choice", chosen as f64));
        }
        all
    }

    /// The steps of a trial in a period, of its whole without padding where none is named.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a period that no trial has.
    pub fn during(&self, period: Option<&str>) -> Result<Vec<Vec<usize>>, ConfigError> {
        check_period("period", period, &self.batch)?;
        let trials = self.batch.trials.iter();
        let steps = trials.map(|trial| {
            let all = 0..trial.steps;
            all.filter(|step| is_during(trial, *step, period)).collect()
        });
        Ok(steps.collect())
    }

    /// Whether a period begins at different steps in different trials.
    pub fn shifts(&self) -> bool {
        let begins = |trial: &Trial| {
            let own = trial.periods.iter();
            own.map(|period| (period.name, period.start))
                .collect::<Vec<_>>()
        };
        let mut all = self.batch.trials.iter().map(begins);
        let first = all.next();
        all.any(|own| Some(own) != first)
    }

    /// The name of the population of each unit; empty where there are none.
    pub fn population_of(&self, unit: usize) -> &'static str {
        let mut all = self.populations.iter();
        let found = all.find(|(_, units)| units.binary_search(&unit).is_ok());
        found.map_or("", |(name, _)| name)
    }
}

impl Shown {
    /// One trial: its outputs, `[steps, outputs]`, and the activity of units, `[steps, units]`, unless that is empty.
    fn run(
        &self,
        number: usize,
        outputs: &mut [f32],
        activity: &mut [f32],
    ) -> Result<(), TrainError> {
        let units = self.stepper.units()?;
        let count = units.count();
        let (steps, shape) = (self.batch.steps, self.batch.shape());
        let trial = &self.batch.trials[number];
        let mut state = self.stepper.initial().to_vec();
        let pushes = &self.applied.pushes;
        let mut current = vec![0.0; if pushes.is_empty() { 0 } else { count }];
        // Of all streams of a seed those of the pushes are the last.
        let noise = |push: usize| NormalNoise::new(self.seed, u64::MAX - push as u64);
        // White noise: what it adds over a time does not depend on the step.
        let per_step = 1.0 / self.batch.dt_ms.sqrt();
        let mut activity = activity.chunks_exact_mut(count);
        for (step, outputs) in outputs.chunks_exact_mut(shape.outputs).enumerate() {
            let at = number * steps + step;
            current.fill(0.0);
            for (index, push) in pushes.iter().enumerate() {
                if !is_during(trial, step, push.period.as_deref()) {
                    continue;
                }
                push.units
                    .iter()
                    .for_each(|&unit| current[unit] += push.current);
                if push.noise > 0.0 {
                    let drawn = noise(index).values(at, count);
                    for &unit in &push.units {
                        current[unit] += (push.noise * per_step * drawn[unit]) as f32;
                    }
                }
            }
            let intervention = Intervention {
                silent: &self.applied.silent,
                current: &current,
            };
            let input = &self.batch.inputs[at * shape.inputs..(at + 1) * shape.inputs];
            self.stepper
                .step_under(input, &mut state, outputs, intervention)?;
            if let Some(activity) = activity.next() {
                units.activity(&state, activity);
                intervention.silence(activity);
            }
        }
        Ok(())
    }
}

fn is_during(trial: &Trial, step: usize, period: Option<&str>) -> bool {
    let Some(name) = period else {
        return true;
    };
    let mut own = trial.periods.iter();
    own.any(|period| period.name == name && (period.start..period.end).contains(&step))
}

fn check_periods(applied: &Applied, batch: &TrialBatch) -> Result<(), ConfigError> {
    let mut pushes = applied.pushes.iter();
    pushes.try_for_each(|push| check_period("perturb.period", push.period.as_deref(), batch))
}

fn check_period(field: &str, period: Option<&str>, batch: &TrialBatch) -> Result<(), ConfigError> {
    let Some(name) = period else {
        return Ok(());
    };
    let mut names: Vec<&str> = Vec::new();
    for own in batch.trials.iter().flat_map(|trial| &trial.periods) {
        if !names.contains(&own.name) {
            names.push(own.name);
        }
    }
    if names.contains(&name) {
        return Ok(());
    }
    Err(ConfigError::new(
        field,
        name,
        format!("one of {}", names.join(", ")),
    ))
}

/// The distinct values in rising order, and for each number which of them it is.
pub(super) fn levels(values: &[f64]) -> (Vec<f64>, Vec<usize>) {
    let mut distinct = values.to_vec();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let place = |value: &f64| distinct.partition_point(|own| own < value);
    let places = values.iter().map(place).collect();
    (distinct, places)
}
