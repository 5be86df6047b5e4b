//! Just enough of the zip format to read what NumPy's `savez` and `savez_compressed` and PyTorch's `save` write.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::CrcReader;
use flate2::read::DeflateDecoder;

use crate::DataError;
use crate::reading::{self, RESERVE_RATIO, fill, stream_error};

const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";
const ENTRY_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const LOCAL_SIGNATURE: [u8; 4] = *b"PK\x03\x04";
/// Of archives above 4 GiB or 65 535 members, whose end says where it is.
const WIDE_END_SIGNATURE: [u8; 4] = *b"PK\x06\x06";
const WIDE_LOCATOR_SIGNATURE: [u8; 4] = *b"PK\x06\x07";
const WIDE_END_BYTES: usize = 56;
const WIDE_LOCATOR_BYTES: usize = 20;
/// The extra field of a member that holds what is too large for the plain ones.
const WIDE_EXTRA: u16 = 1;
const END_BYTES: usize = 22;
const ENTRY_BYTES: usize = 46;
const MAX_COMMENT: usize = u16::MAX as usize;
/// Of a million members.
const MAX_DIRECTORY: u64 = 1 << 27;

/// How a member is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflate,
    /// By its number in the format.
    Other(u16),
    Encrypted,
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) crc: u32,
    pub(crate) stored_bytes: u64,
    pub(crate) bytes: u64,
    local: u64,
}

impl Member {
    /// What it holds, decompressed, of a file that stands [at it](seek_to).
    pub(crate) fn stream<'a>(
        &self,
        file: &'a mut dyn Read,
        path: &Path,
    ) -> Result<Box<dyn Read + 'a>, DataError> {
        let stored = file.take(self.stored_bytes);
        let refused = |how: String| Err(DataError::format(path, how));
        match self.method {
            Method::Stored => Ok(Box::new(stored)),
            Method::Deflate => Ok(Box::new(DeflateDecoder::new(stored))),
            Method::Encrypted => refused("encrypted; save it without a password".into()),
            Method::Other(method) => refused(format!(
                "compressed by method {method}, known are 0 (stored) and 8 (deflate); save it in one of these"
            )),
        }
    }
}

/// A zip archive whose directory was read.
#[derive(Debug)]
pub struct ZipArchive {
    file: BufReader<File>,
    path: PathBuf,
    members: Vec<Member>,
}

impl ZipArchive {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// A [`DataError`] that names the file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (file, _) = reading::open(path)?;
        let mut file = BufReader::new(file);
        let members = members(&mut file, path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            members,
        })
    }

    /// The names of its members and how many bytes each promises to hold, in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, u64)> {
        let members = self.members.iter();
        members.map(|member| (member.name.as_str(), member.bytes))
    }

    /// The content of a member, of several of one name the last; none where there is no such member.
    ///
    /// # Errors
    /// A [`DataError`] for more than `most` bytes, a damaged or encrypted member, and what does not fit into memory.
    pub fn read(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, DataError> {
        let named = |member: &&Member| member.name == name;
        let Some(member) = self.members.iter().rfind(named) else {
            return Ok(None);
        };
        let inside = format!("{}!{name}", self.path.display());
        let inside = Path::new(&inside);
        if member.bytes > most {
            return Err(DataError::TooLarge {
                path: inside.to_owned(),
                what: "its content".to_owned(),
                limit: most,
            });
        }
        if member.method == Method::Deflate {
            let limit = reading::decoded_limit(member.stored_bytes);
            reading::check_limit(inside, member.bytes, limit)?;
        }
        seek_to(member, &mut self.file, &self.path)?;
        let reserve = member.stored_bytes.saturating_mul(RESERVE_RATIO);
        let mut stream = CrcReader::new(member.stream(&mut self.file, inside)?);
        let mut bytes = Vec::new();
        reading::append(&mut stream, &mut bytes, member.bytes, reserve, inside)?;
        reading::end(&mut stream, member.bytes, inside)?;
        if stream.crc().sum() != member.crc {
            return Err(DataError::corrupt(inside, "its checksum is wrong"));
        }
        Ok(Some(bytes))
    }
}

