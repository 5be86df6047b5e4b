//! A model of layers that a configuration lists.

mod config;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, LayerNorm, Linear};
use burn::tensor::Tensor;
use granule_dynamics::Place;
use granule_dynamics::population::{GatedCells, RateNetwork, SequenceModel};
use granule_io::budget;
use granule_io::words::counted;
use granule_ops::is_on_host;

pub use config::{LayerConfig, PoolMethod, SequentialConfig};

use crate::layers::{check_size, convolve, dense, normalize, to_features, to_images};
use crate::parameters::{Parameters, Window};
use crate::rate::{fixed_of, rate_network};
use crate::sequence::{Readout, extents, to_steps};
use crate::{Activation, Initialization, InputShape, Mode, Model, ModelError, ModelSettings};
use config::{Before, Network, Shape};

impl ModelSettings for SequentialConfig {
    type Model = Sequential;
    const KIND: &'static str = "sequential";
    const SUMMARY: &'static str = "Layers as a file lists them.";

    fn first_weight(&self) -> Option<&'static str> {
        match self.layers.as_slice() {
            [LayerConfig::Flatten {}] => Some("output.weight"),
            [LayerConfig::Dense { .. } | LayerConfig::Conv { .. }, ..] => Some("layers.0.weight"),
            [LayerConfig::Flatten {}, LayerConfig::Dense { .. }, ..] => Some("layers.1.weight"),
            [LayerConfig::Gru { .. } | LayerConfig::Lstm { .. }, ..] => {
                Some("layers.0.cells.input.weight")
            }
            [LayerConfig::Rate { .. }, ..] => Some("layers.0.cells.input"),
            _ => None,
        }
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        if input.is_empty() {
            let allowed = "at least one value in a sample";
            return Err(ModelError::config("input", input, allowed));
        }
        check_size("outputs", outputs)?;
        self.check(input)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Sequential, ModelError> {
        let mut builder = Builder {
            init: self.init,
            before: Before::input(input),
            shapes: Vec::new(),
        };
        let layers = p.scope("layers", |p| builder.layers(&self.layers, "layers", p))?;
        let features = builder.before.shape.len();
        let output = p.linear("output", [features, outputs], Initialization::Xavier)?;
        builder.shapes.push(("output".to_owned(), vec![outputs]));
        Ok(Sequential {
            layers,
            output,
            input: *input,
            shapes: builder.shapes,
        })
    }
}

/// Builds layers one after the other.
struct Builder {
    init: Initialization,
    before: Before,
    shapes: Vec<(String, Vec<usize>)>,
}

impl Builder {
    fn layers(
        &mut self,
        layers: &[LayerConfig],
        path: &str,
        p: &mut Parameters<'_>,
    ) -> Result<Vec<Layer>, ModelError> {
        let layers = layers.iter().enumerate();
        layers
            .map(|(i, layer)| self.layer(layer, i, &format!("{path}.{i}"), p))
            .collect()
    }

    fn layer(
        &mut self,
        config: &LayerConfig,
        index: usize,
        path: &str,
        p: &mut Parameters<'_>,
    ) -> Result<Layer, ModelError> {
        let taken = self.before.shape;
        let first = taken.dims().first().copied().unwrap_or_default();
        let given = config.output(path, self.before)?;
        let layer = match config {
            LayerConfig::Dense { units } => {
                Layer::Dense(p.linear(index, [taken.len(), *units], self.init)?)
            }
            LayerConfig::Conv {
                filters,
                kernel,
                stride,
                padding,
            } => {
                let window = Window {
                    kernel: *kernel,
                    stride: *stride,
                    padding: LayerConfig::padding(*kernel, *padding),
                };
                Layer::Conv(p.conv(index, [first, *filters], window, true, self.init)?)
            }
            LayerConfig::BatchNorm {} => Layer::BatchNorm(p.norm(index, first)?),
            LayerConfig::LayerNorm {} => Layer::LayerNorm(p.layer_norm(index, taken.len())?),
            LayerConfig::Pool {
                method,
                size,
                stride,
            } => {
                let (size, stride) = ([*size; 2], [stride.unwrap_or(*size); 2]);
                match method {
                    PoolMethod::Max => {
                        Layer::MaxPool(MaxPool2dConfig::new(size).with_strides(stride).init())
                    }
                    PoolMethod::Mean => {
                        Layer::MeanPool(AvgPool2dConfig::new(size).with_strides(stride).init())
                    }
                }
            }
            LayerConfig::Dropout { probability } => Plain::layer(Operation::Dropout(*probability)),
            LayerConfig::Relu {} => Plain::activation(Activation::Relu),
            LayerConfig::Gelu {} => Plain::activation(Activation::Gelu),
            LayerConfig::Tanh {} => Plain::activation(Activation::Tanh),
            LayerConfig::Sigmoid {} => Plain::activation(Activation::Sigmoid),
            LayerConfig::Residual { layers } => {
                Layer::Residual(p.scope(index, |p| self.layers(layers, path, p))?)
            }
            LayerConfig::Flatten {} => Plain::layer(Operation::Flatten),
            LayerConfig::Gru { .. } | LayerConfig::Lstm { .. } | LayerConfig::Rate { .. } => {
                let Some((network, _, readout)) = config.recurrent() else {
                    return Err(ModelError::config(path, config.kind(), "a recurrent layer"));
                };
                Layer::Recurrent(Recurrent::build(network, readout, taken.0, index, p)?)
            }
        };
        let name = match &layer {
            Layer::Dense(_) | Layer::Conv(_) | Layer::BatchNorm(_) | Layer::LayerNorm(_) => {
                path.to_owned()
            }
            Layer::Recurrent(recurrent) => match recurrent.cells {
                Cells::Gated(_) => format!("{path}.cells.input"),
                Cells::Rate(_) => format!("{path}.cells"),
            },
            // In no state there is a layer of this name: it has no parameters of its own.
            _ => format!("{path} ({})", config.kind()),
        };
        self.shapes.push((name, given.dims()));
        self.before = Before::layer(given);
        Ok(layer)
    }
}

