//! Numbers in files: weights, parameters and courses in time, from `.npy`, `.npz` and `.csv`.
//!
//! A table in `.csv` has a row for each line, separated by commas, and may begin with the names of its columns; lines that
//! begin with `#` are left out.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use granule_io::words::counted;
use granule_io::{Bound, MemoryError, budget};

use crate::arrays::{self, Archive};
use crate::recording::TIME;
use crate::{DataError, patch_clamp, reading};

/// An array in double precision, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Its extents; a table has `[rows, columns]`.
    pub shape: Vec<usize>,
    /// Finite numbers.
    pub values: Vec<f64>,
}

/// What reads an array of a file as columns over time.
type Reader = fn(&Path, Option<&str>) -> Result<Course, DataError>;

/// Files of sweeps, by the end of their names.
const SWEEPS: [(&str, Reader); 2] = [
    ("abf", patch_clamp::read_abf),
    ("nwb", patch_clamp::read_nwb),
];

/// Columns over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// The instants of the samples, ms, rising; `None` where the file has none.
    pub times: Option<Vec<f64>>,
    /// Columns.
    pub width: usize,
    /// `[samples, width]`
    pub values: Vec<f64>,
    /// The unit that the columns are headed with, where all have the same.
    pub unit: Option<String>,
    /// Whether the file says in which unit its times are, as the column `time (s)` does.
    pub times_have_unit: bool,
}

/// Reads an array of a file whose name ends in `.npy`, `.npz` or `.csv`; `array` says which one of an archive, or which columns
/// of a table. An archive of one array needs no name.
///
/// # Errors
/// A [`DataError`] that names the file, and the array, row and column at fault.
pub fn read_numbers(path: &Path, array: Option<&str>) -> Result<Numbers, DataError> {
    match Kind::of(path)? {
        Kind::Npy => {
            only_one(path, array)?;
            let (shape, values) = arrays::read_npy(path)?;
            Ok(Numbers { shape, values })
        }
        Kind::Npz => {
            let mut archive = Archive::open(path)?;
            let names = archive.names()?;
            let name = match (array, names.as_slice()) {
                (Some(name), _) => name,
                (None, [one]) => one,
                (None, several) => return Err(which(path, several)),
            };
            let there = archive.has(name);
            let (shape, values) = archive
                .doubles(name)
                .map_err(|error| of_name(error, there))?;
            Ok(Numbers { shape, values })
        }
        Kind::Csv => {
            let table = Table::read(path)?;
            let columns: Vec<usize> = match array {
                None => (0..table.width).collect(),
                Some(name) => table.named(name)?,
            };
            Ok(Numbers {
                shape: vec![table.rows(), columns.len()],
                values: table.columns(&columns)?,
            })
        }
    }
}

/// Reads the text that an array of an `.npz` archive is, as `config` is in what `granule simulate --out` writes, and those
/// `beside` it that are there.
///
/// # Errors
/// A [`DataError`] that names the file, and the array where it is not there, no text, or longer than a configuration can be.
pub fn read_text<const N: usize>(
    path: &Path,
    array: &str,
    beside: [&str; N],
) -> Result<(String, [Option<String>; N]), DataError> {
    // Four bytes a letter.
    let most = 4 * Bound::CONFIGURATION.limit.0;
    let mut archive = Archive::open(path)?;
    let there = archive.has(array);
    let text = archive
        .text(array, most)
        .map_err(|error| of_name(error, there))?;
    let mut others = [const { None }; N];
    for (other, name) in others.iter_mut().zip(beside) {
        if archive.has(name) {
            *other = Some(archive.text(name, most)?);
        }
    }
    Ok((text, others))
}

