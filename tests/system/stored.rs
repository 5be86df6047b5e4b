//! Files that an earlier granule wrote: `tests/fixtures` is never written anew.

use std::path::{Path, PathBuf};

use crate::support::{fine, save_npy};

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    fixtures.join(name)
}

/// A stored run as the folder `run`.
fn copy(name: &str, dir: &Path) {
    fn all(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap().path();
            let to = to.join(entry.file_name().unwrap());
            if entry.is_dir() {
                all(&entry, &to);
            } else {
                std::fs::copy(&entry, to).unwrap();
            }
        }
    }
    all(&fixture(name), &dir.join("run"));
}

/// A one and a seven, white on black, as arrays of 28×28 bytes.
fn strokes() -> Vec<u8> {
    let one = |row: i32, column: i32| (12..16).contains(&column) && (4..24).contains(&row);
    let seven = |row: i32, column: i32| {
        let bar = (5..8).contains(&row) && (7..21).contains(&column);
        bar || ((8..24).contains(&row) && (column + row / 2 - 22).abs() < 2)
    };
    let pixels = |is_white: &dyn Fn(i32, i32) -> bool| -> Vec<u8> {
        let places = (0..28).flat_map(|row| (0..28).map(move |column| (row, column)));
        places
            .map(|(row, column)| if is_white(row, column) { 255 } else { 0 })
            .collect()
    };
    [pixels(&one), pixels(&seven)].concat()
}

/// `granule train mlp --set model.widths=[3] --set model.activation=tanh --epochs 60 --limit-train 1000 --lr 0.01`, and what
/// that program itself predicted.
#[test]
fn a_stored_model_predicts_what_it_always_did() {
    let dir = tempfile::tempdir().unwrap();
    save_npy(&dir.path().join("x.npy"), "|u1", "(2, 28, 28)", &strokes());
    let model = fixture("mlp/model.granule");
    let model = model.to_str().unwrap();
    let expected = [
        [
            ("1", 0.903231143951416),
            ("8", 0.035082101821899414),
            ("5", 0.019672347232699394),
        ],
        [
            ("7", 0.5878881812095642),
            ("2", 0.24288398027420044),
            ("1", 0.12777963280677795),
        ],
    ];
    for device in ["flex", "ndarray"] {
        let words = [
            "predict", model, "x.npy", "--json", "--top", "3", "--device", device,
        ];
        let events = fine(dir.path(), &words).json();
        assert_eq!(events.len(), expected.len());
        for (event, expected) in events.iter().zip(&expected) {
            let top = event["top"].as_array().unwrap();
            assert_eq!(top.len(), expected.len());
            for (found, (class, probability)) in top.iter().zip(expected) {
                assert_eq!(found["class"], *class, "{device}: {event}");
                let found = found["probability"].as_f64().unwrap();
                assert!((found - probability).abs() < 1e-6, "{device}: {event}");
            }
        }
    }
}

#[test]
fn a_stored_run_is_evaluated_and_its_configuration_read() {
    let dir = tempfile::tempdir().unwrap();
    copy("mlp", dir.path());
    let result = fine(dir.path(), &["eval", "run", "--device", "flex", "--json"]).result();
    assert_eq!(result["test_accuracy"], 0.473);
    let loss = result["test_loss"].as_f64().unwrap();
    assert!((loss - 1.539824498921454).abs() < 1e-6, "{loss}");
    let plan = fine(dir.path(), &["train", "run/config.toml", "--dry-run"]).stdout;
    for part in ["2,395 parameters", "train 60 epochs of 16 steps, batch 64"] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
}

/// A convolution with batch normalisation, by `sequential`, and a rate network that began to learn a task.
#[test]
fn stored_runs_of_other_models_are_evaluated() {
    for (name, loss, accuracy) in [
        ("conv", 2.212092227048287, 0.207),
        ("rate", 0.5950405886717869, 0.505),
    ] {
        let dir = tempfile::tempdir().unwrap();
        copy(name, dir.path());
        let result = fine(dir.path(), &["eval", "run", "--device", "flex", "--json"]).result();
        assert_eq!(result["test_accuracy"], accuracy, "{name}");
        let found = result["test_loss"].as_f64().unwrap();
        assert!((found - loss).abs() < 1e-6, "{name}: {found}");
    }
}

/// Two Hodgkin–Huxley cells and a rate network that was fitted to a recording, with what that program itself simulated.
#[test]
fn a_stored_model_of_several_levels_runs_as_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("levels/model.granule");
    let words = [
        "simulate",
        model.to_str().unwrap(),
        "--duration",
        "20",
        "--device",
        "flex",
        "--json",
    ];
    let result = fine(dir.path(), &words).json().pop().unwrap();
    let mean = |name: &str| result["mean"][name].as_f64().unwrap();
    for (name, expected) in [
        ("cells.v", -51.92457598631634),
        ("population.x", 0.04282841954784877),
    ] {
        let found = mean(name);
        assert!(
            (found - expected).abs() < 1e-5 * expected.abs(),
            "{name}: {found}"
        );
    }
}

/// A run that ended after 20 of its 48 steps, and the loss that it had when nothing ended it.
#[test]
fn a_stored_run_goes_on_at_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    copy("interrupted", dir.path());
    let words = ["train", "--resume", "run", "--device", "flex", "--json"];
    let result = fine(dir.path(), &words).result();
    assert_eq!(result["epochs"], 6);
    let loss = result["test_loss"].as_f64().unwrap();
    assert!((loss - 1.9217543687306753).abs() < 1e-6, "{loss}");
}
