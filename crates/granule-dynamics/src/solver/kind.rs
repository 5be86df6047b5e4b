//! Solvers by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{
    BackwardEuler, DormandPrince, Euler, EulerMaruyama, ExponentialEuler, Heun, Midpoint, Rk4,
    Solver, StochasticHeun, Tsit5,
};
use crate::model::Field;
use crate::random::NormalNoise;
use crate::{DynamicsError, State};

/// The method of a solver, by its name in configuration files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SolverKind {
    /// `euler`: [`Euler`].
    Euler,
    /// `heun`: [`Heun`].
    Heun,
    /// `midpoint`: [`Midpoint`].
    Midpoint,
    /// `rk4`: [`Rk4`].
    #[default]
    Rk4,
    /// `exponential-euler`: [`ExponentialEuler`].
    ExponentialEuler,
    /// `backward-euler`: [`BackwardEuler`].
    BackwardEuler,
    /// `dormand-prince`: [`DormandPrince`].
    DormandPrince,
    /// `tsit5`: [`Tsit5`].
    Tsit5,
    /// `euler-maruyama`: [`EulerMaruyama`].
    EulerMaruyama,
    /// `stochastic-heun`: [`StochasticHeun`].
    StochasticHeun,
}

impl SolverKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Euler,
        Self::Heun,
        Self::Midpoint,
        Self::Rk4,
        Self::ExponentialEuler,
        Self::BackwardEuler,
        Self::DormandPrince,
        Self::Tsit5,
        Self::EulerMaruyama,
        Self::StochasticHeun,
    ];

    /// The name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::Heun => "heun",
            Self::Midpoint => "midpoint",
            Self::Rk4 => "rk4",
            Self::ExponentialEuler => "exponential-euler",
            Self::BackwardEuler => "backward-euler",
            Self::DormandPrince => "dormand-prince",
            Self::Tsit5 => "tsit5",
            Self::EulerMaruyama => "euler-maruyama",
            Self::StochasticHeun => "stochastic-heun",
        }
    }

    /// Whether the method takes a field's noise into account; the others leave it out.
    pub fn is_stochastic(self) -> bool {
        matches!(self, Self::EulerMaruyama | Self::StochasticHeun)
    }

    /// The method for a field: the one asked for, or else [`StochasticHeun`] where the field has noise and [`Rk4`] where it
    /// has none.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a method that would leave out the field's noise.
    pub fn suited(
        asked: Option<Self>,
        field: &dyn Field,
        initial: &State,
    ) -> Result<Self, DynamicsError> {
        let noisy = field.diffusion(0.0, initial).is_some();
        match asked {
            Some(kind) if noisy && !kind.is_stochastic() => {
                let model = field.name();
                let allowed = format!(
                    "euler-maruyama or stochastic-heun, for {model} has noise; set that to 0 for a run without"
                );
                Err(DynamicsError::config("solver", kind, allowed))
            }
            Some(kind) => Ok(kind),
            None if noisy => Ok(Self::StochasticHeun),
            None => Ok(Self::Rk4),
        }
    }

    /// The solver; `noise` is for the stochastic ones.
    pub fn init(self, noise: NormalNoise) -> Box<dyn Solver> {
        match self {
            Self::Euler => Box::new(Euler),
            Self::Heun => Box::new(Heun),
            Self::Midpoint => Box::new(Midpoint),
            Self::Rk4 => Box::new(Rk4),
            Self::ExponentialEuler => Box::new(ExponentialEuler),
            Self::BackwardEuler => Box::new(BackwardEuler),
            Self::DormandPrince => Box::new(DormandPrince),
            Self::Tsit5 => Box::new(Tsit5),
            Self::EulerMaruyama => Box::new(EulerMaruyama { noise }),
            Self::StochasticHeun => Box::new(StochasticHeun { noise }),
        }
    }
}

impl fmt::Display for SolverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SolverKind {
    type Err = DynamicsError;

    fn from_str(name: &str) -> Result<Self, DynamicsError> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            DynamicsError::config("solver", name, format!("one of {names}"))
        })
    }
}

/// A solver as it is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SolverConfig {
    /// The method.
    pub method: SolverKind,
    /// The noise of a stochastic method; the others do not look at it.
    pub noise: NormalNoise,
}

impl SolverConfig {
    /// The solver.
    pub fn init(&self) -> Box<dyn Solver> {
        self.method.init(self.noise)
    }
}

impl From<SolverKind> for SolverConfig {
    fn from(method: SolverKind) -> Self {
        Self {
            method,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_the_same_everywhere() {
        for kind in SolverKind::ALL {
            let quoted = format!("\"{kind}\"");
            assert_eq!(serde_json::to_string(&kind).unwrap(), quoted);
            assert_eq!(serde_json::from_str::<SolverKind>(&quoted).unwrap(), kind);
            assert_eq!(kind.name().parse::<SolverKind>().unwrap(), kind);
            assert_eq!(SolverConfig::from(kind).init().name(), kind.name());
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_known() {
        let error = "rk45".parse::<SolverKind>().unwrap_err().to_string();
        assert!(error.starts_with("solver = rk45 is not allowed: one of euler, heun,"));
        let error = serde_json::from_str::<SolverConfig>(r#"{"method": "rk45"}"#).unwrap_err();
        assert!(error.to_string().contains("`dormand-prince`"), "{error}");
        let error = serde_json::from_str::<SolverConfig>(r#"{"order": 4}"#).unwrap_err();
        assert!(error.to_string().contains("`method`"), "{error}");
    }
}
