//! An experiment over some of its numbers.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use granule_dynamics::{DynamicsError, Place};
use serde::{Deserialize, Serialize};

use super::findings::{Array, Findings, Table};
use super::parallel::side_by_side;
use super::registry::Request;
use crate::config::ExperimentConfig;
use crate::outcome::Outcome;

/// What is changed, and what is told of each run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// One or two numbers of the configuration with their values: `unit.current=0..20:11` is 11 values from 0 to 20,
    /// `unit.current=1..100:5:log` 5 of which each is the same times the one before, `unit.current=1,2,5` three. Has to be given.
    pub over: Vec<String>,
    /// What is told of a run: `rate` of each group of cells (Hz), `cv` of their intervals; `mean`, `sd`, `min`, `max` or `last` of a
    /// recorded variable, over all its columns, as `max v`. Default: `rate` of cells that spike, else `mean` of the first variable.
    pub measure: Vec<String>,
    /// The time that is left out at the beginning, ms. Default: a fifth of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
}

/// The most runs.
const MOST: usize = 100_000;

/// A number of the configuration with its values.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    key: String,
    values: Vec<f64>,
}

fn refused(found: &str, allowed: &str) -> DynamicsError {
    DynamicsError::config("over", found, allowed)
}

impl Axis {
    fn read(text: &str) -> Result<Self, DynamicsError> {
        let form = "KEY=FIRST..LAST:COUNT, KEY=FIRST..LAST:COUNT:log or KEY=A,B,C";
        let wrong = || refused(text, form);
        let number = |text: &str| -> Result<f64, DynamicsError> {
            let value: f64 = text.trim().parse().map_err(|_| wrong())?;
            if value.is_finite() {
                Ok(value)
            } else {
                Err(wrong())
            }
        };
        let (key, values) = text.split_once('=').ok_or_else(wrong)?;
        let values = match values.split_once("..") {
            None => values
                .split(',')
                .map(number)
                .collect::<Result<Vec<_>, _>>()?,
            Some((first, rest)) => {
                let mut rest = rest.split(':');
                let (first, last) = (number(first)?, number(rest.next().unwrap_or_default())?);
                let count: usize = rest
                    .next()
                    .and_then(|count| count.trim().parse().ok())
                    .filter(|count| (2..=MOST).contains(count))
                    .ok_or_else(|| {
                        refused(text, "a count from 2 to 100000 after the second `:`")
                    })?;
                let logarithmic = match rest.next() {
                    None => false,
                    Some("log") => true,
                    Some(_) => return Err(wrong()),
                };
                if logarithmic && !(first > 0.0 && last > 0.0) {
                    return Err(refused(text, "values above 0 for :log"));
                }
                let share = |index: usize| index as f64 / (count - 1) as f64;
                let value = |index: usize| match (index, logarithmic) {
                    (0, _) => first,
                    (index, _) if index + 1 == count => last,
                    (index, true) => first * (last / first).powf(share(index)),
                    (index, false) => first + (last - first) * share(index),
                };
                (0..count).map(value).collect()
            }
        };
        Ok(Self {
            key: key.trim().to_owned(),
            values,
        })
    }
}

/// What is told of a run.
#[derive(Clone, Debug, PartialEq)]
enum Measure {
    /// Of a group of cells.
    Rate,
    Variation,
    /// How, and of which variable.
    Of(Way, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Mean,
    Deviation,
    Least,
    Most,
    Last,
}

/// The ways by name.
const WAYS: [(&str, Way); 5] = [
    ("mean", Way::Mean),
    ("sd", Way::Deviation),
    ("min", Way::Least),
    ("max", Way::Most),
    ("last", Way::Last),
];

impl Measure {
    fn read(text: &str) -> Result<Self, DynamicsError> {
        match text.split_once(' ') {
            None if text == "rate" => Ok(Self::Rate),
            None if text == "cv" => Ok(Self::Variation),
            Some((way, name)) if let Some((_, way)) = WAYS.iter().find(|(own, _)| *own == way) => {
                Ok(Self::Of(*way, name.trim().to_owned()))
            }
            _ => {
                let allowed = "rate, cv, or mean, sd, min, max or last of a variable, as max v";
                Err(DynamicsError::config("measure", text, allowed))
            }
        }
    }

