//! The gradient of the input against the definition, and the layer against Burn's.

use burn::tensor::{DType, Device, Tensor, TensorData, module};

use super::{cpu, linear};
use crate::testing::{assert_close, assert_one_result, devices, numbers, values};

#[test]
fn the_gradient_of_the_input_matches_the_definition() {
    for [batch, inputs, outputs] in [[3, 77, 35], [1, 1, 1], [9, 121, 16], [4, 5, 48], [6, 60, 7]] {
        let (grad, weight) = (numbers(batch * outputs, 1), numbers(inputs * outputs, 2));
        let mut expected = Vec::new();
        for grad in grad.chunks_exact(outputs) {
            let rows = weight.chunks_exact(outputs);
            expected.extend(rows.map(|row| row.iter().zip(grad).map(|(a, b)| a * b).sum::<f64>()));
        }
        let ours = cpu::input_gradient(&grad, &weight, outputs);
        assert_close(&ours, &expected, 1e-13, "∂L/∂x");
    }
}

/// As large as the kernel asks for.
fn run(
    device: &Device,
    f: impl Fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>) -> Tensor<2>,
) -> [Vec<f64>; 4] {
    let tensor = |shape: &[usize], seed| {
        let data = TensorData::new(numbers(shape.iter().product(), seed), shape.to_vec());
        data.convert_dtype(DType::F32)
    };
    let x = Tensor::<2>::from_data(tensor(&[5, 1024], 1), device).require_grad();
    let weight = Tensor::<2>::from_data(tensor(&[1024, 515], 2), device).require_grad();
    let bias = Tensor::<1>::from_data(tensor(&[515], 3), device).require_grad();
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
        let (ours, theirs) = (run(&device, linear), run(&device, module::linear));
        for ((ours, theirs), what) in ours.iter().zip(&theirs).zip(["y", "x", "weight", "bias"]) {
            assert_close(ours, theirs, 1e-5, what);
        }
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    assert_one_result(|| run(&Device::flex().autodiff(), linear));
}
