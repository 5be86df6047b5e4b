//! The weights in a graph.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use granule_io::words::{printable, shortened};
use granule_io::{Bound, ByteSize, budget, content, read};

use super::wire::{Damaged, Fields, Value};
use super::{element, field};
use crate::InterchangeError;
use crate::weights::{Element, Entry, Weights, elements, start};

/// Of Protocol Buffers.
const BOUND: Bound = Bound {
    what: "an ONNX model",
    limit: ByteSize(1 << 31),
};

/// The most tensors that are looked at.
const MOST_TENSORS: usize = 1 << 16;

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 32;

/// The most graphs within one graph.
const MOST_WAITING: usize = 4096;

/// The operators that models are made of, by granule and by exporters of PyTorch.
const KNOWN: &[&str] = &[
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "Div",
    "Dropout",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "GRU",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "LSTM",
    "LayerNormalization",
    "MatMul",
    "MaxPool",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Scan",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Where the elements of a tensor are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Bytes(Range<usize>),
    /// They are in another file.
    Elsewhere,
}

struct Model {
    path: PathBuf,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    places: Vec<Place>,
}

pub(super) fn open(path: &Path) -> Result<Box<dyn Weights>, InterchangeError> {
    let start = start(path, BOUND.what)?;
    let damaged = |_: Damaged| {
        let reason = match content::recognise(&start) {
            Some(what) => format!("it is no ONNX model: it is {what}"),
            None => "it is no ONNX model, or cut off; take another copy".to_owned(),
        };
        InterchangeError::format(path, reason)
    };
    // Every model says its version, a whole number, or something of bytes first.
    if !matches!(start.first(), Some(key) if matches!(key & 7, 0 | 2) && key >> 3 > 0) {
        return Err(damaged(Damaged));
    }
    let bytes = read(path, BOUND)?;
    let graph = graph(&bytes).map_err(damaged)?;
    let Some(graph) = graph else {
        return Err(damaged(Damaged));
    };
    let unknown = unknown(graph).map_err(damaged)?;
    if !unknown.is_empty() {
        return Err(InterchangeError::Operators {
            path: path.to_owned(),
            operators: unknown.into_iter().collect(),
        });
    }
    let mut tensors = Vec::new();
    for field in Fields::of(graph) {
        if let (field::graph::INITIALIZER, Value::Bytes(message)) = field.map_err(damaged)? {
            if tensors.len() == MOST_TENSORS {
                let reason =
                    format!("it has more than {MOST_TENSORS} tensors, the most that are read");
                return Err(InterchangeError::format(path, reason));
            }
            let tensor = tensor(message, &bytes).map_err(damaged)?;
            // Axes, shapes and constants of a computation are no weights.
            let is_whole = matches!(&tensor.0.element, Element::Other(_));
            if !tensor.0.shape.is_empty() && !is_whole {
                tensors.push(tensor);
            }
        }
    }
    let (entries, places) = tensors.into_iter().unzip();
    Ok(Box::new(Model {
        path: path.to_owned(),
        bytes,
        entries,
        places,
    }))
}

/// The message of the graph.
fn graph(model: &[u8]) -> Result<Option<&[u8]>, Damaged> {
    let mut graph = None;
    for field in Fields::of(model) {
        if let (field::model::GRAPH, Value::Bytes(message)) = field? {
            graph = Some(message);
        }
    }
    Ok(graph)
}

/// The operators of a graph, and of those within it, that are not known, by name.
fn unknown(graph: &[u8]) -> Result<BTreeSet<String>, Damaged> {
    let mut unknown = BTreeSet::new();
    // Graphs nest; those to be looked at stand here, so that no depth of them takes the stack.
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        for field in Fields::of(graph) {
            if let (field::graph::NODE, Value::Bytes(node)) = field? {
                operator(node, &mut unknown, &mut graphs)?;
            }
        }
    }
    Ok(unknown)
}

