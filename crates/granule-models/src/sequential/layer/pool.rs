use burn::module::Module;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::parameters::{Parameters, Window};
use crate::sequential::window::{self, check_window};
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError};

/// Pooling over square windows. It takes images; rows and columns that fill no window are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolLayerConfig {
    /// What is taken of a window. Default max.
    #[serde(default)]
    pub method: PoolMethod,
    /// The side of the window in pixels, 1 to 64. Default 2.
    #[serde(default = "two")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub size: usize,
    /// How many pixels the window moves, 1 to 64. Default its side.
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
pub enum Pool {
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
        window::shape(site, window, None)
    }

    fn build(&self, _: &mut Builder, _: &mut Parameters<'_>) -> Result<Pool, ModelError> {
        let size = [self.size; 2];
        let stride = [self.stride.unwrap_or(self.size); 2];
        Ok(match self.method {
            PoolMethod::Max => Pool::Max(MaxPool2dConfig::new(size).with_strides(stride).init()),
            PoolMethod::Mean => Pool::Mean(AvgPool2dConfig::new(size).with_strides(stride).init()),
        })
    }
}

impl Layer for Pool {
    fn run(&self, x: Features, _: &mut Mode<'_>) -> Result<Features, ModelError> {
        let x = x.image()?;
        Ok(Features::Image(match self {
            Self::Max(pool) => pool.forward(x),
            Self::Mean(pool) => pool.forward(x),
        }))
    }
}
