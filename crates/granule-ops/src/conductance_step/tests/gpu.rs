//! The kernels for GPUs against those of the CPU.

use super::*;
use crate::testing::gpu;

/// More than a launch takes here.
const STEPS: usize = 13;
const SEEN: [usize; 4] = [1, 6, 7, 13];

fn cells(inputs: &Inputs, tensors: &[Tensor<2>]) -> ConductanceStep {
    let membrane = inputs.membrane(tensors);
    ConductanceStep::new(inputs.cells, &membrane, &tensors[0]).unwrap()
}

/// The last state and what is seen, of some columns twice.
fn course(
    inputs: &Inputs,
    tensors: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    inflows: Vec<Tensor<2>>,
) -> Vec<Tensor<2>> {
    let columns = vec![inputs.cells - 1, 0, inputs.cells - 1];
    let course = Course {
        // Short, for in single precision a spike is not what it is in double precision.
        lengths: (0..STEPS).map(|x| DT * (0.1 + 0.02 * x as f64)).collect(),
        seen: SEEN.to_vec(),
        columns,
        inflows,
        together: None,
    };
    let state = &tensors[..inputs.states()];
    let ran = cells(inputs, tensors)
        .course(state, inflow, course)
        .unwrap();
    let seen = ran.seen.reshape([SEEN.len() * inputs.batch, 3]);
    ran.state.into_iter().chain([seen]).collect()
}

fn constant(inputs: &Inputs, tensors: &[Tensor<2>]) -> Vec<Tensor<2>> {
    let inflow = tensors[inputs.states()].clone();
    course(inputs, tensors, Some(inflow), Vec::new())
}

fn changing(inputs: &Inputs, tensors: &[Tensor<2>]) -> Vec<Tensor<2>> {
    let inflow = tensors[inputs.states()].clone().without_autodiff();
    let inflows = (0..STEPS).map(|step| inflow.clone() * (0.2 * step as f64));
    course(inputs, tensors, None, inflows.collect())
}

/// One cell, odd numbers, several workgroups, and every way of an inflow.
fn all_sizes(kind: Kind) -> [Inputs; 4] {
    let sizes = [
        (1, 1, [1, 1]),
        (3, 5, [3, 1]),
        (3, 5, [3, 5]),
        (2, 301, [1, 301]),
    ];
    sizes.map(|(batch, cells, inflow)| Inputs::new(batch, cells, kind, inflow))
}

/// What is further apart than `limit` allows of the largest value. Those of `sums` over several cells, in which much cancels,
/// are compared with a quarter at least.
fn apart(
    limit: f64,
    sums: bool,
    (found, expected): (&[Vec<f64>], &[Vec<f64>]),
    inputs: &Inputs,
) -> Vec<String> {
    assert_eq!(found.len(), expected.len());
    let mut all = Vec::new();
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len());
        let summed = sums && expected.len() < inputs.batch * inputs.cells;
        let least = if summed { 0.25 } else { 1e-6 };
        let scale = expected.iter().fold(least, |a: f64, b| a.max(b.abs()));
        let pairs = found.iter().zip(expected).enumerate();
        let off = pairs.filter(|(_, (a, b))| a.is_nan() || (*a - *b).abs() > limit * scale);
        all.extend(off.map(|(at, (a, b))| {
            let Inputs { batch, cells, .. } = inputs;
            format!(
                "{:?} [{batch}, {cells}], {index} at {at}: {a} {b}",
                inputs.kind
            )
        }));
    }
    all
}

#[track_caller]
fn assert_near(found: &[Vec<f64>], expected: &[Vec<f64>], inputs: &Inputs) {
    // The exponential of a graphics driver is coarse.
    let off = apart(5e-4, false, (found, expected), inputs);
    assert!(off.is_empty(), "{off:#?}");
}

#[test]
fn a_gpu_moves_cells_as_a_cpu_does() {
    let Some(gpu) = gpu() else { return };
    for kind in KINDS {
        for inputs in all_sizes(kind) {
            for steps in [&Inputs::step as Steps<'_>, &constant, &changing] {
                let on = |device: &Device, dtype: DType| -> Vec<Vec<f64>> {
                    let next = steps(&inputs, &inputs.tensors(device, dtype));
                    next.into_iter().map(values).collect()
                };
                let expected = on(&Device::flex(), DType::F64);
                assert_near(&on(&gpu, DType::F32), &expected, &inputs);
            }
        }
    }
}

