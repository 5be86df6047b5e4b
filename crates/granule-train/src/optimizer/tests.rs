//! Five updates against PyTorch 2.15: over slices, over tensors, and by the kernels of a GPU.

use burn::tensor::{Device, Tensor, TensorData};
use granule_device::DeviceSpec;

use super::*;
use crate::config::{AdamConfig, AdamWConfig, RmsPropConfig, SgdConfig};

const WEIGHT: [f32; 3] = [0.5, -1.0, 2.0];
const GRADIENTS: [[f32; 3]; 5] = [
    [0.1, -0.2, 0.3],
    [0.4, 0.05, -0.6],
    [-0.3, 0.2, 0.1],
    [0.25, -0.15, 0.0],
    [-0.05, 0.35, -0.45],
];

fn device() -> Device {
    DeviceSpec::Flex.open().unwrap().burn().clone()
}

fn at(step: usize, lr: f64) -> UpdateContext {
    UpdateContext {
        step: step as u64 + 1,
        lr,
        gradient_scale: 1.0,
    }
}

fn on_slices(config: &OptimizerConfig) -> Vec<f32> {
    let rule = rule(config);
    let mut weight = WEIGHT;
    let mut state = vec![[0.0f32; 3]; rule.slots().len()];
    for (step, gradient) in GRADIENTS.iter().enumerate() {
        let mut state: Vec<_> = state.iter_mut().map(|slot| slot.as_mut_slice()).collect();
        rule.update(&at(step, config.lr()), &mut weight, gradient, &mut state);
    }
    weight.to_vec()
}

fn on_tensors(config: &OptimizerConfig) -> Vec<f32> {
    let device = device();
    let rule = rule(config);
    let mut weight = Tensor::<1>::from_data(WEIGHT, &device);
    let mut state: Vec<_> = rule
        .slots()
        .iter()
        .map(|_| Tensor::zeros([3], &device))
        .collect();
    for (step, gradient) in GRADIENTS.iter().enumerate() {
        let gradient = Tensor::from_data(*gradient, &device);
        weight = rule.update_tensor(&at(step, config.lr()), weight, gradient, &mut state);
    }
    weight.try_into_vec_as::<f32>().unwrap()
}

fn gpu() -> Option<Device> {
    let found = ["gpu", "wgpu:software"].iter().find_map(|name| {
        let spec: DeviceSpec = name.parse().unwrap();
        spec.open().ok()
    });
    if found.is_none() {
        assert!(
            std::env::var_os("GRANULE_REQUIRE_WGPU").is_none(),
            "GRANULE_REQUIRE_WGPU is set and there is no wgpu adapter"
        );
        eprintln!("skipped on wgpu: no adapter");
    }
    Some(found?.burn().clone())
}

/// By the kernel of a rule, where it has one.
fn on_gpu(config: &OptimizerConfig, device: &Device) -> Option<Vec<f32>> {
    let rule = rule(config);
    let mut weight = Tensor::<1>::from_data(WEIGHT, device);
    let slots = rule.slots();
    let zeros = slots.iter().map(|_| Tensor::zeros([3], device));
    let mut state: Vec<_> = zeros.collect();
    for (step, gradient) in GRADIENTS.iter().enumerate() {
        let gradient = Tensor::from_data(*gradient, device);
        let rule = rule.on_gpu(&at(step, config.lr()))?;
        let updated = update_on_gpu(&weight, &gradient, None, &state, rule);
        (weight, state) = updated.unwrap();
    }
    Some(weight.try_into_vec_as::<f32>().unwrap())
}

