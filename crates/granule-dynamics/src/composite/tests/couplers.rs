//! Each conversion with each projection against calculations by hand.

use super::*;
use crate::NormalNoise;

/// A receiver that shows what arrives: a linear system without leak and with B = 1/dt adds the input of each step to x.
const RECEIVER: &str = r#"{"name": "to", "solver": "euler", "system": {"kind": "linear", "a": [[0.0]], "b": [[1.0]]}}"#;

/// What arrived in each step.
fn arrived(x: &[f64]) -> Vec<f64> {
    x.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A cell that fires at 10 ln(7/2) ms and every 5 + 10 ln(7/2) ms from then on, in steps of 0.1 ms.
fn firing(coupler: &str, duration: f64) -> Vec<f64> {
    let text = format!(
        r#"{{"dt": 1.0, "level": [
            {{"name": "from", "dt": 0.1, "unit": {{"kind": "lif", "current": 14.0}}}}, {RECEIVER}
        ], "coupler": [{{"from": "from.spike", "to": "to", {coupler}}}], "observe": ["to.x"]}}"#
    );
    let model = config(&text).init(&f64_place()).unwrap();
    let dynamics = model.dynamics().unwrap();
    let start = model.initial_state(1).unwrap();
    let grid = Grid::over(duration, 1.0).unwrap();
    let (seen, _) = record(&dynamics, start, &NoInput, &grid).unwrap();
    arrived(&host(seen).unwrap())
}

#[test]
fn every_spike_arrives_whichever_substep_it_is_in() {
    let coupler = r#""conversion": {"kind": "spike-to-rate", "reference": 50.0}"#;
    let seen = firing(coupler, 60.0);
    let first = 10.0 * 3.5_f64.ln();
    let mut expected = vec![0.0; 60];
    for spike in [first, 2.0 * first + 5.0, 3.0 * first + 10.0] {
        // One spike in 1 ms is 1000 Hz, twenty times the reference; the receiver hears of it in the next step.
        expected[spike as usize + 1] = 20.0;
    }
    assert_eq!(expected.iter().filter(|x| **x > 0.0).count(), 3);
    for (found, expected) in seen.iter().zip(expected) {
        assert_close(*found, expected, 1e-12);
    }
}

/// A sender by itself: its level, its own step in a whole step of 1 ms, and the quantity that is read.
struct Sender {
    level: &'static str,
    dt: f64,
    quantity: &'static str,
}

const VOLTAGES: Sender = Sender {
    level: r#""unit": {"kind": "lif", "cells": 2, "current": [3.0, 5.0]}"#,
    dt: 0.25,
    quantity: "v",
};
const SPIKES: Sender = Sender {
    level: r#""unit": {"kind": "lif", "cells": 2, "current": [40.0, 60.0]}"#,
    dt: 0.2,
    quantity: "spike",
};
const RATES: Sender = Sender {
    level: r#""population": {"units": 2, "time_constant": 5.0, "private_noise": 0.5}"#,
    dt: 0.5,
    quantity: "output",
};
const STATES: Sender = Sender {
    level: r#""system": {"kind": "linear", "a": [[-0.05, -0.1], [0.1, -0.05]], "b": [], "initial": [1.0, 0.5]}"#,
    dt: 0.25,
    quantity: "x",
};

