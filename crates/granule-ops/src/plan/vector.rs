//! Vectors of the processor's own, so that a tile of them stays in registers: compilers do not make them of loops so large.

use super::packed::{FEW_LANES, LANES};
use crate::bf16::{self, Bf16Arithmetic};

/// Some lanes of f32.
pub(crate) trait Vector: Copy {
    const LANES: usize;

    fn splat(x: f32) -> Self;

    /// The first [`LANES`](Self::LANES) values, of at least so many.
    fn load(values: &[f32]) -> Self;

    /// Into the first values, of at least so many.
    fn store(self, values: &mut [f32]);

    fn add(self, other: Self) -> Self;

    fn subtract(self, other: Self) -> Self;

    /// `self · x + sum`, in one rounding where the processor can.
    fn multiply_add(self, x: Self, sum: Self) -> Self;

    /// The larger of each, or a NaN where one is.
    fn larger(self, other: Self) -> Self;

    /// max(0, x), where a NaN stays one.
    fn rectified(self) -> Self;

    /// Of lanes that are pairs of bfloat16 by their bits, the numbers in the low halves.
    fn low_halves(self) -> Self;

    /// As [`low_halves`](Self::low_halves), those in the high halves.
    fn high_halves(self) -> Self;

    /// `self + high · high + low · low` of pairs of bfloat16, whose products are exact, in two additions, each rounded.
    #[inline(always)]
    fn add_products(self, x: Self, y: Self) -> Self {
        emulated_products(self, x, y)
    }

    /// Pairs of bfloat16 of the values of two vectors: those of `low` are the low halves.
    #[inline(always)]
    fn pairs(low: Self, high: Self) -> Self {
        emulated_pairs(low, high)
    }

    /// Pairs of bfloat16 of values that lie one after the other in two vectors.
    #[inline(always)]
    fn neighbours(first: Self, second: Self) -> Self {
        emulated_neighbours(first, second)
    }

    /// Of as many vectors of [`LANES`] the first lanes of all, then their second ones, and so on.
    #[inline(always)]
    fn turned(rows: [Self; LANES]) -> [Self; LANES] {
        let mut all = [[0.0; LANES]; LANES];
        for (all, row) in all.iter_mut().zip(rows) {
            row.store(all);
        }
        core::array::from_fn(|l| Self::load(&all.map(|row| row[l])))
    }
}

#[inline(always)]
fn emulated_products<V: Vector>(sum: V, x: V, y: V) -> V {
    let sum = x.high_halves().multiply_add(y.high_halves(), sum);
    x.low_halves().multiply_add(y.low_halves(), sum)
}

#[inline(always)]
fn emulated_pairs<V: Vector>(low: V, high: V) -> V {
    let (mut lows, mut highs) = ([0.0; LANES], [0.0; LANES]);
    low.store(&mut lows);
    high.store(&mut highs);
    V::load(&core::array::from_fn::<f32, LANES, _>(|l| {
        f32::from_bits(bf16::pair(lows[l], highs[l]))
    }))
}

#[inline(always)]
fn emulated_neighbours<V: Vector>(first: V, second: V) -> V {
    let mut values = [0.0; 2 * LANES];
    first.store(&mut values);
    second.store(&mut values[V::LANES..]);
    V::load(&core::array::from_fn::<f32, LANES, _>(|l| {
        f32::from_bits(bf16::pair(values[2 * l], values[2 * l + 1]))
    }))
}

/// Loops over vectors of [`LANES`] and of [`FEW_LANES`].
///
/// `run` must be `#[inline(always)]`, as must be what it calls, so that each instruction set gets its own copy.
pub(crate) trait Tiled {
    /// `WIDE` tells whether there are 32 registers of [`LANES`].
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self);
}

/// What vectors a processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// On any processor, for tests: a compiler makes too little of it.
    Portable,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The widest of this processor.
    fn found() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if x86::has_avx512() {
                return Self::Avx512;
            }
            if x86::has_avx2() {
                return Self::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        return Self::Neon;
        #[cfg(not(target_arch = "aarch64"))]
        Self::Portable
    }

    #[cfg(not(test))]
    fn of_this_thread() -> Self {
        Self::found()
    }

    #[cfg(test)]
    fn of_this_thread() -> Self {
        at_most::LEVEL.get().unwrap_or_else(Self::found)
    }
}

/// Narrower vectors than those of the processor, so that all are tested.
#[cfg(test)]
pub(crate) mod at_most {
    use core::cell::Cell;

