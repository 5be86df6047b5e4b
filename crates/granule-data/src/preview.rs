//! A picture of a few samples of each class.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use crate::{DataError, Shape, Split};

mod letters;

/// Longest side of a magnified sample, in pixels.
const CELL: usize = 84;
/// Samples in one picture at most.
const MOST: usize = 4000;
/// Pixels of one picture at most: 120 MB of them.
const MOST_PIXELS: usize = 40_000_000;
const GAP: usize = 2;
const PAPER: Rgb<u8> = Rgb([36, 40, 48]);
const INK: Rgb<u8> = Rgb([214, 218, 226]);

/// Draws `rows × columns` images of a split as one PNG and returns its bytes. Row `r` holds samples of class
/// `r mod classes.len()` in the order of the split and begins with the name of the class; a split without classes is
/// drawn in its own order. Small images are magnified, large ones thinned out.
///
/// # Errors
/// [`DataError::Config`] when the samples are not grey or RGB images, or `rows × columns` is 0 or beyond 4000, or the
/// picture would exceed 40 million pixels.
pub fn grid(
    split: &Split,
    classes: &[String],
    columns: usize,
    rows: usize,
) -> Result<Vec<u8>, DataError> {
    let tile = Tile::of(split.shape())?;
    if !(1..=MOST).contains(&columns.saturating_mul(rows)) {
        return Err(DataError::invalid(
            "rows and columns",
            format!("{rows} × {columns}"),
            format!("1 to {MOST} samples in one picture"),
        ));
    }
    let samples = arrange(split, classes.len(), columns, rows);
    let labels = if split.class(0).is_some() {
        classes
    } else {
        &[]
    };
    let longest = labels.iter().map(|name| letters::width(name)).max();
    let left = longest.map_or(GAP, |width| width + 4 * GAP);
    let (width, height) = (
        left + columns * (tile.width + GAP),
        GAP + rows * (tile.height + GAP),
    );
    if width.saturating_mul(height) > MOST_PIXELS {
        return Err(DataError::invalid(
            "rows and columns",
            format!("{rows} × {columns}"),
            format!(
                "fewer samples: the picture would have {width} × {height} pixels, at most {MOST_PIXELS} are drawn"
            ),
        ));
    }
    let mut picture = RgbImage::from_pixel(width as u32, height as u32, PAPER);
    for (row, samples) in samples.iter().enumerate() {
        let top = GAP + row * (tile.height + GAP);
        if let Some(name) = labels.get(row % labels.len().max(1)) {
            let middle = top + tile.height.saturating_sub(letters::HEIGHT) / 2;
            letters::write(name, |x, y| {
                put(&mut picture, 2 * GAP + x, middle + y, INK);
            });
        }
        for (column, &sample) in samples.iter().enumerate() {
            let at = (left + column * (tile.width + GAP), top);
            tile.draw(&split.picture(sample).unwrap_or_default(), at, &mut picture);
        }
    }
    let mut png = Cursor::new(Vec::new());
    picture
        .write_to(&mut png, ImageFormat::Png)
        .map_err(|error| DataError::invalid("preview", error, "a picture that can be encoded"))?;
    Ok(png.into_inner())
}

/// The samples of each row.
fn arrange(split: &Split, classes: usize, columns: usize, rows: usize) -> Vec<Vec<usize>> {
    let mut arranged = vec![Vec::new(); rows];
    if split.class(0).is_none() {
        for index in 0..split.len().min(rows * columns) {
            if let Some(row) = arranged.get_mut(index / columns) {
                row.push(index);
            }
        }
        return arranged;
    }
    for index in 0..split.len() {
        let Some(class) = split.class(index).map(usize::from) else {
            break;
        };
        let mut of_class = arranged.iter_mut().skip(class).step_by(classes.max(1));
        if let Some(row) = of_class.find(|row| row.len() < columns) {
            row.push(index);
        }
    }
    arranged
}

/// How one sample is drawn.
struct Tile {
    shape: [usize; 3],
    zoom: usize,
    /// Every how many pixels one is drawn.
    step: usize,
    width: usize,
    height: usize,
}

impl Tile {
    fn of(shape: Shape) -> Result<Self, DataError> {
        let Shape::Image {
            channels: channels @ (1 | 3),
            height,
            width,
        } = shape
        else {
            return Err(DataError::invalid(
                "the samples of a preview",
                shape,
                "images, grey or RGB, for only those can be drawn",
            ));
        };
        let longest = height.max(width).max(1);
        let zoom = (CELL / longest).max(1);
        let step = longest.div_ceil(CELL);
        Ok(Self {
            shape: [channels, height, width],
            zoom,
            step,
            width: width.div_ceil(step) * zoom,
            height: height.div_ceil(step) * zoom,
        })
    }

