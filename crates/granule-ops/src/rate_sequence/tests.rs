//! The kernel against the composed form, and its gradients against central differences.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{RateSequenceOptions, composed, rate_sequence};
use crate::firing_rate::Transfer;
use crate::firing_rate::tests::TRANSFERS;

type Sequence = fn(Tensor<2>, Tensor<3>, Tensor<2>, Tensor<1>, RateSequenceOptions) -> Tensor<3>;

#[allow(deprecated)]
fn devices() -> [Device; 2] {
    [Device::flex(), Device::ndarray()]
}

fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

#[derive(Clone)]
struct Case {
    steps: usize,
    batch: usize,
    units: usize,
    options: RateSequenceOptions,
    /// `x0`, `drive`, `weight`, `alpha`.
    inputs: [Vec<f64>; 4],
}

impl Case {
    fn new(steps: usize, batch: usize, units: usize, transfer: Transfer, every: usize) -> Self {
        let spread = 1.0 / (units as f64).sqrt();
        Self {
            steps,
            batch,
            units,
            options: RateSequenceOptions { transfer, every },
            inputs: [
                numbers(batch * units, 1),
                numbers(steps * batch * units, 2),
                numbers(units * units, 3)
                    .iter()
                    .map(|w| 1.5 * spread * w)
                    .collect(),
                numbers(units, 4).iter().map(|a| 0.3 + 0.2 * a).collect(),
            ],
        }
    }

    fn tensors(
        &self,
        device: &Device,
        dtype: DType,
    ) -> (Tensor<2>, Tensor<3>, Tensor<2>, Tensor<1>) {
        let data = |values: &Vec<f64>, shape: Vec<usize>| {
            TensorData::new(values.clone(), shape).convert_dtype(dtype)
        };
        let (place, n) = ((device, dtype), self.units);
        let [x0, drive, weight, alpha] = &self.inputs;
        (
            Tensor::from_data(data(x0, vec![self.batch, n]), place),
            Tensor::from_data(data(drive, vec![self.steps, self.batch, n]), place),
            Tensor::from_data(data(weight, vec![n, n]), place),
            Tensor::from_data(data(alpha, vec![n]), place),
        )
    }

    /// States, then the gradients of the four inputs for a loss in which every state counts differently.
    fn run(&self, f: Sequence, device: &Device, dtype: DType) -> [Vec<f64>; 5] {
        let (x0, drive, weight, alpha) = self.tensors(device, dtype);
        let (x0, drive) = (x0.require_grad(), drive.require_grad());
        let (weight, alpha) = (weight.require_grad(), alpha.require_grad());
        let states = f(
            x0.clone(),
            drive.clone(),
            weight.clone(),
            alpha.clone(),
            self.options,
        );
        let grads = loss(states.clone()).backward();
        [
            values(states),
            values(x0.grad(&grads).unwrap()),
            values(drive.grad(&grads).unwrap()),
            values(weight.grad(&grads).unwrap()),
            values(alpha.grad(&grads).unwrap()),
        ]
    }
}

fn loss(states: Tensor<3>) -> Tensor<1> {
    let [steps, batch, units] = states.dims();
    let targets = numbers(steps * batch * units, 5);
    let (device, dtype) = (states.device(), states.dtype());
    let data = TensorData::new(targets, [steps, batch, units]).convert_dtype(dtype);
    let targets = Tensor::from_data(data, (&device.without_autodiff(), dtype));
    (states - targets).square().sum() * 0.5
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

#[track_caller]
fn assert_close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * scale,
            "{what}, element {i}: {a} against {b}"
        );
    }
}

const NAMES: [&str; 5] = ["states", "x0", "drive", "weight", "alpha"];

/// Sizes around the divisions into tasks and segments: `[steps, batch, units, every]`.
const SIZES: [[usize; 4]; 7] = [
    [1, 1, 1, 1],
    [7, 3, 5, 1],
    [6, 17, 9, 3],
    [3, 1100, 2, 1],
    [40, 50, 6, 4],
    [12, 33, 20, 12],
    [70, 40, 33, 1],
];

