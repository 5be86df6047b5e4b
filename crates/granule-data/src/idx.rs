//! IDX, the format of MNIST and Fashion-MNIST: a big-endian magic number, one count per axis, then bytes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::load::{Found, published_file};
use crate::reading::{Hashing, MAX_DECODED, Source, too_large};
use crate::registry::Published;
use crate::{DataError, Dataset, Features, Normalization, Shape, Split, Targets};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;

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
    images(&mut Source::new(reader, len, path, Hashing::Off)?, path)
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
    )
}

fn images<R: Read>(source: &mut Source<'_, R>, path: &Path) -> Result<Images, DataError> {
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
    let mut pixels = Vec::new();
    source.append(&mut pixels, promised)?;
    source.end(promised)?;
    Ok(Images {
        rows: rows as usize,
        columns: columns as usize,
        pixels,
    })
}

fn labels<R: Read>(
    source: &mut Source<'_, R>,
    path: &Path,
    classes: usize,
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
    let mut bytes = Vec::new();
    source.append(&mut bytes, u64::from(count))?;
    source.end(u64::from(count))?;
    match bytes
        .iter()
        .position(|&label| usize::from(label) >= classes)
    {
        Some(index) => Err(DataError::LabelRange {
            path: path.to_path_buf(),
            index,
            label: bytes.get(index).map_or(0, |&label| i64::from(label)),
            classes,
        }),
        None => Ok(bytes.into_iter().map(u16::from).collect()),
    }
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

/// The four files of a set, each under the first of its names that exists.
pub(crate) struct Files {
    train_images: PathBuf,
    train_labels: PathBuf,
    test_images: PathBuf,
    test_labels: PathBuf,
}

impl Files {
    /// `Err` holds the name of the first file that is absent.
    pub(crate) fn find(dir: &Path) -> Result<Self, String> {
        let find = |part: &str, kind: &str| {
            let names = ["-", "."].into_iter().flat_map(|separator| {
                ["", ".gz"].map(|suffix| format!("{part}{separator}{kind}-ubyte{suffix}"))
            });
            names
                .map(|name| dir.join(name))
                .find(|path| path.is_file())
                .ok_or_else(|| format!("{part}-{kind}-ubyte.gz"))
        };
        Ok(Self {
            train_images: find("train-images", "idx3")?,
            train_labels: find("train-labels", "idx1")?,
            test_images: find("t10k-images", "idx3")?,
            test_labels: find("t10k-labels", "idx1")?,
        })
    }
}

/// Loads MNIST or a set of the same form: 28×28 grey images of ten classes.
pub(crate) fn load(
    set: &Published,
    classes: Vec<String>,
    normalization: Normalization,
    files: &Files,
) -> Result<(Dataset, Vec<Found>), DataError> {
    let mut found = Vec::new();
    let (train, test) = std::thread::scope(|scope| {
        let test = scope.spawn(|| part(set, &files.test_images, &files.test_labels, classes.len()));
        let train = part(set, &files.train_images, &files.train_labels, classes.len());
        let test = test
            .join()
            .unwrap_or_else(|_| Err(DataError::corrupt(&files.test_images, "the decoder failed")));
        (train, test)
    });
    let (train, mut train_found) = train?;
    let (test, mut test_found) = test?;
    found.append(&mut train_found);
    found.append(&mut test_found);
    Ok((
        Dataset::new(set.name, classes, normalization, train, test)?,
        found,
    ))
}

fn part(
    set: &Published,
    images_path: &Path,
    labels_path: &Path,
    classes: usize,
) -> Result<(Split, Vec<Found>), DataError> {
    let (labels, labels_found) = with_file(set, labels_path, |source| {
        labels(source, labels_path, classes)
    })?;
    let (images, images_found) = with_file(set, images_path, |source| images(source, images_path))?;
    if (images.rows, images.columns) != (28, 28) {
        return Err(DataError::ImageSize {
            path: images_path.to_path_buf(),
            found: (images.rows, images.columns, 1),
            expected: (28, 28, 1),
        });
    }
    if images.len() != labels.len() {
        return Err(DataError::CountMismatch {
            inputs_path: images_path.to_path_buf(),
            inputs: images.len(),
            targets_path: labels_path.to_path_buf(),
            targets: labels.len(),
        });
    }
    let shape = Shape::Image {
        channels: 1,
        height: 28,
        width: 28,
    };
    let split = Split::new(
        shape,
        Features::Bytes(images.pixels),
        Targets::Classes(labels),
    )?;
    Ok((split, vec![images_found, labels_found]))
}

fn with_file<T>(
    set: &Published,
    path: &Path,
    decode: impl FnOnce(&mut Source<'_, File>) -> Result<T, DataError>,
) -> Result<(T, Found), DataError> {
    let mut source = Source::open(path, Found::hashing(published_file(set, path), path))?;
    let value = decode(&mut source)?;
    Ok((
        value,
        Found {
            path: path.to_path_buf(),
            sha256: source.sha256(),
        },
    ))
}
