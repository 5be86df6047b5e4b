//! What a run holds at most, counted in the bytes that are asked of the allocator. One test, as the count is of the process.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use granule_train::{Quiet, RunConfig, StopFlag, resume, train};

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn add(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
}

fn subtract(bytes: usize) {
    HELD.fetch_sub(bytes, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        subtract(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        subtract(layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes that `work` held at most beyond those held before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let value = work();
    (value, PEAK.load(Relaxed) - before)
}

#[test]
fn a_run_holds_few_copies_of_its_weights() {
    let text = "device = \"flex\"\n\
                [model]\nkind = \"mlp\"\nwidths = [1536, 1536]\n\
                [data]\ndataset = \"synthetic-digits\"\nlimit_train = 64\nlimit_test = 16\nvalidation = 0.25\n\
                [train]\nepochs = 1\nbatch_size = 16\n";
    let config = RunConfig::from_toml_str(text).unwrap();
    let weights = 4 * (785 * 1536 + 1537 * 1536 + 1537 * 10);
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let (outcome, bytes) =
        peak(|| train(&config, Some(&run), &mut Quiet, &StopFlag::new()).unwrap());
    assert!(!outcome.interrupted);
    // The data set and the report are a few megabytes beside them.
    let copies = (bytes as f64 - 12e6) / weights as f64;
    println!("a run: {bytes} bytes, {copies:.2} times its {weights} bytes of weights");
    // Weights, gradient and two moments; while a step updates the largest tensor, its copy.
    assert!(copies < 5.0, "{copies}");

    std::fs::remove_file(run.join("result.json")).unwrap();
    let (_, bytes) = peak(|| resume(&run, &mut Quiet, &StopFlag::new()).unwrap());
    let copies = (bytes as f64 - 12e6) / weights as f64;
    println!("a resumed run: {bytes} bytes, {copies:.2} times its weights");
    assert!(copies < 7.0, "{copies}");
}
