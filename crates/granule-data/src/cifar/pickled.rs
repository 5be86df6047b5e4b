//! What is in the files of the version for Python: a dict of an array, a list of labels and texts.

use std::borrow::Cow;
use std::path::Path;

use granule_io::budget;

use super::PIXELS;
use crate::DataError;
use crate::pickle::{Id, Pickle, Refusal, Value, Values, Vocabulary, damaged, unpickle};

/// The type of elements that are bytes, as NumPy writes it.
const BYTES: &str = "u1";

/// The most extents of an array.
const MOST_EXTENTS: usize = 32;
/// The longest name of a type that is kept.
const MOST_NAME: usize = 16;

/// What the pickles of CIFAR are made of.
struct Numpy {
    /// How many bytes may still be made of texts: a value can be asked for again and again.
    left: usize,
}

#[derive(Clone, Copy)]
enum Global {
    /// An array without elements, which its state has.
    Reconstruct,
    /// An array of what is in a buffer, of protocol 5.
    FromBuffer,
    NdArray,
    Dtype,
    /// Bytes in protocol 2 of Python 3: a text in Latin-1.
    Encode,
}

enum Object {
    Dtype(String),
    /// The shape, and the place of the elements among the values; none before the state is given.
    Array(Vec<usize>, Option<Id>),
}

impl Vocabulary for Numpy {
    type Global = Global;
    type Object = Object;

    /// An image has a label or two and the name of a file.
    const MOST_VALUES: usize = 1 << 20;
    const TOO_MANY: &str = "which no file of CIFAR has; is it the right one?";

    fn global(module: &str, name: &str) -> Option<Global> {
        let module = module.replacen("numpy._core.", "numpy.core.", 1);
        Some(match (module.as_str(), name) {
            ("numpy.core.multiarray", "_reconstruct") => Global::Reconstruct,
            ("numpy.core.numeric", "_frombuffer") => Global::FromBuffer,
            ("numpy", "ndarray") => Global::NdArray,
            ("numpy", "dtype") => Global::Dtype,
            ("_codecs", "encode") => Global::Encode,
            _ => return None,
        })
    }

    fn call<'a>(
        &mut self,
        values: &Values<'a, Self>,
        called: &Global,
        given: &[Id],
    ) -> Result<Value<'a, Self>, Refusal> {
        let made = match (called, given) {
            (Global::Encode, [text, _]) => {
                let bytes = latin_1(values, *text, &mut self.left)?;
                bytes.map(Value::Bytes)
            }
            (Global::Dtype, [name, ..]) => {
                let name = values.text(*name).filter(|name| name.len() <= MOST_NAME);
                name.map(|name| Value::Object(Object::Dtype(name.to_owned())))
            }
            (Global::Reconstruct, [class, ..]) => {
                let is_array = matches!(values.get(*class), Some(Value::Global(Global::NdArray)));
                is_array.then(|| Value::Object(Object::Array(Vec::new(), None)))
            }
            (Global::FromBuffer, &[elements, dtype, shape, order]) => {
                let by_rows = values.text(order) == Some("C");
                array(values, shape, dtype, by_rows, elements)?
            }
            _ => None,
        };
        Ok(made.ok_or_else(|| damaged("an array's description makes no sense"))?)
    }

    fn state<'a>(
        &mut self,
        values: &Values<'a, Self>,
        object: &Object,
        state: Id,
    ) -> Result<Value<'a, Self>, Refusal> {
        let made = match (object, values.items(state)) {
            // The order of the bytes of an element and the like, which one byte has not.
            (Object::Dtype(name), Some(_)) => Some(Value::Object(Object::Dtype(name.clone()))),
            (Object::Array(..), Some(&[_, shape, dtype, by_columns, elements])) => {
                let by_rows = matches!(values.get(by_columns), Some(Value::Bool(false)));
                array(values, shape, dtype, by_rows, elements)?
            }
            _ => None,
        };
        Ok(made.ok_or_else(|| damaged("an array's description makes no sense"))?)
    }
}

