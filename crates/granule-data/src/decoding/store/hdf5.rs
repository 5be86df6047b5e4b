//! Data sets of HDF5 files, by their paths.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use granule_io::budget;
use hdf5_pure::{
    AttrValue, Dataset, Datatype, DatatypeByteOrder, FileAccessProperties, Group, Layout,
    MetadataCacheConfig, ReadSeekSource, VlenStringReadOptions,
};

use super::guard::guarded;
use super::links::{Links, Member, Target};
use super::{Container, Read};
use crate::arrays::{Array, Kind};
use crate::{DataError, reading};

/// How deep groups may lie in one another, and how many objects are listed: groups may hold themselves.
const MOST_DEPTH: usize = 32;
const MOST_OBJECTS: usize = 10_000;
/// How many soft links may lead to one another.
const MOST_LINKS: usize = 16;
/// Bytes of the structure of a file that are kept.
const KEPT: usize = 1 << 22;
/// Bytes that are read at a time, about.
const BLOCK: u64 = 1 << 20;
/// Bytes of one string at most.
const MOST_TEXT: usize = 1 << 12;

/// An HDF5 file whose objects are listed.
pub(super) struct Hdf5<'a> {
    file: hdf5_pure::File,
    pub path: &'a Path,
    len: u64,
    /// The paths of its data sets, without the first `/`.
    pub datasets: Vec<String>,
    /// The paths of its groups, which end in `/`; that of the root is empty.
    pub groups: Vec<String>,
    /// The paths of its data sets again, to find one among many.
    known: HashSet<String>,
    /// Data sets that are soft links, and where they lead; what leads nowhere has no data set of that path.
    aliases: HashMap<String, String>,
    /// Data sets that were found where their group was listed: to find one by its path takes as long as its group is large.
    found: RefCell<HashMap<String, Dataset>>,
}

/// The elements of a data set.
pub(super) enum Elements {
    Of {
        kind: Kind,
        big_endian: bool,
    },
    /// Strings of any lengths.
    Text,
    /// Why they are not read.
    Refused(&'static str),
}

impl<'a> Hdf5<'a> {
    pub fn open(path: &'a Path) -> Result<Self, DataError> {
        let (file, len) = reading::open(path)?;
        let file = guarded(path, || {
            let kept = MetadataCacheConfig::new(KEPT);
            hdf5_pure::File::from_source_with_options(
                ReadSeekSource::<File>::new(file)?,
                FileAccessProperties::new().with_metadata_cache(kept),
            )
        })?;
        let mut hdf5 = Self {
            file,
            path,
            len,
            datasets: Vec::new(),
            groups: Vec::new(),
            known: HashSet::new(),
            aliases: HashMap::new(),
            found: RefCell::default(),
        };
        let mut links = Links::open(path)?;
        let mut soft = Vec::new();
        let root = guarded(path, || Ok(hdf5.file.root()))?;
        hdf5.list(("", &root), 0, &mut links, &mut soft)?;
        hdf5.follow(soft);
        Ok(hdf5)
    }

    fn check(&self, depth: usize) -> Result<(), DataError> {
        if depth <= MOST_DEPTH && self.datasets.len() + self.groups.len() <= MOST_OBJECTS {
            Ok(())
        } else {
            Err(self.too_many())
        }
    }

    fn too_many(&self) -> DataError {
        let reason = format!(
            "groups lie in one another more than {MOST_DEPTH} deep, or it holds more than {MOST_OBJECTS} objects; copy \
             what is meant to a file of its own"
        );
        DataError::format(self.path, reason)
    }

    /// Whether a data set without extents has no element either.
    fn holds_nothing(&self, dataset: &Dataset, place: &Path) -> Result<bool, DataError> {
        Ok(match guarded(place, || dataset.layout())? {
            Layout::Compact { size } | Layout::Contiguous { size, .. } => size == 0,
            _ => false,
        })
    }

