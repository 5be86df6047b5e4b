//! Gaussian distributions of what each channel adds up to over a window: what a detector of anomalies has to beat. The
//! distances are squared, in a mean over the channels.

use std::f64::consts::TAU;

use super::ridge::{
    Block, Design, Left, PENALTIES, check_patience, check_work, factor, substitute,
};
use crate::TrainError;
use crate::engine::score::Samples;
use crate::event::Observer;

/// The least variance of a standardised channel, lest one that is constant divides by nothing.
const LEAST: f64 = 1e-9;

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
        let spread = Spread::Variances(variances.iter().map(|x| x.max(LEAST)).collect());
        Ok(Self {
            means,
            spread,
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
            let normal = design.fit(kept, None)?;
            let (n, count) = (normal.moments.x.len(), kept.len() as f64);
            for (loss, penalty) in losses.iter_mut().zip(PENALTIES) {
                check_patience(observer)?;
                let gaussian = Self {
                    means: normal.moments.x.clone(),
                    spread: Spread::Covariance(factor(&normal.gram, n, penalty)?, count),
                    penalty: Some(penalty),
                };
                let held_out = Samples {
                    indices: held_out,
                    ..design.learnt
                };
                let distances = gaussian.distances(design, held_out)?;
                let size = n as f64 * gaussian.logarithm();
                *loss += distances.iter().map(|x| n as f64 * x + size).sum::<f64>();
            }
        }
        let all = losses.into_iter().zip(PENALTIES);
        let best = all.min_by(|(a, _), (b, _)| a.total_cmp(b));
        let penalty = best.map_or(1.0, |(_, penalty)| penalty);
        let normal = design.fit(design.learnt.indices, None)?;
        let n = normal.moments.x.len();
        let count = design.learnt.indices.len() as f64;
        Ok(Self {
            spread: Spread::Covariance(factor(&normal.gram, n, penalty)?, count),
            means: normal.moments.x,
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

#[cfg(test)]
mod tests {
    use granule_data::Normalization;

    use super::super::folds;
    use super::super::tests::recording;
    use super::*;
    use crate::batch::Scaling;
    use crate::event::Quiet;

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
