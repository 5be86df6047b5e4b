//! Parameters on their way from a configuration through a module to a run.

use std::collections::BTreeMap;
use std::ops;

use burn::module::Module;
use burn::tensor::Tensor;
use granule_ops::Coefficient;

use super::ParameterInfo;
use crate::setting::{Range, Setting, check_count, check_listed};
use crate::{Bounds, DynamicsError, Parameter, Place, Values};

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

    /// The same where what has a value of its own is no cell.
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

    /// The same value without derivatives, on the same device.
    pub(crate) fn without_tape(&self) -> Self {
        self.map(|x| x, Tensor::detach)
    }

    pub(crate) fn coefficient(&self) -> Coefficient {
        match self {
            Self::Number(x) => Coefficient::Number(*x),
            Self::Tensor(x) => Coefficient::Tensor(x.clone()),
        }
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
}

impl ops::Sub<Tensor<2>> for &Quantity {
    type Output = Tensor<2>;

    fn sub(self, x: Tensor<2>) -> Tensor<2> {
        self.shift(x.neg())
    }
}

/// Equations as the paper has them: constants of a run beside tensors `[batch, cells]`, and among each other.
macro_rules! arithmetic {
    ($($Op:ident, $op:ident, |$x:ident, $a:ident| $scalar:expr, unless $neutral:literal, $number:expr;)+) => {$(
        impl ops::$Op<&Quantity> for Tensor<2> {
            type Output = Tensor<2>;

            fn $op(self, other: &Quantity) -> Tensor<2> {
                match other {
                    Quantity::Number(a) if *a == $neutral => self,
                    Quantity::Number($a) => {
                        let $x = self;
                        $scalar
                    }
                    Quantity::Tensor(a) => ops::$Op::$op(self, a.clone()),
                }
            }
        }

        impl ops::$Op<&Quantity> for Quantity {
            type Output = Quantity;

            fn $op(self, other: &Quantity) -> Quantity {
                match (self, other) {
                    (Self::Number(a), Self::Number(b)) => Self::Number(ops::$Op::$op(a, b)),
                    (Self::Tensor(a), b) => Self::Tensor(ops::$Op::$op(a, b)),
                    (Self::Number(a), Self::Tensor(b)) => {
                        let number: fn(f64, Tensor<2>) -> Tensor<2> = $number;
                        Self::Tensor(number(a, b.clone()))
                    }
                }
            }
        }

        impl ops::$Op<&Quantity> for &Quantity {
            type Output = Quantity;

            fn $op(self, other: &Quantity) -> Quantity {
                ops::$Op::$op(self.clone(), other)
            }
        }

        impl ops::$Op<f64> for Quantity {
            type Output = Quantity;

            fn $op(self, other: f64) -> Quantity {
                ops::$Op::$op(self, &Quantity::Number(other))
            }
        }
    )+};
}

arithmetic! {
    Add, add, |x, a| x.add_scalar(*a), unless 0.0, |a, b| b.add_scalar(a);
    Sub, sub, |x, a| x.sub_scalar(*a), unless 0.0, |a, b| b.neg().add_scalar(a);
    Mul, mul, |x, a| x.mul_scalar(*a), unless 1.0, |a, b| b.mul_scalar(a);
    // The backward pass of Burn's `div_scalar` rounds its factor to single precision.
    Div, div, |x, a| x.mul_scalar(a.recip()), unless 1.0, |a, b| b.recip().mul_scalar(a);
}
