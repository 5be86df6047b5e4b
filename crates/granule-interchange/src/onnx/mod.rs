//! ONNX: whole models out, weights in.
//!
//! Graphs are of opset 17 and IR version 8, which ONNX 1.12 and onnxruntime 1.12 brought and later ones read. Initializers are the
//! state dict of PyTorch, by name and layout; what operators want otherwise, as the order of gates, the graph makes of them.

mod graph;
mod model;
mod reader;
mod wire;
mod writer;

use crate::Format;

pub(crate) static FORMAT: Format = Format {
    name: "onnx",
    extensions: &["onnx"],
    summary: "ONNX",
    open: reader::open,
    write: Some(writer::write),
};

/// The version of the operators.
const OPSET: i64 = 17;

/// The version of the format.
const IR_VERSION: i64 = 8;

/// Numbers of types of elements.
mod element {
    pub(super) const FLOAT: u64 = 1;
    pub(super) const INT64: u64 = 7;
    pub(super) const FLOAT16: u64 = 10;
    pub(super) const DOUBLE: u64 = 11;
    pub(super) const BFLOAT16: u64 = 16;
}

/// The numbers of the fields of the messages, from `onnx.proto`.
mod field {
    pub(super) mod model {
        pub(in crate::onnx) const IR_VERSION: u32 = 1;
        pub(in crate::onnx) const PRODUCER_NAME: u32 = 2;
        pub(in crate::onnx) const PRODUCER_VERSION: u32 = 3;
        pub(in crate::onnx) const GRAPH: u32 = 7;
        pub(in crate::onnx) const OPSET_IMPORT: u32 = 8;
        pub(in crate::onnx) const METADATA: u32 = 14;
    }
    pub(super) mod opset {
        pub(in crate::onnx) const VERSION: u32 = 2;
    }
    pub(super) mod entry {
        pub(in crate::onnx) const KEY: u32 = 1;
        pub(in crate::onnx) const VALUE: u32 = 2;
    }
    pub(super) mod graph {
        pub(in crate::onnx) const NODE: u32 = 1;
        pub(in crate::onnx) const NAME: u32 = 2;
        pub(in crate::onnx) const INITIALIZER: u32 = 5;
        pub(in crate::onnx) const INPUT: u32 = 11;
        pub(in crate::onnx) const OUTPUT: u32 = 12;
    }
    pub(super) mod node {
        pub(in crate::onnx) const INPUT: u32 = 1;
        pub(in crate::onnx) const OUTPUT: u32 = 2;
        pub(in crate::onnx) const NAME: u32 = 3;
        pub(in crate::onnx) const OPERATOR: u32 = 4;
        pub(in crate::onnx) const ATTRIBUTE: u32 = 5;
        pub(in crate::onnx) const DOMAIN: u32 = 7;
    }
    pub(super) mod attribute {
        pub(in crate::onnx) const NAME: u32 = 1;
        pub(in crate::onnx) const FLOAT: u32 = 2;
        pub(in crate::onnx) const INT: u32 = 3;
        pub(in crate::onnx) const TENSOR: u32 = 5;
        pub(in crate::onnx) const GRAPH: u32 = 6;
        pub(in crate::onnx) const INTS: u32 = 8;
        pub(in crate::onnx) const TYPE: u32 = 20;
    }
    pub(super) mod tensor {
        pub(in crate::onnx) const DIMS: u32 = 1;
        pub(in crate::onnx) const ELEMENT: u32 = 2;
        pub(in crate::onnx) const FLOATS: u32 = 4;
        pub(in crate::onnx) const NAME: u32 = 8;
        pub(in crate::onnx) const RAW: u32 = 9;
        pub(in crate::onnx) const DOUBLES: u32 = 10;
        pub(in crate::onnx) const LOCATION: u32 = 14;
    }
    pub(super) mod value {
        pub(in crate::onnx) const NAME: u32 = 1;
        pub(in crate::onnx) const TYPE: u32 = 2;
    }
    pub(super) mod of_type {
        pub(in crate::onnx) const TENSOR: u32 = 1;
    }
    pub(super) mod tensor_type {
        pub(in crate::onnx) const ELEMENT: u32 = 1;
        pub(in crate::onnx) const SHAPE: u32 = 2;
    }
    pub(super) mod shape {
        pub(in crate::onnx) const DIM: u32 = 1;
    }
    pub(super) mod dim {
        pub(in crate::onnx) const VALUE: u32 = 1;
        pub(in crate::onnx) const NAME: u32 = 2;
    }
}
