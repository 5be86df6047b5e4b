//! The data of an array, converted while it streams.

use std::path::Path;

use super::Array;
use super::npy::{Header, Kind};
use crate::DataError;
use crate::reading;

/// A multiple of every element size.
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
    let path = array.path.to_path_buf();
    converted(array, |header, start, raw, out: &mut Vec<f32>| {
        floats_of(header, raw, out);
        let block = out.get(start..).unwrap_or_default();
        let Some(at) = block.iter().position(|value| !value.is_finite()) else {
            return Ok(());
        };
        let value = block.get(at).map_or(f64::NAN, |&value| f64::from(value));
        Err(DataError::NonFinite {
            path: path.clone(),
            index: sample_of(start + at, header),
            value,
        })
    })
}

/// Every number as `f64`; each must be finite.
pub(super) fn doubles(array: Array<'_>) -> Result<Vec<f64>, DataError> {
    let path = array.path.to_path_buf();
    converted(array, |header, start, raw, out: &mut Vec<f64>| {
        doubles_of(header, raw, out);
        let block = out.get(start..).unwrap_or_default();
        match block.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => Err(DataError::NonFinite {
                path: path.clone(),
                index: sample_of(start + at, header),
                value: block.get(at).copied().unwrap_or(f64::NAN),
            }),
        }
    })
}

/// Every number as a label below 65535.
pub(super) fn labels(array: Array<'_>) -> Result<Vec<u16>, DataError> {
    let path = array.path.to_path_buf();
    let mut numbers = Vec::new();
    converted(array, |header, start, raw, out| {
        numbers.clear();
        integers_of(header, raw, &mut numbers);
        for (at, &label) in numbers.iter().enumerate() {
            match u16::try_from(label) {
                Ok(label) if label < u16::MAX => out.push(label),
                _ => {
                    return Err(DataError::LabelRange {
                        path: path.clone(),
                        index: sample_of(start + at, header),
                        label,
                        classes: usize::from(u16::MAX),
                    });
                }
            }
        }
        Ok(())
    })
}

/// The sample to which the element at `position` of the stored order belongs.
fn sample_of(position: usize, header: &Header) -> usize {
    let samples = header.shape.first().copied().unwrap_or(1).max(1) as usize;
    if header.column_major {
        position % samples
    } else {
        position / (header.elements() as usize / samples).max(1)
    }
}

/// `convert` appends the elements of a block of raw bytes to what is there already, in number as given.
fn converted<T: Copy + Default>(
    array: Array<'_>,
    mut convert: impl FnMut(&Header, usize, &[u8], &mut Vec<T>) -> Result<(), DataError>,
) -> Result<Vec<T>, DataError> {
    let Array {
        header,
        reader,
        reserve,
        path,
    } = array;
    let promised = header.data_bytes();
    let size = header.kind.size() as u64;
    let ahead = header.elements().min(reserve / size_of::<T>() as u64);
    let mut out = Vec::new();
    reading::reserve_exact(&mut out, usize::try_from(ahead).unwrap_or(0), path)?;
    let mut raw = Vec::new();
    let mut done = 0;
    while done < promised {
        let next = (promised - done).min(BLOCK);
        raw.clear();
        reading::append(reader, &mut raw, next, next, path).map_err(|error| match error {
            DataError::Truncated { path, found, .. } => {
                reading::truncated(&path, promised, done + found)
            }
            error => error,
        })?;
        let (start, more) = (out.len(), (next / size) as usize);
        if out.capacity() - start < more {
            let left = usize::try_from((promised - done) / size).unwrap_or(usize::MAX);
            reading::reserve_exact(&mut out, start.max(more).min(left), path)?;
        }
        convert(&header, start, &raw, &mut out)?;
        done += next;
    }
    reading::end(reader, promised, path)?;
    row_major(out, &header, path)
}

fn floats_of(header: &Header, raw: &[u8], out: &mut Vec<f32>) {
    let big = header.big_endian;
    match header.kind {
        Kind::Bool => each(raw, big, out, |[byte]| f32::from(u8::from(byte != 0))),
        Kind::U8 => each(raw, big, out, |[byte]| f32::from(byte)),
        Kind::I8 => each(raw, big, out, |[byte]| f32::from(byte as i8)),
        Kind::U16 => each(raw, big, out, |bytes| f32::from(u16::from_le_bytes(bytes))),
        Kind::I16 => each(raw, big, out, |bytes| f32::from(i16::from_le_bytes(bytes))),
        Kind::U32 => each(raw, big, out, |bytes| u32::from_le_bytes(bytes) as f32),
        Kind::I32 => each(raw, big, out, |bytes| i32::from_le_bytes(bytes) as f32),
        Kind::U64 => each(raw, big, out, |bytes| u64::from_le_bytes(bytes) as f32),
        Kind::I64 => each(raw, big, out, |bytes| i64::from_le_bytes(bytes) as f32),
        Kind::F32 => each(raw, big, out, f32::from_le_bytes),
        Kind::F64 => each(raw, big, out, |bytes| f64::from_le_bytes(bytes) as f32),
    }
}

fn doubles_of(header: &Header, raw: &[u8], out: &mut Vec<f64>) {
    let big = header.big_endian;
    match header.kind {
        Kind::F32 => each(raw, big, out, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Kind::F64 => each(raw, big, out, f64::from_le_bytes),
        _ => {
            let mut whole = Vec::new();
            integers_of(header, raw, &mut whole);
            out.extend(whole.into_iter().map(|x| x as f64));
        }
    }
}

fn integers_of(header: &Header, raw: &[u8], out: &mut Vec<i64>) {
    let big = header.big_endian;
    match header.kind {
        Kind::Bool => each(raw, big, out, |[byte]| i64::from(byte != 0)),
        Kind::U8 => each(raw, big, out, |[byte]| i64::from(byte)),
        Kind::I8 => each(raw, big, out, |[byte]| i64::from(byte as i8)),
        Kind::U16 => each(raw, big, out, |bytes| i64::from(u16::from_le_bytes(bytes))),
        Kind::I16 => each(raw, big, out, |bytes| i64::from(i16::from_le_bytes(bytes))),
        Kind::U32 => each(raw, big, out, |bytes| i64::from(u32::from_le_bytes(bytes))),
        Kind::I32 => each(raw, big, out, |bytes| i64::from(i32::from_le_bytes(bytes))),
        Kind::U64 => each(raw, big, out, |bytes| {
            i64::try_from(u64::from_le_bytes(bytes)).unwrap_or(i64::MAX)
        }),
        Kind::I64 => each(raw, big, out, i64::from_le_bytes),
        Kind::F32 | Kind::F64 => {}
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
fn row_major<T: Copy + Default>(
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
pub(super) fn channels_first<T: Copy + Default>(pixels: &mut [T], plane: usize, channels: usize) {
    if channels < 2 {
        return;
    }
    let mut image = vec![T::default(); plane * channels];
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
        channels_first(&mut pixels, 2, 3);
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
        header.kind = Kind::F64;
        let mut out = Vec::new();
        floats_of(&header, &1.5f64.to_be_bytes(), &mut out);
        assert_eq!(out, [1.5]);
    }
}
