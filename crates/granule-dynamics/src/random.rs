//! Random numbers that are a function of where they are used.

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::Place;

/// Standard normal numbers, independent for every (seed, stream, step).
///
/// They are drawn on the host by ChaCha8, whose key is (seed, stream) and whose nonce is the step, and mapped by Box and
/// Muller (1958). A step that is repeated, as [`crate::gradient`] repeats it, draws the same numbers, and one seed gives
/// one noise on every device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormalNoise {
    /// What the user chooses.
    pub seed: u64,
    /// Which source of noise of the model this is: two sources with one seed take two streams.
    pub stream: u64,
}

impl NormalNoise {
    /// The noise of a seed and a stream.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream }
    }

    /// The first `count` numbers of a step.
    pub fn values(&self, step: usize, count: usize) -> Vec<f64> {
        let mut uniform = uniform(self.seed, self.stream, step);
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            let radius = (-2.0 * uniform().ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * uniform()).sin_cos();
            values.extend([radius * cos, radius * sin]);
        }
        values.truncate(count);
        values
    }

    /// The numbers of a step as a tensor `[rows, columns]`. A row does not depend on the number of rows after it, so a
    /// trajectory has the same noise in every batch.
    pub fn at(&self, step: usize, shape: [usize; 2], place: &Place) -> Tensor<2> {
        place.tensor(self.values(step, shape[0] * shape[1]), shape)
    }
}

/// Numbers in (0, 1], independent for every (seed, stream, step): never 0, for the logarithm.
pub(crate) fn uniform(seed: u64, stream: u64, step: usize) -> impl FnMut() -> f64 {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    let mut random = ChaCha8Rng::from_seed(key);
    random.set_stream(step as u64);
    move || ((random.next_u64() >> 11) + 1) as f64 * 2.0_f64.powi(-53)
}

/// Numbers of events of independent Poisson processes in one step, a function of (seed, stream, step) as [`NormalNoise`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoissonNoise {
    /// What the user chooses.
    pub seed: u64,
    /// Which source of noise of the model this is: two sources with one seed take two streams.
    pub stream: u64,
}

/// A Poisson number is drawn in parts of at most this mean, whose probability of 0 is not small.
const PART: f64 = 8.0;

impl PoissonNoise {
    /// The noise of a seed and a stream.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream }
    }

    /// The first `count` numbers of a step, of mean `mean`, by multiplying uniform ones (Knuth 1969).
    pub fn values(&self, step: usize, count: usize, mean: f64) -> Vec<f64> {
        let mut uniform = uniform(self.seed, self.stream, step);
        let parts = (mean / PART).ceil().max(1.0);
        let least = (-mean / parts).exp();
        let mut part = || {
            let mut events = 0;
            let mut product = uniform();
            while product > least {
                events += 1;
                product *= uniform();
            }
            f64::from(events)
        };
        let mut number = || (0..parts as usize).map(|_| part()).sum();
        (0..count).map(|_| number()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::host;
    use crate::testing::{assert_close, f32_places, f64_place};

    #[test]
    fn numbers_are_a_function_of_seed_stream_and_step() {
        let noise = NormalNoise::new(7, 3);
        let here = noise.values(5, 4);
        assert_eq!(here, noise.values(5, 4));
        assert_eq!(here, noise.values(5, 9)[..4]);
        for other in [
            noise.values(6, 4),
            NormalNoise::new(8, 3).values(5, 4),
            NormalNoise::new(7, 5).values(3, 4),
        ] {
            assert!(here.iter().all(|x| !other.contains(x)), "{other:?}");
        }
    }

    #[test]
    fn every_device_gets_the_same_numbers() {
        let noise = NormalNoise::new(1, 0);
        let exact = noise.values(2, 6);
        for (name, place) in f32_places() {
            let found = host(noise.at(2, [2, 3], &place)).unwrap();
            for (a, b) in found.iter().zip(&exact) {
                assert!((a - b).abs() < 1e-6, "{name}: {a} {b}");
            }
        }
        let rows = host(noise.at(2, [1, 3], &f64_place())).unwrap();
        assert_eq!(rows, exact[..3]);
    }

    #[test]
    fn counts_have_the_mean_and_variance_of_poisson() {
        for mean in [0.03, 0.7, 30.0] {
            let noise = PoissonNoise::new(2, 5);
            assert_eq!(noise.values(3, 5, mean)[..3], noise.values(3, 3, mean)[..]);
            let values: Vec<f64> = (0..200).flat_map(|s| noise.values(s, 1000, mean)).collect();
            let found = values.iter().sum::<f64>() / 2e5;
            let spread = values.iter().map(|x| (x - found).powi(2)).sum::<f64>() / 2e5;
            let error = 4.0 * (mean / 2e5).sqrt();
            assert_close(found, mean, error / mean);
            // The variance of the variance is (mean + 2 mean²)/n.
            let error = 4.0 * ((mean + 2.0 * mean * mean) / 2e5).sqrt();
            assert!((spread - mean).abs() < error, "{mean}: {spread}");
        }
    }

    /// Moments of 4·10⁵ numbers, each within four standard errors, and no correlation from one step to the next.
    #[test]
    fn numbers_are_standard_normal() {
        let noise = NormalNoise::new(11, 0);
        let values: Vec<f64> = (0..400).flat_map(|step| noise.values(step, 1000)).collect();
        let mean = |f: &dyn Fn(f64) -> f64| values.iter().map(|x| f(*x)).sum::<f64>() / 4e5;
        let error = 4.0 / 4e5_f64.sqrt();
        assert_close(mean(&|x| x), 0.0, error);
        assert_close(mean(&|x| x * x), 1.0, error * 2.0_f64.sqrt());
        assert_close(mean(&|x| x.powi(3)), 0.0, error * 15.0_f64.sqrt());
        assert_close(
            mean(&|x| x.powi(4)) / 3.0,
            1.0,
            error * 96.0_f64.sqrt() / 3.0,
        );
        let beyond = mean(&|x| f64::from(x.abs() > 1.959964));
        assert_close(beyond, 0.05, error * (0.05_f64 * 0.95).sqrt());
        let lagged: f64 = values.iter().zip(&values[1000..]).map(|(a, b)| a * b).sum();
        assert_close(lagged / 4e5, 0.0, error);
    }
}
