//! Variables of MATLAB files: version 5 to 7 here, version 7.3, which is HDF5, by the reader of that.
//!
//! MathWorks, "MAT-File Level 5 File Format". A variable is an element, which may be compressed, of elements: flags with
//! the class, extents, name, numbers. Numbers are stored by columns, in the smallest type that they all fit into.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;

use super::hdf5::{Elements, Hdf5};
use super::{Container, Read};
use crate::DataError;
use crate::arrays::{Array, Kind};
use crate::reading::{self, Limited};

/// Bytes before the first variable.
const HEADER: u64 = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// How deep structs may lie in one another, and how many variables and fields are listed.
const MOST_DEPTH: usize = 16;
const MOST_VARIABLES: usize = 10_000;
/// Bytes of the names of a struct's fields at most, and extents of an array.
const MOST_NAMES: u64 = 1 << 20;
/// Bytes of the name of a variable or a field with those it lies in; MATLAB's names have at most 63 each.
const MOST_NAME: usize = 2048;
const MOST_EXTENTS: u64 = 32;
/// Numbers that are converted at a time.
const BLOCK: usize = 4096;

/// A MATLAB file of version 5 to 7.
pub(super) struct Mat<'a> {
    path: &'a Path,
    file: BufReader<File>,
    big_endian: bool,
    variables: Vec<Variable>,
    /// Where a variable is among them.
    places: HashMap<String, usize>,
}

/// A variable, or a field of one.
struct Variable {
    /// Fields are called `variable.field`.
    name: String,
    /// Where its element is in the file.
    element: Element,
    content: Content,
}

/// An element of the file that is a variable, compressed or not.
#[derive(Clone, Copy)]
struct Element {
    /// Where what follows its tag begins.
    start: u64,
    bytes: u64,
    compressed: bool,
}

enum Content {
    Numbers {
        shape: Vec<u64>,
        kind: Kind,
        /// Where the tag of the numbers is in the element, decompressed.
        at: u64,
    },
    Refused(String),
}

/// A tag: the type and the length of what follows; what is short lies in the tag itself.
struct Tag {
    kind: u32,
    bytes: u64,
    short: Option<[u8; 4]>,
}

/// A stream that knows how far it was read.
struct Counted<'r> {
    inner: &'r mut dyn io::Read,
    at: u64,
    big_endian: bool,
    path: &'r Path,
}

impl Counted<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), DataError> {
        reading::fill(self.inner, buffer, self.path)?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn number(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    fn word(&mut self) -> Result<u32, DataError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(self.number(bytes))
    }

    fn tag(&mut self) -> Result<Tag, DataError> {
        let first = self.word()?;
        if first >> 16 == 0 {
            let bytes = u64::from(self.word()?);
            return Ok(Tag {
                kind: first,
                bytes,
                short: None,
            });
        }
        let mut short = [0; 4];
        self.fill(&mut short)?;
        Ok(Tag {
            kind: first & 0xffff,
            bytes: u64::from(first >> 16).min(4),
            short: Some(short),
        })
    }

    /// What follows a tag, of at most `most` bytes, and what fills it up to eight.
    fn content(&mut self, tag: &Tag, most: u64) -> Result<Vec<u8>, DataError> {
        if let Some(short) = &tag.short {
            let bytes = short.get(..tag.bytes as usize);
            return Ok(bytes.unwrap_or_default().to_vec());
        }
        if tag.bytes > most {
            return Err(DataError::corrupt(
                self.path,
                "a part of a variable is too long",
            ));
        }
        let mut bytes = vec![0; tag.bytes as usize];
        self.fill(&mut bytes)?;
        let end = self.at.next_multiple_of(8);
        self.skip_to(end)?;
        Ok(bytes)
    }

    fn skip_to(&mut self, end: u64) -> Result<(), DataError> {
        let mut block = [0; 4096];
        while self.at < end {
            let count = (end - self.at).min(4096) as usize;
            self.fill(block.get_mut(..count).unwrap_or_default())?;
        }
        Ok(())
    }

    fn words(&mut self, most: u64) -> Result<Vec<u32>, DataError> {
        let tag = self.tag()?;
        let bytes = self.content(&tag, 4 * most)?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|&word| self.number(word)).collect())
    }
}

