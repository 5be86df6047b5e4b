use std::collections::BTreeMap;

use granule_data::decoding::Repeat;
use serde::{Deserialize, Serialize};

use super::finite;

/// How much of the variance of targets repeats of a condition have in common, and how much of that is predicted.
///
/// The signal power is that of Sahani and Linden (2003, "How linear are auditory cortical responses?", NIPS 15): of N
/// repeats r of what all conditions say one after the other, with P the variance over time,
/// (N P(mean of r) − mean of P(r)) / (N − 1). The rest of the mean of P(r) is the noise power. A prediction p explains the
/// mean of P(r) − P(r − p): of one that knows the condition alone it is at most the signal power. One that sees what differs
/// between repeats, such as other neurons of the same trial, may explain more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explainable {
    /// Conditions with at least two repeats in the test part.
    pub conditions: usize,
    /// N: how many repeats the one with the fewest has; of the others the first so many count.
    pub repeats: usize,
    /// Bins of all conditions that are there in all repeats.
    pub bins: usize,
    /// One entry per output.
    pub outputs: Vec<ExplainableOutput>,
}

/// The powers of one output, in its unit squared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExplainableOutput {
    /// The mean power of a repeat.
    #[serde(with = "finite")]
    pub total: f64,
    /// The power of what repeats have in common, an estimate that may be below 0.
    #[serde(with = "finite")]
    pub signal: f64,
    /// The power that is predicted.
    #[serde(with = "finite")]
    pub explained: f64,
}

impl ExplainableOutput {
    /// The share of the power that is signal.
    pub fn explainable(&self) -> f64 {
        self.signal / self.total
    }

    /// The share of the signal power that is predicted.
    pub fn share(&self) -> f64 {
        self.explained / self.signal
    }
}

impl Explainable {
    /// Of true and predicted values, row-major `[samples, width]`, with the place of each sample among repeats. None where no
    /// condition has two repeats, or where they have fewer than two bins in common.
    pub fn new(repeats: &[Repeat], truth: &[f32], predicted: &[f32], width: usize) -> Option<Self> {
        let width = width.max(1);
        // The samples of each bin of each trial of each condition.
        let mut conditions: BTreeMap<usize, BTreeMap<usize, BTreeMap<usize, usize>>> =
            BTreeMap::new();
        for (sample, place) in repeats.iter().enumerate() {
            let trials = conditions.entry(place.condition).or_default();
            let bins = trials.entry(place.trial).or_default();
            bins.insert(place.bin, sample);
        }
        conditions.retain(|_, trials| trials.len() > 1);
        let count = conditions.values().map(BTreeMap::len).min()?;
        // Of each repeat the samples in one order.
        let mut samples = vec![Vec::new(); count];
        for trials in conditions.values() {
            let trials: Vec<_> = trials.values().take(count).collect();
            let (first, others) = trials.split_first()?;
            for bin in first.keys() {
                if others.iter().all(|trial| trial.contains_key(bin)) {
                    for (samples, trial) in samples.iter_mut().zip(&trials) {
                        samples.extend(trial.get(bin));
                    }
                }
            }
        }
        let bins = samples.first().map_or(0, Vec::len);
        if bins < 2 {
            return None;
        }
        let output = |output: usize| {
            let at = |values: &[f32], sample: usize| {
                let value = values.get(sample * width + output).copied();
                value.map_or(0.0, f64::from)
            };
            let of = |values: &[f32], samples: &[usize]| -> Vec<f64> {
                samples.iter().map(|&sample| at(values, sample)).collect()
            };
            let n = count as f64;
            let (mut total, mut left, mut sums) = (0.0, 0.0, vec![0.0; bins]);
            for samples in &samples {
                let (own, found) = (of(truth, samples), of(predicted, samples));
                total += power(&own) / n;
                let pairs = own.iter().zip(&found);
                left += power(&pairs.map(|(y, p)| y - p).collect::<Vec<_>>()) / n;
                sums.iter_mut().zip(&own).for_each(|(sum, y)| *sum += y / n);
            }
            ExplainableOutput {
                total,
                signal: (n * power(&sums) - total) / (n - 1.0),
                explained: total - left,
            }
        };
        Some(Self {
            conditions: conditions.len(),
            repeats: count,
            bins,
            outputs: (0..width).map(output).collect(),
        })
    }

