use serde::{Deserialize, Serialize};

use crate::DynamicsError;

/// A step controller of proportional, integral and derivative terms (Gustafsson 1991; Söderlind 2003):
/// dt ← dt · safety · e₀^(−(p+i+d)/k) · e₁^((p+2d)/k) · e₂^(−d/k), with the errors e of the last three accepted steps in
/// units of the tolerance and k the order of the error estimate plus 1.
///
/// p = 0, i = 1, d = 0 is the elementary controller; a larger p damps the steps' oscillation where stability limits them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Pid {
    /// p, between 0 and 2.
    pub proportional: f64,
    /// i, above 0 and at most 2.
    pub integral: f64,
    /// d, between 0 and 2.
    pub derivative: f64,
    /// How much smaller than predicted the next step is, between 0 and 1.
    pub safety: f64,
    /// By how much a step shrinks at most, between 0 and 1.
    pub min_factor: f64,
    /// By how much a step grows at most, above 1.
    pub max_factor: f64,
}

impl Default for Pid {
    /// The PI controller of DOPRI5 (Hairer and Wanner 1996, IV.2): p = 0.4, i = 0.3.
    fn default() -> Self {
        Self {
            proportional: 0.4,
            integral: 0.3,
            derivative: 0.0,
            safety: 0.9,
            min_factor: 0.2,
            max_factor: 10.0,
        }
    }
}

impl Pid {
    /// Checks every coefficient.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the coefficient.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let within = |field: &str, value: f64, range: std::ops::RangeInclusive<f64>, open: bool| {
            let (low, high) = (*range.start(), *range.end());
            let inside = range.contains(&value) && !(open && (value == low || value == high));
            if inside && value.is_finite() {
                Ok(())
            } else {
                Err(DynamicsError::config(
                    format!("pid.{field}"),
                    value,
                    if open {
                        format!("between {low} and {high}, both excluded")
                    } else {
                        format!("between {low} and {high}")
                    },
                ))
            }
        };
        within("proportional", self.proportional, 0.0..=2.0, false)?;
        within("integral", self.integral, f64::MIN_POSITIVE..=2.0, false)?;
        within("derivative", self.derivative, 0.0..=2.0, false)?;
        within("safety", self.safety, 0.0..=1.0, true)?;
        within("min_factor", self.min_factor, 0.0..=1.0, true)?;
        within("max_factor", self.max_factor, 1.0..=f64::INFINITY, true)
    }
}

/// A [`Pid`] with its memory.
pub(super) struct Controller {
    pid: Pid,
    /// 1/k
    exponent: f64,
    /// The errors of the last two accepted steps, newest first.
    past: [f64; 2],
    refused: bool,
}

impl Controller {
    /// A controller of a method whose error estimate falls with `dt` to the power of `power`.
    pub(super) fn new(pid: Pid, power: u32) -> Self {
        Self {
            pid,
            exponent: 1.0 / f64::from(power),
            past: [1.0; 2],
            refused: false,
        }
    }

    /// The factor to the step after one with `error`. One that was cut short is not remembered.
    pub(super) fn accept(&mut self, error: f64, cut_short: bool) -> f64 {
        let Pid {
            proportional: p,
            integral: i,
            derivative: d,
            ..
        } = self.pid;
        // An error of almost nothing must not hold back the step after the next.
        let error = error.max(1e-4);
        let [e1, e2] = self.past;
        let power = |e: f64, exponent: f64| e.powf(exponent * self.exponent);
        let factor = power(error, -(p + i + d)) * power(e1, p + 2.0 * d) * power(e2, -d);
        let largest = if self.refused {
            1.0
        } else {
            self.pid.max_factor
        };
        if !cut_short {
            self.past = [error, e1];
        }
        self.refused = false;
        (self.pid.safety * factor).clamp(self.pid.min_factor, largest)
    }

    /// The factor to a step with `error` above 1.
    pub(super) fn reject(&mut self, error: f64) -> f64 {
        self.refused = true;
        (self.pid.safety * error.powf(-self.exponent)).max(self.pid.min_factor)
    }

    /// The factor to a step without a finite error.
    pub(super) fn shrink(&mut self) -> f64 {
        self.refused = true;
        self.pid.min_factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    #[test]
    fn the_elementary_controller_finds_the_step_for_the_tolerance() {
        let pid = Pid {
            proportional: 0.0,
            integral: 1.0,
            ..Pid::default()
        };
        let mut controller = Controller::new(pid, 5);
        // The error falls with dt⁵: 1/32 allows twice the step, less the safety.
        assert_close(controller.accept(1.0 / 32.0, false), 2.0 * 0.9, 1e-14);
        assert_close(controller.reject(32.0), 0.5 * 0.9, 1e-14);
        // Never longer directly after a refusal.
        assert_close(controller.accept(1e-3, false), 1.0, 1e-14);
        assert_close(controller.reject(1e30), 0.2, 1e-14);
        assert_close(controller.shrink(), 0.2, 1e-14);
    }

    #[test]
    fn three_errors_enter_with_their_powers() {
        let pid = Pid {
            proportional: 0.5,
            integral: 0.25,
            derivative: 0.125,
            safety: 0.8,
            ..Pid::default()
        };
        let mut controller = Controller::new(pid, 5);
        controller.accept(0.5, false);
        controller.accept(0.7, false);
        controller.accept(1e-3, true);
        let expected =
            0.9_f64.powf(-0.875 / 5.0) * 0.7_f64.powf(0.75 / 5.0) * 0.5_f64.powf(-0.125 / 5.0);
        assert_close(controller.accept(0.9, false), 0.8 * expected, 1e-14);
    }

    #[test]
    fn coefficients_out_of_range_are_named() {
        let wrong = [
            (
                "pid.integral",
                Pid {
                    integral: 0.0,
                    ..Pid::default()
                },
            ),
            (
                "pid.safety",
                Pid {
                    safety: 1.0,
                    ..Pid::default()
                },
            ),
            (
                "pid.max_factor",
                Pid {
                    max_factor: 1.0,
                    ..Pid::default()
                },
            ),
            (
                "pid.min_factor",
                Pid {
                    min_factor: f64::NAN,
                    ..Pid::default()
                },
            ),
        ];
        for (name, pid) in wrong {
            let error = pid.validate().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
