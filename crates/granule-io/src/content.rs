//! What a file that is not what it should be is instead.

/// A byte-order mark in UTF-8, with which Windows begins a text.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is said of text of no known kind.
const TEXT: &str = "text";

/// What bytes that should have been text of some form are instead, if that is no other text.
pub(crate) fn instead_of_text(start: &[u8]) -> Option<&'static str> {
    recognise(start).filter(|what| *what != TEXT)
}

/// What the first bytes of a file say it is, and what to do about it, as the end of a sentence: `it is …`. None for
/// bytes of no known kind. 512 bytes are enough.
pub fn recognise(start: &[u8]) -> Option<&'static str> {
    const UTF_16: &str = "text in UTF-16, as PowerShell's `>` writes it; save it as UTF-8";
    const KINDS: [(&[u8], &str); 14] = [
        (b"\xff\xfe", UTF_16),
        (b"\xfe\xff", UTF_16),
        (
            b"version https://git-lfs",
            "a Git LFS pointer, which stands for the file; `git lfs pull` fetches the file itself",
        ),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"\x93NUMPY", "a NumPy array (.npy)"),
        (b"PK\x03\x04", "a zip archive, as .npz files are"),
        (b"\x1f\x8b", "compressed by gzip"),
        (b"BZh", "compressed by bzip2; unpack it"),
        (b"\xfd7zXZ", "compressed by xz; unpack it"),
        (b"\x89HDF", "an HDF5 file; save its arrays by numpy.savez"),
        (b"%PDF", "a PDF document"),
        (
            b"\x80\x02",
            "a Python pickle; save its arrays by numpy.savez",
        ),
        (
            b"\x80\x04",
            "a Python pickle; save its arrays by numpy.savez",
        ),
    ];
    if let Some((_, what)) = KINDS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(what);
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some("a tar archive; unpack it");
    }
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let text = text
        .trim_ascii_start()
        .get(..64)
        .unwrap_or(text.trim_ascii_start());
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
    if text.len() < 4
        || !text.iter().all(is_text)
        || std::str::from_utf8(text).is_err_and(|e| e.error_len().is_some())
    {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if [&b"<!do"[..], b"<htm", b"<hea", b"<?xm"]
        .iter()
        .any(|tag| lower.starts_with(tag))
    {
        Some("a web page, as a failed download leaves; fetch the file again")
    } else {
        Some(TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_named() {
        for (start, expected) in [
            (&b"<!DOCTYPE html>\n<html>"[..], "a web page"),
            (b"\n <html lang=\"en\">", "a web page"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid",
                "git lfs pull",
            ),
            (b"404: Not Found\n", "text"),
            (b"\x80\x04\x95\x00\x00", "pickle"),
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"PK\x03\x04\x14", "zip"),
            (b"\xff\xfed\0t\0 \0", "UTF-16"),
        ] {
            let found = recognise(start).unwrap();
            assert!(found.contains(expected), "{found}");
        }
        for other in [&b"\x00\x00\x08\x03\x00\x00\xea\x60"[..], b"", b"ab"] {
            assert_eq!(recognise(other), None);
        }
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(recognise(&tar), Some("a tar archive; unpack it"));
    }
}