    /// What is measured where nothing is asked for.
    fn suited(outcome: &Outcome) -> Self {
        match outcome.traces.first() {
            Some(trace) if outcome.spikes.is_empty() => Self::Of(Way::Mean, trace.name.clone()),
            _ => Self::Rate,
        }
    }

    /// Its values, each with its name and unit.
    fn of(
        &self,
        outcome: &Outcome,
        from: Option<f64>,
    ) -> Result<Vec<(String, String, f64)>, DynamicsError> {
        let begin = outcome.transient(from)?;
        let Self::Of(way, name) = self else {
            if outcome.spikes.is_empty() {
                let allowed = "mean, sd, min, max or last of a variable: nothing spikes here";
                return Err(DynamicsError::config("measure", "rate", allowed));
            }
            let groups = outcome.groups.iter();
            return Ok(groups
                .map(|group| {
                    let cells = outcome.spikes.get(group.cells.clone()).unwrap_or_default();
                    let cells: Vec<_> = cells.iter().collect();
                    let span = [begin, outcome.reached];
                    match self {
                        Self::Rate => {
                            let rate = super::spikes::rate(&cells, span);
                            (format!("rate of {}", group.name), "Hz".into(), rate)
                        }
                        _ => {
                            let variation = super::spikes::variation(&cells, span);
                            (format!("cv of {}", group.name), "1".into(), variation)
                        }
                    }
                })
                .collect());
        };
        let kept = outcome.later(from)?;
        let trace = kept.trace(name)?;
        let values = &trace.values;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let value = match way {
            Way::Mean => mean,
            Way::Deviation => {
                let squares = values.iter().map(|x| (x - mean) * (x - mean));
                (squares.sum::<f64>() / values.len() as f64).sqrt()
            }
            Way::Least => values.iter().copied().fold(f64::INFINITY, f64::min),
            Way::Most => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Way::Last => {
                let row = &values[values.len().saturating_sub(trace.width)..];
                row.iter().sum::<f64>() / row.len() as f64
            }
        };
        let (way, _) = WAYS.iter().find(|(_, own)| own == way).unwrap_or(&WAYS[0]);
        Ok(vec![(format!("{way} {name}"), trace.unit.clone(), value)])
    }
}

/// What is told of a run: names, units and values.
type Told = Vec<(String, String, f64)>;

/// One run.
fn told(
    config: &ExperimentConfig,
    place: &Place,
    (measures, from): (&[Measure], Option<f64>),
    stop: &AtomicBool,
) -> Result<Told, DynamicsError> {
    let experiment = config.init(place)?;
    let outcome = experiment.run(|_, _| {
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if !outcome.complete {
        return Err(DynamicsError::Stopped);
    }
    let suited = [Measure::suited(&outcome)];
    let measures = if measures.is_empty() {
        &suited
    } else {
        measures
    };
    let all = measures.iter().map(|measure| measure.of(&outcome, from));
    Ok(all.collect::<Result<Vec<_>, _>>()?.concat())
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    let axes: Vec<Axis> = settings
        .over
        .iter()
        .map(|text| Axis::read(text))
        .collect::<Result<_, _>>()?;
    let measures: Vec<Measure> = settings
        .measure
        .iter()
        .map(|text| Measure::read(text))
        .collect::<Result<_, _>>()?;
    let inner: Vec<f64> = match &axes[..] {
        [_] => vec![f64::NAN],
        [_, second] => second.values.clone(),
        other => {
            let found = format!("{} keys", other.len());
            return Err(refused(
                &found,
                "one key or two, as over=[\"unit.current=0..20:11\"]",
            ));
        }
    };
    let outer = &axes[0].values;
    let runs: Vec<(f64, f64)> = outer
        .iter()
        .flat_map(|x| inner.iter().map(move |y| (*x, *y)))
        .collect();
    if runs.len() > MOST {
        return Err(refused(
            &format!("{} runs", runs.len()),
            &format!("at most {MOST} runs"),
        ));
    }
    // All of them are made before any of them runs.
    let configs = runs.iter().map(|(x, y)| {
        let config = request.config.with_number(&axes[0].key, *x)?;
        match axes.get(1) {
            None => Ok(config),
            Some(axis) => config.with_number(&axis.key, *y),
        }
    });
    let configs: Vec<ExperimentConfig> = configs.collect::<Result<_, DynamicsError>>()?;
    let count = configs.len() as f64;
    let all: Vec<Told> = side_by_side(
        configs.len(),
        &|done| request.done(done as f64 / count),
        &|index, stop| {
            let measured = (&measures[..], settings.from);
            told(&configs[index], request.place, measured, stop)
        },
    )?;
    let names: Vec<(String, String)> = all
        .first()
        .map(|told| {
            told.iter()
                .map(|(name, unit, _)| (name.clone(), unit.clone()))
                .collect()
        })
        .unwrap_or_default();
    let keys = axes.iter().map(|axis| (axis.key.clone(), "1".to_owned()));
    let mut table = Table::new("runs", keys.chain(names.clone()));
    for ((x, y), told) in runs.iter().zip(&all) {
        let own = [*x, *y].into_iter().take(axes.len()).map(super::Cell::from);
        table.rows.push(
            own.chain(told.iter().map(|(.., value)| (*value).into()))
                .collect(),
        );
    }
    let mut findings = Findings {
        tables: vec![table],
        ..Findings::default()
    };
    for (place, (name, _)) in names.iter().enumerate() {
        let values = all
            .iter()
            .map(|told| told.get(place).map_or(f64::NAN, |own| own.2));
        let shape = vec![outer.len(), inner.len()];
        findings
            .arrays
            .push(Array::new(name.clone(), shape, values.collect()));
    }
    #[cfg(feature = "plot")]
    {
        findings.figure = Some(figure(request, &axes, &names, &findings.arrays));
    }
    Ok(findings)
}

/// Values of a second key that have a curve each; more are a map.
#[cfg(feature = "plot")]
const FEW: usize = 3;

#[cfg(feature = "plot")]
fn figure(
    request: &Request<'_>,
    axes: &[Axis],
    names: &[(String, String)],
    arrays: &[Array],
) -> granule_chart::Figure {
    use granule_chart::{Figure, Mark, Panel};

    let outer = &axes[0];
    let figure = Figure::new(request.title, outer.key.clone());
    names
        .iter()
        .zip(arrays)
        .fold(figure, |figure, ((name, unit), array)| {
            let inner = array.shape[1];
            let named = crate::figure::label(name, unit);
            if let Some(second) = axes.get(1).filter(|axis| axis.values.len() > FEW) {
                let map = Mark::map(named, &outer.values, &second.values, &array.values);
                return figure.with(Panel::new(second.key.clone()).with(map));
            }
            let panel = (0..inner).fold(Panel::new(named), |panel, column| {
                let points = outer.values.iter().enumerate();
                let points = points.map(|(row, x)| (*x, array.values[row * inner + column]));
                let named = axes
                    .get(1)
                    .map(|axis| format!("{} = {}", axis.key, axis.values[column]));
                panel.with(Mark::line(named.unwrap_or_default(), points.collect()))
            });
            figure.with(panel)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_a_range_or_a_list() {
        let values = |text: &str| Axis::read(text).unwrap().values;
        assert_eq!(values("a.b=0..1:3"), [0.0, 0.5, 1.0]);
        assert_eq!(values("a=1..100:3:log"), [1.0, 10.0, 100.0]);
        assert_eq!(values("a= -1, 2 ,5e-1"), [-1.0, 2.0, 0.5]);
        assert_eq!(values("a=3"), [3.0]);
        for text in [
            "a",
            "a=",
            "a=1..2",
            "a=1..2:1",
            "a=1..2:x",
            "a=1..2:3:lin",
            "a=0..2:3:log",
            "a=nan",
            "a=1..inf:3",
            "a=1,,2",
            "a=1..2:99999999999",
        ] {
            assert!(Axis::read(text).is_err(), "{text}");
        }
    }
}
