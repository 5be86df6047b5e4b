//! Both kernels against central differences, themselves in parts, and the limits at removable singularities.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::*;
use crate::testing::{devices, scattered, values};

mod cable;
mod course;
mod gpu;
#[cfg(feature = "capture")]
mod recorded;

const DT: f64 = 0.1;

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// m³h and n⁴, the squid axon.
    Squid,
    /// The same with an m that follows the voltage.
    SteadyM,
    /// Every kind of gate, curve and reversal, and two concentrations.
    All,
}

const KINDS: [Kind; 3] = [Kind::Squid, Kind::SteadyM, Kind::All];

/// The cell, each constant made by `constant` of its usual value.
fn membrane<C>(kind: Kind, constant: &mut impl FnMut(f64) -> C) -> Membrane<C> {
    use RateCurve::{Bernoulli, Exponential, Hill, Sigmoid};
    let mut term = |curve, argument, [scale, shift, steepness]: [f64; 3]| {
        Curve::Term(Term {
            curve,
            argument,
            scale: constant(scale),
            shift: constant(shift),
            steepness: constant(steepness),
        })
    };
    let v = Argument::Voltage;
    let c = Argument::Concentration;
    let m = [
        term(Bernoulli, v, [1.0, 40.0, -0.1]),
        term(Exponential, v, [4.0, 65.0, -1.0 / 18.0]),
    ];
    let h = [
        term(Exponential, v, [0.07, 65.0, -0.05]),
        term(Sigmoid, v, [1.0, 35.0, -0.1]),
    ];
    let n = [
        term(Bernoulli, v, [0.1, 55.0, -0.1]),
        term(Exponential, v, [0.125, 65.0, -1.0 / 80.0]),
    ];
    let m = match kind {
        Kind::SteadyM => GateKinetics::SteadyRates(m),
        _ => GateKinetics::Rates(m),
    };
    let gate = |kinetics, power| Gate { kinetics, power };
    let mut gates = vec![
        vec![gate(m, 3), gate(GateKinetics::Rates(h), 1)],
        vec![gate(GateKinetics::Rates(n), 4)],
    ];
    if kind == Kind::All {
        // (eᶻ · sigmoid)^⅓ and b + sigmoid; a product with a sum; 1/(eᶻ + eᶻ)
        let steady = Curve::Product(vec![
            term(Exponential, v, [0.3, 60.0, 0.02]),
            term(Sigmoid, v, [1.0, 30.0, 0.1]),
        ]);
        let time = Curve::Sum(vec![
            term(RateCurve::Constant, v, [0.4, 0.0, 0.0]),
            term(Sigmoid, v, [1.2, 56.0, 0.05]),
        ]);
        let a = GateKinetics::Relaxation([Curve::Power(Box::new(steady), 1.0 / 3.0), time]);
        let time = Curve::Power(
            Box::new(Curve::Sum(vec![
                term(Exponential, v, [0.3, 35.0, 0.05]),
                term(Exponential, v, [0.2, 35.0, -0.05]),
            ])),
            -1.0,
        );
        let q = GateKinetics::Relaxation([
            Curve::Product(vec![
                term(Sigmoid, v, [1.0, 35.0, -0.1]),
                term(Hill, c(1), [0.9, 0.3, 1.5]),
            ]),
            time,
        ]);
        let s = GateKinetics::Steady([term(Sigmoid, v, [1.0, 50.0, -0.15])]);
        let w = GateKinetics::Steady([term(Hill, c(0), [1.0, 0.5, 2.0])]);
        gates.push(vec![gate(a, 3), gate(q, 1)]);
        gates.push(vec![gate(s, 2)]);
        gates.push(vec![gate(w, 5)]);
    }
    let leak = constant(0.3);
    let drive = constant(-6.0);
    let conductances = [120.0, 36.0, 4.0, 3.0, 7.0];
    let reversals = [50.0, -77.0, -70.0, 0.0, -80.0];
    let channels = gates.into_iter().enumerate().map(|(index, gates)| Channel {
        conductance: constant(conductances[index]),
        reversal: if index == 3 {
            Reversal::Nernst {
                pool: 0,
                factor: constant(12.5),
                outside: constant(20.0),
            }
        } else {
            Reversal::Drive(constant(conductances[index] * reversals[index]))
        },
        gates,
        pool: match index {
            3 => Some(0),
            2 => Some(1),
            _ => None,
        },
    });
    let channels = channels.collect();
    let mut pool = |decay, drive, influx| Pool {
        decay: constant(decay),
        drive: constant(drive),
        influx: constant(influx),
    };
    let pools = match kind {
        Kind::All => vec![pool(0.1, 0.05, 0.004), pool(0.2, 0.06, 0.003)],
        _ => Vec::new(),
    };
    Membrane {
        leak,
        drive,
        channels,
        pools,
    }
}