#[test]
fn gradients_on_a_gpu_are_those_on_a_cpu() {
    let Some(gpu) = gpu() else { return };
    let mut off = Vec::new();
    for kind in KINDS {
        for inputs in all_sizes(kind) {
            for (steps, limit) in [(&Inputs::step as Steps<'_>, 2e-3), (&constant, 5e-3)] {
                let expected = gradients_of(&inputs, (&Device::flex(), DType::F64), steps);
                let found = gradients_of(&inputs, (&gpu, DType::F32), steps);
                off.extend(apart(limit, true, (&found, &expected), &inputs));
            }
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}

/// What is on no tape has no part in a gradient, nor has what nothing depends on.
#[test]
fn a_gpu_gives_the_gradients_that_are_asked_for() {
    let Some(gpu) = gpu() else { return };
    let inputs = Inputs::new(3, 5, Kind::Squid, [3, 5]);
    let on = |device: &Device, dtype: DType| {
        let mut tensors = inputs.tensors(&device.clone().autodiff(), dtype);
        let v = tensors[0].clone().require_grad();
        tensors[0] = v.clone();
        let gradients = loss(changing(&inputs, &tensors)).backward();
        let gate = inputs.step(&tensors)[2].clone().sum().backward();
        vec![
            values(v.grad(&gradients).unwrap()),
            values(v.grad(&gate).unwrap()),
        ]
    };
    let expected = on(&Device::flex(), DType::F64);
    assert_near(&on(&gpu, DType::F32), &expected, &inputs);
}

/// z/(eᶻ − 1) is 0/0 at −40 mV (m) and −55 mV (n).
#[test]
fn nothing_happens_at_removable_singularities_on_a_gpu() {
    let Some(gpu) = gpu() else { return };
    for singular in [-40.0, -55.0] {
        let mut inputs = Inputs::new(1, 5, Kind::Squid, [1, 1]);
        inputs.values[0] = [0.0, 1e-5, -1e-3, 0.1, -2.0].map(|x| singular + x).to_vec();
        for (values, constant) in inputs.values[5..].iter_mut().zip(usual(Kind::Squid)) {
            values.fill(constant);
        }
        let on = |device: &Device, dtype: DType| {
            let next = inputs.step(&inputs.tensors(device, dtype)).into_iter();
            let mut all: Vec<_> = next.map(values).collect();
            all.extend(gradients(&inputs, device, dtype));
            all
        };
        let expected = on(&Device::flex(), DType::F64);
        assert_near(&on(&gpu, DType::F32), &expected, &inputs);
    }
}

#[test]
fn a_gpu_has_no_kernel_for_compartments_and_for_what_no_buffer_holds() {
    let Some(gpu) = gpu() else { return };
    let inputs = Inputs::new(2, 5, Kind::Squid, [1, 1]);
    let tensors = inputs.tensors(&gpu, DType::F32);
    let membrane = inputs.membrane(&tensors);
    let cells = ConductanceStep::new(5, &membrane, &tensors[0]).unwrap();
    assert!(cells.holds(1000, 0));
    assert!(!cells.holds(1 << 31, 0));
    assert!(!cells.holds(2, 1 << 31));
    assert!(!cells.holds(0, 0));
    let tree = crate::Tree::new(&[None, Some(0), Some(1), Some(2), Some(3)]).unwrap();
    let couplings = Tensor::ones([3, 5], &gpu);
    let scheme = ImplicitScheme::BackwardEuler;
    assert!(CableStep::new(5, &membrane, (&tree, &couplings), scheme).is_none());
    let numbers = super::membrane(Kind::Squid, &mut |value| Coefficient::Number(value));
    assert!(ConductanceStep::new(5, &numbers, &tensors[0]).is_some());
    let numbers = super::membrane(Kind::Squid, &mut |_| Coefficient::Number(f64::INFINITY));
    assert!(ConductanceStep::new(5, &numbers, &tensors[0]).is_none());
}
