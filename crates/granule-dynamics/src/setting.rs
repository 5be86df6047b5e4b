//! Settings of a configuration that become parameters: what they may be, and what training may do to them.

use std::collections::BTreeSet;

use granule_io::budget;
use granule_io::words::counted;

use crate::{Bounds, DynamicsError, Parameter, Place, Values};
use granule_io::words::Number;

/// The most cells, units, nodes or channels that a model may have: more would not fit into memory before a run of them
/// begins. What grows with a product of counts asks for its memory as well, see [`ask_for`].
pub(crate) const MOST: usize = 1 << 24;

/// The numbers that a run holds for each variable of a cell, unit or node, which have one at least: its state before and after a
/// step and what lies between them, its input, its parameters.
pub(crate) const HELD: usize = 16;

/// Checks a number of cells, units, nodes or channels of which there is at least one.
pub(crate) fn check_count(field: impl Into<String>, count: usize) -> Result<(), DynamicsError> {
    check_within(field, count, 1)
}

/// Checks a number of things, of which there are `least` or more.
pub(crate) fn check_within(
    field: impl Into<String>,
    count: usize,
    least: usize,
) -> Result<(), DynamicsError> {
    if (least..=MOST).contains(&count) {
        Ok(budget::ask_for::<[f64; HELD]>(
            "the cells or units and their state",
            count,
        )?)
    } else {
        Err(DynamicsError::config(
            field,
            count,
            format!("{least} to {MOST}"),
        ))
    }
}

/// Asks for the memory of as many numbers as the product of `counts`, before they are made.
///
/// # Errors
///
/// [`DynamicsError::Memory`] when there is less.
pub fn ask_for(what: &str, counts: &[usize]) -> Result<(), DynamicsError> {
    let numbers = counts
        .iter()
        .fold(1, |all: usize, n| all.saturating_mul(*n));
    Ok(budget::ask_for::<f64>(what, numbers)?)
}

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

/// A parameter as a configuration has it, in a section that has a name or, at the top of a file, none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub name: &'static str,
    pub values: &'a [f64],
    pub range: Range,
}

impl<'a> Setting<'a> {
    pub fn new(name: &'static str, values: &'a Values, range: Range) -> Self {
        let values = values.as_slice();
        Self {
            name,
            values,
            range,
        }
    }

    pub fn number(name: &'static str, value: &'a f64, range: Range) -> Self {
        let values = std::slice::from_ref(value);
        Self {
            name,
            values,
            range,
        }
    }

    /// Its full name, for errors.
    pub fn field(&self, section: &str) -> String {
        path(section, self.name)
    }

    /// Where training keeps it, if the list has it; bounds of one's own come first.
    pub fn bounds(&self, trainable: &[String], own: Option<Bounds>) -> Option<Bounds> {
        let listed = trainable.iter().any(|listed| listed == self.name);
        listed.then(|| own.unwrap_or(self.range.bounds()))
    }

    /// Checks the range of the values, and that there is one of them or one for each of `count` things.
    pub fn check(&self, section: &str, (count, thing): (usize, &str)) -> Result<(), DynamicsError> {
        let found = self.values.len();
        if ![1, count].contains(&found) {
            let found = format!("[{}]", counted(found, "value"));
            let allowed = format!("one value, or {count}: one for each {thing}");
            return Err(DynamicsError::config(self.field(section), found, allowed));
        }
        match self.values.iter().find(|x| !self.range.contains(**x)) {
            Some(value) => self.range.check(self.field(section), *value),
            None => Ok(()),
        }
    }

    /// Makes the parameter, trainable where the list has it.
    pub fn init(
        &self,
        section: &str,
        trainable: &[String],
        place: &Place,
    ) -> Result<Parameter, DynamicsError> {
        self.within(self.bounds(trainable, None), section, place)
    }

    /// Makes the parameter, trainable where there are bounds.
    pub fn within(
        &self,
        bounds: Option<Bounds>,
        section: &str,
        place: &Place,
    ) -> Result<Parameter, DynamicsError> {
        let field = self.field(section);
        match bounds {
            Some(bounds) => Parameter::trainable(&field, self.values, bounds, place),
            None => Parameter::fixed(&field, self.values, Bounds::Free, place),
        }
    }
}

/// Checks the settings of a section, and that `trainable` names some of them.
pub(crate) fn validate(
    section: &str,
    settings: &[Setting<'_>],
    trainable: &[String],
    each: (usize, &str),
) -> Result<(), DynamicsError> {
    for setting in settings {
        setting.check(section, each)?;
    }
    check_listed(
        (section, "trainable"),
        trainable,
        settings.iter().map(|setting| setting.name),
    )
}

/// The names that are allowed, for an error about another one, with the one that may be meant.
pub(crate) fn choices<'a>(found: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let listed = known.clone().collect::<Vec<_>>().join(", ");
    match meant(found, known) {
        Some(name) => format!("{listed}; did you mean `{name}`?"),
        None => listed,
    }
}

/// The name that may be meant by another one.
pub(crate) fn meant<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Beyond it two names are no longer compared.
    const LONGEST: usize = 200;
    if found.len() > LONGEST {
        return None;
    }
    let found = found.to_lowercase();
    let near = known.map(|name| (strsim::osa_distance(&found, &name.to_lowercase()), name));
    let near = near.filter(|(distance, name)| *distance <= 1 + name.len() / 5);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Checks that the list `name` of a section has none but `known` names.
pub(crate) fn check_listed<'a>(
    (section, name): (&str, &str),
    listed: impl IntoIterator<Item = &'a String>,
    known: impl Iterator<Item = &'static str> + Clone,
) -> Result<(), DynamicsError> {
    let mut before = BTreeSet::new();
    for listed in listed {
        let field = || path(section, name);
        if known.clone().all(|known| known != listed) {
            let allowed = choices(listed, known);
            return Err(DynamicsError::config(field(), listed, allowed));
        }
        if !before.insert(listed) {
            let found = format!("{listed:?} twice");
            return Err(DynamicsError::config(field(), found, "each name once"));
        }
    }
    Ok(())
}

/// Makes the parameters of a section, trainable where the list says so.
pub(crate) fn init<const N: usize>(
    section: &str,
    settings: [Setting<'_>; N],
    trainable: &[String],
    place: &Place,
) -> [Result<Parameter, DynamicsError>; N] {
    settings.map(|setting| setting.init(section, trainable, place))
}

fn path(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    }
}

/// Refuses a step that another one takes the place of, unless both are equal or it was never set.
///
/// # Errors
///
/// [`DynamicsError::Config`] with the field.
pub fn replaced(
    field: &str,
    value: f64,
    default: f64,
    outer: f64,
    other: impl FnOnce() -> String,
) -> Result<(), DynamicsError> {
    if value == default || (value - outer).abs() <= 1e-9 * outer.abs() {
        return Ok(());
    }
    let allowed = format!(
        "unset, for it is {}, {} ms, that counts",
        other(),
        Number(outer)
    );
    Err(DynamicsError::config(field, Number(value), allowed))
}
