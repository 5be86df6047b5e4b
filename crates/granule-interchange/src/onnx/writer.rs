//! A model as a graph.

use std::io::Write;

use granule_models::{InputShape, Link, Task};

use super::graph::{Extent, Graph, Value, tensor, value_info};
use super::wire::Message;
use super::{IR_VERSION, OPSET, element, field, model};
use crate::{Described, InterchangeError};

/// Of Protocol Buffers.
const MOST_BYTES: u64 = (1 << 31) - 1;

pub(super) fn write(
    described: &Described<'_>,
    out: &mut dyn Write,
) -> Result<(), InterchangeError> {
    let file = described.file;
    let mut graph = Graph::default();
    let input = "input";
    let normalised = normalised(&mut graph, described, input);
    let given = model::write(&mut graph, described, normalised)?;
    let output = match file.task {
        Task::Classification { .. } => "logits",
        _ => "output",
    };
    let scaled = scaled_back(&mut graph, &file.task, given);
    // A name that says what it is.
    let renamed = renamed(graph, &scaled, output);
    let mut extents = vec![Extent::Batch];
    extents.extend(file.input.shape.dims().into_iter().map(Extent::Of));
    let outputs = [Extent::Batch, Extent::Of(file.task.outputs())];
    let described_values = Message::default()
        .text(field::graph::NAME, file.model.name())
        .message(field::graph::INPUT, &value_info(input, &extents))
        .message(field::graph::OUTPUT, &value_info(output, &outputs));
    let begun = renamed.with(&described_values);
    // The elements of a tensor come after all else of it and are never held as bytes together.
    let heads = described.tensors.iter().map(|(name, view)| {
        let bytes = 4 * view.data.len() as u64;
        let head = tensor(element::FLOAT, view.shape)
            .text(field::tensor::NAME, name)
            .begin(field::tensor::RAW, bytes);
        let length = head.as_bytes().len() as u64 + bytes;
        let begun = Message::default().begin(field::graph::INITIALIZER, length);
        (begun.with(&head), bytes)
    });
    let heads: Vec<(Message, u64)> = heads.collect();
    let of_tensors = heads
        .iter()
        .map(|(head, bytes)| head.as_bytes().len() as u64 + bytes);
    let length = begun.as_bytes().len() as u64 + of_tensors.sum::<u64>();
    if length > MOST_BYTES - (1 << 20) {
        return Err(InterchangeError::Inexpressible {
            model: file.model.name().to_owned(),
            format: "onnx",
            reason: "it is larger than 2 GiB, the most that such a file holds".to_owned(),
        });
    }
    let opset = Message::default().int(field::opset::VERSION, OPSET);
    let mut whole = Message::default()
        .int(field::model::IR_VERSION, IR_VERSION)
        .text(field::model::PRODUCER_NAME, "granule")
        .text(field::model::PRODUCER_VERSION, env!("CARGO_PKG_VERSION"))
        .message(field::model::OPSET_IMPORT, &opset);
    if let Task::Classification { classes } = &file.task {
        let entry = Message::default()
            .text(field::entry::KEY, "classes")
            .text(field::entry::VALUE, &classes.join("\n"));
        whole = whole.message(field::model::METADATA, &entry);
    }
    out.write_all(whole.begin(field::model::GRAPH, length).as_bytes())?;
    out.write_all(begun.as_bytes())?;
    for ((head, _), (_, view)) in heads.iter().zip(&described.tensors) {
        out.write_all(head.as_bytes())?;
        for block in view.data.chunks(1 << 14) {
            let bytes: Vec<u8> = block.iter().flat_map(|x| x.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// Gives the last value of a graph the name of the output.
fn renamed(mut graph: Graph, value: &str, output: &str) -> Message {
    use field::node::{INPUT, NAME, OPERATOR, OUTPUT};
    let node = Message::default()
        .text(INPUT, value)
        .text(OUTPUT, output)
        .text(NAME, output)
        .text(OPERATOR, "Identity");
    std::mem::take(&mut graph)
        .finish()
        .message(field::graph::NODE, &node)
}

/// What a sample becomes before the first layer.
fn normalised(graph: &mut Graph, described: &Described<'_>, input: &str) -> Value {
    let spec = &described.file.input;
    let mut x = input.to_owned();
    if spec.square_root {
        x = graph.node("Sqrt", &[&x], &[]);
    }
    // Along the axis of the channels.
    let shape = |len: usize| match spec.shape {
        InputShape::Image { .. } => vec![len, 1, 1],
        InputShape::Vector { .. } | InputShape::Sequence { .. } => vec![len],
    };
    if !spec.mean.is_empty() {
        let mean: Vec<f32> = spec.mean.iter().map(|mean| *mean as f32).collect();
        let mean = graph.floats(&shape(mean.len()), &mean);
        x = graph.sub(&x, &mean);
    }
    if !spec.std.is_empty() {
        let std = graph.floats(&shape(spec.std.len()), &spec.std);
        x = graph.div(&x, &std);
    }
    x
}

/// The outputs that are answered, real values in their own units.
fn scaled_back(graph: &mut Graph, task: &Task, mut x: Value) -> Value {
    if task.learnt_outputs() > task.outputs() {
        x = graph.slice(&x, 1, 0, task.outputs() as i64);
    }
    let Task::Regression {
        mean, std, link, ..
    } = task
    else {
        return x;
    };
    if *link == Link::Log {
        x = graph.node("Exp", &[&x], &[]);
    }
    if !std.is_empty() {
        let std = graph.floats(&[std.len()], std);
        x = graph.mul(&x, &std);
    }
    if !mean.is_empty() {
        let mean: Vec<f32> = mean.iter().map(|mean| *mean as f32).collect();
        let mean = graph.floats(&[mean.len()], &mean);
        x = graph.add(&x, &mean);
    }
    x
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use granule_device::DeviceSpec;
    use granule_models::state::state_dict;
    use granule_models::{InputSpec, ModelConfig, ModelFile, Provenance};
    use serde::Deserialize;

    use super::super::wire::{Fields, Value as Wire};
    use super::*;
    use crate::{Format, export};

    fn texts(message: &[u8], number: u32) -> Vec<&str> {
        messages(message, number)
            .into_iter()
            .map(|bytes| std::str::from_utf8(bytes).unwrap())
            .collect()
    }

    fn messages(message: &[u8], number: u32) -> Vec<&[u8]> {
        let fields = Fields::of(message).map(Result::unwrap);
        let of_number = fields.filter_map(|(own, value)| match value {
            Wire::Bytes(bytes) if own == number => Some(bytes),
            _ => None,
        });
        of_number.collect()
    }

    /// Checks that every node takes what there is before it, and gives what has no name yet; the operators.
    fn check<'a>(graph: &'a [u8], around: &HashSet<&'a str>) -> Vec<&'a str> {
        let mut known = around.clone();
        for number in [field::graph::INPUT, field::graph::INITIALIZER] {
            let name = match number {
                field::graph::INPUT => field::value::NAME,
                _ => field::tensor::NAME,
            };
            known.extend(
                messages(graph, number)
                    .iter()
                    .flat_map(|one| texts(one, name)),
            );
        }
        let mut operators = Vec::new();
        for node in messages(graph, field::graph::NODE) {
            for input in texts(node, field::node::INPUT) {
                assert!(known.contains(input), "{input}");
            }
            for attribute in messages(node, field::node::ATTRIBUTE) {
                for inner in messages(attribute, field::attribute::GRAPH) {
                    check(inner, &known);
                }
            }
            for output in texts(node, field::node::OUTPUT) {
                assert!(known.insert(output), "{output}");
            }
            operators.extend(texts(node, field::node::OPERATOR));
        }
        for output in messages(graph, field::graph::OUTPUT) {
            assert!(known.contains(texts(output, field::value::NAME)[0]));
        }
        operators
    }

    fn written(model: ModelConfig) -> Result<Vec<u8>, InterchangeError> {
        let shape = InputShape::Image {
            channels: 1,
            height: 28,
            width: 28,
        };
        let device = DeviceSpec::Cpu.open().unwrap();
        let network = model.init(&shape, 10, 3, device.burn()).unwrap();
        let file = ModelFile {
            model,
            input: InputSpec {
                mean: vec![0.5],
                std: vec![0.25],
                ..InputSpec::new(shape)
            },
            task: Task::Classification {
                classes: (0..10).map(|class| class.to_string()).collect(),
            },
            provenance: Provenance::now(),
            state: state_dict(&network).unwrap(),
        };
        let mut bytes = Vec::new();
        export(
            &file,
            Format::from_name("onnx").unwrap(),
            device.burn(),
            &mut bytes,
        )?;
        Ok(bytes)
    }

    #[test]
    fn every_model_is_a_graph_whose_nodes_take_what_there_is() {
        let layers = include_str!("../../../../tests/interop/sequential.toml");
        let layers: toml::Table = layers.parse().unwrap();
        let layers = ModelConfig::deserialize(layers["model"].clone()).unwrap();
        let named = ModelConfig::names().into_iter();
        let named = named.filter(|name| *name != "sequential");
        let models = named.map(|name| ModelConfig::from_name(name).unwrap());
        for model in models.chain([layers]) {
            let name = model.name();
            let bytes = written(model).unwrap();
            let graphs = messages(&bytes, field::model::GRAPH);
            let operators = check(graphs[0], &HashSet::new());
            assert_eq!(operators.last(), Some(&"Identity"), "{name}");
        }
    }

    #[test]
    fn a_linear_model_is_its_normalisation_and_one_product() {
        let linear = granule_models::MlpConfig {
            widths: Vec::new(),
            ..Default::default()
        };
        let bytes = written(ModelConfig::new(linear)).unwrap();
        let graph = messages(&bytes, field::model::GRAPH)[0];
        let operators = check(graph, &HashSet::new());
        assert_eq!(
            operators,
            [
                "Constant", "Sub", "Constant", "Div", "Flatten", "Gemm", "Identity"
            ]
        );
        // Version 8 of the format, and the beginning of the operators' version 17.
        assert_eq!(bytes[..2], [0x08, 8]);
        assert_eq!(messages(&bytes, field::model::OPSET_IMPORT), [[0x10, 17]]);
        let entry = messages(&bytes, field::model::METADATA)[0];
        assert_eq!(
            texts(entry, field::entry::VALUE),
            ["0\n1\n2\n3\n4\n5\n6\n7\n8\n9"]
        );
    }
}
