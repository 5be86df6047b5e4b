//! Curves of the voltage and of concentrations: rates, steady states and time constants.

use granule_ops::{Argument, Curve, RateCurve, Term};
use serde::{Deserialize, Serialize};

use super::scalar::Scalar;
use crate::{DynamicsError, Values};

/// A function of the voltage, with x = (V − midpoint)/slope, or of a concentration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CurveConfig {
    /// `scale`, at every voltage.
    Constant(Level),
    /// `scale·x/(1 − exp(−x))`, elsewhere called linoid, linear over exponential or vtrap: `scale` at the midpoint, rising
    /// linearly far above it.
    Linear(VoltageTerm),
    /// `scale·x/(exp(x) − 1)`, a linoid as well: `scale` at the midpoint, rising linearly far below it.
    FallingLinear(VoltageTerm),
    /// `scale·exp(x)`: rising e-fold over one slope.
    Exponential(VoltageTerm),
    /// `scale·exp(−x)`: falling e-fold over one slope.
    FallingExponential(VoltageTerm),
    /// `scale/(1 + exp(−x))`, a Boltzmann function: half of `scale` at the midpoint.
    Sigmoid(VoltageTerm),
    /// `scale/(1 + exp(x))`: half of `scale` at the midpoint, falling.
    FallingSigmoid(VoltageTerm),
    /// `scale·cⁿ/(cⁿ + Kⁿ)` of a concentration c, with n = `exponent` and K = `half`.
    Hill(HillTerm),
    /// The sum of other curves.
    Sum(Parts),
    /// The product of other curves.
    Product(Parts),
    /// A power of another curve: −1 is its reciprocal.
    Power(PowerOf),
}

fn one() -> Values {
    Values::One(1.0)
}

/// A constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Its value, in the unit of the curve.
    #[serde(alias = "rate")]
    #[cfg_attr(feature = "schema", schemars(extend("aliases" = ["rate"], "unit" = "that of the table")))]
    pub scale: Values,
}

/// A term that depends on the voltage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VoltageTerm {
    /// The factor of the term, in the unit of the curve; without, 1.
    #[serde(alias = "rate", default = "one")]
    #[cfg_attr(feature = "schema", schemars(extend("aliases" = ["rate"], "unit" = "that of the table")))]
    pub scale: Values,
    /// The voltage at which x is 0, mV.
    pub midpoint: Values,
    /// The voltage over which x rises by 1, mV, above 0.
    pub slope: Values,
}

/// A term that depends on a concentration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HillTerm {
    /// The value at high concentrations, in the unit of the curve; without, 1.
    #[serde(alias = "rate", default = "one")]
    #[cfg_attr(feature = "schema", schemars(extend("aliases" = ["rate"], "unit" = "that of the table")))]
    pub scale: Values,
    /// The name of the concentration.
    pub concentration: String,
    /// The concentration K at which it is half of its highest value.
    pub half: Values,
    /// The exponent n; without, 1.
    #[serde(default = "one")]
    pub exponent: Values,
}

/// What a curve is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// The parts, curves of any kind.
    #[cfg_attr(feature = "schema", schemars(schema_with = "curves"))]
    pub of: Vec<CurveConfig>,
}

/// A power of a curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PowerOf {
    /// The curve, of any kind, above 0.
    #[cfg_attr(feature = "schema", schemars(schema_with = "any_curve"))]
    pub of: Box<CurveConfig>,
    /// The exponent, other than 0.
    pub exponent: f64,
}

/// A curve within a curve: a table that has a kind. Were it the whole schema again, a list of all keys would never end.
#[cfg(feature = "schema")]
fn any_curve(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "additionalProperties": true,
        "within": "#/$defs/CurveConfig",
    })
}

#[cfg(feature = "schema")]
fn curves(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": any_curve(generator) })
}

macro_rules! voltage_terms {
    ($($(#[$doc:meta])* $name:ident: $Variant:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name(scale: f64, midpoint: f64, slope: f64) -> CurveConfig {
            CurveConfig::$Variant(VoltageTerm {
                scale: scale.into(),
                midpoint: midpoint.into(),
                slope: slope.into(),
            })
        }
    )+};
}

voltage_terms! {
    /// `scale·x/(1 − exp(−x))`. Written a·(V − midpoint)/(1 − exp(−x)) elsewhere, with a = scale/slope.
    linear: Linear;
    /// `scale·x/(exp(x) − 1)`
    falling_linear: FallingLinear;
    /// `scale·exp(x)`
    exponential: Exponential;
    /// `scale·exp(−x)`
    falling_exponential: FallingExponential;
    /// `scale/(1 + exp(−x))`
    sigmoid: Sigmoid;
    /// `scale/(1 + exp(x))`
    falling_sigmoid: FallingSigmoid;
}

/// The same at every voltage.
pub fn constant(scale: f64) -> CurveConfig {
    CurveConfig::Constant(Level {
        scale: scale.into(),
    })
}

/// `cⁿ/(cⁿ + Kⁿ)` of the concentration of that name.
pub fn hill(concentration: &str, half: f64, exponent: f64) -> CurveConfig {
    CurveConfig::Hill(HillTerm {
        scale: one(),
        concentration: concentration.to_owned(),
        half: half.into(),
        exponent: exponent.into(),
    })
}

/// The sum of curves.
pub fn sum(of: impl Into<Vec<CurveConfig>>) -> CurveConfig {
    CurveConfig::Sum(Parts { of: of.into() })
}

/// The product of curves.
pub fn product(of: impl Into<Vec<CurveConfig>>) -> CurveConfig {
    CurveConfig::Product(Parts { of: of.into() })
}

