//! Layers as data: their settings, and the shapes that follow from them.

use std::fmt;

use granule_dynamics::Values;
use granule_dynamics::population::{
    Activation as RateActivation, GatedCell, GatedNetworkConfig, RateNetworkConfig,
};
use granule_io::words::counted;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::content::{Held, HeldError};
use crate::input::MAX_LEN;
use crate::layers::{check_dropout, check_size};
use crate::sequence::{Readout, extents};
use crate::{Initialization, InputShape, ModelError};

/// The most layers of a model, those of residuals included.
const MOST_LAYERS: usize = 256;

/// The most pixels of a side of a window.
const LARGEST_WINDOW: usize = 64;

/// Configuration of [`Sequential`](super::Sequential).
///
/// The output layer is not listed: a dense layer, of all the values that the last layer gives, follows by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SequentialConfig {
    /// How the weights of all but the output layer are drawn. Default He.
    pub init: Initialization,
    /// The layers from the input on, 1 to 256; the output layer follows by itself.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerConfig>,
}

/// One layer of a [`SequentialConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerConfig {
    /// A dense layer. It takes vectors.
    Dense {
        /// The number of units, 1 to 65536.
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
        units: usize,
    },
    /// A convolution. It takes images.
    Conv {
        /// The number of filters, 1 to 65536.
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
        filters: usize,
        /// The side of the square kernel in pixels, 1 to 64. Default 3.
        #[serde(default = "three")]
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
        kernel: usize,
        /// How many pixels the kernel moves, 1 to 64. Default 1.
        #[serde(default = "one")]
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
        stride: usize,
        /// Zeros around the image, less than the kernel. Default half the kernel, rounded down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 63)))]
        padding: Option<usize>,
    },
    /// Batch normalisation of every channel of an image, or of every value of a vector.
    BatchNorm {},
    /// Layer normalisation over all values of a sample, each with a scale and a shift of its own.
    LayerNorm {},
    /// Pooling over square windows. It takes images; rows and columns that fill no window are left out.
    Pool {
        /// What is taken of a window. Default max.
        #[serde(default)]
        method: PoolMethod,
        /// The side of the window in pixels, 1 to 64. Default 2.
        #[serde(default = "two")]
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
        size: usize,
        /// How many pixels the window moves, 1 to 64. Default its side.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 64)))]
        stride: Option<usize>,
    },
    /// Dropout, in training only.
    Dropout {
        /// The probability of dropping a value, from 0 up to, but not including, 1.
        #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
        probability: f64,
    },
    /// max(0, x)
    Relu {},
    /// x·Φ(x), with the normal distribution function Φ
    Gelu {},
    /// tanh x
    Tanh {},
    /// 1/(1 + exp(−x))
    Sigmoid {},
    /// Gated recurrent units, along the steps of a sequence or the rows of an image.
    Gru {
        /// The width of the hidden state, 1 to 65536.
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
        units: usize,
        /// Which steps' states the layer gives. Default auto.
        #[serde(default)]
        readout: Readout,
    },
    /// Long short-term memory, as gru.
    Lstm {
        /// The width of the hidden state, 1 to 65536.
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
        units: usize,
        /// Which steps' states the layer gives. Default auto.
        #[serde(default)]
        readout: Readout,
    },
    /// A rate network, along the steps of a sequence or the rows of an image; it gives its rates.
    Rate {
        /// The number of units, 1 to 65536.
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
        units: usize,
        /// r(x). Default relu, whose rates are not negative.
        #[serde(default = "relu")]
        activation: RateActivation,
        /// The time of a step in ms, at most the time constant. Default 20.
        #[serde(default = "twenty")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        dt: f64,
        /// τ in ms. Default 100.
        #[serde(default = "hundred")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        time_constant: f64,
        /// The share of excitatory units, 0 to 1: Dale's law. Unset, weights have any sign.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1)))]
        dale_ratio: Option<f64>,
        /// Which steps' rates the layer gives. Default auto.
        #[serde(default)]
        readout: Readout,
    },
    /// Adds what layers give to what they take.
    Residual {
        /// The layers, of any kind, which give the shape that they take.
        #[serde(rename = "layer", deserialize_with = "inner_layers")]
        #[cfg_attr(feature = "schema", schemars(schema_with = "any_layers"))]
        layers: Vec<LayerConfig>,
    },
    /// Makes a vector of an image or a sequence.
    Flatten {},
}

/// Layers within a layer, read so that what is wrong with one is said with its place.
fn inner_layers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerConfig>, D::Error> {
    let layers = Deserialize::deserialize(Held::deserialize(deserializer)?);
    layers.map_err(|error: HeldError| D::Error::custom(error.below("layer")))
}

