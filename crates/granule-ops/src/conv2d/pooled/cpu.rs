//! Convolution and pooling on slices, in blocks of sixteen images as in [`super::super::direct`]: the four results under a
//! window are one tile of positions, so that only the largest of them leaves the registers.
//!
//! Backward, the gradient of a window is laid where its winner was, in the block that both gradients are computed from.

use rayon::prelude::*;

use super::super::direct::{
    Convolution, Group, WeightSum, biases, correlate, in_tiles, taps, tiles, total,
};
use super::super::geometry::Geometry;
use crate::lanes::{self, LANES, Lanes};
use crate::real::Real;
use crate::scratch::Scratch;
use crate::vectorised::{Kernel, vectorised};

/// Rows and columns of a window.
pub(in crate::conv2d) const SIZE: usize = 2;
/// In the place of a winner where no element is positive.
pub(in crate::conv2d) const NONE: u8 = 4;
/// Windows of which one tile of channels stays in the first cache.
const WINDOWS: usize = 16;
/// The elements of some windows: `[place in the window, window, image]`.
type Elements<T> = [[Lanes<T>; WINDOWS]; SIZE * SIZE];

/// For each block of images, output channel and window, which element of the window won in each image; after Winograd's
/// convolution for each image, block of channels and window, which one in each channel.
pub(in crate::conv2d) type Winners = Vec<[u8; LANES]>;

/// Rows and columns of windows.
pub(super) fn pooled_size(g: &Geometry) -> [usize; 2] {
    g.out_size.map(|size| size / SIZE)
}

fn windows(g: &Geometry) -> usize {
    let [rows, columns] = pooled_size(g);
    rows * columns
}

/// The elements of every window, row by row.
fn windows_of(g: &Geometry) -> Vec<[[usize; 2]; SIZE * SIZE]> {
    let [rows, columns] = pooled_size(g);
    let window = |at: usize| {
        let [i, j] = [at / columns * SIZE, at % columns * SIZE];
        [[i, j], [i, j + 1], [i + 1, j], [i + 1, j + 1]]
    };
    (0..rows * columns).map(window).collect()
}

/// The result `[batch, out_channels, rows, columns]` and the winners.
pub(in crate::conv2d) fn forward<T: Real>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    bias: &[T],
) -> (Vec<T>, Winners) {
    in_tiles!(g.out_channels, forward_in_tiles(g, x, weight, bias))
}

fn forward_in_tiles<T: Real, const O: usize>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    bias: &[T],
) -> (Vec<T>, Winners) {
    let image = g.out_channels * windows(g);
    let mut out = vec![T::ZERO; g.batch * image];
    let mut winners = vec![[NONE; LANES]; g.batch.div_ceil(LANES) * image];
    let taps = taps(g);
    let weight = tiles::<T, O>(weight, g.patch());
    let groups: Vec<Group> = windows_of(g)
        .into_iter()
        .map(|window| Group::new(g, window))
        .collect();
    out.par_chunks_mut(LANES * image)
        .zip(winners.par_chunks_mut(image))
        .zip(x.par_chunks(LANES * g.in_image()))
        .for_each(|((out, winners), images)| {
            let x = lanes::pack(images, g.in_channels, g.in_size, g.padding, g.padded());
            let mut sums = Scratch::take(O * SIZE * SIZE * WINDOWS * LANES);
            let mut best = Scratch::take(WINDOWS * LANES);
            vectorised(Forward {
                g,
                taps: &taps,
                groups: &groups,
                weight: &weight,
                bias,
                x: x.as_chunks().0,
                sums: sums.as_chunks_mut().0.as_chunks_mut().0.as_chunks_mut().0,
                best: best.as_chunks_mut().0,
                out,
                winners,
            });
        });
    (out, winners)
}

struct Forward<'a, T, const O: usize> {
    g: &'a Geometry,
    taps: &'a [usize],
    groups: &'a [Group],
    weight: &'a [[T; O]],
    bias: &'a [T],
    x: &'a [Lanes<T>],
    /// Of one tile of channels.
    sums: &'a mut [Elements<T>],
    best: &'a mut [Lanes<T>],
    out: &'a mut [T],
    winners: &'a mut [[u8; LANES]],
}

