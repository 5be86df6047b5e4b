//! Couplers that open conductances in cells.

use super::*;
use crate::differences::assert_gradient;
use crate::model::Clock;

/// A cell that fires, and one that it reaches over a synapse.
fn pair(effect: &str, gain: f64) -> MultiGranularityConfig {
    config(&format!(
        r#"{{"dt": 0.1, "level": [
            {{"name": "from", "dt": 0.05, "solver": "rk4", "unit": {{"kind": "hodgkin-huxley", "current": 10.0}}}},
            {{"name": "to", "dt": 0.025, "solver": "rk4", "unit": {{"kind": "hodgkin-huxley", "current": 2.0}}}}
        ], "coupler": [{{"from": "from.v", "to": "to", "time_constant": 5.0, "delay": 0.2,
            "conversion": {{"kind": "voltage-to-rate"}}, "projection": {{"one-to-one": {{"gain": {gain}}}}}, {effect}}}],
        "observe": ["from.v", "to.v"]}}"#
    ))
}

/// The receiver stepped by hand under g(t) (E − v) B(v), with g from the sender's filtered activity 0.2 ms before.
#[test]
fn the_current_follows_the_potential_of_the_receiver() {
    let nmda = |v: f64| 1.0 / (1.0 + 1.0 / 3.57 * (-0.062 * v).exp());
    type Block = Box<dyn Fn(f64) -> f64>;
    let effects: [(&str, Block); 2] = [
        (
            r#""effect": {"conductance": {"reversal": -80.0}}"#,
            Box::new(|_| 1.0),
        ),
        (
            r#""effect": {"nmda": {"reversal": -80.0, "magnesium": 1.0}}"#,
            Box::new(nmda),
        ),
    ];
    for (effect, block) in effects {
        for (_, place) in f64_places() {
            let model = pair(effect, 0.4).init(&place).unwrap();
            let dynamics = model.dynamics().unwrap();
            let start = model.initial_state(1).unwrap();
            let (seen, _) = record(
                &dynamics,
                start.clone(),
                &NoInput,
                &Grid::over(20.0, 0.1).unwrap(),
            )
            .unwrap();
            let found: Vec<f64> = host(seen).unwrap().chunks(2).map(|row| row[1]).collect();

            let sender = dynamics.level(0).unwrap();
            let receiver = dynamics.level(1).unwrap();
            let (mut from, mut to) = (dynamics.own(0, &start), dynamics.own(1, &start));
            let (mut filtered, mut sent) = (0.0, vec![0.0; 2]);
            for (step, found) in found.iter().enumerate().take(200) {
                let v = host(to[0].clone()).unwrap()[0];
                assert_close(*found, v, 1e-9);
                let open = 0.4 * sent.remove(0);
                sent.push(filtered);
                for substep in 0..4 {
                    let v = host(to[0].clone()).unwrap()[0];
                    let current = open * block(v) * (-80.0 - v);
                    let at = Clock {
                        step: 4 * step + substep,
                        time: 0.0,
                        dt: 0.025,
                    };
                    let input = place.full(current, [1, 1]);
                    to = receiver.step(at, &to, Some(&input)).unwrap();
                }
                for substep in 0..2 {
                    let at = Clock {
                        step: 2 * step + substep,
                        time: 0.0,
                        dt: 0.05,
                    };
                    from = sender.step(at, &from, None).unwrap();
                    let v = host(from[0].clone()).unwrap()[0];
                    let activity = 1.0 / (1.0 + (-(v + 20.0) / 5.0).exp());
                    let keep = (-0.05_f64 / 5.0).exp();
                    filtered = keep * filtered + (1.0 - keep) * activity;
                }
            }
            assert!(filtered > 0.0);
        }
    }
}

#[test]
fn excitation_makes_a_cell_fire_and_inhibition_silences_it() {
    let spikes = |reversal: f64, gain: f64| {
        let effect = format!(
            r#""effect": {{"conductance": {{"reversal": {reversal}}}}}, "trainable": false"#
        );
        let mut settings = pair(&effect, gain);
        settings.observe = vec!["to.v".into()];
        if reversal < -60.0 {
            settings.levels[1].unit = settings.levels[0].unit.clone();
            settings.couplers[0].time_constant = 20.0;
        }
        let model = settings.init(&f64_place()).unwrap();
        let start = model.initial_state(1).unwrap();
        let grid = Grid::over(100.0, 0.1).unwrap();
        let dynamics = model.dynamics().unwrap();
        let v = host(record(&dynamics, start, &NoInput, &grid).unwrap().0).unwrap();
        v.windows(2).filter(|v| v[0] < 0.0 && v[1] >= 0.0).count()
    };
    assert_eq!(spikes(0.0, 0.0), 0);
    assert!(spikes(0.0, 1.0) >= 3);
    let free = spikes(-80.0, 0.0);
    assert!(free >= 5 && spikes(-80.0, 5.0) < free - 1);
}

