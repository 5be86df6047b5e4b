//! The kernel against the composed form, and its gradients against central differences.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Drive, RateSequenceOptions, Recorded, composed, rate_sequence};
use crate::firing_rate::Transfer;
use crate::firing_rate::tests::TRANSFERS;
use crate::testing::{
    assert_close, assert_nan_in_its_trial, assert_one_result, column_major, devices, gpu, loss,
    numbers, values,
};

type Sequence = fn(Tensor<2>, Drive, Tensor<2>, Tensor<1>, RateSequenceOptions) -> Tensor<3>;

fn fused(
    x0: Tensor<2>,
    drive: Drive,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    rate_sequence(x0, drive, weight, alpha, options)
}

/// On a GPU, each step a launch of its own.
#[cfg(gpu)]
fn by_steps(
    x0: Tensor<2>,
    drive: Drive,
    weight: Tensor<2>,
    alpha: Tensor<1>,
    options: RateSequenceOptions,
) -> Tensor<3> {
    super::cube::run(x0, drive, weight, alpha, options, true)
}

/// Which parts the drive has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Parts {
    Input,
    Direct,
    Both,
}

const PARTS: [Parts; 3] = [Parts::Input, Parts::Direct, Parts::Both];

const NAMES: [&str; 6] = ["x0", "input", "weight_in", "direct", "weight", "alpha"];

#[derive(Clone, Debug)]
struct Case {
    parts: Parts,
    options: RateSequenceOptions,
    /// Of the inputs, in the order of `NAMES`.
    shapes: [Vec<usize>; 6],
    values: [Vec<f64>; 6],
    tracked: [bool; 6],
}

impl Case {
    /// `sizes` are steps, batch, units and `every`.
    fn new(sizes: [usize; 4], transfer: Transfer, record: Recorded, parts: Parts) -> Self {
        let [steps, batch, units, every] = sizes;
        let channels = 3;
        let shapes = [
            vec![batch, units],
            vec![steps, batch, channels],
            vec![channels, units],
            vec![steps, batch, units],
            vec![units, units],
            vec![units],
        ];
        let mut seed = 0;
        let mut values = shapes.clone().map(|shape| {
            seed += 1;
            numbers(shape.iter().product(), seed)
        });
        let spread = 1.5 / (units as f64).sqrt();
        values[4].iter_mut().for_each(|w| *w *= spread);
        values[5].iter_mut().for_each(|a| *a = 0.3 + 0.2 * *a);
        Self {
            parts,
            options: RateSequenceOptions {
                transfer,
                record,
                every,
            },
            shapes,
            values,
            tracked: [true; 6],
        }
    }

    fn tensor<const D: usize>(&self, input: usize, device: &Device, dtype: DType) -> Tensor<D> {
        let data = TensorData::new(self.values[input].clone(), self.shapes[input].clone());
        let tensor = Tensor::from_data(data.convert_dtype(dtype), (device, dtype));
        if self.tracked[input] {
            tensor.require_grad()
        } else {
            tensor
        }
    }

    /// What `f` returns, then the gradients of the inputs, for a loss in which every element counts differently. An input
    /// without a gradient has none.
    fn run(&self, f: Sequence, device: &Device, dtype: DType) -> [Option<Vec<f64>>; 7] {
        let (x0, weight) = (self.tensor(0, device, dtype), self.tensor(4, device, dtype));
        let input = self.tensor::<3>(1, device, dtype);
        let weight_in = self.tensor::<2>(2, device, dtype);
        let direct = self.tensor::<3>(3, device, dtype);
        let alpha = self.tensor::<1>(5, device, dtype);
        let drive = match self.parts {
            Parts::Input => Drive::input(input.clone(), weight_in.clone()),
            Parts::Direct => Drive::direct(direct.clone()),
            Parts::Both => Drive::input(input.clone(), weight_in.clone()).plus(direct.clone()),
        };
        let out = f(
            x0.clone(),
            drive,
            weight.clone(),
            alpha.clone(),
            self.options,
        );
        let grads = loss(out.clone()).backward();
        [
            Some(values(out)),
            x0.grad(&grads).map(values),
            input.grad(&grads).map(values),
            weight_in.grad(&grads).map(values),
            direct.grad(&grads).map(values),
            weight.grad(&grads).map(values),
            alpha.grad(&grads).map(values),
        ]
    }

    #[track_caller]
    fn assert_fused_is_composed(&self, device: &Device, dtype: DType, tolerance: f64) {
        self.assert_composed(fused, device, dtype, tolerance);
    }

