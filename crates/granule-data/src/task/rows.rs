//! Images as sequences of their rows: sequential MNIST by rows is 28 steps of 28 inputs (after Le, Jaitly & Hinton 2015).

use serde::Serialize;

use super::TaskInfo;
use crate::{DataError, Shape};

/// The extents of an image read from top to bottom, one row a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowSequence {
    /// Steps: the rows of the image.
    pub steps: usize,
    /// Inputs at a step: the pixels of a row, all of the first channel, then all of the next.
    pub inputs: usize,
    channels: usize,
}

impl RowSequence {
    /// The sequence that an image makes.
    ///
    /// # Errors
    /// [`DataError::Config`] for a sample that is no image, or one without a pixel.
    pub fn of(shape: Shape) -> Result<Self, DataError> {
        match shape {
            Shape::Image {
                channels,
                height,
                width,
            } if !shape.is_empty() => Ok(Self {
                steps: height,
                inputs: channels.saturating_mul(width),
                channels,
            }),
            _ => Err(DataError::invalid(
                "dataset",
                shape,
                "images, whose rows are the steps of a sequence",
            )),
        }
    }

    /// Whether samples as [`Split::gather`](crate::Split::gather) writes them, `[batch, channels · height · width]`, are
    /// sequences `[batch, steps, inputs]` as they lie: true for one channel, as in MNIST.
    pub fn is_view(&self) -> bool {
        self.channels == 1
    }

    /// Brings samples of several channels into the order of the sequence, `[batch, steps, inputs]`.
    ///
    /// # Errors
    /// [`DataError::Config`] for numbers that are not whole samples.
    pub fn arrange(&self, samples: &mut [f32]) -> Result<(), DataError> {
        let len = self.steps * self.inputs;
        if !samples.len().is_multiple_of(len) {
            return Err(DataError::invalid(
                "samples",
                format!("{} numbers", samples.len()),
                format!("a multiple of the {len} of one sample"),
            ));
        }
        if self.is_view() {
            return Ok(());
        }
        let width = self.inputs / self.channels;
        let mut image = vec![0.0; len];
        for sample in samples.chunks_exact_mut(len) {
            image.copy_from_slice(sample);
            for (place, row) in sample.chunks_exact_mut(width).enumerate() {
                let (step, channel) = (place / self.channels, place % self.channels);
                let start = (channel * self.steps + step) * width;
                if let Some(pixels) = image.get(start..start + width) {
                    row.copy_from_slice(pixels);
                }
            }
        }
        Ok(())
    }

    /// What the task is, for a set of images with these classes.
    pub fn info(&self, classes: &[String]) -> TaskInfo {
        TaskInfo {
            name: "rows",
            summary: "Name the class of an image that is seen row by row, after its last row.",
            paper: "Le, Jaitly & Hinton (2015), A simple way to initialize recurrent networks of rectified linear units, \
                    arXiv:1504.00941 (there pixel by pixel)",
            inputs: (1..=self.inputs)
                .map(|pixel| format!("pixel {pixel}"))
                .collect(),
            outputs: classes.to_vec(),
            tags: &["classification", "sequence"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Normalization, synthetic};

    #[test]
    fn grey_images_are_sequences_as_they_lie() {
        let split = synthetic::split(1, synthetic::Part::Train, 2).unwrap();
        let rows = RowSequence::of(split.shape()).unwrap();
        assert_eq!((rows.steps, rows.inputs, rows.is_view()), (28, 28, true));
        let mut samples = Vec::new();
        split
            .gather(&[0, 1], &Normalization::default(), None, &mut samples)
            .unwrap();
        let before = samples.clone();
        rows.arrange(&mut samples).unwrap();
        assert_eq!(samples, before);
        let pixel = split.pixels(1).unwrap()[5 * 28 + 9];
        assert_eq!(samples[28 * 28 + 5 * 28 + 9], f32::from(pixel) / 255.0);
        assert!(rows.arrange(&mut samples[1..]).is_err());
        assert_eq!(rows.info(&["0".into()]).inputs.len(), 28);
    }

    #[test]
    fn a_row_of_a_colour_image_holds_its_channels() {
        let shape = Shape::Image {
            channels: 2,
            height: 2,
            width: 3,
        };
        let rows = RowSequence::of(shape).unwrap();
        let mut samples: Vec<f32> = (0..24).map(|i| i as f32).collect();
        rows.arrange(&mut samples).unwrap();
        let expected = [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11].map(|i| i as f32);
        assert_eq!(samples[..12], expected);
        assert_eq!(samples[12..], expected.map(|x| x + 12.0));
    }

    #[test]
    fn vectors_have_no_rows() {
        let message = RowSequence::of(Shape::Vector { len: 3 })
            .unwrap_err()
            .to_string();
        assert!(message.contains("images"), "{message}");
        let empty = Shape::Image {
            channels: 1,
            height: 0,
            width: 3,
        };
        assert!(RowSequence::of(empty).is_err());
    }
}
