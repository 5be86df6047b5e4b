//! The data of an array, converted while it streams.

use std::path::{Path, PathBuf};

use granule_io::budget;
use half::f16;

use super::Array;
use super::npy::{Header, Kind};
use crate::DataError;
use crate::reading;

/// Bytes that are converted at a time, about.
const BLOCK: u64 = 1 << 16;

pub(super) fn bytes(array: Array<'_>) -> Result<Vec<u8>, DataError> {
    let Array {
        header,
        reader,
        reserve,
        path,
    } = array;
    let mut out = Vec::new();
    reading::append(reader, &mut out, header.data_bytes(), reserve, path)?;
    reading::end(reader, header.data_bytes(), path)?;
    row_major(out, &header, path)
}

/// Every number as `f32`; each must be finite.
pub(super) fn floats(array: Array<'_>) -> Result<Vec<f32>, DataError> {
    array.check_numbers()?;
    let mut odd = Odd::of(&array);
    let numbers = converted(array, |header, start, raw, out: &mut Vec<f32>| {
        floats_of(header.kind, header.big_endian, raw, out);
        let block = out.get(start..).unwrap_or_default();
        odd.see(start, block.iter().map(|&x| f64::from(x)));
        Ok(())
    })?;
    odd.check()?;
    Ok(numbers)
}

/// Every number as `f64`; each must be finite.
pub(super) fn doubles(array: Array<'_>) -> Result<Vec<f64>, DataError> {
    doubles_seen(array, |_, _| {})
}

/// As [`doubles`]; `see` is shown the bytes of every element and its place in the stored order.
pub(super) fn doubles_seen(
    array: Array<'_>,
    mut see: impl FnMut(usize, &[u8]),
) -> Result<Vec<f64>, DataError> {
    array.check_numbers()?;
    let mut odd = Odd::of(&array);
    let numbers = converted(array, |header, start, raw, out: &mut Vec<f64>| {
        let elements = raw.chunks_exact(header.kind.size().max(1));
        elements
            .enumerate()
            .for_each(|(at, bytes)| see(start + at, bytes));
        doubles_of(header.kind, header.big_endian, raw, out);
        let block = out.get(start..).unwrap_or_default();
        odd.see(start, block.iter().copied());
        Ok(())
    })?;
    odd.check()?;
    Ok(numbers)
}

/// Hands every integer of a column to `each`, in order.
pub(super) fn integers(
    array: Array<'_>,
    mut each: impl FnMut(i128) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut block = Vec::new();
    stream(array, |header, raw| {
        block.clear();
        integers_of(header, raw, &mut block);
        block.iter().try_for_each(|&number| each(number))
    })?;
    Ok(())
}

