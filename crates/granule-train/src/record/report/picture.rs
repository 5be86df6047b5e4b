use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, imageops};
use serde::{Deserialize, Serialize};

use crate::record::RecordError;

const MOST_FILTERS: usize = 64;

/// A small PNG image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Columns of pixels.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// The PNG file in base64.
    pub png: String,
}

impl Picture {
    /// As [`from_pixels`](Self::from_pixels), scaled down until no side is longer than `most`.
    ///
    /// # Errors
    /// As [`from_pixels`](Self::from_pixels).
    pub fn thumbnail(
        channels: usize,
        height: usize,
        width: usize,
        pixels: &[u8],
        most: u32,
    ) -> Result<Self, RecordError> {
        let longest = height.max(width) as f64;
        let scaled =
            |side: usize| ((side as f64 * f64::from(most) / longest).round() as u32).max(1);
        let plane = height.saturating_mul(width);
        let sides = (u32::try_from(width), u32::try_from(height));
        let (true, true, (Ok(columns), Ok(rows))) = (
            longest > f64::from(most),
            plane.checked_mul(channels) == Some(pixels.len()),
            sides,
        ) else {
            return Self::from_pixels(channels, height, width, pixels);
        };
        let (small_width, small_height) = (scaled(width), scaled(height));
        let small: Vec<u8> = pixels
            .chunks_exact(plane.max(1))
            .filter_map(|plane| GrayImage::from_raw(columns, rows, plane.to_vec()))
            .flat_map(|plane| imageops::thumbnail(&plane, small_width, small_height).into_raw())
            .collect();
        Self::from_pixels(
            channels,
            small_height as usize,
            small_width as usize,
            &small,
        )
    }

    /// Encodes 8-bit pixels in channel-first order, `[channels, height, width]` with 1 (grey) or 3 (RGB) channels.
    ///
    /// # Errors
    /// [`RecordError::Picture`] when channels or length do not fit or a side is 0.
    pub fn from_pixels(
        channels: usize,
        height: usize,
        width: usize,
        pixels: &[u8],
    ) -> Result<Self, RecordError> {
        let plane = height.saturating_mul(width);
        let expected = plane.saturating_mul(channels);
        let refused = || RecordError::Picture {
            channels,
            height,
            width,
            expected,
            found: pixels.len(),
        };
        let color = match channels {
            1 => ExtendedColorType::L8,
            3 => ExtendedColorType::Rgb8,
            _ => return Err(refused()),
        };
        let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
            return Err(refused());
        };
        if expected == 0 || pixels.len() != expected {
            return Err(refused());
        }
        let interleaved: Vec<u8> = (0..plane)
            .flat_map(|at| pixels.iter().skip(at).step_by(plane).copied())
            .collect();
        let mut png = Vec::new();
        PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive)
            .write_image(&interleaved, columns, rows, color)
            .map_err(|error| RecordError::Render {
                reason: error.to_string(),
            })?;
        Ok(Self {
            width,
            height,
            png: base64(&png),
        })
    }
}

