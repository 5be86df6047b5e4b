//! Items of a known shape: the input of a model that is there already.

use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use granule_io::{Intensity, budget};

use super::images::{self, Order};
use super::npy::Kind;
use super::{Archive, Array, ArrayOptions, Values, elements};
use crate::{DataError, Shape, reading};

/// Items of one shape, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    /// Images of pixels from 0 to 255, channel first.
    Pixels(Vec<u8>),
    /// Images, channel first, or feature vectors, as the numbers of the file.
    Values(Vec<f64>),
}

/// The arrays of an archive that are taken for inputs, the first that is there, as training has them and as people name them.
const INPUTS: [&str; 6] = ["x", "x_test", "images", "features", "X", "data"];

/// Reads one item of `shape`, or a batch of such items, from an `.npy` file, or from an `.npz` archive: its array `x`, else
/// `x_test`, `images`, `features`, `X` or `data`, else the only one it has.
///
/// An image is `[C, H, W]`, `[H, W, C]` with C of 3, `[H, W]` with C of 1, or flat; stored by columns, as
/// [`ArrayOptions::transpose`] says, H and W change places. Images of integers are pixels, unless `options` have a range of
/// intensities; everything else is given as it is.
///
/// # Errors
/// A [`DataError`] that names the file and what is wrong with it: type, shape, length, a number that is not finite,
/// integers that are no pixels.
pub fn read_items(path: &Path, shape: &Shape, options: &ArrayOptions) -> Result<Items, DataError> {
    let archive = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
    if archive {
        let mut archive = Archive::open(path)?;
        let name = inputs_of(&mut archive, path)?;
        return archive.read(&name, |array| decode(array, shape, options));
    }
    let (file, len) = reading::open(path)?;
    decode(
        Array::plain(&mut BufReader::new(file), len, path)?,
        shape,
        options,
    )
}

/// As [`read_items`], of the bytes of such a file; `path` is for messages.
///
/// # Errors
/// As [`read_items`].
pub fn decode_items(
    bytes: &[u8],
    path: &Path,
    shape: &Shape,
    options: &ArrayOptions,
) -> Result<Items, DataError> {
    if bytes.starts_with(b"PK") {
        let mut archive = Archive::new(Cursor::new(bytes), path)?;
        let name = inputs_of(&mut archive, path)?;
        return archive.read(&name, |array| decode(array, shape, options));
    }
    let mut reader = bytes;
    decode(
        Array::plain(&mut reader, bytes.len() as u64, path)?,
        shape,
        options,
    )
}

/// The name of the array of inputs.
fn inputs_of(
    archive: &mut Archive<'_, impl Read + Seek>,
    path: &Path,
) -> Result<String, DataError> {
    if let Some(name) = INPUTS.into_iter().find(|name| archive.has(name)) {
        return Ok(name.to_owned());
    }
    match archive.names()?.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(DataError::format(
            path,
            format!("holds [{}]; call the array of inputs x", archive.listed()),
        )),
    }
}

fn decode(array: Array<'_>, shape: &Shape, options: &ArrayOptions) -> Result<Items, DataError> {
    let path = array.path.to_path_buf();
    match *shape {
        Shape::Image {
            channels,
            height,
            width,
        } if options.transpose => {
            let stored = Shape::Image {
                channels,
                height: width,
                width: height,
            };
            let mut items = of_shape(array, &stored, options.range).map_err(|error| match error {
                DataError::ArrayShape {
                    path,
                    found,
                    allowed,
                } => DataError::ArrayShape {
                    path,
                    found,
                    allowed: format!(
                        "{allowed} of what is stored by columns (--transpose=false takes images as they are)"
                    ),
                },
                error => error,
            })?;
            match &mut items {
                Items::Pixels(pixels) => images::transposed(pixels, width, height, &path)?,
                Items::Values(values) => images::transposed(values, width, height, &path)?,
            }
            Ok(items)
        }
        _ => of_shape(array, shape, options.range),
    }
}

