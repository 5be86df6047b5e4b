//! Products by a matrix of which only the connections are kept:
//!
//! `y_bj = Σ_i x_bi w_ij` over the `i` that are connected to `j`, `∂L/∂x_bi = Σ_j w_ij ∂L/∂y_bj`,
//! `∂L/∂w_ij = Σ_b x_bi ∂L/∂y_bj`.
//!
//! What is 0 in `x`, as most cells' spikes are, is left out: the cost is that of the connections of the rest.

use std::ops::{Mul, Range};
use std::sync::Arc;

#[cfg(any(feature = "capture", feature = "flex", feature = "ndarray"))]
mod backend;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(all(test, feature = "autodiff", feature = "flex", feature = "ndarray"))]
mod tests;

#[cfg(feature = "capture")]
pub(crate) use backend::extension::SparseProductBackend;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

use crate::real::Real;

/// Which of some cells are connected to which of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    columns: usize,
    /// Where the list of each row ends.
    ends: Arc<[usize]>,
    /// The columns that each row is connected to, row after row.
    column: Arc<[u32]>,
}

impl Connections {
    /// Connections of each row to some of `columns` columns, in the order in which their weights stand.
    ///
    /// `None` where a column is none of them, or beyond 2³².
    pub fn new<R: IntoIterator<Item = usize>>(
        columns: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Option<Self> {
        let (mut ends, mut all) = (Vec::new(), Vec::new());
        for row in rows {
            for column in row {
                if column >= columns {
                    return None;
                }
                all.push(u32::try_from(column).ok()?);
            }
            ends.push(all.len());
        }
        Some(Self {
            columns,
            ends: ends.into(),
            column: all.into(),
        })
    }

    /// The same of lists that are made: where each row ends in `targets`, rising to its length, and the columns, row after row.
    ///
    /// `None` where the ends do not rise to the number of targets, or a column is none of `columns`.
    pub fn of_lists(columns: usize, ends: Vec<usize>, targets: Vec<u32>) -> Option<Self> {
        let rises = ends.is_sorted() && ends.last().copied().unwrap_or(0) == targets.len();
        let fits = targets.iter().all(|column| (*column as usize) < columns);
        (rises && fits).then(|| Self {
            columns,
            ends: ends.into(),
            column: targets.into(),
        })
    }

    /// The cells that they come from.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The cells that they go to.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        self.column.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.column.is_empty()
    }

    /// Where the connections of each row end.
    pub(crate) fn ends(&self) -> &Arc<[usize]> {
        &self.ends
    }

    /// Where each connection goes.
    pub(crate) fn targets(&self) -> &Arc<[u32]> {
        &self.column
    }

    /// The same the other way, and which of these each of them is.
    #[cfg(feature = "capture")]
    pub(crate) fn transposed(&self) -> Option<(Self, Vec<u32>)> {
        let mut back = vec![Vec::new(); self.columns];
        let mut which = vec![Vec::new(); self.columns];
        for (index, (row, column)) in self.pairs().enumerate() {
            back[column].push(row);
            which[column].push(u32::try_from(index).ok()?);
        }
        let order = which.into_iter().flatten().collect();
        Some((Self::new(self.rows(), back)?, order))
    }

    /// Where each connection comes from and goes to.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let firsts = std::iter::once(0).chain(self.ends.iter().copied());
        let rows = firsts.zip(self.ends.iter()).enumerate();
        rows.flat_map(|(row, (first, end))| {
            let own = self.column[first..*end].iter();
            own.map(move |column| (row, *column as usize))
        })
    }
}

/// `x` `[batch, rows]` times the matrix of the weights `values` `[1, connections]`: `[batch, columns]`.
///
/// Both have gradients. On `flex` and `ndarray` in f32 or f64 this is the kernel of this crate, which adds from the first row to
/// the last; elsewhere it is composed of Burn's operations.
///
/// # Panics
/// When the shapes do not fit the connections.
pub fn sparse_product(x: Tensor<2>, values: Tensor<2>, connections: &Connections) -> Tensor<2> {
    let [_, rows] = x.dims();
    assert!(
        rows == connections.rows() && values.dims() == [1, connections.len()],
        "sparse_product: {:?} and {:?} do not fit {} connections of {} rows",
        x.dims(),
        values.dims(),
        connections.len(),
        connections.rows()
    );
    #[cfg(feature = "capture")]
    if crate::script::records(&x) {
        return backend::run(x, values, connections.clone());
    }
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::host::serves(&x) {
        return backend::run(x, values, connections.clone());
    }
    composed(x, values, connections)
}

/// The weights of a sparse matrix.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "capture"), allow(dead_code))]
pub(crate) enum Weights<'a, T> {
    /// One for each connection.
    OfEach(&'a [T]),
    /// One for all connections of each row.
    OfRows(&'a [T]),
}

impl<T: Real + Mul<Output = T>> Weights<'_, T> {
    /// Adds the row `row` of the matrix times `x`, of which the elements `own` are in the columns `column`, to `out`, which begins
    /// at the column `from`.
    #[inline(always)]
    pub(crate) fn add_row(
        self,
        (row, own): (usize, Range<usize>),
        column: &[u32],
        x: T,
        (out, from): (&mut [T], usize),
    ) {
        let column = &column[own.clone()];
        match self {
            Self::OfEach(values) => {
                for (to, w) in column.iter().zip(&values[own]) {
                    out[*to as usize - from] += x * *w;
                }
            }
            Self::OfRows(values) => {
                let sent = x * values[row];
                for to in column {
                    out[*to as usize - from] += sent;
                }
            }
        }
    }
}

/// Rows of `x` times the matrix whose rows end at `ends` and have these weights in the columns `column`.
#[inline(always)]
#[cfg_attr(
    not(any(feature = "capture", feature = "flex", feature = "ndarray")),
    allow(dead_code)
)]
pub(crate) fn product_of_lists<T: Real + Mul<Output = T>>(
    out: &mut [T],
    x: &[T],
    (ends, column, weights): (&[usize], &[u32], Weights<'_, T>),
    columns: usize,
) {
    for (out, x) in out
        .chunks_exact_mut(columns)
        .zip(x.chunks_exact(ends.len()))
    {
        out.fill(T::ZERO);
        let mut first = 0;
        for (row, (x, end)) in x.iter().zip(ends).enumerate() {
            let own = first..*end;
            first = *end;
            if *x != T::ZERO {
                weights.add_row((row, own), column, *x, (&mut *out, 0));
            }
        }
    }
}

fn composed(x: Tensor<2>, values: Tensor<2>, connections: &Connections) -> Tensor<2> {
    let [batch, _] = x.dims();
    let place = (&x.device().without_autodiff(), x.dtype());
    let zeros = Tensor::zeros([batch, connections.columns()], place);
    if connections.is_empty() {
        return zeros;
    }
    let index = |of: fn((usize, usize)) -> usize| {
        let list: Vec<i64> = connections.pairs().map(|pair| of(pair) as i64).collect();
        let count = [list.len()];
        Tensor::<1, Int>::from_data(TensorData::new(list, count), place.0)
    };
    let sent = x.select(1, index(|(row, _)| row)) * values;
    zeros.select_assign(1, index(|(_, column)| column), sent, IndexingUpdateOp::Add)
}
