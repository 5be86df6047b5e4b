//! An experiment beside what was measured of it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use granule_dynamics::{DynamicsError, Place};
use granule_io::budget;
use granule_io::words::counted;

use super::feature::{Asked, Course};
use super::least_squares::Residuals;
use super::parameter::Free;
use crate::config::ExperimentConfig;
use crate::outcome::{Outcome, Trace};
use crate::samples::{ReadError, ReadSamples, Samples, factor};

/// A recorded variable.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// As the experiment calls it.
    pub(super) name: String,
    pub(super) unit: String,
    /// ms
    pub(super) times: Vec<f64>,
    pub(super) width: usize,
    /// `[times, width]`
    pub(super) values: Vec<f64>,
    /// The standard deviation of its noise.
    pub(super) noise: f64,
}

impl Target {
    /// How far its numbers are from their mean.
    pub(super) fn spread(&self) -> f64 {
        let count = self.values.len().max(1) as f64;
        let mean = self.values.iter().sum::<f64>() / count;
        let squares = self.values.iter().map(|x| (x - mean).powi(2));
        (squares.sum::<f64>() / count).sqrt()
    }
}

/// The most residuals.
const MOST: usize = 1 << 26;

/// Reads a variable out of a recording, from the time `from` to the end of a run.
pub(super) fn read(
    (file, array): (&Path, &str),
    trace: &Trace,
    [from, to]: [f64; 2],
    reader: &dyn ReadSamples,
) -> Result<Target, DynamicsError> {
    let shown = file.display().to_string();
    let refused = |allowed: String| DynamicsError::config("recording", &shown, allowed);
    let read = reader
        .read(file, Some(array))
        .map_err(|error| match error {
            ReadError::File(reason) => refused(reason),
            ReadError::Content(reason) => DynamicsError::Content {
                field: "recording".to_owned(),
                reason,
            },
            ReadError::Memory(error) => error.into(),
        })?;
    let Samples {
        times: Some(times),
        width,
        values,
        unit,
        ..
    } = read
    else {
        return Err(refused(format!("a file with times beside {array}")));
    };
    if width != trace.width {
        let allowed = format!(
            "{} in {array}, as {} has in the experiment, not {width}",
            counted(trace.width, "column"),
            trace.name
        );
        return Err(refused(allowed));
    }
    let factor = match &unit {
        None => 1.0,
        Some(own) => factor(own, &trace.unit)
            .ok_or_else(|| refused(format!("{array} in {}, not in {own}", trace.unit)))?,
    };
    // An instant within rounding of an end counts.
    let rounding = 1e-9 * to.abs();
    let kept = |time: f64| time >= from - rounding && time <= to + rounding;
    let rows = times.iter().zip(values.chunks_exact(width.max(1)));
    let rows: Vec<(f64, &[f64])> = rows
        .filter(|(time, _)| kept(**time))
        .map(|(time, row)| (time.min(to), row))
        .collect();
    if rows.is_empty() {
        return Err(refused(format!("instants from {from} to {to} ms")));
    }
    if rows.len().saturating_mul(width) > MOST {
        return Err(refused(format!(
            "at most {MOST} numbers of {array} in the run"
        )));
    }
    let values: Vec<f64> = rows
        .iter()
        .flat_map(|(_, row)| row.iter().map(|x| factor * x))
        .collect();
    if values.iter().any(|x| !x.is_finite()) {
        return Err(refused(format!("finite numbers in {array}")));
    }
    Ok(Target {
        name: trace.name.clone(),
        unit: trace.unit.clone(),
        times: rows.iter().map(|(time, _)| *time).collect(),
        width,
        values,
        noise: 1.0,
    })
}

/// A trace at other instants, on straight lines between its own.
fn between<'a>(
    times: &'a [f64],
    trace: &'a Trace,
    at: &'a [f64],
) -> impl Iterator<Item = f64> + 'a {
    let last = times.len().saturating_sub(2);
    let mut place = 0;
    at.iter().flat_map(move |time| {
        while place < last && times[place + 1] < *time {
            place += 1;
        }
        let row = |place: usize| {
            let first = place * trace.width;
            trace
                .values
                .get(first..first + trace.width)
                .unwrap_or_default()
        };
        let (before, after) = (row(place), row(place + 1));
        let ends = [times.get(place), times.get(place + 1)];
        let share = match ends {
            [Some(a), Some(b)] => ((time - a) / (b - a)).clamp(0.0, 1.0),
            _ => 0.0,
        };
        let pairs = before
            .iter()
            .zip(if after.is_empty() { before } else { after });
        // Exactly a sample where the instants agree.
        pairs.map(move |(a, b)| a + share * (b - a))
    })
}

