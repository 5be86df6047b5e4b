//! The step on blocks.

use super::sweep::{BLOCK, Block, Body};
use super::{Layout, MEMBRANE, RATE, RateCurve};
use crate::firing_rate::elementary::Elementary;

/// The arithmetic of blocks.
pub(super) trait Number: Elementary {
    /// Below it `B′` is computed from its series, whose error is then that of the number format.
    const SMALL: Self;
    /// Likewise for `φ₁′`.
    const TINY: Self;
}

impl Number for f32 {
    const SMALL: Self = 0.25;
    const TINY: Self = 0.05;
}

impl Number for f64 {
    const SMALL: Self = 0.01;
    const TINY: Self = 1e-3;
}

/// `z/(eᶻ − 1)`, of `eᶻ − 1`.
#[inline(always)]
pub(super) fn bernoulli<T: Number>(z: T, below: T) -> T {
    if z == T::ZERO { T::ONE } else { z / below }
}

/// `(eᶻ − 1)/z`
#[inline(always)]
pub(super) fn phi1<T: Number>(z: T, below: T) -> T {
    if z == T::ZERO { T::ONE } else { below / z }
}

/// `rate = scale · f(z)`
#[inline(always)]
pub(super) fn rate<T: Number, const FUSED: bool>(
    curve: RateCurve,
    v: &Block<T>,
    constants: &[Block<T>; RATE],
    rate: &mut Block<T>,
) {
    let [scale, shift, steepness] = constants;
    let z = |i: usize| steepness[i] * (v[i] + shift[i]);
    match curve {
        RateCurve::Bernoulli => {
            for i in 0..BLOCK {
                let z = z(i);
                rate[i] = scale[i] * bernoulli(z, z.exponential_minus_one::<FUSED>());
            }
        }
        RateCurve::Exponential => {
            for i in 0..BLOCK {
                rate[i] = scale[i] * z(i).exponential::<FUSED>();
            }
        }
        RateCurve::Sigmoid => {
            for i in 0..BLOCK {
                rate[i] = scale[i] * (-z(i)).sigmoid::<FUSED>();
            }
        }
    }
}

/// The state after a step: v, then the gates. The inputs are v, inflow, the gates with their rates' constants one after
/// another, the membrane, and the rates' constants of an m that follows the voltage.
pub(super) struct Step<'a, T> {
    pub(super) layout: &'a Layout,
    pub(super) dt: T,
}

/// Takes the first blocks away.
#[inline(always)]
pub(super) fn take<'a, T, const N: usize>(
    blocks: &mut &'a [Block<T>],
) -> Option<&'a [Block<T>; N]> {
    let (first, rest) = blocks.split_first_chunk()?;
    *blocks = rest;
    Some(first)
}

impl<T: Number> Body<T> for Step<'_, T> {
    #[inline(always)]
    fn block<const FUSED: bool>(
        &self,
        mut input: &[Block<T>],
        output: &mut [Block<T>],
    ) -> Option<()> {
        let (next_v, next_gates) = output.split_first_mut()?;
        let [v, inflow] = take(&mut input)?;
        let (mut alpha, mut beta) = ([T::ZERO; BLOCK], [T::ZERO; BLOCK]);
        for (gate, next) in self.layout.gates().zip(next_gates.iter_mut()) {
            let [x] = take(&mut input)?;
            let [of_alpha, of_beta] = self.layout.curves[gate];
            rate::<T, FUSED>(of_alpha, v, take(&mut input)?, &mut alpha);
            rate::<T, FUSED>(of_beta, v, take(&mut input)?, &mut beta);
            for i in 0..BLOCK {
                let decay = alpha[i] + beta[i];
                next[i] = relax::<T, FUSED>(x[i], alpha[i], decay, self.dt);
            }
        }
        let membrane: &[Block<T>; MEMBRANE] = take(&mut input)?;
        let mut steady = [T::ZERO; BLOCK];
        let (m, h, n) = match next_gates {
            [m, h, n] => (&*m, &*h, &*n),
            [h, n] => {
                let [of_alpha, of_beta] = self.layout.curves[0];
                rate::<T, FUSED>(of_alpha, v, take(&mut input)?, &mut alpha);
                rate::<T, FUSED>(of_beta, v, take(&mut input)?, &mut beta);
                for i in 0..BLOCK {
                    steady[i] = alpha[i] / (alpha[i] + beta[i]);
                }
                (&steady, &*h, &*n)
            }
            _ => return None,
        };
        for i in 0..BLOCK {
            let (decay, drive) = currents(membrane, i, m[i], h[i], n[i]);
            next_v[i] = relax::<T, FUSED>(v[i], drive + inflow[i], decay, self.dt);
        }
        Some(())
    }
}

/// The exact solution after `dt` of dx/dt = drive − decay·x.
#[inline(always)]
fn relax<T: Number, const FUSED: bool>(x: T, drive: T, decay: T, dt: T) -> T {
    let z = -dt * decay;
    let factor = dt * phi1(z, z.exponential_minus_one::<FUSED>());
    x + (drive - decay * x) * factor
}

/// The decay of the voltage, and its drive without the inflow.
#[inline(always)]
pub(super) fn currents<T: Number>(
    membrane: &[Block<T>; MEMBRANE],
    i: usize,
    m: T,
    h: T,
    n: T,
) -> (T, T) {
    let [leak, drive, g_s, d_s, g_p, d_p] = membrane;
    let (s, p) = (m * m * m * h, (n * n) * (n * n));
    (
        leak[i] + (g_s[i] * s + g_p[i] * p),
        drive[i] + (d_s[i] * s + d_p[i] * p),
    )
}
