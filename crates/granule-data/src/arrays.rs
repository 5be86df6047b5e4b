//! NumPy arrays: pairs of `.npy` files, and `.npz` archives with the keys `x_train`, `y_train`, `x_test`, `y_test`
//! or `x`, `y`.
//!
//! Inputs are images, `uint8` of shape `[N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]` with C of 1 or 3, or feature vectors
//! of any number type and shape `[N, F]` or `[N]`. Targets are labels, integers of shape `[N]` or `[N, 1]`, or real values
//! of shape `[N]` or `[N, K]`.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::CrcReader;
use flate2::read::DeflateDecoder;

use crate::reading::{self, RESERVE_RATIO};
use crate::text::printable;
use crate::{DataError, Dataset, Features, Normalization, Shape, Split, Targets, division};

mod elements;
mod items;
mod npy;
mod write;
mod zip;

pub use items::read_items;
use npy::{Header, Kind};
pub use write::{NpzArray, write_npz};

const IMAGE_SHAPES: &str = "[N, F] or [N] for features, uint8 [N, H, W], [N, C, H, W] or [N, H, W, C] with C of 1 or 3 for images";

/// Reads an `.npy` file of inputs: images, or feature vectors of any number type.
///
/// # Errors
/// A [`DataError`] that names the file and what is wrong with it: type, rank, length, a number that is not finite.
pub fn read_inputs(path: &Path) -> Result<(Shape, Features), DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
    let len = file
        .metadata()
        .map_err(|error| DataError::io(path, "inspect", error))?
        .len();
    decode_inputs(BufReader::new(file), len, path)
}

/// Decodes an npy array of inputs of `len` bytes; `path` is for messages.
///
/// # Errors
/// As [`read_inputs`].
pub fn decode_inputs(
    mut reader: impl Read,
    len: u64,
    path: &Path,
) -> Result<(Shape, Features), DataError> {
    inputs(Array::plain(&mut reader, len, path)?)
}

/// Loads `.npy` files `x` and `y`, or the archive `x`.
pub(crate) fn load(x: &Path, y: Option<&Path>, seed: u64) -> Result<Dataset, DataError> {
    match y {
        Some(y) => {
            let open = |path| File::open(path).map_err(|error| DataError::io(path, "open", error));
            let (mut x_file, mut y_file) = (BufReader::new(open(x)?), BufReader::new(open(y)?));
            let len = |file: &BufReader<File>, path| {
                file.get_ref()
                    .metadata()
                    .map(|file| file.len())
                    .map_err(|error| DataError::io(path, "inspect", error))
            };
            let (x_len, y_len) = (len(&x_file, x)?, len(&y_file, y)?);
            let inputs = inputs(Array::plain(&mut x_file, x_len, x)?)?;
            let outputs = Outputs::read(Array::plain(&mut y_file, y_len, y)?)?;
            let classes = outputs.classes();
            divided(pair(inputs, outputs, x, y)?, classes, seed)
        }
        None => {
            let mut file =
                BufReader::new(File::open(x).map_err(|error| DataError::io(x, "open", error))?);
            decode_npz(&mut file, x, seed)
        }
    }
}

