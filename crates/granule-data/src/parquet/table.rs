//! What a Parquet file says of itself in its footer: its columns, and where their values are.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use granule_io::words::{grouped, printable};

use super::compact::{Compact, Kind};
use crate::{DataError, reading};

/// The first and the last bytes of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// The last bytes of one whose footer is encrypted.
const ENCRYPTED: &[u8; 4] = b"PARE";
/// The length of the footer and the magic bytes behind it.
const TAIL: u64 = 8;

/// The longest name of a column, in bytes.
const MOST_NAME: usize = 255;
const MOST_FOOTER: u64 = 1 << 26;
const MOST_COLUMNS: usize = 1 << 14;
const MOST_GROUPS: usize = 1 << 18;

/// The type of the values of a column, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Int32,
    Int64,
    Bytes,
    /// One that nothing is read of.
    Other(&'static str),
}

impl Stored {
    fn of(code: u64) -> Self {
        match code {
            0 => Self::Other("truth values"),
            1 => Self::Int32,
            2 => Self::Int64,
            3 => Self::Other("numbers of 96 bits"),
            4 | 5 => Self::Other("floating-point numbers"),
            6 => Self::Bytes,
            7 => Self::Other("bytes of a fixed length"),
            _ => Self::Other("an unknown type"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Int32 | Self::Int64 => "whole numbers",
            Self::Bytes => "bytes or texts",
            Self::Other(name) => name,
        }
    }
}

/// A column of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Its place among all.
    pub(super) index: usize,
    /// Its name behind those of the structures that it is in.
    pub(super) names: Vec<String>,
    pub(super) stored: Stored,
    /// How many of the names may be null.
    pub(super) nullable: u32,
    /// Whether a row has a list of them.
    pub(super) is_list: bool,
}

impl Leaf {
    pub(super) fn name(&self) -> String {
        self.names.join(".")
    }
}

/// The values of a column in a group of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) codec: u64,
    pub(super) values: u64,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// A file whose footer was read.
pub(super) struct Table {
    pub(super) path: PathBuf,
    file: File,
    pub(super) length: u64,
    footer: Vec<u8>,
    pub(super) rows: usize,
    pub(super) leaves: Vec<Leaf>,
    /// What programs wrote beside the columns, as JSON: the features of Hugging Face.
    pub(super) features: Option<Vec<u8>>,
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let (mut file, length) = reading::open(path)?;
        let other = |found: &[u8]| {
            let what = granule_io::content::recognise(found);
            let what = what.map_or_else(String::new, |what| format!(": it is {what}"));
            let reason = format!("not a Parquet file, which begins with \"PAR1\"{what}");
            DataError::format(path, reason)
        };
        let mut start = [0; 4];
        if length < 4 {
            return Err(other(&[]));
        }
        reading::fill(&mut file, &mut start, path)?;
        if &start != MAGIC && &start != ENCRYPTED {
            return Err(other(&start));
        }
        let cut = || DataError::corrupt(path, "it is cut off: its footer is not at its end");
        let end = length.checked_sub(TAIL).filter(|end| *end >= 4);
        let end = end.ok_or_else(cut)?;
        let seek = |file: &mut File, to: u64| {
            let place = file.seek(SeekFrom::Start(to));
            place.map_err(|error| DataError::io(path, "read", error))
        };
        seek(&mut file, end)?;
        let mut tail = [0; TAIL as usize];
        reading::fill(&mut file, &mut tail, path)?;
        let [a, b, c, d, magic @ ..] = tail;
        if &magic == ENCRYPTED {
            return Err(DataError::format(
                path,
                "it is encrypted, which is not read",
            ));
        }
        if &magic != MAGIC {
            return Err(cut());
        }
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let begin = end.checked_sub(size).filter(|begin| *begin >= 4);
        let begin =
            begin.ok_or_else(|| DataError::corrupt(path, "its footer is longer than it"))?;
        if size > MOST_FOOTER {
            return Err(DataError::TooLarge {
                path: path.to_path_buf(),
                what: "its footer".into(),
                limit: MOST_FOOTER,
            });
        }
        seek(&mut file, begin)?;
        let mut footer = Vec::new();
        reading::append(&mut file, &mut footer, size, size, path)?;
        let said = Said::read(&footer);
        let said = said.ok_or_else(|| DataError::corrupt(path, "its footer makes no sense"))?;
        // A row of images takes a byte at least.
        let rows = usize::try_from(said.rows)
            .ok()
            .filter(|_| said.rows <= length);
        let rows = rows.ok_or_else(|| {
            let rows = usize::try_from(said.rows).unwrap_or(usize::MAX);
            let reason = format!(
                "it promises {} rows in {} bytes, in which no such number of images fits",
                grouped(rows),
                grouped(usize::try_from(length).unwrap_or(usize::MAX))
            );
            DataError::format(path, reason)
        })?;
        let (leaves, features) = (said.leaves, said.features);
        Ok(Self {
            path: path.to_path_buf(),
            file,
            length,
            footer,
            rows,
            leaves,
            features,
        })
    }

    /// The names of the columns, each once.
    pub(super) fn columns(&self) -> Vec<&str> {
        let names = self.leaves.iter().filter_map(|leaf| leaf.names.first());
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.dedup();
        names
    }

    /// Where the values of a column are, group after group, as many as there are rows.
    pub(super) fn chunks(&self, leaf: &Leaf) -> Result<Vec<Chunk>, DataError> {
        let chunks = chunks(&self.footer, leaf.index);
        let chunks = chunks.ok_or_else(|| {
            let reason = format!("it does not say where the column {} is", leaf.name());
            DataError::corrupt(&self.path, reason)
        })?;
        let values = chunks
            .iter()
            .try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.values));
        if values != Some(self.rows as u64) {
            let reason = format!(
                "the column {} has another number of values than the file has rows, {}",
                leaf.name(),
                grouped(self.rows)
            );
            return Err(DataError::corrupt(&self.path, reason));
        }
        // What is in the file once is read once.
        let bytes = chunks
            .iter()
            .try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.length));
        if bytes.is_none_or(|bytes| bytes > self.length) {
            let reason = format!("the column {} is longer than the file", leaf.name());
            return Err(DataError::corrupt(&self.path, reason));
        }
        Ok(chunks)
    }

    /// The bytes of a chunk, which take the place of what `bytes` held.
    pub(super) fn read(&mut self, chunk: &Chunk, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let path = &self.path;
        let end = chunk.start.checked_add(chunk.length);
        if end.is_none_or(|end| end > self.length) {
            return Err(DataError::corrupt(
                path,
                "it is cut off, or its footer is of another file",
            ));
        }
        let place = self.file.seek(SeekFrom::Start(chunk.start));
        place.map_err(|error| DataError::io(path, "read", error))?;
        bytes.clear();
        let file = &mut self.file as &mut dyn Read;
        reading::append(file, bytes, chunk.length, chunk.length, path)
    }
}