/// Layers one after the other, and a dense layer of all the values that the last one gives.
///
/// `[batch, features]` → `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct Sequential {
    /// The layers from the input on.
    pub layers: Vec<Layer>,
    /// The output layer.
    pub output: Linear,
    #[module(skip)]
    input: InputShape,
    #[module(skip)]
    shapes: Vec<(String, Vec<usize>)>,
}

impl Model for Sequential {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        self.ask_for_memory(&x, &mode)?;
        let x = match Shape(self.input).dims()[..] {
            [channels, height, width] => Data::Image(to_images(x, [channels, height, width])),
            _ => Data::Vector(x),
        };
        let x = apply(&self.layers, x, &mut mode)?;
        Ok(dense(&self.output, x.flat(), &mode))
    }

    fn fixed_count(&self) -> usize {
        self.layers.iter().map(Layer::fixed_count).sum()
    }

    /// Those of all layers: also of those that have no parameters.
    fn layer_shapes(&self, _: &InputShape) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        Ok(self.shapes.clone())
    }
}

impl Sequential {
    /// What all layers give for a batch, in training with its slopes, must fit into the memory of a device on the host.
    fn ask_for_memory(&self, x: &Tensor<2>, mode: &Mode<'_>) -> Result<(), ModelError> {
        let samples = x.dims()[0];
        let values = self.shapes.iter().map(|(_, dims)| dims.iter().product());
        let values = values.fold(0, usize::saturating_add);
        let copies = match mode {
            Mode::Training(_) => 2,
            Mode::Inference | Mode::Tracing(_) => 1,
        };
        let values = values.saturating_mul(samples).saturating_mul(copies);
        if values < LARGE || !is_on_host(x) {
            return Ok(());
        }
        let what = format_args!("{} through the layers", counted(samples, "sample"));
        Ok(budget::ask_for::<f32>(what, values)?)
    }
}

/// As many values are taken without asking, which has its time.
const LARGE: usize = 1 << 26;

/// One layer of a [`Sequential`].
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // few of them, and Burn's modules cannot be boxed
pub enum Layer {
    /// A dense layer.
    Dense(Linear),
    /// A convolution.
    Conv(Conv2d),
    /// Batch normalisation.
    BatchNorm(BatchNorm),
    /// Layer normalisation over all values of a sample.
    LayerNorm(LayerNorm),
    /// The largest value of every window.
    MaxPool(MaxPool2d),
    /// The mean of every window.
    MeanPool(AvgPool2d),
    /// Layers whose result is added to their input.
    Residual(Vec<Layer>),
    /// A recurrent network.
    Recurrent(Recurrent),
    /// An operation without parameters.
    Plain(Plain),
}

/// A recurrent network along the steps of a sequence, or the rows of an image.
#[derive(Module, Debug)]
pub struct Recurrent {
    /// The network.
    pub cells: Cells,
    #[module(skip)]
    input: InputShape,
    #[module(skip)]
    readout: Readout,
}

/// The network of a recurrent layer.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // few of them, and Burn's modules cannot be boxed
pub enum Cells {
    /// Gated cells.
    Gated(GatedCells),
    /// A rate network without a readout.
    Rate(RateNetwork),
}