/// Layers within a layer: tables that have a kind. Were it the whole schema again, a list of all keys would never end.
#[cfg(feature = "schema")]
fn any_layers(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "type": "object", "additionalProperties": true, "within": "#/$defs/LayerConfig" },
    })
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

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn three() -> usize {
    3
}

fn relu() -> RateActivation {
    RateActivation::Relu
}

fn twenty() -> f64 {
    20.0
}

fn hundred() -> f64 {
    100.0
}

/// The shape of one sample between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape(pub(super) InputShape);

impl Shape {
    pub(super) fn dims(self) -> Vec<usize> {
        match self.0 {
            InputShape::Image {
                channels,
                height,
                width,
            } => vec![channels, height, width],
            InputShape::Vector { len } => vec![len],
            InputShape::Sequence { steps, channels } => vec![steps, channels],
        }
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    fn vector(len: usize) -> Self {
        Self(InputShape::Vector { len })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            InputShape::Image {
                channels,
                height,
                width,
            } => write!(f, "{channels}×{height}×{width}"),
            InputShape::Vector { len } => write!(f, "a vector of {len}"),
            InputShape::Sequence { .. } => self.0.fmt(f),
        }
    }
}

/// The network of a recurrent layer.
pub(super) enum Network {
    Gated(GatedNetworkConfig),
    Rate(RateNetworkConfig),
}

/// What a layer takes, and where it is from, for messages.
#[derive(Clone, Copy)]
pub(super) struct Before {
    pub(super) shape: Shape,
    origin: &'static str,
}

impl Before {
    pub(super) fn input(input: &InputShape) -> Self {
        Self {
            shape: Shape(*input),
            origin: "the input is",
        }
    }

    pub(super) fn layer(shape: Shape) -> Self {
        Self {
            shape,
            origin: "the layer before gives",
        }
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.origin, self.shape)
    }
}

