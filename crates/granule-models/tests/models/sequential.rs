//! Layers as data: shapes, order of operations, and what does not fit.

use burn::module::Module as _;
use burn::tensor::{Tensor, TensorData};
use granule_models::sequential::LayerNormLayerConfig;
use granule_models::{
    InputShape, Model as _, ModelConfig, ModelError, Network, NoiseStream, SequentialConfig,
    StateDict, TensorValue,
};

use crate::support::{flex, image, ndarray, samples, values};

fn config(layers: serde_json::Value) -> ModelConfig {
    let model = serde_json::json!({"kind": "sequential", "layer": layers});
    serde_json::from_value(model).unwrap()
}

fn refusal(layers: serde_json::Value, input: InputShape) -> String {
    let config = config(layers);
    let refused = config.init(&input, 10, 0, &flex()).map(drop).unwrap_err();
    let validated = config.validate(&input, 10).unwrap_err();
    assert_eq!(refused.to_string(), validated.to_string());
    refused.to_string()
}

/// The sizes of <https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html>, rounded down.
#[test]
fn shapes_follow_from_the_input() {
    let config = config(serde_json::json!([
        {"kind": "conv", "filters": 16, "kernel": 5, "padding": 0},
        {"kind": "relu"},
        {"kind": "pool"},
        {"kind": "conv", "filters": 8, "stride": 2},
        {"kind": "residual", "layer": [{"kind": "conv", "filters": 8}, {"kind": "layer-norm"}]},
        {"kind": "pool", "method": "mean", "size": 3, "stride": 1},
        {"kind": "flatten"},
        {"kind": "dense", "units": 20},
        {"kind": "batch-norm"},
        {"kind": "dropout", "probability": 0.5},
    ]));
    let input = image(1, 28);
    let network = config.init(&input, 10, 0, &flex()).unwrap();
    let expected: [(&str, &[usize]); 13] = [
        ("layers.0", &[16, 24, 24]),
        ("layers.1 (relu)", &[16, 24, 24]),
        ("layers.2 (pool)", &[16, 12, 12]),
        ("layers.3", &[8, 6, 6]),
        ("layers.4.0", &[8, 6, 6]),
        ("layers.4.1", &[8, 6, 6]),
        ("layers.4 (residual)", &[8, 6, 6]),
        ("layers.5 (pool)", &[8, 4, 4]),
        ("layers.6 (flatten)", &[128]),
        ("layers.7", &[20]),
        ("layers.8", &[20]),
        ("layers.9 (dropout)", &[20]),
        ("output", &[10]),
    ];
    let found = network.layer_shapes(&input).unwrap();
    let found: Vec<_> = found.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
    assert_eq!(found, expected);
    let weights = [
        16 * 25 + 16,
        8 * 16 * 9 + 8,
        8 * 8 * 9 + 8 + 2 * 8 * 36,
        128 * 20 + 20,
        2 * 20,
        20 * 10 + 10,
    ];
    assert_eq!(network.parameter_count(), weights.iter().sum::<usize>());
    let output = network.forward(samples(3, 784, &flex())).unwrap();
    assert_eq!(output.dims(), [3, 10]);
}

#[test]
fn flatten_alone_is_a_linear_model_of_any_input() {
    let trial = InputShape::Sequence {
        steps: 4,
        channels: 3,
    };
    for input in [image(3, 5), InputShape::Vector { len: 7 }, trial] {
        let config = config(serde_json::json!([{"kind": "flatten"}]));
        let network = config.init(&input, 2, 0, &flex()).unwrap();
        assert_eq!(network.parameter_count(), 2 * input.len() + 2);
    }
}