impl Sender {
    fn level(&self) -> String {
        let Self { level, dt, .. } = self;
        format!(r#"{{"name": "from", "dt": {dt}, {level}}}"#)
    }

    /// The quantity after every one of the sender's own steps, which hears of nobody.
    fn alone(&self, duration: f64) -> Vec<[f64; 2]> {
        let text = format!(
            r#"{{"dt": {}, "seed": 4, "level": [{}], "observe": ["from.{}"]}}"#,
            self.dt,
            self.level(),
            self.quantity
        );
        let model = config(&text).init(&f64_place()).unwrap();
        let seen = seen(&model, duration, self.dt);
        seen.chunks(2).map(|pair| [pair[0], pair[1]]).collect()
    }
}

fn seen(model: &MultiGranularityModel, duration: f64, dt: f64) -> Vec<f64> {
    let dynamics = model.dynamics().unwrap();
    let start = model.initial_state(1).unwrap();
    let grid = Grid::over(duration, dt).unwrap();
    let (seen, _) = record(&dynamics, start, &NoInput, &grid).unwrap();
    host(seen).unwrap()
}

/// Every conversion: as it is written, what it reads, its formula for a step of the sender, and whether a current comes out.
#[expect(clippy::type_complexity, reason = "a table")]
const CONVERSIONS: [(&str, Sender, fn(f64, f64) -> f64, bool); 7] = [
    (
        r#"{"kind": "voltage-to-rate", "threshold": 2.0, "slope": 1.5}"#,
        VOLTAGES,
        |v, _| 1.0 / (1.0 + (-(v - 2.0) / 1.5).exp()),
        false,
    ),
    (
        r#"{"kind": "spike-to-rate", "reference": 40.0}"#,
        SPIKES,
        |spikes, dt| spikes / (dt * 1e-3) / 40.0,
        false,
    ),
    (r#"{"kind": "rate-to-current"}"#, RATES, |x, _| x, true),
    (r#"{"kind": "rate-to-drive"}"#, RATES, |x, _| x, false),
    (r#"{"kind": "drive-to-rate"}"#, STATES, |x, _| x, false),
    (r#"{"kind": "drive-to-current"}"#, STATES, |x, _| x, true),
    (
        r#"{"kind": "scale", "from": "mV", "to": "µA/cm²", "factor": -0.4}"#,
        VOLTAGES,
        |v, _| -0.4 * v,
        true,
    ),
];

/// As they are written, with their weights, senders by receivers.
fn projections() -> [(&'static str, [[f64; 2]; 2]); 4] {
    let random: Vec<f64> = NormalNoise::new(7, 0)
        .values(0, 4)
        .iter()
        .map(|x| x * 0.6 / 2.0_f64.sqrt())
        .collect();
    [
        (r#"{"mean": {"gain": 1.5}}"#, [[0.75, 0.75], [0.75, 0.75]]),
        (
            r#"{"one-to-one": {"gain": -0.8}}"#,
            [[-0.8, 0.0], [0.0, -0.8]],
        ),
        (
            r#"{"dense": {"weights": [[0.5, -1.0], [2.0, 0.25]]}}"#,
            [[0.5, -1.0], [2.0, 0.25]],
        ),
        (
            r#"{"random": {"gain": 0.6, "seed": 7}}"#,
            [[random[0], random[1]], [random[2], random[3]]],
        ),
    ]
}

/// The whole: a sender, a receiver of rates and drives or of currents, and a coupler between them.
fn coupled(sender: &Sender, current: bool, coupler: &str) -> MultiGranularityConfig {
    let receiver = if current {
        // v moves towards R·I with τ = 10 ms and never reaches its threshold.
        r#""unit": {"kind": "lif", "cells": 2, "parameters": {"resistance": 2.0, "rest": 0.0, "threshold": 1e4}}"#
    } else {
        // x sums up what it gets.
        r#""solver": "euler", "system": {"kind": "linear", "a": [[0, 0], [0, 0]], "b": [[1, 0], [0, 1]]}"#
    };
    let seen = if current { "to.v" } else { "to.x" };
    config(&format!(
        r#"{{"dt": 1.0, "seed": 4, "level": [{}, {{"name": "to", {receiver}}}],
            "coupler": [{{"from": "from.{}", "to": "to", {coupler}}}], "observe": ["{seen}"]}}"#,
        sender.level(),
        sender.quantity
    ))
}

/// Filter time constants and delays, ms.
const WAYS: [(f64, usize); 4] = [(0.0, 0), (3.0, 0), (0.0, 2), (3.0, 2)];

#[test]
fn every_conversion_with_every_projection_delivers_what_its_formula_says() {
    const DURATION: usize = 12;
    for (conversion, sender, formula, current) in &CONVERSIONS {
        let alone = sender.alone(DURATION as f64);
        let substeps = (1.0 / sender.dt).round() as usize;
        let counts = sender.quantity == "spike";
        assert!(alone.iter().flatten().any(|x| *x != 0.0), "{conversion}");
        for (projection, weights) in projections() {
            for (tau, delay) in WAYS {
                let coupler = format!(
                    r#""conversion": {conversion}, "projection": {projection}, "time_constant": {tau}, "delay": {delay}"#
                );
                // What is said at the beginning of each step.
                let convert = |index: usize| alone[index].map(|x| formula(x, sender.dt));
                let mut filtered = [0.0; 2];
                let mut said: Vec<[f64; 2]> = Vec::new();
                for step in 0..DURATION {
                    let last = step * substeps;
                    said.push(match (tau > 0.0, counts) {
                        (false, false) => convert(last),
                        (false, true) => {
                            let mean = |unit: usize| {
                                let steps = last.saturating_sub(substeps) + 1..=last;
                                let sum: f64 = steps.map(|index| convert(index)[unit]).sum();
                                sum / substeps as f64
                            };
                            [mean(0), mean(1)]
                        }
                        (true, _) => filtered,
                    });
                    for index in last + 1..=last + substeps {
                        let keep = (-sender.dt / f64::max(tau, 1e-300)).exp();
                        let x = convert(index);
                        filtered = [0, 1].map(|i| keep * filtered[i] + (1.0 - keep) * x[i]);
                    }
                }
                let settings = coupled(sender, *current, &coupler);
                let model = settings.init(&f64_place()).unwrap();
                let seen = seen(&model, DURATION as f64, 1.0);
                let mut x = [seen[0], seen[1]];
                for step in 0..DURATION {
                    let sent = match step.checked_sub(delay) {
                        Some(then) => said[then],
                        None => [0.0; 2],
                    };
                    for unit in 0..2 {
                        let got = sent[0] * weights[0][unit] + sent[1] * weights[1][unit];
                        x[unit] = if *current {
                            let keep = (-0.1_f64).exp();
                            keep * x[unit] + (1.0 - keep) * 2.0 * got
                        } else {
                            x[unit] + got
                        };
                        let found = seen[2 * (step + 1) + unit];
                        let near = (found - x[unit]).abs() <= 1e-12 * x[unit].abs().max(1.0);
                        assert!(near, "{coupler}, step {step}: {found} is not {}", x[unit]);
                    }
                }
            }
        }
    }
}

#[test]
fn gain_and_weights_of_every_coupler_have_their_gradient() {
    let place = f64_autodiff();
    for (conversion, sender, _, current) in &CONVERSIONS {
        for (projection, _) in projections() {
            let (tau, delay) = WAYS[3];
            let coupler = format!(
                r#""conversion": {conversion}, "projection": {projection}, "time_constant": {tau}, "delay": {delay}"#
            );
            let model = coupled(sender, *current, &coupler).init(&place).unwrap();
            let model = model.train_only(&["couplers"]).unwrap();
            let loss = |seen: Tensor<3>| seen.mul_scalar(0.3).sin().sum();
            assert_gradient(&model, &NoInput, (1.0, 8), loss, 1e-5, 1e-5);
        }
    }
}

#[test]
fn what_a_conversion_cannot_read_is_refused_with_those_that_fit() {
    let unit = |model: &str| format!(r#""unit": {{"kind": "{model}"}}"#);
    let shown = r#""unit": {"kind": "lif", "observed": "spikes"}"#;
    // The level, the quantity, and the conversions that read it.
    let quantities = [
        (unit("lif"), "v", "voltage-to-rate"),
        (unit("lif"), "output", "voltage-to-rate"),
        (unit("lif"), "spike", "spike-to-rate"),
        (shown.into(), "output", "spike-to-rate"),
        (unit("adex"), "spike", "spike-to-rate"),
        (unit("izhikevich"), "spike", "spike-to-rate"),
        (unit("qif"), "spike", "spike-to-rate"),
        (unit("qif"), "v", ""),
        (unit("hodgkin-huxley"), "m", ""),
        (unit("wang-buzsaki"), "h", ""),
        (unit("lif"), "since_spike", ""),
        (
            r#""population": {"units": 1}"#.into(),
            "output",
            "rate-to-current rate-to-drive",
        ),
        (
            r#""population": {"units": 1}"#.into(),
            "x",
            "drive-to-rate drive-to-current",
        ),
        (
            r#""system": {"kind": "linear"}"#.into(),
            "x",
            "drive-to-rate drive-to-current",
        ),
        (
            r#""system": {"kind": "linear"}"#.into(),
            "output",
            "drive-to-rate drive-to-current",
        ),
        (
            r#""system": {"kind": "jansen-rit"}"#.into(),
            "y1",
            "voltage-to-rate",
        ),
        (r#""system": {"kind": "jansen-rit"}"#.into(), "output", ""),
        (
            r#""system": {"kind": "wilson-cowan"}"#.into(),
            "E",
            "rate-to-current rate-to-drive",
        ),
        (
            r#""system": {"kind": "wilson-cowan"}"#.into(),
            "I",
            "rate-to-current rate-to-drive",
        ),
        (
            r#""system": {"kind": "wilson-cowan"}"#.into(),
            "output",
            "rate-to-current rate-to-drive",
        ),
        // In 1/ms.
        (
            r#""system": {"kind": "montbrio-pazo-roxin"}"#.into(),
            "r",
            "",
        ),
        (
            r#""system": {"kind": "montbrio-pazo-roxin"}"#.into(),
            "v",
            "drive-to-rate drive-to-current",
        ),
    ];
    let kinds = [
        ("voltage-to-rate", false),
        ("spike-to-rate", false),
        ("rate-to-current", true),
        ("rate-to-drive", false),
        ("drive-to-rate", false),
        ("drive-to-current", true),
    ];
    for (level, quantity, fitting) in &quantities {
        let fitting: Vec<&str> = fitting.split_whitespace().collect();
        for (kind, current) in kinds {
            let with = |current: bool| {
                let receiver = if current {
                    unit("hodgkin-huxley")
                } else {
                    r#""system": {"kind": "linear"}"#.into()
                };
                config(&format!(
                    r#"{{"dt": 0.1, "level": [{{"name": "from", {level}}}, {{"name": "to", {receiver}}}], "coupler": [
                        {{"from": "from.{quantity}", "to": "to", "conversion": {{"kind": "{kind}"}}}}]}}"#
                ))
                .init(&f64_place())
            };
            let fits = fitting.contains(&kind);
            let Err(error) = with(current) else {
                assert!(fits, "{quantity} of {level} goes through {kind}");
                // Where a current is taken for a drive, the unit tells.
                let error = with(!current).unwrap_err().to_string();
                assert!(
                    error.contains(&format!("coupler[0] ({kind}) is in")),
                    "{error}"
                );
                assert!(error.ends_with("scale"), "{error}");
                continue;
            };
            let error = error.to_string();
            assert!(!fits, "{error}");
            let found = error.split("conversions that fit: ").nth(1).unwrap();
            let named: Vec<&str> = found.split(", ").collect();
            assert_eq!(named, [fitting.as_slice(), &["scale"]].concat(), "{error}");
            let from = format!("from.{quantity} is ");
            assert!(error.starts_with(&from), "{error}");
        }
    }
}

#[test]
fn the_output_of_a_system_is_its_activity() {
    let text = r#"{"dt": 0.1, "level": [{"name": "one",
        "system": {"kind": "jansen-rit", "noise": 0, "initial": [0.1, 9.0, 2.0, 0, 0, 0]}}], "observe": ["one.output"]}"#;
    let model = config(text).init(&f64_place()).unwrap();
    // Sigmoid of y1 − y2 = 7 mV, in Hz; not the potential itself.
    let rate = 5.0 / (1.0 + (0.56_f64 * (6.0 - 7.0)).exp());
    assert_close(seen(&model, 0.1, 0.1)[0], rate, 1e-13);
}

/// The voltage of cells at rest after 20 ms of what a system sends them.
fn driven(system: &str, quantity: &str, conversion: &str) -> Result<f64, String> {
    let settings = config(&format!(
        r#"{{"dt": 0.5, "level": [
            {{"name": "field", "dt": 0.05, "system": {system}}},
            {{"name": "cells", "dt": 0.05, "unit": {{"kind": "hodgkin-huxley"}}}}
        ], "coupler": [
            {{"from": "field.{quantity}", "to": "cells", "conversion": {conversion},
              "projection": {{"mean": {{"gain": 3}}}}}}
        ], "observe": ["cells.v"]}}"#
    ));
    let model = settings
        .init(&f64_place())
        .map_err(|error| error.to_string())?;
    Ok(seen(&model, 20.0, 0.5)[40])
}

