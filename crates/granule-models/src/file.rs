//! The model file: a safetensors file whose metadata holds everything else as one JSON document.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use burn::tensor::Device;
use granule_io::held::Held;
use granule_io::words::printable;
use granule_io::{DocumentError, from_json};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::folder::ModelPlace;
use crate::tensors::{
    TensorView, check_header, checksum, checksum_of, header, read_tensors, write_tensors,
};
use crate::{
    CheckpointFile, InputSpec, ModelConfig, ModelError, Network, Profile, StateDict, TensorValue,
};

/// The newest format version written and read.
const FORMAT: u32 = 1;
/// The key in safetensors' `__metadata__`.
const KEY: &str = "granule";

/// A trained model: everything needed to use it, in one file.
///
/// On disk it is a safetensors file, which Python's `safetensors` opens; `__metadata__["granule"]` is a JSON document
/// with the other fields, a format version and, last, `crc32`: the CRC-32 of the document up to the digits of that
/// number, followed by each tensor in the order of the names: name, dimensions (u64, little-endian), elements.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// The model and its settings.
    pub model: ModelConfig,
    /// What it takes.
    pub input: InputSpec,
    /// What it gives.
    pub task: Task,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Its weights.
    pub state: StateDict,
}

/// How real values follow from outputs, as in generalised linear models (Nelder & Wedderburn 1972).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// `mean + std · output`.
    #[default]
    Identity,
    /// The rate `std · exp(output)` of counts; there is no mean.
    Log,
}

impl Link {
    fn is_identity(&self) -> bool {
        *self == Self::Identity
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a model's outputs mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Task {
    /// One logit per class.
    Classification {
        /// The classes' names, in the order of the outputs.
        classes: Vec<String>,
    },
    /// Real values: `mean + std · output`; counts of events: the rate `std · exp(output)`.
    Regression {
        /// The number of values.
        outputs: usize,
        /// One mean per value; empty means 0.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mean: Vec<f64>,
        /// As many standard deviations; empty means 1.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        std: Vec<f32>,
        /// How values follow from outputs.
        #[serde(default, skip_serializing_if = "Link::is_identity")]
        link: Link,
        /// Outputs of the model after these that it learns by and does not answer with, as those of an auto-encoder for what it
        /// sees.
        #[serde(default, skip_serializing_if = "is_zero")]
        auxiliary: usize,
    },
    /// Values at every step of the trials of a task.
    Trials {
        /// The task's name.
        task: String,
        /// The task's settings, a JSON object.
        settings: String,
        /// The outputs' names, in their order.
        outputs: Vec<String>,
        /// The steps of a trial.
        steps: usize,
    },
    /// Quantities over time, as in a recording.
    Recording {
        /// Their names and widths, in the order of the outputs.
        quantities: Vec<(String, usize)>,
        /// The instants, the beginning included.
        samples: usize,
    },
}

impl Task {
    /// The number of outputs; of trials and recordings those of all instants together.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classification { classes } => classes.len(),
            Self::Regression { outputs, .. } => *outputs,
            Self::Trials { outputs, steps, .. } => outputs.len().saturating_mul(*steps),
            Self::Recording {
                quantities,
                samples,
            } => {
                let widths = quantities.iter().map(|(_, width)| *width);
                widths
                    .fold(0, usize::saturating_add)
                    .saturating_mul(*samples)
            }
        }
    }
}

impl Task {
    /// The number of outputs that the model is built with: those that it answers with, and those that it learns by besides.
    pub fn learnt_outputs(&self) -> usize {
        match self {
            Self::Regression {
                outputs, auxiliary, ..
            } => outputs.saturating_add(*auxiliary),
            _ => self.outputs(),
        }
    }

    /// The error of a file whose weights give another number of outputs.
    pub fn other_outputs(&self, weights: usize) -> ModelError {
        ModelError::Outputs {
            named: self.outputs(),
            noun: match self {
                Self::Classification { .. } => "class",
                _ => "value",
            },
            weights,
        }
    }

    /// Real values that are not scaled.
    pub fn regression(outputs: usize) -> Self {
        Self::Regression {
            outputs,
            mean: Vec::new(),
            std: Vec::new(),
            link: Link::Identity,
            auxiliary: 0,
        }
    }

