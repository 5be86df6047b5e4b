//! Linear regression with a penalty on the weights.

use serde::{Deserialize, Serialize};

use super::{FittedSubModel, Rows, SubModel, means};
use crate::DynamicsError;
use crate::linalg::Cholesky;

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
    /// `[outputs][features]`
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
        let mut moment = vec![vec![0.0; width]; targets.width()];
        let mut z = vec![0.0; width];
        for (row, y) in features.iter().zip(targets.iter()) {
            for (i, z) in z.iter_mut().enumerate() {
                *z = (row[i] - mean[i]) / scale[i];
            }
            for i in 0..width {
                for j in 0..=i {
                    gram[i * width + j] += z[i] * z[j];
                }
            }
            for ((sums, y), m) in moment.iter_mut().zip(y).zip(&intercept) {
                for (sum, z) in sums.iter_mut().zip(&z) {
                    *sum += z * (y - m);
                }
            }
        }
        // Below this a column that repeats another would leave a pivot of rounding errors.
        let penalty = self.penalty.max(1e-12) * n;
        for i in 0..width {
            gram[i * width + i] += penalty;
        }
        let Some(factor) = Cholesky::new(gram, width) else {
            return Err(DynamicsError::config(
                "penalty",
                self.penalty,
                "larger: the features repeat each other to the last digit",
            ));
        };
        moment.iter_mut().for_each(|column| factor.solve(column));
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
                for (y, weights) in values[first..].iter_mut().zip(&self.weights) {
                    *y += z * weights[i];
                }
            }
        }
        Rows {
            width: self.intercept.len(),
            values,
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
