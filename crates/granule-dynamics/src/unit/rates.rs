//! Voltage-dependent rates of gates.

use burn::tensor::{DType, Tensor};
use granule_ops::{RateCurve, VoltageRate};

use super::setting::Quantity;
use crate::derivative::by_hand;

/// How a rate depends on the voltage, with x = (V − midpoint)/slope and the slope positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateForm {
    /// `rate·x/(1 − exp(−x))`: `rate` at the midpoint, rising linearly far above it. Written a·(V − midpoint)/(1 − exp(−x))
    /// elsewhere, with a = rate/slope.
    Linear,
    /// `rate·x/(exp(x) − 1)`: `rate` at the midpoint, rising linearly far below it.
    FallingLinear,
    /// `rate·exp(−x)`: `rate` at the midpoint.
    FallingExponential,
    /// `rate/(1 + exp(−x))`: half of `rate` at the midpoint.
    Sigmoid,
}

impl RateForm {
    /// The rate on the host.
    pub fn at(self, voltage: f64, rate: f64, midpoint: f64, slope: f64) -> f64 {
        let x = (voltage - midpoint) / slope;
        let bernoulli = |z: f64| match z == 0.0 {
            true => 1.0,
            false => z / z.exp_m1(),
        };
        rate * match self {
            Self::Linear => bernoulli(-x),
            Self::FallingLinear => bernoulli(x),
            Self::FallingExponential => (-x).exp(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

/// A rate with its constants bound, in 1/ms.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    form: RateForm,
    scale: Quantity,
    /// −midpoint.
    shift: Quantity,
    /// ±1/slope.
    steepness: Quantity,
}

impl Rate {
    pub(crate) fn new(
        form: RateForm,
        rate: &Quantity,
        midpoint: &Quantity,
        slope: &Quantity,
    ) -> Self {
        let steepness = match form {
            RateForm::FallingLinear => slope.reciprocal(),
            _ => slope.reciprocal().negative(),
        };
        Self {
            form,
            scale: rate.clone(),
            shift: midpoint.negative(),
            steepness,
        }
    }

    /// The rate at voltages of any shape that the constants broadcast to.
    pub(crate) fn at(&self, voltage: &Tensor<2>) -> Tensor<2> {
        let form = self.form;
        let z = self.steepness.scale(self.shift.shift(voltage.clone()));
        self.scale.scale(by_hand(z, |z, slope| form.of(z, slope)))
    }

    /// The rate as the fused step takes it.
    pub(crate) fn fused(&self) -> VoltageRate {
        VoltageRate {
            curve: match self.form {
                RateForm::Linear | RateForm::FallingLinear => RateCurve::Bernoulli,
                RateForm::FallingExponential => RateCurve::Exponential,
                RateForm::Sigmoid => RateCurve::Sigmoid,
            },
            scale: self.scale.coefficient(),
            shift: self.shift.coefficient(),
            steepness: self.steepness.coefficient(),
        }
    }

    /// Whether no constant is on the tape.
    pub(crate) fn is_fixed(&self) -> bool {
        let constants = [&self.scale, &self.shift, &self.steepness];
        !constants.into_iter().any(Quantity::is_tracked)
    }

    /// The rate and its derivative by the voltage, off the tape.
    pub(crate) fn with_slope(&self, voltage: &Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        let [scale, shift, steepness] =
            [&self.scale, &self.shift, &self.steepness].map(Quantity::without_autodiff);
        let z = steepness.scale(shift.shift(voltage.clone()));
        let (value, slope) = self.form.of(z, true);
        let slope = slope.map(|slope| steepness.times(&scale).scale(slope));
        (scale.scale(value), slope)
    }
}

impl RateForm {
    /// The form as a function of z = −x, or z = x for the falling line; its derivative by z.
    fn of(self, z: Tensor<2>, slope: bool) -> (Tensor<2>, Option<Tensor<2>>) {
        match self {
            Self::Linear | Self::FallingLinear => bernoulli(z, slope),
            Self::FallingExponential => {
                let value = z.exp();
                (value.clone(), slope.then_some(value))
            }
            Self::Sigmoid => {
                let value = z.clamp_max(LARGEST).exp().add_scalar(1.0).recip();
                // s² − s
                let slope = slope.then(|| value.clone().sub_scalar(1.0) * value.clone());
                (value, slope)
            }
        }
    }
}

/// Beyond it exp would soon overflow in single precision, and ∞/∞ follow; what is divided by it is below 10⁻³².
const LARGEST: f64 = 80.0;

/// B(z) = z/(exp(z) − 1), 1 at z = 0, and B'(z), both finite and accurate everywhere.
///
/// Near 0, where the quotients lose their digits by cancellation, B is 1 − z/2 + z²/12 − z⁴/720 and B' the derivative of
/// that; the error is below that of the number format. The quotients see 1 in place of such z.
fn bernoulli(z: Tensor<2>, slope: bool) -> (Tensor<2>, Option<Tensor<2>>) {
    // z⁶/30240 and z⁵/5040 are the first terms left out; cancellation costs ε/z in value and ε/z² in slope.
    let near = match z.dtype() {
        DType::F64 => 0.01,
        _ => 0.25,
    };
    let square = z.clone() * z.clone();
    let mask = square.clone().lower_elem(near * near);
    let far = z.clone().clamp_max(LARGEST).mask_fill(mask.clone(), 1.0);
    let below = far.clone().exp().sub_scalar(1.0);
    let quotient = far / below.clone();
    let slope = slope.then(|| {
        // B' = (1 − B)/(exp(z) − 1) − B
        let quotient = (quotient.clone().neg().add_scalar(1.0)) / below - quotient.clone();
        let curve = square
            .clone()
            .mul_scalar(-1.0 / 180.0)
            .add_scalar(1.0 / 6.0);
        let series = (curve * z.clone()).sub_scalar(0.5);
        quotient.mask_where(mask.clone(), series)
    });
    let curve = square.mul_scalar(-1.0 / 720.0).add_scalar(1.0 / 12.0);
    let series = (curve * z.clone()).sub_scalar(0.5) * z;
    (quotient.mask_where(mask, series.add_scalar(1.0)), slope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, f32_places, f64_places};
    use crate::{Place, host};

    /// B(z) and B'(z) in double precision, from series of 30 terms near 0 and from expm1 elsewhere.
    fn exact(z: f64) -> (f64, f64) {
        if z.abs() < 0.3 {
            // B(z) = 1/(1 + z/2! + z²/3! + …)
            let (mut sum, mut slope, mut term) = (1.0, 0.0, 1.0);
            for n in 1..30 {
                let n = f64::from(n);
                slope += term * n / (n + 1.0);
                term *= z / (n + 1.0);
                sum += term;
            }
            return (1.0 / sum, -slope / (sum * sum));
        }
        let e = z.exp_m1();
        (z / e, (e - z * z.exp()) / (e * e))
    }

    fn value_and_slope(place: &Place, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let z = place.tensor(z.to_vec(), [1, z.len()]).require_grad();
        let value = by_hand(z.clone(), bernoulli);
        let mut gradients = value.clone().sum().backward();
        let slope = z.grad_remove(&mut gradients).unwrap();
        (host(value).unwrap(), host(slope).unwrap())
    }

    /// Around 0, around both switches between the forms, and far out.
    fn sweep() -> Vec<f64> {
        let mut z = vec![0.0, 100.0, 700.0, -100.0, -700.0];
        for sign in [-1.0, 1.0] {
            z.extend((0..80).map(|i| sign * 10f64.powf(-f64::from(i) / 4.0)));
            z.extend((1..80).map(|i| sign * f64::from(i) / 2.0));
            z.extend([0.0099999, 0.0100001, 0.2499999, 0.2500001].map(|x| sign * x));
        }
        z
    }

    #[test]
    fn value_and_slope_are_accurate_everywhere() {
        let double = f64_places().into_iter().map(|p| (p, 1e-13, 1e-11));
        let single = f32_places().into_iter().map(|p| (p, 5e-7, 5e-6));
        for ((name, mut place), value_limit, slope_limit) in double.chain(single) {
            place.device = place.device.autodiff();
            let z = sweep();
            let (values, slopes) = value_and_slope(&place, &z);
            for ((z, value), slope) in z.into_iter().zip(values).zip(slopes) {
                let (b, db) = exact(z.clamp(-700.0, 80.0));
                assert!(
                    (value - b).abs() <= value_limit * b.max(1.0),
                    "{name}: B({z}) = {value}, not {b}"
                );
                assert!(
                    (slope - db).abs() <= slope_limit,
                    "{name}: B'({z}) = {slope}, not {db}"
                );
            }
        }
    }

    /// Reference numbers, section 2: α_m at −40 mV and α_n at −55 mV are 0/0 with the limits 1 and 0.1.
    #[test]
    fn rates_are_finite_at_their_removable_singularities() {
        let places = f64_places().into_iter().chain(f32_places());
        for (name, mut place) in places {
            place.device = place.device.autodiff();
            let single = place.dtype == DType::F32;
            for (limit, midpoint) in [(1.0, -40.0), (0.1, -55.0)] {
                let mut v = vec![midpoint];
                for digits in 3..=12 {
                    let offset = 10f64.powi(-digits);
                    v.extend([midpoint - offset, midpoint + offset]);
                }
                let number = Quantity::Number;
                let rate = Rate::new(
                    RateForm::Linear,
                    &number(limit),
                    &number(midpoint),
                    &number(10.0),
                );
                let voltage = place.tensor(v.clone(), [1, v.len()]).require_grad();
                let value = rate.at(&voltage);
                let mut gradients = value.clone().sum().backward();
                let slope = host(voltage.grad_remove(&mut gradients).unwrap()).unwrap();
                for ((v, value), slope) in v.iter().zip(host(value).unwrap()).zip(slope) {
                    // In single precision the voltage itself is rounded, by up to 2·10⁻⁶ mV.
                    let x = (v - midpoint) / 10.0;
                    let (value_limit, slope_limit) = match single {
                        true => (3e-7, 1e-7),
                        false => (1e-13, 1e-12),
                    };
                    let expected = limit * (1.0 + x / 2.0 + x * x / 12.0);
                    assert!(
                        (value - expected).abs() <= value_limit,
                        "{name}: {value} at {v} mV, not {expected}"
                    );
                    let expected = limit * (0.5 + x / 6.0) / 10.0;
                    assert!(
                        (slope - expected).abs() <= slope_limit,
                        "{name}: slope {slope} at {v} mV, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn tensors_and_host_agree_on_every_form() {
        let (_, place) = f64_places().swap_remove(0);
        let voltages: Vec<f64> = (-120..60).map(f64::from).collect();
        let v = place.tensor(voltages.clone(), [1, voltages.len()]);
        let forms = [
            RateForm::Linear,
            RateForm::FallingLinear,
            RateForm::FallingExponential,
            RateForm::Sigmoid,
        ];
        for form in forms {
            let numbers = [0.7, -43.0, 6.0].map(Quantity::Number);
            let tensors = [0.7, -43.0, 6.0].map(|x| Quantity::Tensor(place.full(x, [1, 1])));
            for [rate, midpoint, slope] in [numbers, tensors] {
                let found = host(Rate::new(form, &rate, &midpoint, &slope).at(&v)).unwrap();
                for (v, found) in voltages.iter().zip(found) {
                    assert_close(found, form.at(*v, 0.7, -43.0, 6.0), 1e-13);
                }
            }
        }
    }
}
