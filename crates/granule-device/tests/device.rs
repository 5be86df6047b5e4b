//! Naming, listing and opening devices, and one numerical body on every backend.
//!
//! Results in f32 are compared to `TOLERANCE` relative to the larger of 1 and the expected value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{process::Command, thread};

use burn::tensor::{
    Device, Tensor, TensorData, activation::softmax, module::conv2d, ops::ConvOptions,
};
use granule_device::{DeviceError, DeviceKind, DeviceSpec, list, table};
use support::open_or_skip;

const TOLERANCE: f32 = 1e-5;

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
            "{what}[{index}] is {found}, expected {expected}"
        );
    }
}

/// Small deterministic values in [-1, 1).
fn ramp(len: usize, step: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * step + 7) % 64) as f32 / 32.0 - 1.0)
        .collect()
}

fn matmul_matches_literals(device: &Device) {
    let a = tensor(&[1., 2., 3., 4.], [2, 2], device).require_grad();
    let b = tensor(&[5., 6., 7., 8.], [2, 2], device).require_grad();
    let product = a.clone().matmul(b.clone());
    let gradients = product.clone().sum().backward();
    assert_close("a·b", &values(product), &[19., 22., 43., 50.]);
    assert_close(
        "∂/∂a",
        &values(a.grad(&gradients).unwrap()),
        &[11., 15., 11., 15.],
    );
    assert_close(
        "∂/∂b",
        &values(b.grad(&gradients).unwrap()),
        &[4., 4., 6., 6.],
    );
}

fn softmax_matches_literals(device: &Device) {
    let logits = tensor(&[0., 2f32.ln(), 3f32.ln()], [1, 3], device).require_grad();
    let probabilities = softmax(logits.clone(), 1);
    let gradients = probabilities.clone().slice([0..1, 0..1]).sum().backward();
    assert_close(
        "softmax",
        &values(probabilities),
        &[1. / 6., 1. / 3., 1. / 2.],
    );
    assert_close(
        "∂p₀/∂logits",
        &values(logits.grad(&gradients).unwrap()),
        &[5. / 36., -1. / 18., -1. / 12.],
    );
}

fn conv2d_matches_literals(device: &Device) {
    let image = tensor(&[1., 2., 3., 4., 5., 6., 7., 8., 9.], [1, 1, 3, 3], device).require_grad();
    let kernel = tensor(&[1., 2., 3., 4.], [1, 1, 2, 2], device).require_grad();
    let weights = tensor(&[1., 2., 3., 4.], [1, 1, 2, 2], device);
    let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
    let output = conv2d(image.clone(), kernel.clone(), None, options);
    let gradients = (output.clone() * weights).sum().backward();
    assert_close("conv2d", &values(output), &[37., 47., 67., 77.]);
    assert_close(
        "∂/∂kernel",
        &values(kernel.grad(&gradients).unwrap()),
        &[37., 47., 67., 77.],
    );
    assert_close(
        "∂/∂image",
        &values(image.grad(&gradients).unwrap()),
        &[1., 4., 4., 6., 20., 16., 9., 24., 16.],
    );
}

/// A padded, strided convolution and a linear layer: output, and the gradients of kernel and matrix.
fn network(device: &Device, batch: usize, channels: usize, side: usize) -> [Vec<f32>; 3] {
    let half = side.div_ceil(2);
    let features = channels * half * half;
    let image = tensor(
        &ramp(batch * 3 * side * side, 5),
        [batch, 3, side, side],
        device,
    );
    let kernel = tensor(&ramp(channels * 27, 11), [channels, 3, 3, 3], device).require_grad();
    let matrix = tensor(&ramp(features * 10, 13), [features, 10], device).require_grad();
    let options = ConvOptions::new([2, 2], [1, 1], [1, 1], 1);
    let hidden = conv2d(image, kernel.clone(), None, options).tanh();
    let output = softmax(
        hidden.reshape([batch, features]).matmul(matrix.clone()) * 0.01,
        1,
    );
    let gradients = output.clone().powf_scalar(2.0).sum().backward();
    [
        values(output),
        values(kernel.grad(&gradients).unwrap()),
        values(matrix.grad(&gradients).unwrap()),
    ]
}

fn network_matches_ndarray(device: &Device) {
    let reference = DeviceSpec::NdArray
        .open()
        .unwrap()
        .burn()
        .clone()
        .autodiff();
    let expected = network(&reference, 2, 4, 8);
    let found = network(device, 2, 4, 8);
    for (what, (found, expected)) in ["output", "∂/∂kernel", "∂/∂matrix"]
        .iter()
        .zip(found.iter().zip(&expected))
    {
        assert_close(what, found, expected);
    }
}

