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
/// | `parquet:FILE`, `parquet:DIR` | encoded images and labels, as Hugging Face publishes them |
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
    /// A Parquet file with columns of images and labels, or a folder of such.
    Parquet(PathBuf),
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
}

/// A data set of one's own, by how it is written.
struct Form {
    /// What stands before the colon.
    prefix: &'static str,
    written: &'static [&'static str],
    /// What it is, in a few words.
    what: &'static str,
    /// What the text behind the colon names; `None` where that is nothing.
    of: fn(&str) -> Option<DatasetSpec>,
}

static FORMS: [Form; 5] = [
    Form {
        prefix: "folder",
        written: &["folder:DIR"],
        what: "a sub-folder of images per class",
        of: |dir| path(dir).map(DatasetSpec::Folder),
    },
    Form {
        prefix: "parquet",
        written: &["parquet:PATH"],
        what: "images of Hugging Face",
        of: |place| path(place).map(DatasetSpec::Parquet),
    },
    Form {
        prefix: "idx",
        written: &["idx:DIR"],
        what: "IDX files",
        of: |dir| path(dir).map(DatasetSpec::Idx),
    },
    Form {
        prefix: "arrays",
        written: &["arrays:FILE.npz", "arrays:X.npy,Y.npy"],
        what: "NumPy arrays",
        of: arrays,
    },
    Form {
        prefix: "recording",
        written: &["recording:PATH"],
        what: "a signal over time",
        of: |place| path(place).map(DatasetSpec::Recording),
    },
];

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}

fn arrays(files: &str) -> Option<DatasetSpec> {
    let (x, y) = match files.split_once(',') {
        _ if files.ends_with(".npz") => (files, None),
        Some((x, y)) if x.ends_with(".npy") && y.ends_with(".npy") => (x, Some(y)),
        _ => return None,
    };
    Some(DatasetSpec::Arrays {
        x: x.into(),
        y: y.map(PathBuf::from),
    })
}

impl DatasetSpec {
    /// How data sets of one's own are written.
    pub fn forms() -> impl Iterator<Item = &'static str> {
        FORMS.iter().flat_map(|form| form.written).copied()
    }

    /// As [`forms`](Self::forms), with what they are: `idx:DIR (IDX files)`.
    pub fn described_forms() -> impl Iterator<Item = String> {
        let described = |form: &Form| format!("{} ({})", form.written.join(", "), form.what);
        FORMS.iter().map(described)
    }

    /// What stands before the colon and the files or folder behind it, of a set that is on this machine.
    fn placed(&self) -> Option<(&'static str, [Option<&PathBuf>; 2])> {
        Some(match self {
            Self::Folder(dir) => ("folder", [Some(dir), None]),
            Self::Parquet(path) => ("parquet", [Some(path), None]),
            Self::Idx(path) => ("idx", [Some(path), None]),
            Self::Arrays { x, y } => ("arrays", [Some(x), y.as_ref()]),
            Self::Recording(path) => ("recording", [Some(path), None]),
            _ => return None,
        })
    }

    /// The files or folder of a set that is on this machine.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let both = match self {
            Self::Folder(path) | Self::Parquet(path) | Self::Idx(path) | Self::Recording(path) => {
                [Some(path), None]
            }
            Self::Arrays { x, y } => [Some(x), y.as_mut()],
            _ => [None, None],
        };
        both.into_iter().flatten()
    }

    /// Whether it names files or a folder on this machine.
    pub fn is_placed(&self) -> bool {
        self.placed().is_some()
    }

    /// Whether it is a set that goes by a name.
    pub fn is_published(&self) -> bool {
        Self::NAMED.iter().any(|(_, named)| named == self)
    }

    /// Whether its samples are encoded images of one's own, PNG and the like, which may be of any size.
    pub fn has_encoded_images(&self) -> bool {
        matches!(self, Self::Folder(_) | Self::Parquet(_))
    }

    /// The same set with relative paths as those from a folder.
    pub fn from_folder(mut self, folder: &Path) -> Self {
        for path in self.paths_mut() {
            *path = folder.join(expand(path));
        }
        self
    }
}

/// How a folder or file that is there would be named.
fn form_of(text: &str) -> Option<String> {
    let path = expand(Path::new(text));
    if path.is_dir() {
        let entries = std::fs::read_dir(&path).ok()?.filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let forms = names.filter_map(|name| match name {
            name if name.contains("-idx") => Some("idx"),
            name if name.ends_with(".parquet") => Some("parquet"),
            _ => None,
        });
        let form = forms.min().unwrap_or("folder");
        return Some(format!("did you mean {form}:{text}?"));
    }
    let ends = |end: &str| text.to_lowercase().ends_with(end);
    if ends(".npz") || text.contains(',') && ends(".npy") {
        return Some(format!("did you mean arrays:{text}?"));
    }
    if ends(".parquet") {
        return Some(format!("did you mean parquet:{text}?"));
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
        let split = text.split_once(':');
        let form = split.and_then(|(prefix, rest)| {
            let mut forms = FORMS.iter();
            Some((forms.find(|form| form.prefix == prefix)?, rest))
        });
        if let Some((form, rest)) = form {
            return (form.of)(rest).ok_or_else(|| {
                let is_table = [".csv", ".tsv"]
                    .iter()
                    .any(|end| rest.to_lowercase().ends_with(end));
                let path = expand(Path::new(rest));
                let meant = if is_table && path.is_file() {
                    format!("; {}", of_table(&path))
                } else {
                    String::new()
                };
                invalid(format!("write {}{meant}", form.written.join(" or ")))
            });
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
        let mut known: Vec<&str> = Self::NAMES.into_iter().chain(Self::forms()).collect();
        let last = known.pop().unwrap_or_default();
        Err(invalid(format!(
            "{}known are {} and {last}",
            meant.unwrap_or_default(),
            known.join(", ")
        )))
    }
}

impl fmt::Display for DatasetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((prefix, [first, second])) = self.placed() {
            write!(f, "{prefix}:")?;
            let paths = first.into_iter().chain(second);
            return paths.enumerate().try_for_each(|(at, path)| {
                let between = if at > 0 { "," } else { "" };
                write!(f, "{between}{}", path.display())
            });
        }
        match self {
            Self::InMemory(name) => write!(f, "in-memory:{name}"),
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
        let prefixes: Vec<&str> = FORMS.iter().map(|form| form.prefix).collect();
        schemars::json_schema!({
            "type": "string",
            "anyOf": [
                {"enum": Self::NAMES},
                {"pattern": format!("^({}):.", prefixes.join("|"))},
            ],
            "words": Self::NAMES.into_iter().chain(Self::forms()).collect::<Vec<_>>(),
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
            "parquet:some/train.parquet",
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
            "hub/train-00000-of-00001.parquet",
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
            (at("hub"), format!("did you mean parquet:{}?", at("hub"))),
            (
                at("a.parquet"),
                format!("did you mean parquet:{}?", at("a.parquet")),
            ),
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
            "parquet:",
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
