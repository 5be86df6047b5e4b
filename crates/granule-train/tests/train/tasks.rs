//! Runs on cognitive tasks.

use std::path::Path;

use granule_data::task::{Performance, TaskConfig, TaskKind};
use granule_device::DeviceSpec;
use granule_dynamics::population::Recurrence;
use granule_models::{
    GruConfig, LstmConfig, ModelConfig, ModelFile, Rate, RateConfig, Task, WilsonCowanConfig,
};
use granule_train::{
    EarlyStopping, EpochEvent, Monitor, Observer, OptimizerConfig, Outcome, Quiet, RunConfig,
    ScheduleConfig, Scores, StopFlag, TrainError, evaluate_trials, plan, resume, train,
};

use crate::common::{BACKENDS, HOSTS, Witness, adam, on_each, points};

/// A network and trials small enough for a graphics driver that runs on the CPU.
pub fn tiny(device: &DeviceSpec, kind: TaskKind) -> RunConfig {
    let model = ModelConfig::new(RateConfig {
        units: 6,
        dt: 50.0,
        dale_ratio: Some(0.8),
        private_noise: 0.1,
        ..RateConfig::default()
    });
    let mut config = RunConfig::task_recipe(model, kind.config());
    config.device = device.clone();
    config.train.epochs = 2;
    config.train.batch_size = 4;
    config.data.trials.epoch = 10;
    config.data.trials.validation = 6;
    config.data.trials.test = 7;
    config
}

fn run(
    config: &RunConfig,
    dir: &Path,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    train(config, Some(dir), observer, stop)
}

fn model(dir: &Path) -> ModelFile {
    ModelFile::load(dir.join("model.granule")).unwrap()
}

#[test]
fn every_task_is_trained_and_scored_on_every_backend() {
    on_each(&BACKENDS, |spec, device| {
        for kind in TaskKind::ALL {
            let dir = tempfile::tempdir().unwrap();
            let mut witness = Witness::default();
            let config = tiny(spec, kind);
            let outcome = run(&config, dir.path(), &mut witness, &StopFlag::new()).unwrap();
            assert_eq!(outcome.steps, 6, "{kind}");
            assert!(witness.epochs.iter().all(|epoch| {
                epoch.train_loss > 0.0 && epoch.validation_loss.is_some_and(|loss| loss > 0.0)
            }));

            let evaluation = outcome.evaluation.unwrap();
            let Scores::Trials(scores) = &evaluation.scores else {
                panic!("{evaluation:?}");
            };
            assert_eq!(
                (scores.score.trials, scores.task.as_str()),
                (7, kind.name())
            );
            assert!(scores.ideal.mse < scores.score.mse, "{kind} {scores:?}");
            let file = model(dir.path());
            let Task::Trials { task, outputs, .. } = &file.task else {
                panic!("{:?}", file.task);
            };
            assert_eq!(
                (task.as_str(), outputs),
                (kind.name(), &kind.config().info().outputs)
            );
            let stored = &file.provenance.scores;
            for (name, score) in [
                ("test_loss", Some(scores.score.mse)),
                ("constant_mse", Some(scores.score.constant_mse)),
                ("test_accuracy", scores.score.accuracy()),
                ("ideal_accuracy", scores.ideal.accuracy()),
            ] {
                let (found, expected) = (stored.get(name).copied(), score);
                // Decimal numbers need not come back the same.
                let near = |(a, b): (f64, f64)| (a - b).abs() < 1e-12;
                assert_eq!(found.is_some(), expected.is_some(), "{kind} {name}");
                assert!(found.zip(expected).is_none_or(near), "{kind} {name}");
            }

            // By the file alone.
            let again = evaluate_trials(&file, 1, 7, device, 3, &mut Quiet).unwrap();
            assert!(
                (again.loss - evaluation.loss).abs() < 1e-5 * evaluation.loss,
                "{kind}"
            );
            assert_eq!(again.accuracy(), evaluation.accuracy(), "{kind}");

            let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
            assert!(
                page.contains("ideal observer") && page.contains("One trial"),
                "{kind}"
            );
            let psychometric = match &scores.score.performance {
                Performance::Choice(choice) => !choice.psychometric.is_empty(),
                _ => false,
            };
            assert_eq!(page.contains(" chosen</text>"), psychometric, "{kind}");
        }
    });
}

#[test]
fn a_stopped_run_ends_with_the_same_bytes() {
    on_each(&HOSTS, |spec, _| {
        for model in ["rate", "gru", "lstm"] {
            stopped_at_every_step(spec, model);
        }
    });
}

