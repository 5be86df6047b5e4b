use std::f64::consts::FRAC_2_PI;

use serde::Serialize;

/// Whether one model is better than another over the same seeds or folds: Student's paired t-test, two-sided.
///
/// Runs of several seeds are independent. Those of several folds are not, for most of what they learn from is the same:
/// the variance of the mean difference is then taken as s² (1/n + n_test/n_train) (Nadeau and Bengio 2003,
/// doi:10.1023/A:1024068626366).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedTest {
    /// The mean of what the second has more than the first.
    pub difference: f64,
    /// Student's t.
    pub t: f64,
    /// Its degrees of freedom: pairs less one.
    pub degrees: usize,
    /// How often a difference at least as large would come about if there were none.
    pub p_value: f64,
}

/// Of the largest score: differences that are this close are the same.
const ROUNDING: f64 = 1e-12;

impl PairedTest {
    /// Of scores of the first and of the second model, pair by pair. `overlap` is n_test/n_train of folds, 0 of runs that
    /// have nothing in common. None for fewer than two pairs, scores that are not finite, and differences all the same but
    /// 0, of which no test can tell how sure they are.
    pub fn new(pairs: &[(f64, f64)], overlap: f64) -> Option<Self> {
        let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
        let count = differences.len() as f64;
        if differences.len() < 2 || differences.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let difference = differences.iter().sum::<f64>() / count;
        let squares: f64 = differences.iter().map(|x| (x - difference).powi(2)).sum();
        let degrees = differences.len() - 1;
        let variance = squares / degrees as f64 * (1.0 / count + overlap);
        if differences.iter().all(|x| *x == 0.0) {
            return Some(Self {
                difference,
                t: 0.0,
                degrees,
                p_value: 1.0,
            });
        }
        // What scores such as 0.9 − 0.8 and 0.8 − 0.7 differ by is the rounding of decimals.
        let largest = pairs
            .iter()
            .fold(0.0, |most: f64, (a, b)| most.max(a.abs()).max(b.abs()));
        let t = difference / variance.sqrt();
        (variance.sqrt() > ROUNDING * largest).then(|| Self {
            difference,
            t,
            degrees,
            p_value: (1.0 - within(t.abs(), degrees)).max(0.0),
        })
    }
}

/// The probability that Student's t of so many degrees of freedom is between −t and t (Abramowitz and Stegun 1964, 26.7.3
/// and 26.7.4).
fn within(t: f64, degrees: usize) -> f64 {
    let angle = (t / (degrees as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let square = cosine * cosine;
    if degrees % 2 == 1 {
        let mut term = if degrees > 1 { cosine } else { 0.0 };
        let mut sum = term;
        for k in (3..degrees).step_by(2) {
            term *= square * (k - 1) as f64 / k as f64;
            sum += term;
        }
        return FRAC_2_PI * (angle + sine * sum);
    }
    let mut term = 1.0;
    let mut sum = term;
    for k in (2..degrees).step_by(2) {
        term *= square * (k - 1) as f64 / k as f64;
        sum += term;
    }
    sine * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy's `stats.t.sf`, twice.
    #[test]
    fn the_distribution_is_students() {
        for (degrees, expected) in [
            (
                1,
                [0.7048327646991335, 0.2951672353008665, 0.10513691342250688],
            ),
            (
                2,
                [0.6666666666666667, 0.18350341907227397, 0.02667147321542477],
            ),
            (
                3,
                [0.651447964848151, 0.13932596855884305, 0.009272714892284666],
            ),
            (
                10,
                [
                    0.627893605742973,
                    0.07338803477074037,
                    0.00013210886035478557,
                ],
            ),
            (
                29,
                [
                    0.6208480841937812,
                    0.05494363718296717,
                    1.5927908426174689e-06,
                ],
            ),
        ] {
            for (t, expected) in [0.5, 2.0, 6.0].into_iter().zip(expected) {
                let found = 1.0 - within(t, degrees);
                assert!((found - expected).abs() < 1e-14, "{degrees}, {t}: {found}");
            }
        }
    }

    /// SciPy's `stats.ttest_rel`; with the correction, its parts.
    #[test]
    fn paired_scores_are_tested_as_elsewhere() {
        let pairs = [
            (0.91, 0.93),
            (0.93, 0.94),
            (0.90, 0.93),
            (0.94, 0.94),
            (0.92, 0.95),
        ];
        let test = PairedTest::new(&pairs, 0.0).unwrap();
        assert!((test.difference - 0.018).abs() < 1e-12);
        assert!((test.t - 3.0869745325651534).abs() < 1e-10);
        assert!((test.p_value - 0.03668198940044129).abs() < 1e-12);
        let folds = PairedTest::new(&pairs, 0.25).unwrap();
        assert!((folds.t - 2.0579830217101023).abs() < 1e-10);
        assert!((folds.p_value - 0.10870095132492402).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_tested_is_not() {
        assert_eq!(PairedTest::new(&[(0.9, 0.8)], 0.0), None);
        assert_eq!(PairedTest::new(&[(0.5, 0.75), (0.25, 0.5)], 0.0), None);
        assert_eq!(
            PairedTest::new(&[(0.9, 0.8), (0.8, 0.7), (0.7, 0.6)], 0.0),
            None
        );
        assert_eq!(PairedTest::new(&[(0.5, f64::NAN), (0.25, 0.5)], 0.0), None);
        let same = PairedTest::new(&[(0.5, 0.5), (0.25, 0.25)], 0.0).unwrap();
        assert_eq!((same.t, same.p_value), (0.0, 1.0));
    }
}
