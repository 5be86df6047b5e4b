//! The values of a column, page after page.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::compact::{Compact, Kind};
use super::runs;
use super::table::{Chunk, Leaf, Stored, Table};
use crate::DataError;
use crate::reading::{self, RESERVE_RATIO, reserve_exact};

/// Values of a column, one for every row.
#[derive(Debug)]
pub(super) struct Column<V> {
    pub(super) values: Vec<V>,
    /// What values that are places lie in.
    bytes: Vec<u8>,
    /// Bytes of the pages that were decompressed.
    decoded: u64,
}

/// The place of bytes among those of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    length: usize,
}

impl Column<Span> {
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let Span { start, length } = *self.values.get(index)?;
        self.bytes.get(start..)?.get(..length)
    }
}

/// What is stored one value after the other.
pub(super) trait Plain: Copy {
    /// The first value of `rest`, which what it takes is taken from; `None` where that is cut off or damaged.
    fn take(stored: Stored, rest: &mut &[u8], bytes: &mut Vec<u8>) -> Option<Self>;
}

impl Plain for i64 {
    fn take(stored: Stored, rest: &mut &[u8], _: &mut Vec<u8>) -> Option<Self> {
        match stored {
            Stored::Int32 => {
                let (number, after) = rest.split_first_chunk()?;
                *rest = after;
                Some(i32::from_le_bytes(*number).into())
            }
            Stored::Int64 => {
                let (number, after) = rest.split_first_chunk()?;
                *rest = after;
                Some(Self::from_le_bytes(*number))
            }
            _ => None,
        }
    }
}

impl Plain for Span {
    fn take(stored: Stored, rest: &mut &[u8], bytes: &mut Vec<u8>) -> Option<Self> {
        if stored != Stored::Bytes {
            return None;
        }
        let (length, after) = rest.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (value, after) = after.split_at_checked(length)?;
        *rest = after;
        let start = bytes.len();
        bytes.extend_from_slice(value);
        Some(Self { start, length })
    }
}

/// Reads a column without nulls.
///
/// # Errors
/// [`DataError::Stored`] for a compression or an encoding that is not read, [`DataError::Format`] for a row that is null,
/// [`DataError::Corrupt`] for what is damaged.
pub(super) fn read<V: Plain>(table: &mut Table, leaf: &Leaf) -> Result<Column<V>, DataError> {
    let mut column = Column {
        values: Vec::new(),
        bytes: Vec::new(),
        decoded: 0,
    };
    let limit = reading::decoded_limit(table.length);
    let path = table.path.clone();
    let mut stored = Vec::new();
    for chunk in table.chunks(leaf)? {
        table.read(&chunk, &mut stored)?;
        let mut reader = Reader {
            path: &path,
            leaf,
            chunk: &chunk,
            column: &mut column,
            limit,
            dictionary: Vec::new(),
            page: Vec::new(),
        };
        reader.read(&stored)?;
    }
    Ok(column)
}

struct Reader<'a, V> {
    path: &'a Path,
    leaf: &'a Leaf,
    chunk: &'a Chunk,
    column: &'a mut Column<V>,
    /// Bytes that the column may be decompressed to.
    limit: u64,
    dictionary: Vec<V>,
    /// What a page holds, decompressed.
    page: Vec<u8>,
}

/// How values are stored in a page.
const PLAIN: u64 = 0;
const OLD_DICTIONARY: u64 = 2;
const RUNS: u64 = 3;
const DICTIONARY: u64 = 8;

/// The header of a page.
#[derive(Debug, Default, Clone, Copy)]
struct Header {
    kind: u64,
    decoded: usize,
    stored: usize,
    values: usize,
    encoding: u64,
    /// How levels are stored, of pages of the first version.
    levels: u64,
    /// How long the levels are, of pages of the second version, which are not compressed.
    of_nulls: usize,
    of_lists: usize,
    is_plain: bool,
}

impl Header {
    fn read(compact: &mut Compact<'_>) -> Option<Self> {
        let (mut header, mut last) = (Self::default(), 0);
        header.levels = RUNS;
        while let Some((id, kind)) = compact.field(&mut last)? {
            match (id, kind) {
                (1, Kind::Int) => header.kind = compact.count()?,
                (2, Kind::Int) => header.decoded = usize::try_from(compact.count()?).ok()?,
                (3, Kind::Int) => header.stored = usize::try_from(compact.count()?).ok()?,
                (5 | 7 | 8, Kind::Struct) => header.details(compact, id == 8)?,
                _ => compact.skip(kind)?,
            }
        }
        Some(header)
    }

