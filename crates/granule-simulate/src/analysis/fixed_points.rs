use serde::{Deserialize, Serialize};

use granule_dynamics::linalg::{Cholesky, Complex, eigenvalues};
use granule_dynamics::random::NormalNoise;
use granule_dynamics::{DynamicsError, HostField};

/// The search for points where a vector field vanishes or is slow (Sussillo and Barak 2013).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FixedPointSearch {
    /// A point with q = ½|f|² of at most this, in the field's units, is fixed.
    pub fixed_below: f64,
    /// A minimum of q with at most this is slow; what is faster is dropped. Equal to `fixed_below`, it keeps fixed points
    /// only.
    pub slow_below: f64,
    /// Points closer to each other than this, as a root mean square over the variables, are one.
    pub separation: f64,
    /// The most steps from each start.
    pub iterations: usize,
}

impl Default for FixedPointSearch {
    fn default() -> Self {
        Self {
            fixed_below: 1e-20,
            slow_below: 1e-20,
            separation: 1e-4,
            iterations: 500,
        }
    }
}

/// A fixed or slow point.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedPoint {
    /// Where it is.
    pub state: Vec<f64>,
    /// q = ½|f|².
    pub speed: f64,
    /// Whether q is below [`FixedPointSearch::fixed_below`]; otherwise the point is slow.
    pub fixed: bool,
    /// Of the Jacobian there, in 1/time, by falling real part.
    pub eigenvalues: Vec<Complex>,
}

/// What trajectories near a point do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Every eigenvalue has a real part below 0.
    Attractor,
    /// Some have, some have not.
    Saddle,
    /// None has.
    Repeller,
}

impl FixedPoint {
    /// The number of eigenvalues whose real part is not below 0.
    pub fn unstable(&self) -> usize {
        self.eigenvalues.iter().filter(|z| z.re >= 0.0).count()
    }

    /// What trajectories nearby do.
    pub fn stability(&self) -> Stability {
        match self.unstable() {
            0 => Stability::Attractor,
            all if all == self.eigenvalues.len() => Stability::Repeller,
            _ => Stability::Saddle,
        }
    }

    /// Whether the slowest direction, or the fastest growing one, rotates.
    pub fn oscillates(&self) -> bool {
        self.eigenvalues.first().is_some_and(|z| z.im != 0.0)
    }
}

impl FixedPointSearch {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        for (field, value, least) in [
            ("fixed_below", self.fixed_below, f64::MIN_POSITIVE),
            ("slow_below", self.slow_below, self.fixed_below),
            ("separation", self.separation, 0.0),
        ] {
            if !(value.is_finite() && value >= least) {
                let allowed = format!("a finite number of at least {least:e}");
                return Err(DynamicsError::config(field, value, allowed));
            }
        }
        match self.iterations {
            0 => Err(DynamicsError::config("iterations", 0, "at least 1")),
            _ => Ok(()),
        }
    }
}

