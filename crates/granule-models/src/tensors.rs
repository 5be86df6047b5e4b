//! Files of tensors: safetensors, written tensor by tensor, and read only once the header is plausible.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::Path;

use granule_io::{ByteSize, FileError, budget, content};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::{ModelError, TensorValue};

/// The longest header: names, shapes, configuration and classes, not weights. A header becomes twenty times as large once
/// it is parsed.
const MAX_HEADER: u64 = 16 << 20;

/// Elements that are turned into bytes at once.
const BLOCK: usize = 1 << 14;

/// The CRC-32 that a file of tensors carries: of `document`, then of every tensor (name, shape, elements) in the order
/// given, its dimensions as little-endian u64.
pub fn checksum<'a>(
    document: &str,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(document.as_bytes());
    for (name, shape, bytes) in tensors {
        name_and_shape(&mut crc, name, shape);
        crc.update(bytes);
    }
    crc.finalize()
}

/// A tensor on the host, which may be borrowed from where it is at work.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// The dimensions.
    pub shape: &'a [usize],
    /// The elements, row-major.
    pub data: Cow<'a, [f32]>,
}

impl<'a> From<&'a TensorValue> for TensorView<'a> {
    fn from(value: &'a TensorValue) -> Self {
        Self {
            shape: &value.shape,
            data: Cow::Borrowed(&value.data),
        }
    }
}

/// The [`checksum`] of tensors that are not bytes yet.
pub fn checksum_of(document: &str, tensors: &[(impl AsRef<str>, TensorView<'_>)]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(document.as_bytes());
    for (name, value) in tensors {
        name_and_shape(&mut crc, name.as_ref(), value.shape);
        blocks(&value.data, |bytes| crc.update(bytes));
    }
    crc.finalize()
}

fn name_and_shape(crc: &mut crc32fast::Hasher, name: &str, shape: &[usize]) {
    crc.update(name.as_bytes());
    for dim in shape {
        crc.update(&(*dim as u64).to_le_bytes());
    }
}

/// Hands out the little-endian bytes of the elements, a few at a time.
fn blocks(data: &[f32], mut take: impl FnMut(&[u8])) {
    let mut bytes = Vec::with_capacity(4 * BLOCK.min(data.len()));
    for block in data.chunks(BLOCK) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|x| x.to_le_bytes()));
        take(&bytes);
    }
}

/// Writes a safetensors file of these tensors, rising by name, without a second copy of them.
///
/// # Errors
/// Those of `out`; `InvalidData` for a header that [`read_tensors`] would refuse, or elements that do not fill their
/// shape.
pub fn write_tensors(
    out: &mut impl Write,
    metadata: HashMap<String, String>,
    tensors: &[(impl AsRef<str>, TensorView<'_>)],
) -> io::Result<()> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut offset = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for (name, value) in tensors {
        let start = offset;
        offset += 4 * value.data.len();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: value.shape.to_vec(),
            data_offsets: (start, offset),
        };
        infos.push((name.as_ref().to_owned(), info));
    }
    let header = Metadata::new(Some(metadata), infos).map_err(|e| invalid(e.to_string()))?;
    let mut header = serde_json::to_vec(&header)?;
    // The data begin at a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER {
        return Err(invalid(too_long(header.len() as u64)));
    }
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, value) in tensors {
        let mut written = Ok(());
        blocks(&value.data, |bytes| {
            if written.is_ok() {
                written = out.write_all(bytes);
            }
        });
        written?;
    }
    Ok(())
}

fn too_long(header: u64) -> String {
    format!(
        "its header is {} long, at most {} are read",
        ByteSize(header),
        ByteSize(MAX_HEADER)
    )
}

/// The length of the header of a whole file, and what it says of the tensors.
pub(crate) fn header(bytes: &[u8]) -> Result<(usize, Metadata), ModelError> {
    // What safetensors says of it is about its own types.
    SafeTensors::read_metadata(bytes).map_err(|error| match content::recognise(bytes) {
        Some(what) => ModelError::format(format!("it is {what}")),
        None => match error {
            SafeTensorError::InvalidHeaderLength | SafeTensorError::MetadataIncompleteBuffer => {
                cut_off()
            }
            _ => damaged_header(),
        },
    })
}

fn damaged_header() -> ModelError {
    ModelError::format("its header, which describes its tensors, is damaged; take another copy")
}

fn cut_off() -> ModelError {
    ModelError::format("it is cut off, or bytes follow it; take another copy")
}

