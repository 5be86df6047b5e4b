//! Shapes, sizes, configuration and initial weights.

use burn::tensor::Tensor;
use granule_models::{
    Activation, CnnConfig, Factors, Initialization, InputShape, MlpConfig, Model as _, ModelConfig,
    ModelError, ModelSettings as _, NoiseStream, ResNetConfig, state,
};

use crate::support::{flex, image, ndarray, samples, small_models, values};

fn count(config: &ModelConfig, input: InputShape) -> usize {
    let network = config.init(&input, 10, 0, &flex()).unwrap();
    network.parameter_count()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let named = |name| ModelConfig::from_name(name).unwrap();
    assert_eq!(count(&named("mlp"), image(1, 28)), 101_770);
    assert_eq!(count(&named("lenet"), image(1, 28)), 61_706);
    assert_eq!(count(&named("lenet"), image(1, 32)), 61_706);
    assert_eq!(
        count(&named("cnn"), image(3, 32)),
        1_792 + 73_856 + 8_389_632 + 10_250
    );
    assert_eq!(count(&named("resnet"), image(3, 32)), 6_573_130);
    let resnet20 = ModelConfig::new(ResNetConfig {
        depth: 20,
        ..ResNetConfig::default()
    });
    assert_eq!(count(&resnet20, image(3, 32)), 272_474);
}

#[test]
fn every_image_model_takes_both_sizes_and_any_channels() {
    let resnet20 = ModelConfig::new(ResNetConfig {
        depth: 20,
        widths: vec![4, 4, 4],
        dropout: 0.0,
    });
    let nine = ModelConfig::new(ResNetConfig {
        widths: vec![4, 4, 4, 4],
        ..ResNetConfig::default()
    });
    let cnn = ModelConfig::new(CnnConfig {
        channels: vec![4, 4],
        hidden: 8,
        ..CnnConfig::default()
    });
    let configs = [
        ModelConfig::default(),
        ModelConfig::from_name("lenet").unwrap(),
        cnn,
        nine,
        resnet20,
    ];
    for config in configs {
        for (channels, size) in [(1, 28), (3, 32), (5, 28)] {
            let input = image(channels, size);
            let network = config.init(&input, 7, 1, &flex()).unwrap();
            let output = network.forward(samples(2, input.len(), &flex())).unwrap();
            assert_eq!(output.dims(), [2, 7], "{} {input}", config.name());
        }
    }
}

#[test]
fn one_seed_is_one_model_on_both_cpu_backends() {
    for (config, input) in small_models() {
        let networks =
            [flex(), ndarray()].map(|device| config.init(&input, 3, 9, &device).unwrap());
        let states = networks.each_ref().map(|n| state::state_dict(n).unwrap());
        assert_eq!(states[0], states[1], "{}", config.name());
        let other = config.init(&input, 3, 10, &flex()).unwrap();
        assert_ne!(states[0], state::state_dict(&other).unwrap());

        let outputs = [
            values(
                networks[0]
                    .forward(samples(4, input.len(), &flex()))
                    .unwrap(),
            ),
            values(
                networks[1]
                    .forward(samples(4, input.len(), &ndarray()))
                    .unwrap(),
            ),
        ];
        for (a, b) in outputs[0].iter().zip(&outputs[1]) {
            assert!(
                (a - b).abs() <= 1e-5 * (1.0 + a.abs()),
                "{}: {a} {b}",
                config.name()
            );
        }
    }
}

#[test]
fn initial_weights_have_the_variance_of_their_rule() {
    let input = InputShape::Vector { len: 400 };
    for (init, expected) in [
        (Initialization::He, 2.0 / 400.0),
        (Initialization::Xavier, 2.0 / 700.0),
    ] {
        let config = MlpConfig {
            widths: vec![300],
            init,
            ..MlpConfig::default()
        };
        let mlp = config.init(&input, 100, 3, &flex()).unwrap();
        let state = state::state_dict(&mlp).unwrap();
        let variance = |name: &str| {
            let data = &state.0[name].data;
            data.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / data.len() as f64
        };
        let found = variance("layers.0.weight");
        assert!((found / expected - 1.0).abs() < 0.02, "{init:?}: {found}");
        let last = variance("layers.1.weight");
        assert!((last / (2.0 / 400.0) - 1.0).abs() < 0.03, "{last}");
        assert_eq!(variance("layers.0.bias"), 0.0);
    }
}

#[test]
fn the_same_network_inside_and_outside_of_the_enum() {
    let input = image(1, 28);
    let (config, device) = (MlpConfig::default(), flex());
    let alone = config.init(&input, 10, 5, &device).unwrap();
    let inside = ModelConfig::new(config)
        .init(&input, 10, 5, &device)
        .unwrap();
    assert_eq!(
        state::state_dict(&alone).unwrap(),
        state::state_dict(&inside).unwrap()
    );
    let x = samples(3, input.len(), &device);
    assert_eq!(
        values(alone.forward(x.clone()).unwrap()),
        values(inside.forward(x).unwrap())
    );
}

