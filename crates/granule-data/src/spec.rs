use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use granule_io::path::expand;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::DataError;

/// Which data set to load. Parses from, prints as and serialises as one string.
///
/// | string | data set |
/// | --- | --- |
/// | `synthetic-digits` | 28×28 digits drawn by code; needs no file |
/// | `mnist`, `fashion-mnist` | IDX files in `DIR/mnist/`, `DIR/fashion-mnist/` |
/// | `cifar-10`, `cifar-100` | the binary version, else that for Python, in `DIR/cifar-10/`, `DIR/cifar-100/` |
/// | `folder:DIR` | one sub-folder of PNG or JPEG images per class |
/// | `idx:DIR`, `idx:DIR/BEGINNING` | the IDX files of a folder, or those whose names begin so: EMNIST, QMNIST, KMNIST |
/// | `arrays:FILE.npz`, `arrays:X.npy,Y.npy` | NumPy arrays |
/// | `recording:DIR`, `recording:FILE` | a signal over time and what is decoded from it, arrays of a folder or of an `.npz`, MATLAB, HDF5, NWB, NIfTI or CSV file |
/// | `in-memory:NAME` | made in a program; can be recorded, not loaded |
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum DatasetSpec {
    /// Digits drawn by code, seeded.
    #[default]
    SyntheticDigits,
    /// Handwritten digits, 28×28 grey, 60 000 + 10 000.
    Mnist,
    /// Clothing, 28×28 grey, 60 000 + 10 000.
    FashionMnist,
    /// 32×32 colour photographs of 10 classes, 50 000 + 10 000.
    Cifar10,
    /// 32×32 colour photographs of 100 (fine) classes, 50 000 + 10 000.
    Cifar100,
    /// A folder with one sub-folder of images per class, optionally under `train/` and `test/`.
    Folder(PathBuf),
    /// A folder of IDX files, or what the names of the files in it begin with.
    Idx(PathBuf),
    /// NumPy arrays.
    Arrays {
        /// An `.npz` file, or the `.npy` file of inputs.
        x: PathBuf,
        /// The `.npy` file of targets; `None` for an `.npz` file.
        y: Option<PathBuf>,
    },
    /// A folder of `.npy`, NIfTI and CSV files, or an `.npz`, MATLAB, HDF5, NWB, NIfTI or CSV file with a signal over time and what is decoded from it.
    Recording(PathBuf),
    /// Data that a program made, by the name it gave them; no file holds them.
    InMemory(String),
}

impl DatasetSpec {
    /// The sets that go by a name.
    const NAMED: [(&'static str, Self); 5] = [
        ("synthetic-digits", Self::SyntheticDigits),
        ("mnist", Self::Mnist),
        ("fashion-mnist", Self::FashionMnist),
        ("cifar-10", Self::Cifar10),
        ("cifar-100", Self::Cifar100),
    ];

    /// The names that stand for a data set without a path.
    pub const NAMES: [&'static str; Self::NAMED.len()] = {
        let mut names = [""; Self::NAMED.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::NAMED[at].0;
            at += 1;
        }
        names
    };

    /// How a data set of one's own is written.
    pub const FORMS: [&'static str; 5] = [
        "folder:DIR",
        "idx:DIR",
        "arrays:FILE.npz",
        "arrays:X.npy,Y.npy",
        "recording:PATH",
    ];
}

impl DatasetSpec {
    /// Whether it is a set that goes by a name.
    pub fn is_published(&self) -> bool {
        Self::NAMED.iter().any(|(_, named)| named == self)
    }

