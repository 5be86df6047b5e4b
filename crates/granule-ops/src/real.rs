//! The numbers that kernels compute with.

use core::cell::RefCell;
use core::ops::{Add, AddAssign};
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
    Copy + Default + PartialOrd + Send + Sync + Add<Output = Self> + AddAssign + Pooled
{
    const ONE: Self;
    const ZERO: Self;
}

impl Real for f32 {
    const ONE: Self = 1.0;
    const ZERO: Self = 0.0;
}

impl Real for f64 {
    const ONE: Self = 1.0;
    const ZERO: Self = 0.0;
}