    /// A row of the network's outputs as what it means: real values on their own scale; everything else as it is.
    ///
    /// # Errors
    ///
    /// [`ModelError::NonFiniteOutput`] where a value on its own scale is too large for a number.
    pub(crate) fn scale_back(&self, outputs: &mut [f32]) -> Result<(), ModelError> {
        match self {
            Self::Regression {
                std,
                link: Link::Log,
                ..
            } => {
                for (at, output) in outputs.iter_mut().enumerate() {
                    let std = std.get(at).copied().unwrap_or(1.0);
                    *output = (f64::from(std) * f64::from(*output).exp()) as f32;
                }
            }
            Self::Regression { mean, std, .. } if !(mean.is_empty() && std.is_empty()) => {
                for (at, output) in outputs.iter_mut().enumerate() {
                    let mean = mean.get(at).copied().unwrap_or(0.0);
                    let std = std.get(at).copied().unwrap_or(1.0);
                    *output = (mean + f64::from(std) * f64::from(*output)) as f32;
                }
            }
            _ => return Ok(()),
        }
        if outputs.iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(ModelError::NonFiniteOutput)
        }
    }

    /// The names that it gives its outputs, where they are to tell these apart.
    fn names(&self) -> (&'static str, Vec<&str>) {
        match self {
            Self::Classification { classes } => {
                ("task.classes", classes.iter().map(String::as_str).collect())
            }
            Self::Regression { .. } => ("task", Vec::new()),
            Self::Trials { outputs, .. } => {
                ("task.outputs", outputs.iter().map(String::as_str).collect())
            }
            Self::Recording { quantities, .. } => (
                "task.quantities",
                quantities.iter().map(|(name, _)| name.as_str()).collect(),
            ),
        }
    }

    fn validate(&self) -> Result<(), ModelError> {
        let (field, names) = self.names();
        let mut seen = HashSet::new();
        let wrong = names
            .into_iter()
            .find(|name| printable(name) != **name || !seen.insert(*name));
        if let Some(name) = wrong {
            return Err(ModelError::config(
                field,
                format!("{name:?}"),
                "names that differ, each on one line and without control characters",
            ));
        }
        let Self::Regression {
            outputs,
            mean,
            std,
            link,
            auxiliary: _,
        } = self
        else {
            return Ok(());
        };
        let fits = |len: usize| len == 0 || len == *outputs;
        let good = fits(mean.len())
            && fits(std.len())
            && mean.iter().all(|mean| mean.is_finite())
            && std.iter().all(|std| std.is_normal() && *std > 0.0)
            && (*link == Link::Identity || mean.is_empty());
        if good {
            Ok(())
        } else {
            Err(ModelError::config(
                "task",
                "its scale",
                format!(
                    "{outputs} finite means, none of them of counts, and positive deviations, or none"
                ),
            ))
        }
    }
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The version of granule that trained it.
    pub granule_version: String,
    /// The data set's name.
    pub dataset: String,
    /// The data set's fingerprint.
    pub dataset_fingerprint: String,
    /// The run's seed.
    pub seed: u64,
    /// The seed of drawn data and of divisions of the data.
    pub data_seed: u64,
    /// The device it was trained on.
    pub device: String,
    /// When it was written, RFC 3339 in UTC.
    pub created: String,
    /// The number of epochs trained.
    pub epochs: usize,
    /// Final scores by name, for example `test_accuracy`.
    pub scores: BTreeMap<String, f64>,
    /// What training began from, unless from fresh weights; of the line before it the nearest generations are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Parent>>,
    /// The file of another program that the weights were taken from, and its format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<String>,
    /// Histograms of what it saw and answered; none in files of earlier versions, and of other programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// What a run began from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parent {
    /// The model file or checkpoint.
    pub file: String,
    /// Whether the state of the optimiser was taken as well: the run continues that one.
    pub optimizer: bool,
    /// Epochs of all runs before that this one continues; 0 when it takes the weights alone.
    pub epochs: usize,
    /// Where the weights come from.
    pub provenance: Provenance,
}

impl Parent {
    /// The generations that a file keeps: its reader takes so many levels and not any number.
    const GENERATIONS: usize = 16;

    /// A model from which training begins, of which a run keeps where it came from: neither its histograms nor those of the
    /// models before it, and of these the nearest 16.
    pub fn of(provenance: Provenance) -> Self {
        let mut parent = Self {
            provenance,
            ..Self::default()
        };
        let mut at = &mut parent.provenance;
        for _ in 1..Self::GENERATIONS {
            at.profile = None;
            match &mut at.parent {
                Some(before) => at = &mut before.provenance,
                None => return parent,
            }
        }
        (at.profile, at.parent) = (None, None);
        parent
    }
}

