//! Random numbers of trials.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What numbers are drawn for; streams of different purposes share none.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// The order of the conditions within a block of trials; streams are blocks.
    Order = 1,
    /// Durations and events of a trial, in ms: the same for every dt.
    Trial = 2,
    /// Noise of a trial, one number a step.
    Noise = 3,
}

/// A stream of random numbers, a function of (seed, purpose, stream).
#[derive(Debug, Clone)]
pub struct Random {
    generator: ChaCha8Rng,
    /// The second of a pair of normal numbers.
    spare: Option<f64>,
}

impl Random {
    pub(super) fn new(seed: u64, purpose: Purpose, stream: u64) -> Self {
        // The key is spelled out so that no release of `rand` can change it.
        let mut key = *b"granule trials 1................";
        for (bytes, word) in key.chunks_exact_mut(8).skip(2).zip([seed, purpose as u64]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream);
        Self {
            generator,
            spare: None,
        }
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high); `low` when they are equal.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n; the bias of at most n/2⁶⁴ cannot be seen.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.generator.next_u64()) * n as u128) >> 64) as usize
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Normal with mean 0 and standard deviation 1 (Marsaglia's polar method).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (self.uniform(-1.0, 1.0), self.uniform(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// A random order of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut items: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            items.swap(last, self.below(last + 1));
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(1, Purpose::Noise, 0);
        let n = 200_000;
        let moments = |draw: &mut dyn FnMut() -> f64| {
            let draws: Vec<f64> = (0..n).map(|_| draw()).collect();
            let moment = |power| draws.iter().map(|x: &f64| x.powi(power)).sum::<f64>() / n as f64;
            [moment(1), moment(2), moment(4)]
        };
        // Standard errors are about 0.002, 0.003 and 0.02.
        let [mean, square, fourth] = moments(&mut || random.normal());
        assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.015 && (fourth - 3.0).abs() < 0.12);
        let [mean, square, _] = moments(&mut || random.exponential(2.0));
        assert!((mean - 2.0).abs() < 0.03 && (square - 8.0).abs() < 0.3);
        let [mean, square, _] = moments(&mut || random.uniform(-1.0, 1.0));
        assert!(mean.abs() < 0.01 && (square - 1.0 / 3.0).abs() < 0.005);
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_number() {
        let first = |seed, purpose, stream| Random::new(seed, purpose, stream).unit();
        let draws = [
            first(1, Purpose::Trial, 0),
            first(2, Purpose::Trial, 0),
            first(1, Purpose::Noise, 0),
            first(1, Purpose::Trial, 1),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws.iter().skip(i + 1).all(|b| a != b), "{draws:?}");
        }
        assert_eq!(draws[0], first(1, Purpose::Trial, 0));
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut random = Random::new(3, Purpose::Order, 0);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(random.permutation(3)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(
            counts.values().all(|n| (880..1120).contains(n)),
            "{counts:?}"
        );
    }
}
