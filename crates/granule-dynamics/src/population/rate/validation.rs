//! What the settings of a rate network may be, by themselves and against each other.

use granule_io::words::counted;

use super::config::{Initialization, RateNetworkConfig, Recurrence};
use super::connectivity;
use crate::DynamicsError;
use crate::setting::{Range, check_count};
use crate::solver::SolverKind;
use granule_io::budget;

/// Units of a network: the weights of more would take more than 16 GiB.
const MOST: usize = 1 << 16;

impl RateNetworkConfig {
    /// Checks every setting, and settings against each other.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let fail = |field: &str, value: String, allowed: String| {
            Err(DynamicsError::config(field, value, allowed))
        };
        let n = self.units;
        check_count("units", n)?;
        if n > MOST {
            let allowed = format!("at most {MOST}, for all of them are connected");
            return fail("units", n.to_string(), allowed);
        }
        self.activation.validate()?;
        self.validate_time()?;
        for (field, value) in [
            ("private_noise", self.private_noise),
            ("shared_noise", self.shared_noise),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return fail(
                    field,
                    value.to_string(),
                    "a finite number of at least 0".into(),
                );
            }
        }
        if self.shared_noise > 0.0 && self.solver != SolverKind::Euler {
            let (value, allowed) = (self.shared_noise, "0 with a solver other than euler");
            return fail("shared_noise", value.to_string(), allowed.into());
        }
        let (field, value) = match self.initialization {
            Initialization::Gaussian(gain) => ("initialization.gaussian", gain),
            Initialization::SpectralRadius(radius) => ("initialization.spectral_radius", radius),
        };
        if !(value.is_finite() && value > 0.0) {
            return fail(field, value.to_string(), "a finite number above 0".into());
        }
        if let Some(ratio) = self.dale_ratio
            && !(0.0..=1.0).contains(&ratio)
        {
            return fail("dale_ratio", ratio.to_string(), "between 0 and 1".into());
        }
        if self.excitatory_output {
            let Some(ratio) = self.dale_ratio else {
                let allowed = "false without dale_ratio, for there are no excitatory units";
                return fail("excitatory_output", "true".into(), allowed.into());
            };
            if !self.excitatory().contains(&true) {
                let allowed = format!(
                    "large enough for one excitatory unit of {n}, or excitatory_output = false"
                );
                return fail("dale_ratio", ratio.to_string(), allowed);
            }
        }
        // Weights, mask and signs are made at once.
        budget::ask_for_numbers("the network's recurrent weights", &[3, n, n])?;
        self.validate_recurrence()?;
        // Only a mask can leave a unit without inputs; drawn connections give every unit at least one.
        connectivity::mask(self, 0).map(|_| ())
    }

    fn validate_time(&self) -> Result<(), DynamicsError> {
        let taus = self.time_constant.as_slice();
        if taus.len() != 1 && taus.len() != self.units {
            return Err(DynamicsError::config(
                "time_constant",
                counted(taus.len(), "value"),
                format!("one value, or {}, one for each unit", self.units),
            ));
        }
        for tau in taus {
            Range::Positive.check("time_constant", *tau)?;
        }
        Range::Positive.check("dt", self.dt)?;
        let mut smallest = taus.iter().copied().fold(f64::INFINITY, f64::min);
        if let Some([low, high]) = self.time_constant_bounds {
            let field = "time_constant_bounds";
            Range::Positive.check(field, low)?;
            Range::Positive.check(field, high)?;
            if let Some(tau) = taus.iter().find(|tau| !(low < **tau && **tau < high)) {
                return Err(DynamicsError::config(
                    field,
                    format!("[{low}, {high}]"),
                    format!("around every time constant, such as {tau}"),
                ));
            }
            smallest = low;
        }
        if self.dt <= smallest {
            Ok(())
        } else {
            Err(DynamicsError::config(
                "dt",
                self.dt,
                format!(
                    "at most the smallest time constant, {smallest}: above it the leak overshoots, from twice as much on it is unstable"
                ),
            ))
        }
    }

    fn validate_recurrence(&self) -> Result<(), DynamicsError> {
        let n = self.units;
        let density = |field: &str, value: f64, least: f64| {
            let fits = (least..=1.0).contains(&value) && (value > 0.0 || least == 0.0);
            if fits {
                return Ok(());
            }
            let allowed = if least == 0.0 {
                "between 0 and 1"
            } else {
                "above 0 and at most 1"
            };
            Err(DynamicsError::config(field, value, allowed))
        };
        match &self.recurrence {
            Recurrence::Full => Ok(()),
            Recurrence::Sparse { density: value } => {
                density("recurrence.sparse.density", *value, f64::MIN_POSITIVE)
            }
            Recurrence::Blocks { sizes, densities } => {
                let field = "recurrence.blocks.sizes";
                if sizes.contains(&0) || sizes.iter().sum::<usize>() != n {
                    return Err(DynamicsError::config(
                        field,
                        format!("{sizes:?}"),
                        format!("sizes of at least 1 that add up to {}", counted(n, "unit")),
                    ));
                }
                let field = "recurrence.blocks.densities";
                let blocks = sizes.len();
                if densities.len() != blocks || densities.iter().any(|row| row.len() != blocks) {
                    return Err(DynamicsError::config(
                        field,
                        counted(densities.len(), "row"),
                        format!(
                            "{} of {}",
                            counted(blocks, "row"),
                            counted(blocks, "number")
                        ),
                    ));
                }
                densities
                    .iter()
                    .flatten()
                    .try_for_each(|d| density(field, *d, 0.0))
            }
            Recurrence::Mask(rows) => {
                let field = "recurrence.mask";
                let shape = format!("{} of {}", counted(n, "row"), counted(n, "number"));
                if rows.len() != n {
                    return Err(DynamicsError::config(
                        field,
                        counted(rows.len(), "row"),
                        shape,
                    ));
                }
                if let Some(row) = rows.iter().find(|row| row.len() != n) {
                    let found = format!("a row of {}", row.len());
                    return Err(DynamicsError::config(field, found, shape));
                }
                match rows.iter().flatten().find(|x| **x > 1) {
                    Some(x) => Err(DynamicsError::config(field, x, "0 or 1")),
                    None => Ok(()),
                }
            }
            Recurrence::LowRank { rank, background } => {
                if !(1..=n).contains(rank) {
                    let field = "recurrence.low_rank.rank";
                    return Err(DynamicsError::config(field, rank, format!("1 to {n}")));
                }
                if !(background.is_finite() && *background >= 0.0) {
                    let field = "recurrence.low_rank.background";
                    let allowed = "a finite number of at least 0";
                    return Err(DynamicsError::config(field, background, allowed));
                }
                if self.dale_ratio.is_some() {
                    let allowed = "none in a low-rank network";
                    return Err(DynamicsError::config("dale_ratio", "set", allowed));
                }
                if self.autapses {
                    Ok(())
                } else {
                    let allowed = "true in a low-rank network";
                    Err(DynamicsError::config("autapses", false, allowed))
                }
            }
        }
    }
}
