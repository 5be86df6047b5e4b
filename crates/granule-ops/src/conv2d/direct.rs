//! Two-dimensional convolution of few channels, by its definition: sixteen images lie side by side, one in each lane of a
//! vector, so that no matrix of patches is made and every kernel size, stride and padding runs at full width.
//!
//! A block of images is `[channel, row, column, image]` with its zero padding. Forward, a tile of output channels and
//! positions is summed in registers over all taps `(c, u, v)`; for the gradient of the weights, a tile of output channels
//! and taps is summed over positions, one sum per lane, and lanes and blocks are added in a fixed order.

use core::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::lanes::{self, LANES, Lanes};
use crate::real::Real;
use crate::scratch::Scratch;
use crate::vectorised::{Kernel, vectorised};

/// Positions for which the sums of one tile of channels, or the gradient of one, stay in the first cache.
const POSITIONS: usize = 128;
/// Positions of a tile.
pub(super) const TILE: usize = 4;
/// Taps of a tile.
const TAPS: usize = 5;

/// Output positions that are summed together.
pub(super) struct Group {
    /// Where their inputs begin in a padded plane.
    bases: [usize; TILE],
    /// Elements of a kernel, some of which meet the image.
    elements: Range<usize>,
}

impl Group {
    pub(super) fn new(g: &Geometry, at: [[usize; 2]; TILE]) -> Self {
        let width = g.padded()[1];
        let mut rows = g.kernel[0]..0;
        for [i, _] in at {
            let y = i * g.stride[0];
            let first = g.padding[0].saturating_sub(y);
            let last = (g.in_size[0] + g.padding[0]).saturating_sub(y);
            rows = rows.start.min(first)..rows.end.max(last.min(g.kernel[0]));
        }
        Self {
            bases: at.map(|[i, j]| i * g.stride[0] * width + j * g.stride[1]),
            elements: rows.start.min(rows.end) * g.kernel[1]..rows.end * g.kernel[1],
        }
    }
}

/// From a position to the input of each tap.
pub(super) fn taps(g: &Geometry) -> Vec<usize> {
    let [height, width] = g.padded();
    let mut taps = Vec::with_capacity(g.patch());
    for c in 0..g.in_channels {
        for u in 0..g.kernel[0] {
            taps.extend((0..g.kernel[1]).map(|v| (c * height + u) * width + v));
        }
    }
    taps
}

/// All output positions row by row; the last group may have its last one several times.
fn groups(g: &Geometry) -> Vec<Group> {
    let at = |i: usize| {
        let i = i.min(g.pixels() - 1);
        [i / g.out_size[1], i % g.out_size[1]]
    };
    let firsts = (0..g.pixels()).step_by(TILE);
    firsts
        .map(|first| Group::new(g, core::array::from_fn(|i| at(first + i))))
        .collect()
}

/// Rows of `[output channel, tap]` as `[tile, tap, output channel]`; channels beyond the last are zero.
pub(super) fn tiles<T: Real, const O: usize>(weight: &[T], taps: usize) -> Vec<[T; O]> {
    let mut packed = Vec::with_capacity(weight.len().div_ceil(O * taps) * taps);
    for tile in weight.chunks(O * taps) {
        let row = |o: usize, tap: usize| tile.get(o * taps + tap).copied().unwrap_or(T::ZERO);
        packed.extend((0..taps).map(|tap| core::array::from_fn(|o| row(o, tap))));
    }
    packed
}

/// Calls a function with the number of output channels of a tile, that of which fewer are computed in vain.
macro_rules! in_tiles {
    ($channels:expr, $function:ident($($argument:expr),*)) => {
        if $channels.next_multiple_of(6) < $channels.next_multiple_of(4) || $channels == 6 {
            $function::<_, 6>($($argument),*)
        } else {
            $function::<_, 4>($($argument),*)
        }
    };
}
pub(super) use in_tiles;

/// `y = w ∗ x + b`, as [`super::columns::forward`].
pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    in_tiles!(g.out_channels, forward_in_tiles(g, x, weight, bias))
}

fn forward_in_tiles<T: Real, const O: usize>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    bias: &[T],
) -> Vec<T> {
    let mut out = vec![T::ZERO; g.batch * g.out_image()];
    let convolution = Convolution::<T, O>::new(g, weight, bias);
    out.par_chunks_mut(LANES * g.out_image())
        .zip(x.par_chunks(LANES * g.in_image()))
        .for_each(|(out, images)| {
            let block = lanes::pack(images, g.in_channels, g.in_size, g.padding, g.padded());
            convolution.run(block.as_chunks().0, out);
        });
    out
}

/// A convolution of blocks.
pub(super) struct Convolution<'a, T, const O: usize> {
    g: &'a Geometry,
    taps: Vec<usize>,
    groups: Vec<Group>,
    weight: Vec<[T; O]>,
    bias: &'a [T],
}

