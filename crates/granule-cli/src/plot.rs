//! Figures as files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use granule::chart::{Figure, MOST_PIXELS, fine};

use crate::args::{Drawing, FigureSize, PIXELS};
use crate::failure::Usage;
use crate::written::OutFile;

/// What a file's name ends in, in small letters.
pub fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}

/// The error of a file whose name ends otherwise.
pub fn unknown(path: &Path, flag: &str, known: &str) -> Usage {
    Usage::new(format!(
        "{flag} {}: the name does not end in {known}",
        path.display()
    ))
}

/// Where the figure goes, and how large it is.
pub struct Plot {
    file: OutFile,
    png: bool,
    size: FigureSize,
    dpi: f64,
}

impl Plot {
    /// That of the flags, if there is one.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn of(drawing: &Drawing) -> Result<Option<Self>, Usage> {
        let plot = drawing.plot.as_deref();
        let plot = plot.map(|path| Self::new(path, drawing.size.unwrap_or_default(), drawing.dpi));
        plot.transpose()
    }

    pub fn new(path: &Path, size: FigureSize, dpi: Option<f64>) -> Result<Self, Usage> {
        let png = match extension(path).as_str() {
            "png" => true,
            "svg" => false,
            _ => return Err(unknown(path, "--plot", ".svg or .png")),
        };
        if !png && dpi.is_some() {
            return Err(Usage::new(
                "--dpi: an .svg file has no pixels; --size says how large it is",
            ));
        }
        let dpi = dpi.unwrap_or(PIXELS);
        let [wide, high] = [size.width, size.height].map(|length| fine(length, dpi / PIXELS));
        if png && u64::from(wide) * u64::from(high) > MOST_PIXELS {
            return Err(Usage::new(format!(
                "--plot {}: {wide} × {high} pixels are too many; take a lower --dpi or a smaller --size",
                path.display()
            )));
        }
        Ok(Self {
            file: OutFile::new(path, "--plot")?,
            png,
            size,
            dpi,
        })
    }

    /// Refuses a file that the run is made from.
    pub fn check_unread(&self) -> Result<(), Usage> {
        self.file.check_unread()
    }

    pub fn write(&self, figure: &Figure) -> anyhow::Result<Vec<PathBuf>> {
        let FigureSize { width, height } = self.size;
        let bytes = if self.png {
            let scale = self.dpi / PIXELS;
            let pixels = figure.to_rgb_fine(width, height, scale)?;
            let mut bytes = io::Cursor::new(Vec::new());
            let [width, height] = [width, height].map(|length| fine(length, scale));
            let image = image::RgbImage::from_raw(width, height, pixels)
                .context("the figure has another size than its pixels")?;
            image.write_to(&mut bytes, image::ImageFormat::Png)?;
            with_resolution(bytes.into_inner(), self.dpi)
        } else {
            figure.to_svg(width, height)?.into_bytes()
        };
        self.file.write(|file| file.write_all(&bytes))?;
        Ok(vec![self.file.path().to_path_buf()])
    }
}

/// A PNG file that says how many of its pixels make an inch, so that it is printed as large as it was asked for: the chunk
/// `pHYs` after the first one, which is of a fixed length.
fn with_resolution(png: Vec<u8>, dpi: f64) -> Vec<u8> {
    /// Signature, and the chunk IHDR: length, name, 13 bytes and checksum.
    const HEADER: usize = 8 + 4 + 4 + 13 + 4;
    let a_metre = (dpi / 0.0254).round() as u32;
    let mut chunk = b"pHYs".to_vec();
    chunk.extend(a_metre.to_be_bytes());
    chunk.extend(a_metre.to_be_bytes());
    chunk.push(1);
    let checksum = crc32fast::hash(&chunk);
    let (header, rest) = png.split_at(HEADER.min(png.len()));
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    [header, &length, &chunk, &checksum.to_be_bytes(), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_lengths() {
        let pixels = |text: &str| {
            let size: FigureSize = text.parse().unwrap();
            (size.width, size.height)
        };
        assert_eq!(pixels("960x640"), (960, 640));
        assert_eq!(pixels("7x5in"), (672, 480));
        assert_eq!(pixels("180x120mm"), (680, 454));
        assert_eq!(pixels("18×12cm"), (680, 454));
        for wrong in ["180", "axb", "0x10", "1e9x1mm", "180x120km"] {
            assert!(wrong.parse::<FigureSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_png_says_its_resolution() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let image = image::RgbImage::new(3, 2);
        let mut bytes = io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let png = with_resolution(bytes.into_inner(), 300.0);
        assert_eq!(&png[33..41], b"\0\0\0\x09pHYs");
        assert_eq!(png[41..45], 11811_u32.to_be_bytes());
        let again = image::load_from_memory(&png).unwrap();
        assert_eq!((again.width(), again.height()), (3, 2));
    }
}
