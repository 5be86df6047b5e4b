//! Random divisions into a training and a test part.

use std::path::Path;

use granule_io::budget;
use granule_io::words::counted;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::fold::Fold;
use crate::{DataError, Shape, Split, Targets};

/// One sample of this many goes to the test part.
const TEST_EVERY: usize = 5;

/// How a set without parts of its own is divided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Division {
    pub seed: u64,
    /// Whether a trained model is scored on it, so that there may be too little to learn from.
    pub scored: bool,
}

/// Whether a window of so many steps that begins at a step shares none with those that begin at the others.
pub fn apart(steps: usize, others: impl Iterator<Item = usize>) -> impl Fn(usize) -> bool {
    let ends = others.fold(None, |ends: Option<(usize, usize)>, start| {
        let (first, last) = ends.unwrap_or((start, start));
        Some((first.min(start), last.max(start)))
    });
    move |start| ends.is_none_or(|(first, last)| start + steps <= first || last + steps <= start)
}

/// What the folder of a validation part is called, and its arrays after `x_` and `y_`.
pub(crate) const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// What the parts of a set are called here, and elsewhere.
const NAMES: [(&str, &[&str]); 3] = [
    ("train", &["train", "training", "trn"]),
    (
        "test",
        &[
            "test",
            "testing",
            "tests",
            "tst",
            "eval",
            "evaluation",
            "holdout",
        ],
    ),
    (
        "val",
        &[
            "val",
            "valid",
            "validate",
            "validating",
            "validation",
            "dev",
        ],
    ),
];

/// A part of a set in words.
pub(crate) fn full(part: &str) -> &str {
    match part {
        "train" => "training",
        "val" => "validation",
        part => part,
    }
}

/// The part of a set that a name stands for, in whatever case: `Testing`.
pub(crate) fn part_named(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let mut parts = NAMES.iter();
    let (part, _) = parts.find(|(_, names)| names.contains(&name.as_str()))?;
    Some(part)
}

/// As [`part_named`], with more behind the name: `val2017`, `test_images`.
pub(crate) fn part_begun(name: &str) -> Option<&'static str> {
    let end = name.find(|c: char| !c.is_ascii_alphabetic());
    part_named(name.get(..end.unwrap_or(name.len()))?)
}

impl Division {
    /// Divides a split at random, class by class when there are classes; training samples come in random order. None where
    /// there is too little of it to divide, and it is scored alone; `path` is for messages.
    pub(crate) fn of(
        &self,
        split: &Split,
        path: &Path,
    ) -> Result<Option<(Split, Split)>, DataError> {
        check_memory(split.len())?;
        let parts = self.checked(draw(classes(split), self.seed), split.len(), path)?;
        let subsets = parts.map(|(train, test)| Ok((split.subset(&train)?, split.subset(&test)?)));
        subsets.transpose()
    }

    /// As [`of`](Self::of), of samples that are not loaded yet: their places in the training and in the test part.
    pub(crate) fn of_classes(
        &self,
        labels: &[u16],
        path: &Path,
    ) -> Result<Option<Places>, DataError> {
        check_memory(labels.len())?;
        self.checked(draw(groups(labels), self.seed), labels.len(), path)
    }

    fn checked(
        &self,
        places: Places,
        samples: usize,
        path: &Path,
    ) -> Result<Option<Places>, DataError> {
        match places {
            (_, test) if test.is_empty() && self.scored => Ok(None),
            (_, test) if test.is_empty() => Err(indivisible(samples, path)),
            places => Ok(Some(places)),
        }
    }
}

/// The places of the samples of the training and of the test part.
type Places = (Vec<usize>, Vec<usize>);

/// Asks for the places of so many samples: in their class, in their part, and what growing takes.
fn check_memory(samples: usize) -> Result<(), DataError> {
    Ok(budget::ask_for::<[usize; 4]>(
        "the division into a training and a test part",
        samples,
    )?)
}

/// What is said of a set that is all test part, as it cannot be divided.
pub(crate) fn undivided(path: &Path, samples: usize) -> String {
    format!(
        "{}: {} in it, too few to be divided: all are tested",
        path.display(),
        counted(samples, "sample")
    )
}

fn indivisible(samples: usize, path: &Path) -> DataError {
    let reason = format!(
        "{} in it, too few to be divided: a training and a test part take at least two of one class",
        counted(samples, "sample")
    );
    DataError::format(path, reason)
}

/// So many samples in a random order.
pub(crate) fn shuffled(len: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut generator(seed));
    order
}

fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The samples that a part of cross-validation leaves to be learnt from, in random order, and those that it tests on.
pub(crate) fn fold(split: &Split, fold: Fold, seed: u64) -> Result<Places, DataError> {
    check_memory(split.len())?;
    if let Some(starts) = split.starts() {
        let steps = match split.shape() {
            Shape::Sequence { steps, .. } => steps,
            _ => 1,
        };
        return block(starts, steps, fold);
    }
    let mut generator = generator(seed);
    // One class after the other, dealt out in turn.
    let mut dealt = Vec::new();
    for mut class in classes(split) {
        class.shuffle(&mut generator);
        dealt.append(&mut class);
    }
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (place, index) in dealt.into_iter().enumerate() {
        let part = if fold.has(place) {
            &mut test
        } else {
            &mut train
        };
        part.push(index);
    }
    if test.is_empty() || train.is_empty() || fold.count() > split.len() {
        let samples = counted(split.len(), "sample");
        return Err(fold.too_many(&samples, split.len()));
    }
    train.shuffle(&mut generator);
    test.sort_unstable();
    Ok((train, test))
}

/// Of windows of a recording a block in a row, and those that share no bin with it.
fn block(starts: &[usize], steps: usize, fold: Fold) -> Result<Places, DataError> {
    let tested = fold.range(starts.len());
    let own = starts.get(tested.clone()).unwrap_or_default();
    if own.is_empty() {
        let windows = counted(starts.len(), "window");
        return Err(fold.too_many(&windows, starts.len()));
    }
    let apart = apart(steps, own.iter().copied());
    let all = starts.iter().enumerate();
    let learnt: Vec<usize> = all
        .filter_map(|(at, &start)| apart(start).then_some(at))
        .collect();
    if learnt.is_empty() {
        Err(fold.too_many("windows that share bins", 1))
    } else {
        Ok((learnt, tested.collect()))
    }
}

/// The places of the samples of each class; of real values all are of one.
fn classes(split: &Split) -> Vec<Vec<usize>> {
    match split.targets() {
        Targets::Classes(labels) => groups(labels),
        Targets::Values { .. } => vec![(0..split.len()).collect()],
    }
}

/// The places of the samples of each class.
fn groups(labels: &[u16]) -> Vec<Vec<usize>> {
    let count = labels
        .iter()
        .max()
        .map_or(0, |&label| usize::from(label) + 1);
    let mut groups = vec![Vec::new(); count];
    for (index, &label) in labels.iter().enumerate() {
        if let Some(group) = groups.get_mut(usize::from(label)) {
            group.push(index);
        }
    }
    groups
}

fn draw(groups: Vec<Vec<usize>>, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut generator = generator(seed);
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for mut group in groups {
        group.shuffle(&mut generator);
        let count = match group.len() {
            0 | 1 => 0,
            len => ((len + TEST_EVERY / 2) / TEST_EVERY).max(1),
        };
        let (for_test, for_train) = group.split_at_checked(count).unwrap_or_default();
        test.extend_from_slice(for_test);
        train.extend_from_slice(for_train);
    }
    train.shuffle(&mut generator);
    test.sort_unstable();
    (train, test)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Features, Shape};

    fn split(labels: Vec<u16>) -> Split {
        let features = Features::Floats((0..labels.len()).map(|i| i as f32).collect());
        Split::new(Shape::Vector { len: 1 }, features, Targets::Classes(labels)).unwrap()
    }

    fn divide(all: &Split, seed: u64) -> Result<Option<(Split, Split)>, DataError> {
        let scored = false;
        Division { seed, scored }.of(all, Path::new("x.npy"))
    }

    #[test]
    fn every_class_is_divided_alike() {
        let all = split((0..100).map(|i| u16::from(i >= 40)).collect());
        let (train, test) = divide(&all, 7).unwrap().unwrap();
        let count = |split: &Split, class| {
            (0..split.len())
                .filter(|&i| split.class(i) == Some(class))
                .count()
        };
        assert_eq!((count(&train, 0), count(&test, 0)), (32, 8));
        assert_eq!((count(&train, 1), count(&test, 1)), (48, 12));
        let mut seen: Vec<f32> = [&train, &test]
            .iter()
            .flat_map(|part| (0..part.len()).map(|i| part.values(i).unwrap()[0]))
            .collect();
        seen.sort_by(f32::total_cmp);
        assert_eq!(seen, (0..100).map(|i| i as f32).collect::<Vec<_>>());
    }

    #[test]
    fn the_seed_decides() {
        let all = split(vec![0; 50]);
        assert_eq!(divide(&all, 1).unwrap(), divide(&all, 1).unwrap());
        assert_ne!(divide(&all, 1).unwrap(), divide(&all, 2).unwrap());
    }

    #[test]
    fn one_sample_of_each_class_cannot_be_divided() {
        assert!(matches!(
            divide(&split(vec![0, 1, 2]), 0),
            Err(DataError::Format { .. })
        ));
    }
}
