use serde::{Deserialize, Serialize};

use super::{Baseline, Explainable, MetricsError, ValueScores, finite};

/// Errors and explained variance of real-valued predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegressionScores {
    /// One entry per output.
    pub outputs: Vec<OutputScores>,
    /// The plain mean of each score over the outputs.
    pub mean: OutputScores,
    /// How many samples were scored.
    pub samples: usize,
    /// Of counts: how much better than their mean the predicted rates tell them, see [`bits_per_spike`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_spike: Option<f64>,
    /// Where trials of the recording are repeats (`data.decoding.condition`): what repeats have in common, and how much of it is
    /// predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explainable: Option<Explainable>,
    /// What a decoder of a recording is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Baseline<ValueScores>>,
}

/// The scores of one output, in the unit of the target (`rmse`, `mae`) or its square (`mse`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OutputScores {
    /// Mean squared error.
    #[serde(with = "finite")]
    pub mse: f64,
    /// Square root of the mean squared error.
    #[serde(with = "finite")]
    pub rmse: f64,
    /// Mean absolute error.
    #[serde(with = "finite")]
    pub mae: f64,
    /// Coefficient of determination, 1 − Σ(y − ŷ)² / Σ(y − ȳ)²: 1 is perfect, 0 is no better than the mean of the truth.
    ///
    /// As in scikit-learn's `r2_score`: a constant truth gives 1 when it was met exactly and 0 otherwise, and fewer
    /// than two samples give NaN.
    #[serde(with = "finite")]
    pub r2: f64,
    /// Pearson's correlation of truth and prediction; NaN where one of them is constant.
    #[serde(with = "finite", default = "unknown")]
    pub correlation: f64,
}

/// What a file of an earlier version does not say.
fn unknown() -> f64 {
    f64::NAN
}

impl RegressionScores {
    /// Scores `predicted` against `truth`, both row-major `[samples, width]`, summed in double precision.
    ///
    /// # Errors
    /// [`MetricsError::Empty`] when `width` or the number of samples is 0, [`MetricsError::LengthMismatch`] when the
    /// lengths differ or are no multiple of `width`.
    pub fn new(truth: &[f32], predicted: &[f32], width: usize) -> Result<Self, MetricsError> {
        if width == 0 {
            return Err(MetricsError::Empty {
                what: "the number of outputs",
            });
        }
        if truth.is_empty() {
            return Err(MetricsError::Empty {
                what: "the number of samples",
            });
        }
        if predicted.len() != truth.len() {
            return Err(MetricsError::LengthMismatch {
                what: "predicted values",
                expected: truth.len(),
                found: predicted.len(),
            });
        }
        if !truth.len().is_multiple_of(width) {
            return Err(MetricsError::LengthMismatch {
                what: "true values (whole rows)",
                expected: truth.len() / width * width,
                found: truth.len(),
            });
        }
        let outputs: Vec<_> = (0..width)
            .map(|output| {
                let column = || (output..truth.len()).step_by(width);
                let at =
                    |values: &[f32], place: usize| values.get(place).map_or(0.0, |&x| x.into());
                OutputScores::of(|| column().map(|place| (at(truth, place), at(predicted, place))))
            })
            .collect();
        let mean =
            |score: fn(&OutputScores) -> f64| outputs.iter().map(score).sum::<f64>() / width as f64;
        let mean = OutputScores {
            mse: mean(|o| o.mse),
            rmse: mean(|o| o.rmse),
            mae: mean(|o| o.mae),
            r2: mean(|o| o.r2),
            correlation: mean(|o| o.correlation),
        };
        Ok(Self {
            mean,
            baselines: Vec::new(),
            bits_per_spike: None,
            explainable: None,
            samples: truth.len() / width,
            outputs,
        })
    }
}

impl RegressionScores {
    /// The same of these counts and rates.
    pub(crate) fn of_counts(self, counts: &[f32], rates: &[f32]) -> Self {
        let bits = bits_per_spike(counts, rates, self.outputs.len());
        Self {
            bits_per_spike: bits,
            ..self
        }
    }
}

