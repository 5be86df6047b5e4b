use serde_json::Value;

use crate::support::{devices, fine, refused, run, software_adapter, trained};

const KEYS: [&str; 10] = [
    "event",
    "test_accuracy",
    "test_loss",
    "macro_f1",
    "epochs",
    "images_per_second",
    "seconds",
    "device",
    "run_dir",
    "model",
];

#[test]
fn json_ends_with_the_result_and_every_line_parses() {
    let dir = tempfile::tempdir().unwrap();
    let finished = fine(
        dir.path(),
        &[
            "train", "--epochs", "2", "--json", "--seed", "5", "--device", "cpu",
        ],
    );
    let events = finished.json();
    for name in ["device", "dataset", "start", "step", "epoch", "checkpoint"] {
        assert!(
            events.iter().any(|event| event["event"] == name),
            "{name}: {}",
            finished.stdout
        );
    }
    assert_eq!(
        events
            .iter()
            .filter(|event| event["event"] == "epoch")
            .count(),
        2
    );
    let result = finished.result();
    for key in KEYS {
        assert!(!result[key].is_null(), "{key}: {result}");
    }
    assert!(result["test_accuracy"].as_f64().unwrap() > 0.5, "{result}");
    assert!(result["test_accuracy"].as_f64().unwrap() <= 1.0, "{result}");
    assert_eq!(result["epochs"], 2);

    let run_dir = dir.path().join(result["run_dir"].as_str().unwrap());
    assert!(dir.path().join(result["model"].as_str().unwrap()).is_file());
    assert!(run_dir.starts_with(dir.path().join("runs")), "{result}");
    for name in [
        "config.toml",
        "metrics.jsonl",
        "metrics.csv",
        "report.html",
        "report.json",
        "result.json",
        "model.granule",
    ] {
        assert!(run_dir.join(name).metadata().unwrap().len() > 0, "{name}");
    }
}

#[test]
fn several_seeds_end_in_a_table_with_mean_and_spread() {
    let dir = tempfile::tempdir().unwrap();
    let command = "train mlp --seeds 2 --seed 4 --epochs 1 --limit-train 300 --limit-test 200 --device cpu --run-dir r";
    let words: Vec<&str> = command.split(' ').collect();
    let finished = fine(dir.path(), &words);
    let rows: Vec<Vec<&str>> = finished
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let seeds = ["4", "5", "mean", "spread"];
    for (row, seed) in rows[1..].iter().zip(seeds) {
        assert_eq!(row[0], seed, "{}", finished.stdout);
    }
    assert_eq!(rows[1].last(), Some(&"r/seed-4"));
    assert!(dir.path().join("r/seed-5/model.granule").is_file());

    // What is there is taken for what it is: the second run is trained again, the first one is not.
    std::fs::remove_dir_all(dir.path().join("r/seed-5")).unwrap();
    let first = dir.path().join("r/seed-4/model.granule");
    let written = first.metadata().unwrap().modified().unwrap();
    let words: Vec<&str> = words.into_iter().chain(["--json"]).collect();
    let text = refused(dir.path(), &[&words[..], &["--lr", "0.5"]].concat(), 1);
    assert!(text.contains("optimizer.lr"), "{text}");
    let events = fine(dir.path(), &words).json();
    assert_eq!(first.metadata().unwrap().modified().unwrap(), written);
    let last = events.last().unwrap();
    assert_eq!(last["event"], "seeds", "{last}");
    assert_eq!(last["seeds"], serde_json::json!([4, 5]));
    let results = events.iter().filter(|event| event["event"] == "result");
    let accuracies: Vec<f64> = results
        .map(|result| result["test_accuracy"].as_f64().unwrap())
        .collect();
    let mean = last["scores"]["accuracy"]["mean"].as_f64().unwrap();
    assert!((mean - (accuracies[0] + accuracies[1]) / 2.0).abs() < 1e-12);
    assert!(last["scores"]["macro_f1"]["spread"].is_number());
}

