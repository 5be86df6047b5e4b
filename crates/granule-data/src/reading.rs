//! Reads streams that promise a number of bytes without trusting the promise.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use granule_io::budget;
use granule_io::watch::{self, Access};
use sha2::{Digest, Sha256};

use crate::DataError;
use crate::text::hexadecimal;

/// No file may decode to more than this.
pub(crate) const MAX_DECODED: u64 = 1 << 32;

/// What a whole archive may decode to; the largest published one holds 186 MB.
pub(crate) const MAX_ARCHIVE: u64 = 1 << 30;

/// Above [`FREE_DECODED`], compressed data may decode to at most this many times its stored bytes: pixels of real
/// images stay far below, zeros reach a thousand.
const MAX_RATIO: u64 = 100;
const FREE_DECODED: u64 = 1 << 28;

/// Memory reserved ahead of the bytes, per byte of the file: data that compresses better grows as it arrives.
pub(crate) const RESERVE_RATIO: u64 = 32;
const CHUNK: usize = 1 << 18;

/// Whether to hash the file while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hashing {
    On,
    Off,
}

/// A stream that was gzip or plain, told apart by its first bytes.
pub(crate) struct Source<'a, R: Read> {
    body: Body<R>,
    path: &'a Path,
    reserve: u64,
    limit: u64,
}

enum Body<R: Read> {
    Plain(BufReader<Tee<R>>),
    Gzip(Box<Gunzip<BufReader<Tee<R>>>>),
}

/// Hashes what passes through.
pub(crate) struct Tee<R> {
    inner: R,
    hash: Option<Sha256>,
}

impl<R> Tee<R> {
    pub(crate) fn new(inner: R, hashing: Hashing) -> Self {
        let hash = (hashing == Hashing::On).then(Sha256::new);
        Self { inner, hash }
    }

    /// SHA-256 of what has passed, in lower-case hexadecimal.
    pub(crate) fn sha256(self) -> Option<String> {
        self.hash.map(|hash| hexadecimal(&hash.finalize()))
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if let (Some(hash), Some(read)) = (&mut self.hash, buffer.get(..n)) {
            hash.update(read);
        }
        Ok(n)
    }
}

/// Decodes gzip: one member after the other, which zeros may follow, as Python and `gzip` read it.
pub(crate) struct Gunzip<R> {
    member: Option<GzDecoder<R>>,
    done: bool,
}

impl<R: BufRead> Gunzip<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            member: Some(GzDecoder::new(reader)),
            done: false,
        }
    }

    fn into_inner(self) -> Option<R> {
        self.member.map(GzDecoder::into_inner)
    }

    /// Skips padding; whether another member follows.
    fn next_member(&mut self) -> io::Result<bool> {
        let Some(mut reader) = self.member.take().map(GzDecoder::into_inner) else {
            return Ok(false);
        };
        let more = loop {
            let block = match reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let zeros = block.iter().take_while(|&&byte| byte == 0).count();
            let (empty, all) = (block.is_empty(), zeros == block.len());
            if empty || !all {
                reader.consume(zeros);
                break !empty;
            }
            reader.consume(zeros);
        };
        self.member = Some(GzDecoder::new(reader));
        Ok(more)
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self
            .member
            .as_mut()
            .filter(|_| !self.done && !buffer.is_empty())
        {
            let n = member.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            self.done = !self.next_member()?;
        }
        Ok(0)
    }
}

impl<'a, R: Read> Source<'a, R> {
    /// `len` is the number of bytes behind `reader`, before decompression.
    pub(crate) fn new(
        reader: R,
        len: u64,
        path: &'a Path,
        hashing: Hashing,
    ) -> Result<Self, DataError> {
        let mut reader = BufReader::with_capacity(CHUNK, Tee::new(reader, hashing));
        let start = reader
            .fill_buf()
            .map_err(|error| DataError::io(path, "read", error))?;
        let (body, reserve, limit) = if start.starts_with(&[0x1f, 0x8b]) {
            let decoder = Box::new(Gunzip::new(reader));
            let reserve = len.saturating_mul(RESERVE_RATIO);
            (Body::Gzip(decoder), reserve, decoded_limit(len))
        } else {
            (Body::Plain(reader), len, MAX_DECODED)
        };
        Ok(Self {
            body,
            path,
            reserve,
            limit,
        })
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let mut bytes = [0; N];
        let path = self.path;
        fill(self, &mut bytes, path)?;
        Ok(bytes)
    }

    /// Bytes of memory to reserve before the data arrive, at most.
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Whether it is gzip.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.body, Body::Gzip(_))
    }

    /// Bytes that this file may decode to.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Refuses a promise that the stored bytes cannot reasonably keep.
    pub(crate) fn check_promise(&self, promised: u64) -> Result<(), DataError> {
        check_limit(self.path, promised, self.limit)
    }

    /// Appends exactly `promised` bytes.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, promised: u64) -> Result<(), DataError> {
        self.check_promise(promised)?;
        let (path, reserve) = (self.path, self.reserve);
        append(self, out, promised, reserve, path)
    }

    /// Checks that nothing follows, and the gzip checksum with it.
    pub(crate) fn end(&mut self, promised: u64) -> Result<(), DataError> {
        let path = self.path;
        end(self, promised, path)
    }

    /// SHA-256 of the file as stored, in lower-case hexadecimal; complete once the end was reached.
    pub(crate) fn sha256(self) -> Option<String> {
        let tee = match self.body {
            Body::Plain(reader) => reader.into_inner(),
            Body::Gzip(decoder) => decoder.into_inner()?.into_inner(),
        };
        tee.sha256()
    }
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Plain(reader) => reader.read(buffer),
            Body::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

