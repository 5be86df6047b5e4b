//! Burn's own learner trains a granule model on the embedded digits.
//!
//! `cargo run --release -p granule --features burn-train --example burn_learner`

use granule::burn::data::dataloader::{DataLoaderBuilder, batcher::Batcher};
use granule::burn::optim::AdamConfig;
use granule::burn::tensor::{Device, Tensor, TensorData};
use granule::burn_train::metric::{AccuracyMetric, LossMetric};
use granule::burn_train::{ExecutionStrategy, Learner, SupervisedTraining};
use granule::data::burn_dataset::{Sample, Target};
use granule::data::{Features, Normalization, synthetic};
use granule::device::DeviceSpec;
use granule::models::{ClassificationBatch, InputShape, ModelConfig};

const EPOCHS: usize = 5;
const BATCH_SIZE: usize = 64;
const SEED: u64 = 42;

/// Turns grey images into normalised rows of a batch.
#[derive(Clone)]
struct Normalize(Normalization);

impl Batcher<Sample, ClassificationBatch> for Normalize {
    fn batch(&self, items: Vec<Sample>, device: &Device) -> ClassificationBatch {
        let (mean, std) = (self.0.mean[0] as f32, self.0.std[0]);
        let mut pixels = Vec::new();
        let mut classes = Vec::new();
        for item in items {
            if let (Features::Bytes(image), Target::Class(class)) = (item.features, item.target) {
                pixels.extend(image.iter().map(|p| (f32::from(*p) / 255.0 - mean) / std));
                classes.push(i32::from(class));
            }
        }
        let rows = classes.len();
        let inputs = TensorData::new(pixels, [rows, synthetic::SIDE * synthetic::SIDE]);
        let targets = TensorData::new(classes, [rows]);
        ClassificationBatch::new(
            Tensor::from_data(inputs, device),
            Tensor::from_data(targets, device),
        )
    }
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let device = DeviceSpec::Cpu.open()?.burn().clone().autodiff();
    let digits = synthetic::digits(SEED)?;
    let outputs = digits.classes.len();
    let normalize = Normalize(digits.normalization);

    let train = DataLoaderBuilder::new(normalize.clone())
        .batch_size(BATCH_SIZE)
        .shuffle(SEED)
        .set_device(device.clone())
        .build(digits.train);
    let valid = DataLoaderBuilder::new(normalize)
        .batch_size(BATCH_SIZE)
        .set_device(device.clone().without_autodiff())
        .build(digits.test);

    let input = InputShape::Image {
        channels: 1,
        height: synthetic::SIDE,
        width: synthetic::SIDE,
    };
    let model = ModelConfig::from_name("mlp")?.init(&input, outputs, SEED, &device)?;
    let learner = Learner::new(model, AdamConfig::new().init(), 1e-3);

    let result = SupervisedTraining::new("runs/burn_learner", train, valid)
        .metric_train_numeric(LossMetric::new())
        .metric_train_numeric(AccuracyMetric::new())
        .metric_valid_numeric(LossMetric::new())
        .metric_valid_numeric(AccuracyMetric::new())
        .with_training_strategy(ExecutionStrategy::SingleDevice(device).into())
        .num_epochs(EPOCHS)
        .summary()
        .launch(learner);
    match result.error {
        Some(error) => Err(error.to_string().into()),
        None => Ok(()),
    }
}
