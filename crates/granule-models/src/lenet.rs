//! LeNet-5.

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::layers::{
    activated, check_dropout, check_size, convolution_has_bf16, convolve_and_pool, dense,
    to_features, to_images,
};
use crate::parameters::{Parameters, Window};
use crate::{
    Activation, Initialization, InputShape, Mode, Model, ModelError, ModelSettings, Outline,
};

/// Configuration of [`LeNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LeNetConfig {
    /// The probability of dropping a unit of the two hidden dense layers while training. Default 0, less than 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub dropout: f64,
    /// How the weights of all but the output layer are drawn. Default He.
    pub init: Initialization,
}

impl Default for LeNetConfig {
    fn default() -> Self {
        Self {
            dropout: 0.0,
            init: Initialization::He,
        }
    }
}

impl ModelSettings for LeNetConfig {
    type Model = LeNet;
    const KIND: &'static str = "lenet";
    const SUMMARY: &'static str = "LeNet-5, for images of 28×28 and 32×32.";

    fn first_weight(&self) -> Option<String> {
        Some("conv1.weight".to_owned())
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        let [channels, height, width] = input.image("lenet")?;
        if !matches!((height, width), (28, 28) | (32, 32)) {
            let allowed = "lenet takes images of 28×28 or 32×32; use cnn or resnet for other sizes";
            return Err(ModelError::config("input", input, allowed));
        }
        check_size("input.channels", channels)?;
        check_size("outputs", outputs)?;
        check_dropout("dropout", self.dropout)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<LeNet, ModelError> {
        let image = input.image("lenet")?;
        let padding = if image[1] == 28 { 2 } else { 0 };
        let window = |padding| Window {
            kernel: 5,
            stride: 1,
            padding,
        };
        Ok(LeNet {
            conv1: p.conv("conv1", [image[0], 6], window(padding), true, self.init)?,
            conv2: p.conv("conv2", [6, 16], window(0), true, self.init)?,
            fc1: p.linear("fc1", [400, 120], self.init)?,
            fc2: p.linear("fc2", [120, 84], self.init)?,
            fc3: p.linear("fc3", [84, outputs], Initialization::Xavier)?,
            image,
            dropout: self.dropout,
        })
    }
}

/// LeNet-5 (LeCun et al. 1998) with relu and max-pooling: convolution 6@5×5, pool, convolution 16@5×5, pool, then dense
/// layers of 120, 84 and the outputs. Images of 28×28 are padded to 32×32 in the first convolution.
///
/// `[batch, channels·height·width]` → `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct LeNet {
    /// First convolution, 6 filters of 5×5.
    pub conv1: Conv2d,
    /// Second convolution, 16 filters of 5×5.
    pub conv2: Conv2d,
    /// 400 → 120.
    pub fc1: Linear,
    /// 120 → 84.
    pub fc2: Linear,
    /// 84 → outputs.
    pub fc3: Linear,
    image: [usize; 3],
    dropout: f64,
}

impl Model for LeNet {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let x = to_images(x, self.image);
        let x = convolve_and_pool(&self.conv1, x, &mode);
        let x = convolve_and_pool(&self.conv2, x, &mode);
        let x = activated(&self.fc1, Activation::Relu, to_features(x), &mode);
        let x = mode.dropout(x, self.dropout);
        let x = activated(&self.fc2, Activation::Relu, x, &mode);
        let x = mode.dropout(x, self.dropout);
        Ok(dense(&self.fc3, x, &mode))
    }

    fn has_bf16(&self) -> bool {
        [&self.conv1, &self.conv2]
            .into_iter()
            .all(convolution_has_bf16)
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        for layer in [&self.conv1, &self.conv2] {
            outline.convolution(layer);
            outline.activation(Activation::Relu);
            outline.max_pool([2, 2], [2, 2]);
        }
        outline.flatten();
        for layer in [&self.fc1, &self.fc2] {
            outline.dense(layer);
            outline.activation(Activation::Relu);
        }
        outline.dense(&self.fc3);
    }
}
