//! Burn's own learner trains a granule model on the embedded digits.
//!
//! `cargo run --release -p granule --features burn-train --example burn_learner`

use granule::burn::data::dataloader::{DataLoaderBuilder, batcher::Batcher};
use granule::burn::data::dataset::InMemDataset;
use granule::burn::optim::AdamConfig;
use granule::burn::tensor::{Device, Tensor, TensorData};
use granule::burn_train::metric::{AccuracyMetric, LossMetric};
use granule::burn_train::{ExecutionStrategy, Learner, SupervisedTraining};
use granule::data::{Normalization, Split, synthetic};
use granule::device::DeviceSpec;
use granule::models::{ClassificationBatch, InputShape, ModelConfig};

const EPOCHS: usize = 5;
const BATCH_SIZE: usize = 64;
const SEED: u64 = 42;

/// One normalised image and its class.
type Sample = (Vec<f32>, u16);

struct Digits;

impl Batcher<Sample, ClassificationBatch> for Digits {
    fn batch(&self, items: Vec<Sample>, device: &Device) -> ClassificationBatch {
        let (images, classes): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let classes: Vec<i32> = classes.into_iter().map(i32::from).collect();
        let shape = [images.len(), images.first().map_or(0, Vec::len)];
        let inputs = TensorData::new(images.concat(), shape);
        let targets = TensorData::new(classes, [shape[0]]);
        ClassificationBatch::new(
            Tensor::from_data(inputs, device),
            Tensor::from_data(targets, device),
        )
    }
}

fn samples(
    split: &Split,
    normalization: &Normalization,
) -> Result<InMemDataset<Sample>, Box<dyn std::error::Error>> {
    let mut samples = Vec::with_capacity(split.len());
    for index in 0..split.len() {
        let mut image = Vec::new();
        split.gather(&[index], normalization, None, &mut image)?;
        let class = split.class(index).ok_or("the digits have classes")?;
        samples.push((image, class));
    }
    Ok(InMemDataset::new(samples))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = DeviceSpec::Cpu.open()?.burn().clone().autodiff();
    let digits = synthetic::digits(SEED)?;

    let train = DataLoaderBuilder::new(Digits)
        .batch_size(BATCH_SIZE)
        .shuffle(SEED)
        .set_device(device.clone())
        .build(samples(&digits.train, &digits.normalization)?);
    let valid = DataLoaderBuilder::new(Digits)
        .batch_size(BATCH_SIZE)
        .set_device(device.clone().without_autodiff())
        .build(samples(&digits.test, &digits.normalization)?);

    let input = InputShape::Image {
        channels: 1,
        height: synthetic::SIDE,
        width: synthetic::SIDE,
    };
    let model = ModelConfig::from_name("mlp")?.init(&input, digits.classes.len(), SEED, &device)?;
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
