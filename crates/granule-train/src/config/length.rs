//! How long a run is.

use super::{ModelConfig, RunConfig, TrainConfig};

impl RunConfig {
    /// Asks for as many optimiser steps as a model needs on a small training part, where nobody chose the length of the
    /// run: the epochs of [`recipe`](Self::recipe) are meant for tens of thousands of samples. `granule train` does so
    /// unless `--epochs` or one of the keys `train.epochs` and `train.min_steps` is given. Tasks make as many new trials as
    /// an epoch asks for, and recordings have few batches: their epochs stay.
    ///
    /// The numbers were chosen on held-out parts of the training samples of eight small sets, from 300 to 1800 samples: in
    /// 500 steps a network stays below ridge regression and the nearest neighbour. Where a step takes long there are fewer,
    /// and on images of folders, where a convolutional network has no more right after 2000 steps than after 500.
    pub fn of_default_length(mut self) -> Self {
        let data = &self.data;
        let images = data.dataset.has_encoded_images();
        if data.task.is_none() && data.recording.is_none() {
            self.train.min_steps = match self.model.name() {
                ModelConfig::MULTI_GRANULARITY => None,
                "mlp" => Some(4000),
                "cnn" | "lenet" if images => Some(500),
                "resnet" => Some(1000),
                _ => Some(2000),
            };
        }
        self
    }
}

/// A run that [`TrainConfig::min_steps`] makes longer than [`TrainConfig::epochs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengthened {
    /// `train.epochs` as it was asked for.
    pub epochs: usize,
    /// `train.min_steps`, which takes more.
    pub min_steps: usize,
}

impl TrainConfig {
    /// Optimiser steps in one epoch of so many samples.
    pub(crate) fn steps_per_epoch(&self, samples: usize) -> usize {
        self.batches_per_epoch(samples)
            .div_ceil(self.accumulate.max(1))
    }

    /// Batches in one epoch of so many samples.
    pub(crate) fn batches_per_epoch(&self, samples: usize) -> usize {
        samples.div_ceil(self.batch_size.max(1))
    }

    /// Turns the least number of steps into epochs of so many training samples, and says so if that makes them more.
    pub(crate) fn settle_length(&mut self, samples: usize) -> Option<Lengthened> {
        let min_steps = self.min_steps.take()?;
        let least = min_steps.div_ceil(self.steps_per_epoch(samples).max(1));
        let epochs = self.epochs;
        self.epochs = epochs.max(least);
        (least > epochs).then_some(Lengthened { epochs, min_steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_get_more_epochs_and_large_ones_stay() {
        let epochs = |samples: usize, accumulate: usize, min_steps: Option<usize>| {
            let mut train = TrainConfig {
                accumulate,
                min_steps,
                ..Default::default()
            };
            let lengthened = train.settle_length(samples);
            assert_eq!(train.min_steps, None);
            assert_eq!(lengthened.is_some(), train.epochs > 10);
            assert!(lengthened.is_none_or(|l| (l.epochs, Some(l.min_steps)) == (10, min_steps)));
            train.epochs
        };
        assert_eq!(epochs(1000, 1, None), 10);
        assert_eq!(epochs(1000, 1, Some(2000)), 125);
        assert_eq!(epochs(1000, 4, Some(2000)), 500);
        assert_eq!(epochs(60_000, 1, Some(2000)), 10);
        assert_eq!(epochs(0, 1, Some(20)), 20);
    }
}