impl<'a> Mat<'a> {
    pub fn open(path: &'a Path, start: &[u8]) -> Result<Self, DataError> {
        let big_endian = match start.get(126..128) {
            Some(b"IM") => false,
            Some(b"MI") => true,
            _ => {
                return Err(DataError::corrupt(
                    path,
                    "its header says no order of bytes",
                ));
            }
        };
        let (file, len) = reading::open(path)?;
        let mut mat = Self {
            path,
            file: BufReader::new(file),
            big_endian,
            variables: Vec::new(),
            places: HashMap::new(),
        };
        let mut at = HEADER;
        while at.saturating_add(8) <= len {
            mat.seek(at)?;
            let tag = Counted {
                inner: &mut mat.file,
                at: 0,
                big_endian,
                path,
            }
            .tag()?;
            let start = at + 8;
            if start.saturating_add(tag.bytes) > len {
                return Err(reading::truncated(path, tag.bytes, len - start));
            }
            let element = Element {
                start,
                bytes: tag.bytes,
                compressed: tag.kind == COMPRESSED,
            };
            if tag.kind == MATRIX || tag.kind == COMPRESSED {
                let mut found = Vec::new();
                mat.within(element, |stream, bytes| {
                    list(stream, bytes, (element, None, 0), &mut found)
                })?;
                mat.variables.append(&mut found);
            }
            if mat.variables.len() > MOST_VARIABLES {
                return Err(too_many(path));
            }
            at = start + tag.bytes;
        }
        mat.keep_last();
        if at != len {
            return Err(reading::truncated(path, 8, len.saturating_sub(at)));
        }
        Ok(mat)
    }

    /// Of variables of one name MATLAB loads the last.
    fn keep_last(&mut self) {
        let names = self.variables.iter().enumerate();
        self.places = names
            .map(|(at, variable)| (variable.name.clone(), at))
            .collect();
        if self.places.len() == self.variables.len() {
            return;
        }
        let (mut at, places) = (0, &self.places);
        self.variables.retain(|variable| {
            at += 1;
            places.get(&variable.name) == Some(&(at - 1))
        });
        let names = self.variables.iter().enumerate();
        self.places = names
            .map(|(at, variable)| (variable.name.clone(), at))
            .collect();
    }

    fn seek(&mut self, at: u64) -> Result<(), DataError> {
        let sought = self.file.seek(SeekFrom::Start(at));
        sought.map_err(|error| DataError::io(self.path, "read", error))?;
        Ok(())
    }

    /// Reads in a variable, from its first part on; `read` is told how many bytes it has.
    fn within<T>(
        &mut self,
        element: Element,
        read: impl FnOnce(&mut Counted<'_>, u64) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        self.seek(element.start)?;
        let (path, big_endian) = (self.path, self.big_endian);
        let mut stored = (&mut self.file).take(element.bytes);
        if !element.compressed {
            let mut stream = Counted {
                inner: &mut stored,
                at: 0,
                big_endian,
                path,
            };
            return read(&mut stream, element.bytes);
        }
        let limit = reading::decoded_limit(element.bytes);
        let mut decoder = ZlibDecoder::new(stored);
        let mut limited = Limited::new(&mut decoder, limit);
        let mut stream = Counted {
            inner: &mut limited,
            at: 0,
            big_endian,
            path,
        };
        let tag = stream.tag()?;
        if tag.kind != MATRIX || tag.short.is_some() || tag.bytes > limit {
            return Err(DataError::corrupt(
                path,
                "what is compressed is no variable",
            ));
        }
        // Places are counted from here, as in what is not compressed.
        stream.at = 0;
        read(&mut stream, tag.bytes)
    }

    fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(*self.places.get(name)?)
    }
}

fn too_many(path: &Path) -> DataError {
    let reason = format!(
        "holds more than {MOST_VARIABLES} variables and fields, or structs more than {MOST_DEPTH} deep"
    );
    DataError::format(path, reason)
}

