//! Asking a run to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::DynamicsError;

/// A request, from a signal or another thread, to end a run early; its copies are one and the same request. It is looked
/// at inside long steps, too: between the steps of a level, and those of a solver that follows the error.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What a handler of signals sets.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Ends what is under way where that was asked for.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Stopped`].
    pub fn check(&self) -> Result<(), DynamicsError> {
        if self.is_asked() {
            Err(DynamicsError::Stopped)
        } else {
            Ok(())
        }
    }
}
