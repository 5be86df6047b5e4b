use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Pid;
use crate::DynamicsError;
use crate::random::NormalNoise;
use crate::solver::tableau::Tableau;
use crate::solver::{Solver, SolverKind, dormand_prince, tsit5};

/// The method that makes the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// [`DormandPrince`](crate::solver::DormandPrince).
    DormandPrince,
    /// [`Tsit5`](crate::solver::Tsit5).
    #[default]
    Tsit5,
}

impl Method {
    pub(in crate::solver) fn tableau(self) -> &'static Tableau {
        match self {
            Self::DormandPrince => &dormand_prince::TABLEAU,
            Self::Tsit5 => &tsit5::TABLEAU,
        }
    }

    /// The same method with a step given from outside, for the replay of accepted instants.
    pub fn fixed(self) -> Box<dyn Solver> {
        SolverKind::from(self).init(NormalNoise::default())
    }
}

impl From<Method> for SolverKind {
    fn from(method: Method) -> Self {
        match method {
            Method::DormandPrince => Self::DormandPrince,
            Method::Tsit5 => Self::Tsit5,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SolverKind::from(*self).fmt(f)
    }
}

/// How exact an integration is and how it chooses its steps. Times are in the field's unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveConfig {
    /// The method.
    pub method: Method,
    /// The error allowed to a component in one step, relative to its size. Single precision has about seven digits: below
    /// 10⁻⁶ it gains nothing.
    pub rtol: f64,
    /// The error allowed to a component in one step where it is near 0, in its unit.
    pub atol: f64,
    /// The first step; by the method of Hairer, Nørsett and Wanner (1993, II.4) where it is not given.
    pub first_step: Option<f64>,
    /// The smallest step; in any case 16 times the resolution of the span's instants.
    pub min_step: f64,
    /// The largest step.
    pub max_step: Option<f64>,
    /// How many steps may be tried, accepted and refused ones together.
    pub max_steps: usize,
    /// The step control.
    pub pid: Pid,
    /// Instants inside the span, rising, at which a step ends: where the input jumps, or where a state is wanted.
    pub stops: Vec<f64>,
    /// Whether [`Solution::at`](super::Solution::at) is wanted, which takes seven slopes for each step in memory.
    pub dense: bool,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self {
            method: Method::default(),
            rtol: 1e-4,
            atol: 1e-6,
            first_step: None,
            min_step: 0.0,
            max_step: None,
            max_steps: 100_000,
            pid: Pid::default(),
            stops: Vec::new(),
            dense: true,
        }
    }
}

impl AdaptiveConfig {
    /// Checks every setting but the stops, which depend on the span.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the setting.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let check = |field: &str, value: f64, good: bool, allowed: &str| {
            if good {
                Ok(())
            } else {
                Err(DynamicsError::config(field, value, allowed))
            }
        };
        let not_negative = "a finite number, at least 0";
        let tolerance = |field, value: f64| {
            check(
                field,
                value,
                value.is_finite() && value >= 0.0,
                not_negative,
            )
        };
        tolerance("rtol", self.rtol)?;
        tolerance("atol", self.atol)?;
        tolerance("min_step", self.min_step)?;
        let some = self.rtol > 0.0 || self.atol > 0.0;
        check("rtol", self.rtol, some, "above 0 where atol is 0")?;
        for (field, step) in [("first_step", self.first_step), ("max_step", self.max_step)] {
            let step = step.unwrap_or(1.0);
            let good = step.is_finite() && step > 0.0;
            check(field, step, good, "a finite number above 0")?;
        }
        if let Some(largest) = self.max_step {
            let good = largest >= self.min_step;
            check("max_step", largest, good, "at least min_step")?;
        }
        if self.max_steps == 0 {
            return Err(DynamicsError::config("max_steps", 0, "at least 1"));
        }
        self.pid.validate()
    }

    /// The beginning of `span`, the stops and its end.
    pub(super) fn instants(&self, span: &Range<f64>) -> Result<Vec<f64>, DynamicsError> {
        let Range { start, end } = *span;
        if !(start.is_finite() && end.is_finite() && start < end) {
            return Err(DynamicsError::config(
                "span",
                format!("{start}..{end}"),
                "two finite instants, the second after the first",
            ));
        }
        let mut instants = vec![start];
        for stop in &self.stops {
            if !(instants[instants.len() - 1] < *stop && *stop < end) {
                return Err(DynamicsError::config(
                    "stops",
                    stop,
                    format!("rising instants between {start} and {end}, both excluded"),
                ));
            }
            instants.push(*stop);
        }
        instants.push(end);
        Ok(instants)
    }

    /// The smallest step of a span.
    pub(super) fn floor(&self, span: &Range<f64>) -> f64 {
        let resolution = f64::EPSILON * span.start.abs().max(span.end.abs());
        self.min_step.max(16.0 * resolution)
    }
}
