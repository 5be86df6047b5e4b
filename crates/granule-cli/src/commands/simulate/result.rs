//! What a simulation prints at its end.

use std::collections::BTreeMap;

use granule::io::words::denoised;
use granule::simulate::{ExperimentConfig, Group, Outcome};
use serde::{Serialize, Serializer};

use super::super::result::fact;
use crate::output::{self, duration};

pub struct Result<'a> {
    pub config: &'a ExperimentConfig,
    pub outcome: &'a Outcome,
    pub device: String,
    pub made: Made<'a>,
}

/// What a result says of how it was made, besides its configuration.
#[derive(Clone, Copy, Serialize)]
pub struct Made<'a> {
    /// What the model has learnt and the configuration cannot say.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub learnt_without_setting: &'a [String],
    pub precision: &'static str,
}

/// What every result ends with.
#[derive(Serialize)]
struct End<'a> {
    config: &'a ExperimentConfig,
    device: &'a str,
    dt_ms: f64,
    duration_ms: f64,
    #[serde(flatten)]
    made: Made<'a>,
    /// Of a step where many are taken in a call.
    operations_per_step: Option<usize>,
    seed: u64,
    solver: &'a str,
    version: &'static str,
}

#[derive(Serialize)]
pub struct OfCells<'a> {
    cells: Cells<'a>,
    #[serde(flatten)]
    end: End<'a>,
}

/// Written cell by cell: there may be many, and a tree of them takes ten times their memory.
struct Cells<'a>(&'a Outcome);

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(outcome) = self;
        let cells = outcome.statistics.spikes.iter().enumerate();
        serializer.collect_seq(cells.map(|(cell, spikes)| {
            let last = outcome.last.iter();
            Cell {
                distance_um: outcome
                    .distances
                    .first()
                    .and_then(|first| first.to.get(cell))
                    .copied(),
                final_state: last
                    .map(|trace| (trace.name.as_str(), trace.values.get(cell).copied()))
                    .collect(),
                mean_rate_hz: spikes.mean_rate_hz(outcome.recorded()),
                rate_hz: spikes.rate_hz(outcome.reached),
                site: site(outcome, cell),
                spike_times_ms: outcome.spikes.get(cell).map(|own| own.times.as_slice()),
            }
        }))
    }
}

#[derive(Serialize)]
struct Cell<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_um: Option<f64>,
    final_state: BTreeMap<&'a str, Option<f64>>,
    mean_rate_hz: f64,
    rate_hz: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a str>,
    /// Where they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    spike_times_ms: Option<&'a [f64]>,
}

/// What a cell's place is called, where the cells are places on one.
fn site(outcome: &Outcome, cell: usize) -> Option<&str> {
    let trace = outcome.last.first()?;
    trace.labels.get(cell).map(String::as_str)
}

/// Of every model but single cells.
#[derive(Serialize)]
pub struct Whole<'a> {
    final_state: BTreeMap<&'a str, &'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_variation: Option<Option<f64>>,
    mean: BTreeMap<&'a str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_rate_hz: Option<BTreeMap<&'a str, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spike_times_ms: Option<BTreeMap<&'a str, Vec<&'a [f64]>>>,
    #[serde(flatten)]
    end: End<'a>,
}