    #[track_caller]
    fn assert_composed(&self, f: Sequence, device: &Device, dtype: DType, tolerance: f64) {
        let ours = self.run(f, device, dtype);
        let theirs = self.run(composed, device, dtype);
        for ((ours, theirs), name) in ours
            .iter()
            .zip(&theirs)
            .zip(["result"].iter().chain(&NAMES))
        {
            let what = format!(
                "{dtype:?} {name} of {:?} {:?} {:?}",
                self.shapes[3], self.parts, self.options
            );
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => assert_close(ours, theirs, tolerance, &what),
                (ours, theirs) => assert_eq!(ours, theirs, "{what}"),
            }
        }
    }
}

/// Sizes around the divisions into tasks and segments: steps, batch, units, every.
const SIZES: [[usize; 4]; 8] = [
    [1, 1, 1, 1],
    [2, 2, 3, 2],
    [7, 3, 5, 1],
    [6, 17, 9, 3],
    [3, 1100, 2, 1],
    [40, 50, 6, 4],
    [12, 33, 20, 12],
    [70, 40, 33, 1],
];

#[test]
fn the_kernel_equals_the_composed_form() {
    for device in devices().map(Device::autodiff) {
        for (i, sizes) in SIZES.into_iter().enumerate() {
            for record in [Recorded::States, Recorded::Rates] {
                let case = Case::new(sizes, TRANSFERS[i % TRANSFERS.len()], record, PARTS[i % 3]);
                case.assert_fused_is_composed(&device, DType::F64, 1e-12);
                case.assert_fused_is_composed(&device, DType::F32, 2e-5);
            }
        }
    }
}

#[test]
fn every_kind_of_sequence_equals_the_composed_form() {
    let device = Device::flex().autodiff();
    for transfer in TRANSFERS {
        for parts in PARTS {
            for record in [Recorded::States, Recorded::Rates] {
                for every in [1, 3] {
                    let mut case = Case::new([9, 5, 8, every], transfer, record, parts);
                    case.assert_fused_is_composed(&device, DType::F64, 1e-12);
                    // Without the gradient of α the rates alone are kept.
                    case.tracked[5] = false;
                    case.assert_fused_is_composed(&device, DType::F64, 1e-12);
                    case.assert_fused_is_composed(&device, DType::F32, 1e-5);
                }
            }
        }
    }
}

