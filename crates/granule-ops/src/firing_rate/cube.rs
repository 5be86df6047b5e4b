//! Transfer functions on GPUs: one unit for each element.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::Transfer;
use crate::gpu::{one_for_each, row_major, unwritten};

/// A transfer function without its numbers: what a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Curve {
    Tanh,
    Relu,
    Softplus,
    Sigmoid,
    Line,
    Square,
    PowerLaw,
}

/// The curve, with the gain and the exponent of a power law.
pub(crate) fn curve(transfer: Transfer) -> (Curve, f32, f32) {
    match transfer {
        Transfer::Tanh => (Curve::Tanh, 1.0, 1.0),
        Transfer::Relu => (Curve::Relu, 1.0, 1.0),
        Transfer::Softplus => (Curve::Softplus, 1.0, 1.0),
        Transfer::Sigmoid => (Curve::Sigmoid, 1.0, 1.0),
        Transfer::PowerLaw { gain, exponent } => {
            let curve = match exponent {
                1.0 => Curve::Line,
                2.0 => Curve::Square,
                _ => Curve::PowerLaw,
            };
            (curve, gain as f32, exponent as f32)
        }
    }
}

/// `1 / (1 + e⁻ˣ)`, of an exponential that does not overflow.
#[cube]
fn sigmoid(x: f32) -> f32 {
    let e = (-x.abs()).exp();
    select(x < 0.0, e, 1.0) / (1.0 + e)
}

/// `ln(1 + x)`, near 0 by its series: a shader has no such function of its own, and a compiler may undo what would find again
/// the digits that the sum loses.
#[cube]
pub(crate) fn logarithm_of_one_more(x: f32) -> f32 {
    let series = x * (1.0 - x * (0.5 - x * (0.333_333_34 - x * 0.25)));
    select(x.abs() < 0.03, series, (1.0 + x).ln())
}

/// `max(0, x)`; a NaN stays one.
#[cube]
fn rectified(x: f32) -> f32 {
    select(x < 0.0, 0.0, x)
}

/// `φ(x)`
#[cube]
pub(crate) fn rate(x: f32, gain: f32, exponent: f32, #[comptime] curve: Curve) -> f32 {
    match comptime![curve] {
        Curve::Tanh => x.tanh(),
        Curve::Relu => rectified(x),
        Curve::Softplus => rectified(x) + logarithm_of_one_more((-x.abs()).exp()),
        Curve::Sigmoid => sigmoid(x),
        Curve::Line => gain * rectified(x),
        Curve::Square => gain * rectified(x) * rectified(x),
        Curve::PowerLaw => {
            let x = rectified(x);
            select(x > 0.0, gain * x.powf(exponent), x)
        }
    }
}

/// `φ′(x)`
#[cube]
pub(crate) fn slope(x: f32, gain: f32, exponent: f32, #[comptime] curve: Curve) -> f32 {
    match comptime![curve] {
        Curve::Tanh => {
            let rate = x.tanh();
            (1.0 - rate) * (1.0 + rate)
        }
        Curve::Relu => select(x > 0.0, 1.0f32, 0.0f32),
        Curve::Softplus => sigmoid(x),
        Curve::Sigmoid => {
            let rate = sigmoid(x);
            rate * (1.0 - rate)
        }
        Curve::Line => select(x > 0.0, gain, 0.0f32),
        Curve::Square => 2.0 * gain * rectified(x),
        Curve::PowerLaw => {
            let x = rectified(x);
            select(x > 0.0, gain * exponent * x.powf(exponent - 1.0), x)
        }
    }
}

#[cube(launch, address_type = "dynamic")]
fn rates(x: &[f32], out: &mut [f32], gain: f32, exponent: f32, #[comptime] curve: Curve) {
    if ABSOLUTE_POS < out.len() {
        out[ABSOLUTE_POS] = rate(x[ABSOLUTE_POS], gain, exponent, curve);
    }
}

#[cube(launch, address_type = "dynamic")]
fn gradients(
    x: &[f32],
    grad: &[f32],
    out: &mut [f32],
    gain: f32,
    exponent: f32,
    #[comptime] curve: Curve,
) {
    if ABSOLUTE_POS < out.len() {
        out[ABSOLUTE_POS] = slope(x[ABSOLUTE_POS], gain, exponent, curve) * grad[ABSOLUTE_POS];
    }
}

/// A tensor like `x`, row-major, that `launch` fills, one unit for each element.
fn filled(x: &CubeTensor, launch: impl FnOnce(&CubeTensor, CubeCount, CubeDim)) -> CubeTensor {
    let out = unwritten(x, x.shape());
    let elements = x.shape().num_elements();
    if elements > 0 {
        let (count, dim) = one_for_each(&out.client, elements);
        launch(&out, count, dim);
    }
    out
}

pub(crate) fn forward(x: CubeTensor, transfer: Transfer) -> CubeTensor {
    let x = row_major(x);
    let (curve, gain, exponent) = curve(transfer);
    filled(&x, |out, count, dim| {
        rates::launch(
            &out.client,
            count,
            dim,
            out.required_address_type(),
            x.clone().into_buffer_arg(),
            out.clone().into_buffer_arg(),
            gain,
            exponent,
            curve,
        );
    })
}

pub(crate) fn backward(x: CubeTensor, grad: CubeTensor, transfer: Transfer) -> CubeTensor {
    let (x, grad) = (row_major(x), row_major(grad));
    let (curve, gain, exponent) = curve(transfer);
    filled(&x, |out, count, dim| {
        gradients::launch(
            &out.client,
            count,
            dim,
            out.required_address_type(),
            x.clone().into_buffer_arg(),
            grad.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            gain,
            exponent,
            curve,
        );
    })
}
