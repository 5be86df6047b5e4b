use serde::{Deserialize, Serialize};

use super::OutputScores;

/// How well the same targets are predicted without the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline<S> {
    /// Such as `training mean`, `most frequent class`, `ridge, current bin`, `Kalman filter` or `ridge, shuffled
    /// targets`.
    pub name: String,
    /// The penalty λ of ridge or Poisson regression, or of the noise of a Kalman filter, chosen by cross-validation in the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// How well: [`ValueScores`] or [`ClassShares`].
    #[serde(flatten)]
    pub scores: S,
}

/// Scores of real-valued predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueScores {
    /// One entry per output.
    pub outputs: Vec<OutputScores>,
    /// The plain mean of each score over the outputs.
    pub mean: OutputScores,
    /// Of counts, see [`bits_per_spike`](super::bits_per_spike).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_spike: Option<f64>,
}

/// Shares of samples that are sorted into their class, each in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassShares {
    /// Of all samples.
    pub accuracy: f64,
    /// The mean over the classes that have samples of the share of theirs, as scikit-learn's `balanced_accuracy_score`.
    pub balanced_accuracy: f64,
}
