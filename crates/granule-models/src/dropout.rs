//! Reproducible dropout and network noise.

use burn::tensor::{Tensor, TensorData};
use granule_dynamics::NormalNoise;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The source of one training step's dropout masks and network noise.
///
/// Masks are drawn on the host from (seed, step, call), so a step is the same on every device, and a run resumed at a
/// step draws what the uninterrupted run drew.
#[derive(Clone, Debug)]
pub struct NoiseStream {
    seed: u64,
    step: u64,
    call: u64,
    enabled: bool,
}

impl NoiseStream {
    /// The masks of step `step` of a run seeded with `seed`.
    pub fn new(seed: u64, step: u64) -> Self {
        Self {
            seed,
            step,
            call: 0,
            enabled: true,
        }
    }

    /// No masks at all: [`apply`](Self::apply) returns its input. No noise either.
    pub fn none() -> Self {
        Self {
            enabled: false,
            ..Self::new(0, 0)
        }
    }

    /// Zeroes each element of `x` with probability `probability` and scales the others by 1/(1 − `probability`).
    ///
    /// A probability of zero returns `x` itself and draws nothing; of one or more, zeros.
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        if !self.enabled || probability <= 0.0 {
            return x;
        }
        if probability >= 1.0 {
            return x.mul_scalar(0.0);
        }
        let shape = x.shape();
        let mask = self.mask(shape.num_elements(), probability);
        let options = (&x.device(), x.dtype());
        let mask = Tensor::<D>::from_data(TensorData::new(mask, shape), options);
        x.mul(mask)
    }

    /// The noise of a network with noise of its own; `None` without any.
    pub(crate) fn noise(&self) -> Option<NormalNoise> {
        // The seed's first streams are those that initial weights are drawn from.
        let stream = self.step | 1 << 63;
        self.enabled.then(|| NormalNoise::new(self.seed, stream))
    }

    /// The next mask of `len` factors, each 0 or 1/(1 − `probability`).
    fn mask(&mut self, len: usize, probability: f64) -> Vec<f32> {
        let mut key = *b"                        dropout ";
        let words = [self.seed, self.step, self.call];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut random = ChaCha8Rng::from_seed(key);
        self.call += 1;
        let scale = (1.0 / (1.0 - probability)) as f32;
        let threshold = (probability * (u64::from(u32::MAX) + 1) as f64) as u32;
        (0..len)
            .map(|_| {
                if random.next_u32() < threshold {
                    0.0
                } else {
                    scale
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_depend_on_seed_step_and_call() {
        let mut stream = NoiseStream::new(1, 2);
        let masks = [stream.mask(64, 0.5), stream.mask(64, 0.5)];
        assert_ne!(masks[0], masks[1]);
        let mut again = NoiseStream::new(1, 2);
        assert_eq!(masks, [again.mask(64, 0.5), again.mask(64, 0.5)]);
        assert_ne!(masks[0], NoiseStream::new(2, 2).mask(64, 0.5));
        assert_ne!(masks[0], NoiseStream::new(1, 3).mask(64, 0.5));
    }

    #[test]
    fn masks_keep_the_mean_and_drop_the_asked_for_part() {
        for probability in [0.1, 0.5, 0.9] {
            let mask = NoiseStream::new(3, 0).mask(100_000, probability);
            let dropped = mask.iter().filter(|factor| **factor == 0.0).count() as f64 / 1e5;
            let mean = mask.iter().map(|factor| f64::from(*factor)).sum::<f64>() / 1e5;
            assert!(
                (dropped - probability).abs() < 0.006,
                "{probability}: {dropped}"
            );
            assert!((mean - 1.0).abs() < 0.04, "{probability}: {mean}");
        }
    }
}
