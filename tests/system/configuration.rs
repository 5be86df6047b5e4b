use crate::support::{Finished, fine, granule, refused, trained};

#[test]
fn an_unknown_key_is_wrong_usage_with_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let text = refused(dir.path(), &["train", "--set", "train.epoch=3"], 2);
    assert!(
        text.contains("`train.epoch`") && text.contains("`train.epochs`"),
        "{text}"
    );

    std::fs::write(
        dir.path().join("my.toml"),
        "[optimizer]\nkind = \"sgd\"\nmomentun = 0.9\n",
    )
    .unwrap();
    let text = refused(dir.path(), &["train", "my.toml"], 2);
    for part in ["my.toml", "`optimizer.momentun`", "`optimizer.momentum`"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        !dir.path().join("runs").exists(),
        "nothing is written before the configuration is right"
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), "[train\nepochs = 3").unwrap();
    for (args, part) in [
        (&["trian"][..], "train"),
        (&["train", "--epoch", "3"], "--epochs"),
        (&["train", "lenett"], "`lenet`"),
        (&["train", "--epochs", "0"], "train.epochs"),
        (&["train", "--lr=-1"], "optimizer.lr"),
        (&["train", "--device", "flux"], "flex"),
        (&["train", "--dataset", "mnits"], "mnist"),
        (&["train", "--optimizer", "adm"], "`adam`"),
        (&["train", "--set", "model.widths=[0]"], "model.widths[0]"),
        (&["train", "bad.toml"], "bad.toml"),
        (&["train", "--resume", "x", "--run-dir", "y"], "--resume"),
        (&["train", "--continue", "x", "--from", "y"], "--from"),
        (&["train", "--from", "nowhere"], "nowhere"),
        (&["train", "--resume", "nowhere"], "nowhere"),
        (&["compare", "x"], "<RUN>"),
        (&["runs", "nowhere"], "nowhere"),
        (
            &["train", "--patience", "3"],
            "--set train.early_stopping.patience=3",
        ),
        (&["eval", "nowhere"], "nowhere"),
        (&["predict", "nowhere", "x.png"], "nowhere"),
        (&["data", "fetch", "synthetic-digits"], "mnist"),
        (&["train", "--dataset", "mnits"], "did you mean mnist?"),
        (&["train", "--device", "cudda"], "did you mean `cuda:0`?"),
        (
            &["train", "--set", "optimizer.knd=sgd"],
            "did you mean `optimizer.kind`?",
        ),
        (
            &["data", "preview", "synthetic-digits", "--out", "a.jpg"],
            "a.jpg: the name does not end in .png",
        ),
    ] {
        let text = refused(dir.path(), args, 2);
        assert!(text.contains(part), "{args:?}: {text}");
    }
    assert!(!dir.path().join("a.jpg").exists());
}

#[test]
fn a_negative_number_is_told_its_range() {
    let dir = tempfile::tempdir().unwrap();
    for (args, range) in [
        (&["train", "--epochs", "-1"][..], "1 or more"),
        (&["train", "--limit-train", "-1"], "1 or more"),
        (&["train", "--limit-test", "-1"], "1 or more"),
        (&["train", "--batch-size", "-1"], "1 or more"),
        (&["train", "--trials", "-1"], "1 or more"),
        (&["train", "--seed", "-1"], "from 0 to"),
        (&["simulate", "lif", "--seed", "-1"], "from 0 to"),
        (&["eval", "r", "--batch-size", "-1"], "1 or more"),
        (&["eval", "r", "--limit-test", "-1"], "1 or more"),
        (&["predict", "r", "a.png", "--top", "-1"], "1 or more"),
        (&["data", "preview", "mnist", "--rows", "-1"], "1 or more"),
        (
            &["data", "preview", "mnist", "--columns", "-1"],
            "1 or more",
        ),
    ] {
        let text = refused(dir.path(), args, 2);
        assert!(
            text.contains(range) && !text.contains("tip:"),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn a_file_that_is_damaged_or_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("r")).unwrap();
    std::fs::write(dir.path().join("r/config.toml"), "seed = [").unwrap();
    let text = refused(dir.path(), &["train", "--resume", "r"], 1);
    assert!(text.contains("r/config.toml"), "{text}");
    if cfg!(target_os = "linux") {
        let out = ["simulate", "lif", "--out", "/proc/self/a.npz"];
        let text = refused(dir.path(), &out, 2);
        assert!(
            text.contains("/proc/self/a.npz: cannot write") && !text.contains(".granule-"),
            "{text}"
        );
    }
}

#[test]
fn a_bad_default_device_matters_only_where_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let stderr = |args: &[&str]| -> String {
        let mut command = granule(dir.path());
        command.env("GRANULE_DEVICE", "flux").arg("train");
        let finished = Finished::from(command.args(args).output().unwrap());
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        finished.stderr
    };
    assert!(stderr(&["--epochs", "0"]).contains("flux"));
    for device in [["--device", "cpu"], ["--set", "device=cpu"]] {
        let text = stderr(&[&device[..], &["--epochs", "0"]].concat());
        assert!(
            text.contains("train.epochs") && !text.contains("flux"),
            "{text}"
        );
    }
}

