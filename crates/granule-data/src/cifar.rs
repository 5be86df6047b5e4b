//! The binary version of CIFAR-10 and CIFAR-100: records of label bytes and 3×32×32 pixels, in a tar.gz archive or
//! unpacked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};

use crate::load::{Found, published_file};
use crate::reading::{Hashing, Limited, RESERVE_RATIO, Source, append, read_some, stream_error};
use crate::registry::Published;
use crate::{DataError, Dataset, Features, Normalization, Progress, Shape, Split, Targets};

const PIXELS: usize = 3 * 32 * 32;
const MAX_NAMES: u64 = 1 << 16;

/// The files of one of the two sets.
pub(crate) struct Layout {
    archive: &'static str,
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    class_names: &'static str,
    /// Label bytes before the pixels; the last of them is the label.
    label_bytes: usize,
    classes: usize,
}

pub(crate) const CIFAR_10: Layout = Layout {
    archive: "cifar-10-binary.tar.gz",
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    class_names: "batches.meta.txt",
    label_bytes: 1,
    classes: 10,
};

pub(crate) const CIFAR_100: Layout = Layout {
    archive: "cifar-100-binary.tar.gz",
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    class_names: "fine_label_names.txt",
    label_bytes: 2,
    classes: 100,
};

/// Where the records are.
pub(crate) enum Place {
    Folder(PathBuf),
    Archive(PathBuf),
}

impl Place {
    /// `Err` holds the name of what is absent.
    pub(crate) fn find(dir: &Path, layout: &Layout) -> Result<Self, String> {
        let complete = |folder: &PathBuf| {
            layout
                .train
                .iter()
                .chain([&layout.test])
                .all(|name| folder.join(name).is_file())
        };
        if let Some(folder) = [dir.join(layout.folder), dir.to_path_buf()]
            .into_iter()
            .find(complete)
        {
            return Ok(Self::Folder(folder));
        }
        let archive = dir.join(layout.archive);
        if archive.is_file() {
            Ok(Self::Archive(archive))
        } else {
            Err(layout.archive.to_string())
        }
    }
}

/// The dataset, the archive it came from, and warnings.
pub(crate) type Loaded = (Dataset, Option<Found>, Vec<String>);

pub(crate) fn load(
    set: &Published,
    layout: &Layout,
    classes: Vec<String>,
    normalization: Normalization,
    place: &Place,
    progress: &dyn Progress,
) -> Result<Loaded, DataError> {
    let (parts, path, found) = match place {
        Place::Folder(folder) => (read_folder(folder, layout)?, folder, None),
        Place::Archive(path) => {
            let file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
            let len = file
                .metadata()
                .map_err(|error| DataError::io(path, "inspect", error))?
                .len();
            progress.start(set.name, Some(len));
            let watched = Watched {
                inner: file,
                progress,
            };
            let parts = read_archive(
                watched,
                len,
                path,
                layout,
                Found::hashing(published_file(set, path), path),
            );
            progress.finish();
            let (parts, sha256) = parts?;
            (
                parts,
                path,
                Some(Found {
                    path: path.clone(),
                    sha256,
                }),
            )
        }
    };
    let mut warnings = Vec::new();
    let classes = match parts.names {
        Some(names) if names.len() == layout.classes => names,
        Some(names) => {
            warnings.push(format!(
                "{}: {} names {} classes instead of {}; the published names are used",
                path.display(),
                layout.class_names,
                names.len(),
                layout.classes
            ));
            classes
        }
        None => classes,
    };
    let dataset = Dataset::new(
        set.name,
        classes,
        normalization,
        parts.train.split()?,
        parts.test.split()?,
    )?;
    Ok((dataset, found, warnings))
}

#[derive(Default)]
struct Parts {
    train: Records,
    test: Records,
    names: Option<Vec<String>>,
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

    /// Makes room for `bytes` of records.
    fn reserve(&mut self, bytes: u64, layout: &Layout) {
        let count = usize::try_from(bytes / (layout.label_bytes + PIXELS) as u64).unwrap_or(0);
        self.pixels.reserve_exact(count * PIXELS);
        self.labels.reserve_exact(count);
    }

