use std::ops::ControlFlow;

use super::*;
use crate::host;
use crate::model::{Clock, Input};
use crate::testing::{assert_close, f64_place};
use crate::{DynamicsError, Grid};

fn run(text: &str) -> Outcome {
    let config: ExperimentConfig = serde_json::from_str(text).unwrap();
    let experiment = config.init(&f64_place()).unwrap();
    experiment.run(|_, _| ControlFlow::Continue(())).unwrap()
}

fn refused(text: &str) -> String {
    let config: ExperimentConfig = serde_json::from_str(text).unwrap();
    let error: DynamicsError = config.init(&f64_place()).err().unwrap();
    error.to_string()
}

fn course(text: &str, duration: f64) -> Vec<f64> {
    let stimulus: StimulusConfig = serde_json::from_str(text).unwrap();
    let grid = Grid::over(duration, 0.5).unwrap();
    let input = stimulus.init(1, &grid, 7, &f64_place()).unwrap();
    let value = |step: usize| {
        let at = Clock {
            step,
            time: grid.time(step),
            dt: 0.5,
        };
        host(input.at(at).unwrap()).unwrap()[0]
    };
    (0..grid.steps()).map(value).collect()
}

#[test]
fn stimuli_have_their_courses() {
    let step = course(r#"{"kind": "step", "amplitude": 3, "onset": 1}"#, 2.0);
    assert_eq!(step, [0.0, 0.0, 3.0, 3.0]);
    let pulse = course(
        r#"{"kind": "pulse", "amplitude": 2, "onset": 0.5, "width": 1, "period": 2}"#,
        4.0,
    );
    assert_eq!(pulse, [0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0]);
    let sine = course(
        r#"{"kind": "sine", "amplitude": 2, "frequency": 100}"#,
        10.0,
    );
    for (n, x) in sine.iter().enumerate() {
        let t = 0.5 * n as f64 + 0.25;
        assert_close(*x, 2.0 * (std::f64::consts::TAU * 0.1 * t).sin(), 1e-12);
    }
}

/// Variance and correlation over one time constant of an Ornstein–Uhlenbeck process.
#[test]
fn noise_is_stationary_and_correlated() {
    let x = course(
        r#"{"kind": "noise", "amplitude": 2, "time_constant": 5}"#,
        50_000.0,
    );
    let mean = |lag: usize| {
        let pairs = x.iter().zip(&x[lag..]).map(|(a, b)| a * b);
        pairs.sum::<f64>() / (x.len() - lag) as f64
    };
    assert_close(mean(0), 4.0, 0.06);
    assert_close(mean(10) / mean(0), (-1.0_f64).exp(), 0.08);
}

#[test]
fn samples_and_columns_are_those_asked_for() {
    let base =
        r#""duration": 10, "dt": 0.1, "unit": {"model": "adex", "cells": 3, "current": 800}"#;
    let all = run(&format!("{{{base}}}"));
    let some = run(&format!(
        r#"{{{base}, "record": {{"every": 10, "variables": ["w", "v"], "columns": 2}}}}"#
    ));
    assert_eq!(all.times.len(), 101);
    assert_eq!(some.times.len(), 11);
    assert_eq!(some.traces.len(), 2);
    let (w, every) = (&some.traces[0], &all.traces[1]);
    assert_eq!((w.name.as_str(), w.width, w.unit.as_str()), ("w", 2, "pA"));
    let thinned: Vec<f64> = every.column(1).step_by(10).collect();
    assert_eq!(w.column(1).collect::<Vec<_>>(), thinned);
    assert_eq!(some.spikes, all.spikes);
    assert_eq!(some.last, all.last);
    assert!(some.complete);
}

#[test]
fn spikes_of_exact_cells_are_inside_their_steps() {
    // Reference numbers, section 3: τ ln(14/4), then 5 ms more each time.
    let outcome = run(r#"{"duration": 40, "dt": 0.7, "unit": {"model": "lif", "current": 14}}"#);
    let first = 10.0 * 3.5_f64.ln();
    let expected = [first, 2.0 * first + 5.0];
    assert_eq!(outcome.spikes[0].times.len(), 2);
    for (found, expected) in outcome.spikes[0].times.iter().zip(expected) {
        assert_close(*found, expected, 1e-9);
    }
    assert_eq!(outcome.solver, "exact");
}

#[test]
fn breaking_keeps_what_there_is() {
    let text = r#"{"duration": 100, "dt": 0.1, "unit": {"model": "lif", "current": [12, 20]}}"#;
    let config: ExperimentConfig = serde_json::from_str(text).unwrap();
    let experiment = config.init(&f64_place()).unwrap();
    let outcome = experiment.run(|step, _| match step {
        300 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let outcome = outcome.unwrap();
    assert!(!outcome.complete);
    assert_close(outcome.reached, 30.0, 1e-12);
    assert_eq!(outcome.times.len(), 301);
    // Two currents are two cells.
    assert_eq!(outcome.spikes.len(), 2);
    assert!(outcome.spikes[1].times.len() > outcome.spikes[0].times.len());
}

#[test]
fn what_cannot_be_run_is_named() {
    assert!(refused(r#"{}"#).contains("0 tables"));
    assert!(refused(r#"{"unit": {"model": "lif"}, "population": {}}"#).contains("2 tables"));
    let text =
        r#"{"unit": {"model": "lif"}, "duration": 1e9, "dt": 0.5, "record": {"variables": ["v"]}}"#;
    assert!(
        refused(text).starts_with("record.every = 1"),
        "{}",
        refused(text)
    );
    let text = r#"{"system": {"kind": "jansen-rit", "steepness": -1}}"#;
    assert!(
        refused(text).starts_with("system.steepness = -1"),
        "{}",
        refused(text)
    );
    let text = r#"{"unit": {"model": "lif"}, "record": {"every": 0}}"#;
    assert!(refused(text).starts_with("record.every = 0"));
    let text = r#"{"unit": {"model": "lif"}, "stimulus": {"kind": "sine", "frequency": 0}}"#;
    assert!(refused(text).starts_with("stimulus.frequency = 0"));
}

#[test]
fn a_solver_that_would_leave_out_noise_is_refused() {
    let system = r#""system": {"kind": "wong-wang"}"#;
    let population = r#""population": {"private_noise": 0.1, "time_constant": 20.0}"#;
    for noisy in [system, population] {
        let error = refused(&format!(r#"{{{noisy}, "solver": "rk4"}}"#));
        assert!(error.starts_with("solver = rk4"), "{error}");
        assert!(error.contains("stochastic-heun"), "{error}");
        let run = run(&format!(
            r#"{{"duration": 5, "dt": 0.5, {noisy}, "solver": "stochastic-heun"}}"#
        ));
        assert_eq!(run.solver, "stochastic-heun");
    }
    let default = run(&format!(r#"{{"duration": 5, "dt": 0.5, {system}}}"#));
    assert_eq!(default.solver, "stochastic-heun");
    let quiet = r#"{"duration": 5, "dt": 0.5, "solver": "rk4", "system": {"kind": "wong-wang", "noise": 0}}"#;
    assert_eq!(run(quiet).solver, "rk4");
    let own = r#"{"population": {"private_noise": 0.1, "solver": "rk4"}}"#;
    let error = refused(own);
    assert!(error.starts_with("population.solver = rk4"), "{error}");
    let own = r#"{"duration": 5, "dt": 0.5, "population": {"solver": "heun"}}"#;
    assert_eq!(run(own).solver, "heun");
}

/// A leaky cell and two Hodgkin–Huxley cells, in five and twenty steps to one of the whole, and a system with two inputs.
const LEVELS: &str = r#""duration": 40, "dt": 0.5, "composite": {"dt": 0.5, "level": [
    {"name": "leaky", "dt": 0.1, "unit": {"model": "lif", "current": 14}},
    {"name": "axons", "dt": 0.025, "solver": "rk4", "external": true,
     "unit": {"model": "hodgkin-huxley", "cells": 2, "current": [10, 20]}},
    {"name": "choice", "external": true, "system": {"kind": "wong-wang", "noise": 0}}
]}"#;

#[test]
fn the_cells_of_a_composite_spike_as_they_do_alone() {
    let whole = run(&format!("{{{LEVELS}}}"));
    let alone = run(r#"{"duration": 40, "dt": 0.1, "unit": {"model": "lif", "current": 14}}"#);
    let axons = run(
        r#"{"duration": 40, "dt": 0.025, "unit": {"model": "hodgkin-huxley", "current": [10, 20]}}"#,
    );
    let expected: Vec<_> = alone.spikes.iter().chain(&axons.spikes).collect();
    assert_eq!(whole.spikes.len(), 3);
    for (found, expected) in whole.spikes.iter().zip(expected) {
        assert!(expected.times.len() > 1);
        assert_eq!(found.times.len(), expected.times.len());
        for (found, expected) in found.times.iter().zip(&expected.times) {
            assert_close(*found, *expected, 1e-9);
        }
    }
    let groups: Vec<_> = whole
        .groups
        .iter()
        .map(|g| (g.name.as_str(), g.cells.clone()))
        .collect();
    assert_eq!(groups, [("leaky", 0..1), ("axons", 1..3)]);
    let again = run(&format!("{{{LEVELS}}}"));
    assert_eq!(again.spikes, whole.spikes);
}

#[test]
fn a_composite_says_in_which_units_its_stimulus_is() {
    let outcome = run(&format!(
        r#"{{{LEVELS}, "stimulus": {{"kind": "step", "amplitude": [1, 2, 30, 20]}}}}"#
    ));
    let found: Vec<_> = outcome
        .stimulus
        .iter()
        .map(|trace| (trace.name.as_str(), trace.unit.as_str(), trace.width))
        .collect();
    let expected = [
        ("axons", "µA/cm²", 2),
        ("choice.stimulus 1", "Hz", 1),
        ("choice.stimulus 2", "Hz", 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(outcome.stimulus[1].values[0], 30.0);
}

#[test]
fn a_figure_that_the_model_cannot_have_is_refused() {
    let system = r#""system": {"kind": "linear"}"#;
    let pair = r#""system": {"kind": "van-der-pol"}"#;
    let cell = r#""unit": {"model": "qif"}"#;
    let levels =
        r#""composite": {"dt": 1, "level": [{"name": "s", "system": {"kind": "linear"}}]}"#;
    for (model, figure, allowed) in [
        (system, "fi-curve", "traces for"),
        (system, "raster", "traces for"),
        (system, "phase-plane", "traces for"),
        (pair, "raster", "traces, phase-plane for"),
        (levels, "raster", "traces for"),
        (LEVELS, "fi-curve", "traces, phase-plane, raster for"),
        (
            r#""unit": {"model": "qif"}, "record": {"variables": ["v"]}"#,
            "phase-plane",
            "traces, raster, fi-curve for",
        ),
    ] {
        let error = refused(&format!(r#"{{{model}, "figure": "{figure}"}}"#));
        let start = format!("figure = {figure} is not allowed: {allowed}");
        assert!(error.starts_with(&start), "{error}");
    }
    for (model, figure) in [
        (pair, "phase-plane"),
        (cell, "fi-curve"),
        (cell, "raster"),
        (LEVELS, "raster"),
    ] {
        let text = format!(r#"{{{model}, "figure": "{figure}"}}"#);
        let config: ExperimentConfig = serde_json::from_str(&text).unwrap();
        config.init(&f64_place()).unwrap();
    }
}

#[cfg(feature = "plot")]
#[test]
fn a_composite_has_a_raster_of_all_its_cells() {
    let text = format!(r#"{{{LEVELS}, "figure": "raster"}}"#);
    let config: ExperimentConfig = serde_json::from_str(&text).unwrap();
    let outcome = run(&text);
    let figure = format!("{:?}", outcome.figure(&config, "levels"));
    assert!(figure.contains("Raster"), "{figure}");
    assert!(
        figure.contains("leaky") && figure.contains("axons"),
        "{figure}"
    );
}

#[test]
fn tolerances_make_the_steps_follow_the_error() {
    let cell = r#""duration": 30, "unit": {"model": "hodgkin-huxley", "current": 10}"#;
    let fine = run(&format!(
        r#"{{{cell}, "dt": 0.005, "record": {{"every": 200}}}}"#
    ));
    for solver in ["tsit5", "dormand-prince"] {
        let free = run(&format!(
            r#"{{{cell}, "dt": 1, "solver": "{solver}", "rtol": 1e-9, "atol": 1e-9}}"#
        ));
        assert_eq!(free.solver, format!("{solver}, adaptive"));
        assert_eq!(free.times.len(), 31);
        for (found, expected) in free.traces[0].values.iter().zip(&fine.traces[0].values) {
            assert_close(*found, *expected, 1e-5);
        }
    }
    let asked = |model: &str, more: &str| refused(&format!(r#"{{{model}, {more}}}"#));
    let system = r#""system": {"kind": "van-der-pol"}"#;
    let error = asked(system, r#""rtol": 1e-3"#);
    assert!(error.starts_with("rtol = 0.001"), "{error}");
    assert!(error.contains("tsit5"), "{error}");
    let error = asked(
        r#""unit": {"model": "adex"}"#,
        r#""atol": 1e-3, "solver": "tsit5""#,
    );
    assert!(error.starts_with("atol = 0.001"), "{error}");
    let error = asked(system, r#""rtol": -1, "solver": "tsit5""#);
    assert!(error.starts_with("rtol = -1"), "{error}");
    let noisy = r#""system": {"kind": "wong-wang"}"#;
    let error = asked(noisy, r#""rtol": 1e-3, "solver": "tsit5""#);
    assert!(error.starts_with("solver = tsit5"), "{error}");
}
