//! Two-dimensional convolution (cross-correlation, as in every deep-learning framework):
//!
//! `y[n, o, i, j] = b[o] + Σ_{c,u,v} w[o, c, u, v] · x[n, c, i·s + u − p, j·s + v − p]`
//!
//! with stride `s`, zero padding `p`, no dilation and one group. The backward pass needs `x` and `w` only:
//! `∂L/∂w` correlates `x` with `∂L/∂y`, `∂L/∂x` correlates `∂L/∂y` with the flipped `w`.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod bf16;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod columns;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod direct;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod geometry;
#[cfg(all(test, any(feature = "flex", feature = "ndarray")))]
mod kernels;
mod pooled;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod winograd;

pub use pooled::conv2d_relu_max_pool2d;

use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

use crate::Factors;

/// Stride and zero padding of a two-dimensional convolution, as `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step between output positions, at least 1.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            padding: [0, 0],
        }
    }
}

/// Two-dimensional convolution of `x` `[batch, in_channels, height, width]` with `weight`
/// `[out_channels, in_channels, kernel_h, kernel_w]` and an optional `bias` `[out_channels]`; the result is
/// `[batch, out_channels, out_h, out_w]` with `out = (in + 2·padding − kernel) / stride + 1`.
///
/// On `flex` and `ndarray` in f32 or f64 this is the kernel of this crate, elsewhere Burn's. In f32, 3×3 kernels with stride 1
/// and at least 32 channels in and out go by Winograd's convolution on processors with AVX-512: results keep five to six digits.
///
/// # Panics
/// Like every Burn operation, when the shapes do not fit together or the kernel is larger than the padded
/// image.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    conv2d_with(x, weight, bias, options, Factors::Full)
}

/// [`conv2d`], its product and those of its gradients from such [factors](Factors). In bfloat16 every convolution goes by columns,
/// also where it is Winograd's in f32.
///
/// # Panics
/// As [`conv2d`]; with factors in bfloat16 also on other tensors than those in f32 on `flex` and `ndarray`.
pub fn conv2d_with(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
    factors: Factors,
) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&x) && x.dtype() == weight.dtype() {
        return backend::run(x, weight, bias, options, factors);
    }
    if factors == Factors::Bf16 {
        crate::bf16::none("conv2d");
    }
    let options = ConvOptions::new(options.stride, options.padding, [1, 1], 1);
    burn::tensor::module::conv2d(x, weight, bias, options)
}
