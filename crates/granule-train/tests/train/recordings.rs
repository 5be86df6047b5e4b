//! Models of several levels, fitted to recordings.

use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use granule_data::arrays::{NpzArray, write_npz};
use granule_device::{DeviceSpec, OpenDevice};
use granule_dynamics::composite::MultiGranularityConfig;
use granule_dynamics::gradient::Memory;
use granule_dynamics::{InputSeries, NoInput};
use granule_models::{InputShape, ModelConfig, ModelFile, MultiGranularity, Task};
use granule_train::{
    Event, Observer, Outcome, Quiet, RecordingConfig, RunConfig, StopFlag, TrainError,
    evaluate_recording, resume, train,
};

use crate::common::{BACKENDS, HOSTS, Noise, Witness, adam, on_each};

/// Cells excite a population, which drives a system from outside as well; one step of the whole is five of the cells'.
fn levels(gains: [f64; 2]) -> MultiGranularityConfig {
    let [up, drive] = gains;
    let text = format!(
        r#"
        dt = 0.5
        seed = 3

        [[level]]
        name = "cells"
        dt = 0.1
        [level.unit]
        kind = "hodgkin-huxley"
        cells = 3
        current = [8.0, 10.0, 12.0]

        [[level]]
        name = "population"
        inputs = 1
        [level.population]
        units = 4
        time_constant = 5.0

        [[level]]
        name = "system"
        external = true
        [level.system]
        kind = "linear"
        a = [[-0.1, -0.1], [0.1, -0.1]]
        b = [[0.3], [0.0]]

        [[coupler]]
        from = "cells.v"
        to = "population"
        time_constant = 5.0
        conversion = {{ kind = "voltage-to-rate" }}
        projection = {{ mean = {{ gain = {up} }} }}

        [[coupler]]
        from = "population.output"
        to = "system"
        conversion = {{ kind = "rate-to-drive" }}
        projection = {{ mean = {{ gain = {drive} }} }}
        "#
    );
    toml::from_str(&text).unwrap()
}

const TRUE: [f64; 2] = [2.0, 1.5];
const QUANTITIES: [(&str, usize); 3] = [("cells.v", 3), ("population.x", 4), ("system.x", 2)];

/// What the model with the true gains does, in `trials` trials of `samples` instants, each with its own input.
fn recording(dir: &Path, trials: usize, samples: usize, every: usize) -> PathBuf {
    let device = DeviceSpec::Flex.open().unwrap();
    let steps = (samples - 1) * every;
    let model = ModelConfig::new(levels(TRUE));
    let input = InputShape::Sequence { steps, channels: 1 };
    let network = model.init(&input, samples * 9, 0, device.burn()).unwrap();
    let network = network.get::<MultiGranularity>().unwrap();
    let mut noise = Noise::new(7);
    let given: Vec<f32> = (0..trials * samples).map(|_| noise.next() - 0.5).collect();
    let by_step: Vec<f32> = (0..steps)
        .flat_map(|step| (0..trials).map(move |trial| (trial, step / every)))
        .map(|(trial, sample)| given[trial * samples + sample])
        .collect();
    let series = TensorData::new(by_step, [steps, trials, 1]);
    let series = InputSeries(Tensor::from_data(series, device.burn()));
    let seen = network.observe(trials, steps, &series).unwrap();
    let seen = seen.try_into_vec_as::<f32>().unwrap();

    let shape = |columns: usize| match trials {
        1 => vec![samples, columns],
        _ => vec![trials, samples, columns],
    };
    let time: Vec<f64> = (0..samples).map(|k| 0.5 * (k * every) as f64).collect();
    let given: Vec<f64> = given.into_iter().map(f64::from).collect();
    let mut arrays = vec![
        NpzArray::new("time", vec![samples], time),
        NpzArray::new("stimulus.system", shape(1), given),
        NpzArray::new("unasked", vec![1], vec![f64::NAN]),
    ];
    let mut first = 0;
    for (name, columns) in QUANTITIES {
        let mut values = Vec::new();
        for trial in 0..trials {
            for sample in 0..samples {
                let row = (sample * trials + trial) * 9 + first;
                values.extend(seen[row..row + columns].iter().map(|x| f64::from(*x)));
            }
        }
        arrays.push(NpzArray::new(name, shape(columns), values));
        first += columns;
    }
    let path = dir.join("recording.npz");
    write_npz(&mut File::create(&path).unwrap(), &arrays).unwrap();
    path
}

