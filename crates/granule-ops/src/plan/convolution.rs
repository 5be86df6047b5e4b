//! A convolution, rectified and pooled where that follows: windows times a panel, a band of rows at a time.

use super::field::Field;
use super::packed::{FEW_LANES, Packed};
use super::tile::Windows;
use super::vector::{Portable, Tiled, Vector, tiled};
use crate::scratch::Scratch;

/// Values of a band, which should stay in the nearest cache.
const BAND: usize = 1 << 13;

#[derive(Debug)]
pub(super) struct Convolution {
    weights: Packed,
    /// From the first value of a window to the others.
    offsets: Vec<usize>,
    stride: [usize; 2],
    /// Rows and columns, before pooling.
    size: [usize; 2],
    pub(super) rectify: bool,
    /// The side of the windows of which the largest value is taken; 1 for none.
    pub(super) pool: usize,
}

impl Convolution {
    /// Of weights `[filters, channels, height, width]`; `from` knows its border, and what is given has the size `size`.
    pub(super) fn new(
        weight: &[f32],
        bias: Option<&[f32]>,
        [filters, height, width]: [usize; 3],
        stride: [usize; 2],
        size: [usize; 2],
        from: &Field,
    ) -> Self {
        let channels = from.channels;
        let depth = channels * height * width;
        // Rows of the window, columns, channels.
        let place = |k: usize| [k / channels / width, k / channels % width, k % channels];
        let weights = Packed::new(
            [depth, filters],
            bias,
            weight,
            |k| {
                let [y, x, channel] = place(k);
                (channel * height + y) * width + x
            },
            depth,
        );
        let offset = |k| {
            let [y, x, channel] = place(k);
            y * from.row() + x * from.pixel + channel
        };
        Self {
            weights,
            offsets: (0..depth).map(offset).collect(),
            stride,
            size,
            rectify: false,
            pool: 1,
        }
    }

    /// From one pixel of the result to the next.
    pub(super) fn pixel(&self) -> usize {
        self.weights.padded()
    }

    /// Multiply-adds for one image.
    pub(super) fn work(&self) -> usize {
        self.weights.len() * self.size[0] * self.size[1]
    }

    /// The rows of the result from `first` on, so many as `out` has.
    pub(super) fn rows(&self, from: &Field, x: &[f32], to: &Field, first: usize, out: &mut [f32]) {
        let width = self.size[1];
        let line = width * self.pixel() * self.pool;
        let lines = (BAND / line.max(1)).max(1);
        let mut band = Scratch::take(line * lines.min(to.size[0]));
        for (i, out) in out.chunks_mut(lines * to.row()).enumerate() {
            let first = (first + i * lines) * self.pool;
            let count = out.len() / to.row() * self.pool;
            for panel in (0..self.weights.panels()).map(|index| self.weights.panel(index)) {
                let first_column = panel.first;
                Windows {
                    x: &x[first * self.stride[0] * from.row()..],
                    offsets: &self.offsets,
                    count: [width, count],
                    step: [self.stride[1] * from.pixel, self.stride[0] * from.row()],
                    panel,
                    rectify: self.rectify,
                    out: &mut band[first_column..],
                    out_stride: self.pixel(),
                }
                .run();
            }
            let lines = band.chunks_exact(line).zip(out.chunks_exact_mut(to.row()));
            for (line, row) in lines {
                let row = &mut row[to.within()];
                if self.pool == 1 {
                    row.copy_from_slice(line);
                } else {
                    tiled(LargestOfWindows {
                        x: line,
                        row: width * self.pixel(),
                        pixel: self.pixel(),
                        size: [self.pool; 2],
                        stride: self.pool,
                        out: row,
                    });
                }
            }
        }
    }
}

/// The largest value of each window along a row.
pub(super) struct LargestOfWindows<'a> {
    pub(super) x: &'a [f32],
    /// From one row to the next, and from one pixel to the next, of a whole number of vectors.
    pub(super) row: usize,
    pub(super) pixel: usize,
    pub(super) size: [usize; 2],
    pub(super) stride: usize,
    pub(super) out: &'a mut [f32],
}

impl Tiled for LargestOfWindows<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self) {
        if self.pixel.is_multiple_of(Full::LANES) {
            largest::<Full>(self);
        } else if self.pixel.is_multiple_of(FEW_LANES) {
            largest::<Few>(self);
        } else {
            largest::<Portable<1>>(self);
        }
    }
}

#[inline(always)]
fn largest<W: Vector>(this: LargestOfWindows<'_>) {
    if this.size == [2, 2] && this.stride == 2 {
        return largest_of_pairs::<W>(this);
    }
    let pixel = this.pixel;
    let x = this.x;
    for (j, out) in this.out.chunks_exact_mut(pixel).enumerate() {
        let first = j * this.stride * pixel;
        for (v, out) in out.chunks_exact_mut(W::LANES).enumerate() {
            let first = first + v * W::LANES;
            let mut best = W::load(&x[first..]);
            for y in 0..this.size[0] {
                for column in 0..this.size[1] {
                    best = best.larger(W::load(&x[first + y * this.row + column * pixel..]));
                }
            }
            best.store(out);
        }
    }
}

/// As [`largest`] of two rows and two columns, side by side.
#[inline(always)]
fn largest_of_pairs<W: Vector>(this: LargestOfWindows<'_>) {
    let pixel = this.pixel;
    let rows = this
        .x
        .chunks_exact(2 * pixel)
        .zip(this.x[this.row..].chunks_exact(2 * pixel));
    for (out, (above, below)) in this.out.chunks_exact_mut(pixel).zip(rows) {
        let (a, b) = above.split_at(pixel);
        let (c, d) = below.split_at(pixel);
        let pairs = a.chunks_exact(W::LANES).zip(b.chunks_exact(W::LANES));
        let pairs = pairs.zip(c.chunks_exact(W::LANES).zip(d.chunks_exact(W::LANES)));
        for (out, ((a, b), (c, d))) in out.chunks_exact_mut(W::LANES).zip(pairs) {
            let first = W::load(a).larger(W::load(b));
            first.larger(W::load(c).larger(W::load(d))).store(out);
        }
    }
}
