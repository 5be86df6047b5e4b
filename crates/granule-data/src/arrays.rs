//! NumPy arrays: pairs of `.npy` files, and `.npz` archives with the keys `x_train`, `y_train`, `x_test`, `y_test`
//! or `x`, `y`; `x_val`, `y_val` beside them are the validation part.
//!
//! Inputs are images of shape `[N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]` with C of 1 or 3, or feature vectors of shape
//! `[N, F]` or `[N]`; or sequences of shape `[N, T, C]` or `[N, T]` where [`ArrayOptions::layout`] says so. Integers from 0 to 255 are pixels, floating-point numbers from 0 to 1 are intensities, and
//! [`ArrayOptions::range`] says anything else.
//!
//! Targets are labels, integers or strings of shape `[N]` or `[N, 1]`, or real values of shape `[N]` or `[N, K]`. The
//! classes are the labels that occur. One-hot rows and whole-numbered floats that look like labels are taken for labels;
//! [`ArrayOptions::targets`] decides otherwise.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use granule_io::words::first_of;

use crate::division::{Division, VALIDATION, full, part_begun};
use crate::reading;
use crate::{DataError, Dataset, Features, Normalization, Shape, Split, Targets, division};

mod archive;
mod elements;
mod images;
mod items;
mod npy;
mod survey;
mod targets;
mod values;
mod write;
mod zip;

pub(crate) use archive::Archive;
pub use archive::{ArrayHeader, NpzNumbers};
pub(crate) use elements::doubles_of;
pub use images::LITTLE;
pub use items::{Items, decode_items, read_items};
use npy::Header;
pub(crate) use npy::Kind;
pub(crate) use survey::Survey;
pub(crate) use targets::Outputs;
pub use targets::TargetKind;
pub(crate) use values::Values;
pub use write::{GrowingNpy, NpzArray, write_npz};
pub use zip::ZipArchive;

const SEQUENCES: &str = "[N, steps, channels] or [N, steps] for sequences (data.layout)";

const SHAPES: &str = "[N, F] or [N] for features, [N, H, W], [N, C, H, W] or [N, H, W, C] with C of 1 or 3 for images";

/// What the user says about arrays, and about IDX files, which hold arrays too.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ArrayOptions {
    /// The numbers of images that are black and white; absent: 0 and 255 for integers, 0 and 1 for floating-point
    /// numbers.
    pub range: Option<[f64; 2]>,
    /// What the arrays hold; absent: vectors where they have one or two dimensions, else images.
    pub layout: Option<Layout>,
    /// Whether images are stored by columns, so that rows and columns have to be exchanged.
    pub transpose: bool,
    /// What targets are taken for; absent: what they look like.
    pub targets: Option<TargetKind>,
}

/// What an array of inputs holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Sequences of any numbers, `[N, steps, channels]`, or `[N, steps]` of one channel; each channel is standardised.
    Sequence,
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
    division: Division,
    options: &ArrayOptions,
) -> Result<Dataset, DataError> {
    let Some(y) = y else {
        let (file, _) = reading::open(x)?;
        return of_archive(&mut BufReader::new(file), x, division, options);
    };
    let mut sources = Sources::default();
    let (file, len) = reading::open(x)?;
    let mut file = BufReader::new(file);
    let inputs = RawInputs::read(Array::plain(&mut file, len, x)?, options)?;
    let (file, len) = reading::open(y)?;
    let mut file = BufReader::new(file);
    let outputs = Outputs::read(
        Array::plain(&mut file, len, y)?,
        options.targets,
        &mut sources.notes,
    )?;
    sources.parts.push(Part {
        inputs,
        outputs,
        x: x.to_owned(),
        y: y.to_owned(),
    });
    assemble("arrays", sources, division, &HashMap::new())
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
    let scored = false;
    of_archive(file, path, Division { seed, scored }, options)
}

