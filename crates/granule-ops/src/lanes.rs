//! Rows side by side, one in each lane of a vector, and back.

use crate::real::Real;
use crate::scratch::Scratch;
use crate::vectorised::{Kernel, vectorised};

/// Rows that lie side by side.
pub(crate) const LANES: usize = 16;
pub(crate) type Lanes<T> = [T; LANES];

/// A square of `LANES × LANES`.
type Square<T> = [T; LANES * LANES];
const QUARTER: usize = LANES * LANES / 4;

/// Takes an element of each quarter in turn; done twice, that transposes a square. A loop over four streams is what a
/// compiler turns into shuffles.
#[inline(always)]
fn interleaved<T: Real>(square: &Square<T>) -> Square<T> {
    let mut out = [T::ZERO; LANES * LANES];
    let (quarters, targets) = (square.as_chunks::<QUARTER>().0, out.as_chunks_mut::<4>().0);
    if let [a, b, c, d] = quarters {
        for (i, target) in targets.iter_mut().enumerate() {
            *target = [a[i], b[i], c[i], d[i]];
        }
    }
    out
}

#[inline(always)]
fn transposed<T: Real>(square: &Square<T>) -> Square<T> {
    interleaved(&interleaved(square))
}

/// `block[i][row] = rows[row · length + i]`, and zero for the lanes beyond the last row.
pub(crate) fn from_rows<T: Real>(rows: &[T], length: usize, block: &mut [Lanes<T>]) {
    vectorised(FromRows {
        rows,
        length,
        block,
    });
}

/// Lays planes `[image, channel, height, width]` of up to [`LANES`] images side by side in planes of `padded` rows and
/// columns, `before` of them zero before the image.
pub(crate) fn pack<T: Real>(
    images: &[T],
    channels: usize,
    size: [usize; 2],
    before: [usize; 2],
    padded: [usize; 2],
) -> Scratch<T> {
    let image = channels * size[0] * size[1];
    let mut inner = Scratch::take(image * LANES);
    from_rows(images, image, inner.as_chunks_mut().0);
    if padded == size {
        return inner;
    }
    let [height, width] = padded;
    let mut block = Scratch::take(channels * height * width * LANES);
    block.fill(T::ZERO);
    let row = size[1] * LANES;
    for (plane, inner) in block
        .chunks_exact_mut(height * width * LANES)
        .zip(inner.chunks_exact(size[0] * row))
    {
        let rows = plane.chunks_exact_mut(width * LANES).skip(before[0]);
        for (target, row) in rows.zip(inner.chunks_exact(row)) {
            target[before[1] * LANES..][..row.len()].copy_from_slice(row);
        }
    }
    block
}

struct FromRows<'a, T> {
    rows: &'a [T],
    length: usize,
    block: &'a mut [Lanes<T>],
}

impl<T: Real> Kernel for FromRows<'_, T> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (part, block) in self.block.chunks_mut(LANES).enumerate() {
            let start = part * LANES;
            let mut square = [T::ZERO; LANES * LANES];
            let lines = square.as_chunks_mut::<LANES>().0.iter_mut();
            for (line, row) in lines.zip(self.rows.chunks_exact(self.length)) {
                match row[start..].first_chunk() {
                    Some(values) => *line = *values,
                    None => line[..block.len()].copy_from_slice(&row[start..]),
                }
            }
            let block = block.as_flattened_mut();
            block.copy_from_slice(&transposed(&square)[..block.len()]);
        }
    }
}

/// `rows[row · length + start + i] = block[i][row]` for the rows that there are.
///
/// `#[inline(always)]` so that kernels may call it.
#[inline(always)]
pub(crate) fn to_rows<T: Real>(block: &[Lanes<T>], rows: &mut [T], length: usize, start: usize) {
    for (part, block) in block.chunks(LANES).enumerate() {
        let start = start + part * LANES;
        let mut square = [T::ZERO; LANES * LANES];
        square[..block.len() * LANES].copy_from_slice(block.as_flattened());
        let square = transposed(&square);
        for (line, row) in square
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(rows.chunks_exact_mut(length))
        {
            match row[start..].first_chunk_mut() {
                Some(target) if block.len() == LANES => *target = *line,
                _ => row[start..start + block.len()].copy_from_slice(&line[..block.len()]),
            }
        }
    }
}

/// By halves, always in the same order.
#[inline(always)]
pub(crate) fn sum<T: Real>(mut lanes: Lanes<T>) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}
