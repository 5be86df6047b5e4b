//! Elementary functions that a compiler can turn into vector instructions.
//!
//! They are computed without branches, from `eˣ = 2ⁿ eʳ`, `n = round(x / ln 2)`, with a polynomial for `eʳ − 1` on
//! `|r| ≤ ln 2 / 2`, in f32 a minimax one, and in f32 one for `atanh` on `[0, 1/3]`; logarithms in f32, `softplus` in f64 and powers are the
//! standard library's. The errors are at most, in units in the last place of the exact value, with or without fused
//! multiply-add: over all f32 `tanh` 2.5, `sigmoid` 2.5, `softplus` 3, `rise` 1.5, `exponential` 1.5, `exponential_minus_one` 2,
//! apart from results below 2⁻¹²⁶, which are 0; in f64 `tanh` 3, `sigmoid` 2.5, `rise` 2, `exponential` 1.5,
//! `exponential_minus_one` 2, `natural_logarithm` 1.5, `natural_logarithm_of_one_more` 2. A NaN stays a NaN.

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
    /// `eˣ − 1`, likewise; in f64 `x` counts as at most 709.
    fn exponential_minus_one<const FUSED: bool>(self) -> Self;
    /// `ln x`
    fn natural_logarithm<const FUSED: bool>(self) -> Self;
    /// `ln(1 + x)`
    fn natural_logarithm_of_one_more<const FUSED: bool>(self) -> Self;
    fn square_root(self) -> Self;
    fn power(self, exponent: Self) -> Self;
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    a.multiply_add::<FUSED>(b, c)
}

/// `Σ cₖ xᵏ`
#[inline(always)]
pub(crate) fn polynomial<const FUSED: bool, const N: usize, T: Real>(
    x: T,
    coefficients: [T; N],
) -> T {
    let mut sum = coefficients[N - 1];
    for c in coefficients[..N - 1].iter().rev() {
        sum = sum.multiply_add::<FUSED>(x, *c);
    }
    sum
}

/// Adding 1.5 · 2²³ rounds to an integer, which then stands in the low bits.
const ROUND_F32: f32 = 12_582_912.0;