/// Reads columns over time: an array `[samples]` or `[samples, columns]` with the array `time` beside it, ms, in an `.npz`
/// archive; the columns of a table, of which one may be `time`, `time (ms)` or `time (s)`; an `.npy` array, without times.
/// `array` says which array or columns; by default all columns but the time, the only array beside it, or those whose
/// names begin with `stimulus.`, as `granule simulate --out` writes them. Of patch clamp in `.abf` and `.nwb` files the arrays are
/// [`VOLTAGE`](patch_clamp::VOLTAGE) and [`CURRENT`](patch_clamp::CURRENT), a column for each sweep.
///
/// # Errors
/// As [`read_numbers`], and for an array of another shape or instants that do not rise.
pub fn read_course(path: &Path, array: Option<&str>) -> Result<Course, DataError> {
    let extension = path.extension().unwrap_or_default();
    let sweeps = SWEEPS
        .iter()
        .find(|(own, _)| extension.eq_ignore_ascii_case(own));
    if let Some((_, read)) = sweeps {
        return read(path, array);
    }
    let mut lines = Lines::default();
    let course = match Kind::of(path)? {
        Kind::Npy => {
            only_one(path, array)?;
            let (shape, values) = arrays::read_npy(path)?;
            let width = columns(path, &shape, None)?;
            Course {
                times: None,
                width,
                values,
                unit: None,
                times_have_unit: false,
            }
        }
        Kind::Npz => of_archive(path, array)?,
        Kind::Csv => {
            let table = Table::read(path)?;
            let course = of_table(&table, array)?;
            lines = table.lines;
            course
        }
    };
    let fallen = course.times.iter().flat_map(|times| times.windows(2));
    match fallen.enumerate().find(|(_, pair)| pair[1] <= pair[0]) {
        Some((index, pair)) => {
            let line = lines.of(index + 1);
            let line = line.map(|line| format!(" (line {line})"));
            let reason = format!(
                "{TIME} does not rise at sample {}{}: {} ms after {} ms",
                index + 1,
                line.unwrap_or_default(),
                pair[1],
                pair[0]
            );
            Err(DataError::format(path, reason))
        }
        None => Ok(course),
    }
}

/// An array that is not there was asked for, and is no fault of the file.
fn of_name(error: DataError, there: bool) -> DataError {
    match error {
        DataError::Format { path, reason } if !there => DataError::Asked { path, reason },
        error => error,
    }
}

enum Kind {
    Npy,
    Npz,
    Csv,
}

impl Kind {
    fn of(path: &Path) -> Result<Self, DataError> {
        let extension = path.extension().unwrap_or_default();
        match extension.to_string_lossy().to_lowercase().as_str() {
            "npy" => Ok(Self::Npy),
            "npz" => Ok(Self::Npz),
            "csv" => Ok(Self::Csv),
            _ => Err(DataError::asked(
                path,
                "the name does not end in .npy, .npz or .csv",
            )),
        }
    }
}

fn only_one(path: &Path, array: Option<&str>) -> Result<(), DataError> {
    match array {
        None => Ok(()),
        Some(name) => {
            let reason =
                format!("an .npy file is one array without a name; leave `array = {name:?}` away");
            Err(DataError::asked(path, reason))
        }
    }
}

fn which(path: &Path, names: &[String]) -> DataError {
    let reason = if names.is_empty() {
        "it holds no array of real numbers".to_owned()
    } else {
        format!("it holds [{}]; say which with `array`", names.join(", "))
    };
    DataError::asked(path, reason)
}

/// The columns of an array over time, with as many samples as there are instants.
fn columns(path: &Path, shape: &[usize], samples: Option<usize>) -> Result<usize, DataError> {
    let fits = |own: usize| samples.is_none_or(|samples| samples == own);
    match *shape {
        [own] if fits(own) => Ok(1),
        [own, width] if fits(own) => Ok(width),
        _ => Err(DataError::ArrayShape {
            path: path.to_path_buf(),
            found: shape.iter().map(|&extent| extent as u64).collect(),
            allowed: match samples {
                Some(samples) => {
                    format!("[samples] or [samples, columns] with the {samples} samples of {TIME}")
                }
                None => "[samples] or [samples, columns]".to_owned(),
            },
        }),
    }
}

