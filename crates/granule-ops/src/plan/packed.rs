//! Weights as the kernels read them: panels of columns, each a column of vectors by depth.

use super::vector::is_wide;

/// Lanes of a vector; where there are fewer columns, half of them.
pub(crate) const LANES: usize = 16;
pub(super) const FEW_LANES: usize = 8;

/// A matrix of `depth × columns`, in panels of at most `vectors` vectors of columns: of each panel its rows one after the
/// other. Columns that are missing in the last vector are zeros.
#[derive(Debug)]
pub(super) struct Packed {
    values: Vec<f32>,
    bias: Vec<f32>,
    pub(super) depth: usize,
    pub(super) columns: usize,
    lanes: usize,
    vectors: usize,
}

/// The form of a panel, by which a kernel is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One vector of few lanes.
    Few,
    /// One vector, where there are few registers.
    Narrow,
    /// So many vectors, 1 to 4.
    Wide(usize),
}

/// One panel of a [`Packed`] matrix.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// `[depth][vectors][lanes]`
    pub(super) values: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) form: Form,
    /// The first of its columns.
    pub(super) first: usize,
}

fn lanes(columns: usize) -> usize {
    if columns <= FEW_LANES {
        FEW_LANES
    } else {
        LANES
    }
}

impl Packed {
    /// The matrix whose row `k` begins at `row(k)` in `weight`, where its columns are `stride` apart, with a bias for each.
    pub(super) fn new(
        [depth, columns]: [usize; 2],
        bias: Option<&[f32]>,
        weight: &[f32],
        row: impl Fn(usize) -> usize,
        stride: usize,
    ) -> Self {
        let lanes = lanes(columns);
        let vectors = if is_wide() && lanes == LANES { 4 } else { 1 };
        let padded = Self::padded_columns(columns);
        let width = lanes * vectors;
        let mut values = vec![0.0; depth * padded];
        for first in (0..padded).step_by(width) {
            let width = width.min(padded - first);
            let panel = &mut values[first * depth..][..width * depth];
            for (k, line) in panel.chunks_exact_mut(width).enumerate() {
                let from = &weight[row(k) + first * stride..];
                let real = width.min(columns - first);
                for (to, from) in line[..real].iter_mut().zip(from.iter().step_by(stride)) {
                    *to = *from;
                }
            }
        }
        let mut padded_bias = vec![0.0; padded];
        for (to, from) in padded_bias.iter_mut().zip(bias.unwrap_or_default()) {
            *to = *from;
        }
        Self {
            values,
            bias: padded_bias,
            depth,
            columns,
            lanes,
            vectors,
        }
    }

    /// So many columns with those that fill the last vector.
    pub(super) fn padded_columns(columns: usize) -> usize {
        columns.next_multiple_of(lanes(columns))
    }

    /// The columns with those that fill the last vector.
    pub(super) fn padded(&self) -> usize {
        self.bias.len()
    }

    /// The columns of a panel, but the last, which may have fewer.
    pub(super) fn panel_width(&self) -> usize {
        self.lanes * self.vectors
    }

    /// The number of weights.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn panels(&self) -> usize {
        self.padded().div_ceil(self.panel_width())
    }

    pub(super) fn panel(&self, index: usize) -> Panel<'_> {
        let first = index * self.panel_width();
        let last = (first + self.panel_width()).min(self.padded());
        let form = match (self.lanes, self.vectors) {
            (FEW_LANES, _) => Form::Few,
            (_, 1) => Form::Narrow,
            _ => Form::Wide((last - first) / self.lanes),
        };
        Panel {
            values: &self.values[first * self.depth..last * self.depth],
            bias: &self.bias[first..last],
            form,
            first,
        }
    }
}
