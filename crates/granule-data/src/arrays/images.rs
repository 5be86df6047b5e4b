//! Arrays of images: what their numbers mean, and how they are laid out.

use std::path::Path;

use granule_io::{Intensity, IntensityError, budget};

use super::elements::Odd;
use super::npy::{Header, Kind};
use super::{Array, elements};
use crate::{DataError, Features, Shape, reading};

/// How far an intensity may be from one of the 256 levels of a pixel, in levels, to count as one: what single precision
/// leaves of `x / 255` and `x / 127.5 - 1`.
const ROUNDING: f64 = 1e-2;
/// The same of half precision.
const HALF_ROUNDING: f64 = 0.13;

/// Where the channels of an image stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    ChannelsFirst,
    ChannelsLast,
}

/// Images, and what is said of them.
pub(super) struct Read {
    pub features: Features,
    /// What the numbers were taken for.
    pub note: String,
    /// What may be wrong with them.
    pub warning: Option<String>,
}

/// Images that fill less of their range than this are likely of another range: 4 of the 256 levels of a pixel.
pub const LITTLE: f64 = 1.0 / 64.0;

/// A warning of images that fill next to nothing of the range taken for granted.
fn narrow(
    intensity: Intensity,
    range: Option<[f64; 2]>,
    lowest: f64,
    highest: f64,
) -> Option<String> {
    let [black, white] = intensity.bounds();
    let share = (highest - lowest) / (white - black);
    if range.is_some() || !(share > 0.0 && share < LITTLE) {
        return None;
    }
    let seen = match (lowest, highest) {
        (0.0, 1.0) => "its images hold 0 and 1 alone, as masks do,".to_owned(),
        _ => format!("the numbers of its images go from {lowest} to {highest} alone,"),
    };
    let [black_there, white_there] = granule_io::intensity::likely(lowest, highest);
    Some(format!(
        "{seen} and are taken for intensities from {black} to {white}, next to images from files nearly black; \
         data.range = [{black_there}, {white_there}] (--range={black_there},{white_there}) says what is black and white"
    ))
}

/// Whether a plane of numbers has the form of a picture: time series are far longer than wide, or a few numbers wide.
fn is_like_a_picture(height: usize, width: usize) -> bool {
    height.min(width) >= 8 && height.max(width) <= 4 * height.min(width)
}

