//! Runs that begin with weights, go on elsewhere, or are asked for once they are finished.

use std::fs;
use std::path::Path;

use granule_data::{Dataset, Features, Normalization, Shape, Split, Targets};
use granule_models::{ModelFile, StateDict};
use granule_train::config::{ConstantConfig, SgdConfig};
use granule_train::record::ReportData;
use granule_train::{
    Keep, OptimizerConfig, Outcome, RunConfig, ScheduleConfig, StartConfig, StopFlag, TrainError,
    evaluate, resume_as, resume_with,
};

use crate::common::*;

fn base(epochs: usize) -> RunConfig {
    let mut config = config(&"flex".parse().unwrap(), mlp(&[12], 0.3), epochs, 8);
    config.optimizer = adam(0.01);
    config.schedule = ScheduleConfig::Constant(ConstantConfig::default());
    config
}

fn started(config: RunConfig, weights: &Path, optimizer: bool) -> RunConfig {
    RunConfig {
        start: Some(StartConfig {
            weights: weights.to_owned(),
            optimizer,
        }),
        ..config
    }
}

fn weights(dir: &Path) -> StateDict {
    ModelFile::load(dir).unwrap().state
}

fn again(dir: &Path, data: &Dataset) -> Result<(Outcome, Witness), TrainError> {
    let mut witness = Witness::default();
    let outcome = resume_with(dir, data, &mut witness, &StopFlag::new())?;
    Ok((outcome, witness))
}

/// With dropout, moments and shuffled batches, all of which must go on and not begin again.
#[test]
fn a_run_that_is_continued_ends_as_one_that_was_longer() {
    let data = points(60, 12);
    let root = tempfile::tempdir().unwrap();
    let dir = |name: &str| root.path().join(name);
    run(&base(5), &data, &dir("long")).unwrap();
    run(&base(2), &data, &dir("short")).unwrap();
    let (further, witness) = run(
        &started(base(2), &dir("short"), true),
        &data,
        &dir("further"),
    )
    .unwrap();
    assert_eq!((further.epochs, further.steps), (2, 16));
    assert!(witness.warnings.is_empty(), "{:?}", witness.warnings);
    // Once more, and interrupted on its way.
    let flag = StopFlag::new();
    let mut witness = Witness {
        stop_after: Some((3, flag.clone())),
        ..Default::default()
    };
    granule_train::train_with(
        &started(base(1), &dir("further"), true),
        &data,
        Some(&dir("last")),
        &mut witness,
        &flag,
    )
    .unwrap();
    again(&dir("last"), &data).unwrap();
    assert!(weights(&dir("last")) == weights(&dir("long")));

    let file = ModelFile::load(dir("last")).unwrap();
    let parent = file.provenance.parent.unwrap();
    assert!(parent.optimizer && parent.epochs == 4);
    assert!(
        parent.file.ends_with("step-00000016.ckpt"),
        "{}",
        parent.file
    );
    let first = parent.provenance.parent.unwrap();
    assert_eq!(first.epochs, 2);
    assert!(further.parent.unwrap().contains("short"));
    let text = fs::read_to_string(dir("last").join("config.toml")).unwrap();
    assert!(
        text.contains("further/checkpoints/step-00000016.ckpt"),
        "{text}"
    );
    let report = ReportData::load(&dir("last")).unwrap();
    assert!(
        report
            .provenance
            .iter()
            .any(|fact| fact.name == "Continues")
    );
}

