//! Text that came from a file, and bytes as text.

use std::ffi::OsStr;
use std::fmt::Write as _;

/// Lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The name of a file, with what is not Unicode as escaped bytes: two names never become one.
pub(crate) fn escaped(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) => text.to_owned(),
        None => format!("{name:?}").trim_matches('"').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_hexadecimal() {
        assert_eq!(hexadecimal(&[0, 9, 0xab]), "0009ab");
    }
}