impl Provenance {
    /// This version of granule and the present time; everything else empty.
    pub fn now() -> Self {
        Self {
            granule_version: env!("CARGO_PKG_VERSION").to_owned(),
            created: rfc3339(SystemTime::now()),
            ..Self::default()
        }
    }
}

/// A model file without its weights.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document<'a> {
    format: u32,
    model: Cow<'a, ModelConfig>,
    input: Cow<'a, InputSpec>,
    task: Cow<'a, Task>,
    provenance: Cow<'a, Provenance>,
    crc32: u32,
}

impl Document<'_> {
    pub(crate) fn with(self, state: StateDict) -> ModelFile {
        ModelFile {
            model: self.model.into_owned(),
            input: self.input.into_owned(),
            task: self.task.into_owned(),
            provenance: self.provenance.into_owned(),
            state,
        }
    }
}

impl Document<'static> {
    /// Reads what stands beside the weights; the model must be one that this program knows.
    pub(crate) fn of(document: serde_json::Value) -> Result<Self, ModelError> {
        let kind = document
            .pointer("/model/kind")
            .and_then(serde_json::Value::as_str);
        if let Some(kind) = kind.filter(|kind| !ModelConfig::is_known(kind)) {
            return Err(ModelError::format(format!(
                "its model is of the kind {kind:?}, which this program does not know; it is read by the program that made \
                 it, which registers the kind (granule::models::register)"
            )));
        }
        let held = Held::deserialize(document).map_err(ModelError::format)?;
        Self::deserialize(held).map_err(|error| ModelError::format(error.placed("its description")))
    }
}

impl ModelFile {
    /// Builds the network with these weights.
    ///
    /// # Errors
    ///
    /// [`ModelError::MissingTensor`], [`ModelError::UnexpectedTensor`] and [`ModelError::TensorShape`] when the weights
    /// do not fit the configuration; [`ModelError::Config`] when the configuration itself is invalid.
    pub fn network(&self, device: &Device) -> Result<Network, ModelError> {
        let outputs = self.task.learnt_outputs();
        let network = self
            .model
            .init_from_state(&self.input.shape, outputs, &self.state, device);
        let network = network.map(|network| network.answering(self.task.outputs()));
        network.map_err(|error| match error {
            ModelError::TensorShape {
                name,
                expected,
                found,
            } if expected.len() == found.len() => {
                let sides = expected.iter().zip(&found);
                let other: Vec<_> = sides.filter(|(has, had)| has != had).collect();
                match other.as_slice() {
                    // All but how many values the model gives.
                    [(has, had)] if **has == outputs && outputs == self.task.outputs() => {
                        self.task.other_outputs(**had)
                    }
                    _ => ModelError::TensorShape {
                        name,
                        expected,
                        found,
                    },
                }
            }
            error => error,
        })
    }

