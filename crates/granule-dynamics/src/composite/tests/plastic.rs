//! Couplers whose weights change while the model runs.

use super::*;
use crate::model::Clock;
use crate::plasticity::{Activity, PlasticConnection};

/// Of three senders to two receivers.
const WEIGHTS: [f64; 6] = [0.5, -0.3, 0.2, 0.4, 0.1, -0.6];

/// Three units that two others hear over weights that `more` says the rules of.
fn rates(more: &str) -> MultiGranularityConfig {
    config(&format!(
        r#"{{
        "dt": 1.0, "seed": 2,
        "level": [
            {{"name": "a", "external": true, "direct": true, "population": {{"units": 3, "time_constant": 4.0}}}},
            {{"name": "b", "direct": true, "population": {{"units": 2, "time_constant": 5.0}}}}
        ],
        "coupler": [{{"from": "a.output", "to": "b", "conversion": {{"kind": "rate-to-drive"}},
            "projection": {{"dense": {{"weights": [[0.5, -0.3], [0.2, 0.4], [0.1, -0.6]]}}}}{more}}}],
        "observe": ["a.output", "b.output"]
    }}"#
    ))
}

/// [`rates`] with weights that are observed and change by `rules`.
fn learning(rules: &str) -> MultiGranularityConfig {
    let mut settings = rates(&format!(r#", "plasticity": {rules}"#));
    settings.observe.push("coupler[0].weights".into());
    settings
}

/// Two rows of three numbers from outside.
fn driven(place: &Place) -> ConstantInput {
    ConstantInput(place.tensor(vec![1.0, -0.5, 0.8, 0.3, 1.2, -1.0], [2, 3]))
}

#[test]
fn weights_change_as_by_the_rule_alone() {
    let place = f64_place();
    for rules in [
        r#"{"rules": [{"kind": "hebb", "rate": 0.02}]}"#,
        r#"{"rules": [{"kind": "oja", "rate": 0.05}]}"#,
        r#"{"rules": [{"kind": "bcm", "rate": 0.1, "target": 0.3}, {"kind": "decay"}],
            "limits": {"bounds": {"kind": "soft", "low": -1.0, "high": 1.0}}}"#,
        r#"{"rules": [{"kind": "covariance", "rate": 0.1}], "limits": {"keep_signs": true}}"#,
    ] {
        for delay in [0_usize, 2] {
            let mut settings = learning(rules);
            settings.couplers[0].delay = delay as f64;
            let model = settings.init(&place).unwrap();
            let dynamics = model.dynamics().unwrap();
            let start = model.initial_state(2).unwrap();
            let grid = Grid::over(30.0, 1.0).unwrap();
            let (seen, _) = record(&dynamics, start, &driven(&place), &grid).unwrap();
            let part = |step: usize, first, width| {
                let row = seen.clone().narrow(0, step, 1).narrow(2, first, width);
                row.reshape([2, width])
            };

            let plasticity = settings.couplers[0].plasticity.as_ref().unwrap();
            let weights = place.tensor(WEIGHTS.to_vec(), [3, 2]);
            let alone = PlasticConnection::new(plasticity.init(&place).unwrap(), weights);
            let mut state = alone.initial(2, false);
            for step in 0..30_usize {
                let pre = match step.checked_sub(delay) {
                    Some(sent) => part(sent, 0, 3),
                    None => place.full(0.0, [2, 3]),
                };
                let post = part(step + 1, 3, 2);
                let activity = Activity {
                    pre,
                    post,
                    dt: 1.0,
                    reward: None,
                };
                state = alone.learn(&state, &activity).unwrap();
                let expected = host(state[0].clone()).unwrap();
                let found = host(part(step + 1, 5, 6)).unwrap();
                for (found, expected) in found.iter().zip(expected) {
                    assert_close(*found, expected, 1e-12);
                }
            }
            // Each row has weights of its own, and they have moved.
            let last = host(state[0].clone()).unwrap();
            for element in 0..6 {
                let (one, other) = (last[element], last[6 + element]);
                assert!((one - other).abs() > 1e-4, "{rules}: {last:?}");
                assert!((one - WEIGHTS[element]).abs() > 1e-4, "{rules}: {last:?}");
            }
        }
    }
}

#[test]
fn weights_that_stay_are_those_of_a_plain_coupler() {
    let place = f64_place();
    let seen = |settings: &MultiGranularityConfig| {
        let model = settings.init(&place).unwrap();
        let start = model.initial_state(2).unwrap();
        let grid = Grid::over(20.0, 1.0).unwrap();
        let dynamics = model.dynamics().unwrap();
        let (seen, _) = record(&dynamics, start, &driven(&place), &grid).unwrap();
        host(seen).unwrap()
    };
    let plain = seen(&rates(""));
    let still = r#", "plasticity": {"rules": [{"kind": "hebb", "rate": 0.0}]}"#;
    for (found, expected) in seen(&rates(still)).iter().zip(&plain) {
        assert_close(*found, *expected, 1e-12);
    }
    let moving = r#", "plasticity": {"rules": [{"kind": "hebb", "rate": 0.05}]}"#;
    let moved = seen(&rates(moving));
    assert!(moved.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 0.01));
}

