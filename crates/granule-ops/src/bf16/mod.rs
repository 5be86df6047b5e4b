//! Products of matrices in bfloat16: factors of eight significant bits and the range of f32, sums in f32.
//!
//! A factor is rounded to the nearest bfloat16, to the even one of two; what is subnormal in f32 becomes a zero, what is beyond
//! the largest bfloat16 infinite. A product of two such numbers has sixteen bits and is exact in f32 but where it is beyond the
//! largest f32 or has digits below the smallest. The terms of a sum are added in f32, along the depth in pairs, of each pair the
//! second before the first; after [`BLOCK`](product::BLOCK) of them a sum is added to those before, of which what is there already,
//! as a bias, is the first. So every element is one chain of additions, whatever tile, part or thread computes it.
//!
//! With `u = 2⁻⁸` for the factors, `v = 2⁻²⁴` for the sums and a depth of `K`, what is computed differs from `Σ a b` of the numbers
//! that were given by at most
//!
//! `((1 + u)² (1 + γ) − 1) Σ |a| |b|`,  `γ = R v / (1 − R v)`,  `R = K + ⌈K / BLOCK⌉`
//!
//! (Higham 2002, Accuracy and Stability of Numerical Algorithms, sections 2.2 and 3.1), about `2⁻⁷ Σ |a| |b|`, but for overflow, and
//! for underflow: a factor or a sum below `2⁻¹²⁶` may become a zero. What the sum is added to, as a bias, is a term more: its
//! magnitude is one of the sum, and `R` is greater by one.
//!
//! [`Avx512Bf16`](Bf16Arithmetic::Avx512Bf16) is the processor's own instruction for a pair of products,
//! [`Emulated`](Bf16Arithmetic::Emulated) the same two additions in f32 on any other processor. The emulated sums have the same bits
//! on every processor as long as no product overflows or underflows: without a fused multiply-add the product is rounded before it
//! is added, which then shows. The instruction takes subnormal sums for zeros, and how it adds a pair is the processor's: on the EPYC
//! processors that the tests ran on it is as emulated, bit for bit, where nothing is subnormal; elsewhere the bound holds.

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod pack;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod product;
#[cfg(all(test, any(feature = "flex", feature = "ndarray")))]
mod tests;

#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) use pack::{Left, PackedLeft, Right};
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) use product::columns;
#[cfg(all(feature = "autodiff", any(feature = "flex", feature = "ndarray")))]
pub(crate) use product::product;

use crate::plan::vector;

/// What the factors of the products in a layer and in its gradients are rounded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factors {
    /// Not at all: f32, or f64 where the tensors are.
    #[default]
    Full,
    /// To bfloat16, with sums in f32, of tensors in f32 on the CPU backends.
    Bf16,
}

/// What computes the products of bfloat16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bf16Arithmetic {
    /// The instruction VDPBF16PS of processors with AVX512-BF16.
    Avx512Bf16,
    /// Multiply-adds in f32.
    Emulated,
}

impl Bf16Arithmetic {
    /// That of this processor, found at run time.
    pub fn of_this_processor() -> Self {
        if vector::has_bf16() {
            Self::Avx512Bf16
        } else {
            Self::Emulated
        }
    }

    /// Its name: `AVX512-BF16` or `emulated`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512Bf16 => "AVX512-BF16",
            Self::Emulated => "emulated",
        }
    }
}

/// What has factors in bfloat16 is never computed from others: as Burn's operations of tensors that they do not take.
#[allow(clippy::panic)]
pub(crate) fn none(operation: &str) -> ! {
    panic!("{operation}: factors in bfloat16 are of tensors in f32 on flex or ndarray, in training")
}

/// The bits of a bfloat16 in the high half of a lane.
pub(crate) const HIGH: u32 = 0xffff_0000;

/// The nearest bfloat16 as an f32 by its bits.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    const EXPONENT: u32 = 0x7f80_0000;
    const QUIET: u32 = 0x0040_0000;
    let bits = x.to_bits();
    let even = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & HIGH;
    let nan = (bits | QUIET) & HIGH;
    let zero = bits & 0x8000_0000;
    let magnitude = bits & !0x8000_0000;
    let finite = if bits & EXPONENT == 0 { zero } else { even };
    if magnitude > EXPONENT { nan } else { finite }
}

/// The nearest bfloat16 by its bits.
#[inline(always)]
pub(crate) fn half(x: f32) -> u16 {
    (rounded(x) >> 16) as u16
}

/// Two numbers as a pair of bfloat16, `low` in the low half.
#[inline(always)]
pub(crate) fn pair(low: f32, high: f32) -> u32 {
    rounded(low) >> 16 | rounded(high)
}