/// The length of the header, from the first bytes of a file; 512 of them tell what the file is instead.
pub(crate) fn check_header(start: &[u8]) -> Result<u64, ModelError> {
    let length = start
        .first_chunk::<8>()
        .map(|bytes| u64::from_le_bytes(*bytes));
    let reason = match length {
        Some(length @ 2..=MAX_HEADER) => return Ok(length),
        Some(length) => match content::recognise(start) {
            Some(what) => return Err(ModelError::format(format!("it is {what}"))),
            None if (MAX_HEADER..1 << 32).contains(&length) => too_long(length),
            None => "its first bytes are no header".to_owned(),
        },
        None => "it ends before its header".to_owned(),
    };
    Err(ModelError::format(format!(
        "{reason} (is it a safetensors file, as .granule files are, and whole?)"
    )))
}

/// The content of a file of tensors; `what` says what it should hold, as "a model". The file is not read further than its header when that is too long, or when it does
/// not describe a file of this length.
///
/// # Errors
/// [`ModelError::File`] when it cannot be read, [`ModelError::Memory`] when it does not fit into memory,
/// [`ModelError::Format`] when it is none.
pub fn read_tensors(path: &Path, what: &'static str) -> Result<Vec<u8>, ModelError> {
    let (mut file, length) = granule_io::open(path, what)?;
    let io = |source| FileError::Io {
        path: path.to_path_buf(),
        action: "read",
        source,
    };
    let mut bytes = Vec::with_capacity(512);
    (&mut file).take(512).read_to_end(&mut bytes).map_err(io)?;
    let header = check_header(&bytes)?;
    let begin = 8 + header;
    if length < begin {
        return Err(cut_off());
    }
    // Parsed, a header takes many times its length.
    budget::ask(path.display(), header.saturating_mul(20))?;
    let missing = |bytes: &[u8], end: u64| end.saturating_sub(bytes.len() as u64);
    let more = missing(&bytes, begin);
    (&mut file).take(more).read_to_end(&mut bytes).map_err(io)?;
    let text = usize::try_from(begin)
        .ok()
        .and_then(|end| bytes.get(8..end))
        .ok_or_else(cut_off)?;
    let described: Metadata = serde_json::from_slice(text).map_err(|_| damaged_header())?;
    if begin.checked_add(described.data_len() as u64) != Some(length) {
        return Err(cut_off());
    }
    drop(described);
    let more = missing(&bytes, length);
    let rest = usize::try_from(more).map_err(|_| cut_off())?;
    // Beside the bytes stand the tensors that they become.
    budget::ask(path.display(), length.saturating_mul(2))?;
    budget::reserve(&mut bytes, rest.saturating_add(1), path.display())?;
    file.take(more).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(cut_off())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(n: usize) -> TensorValue {
        TensorValue {
            shape: vec![n],
            data: (0..n).map(|i| i as f32 * 0.5 - 3.0).collect(),
        }
    }

    #[test]
    fn what_is_written_is_a_safetensors_file_with_the_same_checksum() {
        let (small, large) = (value(3), value(BLOCK + 5));
        let tensors = [
            ("a", TensorView::from(&small)),
            ("b", TensorView::from(&large)),
        ];
        let mut bytes = Vec::new();
        let metadata = HashMap::from([("key".to_owned(), "value".to_owned())]);
        write_tensors(&mut bytes, metadata, &tensors).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let b = file.tensor("b").unwrap();
        assert_eq!(b.shape(), [BLOCK + 5]);
        let of_bytes = ["a", "b"].map(|name| (name, file.tensor(name).unwrap()));
        let of_bytes = of_bytes
            .iter()
            .map(|(name, t)| (*name, t.shape(), t.data()));
        let streamed = checksum_of("doc", &tensors);
        assert_eq!(checksum("doc", of_bytes), streamed);
    }

    #[test]
    fn a_file_that_cannot_be_one_is_refused_by_its_first_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.granule");
        let refused = |what: &str| {
            let message = read_tensors(&path, "a model").unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        };
        // Three sparse gigabytes of zeros, and a header that would be 85 MB.
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(3 << 30).unwrap();
        refused("its first bytes are no header");
        let mut bytes = 85_000_000_u64.to_le_bytes().to_vec();
        bytes.extend(b"{\"a\":");
        std::fs::write(&path, &bytes).unwrap();
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(90_000_000)
            .unwrap();
        refused("its header is 81.1 MiB long, at most 16 MiB are read");
        let mut whole = Vec::new();
        let three = value(3);
        write_tensors(&mut whole, HashMap::new(), &[("a", (&three).into())]).unwrap();
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read_tensors(&path, "a model").unwrap(), whole);
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(3 << 30)
            .unwrap();
        refused("it is cut off, or bytes follow it");
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        refused("it is cut off");
        std::fs::write(&path, "abc").unwrap();
        refused("it ends before its header");
        let folder = read_tensors(dir.path(), "a model").unwrap_err().to_string();
        assert!(folder.contains("this is a folder"), "{folder}");
    }
}
