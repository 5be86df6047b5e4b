use clap::Parser;

use granule::data::DatasetSpec;
use granule::models::RateConfig;
use granule::train::OptimizerConfig;
use granule::train::schema::Schema;

use super::*;
use crate::args::{Cli, Command};

fn parse(args: &[&str]) -> args::Train {
    let cli = Cli::try_parse_from(["granule", "train"].iter().chain(args)).unwrap();
    match cli.command {
        Command::Train(train) => *train,
        other => panic!("{other:?}"),
    }
}

fn resolved(args: &[&str]) -> RunConfig {
    resolve(&parse(args)).unwrap()
}

fn refused(args: &[&str]) -> String {
    let error = resolve(&parse(args)).unwrap_err();
    let usage = error.downcast_ref::<Usage>().expect("wrong usage");
    format!("{usage} / {}", usage.hint_text().unwrap_or_default())
}

#[test]
fn flags_and_set_beat_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    std::fs::write(
        &path,
        "seed = 3\n[train]\nepochs = 7\nbatch_size = 8\n[model]\nkind = \"lenet\"\n",
    )
    .unwrap();
    let file = path.to_str().unwrap();
    let config = resolved(&[file, "--epochs", "9", "--set", "train.batch_size=32"]);
    assert_eq!(
        (config.seed, config.train.epochs, config.train.batch_size),
        (3, 9, 32)
    );
    assert_eq!(config.model.name(), "lenet");
    // The last of several counts.
    for (texts, epochs) in [
        (&["train.epochs=3", "train.epochs=4"][..], 4),
        (&["train.epochs=", "train.epochs=4"], 4),
        (
            &["train.epochs=4", "train.epochs="],
            RunConfig::default().train.epochs,
        ),
    ] {
        let words: Vec<&str> = texts.iter().flat_map(|text| ["--set", text]).collect();
        let config = resolved(&[&[file], &words[..]].concat());
        assert_eq!(config.train.epochs, epochs, "{texts:?}");
    }
}

