//! What units and outputs do.

use granule_chart::{Figure, Mark, Panel};
use granule_data::task::Verdict;
use granule_simulate::analysis::{Array, Cell, Findings, Table};
use serde::{Deserialize, Serialize};

use super::recorded::{Keep, Recorded};
use super::registry::Request;
use crate::TrainError;

/// What is told of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The trial whose outputs are drawn, from 0.
    pub trial: usize,
}

/// The probe by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, TrainError> {
    let settings: Settings = request.settings()?;
    let keep = Keep::Activity { most: usize::MAX };
    let all = Recorded::new(request, request.interventions, keep, 0.0..1.0)?;
    let (count, steps) = (all.batch.len(), all.batch.steps);
    if settings.trial >= count {
        let allowed = format!("below {count}, the number of trials");
        return Err(crate::ConfigError::new("trial", settings.trial, allowed).into());
    }
    let shape = all.batch.shape();
    // All of it again, in double precision.
    let of_step = all.units + shape.inputs + 2 * shape.outputs;
    let numbers = [count, steps, of_step];
    granule_io::budget::ask_for_numbers("the arrays of activity", &numbers)?;
    let names = all.variables();
    let columns = [("trial", "1"), ("steps", "1")].into_iter();
    let columns = columns.chain(names.iter().map(|name| (*name, "1")));
    let mut table = Table::new("trials", columns.chain([("correct", "1")]));
    let mut arrays = Vec::new();
    let values = names.iter().map(|name| all.variable(name));
    let values: Vec<Vec<f64>> = values.collect::<Result<_, _>>()?;
    for (number, (trial, result)) in all.batch.trials.iter().zip(&all.results).enumerate() {
        let correct = match (result.verdict, trial.condition.correct()) {
            (Verdict::Choice { chosen }, Some(right)) => f64::from(u8::from(chosen == right)),
            _ => f64::NAN,
        };
        let mut row: Vec<Cell> = vec![number.into(), trial.steps.into()];
        row.extend(values.iter().map(|own| Cell::from(own[number])));
        row.push(correct.into());
        table.rows.push(row);
    }
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<f64>>();
    let time: Vec<f64> = (1..=steps)
        .map(|step| step as f64 * all.batch.dt_ms)
        .collect();
    arrays.push(Array::new("time", vec![steps], time.clone()));
    for (name, width, values) in [
        ("activity", all.units, &all.activity),
        ("outputs", shape.outputs, &all.outputs),
        ("inputs", shape.inputs, &all.batch.inputs),
        ("targets", shape.outputs, &all.batch.targets),
    ] {
        arrays.push(Array::new(name, vec![count, steps, width], wide(values)));
    }
    let figure = figure(request, &all, &time, settings.trial);
    Ok(Findings {
        tables: vec![table],
        arrays,
        notes: vec![
            all.about(),
            format!(
                "{steps} steps, {} units; --out FILE.npz has activity, outputs, inputs and targets",
                all.units
            ),
        ],
        figure: Some(figure),
    })
}

/// The outputs of a trial, and the mean activity of all.
fn figure(request: &Request<'_>, all: &Recorded, time: &[f64], trial: usize) -> Figure {
    let width = all.batch.shape().outputs;
    let within = all.batch.trials[trial].steps.min(time.len());
    let mut outputs = Panel::new("outputs").note(format!("{}: trial {trial}", request.title));
    for (output, name) in all.names.iter().enumerate() {
        let at =
            |step: usize| f64::from(all.outputs[(trial * all.batch.steps + step) * width + output]);
        let points = time[..within].iter().enumerate();
        let points = points.map(|(step, time)| (*time, at(step)));
        outputs = outputs.with(Mark::line(name, points.collect()));
    }
    let everything = [("all units", (0..all.units).collect())];
    let populations = match all.populations.as_slice() {
        [] => &everything[..],
        own => own,
    };
    let mut mean = Panel::new("mean activity");
    for (name, units) in populations {
        let of_step = |step: usize| {
            let trials = all.batch.trials.iter().enumerate();
            let trials = trials.filter(|(_, trial)| step < trial.steps);
            let mut sum = 0.0;
            let mut count = 0.0_f64;
            for (trial, _) in trials {
                sum += units
                    .iter()
                    .map(|unit| all.at(trial, step, *unit))
                    .sum::<f64>();
                count += units.len() as f64;
            }
            sum / count.max(1.0)
        };
        let points = time
            .iter()
            .enumerate()
            .map(|(step, time)| (*time, of_step(step)));
        mean = mean.with(Mark::line(*name, points.collect()));
    }
    Figure::new("", "time (ms)").with(outputs).with(mean)
}
