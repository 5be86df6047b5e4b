//! Panics that end as errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static ANSWERED: Cell<usize> = const { Cell::new(0) };
}

/// Calls what a panic of another library may end, and answers for that: it is an error of what was asked for, not a fault of the
/// program. What the call has begun is left as it is.
///
/// # Errors
/// The payload of its panic.
pub fn answered<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    ANSWERED.set(ANSWERED.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(call));
    ANSWERED.set(ANSWERED.get() - 1);
    result
}

/// Whether a panic on this thread is [answered] for: for a panic hook, which otherwise reports it as a fault of the program.
#[must_use]
pub fn answers_for_panics() -> bool {
    ANSWERED.get() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_answered_for_while_it_is_called() {
        assert!(!answers_for_panics());
        assert!(answered(|| answers_for_panics() && answered(|| true).unwrap()).unwrap());
        assert!(answered(|| panic!("{}", answers_for_panics())).is_err());
        assert!(!answers_for_panics());
    }
}
