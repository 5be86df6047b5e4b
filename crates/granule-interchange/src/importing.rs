use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use burn::tensor::Device;
use granule_io::words::{counted, first_of, printable, shortened};
use granule_models::state::Mismatch;
use granule_models::{
    InputShape, InputSpec, ModelConfig, ModelError, ModelFile, Network, Provenance, Readout,
    StateDict, Task, TensorValue,
};

use crate::names::{COUNTER, Counterpart, counterparts};
use crate::weights::{Element, Entry};
use crate::{Format, InterchangeError};

/// The most letters of a tensor's name.
const MOST_LETTERS: usize = 1000;

/// The most names that one note has.
const MOST_NAMED: usize = 8;

/// What a file of weights does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The model and its settings.
    pub model: ModelConfig,
    /// What it takes, and how that is normalised.
    pub input: InputSpec,
    /// What it gives. None: classes named by their numbers, as many as the weights give, two or more; of a model that is read out
    /// at every step real values, all steps' one after the other.
    pub task: Option<Task>,
}

/// A model that was read from the file of another program.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The model.
    pub file: ModelFile,
    /// What was converted, left out or supposed, a sentence each.
    pub notes: Vec<String>,
}

/// Reads the weights of a model. The format is that of the file's name where none is given.
///
/// Names and shapes are compared before a single weight is read.
///
/// # Errors
///
/// [`InterchangeError`] with the file, and the tensors, for what cannot be read or belongs to another model.
pub fn import(
    path: &Path,
    format: Option<&Format>,
    template: &Template,
    device: &Device,
) -> Result<Imported, InterchangeError> {
    let format = match format {
        Some(format) => format,
        None => Format::of_path(path)?,
    };
    let mut weights = (format.open)(path)?;
    let mut notes = Vec::new();
    let entries = weights.entries().to_vec();
    check_names(path, &entries)?;
    let in_file = |error: ModelError| InterchangeError::Model(error.in_file(path));
    let (task, network) = match &template.task {
        Some(task) => (task.clone(), template.build(task.learnt_outputs(), device)?),
        None => {
            let outputs = outputs(path, template, &entries, device)?;
            // What is refused is so before anything is made of so many.
            let network = template.build(outputs, device).map_err(in_file)?;
            let (task, note) = match template.steps() {
                Some(steps) => {
                    let values = counted(outputs / steps, "value");
                    let note = format!(
                        "its outputs are real values, {values} at each of {}; with the readout last or mean they are classes",
                        counted(steps, "step")
                    );
                    (Task::regression(outputs), note)
                }
                None => {
                    let classes = (0..outputs).map(|class| class.to_string()).collect();
                    let note = format!("its {outputs} classes are named by their numbers");
                    (Task::Classification { classes }, note)
                }
            };
            notes.push(note);
            (task, network)
        }
    };
    let counterparts = counterparts(&network);
    let prefix = prefix(&entries, &counterparts);
    if let Some(prefix) = &prefix {
        notes.push(format!(
            "all names begin with {:?}, which was left out",
            shortened(&printable(prefix))
        ));
    }
    let unreadable = entries.iter().filter(|entry| !entry.is_readable());
    let unreadable: Vec<String> = unreadable.map(Entry::shown).collect();
    if !unreadable.is_empty() {
        notes.push(format!(
            "what is no array that is read was left out: {}",
            first_of(unreadable, MOST_NAMED)
        ));
    }
    let places = matched(path, template, &counterparts, &entries, prefix.as_deref())?;
    let mut state = StateDict::default();
    let mut converted: BTreeMap<&Element, usize> = BTreeMap::new();
    for (counterpart, index) in counterparts.iter().zip(places) {
        let Some(entry) = entries.get(index) else {
            continue;
        };
        match &entry.element {
            Element::F32 => {}
            element @ (Element::Other(_) | Element::Unreadable) => {
                if !entry.is_readable() {
                    weights.read(index)?;
                }
                return Err(InterchangeError::ElementType {
                    path: path.to_owned(),
                    tensor: entry.shown(),
                    element: element.to_string(),
                });
            }
            other => *converted.entry(other).or_default() += 1,
        }
        let value = TensorValue {
            shape: counterpart.own_shape.clone(),
            data: counterpart.inward(weights.read(index)?)?,
        };
        state.0.insert(counterpart.own.clone(), value);
    }
    for (element, count) in converted {
        let verb = if count == 1 { "was" } else { "were" };
        notes.push(format!(
            "{} of {element} {verb} converted to float32",
            counted(count, "tensor")
        ));
    }
    state.check_finite().map_err(in_file)?;
    let file = ModelFile {
        model: template.model.clone(),
        input: template.input.clone(),
        task,
        provenance: Provenance {
            imported_from: Some(format!("{} ({})", path.display(), format.summary())),
            ..Provenance::now()
        },
        state,
    };
    file.network(device).map_err(in_file)?;
    Ok(Imported { file, notes })
}

