//! From the bytes of a file to upright, opaque pixels of 8 bits.

use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage,
};

use super::structure::{self, Structure};
use super::{Background, Channels, ImageError, MAX_DECODED, MAX_FILE, MAX_SIDE};
use crate::budget;
use crate::open::open_regular;
use crate::watch::{self, Access};

/// What the header of an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels, upright.
    pub width: usize,
    /// Height in pixels, upright.
    pub height: usize,
    /// Grey or colour as it is stored.
    pub channels: Channels,
    /// Whether it is stored as a camera held it, to be turned or mirrored.
    pub turned: bool,
}

/// An upright, opaque image, of 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: Channels,
    /// Interleaved.
    pub(super) data: Vec<u8>,
    pub(super) transparent: bool,
}

/// Reads the bytes of an image file; no more of them than any image has.
///
/// # Errors
/// [`ImageError::Io`], [`ImageError::FileTooLarge`], [`ImageError::Memory`].
pub fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    let (file, metadata) = open_regular(path)?;
    let bytes = read_from(metadata.len(), file)?;
    watch::tell(Access::Read, path, bytes.len() as u64);
    Ok(bytes)
}

/// As [`read()`], from anything; `len` is how many bytes are expected, 0 if that is not known.
///
/// # Errors
/// Those of [`read()`].
pub fn read_from(len: u64, from: impl Read) -> Result<Vec<u8>, ImageError> {
    let too_large = ImageError::FileTooLarge { limit: MAX_FILE };
    if len > MAX_FILE {
        return Err(too_large);
    }
    let mut bytes = reserve(len, "reading it")?;
    // A device or a pipe has no length of its own.
    from.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        Err(too_large)
    } else {
        Ok(bytes)
    }
}

/// Room for so many bytes, or an error instead of an abort.
fn reserve(needed: u64, what: &str) -> Result<Vec<u8>, ImageError> {
    let needed = usize::try_from(needed).unwrap_or(usize::MAX);
    Ok(budget::with_capacity(needed, what)?)
}

/// Reads the header and looks for the end of the file, without decoding any pixel.
///
/// # Errors
/// Those of [`Picture::decode`] that can be told without the pixels.
pub fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    open(bytes).map(|opened| opened.header)
}

struct Opened<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
    header: Header,
}

fn open(bytes: &[u8]) -> Result<Opened<'_>, ImageError> {
    let format = match image::guess_format(bytes) {
        Ok(
            format @ (ImageFormat::Png
            | ImageFormat::Jpeg
            | ImageFormat::Gif
            | ImageFormat::Bmp
            | ImageFormat::WebP),
        ) => format,
        _ if bytes.is_empty() => return Err(ImageError::truncated("the file is empty")),
        _ if structure::is_beginning(bytes) => {
            return Err(ImageError::truncated("only the first bytes are there"));
        }
        _ => {
            let found = crate::content::recognise(bytes.get(..512).unwrap_or(bytes));
            return Err(ImageError::Kind { found });
        }
    };
    if cfg!(not(feature = "images")) {
        return Err(ImageError::NotBuilt);
    }
    let structure = structure::walk(format, bytes);
    if let Some(missing) = structure.missing {
        return Err(ImageError::truncated(missing));
    }
    let pixels = structure::without(bytes, &structure.idle)?;
    let mut reader = ImageReader::with_format(Cursor::new(pixels), format);
    // Sizes are checked below, where the message can name them.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(ImageError::from_decoder)?;
    let mut decoder: Box<dyn ImageDecoder + '_> = Box::new(decoder);
    let orientation = orientation(&mut decoder, &structure);
    check_size(&decoder, format, &structure, orientation)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let (width, height) = if is_turned(orientation) {
        (height, width)
    } else {
        (width, height)
    };
    let colour = decoder.color_type();
    let header = Header {
        width,
        height,
        channels: if colour.has_color() {
            Channels::Colour
        } else {
            Channels::Grey
        },
        turned: orientation != Orientation::NoTransforms,
    };
    Ok(Opened {
        decoder,
        orientation,
        header,
    })
}

/// What the camera noted. An unreadable note is none, as in every viewer.
fn orientation(decoder: &mut Box<dyn ImageDecoder + '_>, structure: &Structure<'_>) -> Orientation {
    let exif = match structure.exif {
        Some(exif) => Some(exif.to_vec()),
        None => decoder.exif_metadata().unwrap_or_default(),
    };
    let exif = exif.as_deref().unwrap_or_default();
    // Some writers leave the prefix that only a JPEG has.
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

fn is_turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// Refuses what would take too much memory, counted with what the decoders hold beside the pixels.
fn check_size(
    decoder: &dyn ImageDecoder,
    format: ImageFormat,
    structure: &Structure<'_>,
    orientation: Orientation,
) -> Result<(), ImageError> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    let pixels = (width as u64).saturating_mul(height as u64);
    let channels = u64::from(decoder.color_type().channel_count());
    let beside = match format {
        // Coefficients of 16 bits.
        ImageFormat::Jpeg if structure.passes => 2 * channels,
        // A frame, and the planes it is made from.
        ImageFormat::WebP => 6,
        ImageFormat::Gif => 5,
        _ => 0,
    };
    let turned = if is_turned(orientation) { channels } else { 0 };
    let needed = decoder
        .total_bytes()
        .saturating_add(pixels.saturating_mul(beside.max(turned)));
    if pixels == 0 {
        return Err(ImageError::Damaged {
            reason: "it has no pixels".into(),
        });
    }
    if width.max(height) > MAX_SIDE || needed > MAX_DECODED {
        return Err(ImageError::TooLarge {
            width,
            height,
            needed,
            limit: MAX_DECODED,
        });
    }
    // What a decoder asks for itself would abort: it is there if all of it could be had at once.
    reserve(needed, "decoding it").map(drop)
}

