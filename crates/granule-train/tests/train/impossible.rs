//! Checkpoints with the right checksum and contents that no run can have come to.

use std::fs;
use std::path::Path;

use granule_models::{CheckpointFile, TensorValue};
use granule_train::{StopFlag, TrainError, resume_with};
use serde_json::{Value, json};

use crate::checkpoints::{model_in, step_checkpoint};
use crate::common::*;

type Change = fn(&mut CheckpointFile);

/// Writes a checkpoint again, with the checksum of what it then says.
fn change(path: &Path, change: Change) {
    let mut file = CheckpointFile::from_bytes(&fs::read(path).unwrap()).unwrap();
    change(&mut file);
    let mut bytes = Vec::new();
    file.write_to(&mut bytes).unwrap();
    fs::write(path, bytes).unwrap();
}

fn progress(file: &mut CheckpointFile, pointer: &str, value: Value) {
    let mut json: Value = serde_json::from_str(&file.progress).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    file.progress = json.to_string();
}

fn optimizer<'a>(file: &'a mut CheckpointFile, slot: &str) -> &'a mut TensorValue {
    let mut all = file.optimizer.0.iter_mut();
    all.find(|(name, _)| name.starts_with(slot)).unwrap().1
}

/// What is changed, and how the message names it.
const CHANGES: [(&str, Change); 11] = [
    ("sums.correct is 1000000000", |file| {
        progress(file, "/sums/correct", json!(1e9 as u64))
    }),
    ("sums.samples is", |file| {
        progress(file, "/sums/samples", json!(u64::MAX))
    }),
    ("sums.loss is NaN", |file| {
        progress(file, "/sums/loss", json!(f64::NAN.to_bits()))
    }),
    ("first_loss is NaN", |file| {
        progress(file, "/first_loss", json!(f64::NAN.to_bits()))
    }),
    ("before.epochs is", |file| {
        progress(file, "/before/epochs", json!(u64::MAX))
    }),
    ("stopped_early is true", |file| {
        progress(file, "/stopped_early", json!(true))
    }),
    ("samples is", |file| {
        progress(file, "/samples", json!(1_000_000))
    }),
    (
        "\"layers.0.bias\" holds a value that is not finite",
        |file| {
            file.model.state.0.values_mut().next().unwrap().data[0] = f32::NAN;
        },
    ),
    ("layers.0.bias", |file| {
        let bias = file.model.state.0.get_mut("layers.0.bias").unwrap();
        bias.shape.insert(0, 1);
    }),
    ("exp_avg_sq.layers.0.bias is below 0", |file| {
        optimizer(file, "exp_avg_sq.").data.fill(-1.0);
    }),
    ("exp_avg.layers.0.bias is not finite", |file| {
        optimizer(file, "exp_avg.").data[0] = f32::INFINITY;
    }),
];

#[test]
fn the_one_before_is_taken_or_the_field_named() {
    let spec = "flex".parse().unwrap();
    let mut config = config(&spec, mlp(&[8], 0.0), 2, 8);
    config.optimizer = adam(0.01);
    config.train.checkpoint_every_steps = Some(2);
    config.train.keep_checkpoints = 9;
    let data = points(30, 9);
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&config, &data, &whole).unwrap();
    let end = model_in(&step_checkpoint(&whole, 8));

    // Six steps along, in the middle of an epoch.
    let begin = |name: &str, steps: &[u64]| {
        let run = dir.path().join(name);
        fs::create_dir_all(run.join("checkpoints")).unwrap();
        fs::copy(whole.join("config.toml"), run.join("config.toml")).unwrap();
        for step in steps {
            fs::copy(step_checkpoint(&whole, *step), step_checkpoint(&run, *step)).unwrap();
        }
        run
    };
    for (index, (named, what)) in CHANGES.into_iter().enumerate() {
        let run = begin(&format!("two{index}"), &[4, 6]);
        change(&step_checkpoint(&run, 6), what);
        let mut witness = Witness::default();
        resume_with(&run, &data, &mut witness, &StopFlag::new()).unwrap();
        assert_eq!(witness.resumed_at, Some(4), "{named}");
        let warned = witness.warnings.join("\n");
        let names = warned.contains(named) && warned.contains("step-00000006.ckpt");
        assert!(names, "{named}: {warned}");
        assert_eq!(model_in(&step_checkpoint(&run, 8)), end, "{named}");

        let run = begin(&format!("one{index}"), &[6]);
        change(&step_checkpoint(&run, 6), what);
        let mut witness = Witness::default();
        let error = resume_with(&run, &data, &mut witness, &StopFlag::new()).unwrap_err();
        assert!(matches!(error, TrainError::NoCheckpoint { .. }), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(named) && error.contains("start the run anew"),
            "{error}"
        );
        assert!(step_checkpoint(&run, 6).exists());
    }
}