#[test]
fn long_sequences_of_rates_equal_the_composed_form() {
    for device in devices().map(Device::autodiff) {
        for sizes in [[70, 40, 33, 1], [1, 20, 5, 1], [2, 1030, 4, 1]] {
            for parts in PARTS {
                let mut case = Case::new(sizes, Transfer::Tanh, Recorded::Rates, parts);
                case.tracked[5] = false;
                case.assert_fused_is_composed(&device, DType::F64, 1e-12);
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let device = Device::flex().autodiff();
    let step = 1e-5;
    for (i, transfer) in TRANSFERS.into_iter().enumerate() {
        for record in [Recorded::States, Recorded::Rates] {
            let mut case = Case::new([6, 3, 4, 1 + i % 3], transfer, record, Parts::Both);
            let gradients = case.run(fused, &device, DType::F64);
            case.tracked = [false; 6];
            for (input, name) in NAMES.into_iter().enumerate() {
                let gradients = gradients[input + 1].as_ref().unwrap();
                for (j, gradient) in gradients.iter().enumerate() {
                    let mut at = |delta: f64| {
                        case.values[input][j] += delta;
                        let out = rate_sequence(
                            case.tensor(0, &device, DType::F64),
                            Drive::input(
                                case.tensor(1, &device, DType::F64),
                                case.tensor(2, &device, DType::F64),
                            )
                            .plus(case.tensor(3, &device, DType::F64)),
                            case.tensor(4, &device, DType::F64),
                            case.tensor(5, &device, DType::F64),
                            case.options,
                        );
                        values(loss(out))[0]
                    };
                    let numeric = (at(step) - at(-2.0 * step)) / (2.0 * step);
                    at(step);
                    assert!(
                        (numeric - gradient).abs() <= 1e-7 * (1.0 + gradient.abs()),
                        "{transfer:?} {record:?} {name} element {j}: {gradient} against {numeric}"
                    );
                }
            }
        }
    }
}

/// Also with more steps than a launch takes here.
#[test]
fn any_device_computes_the_same() {
    let Some(gpu) = gpu().map(Device::autodiff) else {
        return;
    };
    for (steps, every, near) in [(4, 2, 1e-5), (306, 3, 1e-4)] {
        let sizes = [steps, 3, 5, every];
        let case = Case::new(sizes, Transfer::Tanh, Recorded::Rates, Parts::Both);
        let here = case.run(fused, &Device::flex().autodiff(), DType::F32);
        let there = case.run(fused, &gpu, DType::F32);
        for ((here, there), name) in here.iter().zip(&there).zip(["result"].iter().chain(&NAMES)) {
            assert_close(there.as_ref().unwrap(), here.as_ref().unwrap(), near, name);
        }
    }
}

#[cfg(gpu)]
#[test]
fn a_gpu_computes_the_composed_form() {
    let Some(gpu) = gpu().map(Device::autodiff) else {
        return;
    };
    let kinds = [Recorded::States, Recorded::Rates];
    let transfers = [Transfer::Tanh, Transfer::Softplus, Transfer::Tanh];
    for (i, sizes) in [[1, 1, 1, 1], [6, 5, 33, 3], [3, 70, 37, 1]]
        .into_iter()
        .enumerate()
    {
        for record in kinds {
            let case = Case::new(sizes, transfers[i], record, PARTS[i]);
            for f in [fused, by_steps] {
                case.assert_composed(f, &gpu, DType::F32, 1e-5);
            }
        }
    }
}

#[test]
fn a_gpu_steps_through_a_network_that_no_workgroup_holds() {
    let Some(gpu) = gpu().map(Device::autodiff) else {
        return;
    };
    let case = Case::new(
        [2, 1, 1100, 1],
        Transfer::Tanh,
        Recorded::Rates,
        Parts::Direct,
    );
    case.assert_fused_is_composed(&gpu, DType::F32, 1e-5);
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
        RateSequenceOptions::states(Transfer::Tanh),
    );
    for (t, x) in values(states).into_iter().enumerate() {
        assert!((x - 0.9f64.powi(t as i32 + 1)).abs() < 1e-15);
    }
}

#[test]
fn a_bias_is_a_constant_drive() {
    let device = Device::flex().autodiff();
    for parts in PARTS {
        let case = Case::new([5, 4, 3, 1], Transfer::Tanh, Recorded::Rates, parts);
        let of = |constant: bool| {
            let place = (&device, DType::F64);
            let input = || case.tensor::<3>(1, &device, DType::F64);
            let direct = || case.tensor::<3>(3, &device, DType::F64);
            let weight_in = case.tensor::<2>(2, &device, DType::F64);
            let drive = match parts {
                Parts::Input => Drive::input(input(), weight_in),
                Parts::Direct => Drive::direct(direct()),
                Parts::Both => Drive::input(input(), weight_in).plus(direct()),
            };
            let bias = Tensor::<1>::from_data([0.3, -0.2, 1.1], place).require_grad();
            let drive = if constant {
                drive.plus(bias.clone().unsqueeze::<3>().expand([5, 4, 3]))
            } else {
                drive.with_bias(bias.clone())
            };
            let rates = rate_sequence(
                case.tensor(0, &device, DType::F64),
                drive,
                case.tensor(4, &device, DType::F64),
                case.tensor(5, &device, DType::F64),
                case.options,
            );
            let grads = loss(rates.clone()).backward();
            (values(rates), values(bias.grad(&grads).unwrap()))
        };
        let (ours, expected) = (of(false), of(true));
        assert_close(&ours.0, &expected.0, 1e-14, "rates");
        assert_close(&ours.1, &expected.1, 1e-13, "gradient");
    }
}

#[test]
fn gradients_do_not_depend_on_the_states_kept() {
    let device = Device::flex().autodiff();
    let gradients = |every: usize| {
        let case = Case::new(
            [60, 20, 12, every],
            Transfer::Softplus,
            Recorded::States,
            Parts::Both,
        );
        let weight = case.tensor::<2>(4, &device, DType::F64);
        let alpha = case.tensor::<1>(5, &device, DType::F64);
        let states = rate_sequence(
            case.tensor(0, &device, DType::F64),
            Drive::direct(case.tensor(3, &device, DType::F64)),
            weight.clone(),
            alpha.clone(),
            case.options,
        );
        let last = states.dims()[0] - 1;
        let grads = states.narrow(0, last, 1).square().sum().backward();
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
fn each_gradient_alone_is_the_same() {
    for device in devices().map(Device::autodiff) {
        for record in [Recorded::States, Recorded::Rates] {
            let mut case = Case::new([5, 4, 3, 1], Transfer::Tanh, record, Parts::Both);
            let all = case.run(fused, &device, DType::F64);
            for (input, name) in NAMES.into_iter().enumerate() {
                case.tracked = [false; 6];
                case.tracked[input] = true;
                let alone = case.run(fused, &device, DType::F64);
                for (other, (alone, all)) in alone.iter().zip(&all).skip(1).enumerate() {
                    match (alone, all) {
                        (Some(alone), Some(all)) if other == input => {
                            assert_close(alone, all, 1e-13, name);
                        }
                        (alone, _) => assert!(alone.is_none() && other != input, "{name}"),
                    }
                }
            }
        }
    }
}

#[test]
fn strided_inputs_are_served() {
    for device in devices() {
        let mut case = Case::new([5, 4, 3, 1], Transfer::Tanh, Recorded::Rates, Parts::Both);
        case.tracked = [false; 6];
        let run = |change: fn(Tensor<2>) -> Tensor<2>| {
            let direct = case.tensor::<3>(3, &device, DType::F64);
            let rates = rate_sequence(
                change(case.tensor(0, &device, DType::F64)),
                Drive::input(
                    case.tensor(1, &device, DType::F64),
                    change(case.tensor(2, &device, DType::F64)),
                )
                .plus(direct.swap_dims(0, 2).mul_scalar(1.0).swap_dims(0, 2)),
                change(case.tensor(4, &device, DType::F64)),
                case.tensor(5, &device, DType::F64),
                case.options,
            );
            values(rates)
        };
        assert_eq!(run(column_major), run(|matrix| matrix));
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    for (record, every) in [
        (Recorded::Rates, 1),
        (Recorded::States, 1),
        (Recorded::States, 4),
    ] {
        for alpha in [false, true] {
            let mut case = Case::new([24, 70, 300, every], Transfer::Tanh, record, Parts::Both);
            case.tracked[5] = alpha;
            assert_one_result(|| case.run(fused, &Device::flex().autodiff(), DType::F32));
        }
    }
}

#[test]
fn a_nan_in_the_drive_is_seen_in_its_trial() {
    let device = Device::flex();
    for transfer in TRANSFERS {
        for record in [Recorded::States, Recorded::Rates] {
            let mut case = Case::new([4, 2, 3, 1], transfer, record, Parts::Direct);
            case.tracked = [false; 6];
            case.values[3][6] = f64::NAN;
            let out = rate_sequence(
                case.tensor(0, &device, DType::F32),
                case.tensor::<3>(3, &device, DType::F32),
                case.tensor(4, &device, DType::F32),
                case.tensor(5, &device, DType::F32),
                case.options,
            );
            // One unit's drive, which the others see a step later.
            assert_nan_in_its_trial(out, 2, &format!("{transfer:?}"));
        }
    }
}

#[test]
fn an_empty_batch_and_no_steps_give_empty_results_and_zero_gradients() {
    for device in devices().map(Device::autodiff) {
        for (steps, batch) in [(4, 0), (0, 2)] {
            for parts in PARTS {
                let case = Case::new([steps, batch, 3, 1], Transfer::Tanh, Recorded::Rates, parts);
                let [out, x0, _, _, _, weight, alpha] = case.run(fused, &device, DType::F32);
                assert!(out.unwrap().is_empty());
                assert_eq!(x0.unwrap(), vec![0.0; batch * 3]);
                assert_eq!(weight.unwrap(), [0.0; 9]);
                assert_eq!(alpha.unwrap(), [0.0; 3]);
            }
        }
    }
}

#[test]
#[should_panic(expected = "no multiple of every")]
fn steps_that_every_does_not_divide_are_refused() {
    let device = Device::flex().autodiff();
    Case::new([5, 1, 2, 2], Transfer::Tanh, Recorded::Rates, Parts::Direct).run(
        fused,
        &device,
        DType::F32,
    );
}

#[test]
#[should_panic(expected = "weight and alpha of 2 units")]
fn weights_that_do_not_fit_are_refused() {
    let device = Device::flex().autodiff();
    let mut case = Case::new([5, 1, 2, 1], Transfer::Tanh, Recorded::Rates, Parts::Direct);
    (case.shapes[5], case.values[5]) = (vec![3], vec![0.1; 3]);
    case.run(fused, &device, DType::F32);
}

#[test]
#[should_panic(expected = "inputs and their weights, of 1 trials and 2 units")]
fn inputs_that_do_not_fit_are_refused() {
    let device = Device::flex().autodiff();
    let mut case = Case::new([5, 1, 2, 1], Transfer::Tanh, Recorded::Rates, Parts::Input);
    (case.shapes[2], case.values[2]) = (vec![4, 2], vec![0.1; 8]);
    case.run(fused, &device, DType::F32);
}
