//! Curves of gates on tensors and on the host.

use burn::tensor::{DType, Tensor};
use granule_ops::{Argument, Curve, RateCurve, Term};

use crate::derivative::by_hand;
use crate::quantity::Quantity;

/// A concentration below it counts as this: it has a logarithm in single precision.
pub(crate) const LOWEST: f64 = 1e-30;

/// The curve at voltages and concentrations, all of those of the table, of any shape that the constants broadcast to.
pub(crate) fn value(
    curve: &Curve<Quantity>,
    voltage: &Tensor<2>,
    pools: &[Tensor<2>],
) -> Tensor<2> {
    let all = |parts: &[Curve<Quantity>], join: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
        let parts = parts.iter().map(|part| value(part, voltage, pools));
        parts.reduce(join).unwrap_or_else(|| voltage.zeros_like())
    };
    match curve {
        Curve::Sum(parts) => all(parts, |a, b| a + b),
        Curve::Product(parts) => all(parts, |a, b| a * b),
        Curve::Power(base, -1.0) => value(base, voltage, pools).recip(),
        Curve::Power(base, exponent) => value(base, voltage, pools).powf_scalar(*exponent),
        Curve::Term(term) => {
            let argument = match term.argument {
                Argument::Concentration(pool) => &pools[pool],
                Argument::Voltage => voltage,
            };
            let z = match term.curve {
                RateCurve::Constant => return voltage.zeros_like() + &term.scale,
                // 1/(1 + eᶻ) with z = n ln(K/c)
                RateCurve::Hill => {
                    let logarithm = argument.clone().clamp_min(LOWEST).log();
                    (&term.shift.ln() - logarithm) * &term.steepness
                }
                _ => (argument.clone() + &term.shift) * &term.steepness,
            };
            let curve = term.curve;
            by_hand(z, |z, slope| of(curve, z, slope)) * &term.scale
        }
    }
}

/// The curve of one voltage on the host, with all concentrations of the table.
pub(crate) fn on_host(curve: &Curve<f64>, voltage: f64, pools: &[f64]) -> f64 {
    let all = |parts: &[Curve<f64>]| -> Vec<f64> {
        let parts = parts.iter();
        parts.map(|part| on_host(part, voltage, pools)).collect()
    };
    match curve {
        Curve::Sum(parts) => all(parts).iter().sum(),
        Curve::Product(parts) => all(parts).iter().product(),
        Curve::Power(base, exponent) => on_host(base, voltage, pools).powf(*exponent),
        Curve::Term(term) => {
            let argument = match term.argument {
                Argument::Concentration(pool) => pools[pool],
                Argument::Voltage => voltage,
            };
            let z = term.steepness * (argument + term.shift);
            term.scale
                * match term.curve {
                    RateCurve::Constant => 1.0,
                    RateCurve::Bernoulli if z == 0.0 => 1.0,
                    RateCurve::Bernoulli => z / z.exp_m1(),
                    RateCurve::Exponential => z.exp(),
                    RateCurve::Sigmoid => 1.0 / (1.0 + z.exp()),
                    RateCurve::Hill => {
                        let ratio = term.shift / argument.max(LOWEST);
                        1.0 / (1.0 + ratio.powf(term.steepness))
                    }
                }
        }
    }
}

/// The curve, where it is a term of the voltage whose constants are not on the tape.
pub(crate) fn fixed_term(curve: &Curve<Quantity>) -> Option<&Term<Quantity>> {
    let Curve::Term(term) = curve else {
        return None;
    };
    let constants = [&term.scale, &term.shift, &term.steepness];
    let fixed = !constants.into_iter().any(Quantity::is_tracked);
    let simple = !matches!(term.curve, RateCurve::Constant | RateCurve::Hill);
    (fixed && simple).then_some(term)
}