/// Reads images: as bytes where every number is one of the 256 levels of a pixel, as intensities from 0 to 1 where
/// not. The sentence says what the numbers were taken for.
pub(super) fn read(
    array: Array<'_>,
    shape: Shape,
    order: Order,
    range: Option<[f64; 2]>,
) -> Result<Read, DataError> {
    let path = array.path.to_path_buf();
    let Shape::Image {
        channels,
        height,
        width,
    } = shape
    else {
        return Err(array.wrong_shape("that of images"));
    };
    let kind = array.header.kind;
    array.check_numbers()?;
    // Without an extent of channels they may as well be the steps of sequences.
    let three = array.extents().len() == 3;
    let refuse = |error: granule_io::IntensityError| {
        let reason = match error {
            IntensityError::Beyond {
                lowest, highest, ..
            } if range.is_none()
                && (lowest.fract() != 0.0 || highest.fract() != 0.0)
                && !is_like_a_picture(height, width) =>
            {
                format!(
                    "its shape is that of images of {width}×{height} pixels, its numbers go from {lowest} to {highest} and are none; \
                 other data, such as time series, are rows of features, x.reshape(len(x), -1), or, for a model that takes \
                 steps (rate, gru, lstm, sequential), sequences: data.layout = \"sequence\""
                )
            }
            error if range.is_none() && (three || !is_like_a_picture(height, width)) => format!(
                "{} images: {error}; time series, such as spike counts, are sequences: data.layout = \"sequence\"",
                kind.name()
            ),
            error => format!("{} images: {error}", kind.name()),
        };
        DataError::format(&path, reason)
    };
    // Truth values are 0 and 1 whatever else is.
    let integers = !kind.is_float() && kind != Kind::Bool;
    let intensity = Intensity::of(integers, range).map_err(refuse)?;
    let said = |what: &str| {
        let [black, white] = intensity.bounds();
        let meaning = match intensity {
            Intensity::Pixels => "pixels",
            _ => "intensities",
        };
        format!(
            "{} images, taken for {meaning} from {black} to {white}{what}",
            kind.name()
        )
    };
    if kind == Kind::U8 && intensity.bounds() == [0.0, 255.0] {
        let mut pixels = elements::bytes(array)?;
        if order == Order::ChannelsLast {
            elements::channels_first(&mut pixels, height * width, channels, &path)?;
        }
        let extremes = pixels.iter().fold((u8::MAX, u8::MIN), |(low, high), &x| {
            (low.min(x), high.max(x))
        });
        let warning = narrow(intensity, range, extremes.0.into(), extremes.1.into());
        return Ok(Read {
            features: Features::Bytes(pixels),
            note: said(""),
            warning,
        });
    }
    let numbers = Numbers::read(array, intensity)?;
    intensity
        .check(numbers.lowest, numbers.highest)
        .map_err(refuse)?;
    let warning = narrow(intensity, range, numbers.lowest, numbers.highest);
    let plane = height * width;
    let (features, note) = match numbers.levels {
        Levels::Whole(mut pixels) => {
            if order == Order::ChannelsLast {
                elements::channels_first(&mut pixels, plane, channels, &path)?;
            }
            let what = if integers && range.is_none() {
                ""
            } else {
                " in the 256 levels of pixels"
            };
            (Features::Bytes(pixels), said(what))
        }
        Levels::Between(mut values) => {
            if order == Order::ChannelsLast {
                elements::channels_first(&mut values, plane, channels, &path)?;
            }
            (Features::Floats(values), said(""))
        }
    };
    Ok(Read {
        features,
        note,
        warning,
    })
}

/// Intensities: pixels as long as every one is a level of a pixel.
enum Levels {
    Whole(Vec<u8>),
    Between(Vec<f32>),
}

struct Numbers {
    levels: Levels,
    lowest: f64,
    highest: f64,
}

impl Numbers {
    fn read(array: Array<'_>, intensity: Intensity) -> Result<Self, DataError> {
        let path = array.path.to_path_buf();
        let elements = usize::try_from(array.header.elements()).unwrap_or(usize::MAX);
        let reserve = usize::try_from(array.reserve).unwrap_or(usize::MAX);
        let slack = match array.header.kind {
            Kind::F16 => HALF_ROUNDING,
            _ => ROUNDING,
        };
        let mut found = Self {
            levels: Levels::Whole(Vec::new()),
            lowest: f64::INFINITY,
            highest: f64::NEG_INFINITY,
        };
        let mut block = Vec::new();
        let mut done = 0;
        let mut odd = Odd::of(&array);
        let mut seen = 0;
        let header = elements::stream(array, |header, raw| {
            block.clear();
            elements::doubles_of(header.kind, header.big_endian, raw, &mut block);
            let fine = odd.see(seen, block.iter().copied());
            seen += block.len();
            if !fine || done + block.len() < seen {
                // Nothing is made of the rest; it is only counted.
                return Ok(());
            }
            for number in &mut block {
                found.lowest = found.lowest.min(*number);
                found.highest = found.highest.max(*number);
                *number = intensity.scale(*number);
            }
            let room = |len: usize, capacity: usize| {
                if capacity - len < block.len() {
                    len.max(block.len()).min(elements - len)
                } else {
                    0
                }
            };
            if let Levels::Whole(pixels) = &mut found.levels {
                reading::reserve_exact(pixels, room(pixels.len(), pixels.capacity()), &path)?;
                for &x in &block {
                    let level = (255.0 * x).round();
                    if (255.0 * x - level).abs() > slack {
                        break;
                    }
                    pixels.push(level as u8);
                }
                if pixels.len() == done + block.len() {
                    done += block.len();
                    return Ok(());
                }
                let mut values: Vec<f32> = Vec::new();
                let ahead = elements
                    .min(reserve / size_of::<f32>())
                    .max(pixels.len() + block.len());
                reading::reserve_exact(&mut values, ahead, &path)?;
                values.extend(
                    pixels
                        .iter()
                        .take(done)
                        .map(|&pixel| f32::from(pixel) / 255.0),
                );
                found.levels = Levels::Between(values);
            }
            if let Levels::Between(values) = &mut found.levels {
                reading::reserve_exact(values, room(values.len(), values.capacity()), &path)?;
                values.extend(block.iter().map(|&x| x as f32));
            }
            done += block.len();
            Ok(())
        })?;
        odd.check()?;
        found.levels = match found.levels {
            Levels::Whole(pixels) => Levels::Whole(elements::row_major(pixels, &header, &path)?),
            Levels::Between(values) => {
                Levels::Between(elements::row_major(values, &header, &path)?)
            }
        };
        Ok(found)
    }
}

