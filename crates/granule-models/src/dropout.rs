//! Reproducible dropout and network noise.

use burn::tensor::{Tensor, TensorData};
use granule_dynamics::NormalNoise;
use granule_ops::Factors;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The source of one training step's dropout masks and noise, what the model adds to the loss of the step, and what the products
/// of its layers are computed from.
///
/// What is drawn is drawn on the host from (seed, step, call), so a step is the same on every device, and a run resumed at a
/// step draws what the uninterrupted run drew.
#[derive(Clone, Debug)]
pub struct NoiseStream {
    seed: u64,
    step: u64,
    call: u64,
    enabled: bool,
    penalty: Option<Tensor<1>>,
    factors: Factors,
}

impl NoiseStream {
    /// The masks of step `step` of a run seeded with `seed`.
    pub fn new(seed: u64, step: u64) -> Self {
        Self {
            seed,
            step,
            call: 0,
            enabled: true,
            penalty: None,
            factors: Factors::Full,
        }
    }

    /// The same, with products from such factors, of a model that [has them](crate::Model::has_bf16);
    /// [`forward_train`](crate::Model::forward_train) refuses another.
    #[must_use]
    pub fn with_factors(self, factors: Factors) -> Self {
        Self { factors, ..self }
    }

    /// What the products of dense layers and convolutions are computed from.
    pub fn factors(&self) -> Factors {
        self.factors
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

    /// Standard normal numbers of the shape of `x`, of its type and on its device; zeros of a stream that draws
    /// [nothing](Self::none).
    pub fn normal<const D: usize>(&mut self, x: &Tensor<D>) -> Tensor<D> {
        if !self.enabled {
            return x.zeros_like().without_autodiff();
        }
        let shape = x.shape();
        // Streams of steps, apart from those of networks with noise of their own.
        let noise = NormalNoise::new(self.seed, self.step | 1 << 62);
        let values = noise.values(self.call as usize, shape.num_elements());
        self.call += 1;
        Tensor::from_data(TensorData::new(values, shape), (&x.device(), x.dtype()))
    }

    /// Adds a number, `[1]`, to the loss of the step: see [`Mode::penalize`](crate::Mode::penalize).
    pub fn penalize(&mut self, penalty: Tensor<1>) {
        self.penalty = Some(match self.penalty.take() {
            Some(before) => before.add(penalty),
            None => penalty,
        });
    }

    /// What has been added to the loss since the last call, `[1]`; none where nothing was.
    pub fn take_penalty(&mut self) -> Option<Tensor<1>> {
        self.penalty.take()
    }

    /// A loss, `[1]`, with what has been [added](Self::penalize) to it since it was last asked for.
    pub fn penalized(&mut self, loss: Tensor<1>) -> Tensor<1> {
        match self.take_penalty() {
            Some(penalty) => loss.add(penalty),
            None => loss,
        }
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
    use granule_device::DeviceSpec;

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
    fn normal_numbers_depend_on_seed_step_and_call() {
        let device = DeviceSpec::Flex.open().unwrap().burn().clone();
        let x = Tensor::<2>::ones([200, 100], &device);
        let drawn = |stream: &mut NoiseStream| stream.normal(&x).try_into_vec_as::<f32>().unwrap();
        let mut stream = NoiseStream::new(1, 2);
        let found = [drawn(&mut stream), drawn(&mut stream)];
        assert_ne!(found[0], found[1]);
        let mut again = NoiseStream::new(1, 2);
        assert_eq!(found, [drawn(&mut again), drawn(&mut again)]);
        assert_ne!(found[0], drawn(&mut NoiseStream::new(2, 2)));
        assert_ne!(found[0], drawn(&mut NoiseStream::new(1, 3)));
        // A mask before it is a call before it.
        let mut after = NoiseStream::new(1, 2);
        after.apply(x.clone(), 0.5);
        assert_eq!(drawn(&mut after), found[1]);
        let mean = |power: i32| found[0].iter().map(|x| x.powi(power)).sum::<f32>() / 2e4;
        assert!(mean(1).abs() < 0.03, "{}", mean(1));
        assert!((mean(2) - 1.0).abs() < 0.03, "{}", mean(2));
        assert_eq!(drawn(&mut NoiseStream::none()), vec![0.0; 20_000]);
    }

    #[test]
    fn penalties_add_up_and_are_taken_once() {
        let device = DeviceSpec::Flex.open().unwrap().burn().clone();
        let mut stream = NoiseStream::new(1, 2);
        assert!(stream.take_penalty().is_none());
        for penalty in [2.0, 0.5] {
            stream.penalize(Tensor::from_floats([penalty], &device));
        }
        let sum = stream
            .take_penalty()
            .unwrap()
            .try_into_vec_as::<f32>()
            .unwrap();
        assert_eq!(sum, [2.5]);
        assert!(stream.take_penalty().is_none());
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
