//! Just enough of the zip format to read what NumPy's `savez` and `savez_compressed` write.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::DataError;
use crate::reading::{fill, stream_error};

const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";
const ENTRY_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const LOCAL_SIGNATURE: [u8; 4] = *b"PK\x03\x04";
const END_BYTES: usize = 22;
const ENTRY_BYTES: usize = 46;
const MAX_COMMENT: usize = u16::MAX as usize;
const MAX_DIRECTORY: u64 = 1 << 20;

/// How a member is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflate,
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
    let count = end.u16(10).ok_or_else(cut)?;
    let size = u64::from(end.u32(12).ok_or_else(cut)?);
    let start = u64::from(end.u32(16).ok_or_else(cut)?);
    if count == u16::MAX || start == u64::from(u32::MAX) {
        return Err(DataError::format(
            path,
            "zip archives above 4 GiB are not read",
        ));
    }
    if size > MAX_DIRECTORY || start + size > len {
        return Err(damaged("its directory lies outside the file"));
    }
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
            _ if flags & 1 != 0 => return Err(damaged(&format!("member {name:?} is encrypted"))),
            0 => Method::Stored,
            8 => Method::Deflate,
            other => {
                let reason =
                    format!("member {name:?} is compressed by method {other}, known are 0 and 8");
                return Err(DataError::format(path, reason));
            }
        };
        let field = |offset| fields.u32(offset).ok_or_else(cut);
        members.push(Member {
            name,
            method,
            crc: field(16)?,
            stored_bytes: u64::from(field(20)?),
            bytes: u64::from(field(24)?),
            local: u64::from(field(42)?),
        });
        rest = rest.get(total..).ok_or_else(cut)?;
    }
    Ok(members)
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
    let start = member.local + 30 + u64::from(name) + u64::from(extra);
    let len = file
        .seek(SeekFrom::End(0))
        .map_err(|error| stream_error(path, error))?;
    if start + member.stored_bytes > len {
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

    fn u32(&self, offset: usize) -> Option<u32> {
        self.0
            .get(offset..)?
            .first_chunk()
            .map(|bytes| u32::from_le_bytes(*bytes))
    }
}
