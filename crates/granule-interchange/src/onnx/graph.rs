//! Graphs of operators, node after node.

use super::wire::Message;
use super::{element, field};

/// The name of what a node gives.
pub(super) type Value = String;

/// Nodes, each after those that it takes something of.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Message,
    /// What names begin with: different in every graph within a graph.
    prefix: &'static str,
    count: usize,
}

/// An attribute of a node.
#[derive(Debug)]
pub(super) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [i64]),
    Tensor(Message),
    Graph(Message),
}

impl Attribute<'_> {
    fn message(&self, name: &str) -> Message {
        use field::attribute::{FLOAT, GRAPH, INT, INTS, NAME, TENSOR, TYPE};
        let message = Message::default().text(NAME, name);
        match self {
            Self::Int(value) => message.int(INT, *value).varint(TYPE, 2),
            Self::Float(value) => message.float(FLOAT, *value).varint(TYPE, 1),
            Self::Ints(values) => {
                let all = values.iter();
                all.fold(message, |message, value| message.int(INTS, *value))
                    .varint(TYPE, 7)
            }
            Self::Tensor(tensor) => message.message(TENSOR, tensor).varint(TYPE, 4),
            Self::Graph(graph) => message.message(GRAPH, graph).varint(TYPE, 5),
        }
    }
}

/// An extent of what goes into a graph or comes out of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// The number of samples, whatever it is.
    Batch,
    Of(usize),
}

/// What goes into a graph or comes out of it, by its name: single-precision numbers.
pub(super) fn value_info(name: &str, extents: &[Extent]) -> Message {
    let mut shape = Message::default();
    for extent in extents {
        let dim = match extent {
            Extent::Batch => Message::default().text(field::dim::NAME, "batch"),
            Extent::Of(n) => Message::default().varint(field::dim::VALUE, *n as u64),
        };
        shape = shape.message(field::shape::DIM, &dim);
    }
    let tensor = Message::default()
        .varint(field::tensor_type::ELEMENT, element::FLOAT)
        .message(field::tensor_type::SHAPE, &shape);
    let of_type = Message::default().message(field::of_type::TENSOR, &tensor);
    Message::default()
        .text(field::value::NAME, name)
        .message(field::value::TYPE, &of_type)
}

/// A tensor up to its elements.
pub(super) fn tensor(element: u64, shape: &[usize]) -> Message {
    let dims = shape.iter().fold(Message::default(), |message, dim| {
        message.varint(field::tensor::DIMS, *dim as u64)
    });
    dims.varint(field::tensor::ELEMENT, element)
}

impl Graph {
    /// A graph within a graph, whose names begin with `prefix`.
    pub(super) fn within(prefix: &'static str) -> Self {
        Self {
            prefix,
            ..Self::default()
        }
    }

    /// Adds a node with one output.
    pub(super) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> Value {
        let outputs = self.nodes(operator, inputs, attributes, 1);
        outputs.into_iter().next().unwrap_or_default()
    }

    /// Adds a node with so many outputs.
    pub(super) fn nodes(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
        outputs: usize,
    ) -> Vec<Value> {
        use field::node::{ATTRIBUTE, INPUT, NAME, OPERATOR, OUTPUT};
        self.count += 1;
        let name = format!("{}{operator}_{}", self.prefix, self.count);
        let given: Vec<Value> = match outputs {
            1 => vec![name.clone()],
            many => (0..many).map(|at| format!("{name}.{at}")).collect(),
        };
        let mut node = Message::default();
        for input in inputs {
            node = node.text(INPUT, input);
        }
        for output in &given {
            node = node.text(OUTPUT, output);
        }
        node = node.text(NAME, &name).text(OPERATOR, operator);
        for (name, attribute) in attributes {
            node = node.message(ATTRIBUTE, &attribute.message(name));
        }
        let nodes = std::mem::take(&mut self.nodes);
        self.nodes = nodes.message(field::graph::NODE, &node);
        given
    }

    /// Numbers that the graph has of itself.
    pub(super) fn floats(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = tensor(element::FLOAT, shape).bytes(field::tensor::RAW, &bytes);
        self.node("Constant", &[], &[("value", Attribute::Tensor(tensor))])
    }

    /// One number.
    pub(super) fn float(&mut self, value: f32) -> Value {
        self.floats(&[], &[value])
    }

    /// Whole numbers, as of axes and shapes.
    pub(super) fn ints(&mut self, values: &[i64]) -> Value {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = tensor(element::INT64, &[values.len()]).bytes(field::tensor::RAW, &bytes);
        self.node("Constant", &[], &[("value", Attribute::Tensor(tensor))])
    }

    /// The nodes.
    pub(super) fn finish(self) -> Message {
        self.nodes
    }

    pub(super) fn add(&mut self, a: &str, b: &str) -> Value {
        self.node("Add", &[a, b], &[])
    }

    pub(super) fn sub(&mut self, a: &str, b: &str) -> Value {
        self.node("Sub", &[a, b], &[])
    }

    pub(super) fn mul(&mut self, a: &str, b: &str) -> Value {
        self.node("Mul", &[a, b], &[])
    }

    pub(super) fn div(&mut self, a: &str, b: &str) -> Value {
        self.node("Div", &[a, b], &[])
    }

    pub(super) fn matmul(&mut self, a: &str, b: &str) -> Value {
        self.node("MatMul", &[a, b], &[])
    }

    pub(super) fn transpose(&mut self, x: &str, axes: &[i64]) -> Value {
        self.node("Transpose", &[x], &[("perm", Attribute::Ints(axes))])
    }

    /// All but the first axis as one.
    pub(super) fn flatten(&mut self, x: &str) -> Value {
        self.node("Flatten", &[x], &[("axis", Attribute::Int(1))])
    }

    /// `0` keeps an extent, `-1` is what is left.
    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> Value {
        let shape = self.ints(shape);
        self.node("Reshape", &[x, &shape], &[])
    }

    pub(super) fn concat(&mut self, parts: &[&str], axis: i64) -> Value {
        match parts {
            [one] => (*one).to_owned(),
            _ => self.node("Concat", parts, &[("axis", Attribute::Int(axis))]),
        }
    }

    /// `first..end` of an axis.
    pub(super) fn slice(&mut self, x: &str, axis: i64, first: i64, end: i64) -> Value {
        let [first, end, axes] = [first, end, axis].map(|n| self.ints(&[n]));
        self.node("Slice", &[x, &first, &end, &axes], &[])
    }

    pub(super) fn unsqueeze(&mut self, x: &str, axis: i64) -> Value {
        let axes = self.ints(&[axis]);
        self.node("Unsqueeze", &[x, &axes], &[])
    }

    pub(super) fn squeeze(&mut self, x: &str, axis: i64) -> Value {
        let axes = self.ints(&[axis]);
        self.node("Squeeze", &[x, &axes], &[])
    }
}
