//! From an encoded or decoded image to the pixels a model takes.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageReader, Limits, imageops};

use crate::{InputShape, ModelError};

/// The most memory a decoder may take.
const MAX_BYTES: u64 = 512 << 20;
/// The longest side of an image.
const MAX_SIDE: u32 = 1 << 15;

/// Reads an image file, if it is not larger than any image that would be decoded.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        if len <= MAX_BYTES {
            // A device or a pipe has no length of its own.
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        }
        Ok((len.max(bytes.len() as u64), bytes))
    };
    let (len, bytes) = read().map_err(|source| ModelError::Io {
        action: "cannot read",
        source,
    })?;
    if len > MAX_BYTES {
        return Err(ModelError::Image {
            reason: format!("the file has more than {} MiB", MAX_BYTES >> 20),
        });
    }
    Ok(bytes)
}

/// Decodes a PNG or JPEG.
pub(crate) fn decode(bytes: &[u8]) -> Result<DynamicImage, ModelError> {
    let error = |reason: String| ModelError::Image { reason };
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| error(e.to_string()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    reader.decode().map_err(|e| error(e.to_string()))
}

/// Greyscale or RGB pixels, channel-first, of the size the model takes.
pub(crate) fn pixels(
    image: &DynamicImage,
    shape: &InputShape,
    resizing: bool,
) -> Result<Vec<u8>, ModelError> {
    let InputShape::Image {
        channels: channels @ (1 | 3),
        height,
        width,
    } = *shape
    else {
        return Err(ModelError::NotAnImageModel {
            expected: shape.to_string(),
        });
    };
    let found = (image.width() as usize, image.height() as usize);
    if !resizing && found != (width, height) {
        return Err(ModelError::ImageSize {
            expected_width: width,
            expected_height: height,
            width: found.0,
            height: found.1,
        });
    }
    if found.0 == 0 || found.1 == 0 {
        return Err(ModelError::Image {
            reason: "it has no pixels".to_owned(),
        });
    }
    let fit = found == (width, height);
    let size = (width as u32, height as u32);
    let filter = imageops::FilterType::Triangle;
    let interleaved = match channels {
        1 => {
            let image = image.to_luma8();
            match fit {
                true => image.into_raw(),
                false => imageops::resize(&image, size.0, size.1, filter).into_raw(),
            }
        }
        _ => {
            let image = image.to_rgb8();
            match fit {
                true => image.into_raw(),
                false => imageops::resize(&image, size.0, size.1, filter).into_raw(),
            }
        }
    };
    Ok(match channels {
        1 => interleaved,
        _ => (0..channels)
            .flat_map(|channel| interleaved.iter().skip(channel).step_by(channels).copied())
            .collect(),
    })
}
