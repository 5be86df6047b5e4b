//! The kernel against the composed form, and its gradients against central differences.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{GatedUnit, GatedWeights, composed, gated_sequence};
use crate::testing::{
    assert_close, assert_nan_in_its_trial, assert_one_result, column_major, devices, gpu, loss,
    numbers, values,
};

type Sequence = fn(Tensor<3>, GatedWeights, GatedUnit) -> Tensor<3>;

const UNITS: [GatedUnit; 2] = [GatedUnit::Gru, GatedUnit::Lstm];
const NAMES: [&str; 5] = ["input", "weight_in", "bias_in", "weight", "bias"];

#[derive(Clone, Debug)]
struct Case {
    unit: GatedUnit,
    /// Of the inputs, in the order of `NAMES`.
    shapes: [Vec<usize>; 5],
    values: [Vec<f64>; 5],
    tracked: [bool; 5],
}

impl Case {
    /// `sizes` are steps, batch, channels and units.
    fn new(unit: GatedUnit, [steps, batch, channels, units]: [usize; 4]) -> Self {
        let width = unit.gates() * units;
        let shapes = [
            vec![steps, batch, channels],
            vec![channels, width],
            vec![width],
            vec![units, width],
            vec![width],
        ];
        let mut seed = 0;
        let mut values = shapes.clone().map(|shape| {
            seed += 1;
            numbers(shape.iter().product(), seed)
        });
        for (input, rows) in [(1, channels), (3, units)] {
            let spread = 2.0 / (rows as f64).sqrt();
            values[input].iter_mut().for_each(|w| *w *= spread);
        }
        Self {
            unit,
            shapes,
            values,
            tracked: [true; 5],
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

    fn weights(&self, device: &Device, dtype: DType) -> GatedWeights {
        GatedWeights {
            input: self.tensor(1, device, dtype),
            input_bias: self.tensor(2, device, dtype),
            recurrent: self.tensor(3, device, dtype),
            recurrent_bias: self.tensor(4, device, dtype),
        }
    }

    /// What `f` returns, then the gradients of the inputs, for a loss in which every element counts differently. An input
    /// without a gradient has none.
    fn run(&self, f: Sequence, device: &Device, dtype: DType) -> [Option<Vec<f64>>; 6] {
        let input = self.tensor::<3>(0, device, dtype);
        let w = self.weights(device, dtype);
        let out = f(input.clone(), w.clone(), self.unit);
        let grads = loss(out.clone()).backward();
        [
            Some(values(out)),
            input.grad(&grads).map(values),
            w.input.grad(&grads).map(values),
            w.input_bias.grad(&grads).map(values),
            w.recurrent.grad(&grads).map(values),
            w.recurrent_bias.grad(&grads).map(values),
        ]
    }

    #[track_caller]
    fn assert_same(&self, ours: &Device, theirs: (Sequence, &Device), of: (DType, f64)) {
        let (dtype, tolerance) = of;
        let found = self.run(gated_sequence, ours, dtype);
        let expected = self.run(theirs.0, theirs.1, dtype);
        let names = ["result"].iter().chain(&NAMES);
        for ((found, expected), name) in found.iter().zip(&expected).zip(names) {
            let what = format!("{dtype:?} {name} of {:?} {:?}", self.unit, self.shapes);
            let (found, expected) = (found.as_ref().unwrap(), expected.as_ref().unwrap());
            assert_close(found, expected, tolerance, &what);
        }
    }
}

/// Sizes around the divisions into tasks and segments: steps, batch, channels, units.
const SIZES: [[usize; 4]; 7] = [
    [1, 1, 1, 1],
    [1, 3, 2, 4],
    [2, 1, 3, 5],
    [7, 17, 4, 3],
    [3, 1100, 1, 2],
    [40, 50, 6, 7],
    [30, 40, 5, 33],
];

#[test]
fn the_kernel_equals_the_composed_form() {
    for device in devices().map(Device::autodiff) {
        for unit in UNITS {
            for sizes in SIZES {
                let case = Case::new(unit, sizes);
                case.assert_same(&device, (composed, &device), (DType::F64, 1e-12));
                case.assert_same(&device, (composed, &device), (DType::F32, 1e-5));
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let device = Device::flex().autodiff();
    let step = 1e-5;
    for unit in UNITS {
        let mut case = Case::new(unit, [5, 3, 2, 3]);
        let gradients = case.run(gated_sequence, &device, DType::F64);
        case.tracked = [false; 5];
        for (input, name) in NAMES.into_iter().enumerate() {
            let gradient = gradients[input + 1].as_ref().unwrap();
            for (j, gradient) in gradient.iter().enumerate() {
                let mut at = |delta: f64| {
                    case.values[input][j] += delta;
                    let weights = case.weights(&device, DType::F64);
                    let input = case.tensor(0, &device, DType::F64);
                    values(loss(gated_sequence(input, weights, unit)))[0]
                };
                let numeric = (at(step) - at(-2.0 * step)) / (2.0 * step);
                at(step);
                assert!(
                    (numeric - gradient).abs() <= 1e-7 * (1.0 + gradient.abs()),
                    "{unit:?} {name} element {j}: {gradient} against {numeric}"
                );
            }
        }
    }
}

#[test]
fn any_device_computes_the_same() {
    let Some(gpu) = gpu() else { return };
    for unit in UNITS {
        let case = Case::new(unit, [4, 3, 2, 5]);
        let there = (composed as Sequence, &Device::flex().autodiff());
        case.assert_same(&gpu.clone().autodiff(), there, (DType::F32, 1e-5));
    }
}

#[test]
fn without_gradients_the_result_is_the_same() {
    for device in devices() {
        for unit in UNITS {
            for steps in [1, 2, 3, 8] {
                let mut case = Case::new(unit, [steps, 18, 2, 5]);
                let [tracked, ..] =
                    case.run(gated_sequence, &device.clone().autodiff(), DType::F64);
                case.tracked = [false; 5];
                let weights = case.weights(&device, DType::F64);
                let plain = gated_sequence(case.tensor(0, &device, DType::F64), weights, unit);
                assert_eq!(values(plain), tracked.unwrap());
            }
        }
    }
}

#[test]
fn each_gradient_alone_is_the_same() {
    for device in devices().map(Device::autodiff) {
        for unit in UNITS {
            let mut case = Case::new(unit, [5, 4, 2, 3]);
            let all = case.run(gated_sequence, &device, DType::F64);
            for (input, name) in NAMES.into_iter().enumerate() {
                case.tracked = [false; 5];
                case.tracked[input] = true;
                let alone = case.run(gated_sequence, &device, DType::F64);
                for (other, (alone, all)) in alone.iter().zip(&all).skip(1).enumerate() {
                    let expected = all.as_ref().filter(|_| other == input);
                    assert_eq!(alone.as_ref(), expected, "{name}");
                }
            }
        }
    }
}

#[test]
fn strided_inputs_are_served() {
    for device in devices() {
        for unit in UNITS {
            let mut case = Case::new(unit, [5, 4, 3, 2]);
            case.tracked = [false; 5];
            let input = case.tensor::<3>(0, &device, DType::F64);
            let weights = case.weights(&device, DType::F64);
            let strided = GatedWeights {
                input: column_major(weights.input.clone()),
                recurrent: column_major(weights.recurrent.clone()),
                ..weights.clone()
            };
            let by_trials = input
                .clone()
                .swap_dims(0, 1)
                .mul_scalar(1.0)
                .swap_dims(0, 1);
            let [expected, found] = [(input, weights), (by_trials, strided)]
                .map(|(input, weights)| values(gated_sequence(input, weights, unit)));
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    for unit in UNITS {
        let case = Case::new(unit, [24, 70, 40, 100]);
        assert_one_result(|| case.run(gated_sequence, &Device::flex().autodiff(), DType::F32));
    }
}

#[test]
fn a_nan_in_the_input_is_seen_in_its_trial() {
    let device = Device::flex();
    for unit in UNITS {
        let mut case = Case::new(unit, [4, 2, 3, 5]);
        case.tracked = [false; 5];
        // Step 1, trial 0.
        case.values[0][6] = f64::NAN;
        let input = case.tensor(0, &device, DType::F32);
        let weights = case.weights(&device, DType::F32);
        let out = gated_sequence(input, weights, unit);
        assert_nan_in_its_trial(out, 1, &format!("{unit:?}"));
    }
}

#[test]
fn an_empty_batch_and_no_steps_give_empty_results_and_zero_gradients() {
    for device in devices().map(Device::autodiff) {
        for unit in UNITS {
            for (steps, batch) in [(4, 0), (0, 2)] {
                let case = Case::new(unit, [steps, batch, 2, 3]);
                let [out, input, weight_in, bias_in, weight, bias] =
                    case.run(gated_sequence, &device, DType::F32);
                assert!(out.unwrap().is_empty() && input.unwrap().is_empty());
                let width = 3 * unit.gates();
                assert_eq!(weight_in.unwrap(), vec![0.0; 2 * width]);
                assert_eq!(weight.unwrap(), vec![0.0; 3 * width]);
                assert_eq!(
                    [bias_in, bias].map(Option::unwrap),
                    [(); 2].map(|()| vec![0.0; width])
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "weights of 2 channels, 3 units and 4 gates")]
fn weights_of_another_cell_are_refused() {
    let device = Device::flex().autodiff();
    let case = Case::new(GatedUnit::Gru, [2, 1, 2, 3]);
    let input = case.tensor(0, &device, DType::F32);
    gated_sequence(input, case.weights(&device, DType::F32), GatedUnit::Lstm);
}
