use serde::{Deserialize, Serialize};

use crate::text::printable;
use crate::{DataError, Features, Shape, Split, Targets};

/// Shift and scale of the inputs, from the training part of a data set.
///
/// For images there is one entry per channel of pixels scaled to [0, 1]; for vectors one per feature. Empty
/// vectors leave pixels in [0, 1] and features as they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// What is subtracted.
    pub mean: Vec<f32>,
    /// What is divided by; positive.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Whether inputs pass unchanged (apart from the scaling of pixels to [0, 1]).
    pub fn is_identity(&self) -> bool {
        self.mean.is_empty() && self.std.is_empty()
    }

    /// Mean and standard deviation of each channel (images, of pixels scaled to [0, 1]) or feature (vectors) of a
    /// split. A constant channel has standard deviation 1, so that it becomes 0.
    pub fn of(split: &Split) -> Self {
        let width = split.shape().len();
        let (mean, std) = match (split.features(), split.shape()) {
            (
                Features::Bytes(data),
                Shape::Image {
                    channels,
                    height,
                    width,
                },
            ) => {
                let mut histograms = vec![[0u64; 256]; channels];
                for image in data.chunks_exact(channels * height * width) {
                    for (plane, histogram) in
                        image.chunks_exact(height * width).zip(&mut histograms)
                    {
                        for &pixel in plane {
                            histogram[usize::from(pixel)] += 1;
                        }
                    }
                }
                histograms.iter().map(histogram_moments).unzip()
            }
            (Features::Floats(data), _) => float_moments(data, width),
            (Features::Bytes(_), Shape::Vector { .. }) => (Vec::new(), Vec::new()),
        };
        Self { mean, std }
    }

    pub(crate) fn check(&self, channels: usize) -> Result<(), DataError> {
        if self.is_identity() {
            return Ok(());
        }
        if self.mean.len() != channels || self.std.len() != channels {
            return Err(DataError::invalid(
                "normalization",
                format!(
                    "{} means and {} deviations",
                    self.mean.len(),
                    self.std.len()
                ),
                format!(
                    "one of each for every one of the {channels} channels or features, or none"
                ),
            ));
        }
        let bad = self
            .std
            .iter()
            .find(|std| !(std.is_finite() && **std > 0.0));
        if let Some(std) = bad {
            return Err(DataError::invalid(
                "normalization.std",
                std,
                "finite and greater than 0",
            ));
        }
        if let Some(mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return Err(DataError::invalid("normalization.mean", mean, "finite"));
        }
        Ok(())
    }

    /// The normalised value of each of the 256 levels of a pixel.
    pub(crate) fn table(&self, channel: usize) -> [f32; 256] {
        let mean = self.mean.get(channel).copied().unwrap_or(0.0);
        let std = self.std.get(channel).copied().unwrap_or(1.0);
        std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std)
    }
}

fn histogram_moments(histogram: &[u64; 256]) -> (f32, f32) {
    let count: u64 = histogram.iter().sum();
    let levels = || {
        histogram
            .iter()
            .zip(0u32..)
            .map(|(&n, level)| (n as f64, f64::from(level) / 255.0))
    };
    let count = count.max(1) as f64;
    let mean = levels().map(|(n, x)| n * x).sum::<f64>() / count;
    let variance = levels()
        .map(|(n, x)| n * (x - mean) * (x - mean))
        .sum::<f64>()
        / count;
    (mean as f32, deviation(variance, 1.0))
}

fn float_moments(data: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (data.len() / width.max(1)).max(1) as f64;
    let mut mean = vec![0.0f64; width];
    for row in data.chunks_exact(width.max(1)) {
        for (sum, &x) in mean.iter_mut().zip(row) {
            *sum += f64::from(x) / count;
        }
    }
    let mut variance = vec![0.0f64; width];
    for row in data.chunks_exact(width.max(1)) {
        for ((sum, &x), mean) in variance.iter_mut().zip(row).zip(&mean) {
            *sum += (f64::from(x) - mean).powi(2) / count;
        }
    }
    let scale = |mean: &f64| mean.abs().max(1.0);
    let std = variance
        .iter()
        .zip(&mean)
        .map(|(&v, m)| deviation(v, scale(m)))
        .collect();
    (mean.iter().map(|&m| m as f32).collect(), std)
}

/// A deviation that is only rounding error would blow noise up to unit variance.
fn deviation(variance: f64, scale: f64) -> f32 {
    let std = variance.sqrt() as f32;
    if f64::from(std) > 1e-6 * scale {
        std
    } else {
        1.0
    }
}

/// A data set in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What it was loaded as, for example `mnist`.
    pub name: String,
    /// Class names in the order of the labels; empty for real-valued targets.
    pub classes: Vec<String>,
    /// How to normalise the inputs.
    pub normalization: Normalization,
    /// Samples to learn from.
    pub train: Split,
    /// Samples to score on.
    pub test: Split,
    /// Identifies the content (samples, targets, class names, division): equal for equal data, however it was
    /// stored. It guards against mix-ups, not against an adversary.
    pub fingerprint: String,
    /// What was recognised in the files and taken for granted, one sentence each.
    pub notes: Vec<String>,
    /// What may be wrong with the files, one sentence each.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Puts a data set together and computes its fingerprint. Control characters in names of classes, which a
    /// terminal would obey, are replaced by U+FFFD.
    ///
    /// # Errors
    /// [`DataError::Invalid`] when the two splits differ in shape or in kind of target, a split is empty, or a
    /// label is not below the number of class names.
    pub fn new(
        name: impl Into<String>,
        classes: Vec<String>,
        normalization: Normalization,
        train: Split,
        test: Split,
    ) -> Result<Self, DataError> {
        let mut dataset = Self {
            name: name.into(),
            classes: classes.iter().map(|name| printable(name)).collect(),
            normalization,
            train,
            test,
            fingerprint: String::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
        };
        dataset.check()?;
        dataset.fingerprint = crate::fingerprint::fingerprint(&dataset);
        Ok(dataset)
    }

    fn check(&self) -> Result<(), DataError> {
        if self.train.shape() != self.test.shape() {
            return Err(DataError::invalid(
                "test",
                format!("{:?}", self.test.shape()),
                format!(
                    "samples of the shape of the training part, {:?}",
                    self.train.shape()
                ),
            ));
        }
        for (part, split) in [("train", &self.train), ("test", &self.test)] {
            if split.is_empty() {
                return Err(DataError::invalid(part, "0 samples", "at least 1 sample"));
            }
            let Targets::Classes(labels) = split.targets() else {
                continue;
            };
            if let Some(&label) = labels
                .iter()
                .find(|&&label| usize::from(label) >= self.classes.len())
            {
                return Err(DataError::invalid(
                    format!("{part}.targets"),
                    label,
                    format!("below the number of class names, {}", self.classes.len()),
                ));
            }
        }
        match (self.train.targets(), self.test.targets()) {
            (Targets::Classes(_), Targets::Classes(_)) => Ok(()),
            (Targets::Values { width: a, .. }, Targets::Values { width: b, .. }) if a == b => {
                Ok(())
            }
            _ => Err(DataError::invalid(
                "test.targets",
                "another kind or width",
                "as in the training part",
            )),
        }
    }
}