/// The value of a term and its derivative by the voltage, off the tape.
pub(crate) fn with_slope(
    term: &Term<Quantity>,
    voltage: &Tensor<2>,
) -> (Tensor<2>, Option<Tensor<2>>) {
    let [scale, shift, steepness] =
        [&term.scale, &term.shift, &term.steepness].map(Quantity::without_autodiff);
    let z = (voltage.clone() + &shift) * &steepness;
    let (value, slope) = of(term.curve, z, true);
    let slope = slope.map(|slope| slope * &steepness.times(&scale));
    (value * &scale, slope)
}

/// A curve as a function of z; its derivative by z.
fn of(curve: RateCurve, z: Tensor<2>, slope: bool) -> (Tensor<2>, Option<Tensor<2>>) {
    match curve {
        RateCurve::Bernoulli => bernoulli(z, slope),
        RateCurve::Exponential => {
            let value = z.exp();
            (value.clone(), slope.then_some(value))
        }
        RateCurve::Constant | RateCurve::Sigmoid | RateCurve::Hill => {
            let value = z.clamp_max(LARGEST).exp().add_scalar(1.0).recip();
            // s² − s
            let slope = slope.then(|| value.clone().sub_scalar(1.0) * value.clone());
            (value, slope)
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
                let rate = Curve::Term(Term {
                    curve: RateCurve::Bernoulli,
                    argument: Argument::Voltage,
                    scale: number(limit),
                    shift: number(-midpoint),
                    steepness: number(-0.1),
                });
                let voltage = place.tensor(v.clone(), [1, v.len()]).require_grad();
                let value = super::value(&rate, &voltage, &[]);
                let mut gradients = value.clone().sum().backward();
                let slope = host(voltage.grad_remove(&mut gradients).unwrap()).unwrap();
                for ((v, value), slope) in v.iter().zip(host(value).unwrap()).zip(slope) {
                    // In single precision the voltage itself is rounded, by up to 2·10⁻⁶ mV.
                    let x = (v - midpoint) / 10.0;
                    let (value_limit, slope_limit) =
                        if single { (3e-7, 1e-7) } else { (1e-13, 1e-12) };
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
    fn tensors_and_host_agree_on_every_curve() {
        let (_, place) = f64_places().swap_remove(0);
        let voltages: Vec<f64> = (-120..60).map(f64::from).collect();
        let v = place.tensor(voltages.clone(), [1, voltages.len()]);
        let c = place.full(0.3, [1, 1]);
        let term = |curve, argument, [scale, shift, steepness]: [f64; 3]| {
            Curve::Term(Term {
                curve,
                argument,
                scale,
                shift,
                steepness,
            })
        };
        let of_v = |curve| term(curve, Argument::Voltage, [0.7, 43.0, -1.0 / 6.0]);
        let curves = [
            of_v(RateCurve::Bernoulli),
            of_v(RateCurve::Exponential),
            of_v(RateCurve::Sigmoid),
            of_v(RateCurve::Constant),
            term(RateCurve::Hill, Argument::Concentration(0), [0.7, 0.5, 2.5]),
            Curve::Sum(vec![of_v(RateCurve::Sigmoid), of_v(RateCurve::Constant)]),
            Curve::Product(vec![of_v(RateCurve::Sigmoid), of_v(RateCurve::Exponential)]),
            Curve::Power(Box::new(of_v(RateCurve::Sigmoid)), -1.0),
            Curve::Power(Box::new(of_v(RateCurve::Exponential)), 1.0 / 3.0),
        ];
        for curve in curves {
            let numbers = curve.map(&mut |x| Quantity::Number(*x));
            let tensors = curve.map(&mut |x| Quantity::Tensor(place.full(*x, [1, 1])));
            for bound in [numbers, tensors] {
                let found = host(value(&bound, &v, std::slice::from_ref(&c))).unwrap();
                for (index, v) in voltages.iter().enumerate() {
                    let found = found[index.min(found.len() - 1)];
                    assert_close(found, on_host(&curve, *v, &[0.3]), 1e-12);
                }
            }
        }
    }
}