/// A case that can be followed by hand.
#[test]
fn layers_run_in_their_order_and_a_residual_adds_its_input() {
    let config = config(serde_json::json!([
        {"kind": "conv", "filters": 1, "kernel": 1},
        {"kind": "residual", "layer": [{"kind": "relu"}]},
        {"kind": "pool", "method": "mean"},
        {"kind": "flatten"},
        {"kind": "dense", "units": 1},
        {"kind": "layer-norm"},
    ]));
    let value = |shape: &[usize], data: &[f32]| TensorValue {
        shape: shape.to_vec(),
        data: data.to_vec(),
    };
    let state = [
        ("layers.0.weight", value(&[1, 1, 1, 1], &[2.0])),
        ("layers.0.bias", value(&[1], &[-1.0])),
        ("layers.4.weight", value(&[1, 1], &[3.0])),
        ("layers.4.bias", value(&[1], &[0.5])),
        ("layers.5.gamma", value(&[1], &[1.0])),
        // The norm of one value is 0: what is left is its shift.
        ("layers.5.beta", value(&[1], &[0.25])),
        ("output.weight", value(&[1, 1], &[4.0])),
        ("output.bias", value(&[1], &[1.0])),
    ];
    let state = StateDict(state.map(|(name, v)| (name.to_owned(), v)).into());
    for device in [flex(), ndarray()] {
        let run = |config: &ModelConfig, state: &StateDict| {
            let network = config.init_from_state(&image(1, 2), 1, state, &device);
            let data = TensorData::new(vec![0.0_f32, 1.0, 2.0, -1.0], [1, 4]);
            let x = Tensor::from_data(data, &device);
            values(network.unwrap().forward(x).unwrap())[0]
        };
        assert!((run(&config, &state) - 2.0).abs() < 1e-5);
        // 2x − 1 is −1, 1, 3, −3; with what relu gives −1, 2, 6, −3; their mean 1; 3·1 + 0.5; 4·3.5 + 1.
        let mut without_norm = config.clone();
        let layers = without_norm.get_mut::<SequentialConfig>().unwrap();
        assert_eq!(layers.layers.pop(), Some(LayerNormLayerConfig {}.into()));
        let mut state = state.clone();
        state.0.retain(|name, _| !name.starts_with("layers.5"));
        assert!((run(&without_norm, &state) - 15.0).abs() < 1e-5);
    }
}

#[test]
fn a_layer_that_does_not_fit_is_named_with_both_shapes() {
    use serde_json::json;

    let conv = json!({"kind": "conv", "filters": 16, "stride": 2});
    let dense = json!({"kind": "dense", "units": 5});
    let flatten = json!({"kind": "flatten"});
    let is = |layers, expected: &str| assert_eq!(refusal(layers, image(1, 10)), expected);
    is(
        json!([conv, {"kind": "relu"}, {"kind": "batch-norm"}, dense]),
        "layer[3] (dense) takes vectors, the layer before gives 16×5×5; put a flatten between them",
    );
    is(
        json!([dense]),
        "layer[0] (dense) takes vectors, the input is 1×10×10; put a flatten between them",
    );
    is(
        json!([{"kind": "latent", "units": 2, "kl_weight": 0.1}]),
        "layer[0] (latent) takes vectors and sequences, the input is 1×10×10; put a flatten between them",
    );
    is(
        json!([flatten, conv]),
        "layer[1] (conv) takes images, the layer before gives a vector of 100; \
         put it before the first flatten of a model of images",
    );
    is(
        json!([conv, {"kind": "pool", "size": 6}]),
        "layer[1] (pool) has a window of 6×6, the layer before gives 16×5×5; \
         take a smaller window or leave out a pool or stride",
    );
    is(
        json!([conv, {"kind": "residual", "layer": [{"kind": "pool"}]}]),
        "layer[1] (residual) adds what its layers give to what they take, but they give 16×2×2 and \
         the layer before gives 16×5×5; let them keep the shape",
    );
    is(
        json!([conv, {"kind": "residual", "layer": [dense]}]),
        "layer[1].layer[0] (dense) takes vectors, the layer before gives 16×5×5; put a flatten between them",
    );
    is(
        json!([{"kind": "residual", "layer": []}]),
        "layer[0] (residual) has no layers; give it some, or leave it out",
    );
    let trial = InputShape::Sequence {
        steps: 4,
        channels: 3,
    };
    for kind in [json!({"kind": "batch-norm"}), dense, conv] {
        let text = refusal(json!([kind]), trial);
        assert!(text.contains("the input is 4 steps of 3 values"), "{text}");
    }
    let wide = json!({"kind": "conv", "filters": 65536});
    let text = refusal(json!([wide]), image(1, 64));
    assert!(
        text.contains("65536×64×64") && text.contains("2^26"),
        "{text}"
    );
}

