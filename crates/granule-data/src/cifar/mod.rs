//! CIFAR-10 and CIFAR-100, in a tar.gz archive or unpacked: the binary version, records of label bytes and 3×32×32 pixels, or
//! the version for Python, pickles of an array and a list of labels.

mod pickled;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use granule_io::words::{counted, printable};
use tar::{Archive, EntryType};

use crate::reading::{
    Hashing, Limited, MAX_ARCHIVE, RESERVE_RATIO, Source, Tee, append, open, read_some,
    reserve_exact, stream_error,
};
use crate::registry::{Located, LocatedFile, Published};
use crate::{DataError, Dataset, Features, Normalization, Progress, Shape, Split, Targets};

const PIXELS: usize = 3 * 32 * 32;
const MAX_NAMES: u64 = 1 << 16;

/// The files of one of the two sets.
pub(crate) struct Layout {
    /// Files of samples without the `.bin` of the binary version.
    train: &'static [&'static str],
    test: &'static str,
    class_names: &'static str,
    /// Label bytes before the pixels; the last of them is the label.
    label_bytes: usize,
    classes: usize,
    for_python: ForPython,
}

/// What else is called what in the version for Python.
struct ForPython {
    class_names: &'static str,
    /// The keys of labels and of the names of classes.
    labels: &'static str,
    names: &'static str,
}

pub(crate) const CIFAR_10: Layout = Layout {
    train: &[
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
    ],
    test: "test_batch",
    class_names: "batches.meta.txt",
    label_bytes: 1,
    classes: 10,
    for_python: ForPython {
        class_names: "batches.meta",
        labels: "labels",
        names: "label_names",
    },
};

pub(crate) const CIFAR_100: Layout = Layout {
    train: &["train"],
    test: "test",
    class_names: "fine_label_names.txt",
    label_bytes: 2,
    classes: 100,
    for_python: ForPython {
        class_names: "meta",
        labels: "fine_labels",
        names: "fine_label_names",
    },
};

/// The version that a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Binary,
    Python,
}

impl Version {
    /// What the names of its files of samples end with.
    fn ending(self) -> &'static str {
        match self {
            Self::Binary => ".bin",
            Self::Python => "",
        }
    }
}

/// What a file of a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Training samples, by their place among the files of such.
    Train(usize),
    Test,
    ClassNames,
}

impl Layout {
    /// What a file of that name holds, and of which version it is.
    fn file(&self, name: &str) -> Option<(Holds, Version)> {
        if name == self.class_names {
            return Some((Holds::ClassNames, Version::Binary));
        }
        if name == self.for_python.class_names {
            return Some((Holds::ClassNames, Version::Python));
        }
        let (stem, version) = match name.strip_suffix(Version::Binary.ending()) {
            Some(stem) => (stem, Version::Binary),
            None => (name, Version::Python),
        };
        let number = self.train.iter().position(|train| *train == stem);
        let holds = number.map(Holds::Train);
        let holds = holds.or((stem == self.test).then_some(Holds::Test));
        Some((holds?, version))
    }

    fn class_names(&self, version: Version) -> &'static str {
        match version {
            Version::Binary => self.class_names,
            Version::Python => self.for_python.class_names,
        }
    }

    /// The label of a sample of a file, if there is such a class.
    fn label(&self, label: i64, index: usize, path: &Path) -> Result<u16, DataError> {
        let class = u16::try_from(label).ok();
        let class = class.filter(|class| usize::from(*class) < self.classes);
        class.ok_or_else(|| DataError::LabelRange {
            path: path.to_path_buf(),
            index,
            label,
            classes: self.classes,
        })
    }

    /// The class names that a file lists; no more of it is read than they can take.
    fn read_names(
        &self,
        reader: &mut dyn Read,
        version: Version,
        path: &Path,
    ) -> Result<Vec<String>, DataError> {
        let mut bytes = Vec::new();
        reader
            .take(MAX_NAMES)
            .read_to_end(&mut bytes)
            .map_err(|error| stream_error(path, error))?;
        if version == Version::Python {
            return pickled::File::read(&bytes, path)?.names(self.for_python.names);
        }
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| DataError::corrupt(path, "the class names are not text"))?;
        let lines = text.lines().map(str::trim);
        Ok(lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }
}

