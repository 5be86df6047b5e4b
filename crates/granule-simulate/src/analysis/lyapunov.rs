use serde::{Deserialize, Serialize};

use granule_dynamics::random::NormalNoise;
use granule_dynamics::{DynamicsError, HostField};

/// How a Lyapunov exponent is measured. The defaults fit units with a time constant of 1; other time scales need other
/// times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Lyapunov {
    /// The step of the fourth-order Runge–Kutta method, above 0.
    pub dt: f64,
    /// The time before measuring, at least 0: the trajectory comes to the attractor and the tangent vector to the most
    /// unstable direction.
    pub transient: f64,
    /// The time over which the growth is averaged, above 0.
    pub duration: f64,
    /// Of the tangent vector's first direction.
    pub seed: u64,
}

impl Default for Lyapunov {
    fn default() -> Self {
        Self {
            dt: 0.05,
            transient: 100.0,
            duration: 500.0,
            seed: 0,
        }
    }
}

impl Lyapunov {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        let check = |field: &str, value: f64, fits: bool, allowed: &str| {
            if fits {
                Ok(())
            } else {
                Err(DynamicsError::config(field, value, allowed))
            }
        };
        let above = "a finite number above 0";
        let dt = self.dt;
        check("dt", dt, dt.is_finite() && dt > 0.0, above)?;
        let fits = self.duration.is_finite() && self.duration > 0.0;
        check("duration", self.duration, fits, above)?;
        let fits = self.transient.is_finite() && self.transient >= 0.0;
        check(
            "transient",
            self.transient,
            fits,
            "a finite number of at least 0",
        )
    }
}

/// The maximal Lyapunov exponent of the trajectory from `start`, in 1/time: the mean rate at which a tangent vector grows
/// that moves with it and is made a unit vector after every step (Benettin, Galgani, Giorgilli and Strelcyn 1980).
///
/// # Errors
///
/// [`DynamicsError::Config`] for settings out of range, [`DynamicsError::Shape`] for a start of another dimension,
/// [`DynamicsError::NonFinite`] where the trajectory leaves all numbers, and those of the field.
pub fn maximal_lyapunov_exponent(
    field: &dyn HostField,
    start: &[f64],
    settings: &Lyapunov,
) -> Result<f64, DynamicsError> {
    lyapunov_exponent_with(field, start, settings, &mut |_, _| Ok(()))
}

/// The most steps.
const MOST_STEPS: f64 = 1e9;

/// The same. `progress` hears of the shares that are done, of all and of what is measured, and of the exponent so far, a hundred
/// times, and may end it with an error.
pub(super) fn lyapunov_exponent_with(
    field: &dyn HostField,
    start: &[f64],
    settings: &Lyapunov,
    progress: &mut dyn FnMut([f64; 2], f64) -> Result<(), DynamicsError>,
) -> Result<f64, DynamicsError> {
    settings.validate()?;
    let n = field.dimension();
    if start.len() != n || n == 0 {
        return Err(DynamicsError::Shape {
            what: "the start of a trajectory".into(),
            expected: vec![n.max(1)],
            found: vec![start.len()],
        });
    }
    let dt = settings.dt;
    let count = |time: f64| (time / dt * (1.0 - 1e-12)).ceil();
    let (before, during) = (count(settings.transient), count(settings.duration));
    if before + during > MOST_STEPS {
        let allowed = format!("a time of at most {MOST_STEPS:e} steps of {dt}");
        return Err(DynamicsError::config(
            "duration",
            settings.duration,
            allowed,
        ));
    }
    let (before, during) = (before as usize, during as usize);
    let mut x = start.to_vec();
    let mut v = NormalNoise::new(settings.seed, 0).values(0, n);
    normalise(&mut v);
    let mut growth = 0.0;
    for step in 0..before + during {
        runge_kutta(field, &mut x, &mut v, dt)?;
        let length = normalise(&mut v);
        if let Some(unit) = x.iter().position(|x| !x.is_finite()) {
            return Err(DynamicsError::NonFinite {
                time: (step + 1) as f64 * dt,
                variable: "x".into(),
                batch: 0,
                unit,
            });
        }
        if step >= before {
            growth += length.ln();
        }
        if (step + 1).is_multiple_of(((before + during) / 100).max(1)) {
            let measured = (step + 1).saturating_sub(before);
            let share = measured as f64 / during as f64;
            let all = (step + 1) as f64 / (before + during) as f64;
            progress([all, share], growth / (measured.max(1) as f64 * dt))?;
        }
    }
    Ok(growth / (during as f64 * dt))
}