    /// The file's content.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] for an invalid field, [`ModelError::NonFiniteTensor`] for weights with NaN or infinity.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    fn write_to(&self, out: &mut impl Write) -> Result<(), ModelError> {
        self.validate()?;
        let json = serde_json::to_string(&self.document()).map_err(ModelError::format)?;
        let covered = json.strip_suffix("0}").unwrap_or(&json);
        let tensors: Vec<(&str, TensorView<'_>)> = self
            .state
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.into()))
            .collect();
        let json = format!("{covered}{}}}", checksum_of(covered, &tensors));
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        write_tensors(out, metadata, &tensors).map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidData => ModelError::format(source),
            _ => ModelError::Io {
                action: "cannot write",
                source,
            },
        })
    }

    /// The file without its weights, its checksum still to be filled in.
    pub(crate) fn document(&self) -> Document<'_> {
        Document {
            format: FORMAT,
            model: Cow::Borrowed(&self.model),
            input: Cow::Borrowed(&self.input),
            task: Cow::Borrowed(&self.task),
            provenance: Cow::Borrowed(&self.provenance),
            crc32: 0,
        }
    }

    /// Reads the content of a model file or of a checkpoint. Whether the weights fit the configuration is checked by
    /// [`network`](Self::network).
    ///
    /// # Errors
    ///
    /// [`ModelError::Format`] for anything that is not a whole granule model file, [`ModelError::Version`] for a later
    /// format, [`ModelError::Checksum`] for a damaged file, [`ModelError::NonFiniteTensor`] for NaN or infinity among
    /// them, [`ModelError::Config`] for invalid settings.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        check_header(bytes)?;
        let (header_len, header) = header(bytes)?;
        if header
            .metadata()
            .as_ref()
            .is_some_and(CheckpointFile::is_one)
        {
            return Ok(CheckpointFile::from_bytes(bytes)?.model);
        }
        let data = bytes.get(8 + header_len..).unwrap_or_default();
        let json = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(KEY))
            .ok_or_else(|| {
                ModelError::format("it is a safetensors file, but not one written by granule")
            })?;
        let document: serde_json::Value =
            from_json(json.as_bytes()).map_err(|error| described(&error))?;
        let found = document.get("format").and_then(serde_json::Value::as_u64);
        match found.map(u32::try_from) {
            Some(Ok(version)) if version <= FORMAT => {}
            Some(version) => {
                return Err(ModelError::Version {
                    found: version.unwrap_or(u32::MAX),
                    supported: FORMAT,
                });
            }
            None => return Err(ModelError::format("its format version is missing")),
        }
        let expected = document.get("crc32").and_then(serde_json::Value::as_u64);
        let (expected, covered) = expected
            .and_then(|crc| u32::try_from(crc).ok())
            .and_then(|crc| Some((crc, json.strip_suffix(&format!("{crc}}}"))?)))
            .ok_or_else(|| ModelError::format("its checksum is missing"))?;
        let mut tensors = BTreeMap::new();
        for (name, info) in header.tensors() {
            if info.dtype != Dtype::F32 {
                return Err(ModelError::format(format!(
                    "the tensor \"{name}\" has elements of type {}, not F32",
                    info.dtype
                )));
            }
            let (start, end) = info.data_offsets;
            let bytes = data
                .get(start..end)
                .ok_or_else(|| ModelError::format(format!("the tensor \"{name}\" is cut off")))?;
            tensors.insert(name, (info.shape.clone(), bytes));
        }
        let parts = tensors
            .iter()
            .map(|(name, (shape, bytes))| (name.as_str(), &shape[..], *bytes));
        let found = checksum(covered, parts);
        if found != expected {
            return Err(ModelError::Checksum { expected, found });
        }
        let document = Document::of(document)?;
        let state = tensors
            .into_iter()
            .map(|(name, (shape, bytes))| {
                let data = decode(bytes);
                (name, TensorValue { shape, data })
            })
            .collect();
        let file = document.with(StateDict(state));
        file.validate()?;
        Ok(file)
    }

    /// Writes the file under a temporary name in the same folder, then renames it: what is at `path` is always whole.
    ///
    /// # Errors
    ///
    /// Those of [`to_bytes`](Self::to_bytes) inside [`ModelError::InFile`], and [`ModelError::File`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ModelError> {
        let path = path.as_ref();
        let mut failure = None;
        let written = granule_io::write_atomic_with(path, |file| {
            let mut out = BufWriter::new(file);
            match self.write_to(&mut out) {
                Ok(()) => out.flush(),
                Err(ModelError::Io { source, .. }) => Err(source),
                Err(error) => {
                    failure = Some(error);
                    Err(std::io::ErrorKind::InvalidData.into())
                }
            }
        });
        match failure {
            Some(error) => Err(error.in_file(path)),
            None => Ok(written?),
        }
    }

    /// Reads a model file, a checkpoint, or the model of a run folder.
    ///
    /// # Errors
    ///
    /// Those of [`ModelPlace::find`]; those of [`from_bytes`](Self::from_bytes) inside [`ModelError::InFile`],
    /// [`ModelError::File`] and [`ModelError::Memory`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let place = ModelPlace::find(path.as_ref())?;
        read_tensors(&place.file, "a model")
            .and_then(|bytes| Self::from_bytes(&bytes))
            .map_err(|error| error.in_file(&place.file))
    }

    pub(crate) fn validate(&self) -> Result<(), ModelError> {
        self.input.validate()?;
        self.task.validate()?;
        if let Some(profile) = &self.provenance.profile {
            profile.validate(&self.task)?;
        }
        self.model
            .validate(&self.input.shape, self.task.learnt_outputs())?;
        self.state.check_finite()
    }
}

fn decode(bytes: &[u8]) -> Vec<f32> {
    let (elements, _) = bytes.as_chunks::<4>();
    elements.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The error of a description beside the weights that cannot be read.
pub(crate) fn described(error: &DocumentError) -> ModelError {
    ModelError::format(format!("of its description: {error}"))
}

/// Date and time in UTC, to the second.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a proleptic Gregorian date, in years that begin on 1 March.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rfc3339_knows_leap_days_and_year_ends() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
