//! The files that a user names for results.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use granule::io::path::link_target;
use granule::io::{check_writable, write_atomic_with};

use crate::failure::Usage;

/// The files that this process has read.
static READ: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Notes that a file was read, so that no result takes its place.
pub fn was_read(path: &Path) {
    if let Ok(mut read) = READ.lock()
        && !read.contains(path)
    {
        read.insert(path.to_owned());
    }
}

/// A place for a result, tried before the work: what takes its time is not to fail at its end.
#[derive(Debug)]
pub struct OutFile {
    named: PathBuf,
    /// Where a link leads: it stays, and what it names is written, as `cp` and a shell's `>` do.
    target: PathBuf,
    flag: &'static str,
}

impl OutFile {
    /// # Errors
    /// A folder, a place below a file, or one that cannot be written, by the name of the flag.
    pub fn new(path: &Path, flag: &'static str) -> Result<Self, Usage> {
        let refused = |reason: String| Usage::new(format!("{flag} {}: {reason}", path.display()));
        if path.is_dir() {
            return Err(refused("this is a folder".into()));
        }
        let target = link_target(path).map_err(|error| refused(error.to_string()))?;
        match target.parent() {
            Some(parent) if parent.is_file() => {
                let reason = format!("{} is a file, not a folder", parent.display());
                return Err(refused(reason));
            }
            // The error names the place, which is another where a link leads there.
            _ if target == path => {
                check_writable(&target).map_err(|error| Usage::new(format!("{flag} {error}")))?;
            }
            _ => check_writable(&target).map_err(|error| refused(error.to_string()))?,
        }
        Ok(Self {
            named: path.to_path_buf(),
            target,
            flag,
        })
    }

    /// As the user named it.
    pub fn path(&self) -> &Path {
        &self.named
    }

    /// Refuses a file that the result is made from; asked when all of them are read.
    ///
    /// # Errors
    /// Names the file.
    pub fn check_unread(&self) -> Result<(), Usage> {
        let Ok(own) = self.target.canonicalize() else {
            return Ok(());
        };
        let Ok(read) = READ.lock() else {
            return Ok(());
        };
        let same = |path: &&PathBuf| path.canonicalize().is_ok_and(|path| path == own);
        match read.iter().find(same) {
            None => Ok(()),
            Some(read) => Err(Usage::new(format!(
                "{} {}: this would take the place of {}, which was read for it",
                self.flag,
                self.named.display(),
                read.display()
            ))
            .hint("give the result another name")),
        }
    }

    /// Writes it whole, and the folders that it lies in where they are not there.
    ///
    /// # Errors
    /// As [`check_unread`](Self::check_unread), and what the system says.
    pub fn write(&self, write: impl FnOnce(&mut File) -> io::Result<()>) -> anyhow::Result<()> {
        self.check_unread()?;
        match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot create the folder {}", parent.display()))?,
            _ => {}
        }
        Ok(write_atomic_with(&self.target, write)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_read_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let read = dir.path().join("read.csv");
        fs::write(&read, "1").unwrap();
        was_read(&dir.path().join("./read.csv"));
        let out = OutFile::new(&read, "--out").unwrap();
        for error in [
            out.check_unread().unwrap_err().to_string(),
            out.write(|file| file.write_all(b"2"))
                .unwrap_err()
                .to_string(),
        ] {
            assert!(
                error.starts_with("--out ") && error.contains("read.csv"),
                "{error}"
            );
        }
        assert_eq!(fs::read(&read).unwrap(), b"1");
        let other = OutFile::new(&dir.path().join("new/other.csv"), "--out").unwrap();
        other.write(|file| file.write_all(b"2")).unwrap();
        assert_eq!(fs::read(dir.path().join("new/other.csv")).unwrap(), b"2");
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_what_they_name_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("far")).unwrap();
        for (link, target) in [("one", "far/old"), ("two", "one"), ("dangling", "far/new")] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        fs::write(at("far/old"), "before").unwrap();
        for (link, target) in [("two", "far/old"), ("dangling", "far/new")] {
            let out = OutFile::new(&at(link), "--out").unwrap();
            out.write(|file| file.write_all(b"after")).unwrap();
            assert!(at(link).is_symlink(), "{link}");
            assert_eq!(fs::read(at(target)).unwrap(), b"after", "{link}");
        }
        let error = OutFile::new(&at("loop"), "--out").unwrap_err().to_string();
        assert!(error.contains("link"), "{error}");
    }
}
