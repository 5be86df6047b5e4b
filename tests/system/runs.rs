//! What is done with runs afterwards: going on elsewhere, training further, choosing weights, comparing.

use std::path::Path;

use crate::support::{Finished, Watched, fine, granule, refused, save_npy, tensors, trained};

const SMALL: [&str; 8] = [
    "--device",
    "flex",
    "--limit-train",
    "640",
    "--limit-test",
    "100",
    "--schedule",
    "constant",
];

fn train(dir: &Path, args: &[&str]) -> Finished {
    fine(dir, &[&["train"], &SMALL[..], args].concat())
}

#[test]
fn a_finished_run_is_trained_further_as_a_new_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--quiet", "--epochs", "3", "--run-dir", "long"]);
    train(dir, &["--quiet", "--epochs", "1", "--run-dir", "short"]);
    let further = fine(
        dir,
        &[
            "train",
            "--continue",
            "short",
            "--epochs",
            "2",
            "--run-dir",
            "further",
        ],
    );
    for part in ["short/checkpoints/step-00000010.ckpt", "after 1 epoch"] {
        assert!(further.stderr.contains(part), "{}", further.stderr);
    }
    let model = |run: &str| tensors(&dir.join(run).join("model.granule"));
    assert_eq!(model("further"), model("long"));

    let result = fine(
        dir,
        &["train", "--continue", "short", "--lr", "1e-5", "--json"],
    )
    .result();
    assert_eq!(result["epochs"], 1);
    assert!(
        result["parent"]
            .as_str()
            .unwrap()
            .contains("short/checkpoints")
    );
    let config = std::fs::read_to_string(dir.join("further/config.toml")).unwrap();
    assert!(
        config.contains("[start]") && config.contains("optimizer = true"),
        "{config}"
    );

    // The configuration of a finished run does not change what it was.
    let path = dir.join("short/config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("epochs = 1", "epochs = 4")).unwrap();
    let text = refused(dir, &["train", "--resume", "short"], 1);
    for part in [
        "train.epochs = 1",
        "now 4",
        "granule train --continue short",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn weights_begin_a_run_with_their_model_or_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let wide = ["--set", "model.widths=[24]", "--epochs", "1", "--quiet"];
    train(dir, &[&wide[..], &["--run-dir", "first"]].concat());
    for (index, from) in [
        "first",
        "first/model.granule",
        "first/checkpoints/step-00000010.ckpt",
    ]
    .into_iter()
    .enumerate()
    {
        let run = format!("second-{index}");
        train(dir, &["--epochs", "1", "--from", from, "--run-dir", &run]);
        let config = std::fs::read_to_string(dir.join(run).join("config.toml")).unwrap();
        assert!(config.contains("widths = [24]"), "{config}");
    }
    let text = refused(
        dir,
        &["train", "mlp", "--from", "first", "--device", "flex"],
        1,
    );
    for part in [
        "first/model.granule",
        "layers.0.weight",
        "[784, 24]",
        "[784, 128]",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!dir.join("runs").exists());
}

/// A run of some seconds that is stopped on its way.
fn stopped(dir: &Path, args: &[&str]) {
    let work = [
        "train",
        "--json",
        "--run-dir",
        "r",
        "--device",
        "flex",
        "--epochs",
        "400",
        "--set",
        "train.checkpoint_every_steps=5",
    ];
    let mut process = Watched::start(dir, &[&work[..], args].concat());
    assert!(process.wait_for("checkpoint"));
    process.signal("INT");
    let finished = process.finish();
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
}

#[test]
fn a_run_goes_on_on_another_device_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    stopped(dir, &["--limit-train", "200", "--limit-test", "50"]);
    let text = refused(dir, &["train", "--resume", "r", "--epochs", "500"], 1);
    assert!(
        text.contains("train.epochs") && text.contains("--continue"),
        "{text}"
    );
    let text = refused(dir, &["train", "--resume", "r", "--device", "cuda:0"], 1);
    assert!(text.contains("--device cpu"), "{text}");
    let done = fine(
        dir,
        &["train", "--resume", "r", "--device", "ndarray", "--quiet"],
    );
    assert!(done.stderr.contains("not bit for bit"), "{}", done.stderr);
    assert!(done.stdout.contains("ndarray"), "{}", done.stdout);
}