fn config(device: &DeviceSpec, file: PathBuf, epochs: usize) -> RunConfig {
    let model = ModelConfig::new(levels([1.0, 0.5]));
    let mut config = RunConfig::recipe(model, Default::default());
    config.device = device.clone();
    config.train.epochs = epochs;
    config.train.batch_size = 2;
    config.train.turns = Some(vec![vec!["couplers".to_owned()]]);
    config.optimizer = adam(0.05);
    config.data.recording = Some(RecordingConfig { file, test: 0.25 });
    config
}

fn run(config: &RunConfig, dir: &Path) -> Outcome {
    train(config, Some(dir), &mut Quiet, &StopFlag::new()).unwrap()
}

fn model(dir: &Path) -> ModelFile {
    ModelFile::load(dir.join("model.granule")).unwrap()
}

#[test]
fn known_couplings_are_found_again() {
    on_each(&HOSTS, |spec, device| {
        let dir = tempfile::tempdir().unwrap();
        let file = recording(dir.path(), 1, 41, 1);
        let mut config = config(spec, file, 100);
        config.optimizer = adam(0.1);
        config.data.validation = 0.2;
        let folder = dir.path().join("run");
        let mut witness = Witness::default();
        let outcome = train(&config, Some(&folder), &mut witness, &StopFlag::new()).unwrap();
        let evaluation = outcome.evaluation.unwrap();
        let scores = evaluation.recording().unwrap();
        assert_eq!(scores.trained.len(), 2, "{spec}");
        for (trained, truth) in scores.trained.iter().zip(TRUE) {
            let error = (trained.after[0] / truth - 1.0).abs();
            assert!(error < 0.05, "{spec} {trained:?}");
        }
        let losses: Vec<f64> = witness.epochs.iter().map(|e| e.train_loss).collect();
        assert!(losses[99] < 0.01 * losses[0], "{spec} {losses:?}");
        assert!(witness.epochs.iter().all(|e| e.validation_loss.is_some()));
        for (quantity, (name, columns)) in scores.quantities.iter().zip(QUANTITIES) {
            assert_eq!((quantity.name.as_str(), quantity.columns), (name, columns));
            assert!(quantity.r2.unwrap() > 0.9, "{spec} {quantity:?}");
        }
        assert_eq!(scores.quantities[0].unit, "mV");

        // Weights of levels that had no turn are as they were drawn.
        let file = model(&folder);
        let shape = InputShape::Sequence {
            steps: 40,
            channels: 1,
        };
        let before = config.model.init(&shape, 41 * 9, 0, device.burn()).unwrap();
        let before = granule_models::state::state_dict(&before).unwrap();
        for (name, value) in &before.0 {
            let same = file.state.0[name] == *value;
            assert_eq!(same, !name.contains("couplers"), "{name}");
        }

        // By the file and the configuration, with the same scores.
        let resolved = std::fs::read_to_string(folder.join("config.toml")).unwrap();
        assert!(!resolved.contains("synthetic-digits"), "{resolved}");
        let resolved = RunConfig::from_toml_str(&resolved).unwrap();
        let again = evaluate_recording(&file, &resolved, device, 1, &mut Quiet).unwrap();
        assert_eq!(again, evaluation);
        let Task::Recording { samples, .. } = file.task else {
            panic!("{:?}", file.task);
        };
        assert_eq!(samples, 41);
        let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
        for text in [
            "cells.v[0] mV",
            "what was learnt",
            "population.output → system",
        ] {
            assert!(page.contains(text), "{text}");
        }
    });
}

