//! Convolution with windows of 3×3 by Winograd's F(2×2, 3×3): four outputs of sixteen products instead of 36 (Lavin & Gray
//! 2016, doi:10.1109/CVPR.2016.435).
//!
//! `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` for each tile of 2×2 outputs, summed over the channels before the outer transform: sixteen
//! products of matrices, one for each place in a tile.

use super::field::Field;
use super::packed::{LANES, Packed};
use super::tile::Rows;
use super::vector::{Tiled, Vector, tiled};
use crate::scratch::Scratch;

/// Tiles that are transformed together; their products stay in a cache.
const TILES: usize = 24;

/// Places in a tile.
const PLACES: usize = 16;

#[derive(Debug)]
pub(super) struct Winograd {
    /// `G g Gᵀ` of each place, `[channels, filters]`.
    weights: Vec<Packed>,
    bias: Vec<f32>,
    /// Rows and columns, before pooling.
    size: [usize; 2],
    pub(super) rectify: bool,
    /// Whether the largest value of each 2×2 outputs is taken.
    pub(super) pool: bool,
}

impl Winograd {
    /// Whether it is of use for a convolution of `channels` to `filters`.
    pub(super) fn serves(
        kernel: [usize; 2],
        stride: [usize; 2],
        channels: usize,
        filters: usize,
    ) -> bool {
        let vectors = channels.is_multiple_of(LANES) && filters >= LANES;
        kernel == [3, 3] && stride == [1, 1] && vectors
    }

    /// Rows and columns that it reads for so many outputs.
    pub(super) fn reads(size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.next_multiple_of(2) + 2)
    }

    /// Of weights `[filters, channels, 3, 3]`; what is given has the size `size`.
    pub(super) fn new(
        weight: &[f32],
        bias: Option<&[f32]>,
        [channels, filters]: [usize; 2],
        size: [usize; 2],
    ) -> Self {
        let along = |[a, b, c]: [f64; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
        let mut transformed = vec![0.0; PLACES * channels * filters];
        for (index, window) in weight.chunks_exact(9).enumerate() {
            let at = |i: usize| f64::from(window[i]);
            let rows = [0, 3, 6].map(|i| along([at(i), at(i + 1), at(i + 2)]));
            let (filter, channel) = (index / channels, index % channels);
            for column in 0..4 {
                let column_of = along(rows.map(|row| row[column]));
                for (row, value) in column_of.into_iter().enumerate() {
                    let place = row * 4 + column;
                    transformed[(place * channels + channel) * filters + filter] = value as f32;
                }
            }
        }
        let pack =
            |weight: &[f32]| Packed::new([channels, filters], None, weight, |k| k * filters, 1);
        let weights: Vec<Packed> = transformed
            .chunks_exact(channels * filters)
            .map(pack)
            .collect();
        let mut padded = vec![0.0; filters.next_multiple_of(LANES)];
        for (to, from) in padded.iter_mut().zip(bias.unwrap_or_default()) {
            *to = *from;
        }
        Self {
            weights,
            bias: padded,
            size,
            rectify: false,
            pool: false,
        }
    }

    /// From one pixel of the result to the next.
    pub(super) fn pixel(&self) -> usize {
        self.bias.len()
    }

    /// Rows of the result that a row of tiles gives.
    pub(super) fn rows_of_a_tile(&self) -> usize {
        if self.pool { 1 } else { 2 }
    }

    /// Multiply-adds for one image.
    pub(super) fn work(&self) -> usize {
        let tiles = self.size.map(|side| side.div_ceil(2));
        let weights: usize = self.weights.iter().map(Packed::len).sum();
        weights * tiles[0] * tiles[1]
    }

    /// The rows of the result from `first` on, so many as `out` has; `first` begins a row of tiles.
    pub(super) fn rows(&self, from: &Field, x: &[f32], to: &Field, first: usize, out: &mut [f32]) {
        let tall = self.rows_of_a_tile();
        let across = self.size[1].div_ceil(2);
        let down = (out.len() / to.row()).div_ceil(tall);
        let tiles = across * down;
        let together = TILES.min(tiles);
        let (channels, filters) = (from.channels, self.pixel());
        let mut inputs = Scratch::take(PLACES * together * channels);
        let mut products = Scratch::take(PLACES * together * filters);
        for begin in (0..tiles).step_by(together.max(1)) {
            let count = together.min(tiles - begin);
            let places =
                (begin..begin + count).map(|tile| [first / tall + tile / across, tile % across]);
            for (tile, [row, column]) in places.enumerate() {
                tiled(Inward {
                    x: &x[2 * (row * from.row() + column * from.pixel)..],
                    row: from.row(),
                    pixel: from.pixel,
                    channels,
                    out: &mut inputs[tile * channels..],
                    place: together * channels,
                });
            }
            for (place, weights) in self.weights.iter().enumerate() {
                let x = &inputs[place * together * channels..][..count * channels];
                let out = &mut products[place * together * filters..][..count * filters];
                for panel in (0..weights.panels()).map(|index| weights.panel(index)) {
                    let first_column = panel.first;
                    Rows {
                        rows: count,
                        x,
                        stride: channels,
                        depth: channels,
                        panel,
                        rectify: false,
                        out: &mut out[first_column..],
                        out_stride: filters,
                    }
                    .run();
                }
            }
            for tile in 0..count {
                let (row, column) = ((begin + tile) / across, (begin + tile) % across);
                tiled(Outward {
                    products: &products[tile * filters..],
                    place: together * filters,
                    bias: &self.bias,
                    rectify: self.rectify,
                    pool: self.pool,
                    rows: &mut out[row * tall * to.row()..],
                    row: to.row(),
                    pixel: to.within().start + column * tall * filters,
                    last: to.within().end,
                });
            }
        }
    }
}

