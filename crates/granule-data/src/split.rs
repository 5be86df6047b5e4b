use std::borrow::Cow;

use granule_io::budget;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use crate::{Augmentation, AugmentationKey, DataError, Normalization, augment};

/// What asks for memory here.
const CHOSEN: &str = "the chosen samples";

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
    /// A sequence, step after step.
    Sequence {
        /// Number of steps.
        steps: usize,
        /// Numbers of a step.
        channels: usize,
    },
}

impl std::fmt::Display for Shape {
    /// `28×28 grey pixels`, `32×32 RGB pixels`, `7 features`, `40 steps of 6 values`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => match channels {
                1 => write!(f, "{width}×{height} grey pixels"),
                3 => write!(f, "{width}×{height} RGB pixels"),
                _ => write!(f, "{width}×{height} pixels and {channels} channels"),
            },
            Self::Vector { len } => f.write_str(&counted(len, "feature")),
            Self::Sequence { steps, channels } => write!(
                f,
                "{} of {}",
                counted(steps, "step"),
                counted(channels, "value")
            ),
        }
    }
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
            Self::Sequence { steps, channels } => steps.saturating_mul(channels),
        }
    }

    /// Whether a sample holds no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn channels(&self) -> usize {
        match *self {
            Self::Image { channels, .. } | Self::Sequence { channels, .. } => channels,
            Self::Vector { len } => len,
        }
    }
}

/// The inputs of all samples, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Pixels 0..=255 of images, channel first (C, H, W).
    Bytes(Vec<u8>),
    /// Raw values of feature vectors and sequences; or intensities of images from 0 to 1, channel first.
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

impl Targets {
    /// Refuses targets of another number of samples, and numbers that are not finite.
    fn check(&self, samples: usize) -> Result<(), DataError> {
        let (found, expected) = match self {
            Self::Classes(classes) => (classes.len(), samples),
            Self::Values { width: 0, .. } => {
                return Err(DataError::invalid("targets.width", 0, "at least 1"));
            }
            Self::Values { data, width } => {
                finite("targets", data)?;
                (data.len(), samples.saturating_mul(*width))
            }
        };
        if found == expected {
            return Ok(());
        }
        Err(DataError::invalid(
            "targets",
            format!("{found} values"),
            format!("{expected} for {samples} samples"),
        ))
    }

    /// The targets of the samples at `indices`, in that order.
    pub(crate) fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        Ok(match self {
            Self::Classes(classes) => Self::Classes(rows(classes, indices, 1)?),
            Self::Values { data, width } => Self::Values {
                data: rows(data, indices, *width)?,
                width: *width,
            },
        })
    }
}

/// Samples held in host memory: images as bytes or intensities, or feature vectors or sequences as floats, each with its
/// target.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    shape: Shape,
    features: Features,
    targets: Targets,
    len: usize,
    /// The step of `features` that each sample begins at, where samples are windows of one series.
    starts: Option<Vec<usize>>,
    /// The step of a window that its target is of.
    current: usize,
    /// What was subtracted from features and from real-valued targets; empty: nothing.
    offset: Vec<f64>,
    target_offset: Vec<f64>,
}

