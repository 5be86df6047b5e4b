//! What a part of the work costs against how much of it there is.

use std::process::{Command, ExitCode};

use anyhow::Context;
use granule::chart::{Figure, Mark, Panel};
use granule::io::words::shortened;
use granule::train::Compute;
use serde_json::json;

use super::{Bench, Prepared, Unit, simulation, training};
use crate::args;
use crate::failure::Usage;
use crate::output;
use crate::plot::Plot;

/// One quantity that grows.
struct Series {
    name: &'static str,
    /// What is along the axis.
    axis: &'static str,
    what: &'static str,
    unit: Unit,
    /// What costs that.
    part: &'static str,
    curves: &'static [Curve],
}

/// One of the things that are measured.
struct Curve {
    name: &'static str,
    at: &'static [usize],
    cost: fn(&Measure<'_>, usize) -> anyhow::Result<f64>,
}

/// What measures a point of a curve.
struct Measure<'a> {
    bench: &'a Bench<'a>,
    unit: Unit,
    curve: &'static str,
}

const BATCHES: &[usize] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
/// Those up to the number of processors are taken.
const THREADS: &[usize] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];
/// Trials of the rate networks.
const TRIALS: usize = 16;

/// A row of the bench on more and more threads.
const fn row(name: &'static str) -> Curve {
    Curve {
        name,
        at: THREADS,
        cost: |of, threads| of.on_threads(threads),
    }
}

const ALL: &[Series] = &[
    Series {
        name: "batch",
        axis: "images a batch",
        what: "training of the classifiers, with the optimizer's step",
        unit: Unit::Microseconds,
        part: "an image",
        curves: &[
            Curve {
                name: "mlp",
                at: BATCHES,
                cost: |of, batch| {
                    of.median(training::mlp(
                        of.bench,
                        batch,
                        images(batch, 2048),
                        Compute::F32,
                    ))
                },
            },
            Curve {
                name: "lenet",
                at: BATCHES,
                cost: |of, batch| {
                    of.median(training::lenet(
                        of.bench,
                        batch,
                        images(batch, 512),
                        Compute::F32,
                    ))
                },
            },
            Curve {
                name: "cnn",
                at: BATCHES,
                cost: |of, batch| {
                    of.median(training::cnn(
                        of.bench,
                        batch,
                        images(batch, 32),
                        Compute::F32,
                    ))
                },
            },
        ],
    },
    Series {
        name: "units",
        axis: "units N",
        what: "a training step of a rate network, 20 time steps, 16 trials: each of N² connections",
        unit: Unit::Nanoseconds,
        part: "a connection",
        curves: &[Curve {
            name: "rate network",
            at: &[64, 128, 256, 512, 1024, 2048, 4096],
            cost: |of, units| {
                let step = of.median(training::rate(of.bench, units, [TRIALS, 20]))?;
                Ok(step / (units * units) as f64)
            },
        }],
    },
    Series {
        name: "steps",
        axis: "time steps T",
        what: "a training step of a rate network of 64 units, 16 trials: each of T time steps",
        unit: Unit::Microseconds,
        part: "a time step",
        curves: &[Curve {
            name: "rate network",
            at: &[10, 30, 100, 300, 1000, 3000, 10_000],
            cost: |of, steps| {
                let step = of.median(training::rate(of.bench, 64, [TRIALS, steps]))?;
                Ok(step / steps as f64)
            },
        }],
    },
    Series {
        name: "cells",
        axis: "cells",
        what: "Hodgkin-Huxley cells by exponential Euler in f32: each step of a cell",
        unit: Unit::Nanoseconds,
        part: "a cell's step",
        curves: &[Curve {
            name: "Hodgkin-Huxley",
            at: &[1, 10, 100, 1000, 10_000, 100_000, 1_000_000],
            cost: |of, cells| of.median(simulation::many_cells(of.bench, cells)),
        }],
    },
    Series {
        name: "areas",
        axis: "areas",
        what: "areas that all reach each other with delays, and their BOLD signals: each step of an area",
        unit: Unit::Nanoseconds,
        part: "an area's step",
        curves: &[Curve {
            name: "reduced Wong-Wang",
            at: &[2, 5, 10, 20, 50, 100, 200, 500, 1000],
            cost: |of, areas| {
                let steps = (5_000_000 / (areas * areas)).clamp(100, 10_000);
                let run = of.median(simulation::areas(of.bench, areas, steps))?;
                Ok(run / (areas * steps) as f64)
            },
        }],
    },
    Series {
        name: "synapses",
        axis: "synapses",
        what: "balanced networks of cells that reach a tenth of each other, for a second: each synapse",
        unit: Unit::Nanoseconds,
        part: "a synapse",
        curves: &[Curve {
            name: "balanced network",
            at: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
            cost: |of, synapses| {
                let cells = (10.0 * synapses as f64).sqrt().round() as i64;
                let run = of.median(simulation::balanced(of.bench, cells))?;
                Ok(run / synapses as f64)
            },
        }],
    },
    Series {
        name: "threads",
        axis: "threads",
        what: "rows of `granule bench`, each in a process of so many threads: its time to that on one",
        unit: Unit::Share,
        part: "time to that on one thread",
        curves: &[
            row("train-mlp"),
            row("train-lenet"),
            row("train-cnn"),
            row("train-rate"),
            row("cells-10000"),
            row("simulate-balanced-network-10000"),
        ],
    },
];

