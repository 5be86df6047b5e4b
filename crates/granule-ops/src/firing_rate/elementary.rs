//! Elementary functions that a compiler can turn into vector instructions.
//!
//! In f64 they are the standard library's. In f32 they are computed here without branches, from
//! `eˣ = 2ⁿ eʳ`, `n = round(x / ln 2)`, with a minimax polynomial for `eʳ − 1` on `|r| ≤ ln 2 / 2` and one for
//! `atanh` on `[0, 1/3]`. Over all f32 the errors are at most, in units in the last place of the exact value:
//! `tanh` 2.5, `sigmoid` 2.5, `softplus` 3, `rise` 1.5, `exponential` 1.5, `exponential_minus_one` 2 (with or without fused multiply-add), apart from results below 2⁻¹²⁶,
//! which are 0. A NaN stays a NaN.

use core::ops::{Div, Mul, Neg, Sub};

use crate::real::Real;

pub(crate) trait Elementary:
    Real + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    fn of(value: f64) -> Self;
    fn tanh<const FUSED: bool>(self) -> Self;
    /// `1 / (1 + e⁻ˣ)`
    fn sigmoid<const FUSED: bool>(self) -> Self;
    /// `ln(1 + eˣ)`
    fn softplus<const FUSED: bool>(self) -> Self;
    /// `1 − e⁻ˣ` for `x ≥ 0`
    fn rise<const FUSED: bool>(self) -> Self;
    /// `eˣ`; in f32 `x` counts as at most 88 and at least −87.
    fn exponential<const FUSED: bool>(self) -> Self;
    /// `eˣ − 1`, likewise.
    fn exponential_minus_one<const FUSED: bool>(self) -> Self;
    fn square_root(self) -> Self;
    fn power(self, exponent: Self) -> Self;
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for c in coefficients.into_iter().rev() {
        sum = multiply_add::<FUSED>(sum, x, c);
    }
    sum
}

/// `eˣ` as `2ⁿ` and `eʳ − 1`, for `|x| < 88`.
#[inline(always)]
fn split_exponential<const FUSED: bool>(x: f32) -> (f32, f32) {
    // Adding 1.5 · 2²³ rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first short enough for `n · LN2_HIGH` to be exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = multiply_add::<FUSED>(x, core::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = multiply_add::<FUSED>(n, -LN2_LOW, multiply_add::<FUSED>(n, -LN2_HIGH, x));
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let tail = polynomial::<FUSED, 6>(
        r,
        [
            0.5,
            0.166_666_66,
            0.041_666_36,
            0.008_333_39,
            0.001_394_074_4,
            0.000_198_458_87,
        ],
    );
    (power, multiply_add::<FUSED>(r * r, tail, r))
}

/// Where eˣ and its inverse are numbers of full precision. A NaN stays one.
#[inline(always)]
fn clamp(x: f32) -> f32 {
    const LARGEST: f32 = 88.0;
    const SMALLEST: f32 = -87.0;
    let x = if x > LARGEST { LARGEST } else { x };
    if x < SMALLEST { SMALLEST } else { x }
}

/// `e⁻ᵃ` for `a ≥ 0`.
#[inline(always)]
fn decay<const FUSED: bool>(a: f32) -> f32 {
    const LAST: f32 = 87.336_54;
    let (power, rest) = split_exponential::<FUSED>(if a > LAST { -LAST } else { -a });
    let value = multiply_add::<FUSED>(power, rest, power);
    if a > LAST { 0.0 } else { value }
}

impl Elementary for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn tanh<const FUSED: bool>(self) -> Self {
        // From here on the nearest f32 is 1.
        const LAST: f32 = 9.02;
        let a = self.abs();
        let (power, rest) = split_exponential::<FUSED>(2.0 * if a > LAST { LAST } else { a });
        let m = multiply_add::<FUSED>(power, rest, power - 1.0);
        (m / (m + 2.0)).copysign(self)
    }

    #[inline(always)]
    fn sigmoid<const FUSED: bool>(self) -> Self {
        let e = decay::<FUSED>(self.abs());
        (if self < 0.0 { e } else { 1.0 }) / (1.0 + e)
    }

    #[inline(always)]
    fn softplus<const FUSED: bool>(self) -> Self {
        let e = decay::<FUSED>(self.abs());
        let s = e / (2.0 + e);
        let z = s * s;
        let tail = polynomial::<FUSED, 5>(
            z,
            [
                0.666_666_75,
                0.399_988_9,
                0.286_165_98,
                0.214_307_4,
                0.242_895_65,
            ],
        );
        // ln(1 + e) = 2 atanh(e / (2 + e))
        let rest = multiply_add::<FUSED>(s * z, tail, 2.0 * s);
        if self > 0.0 { self + rest } else { rest }
    }

    #[inline(always)]
    fn rise<const FUSED: bool>(self) -> Self {
        // From here on the nearest f32 is 1.
        const LAST: f32 = 17.4;
        let (power, rest) = split_exponential::<FUSED>(if self > LAST { -LAST } else { -self });
        -multiply_add::<FUSED>(power, rest, power - 1.0)
    }

    #[inline(always)]
    fn exponential<const FUSED: bool>(self) -> Self {
        let (power, rest) = split_exponential::<FUSED>(clamp(self));
        multiply_add::<FUSED>(power, rest, power)
    }

    #[inline(always)]
    fn exponential_minus_one<const FUSED: bool>(self) -> Self {
        let (power, rest) = split_exponential::<FUSED>(clamp(self));
        multiply_add::<FUSED>(power, rest, power - 1.0)
    }

    #[inline(always)]
    fn square_root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn power(self, exponent: Self) -> Self {
        self.powf(exponent)
    }
}

