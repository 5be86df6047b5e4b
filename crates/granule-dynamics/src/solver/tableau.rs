//! Explicit Runge–Kutta methods with an error estimate and dense output, as data.

use burn::tensor::Tensor;

use crate::State;
use crate::model::{Clock, Field};

/// The coefficients of an embedded explicit Runge–Kutta pair whose last stage lies at the result ("first same as last").
#[derive(Debug)]
pub(super) struct Tableau {
    /// c: where in the step each stage after the first lies.
    pub nodes: &'static [f64],
    /// a: the slopes each stage after the first is made of. The last row is b, the weights of the result.
    pub matrix: &'static [&'static [f64]],
    /// b − b̂: the weights of the difference to the embedded method, one for each stage.
    pub error: &'static [f64],
    /// The weights of the slopes at the fraction θ of the step: bᵢ(θ) = Σⱼ dense\[i\]\[j\]·θʲ⁺¹.
    pub dense: &'static [[f64; 4]],
}

impl Tableau {
    /// A step that begins with the slope `first`: the result and the slopes of all stages but the last, whose slope is
    /// that of the result.
    pub(super) fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
        first: State,
    ) -> (State, Vec<State>) {
        let mut slopes = vec![first];
        let mut stage = state.clone();
        for (node, row) in self.nodes.iter().zip(self.matrix) {
            stage = state.add_combination(row.iter().map(|a| a * at.dt).zip(&slopes));
            if slopes.len() < self.matrix.len() {
                slopes.push(field.derivative(at.time + node * at.dt, &stage, input));
            }
        }
        (stage, slopes)
    }

    /// The difference of the result to that of the embedded method, from the slopes of all stages.
    pub(super) fn error(&self, slopes: &[State], dt: f64) -> State {
        let first = slopes[0].clone().map(|k| k.mul_scalar(self.error[0] * dt));
        let rest = self.error.iter().map(|weight| weight * dt).zip(slopes);
        first.add_combination(rest.skip(1))
    }

    /// The state at the fraction `theta` of a step.
    pub(super) fn interpolate(
        &self,
        state: &State,
        slopes: &[State],
        dt: f64,
        theta: f64,
    ) -> State {
        let weights = self.dense.iter().map(|powers| {
            let sum = powers.iter().rev().fold(0.0, |sum, p| (sum + p) * theta);
            sum * dt
        });
        state.add_combination(weights.zip(slopes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solver::adaptive::Method;

    /// A tableau with its first row and with squares for rows.
    struct Square {
        c: Vec<f64>,
        a: Vec<Vec<f64>>,
    }

    impl Square {
        fn new(tableau: &Tableau) -> Self {
            let stages = tableau.matrix.len() + 1;
            let rows = std::iter::once(&[][..]).chain(tableau.matrix.iter().copied());
            let a = rows.map(|row| (0..stages).map(|j| row.get(j).copied().unwrap_or(0.0)));
            let c = std::iter::once(0.0).chain(tableau.nodes.iter().copied());
            Self {
                c: c.collect(),
                a: a.map(Iterator::collect).collect(),
            }
        }

        fn apply(&self, x: &[f64]) -> Vec<f64> {
            let dot = |row: &Vec<f64>| row.iter().zip(x).map(|(a, x)| a * x).sum();
            self.a.iter().map(dot).collect()
        }

        fn power(&self, exponent: i32) -> Vec<f64> {
            self.c.iter().map(|c| c.powi(exponent)).collect()
        }

        /// The elementary weights Φ and densities γ of all rooted trees up to order 5: Σ bᵢΦᵢ = θⁿ/γ.
        fn trees(&self) -> Vec<(i32, f64, Vec<f64>)> {
            let times = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).collect();
            let c = self.power(1);
            let (ac, ac2, ac3) = (
                self.apply(&c),
                self.apply(&self.power(2)),
                self.apply(&self.power(3)),
            );
            let aac = self.apply(&ac);
            vec![
                (1, 1.0, self.power(0)),
                (2, 2.0, c.clone()),
                (3, 3.0, self.power(2)),
                (3, 6.0, ac.clone()),
                (4, 4.0, self.power(3)),
                (4, 8.0, times(&c, &ac)),
                (4, 12.0, ac2.clone()),
                (4, 24.0, aac.clone()),
                (5, 5.0, self.power(4)),
                (5, 10.0, times(&self.power(2), &ac)),
                (5, 20.0, times(&ac, &ac)),
                (5, 15.0, times(&c, &ac2)),
                (5, 30.0, times(&c, &aac)),
                (5, 20.0, ac3),
                (5, 40.0, self.apply(&times(&c, &ac))),
                (5, 60.0, self.apply(&ac2)),
                (5, 120.0, self.apply(&aac)),
            ]
        }
    }

    fn dot(b: &[f64], x: &[f64]) -> f64 {
        b.iter().zip(x).map(|(b, x)| b * x).sum()
    }

    /// The order conditions of Butcher: 5 for the result, 4 and not 5 for the embedded method and 4 for the dense output.
    #[test]
    fn coefficients_satisfy_the_order_conditions() {
        for method in [Method::DormandPrince, Method::Tsit5] {
            let tableau = method.tableau();
            let square = Square::new(tableau);
            for (row, c) in square.a.iter().zip(&square.c) {
                assert!((row.iter().sum::<f64>() - c).abs() < 2e-15, "{method:?}");
            }
            let b = square.a[square.a.len() - 1].clone();
            let embedded: Vec<f64> = b.iter().zip(tableau.error).map(|(b, e)| b - e).collect();
            let mut fifth = 0.0_f64;
            for (order, density, weights) in square.trees() {
                assert!(
                    (dot(&b, &weights) - 1.0 / density).abs() < 2e-15,
                    "{method:?} {density}"
                );
                let off = (dot(&embedded, &weights) - 1.0 / density).abs();
                match order {
                    5 => fifth = fifth.max(off),
                    _ => assert!(off < 2e-15, "{method:?} {density}"),
                }
                for theta in [0.1, 0.5, 0.9, 1.0] {
                    let dense =
                        |p: &[f64; 4]| (1..).zip(p).map(|(j, p)| p * f64::powi(theta, j)).sum();
                    let b: Vec<f64> = tableau.dense.iter().map(dense).collect();
                    let off = dot(&b, &weights) - theta.powi(order) / density;
                    assert!(
                        order == 5 || off.abs() < 2e-14,
                        "{method:?} {theta} {density}"
                    );
                }
            }
            assert!(fifth > 1e-4, "the embedded method must differ");
        }
    }
}