#[test]
fn trials_with_inputs_are_learnt_from_on_every_backend() {
    let mut reference: Option<f64> = None;
    on_each(&BACKENDS, |spec, _| {
        let dir = tempfile::tempdir().unwrap();
        let file = recording(dir.path(), 8, 6, 2);
        let mut config = config(spec, file, 2);
        config.data.validation = 0.25;
        let folder = dir.path().join("run");
        let mut witness = Witness::default();
        let outcome = train(&config, Some(&folder), &mut witness, &StopFlag::new()).unwrap();
        // Four trials to learn from, two a step.
        assert_eq!(outcome.steps, 4, "{spec}");
        let evaluation = outcome.evaluation.unwrap();
        assert_eq!(evaluation.samples, 2, "{spec}");
        assert!(witness.epochs[1].validation_loss < witness.epochs[0].validation_loss);
        let reference = *reference.get_or_insert(evaluation.loss);
        let near = (evaluation.loss - reference).abs() < 1e-3 * reference;
        assert!(near, "{spec}: {} and {reference}", evaluation.loss);
    });
}

#[test]
fn the_input_of_a_trial_matters() {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 2, 6, 1);
    let mut config = config(&DeviceSpec::Flex, file, 1);
    config.model = ModelConfig::new(levels(TRUE));
    config.optimizer = granule_train::OptimizerConfig::from_name("sgd").unwrap();
    let tiny = Some(1e-12);
    config.train.clip_norm = tiny;
    let outcome = run(&config, &dir.path().join("run"));
    // The model that made the recording follows it to rounding, which it can only with the right input.
    assert!(outcome.evaluation.unwrap().loss < 1e-8);
}

#[test]
fn every_way_to_keep_a_run_gives_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 1, 13, 1);
    let ways = [
        None,
        Some(Memory::Full),
        Some(Memory::Segments(3)),
        Some(Memory::Nested(vec![2, 2])),
    ];
    let mut gains = Vec::new();
    for (number, memory) in ways.into_iter().enumerate() {
        let mut config = config(&DeviceSpec::Flex, file.clone(), 3);
        config.train.memory = memory;
        let outcome = run(&config, &dir.path().join(format!("run-{number}")));
        let evaluation = outcome.evaluation.unwrap();
        gains.push(evaluation.recording().unwrap().trained[0].after[0]);
    }
    for gain in &gains {
        assert!((gain - gains[0]).abs() < 1e-5, "{gains:?}");
        assert!((gain - 1.0).abs() > 1e-3, "{gains:?}");
    }
}

#[test]
fn levels_learn_turn_after_turn() {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 1, 9, 1);
    let state = |turns: &[&[&str]], epochs: usize| {
        let mut config = config(&DeviceSpec::Flex, file.clone(), epochs);
        let turns = turns
            .iter()
            .map(|turn| turn.iter().map(|s| (*s).to_owned()).collect());
        let turns: Vec<Vec<String>> = turns.collect();
        config.train.turns = (!turns.is_empty()).then_some(turns);
        let folder = tempfile::tempdir().unwrap();
        run(&config, folder.path());
        model(folder.path()).state
    };
    let device = DeviceSpec::Flex.open().unwrap();
    let shape = InputShape::Sequence {
        steps: 8,
        channels: 1,
    };
    let fresh = ModelConfig::new(levels([1.0, 0.5]));
    let fresh = fresh.init(&shape, 81, 0, device.burn()).unwrap();
    let start = granule_models::state::state_dict(&fresh).unwrap();
    let moved = |turns: &[&[&str]], epochs: usize| {
        let end = state(turns, epochs);
        let part = |part: &str| {
            let mut of_part = start.0.iter().filter(|(name, _)| name.contains(part));
            of_part.any(|(name, value)| end.0[name] != *value)
        };
        [part("levels.1."), part("couplers")]
    };
    assert_eq!(moved(&[&["population"]], 2), [true, false]);
    assert_eq!(moved(&[&["couplers"]], 2), [false, true]);
    assert_eq!(moved(&[&["population"], &["couplers"]], 2), [true, true]);
    assert_eq!(moved(&[], 2), [true, true]);
}