/// Two cells that three others hear, each level in steps of its own.
fn spiking(rules: &str, delay: usize) -> MultiGranularityConfig {
    config(&format!(
        r#"{{"dt": 1.0, "level": [
            {{"name": "from", "dt": 0.25, "unit": {{"kind": "lif", "cells": 2, "current": [25.0, 40.0]}}}},
            {{"name": "to", "dt": 0.5, "unit": {{"kind": "lif", "cells": 3, "current": [12.0, 16.0, 30.0]}}}}
        ], "coupler": [{{"from": "from.spike", "to": "to", "time_constant": 3.0, "delay": {delay},
            "conversion": {{"kind": "scale", "from": "1", "to": "µA/cm²", "factor": 50.0}},
            "projection": {{"dense": {{"weights": [[0.5, 0.4, 0.3], [0.2, 0.6, 0.5]]}}}},
            "plasticity": {rules}}}], "observe": ["coupler[0].weights"]}}"#
    ))
}

#[test]
fn rules_of_spikes_hear_every_spike_of_both_levels_once() {
    let place = f64_place();
    let rules = [
        r#"{"rules": [{"kind": "pair-stdp"}], "limits": {"bounds": {"kind": "hard", "low": 0, "high": 1}}}"#,
        r#"{"rules": [{"kind": "triplet-stdp"},
            {"kind": "homeostasis", "target": 0.05, "signal": "spikes", "average_time_constant": 20.0}]}"#,
    ];
    for (rules, delay) in [(rules[0], 0), (rules[0], 2), (rules[1], 0)] {
        let settings = spiking(rules, delay);
        let model = settings.init(&place).unwrap();
        let dynamics = model.dynamics().unwrap();
        let mut state = model.initial_state(1).unwrap();
        let plasticity = settings.couplers[0].plasticity.as_ref().unwrap();
        let weights = vec![0.5, 0.4, 0.3, 0.2, 0.6, 0.5];
        let weights = place.tensor(weights, [2, 3]);
        let alone = PlasticConnection::new(plasticity.init(&place).unwrap(), weights);
        let mut expected = alone.initial(1, false);
        let mut sent = vec![place.full(0.0, [1, 2]); delay];
        let mut spikes = [0.0; 2];
        for step in 0..120 {
            let at = Clock {
                step,
                time: step as f64,
                dt: 1.0,
            };
            let mut counts = [place.full(0.0, [1, 2]), place.full(0.0, [1, 3])];
            let mut watch = |level: usize, _: f64, own: &State| {
                counts[level] = counts[level].clone() + own[1].clone();
                Ok(())
            };
            state = dynamics.step_watched(at, &state, None, &mut watch).unwrap();
            let [pre, post] = counts;
            for (sum, counted) in spikes.iter_mut().zip([&pre, &post]) {
                *sum += host(counted.clone()).unwrap().iter().sum::<f64>();
            }
            sent.push(pre);
            let activity = Activity {
                pre: sent.remove(0),
                post,
                dt: 1.0,
                reward: None,
            };
            expected = alone.learn(&expected, &activity).unwrap();
            let found = host(dynamics.observe(&state)).unwrap();
            for (found, expected) in found.iter().zip(host(expected[0].clone()).unwrap()) {
                assert_close(*found, expected, 1e-12);
            }
        }
        assert!(spikes.iter().all(|count| *count > 15.0), "{spikes:?}");
        let moved = host(expected[0].clone()).unwrap();
        assert!((moved[0] - 0.5).abs() > 1e-3, "{moved:?}");
    }
    let model = spiking(rules[0], 2).init(&place).unwrap();
    let dynamics = model.dynamics().unwrap();
    let names = dynamics.variables().iter().map(|v| v.name.as_str());
    let names: Vec<&str> = names.take(dynamics.shown()).collect();
    let own = [
        "coupler[0].weights",
        "coupler[0].pair-stdp.pre",
        "coupler[0].pair-stdp.post",
    ];
    assert_eq!(names[names.len() - 3..], own);
}

#[test]
fn the_gradient_through_weights_that_change_agrees_with_differences() {
    let settings = learning(
        r#"{"rules": [
            {"kind": "bcm", "rate": 0.1, "target": 0.4, "trainable": ["rate", "time_constant", "target"]},
            {"kind": "decay", "rate": 0.02, "trainable": ["rate"]}]}"#,
    );
    let place = f64_autodiff();
    let model = settings.init(&place).unwrap();
    let loss = |seen: Tensor<3>| seen.sin().sum();
    assert_gradient(&model, &driven(&place), (1.0, 10), loss, 1e-5, 1e-5);
    // Where weights begin and what the rules say are the couplers'.
    let couplers = model.train_only(&["couplers"]).unwrap();
    assert_eq!(tracked(&couplers), 5);
}

