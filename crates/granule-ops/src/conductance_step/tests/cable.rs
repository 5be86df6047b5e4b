//! The step of joined compartments against the equation that it solves and against central differences.

use super::*;
use crate::Tree;

const SCHEMES: [ImplicitScheme; 2] = [ImplicitScheme::BackwardEuler, ImplicitScheme::CrankNicolson];

/// The parents of five compartments and of a point at which three of them meet.
const PARENTS: [Option<usize>; 6] = [None, Some(5), Some(1), Some(5), Some(3), Some(0)];
const NODES: usize = PARENTS.len();

/// Inputs with the couplings at their end.
pub(super) fn joined(kind: Kind, inflow: [usize; 2]) -> Inputs {
    let mut inputs = Inputs::new(3, 5, kind, inflow);
    let couplings = scattered(3 * NODES, 60).into_iter().enumerate();
    let couplings = couplings.map(|(index, x)| 1.0 + 0.5 * x + 4.0 * (index / (2 * NODES)) as f64);
    inputs.values.push(couplings.collect());
    inputs
}

pub(super) fn cable(inputs: &Inputs, tensors: &[Tensor<2>], scheme: ImplicitScheme) -> CableStep {
    let membrane = inputs.membrane(tensors);
    let couplings = tensors[tensors.len() - 1].clone().reshape([3, NODES]);
    let tree = Tree::new(&PARENTS).unwrap();
    CableStep::new(inputs.cells, &membrane, (&tree, &couplings), scheme).unwrap()
}

fn step(inputs: &Inputs, tensors: &[Tensor<2>], scheme: ImplicitScheme) -> Vec<Tensor<2>> {
    let states = inputs.states();
    let cable = cable(inputs, tensors, scheme);
    cable.step(&tensors[..states], Some(tensors[states].clone()), DT)
}

#[test]
fn gradients_agree_with_central_differences() {
    for device in devices() {
        for (kind, inflow) in KINDS.into_iter().zip([[1, 1], [1, 5], [3, 5]]) {
            for scheme in SCHEMES {
                let inputs = joined(kind, inflow);
                check_gradients(&inputs, &device, &|inputs, tensors| {
                    step(inputs, tensors, scheme)
                });
            }
        }
    }
}

/// Without couplings, two inflows tell decay and drive, which make the exponential step of cells as well.
#[test]
fn the_voltages_solve_their_equation() {
    for device in devices() {
        for kind in KINDS {
            let inputs = joined(kind, [3, 5]);
            let states = inputs.states();
            let alone = |more: f64| {
                let mut inputs = inputs.clone();
                let inflow = &mut inputs.values[states];
                inflow.iter_mut().for_each(|x| *x += more);
                let couplings = inputs.values.last_mut().unwrap();
                couplings[..2 * NODES].fill(0.0);
                couplings[2 * NODES..3 * NODES - 1].fill(0.0);
                let tensors = inputs.tensors(&device, DType::F64);
                values(step(&inputs, &tensors, ImplicitScheme::BackwardEuler)[0].clone())
            };
            let (without, with) = (alone(0.0), alone(10.0));
            let linear = without.iter().zip(with).zip(&inputs.values[0]);
            let linear: Vec<(f64, f64)> = linear
                .map(|((a, b), v)| {
                    let decay = 10.0 / (b - a) - 1.0 / DT;
                    (decay, (a * (1.0 + DT * decay) - v) / DT)
                })
                .collect();
            let tensors = inputs.tensors(&device, DType::F64);
            let cells: Vec<_> = inputs.step(&tensors).into_iter().map(values).collect();
            for (((decay, drive), v), cell) in linear.iter().zip(&inputs.values[0]).zip(&cells[0]) {
                let expected = v + (drive - decay * v) * (1.0 - (-DT * decay).exp()) / decay;
                assert!((cell - expected).abs() < 1e-9, "{cell} {expected}");
            }
            for scheme in SCHEMES {
                let next: Vec<_> = step(&inputs, &tensors, scheme)
                    .into_iter()
                    .map(values)
                    .collect();
                assert_eq!(next[1..], cells[1..]);
                let couplings = inputs.values.last().unwrap();
                for row in 0..3 {
                    let (mut x, h) = match scheme {
                        ImplicitScheme::BackwardEuler => (next[0][row * 5..][..5].to_vec(), DT),
                        ImplicitScheme::CrankNicolson => {
                            let both = next[0].iter().zip(&inputs.values[0]);
                            let middle: Vec<f64> = both.map(|(a, b)| 0.5 * (a + b)).collect();
                            (middle[row * 5..][..5].to_vec(), 0.5 * DT)
                        }
                    };
                    let inward = |node: usize, x: &[f64]| -> f64 {
                        let children = (0..NODES).filter(|i| PARENTS[*i] == Some(node));
                        let below: f64 = children.map(|i| couplings[NODES + i] * x[i]).sum();
                        below + PARENTS[node].map_or(0.0, |p| couplings[node] * x[p])
                    };
                    x.push(0.0);
                    x[5] = inward(5, &x) / couplings[2 * NODES + 5];
                    for node in 0..5 {
                        let (decay, drive) = linear[row * 5 + node];
                        let total = couplings[2 * NODES + node];
                        let left = (1.0 + h * (decay + total)) * x[node] - h * inward(node, &x);
                        let right = inputs.values[0][row * 5 + node] + h * drive;
                        assert!((left - right).abs() < 1e-8, "{node}: {left} {right}");
                    }
                }
            }
        }
    }
}