#[test]
fn folds_test_on_each_sample_once() {
    let dir = tempfile::tempdir().unwrap();
    let command =
        "train mlp --folds 3 --epochs 1 --limit-train 300 --device cpu --run-dir r --json";
    let words: Vec<&str> = command.split(' ').collect();
    let events = fine(dir.path(), &words).json();
    let last = events.last().unwrap();
    assert_eq!(last["event"], "folds", "{last}");
    assert_eq!(last["folds"], serde_json::json!([1, 2, 3]));
    let results = events.iter().filter(|event| event["event"] == "result");
    let tested: Vec<u64> = results
        .map(|result| result["test_samples"].as_u64().unwrap())
        .collect();
    assert_eq!(tested.iter().sum::<u64>(), 4000);
    let again = fine(
        dir.path(),
        &["eval", "r/fold-2", "--device", "flex", "--json"],
    )
    .result();
    assert_eq!(again["test_samples"], tested[1]);
    let second = events
        .iter()
        .filter(|event| event["event"] == "result")
        .nth(1)
        .unwrap();
    assert_eq!(again["test_accuracy"], second["test_accuracy"]);

    let both = ["train", "mlp", "--folds", "3", "--set", "data.fold=[1,3]"];
    assert!(refused(dir.path(), &both, 2).contains("data.fold = [1, 3]"));
    let task = ["train", "rate", "--task", "flip-flop", "--folds", "3"];
    assert!(refused(dir.path(), &task, 2).contains("--folds 3 divides the samples"));
    let one = ["train", "mlp", "--folds", "1"];
    assert!(refused(dir.path(), &one, 2).contains("2 to 10000"));
    let many = ["train", "mlp", "--seeds", "99999999999"];
    assert!(refused(dir.path(), &many, 2).contains("1 to 10000"));
}

#[test]
fn a_sweep_goes_over_the_values_of_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let train = |more: &[&'static str]| {
        let words = "train mlp --epochs 1 --limit-test 100 --device cpu --run-dir r --csv t.csv";
        [&words.split(' ').collect::<Vec<_>>()[..], more].concat()
    };
    let two = train(&["--sweep", "data.limit_train=100,200"]);
    let finished = fine(dir.path(), &two);
    let rows: Vec<Vec<&str>> = finished
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 3, "{}", finished.stdout);
    assert_eq!(rows[0][..2], ["data.limit_train", "accuracy"]);
    assert_eq!(rows[1][0], "100");
    assert_eq!(rows[2].last(), Some(&"r/limit_train-200"));
    let csv = std::fs::read_to_string(dir.path().join("t.csv")).unwrap();
    let head = "data.limit_train,accuracy,balanced_accuracy,macro_f1,loss\n100,";
    assert!(csv.starts_with(head), "{csv}");

    // What is there is gone on with, by the value that it was trained with.
    let first = dir.path().join("r/limit_train-100/model.granule");
    let written = first.metadata().unwrap().modified().unwrap();
    let more = train(&["--sweep", "data.limit_train=300,100", "--json"]);
    let events = fine(dir.path(), &more).json();
    assert_eq!(first.metadata().unwrap().modified().unwrap(), written);
    let last = events.last().unwrap();
    assert_eq!(last["event"], "sweep", "{last}");
    assert_eq!(last["key"], "data.limit_train");
    assert_eq!(last["values"], serde_json::json!(["300", "100"]));
    let results = events.iter().filter(|event| event["event"] == "result");
    let means = last["scores"]["accuracy"].as_array().unwrap();
    for (result, score) in results.zip(means) {
        assert_eq!(result["test_accuracy"], score["mean"]);
    }
    let other = train(&["--sweep", "data.limit_train=100,200", "--lr", "0.5"]);
    assert!(refused(dir.path(), &other, 1).contains("optimizer.lr"));

    let folds = train(&["--sweep", "model.widths=[],[8, 8]", "--folds", "2"]);
    fine(
        dir.path(),
        &[&folds[..], &["--limit-train", "200"]].concat(),
    );
    assert!(
        dir.path()
            .join("r/widths-[8,8]/fold-2/model.granule")
            .is_file()
    );
    let csv = std::fs::read_to_string(dir.path().join("t.csv")).unwrap();
    assert!(csv.contains("\n\"[8,8]\",1,"), "{csv}");
}