#[test]
fn surrogates_carry_a_gradient_into_rules_of_spikes() {
    use crate::gradient::{Memory, Run, gradient};
    let settings = spiking(
        r#"{"rules": [{"kind": "pair-stdp", "trainable": ["potentiation"]}]}"#,
        0,
    );
    let model = settings.init(&f64_autodiff()).unwrap();
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &Grid::over(60.0, 1.0).unwrap(),
        every: 1,
        memory: &Memory::Segments(4),
    };
    let found = gradient(&model, &run, |seen| seen.sum()).unwrap();
    let slopes = crate::differences::slopes(&model, found.parameters);
    assert_eq!(slopes.len(), 2);
    assert!(
        slopes
            .iter()
            .all(|(_, own)| own.iter().any(|x| x.abs() > 1e-3))
    );
}

#[test]
fn weights_for_each_row_and_inputs_for_each_unit_fit_into_memory_or_are_named() {
    let place = f64_place();
    let model = learning(r#"{"rules": [{"kind": "hebb"}]}"#).init(&place);
    let rows = model.unwrap().initial_state(1 << 50).unwrap_err();
    let units = config::identity("b", 1 << 31, &place).unwrap_err();
    for (error, part) in [(rows, "coupler[0]"), (units, "the level b")] {
        assert!(matches!(error, DynamicsError::Memory(_)), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn what_no_rule_can_do_is_named() {
    let place = f64_place();
    let refused = |settings: MultiGranularityConfig, parts: &[&str]| {
        let error = settings.init(&place).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    let hebb = r#"{"rules": [{"kind": "hebb"}]}"#;
    let stdp = r#"{"rules": [{"kind": "pair-stdp"}]}"#;
    refused(
        learning(r#"{"rules": []}"#),
        &["coupler[0].plasticity.rules = []"],
    );
    refused(
        learning(r#"{"rules": [{"kind": "bcm", "time_constant": -1}]}"#),
        &["coupler[0].plasticity.bcm.time_constant = -1", "above 0"],
    );
    refused(
        learning(stdp),
        &[
            "coupler[0].plasticity.rules[0] = pair-stdp",
            "level a has no spikes",
        ],
    );
    refused(
        spiking(hebb, 0),
        &[
            "coupler[0].plasticity.rules[0] = hebb",
            "level to is of cells",
        ],
    );
    refused(
        learning(r#"{"rules": [{"kind": "hebb"}, {"kind": "pair-stdp"}]}"#),
        &[
            "rules[1] = pair-stdp",
            "a rule of rates, as those before it",
        ],
    );
    refused(
        learning(r#"{"rules": [{"kind": "decay"}, {"kind": "pair-stdp"}]}"#),
        &["rules[1] = pair-stdp", "level a has no spikes"],
    );
    let mut settings = learning(hebb);
    settings.levels[1].direct = false;
    settings.levels[1].inputs = 2;
    refused(settings, &["rules[0] = hebb", "level.b.direct = true"]);
    let mut settings = learning(hebb);
    settings.levels[1].inputs = 2;
    refused(settings, &["level.b.direct = true", "without inputs"]);
    let mut settings = learning(hebb);
    settings.couplers[0].projection = Projection::Mean { gain: 1.0 };
    refused(
        settings,
        &["coupler[0].plasticity = with mean", "dense or random"],
    );
    let mut settings = learning(hebb);
    settings.levels[1] = serde_json::from_str(
        r#"{"name": "b", "system": {"kind": "linear", "a": [[-1, 0], [0, -1]], "b": [[1], [0]]}}"#,
    )
    .unwrap();
    settings.observe.clear();
    settings.couplers[0].projection = Projection::Random { gain: 1.0, seed: 0 };
    refused(settings, &["coupler[0].plasticity: the units of b", "[2]"]);
    let mut settings = learning(hebb);
    settings.observe = vec!["coupler[1].weights".into()];
    refused(settings, &["\"coupler[1].weights\"", "coupler[0].weights"]);
    let mut settings = spiking(stdp, 0);
    settings.couplers[0].conversion = Conversion::SpikeToRate { reference: 100.0 };
    settings.couplers[0].effect =
        Some(serde_json::from_str(r#"{"conductance": {"reversal": 50.0}}"#).unwrap());
    refused(
        settings.clone(),
        &[
            "coupler[0].plasticity.limits = free",
            "a conductance is not negative",
        ],
    );
    let limited = r#"{"rules": [{"kind": "pair-stdp"}], "limits": {"keep_signs": true}}"#;
    settings.couplers[0].plasticity = serde_json::from_str(limited).unwrap();
    assert!(settings.init(&place).is_ok());
    let unknown = serde_json::from_str::<CouplerConfig>(
        r#"{"from": "a.output", "to": "b", "conversion": {"kind": "rate-to-drive"},
            "plasticity": {"rules": [{"kind": "heb"}]}}"#,
    );
    let unknown = unknown.unwrap_err().to_string();
    assert!(
        unknown.contains("heb") && unknown.contains("pair-stdp"),
        "{unknown}"
    );
}
