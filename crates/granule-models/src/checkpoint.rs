//! The file of a checkpoint: a model with the state of its optimiser and how far its run has come.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use granule_io::from_json;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::file::{Document, described};
use crate::tensors::{TensorView, checksum, checksum_of, header, write_tensors};
use crate::{ModelError, ModelFile, StateDict, TensorValue};

const PROGRESS: &str = "granule.progress";
const MODEL: &str = "granule.model";
const CHECKSUM: &str = "granule.crc32";

/// A checkpoint in memory.
///
/// On disk it is a safetensors file: the model's tensors under `model/`, the optimiser's under `optimizer/`; in
/// `__metadata__` the progress and what a model file says of its model, each a JSON document, with a CRC-32 over both,
/// names, shapes and elements.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointFile {
    /// A JSON object that begins with `format`, which is [`FORMAT`](Self::FORMAT); the rest is the trainer's.
    pub progress: String,
    /// The model as it is at this point.
    pub model: ModelFile,
    /// The state of the optimiser.
    pub optimizer: StateDict,
}

/// The part of the progress that every format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl CheckpointFile {
    /// The format written and read.
    pub const FORMAT: u32 = 3;

    /// Whether the metadata of a safetensors file are those of a checkpoint.
    pub(crate) fn is_one(metadata: &HashMap<String, String>) -> bool {
        metadata.contains_key(PROGRESS)
    }

    /// Writes the file's content, tensor by tensor, without a second copy of them.
    ///
    /// # Errors
    ///
    /// Those of `out`; `InvalidData` for what cannot be written.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let optimizer = self.optimizer.views();
        Self::write(out, &self.progress, &self.model, optimizer)
    }

    /// As [`write_to`](Self::write_to), of tensors of the optimiser that stay where they are.
    ///
    /// # Errors
    ///
    /// As [`write_to`](Self::write_to).
    pub fn write(
        out: &mut impl Write,
        progress: &str,
        model: &ModelFile,
        optimizer: BTreeMap<String, TensorView<'_>>,
    ) -> io::Result<()> {
        let document = serde_json::to_string(&model.document())?;
        let state = model.state.0.iter();
        let state = state.map(|(name, value)| (format!("model/{name}"), value.into()));
        let optimizer = optimizer
            .into_iter()
            .map(|(name, view)| (format!("optimizer/{name}"), view));
        let tensors: Vec<(String, TensorView<'_>)> = state.chain(optimizer).collect();
        let crc = checksum_of(&format!("{progress}{document}"), &tensors);
        let metadata = HashMap::from([
            (PROGRESS.to_owned(), progress.to_owned()),
            (MODEL.to_owned(), document),
            (CHECKSUM.to_owned(), format!("{crc:08x}")),
        ]);
        write_tensors(out, metadata, &tensors)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    ///
    /// [`ModelError::Version`] for another format, [`ModelError::Checksum`] and [`ModelError::Format`] for what is damaged
    /// or no checkpoint; of its model those of [`ModelFile::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let (_, header) = header(bytes)?;
        let metadata = header.metadata().as_ref();
        let entry = |key: &str| metadata.and_then(|metadata| metadata.get(key));
        let needed = |key: &str| {
            entry(key).ok_or_else(|| ModelError::format(format!("no {key} in its metadata")))
        };
        let progress = needed(PROGRESS)?;
        let stored = needed(CHECKSUM)?;
        let document = entry(MODEL).map_or("", String::as_str);
        let file = SafeTensors::deserialize(bytes).map_err(ModelError::format)?;
        let mut tensors = file.tensors();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        let found = checksum(
            &format!("{progress}{document}"),
            tensors
                .iter()
                .map(|(name, view)| (name.as_str(), view.shape(), view.data())),
        );
        let expected = u32::from_str_radix(stored, 16)
            .ok()
            .filter(|crc| format!("{crc:08x}") == *stored)
            .ok_or_else(|| ModelError::format(format!("its CRC-32 is {stored:?}")))?;
        if found != expected {
            return Err(ModelError::Checksum { expected, found });
        }
        // The number comes first: of another format nothing else need be where this one has it.
        let Version { format } = from_json(progress.as_bytes())
            .map_err(|error| ModelError::format(format!("of its progress: {error}")))?;
        if format != Self::FORMAT {
            return Err(ModelError::Version {
                found: format,
                supported: Self::FORMAT,
            });
        }
        let document = from_json(needed(MODEL)?.as_bytes()).map_err(|error| described(&error))?;
        let document = Document::of(document)?;
        let (mut model, mut optimizer) = (StateDict::default(), StateDict::default());
        for (name, view) in tensors {
            if view.dtype() != Dtype::F32 {
                return Err(ModelError::format(format!("{name} is not of type F32")));
            }
            let (words, _) = view.data().as_chunks::<4>();
            let value = TensorValue {
                shape: view.shape().to_vec(),
                data: words.iter().map(|word| f32::from_le_bytes(*word)).collect(),
            };
            match name.split_once('/') {
                Some(("model", name)) => model.0.insert(name.to_owned(), value),
                Some(("optimizer", name)) => optimizer.0.insert(name.to_owned(), value),
                _ => return Err(ModelError::format(format!("unknown tensor {name}"))),
            };
        }
        let model = document.with(model);
        model.validate()?;
        Ok(Self {
            progress: progress.clone(),
            model,
            optimizer,
        })
    }
}
