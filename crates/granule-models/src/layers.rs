//! What the models share: activation, initialisation, and the cheapest call of each operation.

use burn::module::Param;
use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::module::batch_norm;
use burn::tensor::{Tensor, activation};
use granule_ops::{
    Conv2dOptions, Factors, conv2d_relu_max_pool2d, conv2d_with, linear_relu, linear_with,
    relu_max_pool2d,
};
use serde::{Deserialize, Serialize};

use crate::{Mode, ModelError};

/// The nonlinearity between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// max(0, x)
    #[default]
    Relu,
    /// x·Φ(x), with the normal distribution function Φ
    Gelu,
    /// tanh x
    Tanh,
    /// 1/(1 + exp(−x))
    Sigmoid,
}

impl Activation {
    /// Applies the nonlinearity to every element.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => activation::relu(x),
            Self::Gelu => activation::gelu(x),
            Self::Tanh => activation::tanh(x),
            Self::Sigmoid => activation::sigmoid(x),
        }
    }
}

/// How the weights of hidden layers are drawn. Biases start at zero, and the output layer, which no nonlinearity
/// follows, is always drawn after Xavier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Initialization {
    /// He et al. 2015, uniform: U(−b, b) with b = √(6 / fan_in); made for relu and gelu.
    #[default]
    He,
    /// Glorot and Bengio 2010, uniform: U(−b, b) with b = √(6 / (fan_in + fan_out)); made for tanh and sigmoid.
    Xavier,
}

pub(crate) fn dense(layer: &Linear, x: Tensor<2>, mode: &Mode<'_>) -> Tensor<2> {
    let bias = layer.bias.as_ref().map(Param::val);
    let x = linear_with(x, layer.weight.val(), bias, mode.factors());
    mode.note(&layer.weight, &x);
    x
}

/// [`dense`], then the nonlinearity.
pub(crate) fn activated(
    layer: &Linear,
    activation: Activation,
    x: Tensor<2>,
    mode: &Mode<'_>,
) -> Tensor<2> {
    if activation != Activation::Relu || mode.factors() != Factors::Full {
        return activation.forward(dense(layer, x, mode));
    }
    let x = linear_relu(x, layer.weight.val(), layer.bias.as_ref().map(Param::val));
    mode.note(&layer.weight, &x);
    x
}

/// The layer's convolution, by granule's kernel where that knows its form, otherwise by Burn's.
pub(crate) fn convolve(layer: &Conv2d, x: Tensor<4>, mode: &Mode<'_>) -> Tensor<4> {
    let x = convolved(layer, x, mode.factors());
    mode.note(&layer.weight, &x);
    x
}

fn convolved(layer: &Conv2d, x: Tensor<4>, factors: Factors) -> Tensor<4> {
    let Some(options) = options(layer) else {
        return layer.forward(x);
    };
    let bias = layer.bias.as_ref().map(Param::val);
    conv2d_with(x, layer.weight.val(), bias, options, factors)
}

/// Whether granule's kernel, which has products in bfloat16, knows the form of the layer.
pub(crate) fn convolution_has_bf16(layer: &Conv2d) -> bool {
    options(layer).is_some()
}

/// [`convolve`], then the largest of each window of 2×2, and zero where none is positive.
pub(crate) fn convolve_and_pool(layer: &Conv2d, x: Tensor<4>, mode: &Mode<'_>) -> Tensor<4> {
    match (options(layer), mode) {
        (Some(options), Mode::Training(_) | Mode::Inference) if mode.factors() == Factors::Full => {
            let bias = layer.bias.as_ref().map(Param::val);
            conv2d_relu_max_pool2d(x, layer.weight.val(), bias, options, 2)
        }
        _ => relu_max_pool2d(convolve(layer, x, mode), 2),
    }
}

/// What granule's kernel is told of a layer whose form it knows.
fn options(layer: &Conv2d) -> Option<Conv2dOptions> {
    let padding = match layer.padding {
        PaddingConfig2d::Valid => [0, 0],
        PaddingConfig2d::Explicit(top, left, bottom, right) if top == bottom && left == right => {
            [top, left]
        }
        _ => return None,
    };
    (layer.dilation == [1, 1] && layer.groups == 1).then_some(Conv2dOptions {
        stride: layer.stride,
        padding,
    })
}

/// Batch statistics while training, running statistics otherwise.
pub(crate) fn normalize<const D: usize>(
    layer: &BatchNorm,
    x: Tensor<D>,
    mode: &Mode<'_>,
) -> Tensor<D> {
    let x = match mode {
        Mode::Training(_) => layer.forward(x),
        Mode::Inference | Mode::Tracing(_) => batch_norm(
            x,
            layer.gamma.val(),
            layer.beta.val(),
            layer.running_mean.value_sync(),
            layer.running_var.value_sync(),
            layer.epsilon,
        ),
    };
    mode.note(&layer.gamma, &x);
    x
}

/// `[batch, channels·height·width]` to `[batch, channels, height, width]`.
pub(crate) fn to_images(x: Tensor<2>, [channels, height, width]: [usize; 3]) -> Tensor<4> {
    let [batch, _] = x.dims();
    x.reshape([batch, channels, height, width])
}

/// `[batch, channels, height, width]` to `[batch, channels·height·width]`.
pub(crate) fn to_features(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels * height * width])
}

pub(crate) fn check_dropout(field: &str, probability: f64) -> Result<(), ModelError> {
    if (0.0..1.0).contains(&probability) {
        return Ok(());
    }
    Err(ModelError::config(
        field,
        probability,
        "from 0 up to, but not including, 1",
    ))
}

/// Sizes of layers, and the number of outputs.
pub(crate) fn check_size(field: impl Into<String>, size: usize) -> Result<(), ModelError> {
    match size {
        1..=65536 => Ok(()),
        _ => Err(ModelError::config(field, size, "1 to 65536")),
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::{TensorData, Tolerance};
    use granule_device::DeviceSpec;

    use super::*;

    #[test]
    fn a_layer_convolves_as_its_own_fields_say() {
        let device = DeviceSpec::Flex.open().unwrap().burn().clone();
        let plain = Conv2dConfig::new([4, 6], [3, 3]);
        let explicit = |top, left, bottom, right| {
            plain
                .clone()
                .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
        };
        let data: Vec<f32> = (0..2 * 4 * 9 * 8)
            .map(|i| (i * 37 % 19) as f32 - 9.0)
            .collect();
        let x = Tensor::<4>::from_data(TensorData::new(data, [2, 4, 9, 8]), &device);
        for config in [
            plain.clone(),
            explicit(1, 2, 1, 2),
            explicit(1, 0, 2, 3),
            explicit(1, 1, 1, 1).with_stride([2, 1]),
            plain.clone().with_padding(PaddingConfig2d::Same),
            explicit(1, 1, 1, 1).with_dilation([2, 2]),
            explicit(1, 1, 1, 1).with_groups(2),
            plain.clone().with_bias(false),
        ] {
            let layer = config.init(&device);
            let ours = convolve(&layer, x.clone(), &Mode::Inference).into_data();
            let burns = layer.forward(x.clone()).into_data();
            ours.assert_approx_eq::<f32>(&burns, Tolerance::absolute(1e-4));
        }
    }
}
