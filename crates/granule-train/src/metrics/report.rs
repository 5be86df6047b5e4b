use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConfusionMatrix, MetricsError};

/// Precision, recall and F1 of each class with their averages.
///
/// All classes are listed, also those without samples; a score whose denominator is zero is 0. Both are as in
/// scikit-learn's `classification_report(truth, predicted, labels=range(n), target_names=classes, zero_division=0)`,
/// whose layout [`Display`](fmt::Display) follows. Shown with a precision (`{:.4}`), it prints that many digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// One entry per class, in the order of the class indices.
    pub classes: Vec<ClassScores>,
    /// The fraction of samples predicted right.
    pub accuracy: f64,
    /// The plain mean over the classes.
    pub macro_avg: Average,
    /// The mean over the classes weighted by their support.
    pub weighted_avg: Average,
}

/// The scores of one class, each in 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The name of the class.
    pub class: String,
    /// Of the samples predicted as this class, the fraction that belongs to it.
    pub precision: f64,
    /// Of the samples that belong to this class, the fraction predicted as such.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// How many samples belong to this class.
    pub support: u64,
}

/// An average over the classes, each score in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// The mean precision.
    pub precision: f64,
    /// The mean recall.
    pub recall: f64,
    /// The mean of the F1 scores.
    pub f1: f64,
    /// How many samples there are in all.
    pub support: u64,
}

impl ClassificationReport {
    /// The report of a confusion matrix whose class `i` is called `classes[i]`.
    ///
    /// # Errors
    /// [`MetricsError::LengthMismatch`] when the number of names differs from the number of classes,
    /// [`MetricsError::Empty`] when there is no class.
    pub fn new<S: AsRef<str>>(
        confusion: &ConfusionMatrix,
        classes: &[S],
    ) -> Result<Self, MetricsError> {
        if classes.len() != confusion.classes() {
            return Err(MetricsError::LengthMismatch {
                what: "class names",
                expected: confusion.classes(),
                found: classes.len(),
            });
        }
        if classes.is_empty() {
            return Err(MetricsError::Empty {
                what: "the number of classes",
            });
        }
        let mut tallies = vec![Tally::default(); classes.len()];
        for (truth, predicted, count) in confusion.cells() {
            if let Some(tally) = tallies.get_mut(truth) {
                tally.support += count;
                if truth == predicted {
                    tally.hits += count;
                }
            }
            if let Some(tally) = tallies.get_mut(predicted) {
                tally.predicted += count;
            }
        }
        let scores: Vec<_> = classes
            .iter()
            .zip(&tallies)
            .map(|(name, tally)| tally.scores(name.as_ref()))
            .collect();
        let support = confusion.total();
        Ok(Self {
            accuracy: confusion.accuracy(),
            macro_avg: average(&scores, support, |_| 1.0),
            weighted_avg: average(&scores, support, |class| class.support as f64),
            classes: scores,
        })
    }
}

#[derive(Clone, Copy, Default)]
struct Tally {
    hits: u64,
    predicted: u64,
    support: u64,
}

impl Tally {
    fn scores(self, class: &str) -> ClassScores {
        ClassScores {
            class: class.to_owned(),
            precision: ratio(self.hits as f64, self.predicted as f64),
            recall: ratio(self.hits as f64, self.support as f64),
            f1: ratio(
                2.0 * self.hits as f64,
                self.predicted as f64 + self.support as f64,
            ),
            support: self.support,
        }
    }
}

fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 {
        0.0
    } else {
        numerator / denominator
    }
}

fn average(classes: &[ClassScores], support: u64, weight: impl Fn(&ClassScores) -> f64) -> Average {
    let total: f64 = classes.iter().map(&weight).sum();
    let mean = |score: fn(&ClassScores) -> f64| {
        ratio(
            classes
                .iter()
                .map(|class| score(class) * weight(class))
                .sum(),
            total,
        )
    };
    Average {
        precision: mean(|c| c.precision),
        recall: mean(|c| c.recall),
        f1: mean(|c| c.f1),
        support,
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST_AVERAGE: usize = "weighted avg".len();
        let digits = f.precision().unwrap_or(2);
        let longest_name = self
            .classes
            .iter()
            .map(|class| class.class.chars().count())
            .max()
            .unwrap_or(0);
        let width = longest_name.max(LONGEST_AVERAGE).max(digits);

        writeln!(
            f,
            "{:>width$}  {:>9} {:>9} {:>9} {:>9}",
            "", "precision", "recall", "f1-score", "support"
        )?;
        writeln!(f)?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, scores: [f64; 3], support: u64| {
            let [precision, recall, f1] = scores;
            writeln!(
                f,
                "{name:>width$}  {precision:>9.digits$} {recall:>9.digits$} {f1:>9.digits$} {support:>9}"
            )
        };
        for class in &self.classes {
            row(
                f,
                &class.class,
                [class.precision, class.recall, class.f1],
                class.support,
            )?;
        }
        writeln!(f)?;
        let support = self.macro_avg.support;
        writeln!(
            f,
            "{:>width$}  {:>9} {:>9} {:>9.digits$} {support:>9}",
            "accuracy", "", "", self.accuracy
        )?;
        for (name, average) in [
            ("macro avg", self.macro_avg),
            ("weighted avg", self.weighted_avg),
        ] {
            row(
                f,
                name,
                [average.precision, average.recall, average.f1],
                support,
            )?;
        }
        Ok(())
    }
}
