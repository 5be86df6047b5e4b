//! Parameters that keep to their bounds.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use granule_ops::{Transfer, firing_rate};
use serde::{Deserialize, Serialize};

use crate::DynamicsError;
use crate::state::{Place, host};

/// The values a trainable parameter may take; a smooth map from all real numbers keeps it inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Bounds {
    /// Any real number; the value is trained as it is.
    #[default]
    Free,
    /// Greater than the given value: `low + exp(raw)`.
    Above(f64),
    /// Not below the given value: `low + exp(raw)`; the value itself cannot be trained, for no number maps to it.
    AtLeast(f64),
    /// Less than the given value: `high − exp(raw)`.
    Below(f64),
    /// Between two values: `low + (high − low)·sigmoid(raw)`.
    Between(f64, f64),
}

/// As in a configuration file.
impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Free => f.write_str("\"free\""),
            Self::Above(low) => write!(f, "{{ above = {low} }}"),
            Self::AtLeast(low) => write!(f, "{{ atleast = {low} }}"),
            Self::Below(high) => write!(f, "{{ below = {high} }}"),
            Self::Between(low, high) => write!(f, "{{ between = [{low}, {high}] }}"),
        }
    }
}

impl Bounds {
    pub(crate) fn contains(self, value: f64) -> bool {
        match self {
            Self::Free => value.is_finite(),
            Self::Above(low) => value.is_finite() && value > low,
            Self::AtLeast(low) => value.is_finite() && value >= low,
            Self::Below(high) => value.is_finite() && value < high,
            Self::Between(low, high) => low < value && value < high,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Free => "a finite number".into(),
            Self::Above(low) => format!("a finite number above {low}"),
            Self::AtLeast(low) => format!("a finite number, {low} or above"),
            Self::Below(high) => format!("a finite number below {high}"),
            Self::Between(low, high) => format!("between {low} and {high}, both excluded"),
        }
    }

    /// The end that a value has nearly come to, where training moved it there from `before`: within a hundredth of the way
    /// between two bounds, or of its distance from the only one.
    pub fn reached(self, before: f64, value: f64) -> Option<f64> {
        let near = |end: f64, whole: f64| {
            let share = |x: f64| (x - end).abs() / whole.abs();
            (share(value) < 0.01 && share(before) >= 0.01).then_some(end)
        };
        match self {
            Self::Free => None,
            Self::Above(end) | Self::AtLeast(end) | Self::Below(end) => near(end, before - end),
            Self::Between(low, high) => near(low, high - low).or(near(high, high - low)),
        }
    }

    fn raw(self, value: f64) -> f64 {
        match self {
            Self::Free => value,
            Self::Above(low) | Self::AtLeast(low) => (value - low).ln(),
            Self::Below(high) => (high - value).ln(),
            Self::Between(low, high) => ((value - low) / (high - value)).ln(),
        }
    }
}

/// A parameter of a model, one value for all units or one for each: `[1, 1]` or `[1, units]`.
///
/// A fixed one holds its value exactly. A trainable one holds the preimage of its value under its bounds' map, so that
/// no optimiser step can leave the bounds.
#[derive(Module, Debug)]
pub struct Parameter {
    /// What an optimiser sees.
    pub raw: Param<Tensor<2>>,
    #[module(skip)]
    bounds: Bounds,
}

impl Parameter {
    /// A parameter that no gradient changes. `bounds` are checked, not enforced by a map.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names `field` when a value is out of bounds, or when there is none.
    pub fn fixed(
        field: &str,
        values: &[f64],
        bounds: Bounds,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        check(field, values, bounds)?;
        let raw = place.tensor(values.to_vec(), [1, values.len()]);
        Ok(Self {
            raw: Param::from_tensor(raw).set_require_grad(false),
            bounds: Bounds::Free,
        })
    }

    /// A parameter that training may move within `bounds`.
    ///
    /// # Errors
    ///
    /// Those of [`fixed`](Self::fixed); also for the lowest value of [`Bounds::AtLeast`].
    pub fn trainable(
        field: &str,
        values: &[f64],
        bounds: Bounds,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let open = match bounds {
            Bounds::AtLeast(low) => Bounds::Above(low),
            other => other,
        };
        check(field, values, open)?;
        let raw: Vec<f64> = values.iter().map(|x| bounds.raw(*x)).collect();
        Ok(Self {
            raw: Param::from_tensor(place.tensor(raw, [1, values.len()])),
            bounds,
        })
    }

