//! Layers as a file lists them.

use granule_dynamics::Values;
use granule_dynamics::population::{GatedCell, RateNetworkConfig};
use granule_models::sequential::{BranchesLayerConfig, Join, LayerConfig, PoolMethod};
use granule_models::{Activation, InputShape, Readout, SequentialConfig};

use super::super::graph::{Attribute, Graph, Value};
use super::layers::Window;
use crate::Described;

/// What flows between layers.
#[derive(Clone, Debug)]
struct Features {
    value: Value,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `[batch, channels, height, width]`
    Image,
    /// `[batch, steps, channels]`
    Sequence,
    /// `[batch, values]`
    Vector,
}

impl Form {
    /// The axis of the channels.
    fn axis(self) -> i64 {
        match self {
            Self::Image | Self::Vector => 1,
            Self::Sequence => 2,
        }
    }

    /// A shape of this form, whatever its extents.
    fn shape(self) -> InputShape {
        match self {
            Self::Image => InputShape::Image {
                channels: 1,
                height: 1,
                width: 1,
            },
            Self::Sequence => InputShape::Sequence {
                steps: 1,
                channels: 1,
            },
            Self::Vector => InputShape::Vector { len: 1 },
        }
    }
}

pub(super) fn sequential(graph: &mut Graph, model: &Described<'_>, x: Value) -> Option<Value> {
    let config: &SequentialConfig = model.file.model.get()?;
    let form = match model.file.input.shape {
        InputShape::Image { .. } => Form::Image,
        InputShape::Sequence { .. } => Form::Sequence,
        InputShape::Vector { .. } => Form::Vector,
    };
    let mut layers = Layers { graph, model };
    let x = layers.all(&config.layers, Features { value: x, form }, "layers")?;
    let x = graph.flatten(&x.value);
    Some(graph.dense(&x, "output"))
}

struct Layers<'a, 'b> {
    graph: &'a mut Graph,
    model: &'a Described<'b>,
}

impl Layers<'_, '_> {
    fn all(&mut self, layers: &[LayerConfig], x: Features, path: &str) -> Option<Features> {
        let mut layers = layers.iter().enumerate();
        layers.try_fold(x, |x, (at, layer)| {
            self.one(layer, x, &format!("{path}.{at}"))
        })
    }

    fn one(&mut self, layer: &LayerConfig, x: Features, path: &str) -> Option<Features> {
        let Features { value, form } = x;
        let same = |value: Value| Features { value, form };
        let graph = &mut *self.graph;
        Some(match layer {
            LayerConfig::Dense(_) => same(graph.dense(&value, path)),
            LayerConfig::Conv(conv) => {
                let window = Window {
                    kernel: conv.kernel,
                    stride: conv.stride,
                    padding: conv.padding.unwrap_or(conv.kernel / 2),
                };
                same(graph.conv(&value, path, window, true))
            }
            LayerConfig::BatchNorm(_) => same(graph.batch_norm(&value, path)),
            LayerConfig::LayerNorm(_) => same(graph.layer_norm(&value, path)),
            LayerConfig::Dropout(_) => same(value),
            LayerConfig::Relu(_) => same(graph.activation(&value, Activation::Relu)),
            LayerConfig::Gelu(_) => same(graph.activation(&value, Activation::Gelu)),
            LayerConfig::Tanh(_) => same(graph.activation(&value, Activation::Tanh)),
            LayerConfig::Sigmoid(_) => same(graph.activation(&value, Activation::Sigmoid)),
            LayerConfig::Flatten(_) => Features {
                value: graph.flatten(&value),
                form: Form::Vector,
            },
            LayerConfig::Pool(pool) => {
                let operator = match pool.method {
                    PoolMethod::Max => "MaxPool",
                    PoolMethod::Mean => "AveragePool",
                };
                let (size, stride) = (pool.size as i64, pool.stride.unwrap_or(pool.size) as i64);
                same(match form {
                    Form::Sequence => {
                        let columns = graph.transpose(&value, &[0, 2, 1]);
                        let pooled = graph.pool(operator, &columns, &[size], &[stride]);
                        graph.transpose(&pooled, &[0, 2, 1])
                    }
                    _ => graph.pool(operator, &value, &[size; 2], &[stride; 2]),
                })
            }
            LayerConfig::Latent(_) => same(match form {
                Form::Sequence => graph.dense_along(&value, &format!("{path}.mean")),
                _ => graph.dense(&value, &format!("{path}.mean")),
            }),
            LayerConfig::Gru(gru) => {
                let cells = (GatedCell::Gru, gru.units);
                self.gated(&value, form, cells, gru.readout, path)
            }
            LayerConfig::Lstm(lstm) => {
                let cells = (GatedCell::Lstm, lstm.units);
                self.gated(&value, form, cells, lstm.readout, path)
            }
            LayerConfig::Rate(rate) => {
                let network = RateNetworkConfig {
                    units: rate.units,
                    activation: rate.activation,
                    dt: rate.dt,
                    time_constant: Values::One(rate.time_constant),
                    dale_ratio: rate.dale_ratio,
                    ..RateNetworkConfig::default()
                };
                let steps = graph.steps_of(&value, &form.shape());
                let rates = graph.rates(&steps, self.model, &network, &format!("{path}.cells"));
                self.read_out(&rates, form, rate.readout)
            }
            LayerConfig::Residual(residual) => {
                let inner = self.all(&residual.layers, same(value.clone()), path)?;
                same(self.graph.add(&inner.value, &value))
            }
            LayerConfig::Branches(branches) => self.branches(branches, &same(value), path)?,
        })
    }