#[test]
fn failures_exit_with_1() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("no.granule"), "nothing").unwrap();
    for (args, part) in [
        (&["eval", "no.granule"][..], "no.granule"),
        (
            &[
                "train",
                "--dataset",
                "mnist",
                "--offline",
                "--data-dir",
                ".",
            ],
            "granule data fetch mnist",
        ),
        (&["train", "--dataset", "folder:nowhere"], "nowhere"),
    ] {
        let text = refused(dir.path(), args, 1);
        assert!(text.contains(part), "{args:?}: {text}");
    }
}

#[test]
fn a_run_is_repeated_from_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let first = [
        "train",
        "--epochs",
        "1",
        "--limit-train",
        "640",
        "--lr",
        "0.002",
        "--json",
        "--device",
        "flex",
    ];
    let once = fine(dir.path(), &[&first[..], &["--run-dir", "a"]].concat()).result();
    let again = fine(
        dir.path(),
        &["train", "a/config.toml", "--run-dir", "b", "--json"],
    )
    .result();
    assert_eq!(once["test_loss"], again["test_loss"]);
    assert_eq!(
        crate::support::tensors(&dir.path().join("a/model.granule")),
        crate::support::tensors(&dir.path().join("b/model.granule"))
    );
}

#[test]
fn a_used_run_folder_is_not_written_over() {
    let before = std::fs::read(trained().join("model.granule")).unwrap();
    let text = refused(trained(), &["train", "--run-dir", "."], 1);
    assert!(text.contains("--resume"), "{text}");
    assert_eq!(
        std::fs::read(trained().join("model.granule")).unwrap(),
        before
    );
}

