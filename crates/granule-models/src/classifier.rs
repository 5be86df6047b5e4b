//! Inference for classifiers: samples in, class names with probabilities out.

use std::path::Path;

use burn::tensor::Device;
use image::DynamicImage;
use serde::Serialize;

use crate::{
    Background, InputSpec, ModelError, ModelFile, Predictor, Provenance, Resize, Sample, Task,
};

/// Class names with their probabilities, the most probable first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Every class with its probability; they add up to 1.
    pub classes: Vec<(String, f32)>,
}

impl Prediction {
    /// The most probable class.
    pub fn best(&self) -> (&str, f32) {
        let first = self.classes.first();
        first.map_or(("", 0.0), |(name, probability)| (name, *probability))
    }

    /// The `k` most probable classes, or all when there are fewer.
    pub fn top(&self, k: usize) -> &[(String, f32)] {
        self.classes.get(..k).unwrap_or(&self.classes)
    }

    /// Of logits, of which it makes probabilities.
    fn new(logits: &mut [f32], names: &[String]) -> Self {
        to_probabilities(logits);
        let probabilities = logits.iter().copied();
        let mut classes: Vec<(String, f32)> = names.iter().cloned().zip(probabilities).collect();
        classes.sort_by(|a, b| b.1.total_cmp(&a.1));
        Self { classes }
    }
}

/// The softmax of logits, in their place.
fn to_probabilities(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| f64::from(logit - largest).exp();
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    for logit in logits {
        *logit = (weight(*logit) / total) as f32;
    }
}

/// A loaded classifier.
///
/// It is `Send + Sync`; a shared reference serves any number of threads. Images are converted to the greyscale or RGB the
/// model takes; one of another size is refused unless the model was trained on resized images or
/// [`resizing`](Self::resizing) is on.
#[derive(Debug)]
pub struct Classifier {
    predictor: Predictor,
    classes: Vec<String>,
}

impl Classifier {
    /// Loads a model file, a checkpoint, or the model of a run folder.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::load`] and [`ModelFile::network`]; [`ModelError::NotAClassifier`].
    pub fn from_path(path: impl AsRef<Path>, device: &Device) -> Result<Self, ModelError> {
        let path = path.as_ref();
        Predictor::from_path(path, device)
            .and_then(|predictor| Self::new(predictor).map_err(|error| error.in_file(path)))
    }

    /// Loads the content of a model file, for example of `include_bytes!`.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::from_bytes`] and [`ModelFile::network`]; [`ModelError::NotAClassifier`].
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, ModelError> {
        Self::new(Predictor::from_bytes(bytes, device)?)
    }

    /// Takes a model file that is in memory already.
    ///
    /// # Errors
    ///
    /// Those of [`ModelFile::network`]; [`ModelError::NotAClassifier`].
    pub fn from_file(file: &ModelFile, device: &Device) -> Result<Self, ModelError> {
        Self::new(Predictor::from_file(file, device)?)
    }

    fn new(predictor: Predictor) -> Result<Self, ModelError> {
        match predictor.task() {
            Task::Classification { classes } => Ok(Self {
                classes: classes.clone(),
                predictor,
            }),
            task => Err(ModelError::NotAClassifier {
                outputs: task.outputs(),
            }),
        }
    }

    /// Whether images of another size are resized, as in training or else stretched, rather than refused. At first
    /// they are resized as in training, if they were.
    #[must_use]
    pub fn resizing(mut self, resizing: bool) -> Self {
        self.predictor = self.predictor.resizing(resizing);
        self
    }

    /// How images of another size are resized; None refuses them.
    #[must_use]
    pub fn resizing_by(mut self, resize: Option<Resize>) -> Self {
        self.predictor = self.predictor.resizing_by(resize);
        self
    }

