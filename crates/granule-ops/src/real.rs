//! The numbers that kernels compute with.

use core::cell::RefCell;
use core::ops::{Add, AddAssign, Mul, Sub};
use std::thread::LocalKey;

/// Buffers that a thread keeps.
pub(crate) type Pool<T> = RefCell<Vec<Vec<T>>>;

/// Elements that can live in work space.
pub(crate) trait Pooled: Sized + 'static {
    /// What this thread keeps.
    fn pool() -> &'static LocalKey<Pool<Self>>;
}

macro_rules! pooled {
    ($element:ty) => {
        impl Pooled for $element {
            fn pool() -> &'static LocalKey<Pool<Self>> {
                thread_local! {
                    static POOL: Pool<$element> = const { RefCell::new(Vec::new()) };
                }
                &POOL
            }
        }
    };
}
pooled!(f32);
pooled!(f64);

/// Elements the kernels compute with.
pub(crate) trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Pooled
{
    const ONE: Self;
    const ZERO: Self;

    /// `self · factor + term`, rounded once where that is one instruction.
    fn multiply_add<const FUSED: bool>(self, factor: Self, term: Self) -> Self;
}

impl Real for f32 {
    const ONE: Self = 1.0;
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn multiply_add<const FUSED: bool>(self, factor: Self, term: Self) -> Self {
        if FUSED {
            self.mul_add(factor, term)
        } else {
            self * factor + term
        }
    }
}

impl Real for f64 {
    const ONE: Self = 1.0;
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn multiply_add<const FUSED: bool>(self, factor: Self, term: Self) -> Self {
        if FUSED {
            self.mul_add(factor, term)
        } else {
            self * factor + term
        }
    }
}
