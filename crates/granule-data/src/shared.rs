//! Samples that stand in the part to learn from and in the part to test on.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use granule_io::budget;
use granule_io::words::counted;

use crate::{DataError, Dataset, Split};

/// The share of the test part that is told of: single samples may be alike by chance.
const TOLD: f64 = 0.05;
/// The share of training samples that differ from one another, at least: where few values occur, as in tables of categories,
/// equal samples say nothing.
const DISTINCT: f64 = 0.9;

/// A sentence about test samples that are in the training part as well, target and all.
///
/// # Errors
/// [`DataError::Memory`]
pub(crate) fn told(dataset: &Dataset) -> Result<Option<String>, DataError> {
    let (train, test) = (&dataset.train, &dataset.test);
    // Windows of one recording share its bins, and are told apart where they are cut.
    if train.starts().is_some() || test.is_empty() || train.shape() != test.shape() {
        return Ok(None);
    }
    let what = "the comparison of the training and the test part";
    budget::ask_for::<[u64; 3]>(what, train.len())?;
    let learnt: HashSet<u64> = (0..train.len()).filter_map(|at| hash(train, at)).collect();
    if (learnt.len() as f64) < DISTINCT * train.len() as f64 {
        return Ok(None);
    }
    let again = (0..test.len())
        .filter_map(|at| hash(test, at))
        .filter(|sample| learnt.contains(sample))
        .count();
    let told = again as f64 >= TOLD * test.len() as f64 && again > 1;
    Ok(told.then(|| {
        format!(
            "{again} of the {} are also in the training part: how well they are known says nothing of new samples",
            counted(test.len(), "test sample")
        )
    }))
}

fn hash(split: &Split, index: usize) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match split.pixels(index) {
        Some(pixels) => pixels.hash(&mut hasher),
        None => hash_floats(split.values(index)?, &mut hasher),
    }
    split.class(index).hash(&mut hasher);
    hash_floats(split.target_values(index).unwrap_or_default(), &mut hasher);
    Some(hasher.finish())
}

/// Numbers by their bits.
pub(crate) fn hash_floats(values: &[f32], hasher: &mut DefaultHasher) {
    values.iter().for_each(|x| x.to_bits().hash(hasher));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Features, Normalization, Shape, Targets};

    /// A part of one number each, whose class is whether it is odd.
    fn part(numbers: &[u16]) -> Split {
        let features = Features::Floats(numbers.iter().map(|&x| f32::from(x)).collect());
        let classes = Targets::Classes(numbers.iter().map(|x| x % 2).collect());
        Split::new(Shape::Vector { len: 1 }, features, classes).unwrap()
    }

    fn told_of(train: &[u16], test: &[u16]) -> Option<String> {
        let names = vec!["even".to_owned(), "odd".to_owned()];
        let (train, test) = (part(train), part(test));
        let set = Dataset::new("numbers", names, Normalization::of(&train), train, test);
        told(&set.unwrap()).unwrap()
    }

    #[test]
    fn test_samples_that_were_learnt_from_are_counted() {
        let train: Vec<u16> = (0..40).collect();
        let found = told_of(&train, &[3, 4, 5, 50, 51, 52]).unwrap();
        assert!(
            found.starts_with("3 of the 6 test samples are also"),
            "{found}"
        );
        assert_eq!(told_of(&train, &[50, 51, 52]), None);
        // One may be alike by chance, and where few numbers occur all are.
        assert_eq!(told_of(&train, &[3, 50, 51, 52]), None);
        let few: Vec<u16> = (0..40).map(|x| x % 8).collect();
        assert_eq!(told_of(&few, &[1, 2, 3, 4]), None);
    }
}