impl LayerConfig {
    /// The name of the layer's kind in configuration files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Conv { .. } => "conv",
            Self::BatchNorm {} => "batch-norm",
            Self::LayerNorm {} => "layer-norm",
            Self::Pool { .. } => "pool",
            Self::Dropout { .. } => "dropout",
            Self::Relu {} => "relu",
            Self::Gelu {} => "gelu",
            Self::Tanh {} => "tanh",
            Self::Sigmoid {} => "sigmoid",
            Self::Gru { .. } => "gru",
            Self::Lstm { .. } => "lstm",
            Self::Rate { .. } => "rate",
            Self::Residual { .. } => "residual",
            Self::Flatten {} => "flatten",
        }
    }

    /// The network of a recurrent layer and the steps it gives.
    pub(super) fn recurrent(&self) -> Option<(Network, usize, Readout)> {
        let gated = |cell, units| Network::Gated(GatedNetworkConfig { cell, units });
        Some(match self {
            Self::Gru { units, readout } => (gated(GatedCell::Gru, *units), *units, *readout),
            Self::Lstm { units, readout } => (gated(GatedCell::Lstm, *units), *units, *readout),
            Self::Rate {
                units,
                activation,
                dt,
                time_constant,
                dale_ratio,
                readout,
            } => {
                let network = RateNetworkConfig {
                    units: *units,
                    activation: *activation,
                    dt: *dt,
                    time_constant: Values::One(*time_constant),
                    dale_ratio: *dale_ratio,
                    ..RateNetworkConfig::default()
                };
                (Network::Rate(network), *units, *readout)
            }
            _ => return None,
        })
    }

    /// The padding of a convolution.
    pub(super) fn padding(kernel: usize, padding: Option<usize>) -> usize {
        padding.unwrap_or(kernel / 2)
    }

    /// The shape that the layer at `place`, as `layer[2]`, gives.
    pub(super) fn output(&self, place: &str, before: Before) -> Result<Shape, ModelError> {
        let refuse = |problem: fmt::Arguments<'_>| {
            Err(ModelError::Layer {
                layer: format!("{place} ({})", self.kind()),
                problem: problem.to_string(),
            })
        };
        let windows = |filters: Option<usize>, window: usize, stride: usize, padding: usize| {
            let InputShape::Image {
                channels,
                height,
                width,
            } = before.shape.0
            else {
                let hint = "put it before the first flatten of a model of images";
                return refuse(format_args!("takes images, {before}; {hint}"));
            };
            let along = |side: usize| {
                let room = (side + 2 * padding).checked_sub(window)?;
                Some(room / stride + 1)
            };
            let (Some(height), Some(width)) = (along(height), along(width)) else {
                return refuse(format_args!(
                    "has a window of {window}×{window}, {before}; take a smaller window or leave out a pool or stride"
                ));
            };
            Ok(Shape(InputShape::Image {
                channels: filters.unwrap_or(channels),
                height,
                width,
            }))
        };
        let shape = match self {
            Self::Dense { units } => {
                check_size(format!("{place}.units"), *units)?;
                let InputShape::Vector { .. } = before.shape.0 else {
                    return refuse(format_args!(
                        "takes vectors, {before}; put a flatten between them"
                    ));
                };
                Shape::vector(*units)
            }
            Self::Conv {
                filters,
                kernel,
                stride,
                padding,
            } => {
                check_size(format!("{place}.filters"), *filters)?;
                check_window(format!("{place}.kernel"), *kernel)?;
                check_window(format!("{place}.stride"), *stride)?;
                let padding = Self::padding(*kernel, *padding);
                if padding >= *kernel {
                    let allowed = format!("0 to {}, less than the kernel", kernel - 1);
                    let field = format!("{place}.padding");
                    return Err(ModelError::config(field, padding, allowed));
                }
                windows(Some(*filters), *kernel, *stride, padding)?
            }
            Self::Pool { size, stride, .. } => {
                check_window(format!("{place}.size"), *size)?;
                let stride = stride.unwrap_or(*size);
                check_window(format!("{place}.stride"), stride)?;
                windows(None, *size, stride, 0)?
            }
            Self::BatchNorm {} => match before.shape.0 {
                InputShape::Sequence { .. } => {
                    return refuse(format_args!(
                        "takes images or vectors, {before}; put a flatten between them"
                    ));
                }
                _ => before.shape,
            },
            Self::Dropout { probability } => {
                check_dropout(&format!("{place}.probability"), *probability)?;
                before.shape
            }
            Self::Residual { layers } => {
                if layers.is_empty() {
                    return refuse(format_args!("has no layers; give it some, or leave it out"));
                }
                let mut given = before;
                for (i, layer) in layers.iter().enumerate() {
                    let place = format!("{place}.layer[{i}]");
                    given = Before::layer(layer.output(&place, given)?);
                }
                if given.shape != before.shape {
                    return refuse(format_args!(
                        "adds what its layers give to what they take, but they give {} and {before}; \
                         let them keep the shape",
                        given.shape
                    ));
                }
                before.shape
            }
            Self::Gru { .. } | Self::Lstm { .. } | Self::Rate { .. } => {
                let Some((network, units, readout)) = self.recurrent() else {
                    return refuse(format_args!("has no network"));
                };
                check_size(format!("{place}.units"), units)?;
                if let Network::Rate(network) = network {
                    network.validate().map_err(|error| error.under(place))?;
                }
                let input = before.shape.0;
                let steps = match extents(&input) {
                    Ok((steps, 1..)) => steps,
                    _ => {
                        return refuse(format_args!(
                            "takes images, whose rows are steps, or sequences, {before}; put it before the first flatten"
                        ));
                    }
                };
                match readout.of(&input) {
                    Readout::Sequence => Shape(InputShape::Sequence {
                        steps,
                        channels: units,
                    }),
                    _ => Shape::vector(units),
                }
            }
            Self::Flatten {} => Shape::vector(before.shape.len()),
            Self::LayerNorm {}
            | Self::Relu {}
            | Self::Gelu {}
            | Self::Tanh {}
            | Self::Sigmoid {} => before.shape,
        };
        match shape.len() {
            1..=MAX_LEN => Ok(shape),
            _ => refuse(format_args!(
                "would give {shape}, {before}; a sample may have at most 2^26 values"
            )),
        }
    }

    /// The layer and those in it.
    fn count(&self) -> usize {
        match self {
            Self::Residual { layers } => 1 + count(layers),
            _ => 1,
        }
    }
}

fn count(layers: &[LayerConfig]) -> usize {
    layers.iter().map(LayerConfig::count).sum()
}

impl SequentialConfig {
    /// Checks every layer against what the layer before gives.
    pub(super) fn check(&self, input: &InputShape) -> Result<(), ModelError> {
        let layers = count(&self.layers);
        if !(1..=MOST_LAYERS).contains(&layers) {
            let found = counted(layers, "layer");
            let allowed = format!(
                "1 to {MOST_LAYERS} tables [[model.layer]], those of residuals included; flatten alone is a linear model"
            );
            return Err(ModelError::config("layer", found, allowed));
        }
        let mut before = Before::input(input);
        for (i, layer) in self.layers.iter().enumerate() {
            before = Before::layer(layer.output(&format!("layer[{i}]"), before)?);
        }
        Ok(())
    }
}

fn check_window(field: String, size: usize) -> Result<(), ModelError> {
    match size {
        1..=LARGEST_WINDOW => Ok(()),
        _ => Err(ModelError::config(
            field,
            size,
            format!("1 to {LARGEST_WINDOW}"),
        )),
    }
}