/// Moves a point and a tangent vector by one step.
fn runge_kutta(
    field: &dyn HostField,
    x: &mut [f64],
    v: &mut [f64],
    dt: f64,
) -> Result<(), DynamicsError> {
    let moved = |from: &[f64], slope: &[f64], scale: f64| -> Vec<f64> {
        let pairs = from.iter().zip(slope);
        pairs.map(|(x, k)| x + scale * k).collect()
    };
    let mut slopes: Vec<(Vec<f64>, Vec<f64>)> = Vec::with_capacity(4);
    for reach in [0.0, 0.5 * dt, 0.5 * dt, dt] {
        let next = match slopes.last() {
            None => (field.velocity(x)?, field.tangent(x, v)?),
            Some((fx, fv)) => {
                let (x, v) = (moved(x, fx, reach), moved(v, fv, reach));
                (field.velocity(&x)?, field.tangent(&x, &v)?)
            }
        };
        slopes.push(next);
    }
    for ((fx, fv), weight) in slopes.iter().zip([1.0, 2.0, 2.0, 1.0]) {
        let scale = weight * dt / 6.0;
        x.iter_mut().zip(fx).for_each(|(x, k)| *x += scale * k);
        v.iter_mut().zip(fv).for_each(|(v, k)| *v += scale * k);
    }
    Ok(())
}

/// Makes a unit vector and returns the length before.
fn normalise(v: &mut [f64]) -> f64 {
    let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
    v.iter_mut().for_each(|v| *v /= length);
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    /// σ = 10, ρ = 28, β = 8/3.
    struct Lorenz;

    impl HostField for Lorenz {
        fn dimension(&self) -> usize {
            3
        }

        fn velocity(&self, s: &[f64]) -> Result<Vec<f64>, DynamicsError> {
            let [x, y, z] = [s[0], s[1], s[2]];
            Ok(vec![
                10.0 * (y - x),
                x * (28.0 - z) - y,
                x * y - 8.0 / 3.0 * z,
            ])
        }

        fn jacobian(&self, s: &[f64]) -> Result<Vec<f64>, DynamicsError> {
            let [x, y, z] = [s[0], s[1], s[2]];
            let rows = [-10.0, 10.0, 0.0, 28.0 - z, -1.0, -x, y, x, -8.0 / 3.0];
            Ok(rows.to_vec())
        }
    }

    struct Spiral;

    impl HostField for Spiral {
        fn dimension(&self) -> usize {
            2
        }

        fn velocity(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
            self.tangent(x, x)
        }

        fn jacobian(&self, _x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
            Ok(vec![-0.3, 2.0, -2.0, -0.3])
        }
    }

    /// 0.9056 (Sprott 2003).
    #[test]
    fn the_lorenz_attractor_has_its_published_exponent() {
        let settings = Lyapunov {
            dt: 0.01,
            transient: 20.0,
            duration: 2000.0,
            seed: 1,
        };
        let found = maximal_lyapunov_exponent(&Lorenz, &[1.0, 1.0, 20.0], &settings).unwrap();
        assert_close(found, 0.9056, 0.01);
    }

    #[test]
    fn a_linear_spiral_shrinks_at_its_eigenvalues_real_part() {
        let settings = Lyapunov {
            duration: 50.0,
            ..Lyapunov::default()
        };
        let found = maximal_lyapunov_exponent(&Spiral, &[1.0, 0.0], &settings).unwrap();
        assert_close(found, -0.3, 1e-5);
    }

    #[test]
    fn bad_settings_and_escapes_are_errors() {
        let settings = Lyapunov::default();
        for bad in [
            Lyapunov {
                dt: -0.1,
                ..settings.clone()
            },
            Lyapunov {
                dt: f64::NAN,
                ..settings.clone()
            },
            Lyapunov {
                duration: 0.0,
                ..settings.clone()
            },
            Lyapunov {
                transient: f64::INFINITY,
                ..settings.clone()
            },
        ] {
            let refused = maximal_lyapunov_exponent(&Lorenz, &[1.0; 3], &bad);
            assert!(matches!(refused, Err(DynamicsError::Config(_))));
        }
        let short = maximal_lyapunov_exponent(&Lorenz, &[1.0], &settings);
        assert!(matches!(short, Err(DynamicsError::Shape { .. })));
        let coarse = Lyapunov {
            dt: 1.0,
            ..settings
        };
        let escaped = maximal_lyapunov_exponent(&Lorenz, &[1.0; 3], &coarse);
        assert!(matches!(escaped, Err(DynamicsError::NonFinite { .. })));
    }
}
