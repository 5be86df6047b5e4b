//! A model whose layers a file lists.

use std::path::Path;

use crate::support::{fine, refused, save_npy};

#[test]
fn the_example_is_planned_trained_evaluated_and_used() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sequential.toml");
    let example = example.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let plan = fine(
        dir.path(),
        &["train", example, "--dry-run", "--device", "flex"],
    )
    .stdout;
    for row in [
        ["layers.0", "8×14×14", "weight 8×1×3×3", "80"],
        ["layers.3 (residual)", "8×14×14", "", "0"],
        ["layers.6", "64", "weight 392×64", "25,152"],
        ["output", "10", "weight 64×10", "650"],
    ] {
        let found = plan
            .lines()
            .find(|line| line.starts_with(row[0]) && line.contains(row[1]));
        let fits = found.is_some_and(|line| line.contains(row[2]) && line.ends_with(row[3]));
        assert!(fits, "{row:?}: {plan}");
    }
    let words = [
        "train",
        example,
        "--device",
        "flex",
        "--epochs",
        "4",
        "--json",
        "--run-dir",
        "run",
    ];
    let result = fine(dir.path(), &words).result();
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.75, "{result}");
    let again = fine(
        dir.path(),
        &["eval", "run", "--device", "ndarray", "--json"],
    )
    .result();
    assert_eq!(again["test_accuracy"], result["test_accuracy"]);
    save_npy(&dir.path().join("x.npy"), "|u1", "(1, 28, 28)", &[0; 784]);
    let words = [
        "predict",
        "run/model.granule",
        "x.npy",
        "--device",
        "flex",
        "--json",
    ];
    assert_eq!(fine(dir.path(), &words).json().len(), 1);
}

#[test]
fn what_does_not_fit_is_named_by_key_and_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let residual = |depth: usize| {
        let (open, close) = (
            "{kind=\"residual\",layer=[".repeat(depth),
            "]}".repeat(depth),
        );
        format!("{open}{{kind=\"relu\"}}{close}")
    };
    let cases: [(&str, &[&str], i32); 10] = [
        (
            "",
            &["model.layer = 0 layers", "1 to 256", "[[model.layer]]"],
            2,
        ),
        (
            "{kind=\"dens\"}",
            &["model.layer.0.kind", "`dens`", "`dense`"],
            2,
        ),
        (
            "{kind=\"dense\",units=3}",
            &["model.layer[0] (dense)", "takes vectors", "1×28×28"],
            2,
        ),
        (
            "{kind=\"conv\",filters=3,stride=0}",
            &["model.layer[0].stride = 0", "1 to 64"],
            2,
        ),
        (
            "{kind=\"conv\",filters=3,kernel=40,padding=0}",
            &["model.layer[0] (conv)", "40×40", "1×28×28"],
            2,
        ),
        (
            "{kind=\"flatten\"},{kind=\"dense\"}",
            &["`model.layer.1.units` is missing"],
            2,
        ),
        (
            "{kind=\"conv\",filters=99999999999}",
            &["model.layer[0].filters = 99999999999"],
            2,
        ),
        (
            &"{kind=\"relu\"},".repeat(100_000),
            &["model.layer = 100,000 layers", "1 to 256"],
            2,
        ),
        (&residual(2000), &["layers.toml", "recursion"], 2),
        // What it gives for a batch of 64 samples.
        (
            "{kind=\"conv\",filters=65536,kernel=1}",
            &["64 samples through the layers", "needs 24", "memory"],
            1,
        ),
    ];
    for (layers, parts, code) in cases {
        let text = format!("[model]\nkind = \"sequential\"\nlayer = [{layers}]\n");
        std::fs::write(dir.path().join("layers.toml"), text).unwrap();
        let words = [
            "train",
            "layers.toml",
            "--device",
            "flex",
            "--memory",
            "4GiB",
            "--run-dir",
            "r",
        ];
        let error = refused(dir.path(), &words, code);
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

/// Counts in 20 steps of 3 channels, the first a thousand times as large; the class is the channel that has more in the middle.
#[test]
fn sequences_in_arrays_are_learnt_evaluated_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for sample in 0..240_u32 {
        for step in 0..20 {
            for channel in 0..3 {
                let noise = (sample * 61 + step * 17 + channel * 29) % 7;
                let shown = (5..15).contains(&step) && channel == sample % 3;
                let scale = if channel == 0 { 1000.0 } else { 1.0 };
                let count = scale * (noise + 6 * u32::from(shown)) as f32;
                x.extend(count.to_le_bytes());
            }
        }
        y.push((sample % 3) as u8);
    }
    save_npy(&dir.path().join("x.npy"), "<f4", "(240, 20, 3)", &x);
    save_npy(&dir.path().join("y.npy"), "|u1", "(240,)", &y);
    save_npy(&dir.path().join("one.npy"), "<f4", "(20, 3)", &x[..240]);
    let mut words = vec![
        "train",
        "gru",
        "--dataset",
        "arrays:x.npy,y.npy",
        "--device",
        "flex",
        "--epochs",
        "60",
        "--set",
        "model.units=16",
        "--json",
        "--run-dir",
        "run",
    ];
    let text = refused(dir.path(), &words, 1);
    assert!(text.contains("data.layout"), "{text}");
    words.extend(["--set", "data.layout=sequence"]);
    let text = refused(dir.path(), &words, 2);
    assert!(text.contains("model.readout = auto"), "{text}");
    words.extend(["--set", "model.readout=last"]);
    let result = fine(dir.path(), &words).result();
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.9, "{result}");
    let eval = ["eval", "run", "--device", "ndarray", "--json"];
    let again = fine(dir.path(), &eval).result();
    assert_eq!(again["test_accuracy"], result["test_accuracy"]);
    let predict = [
        "predict",
        "run/model.granule",
        "one.npy",
        "--device",
        "flex",
        "--json",
    ];
    let answer = fine(dir.path(), &predict).json();
    assert!(answer[0].to_string().contains("\"0\""), "{answer:?}");
}