fn stopped_at_every_step(spec: &DeviceSpec, kind: &str) {
    let mut config = tiny(spec, TaskKind::PerceptualDecision);
    if kind != "rate" {
        let settings = format!("kind = \"{kind}\"\nunits = 6\ndt = 50.0");
        config.model = toml::from_str(&settings).unwrap();
    }
    let whole = tempfile::tempdir().unwrap();
    let outcome = run(&config, whole.path(), &mut Quiet, &StopFlag::new()).unwrap();
    let expected = model(whole.path());
    for after in 1..=outcome.steps {
        let dir = tempfile::tempdir().unwrap();
        let flag = StopFlag::new();
        let mut witness = Witness {
            stop_after: Some((after, flag.clone())),
            ..Default::default()
        };
        let part = run(&config, dir.path(), &mut witness, &flag).unwrap();
        assert!(part.interrupted && part.steps == after);
        let mut witness = Witness::default();
        resume(dir.path(), &mut witness, &StopFlag::new()).unwrap();
        assert_eq!(witness.resumed_at, Some(after));
        let found = model(dir.path());
        assert!(
            found.state == expected.state,
            "{kind} on {spec}: stopped after {after}"
        );
        assert_eq!(found.provenance.scores, expected.provenance.scores);
    }
}

#[test]
fn a_run_does_not_go_on_with_other_trials() {
    let spec = DeviceSpec::Flex;
    let config = tiny(&spec, TaskKind::FlipFlop);
    let dir = tempfile::tempdir().unwrap();
    let flag = StopFlag::new();
    let mut witness = Witness {
        stop_after: Some((2, flag.clone())),
        ..Default::default()
    };
    run(&config, dir.path(), &mut witness, &flag).unwrap();
    let path = dir.path().join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, field) in [
        (
            "interval_ms = 400.0",
            "interval_ms = 300.0",
            "data.task.interval_ms",
        ),
        ("epoch = 10", "epoch = 11", "data.trials.epoch"),
        ("dt = 50.0", "dt = 25.0", "model.dt"),
    ] {
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        match resume(dir.path(), &mut Quiet, &StopFlag::new()) {
            Err(TrainError::OtherConfig { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_epoch_has_new_trials_and_the_best_one_is_kept() {
    let mut config = tiny(&DeviceSpec::Flex, TaskKind::PerceptualDecision);
    config.train.epochs = 30;
    config.train.early_stopping = Some(EarlyStopping {
        patience: 2,
        min_delta: 10.0,
    });
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::default();
    let outcome = run(&config, dir.path(), &mut witness, &StopFlag::new()).unwrap();
    assert!(outcome.stopped_early && outcome.epochs == 3);
    // No epoch is better by so much, one of them is the best.
    assert_eq!(witness.early_stop, Some((3, 1)));
    let loss = |epoch: &&EpochEvent| epoch.validation_loss.unwrap();
    let best = witness
        .epochs
        .iter()
        .min_by(|a, b| loss(a).total_cmp(&loss(b)));
    assert_eq!(outcome.model_epoch, best.map(|epoch| epoch.epoch));
    assert_ne!(witness.epochs[0].train_loss, witness.epochs[1].train_loss);
    assert!(
        witness
            .epochs
            .iter()
            .all(|epoch| epoch.validation_accuracy.is_some())
    );
}

#[test]
fn a_small_network_learns_a_decision() {
    let TaskConfig::PerceptualDecision(mut task) = TaskKind::PerceptualDecision.config() else {
        unreachable!()
    };
    task.coherences = vec![0.512];
    let rate = RateConfig {
        units: 24,
        dt: 50.0,
        dale_ratio: Some(0.8),
        ..RateConfig::default()
    };
    let gru = GruConfig {
        units: 24,
        dt: 50.0,
        ..GruConfig::default()
    };
    let lstm = LstmConfig {
        units: 24,
        dt: 50.0,
        ..LstmConfig::default()
    };
    let pairs = WilsonCowanConfig {
        units: 24,
        dt: 50.0,
        ..WilsonCowanConfig::default()
    };
    // Rates that begin at rest, below every threshold, take longer strides to come to life.
    let models = [
        (rate.into(), 4, 3e-3),
        (gru.into(), 4, 3e-3),
        (lstm.into(), 4, 3e-3),
        (pairs.into(), 10, 0.02),
    ];
    for (model, epochs, lr) in models {
        let task = TaskConfig::PerceptualDecision(task.clone());
        let mut config = RunConfig::task_recipe(model, task);
        config.device = DeviceSpec::Flex;
        config.train.epochs = epochs;
        config.optimizer = adam(lr);
        config.train.batch_size = 32;
        config.data.trials.epoch = 640;
        config.data.trials.validation = 0;
        config.data.trials.test = 400;
        let dir = tempfile::tempdir().unwrap();
        let outcome = run(&config, dir.path(), &mut Quiet, &StopFlag::new()).unwrap();
        let evaluation = outcome.evaluation.unwrap();
        let name = config.model.name();
        assert!(
            evaluation.accuracy().unwrap() > 0.9,
            "{name} {evaluation:?}"
        );
    }
}

#[test]
fn settings_that_do_not_fit_a_task_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut RunConfig)| {
        let mut config = tiny(&DeviceSpec::Flex, TaskKind::FlipFlop);
        change(&mut config);
        match run(&config, dir.path(), &mut Quiet, &StopFlag::new()) {
            Err(TrainError::Config(error)) => error.field,
            other => panic!("{other:?}"),
        }
    };
    type Change<'a> = &'a dyn Fn(&mut RunConfig);
    let cases: [(Change<'_>, &str); 9] = [
        (&|c| c.model = ModelConfig::default(), "model.kind"),
        (
            &|c| c.train.loss = granule_train::Loss::CrossEntropy,
            "train.loss",
        ),
        (&|c| c.data.validation = 0.1, "data.validation"),
        (&|c| c.data.limit_test = Some(3), "data.limit_test"),
        (&|c| c.data.augmentation.shift = 1, "data.augmentation"),
        (
            &|c| c.data.dataset = "mnist".parse().unwrap(),
            "data.dataset",
        ),
        (&|c| c.data.trials.epoch = 0, "data.trials.epoch"),
        // A pulse of 60 ms.
        (&|c| set_dt(c, 70.0), "model.dt"),
        (
            &|c| {
                let Some(TaskConfig::FlipFlop(task)) = &mut c.data.task else {
                    unreachable!()
                };
                task.noise = -1.0;
            },
            "data.task.noise",
        ),
    ];
    for (change, field) in cases {
        assert_eq!(refused(change), field);
    }
    let config = tiny(&DeviceSpec::Flex, TaskKind::Sine);
    let both = crate::common::run(&config, &points(8, 8), dir.path());
    assert!(matches!(both, Err(TrainError::Config(error)) if error.field == "data.task"));
}

fn set_dt(config: &mut RunConfig, dt: f64) {
    if let Some(model) = config.model.get_mut::<RateConfig>() {
        model.dt = dt;
    }
}

/// Dale's law, absent connections and autapses, after every step of every optimiser: a run of n steps ends with the weights
/// that the nth step leaves.
#[test]
fn constraints_hold_under_every_optimiser() {
    let spec = DeviceSpec::Flex;
    let device = spec.open().unwrap();
    for kind in OptimizerConfig::NAMES {
        let mut pattern: Option<Vec<bool>> = None;
        for epochs in 1..=3 {
            let mut config = tiny(&spec, TaskKind::FlipFlop);
            config.optimizer = OptimizerConfig::from_name(kind).unwrap();
            match &mut config.optimizer {
                OptimizerConfig::Sgd(sgd) => sgd.lr = 0.5,
                OptimizerConfig::Adam(adam) => adam.lr = 0.1,
                OptimizerConfig::AdamW(adam) => (adam.lr, adam.weight_decay) = (0.1, 0.5),
                OptimizerConfig::RmsProp(rms) => rms.lr = 0.1,
            }
            if let Some(model) = config.model.get_mut::<RateConfig>() {
                model.recurrence = Recurrence::Sparse { density: 0.5 };
                model.autapses = false;
            }
            (config.train.epochs, config.train.batch_size) = (epochs, 10);
            config.schedule = ScheduleConfig::from_name("constant").unwrap();
            let dir = tempfile::tempdir().unwrap();
            let outcome = run(&config, dir.path(), &mut Quiet, &StopFlag::new()).unwrap();
            assert_eq!(outcome.steps, epochs as u64);
            let trained = model(dir.path()).network(device.burn()).unwrap();
            let model = trained.get::<Rate>().unwrap();
            let network = &model.network;
            let weights = network.recurrent.value().try_into_vec_as::<f32>().unwrap();
            let excitatory = network.config().excitatory();
            for (pre, row) in weights.chunks(6).enumerate() {
                assert_eq!(row[pre], 0.0, "{kind}");
                let kept = row.iter().all(|w| {
                    if excitatory[pre] {
                        *w >= 0.0
                    } else {
                        *w <= 0.0
                    }
                });
                assert!(kept, "{kind}, {epochs}: {row:?}");
            }
            let there: Vec<bool> = weights.iter().map(|w| *w != 0.0).collect();
            let first = pattern.get_or_insert_with(|| there.clone());
            let added = there
                .iter()
                .zip(first.iter())
                .any(|(now, then)| *now && !then);
            assert!(!added, "{kind}, {epochs}");
        }
    }
}

#[test]
fn accuracy_is_monitored_where_there_is_one() {
    for kind in TaskKind::ALL {
        let mut config = RunConfig::task_recipe(RateConfig::default().into(), kind.config());
        config.device = "flex".parse().unwrap();
        config.train.monitor = Monitor::Accuracy;
        let planned = plan(&config, &mut Quiet);
        match kind {
            TaskKind::Sine | TaskKind::FlipFlop => {
                let text = planned.unwrap_err().to_string();
                let parts = ["train.monitor", "accuracy", "loss", kind.name()];
                assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            }
            _ => assert!(planned.is_ok(), "{kind}"),
        }
    }
}