impl<T: Real, const O: usize> Kernel for Forward<'_, T, O> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (g, count) = (self.g, self.groups.len());
        for (tile, weight) in self.weight.chunks_exact(self.taps.len()).enumerate() {
            let channels = (g.out_channels - tile * O).min(O);
            let bias = biases(self.bias, tile);
            for (part, groups) in self.groups.chunks(WINDOWS).enumerate() {
                let first = part * WINDOWS;
                for (at, group) in groups.iter().enumerate() {
                    let sums =
                        correlate::<FUSED, T, O>(self.x, group, self.taps, g.area(), weight, bias);
                    for (targets, sums) in self.sums.iter_mut().zip(&sums) {
                        for (target, sum) in targets.iter_mut().zip(sums) {
                            target[at] = *sum;
                        }
                    }
                }
                for (o, elements) in self.sums.iter().enumerate().take(channels) {
                    let start = (tile * O + o) * count + first;
                    let best = &mut self.best[..groups.len()];
                    let winners = &mut self.winners[start..start + groups.len()];
                    largest(
                        elements.each_ref().map(|values| values.as_flattened()),
                        best.as_flattened_mut(),
                        winners.as_flattened_mut(),
                    );
                    lanes::to_rows(best, self.out, g.out_channels * count, start);
                }
            }
        }
    }
}

/// The largest positive element of each window and its place; NaN wins, the last of them.
#[inline(always)]
#[expect(clippy::eq_op, reason = "NaN alone differs from itself")]
pub(in crate::conv2d) fn largest<T: Real>(
    [a, b, c, d]: [&[T]; SIZE * SIZE],
    best: &mut [T],
    winners: &mut [u8],
) {
    let pairs = a.iter().zip(b).zip(c.iter().zip(d));
    for ((best, winner), ((a, b), (c, d))) in best.iter_mut().zip(winners).zip(pairs) {
        let (mut value, mut place) = (T::ZERO, NONE);
        for (i, x) in [*a, *b, *c, *d].into_iter().enumerate() {
            let wins = (x > value) | (x != x);
            value = if wins { x } else { value };
            place = if wins { i as u8 } else { place };
        }
        (*best, *winner) = (value, place);
    }
}

/// The gradients of `x`, the weights and the bias that are wanted, from that of the result.
pub(in crate::conv2d) fn backward<T: Real>(
    g: &Geometry,
    [x, weight, grad]: [&[T]; 3],
    winners: &[[u8; LANES]],
    wanted: [bool; 3],
) -> [Option<Vec<T>>; 3] {
    // ∂L/∂x of a convolution without an adjoint is for the two operations.
    let adjoint = g.adjoint().filter(|_| wanted[0]);
    in_tiles!(
        g.in_channels,
        backward_in_tiles(g, adjoint.as_ref(), [x, weight, grad], winners, wanted)
    )
}