/// A power of a curve.
pub fn power(of: CurveConfig, exponent: f64) -> CurveConfig {
    CurveConfig::Power(PowerOf {
        of: Box::new(of),
        exponent,
    })
}

impl CurveConfig {
    /// The number of terms.
    pub(super) fn terms(&self) -> usize {
        match self {
            Self::Sum(parts) | Self::Product(parts) => parts.of.iter().map(Self::terms).sum(),
            Self::Power(power) => power.of.terms(),
            _ => 1,
        }
    }

    /// The number of curves in it, itself included.
    pub(super) fn parts(&self) -> usize {
        match self {
            Self::Sum(parts) | Self::Product(parts) => {
                1 + parts.of.iter().map(Self::parts).sum::<usize>()
            }
            Self::Power(power) => 1 + power.of.parts(),
            _ => 1,
        }
    }

    /// What is wrong with its form, and where below it.
    pub(super) fn fault(&self) -> Option<(String, String, &'static str)> {
        match self {
            Self::Sum(parts) | Self::Product(parts) => {
                if parts.of.is_empty() {
                    return Some((".of".into(), "[]".into(), "one curve or more"));
                }
                let mut all = parts.of.iter().enumerate();
                all.find_map(|(index, part)| {
                    let (below, found, allowed) = part.fault()?;
                    Some((format!(".of[{index}]{below}"), found, allowed))
                })
            }
            Self::Power(power) => {
                let exponent = power.exponent;
                if !exponent.is_finite() || exponent == 0.0 || exponent.abs() > 16.0 {
                    let allowed = "a number from -16 to 16 other than 0";
                    return Some((".exponent".into(), exponent.to_string(), allowed));
                }
                let (below, found, allowed) = power.of.fault()?;
                Some((format!(".of{below}"), found, allowed))
            }
            _ => None,
        }
    }

    /// The names of the concentrations that it depends on.
    pub(super) fn concentrations(&self) -> Vec<&str> {
        match self {
            Self::Sum(parts) | Self::Product(parts) => {
                parts.of.iter().flat_map(Self::concentrations).collect()
            }
            Self::Power(power) => power.of.concentrations(),
            Self::Hill(term) => vec![&term.concentration],
            _ => Vec::new(),
        }
    }
}

/// A constant of a table by its name.
pub(crate) type Constants<'a, T> = dyn Fn(&str) -> Result<T, DynamicsError> + 'a;

/// Where the constants of a curve come from.
pub(super) struct CurveInputs<'a, T> {
    /// A constant by its name.
    pub constant: &'a Constants<'a, T>,
    /// A concentration by its name.
    pub pool: &'a dyn Fn(&str) -> Result<usize, DynamicsError>,
    /// Added to the midpoints.
    pub shift: T,
    /// `alpha_m` and the like, which the names of its constants begin with.
    pub stem: String,
    /// What a scale is called.
    pub scale: &'static str,
    /// The number of the term, where there are several.
    pub term: Option<usize>,
}

impl<T: Scalar> CurveInputs<'_, T> {
    fn take(&self, name: &str) -> Result<T, DynamicsError> {
        (self.constant)(&super::names::of_term(&self.stem, self.term, name))
    }

    /// The curve with its constants bound.
    pub(super) fn bind(&mut self, config: &CurveConfig) -> Result<Curve<T>, DynamicsError> {
        let mut all = |parts: &Parts| -> Result<Vec<_>, _> {
            parts.of.iter().map(|part| self.bind(part)).collect()
        };
        let term = match config {
            CurveConfig::Sum(parts) => return Ok(Curve::Sum(all(parts)?)),
            CurveConfig::Product(parts) => return Ok(Curve::Product(all(parts)?)),
            CurveConfig::Power(power) => {
                let base = Box::new(self.bind(&power.of)?);
                return Ok(Curve::Power(base, power.exponent));
            }
            CurveConfig::Constant(_) => Term {
                curve: RateCurve::Constant,
                argument: Argument::Voltage,
                scale: self.take(self.scale)?,
                shift: T::from(0.0),
                steepness: T::from(0.0),
            },
            CurveConfig::Hill(term) => Term {
                curve: RateCurve::Hill,
                argument: Argument::Concentration((self.pool)(&term.concentration)?),
                scale: self.take(self.scale)?,
                shift: self.take("half")?,
                steepness: self.take("exponent")?,
            },
            CurveConfig::Linear(_) => self.term(RateCurve::Bernoulli, false)?,
            CurveConfig::FallingLinear(_) => self.term(RateCurve::Bernoulli, true)?,
            CurveConfig::Exponential(_) => self.term(RateCurve::Exponential, true)?,
            CurveConfig::FallingExponential(_) => self.term(RateCurve::Exponential, false)?,
            CurveConfig::Sigmoid(_) => self.term(RateCurve::Sigmoid, false)?,
            CurveConfig::FallingSigmoid(_) => self.term(RateCurve::Sigmoid, true)?,
        };
        self.term = self.term.map(|term| term + 1);
        Ok(Curve::Term(term))
    }

    /// With `z = ±(V − midpoint)/slope`.
    fn term(&self, curve: RateCurve, positive: bool) -> Result<Term<T>, DynamicsError> {
        let per_slope = self.take("slope")?.reciprocal();
        Ok(Term {
            curve,
            argument: Argument::Voltage,
            scale: self.take(self.scale)?,
            shift: self.take("midpoint")?.plus(&self.shift).negative(),
            steepness: if positive {
                per_slope
            } else {
                per_slope.negative()
            },
        })
    }
}
