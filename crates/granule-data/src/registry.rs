//! Published data sets: file names, sizes, checksums, mirrors, and which of them are on this machine.
//!
//! A set lies in a folder of its own, `DIR/mnist/`, under the published file names. A file may also lie there
//! unpacked: the members listed in [`PublishedFile::unpacked`] together stand for it, and go before it. Members of an
//! archive may lie in the folder of the archive or directly in that of the set, CIFAR's archives for Python stand for the
//! binary ones where these are not there, and `train-images.idx3-ubyte` is
//! another spelling of `train-images-idx3-ubyte`. [`verify`] reports on the files that are read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::data_dir::dataset_dir;
use crate::reading::Hashing;
use crate::text::hexadecimal;
use crate::{DataError, DatasetSpec};

mod sets;

/// One published data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Name, also that of its folder: `mnist`.
    pub name: &'static str,
    /// What it holds, in a few words.
    pub title: &'static str,
    /// The licence, or what its authors say about its use.
    pub licence: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// Its files.
    pub files: &'static [PublishedFile],
}

/// One published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedFile {
    /// File name.
    pub name: &'static str,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: &'static str,
    /// Addresses, best first.
    pub mirrors: &'static [&'static str],
    /// The files it unpacks to, as far as they are read.
    pub unpacked: &'static [UnpackedFile],
    /// The same content for Python, in pickles, which is read where this file is not there.
    pub for_python: Option<&'static Self>,
}

/// One member of a published archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackedFile {
    /// Path below the folder of the set, with `/`.
    pub path: &'static str,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal, where it is known.
    pub sha256: Option<&'static str>,
}

impl Published {
    /// Bytes of all published files together.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The files that are in `dir` neither as published nor unpacked.
    pub fn missing(&self, dir: &Path) -> Vec<&'static PublishedFile> {
        self.files
            .iter()
            .filter(|file| !file.is_present(dir))
            .collect()
    }

    /// Checks that no file is missing from `dir`, the folder of this set.
    ///
    /// # Errors
    /// [`DataError::Missing`] with the names of the files, the folder and how to get them.
    pub fn require(&self, dir: &Path) -> Result<(), DataError> {
        let missing = self.missing(dir);
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = missing.iter().flat_map(|file| file.absent(dir)).collect();
        let (them, these) = match names.as_slice() {
            [_] => ("it", "this name"),
            _ => ("them", "these names"),
        };
        Err(DataError::Missing {
            path: dir.to_path_buf(),
            what: names,
            hint: format!(
                "fetch {them} with `granule data fetch {}` on a machine with a network, or place {them} there under \
                 {these}, or name another folder with --data-dir or GRANULE_DATA_DIR ({})",
                self.name, self.source
            ),
        })
    }
}

impl PublishedFile {
    /// Whether the file, or everything it unpacks to, is in `dir`.
    pub fn is_present(&self, dir: &Path) -> bool {
        self.locate(dir).is_some()
    }

    /// What to name as missing: the file, or those of its members that are not there beside others that are.
    fn absent(&self, dir: &Path) -> Vec<String> {
        let is_there = |member: &&UnpackedFile| {
            let mut paths = SPELLINGS
                .iter()
                .map(|respell| dir.join(respell(member.path)));
            paths.any(|path| path.is_file())
        };
        let incomplete = |file: &Self| {
            let (there, absent): (Vec<&UnpackedFile>, Vec<&UnpackedFile>) =
                file.unpacked.iter().partition(is_there);
            (!there.is_empty() && !absent.is_empty()).then(|| {
                let absent = absent.iter().map(|member| member.path.to_owned());
                absent.collect::<Vec<String>>()
            })
        };
        incomplete(self)
            .or_else(|| incomplete(self.for_python?))
            .unwrap_or_else(|| vec![self.name.to_owned()])
    }

    /// The files in `dir` that are read for this one; `None` when it is there in no form.
    pub(crate) fn locate(&self, dir: &Path) -> Option<Located> {
        let members = |respell: fn(&str) -> String| -> Vec<LocatedFile> {
            let located = |member: &UnpackedFile| LocatedFile {
                path: dir.join(respell(member.path)),
                size: member.size,
                sha256: member.sha256,
            };
            self.unpacked.iter().map(located).collect()
        };
        let complete = |files: &Vec<LocatedFile>| {
            !files.is_empty() && files.iter().all(|file| file.path.is_file())
        };
        let unpacked = SPELLINGS.into_iter().map(members).find(complete);
        unpacked.map(Located::Unpacked).or_else(|| {
            let file = |respell: fn(&str) -> String| LocatedFile {
                path: dir.join(respell(self.name)),
                size: self.size,
                sha256: Some(self.sha256),
            };
            let mut files = SPELLINGS.into_iter().map(file);
            files
                .find(|file| file.path.is_file())
                .map(Located::AsPublished)
                .or_else(|| self.for_python?.locate(dir))
        })
    }
}

/// How the path of a published file may be written below the folder of its set, best first.
const SPELLINGS: [fn(&str) -> String; 3] = [
    str::to_string,
    |path| path.rsplit('/').next().unwrap_or(path).to_string(),
    |path| path.replace("-idx", ".idx"),
];