    /// Refuses a data set whose parts are said to lie beyond the end of the file, and one whose data lie elsewhere: the
    /// reader makes room for a part before it looks whether it is there.
    fn check_stored(&self, dataset: &Dataset, place: &Path) -> Result<(), DataError> {
        match guarded(place, || dataset.layout())? {
            Layout::Chunked { .. } => (),
            Layout::Virtual => {
                let reason = "a virtual data set, whose numbers lie in other data sets; copy them to one, as \
                              h5py does by file[\"copy\"] = file[\"name\"][()]";
                return Err(DataError::format(place, reason));
            }
            _ => return Ok(()),
        }
        // Of an index that cannot be listed, what is wrong is told by reading.
        let chunks = guarded(place, || dataset.chunks()).unwrap_or_default();
        let beyond = |chunk: &hdf5_pure::Chunk| {
            let end = chunk.address.checked_add(chunk.storage_size);
            end.is_none_or(|end| end > self.len)
        };
        match chunks.iter().find(|chunk| beyond(chunk)) {
            None => Ok(()),
            Some(chunk) => {
                let reason = format!(
                    "a chunk of {} bytes at byte {} is said to lie in a file of {} bytes",
                    chunk.storage_size, chunk.address, self.len
                );
                Err(DataError::corrupt(place, reason))
            }
        }
    }

    /// Lists a group and those within. Soft links are gathered, each with what it leads to.
    fn list(
        &mut self,
        (prefix, group): (&str, &Group),
        depth: usize,
        links: &mut Option<Links<'_>>,
        soft: &mut Vec<(String, String)>,
    ) -> Result<(), DataError> {
        self.check(depth)?;
        self.groups.push(prefix.to_owned());
        let listed = guarded(self.path, || {
            let datasets: Vec<_> = group.iter_datasets()?.collect();
            Ok((datasets, group.iter_groups()?.collect::<Vec<_>>()))
        });
        let mut groups = match (listed, links.as_mut()) {
            (Ok((datasets, groups)), _) => {
                for (name, dataset) in datasets {
                    let path = format!("{prefix}{name}");
                    self.datasets.push(path.clone());
                    self.found.get_mut().insert(path, dataset);
                }
                groups
            }
            (Err(error), None) => return Err(error),
            (Err(error), Some(links)) => {
                let Some(members) = links.at(prefix)? else {
                    return Err(error);
                };
                self.sorted(prefix, members, soft)?
            }
        };
        self.check(depth)?;
        groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (name, group) in groups {
            let prefix = format!("{prefix}{name}/");
            self.list((&prefix, &group), depth + 1, links, soft)?;
        }
        Ok(())
    }

    /// Lists the data sets among the members of a group in the oldest structure; its groups.
    fn sorted(
        &mut self,
        prefix: &str,
        members: Vec<Member>,
        soft: &mut Vec<(String, String)>,
    ) -> Result<Vec<(String, Group)>, DataError> {
        let mut groups = Vec::new();
        for Member { name, target } in members {
            let path = format!("{prefix}{name}");
            if let Target::Soft(to) = target {
                let to = match to.strip_prefix('/') {
                    Some(absolute) => absolute.to_owned(),
                    None => format!("{prefix}{to}"),
                };
                soft.push((path, to));
            } else if let Ok(group) = guarded(self.path, || self.file.group(&path)) {
                groups.push((name, group));
            } else {
                // What is damaged counts as a data set, which is told of where it is read.
                self.datasets.push(path);
            }
            if self.datasets.len() + groups.len() + soft.len() > MOST_OBJECTS {
                return Err(self.too_many());
            }
        }
        Ok(groups)
    }

