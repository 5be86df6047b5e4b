//! What a simulation prints at its end.

use anyhow::Context;
use granule::dynamics::experiment::{ExperimentConfig, Group, Outcome, Trace};
use serde_json::{Map, Value, json};

use super::super::result::fact;
use crate::output::{self, duration};

pub struct Result<'a> {
    pub config: &'a ExperimentConfig,
    pub outcome: &'a Outcome,
    pub device: String,
}

/// Cells that are listed one by one.
const LISTED: usize = 30;

impl Result<'_> {
    pub fn json(&self) -> anyhow::Result<Value> {
        let mut result = if self.config.unit.is_some() {
            self.cells()
        } else {
            self.whole()
        };
        let end = json!({
            "duration_ms": self.outcome.reached,
            "dt_ms": self.config.dt,
            "solver": self.outcome.solver,
            "device": self.device,
            "seed": self.config.seed,
            "version": env!("CARGO_PKG_VERSION"),
            "config": serde_json::to_value(self.config).context("cannot write the configuration as JSON")?,
        });
        if let (Some(result), Value::Object(end)) = (result.as_object_mut(), end) {
            result.extend(end);
        }
        Ok(result)
    }

    fn cells(&self) -> Value {
        let cells = self
            .outcome
            .spikes
            .iter()
            .enumerate()
            .map(|(cell, spikes)| {
                let state: Map<String, Value> = self
                    .outcome
                    .last
                    .iter()
                    .map(|trace| (trace.name.clone(), json!(trace.values.get(cell))))
                    .collect();
                json!({
                    "spike_times_ms": spikes.times,
                    "rate_hz": spikes.rate_hz(self.outcome.reached),
                    "mean_rate_hz": spikes.mean_rate_hz(0.0, self.outcome.reached),
                    "final_state": state,
                })
            });
        json!({ "cells": cells.collect::<Vec<_>>() })
    }

    fn whole(&self) -> Value {
        let state: Map<String, Value> = self
            .outcome
            .last
            .iter()
            .map(|trace| (trace.name.clone(), json!(trace.values)))
            .collect();
        let mut result = Map::new();
        let rates: Map<String, Value> = self
            .outcome
            .groups
            .iter()
            .map(|group| (group.name.clone(), json!(self.outcome.mean_rate_hz(group))))
            .collect();
        if !rates.is_empty() {
            result.insert("mean_rate_hz".into(), Value::Object(rates));
            let variation = self.outcome.interval_variation();
            result.insert("interval_variation".into(), json!(variation));
        }
        if !self.outcome.groups.is_empty() {
            let times = |group: &Group| -> Vec<&Vec<f64>> {
                let cells = self.outcome.spikes.get(group.cells.clone());
                cells.unwrap_or_default().iter().map(|c| &c.times).collect()
            };
            let groups = self.outcome.groups.iter();
            let spikes: Map<String, Value> = groups
                .map(|group| (group.name.clone(), json!(times(group))))
                .collect();
            result.insert("spike_times_ms".into(), Value::Object(spikes));
        }
        let means: Map<String, Value> = self
            .outcome
            .traces
            .iter()
            .map(|trace| (trace.name.clone(), json!(mean(trace))))
            .collect();
        result.insert("mean".into(), Value::Object(means));
        result.insert("final_state".into(), Value::Object(state));
        Value::Object(result)
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
            for trace in &outcome.traces {
                fact(
                    "mean",
                    &format!("{} {}", trace.name, value(mean(trace), &trace.unit)),
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
                "{} ms in steps of {} ms, {}, on {}, in {}",
                number(outcome.reached),
                self.config.dt,
                match outcome.solver.as_str() {
                    "exact" => "exactly",
                    other => other,
                },
                self.device,
                duration(seconds)
            ),
        )
    }

    fn show_cells(&self) -> anyhow::Result<()> {
        let spikes = &self.outcome.spikes;
        let currents = self.config.unit.as_ref().map(|unit| unit.current());
        let currents = currents.map_or(&[][..], |current| current.as_slice());
        for (index, cell) in spikes.iter().take(LISTED).enumerate() {
            let label = match currents.get(index) {
                Some(current) if currents.len() > 1 => {
                    let unit = self.config.unit.as_ref().map(|unit| unit.current_unit());
                    match unit.unwrap_or("1") {
                        "1" => format!("{}: ", number(*current)),
                        unit => format!("{} {unit}: ", number(*current)),
                    }
                }
                _ if spikes.len() > 1 => format!("cell {index}: "),
                _ => String::new(),
            };
            let count = output::counted(cell.times.len(), "spike");
            let reached = self.outcome.reached;
            let mean = cell.mean_rate_hz(0.0, reached);
            let text = match cell.times.as_slice() {
                [] => "no spike".into(),
                [at] => format!("1 spike, at {at:.4} ms"),
                [first, .., last] if cell.fell_silent(reached) => {
                    format!(
                        "{count}, from {first:.4} to {last:.4} ms, then silent: 0 Hz at the end, {mean:.2} Hz in the mean"
                    )
                }
                [first, .., last] => format!(
                    "{count}, from {first:.4} to {last:.4} ms, {:.2} Hz at the end, {mean:.2} Hz in the mean",
                    cell.rate_hz(reached)
                ),
            };
            fact("cell", &format!("{label}{text}"))?;
        }
        if spikes.len() > LISTED {
            fact(
                "",
                &format!("and {} more; --json has them all", spikes.len() - LISTED),
            )?;
        }
        if let ([cell], 1) = (spikes.as_slice(), spikes.len())
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

fn mean(trace: &Trace) -> f64 {
    trace.values.iter().sum::<f64>() / trace.values.len().max(1) as f64
}

fn value(value: f64, unit: &str) -> String {
    match unit {
        "1" => format!("{value:.4}"),
        unit => format!("{value:.4} {unit}"),
    }
}

/// Without the noise of binary fractions.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
