//! A plain convolutional network.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use granule_ops::relu_max_pool2d;
use serde::{Deserialize, Serialize};

use crate::layers::{
    activated, check_dropout, check_size, convolution_has_bf16, convolve, convolve_and_pool, dense,
    normalize, to_features, to_images,
};
use crate::parameters::{Parameters, Window};
use crate::{
    Activation, Initialization, InputShape, Mode, Model, ModelError, ModelSettings, Outline,
};

/// Configuration of [`Cnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CnnConfig {
    /// The number of filters of each stage; every stage halves the image. Default `[64, 128]`, each from 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 1, max = 65536))))]
    pub channels: Vec<usize>,
    /// The number of 3×3 convolutions in each stage, before its pool. Default 1, at most 8.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 8)))]
    pub convolutions: usize,
    /// The width of the dense layer before the output. Default 1024, from 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub hidden: usize,
    /// The probability of dropping a unit of the dense layer and of its input while training. Default 0, less than 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub dropout: f64,
    /// Whether each convolution is followed by batch normalisation (and has no bias of its own). Default false.
    pub batch_norm: bool,
    /// How the weights of all but the output layer are drawn. Default He.
    pub init: Initialization,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self {
            channels: vec![64, 128],
            convolutions: 1,
            hidden: 1024,
            dropout: 0.0,
            batch_norm: false,
            init: Initialization::He,
        }
    }
}

impl ModelSettings for CnnConfig {
    type Model = Cnn;
    const KIND: &'static str = "cnn";
    const SUMMARY: &'static str = "Plain convolutional network.";

    fn first_weight(&self) -> Option<String> {
        Some("stages.0.0.conv.weight".to_owned())
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        let [channels, height, width] = input.image("cnn")?;
        check_size("input.channels", channels)?;
        check_size("outputs", outputs)?;
        let stages = self.channels.len();
        let most = height.min(width).ilog2() as usize;
        if !(1..=most).contains(&stages) {
            let found = format!("{stages} stages");
            let allowed = format!(
                "1 to {most} stages for an input of {input}, because each halves the image"
            );
            return Err(ModelError::config("channels", found, allowed));
        }
        for (i, channels) in self.channels.iter().enumerate() {
            check_size(format!("channels[{i}]"), *channels)?;
        }
        if !(1..=8).contains(&self.convolutions) {
            return Err(ModelError::config(
                "convolutions",
                self.convolutions,
                "1 to 8",
            ));
        }
        check_size("hidden", self.hidden)?;
        check_dropout("dropout", self.dropout)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Cnn, ModelError> {
        let image = input.image("cnn")?;
        let mut inputs = image[0];
        let stages = p.scope("stages", |p| {
            let mut stages = Vec::with_capacity(self.channels.len());
            for (i, channels) in self.channels.iter().enumerate() {
                stages.push(p.scope(i, |p| self.stage(inputs, *channels, p))?);
                inputs = *channels;
            }
            Ok(stages)
        })?;
        let shrink = self.channels.len();
        let features = inputs * (image[1] >> shrink) * (image[2] >> shrink);
        Ok(Cnn {
            stages,
            hidden: p.linear("hidden", [features, self.hidden], self.init)?,
            output: p.linear("output", [self.hidden, outputs], Initialization::Xavier)?,
            image,
            dropout: self.dropout,
        })
    }
}

impl CnnConfig {
    fn stage(
        &self,
        inputs: usize,
        channels: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Vec<ConvBlock>, ModelError> {
        let block = |i| {
            let inputs = if i == 0 { inputs } else { channels };
            p.scope(i, |p| {
                ConvBlock::build([inputs, channels], 3, 1, self.batch_norm, self.init, p)
            })
        };
        (0..self.convolutions).map(block).collect()
    }
}

/// Stages of 3×3 convolutions with relu, each ending in a 2×2 max-pool, then a dense layer and the output.
///
/// The default, 3×3 64, pool, 3×3 128, pool, dense 1024, is the two-layer network often trained on CIFAR-10.
/// `[batch, channels·height·width]` → `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct Cnn {
    /// The convolutions of each stage.
    pub stages: Vec<Vec<ConvBlock>>,
    /// The dense layer.
    pub hidden: Linear,
    /// The output layer.
    pub output: Linear,
    image: [usize; 3],
    dropout: f64,
}

impl Model for Cnn {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let mut x = to_images(x, self.image);
        for stage in &self.stages {
            for (i, block) in stage.iter().enumerate() {
                x = if i + 1 == stage.len() {
                    block.apply_and_pool(x, &mode)
                } else {
                    relu(block.apply(x, &mode))
                };
            }
        }
        let x = mode.dropout(to_features(x), self.dropout);
        let x = activated(&self.hidden, Activation::Relu, x, &mode);
        let x = mode.dropout(x, self.dropout);
        Ok(dense(&self.output, x, &mode))
    }

    fn has_bf16(&self) -> bool {
        self.stages.iter().flatten().all(ConvBlock::has_bf16)
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        for stage in &self.stages {
            for block in stage {
                outline.convolution(&block.conv);
                if let Some(norm) = &block.norm {
                    outline.batch_norm(norm);
                }
                outline.activation(Activation::Relu);
            }
            outline.max_pool([2, 2], [2, 2]);
        }
        outline.flatten();
        outline.dense(&self.hidden);
        outline.activation(Activation::Relu);
        outline.dense(&self.output);
    }
}

/// A convolution with "same" padding and, optionally, batch normalisation.
#[derive(Module, Debug)]
pub struct ConvBlock {
    /// The convolution; without a bias where batch norm follows.
    pub conv: Conv2d,
    /// The batch norm.
    pub norm: Option<BatchNorm>,
}

impl ConvBlock {
    pub(crate) fn build(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        batch_norm: bool,
        init: Initialization,
        p: &mut Parameters<'_>,
    ) -> Result<Self, ModelError> {
        let window = Window {
            kernel,
            stride,
            padding: kernel / 2,
        };
        Ok(Self {
            conv: p.conv("conv", channels, window, !batch_norm, init)?,
            norm: if batch_norm {
                Some(p.norm("norm", channels[1])?)
            } else {
                None
            },
        })
    }

    pub(crate) fn has_bf16(&self) -> bool {
        convolution_has_bf16(&self.conv)
    }

    pub(crate) fn apply(&self, x: Tensor<4>, mode: &Mode<'_>) -> Tensor<4> {
        let x = convolve(&self.conv, x, mode);
        match &self.norm {
            Some(norm) => normalize(norm, x, mode),
            None => x,
        }
    }

    /// [`apply`](Self::apply), then the largest of each window of 2×2, and zero where none is positive.
    pub(crate) fn apply_and_pool(&self, x: Tensor<4>, mode: &Mode<'_>) -> Tensor<4> {
        match &self.norm {
            Some(_) => relu_max_pool2d(self.apply(x, mode), 2),
            None => convolve_and_pool(&self.conv, x, mode),
        }
    }
}