/// Hands every string of a column to `each`, in order; padding is cut off, as NumPy does.
pub(super) fn strings(
    array: Array<'_>,
    mut each: impl FnMut(&str) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let path = array.path;
    stream(array, |header, raw| {
        let size = header.kind.size().max(1);
        budget::ask(path.display(), size as u64)?;
        for element in raw.chunks_exact(size) {
            each(&text(header, element))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn text(header: &Header, element: &[u8]) -> String {
    let Kind::Unicode(_) = header.kind else {
        let end = element
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |at| at + 1);
        let bytes = element.get(..end).unwrap_or_default();
        // What is not UTF-8 is Latin-1, in which different bytes are different names.
        return match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
    };
    let (characters, _) = element.as_chunks::<4>();
    let code = |&bytes: &[u8; 4]| {
        if header.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    };
    let end = characters
        .iter()
        .rposition(|c| code(c) != 0)
        .map_or(0, |at| at + 1);
    let characters = characters.iter().take(end);
    let mut text = String::new();
    for code in characters.map(code) {
        match char::from_u32(code) {
            Some(character) => text.push(character),
            // Half of a pair, or none at all: by its number, so that different names stay different.
            None => text.push_str(&format!("\\u{{{code:x}}}")),
        }
    }
    text
}

/// The numbers of an array that are not finite.
pub(super) struct Odd {
    path: PathBuf,
    header: Header,
    /// The first one, and where it is in the stored order.
    first: Option<(usize, f64)>,
    count: usize,
}

impl Odd {
    pub fn of(array: &Array<'_>) -> Self {
        Self {
            path: array.path.to_path_buf(),
            header: array.header.clone(),
            first: None,
            count: 0,
        }
    }

    /// Looks at numbers that are stored from `start` on; whether all of them are finite.
    pub fn see(&mut self, start: usize, numbers: impl Iterator<Item = f64>) -> bool {
        let before = self.count;
        for (at, number) in numbers.enumerate().filter(|(_, x)| !x.is_finite()) {
            self.first.get_or_insert((start + at, number));
            self.count += 1;
        }
        self.count == before
    }

    /// Refuses them.
    pub fn check(self) -> Result<(), DataError> {
        match self.first {
            None => Ok(()),
            Some((position, value)) => Err(DataError::NonFinite {
                position: place_of(position, &self.header),
                path: self.path,
                value,
                count: self.count,
            }),
        }
    }
}

/// Where the element at `position` of the stored order is along each axis.
fn place_of(position: usize, header: &Header) -> Vec<usize> {
    let mut rest = position;
    let mut step = |&extent: &u64| {
        let extent = (extent as usize).max(1);
        let at = rest % extent;
        rest /= extent;
        at
    };
    if header.column_major {
        header.shape.iter().map(&mut step).collect()
    } else {
        let mut place: Vec<usize> = header.shape.iter().rev().map(&mut step).collect();
        place.reverse();
        place
    }
}

/// Hands the raw bytes of whole elements to `sink`, block by block.
pub(super) fn stream(
    array: Array<'_>,
    mut sink: impl FnMut(&Header, &[u8]) -> Result<(), DataError>,
) -> Result<Header, DataError> {
    let Array {
        header,
        reader,
        path,
        ..
    } = array;
    let promised = header.data_bytes();
    let size = (header.kind.size() as u64).max(1);
    let block = (BLOCK / size).max(1) * size;
    let mut raw = Vec::new();
    let mut done = 0;
    while done < promised {
        let next = (promised - done).min(block);
        raw.clear();
        reading::append(reader, &mut raw, next, next, path).map_err(|error| match error {
            DataError::Truncated { path, found, .. } => {
                reading::truncated(&path, promised, done + found)
            }
            error => error,
        })?;
        sink(&header, &raw)?;
        done += next;
    }
    reading::end(reader, promised, path)?;
    Ok(header)
}

/// `convert` appends the elements of a block of raw bytes to what is there already, in number as given.
fn converted<T: Copy + Default>(
    array: Array<'_>,
    mut convert: impl FnMut(&Header, usize, &[u8], &mut Vec<T>) -> Result<(), DataError>,
) -> Result<Vec<T>, DataError> {
    let (path, reserve) = (array.path, array.reserve);
    let elements = usize::try_from(array.header.elements()).unwrap_or(usize::MAX);
    let ahead =
        elements.min(usize::try_from(reserve / size_of::<T>() as u64).unwrap_or(usize::MAX));
    let mut out = Vec::new();
    reading::reserve_exact(&mut out, ahead, path)?;
    let header = stream(array, |header, raw| {
        let (start, more) = (out.len(), raw.len() / header.kind.size().max(1));
        if out.capacity() - start < more {
            reading::reserve_exact(&mut out, start.max(more).min(elements - start), path)?;
        }
        convert(header, start, raw, &mut out)
    })?;
    row_major(out, &header, path)
}

fn floats_of(kind: Kind, big: bool, raw: &[u8], out: &mut Vec<f32>) {
    match kind {
        Kind::Bool => each(raw, big, out, |[byte]| f32::from(u8::from(byte != 0))),
        Kind::U8 => each(raw, big, out, |[byte]| f32::from(byte)),
        Kind::I8 => each(raw, big, out, |[byte]| f32::from(byte as i8)),
        Kind::U16 => each(raw, big, out, |bytes| f32::from(u16::from_le_bytes(bytes))),
        Kind::I16 => each(raw, big, out, |bytes| f32::from(i16::from_le_bytes(bytes))),
        Kind::U32 => each(raw, big, out, |bytes| u32::from_le_bytes(bytes) as f32),
        Kind::I32 => each(raw, big, out, |bytes| i32::from_le_bytes(bytes) as f32),
        Kind::U64 => each(raw, big, out, |bytes| u64::from_le_bytes(bytes) as f32),
        Kind::I64 => each(raw, big, out, |bytes| i64::from_le_bytes(bytes) as f32),
        Kind::F16 => each(raw, big, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Kind::F32 => each(raw, big, out, f32::from_le_bytes),
        Kind::F64 => each(raw, big, out, |bytes| f64::from_le_bytes(bytes) as f32),
        Kind::Bytes(_) | Kind::Unicode(_) => {}
    }
}

/// Appends the numbers whose bytes these are; with the greatest first, where `big` says so.
pub(crate) fn doubles_of(kind: Kind, big: bool, raw: &[u8], out: &mut Vec<f64>) {
    match kind {
        Kind::U64 => each(raw, big, out, |bytes| u64::from_le_bytes(bytes) as f64),
        Kind::I64 => each(raw, big, out, |bytes| i64::from_le_bytes(bytes) as f64),
        Kind::U32 => each(raw, big, out, |bytes| f64::from(u32::from_le_bytes(bytes))),
        Kind::I32 => each(raw, big, out, |bytes| f64::from(i32::from_le_bytes(bytes))),
        Kind::F64 => each(raw, big, out, f64::from_le_bytes),
        _ => {
            let mut narrow = Vec::new();
            floats_of(kind, big, raw, &mut narrow);
            out.extend(narrow.into_iter().map(f64::from));
        }
    }
}

fn integers_of(header: &Header, raw: &[u8], out: &mut Vec<i128>) {
    let big = header.big_endian;
    match header.kind {
        Kind::Bool => each(raw, big, out, |[byte]| i128::from(byte != 0)),
        Kind::U8 => each(raw, big, out, |[byte]| i128::from(byte)),
        Kind::I8 => each(raw, big, out, |[byte]| i128::from(byte as i8)),
        Kind::U16 => each(raw, big, out, |bytes| i128::from(u16::from_le_bytes(bytes))),
        Kind::I16 => each(raw, big, out, |bytes| i128::from(i16::from_le_bytes(bytes))),
        Kind::U32 => each(raw, big, out, |bytes| i128::from(u32::from_le_bytes(bytes))),
        Kind::I32 => each(raw, big, out, |bytes| i128::from(i32::from_le_bytes(bytes))),
        Kind::U64 => each(raw, big, out, |bytes| i128::from(u64::from_le_bytes(bytes))),
        Kind::I64 => each(raw, big, out, |bytes| i128::from(i64::from_le_bytes(bytes))),
        Kind::F16 | Kind::F32 | Kind::F64 | Kind::Bytes(_) | Kind::Unicode(_) => {}
    }
}

fn each<const N: usize, T>(
    raw: &[u8],
    big_endian: bool,
    out: &mut Vec<T>,
    convert: impl Fn([u8; N]) -> T,
) {
    let (elements, _) = raw.as_chunks::<N>();
    out.extend(elements.iter().map(|&(mut bytes)| {
        if big_endian {
            bytes.reverse();
        }
        convert(bytes)
    }));
}

/// Reorders column-major (Fortran) data.
pub(super) fn row_major<T: Copy + Default>(
    data: Vec<T>,
    header: &Header,
    path: &Path,
) -> Result<Vec<T>, DataError> {
    if !header.column_major || header.shape.len() < 2 {
        return Ok(data);
    }
    let extents: Vec<usize> = header.shape.iter().map(|&extent| extent as usize).collect();
    let mut out = Vec::new();
    reading::reserve_exact(&mut out, data.len(), path)?;
    out.resize(data.len(), T::default());
    // Row-major strides, walked in column-major order: the first index runs fastest.
    let mut strides = vec![1; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis];
    }
    let mut position = vec![0; extents.len()];
    let mut target = 0;
    for value in data {
        if let Some(slot) = out.get_mut(target) {
            *slot = value;
        }
        for axis in 0..extents.len() {
            position[axis] += 1;
            target += strides[axis];
            if position[axis] < extents[axis] {
                break;
            }
            target -= strides[axis] * extents[axis];
            position[axis] = 0;
        }
    }
    Ok(out)
}

/// Turns (H, W, C) images of `plane = H × W` pixels into (C, H, W) in place.
pub(super) fn channels_first<T: Copy + Default>(
    pixels: &mut [T],
    plane: usize,
    channels: usize,
    path: &Path,
) -> Result<(), DataError> {
    if channels < 2 {
        return Ok(());
    }
    let mut image = budget::filled(T::default(), plane * channels, path.display())?;
    for pixels in pixels.chunks_exact_mut(plane * channels) {
        image.copy_from_slice(pixels);
        for (channel, out) in pixels.chunks_exact_mut(plane).enumerate() {
            for (out, pixel) in out
                .iter_mut()
                .zip(image.iter().skip(channel).step_by(channels))
            {
                *out = *pixel;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(shape: &[u64], column_major: bool) -> Header {
        Header {
            kind: Kind::U8,
            descr: "|u1".into(),
            big_endian: false,
            column_major,
            shape: shape.to_vec(),
            bytes: 0,
        }
    }

    fn rows<T: Copy + Default>(data: Vec<T>, shape: &[u64]) -> Vec<T> {
        row_major(data, &header(shape, true), Path::new("x.npy")).unwrap()
    }

    #[test]
    fn column_major_becomes_row_major() {
        // [[1, 2, 3], [4, 5, 6]] by columns.
        assert_eq!(rows(vec![1, 4, 2, 5, 3, 6], &[2, 3]), [1, 2, 3, 4, 5, 6]);
        let shape = [2, 3, 4];
        let by_columns: Vec<usize> = (0..4)
            .flat_map(|k| (0..3).flat_map(move |j| (0..2).map(move |i| (i * 3 + j) * 4 + k)))
            .collect();
        assert_eq!(rows(by_columns, &shape), (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn channels_move_to_the_front() {
        let mut pixels = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16];
        channels_first(&mut pixels, 2, 3, Path::new("x.npy")).unwrap();
        assert_eq!(pixels, [1, 4, 2, 5, 3, 6, 11, 14, 12, 15, 13, 16]);
    }

    #[test]
    fn numbers_of_either_byte_order() {
        let mut header = header(&[2], false);
        header.kind = Kind::I16;
        let mut out = Vec::new();
        integers_of(&header, &[0xfe, 0xff, 0x01, 0x00], &mut out);
        header.big_endian = true;
        integers_of(&header, &[0xff, 0xfe, 0x00, 0x01], &mut out);
        assert_eq!(out, [-2, 1, -2, 1]);
        let mut out = Vec::new();
        floats_of(Kind::F64, true, &1.5f64.to_be_bytes(), &mut out);
        assert_eq!(out, [1.5]);
    }

    #[test]
    fn strings_lose_their_padding() {
        let mut header = header(&[1], false);
        header.kind = Kind::Bytes(4);
        assert_eq!(text(&header, b"ab\0\0"), "ab");
        assert_eq!(text(&header, b"\xc3\xa9\0\0"), "é");
        assert_eq!(text(&header, b"\xe9\0\0\0"), "é");
        assert_eq!(text(&header, b"\xe8a\0\0"), "èa");
        header.kind = Kind::Unicode(2);
        assert_eq!(text(&header, &[0xe9, 0, 0, 0, 0, 0, 0, 0]), "é");
        assert_ne!(
            text(&header, &[0, 0xd8, 0, 0, 0, 0, 0, 0]),
            text(&header, &[1, 0xd8, 0, 0, 0, 0, 0, 0])
        );
        header.big_endian = true;
        assert_eq!(text(&header, &[0, 0, 0, 0xe9, 0, 0, 0, b'x']), "éx");
    }
}
