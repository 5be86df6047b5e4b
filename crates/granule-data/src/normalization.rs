//! Shift and scale.

use serde::{Deserialize, Serialize};

/// Shift and scale of the inputs, or of real-valued targets, from the training part of a data set.
///
/// For images there is one entry per channel of pixels scaled to [0, 1]; for sequences one per channel, for vectors one per
/// feature, for real-valued targets one per target. Empty vectors leave pixels in [0, 1], features and targets as they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// What is subtracted; in double precision, for features far from zero.
    pub mean: Vec<f64>,
    /// What is divided by; positive.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Whether inputs pass unchanged (apart from the scaling of pixels to [0, 1]).
    pub fn is_identity(&self) -> bool {
        self.mean.is_empty() && self.std.is_empty()
    }
}
