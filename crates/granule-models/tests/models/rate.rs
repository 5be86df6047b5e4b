//! The rate network as a model.

use burn::tensor::{Tensor, TensorData};
use granule_dynamics::population::{Activation, Recurrence};
use granule_models::{
    InputShape, Model as _, ModelConfig, ModelError, ModelSettings as _, NoiseStream, RateConfig,
    Readout, state,
};

use crate::support::{flex, image, noise, samples, values};

fn small() -> RateConfig {
    RateConfig {
        units: 7,
        ..RateConfig::default()
    }
}

fn trial(steps: usize, channels: usize) -> InputShape {
    InputShape::Sequence { steps, channels }
}

#[test]
fn an_image_is_the_sequence_of_its_rows() {
    let (channels, size, batch) = (2, 4, 3);
    let pixels = noise(batch * channels * size * size, 5);
    let mut rows = Vec::new();
    for sample in pixels.chunks(channels * size * size) {
        for row in 0..size {
            for channel in 0..channels {
                let start = (channel * size + row) * size;
                rows.extend_from_slice(&sample[start..start + size]);
            }
        }
    }
    let tensor = |values: Vec<f32>| {
        let data = TensorData::new(values, [batch, channels * size * size]);
        Tensor::<2>::from_data(data, &flex())
    };
    let as_image = small().init(&image(channels, size), 5, 1, &flex()).unwrap();
    let last = RateConfig {
        readout: Readout::Last,
        ..small()
    };
    let as_rows = last
        .init(&trial(size, channels * size), 5, 1, &flex())
        .unwrap();
    let found = values(as_image.forward(tensor(pixels)).unwrap());
    assert_eq!(found, values(as_rows.forward(tensor(rows)).unwrap()));
}

#[test]
fn the_readout_chooses_among_the_steps() {
    let (steps, width) = (4, 2);
    let input = trial(steps, 3);
    let outputs = |readout, outputs| {
        let config = RateConfig { readout, ..small() };
        let model = config.init(&input, outputs, 2, &flex()).unwrap();
        values(model.forward(samples(1, input.len(), &flex())).unwrap())
    };
    let all = outputs(Readout::Auto, steps * width);
    assert_eq!(all.len(), steps * width);
    assert_eq!(outputs(Readout::Last, width), all[all.len() - width..]);
    let means = outputs(Readout::Mean, width);
    for (channel, mean) in means.iter().enumerate() {
        let sum: f32 = all.iter().skip(channel).step_by(width).sum();
        assert!((mean - sum / steps as f32).abs() < 1e-6);
    }
}

#[test]
fn only_what_is_trained_is_counted() {
    let input = trial(5, 3);
    let count = |config: RateConfig| {
        let config = ModelConfig::new(config);
        config
            .init(&input, 10, 1, &flex())
            .unwrap()
            .parameter_count()
    };
    let n = 7;
    let plain = n * n + 3 * n + n + 2 * n + 2;
    assert_eq!(count(small()), plain);
    let dale = RateConfig {
        dale_ratio: Some(0.8),
        excitatory_output: true,
        ..small()
    };
    assert_eq!(count(dale), plain);
    let trained = RateConfig {
        train_initial_state: true,
        time_constant_bounds: Some([50.0, 200.0]),
        ..small()
    };
    assert_eq!(count(trained), plain + 2 * n);
    let low_rank = RateConfig {
        recurrence: Recurrence::LowRank {
            rank: 2,
            background: 0.5,
        },
        ..small()
    };
    assert_eq!(count(low_rank), plain - n * n + 2 * 2 * n);
}

#[test]
fn noise_belongs_to_the_step_and_to_training() {
    let config = ModelConfig::new(RateConfig {
        private_noise: 0.3,
        shared_noise: 0.1,
        ..small()
    });
    let input = trial(4, 2);
    let network = config.init(&input, 4, 1, &flex()).unwrap();
    let x = || samples(2, input.len(), &flex());
    let step = |mut stream: NoiseStream| values(network.forward_train(x(), &mut stream).unwrap());
    let quiet = values(network.forward(x()).unwrap());
    assert_eq!(step(NoiseStream::none()), quiet);
    let noisy = step(NoiseStream::new(3, 4));
    assert_ne!(noisy, quiet);
    assert_eq!(step(NoiseStream::new(3, 4)), noisy);
    assert_ne!(step(NoiseStream::new(3, 5)), noisy);
    assert_ne!(step(NoiseStream::new(4, 4)), noisy);
}

#[test]
fn a_batch_of_none_is_refused() {
    let input = trial(4, 2);
    let model = small().init(&input, 8, 1, &flex()).unwrap();
    let x = Tensor::<2>::zeros([0, input.len()], &flex());
    assert!(matches!(model.forward(x), Err(ModelError::Dynamics(_))));
}

#[test]
fn every_setting_survives_json_and_every_tensor_is_named() {
    let config = ModelConfig::new(RateConfig {
        activation: Activation::PowerLaw {
            gain: 0.3,
            exponent: 2.0,
        },
        recurrence: Recurrence::Sparse { density: 0.5 },
        dale_ratio: Some(0.7),
        excitatory_output: true,
        autapses: false,
        readout: Readout::Mean,
        ..small()
    });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
    let network = config.init(&trial(4, 2), 3, 1, &flex()).unwrap();
    let names: Vec<String> = state::state_dict(&network).unwrap().0.into_keys().collect();
    let expected = [
        "bias.raw",
        "initial.raw",
        "input",
        "readout.bias.raw",
        "readout.raw",
        "readout.units",
        "recurrent.pattern",
        "recurrent.raw",
        "time_constant.raw",
    ];
    assert_eq!(names, expected.map(|name| format!("network.{name}")));
}

#[test]
fn settings_that_do_not_fit_are_named() {
    let wrong = |config: RateConfig, input: InputShape, outputs| match config.init(
        &input,
        outputs,
        1,
        &flex(),
    ) {
        Err(ModelError::Config(error)) => error.field,
        other => panic!("{other:?}"),
    };
    let vector = InputShape::Vector { len: 3 };
    assert_eq!(wrong(small(), vector, 3), "input");
    assert_eq!(wrong(small(), trial(4, 2), 6), "readout");
    assert_eq!(wrong(small(), trial(0, 2), 3), "input");
    let slow = RateConfig {
        dt: 200.0,
        ..small()
    };
    assert_eq!(wrong(slow, trial(4, 2), 4), "dt");
    let none = RateConfig {
        units: 0,
        ..small()
    };
    assert_eq!(wrong(none, trial(4, 2), 4), "units");
    let dale = RateConfig {
        dale_ratio: Some(1.5),
        ..small()
    };
    assert_eq!(wrong(dale, trial(4, 2), 4), "dale_ratio");
}
