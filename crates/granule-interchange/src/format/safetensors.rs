//! safetensors, as of Hugging Face.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use granule_models::{read_tensors, write_tensors};
use safetensors::{Dtype, SafeTensors};

use super::Format;
use crate::weights::{Element, Entry, Weights};
use crate::{Described, InterchangeError};

pub(super) static FORMAT: Format = Format {
    name: "safetensors",
    extensions: &["safetensors"],
    summary: "safetensors",
    open,
    write: Some(write),
};

fn write(model: &Described<'_>, mut out: &mut dyn Write) -> Result<(), InterchangeError> {
    // What readers of Hugging Face's ask for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(write_tensors(&mut out, metadata, &model.tensors)?)
}

struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Where the elements of each entry are.
    places: Vec<(usize, usize)>,
}

fn open(path: &Path) -> Result<Box<dyn Weights>, InterchangeError> {
    let bytes = read_tensors(path, "weights").map_err(|error| error.in_file(path))?;
    let damaged = || {
        let reason = "its header does not describe its tensors; take another copy";
        InterchangeError::format(path, reason)
    };
    let (length, header) = SafeTensors::read_metadata(&bytes).map_err(|_| damaged())?;
    let is_own = |metadata: &HashMap<String, String>| metadata.contains_key("granule");
    if header.metadata().as_ref().is_some_and(is_own) {
        let reason = "it is a model file of granule, which needs no import; `granule export` writes its weights for other programs";
        return Err(InterchangeError::format(path, reason));
    }
    let (mut entries, mut places) = (Vec::new(), Vec::new());
    for (name, info) in header.tensors() {
        entries.push(Entry {
            name,
            shape: info.shape.clone(),
            element: match info.dtype {
                Dtype::F32 => Element::F32,
                Dtype::F64 => Element::F64,
                Dtype::F16 => Element::F16,
                Dtype::BF16 => Element::Bf16,
                other => Element::Other(other.to_string()),
            },
        });
        let (begin, end) = info.data_offsets;
        places.push((
            begin.saturating_add(8 + length),
            end.saturating_add(8 + length),
        ));
    }
    Ok(Box::new(File {
        path: path.to_owned(),
        bytes,
        entries,
        places,
    }))
}

impl Weights for File {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&mut self, index: usize) -> Result<Vec<f32>, InterchangeError> {
        let place = self.entries.get(index).zip(self.places.get(index));
        let found =
            place.and_then(|(entry, &(begin, end))| Some((entry, self.bytes.get(begin..end)?)));
        let (entry, bytes) =
            found.ok_or_else(|| InterchangeError::format(&self.path, "a tensor is cut off"))?;
        Ok(entry.element.decode(bytes, self.path.display())?)
    }
}
