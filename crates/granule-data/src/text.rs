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

/// Replaces what a terminal would obey instead of show: control characters and changes of the writing direction.
pub(crate) fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(obeyed, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_hexadecimal() {
        assert_eq!(hexadecimal(&[0, 9, 0xab]), "0009ab");
    }

    #[test]
    fn terminals_are_told_nothing() {
        assert_eq!(
            printable("a\x1b[2J\u{9b}\r\n\u{202e}b"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}b"
        );
        assert_eq!(printable("größe 猫 /_-."), "größe 猫 /_-.");
    }
}