fn of_archive(path: &Path, array: Option<&str>) -> Result<Course, DataError> {
    let mut archive = Archive::open(path)?;
    let names = archive.names()?;
    let times = if names.iter().any(|name| name == TIME) {
        Some(archive.doubles(TIME)?.1)
    } else {
        None
    };
    let others: Vec<String> = names.into_iter().filter(|name| name != TIME).collect();
    let stimuli: Vec<String> = others
        .iter()
        .filter(|name| name.starts_with("stimulus."))
        .cloned()
        .collect();
    let chosen = match (array, others.len()) {
        (Some(name), _) => vec![name.to_owned()],
        (None, 1) => others,
        (None, _) if !stimuli.is_empty() => stimuli,
        (None, _) => return Err(which(path, &others)),
    };
    let mut parts = Vec::with_capacity(chosen.len());
    for name in &chosen {
        let inside = PathBuf::from(format!("{}!{name}", path.display()));
        let there = archive.has(name);
        let (shape, values) = archive
            .doubles(name)
            .map_err(|error| of_name(error, there))?;
        let samples = times.as_ref().map(Vec::len);
        parts.push((columns(&inside, &shape, samples)?, values));
    }
    let width = parts.iter().map(|(width, _)| width).sum();
    let samples = parts
        .iter()
        .map(|(width, values)| values.len() / (*width).max(1));
    let samples: usize = samples.min().unwrap_or_default();
    let values = match <[_; 1]>::try_from(parts) {
        Ok([(_, values)]) => values,
        Err(parts) => {
            let count = samples.saturating_mul(width);
            let mut all = budget::with_capacity(count, path.display())?;
            for row in 0..samples {
                for (width, values) in &parts {
                    let own = values.get(row * width..(row + 1) * width);
                    all.extend_from_slice(own.unwrap_or_default());
                }
            }
            all
        }
    };
    Ok(Course {
        times,
        width,
        values,
        unit: None,
        times_have_unit: false,
    })
}

fn of_table(table: &Table, array: Option<&str>) -> Result<Course, DataError> {
    // In ms.
    let scale = |name: &str| match name {
        "time" | "time (ms)" | "t" | "t (ms)" => Some(1.0),
        "time (s)" | "t (s)" => Some(1e3),
        _ => None,
    };
    let time = table
        .names
        .iter()
        .enumerate()
        .find_map(|(column, name)| Some((column, scale(name)?)));
    let chosen: Vec<usize> = match array {
        Some(name) => table.named(name)?,
        None => (0..table.width)
            .filter(|column| time.is_none_or(|(time, _)| time != *column))
            .collect(),
    };
    if chosen.is_empty() {
        return Err(DataError::format(&table.path, "no column beside the time"));
    }
    let units: Vec<Option<&str>> = chosen
        .iter()
        .map(|column| split(table.names.get(*column)?).1)
        .collect();
    let unit = units.first().copied().flatten();
    let same = units.iter().all(|other| *other == unit);
    let times = match time {
        None => None,
        Some((column, scale)) => {
            let mut times = table.columns(&[column])?;
            times.iter_mut().for_each(|time| *time *= scale);
            Some(times)
        }
    };
    Ok(Course {
        times,
        width: chosen.len(),
        values: table.columns(&chosen)?,
        unit: unit.filter(|_| same).map(str::to_owned),
        times_have_unit: time.is_some_and(|(column, _)| {
            let name = table.names.get(column);
            name.is_some_and(|name| split(name).1.is_some())
        }),
    })
}

