use serde::{Deserialize, Serialize};

/// How the potential is moved; both are stable at any dt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CableScheme {
    /// Order 1, and damped: what is faster than dt is at rest.
    #[default]
    BackwardEuler,
    /// Order 2 in the cable; what is faster than dt rings.
    CrankNicolson,
}

impl CableScheme {
    /// The name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::BackwardEuler => "backward-euler",
            Self::CrankNicolson => "crank-nicolson",
        }
    }
}
