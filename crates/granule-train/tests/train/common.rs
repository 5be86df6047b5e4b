use std::path::Path;

use granule_data::{Dataset, Features, Normalization, Shape, Split, Targets};
use granule_device::{DeviceSpec, OpenDevice};
use granule_models::{MlpConfig, ModelConfig, ModelFile};
use granule_train::{
    EpochEvent, Event, Keep, Observer, OptimizerConfig, Outcome, RunConfig, StepEvent, StopFlag,
    TrainConfig, TrainError, train_with,
};

pub const HOSTS: [&str; 2] = ["flex", "ndarray"];
pub const BACKENDS: [&str; 3] = ["flex", "ndarray", "wgpu:software"];

/// Runs a test body on every named backend that this machine has.
pub fn on_each(names: &[&str], mut body: impl FnMut(&DeviceSpec, &OpenDevice)) {
    for name in names {
        let spec: DeviceSpec = name.parse().unwrap();
        match spec.open() {
            Ok(device) => body(&spec, &device),
            Err(error) => {
                let required =
                    std::env::var_os("GRANULE_REQUIRE_WGPU").is_some_and(|value| value == "1");
                assert!(!required, "GRANULE_REQUIRE_WGPU=1, but {name}: {error}");
                println!("skipped: {name}: {error}");
            }
        }
    }
}

/// Numbers in [0, 1), the same ones every time.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Points around three corners of a square: separable, but not perfectly clean.
pub fn points(train: usize, test: usize) -> Dataset {
    let mut noise = Noise::new(3);
    let mut split = |count: usize| {
        let mut features = Vec::new();
        let mut classes = Vec::new();
        for i in 0..count {
            let class = i % 3;
            let corner = [[-1.0, -1.0], [1.0, -1.0], [0.0, 1.2]][class];
            features.extend(corner.map(|x: f32| x + (noise.next() - 0.5) * 1.2));
            classes.push(class as u16);
        }
        let shape = Shape::Vector { len: 2 };
        Split::new(shape, Features::Floats(features), Targets::Classes(classes)).unwrap()
    };
    let (train, test) = (split(train), split(test));
    let names = ["left", "right", "top"].map(String::from).to_vec();
    let normalization = Normalization::of(&train);
    Dataset::new("points", names, normalization, train, test).unwrap()
}

/// Small colour images: the class is the brightest channel.
pub fn images(size: usize, train: usize, test: usize) -> Dataset {
    let mut noise = Noise::new(4);
    let plane = size * size;
    let mut split = |count: usize| {
        let mut pixels = Vec::new();
        let mut classes = Vec::new();
        for i in 0..count {
            let class = i % 3;
            for channel in 0..3 {
                let base = if channel == class { 140.0 } else { 60.0 };
                pixels.extend((0..plane).map(|_| (base + noise.next() * 100.0) as u8));
            }
            classes.push(class as u16);
        }
        let shape = Shape::Image {
            channels: 3,
            height: size,
            width: size,
        };
        Split::new(shape, Features::Bytes(pixels), Targets::Classes(classes)).unwrap()
    };
    let (train, test) = (split(train), split(test));
    let names = ["red", "green", "blue"].map(String::from).to_vec();
    let normalization = Normalization::of(&train);
    Dataset::new("colours", names, normalization, train, test).unwrap()
}

/// Two targets that depend linearly on three features.
pub fn plane(train: usize, test: usize) -> Dataset {
    let mut noise = Noise::new(5);
    let mut split = |count: usize| {
        let mut features = Vec::new();
        let mut data = Vec::new();
        for _ in 0..count {
            let x: [f32; 3] = std::array::from_fn(|_| noise.next() - 0.5);
            features.extend(x);
            data.extend([x[0] - 2.0 * x[1], 0.5 * x[2] + 0.1]);
        }
        let targets = Targets::Values { data, width: 2 };
        Split::new(
            Shape::Vector { len: 3 },
            Features::Floats(features),
            targets,
        )
        .unwrap()
    };
    let (train, test) = (split(train), split(test));
    Dataset::new("plane", Vec::new(), Normalization::default(), train, test).unwrap()
}

