//! Which kernel computes a convolution, by its shape.
//!
//! | kernel | where | why |
//! | --- | --- | --- |
//! | [`winograd`] | 3×3 with stride 1, at least 32 channels in and out | a quarter of the products, in matrices that are large enough |
//! | [`direct`] | up to 64 channels in and out, blocks of 16 images that are nearly full | a product of so few rows does not pay for its matrix of patches |
//! | [`columns`] | elsewhere | a matrix product runs at the processor's full speed |
//!
//! The first two are for f32 and vectors of 16 numbers: with narrower ones, or in f64, the sums of a tile of the direct kernel
//! do not fit into the registers, and f64 is asked for by those who count digits. Forward, the direct kernel must fill its
//! tiles with output channels, and have as many taps as output channels, each of which is laid out anew.

use super::geometry::Geometry;
use super::pooled::cpu::{self as pooled, Winners};
use super::{columns, direct, winograd};
use crate::firing_rate::elementary::Elementary;
use crate::lanes::LANES;
use crate::vectorised::is_wide;

/// The fewest channels of Winograd's convolution.
const MANY: usize = 32;
/// The most channels of the direct kernel.
const CHANNELS: usize = 64;
/// The fewest output channels of which it sums no more than it needs.
const FILLED: usize = 4;

/// Whether Winograd's convolution is the fastest.
fn is_winograd<T: Elementary>(g: &Geometry) -> bool {
    size_of::<T>() == size_of::<f32>()
        && is_wide()
        && g.kernel == [winograd::KERNEL; 2]
        && g.adjoint().is_some()
        && g.in_channels.min(g.out_channels) >= MANY
        && g.batch * g.in_image() > 0
}

/// Whether convolution and pooling in one are faster than one after the other.
pub(super) fn is_pooled<T: Elementary>(g: &Geometry) -> bool {
    (is_direct::<T>(g) || is_winograd::<T>(g)) && g.adjoint().is_some()
}

/// `y = max(0, max_{u,v < 2} (w ∗ x + b))` and the winners, where [`is_pooled`].
pub(super) fn pooled_forward<T: Elementary>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    bias: &[T],
) -> (Vec<T>, Winners) {
    if is_winograd::<T>(g) {
        winograd::pooled_forward(g, x, weight, bias)
    } else {
        pooled::forward(g, x, weight, bias)
    }
}

/// The gradients of `x`, the weights and the bias that are wanted, from that of what [`pooled_forward`] gave.
pub(super) fn pooled_backward<T: Elementary>(
    g: &Geometry,
    tensors: [&[T]; 3],
    winners: &Winners,
    wanted: [bool; 3],
) -> [Option<Vec<T>>; 3] {
    if is_winograd::<T>(g) {
        winograd::pooled_backward(g, tensors, winners, wanted)
    } else {
        pooled::backward(g, tensors, winners, wanted)
    }
}

/// Whether the direct kernels serve a convolution.
fn is_direct<T: Elementary>(g: &Geometry) -> bool {
    let lanes = g.batch.next_multiple_of(LANES);
    size_of::<T>() == size_of::<f32>()
        && is_wide()
        && g.in_channels.max(g.out_channels) <= CHANNELS
        && g.batch * g.in_image() * g.out_channels > 0
        && 4 * g.batch >= 3 * lanes
}

/// Whether the direct kernel is the faster one forward.
fn is_direct_forward<T: Elementary>(g: &Geometry) -> bool {
    is_direct::<T>(g) && g.out_channels >= FILLED && g.patch() >= g.out_channels
}

/// `y = w ∗ x + b`: `[batch, out_channels, out_h, out_w]`.
pub(super) fn forward<T: Elementary>(g: &Geometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    if is_winograd::<T>(g) {
        winograd::forward(g, x, weight, bias)
    } else if is_direct_forward::<T>(g) {
        direct::forward(g, x, weight, bias)
    } else {
        columns::forward(g, x, weight, bias)
    }
}

/// `∂L/∂x = wᵀ ∗ ∂L/∂y`: `[batch, in_channels, in_h, in_w]`.
pub(super) fn input_gradient<T: Elementary>(g: &Geometry, weight: &[T], grad: &[T]) -> Vec<T> {
    match g.adjoint() {
        Some(adjoint) if is_winograd::<T>(&adjoint) => {
            winograd::input_gradient(g, &adjoint, weight, grad)
        }
        Some(adjoint) if is_direct_forward::<T>(&adjoint) => {
            direct::input_gradient(g, &adjoint, weight, grad)
        }
        _ => columns::input_gradient(g, weight, grad),
    }
}

/// `∂L/∂w = ∂L/∂y ⋆ x`: `[out_channels, in_channels, kernel_h, kernel_w]`.
pub(super) fn weight_gradient<T: Elementary>(g: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    if is_winograd::<T>(g) {
        winograd::weight_gradient(g, x, grad)
    } else if is_direct::<T>(g) {
        direct::weight_gradient(g, x, grad)
    } else {
        columns::weight_gradient(g, x, grad)
    }
}
