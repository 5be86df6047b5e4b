use granule_models::{ResNet, ResNetConfig};

use super::super::graph::{Graph, Value};
use super::layers::Window;
use crate::Described;

pub(super) fn resnet(graph: &mut Graph, model: &Described<'_>, x: Value) -> Option<Value> {
    let config: &ResNetConfig = model.file.model.get()?;
    let network: &ResNet = model.network.get()?;
    let block = |graph: &mut Graph, x: &str, path: &str, stride: usize, kernel: usize| {
        let window = Window {
            kernel,
            stride,
            padding: kernel / 2,
        };
        let x = graph.conv(x, &format!("{path}.conv"), window, false);
        graph.batch_norm(&x, &format!("{path}.norm"))
    };
    let stem = block(graph, &x, "stem", 1, 3);
    let mut x = graph.relu(&stem);
    for (at, residual) in network.blocks.iter().enumerate() {
        let path = format!("blocks.{at}");
        let [stride, _] = residual.conv1.conv.stride;
        let first = block(graph, &x, &format!("{path}.conv1"), stride, 3);
        let first = graph.relu(&first);
        if residual.conv2.is_none() {
            x = graph.halved(&first);
            continue;
        }
        let inner = block(graph, &first, &format!("{path}.conv2"), 1, 3);
        let around = match &residual.shortcut {
            Some(_) => block(graph, &x, &format!("{path}.shortcut"), stride, 1),
            None => x,
        };
        let sum = graph.add(&inner, &around);
        x = graph.relu(&sum);
    }
    let pool = if config.depth == 9 {
        "GlobalMaxPool"
    } else {
        "GlobalAveragePool"
    };
    let x = graph.node(pool, &[&x], &[]);
    let x = graph.flatten(&x);
    Some(graph.dense(&x, "output"))
}
