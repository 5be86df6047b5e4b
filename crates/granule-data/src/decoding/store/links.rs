//! The members of groups in the oldest structure of HDF5.
//!
//! The reader of HDF5 refuses such a group as soon as a soft link lies in it, as pynwb writes them to a device or to
//! timestamps that series share. "HDF5 File Format Specification", III.A (B-trees), III.B (symbol tables), III.D (heaps).

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::Path;

use super::HDF5;
use crate::{DataError, reading};

/// Nodes and members that are read of one group at most.
const MOST_NODES: usize = 20_000;
const MOST_MEMBERS: usize = 50_000;
/// Bytes of a name at most.
const MOST_NAME: usize = 4096;

/// Where the B-tree of a group lies, and the heap of its names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    tree: u64,
    heap: u64,
}

/// A member of a group.
pub(super) struct Member {
    pub name: String,
    pub target: Target,
}

/// What a member is.
pub(super) enum Target {
    /// A group in the same structure.
    Group(Table),
    /// A path that a soft link leads to.
    Soft(String),
    /// A data set, or a group in another structure.
    Other,
}

/// A file in the structure of the first versions of HDF5, with addresses of eight bytes.
pub(super) struct Links<'a> {
    file: File,
    len: u64,
    base: u64,
    root: Table,
    path: &'a Path,
}

impl<'a> Links<'a> {
    /// None of a file of another structure.
    pub fn open(path: &'a Path) -> Result<Option<Self>, DataError> {
        let (file, len) = reading::open(path)?;
        let mut links = Self {
            file,
            len,
            base: 0,
            root: Table { tree: 0, heap: 0 },
            path,
        };
        // Behind a block of the user's: at 512, 1024, …
        while links.bytes::<8>(0)? != *HDF5 {
            links.base = (2 * links.base).max(512);
            if links.base >= len {
                return Ok(None);
            }
        }
        let [version, _, _, _, _, offsets, lengths] = links.bytes::<7>(8)?;
        let more = match version {
            0 => 0,
            1 => 4,
            _ => return Ok(None),
        };
        if (offsets, lengths) != (8, 8) {
            return Ok(None);
        }
        // Four addresses, then the entry of the root: a name, a header, what is cached, and the cache.
        let entry = 24 + more + 32;
        let cached = u32::from_le_bytes(links.bytes(entry + 16)?);
        if cached != 1 {
            return Ok(None);
        }
        links.root = links.table(entry + 24)?;
        Ok(Some(links))
    }

    /// Bytes at an address.
    fn bytes<const N: usize>(&mut self, address: u64) -> Result<[u8; N], DataError> {
        let mut bytes = [0; N];
        let at = self.base.checked_add(address).filter(|&at| at < self.len);
        let at = at.ok_or_else(|| {
            DataError::corrupt(self.path, "a group lies beyond the end of the file")
        })?;
        let sought = self.file.seek(SeekFrom::Start(at));
        sought.map_err(|error| DataError::io(self.path, "read", error))?;
        reading::fill(&mut self.file, &mut bytes, self.path)?;
        Ok(bytes)
    }

    fn address(&mut self, at: u64) -> Result<u64, DataError> {
        Ok(u64::from_le_bytes(self.bytes(at)?))
    }

    fn table(&mut self, at: u64) -> Result<Table, DataError> {
        Ok(Table {
            tree: self.address(at)?,
            heap: self.address(at.saturating_add(8))?,
        })
    }

    fn wrong(&self) -> DataError {
        DataError::corrupt(self.path, "the table of a group makes no sense")
    }

    /// The members of the group at a path that ends in `/`; none of a group in another structure.
    pub fn at(&mut self, path: &str) -> Result<Option<Vec<Member>>, DataError> {
        let mut members = self.members(self.root)?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let found = members.iter().find(|member| member.name == part);
            let Some(Target::Group(table)) = found.map(|member| &member.target) else {
                return Ok(None);
            };
            members = self.members(*table)?;
        }
        Ok(Some(members))
    }

    /// The members of a group, by their names.
    fn members(&mut self, table: Table) -> Result<Vec<Member>, DataError> {
        if self.bytes(table.heap)? != *b"HEAP" {
            return Err(self.wrong());
        }
        let names = self.address(table.heap.saturating_add(24))?;
        let mut members = Vec::new();
        let mut nodes = vec![(table.tree, None::<u8>)];
        let mut seen = 0;
        while let Some((at, above)) = nodes.pop() {
            seen += 1;
            let signature: [u8; 4] = self.bytes(at)?;
            if seen > MOST_NODES || members.len() > MOST_MEMBERS {
                return Err(self.wrong());
            }
            if signature == *b"SNOD" && above.is_none_or(|level| level == 0) {
                let count = u16::from_le_bytes(self.bytes(at.saturating_add(6))?);
                for entry in 0..u64::from(count) {
                    let entry = at.saturating_add(8 + 40 * entry);
                    members.push(self.member(entry, names)?);
                }
                continue;
            }
            let [kind, level] = self.bytes(at.saturating_add(4))?;
            let below = above.is_none_or(|above| level < above);
            if signature != *b"TREE" || kind != 0 || !below {
                return Err(self.wrong());
            }
            let count = u16::from_le_bytes(self.bytes(at.saturating_add(6))?);
            for child in 0..u64::from(count) {
                let child = self.address(at.saturating_add(32 + 16 * child))?;
                nodes.push((child, Some(level)));
            }
        }
        members.sort_by(|a: &Member, b| a.name.cmp(&b.name));
        Ok(members)
    }

    fn member(&mut self, entry: u64, names: u64) -> Result<Member, DataError> {
        let offset = self.address(entry)?;
        let name = self.name(names.saturating_add(offset))?;
        let target = match u32::from_le_bytes(self.bytes(entry.saturating_add(16))?) {
            1 => Target::Group(self.table(entry.saturating_add(24))?),
            2 => {
                let offset = u32::from_le_bytes(self.bytes(entry.saturating_add(24))?);
                Target::Soft(self.name(names.saturating_add(u64::from(offset)))?)
            }
            _ => Target::Other,
        };
        Ok(Member { name, target })
    }

    /// A text that ends in a zero.
    fn name(&mut self, address: u64) -> Result<String, DataError> {
        self.bytes::<1>(address)?;
        let start = self.base.saturating_add(address);
        let sought = self.file.seek(SeekFrom::Start(start));
        sought.map_err(|error| DataError::io(self.path, "read", error))?;
        let mut bytes = Vec::new();
        let read = (&mut self.file)
            .take(MOST_NAME as u64)
            .read_to_end(&mut bytes);
        read.map_err(|error| DataError::io(self.path, "read", error))?;
        let end = bytes.iter().position(|&byte| byte == 0);
        let name = end.and_then(|end| bytes.get(..end));
        let name = name.ok_or_else(|| self.wrong())?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }
}