/// A cell of 1 µF/cm² with a leak of 0.4 mS/cm² to −65 mV, at which it begins, under 2 µA/cm²: v = −65 + 5(1 − exp(−0.4 t)).
#[test]
fn a_fit_that_ends_at_a_bound_says_so_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let time: Vec<f64> = (0..41).map(|k| 0.5 * f64::from(k)).collect();
    let voltage = time.iter().map(|t| -65.0 + 5.0 * (1.0 - (-0.4 * t).exp()));
    let arrays = [
        NpzArray::new("cell.v", vec![41, 1], voltage.collect::<Vec<f64>>()),
        NpzArray::new("time", vec![41], time),
    ];
    let file = dir.path().join("recording.npz");
    write_npz(&mut File::create(&file).unwrap(), &arrays).unwrap();
    let fitted = |high: f64| {
        let model = format!(
            "dt = 0.1\n[[level]]\nname = \"cell\"\n[level.unit]\nmodel = \"conductance\"\ncurrent = 2.0\n\
             capacitance = 1.0\nleak = {{ conductance = 0.1, reversal = -65.0 }}\ninitial = {{ v = -65.0 }}\n\
             trainable = [\"g_l\"]\nbounds = {{ g_l = {{ between = [0.05, {high}] }} }}\n"
        );
        let model: MultiGranularityConfig = toml::from_str(&model).unwrap();
        let mut config = RunConfig::recipe(ModelConfig::new(model), Default::default());
        config.device = DeviceSpec::Flex;
        config.train.epochs = 300;
        config.optimizer = adam(0.1);
        config.data.recording = Some(RecordingConfig {
            file: file.clone(),
            test: 0.25,
        });
        let mut witness = Witness::default();
        let folder = dir.path().join(format!("run-{high}"));
        let outcome = train(&config, Some(&folder), &mut witness, &StopFlag::new()).unwrap();
        let evaluation = outcome.evaluation.unwrap();
        let trained = evaluation.recording().unwrap().trained[0].after[0];
        (trained, witness.warnings.join("\n"))
    };
    let (against, told) = fitted(0.2);
    assert!((0.1985..0.2).contains(&against), "{against}");
    let said = "level.cell.unit.g_l ends against its bound: 0.199";
    assert!(told.contains(said) && told.contains(" at 0.2;"), "{told}");
    // Where the true value lies within them it is found, and nothing is said of them.
    let (inside, told) = fitted(1.0);
    assert!((inside - 0.4).abs() < 0.01, "{inside}");
    assert!(!told.contains("bound"), "{told}");
}

/// Every turn begins at the whole learning rate.
#[test]
fn every_turn_has_the_whole_course_of_the_learning_rate() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&DeviceSpec::Flex, recording(dir.path(), 1, 5, 1), 5);
    config.train.turns = Some(vec![vec!["couplers".into()], vec!["population".into()]]);
    let mut witness = Witness::default();
    let folder = dir.path().join("run");
    train(&config, Some(&folder), &mut witness, &StopFlag::new()).unwrap();
    let rates: Vec<f64> = witness.epochs.iter().map(|e| e.learning_rate).collect();
    // Turns of three and two epochs of one step.
    let cosine = |fraction: f64| 0.025 * (1.0 + (std::f64::consts::PI * fraction).cos());
    let expected = [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0, 0.5].map(cosine);
    for (found, expected) in rates.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{rates:?}");
    }
}

/// A recording that was changed since is scored with a warning.
#[test]
fn another_recording_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 2, 5, 1);
    let config = config(&DeviceSpec::Flex, file, 1);
    let folder = dir.path().join("run");
    run(&config, &folder);
    let device = DeviceSpec::Flex.open().unwrap();
    let warnings = |observer: &mut Warnings| {
        evaluate_recording(&model(&folder), &config, &device, 1, observer).unwrap();
        observer.0.clone()
    };
    assert_eq!(warnings(&mut Warnings::default()), Vec::<String>::new());
    let path = recording(dir.path(), 3, 5, 1);
    let found = warnings(&mut Warnings::default());
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("fingerprint") && found[0].contains(&*path.to_string_lossy()));
}

