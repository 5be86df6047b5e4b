//! The sizes of what a step is given, and how what it reads is laid out.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::cpu::Number;
use super::program::Slot;
use super::sweep::Operand;

/// Sizes of the tensors.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) cells: usize,
    inflow: [usize; 2],
}

impl Geometry {
    pub(super) fn new<B: Backend>(v: &FloatTensor<B>, inflow: &FloatTensor<B>) -> Self {
        let (shape, of_inflow) = (v.shape(), inflow.shape());
        Self {
            batch: shape[0],
            cells: shape[1],
            inflow: [of_inflow[0], of_inflow[1]],
        }
    }

    /// Elements, and those of a row.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.batch * self.cells, self.cells)
    }

    pub(super) fn inflow<'a, T: Number>(&self, inflow: &'a [T]) -> Operand<'a, T> {
        match (inflow, self.inflow) {
            ([], _) => Operand::One(T::ZERO),
            ([one], _) => Operand::One(*one),
            (_, [rows, columns]) if rows == self.batch && columns == self.cells => {
                Operand::All(inflow)
            }
            (_, [1, _]) => Operand::Cells(inflow),
            _ => Operand::Rows(inflow),
        }
    }

    /// From a gradient of every element to that of the inflow.
    #[cfg(feature = "autodiff")]
    pub(super) fn fold_inflow<T: Number>(&self, gradient: &mut Vec<T>) {
        let [rows, columns] = self.inflow;
        if gradient.is_empty() || (rows, columns) == (self.batch, self.cells) {
            return;
        }
        let mut folded = vec![T::ZERO; rows * columns];
        for (index, value) in gradient.iter().enumerate() {
            let (row, column) = (index / self.cells % rows, index % self.cells % columns);
            folded[row * columns + column] += *value;
        }
        *gradient = folded;
    }
}

/// The constants, from their slots.
pub(super) fn constants<'a, T: Number>(
    slots: impl IntoIterator<Item = &'a Slot>,
    [shared, each]: [&'a [T]; 2],
    cells: usize,
) -> impl Iterator<Item = Operand<'a, T>> {
    slots.into_iter().map(move |slot| match *slot {
        Slot::Number(value) => Operand::One(T::of(value)),
        Slot::Shared(row) => Operand::One(shared[row]),
        Slot::Each(row) => Operand::Cells(&each[row * cells..][..cells]),
    })
}
