//! A step as one operation against the composed one, and many steps against single ones.

use std::ops::ControlFlow;

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::sections::{CELL, cell};
use crate::differences::slopes;
use crate::gradient::{Memory, Run, gradient};
use crate::model::{Clock, ConstantInput, Dynamics, Input, InputSeries, Model, NoInput};
use crate::simulate::{Grid, record_every, simulate};
use crate::testing::{assert_close, f64_autodiffs, f64_places};
use crate::unit::CableCell;
use crate::{Place, host};

const SCHEMES: [&str; 2] = ["backward-euler", "crank-nicolson"];

fn cells(scheme: &str, more: &str, place: &Place) -> CableCell {
    let text =
        format!("scheme = \"{scheme}\"\nstimulus_sites = [\"soma\", \"right(1)\"]\n{more}{CELL}");
    cell(&text, place)
}

#[test]
fn the_fused_step_is_the_composed_one() {
    for (_, place) in f64_places() {
        for scheme in SCHEMES {
            let cell = cells(scheme, "", &place);
            let start = cell.initial_state(2).unwrap();
            let fused = cell.dynamics().unwrap();
            assert!(fused.cable.fused.is_some());
            let mut composed = fused.clone();
            composed.cable.fused = None;
            let input = place.tensor::<2>(vec![0.2, 0.1, 0.0, 0.4], [2, 2]);
            let (mut one, mut other) = (start.clone(), start);
            for step in 0..100 {
                let at = Clock {
                    step,
                    time: 0.05 * step as f64,
                    dt: 0.05,
                };
                one = fused.step(at, &one, Some(&input)).unwrap();
                other = composed.step(at, &other, Some(&input)).unwrap();
            }
            for (one, other) in one.into_tensors().into_iter().zip(other.into_tensors()) {
                let pairs = host(one).unwrap().into_iter().zip(host(other).unwrap());
                pairs.for_each(|(one, other)| assert_close(one, other, 1e-10));
            }
        }
    }
}

/// The input of a pulse, of which the steps before have none.
struct Late(Tensor<2>);

impl Input for Late {
    fn at(&self, at: Clock) -> Option<Tensor<2>> {
        (at.step >= 20).then(|| self.0.clone())
    }
}

#[test]
fn a_course_is_its_steps() {
    for (_, place) in f64_places() {
        for scheme in SCHEMES {
            let cell = cells(scheme, "", &place);
            let dynamics = cell.dynamics().unwrap();
            let grid = Grid::over(15.0, 0.05).unwrap();
            let pulse = place.tensor::<2>(vec![0.2, 0.1], [1, 2]);
            let series: Vec<f64> = (0..400).map(|i| 0.001 * f64::from(i)).collect();
            let inputs: [&dyn Input; 4] = [
                &NoInput,
                &ConstantInput(pulse.clone()),
                &InputSeries(place.tensor::<3>(series, [200, 1, 2])),
                &Late(pulse),
            ];
            for input in inputs {
                let start = || cell.initial_state(1).unwrap();
                let mut steps = Vec::new();
                let end = simulate(&dynamics, start(), input, &grid, |step, _, state| {
                    if step.is_multiple_of(7) {
                        steps.extend(host(dynamics.observe(state)).unwrap());
                    }
                    ControlFlow::Continue(())
                });
                let (seen, last) = record_every(&dynamics, start(), input, &grid, 7).unwrap();
                assert_eq!(host(seen).unwrap(), steps);
                let both = last
                    .into_tensors()
                    .into_iter()
                    .zip(end.unwrap().into_tensors());
                for (last, end) in both {
                    assert_eq!(host(last).unwrap(), host(end).unwrap());
                }
            }
        }
    }
}

#[test]
fn segments_of_courses_and_of_steps_give_one_gradient() {
    let more = "trainable = [\"g_na\", \"capacitance\", \"axial_resistivity\", \"v\"]\ninitial = { v = -62.0 }\n";
    for place in f64_autodiffs() {
        let cell = cells("backward-euler", more, &place);
        let grid = Grid::over(8.0, 0.05).unwrap();
        let of = |input: &dyn Input, memory: &Memory| -> Vec<f64> {
            let run = Run {
                initial: None,
                batch: 1,
                input,
                grid: &grid,
                every: 3,
                memory,
            };
            let result = gradient(&cell, &run, |seen| (seen * 0.1).cos().mean()).unwrap();
            let slopes = slopes(&cell, result.parameters);
            slopes.into_iter().flat_map(|(_, slope)| slope).collect()
        };
        let expected = of(&NoInput, &Memory::Full);
        assert!(expected.iter().any(|slope| slope.abs() > 1e-6));
        for memory in [Memory::Segments(4), Memory::Nested(vec![2, 3])] {
            for (a, b) in of(&NoInput, &memory).into_iter().zip(&expected) {
                assert!((a - b).abs() < 1e-11, "{a} {b}");
            }
        }
        // An input on the tape is taken step by step.
        let nothing = place.tensor::<2>(vec![0.0, 0.0], [1, 2]);
        let taped = ConstantInput(nothing.require_grad());
        for memory in [Memory::Full, Memory::Segments(4)] {
            for (a, b) in of(&taped, &memory).into_iter().zip(&expected) {
                assert!((a - b).abs() < 1e-11, "{a} {b}");
            }
        }
    }
}

/// The gates after one step know nothing of the compartments' neighbours.
#[test]
fn what_nothing_depends_on_has_a_gradient_of_zero() {
    for place in f64_autodiffs() {
        let more = "trainable = [\"axial_resistivity\", \"capacitance\"]\n";
        let cell = cells("backward-euler", more, &place);
        let at = Clock {
            step: 0,
            time: 0.0,
            dt: 0.05,
        };
        let start = cell.initial_state(1).unwrap();
        let next = cell.dynamics().unwrap().step(at, &start, None).unwrap();
        let gate = next.tensors().last().unwrap().clone();
        let gradients = GradientsParams::from_grads(gate.mean().backward(), &cell);
        for (name, slope) in slopes(&cell, gradients) {
            // At rest next to nothing flows between compartments.
            assert!(
                slope.iter().all(|slope| slope.abs() < 1e-15),
                "{name} {slope:?}"
            );
        }
    }
}