#[test]
fn every_key_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let text = fine(dir.path(), &["config", "lenet"]).stdout;
    for part in [
        "# clip_norm = <number>",
        "# [train.early_stopping]",
        "(number, above 0)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::write(dir.path().join("my.toml"), &text).unwrap();
    let plan = fine(dir.path(), &["train", "my.toml", "--dry-run", "--json"]).json();
    let plan = plan.last().unwrap();
    assert_eq!(
        (&plan["event"], &plan["model"]),
        (&"plan".into(), &"lenet".into())
    );
    assert_eq!(plan["parameters"], 61_706);
    // The synthetic digits are few: more epochs than by the model alone, as many as train.min_steps takes.
    let number = |name: &str| plan[name].as_u64().unwrap();
    assert!(
        number("epochs") * number("steps_per_epoch") >= 2000,
        "{plan}"
    );
    assert_eq!(plan["layers"][1]["name"], "conv2");
    assert_eq!(plan["layers"][1]["output"], serde_json::json!([16, 10, 10]));
    let table = fine(dir.path(), &["train", "my.toml", "--dry-run"]).stdout;
    let row = table.lines().find(|line| line.starts_with("conv2"));
    let row: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(
        row,
        [
            "conv2",
            "16×10×10",
            "bias",
            "16,",
            "weight",
            "16×6×5×5",
            "2,416"
        ]
    );
    assert!(!dir.path().join("runs").exists());
    for (word, part) in [
        ("patience", "train.early_stopping.patience = 5"),
        ("hodgkin-huxley", "g_na = 120.0"),
        ("rate", "dale_ratio"),
        ("adamw", "optimizer.weight_decay = 0.01"),
        ("library", "traub-miles/k"),
        ("weight", "network.weight = 0.7"),
        ("weight", "train.class_weights"),
        ("weight", "connectivity.weights"),
        ("early stopping", "train.early_stopping.patience = 5"),
        ("class weights", "train.class_weights"),
        (
            "multi-granularity",
            "`granule presets multi-granularity` prints",
        ),
        ("jansen-rit", "excitatory_time_constant"),
        (
            "linoid",
            "    linear: `scale·x/(1 − exp(−x))`, elsewhere called linoid, linear over exponential or vtrap",
        ),
        ("stimulus.kind", "    pulse: "),
        ("int", "data.task.gain = 1.0  # The interval to be produced"),
        ("int", "# `granule config KEY` says more of one"),
        ("external", "\nmodel.level.N.external = false"),
        ("external", "\ncomposite.level.N.external = false"),
        (
            "unit.parameters.time_constant",
            "number or list of numbers or { file = \"FILE\" }, above 0, ms",
        ),
    ] {
        let text = fine(dir.path(), &["config", word]).stdout;
        assert!(text.contains(part), "{word}: {text}");
    }
    for (word, near) in [
        ("lennet", "lenet"),
        ("hodgkin-huxly", "hodgkin-huxley"),
        ("patiense", "patience"),
        ("task.name", "`granule config data.task`"),
    ] {
        let run: Finished = granule(dir.path())
            .args(["config", word])
            .output()
            .unwrap()
            .into();
        assert_eq!(run.code, Some(2), "{word}");
        assert!(run.stderr.contains(near), "{word}: {}", run.stderr);
    }
    let text = std::fs::read_to_string(trained().join("config.toml")).unwrap();
    assert!(
        text.contains("# clip_norm = <number, 0 or more>  # Upper bound"),
        "{text}"
    );
}

#[test]
fn a_length_that_is_written_holds_and_a_longer_one_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let plan = |args: &[&str]| {
        let args = [
            &["train"],
            args,
            &["--dry-run", "--limit-train", "640", "--json"],
        ]
        .concat();
        fine(dir.path(), &args).json().pop().unwrap()["epochs"].clone()
    };
    let text = fine(dir.path(), &["config", "lenet"]).stdout;
    std::fs::write(dir.path().join("as_it_is.toml"), &text).unwrap();
    assert_eq!(plan(&["as_it_is.toml"]), plan(&["lenet"]));
    let edited = text.replace("# epochs = 10", "epochs = 3");
    assert_ne!(edited, text);
    std::fs::write(dir.path().join("edited.toml"), &edited).unwrap();
    assert_eq!(plan(&["edited.toml"]), 3);
    std::fs::write(
        dir.path().join("both.toml"),
        edited.replace("# min_steps", "min_steps"),
    )
    .unwrap();
    assert_eq!(plan(&["both.toml"]), 200);
    let args = "train both.toml --limit-train 640 --set train.min_steps=40 --run-dir r";
    let said = fine(dir.path(), &args.split(' ').collect::<Vec<_>>()).stderr;
    let reason = "40 in all (train.min_steps = 40 takes more than train.epochs = 3)";
    assert!(said.contains(reason), "{said}");
}

