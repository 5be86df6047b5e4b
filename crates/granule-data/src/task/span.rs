//! Durations.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::DataError;

/// The longest period, ms: 1000 s.
const LONGEST: f64 = 1e6;

/// How long a period lasts, in ms: always the same, or drawn anew for each trial, uniformly between two bounds.
///
/// Written as one number or as two, `stimulus_ms = 800` or `stimulus_ms = [80, 1500]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The shortest duration, ms.
    pub low: f64,
    /// The longest duration, ms; `low` for a fixed one.
    pub high: f64,
}

impl Span {
    /// A fixed duration.
    pub const fn fixed(ms: f64) -> Self {
        Self { low: ms, high: ms }
    }

    /// A duration drawn between two bounds.
    pub const fn between(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// Checks that the bounds are in order, finite, and at least `least`.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] names `field`.
    pub fn validate(&self, field: &str, least: Least) -> Result<(), DataError> {
        let fine = match least {
            Least::Zero => self.low >= 0.0,
            Least::Some => self.low > 0.0,
        };
        if fine && self.low <= self.high && self.high <= LONGEST {
            return Ok(());
        }
        let least = match least {
            Least::Zero => "0",
            Least::Some => "above 0",
        };
        Err(DataError::invalid(
            field,
            self,
            format!("{least} to {LONGEST} ms, one number or two in rising order"),
        ))
    }
}

/// Whether a duration may be 0.
#[derive(Debug, Clone, Copy)]
pub enum Least {
    /// It may.
    Zero,
    /// It may not.
    Some,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            self.low.fmt(f)
        } else {
            write!(f, "[{}, {}]", self.low, self.high)
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let limits = schemars::json_schema!({"type": "number", "minimum": 0, "maximum": LONGEST});
        schemars::json_schema!({
            "unit": "ms",
            "anyOf": [limits, {"type": "array", "items": limits, "minItems": 2, "maxItems": 2}],
        })
    }
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a duration in ms is one number or two, as in 800 or [80, 1500]"
)]
enum Written {
    Fixed(f64),
    Between([f64; 2]),
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.low == self.high {
            self.low.serialize(serializer)
        } else {
            [self.low, self.high].serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Fixed(ms) => Self::fixed(ms),
            Written::Between([low, high]) => Self::between(low, high),
        })
    }
}