/// Where the records are; `Err` holds the name of what is absent.
pub(crate) fn find(set: &Published, dir: &Path) -> Result<Located, String> {
    let file = set.files.first();
    file.and_then(|file| file.locate(dir))
        .ok_or_else(|| file.map_or(set.name, |file| file.name).to_string())
}

pub(crate) fn load(
    name: &str,
    layout: &Layout,
    classes: Vec<String>,
    normalization: Normalization,
    place: &Located,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    let mut warnings = Vec::new();
    let parts = match place {
        Located::Unpacked(files) => read_files(files, layout, &mut warnings)?,
        Located::AsPublished(file) => {
            let (reader, len) = open(&file.path)?;
            progress.start(name, Some(len));
            let watched = Watched {
                inner: reader,
                progress,
            };
            let parts = read_archive(watched, len, &file.path, layout, file.hashing(len));
            progress.finish();
            let (parts, sha256) = parts?;
            warnings.extend(file.warning(len, sha256.as_deref()));
            parts
        }
    };
    let classes = match parts.names {
        Some((_, names)) if names.len() == layout.classes => names,
        Some((path, names)) => {
            warnings.push(format!(
                "{}: names {} instead of {}; the published names are used",
                path.display(),
                counted(names.len(), "class"),
                layout.classes
            ));
            classes
        }
        None => classes,
    };
    let (train, test) = (parts.train.split()?, parts.test.split()?);
    let mut dataset = Dataset::new(name, classes, normalization, train, test)?;
    dataset.warnings.extend(warnings);
    Ok(dataset)
}

#[derive(Default)]
struct Parts {
    train: Records,
    test: Records,
    /// Class names, and the file or member that lists them.
    names: Option<(PathBuf, Vec<String>)>,
}

