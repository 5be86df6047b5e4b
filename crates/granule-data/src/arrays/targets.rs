//! What an array of targets says: classes, by labels, names or one-hot rows; or real values.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use granule_io::words::{first_of, printable};
use granule_io::{budget, words};
use serde::{Deserialize, Serialize};

use super::values::Values;
use super::{Array, elements};
use crate::{DataError, Targets};

/// What targets are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// Labels of classes.
    Classes,
    /// Real values.
    Values,
}

/// The whole-numbered floats that count as labels: at most so many different ones.
const MOST_FLOAT_LABELS: usize = 1000;
/// Whole numbers from 0 that are plainly labels: at most so many, each with at least so many samples in the mean.
const MOST_PLAIN_LABELS: usize = 20;
const FEW_OF_A_CLASS: usize = 5;
/// Whole numbers of which nearly every sample has its own: more than so many, with fewer than so many samples each.
const MOST_UNSAID_LABELS: usize = 20;
const FEWEST_OF_A_LABEL: usize = 2;
/// Names that a sentence lists.
const MOST_NAMES: usize = 8;

/// A label as the file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Label {
    Whole(i128),
    Name(String),
}

impl Label {
    fn name(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Name(name) => printable(name),
        }
    }

    /// The whole number that a name spells, as Python prints it.
    fn spelt(&self) -> Option<Self> {
        match self {
            Self::Whole(_) => Some(self.clone()),
            Self::Name(name) => {
                let number = name.parse::<i128>().ok()?;
                (number.to_string() == *name).then_some(Self::Whole(number))
            }
        }
    }
}

/// One label for each sample.
pub(crate) struct Labels {
    /// In the order of their first sample.
    found: Vec<Label>,
    /// Positions in `found`.
    samples: Vec<u16>,
    /// Whether they could be amounts as well and nobody was told so.
    ambiguous: bool,
}

#[derive(Default)]
struct Collector {
    numbers: HashMap<Label, u16>,
    labels: Vec<Label>,
    samples: Vec<u16>,
}

impl Collector {
    fn add(&mut self, label: Label, path: &Path) -> Result<(), DataError> {
        let number = match self.numbers.get(&label) {
            Some(&number) => number,
            None => {
                let next = u16::try_from(self.labels.len())
                    .ok()
                    .filter(|&n| n < u16::MAX);
                let number = next.ok_or_else(|| {
                    let reason = format!(
                        "y has more than {} different labels; for amounts say data.targets = \"values\"",
                        u16::MAX
                    );
                    DataError::format(path, reason)
                })?;
                self.labels.push(label.clone());
                self.numbers.insert(label, number);
                number
            }
        };
        Ok(budget::extend(
            &mut self.samples,
            &[number],
            path.display(),
        )?)
    }

    fn labels(self) -> Labels {
        Labels {
            found: self.labels,
            samples: self.samples,
            ambiguous: false,
        }
    }
}

/// The targets of a part.
pub(crate) enum Outputs {
    Labels(Labels),
    Values(Values),
}

impl Outputs {
    /// Reads targets as `kind` says, else as what they look like; `notes` gets what was recognised.
    pub(crate) fn read(
        array: Array<'_>,
        kind: Option<TargetKind>,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let path = array.path.to_path_buf();
        let header = array.header.clone();
        let extents = array.extents();
        let columns = match extents.as_slice() {
            [_] => 1,
            &[_, columns] => columns,
            _ => {
                return Err(array.wrong_shape(
                    "[N] for labels, [N] or [N, K] for real-valued targets or one-hot rows",
                ));
            }
        };
        let type_name = header.kind.name();
        let refuse = |reason: String| Err(DataError::format(&path, reason));
        if header.kind.is_text() {
            if columns != 1 {
                return Err(array.wrong_shape("[N] for names of classes"));
            }
            if kind == Some(TargetKind::Values) {
                return refuse("y holds strings, which are names of classes; data.targets = \"values\" needs numbers".into());
            }
            let mut collector = Collector::default();
            elements::strings(array, |name| {
                collector.add(Label::Name(name.to_owned()), &path)
            })?;
            return Ok(Self::Labels(collector.labels()));
        }
        if columns == 1 && !header.kind.is_float() && kind != Some(TargetKind::Values) {
            let mut collector = Collector::default();
            elements::integers(array, |number| collector.add(Label::Whole(number), &path))?;
            return Ok(Self::Labels(Labels {
                ambiguous: kind.is_none(),
                ..collector.labels()
            }));
        }
        let values = Values::read(array)?;
        if kind == Some(TargetKind::Values) {
            return Ok(Self::Values(values));
        }
        let recognised = match columns {
            1 => whole(&values, kind.is_some(), &path)?,
            _ => one_hot(&values, columns, &path)?,
        };
        match (recognised, kind) {
            (Some(labels), _) => {
                let what = match columns {
                    1 => format!("whole numbers in {type_name}"),
                    _ => format!("one-hot rows of {columns}"),
                };
                if kind.is_none() {
                    notes.push(format!(
                        "{}: y holds {what}, taken for labels of classes (data.targets = \"values\" takes them for amounts)",
                        path.display()
                    ));
                }
                Ok(Self::Labels(labels))
            }
            (None, Some(_)) => refuse(format!(
                "y holds {type_name} of shape {:?} that are neither whole numbers nor one-hot rows, so they are no labels; \
                 save labels as integers or strings, or say data.targets = \"values\"",
                header.shape
            )),
            (None, None) => {
                notes.push(format!(
                    "{}: y holds {type_name} of shape {:?}, taken for real-valued targets",
                    path.display(),
                    header.shape
                ));
                Ok(Self::Values(values))
            }
        }
    }

