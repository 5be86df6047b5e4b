//! Parameters on their way from a configuration through a module to a run.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Bool, Tensor};

use super::ParameterInfo;
use crate::{Bounds, DynamicsError, Parameter, Place, Values};

/// The values that make sense for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Any finite number.
    Any,
    /// Finite and above 0: a capacitance, a slope.
    Positive,
    /// Finite and at least 0: a conductance. Trained, it stays above 0.
    NonNegative,
    /// From 0 to 1: a gate. Trained, it stays between them.
    Fraction,
}

impl Range {
    fn contains(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Any => true,
                Self::Positive => value > 0.0,
                Self::NonNegative => value >= 0.0,
                Self::Fraction => (0.0..=1.0).contains(&value),
            }
    }

    /// Whether all values that training can reach make sense.
    fn admits(self, bounds: Bounds) -> bool {
        let (low, high) = match bounds {
            Bounds::Free => (f64::NEG_INFINITY, f64::INFINITY),
            Bounds::Above(low) | Bounds::AtLeast(low) => (low, f64::INFINITY),
            Bounds::Below(high) => (f64::NEG_INFINITY, high),
            Bounds::Between(low, high) => (low, high),
        };
        let within = match self {
            Self::Any => true,
            Self::Positive | Self::NonNegative => low >= 0.0,
            Self::Fraction => low >= 0.0 && high <= 1.0,
        };
        within && low < high
    }

    /// Where training keeps it unless told otherwise.
    fn bounds(self) -> Bounds {
        match self {
            Self::Any => Bounds::Free,
            Self::Positive | Self::NonNegative => Bounds::Above(0.0),
            Self::Fraction => Bounds::Between(0.0, 1.0),
        }
    }

    /// In words, for messages and help.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Any => "a finite number",
            Self::Positive => "a finite number above 0",
            Self::NonNegative => "a finite number, at least 0",
            Self::Fraction => "from 0 to 1",
        }
    }
}

/// A parameter in a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Setting<'a> {
    /// Its full name, for errors.
    pub(crate) field: String,
    pub(crate) values: &'a Values,
    pub(crate) range: Range,
    /// Where training keeps it; `None` where it is fixed.
    pub(crate) bounds: Option<Bounds>,
}

impl<'a> Setting<'a> {
    /// The parameter `name` of the section `unit`, trainable where `trainable` lists it.
    pub(crate) fn new(
        (section, name): (&str, &str),
        values: &'a Values,
        range: Range,
        trainable: &[String],
        bounds: &BTreeMap<String, Bounds>,
    ) -> Self {
        let listed = trainable.iter().any(|listed| listed == name);
        Self {
            field: format!("{section}.{name}"),
            values,
            range,
            bounds: listed.then(|| bounds.get(name).copied().unwrap_or(range.bounds())),
        }
    }

    /// Checks number, range and bounds of the values.
    pub(crate) fn check(&self, cells: usize) -> Result<(), DynamicsError> {
        let values = self.values.as_slice();
        if ![1, cells].contains(&values.len()) {
            let found = format!("[{} values]", values.len());
            let allowed = format!("one value, or {cells}: one for each cell");
            return Err(DynamicsError::config(&self.field, found, allowed));
        }
        if let Some(value) = values.iter().find(|x| !self.range.contains(**x)) {
            return Err(DynamicsError::config(
                &self.field,
                value,
                self.range.describe(),
            ));
        }
        match self.bounds {
            Some(bounds) if !self.range.admits(bounds) => Err(DynamicsError::config(
                format!("bounds of {}", self.field),
                format!("{bounds:?}"),
                format!("bounds that keep it {}", self.range.describe()),
            )),
            _ => Ok(()),
        }
    }

