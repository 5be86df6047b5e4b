//! Plans against the definitions of their layers in f64, and against themselves in other company.

use super::vector::at_most::each_level;
use super::{Plan, PlanActivation, PlanInput, PlanLayer};
use crate::Conv2dOptions;

/// Numbers in (−1, 1) that look random.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
    };
    (0..len).map(next).collect()
}

fn relu() -> PlanLayer<'static> {
    PlanLayer::Activation(PlanActivation::Relu)
}

fn pool(size: usize, stride: usize) -> PlanLayer<'static> {
    PlanLayer::MaxPool {
        size: [size; 2],
        stride: [stride; 2],
    }
}

fn dense(inputs: usize, outputs: usize) -> PlanLayer<'static> {
    let bound = (inputs as f32).sqrt().recip();
    let weight = noise(inputs * outputs, (inputs + 7 * outputs) as u32);
    PlanLayer::Dense {
        weight: weight.into_iter().map(|w| w * bound * 1.7).collect(),
        bias: outputs.is_multiple_of(2).then(|| noise(outputs, 3).into()),
        outputs,
    }
}

fn conv(
    channels: usize,
    filters: usize,
    [kernel, stride, padding]: [usize; 3],
) -> PlanLayer<'static> {
    let depth = channels * kernel * kernel;
    let bound = (depth as f32).sqrt().recip();
    let weight = noise(depth * filters, (depth + 3 * filters) as u32);
    PlanLayer::Convolution {
        weight: weight.into_iter().map(|w| w * bound * 1.7).collect(),
        bias: (!filters.is_multiple_of(3)).then(|| noise(filters, 5).into()),
        filters,
        kernel: [kernel; 2],
        options: Conv2dOptions {
            stride: [stride; 2],
            padding: [padding; 2],
        },
    }
}

fn scale(count: usize) -> PlanLayer<'static> {
    PlanLayer::Scale {
        scale: noise(count, 9).iter().map(|x| 1.0 + 0.5 * x).collect(),
        shift: noise(count, 10),
    }
}

