//! The products of a layer from factors in bfloat16; what they are within stands at [`crate::bf16`].

use crate::bf16::{Bf16Arithmetic, product};
use crate::matmul::Matrix;
use crate::scratch;

/// `y = x W + b`: `[batch, outputs]`.
pub(super) fn forward(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    inputs: usize,
    arithmetic: Bf16Arithmetic,
) -> Vec<f32> {
    let (batch, outputs) = (x.len() / inputs.max(1), bias.len());
    let mut out = bias.repeat(batch);
    let x = Matrix::new(x, batch, inputs);
    let weight = Matrix::new(weight, inputs, outputs);
    product(&mut out, &x, &weight, true, arithmetic);
    out
}

/// `∂L/∂W = xᵀ ∂L/∂y`: `[inputs, outputs]`.
pub(super) fn weight_gradient(
    x: &[f32],
    grad: &[f32],
    [inputs, outputs]: [usize; 2],
    arithmetic: Bf16Arithmetic,
) -> Vec<f32> {
    let batch = x.len() / inputs.max(1);
    let mut out = scratch::take_exactly(inputs * outputs);
    let x = Matrix::new(x, batch, inputs).transposed();
    let grad = Matrix::new(grad, batch, outputs);
    product(&mut out, &x, &grad, false, arithmetic);
    out
}

/// `∂L/∂x = ∂L/∂y Wᵀ`: `[batch, inputs]`.
pub(super) fn input_gradient(
    grad: &[f32],
    weight: &[f32],
    [inputs, outputs]: [usize; 2],
    arithmetic: Bf16Arithmetic,
) -> Vec<f32> {
    let batch = grad.len() / outputs.max(1);
    let mut out = vec![0.0; batch * inputs];
    let grad = Matrix::new(grad, batch, outputs);
    let weight = Matrix::new(weight, inputs, outputs).transposed();
    product(&mut out, &grad, &weight, false, arithmetic);
    out
}