/// Draws the first layer's weights: convolution kernels `[out, in, height, width]`, or the columns of a linear layer
/// `[in, hidden]` in the shape `input` = (channels, height, width) of the image they look at.
///
/// At most 64 filters; nothing when the weights have no image form (feature vectors, channels other than 1 or 3).
/// Zero is middle grey; each filter is scaled to its own largest magnitude.
pub fn first_layer_filters(
    shape: &[usize],
    weights: &[f32],
    input: Option<(usize, usize, usize)>,
) -> Vec<Picture> {
    if shape
        .iter()
        .try_fold(1usize, |product, &side| product.checked_mul(side))
        != Some(weights.len())
    {
        return Vec::new();
    }
    match (shape, input) {
        (&[filters, channels, height, width], _) if height * width > 1 => weights
            .chunks_exact((channels * height * width).max(1))
            .take(filters.min(MOST_FILTERS))
            .filter_map(|filter| draw(filter, channels, height, width))
            .collect(),
        (&[inputs, hidden], Some((channels, height, width)))
            if channels
                .checked_mul(height)
                .and_then(|c| c.checked_mul(width))
                == Some(inputs) =>
        {
            (0..hidden.min(MOST_FILTERS))
                .filter_map(|unit| {
                    let column: Vec<f32> =
                        weights.iter().skip(unit).step_by(hidden).copied().collect();
                    draw(&column, channels, height, width)
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn draw(filter: &[f32], channels: usize, height: usize, width: usize) -> Option<Picture> {
    let largest = filter
        .iter()
        .copied()
        .filter(|w| w.is_finite())
        .fold(0.0f32, |most, w| most.max(w.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let pixels: Vec<u8> = filter
        .iter()
        .map(|weight| (128.0 + weight * scale).round() as u8)
        .collect();
    Picture::from_pixels(channels, height, width, &pixels).ok()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, &byte| group << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let symbol = ALPHABET[(group >> (18 - 6 * position) & 63) as usize];
            text.push(if position <= chunk.len() {
                char::from(symbol)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unbase64(text: &str) -> Vec<u8> {
        let value = |c: u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let bits: Vec<u8> = text.bytes().filter(|&c| c != b'=').map(value).collect();
        let bit = |at: usize| bits[at / 6] >> (5 - at % 6) & 1;
        (0..bits.len() * 6 / 8)
            .map(|byte| (0..8).fold(0, |acc, at| acc << 1 | bit(byte * 8 + at)))
            .collect()
    }

    fn pixels(picture: &Picture) -> image::RgbImage {
        image::load_from_memory(&unbase64(&picture.png))
            .unwrap()
            .to_rgb8()
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let cases = [
            "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
        ];
        for (length, expected) in cases.iter().enumerate() {
            assert_eq!(&base64(&b"foobar"[..length]), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
        assert_eq!(unbase64(&base64(&[1, 250, 3, 77])), [1, 250, 3, 77]);
    }

    #[test]
    fn pixels_come_back_from_the_png() {
        let grey = Picture::from_pixels(1, 2, 3, &[0, 50, 100, 150, 200, 250]).unwrap();
        assert_eq!((grey.width, grey.height), (3, 2));
        assert_eq!(pixels(&grey).get_pixel(1, 1).0, [200, 200, 200]);
        let rgb = Picture::from_pixels(3, 1, 2, &[1, 2, 30, 40, 200, 250]).unwrap();
        assert_eq!(pixels(&rgb).as_raw(), &[1, 30, 200, 2, 40, 250]);
    }

    #[test]
    fn a_thumbnail_is_small_and_keeps_what_fits() {
        let red: Vec<u8> = [vec![200; 40 * 20], vec![10; 2 * 40 * 20]].concat();
        let small = Picture::thumbnail(3, 20, 40, &red, 10).unwrap();
        assert_eq!((small.width, small.height), (10, 5));
        assert!(
            pixels(&small)
                .pixels()
                .all(|pixel| pixel.0 == [200, 10, 10])
        );
        let whole = Picture::from_pixels(3, 20, 40, &red).unwrap();
        assert_eq!(Picture::thumbnail(3, 20, 40, &red, 40).unwrap(), whole);
        let line = Picture::thumbnail(1, 1, 4000, &[7; 4000], 10).unwrap();
        assert_eq!((line.width, line.height), (10, 1));
        assert!(Picture::thumbnail(3, 20, 40, &red[1..], 10).is_err());
        assert!(Picture::thumbnail(2, 20, 40, &red[..1600], 10).is_err());
        assert!(Picture::thumbnail(1, usize::MAX, 2, &[0; 5], 10).is_err());
        assert!(Picture::thumbnail(1, 20, 0, &[], 10).is_err());
    }

    #[test]
    fn pixels_that_do_not_fit_are_refused() {
        let error = Picture::from_pixels(1, 2, 2, &[0; 5]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a picture of 1×2×2 needs 1 or 3 channels and 4 bytes, found 5"
        );
        assert!(Picture::from_pixels(2, 1, 1, &[0; 2]).is_err());
        assert!(Picture::from_pixels(1, 0, 5, &[]).is_err());
        assert!(Picture::from_pixels(1, usize::MAX, usize::MAX, &[0; 5]).is_err());
    }

    #[test]
    fn convolution_kernels_are_drawn_around_grey() {
        let weights = [0.0, 2.0, -2.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let filters = first_layer_filters(&[2, 1, 2, 2], &weights, None);
        assert_eq!(filters.len(), 2);
        let greys: Vec<u8> = pixels(&filters[0]).pixels().map(|p| p.0[0]).collect();
        assert_eq!(greys, [128, 255, 1, 192]);
        assert!(pixels(&filters[1]).pixels().all(|p| p.0 == [128; 3]));
        assert_eq!(
            first_layer_filters(&[100, 3, 3, 3], &[0.5; 2700], None).len(),
            64
        );
    }

    #[test]
    fn linear_weights_are_drawn_as_the_input() {
        let weights = [1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 1.0, f32::NAN];
        let filters = first_layer_filters(&[4, 2], &weights, Some((1, 2, 2)));
        assert_eq!(filters.len(), 2);
        let greys: Vec<u8> = pixels(&filters[0]).pixels().map(|p| p.0[0]).collect();
        assert_eq!(greys, [255, 128, 128, 255]);
        assert_eq!(first_layer_filters(&[4, 2], &weights, None), []);
        assert_eq!(first_layer_filters(&[4, 2], &weights, Some((1, 3, 2))), []);
        assert_eq!(first_layer_filters(&[4, 3], &weights, Some((1, 2, 2))), []);
        assert_eq!(first_layer_filters(&[2, 2, 1, 2], &weights, None), []);
        assert_eq!(first_layer_filters(&[0, 0], &[], Some((1, 0, 2))), []);
        assert_eq!(first_layer_filters(&[0, 1, 5, 5], &[], None), []);
    }
}
