//! Which files belong to which class.

use std::fs;
use std::path::{Path, PathBuf};

use granule_io::image::{KINDS, is_left_behind, is_named_as_image};
use granule_io::words::counted;

use crate::DataError;

/// An image file and its class.
pub(super) struct Sample {
    pub path: PathBuf,
    pub class: u16,
}

/// The files of a folder, sorted.
pub(super) struct Listing {
    pub classes: Vec<String>,
    pub train: Vec<Sample>,
    /// None where the test part is taken from the training part.
    pub test: Option<Vec<Sample>>,
    pub warnings: Vec<String>,
}

impl Listing {
    pub fn of(dir: &Path) -> Result<Self, DataError> {
        let (train_dir, test_dir) = (dir.join("train"), dir.join("test"));
        let mut warnings = Vec::new();
        let divided = train_dir.is_dir() && test_dir.is_dir();
        let root = if divided { &train_dir } else { dir };
        let part = Part::read(root)?;
        if part.folders.len() < 2 {
            return Err(part.too_few(dir, divided));
        }
        let classes: Vec<String> = part.folders.iter().map(|folder| name(folder)).collect();
        let train = part
            .samples(&classes, &mut warnings)
            .map_err(|error| match error {
                DataError::Empty { path, what } if !divided && is_dir_of_parts(dir) => {
                    DataError::Empty {
                        path,
                        what: format!("{what}; {}", parts(dir)),
                    }
                }
                error => error,
            })?;
        let test = if divided {
            Some(Part::read(&test_dir)?.test_samples(&classes, &train_dir, &mut warnings)?)
        } else {
            None
        };
        Ok(Self {
            classes,
            train,
            test,
            warnings,
        })
    }
}

/// Where the parts of a set are looked for.
fn parts(dir: &Path) -> String {
    format!(
        "the parts of a divided set are read from {} and {}, both of them",
        dir.join("train").display(),
        dir.join("test").display()
    )
}

/// Whether sub-folders seem to be parts of a set, not classes.
fn is_dir_of_parts(dir: &Path) -> bool {
    let parts = ["train", "test", "val", "valid", "validation"];
    parts.iter().any(|part| dir.join(part).is_dir())
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
        }
        DataError::Empty {
            path: self.dir.to_path_buf(),
            what,
        }
    }

    /// The samples of a test part, whose classes are those of the training part.
    fn test_samples(
        &self,
        classes: &[String],
        train_dir: &Path,
        warnings: &mut Vec<String>,
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
        self.samples(classes, warnings)
    }

    fn samples(
        &self,
        classes: &[String],
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Sample>, DataError> {
        let mut samples = Vec::new();
        let mut ignored = self.loose;
        for folder in &self.folders {
            let name = name(folder);
            let class = classes
                .iter()
                .position(|class| *class == name)
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
            let before = samples.len();
            for path in entries(folder)? {
                if is_image(&path) {
                    samples.push(Sample { path, class });
                } else {
                    ignored += 1;
                }
            }
            if samples.len() == before {
                return Err(DataError::Empty {
                    path: folder.clone(),
                    what: format!("holds no images ({KINDS} are read)"),
                });
            }
        }
        if samples.is_empty() {
            return Err(DataError::Empty {
                path: self.dir.to_path_buf(),
                what: "holds no images".into(),
            });
        }
        if ignored > 0 {
            warnings.push(format!(
                "{}: {}, no {KINDS} files in the folder of a class, left out",
                self.dir.display(),
                counted(ignored, "entry")
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

pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn is_image(path: &Path) -> bool {
    is_named_as_image(path) && path.is_file()
}
