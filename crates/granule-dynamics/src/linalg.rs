//! Dense linear algebra on the host in double precision, for initialisation and analysis. Matrices are square and
//! row-major.

use crate::DynamicsError;

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

impl Complex {
    /// |z|
    pub fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }
}

/// The eigenvalues of an `n × n` matrix, by falling real part; of a conjugate pair the one above the real axis first.
///
/// Householder reduction to Hessenberg form, then the implicit double-shift QR iteration (Francis 1961) with the
/// exceptional shifts of LAPACK's `dlahqr`.
///
/// # Errors
///
/// [`DynamicsError::Config`] for a matrix that is not `n × n` or not finite; [`DynamicsError::NotConverged`].
pub fn eigenvalues(matrix: &[f64], n: usize) -> Result<Vec<Complex>, DynamicsError> {
    check(matrix, n)?;
    let mut h = matrix.to_vec();
    reduce_to_hessenberg(&mut h, n);
    let mut values = francis(&mut h, n)?;
    values.sort_by(|a, b| b.re.total_cmp(&a.re).then(b.im.total_cmp(&a.im)));
    Ok(values)
}

/// The largest modulus of an eigenvalue.
///
/// # Errors
///
/// Those of [`eigenvalues`].
pub fn spectral_radius(matrix: &[f64], n: usize) -> Result<f64, DynamicsError> {
    let values = eigenvalues(matrix, n)?;
    Ok(values.into_iter().map(Complex::abs).fold(0.0, f64::max))
}

fn check(matrix: &[f64], n: usize) -> Result<(), DynamicsError> {
    if matrix.len() != n * n {
        let len = matrix.len();
        let allowed = format!("{n} × {n} elements");
        return Err(DynamicsError::config("matrix", len, allowed));
    }
    match matrix.iter().find(|x| !x.is_finite()) {
        Some(x) => Err(DynamicsError::config("matrix", x, "finite elements")),
        None => Ok(()),
    }
}

/// Qᵀ H Q with zeros below the first subdiagonal.
fn reduce_to_hessenberg(h: &mut [f64], n: usize) {
    let mut v = vec![0.0; n];
    let mut w = vec![0.0; n];
    for k in 0..n.saturating_sub(2) {
        for i in k + 1..n {
            v[i] = h[i * n + k];
        }
        let below: f64 = v[k + 2..].iter().map(|x| x * x).sum();
        if below == 0.0 {
            continue;
        }
        let alpha = (v[k + 1] * v[k + 1] + below).sqrt().copysign(v[k + 1]);
        v[k + 1] += alpha;
        let beta = 1.0 / (alpha * v[k + 1]);
        w[k..].fill(0.0);
        for i in k + 1..n {
            let row = &h[i * n + k..(i + 1) * n];
            w[k..].iter_mut().zip(row).for_each(|(w, x)| *w += v[i] * x);
        }
        for i in k + 1..n {
            let scale = beta * v[i];
            let row = &mut h[i * n + k..(i + 1) * n];
            row.iter_mut()
                .zip(&w[k..])
                .for_each(|(x, w)| *x -= scale * w);
        }
        for row in h.chunks_exact_mut(n) {
            let row = &mut row[k + 1..];
            let dot: f64 = row.iter().zip(&v[k + 1..]).map(|(x, v)| x * v).sum();
            let scale = beta * dot;
            row.iter_mut()
                .zip(&v[k + 1..])
                .for_each(|(x, v)| *x -= scale * v);
        }
        for i in k + 2..n {
            h[i * n + k] = 0.0;
        }
    }
}

