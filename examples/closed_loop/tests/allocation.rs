//! The loop asks for no memory. The allocator counts for the whole process: a file of its own.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use closed_loop::{ControlLoop, Timing};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller says.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_loop_asks_for_no_memory_and_keeps_its_time() {
    let mut control = ControlLoop::drawn(256).unwrap();
    let period = Duration::from_micros(500);
    control.step(period).unwrap();
    let before = control.state().to_vec();
    let mut timings = vec![Timing::default(); 400];
    let count = COUNT.get();
    let began = std::time::Instant::now();
    control.run(period, &mut timings).unwrap();
    assert_eq!(COUNT.get() - count, 0);
    assert!(began.elapsed() >= 400 * period, "{:?}", began.elapsed());
    assert!(timings.iter().all(|timing| timing.step > Duration::ZERO));
    assert_ne!(control.state(), before);
}

#[test]
fn one_beginning_has_one_course() {
    let course = || {
        let mut control = ControlLoop::drawn(32).unwrap();
        for _ in 0..50 {
            control.step(Duration::from_millis(1)).unwrap();
        }
        control.state().to_vec()
    };
    assert_eq!(course(), course());
}
