//! What the device can do at most: how quickly it multiplies matrices, and how quickly it reads and writes memory.

use std::time::Instant;

use granule::burn::tensor::{Distribution, Tensor};
use granule::dynamics::host;

use super::Bench;

/// Rows and columns of the matrices.
const SIDE: usize = 1024;
/// Numbers that are read and written.
const NUMBERS: usize = 1 << 24;
/// The best of so many.
const ROUNDS: usize = 5;

/// `None` for what could not be measured.
pub(super) struct Ceilings {
    /// Floating-point operations each second, of a product of square matrices in f32.
    pub(super) operations: Option<f64>,
    /// Bytes each second, read and written together.
    pub(super) bytes: Option<f64>,
}

impl Ceilings {
    pub(super) fn measure(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let device = bench.device.burn();
        let random = || Tensor::<2>::random([SIDE, SIDE], Distribution::Default, device);
        let (left, right) = (random(), random());
        let product = best(|| {
            let product = left.clone().matmul(right.clone());
            read(product)
        })?;
        drop((left, right));
        let long = Tensor::<2>::zeros([1, NUMBERS], device);
        let copied = best(|| read(long.clone() + 1.0))?;
        Ok(Self {
            operations: Some(2.0 * (SIDE * SIDE * SIDE) as f64 / product),
            bytes: Some(2.0 * (NUMBERS * size_of::<f32>()) as f64 / copied),
        })
    }

    pub(super) fn text(&self) -> String {
        let giga = |each: Option<f64>| each.map_or("?".into(), |each| format!("{:.0}", each / 1e9));
        format!(
            "at most {} GFLOP/s by a matrix product of {SIDE}², {} GB/s read and written",
            giga(self.operations),
            giga(self.bytes)
        )
    }
}

/// Waits for the result by reading one number of it.
fn read(result: Tensor<2>) -> anyhow::Result<()> {
    host(result.narrow(0, 0, 1).narrow(1, 0, 1))?;
    Ok(())
}

/// The seconds of the quickest round, after one that is not counted.
fn best(mut round: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut least = f64::INFINITY;
    round()?;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        round()?;
        least = least.min(began.elapsed().as_secs_f64());
    }
    Ok(least)
}
