//! The products against the definition, and the layer against Burn's.

use burn::tensor::{DType, Device, Tensor, TensorData, module};

use super::{cpu, linear, linear_relu};
use crate::testing::{assert_close, assert_one_result, devices, gpu, numbers, values};

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
