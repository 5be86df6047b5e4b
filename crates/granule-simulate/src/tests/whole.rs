//! Many steps in a call against the same steps one by one.

use std::ops::ControlFlow;

use super::{DynamicsError, Experiment, ExperimentConfig, Outcome};
use crate::presets::PRESETS;
use crate::testing::{assert_close, f32_places, f64_place};
use granule_dynamics::Place;
use granule_dynamics::circuit::RuleOfConnections;

pub(super) fn experiment(
    text: &str,
    change: impl FnOnce(&mut ExperimentConfig),
    place: &Place,
) -> Experiment {
    let mut config: ExperimentConfig = toml::from_str(text).unwrap();
    change(&mut config);
    config.init(place).unwrap()
}

pub(super) fn to_the_end(experiment: &Experiment) -> Outcome {
    experiment.run(|_, _| ControlFlow::Continue(())).unwrap()
}

/// Both outcomes, with what is seen within `tolerance`.
fn agree(name: &str, whole: &Outcome, apart: &Outcome, tolerance: f64) {
    assert!(
        whole.operations.is_some() && apart.operations.is_none(),
        "{name}"
    );
    assert_eq!(whole.times, apart.times, "{name}");
    assert_eq!(whole.reached, apart.reached, "{name}");
    assert_eq!(whole.complete, apart.complete, "{name}");
    assert_eq!(whole.stimulus, apart.stimulus, "{name}");
    assert_eq!(whole.warnings, apart.warnings, "{name}");
    for (traces, others) in [(&whole.traces, &apart.traces), (&whole.last, &apart.last)] {
        assert_eq!(traces.len(), others.len(), "{name}");
        for (found, expected) in traces.iter().zip(others) {
            assert_eq!(found.name, expected.name, "{name}");
            assert_eq!(
                found.values.len(),
                expected.values.len(),
                "{name}: {}",
                found.name
            );
            for (x, y) in found.values.iter().zip(&expected.values) {
                assert_close(*x, *y, tolerance * (1.0 + y.abs()));
            }
        }
    }
    assert_eq!(whole.spikes.len(), apart.spikes.len(), "{name}");
    for (found, expected) in whole.spikes.iter().zip(&apart.spikes) {
        assert_eq!(found.times.len(), expected.times.len(), "{name}");
        for (x, y) in found.times.iter().zip(&expected.times) {
            assert_close(*x, *y, tolerance * 1e3);
        }
    }
}

/// A large network with a tenth of its cells, and of the connections of each: chaos makes rounding visible in large ones.
fn shrink(config: &mut ExperimentConfig) {
    let Some(circuit) = &mut config.circuit else {
        return;
    };
    let large = circuit.populations.iter_mut().filter(|own| own.size > 1000);
    large.for_each(|own| own.size = own.size.div_ceil(10));
    for projection in &mut circuit.projections {
        if let RuleOfConnections::FixedInDegree(rule) = &mut projection.rule {
            rule.degree = rule.degree.div_ceil(10);
        }
    }
}

/// Every model, solver, noise and coupling of the presets.
#[test]
fn presets_are_the_same_taken_whole_and_step_by_step() {
    for preset in PRESETS {
        let short = |config: &mut ExperimentConfig| {
            // A number of steps that is no multiple of those of a call.
            config.duration = (301.0 * config.dt).min(config.duration);
            config.record.every = 3;
            shrink(config);
        };
        let whole = experiment(preset.toml, short, &f64_place());
        assert!(
            whole.whole().is_ok(),
            "{}: {:?}",
            preset.name,
            whole.whole()
        );
        let apart = experiment(preset.toml, short, &f64_place()).apart();
        agree(preset.name, &to_the_end(&whole), &to_the_end(&apart), 1e-9);
    }
}

#[test]
fn single_precision_is_the_same_within_its_rounding() {
    for (name, place) in f32_places() {
        // Step by step a GPU takes some 40 ms for each.
        let duration = if name == "wgpu" { 2.0 } else { 20.0 };
        let text = format!(
            "duration = {duration}\ndt = 0.05\n[unit]\nkind = \"hodgkin-huxley\"\ncurrent = [8.0, 10.0]"
        );
        let text = text.as_str();
        let whole = experiment(text, |_| (), &place);
        let apart = experiment(text, |_| (), &place).apart();
        let (whole, apart) = (to_the_end(&whole), to_the_end(&apart));
        // A GPU rounds a step of tensors and the kernel apart: in an upstroke of 400 mV/ms the one is 6 µV from double precision,
        // the other 4.
        let tolerance = if name == "wgpu" { 1e-2 } else { 1e-3 };
        agree(name, &whole, &apart, tolerance);
        for (found, expected) in whole.spikes.iter().zip(&apart.spikes) {
            for (x, y) in found.times.iter().zip(&expected.times) {
                assert_close(*x, *y, 1e-5);
            }
        }
    }
}

