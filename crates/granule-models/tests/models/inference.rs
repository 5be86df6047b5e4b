//! Classifier and predictor.

use std::io::Cursor;

use granule_models::{
    Classifier, InputShape, Link, ModelConfig, ModelError, ModelFile, Predictor, Sample, Task,
};
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use crate::support::{classifier_file, flex, image as shape, ndarray, noise};

fn lenet() -> ModelFile {
    classifier_file(ModelConfig::from_name("lenet").unwrap(), shape(1, 28))
}

fn colour() -> ModelFile {
    classifier_file(ModelConfig::default(), shape(3, 6))
}

fn pixels(len: usize) -> Vec<u8> {
    let noise = noise(len, 8);
    noise.iter().map(|v| ((v + 1.0) * 127.5) as u8).collect()
}

fn png(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn grey(width: u32, height: u32) -> DynamicImage {
    let pixels = pixels((width * height) as usize);
    GrayImage::from_raw(width, height, pixels).unwrap().into()
}

#[test]
fn a_classifier_may_be_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Classifier>();
    check::<Predictor>();
    check::<ModelError>();

    let classifier = Classifier::from_file(&lenet(), &flex()).unwrap();
    let inputs: Vec<Vec<u8>> = (0..8_u8)
        .map(|i| pixels(784).iter().map(|p| p ^ i).collect())
        .collect();
    let alone: Vec<_> = inputs
        .iter()
        .map(|p| classifier.predict_pixels(p).unwrap())
        .collect();
    let repeat = &|p: &[u8]| {
        let predict = || classifier.predict_pixels(p).unwrap();
        let first = predict();
        assert!((0..4).all(|_| predict() == first));
        first
    };
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = inputs
            .iter()
            .map(|p| scope.spawn(move || repeat(p)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn every_form_of_an_image_gives_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let classifier = Classifier::from_bytes(&lenet().to_bytes().unwrap(), &flex()).unwrap();
    let image = grey(28, 28);
    let expected = classifier.predict_pixels(image.as_bytes()).unwrap();

    let scaled: Vec<f32> = image
        .as_bytes()
        .iter()
        .map(|p| f32::from(*p) / 255.0)
        .collect();
    assert_eq!(classifier.predict_values(&scaled).unwrap(), expected);
    assert_eq!(classifier.predict_image(&image).unwrap(), expected);
    assert_eq!(classifier.predict_encoded(&png(&image)).unwrap(), expected);
    let path = folder.path().join("image.png");
    std::fs::write(&path, png(&image)).unwrap();
    assert_eq!(classifier.predict_image_file(&path).unwrap(), expected);
    assert_eq!(
        classifier.predict_image(&image.to_rgb8().into()).unwrap(),
        expected
    );
    assert_eq!(
        classifier
            .predict(Sample::Image(&image.to_rgba8().into()))
            .unwrap(),
        expected
    );

    assert_eq!(classifier.classes(), ["cat", "dog", "owl"]);
    assert_eq!(expected.classes.len(), 3);
    assert_eq!(expected.top(2), &expected.classes[..2]);
    assert_eq!(expected.top(9).len(), 3);
    assert_eq!(
        expected.best(),
        (expected.classes[0].0.as_str(), expected.classes[0].1)
    );
    assert!(expected.classes.is_sorted_by(|a, b| a.1 >= b.1));
    let total: f32 = expected.classes.iter().map(|(_, p)| p).sum();
    assert!((total - 1.0).abs() < 1e-6);
}

#[test]
fn probabilities_are_the_softmax_of_the_logits() {
    let classifier = Classifier::from_file(&lenet(), &flex()).unwrap();
    let pixels = pixels(784);
    let logits = classifier
        .predictor()
        .outputs(Sample::Pixels(&pixels))
        .unwrap();
    let total: f32 = logits.iter().map(|l| l.exp()).sum();
    for (name, probability) in classifier.predict_pixels(&pixels).unwrap().classes {
        let index = classifier
            .classes()
            .iter()
            .position(|c| *c == name)
            .unwrap();
        assert!((probability - logits[index].exp() / total).abs() < 1e-6);
    }
}

#[test]
fn colours_are_separated_into_planes() {
    let classifier = Classifier::from_file(&colour(), &flex()).unwrap();
    let image = RgbImage::from_raw(6, 6, pixels(108)).unwrap();
    let planes: Vec<u8> = (0..3)
        .flat_map(|c| image.pixels().map(move |p| p.0[c]))
        .collect();
    let expected = classifier.predict_pixels(&planes).unwrap();
    assert_eq!(
        classifier.predict_image(&image.clone().into()).unwrap(),
        expected
    );
    assert_eq!(
        classifier.predict_encoded(&png(&image.into())).unwrap(),
        expected
    );
    let same = grey(6, 6);
    let tripled = same.as_bytes().repeat(3);
    assert_eq!(
        classifier.predict_image(&same).unwrap(),
        classifier.predict_pixels(&tripled).unwrap()
    );
}

#[test]
fn a_batch_gives_what_its_samples_give() {
    let classifier = Classifier::from_file(&lenet(), &flex()).unwrap();
    let inputs: Vec<Vec<u8>> = (0..130).map(|i| pixels(784 + i)[i..].to_vec()).collect();
    let samples: Vec<_> = inputs.iter().map(|p| Sample::Pixels(p)).collect();
    let together = classifier.predict_batch(&samples).unwrap();
    assert_eq!(together.len(), 130);
    for (p, prediction) in inputs.iter().zip(&together) {
        let alone = classifier.predict_pixels(p).unwrap();
        for (a, b) in alone.classes.iter().zip(&prediction.classes) {
            assert!((a.1 - b.1).abs() < 1e-5);
        }
    }
    assert!(classifier.predict_batch(&[]).unwrap().is_empty());
}

#[test]
fn another_size_is_refused_unless_resizing_was_asked_for() {
    let classifier = Classifier::from_file(&lenet(), &flex()).unwrap();
    let large = grey(56, 42);
    let error = classifier.predict_image(&large).unwrap_err();
    assert!(matches!(
        error,
        ModelError::ImageSize {
            expected_width: 28,
            expected_height: 28,
            width: 56,
            height: 42
        }
    ));
    let text = error.to_string();
    assert!(
        text.contains("28×28") && text.contains("56×42") && text.contains("resizing"),
        "{text}"
    );

    let classifier = classifier.resizing(true);
    let flat = |size| DynamicImage::from(GrayImage::from_pixel(size, size, image::Luma([90])));
    assert_eq!(
        classifier.predict_image(&flat(50)).unwrap(),
        classifier.predict_image(&flat(28)).unwrap()
    );
}

#[test]
fn bad_samples_are_errors() {
    let classifier = Classifier::from_file(&lenet(), &flex()).unwrap();
    let long = classifier.predict_pixels(&[0; 785]).unwrap_err();
    assert!(matches!(long, ModelError::InputLength { found: 785, .. }));
    assert!(long.to_string().contains("784"), "{long}");
    assert!(classifier.predict_pixels(&[]).is_err());
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = vec![0.0; 784];
        values[5] = bad;
        let error = classifier.predict_values(&values).unwrap_err();
        assert!(matches!(error, ModelError::NonFiniteInput { index: 5, .. }));
    }
    let beyond = classifier.predict_values(&[f32::MAX; 784]).unwrap_err();
    assert!(matches!(beyond, ModelError::Intensity(_)));
    let vectors = classifier_file(ModelConfig::default(), InputShape::Vector { len: 4 });
    let vectors = Classifier::from_file(&vectors, &flex()).unwrap();
    let huge = vectors.predict_values(&[f32::MAX; 4]).unwrap_err();
    assert!(matches!(huge, ModelError::NonFiniteOutput));

    let whole = png(&grey(28, 28));
    for bytes in [&b""[..], b"GIF89a", &whole[..whole.len() / 2]] {
        assert!(matches!(
            classifier.predict_encoded(bytes),
            Err(ModelError::Image { .. })
        ));
    }
    let missing = classifier.predict_image_file("absent.png").unwrap_err();
    assert!(missing.to_string().contains("absent.png"), "{missing}");
    let good = Sample::Pixels(&[0; 784]);
    assert!(
        classifier
            .predict_batch(&[good, Sample::Pixels(&[0])])
            .is_err()
    );
}

#[test]
fn a_forged_image_size_allocates_nothing() {
    let classifier = Classifier::from_file(&lenet(), &flex())
        .unwrap()
        .resizing(true);
    let mut bytes = png(&grey(28, 28));
    bytes[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    assert!(matches!(
        classifier.predict_encoded(&bytes),
        Err(ModelError::Image { .. })
    ));
}

#[test]
fn a_file_too_large_for_an_image_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.png");
    std::fs::File::create(&path)
        .and_then(|file| file.set_len(1 << 36))
        .unwrap();
    let classifier = Classifier::from_file(&lenet(), &flex()).unwrap();
    let error = classifier.predict_image_file(&path).unwrap_err();
    assert!(error.to_string().contains("MiB"), "{error}");
}

#[test]
fn inverting_is_for_pixels_of_every_form() {
    let upright = Classifier::from_file(&lenet(), &flex()).unwrap();
    let inverting = Classifier::from_file(&lenet(), &flex())
        .unwrap()
        .inverting(true);
    let pixels: Vec<u8> = grey(28, 28).to_luma8().into_raw();
    let negative: Vec<u8> = pixels.iter().map(|pixel| 255 - pixel).collect();
    let expected = upright.predict_pixels(&negative).unwrap();
    assert_ne!(upright.predict_pixels(&pixels).unwrap(), expected);
    assert_eq!(inverting.predict_pixels(&pixels).unwrap(), expected);
    assert_eq!(inverting.predict_image(&grey(28, 28)).unwrap(), expected);
    assert_eq!(
        inverting.predict_encoded(&png(&grey(28, 28))).unwrap(),
        expected
    );
}

#[test]
fn models_of_vectors_and_values() {
    let mut file = classifier_file(ModelConfig::default(), InputShape::Vector { len: 4 });
    let classifier = Classifier::from_file(&file, &flex()).unwrap();
    let image = classifier.predict_image(&grey(2, 2)).unwrap_err();
    assert!(matches!(image, ModelError::NotAnImageModel { .. }));

    file.task = Task::regression(3);
    let refused = Classifier::from_file(&file, &flex()).unwrap_err();
    assert!(matches!(refused, ModelError::NotAClassifier { outputs: 3 }));
    let predictor = Predictor::from_bytes(&file.to_bytes().unwrap(), &ndarray()).unwrap();
    let values = predictor
        .outputs(Sample::Values(&[0.1, 0.2, 0.3, 0.4]))
        .unwrap();
    let logits = classifier
        .predictor()
        .outputs(Sample::Values(&[0.1, 0.2, 0.3, 0.4]))
        .unwrap();
    assert_eq!(values.len(), 3);
    for (a, b) in values.iter().zip(logits) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn features_are_normalised_one_by_one() {
    let mut file = classifier_file(ModelConfig::default(), InputShape::Vector { len: 2 });
    file.input.mean = vec![1.0, -2.0];
    file.input.std = vec![2.0, 0.5];
    let scaled = Predictor::from_file(&file, &flex()).unwrap();
    file.input.mean.clear();
    file.input.std.clear();
    let plain = Predictor::from_file(&file, &flex()).unwrap();
    assert_eq!(
        scaled.outputs(Sample::Values(&[5.0, -1.0])).unwrap(),
        plain.outputs(Sample::Values(&[2.0, 2.0])).unwrap()
    );
}

#[test]
fn an_image_is_the_same_in_every_form_and_range() {
    let file = lenet();
    let classifier = || Classifier::from_file(&file, &flex()).unwrap();
    let pixels = pixels(784);
    let expected = classifier().predict_pixels(&pixels).unwrap();
    let same = |found: granule_models::Prediction| {
        for ((a, p), (b, q)) in found.top(3).iter().zip(expected.top(3)) {
            assert!(a == b && (p - q).abs() < 1e-5, "{found:?} {expected:?}");
        }
    };
    let scaled =
        |f: &dyn Fn(f32) -> f32| -> Vec<f32> { pixels.iter().map(|&p| f(f32::from(p))).collect() };
    let (unit, signed, raw) = (
        scaled(&|x| x / 255.0),
        scaled(&|x| x / 127.5 - 1.0),
        scaled(&|x| x),
    );
    same(classifier().predict(Sample::Values(&unit)).unwrap());
    let doubles: Vec<f64> = unit.iter().map(|&x| f64::from(x)).collect();
    same(classifier().predict(Sample::Doubles(&doubles)).unwrap());
    for (values, range) in [(&signed, [-1.0, 1.0]), (&raw, [0.0, 255.0])] {
        let error = classifier()
            .predict(Sample::Values(values))
            .unwrap_err()
            .to_string();
        let way_out = format!("--range={},{}", range[0], range[1]);
        assert!(error.contains(&way_out), "{error}");
        let ranging = classifier().ranging(Some(range)).unwrap();
        same(ranging.predict(Sample::Values(values)).unwrap());
        // The range is part of the model.
        let mut file = file.clone();
        file.input.range = Some(range);
        let file = ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
        assert_eq!(file.input.range, Some(range));
        let stored = Classifier::from_file(&file, &flex()).unwrap();
        same(stored.predict(Sample::Values(values)).unwrap());
        same(stored.predict_pixels(&pixels).unwrap());
    }
    assert!(classifier().ranging(Some([1.0, 1.0])).is_err());
    let inverted: Vec<f32> = unit.iter().map(|x| 1.0 - x).collect();
    same(
        classifier()
            .inverting(true)
            .predict(Sample::Values(&inverted))
            .unwrap(),
    );
}

#[test]
fn values_are_given_on_the_scale_of_the_targets() {
    let mut file = classifier_file(ModelConfig::default(), InputShape::Vector { len: 4 });
    file.task = Task::regression(3);
    let sample = Sample::Values(&[0.1, 0.2, 0.3, 0.4]);
    let plain = Predictor::from_file(&file, &flex())
        .unwrap()
        .outputs(sample)
        .unwrap();
    file.task = Task::Regression {
        outputs: 3,
        mean: vec![5e6, 0.0, -1.0],
        std: vec![1e6, 1.0, 2.0],
        link: Link::Identity,
        auxiliary: 0,
    };
    let file = ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
    let scaled = Predictor::from_file(&file, &flex())
        .unwrap()
        .outputs(sample)
        .unwrap();
    assert_eq!(scaled[0], 5e6 + 1e6 * plain[0]);
    assert_eq!((scaled[1], scaled[2]), (plain[1], 2.0 * plain[2] - 1.0));
    // Counts: the output is the logarithm of the rate, in units of `std`.
    let mut counts = file.clone();
    counts.task = Task::Regression {
        outputs: 3,
        mean: Vec::new(),
        std: vec![0.5, 1.0, 2.0],
        link: Link::Log,
        auxiliary: 0,
    };
    let counts = ModelFile::from_bytes(&counts.to_bytes().unwrap()).unwrap();
    let rates = Predictor::from_file(&counts, &flex())
        .unwrap()
        .outputs(sample)
        .unwrap();
    for ((rate, plain), std) in rates.iter().zip(&plain).zip([0.5, 1.0, 2.0]) {
        assert!((rate - std * plain.exp()).abs() < 1e-6, "{rate} {plain}");
    }
    for (mean, std, link) in [
        (vec![0.0], Vec::new(), Link::Identity),
        (vec![0.0; 3], vec![1.0; 3], Link::Log),
        (Vec::new(), vec![1.0, 0.0, 1.0], Link::Log),
    ] {
        let mut bad = file.clone();
        bad.task = Task::Regression {
            outputs: 3,
            mean,
            std,
            link,
            auxiliary: 0,
        };
        assert!(bad.to_bytes().is_err());
    }
}

#[test]
fn a_pointer_of_git_lfs_is_no_model() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n";
    let error = ModelFile::from_bytes(pointer).unwrap_err().to_string();
    assert!(error.contains("git lfs pull"), "{error}");
}

#[test]
fn an_autodiff_device_is_accepted() {
    let classifier = Classifier::from_file(&lenet(), &flex().autodiff()).unwrap();
    let plain = Classifier::from_file(&lenet(), &flex()).unwrap();
    assert_eq!(
        classifier.predict_pixels(&pixels(784)).unwrap(),
        plain.predict_pixels(&pixels(784)).unwrap()
    );
}
