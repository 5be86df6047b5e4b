//! The one reader of image files: training, evaluation, prediction, previews and programs all see the same pixels.
//!
//! A file is read strictly: one that stops before its end is [`ImageError::Truncated`]. A JPEG whose end mark was set again
//! after a cut, as repair tools do, cannot be told from a whole one; its lower part is grey. The orientation that a camera
//! noted is applied, transparent pixels are laid over a [`Background`], 16 bits become 8, and [`Picture::fit`] brings
//! what is left to the channels and the size that are wanted.

mod decode;
mod error;
mod fit;
mod setting;
mod structure;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use decode::{Header, Picture, header, read, read_from};
pub use error::ImageError;
pub use fit::Fit;
pub use setting::{Background, Channels, Resize, Size};

/// The longest side of an image.
pub const MAX_SIDE: usize = 1 << 15;
/// Bytes that decoding one image may take.
pub const MAX_DECODED: u64 = 1 << 28;
/// Bytes of one image file.
pub const MAX_FILE: u64 = 1 << 28;

/// The kinds of files that are read, in words.
pub const KINDS: &str = "PNG, JPEG, WebP, BMP and GIF";

const EXTENSIONS: [&str; 8] = ["png", "apng", "jpg", "jpeg", "jfif", "webp", "bmp", "gif"];

/// Whether a file is named as an image that is read.
pub fn is_named_as_image(path: &Path) -> bool {
    ends_in(path, &EXTENSIONS)
}

/// Whether a file is named as an image of a kind that is not read.
pub fn is_named_as_other_image(path: &Path) -> bool {
    const OTHERS: [&str; 9] = [
        "tif", "tiff", "heic", "heif", "avif", "jp2", "jxl", "svg", "psd",
    ];
    ends_in(path, &OTHERS)
}

fn ends_in(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    extensions.contains(&extension.to_ascii_lowercase().as_str())
}

/// What computers and programs leave in folders and nobody put there: `Thumbs.db`, `__MACOSX`, `.ipynb_checkpoints` and
/// whatever else is hidden.
pub fn is_left_behind(path: &Path) -> bool {
    const NAMES: [&str; 10] = [
        "__macosx",
        "__pycache__",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
    ];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || NAMES.contains(&name.to_ascii_lowercase().as_str())
}
