//! Which files belong to which class.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use granule_io::image::{KINDS, is_left_behind, is_named_as_image};
use granule_io::words::{counted, first_of, printable};

use super::sample::{Encoded, Sample};
use crate::DataError;
use crate::division::{VALIDATION, full, part_begun, part_named};
use crate::text;

/// The images of a set, in their order.
pub(crate) struct Listing {
    pub classes: Vec<String>,
    pub train: Vec<Sample>,
    /// None where the test part is taken from the training part.
    pub test: Option<Vec<Sample>>,
    /// None where the files have none.
    pub validation: Option<Vec<Sample>>,
    /// Whether the training part is to be mixed, as those of a class stand together.
    pub by_class: bool,
    pub notes: Vec<String>,
    pub warnings: Vec<String>,
}

/// Folders within the folder of a class lie at most so deep: deeper ones are a link that leads back.
const DEEPEST: usize = 16;

/// Folders that a note lists.
const MOST_NAMES: usize = 8;

impl Listing {
    /// Of a set that a trained model is `scored` on, one class is enough.
    pub fn of(dir: &Path, scored: bool) -> Result<Self, DataError> {
        let (train_dir, test_dir) = (dir.join("train"), dir.join("test"));
        let (mut notes, mut warnings) = (Vec::new(), Vec::new());
        let validation_dir = validation_dir(dir)?;
        let has_test = test_dir.is_dir();
        let divided = train_dir.is_dir() && (has_test || validation_dir.is_some());
        let root = if divided { &train_dir } else { dir };
        let part = Part::read(root)?;
        if part.folders.len() < if scored { 1 } else { 2 } {
            return Err(part.too_few(dir, divided));
        }
        let classes = part.classes()?;
        let mut reading = Reading {
            classes: &classes,
            divided,
            notes: &mut notes,
            warnings: &mut warnings,
        };
        let train = part.samples(&mut reading).map_err(|error| match error {
            DataError::Empty { path, what } if !divided && is_dir_of_parts(dir) => {
                DataError::Empty {
                    path,
                    what: format!("{what}; {}", parts(dir)),
                }
            }
            error => error,
        })?;
        let mut other = |dir: &Path| {
            let part = Part::read(dir)?;
            part.samples_beside(&train_dir, &mut reading)
        };
        let validation_dir = validation_dir.filter(|_| divided);
        let of_validation = validation_dir.clone();
        let (test, validation) = match validation_dir {
            _ if !divided => (None, None),
            None => (Some(other(&test_dir)?), None),
            Some(dir) if has_test => (Some(other(&test_dir)?), Some((other(&dir)?, dir))),
            Some(dir) => {
                let test = other(&dir)?;
                notes.push(format!(
                    "{}: taken for the test part, as there is no {}",
                    dir.display(),
                    test_dir.display()
                ));
                (Some(test), None)
            }
        };
        if divided {
            let read = [
                Some(&train_dir),
                has_test.then_some(&test_dir),
                of_validation.as_ref(),
            ];
            let read: Vec<&PathBuf> = read.into_iter().flatten().collect();
            let (unread, like_parts) = unread(dir, &read)?;
            notes.extend(unread);
            warnings.extend(like_parts);
        }
        let validation = validation.map(|(samples, dir)| {
            notes.push(format!(
                "{}: the {} in it are the validation part, so that nothing is held out of {}",
                dir.display(),
                counted(samples.len(), "image"),
                train_dir.display()
            ));
            samples
        });
        Ok(Self {
            classes: classes.iter().map(|class| text::escaped(class)).collect(),
            train,
            test,
            validation,
            by_class: true,
            notes,
            warnings,
        })
    }
}

/// The folder of the validation part, if there is one.
fn validation_dir(dir: &Path) -> Result<Option<PathBuf>, DataError> {
    let mut found = VALIDATION
        .iter()
        .map(|name| dir.join(name))
        .filter(|path| path.is_dir());
    match (found.next(), found.next()) {
        (Some(first), Some(second)) if dir.join("train").is_dir() => {
            let reason = format!(
                "{} stands beside it; only one of them can be the validation part",
                second.display()
            );
            Err(DataError::format(&first, reason))
        }
        (first, _) => Ok(first),
    }
}

/// Where the parts of a set are looked for.
fn parts(dir: &Path) -> String {
    format!(
        "the parts of a divided set, in small letters, are read from {} and {}, both of them, and {} beside them where \
         it is there",
        dir.join("train").display(),
        dir.join("test").display(),
        dir.join("val").display()
    )
}