fn of_archive(
    file: &mut (impl Read + Seek),
    path: &Path,
    division: Division,
    options: &ArrayOptions,
) -> Result<Dataset, DataError> {
    let mut archive = Archive::new(file, path)?;
    let mut sources = Sources::default();
    let both = |part: &str| [format!("x_{part}"), format!("y_{part}")];
    let has = |[x, y]: &[String; 2]| archive.has(x) && archive.has(y);
    let [train, test] = [both("train"), both("test")];
    let whole = ["x".to_owned(), "y".to_owned()];
    let mut validations = VALIDATION.map(both).into_iter().filter(&has);
    let validation = validations.next();
    if let (Some([first, _]), Some([second, _])) = (&validation, validations.next()) {
        let reason =
            format!("holds {first} and {second}; only one of them can be the validation part");
        return Err(DataError::format(path, reason));
    }
    let mut chosen = Vec::new();
    let mut of_validation = None;
    match validation {
        validation if has(&train) && has(&test) => {
            chosen.extend([train, test]);
            of_validation = validation;
        }
        Some(validation) if has(&train) => {
            sources.notes.push(format!(
                "{}: {} and {} are taken for the test part, as there are no {} and {}",
                path.display(),
                validation[0],
                validation[1],
                test[0],
                test[1]
            ));
            chosen.extend([train, validation]);
        }
        validation if has(&whole) => {
            chosen.push(whole);
            of_validation = validation;
        }
        _ => {
            let reason = format!(
                "holds [{}]; name the arrays x_train, y_train, x_test, y_test, or x, y",
                archive.listed()
            );
            return Err(DataError::format(path, reason));
        }
    }
    let mut kind = options.targets;
    let read: Vec<&str> = chosen
        .iter()
        .chain(&of_validation)
        .flatten()
        .map(String::as_str)
        .collect();
    sources.tell_unread(&archive.unread(&read), &read, path);
    for [x, y] in &chosen {
        let part = archive.part(x, y, options, kind, &mut sources.notes)?;
        kind.get_or_insert(part.outputs.kind());
        sources.parts.push(part);
    }
    if let Some([x, y]) = &of_validation {
        let part = archive.part(x, y, options, kind, &mut sources.notes)?;
        sources.notes.push(format!(
            "{}: {x} and {y} are the validation part, so that nothing is held out of the training part",
            path.display()
        ));
        sources.validation = Some(part);
    }
    assemble("arrays", sources, division, &HashMap::new())
}