/// Excitatory and inhibitory Hodgkin–Huxley cells, every connection a conductance. No weight is 0, where its size has a kink.
#[test]
fn the_gradient_of_recurrent_synapses_agrees_with_differences() {
    let text = r#"{"dt": 0.2, "level": [
        {"name": "e", "dt": 0.05, "solver": "rk4", "unit": {"kind": "hodgkin-huxley", "cells": 2, "current": [12.0, 8.0],
            "initial": {"v": -40.0}, "trainable": ["g_na"]}},
        {"name": "i", "dt": 0.05, "solver": "rk4", "unit": {"kind": "wang-buzsaki", "initial": {"v": -45.0}}}
    ], "coupler": [
        {"from": "e.v", "to": "e", "time_constant": 2.0, "conversion": {"kind": "voltage-to-rate"},
            "projection": {"dense": {"weights": [[0.1, 0.3], [0.2, 0.1]]}},
            "effect": {"nmda": {"reversal": 0.0, "magnesium": 1.0}}},
        {"from": "e.v", "to": "i", "time_constant": 1.0, "delay": 0.4, "conversion": {"kind": "voltage-to-rate"},
            "projection": {"mean": {"gain": 0.5}}, "effect": {"conductance": {"reversal": 0.0}}},
        {"from": "i.v", "to": "e", "time_constant": 4.0, "conversion": {"kind": "voltage-to-rate"},
            "projection": {"random": {"gain": 0.6, "seed": 2}}, "effect": {"conductance": {"reversal": -80.0}}}
    ]}"#;
    let loss = |seen: Tensor<3>| seen.mul_scalar(0.02).sin().sum();
    let model = config(text).init(&f64_autodiff()).unwrap();
    assert_gradient(&model, &NoInput, (0.2, 15), loss, 1e-5, 1e-5);
}

#[test]
fn effects_without_sense_are_refused() {
    let effect = r#""effect": {"conductance": {"reversal": 0.0}}"#;
    let refused = |settings: MultiGranularityConfig| {
        let error = settings.init(&f64_place()).err().unwrap();
        error.to_string()
    };
    let mut to_system = pair(effect, 1.0);
    to_system.levels[1].unit = None;
    to_system.levels[1].dt = None;
    to_system.levels[1].system = Some(serde_json::from_str(r#"{"kind": "linear"}"#).unwrap());
    to_system.observe.clear();
    let error = refused(to_system);
    assert!(error.starts_with("coupler[0].effect = on to"), "{error}");

    let mut scaled = pair(effect, 1.0);
    scaled.couplers[0].conversion =
        serde_json::from_str(r#"{"kind": "scale", "from": "mV", "to": "1", "factor": 1.0}"#)
            .unwrap();
    let error = refused(scaled);
    assert!(
        error.contains("with scale") && error.contains("voltage-to-rate"),
        "{error}"
    );

    let fixed = r#""effect": {"conductance": {"reversal": 0.0}}, "trainable": false"#;
    for (gain, effect, allowed) in [
        (-1.0, effect, "a finite number above 0"),
        (0.0, effect, "a finite number above 0"),
        (-1.0, fixed, "a finite number, 0 or above"),
    ] {
        let error = refused(pair(effect, gain));
        let begins = error.starts_with("coupler[0].projection.gain");
        assert!(begins && error.ends_with(allowed), "{error}");
    }
    assert!(pair(fixed, 0.0).init(&f64_place()).is_ok());
    let mut dense = pair(effect, 1.0);
    dense.couplers[0].projection = Projection::Dense {
        weights: vec![vec![-0.5]],
    };
    let error = refused(dense);
    assert!(
        error.starts_with("coupler[0].projection.weights = -0.5"),
        "{error}"
    );

    let listed = r#""effect": {"conductance": {"reversal": [0.0, 1.0]}}"#;
    let error = refused(pair(listed, 1.0));
    assert!(
        error.starts_with("coupler[0].effect.conductance.reversal = [2 values]"),
        "{error}"
    );
    let magnesium = r#""effect": {"nmda": {"reversal": 0.0, "magnesium": -1.0}}"#;
    let error = refused(pair(magnesium, 1.0));
    assert!(
        error.starts_with("coupler[0].effect.nmda.magnesium = -1"),
        "{error}"
    );
}