/// Four batches, or more of small ones.
fn images(batch: usize, least: usize) -> usize {
    (4 * batch).max(least)
}

impl Measure<'_> {
    fn median<'a>(&'a self, prepared: anyhow::Result<Prepared<'a>>) -> anyhow::Result<f64> {
        Ok(self.bench.measure(prepared?, self.unit)?.median)
    }

    /// The time of a row, in any unit: how many threads there are is settled when a process begins.
    fn on_threads(&self, threads: usize) -> anyhow::Result<f64> {
        let out = Command::new(std::env::current_exe()?)
            .args(["bench", self.curve, "--json", "--device"])
            .arg(self.bench.device.spec().to_string())
            .args(["--seconds", &self.bench.seconds.to_string()])
            .env("RAYON_NUM_THREADS", threads.to_string())
            .output()
            .context("granule does not start itself")?;
        let failed = || {
            let said = String::from_utf8_lossy(&out.stderr);
            format!(
                "`granule bench {}` on {threads} threads: {said}",
                self.curve
            )
        };
        anyhow::ensure!(out.status.success(), failed());
        let mut lines = out.stdout.split(|byte| *byte == b'\n');
        let last = lines.rfind(|line| !line.is_empty());
        let row: serde_json::Value = serde_json::from_slice(last.with_context(failed)?)?;
        let median = row["median"].as_f64().with_context(failed)?;
        let a_second = row["unit"]
            .as_str()
            .is_some_and(|unit| unit.ends_with("/s"));
        Ok(if a_second { 1.0 / median } else { median })
    }
}

fn series(name: &str) -> Result<&'static Series, Usage> {
    ALL.iter()
        .find(|series| series.name == name)
        .ok_or_else(|| {
            let known: Vec<&str> = ALL.iter().map(|series| series.name).collect();
            Usage::new(format!(
                "--against {}: there is no such series",
                shortened(name)
            ))
            .hint(format!("there are {}", known.join(", ")))
        })
}

/// The names of all series, and what they are.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().map(|series| (series.name, series.what))
}

/// Where a series is drawn, if it is.
pub(super) fn plot(args: &args::Bench) -> Result<Option<Plot>, Usage> {
    args.against.as_deref().map(series).transpose()?;
    let plot = args.plot.as_deref();
    plot.map(|path| Plot::new(path, args::FigureSize::default(), None))
        .transpose()
}

pub(super) fn run(
    name: &str,
    json: bool,
    plot: Option<Plot>,
    bench: &Bench<'_>,
) -> anyhow::Result<ExitCode> {
    let series = series(name)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let unit = match series.unit {
        Unit::Share => String::new(),
        unit => format!(" ({})", unit.name()),
    };
    let mut panel = Panel::new(format!("{}{unit}", series.part)).logarithmic();
    let mut measured = 0;
    for curve in series.curves {
        let measure = Measure {
            bench,
            unit: series.unit,
            curve: curve.name,
        };
        let mut points: Vec<(f64, f64)> = Vec::new();
        let mut first = None;
        for at in curve.at {
            if curve.at == THREADS && *at > cores {
                break;
            }
            let mut cost = match (curve.cost)(&measure, *at) {
                Ok(cost) => cost,
                // What was measured is worth a figure.
                Err(error) => {
                    let what =
                        format!("{} of {} {}", curve.name, output::grouped(*at), series.axis);
                    output::warn(&format!("{what} and more are left out: {error:#}"));
                    break;
                }
            };
            if series.unit == Unit::Share {
                cost /= *first.get_or_insert(cost);
            }
            points.push((*at as f64, cost));
            if json {
                let fields = json!({
                    "against": series.name,
                    "what": curve.name,
                    "at": at,
                    "unit": series.unit.name(),
                    "cost": cost,
                });
                output::event("point", fields)?;
            } else {
                output::line(&format!(
                    "{:<20}  {:>10} {}  {:>9} {} {}",
                    curve.name,
                    output::grouped(*at),
                    series.axis,
                    series.unit.text(cost),
                    series.unit.name(),
                    series.part,
                ))?;
            }
        }
        measured += points.len();
        panel = panel.with(Mark::line(curve.name, points));
    }
    anyhow::ensure!(measured > 0, "no point of the series was measured");
    if let Some(plot) = plot {
        let figure = Figure::new(series.what, series.axis).logarithmic();
        for path in plot.write(&figure.with(panel))? {
            output::note(&format!("wrote {}", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_have_names_of_their_own_and_rows_that_there_are() {
        let names: Vec<&str> = all().map(|(name, _)| name).collect();
        for name in &names {
            assert_eq!(series(name).unwrap().name, *name);
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
        }
        let wrong = series("cell").err().unwrap();
        assert!(format!("{wrong:?}").contains("synapses"), "{wrong:?}");
        for series in ALL {
            for curve in series.curves {
                assert!(curve.at.is_sorted() && !curve.at.is_empty());
                if curve.at == THREADS {
                    assert!(
                        super::super::chosen(&[curve.name.into()]).is_ok(),
                        "{}",
                        curve.name
                    );
                }
            }
        }
    }
}