/// Minimises q = ½|f|² from every start by the method of Levenberg (1944) and Marquardt (1963), and returns the distinct
/// points that are fixed or slow, slowest first.
///
/// # Errors
///
/// [`DynamicsError::Config`] for settings out of range, [`DynamicsError::Shape`] for a start of another dimension,
/// [`DynamicsError::NotConverged`] for eigenvalues that cannot be found, and those of the field.
pub fn fixed_points(
    field: &dyn HostField,
    starts: &[Vec<f64>],
    search: &FixedPointSearch,
) -> Result<Vec<FixedPoint>, DynamicsError> {
    search.validate()?;
    let n = field.dimension();
    let mut found: Vec<(f64, Vec<f64>)> = Vec::new();
    for start in starts {
        if start.len() != n {
            return Err(DynamicsError::Shape {
                what: "the start of a search for fixed points".into(),
                expected: vec![n],
                found: vec![start.len()],
            });
        }
        if let Some((speed, state)) = descend(field, start, search)?
            && speed <= search.slow_below
        {
            found.push((speed, state));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut points: Vec<FixedPoint> = Vec::new();
    for (speed, state) in found {
        let limit = search.separation * search.separation * n as f64;
        let known = |point: &FixedPoint| {
            let pairs = point.state.iter().zip(&state);
            pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>() <= limit
        };
        if points.iter().any(known) {
            continue;
        }
        points.push(FixedPoint {
            eigenvalues: eigenvalues(&field.jacobian(&state)?, n)?,
            fixed: speed <= search.fixed_below,
            speed,
            state,
        });
    }
    Ok(points)
}

/// `count` starts: points drawn from `states`, such as those of trajectories, each moved by Gaussian noise of standard
/// deviation `spread`.
///
/// # Errors
///
/// [`DynamicsError::Config`] without states, or for a spread that is negative or not finite.
pub fn scattered_starts(
    states: &[Vec<f64>],
    count: usize,
    spread: f64,
    seed: u64,
) -> Result<Vec<Vec<f64>>, DynamicsError> {
    if states.is_empty() {
        return Err(DynamicsError::config("states", "[]", "at least one state"));
    }
    if !(spread.is_finite() && spread >= 0.0) {
        let allowed = "a finite number of at least 0";
        return Err(DynamicsError::config("spread", spread, allowed));
    }
    let keys = NormalNoise::new(seed, 0).values(0, states.len());
    let mut order: Vec<usize> = (0..states.len()).collect();
    order.sort_by(|a, b| keys[*a].total_cmp(&keys[*b]));
    let noise = NormalNoise::new(seed, 1);
    let start = |(k, at): (usize, &usize)| {
        let moved = noise.values(k, states[*at].len());
        let pairs = states[*at].iter().zip(moved);
        pairs.map(|(x, xi)| x + spread * xi).collect()
    };
    Ok(order
        .iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(start)
        .collect())
}

/// The minimum of q that is reached from `start`, and where; `None` where the field is not finite there.
fn descend(
    field: &dyn HostField,
    start: &[f64],
    search: &FixedPointSearch,
) -> Result<Option<(f64, Vec<f64>)>, DynamicsError> {
    let n = start.len();
    let energy = |f: &[f64]| 0.5 * f.iter().map(|f| f * f).sum::<f64>();
    let mut x = start.to_vec();
    let mut f = field.velocity(&x)?;
    let mut q = energy(&f);
    if !q.is_finite() {
        return Ok(None);
    }
    let (mut damping, mut growth) = (None, 2.0);
    'steps: for _ in 0..search.iterations {
        if q <= search.fixed_below {
            break;
        }
        let jacobian = field.jacobian(&x)?;
        let mut normal = vec![0.0; n * n];
        let mut slope = vec![0.0; n];
        for (row, f) in jacobian.chunks_exact(n).zip(&f) {
            for (i, scale) in row.iter().enumerate() {
                slope[i] += f * scale;
                let products = normal[i * n..=i * n + i].iter_mut().zip(row);
                products.for_each(|(a, j)| *a += scale * j);
            }
        }
        let largest = (0..n).map(|i| normal[i * (n + 1)]).fold(0.0, f64::max);
        let mut mu = damping.unwrap_or(1e-3 * largest);
        loop {
            let mut damped = normal.clone();
            (0..n).for_each(|i| damped[i * (n + 1)] += mu);
            let mut step: Vec<f64> = slope.iter().map(|s| -s).collect();
            if let Some(factor) = Cholesky::new(damped, n) {
                factor.solve(&mut step);
                let length = step.iter().map(|s| s * s).sum::<f64>().sqrt();
                let size = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                if length <= f64::EPSILON * (size + f64::EPSILON) {
                    break 'steps;
                }
                let moved: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x + s).collect();
                let there = field.velocity(&moved)?;
                let less = q - energy(&there);
                if less > 0.0 {
                    let pairs = step.iter().zip(&slope);
                    let expected = 0.5 * pairs.map(|(s, g)| s * (mu * s - g)).sum::<f64>();
                    // Nielsen's rule (1999) for the damping.
                    let gain = less / expected;
                    damping = Some(mu * (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0));
                    growth = 2.0;
                    (x, f) = (moved, there);
                    q -= less;
                    continue 'steps;
                }
            }
            if mu > 1e12 * largest.max(f64::MIN_POSITIVE) {
                break 'steps;
            }
            mu = (mu * growth).max(f64::EPSILON * largest);
            growth *= 2.0;
        }
    }
    Ok(Some((energy(&f), x)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    /// Two variables: dx/dt = x − x³ + a, dy/dt = −2y + x.
    struct Pitchfork(f64);

    impl HostField for Pitchfork {
        fn dimension(&self) -> usize {
            2
        }

        fn velocity(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
            Ok(vec![x[0] - x[0].powi(3) + self.0, -2.0 * x[1] + x[0]])
        }

        fn jacobian(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
            Ok(vec![1.0 - 3.0 * x[0] * x[0], 0.0, 1.0, -2.0])
        }
    }

    fn starts() -> Vec<Vec<f64>> {
        scattered_starts(&[vec![0.0, 0.0], vec![1.5, -1.0]], 40, 1.0, 3).unwrap()
    }

    #[test]
    fn every_fixed_point_of_a_pitchfork_is_found_once_and_classified() {
        let found = fixed_points(&Pitchfork(0.0), &starts(), &FixedPointSearch::default()).unwrap();
        let mut summary: Vec<(f64, Stability)> =
            found.iter().map(|p| (p.state[0], p.stability())).collect();
        summary.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(summary.len(), 3, "{summary:?}");
        for ((x, stability), expected) in summary.into_iter().zip([-1.0, 0.0, 1.0]) {
            assert_close(x, expected, 1e-9);
            let known = match expected {
                0.0 => Stability::Saddle,
                _ => Stability::Attractor,
            };
            assert_eq!(stability, known);
        }
        for point in &found {
            assert!(point.fixed && point.speed <= 1e-20);
            assert_close(point.state[1], 0.5 * point.state[0], 1e-9);
            let expected = if point.state[0].abs() < 0.5 {
                [1.0, -2.0]
            } else {
                [-2.0, -2.0]
            };
            for (z, expected) in point.eigenvalues.iter().zip(expected) {
                assert_close(z.re, expected, 1e-6);
                assert_eq!(z.im, 0.0);
            }
            assert!(!point.oscillates());
        }
    }

    /// Past the fold at a = 2/√27 only one fixed point is left; near the other two there is a ghost, where q is small and
    /// least but not zero.
    #[test]
    fn the_ghost_of_a_vanished_pair_is_a_slow_point() {
        let field = Pitchfork(2.0 / 27.0_f64.sqrt() + 1e-3);
        let only = fixed_points(&field, &starts(), &FixedPointSearch::default()).unwrap();
        assert_eq!(only.len(), 1);
        let search = FixedPointSearch {
            slow_below: 1e-5,
            ..FixedPointSearch::default()
        };
        let both = fixed_points(&field, &starts(), &search).unwrap();
        assert_eq!(both.len(), 2, "{both:?}");
        let ghost = &both[1];
        assert!(!ghost.fixed);
        assert_close(ghost.state[0], -1.0 / 3.0_f64.sqrt(), 1e-3);
        assert_close(ghost.speed, 0.5e-6, 1e-7);
    }

    #[test]
    fn bad_settings_and_starts_are_refused() {
        let search = FixedPointSearch::default();
        let field = Pitchfork(0.0);
        let short = fixed_points(&field, &[vec![1.0]], &search);
        assert!(matches!(short, Err(DynamicsError::Shape { .. })));
        let nowhere = fixed_points(&field, &[vec![f64::NAN, 0.0]], &search).unwrap();
        assert!(nowhere.is_empty());
        let bad = [
            FixedPointSearch {
                fixed_below: f64::NAN,
                ..search.clone()
            },
            FixedPointSearch {
                slow_below: 1e-30,
                ..search.clone()
            },
            FixedPointSearch {
                separation: -1.0,
                ..search.clone()
            },
            FixedPointSearch {
                iterations: 0,
                ..search.clone()
            },
        ];
        for search in bad {
            assert!(search.validate().is_err(), "{search:?}");
        }
        assert!(scattered_starts(&[], 3, 1.0, 0).is_err());
        assert!(scattered_starts(&[vec![1.0]], 3, f64::NAN, 0).is_err());
    }
}
