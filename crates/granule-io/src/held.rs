//! A value of any format, held until the name beside it has said what it is.

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt;

use crate::words::{counted, shortened};

/// What is wrong with a [`Held`] value, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldError {
    message: String,
    /// Keys and indices, the innermost first.
    path: Vec<String>,
}

impl HeldError {
    /// What is wrong in a sentence of which the value is the subject: `has no end`.
    pub fn says(what: impl fmt::Display) -> Self {
        Self::custom(what)
    }

    /// The same of a value at `key`.
    #[must_use]
    pub fn below(mut self, key: impl fmt::Display) -> Self {
        self.path.push(key.to_string());
        self
    }
}

impl Error for HeldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            path: Vec::new(),
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!(
            "is {}, not {}",
            Found(found),
            form(&expected.to_string())
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format_args!(
            "has no choice {found:?}; the choices are {}",
            known.join(", ")
        ))
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format_args!(
            "has no key {found:?}; its keys are {}",
            known.join(", ")
        ))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::custom(format_args!("lacks {name:?}"))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::custom(format_args!("has {name:?} twice"))
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!(
            "has {}, but must be {}",
            counted(found, "value"),
            form(&expected.to_string())
        ))
    }
}

/// A value in words.
struct Found<'a>(Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => write!(f, "{value}"),
            Unexpected::Signed(value) => write!(f, "{value}"),
            Unexpected::Unsigned(value) => write!(f, "{value}"),
            Unexpected::Float(value) => write!(f, "{value}"),
            Unexpected::Str(text) => write!(f, "the text {:?}", shortened(text)),
            Unexpected::Seq => f.write_str("a list"),
            Unexpected::Map => f.write_str("a table"),
            Unexpected::Unit | Unexpected::Option => f.write_str("nothing"),
            Unexpected::UnitVariant => f.write_str("a name alone"),
            Unexpected::NewtypeVariant | Unexpected::TupleVariant | Unexpected::StructVariant => {
                f.write_str("a name with values")
            }
            other => other.fmt(f),
        }
    }
}

/// What a reader derived from a type expects, in the words of a file. Serde hands it over as text only; what a reader
/// of our own expects is in such words already.
fn form(expected: &str) -> &str {
    const KINDS: [(&str, &str); 12] = [
        ("struct ", "a table"),
        ("struct", "a table"),
        ("unit struct ", "nothing"),
        ("tuple", "a list"),
        ("a tuple", "a list"),
        ("an array of length ", "a list"),
        ("internally tagged enum ", "a table"),
        ("adjacently tagged enum ", "a table"),
        ("enum", "a name, or a table of one"),
        ("variant i", "a name"),
        ("field i", "a name"),
        ("any value", "a value"),
    ];
    match expected {
        "f32" | "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "a sequence" => "a list",
        "a string" | "string" | "a character" => "a text",
        "a map" | "map" => "a table",
        "a boolean" => "true or false",
        "unit" | "unit variant" => "a name alone",
        "option" => "a value",
        "newtype variant" | "tuple variant" => "a name with a value",
        other => {
            let mut kinds = KINDS.iter();
            let known = kinds.find(|(begin, _)| other.starts_with(begin));
            known.map_or(other, |(_, words)| words)
        }
    }
}

impl std::error::Error for HeldError {}

impl HeldError {
    /// The error as one line that begins with the path of the value; `whole` stands for that of the whole: `its description`.
    pub fn placed(&self, whole: &str) -> String {
        // What was read from within has its own path below, written as here.
        let text = self.to_string();
        let mut lines = text.lines();
        let message = lines.next().unwrap_or_default();
        let places = lines.filter_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
        let path = places.fold(String::new(), |inner, place| match inner.as_str() {
            "" => place.to_owned(),
            inner => format!("{place}.{inner}"),
        });
        match path.as_str() {
            "" => format!("{whole} {message}"),
            path => format!("`{path}` {message}"),
        }
    }
}

/// As `toml` writes it: the place in a line of its own, below those of what stands inside.
impl fmt::Display for HeldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.path.is_empty() {
            return Ok(());
        }
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        write!(f, "\nin `{}`", path.join("."))
    }
}

/// A value as a configuration or a model file has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// `null`.
    Absent,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Signed(i64),
    /// A whole number of 0 or more.
    Unsigned(u64),
    /// Any number.
    Float(f64),
    /// A text.
    Text(String),
    /// Values.
    List(Vec<Held>),
    /// Values by their keys, in their order.
    Table(Vec<(String, Held)>),
}

