//! Parameters of a run: numbers where they are fixed, tensors where they are trained or differ among cells.

use std::ops;

use burn::module::Module;
use burn::tensor::Tensor;
use granule_ops::{Coefficient, Transfer, firing_rate};

use crate::{DynamicsError, Parameter};

/// A parameter of a cell, as its module holds it.
///
/// One fixed value for all cells stays a number: a run then multiplies by it without a tensor and a tape.
#[derive(Module, Debug)]
pub enum Constant {
    /// The same fixed value for all cells.
    Number(f64),
    /// Trainable, or a value for each cell.
    Parameter(Parameter),
}

impl Constant {
    /// The values on the host: one, or one for each cell.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] when the device cannot be read.
    pub fn values(&self) -> Result<Vec<f64>, DynamicsError> {
        match self {
            Self::Number(value) => Ok(vec![*value]),
            Self::Parameter(parameter) => parameter.values(),
        }
    }

    /// The parameter, where it is one.
    pub fn parameter(&self) -> Option<&Parameter> {
        match self {
            Self::Number(_) => None,
            Self::Parameter(parameter) => Some(parameter),
        }
    }

    pub(crate) fn quantity(&self) -> Quantity {
        match self {
            Self::Number(value) => Quantity::Number(*value),
            Self::Parameter(parameter) => Quantity::Tensor(parameter.value()),
        }
    }
}

/// A constant of a run: a number, or `[1, 1]` or `[1, cells]` on the device.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each run, and its tensors are read at every step"
)]
pub(crate) enum Quantity {
    Number(f64),
    Tensor(Tensor<2>),
}

impl Quantity {
    fn map(
        &self,
        number: impl FnOnce(f64) -> f64,
        tensor: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Self {
        match self {
            Self::Number(x) => Self::Number(number(*x)),
            Self::Tensor(x) => Self::Tensor(tensor(x.clone())),
        }
    }

    pub(crate) fn is_tracked(&self) -> bool {
        matches!(self, Self::Tensor(x) if crate::state::is_tracked(x))
    }

    pub(crate) fn without_autodiff(&self) -> Self {
        self.map(|x| x, crate::state::plain)
    }

    /// The same value without derivatives, on the same device.
    pub(crate) fn without_tape(&self) -> Self {
        self.map(|x| x, Tensor::detach)
    }

    pub(crate) fn coefficient(&self) -> Coefficient {
        match self {
            Self::Number(x) => Coefficient::Number(*x),
            Self::Tensor(x) => Coefficient::Tensor(x.clone()),
        }
    }

    pub(crate) fn negative(&self) -> Self {
        self.map(|x| -x, Tensor::neg)
    }

    pub(crate) fn reciprocal(&self) -> Self {
        self.map(f64::recip, Tensor::recip)
    }

    pub(crate) fn sqrt(&self) -> Self {
        self.map(f64::sqrt, Tensor::sqrt)
    }

    pub(crate) fn ln_1p(&self) -> Self {
        self.map(f64::ln_1p, Tensor::log1p)
    }

    pub(crate) fn ln(&self) -> Self {
        self.map(f64::ln, Tensor::log)
    }

    pub(crate) fn exp(&self) -> Self {
        self.map(f64::exp, Tensor::exp)
    }

    /// (eˣ − 1)/x, the mean of e^(xs) over s from 0 to 1; x is not 0.
    pub(crate) fn mean_exp(&self) -> Self {
        self.map(|x| x.exp_m1() / x, |x| x.clone().exp().sub_scalar(1.0) / x)
    }

    /// 1/(1 + exp(−x))
    pub(crate) fn sigmoid(&self) -> Self {
        self.map(
            |x| 1.0 / (1.0 + (-x).exp()),
            |x| firing_rate(x, Transfer::Sigmoid),
        )
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a * b),
            (Self::Tensor(x), y) | (y, Self::Tensor(x)) => Self::Tensor(y.scale(x.clone())),
        }
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a + b),
            (Self::Tensor(x), y) | (y, Self::Tensor(x)) => Self::Tensor(y.shift(x.clone())),
        }
    }

    /// `self·x`
    pub(crate) fn scale(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Number(a) if *a == 1.0 => x,
            Self::Number(a) => x.mul_scalar(*a),
            Self::Tensor(a) => x * a.clone(),
        }
    }

    /// `self + x`
    pub(crate) fn shift(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Number(a) if *a == 0.0 => x,
            Self::Number(a) => x.add_scalar(*a),
            Self::Tensor(a) => x + a.clone(),
        }
    }
}

impl ops::Sub<Tensor<2>> for &Quantity {
    type Output = Tensor<2>;

    fn sub(self, x: Tensor<2>) -> Tensor<2> {
        self.shift(x.neg())
    }
}

/// Equations as the paper has them: constants of a run beside tensors `[batch, cells]`, and among each other.
macro_rules! arithmetic {
    ($($Op:ident, $op:ident, |$x:ident, $a:ident| $scalar:expr, unless $neutral:literal, $number:expr;)+) => {$(
        impl ops::$Op<&Quantity> for Tensor<2> {
            type Output = Tensor<2>;

            fn $op(self, other: &Quantity) -> Tensor<2> {
                match other {
                    Quantity::Number(a) if *a == $neutral => self,
                    Quantity::Number($a) => {
                        let $x = self;
                        $scalar
                    }
                    Quantity::Tensor(a) => ops::$Op::$op(self, a.clone()),
                }
            }
        }

        impl ops::$Op<&Quantity> for Quantity {
            type Output = Quantity;

            fn $op(self, other: &Quantity) -> Quantity {
                match (self, other) {
                    (Self::Number(a), Self::Number(b)) => Self::Number(ops::$Op::$op(a, b)),
                    (Self::Tensor(a), b) => Self::Tensor(ops::$Op::$op(a, b)),
                    (Self::Number(a), Self::Tensor(b)) => {
                        let number: fn(f64, Tensor<2>) -> Tensor<2> = $number;
                        Self::Tensor(number(a, b.clone()))
                    }
                }
            }
        }

        impl ops::$Op<&Quantity> for &Quantity {
            type Output = Quantity;

            fn $op(self, other: &Quantity) -> Quantity {
                ops::$Op::$op(self.clone(), other)
            }
        }

        impl ops::$Op<f64> for Quantity {
            type Output = Quantity;

            fn $op(self, other: f64) -> Quantity {
                ops::$Op::$op(self, &Quantity::Number(other))
            }
        }

        impl ops::$Op<f64> for &Quantity {
            type Output = Quantity;

            fn $op(self, other: f64) -> Quantity {
                ops::$Op::$op(self.clone(), other)
            }
        }
    )+};
}

arithmetic! {
    Add, add, |x, a| x.add_scalar(*a), unless 0.0, |a, b| b.add_scalar(a);
    Sub, sub, |x, a| x.sub_scalar(*a), unless 0.0, |a, b| b.neg().add_scalar(a);
    Mul, mul, |x, a| x.mul_scalar(*a), unless 1.0, |a, b| b.mul_scalar(a);
    // The backward pass of Burn's `div_scalar` rounds its factor to single precision.
    Div, div, |x, a| x.mul_scalar(a.recip()), unless 1.0, |a, b| b.recip().mul_scalar(a);
}
