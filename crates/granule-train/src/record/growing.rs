//! Files that grow while a run goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use granule_io::{Bound, read};

use super::RecordError;

pub(super) struct GrowingFile {
    pub(super) path: PathBuf,
    out: BufWriter<File>,
}

impl GrowingFile {
    /// A file that holds `start` and is open for more.
    pub(super) fn open(path: PathBuf, start: &[u8]) -> Result<Self, RecordError> {
        super::replace(&path, start)?;
        match OpenOptions::new().append(true).open(&path) {
            Ok(file) => Ok(Self {
                path,
                out: BufWriter::new(file),
            }),
            Err(source) => Err(RecordError::io("write", &path, source)),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let result = self.out.write_all(bytes);
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