#[test]
fn five_updates_equal_pytorch() {
    let gpu = gpu();
    let sgd = |c: SgdConfig| OptimizerConfig::Sgd(SgdConfig { lr: 0.1, ..c });
    let decay = SgdConfig {
        weight_decay: 0.01,
        ..SgdConfig::default()
    };
    let cases = [
        (
            "sgd",
            sgd(SgdConfig {
                momentum: 0.0,
                ..Default::default()
            }),
            [0.460000008, -1.02499998, 2.06500006],
        ),
        (
            "sgd with momentum and L2",
            sgd(decay),
            [0.354175955, -0.983116925, 2.07517219],
        ),
        (
            "sgd with Nesterov momentum and L2",
            sgd(SgdConfig {
                nesterov: true,
                ..decay
            }),
            [0.326817513, -1.00506127, 2.1226294],
        ),
        (
            "sgd with decoupled decay",
            sgd(SgdConfig {
                decoupled: true,
                ..decay
            }),
            [0.35804674, -0.991112828, 2.09137058],
        ),
        (
            "adam",
            OptimizerConfig::Adam(AdamConfig {
                lr: 0.01,
                ..Default::default()
            }),
            [0.472759128, -0.989030421, 2.0011282],
        ),
        (
            "adam with L2",
            OptimizerConfig::Adam(AdamConfig {
                lr: 0.01,
                beta1: 0.8,
                beta2: 0.95,
                epsilon: 1e-6,
                weight_decay: 0.1,
            }),
            [0.468883425, -0.973206997, 1.98203468],
        ),
        (
            "adamw",
            OptimizerConfig::AdamW(AdamWConfig {
                lr: 0.01,
                weight_decay: 0.1,
                ..Default::default()
            }),
            [0.470337957, -0.984092176, 1.99117208],
        ),
        (
            "rmsprop",
            OptimizerConfig::RmsProp(RmsPropConfig {
                lr: 0.01,
                ..Default::default()
            }),
            [0.32654658, -1.02150691, 2.03060007],
        ),
        (
            "rmsprop centred",
            OptimizerConfig::RmsProp(RmsPropConfig {
                lr: 0.01,
                centered: true,
                ..Default::default()
            }),
            [0.325251132, -1.02116382, 2.03036213],
        ),
        (
            "rmsprop centred, with momentum and L2",
            OptimizerConfig::RmsProp(RmsPropConfig {
                lr: 0.01,
                alpha: 0.9,
                epsilon: 1e-6,
                momentum: 0.9,
                centered: true,
                weight_decay: 0.1,
            }),
            [0.264011741, -0.853685617, 1.88906038],
        ),
    ];
    for (name, config, expected) in cases {
        let kernel = gpu.as_ref().and_then(|gpu| on_gpu(&config, gpu));
        let is_rmsprop = matches!(config, OptimizerConfig::RmsProp(_));
        assert_eq!(kernel.is_none(), is_rmsprop || gpu.is_none(), "{name}");
        let others = [
            ("slices", on_slices(&config)),
            ("tensors", on_tensors(&config)),
        ];
        let kernel = kernel.map(|found| ("kernels", found));
        for (form, found) in others.into_iter().chain(kernel) {
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 2e-6,
                    "{name} over {form}: {found} is not {expected}"
                );
            }
        }
    }
}

/// A module of one parameter.
#[derive(burn::module::Module, Debug)]
struct One {
    weight: Param<Tensor<1>>,
}

fn one(values: &[f32]) -> One {
    let device = device().autodiff();
    One {
        weight: Param::from_data(TensorData::new(values.to_vec(), [values.len()]), &device),
    }
}

/// A gradient that is exactly `gradient`.
fn backward(module: &One, gradient: &[f32], host: bool) -> Gradient {
    let weight = module.weight.val();
    let gradient = Tensor::<1>::from_data(
        TensorData::new(gradient.to_vec(), [gradient.len()]),
        &weight.device(),
    );
    Gradient::collect(weight.mul(gradient).sum().backward(), module, host).unwrap()
}

