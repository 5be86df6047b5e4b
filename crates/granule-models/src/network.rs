//! Any of the models behind one type.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::layers::{Mode, Trace};
use crate::state::parameter_ids;
use crate::{Cnn, DropoutStream, InputShape, LeNet, Mlp, MultiGranularity, Rate, ResNet};

/// Any of the models; built by [`crate::ModelConfig::init`].
///
/// As with every Burn module, clones share batch norm's running statistics: take a [`crate::StateDict`] to keep a copy.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a program holds a handful of networks, and Burn's modules cannot be boxed"
)]
pub enum Network {
    /// Multilayer perceptron.
    Mlp(Mlp),
    /// LeNet-5.
    LeNet(LeNet),
    /// Plain convolutional network.
    Cnn(Cnn),
    /// Small residual network.
    ResNet(ResNet),
    /// Rate network.
    Rate(Rate),
    /// Several levels.
    MultiGranularity(MultiGranularity),
}

impl Network {
    /// Inference: `[batch, features]` → logits or values `[batch, outputs]`. Images are flattened channel, row, column.
    ///
    /// No dropout, no network noise, and batch norm with its running statistics, on any device.
    ///
    /// Burn keeps the running statistics that another thread's training steps brought about apart until the module
    /// is asked for them: take [`Module::valid`] of a network that was trained on another thread before using it here.
    /// [`crate::state::state_dict`] does so itself.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.run(x, Mode::Inference)
    }

    /// Training: the same shapes, with dropout and network noise drawn from `dropout`. On an autodiff device batch norm uses the batch's
    /// statistics and updates its running ones.
    pub fn forward_train(&self, x: Tensor<2>, dropout: &mut DropoutStream) -> Tensor<2> {
        self.run(x, Mode::Training(dropout))
    }

    /// The number of trainable values; batch norm's running statistics and what is kept fixed of a rate network
    /// and of several levels are not among them. Several levels know what is trainable on a device with autodiff alone; 0
    /// elsewhere.
    pub fn parameter_count(&self) -> usize {
        let mut counter = Counter::default();
        self.visit(&mut counter);
        match self {
            Self::Rate(model) => counter.count - model.fixed_count(),
            Self::MultiGranularity(model) => model.model.trainable(),
            _ => counter.count,
        }
    }

    /// The shape that every layer gives for one sample of `input`, without the batch: `[channels, height, width]` of a
    /// convolution, `[steps, units]` of a rate network, `[instants, columns]` of several levels. Layers stand in
    /// the order in which they run, under their paths in [`crate::state`].
    ///
    /// One sample of zeros is run; several levels, whose runs may be long, are asked instead.
    pub fn layer_shapes(&self, input: &InputShape) -> Vec<(String, Vec<usize>)> {
        if let Self::MultiGranularity(model) = self {
            return vec![("model".to_owned(), vec![model.samples(), model.columns()])];
        }
        let Some(device) = self.devices().into_iter().next() else {
            return Vec::new();
        };
        let trace = Trace::default();
        self.run(
            Tensor::zeros([1, input.len()], &device),
            Mode::Tracing(&trace),
        );
        let layers: BTreeMap<_, _> = parameter_ids(self)
            .into_iter()
            .map(|(path, id)| (id, crate::state::layer_of(&path).0.to_owned()))
            .collect();
        let named = trace.0.into_inner().into_iter();
        named
            .filter_map(|(id, shape)| Some((layers.get(&id)?.clone(), shape.get(1..)?.to_vec())))
            .collect()
    }

    fn run(&self, x: Tensor<2>, mode: Mode<'_>) -> Tensor<2> {
        match self {
            Self::Mlp(model) => model.run(x, mode),
            Self::LeNet(model) => model.run(x, mode),
            Self::Cnn(model) => model.run(x, mode),
            Self::ResNet(model) => model.run(x, mode),
            Self::Rate(model) => model.run(x, mode),
            Self::MultiGranularity(model) => model.forward(x),
        }
    }
}

#[derive(Default)]
struct Counter {
    running: bool,
    count: usize,
}

impl ModuleVisitor for Counter {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.running = crate::state::is_running_statistic(name);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.running {
            self.count += param.lazy_shape().num_elements();
        }
    }
}
