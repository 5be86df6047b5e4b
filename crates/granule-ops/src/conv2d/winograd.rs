//! Convolution of 3×3 kernels with stride 1 and many channels after Winograd: a tile of 4×4 results takes 36 products for
//! each pair of channels instead of 144.
//!
//! With a tile `d` of 6×6 inputs and a kernel `g`,
//!
//! `y = Aᵀ [ Σ_c (G g Gᵀ) ⊙ (Bᵀ d B) ] A`,
//!
//! so that each of the 36 elements of the transforms is a matrix product `[tiles × c] · [c × o]`. `∂L/∂x` is a convolution
//! with the flipped kernels, and the gradient of the kernels is the adjoint of the equation,
//!
//! `∂L/∂g = Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A ∂L/∂y Aᵀ) ] G`.
//!
//! The matrices are those of Lavin & Gray, *Fast algorithms for convolutional neural networks*, CVPR 2016
//! (arXiv:1509.09308), of the points 0, ±1, ±2 and ∞. Channels lie side by side in the lanes of a vector.
//!
//! # Error
//! With unit round-off `u` and `n = c + 28` roundings on the way of a term — 8 in each of the transforms of `d` and `g`, 10 in
//! that of the result, one of the product, one of the bias and `c` of the sum — to first order
//!
//! `|ŷ − y| ≤ n u |Aᵀ| [ Σ_c (|G| |g| |Gᵀ|) ⊙ (|Bᵀ| |d| |B|) ] |A|`,
//!
//! elementwise (Barabasz et al., *Error analysis and improving the accuracy of Winograd convolution for deep neural networks*,
//! arXiv:1803.10986). The sums of the matrices' magnitudes make that larger than the bound of the definition: in f32
//! one to two digits are lost, results keep five to six.

use core::marker::PhantomData;
use core::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use super::pooled::cpu::{self as pooled, SIZE, Winners, largest};
use crate::firing_rate::elementary::Elementary;
use crate::lanes::{self, LANES, Lanes};
use crate::matmul::{Matrix, matmul};
use crate::scratch::Scratch;
use crate::vectorised::{Kernel, vectorised};

/// Rows and columns of a tile of results, of a tile of inputs, and of a kernel.
const OUT: usize = 4;
const IN: usize = 6;
pub(super) const KERNEL: usize = 3;
/// Matrix products.
const PRODUCTS: usize = IN * IN;
/// Tiles that the rows of a product should at least be.
const TILES: usize = 32;
/// Groups of images whose transforms lie in memory at once for the gradient of the kernels.
const GROUPS: usize = 8;
/// Elements between two matrices: a tile has a place in each of them, and matrices whose sizes are powers of two would have all
/// of these places share a few lines of the caches.
const APART: usize = LANES;

/// One of the linear maps between tiles, along one axis.
trait Transform {
    const FROM: usize;
    const TO: usize;
    fn apply<T: Elementary>(from: [T; IN]) -> [T; IN];
}

/// `Bᵀ d`
struct Input;
impl Transform for Input {
    const FROM: usize = IN;
    const TO: usize = IN;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, e, f]: [T; IN]) -> [T; IN] {
        let (two, four, five) = (T::of(2.0), T::of(4.0), T::of(5.0));
        let (even, odd) = (e - four * c, d - four * b);
        let (near, far) = (e - c, two * (d - b));
        [
            four * a - five * c + e,
            even + odd,
            even - odd,
            near + far,
            near - far,
            four * b - five * d + f,
        ]
    }
}

/// `G g`
struct Weight;
impl Transform for Weight {
    const FROM: usize = KERNEL;
    const TO: usize = IN;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, ..]: [T; IN]) -> [T; IN] {
        let (even, far) = (
            T::of(-1.0 / 6.0) * (a + c),
            T::of(1.0 / 24.0) * a + T::of(1.0 / 6.0) * c,
        );
        let (odd, half) = (T::of(1.0 / 6.0) * b, T::of(1.0 / 12.0) * b);
        [
            T::of(0.25) * a,
            even - odd,
            even + odd,
            far + half,
            far - half,
            c,
        ]
    }
}

