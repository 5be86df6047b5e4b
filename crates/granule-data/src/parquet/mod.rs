//! Images as Hugging Face publishes them: Parquet files with a column of encoded images and one of labels.
//!
//! A column of images is a structure of `bytes` and `path`, or bytes alone; labels are whole numbers, whose names stand in what
//! Hugging Face writes beside the columns. Pages are plain or have a dictionary, and are compressed with Snappy, gzip or nothing.

mod column;
mod compact;
mod files;
mod runs;
mod table;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use granule_io::words::{counted, first_of};
use serde::Deserialize;

use crate::division::Division;
use crate::folder::{self, Encoded, Listing, Sample};
use crate::reading::reserve_exact;
use crate::{DataError, Dataset, ImageOptions, Progress};

use column::{Column, Span};
use files::Files;
use table::{Leaf, Stored, Table};

/// What columns of images and of labels are called, best first.
const IMAGES: [&str; 2] = ["image", "img"];
const LABELS: [&str; 3] = ["label", "labels", "fine_label"];
/// What the bytes are called in a structure of an image.
const BYTES: &str = "bytes";

/// Names that a message lists.
const MOST_NAMES: usize = 12;

/// Loads a file, or the files of a folder.
pub(crate) fn load(
    path: &Path,
    division: Division,
    options: &ImageOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    let Files { parts, mut notes } = Files::of(path)?;
    let mut known: Option<(PathBuf, Vec<String>)> = None;
    let mut unread: BTreeSet<String> = BTreeSet::new();
    let mut unnamed: Option<PathBuf> = None;
    let mut labelled: Vec<(usize, Read)> = Vec::new();
    let count = parts.iter().map(Vec::len).sum::<usize>();
    progress.start(
        &format!("{}: columns", folder::name(path)),
        Some(count as u64),
    );
    let mut read_all = || {
        for (part, files) in parts.iter().enumerate() {
            for file in files {
                let mut read = Read::of(file)?;
                progress.advance(1);
                unread.extend(read.unread.drain(..));
                match read.names.take() {
                    Some(names) => check_names(&mut known, file, names)?,
                    None => unnamed = unnamed.take().or(Some(file.clone())),
                }
                labelled.push((part, read));
            }
        }
        Ok::<(), DataError>(())
    };
    let read = read_all();
    progress.finish();
    read?;
    if let (Some((named, _)), Some(unnamed)) = (&known, unnamed) {
        notes.push(format!(
            "{}: names no classes; they are taken to be those of {}",
            unnamed.display(),
            named.display()
        ));
    }
    let names = known.map(|(_, names)| names);
    let (classes, numbers) = match names {
        Some(names) => (names, None),
        None => {
            let occurring: BTreeSet<i64> = labelled
                .iter()
                .flat_map(|(_, read)| read.labels.values.iter().copied())
                .collect();
            notes.push(format!(
                "{}: names no classes; they are called by their numbers",
                path.display()
            ));
            let names = occurring.iter().map(i64::to_string).collect();
            let places = occurring.into_iter().zip(0_usize..);
            (names, Some(places.collect::<HashMap<i64, usize>>()))
        }
    };
    if !unread.is_empty() {
        notes.push(format!(
            "{}: not read: {}",
            path.display(),
            first_of(&unread, MOST_NAMES)
        ));
    }
    let mut samples: [Vec<Sample>; 3] = Default::default();
    for (part, read) in labelled {
        let Some(samples) = samples.get_mut(part) else {
            continue;
        };
        let Read { rows, labels, .. } = read;
        reserve_exact(samples, labels.values.len(), path)?;
        for (row, label) in labels.values.into_iter().enumerate() {
            let place = match &numbers {
                Some(places) => places.get(&label).copied(),
                None => usize::try_from(label).ok(),
            };
            let class = place.filter(|_| label >= 0);
            let class = class.filter(|class| *class < classes.len());
            let class = class.and_then(|class| u16::try_from(class).ok());
            let class = class.ok_or_else(|| DataError::LabelRange {
                path: PathBuf::from(format!("{}, column {}", rows.path.display(), read.label)),
                index: row,
                label,
                classes: classes.len(),
            })?;
            let image = Encoded::Row(Rc::clone(&rows), row);
            samples.push(Sample { class, image });
        }
    }
    let [train, test, validation] = samples;
    let some = |samples: Vec<Sample>| (!samples.is_empty()).then_some(samples);
    if train.is_empty() {
        return Err(DataError::Empty {
            path: path.to_path_buf(),
            what: "holds no rows of a training part".into(),
        });
    }
    let (test, validation) = (some(test), some(validation));
    let listing = Listing {
        classes,
        train,
        test,
        validation,
        by_class: false,
        notes,
        warnings: Vec::new(),
    };
    folder::assemble("parquet", path, listing, division, options, progress)
}

/// Keeps the names of the classes, which all files have alike.
fn check_names(
    known: &mut Option<(PathBuf, Vec<String>)>,
    file: &Path,
    names: Vec<String>,
) -> Result<(), DataError> {
    match known {
        Some((first, others)) if *others != names => {
            let reason = format!(
                "names {} that are not those of {}",
                counted(names.len(), "class"),
                first.display()
            );
            Err(DataError::format(file, reason))
        }
        Some(_) => Ok(()),
        None => {
            *known = Some((file.to_path_buf(), names));
            Ok(())
        }
    }
}

