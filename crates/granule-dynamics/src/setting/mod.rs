//! Settings of a configuration that become parameters: what they may be, and what training may do to them.

mod range;
mod table;

use std::collections::BTreeSet;

use granule_io::budget;
use granule_io::words::{Number, counted};

use crate::{Bounds, DynamicsError, Parameter, Place, Values};

pub use range::Range;
pub use table::ParameterInfo;
pub(crate) use table::Settings;

/// The most cells, units, nodes or channels that a model may have: more would not fit into memory before a run of them
/// begins. What grows with a product of counts asks for its memory as well, see [`budget::ask_for_numbers`].
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

/// The one table that is given of several, of which each makes another model.
///
/// # Errors
///
/// [`DynamicsError::Config`] with the field where there is none, or more than one.
pub fn only_one<T, const N: usize>(
    field: impl Into<String>,
    given: [(&str, Option<T>); N],
) -> Result<T, DynamicsError> {
    let names = given.each_ref().map(|(name, _)| *name);
    let mut tables: Vec<T> = given.into_iter().filter_map(|(_, table)| table).collect();
    match tables.pop() {
        Some(only) if tables.is_empty() => Ok(only),
        other => {
            let found = tables.len() + usize::from(other.is_some());
            let (last, first) = names.split_last().unwrap_or((&"", &[]));
            let allowed = format!("exactly one of {} and {last}", first.join(", "));
            Err(DynamicsError::config(
                field,
                counted(found, "table"),
                allowed,
            ))
        }
    }
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
