use std::ops::ControlFlow;

use granule_dynamics::model::{Clock, Input};
use granule_dynamics::{DynamicsError, Grid, Variable, host};

use super::*;
use crate::testing::{assert_close, f64_place};

mod cells;
mod currents;
mod later;
mod networks;
mod rallpack;
mod stream;
mod whole;

fn from_toml(text: &str) -> Outcome {
    let config: ExperimentConfig = toml::from_str(text).unwrap();
    let experiment = config.init(&f64_place()).unwrap();
    experiment.run(|_, _| ControlFlow::Continue(())).unwrap()
}

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
    sampled(text, duration, 0.5)
}

fn sampled(text: &str, duration: f64, dt: f64) -> Vec<f64> {
    let stimulus: StimulusConfig = serde_json::from_str(text).unwrap();
    let grid = Grid::over(duration, dt).unwrap();
    let inputs = [Variable::new("current", "µA/cm²", 1)];
    let input = stimulus.init(&inputs, &grid, 7, &f64_place()).unwrap();
    let value = |step: usize| {
        let at = Clock {
            step,
            time: grid.time(step),
            dt,
        };
        host(input.at(at).unwrap()).unwrap()[0]
    };
    (0..grid.steps()).map(value).collect()
}

/// Blocks of a course are those of one that is computed in order, in any order.
#[test]
fn a_stimulus_has_its_values_in_any_order() {
    for text in [
        r#"{"kind": "noise", "amplitude": 2, "time_constant": 3}"#,
        r#"{"kind": "sine", "amplitude": 1, "frequency": 7, "onset": 3}"#,
    ] {
        let stimulus: StimulusConfig = serde_json::from_str(text).unwrap();
        let grid = Grid::over(2000.0, 0.5).unwrap();
        let inputs = [Variable::new("current", "µA/cm²", 1)];
        let made = || stimulus.init(&inputs, &grid, 7, &f64_place()).unwrap();
        let forward = made();
        let all: Vec<f64> = (0..4000).map(|step| forward.values(step)[0]).collect();
        let backward = made();
        for step in (0..4000).rev().step_by(7) {
            assert_eq!(backward.values(step), [all[step]], "{text} {step}");
        }
        // After the end the last one stays.
        assert_eq!(forward.values(9000), [all[3999]]);
    }
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
    // Means over the steps.
    let speed = std::f64::consts::TAU * 0.1;
    for (n, x) in sine.iter().enumerate() {
        let t = 0.5 * n as f64;
        let mean = ((speed * t).cos() - (speed * (t + 0.5)).cos()) / (0.5 * speed);
        assert_close(*x, 2.0 * mean, 1e-12);
    }
}

