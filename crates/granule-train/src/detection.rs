//! What a detector of anomalies gives back.

use serde::Serialize;

/// How well a model of normal activity, and what it has to beat, tell unusual samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detection {
    /// The share of normal samples that may be taken for unusual, in 0..1.
    pub false_alarms: f64,
    /// How many samples, held out of training, the thresholds are from.
    pub held_out: usize,
    /// How many normal samples are tested.
    pub normal: usize,
    /// The model first.
    pub detectors: Vec<Detector>,
    /// The model's scores of all samples that are tested, the normal ones first.
    #[serde(skip)]
    pub scores: Vec<Scored>,
}

/// A way to tell unusual samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detector {
    /// `this model`, `means and variances` or `Mahalanobis distance`.
    pub name: String,
    /// What is added to the squares of which the covariance is, chosen by cross-validation in the training part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// A sample with a higher score is taken for unusual.
    pub threshold: f64,
    /// The share of the normal samples that are tested and taken for unusual.
    pub false_alarms: f64,
    /// The mean score of the normal samples in tenths of the test part, in order.
    pub drift: Vec<f64>,
    /// In the order in which they were added.
    pub unusual: Vec<UnusualScores>,
}

/// How well unusual samples of one kind are told from the normal ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnusualScores {
    /// The kind, or the recording.
    pub name: String,
    /// How many there are.
    pub samples: usize,
    /// See [`auroc`](crate::metrics::auroc).
    pub auroc: f64,
    /// The share that is above the threshold.
    pub detected: f64,
}

/// The scores of samples in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// `normal`, or the kind of unusual ones.
    pub name: String,
    /// One a sample; the higher, the more unusual.
    pub scores: Vec<f64>,
}