#[derive(Default)]
struct Records {
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Records {
    fn split(self) -> Result<Split, DataError> {
        let shape = Shape::Image {
            channels: 3,
            height: 32,
            width: 32,
        };
        Split::new(
            shape,
            Features::Bytes(self.pixels),
            Targets::Classes(self.labels),
        )
    }

    /// Makes room for `bytes` of records, though not for more than is read of a whole set.
    fn reserve(&mut self, bytes: u64, layout: &Layout, path: &Path) -> Result<(), DataError> {
        let record = (layout.label_bytes + PIXELS) as u64;
        let count = usize::try_from(bytes.min(MAX_ARCHIVE) / record).unwrap_or(0);
        reserve_exact(&mut self.pixels, count * PIXELS, path)?;
        reserve_exact(&mut self.labels, count, path)
    }

    /// Makes room for `next` records; what is there doubles, up to `left` more.
    fn grow(&mut self, next: usize, left: usize, path: &Path) -> Result<(), DataError> {
        let more = self.labels.len().max(next).min(left);
        if self.labels.capacity() - self.labels.len() < next {
            reserve_exact(&mut self.labels, more, path)?;
        }
        if self.pixels.capacity() - self.pixels.len() < next * PIXELS {
            reserve_exact(&mut self.pixels, more * PIXELS, path)?;
        }
        Ok(())
    }

    /// Appends the samples of a file of `size` bytes behind `reader`, of which at most `reserve` are allocated before they
    /// arrive.
    fn read(
        &mut self,
        reader: &mut dyn Read,
        (size, reserve): (u64, u64),
        version: Version,
        layout: &Layout,
        path: &Path,
    ) -> Result<(), DataError> {
        if size > MAX_ARCHIVE {
            return Err(too_large(path));
        }
        let before = self.labels.len();
        match version {
            Version::Binary => self.read_records(reader, size, layout, path)?,
            Version::Python => {
                let mut bytes = Vec::new();
                append(reader, &mut bytes, size, reserve, path)?;
                self.unpickle(&bytes, layout, path)?;
            }
        }
        if self.labels.len() == before {
            return Err(DataError::Empty {
                path: path.to_path_buf(),
                what: "holds no images".into(),
            });
        }
        Ok(())
    }

    fn unpickle(&mut self, bytes: &[u8], layout: &Layout, path: &Path) -> Result<(), DataError> {
        let file = pickled::File::read(bytes, path)?;
        let (pixels, labels) = (file.pixels()?, file.labels(layout.for_python.labels)?);
        if pixels.len() / PIXELS != labels.len() {
            let reason = format!(
                "{} and {} in the pickle: they do not belong together",
                counted(pixels.len() / PIXELS, "image"),
                counted(labels.len(), "label")
            );
            return Err(DataError::format(path, reason));
        }
        self.grow(labels.len(), labels.len(), path)?;
        for (index, label) in labels.into_iter().enumerate() {
            self.labels.push(layout.label(label, index, path)?);
        }
        self.pixels.extend_from_slice(pixels);
        Ok(())
    }

    /// Appends the `size` bytes of records behind `reader`.
    fn read_records(
        &mut self,
        reader: &mut dyn Read,
        size: u64,
        layout: &Layout,
        path: &Path,
    ) -> Result<(), DataError> {
        let record = layout.label_bytes + PIXELS;
        let records = usize::try_from(size / record as u64).unwrap_or(usize::MAX);
        if !size.is_multiple_of(record as u64) {
            let reason = format!(
                "truncated or trailing bytes: {size} is not a multiple of the {record} bytes of a record"
            );
            return Err(DataError::format(path, reason));
        }
        let block = 64;
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < records {
            let count = block.min(records - done);
            bytes.clear();
            append(reader, &mut bytes, (count * record) as u64, u64::MAX, path)?;
            self.grow(count, records - done, path)?;
            for (offset, bytes) in bytes.chunks_exact(record).enumerate() {
                let (labels, pixels) = bytes.split_at(layout.label_bytes);
                let label = labels.last().copied().unwrap_or(0);
                let label = layout.label(label.into(), done + offset, path)?;
                self.labels.push(label);
                self.pixels.extend_from_slice(pixels);
            }
            done += count;
        }
        Ok(())
    }
}

fn too_large(path: &Path) -> DataError {
    DataError::TooLarge {
        path: path.to_path_buf(),
        what: "what is to be read".into(),
        limit: MAX_ARCHIVE,
    }
}

fn read_files(
    files: &[LocatedFile],
    layout: &Layout,
    warnings: &mut Vec<String>,
) -> Result<Parts, DataError> {
    let mut opened = Vec::new();
    let (mut train, mut test) = (0u64, 0u64);
    for file in files {
        let (reader, len) = open(&file.path)?;
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let Some((holds, version)) = layout.file(&name) else {
            continue;
        };
        let is_test = holds == Holds::Test;
        *(if is_test { &mut test } else { &mut train }) += len;
        if train.saturating_add(test) > MAX_ARCHIVE {
            return Err(too_large(&file.path));
        }
        opened.push((file, reader, len, is_test, version));
    }
    let mut parts = Parts::default();
    if let Some((file, .., version)) = opened.first() {
        parts.train.reserve(train, layout, &file.path)?;
        parts.test.reserve(test, layout, &file.path)?;
        let path = file.path.with_file_name(layout.class_names(*version));
        if let Ok((mut file, _)) = open(&path) {
            let names = layout.read_names(&mut file, *version, &path)?;
            parts.names = Some((path, names));
        }
    }
    for (file, reader, len, is_test, version) in opened {
        let records = if is_test {
            &mut parts.test
        } else {
            &mut parts.train
        };
        let mut reader = Tee::new(reader, file.hashing(len));
        records.read(&mut reader, (len, len), version, layout, &file.path)?;
        warnings.extend(file.warning(len, reader.sha256().as_deref()));
    }
    Ok(parts)
}

/// Reads an archive of `len` bytes; its members may come in any order.
fn read_archive(
    reader: impl Read,
    len: u64,
    path: &Path,
    layout: &Layout,
    hashing: Hashing,
) -> Result<(Parts, Option<String>), DataError> {
    let mut source = Source::new(reader, len, path, hashing)?;
    let limit = source.limit().min(MAX_ARCHIVE);
    let parts =
        read_members(&mut source, len, limit, path, layout).map_err(|error| match error {
            DataError::TooLarge { path, what, .. } => DataError::TooLarge { path, what, limit },
            error => error,
        })?;
    Ok((parts, source.sha256()))
}

fn read_members(
    source: &mut dyn Read,
    len: u64,
    limit: u64,
    path: &Path,
    layout: &Layout,
) -> Result<Parts, DataError> {
    let mut parts = Parts::default();
    let bound = |size: u64| size.min(len.saturating_mul(RESERVE_RATIO));
    // Where the records of each training file lie in `parts.train`, in the order of the archive.
    let mut order: Vec<(usize, usize)> = Vec::new();
    // Of the names of the files of samples.
    let mut ending = Version::Binary.ending();
    let mut limited = Limited::new(source, limit);
    let mut archive = Archive::new(&mut limited);
    // Raw entries: long names and extended headers are skipped like other members, not collected in memory.
    let entries = archive
        .entries()
        .map_err(|error| stream_error(path, error))?
        .raw(true);
    for entry in entries {
        let mut entry = entry.map_err(|error| stream_error(path, error))?;
        let member = printable(&String::from_utf8_lossy(&entry.path_bytes()));
        check_member(&member, entry.header().entry_type(), path)?;
        let name = member.rsplit('/').next().unwrap_or_default();
        let inside = PathBuf::from(format!("{}!{member}", path.display()));
        let size = entry.size();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some((holds, version)) = layout.file(name) else {
            continue;
        };
        let sizes = (size, bound(size));
        let again = || DataError::format(&inside, "the archive holds this member twice");
        match holds {
            Holds::Train(number) => {
                if order.iter().any(|(seen, _)| *seen == number) {
                    return Err(again());
                }
                let before = parts.train.labels.len();
                if order.is_empty() {
                    let whole = size.saturating_mul(layout.train.len() as u64);
                    parts.train.reserve(bound(whole), layout, &inside)?;
                }
                parts
                    .train
                    .read(&mut entry, sizes, version, layout, &inside)?;
                order.push((number, parts.train.labels.len() - before));
                ending = version.ending();
            }
            Holds::Test => {
                if !parts.test.labels.is_empty() {
                    return Err(again());
                }
                parts.test.reserve(bound(size), layout, &inside)?;
                parts
                    .test
                    .read(&mut entry, sizes, version, layout, &inside)?;
                ending = version.ending();
            }
            Holds::ClassNames => {
                let names = layout.read_names(&mut entry, version, &inside)?;
                parts.names = Some((inside, names));
            }
        }
    }
    drain(&mut limited, path)?;
    for (number, name) in layout.train.iter().chain([&layout.test]).enumerate() {
        let here = order.iter().any(|(seen, _)| *seen == number)
            || (number == layout.train.len() && !parts.test.labels.is_empty());
        if !here {
            return Err(DataError::format(
                path,
                format!("the archive has no member {name}{ending}"),
            ));
        }
    }
    sort(&mut parts.train, &mut order);
    Ok(parts)
}

/// Insertion sort of whole files within the buffers, so that no second copy is held.
fn sort(records: &mut Records, order: &mut [(usize, usize)]) {
    for at in 1..order.len() {
        let Some(&(number, count)) = order.get(at) else {
            continue;
        };
        let to = order
            .iter()
            .take(at)
            .position(|(seen, _)| *seen > number)
            .unwrap_or(at);
        let start: usize = order.iter().take(to).map(|(_, count)| count).sum();
        let end: usize = order.iter().take(at + 1).map(|(_, count)| count).sum();
        if let Some(labels) = records.labels.get_mut(start..end) {
            labels.rotate_right(count);
        }
        if let Some(pixels) = records.pixels.get_mut(start * PIXELS..end * PIXELS) {
            pixels.rotate_right(count * PIXELS);
        }
        if let Some(order) = order.get_mut(to..=at) {
            order.rotate_right(1);
        }
    }
}

fn check_member(member: &str, kind: EntryType, archive: &Path) -> Result<(), DataError> {
    let refused = |reason| {
        Err(DataError::UnsafeArchive {
            path: archive.to_path_buf(),
            member: member.to_string(),
            reason,
        })
    };
    let drive = member.as_bytes().get(1) == Some(&b':');
    if member.starts_with(['/', '\\']) || drive {
        return refused("an absolute path");
    }
    if member.split(['/', '\\']).any(|component| component == "..") {
        return refused("a path that leaves the archive");
    }
    match kind {
        EntryType::Link | EntryType::Symlink => refused("a link"),
        EntryType::Char | EntryType::Block | EntryType::Fifo => refused("a device"),
        _ => Ok(()),
    }
}

/// Reads the rest, so that the checksums cover the whole file.
fn drain(reader: &mut dyn Read, path: &Path) -> Result<(), DataError> {
    let mut buffer = vec![0; 1 << 16];
    while read_some(reader, &mut buffer, path, 0, 0)? > 0 {}
    Ok(())
}

struct Watched<'a, R> {
    inner: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.progress.advance(n as u64);
        Ok(n)
    }
}
