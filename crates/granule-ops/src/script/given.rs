//! What is given for the steps of a call, and drawing it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use rayon::prelude::*;

/// One source of what is given for steps.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// The numbers of all steps of the call in a row.
    Numbers(&'a [f64]),
    /// A function of a step, counted from the beginning of the run, that sets the numbers of it. Several threads call it, in any
    /// order.
    Drawn(&'a (dyn Fn(usize, &mut [f64]) + Sync)),
}

/// Numbers that are worth a second thread.
const PARALLEL: usize = 1 << 12;

impl Given<'_> {
    pub(super) fn is_drawn(&self) -> bool {
        matches!(self, Self::Drawn(_))
    }

    /// Draws the numbers of `count` steps from `first` on, `width` of each, in a row.
    pub(super) fn draw(&self, [first, count]: [usize; 2], width: usize, into: &mut Vec<f64>) {
        let Self::Drawn(fill) = self else {
            return;
        };
        into.resize(count * width, 0.0);
        let one = |(step, own): (usize, &mut [f64])| fill(first + step, own);
        let width = width.max(1);
        if into.len() < PARALLEL {
            into.chunks_exact_mut(width).enumerate().for_each(one);
        } else {
            into.par_chunks_exact_mut(width).enumerate().for_each(one);
        }
    }
}

/// Numbers that threads draw together before they take the steps that they are for: 512 KiB, so that they are near until then. Those of tests
/// are few.
const NEAR: usize = if cfg!(test) { 1 << 12 } else { 1 << 16 };

/// What is drawn for some steps of a call: of each step, the numbers of each source, of which those that are not drawn have none.
pub(crate) struct Drawn {
    steps: Vec<RwLock<Vec<Vec<f64>>>>,
    /// The next step of the call that is to be drawn for.
    next: AtomicUsize,
}

impl Drawn {
    /// Room for what is drawn of these sources in a call of `steps` steps, for several steps for each of `tiles`; `None` where
    /// nothing is.
    pub(super) fn new(
        given: &[Given<'_>],
        lengths: &[usize],
        [steps, tiles]: [usize; 2],
    ) -> Option<Self> {
        let drawn = |(given, len): (&Given<'_>, &usize)| if given.is_drawn() { *len } else { 0 };
        let lengths: Vec<usize> = given.iter().zip(lengths).map(drawn).collect();
        let width: usize = lengths.iter().sum();
        let together = NEAR.checked_div(width)?.max(2 * tiles).min(steps);
        let step = || RwLock::new(lengths.iter().map(|len| vec![0.0; *len]).collect());
        Some(Self {
            steps: (0..together).map(|_| step()).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// How many steps are drawn for together; 0 in a call without steps.
    pub(crate) fn together(&self) -> usize {
        self.steps.len()
    }

    /// Draws what is for steps of the call before the step `end`, as long as there is one that nobody else has taken. The call
    /// begins `before` steps after the run.
    pub(crate) fn draw(&self, given: &[Given<'_>], before: usize, end: usize) {
        let take = |next: usize| (next < end).then_some(next + 1);
        while let Ok(step) = self
            .next
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
        {
            let place = &self.steps[step % self.together()];
            let mut place = place.write().unwrap_or_else(PoisonError::into_inner);
            for (given, own) in given.iter().zip(place.iter_mut()) {
                if let Given::Drawn(fill) = given {
                    fill(before + step, own);
                }
            }
        }
    }

    /// What was drawn for a step of the call.
    pub(crate) fn read(&self, step: usize) -> RwLockReadGuard<'_, Vec<Vec<f64>>> {
        let place = &self.steps[step % self.together()];
        place.read().unwrap_or_else(PoisonError::into_inner)
    }
}
