//! Gaussian distributions of what each channel adds up to over a window: what a detector of anomalies has to beat. The
//! distances are squared, in a mean over the channels.

use std::f64::consts::TAU;

use super::normal::{Normal, factor, substitute};
use super::ridge::{Block, Design, Left, PENALTIES, check_patience, check_work};
use crate::TrainError;
use crate::engine::samples::Samples;
use crate::event::Observer;

/// A channel with less than this share of the mean of all hardly changed in training, and has nothing usual of its own.
const LEAST: f64 = 0.01;

/// A normal distribution.
pub(crate) struct Gaussian {
    means: Vec<f64>,
    spread: Spread,
    /// λ, which is added to the squares before they are a covariance, chosen by the likelihood of blocks that are held out.
    pub penalty: Option<f64>,
}

enum Spread {
    Variances(Vec<f64>),
    /// The factor L of XᵀX + λ = L Lᵀ, and how many samples these are of.
    Covariance(Vec<f64>, f64),
}

impl Gaussian {
    /// Means and variances of channels that have nothing to do with each other, of the samples that `design` learns from.
    pub fn of_variances(design: &Design<'_>) -> Result<Self, TrainError> {
        let indices = design.learnt.indices;
        let means = design.moments(indices)?.x;
        let mut variances = vec![0.0; means.len()];
        let count = indices.len().max(1) as f64;
        design.rows(design.learnt, indices, None, |x, _| {
            let all = variances.iter_mut().zip(x.iter().zip(&means));
            all.for_each(|(sum, (&x, mean))| *sum += (f64::from(x) - mean).powi(2) / count);
        })?;
        usual(&mut variances, 1.0);
        Ok(Self {
            means,
            spread: Spread::Variances(variances),
            penalty: None,
        })
    }

    /// Means and covariances, with the penalty of the greatest likelihood of blocks that are held out.
    pub fn of_covariances(
        name: &str,
        design: &Design<'_>,
        folds: &[Block],
        observer: &mut dyn Observer,
    ) -> Result<Self, Left> {
        check_work(name, design.work(folds.len()), Some(design), observer)?;
        design.check_folds(folds, true)?;
        let mut losses = [0.0; PENALTIES.len()];
        for (kept, held_out) in folds {
            check_patience(observer)?;
            let squares = usual_squares(design, kept)?;
            for (loss, penalty) in losses.iter_mut().zip(PENALTIES) {
                check_patience(observer)?;
                let gaussian = Self::of_squares(&squares, kept.len(), penalty)?;
                let n = gaussian.means.len() as f64;
                let held_out = Samples {
                    indices: held_out,
                    ..design.learnt
                };
                let distances = gaussian.distances(design, held_out)?;
                let size = n * gaussian.logarithm();
                *loss += distances.iter().map(|x| n * x + size).sum::<f64>();
            }
        }
        let all = losses.into_iter().zip(PENALTIES);
        let best = all.min_by(|(a, _), (b, _)| a.total_cmp(b));
        let penalty = best.map_or(1.0, |(_, penalty)| penalty);
        let all = design.learnt.indices;
        Ok(Self::of_squares(
            &usual_squares(design, all)?,
            all.len(),
            penalty,
        )?)
    }

    /// Means and covariances, from sums over so many samples.
    fn of_squares(normal: &Normal, count: usize, penalty: f64) -> Result<Self, TrainError> {
        let lower = factor(&normal.gram, normal.moments.x.len(), penalty)?;
        Ok(Self {
            means: normal.moments.x.clone(),
            spread: Spread::Covariance(lower, count as f64),
            penalty: Some(penalty),
        })
    }

    /// The mean logarithm of 2π times the variances, along the axes of the distribution.
    fn logarithm(&self) -> f64 {
        let n = self.means.len().max(1);
        let sum: f64 = match &self.spread {
            Spread::Variances(variances) => variances.iter().map(|x| (TAU * x).ln()).sum(),
            Spread::Covariance(lower, count) => {
                let diagonal = lower.iter().step_by(n + 1);
                diagonal.map(|x| (TAU * x * x / count).ln()).sum()
            }
        };
        sum / n as f64
    }

    /// How far samples are from the mean.
    pub fn distances(
        &self,
        design: &Design<'_>,
        samples: Samples<'_>,
    ) -> Result<Vec<f64>, TrainError> {
        let n = self.means.len().max(1) as f64;
        let mut distances = Vec::with_capacity(samples.indices.len());
        let (mut centred, mut solved) = (Vec::new(), Vec::new());
        design.rows(samples, samples.indices, None, |x, _| {
            let pairs = x.iter().zip(&self.means);
            centred.clear();
            centred.extend(pairs.map(|(&x, mean)| f64::from(x) - mean));
            let sum: f64 = match &self.spread {
                Spread::Variances(variances) => {
                    let pairs = centred.iter().zip(variances);
                    pairs.map(|(x, variance)| x * x / variance).sum()
                }
                Spread::Covariance(lower, count) => {
                    solved.clone_from(&centred);
                    substitute(lower, &mut solved);
                    let pairs = centred.iter().zip(&solved);
                    pairs.map(|(x, solved)| count * x * solved).sum()
                }
            };
            distances.push(sum / n);
        })?;
        Ok(distances)
    }
}

