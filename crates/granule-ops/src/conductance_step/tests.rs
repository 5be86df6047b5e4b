//! Both kernels against central differences, themselves in parts, and the limits at removable singularities.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Coefficient, ConductanceStep, Membrane, RateCurve, VoltageRate};

const DT: f64 = 0.1;

#[allow(deprecated)]
fn devices() -> [Device; 2] {
    [Device::flex(), Device::ndarray()]
}

/// Numbers between −1 and 1 in no order.
fn scattered(count: usize, seed: usize) -> Vec<f64> {
    (0..count)
        .map(|i| ((i * 7919 + seed * 104729 + 17) % 1009) as f64 / 504.5 - 1.0)
        .collect()
}

/// Scale, shift and steepness of α and β of m, h and n, then the membrane: the squid axon.
const CONSTANTS: [f64; 24] = [
    1.0,
    40.0,
    -0.1,
    4.0,
    65.0,
    -1.0 / 18.0, //
    0.07,
    65.0,
    -0.05,
    1.0,
    35.0,
    -0.1, //
    0.1,
    55.0,
    -0.1,
    0.125,
    65.0,
    -1.0 / 80.0, //
    0.3,
    -6.0,
    120.0,
    6000.0,
    36.0,
    -2772.0,
];

/// The inputs of a step with every constant a tensor, every third for each cell.
#[derive(Clone)]
struct Inputs {
    batch: usize,
    cells: usize,
    instantaneous_m: bool,
    inflow: [usize; 2],
    /// The state, the inflow and the constants.
    values: Vec<Vec<f64>>,
}

impl Inputs {
    fn new(batch: usize, cells: usize, instantaneous_m: bool, inflow: [usize; 2]) -> Self {
        let elements = batch * cells;
        let mut values = vec![
            scattered(elements, 1)
                .iter()
                .map(|x| 50.0 * x - 40.0)
                .collect(),
        ];
        for gate in usize::from(instantaneous_m)..3 {
            let x = scattered(elements, 2 + gate);
            values.push(x.iter().map(|x| 0.5 + 0.45 * x).collect());
        }
        let into = scattered(inflow[0] * inflow[1], 5);
        values.push(into.iter().map(|x| 10.0 * x).collect());
        for (index, constant) in CONSTANTS.iter().enumerate() {
            let width = if index % 3 == 0 { cells } else { 1 };
            let spread = scattered(width, 6 + index);
            values.push(spread.iter().map(|x| constant * (1.0 + 0.05 * x)).collect());
        }
        Self {
            batch,
            cells,
            instantaneous_m,
            inflow,
            values,
        }
    }

    fn states(&self) -> usize {
        4 - usize::from(self.instantaneous_m)
    }

    fn tensors(&self, device: &Device, dtype: DType) -> Vec<Tensor<2>> {
        let states = self.states();
        let tensors = self.values.iter().enumerate().map(|(index, values)| {
            let shape = match index {
                _ if index < states => [self.batch, self.cells],
                _ if index == states => self.inflow,
                _ => [1, values.len()],
            };
            let data = TensorData::new(values.clone(), shape);
            Tensor::from_data(data, (device, dtype))
        });
        tensors.collect()
    }

    fn step(&self, tensors: &[Tensor<2>]) -> Vec<Tensor<2>> {
        let states = self.states();
        let constant = |index: usize| Coefficient::Tensor(tensors[states + 1 + index].clone());
        use RateCurve::{Bernoulli, Exponential, Sigmoid};
        let curves = [
            [Bernoulli, Exponential],
            [Exponential, Sigmoid],
            [Bernoulli, Exponential],
        ];
        let rates = [0, 1, 2].map(|gate: usize| {
            [0, 1].map(|of: usize| VoltageRate {
                curve: curves[gate][of],
                scale: constant(6 * gate + 3 * of),
                shift: constant(6 * gate + 3 * of + 1),
                steepness: constant(6 * gate + 3 * of + 2),
            })
        });
        let membrane = Membrane {
            leak: constant(18),
            drive: constant(19),
            conductances: [constant(20), constant(22)],
            drives: [constant(21), constant(23)],
        };
        let like = &tensors[0];
        let cells =
            ConductanceStep::new(self.cells, rates, self.instantaneous_m, membrane, like).unwrap();
        cells.step(&tensors[..states], Some(tensors[states].clone()), DT)
    }
}

fn read(x: Tensor<2>) -> Vec<f64> {
    let data = x.without_autodiff().into_data().convert::<f64>();
    data.try_into_vec().unwrap()
}

/// A number that every element of the new state moves.
fn loss(next: Vec<Tensor<2>>) -> Tensor<1> {
    let terms = next.into_iter().enumerate().map(|(index, x)| {
        let scale = if index == 0 { 0.05 } else { 3.0 };
        x.mul_scalar(scale).sin().sum()
    });
    terms.reduce(|a, b| a + b).unwrap()
}