/// What a file does not say is that of the data set that it names, not of the one it was printed for.
#[test]
fn an_edited_data_set_has_its_own_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let edited = |model: &str, dataset: &str, more: (&str, &str)| {
        let text = fine(dir.path(), &["config", model]).stdout;
        let named = "dataset = \"synthetic-digits\"";
        assert!(text.contains(named) && text.contains(more.0), "{text}");
        let edited = text.replace(named, &format!("dataset = \"{dataset}\""));
        let edited = edited.replace(more.0, more.1);
        std::fs::write(dir.path().join("edited.toml"), edited).unwrap();
        fine(dir.path(), &["config", "edited.toml"]).stdout
    };
    let own = edited("mlp", "arrays:a.npz", ("", ""));
    for line in ["# kind = \"adamw\"", "# weight_decay = 1.0"] {
        assert!(own.contains(line), "{line}: {own}");
    }
    let changed = edited("mlp", "arrays:a.npz", ("# lr = 0.001", "lr = 0.5"));
    for line in ["# kind = \"adamw\"", "\nlr = 0.5"] {
        assert!(changed.contains(line), "{line}: {changed}");
    }
    let sgd = edited(
        "mlp",
        "arrays:a.npz",
        ("# kind = \"adam\"", "kind = \"sgd\""),
    );
    assert!(sgd.contains("\nkind = \"sgd\""), "{sgd}");
    let crops = edited("resnet", "cifar-10", ("", ""));
    for line in ["# pad_crop = 4", "# horizontal_flip = true"] {
        assert!(crops.contains(line), "{line}: {crops}");
    }
}

#[test]
fn the_plain_configuration_is_that_of_the_plain_run() {
    let dir = tempfile::tempdir().unwrap();
    let config = |args: &[&str]| fine(dir.path(), &[&["config"], args].concat()).stdout;
    assert_eq!(config(&[]), config(&["mlp"]));
    assert_eq!(config(&["train"]), config(&["mlp"]));
    let found = config(&["schedule.kind"]);
    assert!(
        found.contains("schedule.kind = \"cosine\"") && found.contains("of mlp"),
        "{found}"
    );
    assert!(!config(&["optimizer.lr"]).contains("of mlp;"));
}

#[test]
fn a_kind_has_the_keys_of_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let text = fine(dir.path(), &["config", "conductance"]).stdout;
    for curve in ["alpha", "beta", "steady_state", "time_constant"] {
        for key in [
            "kind",
            "scale",
            "midpoint",
            "slope",
            "concentration",
            "half",
            "exponent",
            "of",
        ] {
            let path = format!("\nunit.channel.N.gate.N.{curve}.{key}");
            assert!(text.contains(&path), "{path}: {text}");
        }
    }
    for key in ["inside", "outside", "charge = 2.0", "temperature = 36.0"] {
        let path = format!("\nunit.channel.N.reversal.{key}");
        assert!(text.contains(&path), "{path}: {text}");
    }
    assert!(
        text.contains("{ charge, inside, outside, temperature }"),
        "{text}"
    );
    // What several kinds have alike stands once.
    let path = "\nunit.channel.N.gate.N.alpha.midpoint";
    assert_eq!(text.matches(path).count(), 1, "{text}");
    assert!(
        text.contains("alpha.kind = \"linear\" or \"falling-linear\""),
        "{text}"
    );
    // A curve is a rate, a time or a share, and its scale is in that.
    for (curve, unit) in [
        ("alpha", ", 1/ms; with"),
        ("beta", ", 1/ms; with"),
        ("time_constant", ", ms; with"),
        ("steady_state", "}; with"),
    ] {
        let path = format!("\nunit.channel.N.gate.N.{curve}.scale");
        for (at, _) in text.match_indices(&path) {
            let facts = text[at + 1..].lines().nth(1).unwrap();
            assert!(facts.contains(unit), "{curve}: {facts}");
        }
    }
    // The kinds of curve are explained once.
    assert_eq!(text.matches("    linear: ").count(), 1, "{text}");
}

#[test]
fn a_failure_is_the_last_object() {
    let dir = tempfile::tempdir().unwrap();
    let run: Finished = granule(dir.path())
        .args(["train", "lenett", "--json"])
        .output()
        .unwrap()
        .into();
    let last = run.json().pop().unwrap();
    assert_eq!((run.code, &last["event"]), (Some(2), &"error".into()));
    assert!(
        last["message"].as_str().unwrap().contains("lenett"),
        "{last}"
    );
}