    /// The same set with relative paths as those from a folder.
    pub fn from_folder(self, folder: &Path) -> Self {
        let there = |path: PathBuf| folder.join(expand(&path));
        match self {
            Self::Folder(dir) => Self::Folder(there(dir)),
            Self::Idx(path) => Self::Idx(there(path)),
            Self::Recording(path) => Self::Recording(there(path)),
            Self::Arrays { x, y } => Self::Arrays {
                x: there(x),
                y: y.map(there),
            },
            other => other,
        }
    }
}

/// How a folder or file that is there would be named.
fn form_of(text: &str) -> Option<String> {
    let path = expand(Path::new(text));
    if path.is_dir() {
        let is_idx =
            |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().contains("-idx");
        let mut entries = std::fs::read_dir(&path).ok()?.filter_map(Result::ok);
        return Some(if entries.any(is_idx) {
            format!("did you mean idx:{text}?")
        } else {
            format!("did you mean folder:{text}?")
        });
    }
    let ends = |end: &str| text.to_lowercase().ends_with(end);
    if ends(".npz") || text.contains(',') && ends(".npy") {
        return Some(format!("did you mean arrays:{text}?"));
    }
    if !path.is_file() {
        let is_path = text.contains(std::path::MAIN_SEPARATOR) || ends(".csv") || ends(".tsv");
        return is_path.then(|| "there is no such folder or file".to_owned());
    }
    Some(if ends(".npy") {
        format!("did you mean arrays:{text},Y.npy?")
    } else if ends(".csv") || ends(".tsv") {
        of_table(&path)
    } else {
        format!(
            "{text} is a file of another kind; arrays are read from .npz and .npy files, as numpy.savez writes them"
        )
    })
}

/// How a table becomes arrays: by two lines of Python, for one whose last column is what is to be learnt.
fn of_table(path: &Path) -> String {
    let mut begin = Vec::new();
    if let Ok((file, _)) = crate::reading::open(path) {
        // A beginning that cannot be read looks as any other does.
        let _ = file.take(1 << 16).read_to_end(&mut begin);
    }
    let begin = String::from_utf8_lossy(&begin);
    let mut lines = begin.lines().filter(|line| !line.trim().is_empty());
    let between = match begin.lines().next() {
        Some(line) if line.contains('\t') => '\t',
        Some(line) if line.contains(';') && !line.contains(',') => ';',
        _ => ',',
    };
    let is_number = |field: &str| field.trim().trim_matches('"').parse::<f64>().is_ok();
    let has_names = lines
        .next()
        .is_some_and(|line| !line.split(between).any(is_number));
    let last = if has_names {
        lines.next()
    } else {
        begin.lines().next()
    };
    let is_real = last
        .and_then(|line| line.rsplit(between).next())
        .is_some_and(is_number);
    let (from, kind) = (
        if has_names { "[1:]" } else { "" },
        if is_real { ", float" } else { "" },
    );
    let delimiter = match between {
        ',' => String::new(),
        '\t' => ", delimiter='\\t'".to_owned(),
        other => format!(", delimiter='{other}'"),
    };
    let (table, archive) = (path.display(), path.with_extension("npz"));
    let archive = archive.display();
    format!(
        "{table} is a table, and arrays are read; if its last column is what is to be learnt, \
         `python3 -c \"import csv, numpy; r = list(csv.reader(open('{table}'){delimiter})){from}; numpy.savez('{archive}', \
         x=numpy.array([q[:-1] for q in r], float), y=numpy.array([q[-1] for q in r]{kind}))\"` makes arrays:{archive} of it."
    )
}

/// The name that `text` most likely meant.
fn nearest(text: &str) -> Option<&'static str> {
    let text = text.trim().to_lowercase().replace('_', "-");
    let begins = |name: &&str| text.len() > 2 && name.starts_with(&text);
    DatasetSpec::NAMES
        .into_iter()
        .map(|name| (strsim::osa_distance(&text, name), name))
        .filter(|(edits, name)| *edits <= 1 + name.len() / 5 || begins(name))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

impl FromStr for DatasetSpec {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let invalid = |allowed: String| DataError::invalid("dataset", format!("{text:?}"), allowed);
        if let Some(dir) = text.strip_prefix("folder:") {
            if dir.is_empty() {
                return Err(invalid("write folder:DIR".into()));
            }
            return Ok(Self::Folder(dir.into()));
        }
        if let Some(path) = text.strip_prefix("idx:") {
            if path.is_empty() {
                return Err(invalid("write idx:DIR".into()));
            }
            return Ok(Self::Idx(path.into()));
        }
        if let Some(path) = text.strip_prefix("recording:") {
            if path.is_empty() {
                return Err(invalid("write recording:DIR or recording:FILE".into()));
            }
            return Ok(Self::Recording(path.into()));
        }
        if let Some(files) = text.strip_prefix("arrays:") {
            return match files.split_once(',') {
                _ if files.ends_with(".npz") => Ok(Self::Arrays {
                    x: files.into(),
                    y: None,
                }),
                Some((x, y)) if x.ends_with(".npy") && y.ends_with(".npy") => Ok(Self::Arrays {
                    x: x.into(),
                    y: Some(y.into()),
                }),
                _ => {
                    let is_table = [".csv", ".tsv"]
                        .iter()
                        .any(|end| files.to_lowercase().ends_with(end));
                    let path = expand(Path::new(files));
                    let table = is_table && path.is_file();
                    let meant = if table {
                        format!("; {}", of_table(&path))
                    } else {
                        String::new()
                    };
                    Err(invalid(format!(
                        "write arrays:FILE.npz or arrays:X.npy,Y.npy{meant}"
                    )))
                }
            };
        }
        if let Some(name) = text.strip_prefix("in-memory:") {
            return Ok(Self::InMemory(name.into()));
        }
        let name = match text {
            "cifar10" => "cifar-10",
            "cifar100" => "cifar-100",
            name => name,
        };
        let mut named = Self::NAMED.into_iter();
        if let Some((_, spec)) = named.find(|(known, _)| *known == name) {
            return Ok(spec);
        }
        let near = || nearest(text).map(|name| format!("did you mean {name}?"));
        let meant = form_of(text).or_else(near).map(|meant| {
            let between = if meant.ends_with(['?', '.']) { "" } else { ";" };
            format!("{meant}{between} ")
        });
        Err(invalid(format!(
            "{}known are {}, folder:DIR, idx:DIR, arrays:FILE.npz, arrays:X.npy,Y.npy and recording:PATH",
            meant.unwrap_or_default(),
            Self::NAMES.join(", ")
        )))
    }
}