/// Decodes an `.npz` archive into a data set; `seed` decides the division when it holds only `x` and `y`. `path` is
/// for messages.
///
/// # Errors
/// As [`read_inputs`], and [`DataError::CountMismatch`], [`DataError::LabelRange`], [`DataError::Corrupt`].
pub fn decode_npz(
    file: &mut (impl Read + Seek),
    path: &Path,
    seed: u64,
) -> Result<Dataset, DataError> {
    let members = zip::members(file, path)?;
    let find = |key: &str| {
        members
            .iter()
            .find(|member| member.name.strip_suffix(".npy") == Some(key))
    };
    let inside = |key: &str| PathBuf::from(format!("{}!{key}", path.display()));
    let mut part = |x: &zip::Member, y: &zip::Member| {
        let (x_path, y_path) = (inside(&x.name), inside(&y.name));
        let inputs = with_member(file, x, path, &x_path, inputs)?;
        let outputs = with_member(file, y, path, &y_path, Outputs::read)?;
        Ok::<_, DataError>((inputs, outputs, x_path, y_path))
    };
    match (
        find("x_train"),
        find("y_train"),
        find("x_test"),
        find("y_test"),
        find("x"),
        find("y"),
    ) {
        (Some(x_train), Some(y_train), Some(x_test), Some(y_test), _, _) => {
            let (x, y, x_path, y_path) = part(x_train, y_train)?;
            let (x_test, y_test, x_test_path, y_test_path) = part(x_test, y_test)?;
            let classes = y.classes().max(y_test.classes());
            let train = pair(x, y, &x_path, &y_path)?;
            let test = pair(x_test, y_test, &x_test_path, &y_test_path)?;
            assemble(train, test, classes)
        }
        (_, _, _, _, Some(x), Some(y)) => {
            let (x, y, x_path, y_path) = part(x, y)?;
            let classes = y.classes();
            divided(pair(x, y, &x_path, &y_path)?, classes, seed)
        }
        _ => {
            let reason = format!(
                "holds [{}]; name the arrays x_train, y_train, x_test, y_test, or x, y",
                listed(&members)
            );
            Err(DataError::format(path, reason))
        }
    }
}

/// An array as single-precision numbers, in row-major order.
pub(crate) struct Floats {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// Reads the named arrays of an `.npz` archive, in the order asked for; others in it are left alone. `first` is read in
/// double precision.
///
/// # Errors
/// As [`read_inputs`]; [`DataError::Format`] when one is missing says which ones are there.
pub(crate) fn read_npz(
    path: &Path,
    first: &str,
    names: &[&str],
) -> Result<(Vec<f64>, Vec<Floats>), DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
    let mut file = BufReader::new(file);
    let members = zip::members(&mut file, path)?;
    let find = |name: &str| {
        members
            .iter()
            .find(|member| member.name.strip_suffix(".npy") == Some(name))
            .map(|member| {
                let inside = format!("{}!{}", path.display(), member.name);
                (member, PathBuf::from(inside))
            })
            .ok_or_else(|| {
                let there = listed(&members);
                DataError::format(path, format!("no array {name:?} in it; it holds [{there}]"))
            })
    };
    let (member, inside) = find(first)?;
    let first = with_member(&mut file, member, path, &inside, elements::doubles)?;
    let read = |name: &&str| {
        let (member, inside) = find(name)?;
        with_member(&mut file, member, path, &inside, |array| {
            Ok(Floats {
                shape: array.extents(),
                values: elements::floats(array)?,
            })
        })
    };
    let rest = names.iter().map(read).collect::<Result<_, _>>()?;
    Ok((first, rest))
}

/// The shape and the values of an array in double precision.
pub(crate) type Doubles = (Vec<usize>, Vec<f64>);

fn doubles(array: Array<'_>) -> Result<Doubles, DataError> {
    Ok((array.extents(), elements::doubles(array)?))
}

/// Reads an `.npy` file of any number type in double precision.
pub(crate) fn read_npy(path: &Path) -> Result<Doubles, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
    let len = file
        .metadata()
        .map_err(|error| DataError::io(path, "inspect", error))?
        .len();
    doubles(Array::plain(&mut BufReader::new(file), len, path)?)
}

/// Reads one array of an `.npz` archive, as [`read_npy`].
pub(crate) fn read_member(path: &Path, name: &str) -> Result<Doubles, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
    let mut file = BufReader::new(file);
    let members = zip::members(&mut file, path)?;
    let own = |member: &&zip::Member| member.name.strip_suffix(".npy") == Some(name);
    match members.iter().find(own) {
        Some(member) => {
            let inside = PathBuf::from(format!("{}!{}", path.display(), member.name));
            with_member(&mut file, member, path, &inside, doubles)
        }
        None => {
            let there = listed(&members);
            let reason = format!("no array {name:?} in it; it holds [{there}]");
            Err(DataError::format(path, reason))
        }
    }
}

