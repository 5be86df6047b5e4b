//! Currents of channels, synapses and gap junctions, recorded beside the variables.

use super::whole::{experiment, to_the_end};
use super::{ExperimentConfig, Outcome};
use crate::presets::Preset;
use crate::testing::{assert_close, f64_place};

fn recording(text: &str, names: &[&str], change: impl Fn(&mut ExperimentConfig)) -> [Outcome; 2] {
    let made = || {
        let with = |config: &mut ExperimentConfig| {
            config.record.variables = names.iter().map(|name| (*name).into()).collect();
            config.record.columns = 0;
            change(config);
        };
        experiment(text, with, &f64_place())
    };
    [to_the_end(&made()), to_the_end(&made().apart())]
}

fn values<'a>(outcome: &'a Outcome, name: &str) -> &'a [f64] {
    let trace = outcome.traces.iter().find(|trace| trace.name == name);
    &trace.unwrap().values
}

/// C dV/dt = I − Σ I_channel, by differences of the recorded potential.
#[test]
fn what_charges_the_membrane_is_the_current_that_is_not_recorded() {
    for (kind, channels, current) in [
        ("hodgkin-huxley", &["na", "k"][..], 10.0),
        ("wang-buzsaki", &["na", "k"], 10.0),
        ("connor-stevens", &["na", "k", "a"], 30.0),
    ] {
        let text = format!(
            "duration = 8.0\ndt = 0.002\nsolver = \"rk4\"\n[unit]\nkind = \"{kind}\"\ncells = 2\ncurrent = [{current}, {}]\n",
            0.5 * current
        );
        let currents: Vec<String> = channels
            .iter()
            .chain(&["l"])
            .map(|name| format!("I_{name}"))
            .collect();
        let names: Vec<&str> = ["v"]
            .into_iter()
            .chain(currents.iter().map(String::as_str))
            .collect();
        for outcome in recording(&text, &names, |_| ()) {
            let v = values(&outcome, "v");
            let mut largest = 0.0_f64;
            for cell in 0..2 {
                let given = [1.0, 0.5][cell] * current;
                for at in 1..outcome.times.len() - 1 {
                    let of = |values: &[f64], at: usize| values[2 * at + cell];
                    let slope = (of(v, at + 1) - of(v, at - 1)) / 0.004;
                    let all: f64 = currents
                        .iter()
                        .map(|name| of(values(&outcome, name), at))
                        .sum();
                    largest = largest.max(slope.abs());
                    assert!(
                        (slope - (given - all)).abs() < 0.02 * (1.0 + slope.abs()),
                        "{kind} {at} {slope}"
                    );
                }
            }
            // A spike was among it.
            assert!(largest > 100.0, "{kind} {largest}");
            assert!(
                outcome.traces[1..]
                    .iter()
                    .all(|trace| trace.unit == "µA/cm²")
            );
        }
    }
}

/// The squid axon at rest: gates, conductances and reversals by hand.
#[test]
fn currents_at_rest_are_those_of_the_gates_at_rest() {
    let text =
        "duration = 0.1\ndt = 0.01\n[unit]\nkind = \"hodgkin-huxley\"\ninitial = { v = -65.0 }\n";
    for outcome in recording(text, &["v", "m", "h", "n", "I_na", "I_k", "I_l"], |_| ()) {
        let first = |name: &str| values(&outcome, name)[0];
        let [m, h, n] = ["m", "h", "n"].map(first);
        for (gate, exact) in [(m, 0.052_932_5), (h, 0.596_120_8), (n, 0.317_676_9)] {
            assert_close(gate, exact, 1e-6);
        }
        assert_close(first("I_na"), 120.0 * m.powi(3) * h * (-65.0 - 50.0), 1e-12);
        assert_close(first("I_k"), 36.0 * n.powi(4) * (-65.0 + 77.0), 1e-12);
        assert_close(first("I_l"), 0.3 * (-65.0 + 54.387), 1e-12);
        assert_close(first("I_na"), -1.22, 0.005);
        assert_close(first("I_k"), 4.40, 0.005);
    }
}