/// Files of MNIST's form with few images: their checksums are not those of the published ones.
fn small_mnist(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for (part, count) in [("train", 120_u32), ("t10k", 30)] {
        let mut images = vec![0, 0, 8, 3];
        let mut labels = vec![0, 0, 8, 1];
        images.extend([count, 28, 28].iter().flat_map(|n| n.to_be_bytes()));
        labels.extend(count.to_be_bytes());
        for i in 0..count {
            let class = (i % 10) as u8;
            labels.push(class);
            images.extend((0..784_u32).map(|p| {
                if p / 78 == i % 10 {
                    200 + class
                } else {
                    (p * i % 50) as u8
                }
            }));
        }
        std::fs::write(dir.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

#[test]
fn a_run_finds_data_that_moved_and_quiet_hides_no_warning() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    small_mnist(&dir.join("here/mnist"));
    stopped(
        dir,
        &["--dataset", "mnist", "--data-dir", "here", "--offline"],
    );
    std::fs::rename(dir.join("here"), dir.join("there")).unwrap();
    let home = |args: &[&str], variable: Option<&str>| -> Finished {
        let mut command = granule(dir);
        command.args(args).env("XDG_CACHE_HOME", dir.join("cache"));
        if let Some(value) = variable {
            command.env("GRANULE_DATA_DIR", value);
        }
        command.output().unwrap().into()
    };
    let resume = ["train", "--resume", "r", "--quiet"];
    let lost = home(&resume, None);
    assert_eq!(lost.code, Some(1), "{}", lost.stderr);
    assert!(lost.stderr.contains("GRANULE_DATA_DIR"), "{}", lost.stderr);
    copy(&dir.join("r"), &dir.join("copy"));
    let found = home(&resume, Some("there"));
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(found.stderr.contains("warning: "), "{}", found.stderr);
    let named = [
        "train",
        "--resume",
        "copy",
        "--data-dir",
        "there",
        "--quiet",
    ];
    let found = home(&named, None);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let model = |run: &str| tensors(&dir.join(run).join("model.granule"));
    assert_eq!(model("r"), model("copy"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        if path.is_dir() {
            copy(&path, &target)
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_validated_run_says_which_weights_it_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let validated = ["--epochs", "2", "--set", "data.validation=0.2", "--run-dir"];
    let run = train(dir, &[&validated[..], &["best"]].concat());
    let said = "keep the weights of the epoch with the highest validation accuracy (train.keep = \"best-score\")";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let said = "the epoch with the highest validation accuracy";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    let last = ["last", "--set", "train.keep=last"];
    let run = train(dir, &[&validated[..], &last].concat());
    assert!(
        run.stderr.contains("train.keep = \"last\""),
        "{}",
        run.stderr
    );

    // Its checkpoints are models.
    let best = "best/checkpoints/best.ckpt";
    let loss = |what: &str| {
        fine(
            dir,
            &[
                "eval",
                what,
                "--device",
                "flex",
                "--limit-test",
                "100",
                "--json",
            ],
        )
        .result()["test_loss"]
            .clone()
    };
    assert_eq!(loss(best), loss("best"));
    let array = dir.join("digit.npy");
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (28, 28), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(118_u16.to_le_bytes());
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend([0; 784]);
    std::fs::write(&array, bytes).unwrap();
    let answer = |model: &str| fine(dir, &["predict", model, "digit.npy"]).stdout;
    assert_eq!(answer(best), answer("best"));
    std::fs::remove_file(dir.join("best/report.html")).unwrap();
    fine(dir, &["report", best]);
    assert!(dir.join("best/report.html").exists());

    // A lost model file: both commands say the same, and it comes back.
    let model = dir.join("best/model.granule");
    let before = tensors(&model);
    std::fs::remove_file(&model).unwrap();
    let text = refused(dir, &["predict", "best", "digit.npy"], 2);
    assert!(
        text.contains("is finished") && text.contains("--resume best"),
        "{text}"
    );
    let again = fine(dir, &["train", "--resume", "best"]);
    assert!(again.stderr.contains("written again"), "{}", again.stderr);
    assert_eq!(tensors(&model), before);
}

#[test]
fn a_finite_divergence_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "train", "mlp", "--lr", "1e12", "--device", "flex", "--quiet",
    ];
    let text = refused(dir.path(), &args, 1);
    for part in ["diverged", "optimizer.lr", "first"] {
        assert!(text.contains(part), "{text}");
    }
    let args = [
        "train", "mlp", "--lr", "20", "--device", "flex", "--quiet", "--epochs", "1",
    ];
    let warned = fine(dir.path(), &args);
    assert!(
        warned.stderr.contains("warning: the training loss"),
        "{}",
        warned.stderr
    );
}

#[test]
fn runs_are_listed_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let epochs = ["--quiet", "--epochs", "2", "--run-dir"];
    train(dir, &[&epochs[..], &["runs/a"]].concat());
    train(
        dir,
        &[
            &epochs[..],
            &["runs/b", "--lr", "0.01", "--optimizer", "adamw"],
        ]
        .concat(),
    );
    std::fs::create_dir(dir.join("runs/not-a-run")).unwrap();
    let list = fine(dir, &["runs"]).stdout;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(
        lines[0].starts_with("RUN") && lines[1].starts_with("a "),
        "{list}"
    );
    assert!(
        lines[2].contains(" %") && lines[2].contains("finished"),
        "{list}"
    );
    let all = fine(dir, &["runs", "--json"]).json();
    assert_eq!(all.len(), 2);
    assert!(
        all[0]["scores"]["accuracy"].as_f64().unwrap() > 0.1,
        "{}",
        all[0]
    );

    let text = fine(dir, &["compare", "runs/a", "runs/b", "--out", "page.html"]).stdout;
    for part in [
        "optimizer.kind",
        "\"adamw\"",
        "0.01",
        "ACCURACY",
        "training loss",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("model.widths"), "{text}");
    let page = std::fs::read_to_string(dir.join("page.html")).unwrap();
    for part in ["Training loss", "run-0", "run-1", "optimizer.lr", "</html>"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(
        !page.contains("http:") && !page.contains("https:"),
        "the page asks for nothing from elsewhere"
    );
    let values: Vec<u8> = (0..40)
        .flat_map(|n| (f64::from(n) * 0.37).to_le_bytes())
        .collect();
    save_npy(&dir.join("x.npy"), "<f8", "(40, 1)", &values);
    save_npy(&dir.join("y.npy"), "<f8", "(40,)", &values);
    let real =
        "train mlp --dataset arrays:x.npy,y.npy --epochs 1 --device flex --quiet --run-dir runs/c";
    fine(dir, &real.split(' ').collect::<Vec<_>>());
    let other = ["compare", "runs/a", "runs/c", "--out", "page.html"];
    let doubt = "the losses are of different kinds and cannot be compared: cross-entropy of";
    let told = fine(dir, &other).stderr;
    assert!(told.contains(doubt), "{told}");
    let page = std::fs::read_to_string(dir.join("page.html")).unwrap();
    assert!(page.contains(doubt), "{doubt}");
    let json = fine(dir, &["compare", "runs/a", "runs/b", "--json"]).json();
    assert_eq!(json[0]["runs"][1]["curve"].as_array().unwrap().len(), 2);
    assert_eq!(json[0]["doubts"], serde_json::json!([]));
    let json = fine(dir, &["compare", "runs/a", "runs/c", "--json"]).json();
    let doubts = &json[0]["doubts"];
    assert!(
        doubts[0].as_str().unwrap().contains("had different data"),
        "{doubts}"
    );
    assert!(doubts[1].as_str().unwrap().contains(doubt), "{doubts}");
    let text = refused(
        dir,
        &[
            "compare",
            "runs/a",
            trained().join("none").to_str().unwrap(),
        ],
        2,
    );
    assert!(text.contains("none"), "{text}");
}
