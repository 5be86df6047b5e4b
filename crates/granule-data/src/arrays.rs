//! NumPy arrays: pairs of `.npy` files, and `.npz` archives with the keys `x_train`, `y_train`, `x_test`, `y_test`
//! or `x`, `y`.
//!
//! Inputs are images of shape `[N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]` with C of 1 or 3, or feature vectors of shape
//! `[N, F]` or `[N]`. Integers from 0 to 255 are pixels, floating-point numbers from 0 to 1 are intensities, and
//! [`ArrayOptions::range`] says anything else.
//!
//! Targets are labels, integers or strings of shape `[N]` or `[N, 1]`, or real values of shape `[N]` or `[N, K]`. The
//! classes are the labels that occur. One-hot rows and whole-numbered floats that look like labels are taken for labels;
//! [`ArrayOptions::targets`] decides otherwise.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use crate::reading;
use crate::{DataError, Dataset, Features, Normalization, Shape, Split, Targets, division};

mod archive;
mod elements;
mod images;
mod items;
mod npy;
mod targets;
mod values;
mod write;
mod zip;

pub(crate) use archive::Archive;
pub use items::{Items, read_items};
use npy::Header;
pub(crate) use npy::Kind;
pub(crate) use targets::Outputs;
pub use targets::TargetKind;
use values::Values;
pub use write::{NpzArray, write_npz};

const SHAPES: &str = "[N, F] or [N] for features, [N, H, W], [N, C, H, W] or [N, H, W, C] with C of 1 or 3 for images";

/// What the user says about arrays, and about IDX files, which hold arrays too.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ArrayOptions {
    /// The numbers of images that are black and white; absent: 0 and 255 for integers, 0 and 1 for floating-point
    /// numbers.
    pub range: Option<[f64; 2]>,
    /// Whether images are stored by columns, so that rows and columns have to be exchanged.
    pub transpose: bool,
    /// What targets are taken for; absent: what they look like.
    pub targets: Option<TargetKind>,
}

/// The inputs of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// The extents of one sample.
    pub shape: Shape,
    /// All samples.
    pub features: Features,
    /// What was subtracted from each feature before it was cut to single precision; empty: nothing.
    pub offset: Vec<f64>,
    /// What the numbers were taken for, where that is not plain.
    pub note: Option<String>,
}

/// Reads an `.npy` file of inputs: images, or feature vectors, of any number type.
///
/// # Errors
/// A [`DataError`] that names the file and what is wrong with it: type, rank, length, a number that is not finite, images
/// whose numbers are neither pixels nor intensities.
pub fn read_inputs(path: &Path, options: &ArrayOptions) -> Result<Inputs, DataError> {
    let (file, len) = reading::open(path)?;
    decode_inputs(BufReader::new(file), len, path, options)
}

/// Decodes an npy array of inputs of `len` bytes; `path` is for messages.
///
/// # Errors
/// As [`read_inputs`].
pub fn decode_inputs(
    mut reader: impl Read,
    len: u64,
    path: &Path,
    options: &ArrayOptions,
) -> Result<Inputs, DataError> {
    RawInputs::read(Array::plain(&mut reader, len, path)?, options)?.cut(None, path)
}

/// Loads `.npy` files `x` and `y`, or the archive `x`.
pub(crate) fn load(
    x: &Path,
    y: Option<&Path>,
    seed: u64,
    options: &ArrayOptions,
) -> Result<Dataset, DataError> {
    let Some(y) = y else {
        let (file, _) = reading::open(x)?;
        return decode_npz(&mut BufReader::new(file), x, seed, options);
    };
    let mut notes = Vec::new();
    let (file, len) = reading::open(x)?;
    let mut file = BufReader::new(file);
    let inputs = RawInputs::read(Array::plain(&mut file, len, x)?, options)?;
    let (file, len) = reading::open(y)?;
    let mut file = BufReader::new(file);
    let outputs = Outputs::read(
        Array::plain(&mut file, len, y)?,
        options.targets,
        &mut notes,
    )?;
    let part = Part {
        inputs,
        outputs,
        x: x.to_owned(),
        y: y.to_owned(),
    };
    assemble("arrays", vec![part], seed, notes, &HashMap::new())
}

