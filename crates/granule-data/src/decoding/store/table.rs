//! Tables in text: values that commas, semicolons or tabs separate, with the names of the columns in the first line.
//!
//! A cell may stand in quotes, as RFC 4180 has it. A column is an array `[rows]`, of numbers or of labels; columns whose names
//! differ only in a number at their end are an array `[rows, columns]` as well.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use granule_io::budget;
use granule_io::words::counted;

use super::{Container, Read};
use crate::arrays::{Array, Kind};
use crate::{DataError, reading};

/// What the names of tables end with.
pub(super) const ENDS: [&str; 2] = [".csv", ".tsv"];
const MOST_COLUMNS: usize = 100_000;
/// Bytes of a cell at most; a quote that never ends makes one of all that follows.
const MOST_CELL: usize = 4096;
/// What a text may begin with that is not of it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A table, held whole: numbers in columns.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    columns: Vec<Column>,
    rows: usize,
    /// Where a column is, by its name.
    places: HashMap<String, usize>,
    /// Numbered columns, by what their names have in common, in the order of their numbers.
    series: HashMap<String, Vec<usize>>,
}

#[derive(Debug)]
struct Column {
    name: String,
    cells: Cells,
    /// Why it is neither of numbers nor of labels.
    problem: Option<String>,
}

#[derive(Debug)]
enum Cells {
    Whole(Vec<i64>),
    Real(Vec<f64>),
    /// Labels one after the other, where each ends, and the bytes of the longest.
    Text(Vec<u8>, Vec<usize>, usize),
}

impl Column {
    fn add(&mut self, cell: &str, line: u64, path: &Path) -> Result<(), DataError> {
        let what = path.display();
        if self.problem.is_some() {
            return Ok(());
        }
        let found = number(cell);
        match (&mut self.cells, found) {
            (Cells::Whole(numbers), Some(Number::Whole(number))) => {
                budget::extend(numbers, &[number], what)?;
            }
            (Cells::Whole(numbers), Some(Number::Real(number))) => {
                let whole = std::mem::take(numbers);
                let count = whole.len();
                let own = whole.into_iter().map(|number| number as f64);
                let mut numbers = budget::collect(own, count, &what)?;
                budget::extend(&mut numbers, &[number], what)?;
                self.cells = Cells::Real(numbers);
            }
            (Cells::Real(numbers), Some(number)) => {
                let number = match number {
                    Number::Whole(number) => number as f64,
                    Number::Real(number) => number,
                };
                budget::extend(numbers, &[number], what)?;
            }
            (Cells::Whole(numbers), None) if numbers.is_empty() => {
                self.cells = Cells::Text(Vec::new(), Vec::new(), 0);
                return self.add(cell, line, path);
            }
            (Cells::Text(all, ends, longest), None) => {
                budget::extend(all, cell.as_bytes(), &what)?;
                budget::extend(ends, &[all.len()], what)?;
                *longest = cell.len().max(*longest);
            }
            (Cells::Text(..), Some(_)) => {
                self.problem = Some(format!(
                    "line {line}, column {:?} is the number {cell}, and a text stands in the lines before it",
                    self.name
                ));
            }
            (_, None) => {
                let comma = if cell.contains(',') {
                    "; decimals have a point"
                } else {
                    ""
                };
                self.problem = Some(format!(
                    "line {line}, column {:?} is {cell:?}, no number, which those in the lines before it are{comma}",
                    self.name
                ));
            }
        }
        Ok(())
    }

    fn is_text(&self) -> bool {
        matches!(self.cells, Cells::Text(..)) && self.problem.is_none()
    }
}

enum Number {
    Whole(i64),
    Real(f64),
}

/// A number, in digits or NaN: words such as `inf` are labels.
fn number(cell: &str) -> Option<Number> {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let unsigned = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    if !unsigned.starts_with(digits) && !cell.eq_ignore_ascii_case("nan") {
        return None;
    }
    match cell.parse() {
        Ok(whole) => Some(Number::Whole(whole)),
        Err(_) => cell.parse().ok().map(Number::Real),
    }
}