/// The members that the central directory lists.
pub(crate) fn members(
    file: &mut (impl Read + Seek),
    path: &Path,
) -> Result<Vec<Member>, DataError> {
    let damaged =
        |reason: &str| DataError::corrupt(path, format!("not a whole zip archive: {reason}"));
    let len = file
        .seek(SeekFrom::End(0))
        .map_err(|error| stream_error(path, error))?;
    let tail_len = len.min((END_BYTES + MAX_COMMENT) as u64);
    let tail = bytes_at(file, len - tail_len, tail_len as usize, path)?;
    let at = tail
        .windows(END_BYTES)
        .rposition(|window| window.starts_with(&END_SIGNATURE))
        .ok_or_else(|| damaged("it has no directory"))?;
    let end = Fields(tail.get(at..).unwrap_or_default());
    let cut = || damaged("its directory is cut short");
    let mut count = u64::from(end.u16(10).ok_or_else(cut)?);
    let mut size = u64::from(end.u32(12).ok_or_else(cut)?);
    let mut start = u64::from(end.u32(16).ok_or_else(cut)?);
    let mut end_at = len - tail_len + at as u64;
    if let Some(wide) = wide_end(file, end_at, path)? {
        (count, size, start, end_at) = wide;
    } else if start == u64::from(u32::MAX) {
        return Err(cut());
    }
    if size > MAX_DIRECTORY {
        let reason = format!("a zip directory of {size} bytes; at most {MAX_DIRECTORY} are read");
        return Err(DataError::format(path, reason));
    }
    // Bytes before the archive, as in a self-extracting one, move everything.
    let moved = end_at
        .checked_sub(size)
        .and_then(|real| real.checked_sub(start))
        .ok_or_else(|| damaged("its directory lies outside the file"))?;
    let start = start + moved;
    let directory = bytes_at(file, start, size as usize, path)?;
    let mut rest = directory.as_slice();
    let mut members = Vec::new();
    for _ in 0..count {
        let fields = Fields(rest);
        if !rest.starts_with(&ENTRY_SIGNATURE) {
            return Err(cut());
        }
        let lengths = [28, 30, 32].map(|offset| fields.u16(offset).map_or(0, usize::from));
        let total = ENTRY_BYTES + lengths.iter().sum::<usize>();
        let name = rest
            .get(ENTRY_BYTES..ENTRY_BYTES + lengths[0])
            .ok_or_else(cut)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let flags = fields.u16(8).ok_or_else(cut)?;
        let method = match fields.u16(10).ok_or_else(cut)? {
            _ if flags & 1 != 0 => Method::Encrypted,
            0 => Method::Stored,
            8 => Method::Deflate,
            other => Method::Other(other),
        };
        let extra = rest
            .get(ENTRY_BYTES + lengths[0]..)
            .and_then(|rest| rest.get(..lengths[1]));
        let mut wide = wide_fields(extra.ok_or_else(cut)?);
        let mut field = |offset| match fields.u32(offset) {
            Some(u32::MAX) => wide.next().ok_or_else(cut),
            Some(value) => Ok(u64::from(value)),
            None => Err(cut()),
        };
        let bytes = field(24)?;
        let stored_bytes = field(20)?;
        let local = field(42)?;
        members.push(Member {
            name,
            method,
            crc: fields.u32(16).ok_or_else(cut)?,
            stored_bytes,
            bytes,
            local: local.checked_add(moved).ok_or_else(cut)?,
        });
        rest = rest.get(total..).ok_or_else(cut)?;
    }
    Ok(members)
}