/// The eigenvalues of a Hessenberg matrix, which is destroyed.
fn francis(h: &mut [f64], n: usize) -> Result<Vec<Complex>, DynamicsError> {
    const TRIES: usize = 60;
    let mut values = Vec::with_capacity(n);
    let norm = h.iter().map(|x| x.abs()).fold(0.0, f64::max);
    let mut end = n;
    let mut tries = 0;
    while end > 0 {
        let mut begin = end - 1;
        while begin > 0 {
            let (a, d) = (h[(begin - 1) * (n + 1)], h[begin * (n + 1)]);
            let near = match a.abs() + d.abs() {
                0.0 => norm,
                near => near,
            };
            if h[begin * n + begin - 1].abs() <= f64::EPSILON * near {
                h[begin * n + begin - 1] = 0.0;
                break;
            }
            begin -= 1;
        }
        match end - begin {
            1 => {
                values.push(Complex {
                    re: h[begin * (n + 1)],
                    im: 0.0,
                });
                (end, tries) = (begin, 0);
            }
            2 => {
                let [upper, lower] = [begin * (n + 1), (begin + 1) * n + begin];
                values.extend(of_block(h[upper], h[upper + 1], h[lower], h[lower + 1]));
                (end, tries) = (begin, 0);
            }
            _ if tries == TRIES => {
                return Err(DynamicsError::NotConverged {
                    what: "the QR iteration for eigenvalues".into(),
                    iterations: TRIES,
                });
            }
            _ => {
                let shifts = shifts(h, n, begin, end, tries);
                sweep(h, n, begin, end, shifts);
                tries += 1;
            }
        }
    }
    Ok(values)
}

/// The eigenvalues of [[a, b], [c, d]].
fn of_block(a: f64, b: f64, c: f64, d: f64) -> [Complex; 2] {
    let half = 0.5 * (a - d);
    let discriminant = half * half + b * c;
    let root = discriminant.abs().sqrt();
    if discriminant < 0.0 {
        return [root, -root].map(|im| Complex { re: d + half, im });
    }
    let far = half + root.copysign(half);
    let near = match far {
        0.0 => 0.0,
        far => -b * c / far,
    };
    [far, near].map(|offset| Complex {
        re: d + offset,
        im: 0.0,
    })
}

/// Sum and product of the two shifts: the eigenvalues of the last 2 × 2 block, or now and then something else.
fn shifts(h: &[f64], n: usize, begin: usize, end: usize, tries: usize) -> (f64, f64) {
    let at = |i: usize, j: usize| h[i * n + j];
    let exceptional = |s: f64, centre: f64| {
        let x = 0.75 * s + centre;
        (2.0 * x, x * x + 0.4375 * s * s)
    };
    match (tries + 1) % 20 {
        10 => {
            let s = at(begin + 1, begin).abs() + at(begin + 2, begin + 1).abs();
            exceptional(s, at(begin, begin))
        }
        0 => {
            let s = at(end - 1, end - 2).abs() + at(end - 2, end - 3).abs();
            exceptional(s, at(end - 1, end - 1))
        }
        _ => {
            let (i, j) = (end - 2, end - 1);
            (
                at(i, i) + at(j, j),
                at(i, i) * at(j, j) - at(i, j) * at(j, i),
            )
        }
    }
}

