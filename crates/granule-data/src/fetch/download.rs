use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use crate::registry::{PublishedFile, sha256_of_file};
use crate::{DataError, Progress};

/// Rounds through the mirrors; another one is only made after one that brought something.
const ROUNDS: usize = 5;

/// Why a mirror did not deliver.
enum Failure {
    /// The mirror is to blame: the next one may do better.
    Mirror(String),
    /// This machine is to blame: no mirror will do better.
    Local(DataError),
}

/// Downloads one file into `dir`.
pub(super) fn file(
    file: &PublishedFile,
    dir: &Path,
    agent: &Agent,
    progress: &dyn Progress,
) -> Result<(), DataError> {
    let download = Download {
        file,
        part: dir.join(format!("{}.part", file.name)),
        agent,
        progress,
    };
    let mut attempts = Vec::new();
    for _ in 0..ROUNDS {
        attempts.clear();
        let before = download.present();
        for mirror in file.mirrors {
            match download.try_mirror(mirror) {
                Ok(()) => return download.publish(&dir.join(file.name)),
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Mirror(reason)) => {
                    progress.warn(&format!("{mirror}: {reason}"));
                    attempts.push(format!("{mirror}: {reason}"));
                }
            }
        }
        if download.present() <= before {
            break;
        }
    }
    Err(DataError::Download {
        file: file.name.to_owned(),
        dir: dir.to_path_buf(),
        attempts,
    })
}

struct Download<'a> {
    file: &'a PublishedFile,
    part: PathBuf,
    agent: &'a Agent,
    progress: &'a dyn Progress,
}

impl Download<'_> {
    /// Bytes there from an earlier attempt.
    fn present(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    fn discard(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::Local(DataError::io(&self.part, "remove", error)))
            }
            _ => Ok(()),
        }
    }

    /// Completes the part file and checks it.
    fn try_mirror(&self, url: &str) -> Result<(), Failure> {
        if self.present() > self.file.size {
            self.discard()?;
        }
        let resumed = self.present() > 0;
        self.complete(url)?;
        match self.check() {
            // The bytes of an earlier attempt may be the wrong ones.
            Err(Failure::Mirror(_)) if resumed => {
                self.complete(url)?;
                self.check()
            }
            result => result,
        }
    }

    fn complete(&self, url: &str) -> Result<(), Failure> {
        let start = self.present();
        if start == self.file.size {
            return Ok(());
        }
        let mut request = self.agent.get(url);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let response = request
            .call()
            .map_err(|error| Failure::Mirror(error.to_string()))?;
        match response.status() {
            StatusCode::OK => self.receive(response, 0),
            StatusCode::PARTIAL_CONTENT if start > 0 && self.is_rest(&response, start) => {
                self.receive(response, start)
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => {
                self.discard()?;
                self.complete(url)
            }
            status => Err(Failure::Mirror(format!("the server answers {status}"))),
        }
    }

    /// Whether the answer is what was asked for: everything from `start` on.
    fn is_rest(&self, response: &Response<ureq::Body>, start: u64) -> bool {
        let range = response.headers().get(header::CONTENT_RANGE);
        let Some(range) = range.and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let last = self.file.size.saturating_sub(1);
        let expected = format!("bytes {start}-{last}/");
        range
            .strip_prefix(&expected)
            .is_some_and(|total| total == "*" || total.parse() == Ok(self.file.size))
    }

    fn receive(&self, response: Response<ureq::Body>, start: u64) -> Result<(), Failure> {
        let rest = self.file.size - start;
        if let Some(length) = response.body().content_length()
            && length != rest
        {
            return Err(Failure::Mirror(format!(
                "the server offers {} bytes, the published file has {}",
                start + length,
                self.file.size
            )));
        }
        let local = |action, error| Failure::Local(DataError::io(&self.part, action, error));
        let mut part = OpenOptions::new()
            .create(true)
            .write(true)
            .append(start > 0)
            .truncate(start == 0)
            .open(&self.part)
            .map_err(|error| local("create", error))?;
        self.progress.start(self.file.name, Some(self.file.size));
        self.progress.advance(start);
        let mut body = response.into_body().into_reader();
        let result = self.copy(&mut body, &mut part, rest);
        self.progress.finish();
        result?;
        part.sync_all().map_err(|error| local("write", error))
    }

    /// Copies exactly `rest` bytes, after which the body must end.
    fn copy(&self, body: &mut dyn Read, part: &mut File, rest: u64) -> Result<(), Failure> {
        let mut block = vec![0; 1 << 16];
        let mut left = rest;
        loop {
            let got = match body.read(&mut block) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(left, &error.to_string())),
            };
            if got == 0 {
                return match left {
                    0 => Ok(()),
                    _ => Err(self.broken(left, "the connection ended")),
                };
            }
            if got as u64 > left {
                self.discard()?;
                return Err(Failure::Mirror(format!(
                    "the server sends more than the {} bytes of the published file",
                    self.file.size
                )));
            }
            let bytes = block.get(..got).unwrap_or_default();
            part.write_all(bytes).map_err(|error| {
                let error = match DataError::io(&self.part, "write", error) {
                    DataError::NoSpace { path, .. } => DataError::NoSpace { path, needed: left },
                    other => other,
                };
                Failure::Local(error)
            })?;
            left -= got as u64;
            self.progress.advance(got as u64);
        }
    }

    fn broken(&self, left: u64, reason: &str) -> Failure {
        let size = self.file.size;
        Failure::Mirror(format!(
            "broke off after {} of {size} bytes: {reason}",
            size - left
        ))
    }

    /// Removes the part file when it is not the published content.
    fn check(&self) -> Result<(), Failure> {
        let found = sha256_of_file(&self.part).map_err(Failure::Local)?;
        if found == self.file.sha256 {
            return Ok(());
        }
        self.discard()?;
        Err(Failure::Mirror(format!(
            "SHA-256 is {found}, the published file has {}",
            self.file.sha256
        )))
    }

    fn publish(&self, target: &Path) -> Result<(), DataError> {
        fs::rename(&self.part, target).map_err(|error| DataError::io(target, "rename to", error))
    }
}
