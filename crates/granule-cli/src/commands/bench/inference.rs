//! A model file that is loaded, and asked for one image or for many together.

use std::time::Instant;

use granule::models::{Provenance, Task, state};
use granule::prelude::{Classifier, InputShape, InputSpec, ModelConfig, ModelFile, Sample};

use super::{Bench, Prepared, Row};

const TOGETHER: usize = 256;

pub(super) const ROWS: &[Row] = &[
    row!(
        "predict-mlp",
        |bench| one(bench, "mlp"),
        Microseconds,
        "an image of 28×28 by the MLP"
    ),
    row!(
        "predict-lenet",
        |bench| one(bench, "lenet"),
        Microseconds,
        "an image of 32×32 by LeNet"
    ),
    row!(
        "predict-cnn",
        |bench| one(bench, "cnn"),
        Microseconds,
        "an image of 3×32×32 by the CNN"
    ),
    row!(
        "predict-mlp-256",
        |bench| many(bench, "mlp"),
        Microseconds,
        "an image, of 256 together"
    ),
    row!(
        "predict-lenet-256",
        |bench| many(bench, "lenet"),
        Microseconds,
        "an image, of 256 together"
    ),
    row!(
        "predict-cnn-256",
        |bench| many(bench, "cnn"),
        Microseconds,
        "an image, of 256 together"
    ),
    row!(
        "load-lenet",
        |bench| load(bench, "lenet"),
        Microseconds,
        "the model file of LeNet, from memory"
    ),
];

/// The bytes of a model file, and the number of pixels that it takes.
fn file(bench: &Bench<'_>, name: &str) -> anyhow::Result<(Vec<u8>, usize)> {
    let (channels, side) = match name {
        "mlp" => (1, 28),
        "lenet" => (1, 32),
        _ => (3, 32),
    };
    let shape = InputShape::Image {
        channels,
        height: side,
        width: side,
    };
    let model = ModelConfig::from_name(name)?;
    let network = model.init(&shape, 10, 1, bench.device.burn())?;
    let file = ModelFile {
        state: state::state_dict(&network)?,
        model,
        input: InputSpec {
            mean: vec![0.3; shape.step_len()],
            std: vec![0.2; shape.step_len()],
            ..InputSpec::new(shape)
        },
        task: Task::Classification {
            classes: (0..10).map(|class| class.to_string()).collect(),
        },
        provenance: Provenance::now(),
    };
    Ok((file.to_bytes()?, shape.len()))
}

fn pixels(len: usize, image: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i * 31 + image * 17 + i * i / 7) as u8)
        .collect()
}

fn one<'a>(bench: &'a Bench<'a>, name: &str) -> anyhow::Result<Prepared<'a>> {
    let (bytes, len) = file(bench, name)?;
    let classifier = Classifier::from_bytes(&bytes, bench.device.burn())?;
    let images: Vec<Vec<u8>> = (0..16).map(|image| pixels(len, image)).collect();
    let mut next = 0;
    Ok(Prepared {
        count: 1.0,
        operations: None,
        round: Box::new(move || {
            next = (next + 1) % images.len();
            let began = Instant::now();
            classifier.predict_pixels(&images[next])?;
            Ok(began.elapsed().as_secs_f64().into())
        }),
    })
}

fn many<'a>(bench: &'a Bench<'a>, name: &str) -> anyhow::Result<Prepared<'a>> {
    let (bytes, len) = file(bench, name)?;
    let classifier = Classifier::from_bytes(&bytes, bench.device.burn())?;
    let images: Vec<Vec<u8>> = (0..TOGETHER).map(|image| pixels(len, image)).collect();
    Ok(Prepared {
        count: TOGETHER as f64,
        operations: None,
        round: Box::new(move || {
            let samples: Vec<Sample<'_>> = images.iter().map(|x| Sample::Pixels(x)).collect();
            let began = Instant::now();
            classifier.predict_batch(&samples)?;
            Ok(began.elapsed().as_secs_f64().into())
        }),
    })
}

fn load<'a>(bench: &'a Bench<'a>, name: &str) -> anyhow::Result<Prepared<'a>> {
    let (bytes, _) = file(bench, name)?;
    Ok(Prepared {
        count: 1.0,
        operations: None,
        round: Box::new(move || {
            let began = Instant::now();
            Classifier::from_bytes(&bytes, bench.device.burn())?;
            Ok(began.elapsed().as_secs_f64().into())
        }),
    })
}
