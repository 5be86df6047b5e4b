//! Numbers that no configuration should hold: every one is refused or built, without a panic, an abort or a long wait.
//!
//! `GRANULE_MUTATIONS=20000 cargo test --release -p granule-train --test mutations` tries more of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../src/schema/tests/small.rs"]
mod small;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use granule_data::task::TaskKind;
use granule_device::DeviceSpec;
use granule_dynamics::Place;
use granule_dynamics::composite::MultiGranularityConfig;
use granule_io::{ByteSize, budget};
use granule_models::{InputShape, ModelConfig};
use granule_simulate::ExperimentConfig;
use granule_simulate::presets::PRESETS;
use granule_train::{Loss, OptimizerConfig, RecordingConfig, RunConfig, ScheduleConfig};
use small::small;
use toml::{Table, Value};

const CASES: usize = 500;

/// Far more than a build may take, even where many tests share a processor.
const LONGEST: Duration = Duration::from_secs(60);

/// What one number is replaced by.
fn replacements() -> Vec<Value> {
    let whole = [
        0,
        -1,
        1,
        3,
        65_537,
        100_000_000,
        1 << 32,
        4_611_686_018_427_387_904,
        i64::MAX,
        i64::MIN,
    ];
    let real = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e308,
        -1e308,
        1e15,
        5e-324,
        -0.5,
        0.5,
        1.5,
    ];
    let whole = whole.into_iter().map(Value::Integer);
    whole.chain(real.into_iter().map(Value::Float)).collect()
}

/// The places of all numbers below `value`.
fn numbers(value: &Value, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    let mut inside = |key: String, value: &Value| {
        path.push(key);
        numbers(value, path, out);
        path.pop();
    };
    match value {
        Value::Integer(_) | Value::Float(_) => out.push(path.clone()),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                inside(i.to_string(), item);
            }
        }
        Value::Table(table) => {
            for (key, item) in table {
                inside(key.clone(), item);
            }
        }
        _ => {}
    }
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, key| match value {
        Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
        Value::Table(table) => table.get_mut(key).unwrap(),
        _ => unreachable!("a number holds nothing"),
    })
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

type Build = fn(&str, &Device) -> Result<(), String>;

fn built_run(text: &str, device: &Device) -> Result<(), String> {
    let config = RunConfig::from_toml_str(text).map_err(|e| e.to_string())?;
    config.validate().map_err(|e| e.to_string())?;
    if let Some(model) = config.model.get::<MultiGranularityConfig>() {
        // Its inputs and outputs follow from its levels.
        let built = model.init(&Place::f32(device));
        return built.map(drop).map_err(|e| e.to_string());
    }
    let (input, outputs) = match (config.model.time_step(), &config.data.task) {
        (Some(dt), Some(task)) => {
            let shape = task.shape(dt).map_err(|e| e.to_string())?;
            let input = InputShape::Sequence {
                steps: shape.steps,
                channels: shape.inputs,
            };
            (input, shape.steps * shape.outputs)
        }
        _ => {
            let (channels, height, width) = (1, 28, 28);
            let input = InputShape::Image {
                channels,
                height,
                width,
            };
            (input, 10)
        }
    };
    let built = config.model.init(&input, outputs, config.seed, device);
    built.map(drop).map_err(|e| e.to_string())
}

fn built_experiment(text: &str, device: &Device) -> Result<(), String> {
    let config: ExperimentConfig = toml::from_str(text).map_err(|e| e.to_string())?;
    let built = config.init(&Place::f64(device));
    built.map(drop).map_err(|e| e.to_string())
}

/// Whole configurations with every key that has a value.
fn configurations() -> Vec<(String, Value, Build)> {
    let mut all: Vec<(String, Value, Build)> = Vec::new();
    let mut levels = None;
    for preset in PRESETS {
        let config: ExperimentConfig = toml::from_str(preset.toml).unwrap();
        levels = config.composite.clone().or(levels);
        let whole = small(Table::try_from(&config).unwrap()).into();
        all.push((preset.name.into(), whole, built_experiment));
    }
    let mut runs = Vec::new();
    // It is nothing without its layers, which the example below has.
    let names = ModelConfig::names().into_iter();
    for name in names.filter(|name| *name != "sequential") {
        let model = ModelConfig::from_name(name).unwrap();
        runs.push((
            name.to_string(),
            RunConfig::recipe(model, Default::default()),
        ));
    }
    let rate = RunConfig::recipe(ModelConfig::from_name("rate").unwrap(), Default::default());
    for task in TaskKind::ALL {
        let mut run = rate.clone();
        run.data.task = Some(task.config());
        run.train.loss = Loss::Mse;
        runs.push((format!("rate on {}", task.name()), run));
    }
    let layers = include_str!("../../../examples/sequential.toml");
    runs.push((
        "sequential".into(),
        RunConfig::from_toml_str(layers).unwrap(),
    ));
    let model = ModelConfig::new(levels.unwrap());
    let mut run = RunConfig::recipe(model, Default::default());
    run.data.recording = Some(RecordingConfig::default());
    run.train.loss = Loss::Mse;
    runs.push(("several levels".into(), run));
    for name in OptimizerConfig::NAMES {
        let mut run = rate.clone();
        run.optimizer = OptimizerConfig::from_name(name).unwrap();
        runs.push((name.to_string(), run));
    }
    for name in ScheduleConfig::NAMES {
        let mut run = rate.clone();
        run.schedule = ScheduleConfig::from_name(name).unwrap();
        // Some follow the validation loss.
        run.data.validation = 0.1;
        runs.push((name.to_string(), run));
    }
    for (name, config) in runs {
        all.push((name, Value::try_from(&config).unwrap(), built_run));
    }
    all
}

#[test]
fn every_number_of_every_configuration_is_refused_or_built() {
    let cases = std::env::var("GRANULE_MUTATIONS").map_or(CASES, |n| n.parse().unwrap());
    // Large enough for each of them as it is, small enough that nothing here takes long.
    budget::set_limit(Some(ByteSize(1 << 30)));
    let device = DeviceSpec::Cpu.open().unwrap();
    let device = device.burn();
    let all = configurations();
    let replacements = replacements();
    let mut random = Random(1);
    for (name, config, build) in &all {
        let text = toml::to_string(config).unwrap();
        build(&text, device).unwrap_or_else(|error| panic!("{name} as it is: {error}"));
    }
    let (mut failures, mut refused) = (Vec::new(), 0);
    for case in 0..cases {
        // In turns, so that every one has its share of a small number.
        let (name, config, build) = &all[case % all.len()];
        let mut places = Vec::new();
        numbers(config, &mut Vec::new(), &mut places);
        let mut mutated = config.clone();
        let mut what = name.clone();
        for _ in 0..1 + random.below(2) {
            let place = &places[random.below(places.len())];
            let value = replacements[random.below(replacements.len())].clone();
            what += &format!(", {} = {value}", place.join("."));
            *at(&mut mutated, place) = value;
        }
        let text = toml::to_string(&mutated).unwrap();
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| build(&text, device))) {
            Err(_) => failures.push(format!("{what}: a panic")),
            Ok(result) => refused += usize::from(result.is_err()),
        }
        if start.elapsed() > LONGEST {
            failures.push(format!("{what}: {:?}", start.elapsed()));
        }
    }
    println!("{cases} configurations, {refused} refused");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
