//! Any published set of IDX files in a folder: EMNIST, QMNIST, KMNIST and others of MNIST's form.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::arrays::{
    Array, ArrayOptions, Kind, Outputs, Part, RawInputs, Sources, TargetKind, assemble,
};
use crate::division::Division;
use crate::reading::{Hashing, Source, open};
use crate::{DataError, Dataset};

/// Axes of an array at most.
const MOST_AXES: usize = 4;
/// Bytes of a file of class names at most.
const MOST_MAPPING: u64 = 1 << 20;
/// What comes before the name of a part, in the file names of NIST's sets, which store images by columns.
const BY_COLUMNS: &str = "emnist";

/// The files of a part.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Files {
    images: Option<PathBuf>,
    labels: Option<PathBuf>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Set {
    train: Files,
    test: Files,
}

/// Loads the set at `path`: its folder, or the folder and what the names of its files begin with.
pub(crate) fn load(
    path: &Path,
    division: Division,
    options: &ArrayOptions,
) -> Result<Dataset, DataError> {
    let (dir, beginning) = if path.is_dir() {
        (path.to_owned(), None)
    } else {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase());
        (parent.unwrap_or(Path::new(".")).to_owned(), name)
    };
    let (prefix, set) = choose(sets(&dir)?, &dir, beginning.as_deref())?;
    let mut sources = Sources::default();
    let mut kind = options.targets;
    for files in [&set.train, &set.test] {
        let (Some(images), Some(labels)) = (&files.images, &files.labels) else {
            continue;
        };
        let inputs = with_array(images, |array| RawInputs::read(array, options))?;
        let outputs = with_array(labels, |array| match array.extents().len() {
            // QMNIST's labels: the class, then where the digit is from.
            2 if options.targets != Some(TargetKind::Values) => {
                Outputs::first_column(array, &mut sources.notes)
            }
            _ => Outputs::read(array, kind, &mut sources.notes),
        })?;
        kind.get_or_insert(outputs.kind());
        sources.parts.push(Part {
            inputs,
            outputs,
            x: images.clone(),
            y: labels.clone(),
        });
    }
    if set.test == Files::default() {
        sources.notes.push(format!(
            "{}: there are no files of a test part; a fifth of the samples is held out for it",
            dir.display()
        ));
    }
    let names = class_names(&dir, &prefix)?;
    let mut dataset = assemble("idx", sources, division, &names)?;
    if prefix.starts_with(BY_COLUMNS) && !options.transpose {
        dataset.warnings.push(
            "EMNIST stores its images by columns: they lie on their side; data.transpose = true sets them upright"
                .to_owned(),
        );
    }
    Ok(dataset)
}

/// The sets in a folder, by what the names of their files begin with.
fn sets(dir: &Path) -> Result<BTreeMap<String, Set>, DataError> {
    let list = fs::read_dir(dir).map_err(|error| DataError::io(dir, "list", error))?;
    let mut paths = Vec::new();
    for entry in list {
        let entry = entry.map_err(|error| DataError::io(dir, "list", error))?;
        paths.push(entry.path());
    }
    // A file that is there unpacked and packed is read unpacked, which comes first.
    paths.sort();
    let mut sets: BTreeMap<String, Set> = BTreeMap::new();
    for path in paths.into_iter().filter(|path| path.is_file()) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        if let Some((prefix, is_train, is_images)) = part_of(&name) {
            let set = sets.entry(prefix).or_default();
            let files = if is_train {
                &mut set.train
            } else {
                &mut set.test
            };
            let place = if is_images {
                &mut files.images
            } else {
                &mut files.labels
            };
            place.get_or_insert(path);
        }
    }
    Ok(sets)
}

/// What comes before the name of the part, whether that is the training part, and whether the file holds images.
fn part_of(name: &str) -> Option<(String, bool, bool)> {
    let is_images = name.contains("images");
    if !name.contains("idx") || is_images == name.contains("labels") {
        return None;
    }
    let find = |part: &str| name.find(part);
    let (at, is_train) = match (find("train"), find("t10k").or_else(|| find("test"))) {
        (Some(at), None) => (at, true),
        (None, Some(at)) => (at, false),
        _ => return None,
    };
    let prefix = name.get(..at)?.trim_end_matches(['-', '_', '.']);
    Some((prefix.to_owned(), is_train, is_images))
}

