//! Demixed principal components of a network, by name.

use granule_chart::{Figure, Mark, Panel};
use granule_dynamics::DynamicsError;
use granule_io::words::counted;
use granule_simulate::analysis::{Array, Cell, Findings, Table, go_on};
use serde::{Deserialize, Serialize};

use super::demix::{Demixed, demix};
use super::recorded::{Keep, Recorded, levels};
use super::registry::Request;
use crate::{ConfigError, TrainError};

/// Networks of more units are not taken apart: their eigenvectors take too long.
const MOST_UNITS: usize = 512;
/// Lines of a panel.
const MOST_LINES: usize = 24;
/// A variable with more values is none of levels.
const MOST_LEVELS: usize = 50;

/// The share of the work that running the trials is.
const RUN: f64 = 0.5;
/// Trials of every combination, at least: of one there is no mean.
const LEAST: f64 = 2.0;

/// What activity is taken apart by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What differs between trials: coherence, sample, choice, … Default: all that the task varies, without the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<Vec<String>>,
    /// The period of the trial that is looked at, from its beginning in each trial. Default: whole trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// How many components of each part. Default 3.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub components: usize,
    /// The penalty on large weights, as a share of all variance. Default 1e-6.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub ridge: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            variables: None,
            period: None,
            components: 3,
            ridge: 1e-6,
        }
    }
}

/// The probe by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, TrainError> {
    let settings: Settings = request.settings()?;
    if settings.components == 0 {
        return Err(ConfigError::new("components", 0, "1 or more").into());
    }
    let keep = Keep::Activity { most: MOST_UNITS };
    let all = Recorded::new(request, request.interventions, keep, 0.0..RUN)?;
    let names: Vec<String> = match settings.variables {
        Some(names) => names,
        None => {
            let names = all.variables().into_iter();
            names
                .filter(|name| *name != "choice")
                .map(str::to_owned)
                .collect()
        }
    };
    if names.is_empty() {
        return Err(ConfigError::new("variables", "none", "one at least").into());
    }
    let mut factors = Vec::new();
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            let found = format!("{name} twice");
            return Err(ConfigError::new("variables", found, "each of them once").into());
        }
        let (values, places) = levels(&all.variable(name)?);
        if !(2..=MOST_LEVELS).contains(&values.len()) {
            let found = format!("{name}, of {} values", values.len());
            let allowed = format!("one of 2 to {MOST_LEVELS} values");
            return Err(ConfigError::new("variables", found, allowed).into());
        }
        factors.push((values, places));
    }
    let counts: Vec<usize> = factors.iter().map(|(values, _)| values.len()).collect();
    let components = settings.components.min(all.units);
    let during = all.during(settings.period.as_deref())?;
    let (data, steps) = averaged(&all, &during, &names, &factors, components)?;
    let demixed = demix(
        &data,
        all.units,
        &counts,
        components,
        settings.ridge,
        &|share| go_on((request.progress)(RUN + share * (1.0 - RUN))),
    );
    let demixed = demixed.map_err(|error| match error {
        // Of the probe's own settings, and none of the model's.
        DynamicsError::Config(error) => TrainError::Config(error),
        error => error.into(),
    })?;

    let mut parts: Vec<String> = vec!["time".to_owned()];
    parts.extend(names.iter().cloned());
    parts.push("together".to_owned());
    let mut of_parts = Table::new("parts", [("part", "1"), ("share of the variance", "1")]);
    for (name, share) in parts.iter().zip(&demixed.parts) {
        of_parts
            .rows
            .push(vec![name.as_str().into(), (*share).into()]);
    }
    let columns = [("component", "1"), ("part", "1"), ("explained", "1")].into_iter();
    let columns = columns.map(|(name, unit)| (name.to_owned(), unit));
    let columns = columns.chain(parts.iter().map(|name| (format!("of {name}"), "1")));
    let mut table = Table::new("demixed components", columns);
    for (index, own) in demixed.components.iter().enumerate() {
        let mut row: Vec<Cell> = vec![
            (index + 1).into(),
            parts[own.part].as_str().into(),
            own.explained.into(),
        ];
        row.extend(own.shares.iter().map(|share| Cell::from(*share)));
        table.rows.push(row);
    }
    let (count, combinations) = (demixed.components.len(), counts.iter().product::<usize>());
    let stacked = |of: fn(&super::Component) -> &Vec<f64>| -> Vec<f64> {
        let components = demixed.components.iter();
        components.flat_map(|own| of(own).iter().copied()).collect()
    };
    let mut arrays = vec![
        Array::new(
            "decoders",
            vec![count, all.units],
            stacked(|own| &own.decoder),
        ),
        Array::new(
            "encoders",
            vec![count, all.units],
            stacked(|own| &own.encoder),
        ),
        Array::new(
            "projections",
            vec![count, combinations, steps],
            stacked(|own| &own.projection),
        ),
    ];
    let of_part = demixed.components.iter().map(|own| own.part as f64);
    arrays.push(Array::new(
        "part of component",
        vec![count],
        of_part.collect(),
    ));
    for (name, (values, _)) in names.iter().zip(&factors) {
        arrays.push(Array::new(name, vec![values.len()], values.clone()));
    }
    let mut notes = vec![
        all.about(),
        format!(
            "{combinations} combinations of {}, the last of them changing first, {} of {}, which all trials have; parts are \
             numbered in their order from 0",
            names.join(" and "),
            counted(steps, "step"),
            settings.period.as_deref().unwrap_or("the trial"),
        ),
    ];
    if settings.period.is_none() && all.shifts() {
        notes.push(
            "periods begin at different steps in different trials, so that means over trials mix them: --with period=… looks at one, \
             from its beginning"
                .to_owned(),
        );
    }
    let figure = figure(
        request,
        &demixed,
        &parts,
        &factors,
        (steps, all.batch.dt_ms),
    );
    Ok(Findings {
        tables: vec![of_parts, table],
        arrays,
        notes,
        figure: Some(figure),
    })
}