/// The inputs of a step with every constant a tensor, every third for each cell.
#[derive(Clone)]
struct Inputs {
    batch: usize,
    cells: usize,
    kind: Kind,
    inflow: [usize; 2],
    /// The state, the inflow and the constants.
    values: Vec<Vec<f64>>,
}

impl Inputs {
    fn new(batch: usize, cells: usize, kind: Kind, inflow: [usize; 2]) -> Self {
        let elements = batch * cells;
        let mut values = vec![
            scattered(elements, 1)
                .iter()
                .map(|x| 50.0 * x - 40.0)
                .collect(),
        ];
        for gate in 1..states(kind) {
            let x = scattered(elements, 2 + gate);
            values.push(x.iter().map(|x| 0.5 + 0.45 * x).collect());
        }
        let into = scattered(inflow[0] * inflow[1], 5);
        values.push(into.iter().map(|x| 10.0 * x).collect());
        for (index, constant) in usual(kind).iter().enumerate() {
            let width = if index % 3 == 0 { cells } else { 1 };
            let spread = scattered(width, 6 + index);
            values.push(spread.iter().map(|x| constant * (1.0 + 0.05 * x)).collect());
        }
        Self {
            batch,
            cells,
            kind,
            inflow,
            values,
        }
    }

    fn states(&self) -> usize {
        states(self.kind)
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

    fn membrane(&self, tensors: &[Tensor<2>]) -> Membrane<Coefficient> {
        let mut next = self.states();
        membrane(self.kind, &mut |_| {
            next += 1;
            Coefficient::Tensor(tensors[next].clone())
        })
    }

    fn step(&self, tensors: &[Tensor<2>]) -> Vec<Tensor<2>> {
        let states = self.states();
        let membrane = self.membrane(tensors);
        let cells = ConductanceStep::new(self.cells, &membrane, &tensors[0]).unwrap();
        let next = cells.step(&tensors[..states], Some(tensors[states].clone()), DT);
        next.unwrap()
    }
}

/// The constants in the order in which they are asked for.
fn usual(kind: Kind) -> Vec<f64> {
    let mut all = Vec::new();
    membrane(kind, &mut |value| all.push(value));
    all
}

fn states(kind: Kind) -> usize {
    let membrane = membrane(kind, &mut |value| value);
    1 + membrane.moving_gates().count() + membrane.pools.len()
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
    gradients_of(inputs, (device, dtype), &Inputs::step)
}

/// How inputs become the state after a step, or several.
type Steps<'a> = &'a dyn Fn(&Inputs, &[Tensor<2>]) -> Vec<Tensor<2>>;

fn gradients_of(
    inputs: &Inputs,
    (device, dtype): (&Device, DType),
    step: Steps<'_>,
) -> Vec<Vec<f64>> {
    let tensors = inputs.tensors(&device.clone().autodiff(), dtype);
    let tensors: Vec<_> = tensors.into_iter().map(Tensor::require_grad).collect();
    let gradients = loss(step(inputs, &tensors)).backward();
    let of = |x: &Tensor<2>| values(x.grad(&gradients).unwrap());
    tensors.iter().map(of).collect()
}

/// Every way of an inflow and every kind of cell.
fn cases() -> Vec<Inputs> {
    let inflows = [[1, 1], [1, 5], [3, 1], [3, 5]];
    let cases = inflows.map(|inflow| KINDS.map(|kind| Inputs::new(3, 5, kind, inflow)));
    cases.into_iter().flatten().collect()
}

/// Checks the gradients by every input against central differences.
fn check_gradients(inputs: &Inputs, device: &Device, step: Steps<'_>) {
    let found = gradients_of(inputs, (device, DType::F64), step);
    for (input, found) in found.iter().enumerate() {
        let scale = found.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        // A constant curve has only a scale.
        let idle = inputs.kind == Kind::All && inputs.values[input] == [0.0];
        assert!(scale > 0.0 || idle, "input {input} does nothing");
        for (at, found) in found.iter().enumerate() {
            let value = inputs.values[input][at];
            let h = 1e-4 * value.abs().max(0.01);
            let moved = |change: f64| {
                let mut inputs = inputs.clone();
                inputs.values[input][at] += change;
                let tensors = inputs.tensors(device, DType::F64);
                loss(step(&inputs, &tensors)).into_scalar::<f64>()
            };
            let near = (moved(h) - moved(-h)) / (2.0 * h);
            let far = (moved(2.0 * h) - moved(-2.0 * h)) / (4.0 * h);
            let expected = (4.0 * near - far) / 3.0;
            assert!(
                (found - expected).abs() < 1e-6 * scale + 1e-12 / h,
                "{:?}: input {input}, {at}: {found}, by differences {expected}",
                inputs.kind
            );
        }
    }
}

#[test]
fn gradients_by_every_input_agree_with_central_differences() {
    for device in devices() {
        for inputs in cases() {
            check_gradients(&inputs, &device, &Inputs::step);
        }
    }
}

/// What nothing depends on has no part in a gradient, and a loss of a gate alone needs no voltage.
#[test]
fn a_loss_of_some_variables_has_their_gradient() {
    for device in devices() {
        for inputs in [Kind::Squid, Kind::All].map(|kind| Inputs::new(3, 5, kind, [3, 5])) {
            for variable in 0..inputs.states() {
                let tensors = inputs.tensors(&device.clone().autodiff(), DType::F64);
                let tensors: Vec<_> = tensors.into_iter().map(Tensor::require_grad).collect();
                let of = |next: Vec<Tensor<2>>| next[variable].clone().mul_scalar(0.05).sin().sum();
                let gradients = of(inputs.step(&tensors)).backward();
                let h = 1e-4;
                let moved = |change: f64| {
                    let mut inputs = inputs.clone();
                    inputs.values[0][1] += change;
                    let tensors = inputs.tensors(&device, DType::F64);
                    of(inputs.step(&tensors)).into_scalar::<f64>()
                };
                let found = values(tensors[0].grad(&gradients).unwrap())[1];
                let expected = (moved(h) - moved(-h)) / (2.0 * h);
                assert!(
                    (found - expected).abs() < 1e-8,
                    "{variable}: {found} {expected}"
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
            let mut all: Vec<_> = next.into_iter().map(values).collect();
            all.extend(gradients(&inputs, device, dtype));
            all
        });
        for (index, (single, double)) in both[0].iter().zip(&both[1]).enumerate() {
            let scale = double.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            for (a, b) in single.iter().zip(double) {
                assert!(
                    (a - b).abs() <= 5e-5 * scale,
                    "{:?}: {index}: {a} {b}",
                    inputs.kind
                );
            }
        }
    }
}

/// More rows than one task has, which end within a block: each is what it is alone, in a block of any size.
#[test]
fn many_rows_are_the_rows_one_by_one() {
    for device in devices() {
        for (kind, cells) in KINDS
            .into_iter()
            .flat_map(|kind| [5, 40, 67].map(|cells| (kind, cells)))
        {
            let inputs = Inputs::new(50, cells, kind, [50, cells]);
            let together: Vec<_> = inputs
                .step(&inputs.tensors(&device, DType::F32))
                .into_iter()
                .map(values)
                .collect();
            for row in [0, 15, 16, 49] {
                let mut one = inputs.clone();
                (one.batch, one.inflow) = (1, [1, cells]);
                let part = row * cells..(row + 1) * cells;
                for values in &mut one.values[..=inputs.states()] {
                    *values = values[part.clone()].to_vec();
                }
                let alone = one.step(&one.tensors(&device, DType::F32));
                for (alone, together) in alone.into_iter().zip(&together) {
                    assert_eq!(values(alone), together[part.clone()]);
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
                let mut inputs = Inputs::new(1, 2, Kind::Squid, [1, 1]);
                inputs.values[0] = vec![v; 2];
                for (values, constant) in inputs.values[5..].iter_mut().zip(usual(Kind::Squid)) {
                    values.fill(constant);
                }
                let next = inputs.step(&inputs.tensors(&device, dtype));
                let mut all: Vec<_> = next.into_iter().flat_map(values).collect();
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