/// `C` input channels are a tile of `∂L/∂x`.
fn backward_in_tiles<T: Real, const C: usize>(
    g: &Geometry,
    adjoint: Option<&Geometry>,
    [x, weight, grad]: [&[T]; 3],
    winners: &[[u8; LANES]],
    wanted: [bool; 3],
) -> [Option<Vec<T>>; 3] {
    let image = g.out_channels * windows(g);
    // Zeros around the gradient are for `∂L/∂x` alone.
    let padding = adjoint.map_or([0, 0], |adjoint| adjoint.padding);
    let padded = [0, 1].map(|i| g.out_size[i] + 2 * padding[i]);
    let plane = padded[0] * padded[1];
    let width = g.padded()[1];
    let in_gradient = |[i, j]: [usize; 2]| (i + padding[0]) * padded[1] + j + padding[1];
    let in_x = |[i, j]: [usize; 2]| i * g.stride[0] * width + j * g.stride[1];
    let all = windows_of(g);
    let places: Vec<_> = all.iter().map(|window| window.map(in_gradient)).collect();
    let elements = all.as_flattened().iter();
    let positions = elements.map(|at| [in_x(*at), in_gradient(*at)]).collect();
    let sum = WeightSum::new(g, positions, plane);
    let flipped = g.flipped(weight);
    let convolution = adjoint.map(|adjoint| Convolution::<T, C>::new(adjoint, &flipped, &[]));

    let mut x_gradient = vec![T::ZERO; if adjoint.is_some() { x.len() } else { 0 }];
    let blocks = g.batch.div_ceil(LANES);
    let mut weight_sums = Scratch::take(blocks * sum.len());
    let mut bias_sums = Scratch::take(blocks * g.out_channels);
    // Without ∂L/∂x its parts are empty.
    let mut x_parts: Vec<&mut [T]> = x_gradient.chunks_mut(LANES * g.in_image()).collect();
    x_parts.resize_with(blocks, Default::default);
    x_parts
        .into_par_iter()
        .zip(weight_sums.par_chunks_mut(sum.len()))
        .zip(bias_sums.par_chunks_mut(g.out_channels))
        .zip(x.par_chunks(LANES * g.in_image()))
        .zip(grad.par_chunks(LANES * image))
        .zip(winners.par_chunks(image))
        .for_each(|(((((x_part, weight_sum), bias_sum), x), grad), winners)| {
            let grad = lanes::pack(grad, g.out_channels, pooled_size(g), [0, 0], pooled_size(g));
            let mut block = Scratch::take(g.out_channels * plane * LANES);
            vectorised(Spread {
                grad: grad.as_chunks().0,
                winners,
                places: &places,
                plane,
                block: block.as_chunks_mut().0,
                bias_sum,
                values: Scratch::take(WINDOWS * LANES).as_chunks_mut().0,
            });
            let block = block.as_chunks().0;
            if wanted[1] {
                let x = lanes::pack(x, g.in_channels, g.in_size, g.padding, g.padded());
                sum.run(x.as_chunks().0, block, weight_sum);
            }
            if let Some(convolution) = &convolution {
                convolution.run(block, x_part);
            }
        });
    [
        adjoint.is_some().then_some(x_gradient),
        wanted[1].then(|| total(&weight_sums, sum.len())),
        wanted[2].then(|| total(&bias_sums, g.out_channels)),
    ]
}

/// The gradient before pooling and its sum over positions and images.
struct Spread<'a, T> {
    grad: &'a [Lanes<T>],
    winners: &'a [[u8; LANES]],
    /// Of the elements of each window in a plane of the block.
    places: &'a [[usize; SIZE * SIZE]],
    plane: usize,
    block: &'a mut [Lanes<T>],
    bias_sum: &'a mut [T],
    values: &'a mut [Lanes<T>],
}

impl<T: Real> Kernel for Spread<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let count = self.places.len();
        let planes = self.block.chunks_exact_mut(self.plane);
        let windows = self
            .grad
            .chunks_exact(count)
            .zip(self.winners.chunks_exact(count));
        for ((plane, (grad, winners)), bias_sum) in planes.zip(windows).zip(self.bias_sum) {
            if self.plane != count * SIZE * SIZE {
                plane.fill([T::ZERO; LANES]);
            }
            let mut sum = [T::ZERO; LANES];
            let parts = grad.chunks(WINDOWS).zip(winners.chunks(WINDOWS));
            for (places, (grad, winners)) in self.places.chunks(WINDOWS).zip(parts) {
                for element in 0..SIZE * SIZE {
                    let values = &mut self.values[..grad.len()];
                    let pairs = grad.as_flattened().iter().zip(winners.as_flattened());
                    for (value, (grad, winner)) in values.as_flattened_mut().iter_mut().zip(pairs) {
                        let won = *winner == element as u8;
                        *value = if won { *grad } else { T::ZERO };
                    }
                    for (value, places) in values.iter().zip(places) {
                        plane[places[element]] = *value;
                        for (sum, value) in sum.iter_mut().zip(value) {
                            *sum += *value;
                        }
                    }
                }
            }
            *bias_sum = lanes::sum(sum);
        }
    }
}
