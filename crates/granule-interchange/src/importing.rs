use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::Device;
use granule_io::words::{counted, printable};
use granule_models::state::Mismatch;
use granule_models::{
    InputSpec, ModelConfig, ModelError, ModelFile, Provenance, StateDict, Task, TensorValue,
};

use crate::names::{COUNTER, Counterpart, counterparts};
use crate::weights::{Element, Entry};
use crate::{Format, InterchangeError};

/// What a file of weights does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The model and its settings.
    pub model: ModelConfig,
    /// What it takes, and how that is normalised.
    pub input: InputSpec,
    /// What it gives. None: classes named by their numbers, as many as the weights give.
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
    let build = |outputs| {
        template
            .model
            .init(&template.input.shape, outputs, 0, device)
    };
    let (task, network) = match &template.task {
        Some(task) => (task.clone(), build(task.learnt_outputs())?),
        None => {
            let probe = counterparts(&build(1)?);
            let prefix = prefix(&entries, &probe);
            let classes = outputs(&entries, &probe, prefix.as_deref()).unwrap_or(1);
            notes.push(format!(
                "its {} named by their numbers",
                match classes {
                    1 => "one class is".to_owned(),
                    more => format!("{more} classes are"),
                }
            ));
            let task = Task::Classification {
                classes: (0..classes).map(|class| class.to_string()).collect(),
            };
            (task, build(classes)?)
        }
    };
    let counterparts = counterparts(&network);
    let prefix = prefix(&entries, &counterparts);
    if let Some(prefix) = &prefix {
        notes.push(format!(
            "all names begin with {:?}, which was left out",
            printable(prefix)
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
            Element::Other(element) => {
                return Err(InterchangeError::ElementType {
                    path: path.to_owned(),
                    tensor: printable(&entry.name),
                    element: element.clone(),
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
    let in_file = |error: ModelError| InterchangeError::Model(error.in_file(path));
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
        if entry.is_some_and(|entry| entry.shape == counterpart.shape) {
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
            Some(Mismatch {
                name: printable(name),
                expected: None,
                found: Some(entries.get(*index)?.shape.clone()),
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
    let known = |name: &str| counterparts.iter().any(|one| one.name == name);
    if entries.iter().any(|entry| known(&entry.name)) {
        return None;
    }
    let first = &entries.first()?.name;
    let points = first.match_indices('.').map(|(at, _)| at + 1);
    let mut prefixes = points.filter_map(|end| first.get(..end));
    let fits = |prefix: &&str| {
        let mut bare = entries.iter().map(|entry| entry.name.strip_prefix(*prefix));
        bare.clone().all(|name| name.is_some()) && bare.any(|name| name.is_some_and(known))
    };
    prefixes.find(fits).map(str::to_owned)
}

/// How many values the weights give: `n` of a tensor `[n]` or `[1, n]` that has one element in the model that gives one value.
fn outputs(entries: &[Entry], probe: &[Counterpart], prefix: Option<&str>) -> Option<usize> {
    let found = |counterpart: &Counterpart| {
        let mut entries = entries.iter();
        entries.find(|entry| bare(entry, prefix) == counterpart.name)
    };
    let singles = probe
        .iter()
        .filter(|counterpart| counterpart.shape.iter().all(|dim| *dim == 1));
    let mut longer = singles.filter_map(|single| {
        let shape = &found(single)?.shape;
        match (&single.shape[..], &shape[..]) {
            ([_], &[n]) | ([_, _], &[1, n]) if n > 1 => Some(n),
            _ => None,
        }
    });
    longer.next()
}