#[test]
fn weights_of_any_file_begin_a_run() {
    let data = points(60, 12);
    let root = tempfile::tempdir().unwrap();
    let first = root.path().join("first");
    run(&base(2), &data, &first).unwrap();
    let checkpoint = first.join("checkpoints/step-00000016.ckpt");
    let mut results = Vec::new();
    for (name, file) in [
        ("folder", first.clone()),
        ("model", first.join("model.granule")),
        ("checkpoint", checkpoint.clone()),
    ] {
        let dir = root.path().join(name);
        let (outcome, witness) = run(&started(base(1), &file, false), &data, &dir).unwrap();
        assert!(
            witness.steps[0].loss < 0.9,
            "{name}: {}",
            witness.steps[0].loss
        );
        let parent = model(&outcome).provenance.parent.unwrap();
        assert!(!parent.optimizer && parent.epochs == 0);
        results.push(weights(&dir));
    }
    assert!(results[0] == results[1] && results[1] == results[2]);

    let refused = |config: RunConfig| {
        let dir = root.path().join("refused");
        let error = run(&config, &data, &dir).map(|_| ()).unwrap_err();
        assert!(!dir.exists(), "{error}");
        error.to_string()
    };
    let mut wider = started(base(1), &first, false);
    wider.model = mlp(&[16], 0.3);
    let text = refused(wider);
    let shape = "layers.0.weight has shape [2, 12], not [2, 16]";
    assert!(
        text.contains(shape) && text.contains("model.granule"),
        "{text}"
    );
    let mut deeper = started(base(1), &checkpoint, true);
    deeper.model = mlp(&[12, 12], 0.3);
    let text = refused(deeper);
    assert!(
        text.contains("4 tensors differ, as layers.1.bias has shape [3], not [12]; ")
            && text.contains("layers.2.bias [3] is missing"),
        "{text}"
    );
    let mut other = started(base(1), &first, true);
    other.optimizer = OptimizerConfig::Sgd(SgdConfig::default());
    let text = refused(other);
    assert!(
        text.contains("optimizer.kind") && text.contains("start.optimizer"),
        "{text}"
    );
    let text = refused(started(base(1), &first.join("model.granule"), true));
    assert!(text.contains("start.weights"), "{text}");
    let text = refused(started(base(1), &root.path().join("none"), false));
    assert!(text.contains("there is no such"), "{text}");

    // Weights are taken to other data on purpose; a run is not continued on them without a word.
    for (continued, warnings) in [(false, 0), (true, 1)] {
        let dir = root.path().join(format!("other-data-{continued}"));
        let (_, witness) =
            run(&started(base(1), &first, continued), &points(66, 12), &dir).unwrap();
        let told = witness
            .warnings
            .iter()
            .filter(|text| text.contains("other data"));
        assert_eq!(told.count(), warnings, "{:?}", witness.warnings);
    }
}

#[test]
fn a_checkpoint_is_a_model() {
    let data = points(60, 30);
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run");
    let mut config = base(3);
    config.data.validation = 0.2;
    let (outcome, _) = run(&config, &data, &dir).unwrap();
    let device = config.device.open().unwrap();
    let best = ModelFile::load(dir.join("checkpoints/best.ckpt")).unwrap();
    let scored = evaluate(&best, &data, &device, 16, &mut granule_train::Quiet).unwrap();
    let expected = outcome.evaluation.unwrap();
    assert!((scored.loss - expected.loss).abs() < 1e-9);
    assert_eq!(scored.accuracy(), expected.accuracy());
    assert_eq!(best.provenance.epochs, outcome.model_epoch.unwrap());
    let last = ModelFile::load(dir.join("checkpoints/step-00000018.ckpt")).unwrap();
    assert_eq!(last.provenance.epochs, 3);
    assert_eq!(last.task, best.task);
}