    fn gated(
        &mut self,
        x: &str,
        form: Form,
        (cell, units): (GatedCell, usize),
        readout: Readout,
        path: &str,
    ) -> Features {
        let steps = self.graph.steps_of(x, &form.shape());
        let cells = format!("{path}.cells");
        let states = self.graph.gated(&steps, cell, units, &cells);
        self.read_out(&states, form, readout)
    }

    fn read_out(&mut self, steps: &str, form: Form, readout: Readout) -> Features {
        let readout = readout.of(&form.shape());
        Features {
            value: self.graph.taken(steps, readout),
            form: match readout {
                Readout::Sequence => Form::Sequence,
                _ => Form::Vector,
            },
        }
    }

    fn branches(
        &mut self,
        config: &BranchesLayerConfig,
        x: &Features,
        path: &str,
    ) -> Option<Features> {
        let mut given: Vec<Features> = Vec::with_capacity(config.branches.len());
        for (at, branch) in config.branches.iter().enumerate() {
            let seen = match &branch.channels {
                None => x.clone(),
                Some(ranges) => {
                    let axis = x.form.axis();
                    let parts = ranges.iter().map(|[first, end]| {
                        let (first, end) = (*first as i64, *end as i64);
                        self.graph.slice(&x.value, axis, first, end)
                    });
                    let parts: Vec<Value> = parts.collect();
                    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                    Features {
                        value: self.graph.concat(&parts, axis),
                        form: x.form,
                    }
                }
            };
            let path = format!("{path}.branches.{at}.layers");
            given.push(self.all(&branch.layers, seen, &path)?);
        }
        let form = given.first()?.form;
        let graph = &mut *self.graph;
        let value = match config.join {
            Join::Concatenate => {
                let parts: Vec<&str> = given.iter().map(|part| part.value.as_str()).collect();
                graph.concat(&parts, form.axis())
            }
            Join::Mean => {
                let sum = sum(graph, given.into_iter().map(|part| part.value))?;
                let count = graph.float(config.branches.len() as f32);
                graph.div(&sum, &count)
            }
            Join::Gated => {
                let flat: Vec<Value> = given
                    .iter()
                    .map(|part| graph.flatten(&part.value))
                    .collect();
                let flat: Vec<&str> = flat.iter().map(String::as_str).collect();
                let all = graph.concat(&flat, 1);
                let logits = graph.dense(&all, &format!("{path}.gate"));
                let weights = graph.node("Softmax", &[&logits], &[("axis", Attribute::Int(1))]);
                let mut weighted = Vec::with_capacity(given.len());
                for (at, part) in given.iter().enumerate() {
                    let mut weight = graph.slice(&weights, 1, at as i64, at as i64 + 1);
                    let more = match form {
                        Form::Vector => 0,
                        Form::Sequence => 1,
                        Form::Image => 2,
                    };
                    for _ in 0..more {
                        weight = graph.unsqueeze(&weight, -1);
                    }
                    weighted.push(graph.mul(&part.value, &weight));
                }
                sum(graph, weighted.into_iter())?
            }
        };
        Some(Features { value, form })
    }
}

fn sum(graph: &mut Graph, mut parts: impl Iterator<Item = Value>) -> Option<Value> {
    let first = parts.next()?;
    Some(parts.fold(first, |sum, part| graph.add(&sum, &part)))
}
