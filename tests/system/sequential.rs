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
