//! What a step is made of. Every operand and result is a whole buffer; one of a single element counts for every element.

use std::fmt;
use std::sync::Arc;

use super::Slot;
use crate::Tree;
use crate::conductance_step::Advance;
use crate::sparse_product::Weights;

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unary {
    Copy,
    Negate,
    Absolute,
    Reciprocal,
    Exponential,
    Logarithm,
    /// `ln(1 + x)`
    LogarithmOfOneMore,
    SquareRoot,
    Tanh,
    Sigmoid,
    /// `ln(1 + eˣ)`
    Softplus,
    Sine,
    Cosine,
    Floor,
    Ceiling,
    Round,
    Sign,
    Not,
    IsNan,
}

/// A function of two elements; what is true is 1, else 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    /// Of a whole exponent.
    WholePower,
    Least,
    Greatest,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

/// A run of elements from one buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Piece {
    pub(crate) from: Slot,
    pub(crate) elements: Elements,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Elements {
    Range(std::ops::Range<usize>),
    Listed(Vec<u32>),
    /// The only element, so many times.
    Repeated(usize),
}

impl Elements {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Listed(list) => list.len(),
            Self::Repeated(count) => *count,
        }
    }
}

/// Where the elements of a matrix are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Matrix {
    Buffer(Slot),
    /// One that never changes and is shared by all runs.
    Constant(usize),
}

/// A matrix of which only what is not 0 is kept, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Sparse {
    pub(crate) columns: usize,
    /// Where each row ends.
    pub(crate) ends: Arc<[usize]>,
    pub(crate) column: Arc<[u32]>,
    pub(crate) values: Matrix,
    /// Whether there is one value for all of a row.
    pub(crate) alike: bool,
}

impl Sparse {
    pub(crate) fn weights<'a, T>(&self, values: &'a [T]) -> Weights<'a, T> {
        if self.alike {
            Weights::OfRows(values)
        } else {
            Weights::OfEach(values)
        }
    }

    /// Whether the columns of every row rise.
    pub(crate) fn rises(&self) -> bool {
        let mut first = 0;
        self.ends.iter().all(|end| {
            let own = &self.column[first..*end];
            first = *end;
            own.is_sorted()
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Advanced {
    pub(crate) of: Advance,
    pub(crate) operands: Vec<Slot>,
    /// One of its own, where its constants are the same in all steps.
    pub(crate) number: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    Unary(Unary, Slot),
    Binary(Binary, Slot, Slot),
    /// The second where the first is true, else the third.
    Choose(Slot, Slot, Slot),
    /// A variable of cells after a step.
    Advance(Box<Advanced>),
    Gather(Vec<Piece>),
    /// `[rows, inner] · [inner, columns]`
    Product {
        left: Slot,
        right: Matrix,
        inner: usize,
        columns: usize,
    },
    /// The same with a matrix that is mostly zeros.
    SparseProduct {
        left: Slot,
        right: Sparse,
    },
    /// One system on a tree for each row.
    TreeSolve {
        diagonal: Slot,
        edges: Slot,
        rhs: Slot,
        tree: Tree,
    },
    /// Sums over the middle of `[outer, middle, inner]`, divided by a number.
    Sum {
        of: Slot,
        middle: usize,
        inner: usize,
        divisor: f64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub(crate) work: Work,
    pub(crate) to: Slot,
}

impl Matrix {
    pub(crate) fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    fn reads(&mut self, mut body: impl FnMut(&mut Slot)) {
        if let Self::Buffer(slot) = self {
            body(slot);
        }
    }
}

impl Work {
    /// The matrix on the right of a product.
    pub(crate) fn matrix(&mut self) -> Option<&mut Matrix> {
        match self {
            Self::Product { right, .. } => Some(right),
            Self::SparseProduct { right, .. } => Some(&mut right.values),
            _ => None,
        }
    }

    /// The buffer on the left of a product by a matrix that never changes.
    pub(crate) fn multiplied(&self) -> Option<Slot> {
        match self {
            Self::Product { left, right, .. } => right.is_constant().then_some(*left),
            Self::SparseProduct { left, right } => right.values.is_constant().then_some(*left),
            _ => None,
        }
    }

    /// Calls `body` with every buffer that is read.
    pub(crate) fn reads(&mut self, mut body: impl FnMut(&mut Slot)) {
        match self {
            Self::Unary(_, x) | Self::Sum { of: x, .. } => body(x),
            Self::Binary(_, x, y) => {
                body(x);
                body(y);
            }
            Self::Product { left, right, .. } => {
                body(left);
                right.reads(body);
            }
            Self::Choose(mask, yes, no) => {
                body(mask);
                body(yes);
                body(no);
            }
            Self::Advance(own) => own.operands.iter_mut().for_each(body),
            Self::Gather(pieces) => pieces.iter_mut().for_each(|piece| body(&mut piece.from)),
            Self::TreeSolve {
                diagonal,
                edges,
                rhs,
                ..
            } => {
                body(diagonal);
                body(edges);
                body(rhs);
            }
            Self::SparseProduct { left, right } => {
                body(left);
                right.values.reads(body);
            }
        }
    }

    /// Whether each element of the result depends on that element of the operands alone.
    pub(crate) fn is_elementwise(&self) -> bool {
        matches!(
            self,
            Self::Unary(..) | Self::Binary(..) | Self::Choose(..) | Self::Advance(_)
        )
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unary(of, x) => write!(f, "{of:?} %{x}"),
            Self::Binary(of, x, y) => write!(f, "{of:?} %{x} %{y}"),
            Self::Choose(mask, yes, no) => write!(f, "Choose %{mask} %{yes} %{no}"),
            Self::Advance(own) => {
                f.write_str("Advance")?;
                own.operands.iter().try_for_each(|x| write!(f, " %{x}"))
            }
            Self::Gather(pieces) => {
                f.write_str("Gather")?;
                pieces.iter().try_for_each(|piece| match &piece.elements {
                    Elements::Range(range) => write!(f, " %{}[{range:?}]", piece.from),
                    Elements::Listed(list) => write!(f, " %{}[{} listed]", piece.from, list.len()),
                    Elements::Repeated(count) => write!(f, " %{} {count} times", piece.from),
                })
            }
            Self::Product { left, right, .. } => write!(f, "Product %{left} {right:?}"),
            Self::SparseProduct { left, right } => {
                write!(
                    f,
                    "SparseProduct %{left} {:?} of {} ",
                    right.values,
                    right.column.len()
                )
            }
            Self::TreeSolve {
                diagonal,
                edges,
                rhs,
                ..
            } => write!(f, "TreeSolve %{diagonal} %{edges} %{rhs}"),
            Self::Sum { of, middle, .. } => write!(f, "Sum %{of} over {middle}"),
        }
    }
}
