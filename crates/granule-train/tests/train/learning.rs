use granule_data::Augmentation;
use granule_models::{LeNetConfig, ModelConfig, ResNetConfig};
use granule_train::config::{CosineConfig, RmsPropConfig, SgdConfig};
use granule_train::{
    DataConfig, EarlyStopping, Keep, OptimizerConfig, RunConfig, ScheduleConfig, TrainConfig,
};

use crate::checkpoints::{model_in, step_checkpoint};
use crate::common::*;

#[test]
fn a_separable_set_is_learnt_on_every_backend() {
    let data = points(120, 60);
    on_each(&BACKENDS, |spec, _| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(spec, mlp(&[16], 0.0), 8, 16);
        config.optimizer = adam(0.02);
        let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
        let (first, last) = (&witness.epochs[0], &witness.epochs[7]);
        assert!(last.train_loss < first.train_loss / 2.0, "{spec}");
        let evaluation = outcome.evaluation.unwrap();
        let accuracy = evaluation.accuracy().unwrap();
        assert!(accuracy > 0.95, "{spec}: {accuracy}");
        assert_eq!(evaluation.samples, 60);
        assert_eq!((outcome.epochs, outcome.steps), (8, 64));
    });
}

fn agree(losses: &[(String, f64)]) {
    let (_, reference) = &losses[0];
    for (name, loss) in losses {
        let difference = (loss - reference).abs() / reference;
        assert!(difference < 1e-5, "{name}: {loss} is not {reference}");
    }
}

/// What README promises of a seed on several devices: sums are taken in another order, and training carries that on.
#[test]
fn weights_after_training_agree_between_hosts() {
    let digits = granule_data::synthetic::digits(1).unwrap();
    let resnet = ModelConfig::new(ResNetConfig {
        widths: vec![4, 4, 8, 8],
        ..Default::default()
    });
    let cases = [
        (ModelConfig::from_name("mlp").unwrap(), 1000, 1e-5),
        // Dense layers, convolutions and pools are the same kernels on both.
        (ModelConfig::new(LeNetConfig::default()), 1000, 1e-5),
        (resnet, 256, 1e-2),
    ];
    for (model, images, tolerance) in cases {
        let name = model.name().to_owned();
        let mut found = Vec::new();
        on_each(&HOSTS, |spec, _| {
            let mut config = RunConfig::recipe(model.clone(), Default::default());
            config.device = spec.clone();
            config.train.epochs = if images == 1000 { 2 } else { 1 };
            config.data.limit_train = Some(images);
            config.data.limit_test = Some(100);
            let dir = tempfile::tempdir().unwrap();
            let (outcome, _) = run(&config, &digits, dir.path()).unwrap();
            found.push(crate::common::model(&outcome).state);
        });
        let [flex, ndarray] = &found[..] else {
            panic!("both hosts are built in")
        };
        assert_eq!(flex.0.len(), ndarray.0.len());
        let furthest = flex
            .0
            .iter()
            .flat_map(|(name, value)| value.data.iter().zip(&ndarray.0[name].data))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        println!("{name}: {furthest:e}");
        assert!(furthest < tolerance, "{name}: {furthest:e}");
    }
}

/// A single step, so that the loss is of the initial weights.
#[test]
fn the_first_loss_is_one_number_on_every_backend() {
    let colours = images(8, 12, 3);
    let resnet = ModelConfig::new(ResNetConfig {
        widths: vec![4, 4, 8, 8],
        dropout: 0.25,
        ..Default::default()
    });
    let digits = images(28, 12, 3);
    let lenet = ModelConfig::new(LeNetConfig::default());
    for (model, data) in [
        (mlp(&[20, 10], 0.3), &colours),
        (resnet, &colours),
        (lenet, &digits),
    ] {
        let mut losses = Vec::new();
        on_each(&BACKENDS, |spec, _| {
            let dir = tempfile::tempdir().unwrap();
            let config = config(spec, model.clone(), 1, 12);
            let (_, witness) = run(&config, data, dir.path()).unwrap();
            assert_eq!(witness.steps.len(), 1);
            losses.push((format!("{spec} {}", model.name()), witness.steps[0].loss));
        });
        agree(&losses);
    }
}

#[test]
fn every_optimizer_learns_with_smoothing_clipping_and_a_schedule() {
    let data = points(120, 30);
    let sgd = OptimizerConfig::Sgd(SgdConfig {
        lr: 0.1,
        nesterov: true,
        weight_decay: 1e-4,
        ..Default::default()
    });
    let rmsprop = OptimizerConfig::RmsProp(RmsPropConfig {
        lr: 0.01,
        momentum: 0.5,
        centered: true,
        ..Default::default()
    });
    let adamw = OptimizerConfig::AdamW(granule_train::config::AdamWConfig {
        lr: 0.02,
        ..Default::default()
    });
    for optimizer in [sgd, rmsprop, adamw] {
        on_each(&["flex", "wgpu:software"], |spec, _| {
            let dir = tempfile::tempdir().unwrap();
            let mut config = config(spec, mlp(&[16], 0.1), 8, 16);
            config.optimizer = optimizer;
            config.train.label_smoothing = 0.1;
            config.train.clip_norm = Some(1.0);
            config.schedule = ScheduleConfig::Cosine(CosineConfig {
                warmup_steps: 4,
                ..Default::default()
            });
            let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
            let accuracy = outcome.evaluation.unwrap().accuracy().unwrap();
            assert!(accuracy > 0.9, "{spec} {}: {accuracy}", optimizer.name());
            let norms: Vec<_> = witness
                .steps
                .iter()
                .map(|s| s.gradient_norm.unwrap())
                .collect();
            assert!(norms.iter().all(|norm| *norm > 0.0), "{norms:?}");
            let last = witness.steps.last().unwrap().learning_rate;
            assert!(last < 0.05 * optimizer.lr(), "{last}");
        });
    }
}