/// What the footer says, but for the places of values.
struct Said {
    rows: u64,
    leaves: Vec<Leaf>,
    features: Option<Vec<u8>>,
}

impl Said {
    fn read(footer: &[u8]) -> Option<Self> {
        let mut said = Self {
            rows: 0,
            leaves: Vec::new(),
            features: None,
        };
        let mut compact = Compact(footer);
        let mut last = 0;
        while let Some((id, kind)) = compact.field(&mut last)? {
            match (id, kind) {
                (2, Kind::List) => said.leaves = leaves(&mut compact)?,
                (3, Kind::Int) => said.rows = compact.count()?,
                (5, Kind::List) => said.features = features(&mut compact)?,
                _ => compact.skip(kind)?,
            }
        }
        (!said.leaves.is_empty()).then_some(said)
    }
}

/// An element of the schema.
#[derive(Default)]
struct Element<'a> {
    stored: Option<u64>,
    /// 0: always there, 1: may be null, 2: a list.
    repetition: u64,
    name: &'a str,
    children: u64,
}

impl<'a> Element<'a> {
    fn read(compact: &mut Compact<'a>) -> Option<Self> {
        let (mut element, mut last) = (Self::default(), 0);
        while let Some((id, kind)) = compact.field(&mut last)? {
            match (id, kind) {
                (1, Kind::Int) => element.stored = Some(compact.count()?),
                (3, Kind::Int) => element.repetition = compact.count()?,
                // Every column has the names of all structures around it.
                (4, Kind::Bytes) => {
                    element.name = compact.text()?;
                    if element.name.len() > MOST_NAME {
                        return None;
                    }
                }
                (5, Kind::Int) => element.children = compact.count()?,
                _ => compact.skip(kind)?,
            }
        }
        Some(element)
    }
}