/// An array whose elements are bytes, as many as its shape says.
fn array<'a>(
    values: &Values<'a, Numpy>,
    shape: Id,
    dtype: Id,
    by_rows: bool,
    elements: Id,
) -> Result<Option<Value<'a, Numpy>>, Refusal> {
    let shape = values
        .items(shape)
        .filter(|extents| extents.len() <= MOST_EXTENTS);
    let shape = shape.and_then(|extents| {
        let extents = extents.iter().map(|extent| values.count(*extent));
        extents.collect::<Option<Vec<usize>>>()
    });
    let (Some(shape), Some(Value::Object(Object::Dtype(dtype))), Some(bytes)) =
        (shape, values.get(dtype), values.bytes(elements))
    else {
        return Ok(None);
    };
    if dtype != BYTES || !by_rows {
        let how = if by_rows { "by rows" } else { "by columns" };
        return Err(Refusal::from(format!(
            "an array of it has elements of type {dtype:?}, stored {how}; CIFAR's are bytes, {BYTES:?}, stored by rows"
        )));
    }
    let count = shape
        .iter()
        .try_fold(1, |all: usize, n| all.checked_mul(*n));
    let is_whole = count == Some(bytes.len());
    Ok(is_whole.then_some(Value::Object(Object::Array(shape, Some(elements)))))
}

/// The bytes that a text stands for.
fn latin_1<'a>(
    values: &Values<'_, Numpy>,
    text: Id,
    left: &mut usize,
) -> Result<Option<Cow<'a, [u8]>>, Refusal> {
    let Some(text) = values.text(text) else {
        return Ok(None);
    };
    let count = text.chars().count();
    let Some(rest) = left.checked_sub(count) else {
        return Err(Refusal::from(
            "it makes more bytes of its texts than it has".to_owned(),
        ));
    };
    *left = rest;
    let mut bytes = budget::with_capacity(count, "a pickle's bytes")?;
    bytes.extend(text.chars().map_while(|c| u8::try_from(c).ok()));
    Ok((bytes.len() == count).then_some(Cow::Owned(bytes)))
}

/// A file of the version for Python.
pub(super) struct File<'a> {
    pickle: Pickle<'a, Numpy>,
    path: &'a Path,
}

impl<'a> File<'a> {
    pub(super) fn read(bytes: &'a [u8], path: &'a Path) -> Result<Self, DataError> {
        let pickle = unpickle(bytes, path, Numpy { left: bytes.len() })?;
        Ok(Self { pickle, path })
    }

    fn refused(&self, reason: String) -> DataError {
        DataError::format(self.path, reason)
    }

    fn entry(&self, key: &str) -> Result<Id, DataError> {
        let Pickle { values, top } = &self.pickle;
        values.entry(*top, key).ok_or_else(|| {
            self.refused(format!(
                "the pickle has no \"{key}\"; is it a file of this set?"
            ))
        })
    }

    fn list(&self, key: &str) -> Result<&[Id], DataError> {
        let items = self.pickle.values.items(self.entry(key)?);
        items.ok_or_else(|| self.refused(format!("\"{key}\" in the pickle is no list")))
    }

    /// All pixels, one image after the other, in the order of the binary version.
    pub(super) fn pixels(&self) -> Result<&[u8], DataError> {
        let values = &self.pickle.values;
        let data = values.get(self.entry("data")?);
        let Some(Value::Object(Object::Array(shape, Some(elements)))) = data else {
            return Err(self.refused("\"data\" in the pickle is no array".to_owned()));
        };
        match (shape.as_slice(), values.bytes(*elements)) {
            (&[_, PIXELS], Some(pixels)) => Ok(pixels),
            (found, _) => Err(DataError::ArrayShape {
                path: self.path.to_owned(),
                found: found.iter().map(|&extent| extent as u64).collect(),
                allowed: format!("[N, {PIXELS}]"),
            }),
        }
    }

