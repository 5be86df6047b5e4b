//! The weights of a convex combination of predictions.

use super::Rows;

/// Steps of projected gradient descent; the problem has as many unknowns as granularities.
const STEPS: usize = 2000;

/// For each output the non-negative weights with sum one that minimise the squared error of the combined predictions,
/// `[models][outputs]` (stacking, Breiman 1996).
pub(super) fn weights(predictions: &[Rows], truth: &Rows) -> Vec<Vec<f64>> {
    let models = predictions.len();
    let outputs = truth.width();
    let mut weights = vec![vec![0.0; outputs]; models];
    for output in 0..outputs {
        // ½wᵀGw with G the moments of the residuals: the weights sum to one, so they weigh residuals as well.
        let residual = |model: usize, t: usize| {
            predictions[model].values()[t * outputs + output] - truth.values()[t * outputs + output]
        };
        let mut gram = vec![0.0; models * models];
        for i in 0..models {
            for j in 0..=i {
                let sum: f64 = (0..truth.len())
                    .map(|t| residual(i, t) * residual(j, t))
                    .sum();
                gram[i * models + j] = sum;
                gram[j * models + i] = sum;
            }
        }
        for (row, w) in weights.iter_mut().zip(minimise(&gram, models)) {
            row[output] = w;
        }
    }
    weights
}

/// Predictions combined by the weights.
pub(super) fn fuse(predictions: &[Rows], weights: &[Vec<f64>]) -> Rows {
    let Some(first) = predictions.first() else {
        return Rows::default();
    };
    let mut fused = Rows {
        width: first.width(),
        values: vec![0.0; first.values().len()],
    };
    for (rows, weights) in predictions.iter().zip(weights) {
        let sums = fused.values.chunks_exact_mut(fused.width);
        for (sum, row) in sums.zip(rows.iter()) {
            for ((sum, x), w) in sum.iter_mut().zip(row).zip(weights) {
                *sum += w * x;
            }
        }
    }
    fused
}

/// Minimises ½wᵀGw over the simplex by accelerated projected gradient descent.
fn minimise(gram: &[f64], n: usize) -> Vec<f64> {
    let trace: f64 = (0..n).map(|i| gram[i * n + i]).sum();
    let mut w = vec![1.0 / n as f64; n];
    if trace <= 0.0 {
        return w;
    }
    let mut ahead = w.clone();
    for step in 0..STEPS {
        let slope = |i: usize| -> f64 { (0..n).map(|j| gram[i * n + j] * ahead[j]).sum() };
        // The trace bounds the largest eigenvalue.
        let moved = (0..n).map(|i| ahead[i] - slope(i) / trace).collect();
        let next = project(moved);
        let momentum = step as f64 / (step as f64 + 3.0);
        ahead = next
            .iter()
            .zip(&w)
            .map(|(new, old)| new + momentum * (new - old))
            .collect();
        w = next;
    }
    w
}

/// The nearest point of the simplex (Held, Wolfe and Crowder 1974).
fn project(point: Vec<f64>) -> Vec<f64> {
    let mut sorted = point.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    let mut shift = 0.0;
    for (i, x) in sorted.iter().enumerate() {
        sum += x;
        let candidate = (sum - 1.0) / (i + 1) as f64;
        if x - candidate > 0.0 {
            shift = candidate;
        }
    }
    point.into_iter().map(|x| (x - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    #[test]
    fn independent_errors_are_weighed_by_their_variance() {
        // Residuals with moments diag(1, 4): weights 4/5 and 1/5.
        let w = minimise(&[1.0, 0.0, 0.0, 4.0], 2);
        assert_close(w[0], 0.8, 1e-6);
        assert_close(w[1], 0.2, 1e-6);
    }

    #[test]
    fn a_useless_model_gets_nothing() {
        let w = minimise(&[1.0, 1.0, 1.0, 9.0], 2);
        assert_close(w[0], 1.0, 1e-6);
    }

    #[test]
    fn projection_ends_on_the_simplex() {
        assert_eq!(project(vec![0.2, 0.8]), [0.2, 0.8]);
        assert_eq!(project(vec![5.0, 0.0]), [1.0, 0.0]);
        let w = project(vec![0.9, 0.9, -1.0]);
        assert_close(w.iter().sum::<f64>(), 1.0, 1e-12);
        assert_eq!(w[2], 0.0);
    }
}