    fn details(&mut self, compact: &mut Compact<'_>, is_second: bool) -> Option<()> {
        let mut last = 0;
        while let Some((id, kind)) = compact.field(&mut last)? {
            match (id, kind, is_second) {
                (1, Kind::Int, _) => self.values = usize::try_from(compact.count()?).ok()?,
                (2, Kind::Int, false) | (4, Kind::Int, true) => self.encoding = compact.count()?,
                (3, Kind::Int, false) => self.levels = compact.count()?,
                (5, Kind::Int, true) => self.of_nulls = usize::try_from(compact.count()?).ok()?,
                (6, Kind::Int, true) => self.of_lists = usize::try_from(compact.count()?).ok()?,
                (7, Kind::False, true) => self.is_plain = true,
                _ => compact.skip(kind)?,
            }
        }
        Some(())
    }
}

impl<V: Plain> Reader<'_, V> {
    fn damaged(&self, what: &str) -> DataError {
        let rows = self.column.values.len();
        let reason = format!("column {}, from row {rows}: {what}", self.leaf.name());
        DataError::corrupt(self.path, reason)
    }

    fn not_read(&self, how: String) -> DataError {
        DataError::Stored {
            path: self.path.to_path_buf(),
            column: self.leaf.name(),
            how,
        }
    }

    fn read(&mut self, stored: &[u8]) -> Result<(), DataError> {
        let mut rest = Compact(stored);
        let end = self.column.values.len();
        let end = usize::try_from(self.chunk.values)
            .ok()
            .and_then(|values| end.checked_add(values))
            .ok_or_else(|| self.damaged("there are more values than can be counted"))?;
        while self.column.values.len() < end {
            let header = Header::read(&mut rest);
            let header = header.ok_or_else(|| self.damaged("the header of a page is damaged"))?;
            let page = rest.0.split_at_checked(header.stored);
            let (page, after) = page.ok_or_else(|| self.damaged("a page is cut off"))?;
            rest.0 = after;
            let left = end - self.column.values.len();
            if matches!(header.kind, 0 | 3) && header.values > left {
                return Err(self.damaged("a page has more values than there are rows"));
            }
            match header.kind {
                0 => self.first_version(&header, page)?,
                3 => self.second_version(&header, page)?,
                2 => self.read_dictionary(&header, page)?,
                // Indices of pages.
                _ => {}
            }
        }
        Ok(())
    }

    fn read_dictionary(&mut self, header: &Header, page: &[u8]) -> Result<(), DataError> {
        if !matches!(header.encoding, PLAIN | OLD_DICTIONARY) {
            return Err(self.not_read(encoding(header.encoding)));
        }
        self.decompress(page, header.decoded)?;
        let mut dictionary = std::mem::take(&mut self.dictionary);
        self.plain(header.values, 0, &mut dictionary)?;
        self.dictionary = dictionary;
        Ok(())
    }

    fn first_version(&mut self, header: &Header, page: &[u8]) -> Result<(), DataError> {
        self.decompress(page, header.decoded)?;
        let mut begin = 0;
        if self.leaf.nullable > 0 {
            if header.levels != RUNS {
                return Err(self.not_read(encoding(header.levels)));
            }
            let size = self.page.first_chunk().copied();
            let size = size.map(|size| u32::from_le_bytes(size) as usize);
            let levels = size.and_then(|size| self.page.get(4..)?.get(..size));
            let levels = levels.ok_or_else(|| self.damaged("the levels of a page are cut off"))?;
            begin = 4 + levels.len();
            self.check_nulls(levels, header.values)?;
        }
        self.values(header, begin)
    }

    fn second_version(&mut self, header: &Header, page: &[u8]) -> Result<(), DataError> {
        let before = header.of_lists.checked_add(header.of_nulls);
        let parts = before.and_then(|before| page.split_at_checked(before));
        let (Some((levels, page)), Some(decoded)) = (
            parts,
            before.and_then(|before| header.decoded.checked_sub(before)),
        ) else {
            return Err(self.damaged("the levels of a page are cut off"));
        };
        if self.leaf.nullable > 0 {
            let levels = levels.get(header.of_lists..).unwrap_or_default();
            self.check_nulls(levels, header.values)?;
        }
        if header.is_plain {
            self.page.clear();
            reserve_exact(&mut self.page, page.len(), self.path)?;
            self.page.extend_from_slice(page);
        } else {
            self.decompress(page, decoded)?;
        }
        self.values(header, 0)
    }

    /// Refuses rows that are null.
    fn check_nulls(&self, levels: &[u8], values: usize) -> Result<(), DataError> {
        let most = self.leaf.nullable;
        let (mut at, mut null) = (0, None);
        let read = runs::read(
            levels,
            u32::BITS - most.leading_zeros(),
            values,
            |level, times| {
                if level < most {
                    null.get_or_insert(at);
                }
                at += times;
                (level <= most).then_some(())
            },
        );
        if let Some(at) = null {
            let row = self.column.values.len() + at;
            let reason = format!(
                "row {row} of the column {} is null; leave such rows out, and embed images whose files stand elsewhere",
                self.leaf.name()
            );
            return Err(DataError::format(self.path, reason));
        }
        read.ok_or_else(|| self.damaged("the levels of a page are damaged"))
    }

    /// The values of the page, from a byte on.
    fn values(&mut self, header: &Header, begin: usize) -> Result<(), DataError> {
        match header.encoding {
            PLAIN => {
                let mut values = std::mem::take(&mut self.column.values);
                let read = self.plain(header.values, begin, &mut values);
                self.column.values = values;
                read
            }
            OLD_DICTIONARY | DICTIONARY => {
                room(&mut self.column.values, header.values, self.path)?;
                let (dictionary, values) = (&self.dictionary, &mut self.column.values);
                let page = self.page.get(begin..).and_then(<[u8]>::split_first);
                let read = page.and_then(|(&width, places)| {
                    runs::read(places, width.into(), header.values, |place, times| {
                        let value = *dictionary.get(place as usize)?;
                        values.extend(std::iter::repeat_n(value, times));
                        Some(())
                    })
                });
                read.ok_or_else(|| self.damaged("the places of values in a dictionary are damaged"))
            }
            other => Err(self.not_read(encoding(other))),
        }
    }

    /// Appends so many values that stand one after the other.
    fn plain(&mut self, count: usize, begin: usize, values: &mut Vec<V>) -> Result<(), DataError> {
        let mut rest = self.page.get(begin..).unwrap_or_default();
        room(&mut self.column.bytes, rest.len(), self.path)?;
        // A value takes four bytes at least.
        room(values, count.min(rest.len() / 4), self.path)?;
        for _ in 0..count {
            let value = V::take(self.leaf.stored, &mut rest, &mut self.column.bytes);
            match value {
                Some(value) => values.push(value),
                None => return Err(self.damaged("its values are cut off or damaged")),
            }
        }
        Ok(())
    }

    /// Makes `page` what a stored one of so many bytes holds.
    fn decompress(&mut self, stored: &[u8], decoded: usize) -> Result<(), DataError> {
        let path = self.path;
        self.column.decoded = self.column.decoded.saturating_add(decoded as u64);
        reading::check_limit(path, self.column.decoded, self.limit)?;
        self.page.clear();
        let is_whole = match self.chunk.codec {
            0 => {
                reserve_exact(&mut self.page, stored.len(), path)?;
                self.page.extend_from_slice(stored);
                stored.len() == decoded
            }
            1 => {
                // It does not compress better than this: 64 bytes become three.
                let fits = decoded <= stored.len().saturating_mul(32);
                if !fits || snap::raw::decompress_len(stored).ok() != Some(decoded) {
                    return Err(self.damaged("a page is not as long as it says"));
                }
                reserve_exact(&mut self.page, decoded, path)?;
                self.page.resize(decoded, 0);
                let read = snap::raw::Decoder::new().decompress(stored, &mut self.page);
                read.ok() == Some(decoded)
            }
            2 => {
                let (decoded, reserve) = (decoded as u64, stored.len() as u64 * RESERVE_RATIO);
                let mut decoder = MultiGzDecoder::new(stored);
                let decoder = &mut decoder as &mut dyn Read;
                reading::append(decoder, &mut self.page, decoded, reserve, path)?;
                reading::end(decoder, decoded, path)?;
                true
            }
            codec => return Err(self.not_read(compression(codec))),
        };
        if is_whole {
            Ok(())
        } else {
            Err(self.damaged("the compression of a page is damaged"))
        }
    }
}

/// Room for so many more, of which there may be several times as many.
fn room<T>(out: &mut Vec<T>, more: usize, path: &Path) -> Result<(), DataError> {
    if out.capacity() - out.len() < more {
        reserve_exact(out, more.max(out.len() / 2), path)?;
    }
    Ok(())
}

fn compression(codec: u64) -> String {
    let name = match codec {
        3 => "LZO",
        4 => "Brotli",
        5 | 7 => "LZ4",
        6 => "Zstandard",
        _ => return format!("compression of an unknown kind, {codec}"),
    };
    format!("compressed with {name}")
}

fn encoding(code: u64) -> String {
    let name = match code {
        RUNS => "RLE",
        4 => "BIT_PACKED",
        5 => "DELTA_BINARY_PACKED",
        6 => "DELTA_LENGTH_BYTE_ARRAY",
        7 => "DELTA_BYTE_ARRAY",
        9 => "BYTE_STREAM_SPLIT",
        _ => return format!("in an unknown encoding, {code}"),
    };
    format!("in the encoding {name}")
}