/// One implicit double-shift sweep over the rows `begin..end`.
fn sweep(h: &mut [f64], n: usize, begin: usize, end: usize, (sum, product): (f64, f64)) {
    let mut start = end - 3;
    let mut x = loop {
        let at = |i: usize, j: usize| h[(start + i) * n + start + j];
        let (a, d) = (at(0, 0), at(1, 1));
        let mut x = [
            a * (a - sum) + product + at(0, 1) * at(1, 0),
            at(1, 0) * (a + d - sum),
            at(1, 0) * at(2, 1),
        ];
        let scale = x.iter().map(|x| x.abs()).sum::<f64>();
        if scale > 0.0 {
            x = x.map(|x| x / scale);
        }
        if start == begin {
            break x;
        }
        let coupling = h[start * n + start - 1].abs() * (x[1].abs() + x[2].abs());
        let before = h[(start - 1) * (n + 1)].abs();
        if coupling <= f64::EPSILON * x[0].abs() * (before + a.abs() + d.abs()) {
            break x;
        }
        start -= 1;
    };
    for k in start..end - 1 {
        let size = (end - k).min(3);
        if k > start {
            x = [0.0; 3];
            for (i, x) in x.iter_mut().enumerate().take(size) {
                *x = h[(k + i) * n + k - 1];
            }
        }
        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            continue;
        }
        let alpha = length.copysign(x[0]);
        let v = [x[0] + alpha, x[1], x[2]];
        let beta = 1.0 / (alpha * v[0]);
        if k > start {
            h[k * n + k - 1] = -alpha;
            for i in 1..size {
                h[(k + i) * n + k - 1] = 0.0;
            }
        } else if k > begin {
            h[k * n + k - 1] *= 1.0 - beta * v[0] * v[0];
        }
        for j in k..end {
            let dot: f64 = (0..size).map(|i| v[i] * h[(k + i) * n + j]).sum();
            for i in 0..size {
                h[(k + i) * n + j] -= beta * dot * v[i];
            }
        }
        for row in begin..(k + 4).min(end) {
            let row = &mut h[row * n + k..row * n + k + size];
            let dot: f64 = row.iter().zip(&v).map(|(x, v)| x * v).sum();
            row.iter_mut()
                .zip(&v)
                .for_each(|(x, v)| *x -= beta * dot * v);
        }
    }
}

/// Eigenvalues, falling, and unit eigenvectors, one a row, of a symmetric `n × n` matrix, by cyclic Jacobi rotations. Only
/// the part on and above the diagonal is read.
///
/// # Errors
///
/// Those of [`eigenvalues`].
pub fn symmetric_eigen(matrix: &[f64], n: usize) -> Result<(Vec<f64>, Vec<f64>), DynamicsError> {
    const SWEEPS: usize = 30;
    check(matrix, n)?;
    let mut a = matrix.to_vec();
    for i in 0..n {
        (0..i).for_each(|j| a[i * n + j] = a[j * n + i]);
    }
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * (n + 1)] = 1.0);
    let total: f64 = a.iter().map(|x| x * x).sum();
    let mut sweeps = 0;
    loop {
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| i * n + j))
            .map(|at| 2.0 * a[at] * a[at])
            .sum();
        if off <= f64::EPSILON * f64::EPSILON * total {
            break;
        }
        if sweeps == SWEEPS {
            return Err(DynamicsError::NotConverged {
                what: "Jacobi's iteration for eigenvectors".into(),
                iterations: SWEEPS,
            });
        }
        sweeps += 1;
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = 0.5 * (a[q * (n + 1)] - a[p * (n + 1)]) / apq;
                let t = 1.0_f64.copysign(theta) / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                rotate_rows(&mut a, n, p, q, c, s);
                for row in a.chunks_exact_mut(n) {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
                rotate_rows(&mut vectors, n, p, q, c, s);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[j * (n + 1)].total_cmp(&a[i * (n + 1)]));
    let values = order.iter().map(|i| a[i * (n + 1)]).collect();
    let rows = order.iter().flat_map(|i| &vectors[i * n..(i + 1) * n]);
    Ok((values, rows.copied().collect()))
}

