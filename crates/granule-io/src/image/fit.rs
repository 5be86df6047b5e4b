//! From an image to the pixels that a data set or a model holds.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Pixel, Rgb};

use super::{Background, Channels, ImageError, MAX_DECODED, Picture, Resize};
use crate::budget;

/// What images are brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Grey or colour.
    pub channels: Channels,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// What to do with an image of another size; without, it is refused.
    pub resize: Option<Resize>,
    /// What lies beside an image that is padded.
    pub background: Background,
}

impl Picture {
    /// The pixels, channel first, `[channels, height, width]`.
    ///
    /// # Errors
    /// [`ImageError::Size`] for another size where resizing was not asked for, [`ImageError::TooLarge`] where it would
    /// take too much memory.
    pub fn fit(self, fit: &Fit) -> Result<Vec<u8>, ImageError> {
        let found = self.size();
        let expected = (fit.width, fit.height);
        let resize = match fit.resize {
            _ if found == expected => None,
            None => return Err(ImageError::Size { found, expected }),
            Some(resize) => Some(resize),
        };
        if resize.is_some() {
            self.check_resizing(fit)?;
        }
        let size = (side(fit.width), side(fit.height));
        let Background([red, green, blue]) = fit.background;
        let image = self.into_image()?;
        Ok(match fit.channels {
            Channels::Grey => {
                let ground = Luma([fit.background.luminance()]);
                resized(image.into_luma8(), size, resize, ground).into_raw()
            }
            Channels::Colour => {
                let ground = Rgb([red, green, blue]);
                let pixels = resized(image.into_rgb8(), size, resize, ground).into_raw();
                let plane = |channel| pixels.iter().skip(channel).step_by(3).copied();
                (0..3).flat_map(plane).collect()
            }
        })
    }

    /// Resizing holds an image of the old width and the new height in floating point.
    fn check_resizing(&self, fit: &Fit) -> Result<(), ImageError> {
        let (width, height) = self.size();
        let needed = (width as u64)
            .saturating_mul(fit.height as u64)
            .saturating_mul(16);
        if needed > MAX_DECODED {
            Err(ImageError::TooLarge {
                width,
                height,
                needed,
                limit: MAX_DECODED,
            })
        } else {
            Ok(budget::ask("resizing it", needed)?)
        }
    }
}

fn side(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

fn resized<P: Pixel<Subpixel = u8> + 'static>(
    image: ImageBuffer<P, Vec<u8>>,
    (width, height): (u32, u32),
    resize: Option<Resize>,
    ground: P,
) -> ImageBuffer<P, Vec<u8>> {
    let scaled = |image: &ImageBuffer<P, Vec<u8>>, width, height| {
        imageops::resize(image, width, height, FilterType::Triangle)
    };
    let found = image.dimensions();
    match resize {
        None => image,
        Some(Resize::Stretch) => scaled(&image, width, height),
        Some(Resize::Crop) => {
            let part = largest(found, (width, height));
            let (left, top) = ((found.0 - part.0) / 2, (found.1 - part.1) / 2);
            let part = imageops::crop_imm(&image, left, top, part.0, part.1).to_image();
            scaled(&part, width, height)
        }
        Some(Resize::Pad) => {
            let part = largest((width, height), found);
            let (left, top) = ((width - part.0) / 2, (height - part.1) / 2);
            let mut padded = ImageBuffer::from_pixel(width, height, ground);
            let part = scaled(&image, part.0, part.1);
            imageops::replace(&mut padded, &part, left.into(), top.into());
            padded
        }
    }
}

/// The largest rectangle with the proportions of `form` in one of the size `outer`.
fn largest(outer: (u32, u32), form: (u32, u32)) -> (u32, u32) {
    let share = |of: u32, by: u32, per: u32| {
        let rounded = (u64::from(of) * u64::from(by) + u64::from(per) / 2) / u64::from(per.max(1));
        u32::try_from(rounded).unwrap_or(of).max(1)
    };
    if u64::from(outer.0) * u64::from(form.1) > u64::from(outer.1) * u64::from(form.0) {
        (share(outer.1, form.0, form.1).min(outer.0), outer.1)
    } else {
        (outer.0, share(outer.0, form.1, form.0).min(outer.1))
    }
}
