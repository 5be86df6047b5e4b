//! What is recorded from a time on.

use std::ops::ControlFlow;

use super::whole::{experiment, to_the_end};
use super::{Experiment, ExperimentConfig, Snapshot, refused};
use crate::presets::Preset;
use crate::testing::f64_place;

/// The end of what a whole record has, bit for bit, whichever way the steps are taken.
#[test]
fn a_record_that_begins_later_is_the_end_of_a_whole_one() {
    for (name, duration, from, every) in [
        ("hodgkin-huxley", 60.0, 20.013, 7),
        ("balanced-network", 120.0, 50.0, 3),
        ("vogels-abbott-coba", 40.0, 21.3, 2),
        ("competitive-stdp", 600.0, 250.0, 100),
        ("jansen-rit", 200.0, 199.99, 1),
        ("fitzhugh-nagumo", 40.0, 40.0, 1),
        ("wilson-cowan", 40.0, 0.0, 10),
    ] {
        let text = Preset::find(name).unwrap().toml;
        let with = |from: f64| {
            let change = |config: &mut ExperimentConfig| {
                config.duration = duration;
                (config.record.from, config.record.every) = (from, every);
            };
            experiment(text, change, &f64_place())
        };
        let all = to_the_end(&with(0.0));
        for later in [with(from), with(from).apart()] {
            let later = to_the_end(&later);
            let first = all
                .times
                .partition_point(|time| *time < from * (1.0 - 1e-12));
            assert_eq!(later.times, all.times[first..], "{name}");
            assert_eq!((later.from, later.reached), (from, all.reached));
            if later.operations.is_some() {
                for (own, whole) in later.traces.iter().zip(&all.traces) {
                    assert_eq!(own.values, whole.values[first * whole.width..], "{name}");
                }
                assert_eq!(later.last, all.last, "{name}");
                for (own, whole) in later.spikes.iter().zip(&all.spikes) {
                    let kept = whole.times.iter().copied().filter(|time| *time >= from);
                    assert_eq!(own.times, kept.collect::<Vec<f64>>(), "{name}");
                }
            }
            for (own, whole) in later.stimulus.iter().zip(&all.stimulus) {
                assert_eq!(own.values, whole.values[first * whole.width..], "{name}");
            }
        }
    }
}

#[test]
fn rates_are_those_of_the_time_that_was_recorded() {
    let text = Preset::find("hodgkin-huxley").unwrap().toml;
    let later = experiment(text, |config| config.record.from = 50.0, &f64_place());
    let outcome = to_the_end(&later);
    let count = outcome.spikes[0].times.len() as f64;
    assert_eq!(outcome.recorded(), outcome.reached - 50.0);
    let rate = outcome.mean_rate_hz(&outcome.groups[0]);
    assert_eq!(rate, 1000.0 * count / outcome.recorded());
}

/// Two runs, the second from the state of the first, and one.
#[test]
fn a_run_goes_on_from_a_state_as_if_it_had_never_stopped() {
    for (name, duration, middle, every) in [
        ("hodgkin-huxley", 60.0, 20.0, 7),
        ("balanced-network", 120.0, 51.3, 3),
        ("vogels-abbott-cuba", 60.0, 21.3, 2),
        ("potjans-diesmann", 20.0, 8.3, 1),
        ("competitive-stdp", 600.0, 250.0, 100),
        ("ring-attractor", 300.0, 151.0, 1),
        ("whole-brain", 3000.0, 1234.0, 10),
        ("jansen-rit", 300.0, 100.0, 4),
        ("rate-sine", 100.0, 30.0, 1),
        ("multi-granularity", 60.0, 20.0, 1),
        ("adex", 200.0, 90.0, 1),
    ] {
        let text = Preset::find(name).unwrap().toml;
        let until = |duration: f64| {
            let change = |config: &mut ExperimentConfig| {
                config.duration = duration;
                config.record.every = every;
            };
            experiment(text, change, &f64_place())
        };
        let all = to_the_end(&until(duration));
        for apart in [false, true] {
            let way = |experiment: Experiment| {
                if apart {
                    experiment.apart()
                } else {
                    experiment
                }
            };
            let (first, state) = way(until(middle))
                .run_saving(|_, _| ControlFlow::Continue(()))
                .unwrap();
            let text = serde_json::to_string(&state).unwrap();
            let state: Snapshot = serde_json::from_str(&text).unwrap();
            let mut second = until(duration);
            second.continue_from(&state).unwrap();
            assert!(second.differs_from(&state).is_empty(), "{name}");
            let second = to_the_end(&way(second));
            assert_eq!(second.from, first.reached, "{name}");
            if apart {
                continue;
            }
            assert_eq!(second.last, all.last, "{name}");
            let from = all
                .times
                .partition_point(|time| *time < first.reached * (1.0 - 1e-12));
            assert_eq!(second.times, all.times[from..], "{name}");
            for (own, whole) in second.traces.iter().zip(&all.traces) {
                assert_eq!(
                    own.values,
                    whole.values[from * whole.width..],
                    "{name}: {}",
                    own.name
                );
            }
            let pairs = first.spikes.iter().zip(&second.spikes).zip(&all.spikes);
            for ((first, second), whole) in pairs {
                let both: Vec<f64> = first.times.iter().chain(&second.times).copied().collect();
                assert_eq!(both, whole.times, "{name}");
            }
        }
    }
}

#[test]
fn a_state_of_another_model_is_refused() {
    let made = |name: &str, duration: f64, dt: f64| {
        let text = Preset::find(name).unwrap().toml;
        let change = |config: &mut ExperimentConfig| (config.duration, config.dt) = (duration, dt);
        experiment(text, change, &f64_place())
    };
    let (_, state) = made("hodgkin-huxley", 10.0, 0.025)
        .run_saving(|_, _| ControlFlow::Continue(()))
        .unwrap();
    for (mut other, said) in [
        (made("fitzhugh-nagumo", 20.0, 0.025), "another model"),
        (made("hodgkin-huxley", 20.0, 0.0125), "steps of 0.025 ms"),
        (made("hodgkin-huxley", 5.0, 0.025), "end of the run"),
    ] {
        let error = other.continue_from(&state).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let mut own = made("hodgkin-huxley", 10.0, 0.025);
    own.continue_from(&state).unwrap();
    assert!(to_the_end(&own).complete);
}

#[test]
fn a_record_begins_within_its_run() {
    for from in ["-1", "10.5"] {
        let text = format!(
            r#"{{"duration": 10, "unit": {{"kind": "hodgkin-huxley"}}, "record": {{"from": {from}}}}}"#
        );
        let error = refused(&text);
        assert!(error.contains("record.from"), "{error}");
    }
}
