//! Builders of files.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use granule_data::{DataError, Dataset, DatasetSpec, LoadOptions, load};
use proptest::prelude::*;

/// Where the real data of a set is, or `None` with a line that says so.
pub fn real_data(set: &str) -> Option<PathBuf> {
    let variable = std::env::var_os("GRANULE_DATA_DIR").filter(|dir| !dir.is_empty());
    let root = variable.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if root.join(set).is_dir() {
        return Some(root);
    }
    eprintln!(
        "skipped: {} is absent; set GRANULE_DATA_DIR",
        root.join(set).display()
    );
    None
}

pub fn load_from(spec: &DatasetSpec, dir: &Path) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        data_dir: Some(dir.to_path_buf()),
        offline: true,
        seed: 1,
        ..LoadOptions::default()
    };
    load(spec, &options)
}

/// Warnings about files, not about classes without samples, of which small sets have many, nor about tiny images.
pub fn about_files(set: &Dataset) -> Vec<String> {
    let warnings = set
        .warnings
        .iter()
        .filter(|text| !text.contains(" sample, ") && !text.contains("hardly anything shows"));
    warnings.cloned().collect()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    gz_at(Compression::fast(), bytes)
}

/// Zeros become about a thousandth.
pub fn gz_best(bytes: &[u8]) -> Vec<u8> {
    gz_at(Compression::best(), bytes)
}

fn gz_at(level: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn idx_images(count: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = 0x803u32.to_be_bytes().to_vec();
    for extent in [count, rows, columns] {
        bytes.extend(extent.to_be_bytes());
    }
    bytes.extend(pixels);
    bytes
}

pub fn idx_labels(count: u32, labels: &[u8]) -> Vec<u8> {
    let mut bytes = 0x801u32.to_be_bytes().to_vec();
    bytes.extend(count.to_be_bytes());
    bytes.extend(labels);
    bytes
}

pub fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// One tar member with any name and kind, valid or not.
pub fn tar_member(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar_header(name, kind, bytes.len() as u64);
    header.extend(bytes);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

pub fn tar_header(name: &str, kind: u8, size: u64) -> Vec<u8> {
    let mut header = vec![0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].fill(b' ');
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes: Vec<u8> = members
        .iter()
        .flat_map(|(name, bytes)| tar_member(name, b'0', bytes))
        .collect();
    bytes.extend([0; 1024]);
    bytes
}

pub fn npy(descr: &str, column_major: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let order = if column_major { "True" } else { "False" };
    let mut text =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({extents}), }}");
    text.push_str(&" ".repeat(63 - (10 + text.len()) % 64));
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

pub fn npy_f32(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    npy("<f4", false, shape, &data)
}

pub fn npy_i64(shape: &[usize], values: &[i64]) -> Vec<u8> {
    let data: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    npy("<i8", false, shape, &data)
}

/// A zip archive as NumPy writes it.
pub fn zip(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let stored = if deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0]);
        common.extend(crc.sum().to_le_bytes());
        common.extend((stored.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((bytes.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(stored);
    }
    let count = (members.len() as u16).to_le_bytes();
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend(count);
    bytes.extend(count);
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// Damage done to valid bytes: some overwritten, the end cut off or extended.
#[derive(Debug, Clone)]
pub struct Damage {
    overwrites: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
    tail: Vec<u8>,
}

impl Damage {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        for (index, value) in &self.overwrites {
            let at = index.index(bytes.len());
            bytes[at] = *value;
        }
        if let Some(cut) = &self.cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(&self.tail);
    }
}

pub fn damage() -> impl Strategy<Value = Damage> {
    (
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        prop::option::weighted(0.3, any::<prop::sample::Index>()),
        prop::collection::vec(any::<u8>(), 0..4),
    )
        .prop_map(|(overwrites, cut, tail)| Damage {
            overwrites,
            cut,
            tail,
        })
}
