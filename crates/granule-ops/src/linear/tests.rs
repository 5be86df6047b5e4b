//! The products against the definition, and the layer against Burn's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{DType, Device, Tensor, TensorData, module};

use super::{bf16, cpu, linear, linear_relu, linear_with};
use crate::testing::{assert_close, assert_one_result, devices, gpu, numbers, values};
use crate::{Bf16Arithmetic, Factors};

/// Batch, inputs and outputs: single, odd, of one part and of several.
const SIZES: [[usize; 3]; 8] = [
    [3, 77, 35],
    [1, 1, 1],
    [9, 121, 16],
    [4, 5, 48],
    [6, 60, 7],
    [37, 301, 131],
    [64, 211, 90],
    [130, 1, 67],
];

#[test]
fn the_products_match_the_definition() {
    for size @ [batch, inputs, outputs] in SIZES {
        let (x, weight) = (numbers(batch * inputs, 3), numbers(inputs * outputs, 2));
        let (bias, grad) = (numbers(outputs, 4), numbers(batch * outputs, 1));
        let what = |of: &str| format!("{of} of {size:?}");
        let (mut y, mut of_x) = (Vec::new(), Vec::new());
        let mut of_weight = vec![0.0; inputs * outputs];
        let mut of_bias = vec![0.0; outputs];
        for (x, grad) in x.chunks_exact(inputs).zip(grad.chunks_exact(outputs)) {
            let column = |j: usize| {
                (0..inputs)
                    .map(|i| x[i] * weight[i * outputs + j])
                    .sum::<f64>()
            };
            y.extend((0..outputs).map(|j| column(j) + bias[j]));
            let rows = weight.chunks_exact(outputs);
            of_x.extend(rows.map(|row| row.iter().zip(grad).map(|(a, b)| a * b).sum::<f64>()));
            for (i, of_weight) in of_weight.chunks_exact_mut(outputs).enumerate() {
                for (sum, grad) in of_weight.iter_mut().zip(grad) {
                    *sum += x[i] * grad;
                }
            }
            of_bias
                .iter_mut()
                .zip(grad)
                .for_each(|(sum, grad)| *sum += grad);
        }
        let sizes = [inputs, outputs];
        let ours = cpu::forward(&x, &weight, &bias, inputs);
        assert_close(&ours, &y, 1e-13, &what("y"));
        for ours in [
            cpu::input_gradient(&grad, &weight, sizes),
            cpu::turned(&grad, &weight, sizes),
        ] {
            assert_close(&ours, &of_x, 1e-13, &what("∂L/∂x"));
        }
        let ours = cpu::weight_gradient(&x, &grad, sizes);
        assert_close(&ours, &of_weight, 1e-13, &what("∂L/∂W"));
        let ours = cpu::bias_gradient(&grad, outputs);
        assert_close(&ours, &of_bias, 1e-13, &what("∂L/∂b"));
    }
}

#[test]
fn a_gradient_in_used_memory_is_the_gradient() {
    let [batch, inputs, outputs] = [5, 301, 131];
    let (x, grad) = (numbers(batch * inputs, 1), numbers(batch * outputs, 2));
    let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
    let (x, grad) = (single(x), single(grad));
    let run = || cpu::weight_gradient(&x, &grad, [inputs, outputs]);
    let first = run();
    crate::give_back(vec![f32::NAN; inputs * outputs + 100]);
    assert!(run() == first && run() == first);
}

fn run(
    device: &Device,
    [batch, inputs, outputs]: [usize; 3],
    f: impl Fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>) -> Tensor<2>,
) -> [Vec<f64>; 4] {
    let tensor = |shape: &[usize], seed| {
        let data = TensorData::new(numbers(shape.iter().product(), seed), shape.to_vec());
        data.convert_dtype(DType::F32)
    };
    let x = Tensor::<2>::from_data(tensor(&[batch, inputs], 1), device).require_grad();
    let weight = Tensor::<2>::from_data(tensor(&[inputs, outputs], 2), device).require_grad();
    let bias = Tensor::<1>::from_data(tensor(&[outputs], 3), device).require_grad();
    let y = f(x.clone(), weight.clone(), Some(bias.clone()));
    let grads = (y.clone() * y.clone()).sum().backward();
    [
        values(y),
        x.grad(&grads).map(values).unwrap(),
        weight.grad(&grads).map(values).unwrap(),
        bias.grad(&grads).map(values).unwrap(),
    ]
}

