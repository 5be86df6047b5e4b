//! What an optimiser step is made of: batches, class weights, and when its rate falls.

use granule_data::task::TaskKind;
use granule_data::{Dataset, Features, Normalization, Shape, Split, Targets};
use granule_models::StateDict;
use granule_train::config::{ClassWeightRule, PlateauConfig, SgdConfig};
use granule_train::{
    ClassWeights, EarlyStopping, Monitor, OptimizerConfig, Quiet, RunConfig, ScheduleConfig,
    StopFlag, train,
};

use crate::common::*;

fn sgd(lr: f64) -> OptimizerConfig {
    OptimizerConfig::Sgd(SgdConfig {
        lr,
        ..Default::default()
    })
}

fn balanced() -> Option<ClassWeights> {
    Some(ClassWeights::Rule(ClassWeightRule::Balanced))
}

fn largest_difference(a: &StateDict, b: &StateDict) -> f32 {
    let values = |state: &StateDict| -> Vec<f32> {
        state
            .0
            .values()
            .flat_map(|value| value.data.clone())
            .collect()
    };
    let pairs = values(a).into_iter().zip(values(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn accumulated_batches_make_the_step_of_one_large_batch() {
    on_each(&BACKENDS, |spec, _| {
        for weights in [
            None,
            balanced(),
            Some(ClassWeights::Each(vec![0.0, 1.0, 3.0])),
        ] {
            let data = points(44, 9);
            let mut large = config(spec, mlp(&[8], 0.0), 4, 32);
            large.optimizer = sgd(0.1);
            large.train.label_smoothing = 0.1;
            large.train.clip_norm = Some(0.5);
            large.train.class_weights = weights.clone();
            same_steps(&large, &data);
        }
        let mut values = config(spec, mlp(&[8], 0.0), 4, 32);
        values.optimizer = sgd(0.1);
        same_steps(&values, &plane(44, 9));
    });
}

/// Trains with batches of 32 and with four of 8 a step.
fn same_steps(large: &RunConfig, data: &Dataset) {
    let mut small = large.clone();
    small.train.batch_size = 8;
    small.train.accumulate = 4;
    let [a, b] = [large, &small].map(|config| {
        let dir = tempfile::tempdir().unwrap();
        let (outcome, witness) = run(config, data, dir.path()).unwrap();
        assert_eq!(outcome.steps, 8);
        let losses: Vec<f64> = witness
            .epochs
            .iter()
            .map(|epoch| epoch.train_loss)
            .collect();
        (model(&outcome).state, losses)
    });
    let difference = largest_difference(&a.0, &b.0);
    assert!(difference < 1e-5, "{} {difference}", large.device);
    // With class weights a reported loss weights batches by their samples.
    if large.train.class_weights.is_none() {
        for (a, b) in a.1.iter().zip(&b.1) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn trials_are_accumulated_by_what_counts_in_them() {
    let states = [(8, 1), (2, 4)].map(|(batch, accumulate)| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = crate::tasks::tiny(&"flex".parse().unwrap(), TaskKind::PerceptualDecision);
        if let Some(rate) = config.model.get_mut::<granule_models::RateConfig>() {
            rate.private_noise = 0.0;
        }
        config.optimizer = sgd(0.05);
        (config.train.batch_size, config.train.accumulate) = (batch, accumulate);
        let outcome = train(&config, Some(dir.path()), &mut Quiet, &StopFlag::new()).unwrap();
        assert_eq!(outcome.steps, 4);
        model(&outcome).state
    });
    let difference = largest_difference(&states[0], &states[1]);
    assert!(difference < 1e-5, "{difference}");
}

/// Three overlapping clouds, the first ten times as frequent in training as the others.
fn uneven() -> Dataset {
    let mut noise = Noise::new(8);
    let mut split = |counts: [usize; 3]| {
        let (mut features, mut classes) = (Vec::new(), Vec::new());
        for (class, count) in counts.into_iter().enumerate() {
            let centre = [[0.0, 0.0], [0.7, 0.0], [0.0, 0.7]][class];
            for _ in 0..count {
                let mut normal = || (0..12).map(|_| noise.next()).sum::<f32>() - 6.0;
                features.extend(centre.map(|x: f32| x + 0.6 * normal()));
                classes.push(class as u16);
            }
        }
        let shape = Shape::Vector { len: 2 };
        Split::new(shape, Features::Floats(features), Targets::Classes(classes)).unwrap()
    };
    let (train, test) = (split([300, 30, 30]), split([200, 200, 200]));
    let names = ["many", "few", "rare"].map(String::from).to_vec();
    let normalization = Normalization::of(&train);
    Dataset::new("uneven", names, normalization, train, test).unwrap()
}

#[test]
fn class_weights_keep_rare_classes() {
    let data = uneven();
    let recalls = |weights: Option<ClassWeights>| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&"flex".parse().unwrap(), mlp(&[16], 0.0), 30, 32);
        config.optimizer = adam(0.005);
        config.train.class_weights = weights;
        let (outcome, _) = run(&config, &data, dir.path()).unwrap();
        let evaluation = outcome.evaluation.unwrap();
        let classes = &evaluation.classification().unwrap().report.classes;
        classes
            .iter()
            .map(|class| class.recall)
            .collect::<Vec<f64>>()
    };
    let plain = recalls(None);
    assert!(
        plain[0] > 0.9 && plain[1] < 0.4 && plain[2] < 0.4,
        "{plain:?}"
    );
    let even = recalls(balanced());
    assert!(even.iter().all(|recall| *recall > 0.35), "{even:?}");
    assert!(even[1] > 0.5 && even[2] > 0.5, "{even:?}");
    let given = recalls(Some(ClassWeights::Each(vec![0.4, 4.0, 4.0])));
    assert_eq!(given, even);
}

#[test]
fn class_weights_that_do_not_fit_are_refused_before_a_folder_is_made() {
    let spec = "flex".parse().unwrap();
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run");
    let refused = |config: &RunConfig, data: &Dataset| {
        let error = run(config, data, &dir).map(|_| ()).unwrap_err().to_string();
        assert!(!dir.exists());
        error
    };
    let mut short = config(&spec, mlp(&[4], 0.0), 1, 4);
    short.train.class_weights = Some(ClassWeights::Each(vec![1.0, 2.0]));
    let text = refused(&short, &points(12, 3));
    assert!(
        text.contains("train.class_weights") && text.contains("3 classes"),
        "{text}"
    );
    let mut values = config(&spec, mlp(&[4], 0.0), 1, 4);
    values.train.class_weights = balanced();
    let text = refused(&values, &plane(12, 3));
    assert!(text.contains("train.class_weights"), "{text}");
    let mut values = config(&spec, mlp(&[4], 0.0), 1, 4);
    values.train.monitor = Monitor::Accuracy;
    let text = refused(&values, &plane(12, 3));
    assert!(text.contains("train.monitor"), "{text}");
}

#[test]
fn the_rate_falls_on_a_plateau_of_what_is_monitored() {
    let data = points(90, 9);
    for monitor in [Monitor::Loss, Monitor::Accuracy] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&"flex".parse().unwrap(), mlp(&[16], 0.0), 40, 16);
        config.optimizer = adam(0.3);
        config.data.validation = 0.3;
        config.train.monitor = monitor;
        config.train.early_stopping = Some(EarlyStopping {
            patience: 9,
            min_delta: 0.0,
        });
        config.schedule = ScheduleConfig::Plateau(PlateauConfig {
            factor: 0.5,
            patience: 3,
            min_delta: 0.0,
            min_factor: 0.2,
            warmup_steps: 0,
        });
        let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
        let score = |epoch: &granule_train::EpochEvent| match monitor {
            Monitor::Loss => epoch.validation_loss.unwrap(),
            Monitor::Accuracy => -epoch.validation_accuracy.unwrap(),
        };
        let (mut best, mut stale, mut falls) = (f64::INFINITY, 0, 0);
        let (mut ends, mut waited) = (None, 0);
        for epoch in &witness.epochs {
            let expected = 0.3 * 0.5_f64.powi(falls).max(0.2);
            assert!(
                (epoch.learning_rate - expected).abs() < 1e-12,
                "{epoch:?} {expected}"
            );
            if score(epoch) < best {
                (best, stale, waited) = (score(epoch), 0, 0);
            } else {
                (stale, waited) = (stale + 1, waited + 1);
            }
            if stale == 3 {
                (stale, falls) = (0, falls + 1);
            }
            if waited == 9 {
                ends = Some(epoch.epoch);
            }
        }
        assert!(falls >= 3, "{monitor:?}: {falls}");
        assert_eq!(ends, Some(outcome.epochs), "{monitor:?}");
        assert!(outcome.stopped_early);
    }
}

