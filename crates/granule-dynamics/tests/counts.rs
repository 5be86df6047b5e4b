//! Spikes of cells in a model of several levels, counted from sample to sample.
#![allow(clippy::unwrap_used)]

use granule_device::DeviceSpec;
use granule_dynamics::composite::{MultiGranularityConfig, MultiGranularityModel};
use granule_dynamics::gradient::{Memory, Run, gradient};
use granule_dynamics::model::{Clock, Dynamics};
use granule_dynamics::{Grid, Model, NoInput, Place, QuantityKind, State, host, record_every};

/// Cells in steps of a quarter of the whole's, which a slow oscillation drives over a gain.
fn driven(gain: f64, observe: &str) -> MultiGranularityConfig {
    serde_json::from_str(&format!(
        r#"{{"dt": 1.0, "level": [
            {{"name": "drive", "system": {{"kind": "linear", "a": [[0.0, -0.03], [0.03, 0.0]], "b": [], "initial": [3.0, 0.0]}}}},
            {{"name": "cells", "dt": 0.25, "unit": {{"kind": "lif", "cells": 3, "current": [14.0, 25.0, 40.0]}}}}
        ], "coupler": [{{"from": "drive.x", "to": "cells", "conversion": {{"kind": "drive-to-current"}},
            "projection": {{"mean": {{"gain": {gain}}}}}}}], "observe": [{observe}]}}"#
    ))
    .unwrap()
}

const COUNTED: &str = r#""cells.spikes""#;

fn place(autodiff: bool) -> Place {
    let device = DeviceSpec::Flex.open().unwrap().burn().clone();
    Place::f64(&if autodiff { device.autodiff() } else { device })
}

fn counting(gain: f64, observe: &str, every: usize, place: &Place) -> MultiGranularityModel {
    let model = driven(gain, observe).init(place).unwrap();
    model.counting(every)
}

#[test]
fn spikes_are_counted_from_sample_to_sample() {
    let model = counting(2.0, COUNTED, 3, &place(false));
    assert_eq!(model.outputs()[0].kind, QuantityKind::Spikes);
    let dynamics = model.dynamics().unwrap();
    let mut state = model.initial_state(1).unwrap();
    let (mut expected, mut all) = ([0.0; 3], 0.0);
    for step in 0..60 {
        let at = Clock {
            step,
            time: step as f64,
            dt: 1.0,
        };
        let mut watch = |level: usize, _: f64, own: &State| {
            if level == 1 {
                let spikes = host(own[1].clone())?;
                expected
                    .iter_mut()
                    .zip(&spikes)
                    .for_each(|(sum, x)| *sum += x);
            }
            Ok(())
        };
        state = dynamics.step_watched(at, &state, None, &mut watch).unwrap();
        if (step + 1) % 3 == 0 {
            assert_eq!(host(dynamics.observe(&state)).unwrap(), expected);
            all += expected.iter().sum::<f64>();
            expected = [0.0; 3];
        }
    }
    assert!(all > 12.0, "{all}");
}

