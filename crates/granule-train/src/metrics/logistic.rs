//! Choices over evidence.

use granule_data::task::PsychometricPoint;

/// Share of the second choice `1 / (1 + exp(−(bias + slope·evidence)))`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logistic {
    pub bias: f64,
    pub slope: f64,
}

impl Logistic {
    /// The most likely curve, under a prior so wide (standard deviation 50 across the range of the evidence) that it only
    /// bounds the slope of choices without a mistake. None below two strengths of evidence.
    pub fn fit(points: &[PsychometricPoint], reach: f64) -> Option<Self> {
        let first = points.first()?.evidence;
        if points.iter().all(|point| point.evidence == first) {
            return None;
        }
        const PRECISION: f64 = 1.0 / 2500.0;
        let objective = |bias: f64, slope: f64| {
            let curve = Self {
                bias,
                slope: slope / reach,
            };
            curve.log_likelihood(points) - PRECISION / 2.0 * (bias * bias + slope * slope)
        };
        let (mut bias, mut slope) = (0.0, 0.0);
        let mut value = objective(bias, slope);
        for _ in 0..60 {
            let (mut g0, mut g1) = (-PRECISION * bias, -PRECISION * slope);
            let (mut h00, mut h01, mut h11) = (PRECISION, 0.0, PRECISION);
            for point in points {
                let x = point.evidence / reach;
                let share = 1.0 / (1.0 + (-(bias + slope * x)).exp());
                let trials = point.trials as f64;
                let (error, weight) = (
                    point.second as f64 - trials * share,
                    trials * share * (1.0 - share),
                );
                g0 += error;
                g1 += error * x;
                h00 += weight;
                h01 += weight * x;
                h11 += weight * x * x;
            }
            let determinant = h00 * h11 - h01 * h01;
            let step = (
                (h11 * g0 - h01 * g1) / determinant,
                (h00 * g1 - h01 * g0) / determinant,
            );
            let mut length = 1.0;
            let next = loop {
                let next = objective(bias + length * step.0, slope + length * step.1);
                if next >= value || length < 1e-6 {
                    break next;
                }
                length /= 2.0;
            };
            if !next.is_finite() || next <= value + 1e-10 {
                break;
            }
            bias += length * step.0;
            slope += length * step.1;
            value = next;
        }
        let fit = Self {
            bias,
            slope: slope / reach,
        };
        (fit.bias.is_finite() && fit.slope.is_finite()).then_some(fit)
    }

    /// The logarithm of how likely these choices are by the curve, without what does not depend on it.
    pub fn log_likelihood(&self, points: &[PsychometricPoint]) -> f64 {
        let of_point = |point: &PsychometricPoint| {
            let z = self.bias + self.slope * point.evidence;
            // ln(1 + e^z) without overflow.
            let log = z.max(0.0) + (-z.abs()).exp().ln_1p();
            point.second as f64 * z - point.trials as f64 * log
        };
        points.iter().map(of_point).sum()
    }

    pub fn share(&self, evidence: f64) -> f64 {
        1.0 / (1.0 + (-(self.bias + self.slope * evidence)).exp())
    }

    /// Evidence, from the point of indifference on, at which three choices of four are right.
    pub fn threshold(&self) -> f64 {
        if self.slope > 0.0 {
            3f64.ln() / self.slope
        } else {
            f64::INFINITY
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logistic_curve_is_found_again() {
        // logit = 0.4 + 12·c, in so many trials that rounding does not matter.
        let points: Vec<PsychometricPoint> = [-0.5, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.5]
            .into_iter()
            .map(|evidence: f64| {
                let share = 1.0 / (1.0 + (-(0.4 + 12.0 * evidence)).exp());
                PsychometricPoint {
                    evidence,
                    trials: 100_000_000,
                    second: (share * 1e8).round() as u64,
                }
            })
            .collect();
        let fit = Logistic::fit(&points, 0.5).unwrap();
        assert!(
            (fit.bias - 0.4).abs() < 1e-4 && (fit.slope - 12.0).abs() < 1e-3,
            "{fit:?}"
        );
        assert!((fit.threshold() - 3f64.ln() / 12.0).abs() < 1e-5);
        assert!(Logistic::fit(&points[..1], 0.5).is_none());
    }
}
