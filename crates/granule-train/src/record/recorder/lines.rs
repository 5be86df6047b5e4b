//! Text files that grow by whole lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::record::RecordError;

pub(super) struct LineFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl LineFile {
    /// A file that holds `lines` and is open for more.
    pub(super) fn open<'a>(
        path: PathBuf,
        lines: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self, RecordError> {
        let text: String = lines
            .into_iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect();
        crate::record::replace(&path, text.as_bytes())?;
        match OpenOptions::new().append(true).open(&path) {
            Ok(file) => Ok(Self {
                path,
                out: BufWriter::new(file),
            }),
            Err(source) => Err(RecordError::Io {
                action: "write",
                path,
                source,
            }),
        }
    }

    pub(super) fn push(&mut self, line: &str) -> Result<(), RecordError> {
        self.out
            .write_all(line.as_bytes())
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|source| self.failed(source))
    }

    pub(super) fn flush(&mut self) -> Result<(), RecordError> {
        self.out.flush().map_err(|source| self.failed(source))
    }

    pub(super) fn sync(&mut self) -> Result<(), RecordError> {
        self.flush()?;
        self.out
            .get_ref()
            .sync_data()
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> RecordError {
        RecordError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        }
    }
}

/// The lines of a file that end with a newline; none when there is no file.
pub(super) fn whole_lines(path: &Path) -> Result<Vec<String>, RecordError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(RecordError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect())
}
