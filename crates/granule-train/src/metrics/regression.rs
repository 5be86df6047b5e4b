use serde::{Deserialize, Serialize};

use super::{MetricsError, finite};

/// Errors and explained variance of real-valued predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegressionScores {
    /// One entry per output.
    pub outputs: Vec<OutputScores>,
    /// The plain mean of each score over the outputs.
    pub mean: OutputScores,
    /// How many samples were scored.
    pub samples: usize,
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
                let column = |values: &[f32]| -> Vec<f64> {
                    values
                        .iter()
                        .skip(output)
                        .step_by(width)
                        .map(|&value| f64::from(value))
                        .collect()
                };
                OutputScores::of(&column(truth), &column(predicted))
            })
            .collect();
        let mean =
            |score: fn(&OutputScores) -> f64| outputs.iter().map(score).sum::<f64>() / width as f64;
        let mean = OutputScores {
            mse: mean(|o| o.mse),
            rmse: mean(|o| o.rmse),
            mae: mean(|o| o.mae),
            r2: mean(|o| o.r2),
        };
        Ok(Self {
            mean,
            samples: truth.len() / width,
            outputs,
        })
    }
}

impl OutputScores {
    fn of(truth: &[f64], predicted: &[f64]) -> Self {
        let count = truth.len() as f64;
        let squared: f64 = truth
            .iter()
            .zip(predicted)
            .map(|(t, p)| (t - p).powi(2))
            .sum();
        let absolute: f64 = truth
            .iter()
            .zip(predicted)
            .map(|(t, p)| (t - p).abs())
            .sum();
        let centre = truth.iter().sum::<f64>() / count;
        let variation: f64 = truth.iter().map(|t| (t - centre).powi(2)).sum();
        let r2 = if truth.len() < 2 {
            f64::NAN
        } else if squared == 0.0 {
            1.0
        } else if variation == 0.0 {
            0.0
        } else {
            1.0 - squared / variation
        };
        let mse = squared / count;
        Self {
            mse,
            rmse: mse.sqrt(),
            mae: absolute / count,
            r2,
        }
    }
}