#[test]
fn long_runs_of_short_epochs_have_a_checkpoint_for_some_of_them() {
    let data = points(12, 3);
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&"flex".parse().unwrap(), mlp(&[4], 0.0), 350, 16);
    config.train.keep_checkpoints = 1000;
    run(&config, &data, dir.path()).unwrap();
    let files = std::fs::read_dir(dir.path().join("checkpoints")).unwrap();
    let names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("step-"))
        .collect();
    assert_eq!(names.len(), 88, "{names:?}");
    assert!(names.contains(&"step-00000350.ckpt".to_owned()));
}

#[test]
fn a_run_has_at_least_the_steps_that_were_asked_for() {
    let data = points(40, 9);
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&"flex".parse().unwrap(), mlp(&[4], 0.0), 2, 16);
    config.train.min_steps = Some(20);
    let (outcome, _) = run(&config, &data, dir.path()).unwrap();
    assert_eq!((outcome.epochs, outcome.steps), (7, 21));
    let text = std::fs::read_to_string(dir.path().join("config.toml")).unwrap();
    let kept = RunConfig::from_toml_str(&text).unwrap();
    assert_eq!((kept.train.epochs, kept.train.min_steps), (7, None));
    assert_eq!(kept.train.loss, granule_train::Loss::CrossEntropy);
}
