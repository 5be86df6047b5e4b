//! NumPy's archives of arrays.

use std::io::Write;
use std::path::Path;

use granule_data::arrays::{NpzArray, NpzNumbers, write_npz};

use super::Format;
use crate::weights::{Element, Entry, Weights};
use crate::{Described, InterchangeError};

pub(super) static FORMAT: Format = Format {
    name: "npz",
    extensions: &["npz"],
    summary: "NumPy arrays",
    open,
    write: Some(write),
};

fn write(model: &Described<'_>, mut out: &mut dyn Write) -> Result<(), InterchangeError> {
    let arrays = model.tensors.iter().map(|(name, tensor)| {
        NpzArray::singles(name.clone(), tensor.shape.to_vec(), tensor.data.as_ref())
    });
    Ok(write_npz(&mut out, &arrays.collect::<Vec<_>>())?)
}

struct Archive {
    numbers: NpzNumbers,
    entries: Vec<Entry>,
}

fn open(path: &Path) -> Result<Box<dyn Weights>, InterchangeError> {
    let mut numbers = NpzNumbers::open(path)?;
    let headers = numbers.headers().into_iter();
    let entries = headers.map(|header| Entry {
        name: header.name,
        shape: header.shape,
        element: header.element.map_or(Element::Unreadable, Element::named),
    });
    Ok(Box::new(Archive {
        entries: entries.collect(),
        numbers,
    }))
}

impl Weights for Archive {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&mut self, index: usize) -> Result<Vec<f32>, InterchangeError> {
        let entry = self.entries.get(index);
        let name = entry.map_or("", |entry| entry.name.as_str());
        Ok(self.numbers.read(name)?)
    }
}