/// Number of members, size, place and end of the directory of an archive with wide fields; `end` is the place of its
/// plain end.
fn wide_end(
    file: &mut (impl Read + Seek),
    end: u64,
    path: &Path,
) -> Result<Option<(u64, u64, u64, u64)>, DataError> {
    let Some(at) = end.checked_sub(WIDE_LOCATOR_BYTES as u64) else {
        return Ok(None);
    };
    let locator = bytes_at(file, at, WIDE_LOCATOR_BYTES, path)?;
    if !locator.starts_with(&WIDE_LOCATOR_SIGNATURE) {
        return Ok(None);
    }
    // Where the locator says, or right before it when bytes precede the archive.
    let last = at.checked_sub(WIDE_END_BYTES as u64);
    for place in [Fields(&locator).u64(8), last].into_iter().flatten() {
        if last.is_none_or(|last| place > last) {
            continue;
        }
        let bytes = bytes_at(file, place, WIDE_END_BYTES, path)?;
        let fields = Fields(&bytes);
        if let (true, Some(count), Some(size), Some(start)) = (
            bytes.starts_with(&WIDE_END_SIGNATURE),
            fields.u64(32),
            fields.u64(40),
            fields.u64(48),
        ) {
            return Ok(Some((count, size, start, place)));
        }
    }
    Err(DataError::corrupt(
        path,
        "not a whole zip archive: the end of its directory is not where it says",
    ))
}

/// The wide fields of a member, in their order: size, stored size, place.
fn wide_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found = Vec::new();
    while let (Some(id), Some(len)) = (Fields(extra).u16(0), Fields(extra).u16(2)) {
        let content = extra.get(4..4 + usize::from(len)).unwrap_or_default();
        if id == WIDE_EXTRA {
            let (numbers, _) = content.as_chunks::<8>();
            found = numbers
                .iter()
                .map(|bytes| u64::from_le_bytes(*bytes))
                .collect();
            break;
        }
        extra = extra.get(4 + usize::from(len)..).unwrap_or_default();
    }
    found.into_iter()
}

/// Moves `file` to the first stored byte of a member; all of them lie inside the file.
pub(crate) fn seek_to(
    member: &Member,
    file: &mut (impl Read + Seek),
    path: &Path,
) -> Result<(), DataError> {
    let header = bytes_at(file, member.local, 30, path)?;
    let fields = Fields(&header);
    let (Some(name), Some(extra), true) = (
        fields.u16(26),
        fields.u16(28),
        header.starts_with(&LOCAL_SIGNATURE),
    ) else {
        return Err(DataError::corrupt(
            path,
            format!(
                "zip member {:?} is not where the directory says",
                member.name
            ),
        ));
    };
    let start = member
        .local
        .saturating_add(30 + u64::from(name) + u64::from(extra));
    let len = file
        .seek(SeekFrom::End(0))
        .map_err(|error| stream_error(path, error))?;
    if start.saturating_add(member.stored_bytes) > len {
        return Err(DataError::corrupt(
            path,
            format!("zip member {:?} reaches beyond the file", member.name),
        ));
    }
    file.seek(SeekFrom::Start(start))
        .map_err(|error| stream_error(path, error))?;
    Ok(())
}

fn bytes_at(
    file: &mut (impl Read + Seek),
    start: u64,
    len: usize,
    path: &Path,
) -> Result<Vec<u8>, DataError> {
    file.seek(SeekFrom::Start(start))
        .map_err(|error| stream_error(path, error))?;
    let mut bytes = vec![0; len];
    fill(file, &mut bytes, path)?;
    Ok(bytes)
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, offset: usize) -> Option<u16> {
        self.0
            .get(offset..)?
            .first_chunk()
            .map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn u64(&self, offset: usize) -> Option<u64> {
        self.0
            .get(offset..)?
            .first_chunk()
            .map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn u32(&self, offset: usize) -> Option<u32> {
        self.0
            .get(offset..)?
            .first_chunk()
            .map(|bytes| u32::from_le_bytes(*bytes))
    }
}
