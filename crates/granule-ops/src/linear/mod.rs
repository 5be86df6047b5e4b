//! A dense layer:
//!
//! `y = x W + b`, `∂L/∂x = ∂L/∂y Wᵀ`, `∂L/∂W = xᵀ ∂L/∂y`, `∂L/∂b = Σ_batch ∂L/∂y`
//!
//! The products are Burn's but for `∂L/∂x` of a large `W`, which a general product lays out anew.

#[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray")))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

use burn::tensor::{Tensor, module};

/// `x` `[batch, inputs]` times `weight` `[inputs, outputs]` plus an optional `bias` `[outputs]`: `[batch, outputs]`.
///
/// On `flex` and `ndarray` in f32, with half a million weights and more and up to 128 rows of `x`, the gradient of `x` is by a
/// kernel of this crate on processors with AVX-512; all else is Burn's.
///
/// # Panics
/// Like every Burn operation, when the shapes do not fit together.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray")))]
    if backend::serves(&x, &weight, bias.as_ref()) {
        return backend::run(x, weight, bias);
    }
    module::linear(x, weight, bias)
}