/// Levels of different widths, named in another order than they have.
#[test]
fn counts_of_several_levels_are_seen_in_the_order_asked_for() {
    let place = place(false);
    let seen = |observe: &str| {
        let settings: MultiGranularityConfig = serde_json::from_str(&format!(
            r#"{{"dt": 1.0, "level": [
                {{"name": "a", "unit": {{"kind": "lif", "cells": 2, "current": [20.0, 30.0]}}}},
                {{"name": "b", "unit": {{"kind": "lif", "cells": 3, "current": [14.0, 25.0, 40.0]}}}}
            ], "observe": [{observe}]}}"#
        ))
        .unwrap();
        let model = settings.init(&place).unwrap().counting(50);
        let start = model.initial_state(1).unwrap();
        let grid = Grid::over(50.0, 1.0).unwrap();
        let dynamics = model.dynamics().unwrap();
        let (seen, _) = record_every(&dynamics, start, &NoInput, &grid, 50).unwrap();
        host(seen.narrow(0, 1, 1)).unwrap()
    };
    let (a, b) = (seen(r#""a.spikes""#), seen(r#""b.spikes""#));
    let mut all = [a.clone(), b.clone()].concat();
    assert_eq!(seen(r#""a.spikes", "b.spikes""#), all);
    assert_eq!(seen(r#""b.spikes", "a.spikes""#), [b, a].concat());
    all.dedup();
    assert!(all.len() > 3 && all.iter().sum::<f64>() > 8.0, "{all:?}");
}

/// Of counts in two bins, by the gain, against differences of the numbers with the share of the way to the next spike.
#[test]
fn the_gradient_of_counts_is_that_of_the_way_from_spike_to_spike() {
    const EVERY: usize = 50;
    let grid = Grid::over(100.0, 1.0).unwrap();
    let weights = [0.3, -1.0, 0.7];
    let smooth = |gain: f64| {
        let model = counting(gain, r#""cells.spikes", "cells.v""#, EVERY, &place(false));
        let start = model.initial_state(1).unwrap();
        let dynamics = model.dynamics().unwrap();
        let (seen, _) = record_every(&dynamics, start, &NoInput, &grid, EVERY).unwrap();
        let seen = host(seen).unwrap();
        // The threshold is 10 mV above the reset.
        let way = |sample: usize, cell: usize| {
            let row = |sample: usize| &seen[6 * sample..6 * sample + 6];
            row(sample)[cell] + (row(sample)[3 + cell] - row(sample - 1)[3 + cell]) / 10.0
        };
        let cells = weights.iter().enumerate();
        cells
            .map(|(cell, weight)| weight * (way(1, cell) - 2.0 * way(2, cell)))
            .sum::<f64>()
    };
    let difference = (smooth(2.0 + 1e-6) - smooth(2.0 - 1e-6)) / 2e-6;
    assert!(difference.abs() > 0.01, "{difference}");
    let place = place(true);
    let model = counting(2.0, COUNTED, EVERY, &place);
    for memory in [Memory::Full, Memory::Segments(4)] {
        let run = Run {
            initial: None,
            batch: 1,
            input: &NoInput,
            grid: &grid,
            every: EVERY,
            memory: &memory,
        };
        let factors = place.tensor(weights.to_vec(), [1, 1, 3]);
        let mut found = gradient(&model, &run, |seen| {
            let sample = |at: usize| seen.clone().narrow(0, at, 1) * factors.clone();
            (sample(1) - sample(2).mul_scalar(2.0)).sum()
        })
        .unwrap();
        assert_eq!(found.tape, None);
        let counts = host(found.observed).unwrap();
        assert!(
            counts.iter().all(|count| count.fract() == 0.0),
            "{counts:?}"
        );
        let gain = model.couplers[0].gain.as_ref().unwrap().raw.id;
        let slope = host(found.parameters.remove::<2>(gain).unwrap()).unwrap()[0];
        let apart = (slope - difference).abs();
        assert!(apart < 1e-5 * difference.abs(), "{slope} {difference}");
    }
}

/// A model that counts over 3 steps, or observes no counts at all, seen after every 50.
#[test]
fn counts_over_other_steps_than_are_observed_are_refused() {
    let place = place(true);
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &Grid::over(100.0, 1.0).unwrap(),
        every: 50,
        memory: &Memory::Full,
    };
    for memory in [Memory::Full, Memory::Segments(4)] {
        let run = Run {
            memory: &memory,
            ..run.clone()
        };
        let of = |model| gradient(&model, &run, |seen| seen.sum()).map(|_| ());
        let error = of(counting(2.0, COUNTED, 3, &place)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("every = 50"), "{error}");
        assert!(error.contains("3, for the model counts"), "{error}");
        of(counting(2.0, r#""cells.v""#, 3, &place)).unwrap();
    }
    let model = counting(2.0, COUNTED, 3, &place);
    let start = model.initial_state(1).unwrap();
    let dynamics: Box<dyn Dynamics> = Box::new(model.dynamics().unwrap());
    assert!(record_every(&dynamics, start, &NoInput, run.grid, 50).is_err());
}

#[test]
fn levels_without_a_way_to_the_next_spike_are_named() {
    let place = place(false);
    for observe in [r#""drive.spikes""#, r#""cell.spikes""#] {
        let error = driven(1.0, observe).init(&place).unwrap_err().to_string();
        assert!(error.contains(observe), "{error}");
    }
    let mut settings = driven(1.0, COUNTED);
    settings.couplers.clear();
    settings.levels[1].unit = Some(granule_dynamics::unit::UnitConfig::from_name("qif").unwrap());
    let error = settings.init(&place).unwrap_err().to_string();
    assert!(error.contains("lif cells as the level cells"), "{error}");
}