/// Lists a variable of so many bytes, or the fields of a struct; `name` is its own where it has none in the file.
fn list(
    stream: &mut Counted<'_>,
    bytes: u64,
    (element, name, depth): (Element, Option<&str>, usize),
    found: &mut Vec<Variable>,
) -> Result<(), DataError> {
    if depth > MOST_DEPTH || found.len() > MOST_VARIABLES {
        return Err(too_many(stream.path));
    }
    let end = stream.at.saturating_add(bytes);
    let flags = stream.words(2)?.first().copied().unwrap_or(0);
    let shape: Vec<u64> = stream
        .words(MOST_EXTENTS)?
        .into_iter()
        .map(u64::from)
        .collect();
    let tag = stream.tag()?;
    let own = stream.content(&tag, MOST_NAMES)?;
    let own = String::from_utf8_lossy(&own).into_owned();
    let name = name.map_or(own, str::to_owned);
    if name.len() > MOST_NAME {
        return Err(DataError::corrupt(stream.path, "a name is too long"));
    }
    let refused = |why: &str| Content::Refused(why.to_owned());
    let (complex, logical) = (flags & 0x800 != 0, flags & 0x200 != 0);
    let kind = match flags & 0xff {
        6 => Some(Kind::F64),
        7 => Some(Kind::F32),
        8 => Some(Kind::I8),
        9 if logical => Some(Kind::Bool),
        9 => Some(Kind::U8),
        10 => Some(Kind::I16),
        11 => Some(Kind::U16),
        12 => Some(Kind::I32),
        13 => Some(Kind::U32),
        14 => Some(Kind::I64),
        15 => Some(Kind::U64),
        _ => None,
    };
    let content = match (kind, flags & 0xff) {
        (Some(_), _) if complex => refused("complex numbers; save real and imaginary part"),
        (Some(kind), _) => Content::Numbers {
            shape,
            kind,
            at: stream.at,
        },
        (None, 2) => {
            let elements = shape
                .iter()
                .fold(1_u64, |all, &extent| all.saturating_mul(extent));
            if elements != 1 {
                Content::Refused(format!(
                    "a struct array of {elements} elements; save those that are meant as variables"
                ))
            } else {
                let width = stream.words(1)?.first().copied().unwrap_or(0).max(1);
                let tag = stream.tag()?;
                let names = stream.content(&tag, MOST_NAMES)?;
                for field in names.chunks_exact(width as usize) {
                    let field = field.split(|&byte| byte == 0).next().unwrap_or_default();
                    let field = format!("{name}.{}", String::from_utf8_lossy(field));
                    if found.len() > MOST_VARIABLES {
                        return Err(too_many(stream.path));
                    }
                    if field.len() > MOST_NAME {
                        return Err(DataError::corrupt(stream.path, "a name is too long"));
                    }
                    let tag = stream.tag()?;
                    if tag.kind != MATRIX {
                        return Err(DataError::corrupt(
                            stream.path,
                            "a field of a struct is none",
                        ));
                    }
                    let next = stream.at.saturating_add(tag.bytes);
                    if next > end {
                        return Err(DataError::corrupt(
                            stream.path,
                            "a field is longer than its struct",
                        ));
                    }
                    if tag.bytes == 0 {
                        found.push(Variable {
                            name: field,
                            element,
                            content: refused("empty"),
                        });
                    } else {
                        list(stream, tag.bytes, (element, Some(&field), depth + 1), found)?;
                    }
                    stream.skip_to(next)?;
                }
                return Ok(());
            }
        }
        (None, 1) => {
            refused("a cell array; save what is in it as variables, cell2mat joins numbers")
        }
        (None, 4) => refused("text"),
        (None, 5) => refused("a sparse array; save it by full"),
        _ => refused("an object of MATLAB; save its numbers as variables"),
    };
    found.push(Variable {
        name,
        element,
        content,
    });
    Ok(())
}

/// What a type in the file is read as.
fn stored(kind: u32) -> Option<Kind> {
    Some(match kind {
        1 => Kind::I8,
        2 => Kind::U8,
        3 => Kind::I16,
        4 => Kind::U16,
        5 => Kind::I32,
        6 => Kind::U32,
        7 => Kind::F32,
        9 => Kind::F64,
        12 => Kind::I64,
        13 => Kind::U64,
        _ => return None,
    })
}

impl Container for Mat<'_> {
    fn kind(&self) -> &'static str {
        "a MATLAB file"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        let names = self.variables.iter();
        Ok(names.map(|variable| variable.name.clone()).collect())
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(self.variable(name).is_some())
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}!{name}", self.path.display()))
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        let place = self.place(name);
        let big_endian = self.big_endian;
        let (element, shape, kind, at) = match self.variable(name) {
            Some(Variable {
                element,
                content: Content::Numbers { shape, kind, at },
                ..
            }) => (*element, shape.clone(), *kind, *at),
            Some(Variable {
                content: Content::Refused(why),
                ..
            }) => return Err(DataError::format(&place, why.as_str())),
            None => return Err(DataError::format(&place, "is not there")),
        };
        let limit = if element.compressed {
            reading::decoded_limit(element.bytes)
        } else {
            // A number of eight bytes may be stored as one.
            element.bytes.saturating_mul(8)
        };
        self.within(element, |stream, _| {
            stream.skip_to(at)?;
            let tag = stream.tag()?;
            let own = stored(tag.kind).ok_or_else(|| {
                DataError::corrupt(
                    &place,
                    format!("its numbers are of the unknown type {}", tag.kind),
                )
            })?;
            let mut short: &[u8];
            let short_bytes = tag.short.unwrap_or_default();
            let source: &mut dyn io::Read = match tag.short {
                Some(_) => {
                    short = short_bytes.get(..tag.bytes as usize).unwrap_or_default();
                    &mut short
                }
                None => &mut *stream.inner,
            };
            let mut bytes = source.take(tag.bytes);
            let same = own == kind || (own == Kind::U8 && kind == Kind::Bool);
            let order = |big_endian| (kind, (big_endian, true));
            if same {
                let kind = order(big_endian);
                return read(Array::laid_out(kind, shape, &mut bytes, limit, &place)?);
            }
            let mut converted = Converted {
                inner: &mut bytes,
                own: (own, big_endian),
                kind,
                place: &place,
                block: Vec::new(),
                at: 0,
            };
            read(Array::laid_out(
                order(false),
                shape,
                &mut converted,
                limit,
                &place,
            )?)
        })
    }
}