impl<'a, T: Real, const O: usize> Convolution<'a, T, O> {
    pub(super) fn new(g: &'a Geometry, weight: &[T], bias: &'a [T]) -> Self {
        Self {
            g,
            taps: taps(g),
            groups: groups(g),
            weight: tiles(weight, g.patch()),
            bias,
        }
    }

    /// From a padded block to images.
    pub(super) fn run(&self, x: &[Lanes<T>], out: &mut [T]) {
        let mut sums = Scratch::take(O * POSITIONS * LANES);
        vectorised(Forward {
            convolution: self,
            x,
            sums: sums.as_chunks_mut().0,
            out,
        });
    }
}

struct Forward<'a, T, const O: usize> {
    convolution: &'a Convolution<'a, T, O>,
    x: &'a [Lanes<T>],
    /// `[output channel, position, image]` of one tile of channels.
    sums: &'a mut [Lanes<T>],
    out: &'a mut [T],
}

impl<T: Real, const O: usize> Kernel for Forward<'_, T, O> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Convolution {
            g,
            taps,
            groups,
            weight,
            bias,
        } = self.convolution;
        for (tile, weight) in weight.chunks_exact(taps.len()).enumerate() {
            let channels = (g.out_channels - tile * O).min(O);
            let bias = biases(bias, tile);
            for (part, groups) in groups.chunks(POSITIONS / TILE).enumerate() {
                for (at, group) in groups.iter().enumerate() {
                    let sums =
                        correlate::<FUSED, T, O>(self.x, group, taps, g.area(), weight, bias);
                    let targets = self.sums.chunks_exact_mut(POSITIONS);
                    for (target, sums) in targets.zip(&sums) {
                        if let Some(target) = target[at * TILE..].first_chunk_mut() {
                            *target = *sums;
                        }
                    }
                }
                let first = part * POSITIONS;
                let count = POSITIONS.min(g.pixels() - first);
                for (o, sums) in self.sums.chunks_exact(POSITIONS).enumerate().take(channels) {
                    let start = (tile * O + o) * g.pixels() + first;
                    lanes::to_rows(&sums[..count], self.out, g.out_image(), start);
                }
            }
        }
    }
}

/// What the sums of a tile of channels begin with; zero beyond the last channel.
#[inline(always)]
pub(super) fn biases<T: Real, const O: usize>(bias: &[T], tile: usize) -> [[Lanes<T>; TILE]; O] {
    let mut sums = [[[T::ZERO; LANES]; TILE]; O];
    for (sums, bias) in sums.iter_mut().zip(bias.iter().skip(tile * O)) {
        sums.as_flattened_mut().fill(*bias);
    }
    sums
}

/// One tile of sums over the taps.
#[inline(always)]
pub(super) fn correlate<const FUSED: bool, T: Real, const O: usize>(
    x: &[Lanes<T>],
    group: &Group,
    taps: &[usize],
    area: usize,
    weight: &[[T; O]],
    mut sums: [[Lanes<T>; TILE]; O],
) -> [[Lanes<T>; TILE]; O] {
    let elements = group.elements.clone();
    for (taps, weight) in taps.chunks_exact(area).zip(weight.chunks_exact(area)) {
        for (tap, weight) in taps[elements.clone()].iter().zip(&weight[elements.clone()]) {
            let values = group.bases.map(|base| x[base + tap]);
            for (sums, w) in sums.iter_mut().zip(weight) {
                for (sum, value) in sums.iter_mut().zip(&values) {
                    for (sum, v) in sum.iter_mut().zip(value) {
                        *sum = v.multiply_add::<FUSED>(*w, *sum);
                    }
                }
            }
        }
    }
    sums
}

/// `∂L/∂x`, as [`super::columns::input_gradient`], by the convolution `adjoint` of `∂L/∂y` with the flipped weights.
pub(super) fn input_gradient<T: Real>(
    g: &Geometry,
    adjoint: &Geometry,
    weight: &[T],
    grad: &[T],
) -> Vec<T> {
    forward(adjoint, grad, &g.flipped(weight), &[])
}

/// `∂L/∂w`, as [`super::columns::weight_gradient`].
pub(super) fn weight_gradient<T: Real>(g: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    let mut positions = Vec::with_capacity(g.pixels());
    let width = g.padded()[1];
    for (i, j) in (0..g.out_size[0]).flat_map(|i| (0..g.out_size[1]).map(move |j| (i, j))) {
        let x = i * g.stride[0] * width + j * g.stride[1];
        positions.push([x, positions.len()]);
    }
    let sum = WeightSum::new(g, positions, g.pixels());
    let mut partials = Scratch::take(g.batch.div_ceil(LANES) * sum.len());
    partials
        .par_chunks_mut(sum.len())
        .zip(x.par_chunks(LANES * g.in_image()))
        .zip(grad.par_chunks(LANES * g.out_image()))
        .for_each(|((partial, x), grad)| {
            let x = lanes::pack(x, g.in_channels, g.in_size, g.padding, g.padded());
            let grad = lanes::pack(grad, g.out_channels, g.out_size, [0, 0], g.out_size);
            sum.run(x.as_chunks().0, grad.as_chunks().0, partial);
        });
    total(&partials, sum.len())
}

