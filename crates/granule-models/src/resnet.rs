//! Small residual networks.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use granule_ops::relu_max_pool2d;
use serde::{Deserialize, Serialize};

use crate::cnn::ConvBlock;
use crate::layers::{check_dropout, check_size, dense, to_images};
use crate::parameters::Parameters;
use crate::{Initialization, InputShape, Mode, Model, ModelError, ModelSettings};

/// Configuration of [`ResNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ResNetConfig {
    /// 9, or 6n + 2 (20, 32, 44, 56, …, at most 1202). Default 9.
    #[cfg_attr(feature = "schema", schemars(range(min = 8, max = 1202)))]
    pub depth: usize,
    /// The filters of the stem and of each of the three stages (depth 9: four numbers), or of the three stages (others:
    /// three numbers). Empty, the default, means `[64, 128, 256, 512]` or `[16, 32, 64]`. Each from 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 1, max = 65536))))]
    pub widths: Vec<usize>,
    /// The probability of dropping a feature before the output layer while training. Default 0, less than 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub dropout: f64,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self {
            depth: 9,
            widths: Vec::new(),
            dropout: 0.0,
        }
    }
}

impl ModelSettings for ResNetConfig {
    type Model = ResNet;
    const KIND: &'static str = "resnet";
    const SUMMARY: &'static str = "Small residual network.";

    fn first_weight(&self) -> Option<String> {
        Some("stem.conv.weight".to_owned())
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        let [channels, height, width] = input.image("resnet")?;
        check_size("input.channels", channels)?;
        check_size("outputs", outputs)?;
        if height.min(width) < 8 {
            return Err(ModelError::config(
                "input",
                input,
                "resnet takes images of at least 8×8",
            ));
        }
        if self.depth != 9 && !((8..=1202).contains(&self.depth) && self.depth % 6 == 2) {
            let allowed = "9, or 6n + 2 from 8 to 1202, such as 20, 32, 44, 56";
            return Err(ModelError::config("depth", self.depth, allowed));
        }
        let numbers = if self.depth == 9 { 4 } else { 3 };
        if !self.widths.is_empty() && self.widths.len() != numbers {
            let found = format!("{} numbers", self.widths.len());
            let allowed = format!("{numbers} numbers for depth {}, or none", self.depth);
            return Err(ModelError::config("widths", found, allowed));
        }
        for (i, width) in self.widths.iter().enumerate() {
            check_size(format!("widths[{i}]"), *width)?;
        }
        check_dropout("dropout", self.dropout)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<ResNet, ModelError> {
        let image = input.image("resnet")?;
        let widths = match (self.widths.as_slice(), self.depth) {
            ([], 9) => vec![64, 128, 256, 512],
            ([], _) => vec![16, 32, 64],
            (widths, _) => widths.to_vec(),
        };
        let plan = match (self.depth, widths.as_slice()) {
            (9, [_, rest @ ..]) => nine(rest),
            (depth, widths) => deep(depth, widths),
        };
        let stem_width = widths.first().copied().unwrap_or(1);
        let stem = p.scope("stem", |p| conv([image[0], stem_width], 3, 1, p))?;
        let mut width = stem_width;
        let blocks = p.scope("blocks", |p| {
            let mut blocks = Vec::with_capacity(plan.len());
            for (i, step) in plan.into_iter().enumerate() {
                blocks.push(p.scope(i, |p| step.build(&mut width, p))?);
            }
            Ok(blocks)
        })?;
        Ok(ResNet {
            stem,
            blocks,
            output: p.linear("output", [width, outputs], Initialization::Xavier)?,
            image,
            dropout: self.dropout,
            global_max: self.depth == 9,
        })
    }
}

/// One element of a network's plan.
enum Step {
    /// Convolution to a width, pool.
    Shrink(usize),
    /// Two convolutions around a shortcut; with a stride or another width the shortcut is a 1×1 convolution.
    Residual { width: usize, stride: usize },
}

impl Step {
    fn build(self, width: &mut usize, p: &mut Parameters<'_>) -> Result<ResidualBlock, ModelError> {
        let inputs = *width;
        let block = match self {
            Self::Shrink(outputs) => {
                *width = outputs;
                ResidualBlock {
                    conv1: p.scope("conv1", |p| conv([inputs, outputs], 3, 1, p))?,
                    conv2: None,
                    shortcut: None,
                }
            }
            Self::Residual {
                width: outputs,
                stride,
            } => {
                *width = outputs;
                let plain = stride == 1 && inputs == outputs;
                ResidualBlock {
                    conv1: p.scope("conv1", |p| conv([inputs, outputs], 3, stride, p))?,
                    conv2: Some(p.scope("conv2", |p| conv([outputs, outputs], 3, 1, p))?),
                    shortcut: if plain {
                        None
                    } else {
                        Some(p.scope("shortcut", |p| conv([inputs, outputs], 1, stride, p))?)
                    },
                }
            }
        };
        Ok(block)
    }
}

/// ResNet-9: shrink and residual, shrink, shrink and residual.
fn nine(widths: &[usize]) -> Vec<Step> {
    let last = widths.len().saturating_sub(1);
    let mut plan = Vec::new();
    for (i, width) in widths.iter().enumerate() {
        plan.push(Step::Shrink(*width));
        if i == 0 || i == last {
            plan.push(Step::Residual {
                width: *width,
                stride: 1,
            });
        }
    }
    plan
}

/// He et al. 2016 for CIFAR: per width, n residual blocks, the first of the later ones with stride 2.
fn deep(depth: usize, widths: &[usize]) -> Vec<Step> {
    let n = depth.saturating_sub(2) / 6;
    let stage = |(i, width): (usize, &usize)| {
        let width = *width;
        let stride = move |j| if i > 0 && j == 0 { 2 } else { 1 };
        (0..n).map(move |j| Step::Residual {
            width,
            stride: stride(j),
        })
    };
    widths.iter().enumerate().flat_map(stage).collect()
}

fn conv(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    p: &mut Parameters<'_>,
) -> Result<ConvBlock, ModelError> {
    ConvBlock::build(channels, kernel, stride, true, Initialization::He, p)
}

/// A residual network for small images, every convolution followed by batch norm.
///
/// Depth 9: stem, 128 and pool, residual, 256 and pool, 512 and pool, residual, global maximum.
/// Depth 6n + 2: stem, three stages of n residual blocks, global mean (He et al. 2016, section 4.2, with 1×1 shortcuts).
/// `[batch, channels·height·width]` → `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct ResNet {
    /// The first convolution.
    pub stem: ConvBlock,
    /// What follows it.
    pub blocks: Vec<ResidualBlock>,
    /// The output layer.
    pub output: Linear,
    image: [usize; 3],
    dropout: f64,
    global_max: bool,
}