#[test]
fn runs_side_by_side_end_as_alone_and_are_tested_pair_by_pair() {
    let dir = tempfile::tempdir().unwrap();
    let train = |more: &[&'static str]| {
        let words = "train mlp --epochs 1 --limit-train 300 --limit-test 100 --device cpu --seeds 3 \
                     --sweep optimizer.lr=0.01,0.0001";
        let words: Vec<&str> = words.split_whitespace().collect();
        [&words[..], more].concat()
    };
    let alone = fine(dir.path(), &train(&["--run-dir", "alone", "--json"])).json();
    let three = train(&["--run-dir", "three", "--jobs", "3", "--json"]);
    let three = fine(dir.path(), &three).json();
    let (alone, three) = (alone.last().unwrap(), three.last().unwrap());
    assert_eq!(alone["event"], "sweep", "{alone}");
    assert_eq!(alone, three);
    let paired = alone["paired"].as_array().unwrap();
    assert_eq!(paired.len(), 1, "{alone}");
    assert_eq!(paired[0]["value"], "0.0001");
    let means = alone["scores"]["accuracy"].as_array().unwrap();
    let mean = |at: usize| means[at]["mean"].as_f64().unwrap();
    let difference = paired[0]["test"]["difference"].as_f64().unwrap();
    assert!((difference - (mean(1) - mean(0))).abs() < 1e-12, "{alone}");

    let again = fine(dir.path(), &train(&["--run-dir", "three", "--jobs", "2"]));
    assert!(again.stdout.contains("paired by seed"), "{}", again.stdout);
    assert!(again.stdout.contains("t(2) = "), "{}", again.stdout);
    assert!(again.stderr.contains("6 of 6: "), "{}", again.stderr);
    // A value that comes to nothing is named, and the others end.
    let nothing = "train mlp --epochs 3 --limit-train 300 --limit-test 100 --device cpu --seeds 2 --run-dir nothing \
                   --sweep optimizer.lr=1e30,0.01 --set optimizer.kind=sgd";
    for jobs in ["1", "2"] {
        let words: Vec<&str> = nothing.split_whitespace().chain(["--jobs", jobs]).collect();
        let text = refused(dir.path(), &words, 1);
        assert!(text.contains("lr-1e30/seed-1"), "{text}");
        assert!(
            dir.path()
                .join("nothing/lr-0.01/seed-2/model.granule")
                .is_file()
        );
    }
    for jobs in ["0", "65", "x"] {
        let words = ["train", "mlp", "--seeds", "2", "--jobs", jobs];
        assert!(refused(dir.path(), &words, 2).contains("1 to 64"));
    }
    let one = refused(dir.path(), &["train", "mlp", "--jobs", "2"], 2);
    assert!(one.contains("--seeds"), "{one}");
}

#[test]
fn values_that_cannot_be_are_refused_before_the_first_run() {
    let dir = tempfile::tempdir().unwrap();
    for (sweep, said) in [
        ("data.limit_train", "not of the form KEY.PATH=VALUE"),
        ("data.limit_train=", "`data.limit_train` has no values"),
        (
            "data.limit_train=10,",
            "a value of `data.limit_train` is empty",
        ),
        ("data.limit_trian=10,20", "did you mean `data.limit_train`"),
        (
            "data.limit_train=10,0",
            "data.limit_train = 0 is not allowed",
        ),
        ("data.limit_train=10,10", "`data.limit_train` is 10 twice"),
        ("optimizer.lr=1,1.0", "the same with 1 and 1.0"),
        ("model.widths=[8],lstm", "`model.widths` is \"lstm\""),
        ("train.epochs=1,2", "`train.epochs` is given twice"),
        // Only the data tell that no sample is left to learn from.
        (
            "data.validation=0,0.99999",
            "--sweep data.validation=0.99999",
        ),
    ] {
        let words = [
            "train", "--epochs", "1", "--device", "cpu", "--sweep", sweep,
        ];
        let text = refused(dir.path(), &words, 2);
        assert!(text.contains(said), "{sweep}: {text}");
    }
    let alone = refused(dir.path(), &["train", "--csv", "t.csv"], 2);
    assert!(alone.contains("--sweep"), "{alone}");
    let nowhere = ["train", "--seeds", "2", "--csv", "."];
    assert!(refused(dir.path(), &nowhere, 2).contains("--csv .: this is a folder"));
    assert!(!dir.path().join("runs").exists());
}

