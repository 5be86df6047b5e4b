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

/// Every method by its name, and what makes it of noise: adding one is its file and a line here.
macro_rules! solvers {
    ($($(#[$meta:meta])? $Kind:ident = $name:literal, $make:expr;)+) => {
        /// The method of a solver, by its name in configuration files.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum SolverKind {
            $(
                #[doc = concat!("`", $name, "`: [`", stringify!($Kind), "`].")]
                $(#[$meta])?
                #[serde(rename = $name)]
                $Kind,
            )+
        }

        impl SolverKind {
            /// All of them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$Kind),+];

            /// The name in configuration files.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$Kind => $name,)+
                }
            }

            /// The solver; `noise` is for the stochastic ones.
            pub fn init(self, noise: NormalNoise) -> Box<dyn Solver> {
                fn boxed<S: Solver + 'static>(make: fn(NormalNoise) -> S, noise: NormalNoise) -> Box<dyn Solver> {
                    Box::new(make(noise))
                }
                match self {
                    $(Self::$Kind => boxed($make, noise),)+
                }
            }
        }
    };
}

solvers! {
    Euler = "euler", |_| Euler;
    Heun = "heun", |_| Heun;
    Midpoint = "midpoint", |_| Midpoint;
    #[default]
    Rk4 = "rk4", |_| Rk4;
    ExponentialEuler = "exponential-euler", |_| ExponentialEuler;
    BackwardEuler = "backward-euler", |_| BackwardEuler;
    DormandPrince = "dormand-prince", |_| DormandPrince;
    Tsit5 = "tsit5", |_| Tsit5;
    EulerMaruyama = "euler-maruyama", |noise| EulerMaruyama { noise };
    StochasticHeun = "stochastic-heun", |noise| StochasticHeun { noise };
}

impl SolverKind {
    /// Whether the method takes a field's noise into account; the others leave it out.
    pub fn is_stochastic(self) -> bool {
        self.init(NormalNoise::default()).is_stochastic()
    }

    /// The names of those that do, in words.
    pub(crate) fn stochastic() -> String {
        let all = Self::ALL.into_iter().filter(|kind| kind.is_stochastic());
        all.map(Self::name).collect::<Vec<_>>().join(" or ")
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
                let allowed = format!(
                    "{}, for {} has noise; set that to 0 for a run without",
                    Self::stochastic(),
                    field.name()
                );
                Err(DynamicsError::config("solver", kind, allowed))
            }
            Some(kind) => Ok(kind),
            None if noisy => Ok(Self::StochasticHeun),
            None => Ok(Self::Rk4),
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
