//! What the exponential and the semi-implicit solver share: the groups of a field and the update of one linear variable.

use burn::tensor::{DType, Tensor};

use crate::derivative::by_hand;
use crate::model::{Clock, Field, Linear};
use crate::{DynamicsError, State};

impl Linear {
    /// The exact solution after `dt` of dx/dt = drive − decay·x with both frozen,
    /// x + dt·φ₁(−dt·decay)·(drive − decay·x) with φ₁(z) = (eᶻ − 1)/z.
    ///
    /// It is x∞ + (x − x∞)·exp(−dt·decay) with x∞ = drive/decay, in a form whose value and gradient are sound where
    /// `decay` is or approaches 0.
    pub fn relax(&self, x: Tensor<2>, dt: f64) -> Tensor<2> {
        let slope = self.drive.clone() - self.decay.clone() * x.clone();
        x + slope * phi1(self.decay.clone().mul_scalar(-dt)).mul_scalar(dt)
    }

    /// A backward Euler step of dx/dt = drive − decay·x with both frozen, (x + dt·drive)/(1 + dt·decay).
    pub fn implicit(&self, x: Tensor<2>, dt: f64) -> Tensor<2> {
        let numerator = x + self.drive.clone().mul_scalar(dt);
        numerator / self.decay.clone().mul_scalar(dt).add_scalar(1.0)
    }
}

/// φ₁(z) = (eᶻ − 1)/z, with φ₁(0) = 1.
///
/// Where |z| is small, the quotients of the value and of its derivative (eᶻ − φ₁)/z lose digits; polynomials take over
/// where both forms are about as exact as the type: the quotients are off by ε/z and ε/z², the polynomials by z⁴/120 and z⁴/144.
pub(crate) fn phi1(z: Tensor<2>) -> Tensor<2> {
    by_hand(z, |z, derivative| {
        let small = match z.dtype() {
            DType::F64 => 1e-3,
            DType::F32 => 0.05,
            _ => 0.3,
        };
        let near = z.clone().abs().lower_elem(small);
        let far = z.clone().mask_fill(near.clone(), 1.0);
        let exp = far.clone().exp();
        let quotient = exp.clone().sub_scalar(1.0) / far.clone();
        let slope = derivative.then(|| {
            let quotient = (exp - quotient.clone()) / far;
            let polynomial = z.clone().mul_scalar(1.0 / 30.0).add_scalar(1.0 / 8.0);
            let polynomial = (polynomial * z.clone()).add_scalar(1.0 / 3.0);
            let polynomial = (polynomial * z.clone()).add_scalar(0.5);
            quotient.mask_where(near.clone(), polynomial)
        });
        let polynomial = z.clone().mul_scalar(1.0 / 24.0).add_scalar(1.0 / 6.0);
        let polynomial = (polynomial * z.clone()).add_scalar(0.5);
        let polynomial = (polynomial * z).add_scalar(1.0);
        (quotient.mask_where(near, polynomial), slope)
    })
}