/// `Gᵀ u`
struct WeightAdjoint;
impl Transform for WeightAdjoint {
    const FROM: usize = IN;
    const TO: usize = KERNEL;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, e, f]: [T; IN]) -> [T; IN] {
        let near = T::of(-1.0 / 6.0) * (b + c);
        let (far, odd) = (d + e, T::of(1.0 / 6.0) * (c - b));
        [
            T::of(0.25) * a + near + T::of(1.0 / 24.0) * far,
            odd + T::of(1.0 / 12.0) * (d - e),
            near + T::of(1.0 / 6.0) * far + f,
            T::ZERO,
            T::ZERO,
            T::ZERO,
        ]
    }
}

/// `Aᵀ m`
struct Output;
impl Transform for Output {
    const FROM: usize = IN;
    const TO: usize = OUT;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, e, f]: [T; IN]) -> [T; IN] {
        let (near, near_odd) = (b + c, b - c);
        let (far, far_odd) = (d + e, d - e);
        [
            a + near + far,
            near_odd + T::of(2.0) * far_odd,
            near + T::of(4.0) * far,
            near_odd + T::of(8.0) * far_odd + f,
            T::ZERO,
            T::ZERO,
        ]
    }
}

/// `A y`
struct OutputAdjoint;
impl Transform for OutputAdjoint {
    const FROM: usize = OUT;
    const TO: usize = IN;
    #[inline(always)]
    fn apply<T: Elementary>([a, b, c, d, ..]: [T; IN]) -> [T; IN] {
        let (even, odd) = (a + c, b + d);
        let (far, far_odd) = (a + T::of(4.0) * c, T::of(2.0) * b + T::of(8.0) * d);
        [a, even + odd, even - odd, far + far_odd, far - far_odd, d]
    }
}

/// The transform along both axes of a square of lanes.
#[inline(always)]
fn transform<F: Transform, T: Elementary>(square: &mut [[Lanes<T>; IN]; IN]) {
    for line in square.iter_mut().take(F::FROM) {
        for lane in 0..LANES {
            let to = F::apply(core::array::from_fn(|i| line[i][lane]));
            for (value, to) in line.iter_mut().zip(to) {
                value[lane] = to;
            }
        }
    }
    for column in 0..F::TO {
        for lane in 0..LANES {
            let to = F::apply(core::array::from_fn(|i| square[i][column][lane]));
            for (line, to) in square.iter_mut().zip(to) {
                line[column][lane] = to;
            }
        }
    }
}

/// Images whose transforms are wanted.
#[derive(Clone, Copy)]
enum Planes<'a, T> {
    Whole(&'a [T]),
    /// The gradient of pooled images, and where in its window each number of it belongs: `[image, lanes of channels, window]`.
    Pooled(&'a [T], &'a [[u8; LANES]]),
}

impl<'a, T: Elementary> Planes<'a, T> {
    /// Some of the images, of so many channels of `size`.
    fn images(self, range: Range<usize>, channels: usize, size: [usize; 2]) -> Self {
        match self {
            Self::Whole(images) => {
                let image = channels * size[0] * size[1];
                Self::Whole(&images[range.start * image..range.end * image])
            }
            Self::Pooled(grad, winners) => {
                let windows = windows(size);
                let image = channels * windows;
                let parts = channels.div_ceil(LANES) * windows;
                Self::Pooled(
                    &grad[range.start * image..range.end * image],
                    &winners[range.start * parts..range.end * parts],
                )
            }
        }
    }