impl Held {
    /// What it is, for errors.
    pub fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Absent => Unexpected::Unit,
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Signed(value) => Unexpected::Signed(*value),
            Self::Unsigned(value) => Unexpected::Unsigned(*value),
            Self::Float(value) => Unexpected::Float(*value),
            Self::Text(value) => Unexpected::Str(value),
            Self::List(_) => Unexpected::Seq,
            Self::Table(_) => Unexpected::Map,
        }
    }
}

impl Held {
    /// The kind of a table and the rest of it: the text under `kind`, or under an `older` name of that key. `what` has kinds,
    /// as in `a model`.
    ///
    /// # Errors
    ///
    /// What is no table, one without a kind, and a kind that is no text.
    pub fn of_kind<'de, D: Deserializer<'de>>(
        deserializer: D,
        what: &str,
        older: &[&str],
    ) -> Result<(String, Self), D::Error> {
        let mut table = match Self::deserialize(deserializer)? {
            Self::Table(table) => table,
            held => {
                return Err(D::Error::invalid_type(
                    held.unexpected(),
                    &"a table with its `kind`",
                ));
            }
        };
        let place = ["kind"].iter().chain(older).find_map(|name| {
            let place = table.iter().position(|(key, _)| key == name)?;
            Some((place, *name))
        });
        match place.map(|(place, name)| (table.remove(place).1, name)) {
            Some((Self::Text(kind), _)) => Ok((kind, Self::Table(table))),
            Some((_, name)) => {
                let error = HeldError::says(format_args!("must be the name of {what}, in quotes"));
                Err(D::Error::custom(error.below(name)))
            }
            None => Err(D::Error::missing_field("kind")),
        }
    }
}

impl HeldError {
    /// That a table has a kind that there is not, with those that there are.
    pub fn unknown_kind(kind: &str, known: &[&str]) -> Self {
        let choices = known.join(", ");
        Self::says(format_args!(
            "has no choice {kind:?}; the choices are {choices}"
        ))
        .below("kind")
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeldVisitor)
    }
}

struct HeldVisitor;

impl<'de> Visitor<'de> for HeldVisitor {
    type Value = Held;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Held, E> {
        Ok(Held::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Held, E> {
        Ok(Held::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Held, E> {
        Ok(Held::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Held, E> {
        Ok(Held::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Held, E> {
        Ok(Held::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Held, E> {
        Ok(Held::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Held, E> {
        Ok(Held::Absent)
    }

    fn visit_none<E: Error>(self) -> Result<Held, E> {
        Ok(Held::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Held, D::Error> {
        Held::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Held, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Held::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Held, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = access.next_entry()? {
            table.push(entry);
        }
        Ok(Held::Table(table))
    }
}

impl<'de> IntoDeserializer<'de, HeldError> for Held {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Held {
    type Error = HeldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, HeldError> {
        match self {
            Self::Absent => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(value) => visitor.visit_string(value),
            Self::List(list) => visitor.visit_seq(Elements {
                rest: list.into_iter().enumerate(),
            }),
            Self::Table(table) => visitor.visit_map(Entries::new(table)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, HeldError> {
        match self {
            Self::Absent => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, HeldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, HeldError> {
        match self {
            Self::Text(variant) => {
                let text: serde::de::value::StringDeserializer<HeldError> =
                    variant.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            Self::Table(table) => MapAccessDeserializer::new(Entries::new(table))
                .deserialize_enum(name, variants, visitor),
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The elements of a list; what is wrong with one is said with its index.
struct Elements {
    rest: std::iter::Enumerate<std::vec::IntoIter<Held>>,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = HeldError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, HeldError> {
        let next = self.rest.next();
        next.map(|(index, value)| {
            let value = seed.deserialize(value);
            value.map_err(|error| error.below(index))
        })
        .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The entries of a table; what is wrong with a value is said with its key.
struct Entries {
    rest: std::vec::IntoIter<(String, Held)>,
    value: Option<(String, Held)>,
}

impl Entries {
    fn new(table: Vec<(String, Held)>) -> Self {
        Self {
            rest: table.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = HeldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, HeldError> {
        self.value = self.rest.next();
        let key = self.value.as_ref().map(|(key, _)| key.clone());
        key.map(|key| seed.deserialize(key.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, HeldError> {
        let Some((key, value)) = self.value.take() else {
            return Err(HeldError::custom("a value without its key"));
        };
        seed.deserialize(value).map_err(|error| error.below(key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