    /// The labels under a key.
    pub(super) fn labels(&self, key: &str) -> Result<Vec<i64>, DataError> {
        let items = self.list(key)?;
        let mut labels = budget::with_capacity(items.len(), self.path.display())?;
        for (index, id) in items.iter().enumerate() {
            let label = self.pickle.values.int(*id);
            labels.push(label.ok_or_else(|| {
                self.refused(format!("label {index} of \"{key}\" is no whole number"))
            })?);
        }
        Ok(labels)
    }

    /// The class names under a key.
    pub(super) fn names(&self, key: &str) -> Result<Vec<String>, DataError> {
        let names = self.list(key)?.iter();
        let names = names.map(|id| self.pickle.values.text(*id).map(str::to_owned));
        names
            .collect::<Option<_>>()
            .ok_or_else(|| self.refused(format!("a name of \"{key}\" is no text")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3 writes by protocols 2 to 5, before and after the pixels, all of them 7, of two images of the classes 3 and 9.
    const WRITTEN: [(&[u8], &[u8]); 4] = [
        (
            b"\x80\x02}q\x00(c_codecs\nencode\nq\x01X\x06\x00\x00\x00labelsq\x02X\x06\x00\x00\x00latin1q\x03\x86q\
          \x04Rq\x05]q\x06(K\x03K\x09eh\x01X\x04\x00\x00\x00dataq\x07h\x03\x86q\x08Rq\x09cnumpy._core.multiarr\
          ay\n_reconstruct\nq\ncnumpy\nndarray\nq\x0bK\x00\x85q\x0ch\x01X\x01\x00\x00\x00bq\x0dh\x03\x86q\x0eR\
          q\x0f\x87q\x10Rq\x11(K\x01K\x02M\x00\x0c\x86q\x12cnumpy\ndtype\nq\x13X\x02\x00\x00\x00u1q\x14\x89\
          \x88\x87q\x15Rq\x16(K\x03X\x01\x00\x00\x00|q\x17NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x18b\
          \x89h\x01X\x00\x18\x00\x00",
            b"q\x19h\x03\x86q\x1aRq\x1btq\x1cbu.",
        ),
        (
            b"\x80\x03}q\x00(C\x06labelsq\x01]q\x02(K\x03K\x09eC\x04dataq\x03cnumpy._core.multiarray\n_reconstruct\
          \nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06C\x01bq\x07\x87q\x08Rq\x09(K\x01K\x02M\x00\x0c\x86q\ncnum\
          py\ndtype\nq\x0bX\x02\x00\x00\x00u1q\x0c\x89\x88\x87q\x0dRq\x0e(K\x03X\x01\x00\x00\x00|q\x0fNNNJ\xff\
          \xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x10b\x89B\x00\x18\x00\x00",
            b"q\x11tq\x12bu.",
        ),
        (
            b"\x80\x04\x95\xab\x18\x00\x00\x00\x00\x00\x00}\x94(C\x06labels\x94]\x94(K\x03K\x09eC\x04data\x94\x8c\
          \x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\
          \x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02M\x00\x0c\x86\x94h\x07\x8c\x05dtype\x94\x93\
          \x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00\
          t\x94b\x89B\x00\x18\x00\x00",
            b"\x94t\x94bu.",
        ),
        (
            b"\x80\x05\x95\x93\x18\x00\x00\x00\x00\x00\x00}\x94(C\x06labels\x94]\x94(K\x03K\x09eC\x04data\x94\x8c\
          \x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x00\x18\x00\x00\x00\x00\x00\x00",
            b"\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94\
          NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x02M\x00\x0c\x86\x94\x8c\x01C\x94t\x94R\x94u.",
        ),
    ];

    fn pickles() -> impl Iterator<Item = Vec<u8>> {
        let whole = |(head, tail): (&[u8], &[u8])| [head, &[7; 2 * PIXELS], tail].concat();
        WRITTEN.into_iter().map(whole)
    }

    /// The labels and pixels of a file.
    fn read(bytes: &[u8]) -> Result<(Vec<i64>, Vec<u8>), DataError> {
        let file = File::read(bytes, Path::new("train"))?;
        Ok((file.labels("labels")?, file.pixels()?.to_vec()))
    }

    #[test]
    fn every_protocol_is_read() {
        for bytes in pickles() {
            let (labels, pixels) = read(&bytes).unwrap();
            assert_eq!(labels, [3, 9]);
            assert_eq!(pixels, [7; 2 * PIXELS]);
        }
    }

    #[test]
    fn what_is_cut_is_an_error_and_what_is_changed_never_more_than_there_is() {
        for (whole, (head, tail)) in pickles().zip(WRITTEN) {
            let ends = (0..head.len()).chain(head.len() + 2 * PIXELS..whole.len());
            for at in ends {
                assert!(read(&whole[..at]).is_err(), "{at}");
                for bit in 0..8 {
                    let mut changed = whole.clone();
                    changed[at] ^= 1 << bit;
                    if let Ok((labels, pixels)) = read(&changed) {
                        assert!(labels.len() <= 2 && pixels.len() <= 2 * PIXELS);
                    }
                }
            }
            assert_eq!(head.len() + 2 * PIXELS + tail.len(), whole.len());
        }
    }

    #[test]
    fn code_is_refused_by_its_name() {
        for (bytes, asked) in [
            (
                &b"\x80\x02cposix\nsystem\nU\x02ls\x85R."[..],
                "posix.system",
            ),
            (
                b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
                "builtins.eval",
            ),
            (
                b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
                "numpy.core.multiarray.scalar",
            ),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(
                matches!(&error, DataError::Code { global, .. } if global == asked),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_set_is_told() {
        let [_, whole, ..] = &pickles().collect::<Vec<_>>()[..] else {
            panic!("there are four");
        };
        // As many bytes in the place of others.
        let with = |from: &[u8], to: &[u8]| {
            let at = whole.windows(from.len()).position(|part| part == from);
            let mut bytes = whole.clone();
            bytes[at.unwrap()..][..to.len()].copy_from_slice(to);
            let labels = read(&bytes).map(|(labels, _)| labels);
            labels.unwrap_err().to_string()
        };
        for (from, to, said) in [
            (&b"C\x06labels"[..], &b"C\x06labelz"[..], "no \"labels\""),
            (b"K\x03K\x09", b"K\x03NN", "label"),
            (b"\x02\x00\x00\x00u1", b"\x02\x00\x00\x00i8", "type \"i8\""),
            (b"tq\x10b\x89", b"tq\x10b\x88", "by columns"),
            (
                b"(K\x01K\x02M\x00\x0c",
                b"(K\x01K\x03M\x00\x0c",
                "makes no sense",
            ),
            (
                b"(K\x01K\x02M\x00\x0c",
                b"(K\x01K\x04M\x00\x06",
                "[4, 1536]",
            ),
            (b"]q\x02(K\x03K\x09e", b"}q\x02(K\x03K\x09u", "no list"),
        ] {
            let message = with(from, to);
            assert!(message.contains(said), "{said}: {message}");
        }
        let empty = read(b"\x80\x02}.").unwrap_err().to_string();
        assert!(empty.contains("no \"labels\""), "{empty}");
    }

    #[test]
    fn lists_of_very_many_are_refused() {
        let mut bytes = b"\x80\x02]q\x00".to_vec();
        bytes.extend(b"h\x00a".repeat(Numpy::MOST_VALUES));
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("which no file of CIFAR has"), "{error}");
        bytes.truncate(2);
        bytes.resize(Numpy::MOST_VALUES + 10, b'(');
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("which no file of CIFAR has"), "{error}");
    }
}