impl fmt::Display for DatasetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InMemory(name) => write!(f, "in-memory:{name}"),
            Self::Folder(dir) => write!(f, "folder:{}", dir.display()),
            Self::Idx(path) => write!(f, "idx:{}", path.display()),
            Self::Recording(path) => write!(f, "recording:{}", path.display()),
            Self::Arrays { x, y: None } => write!(f, "arrays:{}", x.display()),
            Self::Arrays { x, y: Some(y) } => write!(f, "arrays:{},{}", x.display(), y.display()),
            named => {
                let mut all = Self::NAMED.iter();
                let (name, _) = all.find(|(_, known)| known == named).ok_or(fmt::Error)?;
                f.write_str(name)
            }
        }
    }
}

impl Serialize for DatasetSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatasetSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for DatasetSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DatasetSpec".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "anyOf": [{"enum": Self::NAMES}, {"pattern": "^(folder|idx|arrays|recording):."}],
            "words": Self::NAMES.iter().copied().chain(Self::FORMS).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses() {
        for text in DatasetSpec::NAMES.iter().copied().chain([
            "folder:some/dir",
            "idx:some/dir/emnist-letters",
            "arrays:a.npz",
            "arrays:x,1.npz",
            "arrays:x.npy,y.npy",
            "recording:some/dir",
            "recording:a.npz",
            "in-memory:my points",
        ]) {
            assert_eq!(text.parse::<DatasetSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_misspelt_name_is_recognised() {
        for (text, meant) in [
            ("mnits", "mnist"),
            ("fashionmnist", "fashion-mnist"),
            ("cifar", "cifar-10"),
            ("Cifar_100", "cifar-100"),
            ("synthetic", "synthetic-digits"),
        ] {
            let message = text.parse::<DatasetSpec>().unwrap_err().to_string();
            assert!(
                message.contains(&format!("did you mean {meant}?")),
                "{message}"
            );
        }
        let message = "imagenet".parse::<DatasetSpec>().unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
    }

    #[test]
    fn a_folder_or_file_without_its_form_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("{}/{name}", dir.path().display());
        for name in [
            "images/cat/a.png",
            "idx/train-images-idx3-ubyte",
            "a.npz",
            "x.npy",
            "t.csv",
        ] {
            std::fs::create_dir_all(Path::new(&at(name)).parent().unwrap()).unwrap();
            std::fs::write(at(name), "").unwrap();
        }
        let both = format!("{},{}", at("x.npy"), at("y.npy"));
        for (text, meant) in [
            (
                at("images"),
                format!("did you mean folder:{}?", at("images")),
            ),
            (at("idx"), format!("did you mean idx:{}?", at("idx"))),
            (at("a.npz"), format!("did you mean arrays:{}?", at("a.npz"))),
            (
                at("x.npy"),
                format!("did you mean arrays:{},Y.npy?", at("x.npy")),
            ),
            (both.clone(), format!("did you mean arrays:{both}?")),
            (at("t.csv"), "numpy.savez".to_owned()),
            (format!("arrays:{}", at("t.csv")), "numpy.savez".to_owned()),
            (at("nowhere"), "no such folder".to_owned()),
        ] {
            let message = text.parse::<DatasetSpec>().unwrap_err().to_string();
            assert!(message.contains(&meant), "{message}");
        }
    }

    #[test]
    fn a_table_is_answered_with_what_makes_arrays_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        for (text, parts) in [
            ("a,b,y\n1,2,3.5\n", ["')))[1:]", "for q in r], float))"]),
            (
                "1,2,cat\n3,4,dog\n",
                ["')));", "y=numpy.array([q[-1] for q in r]))"],
            ),
            (
                "a;y\n1;dog\n",
                ["delimiter=';'))[1:]", "y=numpy.array([q[-1] for q in r]))"],
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let name = path.display().to_string();
            let message = name.parse::<DatasetSpec>().unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{part}: {message}");
            }
            let archive = format!("arrays:{}/t.npz", dir.path().display());
            assert!(message.contains(&archive), "{message}");
        }
    }

    #[test]
    fn unknown_names_list_the_known() {
        for text in [
            "",
            "mnits",
            "folder:",
            "idx:",
            "recording:",
            "arrays:",
            "arrays:x.npy",
            "arrays:x.npy,y.csv",
        ] {
            let message = text.parse::<DatasetSpec>().unwrap_err().to_string();
            assert!(
                message.contains("known are") || message.contains("write "),
                "{message}"
            );
        }
    }
}
