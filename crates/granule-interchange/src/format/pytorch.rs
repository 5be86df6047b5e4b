//! Files of `torch.save`, as they are since PyTorch 1.6: a zip archive of a pickle and of the elements of tensors.

use std::path::{Path, PathBuf};

use granule_data::arrays::ZipArchive;
use granule_io::{budget, content};

use super::Format;
use super::pickle::{self, Tensor};
use crate::InterchangeError;
use crate::weights::{Entry, Weights, elements, start};

pub(super) static FORMAT: Format = Format {
    name: "pytorch",
    extensions: &["pt", "pth"],
    summary: "PyTorch state dict",
    open,
    write: None,
};

/// The beginning of a file of `torch.save` before PyTorch 1.6.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

struct Saved {
    path: PathBuf,
    archive: ZipArchive,
    /// The folder in the archive.
    folder: String,
    big_endian: bool,
    entries: Vec<Entry>,
    tensors: Vec<Tensor>,
    /// The member that was read last: several tensors may lie in one.
    last: Option<(String, Vec<u8>)>,
}

fn open(path: &Path) -> Result<Box<dyn Weights>, InterchangeError> {
    check_start(path)?;
    let mut archive = ZipArchive::open(path)?;
    let pickled = |name: &str| name.strip_suffix("data.pkl").map(str::to_owned);
    let folder = archive.members().find_map(|(name, _)| pickled(name));
    let no_pickle = || {
        let reason = "it is a zip archive without data.pkl; write one by torch.save(model.state_dict(), FILE)";
        InterchangeError::format(path, reason)
    };
    let folder = folder.ok_or_else(no_pickle)?;
    let bytes = archive.read(&format!("{folder}data.pkl"), pickle::MOST_BYTES)?;
    let bytes = bytes.ok_or_else(no_pickle)?;
    let order = archive.read(&format!("{folder}byteorder"), 16)?;
    let tensors = pickle::unpickle(&bytes, path)?.tensors(path)?;
    let entries = tensors.iter().map(|(name, tensor)| Entry {
        name: name.clone(),
        shape: tensor.shape.clone(),
        element: tensor.storage.element.clone(),
    });
    Ok(Box::new(Saved {
        path: path.to_owned(),
        big_endian: order.as_deref() == Some(b"big"),
        folder,
        entries: entries.collect(),
        tensors: tensors.into_iter().map(|(_, tensor)| tensor).collect(),
        archive,
        last: None,
    }))
}

/// Says what a file is that is no zip archive.
fn check_start(path: &Path) -> Result<(), InterchangeError> {
    let start = start(path, "weights")?;
    let reason = if start.starts_with(b"PK") {
        return Ok(());
    } else if start.starts_with(LEGACY) {
        "it is of a PyTorch before 1.6; load it and save it again by torch.save(torch.load(FILE), FILE)".to_owned()
    } else {
        match content::recognise(&start) {
            Some(what) => format!("it is no file of torch.save: it is {what}"),
            None => "it is no file of torch.save, or damaged; take another copy".to_owned(),
        }
    };
    Err(InterchangeError::format(path, reason))
}

impl Weights for Saved {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&mut self, index: usize) -> Result<Vec<f32>, InterchangeError> {
        let cut = |what: &str| {
            let reason = format!("the elements of {what:?} are cut off; take another copy");
            InterchangeError::format(&self.path, reason)
        };
        let (Some(entry), Some(tensor)) = (self.entries.get(index), self.tensors.get(index)) else {
            return Err(cut("a tensor"));
        };
        let (name, storage) = (entry.name.as_str(), &tensor.storage);
        let Some(size) = storage.element.size() else {
            return Ok(Vec::new());
        };
        let member = format!("{}data/{}", self.folder, storage.key);
        let bytes = match &self.last {
            Some((last, bytes)) if *last == member => bytes,
            _ => {
                let most = storage.count.checked_mul(size).ok_or_else(|| cut(name))?;
                let bytes = self.archive.read(&member, most as u64)?;
                let bytes = bytes.ok_or_else(|| {
                    let reason =
                        format!("it has no elements of {name:?} ({member}); take another copy");
                    InterchangeError::format(&self.path, reason)
                })?;
                &self.last.insert((member, bytes)).1
            }
        };
        let count = elements(&tensor.shape).ok_or_else(|| cut(name))?;
        let mut chosen = Vec::new();
        let part = if tensor.is_contiguous() {
            let (begin, length) = (tensor.offset * size, count * size);
            bytes.get(begin..).and_then(|rest| rest.get(..length))
        } else {
            chosen = gathered(tensor, bytes, size, count, &self.path)?;
            (chosen.len() == count * size).then_some(&*chosen)
        };
        let part = part.ok_or_else(|| cut(name))?;
        if self.big_endian {
            let mut turned = part.to_vec();
            turned.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            return Ok(storage.element.decode(&turned, self.path.display())?);
        }
        let decoded = storage.element.decode(part, self.path.display())?;
        drop(chosen);
        Ok(decoded)
    }
}