    /// Reads labels from the first column of several.
    pub(crate) fn first_column(
        array: Array<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let path = array.path.to_path_buf();
        let columns = array.extents().get(1).copied().unwrap_or(1).max(1);
        if array.header.kind.is_float() || array.header.kind.is_text() {
            return Err(array.wrong_shape(
                "[N] for labels; [N, K] of integers, whose first column is the label",
            ));
        }
        notes.push(format!(
            "{}: the first of {columns} columns is the label",
            path.display()
        ));
        let mut collector = Collector::default();
        let mut at = 0;
        elements::integers(array, |number| {
            at += 1;
            match (at - 1) % columns {
                0 => collector.add(Label::Whole(number), &path),
                _ => Ok(()),
            }
        })?;
        Ok(Self::Labels(collector.labels()))
    }

    pub(crate) fn kind(&self) -> TargetKind {
        match self {
            Self::Labels(_) => TargetKind::Classes,
            Self::Values(_) => TargetKind::Values,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.samples.len(),
            Self::Values(values) => values.len() / values.width.max(1),
        }
    }
}

/// Floats that look like labels: whole numbers, from 0 or 1 without a gap, or -1 and 1, each with two samples or more on
/// average. Any whole numbers when the user says that they are labels.
fn whole(values: &Values, said: bool, path: &Path) -> Result<Option<Labels>, DataError> {
    let mut collector = Collector::default();
    for value in values.iter() {
        if value.fract() != 0.0 || value.abs() > 2f64.powi(53) {
            return Ok(None);
        }
        collector.add(Label::Whole(value as i128), path)?;
        if !said && collector.labels.len() > MOST_FLOAT_LABELS {
            return Ok(None);
        }
    }
    let mut found = collector.labels.clone();
    found.sort_unstable();
    let count = found.len();
    let run = |first: i128| {
        let expected = (first..).take(count).map(Label::Whole);
        found.iter().cloned().eq(expected)
    };
    let signs = [Label::Whole(-1), Label::Whole(1)];
    let alike = run(0) || run(1) || found == signs;
    let looks = count >= 2 && alike && collector.samples.len() >= 2 * count;
    Ok((said || looks).then(|| collector.labels()))
}

/// Rows of a single 1 among zeros.
fn one_hot(values: &Values, columns: usize, path: &Path) -> Result<Option<Labels>, DataError> {
    let most = usize::from(u16::MAX);
    let count = values.len() / columns.max(1);
    let mut samples = Vec::new();
    let mut numbers = values.iter();
    for _ in 0..count {
        let mut hot = None;
        for (at, x) in numbers.by_ref().take(columns).enumerate() {
            match (x == 1.0, hot) {
                (true, None) if at < most => hot = Some(at as u16),
                (false, _) if x == 0.0 => {}
                _ => return Ok(None),
            }
        }
        let Some(hot) = hot else {
            return Ok(None);
        };
        budget::extend(&mut samples, &[hot], path.display())?;
    }
    let found = (0..columns.min(most)).map(|column| Label::Whole(column as i128));
    Ok(Some(Labels {
        found: found.collect(),
        samples,
        ambiguous: false,
    }))
}

