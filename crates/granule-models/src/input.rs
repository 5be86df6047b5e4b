//! What a model takes: shape and normalisation.

use granule_io::Intensity;
use granule_io::image::{Background, Resize};
use granule_io::intensity::check_range;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// The largest number of values one sample may have.
pub(crate) const MAX_LEN: usize = 1 << 26;

/// The shape of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum InputShape {
    /// An image, channel-first: `[channels, height, width]`.
    Image {
        /// 1 for greyscale, 3 for RGB; any other count for arrays.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A feature vector.
    Vector {
        /// The number of features.
        len: usize,
    },
    /// A sequence, step after step: `[steps, channels]`.
    Sequence {
        /// The number of steps.
        steps: usize,
        /// The number of values of a step; 0 for a model that moves by itself.
        channels: usize,
    },
}

impl InputShape {
    /// The number of values in one sample.
    pub fn len(&self) -> usize {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => channels.saturating_mul(height).saturating_mul(width),
            Self::Vector { len } => len,
            Self::Sequence { steps, channels } => steps.saturating_mul(channels),
        }
    }

    /// The number of values of a step of a sequence, of a pixel of an image; of a vector all of them.
    pub fn step_len(&self) -> usize {
        match *self {
            Self::Image { channels, .. } | Self::Sequence { channels, .. } => channels,
            Self::Vector { len } => len,
        }
    }

    /// The same shape with so many values of a step, of a pixel or of a vector.
    pub(crate) fn with_step_len(self, len: usize) -> Self {
        match self {
            Self::Image { height, width, .. } => Self::Image {
                channels: len,
                height,
                width,
            },
            Self::Sequence { steps, .. } => Self::Sequence {
                steps,
                channels: len,
            },
            Self::Vector { .. } => Self::Vector { len },
        }
    }

    /// `[channels, height, width]`, `[len]` or `[steps, channels]`.
    pub fn dims(&self) -> Vec<usize> {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => vec![channels, height, width],
            Self::Vector { len } => vec![len],
            Self::Sequence { steps, channels } => vec![steps, channels],
        }
    }

    /// Whether a sample has no values at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that a sample has at least one value and not absurdly many.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] for a dimension of zero or a sample of more than 2²⁶ values.
    pub fn validate(&self) -> Result<(), ModelError> {
        let len = match *self {
            // What moves by itself takes no input.
            Self::Sequence { steps, channels: 0 } => steps,
            _ => self.len(),
        };
        match len {
            1..=MAX_LEN => Ok(()),
            _ => Err(ModelError::config(
                "input",
                self,
                "one to 2^26 values in a sample",
            )),
        }
    }

    /// The dimensions of an image.
    pub(crate) fn image(&self, model: &str) -> Result<[usize; 3], ModelError> {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => Ok([channels, height, width]),
            Self::Vector { .. } => Err(ModelError::config(
                "input",
                self,
                format!("{model} takes images; use mlp for feature vectors"),
            )),
            Self::Sequence { .. } => Err(ModelError::config(
                "input",
                self,
                format!("{model} takes images; use rate, gru or lstm for sequences"),
            )),
        }
    }
}

impl std::fmt::Display for InputShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => write!(f, "{channels}×{height}×{width} (channels, height, width)"),
            Self::Vector { len } => f.write_str(&counted(*len, "feature")),
            Self::Sequence { steps, channels } => {
                write!(
                    f,
                    "{} of {}",
                    counted(*steps, "step"),
                    counted(*channels, "value")
                )
            }
        }
    }
}

/// The shape of one sample and how raw values become the network's input.
///
/// Pixels are scaled by 1/255, the numbers of images from `range` to [0, 1]; then, where `mean` and `std` are given, each
/// value becomes `(value − mean) / std`, per channel of an image or a sequence, per feature of a vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The shape of one sample.
    pub shape: InputShape,
    /// One mean per channel (images, sequences) or per feature (vectors); empty means 0.
    #[serde(default)]
    pub mean: Vec<f64>,
    /// As many standard deviations; empty means 1.
    #[serde(default)]
    pub std: Vec<f32>,
    /// What the transparent pixels of an image file are laid over, and what lies beside one that is padded.
    #[serde(default)]
    pub background: Background,
    /// How an image file of another size is brought to that of the input; absent: it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// The numbers of black and white in arrays of images; absent: 0 and 255 for integers, 0 and 1 for floating-point
    /// numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Whether arrays of images, as those of training, are stored by columns: rows and columns are exchanged where one is
    /// read. Pixels that a program hands over are taken as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transpose: bool,
    /// Whether the square root of the numbers is taken before anything else; they are counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub square_root: bool,
}

