//! Steps on their way: batches of which more are to come, and losses that the device still holds.

use burn::tensor::Tensor;

use crate::engine::work::Contribution;
use crate::loss::Tally;

/// A step on a GPU whose loss was not read yet.
pub(super) struct Waiting {
    pub step: Done,
    /// Mean loss times samples, hits and gradient norm; `[1]` each.
    pub readings: Vec<Tensor<1>>,
}

/// The batches of an optimiser step so far.
#[derive(Default)]
pub(super) struct Gathered {
    pub batches: usize,
    pub sum: Option<Contribution>,
}

/// A step done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Steps done before.
    pub step: u64,
    pub step_in_epoch: usize,
    pub samples: usize,
    pub learning_rate: f64,
    pub tally: Tally,
    pub gradient_norm: Option<f64>,
}