/// Labels of one kind in all parts, each with the path of its file: names that spell whole numbers are those numbers
/// where another part has such.
fn of_one_kind(parts: &mut [(Labels, PathBuf)], notes: &mut Vec<String>) -> Result<(), DataError> {
    let is_text = |labels: &Labels| matches!(labels.found.first(), Some(Label::Name(_)));
    let mut whole = parts.iter().filter(|(labels, _)| !is_text(labels));
    let Some((numbers, other)) = whole
        .next()
        .map(|(labels, path)| (shown(&labels.found), path.clone()))
    else {
        return Ok(());
    };
    for (labels, path) in parts.iter_mut().filter(|(labels, _)| is_text(labels)) {
        let spelt: Option<Vec<Label>> = labels.found.iter().map(Label::spelt).collect();
        let Some(spelt) = spelt else {
            let reason = format!(
                "y holds strings ({}), {} whole numbers ({numbers}); save the labels of all parts alike",
                shown(&labels.found),
                other.display()
            );
            return Err(DataError::format(path, reason));
        };
        notes.push(format!(
            "{}: its strings are whole numbers, taken for the labels of {}",
            path.display(),
            other.display()
        ));
        labels.found = spelt;
    }
    Ok(())
}

/// The first of some labels.
fn shown(labels: &[Label]) -> String {
    first_of(labels.iter().map(Label::name), MOST_NAMES)
}

/// The classes of several parts, those that occur in any, and the targets of each part.
pub(super) fn classes(
    mut parts: Vec<(Labels, PathBuf)>,
    other_names: &HashMap<String, String>,
    notes: &mut Vec<String>,
) -> Result<(Vec<String>, Vec<Targets>), DataError> {
    of_one_kind(&mut parts, notes)?;
    let y = parts.first().map(|(_, y)| y.clone()).unwrap_or_default();
    let parts: Vec<Labels> = parts.into_iter().map(|(labels, _)| labels).collect();
    let samples: usize = parts.iter().map(|part| part.samples.len()).sum();
    let ambiguous = parts.iter().any(|part| part.ambiguous);
    let mut all: Vec<Label> = parts
        .iter()
        .flat_map(|part| part.found.iter().cloned())
        .collect();
    all.sort_unstable();
    all.dedup();
    if all.len() > usize::from(u16::MAX) {
        let reason = format!("y has more than {} different labels in its parts", u16::MAX);
        return Err(DataError::format(&y, reason));
    }
    if ambiguous && all.len() > MOST_UNSAID_LABELS && samples < FEWEST_OF_A_LABEL * all.len() {
        let reason = format!(
            "y holds {} different whole numbers in {}, so that nearly every sample would be a class of its own; for \
             amounts say data.targets = \"values\" (`--set data.targets=values`), for labels all the same \"classes\"",
            all.len(),
            words::counted(samples, "sample")
        );
        return Err(DataError::format(&y, reason));
    }
    let mut names: Vec<String> = all.iter().map(Label::name).collect();
    if let Some((one, other)) = alike(&all, &names) {
        let reason = format!(
            "the labels {one:?} and {other:?} look alike once they are shown; give one another name"
        );
        return Err(DataError::format(&y, reason));
    }
    let renamed: Option<Vec<String>> = names
        .iter()
        .map(|name| other_names.get(name).cloned())
        .collect();
    let distinct = |names: &Vec<String>| names.iter().collect::<HashSet<_>>().len() == names.len();
    names = renamed.filter(distinct).unwrap_or(names);
    let counted = all
        .iter()
        .enumerate()
        .all(|(at, label)| *label == Label::Whole(at as i128));
    // Digits of ten classes are plain; ages, counts and prices are amounts more often than classes.
    let like_amounts = ambiguous
        && (!counted || all.len() > MOST_PLAIN_LABELS || samples < FEW_OF_A_CLASS * all.len());
    if !counted || like_amounts {
        let shown = first_of(&names, MOST_NAMES);
        let way_out = if like_amounts {
            " (data.targets = \"values\" takes them for amounts)"
        } else {
            ""
        };
        notes.push(format!(
            "{}: the classes are the {} that occur: {shown}{way_out}",
            y.display(),
            words::counted(names.len(), "label")
        ));
    }
    let targets = parts.into_iter().map(|part| {
        let place = |label: &Label| all.binary_search(label).unwrap_or_default() as u16;
        let places: Vec<u16> = part.found.iter().map(place).collect();
        let mut samples = part.samples;
        for sample in &mut samples {
            *sample = places
                .get(usize::from(*sample))
                .copied()
                .unwrap_or_default();
        }
        Targets::Classes(samples)
    });
    Ok((names, targets.collect()))
}

/// Two labels that have the same name.
fn alike<'a>(labels: &'a [Label], names: &'a [String]) -> Option<(&'a str, &'a str)> {
    let text = |label: &'a Label| match label {
        Label::Name(name) => Some(name.as_str()),
        Label::Whole(_) => None,
    };
    let mut seen: HashMap<&String, &Label> = HashMap::new();
    labels.iter().zip(names).find_map(|(label, name)| {
        let other = seen.insert(name, label)?;
        Some((text(other)?, text(label)?))
    })
}
