//! `train.compute`, from outside.

use std::path::Path;

use crate::support::{Finished, fine, granule, refused, tensors};

const WORK: [&str; 10] = [
    "--device",
    "flex",
    "--epochs",
    "1",
    "--limit-train",
    "320",
    "--limit-test",
    "100",
    "--set",
    "train.compute=bf16",
];

fn on_threads(dir: &Path, threads: &str, args: &[&str]) -> Finished {
    let mut command = granule(dir);
    let finished = command
        .args(args)
        .env("RAYON_NUM_THREADS", threads)
        .output();
    let finished: Finished = finished.unwrap().into();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished
}

#[test]
fn a_run_in_bf16_says_so_and_is_the_same_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    for model in ["mlp", "lenet"] {
        let mut all = Vec::new();
        for threads in ["1", "2", "5"] {
            let run = format!("{model}-{threads}");
            let words = ["train", model, "--json", "--run-dir", &run];
            let result = on_threads(dir.path(), threads, &[&words[..], &WORK].concat()).result();
            let device = result["device"].as_str().unwrap();
            let named = device.contains("bf16 (AVX512-BF16)") || device.contains("bf16 (emulated)");
            assert!(named, "{result}");
            all.push(tensors(&dir.path().join(&run).join("model.granule")));
            let report = std::fs::read_to_string(dir.path().join(&run).join("report.html"));
            assert!(report.unwrap().contains(device), "{device}");
            let config = dir.path().join(&run).join("config.toml");
            let config = std::fs::read_to_string(config).unwrap();
            assert!(config.contains("compute = \"bf16\""), "{config}");
        }
        assert!(all[0] == all[1] && all[0] == all[2], "{model}");
        let full = format!("{model}-f32");
        let words = ["train", model, "--quiet", "--run-dir", &full];
        fine(dir.path(), &[&words[..], &WORK[..8]].concat());
        let full = tensors(&dir.path().join(&full).join("model.granule"));
        assert!(full != all[0], "{model}");
    }
}

#[test]
fn other_values_models_and_flags_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    for value in ["bf32", "BF16", "16", "true", "float16", "[\"bf16\"]"] {
        let set = format!("train.compute={value}");
        let said = refused(
            here,
            &["train", "mlp", "--device", "flex", "--set", &set],
            2,
        );
        for part in ["train.compute", "f32", "bf16"] {
            assert!(said.contains(part), "{value}: {said}");
        }
    }
    let set = ["--device", "flex", "--set", "train.compute=bf16"];
    for model in ["gru", "rate"] {
        let task = ["--task", "perceptual-decision"];
        let said = refused(here, &[&["train", model], &task[..], &set].concat(), 2);
        assert!(
            said.contains("train.compute") && said.contains(model),
            "{said}"
        );
    }
    for flag in ["--bf16", "--precision=bf16", "--amp"] {
        let said = refused(here, &["train", "mlp", flag], 2);
        assert!(said.contains("train.compute=bf16"), "{said}");
    }
    // Nothing was begun.
    assert_eq!(here.read_dir().unwrap().count(), 0);
}

#[test]
fn a_run_keeps_what_it_computes_from() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["train", "mlp", "--quiet", "--run-dir", "run"];
    fine(dir.path(), &[&words[..], &WORK].concat());
    let again = ["train", "--resume", "run", "--set", "train.compute=f32"];
    let said = refused(dir.path(), &again, 1);
    let began = "train.compute is \"f32\", the run began with \"bf16\"";
    assert!(said.contains(began), "{said}");
    fine(dir.path(), &["train", "--resume", "run"]);
}