impl Recurrent {
    fn build(
        network: Network,
        readout: Readout,
        input: InputShape,
        index: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Self, ModelError> {
        let (_, inputs) = extents(&input)?;
        p.seeded(index, |seed, device| {
            let place = Place::f32(device);
            let cells = match network {
                Network::Gated(gated) => {
                    Cells::Gated(gated.cells(inputs, seed.unwrap_or_default(), &place)?)
                }
                Network::Rate(rate) => Cells::Rate(rate_network(rate, [inputs, 0], seed, &place)?),
            };
            Ok(Self {
                cells,
                input,
                readout: readout.of(&input),
            })
        })
    }

    fn apply(&self, x: Tensor<2>) -> Result<Tensor<2>, ModelError> {
        let steps = to_steps(x, &self.input);
        let states = match &self.cells {
            Cells::Gated(cells) => cells.states(steps)?,
            Cells::Rate(network) => network.forward(steps, None)?.rates,
        };
        Ok(self.readout.take(states))
    }
}

/// An operation without parameters: an activation, dropout or flatten.
#[derive(Module, Debug)]
pub struct Plain {
    #[module(skip)]
    operation: Operation,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Activation(Activation),
    Dropout(f64),
    Flatten,
}

impl Plain {
    fn layer(operation: Operation) -> Layer {
        Layer::Plain(Self { operation })
    }

    fn activation(activation: Activation) -> Layer {
        Self::layer(Operation::Activation(activation))
    }
}

/// What flows between layers.
#[derive(Clone)]
enum Data {
    /// `[batch, values]`; the values of a sequence one after the other.
    Vector(Tensor<2>),
    /// `[batch, channels, height, width]`
    Image(Tensor<4>),
}

impl Data {
    fn flat(self) -> Tensor<2> {
        match self {
            Self::Vector(x) => x,
            Self::Image(x) => to_features(x),
        }
    }

    /// Applies one operation, to either form.
    fn map(
        self,
        mode: &mut Mode<'_>,
        on_vector: impl FnOnce(Tensor<2>, &mut Mode<'_>) -> Tensor<2>,
        on_image: impl FnOnce(Tensor<4>, &mut Mode<'_>) -> Tensor<4>,
    ) -> Self {
        match self {
            Self::Vector(x) => Self::Vector(on_vector(x, mode)),
            Self::Image(x) => Self::Image(on_image(x, mode)),
        }
    }

    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Image(a), Self::Image(b)) => Self::Image(a.add(b)),
            (a, b) => Self::Vector(a.flat().add(b.flat())),
        }
    }
}

fn apply(layers: &[Layer], x: Data, mode: &mut Mode<'_>) -> Result<Data, ModelError> {
    layers.iter().try_fold(x, |x, layer| layer.apply(x, mode))
}

impl Layer {
    /// The parameters that no training changes.
    fn fixed_count(&self) -> usize {
        match self {
            Self::Residual(layers) => layers.iter().map(Self::fixed_count).sum(),
            Self::Recurrent(Recurrent {
                cells: Cells::Rate(network),
                ..
            }) => fixed_of(network),
            _ => 0,
        }
    }

    fn apply(&self, x: Data, mode: &mut Mode<'_>) -> Result<Data, ModelError> {
        Ok(match (self, x) {
            (Self::Dense(layer), x) => Data::Vector(dense(layer, x.flat(), mode)),
            (Self::Conv(layer), Data::Image(x)) => Data::Image(convolve(layer, x, mode)),
            (Self::MaxPool(layer), Data::Image(x)) => Data::Image(layer.forward(x)),
            (Self::MeanPool(layer), Data::Image(x)) => Data::Image(layer.forward(x)),
            (Self::Conv(_) | Self::MaxPool(_) | Self::MeanPool(_), Data::Vector(x)) => {
                let found = format!("vectors of {}", x.dims()[1]);
                return Err(ModelError::config("input", found, "images for this layer"));
            }
            (Self::BatchNorm(layer), x) => x.map(
                mode,
                |x, mode| normalize(layer, x, mode),
                |x, mode| normalize(layer, x, mode),
            ),
            (Self::LayerNorm(layer), x) => x.map(
                mode,
                |x, _| layer.forward(x),
                |x, _| {
                    let [_, channels, height, width] = x.dims();
                    to_images(layer.forward(to_features(x)), [channels, height, width])
                },
            ),
            (Self::Recurrent(layer), x) => Data::Vector(layer.apply(x.flat())?),
            (Self::Residual(layers), x) => apply(layers, x.clone(), mode)?.add(x),
            (Self::Plain(plain), x) => match plain.operation {
                Operation::Flatten => Data::Vector(x.flat()),
                Operation::Activation(activation) => x.map(
                    mode,
                    |x, _| activation.forward(x),
                    |x, _| activation.forward(x),
                ),
                Operation::Dropout(probability) => x.map(
                    mode,
                    |x, mode| mode.dropout(x, probability),
                    |x, mode| mode.dropout(x, probability),
                ),
            },
        })
    }
}
