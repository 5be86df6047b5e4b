//! A whole split on the device: pixels as bytes, four to an integer, unpacked and normalised batch by batch.

use burn::tensor::{Device, Int, Tensor, TensorData};
use granule_data::{Features, Normalization, Shape, Split, Targets};
use granule_io::budget;

use crate::batch::{Batch, BatchTruth, Scaling};
use crate::error::TrainError;

/// What asks for memory here.
const UPLOADED: &str = "the samples on their way to the device";

pub(crate) struct Resident {
    samples: Samples,
    targets: ResidentTargets,
    features: usize,
    /// `[1, features]` each, when inputs are normalised.
    normalization: Option<(Tensor<2>, Tensor<2>)>,
    device: Device,
}

enum Samples {
    /// `[samples, ⌈features/4⌉]`, the first pixel in the lowest byte.
    Packed(Tensor<2, Int>),
    /// `[samples, features]`
    Floats(Tensor<2>),
}

enum ResidentTargets {
    Classes(Tensor<1, Int>),
    Values(Tensor<2>),
}

impl Resident {
    /// Bytes that the inputs of a split take on the device.
    pub fn bytes(split: &Split) -> usize {
        match split.features() {
            Features::Bytes(_) => split.len() * split.shape().len().next_multiple_of(4),
            Features::Floats(data) => data.len() * 4,
        }
    }

    /// Copies a split to a device (without autodiff).
    pub fn upload(
        split: &Split,
        scaling: Scaling<'_>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let features = split.shape().len();
        let samples = match split.features() {
            Features::Bytes(pixels) => {
                let words = features.div_ceil(4);
                let mut packed =
                    budget::with_capacity(split.len().saturating_mul(words), UPLOADED)?;
                for sample in pixels.chunks_exact(features) {
                    packed.extend(sample.chunks(4).map(|chunk| {
                        let mut bytes = [0u8; 4];
                        for (byte, pixel) in bytes.iter_mut().zip(chunk) {
                            *byte = *pixel;
                        }
                        i32::from_le_bytes(bytes)
                    }));
                }
                let data = TensorData::new(packed, [split.len(), words]);
                Samples::Packed(Tensor::from_data(data, device))
            }
            Features::Floats(values) => {
                let values = budget::collect(values.iter().copied(), values.len(), UPLOADED)?;
                let data = TensorData::new(values, [split.len(), features]);
                Samples::Floats(Tensor::from_data(data, device))
            }
        };
        let targets = match split.targets() {
            Targets::Classes(classes) => {
                let numbers = classes.iter().map(|&class| i32::from(class));
                let classes = budget::collect(numbers, classes.len(), UPLOADED)?;
                let data = TensorData::new(classes, [split.len()]);
                ResidentTargets::Classes(Tensor::from_data(data, device))
            }
            Targets::Values { width, .. } => {
                let all = budget::collect(0..split.len(), split.len(), UPLOADED)?;
                let mut data = Vec::new();
                split.gather_targets(&all, scaling.targets, &mut data)?;
                let data = TensorData::new(data, [split.len(), *width]);
                ResidentTargets::Values(Tensor::from_data(data, device))
            }
        };
        Ok(Self {
            samples,
            targets,
            features,
            normalization: rows(scaling.inputs, split, device)?,
            device: device.clone(),
        })
    }

    /// Uploads the order of an epoch.
    pub fn order(&self, order: &[usize]) -> Result<Tensor<1, Int>, TrainError> {
        let len = order.len();
        let order = budget::collect(order.iter().map(|&index| index as i32), len, UPLOADED)?;
        Ok(Tensor::from_data(
            TensorData::new(order, [len]),
            &self.device,
        ))
    }

    /// The `len` samples from place `start` of `order`.
    pub fn batch(&self, order: &Tensor<1, Int>, start: usize, len: usize) -> Batch {
        let chosen = order.clone().narrow(0, start, len);
        let inputs = match &self.samples {
            Samples::Floats(values) => values.clone().select(0, chosen.clone()),
            Samples::Packed(packed) => {
                let packed = packed.clone().select(0, chosen.clone());
                let [_, words] = packed.dims();
                let bytes = (0..4)
                    .map(|byte| {
                        packed
                            .clone()
                            .bitwise_right_shift_scalar(8 * byte)
                            .bitwise_and_scalar(255)
                    })
                    .collect();
                Tensor::stack::<3>(bytes, 2)
                    .reshape([len, 4 * words])
                    .slice([0..len, 0..self.features])
                    .float()
                    .div_scalar(255.0)
            }
        };
        let inputs = match &self.normalization {
            Some((mean, std)) => inputs.sub(mean.clone()).div(std.clone()),
            None => inputs,
        };
        let truth = match &self.targets {
            ResidentTargets::Classes(classes) => {
                BatchTruth::DeviceClasses(classes.clone().select(0, chosen))
            }
            ResidentTargets::Values(values) => {
                BatchTruth::DeviceValues(values.clone().select(0, chosen))
            }
        };
        Batch {
            inputs: inputs.autodiff(),
            truth,
            len,
        }
    }
}

/// Mean and deviation of every feature.
fn rows(
    normalization: &Normalization,
    split: &Split,
    device: &Device,
) -> Result<Option<(Tensor<2>, Tensor<2>)>, TrainError> {
    let shape = split.shape();
    let mut means = split.means(normalization);
    let mut std = normalization.std.clone();
    if means.is_empty() && std.is_empty() {
        return Ok(None);
    }
    let groups = match shape {
        Shape::Image { channels, .. } | Shape::Sequence { channels, .. } => channels,
        Shape::Vector { len } => len,
    };
    if means.is_empty() {
        means = vec![0.0; groups];
    }
    if std.is_empty() {
        std = vec![1.0; groups];
    }
    // Of an image a value is that of a plane, of a sequence all of them stand for one step.
    let (repeat, turns) = match shape {
        Shape::Image { height, width, .. } => (height * width, 1),
        Shape::Vector { .. } => (1, 1),
        Shape::Sequence { steps, .. } => (1, steps),
    };
    let row = |values: &[f32]| {
        let row = std::iter::repeat_n(values, turns).flatten();
        let row = row.flat_map(|&value| std::iter::repeat_n(value, repeat));
        let len = values.len().saturating_mul(repeat).saturating_mul(turns);
        let row = budget::collect(row, len, UPLOADED)?;
        if row.len() != shape.len() {
            return Err(TrainError::Mismatch {
                expected: format!("normalisation of {} values", shape.len()),
                found: format!("{} values", row.len()),
            });
        }
        Ok(Tensor::from_data(
            TensorData::new(row, [1, shape.len()]),
            device,
        ))
    };
    Ok(Some((row(&means)?, row(&std)?)))
}
