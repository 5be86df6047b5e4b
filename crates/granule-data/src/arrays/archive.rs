//! The arrays of an `.npz` archive, by their names.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::CrcReader;
use granule_io::words::printable;

use super::npy::Header;
use super::{
    Array, ArrayOptions, Doubles, Outputs, Part, RawInputs, TargetKind, doubles, elements, zip,
};
use crate::DataError;
use crate::reading::{self, RESERVE_RATIO};

/// An archive whose directory was read.
pub(crate) struct Archive<'a, F> {
    file: F,
    path: Cow<'a, Path>,
    members: Vec<zip::Member>,
    /// Where the last member of a name is.
    places: HashMap<String, usize>,
}

impl<'a> Archive<'a, BufReader<File>> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, DataError> {
        let (file, _) = reading::open(path)?;
        Self::new(BufReader::new(file), path)
    }
}

impl<'a, F: Read + Seek> Archive<'a, F> {
    /// `path` is for messages.
    pub(crate) fn new(mut file: F, path: impl Into<Cow<'a, Path>>) -> Result<Self, DataError> {
        let path = path.into();
        let members = zip::members(&mut file, &path)?;
        let names = members.iter().enumerate();
        let places = names
            .map(|(at, member)| (member.name.clone(), at))
            .collect();
        Ok(Self {
            file,
            path,
            members,
            places,
        })
    }

    fn find(&self, key: &str) -> Option<&zip::Member> {
        self.members.get(find(&self.places, key)?)
    }

    /// Whether there is an array of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Reads an array.
    ///
    /// # Errors
    /// [`DataError::Format`] when it is missing says which ones are there; those of `read`.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Array<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let at = find(&self.places, name);
        match at.and_then(|at| self.members.get(at)) {
            Some(member) => {
                let inside = inside(&self.path, member);
                with_member(&mut self.file, member, &self.path, &inside, read)
            }
            None => {
                let reason = format!("no array {name:?} in it; it holds [{}]", self.listed());
                Err(DataError::format(&self.path, reason))
            }
        }
    }

    /// Reads an array of any number type in double precision.
    pub(crate) fn doubles(&mut self, name: &str) -> Result<Doubles, DataError> {
        self.read(name, doubles)
    }

    /// Reads an array that is one text, of at most `most` bytes.
    pub(crate) fn text(&mut self, name: &str, most: u64) -> Result<String, DataError> {
        self.read(name, |array| {
            let header = &array.header;
            let fits = header.kind.size() as u64 <= most;
            if !(header.kind.is_text() && header.elements() == 1 && fits) {
                let reason = format!("is not one text of at most {most} bytes");
                return Err(DataError::format(array.path, reason));
            }
            let mut found = String::new();
            elements::strings(array, |text| {
                found.push_str(text);
                Ok(())
            })?;
            Ok(found)
        })
    }

    /// Reads a part of a data set: its inputs and its targets, by the names of their arrays.
    pub(super) fn part(
        &mut self,
        x: &str,
        y: &str,
        options: &ArrayOptions,
        targets: Option<TargetKind>,
        notes: &mut Vec<String>,
    ) -> Result<Part, DataError> {
        Ok(Part {
            inputs: self.read(x, |array| RawInputs::read(array, options))?,
            outputs: self.read(y, |array| Outputs::read(array, targets, notes))?,
            x: self.place(x),
            y: self.place(y),
        })
    }

    /// Where an array is, for messages.
    fn place(&self, name: &str) -> PathBuf {
        self.find(name).map_or_else(
            || self.path.to_path_buf(),
            |member| inside(&self.path, member),
        )
    }

    /// The names of the arrays of numbers, in the order of the archive.
    pub(crate) fn names(&mut self) -> Result<Vec<String>, DataError> {
        let mut names = Vec::new();
        for member in &self.members {
            let inside = inside(&self.path, member);
            let mut descr = String::new();
            // The header alone is read, so that the checksum says nothing.
            let _ = with_member(&mut self.file, member, &self.path, &inside, |array| {
                descr.clone_from(&array.header.descr);
                Ok(())
            });
            let text = descr.contains(['U', 'S']);
            if !descr.is_empty() && !text {
                names.push(member.name.trim_end_matches(".npy").to_owned());
            }
        }
        Ok(names)
    }

    /// The names of all arrays, in the order of the archive, each once.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let names = self.members.iter();
        let names = names.map(|member| member.name.trim_end_matches(".npy"));
        names
            .filter(|name| seen.insert(*name))
            .map(str::to_owned)
            .collect()
    }

    /// Every member with the type and extents that its header says, in the order of the archive, each name once.
    pub(crate) fn headers(&mut self) -> Vec<ArrayHeader> {
        let mut headers = Vec::new();
        for name in self.keys() {
            let at = find(&self.places, &name);
            let Some(member) = at.and_then(|at| self.members.get(at)) else {
                continue;
            };
            // Why one cannot be read, the reading of the array tells.
            let header = header(&mut self.file, member, &self.path).ok();
            let shape = header.iter().flat_map(|header| &header.shape);
            headers.push(ArrayHeader {
                name,
                element: header.as_ref().map(|header| header.kind.name()),
                shape: shape.map(|&n| n as usize).collect(),
            });
        }
        headers
    }

    /// Reads an array of any number type in single precision.
    pub(crate) fn floats(&mut self, name: &str) -> Result<Vec<f32>, DataError> {
        self.read(name, elements::floats)
    }

    /// The names of the arrays that are none of `read`, for messages.
    pub(super) fn unread(&self, read: &[&str]) -> Vec<String> {
        let keys = self.keys().into_iter();
        keys.filter(|name| !read.contains(&name.as_str()))
            .map(|name| printable(&name))
            .collect()
    }

    /// The names of all arrays, for messages.
    pub(crate) fn listed(&self) -> String {
        let names: Vec<_> = self
            .members
            .iter()
            .map(|member| printable(member.name.trim_end_matches(".npy")))
            .collect();
        names.join(", ")
    }
}

