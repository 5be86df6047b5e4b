//! What inference runs of a model whose layers it knows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use burn::module::{Param, ParamId};
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear, PaddingConfig2d};
use burn::tensor::{DType, Tensor};
use granule_ops::{Conv2dOptions, Plan, PlanActivation, PlanInput, PlanLayer, is_on_host};

use crate::state::parameter_ids;
use crate::{Activation, InputShape, Model, StateDict};

/// The layers that a model runs at inference, one after the other, beginning with its input.
///
/// A model of no other layers than these says so in [`Model::outline`]; on the CPU, inference then runs them without Burn's
/// tensors, from weights that lie as its kernels read them.
#[derive(Debug)]
pub struct Outline<'a> {
    layers: Vec<PlanLayer<'a>>,
    /// The parameters as the model was given them.
    state: BTreeMap<ParamId, &'a [f32]>,
    known: bool,
    /// The outputs that are given, where not all are.
    answers: Option<usize>,
}

impl<'a> Outline<'a> {
    /// A plan for the model, whose parameters are those of `state` and which gives `outputs` values; none where it has other
    /// layers, or is on another device.
    pub(crate) fn plan(
        model: &impl Model,
        state: &'a StateDict,
        input: &InputShape,
        outputs: usize,
    ) -> Option<Plan> {
        let ids = parameter_ids(model).into_iter();
        let known = ids.filter_map(|(name, id)| Some((id, &state.0.get(&name)?.data[..])));
        let mut outline = Self {
            layers: Vec::new(),
            state: known.collect(),
            known: true,
            answers: None,
        };
        model.outline(&mut outline);
        let input = match *input {
            InputShape::Image {
                channels,
                height,
                width,
            } => PlanInput::Image([channels, height, width]),
            InputShape::Vector { .. } | InputShape::Sequence { .. } => {
                PlanInput::Vector(input.len())
            }
        };
        if !outline.known || outline.answers.is_some_and(|answers| answers < outputs) {
            return None;
        }
        Plan::new(input, outline.layers, outputs)
    }

    /// A layer that is none of these: the model is run as it is.
    pub fn other(&mut self) {
        self.known = false;
        self.layers.clear();
    }

    /// A dense layer; it takes vectors.
    pub fn dense(&mut self, layer: &Linear) {
        let [_, outputs] = layer.weight.lazy_shape().dims();
        let Some(weight) = self.parameter(&layer.weight) else {
            return self.other();
        };
        let bias = layer.bias.as_ref().and_then(|bias| self.parameter(bias));
        self.add(PlanLayer::Dense {
            weight,
            bias,
            outputs,
        });
    }

    /// A convolution; it takes images.
    pub fn convolution(&mut self, layer: &Conv2d) {
        let padding = match layer.padding {
            PaddingConfig2d::Valid => [0, 0],
            PaddingConfig2d::Explicit(top, left, bottom, right)
                if top == bottom && left == right =>
            {
                [top, left]
            }
            _ => return self.other(),
        };
        if layer.dilation != [1, 1] || layer.groups != 1 {
            return self.other();
        }
        let [filters, _, height, width] = layer.weight.lazy_shape().dims();
        let Some(weight) = self.parameter(&layer.weight) else {
            return self.other();
        };
        let bias = layer.bias.as_ref().and_then(|bias| self.parameter(bias));
        self.add(PlanLayer::Convolution {
            weight,
            bias,
            filters,
            kernel: [height, width],
            options: Conv2dOptions {
                stride: layer.stride,
                padding,
            },
        });
    }

    /// Batch normalisation with the running statistics.
    pub fn batch_norm(&mut self, layer: &BatchNorm) {
        let running = [
            layer.gamma.val(),
            layer.beta.val(),
            layer.running_mean.value_sync(),
            layer.running_var.value_sync(),
        ];
        let [Some(gamma), Some(beta), Some(mean), Some(variance)] =
            running.map(|values| self.values(&values))
        else {
            return self.other();
        };
        let scale = gamma.iter().zip(&variance);
        let scale: Vec<f64> = scale
            .map(|(&gamma, &variance)| {
                f64::from(gamma) / (f64::from(variance) + layer.epsilon).sqrt()
            })
            .collect();
        let shift = beta.iter().zip(&mean).zip(&scale);
        let shift = shift.map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale);
        self.add(PlanLayer::Scale {
            shift: shift.map(|shift| shift as f32).collect(),
            scale: scale.iter().map(|&scale| scale as f32).collect(),
        });
    }

    /// A nonlinearity.
    pub fn activation(&mut self, activation: Activation) {
        self.add(PlanLayer::Activation(match activation {
            Activation::Relu => PlanActivation::Relu,
            Activation::Gelu => PlanActivation::Gelu,
            Activation::Tanh => PlanActivation::Tanh,
            Activation::Sigmoid => PlanActivation::Sigmoid,
        }));
    }

    /// The largest value of each window of an image, by height and width of the window and how far it moves; what fills no
    /// window is left out.
    pub fn max_pool(&mut self, size: [usize; 2], stride: [usize; 2]) {
        self.add(PlanLayer::MaxPool { size, stride });
    }

    /// An image becomes a vector, channel, row, column.
    pub fn flatten(&mut self) {
        self.add(PlanLayer::Flatten);
    }

    /// The first `outputs` alone are given.
    pub(crate) fn answering(&mut self, outputs: usize) {
        self.answers = Some(outputs);
    }

    fn add(&mut self, layer: PlanLayer<'a>) {
        if self.known {
            self.layers.push(layer);
        }
    }

    /// The values of a parameter, as [`values`](Self::values).
    fn parameter<const D: usize>(&self, parameter: &Param<Tensor<D>>) -> Option<Cow<'a, [f32]>> {
        let tensor = parameter.val();
        match self.state.get(&parameter.id) {
            Some(values)
                if self.takes(&tensor) && values.len() == tensor.shape().num_elements() =>
            {
                Some(Cow::Borrowed(values))
            }
            _ => self.values(&tensor).map(Cow::Owned),
        }
    }

    /// Whether the values are of single precision and on the host.
    fn takes<const D: usize>(&self, tensor: &Tensor<D>) -> bool {
        self.known && tensor.dtype() == DType::F32 && is_on_host(tensor)
    }

    /// The values of a tensor, where they are of single precision and on the host.
    fn values<const D: usize>(&self, tensor: &Tensor<D>) -> Option<Vec<f32>> {
        self.takes(tensor)
            .then(|| tensor.to_data().try_into_vec().ok())?
    }
}
