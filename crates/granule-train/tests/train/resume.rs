use std::fs;
use std::path::{Path, PathBuf};

use granule_data::Dataset;
use granule_models::{ModelConfig, ResNetConfig, StateDict};
use granule_train::config::{PlateauConfig, SgdConfig};
use granule_train::{
    ClassWeights, Compute, Event, Monitor, Observer, OptimizerConfig, Outcome, RunConfig,
    ScheduleConfig, StopFlag, TrainError, resume_with, train_with,
};

use crate::common::*;

/// Epoch rows without what the clock says.
fn epoch_rows(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("metrics.csv")).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let clock = |name: &str| name.contains("second");
    lines
        .map(|line| {
            let fields = line.split(',').zip(&header);
            let kept: Vec<&str> = fields
                .filter(|(_, name)| !clock(name))
                .map(|(field, _)| field)
                .collect();
            kept.join(",")
        })
        .collect()
}

fn tiny_runs(spec: &granule_device::DeviceSpec) -> Vec<(RunConfig, Dataset)> {
    let resnet = ModelConfig::new(ResNetConfig {
        widths: vec![4, 4, 8, 8],
        dropout: 0.3,
        ..Default::default()
    });
    let mut first = config(spec, resnet, 2, 8);
    first.optimizer = adam(0.01);
    first.data.validation = 0.25;
    first.data.augmentation.horizontal_flip = true;
    first.data.augmentation.shift = 1;
    let mut second = config(spec, mlp(&[12, 8], 0.3), 3, 8);
    second.optimizer = OptimizerConfig::Sgd(SgdConfig {
        lr: 0.05,
        momentum: 0.9,
        nesterov: true,
        ..Default::default()
    });
    second.train.clip_norm = Some(0.5);
    second.train.early_stopping = Some(granule_train::EarlyStopping {
        patience: 2,
        min_delta: 0.0,
    });
    second.data.validation = 0.2;
    let mut third = config(spec, mlp(&[8], 0.3), 6, 4);
    third.optimizer = adam(0.2);
    third.train.accumulate = 3;
    third.train.class_weights = Some(ClassWeights::Each(vec![1.0, 0.5, 2.0]));
    third.train.monitor = Monitor::Accuracy;
    third.data.validation = 0.2;
    third.schedule = ScheduleConfig::Plateau(PlateauConfig {
        patience: 1,
        ..Default::default()
    });
    let layers = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "conv", "filters": 3},
        {"kind": "batch-norm"},
        {"kind": "residual", "layer": [{"kind": "conv", "filters": 3}, {"kind": "relu"}]},
        {"kind": "pool"},
        {"kind": "flatten"},
        {"kind": "dropout", "probability": 0.3},
        {"kind": "dense", "units": 6},
        {"kind": "layer-norm"},
        {"kind": "gelu"},
    ]});
    let fourth = config(spec, serde_json::from_value(layers).unwrap(), 2, 8);
    let latent = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "dropout", "probability": 0.5, "whole_channels": true},
        {"kind": "gru", "units": 4, "readout": "sequence"},
        {"kind": "latent", "units": 2, "kl_weight": 0.01},
        {"kind": "gru", "units": 4, "readout": "last"},
    ]});
    let mut fifth = config(spec, serde_json::from_value(latent).unwrap(), 2, 4);
    fifth.train.accumulate = 2;
    let with_bf16 = |config: &RunConfig| {
        let mut config = config.clone();
        config.train.compute = Compute::Bf16;
        config
    };
    vec![
        (with_bf16(&first), images(8, 32, 9)),
        (first, images(8, 32, 9)),
        (with_bf16(&second), points(40, 12)),
        (second, points(40, 12)),
        (third, points(40, 12)),
        (fourth, images(8, 32, 9)),
        (fifth, spikes(32, 9)),
    ]
}

fn finished(dir: &Path) -> (StateDict, Vec<String>) {
    let file = granule_models::ModelFile::load(dir.join("model.granule")).unwrap();
    (file.state, epoch_rows(dir))
}

