use std::fmt;

use granule_io::words::{counted, first_of};
use serde::{Deserialize, Serialize};

use super::check;
use crate::ConfigError;

/// Classes that a sentence lists.
const MOST_NAMES: usize = 12;

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
    /// A number for each class, 0 or more, in the order of the classes: names and folders by the alphabet, numbers by size.
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
    pub(crate) fn of_classes(
        &self,
        classes: &[String],
        samples: &[usize],
    ) -> Result<Vec<f64>, ConfigError> {
        match self {
            Self::Each(weights) if weights.len() == samples.len() => Ok(weights.clone()),
            Self::Each(weights) => Err(ConfigError::new(
                "train.class_weights",
                format!("a list of {}", weights.len()),
                format!(
                    "\"balanced\", or a number for each of {}, in this order: {}",
                    counted(samples.len(), "class"),
                    first_of(classes, MOST_NAMES)
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

impl fmt::Display for ClassWeights {
    /// As in TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(ClassWeightRule::Balanced) => f.write_str("\"balanced\""),
            Self::Each(weights) => {
                let shown = first_of(weights, MOST_NAMES);
                write!(f, "[{shown}]")
            }
        }
    }
}

/// As a message has them; nothing where they are unset.
pub(super) fn text(weights: Option<&ClassWeights>) -> String {
    weights.map_or_else(String::new, ToString::to_string)
}

/// Which class counts how much.
pub(crate) fn note(classes: &[String], weights: &[f64]) -> String {
    let each = classes.iter().zip(weights);
    let each = each.map(|(class, weight)| format!("{class} {}", brief(*weight)));
    format!(
        "classes count in the loss with (train.class_weights): {}",
        first_of(each, MOST_NAMES)
    )
}

/// A weight in four digits at most.
fn brief(weight: f64) -> f64 {
    format!("{weight:.3e}").parse().unwrap_or(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunConfig;

    /// sklearn.utils.class_weight.compute_class_weight("balanced", …).
    #[test]
    fn balanced_weights_equal_scikit_learn() {
        let balanced = ClassWeights::Rule(ClassWeightRule::Balanced);
        let weights = balanced.of_classes(&[], &[300, 30, 0, 30]).unwrap();
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
        let error = each
            .of_classes(&["cat".into(), "dog".into()], &[1, 1])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "train.class_weights = a list of 3 is not allowed: \"balanced\", or a number for each of 2 classes, \
             in this order: cat, dog"
        );
        assert_eq!(each.to_string(), "[1, 2.5, 0]");
        let names = ["cat", "dog", "eel"].map(String::from);
        assert_eq!(
            note(&names, &[0.4, 1.0 / 3.0, 4.0]),
            "classes count in the loss with (train.class_weights): cat 0.4, dog 0.3333, eel 4"
        );
        assert!(matches!(
            read("\"balanced\"").unwrap(),
            ClassWeights::Rule(_)
        ));
        let error = read("\"even\"").unwrap_err().to_string();
        assert!(error.contains("\"balanced\", or a list"), "{error}");
    }
}