#[test]
fn a_flag_and_a_setting_that_differ_are_refused() {
    for (flag, value, setting, other) in [
        ("--lr", "0.1", "optimizer.lr=0.01", "0.01"),
        ("--lr", "0.1", "optimizer={lr=0.2}", "0.2"),
        (
            "--lr",
            "0.1",
            "optimizer.lr=",
            "its default (--set optimizer.lr=)",
        ),
        (
            "--lr",
            "0.1",
            "optimizer=",
            "its default (--set optimizer=)",
        ),
        ("--epochs", "3", "train.epochs=4", "4"),
        ("--batch-size", "3", "train.batch_size=4", "4"),
        ("--seed", "3", "seed=4", "4"),
        ("--device", "cpu", "device=gpu", "gpu"),
        ("--dataset", "mnist", "data.dataset=cifar-10", "cifar-10"),
        ("--task", "sine", "data.task.kind=flip-flop", "flip-flop"),
        ("--trials", "3", "data.trials.epoch=4", "4"),
        ("--limit-train", "3", "data.limit_train=4", "4"),
        ("--limit-test", "3", "data.limit_test=4", "4"),
        ("--range", "0,1", "data.range=[0, 2]", "[0, 2]"),
        ("--validation", "0.1", "data.validation=0.2", "0.2"),
        (
            "--early-stopping",
            "3",
            "train.early_stopping.patience=4",
            "4",
        ),
        ("--optimizer", "adam", "optimizer.kind=sgd", "sgd"),
        ("--schedule", "cosine", "schedule.kind=step", "step"),
        ("--data-dir", "/a", "data.data_dir=/b", "/b"),
        ("--from", "/a", "start.weights=/b", "/b"),
    ] {
        let text = refused(&[flag, value, "--set", setting]);
        let path = setting.split(['=', '{']).next().unwrap();
        for part in [flag, path, "given twice", other, "--set"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(refused(&["--offline", "--set", "data.offline=false"]).contains("--offline"));
    for words in [
        &["--lr", "1", "--set", "optimizer.lr=1.0"][..],
        &["--epochs", "3", "--set", "train.epochs=3"],
        &["--optimizer", "adam", "--set", "optimizer.kind=adam"],
    ] {
        resolved(words);
    }
}

#[test]
fn whole_numbers_beyond_those_of_toml_are_no_texts() {
    for number in [
        "18446744073709551615",
        "-99999999999999999999",
        "1_000_000_000_000_000_000_000",
    ] {
        let text = refused(&["--set", &format!("seed={number}")]);
        assert!(
            text.contains(number)
                && text.contains("from -9223372036854775808 to 9223372036854775807"),
            "{text}"
        );
    }
    let most = format!("seed={}", i64::MAX);
    assert_eq!(resolved(&["--set", &most]).seed, i64::MAX as u64);
}

#[test]
fn a_simulation_is_not_a_training() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cell.toml");
    let file = path.to_str().unwrap();
    let told = |text: &str| {
        std::fs::write(&path, text).unwrap();
        refused(&[file])
    };
    let cell = told("seed = 3\nduration = 50.0\n[unit]\nmodel = 'lif'\n");
    for part in [
        "a simulation, not a training",
        "`duration`, `unit`",
        "`granule simulate ",
    ] {
        assert!(cell.contains(part), "{part}: {cell}");
    }
    let composite = told("[composite]\ndt = 0.5\n");
    assert!(composite.contains("multi-granularity"), "{composite}");
    // What has keys of both is a training with a key too many.
    let both = told("duration = 50.0\n[train]\nepochs = 3\n");
    assert!(both.contains("unknown key `duration`"), "{both}");
    let preset = refused(&["lif"]);
    assert!(
        preset.contains("a ready-made simulation") && preset.contains("`granule simulate lif`"),
        "{preset}"
    );
}

#[test]
fn the_keys_of_the_two_commands_are_those_of_their_schemas() {
    let top = |schema: &Schema| -> std::collections::BTreeSet<String> {
        let keys = schema.keys().into_iter();
        keys.map(|key| key.path.split('.').next().unwrap().to_owned())
            .collect()
    };
    let (runs, experiments) = (Schema::of_runs(), Schema::of_experiments());
    let (runs, experiments) = (top(&runs), top(&experiments));
    let only: Vec<&String> = runs.difference(&experiments).collect();
    assert_eq!(only, OF_TRAINING);
    let only: Vec<&String> = experiments.difference(&runs).collect();
    assert_eq!(only, OF_SIMULATIONS);
}

#[test]
fn another_kind_resets_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    std::fs::write(
        &path,
        "[optimizer]\nkind = \"sgd\"\nmomentum = 0.5\nlr = 0.3\n",
    )
    .unwrap();
    let file = path.to_str().unwrap();
    assert_eq!(
        resolved(&[file, "--optimizer", "adamw"]).optimizer,
        OptimizerConfig::from_name("adamw").unwrap()
    );
    assert_eq!(resolved(&[file, "--optimizer", "sgd"]).optimizer.lr(), 0.3);
    assert_eq!(
        resolved(&[file, "--optimizer", "adam", "--lr", "0.5"])
            .optimizer
            .lr(),
        0.5
    );
    assert_eq!(
        resolved(&["--set", "model.kind=lenet"]).model.name(),
        "lenet"
    );
}