/// What a member of an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayHeader {
    /// Its name, without `.npy`.
    pub name: String,
    /// NumPy's name of the type of its elements, as `float32`; none for what is no array, or none that is read.
    pub element: Option<&'static str>,
    /// Its extents; empty where it has no type.
    pub shape: Vec<usize>,
}

/// The numbers of an `.npz` archive, each array read when it is asked for.
pub struct NpzNumbers(Archive<'static, BufReader<File>>);

impl NpzNumbers {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// A [`DataError`] that names the file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (file, _) = reading::open(path)?;
        Archive::new(BufReader::new(file), path.to_owned()).map(Self)
    }

    /// Every member, in the order of the archive, those that are no arrays too.
    pub fn headers(&mut self) -> Vec<ArrayHeader> {
        self.0.headers()
    }

    /// An array in single precision, in row-major order; its numbers are finite.
    ///
    /// # Errors
    /// A [`DataError`] that names the array.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>, DataError> {
        self.0.floats(name)
    }
}

/// Where the member is that NumPy gives for a key: of several of one name, the last.
fn find(places: &HashMap<String, usize>, key: &str) -> Option<usize> {
    let named = |name: &str| places.get(name).copied();
    named(key).or_else(|| named(&format!("{key}.npy")))
}

fn inside(archive: &Path, member: &zip::Member) -> PathBuf {
    PathBuf::from(format!("{}!{}", archive.display(), member.name))
}

/// The header of a member, of which no more is read.
fn header(
    file: &mut (impl Read + Seek),
    member: &zip::Member,
    archive: &Path,
) -> Result<Header, DataError> {
    let path = inside(archive, member);
    zip::seek_to(member, file, archive)?;
    let mut stream = member.stream(file, &path)?;
    Header::read(&mut stream, &path)
}

fn with_member<T>(
    file: &mut (impl Read + Seek),
    member: &zip::Member,
    archive: &Path,
    path: &Path,
    read: impl FnOnce(Array<'_>) -> Result<T, DataError>,
) -> Result<T, DataError> {
    zip::seek_to(member, file, archive)?;
    let mut stream = CrcReader::new(member.stream(file, path)?);
    let array = Array::new(
        &mut stream,
        member.stored_bytes.saturating_mul(RESERVE_RATIO),
        path,
    )?;
    array.check_len(member.bytes)?;
    if member.method == zip::Method::Deflate {
        let limit = reading::decoded_limit(member.stored_bytes);
        reading::check_limit(path, array.header.data_bytes(), limit)?;
    }
    let value = read(array)?;
    if stream.crc().sum() != member.crc {
        return Err(DataError::corrupt(path, "its checksum is wrong"));
    }
    Ok(value)
}
