mod couplers;
mod learnt;
mod noise;
mod plastic;
mod synapses;
mod training;

use burn::tensor::Tensor;

use super::*;
use crate::differences::{assert_gradient, trained};
use crate::simulate::{Grid, record};
use crate::state::host;
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_place, f64_places};
use crate::{ConstantInput, Dynamics, NoInput};

fn config(text: &str) -> MultiGranularityConfig {
    serde_json::from_str(text).unwrap()
}

/// Cells → population → system, and back from the system to the population and from the population to the cells.
fn three_levels(cells: usize, units: usize) -> MultiGranularityConfig {
    config(&format!(
        r#"{{
        "dt": 0.5, "seed": 3,
        "level": [
            {{"name": "cells", "dt": 0.05, "external": true,
              "unit": {{"kind": "hodgkin-huxley", "cells": {cells}, "current": 8.0}}}},
            {{"name": "population", "inputs": 2, "population": {{"units": {units}, "time_constant": [10.0]}}}},
            {{"name": "system", "solver": "rk4",
              "system": {{"kind": "linear", "a": [[-0.05, -0.1], [0.1, -0.05]], "b": [[0.1], [0.0]]}}}}
        ],
        "coupler": [
            {{"from": "cells.v", "to": "population", "channels": 1, "time_constant": 5.0,
              "conversion": {{"kind": "voltage-to-rate"}}, "projection": {{"mean": {{"gain": 2.0}}}}}},
            {{"from": "population.output", "to": "system", "conversion": {{"kind": "rate-to-drive"}},
              "projection": {{"mean": {{"gain": 1.5}}}}}},
            {{"from": "system.x", "to": "population", "channel": 1, "channels": 1, "delay": 1.5,
              "conversion": {{"kind": "drive-to-rate"}}, "projection": {{"random": {{"gain": 0.5, "seed": 1}}}}}},
            {{"from": "population.output", "to": "cells", "conversion": {{"kind": "rate-to-current"}},
              "projection": {{"random": {{"gain": 1.0, "seed": 2}}}}}}
        ],
        "observe": ["cells.v", "population.output", "system.x"]
    }}"#
    ))
}

fn grid(steps: usize) -> Grid {
    Grid::Uniform {
        start: 0.0,
        dt: 0.5,
        steps,
    }
}

#[test]
fn one_call_steps_all_levels_on_every_backend() {
    let run = |place: &Place| {
        let model = three_levels(3, 4).init(place).unwrap();
        let dynamics = model.dynamics().unwrap();
        let input = ConstantInput(place.tensor(vec![0.0, 2.0, -20.0], [1, 3]));
        let start = model.initial_state(2).unwrap();
        let (seen, last) = record(&dynamics, start, &input, &grid(40)).unwrap();
        assert_eq!(seen.dims(), [41, 2, 3 + 4 + 2]);
        assert_eq!(last.len(), dynamics.variables().len());
        host(seen.narrow(0, 40, 1)).unwrap()
    };
    let places = f64_places();
    let reference = run(&places[0].1);
    // The third cell is silenced by its input.
    assert!(reference[0] > reference[2] || reference[1] > reference[2]);
    for (name, place) in places.iter().skip(1) {
        for (a, b) in run(place).iter().zip(&reference) {
            // The upstroke of a spike amplifies how the backends round.
            assert_close(*a, *b, 1e-6);
            assert!(a.is_finite(), "{name}");
        }
    }
    for (name, place) in f32_places() {
        for (a, b) in run(&place).iter().zip(&reference) {
            assert!((a - b).abs() < 2e-2 * b.abs().max(1.0), "{name}: {a} {b}");
        }
    }
}