/// Whether a folder is called as a part of a set is, here or elsewhere, in whatever case.
fn is_name_of_part(name: &OsStr) -> bool {
    name.to_str().and_then(part_named).is_some()
}

/// What there is to say of the folders beside the parts of a divided set, which nobody reads: a note, and warnings of those
/// that are called as a part is elsewhere.
fn unread(dir: &Path, read: &[&PathBuf]) -> Result<(Option<String>, Vec<String>), DataError> {
    let (mut others, mut like_parts) = (Vec::new(), Vec::new());
    // Where capitals make no difference, a part may be listed with others.
    let real = |path: &Path| fs::canonicalize(path).ok();
    let all_read: Vec<Option<PathBuf>> = read.iter().map(|path| real(path)).collect();
    for path in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        if all_read.contains(&real(&path)) {
            continue;
        }
        let Some(part) = part_begun(&name(&path)) else {
            others.push(printable(&name(&path)));
            continue;
        };
        let of_part = read
            .iter()
            .find(|read| part_named(&name(read)) == Some(part));
        let advice = match of_part {
            Some(own) => format!("as the {} part is {}", full(part), own.display()),
            None => format!("if it is the {} part, rename it to {part}", full(part)),
        };
        like_parts.push(format!("{}: not read; {advice}", path.display()));
    }
    let note = (!others.is_empty()).then(|| {
        format!(
            "{}: not read: {}; the parts of a set are called train, test and val",
            dir.display(),
            first_of(&others, MOST_NAMES)
        )
    });
    Ok((note, like_parts))
}

/// Whether sub-folders seem to be parts of a set, not classes.
fn is_dir_of_parts(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut dirs = entries.filter(|entry| entry.path().is_dir());
    dirs.any(|entry| is_name_of_part(&entry.file_name()))
}

/// What is known, and what was seen, while the parts are listed.
struct Reading<'a> {
    /// The names of the folders of the training part, whatever their bytes.
    classes: &'a [OsString],
    divided: bool,
    notes: &'a mut Vec<String>,
    warnings: &'a mut Vec<String>,
}

/// What the folder of a class holds, and those in it.
#[derive(Default)]
struct Found {
    images: Vec<PathBuf>,
    /// Of the images, those in folders of the folder.
    deeper: usize,
    /// Files that are no images, and the first of them.
    ignored: usize,
    first: Option<PathBuf>,
}

impl Found {
    fn read(&mut self, dir: &Path, depth: usize) -> Result<(), DataError> {
        if depth > DEEPEST {
            let reason = format!(
                "more than {DEEPEST} folders lie within each other here; does a link lead back?"
            );
            return Err(DataError::format(dir, reason));
        }
        for path in entries(dir)? {
            if is_image(&path) {
                self.images.push(path);
                self.deeper += usize::from(depth > 0);
            } else if path.is_dir() {
                self.read(&path, depth + 1)?;
            } else {
                self.ignored += 1;
                self.first.get_or_insert(path);
            }
        }
        Ok(())
    }
}

/// One folder whose sub-folders are classes.
struct Part<'a> {
    dir: &'a Path,
    folders: Vec<PathBuf>,
    /// Images that lie beside the sub-folders.
    loose: usize,
}

impl<'a> Part<'a> {
    fn read(dir: &'a Path) -> Result<Self, DataError> {
        let entries = entries(dir)?;
        let loose = entries.iter().filter(|path| is_image(path)).count();
        let folders = entries.into_iter().filter(|path| path.is_dir()).collect();
        Ok(Self {
            dir,
            folders,
            loose,
        })
    }

    /// The names of the sub-folders. Two that would look alike are refused: nobody could tell their classes apart.
    fn classes(&self) -> Result<Vec<OsString>, DataError> {
        let name = |folder: &PathBuf| folder.file_name().unwrap_or_default().to_owned();
        let names: Vec<OsString> = self.folders.iter().map(name).collect();
        let mut shown: HashMap<String, &OsString> = HashMap::new();
        for name in &names {
            if let Some(other) = shown.insert(printable(&text::escaped(name)), name) {
                let reason = format!(
                    "the names of its sub-folders {other:?} and {name:?} look alike once they are shown; rename one"
                );
                return Err(DataError::format(self.dir, reason));
            }
        }
        Ok(names)
    }

