//! Inference on the CPU against the modules that it stands for.

use burn::tensor::{Device, Tensor, TensorData};
use granule_models::{
    Activation, CnnConfig, InputShape, InputSpec, MlpConfig, Model as _, ModelConfig, ModelFile,
    Predictor, Provenance, Sample, Task, state,
};
use serde_json::{Value, json};

use crate::support::{coarse_model, flex, image, ndarray, noise, small_models};

/// A file of the model with weights and running statistics that are all different, and targets on a scale of their own.
fn file(model: ModelConfig, shape: InputShape, seed: u32) -> ModelFile {
    let network = model.init(&shape, 3, u64::from(seed), &flex()).unwrap();
    let mut state = state::state_dict(&network).unwrap();
    for (index, (name, tensor)) in state.0.iter_mut().enumerate() {
        let drawn = noise(tensor.data.len(), seed + index as u32);
        let values = tensor.data.iter_mut().zip(drawn);
        match name.rsplit('.').next() {
            Some("gamma") => values.for_each(|(x, drawn)| *x = 1.0 + 0.5 * drawn),
            Some("running_var") => values.for_each(|(x, drawn)| *x = 0.8 + 0.6 * drawn),
            Some("beta" | "running_mean" | "bias") => {
                values.for_each(|(x, drawn)| *x = 0.3 * drawn);
            }
            _ => {}
        }
    }
    ModelFile {
        model,
        input: InputSpec::new(shape),
        task: Task::regression(3),
        provenance: Provenance::now(),
        state,
    }
}

/// What the module itself gives.
fn by_module(file: &ModelFile, device: &Device, values: &[f32]) -> Vec<f32> {
    let len = file.input.shape.len();
    let network = file.network(device).unwrap();
    let data = TensorData::new(values.to_vec(), [values.len() / len, len]);
    let outputs = network.forward(Tensor::from_data(data, device)).unwrap();
    outputs.into_data().try_into_vec().unwrap()
}

/// Brightnesses of images, values of anything else.
fn samples(file: &ModelFile, count: usize) -> Vec<f32> {
    let drawn = noise(count * file.input.shape.len(), 3);
    match file.input.shape {
        InputShape::Image { .. } => drawn.iter().map(|x| 0.5 * x + 0.5).collect(),
        _ => drawn,
    }
}

fn outputs(predictor: &Predictor, values: &[f32]) -> Vec<Vec<f32>> {
    let len = predictor.input().shape.len();
    let samples: Vec<Sample<'_>> = values.chunks(len).map(Sample::Values).collect();
    predictor.outputs_batch(&samples).unwrap()
}

fn check(file: &ModelFile, devices: &[Device], counts: &[usize]) {
    let most = counts.iter().max().copied().unwrap();
    let values = samples(file, most);
    let len = file.input.shape.len();
    for device in devices {
        let predictor = Predictor::from_file(file, device).unwrap();
        let expected = by_module(file, device, &values);
        let largest = expected.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        for &count in counts {
            let values = &values[..count * len];
            let together = outputs(&predictor, values);
            assert_eq!(together.len(), count);
            for (found, expected) in together.iter().flatten().zip(&expected) {
                let off = (found - expected).abs() / largest;
                assert!(off < 1e-5, "{:?}: {found} {expected}", file.model);
            }
        }
    }
}

/// Whether each sample alone gives the same bits as in the batch.
fn check_alone(file: &ModelFile, count: usize) {
    let values = samples(file, count);
    let predictor = Predictor::from_file(file, &flex()).unwrap();
    let together = outputs(&predictor, &values);
    for (values, together) in values.chunks(file.input.shape.len()).zip(&together) {
        assert_eq!(
            &predictor.outputs(Sample::Values(values)).unwrap(),
            together
        );
    }
}

#[test]
fn every_kind_of_model_gives_what_its_module_does() {
    let mut models = small_models();
    models.push(coarse_model());
    for (seed, (model, shape)) in (1..).zip(models) {
        let file = file(model, shape, seed);
        check(&file, &[flex(), ndarray()], &[1, 2, 17]);
    }
}