/// A result as JSON.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Json<'a> {
    OfCells(OfCells<'a>),
    Whole(Whole<'a>),
}

/// Cells that are listed one by one.
const LISTED: usize = 30;

impl Result<'_> {
    /// The result as one line of JSON.
    pub fn print_json(&self) -> anyhow::Result<()> {
        self.as_json(|json| output::json(&json))
    }

    /// Hands on the result as it is printed.
    pub fn as_json<T>(&self, take: impl FnOnce(Json<'_>) -> T) -> T {
        let end = End {
            config: self.config,
            device: &self.device,
            dt_ms: self.config.dt,
            duration_ms: self.outcome.reached,
            made: self.made,
            operations_per_step: self.outcome.operations,
            seed: self.config.seed,
            solver: &self.outcome.solver,
            version: env!("CARGO_PKG_VERSION"),
        };
        if self.config.unit.is_some() {
            let cells = Cells(self.outcome);
            take(Json::OfCells(OfCells { cells, end }))
        } else {
            take(Json::Whole(self.whole(end)))
        }
    }

    fn whole<'a>(&'a self, end: End<'a>) -> Whole<'a> {
        let outcome = self.outcome;
        let groups = &outcome.groups;
        let rates = groups
            .iter()
            .map(|group| (group.name.as_str(), outcome.mean_rate_hz(group)));
        let times = |group: &Group| {
            let cells = outcome.spikes.get(group.cells.clone());
            cells
                .unwrap_or_default()
                .iter()
                .map(|cell| cell.times.as_slice())
                .collect()
        };
        let spikes = groups
            .iter()
            .map(|group| (group.name.as_str(), times(group)));
        let are_kept = outcome.spikes.len() == outcome.statistics.spikes.len();
        let last = outcome.last.iter();
        let means = outcome.traces.iter().zip(&outcome.statistics.traces);
        Whole {
            final_state: last
                .map(|trace| (trace.name.as_str(), trace.values.as_slice()))
                .collect(),
            interval_variation: (!groups.is_empty()).then(|| outcome.interval_variation()),
            mean: means
                .map(|(trace, known)| (trace.name.as_str(), known.mean()))
                .collect(),
            mean_rate_hz: (!groups.is_empty()).then(|| rates.collect()),
            spike_times_ms: (!groups.is_empty() && are_kept).then(|| spikes.collect()),
            end,
        }
    }

    /// What came out.
    pub fn show(&self) -> anyhow::Result<()> {
        let outcome = self.outcome;
        if self.config.unit.is_some() {
            self.show_cells()?
        } else {
            for group in &outcome.groups {
                let cells = output::counted(group.cells.len(), "cell");
                let rate = outcome.mean_rate_hz(group);
                fact("rate", &format!("{rate:.2} Hz, {} ({cells})", group.name))?;
            }
            if let Some(variation) = outcome.interval_variation() {
                fact(
                    "CV",
                    &format!("{variation:.2} of the intervals between spikes"),
                )?;
            }
            for (trace, known) in outcome.traces.iter().zip(&outcome.statistics.traces) {
                fact(
                    "mean",
                    &format!("{} {}", trace.name, value(known.mean(), &trace.unit)),
                )?;
            }
        }
        Ok(())
    }

    /// How it was run.
    pub fn show_run(&self, seconds: f64) -> anyhow::Result<()> {
        let outcome = self.outcome;
        fact(
            "ran",
            &format!(
                "{} ms in steps of {} ms, {}, {}, on {}, in {}",
                number(outcome.reached),
                denoised(self.config.dt),
                match outcome.solver.as_str() {
                    "exact" => "exactly",
                    other => other,
                },
                match outcome.operations {
                    Some(count) => format!(
                        "many in a call, each of {}",
                        output::counted(count, "operation")
                    ),
                    None => "each by itself".into(),
                },
                self.device,
                if seconds < 0.1 {
                    format!("{:.0} ms", 1e3 * seconds)
                } else {
                    duration(seconds)
                }
            ),
        )
    }

    fn show_cells(&self) -> anyhow::Result<()> {
        let spikes = &self.outcome.statistics.spikes;
        let currents = self.config.unit.as_ref().map(|unit| unit.current());
        let currents = currents.map_or(&[][..], |current| current.as_slice());
        for (index, cell) in spikes.iter().take(LISTED).enumerate() {
            let site = site(self.outcome, index);
            let label = match currents.get(index) {
                _ if site.is_some() => format!("{}: ", site.unwrap_or_default()),
                Some(current) if currents.len() > 1 => {
                    let unit = self.config.unit.as_ref().map(|unit| unit.current_unit());
                    match unit.unwrap_or("1") {
                        "1" => format!("{}: ", number(*current)),
                        unit => format!("{} {unit}: ", number(*current)),
                    }
                }
                _ if spikes.len() > 1 => format!("{index}: "),
                _ => String::new(),
            };
            let count = output::counted(cell.count(), "spike");
            let reached = self.outcome.reached;
            let mean = cell.mean_rate_hz(self.outcome.recorded());
            let text = match cell.ends() {
                None => "no spike".into(),
                Some([at, _]) if cell.count() == 1 => format!("1 spike, at {at:.4} ms"),
                Some([first, last]) if cell.fell_silent(reached) => {
                    format!(
                        "{count}, from {first:.4} to {last:.4} ms, then silent: 0 Hz at the end, {mean:.2} Hz in the mean"
                    )
                }
                Some([first, last]) => format!(
                    "{count}, from {first:.4} to {last:.4} ms, {:.2} Hz at the end, {mean:.2} Hz in the mean",
                    cell.rate_hz(reached)
                ),
            };
            let what = if site.is_some() { "site" } else { "cell" };
            fact(what, &format!("{label}{text}"))?;
        }
        if spikes.len() > LISTED {
            fact(
                "",
                &format!("and {} more; --json has them all", spikes.len() - LISTED),
            )?;
        }
        if let Some((velocity, ends)) = self.outcome.conduction_velocity() {
            let [from, to] = ends.map(|place| site(self.outcome, place).unwrap_or_default());
            fact(
                "speed",
                &format!("{velocity:.3} m/s, the first spike from {from} to {to}"),
            )?;
        }
        if let [cell] = self.outcome.spikes.as_slice()
            && cell.times.len() > 1
        {
            let times = cell.times.iter().take(12).map(|t| format!("{t:.4}"));
            let more = if cell.times.len() > 12 { " …" } else { "" };
            let times = times.collect::<Vec<_>>().join(" ");
            fact("spikes", &format!("{times}{more} ms"))?;
        }
        Ok(())
    }
}

fn value(value: f64, unit: &str) -> String {
    let plain = format!("{value:.4}");
    // Too small for four places, and not 0.
    let text = match plain.parse::<f64>() {
        Ok(0.0) if value != 0.0 => format!("{value:.3e}"),
        _ => plain,
    };
    match unit {
        "1" => text,
        unit => format!("{text} {unit}"),
    }
}

/// With four decimals at most.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_means_are_no_zeros() {
        for (mean, unit, text) in [
            (-0.000_031_2, "1", "-3.120e-5"),
            (0.0, "mV", "0.0000 mV"),
            (-65.25, "mV", "-65.2500 mV"),
        ] {
            assert_eq!(value(mean, unit), text);
        }
    }
}
