use std::io;
use std::path::{Path, PathBuf};

use granule_io::content;
use granule_io::image::ImageError;
use granule_io::words::quoted;
use granule_io::{ConfigError, FileError, MemoryError};
use thiserror::Error;

/// Why a data set could not be read, fetched or built. Every message names the file or field and the reason.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused an operation on a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted: "read", "create", "rename".
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The data were made in a program, not read from files.
    #[error(
        "the data set \"{name}\" was made in a program and is in no file; run that program again, which goes on with an \
         interrupted run by `resume_with`, or name another data set with --dataset"
    )]
    InMemory {
        /// What the program calls them.
        name: String,
    },
    /// Unusual activity of this kind cannot be made of the signal.
    #[error("{kind}: {reason}")]
    Unmade {
        /// The name of the kind.
        kind: &'static str,
        /// What keeps it from being made.
        reason: String,
    },
    /// No file of the data set is where it was looked for.
    #[error("{}: {}; {hint}", path.display(), absent(what))]
    Missing {
        /// The folder or file that was looked for.
        path: PathBuf,
        /// What was expected there: files, or what describes them.
        what: Vec<String>,
        /// What to do next.
        hint: String,
    },
    /// The first four bytes of an IDX file are not those of the expected kind.
    #[error("{}: not an IDX file of {what}, which starts with 0x{expected:08x}: {}", path.display(), found_instead(*found))]
    Magic {
        /// The file.
        path: PathBuf,
        /// What the file should hold.
        what: &'static str,
        /// The number found.
        found: u32,
        /// The number expected.
        expected: u32,
    },
    /// The file ends before the data that its header promises.
    #[error("{}: truncated: {expected} bytes of data are promised, {found} are there; fetch or copy the file again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes promised.
        expected: u64,
        /// Bytes present.
        found: u64,
    },
    /// The file goes on after the data that its header promises.
    #[error("{}: bytes follow the {expected} bytes of data that are promised; the file is damaged or of another kind", path.display())]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Bytes promised.
        expected: u64,
    },
    /// A label is not one of the classes.
    #[error("{}: item {index} has label {label}, allowed are 0..={}", path.display(), classes.saturating_sub(1))]
    LabelRange {
        /// The file.
        path: PathBuf,
        /// Position of the item, from 0.
        index: usize,
        /// The label found.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// Two files that belong together hold different numbers of items.
    #[error("{} holds {inputs} items, {} holds {targets}: they do not belong together", inputs_path.display(), targets_path.display())]
    CountMismatch {
        /// The file of images or features.
        inputs_path: PathBuf,
        /// Its number of items.
        inputs: usize,
        /// The file of labels or targets.
        targets_path: PathBuf,
        /// Its number of items.
        targets: usize,
    },
    /// There is nothing to learn from.
    #[error("{}: {what}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
        /// What is missing: "holds no images".
        what: String,
    },
    /// The content cannot be decoded: a damaged gzip stream, PNG, zip directory and the like.
    #[error("{}: damaged: {reason}", path.display())]
    Corrupt {
        /// The file, or `archive!member`.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// The content is readable but not of the expected form.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file, or `archive!member`.
        path: PathBuf,
        /// What was found and what is allowed.
        reason: String,
    },
    /// The content is what it should be, and not what was asked for: an array of another name, a file of another kind.
    #[error("{}: {reason}", path.display())]
    Asked {
        /// The file.
        path: PathBuf,
        /// What is there.
        reason: String,
    },
    /// A pickle asks for something that is no data, which would be run by what reads it.
    #[error(
        "{}: refused: it asks for {global}, which is code to be run or an object of Python; a data set is arrays, lists and texts",
        path.display()
    )]
    Code {
        /// The file, or `archive!member`.
        path: PathBuf,
        /// Module and name of what it asks for.
        global: String,
    },
    /// A column of a Parquet file is stored in a way that is not read.
    #[error(
        "{0}: the column {column} is stored {how}, which is not read; `python3 -c \"import sys, pyarrow.parquet as p; \
         p.write_table(p.read_table(sys.argv[1]), 'NEW.parquet', compression='snappy')\" {1}` writes one that is",
        path.display(), quoted(path)
    )]
    Stored {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The compression or the encoding: "compressed with Zstandard".
        how: String,
    },
    /// An archive holds something that must not be unpacked: an absolute path, `..`, a link.
    #[error("{}: refused member {member:?}: {reason}", path.display())]
    UnsafeArchive {
        /// The archive.
        path: PathBuf,
        /// The name of the member.
        member: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// The content is, or would become, larger than is accepted.
    #[error("{}: {what} is larger than the limit of {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// An image is not as large as the others of the set.
    #[error("{}: image of {}x{} pixels and {} channel(s), expected {}x{} and {}",
        path.display(), found.1, found.0, found.2, expected.1, expected.0, expected.2)]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// Height, width, channels found.
        found: (usize, usize, usize),
        /// Height, width, channels expected.
        expected: (usize, usize, usize),
    },
    /// The images of a folder or of Parquet files are not all of one size.
    #[error("{}: {}×{} pixels, {} has {}×{}; bring all to one size: data.size = 64 (--set data.size=64) does, \
             by data.resize = \"stretch\", \"crop\" or \"pad\"",
        path.display(), found.0, found.1, other.display(), expected.0, expected.1)]
    ImageSizes {
        /// The file.
        path: PathBuf,
        /// Its width and height.
        found: (usize, usize),
        /// An earlier file.
        other: PathBuf,
        /// The width and height of that one.
        expected: (usize, usize),
    },
    /// An image cannot be used.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Image {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ImageError,
    },
    /// An array holds elements of a type that is not accepted here.
    #[error("{}: elements of type {found:?}, allowed are {allowed}", path.display())]
    ArrayType {
        /// The file, or `archive!member`.
        path: PathBuf,
        /// NumPy's type string.
        found: String,
        /// The accepted types.
        allowed: &'static str,
    },
    /// An array has a rank or extent that is not accepted here.
    #[error("{}: shape {found:?}, allowed is {allowed}", path.display())]
    ArrayShape {
        /// The file, or `archive!member`.
        path: PathBuf,
        /// The extents found.
        found: Vec<u64>,
        /// The accepted shapes.
        allowed: String,
    },
    /// A feature or target is NaN or infinite.
    #[error("{}: {} holds {value:?}{}; every number must be finite in 32 bits: leave such samples out, or replace the \
             numbers, as numpy.nan_to_num(x) does", path.display(), place(position), others(*count))]
    NonFinite {
        /// The file, or `archive!member`.
        path: PathBuf,
        /// Where the number is along each axis of the array, from 0: row, then column.
        position: Vec<usize>,
        /// The value found.
        value: f64,
        /// How many such numbers the array holds.
        count: usize,
    },
    /// A setting or argument is outside its allowed range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A sample outside the split was asked for.
    #[error("sample {index} was asked for, the split holds {len}")]
    OutOfRange {
        /// The index asked for.
        index: usize,
        /// Number of samples.
        len: usize,
    },
    /// Every mirror of a file failed.
    #[error("{file}: no mirror delivered it ({}); check the network, or place the file in {} yourself",
        attempts.join("; "), dir.display())]
    Download {
        /// The published file name.
        file: String,
        /// Where the file belongs.
        dir: PathBuf,
        /// One line per mirror: its address and what went wrong.
        attempts: Vec<String>,
    },
    /// The disk is full.
    #[error("{}: no space left on the disk{}; free some or choose another folder", path.display(), still_needed(*needed))]
    NoSpace {
        /// The file being written.
        path: PathBuf,
        /// Bytes still to write; 0 when that is not known.
        needed: u64,
    },
    /// The content does not fit into memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A file is of another kind or length than such a file can be.
    #[error(transparent)]
    File(FileError),
}

