use std::fmt;

use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::{ClassShares, ConfusionMatrix, MetricsError};

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

impl ClassificationReport {
    /// Accuracy, and the mean recall of the classes that have samples, as scikit-learn's `balanced_accuracy_score`.
    pub fn shares(&self) -> ClassShares {
        let recalls = || self.classes.iter().filter(|class| class.support > 0);
        let sum: f64 = recalls().map(|class| class.recall).sum();
        ClassShares {
            accuracy: self.accuracy,
            balanced_accuracy: ratio(sum, recalls().count() as f64),
        }
    }

    /// How many classes the macro average is taken over: `10 classes`, with those that no sample belongs to, whose F1 is 0
    /// whatever the model does.
    pub fn averaged(&self) -> String {
        let empty = self
            .classes
            .iter()
            .filter(|class| class.support == 0)
            .count();
        let classes = counted(self.classes.len(), "class");
        match empty {
            0 => classes,
            n => format!("{classes}, {n} of them without a test sample"),
        }
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
            // A name may come from a file of someone else's; a terminal obeys what is in it.
            row(
                f,
                &class.class.replace(char::is_control, "\u{fffd}"),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(counts: &[&[usize]], classes: &[&str]) -> ClassificationReport {
        let mut confusion = ConfusionMatrix::new(counts.len());
        for (truth, row) in counts.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate() {
                for _ in 0..count {
                    confusion.add(truth, predicted).unwrap();
                }
            }
        }
        ClassificationReport::new(&confusion, classes).unwrap()
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let report = report(&[&[1, 0], &[0, 1]], &["a\u{1b}[2J", "b\u{9b}\n"]);
        let text = report.to_string();
        assert!(text.contains("a\u{fffd}[2J"), "{text}");
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert_eq!(text.lines().count(), 8, "{text}");
    }

    #[test]
    fn the_macro_average_says_of_how_many_classes() {
        let full = report(&[&[1, 0], &[0, 1]], &["a", "b"]);
        assert_eq!(full.averaged(), "2 classes");
        let part = report(&[&[0, 0, 0], &[0, 1, 0], &[0, 0, 1]], &["a", "b", "c"]);
        assert_eq!(
            part.averaged(),
            "3 classes, 1 of them without a test sample"
        );
        assert!((part.macro_avg.f1 - 2.0 / 3.0).abs() < 1e-12);
    }

    // The expected texts were printed by scikit-learn 1.9.1.

    #[test]
    fn prints_like_scikit_learn() {
        let report = report(
            &[&[50, 0, 0], &[0, 47, 3], &[0, 1, 49]],
            &["setosa", "versicolor", "virginica"],
        );
        let expected = "              precision    recall  f1-score   support\n\
            \n      setosa       1.00      1.00      1.00        50\n\
            \x20 versicolor       0.98      0.94      0.96        50\n\
            \x20  virginica       0.94      0.98      0.96        50\n\
            \n    accuracy                           0.97       150\n\
            \x20  macro avg       0.97      0.97      0.97       150\n\
            weighted avg       0.97      0.97      0.97       150\n";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn prints_long_names_and_classes_never_seen() {
        let report = report(
            &[&[3, 0, 0, 1], &[1, 0, 2, 0], &[0, 0, 5, 0], &[0, 0, 0, 0]],
            &[
                "Tête-à-queue",
                "an unusually long class name",
                "猫",
                "never seen",
            ],
        );
        let expected = [
            "                              precision    recall  f1-score   support",
            "",
            "                Tête-à-queue       0.75      0.75      0.75         4",
            "an unusually long class name       0.00      0.00      0.00         3",
            "                           猫       0.71      1.00      0.83         5",
            "                  never seen       0.00      0.00      0.00         0",
            "",
            "                    accuracy                           0.67        12",
            "                   macro avg       0.37      0.44      0.40        12",
            "                weighted avg       0.55      0.67      0.60        12",
            "",
        ];
        assert_eq!(report.to_string(), expected.join("\n"));
    }

    #[test]
    fn rounds_ties_to_even() {
        let report = report(&[&[1, 7, 0], &[3, 5, 0], &[0, 0, 8]], &["a", "b", "c"]);
        let expected = [
            "              precision    recall  f1-score   support",
            "",
            "           a       0.25      0.12      0.17         8",
            "           b       0.42      0.62      0.50         8",
            "           c       1.00      1.00      1.00         8",
            "",
            "    accuracy                           0.58        24",
            "   macro avg       0.56      0.58      0.56        24",
            "weighted avg       0.56      0.58      0.56        24",
            "",
        ];
        assert_eq!(report.to_string(), expected.join("\n"));
    }

    #[test]
    fn prints_as_many_digits_as_asked_for() {
        let report = report(&[&[2, 1], &[0, 3]], &["a", "b"]);
        let expected = [
            "                precision    recall  f1-score   support",
            "",
            "             a  1.00000000000000 0.66666666666667 0.80000000000000         3",
            "             b  0.75000000000000 1.00000000000000 0.85714285714286         3",
            "",
            "      accuracy                      0.83333333333333         6",
            "     macro avg  0.87500000000000 0.83333333333333 0.82857142857143         6",
            "  weighted avg  0.87500000000000 0.83333333333333 0.82857142857143         6",
            "",
        ];
        assert_eq!(format!("{report:.14}"), expected.join("\n"));
    }

    #[test]
    fn refuses_names_that_do_not_fit() {
        let confusion = ConfusionMatrix::new(3);
        let error = ClassificationReport::new(&confusion, &["a", "b"]).unwrap_err();
        assert_eq!(error.to_string(), "class names: expected 3, found 2");
        let none: [&str; 0] = [];
        assert!(ClassificationReport::new(&ConfusionMatrix::new(0), &none).is_err());
    }

    #[test]
    fn nothing_counted_scores_zero() {
        let report = ClassificationReport::new(&ConfusionMatrix::new(2), &["a", "b"]).unwrap();
        assert_eq!(
            (
                report.accuracy,
                report.macro_avg.f1,
                report.weighted_avg.recall
            ),
            (0.0, 0.0, 0.0)
        );
    }

    proptest! {
        #[test]
        fn identities_hold(pairs in prop::collection::vec((0usize..5, 0usize..5), 1..300)) {
            let mut confusion = ConfusionMatrix::new(5);
            for &(truth, predicted) in &pairs {
                confusion.add(truth, predicted).unwrap();
            }
            let report = ClassificationReport::new(&confusion, &["a", "b", "c", "d", "e"]).unwrap();
            prop_assert!((report.accuracy - report.weighted_avg.recall).abs() < 1e-12);
            prop_assert_eq!(report.classes.iter().map(|c| c.support).sum::<u64>(), pairs.len() as u64);
            for class in &report.classes {
                let (p, r) = (class.precision, class.recall);
                prop_assert!((0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&r));
                let harmonic = if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 };
                prop_assert!((class.f1 - harmonic).abs() < 1e-12);
            }
            let lowest = report.classes.iter().map(|c| c.f1).fold(1.0, f64::min);
            let highest = report.classes.iter().map(|c| c.f1).fold(0.0, f64::max);
            prop_assert!((lowest - 1e-12..=highest + 1e-12).contains(&report.macro_avg.f1));
            let lines = report.to_string();
            prop_assert!(lines.lines().filter(|l| !l.is_empty()).all(|l| l.len() == 12 + 2 + 4 * 9 + 3));
        }

        #[test]
        fn a_permutation_of_the_classes_changes_no_average(
            pairs in prop::collection::vec((0usize..4, 0usize..4), 1..200),
        ) {
            let names = ["a", "b", "c", "d"];
            let score = |rename: [usize; 4]| {
                let mut confusion = ConfusionMatrix::new(4);
                for &(truth, predicted) in &pairs {
                    confusion.add(rename[truth], rename[predicted]).unwrap();
                }
                ClassificationReport::new(&confusion, &names).unwrap()
            };
            let (left, right) = (score([0, 1, 2, 3]), score([2, 0, 3, 1]));
            prop_assert_eq!(left.accuracy, right.accuracy);
            prop_assert!((left.macro_avg.f1 - right.macro_avg.f1).abs() < 1e-12);
            prop_assert!((left.weighted_avg.precision - right.weighted_avg.precision).abs() < 1e-12);
        }
    }
}
