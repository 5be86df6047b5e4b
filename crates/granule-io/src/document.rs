//! JSON and TOML as types: what is wrong with a document is said in the words of its file, not in those of its reader.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::content::{self, BYTE_ORDER_MARK};
use crate::held::{Held, HeldError};

/// What is wrong with a document, as a sentence of which the document is the subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is not JSON.
    #[error("it is no JSON from line {line}, column {column} on{}", Instead(.instead))]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
        /// What it is instead, if that is known.
        instead: Option<&'static str>,
    },
    /// It is not TOML.
    #[error("it is no TOML: {0}")]
    NotToml(String),
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It ends too early.
    #[error("it is cut off: it ends within a value")]
    CutOff,
    /// It holds something else than it should.
    #[error("{}", .0.placed("it"))]
    Content(HeldError),
}

struct Instead<'a>(&'a Option<&'static str>);

impl std::fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(what) => write!(f, "; it is {what}"),
            None => Ok(()),
        }
    }
}

/// Reads JSON. A byte-order mark before it is passed over.
///
/// # Errors
/// [`DocumentError`] for what is not JSON, or not the JSON of a `T`.
pub fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, DocumentError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let not_json = |error: &serde_json::Error| DocumentError::NotJson {
        line: error.line(),
        column: error.column(),
        instead: content::instead_of_text(text),
    };
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        _ if text.trim_ascii().is_empty() => DocumentError::Empty,
        Category::Eof => DocumentError::CutOff,
        Category::Data if text.len() > LONG => {
            DocumentError::Content(HeldError::says("holds something else than was expected"))
        }
        _ if text.len() > LONG => not_json(&error),
        // A number in the place of a name is called a fault of the syntax, too.
        _ => match serde_json::from_slice(text) {
            Ok(held) => content_of::<T>(held),
            Err(error) => not_json(&error),
        },
    })
}

/// Reads TOML.
///
/// # Errors
/// [`DocumentError`] for what is not TOML, or not the TOML of a `T`.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    let not_toml = |error: &dyn std::fmt::Display| {
        DocumentError::NotToml(error.to_string().trim_end().to_owned())
    };
    toml::from_str(text).map_err(|_| match text.parse::<toml::Table>() {
        Ok(table) => match Held::deserialize(table) {
            Ok(held) => content_of::<T>(held),
            Err(error) => not_toml(&error),
        },
        Err(error) => not_toml(&error),
    })
}

/// A longer document is not read a second time: as a value of any kind it takes many times its length.
const LONG: usize = 16 << 20;

/// What a second reading, by way of a value of any kind, finds wrong: it knows the place, and has its own words.
fn content_of<T: DeserializeOwned>(held: Held) -> DocumentError {
    let found = T::deserialize(held).err();
    DocumentError::Content(found.unwrap_or_else(|| HeldError::says("cannot be read")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Cell {
        name: String,
        #[serde(default)]
        sizes: Vec<u8>,
        #[serde(default)]
        shape: Option<Shape>,
        #[serde(default)]
        tagged: Option<Tagged>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Shape {
        Ball,
        Rod { length: f64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Tagged {
        Round { radius: f64 },
    }

    /// Words of a reader that no file has.
    const FOREIGN: [&str; 12] = [
        "struct",
        "enum",
        "variant",
        "missing field",
        "unknown field",
        "expected",
        "invalid",
        "u8",
        "f64",
        "sequence",
        "map",
        "EOF",
    ];

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_a_file() {
        for (text, said) in [
            ("{}", "it lacks \"name\""),
            ("[]", "it has 0 values, but must be a table"),
            ("3", "it is 3, not a table"),
            ("\"x\"", "it is the text \"x\", not a table"),
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("{\"name\": \"a\"", "it is cut off: it ends within a value"),
            (
                "<!DOCTYPE html>",
                "it is no JSON from line 1, column 1 on; it is a web page",
            ),
            ("{\"name\": 3}", "`name` is 3, not a text"),
            ("{\"name\": null}", "`name` is nothing, not a text"),
            (
                "{\"name\": \"a\", \"name\": \"b\"}",
                "it has \"name\" twice",
            ),
            (
                "{\"nam\": 3}",
                "it has no key \"nam\"; its keys are name, sizes",
            ),
            (
                "{\"name\": \"a\", \"sizes\": 3}",
                "`sizes` is 3, not a list",
            ),
            (
                "{\"name\": \"a\", \"sizes\": [1, 256]}",
                "`sizes.1` is 256, not a whole number from 0 to 255",
            ),
            (
                "{\"name\": \"a\", \"sizes\": [-1.5]}",
                "`sizes.0` is -1.5, not a whole number from 0 to 255",
            ),
            (
                "{\"name\": \"a\", \"shape\": \"cube\"}",
                "`shape` has no choice \"cube\"; the choices are ball, rod",
            ),
            (
                "{\"name\": \"a\", \"shape\": 3}",
                "`shape` is 3, not a name, or a table of one",
            ),
            (
                "{\"name\": \"a\", \"shape\": {}}",
                "`shape` is a table, not a name, or a table of one",
            ),
            (
                "{\"name\": \"a\", \"shape\": \"rod\"}",
                "`shape` is a name alone, not a table",
            ),
            (
                "{\"name\": \"a\", \"shape\": {\"rod\": 3}}",
                "`shape.rod` is 3, not a table",
            ),
            (
                "{\"name\": \"a\", \"shape\": {\"rod\": {}}}",
                "`shape.rod` lacks \"length\"",
            ),
            (
                "{\"name\": \"a\", \"tagged\": 3}",
                "`tagged` is 3, not a table",
            ),
            (
                "{\"name\": \"a\", \"tagged\": {}}",
                "`tagged` lacks \"kind\"",
            ),
            (
                "{\"name\": \"a\", \"tagged\": {\"kind\": 7}}",
                "`tagged.kind` is 7, not a name",
            ),
            (
                "{\"name\": \"a\", \"tagged\": {\"kind\": \"flat\"}}",
                "`tagged.kind` has no choice \"flat\"; the choices are round",
            ),
            (
                "{\"name\": \"a\", \"tagged\": {\"kind\": \"round\", \"radius\": \"x\"}}",
                "`tagged` is the text \"x\", not a number",
            ),
        ] {
            let error = from_json::<Cell>(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
            for word in FOREIGN {
                assert!(!error.contains(word), "{text}: {error}");
            }
        }
    }

    #[test]
    fn toml_has_the_same_words() {
        for (text, said) in [
            ("nam = 3", "it has no key \"nam\"; its keys are name, sizes"),
            ("name = 3", "`name` is 3, not a text"),
            (
                "name = 'a'\n[shape.rod]\nlength = 'x'",
                "`shape.rod.length` is the text",
            ),
            (
                "name = ",
                "it is no TOML: TOML parse error at line 1, column 8",
            ),
        ] {
            let error = from_toml::<Cell>(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        let read: Cell = from_toml("name = 'a'\nsizes = [3]").unwrap();
        assert_eq!(read.sizes, [3]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_document() {
        let read: Cell = from_json(b"\xef\xbb\xbf{\"name\": \"a\"}").unwrap();
        assert_eq!(read.name, "a");
    }
}
