//! The kernels against the two operations that they stand for.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::super::geometry::Geometry;
use super::super::{Conv2dOptions, columns, conv2d, winograd};
use super::conv2d_relu_max_pool2d;
use super::cpu::{self, Winners};
use crate::relu_max_pool2d;
use crate::testing::{assert_close, assert_one_result, devices, numbers, values};

/// `[batch, in_channels, height, width, out_channels, kernel, padding]`.
const CASES: [[usize; 7]; 7] = [
    [16, 1, 28, 28, 6, 5, 2],
    [33, 6, 14, 14, 16, 5, 0],
    [2, 3, 7, 9, 4, 3, 1],
    [1, 2, 2, 2, 1, 1, 0],
    [17, 1, 5, 4, 7, 3, 1],
    [20, 2, 3, 3, 3, 2, 1],
    [4, 5, 6, 6, 9, 3, 2],
];

/// For Winograd's convolution: odd sizes, every padding, one image and more than a group of them, channels beside whole lanes.
const WINOGRAD: [[usize; 7]; 6] = [
    [3, 2, 7, 6, 5, 3, 1],
    [2, 17, 5, 9, 33, 3, 0],
    [9, 20, 16, 16, 16, 3, 2],
    [130, 16, 4, 4, 16, 3, 1],
    [1, 33, 13, 10, 40, 3, 1],
    [1, 1, 2, 2, 1, 3, 1],
];

/// Served by Winograd's convolution in f32.
const MANY: [[usize; 7]; 2] = [[3, 33, 9, 7, 40, 3, 1], [40, 32, 6, 6, 32, 3, 0]];

fn geometry([n, c, h, w, o, k, p]: [usize; 7]) -> Geometry {
    Geometry {
        batch: n,
        in_channels: c,
        in_size: [h, w],
        out_channels: o,
        out_size: [h, w].map(|size| size + 2 * p - k + 1),
        kernel: [k, k],
        stride: [1, 1],
        padding: [p, p],
    }
}

type Forward = fn(&Geometry, &[f64], &[f64], &[f64]) -> (Vec<f64>, Winners);
type Backward = fn(&Geometry, [&[f64]; 3], &Winners, [bool; 3]) -> [Option<Vec<f64>>; 3];

/// Of any processor, in f64: convolution by columns, then each window by its definition.
#[test]
fn the_kernels_and_their_gradients_match_the_definition() {
    let direct: (Forward, Backward) = (cpu::forward, |g, tensors, winners, wanted| {
        cpu::backward(g, tensors, winners, wanted)
    });
    let winograd: (Forward, Backward) =
        (winograd::pooled_forward, |g, tensors, winners, wanted| {
            winograd::pooled_backward(g, tensors, winners, wanted)
        });
    let direct = CASES.map(|case| (case, direct));
    let winograd = WINOGRAD.map(|case| (case, winograd));
    for (case, (forward, backward)) in direct.into_iter().chain(winograd) {
        let g = geometry(case);
        let x = numbers(g.batch * g.in_image(), 1);
        let weight = numbers(g.out_channels * g.patch(), 2);
        let bias = numbers(g.out_channels, 3);
        let [rows, columns] = cpu::pooled_size(&g);
        let grad = numbers(g.batch * g.out_channels * rows * columns, 4);
        let image = columns::forward(&g, &x, &weight, &bias);
        let mut expected = Vec::new();
        let mut image_grad = vec![0.0; image.len()];
        for (at, grad) in grad.iter().enumerate() {
            let (plane, i, j) = (at / (rows * columns), at / columns % rows, at % columns);
            let element =
                |u: usize, v: usize| plane * g.pixels() + (2 * i + u) * g.out_size[1] + 2 * j + v;
            let window = [element(0, 0), element(0, 1), element(1, 0), element(1, 1)];
            let mut best = 0.0;
            let mut winner = None;
            for element in window {
                if image[element] > best {
                    (best, winner) = (image[element], Some(element));
                }
            }
            expected.push(best);
            if let Some(winner) = winner {
                image_grad[winner] = *grad;
            }
        }
        let (out, winners) = forward(&g, &x, &weight, &bias);
        assert_close(&out, &expected, 1e-13, "result");
        let gradients = backward(&g, [&x, &weight, &grad], &winners, [true; 3]);
        let expected = [
            columns::input_gradient(&g, &weight, &image_grad),
            columns::weight_gradient(&g, &x, &image_grad),
            columns::bias_gradient(&image_grad, g.out_channels, g.pixels()),
        ];
        for ((ours, theirs), what) in gradients.iter().zip(&expected).zip(["x", "weight", "bias"]) {
            assert_close(ours.as_ref().unwrap(), theirs, 1e-13, what);
        }
        let unwanted = backward(&g, [&x, &weight, &grad], &winners, [false, true, false]);
        assert_eq!(unwanted, [None, gradients[1].clone(), None]);
    }
}