#[test]
fn no_setting_is_lost_to_a_kind_that_is_named_elsewhere() {
    for args in [
        &["--lr", "0.25", "--set", "optimizer.kind=sgd"][..],
        &["--optimizer", "sgd", "--set", "optimizer.lr=0.25"],
        &["--set", "optimizer.lr=0.25", "--set", "optimizer.kind=sgd"],
    ] {
        let optimizer = resolved(args).optimizer;
        assert_eq!(
            (optimizer.name(), optimizer.lr()),
            ("sgd", 0.25),
            "{args:?}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    std::fs::write(&path, "[optimizer]\nlr = 0.25\n").unwrap();
    let optimizer = resolved(&[path.to_str().unwrap(), "--optimizer", "rmsprop"]).optimizer;
    assert_eq!((optimizer.name(), optimizer.lr()), ("rmsprop", 0.25));

    let text = refused(&["--optimizer", "adam", "--set", "optimizer.kind=sgd"]);
    for part in ["`optimizer.kind`", "`adam`", "`sgd`", "--set"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(refused(&["lenet", "--set", "model.kind=cnn"]).contains("`model.kind`"));
    resolved(&["lenet", "--set", "model.kind=lenet"]);
}

#[test]
fn the_data_do_not_follow_the_seed() {
    let (one, other) = (resolved(&["--seed", "1"]), resolved(&["--seed", "2"]));
    assert_ne!(one.seed, other.seed);
    assert_eq!(one.data, other.data);
    assert_eq!(resolved(&["--set", "data.seed=7"]).data.seed, 7);
}

#[test]
fn an_unknown_key_is_named_in_full_with_the_nearest() {
    for (setting, key, near) in [
        ("train.epoch=3", "`train.epoch`", "`train.epochs`"),
        ("tran.epochs=3", "`tran`", "`train`"),
        ("epochs=3", "`epochs`", "`train.epochs`"),
        ("train.lr=3", "`train.lr`", "`optimizer.lr`"),
        ("optimizer.momentun=0.1", "`optimizer.momentun`", ""),
        (
            "data.augmentation.pad_crp=1",
            "`data.augmentation.pad_crp`",
            "`data.augmentation.pad_crop`",
        ),
        (
            "train.early_stopping.patiense=1",
            "`train.early_stopping.patiense`",
            "`train.early_stopping.patience`",
        ),
        ("train.clip_nrom=", "`train.clip_nrom`", "`train.clip_norm`"),
        ("task.kind=go-nogo", "`task`", "did you mean `data.task`?"),
        (
            "early_stopping.patience=3",
            "`early_stopping`",
            "did you mean `train.early_stopping`?",
        ),
    ] {
        let text = refused(&["--set", setting]);
        assert!(
            text.contains(key) && text.contains(near),
            "{setting}: {text}"
        );
    }
    let (dir, setting) = (
        tempfile::tempdir().unwrap(),
        "[optimizer]\nkind = \"sgd\"\nbeta1 = 0.9\n",
    );
    let path = dir.path().join("my.toml");
    std::fs::write(&path, setting).unwrap();
    let text = refused(&[path.to_str().unwrap()]);
    for part in [
        "`optimizer.beta1` is no key of sgd (in ",
        "my.toml)",
        "adam",
        "the keys of sgd are decoupled, kind, lr, momentum",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = refused(&["--optimizer", "sgd", "--set", "optimizer.momentun=0.1"]);
    assert!(text.contains("`optimizer.momentum`"), "{text}");
}

#[test]
fn a_wrong_value_names_field_value_and_range() {
    for (args, parts) in [
        (
            &["--epochs", "0"][..],
            &["train.epochs", "0", "1 or more", "from the flags"][..],
        ),
        (&["--lr", "-1"], &["optimizer.lr", "-1", "above 0"]),
        (
            &["--set", "optimizer.lr=fast"],
            &["optimizer.lr", "\"fast\"", "a number", "--set"],
        ),
        (
            &["--set", "train.epochs=ten"],
            &["train.epochs", "\"ten\"", "a whole number"],
        ),
        (
            &["--set", "train.epochs=2.5"],
            &["train.epochs", "2.5", "a whole number"],
        ),
        (
            &["--set", "train.epochs=-1"],
            &["train.epochs", "-1", "a whole number"],
        ),
        (&["--set", "model.widths=[-1]"], &["model.widths.0", "-1"]),
        (
            &["--set", "model.widths=5"],
            &["model.widths", "5", "a list"],
        ),
        (
            &["--set", "model.widths=256, 128"],
            &["did you mean `model.widths = [256, 128]`?"],
        ),
        (
            &["--set", "optimizer.lr=0,01"],
            &["did you mean `optimizer.lr = 0.01`?"],
        ),
        (
            &["--set", "data.validation=10%"],
            &["did you mean `data.validation = 0.1`?"],
        ),
        (
            &["--set", "data.size=[16]"],
            &["must be a whole number, 1 to 4096, or a list of 2 whole numbers, 1 to 4096"],
        ),
        (&["--set", "train=5"], &["`train`", "5", "a table"]),
        (
            &["--optimizer", "adm"],
            &["optimizer.kind", "adm", "adam", "rmsprop"],
        ),
        (
            &["--schedule", "onecycle"],
            &["schedule.kind", "onecycle", "`one-cycle`"],
        ),
        (&["--set", "device=cudda"], &["device", "cudda"]),
        (
            &["--set", "data.dataset=mnits"],
            &["data.dataset", "mnits", "mnist"],
        ),
        (
            &["--set", "train.loss=mae"],
            &["train.loss", "mae", "cross-entropy"],
        ),
        (&["lenett"], &["lenett", "`lenet`"]),
        (&["nowhere.toml"], &["nowhere.toml"]),
    ] {
        let text = refused(args);
        for part in parts {
            assert!(text.contains(part), "{args:?}: {text}");
        }
    }
}

#[test]
fn a_length_that_nobody_chose_counts_steps() {
    let least = |words: &[&str]| resolved(words).train.min_steps;
    assert!(least(&[]).is_some());
    assert_eq!(least(&[]), least(&["--set", "train.epochs="]));
    for chosen in [
        &["--epochs", "3"][..],
        &["--set", "train.epochs=3"],
        &["--set", "train.min_steps="],
        &["rate", "--task", "flip-flop"],
    ] {
        assert_eq!(least(chosen), None, "{chosen:?}");
    }
    assert_eq!(least(&["--set", "train.min_steps=7"]), Some(7));
    // A file says the least, and the command line another length.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    std::fs::write(&path, "[train]\nepochs = 3\nmin_steps = 500\n").unwrap();
    let file = path.to_str().unwrap();
    assert_eq!(least(&[file]), Some(500));
    assert_eq!(least(&[file, "--epochs", "2"]), None);
    assert_eq!(least(&[file, "--set", "train.epochs=2"]), None);
    let both = [file, "--epochs", "2", "--set", "train.min_steps=9"];
    assert_eq!(least(&both), Some(9));
}

#[test]
fn what_goes_by_the_data_is_known() {
    let of_data = |args: &[&str]| resolve_whole(&parse(args)).unwrap().of_data();
    let of_mlp = of_data(&["mlp"]);
    for key in ["optimizer.kind", "optimizer.lr", "optimizer.weight_decay"] {
        assert!(of_mlp.iter().any(|of_data| of_data == key), "{of_mlp:?}");
    }
    assert_eq!(of_mlp, of_data(&["mlp", "--dataset", "arrays:a.npz"]));
    assert_eq!(of_data(&["mlp", "--optimizer", "sgd"]), [""; 0]);
    let of_resnet = of_data(&["resnet"]);
    assert_eq!(
        of_resnet,
        [
            "data.augmentation.horizontal_flip",
            "data.augmentation.pad_crop"
        ]
    );
    let of_rate = of_data(&["rate"]);
    assert_eq!(of_rate, ["model.initialization", "train.loss"]);
    assert_eq!(of_data(&["lenet"]), [""; 0]);
}

#[test]
fn an_empty_value_takes_the_default_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    std::fs::write(&path, "[train]\nepochs = 7\nclip_norm = 2.0\n").unwrap();
    let config = resolved(&[
        path.to_str().unwrap(),
        "--set",
        "train.clip_norm=",
        "--set",
        "train.epochs=",
    ]);
    assert_eq!(
        (config.train.clip_norm, config.train.epochs),
        (None, RunConfig::default().train.epochs)
    );
    std::fs::write(&path, "[data]\ndataset = \"mnist\"\n").unwrap();
    let config = resolved(&[path.to_str().unwrap(), "--set", "data.dataset="]);
    assert_eq!(config.data.dataset, DatasetSpec::default());
}

#[test]
fn a_task_has_its_recipe_and_its_settings() {
    let args = ["rate", "--task", "flip-flop", "--trials", "128"];
    let set = ["--set", "data.task.bits=2", "--set", "model.dale_ratio=0.8"];
    let config = resolved(&[&args[..], &set].concat());
    assert_eq!(config.model.name(), "rate");
    assert_eq!(config.train.loss, granule::train::Loss::Mse);
    assert_eq!(config.data.trials.epoch, 128);
    let text = config.to_toml().unwrap();
    assert!(
        text.contains("bits = 2") && text.contains("dale_ratio = 0.8"),
        "{text}"
    );
    assert_eq!(resolved(&["--task", "sine"]).model.name(), "rate");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    for task in TaskKind::NAMES {
        let config = resolved(&["rate", "--task", task]);
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
        let file = path.to_str().unwrap();
        assert_eq!(resolved(&[file]), config);
        let other = resolved(&[file, "--task", "sine"]);
        assert_eq!(other.data.task, Some(TaskKind::Sine.config()));
    }
}

#[test]
fn a_task_that_cannot_be_is_explained() {
    let cases: [(&[&str], &[&str]); 6] = [
        (
            &["rate", "--task", "flipflop"],
            &["flipflop", "`flip-flop`"],
        ),
        (&["mlp", "--task", "sine"], &["model.kind", "mlp", "rate"]),
        (
            &[
                "rate",
                "--task",
                "sine",
                "--set",
                "data.task.coherences=[0.1]",
            ],
            &["data.task.coherences"],
        ),
        (
            &["rate", "--task", "flip-flop", "--set", "model.dt=80"],
            &["model.dt", "80", "60", "--set"],
        ),
        (
            &["rate", "--task", "sine", "--limit-test", "5"],
            &["data.limit_test", "data.trials"],
        ),
        (
            &[
                "rate",
                "--task",
                "sine",
                "--set",
                "data.task.kind=flip-flop",
            ],
            &["given twice", "sine", "flip-flop"],
        ),
    ];
    for (args, parts) in cases {
        let text = refused(args);
        for part in parts {
            assert!(text.contains(part), "{args:?}: {text}");
        }
    }
}

#[test]
fn another_choice_replaces_the_one_with_its_values() {
    let rate = |set: &str| {
        resolved(&["rate", "--set", set])
            .model
            .get::<RateConfig>()
            .unwrap()
            .clone()
    };
    use granule::dynamics::gradient::Memory;
    use granule::dynamics::population::{Initialization, Recurrence};
    let config = rate("model.initialization.gaussian=1.5");
    assert_eq!(config.initialization, Initialization::Gaussian(1.5));
    let config = rate("model.initialization.spectral_radius=0.9");
    assert_eq!(config.initialization, Initialization::SpectralRadius(0.9));
    let config = rate("model.recurrence.sparse.density=0.1");
    assert_eq!(config.recurrence, Recurrence::Sparse { density: 0.1 });

    let levels = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/three_levels.toml"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("levels.toml");
    let text = std::fs::read_to_string(levels).unwrap();
    let memory = "[train]\nmemory = { segments = 3 }\n";
    std::fs::write(&path, text.replace("[train]\n", memory)).unwrap();
    let file = path.to_str().unwrap();
    let set = |text| [file, "--set", "data.recording.file=x.npz", "--set", text];
    let config = resolved(&set("train.memory.nested=[5, 5]"));
    assert_eq!(config.train.memory, Some(Memory::Nested(vec![5, 5])));
    let config = resolved(&set("train.memory.segments=4"));
    assert_eq!(config.train.memory, Some(Memory::Segments(4)));
    let text = refused(&set("model.coupler.0.projection.random.gain=2"));
    let expected = "`model.coupler.0.projection.random.seed` is missing, which `random` needs";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn what_is_wrong_with_a_layer_is_said_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layers.toml");
    for (layers, expected) in [
        ("{kind = \"dense\"}", "`model.layer.1.units` is missing"),
        ("{units = 3}", "`model.layer.1.kind` is missing"),
        (
            "{kind = \"dens\", units = 3}",
            "`model.layer.1.kind` has no choice `dens`",
        ),
        (
            "{kind = \"dense\", unit = 3}",
            "unknown key `model.layer.1.unit`",
        ),
        (
            "{kind = \"dense\", units = -3}",
            "`model.layer.1.units` is -3, but must be a whole number",
        ),
        ("3", "`model.layer.1` is 3, but must be a table"),
        (
            "{kind = \"residual\", layer = [{kind = \"relu\"}, {kind = \"dense\"}]}",
            "`model.layer.1.layer.1.units` is missing",
        ),
        (
            "{kind = \"residual\", layer = [{kind = \"conv\", filters = 1, size = 2}]}",
            "`model.layer.1.layer.0.size` is no key of conv",
        ),
        (
            "{kind = \"residual\", layer = [{kind = \"pool\", size = -1}]}",
            "`model.layer.1.layer.0.size` is -1, but must be a whole number",
        ),
    ] {
        let text =
            format!("[model]\nkind = \"sequential\"\nlayer = [{{kind = \"flatten\"}}, {layers}]\n");
        std::fs::write(&path, text).unwrap();
        let text = refused(&[path.to_str().unwrap()]);
        assert!(text.starts_with(expected), "{layers}: {text}");
    }
}

#[test]
fn a_run_folder_is_not_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(&[dir.path().to_str().unwrap()]).contains("--resume"));
}

#[test]
fn a_written_configuration_resolves_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    for model in ModelConfig::names() {
        let config = resolved(&[model, "--dataset", "cifar-10", "--limit-train", "10"]);
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
        assert_eq!(resolved(&[path.to_str().unwrap()]), config);
    }
}