/// A run that is told to stop after some steps.
fn stopped(config: &RunConfig, data: &Dataset, dir: &Path, after: u64) -> Outcome {
    let flag = StopFlag::new();
    let mut witness = Witness {
        stop_after: Some((after, flag.clone())),
        ..Default::default()
    };
    train_with(config, data, Some(dir), &mut witness, &flag).unwrap()
}

/// Goes on with a run, to its end.
fn resumed(dir: &Path, data: &Dataset) -> Result<(Outcome, Witness), TrainError> {
    let mut witness = Witness::default();
    let outcome = resume_with(dir, data, &mut witness, &StopFlag::new())?;
    Ok((outcome, witness))
}

fn refused(dir: &Path, data: &Dataset) -> TrainError {
    resumed(dir, data).map(|_| ()).unwrap_err()
}

#[test]
fn a_stopped_run_ends_as_if_it_had_not_been() {
    on_each(&HOSTS, |spec, _| {
        for (config, data) in tiny_runs(spec) {
            let whole = tempfile::tempdir().unwrap();
            let (outcome, _) = run(&config, &data, whole.path()).unwrap();
            let expected = finished(whole.path());
            for after in 1..=outcome.steps {
                let dir = tempfile::tempdir().unwrap();
                let part = stopped(&config, &data, dir.path(), after);
                assert!(part.interrupted && part.model_path.is_none());
                assert_eq!(part.steps, after);
                assert!(dir.path().join("report.html").exists());

                let (rest, witness) = resumed(dir.path(), &data).unwrap();
                assert_eq!(witness.resumed_at, Some(after));
                assert_eq!(rest.steps, outcome.steps);
                assert!(witness.warnings.is_empty(), "{:?}", witness.warnings);
                assert!(
                    finished(dir.path()) == expected,
                    "{spec}: stopped after {after}"
                );
            }
        }
    });
}

/// Copies the run folder as it stands at every event: what a process killed there leaves behind.
struct Photographer<'a> {
    run_dir: &'a Path,
    album: &'a Path,
    taken: Vec<PathBuf>,
}

impl Observer for Photographer<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if !matches!(
            event,
            Event::Start(_) | Event::Step(_) | Event::Checkpoint { .. } | Event::Evaluated { .. }
        ) {
            return;
        }
        let copy = self.album.join(self.taken.len().to_string());
        copy_folder(self.run_dir, &copy);
        self.taken.push(copy);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A whole run in `root`, and its folder as it was at every event.
fn photographed(config: &RunConfig, data: &Dataset, root: &Path) -> (PathBuf, Vec<PathBuf>) {
    let dir = root.join("run");
    let mut photographer = Photographer {
        run_dir: &dir,
        album: &root.join("album"),
        taken: Vec::new(),
    };
    train_with(
        config,
        data,
        Some(&dir),
        &mut photographer,
        &StopFlag::new(),
    )
    .unwrap();
    let taken = photographer.taken;
    (dir, taken)
}

#[test]
fn a_killed_run_ends_as_if_it_had_not_been() {
    on_each(&["flex"], |spec, _| {
        for (mut config, data) in tiny_runs(spec) {
            config.train.checkpoint_every_steps = Some(2);
            let root = tempfile::tempdir().unwrap();
            let (dir, copies) = photographed(&config, &data, root.path());
            let expected = finished(&dir);
            assert!(copies.len() > 10);
            for copy in copies {
                resumed(&copy, &data).unwrap();
                assert!(finished(&copy) == expected, "{}", copy.display());
                let checkpoints = fs::read_dir(copy.join("checkpoints")).unwrap();
                let steps = checkpoints.filter(|e| {
                    e.as_ref()
                        .unwrap()
                        .file_name()
                        .to_string_lossy()
                        .starts_with("step-")
                });
                assert_eq!(steps.count(), config.train.keep_checkpoints);
            }
        }
    });
}

