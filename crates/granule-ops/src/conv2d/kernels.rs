//! The kernels against the columns, in f64 and whatever the processor, and what Winograd's convolution loses in f32.

use super::geometry::Geometry;
use super::{bf16, columns, direct, winograd};
use crate::Bf16Arithmetic;
use crate::testing::{assert_close, assert_one_result, numbers};

/// `[batch, in_channels, height, width, out_channels, kernel, stride, padding]`.
fn geometry([n, c, h, w, o, k, s, p]: [usize; 8]) -> Geometry {
    Geometry {
        batch: n,
        in_channels: c,
        in_size: [h, w],
        out_channels: o,
        out_size: [h, w].map(|size| (size + 2 * p - k) / s + 1),
        kernel: [k, k],
        stride: [s, s],
        padding: [p, p],
    }
}

struct Numbers {
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    grad: Vec<f64>,
}

fn numbers_of(g: &Geometry) -> Numbers {
    Numbers {
        x: numbers(g.batch * g.in_image(), 1),
        weight: numbers(g.out_channels * g.patch(), 2),
        bias: numbers(g.out_channels, 3),
        grad: numbers(g.batch * g.out_image(), 4),
    }
}

/// Of the input, the weights and the bias.
type Forward = fn(&Geometry, &[f64], &[f64], &[f64]) -> Vec<f64>;
/// Of the weights and the gradient, where the geometry has an adjoint.
type InputGradient = fn(&Geometry, &Geometry, &[f64], &[f64]) -> Vec<f64>;
/// Of the input and the gradient.
type WeightGradient = fn(&Geometry, &[f64], &[f64]) -> Vec<f64>;

/// What computes a convolution and its gradients.
struct Kernels {
    forward: Forward,
    input_gradient: InputGradient,
    weight_gradient: WeightGradient,
}

#[track_caller]
fn matches_columns(case: [usize; 8], kernels: &Kernels) {
    let g = geometry(case);
    let Numbers {
        x,
        weight,
        bias,
        grad,
    } = numbers_of(&g);
    let what = format!("{case:?}");
    let same = |ours: Vec<f64>, expected: Vec<f64>| assert_close(&ours, &expected, 1e-13, &what);
    same(
        (kernels.forward)(&g, &x, &weight, &bias),
        columns::forward(&g, &x, &weight, &bias),
    );
    same(
        (kernels.weight_gradient)(&g, &x, &grad),
        columns::weight_gradient(&g, &x, &grad),
    );
    if let Some(adjoint) = g.adjoint() {
        same(
            (kernels.input_gradient)(&g, &adjoint, &weight, &grad),
            columns::input_gradient(&g, &weight, &grad),
        );
    }
}

#[test]
fn the_direct_kernel_matches_the_columns() {
    for case in [
        [3, 2, 7, 6, 5, 3, 1, 1],
        [33, 1, 28, 28, 6, 5, 1, 2],
        [17, 6, 14, 14, 16, 5, 1, 0],
        [16, 3, 9, 8, 7, 3, 2, 1],
        [1, 1, 1, 1, 1, 1, 1, 0],
        [20, 2, 9, 8, 1, 3, 1, 0],
        [2, 4, 3, 3, 12, 1, 1, 0],
        [5, 3, 5, 4, 6, 2, 1, 1],
        [2, 2, 3, 3, 3, 1, 1, 2],
    ] {
        matches_columns(
            case,
            &Kernels {
                forward: direct::forward,
                input_gradient: direct::input_gradient,
                weight_gradient: direct::weight_gradient,
            },
        );
    }
}

/// Odd sizes, a single pixel, every padding, one image and more than a group of them, channels beside whole lanes.
const WINOGRAD: [[usize; 8]; 8] = [
    [3, 2, 7, 6, 5, 3, 1, 1],
    [1, 1, 1, 1, 1, 3, 1, 1],
    [2, 17, 5, 9, 33, 3, 1, 0],
    [9, 20, 16, 16, 16, 3, 1, 2],
    [130, 16, 4, 4, 16, 3, 1, 1],
    [1, 3, 3, 3, 2, 3, 1, 0],
    [1, 33, 13, 10, 40, 3, 1, 1],
    [70, 2, 17, 17, 3, 3, 1, 1],
];

