//! Many steps as one operation against the same steps one by one.

use super::cable::{cable, joined};
use super::*;

const STEPS: usize = 7;
const SEEN: [usize; 3] = [2, 3, 7];
const COLUMNS: [usize; 3] = [3, 0, 3];

fn length(step: usize) -> f64 {
    DT * (1.0 + 0.1 * step as f64)
}

/// Cells or compartments, and what takes their steps.
#[allow(clippy::large_enum_variant, reason = "one at a time")]
enum Stepper {
    Cells(ConductanceStep),
    Cable(CableStep),
}

impl Stepper {
    fn new(inputs: &Inputs, tensors: &[Tensor<2>]) -> Self {
        if inputs.values.len() > inputs.states() + 1 + usual(inputs.kind).len() {
            Self::Cable(cable(inputs, tensors, ImplicitScheme::CrankNicolson))
        } else {
            let membrane = inputs.membrane(tensors);
            let cells = ConductanceStep::new(inputs.cells, &membrane, &tensors[0]);
            Self::Cells(cells.unwrap())
        }
    }

    fn step(&self, state: &[Tensor<2>], inflow: Tensor<2>, dt: f64) -> Vec<Tensor<2>> {
        match self {
            Self::Cells(cells) => cells.step(state, Some(inflow), dt).unwrap(),
            Self::Cable(cable) => cable.step(state, Some(inflow), dt),
        }
    }

    fn course(&self, state: &[Tensor<2>], inflow: Option<Tensor<2>>, course: Course) -> Ran {
        let ran = match self {
            Self::Cells(cells) => cells.course(state, inflow, course),
            Self::Cable(cable) => cable.course(state, inflow, course),
        };
        ran.unwrap()
    }
}

/// What is seen and the last state.
fn one_by_one(
    inputs: &Inputs,
    tensors: &[Tensor<2>],
    inflow: impl Fn(usize) -> Tensor<2>,
) -> Vec<Tensor<2>> {
    let stepper = Stepper::new(inputs, tensors);
    let mut state = tensors[..inputs.states()].to_vec();
    let mut seen = Vec::new();
    for step in 0..STEPS {
        state = stepper.step(&state, inflow(step), length(step));
        if SEEN.contains(&(step + 1)) {
            let columns = COLUMNS.map(|column| state[0].clone().narrow(1, column, 1));
            seen.push(Tensor::cat(columns.to_vec(), 1));
        }
    }
    state.into_iter().chain([Tensor::cat(seen, 0)]).collect()
}

fn at_once(
    inputs: &Inputs,
    tensors: &[Tensor<2>],
    inflow: Option<Tensor<2>>,
    inflows: Vec<Tensor<2>>,
) -> Vec<Tensor<2>> {
    let course = Course {
        lengths: (0..STEPS).map(length).collect(),
        seen: SEEN.to_vec(),
        columns: COLUMNS.to_vec(),
        inflows,
        together: None,
    };
    let stepper = Stepper::new(inputs, tensors);
    let ran = stepper.course(&tensors[..inputs.states()], inflow, course);
    let seen = ran.seen.reshape([SEEN.len() * inputs.batch, COLUMNS.len()]);
    ran.state.into_iter().chain([seen]).collect()
}

fn all_cases() -> Vec<Inputs> {
    let mut all = cases();
    all.extend(KINDS.map(|kind| joined(kind, [3, 5])));
    all
}

#[test]
fn a_course_is_its_steps() {
    for device in devices() {
        for inputs in all_cases() {
            let states = inputs.states();
            for dtype in [DType::F32, DType::F64] {
                let tensors = inputs.tensors(&device, dtype);
                let own = |_: usize| tensors[states].clone();
                let expected = one_by_one(&inputs, &tensors, own);
                let found = at_once(&inputs, &tensors, Some(own(0)), Vec::new());
                for (found, expected) in found.into_iter().zip(expected) {
                    assert_eq!(values(found), values(expected));
                }
                let each = |step: usize| tensors[states].clone() * (step as f64);
                let expected = one_by_one(&inputs, &tensors, each);
                let found = at_once(&inputs, &tensors, None, (0..STEPS).map(each).collect());
                for (found, expected) in found.into_iter().zip(expected) {
                    assert_eq!(values(found), values(expected));
                }
            }
        }
    }
}

#[test]
fn the_gradient_of_a_course_is_that_of_its_steps() {
    for device in devices() {
        for inputs in all_cases() {
            let states = inputs.states();
            let gradients = |steps: Steps<'_>| gradients_of(&inputs, (&device, DType::F64), steps);
            let expected = gradients(&|inputs, tensors| {
                one_by_one(inputs, tensors, |_| tensors[states].clone())
            });
            let found = gradients(&|inputs, tensors| {
                at_once(inputs, tensors, Some(tensors[states].clone()), Vec::new())
            });
            for (input, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let scale = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    assert!(
                        (found - expected).abs() <= 1e-12 * scale,
                        "{:?}, {input}: {found} {expected}",
                        inputs.kind
                    );
                }
            }
        }
    }
}

/// Inflows of each step are on no tape, but what else they act with is.
#[test]
fn steps_with_inflows_of_their_own_have_gradients() {
    for device in devices() {
        let inputs = joined(Kind::Squid, [3, 1]);
        let states = inputs.states();
        let by_state = |steps: Steps<'_>| {
            let tensors = inputs.tensors(&device.clone().autodiff(), DType::F64);
            let v = tensors[0].clone().require_grad();
            let mut tensors = tensors;
            tensors[0] = v.clone();
            let gradients = loss(steps(&inputs, &tensors)).backward();
            values(v.grad(&gradients).unwrap())
        };
        let expected = by_state(&|inputs, tensors| {
            one_by_one(inputs, tensors, |step| {
                tensors[states].clone() * (step as f64)
            })
        });
        let found = by_state(&|inputs, tensors| {
            let each = (0..STEPS).map(|step| tensors[states].clone() * (step as f64));
            // One for all steps, of another shape and on the tape, has no part in it.
            let place = (&tensors[0].device(), DType::F64);
            let unused = Tensor::<2>::ones([1, 1], place).require_grad();
            at_once(inputs, tensors, Some(unused), each.collect())
        });
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}

#[test]
fn a_course_that_does_not_fit_is_none() {
    let inputs = Inputs::new(3, 5, Kind::Squid, [3, 5]);
    let tensors = inputs.tensors(&devices()[0], DType::F64);
    let Stepper::Cells(cells) = Stepper::new(&inputs, &tensors) else {
        panic!("these are cells")
    };
    let with = |seen: &[usize], columns: &[usize], inflows: usize| {
        let course = Course {
            lengths: vec![DT; STEPS],
            seen: seen.to_vec(),
            columns: columns.to_vec(),
            inflows: vec![tensors[4].clone(); inflows],
            together: None,
        };
        cells.course(&tensors[..4], None, course).is_some()
    };
    assert!(with(&[1, 7], &[4], 7));
    assert!(with(&[], &[], 0));
    assert!(!with(&[1, 8], &[4], 7));
    assert!(!with(&[0, 1], &[4], 7));
    assert!(!with(&[2, 2], &[4], 7));
    assert!(!with(&[1], &[5], 7));
    assert!(!with(&[1], &[4], 6));
    let nothing = Course {
        lengths: Vec::new(),
        seen: Vec::new(),
        columns: Vec::new(),
        inflows: Vec::new(),
        together: None,
    };
    assert!(cells.course(&tensors[..4], None, nothing).is_none());
}