    /// Lists the soft links that lead to data sets, and those that lead nowhere.
    fn follow(&mut self, soft: Vec<(String, String)>) {
        self.known = self.datasets.iter().cloned().collect();
        let links: HashMap<&str, &str> = soft
            .iter()
            .map(|(path, to)| (path.as_str(), to.as_str()))
            .collect();
        let groups: HashSet<&str> = self.groups.iter().map(String::as_str).collect();
        for (path, to) in &soft {
            let mut to = to.as_str();
            for _ in 0..MOST_LINKS {
                match links.get(to) {
                    Some(next) => to = next,
                    None => break,
                }
            }
            let is_group = groups.contains(format!("{}/", to.trim_end_matches('/')).as_str());
            if !is_group && !to.trim_matches(['/', '.']).is_empty() {
                self.aliases.insert(path.clone(), to.to_owned());
                self.datasets.push(path.clone());
            }
        }
        self.known.extend(self.aliases.keys().cloned());
        self.datasets.sort_unstable();
    }

    pub fn has(&self, dataset: &str) -> bool {
        self.known.contains(dataset)
    }

    pub fn dataset(&self, name: &str) -> Result<Dataset, DataError> {
        let to = self.aliases.get(name).map_or(name, String::as_str);
        if to != name && (!self.has(to) || self.aliases.contains_key(to)) {
            let reason = format!("a soft link to {to:?}, where nothing is");
            return Err(DataError::format(&self.place(name), reason));
        }
        if let Some(dataset) = self.found.borrow().get(to) {
            return Ok(dataset.clone());
        }
        guarded(self.path, || self.file.dataset(to))
    }

    /// A text or number that a data set carries.
    pub fn attribute(&self, dataset: &str, name: &str) -> Result<Option<AttrValue>, DataError> {
        let dataset = self.dataset(dataset)?;
        let mut attributes = guarded(self.path, || dataset.attrs())?;
        Ok(attributes.remove(name))
    }

    pub fn group_has_attribute(&self, group: &str, name: &str) -> Result<bool, DataError> {
        Ok(self.group_attributes(group)?.contains_key(name))
    }

    /// What a group carries, by name.
    pub fn group_attributes(&self, group: &str) -> Result<HashMap<String, AttrValue>, DataError> {
        let group = match group {
            "" => guarded(self.path, || Ok(self.file.root()))?,
            group => guarded(self.path, || self.file.group(group.trim_end_matches('/')))?,
        };
        guarded(self.path, || group.attrs())
    }

    /// Bytes that one of its data sets may decode to.
    pub fn limit(&self) -> u64 {
        reading::decoded_limit(self.len)
    }

    pub fn shape(&self, dataset: &Dataset) -> Result<Vec<u64>, DataError> {
        guarded(self.path, || dataset.shape())
    }

    pub fn elements(&self, dataset: &Dataset) -> Result<Elements, DataError> {
        Ok(elements(&guarded(self.path, || dataset.datatype())?))
    }