/// The names of the arrays of numbers in an `.npz` archive, in its order.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
    let mut file = BufReader::new(file);
    let mut names = Vec::new();
    for member in zip::members(&mut file, path)? {
        let inside = PathBuf::from(format!("{}!{}", path.display(), member.name));
        let mut descr = String::new();
        // The header alone is read, so that the checksum says nothing.
        let found = with_member(&mut file, &member, path, &inside, |array| {
            descr.clone_from(&array.header.descr);
            Ok(())
        });
        let refused = matches!(
            found,
            Err(DataError::ArrayType { .. } | DataError::Empty { .. })
        );
        let text = descr.contains(['U', 'S']);
        if !refused && !text {
            names.push(member.name.trim_end_matches(".npy").to_owned());
        }
    }
    Ok(names)
}

/// The names of the arrays in an archive.
fn listed(members: &[zip::Member]) -> String {
    let names: Vec<_> = members
        .iter()
        .map(|member| printable(member.name.trim_end_matches(".npy")))
        .collect();
    names.join(", ")
}

fn divided(split: Split, classes: usize, seed: u64) -> Result<Dataset, DataError> {
    let (train, test) = division::divide(&split, seed)?;
    assemble(train, test, classes)
}

fn assemble(train: Split, test: Split, classes: usize) -> Result<Dataset, DataError> {
    let names = (0..classes).map(|class| class.to_string()).collect();
    let normalization = Normalization::of(&train);
    Dataset::new("arrays", names, normalization, train, test)
}

fn pair(
    inputs: (Shape, Features),
    outputs: Outputs,
    x: &Path,
    y: &Path,
) -> Result<Split, DataError> {
    let (shape, features) = inputs;
    let (inputs, targets) = (features.len() / shape.len().max(1), outputs.len());
    if inputs != targets {
        return Err(DataError::CountMismatch {
            inputs_path: x.to_path_buf(),
            inputs,
            targets_path: y.to_path_buf(),
            targets,
        });
    }
    Split::new(shape, features, outputs.targets())
}

/// An array whose header is read and whose data comes next.
struct Array<'a> {
    header: Header,
    reader: &'a mut dyn Read,
    reserve: u64,
    path: &'a Path,
}

impl<'a> Array<'a> {
    /// `len` is the length of header and data together.
    fn plain(reader: &'a mut dyn Read, len: u64, path: &'a Path) -> Result<Self, DataError> {
        let array = Self::new(reader, len, path)?;
        array.check_len(len)?;
        Ok(array)
    }

    fn new(reader: &'a mut dyn Read, reserve: u64, path: &'a Path) -> Result<Self, DataError> {
        let header = Header::read(reader, path)?;
        if header.elements() == 0 {
            let what = format!("holds no numbers: its shape is {:?}", header.shape);
            return Err(DataError::Empty {
                path: path.to_path_buf(),
                what,
            });
        }
        Ok(Self {
            header,
            reader,
            reserve,
            path,
        })
    }