#[test]
fn no_charge_is_lost_where_edges_are_off_the_grid() {
    let charge = |text: &str, dt: f64| dt * sampled(text, 20.0, dt).iter().sum::<f64>();
    for dt in [0.1, 0.025, 0.07, 1.3] {
        for (onset, width) in [
            (0.0, 0.25),
            (5.06, 0.08),
            (5.0, 0.1),
            (3.3, 4.44),
            (-1.0, 1.5),
        ] {
            let pulse = format!(
                r#"{{"kind": "pulse", "amplitude": 3, "onset": {onset}, "width": {width}}}"#
            );
            let seen = width + f64::min(onset, 0.0);
            assert_close(charge(&pulse, dt), 3.0 * seen, 1e-12);
        }
        // Ten pulses, of which several may be in a step; the last step may end after 20 ms.
        let end = dt * (20.0 / dt * (1.0 - 1e-12)).ceil();
        let train = r#"{"kind": "pulse", "onset": 0.33, "width": 0.21, "period": 0.5}"#;
        let complete = ((end - 0.33) / 0.5).floor();
        let rest = (end - 0.33 - 0.5 * complete).min(0.21);
        assert_close(charge(train, dt), 0.21 * complete + rest, 1e-9);
        let step = r#"{"kind": "step", "amplitude": 2, "onset": 7.77}"#;
        assert_close(charge(step, dt), 2.0 * (end - 7.77), 1e-12);
        let sine = r#"{"kind": "sine", "onset": 7.77, "frequency": 30, "phase": 1}"#;
        let speed = std::f64::consts::TAU * 0.03;
        let expected = (1.0_f64.cos() - (1.0 + speed * (end - 7.77)).cos()) / speed;
        assert_close(charge(sine, dt), expected, 1e-12);
        let noise = |onset: f64| {
            sampled(
                &format!(r#"{{"kind": "noise", "onset": {onset}}}"#),
                20.0,
                dt,
            )
        };
        let (all, late) = (noise(0.0), noise(7.77));
        let edge = (7.77 / dt) as usize;
        let share = (dt * (edge + 1) as f64 - 7.77) / dt;
        assert_close(late[edge], share * all[edge], 1e-12);
        assert_eq!(late[edge + 1..], all[edge + 1..]);
        assert!(late[..edge].iter().all(|x| *x == 0.0));
    }
    // What is on the grid is on or off.
    let pulse = r#"{"kind": "pulse", "onset": 0.3, "width": 0.7, "period": 1.1}"#;
    for (step, x) in sampled(pulse, 500.0, 0.1).iter().enumerate() {
        let phase = (step + 8) % 11;
        assert_eq!(*x, f64::from(step >= 3 && phase < 7), "step {step}");
    }
}

/// All stages of a step see its mean: the charge of a pulse off the grid does not depend on the method, nor on where the
/// pulse lies.
#[test]
fn every_solver_gets_the_charge_of_a_pulse() {
    for solver in granule_dynamics::solver::SolverKind::ALL {
        if solver.is_stochastic()
            || solver.name().contains("exponential")
            || solver.name().contains("backward")
        {
            continue;
        }
        let last = |onset: f64, width: f64| {
            let outcome = run(&format!(
                r#"{{"duration": 10, "dt": 0.1, "solver": "{solver}",
                    "system": {{"kind": "linear", "a": [[0]], "b": [], "c": [[1]], "initial": 0}},
                    "stimulus": {{"kind": "pulse", "onset": {onset}, "width": {width}}}}}"#
            ));
            outcome.last[0].values[0]
        };
        assert_close(last(5.0, 0.25), 0.25, 1e-12);
        assert_close(last(5.06, 0.08), 0.08, 1e-12);
    }
}

/// Reference numbers, section 3, as the command gives them.
#[test]
fn rates_do_not_depend_on_the_step() {
    let rate = |unit: &str, dt: f64| {
        let outcome = run(&format!(
            r#"{{"duration": 400, "dt": {dt}, "unit": {{{unit}}}}}"#
        ));
        outcome.spikes[0].rate_hz(outcome.reached)
    };
    let lif = r#""kind": "lif", "current": 14"#;
    let free = r#""kind": "lif", "current": 14, "parameters": {"refractory": 0}"#;
    let qif = r#""kind": "qif", "current": 25"#;
    for dt in [0.1, 0.37, 10.0] {
        assert_close(rate(lif, dt), 57.052780, 1e-8);
        assert_close(rate(free, dt), 1000.0 / (10.0 * 3.5_f64.ln()), 1e-9);
        assert_close(rate(qif, dt), 500.0 / std::f64::consts::PI, 1e-9);
    }
    let izhikevich = r#""kind": "izhikevich", "current": 10"#;
    let adex = r#""kind": "adex", "current": 800"#;
    for unit in [izhikevich, adex] {
        let fine = rate(unit, 0.02);
        for dt in [0.1, 0.13, 0.5] {
            assert!(
                (rate(unit, dt) / fine - 1.0).abs() < 2e-3 * dt,
                "{unit} {dt}"
            );
        }
    }
}

