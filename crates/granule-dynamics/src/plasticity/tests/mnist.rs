use std::path::PathBuf;

use burn::tensor::{TensorData, activation};
use granule_data::{DatasetSpec, Features, LoadOptions, Split, Targets, load};

use super::*;
use crate::testing::f64_place;

/// Images, `[count, 784]` with pixels from 0 to 1, and their classes.
struct Images {
    rows: Tensor<2>,
    classes: Vec<u16>,
}

impl Images {
    fn of(split: &Split, place: &Place) -> Self {
        let (Features::Bytes(pixels), Targets::Classes(classes)) =
            (split.features(), split.targets())
        else {
            panic!("MNIST has bytes and classes")
        };
        let pixels: Vec<f32> = pixels.iter().map(|x| f32::from(*x) / 255.0).collect();
        let data = TensorData::new(pixels, [split.len(), 784]);
        Self {
            rows: Tensor::from_data(data, (&place.device, place.dtype)),
            classes: classes.clone(),
        }
    }
}

/// MNIST, to learn from and to test on, or none where the files are not there.
fn mnist(place: &Place) -> Option<[Images; 2]> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let dir = std::env::var_os("GRANULE_DATA_DIR").map_or(beside, PathBuf::from);
    if !dir.join("mnist").is_dir() {
        eprintln!("skipped: no MNIST in {}", dir.display());
        return None;
    }
    let options = LoadOptions {
        data_dir: Some(dir),
        offline: true,
        ..LoadOptions::default()
    };
    let data = load(&DatasetSpec::Mnist, &options).unwrap();
    Some([&data.train, &data.test].map(|split| Images::of(split, place)))
}

/// One pass over MNIST, row by row in batches, against the first principal component from power iteration.
#[test]
fn oja_finds_the_first_principal_component_of_mnist() {
    let place = Place::f32(&f64_place().device);
    let Some([Images { rows: images, .. }, _]) = mnist(&place) else {
        return;
    };
    let rows = images.dims()[0];
    let images = images.clone() - images.mean_dim(0);

    let covariance = images.clone().transpose().matmul(images.clone());
    let mut component = place.full::<2>(1.0, [784, 1]);
    for _ in 0..200 {
        component = covariance.clone().matmul(component);
        let norm = component.clone().powi_scalar(2).sum().sqrt();
        component = component / norm.reshape([1, 1]);
    }

    let config = PlasticLayerConfig {
        inputs: 784,
        seed: 1,
        ..PlasticLayerConfig::default()
    };
    let mut layer = config.init(&place).unwrap();
    let batch = 100;
    let mut progress = None;
    for first in (0..rows).step_by(batch) {
        let rate = 0.05 / (1.0 + first as f64 / 5000.0);
        let oja = OjaConfig {
            rate,
            ..OjaConfig::default()
        };
        let oja = oja.init(&place).unwrap();
        let begun = progress.unwrap_or_else(|| layer.begin(&oja));
        let batch = images.clone().narrow(0, first, batch);
        let (next, after) = layer.learn(&oja, batch, begun).unwrap();
        layer = next;
        progress = Some(after);
    }
    let weights = layer.weights.val();
    let norm = values(&weights.clone().powi_scalar(2).sum())[0].sqrt();
    let cosine = values(&(weights * component).sum())[0].abs() / norm;
    eprintln!("Oja on MNIST: cosine {cosine:.5}, norm {norm:.5}");
    assert!(cosine >= 0.99, "{cosine}");
    assert!((norm - 1.0).abs() < 0.02, "{norm}");
}

/// The share of test rows that a softmax regression gets right, trained with Nesterov's momentum.
fn read_out(train: (Tensor<2>, &[u16]), test: (Tensor<2>, &[u16])) -> f64 {
    let place = Place::of(&train.0);
    let scale = train.0.clone().powi_scalar(2).mean().sqrt().reshape([1, 1]);
    let [count, width] = train.0.dims();
    let hot = |class: &u16| (0..10).map(|c| f64::from(u16::from(c == *class))).collect();
    let targets: Vec<f64> = train
        .1
        .iter()
        .flat_map(|class| -> Vec<f64> { hot(class) })
        .collect();
    let targets = place.tensor::<2>(targets, [count, 10]);
    let rows = train.0 / scale.clone();
    let mut weights = place.full::<2>(0.0, [width, 10]);
    let mut moving = weights.clone();
    let batch = 500;
    let steps = 20 * count / batch;
    for step in 0..steps {
        let first = step * batch % count;
        let part = rows.clone().narrow(0, first, batch);
        let ahead = weights.clone() + moving.clone() * 0.9;
        let found = activation::softmax(part.clone().matmul(ahead), 1);
        let error = found - targets.clone().narrow(0, first, batch);
        let rate = 0.05 * (1.0 - step as f64 / steps as f64) / batch as f64;
        moving = moving * 0.9 - part.transpose().matmul(error) * rate;
        weights = weights + moving.clone();
    }
    let found = (test.0 / scale).matmul(weights).argmax(1).float();
    let pairs = values(&found).into_iter().zip(test.1);
    let right = pairs.filter(|(found, class)| *found == f64::from(**class));
    right.count() as f64 / test.1.len() as f64
}

/// Features that 300 units learn from 20 000 images by competition, without labels, serve a linear classifier better than
/// the pixels do, and better than before learning.
#[test]
fn competitive_features_of_mnist_beat_its_pixels() {
    let place = Place::f32(&f64_place().device);
    let Some([train, test]) = mnist(&place) else {
        return;
    };
    let count = 20_000;
    let rows = train.rows.narrow(0, 0, count);
    let classes = &train.classes[..count];
    let norm = |rows: &Tensor<2>| {
        let norm = rows.clone().powi_scalar(2).sum_dim(1).sqrt();
        rows.clone() / norm
    };
    let features = |layer: &PlasticLayer, rows: &Tensor<2>| {
        let response = layer.forward(norm(rows));
        let above = response.clone() - response.mean_dim(1);
        let deviation = above.clone().powi_scalar(2).mean_dim(1).sqrt();
        activation::relu(above - deviation)
    };
    let score = |layer: Option<&PlasticLayer>| {
        let of = |rows: &Tensor<2>| layer.map_or(rows.clone(), |layer| features(layer, rows));
        read_out((of(&rows), classes), (of(&test.rows), &test.classes))
    };

    let config = PlasticLayerConfig {
        inputs: 784,
        units: 300,
        weight_mean: 0.1,
        weight_deviation: Some(0.05),
        ..PlasticLayerConfig::default()
    };
    let mut layer = config.init(&place).unwrap();
    let pixels = score(None);
    let before = score(Some(&layer));
    let batch = 250;
    for first in (0..count).step_by(batch) {
        let rule = CompetitiveConfig {
            rate: 12.5 * (1.0 - first as f64 / count as f64),
            inhibition: 0.0,
            ..CompetitiveConfig::default()
        };
        let rule = rule.init(&place).unwrap();
        let begun = layer.begin(&rule);
        let rows = norm(&rows.clone().narrow(0, first, batch));
        layer = layer.learn(&rule, rows, begun).unwrap().0;
    }
    let after = score(Some(&layer));
    eprintln!("pixels {pixels:.4}, features before {before:.4} and after {after:.4}");
    assert!(after > pixels + 0.01 && after > before + 0.01);
}
