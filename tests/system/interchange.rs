//! Weights out of granule and into it, from the command line.

use std::path::Path;

use crate::support::{fine, refused, save_npy, trained};

/// Answers of a model to two images, as they are printed.
fn answers(dir: &Path, model: &str) -> String {
    fine(dir, &["predict", model, "x.npy", "--json", "--top", "10"]).stdout
}

#[test]
fn a_model_leaves_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let pixels: Vec<u8> = (0..2 * 784).map(|i| (i * 37 % 251) as u8).collect();
    save_npy(&dir.join("x.npy"), "|u1", "(2, 28, 28)", &pixels);
    let run = trained().to_str().unwrap();
    let expected = answers(dir, run);
    for name in ["w.safetensors", "w.onnx", "w.npz"] {
        fine(dir, &["export", run, "--out", name]);
        let by_run = ["import", name, "--model", run, "--out", "a.granule"];
        fine(dir, &by_run);
        assert_eq!(answers(dir, "a.granule"), expected, "{name}");
        // Classes and normalisation of the data set are those of the run.
        let by_set = [
            "import",
            name,
            "--model",
            "mlp",
            "--dataset",
            "synthetic-digits",
            "--out",
            "b.granule",
            "--json",
        ];
        let said = fine(dir, &by_set);
        assert!(said.has_event("import"), "{}", said.stdout);
        assert!(said.stdout.contains("synthetic-digits"), "{}", said.stdout);
        assert_eq!(answers(dir, "b.granule"), expected, "{name}");
    }
    let untold = refused(dir, &["eval", "b.granule"], 2);
    assert!(
        untold.contains("imported from w.npz") && untold.contains("--dataset"),
        "{untold}"
    );
    let evaluated = fine(
        dir,
        &[
            "eval",
            "b.granule",
            "--dataset",
            "synthetic-digits",
            "--json",
        ],
    );
    assert!(evaluated.result()["test_accuracy"].as_f64().unwrap() > 0.5);
}

#[test]
fn what_cannot_be_imported_is_said_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let run = trained().to_str().unwrap();
    fine(dir, &["export", run, "--out", "w.npz"]);
    std::fs::write(dir.join("w.pt"), b"\x80\x02cos\nsystem\n(X\x02\0\0\0lstR.").unwrap();
    std::fs::write(dir.join("w.safetensors"), [0xff; 100]).unwrap();
    std::fs::write(dir.join("w.onnx"), "<!doctype html>").unwrap();
    let import = |file: &str, rest: &[&str], code: i32| {
        let words = [&["import", file, "--out", "out.granule"], rest].concat();
        refused(dir, &words, code)
    };
    let digits = ["--model", "mlp", "--dataset", "synthetic-digits"];
    for (file, rest, code, parts) in [
        (
            "w.npz",
            &["--model", "mlp"][..],
            2,
            &["--dataset", "--input"][..],
        ),
        ("w.npz", &["--model", "no-such"], 2, &["no-such"]),
        (
            "w.npz",
            &["--model", run, "--input", "784"],
            2,
            &["--input"],
        ),
        ("w.npz", &["--model", run, "--offline"], 2, &["--offline"]),
        (
            "w.npz",
            &["--model", run, "--data-dir", "."],
            2,
            &["--data-dir"],
        ),
        (
            "w.npz",
            &["--model", "mlp", "--input", "784", "--offline"],
            2,
            &["--offline", "--input"],
        ),
        (
            "w.npz",
            &["--model", "mlp", "--input", "784", "--data-dir", "."],
            2,
            &["--data-dir", "--input"],
        ),
        (
            "w.npz",
            &["--model", "mlp", "--input", "10"],
            1,
            &["layers.0.weight", "[128, 784]", "[128, 10]"],
        ),
        (
            "w.npz",
            &["--model", "mlp", "--input", "784", "--mean", "1,2"],
            1,
            &["mean"],
        ),
        (
            "w.npz",
            &["--model", "lenet", "--input", "1x28x28"],
            1,
            &["conv1.weight", "is missing"],
        ),
        ("w.h5", &digits, 2, &[".safetensors"]),
        (
            "w.npz",
            &["--model", "mlp", "--input", "784", "--format", "keras"],
            2,
            &["keras"],
        ),
        ("w.pt", &digits, 1, &["w.pt"]),
        ("w.safetensors", &digits, 1, &["w.safetensors"]),
        ("w.onnx", &digits, 1, &["w.onnx", "web page"]),
        ("absent.npz", &digits, 1, &["absent.npz"]),
    ] {
        let said = import(file, rest, code);
        for part in parts {
            assert!(said.contains(part), "{file}: {said}");
        }
        assert!(!dir.join("out.granule").exists(), "{file}");
    }
    let said = refused(dir, &["export", run, "--out", "w.pt"], 1);
    assert!(said.contains("safetensors"), "{said}");
    assert!(refused(dir, &["export", "absent", "--out", "w.npz"], 2).contains("absent"));
    assert!(refused(dir, &["export", run, "--out", "w"], 2).contains(".onnx"));
}
