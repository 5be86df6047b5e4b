//! Vectors of the processor's own, so that a tile of them stays in registers: compilers do not make them of loops so large.

use super::packed::{FEW_LANES, LANES};

/// Some lanes of f32.
pub(super) trait Vector: Copy {
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
}

/// Loops over vectors of [`LANES`] and of [`FEW_LANES`].
///
/// `run` must be `#[inline(always)]`, as must be what it calls, so that each instruction set gets its own copy.
pub(super) trait Tiled {
    /// `WIDE` tells whether there are 32 registers of [`LANES`].
    fn run<const WIDE: bool, Full: Vector, Few: Vector>(self);
}

/// What vectors a processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
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
pub(super) mod at_most {
    use core::cell::Cell;

    use super::Level;

    thread_local! {
        pub(in super::super) static LEVEL: Cell<Option<Level>> = const { Cell::new(None) };
    }

    /// Runs `body` with the vectors of each level that this processor has.
    pub(in super::super) fn each_level(body: impl Fn(Level)) {
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
pub(super) fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    let wide = Level::of_this_thread() == Level::Avx512;
    #[cfg(not(target_arch = "x86_64"))]
    let wide = false;
    wide
}

/// Runs the loops with the widest vectors of this processor.
pub(super) fn tiled(kernel: impl Tiled) {
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
}

/// The vectors of x86-64. They are made and used in [`avx512`] and [`avx2`] alone, whose processors have what they need.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use core::arch::x86_64::*;

    use super::{Tiled, Vector};

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
        kernel.run::<true, Sixteen, Eight>();
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(kernel: impl Tiled) {
        kernel.run::<false, [Eight; 2], Eight>();
    }

    #[derive(Clone, Copy)]
    pub(super) struct Sixteen(__m512);

    impl Vector for Sixteen {
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
}

/// The vectors of aarch64, which every such processor has.
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
mod neon {
    use core::arch::aarch64::*;

    use super::Vector;

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
    }
}