impl From<FileError> for DataError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io {
                path,
                action,
                source,
            } => Self::Io {
                path,
                action,
                source,
            },
            FileError::NoSpace { path } => Self::NoSpace { path, needed: 0 },
            FileError::Memory(error) => Self::Memory(error),
            error => Self::File(error),
        }
    }
}

/// What the first four bytes of a file, in place of those of IDX, say it is.
/// `a and b are not here`.
fn absent(what: &[String]) -> String {
    match what {
        [] => "nothing is here".to_owned(),
        [only] => format!("{only} is not here"),
        [first @ .., last] => format!("{} and {last} are not here", first.join(", ")),
    }
}

fn others(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(", the first of {count} such numbers"),
    }
}

/// What else helps against an image that cannot be used, where it is one of many.
fn remedy(error: &ImageError) -> &'static str {
    match error {
        ImageError::Truncated { .. } => {
            ", or leave such files out: data.truncated = \"skip\" (--set data.truncated=skip)"
        }
        _ => "",
    }
}

/// A place in an array, by the axes that it has.
fn place(position: &[usize]) -> String {
    match position {
        [row] => format!("row {row}"),
        [row, column] => format!("row {row}, column {column}"),
        _ => format!("the number at {position:?}"),
    }
}

fn found_instead(found: u32) -> String {
    let bytes = found.to_be_bytes();
    if let Some(what) = content::recognise(&bytes) {
        return format!("it is {what}");
    }
    let elements = match bytes {
        [0, 0, 0x08, _] => "bytes",
        [0, 0, 0x09, _] => "signed bytes",
        [0, 0, 0x0b, _] => "16-bit integers",
        [0, 0, 0x0c, _] => "32-bit integers",
        [0, 0, 0x0d | 0x0e, _] => "floating-point numbers",
        _ => return format!("it starts with 0x{found:08x}"),
    };
    format!(
        "it is an IDX file of {elements} with {} axes (0x{found:08x}); `--dataset idx:DIR` reads any set of IDX files, such \
         as EMNIST, QMNIST and KMNIST",
        bytes[3]
    )
}