    use super::Level;

    thread_local! {
        pub(in super::super) static LEVEL: Cell<Option<Level>> = const { Cell::new(None) };
    }

    /// Runs `body` with the vectors of each level that this processor has.
    pub(crate) fn each_level(body: impl Fn(Level)) {
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "aarch64")]
        levels.push(Level::Neon);
        #[cfg(target_arch = "x86_64")]
        levels.extend(
            [Level::Avx2, Level::Avx512]
                .into_iter()
                .filter(|level| match level {
                    Level::Avx2 => super::x86::has_avx2(),
                    _ => super::x86::has_avx512(),
                }),
        );
        for level in levels {
            LEVEL.set(Some(level));
            body(level);
        }
        LEVEL.set(None);
    }
}

/// Whether the processor has vectors of its own.
pub(super) fn is_there() -> bool {
    cfg!(test) || Level::of_this_thread() != Level::Portable
}

/// Whether there are 32 registers of [`LANES`].
pub(crate) fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    let wide = Level::of_this_thread() == Level::Avx512;
    #[cfg(not(target_arch = "x86_64"))]
    let wide = false;
    wide
}

/// Runs the loops with the widest vectors of this processor.
pub(crate) fn tiled(kernel: impl Tiled) {
    match Level::of_this_thread() {
        // SAFETY: the processor has the features that the function is compiled for.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Level::Avx512 => unsafe { x86::avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Level::Avx2 => unsafe { x86::avx2(kernel) },
        #[cfg(target_arch = "aarch64")]
        Level::Neon => kernel.run::<false, [[neon::Four; 2]; 2], [neon::Four; 2]>(),
        Level::Portable => kernel.run::<false, Portable<LANES>, Portable<FEW_LANES>>(),
    }
}

/// As [`tiled`], on a processor with AVX512-BF16 with its products of pairs.
pub(crate) fn tiled_in(kernel: impl Tiled, arithmetic: Bf16Arithmetic) {
    match arithmetic {
        // SAFETY: the processor has the features that the function is compiled for, as it is asked here.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Bf16Arithmetic::Avx512Bf16 if has_bf16() => unsafe { x86::avx512_bf16(kernel) },
        _ => tiled(kernel),
    }
}

/// Whether the processor has AVX512-BF16.
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = x86::has_avx512()
        && is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512bw");
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

/// On any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable<const L: usize>([f32; L]);

impl<const L: usize> Portable<L> {
    #[inline(always)]
    fn of(value: impl Fn(usize) -> f32) -> Self {
        Self(core::array::from_fn(value))
    }
}

impl<const L: usize> Vector for Portable<L> {
    const LANES: usize = L;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; L])
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        let values = &values[..L];
        Self::of(|l| values[l])
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        values[..L].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::of(|l| self.0[l] + other.0[l])
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        Self::of(|l| self.0[l] - other.0[l])
    }

    #[inline(always)]
    fn multiply_add(self, x: Self, sum: Self) -> Self {
        Self::of(|l| self.0[l] * x.0[l] + sum.0[l])
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        Self::of(|l| {
            let (a, b) = (self.0[l], other.0[l]);
            if b > a || b.is_nan() { b } else { a }
        })
    }

    #[inline(always)]
    fn rectified(self) -> Self {
        Self::of(|l| if self.0[l] < 0.0 { 0.0 } else { self.0[l] })
    }

    #[inline(always)]
    fn low_halves(self) -> Self {
        Self::of(|l| f32::from_bits(self.0[l].to_bits() << 16))
    }

    #[inline(always)]
    fn high_halves(self) -> Self {
        Self::of(|l| f32::from_bits(self.0[l].to_bits() & bf16::HIGH))
    }
}