fn choose(
    sets: BTreeMap<String, Set>,
    dir: &Path,
    beginning: Option<&str>,
) -> Result<(String, Set), DataError> {
    let wanted =
        |prefix: &str| beginning.is_none_or(|beginning| prefix == beginning.trim_end_matches('-'));
    let all: Vec<String> = sets.keys().cloned().collect();
    let mut chosen = sets.into_iter().filter(|(prefix, _)| wanted(prefix));
    let missing = |what: Vec<String>, hint: String| DataError::Missing {
        path: dir.to_owned(),
        what,
        hint,
    };
    let Some((prefix, set)) = chosen.next() else {
        let what = match beginning {
            Some(name) => format!("a set of IDX files named {name}-train-images-idx3-ubyte and so on"),
            None => "a set of IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte and so on, .gz or not)".to_owned(),
        };
        let hint = if all.is_empty() {
            "name the folder that holds them".to_owned()
        } else {
            format!("there are {}", all.join(", "))
        };
        return Err(missing(vec![what], hint));
    };
    if let Some((second, _)) = chosen.next() {
        let reason = format!(
            "holds several sets of IDX files; name one, as in idx:{0}/{prefix} or idx:{0}/{second}",
            dir.display()
        );
        return Err(DataError::format(dir, reason));
    }
    let parts = [
        ("train-images-idx3-ubyte", &set.train.images),
        ("train-labels-idx1-ubyte", &set.train.labels),
    ];
    let test = [
        ("t10k-images-idx3-ubyte", &set.test.images),
        ("t10k-labels-idx1-ubyte", &set.test.labels),
    ];
    let test_is_there = test.iter().any(|(_, path)| path.is_some());
    let needed = parts.iter().chain(test.iter().filter(|_| test_is_there));
    let between = if prefix.is_empty() { "" } else { "-" };
    let absent: Vec<String> = needed
        .filter(|(_, path)| path.is_none())
        .map(|(name, _)| format!("{prefix}{between}{name}"))
        .collect();
    if absent.is_empty() {
        Ok((prefix, set))
    } else {
        let them = if absent.len() == 1 { "it" } else { "them" };
        let hint = format!(
            "place {them} beside the others, packed as .gz or not; only both files of a test part may be absent"
        );
        Err(missing(absent, hint))
    }
}

fn with_array<T>(
    path: &Path,
    read: impl FnOnce(Array<'_>) -> Result<T, DataError>,
) -> Result<T, DataError> {
    let (file, len) = open(path)?;
    let mut source = Source::new(file, len, path, Hashing::Off)?;
    let magic = source.array::<4>()?;
    let [0, 0, kind, axes] = magic else {
        return Err(DataError::Magic {
            path: path.to_path_buf(),
            what: "any kind",
            found: u32::from_be_bytes(magic),
            expected: 0x0000_0800,
        });
    };
    let kind = match kind {
        0x08 => Kind::U8,
        0x09 => Kind::I8,
        0x0b => Kind::I16,
        0x0c => Kind::I32,
        0x0d => Kind::F32,
        0x0e => Kind::F64,
        other => {
            let reason = format!(
                "IDX elements of type 0x{other:02x}, known are 0x08, 0x09 and 0x0b to 0x0e"
            );
            return Err(DataError::format(path, reason));
        }
    };
    let axes = usize::from(axes);
    if !(1..=MOST_AXES).contains(&axes) {
        let reason = format!("an IDX array of {axes} axes, 1 to {MOST_AXES} are read");
        return Err(DataError::format(path, reason));
    }
    let mut shape = Vec::with_capacity(axes);
    for _ in 0..axes {
        shape.push(u64::from(u32::from_be_bytes(source.array()?)));
    }
    let (limit, reserve) = (source.limit(), source.reserve());
    read(Array::of_numbers(
        kind,
        shape,
        &mut source,
        (limit, reserve),
        path,
    )?)
}

/// The names of EMNIST's classes, from the file that maps labels to characters, where it is.
fn class_names(dir: &Path, prefix: &str) -> Result<HashMap<String, String>, DataError> {
    let path = dir.join(format!("{prefix}-mapping.txt"));
    let Ok((file, _)) = open(&path) else {
        return Ok(HashMap::new());
    };
    let mut text = String::new();
    file.take(MOST_MAPPING)
        .read_to_string(&mut text)
        .map_err(|error| DataError::io(&path, "read", error))?;
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let Some(Ok(label)) = numbers.next() else {
            continue;
        };
        let name: String = numbers
            .filter_map(|code| char::from_u32(code.ok()?))
            .collect();
        if !name.is_empty() {
            names.insert(label.to_string(), name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_are_understood() {
        for (name, expected) in [
            ("train-images-idx3-ubyte.gz", Some(("", true, true))),
            ("t10k-labels.idx1-ubyte", Some(("", false, false))),
            (
                "emnist-letters-test-labels-idx1-ubyte.gz",
                Some(("emnist-letters", false, false)),
            ),
            (
                "qmnist-train-labels-idx2-int",
                Some(("qmnist", true, false)),
            ),
            ("emnist-letters-mapping.txt", None),
            ("train-images.png", None),
        ] {
            let expected =
                expected.map(|(prefix, train, images)| (prefix.to_owned(), train, images));
            assert_eq!(part_of(name), expected, "{name}");
        }
    }
}
