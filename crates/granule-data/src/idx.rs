//! IDX, the format of MNIST and Fashion-MNIST: a big-endian magic number, one count per axis, then bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::reading::{Hashing, MAX_DECODED, Source, open, reserve_exact, too_large, truncated};
use crate::registry::{LocatedFile, Published};
use crate::{DataError, Dataset, Features, Normalization, Shape, Split, Targets};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
/// Labels that are converted at a time.
const BLOCK: usize = 1 << 16;

/// Decoded images of an IDX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// Pixels of all images, row-major; the length is `count × rows × columns`.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / (self.rows * self.columns).max(1)
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }
}

/// Decodes an IDX file of images, gzip or plain. `len` is the number of bytes behind `reader`; `path` is for messages.
///
/// # Errors
/// [`DataError::Magic`], [`DataError::Truncated`], [`DataError::Trailing`], [`DataError::Empty`],
/// [`DataError::Corrupt`] or [`DataError::TooLarge`].
pub fn decode_images(reader: impl Read, len: u64, path: &Path) -> Result<Images, DataError> {
    images(
        &mut Source::new(reader, len, path, Hashing::Off)?,
        path,
        None,
    )
}

/// Decodes an IDX file of labels below `classes`, gzip or plain.
///
/// # Errors
/// As [`decode_images`], and [`DataError::LabelRange`].
pub fn decode_labels(
    reader: impl Read,
    len: u64,
    path: &Path,
    classes: usize,
) -> Result<Vec<u16>, DataError> {
    labels(
        &mut Source::new(reader, len, path, Hashing::Off)?,
        path,
        classes,
        None,
    )
}

/// What the files of a set must hold.
struct Limits {
    rows: usize,
    columns: usize,
    count: u32,
}

/// MNIST and sets of the same form, larger ones such as EMNIST too.
const MNIST: Limits = Limits {
    rows: 28,
    columns: 28,
    count: 1 << 20,
};

impl Limits {
    fn check_count(&self, count: u32, path: &Path) -> Result<(), DataError> {
        if count <= self.count {
            return Ok(());
        }
        let reason = format!(
            "the header promises {count} items, at most {} are read",
            self.count
        );
        Err(DataError::format(path, reason))
    }
}

fn images<R: Read>(
    source: &mut Source<'_, R>,
    path: &Path,
    limits: Option<&Limits>,
) -> Result<Images, DataError> {
    check_magic(
        u32::from_be_bytes(source.array()?),
        IMAGES_MAGIC,
        "images",
        path,
    )?;
    let count = u32::from_be_bytes(source.array()?);
    let rows = u32::from_be_bytes(source.array()?);
    let columns = u32::from_be_bytes(source.array()?);
    if count == 0 || rows == 0 || columns == 0 {
        let what = format!("holds no images ({count} of {columns}x{rows} pixels)");
        return Err(DataError::Empty {
            path: path.to_path_buf(),
            what,
        });
    }
    let promised = u64::from(count)
        .checked_mul(u64::from(rows))
        .and_then(|n| n.checked_mul(u64::from(columns)))
        .filter(|&n| n <= MAX_DECODED)
        .ok_or_else(|| too_large(path, "what the header promises"))?;
    let (rows, columns) = (rows as usize, columns as usize);
    if let Some(limits) = limits {
        if (rows, columns) != (limits.rows, limits.columns) {
            return Err(DataError::ImageSize {
                path: path.to_path_buf(),
                found: (rows, columns, 1),
                expected: (limits.rows, limits.columns, 1),
            });
        }
        limits.check_count(count, path)?;
    }
    let mut pixels = Vec::new();
    source.append(&mut pixels, promised)?;
    source.end(promised)?;
    Ok(Images {
        rows,
        columns,
        pixels,
    })
}