/// `n + 1.5 · 2²³` and `eʳ − 1` of `eˣ = 2ⁿ eʳ`, for `|x| ≤ 105`.
#[inline(always)]
fn reduced<const FUSED: bool>(x: f32) -> (f32, f32) {
    // ln 2 in two parts, the first short enough for `n · LN2_HIGH` to be exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = multiply_add::<FUSED>(x, core::f32::consts::LOG2_E, ROUND_F32);
    let n = shifted - ROUND_F32;
    let r = multiply_add::<FUSED>(n, -LN2_LOW, multiply_add::<FUSED>(n, -LN2_HIGH, x));
    let tail = polynomial::<FUSED, 6, _>(
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
    (shifted, multiply_add::<FUSED>(r * r, tail, r))
}

/// `2ⁿ` from `n + 1.5 · 2²³`.
#[inline(always)]
fn power_of_shifted(shifted: f32) -> f32 {
    f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `eˣ` as `2ⁿ` and `eʳ − 1`, for `|x| < 88`.
#[inline(always)]
fn split_exponential<const FUSED: bool>(x: f32) -> (f32, f32) {
    let (shifted, rest) = reduced::<FUSED>(x);
    (power_of_shifted(shifted), rest)
}

/// Where eˣ and its inverse are numbers of full precision. A NaN stays one.
#[inline(always)]
fn clamp(x: f32) -> f32 {
    const LARGEST: f32 = 88.0;
    const SMALLEST: f32 = -87.0;
    let x = if x > LARGEST { LARGEST } else { x };
    if x < SMALLEST { SMALLEST } else { x }
}

/// `eˣ` of any `x`, within 1.5 units where it is a normal number.
#[inline(always)]
pub(crate) fn exponential_of_any<const FUSED: bool>(x: f32) -> f32 {
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let (shifted, rest) = reduced::<FUSED>(x);
    let n = shifted - ROUND_F32;
    // In two factors, for 2ⁿ alone may be too large or too small for a number.
    let half = multiply_add::<FUSED>(n, 0.5, ROUND_F32);
    let first = power_of_shifted(half);
    let second = power_of_shifted(n - (half - ROUND_F32) + ROUND_F32);
    multiply_add::<FUSED>(first, rest, first) * second
}

/// ln 2 in two parts, the first short enough for its products by whole numbers up to 2²⁰ to be exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Adding 1.5 · 2⁵² rounds to an integer, which then stands in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// `2ⁿ` of a whole number from −1022 to 1023.
#[inline(always)]
fn power_of_two(n: f64) -> f64 {
    f64::from_bits((n + ROUND).to_bits().wrapping_add(1023) << 52)
}

/// `n` and `eʳ − 1` of `eˣ = 2ⁿ eʳ`, for `|x| ≤ 750`.
#[inline(always)]
fn reduced_exponential<const FUSED: bool>(x: f64) -> (f64, f64) {
    let n = x.multiply_add::<FUSED>(core::f64::consts::LOG2_E, ROUND) - ROUND;
    let r = n.multiply_add::<FUSED>(-LN2_HIGH, x);
    let r = n.multiply_add::<FUSED>(-LN2_LOW, r);
    // 1/k! from k = 2 on.
    let tail = polynomial::<FUSED, 12, _>(
        r,
        [
            0.5,
            1.666_666_666_666_666_6e-1,
            4.166_666_666_666_666_4e-2,
            8.333_333_333_333_333e-3,
            1.388_888_888_888_889e-3,
            1.984_126_984_126_984e-4,
            2.480_158_730_158_73e-5,
            2.755_731_922_398_589_3e-6,
            2.755_731_922_398_589e-7,
            2.505_210_838_544_172e-8,
            2.087_675_698_786_81e-9,
            1.605_904_383_682_161_3e-10,
        ],
    );
    (n, (r * r).multiply_add::<FUSED>(tail, r))
}

/// `eˣ − 1` for `−700 ≤ x ≤ 709`.
#[inline(always)]
fn exponential_less_one<const FUSED: bool>(x: f64) -> f64 {
    let (n, rest) = reduced_exponential::<FUSED>(x);
    let power = power_of_two(n);
    power.multiply_add::<FUSED>(rest, power - 1.0)
}

/// `k` and `f` of `x = 2ᵏ (1 + f)` with `√½ < 1 + f ≤ √2`, for a normal number above 0.
#[inline(always)]
fn mantissa(x: f64) -> (f64, f64) {
    // √½ in the upper bits, so that what is below it counts to the power before.
    const OFFSET: u64 = 0x3ff0_0000_0000_0000 - 0x3fe6_a09e_667f_3bcd;
    let shifted = x.to_bits().wrapping_add(OFFSET);
    // The biased exponent as a number: it stands in the low bits of 2⁵².
    let power = f64::from_bits((shifted >> 52) | 0x4330_0000_0000_0000) - 4_503_599_627_370_496.0;
    let bits = (shifted & 0x000f_ffff_ffff_ffff).wrapping_add(0x3fe6_a09e_667f_3bcd);
    (power - 1023.0, f64::from_bits(bits) - 1.0)
}

/// `k ln 2 + ln(1 + f) + c`, as Sun's library computes it (Ng 1993): within a unit.
#[inline(always)]
fn near_one<const FUSED: bool>(k: f64, f: f64, c: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let tail = polynomial::<FUSED, 7, _>(
        z,
        [
            6.666_666_666_666_735e-1,
            3.999_999_999_940_942e-1,
            2.857_142_874_366_239e-1,
            2.222_219_843_214_978_4e-1,
            1.818_357_216_161_805e-1,
            1.531_383_769_920_937_3e-1,
            1.479_819_860_511_658_6e-1,
        ],
    );
    let half = 0.5 * f * f;
    let rest = s.multiply_add::<FUSED>(half + z * tail, k * LN2_LOW + c);
    k * LN2_HIGH - ((half - rest) - f)
}

/// The logarithm `value` of `x` with those of what is no normal number above 0.
#[inline(always)]
fn special_logarithm(x: f64, value: f64) -> f64 {
    let value = if x < f64::INFINITY { value } else { x };
    let value = if x < f64::MIN_POSITIVE {
        slow_logarithm(x)
    } else {
        value
    };
    if x >= 0.0 { value } else { f64::NAN }
}

/// Of 0 and of numbers too small to be normal.
#[inline(always)]
fn slow_logarithm(x: f64) -> f64 {
    const SCALE: f64 = 18_014_398_509_481_984.0; // 2⁵⁴
    let (k, f) = mantissa(x * SCALE);
    let value = near_one::<false>(k - 54.0, f, 0.0);
    if x == 0.0 { f64::NEG_INFINITY } else { value }
}

/// `x`, or the limit that it is beyond. A NaN stays one.
#[inline(always)]
fn between(x: f64, low: f64, high: f64) -> f64 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
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
        let tail = polynomial::<FUSED, 5, _>(
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
    fn natural_logarithm<const FUSED: bool>(self) -> Self {
        self.ln()
    }

    #[inline(always)]
    fn natural_logarithm_of_one_more<const FUSED: bool>(self) -> Self {
        self.ln_1p()
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
        // From here on the nearest f64 is 1.
        const LAST: f64 = 19.1;
        let a = self.abs();
        let m = exponential_less_one::<FUSED>(2.0 * if a > LAST { LAST } else { a });
        (m / (m + 2.0)).copysign(self)
    }

    #[inline(always)]
    fn sigmoid<const FUSED: bool>(self) -> Self {
        let e = Elementary::exponential::<FUSED>(-self.abs());
        (if self < 0.0 { e } else { 1.0 }) / (1.0 + e)
    }

    #[inline(always)]
    fn softplus<const FUSED: bool>(self) -> Self {
        let rest = (-self.abs()).exp().ln_1p();
        if self > 0.0 { self + rest } else { rest }
    }

    #[inline(always)]
    fn rise<const FUSED: bool>(self) -> Self {
        -exponential_less_one::<FUSED>(between(-self, -700.0, 0.0))
    }

    #[inline(always)]
    fn exponential<const FUSED: bool>(self) -> Self {
        let (n, rest) = reduced_exponential::<FUSED>(between(self, -746.0, 710.0));
        // In two factors, for 2ⁿ alone may be too large or too small for a number.
        let half = n.multiply_add::<FUSED>(0.5, ROUND) - ROUND;
        let first = power_of_two(half);
        first.multiply_add::<FUSED>(rest, first) * power_of_two(n - half)
    }

    #[inline(always)]
    fn exponential_minus_one<const FUSED: bool>(self) -> Self {
        exponential_less_one::<FUSED>(between(self, -700.0, 709.0))
    }

    #[inline(always)]
    fn natural_logarithm<const FUSED: bool>(self) -> Self {
        let (k, f) = mantissa(self);
        let value = near_one::<FUSED>(k, f, 0.0);
        special_logarithm(self, value)
    }

    #[inline(always)]
    fn natural_logarithm_of_one_more<const FUSED: bool>(self) -> Self {
        let whole = 1.0 + self;
        // What rounding took away.
        let lost = if whole > 1.0 {
            self - (whole - 1.0)
        } else {
            1.0 - (whole - self)
        };
        let (k, f) = mantissa(whole);
        let small = self > -0.29 && self < 0.41;
        let (k, f) = if small { (0.0, self) } else { (k, f) };
        let correction = if small { 0.0 } else { lost / whole };
        let value = near_one::<FUSED>(k, f, correction);
        let value = special_logarithm(whole, value);
        // What adds nothing to 1 is its own logarithm, with its sign.
        if self.abs() < 1e-300 { self } else { value }
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
                if (exact as f32).is_infinite() {
                    assert_eq!(value, f32::INFINITY, "{x}");
                    continue;
                }
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
            (
                "exponential_of_any",
                exponential_of_any::<true>,
                f64::exp,
                1.5,
            ),
            (
                "exponential_of_any, unfused",
                exponential_of_any::<false>,
                f64::exp,
                1.5,
            ),
            ("rise", |x| x.abs().rise::<true>(), rise, 1.5),
            ("rise, unfused", |x| x.abs().rise::<false>(), rise, 1.5),
        ] {
            let (error, at) = worst(f, exact);
            println!("{name}: {error:.2} units at {at}");
            assert!(error <= limit, "{name}: {error} units at {at}");
        }
    }

    /// The standard library's are within a unit of the exact value.
    #[test]
    fn errors_in_double_precision_are_within_the_stated_units() {
        let sigmoid = |x: f64| (if x < 0.0 { x.exp() } else { 1.0 }) / (1.0 + (-x.abs()).exp());
        type Function = fn(f64) -> f64;
        let all: [(&str, [Function; 2], Function, f64); 7] = [
            (
                "natural_logarithm",
                [
                    |x| x.abs().natural_logarithm::<true>(),
                    |x| x.abs().natural_logarithm::<false>(),
                ],
                |x| x.abs().ln(),
                1.5,
            ),
            (
                "natural_logarithm_of_one_more",
                [
                    |x| x.max(-1.0).natural_logarithm_of_one_more::<true>(),
                    |x| x.max(-1.0).natural_logarithm_of_one_more::<false>(),
                ],
                |x| x.max(-1.0).ln_1p(),
                2.0,
            ),
            (
                "tanh",
                [
                    <f64 as Elementary>::tanh::<true>,
                    <f64 as Elementary>::tanh::<false>,
                ],
                f64::tanh,
                3.0,
            ),
            (
                "sigmoid",
                [f64::sigmoid::<true>, f64::sigmoid::<false>],
                sigmoid,
                2.5,
            ),
            (
                "exponential",
                [f64::exponential::<true>, f64::exponential::<false>],
                f64::exp,
                1.5,
            ),
            (
                "exponential_minus_one",
                [
                    f64::exponential_minus_one::<true>,
                    f64::exponential_minus_one::<false>,
                ],
                |x| x.min(709.0).exp_m1(),
                2.0,
            ),
            (
                "rise",
                [|x| x.abs().rise::<true>(), |x| x.abs().rise::<false>()],
                |x| -(-x.abs()).exp_m1(),
                2.0,
            ),
        ];
        // Every magnitude from 2⁻¹⁰⁰ to 2¹¹, and what lies between.
        let values = (0..400_000_u64).map(|i| {
            let bits = (923 + i % 111) << 52 | i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 12;
            f64::from_bits(bits)
        });
        for (name, functions, exact, limit) in all {
            let mut worst = (0.0, 0.0);
            for x in values.clone().flat_map(|x| [x, -x]) {
                let exact = exact(x);
                for value in functions.map(|f| f(x)) {
                    if exact.is_infinite() || value == exact {
                        assert_eq!(value, exact, "{name} of {x}");
                        continue;
                    }
                    let unit = exact.abs().next_up() - exact.abs();
                    let error = (value - exact).abs() / unit;
                    if error > worst.0 {
                        worst = (error, x);
                    }
                }
            }
            println!("{name}: {:.2} units at {}", worst.0, worst.1);
            assert!(worst.0 <= limit, "{name}: {} units at {}", worst.0, worst.1);
        }
        for f in all.iter().skip(2).flat_map(|(_, functions, ..)| functions) {
            assert!(f(f64::NAN).is_nan());
        }
        for x in [
            0.0,
            5e-324,
            1e-310,
            f64::MIN_POSITIVE,
            1.0,
            f64::MAX,
            f64::INFINITY,
        ] {
            let (found, exact) = (Elementary::natural_logarithm::<true>(x), x.ln());
            assert!(
                found == exact || (found - exact).abs() < 1e-15 * exact.abs(),
                "{x}: {found} {exact}"
            );
        }
        for x in [-0.0, -1.0, -1e-320, 1e-320, 1e-17, f64::MAX, f64::INFINITY] {
            let (found, exact) = (
                Elementary::natural_logarithm_of_one_more::<true>(x),
                x.ln_1p(),
            );
            let same = found == exact && found.is_sign_negative() == exact.is_sign_negative();
            assert!(
                same || (found - exact).abs() < 1e-15 * exact.abs(),
                "{x}: {found} {exact}"
            );
        }
        for x in [-1.0, f64::NEG_INFINITY, f64::NAN] {
            assert!(Elementary::natural_logarithm::<true>(x).is_nan());
            assert!(Elementary::natural_logarithm_of_one_more::<true>(x - 1.0).is_nan());
        }
        assert_eq!(Elementary::exponential::<true>(f64::NEG_INFINITY), 0.0);
        assert_eq!(
            Elementary::exponential::<true>(f64::INFINITY),
            f64::INFINITY
        );
        assert_eq!(Elementary::tanh::<true>(f64::INFINITY), 1.0);
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