fn function(activation: PlanActivation, x: f64) -> f64 {
    match activation {
        PlanActivation::Relu => x.max(0.0),
        PlanActivation::Tanh => x.tanh(),
        PlanActivation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        PlanActivation::Gelu => {
            let z = x * core::f64::consts::FRAC_1_SQRT_2;
            let (mut term, mut sum) = (z, z);
            for n in 1..100 {
                term *= -z * z / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            0.5 * x * (1.0 + sum * core::f64::consts::FRAC_2_SQRT_PI)
        }
    }
}

/// The outputs of one sample by the definitions; `shape` is `[channels, height, width]`, of vectors `[len, 1, 1]`.
fn defined(mut shape: [usize; 3], layers: &[PlanLayer<'_>], x: &[f32]) -> Vec<f64> {
    let mut x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for layer in layers {
        let [channels, height, width] = shape;
        let at = |x: &[f64], c: usize, y: usize, z: usize| x[(c * height + y) * width + z];
        match layer {
            PlanLayer::Dense {
                weight,
                bias,
                outputs,
            } => {
                let output = |j: usize| {
                    let products = x.iter().enumerate();
                    let sum: f64 = products
                        .map(|(i, x)| x * f64::from(weight[i * outputs + j]))
                        .sum();
                    sum + bias.as_ref().map_or(0.0, |bias| f64::from(bias[j]))
                };
                x = (0..*outputs).map(output).collect();
                shape = [*outputs, 1, 1];
            }
            PlanLayer::Convolution {
                weight,
                bias,
                filters,
                kernel,
                options,
            } => {
                let out = [0, 1].map(|axis| {
                    (shape[axis + 1] + 2 * options.padding[axis] - kernel[axis])
                        / options.stride[axis]
                        + 1
                });
                let mut given = Vec::new();
                for f in 0..*filters {
                    for oy in 0..out[0] {
                        for ox in 0..out[1] {
                            let mut sum = bias.as_ref().map_or(0.0, |bias| f64::from(bias[f]));
                            for c in 0..channels {
                                for ky in 0..kernel[0] {
                                    for kx in 0..kernel[1] {
                                        let y = (oy * options.stride[0] + ky)
                                            .wrapping_sub(options.padding[0]);
                                        let z = (ox * options.stride[1] + kx)
                                            .wrapping_sub(options.padding[1]);
                                        if y < height && z < width {
                                            let w = ((f * channels + c) * kernel[0] + ky)
                                                * kernel[1]
                                                + kx;
                                            sum += at(&x, c, y, z) * f64::from(weight[w]);
                                        }
                                    }
                                }
                            }
                            given.push(sum);
                        }
                    }
                }
                x = given;
                shape = [*filters, out[0], out[1]];
            }
            PlanLayer::Scale { scale, shift } => {
                for (i, x) in x.iter_mut().enumerate() {
                    let channel = i / (height * width);
                    *x = *x * f64::from(scale[channel]) + f64::from(shift[channel]);
                }
            }
            PlanLayer::Activation(activation) => {
                for x in &mut x {
                    *x = function(*activation, *x);
                }
            }
            PlanLayer::MaxPool { size, stride } => {
                let out = [0, 1].map(|axis| (shape[axis + 1] - size[axis]) / stride[axis] + 1);
                let mut given = Vec::new();
                for c in 0..channels {
                    for oy in 0..out[0] {
                        for ox in 0..out[1] {
                            let mut best = f64::NEG_INFINITY;
                            for ky in 0..size[0] {
                                for kx in 0..size[1] {
                                    let (y, z) = (oy * stride[0] + ky, ox * stride[1] + kx);
                                    best = best.max(at(&x, c, y, z));
                                }
                            }
                            given.push(best);
                        }
                    }
                }
                x = given;
                shape = [channels, out[0], out[1]];
            }
            PlanLayer::Flatten => shape = [channels * height * width, 1, 1],
        }
    }
    x
}

/// Networks with the input that they take and the values that they give.
fn networks() -> Vec<(PlanInput, Vec<PlanLayer<'static>>, usize)> {
    let act = PlanLayer::Activation;
    let image = |c, h, w| PlanInput::Image([c, h, w]);
    vec![
        (PlanInput::Vector(7), vec![dense(7, 3)], 3),
        (PlanInput::Vector(1), vec![dense(1, 1)], 1),
        (
            PlanInput::Vector(700),
            vec![
                dense(700, 130),
                relu(),
                dense(130, 90),
                relu(),
                dense(90, 10),
            ],
            10,
        ),
        (
            PlanInput::Vector(30),
            vec![
                scale(30),
                act(PlanActivation::Tanh),
                dense(30, 70),
                scale(70),
                act(PlanActivation::Gelu),
                dense(70, 33),
                act(PlanActivation::Sigmoid),
                scale(33),
                relu(),
                dense(33, 9),
            ],
            4,
        ),
        (image(1, 5, 4), vec![PlanLayer::Flatten, dense(20, 5)], 5),
        (
            image(1, 32, 32),
            vec![
                conv(1, 6, [5, 1, 0]),
                relu(),
                pool(2, 2),
                conv(6, 16, [5, 1, 0]),
                relu(),
                pool(2, 2),
                PlanLayer::Flatten,
                dense(400, 120),
                relu(),
                dense(120, 10),
            ],
            10,
        ),
        (
            image(3, 11, 9),
            vec![
                scale(3),
                conv(3, 32, [3, 1, 1]),
                scale(32),
                relu(),
                pool(2, 2),
                conv(32, 40, [3, 1, 1]),
                relu(),
                conv(40, 17, [3, 1, 1]),
                act(PlanActivation::Tanh),
                pool(2, 1),
                PlanLayer::Flatten,
                scale(17 * 4 * 3),
                dense(17 * 4 * 3, 12),
            ],
            12,
        ),
        // Winograd's tiles with and without a pool, of odd sizes.
        (
            image(16, 9, 10),
            vec![
                conv(16, 16, [3, 1, 1]),
                act(PlanActivation::Sigmoid),
                conv(16, 48, [3, 1, 0]),
                pool(2, 2),
                conv(48, 70, [3, 1, 1]),
                relu(),
                PlanLayer::Flatten,
                dense(70 * 3 * 4, 3),
            ],
            3,
        ),
        (
            image(2, 13, 12),
            vec![
                relu(),
                pool(3, 2),
                conv(2, 5, [3, 2, 2]),
                pool(3, 3),
                act(PlanActivation::Gelu),
                PlanLayer::Flatten,
                act(PlanActivation::Tanh),
                dense(5, 2),
            ],
            2,
        ),
        (
            image(4, 20, 20),
            vec![
                conv(4, 100, [1, 1, 0]),
                relu(),
                conv(100, 24, [4, 3, 1]),
                PlanLayer::Flatten,
                dense(24 * 49, 64),
                relu(),
                dense(64, 20),
            ],
            20,
        ),
    ]
}

#[test]
fn plans_give_what_their_layers_are_defined_to() {
    for (index, (input, layers, outputs)) in networks().into_iter().enumerate() {
        let shape = match input {
            PlanInput::Image(shape) => shape,
            PlanInput::Vector(len) => [len, 1, 1],
        };
        let x = noise(shape.iter().product(), 2);
        let expected = defined(shape, &layers, &x);
        let largest = expected.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        each_level(|level| {
            let plan = Plan::new(input, layers.clone(), outputs).unwrap();
            let mut found = vec![0.0; outputs];
            plan.run(&x, &mut found);
            for (found, expected) in found.iter().zip(&expected) {
                let off = (f64::from(*found) - expected).abs() / largest;
                assert!(off < 2e-6, "network {index}, {level:?}: {found} {expected}");
            }
        });
    }
}

#[test]
fn a_sample_gives_the_same_bits_in_any_company() {
    for (index, (input, layers, outputs)) in networks().into_iter().enumerate() {
        let plan = Plan::new(input, layers, outputs).unwrap();
        let len = plan.inputs();
        let x = noise(67 * len, 4);
        let mut alone = vec![0.0; 67 * outputs];
        for (x, out) in x.chunks(len).zip(alone.chunks_mut(outputs)) {
            plan.run(x, out);
        }
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            for count in [1, 2, 5, 67] {
                let mut found = vec![0.0; count * outputs];
                pool.install(|| plan.run(&x[..count * len], &mut found));
                let expected = &alone[..count * outputs];
                assert_eq!(found, expected, "network {index}: {count} by {threads}");
            }
            // One sample that threads share.
            let mut found = vec![0.0; outputs];
            let mut space = super::Workspace::default();
            pool.install(|| plan.run_in(&mut space, &x[..len], &mut found, true));
            assert_eq!(found, alone[..outputs], "network {index} by {threads}");
        }
    }
}

/// Large enough that one sample is work for several threads.
#[test]
fn a_large_sample_is_shared_without_another_result() {
    let layers = || {
        vec![
            conv(16, 48, [3, 1, 1]),
            relu(),
            pool(2, 2),
            conv(48, 64, [5, 1, 2]),
            relu(),
            PlanLayer::Flatten,
            dense(64 * 16 * 16, 70),
        ]
    };
    let plan = Plan::new(PlanInput::Image([16, 32, 32]), layers(), 70).unwrap();
    let x = noise(2 * plan.inputs(), 6);
    let mut both = vec![0.0; 140];
    plan.run(&x, &mut both);
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let mut one = vec![0.0; 70];
        let pool = pool.build().unwrap();
        pool.install(|| plan.run(&x[..plan.inputs()], &mut one));
        assert_eq!(one, both[..70], "{threads} threads");
    }
}