#[test]
fn a_number_out_of_range_is_named_by_its_layer() {
    use serde_json::json;

    for (layer, field) in [
        (json!({"kind": "conv", "filters": 0}), "layer[1].filters"),
        (
            json!({"kind": "latent", "units": 0, "kl_weight": 1.0}),
            "layer[1].units",
        ),
        (
            json!({"kind": "latent", "units": 2, "kl_weight": -0.5}),
            "layer[1].kl_weight",
        ),
        (
            json!({"kind": "conv", "filters": 1, "kernel": 0}),
            "layer[1].kernel",
        ),
        (
            json!({"kind": "conv", "filters": 1, "kernel": 65}),
            "layer[1].kernel",
        ),
        (
            json!({"kind": "conv", "filters": 1, "stride": 0}),
            "layer[1].stride",
        ),
        (
            json!({"kind": "conv", "filters": 1, "padding": 3}),
            "layer[1].padding",
        ),
        (json!({"kind": "pool", "size": 0}), "layer[1].size"),
        (json!({"kind": "pool", "stride": 65}), "layer[1].stride"),
        (json!({"kind": "dense", "units": 65537}), "layer[1].units"),
        (
            json!({"kind": "dropout", "probability": 1.0}),
            "layer[1].probability",
        ),
        (
            json!({"kind": "residual", "layer": [{"kind": "pool", "size": 0}]}),
            "layer[1].layer[0].size",
        ),
    ] {
        let config = config(json!([{"kind": "relu"}, layer]));
        match config.validate(&image(1, 8), 10) {
            Err(ModelError::Config(error)) => assert_eq!(error.field, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    assert!(refusal(json!([]), image(1, 8)).starts_with("layer = 0 layers is not allowed"));
    let many: Vec<_> = (0..257).map(|_| json!({"kind": "relu"})).collect();
    assert!(refusal(json!(many), image(1, 8)).contains("1 to 256 tables [[model.layer]]"));
    let inside = json!([{"kind": "residual", "layer": many}]);
    assert!(refusal(inside, image(1, 8)).contains("258 layers"));
    let deep = |levels: usize| {
        let innermost = json!([{"kind": "relu"}]);
        (1..levels).fold(
            innermost,
            |layers, _| json!([{"kind": "residual", "layer": layers}]),
        )
    };
    assert!(refusal(deep(17), image(1, 8)).contains("17 levels deep"));
    assert!(config(deep(16)).validate(&image(1, 8), 10).is_ok());
}

#[test]
fn an_unknown_layer_or_key_is_refused() {
    let refused = |layer: &str| {
        let text = format!(r#"{{"kind":"sequential","layer":[{layer}]}}"#);
        serde_json::from_str::<ModelConfig>(&text)
            .unwrap_err()
            .to_string()
    };
    let text = refused(r#"{"kind":"dens","units":3}"#);
    assert!(
        text.contains("has no choice \"dens\"") && text.contains("dense"),
        "{text}"
    );
    assert!(refused(r#"{"kind":"relu","units":3}"#).contains("units"));
    assert!(refused(r#"{"kind":"dense","unit":3}"#).contains("unit"));
    let text = refused(r#"{"kind":"relu"},{"kind":"dense"}"#);
    assert!(text.starts_with("lacks \"units\"\nin `layer.1`"), "{text}");
    let inner = r#"{"kind":"residual","layer":[{"kind":"relu"},{"kind":"dense","units":-1}]}"#;
    let text = refused(inner);
    let expected = "is -1, not a whole number of 0 or more\nin `layer.1";
    assert!(
        text.starts_with(expected) && text.ends_with("\nin `layer.0`"),
        "{text}"
    );
}

fn state<const N: usize>(values: [(&str, &[usize], &[f32]); N]) -> StateDict {
    let value = |(name, shape, data): (&str, &[usize], &[f32])| {
        let (shape, data) = (shape.to_vec(), data.to_vec());
        (name.to_owned(), TensorValue { shape, data })
    };
    StateDict(values.map(value).into())
}

/// What a model with these weights answers for one sample.
fn answers(layers: serde_json::Value, input: InputShape, state: &StateDict, x: &[f32]) -> Vec<f32> {
    let mut found = Vec::new();
    for device in [flex(), ndarray()] {
        let network = config(layers.clone()).init_from_state(&input, 1, state, &device);
        let x = Tensor::from_data(TensorData::new(x.to_vec(), [1, x.len()]), &device);
        found.push(values(network.unwrap().forward(x).unwrap())[0]);
    }
    found
}

/// Cases that can be followed by hand.
#[test]
fn branches_are_joined_side_by_side_in_the_mean_and_by_a_gate() {
    use serde_json::json;

    let vector = InputShape::Vector { len: 3 };
    let both = json!([{"channels": [[0, 1]]}, {"channels": [[1, 2]]}]);
    let output = |width: usize, weights| ("output.weight", [width, 1], weights);
    let run = |join: &str, width, weights: &'static [f32]| {
        let (name, shape, weights) = output(width, weights);
        let mut state = state([(name, &shape, weights), ("output.bias", &[1], &[0.0])]);
        if join == "gated" {
            let gate = self::state([
                ("layers.0.gate.weight", &[2, 2], &[0.5, -0.5, 1.0, 0.0]),
                ("layers.0.gate.bias", &[2], &[0.1, 0.2]),
            ]);
            state.0.extend(gate.0);
        }
        let layers = json!([{"kind": "branches", "join": join, "branch": both}]);
        answers(layers, vector, &state, &[2.0, -1.0, 5.0])
    };
    // The gate sees 2 and −1: 0.5·2 − 1 + 0.1 = 0.1 and −0.5·2 + 0.2 = −0.8; softmax gives the first 1/(1 + exp(−0.9)).
    let first = 1.0 / (1.0 + (-0.9_f32).exp());
    for (found, expected) in [
        (run("concatenate", 2, &[1.0, 10.0]), 2.0 - 10.0),
        (run("mean", 1, &[1.0]), 0.5),
        (run("gated", 1, &[1.0]), 2.0 * first - (1.0 - first)),
    ] {
        assert!(
            found.iter().all(|x| (x - expected).abs() < 1e-5),
            "{found:?}, {expected}"
        );
    }

    // Channels are taken, and put side by side, at each step.
    let steps = InputShape::Sequence {
        steps: 2,
        channels: 2,
    };
    let layers = json!([{"kind": "branches", "branch": [{"channels": [[1, 2]]}, {}]}]);
    let weights = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5];
    let sum = state([
        ("output.weight", &[6, 1], &weights),
        ("output.bias", &[1], &[0.0]),
    ]);
    for found in answers(layers, steps, &sum, &[1.0, 2.0, 3.0, 4.0]) {
        assert_eq!(found, 434_212.0);
    }
}

#[test]
fn sequences_are_pooled_along_their_steps() {
    use serde_json::json;

    let steps = InputShape::Sequence {
        steps: 5,
        channels: 2,
    };
    let sum = state([
        ("output.weight", &[4, 1], &[1.0, 10.0, 100.0, 1e3]),
        ("output.bias", &[1], &[0.0]),
    ]);
    let x = [1.0, -2.0, 2.0, -4.0, 3.0, -6.0, 5.0, -8.0, 9.0, -9.0];
    for (method, expected) in [
        ("mean", 1.5 - 30.0 + 400.0 - 7e3),
        ("max", 2.0 - 20.0 + 500.0 - 6e3),
    ] {
        let layers = json!([{"kind": "pool", "method": method}]);
        for found in answers(layers, steps, &sum, &x) {
            assert!((found - expected).abs() < 1e-2, "{method}: {found}");
        }
    }
    let text = refusal(json!([{"kind": "pool", "size": 6}]), steps);
    let expected = "layer[0] (pool) has a window of 6 steps, the input is 5 steps of 2 values";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn branches_that_do_not_fit_are_named_with_their_shapes() {
    use serde_json::json;

    let trial = InputShape::Sequence {
        steps: 8,
        channels: 6,
    };
    let branches =
        |join: &str, branches| json!([{"kind": "branches", "join": join, "branch": branches}]);
    let gru = |units: usize| json!({"kind": "gru", "units": units, "readout": "last"});
    let wide = json!([{"layer": [gru(4)]}, {"layer": [gru(5)]}]);
    let network = config(branches("concatenate", wide.clone())).init(&trial, 2, 0, &flex());
    let found = network.unwrap().layer_shapes(&trial).unwrap();
    let found: Vec<_> = found.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
    let expected: [(&str, &[usize]); 4] = [
        ("layers.0.branches.0.layers.0.cells.input", &[4]),
        ("layers.0.branches.1.layers.0.cells.input", &[5]),
        ("layers.0 (branches)", &[9]),
        ("output", &[2]),
    ];
    assert_eq!(found, expected);

    let is = |layers, expected: &str| {
        let text = refusal(layers, trial);
        assert!(text.starts_with(expected), "{text}");
    };
    is(
        branches("gated", wide),
        "layer[0] (branches) weights what its branches give, but branch[0] gives a vector of 4 and branch[1] gives a \
         vector of 5; let them give one shape",
    );
    is(
        branches(
            "concatenate",
            json!([{}, {}, {"layer": [{"kind": "pool"}]}]),
        ),
        "layer[0] (branches) joins what its branches give, but branch[0] gives 8 steps of 6 values and branch[2] gives \
         4 steps of 6 values; let them all give vectors",
    );
    is(
        branches(
            "mean",
            json!([{}, {"channels": [[2, 3]], "layer": [{"kind": "dense", "units": 2}]}]),
        ),
        "layer[0].branch[1].layer[0] (dense) takes vectors, the branch takes 8 steps of 1 value; put a flatten",
    );
    is(
        branches("mean", json!([{}, {"channels": [[4, 7]]}])),
        "layer[0].branch[1].channels = [[4, 7]] is not allowed: ranges [first, end] of channels",
    );
    assert!(
        refusal(branches("mean", json!([{"channels": [[4, 7]]}])), trial)
            .ends_with("there are 6 channels")
    );
    is(
        branches("mean", json!([])),
        "layer[0].branch = 0 is not allowed: 1 to 64 tables",
    );
    let many: Vec<_> = (0..65).map(|_| json!({})).collect();
    is(branches("mean", json!(many)), "layer[0].branch = 65");

    // Bounds count the layers within, and errors of a file name the place.
    let relu: Vec<_> = (0..128).map(|_| json!({"kind": "relu"})).collect();
    let many = json!([{"layer": relu}, {"layer": relu}]);
    assert!(refusal(branches("mean", many), trial).contains("257 layers"));
    let deep = (1..17).fold(
        json!([{"kind": "relu"}]),
        |layers, _| json!([{"kind": "branches", "branch": [{}, {"layer": layers}]}]),
    );
    assert!(refusal(deep, trial).contains("17 levels deep"));
    let text = r#"{"kind":"sequential","layer":[{"kind":"branches","branch":[{"layer":[{"kind":"gru"}]}]}]}"#;
    let error = serde_json::from_str::<ModelConfig>(text)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("lacks \"units\"") && error.contains("branch.0"),
        "{error}"
    );
}

#[test]
fn recurrent_layers_go_along_steps_and_rows() {
    use serde_json::json;

    let layers = json!([
        {"kind": "gru", "units": 5, "readout": "sequence"},
        {"kind": "rate", "units": 4, "readout": "mean"},
        {"kind": "dense", "units": 3},
    ]);
    let expected: [(&str, &[usize]); 4] = [
        ("layers.0.cells.input", &[8, 5]),
        ("layers.1.cells", &[4]),
        ("layers.2", &[3]),
        ("output", &[10]),
    ];
    let trial = InputShape::Sequence {
        steps: 8,
        channels: 16,
    };
    for input in [image(2, 8), trial] {
        let network = config(layers.clone()).init(&input, 10, 0, &flex()).unwrap();
        let found = network.layer_shapes(&input).unwrap();
        let found: Vec<_> = found.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
        assert_eq!(found, expected);
        let gru = 3 * 5 * (16 + 5 + 2);
        let rate = 4 * (5 + 4 + 1);
        let dense = 3 * 5 + 10 * 4;
        assert_eq!(network.parameter_count(), gru + rate + dense);
    }
    // As auto, an image ends in its last row's state, a sequence keeps all of its steps.
    let shape = |input: InputShape| {
        let one = config(json!([{"kind": "lstm", "units": 5}]));
        let network = one.init(&input, 10, 0, &flex()).unwrap();
        network.layer_shapes(&input).unwrap().swap_remove(0).1
    };
    assert_eq!(shape(image(2, 8)), [5]);
    assert_eq!(shape(trial), [8, 5]);

    let refused = |layer, input| refusal(json!([layer, {"kind": "relu"}]), input);
    let text = refused(
        json!({"kind": "gru", "units": 5}),
        InputShape::Vector { len: 7 },
    );
    assert!(
        text.starts_with("layer[0] (gru) takes images, whose rows are steps, or sequences"),
        "{text}"
    );
    for (layer, expected) in [
        (json!({"kind": "lstm", "units": 0}), "layer[0].units = 0"),
        (
            json!({"kind": "gru", "units": 65537}),
            "layer[0].units = 65537",
        ),
        (
            json!({"kind": "rate", "units": 3, "dt": 300.0}),
            "layer[0].dt = 300",
        ),
        (
            json!({"kind": "rate", "units": 3, "time_constant": -1.0}),
            "layer[0].time_constant = -1",
        ),
        (
            json!({"kind": "rate", "units": 3, "dale_ratio": 1.5}),
            "layer[0].dale_ratio = 1.5",
        ),
    ] {
        let text = refused(layer, image(1, 8));
        assert!(text.starts_with(expected), "{expected}: {text}");
    }
}

/// What reports draw: the weight on the raw input, flattened or not, and none where something else comes first.
#[test]
fn the_weight_on_the_raw_input_is_found() {
    use serde_json::json;

    let flatten = json!({"kind": "flatten"});
    let dense = json!({"kind": "dense", "units": 3});
    for (layers, expected) in [
        (json!([flatten]), Some("output.weight")),
        (json!([flatten, dense]), Some("layers.1.weight")),
        (json!([flatten, flatten, dense]), Some("layers.2.weight")),
        (
            json!([{"kind": "conv", "filters": 2}]),
            Some("layers.0.weight"),
        ),
        (
            json!([{"kind": "gru", "units": 3}]),
            Some("layers.0.cells.input.weight"),
        ),
        (
            json!([{"kind": "lstm", "units": 3}]),
            Some("layers.0.cells.input.weight"),
        ),
        (
            json!([{"kind": "rate", "units": 3}]),
            Some("layers.0.cells.input"),
        ),
        (json!([{"kind": "batch-norm"}, flatten, dense]), None),
        (json!([{"kind": "layer-norm"}, flatten, dense]), None),
        (json!([flatten, {"kind": "relu"}, dense]), None),
        (
            json!([{"kind": "residual", "layer": [{"kind": "conv", "filters": 1}]}]),
            None,
        ),
    ] {
        let config = config(layers.clone());
        let network = config.init(&image(1, 8), 10, 0, &flex()).unwrap();
        let found = config.first_weight();
        assert_eq!(found.as_deref(), expected, "{layers}");
        let state = granule_models::state::state_dict(&network).unwrap();
        assert!(
            found.is_none_or(|name| state.0.contains_key(&name)),
            "{layers}"
        );
    }
}

/// Two steps of one value x: the mean is 2x + 0.5, the logarithm of the variance x/2.
fn latent(kl_weight: f64) -> (ModelConfig, InputShape, StateDict) {
    let layers = serde_json::json!([{"kind": "latent", "units": 1, "kl_weight": kl_weight}]);
    let input = InputShape::Sequence {
        steps: 2,
        channels: 1,
    };
    let state = state([
        ("layers.0.mean.weight", &[1, 1], &[2.0]),
        ("layers.0.mean.bias", &[1], &[0.5]),
        ("layers.0.log_variance.weight", &[1, 1], &[0.5]),
        ("layers.0.log_variance.bias", &[1], &[0.0]),
        ("output.weight", &[2, 2], &[1.0, 0.0, 0.0, 1.0]),
        ("output.bias", &[2], &[0.0, 0.0]),
    ]);
    (config(layers), input, state)
}

#[test]
fn a_latent_is_sampled_in_training_and_its_mean_otherwise() {
    let (config, input, state) = latent(0.25);
    let device = flex();
    let network = config.init_from_state(&input, 2, &state, &device).unwrap();
    let x = Tensor::<2>::from_floats([[1.0, -2.0], [0.0, 4.0]], &device);
    let plain = values(network.forward(x.clone()).unwrap());
    assert_eq!(plain, [2.5, -3.5, 0.5, 8.5]);

    let train = |step| {
        let mut noise = NoiseStream::new(3, step);
        let sample = values(network.forward_train(x.clone(), &mut noise).unwrap());
        let penalty = noise.take_penalty().unwrap();
        (sample, penalty.try_into_vec_as::<f32>().unwrap()[0])
    };
    // Of N(μ, σ²) from N(0, 1), ln σ + ... as a textbook has it: ln(1/σ) + (σ² + μ²)/2 − 1/2.
    let divergence = |mean: f64, deviation: f64| {
        (1.0 / deviation).ln() + (deviation * deviation + mean * mean) / 2.0 - 0.5
    };
    let numbers = [(2.5, 1.0), (-3.5, -2.0), (0.5, 0.0), (8.5, 4.0)];
    let all = numbers.map(|(mean, x): (f64, f64)| divergence(mean, (x / 4.0).exp()));
    // The mean over two samples of the sum over their steps.
    let expected = 0.25 * all.iter().sum::<f64>() / 2.0;
    let (sample, penalty) = train(0);
    assert!((f64::from(penalty) - expected).abs() < 1e-5, "{penalty}");
    assert_eq!(train(0), (sample.clone(), penalty));
    assert_ne!(train(1).0, sample);

    let mut moments = [(0.0, 0.0); 4];
    for step in 0..4000 {
        for ((sum, square), (x, mean)) in moments.iter_mut().zip(train(step).0.iter().zip(&plain)) {
            let off = f64::from(x - mean);
            (*sum, *square) = (*sum + off / 4000.0, *square + off * off / 4000.0);
        }
    }
    for ((off, variance), (_, x)) in moments.iter().zip(numbers) {
        let expected = (x / 2.0_f64).exp();
        assert!(off.abs() < 0.1 * expected.sqrt(), "{off}");
        assert!((variance / expected - 1.0).abs() < 0.1, "{variance}");
    }
}

#[test]
fn a_latent_weighs_nothing_where_that_is_asked_for() {
    let (config, input, state) = latent(0.0);
    let network = config.init_from_state(&input, 2, &state, &flex()).unwrap();
    let mut noise = NoiseStream::none();
    let x = samples(3, 2, &flex());
    let trained = values(network.forward_train(x.clone(), &mut noise).unwrap());
    assert_eq!(trained, values(network.forward(x).unwrap()));
    let penalty = noise.take_penalty().unwrap();
    assert_eq!(penalty.try_into_vec_as::<f32>().unwrap(), [0.0]);
}

#[test]
fn outputs_that_are_learnt_beside_are_given_in_training_alone() {
    let (config, input, state) = latent(1.0);
    let network = config.init_from_state(&input, 2, &state, &flex()).unwrap();
    let network = network.answering(1);
    let x = samples(3, 2, &flex());
    let outputs = |network: &Network| network.forward(x.clone()).unwrap().dims();
    assert_eq!(outputs(&network), [3, 1]);
    assert_eq!(outputs(&network.valid()), [3, 1]);
    assert_eq!(outputs(&network.clone().to_device(&flex())), [3, 1]);
    let trained = network.forward_train(x.clone(), &mut NoiseStream::none());
    assert_eq!(trained.unwrap().dims(), [3, 2]);
}

/// A file of every layer, read and written again.
#[test]
fn every_layer_is_written_as_it_is_read() {
    let text = concat!(
        r#"{"kind":"sequential","init":"he","layer":["#,
        r#"{"kind":"conv","filters":4,"kernel":3,"stride":1},"#,
        r#"{"kind":"conv","filters":4,"kernel":5,"stride":2,"padding":1},"#,
        r#"{"kind":"batch-norm"},{"kind":"relu"},{"kind":"gelu"},"#,
        r#"{"kind":"pool","method":"max","size":2},{"kind":"pool","method":"mean","size":2,"stride":1},"#,
        r#"{"kind":"residual","layer":[{"kind":"layer-norm"},{"kind":"tanh"}]},"#,
        r#"{"kind":"branches","join":"gated","branch":[{"channels":[[0,2],[3,4]],"layer":[{"kind":"tanh"}]},{}]},"#,
        r#"{"kind":"gru","units":3,"readout":"sequence"},{"kind":"lstm","units":3,"readout":"auto"},"#,
        r#"{"kind":"rate","units":3,"activation":"relu","dt":20.0,"time_constant":100.0,"readout":"mean"},"#,
        r#"{"kind":"rate","units":3,"activation":"tanh","dt":20.0,"time_constant":100.0,"dale_ratio":0.8,"readout":"last"},"#,
        r#"{"kind":"latent","units":2,"kl_weight":0.01},"#,
        r#"{"kind":"flatten"},{"kind":"dense","units":5},{"kind":"sigmoid"},{"kind":"dropout","probability":0.5}]}"#,
    );
    let config: ModelConfig = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
}