/// Keeps warnings, and turns with their levels.
#[derive(Default)]
struct Warnings(Vec<String>);

impl Observer for Warnings {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Warning { text } => self.0.push((*text).to_owned()),
            Event::Turn {
                turn,
                turns,
                levels,
            } => {
                self.0.push(format!("{turn}/{turns} {}", levels.join(" ")));
            }
            _ => {}
        }
    }
}

#[test]
fn every_turn_is_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&DeviceSpec::Flex, recording(dir.path(), 2, 4, 1), 5);
    let pair = vec!["couplers".to_owned(), "population".to_owned()];
    config.train.turns = Some(vec![vec!["couplers".into()], pair]);
    let mut told = Warnings::default();
    let folder = dir.path().join("run");
    train(&config, Some(&folder), &mut told, &StopFlag::new()).unwrap();
    // A fit this short is warned of as well.
    told.0
        .retain(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    assert_eq!(told.0, ["1/2 couplers", "2/2 couplers population"]);
}

#[test]
fn a_stopped_fit_ends_with_the_same_bytes() {
    on_each(&HOSTS, |spec, _| {
        let dir = tempfile::tempdir().unwrap();
        let file = recording(dir.path(), 4, 5, 1);
        let mut config = config(spec, file, 2);
        config.train.batch_size = 1;
        config.train.turns = Some(vec![vec!["couplers".into()], vec!["population".into()]]);
        let whole = dir.path().join("whole");
        let outcome = run(&config, &whole);
        let expected = model(&whole);
        for after in 1..=outcome.steps {
            let folder = tempfile::tempdir().unwrap();
            let flag = StopFlag::new();
            let mut witness = Witness {
                stop_after: Some((after, flag.clone())),
                ..Default::default()
            };
            let part = train(&config, Some(folder.path()), &mut witness, &flag).unwrap();
            assert!(part.interrupted && part.steps == after);
            resume(folder.path(), &mut Quiet, &StopFlag::new()).unwrap();
            let found = model(folder.path());
            assert!(
                found.state == expected.state,
                "{spec}: stopped after {after}"
            );
        }
    });
}

fn refused(change: impl FnOnce(&mut RunConfig)) -> TrainError {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 1, 9, 2);
    let mut config = config(&DeviceSpec::Flex, file, 2);
    change(&mut config);
    let folder = dir.path().join("run");
    let error = train(&config, Some(&folder), &mut Quiet, &StopFlag::new()).unwrap_err();
    assert!(
        !folder.exists() || matches!(error, TrainError::Dynamics(_)),
        "{error}"
    );
    error
}

fn levels_of(config: &mut RunConfig) -> &mut MultiGranularityConfig {
    config.model.get_mut().unwrap()
}

