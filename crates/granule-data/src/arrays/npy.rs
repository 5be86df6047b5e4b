//! The header of an `.npy` file.

use std::io::Read;
use std::path::Path;

use granule_io::content;

use crate::DataError;
use crate::reading::{MAX_DECODED, fill, stream_error, too_large};

/// NumPy itself refuses headers above 10 000 bytes.
const MAX_HEADER: usize = 1 << 16;
const MAX_RANK: usize = 32;

/// Characters of a string in an array at most.
const MAX_TEXT: usize = 1 << 16;

/// Element types that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
    /// Strings of so many bytes, filled up with zeros.
    Bytes(usize),
    /// Strings of so many characters of four bytes, filled up with zeros.
    Unicode(usize),
}

const NUMBERS: &str =
    "bool, signed or unsigned integers of 8 to 64 bits, float16, float32 and float64";

impl Kind {
    /// By NumPy's code, which follows the byte order, or by a name that other writers use for it and NumPy knows.
    fn of(code: &str) -> Option<Self> {
        let width = |digits: &str| digits.parse().ok().filter(|n| (1..=MAX_TEXT).contains(n));
        Some(match code {
            "b1" | "?" | "bool" => Self::Bool,
            "u1" | "B" | "uint8" => Self::U8,
            "i1" | "b" | "int8" => Self::I8,
            "u2" | "H" | "uint16" => Self::U16,
            "i2" | "h" | "int16" => Self::I16,
            "u4" | "I" | "uint32" => Self::U32,
            "i4" | "i" | "int32" => Self::I32,
            "u8" | "Q" | "uint64" => Self::U64,
            "i8" | "q" | "int64" => Self::I64,
            "f2" | "e" | "float16" => Self::F16,
            "f4" | "f" | "float32" => Self::F32,
            "f8" | "d" | "float64" => Self::F64,
            _ => match code.split_at_checked(1)? {
                ("S", digits) => Self::Bytes(width(digits)?),
                ("U", digits) => Self::Unicode(width(digits)?),
                _ => return None,
            },
        })
    }

    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Bytes(width) => width,
            Self::Unicode(width) => 4 * width,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Bytes(_) | Self::Unicode(_))
    }

    /// Whether single precision may be too little for its numbers.
    pub(crate) fn is_wide(self) -> bool {
        matches!(
            self,
            Self::U32 | Self::I32 | Self::U64 | Self::I64 | Self::F64
        )
    }

    /// NumPy's name of the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::Bytes(_) | Self::Unicode(_) => "strings",
        }
    }
}

/// What is accepted instead of a type that is not read.
fn instead(descr: &str) -> &'static str {
    match descr.get(1..2) {
        Some("O") => {
            "numbers and strings; Python objects are not read: save names by y.astype(str), rows of one length as numbers"
        }
        Some("c") => "real numbers; save real and imaginary part, or the absolute values",
        _ => NUMBERS,
    }
}

/// What the header of an array says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// NumPy's type string, for messages.
    pub(crate) descr: String,
    pub(crate) big_endian: bool,
    pub(crate) column_major: bool,
    pub(crate) shape: Vec<u64>,
    /// Bytes up to the data.
    pub(crate) bytes: u64,
}

/// What an array begins with.
const MAGIC: &[u8] = b"\x93NUMPY";
const NOT_AN_ARRAY: &str = "not an npy array: it does not start with \\x93NUMPY";
const CUT: &str = "it ends before the shape of its numbers; fetch or copy the file again";

impl Header {
    /// The header of big-endian numbers in row-major order.
    pub(crate) fn of_numbers(kind: Kind, shape: Vec<u64>, path: &Path) -> Result<Self, DataError> {
        let bytes = shape
            .iter()
            .try_fold(kind.size() as u64, |bytes, &extent| {
                bytes.checked_mul(extent)
            })
            .filter(|&bytes| bytes <= MAX_DECODED)
            .filter(|_| shape.iter().all(|&extent| extent <= MAX_DECODED));
        if bytes.is_none() {
            if shape.contains(&0) {
                return Err(no_numbers(&shape, path));
            }
            return Err(too_large(path, "what the header promises"));
        }
        Ok(Self {
            kind,
            descr: kind.name().to_owned(),
            big_endian: true,
            column_major: false,
            shape,
            bytes: 0,
        })
    }

