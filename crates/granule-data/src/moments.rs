//! Means and deviations of a split.

use crate::{DataError, Features, Normalization, Shape, Split, Targets};

impl Normalization {
    /// Mean and standard deviation of each channel (images, of pixels scaled to [0, 1]) or feature (vectors) of a
    /// split. A constant channel has standard deviation 1, so that it becomes 0.
    pub fn of(split: &Split) -> Self {
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
            (
                Features::Floats(data),
                Shape::Image {
                    channels,
                    height,
                    width,
                },
            ) => float_moments(data, channels, height * width, &[]),
            (Features::Floats(data), Shape::Vector { len }) => {
                float_moments(data, len, 1, split.offset())
            }
            // Every step is a row of the channels.
            (Features::Floats(data), Shape::Sequence { channels, .. }) => {
                float_moments(data, channels, 1, &[])
            }
            (Features::Bytes(_), Shape::Vector { .. } | Shape::Sequence { .. }) => {
                (Vec::new(), Vec::new())
            }
        };
        Self { mean, std }
    }

    /// Mean and standard deviation of each real-valued target of a split; none for classes. A constant target has
    /// standard deviation 1.
    pub fn of_targets(split: &Split) -> Self {
        let (mean, std) = match split.targets() {
            Targets::Classes(_) => (Vec::new(), Vec::new()),
            Targets::Values { data, width } => {
                float_moments(data, *width, 1, split.target_offset())
            }
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
        let mean = self.mean.get(channel).map_or(0.0, |&mean| mean as f32);
        let std = self.std.get(channel).copied().unwrap_or(1.0);
        std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std)
    }
}

fn histogram_moments(histogram: &[u64; 256]) -> (f64, f32) {
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
    (mean, deviation(variance, 1.0))
}

/// Mean, with the offset, and deviation of groups that each follow one another: features of 1 number, or channels of a
/// plane.
pub(crate) fn float_moments(
    data: &[f32],
    groups: usize,
    plane: usize,
    offset: &[f64],
) -> (Vec<f64>, Vec<f32>) {
    let (width, plane) = ((groups * plane).max(1), plane.max(1));
    let count = (data.len() / width * plane).max(1) as f64;
    let each = |add: &mut dyn FnMut(usize, f64)| {
        for row in data.chunks_exact(width) {
            for (group, values) in row.chunks_exact(plane).enumerate() {
                values.iter().for_each(|&x| add(group, f64::from(x)));
            }
        }
    };
    let mut mean = vec![0.0f64; groups];
    each(&mut |group, x| mean[group] += x / count);
    let mut variance = vec![0.0f64; groups];
    each(&mut |group, x| variance[group] += (x - mean[group]).powi(2) / count);
    let std = variance
        .iter()
        .zip(&mean)
        .map(|(&v, m)| deviation(v, m.abs()));
    let std = std.collect();
    for (mean, offset) in mean.iter_mut().zip(offset) {
        *mean += offset;
    }
    (mean, std)
}

/// A deviation that is only rounding error, or too small to divide by, would blow noise up to unit variance.
fn deviation(variance: f64, scale: f64) -> f32 {
    let std = variance.sqrt() as f32;
    if f64::from(std) > 1e-6 * scale && std.is_normal() {
        std
    } else {
        1.0
    }
}