/// The vectors of x86-64. They are made and used in [`avx512`] and [`avx2`] alone, whose processors have what they need.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use core::arch::x86_64::*;

    use super::{LANES, Tiled, Vector, emulated_neighbours, emulated_pairs, emulated_products};
    use crate::bf16;

    pub(super) fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
    }

    pub(super) fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
    pub(super) fn avx512(kernel: impl Tiled) {
        kernel.run::<true, Sixteen<false>, Eight>();
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512bf16,avx2,fma")]
    pub(super) fn avx512_bf16(kernel: impl Tiled) {
        kernel.run::<true, Sixteen<true>, Eight>();
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(kernel: impl Tiled) {
        kernel.run::<false, [Eight; 2], Eight>();
    }

    /// `BF16` tells whether there are the instructions of AVX512-BF16: only [`avx512_bf16`] makes such vectors.
    #[derive(Clone, Copy)]
    pub(super) struct Sixteen<const BF16: bool>(__m512);

    impl<const BF16: bool> Vector for Sixteen<BF16> {
        const LANES: usize = 16;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: the processor has AVX-512, as of all in this module.
            Self(unsafe { _mm512_set1_ps(x) })
        }

        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..16];
            // SAFETY: there are sixteen values.
            Self(unsafe { _mm512_loadu_ps(values.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..16];
            // SAFETY: there is room for sixteen values.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) };
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn subtract(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn multiply_add(self, x: Self, sum: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_ps(self.0, x.0, sum.0) })
        }

        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            // SAFETY: as above. Where one is a NaN, the maximum is its second.
            Self(unsafe {
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
                _mm512_mask_mov_ps(_mm512_max_ps(self.0, other.0), nan, self.0)
            })
        }

        #[inline(always)]
        fn rectified(self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
        }

        #[inline(always)]
        fn low_halves(self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0)))
            })
        }

        #[inline(always)]
        fn high_halves(self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let high = _mm512_set1_epi32(bf16::HIGH as i32);
                _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(self.0), high))
            })
        }

        #[inline(always)]
        fn add_products(self, x: Self, y: Self) -> Self {
            if BF16 {
                // SAFETY: as above, and it has AVX512-BF16. The bits of a lane are two bfloat16.
                return Self(unsafe {
                    let [x, y] =
                        [x, y].map(|pairs| core::mem::transmute::<__m512, __m512bh>(pairs.0));
                    _mm512_dpbf16_ps(self.0, x, y)
                });
            }
            emulated_products(self, x, y)
        }

        #[inline(always)]
        fn pairs(low: Self, high: Self) -> Self {
            if BF16 {
                // SAFETY: as above. Sixteen of each, which take turns.
                return Self(unsafe {
                    let turns = core::array::from_fn::<u16, 32, _>(|i| {
                        (i as u16 / 2) + (i as u16 % 2) * 16
                    });
                    let turns = _mm512_loadu_si512(turns.as_ptr().cast());
                    let both = _mm512_cvtne2ps_pbh(high.0, low.0);
                    let both = core::mem::transmute::<__m512bh, __m512i>(both);
                    _mm512_castsi512_ps(_mm512_permutexvar_epi16(turns, both))
                });
            }
            emulated_pairs(low, high)
        }

        #[inline(always)]
        fn neighbours(first: Self, second: Self) -> Self {
            if BF16 {
                // SAFETY: as above.
                return Self(unsafe {
                    let both = _mm512_cvtne2ps_pbh(second.0, first.0);
                    core::mem::transmute::<__m512bh, __m512>(both)
                });
            }
            emulated_neighbours(first, second)
        }

        #[inline(always)]
        fn turned(rows: [Self; LANES]) -> [Self; LANES] {
            let mut out = [Self::splat(0.0); LANES];
            let mut fours = rows;
            for (fours, rows) in fours.chunks_exact_mut(4).zip(rows.chunks_exact(4)) {
                // SAFETY: as above. Each quarter of a vector gets four columns of four rows.
                let columns = unsafe {
                    let pairs = |a: Self, b: Self| {
                        [
                            _mm512_castps_pd(_mm512_unpacklo_ps(a.0, b.0)),
                            _mm512_castps_pd(_mm512_unpackhi_ps(a.0, b.0)),
                        ]
                    };
                    let ([a, b], [c, d]) = (pairs(rows[0], rows[1]), pairs(rows[2], rows[3]));
                    [
                        _mm512_unpacklo_pd(a, c),
                        _mm512_unpackhi_pd(a, c),
                        _mm512_unpacklo_pd(b, d),
                        _mm512_unpackhi_pd(b, d),
                    ]
                };
                for (four, column) in fours.iter_mut().zip(columns) {
                    // SAFETY: as above.
                    *four = Self(unsafe { _mm512_castpd_ps(column) });
                }
            }
            for j in 0..4 {
                let [a, b, c, d] = [0, 4, 8, 12].map(|i| fours[i + j].0);
                // SAFETY: as above. The even quarters of two vectors, and the odd ones.
                unsafe {
                    let even = _mm512_shuffle_f32x4::<0x88>(a, b);
                    let odd = _mm512_shuffle_f32x4::<0xdd>(a, b);
                    let more_even = _mm512_shuffle_f32x4::<0x88>(c, d);
                    let more_odd = _mm512_shuffle_f32x4::<0xdd>(c, d);
                    out[j] = Self(_mm512_shuffle_f32x4::<0x88>(even, more_even));
                    out[j + 4] = Self(_mm512_shuffle_f32x4::<0x88>(odd, more_odd));
                    out[j + 8] = Self(_mm512_shuffle_f32x4::<0xdd>(even, more_even));
                    out[j + 12] = Self(_mm512_shuffle_f32x4::<0xdd>(odd, more_odd));
                }
            }
            out
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Eight(__m256);

    impl Vector for Eight {
        const LANES: usize = 8;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: the processor has AVX2 and FMA, as of all in this module.
            Self(unsafe { _mm256_set1_ps(x) })
        }

        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..8];
            // SAFETY: there are eight values.
            Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..8];
            // SAFETY: there is room for eight values.
            unsafe { _mm256_storeu_ps(values.as_mut_ptr(), self.0) };
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn subtract(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_sub_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn multiply_add(self, x: Self, sum: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_fmadd_ps(self.0, x.0, sum.0) })
        }

        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            // SAFETY: as above. Where one is a NaN, the maximum is its second.
            Self(unsafe {
                let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
                _mm256_blendv_ps(_mm256_max_ps(self.0, other.0), self.0, nan)
            })
        }

        #[inline(always)]
        fn rectified(self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
        }

        #[inline(always)]
        fn low_halves(self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(self.0)))
            })
        }

        #[inline(always)]
        fn high_halves(self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let high = _mm256_set1_epi32(bf16::HIGH as i32);
                _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(self.0), high))
            })
        }
    }
}