/// The name that numbered columns have in common, and the number: of `unit1`, `unit_1` and `unit[1]`.
fn numbered(name: &str) -> Option<(&str, u64)> {
    let (stem, digits) = match name.strip_suffix(']') {
        Some(rest) => rest.rsplit_once('[')?,
        None => {
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let digits = name.get(stem.len()..)?;
            (
                stem.strip_suffix(['_', '-', '.', ' ']).unwrap_or(stem),
                digits,
            )
        }
    };
    let number = digits.parse().ok()?;
    (!stem.is_empty()).then_some((stem, number))
}

/// The lines of a text, each as its cells.
struct Lines<'p, R> {
    reader: R,
    separator: u8,
    path: &'p Path,
    /// Those that were begun, from 1 on.
    line: u64,
    /// Line ends within the quotes of this one.
    within: u64,
    /// The cells one after the other, and where each ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Clone, Copy)]
enum State {
    /// Before a cell.
    Before,
    Bare,
    Quoted,
    /// Behind a quote in a cell that began with one.
    Closed,
}

impl<'p, R: BufRead> Lines<'p, R> {
    fn new(mut reader: R, path: &'p Path) -> Result<Self, DataError> {
        let start = reader.fill_buf();
        let start = start.map_err(|error| DataError::io(path, "read", error))?;
        let mut quoted = false;
        // Of those beyond quotes, in the first line, the most frequent.
        let mut counts = [(b'\t', 0_usize), (b';', 0), (b',', 0)];
        for &byte in start {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' | b'\r' if !quoted => break,
                _ if quoted => {}
                _ => counts
                    .iter_mut()
                    .filter(|(separator, _)| *separator == byte)
                    .for_each(|(_, count)| *count += 1),
            }
        }
        let mark = start.starts_with(BYTE_ORDER_MARK);
        reader.consume(if mark { BYTE_ORDER_MARK.len() } else { 0 });
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        Ok(Self {
            reader,
            separator: most.map_or(b',', |(separator, _)| separator),
            path,
            line: 0,
            within: 0,
            cells: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Reads the cells of the next line; false at the end of the text.
    fn next(&mut self) -> Result<bool, DataError> {
        self.line += 1 + std::mem::take(&mut self.within);
        self.cells.clear();
        self.ends.clear();
        let mut state = State::Before;
        loop {
            let Some(byte) = self.byte()? else {
                return match state {
                    State::Quoted => Err(self.wrong("begins with a quote that never ends")),
                    State::Before if self.ends.is_empty() => Ok(false),
                    _ => self.end_cell().map(|()| true),
                };
            };
            match (state, byte) {
                (State::Quoted, b'"') => state = State::Closed,
                (State::Quoted, byte) => {
                    self.within += u64::from(byte == b'\n');
                    self.push(byte)?;
                }
                (State::Closed, b'"') => {
                    self.push(byte)?;
                    state = State::Quoted;
                }
                (_, b'\n' | b'\r') => {
                    if byte == b'\r' {
                        self.skip_end()?;
                    }
                    return self.end_cell().map(|()| true);
                }
                (_, byte) if byte == self.separator => {
                    self.end_cell()?;
                    state = State::Before;
                }
                (State::Before, b'"') => state = State::Quoted,
                (State::Before | State::Closed, b' ' | b'\t') => {}
                (State::Closed, _) => return Err(self.wrong("goes on behind its closing quote")),
                (State::Before | State::Bare, byte) => {
                    self.push(byte)?;
                    state = State::Bare;
                }
            }
        }
    }

    fn byte(&mut self) -> Result<Option<u8>, DataError> {
        loop {
            match self.reader.fill_buf() {
                Ok(block) => {
                    let byte = block.first().copied();
                    self.reader.consume(usize::from(byte.is_some()));
                    return Ok(byte);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DataError::io(self.path, "read", error)),
            }
        }
    }

    /// Skips the second half of a line's end.
    fn skip_end(&mut self) -> Result<(), DataError> {
        let block = self.reader.fill_buf();
        let block = block.map_err(|error| DataError::io(self.path, "read", error))?;
        let skipped = usize::from(block.first() == Some(&b'\n'));
        self.reader.consume(skipped);
        Ok(())
    }

    fn push(&mut self, byte: u8) -> Result<(), DataError> {
        let start = self.ends.last().copied().unwrap_or(0);
        if self.cells.len() - start >= MOST_CELL {
            let most = format!("is longer than {MOST_CELL} bytes; does a quote in it never end?");
            return Err(self.wrong(&most));
        }
        Ok(budget::extend(
            &mut self.cells,
            &[byte],
            self.path.display(),
        )?)
    }

    fn end_cell(&mut self) -> Result<(), DataError> {
        if self.ends.len() == MOST_COLUMNS {
            let most = format!("is one more than the {MOST_COLUMNS} that a table may have");
            return Err(self.wrong(&most));
        }
        Ok(budget::extend(
            &mut self.ends,
            &[self.cells.len()],
            self.path.display(),
        )?)
    }

    /// What is said of the cell that is read, which is counted from 1 as in a spreadsheet.
    fn wrong(&self, what: &str) -> DataError {
        let (line, column) = (self.line, self.ends.len() + 1);
        DataError::format(self.path, format!("line {line}, column {column} {what}"))
    }

    fn is_blank(&self) -> bool {
        self.ends.len() == 1 && self.cells.trim_ascii().is_empty()
    }

    /// The cells without what is blank around them.
    fn cells(&self) -> Result<impl Iterator<Item = &str>, DataError> {
        let text = std::str::from_utf8(&self.cells).map_err(|_| {
            let reason = format!("line {} is no text in UTF-8", self.line);
            DataError::format(self.path, reason)
        })?;
        let mut start = 0;
        Ok(self.ends.iter().map(move |&end| {
            // Of a character that a separator cuts in two neither half is text.
            let cell = text.get(std::mem::replace(&mut start, end)..end);
            cell.unwrap_or_default().trim()
        }))
    }
}

impl Table {
    pub fn read(path: PathBuf) -> Result<Self, DataError> {
        let (file, _) = reading::open(&path)?;
        let mut lines = Lines::new(BufReader::with_capacity(1 << 16, file), &path)?;
        let mut columns = header(&mut lines)?;
        let mut places = HashMap::new();
        for (at, column) in columns.iter().enumerate() {
            if let Some(first) = places.insert(column.name.clone(), at) {
                let reason = format!(
                    "line 1 calls the columns {} and {} {:?}; every column needs a name of its own",
                    first + 1,
                    at + 1,
                    column.name
                );
                return Err(DataError::format(&path, reason));
            }
        }
        let mut rows = 0_usize;
        let mut blank = None;
        while lines.next()? {
            let line = lines.line;
            if lines.is_blank() {
                blank.get_or_insert(line);
                continue;
            }
            if let Some(blank) = blank {
                let reason = format!("line {blank} is empty, and line {line} is not");
                return Err(DataError::format(&path, reason));
            }
            if lines.ends.len() != columns.len() {
                let reason = format!(
                    "line {line} has {}, the first line {}",
                    counted(lines.ends.len(), "cell"),
                    counted(columns.len(), "name"),
                );
                return Err(DataError::format(&path, reason));
            }
            for (column, cell) in columns.iter_mut().zip(lines.cells()?) {
                if cell.is_empty() {
                    let reason = format!("line {line}, column {:?} is empty", column.name);
                    return Err(DataError::format(&path, reason));
                }
                column.add(cell, line, &path)?;
            }
            rows += 1;
        }
        if rows == 0 {
            let what = "holds no rows below the names of its columns".to_owned();
            return Err(DataError::Empty { path, what });
        }
        let series = series(&columns, &places);
        Ok(Self {
            path,
            columns,
            rows,
            places,
            series,
        })
    }

    /// Whether there is an array of this name: a column, or numbered ones.
    pub fn holds(&self, name: &str) -> bool {
        self.places.contains_key(name) || self.series.contains_key(name)
    }

    /// The names of columns, and of those that are numbered the one that they have in common.
    pub fn listed(&self) -> Vec<String> {
        // By the first of its columns each series, and those that stand for themselves.
        let mut names = BTreeMap::new();
        let mut alone = vec![true; self.columns.len()];
        for (stem, columns) in &self.series {
            for &at in columns {
                if let Some(alone) = alone.get_mut(at) {
                    *alone = false;
                }
            }
            if let Some(&first) = columns.iter().min() {
                names.insert(first, stem.clone());
            }
        }
        let columns = self.columns.iter().zip(alone).enumerate();
        names.extend(
            columns
                .filter(|(_, (_, alone))| *alone)
                .map(|(at, (column, _))| (at, column.name.clone())),
        );
        names.into_values().collect()
    }

    /// Whether its columns are one array: all of numbers, or a single one.
    pub fn is_whole(&self) -> bool {
        self.columns.len() == 1 || !self.columns.iter().any(Column::is_text)
    }

    /// Reads all columns as one array, which is at `place`.
    pub fn read_whole(&self, place: &Path, read: Read<'_>) -> Result<(), DataError> {
        match self.columns.as_slice() {
            [column] => column.read(self.rows, place, read),
            columns => self.read_columns(&columns.iter().collect::<Vec<_>>(), place, read),
        }
    }

    /// Reads a column, or numbered ones.
    pub fn read_named(&self, name: &str, place: &Path, read: Read<'_>) -> Result<(), DataError> {
        if let Some(column) = self.places.get(name).and_then(|&at| self.columns.get(at)) {
            return column.read(self.rows, place, read);
        }
        let series = self.series.get(name).map(Vec::as_slice).unwrap_or_default();
        let columns = series.iter().filter_map(|&at| self.columns.get(at));
        self.read_columns(&columns.collect::<Vec<_>>(), place, read)
    }

    fn read_columns(
        &self,
        columns: &[&Column],
        place: &Path,
        read: Read<'_>,
    ) -> Result<(), DataError> {
        for column in columns {
            if let Some(problem) = &column.problem {
                return Err(DataError::format(place, problem.as_str()));
            }
            if column.is_text() {
                let reason = format!("the column {:?} is of text, others of numbers", column.name);
                return Err(DataError::format(place, reason));
            }
        }
        let whole = |column: &&Column| matches!(column.cells, Cells::Whole(_));
        let kind = if columns.iter().all(whole) {
            Kind::I64
        } else {
            Kind::F64
        };
        let shape = vec![self.rows as u64, columns.len() as u64];
        let bytes = columns.iter().flat_map(|column| column.bytes(kind));
        of_numbers((kind, true), shape, bytes, place, read)
    }
}

impl Column {
    /// Eight bytes for each of its numbers, as those of a type.
    fn bytes(&self, kind: Kind) -> Box<dyn Iterator<Item = [u8; 8]> + '_> {
        match &self.cells {
            Cells::Whole(numbers) if kind == Kind::I64 => {
                Box::new(numbers.iter().map(|number| number.to_le_bytes()))
            }
            Cells::Whole(numbers) => {
                Box::new(numbers.iter().map(|&number| (number as f64).to_le_bytes()))
            }
            Cells::Real(numbers) => Box::new(numbers.iter().map(|number| number.to_le_bytes())),
            Cells::Text(..) => Box::new(std::iter::empty()),
        }
    }

    fn read(&self, rows: usize, place: &Path, read: Read<'_>) -> Result<(), DataError> {
        if let Some(problem) = &self.problem {
            return Err(DataError::format(place, problem.as_str()));
        }
        let shape = vec![rows as u64];
        let kind = match &self.cells {
            Cells::Whole(_) => Kind::I64,
            Cells::Real(_) => Kind::F64,
            Cells::Text(all, ends, longest) => {
                let what = place.display();
                let mut bytes = budget::filled(0, rows.saturating_mul(*longest), what)?;
                let mut start = 0;
                for (cell, &end) in bytes.chunks_exact_mut((*longest).max(1)).zip(ends) {
                    let label = all.get(start..end).unwrap_or_default();
                    cell.iter_mut()
                        .zip(label)
                        .for_each(|(to, from)| *to = *from);
                    start = end;
                }
                let limit = bytes.len() as u64;
                let kind = (Kind::Bytes(*longest), (false, false));
                let mut bytes = &bytes[..];
                return read(Array::laid_out(kind, shape, &mut bytes, limit, place)?);
            }
        };
        of_numbers((kind, false), shape, self.bytes(kind), place, read)
    }
}

/// Hands on numbers of eight bytes, by columns where `by_columns` says so.
fn of_numbers(
    (kind, by_columns): (Kind, bool),
    shape: Vec<u64>,
    numbers: impl Iterator<Item = [u8; 8]>,
    place: &Path,
    read: Read<'_>,
) -> Result<(), DataError> {
    let all = shape
        .iter()
        .fold(8_u64, |all, &extent| all.saturating_mul(extent));
    let mut stream = Numbers {
        numbers,
        last: [0; 8],
        left: 0,
    };
    let kind = (kind, (false, by_columns));
    read(Array::laid_out(kind, shape, &mut stream, all, place)?)
}

/// Numbers as a stream of bytes.
struct Numbers<I> {
    numbers: I,
    last: [u8; 8],
    /// Bytes of the last one that were not read.
    left: usize,
}

impl<I: Iterator<Item = [u8; 8]>> io::Read for Numbers<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while let Some(rest) = buffer.get_mut(written..).filter(|rest| !rest.is_empty()) {
            if self.left == 0 {
                let Some(next) = self.numbers.next() else {
                    break;
                };
                (self.last, self.left) = (next, 8);
            }
            let own = self.last.get(8 - self.left..).unwrap_or_default();
            let count = own.len().min(rest.len());
            rest.iter_mut().zip(own).for_each(|(to, from)| *to = *from);
            self.left -= count;
            written += count;
        }
        Ok(written)
    }
}

