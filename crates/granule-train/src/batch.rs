//! One batch, and how what is in it is normalised.

use crate::ConfigError;
use burn::tensor::{Int, Tensor};
use granule_data::{Normalization, Split};

/// One batch. Inputs live on the training device, with autodiff.
pub(crate) struct Batch {
    /// `[samples, features]`
    pub inputs: Tensor<2>,
    pub truth: BatchTruth,
    pub len: usize,
}

/// What the outputs of a batch are compared with.
pub(crate) enum BatchTruth {
    HostClasses(Vec<u16>),
    HostValues(Vec<f32>),
    DeviceClasses(Tensor<1, Int>),
    DeviceValues(Tensor<2>),
    /// Row-major `[samples, width]` each.
    Trials {
        targets: Vec<f32>,
        mask: Vec<f32>,
    },
}

/// How inputs, and real-valued targets, are normalised.
#[derive(Clone, Copy)]
pub(crate) struct Scaling<'a> {
    pub inputs: &'a Normalization,
    pub targets: &'a Normalization,
    /// Whether targets are counts, whose rates are the deviations times the exponentials of outputs.
    pub counts: bool,
}

/// The counts of the channels that a sample shows in the bin that its targets are of, learnt beside these.
pub(crate) struct AuxiliaryCounts {
    /// What the rate of each is a multiple of.
    rates: Vec<f32>,
    /// Whether the samples hold their square roots.
    roots: bool,
}

impl AuxiliaryCounts {
    /// Those of the training part of a data set. What is no count has no rate.
    pub fn new(train: &Split, roots: bool, columns: &[usize]) -> Result<Self, ConfigError> {
        let mut auxiliary = Self {
            rates: Vec::new(),
            roots,
        };
        let mut sums = Vec::new();
        for index in 0..train.len() {
            let counts = auxiliary.counts(train, index);
            sums.resize(counts.len(), 0.0_f64);
            for (channel, (sum, x)) in sums.iter_mut().zip(counts).enumerate() {
                if x < 0.0 || x.fract() != 0.0 {
                    let column = columns.get(channel).copied().unwrap_or(channel);
                    let allowed = format!(
                        "false, or channels of counts, which are whole numbers from 0: channel {column}, counted from 0, holds {x}"
                    );
                    return Err(ConfigError::new("data.decoding.reconstruct", true, allowed));
                }
                *sum += x;
            }
        }
        let samples = train.len().max(1) as f64;
        let rates = sums.into_iter().map(|sum| rate_of(sum / samples, samples));
        auxiliary.rates = rates.collect();
        Ok(auxiliary)
    }

    fn counts<'a>(
        &self,
        split: &'a Split,
        index: usize,
    ) -> impl ExactSizeIterator<Item = f64> + 'a {
        let roots = self.roots;
        let shown = split.current_values(index).unwrap_or_default().iter();
        shown.map(move |&x| {
            let x = f64::from(x);
            if roots { (x * x).round() } else { x }
        })
    }

    pub fn rates(&self) -> impl Iterator<Item = f64> {
        self.rates.iter().copied().map(f64::from)
    }

    /// The targets of samples, each row followed by its counts in units of their rates.
    pub fn add(&self, split: &Split, indices: &[usize], targets: &[f32]) -> Vec<f32> {
        let width = targets.len() / indices.len().max(1);
        let mut all = Vec::with_capacity(targets.len() + indices.len() * self.rates.len());
        for (&index, own) in indices.iter().zip(targets.chunks(width.max(1))) {
            all.extend_from_slice(own);
            let counts = self.counts(split, index).zip(&self.rates);
            all.extend(counts.map(|(count, &rate)| count as f32 / rate));
        }
        all
    }
}

/// What a rate of counts is a multiple of: their mean, or half an event in all samples where there is none.
pub(crate) fn rate_of(mean: f64, samples: f64) -> f32 {
    mean.max(0.5 / samples) as f32
}

impl Scaling<'_> {
    /// What the rates of counts are multiples of, one an output.
    pub fn rates(&self) -> Option<Vec<f64>> {
        let rates = self.targets.std.iter().copied().map(f64::from);
        self.counts.then(|| rates.collect())
    }
}

#[cfg(test)]
mod tests {
    use granule_data::{Shape, Targets};

    use super::*;

    #[test]
    fn counts_of_the_current_bin_follow_the_targets_also_of_roots() {
        let counts = [3.0_f32, 0.0, 7.0, 0.0, 2.0, 0.0, 6.0, 0.0];
        for roots in [false, true] {
            let series = counts.map(|x| if roots { x.sqrt() } else { x }).to_vec();
            let shape = Shape::Sequence {
                steps: 2,
                channels: 2,
            };
            let targets = Targets::Values {
                data: vec![10.0, 20.0, 30.0],
                width: 1,
            };
            let split = Split::windows(shape, series, (vec![0, 1, 2], 1), targets).unwrap();
            let auxiliary = AuxiliaryCounts::new(&split, roots, &[]).unwrap();
            // The mean of 7, 2 and 6, and half an event in three bins.
            let rates: Vec<f64> = auxiliary.rates().collect();
            assert!((rates[0] - 5.0).abs() < 1e-6 && (rates[1] - 1.0 / 6.0).abs() < 1e-6);
            let all = auxiliary.add(&split, &[2, 0], &[30.0, 10.0]);
            assert_eq!(all, [30.0, 6.0 / 5.0, 0.0, 10.0, 7.0 / 5.0, 0.0]);
            // Of one step each, so that all are looked at.
            let series = vec![1.0, 2.5, 0.0, 1.0];
            let shape = Shape::Sequence {
                steps: 1,
                channels: 2,
            };
            let targets = Targets::Values {
                data: vec![1.0, 2.0],
                width: 1,
            };
            let split = Split::windows(shape, series, (vec![0, 1], 0), targets).unwrap();
            let error = AuxiliaryCounts::new(&split, roots, &[4, 9]).err();
            let said = error.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(
                said.contains("channel 9, counted from 0, holds 2.5"),
                !roots,
                "{said}"
            );
        }
    }
}
