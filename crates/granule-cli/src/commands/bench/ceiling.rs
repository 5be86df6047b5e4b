//! What the device can do at most: how quickly it multiplies matrices, and how quickly it reads and writes memory.

use std::time::Instant;

use granule::burn::tensor::{Distribution, Tensor};
use granule::dynamics::host;
use granule::io::budget;

use super::Bench;

/// Rows and columns of the matrices.
const SIDE: usize = 1024;
/// Numbers that are read and written.
const NUMBERS: usize = 1 << 24;
/// The best of so many.
const ROUNDS: usize = 5;
/// How long a round should be, s, so that what launching and reading take is little of it.
const LONG: f64 = 0.05;
/// The most repetitions in a round.
const MOST: usize = 1000;

pub(super) struct Ceilings {
    /// Floating-point operations each second, of a product of square matrices in f32.
    pub(super) operations: f64,
    /// Bytes each second, read and written together.
    pub(super) bytes: f64,
}

impl Ceilings {
    pub(super) fn measure(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let device = bench.device.burn();
        let random = || Tensor::<2>::random([SIDE, SIDE], Distribution::Default, device);
        let (left, right) = (random(), random());
        let product = best(|| left.clone().matmul(right.clone()))?;
        drop((left, right));
        // What is read and what is written, in f32.
        budget::ask_for::<f32>("the measurement of the memory", 2 * NUMBERS)?;
        let long = Tensor::<2>::zeros([1, NUMBERS], device);
        let copied = best(|| long.clone() + 1.0)?;
        Ok(Self {
            operations: 2.0 * (SIDE * SIDE * SIDE) as f64 / product,
            bytes: 2.0 * (NUMBERS * size_of::<f32>()) as f64 / copied,
        })
    }

    pub(super) fn text(&self) -> String {
        format!(
            "at most {:.0} GFLOP/s by a matrix product of {SIDE}², {:.0} GB/s read and written",
            self.operations / 1e9,
            self.bytes / 1e9
        )
    }
}

/// Waits for the result by reading one number of it.
fn read(result: Tensor<2>) -> anyhow::Result<()> {
    host(result.narrow(0, 0, 1).narrow(1, 0, 1))?;
    Ok(())
}

/// The seconds of one of the quickest rounds, after one that is not counted.
fn best(one: impl Fn() -> Tensor<2>) -> anyhow::Result<f64> {
    let round = |count: usize| -> anyhow::Result<f64> {
        let began = Instant::now();
        let last = (1..count).fold(one(), |_, _| one());
        read(last)?;
        Ok(began.elapsed().as_secs_f64())
    };
    round(1)?;
    let count = (LONG / round(1)?).ceil().clamp(1.0, MOST as f64) as usize;
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        least = least.min(round(count)? / count as f64);
    }
    Ok(least)
}
