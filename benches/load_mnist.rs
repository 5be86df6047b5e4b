//! Time and memory of loading MNIST from its gzip files, and the time of cutting one batch.
//!
//! `cargo bench -p granule-data --bench load_mnist`, with the files in `GRANULE_DATA_DIR/mnist`; the peer is
//! `python benches/peers/load_mnist.py DIR`.

use std::hint::black_box;
use std::time::Instant;

use granule_data::{DataError, DatasetSpec, LoadOptions, load};

const RUNS: usize = 21;

fn main() -> Result<(), DataError> {
    let options = LoadOptions {
        offline: true,
        ..LoadOptions::default()
    };
    let before = status_kib("VmRSS");
    let dataset = load(&DatasetSpec::Mnist, &options)?;
    let peak = status_kib("VmHWM");
    let raw = (dataset.train.features().len() + dataset.test.features().len()) as f64;
    if let (Some(before), Some(peak)) = (before, peak) {
        let bytes = (peak - before) * 1024.0;
        println!(
            "memory: {:.1} MB for {:.1} MB of pixels, {:.2} times",
            bytes / 1e6,
            raw / 1e6,
            bytes / raw
        );
    }

    let seconds = median(RUNS, || load(&DatasetSpec::Mnist, &options).map(drop))?;
    println!(
        "load mnist: {:.1} ms (median of {RUNS}), {:.0} MB/s of pixels",
        seconds * 1e3,
        raw / 1e6 / seconds
    );

    let indices: Vec<usize> = (0..64).map(|i| i * 937).collect();
    let mut batch = Vec::new();
    let seconds = median(1001, || {
        dataset.train.gather(
            black_box(&indices),
            &dataset.normalization,
            None,
            &mut batch,
        )
    })?;
    println!(
        "gather 64 images: {:.1} us (median of 1001), {} numbers",
        seconds * 1e6,
        batch.len()
    );
    Ok(())
}

fn median(runs: usize, mut run: impl FnMut() -> Result<(), DataError>) -> Result<f64, DataError> {
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds.get(runs / 2).copied().unwrap_or(f64::NAN))
}

/// A field of this process's memory statistics, where the system has them.
fn status_kib(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
