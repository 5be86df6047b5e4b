//! Whether a file goes on to its end. Decoders are lenient: they fill up with grey what a cut file lacks.

use std::borrow::Cow;
use std::ops::Range;

use image::ImageFormat;

use crate::{MemoryError, budget};

/// What a walk over the parts of a file found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Structure<'a> {
    /// What is missing at the end, in words.
    pub missing: Option<&'static str>,
    /// An EXIF block that stands where decoders do not look for it.
    pub exif: Option<&'a [u8]>,
    /// Parts that say nothing of the pixels, and may be packed a thousandfold: texts, a colour profile.
    pub idle: Vec<Range<usize>>,
    /// Whether the pixels come in more than one pass, so that all of them are held until the last one.
    pub passes: bool,
}

pub(super) fn walk(format: ImageFormat, bytes: &[u8]) -> Structure<'_> {
    let end = |whole: Option<()>, missing| Structure {
        missing: whole.is_none().then_some(missing),
        ..Structure::default()
    };
    match format {
        ImageFormat::Png => {
            let mut found = Structure::default();
            let whole = png(bytes, &mut found.exif, &mut found.idle);
            found.missing = whole
                .is_none()
                .then_some("the chunk IEND that ends a PNG is missing");
            found
        }
        ImageFormat::Jpeg => {
            let mut scans = 0;
            let mut found = end(
                jpeg(bytes, &mut scans),
                "the end-of-image marker of a JPEG is missing",
            );
            found.passes = scans > 1;
            found
        }
        ImageFormat::Gif => end(gif(bytes), "the trailer that ends a GIF is missing"),
        ImageFormat::Bmp => end(bmp(bytes), "rows of pixels are missing"),
        ImageFormat::WebP => end(webp(bytes), "it is shorter than its header says"),
        _ => Structure::default(),
    }
}

/// Whether there are fewer bytes than tell one kind from another, and they fit one.
pub(super) fn is_beginning(bytes: &[u8]) -> bool {
    let riff = bytes.len() < 12 && bytes.starts_with(b"RIFF");
    let marks: [&[u8]; 5] = [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"BM",
        b"RIFF",
    ];
    riff || marks.iter().any(|mark| mark.starts_with(bytes))
}

/// The bytes of a file without its idle parts, which no decoder then unpacks.
pub(super) fn without<'a>(
    bytes: &'a [u8],
    idle: &[Range<usize>],
) -> Result<Cow<'a, [u8]>, MemoryError> {
    if idle.is_empty() {
        return Ok(Cow::Borrowed(bytes));
    }
    let left = bytes.len() - idle.iter().map(Range::len).sum::<usize>();
    let mut kept = budget::with_capacity(left, "decoding it")?;
    let mut at = 0;
    for part in idle {
        kept.extend_from_slice(bytes.get(at..part.start).unwrap_or_default());
        at = part.end;
    }
    kept.extend_from_slice(bytes.get(at..).unwrap_or_default());
    Ok(Cow::Owned(kept))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_le(bytes: &[u8], at: usize) -> Option<usize> {
    array(bytes, at).map(|bytes| usize::from(u16::from_le_bytes(bytes)))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<usize> {
    array(bytes, at).and_then(|bytes| usize::try_from(u32::from_le_bytes(bytes)).ok())
}

/// Some up to and with the chunk IEND.
fn png<'a>(
    bytes: &'a [u8],
    exif: &mut Option<&'a [u8]>,
    idle: &mut Vec<Range<usize>>,
) -> Option<()> {
    let mut at = 8;
    loop {
        let len = usize::try_from(u32::from_be_bytes(array(bytes, at)?)).ok()?;
        let kind: [u8; 4] = array(bytes, at + 4)?;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let end = at.checked_add(8)?.checked_add(len)?;
        let data = bytes.get(at + 8..end)?;
        bytes.get(end..end.checked_add(4)?)?;
        match &kind {
            b"IEND" => return Some(()),
            b"eXIf" => *exif = Some(data),
            _ => {}
        }
        if [b"eXIf", b"iCCP", b"iTXt", b"tEXt", b"zTXt"].contains(&&kind) {
            idle.push(at..end + 4);
        }
        at = end + 4;
    }
}

/// Some up to the marker EOI, which occurs nowhere in the coded data: a 0xff there is followed by 0 or a restart.
fn jpeg(bytes: &[u8], scans: &mut usize) -> Option<()> {
    let mut at = 2;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)? + 1;
        match bytes.get(at)? {
            // The second of two may begin a marker.
            0xff => {}
            0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
            0xd9 => return Some(()),
            marker => {
                *scans += usize::from(*marker == 0xda);
                let len = usize::from(u16::from_be_bytes(array(bytes, at + 1)?));
                at += 1 + len.max(2);
            }
        }
    }
}

/// Some up to the trailer.
fn gif(bytes: &[u8]) -> Option<()> {
    let table = |flags: u8| match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    };
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        at = match bytes.get(at)? {
            0x3b => return Some(()),
            0x21 => blocks(bytes, at + 2)?,
            0x2c => blocks(bytes, at + 11 + table(*bytes.get(at + 9)?))?,
            _ => return None,
        };
    }
}

/// The place after a run of blocks of a GIF, which an empty one ends.
fn blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1 + len;
        if len == 0 {
            return Some(at);
        }
    }
}

/// Some with all rows; for run lengths with as many bytes as the header says, if it does.
fn bmp(bytes: &[u8]) -> Option<()> {
    let offset = u32_le(bytes, 10)?;
    let (width, height, bits, compression) = match u32_le(bytes, 14)? {
        12 => (
            u16_le(bytes, 18)?,
            u16_le(bytes, 20)?,
            u16_le(bytes, 24)?,
            0,
        ),
        _ => {
            let side = |at| {
                let side = i32::from_le_bytes(array(bytes, at)?).unsigned_abs();
                usize::try_from(side).ok()
            };
            (side(18)?, side(22)?, u16_le(bytes, 28)?, u32_le(bytes, 30)?)
        }
    };
    let len = match compression {
        1 | 2 => u32_le(bytes, 34)?,
        _ => width
            .checked_mul(bits)?
            .div_ceil(32)
            .checked_mul(4)?
            .checked_mul(height)?,
    };
    (offset.checked_add(len)? <= bytes.len()).then_some(())
}

fn webp(bytes: &[u8]) -> Option<()> {
    (u32_le(bytes, 4)?.checked_add(8)? <= bytes.len()).then_some(())
}