/// The digits drawn by code are to tell a linear model from a convolutional one.
#[test]
fn drawn_digits_are_too_hard_for_a_line_and_easy_for_a_small_cnn() {
    let dir = tempfile::tempdir().unwrap();
    let accuracy = |model: &str| {
        let command = format!("train {model} --epochs 10 --device flex --json");
        let args: Vec<&str> = command.split(' ').collect();
        fine(dir.path(), &args).result()["test_accuracy"]
            .as_f64()
            .unwrap()
    };
    let linear = accuracy("mlp --set model.widths=[] --lr 0.003");
    assert!((0.8..0.9).contains(&linear), "{linear}");
    let small = "cnn --set model.channels=[16,32] --set model.hidden=128 --set model.dropout=0.3";
    let cnn = accuracy(&format!("{small} --optimizer adam --lr 0.002"));
    assert!(cnn > 0.98, "{cnn}");
}

#[test]
fn plain_output_shows_plan_progress_and_result() {
    let dir = tempfile::tempdir().unwrap();
    let finished = fine(
        dir.path(),
        &[
            "train",
            "--epochs",
            "2",
            "--run-dir",
            "here",
            "--device",
            "cpu",
        ],
    );
    for text in [
        "synthetic-digits",
        "parameters",
        "flex",
        "epoch 1/2",
        "epoch 2/2",
        "accuracy",
        "images/s",
    ] {
        assert!(
            finished.stderr.contains(text),
            "{text}: {}",
            finished.stderr
        );
    }
    for text in [
        "precision",
        "recall",
        "f1-score",
        "support",
        "macro avg",
        "weighted avg",
        "granule predict here ",
    ] {
        assert!(
            finished.stdout.contains(text),
            "{text}: {}",
            finished.stdout
        );
    }
    for text in [&finished.stdout, &finished.stderr] {
        assert!(!text.contains('\x1b'), "colour without a terminal: {text}");
    }
}

#[test]
fn quiet_prints_the_result_only() {
    let dir = tempfile::tempdir().unwrap();
    let finished = fine(
        dir.path(),
        &[
            "train",
            "--epochs",
            "1",
            "--quiet",
            "--limit-train",
            "500",
            "--device",
            "cpu",
        ],
    );
    assert_eq!(finished.stderr, "");
    assert!(finished.stdout.contains("macro avg"), "{}", finished.stdout);
}

#[test]
fn every_device_agrees_on_a_trained_model() {
    let here = devices();
    software_adapter(&here);
    let run_dir = trained().to_str().unwrap();
    let results: Vec<(String, Value)> = here
        .into_iter()
        .map(|device| {
            let finished = fine(trained(), &["eval", run_dir, "--device", &device, "--json"]);
            assert_eq!(finished.json().len(), 1);
            (device, finished.result())
        })
        .collect();
    let number = |result: &Value, key: &str| result[key].as_f64().unwrap();
    let (first, reference) = &results[0];
    for key in KEYS {
        assert!(!reference[key].is_null(), "{key}: {reference}");
    }
    for (device, result) in &results {
        for (key, tolerance) in [
            ("test_accuracy", 0.002),
            ("test_loss", 1e-3),
            ("macro_f1", 0.002),
        ] {
            let distance = (number(result, key) - number(reference, key)).abs();
            assert!(
                distance <= tolerance,
                "{key}: {first} {reference}, {device} {result}"
            );
        }
    }
}

#[test]
fn eval_repeats_the_result_of_train() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "train",
        "--epochs",
        "1",
        "--limit-train",
        "1000",
        "--json",
        "--device",
        "flex",
        "--run-dir",
        "r",
    ];
    let trained = fine(dir.path(), &args).result();
    let model = run(
        dir.path(),
        &["eval", "r/model.granule", "--device", "flex", "--json"],
    )
    .result();
    for key in ["test_accuracy", "test_loss", "macro_f1"] {
        let distance = (trained[key].as_f64().unwrap() - model[key].as_f64().unwrap()).abs();
        assert!(distance < 1e-9, "{key}: {trained} {model}");
    }
}

#[test]
fn a_report_is_made_again() {
    let page = trained().join("report.html");
    let before = std::fs::read(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    let finished = fine(trained(), &["report", "."]);
    assert_eq!(finished.stdout.trim(), "./report.html");
    assert_eq!(std::fs::read(&page).unwrap(), before);
    refused(trained(), &["report", "checkpoints"], 2);
}