    /// Checks it and makes it part of a module.
    pub(crate) fn init(&self, cells: usize, place: &Place) -> Result<Constant, DynamicsError> {
        self.check(cells)?;
        let values = self.values.as_slice();
        Ok(match (self.bounds, values) {
            (Some(bounds), _) => {
                Constant::Parameter(Parameter::trainable(&self.field, values, bounds, place)?)
            }
            (None, [value]) => Constant::Number(*value),
            (None, _) => {
                Constant::Parameter(Parameter::fixed(&self.field, values, Bounds::Free, place)?)
            }
        })
    }
}

/// All parameters of a configuration by name, with what training may do to them.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    section: &'static str,
    trainable: &'a [String],
    bounds: &'a BTreeMap<String, Bounds>,
    entries: Vec<(&'static str, Setting<'a>)>,
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
        (section, name): (&str, &'static str),
        values: &'a Values,
        range: Range,
    ) {
        let setting = Setting::new((section, name), values, range, self.trainable, self.bounds);
        self.entries.push((name, setting));
    }

    /// Where training keeps the parameter `name` unless the configuration says otherwise.
    pub(crate) fn keep(&mut self, name: &str, bounds: Bounds) {
        let own = self.bounds.contains_key(name);
        let entries = self.entries.iter_mut().filter(|(known, _)| *known == name);
        for (_, setting) in entries.filter(|(_, setting)| !own && setting.bounds.is_some()) {
            setting.bounds = Some(bounds);
        }
    }

    /// Checks that `trainable` and `bounds` name parameters, and every parameter.
    pub(crate) fn check(&self, units: usize) -> Result<(), DynamicsError> {
        let listed = self.trainable.iter().map(|name| ("trainable", name));
        let bounded = self.bounds.keys().map(|name| ("bounds", name));
        let unknown = |name: &String| self.entries.iter().all(|(known, _)| known != name);
        if let Some((list, name)) = listed.chain(bounded).find(|(_, name)| unknown(name)) {
            let known: Vec<_> = self.entries.iter().map(|(name, _)| *name).collect();
            let field = format!("{}.{list}", self.section);
            return Err(DynamicsError::config(field, name, known.join(", ")));
        }
        let mut entries = self.entries.iter();
        entries.try_for_each(|(_, setting)| setting.check(units))
    }

    /// The largest number of values.
    pub(crate) fn widest(&self) -> usize {
        let widths = self.entries.iter().map(|(_, s)| s.values.as_slice().len());
        widths.max().unwrap_or(1)
    }

    /// Checks that `above` exceeds `below` in every unit.
    pub(crate) fn ordered(&self, above: &str, below: &str) -> Result<(), DynamicsError> {
        let find = |name| self.entries.iter().find(|(known, _)| *known == name);
        let (Some((_, above)), Some((_, below))) = (find(above), find(below)) else {
            return Ok(());
        };
        let (high, low) = (above.values.as_slice(), below.values.as_slice());
        let at = |values: &[f64], unit: usize| values[unit.min(values.len() - 1)];
        let mut units = 0..high.len().max(low.len());
        match units.find(|unit| at(high, *unit) <= at(low, *unit)) {
            Some(unit) => Err(DynamicsError::config(
                &above.field,
                at(high, unit),
                format!("above {} = {}", below.field, at(low, unit)),
            )),
            None => Ok(()),
        }
    }

    /// Checks that the parameters `names` are below the potential at which a spike is cut.
    pub(crate) fn below_peak(&self, peak: f64, names: &[&str]) -> Result<(), DynamicsError> {
        if !peak.is_finite() {
            let field = format!("{}.peak", self.section);
            return Err(DynamicsError::config(field, peak, Range::Any.describe()));
        }
        for (_, setting) in self.entries.iter().filter(|(name, _)| names.contains(name)) {
            let above = |value: &&f64| **value >= peak;
            if let Some(value) = setting.values.as_slice().iter().find(above) {
                let allowed = format!("below the peak, {peak}");
                return Err(DynamicsError::config(&setting.field, value, allowed));
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
        let entry = self.entries.iter().find(|(known, _)| *known == name);
        entry
            .map(|(_, setting)| setting.init(units, place))
            .transpose()
    }

    /// Makes the parameter `name`, which is there, part of a module.
    pub(crate) fn init(
        &self,
        name: &str,
        units: usize,
        place: &Place,
    ) -> Result<Constant, DynamicsError> {
        let found = self.find(name, units, place)?;
        found.ok_or_else(|| DynamicsError::config(name, "nothing", "a value"))
    }
}

/// A parameter of a cell, as its module holds it.
///
/// One fixed value for all cells stays a number: a run then multiplies by it without a tensor and a tape.
#[derive(Module, Debug)]
pub enum Constant {
    /// The same fixed value for all cells.
    Number(f64),
    /// Trainable, or a value for each cell.
    Parameter(Parameter),
}

impl Constant {
    /// The values on the host: one, or one for each cell.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] when the device cannot be read.
    pub fn values(&self) -> Result<Vec<f64>, DynamicsError> {
        match self {
            Self::Number(value) => Ok(vec![*value]),
            Self::Parameter(parameter) => parameter.values(),
        }
    }

    /// The parameter, where it is one.
    pub fn parameter(&self) -> Option<&Parameter> {
        match self {
            Self::Number(_) => None,
            Self::Parameter(parameter) => Some(parameter),
        }
    }

    pub(crate) fn quantity(&self) -> Quantity {
        match self {
            Self::Number(value) => Quantity::Number(*value),
            Self::Parameter(parameter) => Quantity::Tensor(parameter.value()),
        }
    }
}

/// A constant of a run: a number, or `[1, 1]` or `[1, cells]` on the device.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each run, and its tensors are read at every step"
)]
pub(crate) enum Quantity {
    Number(f64),
    Tensor(Tensor<2>),
}