/// The columns of a table without rows.
fn header<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<Vec<Column>, DataError> {
    let path = lines.path;
    let no_names = |reason: &str| {
        let reason = format!("{reason}; the first line has to name the columns");
        Err(DataError::format(path, reason))
    };
    if !lines.next()? || lines.is_blank() {
        return no_names("it begins with no text");
    }
    let mut columns = Vec::new();
    for (at, name) in lines.cells()?.enumerate() {
        if name.is_empty() {
            let reason = format!(
                "line 1, column {} has no name; where it is of row numbers, save without them (pandas: index=False)",
                at + 1
            );
            return Err(DataError::format(path, reason));
        }
        columns.push(Column {
            name: name.to_owned(),
            cells: Cells::Whole(Vec::new()),
            problem: None,
        });
    }
    if columns.iter().all(|column| number(&column.name).is_some()) {
        return no_names("its first line is of numbers");
    }
    Ok(columns)
}

/// Columns whose names differ only in a number at their end, each of another number.
fn series(columns: &[Column], places: &HashMap<String, usize>) -> HashMap<String, Vec<usize>> {
    let mut found: HashMap<&str, Vec<(u64, usize)>> = HashMap::new();
    for (at, column) in columns.iter().enumerate() {
        if let Some((stem, number)) = numbered(&column.name).filter(|_| !column.is_text()) {
            found.entry(stem).or_default().push((number, at));
        }
    }
    let found = found.into_iter().filter_map(|(stem, mut columns)| {
        columns.sort_unstable();
        let numbers = columns.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let is_one = columns.len() > 1 && numbers && !places.contains_key(stem);
        let columns = columns.into_iter().map(|(_, at)| at);
        is_one.then(|| (stem.to_owned(), columns.collect()))
    });
    found.collect()
}

impl Container for Table {
    fn kind(&self) -> &'static str {
        "a CSV file"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        Ok(self.listed())
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(self.holds(name))
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}!{name}", self.path.display()))
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        self.read_named(name, &self.place(name), read)
    }
}
