//! Inputs and targets far from zero, on scales of their own.

use granule_data::{Dataset, Features, Normalization, Shape, Split, Targets};
use granule_models::{Predictor, Sample};
use granule_train::{Loss, evaluate};

use crate::common::*;

/// One feature, stored less its offset, and targets; every fifth sample is for the test.
fn column(
    features: &[f32],
    offset: f64,
    targets: &dyn Fn(&[usize]) -> Targets,
    names: &[&str],
) -> Dataset {
    let part = |test: bool| {
        let chosen: Vec<usize> = (0..features.len())
            .filter(|i| (i % 5 == 0) == test)
            .collect();
        let features = chosen.iter().map(|&i| features[i]).collect();
        let shape = Shape::Vector { len: 1 };
        let split = Split::new(shape, Features::Floats(features), targets(&chosen)).unwrap();
        split.centred(vec![offset], Vec::new()).unwrap()
    };
    let (train, test) = (part(false), part(true));
    let normalization = Normalization::of(&train);
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Dataset::new("column", names, normalization, train, test).unwrap()
}

#[test]
fn large_targets_are_learnt_and_predicted_on_their_own_scale() {
    let x: Vec<f32> = (0..200).map(|i| (i as f32 * 0.618) % 2.0 - 1.0).collect();
    let y = |i: usize| 5e6 + 1e6 * x[i];
    let targets = |chosen: &[usize]| Targets::Values {
        data: chosen.iter().map(|&i| y(i)).collect(),
        width: 1,
    };
    let data = column(&x, 0.0, &targets, &[]);
    on_each(&BACKENDS, |spec, device| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(spec, mlp(&[16], 0.0), 40, 16);
        config.optimizer = adam(0.02);
        config.train.loss = Loss::Mse;
        config.data.validation = 0.1;
        let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
        let evaluation = outcome.evaluation.clone().unwrap();
        let r2 = evaluation.r2().unwrap();
        assert!(r2 > 0.99, "{spec}: {r2}");
        // Of standardised targets, in training as in the test.
        assert!(
            witness.epochs[0].train_loss < 5.0,
            "{spec}: {:?}",
            witness.epochs[0]
        );
        assert!(evaluation.loss < 0.01, "{spec}: {}", evaluation.loss);

        let file = model(&outcome);
        let again = evaluate(&file, &data, device, 7, &mut Witness::default()).unwrap();
        assert!((again.r2().unwrap() - r2).abs() < 1e-6, "{spec}");
        let predictor = Predictor::from_file(&file, device.burn()).unwrap();
        for i in [3, 77, 150] {
            let found = predictor.outputs(Sample::Values(&[x[i]])).unwrap()[0];
            assert!((found - y(i)).abs() < 3e5, "{spec}: {found} for {}", y(i));
        }
    });
}

#[test]
fn features_far_from_zero_tell_classes_apart() {
    let x: Vec<f32> = (0..60)
        .map(|i| if i % 2 == 0 { -10.0 } else { 10.0 })
        .collect();
    let targets =
        |chosen: &[usize]| Targets::Classes(chosen.iter().map(|&i| (i % 2) as u16).collect());
    let far = 1.7e9 + 10.0;
    let data = column(&x, far, &targets, &["low", "high"]);
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&"flex".parse().unwrap(), mlp(&[8], 0.0), 20, 8);
    config.optimizer = adam(0.02);
    let (outcome, _) = run(&config, &data, dir.path()).unwrap();
    assert_eq!(outcome.evaluation.clone().unwrap().accuracy(), Some(1.0));
    let file = model(&outcome);
    let device = config.device.open().unwrap();
    let predictor = Predictor::from_file(&file, device.burn()).unwrap();
    for (x, class) in [(1.7e9, 0), (1.7e9 + 20.0, 1)] {
        let logits = predictor.outputs(Sample::Doubles(&[x])).unwrap();
        assert!(logits[class] > logits[1 - class], "{x}: {logits:?}");
    }
    // The same data, stored less another offset.
    let moved: Vec<f32> = x.iter().map(|x| x + 10.0).collect();
    let moved = column(&moved, 1.7e9, &targets, &["low", "high"]);
    let found = evaluate(&file, &moved, &device, 8, &mut Witness::default()).unwrap();
    assert_eq!(found.accuracy(), Some(1.0));
}

#[test]
fn classes_are_matched_by_their_names() {
    let x: Vec<f32> = (0..90).map(|i| (i % 3) as f32).collect();
    let all = |chosen: &[usize]| Targets::Classes(chosen.iter().map(|&i| (i % 3) as u16).collect());
    let data = column(&x, 0.0, &all, &["1", "3", "7"]);
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&"flex".parse().unwrap(), mlp(&[16], 0.0), 40, 8);
    config.optimizer = adam(0.02);
    let (outcome, _) = run(&config, &data, dir.path()).unwrap();
    assert_eq!(outcome.evaluation.clone().unwrap().accuracy(), Some(1.0));

    let device = config.device.open().unwrap();
    let part: Vec<f32> = (0..20)
        .map(|i| if i % 2 == 0 { 1.0 } else { 2.0 })
        .collect();
    let two = |chosen: &[usize]| Targets::Classes(chosen.iter().map(|&i| (i % 2) as u16).collect());
    let data = column(&part, 0.0, &two, &["3", "7"]);
    let mut witness = Witness::default();
    let found = evaluate(&model(&outcome), &data, &device, 8, &mut witness).unwrap();
    assert_eq!(found.accuracy(), Some(1.0));
    assert!(
        witness.warnings[0].contains("class 1 has no test sample"),
        "{:?}",
        witness.warnings
    );
    let other = column(&part, 0.0, &two, &["3", "8"]);
    assert!(evaluate(&model(&outcome), &other, &device, 8, &mut witness).is_err());
}
