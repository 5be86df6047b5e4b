//! Work space that a thread keeps from one operation to the next.
//!
//! The same few sizes are asked for in every training step: memory that was used a moment ago is still mapped and often
//! still in a cache.

use core::ops::{Deref, DerefMut};

use crate::real::{Pool, Real};

/// Buffers that a thread keeps of each precision.
const KEPT: usize = 6;
/// The most elements of a buffer that is kept; a larger one pays for itself.
const LARGEST: usize = 1 << 20;

/// A slice of work space; at its end the memory goes back to the thread that drops it.
pub(crate) struct Scratch<T: Real> {
    buffer: Vec<T>,
    len: usize,
}

impl<T: Real> Scratch<T> {
    /// `len` elements of whatever values.
    ///
    /// Nothing stays borrowed: a thread that waits for a part of its work may begin another task that takes its own.
    pub(crate) fn take(len: usize) -> Self {
        let fits = |pool: &Pool<T>| {
            let mut pool = pool.borrow_mut();
            let all = pool.iter().enumerate();
            let (index, _) = all
                .filter(|(_, buffer)| buffer.len() >= len)
                .min_by_key(|(_, buffer)| buffer.len())?;
            Some(pool.swap_remove(index))
        };
        // A thread that ends has no pool any more.
        let found = T::pool().try_with(fits).ok().flatten();
        Self {
            buffer: found.unwrap_or_else(|| vec![T::ZERO; len]),
            len,
        }
    }
}

impl<T: Real> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[..self.len]
    }
}

impl<T: Real> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.len]
    }
}

impl<T: Real> Drop for Scratch<T> {
    fn drop(&mut self) {
        let buffer = core::mem::take(&mut self.buffer);
        if buffer.is_empty() || buffer.len() > LARGEST {
            return;
        }
        let keep = |pool: &Pool<T>| {
            let mut pool = pool.borrow_mut();
            pool.push(buffer);
            if pool.len() > KEPT {
                pool.remove(0);
            }
        };
        let _ = T::pool().try_with(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::Pooled;

    fn kept() -> Vec<usize> {
        <f64 as Pooled>::pool().with_borrow(|pool| pool.iter().map(Vec::len).collect())
    }

    #[test]
    fn memory_is_used_again_and_bounded() {
        let address = {
            let mut first = Scratch::<f64>::take(1000);
            first.fill(1.0);
            first.as_ptr() as usize
        };
        let small = Scratch::<f64>::take(100);
        assert_eq!((small.len(), small.as_ptr() as usize), (100, address));
        let other = Scratch::<f64>::take(100);
        assert_ne!(other.as_ptr() as usize, address);
        assert!(kept().is_empty());
        drop((small, other));
        assert_eq!(kept(), [1000, 100]);
        drop(Scratch::<f64>::take(LARGEST + 1));
        let many: Vec<_> = (0..20).map(|i| Scratch::<f64>::take(2000 + i)).collect();
        drop(many);
        assert_eq!(kept(), [2014, 2015, 2016, 2017, 2018, 2019]);
        assert_eq!(Scratch::<f64>::take(0).len(), 0);
    }
}