/// Counts of four channels in windows of three bins, and of two others in the second bin of each; what is learnt beside them are
/// those of the four.
pub fn spikes(train: usize, test: usize) -> Dataset {
    let mut noise = Noise::new(6);
    let mut split = |count: usize| {
        let (mut series, mut data) = (Vec::new(), Vec::new());
        for bin in 0..count + 2 {
            let drive = 1.0 + (bin as f32 * 0.3).sin();
            let mut draw = |gain: f32| (gain * drive + 2.0 * noise.next()).floor();
            series.extend([1.0, 2.0, 0.5, 0.0].map(&mut draw));
            if (1..=count).contains(&bin) {
                data.extend([2.0, 1.0].map(draw));
            }
        }
        let shape = Shape::Sequence {
            steps: 3,
            channels: 4,
        };
        let targets = Targets::Values { data, width: 2 };
        Split::windows(shape, series, ((0..count).collect(), 1), targets).unwrap()
    };
    let (train, test) = (split(train), split(test));
    let normalization = Normalization::of(&train);
    let mut set = Dataset::new("spikes", Vec::new(), normalization, train, test).unwrap();
    (set.counts, set.learns_inputs) = (true, true);
    set
}

pub fn mlp(widths: &[usize], dropout: f64) -> ModelConfig {
    ModelConfig::new(MlpConfig {
        widths: widths.to_vec(),
        dropout,
        ..Default::default()
    })
}

pub fn config(device: &DeviceSpec, model: ModelConfig, epochs: usize, batch: usize) -> RunConfig {
    RunConfig {
        device: device.clone(),
        model,
        train: TrainConfig {
            epochs,
            batch_size: batch,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Adam with that rate.
pub fn adam(lr: f64) -> OptimizerConfig {
    OptimizerConfig::Adam(granule_train::config::AdamConfig {
        lr,
        ..Default::default()
    })
}

/// Remembers what it heard; may stop the run after a number of steps.
#[derive(Default)]
pub struct Witness {
    pub steps: Vec<StepEvent>,
    pub epochs: Vec<EpochEvent>,
    pub notes: Vec<String>,
    pub warnings: Vec<String>,
    pub early_stop: Option<(usize, usize)>,
    pub already_finished: bool,
    pub resumed_at: Option<u64>,
    pub keep: Option<Keep>,
    pub stop_after: Option<(u64, StopFlag)>,
}

impl Observer for Witness {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(start) => {
                self.resumed_at = start.resumed_from.map(|_| start.done_steps);
                self.keep = Some(start.keep);
            }
            Event::Step(step) => {
                self.steps.push(*step);
                if let Some((after, flag)) = &self.stop_after
                    && step.global_step >= *after
                {
                    flag.stop();
                }
            }
            Event::Epoch(epoch) => self.epochs.push(*epoch),
            Event::Note { text } => self.notes.push(text.to_string()),
            Event::Warning { text } => self.warnings.push(text.to_string()),
            Event::EarlyStop {
                epoch, improved, ..
            } => {
                self.early_stop = Some((*epoch, *improved));
            }
            Event::AlreadyFinished { .. } => self.already_finished = true,
            _ => {}
        }
    }
}

/// A run from beginning to end.
pub fn run(
    config: &RunConfig,
    data: &Dataset,
    dir: &Path,
) -> Result<(Outcome, Witness), TrainError> {
    let mut witness = Witness::default();
    let outcome = train_with(config, data, Some(dir), &mut witness, &StopFlag::new())?;
    Ok((outcome, witness))
}

pub fn model(outcome: &Outcome) -> ModelFile {
    ModelFile::load(outcome.model_path.as_ref().unwrap()).unwrap()
}
