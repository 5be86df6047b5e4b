//! The kernel against Burn's convolution, and its gradients against central differences.

use burn::tensor::{DType, Device, Distribution, FloatDType, Tensor, TensorData};

use super::{Conv2dOptions, bf16, conv2d, conv2d_with, geometry::Geometry};
use crate::testing::{assert_close, assert_one_result, devices, numbers, values};
use crate::{Bf16Arithmetic, Factors};

/// `[batch, in_channels, height, width, out_channels, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w]`.
const CASES: [[usize; 11]; 11] = [
    [1, 1, 5, 5, 1, 3, 3, 1, 1, 0, 0],
    [2, 3, 8, 7, 4, 3, 3, 1, 1, 1, 1],
    [3, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2],
    [5, 2, 9, 6, 3, 3, 2, 2, 2, 1, 0],
    [2, 4, 6, 6, 5, 1, 1, 1, 1, 0, 0],
    [2, 4, 7, 7, 5, 1, 1, 2, 2, 0, 0],
    [67, 3, 4, 4, 8, 3, 3, 1, 1, 1, 1],
    [2, 2, 3, 3, 2, 5, 5, 1, 1, 2, 2],
    [1, 2, 4, 9, 2, 2, 3, 3, 1, 0, 4],
    [1, 40, 9, 10, 70, 3, 3, 1, 1, 1, 1],
    [20, 12, 4, 4, 80, 3, 3, 2, 1, 1, 1],
];

struct Case {
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    x_shape: [usize; 4],
    weight_shape: [usize; 4],
    options: Conv2dOptions,
}

impl Case {
    fn new(case: [usize; 11]) -> Self {
        let [n, c, h, w, o, kh, kw, sh, sw, ph, pw] = case;
        Self {
            x: numbers(n * c * h * w, 1),
            weight: numbers(o * c * kh * kw, 2),
            bias: numbers(o, 3),
            x_shape: [n, c, h, w],
            weight_shape: [o, c, kh, kw],
            options: Conv2dOptions {
                stride: [sh, sw],
                padding: [ph, pw],
            },
        }
    }

    fn tensors(&self, device: &Device, dtype: FloatDType) -> (Tensor<4>, Tensor<4>, Tensor<1>) {
        let tensor = |values: &[f64], shape: Vec<usize>| {
            TensorData::new(values.to_vec(), shape).convert_dtype(DType::from(dtype))
        };
        let options = (device, DType::from(dtype));
        (
            Tensor::from_data(tensor(&self.x, self.x_shape.to_vec()), options),
            Tensor::from_data(tensor(&self.weight, self.weight_shape.to_vec()), options),
            Tensor::from_data(tensor(&self.bias, vec![self.bias.len()]), options),
        )
    }
}

fn burn_conv2d(x: Tensor<4>, w: Tensor<4>, b: Option<Tensor<1>>, o: Conv2dOptions) -> Tensor<4> {
    let options = burn::tensor::ops::ConvOptions::new(o.stride, o.padding, [1, 1], 1);
    burn::tensor::module::conv2d(x, w, b, options)
}

#[test]
fn forward_equals_burns_convolution() {
    for device in devices() {
        for case in CASES.map(Case::new) {
            for (dtype, tolerance) in [(FloatDType::F64, 1e-12), (FloatDType::F32, 1e-5)] {
                let (x, w, b) = case.tensors(&device, dtype);
                let ours = conv2d(x.clone(), w.clone(), Some(b.clone()), case.options);
                let theirs = burn_conv2d(x.clone(), w.clone(), Some(b), case.options);
                assert_eq!(ours.dims(), theirs.dims());
                assert_close(&values(ours), &values(theirs), tolerance, "result");
                let ours = conv2d(x.clone(), w.clone(), None, case.options);
                assert_close(
                    &values(ours),
                    &values(burn_conv2d(x, w, None, case.options)),
                    tolerance,
                    "result without a bias",
                );
            }
        }
    }
}

