//! Random numbers that are a function of where they are used.

use burn::tensor::Tensor;
use granule_ops::random::{normal_numbers, poisson_numbers};
use serde::{Deserialize, Serialize};

use crate::Place;
use crate::whole::numbers_of_step;

/// Standard normal numbers, independent for every (seed, stream, step).
///
/// They are drawn on the host by ChaCha8, whose key is (seed, stream) and whose nonce is the step, and mapped by Box and
/// Muller (1958). A step that is repeated, as [`crate::gradient`] repeats it, draws the same numbers, and one seed gives
/// one noise on every device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
        let mut values = vec![0.0; count];
        self.fill(step, &mut values);
        values
    }

    /// The same in the place of `values`.
    pub(crate) fn fill(&self, step: usize, values: &mut [f64]) {
        normal_numbers([self.seed, self.stream], step, values);
    }

    /// The numbers of a step as a tensor `[rows, columns]`. A row does not depend on the number of rows after it, so a
    /// trajectory has the same noise in every batch.
    pub fn at(&self, step: usize, shape: [usize; 2], place: &Place) -> Tensor<2> {
        let own = *self;
        numbers_of_step(step, shape, place, move |step, values| {
            own.fill(step, values);
        })
    }
}

/// Numbers of events of independent Poisson processes in one step, a function of (seed, stream, step) as [`NormalNoise`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PoissonNoise {
    /// What the user chooses.
    pub seed: u64,
    /// Which source of noise of the model this is: two sources with one seed take two streams.
    pub stream: u64,
}

impl PoissonNoise {
    /// The noise of a seed and a stream.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream }
    }

    /// The first `count` numbers of a step, of mean `mean`, at least 0; a mean that is not finite stands for itself. The
    /// cost of a number does not grow with the mean. Numbers above 2^53 have the digits of an `f64`.
    pub fn values(&self, step: usize, count: usize, mean: f64) -> Vec<f64> {
        let mut values = vec![0.0; count];
        self.fill(step, mean, &mut values);
        values
    }

    /// The same in the place of `values`.
    pub(crate) fn fill(&self, step: usize, mean: f64, values: &mut [f64]) {
        poisson_numbers([self.seed, self.stream], step, mean, values);
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
        for mean in [0.03, 0.7, 9.99, 10.0, 30.0, 1e3, 1e6, 1e10, 1e15] {
            let noise = PoissonNoise::new(2, 5);
            assert_eq!(noise.values(3, 5, mean)[..3], noise.values(3, 3, mean)[..]);
            let values: Vec<f64> = (0..200).flat_map(|s| noise.values(s, 1000, mean)).collect();
            assert!(values.iter().all(|x| *x >= 0.0 && x.fract() == 0.0));
            // From the mean, for sums of numbers such as 10¹⁵ lose the digits that count.
            let found = values.iter().map(|x| x - mean).sum::<f64>() / 2e5;
            let square = |x: &f64| (x - mean - found).powi(2);
            let spread = values.iter().map(square).sum::<f64>() / 2e5;
            let error = 4.0 * (mean / 2e5).sqrt();
            assert!(found.abs() < error, "{mean}: {found}");
            // The variance of the variance is (mean + 2 mean²)/n.
            let error = 4.0 * ((mean + 2.0 * mean * mean) / 2e5).sqrt();
            assert!((spread - mean).abs() < error, "{mean}: {spread}");
        }
    }

    /// Every probability, of the numbers drawn by inversion and by rejection alike.
    #[test]
    fn counts_have_the_probabilities_of_poisson() {
        for mean in [9.99, 10.0, 40.0] {
            let noise = PoissonNoise::new(4, 1);
            let n = 4e5;
            let mut counts = [0.0; 100];
            for value in (0..400).flat_map(|step| noise.values(step, 1000, mean)) {
                counts[value as usize] += 1.0;
            }
            let mut probability = f64::exp(-mean);
            let (mut square, mut bins) = (0.0, 0.0);
            for (k, count) in counts.iter().enumerate() {
                if probability * n > 20.0 {
                    square += (count - probability * n).powi(2) / (probability * n);
                    bins += 1.0;
                }
                probability *= mean / (k as f64 + 1.0);
            }
            // χ² of that many bins, within four standard deviations.
            assert!(
                (square - bins).abs() < 4.0 * (2.0 * bins).sqrt(),
                "{mean}: {square} of {bins}"
            );
        }
    }

    #[test]
    fn huge_counts_cost_no_more_than_small_ones() {
        let noise = PoissonNoise::new(1, 1);
        for mean in [1e18, 1e100, 1e300] {
            let values = noise.values(0, 10_000, mean);
            assert!(
                values.iter().all(|x| (x / mean - 1.0).abs() < 1e-8),
                "{mean}"
            );
        }
        assert_eq!(noise.values(0, 2, f64::INFINITY), [f64::INFINITY; 2]);
        assert_eq!(noise.values(0, 2, 0.0), [0.0; 2]);
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