/// An array as single-precision numbers, in row-major order.
pub(crate) struct Floats {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// The first array, the others that were asked for, and the names of those that were not.
type Named = (Vec<f64>, Vec<Floats>, Vec<String>);

/// Reads the named arrays of an `.npz` archive, in the order asked for; others in it are left alone. `first` is read in
/// double precision.
///
/// # Errors
/// As [`read_inputs`]; [`DataError::Format`] when one is missing says which ones are there.
pub(crate) fn read_npz(path: &Path, first: &str, names: &[&str]) -> Result<Named, DataError> {
    let mut archive = Archive::open(path)?;
    let others = archive.names()?;
    let others = others.into_iter();
    let others = others
        .filter(|name| name != first && !names.contains(&name.as_str()))
        .collect();
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
    Ok((first, rest, others))
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

/// What a data set is made of.
#[derive(Default)]
pub(crate) struct Sources {
    /// A training and a test part, or one part that is divided.
    pub(crate) parts: Vec<Part>,
    pub(crate) validation: Option<Part>,
    pub(crate) notes: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Sources {
    /// Says which arrays of an archive nobody reads: those that look like samples are warned of.
    fn tell_unread(&mut self, unread: &[String], read: &[&str], path: &Path) {
        let part_of = |name: &str| part_begun(name.strip_prefix(['x', 'y'])?.strip_prefix('_')?);
        let samples =
            |name: &&String| ["x", "y"].contains(&name.as_str()) || part_of(name).is_some();
        let (like_samples, others): (Vec<&String>, Vec<&String>) =
            unread.iter().partition(|name| samples(name));
        let list = |names: &[&String]| format!("[{}]", first_of(names, MOST_COLUMNS));
        let (path, read) = (path.display(), read.join(", "));
        if !like_samples.is_empty() {
            // A part that is not there may stand under another name.
            let is_read = |part: &str| read.split(", ").any(|name| part_of(name) == Some(part));
            let meant = like_samples.iter().find_map(|name| {
                let part = part_of(name).filter(|part| !is_read(part))?;
                let axis = name.get(..1)?;
                Some(format!(
                    "; if {name} is of the {} part, call it {axis}_{part}",
                    full(part)
                ))
            });
            self.warnings.push(format!(
                "{path}: {} in it left out, read are [{read}]{}",
                list(&like_samples),
                meant.unwrap_or_default()
            ));
        }
        if !others.is_empty() {
            self.notes
                .push(format!("{path}: read are [{read}], not {}", list(&others)));
        }
    }
}

/// The data set of its sources. `names` has other names for labels; all of them take it, or none.
pub(crate) fn assemble(
    name: &str,
    sources: Sources,
    division: Division,
    names: &HashMap<String, String>,
) -> Result<Dataset, DataError> {
    let Sources {
        parts,
        validation,
        mut notes,
        mut warnings,
    } = sources;
    let paths = |part: &Part| (part.x.clone(), part.y.clone());
    let of_validation = validation.as_ref().map(paths);
    let of_test = parts.last().map(paths).unwrap_or_default();
    let (mut offset, mut target_offset): (Option<Vec<f64>>, Option<Vec<f64>>) = (None, None);
    let (mut inputs, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut taken_for: Option<String> = None;
    let mut first: Option<(PathBuf, PathBuf)> = None;
    // Columns of the first part, and where they are from.
    let (mut differing, mut differing_targets) = <((Vec<bool>, _), (Vec<bool>, _))>::default();
    for mut part in parts.into_iter().chain(validation) {
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
        if let RawInputs::Images { warning, .. } = &mut part.inputs
            && let Some(warning) = warning.take().filter(|_| first.is_none())
        {
            warnings.push(format!("{}: {warning}", part.x.display()));
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
            Outputs::Labels(of_part) => labels.push((of_part, part.y.clone())),
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
        first.get_or_insert((part.x, part.y));
    }
    let (x, y) = first.unwrap_or_default();
    let (classes, targets) = if labels.is_empty() {
        (Vec::new(), values)
    } else {
        targets::classes(labels, names, &mut notes)?
    };
    let target_offset = target_offset.unwrap_or_default();
    let splits = inputs.into_iter().zip(targets).map(|(inputs, targets)| {
        Split::new(inputs.shape, inputs.features, targets)?
            .centred(inputs.offset, target_offset.clone())
    });
    let mut splits = splits.collect::<Result<Vec<_>, _>>()?;
    let validation = of_validation.as_ref().and_then(|_| splits.pop());
    let mut splits = splits.into_iter();
    let mut divided = false;
    let (train, test) = match (splits.next(), splits.next()) {
        (Some(train), Some(test)) => (train, test),
        (Some(all), None) => match division.of(&all, &x)? {
            // One sample of each class cannot be divided, and need not be.
            None => {
                notes.push(division::undivided(&x, all.len()));
                (all.subset(&[0])?, all)
            }
            Some(parts) => {
                divided = true;
                parts
            }
        },
        _ => {
            let what = "holds no arrays".to_owned();
            return Err(DataError::Empty { path: y, what });
        }
    };
    let normalization = Normalization::of(&train);
    let mut dataset = Dataset::new(name, classes, normalization, train, test)
        .map_err(|error| error.of_part("test", &of_test.0, &of_test.1))?;
    if let Some(validation) = validation {
        let (x, y) = of_validation.unwrap_or_default();
        dataset = dataset
            .with_validation(validation)
            .map_err(|error| error.of_part("validation", &x, &y))?;
    }
    dataset.notes = notes;
    dataset.divided = divided;
    dataset.warnings.extend(warnings);
    let (train, test) = (&dataset.train, &dataset.test);
    let mut found = Vec::new();
    if let (Features::Floats(train), Features::Floats(test)) = (train.features(), test.features()) {
        let std = &dataset.normalization.std;
        found.extend(vanished("feature", &differing, [train, test], std));
    }
    if let (Targets::Values { data: train, .. }, Targets::Values { data: test, .. }) =
        (train.targets(), test.targets())
    {
        let std = &dataset.target_normalization.std;
        found.extend(vanished("target", &differing_targets, [train, test], std));
    }
    if found.is_empty() {
        found = dataset.sameness();
    }
    dataset.warnings.extend(found);
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
    parts: [&Vec<f32>; 2],
    std: &[f32],
) -> Option<String> {
    if !differing.contains(&true) {
        return None;
    }
    let width = differing.len();
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); width];
    // Rows that a random division puts into the test part may be the only ones that differ.
    for row in parts.into_iter().flat_map(|data| data.chunks_exact(width)) {
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

/// The names of the classes that occur in labels, each with the path of its file, and the targets of each.
pub(crate) fn named_classes(
    labels: Vec<(targets::Labels, PathBuf)>,
    notes: &mut Vec<String>,
) -> Result<(Vec<String>, Vec<Targets>), DataError> {
    targets::classes(labels, &HashMap::new(), notes)
}

/// Type, order, extents and bytes of some rows of an array.
pub(crate) type Chosen = ((Kind, (bool, bool)), Vec<u64>, Vec<u8>);

/// An array whose header is read and whose data comes next.
pub(crate) struct Array<'a> {
    header: Header,
    reader: &'a mut dyn Read,
    reserve: u64,
    path: &'a Path,
}

impl<'a> Array<'a> {
    /// `len` is the length of header and data together.
    pub(crate) fn plain(
        reader: &'a mut dyn Read,
        len: u64,
        path: &'a Path,
    ) -> Result<Self, DataError> {
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
            return Err(npy::no_numbers(&header.shape, path));
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

    /// An array whose elements come next, in big-endian order and by columns where `order` says so, in a stream that holds
    /// at most `limit` bytes.
    pub(crate) fn laid_out(
        (kind, order): (Kind, (bool, bool)),
        shape: Vec<u64>,
        reader: &'a mut dyn Read,
        limit: u64,
        path: &'a Path,
    ) -> Result<Self, DataError> {
        let mut array = Self::of_numbers(kind, shape, reader, (limit, limit), path)?;
        (array.header.big_endian, array.header.column_major) = order;
        Ok(array)
    }

    /// Some of the rows of an array that is stored by rows, in order: what [`Self::laid_out`] takes, and the bytes.
    pub(crate) fn rows(self, chosen: &[usize]) -> Result<Chosen, DataError> {
        let header = &self.header;
        let (kind, order) = (header.kind, (header.big_endian, header.column_major));
        let mut shape = header.shape.clone();
        let count = shape.first().copied().unwrap_or(1).max(1);
        let row = usize::try_from(header.data_bytes() / count).unwrap_or(usize::MAX);
        let path = self.path;
        let mut bytes = Vec::new();
        let mut all = Vec::new();
        elements::stream(self, |_, raw| {
            Ok(granule_io::budget::extend(&mut all, raw, path.display())?)
        })?;
        granule_io::budget::reserve(&mut bytes, chosen.len().saturating_mul(row), path.display())?;
        for &at in chosen {
            let start = at.saturating_mul(row);
            let row = all.get(start..start.saturating_add(row));
            bytes.extend_from_slice(row.unwrap_or_default());
        }
        if let Some(first) = shape.first_mut() {
            *first = chosen.len() as u64;
        }
        Ok(((kind, order), shape, bytes))
    }

    /// Hands all numbers to `each` in double precision, a block at a time in the stored order.
    pub(crate) fn each_double(
        self,
        mut each: impl FnMut(&[f64]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.check_numbers()?;
        let mut block = Vec::new();
        elements::stream(self, |header, raw| {
            block.clear();
            elements::doubles_of(header.kind, header.big_endian, raw, &mut block);
            each(&block)
        })?;
        Ok(())
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

    /// The extents and the real numbers of the array.
    pub(crate) fn values(self) -> Result<(Vec<usize>, Values), DataError> {
        Ok((self.extents(), Values::read(self)?))
    }

    /// The integers of an array of one dimension, or of a matrix of one column or row, as MATLAB has it. Floating-point
    /// numbers have to be whole.
    pub(crate) fn column(self) -> Result<Vec<i64>, DataError> {
        let path = self.path.to_path_buf();
        if self.header.kind.is_text() {
            return Err(DataError::ArrayType {
                path,
                found: self.header.descr.clone(),
                allowed: "integers",
            });
        }
        if !matches!(self.header.shape.as_slice(), [_] | [_, 1] | [1, _]) {
            return Err(self.wrong_shape("[N]"));
        }
        if self.header.kind.is_float() {
            let mut numbers = Vec::new();
            self.each_double(|block| {
                for &x in block {
                    if x.fract() != 0.0 || x.abs() > 1e15 {
                        let reason = format!("holds {x}; whole numbers are allowed");
                        return Err(DataError::format(&path, reason));
                    }
                    granule_io::budget::extend(&mut numbers, &[x as i64], path.display())?;
                }
                Ok(())
            })?;
            return Ok(numbers);
        }
        let mut numbers = Vec::new();
        elements::integers(self, |number| {
            let number = i64::try_from(number).map_err(|_| {
                DataError::format(&path, format!("holds {number}, which 64 bits do not"))
            })?;
            Ok(granule_io::budget::extend(
                &mut numbers,
                &[number],
                path.display(),
            )?)
        })?;
        Ok(numbers)
    }

    /// A matrix of one row, as MATLAB has vectors, as an array of one dimension.
    pub(crate) fn without_row(mut self) -> Self {
        if let [1, count] = *self.header.shape
            && count > 1
        {
            self.header.shape = vec![count];
        }
        self
    }

    /// The array with its first two extents taken for one: `[trials, bins, …]` as `[trials · bins, …]`.
    pub(crate) fn flattened(mut self) -> Result<Self, DataError> {
        if self.header.column_major {
            let reason = "is stored by columns; save it by numpy.ascontiguousarray";
            return Err(DataError::format(self.path, reason));
        }
        if let [first, second, rest @ ..] = self.header.shape.as_slice() {
            let both = first.saturating_mul(*second);
            self.header.shape = std::iter::once(both).chain(rest.iter().copied()).collect();
        }
        Ok(self)
    }

    /// The type of its elements.
    pub(crate) fn kind(&self) -> Kind {
        self.header.kind
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
        /// What may be wrong with the numbers.
        warning: Option<String>,
    },
    Vectors(Values),
    Sequences {
        steps: usize,
        values: Values,
    },
}

impl RawInputs {
    pub(crate) fn read(array: Array<'_>, options: &ArrayOptions) -> Result<Self, DataError> {
        if options.layout == Some(Layout::Sequence) {
            let extents = array.extents();
            let (&[_, steps] | &[_, steps, _]) = extents.as_slice() else {
                return Err(array.wrong_shape(SEQUENCES));
            };
            let values = Values::read(array)?;
            return Ok(Self::Sequences { steps, values });
        }
        if matches!(array.header.shape.len(), 1 | 2) {
            return Ok(Self::Vectors(Values::read(array)?));
        }
        let path = array.path;
        let (shape, order) =
            images::layout(&array.header).ok_or_else(|| array.wrong_shape(SHAPES))?;
        let images::Read {
            mut features,
            note,
            warning,
        } = images::read(array, shape, order, options.range)?;
        let mut turned = shape;
        if options.transpose {
            (turned, features) = images::transpose(shape, features, path)?;
        }
        Ok(Self::Images {
            shape: turned,
            features,
            note,
            warning,
        })
    }

    fn samples(&self) -> usize {
        match self {
            Self::Images {
                shape, features, ..
            } => features.len() / shape.len().max(1),
            Self::Vectors(values) | Self::Sequences { values, .. } => {
                values.len() / values.width.max(1)
            }
        }
    }

    /// Cuts features to single precision, less `offset`, or less what they need.
    fn cut(self, offset: Option<&[f64]>, path: &Path) -> Result<Inputs, DataError> {
        match self {
            Self::Images {
                shape,
                features,
                note,
                ..
            } => Ok(Inputs {
                shape,
                features,
                offset: Vec::new(),
                note: Some(note),
            }),
            Self::Sequences { steps, values } => Ok(Inputs {
                shape: Shape::Sequence {
                    steps,
                    channels: values.width / steps,
                },
                features: Features::Floats(values.cut(&[], path)?),
                offset: Vec::new(),
                note: None,
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