#[test]
fn a_step_that_is_too_long_is_warned_of() {
    let warnings = |text: &str| {
        let config: ExperimentConfig = serde_json::from_str(text).unwrap();
        config.init(&f64_place()).unwrap().warnings().to_vec()
    };
    let one = |text: &str, parts: [&str; 3]| {
        let found = warnings(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            parts.iter().all(|part| found[0].contains(part)),
            "{found:?}"
        );
    };
    one(
        r#"{"dt": 5, "unit": {"kind": "izhikevich"}}"#,
        ["dt = 5 ms", "izhikevich", "at most 1 ms"],
    );
    one(
        r#"{"dt": 3, "unit": {"kind": "adex"}}"#,
        ["dt = 3 ms", "adex", "at most 2.3"],
    );
    one(
        r#"{"dt": 25, "system": {"kind": "jansen-rit"}}"#,
        ["dt = 25 ms", "10 ms", "at most 5 ms"],
    );
    one(
        r#"{"dt": 1, "composite": {"level": [{"name": "a", "solver": "rk4", "unit": {"kind": "hodgkin-huxley"}}]}}"#,
        [
            "composite.level.a.dt = 1 ms",
            "hodgkin-huxley",
            "at most 0.05 ms",
        ],
    );
    one(
        r#"{"dt": 0.6, "solver": "euler", "unit": {"kind": "adex"}}"#,
        ["dt = 0.6 ms", "adex", "at most 0.46"],
    );
    for (cell, dt, most) in [
        ("adex", 3, "at most 2.3"),
        ("izhikevich", 5, "at most 1 ms"),
    ] {
        let text = format!(
            r#"{{"dt": {dt}, "composite": {{"level": [{{"name": "a", "solver": "rk4", "unit": {{"kind": "{cell}"}}}}]}}}}"#
        );
        let step = format!("composite.level.a.dt = {dt} ms");
        one(&text, [&step, cell, most]);
    }
    for exact in ["lif", "qif"] {
        let text = format!(r#"{{"dt": 20, "unit": {{"kind": "{exact}"}}}}"#);
        assert_eq!(warnings(&text), [""; 0]);
    }
    for preset in presets::PRESETS {
        let config: ExperimentConfig = toml::from_str(preset.toml).unwrap();
        let experiment = config.init(&f64_place()).unwrap();
        assert_eq!(experiment.warnings(), [""; 0], "{}", preset.name);
    }
}

#[test]
fn cells_that_fire_in_every_step_are_warned_of() {
    let text = r#"{"dt": 1, "unit": {"kind": "izhikevich", "current": [10, 600]}}"#;
    let found = run(text).warnings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("cell 1 ") && found[0].contains("dt = 1 ms"),
        "{found:?}"
    );
    assert!(run(&text.replace(", 600", ", 20")).warnings.is_empty());
    let level = r#"{"name": "b", "solver": "rk4", "unit": {"kind": "izhikevich", "current": [10, 600], "cells": 2}}"#;
    let text = format!(
        r#"{{"dt": 1, "composite": {{"level": [{{"name": "a", "unit": {{"kind": "lif"}}}}, {level}]}}}}"#
    );
    let found = run(&text).warnings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("cell 1 of b fires"), "{found:?}");
}

#[test]
fn concentrations_below_zero_are_warned_of() {
    let text = r#"{"duration": 20, "dt": 0.05, "solver": "exponential-euler", "unit": {
        "kind": "conductance", "current": 10,
        "concentration": [{"name": "x", "rest": 0, "time_constant": 10, "influx": 0.1}],
        "channel": [{"library": "traub-miles/k", "into": "x"}]
    }}"#;
    let found = run(text).warnings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("concentration x fell to -"), "{found:?}");
    assert!(run(&text.replace("0.1}", "0}")).warnings.is_empty());
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
    let base = r#""duration": 10, "dt": 0.1, "unit": {"kind": "adex", "cells": 3, "current": 800}"#;
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
    let outcome = run(r#"{"duration": 40, "dt": 0.7, "unit": {"kind": "lif", "current": 14}}"#);
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
    let text = r#"{"duration": 100, "dt": 0.1, "unit": {"kind": "lif", "current": [12, 20]}}"#;
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

/// Adaptive steps of a second that take very many of their own, and a step of the whole of very many of a level's.
#[test]
fn a_request_to_stop_is_heard_inside_a_step() {
    let stiff = r#"{"duration": 2e5, "dt": 1e5, "solver": "tsit5", "rtol": 1e-12, "atol": 1e-12,
        "system": {"kind": "van-der-pol"}}"#;
    let levels = r#"{"duration": 2000, "dt": 1000, "composite": {"dt": 1000, "level": [
        {"name": "cell", "dt": 0.001, "unit": {"kind": "lif", "current": 14}}]}}"#;
    for text in [stiff, levels] {
        let config: ExperimentConfig = serde_json::from_str(text).unwrap();
        let experiment = config.init(&f64_place()).unwrap();
        let stop = experiment.stop();
        let began = std::time::Instant::now();
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(200));
                stop.ask();
            });
            experiment.run(|_, _| ControlFlow::Continue(()))
        });
        let outcome = outcome.unwrap();
        assert!(!outcome.complete && outcome.reached == 0.0);
        assert_eq!(outcome.times, [0.0]);
        assert!(outcome.spikes.iter().all(|cell| cell.times.is_empty()));
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}