/// Numbers that are stored in another type than that of their class, as those of the class.
struct Converted<'r> {
    inner: &'r mut dyn io::Read,
    own: (Kind, bool),
    kind: Kind,
    place: &'r Path,
    block: Vec<u8>,
    at: usize,
}

impl io::Read for Converted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            let (own, big_endian) = self.own;
            let mut raw = Vec::new();
            let most = (BLOCK * own.size()) as u64;
            (&mut *self.inner).take(most).read_to_end(&mut raw)?;
            raw.truncate(raw.len() - raw.len() % own.size());
            let count = (raw.len() / own.size()) as u64;
            if count == 0 {
                return Ok(0);
            }
            self.block.clear();
            self.at = 0;
            let kind = (own, (big_endian, false));
            let mut stream = &raw[..];
            let len = raw.len() as u64;
            let array = Array::laid_out(kind, vec![count], &mut stream, len, self.place);
            let (block, kind) = (&mut self.block, self.kind);
            array
                .and_then(|array| {
                    array.each_double(|numbers| {
                        numbers.iter().for_each(|&x| put(kind, x, block));
                        Ok(())
                    })
                })
                .map_err(|error| io::Error::other(error.to_string()))?;
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

fn put(kind: Kind, x: f64, out: &mut Vec<u8>) {
    match kind {
        Kind::F64 => out.extend(x.to_le_bytes()),
        Kind::F32 => out.extend((x as f32).to_le_bytes()),
        Kind::I8 => out.extend((x as i8).to_le_bytes()),
        Kind::I16 => out.extend((x as i16).to_le_bytes()),
        Kind::U16 => out.extend((x as u16).to_le_bytes()),
        Kind::I32 => out.extend((x as i32).to_le_bytes()),
        Kind::U32 => out.extend((x as u32).to_le_bytes()),
        Kind::I64 => out.extend((x as i64).to_le_bytes()),
        Kind::U64 => out.extend((x as u64).to_le_bytes()),
        _ => out.push(x as u8),
    }
}

/// A MATLAB file of version 7.3, which is HDF5: extents from last to first, structs as groups, classes as attributes.
pub(super) struct Mat73<'a>(pub Hdf5<'a>);

impl Mat73<'_> {
    /// The path of a variable or field.
    fn path(name: &str) -> String {
        name.replace('.', "/")
    }

    /// The type of a class that HDF5 has none of, or why a variable is not read.
    fn class(&self, path: &str) -> Result<Result<Option<Kind>, &'static str>, DataError> {
        let empty = self.0.attribute(path, "MATLAB_empty")?.is_some();
        let class = self.0.attribute(path, "MATLAB_class")?;
        let class = class
            .as_ref()
            .and_then(|class| class.as_str())
            .unwrap_or("");
        Ok(match class {
            _ if empty => Err("empty"),
            "logical" => Ok(Some(Kind::Bool)),
            "char" => Err("text"),
            "cell" => Err("a cell array; save what is in it as variables, cell2mat joins numbers"),
            "function_handle" | "string" | "table" => {
                Err("an object of MATLAB; save its numbers as variables")
            }
            _ => Ok(None),
        })
    }
}

impl Container for Mat73<'_> {
    fn kind(&self) -> &'static str {
        "a MATLAB file of version 7.3"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        let paths = self.0.datasets.iter().filter(|path| !path.starts_with('#'));
        Ok(paths.map(|path| path.replace('/', ".")).collect())
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(self.0.has(&Self::path(name)))
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.place(name)
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        let path = Self::path(name);
        let dataset = self.0.dataset(&path)?;
        let refused = |why: &str| DataError::format(&self.0.place(name), why);
        if let Elements::Refused(_) = self.0.elements(&dataset)?
            && self.class(&path)?.is_ok()
        {
            return Err(refused("complex or of a type that is not read"));
        }
        match self.class(&path)? {
            Err(why) => Err(refused(why)),
            Ok(kind) => self.0.read(&path, (kind, true), read),
        }
    }
}