/// The form in which a published file is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Located {
    AsPublished(LocatedFile),
    /// All its members, in their published order.
    Unpacked(Vec<LocatedFile>),
}

impl Located {
    pub(crate) fn files(&self) -> &[LocatedFile] {
        match self {
            Self::AsPublished(file) => std::slice::from_ref(file),
            Self::Unpacked(files) => files,
        }
    }
}

/// A file on this machine and what was published about its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocatedFile {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) sha256: Option<&'static str>,
}

impl LocatedFile {
    /// Whether it has to be hashed while it is read: one of another size than the published one differs anyway.
    pub(crate) fn hashing(&self, len: u64) -> Hashing {
        match self.sha256 {
            Some(_) if len == self.size => Hashing::On,
            _ => Hashing::Off,
        }
    }

    /// What to say about it, of `len` bytes, when it was read as [`hashing`](Self::hashing) demands.
    pub(crate) fn warning(&self, len: u64, sha256: Option<&str>) -> Option<String> {
        let what = if len != self.size {
            "size"
        } else if sha256 != self.sha256 {
            "checksum"
        } else {
            return None;
        };
        Some(format!(
            "{}: the {what} is not that of the published file; its structure is right, so it is used",
            self.path.display()
        ))
    }
}

/// The published sets, in the order in which they are listed.
pub fn all() -> &'static [Published] {
    &sets::ALL
}

/// The published set of that name.
pub fn find(name: &str) -> Option<&'static Published> {
    sets::ALL.iter().find(|set| set.name == name)
}

/// Whether a file is the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// Size and checksum are the published ones.
    Ok,
    /// The size is right and no checksum is known.
    Unchecked,
    /// Size or checksum is another.
    Differs,
    /// It is not there.
    Missing,
}

/// What [`verify`] found out about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// The verdict.
    pub state: FileState,
    /// Its size in bytes; `None` when it is missing.
    pub size: Option<u64>,
    /// The published size in bytes.
    pub expected_size: u64,
    /// Its SHA-256; `None` when it is missing or its size is wrong already.
    pub sha256: Option<String>,
    /// The published SHA-256, where it is known.
    pub expected_sha256: Option<&'static str>,
}

/// Compares the files in `dir`, the folder of the set, that [`load`](crate::load) reads with the published ones; an
/// unpacked archive by its members.
///
/// # Errors
/// [`DataError::Io`] for a file that is there but cannot be read.
pub fn verify(set: &Published, dir: &Path) -> Result<Vec<FileReport>, DataError> {
    let mut reports = Vec::new();
    for file in set.files {
        match file.locate(dir) {
            Some(located) => {
                for file in located.files() {
                    reports.push(check(file.path.clone(), file.size, file.sha256)?);
                }
            }
            None => reports.push(check(dir.join(file.name), file.size, Some(file.sha256))?),
        }
    }
    Ok(reports)
}

fn check(
    path: PathBuf,
    expected_size: u64,
    expected_sha256: Option<&'static str>,
) -> Result<FileReport, DataError> {
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => Some(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(DataError::io(&path, "read", error)),
    };
    let sha256 = match size {
        Some(size) if size == expected_size => Some(sha256_of_file(&path)?),
        _ => None,
    };
    let state = match (size, &sha256, expected_sha256) {
        (None, ..) => FileState::Missing,
        (_, None, _) => FileState::Differs,
        (_, Some(_), None) => FileState::Unchecked,
        (_, Some(found), Some(expected)) if found == expected => FileState::Ok,
        _ => FileState::Differs,
    };
    Ok(FileReport {
        path,
        state,
        size,
        expected_size,
        sha256,
        expected_sha256,
    })
}

/// One line of [`list`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Name of the set, as [`DatasetSpec`] reads it.
    pub name: &'static str,
    /// What it holds, in a few words.
    pub title: &'static str,
    /// Bytes to download; 0 for a set made by code.
    pub size: u64,
    /// Whether every file is there. Contents are not compared: that is [`verify`].
    pub present: bool,
    /// The folder of the set; `None` for a set made by code.
    pub dir: Option<PathBuf>,
    /// The licence, or what its authors say about its use.
    pub licence: &'static str,
    /// Where it is described.
    pub source: &'static str,
}

/// Every set that goes by a name, and whether its files are below `data_dir`.
pub fn list(data_dir: &Path) -> Vec<Listing> {
    let synthetic = Listing {
        name: DatasetSpec::NAMES[0],
        title: "28×28 grey digits drawn by code, 4000 train and 1000 test",
        size: 0,
        present: true,
        dir: None,
        licence: "MIT",
        source: "built in",
    };
    let published = sets::ALL.iter().map(|set| {
        let dir = dataset_dir(data_dir, set.name);
        Listing {
            name: set.name,
            title: set.title,
            size: set.size(),
            present: set.missing(&dir).is_empty(),
            dir: Some(dir),
            licence: set.licence,
            source: set.source,
        }
    });
    std::iter::once(synthetic).chain(published).collect()
}

