//! Layers one after the other.

use granule_models::{Activation, CnnConfig, InputShape, MlpConfig};

use super::super::graph::{Graph, Value};
use super::layers::Window;
use crate::Described;

pub(super) fn mlp(graph: &mut Graph, model: &Described<'_>, x: Value) -> Option<Value> {
    let config: &MlpConfig = model.file.model.get()?;
    let mut x = graph.flatten(&x);
    for layer in 0..config.widths.len() {
        x = graph.dense(&x, &format!("layers.{layer}"));
        x = graph.activation(&x, config.activation);
    }
    Some(graph.dense(&x, &format!("layers.{}", config.widths.len())))
}

pub(super) fn lenet(graph: &mut Graph, model: &Described<'_>, mut x: Value) -> Option<Value> {
    let InputShape::Image { height, .. } = model.file.input.shape else {
        return None;
    };
    // Images of 28×28 are padded to 32×32.
    for (path, padding) in [("conv1", if height == 28 { 2 } else { 0 }), ("conv2", 0)] {
        let window = Window {
            kernel: 5,
            stride: 1,
            padding,
        };
        x = graph.conv(&x, path, window, true);
        x = graph.relu(&x);
        x = graph.halved(&x);
    }
    x = graph.flatten(&x);
    for path in ["fc1", "fc2"] {
        x = graph.dense(&x, path);
        x = graph.activation(&x, Activation::Relu);
    }
    Some(graph.dense(&x, "fc3"))
}

pub(super) fn cnn(graph: &mut Graph, model: &Described<'_>, mut x: Value) -> Option<Value> {
    let config: &CnnConfig = model.file.model.get()?;
    let window = Window {
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    for stage in 0..config.channels.len() {
        for block in 0..config.convolutions {
            let path = format!("stages.{stage}.{block}");
            x = graph.conv(&x, &format!("{path}.conv"), window, !config.batch_norm);
            if config.batch_norm {
                x = graph.batch_norm(&x, &format!("{path}.norm"));
            }
            x = graph.relu(&x);
        }
        x = graph.halved(&x);
    }
    x = graph.flatten(&x);
    x = graph.dense(&x, "hidden");
    x = graph.relu(&x);
    Some(graph.dense(&x, "output"))
}
