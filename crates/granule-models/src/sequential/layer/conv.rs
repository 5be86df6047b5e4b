use burn::nn::conv::Conv2d;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::layers::{check_size, convolution_has_bf16, convolve};
use crate::parameters::{Parameters, Window};
use crate::sequential::window::{self, check_window};
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError, Outline};

/// A convolution. It takes images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConvLayerConfig {
    /// The number of filters, 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub filters: usize,
    /// The side of the square kernel in pixels, 1 to 64. Default 3.
    #[serde(default = "three")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub kernel: usize,
    /// How many pixels the kernel moves, 1 to 64. Default 1.
    #[serde(default = "one")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
    pub stride: usize,
    /// Zeros around the image, less than the kernel. Default half the kernel, rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 63)))]
    pub padding: Option<usize>,
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

impl ConvLayerConfig {
    fn window(&self) -> Window {
        Window {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding.unwrap_or(self.kernel / 2),
        }
    }
}

impl LayerSettings for ConvLayerConfig {
    type Layer = Conv2d;
    const WEIGHT: Option<&'static str> = Some("weight");

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        let window = self.window();
        check_size(site.field("filters"), self.filters)?;
        check_window(site.field("kernel"), window.kernel)?;
        check_window(site.field("stride"), window.stride)?;
        if window.padding >= window.kernel {
            let allowed = format!("0 to {}, less than the kernel", window.kernel - 1);
            return Err(ModelError::config(
                site.field("padding"),
                window.padding,
                allowed,
            ));
        }
        window::shape(site, window, Some(self.filters))
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Conv2d, ModelError> {
        let sizes = [at.channels(), self.filters];
        p.conv(at.index(), sizes, self.window(), true, at.init())
    }
}

impl Layer for Conv2d {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        Ok(Features::Image(convolve(self, x.image()?, mode)))
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        outline.convolution(self);
    }

    fn has_bf16(&self) -> bool {
        convolution_has_bf16(self)
    }
}