/// The brightness of an image beside that of the images a model was trained on, on a scale from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brightness {
    /// Mean of the image.
    pub found: f64,
    /// Mean of the training images.
    pub trained: f64,
    /// Standard deviation of the pixels of the training images.
    pub deviation: f64,
}

impl Brightness {
    /// Whether hardly any training image was so bright, or so dark.
    pub fn is_far(&self) -> bool {
        (self.found - self.trained).abs() > 1.5 * self.deviation
    }
}

impl InputSpec {
    /// An input without normalisation.
    pub fn new(shape: InputShape) -> Self {
        Self {
            shape,
            mean: Vec::new(),
            std: Vec::new(),
            background: Background::default(),
            resize: None,
            range: None,
            transpose: false,
            square_root: false,
        }
    }

    /// The step of a sequence that normalisation makes zeros of: what stands for bins beyond the edge of a trial,
    /// `[channels]`.
    pub fn blank(&self) -> Vec<f32> {
        let mean = |group| self.mean.get(group).copied().unwrap_or(0.0);
        let before_root = |mean: f64| if self.square_root { mean * mean } else { mean };
        let means = (0..self.groups()).map(mean);
        means.map(|mean| before_root(mean) as f32).collect()
    }

    /// The brightness of pixels beside that of the training images; None where no normalisation of images is known.
    pub fn brightness(&self, pixels: &[u8]) -> Option<Brightness> {
        let sum: u64 = pixels.iter().map(|pixel| u64::from(*pixel)).sum();
        self.beside_training(sum as f64 / 255.0, pixels.len())
    }

    /// The same of intensities from 0 to 1; None where one is outside.
    pub fn brightness_of(&self, intensities: &[f64]) -> Option<Brightness> {
        let fit = intensities.iter().all(|x| (0.0..=1.0).contains(x));
        let sum = intensities.iter().sum();
        self.beside_training(sum, intensities.len()).filter(|_| fit)
    }

    fn beside_training(&self, sum: f64, count: usize) -> Option<Brightness> {
        let InputShape::Image { channels, .. } = self.shape else {
            return None;
        };
        if count == 0 || self.mean.len() != channels || self.std.len() != channels {
            return None;
        }
        let channels = channels as f64;
        Some(Brightness {
            found: sum / count as f64,
            trained: self.mean.iter().sum::<f64>() / channels,
            deviation: self.std.iter().map(|&std| f64::from(std)).sum::<f64>() / channels,
        })
    }