fn still_needed(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        bytes => format!(", {bytes} more bytes are needed"),
    }
}

impl DataError {
    /// Wraps an error of the operating system with the file and the action; a full disk becomes [`Self::NoSpace`].
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::NoSpace {
                path: path.to_path_buf(),
                needed: 0,
            };
        }
        Self::Io {
            path: path.to_path_buf(),
            action,
            source,
        }
    }

    pub(crate) fn image(path: &Path, source: ImageError) -> Self {
        match source {
            ImageError::Io(source) => Self::io(path, "read", source),
            source => Self::Image {
                path: path.to_path_buf(),
                source,
            },
        }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl ToString) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn asked(path: &Path, reason: impl Into<String>) -> Self {
        Self::Asked {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// Whether it is a file that cannot be used, damaged or refused by the system, and not what was asked for: the name of a
    /// file or array that is not there, a setting, a form that does not fit.
    pub fn is_of_file(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::File(error) => !error.is_absent(),
            Self::Config(_)
            | Self::Asked { .. }
            | Self::Unmade { .. }
            | Self::Missing { .. }
            | Self::InMemory { .. }
            | Self::ArrayShape { .. }
            | Self::ArrayType { .. }
            | Self::CountMismatch { .. } => false,
            _ => true,
        }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// A fault of a part of a data set by the file of its inputs or targets, not as a setting.
    pub(crate) fn of_part(self, part: &str, inputs: &Path, targets: &Path) -> Self {
        match self {
            Self::Config(error) => {
                let path = if error.field.ends_with("targets") {
                    targets
                } else {
                    inputs
                };
                let reason = format!("{} in the {part} part, not {}", error.value, error.allowed);
                Self::format(path, reason)
            }
            other => other,
        }
    }

    pub(crate) fn invalid(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        ConfigError::new(field, value, allowed).into()
    }
}