#[test]
fn a_hand_computed_mlp() {
    let config = MlpConfig {
        widths: vec![1],
        activation: Activation::Tanh,
        ..MlpConfig::default()
    };
    let mlp = config
        .init(&InputShape::Vector { len: 2 }, 1, 0, &flex())
        .unwrap();
    let mut state = state::state_dict(&mlp).unwrap();
    for (name, data) in [
        ("layers.0.weight", vec![0.5, -0.25]),
        ("layers.0.bias", vec![0.1]),
        ("layers.1.weight", vec![2.0]),
        ("layers.1.bias", vec![-1.0]),
    ] {
        state.0.get_mut(name).unwrap().data = data;
    }
    let mlp = state::load_state_dict(mlp, &state).unwrap();
    let output = values(
        mlp.forward(Tensor::from_floats([[1.0, 2.0], [3.0, -1.0]], &flex()))
            .unwrap(),
    );
    for (found, hidden) in output.iter().zip([0.1_f32, 1.85]) {
        assert!((found - (2.0 * hidden.tanh() - 1.0)).abs() < 1e-6);
    }
}

#[test]
fn dropout_is_for_training_only_and_repeats_with_its_stream() {
    let config = ModelConfig::new(MlpConfig {
        dropout: 0.5,
        ..MlpConfig::default()
    });
    let input = InputShape::Vector { len: 20 };
    let train = |device: burn::tensor::Device, step| {
        let network = config.init(&input, 3, 2, &device).unwrap();
        values(
            network
                .forward_train(samples(4, 20, &device), &mut NoiseStream::new(7, step))
                .unwrap(),
        )
    };
    assert_eq!(train(flex(), 1), train(flex(), 1));
    assert_ne!(train(flex(), 1), train(flex(), 2));
    for (a, b) in train(flex(), 1).iter().zip(train(ndarray(), 1)) {
        assert!((a - b).abs() < 1e-5);
    }
    let network = config.init(&input, 3, 2, &flex()).unwrap();
    let x = samples(4, 20, &flex());
    let plain = values(network.forward(x.clone()).unwrap());
    let none = values(network.forward_train(x, &mut NoiseStream::none()).unwrap());
    assert_eq!(plain, none);
    assert_ne!(plain, train(flex(), 1));
}