    pub(crate) fn read(reader: &mut dyn Read, path: &Path) -> Result<Self, DataError> {
        let mut start = Vec::new();
        let begun = (&mut *reader).take(8).read_to_end(&mut start);
        begun.map_err(|error| stream_error(path, error))?;
        let Some(&start) = start.first_chunk::<8>() else {
            let reason = if !start.is_empty() && MAGIC.starts_with(start.get(..6).unwrap_or(&start))
            {
                CUT
            } else {
                NOT_AN_ARRAY
            };
            return Err(DataError::format(path, reason));
        };
        let whole = |error| match error {
            DataError::Truncated { .. } => DataError::format(path, CUT),
            error => error,
        };
        let [b'\x93', b'N', b'U', b'M', b'P', b'Y', major, _] = start else {
            let mut beginning = start.to_vec();
            reader
                .take(512)
                .read_to_end(&mut beginning)
                .map_err(|error| stream_error(path, error))?;
            let what = match content::recognise(&beginning) {
                Some(what) => format!("not an npy array: it is {what}"),
                None => NOT_AN_ARRAY.to_owned(),
            };
            return Err(DataError::format(path, what));
        };
        let (len, prefix) = match major {
            1 => {
                let mut len = [0; 2];
                fill(reader, &mut len, path).map_err(whole)?;
                (usize::from(u16::from_le_bytes(len)), 10)
            }
            2 | 3 => {
                let mut len = [0; 4];
                fill(reader, &mut len, path).map_err(whole)?;
                (u32::from_le_bytes(len) as usize, 12)
            }
            _ => {
                return Err(DataError::format(
                    path,
                    format!("npy format version {major}, known are 1 to 3"),
                ));
            }
        };
        if len > MAX_HEADER {
            let reason = format!("an npy header of {len} bytes; at most {MAX_HEADER} are accepted");
            return Err(DataError::format(path, reason));
        }
        let mut text = vec![0; len];
        fill(reader, &mut text, path).map_err(whole)?;
        let text = String::from_utf8_lossy(&text);
        let mut header = Parser { rest: &text }
            .header()
            .ok_or_else(|| {
                DataError::format(
                    path,
                    format!("an npy header that cannot be read: {:?}", text.trim()),
                )
            })?
            .check(path)?;
        header.bytes = prefix + len as u64;
        Ok(header)
    }

    /// Number of elements.
    pub(crate) fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Bytes of data.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.elements() * self.kind.size() as u64
    }
}

struct Raw {
    descr: String,
    column_major: bool,
    shape: Vec<u64>,
}

impl Raw {
    fn check(self, path: &Path) -> Result<Header, DataError> {
        let unknown = || DataError::ArrayType {
            path: path.to_path_buf(),
            found: self.descr.clone(),
            allowed: instead(&self.descr),
        };
        let order = self.descr.chars().next().filter(|c| "<>|=".contains(*c));
        let code = order.map_or(self.descr.as_str(), |_| self.descr.get(1..).unwrap_or(""));
        let kind = Kind::of(code).ok_or_else(unknown)?;
        let big_endian = match order {
            Some('>') => true,
            Some('<' | '|') => false,
            _ => cfg!(target_endian = "big"),
        };
        let mut header = Header::of_numbers(kind, self.shape, path)?;
        header.big_endian = big_endian;
        header.column_major = self.column_major;
        header.descr = self.descr;
        Ok(header)
    }
}

/// The subset of Python's literals that NumPy writes: `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`.
struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn header(&mut self) -> Option<Raw> {
        let (mut descr, mut column_major, mut shape) = (None, None, None);
        self.eat("{")?;
        while self.eat("}").is_none() {
            let key = self.string()?;
            self.eat(":")?;
            match key.as_str() {
                "descr" => descr = Some(self.descr()?),
                "fortran_order" => column_major = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return None,
            }
            if self.eat(",").is_none() {
                self.eat("}")?;
                break;
            }
        }
        if !self.rest.trim().is_empty() {
            return None;
        }
        Some(Raw {
            descr: descr?,
            column_major: column_major?,
            shape: shape?,
        })
    }

    /// A structured type is a list; it is kept as text for the message that refuses it.
    fn descr(&mut self) -> Option<String> {
        if !self.rest.trim_start().starts_with('[') {
            return self.string();
        }
        let end = self.rest.rfind(']')? + 1;
        let (list, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(list.trim().to_string())
    }

    fn eat(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        let text = self.rest.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (value, rest) = text.strip_prefix(quote)?.split_once(quote)?;
        self.rest = rest;
        Some(value.to_string())
    }

    fn boolean(&mut self) -> Option<bool> {
        match (self.eat("True"), self.eat("False")) {
            (Some(()), _) => Some(true),
            (_, Some(())) => Some(false),
            _ => None,
        }
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut extents = Vec::new();
        self.eat("(")?;
        while self.eat(")").is_none() {
            let text = self.rest.trim_start();
            let digits = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            let (number, rest) = text.split_at_checked(digits)?;
            extents.push(number.parse().ok()?);
            // Python 2 wrote 3L.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if extents.len() > MAX_RANK {
                return None;
            }
            if self.eat(",").is_none() {
                self.eat(")")?;
                break;
            }
        }
        Some(extents)
    }
}

