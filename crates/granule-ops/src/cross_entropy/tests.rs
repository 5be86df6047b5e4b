//! The kernel against the composed form in double precision.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{composed, cross_entropy};
use crate::testing::{assert_close, gpu, numbers, values};

type Loss = fn(Tensor<2>, Tensor<1, Int>, f64) -> Tensor<1>;

/// The loss, and three times its gradient.
fn run(
    [rows, width]: [usize; 2],
    smoothing: f64,
    (device, dtype): (&Device, DType),
    loss: Loss,
) -> (Vec<f64>, Vec<f64>) {
    let autodiff = device.clone().autodiff();
    let outputs: Vec<f64> = numbers(rows * width, 3).iter().map(|x| 8.0 * x).collect();
    let data = TensorData::new(outputs, [rows, width]).convert_dtype(dtype);
    let outputs = Tensor::<2>::from_data(data, (&autodiff, dtype)).require_grad();
    let classes: Vec<i32> = (0..rows).map(|row| (row * 5 % width) as i32).collect();
    let classes = Tensor::<1, Int>::from_data(TensorData::new(classes, [rows]), device);
    let loss = loss(outputs.clone(), classes, smoothing);
    let gradients = loss.clone().mul_scalar(3.0).backward();
    (values(loss), values(outputs.grad(&gradients).unwrap()))
}

/// One row and one class, odd numbers, and several workgroups.
#[test]
fn a_gpu_has_the_loss_and_the_gradient_of_the_composed_form() {
    let Some(gpu) = gpu() else { return };
    for shape in [[1, 1], [3, 7], [301, 5], [2, 130]] {
        for smoothing in [0.0, 0.1] {
            let found = run(shape, smoothing, (&gpu, DType::F32), cross_entropy);
            let expected = run(shape, smoothing, (&Device::flex(), DType::F64), composed);
            let what = format!("{shape:?} {smoothing}");
            assert_close(&found.0, &expected.0, 1e-5, &what);
            assert_close(&found.1, &expected.1, 1e-5, &what);
            let again = run(shape, smoothing, (&gpu, DType::F32), cross_entropy);
            assert_eq!(found, again, "{what}");
        }
    }
}

/// Without a tape there is the same loss.
#[test]
fn a_gpu_has_the_loss_without_a_gradient() {
    let Some(gpu) = gpu() else { return };
    let outputs = Tensor::<2>::from_data([[1000.0, -1000.0], [0.5, 0.25]], &gpu);
    let classes = Tensor::<1, Int>::from_data([0, 1], &gpu);
    let found = values(cross_entropy(outputs, classes, 0.0));
    let expected = (1.0 + 0.25f64.exp()).ln() / 2.0;
    assert_close(&found, &[expected], 1e-5, "two rows");
}