    /// Sixteen channels, or what is left of them, of one image, side by side; `before` are zero before the plane of `size`,
    /// `padded` all in all.
    fn block(
        self,
        (image, part): (usize, usize),
        channels: usize,
        size: [usize; 2],
        before: [usize; 2],
        padded: [usize; 2],
    ) -> Scratch<T> {
        let lanes = LANES.min(channels - part * LANES);
        let first = image * channels + part * LANES;
        match self {
            Self::Whole(images) => {
                let plane = size[0] * size[1];
                let planes = &images[first * plane..][..lanes * plane];
                lanes::pack(planes, 1, size, before, padded)
            }
            Self::Pooled(grad, winners) => {
                let windows = windows(size);
                let planes = &grad[first * windows..][..lanes * windows];
                let mut grad = Scratch::take(windows * LANES);
                lanes::from_rows(planes, windows, grad.as_chunks_mut().0);
                let first = (image * channels.div_ceil(LANES) + part) * windows;
                let mut block = Scratch::take(padded[0] * padded[1] * LANES);
                block.fill(T::ZERO);
                vectorised(Spread {
                    grad: grad.as_chunks().0,
                    winners: &winners[first..][..windows],
                    columns: size[1] / SIZE,
                    before,
                    width: padded[1],
                    values: Scratch::take(size[1] / SIZE * LANES).as_chunks_mut().0,
                    block: block.as_chunks_mut().0,
                });
                block
            }
        }
    }
}

/// Of a plane.
fn windows(size: [usize; 2]) -> usize {
    size[0] / SIZE * (size[1] / SIZE)
}

/// Lays the gradient of each window where its winner was.
struct Spread<'a, T> {
    grad: &'a [Lanes<T>],
    winners: &'a [[u8; LANES]],
    /// Windows of a row.
    columns: usize,
    before: [usize; 2],
    /// Of a row of the block.
    width: usize,
    /// Of a row of windows.
    values: &'a mut [Lanes<T>],
    block: &'a mut [Lanes<T>],
}

impl<T: Elementary> Kernel for Spread<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let rows = self
            .grad
            .chunks_exact(self.columns)
            .zip(self.winners.chunks_exact(self.columns));
        for (i, (grad, winners)) in rows.enumerate() {
            for element in 0..SIZE * SIZE {
                let (u, v) = (element / SIZE, element % SIZE);
                let pairs = grad.as_flattened().iter().zip(winners.as_flattened());
                for (value, (grad, winner)) in self.values.as_flattened_mut().iter_mut().zip(pairs)
                {
                    let won = *winner == element as u8;
                    *value = if won { *grad } else { T::ZERO };
                }
                let start = (i * SIZE + u + self.before[0]) * self.width + self.before[1] + v;
                let targets = self.block[start..].iter_mut().step_by(SIZE);
                for (target, value) in targets.zip(self.values.iter()) {
                    *target = *value;
                }
            }
        }
    }
}

/// How a convolution is divided into tiles.
struct Tiling {
    /// Rows and columns of tiles of an image.
    tiles: [usize; 2],
    /// Images of a group.
    group: usize,
}

impl Tiling {
    fn new(g: &Geometry) -> Self {
        let tiles = g.out_size.map(|size| size.div_ceil(OUT));
        let group = TILES.div_ceil(tiles[0] * tiles[1]).min(g.batch.max(1));
        Self { tiles, group }
    }

    fn per_image(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The images of each group.
    fn groups(&self, batch: usize) -> Vec<Range<usize>> {
        let firsts = (0..batch).step_by(self.group);
        firsts
            .map(|first| first..batch.min(first + self.group))
            .collect()
    }

    /// The transforms `[product, tile, channel]` of `count` images, `channels` of them of `size`; `before` are zero before an
    /// image, and tiles lie [`OUT`] apart.
    fn transforms<F: Transform, T: Elementary>(
        &self,
        (images, count): (Planes<'_, T>, usize),
        channels: usize,
        size: [usize; 2],
        before: [usize; 2],
    ) -> Scratch<T> {
        let width = channels.next_multiple_of(LANES);
        let mut out = Scratch::take(PRODUCTS * (count * self.per_image() * width + APART));
        let padded = self.tiles.map(|tiles| tiles * OUT + F::FROM - OUT);
        // What the last tiles do not reach is left out.
        let padded = [0, 1].map(|i| padded[i].max(before[i] + size[i]));
        for image in 0..count {
            for part in 0..width / LANES {
                let block = images.block((image, part), channels, size, before, padded);
                vectorised(Transforms::<F, T> {
                    block: block.as_chunks().0,
                    width: padded[1],
                    tiles: self.tiles,
                    out: out.as_chunks_mut().0,
                    lines: width / LANES,
                    first: image * self.per_image() * (width / LANES) + part,
                    form: PhantomData,
                });
            }
        }
        out
    }
}

struct Transforms<'a, F, T> {
    /// A plane of inputs with what is zero around it.
    block: &'a [Lanes<T>],
    width: usize,
    tiles: [usize; 2],
    out: &'a mut [Lanes<T>],
    /// Lanes of a tile in a product.
    lines: usize,
    /// Of the first tile in the first product.
    first: usize,
    form: PhantomData<F>,
}

impl<F: Transform, T: Elementary> Kernel for Transforms<'_, F, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let product = self.out.len() / PRODUCTS;
        let mut at = self.first;
        for i in 0..self.tiles[0] {
            for j in 0..self.tiles[1] {
                let mut square = [[[T::ZERO; LANES]; IN]; IN];
                for (k, line) in square.iter_mut().enumerate().take(F::FROM) {
                    let start = (i * OUT + k) * self.width + j * OUT;
                    line[..F::FROM].copy_from_slice(&self.block[start..start + F::FROM]);
                }
                transform::<F, T>(&mut square);
                for (value, out) in square
                    .as_flattened()
                    .iter()
                    .zip(self.out.chunks_exact_mut(product))
                {
                    out[at] = *value;
                }
                at += self.lines;
            }
        }
    }
}