    /// Checks shape and normalisation.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] when the counts do not fit the shape or a value is not finite or not positive.
    pub fn validate(&self) -> Result<(), ModelError> {
        self.shape.validate()?;
        let groups = self.groups();
        for (field, len) in [("mean", self.mean.len()), ("std", self.std.len())] {
            if len != 0 && len != groups {
                return Err(ModelError::config(
                    format!("input.{field}"),
                    counted(len, "value"),
                    format!("{} for {}, or none", counted(groups, "value"), self.shape),
                ));
            }
        }
        if let Some(range) = self.range {
            check_range(range).map_err(|_| {
                ModelError::config(
                    "input.range",
                    format!("{range:?}"),
                    "two finite numbers, that of black first",
                )
            })?;
        }
        if let Some(bad) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return Err(ModelError::config("input.mean", bad, "finite values"));
        }
        if let Some(bad) = self
            .std
            .iter()
            .find(|std| !(std.is_normal() && **std > 0.0))
        {
            return Err(ModelError::config(
                "input.std",
                bad,
                "finite values above 0",
            ));
        }
        Ok(())
    }

    /// Appends one sample of values as the network takes them, checked and normalised; `inverting` makes black white.
    pub(crate) fn prepare(
        &self,
        values: &[f32],
        inverting: bool,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let doubles = values.iter().map(|&value| f64::from(value));
        self.check_values(doubles.clone())?;
        if let InputShape::Image { .. } = self.shape {
            return self.prepare_intensities(doubles, inverting, out);
        }
        self.normalize(values.iter().copied(), out);
        Ok(())
    }

    /// The same of values in double precision.
    pub(crate) fn prepare_doubles(
        &self,
        values: &[f64],
        inverting: bool,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        self.check_values(values.iter().copied())?;
        if let InputShape::Image { .. } = self.shape {
            return self.prepare_intensities(values.iter().copied(), inverting, out);
        }
        self.normalize_doubles(values, out);
        Ok(())
    }

    fn check_values(&self, values: impl ExactSizeIterator<Item = f64>) -> Result<(), ModelError> {
        self.check_len(values.len())?;
        let square_root = self.square_root;
        let bad = |value: f64| !value.is_finite() || square_root && value < 0.0;
        match values.enumerate().find(|(_, value)| bad(*value)) {
            None => Ok(()),
            Some((_, value)) if value.is_finite() => Err(ModelError::config(
                "sample",
                value,
                "counts, 0 or more, whose square root the model takes",
            )),
            Some((index, value)) => Err(ModelError::NonFiniteInput {
                index,
                value: value as f32,
            }),
        }
    }

    fn prepare_intensities(
        &self,
        values: impl ExactSizeIterator<Item = f64> + Clone,
        inverting: bool,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let intensity = Intensity::of(false, self.range)?;
        let (lowest, highest) = values.clone().fold(
            (f64::INFINITY, f64::NEG_INFINITY),
            |(lowest, highest), value| (lowest.min(value), highest.max(value)),
        );
        intensity.check(lowest, highest)?;
        let scaled = values.map(|value| match intensity.scale(value) {
            x if inverting => (1.0 - x) as f32,
            x => x as f32,
        });
        self.normalize(scaled, out);
        Ok(())
    }

    pub(crate) fn check_len(&self, found: usize) -> Result<(), ModelError> {
        if found == self.shape.len() {
            return Ok(());
        }
        Err(ModelError::InputLength {
            expected: format!("{} values, {}", self.shape.len(), self.shape),
            found,
        })
    }

    /// Appends one sample of `values`, normalised, to `out`. The sample must have the right length.
    pub(crate) fn normalize(&self, values: impl ExactSizeIterator<Item = f32>, out: &mut Vec<f32>) {
        let first = out.len();
        if self.square_root {
            out.extend(values.map(f32::sqrt));
        } else {
            out.extend(values);
        }
        let values = out.get_mut(first..).unwrap_or_default();
        if self.mean.is_empty() && self.std.is_empty() {
            return;
        }
        let centred = |value: f32, group: usize| {
            let mean = self.mean.get(group).map_or(0.0, |&mean| mean as f32);
            let std = self.std.get(group).copied().unwrap_or(1.0);
            (value - mean) / std
        };
        match self.plane(values.len()) {
            // Values take turns.
            1 => {
                for values in values.chunks_mut(self.groups().max(1)) {
                    for (group, value) in values.iter_mut().enumerate() {
                        *value = centred(*value, group);
                    }
                }
            }
            plane => {
                for (group, values) in values.chunks_mut(plane).enumerate() {
                    for value in values {
                        *value = centred(*value, group);
                    }
                }
            }
        }
    }

    /// The same of values in double precision: what is far from zero is centred before it is cut.
    fn normalize_doubles(&self, values: &[f64], out: &mut Vec<f32>) {
        let (plane, turns) = (self.plane(values.len()), self.groups().max(1));
        out.extend(values.iter().enumerate().map(|(i, &value)| {
            let group = i / plane % turns;
            let value = if self.square_root {
                value.sqrt()
            } else {
                value
            };
            let mean = self.mean.get(group).copied().unwrap_or(0.0);
            let std = self.std.get(group).copied().unwrap_or(1.0);
            (value - mean) as f32 / std
        }));
    }

    /// The number of a sample's values of one channel or feature that lie one after the other: of an image all, of a sequence
    /// one, where the channels take turns.
    fn plane(&self, len: usize) -> usize {
        match self.shape {
            InputShape::Sequence { .. } => 1,
            _ => (len / self.groups().max(1)).max(1),
        }
    }

    fn groups(&self) -> usize {
        self.shape.step_len()
    }
}