#[test]
fn rates_of_mean_fields_drive_cells() {
    let quiet = r#"{"kind": "scale", "from": "Hz", "to": "µA/cm²", "factor": 0}"#;
    let quiet = driven(r#"{"kind": "jansen-rit"}"#, "output", quiet).unwrap();
    let cowan = r#"{"kind": "wilson-cowan", "excitatory_drive": 5.0}"#;
    let field = r#"{"kind": "montbrio-pazo-roxin", "initial": [0.5, 0.0]}"#;
    let column = r#"{"kind": "jansen-rit"}"#;
    for (system, quantity, unit, factor) in [
        (cowan, "E", "1", 1.0),
        (field, "r", "1/ms", 2.0),
        (column, "output", "Hz", 0.5),
    ] {
        let scale =
            format!(r#"{{"kind": "scale", "from": "{unit}", "to": "µA/cm²", "factor": {factor}}}"#);
        let scaled = driven(system, quantity, &scale).unwrap();
        assert!((scaled - quiet).abs() > 0.1, "{quantity}: {scaled} {quiet}");
        // A rate with a unit becomes a current by a factor that names it, and the refusal says so.
        match driven(system, quantity, r#"{"kind": "rate-to-current"}"#) {
            Ok(found) => assert_eq!((unit, found), ("1", scaled)),
            Err(text) => {
                assert_ne!(unit, "1");
                assert!(text.contains(&format!("is in {unit}")), "{text}");
                assert!(text.ends_with("conversions that fit: scale"), "{text}");
            }
        }
    }
}

/// Every compartment of a cable, and not its record sites alone.
#[test]
fn the_whole_of_a_cable_can_be_sent_and_observed() {
    let model = config(
        r#"{
        "dt": 0.1,
        "level": [
            {"name": "cable", "unit": {"kind": "cable", "current": 0.05, "record_sites": "a(0)", "stimulus_sites": "a(0)",
              "section": [{"name": "a", "length": 300.0, "diameter": 1.0, "compartments": 3}]}},
            {"name": "population", "inputs": 1, "population": {"units": 2, "time_constant": [10.0]}}
        ],
        "coupler": [
            {"from": "cable.v_all", "to": "population", "channels": 1, "conversion": {"kind": "voltage-to-rate"},
             "projection": {"mean": {"gain": 1.0}}}
        ],
        "observe": ["cable.v", "cable.v_all", "population.output"]
    }"#,
    );
    let place = f64_place();
    let model = model.init(&place).unwrap();
    let dynamics = model.dynamics().unwrap();
    let initial = model.initial_state(1).unwrap();
    let grid = Grid::over(2.0, 0.1).unwrap();
    let (seen, _) = record(&dynamics, initial, &NoInput, &grid).unwrap();
    let [times, _, columns] = seen.dims();
    assert_eq!(columns, 1 + 3 + 2);
    let last = host(seen.narrow(0, times - 1, 1)).unwrap();
    assert_eq!(last[0], last[1]);
    assert!(last[1] > last[2] && last[2] > last[3], "{last:?}");
}