/// Two vectors as one.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<V: Vector> Vector for [V; 2] {
    const LANES: usize = 2 * V::LANES;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        [V::splat(x); 2]
    }

    #[inline(always)]
    fn load(values: &[f32]) -> Self {
        [V::load(values), V::load(&values[V::LANES..])]
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        self[0].store(values);
        self[1].store(&mut values[V::LANES..]);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        [self[0].add(other[0]), self[1].add(other[1])]
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        [self[0].subtract(other[0]), self[1].subtract(other[1])]
    }

    #[inline(always)]
    fn multiply_add(self, x: Self, sum: Self) -> Self {
        [
            self[0].multiply_add(x[0], sum[0]),
            self[1].multiply_add(x[1], sum[1]),
        ]
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        [self[0].larger(other[0]), self[1].larger(other[1])]
    }

    #[inline(always)]
    fn rectified(self) -> Self {
        self.map(V::rectified)
    }

    #[inline(always)]
    fn low_halves(self) -> Self {
        self.map(V::low_halves)
    }

    #[inline(always)]
    fn high_halves(self) -> Self {
        self.map(V::high_halves)
    }
}

/// The vectors of aarch64, which every such processor has.
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
mod neon {
    use core::arch::aarch64::*;

    use super::Vector;
    use crate::bf16;

    #[derive(Clone, Copy)]
    pub(super) struct Four(float32x4_t);

    impl Vector for Four {
        const LANES: usize = 4;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: the processor has NEON, as of all in this module.
            Self(unsafe { vdupq_n_f32(x) })
        }

        #[inline(always)]
        fn load(values: &[f32]) -> Self {
            let values = &values[..4];
            // SAFETY: there are four values.
            Self(unsafe { vld1q_f32(values.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, values: &mut [f32]) {
            let values = &mut values[..4];
            // SAFETY: there is room for four values.
            unsafe { vst1q_f32(values.as_mut_ptr(), self.0) };
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vaddq_f32(self.0, other.0) })
        }

        #[inline(always)]
        fn subtract(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vsubq_f32(self.0, other.0) })
        }

        #[inline(always)]
        fn multiply_add(self, x: Self, sum: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vfmaq_f32(sum.0, self.0, x.0) })
        }

        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            // SAFETY: as above. Where one is a NaN, so is the maximum.
            Self(unsafe { vmaxq_f32(self.0, other.0) })
        }

        #[inline(always)]
        fn rectified(self) -> Self {
            self.larger(Self::splat(0.0))
        }

        #[inline(always)]
        fn low_halves(self) -> Self {
            // SAFETY: as above.
            Self(unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(self.0))) })
        }

        #[inline(always)]
        fn high_halves(self) -> Self {
            // SAFETY: as above.
            Self(unsafe {
                let high = vdupq_n_u32(bf16::HIGH);
                vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), high))
            })
        }
    }
}
