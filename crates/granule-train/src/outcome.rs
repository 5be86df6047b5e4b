//! What a run and an evaluation give back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use granule_data::task::Score;
use serde::{Deserialize, Serialize};

use crate::config::Keep;
use crate::metrics::{
    Baseline, ClassShares, ClassificationReport, ConfusionMatrix, PermutationTest, RegressionScores,
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run folder.
    #[serde(with = "lossy")]
    pub run_dir: PathBuf,
    /// The model file; absent when the run was interrupted.
    #[serde(with = "lossy::optional")]
    pub model_path: Option<PathBuf>,
    /// Scores of the weights that are the result on the test part; absent when the run was interrupted.
    pub evaluation: Option<Evaluation>,
    /// Epochs done.
    pub epochs: usize,
    /// The epoch, from 1, whose weights are in the model file; absent when the run was interrupted.
    pub model_epoch: Option<usize>,
    /// Which weights are in the model file; absent when the run was interrupted.
    #[serde(default)]
    pub kept: Option<Keep>,
    /// The model file or checkpoint that training began from, unless from weights of its own seed.
    #[serde(default)]
    pub parent: Option<String>,
    /// Optimiser steps done.
    pub steps: u64,
    /// Seconds spent training and validating, over all processes of the run.
    pub seconds: f64,
    /// Seconds of this process inside forward pass, backward pass and update; on a CPU the rest of the steps' time is the
    /// loop's own.
    pub step_seconds: f64,
    /// Training samples per second, over all steps of the run.
    pub images_per_second: f64,
    /// The device that was used.
    pub device: String,
    /// Whether the stop flag ended the run; it can be resumed.
    pub interrupted: bool,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
}

/// Scores of a model on the test part of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean loss: cross-entropy without label smoothing for classes, mean squared error for real values; in trials over
    /// all that counts.
    pub loss: f64,
    /// Samples scored.
    pub samples: usize,
    /// The rest, by kind of target.
    pub scores: Scores,
}

/// Scores by kind of target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// The targets are classes.
    Classification(Classification),
    /// The targets are real values.
    Regression(RegressionScores),
    /// The samples are trials of a task.
    Trials(TrialScores),
    /// A recording was to be followed.
    Recording(RecordingScores),
    /// Scores of an objective of the program's own, by name.
    Named(BTreeMap<String, f64>),
}

/// Scores on trials of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialScores {
    /// The task's name.
    pub task: String,
    /// How well the model does.
    pub score: Score,
    /// How well an observer without limits of memory and precision does on the same trials.
    pub ideal: Score,
}

/// How a model of several levels follows a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingScores {
    /// The mean over the quantities of the mean squared error divided by the variance over the training part.
    pub loss: f64,
    /// One for each quantity that the model observes.
    pub quantities: Vec<QuantityScores>,
    /// The parameters of couplers and cells that training has changed.
    pub trained: Vec<TrainedValues>,
}

impl RecordingScores {
    /// R² averaged over the quantities that have one.
    pub fn r2(&self) -> Option<f64> {
        let all: Vec<f64> = self.quantities.iter().filter_map(|q| q.r2).collect();
        match all.len() {
            0 => None,
            count => Some(all.iter().sum::<f64>() / count as f64),
        }
    }
}

/// How one quantity is followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantityScores {
    /// Its name, `level.variable`.
    pub name: String,
    /// Its unit; `1` where it has none.
    pub unit: String,
    /// Recorded cells, units or variables.
    pub columns: usize,
    /// Mean squared error, in the unit squared.
    pub mse: f64,
    /// The share of the squared deviations from each column's mean that is explained; none where nothing changes.
    pub r2: Option<f64>,
}

/// A parameter before and after training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedValues {
    /// For example `coupler[0].gain (cells.v → population)`.
    pub name: String,
    /// How many values it has; the first ones are kept here.
    pub count: usize,
    /// At the beginning.
    pub before: Vec<f64>,
    /// In the model file.
    pub after: Vec<f64>,
}

impl TrainedValues {
    /// Values of a parameter that are kept.
    pub const MOST: usize = 16;
}

/// Scores of a classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// Share classified rightly, in `[0, 1]`.
    pub accuracy: f64,
    /// F1 averaged over classes, each counting alike.
    pub macro_f1: f64,
    /// Precision, recall and F1 per class.
    pub report: ClassificationReport,
    /// Counts of true against predicted class.
    pub confusion: ConfusionMatrix,
    /// Wrong answers, the most confident first; not all of them.
    pub mistakes: Vec<Mistake>,
    /// What a decoder of a recording is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Baseline<ClassShares>>,
    /// Whether answers for a recording have to do with the truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permutation: Option<PermutationTest>,
}

/// One wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Index of the sample in the test part.
    pub index: usize,
    /// The true class.
    pub truth: usize,
    /// The class the model chose.
    pub predicted: usize,
    /// The probability the model gave its choice.
    pub probability: f64,
}

/// Paths as text, which JSON needs; one that is not UTF-8 loses what cannot be written.
mod lossy {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&path.display())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        PathBuf::deserialize(deserializer)
    }

    pub mod optional {
        use super::*;

        pub fn serialize<S: Serializer>(
            path: &Option<PathBuf>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match path {
                Some(path) => super::serialize(path, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<PathBuf>, D::Error> {
            Option::deserialize(deserializer)
        }
    }
}

impl Evaluation {
    /// Share classified rightly, or of the trials that were solved; none for real values.
    pub fn accuracy(&self) -> Option<f64> {
        match &self.scores {
            Scores::Classification(scores) => Some(scores.accuracy),
            Scores::Trials(scores) => scores.score.accuracy(),
            Scores::Named(scores) => scores.get("accuracy").copied(),
            Scores::Regression(_) | Scores::Recording(_) => None,
        }
    }

    /// F1 averaged over classes; classes only.
    pub fn macro_f1(&self) -> Option<f64> {
        self.classification().map(|scores| scores.macro_f1)
    }

    /// The scores of a classifier.
    pub fn classification(&self) -> Option<&Classification> {
        match &self.scores {
            Scores::Classification(scores) => Some(scores),
            _ => None,
        }
    }

    /// The scores of a regression.
    pub fn regression(&self) -> Option<&RegressionScores> {
        match &self.scores {
            Scores::Regression(scores) => Some(scores),
            _ => None,
        }
    }

    /// The scores on trials of a task.
    pub fn trials(&self) -> Option<&TrialScores> {
        match &self.scores {
            Scores::Trials(scores) => Some(scores),
            _ => None,
        }
    }

    /// How a recording is followed.
    pub fn recording(&self) -> Option<&RecordingScores> {
        match &self.scores {
            Scores::Recording(scores) => Some(scores),
            _ => None,
        }
    }

    /// R² averaged over outputs or quantities; real values only.
    pub fn r2(&self) -> Option<f64> {
        match &self.scores {
            Scores::Regression(scores) => Some(scores.mean.r2),
            Scores::Recording(scores) => scores.r2(),
            Scores::Named(scores) => scores.get("r2").copied(),
            Scores::Classification(_) | Scores::Trials(_) => None,
        }
    }
}