impl Elementary for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn tanh<const FUSED: bool>(self) -> Self {
        f64::tanh(self)
    }

    #[inline(always)]
    fn sigmoid<const FUSED: bool>(self) -> Self {
        let e = (-self.abs()).exp();
        (if self < 0.0 { e } else { 1.0 }) / (1.0 + e)
    }

    #[inline(always)]
    fn softplus<const FUSED: bool>(self) -> Self {
        let rest = (-self.abs()).exp().ln_1p();
        if self > 0.0 { self + rest } else { rest }
    }

    #[inline(always)]
    fn rise<const FUSED: bool>(self) -> Self {
        -(-self).exp_m1()
    }

    #[inline(always)]
    fn exponential<const FUSED: bool>(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn exponential_minus_one<const FUSED: bool>(self) -> Self {
        self.exp_m1()
    }

    #[inline(always)]
    fn square_root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn power(self, exponent: Self) -> Self {
        self.powf(exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectorised::{Kernel, vectorised};

    struct Map<'a, F>(&'a mut [f32], F, F);

    impl<F: Fn(f32) -> f32> Kernel for Map<'_, F> {
        #[inline(always)]
        fn run<const FUSED: bool>(self) {
            for x in self.0 {
                *x = if FUSED { (self.1)(*x) } else { (self.2)(*x) };
            }
        }
    }

    /// Largest error in units in the last place of the exact value, and where, over every 997th f32.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64) -> (f64, f32) {
        let mut worst = (0.0, 0.0);
        for bits in (0..0x7f80_0000u32).step_by(997) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let exact = exact(f64::from(x));
                let value = f(x);
                if exact.abs() < f64::from(f32::MIN_POSITIVE) {
                    assert!(value.abs() <= f32::MIN_POSITIVE, "{x}: {value}");
                    continue;
                }
                let unit =
                    f64::from((exact as f32).abs().next_up()) - f64::from((exact as f32).abs());
                let error = (f64::from(value) - exact).abs() / unit;
                if error > worst.0 {
                    worst = (error, x);
                }
            }
        }
        worst
    }

    #[test]
    fn errors_are_within_the_stated_units() {
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let sigmoid = |x: f64| {
            if x < 0.0 {
                x.exp() / (1.0 + x.exp())
            } else {
                1.0 / (1.0 + (-x).exp())
            }
        };
        let rise = |x: f64| -(-x.abs()).exp_m1();
        for (name, f, exact, limit) in [
            (
                "tanh",
                <f32 as Elementary>::tanh::<true> as fn(f32) -> f32,
                f64::tanh as fn(f64) -> f64,
                2.5,
            ),
            (
                "tanh, unfused",
                <f32 as Elementary>::tanh::<false>,
                f64::tanh,
                2.5,
            ),
            ("sigmoid", f32::sigmoid::<true>, sigmoid, 2.5),
            ("sigmoid, unfused", f32::sigmoid::<false>, sigmoid, 2.5),
            ("softplus", f32::softplus::<true>, softplus, 3.0),
            ("softplus, unfused", f32::softplus::<false>, softplus, 3.0),
            (
                "exponential",
                |x| x.min(87.0).exponential::<true>(),
                |x| x.clamp(-87.0, 87.0).exp(),
                1.5,
            ),
            (
                "exponential, unfused",
                |x| x.min(87.0).exponential::<false>(),
                |x| x.clamp(-87.0, 87.0).exp(),
                1.5,
            ),
            (
                "exponential_minus_one",
                |x| x.min(87.0).exponential_minus_one::<true>(),
                |x| x.clamp(-87.0, 87.0).exp_m1(),
                2.0,
            ),
            (
                "exponential_minus_one, unfused",
                |x| x.min(87.0).exponential_minus_one::<false>(),
                |x| x.clamp(-87.0, 87.0).exp_m1(),
                2.0,
            ),
            ("rise", |x| x.abs().rise::<true>(), rise, 1.5),
            ("rise, unfused", |x| x.abs().rise::<false>(), rise, 1.5),
        ] {
            let (error, at) = worst(f, exact);
            println!("{name}: {error:.2} units at {at}");
            assert!(error <= limit, "{name}: {error} units at {at}");
        }
    }

    #[test]
    fn limits_and_nan() {
        for x in [f32::INFINITY, 20.0, 1e30] {
            assert_eq!(Elementary::tanh::<true>(x), 1.0);
            assert_eq!(Elementary::tanh::<true>(-x), -1.0);
            assert_eq!(x.softplus::<true>(), x);
            assert_eq!(x.sigmoid::<true>(), 1.0);
        }
        for f in [
            <f32 as Elementary>::tanh::<true>,
            f32::sigmoid::<true>,
            f32::softplus::<true>,
            f32::exponential::<true>,
            f32::exponential_minus_one::<true>,
        ] {
            assert!(f(f32::NAN).is_nan());
        }
        assert_eq!(f32::NEG_INFINITY.sigmoid::<true>(), 0.0);
        assert_eq!(f32::NEG_INFINITY.softplus::<true>(), 0.0);
        assert!(Elementary::tanh::<true>(-0.0f32).is_sign_negative());
    }

    #[test]
    fn vector_loops_compute_what_the_functions_do() {
        let values: Vec<f32> = (0..10_007).map(|i| (i as f32 - 5000.0) / 400.0).collect();
        let mut mapped = values.clone();
        let functions: [fn(f32) -> f32; 2] = [
            <f32 as Elementary>::tanh::<true>,
            <f32 as Elementary>::tanh::<false>,
        ];
        vectorised(Map(&mut mapped, functions[0], functions[1]));
        for (x, y) in values.iter().zip(mapped) {
            assert!(
                functions.map(|f| f(*x).to_bits()).contains(&y.to_bits()),
                "{x}"
            );
        }
    }
}