#[test]
fn what_overflows_is_not_finite_and_leaves_nothing_behind() {
    for (index, (input, layers, outputs)) in networks().into_iter().enumerate() {
        // What has bounds makes finite values of infinite ones.
        let bounded = |layer: &PlanLayer<'_>| {
            matches!(
                layer,
                PlanLayer::Activation(PlanActivation::Tanh | PlanActivation::Sigmoid)
            )
        };
        let finite = layers.iter().any(bounded);
        let plan = Plan::new(input, layers, outputs).unwrap();
        let x = noise(plan.inputs(), 7);
        let (mut before, mut after) = (vec![0.0; outputs], vec![0.0; outputs]);
        plan.run(&x, &mut before);
        let huge: Vec<f32> = x.iter().map(|x| x.signum() * f32::MAX).collect();
        plan.run(&huge, &mut after);
        let infinite = after.iter().any(|x| !x.is_finite());
        assert!(
            infinite || finite || index < 5,
            "network {index}: {after:?}"
        );
        plan.run(&vec![f32::NAN; plan.inputs()], &mut after);
        assert!(
            after.iter().all(|x| x.is_nan()),
            "network {index}: {after:?}"
        );
        plan.run(&x, &mut after);
        assert_eq!(before, after, "network {index}");
    }
}

#[test]
fn layers_that_do_not_fit_make_no_plan() {
    let image = PlanInput::Image([2, 6, 6]);
    let none = |input, layers: Vec<PlanLayer<'static>>, outputs| {
        assert!(
            Plan::new(input, layers.clone(), outputs).is_none(),
            "{layers:?}"
        );
    };
    let vector = PlanInput::Vector(4);
    none(vector, vec![dense(5, 2)], 2);
    none(vector, vec![dense(4, 2)], 3);
    none(vector, vec![], 1);
    none(vector, vec![relu()], 4);
    none(vector, vec![scale(3), dense(4, 2)], 2);
    none(vector, vec![conv(1, 2, [1, 1, 0]), dense(4, 2)], 2);
    none(image, vec![dense(72, 2)], 2);
    none(
        image,
        vec![conv(3, 2, [3, 1, 1]), PlanLayer::Flatten, dense(72, 2)],
        2,
    );
    none(
        image,
        vec![conv(2, 2, [9, 1, 1]), PlanLayer::Flatten, dense(72, 2)],
        2,
    );
    none(image, vec![pool(7, 1), PlanLayer::Flatten, dense(72, 2)], 2);
    none(image, vec![pool(2, 0), PlanLayer::Flatten, dense(72, 2)], 2);
    none(image, vec![conv(2, 2, [3, 1, 1]), PlanLayer::Flatten], 2);
    none(
        PlanInput::Image([1, 0, 3]),
        vec![PlanLayer::Flatten, dense(1, 2)],
        2,
    );
    none(PlanInput::Vector(usize::MAX), vec![dense(1, 2)], 2);
}