fn rotate_rows(a: &mut [f64], n: usize, p: usize, q: usize, c: f64, s: f64) {
    let (upper, lower) = a.split_at_mut(q * n);
    let upper = &mut upper[p * n..(p + 1) * n];
    for (x, y) in upper.iter_mut().zip(&mut lower[..n]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

/// The lower Cholesky factor of a symmetric positive definite `n × n` matrix, of which only the part on and below the
/// diagonal is read.
pub struct Cholesky {
    factor: Vec<f64>,
    n: usize,
}

impl Cholesky {
    /// `None` where the matrix is not positive definite.
    pub fn new(mut a: Vec<f64>, n: usize) -> Option<Self> {
        for i in 0..n {
            for j in 0..=i {
                let (before, row) = a.split_at_mut(i * n);
                let other = if j == i {
                    &row[..j]
                } else {
                    &before[j * n..j * n + j]
                };
                let dot: f64 = row.iter().zip(other).map(|(x, y)| x * y).sum();
                let rest = row[j] - dot;
                if j < i {
                    row[j] = rest / before[j * (n + 1)];
                } else if rest > 0.0 {
                    row[j] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Self { factor: a, n })
    }

    /// Solves A x = b in place.
    pub fn solve(&self, b: &mut [f64]) {
        let (a, n) = (&self.factor, self.n);
        for i in 0..n {
            let row = &a[i * n..i * n + i];
            let dot: f64 = row.iter().zip(&b[..i]).map(|(x, y)| x * y).sum();
            b[i] = (b[i] - dot) / a[i * (n + 1)];
        }
        for i in (0..n).rev() {
            b[i] /= a[i * (n + 1)];
            let x = b[i];
            let row = &a[i * n..i * n + i];
            b[..i].iter_mut().zip(row).for_each(|(b, l)| *b -= x * l);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::NormalNoise;
    use crate::testing::assert_close;

    fn transform(n: usize, inner: &[f64], seed: u64) -> Vec<f64> {
        // H₂H₁ A H₁H₂ with two random reflections: the same spectrum, and nothing sparse about it.
        let mut a = inner.to_vec();
        for stream in 0..2 {
            let v = NormalNoise::new(seed, stream).values(0, n);
            let scale = 2.0 / v.iter().map(|x| x * x).sum::<f64>();
            let reflect = |a: &[f64]| -> Vec<f64> {
                let mut out = vec![0.0; n * n];
                for j in 0..n {
                    let dot: f64 = (0..n).map(|i| v[i] * a[i * n + j]).sum();
                    for i in 0..n {
                        // Transposed on the way, so that a second pass works on the other side.
                        out[j * n + i] = a[i * n + j] - scale * dot * v[i];
                    }
                }
                out
            };
            a = reflect(&reflect(&a));
        }
        a
    }

    #[test]
    fn a_known_spectrum_comes_back() {
        // Blocks [[re, im], [−im, re]], real numbers, and entries above the diagonal to make it far from normal.
        let n = 12;
        let mut a = vec![0.0; n * n];
        let pairs = [(1.5, 2.0), (-0.3, 0.7), (-0.4, 0.1)];
        let reals = [4.0, -3.5, 0.25, 0.0, -0.001, 2.0];
        let mut expected: Vec<Complex> = reals.map(|re| Complex { re, im: 0.0 }).to_vec();
        for (k, (re, im)) in pairs.into_iter().enumerate() {
            let i = 2 * k;
            a[i * n + i] = re;
            a[(i + 1) * n + i + 1] = re;
            a[i * n + i + 1] = im;
            a[(i + 1) * n + i] = -im;
            expected.extend([im, -im].map(|im| Complex { re, im }));
        }
        for (k, re) in reals.into_iter().enumerate() {
            a[(6 + k) * (n + 1)] = re;
        }
        for (i, x) in NormalNoise::new(1, 9).values(0, n * n).iter().enumerate() {
            if i % n > i / n + 1 {
                a[i] = 0.5 * x;
            }
        }
        expected.sort_by(|a, b| b.re.total_cmp(&a.re).then(b.im.total_cmp(&a.im)));
        let found = eigenvalues(&transform(n, &a, 5), n).unwrap();
        for (a, b) in found.iter().zip(&expected) {
            assert_close(a.re, b.re, 1e-11);
            assert_close(a.im, b.im, 1e-11);
        }
        let radius = spectral_radius(&transform(n, &a, 6), n).unwrap();
        assert_close(radius, 4.0, 1e-11);
    }

    #[test]
    fn a_cyclic_permutation_has_the_roots_of_unity() {
        // Without exceptional shifts the iteration stands still on a permutation matrix.
        for n in [3, 4, 7, 16] {
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                a[i * n + (i + n - 1) % n] = 1.0;
            }
            let found = eigenvalues(&a, n).unwrap();
            assert_eq!(found.len(), n);
            for k in 0..n {
                let angle = std::f64::consts::TAU * k as f64 / n as f64;
                let near = found
                    .iter()
                    .map(|z| (z.re - angle.cos()).hypot(z.im - angle.sin()))
                    .fold(f64::INFINITY, f64::min);
                assert!(near < 1e-12, "{n} {k}: {near:e}");
            }
        }
    }

    #[test]
    fn trace_and_squared_trace_of_a_large_matrix_agree() {
        let n = 150;
        let a = NormalNoise::new(3, 0).values(0, n * n);
        let values = eigenvalues(&a, n).unwrap();
        let trace: f64 = (0..n).map(|i| a[i * (n + 1)]).sum();
        let square: f64 = (0..n)
            .flat_map(|i| (0..n).map(move |j| (i, j)))
            .map(|(i, j)| a[i * n + j] * a[j * n + i])
            .sum();
        assert_close(values.iter().map(|z| z.re).sum(), trace, 1e-10);
        let squares = values.iter().map(|z| z.re * z.re - z.im * z.im);
        assert_close(squares.sum(), square, 1e-10);
        assert_close(values.iter().map(|z| z.im).sum(), 0.0, 1e-10);
    }

    #[test]
    fn small_and_defective_matrices() {
        assert!(eigenvalues(&[], 0).unwrap().is_empty());
        assert_eq!(eigenvalues(&[3.0], 1).unwrap()[0].re, 3.0);
        assert_eq!(spectral_radius(&[0.0; 9], 3).unwrap(), 0.0);
        let rotation = eigenvalues(&[0.0, -1.0, 1.0, 0.0], 2).unwrap();
        assert_eq!((rotation[0].re, rotation[0].im), (0.0, 1.0));
        let jordan = eigenvalues(&[2.0, 1.0, 0.0, 2.0], 2).unwrap();
        assert_eq!(jordan.map_re(), [2.0, 2.0]);
        for bad in [eigenvalues(&[1.0; 3], 2), eigenvalues(&[f64::NAN], 1)] {
            assert!(matches!(bad, Err(DynamicsError::Config(_))));
        }
    }

    trait MapRe {
        fn map_re(&self) -> Vec<f64>;
    }

    impl MapRe for Vec<Complex> {
        fn map_re(&self) -> Vec<f64> {
            self.iter().map(|z| z.re).collect()
        }
    }

    #[test]
    fn symmetric_matrices_are_diagonalised() {
        let n = 9;
        let values = [5.0, 4.0, 4.0, 1.0, 0.5, 0.0, -1e-3, -2.0, -7.0];
        let mut a = vec![0.0; n * n];
        (0..n).for_each(|i| a[i * (n + 1)] = values[n - 1 - i]);
        let a = transform(n, &a, 2);
        let (found, vectors) = symmetric_eigen(&a, n).unwrap();
        for k in 0..n {
            assert_close(found[k], values[k], 1e-13);
            let v = &vectors[k * n..(k + 1) * n];
            for i in 0..n {
                let av: f64 = (0..n).map(|j| a[i * n + j] * v[j]).sum();
                assert_close(av, values[k] * v[i], 1e-12);
            }
            assert_close(v.iter().map(|x| x * x).sum(), 1.0, 1e-13);
        }
    }

    #[test]
    fn positive_definite_systems_are_solved_and_others_refused() {
        let n = 6;
        let x = NormalNoise::new(4, 0).values(0, n);
        let mut diagonal = vec![0.0; n * n];
        (0..n).for_each(|i| diagonal[i * (n + 1)] = 10.0_f64.powi(i as i32 - 2));
        let a = transform(n, &diagonal, 8);
        let mut b: Vec<f64> = (0..n)
            .map(|i| (0..n).map(|j| a[i * n + j] * x[j]).sum())
            .collect();
        Cholesky::new(a, n).unwrap().solve(&mut b);
        for (found, expected) in b.iter().zip(&x) {
            assert_close(*found, *expected, 1e-9);
        }
        assert!(Cholesky::new(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