    fn check_len(&self, len: u64) -> Result<(), DataError> {
        let (promised, there) = (
            self.header.data_bytes(),
            len.saturating_sub(self.header.bytes),
        );
        match there.cmp(&promised) {
            std::cmp::Ordering::Less => Err(reading::truncated(self.path, promised, there)),
            std::cmp::Ordering::Greater => Err(DataError::Trailing {
                path: self.path.to_path_buf(),
                expected: promised,
            }),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    fn wrong_shape(&self, allowed: &str) -> DataError {
        DataError::ArrayShape {
            path: self.path.to_path_buf(),
            found: self.header.shape.clone(),
            allowed: allowed.to_string(),
        }
    }

    /// The extents; all fit, as the whole array does.
    fn extents(&self) -> Vec<usize> {
        self.header
            .shape
            .iter()
            .map(|&extent| usize::try_from(extent).unwrap_or(usize::MAX))
            .collect()
    }
}

fn with_member<T>(
    file: &mut (impl Read + Seek),
    member: &zip::Member,
    archive: &Path,
    path: &Path,
    read: impl FnOnce(Array<'_>) -> Result<T, DataError>,
) -> Result<T, DataError> {
    zip::seek_to(member, file, archive)?;
    let stored = file.take(member.stored_bytes);
    let mut stream = CrcReader::new(match member.method {
        zip::Method::Stored => Box::new(stored) as Box<dyn Read>,
        zip::Method::Deflate => Box::new(DeflateDecoder::new(stored)),
    });
    let array = Array::new(
        &mut stream,
        member.stored_bytes.saturating_mul(RESERVE_RATIO),
        path,
    )?;
    array.check_len(member.bytes)?;
    if member.method == zip::Method::Deflate {
        let limit = reading::decoded_limit(member.stored_bytes);
        reading::check_limit(path, array.header.data_bytes(), limit)?;
    }
    let value = read(array)?;
    if stream.crc().sum() != member.crc {
        return Err(DataError::corrupt(path, "its checksum is wrong"));
    }
    Ok(value)
}

fn inputs(array: Array<'_>) -> Result<(Shape, Features), DataError> {
    let extents = array.extents();
    match extents.as_slice() {
        [_] => Ok((
            Shape::Vector { len: 1 },
            Features::Floats(elements::floats(array)?),
        )),
        &[_, len] => Ok((
            Shape::Vector { len },
            Features::Floats(elements::floats(array)?),
        )),
        [_, _, _] | [_, _, _, _] if array.header.kind != Kind::U8 => Err(DataError::ArrayType {
            path: array.path.to_path_buf(),
            found: array.header.descr.clone(),
            allowed: "uint8 for images; feature vectors have shape [N, F]",
        }),
        &[_, height, width] => {
            let shape = Shape::Image {
                channels: 1,
                height,
                width,
            };
            Ok((shape, Features::Bytes(elements::bytes(array)?)))
        }
        &[_, channels @ (1 | 3), height, width] => {
            let shape = Shape::Image {
                channels,
                height,
                width,
            };
            Ok((shape, Features::Bytes(elements::bytes(array)?)))
        }
        &[_, height, width, channels @ (1 | 3)] => {
            let shape = Shape::Image {
                channels,
                height,
                width,
            };
            let mut pixels = elements::bytes(array)?;
            elements::channels_first(&mut pixels, height * width, channels);
            Ok((shape, Features::Bytes(pixels)))
        }
        _ => Err(array.wrong_shape(IMAGE_SHAPES)),
    }
}

enum Outputs {
    Labels(Vec<u16>),
    Values { data: Vec<f32>, width: usize },
}

impl Outputs {
    fn read(array: Array<'_>) -> Result<Self, DataError> {
        let extents = array.extents();
        match extents.as_slice() {
            [_] | [_, 1] if !array.header.kind.is_float() => {
                Ok(Self::Labels(elements::labels(array)?))
            }
            [_] => Ok(Self::Values {
                data: elements::floats(array)?,
                width: 1,
            }),
            &[_, width] => Ok(Self::Values {
                data: elements::floats(array)?,
                width,
            }),
            _ => Err(array.wrong_shape("[N] for labels, [N] or [N, K] for real-valued targets")),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Values { data, width } => data.len() / (*width).max(1),
        }
    }

    /// Number of classes, 0 for real values.
    fn classes(&self) -> usize {
        match self {
            Self::Labels(labels) => labels.iter().max().map_or(0, |&max| usize::from(max) + 1),
            Self::Values { .. } => 0,
        }
    }

    fn targets(self) -> Targets {
        match self {
            Self::Labels(labels) => Targets::Classes(labels),
            Self::Values { data, width } => Targets::Values { data, width },
        }
    }
}