#[test]
fn a_setting_out_of_range_is_named_with_its_value_and_range() {
    let refused = |json: &str, input: InputShape, field: &str| {
        let config: ModelConfig = serde_json::from_str(json).unwrap();
        match config.init(&input, 10, 0, &flex()) {
            Err(ModelError::Config(error)) => {
                assert_eq!(error.field, field, "{json}");
                assert!(!error.value.is_empty() && !error.allowed.is_empty());
            }
            other => panic!("{json}: {other:?}"),
        }
    };
    let vector = InputShape::Vector { len: 3 };
    let small = image(1, 28);
    refused(r#"{"kind":"mlp","widths":[5,0]}"#, small, "widths[1]");
    refused(r#"{"kind":"mlp","widths":[65537]}"#, small, "widths[0]");
    refused(r#"{"kind":"mlp","dropout":1.0}"#, small, "dropout");
    refused(r#"{"kind":"mlp","dropout":-0.1}"#, small, "dropout");
    refused(r#"{"kind":"mlp"}"#, InputShape::Vector { len: 0 }, "input");
    refused(r#"{"kind":"lenet"}"#, vector, "input");
    refused(r#"{"kind":"lenet"}"#, image(1, 29), "input");
    refused(r#"{"kind":"cnn","channels":[]}"#, small, "channels");
    refused(
        r#"{"kind":"cnn","channels":[1,1,1,1,1]}"#,
        small,
        "channels",
    );
    refused(r#"{"kind":"cnn","hidden":0}"#, small, "hidden");
    refused(r#"{"kind":"cnn","convolutions":9}"#, small, "convolutions");
    refused(r#"{"kind":"resnet","depth":10}"#, small, "depth");
    refused(r#"{"kind":"resnet","widths":[1,2,3]}"#, small, "widths");
    refused(r#"{"kind":"resnet"}"#, image(1, 7), "input");
    assert!(matches!(
        ModelConfig::from_name("lennet"),
        Err(ModelError::UnknownModel { .. })
    ));
    let config = ModelConfig::default();
    assert!(config.validate(&small, 0).is_err());
}

#[test]
fn configurations_survive_json_and_refuse_unknown_keys() {
    for name in ModelConfig::names() {
        let config = ModelConfig::from_name(name).unwrap();
        assert_eq!(config.name(), name);
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains(&format!(r#""kind":"{name}""#)), "{json}");
        assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), config);
        let unknown = format!(r#"{{"kind":"{name}","wdith":3}}"#);
        assert!(serde_json::from_str::<ModelConfig>(&unknown).is_err());
    }
}

#[test]
fn the_first_weight_is_there_under_its_name() {
    for (config, input) in small_models() {
        let network = config.init(&input, 3, 0, &flex()).unwrap();
        let state = state::state_dict(&network).unwrap();
        let first = config.first_weight();
        // Branches have none in common.
        let branched = state.0.keys().any(|name| name.contains(".branches."));
        assert_eq!(first.is_none(), branched, "{}", config.name());
        assert!(first.is_none_or(|first| state.0.contains_key(&first)));
    }
}

#[test]
fn every_layer_tells_the_shape_that_it_gives() {
    let image = |channels, size| InputShape::Image {
        channels,
        height: size,
        width: size,
    };
    let shapes = |name: &str, input: &InputShape| {
        let config = ModelConfig::from_name(name).unwrap();
        let network = config.init(input, 10, 0, &flex()).unwrap();
        network.layer_shapes(input).unwrap()
    };
    let named = |expected: &[(&str, &[usize])]| -> Vec<(String, Vec<usize>)> {
        let expected = expected.iter();
        expected
            .map(|(name, shape)| ((*name).to_owned(), shape.to_vec()))
            .collect()
    };
    let digits = image(1, 28);
    let mlp: [(&str, &[usize]); 2] = [("layers.0", &[128]), ("layers.1", &[10])];
    assert_eq!(shapes("mlp", &digits), named(&mlp));
    let lenet: [(&str, &[usize]); 5] = [
        ("conv1", &[6, 28, 28]),
        ("conv2", &[16, 10, 10]),
        ("fc1", &[120]),
        ("fc2", &[84]),
        ("fc3", &[10]),
    ];
    assert_eq!(shapes("lenet", &digits), named(&lenet));
    let rate: [(&str, &[usize]); 2] = [("network", &[28, 128]), ("network.readout", &[28, 10])];
    assert_eq!(shapes("rate", &digits), named(&rate));
    let gated: [(&str, &[usize]); 2] = [
        ("network.cells.input", &[28, 128]),
        ("network.readout", &[28, 10]),
    ];
    assert_eq!(shapes("gru", &digits), named(&gated));
    let resnet = shapes("resnet", &image(3, 32));
    let first: [(&str, &[usize]); 3] = [
        ("stem.conv", &[64, 32, 32]),
        ("stem.norm", &[64, 32, 32]),
        ("blocks.0.conv1.conv", &[128, 32, 32]),
    ];
    assert_eq!(resnet[..3], named(&first));
    assert_eq!(resnet.last().unwrap(), &("output".to_owned(), vec![10]));
}

#[test]
fn a_network_is_printed_by_what_it_is() {
    let network = ModelConfig::default()
        .init(&image(1, 28), 10, 0, &flex())
        .unwrap();
    let text = network.to_string();
    assert!(text.contains("Mlp") && text.contains("101770"), "{text}");
}

/// The products of a model in training, and none of inference, are from the factors that are asked for.
#[test]
fn products_in_bf16_are_of_training_alone() {
    let mut having = 0;
    for (config, input) in small_models() {
        for device in [flex(), ndarray()].map(burn::tensor::Device::autodiff) {
            let network = config.init(&input, 3, 4, &device).unwrap();
            if !network.has_bf16() {
                continue;
            }
            having += 1;
            let x = samples(4, input.len(), &device);
            let train = |factors| {
                let mut stream = NoiseStream::new(1, 2).with_factors(factors);
                values(network.forward_train(x.clone(), &mut stream).unwrap())
            };
            let (full, bf16) = (train(Factors::Full), train(Factors::Bf16));
            let largest = full.iter().fold(1e-3_f32, |most, x| most.max(x.abs()));
            let error = full.iter().zip(&bf16).map(|(a, b)| (a - b).abs());
            let error = error.fold(0.0, f32::max) / largest;
            assert!(error > 0.0 && error < 0.1, "{}: {error}", config.name());
        }
    }
    // mlp, lenet, cnn and resnet, each in its forms, and layers by a list.
    assert!(having >= 2 * 6, "{having}");
}

#[test]
fn recurrent_models_have_no_bf16() {
    let input = InputShape::Sequence {
        steps: 4,
        channels: 3,
    };
    for kind in ["rate", "gru", "lstm", "wilson-cowan"] {
        let config = ModelConfig::from_name(kind).unwrap();
        // Two outputs at each of four steps.
        let network = config.init(&input, 8, 1, &flex()).unwrap();
        assert!(!network.has_bf16(), "{kind}");
        let mut stream = NoiseStream::new(1, 2).with_factors(Factors::Bf16);
        let refused = network.forward_train(samples(2, input.len(), &flex()), &mut stream);
        assert!(matches!(refused, Err(ModelError::NoBf16)), "{kind}");
    }
}