impl Quantity {
    fn map(
        &self,
        number: impl FnOnce(f64) -> f64,
        tensor: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Self {
        match self {
            Self::Number(x) => Self::Number(number(*x)),
            Self::Tensor(x) => Self::Tensor(tensor(x.clone())),
        }
    }

    pub(crate) fn is_tracked(&self) -> bool {
        matches!(self, Self::Tensor(x) if crate::state::is_tracked(x))
    }

    pub(crate) fn without_autodiff(&self) -> Self {
        self.map(|x| x, Tensor::without_autodiff)
    }

    pub(crate) fn negative(&self) -> Self {
        self.map(|x| -x, Tensor::neg)
    }

    pub(crate) fn reciprocal(&self) -> Self {
        self.map(f64::recip, Tensor::recip)
    }

    pub(crate) fn ln(&self) -> Self {
        self.map(f64::ln, Tensor::log)
    }

    pub(crate) fn exp(&self) -> Self {
        self.map(f64::exp, Tensor::exp)
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a * b),
            (Self::Tensor(x), y) | (y, Self::Tensor(x)) => Self::Tensor(y.scale(x.clone())),
        }
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a + b),
            (Self::Tensor(x), y) | (y, Self::Tensor(x)) => Self::Tensor(y.shift(x.clone())),
        }
    }

    /// `self·x`
    pub(crate) fn scale(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Number(a) if *a == 1.0 => x,
            Self::Number(a) => x.mul_scalar(*a),
            Self::Tensor(a) => x * a.clone(),
        }
    }

    /// `self + x`
    pub(crate) fn shift(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Number(a) if *a == 0.0 => x,
            Self::Number(a) => x.add_scalar(*a),
            Self::Tensor(a) => x + a.clone(),
        }
    }

    /// `self − x`
    pub(crate) fn minus(&self, x: Tensor<2>) -> Tensor<2> {
        self.shift(x.neg())
    }

    /// `x` with `self` where the mask is true.
    pub(crate) fn put(&self, x: Tensor<2>, mask: Tensor<2, Bool>) -> Tensor<2> {
        match self {
            Self::Number(a) => x.mask_fill(mask, *a),
            Self::Tensor(a) => {
                let dims = x.dims();
                x.mask_where(mask, a.clone().expand(dims))
            }
        }
    }
}