#[test]
fn real_values_are_learnt_on_every_backend() {
    let data = plane(160, 40);
    on_each(&BACKENDS, |spec, _| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(spec, mlp(&[], 0.0), 20, 16);
        config.optimizer = adam(0.05);
        config.data.validation = 0.1;
        let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
        let evaluation = outcome.evaluation.unwrap();
        let scores = evaluation.regression().unwrap();
        assert!(scores.mean.r2 > 0.99, "{spec}: {scores:?}");
        // The loss is that of standardised targets.
        let std = data.target_normalization.std.iter();
        let each = scores.outputs.iter().zip(std);
        let standardised = each.map(|(output, &std)| output.mse / f64::from(std).powi(2) / 2.0);
        let expected: f64 = standardised.sum();
        assert!((evaluation.loss - expected).abs() < 1e-6, "{spec}");
        assert_eq!(evaluation.accuracy(), None);
        assert_eq!(witness.epochs[0].train_accuracy, None);
        assert!(witness.epochs[0].validation_loss.is_some());
    });
}

#[test]
fn early_stopping_gives_the_best_epoch() {
    let data = points(60, 30);
    on_each(&["flex"], |spec, device| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(spec, mlp(&[32], 0.0), 60, 8);
        // Far too large: the loss soon only jumps about.
        config.optimizer = adam(0.5);
        config.data.validation = 0.3;
        config.train.keep = Keep::BestLoss;
        config.train.early_stopping = Some(EarlyStopping {
            patience: 3,
            min_delta: 0.0,
        });
        let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
        let (epoch, best_epoch) = witness.early_stop.expect("stopped early");
        assert!(outcome.stopped_early && epoch < 60 && epoch == best_epoch + 3);
        assert_eq!(outcome.epochs, epoch);
        assert_eq!(outcome.model_epoch, Some(best_epoch));
        let losses: Vec<f64> = witness
            .epochs
            .iter()
            .map(|e| e.validation_loss.unwrap())
            .collect();
        let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(losses[best_epoch - 1], lowest);
        // The model file holds the weights of that epoch, not the last ones.
        let state = model(&outcome).state;
        assert!(state == model_in(&dir.path().join("checkpoints/best.ckpt")));
        assert!(state != model_in(&step_checkpoint(dir.path(), outcome.steps)));
        let score = model(&outcome).provenance.scores["validation_loss"];
        assert_eq!(score, lowest);
        let again = granule_train::evaluate(
            &model(&outcome),
            &data,
            device,
            7,
            &mut granule_train::Quiet,
        )
        .unwrap();
        assert!((again.loss - outcome.evaluation.unwrap().loss).abs() < 1e-6);
    });
}

#[test]
fn one_seed_is_one_result() {
    let (small, large) = (images(8, 30, 6), images(28, 160, 6));
    let resnet = ModelConfig::new(ResNetConfig {
        widths: vec![4, 4, 8, 8],
        dropout: 0.2,
        ..Default::default()
    });
    let lenet = ModelConfig::new(LeNetConfig::default());
    for (model_config, data, batch) in [
        (resnet, &small, 8),
        (lenet, &large, 64),
        (mlp(&[512, 256], 0.2), &large, 64),
    ] {
        on_each(&HOSTS, |spec, _| {
            let weights = |seed: u64| {
                let dir = tempfile::tempdir().unwrap();
                let mut config = config(spec, model_config.clone(), 2, batch);
                config.seed = seed;
                config.data = DataConfig {
                    validation: 0.2,
                    augmentation: Augmentation {
                        horizontal_flip: true,
                        shift: 1,
                        ..Default::default()
                    },
                    ..Default::default()
                };
                config.train = TrainConfig {
                    clip_norm: Some(1.0),
                    ..config.train
                };
                model(&run(&config, data, dir.path()).unwrap().0).state
            };
            let first = weights(1);
            assert!(first == weights(1), "{spec}");
            assert!(first != weights(2), "{spec}");
        });
    }
}

#[test]
fn a_model_file_says_what_was_seen_and_answered() {
    let digits = granule_data::synthetic::digits(1).unwrap();
    let mut config = config(&"flex".parse().unwrap(), mlp(&[16], 0.0), 1, 64);
    config.data.limit_train = Some(200);
    config.data.limit_test = Some(100);
    let dir = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config, &digits, dir.path()).unwrap();
    let profile = crate::common::model(&outcome).provenance.profile.unwrap();
    let pixels: u64 = profile.intensities.iter().sum();
    // Of whole images, those held out not among them.
    assert!(pixels.is_multiple_of(28 * 28) && (100..=200).contains(&(pixels / (28 * 28))));
    // Most of an image is its background.
    assert!(profile.intensities[0] > pixels / 2);
    assert_eq!(profile.predictions.len(), 10);
    assert_eq!(profile.predictions.iter().sum::<u64>(), 100);
    // Vectors have no intensities.
    let dir = tempfile::tempdir().unwrap();
    let mut config = config.clone();
    config.model = mlp(&[4], 0.0);
    let (outcome, _) = run(&config, &points(120, 60), dir.path()).unwrap();
    let profile = crate::common::model(&outcome).provenance.profile.unwrap();
    assert!(profile.intensities.is_empty());
    assert_eq!(profile.predictions.iter().sum::<u64>(), 60);
}