impl Template {
    fn build(&self, outputs: usize, device: &Device) -> Result<Network, ModelError> {
        self.model.validate(&self.input.shape, outputs)?;
        self.model.init(&self.input.shape, outputs, 0, device)
    }

    /// The steps at each of which the model gives its outputs; none where it gives them once.
    fn steps(&self) -> Option<usize> {
        let shape = &self.input.shape;
        if self.model.readout()?.of(shape) != Readout::Sequence {
            return None;
        }
        match *shape {
            InputShape::Sequence { steps, .. } => Some(steps),
            InputShape::Image { height, .. } => Some(height),
            InputShape::Vector { .. } => None,
        }
    }
}

fn check_names(path: &Path, entries: &[Entry]) -> Result<(), InterchangeError> {
    match entries.iter().find(|entry| entry.name.len() > MOST_LETTERS) {
        None => Ok(()),
        Some(entry) => {
            let reason = format!(
                "a tensor has a name of {} bytes, at most {MOST_LETTERS} are taken: {}",
                entry.name.len(),
                entry.shown()
            );
            Err(InterchangeError::format(path, reason))
        }
    }
}

/// The index of the entry of every counterpart, in their order.
fn matched(
    path: &Path,
    template: &Template,
    counterparts: &[Counterpart],
    entries: &[Entry],
    prefix: Option<&str>,
) -> Result<Vec<usize>, InterchangeError> {
    let mut by_name: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        by_name.insert(bare(entry, prefix), index);
    }
    let mut places = Vec::with_capacity(counterparts.len());
    let mut wrong = Vec::new();
    for counterpart in counterparts {
        let index = by_name.remove(counterpart.name.as_str());
        let entry = index.and_then(|index| entries.get(index));
        let fits = |entry: &Entry| !entry.is_readable() || entry.shape == counterpart.shape;
        if entry.is_some_and(fits) {
            places.extend(index);
        } else {
            wrong.push(Mismatch {
                name: counterpart.name.clone(),
                expected: Some(counterpart.shape.clone()),
                found: entry.map(|entry| entry.shape.clone()),
            });
        }
    }
    let counter = |name: &str| name.rsplit('.').next() == Some(COUNTER);
    let left = by_name.iter().filter(|(name, _)| !counter(name));
    let mut left: Vec<Mismatch> = left
        .filter_map(|(name, index)| {
            let entry = entries.get(*index).filter(|entry| entry.is_readable())?;
            Some(Mismatch {
                name: shortened(&printable(name)),
                expected: None,
                found: Some(entry.shape.clone()),
            })
        })
        .collect();
    left.sort_by(|a, b| a.name.cmp(&b.name));
    wrong.extend(left);
    if wrong.is_empty() {
        return Ok(places);
    }
    Err(InterchangeError::Mismatched {
        path: path.to_owned(),
        model: template.model.name().to_owned(),
        tensors: wrong,
    })
}