#[test]
fn models_of_their_own_size_give_what_their_modules_do() {
    let named = |name| ModelConfig::from_name(name).unwrap();
    for (model, shape, counts) in [
        (named("mlp"), image(1, 28), &[1, 2, 17, 256][..]),
        (named("lenet"), image(1, 28), &[1, 17, 256]),
        (named("lenet"), image(3, 32), &[1, 17]),
        (named("cnn"), image(3, 32), &[1, 2]),
        (
            ModelConfig::new(CnnConfig {
                channels: vec![32, 48],
                convolutions: 2,
                batch_norm: true,
                hidden: 40,
                ..CnnConfig::default()
            }),
            image(3, 18),
            &[1, 17],
        ),
    ] {
        let file = file(model, shape, 5);
        check(&file, &[flex()], counts);
        check_alone(&file, counts[counts.len() - 1].min(20));
    }
    for activation in [Activation::Gelu, Activation::Tanh, Activation::Sigmoid] {
        let model = MlpConfig {
            widths: vec![70, 9],
            activation,
            ..MlpConfig::default()
        };
        let file = file(model.into(), InputShape::Vector { len: 300 }, 6);
        check(&file, &[flex(), ndarray()], &[1, 256]);
        check_alone(&file, 256);
    }
}

/// Layers that a plan knows, drawn so that they fit.
fn drawn_layers(seed: u32) -> (Vec<Value>, InputShape) {
    let mut drawn = noise(1000, seed).into_iter();
    let mut below = |count: usize| {
        let x = f64::from(drawn.next().unwrap()) * 0.5 + 0.5;
        (x * count as f64) as usize % count
    };
    let (channels, mut side) = (1 + below(4), 6 + below(9));
    let shape = image(channels, side);
    let mut layers = Vec::new();
    let activations = ["relu", "gelu", "tanh", "sigmoid"];
    for _ in 0..1 + below(4) {
        let kernel = 1 + below(side.min(5));
        let (stride, padding) = (1 + below(2), below(kernel));
        let filters = [3, 8, 16, 21, 32][below(5)];
        layers.push(json!({"kind": "conv", "filters": filters, "kernel": kernel,
            "stride": stride, "padding": padding}));
        side = (side + 2 * padding - kernel) / stride + 1;
        for _ in 0..below(4) {
            layers.push(match below(4) {
                0 => json!({"kind": "batch-norm"}),
                1 => json!({"kind": "dropout", "probability": 0.2}),
                2 => json!({"kind": activations[below(4)]}),
                _ => {
                    let size = 1 + below(side.min(3));
                    let stride = 1 + below(3);
                    side = (side - size) / stride + 1;
                    json!({"kind": "pool", "size": size, "stride": stride})
                }
            });
        }
    }
    layers.push(json!({"kind": "flatten"}));
    for _ in 0..below(4) {
        layers.push(match below(3) {
            0 => json!({"kind": "dense", "units": 1 + below(90)}),
            1 => json!({"kind": "batch-norm"}),
            _ => json!({"kind": activations[below(4)]}),
        });
    }
    (layers, shape)
}

#[test]
fn any_layers_give_what_their_module_does() {
    for seed in 1..=60 {
        let (layers, shape) = drawn_layers(seed);
        let model = json!({"kind": "sequential", "layer": layers});
        let model: ModelConfig = serde_json::from_value(model).unwrap();
        let file = file(model, shape, seed);
        check(&file, &[flex()], &[1, 2, 17]);
        check_alone(&file, 5);
    }
}

#[test]
fn calls_at_once_do_not_meet() {
    let file = file(ModelConfig::from_name("lenet").unwrap(), image(1, 28), 2);
    let predictor = Predictor::from_file(&file, &flex()).unwrap();
    let values = samples(&file, 24);
    let expected = outputs(&predictor, &values);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (predictor, values, expected) = (&predictor, &values, &expected);
            scope.spawn(move || {
                for round in 0..6 {
                    if (thread + round) % 3 == 0 {
                        assert_eq!(&outputs(predictor, values), expected);
                        continue;
                    }
                    for (values, expected) in values.chunks(28 * 28).zip(expected) {
                        let found = predictor.outputs(Sample::Values(values)).unwrap();
                        assert_eq!(&found, expected);
                    }
                }
            });
        }
    });
}

#[test]
fn outputs_are_written_where_there_is_room_for_them() {
    let file = file(ModelConfig::from_name("mlp").unwrap(), image(1, 8), 3);
    let predictor = Predictor::from_file(&file, &flex()).unwrap();
    let values = samples(&file, 1);
    let sample = Sample::Values(&values);
    let mut out = [0.0; 3];
    predictor.outputs_into(sample, &mut out).unwrap();
    assert_eq!(out, predictor.outputs(sample).unwrap()[..]);
    let error = predictor.outputs_into(sample, &mut [0.0; 2]).unwrap_err();
    assert!(error.to_string().contains("3 values"), "{error}");
}
