//! Whole simulations, from the initial state to what is recorded.

use std::ops::ControlFlow;
use std::time::Instant;

use granule::dynamics::Place;
use granule::simulate::ExperimentConfig;
use granule::simulate::presets::PRESETS;
use toml::{Table, Value};

use super::{Bench, Prepared, Row, Took};

/// A round may take so many times what all rounds should take together.
const PATIENCE: f64 = 3.0;

pub(super) const ROWS: &[Row] = &[
    row!(
        "simulate-hodgkin-huxley",
        |bench| cells(bench, 1),
        Seconds,
        "one cell for 150 ms, 6,000 steps of RK4, f64 on a CPU"
    ),
    row!(
        "simulate-hodgkin-huxley-1000",
        |bench| cells(bench, 1000),
        Seconds,
        "a thousand of them"
    ),
    row!(
        "simulate-balanced-network-1000",
        |bench| balanced(bench, 1000),
        Seconds,
        "1,000 integrate-and-fire cells for a second, 10,000 steps, f64 on a CPU"
    ),
    row!(
        "simulate-balanced-network-2000",
        |bench| balanced(bench, 2000),
        Seconds,
        "2,000 of them"
    ),
    row!(
        "simulate-balanced-network-4000",
        |bench| balanced(bench, 4000),
        Seconds,
        "4,000 of them"
    ),
    row!(
        "simulate-balanced-network-10000",
        |bench| balanced(bench, 10_000),
        Seconds,
        "10,000 of them, 10 million synapses"
    ),
    row!(
        "simulate-jansen-rit",
        |bench| preset(bench, "jansen-rit", &[]),
        Milliseconds,
        "a cortical column for 2 s, 4,000 steps of RK4, f64 on a CPU"
    ),
    row!(
        "simulate-whole-brain",
        |bench| preset(bench, "whole-brain", &[]),
        Milliseconds,
        "ten areas with delays and BOLD for 30 s, 30,000 steps, f64 on a CPU"
    ),
    row!(
        "cells-10000",
        |bench| many_cells(bench, 10_000),
        CellSteps,
        "10,000 Hodgkin-Huxley cells, exponential Euler, in f32"
    ),
];

fn cells<'a>(bench: &'a Bench<'a>, cells: i64) -> anyhow::Result<Prepared<'a>> {
    let changes = [
        ("duration", Value::Float(150.0)),
        ("dt", Value::Float(0.025)),
        ("unit.cells", Value::Integer(cells)),
        ("record.every", Value::Integer(1000)),
    ];
    preset(bench, "hodgkin-huxley", &changes)
}

/// Networks of so many cells, each of which reaches a tenth of them.
pub(super) fn balanced<'a>(bench: &'a Bench<'a>, cells: i64) -> anyhow::Result<Prepared<'a>> {
    let excitatory = cells * 4 / 5;
    let changes = [
        ("duration", Value::Float(1000.0)),
        ("dt", Value::Float(0.1)),
        ("network.excitatory", Value::Integer(excitatory)),
        ("network.inhibitory", Value::Integer(cells - excitatory)),
        ("record.every", Value::Integer(1000)),
    ];
    preset(bench, "balanced-network", &changes)
}

/// Areas of which each is reached by all others, over distances up to 100 mm, for so many steps.
pub(super) fn areas<'a>(
    bench: &'a Bench<'a>,
    areas: usize,
    steps: usize,
) -> anyhow::Result<Prepared<'a>> {
    let table = |value: &dyn Fn(usize, usize) -> f64| {
        let row = |i: usize| {
            (0..areas).map(move |j| Value::Float(if i == j { 0.0 } else { value(i, j) }))
        };
        Value::Array((0..areas).map(|i| Value::Array(row(i).collect())).collect())
    };
    let mut distances = Table::new();
    distances.insert("speed".into(), Value::Float(10.0));
    let length = |i: usize, j: usize| 100.0 * i.abs_diff(j) as f64 / areas as f64;
    distances.insert("lengths".into(), table(&length));
    let mut delays = Table::new();
    delays.insert("distances".into(), distances.into());
    let changes = [
        ("duration", Value::Float(steps as f64)),
        ("dt", Value::Float(1.0)),
        ("system.nodes", Value::Integer(areas as i64)),
        ("connectivity.weights", table(&|_, _| 1.0 / areas as f64)),
        ("connectivity.delays", delays.into()),
        ("record.every", Value::Integer(1000)),
    ];
    preset(bench, "whole-brain", &changes)
}

/// A preset with some keys set otherwise, in f64 on a CPU, else in f32.
fn preset<'a>(
    bench: &'a Bench<'a>,
    name: &str,
    changes: &[(&str, Value)],
) -> anyhow::Result<Prepared<'a>> {
    let device = bench.device.burn();
    let place = if bench.device.is_host() {
        Place::f64(device)
    } else {
        Place::f32(device)
    };
    preset_in(bench, &place, name, changes)
}

fn preset_in<'a>(
    bench: &'a Bench<'a>,
    place: &Place,
    name: &str,
    changes: &[(&str, Value)],
) -> anyhow::Result<Prepared<'a>> {
    let text = PRESETS.iter().find(|preset| preset.name == name);
    let mut table: Table = text.map_or("", |preset| preset.toml).parse()?;
    for (key, value) in changes {
        let (own, key) = match key.split_once('.') {
            None => (Some(&mut table), *key),
            Some((outer, key)) => {
                let inner = table.entry(outer).or_insert_with(|| Table::new().into());
                (inner.as_table_mut(), key)
            }
        };
        if let Some(own) = own {
            own.insert(key.into(), value.clone());
        }
    }
    let config: ExperimentConfig = table.try_into()?;
    let experiment = config.init(place)?;
    let patience = PATIENCE * bench.seconds;
    Ok(Prepared {
        count: 1.0,
        operations: None,
        round: Box::new(move || {
            let (mut began, mut done, mut last) = (None, 0, 0.0);
            experiment.run(|step, _| {
                // What is recorded and made ready comes before.
                let began = began.get_or_insert_with(Instant::now);
                (done, last) = (step, began.elapsed().as_secs_f64());
                if step > 0 && last > patience {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            anyhow::ensure!(done > 0, "no step was taken");
            Ok(Took {
                // Of one that was cut up to its last step, else with what is made of it.
                seconds: if done < experiment.steps() {
                    last
                } else {
                    began.map_or(last, |began| began.elapsed().as_secs_f64())
                },
                share: done as f64 / experiment.steps() as f64,
            })
        }),
    })
}

/// Cells with different currents.
pub(super) fn many_cells<'a>(bench: &'a Bench<'a>, cells: usize) -> anyhow::Result<Prepared<'a>> {
    const STEPS: usize = 2000;
    const DT: f64 = 0.025;
    let place = Place::f32(bench.device.burn());
    let currents = (0..cells).map(|i| Value::Float(20.0 * i as f64 / cells as f64));
    let changes = [
        ("duration", Value::Float(DT * STEPS as f64)),
        ("dt", Value::Float(DT)),
        ("solver", Value::String("exponential-euler".into())),
        ("unit.cells", Value::Integer(cells as i64)),
        ("unit.current", Value::Array(currents.collect())),
        ("record.every", Value::Integer(STEPS as i64)),
    ];
    Ok(Prepared {
        count: (cells * STEPS) as f64,
        ..preset_in(bench, &place, "hodgkin-huxley", &changes)?
    })
}
