use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MetricsError;

/// Counts of (true class, predicted class) pairs.
///
/// Only the cells that occur are stored, so memory grows with the number of distinct pairs and not with the square of
/// the number of classes. Serialised as `{"classes": n, "cells": [[truth, predicted, count], …]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ConfusionMatrix {
    classes: usize,
    cells: BTreeMap<(usize, usize), u64>,
    total: u64,
}

impl ConfusionMatrix {
    /// An empty matrix of `classes` × `classes` cells.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            cells: BTreeMap::new(),
            total: 0,
        }
    }

    /// Counts one prediction.
    ///
    /// # Errors
    /// [`MetricsError::ClassOutOfRange`] when either index is not below [`classes`](Self::classes).
    pub fn add(&mut self, truth: usize, predicted: usize) -> Result<(), MetricsError> {
        self.add_many(truth, predicted, 1)
    }

    /// Adds all counts of `other`, for instance of another part of the same data.
    ///
    /// # Errors
    /// [`MetricsError::LengthMismatch`] when the two differ in the number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        if self.classes != other.classes {
            return Err(MetricsError::LengthMismatch {
                what: "classes of the other confusion matrix",
                expected: self.classes,
                found: other.classes,
            });
        }
        other
            .cells()
            .try_for_each(|(truth, predicted, count)| self.add_many(truth, predicted, count))
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often `truth` was predicted as `predicted`; 0 for indices out of range.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.cells.get(&(truth, predicted)).copied().unwrap_or(0)
    }

    /// How often each class was predicted.
    pub fn predicted(&self) -> Vec<u64> {
        let mut counts = vec![0; self.classes];
        for (_, predicted, count) in self.cells() {
            if let Some(sum) = counts.get_mut(predicted) {
                *sum += count;
            }
        }
        counts
    }

    /// The cells that are not zero as (truth, predicted, count), row by row.
    pub fn cells(&self) -> impl Iterator<Item = (usize, usize, u64)> + '_ {
        self.cells
            .iter()
            .map(|(&(truth, predicted), &count)| (truth, predicted, count))
    }

    /// The whole matrix, `counts[truth][predicted]`: `classes²` numbers.
    pub fn counts(&self) -> Vec<Vec<u64>> {
        (0..self.classes)
            .map(|truth| {
                let mut row = vec![0; self.classes];
                for (&(_, predicted), &count) in self.cells.range((truth, 0)..=(truth, usize::MAX))
                {
                    if let Some(cell) = row.get_mut(predicted) {
                        *cell = count;
                    }
                }
                row
            })
            .collect()
    }

    /// How many predictions were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them were right.
    pub fn correct(&self) -> u64 {
        self.cells()
            .filter(|(truth, predicted, _)| truth == predicted)
            .map(|(_, _, count)| count)
            .sum()
    }

    /// The fraction that was right, 0 when nothing was counted.
    pub fn accuracy(&self) -> f64 {
        if self.total == 0 {
            0.0
        } else {
            self.correct() as f64 / self.total as f64
        }
    }

    fn add_many(&mut self, truth: usize, predicted: usize, count: u64) -> Result<(), MetricsError> {
        for (role, class) in [("true", truth), ("predicted", predicted)] {
            if class >= self.classes {
                return Err(MetricsError::ClassOutOfRange {
                    role,
                    class,
                    classes: self.classes,
                });
            }
        }
        if count == 0 {
            return Ok(());
        }
        self.total = self
            .total
            .checked_add(count)
            .ok_or_else(|| MetricsError::InvalidCounts {
                reason: "their sum does not fit into 64 bits".into(),
            })?;
        *self.cells.entry((truth, predicted)).or_insert(0) += count;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    classes: usize,
    cells: Vec<(usize, usize, u64)>,
}

impl From<ConfusionMatrix> for Stored {
    fn from(matrix: ConfusionMatrix) -> Self {
        Self {
            classes: matrix.classes,
            cells: matrix.cells().collect(),
        }
    }
}

impl TryFrom<Stored> for ConfusionMatrix {
    type Error = MetricsError;

    fn try_from(stored: Stored) -> Result<Self, MetricsError> {
        let mut matrix = Self::new(stored.classes);
        for (truth, predicted, count) in stored.cells {
            if matrix.count(truth, predicted) != 0 {
                let reason = format!("the cell ({truth}, {predicted}) is listed twice");
                return Err(MetricsError::InvalidCounts { reason });
            }
            matrix.add_many(truth, predicted, count)?;
        }
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_what_was_added() {
        let mut matrix = ConfusionMatrix::new(3);
        for (truth, predicted) in [(0, 0), (0, 2), (0, 2), (2, 2), (1, 0)] {
            matrix.add(truth, predicted).unwrap();
        }
        assert_eq!(
            matrix.counts(),
            vec![vec![1, 0, 2], vec![1, 0, 0], vec![0, 0, 1]]
        );
        assert_eq!((matrix.total(), matrix.correct()), (5, 2));
        assert_eq!(matrix.accuracy(), 0.4);
        assert_eq!(matrix.count(0, 2), 2);
        assert_eq!(matrix.count(7, 7), 0);
    }

    #[test]
    fn refuses_a_class_out_of_range() {
        let mut matrix = ConfusionMatrix::new(2);
        let error = matrix.add(0, 2).unwrap_err();
        assert_eq!(
            error,
            MetricsError::ClassOutOfRange {
                role: "predicted",
                class: 2,
                classes: 2
            }
        );
        assert_eq!(
            error.to_string(),
            "predicted class 2 is out of range: the matrix has 2 classes (0..2)"
        );
        assert!(ConfusionMatrix::new(0).add(0, 0).is_err());
        assert_eq!(matrix.total(), 0);
    }

    #[test]
    fn stored_form_is_checked() {
        let read = |text: &str| serde_json::from_str::<ConfusionMatrix>(text);
        let matrix = read(r#"{"classes":2,"cells":[[0,1,4],[1,1,3]]}"#).unwrap();
        assert_eq!(matrix.counts(), vec![vec![0, 4], vec![0, 3]]);
        assert!(
            read(r#"{"classes":2,"cells":[[0,2,4]]}"#)
                .unwrap_err()
                .to_string()
                .contains("out of range")
        );
        assert!(
            read(r#"{"classes":2,"cells":[[0,1,4],[0,1,4]]}"#)
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        let overflow = format!(r#"{{"classes":2,"cells":[[0,1,{0}],[0,0,{0}]]}}"#, u64::MAX);
        assert!(read(&overflow).unwrap_err().to_string().contains("64 bits"));
        assert!(read(r#"{"classes":18446744073709551615,"cells":[]}"#).is_ok());
    }

    proptest! {
        #[test]
        fn merging_parts_equals_counting_the_whole(
            pairs in prop::collection::vec((0usize..6, 0usize..6), 0..200),
            cut in 0usize..200,
        ) {
            let count = |pairs: &[(usize, usize)]| {
                let mut matrix = ConfusionMatrix::new(6);
                for &(truth, predicted) in pairs {
                    matrix.add(truth, predicted).unwrap();
                }
                matrix
            };
            let (left, right) = pairs.split_at(cut.min(pairs.len()));
            let mut merged = count(left);
            merged.merge(&count(right)).unwrap();
            let whole = count(&pairs);
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(whole.counts().iter().flatten().sum::<u64>(), pairs.len() as u64);
            let json = serde_json::to_string(&whole).unwrap();
            prop_assert_eq!(serde_json::from_str::<ConfusionMatrix>(&json).unwrap(), whole);
        }
    }
}
