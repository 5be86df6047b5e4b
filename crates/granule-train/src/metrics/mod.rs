//! Scores of predictions against the truth: confusion matrix, classification report, regression scores.

mod auroc;
mod baseline;
mod confusion;
mod explainable;
pub(crate) mod finite;
mod logistic;
mod paired;
mod permutation;
mod regression;
mod report;

pub use auroc::auroc;
pub use baseline::{Baseline, ClassShares, ValueScores};
pub use confusion::ConfusionMatrix;
pub use explainable::{Explainable, ExplainableOutput};
pub(crate) use logistic::Logistic;
pub use paired::PairedTest;
pub use permutation::PermutationTest;
pub use regression::{OutputScores, RegressionScores, bits_per_spike};
pub use report::{Average, ClassScores, ClassificationReport};

/// Why a score could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// A class index outside the matrix.
    #[error(
        "{role} class {class} is out of range: the matrix has {} (0..{classes})", granule_io::words::counted(*classes, "class")
    )]
    ClassOutOfRange {
        /// `"true"` or `"predicted"`.
        role: &'static str,
        /// The index that was given.
        class: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// Two lists that must be equally long are not.
    #[error("{what}: expected {expected}, found {found}")]
    LengthMismatch {
        /// What was counted.
        what: &'static str,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// Scores of nothing.
    #[error("{what} must be at least 1")]
    Empty {
        /// What was missing.
        what: &'static str,
    },
    /// A count that contradicts an earlier one for the same cell, or does not fit into 64 bits.
    #[error("the counts of the confusion matrix are inconsistent: {reason}")]
    InvalidCounts {
        /// What is wrong with them.
        reason: String,
    },
}
