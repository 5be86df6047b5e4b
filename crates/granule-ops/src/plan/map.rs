//! What is done to each value by itself.

use super::PlanActivation;
use crate::firing_rate::elementary::Elementary;
use crate::vectorised::{Kernel, vectorised};

/// Applies the nonlinearity to every value.
pub(super) fn activate(activation: PlanActivation, values: &mut [f32]) {
    match activation {
        PlanActivation::Relu => vectorised(Each(values, Relu)),
        PlanActivation::Gelu => vectorised(Each(values, Gelu)),
        PlanActivation::Tanh => vectorised(Each(values, Tanh)),
        PlanActivation::Sigmoid => vectorised(Each(values, Sigmoid)),
    }
}

trait Function: Copy {
    fn of<const FUSED: bool>(self, x: f32) -> f32;
}

struct Each<'a, F>(&'a mut [f32], F);

impl<F: Function> Kernel for Each<'_, F> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for value in self.0 {
            *value = self.1.of::<FUSED>(*value);
        }
    }
}

#[derive(Clone, Copy)]
struct Relu;
#[derive(Clone, Copy)]
struct Gelu;
#[derive(Clone, Copy)]
struct Tanh;
#[derive(Clone, Copy)]
struct Sigmoid;

impl Function for Relu {
    #[inline(always)]
    fn of<const FUSED: bool>(self, x: f32) -> f32 {
        // So that a NaN stays one.
        if x < 0.0 { 0.0 } else { x }
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn of<const FUSED: bool>(self, x: f32) -> f32 {
        0.5 * x * (1.0 + error_function(x * core::f32::consts::FRAC_1_SQRT_2))
    }
}

impl Function for Tanh {
    #[inline(always)]
    fn of<const FUSED: bool>(self, x: f32) -> f32 {
        Elementary::tanh::<FUSED>(x)
    }
}

impl Function for Sigmoid {
    #[inline(always)]
    fn of<const FUSED: bool>(self, x: f32) -> f32 {
        Elementary::sigmoid::<FUSED>(x)
    }
}

/// erf x within 4e-7, by the rational function that Eigen and others use between −4 and 4.
#[inline(always)]
fn error_function(x: f32) -> f32 {
    const ABOVE: [f32; 7] = [
        -1.609_603_3e-2,
        -2.954_6e-3,
        -7.349_906e-4,
        -5.692_506_4e-5,
        -2.101_024e-6,
        2.770_681_4e-8,
        -2.726_142_3e-10,
    ];
    const BELOW: [f32; 5] = [
        -1.426_473_9e-2,
        -7.373_329e-3,
        -1.682_827e-3,
        -2.133_740_6e-4,
        -1.456_607_2e-5,
    ];
    let polynomial =
        |z: f32, coefficients: &[f32]| coefficients.iter().rev().fold(0.0, |sum, c| sum * z + c);
    // A NaN stays one.
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let z = x * x;
    x * polynomial(z, &ABOVE) / polynomial(z, &BELOW)
}

/// `x · scale + shift` of values that take turns.
pub(super) fn scale(values: &mut [f32], scale: &[f32], shift: &[f32]) {
    for values in values.chunks_mut(scale.len().max(1)) {
        for ((value, scale), shift) in values.iter_mut().zip(scale).zip(shift) {
            *value = *value * scale + shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_near_its_series() {
        for i in -500..=500 {
            let x = f64::from(i) * 0.01;
            // erf x = 2/√π Σ (−1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1))
            let (mut term, mut sum) = (x, x);
            for n in 1..150 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            let exact = sum * core::f64::consts::FRAC_2_SQRT_PI;
            let found = f64::from(error_function(x as f32));
            assert!((found - exact).abs() < 4e-7, "erf {x}: {found} {exact}");
        }
        assert!(error_function(f32::NAN).is_nan());
    }
}