/// What is fitted to what.
pub(super) struct Problem<'a> {
    /// Records what is compared.
    pub(super) config: ExperimentConfig,
    pub(super) place: &'a Place,
    pub(super) parameters: Vec<Free>,
    pub(super) targets: Vec<Target>,
    /// Whether the traces themselves count.
    pub(super) traces: bool,
    /// Of the first target.
    pub(super) features: Vec<Asked>,
    /// What each of them is in each column of the recording.
    pub(super) measured: Vec<Vec<Vec<f64>>>,
    /// What a spike crosses upwards, mV.
    pub(super) threshold: f64,
}

impl Problem<'_> {
    /// The configuration at a place in the ranges.
    pub(super) fn at_place(&self, place: &[f64]) -> Result<ExperimentConfig, DynamicsError> {
        let mut pairs = self.parameters.iter().zip(place);
        pairs.try_fold(self.config.clone(), |config, (own, z)| {
            config.with_number(&own.key, own.value(*z))
        })
    }

    /// Runs it.
    pub(super) fn run(&self, place: &[f64], stop: &AtomicBool) -> Result<Outcome, DynamicsError> {
        run(&self.at_place(place)?, self.place, stop)
    }

    /// What each target would be.
    pub(super) fn modelled(&self, outcome: &Outcome) -> Result<Vec<Vec<f64>>, DynamicsError> {
        let targets = self.targets.iter();
        let all = targets.map(|target| {
            let trace = trace(outcome, &target.name)?;
            Ok(between(&outcome.times, trace, &target.times).collect())
        });
        all.collect()
    }

    /// What `of` makes of each column of values of the first target.
    pub(super) fn columns<T>(
        &self,
        values: &[f64],
        of: impl Fn(usize, &Course<'_>) -> T,
    ) -> Vec<T> {
        let target = self.targets.iter().take(1);
        let columns = target.flat_map(|own| (0..own.width).map(move |column| (own, column)));
        let each = columns.map(|(own, column)| {
            let voltage = values.iter().skip(column).step_by(own.width);
            let voltage: Vec<f64> = voltage.copied().collect();
            let course = Course {
                times: &own.times,
                voltage: &voltage,
                threshold: self.threshold,
            };
            of(column, &course)
        });
        each.collect()
    }

    /// The residuals of what each target would be: of traces, then of features.
    pub(super) fn residuals(&self, modelled: &[Vec<f64>]) -> Vec<f64> {
        let mut all = Vec::new();
        if self.traces {
            for (target, own) in self.targets.iter().zip(modelled) {
                let pairs = own.iter().zip(&target.values);
                all.extend(pairs.map(|(x, y)| (x - y) / target.noise));
            }
        }
        let first = modelled.first().map_or(&[][..], Vec::as_slice);
        for (asked, measured) in self.features.iter().zip(&self.measured) {
            let apart = self.columns(first, |column, course| {
                let own = measured.get(column).map_or(&[][..], Vec::as_slice);
                asked.apart(own, course)
            });
            all.extend(apart.into_iter().flatten());
        }
        all
    }

    /// Memory for the slopes and what they are made of.
    pub(super) fn ask_for_memory(&self) -> Result<(), DynamicsError> {
        let residuals: usize = self.targets.iter().map(|own| own.values.len()).sum();
        let copies = 3 * self.parameters.len() + 4;
        Ok(budget::ask_for_numbers("the fit", &[residuals, copies])?)
    }
}

/// Runs an experiment to its end.
pub(super) fn run(
    config: &ExperimentConfig,
    place: &Place,
    stop: &AtomicBool,
) -> Result<Outcome, DynamicsError> {
    let experiment = config.init(place)?;
    let outcome = experiment.run(|_, _| {
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if outcome.complete {
        Ok(outcome)
    } else {
        Err(DynamicsError::Stopped)
    }
}

/// A variable of a run.
pub(super) fn trace<'o>(outcome: &'o Outcome, name: &str) -> Result<&'o Trace, DynamicsError> {
    let found = outcome.traces.iter().find(|trace| trace.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = outcome.traces.iter().map(|own| own.name.as_str()).collect();
        DynamicsError::config("observe", name, names.join(", "))
    })
}

impl Residuals for Problem<'_> {
    fn parameters(&self) -> usize {
        self.parameters.len()
    }

    fn at(&self, place: &[f64], stop: &AtomicBool) -> Result<Vec<f64>, DynamicsError> {
        let outcome = self.run(place, stop)?;
        Ok(self.residuals(&self.modelled(&outcome)?))
    }
}