#[test]
fn states_and_gradients_equal_the_composed_form() {
    for device in devices().map(Device::autodiff) {
        for (i, [steps, batch, units, every]) in SIZES.into_iter().enumerate() {
            let case = Case::new(steps, batch, units, TRANSFERS[i % TRANSFERS.len()], every);
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
                let ours = case.run(rate_sequence, &device, dtype);
                let theirs = case.run(composed, &device, dtype);
                for ((ours, theirs), name) in ours.iter().zip(&theirs).zip(NAMES) {
                    let what = format!("{:?} {dtype:?} {name}", SIZES[i]);
                    assert_close(ours, theirs, tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn every_transfer_function_equals_the_composed_form() {
    let device = Device::flex().autodiff();
    for transfer in TRANSFERS {
        let case = Case::new(9, 5, 8, transfer, 3);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let ours = case.run(rate_sequence, &device, dtype);
            let theirs = case.run(composed, &device, dtype);
            for ((ours, theirs), name) in ours.iter().zip(&theirs).zip(NAMES) {
                assert_close(
                    ours,
                    theirs,
                    tolerance,
                    &format!("{transfer:?} {dtype:?} {name}"),
                );
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let device = Device::flex().autodiff();
    for (i, transfer) in TRANSFERS.into_iter().enumerate() {
        let mut case = Case::new(6, 3, 4, transfer, 1 + i % 3);
        let gradients = case.run(rate_sequence, &device, DType::F64);
        let step = 1e-5;
        for input in 0..4 {
            for j in 0..case.inputs[input].len() {
                let mut at = |delta: f64| {
                    case.inputs[input][j] += delta;
                    let (x0, drive, weight, alpha) = case.tensors(&device, DType::F64);
                    values(loss(rate_sequence(x0, drive, weight, alpha, case.options)))[0]
                };
                let numeric = (at(step) - at(-2.0 * step)) / (2.0 * step);
                at(step);
                let gradient = gradients[input + 1][j];
                assert!(
                    (numeric - gradient).abs() <= 1e-7 * (1.0 + gradient.abs()),
                    "{transfer:?} {} element {j}: {gradient} against {numeric}",
                    NAMES[input + 1]
                );
            }
        }
    }
}

#[test]
fn a_unit_alone_relaxes_as_the_discrete_exponential() {
    let device = Device::flex();
    let (steps, alpha) = (50, 0.1);
    let place = (&device, DType::F64);
    let states = rate_sequence(
        Tensor::ones([1, 1], place),
        Tensor::zeros([steps, 1, 1], place),
        Tensor::zeros([1, 1], place),
        Tensor::full([1], alpha, place),
        RateSequenceOptions::new(Transfer::Tanh),
    );
    for (t, x) in values(states).into_iter().enumerate() {
        assert!((x - 0.9f64.powi(t as i32 + 1)).abs() < 1e-15);
    }
}

#[test]
fn gradients_do_not_depend_on_the_states_kept() {
    let device = Device::flex().autodiff();
    let gradients = |every: usize| {
        let case = Case::new(60, 20, 12, Transfer::Softplus, every);
        let (x0, drive, weight, alpha) = case.tensors(&device, DType::F64);
        let (weight, alpha) = (weight.require_grad(), alpha.require_grad());
        let states = rate_sequence(x0, drive, weight.clone(), alpha.clone(), case.options);
        let last = states.dims()[0] - 1;
        let grads = states.slice([last..last + 1]).square().sum().backward();
        [
            values(weight.grad(&grads).unwrap()),
            values(alpha.grad(&grads).unwrap()),
        ]
    };
    let all = gradients(1);
    for every in [2, 5, 30, 60] {
        for (all, some) in all.iter().zip(gradients(every)) {
            assert_close(&some, all, 1e-12, &format!("every {every}"));
        }
    }
}

#[test]
fn untracked_inputs_have_no_gradient() {
    for device in devices().map(Device::autodiff) {
        let case = Case::new(5, 4, 3, Transfer::Tanh, 1);
        let all = case.run(rate_sequence, &device, DType::F64);
        let (x0, drive, weight, alpha) = case.tensors(&device, DType::F64);
        let drive = drive.require_grad();
        let states = rate_sequence(
            x0,
            drive.clone(),
            weight.clone(),
            alpha.clone(),
            case.options,
        );
        let grads = loss(states).backward();
        assert_eq!(values(drive.grad(&grads).unwrap()), all[2]);
        assert!(weight.grad(&grads).is_none() && alpha.grad(&grads).is_none());
    }
}

/// The same matrix, lying transposed in memory.
fn column_major(matrix: Tensor<2>) -> Tensor<2> {
    matrix.transpose().mul_scalar(1.0).transpose()
}

#[test]
fn strided_inputs_are_served() {
    for device in devices() {
        let case = Case::new(5, 4, 3, Transfer::Tanh, 1);
        let (x0, drive, weight, alpha) = case.tensors(&device, DType::F64);
        let expected = rate_sequence(
            x0.clone(),
            drive.clone(),
            weight.clone(),
            alpha.clone(),
            case.options,
        );
        let states = rate_sequence(
            column_major(x0),
            drive.swap_dims(0, 2).mul_scalar(1.0).swap_dims(0, 2),
            column_major(weight),
            alpha,
            case.options,
        );
        assert_eq!(values(states), values(expected));
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    let run = |threads: usize, every: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            Case::new(24, 70, 80, Transfer::Tanh, every).run(
                rate_sequence,
                &Device::flex().autodiff(),
                DType::F32,
            )
        })
    };
    for every in [1, 4] {
        let one = run(1, every);
        for threads in [1, 2, 3, 7] {
            assert_eq!(one, run(threads, every));
        }
    }
}

#[test]
fn a_nan_in_the_drive_is_seen_in_the_states() {
    let device = Device::flex();
    let mut case = Case::new(4, 2, 3, Transfer::Relu, 1);
    case.inputs[1][3 * 2] = f64::NAN;
    for transfer in TRANSFERS {
        case.options.transfer = transfer;
        let (x0, drive, weight, alpha) = case.tensors(&device, DType::F32);
        let states = values(rate_sequence(x0, drive, weight, alpha, case.options));
        let (poisoned, other) = states[2 * 6..3 * 6].split_at(3);
        assert!(poisoned.iter().all(|x| x.is_nan()), "{transfer:?}");
        assert!(other.iter().all(|x| x.is_finite()), "{transfer:?}");
    }
}

#[test]
fn an_empty_batch_and_no_steps_give_empty_states_and_zero_gradients() {
    for device in devices().map(Device::autodiff) {
        for (steps, batch) in [(4, 0), (0, 2)] {
            let case = Case::new(steps, batch, 3, Transfer::Tanh, 1);
            let [states, _, _, weight, alpha] = case.run(rate_sequence, &device, DType::F32);
            assert!(states.is_empty());
            assert_eq!(weight, [0.0; 9]);
            assert_eq!(alpha, [0.0; 3]);
        }
    }
}

#[test]
#[should_panic(expected = "no multiple of every")]
fn steps_that_every_does_not_divide_are_refused() {
    let device = Device::flex();
    let case = Case::new(5, 1, 2, Transfer::Tanh, 2);
    let (x0, drive, weight, alpha) = case.tensors(&device, DType::F32);
    rate_sequence(x0, drive, weight, alpha, case.options);
}

#[test]
#[should_panic(expected = "x0, weight and alpha of a drive")]
fn shapes_that_do_not_fit_are_refused() {
    let device = Device::flex();
    let case = Case::new(5, 1, 2, Transfer::Tanh, 1);
    let (x0, drive, weight, _) = case.tensors(&device, DType::F32);
    rate_sequence(x0, drive, weight, Tensor::ones([3], &device), case.options);
}
