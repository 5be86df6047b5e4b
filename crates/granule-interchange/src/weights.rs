//! Tensors in a file of another program.

use std::fmt;
use std::io::Read;
use std::path::Path;

use granule_io::words::{printable, shortened};
use granule_io::{FileError, MemoryError, budget};
use half::{bf16, f16};

use crate::InterchangeError;

/// The type of the elements of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// Single precision, as granule's own.
    F32,
    /// Double precision; rounded.
    F64,
    /// Half precision.
    F16,
    /// Half precision with the exponent of single precision.
    Bf16,
    /// Any other, by its name; no weight has it.
    Other(String),
    /// None that could be told: what stands in the file is no tensor. Reading it says why.
    Unreadable,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::Other(name) => name,
            Self::Unreadable => "none that is read",
        })
    }
}

impl Element {
    /// By the name that NumPy and PyTorch have for it.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "float32" => Self::F32,
            "float64" => Self::F64,
            "float16" => Self::F16,
            "bfloat16" => Self::Bf16,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The bytes of an element; none of a type that is not read.
    pub(crate) fn size(&self) -> Option<usize> {
        match self {
            Self::F32 => Some(4),
            Self::F64 => Some(8),
            Self::F16 | Self::Bf16 => Some(2),
            Self::Other(_) | Self::Unreadable => None,
        }
    }

    /// The numbers whose little-endian bytes these are, in single precision; none of a type that is not read.
    pub(crate) fn decode(
        &self,
        bytes: &[u8],
        what: impl fmt::Display,
    ) -> Result<Vec<f32>, MemoryError> {
        let count = self.size().map_or(0, |size| bytes.len() / size);
        let mut out = budget::with_capacity(count, what)?;
        match self {
            Self::F32 => each(bytes, &mut out, f32::from_le_bytes),
            Self::F64 => each(bytes, &mut out, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::F16 => each(bytes, &mut out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Bf16 => each(bytes, &mut out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::Other(_) | Self::Unreadable => {}
        }
        Ok(out)
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, convert: impl Fn([u8; N]) -> f32) {
    let (elements, _) = bytes.as_chunks::<N>();
    out.extend(elements.iter().map(|bytes| convert(*bytes)));
}

/// What a file says of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// The type of its elements.
    pub element: Element,
}

impl Entry {
    /// Whether it is a tensor, of any type.
    pub(crate) fn is_readable(&self) -> bool {
        self.element != Element::Unreadable
    }

    /// Its name, for messages.
    pub(crate) fn shown(&self) -> String {
        shortened(&printable(&self.name))
    }
}

/// The tensors of an opened file. What they are is known before any of them is read.
pub trait Weights {
    /// All tensors, in any order.
    fn entries(&self) -> &[Entry];

    /// The elements of the tensor at this place of [`entries`](Self::entries), row-major, in single precision.
    ///
    /// # Errors
    ///
    /// [`InterchangeError`] with the file, and the tensor, for what is damaged, cut off, or does not fit into memory.
    fn read(&mut self, index: usize) -> Result<Vec<f32>, InterchangeError>;
}

/// The first 512 bytes of a file, by which one of another kind is known before it is read.
pub(crate) fn start(path: &Path, what: &'static str) -> Result<Vec<u8>, InterchangeError> {
    let (file, _) = granule_io::open(path, what)?;
    let mut start = Vec::with_capacity(512);
    let read = file.take(512).read_to_end(&mut start);
    read.map_err(|source| FileError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    Ok(start)
}

/// The product of dimensions; none where it is beyond all memory.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1_usize, |n, dim| n.checked_mul(*dim));
    product.filter(|n| *n <= isize::MAX as usize / 8)
}
