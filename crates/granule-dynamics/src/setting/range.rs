//! The values that make sense for a parameter.

use granule_io::words::Number;

use crate::{Bounds, DynamicsError};

/// The values that make sense for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Range {
    /// Any finite number.
    Any,
    /// Finite and above 0: a capacitance, a slope.
    Positive,
    /// Finite and at least 0: a conductance. Trained, it stays above 0.
    NonNegative,
    /// From 0 to 1: a gate. Trained, it stays between them.
    Fraction,
    /// Above 0 and below 1.
    OpenFraction,
    /// A potential in mV, in the bounds of what a membrane may have and well beyond: from −1000 to 1000.
    Potential,
    /// The length of a piece of a cell: from 1 nm to the 10 m of the longest axons.
    Length,
    /// The diameter of a piece of a cell: from 2 nm to 2 cm, ten times what any has.
    Diameter,
    /// An axial resistivity: from that of a salt solution, and less, to a thousand times that of cytoplasm.
    Resistivity,
}

/// The highest [`Range::Potential`], mV.
const HIGHEST: f64 = 1000.0;

impl Range {
    /// The lowest and the highest value, of ranges that have and include both.
    fn ends(self) -> Option<[f64; 2]> {
        match self {
            Self::Any | Self::Positive | Self::NonNegative | Self::OpenFraction => None,
            Self::Fraction => Some([0.0, 1.0]),
            Self::Potential => Some([-HIGHEST, HIGHEST]),
            Self::Length => Some([1e-3, 1e7]),
            Self::Diameter => Some([2e-3, 2e4]),
            Self::Resistivity => Some([0.01, 1e5]),
        }
    }

    /// Whether a value lies within.
    pub fn contains(self, value: f64) -> bool {
        let within = |[low, high]: [f64; 2]| (low..=high).contains(&value);
        value.is_finite()
            && match self {
                Self::Positive => value > 0.0,
                Self::NonNegative => value >= 0.0,
                Self::OpenFraction => 0.0 < value && value < 1.0,
                _ => self.ends().is_none_or(within),
            }
    }

    /// Checks one value.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] with the field.
    pub fn check(self, field: impl Into<String>, value: f64) -> Result<(), DynamicsError> {
        if self.contains(value) {
            Ok(())
        } else {
            Err(DynamicsError::config(field, Number(value), self.describe()))
        }
    }

    /// Whether all values that training can reach make sense.
    pub(crate) fn admits(self, bounds: Bounds) -> bool {
        let (low, high) = match bounds {
            Bounds::Free => (f64::NEG_INFINITY, f64::INFINITY),
            Bounds::Above(low) | Bounds::AtLeast(low) => (low, f64::INFINITY),
            Bounds::Below(high) => (f64::NEG_INFINITY, high),
            Bounds::Between(low, high) => (low, high),
        };
        let within = match self {
            Self::Any | Self::Potential => true,
            Self::Positive
            | Self::NonNegative
            | Self::Length
            | Self::Diameter
            | Self::Resistivity => low >= 0.0,
            Self::Fraction | Self::OpenFraction => low >= 0.0 && high <= 1.0,
        };
        within && low < high
    }

    /// Where training keeps it unless told otherwise.
    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::Any | Self::Potential => Bounds::Free,
            Self::Positive
            | Self::NonNegative
            | Self::Length
            | Self::Diameter
            | Self::Resistivity => Bounds::Above(0.0),
            Self::Fraction | Self::OpenFraction => Bounds::Between(0.0, 1.0),
        }
    }

    /// In words, for messages and help.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Any => "a finite number",
            Self::Positive => "a finite number above 0",
            Self::NonNegative => "a finite number, at least 0",
            Self::Fraction => "from 0 to 1",
            Self::OpenFraction => "between 0 and 1, both excluded",
            Self::Potential => "from -1000 to 1000 mV",
            Self::Length => "from 0.001 to 1e7 µm",
            Self::Diameter => "from 0.002 to 2e4 µm",
            Self::Resistivity => "from 0.01 to 1e5 Ωcm",
        }
    }
}

/// In the schema of a configuration, the range that validation asks for.
#[cfg(feature = "schema")]
impl schemars::transform::Transform for Range {
    fn transform(&mut self, schema: &mut schemars::Schema) {
        let limits = match (*self, self.ends()) {
            (_, Some([low, high])) => vec![("minimum", low), ("maximum", high)],
            (Self::Positive, _) => vec![("exclusiveMinimum", 0.0)],
            (Self::NonNegative, _) => vec![("minimum", 0.0)],
            (Self::OpenFraction, _) => vec![("exclusiveMinimum", 0.0), ("exclusiveMaximum", 1.0)],
            _ => Vec::new(),
        };
        for (name, limit) in limits {
            let limit = if limit.fract() == 0.0 {
                (limit as i64).into()
            } else {
                limit.into()
            };
            schema.insert(name.to_owned(), limit);
        }
    }
}

#[cfg(feature = "schema")]
impl Range {
    /// The range and the unit in the schema of a configuration.
    pub(crate) fn of_unit(mut self, unit: &'static str) -> impl schemars::transform::Transform {
        move |schema: &mut schemars::Schema| {
            schemars::transform::Transform::transform(&mut self, schema);
            if unit != "1" {
                schema.insert("unit".to_owned(), unit.into());
            }
        }
    }
}