/// `v[3] (mV)` as `v[3]` and `mV`.
fn split(header: &str) -> (&str, Option<&str>) {
    let unit = header
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('));
    match unit {
        Some((name, unit)) => (name.trim(), Some(unit.trim())),
        None => (header, None),
    }
}

/// A table of numbers.
struct Table {
    path: PathBuf,
    /// Of the columns; empty where the first line has numbers.
    names: Vec<String>,
    width: usize,
    values: Vec<f64>,
    lines: Lines,
}

/// The lines of the rows of a table: each row that is not on the line after the one before it, with its line.
#[derive(Default)]
struct Lines(Vec<(usize, u64)>);

impl Lines {
    fn add(&mut self, row: usize, line: u64, path: &Path) -> Result<(), DataError> {
        if self.of(row) != Some(line) {
            budget::extend(&mut self.0, &[(row, line)], path.display())?;
        }
        Ok(())
    }

    /// The line of a row; `None` of what is no table.
    fn of(&self, row: usize) -> Option<u64> {
        let after = self.0.partition_point(|(first, _)| *first <= row);
        let (first, line) = self.0.get(after.checked_sub(1)?)?;
        Some(line + (row - first) as u64)
    }
}

impl Table {
    fn read(path: &Path) -> Result<Self, DataError> {
        let failed = |error: csv::Error| match error.into_kind() {
            csv::ErrorKind::Io(error) => match error.downcast::<MemoryError>() {
                Ok(error) => error.into(),
                Err(error) => DataError::io(path, "read", error),
            },
            csv::ErrorKind::UnequalLengths {
                pos,
                expected_len,
                len,
            } => {
                let line = pos.map_or(0, |pos| pos.line());
                let reason = format!(
                    "line {line} has {}, the lines before it {expected_len}",
                    counted(len as usize, "column")
                );
                DataError::format(path, reason)
            }
            csv::ErrorKind::Utf8 { .. } => DataError::format(path, "it is not a text in UTF-8"),
            _ => DataError::format(path, "it is not a table of comma-separated values"),
        };
        let (file, _) = reading::open(path)?;
        let row = RowSize::default();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(Rows {
                file,
                size: &row,
                path,
            });
        let (mut names, mut width, mut values) = (Vec::new(), 0, Vec::new());
        let mut lines = Lines::default();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(failed)? {
            row.begin();
            if width == 0 {
                width = record.len();
                if record.iter().any(|text| text.parse::<f64>().is_err()) {
                    let own = record
                        .iter()
                        .map(|name| name.trim_start_matches('\u{feff}').to_owned());
                    names = own.collect();
                    continue;
                }
            }
            let row = values.len() / width;
            let line = record.position().map_or(0, csv::Position::line);
            lines.add(row, line, path)?;
            for (column, text) in record.iter().enumerate() {
                let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                match number {
                    Some(number) => budget::extend(&mut values, &[number], path.display())?,
                    None => {
                        let name = names.get(column).map(|name| format!(" ({name})"));
                        let separator = match text {
                            _ if text.contains(';') => "; commas separate columns, not semicolons",
                            _ if text.contains('\t') => "; commas separate columns, not tabs",
                            _ => "",
                        };
                        let reason = format!(
                            "row {row}, column {column}{} is {text:?}, not a finite number (line {line}){separator}",
                            name.unwrap_or_default()
                        );
                        return Err(DataError::format(path, reason));
                    }
                }
            }
        }
        if values.is_empty() {
            return Err(DataError::Empty {
                path: path.to_path_buf(),
                what: "holds no numbers".into(),
            });
        }
        Ok(Self {
            path: path.to_path_buf(),
            names,
            width,
            values,
            lines,
        })
    }

    fn rows(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The columns of a name: `v` is also `v[0]`, `v[1]`, … and `v (mV)`.
    fn named(&self, name: &str) -> Result<Vec<usize>, DataError> {
        let is_meant = |header: &String| {
            let plain = split(header).0;
            header == name
                || plain == name
                || plain
                    .strip_suffix(']')
                    .and_then(|rest| rest.split_once('['))
                    .is_some_and(|(plain, _)| plain == name)
        };
        let found: Vec<usize> = self
            .names
            .iter()
            .enumerate()
            .filter(|(_, header)| is_meant(header))
            .map(|(column, _)| column)
            .collect();
        match (found.is_empty(), self.names.is_empty()) {
            (false, _) => Ok(found),
            (true, false) => {
                let names = self.names.join(", ");
                let reason = format!("no column {name:?} in it; it has [{names}]");
                Err(DataError::asked(&self.path, reason))
            }
            (true, true) => {
                let reason = format!("no column {name:?} in it; its columns have no names");
                Err(DataError::asked(&self.path, reason))
            }
        }
    }

    /// Some columns, `[rows, columns]`.
    fn columns(&self, columns: &[usize]) -> Result<Vec<f64>, DataError> {
        let rows = self.values.chunks_exact(self.width.max(1));
        let chosen = rows.flat_map(|row| columns.iter().filter_map(|column| row.get(*column)));
        let count = self.rows().saturating_mul(columns.len());
        Ok(budget::collect(
            chosen.copied(),
            count,
            self.path.display(),
        )?)
    }
}

/// How much of a table was read since a row began.
#[derive(Default)]
struct RowSize {
    bytes: Cell<u64>,
    fields: Cell<u64>,
}

impl RowSize {
    fn begin(&self) {
        self.bytes.set(0);
        self.fields.set(0);
    }

    /// What the decoder of tables and the names of its columns take, each grown by doubling.
    fn memory(&self) -> u64 {
        let bytes = self.bytes.get().saturating_mul(4);
        bytes.saturating_add(self.fields.get().saturating_mul(64))
    }
}

/// The file of a table. A row, which is held whole, asks for memory as it grows: a file may be one row.
struct Rows<'a> {
    file: File,
    size: &'a RowSize,
    path: &'a Path,
}

impl Read for Rows<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        let new = buffer.get(..n).unwrap_or_default();
        let commas = new.iter().filter(|&&byte| byte == b',').count();
        let before = self.size.memory();
        let size = |cell: &Cell<u64>, more: usize| cell.set(cell.get().saturating_add(more as u64));
        size(&self.size.bytes, n);
        size(&self.size.fields, commas);
        let after = self.size.memory();
        // Asked each time that it has doubled.
        if before.checked_ilog2() != after.checked_ilog2() {
            budget::ask(self.path.display(), after).map_err(io::Error::other)?;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::arrays::{NpzArray, write_npz};

    fn csv(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn tables_with_names_and_without() {
        let (_dir, path) = csv("1,2\n3, 4\n\n# no\n5,6e1\n");
        let found = read_numbers(&path, None).unwrap();
        assert_eq!(
            (found.shape.as_slice(), found.values.as_slice()),
            (&[3, 2][..], &[1.0, 2.0, 3.0, 4.0, 5.0, 60.0][..])
        );
        let plain = read_course(&path, None).unwrap();
        assert_eq!((plain.times, plain.width), (None, 2));
        let (_dir, path) = csv("time (s),v[0] (mV),v[1] (mV),i (nA)\n0,1,2,3\n0.5,4,5,6\n");
        let v = read_course(&path, Some("v")).unwrap();
        assert_eq!(v.times, Some(vec![0.0, 500.0]));
        assert!(v.times_have_unit);
        assert_eq!((v.width, v.unit.as_deref()), (2, Some("mV")));
        assert_eq!(v.values, [1.0, 2.0, 4.0, 5.0]);
        let all = read_course(&path, None).unwrap();
        assert_eq!((all.width, all.unit), (3, None));
        assert_eq!(read_numbers(&path, Some("i")).unwrap().shape, [2, 1]);
        let error = read_course(&path, Some("u")).unwrap_err().to_string();
        assert!(
            error.contains("no column \"u\"") && error.contains("i (nA)"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_in_a_table_is_named_by_row_and_column() {
        for (text, parts) in [
            (
                "a,b\n1,2\n3,x\n",
                &["row 1, column 1 (b) is \"x\"", "line 3"][..],
            ),
            (
                "t;i\n0;1\n",
                &["is \"0;1\"", "commas separate columns, not semicolons"],
            ),
            ("0\t1\n1\t2\n", &["not tabs"]),
            ("1,2\n3,nan\n", &["row 1, column 1 is \"nan\""]),
            ("1,2\n3\n", &["line 2 has 1 column, the lines before it 2"]),
            ("a,b\n", &["no numbers"]),
            (
                "time,b\n0,1\n0,2\n",
                &["time does not rise at sample 1 (line 3)"],
            ),
            (
                "# one\n\u{feff}time,b\n0,1\n\n1,1\n1,2\n",
                &["time does not rise at sample 2 (line 6)"],
            ),
        ] {
            let (_dir, path) = csv(text);
            let error = read_course(&path, None).unwrap_err().to_string();
            for part in parts.iter().chain(&["a.csv"]) {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
        let error = read_numbers(Path::new("a.mat"), None).unwrap_err();
        assert!(error.to_string().contains(".npy, .npz or .csv"));
    }

    #[test]
    fn archives_have_times_and_arrays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz");
        let write = |names: &[(&str, usize)]| {
            let array = |(name, width): &(&str, usize)| {
                let shape = if *width == 1 {
                    vec![2]
                } else {
                    vec![2, *width]
                };
                let values: Vec<f64> = (0..2 * width).map(|n| n as f64).collect();
                NpzArray::new(*name, shape, values)
            };
            let mut arrays: Vec<NpzArray> = names.iter().map(array).collect();
            arrays.push(NpzArray::text("config", "{}"));
            write_npz(&mut File::create(&path).unwrap(), &arrays).unwrap();
        };
        write(&[("time", 1), ("current", 3)]);
        let course = read_course(&path, None).unwrap();
        assert_eq!((course.times, course.width), (Some(vec![0.0, 1.0]), 3));
        assert_eq!(read_numbers(&path, Some("current")).unwrap().shape, [2, 3]);
        write(&[("time", 1), ("v", 1), ("stimulus.a", 1), ("stimulus.b", 2)]);
        let course = read_course(&path, None).unwrap();
        assert_eq!(course.width, 3);
        assert_eq!(course.values, [0.0, 0.0, 1.0, 1.0, 2.0, 3.0]);
        write(&[("time", 1), ("u", 1), ("v", 1)]);
        let error = read_course(&path, None).unwrap_err().to_string();
        assert!(error.contains("[u, v]; say which with `array`"), "{error}");
        assert_eq!(read_course(&path, Some("v")).unwrap().values, [0.0, 1.0]);
    }
}