#[test]
fn what_is_sent_arrives_filtered_scaled_and_late() {
    // A system at its constant 1 sends to a silent population with τ = dt, whose x is then what arrived.
    let make = |coupler: &str| {
        let text = format!(
            r#"{{"dt": 1.0, "level": [
                {{"name": "s", "system": {{"kind": "linear", "a": [[0.0]], "b": [], "initial": 1.0}}}},
                {{"name": "p", "inputs": 1,
                  "population": {{"units": 1, "time_constant": [1.0], "recurrence": {{"sparse": {{"density": 1.0}}}}}}}}
            ], "coupler": [{coupler}], "observe": ["p.x"]}}"#
        );
        let place = f64_places().swap_remove(0).1;
        let mut model = config(&text).init(&place).unwrap();
        for level in &mut model.levels {
            if let LevelModel::Population(network) = &mut level.model {
                network.input = network.input.clone().map(|w| w.map(|w| w.ones_like()));
                if let crate::population::RecurrentWeights::Dense(weights) = &mut network.recurrent
                {
                    weights.raw = weights.raw.clone().map(|w| w.zeros_like());
                }
            }
        }
        let dynamics = model.dynamics().unwrap();
        let start = model.initial_state(1).unwrap();
        let (seen, _) = record(&dynamics, start, &NoInput, &Grid::over(5.0, 1.0).unwrap()).unwrap();
        host(seen).unwrap()
    };
    let common = r#""from": "s.x", "to": "p", "conversion": {"kind": "drive-to-rate"}"#;
    let plain = make(&format!(
        r#"{{{common}, "projection": {{"mean": {{"gain": 3.0}}}}}}"#
    ));
    assert_eq!(plain, [0.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
    let late = make(&format!(r#"{{{common}, "delay": 2.0}}"#));
    assert_eq!(late, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let filtered = make(&format!(r#"{{{common}, "time_constant": 4.0}}"#));
    for (step, x) in filtered.iter().enumerate().skip(1) {
        // The filter has seen step − 1 steps when the step begins.
        assert_close(*x, 1.0 - (-(step as f64 - 1.0) / 4.0).exp(), 1e-12);
    }
    let scaled = make(
        r#"{"from": "s.x", "to": "p", "conversion": {"kind": "scale", "from": "1", "to": "1", "factor": -0.5}}"#,
    );
    assert_eq!(scaled[1], -0.5);
}

fn tracked(model: &MultiGranularityModel) -> usize {
    trained(model).len()
}

/// [`three_levels`] with something to train in each of them.
fn trainable_levels() -> MultiGranularityConfig {
    let mut settings = three_levels(2, 3);
    settings.levels[0].unit = Some(
        serde_json::from_str(
            r#"{"kind": "hodgkin-huxley", "cells": 2, "current": 8.0, "trainable": ["g_na", "current"]}"#,
        )
        .unwrap(),
    );
    if let Some(crate::system::SystemConfig::Linear(system)) = &mut settings.levels[2].system {
        system.trainable = vec!["a".into(), "b".into()];
    }
    settings
}

#[test]
fn one_backward_pass_reaches_every_level_and_agrees_with_differences() {
    let settings = trainable_levels();
    for (_, place) in f64_places() {
        let model = settings
            .init(&Place::f64(&place.device.autodiff()))
            .unwrap();
        assert!(tracked(&model) >= 10, "{}", tracked(&model));
        let loss = |seen: Tensor<3>| {
            // Of one size, so that no level drowns the others.
            let cells = seen.clone().narrow(2, 0, 2).mul_scalar(0.02).sin().sum();
            let rest = seen.narrow(2, 2, 5);
            cells + (rest.clone() * rest).sum()
        };
        assert_gradient(&model, &NoInput, (0.5, 12), loss, 1e-5, 1e-5);
    }
}

#[test]
fn levels_are_trained_alone_together_or_in_turn() {
    let model = three_levels(2, 3).init(&f64_autodiff()).unwrap();
    let all = tracked(&model);
    let population = tracked(&model.clone().train_only(&["population"]).unwrap());
    let couplers = tracked(&model.clone().train_only(&["couplers"]).unwrap());
    assert_eq!(couplers, 4);
    assert!(population > 0 && population + couplers <= all);
    assert_eq!(tracked(&model.clone().train_only(&[]).unwrap()), 0);
    let error = model.train_only(&["cell"]).unwrap_err().to_string();
    assert!(
        error.contains("cells, population, system, couplers"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let place = f64_places().swap_remove(0).1;
    let broken = |change: &dyn Fn(&mut MultiGranularityConfig)| {
        let mut settings = three_levels(2, 3);
        change(&mut settings);
        settings.init(&place).unwrap_err().to_string()
    };
    let error = broken(&|c| c.couplers[0].conversion = Conversion::RateToDrive);
    assert!(
        error.contains("cells.v is in mV") && error.contains("takes 1"),
        "{error}"
    );
    let error = broken(&|c| c.couplers[3].conversion = Conversion::RateToDrive);
    assert!(error.contains("µA/cm²"), "{error}");
    let error = broken(&|c| c.couplers[2].delay = 0.2);
    assert!(
        error.contains("coupler[2].delay = 0.2") && error.contains("0.5 ms"),
        "{error}"
    );
    let error = broken(&|c| c.levels[0].dt = Some(0.3));
    assert!(error.contains("level.cells.dt = 0.3"), "{error}");
    let error = broken(&|c| c.levels[0].dt = Some(-1.0));
    assert!(error.contains("level.cells.dt"), "{error}");
    let error = broken(&|c| c.couplers[0].from = "cells.w".into());
    assert!(
        error.contains("cells.v") && error.contains("population.output"),
        "{error}"
    );
    let error = broken(&|c| c.couplers[0].to = "systm".into());
    assert!(error.contains("cells, population, system"), "{error}");
    let error = broken(&|c| c.couplers[0].channels = Some(3));
    assert!(error.contains("2 input channels"), "{error}");
    let error = broken(&|c| c.couplers[0].projection = Projection::OneToOne { gain: 1.0 });
    assert!(error.contains("one-to-one"), "{error}");
    let error = broken(&|c| c.levels[1].name = "cells".into());
    assert!(error.contains("another name"), "{error}");
    let error = broken(&|c| c.levels[1].population = None);
    assert!(error.contains("0 tables"), "{error}");
    let error = broken(&|c| {
        if let Some(population) = &mut c.levels[1].population {
            population.time_constant = (-1.0).into();
        }
    });
    assert!(error.contains("level.population.time_constant"), "{error}");
    let error = broken(&|c| c.couplers[0].time_constant = f64::NAN);
    assert!(error.contains("time_constant"), "{error}");

    let model = three_levels(2, 3).init(&place).unwrap();
    let dynamics = model.dynamics().unwrap();
    let start = || model.initial_state(1).unwrap();
    let wrong = ConstantInput(place.full(0.0, [1, 5]));
    let error = record(&dynamics, start(), &wrong, &grid(1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("input"), "{error}");
    let other = Grid::over(1.0, 0.25).unwrap();
    let error = record(&dynamics, start(), &NoInput, &other)
        .unwrap_err()
        .to_string();
    assert!(error.contains("dt = 0.25"), "{error}");
}
