//! What the models compute, as operators: a line each.

mod feedforward;
mod layers;
mod recurrent;
mod resnet;
mod sequential;

use granule_models::{
    CnnConfig, GruConfig, LeNetConfig, LstmConfig, MlpConfig, ModelSettings, RateConfig,
    ResNetConfig, SequentialConfig, WilsonCowanConfig,
};

use super::graph::{Graph, Value};
use crate::{Described, InterchangeError};

/// Adds a model to a graph: what it gives, `[batch, outputs]`, of normalised samples.
type Writer = fn(&mut Graph, &Described<'_>, Value) -> Option<Value>;

/// The models by their names. None of a writer: what is configured has no form in operators.
const WRITERS: &[(&str, Writer)] = &[
    (MlpConfig::KIND, feedforward::mlp),
    (LeNetConfig::KIND, feedforward::lenet),
    (CnnConfig::KIND, feedforward::cnn),
    (ResNetConfig::KIND, resnet::resnet),
    (RateConfig::KIND, recurrent::rate),
    (GruConfig::KIND, recurrent::gru),
    (LstmConfig::KIND, recurrent::lstm),
    (WilsonCowanConfig::KIND, recurrent::wilson_cowan),
    (SequentialConfig::KIND, sequential::sequential),
];

pub(super) fn write(
    graph: &mut Graph,
    model: &Described<'_>,
    x: Value,
) -> Result<Value, InterchangeError> {
    let name = model.file.model.name();
    let refused = |reason: &str| InterchangeError::Inexpressible {
        model: name.to_owned(),
        format: "onnx",
        reason: reason.to_owned(),
    };
    if model.file.input.shape.is_empty() {
        return Err(refused("it moves by itself and takes no input"));
    }
    let writer = WRITERS.iter().find(|(known, _)| *known == name);
    let (_, writer) =
        writer.ok_or_else(|| refused("its equations are not among the operators of ONNX"))?;
    writer(graph, model, x).ok_or_else(|| refused("its settings are of another model"))
}