/// Mirrors every image at its diagonal: rows become columns.
pub(super) fn transpose(
    shape: Shape,
    features: Features,
    path: &Path,
) -> Result<(Shape, Features), DataError> {
    let Shape::Image {
        channels,
        height,
        width,
    } = shape
    else {
        return Ok((shape, features));
    };
    let turned = Shape::Image {
        channels,
        height: width,
        width: height,
    };
    let features = match features {
        Features::Bytes(mut pixels) => {
            transposed(&mut pixels, height, width, path)?;
            Features::Bytes(pixels)
        }
        Features::Floats(mut values) => {
            transposed(&mut values, height, width, path)?;
            Features::Floats(values)
        }
    };
    Ok((turned, features))
}

/// Exchanges rows and columns of planes of `height` rows, one after the other.
pub(super) fn transposed<T: Copy + Default>(
    pixels: &mut [T],
    height: usize,
    width: usize,
    path: &Path,
) -> Result<(), DataError> {
    let mut before = budget::filled(T::default(), height * width, path.display())?;
    for plane in pixels.chunks_exact_mut((height * width).max(1)) {
        before.copy_from_slice(plane);
        for (x, column) in plane.chunks_exact_mut(height.max(1)).enumerate() {
            for (to, from) in column
                .iter_mut()
                .zip(before.iter().skip(x).step_by(width.max(1)))
            {
                *to = *from;
            }
        }
    }
    Ok(())
}

/// The layout of an array of images, of its extents without the first.
pub(super) fn layout(header: &Header) -> Option<(Shape, Order)> {
    let extents: Vec<usize> = header.shape.iter().map(|&extent| extent as usize).collect();
    let image = |channels, height, width| Shape::Image {
        channels,
        height,
        width,
    };
    Some(match *extents.as_slice() {
        [_, height, width] => (image(1, height, width), Order::ChannelsFirst),
        [_, channels @ (1 | 3), height, width] => {
            (image(channels, height, width), Order::ChannelsFirst)
        }
        [_, height, width, channels @ (1 | 3)] => {
            (image(channels, height, width), Order::ChannelsLast)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let shape = Shape::Image {
            channels: 2,
            height: 2,
            width: 3,
        };
        let pixels: Vec<u8> = (0..12).collect();
        let turn = |shape, features| transpose(shape, features, Path::new("x.npy")).unwrap();
        let (turned, features) = turn(shape, Features::Bytes(pixels.clone()));
        let expected = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11];
        assert_eq!(features, Features::Bytes(expected.to_vec()));
        assert_eq!(turn(turned, features), (shape, Features::Bytes(pixels)));
    }
}