    /// The value, `[1, 1]` or `[1, units]`, differentiable with respect to [`raw`](Self::raw).
    pub fn value(&self) -> Tensor<2> {
        let raw = self.raw.val();
        match self.bounds {
            Bounds::Free => raw,
            Bounds::Above(low) | Bounds::AtLeast(low) => raw.exp().add_scalar(low),
            Bounds::Below(high) => raw.exp().neg().add_scalar(high),
            // Burn's own sigmoid goes through single precision on some backends.
            Bounds::Between(low, high) => firing_rate(raw, Transfer::Sigmoid)
                .mul_scalar(high - low)
                .add_scalar(low),
        }
    }

    /// Where training keeps it; a fixed one has none.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The values on the host.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] when the device cannot be read.
    pub fn values(&self) -> Result<Vec<f64>, DynamicsError> {
        host(self.value())
    }

    /// One, or the number of units.
    pub fn len(&self) -> usize {
        self.raw.dims()[1]
    }

    /// Never: a parameter has at least one value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a module holds of a setting of its configuration.
#[derive(Clone, Copy, Debug)]
pub enum Held<'a> {
    /// One value, or one for each unit.
    Values(&'a Parameter),
    /// Rows and columns.
    Matrix(&'a Param<Tensor<2>>),
}

/// The values of a parameter in a configuration: one number for all units, or a list with one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "must be a number, or a list of numbers")]
pub enum Values {
    /// The same for all units.
    One(f64),
    /// One for each unit.
    Each(Vec<f64>),
}

impl Values {
    /// The values as they stand: one, or one for each unit.
    pub fn as_slice(&self) -> &[f64] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }

    /// The lowest of them.
    pub fn lowest(&self) -> f64 {
        let values = self.as_slice().iter().copied();
        values.fold(f64::INFINITY, f64::min)
    }

    /// The highest of them.
    pub fn highest(&self) -> f64 {
        let values = self.as_slice().iter().copied();
        values.fold(f64::NEG_INFINITY, f64::max)
    }
}

impl From<f64> for Values {
    fn from(value: f64) -> Self {
        Self::One(value)
    }
}

impl From<Vec<f64>> for Values {
    fn from(values: Vec<f64>) -> Self {
        Self::Each(values)
    }
}

fn check(field: &str, values: &[f64], bounds: Bounds) -> Result<(), DynamicsError> {
    if values.is_empty() {
        return Err(DynamicsError::config(field, "[]", "at least one value"));
    }
    match values.iter().find(|value| !bounds.contains(**value)) {
        Some(value) => Err(DynamicsError::config(field, value, bounds.describe())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, f64_places};

    #[test]
    fn a_value_at_its_end_is_told_from_one_on_its_way() {
        let between = Bounds::Between(0.0, 200.0);
        assert_eq!(between.reached(120.0, 1.5), Some(0.0));
        assert_eq!(between.reached(120.0, 199.5), Some(200.0));
        assert_eq!(between.reached(120.0, 40.0), None);
        assert_eq!(between.reached(1.0, 1.5), None);
        assert_eq!(Bounds::Above(0.0).reached(0.3, 0.002), Some(0.0));
        assert_eq!(Bounds::Above(0.0).reached(0.3, 0.02), None);
        assert_eq!(Bounds::Free.reached(1.0, 0.0), None);
    }

    #[test]
    fn values_come_back_from_their_bounds_in_full_precision() {
        for (_, place) in f64_places() {
            for (bounds, values) in [
                (Bounds::Free, [-3.0, 0.1]),
                (Bounds::Above(-1.0), [-0.9, 40.0]),
                (Bounds::Between(5.0, 200.0), [17.3, 199.0]),
            ] {
                let parameter = Parameter::trainable("p", &values, bounds, &place).unwrap();
                for (found, value) in parameter.values().unwrap().iter().zip(values) {
                    assert_close(*found, value, 1e-14);
                }
            }
        }
    }
}