/// On a device the order of sums is its own, so that weights are the same to a tolerance: 1e-4, where a step of Adam
/// with lost moments moves them by a hundred times that.
#[test]
fn a_killed_run_on_a_device_ends_where_it_would_have() {
    const TOLERANCE: f64 = 1e-4;
    let data = points(40, 12);
    on_each(&["wgpu:software"], |spec, _| {
        let mut config = config(spec, mlp(&[8], 0.3), 2, 8);
        config.optimizer = adam(0.02);
        config.data.validation = 0.2;
        // Fewer than the steps whose losses wait for one reading.
        config.train.checkpoint_every_steps = Some(3);
        let root = tempfile::tempdir().unwrap();
        let (dir, copies) = photographed(&config, &data, root.path());
        let (state, rows) = finished(&dir);
        let numbers = |rows: &[String]| -> Vec<f64> {
            let fields = rows.iter().flat_map(|row| row.split(','));
            fields.map(|field| field.parse().unwrap()).collect()
        };
        let mut places = Vec::new();
        for copy in copies {
            let (_, witness) = resumed(&copy, &data).unwrap();
            places.extend(witness.resumed_at);
            let (found, found_rows) = finished(&copy);
            for (name, value) in &state.0 {
                for (a, b) in value.data.iter().zip(&found.0[name].data) {
                    let difference = f64::from((a - b).abs());
                    assert!(difference < TOLERANCE, "{spec} {name}: {a} {b}");
                }
            }
            let (expected, found) = (numbers(&rows), numbers(&found_rows));
            assert_eq!(expected.len(), found.len());
            for (a, b) in expected.iter().zip(&found) {
                assert!((a - b).abs() < TOLERANCE, "{spec}: {rows:?} {found_rows:?}");
            }
        }
        places.sort_unstable();
        places.dedup();
        assert_eq!(places, [3, 4, 6, 8], "{spec}");
    });
}

#[test]
fn damaged_checkpoints_are_passed_over_loudly() {
    let data = points(40, 12);
    on_each(&["flex"], |spec, _| {
        let mut config = config(spec, mlp(&[8], 0.0), 3, 8);
        config.train.keep_checkpoints = 3;
        let whole = tempfile::tempdir().unwrap();
        run(&config, &data, whole.path()).unwrap();

        let dir = tempfile::tempdir().unwrap();
        stopped(&config, &data, dir.path(), 12);
        let folder = dir.path().join("checkpoints");
        let checkpoint = |step: u64| folder.join(format!("step-{step:08}.ckpt"));
        let whole_file = fs::read(checkpoint(12)).unwrap();
        fs::write(checkpoint(12), &whole_file[..whole_file.len() / 2]).unwrap();
        let mut flipped = fs::read(checkpoint(10)).unwrap();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        fs::write(checkpoint(10), flipped).unwrap();

        let (_, witness) = resumed(dir.path(), &data).unwrap();
        assert_eq!(witness.resumed_at, Some(5));
        assert_eq!(witness.warnings.len(), 2, "{:?}", witness.warnings);
        assert!(witness.warnings[0].contains("step-00000012.ckpt"));
        assert!(finished(dir.path()) == finished(whole.path()));

        for entry in fs::read_dir(&folder).unwrap() {
            fs::write(entry.unwrap().path(), b"nothing").unwrap();
        }
        fs::remove_file(dir.path().join("result.json")).unwrap();
        let metrics = fs::read(dir.path().join("metrics.csv")).unwrap();
        for _ in 0..2 {
            let error = refused(dir.path(), &data);
            assert!(matches!(error, TrainError::NoCheckpoint { .. }), "{error}");
        }
        assert_eq!(fs::read(dir.path().join("metrics.csv")).unwrap(), metrics);
    });
}

/// A damaged disk may cut the curves; the run goes on, and says what they lack.
#[test]
fn curves_that_were_cut_are_told_of() {
    let (config, data) = tiny_runs(&granule_device::DeviceSpec::Flex).remove(3);
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&config, &data, &whole).unwrap();
    let folder = dir.path().join("run");
    stopped(&config, &data, &folder, 11);
    let curves = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&curves).unwrap();
    fs::write(&curves, &text[..text.len() / 2]).unwrap();
    let (_, witness) = resumed(&folder, &data).unwrap();
    let told = witness.warnings.join("\n");
    assert!(
        told.contains("metrics.jsonl has 1 of the 2 rows up to step 11"),
        "{told}"
    );
    assert_eq!(finished(&folder).0, finished(&whole).0);
}

