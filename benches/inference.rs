//! Inference from a loaded model file: one image, 256 images, and how long the file takes to load.
//!
//! `cargo bench -p granule-cli -p granule-models --bench inference [-- ROUNDS [mlp|lenet|cnn]]`: for each model a line with the
//! microseconds of one image (the median, and what 99 of 100 stay below), of an image of 256 together, and of loading; ROUNDS
//! images one by one. `benches/inference.sh` compares with ONNX Runtime and PyTorch.

use std::time::Instant;

use granule_device::DeviceSpec;
use granule_models::{
    Classifier, CnnConfig, InputShape, InputSpec, LeNetConfig, MlpConfig, ModelConfig, ModelFile,
    Provenance, Sample, Task, state,
};

type Failure = Box<dyn std::error::Error>;

const TOGETHER: usize = 256;

fn model(name: &str) -> Result<(ModelConfig, InputShape), Failure> {
    let image = |channels, side| InputShape::Image {
        channels,
        height: side,
        width: side,
    };
    Ok(match name {
        "mlp" => (MlpConfig::default().into(), image(1, 28)),
        "lenet" => (LeNetConfig::default().into(), image(1, 32)),
        "cnn" => (CnnConfig::default().into(), image(3, 32)),
        _ => return Err("mlp, lenet or cnn".into()),
    })
}

/// Microseconds that `rounds` calls take, in rising order.
fn times(
    rounds: usize,
    mut call: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds + rounds / 10 + 2 {
        let start = Instant::now();
        call()?;
        if round >= rounds / 10 + 2 {
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn at(times: &[f64], share: f64) -> f64 {
    let last = times.len().saturating_sub(1) as f64;
    times[(last * share).round() as usize]
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let rounds = arguments
        .first()
        .and_then(|a| a.parse().ok())
        .unwrap_or(2000);
    let one = arguments.get(1).map(String::as_str);
    let device = "flex".parse::<DeviceSpec>()?.open()?.burn().clone();
    let folder = std::env::temp_dir().join(format!("granule-inference-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for name in ["mlp", "lenet", "cnn"] {
        if one.is_some_and(|one| one != name) {
            continue;
        }
        let (model, shape) = model(name)?;
        let network = model.init(&shape, 10, 1, &device)?;
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
        let path = folder.join(format!("{name}.granule"));
        file.save(&path)?;
        let images: Vec<Vec<u8>> = (0..TOGETHER)
            .map(|image| {
                (0..shape.len())
                    .map(|i| (i * 31 + image * 17 + i * i / 7) as u8)
                    .collect()
            })
            .collect();
        let samples: Vec<Sample<'_>> = images.iter().map(|image| Sample::Pixels(image)).collect();
        let few = (rounds / 50).max(5);
        let load = times(few, || {
            Classifier::from_path(&path, &device)?;
            Ok(())
        })?;
        let classifier = Classifier::from_path(&path, &device)?;
        let mut next = images.iter().cycle();
        let single = times(rounds, || {
            if let Some(image) = next.next() {
                classifier.predict_pixels(image)?;
            }
            Ok(())
        })?;
        let batch = times(few, || {
            classifier.predict_batch(&samples)?;
            Ok(())
        })?;
        println!(
            "{name} one {:.2} p99 {:.2} together {:.3} load {:.1}",
            at(&single, 0.5),
            at(&single, 0.99),
            at(&batch, 0.5) / TOGETHER as f64,
            at(&load, 0.5),
        );
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