fn of_shape(array: Array<'_>, shape: &Shape, range: Option<[f64; 2]>) -> Result<Items, DataError> {
    let path = &array.path.to_path_buf();
    let extents = array.extents();
    let order = order_of(&extents, shape)
        .or_else(|| order_of(extents.get(1..)?, shape))
        .ok_or_else(|| array.wrong_shape(&allowed(shape)))?;
    let Shape::Image {
        channels,
        height,
        width,
    } = *shape
    else {
        return Ok(Items::Values(Values::read(array)?.doubles(path)?));
    };
    let kind = array.header.kind;
    if kind == Kind::U8 && range.is_none() {
        let mut pixels = elements::bytes(array)?;
        if order == Order::ChannelsLast {
            elements::channels_first(&mut pixels, height * width, channels, path)?;
        }
        return Ok(Items::Pixels(pixels));
    }
    let mut values = Values::read(array)?.doubles(path)?;
    if order == Order::ChannelsLast {
        elements::channels_first(&mut values, height * width, channels, path)?;
    }
    if kind.is_float() || kind == Kind::Bool || range.is_some() {
        return Ok(Items::Values(values));
    }
    let bounds = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| {
            (low.min(x), high.max(x))
        });
    Intensity::Pixels
        .check(bounds.0, bounds.1)
        .map_err(|error| DataError::format(path, format!("{} images: {error}", kind.name())))?;
    let count = values.len();
    let pixels = values.into_iter().map(|x| x as u8);
    Ok(Items::Pixels(budget::collect(
        pixels,
        count,
        path.display(),
    )?))
}

fn order_of(extents: &[usize], shape: &Shape) -> Option<Order> {
    match (*shape, extents) {
        (Shape::Vector { len }, &[found]) => (found == len).then_some(Order::ChannelsFirst),
        (shape @ (Shape::Image { .. } | Shape::Sequence { .. }), &[found]) => {
            (found == shape.len()).then_some(Order::ChannelsFirst)
        }
        (Shape::Sequence { steps, channels }, &[s, c]) => {
            ((s, c) == (steps, channels)).then_some(Order::ChannelsFirst)
        }
        (
            Shape::Image {
                channels: 1,
                height,
                width,
            },
            &[h, w],
        ) => ((h, w) == (height, width)).then_some(Order::ChannelsFirst),
        (
            Shape::Image {
                channels,
                height,
                width,
            },
            &[a, b, c],
        ) => {
            if (a, b, c) == (channels, height, width) {
                Some(Order::ChannelsFirst)
            } else {
                ((a, b, c) == (height, width, channels)).then_some(Order::ChannelsLast)
            }
        }
        _ => None,
    }
}