fn gradients(inputs: &Inputs, device: &Device, dtype: DType) -> Vec<Vec<f64>> {
    let tensors = inputs.tensors(&device.clone().autodiff(), dtype);
    let tensors: Vec<_> = tensors.into_iter().map(Tensor::require_grad).collect();
    let gradients = loss(inputs.step(&tensors)).backward();
    let of = |x: &Tensor<2>| read(x.grad(&gradients).unwrap());
    tensors.iter().map(of).collect()
}

/// Every way of an inflow and both kinds of m.
fn cases() -> Vec<Inputs> {
    let inflows = [[1, 1], [1, 5], [3, 1], [3, 5]];
    let cases = inflows.map(|inflow| [false, true].map(|m| Inputs::new(3, 5, m, inflow)));
    cases.into_iter().flatten().collect()
}

#[test]
fn gradients_by_every_input_agree_with_central_differences() {
    for (device, inputs) in devices()
        .iter()
        .flat_map(|d| cases().into_iter().map(move |i| (d, i)))
    {
        let found = gradients(&inputs, device, DType::F64);
        for (input, found) in found.iter().enumerate() {
            let scale = found.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            assert!(scale > 0.0, "input {input} does nothing");
            for (at, found) in found.iter().enumerate() {
                let value = inputs.values[input][at];
                let h = 1e-4 * value.abs().max(0.01);
                let moved = |change: f64| {
                    let mut inputs = inputs.clone();
                    inputs.values[input][at] += change;
                    let tensors = inputs.tensors(device, DType::F64);
                    loss(inputs.step(&tensors)).into_scalar::<f64>()
                };
                let near = (moved(h) - moved(-h)) / (2.0 * h);
                let far = (moved(2.0 * h) - moved(-2.0 * h)) / (4.0 * h);
                let expected = (4.0 * near - far) / 3.0;
                assert!(
                    (found - expected).abs() < 1e-6 * scale + 1e-12 / h,
                    "input {input}, {at}: {found}, by differences {expected}"
                );
            }
        }
    }
}

#[test]
fn single_precision_is_double_precision_rounded() {
    for (device, inputs) in devices()
        .iter()
        .flat_map(|d| cases().into_iter().map(move |i| (d, i)))
    {
        let both = [DType::F32, DType::F64].map(|dtype| {
            let next = inputs.step(&inputs.tensors(device, dtype));
            let mut all: Vec<_> = next.into_iter().map(read).collect();
            all.extend(gradients(&inputs, device, dtype));
            all
        });
        for (index, (single, double)) in both[0].iter().zip(&both[1]).enumerate() {
            let scale = double.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            for (a, b) in single.iter().zip(double) {
                assert!((a - b).abs() < 2e-5 * scale, "{index}: {a} {b}");
            }
        }
    }
}

/// More rows than one task has, which end within a block: each is what it is alone.
#[test]
fn many_rows_are_the_rows_one_by_one() {
    for device in devices() {
        for instantaneous_m in [false, true] {
            let inputs = Inputs::new(50, 67, instantaneous_m, [50, 67]);
            let together: Vec<_> = inputs
                .step(&inputs.tensors(&device, DType::F32))
                .into_iter()
                .map(read)
                .collect();
            for row in [0, 15, 16, 49] {
                let mut one = inputs.clone();
                (one.batch, one.inflow) = (1, [1, 67]);
                let part = row * 67..(row + 1) * 67;
                for values in &mut one.values[..=inputs.states()] {
                    *values = values[part.clone()].to_vec();
                }
                let alone = one.step(&one.tensors(&device, DType::F32));
                for (alone, together) in alone.into_iter().zip(&together) {
                    assert_eq!(read(alone), together[part.clone()]);
                }
            }
        }
    }
}

/// z/(eᶻ − 1) is 0/0 at −40 mV (m) and −55 mV (n).
#[test]
fn nothing_happens_at_removable_singularities() {
    for device in devices() {
        for singular in [-40.0, -55.0] {
            let at = |v: f64, dtype: DType| {
                let mut inputs = Inputs::new(1, 2, false, [1, 1]);
                inputs.values[0] = vec![v; 2];
                for (values, constant) in inputs.values[5..].iter_mut().zip(CONSTANTS) {
                    values.fill(constant);
                }
                let next = inputs.step(&inputs.tensors(&device, dtype));
                let mut all: Vec<_> = next.into_iter().flat_map(read).collect();
                all.extend(gradients(&inputs, &device, dtype).concat());
                all
            };
            let beside = [-1e-5, 1e-5].map(|offset| at(singular + offset, DType::F64));
            for (dtype, limit) in [(DType::F64, 1e-8), (DType::F32, 2e-5)] {
                let exact = at(singular, dtype);
                for (index, found) in exact.iter().enumerate() {
                    let expected = 0.5 * (beside[0][index] + beside[1][index]);
                    assert!(
                        (found - expected).abs() <= limit * expected.abs().max(1.0),
                        "{index} at {singular}: {found} {expected}"
                    );
                }
            }
        }
    }
}
