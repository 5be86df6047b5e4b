use granule_models::{LeNetConfig, ModelConfig};

use crate::common::*;

/// Data, metrics, events and records against forward pass, backward pass and update.
#[test]
#[ignore = "a measurement: run it alone, on an idle machine, with --nocapture"]
fn the_loop_costs_less_than_a_twentieth_of_lenets_steps() {
    let data = images(32, 64 * 60, 3);
    let lenet = ModelConfig::new(LeNetConfig::default());
    on_each(&["flex"], |spec, device| {
        let mut share = f64::NAN;
        for model in [mlp(&[128], 0.0), lenet.clone()] {
            let dir = tempfile::tempdir().unwrap();
            let (outcome, _) = run(&config(spec, model.clone(), 2, 64), &data, dir.path()).unwrap();
            let samples = (2 * data.train.len()) as f64;
            let seconds = samples / outcome.images_per_second;
            share = seconds / outcome.step_seconds - 1.0;
            println!(
                "{} on {}: {:.3} ms a step, of which the loop's own {:.3} ms, {:.1} % of the step",
                model.name(),
                device.name(),
                1e3 * seconds / outcome.steps as f64,
                1e3 * (seconds - outcome.step_seconds) / outcome.steps as f64,
                100.0 * share
            );
        }
        assert!(share < 0.05, "{share}");
    });
}