/// What is usual of each channel, such as its variance: of those that hardly changed the mean of the others, lest they outweigh
/// these once they change; `otherwise` where all are so.
pub(crate) fn usual(values: &mut [f64], otherwise: f64) {
    let least = LEAST * values.iter().sum::<f64>() / values.len().max(1) as f64;
    let changes = |value: &f64| *value > 0.0 && *value >= least;
    let (sum, count) = values
        .iter()
        .filter(|value| changes(value))
        .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    let mean = if count > 0.0 { sum / count } else { otherwise };
    let unchanged = values.iter_mut().filter(|value| !changes(value));
    unchanged.for_each(|value| *value = mean);
}

/// XᵀX of samples, with what is [`usual`] on its diagonal.
fn usual_squares(design: &Design<'_>, indices: &[usize]) -> Result<Normal, TrainError> {
    let mut normal = design.fit(indices, None)?;
    let n = normal.moments.x.len();
    let mut squares: Vec<f64> = normal.gram.iter().step_by(n + 1).copied().collect();
    usual(&mut squares, indices.len() as f64);
    let diagonal = normal.gram.iter_mut().step_by(n + 1);
    diagonal
        .zip(squares)
        .for_each(|(square, usual)| *square = usual);
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use granule_data::{Normalization, Shape, Split, Targets};

    use super::super::folds;
    use super::super::tests::recording;
    use super::*;
    use crate::batch::Scaling;
    use crate::event::Quiet;

    #[test]
    fn a_channel_that_never_changed_has_what_others_have() {
        let of = |mut values: Vec<f64>| {
            usual(&mut values, 7.0);
            values
        };
        assert_eq!(of(vec![1.0, 0.0, 2.0, 1e-4]), [1.0, 1.5, 2.0, 1.5]);
        assert_eq!(of(vec![0.0; 2]), [7.0; 2]);
    }

    #[test]
    fn a_spike_of_a_channel_that_never_changed_is_not_the_whole_distance() {
        // The first channel is silent but in the last bin, which is not learnt from.
        let (bins, channels) = (80_usize, 3_usize);
        let bin = |at: usize| {
            let spike = f32::from(u8::from(at + 1 == bins));
            let noise = |by: usize| (at * by % 31) as f32 / 31.0;
            [spike, noise(7), noise(11)]
        };
        let series: Vec<f32> = (0..bins).flat_map(bin).collect();
        let targets = Targets::Values {
            data: vec![0.0; bins],
            width: 1,
        };
        let shape = Shape::Sequence { steps: 1, channels };
        let starts = (0..bins).collect();
        let split = Split::windows(shape, series, (starts, 0), targets).unwrap();
        let learnt: Vec<usize> = (0..bins - 1).collect();
        let (inputs, targets) = (
            Normalization {
                mean: vec![0.0, 0.5, 0.5],
                std: vec![1.0, 0.3, 0.3],
            },
            Normalization::of_targets(&split),
        );
        let of = |indices| Samples {
            split: &split,
            indices,
            scaling: Scaling {
                inputs: &inputs,
                targets: &targets,
                counts: false,
            },
        };
        let design = Design {
            learnt: of(&learnt),
            steps: 0..1,
            channels,
            weights: Some(vec![1.0]),
            outputs: 1,
        };
        let variances = Gaussian::of_variances(&design).unwrap();
        let folds: Vec<Block> = (0..5)
            .map(|block| learnt.iter().partition(|&at| at / 16 != block))
            .collect();
        let covariances = Gaussian::of_covariances("it", &design, &folds, &mut Quiet);
        let Ok(covariances) = covariances else {
            panic!("there are samples enough");
        };
        let last = [bins - 1];
        for gaussian in [variances, covariances] {
            let found = gaussian.distances(&design, of(&last)).unwrap();
            assert!(found[0] < 5.0, "{found:?}");
        }
    }

    #[test]
    fn distances_and_penalty_are_those_of_numpy() {
        let train = recording(60, 5);
        let indices: Vec<usize> = (0..59).collect();
        let (inputs, targets) = (Normalization::of(&train), Normalization::of_targets(&train));
        let samples = Samples {
            split: &train,
            indices: &indices,
            scaling: Scaling {
                inputs: &inputs,
                targets: &targets,
                counts: false,
            },
        };
        let design = Design {
            learnt: samples,
            steps: 0..2,
            channels: 3,
            weights: Some(vec![0.5; 2]),
            outputs: 2,
        };
        let variances = Gaussian::of_variances(&design).unwrap();
        let folds = folds(train.starts().unwrap(), 2, &indices);
        let covariances = Gaussian::of_covariances("it", &design, &folds, &mut Quiet);
        let Ok(covariances) = covariances else {
            panic!("there are samples enough");
        };
        // numpy 2.4.6, of standardised channels in a mean over two bins: of five blocks, each held out once, the Gaussian
        // likelihood with (XᵀX + λ)/N is greatest for λ = 10. numpy.linalg.inv, numpy.linalg.slogdet.
        assert_eq!(covariances.penalty, Some(10.0));
        let logarithm = 1.379_195_590;
        assert!((covariances.logarithm() - logarithm).abs() < 1e-6);
        for (gaussian, expected) in [
            (&variances, [0.997_186_088, 2.617_535_700, 3.747_988_166]),
            (&covariances, [0.755_526_699, 1.639_941_374, 2.493_037_134]),
        ] {
            let found = gaussian.distances(&design, samples).unwrap();
            let found = [found[0], found[10], found[58]];
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}
