//! Which files of a folder are of which part of a set.

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
        for entry in entries(dir)? {
            let place = part(&entry).and_then(|place| files.parts.get_mut(place));
            match place {
                Some(place) if entry.is_dir() => {
                    let within = entries(&entry)?.into_iter();
                    place.extend(within.filter(|file| is_parquet(file)));
                }
                Some(place) if is_parquet(&entry) => place.push(entry),
                None if is_parquet(&entry) => others.push(entry),
                _ => {}
            }
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