#[test]
fn a_finished_run_is_not_silent_about_what_changed() {
    let data = points(60, 12);
    let root = tempfile::tempdir().unwrap();
    for validation in [0.0, 0.2] {
        let dir = root.path().join(format!("run-{validation}"));
        let mut config = base(3);
        config.data.validation = validation;
        run(&config, &data, &dir).unwrap();

        // The model is gone: written again, with the same weights and scores.
        let path = dir.join("model.granule");
        let before = ModelFile::load(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let text = ModelFile::load(&dir).unwrap_err().to_string();
        assert!(
            text.contains("--resume") && text.contains("is gone"),
            "{text}"
        );
        let (outcome, witness) = again(&dir, &data).unwrap();
        assert!(witness.already_finished);
        assert!(
            witness.warnings[0].contains("written again"),
            "{:?}",
            witness.warnings
        );
        let mut after = ModelFile::load(outcome.model_path.unwrap()).unwrap();
        after.provenance.created = before.provenance.created.clone();
        assert_eq!(after, before);

        fs::remove_file(&path).unwrap();
        fs::remove_dir_all(dir.join("checkpoints")).unwrap();
        let text = again(&dir, &data).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("model.granule is gone"), "{text}");

        let path = dir.join("config.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("epochs = 3", "epochs = 9")).unwrap();
        let error = again(&dir, &data).map(|_| ()).unwrap_err();
        assert!(matches!(error, TrainError::Finished { .. }), "{error}");
        let text = error.to_string();
        for part in ["train.epochs = 3", "is now 9", "--continue"] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn a_run_goes_on_elsewhere_and_says_what_that_means() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("shades");
    shades(&folder);
    let spec = format!("folder:{}", folder.display());
    let stopped = |dir: &Path| {
        let flag = StopFlag::new();
        let mut witness = Witness {
            stop_after: Some((11, flag.clone())),
            ..Default::default()
        };
        let mut config = base(2);
        config.data.dataset = spec.parse().unwrap();
        granule_train::train(&config, Some(dir), &mut witness, &flag).unwrap();
        RunConfig::from_toml_str(&fs::read_to_string(dir.join("config.toml")).unwrap()).unwrap()
    };
    let dir = root.path().join("moved");
    let mut config = stopped(&dir);
    let mut other = config.clone();
    other.train.epochs = 4;
    let go_on = |config: &RunConfig| {
        let mut witness = Witness::default();
        resume_as(&dir, config, &mut witness, &StopFlag::new()).map(|outcome| (outcome, witness))
    };
    let text = go_on(&other).map(|_| ()).unwrap_err().to_string();
    assert!(
        text.contains("train.epochs") && text.contains("--continue"),
        "{text}"
    );

    // The data have moved, and the device is another.
    let moved = root.path().join("elsewhere");
    fs::rename(&folder, &moved).unwrap();
    assert!(go_on(&config).is_err());
    config.data.dataset = format!("folder:{}", moved.display()).parse().unwrap();
    config.device = "ndarray".parse().unwrap();
    let (outcome, witness) = go_on(&config).unwrap();
    assert_eq!((witness.resumed_at, outcome.steps), (Some(11), 16));
    assert!(outcome.device.contains("ndarray"), "{}", outcome.device);
    let said = &witness.warnings[0];
    assert!(
        said.contains("not bit for bit") && said.contains("step 11"),
        "{said}"
    );
    let report = ReportData::load(&dir).unwrap();
    let devices = report.provenance.iter().find(|fact| fact.name == "Devices");
    assert_eq!(
        devices.unwrap().value,
        "flex from step 0, ndarray from step 11"
    );
    let text = fs::read_to_string(dir.join("config.toml")).unwrap();
    assert!(
        text.contains("ndarray") && text.contains("elsewhere"),
        "{text}"
    );
}

/// A folder of small images, dark ones and light ones: 64 to train on and 16 to test on.
fn shades(folder: &Path) {
    let mut noise = Noise::new(7);
    for (class, base) in [("dark", 20.0), ("light", 150.0)] {
        for (part, count) in [("train", 32), ("test", 8)] {
            let dir = folder.join(part).join(class);
            fs::create_dir_all(&dir).unwrap();
            for i in 0..count {
                let pixel = |_, _| image::Luma([(base + 80.0 * noise.next()) as u8]);
                let picture = image::GrayImage::from_fn(4, 4, pixel);
                picture.save(dir.join(format!("{i}.png"))).unwrap();
            }
        }
    }
}

/// Sets the epochs of a run aside that a test of `keep` needs: those with the lowest loss and the highest accuracy.
fn best_epochs(witness: &Witness) -> (usize, usize) {
    let epochs = &witness.epochs;
    let loss = |i: usize| epochs[i].validation_loss.unwrap();
    let accuracy = |i: usize| epochs[i].validation_accuracy.unwrap();
    let all = 0..epochs.len();
    let lowest = all.clone().min_by(|&a, &b| loss(a).total_cmp(&loss(b)));
    let highest = all.max_by(|&a, &b| {
        let by_accuracy = accuracy(a).total_cmp(&accuracy(b));
        by_accuracy.then(loss(b).total_cmp(&loss(a)))
    });
    (lowest.unwrap() + 1, highest.unwrap() + 1)
}

/// The same points, every fifth one of the next class.
fn doubtful(data: Dataset) -> Dataset {
    let doubt = |split: &Split| {
        let Targets::Classes(classes) = split.targets() else {
            panic!("other points");
        };
        let classes = classes.iter().enumerate();
        let classes = classes.map(|(i, class)| match i % 5 {
            0 => (class + 1) % 3,
            _ => *class,
        });
        let targets = Targets::Classes(classes.collect());
        Split::new(split.shape(), split.features().clone(), targets).unwrap()
    };
    let (train, test) = (doubt(&data.train), doubt(&data.test));
    Dataset::new("doubtful", data.classes, data.normalization, train, test).unwrap()
}

/// On data where loss and accuracy do not agree which epoch is best.
#[test]
fn the_configuration_says_which_weights_are_kept() {
    let data = doubtful(points(90, 30));
    let root = tempfile::tempdir().unwrap();
    let of = |seed: u64, keep: Keep, validation: f64| {
        let dir = root
            .path()
            .join(format!("{}-{validation}-{seed}", keep.name()));
        let mut config = base(12);
        config.seed = seed;
        config.optimizer = adam(0.3);
        config.data.validation = validation;
        config.train.keep = keep;
        let (outcome, witness) = run(&config, &data, &dir).unwrap();
        (outcome, witness, dir)
    };
    let differ = |seed: &u64| {
        let (lowest, highest) = best_epochs(&of(*seed, Keep::Last, 0.4).1);
        lowest != highest && lowest != 12 && highest != 12
    };
    let seed = (1..30).find(differ).unwrap();
    let last = root.path().join(format!("last-0.4-{seed}"));
    let checkpoints = last.join("checkpoints");
    assert!(weights(&last) == weights(&checkpoints.join("step-00000084.ckpt")));
    assert!(weights(&last) != weights(&checkpoints.join("best.ckpt")));
    fs::remove_dir_all(&last).unwrap();
    let (outcome, witness, _) = of(seed, Keep::Last, 0.4);
    assert_eq!(
        (outcome.model_epoch, outcome.kept),
        (Some(12), Some(Keep::Last))
    );
    let (lowest, highest) = best_epochs(&witness);
    for (keep, validation, epoch, kept) in [
        (Keep::BestLoss, 0.4, lowest, Keep::BestLoss),
        (Keep::default(), 0.4, highest, Keep::BestScore),
        (Keep::BestScore, 0.3, 0, Keep::BestScore),
        (Keep::BestScore, 0.0, 12, Keep::Last),
    ] {
        let (outcome, witness, dir) = of(seed, keep, validation);
        let epoch = match epoch {
            0 => best_epochs(&witness).1,
            epoch => epoch,
        };
        assert_eq!(outcome.model_epoch, Some(epoch), "{keep:?} {validation}");
        assert_eq!(outcome.kept, Some(kept));
        assert_eq!(witness.keep, Some(kept));
        let best = dir.join("checkpoints/best.ckpt");
        assert_eq!(best.exists(), validation > 0.0);
        if best.exists() {
            assert!(weights(&best) == weights(&dir));
        }
    }
}

#[test]
fn data_of_a_program_are_recorded_as_such() {
    let data = points(60, 12);
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run");
    let flag = StopFlag::new();
    let mut witness = Witness {
        stop_after: Some((3, flag.clone())),
        ..Default::default()
    };
    granule_train::train_with(&base(2), &data, Some(&dir), &mut witness, &flag).unwrap();
    let text = fs::read_to_string(dir.join("config.toml")).unwrap();
    assert!(text.contains("dataset = \"in-memory:points\""), "{text}");
    let config = RunConfig::from_toml_str(&text).unwrap();
    let (mut quiet, stop) = (granule_train::Quiet, StopFlag::new());
    let other = root.path().join("other");
    for error in [
        granule_train::train(&config, Some(&other), &mut quiet, &stop).unwrap_err(),
        granule_train::resume(&dir, &mut quiet, &stop).unwrap_err(),
    ] {
        let text = error.to_string();
        for part in [
            "\"points\" was made in a program",
            "resume_with",
            "--dataset",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert!(!other.exists());
    assert_eq!(again(&dir, &data).unwrap().0.steps, 16);

    // Data that a file holds, and that are named, are recorded by their name.
    let mut named = base(1);
    named.data.dataset = "mnist".parse().unwrap();
    let mut published = data.clone();
    published.name = "mnist".to_owned();
    let dir = root.path().join("named");
    run(&named, &published, &dir).unwrap();
    let text = fs::read_to_string(dir.join("config.toml")).unwrap();
    assert!(text.contains("dataset = \"mnist\""), "{text}");
}

/// Points of other classes: as many as `names`.
fn of_classes(names: &[&str]) -> Dataset {
    let data = points(60, 12);
    let split = |split: &Split| {
        let class = |i| split.class(i).unwrap() % names.len() as u16;
        let classes = Targets::Classes((0..split.len()).map(class).collect());
        Split::new(split.shape(), split.features().clone(), classes).unwrap()
    };
    let (train, test) = (split(&data.train), split(&data.test));
    let names = names.iter().map(ToString::to_string).collect();
    Dataset::new("others", names, data.normalization, train, test).unwrap()
}

/// The same samples with a feature of zeros.
fn with_a_feature_more(data: &Dataset) -> Dataset {
    let wider = |split: &Split| {
        let Features::Floats(values) = split.features() else {
            panic!("pixels");
        };
        let values = values.chunks(2).flat_map(|pair| [pair[0], pair[1], 0.0]);
        let classes = (0..split.len()).map(|i| split.class(i).unwrap()).collect();
        let shape = Shape::Vector { len: 3 };
        let targets = Targets::Classes(classes);
        Split::new(shape, Features::Floats(values.collect()), targets).unwrap()
    };
    let (train, test) = (wider(&data.train), wider(&data.test));
    let names = data.classes.clone();
    Dataset::new("wider", names, Normalization::default(), train, test).unwrap()
}

#[test]
fn weights_of_other_classes_begin_a_run_without_the_last_layer() {
    let root = tempfile::tempdir().unwrap();
    let dir = |name: &str| root.path().join(name);
    run(&base(3), &points(60, 12), &dir("first")).unwrap();
    let mut still = started(base(1), &dir("first"), false);
    // Steps of a length of zero leave the weights that the run began with.
    still.optimizer = OptimizerConfig::Sgd(SgdConfig {
        lr: 1e-30,
        momentum: 0.0,
        ..Default::default()
    });
    let two = of_classes(&["low", "high"]);
    let (_, witness) = run(&still, &two, &dir("two")).unwrap();
    let note = &witness.notes[0];
    for part in [
        "first",
        "the last layer, layers.1 (layers.1.bias, layers.1.weight)",
        "2 values here, 3 there",
        "drawn anew",
    ] {
        assert!(note.contains(part), "{note}");
    }
    let plain = RunConfig {
        start: None,
        ..still.clone()
    };
    run(&plain, &two, &dir("plain")).unwrap();
    let [first, begun, drawn] = ["first", "two", "plain"].map(|name| weights(&dir(name)).0);
    assert_eq!(begun["layers.0.weight"], first["layers.0.weight"]);
    assert_ne!(begun["layers.0.weight"], drawn["layers.0.weight"]);
    assert_eq!(begun["layers.1.weight"], drawn["layers.1.weight"]);
    assert_eq!(begun["layers.1.weight"].shape, [12, 2]);

    // Other features: what the first layer makes of them is drawn anew, and the rest is taken.
    let wide = with_a_feature_more(&points(60, 12));
    let (_, witness) = run(&still, &wide, &dir("wide")).unwrap();
    let note = &witness.notes[0];
    let said = "the first layer, layers.0 (layers.0.weight), which takes 3 values here, 2 there, and is drawn anew";
    assert!(note.contains(said), "{note}");
    let begun = weights(&dir("wide")).0;
    assert_eq!(begun["layers.1.weight"], first["layers.1.weight"]);
    assert_eq!(begun["layers.0.bias"], first["layers.0.bias"]);
    assert_eq!(begun["layers.0.weight"].shape, [3, 12]);

    // As many classes under other names: the last layer is taken, and that is said.
    let others = of_classes(&["a", "b", "c"]);
    let (_, witness) = run(&still, &others, &dir("others")).unwrap();
    let said = |text: &String| text.contains("classes left, right, top; here they are a, b, c");
    assert!(witness.warnings.iter().any(said), "{:?}", witness.warnings);
    assert_eq!(weights(&dir("others")).0, first);

    // Other hidden layers, the state of an optimiser, and a model that is its last layer are refused.
    let refused = |config: RunConfig, name: &str, said: &str| {
        let error = run(&config, &two, &dir(name)).map(|_| ()).unwrap_err();
        assert!(matches!(error, TrainError::OtherWeights { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(!dir(name).exists());
    };
    let mut wider = still.clone();
    wider.model = mlp(&[13], 0.3);
    refused(wider, "wider", "4 tensors differ, as layers.0.bias");
    let mut deeper = still.clone();
    deeper.model = mlp(&[12, 12, 12, 12], 0.3);
    refused(deeper, "deeper", "tensors differ, as");
    let mut other = still.clone();
    let layers =
        serde_json::json!({"kind": "sequential", "layer": [{"kind": "dense", "units": 5}]});
    other.model = serde_json::from_value(layers).unwrap();
    let kinds = "they are of the kind mlp, and this is sequential; give";
    refused(other, "other", kinds);
    refused(started(base(1), &dir("first"), true), "continued", "");
    let mut linear = base(1);
    linear.model = mlp(&[], 0.0);
    run(&linear, &points(60, 12), &dir("linear")).unwrap();
    refused(started(linear, &dir("linear"), false), "nothing", "");
}

#[test]
fn a_validation_part_of_the_data_is_used_whole() {
    let root = tempfile::tempdir().unwrap();
    let part = points(24, 12).train;
    let data = points(60, 12).with_validation(part).unwrap();
    let mut config = base(2);
    config.data.dataset = "folder:points".parse().unwrap();
    config.train.early_stopping = Some(Default::default());
    config.validate().unwrap();
    let (_, witness) = run(&config, &data, &root.path().join("own")).unwrap();
    assert_eq!(witness.epochs[0].global_step, 8);
    assert!(
        witness
            .epochs
            .iter()
            .all(|epoch| epoch.validation_loss.is_some())
    );
    assert_eq!(witness.warnings, Vec::<String>::new());
    let report = ReportData::load(&root.path().join("own")).unwrap();
    assert_eq!((report.train_samples, report.validation_samples), (60, 24));

    // Early stopping asks for a part of sets that have none; who asks for one without it is told.
    config.data.validation = 0.25;
    let (_, witness) = run(&config, &data, &root.path().join("early")).unwrap();
    assert_eq!(witness.warnings, Vec::<String>::new());
    let mut plain = config.clone();
    plain.train.early_stopping = None;
    let (_, witness) = run(&plain, &data, &root.path().join("both")).unwrap();
    assert!(
        witness.warnings[0].contains("data.validation = 0.25 holds nothing out"),
        "{:?}",
        witness.warnings
    );
    config.data.validation = 0.0;
    let error = run(&config, &points(60, 12), &root.path().join("none")).map(|_| ());
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("data.validation") && error.contains("early_stopping"),
        "{error}"
    );
}

#[test]
fn weights_of_classes_are_said_by_name() {
    let root = tempfile::tempdir().unwrap();
    let mut config = base(1);
    config.train.class_weights = Some(granule_train::ClassWeights::Each(vec![1.0, 2.5, 0.5]));
    let (_, witness) = run(&config, &points(60, 12), &root.path().join("run")).unwrap();
    assert_eq!(
        witness.notes[0],
        "classes count in the loss with (train.class_weights): left 1, right 2.5, top 0.5"
    );
}