impl Picture {
    /// Decodes the bytes of an image: upright, transparent pixels laid over a background.
    ///
    /// # Errors
    /// [`ImageError::Kind`] and [`ImageError::Form`] for what is not read, [`ImageError::Truncated`],
    /// [`ImageError::Damaged`], [`ImageError::TooLarge`], [`ImageError::Memory`].
    pub fn decode(bytes: &[u8], background: Background) -> Result<Self, ImageError> {
        let Opened {
            decoder,
            orientation,
            ..
        } = open(bytes)?;
        let (width, height) = decoder.dimensions();
        let colour = decoder.color_type();
        let len = decoder.total_bytes();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut raw = budget::filled(0, len, "its pixels")?;
        decoder
            .read_image_boxed(&mut raw)
            .map_err(ImageError::from_decoder)?;
        let picture = Self::from_raw((width, height), colour, raw, background)?;
        picture.turned(orientation)
    }

    /// Takes an image that a program has decoded; it is taken to be upright.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] for one without pixels.
    pub fn from_image(image: &DynamicImage, background: Background) -> Result<Self, ImageError> {
        let size = (image.width(), image.height());
        let (colour, raw) = match (image.color().has_color(), image.color().has_alpha()) {
            (false, false) => (ColorType::L8, image.to_luma8().into_raw()),
            (false, true) => (ColorType::La8, image.to_luma_alpha8().into_raw()),
            (true, false) => (ColorType::Rgb8, image.to_rgb8().into_raw()),
            (true, true) => (ColorType::Rgba8, image.to_rgba8().into_raw()),
        };
        Self::from_raw(size, colour, raw, background)
    }

    /// `raw` holds the samples interleaved, those of 16 bits in the order of this machine.
    fn from_raw(
        (width, height): (u32, u32),
        colour: ColorType,
        mut raw: Vec<u8>,
        background: Background,
    ) -> Result<Self, ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::Damaged {
                reason: "it has no pixels".into(),
            });
        }
        let bytes = colour.bytes_per_pixel() / colour.channel_count().max(1);
        match bytes {
            1 => {}
            2 => to_8_bits(&mut raw),
            _ => {
                return Err(ImageError::Form {
                    reason: format!("{bytes} bytes for each value of a pixel; 1 and 2 are read"),
                });
            }
        }
        let mut transparent = false;
        let mut channels = if colour.has_color() {
            Channels::Colour
        } else {
            Channels::Grey
        };
        if colour.has_alpha() {
            transparent = raw
                .chunks_exact(channels.count() + 1)
                .any(|pixel| pixel.last() != Some(&255));
            if transparent && channels == Channels::Grey && !background.is_grey() {
                raw = raw
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .flat_map(|[grey, alpha]| [*grey, *grey, *grey, *alpha])
                    .collect();
                channels = Channels::Colour;
            }
            lay_over(&mut raw, channels, background);
        }
        Ok(Self {
            width,
            height,
            channels,
            data: raw,
            transparent,
        })
    }

    /// Turned and mirrored as the camera noted.
    fn turned(self, orientation: Orientation) -> Result<Self, ImageError> {
        if orientation == Orientation::NoTransforms {
            return Ok(self);
        }
        let Self {
            channels,
            transparent,
            ..
        } = self;
        let mut image = self.into_image()?;
        image.apply_orientation(orientation);
        Ok(Self {
            width: image.width(),
            height: image.height(),
            channels,
            data: image.into_bytes(),
            transparent,
        })
    }

    pub(super) fn into_image(self) -> Result<DynamicImage, ImageError> {
        let Self {
            width,
            height,
            channels,
            data,
            ..
        } = self;
        let image = match channels {
            Channels::Grey => GrayImage::from_raw(width, height, data).map(DynamicImage::from),
            Channels::Colour => RgbImage::from_raw(width, height, data).map(DynamicImage::from),
        };
        image.ok_or_else(|| ImageError::Damaged {
            reason: "it has fewer pixels than its header says".into(),
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width as usize, self.height as usize)
    }

    /// Grey or colour.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// Whether a pixel was not opaque, so that the background shows.
    pub fn is_transparent(&self) -> bool {
        self.transparent
    }

    /// Whether all pixels are the same.
    pub fn is_blank(&self) -> bool {
        let mut pixels = self.data.chunks_exact(self.channels.count());
        pixels
            .next()
            .is_none_or(|first| pixels.all(|pixel| pixel == first))
    }
}

fn to_8_bits(raw: &mut Vec<u8>) {
    let len = raw.len() / 2;
    for index in 0..len {
        let Some(sample) = raw.get(2 * index..).and_then(<[u8]>::first_chunk) else {
            break;
        };
        // The nearest of 256 levels.
        let level = (u32::from(u16::from_ne_bytes(*sample)) + 128) / 257;
        if let Some(place) = raw.get_mut(index) {
            *place = level as u8;
        }
    }
    raw.truncate(len);
}

/// Composes pixels whose last channel is alpha over the background, in place.
fn lay_over(raw: &mut Vec<u8>, channels: Channels, background: Background) {
    let count = channels.count();
    let pixels = raw.len() / (count + 1);
    for pixel in 0..pixels {
        let at = pixel * (count + 1);
        let alpha = u32::from(raw.get(at + count).copied().unwrap_or(255));
        for (channel, behind) in background.0.iter().take(count).enumerate() {
            let front = u32::from(raw.get(at + channel).copied().unwrap_or(0));
            let mixed = (front * alpha + u32::from(*behind) * (255 - alpha) + 127) / 255;
            if let Some(place) = raw.get_mut(pixel * count + channel) {
                *place = mixed as u8;
            }
        }
    }
    raw.truncate(pixels * count);
}