#[test]
fn flag_and_environment_beat_the_folder_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let (flag, variable) = (Path::new("flag"), Path::new("variable"));
    let (here, gone) = (dir.path(), dir.path().join("gone"));
    let found = |named, environment, recorded| first_dir(named, environment, Some(recorded));
    assert_eq!(
        found(Some(flag), Some(variable), here).as_deref(),
        Some(flag)
    );
    assert_eq!(found(None, Some(variable), here).as_deref(), Some(variable));
    assert_eq!(found(None, None, here).as_deref(), Some(here));
    assert_eq!(found(None, None, &gone), None);
    assert_eq!(first_dir(None, None, None), None);
}

#[test]
fn a_word_in_the_place_of_a_table_is_its_kind() {
    for (setting, hint) in [
        ("optimizer=adamw", "`optimizer.kind = adamw`"),
        ("model=lenet", "`model.kind = lenet`"),
    ] {
        let text = refused(&["--set", setting]);
        assert!(text.contains(hint), "{setting}: {text}");
    }
}

#[test]
fn a_list_is_no_table() {
    for (setting, path) in [
        ("train=[1,2]", "`train` is [1, 2], but must be a table"),
        ("optimizer=[\"sgd\",0.1]", "`optimizer` is"),
        ("data=[]", "`data` is [], but must be a table"),
    ] {
        let text = refused(&["--set", setting]);
        assert!(text.starts_with(path), "{setting}: {text}");
    }
}

#[test]
fn long_keys_are_refused_at_once() {
    let key = "k".repeat(1 << 20);
    let begun = std::time::Instant::now();
    refused(&["--set", &format!("train.{key}=1")]);
    assert!(begun.elapsed().as_secs_f64() < 5.0);
}