impl Model for ResNet {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let x = to_images(x, self.image);
        let x = relu(self.stem.apply(x, &mode));
        let x = self.blocks.iter().fold(x, |x, block| block.run(x, &mode));
        let [batch, channels, height, width] = x.dims();
        let x = if self.global_max {
            global_max(x).reshape([batch, channels])
        } else {
            x.reshape([batch * channels, height * width])
                .mean_dim(1)
                .reshape([batch, channels])
        };
        let x = mode.dropout(x, self.dropout);
        Ok(dense(&self.output, x, &mode))
    }

    fn has_bf16(&self) -> bool {
        self.stem.has_bf16() && self.blocks.iter().all(ResidualBlock::has_bf16)
    }
}

/// The largest of each channel's values, none of which is negative.
fn global_max(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if height == width {
        relu_max_pool2d(x, height)
    } else {
        max_pool2d(x, MaxPoolOptions::new([height, width]))
    }
}

/// Two convolutions around a shortcut, or one convolution and a 2×2 max-pool.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    /// The first convolution.
    pub conv1: ConvBlock,
    /// The second; without it the block pools instead.
    pub conv2: Option<ConvBlock>,
    /// The 1×1 convolution of the shortcut, where shapes differ.
    pub shortcut: Option<ConvBlock>,
}

impl ResidualBlock {
    fn has_bf16(&self) -> bool {
        let others = [&self.conv2, &self.shortcut].into_iter().flatten();
        self.conv1.has_bf16() && others.into_iter().all(ConvBlock::has_bf16)
    }

    fn run(&self, x: Tensor<4>, mode: &Mode<'_>) -> Tensor<4> {
        let Some(conv2) = &self.conv2 else {
            return self.conv1.apply_and_pool(x, mode);
        };
        let inner = relu(self.conv1.apply(x.clone(), mode));
        let inner = conv2.apply(inner, mode);
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.apply(x, mode),
            None => x,
        };
        relu(inner.add(x))
    }
}