/// `G g Gᵀ` of all kernels: `[product, input channel, output channel]`, both padded to whole lanes.
fn kernels<T: Elementary>(g: &Geometry, weight: &[T]) -> Scratch<T> {
    let inputs = g.in_channels.next_multiple_of(LANES);
    let lines = g.out_channels.div_ceil(LANES);
    let mut out = Scratch::take(PRODUCTS * (inputs * lines * LANES + APART));
    if inputs > g.in_channels {
        out.fill(T::ZERO);
    }
    for (part, rows) in weight.chunks(LANES * g.patch()).enumerate() {
        let mut block = Scratch::take(g.patch() * LANES);
        lanes::from_rows(rows, g.patch(), block.as_chunks_mut().0);
        vectorised(Kernels {
            block: block.as_chunks().0,
            out: out.as_chunks_mut().0,
            lines,
            first: part,
        });
    }
    out
}

struct Kernels<'a, T> {
    block: &'a [Lanes<T>],
    out: &'a mut [Lanes<T>],
    lines: usize,
    first: usize,
}

impl<T: Elementary> Kernel for Kernels<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let product = self.out.len() / PRODUCTS;
        for (channel, kernel) in self.block.chunks_exact(KERNEL * KERNEL).enumerate() {
            let mut square = [[[T::ZERO; LANES]; IN]; IN];
            for (line, row) in square.iter_mut().zip(kernel.chunks_exact(KERNEL)) {
                line[..KERNEL].copy_from_slice(row);
            }
            transform::<Weight, T>(&mut square);
            for (value, out) in square
                .as_flattened()
                .iter()
                .zip(self.out.chunks_exact_mut(product))
            {
                out[channel * self.lines + self.first] = *value;
            }
        }
    }
}

/// `y = w ∗ x + b`, as [`super::columns::forward`].
pub(super) fn forward<T: Elementary>(g: &Geometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; g.batch * g.out_image()];
    convolve(g, Planes::Whole(x), weight, bias, &mut out, None);
    out
}

/// [`forward`], rectified and pooled, and which element won each window, as [`pooled::forward`]: `[image, lanes of channels,
/// window]`.
pub(super) fn pooled_forward<T: Elementary>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    bias: &[T],
) -> (Vec<T>, Winners) {
    let windows = windows(g.out_size);
    let mut out = vec![T::ZERO; g.batch * g.out_channels * windows];
    let lines = g.out_channels.div_ceil(LANES);
    let mut winners = vec![[0; LANES]; g.batch * lines * windows];
    let x = Planes::Whole(x);
    convolve(g, x, weight, bias, &mut out, Some(&mut winners));
    (out, winners)
}