fn bare<'a>(entry: &'a Entry, prefix: Option<&str>) -> &'a str {
    let name = entry.name.as_str();
    prefix
        .and_then(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// What all names begin with, up to a point, where no name is one of the model's and without it some are: `module.` of a model
/// in `DataParallel`, `_orig_mod.` of a compiled one.
fn prefix(entries: &[Entry], counterparts: &[Counterpart]) -> Option<String> {
    let known: HashSet<&str> = counterparts.iter().map(|one| one.name.as_str()).collect();
    let longest = known.iter().map(|name| name.len()).max()?;
    let readable = entries.iter().filter(|entry| entry.is_readable());
    let names: Vec<&str> = readable.map(|entry| entry.name.as_str()).collect();
    let (first, rest) = names.split_first()?;
    if names.iter().any(|name| known.contains(name)) {
        return None;
    }
    let common = rest.iter().fold(first.len(), |length, name| {
        let pairs = first.bytes().zip(name.bytes());
        pairs.take(length).take_while(|(a, b)| a == b).count()
    });
    let points = first.match_indices('.').map(|(at, _)| at + 1);
    let mut ends = points.take_while(|end| *end <= common);
    let fits = |end: &usize| {
        let mut bare = names.iter().filter_map(|name| name.get(*end..));
        bare.any(|name| name.len() <= longest && known.contains(name))
    };
    let end = ends.find(fits)?;
    first.get(..end).map(str::to_owned)
}

/// How many values the weights give, of all steps together: as many for a step as a tensor has rows, or elements, of which the model
/// has one where it gives one value, and two where it gives two.
fn outputs(
    path: &Path,
    template: &Template,
    entries: &[Entry],
    device: &Device,
) -> Result<usize, InterchangeError> {
    let steps = template.steps().unwrap_or(1);
    let one = counterparts(&template.build(steps, device)?);
    let two = counterparts(&template.build(steps.saturating_mul(2), device)?);
    let prefix = prefix(entries, &one);
    let mut by_name: HashMap<&str, &Entry> = HashMap::with_capacity(entries.len());
    for entry in entries {
        by_name.insert(bare(entry, prefix.as_deref()), entry);
    }
    let mut widths = one.iter().zip(&two).filter_map(|(one, two)| {
        let mut dims = one.shape.iter().zip(&two.shape);
        let axis = dims.position(|dims| dims == (&1, &2))?;
        let entry = by_name.get(one.name.as_str())?;
        let alike = entry.shape.len() == one.shape.len();
        entry.shape.get(axis).copied().filter(|_| alike)
    });
    match (widths.next(), template.steps()) {
        (Some(width), Some(steps)) => Some(width.saturating_mul(steps)),
        (Some(1), None) | (None, _) => {
            // Those of another model are told by their names.
            matched(path, template, &one, entries, prefix.as_deref())?;
            None
        }
        (width, None) => width,
    }
    .ok_or_else(|| {
        let reason = "its weights give no two classes or more; say what they give: real values, so many by --outputs, or classes, by \
                      their names, by --classes";
        InterchangeError::format(path, reason)
    })
}

#[cfg(test)]
mod tests {
    use granule_device::DeviceSpec;
    use granule_models::MlpConfig;

    use super::*;
    use crate::weights::Weights;

    struct Declared(Vec<Entry>);

    impl Weights for Declared {
        fn entries(&self) -> &[Entry] {
            &self.0
        }

        fn read(&mut self, index: usize) -> Result<Vec<f32>, InterchangeError> {
            Ok(vec![0.5; self.0[index].shape.iter().product()])
        }
    }

    fn entry(name: String, shape: Vec<usize>) -> Entry {
        Entry {
            name,
            shape,
            element: Element::F32,
        }
    }

    /// A linear model of two features that gives as many values as the file is called by.
    static LINEAR: Format = Format {
        name: "linear",
        extensions: &[],
        summary: "declared weights",
        open: |path| {
            let width = path.to_str().unwrap().parse().unwrap();
            Ok(Box::new(Declared(vec![
                entry("layers.0.weight".into(), vec![width, 2]),
                entry("layers.0.bias".into(), vec![width]),
            ])))
        },
        write: None,
    };

    /// As that, with a name of so many letters beside.
    static NAMED: Format = Format {
        name: "named",
        extensions: &[],
        summary: "declared weights",
        open: |path| {
            let letters: usize = path.to_str().unwrap().parse().unwrap();
            let name = "a.".repeat(letters / 2);
            Ok(Box::new(Declared(vec![entry(name, vec![1])])))
        },
        write: None,
    };

    fn imported(file: &str, format: &Format) -> Result<Imported, InterchangeError> {
        let template = Template {
            model: ModelConfig::new(MlpConfig {
                widths: Vec::new(),
                ..MlpConfig::default()
            }),
            input: InputSpec::new(InputShape::Vector { len: 2 }),
            task: None,
        };
        let device = DeviceSpec::Cpu.open().unwrap();
        import(Path::new(file), Some(format), &template, device.burn())
    }

    #[test]
    fn as_many_classes_as_a_model_has_are_named_and_no_more() {
        let three = imported("3", &LINEAR).unwrap().file.task;
        assert_eq!(three.outputs(), 3);
        for many in [0, 65537, 1_usize << 62] {
            let error = imported(&many.to_string(), &LINEAR)
                .unwrap_err()
                .to_string();
            assert!(error.contains("65536"), "{error}");
        }
    }

    #[test]
    fn one_value_is_no_class() {
        let error = imported("1", &LINEAR).unwrap_err().to_string();
        assert!(
            error.contains("--outputs") && error.contains("--classes"),
            "{error}"
        );
    }

    #[test]
    fn names_of_tensors_are_not_arbitrarily_long() {
        let long = imported("1002", &NAMED).unwrap_err().to_string();
        assert!(long.contains("1002 bytes"), "{long}");
        let longest = imported("1000", &NAMED).unwrap_err();
        assert!(
            matches!(longest, InterchangeError::Mismatched { .. }),
            "{longest}"
        );
        for error in [long, longest.to_string()] {
            assert!(error.len() < 700, "{error}");
        }
    }
}