/// Partial sums one after the other.
pub(super) fn total<T: Real>(partials: &[T], len: usize) -> Vec<T> {
    let mut total = vec![T::ZERO; len];
    for partial in partials.chunks_exact(len) {
        for (total, partial) in total.iter_mut().zip(partial) {
            *total += *partial;
        }
    }
    total
}

/// The gradient of the weights from blocks.
pub(super) struct WeightSum<'a> {
    g: &'a Geometry,
    taps: Vec<usize>,
    /// Where a position lies in a padded plane of the input and in one of the gradient.
    positions: Vec<[usize; 2]>,
    /// Elements of a plane of the gradient.
    plane: usize,
}

impl<'a> WeightSum<'a> {
    pub(super) fn new(g: &'a Geometry, positions: Vec<[usize; 2]>, plane: usize) -> Self {
        Self {
            g,
            taps: taps(g),
            positions,
            plane,
        }
    }

    /// The number of weights.
    pub(super) fn len(&self) -> usize {
        self.g.out_channels * self.taps.len()
    }

    pub(super) fn run<T: Real>(&self, x: &[Lanes<T>], grad: &[Lanes<T>], out: &mut [T]) {
        // The tile in which fewer sums are computed in vain.
        if self.g.out_channels.is_multiple_of(4) {
            self.run_in_tiles::<T, 4>(x, grad, out);
        } else {
            self.run_in_tiles::<T, 3>(x, grad, out);
        }
    }

    fn run_in_tiles<T: Real, const O: usize>(
        &self,
        x: &[Lanes<T>],
        grad: &[Lanes<T>],
        out: &mut [T],
    ) {
        let tiles = self.g.out_channels.div_ceil(O) * self.taps.len().div_ceil(TAPS);
        let mut sums = Scratch::take(tiles * O * TAPS * LANES);
        vectorised(WeightGradient::<T, O> {
            sum: self,
            x,
            grad,
            sums: sums.as_chunks_mut().0.as_chunks_mut().0.as_chunks_mut().0,
            out,
        });
    }
}

struct WeightGradient<'a, T, const O: usize> {
    sum: &'a WeightSum<'a>,
    x: &'a [Lanes<T>],
    grad: &'a [Lanes<T>],
    /// `[tile of output channels, tile of taps, output channel, tap, image]`.
    sums: &'a mut [[[Lanes<T>; TAPS]; O]],
    out: &'a mut [T],
}

impl<T: Real, const O: usize> Kernel for WeightGradient<'_, T, O> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let WeightSum {
            g,
            taps,
            positions,
            plane,
        } = self.sum;
        let patch = taps.len();
        let groups = patch.div_ceil(TAPS);
        self.sums.fill([[[T::ZERO; LANES]; TAPS]; O]);
        for positions in positions.chunks(POSITIONS) {
            for (tile, sums) in self.sums.chunks_exact_mut(groups).enumerate() {
                let planes: [usize; O] =
                    core::array::from_fn(|o| (tile * O + o).min(g.out_channels - 1) * plane);
                for (group, sums) in taps.chunks(TAPS).zip(sums) {
                    let taps = core::array::from_fn(|t| group[t.min(group.len() - 1)]);
                    *sums =
                        gather::<FUSED, T, O>([self.x, self.grad], positions, taps, planes, *sums);
                }
            }
        }
        for (tile, sums) in self.sums.iter().enumerate() {
            let (first, group) = (tile / groups * O, tile % groups * TAPS);
            for (o, sums) in sums.iter().enumerate().take(g.out_channels - first) {
                for (t, lanes) in sums.iter().enumerate().take(patch - group) {
                    self.out[(first + o) * patch + group + t] = lanes::sum(*lanes);
                }
            }
        }
    }
}

/// One tile of sums over the positions.
#[inline(always)]
fn gather<const FUSED: bool, T: Real, const O: usize>(
    [x, grad]: [&[Lanes<T>]; 2],
    positions: &[[usize; 2]],
    taps: [usize; TAPS],
    planes: [usize; O],
    mut sums: [[Lanes<T>; TAPS]; O],
) -> [[Lanes<T>; TAPS]; O] {
    for [at_x, at_grad] in positions {
        let values = taps.map(|tap| x[at_x + tap]);
        for (sums, plane) in sums.iter_mut().zip(&planes) {
            let grad = grad[plane + at_grad];
            for (sum, value) in sums.iter_mut().zip(&values) {
                for ((sum, v), d) in sum.iter_mut().zip(value).zip(&grad) {
                    *sum = v.multiply_add::<FUSED>(*d, *sum);
                }
            }
        }
    }
    sums
}
