//! Tiles of one script that step together: each has some elements of every buffer, and before a product they tell each other
//! what they multiply.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

/// How often a thread looks before it lets others run.
const LOOKS: usize = 4000;

/// What the elements of a row that are not 0 are, and where.
pub(crate) type Letter<T> = Vec<(u32, T)>;

/// Where the tiles meet.
pub(crate) struct Exchange<T> {
    threads: AtomicUsize,
    arrived: AtomicUsize,
    meeting: AtomicUsize,
    /// Whether a thread has gone and will not arrive.
    gone: AtomicBool,
    /// What each tile sends for one product, and for the next: one is written while the last is still read.
    letters: [Vec<RwLock<Letter<T>>>; 2],
}

/// Tells the others of a thread that it has gone when it unwinds.
pub(crate) struct Present<'a, T>(&'a Exchange<T>);

impl<T> Drop for Present<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.gone.store(true, Ordering::Release);
        }
    }
}

impl<T: Copy> Exchange<T> {
    pub(crate) fn new(tiles: usize) -> Self {
        let letters = || (0..tiles).map(|_| RwLock::default()).collect();
        Self {
            threads: AtomicUsize::new(1),
            arrived: AtomicUsize::new(0),
            meeting: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            letters: [letters(), letters()],
        }
    }

    /// How many threads there are. Before the first of them begins.
    pub(crate) fn set_threads(&self, threads: usize) {
        self.threads.store(threads, Ordering::Release);
    }

    pub(crate) fn present(&self) -> Present<'_, T> {
        Present(self)
    }

    /// Has the letter of a tile for the product `number` written, which is empty.
    pub(crate) fn send(&self, number: usize, tile: usize, write: impl FnOnce(&mut Letter<T>)) {
        let letter = &self.letters[number % 2][tile];
        let mut letter = letter.write().unwrap_or_else(PoisonError::into_inner);
        letter.clear();
        write(&mut letter);
    }

    /// Returns once all threads have called it as often. One meeting lies between a letter and its reading, and another
    /// one between that and the next letter in its place.
    pub(crate) fn meet(&self) {
        let threads = self.threads.load(Ordering::Acquire);
        if threads < 2 {
            return;
        }
        let meeting = self.meeting.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.meeting
                .store(meeting.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut looks = 0;
        while self.meeting.load(Ordering::Acquire) == meeting && !self.gone.load(Ordering::Acquire)
        {
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Calls `body` with what was sent for the product `number`, tile after tile.
    pub(crate) fn read(&self, number: usize, mut body: impl FnMut(u32, T)) {
        for letter in &self.letters[number % 2] {
            let letter = letter.read().unwrap_or_else(PoisonError::into_inner);
            letter
                .iter()
                .for_each(|(place, value)| body(*place, *value));
        }
    }
}
