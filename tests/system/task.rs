//! Rate networks: tasks, and images by rows.

use crate::support::{fine, refused};

const SMALL: [&str; 12] = [
    "train",
    "rate",
    "--device",
    "flex",
    "--epochs",
    "2",
    "--set",
    "model.units=24",
    "--set",
    "model.dt=50",
    "--run-dir",
    "run",
];

#[test]
fn a_task_is_trained_tested_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let task = ["--task", "perceptual-decision", "--trials", "640"];
    let counts = ["--set", "data.trials.test=100", "--json"];
    let finished = fine(dir.path(), &[&SMALL[..], &task, &counts].concat());
    let events = finished.json();
    let told = events
        .iter()
        .find(|event| event["event"] == "task")
        .unwrap();
    assert_eq!(told["name"], "perceptual-decision");
    assert_eq!((&told["train"], &told["test"]), (&640.into(), &100.into()));
    let result = finished.result();
    assert!(result["test_loss"].as_f64().unwrap() > 0.0, "{result}");
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.0, "{result}");
    assert!(result.get("macro_f1").unwrap().is_null(), "{result}");
    assert_eq!(result["test_samples"], 100);

    let again = fine(dir.path(), &["eval", "run", "--device", "flex", "--json"]).result();
    for key in ["test_accuracy", "test_samples", "epochs"] {
        assert_eq!(again[key], result[key], "{key}");
    }
    let ndarray = fine(
        dir.path(),
        &["eval", "run/model.granule", "--device", "ndarray"],
    )
    .stdout;
    assert!(ndarray.contains("ideal observer"), "{ndarray}");
    fine(dir.path(), &["report", "run"]);
    let page = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
    assert!(page.contains("Coherence") && page.contains("One trial"));

    let error = refused(dir.path(), &["predict", "run", "a.npy"], 1);
    assert!(error.contains("granule eval"), "{error}");
    let error = refused(dir.path(), &["eval", "run", "--dataset", "mnist"], 2);
    assert!(error.contains("perceptual-decision"), "{error}");
}

#[test]
fn images_are_seen_by_rows() {
    let dir = tempfile::tempdir().unwrap();
    let command = "train rate --device flex --epochs 3 --limit-test 300 --json --run-dir run \
                   --set model.units=48 --set model.dale_ratio=0.8";
    let args: Vec<&str> = command.split_whitespace().collect();
    let result = fine(dir.path(), &args).result();
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.4, "{result}");
    let page = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
    assert!(page.contains("Confusion"));
}

#[test]
fn bad_input_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    for (args, parts) in [
        (
            &["train", "rate", "--task", "perceptual-desicion"][..],
            &["perceptual-desicion", "`perceptual-decision`"][..],
        ),
        (
            &["train", "mlp", "--task", "sine"],
            &["model.kind", "\"rate\""],
        ),
        (
            &[
                "train",
                "rate",
                "--task",
                "flip-flop",
                "--set",
                "model.dt=80",
            ],
            &["model.dt", "task.pulse_ms"],
        ),
        (
            &["train", "rate", "--set", "model.dt=300"],
            &["model.dt", "300"],
        ),
        (
            &["train", "rate", "--set", "model.time_constant=[-1]"],
            &["model.time_constant", "-1"],
        ),
    ] {
        let error = refused(dir.path(), args, 2);
        for part in parts {
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
