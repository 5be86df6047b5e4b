//! Cross-validation: each part of the samples is tested on once, by a model that has learnt from the others.

use std::ops::Range;

use crate::DataError;

/// The most parts that samples are divided into.
const MOST: usize = 10_000;

/// One of so many parts of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    /// From 1.
    index: usize,
    count: usize,
}

impl Fold {
    /// The part `index`, from 1, of `count`.
    ///
    /// # Errors
    /// [`DataError::Config`] for `data.fold`, where there is no such part or there are fewer than two.
    pub fn new([index, count]: [usize; 2]) -> Result<Self, DataError> {
        if (2..=MOST).contains(&count) && (1..=count).contains(&index) {
            return Ok(Self { index, count });
        }
        let allowed = format!(
            "a part, from 1, and the number of parts, 2 to {MOST}: [1, 5] is the first of five"
        );
        Err(DataError::invalid(
            "data.fold",
            format!("[{index}, {count}]"),
            allowed,
        ))
    }

    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// Of so many things in a row those that are of the part.
    pub(crate) fn range(self, len: usize) -> Range<usize> {
        let end = |part: usize| (len as u128 * part as u128 / self.count as u128) as usize;
        end(self.index - 1)..end(self.index)
    }

    /// Which of some samples in an order are of the part: every so manieth.
    pub(crate) fn has(self, place: usize) -> bool {
        place % self.count == self.index - 1
    }

    /// That there are fewer things than parts.
    pub(crate) fn too_many(self, things: &str, len: usize) -> DataError {
        let allowed = format!("at most {len} parts, as there are {things}");
        DataError::invalid(
            "data.fold",
            format!("[{}, {}]", self.index, self.count),
            allowed,
        )
    }
}

impl std::fmt::Display for Fold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fold {} of {}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Features, Normalization, Shape, Split, Targets};

    /// `x` of the sample i is i, and so is the second half of the classes.
    fn split(from: u16, count: u16) -> Split {
        let features = Features::Floats((from..from + count).map(f32::from).collect());
        let classes = (0..count).map(|at| u16::from(at >= count / 2)).collect();
        Split::new(
            Shape::Vector { len: 1 },
            features,
            Targets::Classes(classes),
        )
        .unwrap()
    }

    fn set(divided: bool) -> Dataset {
        let classes = ["a", "b"].map(str::to_owned).to_vec();
        let (train, test) = (split(0, 20), split(20, 6));
        let normalization = Normalization::of(&train);
        let mut set = Dataset::new("arrays:x", classes, normalization, train, test).unwrap();
        set.divided = divided;
        set
    }

    fn values(split: &Split) -> Vec<f32> {
        (0..split.len())
            .map(|at| split.values(at).unwrap()[0])
            .collect()
    }

    #[test]
    fn each_sample_is_tested_on_once() {
        for (divided, count) in [(false, 20), (true, 26)] {
            let set = set(divided);
            let mut seen = Vec::new();
            for index in 1..=5 {
                let part = set.fold(Fold::new([index, 5]).unwrap(), 3).unwrap();
                let (train, test) = (values(&part.train), values(&part.test));
                assert_eq!(train.len() + test.len(), count);
                assert!(train.iter().all(|x| !test.contains(x)));
                let seconds = (0..part.test.len()).filter(|&at| part.test.class(at) == Some(1));
                assert!((2..=3).contains(&seconds.count()));
                assert_eq!(part.normalization, Normalization::of(&part.train));
                assert!(part.notes[0].contains(&format!("fold {index} of 5")));
                assert_ne!(part.fingerprint, set.fingerprint);
                seen.extend(test);
            }
            seen.sort_by(f32::total_cmp);
            let all: Vec<f32> = (0..count).map(|i| i as f32).collect();
            assert_eq!(seen, all);
        }
        let one = |seed| set(false).fold(Fold::new([1, 5]).unwrap(), seed).unwrap();
        assert_eq!(one(1), one(1));
        assert_ne!(one(1).test, one(2).test);
    }

    #[test]
    fn windows_in_memory_are_cut_into_blocks_that_share_no_bin() {
        let windows = |count: usize| {
            let series = (0..=count).map(|bin| bin as f32).collect();
            let data = vec![1.0; count];
            let shape = Shape::Sequence {
                steps: 2,
                channels: 1,
            };
            let starts = ((0..count).collect(), 1);
            Split::windows(shape, series, starts, Targets::Values { data, width: 1 }).unwrap()
        };
        let (train, test) = (windows(20), windows(4));
        let normalization = Normalization::of(&train);
        let mut set = Dataset::new("recording:x", Vec::new(), normalization, train, test).unwrap();
        set.counts = true;
        let part = set.fold(Fold::new([2, 5]).unwrap(), 1).unwrap();
        assert!(part.counts);
        assert_eq!(part.test.starts().unwrap(), [4, 5, 6, 7]);
        let learnt = part.train.starts().unwrap();
        assert_eq!((learnt.len(), learnt[2], learnt[3]), (14, 2, 9));
        let error = set.fold(Fold::new([1, 21]).unwrap(), 1).unwrap_err();
        assert!(error.to_string().contains("at most 20 parts"), "{error}");
    }

    #[test]
    fn parts_that_there_are_not_are_refused() {
        for wrong in [[0, 5], [6, 5], [1, 1], [1, 0], [1, MOST + 1]] {
            assert!(
                Fold::new(wrong).unwrap_err().to_string().contains("fold"),
                "{wrong:?}"
            );
        }
        let fold = Fold::new([1, 21]).unwrap();
        let error = set(false).fold(fold, 1).unwrap_err().to_string();
        assert!(error.contains("at most 20 parts"), "{error}");
    }

    #[test]
    fn ranges_cover_everything_once() {
        for (len, count) in [(10, 3), (7, 7), (100, 6), (usize::MAX, 2)] {
            let ranges: Vec<_> = (1..=count)
                .map(|index| Fold { index, count }.range(len))
                .collect();
            assert_eq!(ranges[0].start, 0);
            assert_eq!(ranges[count - 1].end, len);
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
