//! On the real MNIST, where it is at hand.

use crate::support::{fine, real_data};

#[test]
fn mnist_is_learnt_from_a_few_samples() {
    let Some(data) = real_data("mnist") else {
        return;
    };
    let data = data.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let train = [
        "train",
        "mlp",
        "--dataset",
        "mnist",
        "--data-dir",
        data,
        "--offline",
        "--limit-train",
        "2000",
    ];
    let args = [
        &train[..],
        &[
            "--epochs",
            "2",
            "--json",
            "--run-dir",
            "r",
            "--device",
            "flex",
        ],
    ]
    .concat();
    let result = fine(dir.path(), &args).result();
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.8, "{result}");

    let again = fine(
        dir.path(),
        &["eval", "r", "--device", "ndarray", "--offline", "--json"],
    )
    .result();
    let distance =
        again["test_accuracy"].as_f64().unwrap() - result["test_accuracy"].as_f64().unwrap();
    assert!(distance.abs() < 0.002, "{result} {again}");

    let state = fine(
        dir.path(),
        &["data", "verify", "mnist", "--data-dir", data, "--json"],
    )
    .json();
    assert_eq!(state.len(), 4);
    assert!(state.iter().all(|file| file["state"] == "ok"), "{state:?}");
}