/// What `stored` compressed bytes may decode to.
pub(crate) fn decoded_limit(stored: u64) -> u64 {
    stored
        .saturating_mul(MAX_RATIO)
        .clamp(FREE_DECODED, MAX_DECODED)
}

/// Refuses more than `limit` decoded bytes.
pub(crate) fn check_limit(path: &Path, promised: u64, limit: u64) -> Result<(), DataError> {
    if promised <= limit {
        return Ok(());
    }
    Err(DataError::TooLarge {
        path: path.to_path_buf(),
        what: format!(
            "what the header promises (at most 256 MiB, or {MAX_RATIO} times the compressed bytes; store it \
             uncompressed if it is right)"
        ),
        limit,
    })
}

/// Fails with `FileTooLarge` instead of delivering more than `limit` bytes.
pub(crate) struct Limited<'a> {
    inner: &'a mut dyn Read,
    left: u64,
}

impl<'a> Limited<'a> {
    pub(crate) fn new(inner: &'a mut dyn Read, limit: u64) -> Self {
        Self { inner, left: limit }
    }
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(n)
    }
}

/// Opens a file and asks for its length.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    let opened = granule_io::open_regular(path);
    let (file, metadata) = opened.map_err(|error| DataError::io(path, "open", error))?;
    watch::tell(Access::Read, path, metadata.len());
    Ok((file, metadata.len()))
}

/// Fills `buffer`, or says how much was there.
pub(crate) fn fill(reader: &mut dyn Read, buffer: &mut [u8], path: &Path) -> Result<(), DataError> {
    let expected = buffer.len() as u64;
    let mut found = 0;
    while let Some(rest) = buffer.get_mut(found..).filter(|rest| !rest.is_empty()) {
        match read_some(reader, rest, path, expected, found as u64)? {
            0 => return Err(truncated(path, expected, found as u64)),
            n => found += n,
        }
    }
    Ok(())
}

/// Appends exactly `promised` bytes to `out`. At most `reserve` bytes are allocated before they arrive.
pub(crate) fn append(
    reader: &mut dyn Read,
    out: &mut Vec<u8>,
    promised: u64,
    reserve: u64,
    path: &Path,
) -> Result<(), DataError> {
    let wanted = usize::try_from(promised)
        .ok()
        .filter(|_| promised <= MAX_DECODED)
        .ok_or_else(|| too_large(path, "the decoded content"))?;
    let start = out.len();
    reserve_exact(
        out,
        wanted.min(usize::try_from(reserve).unwrap_or(usize::MAX)),
        path,
    )?;
    let mut found = 0;
    while found < wanted {
        let next = (wanted - found).min(CHUNK);
        if out.capacity() - out.len() < next {
            reserve_exact(out, (out.len() - start).max(next).min(wanted - found), path)?;
        }
        out.resize(start + found + next, 0);
        let buffer = out.get_mut(start + found..).unwrap_or_default();
        let n = read_some(reader, buffer, path, promised, found as u64)?;
        found += n;
        out.truncate(start + found);
        if n == 0 {
            return Err(truncated(path, promised, found as u64));
        }
    }
    Ok(())
}

/// Checks that the stream is at its end.
pub(crate) fn end(reader: &mut dyn Read, promised: u64, path: &Path) -> Result<(), DataError> {
    match read_some(reader, &mut [0], path, promised, promised)? {
        0 => Ok(()),
        _ => Err(DataError::Trailing {
            path: path.to_path_buf(),
            expected: promised,
        }),
    }
}

/// One read; interruptions are retried, decoder failures become typed.
pub(crate) fn read_some(
    reader: &mut dyn Read,
    buffer: &mut [u8],
    path: &Path,
    expected: u64,
    found: u64,
) -> Result<usize, DataError> {
    loop {
        match reader.read(buffer) {
            Ok(n) => return Ok(n),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::UnexpectedEof if found < expected => {
                    return Err(truncated(path, expected, found));
                }
                _ => return Err(stream_error(path, error)),
            },
        }
    }
}

/// Tells a damaged stream from a failing disk.
pub(crate) fn stream_error(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            DataError::corrupt(path, "the compressed stream ends too early")
        }
        io::ErrorKind::FileTooLarge => DataError::TooLarge {
            path: path.to_path_buf(),
            what: "the decoded archive".into(),
            limit: MAX_ARCHIVE,
        },
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            DataError::corrupt(path, error)
        }
        _ => DataError::io(path, "read", error),
    }
}

/// Room for `additional` more elements, within the memory budget.
pub(crate) fn reserve_exact<T>(
    out: &mut Vec<T>,
    additional: usize,
    path: &Path,
) -> Result<(), DataError> {
    Ok(budget::reserve(out, additional, path.display())?)
}

pub(crate) fn truncated(path: &Path, expected: u64, found: u64) -> DataError {
    DataError::Truncated {
        path: path.to_path_buf(),
        expected,
        found,
    }
}

pub(crate) fn too_large(path: &Path, what: &str) -> DataError {
    DataError::TooLarge {
        path: path.to_path_buf(),
        what: what.to_string(),
        limit: MAX_DECODED,
    }
}