/// The log-likelihood of counts by Poisson's distribution with the predicted rates, less that with the mean of the counts of
/// each output, in bits and divided by the number of events: (Σ (y ln λ − λ) − Σ (y ln ȳ − ȳ)) / (Σ y · ln 2). Both are row-major
/// `[samples, width]`. It is co-bps of the Neural Latents Benchmark (Pei et al. 2021, arXiv:2109.04463), with its least rate of
/// 10⁻⁹. None where there is no event.
pub fn bits_per_spike(counts: &[f32], rates: &[f32], width: usize) -> Option<f64> {
    const LEAST: f64 = 1e-9;
    let width = width.max(1);
    let mut means = vec![0.0; width];
    for (at, &count) in counts.iter().enumerate() {
        if let Some(mean) = means.get_mut(at % width) {
            *mean += f64::from(count) * width as f64 / counts.len() as f64;
        }
    }
    let likelihood = |count: f64, rate: f64| count * rate.max(LEAST).ln() - rate.max(LEAST);
    let pairs = counts.iter().zip(rates).zip(means.iter().cycle());
    let gained: f64 = pairs
        .map(|((&count, &rate), &mean)| {
            likelihood(count.into(), rate.into()) - likelihood(count.into(), mean)
        })
        .sum();
    let events: f64 = counts.iter().copied().map(f64::from).sum();
    (events > 0.0).then(|| gained / events / std::f64::consts::LN_2)
}