#[test]
fn the_layer_equals_burns() {
    for device in devices().map(Device::autodiff) {
        // The last one is turned.
        for size in SIZES.into_iter().chain([[5, 1024, 515]]) {
            let (ours, theirs) = (
                run(&device, size, linear),
                run(&device, size, module::linear),
            );
            for ((ours, theirs), what) in ours.iter().zip(&theirs).zip(["y", "x", "weight", "bias"])
            {
                assert_close(ours, theirs, 1e-5, what);
            }
        }
    }
}

/// Single, odd, several workgroups of columns, and many rows for each.
#[test]
fn a_gpu_rectifies_a_layer_as_the_composed_form() {
    let Some(gpu) = gpu().map(Device::autodiff) else {
        return;
    };
    let composed = |x, weight, bias| module::linear(x, weight, bias).clamp_min(0.0);
    let without = |x, weight, _: Option<Tensor<1>>| linear_relu(x, weight, None);
    let flex = Device::flex().autodiff();
    for size in [[1, 1, 1], [3, 7, 5], [70, 3, 67]] {
        let ours = run(&gpu, size, linear_relu);
        let theirs = run(&flex, size, composed);
        for ((ours, theirs), what) in ours.iter().zip(&theirs).zip(["y", "x", "weight", "bias"]) {
            assert_close(ours, theirs, 1e-5, &format!("{what} of {size:?}"));
        }
        let place = |device: &Device| {
            let x = Tensor::<2>::ones([size[0], size[1]], device);
            let weight = Tensor::ones([size[1], size[2]], device).mul_scalar(0.25);
            values(without(x, weight, None))
        };
        assert_close(&place(&gpu), &place(&flex), 1e-6, "without a bias");
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    for size in [[5, 1024, 515], [64, 784, 128]] {
        assert_one_result(|| run(&Device::flex().autodiff(), size, linear));
    }
}

#[test]
#[allow(deprecated)]
fn both_backends_give_the_same_bits() {
    let size = [64, 301, 131];
    let [flex, ndarray] = devices().map(|device| run(&device.autodiff(), size, linear));
    assert!(flex == ndarray);
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|x| *x as f32).collect()
}

#[test]
fn products_in_bf16_are_within_the_bound() {
    for size @ [batch, inputs, outputs] in SIZES {
        let of = |count, seed| single(&numbers(count, seed));
        let (x, weight) = (of(batch * inputs, 3), of(inputs * outputs, 2));
        let (bias, grad) = (of(outputs, 4), of(batch * outputs, 1));
        let double = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let exact = [&x, &weight, &bias, &grad].map(|x| double(x));
        let all = exact
            .clone()
            .map(|x| x.iter().map(|x| x.abs()).collect::<Vec<_>>());
        let sizes = [inputs, outputs];
        let products = |[x, weight, bias, grad]: &[Vec<f64>; 4]| {
            [
                cpu::forward(x, weight, bias, inputs),
                cpu::weight_gradient(x, grad, sizes),
                cpu::input_gradient(grad, weight, sizes),
            ]
        };
        let (exact, all) = (products(&exact), products(&all));
        for arithmetic in [
            Bf16Arithmetic::of_this_processor(),
            Bf16Arithmetic::Emulated,
        ] {
            let ours = [
                bf16::forward(&x, &weight, &bias, inputs, arithmetic),
                bf16::weight_gradient(&x, &grad, sizes, arithmetic),
                bf16::input_gradient(&grad, &weight, sizes, arithmetic),
            ];
            for (which, depth) in [inputs, batch, outputs].into_iter().enumerate() {
                let (u, v) = (1.0 / 256.0, f64::from(f32::EPSILON) / 2.0);
                let roundings = (depth + 2) as f64 * v;
                let factor = (1.0 + u) * (1.0 + u) * (1.0 + roundings / (1.0 - roundings)) - 1.0;
                let pairs = exact[which].iter().zip(&all[which]);
                assert_eq!(ours[which].len(), exact[which].len());
                for (ours, (exact, all)) in ours[which].iter().zip(pairs) {
                    let error = (f64::from(*ours) - exact).abs();
                    assert!(error <= factor * all, "{size:?}, {which}: {error} of {all}");
                }
            }
        }
    }
}

/// Few samples are divided by columns, many by rows, and the sums of more than 512 terms are of several blocks.
#[test]
fn a_sample_in_bf16_has_the_same_bits_in_any_batch() {
    const BATCHES: [usize; 5] = [1, 5, 37, 96, 300];
    let (deep, wide) = (1_301, 131);
    let x = single(&numbers(300 * deep, 3));
    let (weight, bias) = (single(&numbers(deep * wide, 2)), single(&numbers(wide, 4)));
    for arithmetic in [
        Bf16Arithmetic::of_this_processor(),
        Bf16Arithmetic::Emulated,
    ] {
        let forward = |batch: usize| {
            let x = &x[..batch * deep];
            bf16::forward(x, &weight, &bias, deep, arithmetic)
        };
        let gradient = |batch: usize| {
            let grad = &x[..batch * deep];
            bf16::input_gradient(grad, &weight, [wide, deep], arithmetic)
        };
        let all = (forward(300), gradient(300));
        for batch in BATCHES {
            let len = batch * wide;
            assert!(forward(batch) == all.0[..len], "{batch}, {arithmetic:?}");
            assert!(gradient(batch) == all.1[..len], "{batch}, {arithmetic:?}");
        }
    }
}

