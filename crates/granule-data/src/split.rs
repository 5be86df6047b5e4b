use serde::{Deserialize, Serialize};

use crate::{Augmentation, AugmentationKey, DataError, Normalization, augment};

/// The extents of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// An image, stored channel first.
    Image {
        /// 1 for grey, 3 for red, green, blue.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A vector of features.
    Vector {
        /// Number of features.
        len: usize,
    },
}

impl Shape {
    /// Numbers in one sample; saturates instead of wrapping around.
    pub fn len(&self) -> usize {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => channels.saturating_mul(height).saturating_mul(width),
            Self::Vector { len } => len,
        }
    }

    /// Whether a sample holds no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn channels(&self) -> usize {
        match *self {
            Self::Image { channels, .. } => channels,
            Self::Vector { len } => len,
        }
    }
}

/// The inputs of all samples, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Pixels 0..=255 of images, channel first (C, H, W).
    Bytes(Vec<u8>),
    /// Raw values of feature vectors.
    Floats(Vec<f32>),
}

impl Features {
    /// Numbers in all samples together.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(data) => data.len(),
            Self::Floats(data) => data.len(),
        }
    }

    /// Whether there is no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The targets of all samples, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// One class index per sample.
    Classes(Vec<u16>),
    /// `width` real values per sample.
    Values {
        /// `samples × width` values, row-major.
        data: Vec<f32>,
        /// Values per sample.
        width: usize,
    },
}

/// Samples held in host memory: images as bytes, or feature vectors as floats, each with its target.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    shape: Shape,
    features: Features,
    targets: Targets,
    len: usize,
}

