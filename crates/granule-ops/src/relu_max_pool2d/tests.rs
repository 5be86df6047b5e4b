//! The kernel against Burn's operations, on ties, odd sizes and NaN too.

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Device, Tensor, TensorData, activation, module};

use super::relu_max_pool2d;
use crate::testing::devices;

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
fn the_gradient_of_a_nan_goes_to_the_last_one() {
    for device in devices().map(Device::autodiff) {
        for size in [2, 3] {
            // The second window holds no NaN, the third holds two.
            let count = size * size;
            let mut values = vec![1.0f32; 3 * count];
            values[count + 1] = 2.0;
            values[0] = f32::NAN;
            values[2 * count] = f32::NAN;
            values[2 * count + 2] = f32::NAN;
            let data = TensorData::new(values, [3, 1, size, size]);
            let gradient = |pool: fn(Tensor<4>, usize) -> Tensor<4>| {
                let x = Tensor::<4>::from_data(data.clone(), &device).require_grad();
                let grads = (pool(x.clone(), size) * 3.0).sum().backward();
                x.grad(&grads).unwrap().into_data()
            };
            let mut expected = vec![0.0f32; 3 * count];
            for place in [0, count + 1, 2 * count + 2] {
                expected[place] = 3.0;
            }
            let expected = TensorData::new(expected, [3, 1, size, size]);
            let ours = gradient(relu_max_pool2d);
            ours.assert_eq(&expected, true);
            // Burn's ndarray backend loses NaN in its pool.
            if device.clone().inner() == Device::flex() {
                ours.assert_eq(&gradient(composed), true);
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    for device in devices().map(Device::autodiff) {
        for (shape, size) in [([2, 3, 4, 6], 2), ([1, 2, 7, 6], 3)] {
            // All different, further apart than the step, some windows negative.
            let count = shape.iter().product::<usize>();
            let mut values: Vec<f64> = (0..count)
                .map(|i| (i * 29 % count) as f64 * 0.1 - 0.07 * count as f64)
                .collect();
            let loss = |values: &[f64]| {
                let data = TensorData::new(values.to_vec(), shape);
                let x = Tensor::<4>::from_data(data, (&device, DType::F64)).require_grad();
                let y = relu_max_pool2d(x.clone(), size);
                ((y.clone() * y).sum(), x)
            };
            let (total, x) = loss(&values);
            let grads = total.backward();
            let analytic: Vec<f64> = x.grad(&grads).unwrap().into_data().iter().collect();
            assert!(analytic.iter().any(|g| *g != 0.0));
            let step = 1e-4;
            for (i, gradient) in analytic.iter().enumerate() {
                let mut at = |delta: f64| {
                    values[i] += delta;
                    loss(&values).0.into_scalar::<f64>()
                };
                let above = at(step);
                let below = at(-2.0 * step);
                at(step);
                let numeric = (above - below) / (2.0 * step);
                assert!(
                    (numeric - gradient).abs() <= 1e-6 * (1.0 + gradient.abs()),
                    "{shape:?}, element {i}: {gradient} against {numeric}"
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_window_larger_than_the_image_is_refused() {
    relu_max_pool2d(image([1, 1, 2, 3], &Device::flex()), 3);
}
