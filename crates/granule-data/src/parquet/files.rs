//! Which files of a folder are of which part of a set.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use granule_io::words::first_of;

use super::MOST_NAMES;
use crate::DataError;
use crate::division::part_begun;

/// The parts of a set, in the order of [`Files::parts`].
const PARTS: [&str; 3] = ["train", "test", "val"];

/// Where files lie below a folder that has none, before other folders.
const DATA: &str = "data";

/// The files of a training, a test and a validation part, in the order of their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) parts: [Vec<PathBuf>; 3],
    pub(super) notes: Vec<String>,
}

impl Files {
    /// Of a file, or of a folder, of its folder `data` or of its only folder with such files.
    pub(super) fn of(path: &Path) -> Result<Self, DataError> {
        if !path.is_dir() {
            return Ok(Self {
                parts: [vec![path.to_path_buf()], Vec::new(), Vec::new()],
                notes: Vec::new(),
            });
        }
        let data = path.join(DATA);
        for dir in [path, &data] {
            if let Some(files) = Self::in_folder(dir)? {
                return Ok(files);
            }
        }
        let mut found = Vec::new();
        for dir in entries(path)?.into_iter().filter(|entry| entry.is_dir()) {
            found.extend(Self::in_folder(&dir)?.map(|files| (dir, files)));
        }
        match found.len() {
            1 => Ok(found.remove(0).1),
            0 => Err(DataError::Missing {
                path: path.to_path_buf(),
                what: vec!["a file train-*.parquet".to_owned()],
                hint: "name a .parquet file, or the folder that holds train-*.parquet and test-*.parquet".into(),
            }),
            _ => {
                let dirs = found.iter().map(|(dir, _)| format!("parquet:{}", dir.display()));
                let reason = format!(
                    "holds several data sets; name one of {}",
                    first_of(dirs, MOST_NAMES)
                );
                Err(DataError::format(path, reason))
            }
        }
    }

    /// Of a folder alone, and those of its folders that are called as a part is.
    fn in_folder(dir: &Path) -> Result<Option<Self>, DataError> {
        if !dir.is_dir() {
            return Ok(None);
        }
        let (mut files, mut others) = (Self::default(), Vec::new());
        let mut found: [Vec<Shard>; 3] = Default::default();
        for entry in entries(dir)? {
            let place = part(&entry).and_then(|place| found.get_mut(place));
            match place {
                Some(place) if entry.is_dir() => {
                    let split = entry.file_name().unwrap_or_default().to_string_lossy();
                    let within = entries(&entry)?.into_iter();
                    let within = within.filter(|file| is_parquet(file));
                    place.extend(within.map(|file| Shard {
                        split: format!("{split}/"),
                        ..Shard::of(file)
                    }));
                }
                Some(place) if is_parquet(&entry) => place.push(Shard::of(entry)),
                None if is_parquet(&entry) => others.push(entry),
                _ => {}
            }
        }
        for ((shards, files), name) in found.into_iter().zip(&mut files.parts).zip(PARTS) {
            *files = in_order(shards, dir, name)?;
        }
        let [train, test, validation] = &mut files.parts;
        if train.is_empty() && test.is_empty() && validation.is_empty() {
            // Files that say nothing of parts are all there is.
            *train = std::mem::take(&mut others);
        }
        if train.is_empty() && test.is_empty() && validation.is_empty() {
            return Ok(None);
        }
        if train.is_empty() {
            return Err(DataError::Missing {
                path: dir.to_path_buf(),
                what: vec!["a file train-*.parquet".to_owned()],
                hint: "place it beside the other parts, or name a file of them alone".into(),
            });
        }
        if test.is_empty() && !validation.is_empty() {
            *test = std::mem::take(validation);
            let note = format!(
                "{}: the validation part is taken for the test part, as there is no other",
                dir.display()
            );
            files.notes.push(note);
        }
        if !others.is_empty() {
            let names = others.iter().map(|path| path.display());
            files.notes.push(format!(
                "{}: not read: {}; files of a part begin with train, test or validation",
                dir.display(),
                first_of(names, MOST_NAMES)
            ));
        }
        if !validation.is_empty() {
            files.notes.push(format!(
                "{}: has a validation part, so that nothing is held out of the training part",
                dir.display()
            ));
        }
        Ok(Some(files))
    }
}

/// A file of a split, which may be one of several.
struct Shard {
    file: PathBuf,
    /// What the split is called: `train` of `train-00001-of-00004.parquet` and of `train-1.parquet`.
    split: String,
    /// Its place among the files of the split.
    index: Option<u64>,
    /// How many there are, where its name says it.
    of: Option<u64>,
}