/// Updates the groups of a field one after another: `rule` gets whether the group is the last, the linear form and the
/// old value of each variable. A variable of no group keeps its value.
pub(crate) fn update_groups(
    solver: &'static str,
    field: &dyn Field,
    at: Clock,
    state: &State,
    input: Option<&Tensor<2>>,
    rule: impl Fn(bool, &Linear, Tensor<2>) -> Tensor<2>,
) -> Result<State, DynamicsError> {
    let groups = field.groups();
    if groups.is_empty() {
        return Err(DynamicsError::Unsupported {
            solver: solver.into(),
            needed: "the form dx/dt = drive − decay·x".into(),
            model: field.name().into(),
            instead: "rk4 or tsit5".into(),
        });
    }
    let mut next = state.clone();
    for (index, group) in groups.iter().enumerate() {
        let linear = field.linear(index, at.time, &next, input);
        if linear.len() != group.len() {
            return Err(DynamicsError::Shape {
                what: format!("the linear form of group {index} of {}", field.name()),
                expected: vec![group.len()],
                found: vec![linear.len()],
            });
        }
        let last = index + 1 == groups.len();
        for (variable, linear) in group.iter().zip(&linear) {
            let x = next[*variable].clone();
            next.replace(*variable, rule(last, linear, x));
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::host;
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_place};

    /// φ₁ and its derivative by their series, summed until nothing is added, or in closed form far from 0.
    fn exact(z: f64) -> (f64, f64) {
        if z.abs() > 1.0 {
            return (z.exp_m1() / z, (z.exp() - z.exp_m1() / z) / z);
        }
        let (mut value, mut slope, mut term) = (0.0, 0.0, 1.0);
        for n in 0..30 {
            // term = zⁿ/(n+1)!
            value += term;
            let next = term / f64::from(n + 2);
            slope += f64::from(n + 1) * next;
            term = next * z;
        }
        (value, slope)
    }

    const POINTS: [f64; 17] = [
        0.0, 1e-300, -1e-12, 1e-8, -1e-5, 9.9e-4, -9.9e-4, 1.01e-3, -1.01e-3, 0.049, -0.049, 0.051,
        -0.3, 1.0, -5.0, -100.0, -1e6,
    ];

    #[test]
    fn phi1_and_its_derivative_are_exact_near_zero() {
        let place = f64_autodiff();
        let z = place
            .tensor::<2>(POINTS.to_vec(), [1, POINTS.len()])
            .require_grad();
        let value = phi1(z.clone());
        let mut gradients = value.clone().sum().backward();
        let slope = host(z.grad_remove(&mut gradients).unwrap()).unwrap();
        for ((z, value), slope) in POINTS.iter().zip(host(value).unwrap()).zip(slope) {
            let (expected, derivative) = exact(*z);
            assert!((value / expected - 1.0).abs() < 3e-13, "φ({z}) = {value}");
            assert!(
                (slope / derivative - 1.0).abs() < 1e-9,
                "φ'({z}) = {slope}, {derivative}"
            );
        }
    }

    #[test]
    fn phi1_is_sound_in_single_precision() {
        for (name, place) in f32_places() {
            let place = crate::Place::f32(&place.device.autodiff());
            let z = place
                .tensor::<2>(POINTS.to_vec(), [1, POINTS.len()])
                .require_grad();
            let value = phi1(z.clone());
            let mut gradients = value.clone().sum().backward();
            let slope = host(z.grad_remove(&mut gradients).unwrap()).unwrap();
            for ((z, value), slope) in POINTS.iter().zip(host(value).unwrap()).zip(slope) {
                let (expected, derivative) = exact(*z);
                let near = |a: f64, b: f64, tolerance: f64| (a / b - 1.0).abs() < tolerance;
                assert!(near(value, expected, 3e-6), "{name}: φ({z}) = {value}");
                // The square of −10⁶ in f32: φ' = 10⁻¹².
                assert!(near(slope, derivative, 2e-4), "{name}: φ'({z}) = {slope}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

        #[test]
        fn relaxation_is_the_solution(
            x in -100.0..100.0_f64, drive in -50.0..50.0_f64, decay in 0.0..20.0_f64, dt in 1e-4..10.0_f64,
        ) {
            let place = f64_place();
            let one = |value: f64| place.full::<2>(value, [1, 1]);
            let linear = Linear { decay: one(decay), drive: one(drive) };
            let found = host(linear.relax(one(x), dt)).unwrap()[0];
            let expected = if decay == 0.0 { x + dt * drive } else { x * (-dt * decay).exp() - drive / decay * (-dt * decay).exp_m1() };
            prop_assert!((found - expected).abs() <= 1e-12 * (x.abs() + drive.abs() * dt + 1.0));
        }

        #[test]
        fn implicit_steps_solve_their_equation(
            x in -100.0..100.0_f64, drive in -50.0..50.0_f64, decay in 0.0..1e6_f64, dt in 1e-4..10.0_f64,
        ) {
            let place = f64_place();
            let one = |value: f64| place.full::<2>(value, [1, 1]);
            let linear = Linear { decay: one(decay), drive: one(drive) };
            let y = host(linear.implicit(one(x), dt)).unwrap()[0];
            prop_assert!((y - x - dt * (drive - decay * y)).abs() <= 1e-12 * (x.abs() + dt * drive.abs() + 1.0));
        }
    }

    #[test]
    fn a_vanishing_decay_has_a_finite_gradient() {
        let place = f64_autodiff();
        let decay = place.full::<2>(0.0, [1, 1]).require_grad();
        let linear = Linear {
            decay: decay.clone(),
            drive: place.full(2.0, [1, 1]),
        };
        let x = linear.relax(place.full(3.0, [1, 1]), 0.5);
        assert_close(host(x.clone()).unwrap()[0], 4.0, 1e-15);
        let mut gradients = x.sum().backward();
        // ∂/∂decay of x + dt·φ₁·(drive − decay·x) at 0: −dt·x − dt²·drive/2.
        let slope = host(decay.grad_remove(&mut gradients).unwrap()).unwrap()[0];
        assert_close(slope, -0.5 * 3.0 - 0.125 * 2.0, 1e-14);
    }
}
