//! Steps of training, the optimiser's included, on random samples.

use std::time::Instant;

use anyhow::Context;
use granule::burn::optim::{AdamConfig, GradientsParams};
use granule::burn::tensor::{Distribution, Tensor};
use granule::data::{Dataset, DatasetSpec, Features, Normalization, Shape, Split, Targets};
use granule::dynamics::population::{
    GatedCell, GatedNetworkConfig, RateNetworkConfig, SequenceModel,
};
use granule::dynamics::{Place, host};
use granule::prelude::{ModelConfig, RunConfig};
use granule::train::{Compute, Quiet, StopFlag, train_with};

use super::{Bench, Prepared, Row};

const BATCH: usize = 64;
/// Trials and time steps of the recurrent networks.
const TRIALS: [usize; 2] = [BATCH, 100];

const MNIST: [usize; 3] = [1, 28, 28];
const CIFAR: [usize; 3] = [3, 32, 32];

/// Multiplications of an image forward through a convolution.
const fn convolution(kernel: usize, from: usize, to: usize, side: usize) -> usize {
    kernel * kernel * from * to * side * side
}

pub(super) const ROWS: &[Row] = &[
    row!(
        "train-mlp",
        |bench| mlp(bench, BATCH, 32_000, Compute::F32),
        Images,
        "MLP 784-128-10, images of 28×28, batches of 64, Adam"
    ),
    row!(
        "train-lenet",
        |bench| lenet(bench, BATCH, 9_600, Compute::F32),
        Images,
        "LeNet-5, images of 28×28, batches of 64, Adam"
    ),
    row!(
        "train-cnn",
        |bench| cnn(bench, BATCH, 640, Compute::F32),
        Images,
        "CNN of 64 and 128 filters and 1,024 units, images of 3×32×32, batches of 64, SGD with momentum"
    ),
    row!(
        host,
        "train-mlp-bf16",
        |bench| mlp(bench, BATCH, 32_000, Compute::Bf16),
        Images,
        "train-mlp with products in bfloat16"
    ),
    row!(
        host,
        "train-lenet-bf16",
        |bench| lenet(bench, BATCH, 9_600, Compute::Bf16),
        Images,
        "train-lenet with products in bfloat16"
    ),
    row!(
        host,
        "train-cnn-bf16",
        |bench| cnn(bench, BATCH, 640, Compute::Bf16),
        Images,
        "train-cnn with products in bfloat16, its convolutions by columns"
    ),
    row!(
        "train-rate",
        |bench| rate(bench, 256, TRIALS),
        Milliseconds,
        "a step of a rate network of 256 units, 100 time steps, 64 trials, Adam"
    ),
    row!(
        "train-gru",
        |bench| gated(bench, GatedCell::Gru),
        Milliseconds,
        "a step of a GRU of 128 units with 71 inputs, 100 time steps, 64 trials, Adam"
    ),
    row!(
        "train-lstm",
        |bench| gated(bench, GatedCell::Lstm),
        Milliseconds,
        "a step of an LSTM of 128 units with 71 inputs, 100 time steps, 64 trials, Adam"
    ),
];

/// An epoch of `count` images in batches.
pub(super) fn mlp<'a>(
    bench: &'a Bench<'a>,
    batch: usize,
    count: usize,
    compute: Compute,
) -> anyhow::Result<Prepared<'a>> {
    let layers = [784 * 128, 128 * 10];
    classifier(bench, "mlp", MNIST, [batch, count], &layers, compute)
}

/// The same of LeNet.
pub(super) fn lenet<'a>(
    bench: &'a Bench<'a>,
    batch: usize,
    count: usize,
    compute: Compute,
) -> anyhow::Result<Prepared<'a>> {
    let convolutions = [convolution(5, 1, 6, 28), convolution(5, 6, 16, 10)];
    let dense = [400 * 120, 120 * 84, 84 * 10];
    let layers = [&convolutions[..], &dense].concat();
    classifier(bench, "lenet", MNIST, [batch, count], &layers, compute)
}

/// The same of the CNN.
pub(super) fn cnn<'a>(
    bench: &'a Bench<'a>,
    batch: usize,
    count: usize,
    compute: Compute,
) -> anyhow::Result<Prepared<'a>> {
    let convolutions = [convolution(3, 3, 64, 32), convolution(3, 64, 128, 16)];
    let dense = [8192 * 1024, 1024 * 10];
    let layers = [&convolutions[..], &dense].concat();
    classifier(bench, "cnn", CIFAR, [batch, count], &layers, compute)
}

