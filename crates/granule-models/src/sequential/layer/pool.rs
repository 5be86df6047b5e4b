use burn::module::Module;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::tensor::Tensor;
use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::parameters::{Parameters, Window};
use crate::sequential::window::{self, check_window};
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError, Outline};

/// Pooling over square windows of images, or over windows of steps of sequences, each channel by itself; rows, columns and
/// steps that fill no window are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolLayerConfig {
    /// What is taken of a window. Default max.
    #[serde(default)]
    pub method: PoolMethod,
    /// The side of the window in pixels, or its length in steps, 1 to 64. Default 2.
    #[serde(default = "two")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub size: usize,
    /// How many pixels or steps the window moves, 1 to 64. Default its side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub stride: Option<usize>,
}

fn two() -> usize {
    2
}

/// What pooling takes of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PoolMethod {
    /// The largest value.
    #[default]
    Max,
    /// The mean.
    Mean,
}

/// Pooling.
#[derive(Module, Debug)]
pub struct Pool {
    windows: Windows,
    /// Steps and channels of a sequence.
    #[module(skip)]
    sequence: Option<[usize; 2]>,
}

/// What is taken of each window.
#[derive(Module, Debug)]
pub enum Windows {
    /// The largest value of every window.
    Max(MaxPool2d),
    /// The mean of every window.
    Mean(AvgPool2d),
}

impl LayerSettings for PoolLayerConfig {
    type Layer = Pool;

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        let window = Window {
            kernel: self.size,
            stride: self.stride.unwrap_or(self.size),
            padding: 0,
        };
        check_window(site.field("size"), window.kernel)?;
        check_window(site.field("stride"), window.stride)?;
        let (steps, channels) = match site.input() {
            InputShape::Image { .. } => return window::shape(site, window, None),
            InputShape::Sequence { steps, channels } => (steps, channels),
            InputShape::Vector { .. } => {
                let problem = "takes images and sequences";
                return Err(site.misfit(problem, "put it before the first flatten"));
            }
        };
        match steps.checked_sub(window.kernel) {
            Some(room) => Ok(InputShape::Sequence {
                steps: room / window.stride + 1,
                channels,
            }),
            None => Err(site.misfit(
                format_args!("has a window of {}", counted(window.kernel, "step")),
                "take a smaller window or leave out a pool or stride",
            )),
        }
    }

    fn build(&self, at: &mut Builder, _: &mut Parameters<'_>) -> Result<Pool, ModelError> {
        let stride = self.stride.unwrap_or(self.size);
        let (sequence, size, stride) = match at.input() {
            InputShape::Sequence { steps, channels } => {
                (Some([steps, channels]), [self.size, 1], [stride, 1])
            }
            _ => (None, [self.size; 2], [stride; 2]),
        };
        let windows = match self.method {
            PoolMethod::Max => Windows::Max(MaxPool2dConfig::new(size).with_strides(stride).init()),
            PoolMethod::Mean => {
                Windows::Mean(AvgPool2dConfig::new(size).with_strides(stride).init())
            }
        };
        Ok(Pool { windows, sequence })
    }
}

impl Windows {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Max(pool) => pool.forward(x),
            Self::Mean(pool) => pool.forward(x),
        }
    }
}

impl Layer for Pool {
    fn run(&self, x: Features, _: &mut Mode<'_>) -> Result<Features, ModelError> {
        let Some([steps, channels]) = self.sequence else {
            return Ok(Features::Image(self.windows.forward(x.image()?)));
        };
        let x = x.flat();
        let batch = x.dims()[0];
        // A column of pixels for each channel.
        let columns = x.reshape([batch, steps, channels, 1]).swap_dims(1, 2);
        let pooled = self.windows.forward(columns).swap_dims(1, 2);
        Ok(Features::Vector(pooled.flatten(1, 3)))
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        match &self.windows {
            Windows::Max(pool) if self.sequence.is_none() => {
                outline.max_pool(pool.kernel_size, pool.stride);
            }
            _ => outline.other(),
        }
    }

    fn has_bf16(&self) -> bool {
        true
    }
}
