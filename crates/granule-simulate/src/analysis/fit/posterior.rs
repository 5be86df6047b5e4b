//! What measurements leave open of parameters.

use granule_dynamics::DynamicsError;
use granule_dynamics::linalg::symmetric_eigen;

use super::least_squares::products;

/// The standard deviation of a uniform distribution over a range: where nothing was measured.
pub(crate) const UNIFORM: f64 = 0.288_675_134_594_812_9;
/// The least eigenvalue over the largest that differences of runs resolve.
const RESOLVED: f64 = 1e-12;
/// The least part of a parameter in a combination that counts as one.
const PART: f64 = 0.1;
/// The most parts of a combination that are named.
const PARTS: usize = 6;

/// The normal distribution around a minimum of the squares: Laplace's approximation of the posterior for parameters that are
/// uniform over their ranges, with the Gauss–Newton matrix JᵀJ for the curvature. Lengths are in ranges.
#[derive(Clone, Debug)]
pub(crate) struct Posterior {
    /// JᵀJ, `[parameters, parameters]`, of residuals in standard deviations of the noise.
    pub(crate) curvature: Vec<f64>,
    /// Its eigenvalues, falling.
    pub(crate) eigenvalues: Vec<f64>,
    /// Its unit eigenvectors, one a row.
    pub(crate) combinations: Vec<f64>,
    /// Of each parameter; infinite where the curvature leaves it open.
    pub(crate) deviations: Vec<f64>,
    /// `[parameters, parameters]`
    pub(crate) correlations: Vec<f64>,
}

impl Posterior {
    /// From the slopes of the residuals by each parameter.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::NotConverged`] for slopes that are not finite.
    pub(crate) fn new(slopes: &[Vec<f64>]) -> Result<Self, DynamicsError> {
        let n = slopes.len();
        let curvature = products(slopes);
        if curvature.iter().any(|x| !x.is_finite()) {
            return Err(DynamicsError::NotConverged {
                what: "the curvature at the minimum, which is not finite,".into(),
                iterations: 0,
            });
        }
        let (eigenvalues, combinations) = symmetric_eigen(&curvature, n)?;
        let floor =
            (RESOLVED * eigenvalues.first().copied().unwrap_or_default()).max(f64::MIN_POSITIVE);
        let entry = |k: usize, i: usize| combinations[k * n + i];
        let deviations = (0..n)
            .map(|i| {
                let terms = eigenvalues.iter().enumerate().map(|(k, value)| {
                    let part = entry(k, i).powi(2);
                    if *value > floor {
                        part / value
                    } else if part > 1e-6 {
                        f64::INFINITY
                    } else {
                        0.0
                    }
                });
                terms.sum::<f64>().sqrt()
            })
            .collect();
        // What is left open is as good as so.
        let covariance = |i: usize, j: usize| -> f64 {
            let terms = eigenvalues.iter().enumerate();
            terms
                .map(|(k, value)| entry(k, i) * entry(k, j) / value.max(floor))
                .sum()
        };
        let correlations = (0..n)
            .flat_map(|i| (0..n).map(move |j| (i, j)))
            .map(|(i, j)| {
                if i == j {
                    1.0
                } else {
                    covariance(i, j) / (covariance(i, i) * covariance(j, j)).sqrt()
                }
            })
            .collect();
        Ok(Self {
            curvature,
            eigenvalues,
            combinations,
            deviations,
            correlations,
        })
    }

    fn parameters(&self) -> usize {
        self.eigenvalues.len()
    }

    /// The largest eigenvalue over the least; infinite where differences do not resolve that.
    pub(crate) fn condition(&self) -> f64 {
        match (self.eigenvalues.first(), self.eigenvalues.last()) {
            (Some(most), Some(least)) if *least > RESOLVED * most => most / least,
            _ => f64::INFINITY,
        }
    }

    /// The standard deviation along a combination.
    pub(crate) fn along(&self, combination: usize) -> f64 {
        let most = self.eigenvalues.first().copied().unwrap_or_default();
        match self.eigenvalues.get(combination) {
            Some(value) if *value > RESOLVED * most => value.sqrt().recip(),
            _ => f64::INFINITY,
        }
    }

    /// What a parameter goes together with most, and how much.
    pub(crate) fn partner(&self, parameter: usize) -> Option<(usize, f64)> {
        let n = self.parameters();
        let others = (0..n).filter(|other| *other != parameter);
        let pairs = others.map(|other| (other, self.correlations[parameter * n + other]));
        pairs
            .filter(|(_, r)| r.is_finite())
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
    }

    /// A combination in words, as `0.71·log g_na − 0.70·log g_k`.
    pub(crate) fn named(&self, combination: usize, names: &[String]) -> String {
        let n = self.parameters();
        let own = &self.combinations[combination * n..(combination + 1) * n];
        let mut parts: Vec<(usize, f64)> = own.iter().copied().enumerate().collect();
        parts.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let sign = parts.first().map_or(1.0, |(_, part)| part.signum());
        let mut text = String::new();
        let large = parts.iter().filter(|(_, part)| part.abs() >= PART);
        let count = large.clone().count();
        for (place, (index, part)) in large.take(PARTS).enumerate() {
            let part = sign * part;
            let between = match (place, part < 0.0) {
                (0, _) => "",
                (_, true) => " − ",
                (_, false) => " + ",
            };
            let name = names.get(*index).map_or("?", String::as_str);
            text.push_str(&if count == 1 {
                name.to_owned()
            } else {
                format!("{between}{:.2}·{name}", part.abs())
            });
        }
        if count > PARTS {
            text.push_str(" + …");
        }
        text
    }
}