#[test]
fn synapses_have_the_currents_of_what_is_open() {
    let text = Preset::find("vogels-abbott-coba").unwrap().toml;
    let names = [
        "excitatory.v",
        "excitatory.open.0",
        "excitatory.open.1",
        "excitatory.I_excitation+start",
        "excitatory.I_inhibition+start",
    ];
    for outcome in recording(text, &names, |config| config.duration = 20.0) {
        let [v, open, closed, excitation, inhibition] = names.map(|name| values(&outcome, name));
        for at in 0..v.len() {
            assert_close(excitation[at], open[at] * v[at], 1e-9);
            assert_close(inhibition[at], closed[at] * (v[at] + 80.0), 1e-9);
        }
        assert!(excitation.iter().any(|x| *x < -10.0) && inhibition.iter().any(|x| *x > 10.0));
    }
    // A current is what enters, a gap junction conducts from the higher potential.
    let text = r#"
        duration = 20.0
        dt = 0.1
        [[circuit.population]]
        name = "in"
        size = 1
        cell = "spikes"
        train = { times = [2.0], cells = [0] }
        [[circuit.population]]
        name = "a"
        size = 2
        cell = "hodgkin-huxley"
        current = [10.0, 0.0]
        [[circuit.projection]]
        from = "in"
        to = "a"
        weight = 3.0
        kinetics = { exponential = { time_constant = 5.0 } }
        [[circuit.projection]]
        from = "a"
        to = "a"
        gap = "symmetric"
        weight = 0.1
    "#;
    let names = ["a.v", "a.open", "a.I_in", "a.I_gap", "a.I_na", "a.I_l"];
    for outcome in recording(text, &names, |_| ()) {
        let [v, open, current, gap, sodium, leak] = names.map(|name| values(&outcome, name));
        for at in (0..v.len()).step_by(2) {
            assert_close(current[at], -open[at], 1e-12);
            assert_close(gap[at], 0.1 * (v[at] - v[at + 1]), 1e-12);
            assert_close(gap[at + 1], -gap[at], 1e-12);
            assert_close(leak[at], 0.3 * (v[at] + 54.387), 1e-9);
        }
        assert!(current.iter().any(|x| *x < -2.0) && sodium.iter().any(|x| *x < -100.0));
    }
}

#[test]
fn sites_and_levels_have_currents() {
    let text = Preset::find("ball-and-stick").unwrap().toml;
    for outcome in recording(text, &["v", "I_na", "I_k", "I_l"], |_| ()) {
        let labels: Vec<&str> = outcome.traces[1]
            .labels
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(labels, ["soma", "dendrite(0.5)", "dendrite(1)"]);
        let [v, sodium, leak] = ["v", "I_na", "I_l"].map(|name| values(&outcome, name));
        for (v, leak) in v.iter().zip(leak) {
            assert_close(*leak, 0.1 * (v + 65.0), 1e-9);
        }
        // The soma has sodium channels, the dendrite none.
        let of = |site: usize| sodium.iter().skip(site).step_by(3).copied();
        assert!(of(0).fold(0.0, f64::min) < -100.0);
        assert!(of(1).chain(of(2)).all(|x| x == 0.0));
    }
    let text = Preset::find("multi-granularity").unwrap().toml;
    for outcome in recording(text, &["cells.v", "cells.I_l"], |config| {
        config.duration = 20.0
    }) {
        assert_eq!(outcome.traces[1].width, 20);
        let [v, leak] = ["cells.v", "cells.I_l"].map(|name| values(&outcome, name));
        for (v, leak) in v.iter().zip(leak) {
            assert_close(*leak, 0.3 * (v + 54.387), 1e-9);
        }
    }
}

#[test]
fn currents_are_recorded_where_they_are_asked_for() {
    let text = "duration = 1.0\ndt = 0.1\n[unit]\nkind = \"hodgkin-huxley\"\n";
    let [outcome, _] = recording(text, &[], |_| ());
    let names: Vec<&str> = outcome
        .traces
        .iter()
        .map(|trace| trace.name.as_str())
        .collect();
    assert_eq!(names, ["v", "m", "h", "n"]);
    for (name, said) in [
        ("I_ca", "v, m, h, n, I_na, I_k, I_l"),
        ("I_na", "I_na twice"),
    ] {
        let mut config: ExperimentConfig = toml::from_str(text).unwrap();
        config.record.variables = vec!["I_na".into(), name.into()];
        let error = config.init(&f64_place()).err().unwrap().to_string();
        assert!(
            error.contains("record.variables") && error.contains(said),
            "{error}"
        );
    }
}
