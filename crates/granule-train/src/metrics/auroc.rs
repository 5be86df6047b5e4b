/// The area under the receiver operating characteristic: how likely it is that an unusual sample has a higher score than a
/// normal one, where equal scores count half. NaN where one of them has no sample, or a score is not a number.
pub fn auroc(normal: &[f64], unusual: &[f64]) -> f64 {
    let of = |scores: &[f64], is_unusual| -> Vec<(f64, bool)> {
        scores.iter().map(|&score| (score, is_unusual)).collect()
    };
    let mut all = [of(normal, false), of(unusual, true)].concat();
    if all.iter().any(|(score, _)| score.is_nan()) {
        return f64::NAN;
    }
    all.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (mut below, mut wins) = (0.0, 0.0);
    for ties in all.chunk_by(|(a, _), (b, _)| a == b) {
        let unusual = ties.iter().filter(|(_, is_unusual)| *is_unusual).count() as f64;
        let normal = ties.len() as f64 - unusual;
        wins += unusual * (below + 0.5 * normal);
        below += normal;
    }
    wins / (normal.len() as f64 * unusual.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_scikit_learn() {
        // sklearn.metrics.roc_auc_score of scikit-learn 1.9.1, with ties within and between the two.
        let normal = [0.1, 0.4, 0.35, 0.8, 0.4, -1.0, 2.5];
        let unusual = [0.4, 0.9, 0.35, 3.0, 2.5];
        assert!((auroc(&normal, &unusual) - 0.7428571428571429).abs() < 1e-12);
        let drawn = |at: usize| ((at * 37) % 23) as f64 * 0.25;
        let normal: Vec<f64> = (0..40).map(drawn).collect();
        let unusual: Vec<f64> = (0..25).map(|at| drawn(at + 7) + 1.0).collect();
        assert!((auroc(&normal, &unusual) - 0.6699999999999999).abs() < 1e-12);
        assert_eq!(auroc(&[1.0, 2.0], &[3.0]), 1.0);
        assert_eq!(auroc(&[1.0; 3], &[1.0; 2]), 0.5);
        assert_eq!(auroc(&[0.0], &[-0.0]), 0.5);
        assert!(auroc(&[], &[1.0]).is_nan() && auroc(&[f64::NAN], &[1.0]).is_nan());
    }
}