/// That an array is empty.
pub(super) fn no_numbers(shape: &[u64], path: &Path) -> DataError {
    DataError::Empty {
        path: path.to_path_buf(),
        what: format!("holds no numbers: its shape is {shape:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, DataError> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        Header::read(&mut &bytes[..], Path::new("x.npy"))
    }

    #[test]
    fn reads_what_numpy_writes() {
        let header =
            parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }          \n")
                .unwrap();
        assert_eq!(
            (header.kind, header.shape.as_slice(), header.column_major),
            (Kind::F64, &[3, 4][..], false)
        );
        assert_eq!(header.data_bytes(), 96);
        assert_eq!(header.bytes, 80);
        let header = parse("{\"shape\": (7L,), 'fortran_order': True, 'descr': '>i2'}").unwrap();
        assert_eq!(
            (header.kind, header.shape.as_slice()),
            (Kind::I16, &[7][..])
        );
        assert!(header.big_endian && header.column_major);
        assert_eq!(
            parse("{'descr': '|b1', 'fortran_order': False, 'shape': ()}")
                .unwrap()
                .elements(),
            1
        );
    }

    #[test]
    fn short_files_are_told_apart() {
        let said = |mut bytes: &[u8]| {
            let error = Header::read(&mut bytes, Path::new("x.npy")).err().unwrap();
            error.to_string()
        };
        for cut in [
            &b"\x93"[..],
            b"\x93NUMPY",
            b"\x93NUMPY\x01\0\x40",
            b"\x93NUMPY\x02\0\x40\0\0\0{",
        ] {
            assert!(
                said(cut).contains("it ends before the shape"),
                "{}",
                said(cut)
            );
        }
        for other in [&b""[..], b"hello", b"hello, hello, hello"] {
            assert!(said(other).contains("not an npy array"), "{}", said(other));
        }
    }

    #[test]
    fn reads_the_names_that_other_writers_use() {
        for (descr, expected, big_endian) in [
            ("float32", Kind::F32, false),
            (">d", Kind::F64, true),
            ("=e", Kind::F16, false),
            ("b", Kind::I8, false),
            (">H", Kind::U16, true),
            ("uint8", Kind::U8, false),
            ("bool", Kind::Bool, false),
        ] {
            let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}");
            let header = parse(&text).unwrap();
            assert_eq!((header.kind, header.big_endian), (expected, big_endian));
        }
    }

    #[test]
    fn refuses_other_types() {
        for descr in [
            "'|O'",
            "'<c16'",
            "[('a', '<f4'), ('b', '<i4')]",
            "''",
            "'é'",
            "'<U0'",
            "'<f16'",
            "'<M8[ns]'",
        ] {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
            assert!(
                matches!(parse(&header), Err(DataError::ArrayType { .. })),
                "{descr}"
            );
        }
    }

    #[test]
    fn refuses_malformed_and_forged_headers() {
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f8', 'shape': (3,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)} more",
            "{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}",
        ] {
            assert!(
                matches!(parse(text), Err(DataError::Format { .. })),
                "{text}"
            );
        }
        for shape in ["(18446744073709551615, 2)", "(4294967296,)"] {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}");
            assert!(
                matches!(parse(&header), Err(DataError::TooLarge { .. })),
                "{shape}"
            );
        }
        for shape in ["(0, 18446744073709551615)", "(0, 9999999999999)"] {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}");
            let error = parse(&header).unwrap_err().to_string();
            let told = shape.replace('(', "[").replace(')', "]");
            assert!(
                error.contains(&format!("holds no numbers: its shape is {told}")),
                "{error}"
            );
        }
        let mut forged = b"\x93NUMPY\x02\x00".to_vec();
        forged.extend(u32::MAX.to_le_bytes());
        assert!(Header::read(&mut &forged[..], Path::new("x.npy")).is_err());
    }
}
