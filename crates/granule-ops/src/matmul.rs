//! Matrix products on slices.

use rayon::prelude::*;

pub(crate) use crate::real::Real;

/// Rows that a part of a product should at least have: each part packs the other factor anew.
const ROWS: usize = 32;

/// A row-major matrix of `rows × columns`, or its transpose seen in place.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(
            data.len(),
            rows * columns,
            "a matrix is rows × columns long"
        );
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// Rows and columns.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// The element of row `i` and column `j` is `values()[i · strides()[0] + j · strides()[1]]`; one of them is 1.
    pub(crate) fn strides(&self) -> [usize; 2] {
        [self.row_stride, self.column_stride]
    }

    /// The elements from the first on.
    pub(crate) fn values(&self) -> &'a [T] {
        self.data
    }

    /// Rows `first` to `first + rows`.
    fn rows(self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows of a matrix");
        Self {
            data: &self.data[first * self.row_stride..],
            rows,
            ..self
        }
    }

    /// Columns `first` to `first + columns`.
    pub(crate) fn columns(self, first: usize, columns: usize) -> Self {
        self.transposed().rows(first, columns).transposed()
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// As [`matmul`], with the rows of `out` divided into at most `parts` that run in parallel.
///
/// The division depends on the sizes alone, so the result does not depend on the number of threads.
pub(crate) fn matmul_in_parts<T: Real>(
    out: &mut [T],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    accumulate: bool,
    parts: usize,
) {
    let rows = a.rows.div_ceil(parts.max(1)).next_multiple_of(ROWS);
    matmul_by_rows(out, a, b, accumulate, rows);
}

/// As [`matmul`], so many rows of `out` at a time, in parallel.
pub(crate) fn matmul_by_rows<T: Real>(
    out: &mut [T],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    accumulate: bool,
    rows: usize,
) {
    if rows >= a.rows || b.columns == 0 {
        return matmul(out, a, b, accumulate);
    }
    out.par_chunks_mut(rows * b.columns)
        .enumerate()
        .for_each(|(i, out)| {
            let a = a.rows(i * rows, out.len() / b.columns);
            matmul(out, a, b, accumulate);
        });
}

/// `out = a · b`, or `out += a · b` when `accumulate`; `out` is row-major.
pub(crate) fn matmul<T: Real>(out: &mut [T], a: Matrix<'_, T>, b: Matrix<'_, T>, accumulate: bool) {
    assert_eq!(a.columns, b.rows, "inner sizes of a matrix product");
    assert_eq!(out.len(), a.rows * b.columns, "size of a matrix product");
    // SAFETY: `Matrix::new`, `Matrix::rows` and the assertions above keep every index of the three matrices, under
    // their strides, inside their slices; `out` is borrowed mutably, so it overlaps neither input.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The transpose of a row-major matrix, lying row-major as well: a small product then reads it as fast as the matrix.
pub(crate) fn transposed<T: Real>(matrix: &[T], rows: usize, columns: usize) -> Vec<T> {
    const TILE: usize = 16;
    let mut out = vec![T::ZERO; rows * columns];
    for first in (0..rows).step_by(TILE) {
        for (j, out) in out.chunks_exact_mut(rows.max(1)).enumerate() {
            for (i, out) in out.iter_mut().enumerate().skip(first).take(TILE) {
                *out = matrix[i * columns + j];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_match_the_definition() {
        let a: Vec<f64> = (0..6).map(f64::from).collect();
        let b: Vec<f64> = (0..12).map(|i| f64::from(i) - 5.0).collect();
        let mut out = vec![1.0; 8];
        matmul(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 4), true);
        for i in 0..2 {
            for j in 0..4 {
                let expected: f64 = 1.0 + (0..3).map(|k| a[i * 3 + k] * b[k * 4 + j]).sum::<f64>();
                assert_eq!(out[i * 4 + j], expected);
            }
        }
        let mut gram = vec![f64::NAN; 9];
        let m = Matrix::new(&a, 2, 3);
        matmul(&mut gram, m.transposed(), m, false);
        assert_eq!(gram, [9.0, 12.0, 15.0, 12.0, 17.0, 22.0, 15.0, 22.0, 29.0]);
    }

    #[test]
    fn a_transpose_has_the_columns_for_rows() {
        for (rows, columns) in [(35, 3), (3, 35), (0, 2), (2, 0)] {
            let matrix: Vec<f64> = (0..rows * columns).map(|i| i as f64).collect();
            let out = transposed(&matrix, rows, columns);
            assert_eq!(out.len(), matrix.len());
            for (i, value) in matrix.iter().enumerate() {
                assert_eq!(out[i % columns * rows + i / columns], *value);
            }
        }
    }

    #[test]
    fn parts_are_the_whole() {
        let (rows, inner, columns) = (3 * ROWS + 5, 7, 9);
        let a: Vec<f64> = (0..rows * inner).map(|i| (i * 31 % 17) as f64).collect();
        let b: Vec<f64> = (0..inner * columns).map(|i| (i * 13 % 11) as f64).collect();
        let flipped: Vec<f64> = (0..inner * rows)
            .map(|i| a[i % rows * inner + i / rows])
            .collect();
        let b = Matrix::new(&b, inner, columns);
        let mut whole = vec![2.0; rows * columns];
        matmul(&mut whole, Matrix::new(&a, rows, inner), b, true);
        for a in [
            Matrix::new(&a, rows, inner),
            Matrix::new(&flipped, inner, rows).transposed(),
        ] {
            for parts in [0, 1, 2, 3, 100] {
                let mut out = vec![2.0; rows * columns];
                matmul_in_parts(&mut out, a, b, true, parts);
                assert_eq!(out, whole, "{parts} parts");
            }
        }
    }
}