/// The mean activity of each combination, `[units, combinations, steps]`, and the steps that all trials have.
fn averaged(
    all: &Recorded,
    during: &[Vec<usize>],
    names: &[String],
    factors: &[(Vec<f64>, Vec<usize>)],
    components: usize,
) -> Result<(Vec<f64>, usize), TrainError> {
    let steps = during.iter().map(Vec::len).min().unwrap_or(0);
    let combinations: usize = factors.iter().map(|(values, _)| values.len()).product();
    let numbers = [all.units, combinations, steps];
    // The data, centred, in parts; and what stands along components, twice.
    let parts = factors.len() + 2;
    let of_place = all.units * (parts + 2) + 2 * parts * components;
    let extents = [combinations, steps, of_place];
    granule_io::budget::ask_for_numbers("the activity of every combination", &extents)?;
    let mut data = vec![0.0; numbers.iter().product()];
    let mut counts = vec![0.0; combinations];
    let combination = |trial: usize| {
        let places = factors.iter();
        places.fold(0, |at, (values, places)| at * values.len() + places[trial])
    };
    for (trial, own) in during.iter().enumerate() {
        let at = combination(trial);
        counts[at] += 1.0;
        for unit in 0..all.units {
            let row = &mut data[(unit * combinations + at) * steps..][..steps];
            let row = row.iter_mut().enumerate();
            row.for_each(|(step, sum)| *sum += all.at(trial, own[step], unit));
        }
    }
    if let Some(absent) = counts.iter().position(|count| *count < LEAST) {
        let mut rest = absent;
        let mut levels: Vec<String> = factors
            .iter()
            .zip(names)
            .rev()
            .map(|((values, _), name)| {
                let value = values[rest % values.len()];
                rest /= values.len();
                format!("{name} {value}")
            })
            .collect();
        levels.reverse();
        let found = format!(
            "{} with {}",
            counted(counts[absent] as usize, "trial"),
            levels.join(" and ")
        );
        let allowed = format!(
            "{LEAST} trials of every combination at least: take more trials, or fewer variables"
        );
        return Err(ConfigError::new("variables", found, allowed).into());
    }
    for (place, row) in data.chunks_exact_mut(steps.max(1)).enumerate() {
        let count = counts[place % combinations];
        row.iter_mut().for_each(|x| *x /= count);
    }
    Ok((data, steps))
}

/// The first component of each part over time, a line for each value of its variable.
fn figure(
    request: &Request<'_>,
    demixed: &Demixed,
    parts: &[String],
    factors: &[(Vec<f64>, Vec<usize>)],
    (steps, dt): (usize, f64),
) -> Figure {
    let mut figure = Figure::new("", "time (ms)");
    let combinations: usize = factors.iter().map(|(values, _)| values.len()).product();
    for (part, name) in parts.iter().enumerate() {
        let mut all = demixed.components.iter();
        let Some(own) = all.find(|own| own.part == part) else {
            continue;
        };
        let mut panel = Panel::new(name.as_str());
        let share = 100.0 * own.explained;
        panel = panel.note(format!("{}: {share:.1} % of the variance", request.title));
        // Of the variable of the part; combinations are lines of any other part.
        let (values, stride): (&[f64], usize) = match part
            .checked_sub(1)
            .and_then(|at| Some((at, factors.get(at)?)))
        {
            Some((at, (values, _))) => {
                let after = factors[at + 1..].iter().map(|(values, _)| values.len());
                (values, after.product())
            }
            None => (&[], 1),
        };
        // What goes with time alone is one line, and what goes with several variables is a line for each combination, of a few.
        let lines = match (values.len(), part) {
            (0, 0) => 1,
            (0, _) if combinations > MOST_LINES => continue,
            (0, _) => combinations,
            (count, _) => count,
        };
        for line in 0..lines {
            let is_of = |combination: &usize| combination / stride % lines == line;
            let members: Vec<usize> = (0..combinations).filter(is_of).collect();
            let at = |step: usize| {
                let sum: f64 = members
                    .iter()
                    .map(|own_at| own.projection[own_at * steps + step])
                    .sum();
                ((step + 1) as f64 * dt, sum / members.len() as f64)
            };
            let label = values.get(line).map_or_else(String::new, f64::to_string);
            panel = panel.with(Mark::line(label, (0..steps).map(at).collect()));
        }
        figure = figure.with(panel);
    }
    figure
}