/// Decodes an `.npz` archive into a data set; `seed` decides the division when it holds only `x` and `y`. `path` is
/// for messages.
///
/// # Errors
/// As [`read_inputs`], and [`DataError::CountMismatch`], [`DataError::Corrupt`].
pub fn decode_npz(
    file: &mut (impl Read + Seek),
    path: &Path,
    seed: u64,
    options: &ArrayOptions,
) -> Result<Dataset, DataError> {
    let mut archive = Archive::new(file, path)?;
    let mut notes = Vec::new();
    let divided = ["x_train", "y_train", "x_test", "y_test"];
    let parts = if divided.iter().all(|key| archive.has(key)) {
        let train = archive.part("x_train", "y_train", options, options.targets, &mut notes)?;
        let kind = train.outputs.kind();
        let test = archive.part("x_test", "y_test", options, Some(kind), &mut notes)?;
        vec![train, test]
    } else if archive.has("x") && archive.has("y") {
        vec![archive.part("x", "y", options, options.targets, &mut notes)?]
    } else {
        let reason = format!(
            "holds [{}]; name the arrays x_train, y_train, x_test, y_test, or x, y",
            archive.listed()
        );
        return Err(DataError::format(path, reason));
    };
    assemble("arrays", parts, seed, notes, &HashMap::new())
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
    let mut archive = Archive::open(path)?;
    let first = archive.read(first, elements::doubles)?;
    let read = |name: &&str| {
        archive.read(name, |array| {
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
    let (file, len) = reading::open(path)?;
    doubles(Array::plain(&mut BufReader::new(file), len, path)?)
}

/// Inputs and targets of a part of a data set, and where they are from.
pub(crate) struct Part {
    pub(crate) inputs: RawInputs,
    pub(crate) outputs: Outputs,
    pub(crate) x: PathBuf,
    pub(crate) y: PathBuf,
}

/// A data set of a training and a test part, or of one part that is divided. `names` has other names for labels; all of
/// them take it, or none.
pub(crate) fn assemble(
    name: &str,
    parts: Vec<Part>,
    seed: u64,
    mut notes: Vec<String>,
    names: &HashMap<String, String>,
) -> Result<Dataset, DataError> {
    let (mut offset, mut target_offset): (Option<Vec<f64>>, Option<Vec<f64>>) = (None, None);
    let (mut inputs, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken_for: Option<String> = None;
    let mut first_y = None;
    // Columns of the first part, and where they are from.
    let (mut differing, mut differing_targets) = <((Vec<bool>, _), (Vec<bool>, _))>::default();
    for part in parts {
        let (samples, count) = (part.inputs.samples(), part.outputs.len());
        if samples != count {
            return Err(DataError::CountMismatch {
                inputs_path: part.x,
                inputs: samples,
                targets_path: part.y,
                targets: count,
            });
        }
        if let (RawInputs::Vectors(values), None) = (&part.inputs, &offset) {
            differing = (values.differing(&part.x)?, part.x.clone());
        }
        let cut = part.inputs.cut(offset.as_deref(), &part.x)?;
        if let Some(note) = cut
            .note
            .as_ref()
            .filter(|note| taken_for.as_ref() != Some(note))
        {
            notes.push(format!("{}: {note}", part.x.display()));
            taken_for = Some(note.clone());
        }
        offset.get_or_insert_with(|| cut.offset.clone());
        inputs.push(cut);
        match part.outputs {
            Outputs::Labels(part) => labels.push(part),
            Outputs::Values(part_values) => {
                let offset = match target_offset.take() {
                    Some(offset) => offset,
                    None => {
                        differing_targets = (part_values.differing(&part.y)?, part.y.clone());
                        part_values.offset(&part.y)?
                    }
                };
                let width = part_values.width;
                let data = part_values.cut(&offset, &part.y)?;
                target_offset = Some(offset);
                values.push(Targets::Values { data, width });
            }
        }
        first_y.get_or_insert(part.y);
    }
    let y = first_y.unwrap_or_default();
    let (classes, targets) = if labels.is_empty() {
        (Vec::new(), values)
    } else {
        targets::classes(labels, names, &y, &mut notes)?
    };
    let target_offset = target_offset.unwrap_or_default();
    let splits = inputs.into_iter().zip(targets).map(|(inputs, targets)| {
        Split::new(inputs.shape, inputs.features, targets)?
            .centred(inputs.offset, target_offset.clone())
    });
    let mut splits = splits.collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut divided = false;
    let (train, test) = match (splits.next(), splits.next()) {
        (Some(train), Some(test)) => (train, test),
        (Some(all), None) => {
            divided = true;
            division::divide(&all, seed)?
        }
        _ => {
            let what = "holds no arrays".to_owned();
            return Err(DataError::Empty { path: y, what });
        }
    };
    let normalization = Normalization::of(&train);
    let mut dataset = Dataset::new(name, classes, normalization, train, test)?;
    dataset.notes = notes;
    dataset.divided = divided;
    if let Features::Floats(data) = dataset.train.features() {
        let std = &dataset.normalization.std;
        let lost = vanished("feature", &differing, data, std);
        dataset.warnings.extend(lost);
    }
    if let Targets::Values { data, .. } = dataset.train.targets() {
        let std = Normalization::of_targets(&dataset.train).std;
        let lost = vanished("target", &differing_targets, data, &std);
        dataset.warnings.extend(lost);
    }
    Ok(dataset)
}

/// The least range of a normalised column that a model sees anything of: of others it is some deviations.
const SEEN: f64 = 1e-4;
/// Columns that a warning names.
const MOST_COLUMNS: usize = 8;

/// A warning of the columns that differ from row to row in their file, and no longer do once a model sees them.
fn vanished(
    what: &str,
    (differing, path): &(Vec<bool>, PathBuf),
    data: &[f32],
    std: &[f32],
) -> Option<String> {
    if !differing.contains(&true) {
        return None;
    }
    let width = differing.len();
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); width];
    for row in data.chunks_exact(width) {
        for ((low, high), x) in ranges.iter_mut().zip(row) {
            (*low, *high) = (low.min(*x), high.max(*x));
        }
    }
    let columns = differing.iter().zip(ranges).enumerate();
    let mut lost = columns.filter_map(|(column, (differs, (low, high)))| {
        let std = std.get(column).copied().map_or(1.0, f64::from);
        let seen = f64::from(high) - f64::from(low) >= SEEN * std;
        (*differs && !seen).then_some(column)
    });
    let named: Vec<String> = lost
        .by_ref()
        .take(MOST_COLUMNS)
        .map(|column| column.to_string())
        .collect();
    let more = match lost.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| {
        format!(
            "{}: {what} {}{more}, counted from 0, differs from row to row by less than the model can see, which computes in \
             32 bits; save it with a smaller offset or in another unit",
            path.display(),
            named.join(", ")
        )
    })
}

/// An array whose header is read and whose data comes next.
pub(crate) struct Array<'a> {
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
        Self::with_header(header, reader, reserve, path)
    }

    fn with_header(
        header: Header,
        reader: &'a mut dyn Read,
        reserve: u64,
        path: &'a Path,
    ) -> Result<Self, DataError> {
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

    /// An array of big-endian numbers whose data comes next, in a stream that decodes to at most `limit` bytes; `reserve` of
    /// them may be held before they arrive.
    pub(crate) fn of_numbers(
        kind: Kind,
        shape: Vec<u64>,
        reader: &'a mut dyn Read,
        (limit, reserve): (u64, u64),
        path: &'a Path,
    ) -> Result<Self, DataError> {
        let header = Header::of_numbers(kind, shape, path)?;
        reading::check_limit(path, header.data_bytes(), limit)?;
        Self::with_header(header, reader, reserve, path)
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

    /// Refuses strings.
    fn check_numbers(&self) -> Result<(), DataError> {
        if self.header.kind.is_text() {
            Err(DataError::ArrayType {
                path: self.path.to_path_buf(),
                found: self.header.descr.clone(),
                allowed: "numbers; strings are names of classes, in y",
            })
        } else {
            Ok(())
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
    pub(crate) fn extents(&self) -> Vec<usize> {
        self.header
            .shape
            .iter()
            .map(|&extent| usize::try_from(extent).unwrap_or(usize::MAX))
            .collect()
    }
}

/// Inputs before features are cut to single precision.
pub(crate) enum RawInputs {
    Images {
        shape: Shape,
        features: Features,
        note: String,
    },
    Vectors(Values),
}

impl RawInputs {
    pub(crate) fn read(array: Array<'_>, options: &ArrayOptions) -> Result<Self, DataError> {
        if matches!(array.header.shape.len(), 1 | 2) {
            return Ok(Self::Vectors(Values::read(array)?));
        }
        let path = array.path;
        let (shape, order) =
            images::layout(&array.header).ok_or_else(|| array.wrong_shape(SHAPES))?;
        let (mut features, note) = images::read(array, shape, order, options.range)?;
        let mut turned = shape;
        if options.transpose {
            (turned, features) = images::transpose(shape, features, path)?;
        }
        Ok(Self::Images {
            shape: turned,
            features,
            note,
        })
    }

    fn samples(&self) -> usize {
        match self {
            Self::Images {
                shape, features, ..
            } => features.len() / shape.len().max(1),
            Self::Vectors(values) => values.len() / values.width.max(1),
        }
    }

    /// Cuts features to single precision, less `offset`, or less what they need.
    fn cut(self, offset: Option<&[f64]>, path: &Path) -> Result<Inputs, DataError> {
        match self {
            Self::Images {
                shape,
                features,
                note,
            } => Ok(Inputs {
                shape,
                features,
                offset: Vec::new(),
                note: Some(note),
            }),
            Self::Vectors(values) => {
                let len = values.width;
                // A test part of another width has no use for the offset; it is refused later.
                let offset = match offset.filter(|offset| offset.is_empty() || offset.len() == len)
                {
                    Some(offset) => offset.to_vec(),
                    None => values.offset(path)?,
                };
                Ok(Inputs {
                    shape: Shape::Vector { len },
                    features: Features::Floats(values.cut(&offset, path)?),
                    offset,
                    note: None,
                })
            }
        }
    }
}