impl Split {
    /// Puts samples and targets together.
    ///
    /// # Errors
    /// [`DataError::Invalid`] when the shape is empty, the lengths do not fit one another, images are not bytes,
    /// vectors are not floats, or a float is not finite.
    pub fn new(shape: Shape, features: Features, targets: Targets) -> Result<Self, DataError> {
        if shape.is_empty() {
            return Err(DataError::invalid(
                "shape",
                format!("{shape:?}"),
                "every extent is at least 1",
            ));
        }
        match (&shape, &features) {
            (Shape::Image { .. }, Features::Bytes(_)) => {}
            (Shape::Vector { .. }, Features::Floats(values)) => finite("features", values)?,
            _ => {
                return Err(DataError::invalid(
                    "features",
                    format!("{shape:?}"),
                    "images are bytes and vectors are floats",
                ));
            }
        }
        let len = features.len() / shape.len();
        if len * shape.len() != features.len() {
            return Err(DataError::invalid(
                "features",
                format!("{} numbers", features.len()),
                format!("a multiple of the {} of one sample", shape.len()),
            ));
        }
        let expected = match &targets {
            Targets::Classes(classes) => (classes.len(), len),
            Targets::Values { width: 0, .. } => {
                return Err(DataError::invalid("targets.width", 0, "at least 1"));
            }
            Targets::Values { data, width } => {
                finite("targets", data)?;
                (data.len(), len.saturating_mul(*width))
            }
        };
        if expected.0 != expected.1 {
            return Err(DataError::invalid(
                "targets",
                format!("{} values", expected.0),
                format!("{} for {len} samples", expected.1),
            ));
        }
        Ok(Self {
            shape,
            features,
            targets,
            len,
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the split holds no sample.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The extents of one sample.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The inputs of all samples.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The targets of all samples.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The pixels (C, H, W) of one image; `None` beyond the end or when the samples are vectors.
    pub fn pixels(&self, index: usize) -> Option<&[u8]> {
        match &self.features {
            Features::Bytes(data) => row(data, index, self.shape.len()),
            Features::Floats(_) => None,
        }
    }

    /// The raw features of one vector; `None` beyond the end or when the samples are images.
    pub fn values(&self, index: usize) -> Option<&[f32]> {
        match &self.features {
            Features::Bytes(_) => None,
            Features::Floats(data) => row(data, index, self.shape.len()),
        }
    }

    /// The class of one sample; `None` beyond the end or when the targets are real values.
    pub fn class(&self, index: usize) -> Option<u16> {
        match &self.targets {
            Targets::Classes(classes) => classes.get(index).copied(),
            Targets::Values { .. } => None,
        }
    }

    /// The real-valued targets of one sample; `None` beyond the end or when the targets are classes.
    pub fn target_values(&self, index: usize) -> Option<&[f32]> {
        match &self.targets {
            Targets::Classes(_) => None,
            Targets::Values { data, width } => row(data, index, *width),
        }
    }

    /// The first `n` samples, or all when there are fewer.
    pub fn take(mut self, n: usize) -> Self {
        let n = n.min(self.len);
        match &mut self.features {
            Features::Bytes(data) => shorten(data, n * self.shape.len()),
            Features::Floats(data) => shorten(data, n * self.shape.len()),
        }
        match &mut self.targets {
            Targets::Classes(classes) => shorten(classes, n),
            Targets::Values { data, width } => shorten(data, n * *width),
        }
        self.len = n;
        self
    }

    /// The samples at `indices`, in that order; an index may occur more than once.
    ///
    /// # Errors
    /// [`DataError::OutOfRange`] for an index beyond the end.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        self.check(indices)?;
        let width = self.shape.len();
        let features = match &self.features {
            Features::Bytes(data) => Features::Bytes(rows(data, indices, width)),
            Features::Floats(data) => Features::Floats(rows(data, indices, width)),
        };
        let targets = match &self.targets {
            Targets::Classes(classes) => Targets::Classes(rows(classes, indices, 1)),
            Targets::Values { data, width } => Targets::Values {
                data: rows(data, indices, *width),
                width: *width,
            },
        };
        Ok(Self {
            shape: self.shape,
            features,
            targets,
            len: indices.len(),
        })
    }

    /// Writes the chosen samples, normalised, one after the other into `out`, which is cleared first:
    /// `(pixel / 255 − mean) / std` per channel for images, `(x − mean) / std` per feature for vectors.
    ///
    /// With an augmentation, each image is distorted first, by a draw from (seed, epoch, sample index): it does not
    /// depend on the order or the size of the batches. Vectors are never augmented.
    ///
    /// # Errors
    /// [`DataError::OutOfRange`] for an index beyond the end, [`DataError::Invalid`] when the normalisation is not
    /// empty and does not have one entry per channel (images) or feature (vectors).
    pub fn gather(
        &self,
        indices: &[usize],
        normalization: &Normalization,
        augmentation: Option<(&Augmentation, AugmentationKey)>,
        out: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        self.check(indices)?;
        normalization.check(self.shape.channels())?;
        out.clear();
        out.reserve(indices.len().saturating_mul(self.shape.len()));
        match (&self.features, self.shape) {
            (
                Features::Bytes(data),
                Shape::Image {
                    channels,
                    height,
                    width,
                },
            ) => {
                let tables: Vec<[f32; 256]> = (0..channels)
                    .map(|channel| normalization.table(channel))
                    .collect();
                let plane = height * width;
                let mut emit = |pixels: &[u8]| {
                    for (pixels, table) in pixels.chunks_exact(plane).zip(&tables) {
                        out.extend(pixels.iter().map(|&pixel| table[usize::from(pixel)]));
                    }
                };
                let augmentation =
                    augmentation.filter(|(augmentation, _)| !augmentation.is_identity());
                let mut distorted = Vec::new();
                for &index in indices {
                    let Some(pixels) = row(data, index, self.shape.len()) else {
                        continue;
                    };
                    match augmentation {
                        None => emit(pixels),
                        Some((augmentation, key)) => {
                            distorted.resize(pixels.len(), 0);
                            let image = [channels, height, width];
                            augment::apply(augmentation, key, index, image, pixels, &mut distorted);
                            emit(&distorted);
                        }
                    }
                }
            }
            (Features::Floats(data), _) => {
                for &index in indices {
                    let Some(values) = row(data, index, self.shape.len()) else {
                        continue;
                    };
                    if normalization.is_identity() {
                        out.extend_from_slice(values);
                    } else {
                        let scale = normalization.mean.iter().zip(&normalization.std);
                        out.extend(
                            values
                                .iter()
                                .zip(scale)
                                .map(|(x, (mean, std))| (x - mean) / std),
                        );
                    }
                }
            }
            (Features::Bytes(_), Shape::Vector { .. }) => {}
        }
        Ok(())
    }

    fn check(&self, indices: &[usize]) -> Result<(), DataError> {
        match indices.iter().find(|&&index| index >= self.len) {
            Some(&index) => Err(DataError::OutOfRange {
                index,
                len: self.len,
            }),
            None => Ok(()),
        }
    }
}

fn row<T>(data: &[T], index: usize, width: usize) -> Option<&[T]> {
    let start = index.checked_mul(width)?;
    data.get(start..start.checked_add(width)?)
}

fn rows<T: Copy>(data: &[T], indices: &[usize], width: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(indices.len().saturating_mul(width));
    for row in indices.iter().filter_map(|&index| row(data, index, width)) {
        out.extend_from_slice(row);
    }
    out
}

fn shorten<T>(data: &mut Vec<T>, len: usize) {
    if len < data.len() {
        data.truncate(len);
        data.shrink_to_fit();
    }
}

fn finite(field: &str, values: &[f32]) -> Result<(), DataError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(DataError::invalid(field, value, "every number is finite")),
        None => Ok(()),
    }
}