    /// Whether the brightness of images, in any form, is inverted: for dark strokes on light paper. Off at first.
    #[must_use]
    pub fn inverting(mut self, inverting: bool) -> Self {
        self.predictor = self.predictor.inverting(inverting);
        self
    }

    /// What the transparent pixels of image files are laid over, instead of what training laid them over.
    #[must_use]
    pub fn laying_over(mut self, background: Background) -> Self {
        self.predictor = self.predictor.laying_over(background);
        self
    }

    /// The numbers of black and white in images that come as values, instead of those the model was trained on.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] when they are not two finite numbers, that of black first.
    pub fn ranging(mut self, range: Option<[f64; 2]>) -> Result<Self, ModelError> {
        self.predictor = self.predictor.ranging(range)?;
        Ok(self)
    }

    /// The names of the classes, in the order of the model's outputs.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What the model takes.
    pub fn input(&self) -> &InputSpec {
        self.predictor.input()
    }

    /// Where the model comes from.
    pub fn provenance(&self) -> &Provenance {
        self.predictor.provenance()
    }

    /// The model that gives logits instead of probabilities.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// Classifies a sample in any form.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs`].
    pub fn predict(&self, sample: Sample<'_>) -> Result<Prediction, ModelError> {
        let mut logits = self.predictor.outputs(sample)?;
        Ok(Prediction::new(&mut logits, &self.classes))
    }

    /// Writes the probability of each class into `out`, in the order of [`classes`](Self::classes); as
    /// [`Predictor::outputs_into`] it asks for no memory.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs_into`].
    pub fn predict_into(&self, sample: Sample<'_>, out: &mut [f32]) -> Result<(), ModelError> {
        self.predictor.outputs_into(sample, out)?;
        to_probabilities(out);
        Ok(())
    }

    /// Classifies many samples, in their order; faster than one by one.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs`], for the first sample that fails.
    pub fn predict_batch(&self, samples: &[Sample<'_>]) -> Result<Vec<Prediction>, ModelError> {
        let mut predictions = Vec::with_capacity(samples.len());
        self.predictor.each_outputs(samples, |logits| {
            predictions.push(Prediction::new(logits, &self.classes));
        })?;
        Ok(predictions)
    }

    /// Writes the probabilities of many samples into `out`, `[samples, classes]`.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs_batch_into`].
    pub fn predict_batch_into(
        &self,
        samples: &[Sample<'_>],
        out: &mut [f32],
    ) -> Result<(), ModelError> {
        self.predictor.outputs_batch_into(samples, out)?;
        out.chunks_mut(self.classes.len().max(1))
            .for_each(to_probabilities);
        Ok(())
    }

    /// Classifies pixels from 0 to 255, in the order channel, row, column.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs`].
    pub fn predict_pixels(&self, pixels: &[u8]) -> Result<Prediction, ModelError> {
        self.predict(Sample::Pixels(pixels))
    }

    /// Classifies values before normalisation: features of a vector, or intensities of an image on a scale from 0 to 1
    /// (channel, row, column).
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs`].
    pub fn predict_values(&self, values: &[f32]) -> Result<Prediction, ModelError> {
        self.predict(Sample::Values(values))
    }

    /// Classifies the bytes of an image file: PNG, JPEG, WebP, BMP or GIF.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs`].
    pub fn predict_encoded(&self, bytes: &[u8]) -> Result<Prediction, ModelError> {
        self.predict(Sample::Encoded(bytes))
    }

    /// Classifies a decoded image.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs`].
    pub fn predict_image(&self, image: &DynamicImage) -> Result<Prediction, ModelError> {
        self.predict(Sample::Image(image))
    }

    /// Classifies an image file: PNG, JPEG, WebP, BMP or GIF.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::outputs`], and [`ModelError::Io`], inside [`ModelError::InFile`].
    pub fn predict_image_file(&self, path: impl AsRef<Path>) -> Result<Prediction, ModelError> {
        self.predict(Sample::File(path.as_ref()))
    }
}
