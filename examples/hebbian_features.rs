//! Features of MNIST learned by competitive Hebbian plasticity, without labels and without backpropagation. One linear
//! read-out, trained in one way, scores raw pixels, the features before learning and the features after it. How fast the
//! features are learnt is chosen on the last 10 000 training images; the test images are only scored.
//!
//! `cargo run --release -p granule-dynamics --example hebbian_features -- [DATA_DIR]`
//!
//! After Krotov and Hopfield, "Unsupervised learning by competing hidden units" (PNAS 2019).

use std::path::PathBuf;
use std::time::Instant;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use granule_data::{DatasetSpec, Features, LoadOptions, Split, Targets, load};
use granule_device::DeviceSpec;
use granule_dynamics::plasticity::{CompetitiveConfig, PlasticLayer, PlasticLayerConfig};
use granule_dynamics::{Place, host};

const UNITS: usize = 1000;
/// Passes over the images, and images a step, in which plasticity learns.
const PASSES: usize = 3;
const BATCH: usize = 250;
/// How far the winner of a row moves towards it at the beginning: one of these.
const STEPS: [f64; 3] = [0.02, 0.05, 0.1];
/// Training images that choose among them.
const HELD_OUT: usize = 10_000;

const READ_OUT_EPOCHS: usize = 20;
const READ_OUT_BATCH: usize = 500;
const READ_OUT_RATE: f64 = 0.01;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Rows with their classes.
struct Labelled {
    rows: Tensor<2>,
    classes: Vec<i32>,
}

impl Labelled {
    /// Pixels from 0 to 1, `[images, pixels]`.
    fn pixels(split: &Split, device: &Device) -> Result<Self> {
        let (Features::Bytes(pixels), Targets::Classes(classes)) =
            (split.features(), split.targets())
        else {
            return Err("images with classes are expected".into());
        };
        let pixels: Vec<f32> = pixels.iter().map(|x| f32::from(*x) / 255.0).collect();
        let data = TensorData::new(pixels, [split.len(), split.shape().len()]);
        Ok(Self {
            rows: Tensor::from_data(data, device),
            classes: classes.iter().map(|class| i32::from(*class)).collect(),
        })
    }

    /// Some of the rows.
    fn part(&self, first: usize, count: usize) -> Self {
        Self {
            rows: self.rows.clone().narrow(0, first, count),
            classes: self.classes[first..first + count].to_vec(),
        }
    }

    /// What a layer makes of the rows: a unit answers by how much its response exceeds one standard deviation above the
    /// mean response to the row, as under inhibition that all units share.
    fn features(&self, layer: &PlasticLayer) -> Self {
        let rows = self.rows.dims()[0];
        let parts = (0..rows).step_by(1000).map(|first| {
            let part = self.rows.clone().narrow(0, first, 1000.min(rows - first));
            let response = layer.forward(unit_norm(part));
            let above = response.clone() - response.mean_dim(1);
            let deviation = above.clone().powi_scalar(2).mean_dim(1).sqrt();
            relu(above - deviation)
        });
        Self {
            rows: Tensor::cat(parts.collect(), 0),
            classes: self.classes.clone(),
        }
    }
}

fn unit_norm(rows: Tensor<2>) -> Tensor<2> {
    let norm = rows.clone().powi_scalar(2).sum_dim(1).sqrt();
    rows / norm.clamp_min(1e-6)
}

fn learn(
    mut layer: PlasticLayer,
    begin: f64,
    images: &Tensor<2>,
    place: &Place,
) -> Result<PlasticLayer> {
    let count = images.dims()[0];
    let steps = PASSES * count / BATCH;
    let mut progress = None;
    for step in 0..steps {
        let left = 1.0 - step as f64 / steps as f64;
        let rule = CompetitiveConfig {
            rate: begin * BATCH as f64 * left,
            inhibition: 0.0,
            ..CompetitiveConfig::default()
        }
        .init(place)?;
        let rows = unit_norm(images.clone().narrow(0, step * BATCH % count, BATCH));
        let begun = progress.unwrap_or_else(|| layer.begin(&rule));
        let (learned, after) = layer.learn(&rule, rows, begun)?;
        layer = learned;
        progress = Some(after);
    }
    Ok(layer)
}