/// The columns of a schema, whose structures stand before what is in them.
fn leaves(compact: &mut Compact<'_>) -> Option<Vec<Leaf>> {
    let (kind, count) = compact.list()?;
    if kind != Kind::Struct || count > MOST_COLUMNS {
        return None;
    }
    /// A structure of which so many elements are still to come.
    struct Open {
        left: u64,
        name: String,
        nullable: u32,
        is_list: bool,
    }
    let mut open: Vec<Open> = Vec::new();
    let mut leaves: Vec<Leaf> = Vec::new();
    for at in 0..count {
        let element = Element::read(compact)?;
        if at == 0 {
            open.push(Open {
                left: element.children,
                name: String::new(),
                nullable: 0,
                is_list: false,
            });
            continue;
        }
        while open.last().is_some_and(|open| open.left == 0) {
            open.pop();
        }
        let within = open.last_mut()?;
        within.left -= 1;
        let name = printable(element.name);
        let nullable = within.nullable + u32::from(element.repetition != 0);
        let is_list = within.is_list || element.repetition == 2;
        match element.stored {
            // Deeper structures than any image is in are not kept.
            None if open.len() > 8 => return None,
            None => open.push(Open {
                left: element.children,
                name,
                nullable,
                is_list,
            }),
            Some(stored) => {
                let names = open.iter().skip(1).map(|open| open.name.clone());
                leaves.push(Leaf {
                    index: leaves.len(),
                    names: names.chain([name]).collect(),
                    stored: Stored::of(stored),
                    nullable,
                    is_list,
                });
            }
        }
    }
    Some(leaves)
}

/// What Hugging Face wrote among pairs of keys and values.
fn features(compact: &mut Compact<'_>) -> Option<Option<Vec<u8>>> {
    let (kind, count) = compact.list()?;
    if kind != Kind::Struct {
        return None;
    }
    let mut found = None;
    for _ in 0..count {
        let (mut key, mut value, mut last): (&[u8], &[u8], i64) = (&[], &[], 0);
        while let Some((id, kind)) = compact.field(&mut last)? {
            match (id, kind) {
                (1, Kind::Bytes) => key = compact.bytes()?,
                (2, Kind::Bytes) => value = compact.bytes()?,
                _ => compact.skip(kind)?,
            }
        }
        if key == b"huggingface" {
            found = Some(value.to_vec());
        }
    }
    Some(found)
}

/// The chunks of the column at a place, one of each group of rows.
fn chunks(footer: &[u8], index: usize) -> Option<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let mut compact = Compact(footer);
    let mut last = 0;
    while let Some((id, kind)) = compact.field(&mut last)? {
        if (id, kind) != (4, Kind::List) {
            compact.skip(kind)?;
            continue;
        }
        let (kind, count) = compact.list()?;
        if kind != Kind::Struct || count > MOST_GROUPS {
            return None;
        }
        for _ in 0..count {
            chunks.push(of_group(&mut compact, index)?);
        }
    }
    Some(chunks)
}

/// The chunk of the column at a place in a group of rows.
fn of_group(compact: &mut Compact<'_>, index: usize) -> Option<Chunk> {
    let (mut found, mut last) = (None, 0);
    while let Some((id, kind)) = compact.field(&mut last)? {
        if (id, kind) != (1, Kind::List) {
            compact.skip(kind)?;
            continue;
        }
        let (kind, count) = compact.list()?;
        for at in 0..count {
            if at == index && kind == Kind::Struct {
                found = Some(chunk(compact)?);
            } else {
                compact.skip(kind)?;
            }
        }
    }
    found
}

/// A chunk of this file; `None` for one whose values are in another.
fn chunk(compact: &mut Compact<'_>) -> Option<Chunk> {
    let (mut found, mut last) = (None, 0);
    while let Some((id, kind)) = compact.field(&mut last)? {
        match (id, kind) {
            (1, Kind::Bytes) => return None,
            (3, Kind::Struct) => found = Some(placed(compact)?),
            _ => compact.skip(kind)?,
        }
    }
    found
}

fn placed(compact: &mut Compact<'_>) -> Option<Chunk> {
    let (mut codec, mut values, mut length) = (None, None, None);
    let (mut data, mut dictionary, mut last) = (None, None, 0);
    while let Some((id, kind)) = compact.field(&mut last)? {
        let place = match (id, kind) {
            (4, Kind::Int) => &mut codec,
            (5, Kind::Int) => &mut values,
            (7, Kind::Int) => &mut length,
            (9, Kind::Int) => &mut data,
            (11, Kind::Int) => &mut dictionary,
            _ => {
                compact.skip(kind)?;
                continue;
            }
        };
        *place = Some(compact.count()?);
    }
    // Some writers say 0 where there is no dictionary.
    let dictionary = dictionary.filter(|start| *start > 0);
    let start = dictionary.map_or(data?, |start| start.min(data.unwrap_or(start)));
    Some(Chunk {
        codec: codec?,
        values: values?,
        start,
        length: length?,
    })
}
