//! Writing `.npz` archives, uncompressed, as NumPy's `savez` does.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Crc;

/// Numbers that are made bytes of at once.
const NUMBERS: usize = 8192;

/// An array of numbers, or a text, for [`write_npz`].
#[derive(Debug, Clone, PartialEq)]
pub struct NpzArray<'a> {
    name: String,
    shape: Vec<usize>,
    content: Content<'a>,
}

#[derive(Debug, Clone, PartialEq)]
enum Content<'a> {
    Numbers(Cow<'a, [f64]>),
    Singles(Cow<'a, [f32]>),
    Text(String),
}

impl<'a> NpzArray<'a> {
    /// `values` in row-major order, as many as the product of `shape`.
    pub fn new(
        name: impl Into<String>,
        shape: Vec<usize>,
        values: impl Into<Cow<'a, [f64]>>,
    ) -> Self {
        Self {
            name: name.into(),
            shape,
            content: Content::Numbers(values.into()),
        }
    }

    /// As [`new`](Self::new), in single precision.
    pub fn singles(
        name: impl Into<String>,
        shape: Vec<usize>,
        values: impl Into<Cow<'a, [f32]>>,
    ) -> Self {
        Self {
            name: name.into(),
            shape,
            content: Content::Singles(values.into()),
        }
    }

    /// A text, which NumPy reads as an array without dimensions: `str(archive["name"])`.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            shape: Vec::new(),
            content: Content::Text(text.into()),
        }
    }

    /// The array as a file `.npy`, part by part.
    fn npy(&self, mut part: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let filled = |count: usize| {
            if self.shape.iter().product::<usize>() == count {
                return Ok(());
            }
            let reason = format!(
                "the array {} has {count} values for the shape {:?}",
                self.name, self.shape
            );
            Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
        };
        let descr = match &self.content {
            Content::Numbers(values) => {
                filled(values.len())?;
                "<f8".to_owned()
            }
            Content::Singles(values) => {
                filled(values.len())?;
                "<f4".to_owned()
            }
            // NumPy has no texts of length 0, and fills up with zeros.
            Content::Text(text) => format!("<U{}", text.chars().count().max(1)),
        };
        let mut bytes = header(&descr, &self.shape)?;
        part(&bytes)?;
        match &self.content {
            Content::Numbers(values) => values.chunks(NUMBERS).try_for_each(|values| {
                bytes.clear();
                bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
                part(&bytes)
            }),
            Content::Singles(values) => values.chunks(NUMBERS).try_for_each(|values| {
                bytes.clear();
                bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
                part(&bytes)
            }),
            Content::Text(text) if text.is_empty() => part(&[0; 4]),
            Content::Text(text) => {
                let bytes = text.chars().flat_map(|c| u32::from(c).to_le_bytes());
                part(&bytes.collect::<Vec<u8>>())
            }
        }
    }
}

