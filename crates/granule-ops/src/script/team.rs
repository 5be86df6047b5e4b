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
    /// Meetings before which all have as much to do.
    short: AtomicUsize,
    /// Those of them for which a thread waited so long that it let others run, and the last of these.
    late: AtomicUsize,
    last_late: AtomicUsize,
    /// Whether a thread has gone and will not arrive.
    gone: AtomicBool,
    /// What each tile sends for one product, and for the next: one is written while the last is still read.
    letters: [Vec<RwLock<Letter<T>>>; 2],
}

/// What comes before a meeting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A part of a step, in which all have as much to do: who waits long waits for a processor.
    Short,
    /// Work that is not the same for all.
    Long,
}

/// Calls that one thread takes by itself after one in which threads had to wait for processors that others keep busy: each
/// meeting then costs a turn of theirs, which is longer than hundreds of steps.
#[derive(Debug, Default)]
pub(crate) struct Alone {
    left: usize,
    last: usize,
}

impl Alone {
    const LEAST: usize = 8;
    const MOST: usize = 64;
    /// Of fewer meetings nothing is learnt, for threads begin late.
    const MEETINGS: usize = 16;

    /// Whether it is one thread's turn.
    pub(crate) fn is_next(&mut self) -> bool {
        let is = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is
    }

    /// Learns from a call of several threads.
    pub(crate) fn learn<T>(&mut self, exchange: &Exchange<T>) {
        let meetings = exchange.short.load(Ordering::Relaxed);
        let late = exchange.late.load(Ordering::Relaxed);
        if meetings < Self::MEETINGS {
            return;
        }
        if 4 * late > meetings {
            self.last = (2 * self.last).clamp(Self::LEAST, Self::MOST);
            self.left = self.last;
        } else {
            self.last = 0;
        }
    }
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
            short: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
            last_late: AtomicUsize::new(usize::MAX),
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
    pub(crate) fn meet(&self, wait: Wait) {
        let threads = self.threads.load(Ordering::Acquire);
        if threads < 2 {
            return;
        }
        let meeting = self.meeting.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.short
                .fetch_add(usize::from(wait == Wait::Short), Ordering::Relaxed);
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
                let first = looks == LOOKS && wait == Wait::Short;
                if first && self.last_late.swap(meeting, Ordering::Relaxed) != meeting {
                    self.late.fetch_add(1, Ordering::Relaxed);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_meetings_leave_one_thread_alone_for_longer_and_longer() {
        let mut alone = Alone::default();
        let mut learn = |meetings: usize, late: usize| {
            let exchange = Exchange::<f64>::new(2);
            exchange.short.store(meetings, Ordering::Relaxed);
            exchange.late.store(late, Ordering::Relaxed);
            alone.learn(&exchange);
            (0..10_000).take_while(|_| alone.is_next()).count()
        };
        assert_eq!(learn(100, 25), 0);
        assert_eq!(learn(8, 8), 0);
        assert_eq!(learn(100, 26), 8);
        assert_eq!(learn(100, 90), 16);
        assert_eq!(learn(100, 0), 0);
        assert_eq!(learn(100, 90), 8);
        let longest = (0..20).map(|_| learn(100, 90)).max();
        assert_eq!(longest, Some(64));
    }
}