#[test]
fn noise_is_that_of_each_step() {
    let text = "duration = 30.0\ndt = 0.1\nseed = 5\n[system]\nkind = \"jansen-rit\"\nnoise = 30.0";
    let whole = experiment(text, |_| (), &f64_place());
    let apart = experiment(text, |_| (), &f64_place()).apart();
    agree("noise", &to_the_end(&whole), &to_the_end(&apart), 1e-12);
}

/// A level that takes ten steps in one of the whole draws for each of them.
#[test]
fn noise_of_a_level_is_that_of_its_own_steps() {
    let text = "duration = 40.0\ndt = 1.0\nseed = 3\n[[composite.level]]\nname = \"decision\"\ndt = 0.1\n\
        system = { kind = \"wong-wang\" }";
    let whole = experiment(text, |_| (), &f64_place());
    assert!(whole.whole().is_ok(), "{:?}", whole.whole());
    let apart = experiment(text, |_| (), &f64_place()).apart();
    agree("levels", &to_the_end(&whole), &to_the_end(&apart), 1e-12);
}

#[test]
fn some_columns_are_those_of_all() {
    let text = "duration = 5.0\ndt = 0.05\n[unit]\nkind = \"hodgkin-huxley\"\ncells = 40\ncurrent = 10.0\n\
        [record]\ncolumns = 3";
    let whole = experiment(text, |_| (), &f64_place());
    let apart = experiment(text, |_| (), &f64_place()).apart();
    agree("columns", &to_the_end(&whole), &to_the_end(&apart), 1e-9);
}

#[test]
fn a_run_ends_at_the_step_where_it_is_told_to() {
    let text = "duration = 50.0\ndt = 0.05\n[unit]\nkind = \"hodgkin-huxley\"\ncurrent = 10.0";
    for last in [0, 1, 7, 128, 300, 517] {
        let end = |experiment: &Experiment| {
            let mut heard = Vec::new();
            let outcome = experiment.run(|step, _| {
                heard.push(step);
                if step < last {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            assert_eq!(heard, (0..=last).collect::<Vec<_>>());
            outcome.unwrap()
        };
        let whole = end(&experiment(text, |_| (), &f64_place()));
        let apart = end(&experiment(text, |_| (), &f64_place()).apart());
        assert!(!whole.complete);
        agree("ended", &whole, &apart, 1e-9);
    }
    let stopped = experiment(text, |_| (), &f64_place());
    stopped.stop().ask();
    assert!(to_the_end(&stopped).reached < 50.0);
}

#[test]
fn what_goes_wrong_is_said_alike() {
    // Far beyond what any step can resolve.
    let text = "duration = 20.0\ndt = 1.0\nsolver = \"euler\"\n[unit]\nkind = \"hodgkin-huxley\"\ncurrent = 1e5";
    let failed = |experiment: Experiment| -> DynamicsError {
        experiment
            .run(|_, _| ControlFlow::Continue(()))
            .unwrap_err()
    };
    let whole = experiment(text, |_| (), &f64_place());
    assert!(whole.whole().is_ok());
    let apart = experiment(text, |_| (), &f64_place()).apart();
    assert_eq!(failed(whole).to_string(), failed(apart).to_string());
}

#[test]
fn very_many_steps_of_a_level_are_taken_by_themselves() {
    let text = "duration = 4.0\ndt = 2.0\n[[composite.level]]\nname = \"cell\"\ndt = 0.001\n\
        unit = { kind = \"lif\", current = 14.0 }";
    let many = experiment(text, |_| (), &f64_place());
    let why = many.whole().unwrap_err();
    assert!(why.contains("at most 1000"), "{why}");
}

#[test]
fn an_adaptive_solver_takes_each_step_by_itself() {
    let text = "duration = 5.0\ndt = 1.0\nrtol = 1e-6\nsolver = \"tsit5\"\n[unit]\nkind = \"hodgkin-huxley\"";
    let adaptive = experiment(text, |_| (), &f64_place());
    let why = adaptive.whole().unwrap_err();
    assert!(why.contains("adaptive"), "{why}");
    assert_eq!(to_the_end(&adaptive).operations, None);
}
