//! Identifies the content of a data set.

use flate2::Crc;
use sha2::{Digest, Sha256};

use crate::{Features, Split, Targets};

const CRC_BLOCK: usize = 1 << 16;

/// SHA-256 over the shapes, class names, targets and a CRC-32 of every block of the inputs: hashing all pixels
/// would take as long as loading them.
pub(crate) fn of_samples<'a>(classes: &[String], parts: impl Iterator<Item = &'a Split>) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{classes:?}"));
    parts.for_each(|split| add_split(&mut hash, split));
    short(hash)
}

/// The same over the instants and the named arrays of a recording.
pub(crate) fn of_recording<'a>(
    time: &[f64],
    arrays: impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])>,
) -> String {
    let mut hash = Sha256::new();
    time.iter().for_each(|t| hash.update(t.to_le_bytes()));
    for (name, shape, values) in arrays {
        hash.update(format!("{name:?} {shape:?}"));
        add_floats(&mut hash, values);
    }
    short(hash)
}

fn short(hash: Sha256) -> String {
    let digest = hash.finalize();
    crate::text::hexadecimal(digest.get(..16).unwrap_or_default())
}

fn add_split(hash: &mut Sha256, split: &Split) {
    hash.update(format!("{:?} {}", split.shape(), split.len()));
    for offset in [split.offset(), split.target_offset()] {
        offset.iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    for start in split.starts().unwrap_or_default() {
        hash.update((*start as u64).to_le_bytes());
    }
    match split.features() {
        Features::Bytes(data) => data.chunks(CRC_BLOCK).for_each(|block| {
            let mut crc = Crc::new();
            crc.update(block);
            hash.update(crc.sum().to_le_bytes());
        }),
        Features::Floats(data) => add_floats(hash, data),
    }
    match split.targets() {
        Targets::Classes(labels) => labels
            .iter()
            .for_each(|label| hash.update(label.to_le_bytes())),
        Targets::Values { data, width } => {
            hash.update(width.to_le_bytes());
            add_floats(hash, data);
        }
    }
}

fn add_floats(hash: &mut Sha256, data: &[f32]) {
    for block in data.chunks(CRC_BLOCK) {
        let mut crc = Crc::new();
        block
            .iter()
            .for_each(|value| crc.update(&value.to_le_bytes()));
        hash.update(crc.sum().to_le_bytes());
    }
}