#[test]
fn the_layer_in_bf16_is_its_products() {
    let size @ [batch, inputs, outputs] = [37, 301, 131];
    let (x, weight) = (numbers(batch * inputs, 3), numbers(inputs * outputs, 2));
    let (bias, slope) = (numbers(outputs, 4), numbers(batch * outputs, 1));
    let [x32, weight32, bias32, slope32] = [&x, &weight, &bias, &slope].map(|x| single(x));
    let arithmetic = Bf16Arithmetic::of_this_processor();
    for device in devices().map(Device::autodiff) {
        let tensor = |x: &[f32], shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(x.to_vec(), shape), &device).require_grad()
        };
        let (x, weight) = (
            tensor(&x32, [batch, inputs]),
            tensor(&weight32, [inputs, outputs]),
        );
        let bias = tensor(&bias32, [1, outputs]);
        let row = bias.clone().reshape([outputs]);
        let y = linear_with(x.clone(), weight.clone(), Some(row), Factors::Bf16);
        let slope = Tensor::from_data(TensorData::new(slope32.clone(), [batch, outputs]), &device);
        let grads = (y.clone() * slope).sum().backward();
        let of = |t: &Tensor<2>| {
            t.grad(&grads)
                .unwrap()
                .into_data()
                .try_into_vec::<f32>()
                .unwrap()
        };
        let sizes = [inputs, outputs];
        let found = y.into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(
            found,
            bf16::forward(&x32, &weight32, &bias32, inputs, arithmetic),
            "{size:?}"
        );
        assert_eq!(
            of(&x),
            bf16::input_gradient(&slope32, &weight32, sizes, arithmetic)
        );
        assert_eq!(
            of(&weight),
            bf16::weight_gradient(&x32, &slope32, sizes, arithmetic)
        );
        assert_eq!(of(&bias), cpu::bias_gradient(&slope32, outputs));
    }
}

#[test]
#[should_panic(expected = "factors in bfloat16 are of tensors in f32")]
fn there_is_no_bf16_without_gradients() {
    let x = Tensor::<2>::ones([2, 3], &Device::flex());
    linear_with(
        x,
        Tensor::ones([3, 2], &Device::flex()),
        None,
        Factors::Bf16,
    );
}

#[test]
#[should_panic(expected = "factors in bfloat16 are of tensors in f32")]
fn there_is_no_bf16_of_double_precision() {
    let device = Device::flex().autodiff();
    let ones = |shape: [usize; 2]| Tensor::<2>::ones(shape, (&device, DType::F64));
    linear_with(ones([2, 3]), ones([3, 2]), None, Factors::Bf16);
}

/// What is empty, and what does not fit together, is as in f32: the sizes of `y`, or Burn's words.
#[test]
fn empty_and_misfitting_tensors_are_as_in_f32() {
    let dims = |device: &Device, sizes: [usize; 5], factors| {
        let [batch, inputs, rows, outputs, biases] = sizes;
        let y = catch_unwind(AssertUnwindSafe(|| {
            let x = Tensor::<2>::ones([batch, inputs], device);
            let weight = Tensor::<2>::ones([rows, outputs], device).require_grad();
            let bias = Tensor::<1>::ones([biases], device);
            linear_with(x, weight, Some(bias), factors).dims()
        }));
        y.map_err(|said| {
            let text = said.downcast_ref::<&str>().map(|said| said.to_string());
            let text = text.or(said.downcast_ref::<String>().cloned());
            text.unwrap_or_default()
        })
    };
    for device in devices().map(Device::autodiff) {
        for sizes in [[0, 3, 3, 2, 2], [4, 3, 5, 2, 2], [4, 3, 3, 2, 5]] {
            let [full, bf16] =
                [Factors::Full, Factors::Bf16].map(|factors| dims(&device, sizes, factors));
            assert_eq!(full, bf16, "{sizes:?}");
            // Burn's ndarray refuses an empty batch, too.
            assert!(full.is_err() || sizes[0] == 0, "{sizes:?}: {full:?}");
        }
    }
}
