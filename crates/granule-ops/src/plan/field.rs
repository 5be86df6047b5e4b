//! The images between layers, channels last: the channels of a pixel lie one after the other, so that a vector holds some.

use super::PlanActivation;
use super::map;

/// Where one image lies in the work space of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) channels: usize,
    /// Height and width.
    pub(super) size: [usize; 2],
    /// From one pixel to the next: the channels with those that fill the last vector.
    pub(super) pixel: usize,
    /// Zeros above and to the left.
    pub(super) border: [usize; 2],
    /// Rows and columns with all zeros around.
    pub(super) full: [usize; 2],
    /// Where it begins.
    pub(super) start: usize,
}

impl Field {
    pub(super) fn new(channels: usize, size: [usize; 2], pixel: usize) -> Self {
        Self {
            channels,
            size,
            pixel,
            border: [0, 0],
            full: size,
            start: 0,
        }
    }

    /// The length of a row with the zeros beside it.
    pub(super) fn row(&self) -> usize {
        self.full[1] * self.pixel
    }

    /// All values, or none where they are too many.
    pub(super) fn len(&self) -> Option<usize> {
        let pixels = self.full[0].checked_mul(self.full[1])?;
        pixels.checked_mul(self.pixel)
    }

    /// The rows of the image, each with the zeros beside it.
    pub(super) fn rows<'a>(&self, field: &'a [f32]) -> &'a [f32] {
        &field[self.border[0] * self.row()..][..self.size[0] * self.row()]
    }

    /// As [`rows`](Self::rows).
    pub(super) fn rows_mut<'a>(&self, field: &'a mut [f32]) -> &'a mut [f32] {
        &mut field[self.border[0] * self.row()..][..self.size[0] * self.row()]
    }

    /// Where the image's pixels lie in a row.
    pub(super) fn within(&self) -> core::ops::Range<usize> {
        let first = self.border[1] * self.pixel;
        first..first + self.size[1] * self.pixel
    }

    /// Takes an image whose channels lie one after the other.
    pub(super) fn take(&self, image: &[f32], field: &mut [f32]) {
        let [height, width] = self.size;
        let (row, pixel, within) = (self.row(), self.pixel, self.within());
        let rows = self.rows_mut(field).chunks_exact_mut(row);
        for (y, row) in rows.enumerate() {
            let row = &mut row[within.clone()];
            if self.channels == 1 && pixel == 1 {
                row.copy_from_slice(&image[y * width..][..width]);
                continue;
            }
            for channel in 0..self.channels {
                let values = &image[(channel * height + y) * width..][..width];
                let places = row[channel..].iter_mut().step_by(pixel);
                for (place, value) in places.zip(values) {
                    *place = *value;
                }
            }
        }
    }

    /// Writes the image without what surrounds and fills it, channels last.
    pub(super) fn give(&self, field: &[f32], out: &mut [f32]) {
        let rows = self.rows(field).chunks_exact(self.row());
        let outs = out.chunks_exact_mut(self.size[1] * self.channels);
        for (row, out) in rows.zip(outs) {
            let row = &row[self.within()];
            if self.pixel == self.channels {
                out.copy_from_slice(row);
                continue;
            }
            let pixels = row.chunks_exact(self.pixel);
            for (pixel, out) in pixels.zip(out.chunks_exact_mut(self.channels)) {
                out.copy_from_slice(&pixel[..self.channels]);
            }
        }
    }

    pub(super) fn activate(&self, activation: PlanActivation, field: &mut [f32]) {
        for row in self.rows_mut(field).chunks_exact_mut(self.row()) {
            map::activate(activation, &mut row[self.within()]);
        }
    }

    pub(super) fn scale(&self, scale: &[f32], shift: &[f32], field: &mut [f32]) {
        for row in self.rows_mut(field).chunks_exact_mut(self.row()) {
            for pixel in row[self.within()].chunks_exact_mut(self.pixel) {
                map::scale(&mut pixel[..self.channels], scale, shift);
            }
        }
    }
}