fn operator<'a>(
    node: &'a [u8],
    unknown: &mut BTreeSet<String>,
    graphs: &mut Vec<&'a [u8]>,
) -> Result<(), Damaged> {
    let (mut operator, mut domain) = ("", "");
    for field in Fields::of(node) {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Damaged);
        match field? {
            (field::node::OPERATOR, Value::Bytes(name)) => operator = text(name)?,
            (field::node::DOMAIN, Value::Bytes(name)) => domain = text(name)?,
            (field::node::ATTRIBUTE, Value::Bytes(attribute)) => {
                for field in Fields::of(attribute) {
                    if let (field::attribute::GRAPH, Value::Bytes(graph)) = field? {
                        if graphs.len() == MOST_WAITING {
                            return Err(Damaged);
                        }
                        graphs.push(graph);
                    }
                }
            }
            _ => {}
        }
    }
    let standard = matches!(domain, "" | "ai.onnx");
    if !(standard && KNOWN.contains(&operator)) && unknown.len() < 64 {
        let name = match domain {
            "" => operator.to_owned(),
            domain => format!("{domain}.{operator}"),
        };
        unknown.insert(shortened(&printable(&name)));
    }
    Ok(())
}

/// A tensor, whose elements are a part of the file.
fn tensor(message: &[u8], file: &[u8]) -> Result<(Entry, Place), Damaged> {
    let mut entry = Entry {
        name: String::new(),
        shape: Vec::new(),
        element: Element::Other("undefined".to_owned()),
    };
    let mut found: &[u8] = &[];
    let mut elsewhere = false;
    for field in Fields::of(message) {
        match field? {
            (field::tensor::DIMS, Value::Varint(dim)) => extend(&mut entry.shape, dim)?,
            (field::tensor::DIMS, Value::Bytes(packed)) => {
                let mut packed = Fields::of(packed);
                while !packed.is_empty() {
                    extend(&mut entry.shape, packed.varint()?)?;
                }
            }
            (field::tensor::ELEMENT, Value::Varint(number)) => entry.element = of_number(number),
            (field::tensor::NAME, Value::Bytes(name)) => {
                name_of(name)?.clone_into(&mut entry.name);
            }
            (
                field::tensor::RAW | field::tensor::FLOATS | field::tensor::DOUBLES,
                Value::Bytes(bytes),
            ) if !bytes.is_empty() => found = bytes,
            (field::tensor::LOCATION, Value::Varint(location)) => elsewhere = location == 1,
            _ => {}
        }
    }
    let begin = found.as_ptr().addr().wrapping_sub(file.as_ptr().addr());
    let place = if elsewhere {
        Place::Elsewhere
    } else if found.is_empty() {
        Place::Bytes(0..0)
    } else {
        Place::Bytes(begin..begin + found.len())
    };
    Ok((entry, place))
}

fn name_of(bytes: &[u8]) -> Result<&str, Damaged> {
    std::str::from_utf8(bytes).map_err(|_| Damaged)
}

fn extend(shape: &mut Vec<usize>, dim: u64) -> Result<(), Damaged> {
    if shape.len() == MOST_DIMENSIONS {
        return Err(Damaged);
    }
    shape.push(usize::try_from(dim).map_err(|_| Damaged)?);
    Ok(())
}

fn of_number(number: u64) -> Element {
    match number {
        element::FLOAT => Element::F32,
        element::DOUBLE => Element::F64,
        element::FLOAT16 => Element::F16,
        element::BFLOAT16 => Element::Bf16,
        element::INT64 => Element::Other("int64".to_owned()),
        other => Element::Other(format!("number {other} of ONNX")),
    }
}