/// What a file `.npy` begins with; it fills a multiple of 64 bytes.
fn header(descr: &str, shape: &[usize]) -> io::Result<Vec<u8>> {
    let lengths: String = shape.iter().map(|n| format!("{n},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({lengths}), }}");
    // Magic, version, length, header and a line feed.
    let padding = 63 - (10 + header.len()) % 64;
    let length = u16::try_from(header.len() + padding + 1)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many dimensions"))?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(std::iter::repeat_n(b' ', padding));
    bytes.push(b'\n');
    Ok(bytes)
}

/// A file `.npy` of numbers in double precision that grows by rows. After each [`append`](Self::append) it is a whole array, which others
/// can read while it grows.
#[derive(Debug)]
pub struct GrowingNpy {
    file: File,
    rows: usize,
    /// The numbers of a row; none for an array of one dimension.
    columns: Option<usize>,
    bytes: Vec<u8>,
}

impl GrowingNpy {
    /// An array without rows, of rows of `columns` numbers, or of single numbers.
    ///
    /// # Errors
    /// What the system says: a file that is there is not written over.
    pub fn create(path: &Path, columns: Option<usize>) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let mut array = Self {
            file,
            rows: 0,
            columns,
            bytes: Vec::new(),
        };
        // Nothing is left that is no array.
        array
            .append(&[])
            .inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok(array)
    }

    /// Puts whole rows at the end.
    ///
    /// # Errors
    /// What the system says, and [`io::ErrorKind::InvalidInput`] for numbers that fill no rows. The array is as it was.
    pub fn append(&mut self, values: &[f64]) -> io::Result<()> {
        let row = self.columns.unwrap_or(1).max(1);
        if !values.len().is_multiple_of(row) {
            let reason = format!("{} values in rows of {row}", values.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let rows = self.rows + values.len() / row;
        // 128 bytes for every number of rows and columns: what follows does not move.
        let header = self.header(rows)?;
        let end = header.len() as u64 + 8 * (self.rows * row) as u64;
        self.file.seek(SeekFrom::Start(end))?;
        for values in values.chunks(NUMBERS) {
            self.bytes.clear();
            self.bytes
                .extend(values.iter().flat_map(|x| x.to_le_bytes()));
            self.file.write_all(&self.bytes)?;
        }
        // The rows first: who reads in between sees those that are there.
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.rows = rows;
        Ok(())
    }

    /// Takes back all rows but the first ones, as where another array could not be written.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&mut self, rows: usize) -> io::Result<()> {
        self.rows = rows.min(self.rows);
        self.append(&[])?;
        let row = self.columns.unwrap_or(1).max(1);
        let header = self.header(self.rows)?.len() as u64;
        self.file.set_len(header + 8 * (self.rows * row) as u64)
    }

    fn header(&self, rows: usize) -> io::Result<Vec<u8>> {
        let shape: Vec<usize> = std::iter::once(rows).chain(self.columns).collect();
        header("<f8", &shape)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Waits until the system has it on its disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// A zip entry's date, 1980-01-01, so that the same arrays give the same bytes.
const DATE: u16 = 0x21;

/// Writes an `.npz` archive. The same arrays give the same bytes.
///
/// # Errors
/// What the writer says; [`io::ErrorKind::InvalidInput`] for a shape that does not fit its values, and for 4 GiB or more.
pub fn write_npz(file: &mut impl Write, arrays: &[NpzArray<'_>]) -> io::Result<()> {
    let too_large = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "an archive of 4 GiB or more, which this format does not hold; write fewer numbers",
        )
    };
    let mut directory: Vec<u8> = Vec::new();
    let mut offset: u32 = 0;
    for array in arrays {
        let name = format!("{}.npy", array.name);
        // Length and checksum come before the content, of which no copy is made.
        let (mut crc, mut size) = (Crc::new(), 0_usize);
        array.npy(|part| {
            crc.update(part);
            size += part.len();
            Ok(())
        })?;
        let size = u32::try_from(size).map_err(|_| too_large())?;
        let name_len = u16::try_from(name.len()).map_err(|_| too_large())?;
        // From the version needed to the length of the extra field, alike in both headers. Bit 11: the name is UTF-8.
        let mut common: Vec<u8> = Vec::new();
        for field in [20, 1 << 11, 0, 0, DATE] {
            common.extend(u16::to_le_bytes(field));
        }
        for field in [crc.sum(), size, size] {
            common.extend(field.to_le_bytes());
        }
        for field in [name_len, 0] {
            common.extend(u16::to_le_bytes(field));
        }
        file.write_all(b"PK\x03\x04")?;
        file.write_all(&common)?;
        file.write_all(name.as_bytes())?;
        array.npy(|part| file.write_all(part))?;

        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        // Comment, disk, internal and external attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        let entry = 30 + u32::from(name_len);
        offset = offset
            .checked_add(entry)
            .and_then(|offset| offset.checked_add(size))
            .ok_or_else(too_large)?;
    }
    file.write_all(&directory)?;
    let count = u16::try_from(arrays.len()).map_err(|_| too_large())?;
    let length = u32::try_from(directory.len()).map_err(|_| too_large())?;
    file.write_all(b"PK\x05\x06\x00\x00\x00\x00")?;
    for field in [count, count] {
        file.write_all(&field.to_le_bytes())?;
    }
    for field in [length, offset] {
        file.write_all(&field.to_le_bytes())?;
    }
    file.write_all(&[0, 0])
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};
    use std::path::Path;

    use super::*;
    use crate::arrays::npy::Header;
    use crate::arrays::zip::{Method, members, seek_to};

    #[test]
    fn what_is_written_is_read_again() {
        let arrays = [
            NpzArray::new("time", vec![3], vec![0.0, 0.1, 0.2]),
            NpzArray::new(
                "cells.v",
                vec![3, 2],
                vec![-65.0, 1.5, f64::MIN_POSITIVE, 4.0, 5.0, 6.0],
            ),
            NpzArray::new("empty", vec![0], vec![]),
        ];
        let mut bytes = Vec::new();
        write_npz(&mut bytes, &arrays).unwrap();
        let mut again = Vec::new();
        write_npz(&mut again, &arrays).unwrap();
        assert_eq!(bytes, again);

        let path = Path::new("a.npz");
        let mut file = Cursor::new(bytes);
        let members = members(&mut file, path).unwrap();
        assert_eq!(members.len(), 3);
        for (member, array) in members.iter().zip(&arrays) {
            assert_eq!(member.name, format!("{}.npy", array.name));
            assert_eq!(member.method, Method::Stored);
            seek_to(member, &mut file, path).unwrap();
            let mut content = vec![0; member.bytes as usize];
            file.read_exact(&mut content).unwrap();
            let mut crc = Crc::new();
            crc.update(&content);
            assert_eq!(crc.sum(), member.crc);
            let header = Header::read(&mut content.as_slice(), path).unwrap();
            assert_eq!(header.bytes % 64, 0);
            let shape: Vec<u64> = array.shape.iter().map(|n| *n as u64).collect();
            assert_eq!(header.shape, shape);
            let values = content[header.bytes as usize..]
                .chunks_exact(8)
                .map(|x| f64::from_le_bytes(x.try_into().unwrap()));
            let values = Content::Numbers(values.collect::<Vec<f64>>().into());
            assert_eq!(values, array.content);
        }
    }

    #[test]
    fn an_array_that_grows_is_whole_after_every_part() {
        let dir = tempfile::tempdir().unwrap();
        let read = |path: &Path| {
            let mut content = std::fs::read(path).unwrap();
            let header = Header::read(&mut content.as_slice(), path).unwrap();
            assert_eq!(header.bytes, 128);
            let values = content.split_off(128);
            let values = values
                .chunks_exact(8)
                .map(|x| f64::from_le_bytes(x.try_into().unwrap()));
            (header.shape, values.collect::<Vec<f64>>())
        };
        let path = dir.path().join("v.npy");
        let mut array = GrowingNpy::create(&path, Some(2)).unwrap();
        assert_eq!(read(&path), (vec![0, 2], vec![]));
        let all: Vec<f64> = (0..30_000).map(f64::from).collect();
        for (from, to) in [(0, 2), (2, 20_004), (20_004, 20_004), (20_004, 30_000)] {
            array.append(&all[from..to]).unwrap();
            assert_eq!(read(&path), (vec![to as u64 / 2, 2], all[..to].to_vec()));
        }
        array.keep(10_001).unwrap();
        assert_eq!(read(&path), (vec![10_001, 2], all[..20_002].to_vec()));
        array.append(&all[20_002..]).unwrap();
        assert_eq!(read(&path), (vec![15_000, 2], all.clone()));
        // What fills no rows leaves it as it was.
        assert!(array.append(&[1.0]).is_err());
        assert_eq!(read(&path).0, [15_000, 2]);
        array.finish().unwrap();
        let mut single = GrowingNpy::create(&dir.path().join("t.npy"), None).unwrap();
        single.append(&[0.5; 3]).unwrap();
        assert_eq!(read(&dir.path().join("t.npy")), (vec![3], vec![0.5; 3]));
        // A file that is there stays.
        let error = GrowingNpy::create(&path, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        // The largest header.
        assert_eq!(
            super::header("<f8", &[usize::MAX, usize::MAX])
                .unwrap()
                .len(),
            128
        );
    }

    #[test]
    fn texts_are_those_of_numpy() {
        for (text, descr, letters) in [("aé", "'<U2'", &[97, 233][..]), ("", "'<U1'", &[0])] {
            let mut npy = Vec::new();
            let array = NpzArray::text("t", text);
            array.npy(|part| npy.write_all(part)).unwrap();
            let data = npy.len() - 4 * letters.len();
            assert_eq!(data % 64, 0);
            let header = String::from_utf8_lossy(&npy[10..data]);
            assert!(
                header.contains(descr) && header.contains("'shape': ()"),
                "{header}"
            );
            let found = npy[data..]
                .chunks_exact(4)
                .map(|c| u32::from_le_bytes(c.try_into().unwrap()));
            assert_eq!(found.collect::<Vec<_>>(), letters);
        }
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let wrong = NpzArray::new("v", vec![2, 2], vec![1.0]);
        let error = write_npz(&mut Vec::new(), &[wrong]).unwrap_err();
        assert!(error.to_string().contains("[2, 2]"), "{error}");
    }
}