#[test]
fn winograds_convolution_matches_the_columns() {
    for case in WINOGRAD {
        assert!(geometry(case).adjoint().is_some(), "{case:?}");
        matches_columns(
            case,
            &Kernels {
                forward: winograd::forward,
                input_gradient: winograd::input_gradient,
                weight_gradient: winograd::weight_gradient,
            },
        );
    }
}

/// Magnitudes of the matrices of the documentation.
const A: [[f64; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, 1.0, 2.0, 2.0, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
    [0.0, 1.0, 1.0, 8.0, 8.0, 1.0],
];
const B: [[f64; 6]; 6] = [
    [4.0, 0.0, 5.0, 0.0, 1.0, 0.0],
    [0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
    [0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
    [0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
    [0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
    [0.0, 4.0, 0.0, 5.0, 0.0, 1.0],
];
const G: [[f64; 3]; 6] = [
    [0.25, 0.0, 0.0],
    [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0],
    [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// `|M| |X| |Mᵀ|`
fn magnitudes<const R: usize, const C: usize>(
    m: &[[f64; C]; R],
    x: impl Fn(usize, usize) -> f64,
) -> [[f64; R]; R] {
    core::array::from_fn(|i| {
        core::array::from_fn(|j| {
            let pairs = (0..C).flat_map(|k| (0..C).map(move |l| (k, l)));
            pairs.map(|(k, l)| m[i][k] * x(k, l).abs() * m[j][l]).sum()
        })
    })
}

/// One tile of one image, so that the bound of every result can be had from the documentation's formula.
#[test]
fn what_is_lost_in_single_precision_is_within_the_bound() {
    for channels in [1, 32, 128] {
        let g = geometry([1, channels, 6, 6, 3, 3, 1, 0]);
        let Numbers {
            x, weight, bias, ..
        } = numbers_of(&g);
        let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let double = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let (x32, weight32, bias32) = (single(&x), single(&weight), single(&bias));
        let (x, weight, bias) = (double(&x32), double(&weight32), double(&bias32));
        let exact = columns::forward(&g, &x, &weight, &bias);
        let ours = double(&winograd::forward(&g, &x32, &weight32, &bias32));
        let unit = f64::from(f32::EPSILON) / 2.0;
        let roundings = (channels + 28) as f64;
        for o in 0..g.out_channels {
            let mut products = [[0.0; 6]; 6];
            for c in 0..channels {
                let kernel = &weight[(o * channels + c) * 9..][..9];
                let kernel = magnitudes(&G, |i, j| kernel[i * 3 + j]);
                let tile = magnitudes(&B, |i, j| x[c * 36 + i * 6 + j]);
                for i in 0..6 {
                    for j in 0..6 {
                        products[i][j] += kernel[i][j] * tile[i][j];
                    }
                }
            }
            let bound = magnitudes(&A, |i, j| products[i][j]);
            for i in 0..4 {
                for j in 0..4 {
                    let at = (o * 4 + i) * 4 + j;
                    let error = (ours[at] - exact[at]).abs();
                    let bound = roundings * unit * (bound[i][j] + bias[o].abs());
                    assert!(error <= bound, "{channels} channels: {error} above {bound}");
                }
            }
        }
        // Five digits of the largest result.
        assert_close(&ours, &exact, 1e-5, "Winograd in f32");
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    let g = geometry([40, 17, 12, 9, 33, 3, 1, 1]);
    let Numbers {
        x,
        weight,
        bias,
        grad,
    } = numbers_of(&g);
    let adjoint = g.adjoint().unwrap();
    assert_one_result(|| {
        [
            direct::forward(&g, &x, &weight, &bias),
            direct::input_gradient(&g, &adjoint, &weight, &grad),
            direct::weight_gradient(&g, &x, &grad),
            winograd::forward(&g, &x, &weight, &bias),
            winograd::input_gradient(&g, &adjoint, &weight, &grad),
            winograd::weight_gradient(&g, &x, &grad),
        ]
    });
}

/// Strides, paddings, a kernel wider than the image, rows and channels beside whole vectors, more images than shares, kernels so
/// wide that few of the places are patches.
const BF16: [[usize; 8]; 14] = [
    [2, 3, 20, 20, 4, 17, 1, 0],
    [1, 2, 40, 40, 5, 31, 1, 0],
    [1, 1, 1, 1, 1, 1, 1, 0],
    [3, 2, 7, 6, 5, 3, 1, 1],
    [2, 1, 28, 28, 6, 5, 1, 2],
    [17, 6, 14, 14, 16, 5, 1, 0],
    [16, 3, 9, 8, 7, 3, 2, 1],
    [5, 3, 5, 4, 6, 2, 1, 1],
    [2, 2, 3, 3, 3, 1, 1, 2],
    [2, 2, 3, 3, 2, 5, 1, 2],
    [1, 40, 9, 10, 70, 3, 1, 1],
    [9, 5, 11, 70, 3, 3, 1, 1],
    [70, 2, 4, 5, 3, 3, 3, 0],
    [0, 2, 5, 5, 3, 3, 1, 1],
];

/// Of results that are sums of so many products, whose magnitudes add up to `all`.
#[track_caller]
fn within_the_bound_of_bf16(ours: &[f32], exact: &[f64], all: &[f64], depth: usize, what: &str) {
    let (u, v) = (1.0 / 256.0, f64::from(f32::EPSILON) / 2.0);
    // An addition for every product and, of parts of a sum, for every part: no more of these than products, and a bias.
    let roundings = (2 * depth + 1) as f64 * v;
    let factor = (1.0 + u) * (1.0 + u) * (1.0 + roundings / (1.0 - roundings)) - 1.0;
    assert_eq!(ours.len(), exact.len(), "{what}");
    for (i, (ours, (exact, all))) in ours.iter().zip(exact.iter().zip(all)).enumerate() {
        let error = (f64::from(*ours) - exact).abs();
        assert!(error <= factor * all, "{what}, {i}: {error} of {all}");
    }
}

#[test]
fn convolution_in_bf16_is_within_the_bound() {
    for case in BF16 {
        let g = geometry(case);
        let Numbers {
            x,
            weight,
            bias,
            grad,
        } = numbers_of(&g);
        let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let double = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let magnitude = |values: &[f64]| values.iter().map(|x| x.abs()).collect::<Vec<f64>>();
        let (x32, weight32, bias32, grad32) =
            (single(&x), single(&weight), single(&bias), single(&grad));
        let [x, weight, bias, grad] = [&x32, &weight32, &bias32, &grad32].map(|x| double(x));
        let all = [&x, &weight, &bias, &grad].map(|x| magnitude(x));
        for arithmetic in [
            Bf16Arithmetic::of_this_processor(),
            Bf16Arithmetic::Emulated,
        ] {
            let what = format!("{case:?}, {arithmetic:?}");
            within_the_bound_of_bf16(
                &bf16::forward(&g, &x32, &weight32, &bias32, arithmetic),
                &columns::forward(&g, &x, &weight, &bias),
                &columns::forward(&g, &all[0], &all[1], &all[2]),
                g.patch(),
                &what,
            );
            within_the_bound_of_bf16(
                &bf16::input_gradient(&g, &weight32, &grad32, arithmetic),
                &columns::input_gradient(&g, &weight, &grad),
                &columns::input_gradient(&g, &all[1], &all[3]),
                g.out_channels * g.area(),
                &what,
            );
            within_the_bound_of_bf16(
                &bf16::weight_gradient(&g, &x32, &grad32, arithmetic),
                &columns::weight_gradient(&g, &x, &grad),
                &columns::weight_gradient(&g, &all[0], &all[3]),
                g.batch * g.pixels(),
                &what,
            );
        }
    }
}

#[test]
fn one_result_in_bf16_whatever_the_number_of_threads() {
    for case in [[40, 17, 12, 9, 33, 3, 1, 1], [33, 3, 9, 8, 7, 3, 2, 1]] {
        let g = geometry(case);
        let numbers = numbers_of(&g);
        let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let (x, weight) = (single(&numbers.x), single(&numbers.weight));
        let (bias, grad) = (single(&numbers.bias), single(&numbers.grad));
        for arithmetic in [
            Bf16Arithmetic::of_this_processor(),
            Bf16Arithmetic::Emulated,
        ] {
            assert_one_result(|| {
                [
                    bf16::forward(&g, &x, &weight, &bias, arithmetic),
                    bf16::input_gradient(&g, &weight, &grad, arithmetic),
                    bf16::weight_gradient(&g, &x, &grad, arithmetic),
                ]
            });
        }
    }
}
