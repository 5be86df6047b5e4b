//! The numbers that kernels compute with.

use core::cell::RefCell;
use core::ops::{Add, AddAssign, Mul, Sub};
use std::sync::Mutex;
use std::thread::LocalKey;

/// Buffers that a thread keeps.
pub(crate) type Pool<T> = RefCell<Vec<Vec<T>>>;
/// Buffers that all threads keep together.
pub(crate) type Shared<T> = Mutex<Vec<Vec<T>>>;

/// Elements that can live in work space.
pub(crate) trait Pooled: Copy + Default + 'static {
    /// What this thread keeps.
    fn pool() -> &'static LocalKey<Pool<Self>>;

    /// What all threads keep together.
    fn shared() -> &'static Shared<Self>;
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

            fn shared() -> &'static Shared<Self> {
                static SHARED: Shared<$element> = Mutex::new(Vec::new());
                &SHARED
            }
        }
    };
}
pooled!(f32);
pooled!(f64);
// Numbers in bfloat16 and pairs of them.
pooled!(u16);
pooled!(u32);

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