/// Writes the convolution of `x`, pooled where winners are wanted.
fn convolve<T: Elementary>(
    g: &Geometry,
    x: Planes<'_, T>,
    weight: &[T],
    bias: &[T],
    out: &mut [T],
    winners: Option<&mut Winners>,
) {
    let tiling = Tiling::new(g);
    let [inputs, outputs] = [g.in_channels, g.out_channels].map(|c| c.next_multiple_of(LANES));
    let lines = outputs / LANES;
    let kernels = kernels(g, weight);
    let is_pooled = winners.is_some();
    // Results of a channel of an image.
    let results = if is_pooled {
        windows(g.out_size)
    } else {
        g.pixels()
    };
    let groups = tiling.groups(g.batch);
    let outs = out.chunks_mut(tiling.group * g.out_channels * results);
    let winners = winners.map_or(&mut [][..], |winners| &mut winners[..]);
    let mut winners = winners.chunks_mut(tiling.group * lines * results);
    let parts: Vec<_> = groups
        .into_iter()
        .zip(outs)
        .map(|(group, out)| (group, out, winners.next().unwrap_or_default()))
        .collect();
    parts.into_par_iter().for_each(|(group, out, winners)| {
        let count = group.len();
        let tiles = count * tiling.per_image();
        let images = (x.images(group, g.in_channels, g.in_size), count);
        let transforms = tiling.transforms::<Input, T>(images, g.in_channels, g.in_size, g.padding);
        let mut products = Scratch::take(PRODUCTS * (tiles * outputs + APART));
        products
            .par_chunks_mut(tiles * outputs + APART)
            .zip(transforms.par_chunks(tiles * inputs + APART))
            .zip(kernels.par_chunks(inputs * outputs + APART))
            .for_each(|((product, transform), kernels)| {
                matmul(
                    &mut product[..tiles * outputs],
                    Matrix::new(&transform[..tiles * inputs], tiles, inputs),
                    Matrix::new(&kernels[..inputs * outputs], inputs, outputs),
                    false,
                );
            });
        let mut plane = Scratch::take(results * LANES);
        // A row of tiles.
        let row = OUT * OUT * tiling.tiles[1];
        let mut elements = Scratch::take(if is_pooled { row * LANES } else { 0 });
        for (image, out) in out.chunks_exact_mut(g.out_channels * results).enumerate() {
            for (part, out) in out.chunks_mut(LANES * results).enumerate() {
                let products = Products {
                    products: products.as_chunks().0,
                    lines,
                    first: image * tiling.per_image() * lines + part,
                    tiles: tiling.tiles,
                    size: g.out_size,
                    bias: bias.get(part * LANES..).unwrap_or_default(),
                };
                let plane = plane.as_chunks_mut().0;
                if is_pooled {
                    let first = (image * lines + part) * results;
                    vectorised(PooledResults {
                        products,
                        elements: elements.as_chunks_mut().0,
                        winners: &mut winners[first..][..results],
                        plane,
                        out,
                    });
                } else {
                    vectorised(Results {
                        products,
                        plane,
                        out,
                    });
                }
            }
        }
    });
}

/// The products of sixteen channels of one image.
struct Products<'a, T> {
    products: &'a [Lanes<T>],
    lines: usize,
    first: usize,
    tiles: [usize; 2],
    size: [usize; 2],
    bias: &'a [T],
}

impl<T: Elementary> Products<'_, T> {
    #[inline(always)]
    fn biases(&self) -> Lanes<T> {
        let mut bias = [T::ZERO; LANES];
        for (lane, value) in bias.iter_mut().zip(self.bias) {
            *lane = *value;
        }
        bias
    }

    /// `Aᵀ m A` of a tile.
    #[inline(always)]
    fn tile(&self, [i, j]: [usize; 2]) -> [[Lanes<T>; IN]; IN] {
        let product = self.products.len() / PRODUCTS;
        let at = self.first + (i * self.tiles[1] + j) * self.lines;
        let mut square = [[[T::ZERO; LANES]; IN]; IN];
        for (value, product) in square
            .as_flattened_mut()
            .iter_mut()
            .zip(self.products.chunks_exact(product))
        {
            *value = product[at];
        }
        transform::<Output, T>(&mut square);
        square
    }
}

/// `Aᵀ m A + b` of sixteen channels of one image.
struct Results<'a, T> {
    products: Products<'a, T>,
    plane: &'a mut [Lanes<T>],
    out: &'a mut [T],
}

