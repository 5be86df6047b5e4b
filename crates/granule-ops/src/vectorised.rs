//! Loops compiled for several instruction sets, the widest that the processor has chosen when they run.

/// A loop over slices.
///
/// `run` must be `#[inline(always)]`, as must be what its loop calls, so that each instruction set gets its own copy.
pub(crate) trait Kernel {
    /// `FUSED` tells whether a fused multiply-add is one instruction.
    fn run<const FUSED: bool>(self);
}

/// Runs the kernel with the widest vectors of this processor.
pub(crate) fn vectorised(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        if has_avx512() {
            // SAFETY: the processor has the features that the function is compiled for.
            #[allow(unsafe_code)]
            return unsafe { avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            return unsafe { avx2(kernel) };
        }
        kernel.run::<false>();
    }
    #[cfg(not(target_arch = "x86_64"))]
    kernel.run::<{ cfg!(target_arch = "aarch64") }>();
}

/// Whether [`vectorised`] runs with vectors of 16 numbers in single precision and 32 registers of them.
pub(crate) fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    let wide = has_avx512();
    #[cfg(not(target_arch = "x86_64"))]
    let wide = false;
    wide
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn avx512(kernel: impl Kernel) {
    kernel.run::<true>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(kernel: impl Kernel) {
    kernel.run::<true>();
}