    /// The share of the power of all outputs together that is signal.
    pub fn explainable(&self) -> f64 {
        self.sum(|output| output.signal) / self.sum(|output| output.total)
    }

    /// The share of the signal power of all outputs together that is predicted.
    pub fn share(&self) -> f64 {
        self.sum(|output| output.explained) / self.sum(|output| output.signal)
    }

    fn sum(&self, of: fn(&ExplainableOutput) -> f64) -> f64 {
        self.outputs.iter().map(of).sum()
    }
}

/// The variance over time.
fn power(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three repeats of two conditions in four bins, of two outputs, trials in turns; the prediction knows the condition.
    fn responses() -> (Vec<Repeat>, Vec<f32>, Vec<f32>) {
        let (mut repeats, mut truth, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
        for trial in 0..6_usize {
            for bin in 0..4_usize {
                let condition = trial % 2;
                repeats.push(Repeat {
                    condition,
                    trial,
                    bin,
                });
                for output in 0..2_usize {
                    let signal = ((3 * condition + 2 * bin + output) % 5) as f32;
                    let noise = ((7 * trial + 5 * bin + 3 * output) % 11) as f32 / 5.0;
                    truth.push(signal + noise);
                    predicted.push(0.5 * signal + 1.0);
                }
            }
        }
        (repeats, truth, predicted)
    }

    /// Of numpy 2.4, with `y` and `p` as `[output, repeat, condition and bin]`: `total = y.var(2).mean(1)`,
    /// `signal = (3 * y.mean(1).var(1) - total) / 2`, `explained = total - (y - p).var(2).mean(1)`.
    const OF_NUMPY: [[f64; 3]; 2] = [
        [2.780_416_6, 2.301_458_3, 1.754_166_7],
        [2.083_125_0, 1.604_166_7, 1.346_875_0],
    ];

    #[test]
    fn powers_are_those_of_numpy() {
        let (repeats, truth, predicted) = responses();
        let found = Explainable::new(&repeats, &truth, &predicted, 2).unwrap();
        assert_eq!((found.conditions, found.repeats, found.bins), (2, 3, 8));
        for (found, expected) in found.outputs.iter().zip(OF_NUMPY) {
            for (found, expected) in [found.total, found.signal, found.explained]
                .iter()
                .zip(expected)
            {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
        // In another order of the samples it is the same.
        let order: Vec<usize> = (0..24).map(|at| (at * 7) % 24).collect();
        let rows = |values: &[f32]| -> Vec<f32> {
            let rows = order.iter().flat_map(|&at| &values[2 * at..2 * at + 2]);
            rows.copied().collect()
        };
        let mixed: Vec<Repeat> = order.iter().map(|&at| repeats[at]).collect();
        let again = Explainable::new(&mixed, &rows(&truth), &rows(&predicted), 2).unwrap();
        assert_eq!(again, found);
    }

    #[test]
    fn what_is_not_there_in_all_repeats_does_not_count() {
        let (repeats, truth, predicted) = responses();
        // A third condition of one trial, and the last trial without its last bin.
        let mut longer = repeats[..23].to_vec();
        longer.push(Repeat {
            condition: 2,
            trial: 6,
            bin: 0,
        });
        let found = Explainable::new(&longer, &truth, &predicted, 2).unwrap();
        assert_eq!((found.conditions, found.repeats, found.bins), (2, 3, 7));
        assert_eq!(Explainable::new(&repeats[..8], &truth, &predicted, 2), None);
        assert_eq!(Explainable::new(&[], &[], &[], 1), None);
    }

    #[test]
    fn all_of_the_signal_is_explained_by_itself() {
        let (repeats, ..) = responses();
        let truth: Vec<f32> = repeats
            .iter()
            .map(|r| (r.bin * 2 + r.condition) as f32)
            .collect();
        let found = Explainable::new(&repeats, &truth, &truth, 1).unwrap();
        assert!((found.explainable() - 1.0).abs() < 1e-12);
        assert!((found.share() - 1.0).abs() < 1e-12);
    }
}
