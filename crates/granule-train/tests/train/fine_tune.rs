use std::time::Instant;

use granule_data::Targets;
use granule_device::DeviceSpec;
use granule_models::{Classifier, ModelConfig, ModelFile, Parent, Sample};
use granule_train::{ConfigError, FineTune, RunConfig, TrainError, fine_tune};

use crate::common::*;

/// A LeNet that knows the drawn digits, and the digits with whether they are even.
fn trained() -> (ModelFile, Vec<(Vec<u8>, &'static str)>) {
    let digits = granule_data::synthetic::digits(1).unwrap();
    let mut config =
        RunConfig::recipe(ModelConfig::from_name("lenet").unwrap(), Default::default());
    config.device = "flex".parse().unwrap();
    config.train.epochs = 3;
    config.data.limit_train = Some(4000);
    config.data.limit_test = Some(100);
    let dir = tempfile::tempdir().unwrap();
    let (outcome, _) = run(&config, &digits, dir.path()).unwrap();
    let Targets::Classes(classes) = digits.test.targets() else {
        panic!("digits have classes")
    };
    let images = (0..300).map(|i| {
        let even = classes[i].is_multiple_of(2);
        let pixels = digits.test.pixels(i).unwrap().to_vec();
        (pixels, if even { "even" } else { "odd" })
    });
    (model(&outcome), images.collect())
}

#[test]
fn a_model_takes_new_classes_from_a_hundred_images() {
    let device = "flex".parse::<DeviceSpec>().unwrap().open().unwrap();
    let (file, images) = trained();
    let samples: Vec<_> = images
        .iter()
        .map(|(pixels, class)| (Sample::Pixels(pixels), *class))
        .collect();
    let (learnt, others) = samples.split_at(100);
    let options = FineTune::default();
    let began = Instant::now();
    let tuned = fine_tune(&file, learnt, &options, &device).unwrap();
    let took = began.elapsed();
    println!("a new head from 100 images took {took:?}");
    assert!(took.as_secs() < 10, "{took:?}");

    // All but the last layer is as it was, bit for bit.
    for (name, value) in &tuned.state.0 {
        let head = name.starts_with("fc3");
        assert_eq!(file.state.0[name] == *value, !head, "{name}");
    }
    let classifier = Classifier::from_file(&tuned, device.burn()).unwrap();
    assert_eq!(classifier.classes(), ["even", "odd"]);
    let right = others
        .iter()
        .filter(|(sample, class)| classifier.predict(*sample).unwrap().best().0 == *class);
    let right = right.count() as f64 / others.len() as f64;
    assert!(right > 0.75, "{right}");
    let parent = tuned.provenance.parent.as_ref().unwrap();
    assert_eq!(parent.as_ref(), &Parent::of(file.provenance.clone()));
    assert_eq!(
        ModelFile::from_bytes(&tuned.to_bytes().unwrap()).unwrap(),
        tuned
    );

    // One seed, one result.
    let again = fine_tune(&file, learnt, &options, &device).unwrap();
    assert_eq!(again.state, tuned.state);
    let other = FineTune {
        seed: 2,
        ..options.clone()
    };
    assert_ne!(
        fine_tune(&file, learnt, &other, &device).unwrap().state,
        tuned.state
    );
    let whole = FineTune {
        whole: true,
        epochs: 2,
        ..options
    };
    let whole = fine_tune(&file, learnt, &whole, &device).unwrap();
    assert!(
        whole
            .state
            .0
            .iter()
            .all(|(name, value)| file.state.0[name] != *value)
    );
}

#[test]
fn what_cannot_be_tuned_is_a_typed_error() {
    let device = "flex".parse::<DeviceSpec>().unwrap().open().unwrap();
    let (file, images) = trained();
    let sample = |at: usize| Sample::Pixels(&images[at].0);
    let tune = |samples: &[(Sample<'_>, &str)], options: FineTune| {
        fine_tune(&file, samples, &options, &device)
            .map(|file| file.task)
            .unwrap_err()
    };
    let config = |error: TrainError, words: &str| {
        assert!(
            matches!(error, TrainError::Config(ConfigError { .. })),
            "{error}"
        );
        assert!(error.to_string().contains(words), "{error}");
    };
    let two = [(sample(0), "a"), (sample(1), "b")];
    config(tune(&[], FineTune::default()), "samples.classes");
    config(tune(&two[..1], FineTune::default()), "at least two classes");
    config(
        tune(&[two[0], (sample(1), "b\n")], FineTune::default()),
        "samples.class",
    );
    config(
        tune(
            &two,
            FineTune {
                epochs: 0,
                ..FineTune::default()
            },
        ),
        "train.epochs",
    );
    config(
        tune(
            &two,
            FineTune {
                batch_size: 0,
                ..FineTune::default()
            },
        ),
        "train.batch_size",
    );
    let short = [two[0], (Sample::Pixels(&[0; 3]), "b")];
    assert!(matches!(
        tune(&short, FineTune::default()),
        TrainError::Model(_)
    ));
    let three = [(sample(0), "10"), (sample(1), "9"), (sample(2), "-1")];
    let options = FineTune {
        epochs: 1,
        ..FineTune::default()
    };
    let tuned = fine_tune(&file, &three, &options, &device).unwrap();
    let classifier = Classifier::from_file(&tuned, device.burn()).unwrap();
    assert_eq!(classifier.classes(), ["-1", "9", "10"]);
}