/// The test accuracy, in percent, of a softmax regression on rows that are standardised as a whole.
fn read_out(train: &Labelled, test: &Labelled) -> Result<f64> {
    let device = train.rows.device();
    let mean = train.rows.clone().mean();
    let deviation = (train.rows.clone() - mean.clone().unsqueeze())
        .powi_scalar(2)
        .mean()
        .sqrt();
    let standard =
        |rows: Tensor<2>| (rows - mean.clone().unsqueeze()) / deviation.clone().unsqueeze();

    let autodiff = device.autodiff();
    let [count, width] = train.rows.dims();
    let mut linear: Linear = LinearConfig::new(width, 10).init(&autodiff);
    linear.weight = linear.weight.map(|w| w.zeros_like().require_grad());
    linear.bias = linear
        .bias
        .map(|bias| bias.map(|b| b.zeros_like().require_grad()));
    let loss = CrossEntropyLossConfig::new().init(&autodiff);
    let mut adam = AdamConfig::new().init();
    let steps = READ_OUT_EPOCHS * count / READ_OUT_BATCH;
    for step in 0..steps {
        let first = step * READ_OUT_BATCH % count;
        let rows = standard(train.rows.clone().narrow(0, first, READ_OUT_BATCH)).autodiff();
        let classes = &train.classes[first..first + READ_OUT_BATCH];
        let classes = Tensor::<1, Int>::from_data(classes, &autodiff);
        let gradients = loss.forward(linear.forward(rows), classes).backward();
        let gradients = GradientsParams::from_grads(gradients, &linear);
        let left = 1.0 - step as f64 / steps as f64;
        linear = adam.step(READ_OUT_RATE * left, linear, gradients);
    }

    let logits = linear.forward(standard(test.rows.clone()).autodiff());
    let found = host(logits.argmax(1).float())?;
    let pairs = found.iter().zip(&test.classes);
    let right = pairs.filter(|(found, class)| **found == f64::from(**class));
    Ok(100.0 * right.count() as f64 / test.classes.len() as f64)
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

fn run() -> Result<()> {
    let place = Place::f32(DeviceSpec::Cpu.open()?.burn());
    let options = LoadOptions {
        data_dir: std::env::args().nth(1).map(PathBuf::from),
        ..LoadOptions::default()
    };
    let mnist = load(&DatasetSpec::Mnist, &options)?;
    let train = Labelled::pixels(&mnist.train, &place.device)?;
    let test = Labelled::pixels(&mnist.test, &place.device)?;
    let score = |name: &str, train: &Labelled, test: &Labelled| -> Result<()> {
        println!("{name:<34} {:.2} %", read_out(train, test)?);
        Ok(())
    };
    score("raw pixels", &train, &test)?;

    // Every unit begins with a response to every image, so that none is left out of the competition.
    let random = PlasticLayerConfig {
        inputs: 784,
        units: UNITS,
        weight_mean: 0.1,
        weight_deviation: Some(0.05),
        seed: 1,
        ..PlasticLayerConfig::default()
    }
    .init(&place)?;
    let both = |layer: &PlasticLayer| (train.features(layer), test.features(layer));
    let (seen, unseen) = both(&random);
    score("features before learning", &seen, &unseen)?;

    let kept = train.rows.dims()[0] - HELD_OUT;
    let (own, held_out) = (train.part(0, kept), train.part(kept, HELD_OUT));
    let mut best = (0.0, STEPS[0]);
    for begin in STEPS {
        let learned = learn(random.clone(), begin, &own.rows, &place)?;
        let found = read_out(&own.features(&learned), &held_out.features(&learned))?;
        println!(
            "{:<34} {found:.2} %",
            format!("  held-out images, step {begin}")
        );
        if found > best.0 {
            best = (found, begin);
        }
    }

    let start = Instant::now();
    let learned = learn(random, best.1, &train.rows, &place)?;
    let seconds = start.elapsed().as_secs_f64();
    let (seen, unseen) = both(&learned);
    let name = format!("features after {seconds:.0} s of learning");
    score(&name, &seen, &unseen)
}