struct Run {
    out: Vec<f64>,
    gradients: [Option<Vec<f64>>; 3],
}

fn run(
    case: [usize; 7],
    device: &Device,
    input: bool,
    f: impl Fn(Tensor<4>, Tensor<4>, Tensor<1>, Conv2dOptions) -> Tensor<4>,
) -> Run {
    let [n, c, h, w, o, k, p] = case;
    let tensor = |shape: &[usize], seed| {
        let data = TensorData::new(numbers(shape.iter().product(), seed), shape.to_vec());
        data.convert_dtype(DType::F32)
    };
    let mut x = Tensor::<4>::from_data(tensor(&[n, c, h, w], 1), device);
    if input {
        x = x.require_grad();
    }
    let weight = Tensor::<4>::from_data(tensor(&[o, c, k, k], 2), device).require_grad();
    let bias = Tensor::<1>::from_data(tensor(&[o], 3), device).require_grad();
    let options = Conv2dOptions {
        stride: [1, 1],
        padding: [p, p],
    };
    let y = f(x.clone(), weight.clone(), bias.clone(), options);
    let grads = (y.clone() * y.clone()).sum().backward();
    Run {
        out: values(y),
        gradients: [
            x.grad(&grads).map(values),
            weight.grad(&grads).map(values),
            bias.grad(&grads).map(values),
        ],
    }
}

#[test]
fn one_operation_equals_two() {
    for device in devices().map(Device::autodiff) {
        for case in CASES.into_iter().chain(MANY) {
            for input in [true, false] {
                let ours = run(case, &device, input, |x, w, b, options| {
                    conv2d_relu_max_pool2d(x, w, Some(b), options, 2)
                });
                let theirs = run(case, &device, input, |x, w, b, options| {
                    relu_max_pool2d(conv2d(x, w, Some(b), options), 2)
                });
                assert_close(&ours.out, &theirs.out, 1e-5, "result");
                for (ours, theirs) in ours.gradients.iter().zip(&theirs.gradients) {
                    assert_eq!(ours.is_some(), theirs.is_some());
                    if let (Some(ours), Some(theirs)) = (ours, theirs) {
                        assert_close(ours, theirs, 1e-5, "gradient");
                    }
                }
            }
        }
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    for case in [[67, 3, 12, 12, 8, 3, 1], [40, 33, 9, 12, 40, 3, 1]] {
        assert_one_result(|| {
            let device = Device::flex().autodiff();
            let run = run(case, &device, true, |x, w, b, options| {
                conv2d_relu_max_pool2d(x, w, Some(b), options, 2)
            });
            (run.out, run.gradients)
        });
    }
}

#[test]
fn a_nan_is_the_result_of_its_window_and_has_its_gradient() {
    let g = geometry([1, 1, 2, 2, 1, 1, 0]);
    let forward = |x: [f32; 4]| cpu::forward(&g, &x, &[1.0], &[0.0]);
    for (x, winner) in [
        ([f32::NAN, 1.0, 2.0, 3.0], 0),
        ([f32::NAN, 1.0, f32::NAN, 3.0], 2),
        ([1.0, 3.0, 2.0, f32::NAN], 3),
    ] {
        let (out, winners) = forward(x);
        assert!(out[0].is_nan());
        assert_eq!(winners[0][0], winner);
    }
    assert_eq!(forward([-1.0, 2.0, 2.0, 0.0]).1[0][0], 1);
    let (out, winners) = forward([-1.0, -2.0, 0.0, -3.0]);
    assert_eq!((out[0], winners[0][0]), (0.0, 4));
    let zeros = cpu::backward(
        &g,
        [&[-1.0, -2.0, 0.0, -3.0], &[1.0], &[5.0]],
        &winners,
        [true; 3],
    );
    assert_eq!(
        zeros,
        [Some(vec![0.0; 4]), Some(vec![0.0]), Some(vec![0.0])]
    );
}

#[test]
fn no_window_without_an_element() {
    let options = Conv2dOptions::default();
    for device in devices() {
        let x = Tensor::<4>::zeros([16, 1, 5, 5], &device);
        let w = Tensor::<4>::zeros([4, 1, 2, 2], &device);
        let out = conv2d_relu_max_pool2d(x.clone(), w.clone(), None, options, 4);
        assert_eq!(out.dims(), [16, 4, 1, 1]);
        let out = conv2d_relu_max_pool2d(x, w, None, options, 2);
        assert_eq!(out.dims(), [16, 4, 2, 2]);
        let x = Tensor::<4>::zeros([0, 1, 5, 5], &device);
        let w = Tensor::<4>::zeros([4, 1, 2, 2], &device);
        assert_eq!(
            conv2d_relu_max_pool2d(x, w, None, options, 2).dims(),
            [0, 4, 2, 2]
        );
    }
}