impl Split {
    /// Puts samples and targets together.
    ///
    /// # Errors
    /// [`DataError::Config`] when the shape is empty, the lengths do not fit one another, intensities of images are not
    /// from 0 to 1, vectors are not floats, or a float is not finite.
    pub fn new(shape: Shape, features: Features, targets: Targets) -> Result<Self, DataError> {
        if shape.is_empty() {
            return Err(DataError::invalid(
                "shape",
                shape,
                "every extent is at least 1",
            ));
        }
        match (&shape, &features) {
            (Shape::Image { .. }, Features::Bytes(_)) => {}
            (Shape::Vector { .. } | Shape::Sequence { .. }, Features::Floats(values)) => {
                finite("features", values)?;
            }
            (Shape::Image { .. }, Features::Floats(values)) => {
                let beyond = values.iter().find(|x| !(0.0..=1.0).contains(*x));
                if let Some(value) = beyond {
                    let allowed = "intensities of images are from 0 to 1; scale them, or give pixels as bytes";
                    return Err(DataError::invalid("features", value, allowed));
                }
            }
            _ => {
                return Err(DataError::invalid(
                    "features",
                    shape,
                    "images are bytes or intensities, vectors and sequences are floats",
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
        targets.check(len)?;
        Ok(Self {
            shape,
            features,
            targets,
            len,
            starts: None,
            current: 0,
            offset: Vec::new(),
            target_offset: Vec::new(),
        })
    }

    /// Windows of one series, `[steps of the series, channels]` row-major: a sample is the steps from its entry of `starts`
    /// on, and its target is that of its step `current`. What windows have in common is held once. Windows that begin one step
    /// after another are of bins that follow each other, as a Kalman filter takes them: where that is not so, as at the
    /// edge of a trial, leave out a step.
    ///
    /// # Errors
    /// [`DataError::Config`] when the shape is no sequence or has an extent of 0, the series is no whole number of steps, a
    /// window ends beyond it, the targets are not as many as the windows, or a number is not finite.
    pub fn windows(
        shape: Shape,
        series: Vec<f32>,
        (starts, current): (Vec<usize>, usize),
        targets: Targets,
    ) -> Result<Self, DataError> {
        let (steps, channels) = match shape {
            Shape::Sequence { steps, channels } => (steps, channels),
            _ => (0, 0),
        };
        if current >= steps || channels == 0 || !series.len().is_multiple_of(channels) {
            let allowed = "a sequence in which the step of the target is, of channels that a series has in whole steps";
            return Err(DataError::invalid("shape", shape, allowed));
        }
        finite("features", &series)?;
        let whole = series.len() / channels;
        let beyond = |start: &&usize| start.checked_add(steps).is_none_or(|end| end > whole);
        if let Some(start) = starts.iter().find(beyond) {
            let allowed = format!("windows of {steps} steps inside a series of {whole}");
            return Err(DataError::invalid("starts", start, allowed));
        }
        targets.check(starts.len())?;
        Ok(Self {
            shape,
            features: Features::Floats(series),
            targets,
            len: starts.len(),
            starts: Some(starts),
            current,
            offset: Vec::new(),
            target_offset: Vec::new(),
        })
    }

    /// The step of the series that each sample begins at, where samples are [windows](Self::windows) of one.
    pub fn starts(&self) -> Option<&[usize]> {
        self.starts.as_deref()
    }

    /// The step of a window that its target is of.
    pub fn current(&self) -> usize {
        self.current
    }

    /// The floats of one sample.
    fn floats<'a>(&self, data: &'a [f32], index: usize) -> Option<&'a [f32]> {
        let Some(starts) = &self.starts else {
            return row(data, index, self.shape.len());
        };
        let start = starts.get(index)?.checked_mul(self.shape.channels())?;
        data.get(start..start.checked_add(self.shape.len())?)
    }

    /// Says that the features, and the real-valued targets, are stored less these offsets, one per feature and one per
    /// target: numbers far from zero that single precision could not tell apart. Empty for none.
    ///
    /// # Errors
    /// [`DataError::Config`] when their number is another, or one is not finite.
    pub fn centred(mut self, offset: Vec<f64>, target_offset: Vec<f64>) -> Result<Self, DataError> {
        let width = match &self.targets {
            Targets::Classes(_) => 0,
            Targets::Values { width, .. } => *width,
        };
        let vector = match self.shape {
            Shape::Vector { len } => len,
            Shape::Image { .. } | Shape::Sequence { .. } => 0,
        };
        for (field, offset, expected) in [
            ("offset", &offset, vector),
            ("target_offset", &target_offset, width),
        ] {
            let fits = offset.is_empty() || offset.len() == expected;
            if !fits || offset.iter().any(|x| !x.is_finite()) {
                let allowed = format!("{expected} finite numbers, or none");
                return Err(DataError::invalid(
                    field,
                    format!("{} numbers", offset.len()),
                    allowed,
                ));
            }
        }
        (self.offset, self.target_offset) = (offset, target_offset);
        Ok(self)
    }

    /// What was subtracted from each feature before it was stored; empty: nothing.
    pub fn offset(&self) -> &[f64] {
        &self.offset
    }

    /// What was subtracted from each real-valued target before it was stored; empty: nothing.
    pub fn target_offset(&self) -> &[f64] {
        &self.target_offset
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

    /// The pixels (C, H, W) of one image; `None` beyond the end, or when the samples are vectors or intensities.
    pub fn pixels(&self, index: usize) -> Option<&[u8]> {
        match &self.features {
            Features::Bytes(data) => row(data, index, self.shape.len()),
            Features::Floats(_) => None,
        }
    }

    /// One image (C, H, W) as pixels, intensities rounded to them; `None` beyond the end or when the samples are vectors.
    pub fn picture(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        match (&self.features, self.shape) {
            (Features::Bytes(_), _) => self.pixels(index).map(Cow::Borrowed),
            (Features::Floats(data), Shape::Image { .. }) => {
                let row = row(data, index, self.shape.len())?;
                Some(row.iter().map(|x| (255.0 * x).round() as u8).collect())
            }
            _ => None,
        }
    }

    /// The stored features of one vector, less their [offset](Self::offset), the steps of one sequence, or the intensities of
    /// one image; `None` beyond the end or when the samples are bytes.
    pub fn values(&self, index: usize) -> Option<&[f32]> {
        match &self.features {
            Features::Bytes(_) => None,
            Features::Floats(data) => self.floats(data, index),
        }
    }

    /// The stored values of the step of a [window](Self::windows) that its target is of; `None` beyond the end or when the
    /// samples are no windows.
    pub fn current_values(&self, index: usize) -> Option<&[f32]> {
        self.starts.as_ref()?;
        row(self.values(index)?, self.current, self.shape.channels())
    }

    /// The class of one sample; `None` beyond the end or when the targets are real values.
    pub fn class(&self, index: usize) -> Option<u16> {
        match &self.targets {
            Targets::Classes(classes) => classes.get(index).copied(),
            Targets::Values { .. } => None,
        }
    }

    /// The stored real-valued targets of one sample, less their [offset](Self::target_offset); `None` beyond the end or when the targets are classes.
    pub fn target_values(&self, index: usize) -> Option<&[f32]> {
        match &self.targets {
            Targets::Classes(_) => None,
            Targets::Values { data, width } => row(data, index, *width),
        }
    }

    /// The first `n` samples, or all when there are fewer.
    pub fn take(mut self, n: usize) -> Self {
        let n = n.min(self.len);
        match (&mut self.features, &mut self.starts) {
            (_, Some(starts)) => shorten(starts, n),
            (Features::Bytes(data), None) => shorten(data, n * self.shape.len()),
            (Features::Floats(data), None) => shorten(data, n * self.shape.len()),
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
    /// [`DataError::OutOfRange`] for an index beyond the end, [`DataError::Memory`] when they are too many to hold.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        self.check(indices)?;
        let width = self.shape.len();
        let features = match (&self.features, &self.starts) {
            (Features::Bytes(data), _) => Features::Bytes(rows(data, indices, width)?),
            (Features::Floats(data), None) => Features::Floats(rows(data, indices, width)?),
            (Features::Floats(data), Some(_)) => Features::Floats(copied(data)?),
        };
        let starts = self.starts.as_ref();
        Ok(Self {
            shape: self.shape,
            features,
            targets: self.targets.subset(indices)?,
            len: indices.len(),
            starts: starts.map(|all| rows(all, indices, 1)).transpose()?,
            current: self.current,
            offset: self.offset.clone(),
            target_offset: self.target_offset.clone(),
        })
    }

    /// These samples and then those of another split of the same shape and kind of targets.
    ///
    /// # Errors
    /// [`DataError::Config`] when shape or targets differ, [`DataError::Memory`] when they are too many to hold.
    pub fn joined(&self, other: &Self) -> Result<Self, DataError> {
        let differ = || {
            DataError::invalid(
                "test",
                "another part",
                "of the shape and targets of the first",
            )
        };
        let starts = match (&self.starts, &other.starts) {
            (None, None) => None,
            (Some(a), Some(b)) => {
                let before = self.features.len() / self.shape.channels().max(1);
                let mut starts = both(a, b)?;
                let second = starts.iter_mut().skip(a.len());
                second.for_each(|start| *start += before);
                Some(starts)
            }
            _ => return Err(differ()),
        };
        let same = self.shape == other.shape
            && self.offset == other.offset
            && self.target_offset == other.target_offset;
        let features = match (&self.features, &other.features) {
            (Features::Bytes(a), Features::Bytes(b)) if same => Features::Bytes(both(a, b)?),
            (Features::Floats(a), Features::Floats(b)) if same => Features::Floats(both(a, b)?),
            _ => return Err(differ()),
        };
        let targets = match (&self.targets, &other.targets) {
            (Targets::Classes(a), Targets::Classes(b)) => Targets::Classes(both(a, b)?),
            (Targets::Values { data: a, width }, Targets::Values { data: b, width: w })
                if width == w =>
            {
                Targets::Values {
                    data: both(a, b)?,
                    width: *width,
                }
            }
            _ => return Err(differ()),
        };
        Ok(Self {
            shape: self.shape,
            features,
            targets,
            len: self.len + other.len,
            starts,
            current: self.current,
            offset: self.offset.clone(),
            target_offset: self.target_offset.clone(),
        })
    }

    /// The same samples with other classes: class `c` becomes `classes[c]`.
    ///
    /// # Errors
    /// [`DataError::Config`] when there are no classes, or one has no entry; [`DataError::Memory`] when a second copy of
    /// the samples does not fit.
    pub fn relabelled(&self, classes: &[u16]) -> Result<Self, DataError> {
        let Targets::Classes(labels) = &self.targets else {
            return Err(DataError::invalid(
                "targets",
                "real values",
                "labels of classes",
            ));
        };
        let mut renamed = budget::with_capacity(labels.len(), CHOSEN)?;
        for &label in labels {
            let class = classes.get(usize::from(label)).copied();
            renamed.push(class.ok_or_else(|| {
                DataError::invalid("targets", label, format!("below {}", classes.len()))
            })?);
        }
        let features = match &self.features {
            Features::Bytes(data) => Features::Bytes(copied(data)?),
            Features::Floats(data) => Features::Floats(copied(data)?),
        };
        Ok(Self {
            shape: self.shape,
            features,
            targets: Targets::Classes(renamed),
            len: self.len,
            starts: self.starts.as_deref().map(copied).transpose()?,
            current: self.current,
            offset: self.offset.clone(),
            target_offset: self.target_offset.clone(),
        })
    }

    /// Writes the chosen samples, normalised, one after the other into `out`, which is cleared first:
    /// `(pixel / 255 − mean) / std` per channel for images of bytes, `(x − mean) / std` per channel for those of
    /// intensities and of sequences, and per feature for vectors.
    ///
    /// With an augmentation, each image is distorted first, by a draw from (seed, epoch, sample index): it does not
    /// depend on the order or the size of the batches. Vectors are never augmented.
    ///
    /// # Errors
    /// [`DataError::OutOfRange`] for an index beyond the end, [`DataError::Config`] when the normalisation is not
    /// empty and does not have one entry per channel (images) or feature (vectors), [`DataError::Memory`] when the
    /// numbers are too many to hold.
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
        budget::reserve(out, indices.len().saturating_mul(self.shape.len()), CHOSEN)?;
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
            (
                Features::Floats(data),
                Shape::Image {
                    channels,
                    height,
                    width,
                },
            ) => {
                let scale: Vec<(f32, f32)> = (0..channels)
                    .map(|channel| {
                        let mean = normalization
                            .mean
                            .get(channel)
                            .map_or(0.0, |&mean| mean as f32);
                        (mean, normalization.std.get(channel).copied().unwrap_or(1.0))
                    })
                    .collect();
                let mut emit = |values: &[f32]| {
                    for (values, (mean, std)) in values.chunks_exact(height * width).zip(&scale) {
                        out.extend(values.iter().map(|x| (x - mean) / std));
                    }
                };
                let augmentation =
                    augmentation.filter(|(augmentation, _)| !augmentation.is_identity());
                let mut distorted = Vec::new();
                for &index in indices {
                    let Some(values) = row(data, index, self.shape.len()) else {
                        continue;
                    };
                    match augmentation {
                        None => emit(values),
                        Some((augmentation, key)) => {
                            distorted.resize(values.len(), 0.0);
                            let image = [channels, height, width];
                            augment::apply(augmentation, key, index, image, values, &mut distorted);
                            emit(&distorted);
                        }
                    }
                }
            }
            (Features::Floats(data), Shape::Vector { .. }) => {
                let means = self.means(normalization);
                for &index in indices {
                    let Some(values) = row(data, index, self.shape.len()) else {
                        continue;
                    };
                    standardised(values, &means, &normalization.std, out);
                }
            }
            (Features::Floats(data), Shape::Sequence { channels, .. }) => {
                let means = self.means(normalization);
                for &index in indices {
                    let values = self.floats(data, index).unwrap_or_default();
                    for step in values.chunks_exact(channels) {
                        standardised(step, &means, &normalization.std, out);
                    }
                }
            }
            (Features::Bytes(_), Shape::Vector { .. } | Shape::Sequence { .. }) => {}
        }
        Ok(())
    }

    /// The means of a normalisation on the scale of the stored features: less their offset. Empty when nothing is to be
    /// subtracted.
    pub fn means(&self, normalization: &Normalization) -> Vec<f32> {
        relative(&normalization.mean, &self.offset)
    }

    /// The same of the real-valued targets.
    pub fn target_means(&self, normalization: &Normalization) -> Vec<f32> {
        relative(&normalization.mean, &self.target_offset)
    }

    /// Writes the real-valued targets of the chosen samples, `(y − mean) / std`, one row after the other into `out`, which
    /// is cleared first; nothing for classes.
    ///
    /// # Errors
    /// [`DataError::OutOfRange`] for an index beyond the end, [`DataError::Memory`] when the numbers are too many to hold.
    pub fn gather_targets(
        &self,
        indices: &[usize],
        normalization: &Normalization,
        out: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        self.check(indices)?;
        out.clear();
        if let Targets::Values { data, width } = &self.targets {
            normalization.check(*width)?;
            budget::reserve(out, indices.len().saturating_mul(*width), CHOSEN)?;
            let means = self.target_means(normalization);
            for values in indices.iter().filter_map(|&index| row(data, index, *width)) {
                standardised(values, &means, &normalization.std, out);
            }
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

/// `mean − offset`, in double precision before it is cut.
fn relative(mean: &[f64], offset: &[f64]) -> Vec<f32> {
    let len = mean.len().max(offset.len());
    let at = |values: &[f64], place: usize| values.get(place).copied().unwrap_or(0.0);
    (0..len)
        .map(|place| (at(mean, place) - at(offset, place)) as f32)
        .collect()
}

fn standardised(values: &[f32], means: &[f32], std: &[f32], out: &mut Vec<f32>) {
    if means.is_empty() && std.is_empty() {
        return out.extend_from_slice(values);
    }
    out.extend(values.iter().enumerate().map(|(at, x)| {
        let mean = means.get(at).copied().unwrap_or(0.0);
        (x - mean) / std.get(at).copied().unwrap_or(1.0)
    }));
}

fn row<T>(data: &[T], index: usize, width: usize) -> Option<&[T]> {
    let start = index.checked_mul(width)?;
    data.get(start..start.checked_add(width)?)
}

fn rows<T: Copy>(data: &[T], indices: &[usize], width: usize) -> Result<Vec<T>, DataError> {
    let mut out = budget::with_capacity(indices.len().saturating_mul(width), CHOSEN)?;
    for row in indices.iter().filter_map(|&index| row(data, index, width)) {
        out.extend_from_slice(row);
    }
    Ok(out)
}

fn both<T: Copy>(a: &[T], b: &[T]) -> Result<Vec<T>, DataError> {
    let mut all = budget::with_capacity(a.len() + b.len(), CHOSEN)?;
    all.extend_from_slice(a);
    all.extend_from_slice(b);
    Ok(all)
}

fn copied<T: Copy>(data: &[T]) -> Result<Vec<T>, DataError> {
    let mut out = budget::with_capacity(data.len(), CHOSEN)?;
    out.extend_from_slice(data);
    Ok(out)
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
