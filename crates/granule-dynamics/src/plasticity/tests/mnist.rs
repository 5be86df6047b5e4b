use std::path::PathBuf;

use granule_data::{DatasetSpec, LoadOptions, load};

use super::*;
use crate::testing::f64_place;

/// The training images of MNIST, `[60000, 784]`, or none where the files are not there.
fn images(place: &Place) -> Option<Tensor<2>> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let dir = std::env::var_os("GRANULE_DATA_DIR").map_or(beside, PathBuf::from);
    let options = LoadOptions {
        data_dir: Some(dir.clone()),
        offline: true,
        ..LoadOptions::default()
    };
    if !dir.join("mnist").is_dir() {
        eprintln!("skipped: no MNIST in {}", dir.display());
        return None;
    }
    let train = load(&DatasetSpec::Mnist, &options).unwrap().train;
    let granule_data::Features::Bytes(pixels) = train.features() else {
        panic!("MNIST has bytes")
    };
    let pixels: Vec<f32> = pixels.iter().map(|x| f32::from(*x) / 255.0).collect();
    let data = burn::tensor::TensorData::new(pixels, [train.len(), 784]);
    Some(Tensor::from_data(data, (&place.device, place.dtype)))
}

/// One pass over MNIST, row by row in batches, against the first principal component from power iteration.
#[test]
fn oja_finds_the_first_principal_component_of_mnist() {
    let place = Place::f32(&f64_place().device);
    let Some(images) = images(&place) else { return };
    let rows = images.dims()[0];
    let images = images.clone() - images.mean_dim(0);

    let mut component = place.full::<2>(1.0, [784, 1]);
    for _ in 0..60 {
        component = images
            .clone()
            .transpose()
            .matmul(images.clone().matmul(component));
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
