//! What the constants of a table are bound as.

use crate::quantity::Quantity;

/// Numbers on the host, or what a run holds of them.
pub(crate) trait Scalar: Clone + From<f64> {
    fn times(&self, other: &Self) -> Self;

    fn plus(&self, other: &Self) -> Self;

    fn negative(&self) -> Self;

    fn reciprocal(&self) -> Self;

    /// Whether it is 1, whatever is learnt.
    fn is_one(&self) -> bool;
}

impl Scalar for f64 {
    fn times(&self, other: &Self) -> Self {
        self * other
    }

    fn plus(&self, other: &Self) -> Self {
        self + other
    }

    fn negative(&self) -> Self {
        -self
    }

    fn reciprocal(&self) -> Self {
        self.recip()
    }

    fn is_one(&self) -> bool {
        *self == 1.0
    }
}

impl From<f64> for Quantity {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl Scalar for Quantity {
    fn times(&self, other: &Self) -> Self {
        self.times(other)
    }

    fn plus(&self, other: &Self) -> Self {
        self.plus(other)
    }

    fn negative(&self) -> Self {
        self.negative()
    }

    fn reciprocal(&self) -> Self {
        self.reciprocal()
    }

    fn is_one(&self) -> bool {
        matches!(self, Self::Number(1.0))
    }
}
