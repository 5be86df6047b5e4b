//! The maximal Lyapunov exponent of an experiment, by name.

use granule_dynamics::{DynamicsError, HostField};
use serde::{Deserialize, Serialize};

use super::findings::{Findings, Table};
use super::lyapunov::{Lyapunov, lyapunov_exponent_with};
use super::registry::Request;
use super::vector_field::VectorField;

/// How the exponent is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The time whose stimulus is held, ms. Default: the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The time before measuring, ms. Default: a fifth of the experiment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transient: Option<f64>,
    /// The time over which it is measured, ms. Default: the experiment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// The step of the fourth-order Runge–Kutta method, ms. Default: the experiment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dt: Option<f64>,
    /// The seed of the first direction. Default 0.
    pub seed: u64,
}

/// The analysis by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, DynamicsError> {
    let settings: Settings = request.settings()?;
    let field = VectorField::new(request.config, settings.at, request.place)?;
    let how = Lyapunov {
        dt: settings.dt.unwrap_or(request.config.dt),
        transient: settings.transient.unwrap_or(0.2 * request.config.duration),
        duration: settings.duration.unwrap_or(request.config.duration),
        seed: settings.seed,
    };
    let start = field.initial()?;
    let mut half = f64::NAN;
    let exponent = lyapunov_exponent_with(&field, &start, &how, &mut |[all, share], so_far| {
        if share <= 0.5 && share > 0.0 {
            half = so_far;
        }
        request.done(all)
    })?;
    let columns = [
        ("exponent", "1/s"),
        ("after half the time", "1/s"),
        ("doubling time", "ms"),
    ];
    let mut table = Table::new("Lyapunov exponent", columns);
    let doubling = if exponent > 0.0 {
        std::f64::consts::LN_2 / exponent
    } else {
        f64::NAN
    };
    table.rows.push(vec![
        (1000.0 * exponent).into(),
        (1000.0 * half).into(),
        doubling.into(),
    ]);
    let jitter = (exponent - half).abs();
    let verdict = if exponent > 2.0 * jitter {
        "neighbours part: chaos, if the run is bounded"
    } else if exponent < -2.0 * jitter {
        "neighbours meet: a fixed point, or what is driven"
    } else {
        "not told from 0: a cycle, or a longer `duration` is needed"
    };
    Ok(Findings {
        tables: vec![table],
        notes: vec![format!("{verdict} ({} variables)", field.dimension())],
        ..Findings::default()
    })
}
