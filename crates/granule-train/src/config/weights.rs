use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::check;
use crate::ConfigError;

/// How much each class counts in the loss: the loss of a batch is the mean of its samples' losses weighted so, as in
/// PyTorch's `CrossEntropyLoss(weight)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "\"balanced\", or a list with a number for each class"
)]
pub enum ClassWeights {
    /// By a rule.
    Rule(ClassWeightRule),
    /// A number for each class, in the order of the classes, 0 or more.
    Each(Vec<f64>),
}

/// A rule for the weights of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeightRule {
    /// Inverse to how often a class occurs among the n training samples of k classes: n / (k · its samples), so that every
    /// class has the same part in the loss.
    Balanced,
}

impl ClassWeights {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let Self::Each(weights) = self else {
            return Ok(());
        };
        for (i, weight) in weights.iter().enumerate() {
            if !(weight.is_finite() && *weight >= 0.0) {
                let field = format!("train.class_weights[{i}]");
                return Err(ConfigError::new(
                    field,
                    weight,
                    "a finite number, 0 or more",
                ));
            }
        }
        let some = weights.iter().any(|weight| *weight > 0.0);
        check(
            "train.class_weights",
            "nothing above 0",
            some,
            "a number above 0",
        )
    }

    /// A weight for each of the classes, of which `samples` tells how many training samples there are.
    ///
    /// # Errors
    /// A list of another length.
    pub(crate) fn of_classes(&self, samples: &[usize]) -> Result<Vec<f64>, ConfigError> {
        match self {
            Self::Each(weights) if weights.len() == samples.len() => Ok(weights.clone()),
            Self::Each(weights) => Err(ConfigError::new(
                "train.class_weights",
                format!("a list of {}", weights.len()),
                format!(
                    "\"balanced\", or a number for each of {}",
                    counted(samples.len(), "class")
                ),
            )),
            Self::Rule(ClassWeightRule::Balanced) => {
                let total: usize = samples.iter().sum();
                let present = samples.iter().filter(|count| **count > 0).count();
                let weight = |count: &usize| match count {
                    0 => 1.0,
                    count => total as f64 / (present as f64 * *count as f64),
                };
                Ok(samples.iter().map(weight).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunConfig;

    /// sklearn.utils.class_weight.compute_class_weight("balanced", …).
    #[test]
    fn balanced_weights_equal_scikit_learn() {
        let balanced = ClassWeights::Rule(ClassWeightRule::Balanced);
        let weights = balanced.of_classes(&[300, 30, 0, 30]).unwrap();
        assert_eq!(weights, [0.4, 4.0, 1.0, 4.0]);
    }

    #[test]
    fn weights_are_a_word_or_a_list() {
        let read = |value: &str| {
            let text = format!("[train]\nclass_weights = {value}");
            RunConfig::from_toml_str(&text).map(|config| {
                assert_eq!(
                    RunConfig::from_toml_str(&config.to_toml().unwrap()).unwrap(),
                    config
                );
                config.train.class_weights.unwrap()
            })
        };
        let each = read("[1, 2.5, 0]").unwrap();
        assert_eq!(each, ClassWeights::Each(vec![1.0, 2.5, 0.0]));
        let error = each.of_classes(&[1, 1]).unwrap_err().to_string();
        assert!(
            error.contains("a list of 3") && error.contains("2 classes"),
            "{error}"
        );
        assert!(matches!(
            read("\"balanced\"").unwrap(),
            ClassWeights::Rule(_)
        ));
        let error = read("\"even\"").unwrap_err().to_string();
        assert!(error.contains("\"balanced\", or a list"), "{error}");
    }
}
