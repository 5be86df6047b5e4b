//! Functions with a removable singularity, sound in value and gradient on both sides of it.

use burn::tensor::Tensor;

/// u/(1 − e^(−u)), which is 1 at u = 0.
///
/// It is u/2 + (u/2)·coth(u/2). Close to 0 the second term and its slope are taken from the series, for the quotient's
/// slope loses all its digits there.
pub(crate) fn linear_exponential(u: Tensor<2>) -> Tensor<2> {
    let half = u.mul_scalar(0.5);
    let near = half.clone().abs().lower_elem(0.1);
    let far = half.clone().mask_fill(near.clone(), 1.0);
    let far = far.clone() / far.tanh();
    let square = half
        .clone()
        .mask_fill(near.clone().bool_not(), 0.0)
        .square();
    let series = square
        .clone()
        .mul_scalar(-1.0 / 4725.0)
        .add_scalar(2.0 / 945.0)
        * square.clone();
    let series = (series.sub_scalar(1.0 / 45.0) * square.clone()).add_scalar(1.0 / 3.0) * square;
    half + far.mask_where(near, series.add_scalar(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;
    use crate::testing::{assert_close, f32_places, f64_autodiff};

    /// The function and its slope, by `exp_m1` and a series at 0.
    fn reference(u: f64) -> (f64, f64) {
        if u.abs() < 1e-4 {
            return (1.0 + u / 2.0 + u * u / 12.0, 0.5 + u / 6.0);
        }
        let below = -(-u).exp_m1();
        (u / below, 1.0 / below - u * (-u).exp() / (below * below))
    }

    const POINTS: [f64; 15] = [
        -40.0, -5.0, -1.0, -0.21, -0.199, -0.01, -1e-6, 0.0, 1e-9, 1e-3, 0.1, 0.1999, 0.2001, 3.0,
        60.0,
    ];

    #[test]
    fn value_and_slope_are_sound_on_both_sides_of_zero() {
        let place = f64_autodiff();
        let u = place
            .tensor(POINTS.to_vec(), [1, POINTS.len()])
            .require_grad();
        let value = linear_exponential(u.clone());
        let mut gradients = value.clone().sum().backward();
        let slope = host(u.grad_remove(&mut gradients).unwrap()).unwrap();
        for ((u, value), slope) in POINTS.iter().zip(host(value).unwrap()).zip(slope) {
            let (expected, expected_slope) = reference(*u);
            assert_close(value, expected, 1e-12);
            assert_close(slope, expected_slope, 1e-11);
        }
    }

    #[test]
    fn single_precision_keeps_six_digits() {
        for (name, place) in f32_places() {
            let u = place.tensor(POINTS.to_vec(), [1, POINTS.len()]);
            for (u, value) in POINTS.iter().zip(host(linear_exponential(u)).unwrap()) {
                let expected = reference(*u).0;
                let error = (value - expected).abs() / expected.abs().max(1e-6);
                // Far below zero the two halves cancel; there the rate itself is below 1e-6 of its scale.
                assert!(
                    error < 1e-6 || (value - expected).abs() < 4e-6,
                    "{name} {u} {value} {expected}"
                );
            }
        }
    }
}