macro_rules! on_device {
    ($name:ident, $word:literal) => {
        mod $name {
            use super::*;

            #[test]
            fn computes_and_differentiates() {
                let Some(device) = open_or_skip($word) else {
                    return;
                };
                let training = device.burn().clone().autodiff();
                matmul_matches_literals(&training);
                softmax_matches_literals(&training);
                conv2d_matches_literals(&training);
                network_matches_ndarray(&training);
                device.sync().unwrap();
            }

            #[test]
            fn opens_once_from_many_threads() {
                if open_or_skip($word).is_none() {
                    return;
                }
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        thread::spawn(|| {
                            let device = $word.parse::<DeviceSpec>().unwrap().open().unwrap();
                            let one = tensor(&[1.0], [1], device.burn());
                            (device, values(one + 1.0))
                        })
                    })
                    .collect();
                let opened: Vec<_> = threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect();
                for (device, sum) in &opened {
                    assert_eq!(device.burn(), opened[0].0.burn());
                    assert_eq!(sum, &[2.0]);
                }
            }
        }
    };
}

on_device!(ndarray, "ndarray");
on_device!(flex, "flex");
on_device!(wgpu_software, "wgpu:software");

/// The same bits run after run, with the worker threads busy: what exact resumption rests on.
#[test]
fn cpu_backends_repeat_bit_for_bit() {
    for word in ["flex", "ndarray"] {
        let device = word
            .parse::<DeviceSpec>()
            .unwrap()
            .open()
            .unwrap()
            .burn()
            .clone()
            .autodiff();
        let bits = || {
            network(&device, 64, 32, 16)
                .map(|part| part.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        let first = bits();
        for repetition in 1..8 {
            assert!(
                bits() == first,
                "{word} gave other bits in repetition {repetition}"
            );
        }
    }
}

#[test]
fn the_listing_names_what_opens() {
    let entries = list();
    for word in ["flex", "ndarray"] {
        let entry = entries
            .iter()
            .find(|entry| entry.spec.to_string() == word)
            .unwrap();
        assert!(
            entry.available && entry.kind == DeviceKind::Cpu,
            "{entry:?}"
        );
    }
    for entry in entries
        .iter()
        .filter(|entry| entry.available && entry.backend != "cuda")
    {
        let device = entry.spec.open().unwrap();
        assert_eq!(
            (device.spec(), device.name()),
            (&entry.spec, entry.name.as_str())
        );
        assert_eq!(device.is_host(), entry.kind == DeviceKind::Cpu);
        assert_eq!(device.reason(), None);
    }
    let missing: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.available && entry.note.is_none())
        .collect();
    assert!(
        missing.is_empty(),
        "unavailable without a reason: {missing:?}"
    );
}

#[test]
fn auto_takes_the_entry_that_the_listing_marks() {
    let entries = list();
    let marked: Vec<_> = entries.iter().filter(|entry| entry.auto).collect();
    assert_eq!(marked.len(), 1);
    let device = DeviceSpec::Auto.open().unwrap();
    assert_eq!(device.spec(), &marked[0].spec);
    assert_eq!(device.requested(), &DeviceSpec::Auto);
    assert_ne!(marked[0].kind, DeviceKind::Software);
    assert!(
        device.reason().unwrap().starts_with("auto took "),
        "{:?}",
        device.reason()
    );
}

#[test]
fn cpu_is_flex_and_says_so() {
    let device = DeviceSpec::Cpu.open().unwrap();
    assert_eq!(
        (device.spec(), device.requested()),
        (&DeviceSpec::Flex, &DeviceSpec::Cpu)
    );
    assert!(device.is_host() && device.reason().unwrap().contains("flex"));
}

#[test]
fn without_a_real_gpu_the_words_for_one_are_errors() {
    let entries = list();
    if entries.iter().any(|entry| {
        entry.available && !matches!(entry.kind, DeviceKind::Cpu | DeviceKind::Software)
    }) {
        println!("skipped: this machine has a real GPU");
        return;
    }
    for word in ["gpu", "wgpu", "wgpu:discrete:0"] {
        let error = word.parse::<DeviceSpec>().unwrap().open().unwrap_err();
        assert!(matches!(error, DeviceError::Absent { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("`{word}`")) && text.contains("use `flex`"),
            "{text}"
        );
        if let Some(software) = entries
            .iter()
            .find(|entry| entry.kind == DeviceKind::Software)
        {
            assert!(
                text.contains("`wgpu:software`") && text.contains(&software.name),
                "{text}"
            );
        }
    }
}

#[test]
fn an_absent_index_is_an_error() {
    for word in [
        "wgpu:discrete:77",
        "wgpu:software:9",
        "wgpu:virtual:18446744073709551615",
    ] {
        let error = word.parse::<DeviceSpec>().unwrap().open().unwrap_err();
        assert!(matches!(error, DeviceError::Absent { .. }), "{error:?}");
    }
}

#[test]
fn a_backend_left_out_names_its_cargo_feature() {
    for (word, feature, compiled) in [
        ("cuda:0", "cuda", cfg!(feature = "cuda")),
        ("vulkan:discrete:0", "vulkan", cfg!(feature = "vulkan")),
        ("metal", "metal", cfg!(feature = "metal")),
    ] {
        if compiled {
            println!("skipped: {word} is compiled in");
            continue;
        }
        let error = word.parse::<DeviceSpec>().unwrap().open().unwrap_err();
        assert!(
            matches!(error, DeviceError::NotCompiled { .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().contains(&format!("--features {feature}")),
            "{error}"
        );
    }
}

#[test]
fn the_table_lines_up() {
    let entries = list();
    let text = table(&entries);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), entries.len() + 1);
    let column = lines[0].find("KIND").unwrap();
    for (line, entry) in lines[1..].iter().zip(&entries) {
        let cell: String = line.chars().skip(column).collect();
        assert!(cell.starts_with(&entry.kind.to_string()), "{text}");
        assert_eq!(line.starts_with('*'), entry.auto, "{text}");
    }
}

#[test]
fn entries_serialise_with_the_word_that_opens_them() {
    let json = serde_json::to_value(list()).unwrap();
    let flex = json
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["spec"] == "flex")
        .unwrap();
    assert_eq!(flex["kind"], "cpu");
    assert_eq!(flex["available"], true);
    let spec: DeviceSpec = serde_json::from_value(flex["spec"].clone()).unwrap();
    assert_eq!(spec, DeviceSpec::Flex);
    assert!(serde_json::from_str::<DeviceSpec>("\"flexx\"").is_err());
}

/// Runs one test of this binary in a process of its own with other variables.
fn in_child(test: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--ignored"])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
#[ignore = "the body of variables_of_burn_and_cubecl_change_nothing"]
fn child_opens_named_devices() {
    for word in ["cpu", "auto", "ndarray", "wgpu:software"] {
        let device = word.parse::<DeviceSpec>().unwrap().open();
        match device {
            Ok(device) => println!("opened {word}: {} {}", device.spec(), device.name()),
            Err(error) => println!("opened {word}: {error}"),
        }
    }
}

#[test]
fn variables_of_burn_and_cubecl_change_nothing() {
    let opened = |variables: &[(&str, &str)]| -> Vec<String> {
        in_child("child_opens_named_devices", variables)
            .lines()
            .filter_map(|line| line.find("opened ").map(|start| line[start..].to_owned()))
            .collect()
    };
    let plain = opened(&[]);
    assert_eq!(plain.len(), 4, "{plain:?}");
    let disturbed = opened(&[
        ("BURN_DEVICE", "cuda"),
        ("CUBECL_WGPU_DEFAULT_DEVICE", "DiscreteGpu(7)"),
        ("CUBECL_WGPU_MAX_TASKS", "nonsense"),
        ("WGPU_BACKEND", "gl"),
        ("WGPU_ADAPTER_NAME", "nothing"),
    ]);
    assert_eq!(plain, disturbed);
}

/// A machine whose Vulkan loader finds no driver lists what is left and opens `auto`.
#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_a_vulkan_driver_still_has_its_cpu() {
    let opened = in_child(
        "child_opens_named_devices",
        &[
            ("VK_DRIVER_FILES", "/nonexistent.json"),
            ("VK_ICD_FILENAMES", "/nonexistent.json"),
        ],
    );
    assert!(opened.contains("opened auto: flex"), "{opened}");
    assert!(
        opened.contains("no device `wgpu:software` here"),
        "{opened}"
    );
}

#[test]
#[ignore = "the body of the_variable_sets_the_device"]
fn child_reads_the_variable() {
    match DeviceSpec::from_env() {
        Ok(spec) => println!("read {spec:?}"),
        Err(error) => println!("read {error}"),
    }
}

#[test]
fn the_variable_sets_the_device() {
    let read = |value| in_child("child_reads_the_variable", &[("GRANULE_DEVICE", value)]);
    assert!(read("wgpu:integrated:1").contains("read Some(Wgpu(Integrated(1)))"));
    assert!(read("").contains("read None"));
    let wrong = read("ndarry");
    assert!(
        wrong.contains("GRANULE_DEVICE") && wrong.contains("did you mean `ndarray`"),
        "{wrong}"
    );
}
