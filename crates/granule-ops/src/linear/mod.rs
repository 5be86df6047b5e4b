//! A dense layer:
//!
//! `y = x W + b`, `∂L/∂x = ∂L/∂y Wᵀ`, `∂L/∂W = xᵀ ∂L/∂y`, `∂L/∂b = Σ_batch ∂L/∂y`
//!
//! Both CPU backends run the same kernels, so that they give the same bits.

#[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray")))]
mod backend;
#[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray")))]
mod bf16;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(gpu)]
mod cube;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::{Tensor, activation, module};

use crate::Factors;

/// `x` `[batch, inputs]` times `weight` `[inputs, outputs]` plus an optional `bias` `[outputs]`: `[batch, outputs]`.
///
/// On `flex` and `ndarray` with autodiff, in f32 or f64, these are the kernels of this crate, elsewhere Burn's, whose sums are
/// those of a [`Plan`](crate::Plan): what is computed without gradients is the same in training and in inference. The gradient of
/// `weight` lies in memory that was [given back](crate::give_back()) where there is some.
///
/// # Panics
/// Like every Burn operation, when the shapes do not fit together.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    linear_with(x, weight, bias, Factors::Full)
}

/// [`linear`], its product and those of its gradients from such [factors](Factors).
///
/// # Panics
/// As [`linear`]; with factors in bfloat16 also on other tensors than those in f32 on `flex` and `ndarray` with autodiff.
pub fn linear_with(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    factors: Factors,
) -> Tensor<2> {
    #[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray")))]
    if weight.device().is_autodiff() {
        if backend::serves(&x, &weight, bias.as_ref()) {
            return backend::run(x, weight, bias, factors);
        }
        // What is empty has no products, and of what does not fit together Burn says so.
        if backend::is_of_bf16(&x, &weight, bias.as_ref()) {
            return module::linear(x, weight, bias);
        }
    }
    if factors == Factors::Bf16 {
        crate::bf16::none("linear");
    }
    module::linear(x, weight, bias)
}

/// [`linear`] rectified: `max(0, x W + b)`, `[batch, outputs]`.
///
/// On GPUs in f32 there is one launch beside the product, and one beside those of the gradients; elsewhere it is composed.
///
/// # Panics
/// As [`linear`].
pub fn linear_relu(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(gpu)]
    if cube::serve(&x, &weight, bias.as_ref()) {
        return cube::run(x, weight, bias);
    }
    activation::relu(linear(x, weight, bias))
}
