//! Memory that is kept from one operation to the next.
//!
//! The same few sizes are asked for in every training step: memory that was used a moment ago is still mapped and often
//! still in a cache. A small buffer stays with the thread that had it; a large one, which one thread often fills and another
//! drops, goes to where all threads find it.

use core::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use crate::real::{Pool, Pooled};

/// Buffers that a thread keeps of each precision.
const KEPT: usize = 6;
/// The fewest elements of a buffer that all threads keep together.
const LARGE: usize = 1 << 14;
/// The most bytes of all of those of a precision.
const MOST: usize = 128 << 20;

/// A slice of work space, which is kept for the next one when it is dropped.
pub(crate) struct Scratch<T: Pooled> {
    buffer: Vec<T>,
    len: usize,
}

/// The smallest of the buffers that are at least `len` and at most `most` long.
fn fitting<T>(kept: &mut Vec<Vec<T>>, len: usize, most: usize) -> Option<Vec<T>> {
    let all = kept.iter().enumerate();
    let fit = all.filter(|(_, buffer)| (len..=most).contains(&buffer.len()));
    let (index, _) = fit.min_by_key(|(_, buffer)| buffer.len())?;
    Some(kept.remove(index))
}

/// A vector of `len` elements of whatever values, which may leave for a tensor and come back by [`give_back`]: from those of just
/// that length where there is one.
pub(crate) fn take_exactly<T: Pooled>(len: usize) -> Vec<T> {
    let kept = (len >= LARGE).then(|| {
        let mut shared = T::shared().lock().unwrap_or_else(PoisonError::into_inner);
        fitting(&mut shared, len, len)
    });
    kept.flatten().unwrap_or_else(|| vec![T::default(); len])
}

/// `len` elements of whatever values, from those that were [kept](keep) where there are some.
pub(crate) fn take<T: Pooled>(len: usize) -> Vec<T> {
    let found = if len < LARGE {
        // A thread that ends has no pool any more.
        let fits = |pool: &Pool<T>| fitting(&mut pool.borrow_mut(), len, usize::MAX);
        T::pool().try_with(fits).ok().flatten()
    } else {
        let mut shared = T::shared().lock().unwrap_or_else(PoisonError::into_inner);
        fitting(&mut shared, len, 2 * len)
    };
    found.unwrap_or_else(|| vec![T::default(); len])
}

fn bytes<T>(buffer: &Vec<T>) -> usize {
    buffer.capacity() * size_of::<T>()
}

/// Keeps a buffer for what asks for one of its size next; the oldest ones are dropped when there are too many.
pub(crate) fn keep<T: Pooled>(buffer: Vec<T>) {
    match buffer.len() {
        0 => {}
        _ if bytes(&buffer) > MOST => {}
        len if len < LARGE => {
            let keep = |pool: &Pool<T>| {
                let mut pool = pool.borrow_mut();
                pool.push(buffer);
                if pool.len() > KEPT {
                    pool.remove(0);
                }
            };
            let _ = T::pool().try_with(keep);
        }
        _ => {
            let mut dropped = Vec::new();
            let mut shared = T::shared().lock().unwrap_or_else(PoisonError::into_inner);
            shared.push(buffer);
            let mut all: usize = shared.iter().map(bytes).sum();
            while all > MOST {
                let oldest = shared.remove(0);
                all -= bytes(&oldest);
                dropped.push(oldest);
            }
            // Memory goes back to the system without the lock.
            drop(shared);
        }
    }
}

/// Gives memory back that the next gradient of that size can lie in, as of a weight whose update has been done: it is neither
/// asked of the system nor cleared again. Up to 128 MiB are kept.
pub fn give_back(values: Vec<f32>) {
    if values.len() >= LARGE {
        keep(values);
    }
}

/// Gives what all threads keep together back to the system, before something else that is large.
pub fn release_kept() {
    fn release<T: Pooled>() {
        let kept =
            core::mem::take(&mut *T::shared().lock().unwrap_or_else(PoisonError::into_inner));
        // Without the lock.
        drop(kept);
    }
    release::<f32>();
    release::<f64>();
    release::<u16>();
    release::<u32>();
}

impl<T: Pooled> Scratch<T> {
    /// `len` elements of whatever values.
    ///
    /// Nothing stays borrowed: a thread that waits for a part of its work may begin another task that takes its own.
    pub(crate) fn take(len: usize) -> Self {
        Self {
            buffer: take(len),
            len,
        }
    }
}

impl<T: Pooled> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[..self.len]
    }
}

impl<T: Pooled> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.len]
    }
}

impl<T: Pooled> Drop for Scratch<T> {
    fn drop(&mut self) {
        keep(core::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let many: Vec<_> = (0..20).map(|i| Scratch::<f64>::take(2000 + i)).collect();
        drop(many);
        assert_eq!(kept(), [2014, 2015, 2016, 2017, 2018, 2019]);
        assert_eq!(Scratch::<f64>::take(0).len(), 0);
    }

    #[test]
    fn large_buffers_are_found_by_every_thread_and_bounded() {
        let mut kept = vec![vec![1.0; 40], vec![2.0; 30], vec![3.0; 25], vec![4.0; 60]];
        assert_eq!(fitting(&mut kept, 28, 56), Some(vec![2.0; 30]));
        assert_eq!(fitting(&mut kept, 28, 39), None);
        assert_eq!(kept.len(), 3);
        // Of a size that no other test asks for.
        let len = MOST / size_of::<f64>() / 2 - 12_345;
        let address = std::thread::spawn(move || {
            let buffer = Scratch::<f64>::take(len);
            buffer.as_ptr() as usize
        });
        let address = address.join().unwrap();
        let again = Scratch::<f64>::take(len);
        assert_eq!((again.as_ptr() as usize, again.len()), (address, len));
        drop(again);
        for _ in 0..3 {
            keep(vec![0.0_f64; len + 1]);
        }
        let all = || -> usize { f64::shared().lock().unwrap().iter().map(bytes).sum() };
        assert!(all() <= MOST, "{}", all());
        // What leaves for a tensor and comes back is no longer than it says, however often.
        for _ in 0..3 {
            let buffer = take_exactly::<f64>(len - 7);
            assert_eq!((buffer.len(), buffer.capacity()), (len - 7, len - 7));
            keep(buffer);
        }
        assert!(all() <= MOST, "{}", all());
    }
}