    pub fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}!{name}", self.path.display()))
    }

    /// Reads a data set. One that `by_columns` is true of has its extents from last to first, as MATLAB stores arrays.
    pub fn read(
        &self,
        name: &str,
        (kind, by_columns): (Option<Kind>, bool),
        read: Read<'_>,
    ) -> Result<(), DataError> {
        let place = self.place(name);
        let dataset = self.dataset(name)?;
        // A data set keeps what was read of it last.
        let to = self.aliases.get(name).map_or(name, String::as_str);
        self.found.borrow_mut().remove(to);
        let (mut shape, elements) = (
            guarded(&place, || dataset.shape())?,
            self.elements(&dataset)?,
        );
        if let Elements::Refused(why) = elements {
            return Err(DataError::format(&place, why));
        }
        if shape.is_empty() && self.holds_nothing(&dataset, &place)? {
            let what = "holds nothing, as h5py.Empty makes it".to_owned();
            return Err(DataError::Empty { path: place, what });
        }
        self.check_stored(&dataset, &place)?;
        if by_columns {
            shape.reverse();
        }
        let (own, big_endian) = match elements {
            Elements::Refused(why) => return Err(DataError::format(&place, why)),
            Elements::Of { kind, big_endian } => (kind, big_endian),
            Elements::Text => {
                let (width, bytes) = self.texts(&dataset, &place)?;
                let order = (false, by_columns);
                let (kind, limit) = (Kind::Bytes(width), bytes.len() as u64);
                let mut bytes = &bytes[..];
                return read(Array::laid_out(
                    (kind, order),
                    shape,
                    &mut bytes,
                    limit,
                    &place,
                )?);
            }
        };
        let kind = kind.filter(|kind| kind.size() == own.size()).unwrap_or(own);
        let mut rows = Rows::new(&dataset, kind.size() as u64, &place)?;
        let order = (big_endian, by_columns);
        let array = Array::laid_out((kind, order), shape, &mut rows, self.limit(), &place)?;
        let result = read(array);
        // What the reader says is more than that a stream broke off.
        rows.failed.map_or(result, Err)
    }

    /// Strings of any lengths, filled up with zeros to the length of the longest.
    fn texts(&self, dataset: &Dataset, place: &Path) -> Result<(usize, Vec<u8>), DataError> {
        let most = usize::try_from(self.len.saturating_mul(4)).unwrap_or(usize::MAX);
        // An element is a reference of 16 bytes, so that a file of this length holds no more.
        let elements = guarded(place, || dataset.shape())?
            .iter()
            .fold(1_u64, |all, &extent| all.saturating_mul(extent));
        if elements > self.len {
            return Err(reading::truncated(
                place,
                elements.saturating_mul(16),
                self.len,
            ));
        }
        let options = VlenStringReadOptions::new()
            .with_max_elements(most)
            .with_max_payload_bytes(most);
        let texts = guarded(place, || dataset.read_vlen_strings(options))?;
        let width = texts.iter().map(String::len).max().unwrap_or(0).max(1);
        if width > MOST_TEXT {
            let reason = format!("holds a text of {width} bytes; at most {MOST_TEXT} are read");
            return Err(DataError::format(place, reason));
        }
        let mut bytes = Vec::new();
        let whole = texts.len().saturating_mul(width);
        budget::reserve(&mut bytes, whole, place.display())?;
        for text in &texts {
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(bytes.len() + width - text.len(), 0);
        }
        Ok((width, bytes))
    }

    /// All numbers of a data set in double precision, finite or not.
    pub fn doubles(&self, name: &str) -> Result<Vec<f64>, DataError> {
        let mut all = Vec::new();
        self.read(name, (None, false), &mut |array| {
            array.each_double(|block| Ok(budget::extend(&mut all, block, name)?))
        })?;
        Ok(all)
    }
}

