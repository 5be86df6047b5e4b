//! All parameters of a configuration by name, on their way to a module.

use std::collections::BTreeMap;

use super::{Range, Setting, check_count, check_listed};
use crate::quantity::Constant;
use crate::{Bounds, DynamicsError, Place, Values};

/// What a parameter is, for help and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParameterInfo {
    /// The name in configuration files, below `parameters`.
    pub name: &'static str,
    /// The unit; `1` where there is none.
    pub unit: &'static str,
    /// The values that make sense.
    pub range: Range,
    /// What it is.
    pub description: &'static str,
}

/// A setting in its section, with where training keeps it; `None` where it is fixed.
#[derive(Debug)]
struct Entry<'a> {
    section: &'a str,
    setting: Setting<'a>,
    bounds: Option<Bounds>,
}

impl Entry<'_> {
    fn field(&self) -> String {
        self.setting.field(self.section)
    }

    /// Checks number and range of the values.
    fn check(&self, cells: usize) -> Result<(), DynamicsError> {
        self.check_as(cells, "cell")
    }

    fn check_as(&self, count: usize, of: &'static str) -> Result<(), DynamicsError> {
        self.setting.check(self.section, (count, of))
    }

    /// Checks it and makes it part of a module.
    fn init(&self, cells: usize, place: &Place) -> Result<Constant, DynamicsError> {
        self.check(cells)?;
        match (self.bounds, self.setting.values) {
            (None, [value]) => Ok(Constant::Number(*value)),
            (bounds, _) => {
                let parameter = self.setting.within(bounds, self.section, place)?;
                Ok(Constant::Parameter(parameter))
            }
        }
    }
}

/// All parameters of a configuration by name, with what training may do to them.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    section: &'static str,
    trainable: &'a [String],
    bounds: &'a BTreeMap<String, Bounds>,
    entries: Vec<Entry<'a>>,
}

impl<'a> Settings<'a> {
    /// No parameters yet, of the configuration `section`.
    pub(crate) fn new(
        section: &'static str,
        trainable: &'a [String],
        bounds: &'a BTreeMap<String, Bounds>,
    ) -> Self {
        Self {
            section,
            trainable,
            bounds,
            entries: Vec::new(),
        }
    }

    /// The parameters of cells and the constant part of their current.
    pub(crate) fn of_cells(
        parameters: impl Iterator<Item = (&'static ParameterInfo, &'a Values)>,
        current: &'a Values,
        trainable: &'a [String],
        bounds: &'a BTreeMap<String, Bounds>,
    ) -> Self {
        let mut all = Self::new("unit", trainable, bounds);
        for (info, values) in parameters {
            all.add(("unit.parameters", info.name), values, info.range);
        }
        all.add(("unit", "current"), current, Range::Any);
        all
    }

    /// Adds the parameter `name` of `section`.
    pub(crate) fn add(
        &mut self,
        (section, name): (&'a str, &'static str),
        values: &'a Values,
        range: Range,
    ) {
        let setting = Setting::new(name, values, range);
        let own = self.bounds.get(name).copied();
        self.entries.push(Entry {
            section,
            setting,
            bounds: setting.bounds(self.trainable, own),
        });
    }

    fn entry(&self, name: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.setting.name == name)
    }

    /// The values of the parameter `name`; none of one that there is not.
    pub(crate) fn values(&self, name: &str) -> &[f64] {
        self.entry(name).map_or(&[], |entry| entry.setting.values)
    }

    /// Where training keeps the parameter `name` unless the configuration says otherwise.
    pub(crate) fn keep(&mut self, name: &str, bounds: Bounds) {
        let own = self.bounds.contains_key(name);
        let mut entries = self.entries.iter_mut();
        let entry = entries.find(|entry| entry.setting.name == name);
        if let Some(entry) = entry.filter(|entry| !own && entry.bounds.is_some()) {
            entry.bounds = Some(bounds);
        }
    }

    /// Checks that `trainable` and `bounds` name parameters, and every parameter.
    pub(crate) fn check(&self, units: usize) -> Result<(), DynamicsError> {
        self.check_as(units, "cell")
    }

    /// The same for things other than cells, each of which may have a value of its own.
    pub(crate) fn check_as(&self, units: usize, of: &'static str) -> Result<(), DynamicsError> {
        check_count(format!("{}.cells", self.section), units)?;
        let known = self.entries.iter().map(|entry| entry.setting.name);
        check_listed((self.section, "trainable"), self.trainable, known.clone())?;
        check_listed((self.section, "bounds"), self.bounds.keys(), known)?;
        for (name, bounds) in self.bounds {
            let range = self.entry(name).map(|entry| entry.setting.range);
            if let Some(range) = range.filter(|range| !range.admits(*bounds)) {
                let allowed = format!(
                    "bounds, the lower one first, that keep it {}",
                    range.describe()
                );
                let field = format!("{}.bounds.{name}", self.section);
                return Err(DynamicsError::config(field, bounds, allowed));
            }
        }
        let mut entries = self.entries.iter();
        entries.try_for_each(|entry| entry.check_as(units, of))
    }

    /// The largest number of values.
    pub(crate) fn widest(&self) -> usize {
        let widths = self.entries.iter().map(|entry| entry.setting.values.len());
        widths.max().unwrap_or(1)
    }

    /// Checks that `above` exceeds `below` in every unit.
    pub(crate) fn ordered(&self, above: &str, below: &str) -> Result<(), DynamicsError> {
        let (Some(above), Some(below)) = (self.entry(above), self.entry(below)) else {
            return Ok(());
        };
        let (high, low) = (above.setting.values, below.setting.values);
        let at = |values: &[f64], unit: usize| values[unit.min(values.len() - 1)];
        let mut units = 0..high.len().max(low.len());
        match units.find(|unit| at(high, *unit) <= at(low, *unit)) {
            Some(unit) => Err(DynamicsError::config(
                above.field(),
                at(high, unit),
                format!("above {} = {}", below.field(), at(low, unit)),
            )),
            None => Ok(()),
        }
    }

    /// Checks that the parameters `names` are below the potential at which a spike is cut.
    pub(crate) fn below_peak(&self, peak: f64, names: &[&str]) -> Result<(), DynamicsError> {
        Range::Any.check(format!("{}.peak", self.section), peak)?;
        for entry in names.iter().filter_map(|name| self.entry(name)) {
            let above = |value: &&f64| **value >= peak;
            if let Some(value) = entry.setting.values.iter().find(above) {
                let allowed = format!("below the peak, {peak}");
                return Err(DynamicsError::config(entry.field(), value, allowed));
            }
        }
        Ok(())
    }

    /// Makes the parameter `name` part of a module; none where there is no such parameter.
    pub(crate) fn find(
        &self,
        name: &str,
        units: usize,
        place: &Place,
    ) -> Result<Option<Constant>, DynamicsError> {
        let entry = self.entry(name);
        entry.map(|entry| entry.init(units, place)).transpose()
    }

    /// Makes the parameter `name`, which is there, part of a module.
    pub(crate) fn init(
        &self,
        name: &str,
        units: usize,
        place: &Place,
    ) -> Result<Constant, DynamicsError> {
        let found = self.find(name, units, place)?;
        found.ok_or_else(|| DynamicsError::missing(name))
    }
}