fn labels<R: Read>(
    source: &mut Source<'_, R>,
    path: &Path,
    classes: usize,
    limits: Option<&Limits>,
) -> Result<Vec<u16>, DataError> {
    check_magic(
        u32::from_be_bytes(source.array()?),
        LABELS_MAGIC,
        "labels",
        path,
    )?;
    let count = u32::from_be_bytes(source.array()?);
    if count == 0 {
        return Err(DataError::Empty {
            path: path.to_path_buf(),
            what: "holds no labels".into(),
        });
    }
    if let Some(limits) = limits {
        limits.check_count(count, path)?;
    }
    source.check_promise(u64::from(count))?;
    let mut labels: Vec<u16> = Vec::new();
    let mut block = Vec::new();
    let mut left = count as usize;
    while left > 0 {
        let next = left.min(BLOCK);
        block.clear();
        source
            .append(&mut block, next as u64)
            .map_err(|error| match error {
                DataError::Truncated { path, found, .. } => {
                    truncated(&path, u64::from(count), labels.len() as u64 + found)
                }
                error => error,
            })?;
        if labels.capacity() - labels.len() < next {
            let ahead = labels.len().max(next).min(left);
            reserve_exact(&mut labels, ahead, path)?;
        }
        for &label in &block {
            if usize::from(label) >= classes {
                return Err(DataError::LabelRange {
                    path: path.to_path_buf(),
                    index: labels.len(),
                    label: i64::from(label),
                    classes,
                });
            }
            labels.push(u16::from(label));
        }
        left -= next;
    }
    source.end(u64::from(count))?;
    Ok(labels)
}

fn check_magic(
    found: u32,
    expected: u32,
    what: &'static str,
    path: &Path,
) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    Err(DataError::Magic {
        path: path.to_path_buf(),
        what,
        found,
        expected,
    })
}

/// The four files of a set.
pub(crate) struct Files {
    train_images: LocatedFile,
    train_labels: LocatedFile,
    test_images: LocatedFile,
    test_labels: LocatedFile,
}

impl Files {
    /// `Err` holds the name of the first file that is absent.
    pub(crate) fn find(set: &Published, dir: &Path) -> Result<Self, String> {
        let find = |part: &str| {
            let file = set.files.iter().find(|file| file.name.starts_with(part));
            file.and_then(|file| file.locate(dir)?.files().first().cloned())
                .ok_or_else(|| file.map_or(part, |file| file.name).to_string())
        };
        Ok(Self {
            train_images: find("train-images")?,
            train_labels: find("train-labels")?,
            test_images: find("t10k-images")?,
            test_labels: find("t10k-labels")?,
        })
    }
}

/// Loads MNIST or a set of the same form: 28×28 grey images of ten classes.
pub(crate) fn load(
    name: &str,
    classes: Vec<String>,
    normalization: Normalization,
    files: &Files,
) -> Result<Dataset, DataError> {
    let (train, test) = std::thread::scope(|scope| {
        let test = scope.spawn(|| part(&files.test_images, &files.test_labels, classes.len()));
        let train = part(&files.train_images, &files.train_labels, classes.len());
        let failed = || DataError::corrupt(&files.test_images.path, "the decoder failed");
        (train, test.join().unwrap_or_else(|_| Err(failed())))
    });
    let ((train, mut warnings), (test, test_warnings)) = (train?, test?);
    warnings.extend(test_warnings);
    let mut dataset = Dataset::new(name, classes, normalization, train, test)?;
    dataset.warnings.extend(warnings);
    Ok(dataset)
}

fn part(
    images_file: &LocatedFile,
    labels_file: &LocatedFile,
    classes: usize,
) -> Result<(Split, Vec<String>), DataError> {
    let (labels, labels_warning) = with_file(labels_file, |source| {
        labels(source, &labels_file.path, classes, Some(&MNIST))
    })?;
    let (images, images_warning) = with_file(images_file, |source| {
        images(source, &images_file.path, Some(&MNIST))
    })?;
    if images.len() != labels.len() {
        return Err(DataError::CountMismatch {
            inputs_path: images_file.path.clone(),
            inputs: images.len(),
            targets_path: labels_file.path.clone(),
            targets: labels.len(),
        });
    }
    let shape = Shape::Image {
        channels: 1,
        height: images.rows,
        width: images.columns,
    };
    let split = Split::new(
        shape,
        Features::Bytes(images.pixels),
        Targets::Classes(labels),
    )?;
    let warnings = images_warning.into_iter().chain(labels_warning);
    Ok((split, warnings.collect()))
}

/// What `decode` makes of a file, and what the user should know about it.
fn with_file<T>(
    file: &LocatedFile,
    decode: impl FnOnce(&mut Source<'_, File>) -> Result<T, DataError>,
) -> Result<(T, Option<String>), DataError> {
    let (reader, len) = open(&file.path)?;
    let mut source = Source::new(reader, len, &file.path, file.hashing(len))?;
    let value = decode(&mut source)?;
    Ok((value, file.warning(len, source.sha256().as_deref())))
}
