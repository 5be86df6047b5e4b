//! Normal equations of a regression, and their solution by Cholesky's decomposition.

use granule_io::budget;

use crate::TrainError;

/// Rows that are worked on while they are at hand.
pub(super) const ROWS: usize = 4;
/// What asks for memory here.
pub(super) const WHAT: &str = "the baselines";

/// Means of inputs and targets.
#[derive(Clone)]
pub(crate) struct Moments {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

impl Moments {
    /// The mean of the targets for so many samples.
    pub fn repeated(&self, samples: usize) -> Result<Vec<f32>, TrainError> {
        let all = self.y.iter().map(|&y| y as f32).cycle();
        let count = samples.saturating_mul(self.y.len());
        Ok(budget::collect(all.take(count), count, WHAT)?)
    }
}

/// XᵀX, its lower half, and XᵀY, of centred numbers; or XXᵀ and Y, with X.
pub(crate) struct Normal {
    pub moments: Moments,
    pub gram: Vec<f64>,
    /// `[inputs, outputs]`, or `[samples, outputs]`
    pub cross: Vec<f64>,
    /// `[samples, inputs]`, where the unknown are a weight for each sample.
    pub samples: Option<Vec<f64>>,
}

/// W, `[outputs, inputs]`, and the means that it is used with.
pub(crate) struct Ridge {
    pub moments: Moments,
    pub weights: Vec<f64>,
}

impl Ridge {
    /// The targets of a row of inputs.
    pub fn answer<'a>(&'a self, x: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let rows = self
            .weights
            .chunks_exact(x.len().max(1))
            .zip(&self.moments.y);
        rows.map(move |(weights, y)| {
            let centred = x
                .iter()
                .zip(&self.moments.x)
                .map(|(&x, mean)| f64::from(x) - mean);
            weights
                .iter()
                .zip(centred)
                .fold(*y, |sum, (w, x)| sum + w * x)
        })
    }
}

impl Normal {
    /// Of no output.
    #[cfg(test)]
    pub fn of_gram(moments: Moments, gram: Vec<f64>) -> Self {
        let cross = vec![0.0; moments.x.len() * moments.y.len()];
        Self {
            moments,
            gram,
            cross,
            samples: None,
        }
    }

    /// The factor L of XᵀX + λ = L Lᵀ, or of XXᵀ + λ, its lower half.
    pub fn factor(&self, penalty: f64) -> Result<Vec<f64>, TrainError> {
        factor(&self.gram, self.unknown(), penalty)
    }

    /// How many weights an output has.
    pub fn unknown(&self) -> usize {
        self.cross.len() / self.moments.y.len().max(1)
    }

    /// (XᵀX + λ) Wᵀ = XᵀY, or (XXᵀ + λ) A = Y and Wᵀ = XᵀA, by Cholesky's decomposition.
    pub fn solve(&self, penalty: f64) -> Result<Ridge, TrainError> {
        let (outputs, n) = (self.moments.y.len(), self.unknown());
        let lower = self.factor(penalty)?;
        let mut weights = budget::filled(0.0, n * outputs, WHAT)?;
        for (output, weights) in weights.chunks_exact_mut(n.max(1)).enumerate() {
            let cross = self.cross.iter().skip(output).step_by(outputs);
            weights.iter_mut().zip(cross).for_each(|(w, x)| *w = *x);
            substitute(&lower, weights);
        }
        if let Some(samples) = &self.samples {
            let inputs = self.moments.x.len();
            let of_samples =
                std::mem::replace(&mut weights, budget::filled(0.0, inputs * outputs, WHAT)?);
            let all = weights
                .chunks_exact_mut(inputs.max(1))
                .zip(of_samples.chunks_exact(n));
            for (weights, of_samples) in all {
                for (x, a) in samples.chunks_exact(inputs.max(1)).zip(of_samples) {
                    weights
                        .iter_mut()
                        .zip(x)
                        .for_each(|(weight, x)| *weight += a * x);
                }
            }
        }
        let moments = Moments {
            x: self.moments.x.clone(),
            y: self.moments.y.clone(),
        };
        Ok(Ridge { moments, weights })
    }
}

/// The factor L of G + λ = L Lᵀ, its lower half, of a matrix of n rows whose lower half is read (Cholesky's decomposition).
pub(super) fn factor(gram: &[f64], n: usize, penalty: f64) -> Result<Vec<f64>, TrainError> {
    let mut lower = budget::collect(gram.iter().copied(), gram.len(), WHAT)?;
    for start in (0..n).step_by(ROWS) {
        let (above, rest) = lower.split_at_mut(start * n);
        let block = &mut rest[..ROWS.min(n - start) * n];
        for (column, of_column) in above.chunks_exact(n).enumerate() {
            block
                .chunks_exact_mut(n)
                .for_each(|own| eliminate(own, of_column, column));
        }
        for row in start..start + block.len() / n {
            let (before, rest) = block.split_at_mut((row - start) * n);
            let own = &mut rest[..n];
            for (column, of_column) in (start..).zip(before.chunks_exact(n)) {
                eliminate(own, of_column, column);
            }
            let squares = dot(&own[..row], &own[..row]);
            // G has no negative eigenvalue but by rounding, which is far less than λ.
            own[row] = (own[row] + penalty - squares).max(f64::MIN_POSITIVE).sqrt();
        }
    }
    Ok(lower)
}

/// L Lᵀ w = v, in the place of v.
pub(super) fn substitute(lower: &[f64], weights: &mut [f64]) {
    let n = weights.len();
    for row in 0..n {
        let sum = dot(&lower[row * n..row * n + row], &weights[..row]);
        weights[row] = (weights[row] - sum) / lower[row * n + row];
    }
    for row in (0..n).rev() {
        weights[row] /= lower[row * n + row];
        let (before, own) = weights.split_at_mut(row);
        let column = &lower[row * n..row * n + row];
        before
            .iter_mut()
            .zip(column)
            .for_each(|(w, l)| *w -= own[0] * l);
    }
}

/// Adds the squares of rows to the lower half of a matrix.
pub(super) fn add_squares(gram: &mut [f64], rows: &[f64], inputs: usize) {
    for (at, sums) in gram.chunks_exact_mut(inputs.max(1)).enumerate() {
        for row in rows.chunks_exact(inputs.max(1)) {
            let a = row[at];
            sums.iter_mut()
                .zip(row)
                .take(at + 1)
                .for_each(|(sum, b)| *sum += a * b);
        }
    }
}

/// One entry of a row of Cholesky's factor, after those before it.
fn eliminate(own: &mut [f64], of_column: &[f64], column: usize) {
    let sum = dot(&own[..column], &of_column[..column]);
    own[column] = (own[column] - sum) / of_column[column];
}

/// Σ a b, in eight sums that a processor adds at once.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}