impl Weights for Model {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&mut self, index: usize) -> Result<Vec<f32>, InterchangeError> {
        let wrong = |reason: String| InterchangeError::format(&self.path, reason);
        let found = self.entries.get(index).zip(self.places.get(index));
        let Some((entry, place)) = found else {
            return Err(wrong("a tensor is missing".to_owned()));
        };
        let name = printable(&entry.name);
        let Place::Bytes(range) = place else {
            return Err(wrong(format!(
                "the elements of {name:?} are in a file beside it, which is not read; write one file: \
                 torch.onnx.export(…, external_data=False)"
            )));
        };
        let bytes = self.bytes.get(range.clone()).unwrap_or_default();
        let expected = elements(&entry.shape)
            .zip(entry.element.size())
            .and_then(|(count, size)| count.checked_mul(size));
        if expected != Some(bytes.len()) {
            return Err(wrong(format!(
                "{name:?} has {} for the shape {:?} of {}; take another copy",
                ByteSize(bytes.len() as u64),
                entry.shape,
                entry.element
            )));
        }
        budget::ask(self.path.display(), bytes.len() as u64)?;
        Ok(entry.element.decode(bytes, self.path.display())?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph;
    use super::super::wire::Message;
    use super::*;

    fn opened(model: &Message) -> Result<Box<dyn Weights>, InterchangeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, model.as_bytes()).unwrap();
        open(&path)
    }

    fn model(nodes: &[(&str, &str)], tensors: &[Message]) -> Message {
        let mut whole = Message::default();
        for (domain, operator) in nodes {
            let node = Message::default()
                .text(field::node::OPERATOR, operator)
                .text(field::node::DOMAIN, domain);
            whole = whole.message(field::graph::NODE, &node);
        }
        for tensor in tensors {
            whole = whole.message(field::graph::INITIALIZER, tensor);
        }
        Message::default()
            .int(field::model::IR_VERSION, 8)
            .message(field::model::GRAPH, &whole)
    }

    fn weight(element: u64, shape: &[usize], bytes: &[u8]) -> Message {
        graph::tensor(element, shape)
            .text(field::tensor::NAME, "w")
            .bytes(field::tensor::RAW, bytes)
    }

    #[test]
    fn initializers_of_every_float_are_read_and_whole_numbers_left() {
        let half = half::f16::from_f32(1.5).to_le_bytes();
        let axes = graph::tensor(element::INT64, &[1]).bytes(field::tensor::RAW, &[0; 8]);
        let found = model(
            &[("", "Relu")],
            &[weight(element::FLOAT16, &[1], &half), axes],
        );
        let mut weights = opened(&found).unwrap();
        assert_eq!(weights.entries().len(), 1);
        assert_eq!(weights.entries()[0].element, Element::F16);
        assert_eq!(weights.read(0).unwrap(), [1.5]);
        // Dimensions and elements as other writers pack them.
        let packed = Message::default()
            .bytes(field::tensor::DIMS, &[1, 2])
            .varint(field::tensor::ELEMENT, element::FLOAT)
            .bytes(field::tensor::FLOATS, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]);
        let mut weights = opened(&model(&[], &[packed])).unwrap();
        assert_eq!(weights.entries()[0].shape, [1, 2]);
        assert_eq!(weights.read(0).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn unknown_operators_are_named_within_graphs_too() {
        let inner = Message::default().message(
            field::graph::NODE,
            &Message::default().text(field::node::OPERATOR, "Inner"),
        );
        let scan = Message::default()
            .text(field::node::OPERATOR, "Scan")
            .message(
                field::node::ATTRIBUTE,
                &Message::default().message(field::attribute::GRAPH, &inner),
            );
        let nodes = Message::default().message(field::graph::NODE, &scan);
        let with_scan = Message::default().message(field::model::GRAPH, &nodes);
        for (found, name) in [
            (model(&[("", "Relu"), ("", "Einsum")], &[]), "Einsum"),
            (
                model(&[("com.microsoft", "Relu")], &[]),
                "com.microsoft.Relu",
            ),
            (with_scan, "Inner"),
        ] {
            let error = opened(&found).err().unwrap();
            let InterchangeError::Operators { operators, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(operators[..], [name.to_owned()]);
        }
    }

    #[test]
    fn elements_that_do_not_fill_their_shape_are_told() {
        let said = |tensor: Message| {
            let mut weights = opened(&model(&[], &[tensor])).unwrap();
            weights.read(0).unwrap_err().to_string()
        };
        let short = said(weight(element::FLOAT, &[2, 3], &[0; 20]));
        assert!(short.contains("20 bytes for the shape [2, 3]"), "{short}");
        // More than any memory.
        let huge = said(weight(element::FLOAT, &[usize::MAX, usize::MAX], &[0; 4]));
        assert!(huge.contains("\"w\""), "{huge}");
        let elsewhere = weight(element::FLOAT, &[1], &[]).varint(field::tensor::LOCATION, 1);
        assert!(said(elsewhere).contains("external_data=False"));
    }

    #[test]
    fn whatever_is_changed_is_an_error_or_a_model() {
        let found = model(&[("", "Relu")], &[weight(element::FLOAT, &[2], &[1; 8])]);
        let whole = found.as_bytes();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.to_vec();
                changed[at] ^= 1 << bit;
                std::fs::write(&path, &changed).unwrap();
                if let Ok(mut weights) = open(&path) {
                    for index in 0..weights.entries().len() {
                        let _ = weights.read(index);
                    }
                }
            }
        }
        for end in 1..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let cut = open(&path).is_err();
            // After the version alone there is nothing, which is no model.
            assert!(cut, "{end}");
        }
    }
}