    /// Appends the `size` bytes of records behind `reader`.
    fn read(
        &mut self,
        reader: &mut dyn Read,
        size: u64,
        layout: &Layout,
        path: &Path,
    ) -> Result<(), DataError> {
        let record = layout.label_bytes + PIXELS;
        let records = usize::try_from(size / record as u64).unwrap_or(usize::MAX);
        if size == 0 {
            return Err(DataError::Empty {
                path: path.to_path_buf(),
                what: "holds no images".into(),
            });
        }
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
            for (offset, bytes) in bytes.chunks_exact(record).enumerate() {
                let (labels, pixels) = bytes.split_at(layout.label_bytes);
                let label = labels.last().copied().unwrap_or(0);
                if usize::from(label) >= layout.classes {
                    return Err(DataError::LabelRange {
                        path: path.to_path_buf(),
                        index: done + offset,
                        label: i64::from(label),
                        classes: layout.classes,
                    });
                }
                self.labels.push(u16::from(label));
                self.pixels.extend_from_slice(pixels);
            }
            done += count;
        }
        Ok(())
    }
}

fn read_folder(folder: &Path, layout: &Layout) -> Result<Parts, DataError> {
    let mut parts = Parts::default();
    let size = |name: &&str| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    parts
        .train
        .reserve(layout.train.iter().map(size).sum(), layout);
    parts.test.reserve(size(&layout.test), layout);
    for name in layout.train {
        read_file(&mut parts.train, &folder.join(name), layout)?;
    }
    read_file(&mut parts.test, &folder.join(layout.test), layout)?;
    let names = folder.join(layout.class_names);
    if let Ok(file) = File::open(&names) {
        parts.names = Some(read_names(&mut file.take(MAX_NAMES), &names)?);
    }
    Ok(parts)
}

fn read_file(records: &mut Records, path: &Path, layout: &Layout) -> Result<(), DataError> {
    let mut file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
    let size = file
        .metadata()
        .map_err(|error| DataError::io(path, "inspect", error))?
        .len();
    records.read(&mut file, size, layout, path)
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
    let mut parts = Parts::default();
    let bound = |size: u64| size.min(len.saturating_mul(RESERVE_RATIO));
    // Where the records of each training file lie in `parts.train`, in the order of the archive.
    let mut order: Vec<(usize, usize)> = Vec::new();
    let mut limited = Limited::new(&mut source);
    let mut archive = Archive::new(&mut limited);
    // Raw entries: long names and extended headers are skipped like other members, not collected in memory.
    let entries = archive
        .entries()
        .map_err(|error| stream_error(path, error))?
        .raw(true);
    for entry in entries {
        let mut entry = entry.map_err(|error| stream_error(path, error))?;
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        check_member(&member, entry.header().entry_type(), path)?;
        let name = member.rsplit('/').next().unwrap_or_default();
        let inside = PathBuf::from(format!("{}!{member}", path.display()));
        let size = entry.size();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let again = || DataError::format(&inside, "the archive holds this member twice");
        if let Some(number) = layout.train.iter().position(|train| *train == name) {
            if order.iter().any(|(seen, _)| *seen == number) {
                return Err(again());
            }
            let before = parts.train.labels.len();
            if order.is_empty() {
                parts.train.reserve(
                    bound(size.saturating_mul(layout.train.len() as u64)),
                    layout,
                );
            }
            parts.train.read(&mut entry, size, layout, &inside)?;
            order.push((number, parts.train.labels.len() - before));
        } else if name == layout.test {
            if !parts.test.labels.is_empty() {
                return Err(again());
            }
            parts.test.reserve(bound(size), layout);
            parts.test.read(&mut entry, size, layout, &inside)?;
        } else if name == layout.class_names {
            parts.names = Some(read_names(&mut entry.take(MAX_NAMES), &inside)?);
        }
    }
    drain(&mut limited, path)?;
    for (number, name) in layout.train.iter().chain([&layout.test]).enumerate() {
        let here = order.iter().any(|(seen, _)| *seen == number)
            || (number == layout.train.len() && !parts.test.labels.is_empty());
        if !here {
            return Err(DataError::format(
                path,
                format!("the archive has no member {name}"),
            ));
        }
    }
    sort(&mut parts.train, &mut order);
    Ok((parts, source.sha256()))
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

fn read_names(reader: &mut dyn Read, path: &Path) -> Result<Vec<String>, DataError> {
    let mut text = String::new();
    reader
        .read_to_string(&mut text)
        .map_err(|error| stream_error(path, error))?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_string)
        .collect())
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