fn allowed(shape: &Shape) -> String {
    match shape {
        Shape::Image {
            channels: 1,
            height,
            width,
        } => format!("[{height}, {width}] or a batch [N, {height}, {width}]"),
        Shape::Image {
            channels,
            height,
            width,
        } => format!(
            "[{channels}, {height}, {width}], [{height}, {width}, {channels}], or a batch [N, …] of either"
        ),
        Shape::Vector { len } => format!("[{len}] or a batch [N, {len}]"),
        Shape::Sequence { steps, channels: 1 } => {
            format!("[{steps}], [{steps}, 1], or a batch [N, …] of either")
        }
        Shape::Sequence { steps, channels } => {
            format!("[{steps}, {channels}] or a batch [N, {steps}, {channels}]")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{NpzArray, write_npz};

    const GREY: Shape = Shape::Image {
        channels: 1,
        height: 2,
        width: 3,
    };
    const COLOUR: Shape = Shape::Image {
        channels: 3,
        height: 1,
        width: 2,
    };
    const PAIR: Shape = Shape::Vector { len: 2 };

    fn read(descr: &str, extents: &str, data: &[u8], shape: &Shape) -> Result<Items, DataError> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {extents}}}");
        let length = (header.len() as u16).to_le_bytes();
        let bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat();
        let (mut data, len) = (&bytes[..], bytes.len() as u64);
        of_shape(
            Array::plain(&mut data, len, Path::new("x.npy"))?,
            shape,
            None,
        )
    }

    #[test]
    fn archives_are_read_by_the_name_of_their_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz");
        let options = ArrayOptions::default();
        let written = |names: &[&str]| {
            let each = names.iter().enumerate();
            let arrays: Vec<NpzArray> = each
                .map(|(i, name)| NpzArray::new(*name, vec![2, 2], vec![i as f64; 4]))
                .collect();
            let mut bytes = Vec::new();
            write_npz(&mut bytes, &arrays).unwrap();
            std::fs::write(&path, bytes).unwrap();
            read_items(&path, &PAIR, &options)
        };
        for (names, at) in [
            (&["y", "x"][..], 1.0),
            (&["x_train", "x_test"], 1.0),
            (&["features", "ids"], 0.0),
            (&["anything"], 0.0),
        ] {
            assert_eq!(
                written(names).unwrap(),
                Items::Values(vec![at; 4]),
                "{names:?}"
            );
        }
        let error = written(&["a", "b"]).unwrap_err().to_string();
        assert!(
            error.contains("holds [a, b]") && error.contains("inputs x"),
            "{error}"
        );
    }

    #[test]
    fn one_item_or_a_batch() {
        let six: Vec<u8> = (0..6).collect();
        for extents in [
            "(2, 3)",
            "(1, 2, 3)",
            "(6,)",
            "(1, 6)",
            "(1, 1, 2, 3)",
            "(2, 3, 1)",
        ] {
            let found = read("|u1", extents, &six, &GREY).unwrap();
            assert_eq!(found, Items::Pixels(six.clone()), "{extents}");
        }
        let two = [&six[..], &six[..]].concat();
        let found = read("|u1", "(2, 2, 3)", &two, &GREY).unwrap();
        assert_eq!(found, Items::Pixels(two));
    }

    #[test]
    fn channels_may_come_last() {
        let first = read("|u1", "(3, 1, 2)", &[1, 2, 3, 4, 5, 6], &COLOUR).unwrap();
        for extents in ["(1, 2, 3)", "(1, 1, 2, 3)"] {
            let last = read("|u1", extents, &[1, 3, 5, 2, 4, 6], &COLOUR).unwrap();
            assert_eq!(last, first, "{extents}");
        }
        let floats: Vec<u8> = [1.0f32, 3.0, 5.0, 2.0, 4.0, 6.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let last = read("<f4", "(1, 2, 3)", &floats, &COLOUR).unwrap();
        assert_eq!(last, Items::Values(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    }

    #[test]
    fn integers_are_pixels_whatever_their_type() {
        let numbers: Vec<u8> = (0..6i16).flat_map(|x| (50 * x).to_be_bytes()).collect();
        let found = read(">i2", "(2, 3)", &numbers, &GREY).unwrap();
        assert_eq!(found, Items::Pixels(vec![0, 50, 100, 150, 200, 250]));
        let beyond: Vec<u8> = (0..6i16).flat_map(|x| (60 * x).to_le_bytes()).collect();
        let error = read("<i2", "(2, 3)", &beyond, &GREY)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("int16 images") && error.contains("--range=0,300"),
            "{error}"
        );
    }

    #[test]
    fn features_are_floats_whatever_their_type() {
        let found = read("|u1", "(2, 2)", &[1, 2, 3, 200], &PAIR).unwrap();
        assert_eq!(found, Items::Values(vec![1.0, 2.0, 3.0, 200.0]));
    }

    #[test]
    fn another_shape_is_refused_with_those_allowed() {
        for (extents, count) in [("(3, 2)", 6), ("(5,)", 5), ("(2, 2, 2, 3)", 24), ("()", 1)] {
            let message = read("|u1", extents, &vec![0; count], &GREY)
                .unwrap_err()
                .to_string();
            assert!(message.contains("[2, 3]"), "{extents}: {message}");
        }
    }
}
