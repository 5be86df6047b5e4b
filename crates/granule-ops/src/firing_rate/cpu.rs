//! Transfer functions on slices.

use rayon::prelude::*;

use super::Transfer;
use super::elementary::Elementary;
use crate::vectorised::{Kernel, vectorised};

/// Elements that are worth a task of their own.
const ELEMENTS: usize = 1 << 14;

/// One transfer function, known when its loops are compiled.
pub(crate) trait Phi<T>: Copy + Send + Sync {
    fn rate<const FUSED: bool>(self, x: T) -> T;

    /// `φ(x)` and `φ′(x)`.
    fn rate_and_slope<const FUSED: bool>(self, x: T) -> (T, T);
}

#[derive(Clone, Copy)]
pub(crate) struct Tanh;
#[derive(Clone, Copy)]
pub(crate) struct Relu;
#[derive(Clone, Copy)]
pub(crate) struct Softplus;
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;
/// A power law with an exponent of 2, which needs no logarithm.
#[derive(Clone, Copy)]
pub(crate) struct Square<T> {
    pub(crate) gain: T,
}
#[derive(Clone, Copy)]
pub(crate) struct PowerLaw<T> {
    pub(crate) gain: T,
    pub(crate) exponent: T,
}

impl<T: Elementary> Phi<T> for Tanh {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        x.tanh::<FUSED>()
    }

    #[inline(always)]
    fn rate_and_slope<const FUSED: bool>(self, x: T) -> (T, T) {
        let r = x.tanh::<FUSED>();
        (r, T::ONE - r * r)
    }
}

impl<T: Elementary> Phi<T> for Relu {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        // So that a NaN stays one.
        if x < T::ZERO { T::ZERO } else { x }
    }

    #[inline(always)]
    fn rate_and_slope<const FUSED: bool>(self, x: T) -> (T, T) {
        let slope = if x > T::ZERO { T::ONE } else { T::ZERO };
        (self.rate::<FUSED>(x), slope)
    }
}

impl<T: Elementary> Phi<T> for Softplus {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        x.softplus::<FUSED>()
    }

    #[inline(always)]
    fn rate_and_slope<const FUSED: bool>(self, x: T) -> (T, T) {
        (x.softplus::<FUSED>(), x.sigmoid::<FUSED>())
    }
}

impl<T: Elementary> Phi<T> for Sigmoid {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        x.sigmoid::<FUSED>()
    }

    #[inline(always)]
    fn rate_and_slope<const FUSED: bool>(self, x: T) -> (T, T) {
        let r = x.sigmoid::<FUSED>();
        (r, r * (T::ONE - r))
    }
}

impl<T: Elementary> Phi<T> for Square<T> {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        let x = Relu.rate::<FUSED>(x);
        self.gain * x * x
    }

    #[inline(always)]
    fn rate_and_slope<const FUSED: bool>(self, x: T) -> (T, T) {
        let x = Relu.rate::<FUSED>(x);
        let line = self.gain * x;
        (line * x, line + line)
    }
}

impl<T: Elementary> Phi<T> for PowerLaw<T> {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        self.gain * Relu.rate::<FUSED>(x).power(self.exponent)
    }

    #[inline(always)]
    fn rate_and_slope<const FUSED: bool>(self, x: T) -> (T, T) {
        let rate = self.rate::<FUSED>(x);
        let slope = if x > T::ZERO {
            self.exponent * rate / x
        } else {
            T::ZERO
        };
        (rate, slope)
    }
}

/// Evaluates `$body` with `$phi` bound to the transfer function.
macro_rules! with_phi {
    ($transfer:expr, $phi:ident => $body:expr) => {{
        use $crate::firing_rate::Transfer;
        use $crate::firing_rate::cpu;
        use $crate::firing_rate::elementary::Elementary;
        match $transfer {
            Transfer::Tanh => {
                let $phi = cpu::Tanh;
                $body
            }
            Transfer::Relu => {
                let $phi = cpu::Relu;
                $body
            }
            Transfer::Softplus => {
                let $phi = cpu::Softplus;
                $body
            }
            Transfer::Sigmoid => {
                let $phi = cpu::Sigmoid;
                $body
            }
            Transfer::PowerLaw {
                gain,
                exponent: 2.0,
            } => {
                let $phi = cpu::Square {
                    gain: Elementary::of(gain),
                };
                $body
            }
            Transfer::PowerLaw { gain, exponent } => {
                let $phi = cpu::PowerLaw {
                    gain: Elementary::of(gain),
                    exponent: Elementary::of(exponent),
                };
                $body
            }
        }
    }};
}
pub(crate) use with_phi;

/// `rates = φ(x)`
pub(crate) struct Rates<'a, T, P> {
    pub(crate) phi: P,
    pub(crate) x: &'a [T],
    pub(crate) rates: &'a mut [T],
}

impl<T: Elementary, P: Phi<T>> Kernel for Rates<'_, T, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (r, x) in self.rates.iter_mut().zip(self.x) {
            *r = self.phi.rate::<FUSED>(*x);
        }
    }
}

/// `gradient *= φ′(x)`, elementwise
struct Slopes<'a, T, P> {
    phi: P,
    x: &'a [T],
    gradient: &'a mut [T],
}

impl<T: Elementary, P: Phi<T>> Kernel for Slopes<'_, T, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (g, x) in self.gradient.iter_mut().zip(self.x) {
            *g = *g * self.phi.rate_and_slope::<FUSED>(*x).1;
        }
    }
}

pub(super) fn forward<T: Elementary>(transfer: Transfer, x: &[T]) -> Vec<T> {
    fn run<T: Elementary>(phi: impl Phi<T>, x: &[T]) -> Vec<T> {
        let mut out = vec![T::ZERO; x.len()];
        out.par_chunks_mut(ELEMENTS)
            .zip(x.par_chunks(ELEMENTS))
            .for_each(|(rates, x)| vectorised(Rates { phi, x, rates }));
        out
    }
    with_phi!(transfer, phi => run(phi, x))
}

pub(super) fn backward<T: Elementary>(transfer: Transfer, x: &[T], gradient: &[T]) -> Vec<T> {
    fn run<T: Elementary>(phi: impl Phi<T>, x: &[T], gradient: &[T]) -> Vec<T> {
        let mut out = vec![T::ZERO; x.len()];
        out.par_chunks_mut(ELEMENTS)
            .zip(x.par_chunks(ELEMENTS))
            .zip(gradient.par_chunks(ELEMENTS))
            .for_each(|((out, x), gradient)| {
                out.copy_from_slice(gradient);
                vectorised(Slopes {
                    phi,
                    x,
                    gradient: out,
                });
            });
        out
    }
    with_phi!(transfer, phi => run(phi, x, gradient))
}