/// `Bᵀ d B` of the channels of a tile of 4×4 inputs.
struct Inward<'a> {
    x: &'a [f32],
    row: usize,
    pixel: usize,
    channels: usize,
    out: &'a mut [f32],
    /// From one place to the next.
    place: usize,
}

#[inline(always)]
fn inward<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
    [a.subtract(c), b.add(c), c.subtract(b), b.subtract(d)]
}

#[inline(always)]
fn outward<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 2] {
    [a.add(b).add(c), b.subtract(c).subtract(d)]
}

impl Tiled for Inward<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self) {
        for channel in (0..self.channels).step_by(LANES) {
            let mut tile = [[Full::splat(0.0); 4]; 4];
            for (y, row) in tile.iter_mut().enumerate() {
                for (x, value) in row.iter_mut().enumerate() {
                    *value = Full::load(&self.x[y * self.row + x * self.pixel + channel..]);
                }
                *row = inward(*row);
            }
            let [a, b, c, d] = tile;
            for x in 0..4 {
                let down = inward([a[x], b[x], c[x], d[x]]);
                for (y, value) in down.into_iter().enumerate() {
                    value.store(&mut self.out[(y * 4 + x) * self.place + channel..]);
                }
            }
        }
    }
}

/// `Aᵀ m A` of the filters of a tile, and what follows.
struct Outward<'a> {
    products: &'a [f32],
    place: usize,
    bias: &'a [f32],
    rectify: bool,
    pool: bool,
    /// From the row of the first output on.
    rows: &'a mut [f32],
    row: usize,
    /// Where the first output lies in a row, and where a row ends.
    pixel: usize,
    last: usize,
}

impl Tiled for Outward<'_> {
    #[inline(always)]
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self) {
        let filters = self.bias.len();
        // What lies beyond the last row or column is left out; where there is a pool, so are windows that are not filled.
        let right = self.pixel + filters < self.last;
        let below = self.rows.len() > self.row;
        if self.pool && self.pixel >= self.last {
            return;
        }
        for filter in (0..filters).step_by(LANES) {
            let mut columns = [[Full::splat(0.0); 2]; 4];
            for (x, column) in columns.iter_mut().enumerate() {
                let mut values = [Full::splat(0.0); 4];
                for (y, value) in values.iter_mut().enumerate() {
                    let place = (y * 4 + x) * self.place + filter;
                    *value = Full::load(&self.products[place..]);
                }
                *column = outward(values);
            }
            let bias = Full::load(&self.bias[filter..]);
            let mut outputs = [[bias; 2]; 2];
            for (y, row) in outputs.iter_mut().enumerate() {
                let [a, b, c, d] = columns;
                let across = outward([a[y], b[y], c[y], d[y]]);
                for (value, sum) in row.iter_mut().zip(across) {
                    *value = value.add(sum);
                    if self.rectify {
                        *value = value.rectified();
                    }
                }
            }
            let [[a, b], [c, d]] = outputs;
            let place = self.pixel + filter;
            if self.pool {
                a.larger(b)
                    .larger(c.larger(d))
                    .store(&mut self.rows[place..]);
                continue;
            }
            a.store(&mut self.rows[place..]);
            if right {
                b.store(&mut self.rows[place + filters..]);
            }
            if below {
                c.store(&mut self.rows[self.row + place..]);
            }
            if right && below {
                d.store(&mut self.rows[self.row + place + filters..]);
            }
        }
    }
}