/// What the elements of a type are read as.
fn elements(datatype: &Datatype) -> Elements {
    let of = |kind, order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::LittleEndian => Elements::Of {
            kind,
            big_endian: false,
        },
        DatatypeByteOrder::BigEndian => Elements::Of {
            kind,
            big_endian: true,
        },
        DatatypeByteOrder::Vax => Elements::Refused("numbers in the order of bytes of a VAX"),
    };
    match datatype {
        Datatype::FixedPoint {
            size,
            byte_order,
            layout,
        } => {
            let whole = layout.bit_offset == 0 && u32::from(layout.bit_precision) == 8 * size;
            let kind = match (size, layout.signed) {
                _ if !whole => None,
                (1, false) => Some(Kind::U8),
                (1, true) => Some(Kind::I8),
                (2, false) => Some(Kind::U16),
                (2, true) => Some(Kind::I16),
                (4, false) => Some(Kind::U32),
                (4, true) => Some(Kind::I32),
                (8, false) => Some(Kind::U64),
                (8, true) => Some(Kind::I64),
                _ => None,
            };
            match kind {
                Some(kind) => of(kind, byte_order),
                None => Elements::Refused("integers of an unusual width"),
            }
        }
        Datatype::FloatingPoint {
            size,
            byte_order,
            layout,
        } => {
            let kind = match (size, layout.exponent_size, layout.mantissa_size) {
                (2, 5, 10) => Some(Kind::F16),
                (4, 8, 23) => Some(Kind::F32),
                (8, 11, 52) => Some(Kind::F64),
                _ => None,
            };
            match kind {
                Some(kind) => of(kind, byte_order),
                None => Elements::Refused("floating-point numbers of an unusual width"),
            }
        }
        Datatype::Enumeration {
            base_type, members, ..
        } => match elements(base_type) {
            // What h5py writes for booleans.
            Elements::Of {
                kind: Kind::I8 | Kind::U8,
                big_endian,
            } if members.len() == 2 => Elements::Of {
                kind: Kind::Bool,
                big_endian,
            },
            elements => elements,
        },
        Datatype::String { size, .. } => match usize::try_from(*size) {
            Ok(width) if (1..=MOST_TEXT).contains(&width) => Elements::Of {
                kind: Kind::Bytes(width),
                big_endian: false,
            },
            _ => Elements::Refused("strings that are too long"),
        },
        Datatype::VariableLength {
            is_string: true, ..
        } => Elements::Text,
        Datatype::Compound { .. } => Elements::Refused("compound elements, which are not read"),
        Datatype::Reference { .. } => Elements::Refused("references, which are not followed"),
        Datatype::VariableLength { .. } => {
            Elements::Refused("elements of various lengths, which are not read")
        }
        _ => Elements::Refused("elements of a type that is not read"),
    }
}

/// The bytes of a data set, a block of rows at a time.
pub(super) struct Rows<'d> {
    dataset: &'d Dataset,
    place: &'d Path,
    rows: u64,
    next: u64,
    step: u64,
    block: Vec<u8>,
    at: usize,
    failed: Option<DataError>,
}

impl<'d> Rows<'d> {
    fn new(dataset: &'d Dataset, size: u64, place: &'d Path) -> Result<Self, DataError> {
        let shape = guarded(place, || dataset.shape())?;
        let bytes = |extents: &[u64]| {
            let extents = extents.iter().copied();
            extents.fold(size, |bytes, extent| bytes.saturating_mul(extent.max(1)))
        };
        let row = bytes(shape.get(1..).unwrap_or_default());
        let mut step = (BLOCK / row.max(1)).max(1);
        let mut held = row.saturating_mul(step);
        if let Some(chunk) = guarded(place, || dataset.chunk_shape())? {
            // A chunk is held as it is stored and as it is decoded.
            held = held.saturating_add(bytes(&chunk).saturating_mul(2));
            let tall = chunk.first().copied().unwrap_or(1).max(1);
            if tall < step {
                step -= step % tall;
            }
        }
        if held > reading::MAX_DECODED {
            return Err(reading::too_large(place, "a row or a chunk of it"));
        }
        budget::ask(place.display(), held)?;
        Ok(Self {
            dataset,
            place,
            rows: shape.first().copied().unwrap_or(1),
            next: 0,
            step,
            block: Vec::new(),
            at: 0,
            failed: None,
        })
    }
}

impl io::Read for Rows<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() && self.next < self.rows {
            let count = self.step.min(self.rows - self.next);
            let read = guarded(self.place, || self.dataset.read_raw_rows(self.next, count));
            self.block = read.map_err(|error| {
                let text = error.to_string();
                self.failed = Some(error);
                io::Error::other(text)
            })?;
            self.next += count;
            self.at = 0;
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// The data sets of any HDF5 file.
pub(super) struct Plain<'a>(pub Hdf5<'a>);

impl Plain<'_> {
    fn own<'n>(&self, name: &'n str) -> &'n str {
        name.trim_start_matches('/')
    }
}

impl Container for Plain<'_> {
    fn kind(&self) -> &'static str {
        "an HDF5 file"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        Ok(self.0.datasets.clone())
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(self.0.has(self.own(name)))
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.place(self.own(name))
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        self.0.read(self.own(name), (None, false), read)
    }
}
