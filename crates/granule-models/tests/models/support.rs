//! What the tests share.

use burn::tensor::{Device, Tensor, TensorData};
use granule_device::DeviceSpec;
use granule_models::{
    CnnConfig, GruConfig, InputShape, InputSpec, LstmConfig, ModelConfig, ModelFile, Provenance,
    RateConfig, Readout, ResNetConfig, Task, WilsonCowanConfig, state,
};

pub fn flex() -> Device {
    DeviceSpec::Flex.open().unwrap().burn().clone()
}

pub fn ndarray() -> Device {
    DeviceSpec::NdArray.open().unwrap().burn().clone()
}

pub fn image(channels: usize, size: usize) -> InputShape {
    InputShape::Image {
        channels,
        height: size,
        width: size,
    }
}

/// Numbers in (−1, 1) that look random and are the same everywhere.
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
        })
        .collect()
}

pub fn samples(batch: usize, len: usize, device: &Device) -> Tensor<2> {
    let data = TensorData::new(noise(batch * len, 1), [batch, len]);
    Tensor::from_data(data, device)
}

pub fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

/// Every kind of model in a small form, with an input it takes.
pub fn small_models() -> Vec<(ModelConfig, InputShape)> {
    let mlp = ModelConfig::from_name("mlp").unwrap();
    let lenet = ModelConfig::from_name("lenet").unwrap();
    let cnn = |batch_norm| {
        ModelConfig::new(CnnConfig {
            channels: vec![3, 4],
            convolutions: 2,
            hidden: 6,
            dropout: 0.2,
            batch_norm,
            ..CnnConfig::default()
        })
    };
    let resnet = |depth, widths: &[usize]| {
        ModelConfig::new(ResNetConfig {
            depth,
            widths: widths.to_vec(),
            dropout: 0.1,
        })
    };
    let rate = |dale_ratio| {
        ModelConfig::new(RateConfig {
            units: 6,
            dale_ratio,
            ..RateConfig::default()
        })
    };
    // Every kind of layer but two, which `coarse_model` has.
    let sequential = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "conv", "filters": 4, "kernel": 5, "padding": 1},
        {"kind": "batch-norm"},
        {"kind": "relu"},
        {"kind": "residual", "layer": [
            {"kind": "conv", "filters": 4},
            {"kind": "layer-norm"},
            {"kind": "tanh"},
        ]},
        {"kind": "pool", "stride": 1},
        {"kind": "pool", "method": "mean"},
        {"kind": "dropout", "probability": 0.1},
        {"kind": "flatten"},
        {"kind": "dense", "units": 6},
        {"kind": "layer-norm"},
        {"kind": "relu"},
        {"kind": "dense", "units": 5},
        {"kind": "batch-norm"},
        {"kind": "tanh"},
    ]});
    let sequential = serde_json::from_value(sequential).unwrap();
    let recurrent = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "gru", "units": 4, "readout": "sequence"},
        {"kind": "residual", "layer": [{"kind": "lstm", "units": 4}]},
        {"kind": "rate", "units": 5, "dale_ratio": 0.6, "activation": "softplus"},
        {"kind": "flatten"},
        {"kind": "dense", "units": 4},
    ]});
    let recurrent = serde_json::from_value(recurrent).unwrap();
    let branches = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "branches", "branch": [
            {"channels": [[0, 1], [2, 3]], "layer": [
                {"kind": "pool", "method": "mean"},
                {"kind": "gru", "units": 3, "readout": "sequence"},
            ]},
            {"channels": [[1, 3]], "layer": [{"kind": "pool"}]},
        ]},
        {"kind": "branches", "join": "gated", "branch": [
            {"layer": [{"kind": "gru", "units": 4, "readout": "sequence"}]},
            {"layer": [{"kind": "lstm", "units": 4, "readout": "sequence"}]},
        ]},
        {"kind": "branches", "join": "mean", "branch": [
            {"layer": [{"kind": "flatten"}, {"kind": "dense", "units": 4}]},
            {"channels": [[0, 1]], "layer": [{"kind": "lstm", "units": 4, "readout": "last"}]},
        ]},
    ]});
    let branches = serde_json::from_value(branches).unwrap();
    let of_images = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "branches", "branch": [
            {"layer": [{"kind": "conv", "filters": 2}]},
            {"channels": [[1, 2]]},
        ]},
        {"kind": "branches", "join": "gated", "branch": [
            {"layer": [{"kind": "conv", "filters": 2, "stride": 2}]},
            {"channels": [[0, 1], [2, 3]], "layer": [{"kind": "pool", "method": "mean"}]},
        ]},
        {"kind": "branches", "join": "mean", "branch": [{}, {"layer": [{"kind": "tanh"}]}]},
    ]});
    let of_images = serde_json::from_value(of_images).unwrap();
    let latent = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "gru", "units": 4},
        {"kind": "latent", "units": 3, "kl_weight": 0.5},
        {"kind": "gru", "units": 4, "readout": "last"},
        {"kind": "latent", "units": 2, "kl_weight": 2.0},
    ]});
    let latent = serde_json::from_value(latent).unwrap();
    let trial = InputShape::Sequence {
        steps: 3,
        channels: 2,
    };
    let longer = InputShape::Sequence {
        steps: 5,
        channels: 3,
    };
    vec![
        (mlp, InputShape::Vector { len: 5 }),
        (lenet, image(1, 28)),
        (cnn(false), image(2, 8)),
        (cnn(true), image(2, 8)),
        (resnet(9, &[3, 4, 4, 5]), image(3, 8)),
        (resnet(8, &[3, 4, 5]), image(3, 8)),
        (sequential, image(2, 8)),
        (recurrent, image(2, 4)),
        (rate(None), trial),
        (rate(Some(0.8)), image(2, 8)),
        (
            GruConfig {
                units: 6,
                ..Default::default()
            }
            .into(),
            trial,
        ),
        (
            LstmConfig {
                units: 6,
                readout: Readout::Mean,
                ..Default::default()
            }
            .into(),
            image(2, 8),
        ),
        (
            WilsonCowanConfig {
                units: 6,
                ..Default::default()
            }
            .into(),
            trial,
        ),
        (branches, longer),
        (latent, longer),
        (of_images, image(2, 4)),
    ]
}