/// Images of a file, one a row.
pub(crate) struct Rows {
    path: PathBuf,
    column: String,
    images: Column<Span>,
}

impl Rows {
    /// The file of an image, as it would be beside the others.
    pub(crate) fn image(&self, row: usize) -> &[u8] {
        self.images.get(row).unwrap_or_default()
    }

    /// What a message calls the image of a row.
    pub(crate) fn place(&self, row: usize) -> PathBuf {
        let Self { path, column, .. } = self;
        PathBuf::from(format!("{}, row {row}, {column}", path.display()))
    }
}

/// What was read of a file.
struct Read {
    rows: Rc<Rows>,
    /// What the column of labels is called.
    label: String,
    labels: Column<i64>,
    names: Option<Vec<String>>,
    unread: Vec<String>,
}

impl Read {
    fn of(path: &Path) -> Result<Self, DataError> {
        let mut table = Table::open(path)?;
        let (images, labels) = (images(&table)?.clone(), labels(&table)?.clone());
        let own = [&images, &labels].map(|leaf| leaf.names.first());
        let others = table.columns().into_iter();
        let others = others.filter(|name| own.iter().flatten().all(|own| own != name));
        let unread = others.map(str::to_owned).collect();
        let names = table.features.as_deref().map(|json| {
            let name = labels.names.first().map_or("", String::as_str);
            class_names(json, name, path)
        });
        let names = names.transpose()?.flatten();
        let of_labels = column::read(&mut table, &labels)?;
        let rows = Rows {
            path: path.to_path_buf(),
            column: images.name(),
            images: column::read(&mut table, &images)?,
        };
        Ok(Self {
            rows: Rc::new(rows),
            label: labels.name(),
            labels: of_labels,
            names,
            unread,
        })
    }
}

/// The column of images.
fn images(table: &Table) -> Result<&Leaf, DataError> {
    let of = |name: &&str| {
        let named = |names: &[&str]| {
            let mut leaves = table.leaves.iter();
            leaves.find(|leaf| leaf.names == names)
        };
        named(&[name]).or_else(|| named(&[name, BYTES]))
    };
    let found = IMAGES.iter().find_map(of);
    let what = format!(
        "images, encoded, are read from a column {}",
        either(&IMAGES)
    );
    check(table, found, &what, |stored| stored == Stored::Bytes)
}

/// The column of labels.
fn labels(table: &Table) -> Result<&Leaf, DataError> {
    let of = |name: &&str| table.leaves.iter().find(|leaf| leaf.names == [*name]);
    let found = LABELS.iter().find_map(of);
    let what = format!(
        "labels, whole numbers, are read from a column {}",
        either(&LABELS)
    );
    check(table, found, &what, |stored| {
        matches!(stored, Stored::Int32 | Stored::Int64)
    })
}

fn either(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(" or ")
}

/// The column that was found, if its values are of the kind that is read.
fn check<'a>(
    table: &'a Table,
    found: Option<&'a Leaf>,
    what: &str,
    fits: impl Fn(Stored) -> bool,
) -> Result<&'a Leaf, DataError> {
    let Some(leaf) = found else {
        let reason = format!(
            "has the columns {}; {what}",
            first_of(table.columns(), MOST_NAMES)
        );
        return Err(DataError::asked(&table.path, reason));
    };
    if leaf.is_list || !fits(leaf.stored) {
        let lists = if leaf.is_list { "lists of " } else { "" };
        let reason = format!(
            "the column {} holds {lists}{}; {what}",
            leaf.name(),
            leaf.stored.name()
        );
        return Err(DataError::asked(&table.path, reason));
    }
    Ok(leaf)
}

/// What Hugging Face writes beside the columns, as far as it is read.
#[derive(Deserialize)]
struct Beside {
    info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    features: Option<HashMap<String, Feature>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Feature {
    /// Of classes, or of anything else that is no list.
    One {
        names: Option<Names>,
    },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    Texts(Vec<String>),
    Other(serde::de::IgnoredAny),
}

/// The names of the classes of a column of labels, where the file has them.
fn class_names(json: &[u8], column: &str, path: &Path) -> Result<Option<Vec<String>>, DataError> {
    let beside: Beside = granule_io::from_json(json).map_err(|error| {
        let reason = format!("what is written in it under \"huggingface\" is damaged: {error}");
        DataError::format(path, reason)
    })?;
    let features = beside.info.and_then(|info| info.features);
    let feature = features.and_then(|mut features| features.remove(column));
    Ok(match feature {
        Some(Feature::One {
            names: Some(Names::Texts(names)),
        }) if !names.is_empty() => Some(names),
        Some(Feature::One {
            names: Some(Names::Other(_)),
        }) => {
            let reason =
                format!("the class names of the column {column} in it are no list of texts");
            return Err(DataError::format(path, reason));
        }
        Some(Feature::One { .. } | Feature::Other(_)) | None => None,
    })
}