impl Shard {
    fn of(file: PathBuf) -> Self {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let behind = |text: &str| {
            let (before, last) = text.rsplit_once('-')?;
            Some((before.to_owned(), last.parse::<u64>().ok()?))
        };
        // Behind how many there are a name may have a checksum.
        let of_many = || {
            let (before, after) = stem.split_once("-of-")?;
            let (split, index) = behind(before)?;
            let of = after.split('-').next()?.parse().ok()?;
            Some((split, Some(index), Some(of)))
        };
        let (split, index, of) = match of_many() {
            Some(found) => found,
            None => match behind(&stem) {
                Some((before, last)) => (before, Some(last), None),
                None => (stem.to_string(), number_of(&file), None),
            },
        };
        Self {
            split,
            index,
            of,
            file,
        }
    }
}

/// The number that a file is called by alone: `0003.parquet`.
fn number_of(file: &Path) -> Option<u64> {
    file.file_stem()?.to_str()?.parse().ok()
}

/// The files of a part in the order of their numbers.
///
/// # Errors
/// [`DataError::Format`] for files of several splits, and [`DataError::Missing`] for one of a number of files that is not there.
fn in_order(mut shards: Vec<Shard>, dir: &Path, part: &str) -> Result<Vec<PathBuf>, DataError> {
    let splits: BTreeSet<&str> = shards.iter().map(|shard| shard.split.as_str()).collect();
    if splits.len() > 1 {
        let reason = format!(
            "has files of several splits that begin as {part} does: {}; name a file, or move the others away",
            first_of(splits, MOST_NAMES)
        );
        return Err(DataError::format(dir, reason));
    }
    shards.sort_by(|a, b| a.index.cmp(&b.index).then_with(|| a.file.cmp(&b.file)));
    if let Some(of) = shards.iter().find_map(|shard| shard.of) {
        let is_there = |index: u64| {
            let mut all = shards.iter();
            all.any(|shard| shard.index == Some(index) && shard.of == Some(of))
        };
        // One that is absent is among the first that there are places for.
        let absent = (0..of.min(shards.len() as u64 + 1)).find(|index| !is_there(*index));
        if let Some(absent) = absent {
            let split = &shards[0].split;
            return Err(DataError::Missing {
                path: dir.to_path_buf(),
                what: vec![format!(
                    "the file {absent} of {of} of {split}, counted from 0"
                )],
                hint: "take the whole data set, or name a file of it alone".into(),
            });
        }
        if shards.len() as u64 != of {
            let reason = format!(
                "has {} files of {part}, of which their names promise {of}",
                shards.len()
            );
            return Err(DataError::format(dir, reason));
        }
    }
    Ok(shards.into_iter().map(|shard| shard.file).collect())
}

/// The place of the part that a file or folder is called by.
fn part(path: &Path) -> Option<usize> {
    let name = path.file_name()?.to_str()?;
    let part = part_begun(name)?;
    PARTS.iter().position(|known| *known == part)
}

fn is_parquet(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension.eq_ignore_ascii_case("parquet") && path.is_file()
}

/// What is in a folder, in the order of names.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error| DataError::io(dir, "list", error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Result<Vec<Vec<String>>, String> {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, b"").unwrap();
        }
        let files = Files::of(dir.path()).map_err(|error| error.to_string())?;
        let name = |file: &PathBuf| {
            let own = file.strip_prefix(dir.path()).unwrap();
            own.display().to_string()
        };
        Ok(files
            .parts
            .map(|part| part.iter().map(name).collect())
            .to_vec())
    }

    #[test]
    fn files_of_a_split_stand_in_the_order_of_their_numbers() {
        let all = found(&[
            "data/train-00001-of-00002-0a1b.parquet",
            "data/train-00000-of-00002-ffff.parquet",
            "data/test-00000-of-00001.parquet",
        ]);
        let [train, test, validation] = &all.unwrap()[..] else {
            panic!("three parts")
        };
        assert!(train[0].contains("train-00000") && train[1].contains("train-00001"));
        assert_eq!((train.len(), test.len(), validation.len()), (2, 1, 0));
        let all = found(&["train-10.parquet", "train-2.parquet"]).unwrap();
        assert_eq!(all[0], ["train-2.parquet", "train-10.parquet"]);
        let all = found(&["train/0010.parquet", "train/0002.parquet"]).unwrap();
        assert_eq!(all[0], ["train/0002.parquet", "train/0010.parquet"]);
    }

    #[test]
    fn files_of_several_splits_and_sets_that_are_not_whole_are_refused() {
        for (names, words) in [
            (
                ["train.parquet", "train_small.parquet"],
                "train, train_small",
            ),
            (["train-0.parquet", "train/0.parquet"], "several splits"),
            (
                [
                    "train-00000-of-00003.parquet",
                    "train-00002-of-00003.parquet",
                ],
                "the file 1 of 3 of train",
            ),
            (
                [
                    "train-00000-of-00001.parquet",
                    "train-00000-of-00002.parquet",
                ],
                "train",
            ),
        ] {
            let error = found(&names).unwrap_err();
            assert!(error.contains(words), "{names:?}: {error}");
        }
    }
}