/// The activations whose gradients are coarse: on ndarray Burn's sigmoid is one of single precision, and its gelu has the
/// gradient of an approximation by tanh.
pub fn coarse_model() -> (ModelConfig, InputShape) {
    let layers = serde_json::json!({"kind": "sequential", "layer": [
        {"kind": "dense", "units": 6},
        {"kind": "gelu"},
        {"kind": "dense", "units": 5},
        {"kind": "sigmoid"},
    ]});
    let model = serde_json::from_value(layers).unwrap();
    (model, InputShape::Vector { len: 5 })
}

pub fn classifier_file(model: ModelConfig, shape: InputShape) -> ModelFile {
    let classes: Vec<String> = ["cat", "dog", "owl"].map(str::to_owned).to_vec();
    let network = model.init(&shape, classes.len(), 11, &flex()).unwrap();
    ModelFile {
        state: state::state_dict(&network).unwrap(),
        model,
        input: InputSpec {
            mean: vec![0.3; channels(&shape)],
            std: vec![0.2; channels(&shape)],
            ..InputSpec::new(shape)
        },
        task: Task::Classification { classes },
        provenance: Provenance {
            dataset: "noise".to_owned(),
            seed: u64::MAX,
            scores: [("test_accuracy".to_owned(), 0.125)].into(),
            ..Provenance::now()
        },
    }
}

fn channels(shape: &InputShape) -> usize {
    match *shape {
        InputShape::Image { channels, .. } => channels,
        InputShape::Vector { len } => len,
        InputShape::Sequence { channels, .. } => channels,
    }
}
