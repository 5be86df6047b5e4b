use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    pace: Pace,
    progress: &dyn Progress,
) -> Result<(), DataError> {
    let download = Download {
        file,
        part: dir.join(format!("{}.part", file.name)),
        agent,
        pace,
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
    pace: Pace,
    progress: &'a dyn Progress,
}

/// The slowest that a mirror may be before the next one is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The span over which it is measured.
    pub window: Duration,
    /// The bytes that must come in each span.
    pub least: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            least: 30 << 10,
        }
    }
}

#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.dev() == b.dev() && a.ino() == b.ino()
}

#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, opened: &fs::Metadata) -> bool {
    opened.is_file()
}

impl Download<'_> {
    /// Bytes there from an earlier attempt; what is not a file of its own holds none.
    fn present(&self) -> u64 {
        match fs::symlink_metadata(&self.part) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        }
    }

    /// Opens the part file, to be gone on with where it has `start` bytes. A link in its place is never followed.
    fn open(&self, start: u64) -> Result<File, Failure> {
        let local = |error| Failure::Local(DataError::io(&self.part, "create", error));
        if start == 0 {
            self.discard()?;
            let mut options = OpenOptions::new();
            return options
                .write(true)
                .create_new(true)
                .open(&self.part)
                .map_err(local);
        }
        let seen = fs::symlink_metadata(&self.part).map_err(local)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&self.part)
            .map_err(local)?;
        let opened = file.metadata().map_err(local)?;
        // Another one may have been put there between the two.
        if seen.is_file() && is_same(&seen, &opened) {
            Ok(file)
        } else {
            Err(local(io::Error::other(
                "something else was put in its place",
            )))
        }
    }

    fn discard(&self) -> Result<(), Failure> {
        // Of a link this removes the link alone.
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
        let mut part = self.open(start)?;
        self.progress.start(self.file.name, Some(self.file.size));
        self.progress.advance(start);
        let mut body = response.into_body().into_reader();
        let result = self.copy(&mut body, &mut part, rest);
        self.progress.finish();
        result?;
        part.sync_all()
            .map_err(|error| Failure::Local(DataError::io(&self.part, "write", error)))
    }

    /// Copies exactly `rest` bytes, after which the body must end.
    fn copy(&self, body: &mut dyn Read, part: &mut File, rest: u64) -> Result<(), Failure> {
        let mut block = vec![0; 1 << 16];
        let mut left = rest;
        let mut window = (Instant::now(), rest);
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
            let (since, then) = window;
            if since.elapsed() >= self.pace.window {
                let came = then - left;
                if came < self.pace.least {
                    let seconds = since.elapsed().as_secs_f64();
                    let slow = format!("too slow, {came} bytes in {seconds:.0} s");
                    return Err(self.broken(left, &slow));
                }
                window = (Instant::now(), left);
            }
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_ends_it() {
        let file = PublishedFile {
            name: "file.gz",
            size: 3500,
            sha256: "",
            mirrors: &[],
            unpacked: &[],
            for_python: None,
        };
        let download = Download {
            file: &file,
            part: PathBuf::from("file.gz.part"),
            agent: &Agent::new_with_defaults(),
            pace: Pace::default(),
            progress: &crate::Silent,
        };
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        match download.copy(&mut [1_u8; 3500].as_slice(), &mut full, 3500) {
            Err(Failure::Local(DataError::NoSpace { needed: 3500, .. })) => {}
            Err(Failure::Local(error)) => panic!("{error}"),
            Err(Failure::Mirror(reason)) => panic!("{reason}"),
            Ok(()) => panic!("written"),
        }
    }
}