/// A step of a rate network on so many trials and time steps.
pub(super) fn rate<'a>(
    bench: &'a Bench<'a>,
    units: usize,
    trials: [usize; 2],
) -> anyhow::Result<Prepared<'a>> {
    sequence(bench, [3, 3], trials, |[channels, outputs], place| {
        let config = RateNetworkConfig {
            units,
            ..Default::default()
        };
        Ok(config.init(channels, outputs, 1, place)?)
    })
}

fn gated<'a>(bench: &'a Bench<'a>, cell: GatedCell) -> anyhow::Result<Prepared<'a>> {
    sequence(bench, [71, 2], TRIALS, |[channels, outputs], place| {
        let config = GatedNetworkConfig { cell, units: 128 };
        Ok(config.init(channels, outputs, 1, place)?)
    })
}

/// Numbers that follow no pattern that a network could learn.
fn noise(count: usize) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 24
    })
}

fn images([channels, height, width]: [usize; 3], count: usize) -> anyhow::Result<Split> {
    let shape = Shape::Image {
        channels,
        height,
        width,
    };
    let pixels = noise(count * channels * height * width).map(|x| x as u8);
    let labels = noise(count).map(|x| (x % 10) as u16);
    Ok(Split::new(
        shape,
        Features::Bytes(pixels.collect()),
        Targets::Classes(labels.collect()),
    )?)
}

/// An epoch of training by the recipe of a model whose layers have so many multiplications for an image. Winograd's convolutions
/// count as direct ones, which have more.
fn classifier<'a>(
    bench: &'a Bench<'a>,
    model: &str,
    shape: [usize; 3],
    [batch, count]: [usize; 2],
    layers: &[usize],
    compute: Compute,
) -> anyhow::Result<Prepared<'a>> {
    let (learnt, tested) = (images(shape, count)?, images(shape, BATCH)?);
    let normalization = Normalization::of(&learnt);
    let classes = (0..10).map(|class| class.to_string()).collect();
    let dataset = Dataset::new("random", classes, normalization, learnt, tested)?;
    let of = if shape == MNIST {
        DatasetSpec::Mnist
    } else {
        DatasetSpec::Cifar10
    };
    let mut config = RunConfig::recipe(ModelConfig::from_name(model)?, of);
    config.train.epochs = 1;
    config.train.compute = compute;
    config.train.batch_size = batch;
    config.device = bench.device.spec().clone();
    let stop = StopFlag::new();
    // Forward, by the weights, and by the input, which the first layer is not asked for.
    let multiplications = 3 * layers.iter().sum::<usize>() - layers.first().unwrap_or(&0);
    let operations = 2.0 * multiplications as f64;
    Ok(Prepared {
        count: count as f64,
        operations: Some(operations * count as f64),
        round: Box::new(move || {
            let outcome = train_with(&config, &dataset, None, &mut Quiet, &stop)?;
            Ok((count as f64 / outcome.images_per_second).into())
        }),
    })
}

/// A step of a network that sees sequences of so many channels and has so many outputs, with a mean squared error at every time.
fn sequence<'a, M: SequenceModel + 'a>(
    bench: &'a Bench<'a>,
    [channels, outputs]: [usize; 2],
    [batch, steps]: [usize; 2],
    init: impl FnOnce([usize; 2], &Place) -> anyhow::Result<M>,
) -> anyhow::Result<Prepared<'a>> {
    let device = bench.device.burn().clone();
    let mut network = Some(init(
        [channels, outputs],
        &Place::f32(&device.clone().autodiff()),
    )?);
    let mut optimizer = AdamConfig::new().init();
    let normal = Distribution::Normal(0.0, 1.0);
    let input = Tensor::<3>::random([batch, steps, channels], normal, &device);
    let target = Tensor::<3>::random([batch, steps, outputs], normal, &device);
    let (input, target) = (Tensor::from_inner(input), Tensor::from_inner(target));
    Ok(Prepared {
        count: 1.0,
        operations: None,
        round: Box::new(move || {
            let began = Instant::now();
            let own = network.take().context("the last round has failed")?;
            let found = own.forward(input.clone(), None)?.outputs;
            let loss = (found - target.clone()).square().mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &own);
            network = Some(optimizer.step(1e-3, own, gradients));
            host(loss)?;
            Ok(began.elapsed().as_secs_f64().into())
        }),
    })
}
