//! Files that grow while a run goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use granule_io::{Bound, read};

use super::RecordError;
use crate::folder::is_same;

pub(super) struct GrowingFile {
    pub(super) path: PathBuf,
    out: BufWriter<File>,
    /// How many bytes it should have once all is handed over.
    length: u64,
}

impl GrowingFile {
    /// A file that holds `start` and is open for more.
    pub(super) fn open(path: PathBuf, start: &[u8]) -> Result<Self, RecordError> {
        super::replace(&path, start)?;
        match OpenOptions::new().append(true).open(&path) {
            Ok(file) => Ok(Self {
                path,
                out: BufWriter::new(file),
                length: start.len() as u64,
            }),
            Err(source) => Err(RecordError::io("write", &path, source)),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let result = self.out.write_all(bytes);
        self.length += bytes.len() as u64;
        self.checked(result)
    }

    pub(super) fn push_line(&mut self, line: &str) -> Result<(), RecordError> {
        self.push(line.as_bytes())?;
        self.push(b"\n")
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> Result<(), RecordError> {
        let result = self.out.flush();
        self.checked(result)
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&mut self) -> Result<(), RecordError> {
        self.flush()?;
        self.checked(self.out.get_ref().sync_data())
    }

    /// What has become of the file that is written to, where it is no longer what lies at its path; for one that was handed
    /// over whole.
    pub(super) fn lost(&self) -> Option<&'static str> {
        let (held, there) = (self.out.get_ref().metadata(), fs::metadata(&self.path));
        match (held, there) {
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Some("deleted"),
            (_, Err(_)) => Some("made unreadable"),
            (Ok(held), Ok(there)) if !is_same(&held, &there) => Some("replaced"),
            (_, Ok(there)) if there.len() < self.length => Some("cut"),
            _ => None,
        }
    }

    fn checked(&self, result: io::Result<()>) -> Result<(), RecordError> {
        result.map_err(|source| RecordError::io("write", &self.path, source))
    }
}

/// The lines of a file that end with a newline; none when there is no file.
pub(super) fn whole_lines(path: &Path) -> Result<Vec<String>, RecordError> {
    let bytes = match read(path, Bound::RECORD) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect())
}