impl<T: Elementary> Kernel for Results<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let [height, width] = self.products.size;
        let bias = self.products.biases();
        for i in 0..self.products.tiles[0] {
            for j in 0..self.products.tiles[1] {
                let square = self.products.tile([i, j]);
                let rows = self.plane.chunks_exact_mut(width).skip(i * OUT);
                for (row, line) in rows.zip(square.iter().take(OUT)) {
                    for (target, value) in row[j * OUT..].iter_mut().zip(line.iter().take(OUT)) {
                        for ((target, value), bias) in target.iter_mut().zip(value).zip(&bias) {
                            *target = *value + *bias;
                        }
                    }
                }
            }
        }
        lanes::to_rows(self.plane, self.out, height * width, 0);
    }
}

/// The same, rectified and pooled: a tile is four whole windows.
struct PooledResults<'a, T> {
    products: Products<'a, T>,
    /// Of a row of tiles: `[row of windows, element of a window, window]`.
    elements: &'a mut [Lanes<T>],
    winners: &'a mut [[u8; LANES]],
    plane: &'a mut [Lanes<T>],
    out: &'a mut [T],
}

impl<T: Elementary> Kernel for PooledResults<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let [rows, columns] = self.products.size.map(|size| size / SIZE);
        let bias = self.products.biases();
        let width = self.products.tiles[1] * OUT / SIZE;
        for i in 0..self.products.tiles[0] {
            for j in 0..self.products.tiles[1] {
                let square = self.products.tile([i, j]);
                for (u, line) in square.iter().enumerate().take(OUT) {
                    for (v, value) in line.iter().enumerate().take(OUT) {
                        let element = u % SIZE * SIZE + v % SIZE;
                        let at = (u / SIZE * SIZE * SIZE + element) * width;
                        let target = &mut self.elements[at + j * OUT / SIZE + v / SIZE];
                        for ((target, value), bias) in target.iter_mut().zip(value).zip(&bias) {
                            *target = *value + *bias;
                        }
                    }
                }
            }
            for (k, elements) in self.elements.chunks_exact(SIZE * SIZE * width).enumerate() {
                let row = i * OUT / SIZE + k;
                if row < rows {
                    let range = row * columns..(row + 1) * columns;
                    let elements =
                        core::array::from_fn(|e| elements[e * width..][..columns].as_flattened());
                    largest(
                        elements,
                        self.plane[range.clone()].as_flattened_mut(),
                        self.winners[range].as_flattened_mut(),
                    );
                }
            }
        }
        lanes::to_rows(self.plane, self.out, rows * columns, 0);
    }
}

/// `∂L/∂x`, as [`super::columns::input_gradient`], by the convolution `adjoint` of `∂L/∂y` with the flipped weights.
pub(super) fn input_gradient<T: Elementary>(
    g: &Geometry,
    adjoint: &Geometry,
    weight: &[T],
    grad: &[T],
) -> Vec<T> {
    forward(adjoint, grad, &g.flipped(weight), &[])
}

/// `∂L/∂w`, as [`super::columns::weight_gradient`].
pub(super) fn weight_gradient<T: Elementary>(g: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    kernel_gradient(g, x, Planes::Whole(grad))
}

/// The gradients of `x`, the weights and the bias that are wanted, from that of what [`pooled_forward`] gave.
pub(super) fn pooled_backward<T: Elementary>(
    g: &Geometry,
    [x, weight, grad]: [&[T]; 3],
    winners: &[[u8; LANES]],
    wanted: [bool; 3],
) -> [Option<Vec<T>>; 3] {
    let planes = Planes::Pooled(grad, winners);
    let adjoint = g.adjoint().filter(|_| wanted[0]);
    [
        adjoint.map(|adjoint| {
            let mut out = vec![T::ZERO; x.len()];
            let flipped = g.flipped(weight);
            convolve(&adjoint, planes, &flipped, &[], &mut out, None);
            out
        }),
        wanted[1].then(|| kernel_gradient(g, x, planes)),
        wanted[2].then(|| pooled_bias_gradient(g, grad, winners)),
    ]
}