/// SHA-256 of a file, lower-case hexadecimal.
///
/// # Errors
/// [`DataError::Io`] when it cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String, DataError> {
    let failed = |error| DataError::io(path, "read", error);
    let (mut file, _) = granule_io::open_regular(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(hexadecimal(&hash.finalize())),
            Ok(n) => hash.update(block.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_but_the_synthetic_one_is_published() {
        for name in &DatasetSpec::NAMES[1..] {
            assert_eq!(find(name).unwrap().name, *name);
        }
        assert_eq!(all().len(), DatasetSpec::NAMES.len() - 1);
        assert_eq!(find("synthetic-digits"), None);
    }

    #[test]
    fn entries_are_well_formed() {
        let is_sha256 = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let files = all().iter().flat_map(|set| set.files);
        for file in files.flat_map(|file| std::iter::once(file).chain(file.for_python)) {
            assert!(is_sha256(file.sha256), "{}", file.name);
            // What comes first is tried first.
            let first = file.mirrors.first();
            assert!(
                first.is_some_and(|m| m.starts_with("https://")),
                "{}",
                file.name
            );
            for mirror in file.mirrors {
                assert!(mirror.starts_with("http"), "{mirror}");
                assert!(mirror.ends_with(&format!("/{}", file.name)), "{mirror}");
            }
            for member in file.unpacked {
                assert!(member.sha256.is_none_or(is_sha256), "{}", member.path);
                assert!(!member.path.split('/').any(|part| part == ".."));
            }
        }
    }

    const HELLO: UnpackedFile = UnpackedFile {
        path: "inner/hello",
        size: 5,
        sha256: Some("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    };
    const SMALL: Published = Published {
        name: "small",
        title: "",
        licence: "",
        source: "example.org",
        files: &[PublishedFile {
            name: "hello.gz",
            size: 3,
            // Of "abc".
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            mirrors: &[],
            unpacked: &[HELLO],
            for_python: None,
        }],
    };

    #[test]
    fn verdicts() {
        let dir = tempfile::tempdir().unwrap();
        let verdict = || -> Vec<FileState> {
            let reports = verify(&SMALL, dir.path()).unwrap();
            reports.iter().map(|report| report.state).collect()
        };
        assert_eq!(verdict(), [FileState::Missing]);
        let message = SMALL.require(dir.path()).unwrap_err().to_string();
        for part in [
            "hello.gz",
            &dir.path().display().to_string(),
            "data fetch small",
        ] {
            assert!(message.contains(part), "{message}");
        }

        std::fs::create_dir(dir.path().join("inner")).unwrap();
        std::fs::write(dir.path().join("inner/hello"), "hello").unwrap();
        assert_eq!(verdict(), [FileState::Ok]);
        SMALL.require(dir.path()).unwrap();
        std::fs::write(dir.path().join("inner/hello"), "hallo").unwrap();
        assert_eq!(verdict(), [FileState::Differs]);

        // As long as it is there unpacked, that is what is read.
        std::fs::write(dir.path().join("hello.gz"), "abc").unwrap();
        assert_eq!(verdict(), [FileState::Differs]);
        std::fs::remove_file(dir.path().join("inner/hello")).unwrap();
        assert_eq!(verdict(), [FileState::Ok]);
        std::fs::write(dir.path().join("hello.gz"), "abcd").unwrap();
        assert_eq!(verdict(), [FileState::Differs]);
    }

    #[test]
    fn every_spelling_is_found() {
        for (set, paths) in [
            ("mnist", &["train-images-idx3-ubyte"][..]),
            ("mnist", &["train-images.idx3-ubyte"]),
            ("mnist", &["train-images-idx3-ubyte.gz"]),
            ("mnist", &["train-images.idx3-ubyte.gz"]),
            ("cifar-100", &["train.bin", "test.bin"]),
            (
                "cifar-100",
                &["cifar-100-binary/train.bin", "cifar-100-binary/test.bin"],
            ),
            ("cifar-100", &["cifar-100-binary.tar.gz"]),
            ("cifar-100", &["cifar-100-python.tar.gz"]),
            ("cifar-100", &["train", "test"]),
            (
                "cifar-100",
                &["cifar-100-python/train", "cifar-100-python/test"],
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let set = find(set).unwrap();
            let is_found = || set.missing(dir.path()).len() < set.files.len();
            for path in paths {
                assert!(!is_found(), "{paths:?}");
                let path = dir.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x").unwrap();
            }
            assert!(is_found(), "{paths:?}");
            let reports = verify(set, dir.path()).unwrap();
            let differing: Vec<_> = reports
                .iter()
                .filter(|report| report.state == FileState::Differs)
                .map(|report| report.path.clone())
                .collect();
            let expected: Vec<_> = paths.iter().map(|path| dir.path().join(path)).collect();
            assert_eq!(differing, expected);
        }
    }

    #[test]
    fn lists_every_name() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = list(dir.path()).iter().map(|line| line.name).collect();
        assert_eq!(names, DatasetSpec::NAMES);
        let present: Vec<_> = list(dir.path()).iter().map(|line| line.present).collect();
        assert_eq!(present, [true, false, false, false, false]);
    }
}