#[test]
fn what_does_not_fit_is_said_before_the_run() {
    let says = |change: fn(&mut RunConfig), words: &[&str]| {
        let error = refused(change).to_string();
        for word in words {
            assert!(error.contains(word), "{error}: {word}");
        }
    };
    says(
        |config| levels_of(config).dt = 0.4,
        &["model.dt = 0.4", "1.000000 ms"],
    );
    says(
        |config| levels_of(config).observe = vec!["cells.m".into()],
        &["recording.npz", "\"cells.m\"", "population.x"],
    );
    says(
        |config| levels_of(config).observe = vec!["cells.w".into()],
        &["model.observe", "cells.w", "cells.v"],
    );
    says(
        |config| {
            levels_of(config).levels[0].unit =
                toml::from_str("kind = \"hodgkin-huxley\"\ncells = 2").ok();
        },
        &["cells.v has 3 columns", "at most 2"],
    );
    says(
        |config| config.train.turns = Some(vec![vec!["nobody".into()]]),
        &[
            "train.turns",
            "nobody",
            "cells, population, system, couplers",
        ],
    );
    says(
        |config| config.train.turns = Some(vec![vec!["couplers".into()]; 3]),
        &["train.turns", "3 turns"],
    );
    says(
        |config| config.train.turns = Some(vec![vec![]]),
        &["train.turns = []", "names of levels"],
    );
    says(
        |config| config.train.turns = Some(vec![vec!["cells".into()]]),
        &["train.turns = [cells], where nothing is trained"],
    );
    says(
        |config| config.data.trials.test = 7,
        &["data.trials", "data.recording"],
    );
    says(
        // A little off, which adds up over the recording.
        |config| {
            levels_of(config).dt = 0.505;
            levels_of(config).levels[0].dt = None;
        },
        &["model.dt = 0.505"],
    );
    says(
        |config| config.train.memory = Some(Memory::Segments(0)),
        &["train.memory"],
    );
    says(
        |config| config.train.loss = granule_train::Loss::CrossEntropy,
        &["train.loss", "mse"],
    );
    says(
        |config| config.data.limit_train = Some(3),
        &["data.limit_train", "data.recording"],
    );
    says(
        |config| {
            config.data.recording.as_mut().unwrap().test = 0.6;
            config.data.validation = 0.5;
        },
        &["data.recording.test", "less than 1"],
    );
    says(
        |config| config.data.recording.as_mut().unwrap().test = 0.85,
        &["data.recording.test", "9 instants"],
    );
    says(
        |config| config.data.recording = None,
        &["data.recording", "unset"],
    );
    says(
        |config| config.model = ModelConfig::default(),
        &["model.kind", "multi-granularity"],
    );
}

/// A model that could be run before training and cannot be run any more is a matter of training.
#[test]
fn what_training_led_to_is_no_wrong_setting() {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 1, 9, 2);
    let mut config = config(&DeviceSpec::Flex, file, 50);
    config.train.turns = None;
    let cells =
        "kind = \"hodgkin-huxley\"\ncells = 3\ntrainable = [\"e_l\", \"g_l\", \"g_na\", \"e_k\"]";
    levels_of(&mut config).levels[0].unit = Some(toml::from_str(cells).unwrap());
    config.optimizer = adam(1e3);
    let folder = dir.path().join("run");
    let error = train(&config, Some(&folder), &mut Quiet, &StopFlag::new()).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, TrainError::Unstable { step: 1.., .. }),
        "{error:?}"
    );
    for part in ["after 1 step of training", "lower optimizer.lr"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_diverges_is_named_with_its_time() {
    let error = refused(|config| {
        // Forward Euler far beyond what the fastest gate allows.
        levels_of(config).levels[0].dt = Some(0.5);
        levels_of(config).levels[0].solver = Some("euler".parse().unwrap());
    });
    let text = error.to_string();
    assert!(matches!(error, TrainError::Dynamics(_)), "{text}");
    assert!(text.contains("cells.") && text.contains("t = "), "{text}");
}

#[test]
fn no_input_is_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 1, 9, 1);
    let mut config = config(&DeviceSpec::Flex, file, 1);
    levels_of(&mut config).levels[2].external = false;
    let mut told = Warnings::default();
    let folder = dir.path().join("run");
    let outcome = train(&config, Some(&folder), &mut told, &StopFlag::new()).unwrap();
    assert!(outcome.evaluation.unwrap().loss > 0.0);
    let unread = |text: &&String| text.contains("stimulus.system") && text.contains("external");
    assert_eq!(told.0.iter().filter(unread).count(), 1, "{:?}", told.0);
    let file = model(&folder);
    assert_eq!(
        file.input.shape,
        InputShape::Sequence {
            steps: 8,
            channels: 0
        }
    );
    let device: OpenDevice = DeviceSpec::Flex.open().unwrap();
    let network = file.network(device.burn()).unwrap();
    let network = network.get::<MultiGranularity>().unwrap();
    assert_eq!(network.observe(2, 8, &NoInput).unwrap().dims(), [9, 2, 9]);
}