impl OutputScores {
    /// Of pairs (truth, predicted), which are gone through again and again.
    fn of<I: ExactSizeIterator<Item = (f64, f64)>>(pairs: impl Fn() -> I) -> Self {
        let samples = pairs().len();
        let count = samples as f64;
        let squared: f64 = pairs().map(|(t, p)| (t - p).powi(2)).sum();
        let absolute: f64 = pairs().map(|(t, p)| (t - p).abs()).sum();
        let centre = pairs().map(|(t, _)| t).sum::<f64>() / count;
        let variation: f64 = pairs().map(|(t, _)| (t - centre).powi(2)).sum();
        let r2 = if samples < 2 {
            f64::NAN
        } else if squared == 0.0 {
            1.0
        } else if variation == 0.0 {
            0.0
        } else {
            1.0 - squared / variation
        };
        let middle = pairs().map(|(_, p)| p).sum::<f64>() / count;
        let spread: f64 = pairs().map(|(_, p)| (p - middle).powi(2)).sum();
        let shared: f64 = pairs().map(|(t, p)| (t - centre) * (p - middle)).sum();
        let mse = squared / count;
        Self {
            correlation: shared / (variation.sqrt() * spread.sqrt()),
            mse,
            rmse: mse.sqrt(),
            mae: absolute / count,
            r2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_per_spike_are_those_of_the_neural_latents_benchmark() {
        // Counts 1 and 3 in one output, 0 and 2 in the other; means 2 and 1.
        let (counts, rates) = ([1.0, 0.0, 3.0, 2.0], [1.0, 0.5, 3.0, 1.5]);
        let model = 3.0 * 3.0_f64.ln() + 2.0 * 1.5_f64.ln() - 6.0;
        let null = 4.0 * 2.0_f64.ln() - 6.0;
        let expected = (model - null) / 6.0 / 2.0_f64.ln();
        let found = bits_per_spike(&counts, &rates, 2).unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        // The means themselves tell nothing; a rate of 0 costs what 1e-9 does.
        let means = [2.0, 1.0, 2.0, 1.0];
        assert!(bits_per_spike(&counts, &means, 2).unwrap().abs() < 1e-12);
        let none = bits_per_spike(&[1.0, 1.0], &[0.0, 1.0], 1).unwrap();
        assert!((none - (1e-9_f64.ln() + 1.0 - 1e-9) / 2.0 / 2.0_f64.ln()).abs() < 1e-9);
        assert_eq!(bits_per_spike(&[0.0; 4], &rates, 2), None);
    }

    #[test]
    fn agrees_with_scikit_learn() {
        let truth = [0.5, 1.0, -1.0, 1.0, 7.0, -6.0, 3.25, 2.0];
        let predicted = [0.0, 2.0, -1.0, 2.0, 8.0, -5.0, 3.0, 2.5];
        let scores = RegressionScores::new(&truth, &predicted, 2).unwrap();
        // mean_squared_error, root_mean_squared_error, mean_absolute_error, r2_score of scikit-learn 1.9.1
        let expected = [
            [0.328125, 0.57282196186948, 0.4375, 0.9645719105862505],
            [0.8125, 0.9013878188659973, 0.875, 0.9207317073170732],
            [0.5703125, 0.7371048903677386, 0.65625, 0.9426518089516618],
        ];
        for (found, expected) in scores.outputs.iter().chain([&scores.mean]).zip(expected) {
            for (found, expected) in [found.mse, found.rmse, found.mae, found.r2]
                .into_iter()
                .zip(expected)
            {
                assert!(
                    (found - expected).abs() < 1e-15,
                    "{found} is not {expected}"
                );
            }
        }
        assert_eq!(scores.samples, 4);
        // numpy.corrcoef
        let correlations = [0.9945712047516079, 0.9980674024020514, 0.9963193035768296];
        for (found, expected) in scores
            .outputs
            .iter()
            .chain([&scores.mean])
            .zip(correlations)
        {
            assert!((found.correlation - expected).abs() < 1e-15, "{found:?}");
        }
    }

    #[test]
    fn constant_truth_scores_as_in_scikit_learn() {
        let r2 = |truth: &[f32], predicted: &[f32]| {
            RegressionScores::new(truth, predicted, 1).unwrap().mean.r2
        };
        assert_eq!(r2(&[2.0, 2.0, 2.0], &[2.0, 2.0, 2.0]), 1.0);
        assert_eq!(r2(&[2.0, 2.0, 2.0], &[1.0, 2.0, 3.0]), 0.0);
        assert!(r2(&[1.0], &[2.0]).is_nan());
        let same = RegressionScores::new(&[2.0, 2.0], &[1.0, 3.0], 1).unwrap();
        assert!(same.mean.correlation.is_nan());
    }

    #[test]
    fn lengths_are_checked() {
        assert_eq!(
            RegressionScores::new(&[1.0], &[1.0], 0)
                .unwrap_err()
                .to_string(),
            "the number of outputs must be at least 1"
        );
        assert!(RegressionScores::new(&[], &[], 1).is_err());
        assert!(RegressionScores::new(&[1.0, 2.0], &[1.0], 1).is_err());
        assert_eq!(
            RegressionScores::new(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 2)
                .unwrap_err()
                .to_string(),
            "true values (whole rows): expected 2, found 3"
        );
    }

    #[test]
    fn not_a_number_survives_serialisation() {
        let scores = RegressionScores::new(&[1.0, 2.0], &[f32::NAN, 2.0], 1).unwrap();
        let json = serde_json::to_string(&scores).unwrap();
        assert!(json.contains(r#""mse":null"#));
        let read: RegressionScores = serde_json::from_str(&json).unwrap();
        assert!(read.mean.mse.is_nan() && read.samples == 2);
    }

    proptest! {
        #[test]
        fn identities_hold(
            pairs in prop::collection::vec((-100f32..100.0, -100f32..100.0), 2..100),
            shift in -50f32..50.0,
        ) {
            let (truth, predicted): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let scores = RegressionScores::new(&truth, &predicted, 1).unwrap().mean;
            prop_assert!(scores.mae <= scores.rmse * (1.0 + 1e-12));
            prop_assert!((scores.rmse.powi(2) - scores.mse).abs() <= 1e-9 * scores.mse.max(1.0));
            prop_assert!(scores.r2 <= 1.0);
            let centre = truth.iter().map(|&t| f64::from(t)).sum::<f64>() / truth.len() as f64;
            prop_assume!(truth.iter().any(|&t| (f64::from(t) - centre).abs() > 0.1));
            let at_mean = vec![centre as f32; truth.len()];
            let baseline = RegressionScores::new(&truth, &at_mean, 1).unwrap().mean;
            prop_assert!(baseline.r2.abs() < 1e-3);
            let shifted: Vec<f32> = truth.iter().map(|t| t + shift).collect();
            let bias = RegressionScores::new(&truth, &shifted, 1).unwrap().mean;
            prop_assert!((bias.mae - f64::from(shift.abs())).abs() < 1e-4);
        }
    }
}
