//! Burn's [`Dataset`] trait, so that Burn's data loaders and transforms take a [`Split`].

use burn::data::dataset::{Dataset, DatasetError};

use crate::{DataError, Features, Split};

/// One sample, as Burn's data loaders hand it to a batcher.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Pixels 0..=255 (C, H, W), or raw features.
    pub features: Features,
    /// What to predict.
    pub target: Target,
}

/// What to predict for one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The index of the class.
    Class(u16),
    /// Real values.
    Values(Vec<f32>),
}

impl Split {
    /// One sample on its own.
    ///
    /// # Errors
    /// [`DataError::OutOfRange`] for an index beyond the end.
    pub fn sample(&self, index: usize) -> Result<Sample, DataError> {
        let features = match (self.pixels(index), self.values(index)) {
            (Some(pixels), _) => Features::Bytes(pixels.to_vec()),
            (_, Some(values)) => Features::Floats(values.to_vec()),
            _ => return Err(self.out_of_range(index)),
        };
        let target = match (self.class(index), self.target_values(index)) {
            (Some(class), _) => Target::Class(class),
            (_, Some(values)) => Target::Values(values.to_vec()),
            _ => return Err(self.out_of_range(index)),
        };
        Ok(Sample { features, target })
    }

    fn out_of_range(&self, index: usize) -> DataError {
        DataError::OutOfRange {
            index,
            len: self.len(),
        }
    }
}

impl Dataset<Sample> for Split {
    /// # Panics
    /// When `index` is not below [`Split::len`]: Burn's contract for this trait. [`Split::sample`] does not panic.
    fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        assert!(index < self.len(), "{}", self.out_of_range(index));
        self.sample(index).map_err(DatasetError::new)
    }

    fn len(&self) -> usize {
        Split::len(self)
    }
}

#[cfg(test)]
mod tests {
    use burn::data::dataset::transform::PartialDataset;

    use super::*;
    use crate::{Shape, Targets};

    #[test]
    fn burn_reads_images_and_vectors() {
        let shape = Shape::Image {
            channels: 1,
            height: 1,
            width: 2,
        };
        let images = Split::new(
            shape,
            Features::Bytes(vec![1, 2, 3, 4, 5, 6]),
            Targets::Classes(vec![7, 8, 9]),
        )
        .unwrap();
        let last = PartialDataset::new(images.clone(), 2, 3);
        assert_eq!(Dataset::len(&images), 3);
        let expected = Sample {
            features: Features::Bytes(vec![5, 6]),
            target: Target::Class(9),
        };
        assert_eq!(last.get(0).unwrap(), expected);
        assert_eq!(Dataset::iter(&images).count(), 3);
        assert!(matches!(
            images.sample(3),
            Err(DataError::OutOfRange { index: 3, len: 3 })
        ));

        let vectors = Split::new(
            Shape::Vector { len: 1 },
            Features::Floats(vec![0.5, 1.5]),
            Targets::Values {
                data: vec![1.0, 2.0, 3.0, 4.0],
                width: 2,
            },
        )
        .unwrap();
        let expected = Sample {
            features: Features::Floats(vec![1.5]),
            target: Target::Values(vec![3.0, 4.0]),
        };
        assert_eq!(vectors.get(1).unwrap(), expected);
    }

    #[test]
    #[should_panic(expected = "sample 2 was asked for, the split holds 1")]
    fn beyond_the_end_burn_wants_a_panic() {
        let split = Split::new(
            Shape::Vector { len: 1 },
            Features::Floats(vec![0.5]),
            Targets::Classes(vec![0]),
        )
        .unwrap();
        let _ = split.get(2);
    }
}
