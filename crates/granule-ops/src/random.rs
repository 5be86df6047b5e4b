//! Random numbers that are a function of where they are used: drawn by ChaCha8, whose key is (seed, stream) and whose nonce is the
//! step.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::vectorised::{Kernel, vectorised};

/// Numbers in (0, 1], independent for every (seed, stream, step): never 0, for the logarithm.
pub fn uniform(seed: u64, stream: u64, step: usize) -> impl FnMut() -> f64 {
    let mut bytes = Bytes {
        random: generator(seed, stream, step),
        kept: [0; KEPT],
        at: KEPT,
    };
    move || ((bytes.next() >> 11) + 1) as f64 * 2.0_f64.powi(-53)
}

fn generator(seed: u64, stream: u64, step: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    let mut random = ChaCha8Rng::from_seed(key);
    random.set_stream(step as u64);
    random
}

/// The generator makes four blocks of 64 bytes at a time.
const KEPT: usize = 256;

/// What a generator makes, in an array that is quickly read.
struct Bytes {
    random: ChaCha8Rng,
    kept: [u8; KEPT],
    /// The next one.
    at: usize,
}

impl Bytes {
    #[inline(always)]
    fn next(&mut self) -> u64 {
        if self.at == KEPT {
            self.random.fill_bytes(&mut self.kept);
            self.at = 0;
        }
        let mut own = [0; 8];
        own.copy_from_slice(&self.kept[self.at..self.at + 8]);
        self.at += 8;
        u64::from_le_bytes(own)
    }
}

/// Fills `numbers` with independent standard normal ones, by Box and Muller (1958).
pub fn normal_numbers([seed, stream]: [u64; 2], step: usize, numbers: &mut [f64]) {
    let mut uniform = uniform(seed, stream, step);
    for pair in numbers.chunks_mut(2) {
        let radius = (-2.0 * uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * uniform()).sin_cos();
        for (number, direction) in pair.iter_mut().zip([cos, sin]) {
            *number = radius * direction;
        }
    }
}

/// Fills `numbers` with independent Poisson ones of mean `mean`, at least 0; a mean that is not finite stands for itself. The cost
/// of a number does not grow with the mean. Numbers above 2^53 have the digits of an `f64`.
pub fn poisson_numbers([seed, stream]: [u64; 2], step: usize, mean: f64, numbers: &mut [f64]) {
    if !mean.is_finite() {
        return numbers.fill(mean);
    }
    if mean >= REJECTION {
        let mut uniform = uniform(seed, stream, step);
        let rejection = Rejection::new(mean);
        return numbers.fill_with(|| rejection.draw(&mut uniform));
    }
    let mut random = generator(seed, stream, step);
    let inversion = Inversion::new(mean);
    for chunk in numbers.chunks_mut(TOGETHER) {
        inversion.draw(&mut random, chunk);
    }
}

/// Below this mean a number is drawn by inversion, above it by rejection.
const REJECTION: f64 = 10.0;
/// Numbers that are drawn by inversion together.
const TOGETHER: usize = KEPT / 4;

/// Poisson numbers of a small mean as the inverse of their distribution function (Devroye 1986, III.2): of a uniform number u the
/// k with F(k − 1) ≤ u < F(k). Of u the first 32 bits decide nearly always; 32 more are drawn where they do not.
struct Inversion {
    /// 2⁶⁴ F(k) for k = 0, 1, … up to where it is 2⁶⁴ to the last digit.
    ends: Vec<u64>,
}

impl Inversion {
    fn new(mean: f64) -> Self {
        const ALL: f64 = 18_446_744_073_709_551_616.0;
        let mut ends = Vec::new();
        let (mut probability, mut sum) = ((-mean).exp(), 0.0);
        loop {
            sum += probability;
            let end = (sum * ALL) as u64;
            if sum >= 1.0 || ends.last().is_some_and(|last| end <= *last) {
                return Self { ends };
            }
            ends.push(end);
            probability *= mean / ends.len() as f64;
        }
    }

    /// Fills at most [`TOGETHER`] numbers. All of them are drawn whatever their number is, so that the first ones do not depend on
    /// it.
    fn draw(&self, random: &mut ChaCha8Rng, numbers: &mut [f64]) {
        let mut bytes = [0; KEPT];
        random.fill_bytes(&mut bytes);
        let mut u = [0; TOGETHER];
        for (u, bytes) in u.iter_mut().zip(bytes.as_chunks().0) {
            *u = u32::from_le_bytes(*bytes);
        }
        let (mut counts, mut undecided) = ([0; TOGETHER], [0; TOGETHER]);
        vectorised(Count {
            ends: &self.ends,
            u: &u,
            counts: &mut counts,
            undecided: &mut undecided,
        });
        if undecided != [0; TOGETHER] {
            let all = counts.iter_mut().zip(&u).zip(&undecided);
            for ((count, u), _) in all.filter(|(_, undecided)| **undecided != 0) {
                let whole = u64::from(*u) << 32 | u64::from(random.next_u32());
                *count = self.ends.iter().filter(|end| **end <= whole).count() as u32;
            }
        }
        for (number, count) in numbers.iter_mut().zip(counts) {
            *number = f64::from(count);
        }
    }
}

/// How many ends lie below each of some numbers, by their first 32 bits, and of how many ends these bits are the same.
struct Count<'a> {
    ends: &'a [u64],
    u: &'a [u32; TOGETHER],
    counts: &'a mut [u32; TOGETHER],
    undecided: &'a mut [u32; TOGETHER],
}

/// Numbers whose counts are kept in the processor.
const LANES: usize = 16;

