use burn::tensor::Tensor;

use granule_dynamics::DynamicsError;
use granule_dynamics::host;
use granule_dynamics::linalg::symmetric_eigen;

/// The principal components of a cloud of points, such as the states of trajectories (Pearson 1901).
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// The mean of the points.
    pub mean: Vec<f64>,
    /// Unit vectors, the direction of largest variance first; of each, the largest entry is positive.
    pub components: Vec<Vec<f64>>,
    /// The variance along every direction, falling, also along those that are left out; divided by points − 1.
    pub variances: Vec<f64>,
}

impl Pca {
    /// The first `components` directions of points of `width` coordinates, row-major.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for fewer than two points, a number of components that is not 1 to `width`, or values that
    /// are not finite; [`DynamicsError::Shape`] for a length that is no multiple of `width`.
    pub fn fit(points: &[f64], width: usize, components: usize) -> Result<Self, DynamicsError> {
        if !(1..=width).contains(&components) {
            let allowed = format!("1 to {width}");
            return Err(DynamicsError::config("components", components, allowed));
        }
        if !points.len().is_multiple_of(width) {
            return Err(DynamicsError::Shape {
                what: "the points of a principal component analysis".into(),
                expected: vec![points.len() / width, width],
                found: vec![points.len()],
            });
        }
        let count = points.len() / width;
        if count < 2 {
            return Err(DynamicsError::config("points", count, "at least 2"));
        }
        let mut mean = vec![0.0; width];
        for row in points.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += x);
        }
        mean.iter_mut().for_each(|m| *m /= count as f64);
        let mut covariance = vec![0.0; width * width];
        for row in points.chunks_exact(width) {
            let row: Vec<f64> = row.iter().zip(&mean).map(|(x, m)| x - m).collect();
            for (out, x) in covariance.chunks_exact_mut(width).zip(&row) {
                out.iter_mut().zip(&row).for_each(|(c, y)| *c += x * y);
            }
        }
        let scale = 1.0 / (count - 1) as f64;
        covariance.iter_mut().for_each(|c| *c *= scale);
        let (variances, vectors) = symmetric_eigen(&covariance, width)?;
        let upright = |v: &[f64]| -> Vec<f64> {
            let largest = v
                .iter()
                .fold(0.0, |m: f64, x| if x.abs() > m.abs() { *x } else { m });
            v.iter().map(|x| x * largest.signum()).collect()
        };
        Ok(Self {
            mean,
            components: vectors
                .chunks_exact(width)
                .take(components)
                .map(upright)
                .collect(),
            variances: variances.into_iter().map(|v| v.max(0.0)).collect(),
        })
    }

    /// The directions of states `[batch, steps, units]`, every step of every trajectory a point; waits for the device.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Self::fit), and [`DynamicsError::Device`].
    pub fn of_states(states: &Tensor<3>, components: usize) -> Result<Self, DynamicsError> {
        let [_, _, units] = states.dims();
        Self::fit(&host(states.clone())?, units, components)
    }

    /// The coordinates of points along the components, row-major, `[points, components]`.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for a length that is no multiple of the points' width.
    pub fn project(&self, points: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        let width = self.mean.len();
        if !points.len().is_multiple_of(width) {
            return Err(DynamicsError::Shape {
                what: "the points to project".into(),
                expected: vec![points.len() / width, width],
                found: vec![points.len()],
            });
        }
        let along = |row: &[f64], component: &[f64]| -> f64 {
            let centred = row.iter().zip(&self.mean).map(|(x, m)| x - m);
            centred.zip(component).map(|(x, c)| x * c).sum()
        };
        Ok(points
            .chunks_exact(width)
            .flat_map(|row| self.components.iter().map(move |c| along(row, c)))
            .collect())
    }

    /// The share of all variance that each component holds; zeros where the points do not vary.
    pub fn explained(&self) -> Vec<f64> {
        let total: f64 = self.variances.iter().sum();
        let share = |v: &f64| if total > 0.0 { v / total } else { 0.0 };
        self.variances
            .iter()
            .take(self.components.len())
            .map(share)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, f64_places};
    use granule_dynamics::random::NormalNoise;

    #[test]
    fn axes_variances_and_projections_of_a_rotated_ellipse() {
        // x = 3 + 5 cos φ·(0.6, 0.8) + 2 sin φ·(−0.8, 0.6), at evenly spaced φ.
        let count = 100;
        let angle = |k: usize| std::f64::consts::TAU * k as f64 / count as f64;
        let points: Vec<f64> = (0..count)
            .flat_map(|k| {
                let (a, b) = (5.0 * angle(k).cos(), 2.0 * angle(k).sin());
                [3.0 + 0.6 * a - 0.8 * b, -1.0 + 0.8 * a + 0.6 * b]
            })
            .collect();
        let pca = Pca::fit(&points, 2, 2).unwrap();
        assert_close(pca.mean[0], 3.0, 1e-12);
        assert_close(pca.mean[1], -1.0, 1e-12);
        for (found, expected) in pca.components.concat().iter().zip([0.6, 0.8, 0.8, -0.6]) {
            assert_close(*found, expected, 1e-12);
        }
        for (found, radius) in pca.variances.iter().zip([5.0, 2.0]) {
            assert_close(*found, 0.5 * radius * radius * 100.0 / 99.0, 1e-12);
        }
        assert_close(pca.explained()[0], 25.0 / 29.0, 1e-12);
        let flat = pca.project(&points).unwrap();
        for k in 0..count {
            assert_close(flat[2 * k], 5.0 * angle(k).cos(), 1e-12);
            assert_close(flat[2 * k + 1], -2.0 * angle(k).sin(), 1e-12);
        }
    }

    #[test]
    fn projections_onto_all_components_keep_distances() {
        for (_, place) in f64_places() {
            let values = NormalNoise::new(2, 0).values(0, 60);
            let states = place.tensor::<3>(values.clone(), [2, 6, 5]);
            let pca = Pca::of_states(&states, 5).unwrap();
            let flat = pca.project(&values).unwrap();
            let distance = |x: &[f64]| -> f64 {
                let pairs = x[..5].iter().zip(&x[35..40]);
                pairs.map(|(a, b)| (a - b) * (a - b)).sum()
            };
            assert_close(distance(&flat), distance(&values), 1e-12);
            assert_close(pca.explained().iter().sum(), 1.0, 1e-12);
        }
    }

    #[test]
    fn what_has_no_components_is_an_error() {
        assert!(Pca::fit(&[1.0, 2.0], 2, 1).is_err());
        assert!(Pca::fit(&[1.0, 2.0, 3.0], 2, 1).is_err());
        assert!(Pca::fit(&[1.0; 4], 2, 0).is_err());
        assert!(Pca::fit(&[1.0; 4], 2, 3).is_err());
        assert!(Pca::fit(&[1.0; 4], 0, 0).is_err());
        assert!(Pca::fit(&[1.0, f64::NAN, 1.0, 1.0], 2, 1).is_err());
        let still = Pca::fit(&[1.0; 4], 2, 1).unwrap();
        assert_eq!(still.explained(), [0.0]);
        assert!(still.project(&[1.0]).is_err());
    }
}