    fn draw(&self, pixels: &[u8], (left, top): (usize, usize), picture: &mut RgbImage) {
        let [channels, height, width] = self.shape;
        let value = |channel: usize, y: usize, x: usize| {
            let channel = channel.min(channels - 1);
            let index = (channel * height + y) * width + x;
            pixels.get(index).copied().unwrap_or(0)
        };
        for y in 0..self.height {
            for x in 0..self.width {
                let (from_y, from_x) = (y / self.zoom * self.step, x / self.zoom * self.step);
                let color = Rgb([0, 1, 2].map(|channel| value(channel, from_y, from_x)));
                put(picture, left + x, top + y, color);
            }
        }
    }
}

fn put(picture: &mut RgbImage, x: usize, y: usize, color: Rgb<u8>) {
    if let Some(pixel) = picture.get_pixel_mut_checked(x as u32, y as u32) {
        *pixel = color;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Features, Targets};

    fn split(shape: Shape, pixels: Vec<u8>, classes: Vec<u16>) -> Split {
        Split::new(shape, Features::Bytes(pixels), Targets::Classes(classes)).unwrap()
    }

    fn decode(png: &[u8]) -> RgbImage {
        image::load_from_memory_with_format(png, ImageFormat::Png)
            .unwrap()
            .to_rgb8()
    }

    #[test]
    fn rows_are_classes() {
        let shape = Shape::Image {
            channels: 3,
            height: 1,
            width: 1,
        };
        let pixels = (1..=5u8).flat_map(|i| [i, 10 * i, 50 * i]).collect();
        let split = split(shape, pixels, vec![1, 0, 1, 0, 1]);
        let names = ["a".to_string(), "b".to_string()];
        let picture = decode(&grid(&split, &names, 2, 3).unwrap());
        let left = letters::width("a") + 4 * GAP;
        assert_eq!(
            picture.dimensions(),
            ((left + 2 * 86) as u32, (2 + 3 * 86) as u32)
        );
        let sample = |row: u32, column: u32| {
            let [red, ..] = picture
                .get_pixel(left as u32 + 86 * column + 40, 2 + 86 * row + 40)
                .0;
            red
        };
        assert_eq!([sample(0, 0), sample(0, 1)], [2, 4]);
        assert_eq!([sample(1, 0), sample(1, 1)], [1, 3]);
        assert_eq!([sample(2, 0), sample(2, 1)], [PAPER.0[0]; 2]);
        assert_eq!(picture.get_pixel(left as u32 + 40, 42).0, [2, 20, 100]);
        assert!(
            picture
                .enumerate_pixels()
                .any(|(x, _, p)| x < left as u32 && *p == INK)
        );
    }

    #[test]
    fn large_images_are_thinned_out() {
        let shape = Shape::Image {
            channels: 1,
            height: 100,
            width: 400,
        };
        let split = split(shape, vec![9; 40_000], vec![0]);
        let picture = decode(&grid(&split, &["x".into()], 1, 1).unwrap());
        assert!(picture.width() < 120 && picture.height() < 40);
    }

    #[test]
    fn names_and_pictures_stay_small() {
        let shape = Shape::Image {
            channels: 1,
            height: 1,
            width: 1,
        };
        let split = split(shape, vec![1; 4000], vec![0; 4000]);
        let width = |name: &str| {
            let png = grid(&split, &[name.to_string()], 1, 1).unwrap();
            decode(&png).width()
        };
        assert!(width("cat") < width("catfish"));
        assert_eq!(width(&"x".repeat(20)), width(&"x".repeat(20_000)));
        assert!(width(&"x".repeat(20_000)) < 300);
        let error = grid(&split, &["x".repeat(99)], 1, 4000).unwrap_err();
        assert!(error.to_string().contains("fewer samples"), "{error}");
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let vectors = Split::new(
            Shape::Vector { len: 1 },
            Features::Floats(vec![0.5]),
            Targets::Classes(vec![0]),
        )
        .unwrap();
        assert!(grid(&vectors, &[], 1, 1).is_err());
        let shape = Shape::Image {
            channels: 1,
            height: 1,
            width: 1,
        };
        let images = split(shape, vec![1], vec![0]);
        for (columns, rows) in [(0, 1), (1, 0), (usize::MAX, 2), (4001, 1)] {
            assert!(grid(&images, &["a".into()], columns, rows).is_err());
        }
        assert!(grid(&images, &[], 1, 1).is_ok());
    }
}