/// The bytes of elements that do not lie one after the other, row-major.
fn gathered(
    tensor: &Tensor,
    bytes: &[u8],
    size: usize,
    count: usize,
    path: &Path,
) -> Result<Vec<u8>, InterchangeError> {
    let mut out = budget::with_capacity(count * size, path.display())?;
    let mut position = vec![0; tensor.shape.len()];
    let mut at = tensor.offset;
    for _ in 0..count {
        let begin = at * size;
        out.extend_from_slice(bytes.get(begin..begin + size).unwrap_or_default());
        let axes = tensor.shape.iter().zip(&tensor.strides).enumerate().rev();
        for (axis, (dim, stride)) in axes {
            let Some(place) = position.get_mut(axis) else {
                break;
            };
            *place += 1;
            at += stride;
            if *place < *dim {
                break;
            }
            at -= stride * dim;
            *place = 0;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Element;

    /// A zip archive of stored members.
    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in members {
            let offset = file.len() as u32;
            let mut head = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
            head.extend(crc32fast::hash(content).to_le_bytes());
            head.extend([(content.len() as u32).to_le_bytes(); 2].concat());
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0; 2]);
            file.extend(b"PK\x03\x04");
            file.extend(&head);
            file.extend(name.as_bytes());
            file.extend(*content);
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&head);
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let begin = file.len() as u32;
        file.extend(&directory);
        file.extend(b"PK\x05\x06\x00\x00\x00\x00");
        file.extend([(members.len() as u16).to_le_bytes(); 2].concat());
        file.extend((directory.len() as u32).to_le_bytes());
        file.extend(begin.to_le_bytes());
        file.extend([0, 0]);
        file
    }

    /// A tensor "w" of 2×3 elements of such a storage, by these strides.
    fn pickle(storage: &str, count: u8, strides: [u8; 2]) -> Vec<u8> {
        let mut bytes =
            b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
        bytes.extend(b"X\x07\x00\x00\x00storage");
        bytes.extend(format!("ctorch\n{storage}\n").as_bytes());
        bytes.extend(b"X\x01\x00\x00\x007X\x03\x00\x00\x00cpu");
        bytes.extend([b'K', count, b't', b'Q', b'K', 0, b'K', 2, b'K', 3, 0x86]);
        bytes.extend([
            b'K', strides[0], b'K', strides[1], 0x86, 0x89, b'N', b't', b'R', b's', b'.',
        ]);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Entry, Vec<f32>), InterchangeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pt");
        std::fs::write(&path, bytes).unwrap();
        let mut weights = open(&path)?;
        let entry = weights.entries()[0].clone();
        Ok((entry, weights.read(0)?))
    }

    fn singles(order: impl Fn(f32) -> [u8; 4]) -> Vec<u8> {
        (1..=6).flat_map(|n| order(n as f32)).collect()
    }

    #[test]
    fn tensors_are_read_in_either_order_and_by_their_strides() {
        let rows = pickle("FloatStorage", 6, [3, 1]);
        let little = singles(f32::to_le_bytes);
        let (entry, found) = read(&zip(&[("a/data.pkl", &rows), ("a/data/7", &little)])).unwrap();
        assert_eq!((entry.name.as_str(), &entry.shape[..]), ("w", &[2, 3][..]));
        assert_eq!(found, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let big = singles(f32::to_be_bytes);
        let members: [(&str, &[u8]); 3] = [
            ("a/data.pkl", &rows),
            ("a/byteorder", b"big"),
            ("a/data/7", &big),
        ];
        assert_eq!(read(&zip(&members)).unwrap().1, found);
        let columns = pickle("FloatStorage", 6, [1, 2]);
        let turned = read(&zip(&[("a/data.pkl", &columns), ("a/data/7", &little)])).unwrap();
        assert_eq!(turned.1, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let doubles: Vec<u8> = (1..=6).flat_map(|n| f64::from(n).to_le_bytes()).collect();
        let of_doubles = pickle("DoubleStorage", 6, [3, 1]);
        let (entry, again) =
            read(&zip(&[("a/data.pkl", &of_doubles), ("a/data/7", &doubles)])).unwrap();
        assert_eq!((entry.element, again), (Element::F64, found));
    }

    #[test]
    fn what_is_not_whole_is_told() {
        let rows = pickle("FloatStorage", 6, [3, 1]);
        let little = singles(f32::to_le_bytes);
        let whole = zip(&[("a/data.pkl", &rows), ("a/data/7", &little)]);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        let said = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let missing = said(&zip(&[("a/data.pkl", &rows)]));
        assert!(missing.contains("no elements of \"w\""), "{missing}");
        let short = said(&zip(&[("a/data.pkl", &rows), ("a/data/7", &little[..20])]));
        assert!(short.contains("cut off"), "{short}");
        // Elements beyond those that the storage has.
        let beyond = said(&zip(&[("a/data.pkl", &pickle("FloatStorage", 5, [3, 1]))]));
        assert!(beyond.contains("makes no sense"), "{beyond}");
        let none = said(&zip(&[("a/other", b"")]));
        assert!(none.contains("without data.pkl"), "{none}");
        assert!(said(LEGACY).contains("before 1.6"));
        assert!(said(b"\x89PNG....").contains("a PNG image"));
        let empty = said(&zip(&[("a/data.pkl", b"\x80\x02}.")]));
        assert!(empty.contains("no state dict"), "{empty}");
    }
}