#[test]
fn what_cannot_be_run_is_named() {
    assert!(refused(r#"{}"#).contains("0 tables"));
    assert!(refused(r#"{"unit": {"kind": "lif"}, "population": {}}"#).contains("2 tables"));
    let text = r#"{"system": {"kind": "jansen-rit", "steepness": -1}}"#;
    assert!(
        refused(text).starts_with("system.steepness = -1"),
        "{}",
        refused(text)
    );
    for (duration, part) in [
        ("1e300", "duration = 1e300"),
        ("1e9", "duration = 1000000000"),
    ] {
        let text = format!(r#"{{"unit": {{"kind": "lif"}}, "dt": 0.1, "duration": {duration}}}"#);
        let text = refused(&text);
        assert!(text.starts_with(part) && text.len() < 200, "{text}");
        assert!(
            text.contains("2^32 steps of dt = 0.1") && text.contains("4.2950e8"),
            "{text}"
        );
    }
    let text = r#"{"unit": {"kind": "lif"}, "record": {"variables": ["v", "v"]}}"#;
    assert!(refused(text).starts_with("record.variables = v twice"));
    let text = r#"{"composite": {"observe": ["a.v", "a.v"], "level": [{"name": "a", "unit": {"kind": "lif"}}]}}"#;
    assert!(
        refused(text).contains("observe = \"a.v\" twice"),
        "{}",
        refused(text)
    );
    let text = r#"{"unit": {"kind": "lif"}, "record": {"every": 0}}"#;
    assert!(refused(text).starts_with("record.every = 0"));
    let text = r#"{"unit": {"kind": "lif"}, "stimulus": {"kind": "sine", "frequency": 0}}"#;
    assert!(refused(text).starts_with("stimulus.frequency = 0"));
}

#[test]
fn systems_are_read_out_and_connected() {
    let lfp = run(
        r#"{"duration": 50, "dt": 0.5, "readout": "local-field-potential", "system": {"kind": "jansen-rit"}}"#,
    );
    let column = |name: &str| {
        let trace = lfp.traces.iter().find(|trace| trace.name == name).unwrap();
        trace.column(0).collect::<Vec<_>>()
    };
    assert_eq!(
        (lfp.traces[0].name.as_str(), lfp.traces[0].unit.as_str()),
        ("lfp", "mV")
    );
    for ((seen, y1), y2) in column("lfp").iter().zip(column("y1")).zip(column("y2")) {
        assert_close(*seen, y1 - y2, 1e-12);
    }

    // Node 1 hears of node 0 only over its link, and of its pulse only once the delay is over.
    const ONSET: f64 = 2.0;
    let pair = |delay: f64| {
        run(&format!(
            r#"{{"duration": 20, "dt": 0.5, "bold": {{"rest": 0.0}}, "readout": "activity",
                "system": {{"kind": "stuart-landau", "nodes": 2, "initial": [0.0, 0.0]}},
                "stimulus": {{"kind": "pulse", "amplitude": [0.1, 0, 0, 0], "onset": {ONSET}, "width": 1}},
                "connectivity": {{"weights": [[0, 0], [1, 0]], "delays": {{"uniform": {delay}}}}}}}"#
        ))
    };
    let arrival = |outcome: &Outcome, node: usize| {
        let x = outcome.traces.iter().find(|trace| trace.name == "x");
        let moved = x.unwrap().column(node).position(|x| x != 0.0).unwrap();
        outcome.times[moved]
    };
    let (soon, late) = (pair(1.0), pair(4.0));
    for (outcome, delay) in [(&soon, 1.0), (&late, 4.0)] {
        assert_eq!(arrival(outcome, 0), ONSET + 0.5);
        assert_eq!(arrival(outcome, 1), ONSET + 0.5 + delay);
    }
    let names: Vec<_> = soon
        .traces
        .iter()
        .map(|trace| (trace.name.as_str(), trace.width))
        .collect();
    assert_eq!(
        names[..4],
        [("bold", 2), ("activity", 2), ("x", 2), ("y", 2)]
    );
    assert_eq!(soon.traces[1].values, soon.traces[2].values);
    assert!(late.traces[0].column(1).any(|bold| bold != 0.0));

    for (text, part) in [
        (
            r#"{"readout": "rate", "unit": {"kind": "lif"}}"#,
            "readout = this is not allowed: given with a system only",
        ),
        (
            r#"{"readout": "rate", "system": {"kind": "linear"}}"#,
            "readout = rate is not allowed: observed, activity or state",
        ),
        (
            r#"{"dt": 0.5, "system": {"kind": "stuart-landau", "nodes": 2}, "connectivity": {"delays": {"uniform": 0.2}}}"#,
            "connectivity.delays",
        ),
        (
            r#"{"system": {"kind": "stuart-landau", "nodes": 3}, "connectivity": {}}"#,
            "connectivity.weights = a matrix of 2 rows is not allowed: 3 rows and columns, as many as the system has nodes; \
             or system.nodes = 2",
        ),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn readouts_have_the_units_of_what_they_show() {
    for (system, readout, expected) in [
        ("jansen-rit", "observed", ("observed", "mV", 1)),
        ("jansen-rit", "local-field-potential", ("lfp", "mV", 1)),
        ("jansen-rit", "activity", ("activity", "Hz", 1)),
        ("jansen-rit", "rate", ("rate", "Hz", 1)),
        ("jansen-rit", "state", ("observed", "1", 6)),
        ("montbrio-pazo-roxin", "observed", ("observed", "1/ms", 1)),
        (
            "montbrio-pazo-roxin",
            "local-field-potential",
            ("lfp", "1", 1),
        ),
        ("wong-wang", "observed", ("observed", "1", 2)),
        ("wong-wang", "local-field-potential", ("lfp", "nA", 1)),
        (
            "reduced-wong-wang",
            "local-field-potential",
            ("lfp", "nA", 1),
        ),
        ("stuart-landau", "state", ("observed", "1", 2)),
    ] {
        let outcome = run(&format!(
            r#"{{"duration": 1, "dt": 0.5, "readout": "{readout}", "system": {{"kind": "{system}"}}}}"#
        ));
        let first = &outcome.traces[0];
        let found = (first.name.as_str(), first.unit.as_str(), first.width);
        assert_eq!(found, expected, "{readout} of {system}");
    }
}

#[test]
fn the_cells_of_the_gamma_preset_fire_in_the_rhythm_it_names() {
    let preset = Preset::find("gamma").unwrap();
    assert!(preset.summary.contains("43 Hz"));
    let mut config: ExperimentConfig = toml::from_str(preset.toml).unwrap();
    config.duration = 200.0;
    let experiment = config.init(&f64_place()).unwrap();
    let outcome = experiment.run(|_, _| ControlFlow::Continue(())).unwrap();
    #[cfg(feature = "plot")]
    {
        // The figure shows the rhythm of 23 ms, in bins that are well below it, or as they are asked for.
        let mut config = config.clone();
        assert!(format!("{:?}", outcome.figure(&config, "")).contains("in bins of 2 ms"));
        config.rate_bin = Some(4.5);
        assert!(format!("{:?}", outcome.figure(&config, "")).contains("in bins of 4.5 ms"));
        config.rate_bin = Some(0.0);
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("rate_bin")
        );
    }
    let group = |name: &str| {
        let mut groups = outcome.groups.iter();
        groups.find(|group| group.name == name).unwrap()
    };
    // Every inhibitory cell fires once in each cycle.
    let rhythm = 38.0..=48.0;
    let rate = outcome.mean_rate_hz(group("inhibitory"));
    assert!(rhythm.contains(&rate), "{rate} Hz");
    // Excitatory spikes come in volleys with silence between them, one in each cycle.
    let cells = &outcome.spikes[group("excitatory").cells.clone()];
    let mut times: Vec<f64> = cells.iter().flat_map(|cell| cell.times.clone()).collect();
    times.sort_by(f64::total_cmp);
    let volleys: Vec<&[f64]> = times.chunk_by(|one, next| next - one < 6.0).collect();
    let rate = volleys.len() as f64 / 0.2;
    assert!(rhythm.contains(&rate), "{} volleys", volleys.len());
    for volley in volleys {
        assert!(volley.len() > 10, "{volley:?}");
        assert!(volley[volley.len() - 1] - volley[0] < 12.0, "{volley:?}");
    }
}

/// The error of a run, with the time it names.
fn blows_up(text: &str) -> (String, f64) {
    let config: ExperimentConfig = serde_json::from_str(text).unwrap();
    let experiment = config.init(&f64_place()).unwrap();
    let error = experiment.run(|_, _| ControlFlow::Continue(()));
    match error.unwrap_err() {
        DynamicsError::Runaway { time, variable, .. } => (variable, time),
        other => panic!("{other}"),
    }
}

#[test]
fn a_run_that_blows_up_but_stays_finite_ends_where_it_does() {
    // Explicit steps ten times the synapses' time constant, and 250 times that of the noise.
    let (variable, time) =
        blows_up(r#"{"duration": 2000, "dt": 100, "system": {"kind": "jansen-rit"}}"#);
    assert!(variable.starts_with('y'), "{variable}");
    assert!((100.0..1000.0).contains(&time), "{time}");
    let (variable, time) = blows_up(
        r#"{"duration": 1500, "dt": 500, "system": {"kind": "wong-wang", "noise": 0.02}}"#,
    );
    assert!(["s1", "s2", "i1", "i2"].contains(&variable.as_str()));
    assert!((500.0..=1500.0).contains(&time), "{time}");
    let (variable, time) = blows_up(
        r#"{"duration": 1000, "dt": 200, "system": {"kind": "linear", "a": [[-1]], "b": [[0]], "initial": [1]}}"#,
    );
    assert_eq!(variable, "x");
    assert!(time < 1000.0, "{time}");
    let text = DynamicsError::Runaway {
        time: 500.0,
        variable: "y1".into(),
        batch: 0,
        unit: 3,
        value: -5.39127e6,
        low: -1e6,
        high: 1e6,
    };
    assert!(
        text.to_string().starts_with(
            "y1 = -5.391e6 at t = 500 (batch 0, unit 3) is far outside its range, -1e6 to 1e6: "
        ),
        "{text}"
    );
}

#[test]
fn what_is_large_but_true_does_not_end_a_run() {
    // 10⁴ mV of a leaky cell without a threshold in reach, and e^20 of a system that grows.
    let cell = run(
        r#"{"duration": 200, "dt": 0.1, "unit": {"kind": "lif", "current": 1e4, "parameters": {"threshold": 2e4}}}"#,
    );
    assert!(cell.last[0].values[0] > 9e3);
    let grows = run(
        r#"{"duration": 20, "dt": 0.1, "system": {"kind": "linear", "a": [[1]], "b": [[0]], "initial": [1]}}"#,
    );
    assert_close(grows.last[0].values[0].ln(), 20.0, 1e-4);
}

#[test]
fn cells_that_a_list_of_currents_makes_are_noted() {
    let notes = |unit: &str| {
        let text = format!(r#"{{"duration": 1, "unit": {{{unit}}}}}"#);
        let config: ExperimentConfig = serde_json::from_str(&text).unwrap();
        config.init(&f64_place()).unwrap().notes()
    };
    let made = notes(r#""kind": "lif", "current": [1, 2]"#);
    assert_eq!(
        made,
        ["unit.current has 2 values, and there are 2 cells, one for each"]
    );
    let made = notes(r#""kind": "cable", "current": [1, 2]"#);
    assert!(made[0].contains("2 cells"), "{made:?}");
    for own in ["\"cells\": 2, \"current\": [1, 2]", "\"current\": 1"] {
        let made = notes(&format!(r#""kind": "lif", {own}"#));
        assert!(made.is_empty(), "{made:?}");
    }
}

#[cfg(feature = "plot")]
#[test]
fn columns_are_told_apart_in_figures() {
    let text = |cells: usize| {
        format!(
            r#"{{"duration": 5, "dt": 0.5, "unit": {{"kind": "lif", "cells": {cells}, "current": 5}}}}"#
        )
    };
    let svg = |text: &str| {
        let config: ExperimentConfig = serde_json::from_str(text).unwrap();
        let outcome = run(text);
        outcome.figure(&config, "").to_svg(960, 640).unwrap()
    };
    let nine = svg(&text(9));
    // From the first to the last.
    assert!(nine.contains("[0]") && nine.contains("[8]") && !nine.contains("[2]"));
    assert!(nine.contains("v (mV) (7 of 9)"));
    assert!(!svg(&text(7)).contains(" of "));
    assert!(!svg(&text(1)).contains("[0]"));
}

#[cfg(feature = "plot")]
fn drawn(text: &str) -> (String, Outcome) {
    let config: ExperimentConfig = serde_json::from_str(text).unwrap();
    let outcome = run(text);
    let figure = outcome.figure(&config, "");
    figure.to_svg(960, 640).unwrap();
    (format!("{figure:?}"), outcome)
}

#[cfg(feature = "plot")]
#[test]
fn legends_have_what_is_swept() {
    let cells = |more: &str| {
        drawn(&format!(
            r#"{{"duration": 5, "dt": 0.5, "unit": {{"kind": "lif", "cells": 3, {more}}}}}"#
        ))
        .0
    };
    let currents = cells(r#""current": [0, 10, 2.5]"#);
    assert!(
        currents.contains("\"10 µA/cm²\"") && currents.contains("\"2.5 µA/cm²\""),
        "{currents}"
    );
    let parameters = cells(r#""parameters": {"time_constant": [10, 20, 30]}"#);
    assert!(
        parameters.contains("\"time_constant 20 ms\""),
        "{parameters}"
    );
    assert!(cells(r#""current": [3, 3, 3]"#).contains("\"[1]\""));
}

#[cfg(feature = "plot")]
#[test]
fn spikes_of_cells_that_are_reset_are_drawn_to_their_peak() {
    for (unit, peak) in [
        (r#"{"kind": "lif", "current": 20}"#, 20.0),
        (r#"{"kind": "adex", "current": 800, "peak": 15}"#, 15.0),
        (r#"{"kind": "izhikevich", "current": 10, "peak": 25}"#, 25.0),
    ] {
        for every in [1, 7] {
            let text = format!(
                r#"{{"duration": 100, "dt": 0.1, "record": {{"every": {every}}}, "unit": {unit}}}"#
            );
            let config: ExperimentConfig = serde_json::from_str(&text).unwrap();
            let outcome = run(&text);
            let spikes = outcome.spikes[0].times.len();
            assert!(spikes > 1);
            let figure = format!("{:?}", outcome.figure(&config, ""));
            let peaks = figure.matches(&format!(", {peak:?})")).count();
            assert!(peaks >= spikes, "{unit}: {peaks} of {spikes}");
            assert!(outcome.traces[0].values.iter().all(|v| *v <= peak + 1e-9));
        }
    }
    // What goes to infinity does not decide the axis.
    let (figure, outcome) =
        drawn(r#"{"duration": 100, "dt": 0.01, "unit": {"kind": "qif", "current": 1}}"#);
    let highest = outcome.traces[0]
        .values
        .iter()
        .fold(0.0_f64, |m, v| m.max(v.abs()));
    assert!(
        highest > 20.0 && !figure.contains(&format!("{highest:?}")),
        "{highest}"
    );
}

#[cfg(feature = "plot")]
#[test]
fn long_times_are_in_seconds_and_bins_are_said() {
    let cell = r#""dt": 1, "unit": {"kind": "lif", "current": 20, "cells": 4}, "figure": "raster""#;
    let (short, _) = drawn(&format!(r#"{{"duration": 1000, {cell}}}"#));
    assert!(
        short.contains("time (ms)") && short.contains("in bins of "),
        "{short}"
    );
    let (long, outcome) = drawn(&format!(r#"{{"duration": 20000, {cell}}}"#));
    assert!(long.contains("time (s)") && long.contains("x_range: Some((0.0, 20.0))"));
    assert!(long.contains("in bins of 100 ms"));
    // The rate of the figure is that of the spikes.
    let rate = outcome.mean_rate_hz(&outcome.groups[0]);
    assert!((70.0..130.0).contains(&rate), "{rate}");
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

/// A leaky cell and two Hodgkin–Huxley cells, in five and twenty steps to one of the whole, and a system with two
/// inputs.
const LEVELS: &str = r#""duration": 40, "dt": 0.5, "composite": {"dt": 0.5, "level": [
    {"name": "leaky", "dt": 0.1, "unit": {"kind": "lif", "current": 14}},
    {"name": "axons", "dt": 0.025, "solver": "rk4", "external": true,
     "unit": {"kind": "hodgkin-huxley", "cells": 2, "current": [10, 20]}},
    {"name": "choice", "external": true, "system": {"kind": "wong-wang", "noise": 0}}
]}"#;

#[test]
fn the_cells_of_a_composite_spike_as_they_do_alone() {
    let whole = run(&format!("{{{LEVELS}}}"));
    let alone = run(r#"{"duration": 40, "dt": 0.1, "unit": {"kind": "lif", "current": 14}}"#);
    let axons = run(
        r#"{"duration": 40, "dt": 0.025, "unit": {"kind": "hodgkin-huxley", "current": [10, 20]}}"#,
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

/// By spike timing and by Oja's rule, from the file alone.
#[test]
fn weights_of_the_plastic_example_move_and_are_recorded_by_name() {
    let text = include_str!("../../../../examples/plastic_levels.toml");
    let outcome = from_toml(text);
    let names: Vec<&str> = outcome.traces.iter().map(|t| t.name.as_str()).collect();
    let expected = ["coupler[0].weights", "coupler[1].weights", "population.x"];
    assert_eq!(names, expected);
    let ends = |index: usize| {
        let trace: &Trace = &outcome.traces[index];
        let last = trace.values.len() - trace.width;
        (&trace.values[..trace.width], &trace.values[last..])
    };
    let (first, last) = ends(0);
    assert_eq!(first, [0.5; 12]);
    // The first two cells fire before the others listen up, the last one when they have fired.
    assert!(last[..6].iter().all(|w| *w > 0.6), "{last:?}");
    assert!(last[9..].iter().all(|w| *w < 0.4), "{last:?}");
    let (first, last) = ends(1);
    let moved = first.iter().zip(last).map(|(a, b)| (a - b).abs());
    assert!(moved.fold(0.0, f64::max) > 0.2, "{first:?} {last:?}");
    let unknown = text.replace("\"population.x\"]", "\"coupler[2].weights\"]");
    let config: ExperimentConfig = toml::from_str(&unknown).unwrap();
    let error = config.init(&f64_place()).err().unwrap().to_string();
    assert!(error.contains("coupler[1].weights"), "{error}");
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
    let cell = r#""unit": {"kind": "qif"}"#;
    let levels = r#""composite": {"level": [{"name": "s", "system": {"kind": "linear"}}]}"#;
    for (model, figure, allowed) in [
        (system, "fi-curve", "traces for"),
        (system, "raster", "traces for"),
        (system, "phase-plane", "traces for"),
        (pair, "raster", "traces, phase-plane for"),
        (levels, "raster", "traces for"),
        (LEVELS, "fi-curve", "traces, phase-plane, raster for"),
        (
            r#""unit": {"kind": "qif"}, "record": {"variables": ["v"]}"#,
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
    let cell = r#""duration": 30, "unit": {"kind": "hodgkin-huxley", "current": 10}"#;
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
        r#""unit": {"kind": "adex"}"#,
        r#""atol": 1e-3, "solver": "tsit5""#,
    );
    assert!(error.starts_with("atol = 0.001"), "{error}");
    let error = asked(system, r#""rtol": -1, "solver": "tsit5""#);
    assert!(error.starts_with("rtol = -1"), "{error}");
    let noisy = r#""system": {"kind": "wong-wang"}"#;
    let error = asked(noisy, r#""rtol": 1e-3, "solver": "tsit5""#);
    assert!(error.starts_with("solver = tsit5"), "{error}");
}

#[test]
fn a_step_that_another_takes_the_place_of_is_refused() {
    let refused = |text: &str| -> String {
        let config: ExperimentConfig = serde_json::from_str(text).unwrap();
        let checked = config
            .validate()
            .and_then(|()| config.init(&f64_place()).map(|_| ()));
        checked.unwrap_err().to_string()
    };
    let fine = |text: &str| {
        let config: ExperimentConfig = serde_json::from_str(text).unwrap();
        config.validate().unwrap();
        config.init(&f64_place()).unwrap();
    };
    let population = r#"{"dt": 1, "population": {"units": 2, "dt": 5}}"#;
    let level = r#"{"dt": 0.5, "composite": {"level": [{"name": "a", "population": {"units": 2, "dt": 5}}]}}"#;
    let composite = r#"{"dt": 0.5, "composite": {"dt": 5, "level": [{"name": "a", "population": {"units": 2}}]}}"#;
    let nodes =
        r#"{"dt": 0.5, "system": {"kind": "wong-wang", "nodes": 2}, "connectivity": {"dt": 5}}"#;
    for (text, field, outer) in [
        (population, "population.dt = 5", "the run, dt, 1 ms"),
        (level, "level.a.population.dt = 5", "level.a.dt, 0.5 ms"),
        (composite, "composite.dt = 5", "the run, dt, 0.5 ms"),
        (nodes, "connectivity.dt = 5", "the run, dt, 0.5 ms"),
    ] {
        let message = refused(text);
        assert!(
            message.contains(field) && message.contains(outer),
            "{message}"
        );
        let equal = outer.split(", ").last().unwrap().trim_end_matches(" ms");
        fine(&text.replace("\"dt\": 5", &format!("\"dt\": {equal}")));
        fine(
            &text
                .replace("\"dt\": 5, ", "")
                .replace(", \"dt\": 5", "")
                .replace("\"dt\": 5", ""),
        );
    }
    let bold = r#"{"dt": 0.5, "system": {"kind": "wong-wang", "nodes": 2}, "bold": {"nodes": 3}}"#;
    assert!(
        refused(bold).contains("bold.nodes = 3"),
        "{}",
        refused(bold)
    );
    fine(&bold.replace('3', "4"));
}