#[test]
fn gradients_equal_burns() {
    for device in devices().map(Device::autodiff) {
        for case in CASES.map(Case::new) {
            let gradients =
                |f: fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, Conv2dOptions) -> Tensor<4>| {
                    let (x, w, b) = case.tensors(&device, FloatDType::F64);
                    let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
                    let y = f(x.clone(), w.clone(), Some(b.clone()), case.options);
                    let grads = (y.clone() * y).sum().backward();
                    let of = |t: Option<Vec<f64>>| t.unwrap();
                    [
                        of(x.grad(&grads).map(values)),
                        of(w.grad(&grads).map(values)),
                        of(b.grad(&grads).map(values)),
                    ]
                };
            for (ours, theirs) in gradients(conv2d).iter().zip(&gradients(burn_conv2d)) {
                assert_close(ours, theirs, 1e-11, "gradient");
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let device = Device::flex().autodiff();
    for mut case in CASES.map(Case::new) {
        if case.x.len() > 300 {
            continue;
        }
        let loss = |case: &Case| {
            let (x, w, b) = case.tensors(&device, FloatDType::F64);
            let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
            let y = conv2d(x.clone(), w.clone(), Some(b.clone()), case.options);
            ((y.clone() * y).sum(), x, w, b)
        };
        let (total, x, w, b) = loss(&case);
        let grads = total.backward();
        let analytic = [
            values(x.grad(&grads).unwrap()),
            values(w.grad(&grads).unwrap()),
            values(b.grad(&grads).unwrap()),
        ];
        let step = 1e-5;
        for (input, analytic) in analytic.iter().enumerate() {
            for (i, gradient) in analytic.iter().enumerate().step_by(3) {
                let mut at = |delta: f64| {
                    let parameters = match input {
                        0 => &mut case.x,
                        1 => &mut case.weight,
                        _ => &mut case.bias,
                    };
                    parameters[i] += delta;
                    values(loss(&case).0)[0]
                };
                let above = at(step);
                let below = at(-2.0 * step);
                at(step);
                let numeric = (above - below) / (2.0 * step);
                assert!(
                    (numeric - gradient).abs() <= 1e-6 * (1.0 + gradient.abs()),
                    "input {input}, element {i}: {gradient} against {numeric}"
                );
            }
        }
    }
}

#[test]
fn transposed_inputs_and_untracked_weights_are_served() {
    for device in devices().map(Device::autodiff) {
        let x = Tensor::<4>::random([2, 5, 6, 3], Distribution::Default, &device).require_grad();
        let w = Tensor::<4>::random([4, 3, 3, 3], Distribution::Default, &device);
        let view = x.clone().permute([0, 3, 1, 2]);
        let y = conv2d(view.clone(), w.clone(), None, Conv2dOptions::default());
        assert_close(
            &values(y.clone()),
            &values(burn_conv2d(view, w.clone(), None, Conv2dOptions::default())),
            1e-5,
            "result",
        );
        let grads = y.sum().backward();
        assert_eq!(x.grad(&grads).unwrap().dims(), [2, 5, 6, 3]);
        assert!(w.grad(&grads).is_none());
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    for case in [
        [67, 3, 12, 12, 8, 3, 3, 1, 1, 1, 1],
        [33, 70, 4, 4, 90, 3, 3, 1, 1, 1, 1],
        [1, 40, 10, 10, 70, 3, 3, 1, 1, 1, 1],
    ] {
        let case = Case::new(case);
        assert_one_result(|| {
            let (x, w, b) = case.tensors(&Device::flex().autodiff(), FloatDType::F32);
            let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
            let y = conv2d(x.clone(), w.clone(), Some(b.clone()), case.options);
            let grads = (y.clone() * y.clone()).sum().backward();
            [
                y.into_data(),
                x.grad(&grads).unwrap().into_data(),
                w.grad(&grads).unwrap().into_data(),
                b.grad(&grads).unwrap().into_data(),
            ]
            .map(|data| data.as_bytes().to_vec())
        });
    }
}

#[test]
fn a_bias_gradient_of_many_pixels_keeps_its_digits() {
    let (batch, pixels) = (64, 64 * 64);
    for device in devices().map(Device::autodiff) {
        let x = Tensor::<4>::zeros([batch, 1, 64, 64], &device);
        let w = Tensor::<4>::zeros([2, 1, 1, 1], &device);
        let b = Tensor::<1>::zeros([2], &device).require_grad();
        let y = conv2d(x, w, Some(b.clone()), Conv2dOptions::default());
        let grads = (y * 0.1).sum().backward();
        let exact = f64::from(0.1f32) * (batch * pixels) as f64;
        for sum in values(b.grad(&grads).unwrap()) {
            assert!((sum / exact - 1.0).abs() < 1e-4, "{sum} against {exact}");
        }
    }
}

#[test]
fn an_empty_batch_gives_empty_images_and_zero_gradients() {
    for device in devices().map(Device::autodiff) {
        for factors in [Factors::Full, Factors::Bf16] {
            let case = Case::new([0, 2, 5, 5, 3, 3, 3, 1, 1, 1, 1]);
            let (x, w, b) = case.tensors(&device, FloatDType::F32);
            let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
            let bias = Some(b.clone());
            let y = conv2d_with(x.clone(), w.clone(), bias, case.options, factors);
            assert_eq!(y.dims(), [0, 3, 5, 5]);
            let grads = y.sum().backward();
            assert_eq!(x.grad(&grads).unwrap().dims(), [0, 2, 5, 5]);
            assert_eq!(values(w.grad(&grads).unwrap()), [0.0; 3 * 2 * 9]);
            assert_eq!(values(b.grad(&grads).unwrap()), [0.0; 3]);
        }
    }
}

#[test]
#[should_panic(expected = "larger than the padded image")]
fn a_kernel_larger_than_the_image_is_refused() {
    let device = Device::flex();
    let x = Tensor::<4>::zeros([1, 1, 2, 2], &device);
    conv2d(
        x,
        Tensor::zeros([1, 1, 5, 5], &device),
        None,
        Conv2dOptions::default(),
    );
}

#[test]
#[should_panic(expected = "larger than the padded image")]
fn a_kernel_larger_than_the_image_is_refused_in_bf16_too() {
    let device = Device::flex();
    let x = Tensor::<4>::zeros([1, 1, 2, 2], &device);
    let weight = Tensor::zeros([1, 1, 5, 5], &device);
    conv2d_with(x, weight, None, Conv2dOptions::default(), Factors::Bf16);
}

#[test]
fn the_layer_in_bf16_is_its_kernels() {
    let arithmetic = Bf16Arithmetic::of_this_processor();
    for device in devices().map(Device::autodiff) {
        for case in CASES.map(Case::new) {
            let (x, w, b) = case.tensors(&device, FloatDType::F32);
            let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
            let g = Geometry::new(&x.shape(), &w.shape(), case.options);
            let bias = Some(b.clone());
            let y = conv2d_with(x.clone(), w.clone(), bias, case.options, Factors::Bf16);
            let single = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<f32>>();
            let slope = single(&numbers(y.shape().num_elements(), 4));
            let data = TensorData::new(slope.clone(), y.shape());
            let grads = (y.clone() * Tensor::from_data(data, &device))
                .sum()
                .backward();
            let vec = |data: TensorData| data.try_into_vec::<f32>().unwrap();
            let [x32, w32, b32] = [&case.x, &case.weight, &case.bias].map(|x| single(x));
            assert_eq!(
                vec(y.into_data()),
                bf16::forward(&g, &x32, &w32, &b32, arithmetic)
            );
            let of_x = vec(x.grad(&grads).unwrap().into_data());
            assert_eq!(of_x, bf16::input_gradient(&g, &w32, &slope, arithmetic));
            let of_w = vec(w.grad(&grads).unwrap().into_data());
            assert_eq!(of_w, bf16::weight_gradient(&g, &x32, &slope, arithmetic));
        }
    }
}

#[test]
#[should_panic(expected = "factors in bfloat16 are of tensors in f32")]
fn there_is_no_bf16_of_double_precision() {
    let (x, w, b) = Case::new(CASES[0]).tensors(&Device::flex(), FloatDType::F64);
    conv2d_with(x, w, Some(b), Conv2dOptions::default(), Factors::Bf16);
}