#[test]
fn clipping_equals_pytorch() {
    for host in [true, false] {
        let mut module = one(&WEIGHT);
        let config = OptimizerConfig::Sgd(SgdConfig {
            lr: 0.1,
            momentum: 0.0,
            ..Default::default()
        });
        let mut optimizer = Optimizer::new(&config, Some(0.4), &module, host);
        let mut norms = Vec::new();
        for gradient in &GRADIENTS {
            let gradient = backward(&module, gradient, host);
            let (updated, norm) = optimizer.step(module, gradient, 0.1).unwrap();
            module = updated;
            norms.push(norm.unwrap().value().unwrap());
        }
        let found = module.weight.val().try_into_vec_as::<f32>().unwrap();
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        for (found, expected) in found
            .iter()
            .zip([0.4763599634, -1.0122305155, 2.0246555805])
        {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let expected = [
            0.3741657436,
            0.7228416204,
            0.3741657734,
            0.2915475965,
            0.5722761154,
        ];
        for (found, expected) in norms.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}

#[test]
fn a_limit_of_zero_is_none() {
    for host in [true, false] {
        let updated = |limit: Option<f64>| {
            let module = one(&WEIGHT);
            let config = OptimizerConfig::Sgd(SgdConfig::default());
            let mut optimizer = Optimizer::new(&config, limit, &module, host);
            let gradient = backward(&module, &GRADIENTS[1], host);
            let (module, norm) = optimizer.step(module, gradient, 0.1).unwrap();
            assert_eq!(norm.is_some(), limit == Some(1e-3));
            module.weight.val().try_into_vec_as::<f32>().unwrap()
        };
        assert_eq!(updated(Some(0.0)), updated(None));
        assert_ne!(updated(Some(1e-3)), updated(None));
    }
}

/// What had no gradient for a while is updated as if it had only begun, in a copy as well.
#[test]
fn a_parameter_that_was_left_out_begins_anew() {
    let config = OptimizerConfig::Adam(AdamConfig::default());
    for host in [true, false] {
        let mut module = one(&WEIGHT);
        let mut late = Optimizer::new(&config, None, &module, host);
        let none = || Gradient::of(GradientsParams::new(), &one(&WEIGHT), host).unwrap();
        for _ in 0..5 {
            module = late.step(module, none(), 0.1).unwrap().0;
        }
        let state = late.state_dict().unwrap();
        assert_eq!(state.0["missed.weight"].data, [0.0, 5.0]);
        let mut copy = Optimizer::new(&config, None, &module, host);
        copy.load_state_dict(state, 5, &device()).unwrap();
        let mut fresh = Optimizer::new(&config, None, &module, host);
        let mut results = Vec::new();
        for optimizer in [&mut late, &mut copy, &mut fresh] {
            let mut module = module.clone();
            for gradient in &GRADIENTS[..2] {
                let gradient = backward(&module, gradient, host);
                module = optimizer.step(module, gradient, 0.1).unwrap().0;
            }
            results.push(module.weight.val().try_into_vec_as::<f32>().unwrap());
        }
        assert_eq!(results[0], results[2]);
        assert_eq!(results[1], results[2]);
        assert_eq!(
            late.state_dict().unwrap().0["missed.weight"].data,
            [0.0, 5.0]
        );
    }
}

#[test]
fn state_survives_a_copy_and_names_what_does_not_fit() {
    let config = OptimizerConfig::Adam(AdamConfig::default());
    for host in [true, false] {
        let mut module = one(&WEIGHT);
        let mut optimizer = Optimizer::new(&config, None, &module, host);
        let gradient = backward(&module, &GRADIENTS[0], host);
        module = optimizer.step(module, gradient, 0.1).unwrap().0;
        let state = optimizer.state_dict().unwrap();
        assert_eq!(
            state.0.keys().collect::<Vec<_>>(),
            ["exp_avg.weight", "exp_avg_sq.weight"]
        );

        let mut copy = Optimizer::new(&config, None, &module, host);
        copy.load_state_dict(state.clone(), 1, &device()).unwrap();
        let mut results = Vec::new();
        for optimizer in [&mut optimizer, &mut copy] {
            let gradient = backward(&module, &GRADIENTS[1], host);
            let updated = optimizer.step(module.clone(), gradient, 0.1).unwrap().0;
            results.push(updated.weight.val().try_into_vec_as::<f32>().unwrap());
        }
        assert_eq!(results[0], results[1]);

        let mut missing = state.clone();
        missing.0.remove("exp_avg.weight");
        let mut more = state.clone();
        more.0
            .insert("exp_avg.bias".into(), state.0["exp_avg.weight"].clone());
        let mut other = state.clone();
        other.0.get_mut("exp_avg.weight").unwrap().shape = vec![3, 1];
        for (bad, name) in [
            (missing, "exp_avg.weight"),
            (more, "exp_avg.bias"),
            (other, "exp_avg.weight"),
        ] {
            let reason = copy.load_state_dict(bad, 1, &device()).unwrap_err();
            assert!(reason.contains(name), "{reason}");
        }
    }
}

/// Clipping and what is kept on the way are those of the host.
#[test]
fn a_gpu_trains_as_the_host_does() {
    let Some(gpu) = gpu() else { return };
    let config = OptimizerConfig::AdamW(AdamWConfig::default());
    let run = |device: &Device, host: bool| {
        let device = device.clone().autodiff();
        let mut module = One {
            weight: Param::from_data(TensorData::from(WEIGHT), &device),
        };
        let mut optimizer = Optimizer::new(&config, Some(0.4), &module, host);
        for gradient in &GRADIENTS {
            let gradient = backward(&module, gradient, host);
            module = optimizer.step(module, gradient, 0.1).unwrap().0;
        }
        let mut all = module.weight.val().try_into_vec_as::<f32>().unwrap();
        let state = optimizer.state_dict().unwrap();
        all.extend(state.0.into_values().flat_map(|value| value.data));
        all
    };
    let (found, expected) = (run(&gpu, false), run(&device(), true));
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}