/// The sum over the images and windows that had a winner.
fn pooled_bias_gradient<T: Elementary>(
    g: &Geometry,
    grad: &[T],
    winners: &[[u8; LANES]],
) -> Vec<T> {
    let windows = windows(g.out_size);
    let lines = g.out_channels.div_ceil(LANES);
    let mut out = vec![T::ZERO; g.out_channels];
    let images = grad
        .chunks_exact(g.out_channels * windows)
        .zip(winners.chunks_exact(lines * windows));
    for (grad, winners) in images {
        for (channel, (sum, grad)) in out.iter_mut().zip(grad.chunks_exact(windows)).enumerate() {
            let winners = &winners[channel / LANES * windows..][..windows];
            for (grad, winner) in grad.iter().zip(winners) {
                let has_won = winner[channel % LANES] != pooled::NONE;
                *sum += if has_won { *grad } else { T::ZERO };
            }
        }
    }
    out
}

fn kernel_gradient<T: Elementary>(g: &Geometry, x: &[T], grad: Planes<'_, T>) -> Vec<T> {
    let tiling = Tiling::new(g);
    let [inputs, outputs] = [g.in_channels, g.out_channels].map(|c| c.next_multiple_of(LANES));
    let mut sums = Scratch::take(PRODUCTS * (inputs * outputs + APART));
    let x = Planes::Whole(x);
    let groups = tiling.groups(g.batch);
    for (part, groups) in groups.chunks(GROUPS).enumerate() {
        let transforms: Vec<[Scratch<T>; 2]> = groups
            .par_iter()
            .map(|group| {
                let count = group.len();
                let x = x.images(group.clone(), g.in_channels, g.in_size);
                let grad = grad.images(group.clone(), g.out_channels, g.out_size);
                [
                    tiling.transforms::<Input, T>((x, count), g.in_channels, g.in_size, g.padding),
                    tiling.transforms::<OutputAdjoint, T>(
                        (grad, count),
                        g.out_channels,
                        g.out_size,
                        [0, 0],
                    ),
                ]
            })
            .collect();
        sums.par_chunks_mut(inputs * outputs + APART)
            .enumerate()
            .for_each(|(product, sum)| {
                let sum = &mut sum[..inputs * outputs];
                for (group, [x, grad]) in transforms.iter().enumerate() {
                    let tiles = groups[group].len() * tiling.per_image();
                    let x = &x[product * (tiles * inputs + APART)..][..tiles * inputs];
                    let grad = &grad[product * (tiles * outputs + APART)..][..tiles * outputs];
                    let x = Matrix::new(x, tiles, inputs).transposed();
                    let grad = Matrix::new(grad, tiles, outputs);
                    matmul(sum, x, grad, part + group > 0);
                }
            });
    }
    let mut out = vec![T::ZERO; g.out_channels * g.patch()];
    out.par_chunks_mut(LANES * g.patch())
        .enumerate()
        .for_each(|(part, out)| {
            let mut kernels = Scratch::take(g.patch() * LANES);
            vectorised(KernelGradients {
                sums: sums.as_chunks().0,
                lines: outputs / LANES,
                first: part,
                kernels: kernels.as_chunks_mut().0,
            });
            lanes::to_rows(kernels.as_chunks().0, out, g.patch(), 0);
        });
    out
}

/// `Gᵀ u G` of sixteen output channels.
struct KernelGradients<'a, T> {
    sums: &'a [Lanes<T>],
    lines: usize,
    first: usize,
    kernels: &'a mut [Lanes<T>],
}

impl<T: Elementary> Kernel for KernelGradients<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let product = self.sums.len() / PRODUCTS;
        for (channel, kernel) in self.kernels.chunks_exact_mut(KERNEL * KERNEL).enumerate() {
            let mut square = [[[T::ZERO; LANES]; IN]; IN];
            for (value, sums) in square
                .as_flattened_mut()
                .iter_mut()
                .zip(self.sums.chunks_exact(product))
            {
                *value = sums[channel * self.lines + self.first];
            }
            transform::<WeightAdjoint, T>(&mut square);
            for (row, line) in kernel.chunks_exact_mut(KERNEL).zip(&square) {
                row.copy_from_slice(&line[..KERNEL]);
            }
        }
    }
}