#[test]
fn a_finished_run_says_so() {
    let data = points(40, 12);
    let spec = "flex".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = config(&spec, mlp(&[8], 0.0), 2, 8);
    let (outcome, _) = run(&config, &data, dir.path()).unwrap();
    let (again, witness) = resumed(dir.path(), &data).unwrap();
    assert!(witness.already_finished && witness.steps.is_empty());
    assert_eq!(again.steps, outcome.steps);
    let (found, expected) = (again.evaluation.unwrap(), outcome.evaluation.unwrap());
    assert_eq!(found.accuracy(), expected.accuracy());
    assert_eq!(
        found.classification().unwrap().confusion,
        expected.classification().unwrap().confusion
    );
}

#[test]
fn other_data_and_other_folders_are_refused() {
    let data = points(40, 12);
    let spec = "flex".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = config(&spec, mlp(&[8], 0.0), 2, 8);
    stopped(&config, &data, dir.path(), 3);

    let error = refused(dir.path(), &points(42, 12));
    assert!(matches!(error, TrainError::OtherData { .. }), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = refused(empty.path(), &data);
    assert!(matches!(error, TrainError::NotARun { .. }), "{error}");
    let error = run(&config, &data, dir.path()).map(|_| ()).unwrap_err();
    assert!(
        matches!(error, TrainError::RunDirNotEmpty { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--resume"), "{error}");
}

#[test]
fn a_changed_configuration_is_refused() {
    let data = points(40, 12);
    let spec = "flex".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = config(&spec, mlp(&[8], 0.0), 2, 8);
    stopped(&config, &data, dir.path(), 3);

    let path = dir.path().join("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let metrics = fs::read(dir.path().join("metrics.jsonl")).unwrap();
    for (field, changed) in [
        (
            "train.batch_size",
            text.replace("batch_size = 8", "batch_size = 16"),
        ),
        ("seed", text.replacen("seed = 1", "seed = 2", 1)),
        (
            "data.validation",
            text.replace("validation = 0.0", "validation = 0.2"),
        ),
        ("train.epochs", text.replace("epochs = 2", "epochs = 3")),
        (
            "data.limit_train",
            text.replace("[data]", "[data]\nlimit_train = 20"),
        ),
    ] {
        assert_ne!(changed, text, "{field}");
        fs::write(&path, changed).unwrap();
        match refused(dir.path(), &data) {
            TrainError::OtherConfig { field: found, .. } => assert_eq!(found, field),
            other => panic!("{field}: {other}"),
        }
    }
    assert_eq!(fs::read(dir.path().join("metrics.jsonl")).unwrap(), metrics);

    // Where a run computes and what it keeps may change.
    let moved = text
        .replace("\"flex\"", "\"ndarray\"")
        .replace("keep_checkpoints = 2", "keep_checkpoints = 5");
    assert_ne!(moved, text);
    fs::write(&path, moved).unwrap();
    assert_eq!(resumed(dir.path(), &data).unwrap().0.steps, 10);
}

/// Tries to resume the run it watches.
struct Intruder<'a> {
    run_dir: &'a Path,
    data: &'a Dataset,
    answer: Option<TrainError>,
}

impl Observer for Intruder<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if let (Event::Step(_), None) = (event, &self.answer) {
            self.answer = resumed(self.run_dir, self.data).err();
        }
    }
}

#[test]
fn a_run_folder_has_one_owner() {
    let data = points(40, 12);
    let spec = "flex".parse().unwrap();
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run");
    let mut intruder = Intruder {
        run_dir: &dir,
        data: &data,
        answer: None,
    };
    let config = config(&spec, mlp(&[8], 0.0), 1, 8);
    train_with(&config, &data, Some(&dir), &mut intruder, &StopFlag::new()).unwrap();
    assert!(matches!(intruder.answer, Some(TrainError::Locked { .. })));
}