#[test]
fn a_failure_in_the_middle_is_the_last_object() {
    let dir = tempfile::tempdir().unwrap();
    let args = "train --json --device flex --optimizer sgd --lr 1e30 --limit-train 640 --run-dir r";
    let run: Finished = granule(dir.path())
        .args(args.split(' '))
        .output()
        .unwrap()
        .into();
    let last = run.json().pop().unwrap();
    assert_eq!((run.code, &last["event"]), (Some(1), &"error".into()));
    assert_eq!(last["exit_code"], 1);
    assert!(
        last["message"].as_str().unwrap().contains("at step 2"),
        "{last}"
    );
}

#[test]
fn a_model_is_no_configuration() {
    let model = trained().join("model.granule");
    let text = refused(trained(), &["train", model.to_str().unwrap()], 2);
    for part in [
        "is a trained model, not a configuration",
        "granule eval",
        "config.toml",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn lines_of_epochs_fit_80_columns() {
    let dir = tempfile::tempdir().unwrap();
    let args = "train --device flex --epochs 100 --limit-train 100 --limit-test 50 --validation 0.2 --run-dir r";
    let run = fine(dir.path(), &args.split(' ').collect::<Vec<_>>());
    let lines = run.stderr.lines();
    let of_epochs = lines.filter(|line| {
        let text = line.trim_start();
        text.starts_with("epoch") || text.starts_with("validation loss")
    });
    let of_epochs: Vec<&str> = of_epochs.collect();
    assert!(of_epochs.len() >= 100, "{}", run.stderr);
    for line in of_epochs {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn verbose_tells_on_standard_error_alone() {
    let dir = tempfile::tempdir().unwrap();
    let words =
        "train -v --json --device flex --limit-train 640 --epochs 1 --validation 0.1 --run-dir r";
    let words: Vec<&str> = words.split(' ').collect();
    let run = fine(dir.path(), &words);
    assert_eq!(run.json().last().unwrap()["event"], "result");
    for part in [
        "memory: ",
        "train.epochs = 1  (default 10)",
        "data.validation = 0.1  (default 0.0)",
        "device flex opened for `flex`: took ",
        "data ready, fingerprint ",
        "epoch 1 trained and validated: took ",
        "wrote r/checkpoints/best.ckpt, ",
        "wrote r/model.granule, ",
        "s  end\n",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("optimizer.beta1"), "{}", run.stderr);
    let run = fine(
        dir.path(),
        &["eval", "r", "--device", "flex", "-vv", "--json"],
    );
    assert_eq!(run.json().len(), 1);
    for part in [
        "read r/model.granule, ",
        "device flex opened",
        "test part scored",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let words = [
        "simulate",
        "lif",
        "--set",
        "unit.current=12",
        "-v",
        "--json",
    ];
    let run = fine(dir.path(), &words);
    for part in ["unit.current = 12", "simulated: took ", "device "] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("unit.cells"), "{}", run.stderr);
    let quiet = fine(dir.path(), &["simulate", "lif", "--json"]);
    assert_eq!(quiet.stderr, "");
}

/// One file, one exit code, whichever other words stand beside it.
#[test]
fn a_damaged_file_fails_alike_whatever_the_model() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.granule"), "no model").unwrap();
    for (file, code) in [("bad.granule", 1), ("absent.granule", 2)] {
        for model in [&[][..], &["mlp"], &["lenet"]] {
            let args = [&["train"], model, &["--from", file, "--run-dir", "run"]].concat();
            let said = refused(dir.path(), &args, code);
            assert!(said.contains(file), "{said}");
        }
        let said = refused(dir.path(), &["eval", file], code);
        assert!(said.contains(file), "{said}");
    }
    for words in [["--resume", "absent"], ["--continue", "bad.granule"]] {
        refused(dir.path(), &[&["train"][..], &words].concat(), 2);
    }
}
