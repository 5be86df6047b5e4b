//! Linear regression with a penalty on the weights.

use serde::{Deserialize, Serialize};

use super::{FittedSubModel, Rows, SubModel, means};
use crate::DynamicsError;

/// Ridge regression (Hoerl and Kennard 1970) on standardised features: min Σ(y − ȳ − Zβ)² + penalty·n·|β|².
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Ridge {
    /// Relative to the features' variance; at least 0. Default 1e-6.
    pub penalty: f64,
}

impl Default for Ridge {
    fn default() -> Self {
        Self { penalty: 1e-6 }
    }
}

/// A fitted [`Ridge`].
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeModel {
    mean: Vec<f64>,
    scale: Vec<f64>,
    /// `[features][outputs]`
    weights: Vec<Vec<f64>>,
    intercept: Vec<f64>,
}

impl SubModel for Ridge {
    type Fitted = RidgeModel;

    fn fit(&self, features: &Rows, targets: &Rows) -> Result<RidgeModel, DynamicsError> {
        if !(self.penalty >= 0.0 && self.penalty.is_finite()) {
            return Err(DynamicsError::config(
                "penalty",
                self.penalty,
                "a finite number of at least 0",
            ));
        }
        let n = features.len() as f64;
        let width = features.width();
        let mean = means(features);
        let mut scale = vec![0.0; width];
        for row in features.iter() {
            for ((s, x), m) in scale.iter_mut().zip(row).zip(&mean) {
                *s += (x - m) * (x - m);
            }
        }
        for s in &mut scale {
            let deviation = (*s / n).sqrt();
            // A feature that never varies carries nothing; any scale leaves its weight at 0.
            *s = if deviation > 0.0 { deviation } else { 1.0 };
        }
        let intercept = means(targets);
        let mut gram = vec![0.0; width * width];
        let mut moment = vec![vec![0.0; targets.width()]; width];
        let mut z = vec![0.0; width];
        for (row, y) in features.iter().zip(targets.iter()) {
            for (i, z) in z.iter_mut().enumerate() {
                *z = (row[i] - mean[i]) / scale[i];
            }
            for i in 0..width {
                for j in 0..=i {
                    gram[i * width + j] += z[i] * z[j];
                }
                for ((sum, y), m) in moment[i].iter_mut().zip(y).zip(&intercept) {
                    *sum += z[i] * (y - m);
                }
            }
        }
        // Below this a column that repeats another would leave a pivot of rounding errors.
        let penalty = self.penalty.max(1e-12) * n;
        for i in 0..width {
            gram[i * width + i] += penalty;
        }
        solve(&mut gram, width, &mut moment);
        Ok(RidgeModel {
            mean,
            scale,
            weights: moment,
            intercept,
        })
    }
}

impl FittedSubModel for RidgeModel {
    fn predict(&self, features: &Rows) -> Rows {
        let mut values = Vec::with_capacity(features.len() * self.intercept.len());
        for row in features.iter() {
            let first = values.len();
            values.extend(&self.intercept);
            for (i, x) in row.iter().enumerate() {
                let z = (x - self.mean[i]) / self.scale[i];
                for (y, w) in values[first..].iter_mut().zip(&self.weights[i]) {
                    *y += z * w;
                }
            }
        }
        Rows {
            width: self.intercept.len(),
            values,
        }
    }
}

/// Solves A X = B by Cholesky's decomposition, in place; `a` holds the lower half of a positive definite matrix.
fn solve(a: &mut [f64], n: usize, b: &mut [Vec<f64>]) {
    for j in 0..n {
        for i in j..n {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let value = a[i * n + j] - dot;
            a[i * n + j] = if i == j {
                value.max(f64::MIN_POSITIVE).sqrt()
            } else {
                value / a[j * n + j]
            };
        }
    }
    let outputs = b.first().map_or(0, Vec::len);
    for output in 0..outputs {
        let mut x: Vec<f64> = b.iter().map(|row| row[output]).collect();
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| a[i * n + k] * x[k]).sum();
            x[i] = (x[i] - dot) / a[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * x[k]).sum();
            x[i] = (x[i] - dot) / a[i * n + i];
        }
        for (row, x) in b.iter_mut().zip(x) {
            row[output] = x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    #[test]
    fn exact_coefficients_come_back() {
        let x = crate::random::NormalNoise::new(1, 0).values(0, 600);
        let features = Rows::new(3, x).unwrap();
        let y = features
            .iter()
            .flat_map(|r| [2.0 * r[0] - r[2] + 5.0, r[1] - 1.0])
            .collect();
        let targets = Rows::new(2, y).unwrap();
        let model = Ridge { penalty: 0.0 }.fit(&features, &targets).unwrap();
        for (a, b) in model
            .predict(&features)
            .values()
            .iter()
            .zip(targets.values())
        {
            assert_close(*a, *b, 1e-9);
        }
    }

    #[test]
    fn repeated_and_constant_columns_are_harmless() {
        let x = crate::random::NormalNoise::new(2, 0).values(0, 200);
        let features = x.iter().flat_map(|x| [*x, *x, 3.0]).collect();
        let targets = Rows::new(1, x.iter().map(|x| 4.0 * x).collect()).unwrap();
        let features = Rows::new(3, features).unwrap();
        let model = Ridge::default().fit(&features, &targets).unwrap();
        for (a, b) in model
            .predict(&features)
            .values()
            .iter()
            .zip(targets.values())
        {
            assert_close(*a, *b, 1e-4);
        }
    }

    #[test]
    fn a_negative_penalty_is_refused() {
        let rows = Rows::new(1, vec![1.0, 2.0]).unwrap();
        assert!(Ridge { penalty: -1.0 }.fit(&rows, &rows).is_err());
    }
}
