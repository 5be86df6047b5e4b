//! The kernel against Burn's operations, and its gradients against central differences.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Transfer, composed, firing_rate};
use crate::testing::{assert_close, column_major, devices, gpu, numbers, values};

pub(crate) const TRANSFERS: [Transfer; 7] = [
    Transfer::Tanh,
    Transfer::Relu,
    Transfer::Softplus,
    Transfer::Sigmoid,
    Transfer::PowerLaw {
        gain: 0.3,
        exponent: 2.0,
    },
    Transfer::PowerLaw {
        gain: 0.3,
        exponent: 2.5,
    },
    Transfer::PowerLaw {
        gain: 0.7,
        exponent: 1.0,
    },
];

/// States on both sides of 0, and 0 itself.
fn states(dtype: DType, device: &Device) -> Tensor<3> {
    let values: Vec<f64> = (0..2 * 3 * 7).map(|i| f64::from(i - 21) / 4.0).collect();
    Tensor::from_data(
        TensorData::new(values, [2, 3, 7]).convert_dtype(dtype),
        (device, dtype),
    )
}

#[test]
fn rates_and_gradients_equal_the_composed_form() {
    for device in devices().map(Device::autodiff) {
        for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-6)] {
            for transfer in TRANSFERS {
                let run = |f: fn(Tensor<3>, Transfer) -> Tensor<3>| {
                    let x = states(dtype, &device).require_grad();
                    let r = f(x.clone(), transfer);
                    let grads = (r.clone() * r.clone() + r.clone()).sum().backward();
                    (values(r), values(x.grad(&grads).unwrap()))
                };
                let (ours, theirs) = (run(firing_rate), run(composed));
                for (ours, theirs) in [(ours.0, theirs.0), (ours.1, theirs.1)] {
                    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                        assert!(
                            (a - b).abs() <= tolerance * (1.0 + b.abs()),
                            "{transfer:?} {dtype:?} at {i}: {a} against {b}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let device = Device::flex().autodiff();
    let step = 1e-6;
    for transfer in TRANSFERS {
        // Not at the corners of the rectified functions.
        let x = (states(DType::F64, &device) + 0.01).require_grad();
        let grads = firing_rate(x.clone(), transfer).sum().backward();
        let slopes = values(x.grad(&grads).unwrap());
        let above = values(firing_rate(x.clone() + step, transfer));
        let below = values(firing_rate(x - step, transfer));
        for ((slope, above), below) in slopes.iter().zip(above).zip(below) {
            let numeric = (above - below) / (2.0 * step);
            assert!(
                (numeric - slope).abs() <= 1e-8 * (1.0 + slope.abs()),
                "{transfer:?}: {slope} against {numeric}"
            );
        }
    }
}

#[test]
fn a_gpu_computes_rates_and_gradients_as_the_composed_form() {
    let Some(gpu) = gpu().map(Device::autodiff) else {
        return;
    };
    let place = (&gpu, DType::F32);
    // One element, an odd number, several workgroups, rows that lie as columns, and far from 0.
    let cases = [
        ([1, 1], 3.0, false),
        ([3, 7], 3.0, true),
        ([5, 401], 3.0, false),
        ([1, 9], 120.0, false),
    ];
    for (shape, scale, columns) in cases {
        let states = numbers(shape[0] * shape[1], 5).into_iter();
        let states: Vec<f64> = states.map(|x| x * scale).collect();
        let data = TensorData::new(states, shape).convert_dtype(DType::F32);
        for transfer in TRANSFERS {
            let run = |f: fn(Tensor<2>, Transfer) -> Tensor<2>| {
                let x = Tensor::<2>::from_data(data.clone(), place).require_grad();
                let lying = if columns {
                    column_major(x.clone())
                } else {
                    x.clone()
                };
                let r = f(lying, transfer);
                let grads = (r.clone() * r.clone() + r.clone()).sum().backward();
                (values(r), values(x.grad(&grads).unwrap()))
            };
            let (ours, theirs) = (run(firing_rate), run(composed));
            let what = format!("{transfer:?} {shape:?}");
            assert_close(&ours.0, &theirs.0, 1e-5, &what);
            assert_close(&ours.1, &theirs.1, 1e-5, &what);
        }
    }
    let nothing = firing_rate(Tensor::<2>::zeros([0, 3], place), Transfer::Tanh);
    assert_eq!(nothing.dims(), [0, 3]);
}

#[test]
fn a_gpu_keeps_what_is_not_a_number() {
    let Some(gpu) = gpu() else { return };
    for transfer in TRANSFERS {
        let x = Tensor::<1>::from_data([f32::NAN, 0.5], &gpu);
        let rates = values(firing_rate(x, transfer));
        assert!(
            rates[0].is_nan() && rates[1].is_finite(),
            "{transfer:?}: {rates:?}"
        );
    }
}

/// Far below 0 a softplus and a sigmoid are eˣ, of which no digit may be lost in a sum with 1.
#[test]
fn small_rates_keep_their_digits_on_every_device() {
    let far = [-60.0, -30.0, -17.0, -8.0, -1.0, 0.0, 8.0];
    for device in [Some(Device::flex()), gpu()].into_iter().flatten() {
        for transfer in [Transfer::Softplus, Transfer::Sigmoid] {
            let data = TensorData::new(far.to_vec(), [1, far.len()]).convert_dtype(DType::F32);
            let x = Tensor::<2>::from_data(data, (&device, DType::F32));
            for (found, x) in values(firing_rate(x, transfer)).iter().zip(far) {
                let expected = match transfer {
                    Transfer::Softplus => f64::exp(x).ln_1p(),
                    _ => 1.0 / (1.0 + f64::exp(-x)),
                };
                // The exponential of a graphics driver is coarse.
                let off = (found - expected).abs() / expected;
                assert!(off < 2e-5, "{transfer:?} of {x}: {found}, {expected}");
            }
        }
    }
}
