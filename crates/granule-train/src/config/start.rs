use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a run begins from, instead of weights drawn by its seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StartConfig {
    /// The weights: a model file, a checkpoint or a run folder; they must fit the model, but for the last layer, which is drawn
    /// anew for another number of classes or values, and what the first layer makes of another number of channels or features.
    pub weights: PathBuf,
    /// Continue the run of a checkpoint: take the state of its optimiser too, and draw batches and trials as its next
    /// epochs would.
    #[serde(default)]
    pub optimizer: bool,
}

/// Which weights are the result of a run that validates; without validation it is always the last ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Keep {
    /// Those of the epoch with the lowest validation loss.
    BestLoss,
    /// Those of the epoch with the highest validation accuracy, of equal ones that with the lowest loss; without classes
    /// as `best-loss`.
    #[default]
    BestScore,
    /// Those of the last epoch.
    Last,
}

impl Keep {
    /// What it comes to in a run with or without a validation part, and with or without an accuracy.
    pub(crate) fn of(self, validated: bool, accuracy: bool) -> Self {
        match (self, validated, accuracy) {
            (_, false, _) => Self::Last,
            (Self::BestScore, true, false) => Self::BestLoss,
            (keep, ..) => keep,
        }
    }

    /// The name in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Self::BestLoss => "best-loss",
            Self::BestScore => "best-score",
            Self::Last => "last",
        }
    }
}

impl fmt::Display for Keep {
    /// The epoch whose weights are kept, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BestLoss => "the epoch with the lowest validation loss",
            Self::BestScore => "the epoch with the highest validation accuracy",
            Self::Last => "the last epoch",
        })
    }
}
