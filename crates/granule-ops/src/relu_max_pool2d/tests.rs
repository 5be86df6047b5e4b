//! The kernel against Burn's operations, on ties, odd sizes and NaN too.

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData, activation, module};

use super::relu_max_pool2d;

#[allow(deprecated)]
fn devices() -> [Device; 2] {
    [Device::flex(), Device::ndarray()]
}

/// Small whole numbers: many ties, zeros and negative windows.
fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|i| ((i * 7919 + i / 5) % 11) as f32 - 7.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn composed(x: Tensor<4>, size: usize) -> Tensor<4> {
    activation::relu(module::max_pool2d(x, MaxPoolOptions::new([size, size])))
}

#[test]
fn values_and_gradients_equal_the_composition() {
    for device in devices().map(Device::autodiff) {
        for (shape, size) in [
            ([2, 3, 6, 8], 2),
            ([1, 2, 7, 5], 2),
            ([3, 1, 9, 10], 3),
            ([70, 4, 4, 4], 4),
            ([2, 2, 3, 3], 1),
        ] {
            let run = |pool: fn(Tensor<4>, usize) -> Tensor<4>| {
                let x = image(shape, &device).require_grad();
                let y = pool(x.clone(), size);
                let weights = Tensor::from_inner(image(y.dims(), &device.clone().inner()));
                let grads = (y.clone() * weights).sum().backward();
                (y.into_data(), x.grad(&grads).unwrap().into_data())
            };
            let (ours, theirs) = (run(relu_max_pool2d), run(composed));
            ours.0.assert_eq(&theirs.0, true);
            ours.1.assert_eq(&theirs.1, true);
        }
    }
}

#[test]
fn a_nan_is_not_hidden() {
    for device in devices() {
        for position in 0..4 {
            let mut values = [1.0f32, 2.0, 3.0, 4.0];
            values[position] = f32::NAN;
            let x = Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, 2, 2]), &device);
            assert!(relu_max_pool2d(x, 2).into_scalar::<f32>().is_nan());
        }
    }
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_window_larger_than_the_image_is_refused() {
    relu_max_pool2d(image([1, 1, 2, 3], &Device::flex()), 3);
}