    fn too_few(&self, dir: &Path, divided: bool) -> DataError {
        let mut what = format!(
            "holds {} of images, at least 2 classes are needed",
            counted(self.folders.len(), "sub-folder")
        );
        match (self.loose, self.folders.len()) {
            (0, _) => {}
            (loose, 0) => what.push_str(&format!(
                "; nothing says which class the {} in it {} of; `granule predict RUN {} --csv` answers them",
                counted(loose, "image"),
                if loose == 1 { "is" } else { "are" },
                self.dir.display()
            )),
            (1, _) => what.push_str("; the image beside them belongs to no class"),
            (loose, _) => {
                what.push_str(&format!("; the {loose} images beside them belong to no class"));
            }
        }
        if !divided && is_dir_of_parts(dir) {
            what.push_str(&format!("; {}", parts(dir)));
        } else if let [only] = self.folders.as_slice()
            && let Ok(inside) = Part::read(only)
            && inside.loose == 0
            && inside.folders.len() > 1
        {
            what.push_str(&format!("; did you mean folder:{}?", only.display()));
        }
        DataError::Empty {
            path: self.dir.to_path_buf(),
            what,
        }
    }

    /// The samples of a part beside the training part, whose classes are those of that part.
    fn samples_beside(
        &self,
        train_dir: &Path,
        reading: &mut Reading<'_>,
    ) -> Result<Vec<Sample>, DataError> {
        if self.folders.is_empty() && self.loose > 0 {
            return Err(DataError::Format {
                path: self.dir.to_path_buf(),
                reason: format!(
                    "holds {} and no sub-folders, so nothing says which class they are of, as competitions hand \
                     out what is to be answered; train on folder:{}, a fifth of which becomes the test part, and answer \
                     them with `granule predict RUN {} --csv`",
                    counted(self.loose, "image"),
                    train_dir.display(),
                    self.dir.display()
                ),
            });
        }
        self.samples(reading)
    }

    fn samples(&self, reading: &mut Reading<'_>) -> Result<Vec<Sample>, DataError> {
        let classes = reading.classes;
        let mut samples = Vec::new();
        let (mut ignored, mut first) = (self.loose, None);
        let mut deeper = 0;
        for folder in &self.folders {
            let name = folder.file_name().unwrap_or_default();
            let class = classes
                .iter()
                .position(|class| class == name)
                .ok_or_else(|| {
                    DataError::format(
                        folder,
                        format!("the class {name:?} does not occur in the training part"),
                    )
                })?;
            let class = u16::try_from(class).map_err(|_| {
                DataError::format(
                    self.dir,
                    format!("{} classes, at most 65535 are read", classes.len()),
                )
            })?;
            let mut found = Found::default();
            found.read(folder, 0)?;
            let of_part = !reading.divided && is_name_of_part(name);
            if found.images.is_empty() || (of_part && found.deeper == found.images.len()) {
                let what = match found.images.len() {
                    0 => format!("holds no images ({KINDS} are read)"),
                    _ => "holds folders of images and no images of its own".to_owned(),
                };
                let path = folder.clone();
                return Err(DataError::Empty { path, what });
            }
            ignored += found.ignored;
            first = first.or(found.first);
            deeper += found.deeper;
            let of_class = found.images.into_iter();
            samples.extend(of_class.map(|path| Sample {
                class,
                image: Encoded::File(path),
            }));
        }
        if samples.is_empty() {
            return Err(DataError::Empty {
                path: self.dir.to_path_buf(),
                what: "holds no images".into(),
            });
        }
        if deeper > 0 {
            reading.notes.push(format!(
                "{}: {} in folders within the folder of a class, taken for that class",
                self.dir.display(),
                counted(deeper, "image")
            ));
        }
        if ignored > 0 {
            reading.warnings.push(format!(
                "{}: {}, no {KINDS} files in the folder of a class, left out{}",
                self.dir.display(),
                counted(ignored, "entry"),
                first.map_or_else(String::new, |path: PathBuf| format!(
                    ", such as {}",
                    path.display()
                ))
            ));
        }
        Ok(samples)
    }
}

/// Entries sorted by name, without those that somebody's computer left behind.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = |error| DataError::io(dir, "list", error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if !is_left_behind(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn is_image(path: &Path) -> bool {
    is_named_as_image(path) && path.is_file()
}
