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

    /// `φ′(x)` where the rate is `φ(x)`.
    fn slope<const FUSED: bool>(self, rate: T) -> T;
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
    fn slope<const FUSED: bool>(self, rate: T) -> T {
        (T::ONE - rate) * (T::ONE + rate)
    }
}

impl<T: Elementary> Phi<T> for Relu {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        // So that a NaN stays one.
        if x < T::ZERO { T::ZERO } else { x }
    }

    #[inline(always)]
    fn slope<const FUSED: bool>(self, rate: T) -> T {
        if rate > T::ZERO { T::ONE } else { T::ZERO }
    }
}

impl<T: Elementary> Phi<T> for Softplus {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        x.softplus::<FUSED>()
    }

    #[inline(always)]
    fn slope<const FUSED: bool>(self, rate: T) -> T {
        rate.rise::<FUSED>()
    }
}

impl<T: Elementary> Phi<T> for Sigmoid {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        x.sigmoid::<FUSED>()
    }

    #[inline(always)]
    fn slope<const FUSED: bool>(self, rate: T) -> T {
        rate * (T::ONE - rate)
    }
}

impl<T: Elementary> Phi<T> for Square<T> {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        let x = Relu.rate::<FUSED>(x);
        self.gain * x * x
    }

    #[inline(always)]
    fn slope<const FUSED: bool>(self, rate: T) -> T {
        let x = (rate / self.gain).square_root();
        (self.gain + self.gain) * if rate == T::ZERO { T::ZERO } else { x }
    }
}

impl<T: Elementary> Phi<T> for PowerLaw<T> {
    #[inline(always)]
    fn rate<const FUSED: bool>(self, x: T) -> T {
        self.gain * Relu.rate::<FUSED>(x).power(self.exponent)
    }

    #[inline(always)]
    fn slope<const FUSED: bool>(self, rate: T) -> T {
        let x = (rate / self.gain).power(T::ONE / self.exponent);
        if rate == T::ZERO {
            T::ZERO
        } else {
            self.exponent * rate / x
        }
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

/// `rates = φ′ ∘ gradient`, of what the rates were.
pub(crate) struct Slopes<'a, T, P> {
    pub(crate) phi: P,
    pub(crate) gradient: &'a [T],
    pub(crate) rates: &'a mut [T],
}

impl<T: Elementary, P: Phi<T>> Kernel for Slopes<'_, T, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (r, gradient) in self.rates.iter_mut().zip(self.gradient) {
            *r = self.phi.slope::<FUSED>(*r) * *gradient;
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
            .for_each(|((rates, x), gradient)| {
                vectorised(Rates {
                    phi,
                    x,
                    rates: &mut *rates,
                });
                vectorised(Slopes {
                    phi,
                    gradient,
                    rates,
                });
            });
        out
    }
    with_phi!(transfer, phi => run(phi, x, gradient))
}