impl Kernel for Count<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (u, _) = self.u.as_chunks::<LANES>();
        let (counts, _) = self.counts.as_chunks_mut::<LANES>();
        let (undecided, _) = self.undecided.as_chunks_mut::<LANES>();
        for ((u, counts), undecided) in u.iter().zip(counts).zip(undecided) {
            let (mut above, mut same) = ([0; LANES], [0; LANES]);
            for end in self.ends {
                let end = (end >> 32) as u32;
                let mut reached = false;
                for lane in 0..LANES {
                    above[lane] += u32::from(u[lane] > end);
                    same[lane] |= u32::from(u[lane] == end);
                    reached |= u[lane] >= end;
                }
                // All others are larger.
                if !reached {
                    break;
                }
            }
            (*counts, *undecided) = (above, same);
        }
    }
}

/// Poisson numbers of a mean of at least 10 by transformed rejection with squeeze: PTRS of Hörmann (1993,
/// doi:10.1016/0167-6687(93)90997-4), which takes 1.1 to 1.3 pairs of uniform numbers for one of any mean.
struct Rejection {
    mean: f64,
    a: f64,
    b: f64,
    inverse_alpha: f64,
    squeeze: f64,
}

impl Rejection {
    fn new(mean: f64) -> Self {
        let b = 0.931 + 2.53 * mean.sqrt();
        Self {
            mean,
            a: -0.059 + 0.02483 * b,
            b,
            inverse_alpha: 1.1239 + 1.1328 / (b - 3.4),
            squeeze: 0.9277 - 3.6224 / (b - 2.0),
        }
    }

    fn draw(&self, uniform: &mut impl FnMut() -> f64) -> f64 {
        loop {
            let u = uniform() - 0.5;
            let v = uniform();
            let us = 0.5 - u.abs();
            let from_mean = (2.0 * self.a / us + self.b) * u + 0.43;
            let k = (from_mean + self.mean).floor();
            if us >= 0.07 && v <= self.squeeze {
                return k;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let height = v * self.inverse_alpha / (self.a / (us * us) + self.b);
            if height.ln() <= self.log_probability(k) {
                return k;
            }
        }
    }

    /// The logarithm of e^−μ μᵏ/k!, as Loader (2000) writes it: terms of the size of μ, of which hardly anything is left in
    /// the end, do not occur.
    fn log_probability(&self, k: f64) -> f64 {
        if k == 0.0 {
            return -self.mean;
        }
        let x = (k - self.mean) / self.mean;
        // μ((1 + x) ln(1 + x) − x)
        let deviance = if x.abs() < 1e-2 {
            let terms = (2..9).rev().fold(0.0, |sum, n| {
                let n = f64::from(n);
                1.0 / (n * (n - 1.0)) - x * sum
            });
            (k - self.mean) * x * terms
        } else {
            self.mean * ((1.0 + x) * x.ln_1p() - x)
        };
        -deviance - 0.5 * (std::f64::consts::TAU * k).ln() - stirling(k)
    }
}

/// ln k! − ln(√(2πk) (k/e)ᵏ), of a whole number above 0.
fn stirling(k: f64) -> f64 {
    if k < 10.0 {
        let factorial: f64 = (1..=k as u32).map(|n| f64::from(n).ln()).sum();
        return factorial - (0.5 * (std::f64::consts::TAU * k).ln() + k * (k.ln() - 1.0));
    }
    let square = 1.0 / (k * k);
    (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / k
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of the generator one by one, over several times what is kept.
    #[test]
    fn uniform_numbers_are_those_of_the_generator() {
        let mut key = [0; 32];
        (key[0], key[8]) = (7, 3);
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream(5);
        let mut found = uniform(7, 3, 5);
        for _ in 0..1000 {
            let expected = ((random.next_u64() >> 11) + 1) as f64 / 2.0_f64.powi(53);
            assert_eq!(found(), expected);
        }
    }

    /// Where the first bits of a number are those of an end, the others decide.
    #[test]
    fn ends_are_the_distribution_function() {
        let inversion = Inversion::new(0.5);
        let all = 2.0_f64.powi(64);
        let (mut probability, mut sum) = (f64::exp(-0.5), 0.0);
        for (k, end) in inversion.ends.iter().enumerate() {
            sum += probability;
            assert!((*end as f64 / all - sum).abs() < 1e-15, "{k}");
            probability *= 0.5 / (k as f64 + 1.0);
        }
        assert!(probability < 1e-15, "{probability}");
        assert!(Inversion::new(0.0).ends.is_empty());
        let last = (inversion.ends[0] >> 32) as u32;
        let mut u = [0; TOGETHER];
        u[..3].copy_from_slice(&[last - 1, last, last + 1]);
        let (mut counts, mut undecided) = ([0; TOGETHER], [0; TOGETHER]);
        vectorised(Count {
            ends: &inversion.ends,
            u: &u,
            counts: &mut counts,
            undecided: &mut undecided,
        });
        assert_eq!((counts[0], counts[2]), (0, 1));
        assert_eq!(undecided[..3], [0, 1, 0]);
    }

    #[test]
    fn probabilities_are_those_of_poisson() {
        for k in [1.0, 9.0, 10.0, 170.0] {
            let factorial: f64 = (1..=k as u32).map(|n| f64::from(n).ln()).sum();
            let expected = k * 11.5_f64.ln() - 11.5 - factorial;
            let found = Rejection::new(11.5).log_probability(k);
            assert!(
                (found - expected).abs() < 1e-10 * expected.abs().max(1.0),
                "{k}"
            );
        }
    }
}
