//! The fused step against the composed one.

use super::*;
use crate::model::{Clock, Dynamics, Field};
use crate::solver::{ExponentialEuler, Solver};
use crate::testing::{f32_places, f64_places};
use crate::{State, Values};
use burn::tensor::{DType, Tensor};

const CELLS: usize = 67;
const BATCH: usize = 3;
const STEPS: usize = 3;

fn scattered(count: usize, seed: usize) -> Vec<f64> {
    (0..count)
        .map(|i| ((i * 7919 + seed * 104729 + 17) % 1009) as f64 / 504.5 - 1.0)
        .collect()
}

/// How each parameter is given.
#[derive(Clone, Copy, Debug)]
enum Given {
    Number,
    Shared,
    Each,
}

fn cells<K: CellKind>(given: Given, place: &Place) -> Cells {
    let mut config = population::<K>(&[8.0]);
    config.cells = CELLS;
    let names: Vec<_> = config
        .parameters
        .entries()
        .map(|(info, _)| info.name)
        .collect();
    if let Given::Each = given {
        for (seed, name) in names.iter().enumerate() {
            let values = config.parameters.get_mut(name).unwrap();
            let value = values.as_slice()[0];
            let spread = scattered(CELLS, seed);
            *values = Values::Each(spread.iter().map(|x| value * (1.0 + 0.02 * x)).collect());
        }
    }
    if !matches!(given, Given::Number) {
        config.trainable = names.iter().map(|name| (*name).to_owned()).collect();
        config.trainable.push("current".into());
    }
    config.init(Arc::new(ExponentialEuler), place).unwrap()
}

/// The state after some steps, and the gradients of a loss by state, input and parameters.
fn run(cells: &Cells, fused: bool, input: [usize; 2], place: &Place) -> Vec<(String, Vec<f64>)> {
    let dynamics = cells.dynamics().unwrap();
    let composed = cells.field().unwrap();
    let variables = composed.variables();
    let start = variables.iter().enumerate().map(|(index, _)| {
        let x = scattered(BATCH * CELLS, 40 + index).into_iter();
        let mut x: Vec<f64> = match index {
            0 => x.map(|x| 60.0 * x - 30.0).collect(),
            _ => x.map(|x| 0.5 + 0.45 * x).collect(),
        };
        if index == 0 {
            x[..2].copy_from_slice(&[-40.0, -55.0]);
        }
        place.tensor::<2>(x, [BATCH, CELLS]).require_grad()
    });
    let start = State::new(start.collect());
    let currents = scattered(input[0] * input[1], 50);
    let currents = currents.into_iter().map(|x| 5.0 * x).collect();
    let input = place.tensor::<2>(currents, input).require_grad();
    let mut state = start.clone();
    for step in 0..STEPS {
        let at = Clock {
            step,
            time: 0.0,
            dt: 0.05,
        };
        let next = if fused {
            dynamics.step(at, &state, Some(&input))
        } else {
            ExponentialEuler.step(&composed, at, &state, Some(&input))
        };
        state = next.unwrap();
    }
    let names = variables.iter().map(|variable| variable.name.clone());
    let mut all: Vec<_> = names
        .clone()
        .zip(state.tensors())
        .map(|(name, x)| (name, host(x.clone()).unwrap()))
        .collect();
    let terms = state.into_tensors().into_iter().zip([0.05, 2.0, 3.0, 4.0]);
    let loss = terms
        .map(|(x, scale)| x.mul_scalar(scale).sin().sum())
        .reduce(|a, b| a + b)
        .unwrap();
    let gradients = loss.backward();
    let of = |x: &Tensor<2>| host(x.grad(&gradients).unwrap()).unwrap();
    let by_state = names.zip(start.tensors());
    all.extend(by_state.map(|(name, x)| (format!("by {name}"), of(x))));
    all.push(("by input".into(), of(&input)));
    for name in cells
        .parameters
        .iter()
        .map(|(name, _)| name)
        .chain(["current"])
    {
        let constant = cells.parameter(name).unwrap();
        if let Some(parameter) = constant.parameter() {
            all.push((format!("by {name}"), of(&parameter.raw.val())));
        }
    }
    all
}

fn compare<K: CellKind>() {
    let places = f64_places().into_iter().chain(f32_places());
    for (name, mut place) in places {
        place.device = place.device.autodiff();
        let limit = match (name, place.dtype) {
            (_, DType::F64) => 1e-12,
            // The exponential of a graphics driver is coarse.
            ("wgpu", _) => 1e-3,
            _ => 1e-5,
        };
        for given in [Given::Number, Given::Shared, Given::Each] {
            let cells = cells::<K>(given, &place);
            for input in [[1, 1], [1, CELLS], [BATCH, 1], [BATCH, 2 * CELLS]] {
                let both = [true, false].map(|fused| run(&cells, fused, input, &place));
                for ((what, ours), (_, theirs)) in both[0].iter().zip(&both[1]) {
                    let scale = theirs.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
                        assert!(
                            (a - b).abs() <= limit * scale,
                            "{}, {name}, {given:?}, input {input:?}: {what} [{at}]: {a} {b}",
                            K::NAME
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn hodgkin_huxley() {
    compare::<HodgkinHuxley>();
}

#[test]
fn wang_buzsaki() {
    compare::<WangBuzsaki>();
}

#[test]
fn traub_miles() {
    compare::<TraubMiles>();
}

#[test]
fn every_device_has_a_fused_step() {
    for (name, place) in f32_places() {
        let cells = cells::<HodgkinHuxley>(Given::Number, &place);
        let dynamics = cells.dynamics().unwrap();
        let state = cells.initial_state(1).unwrap();
        let at = Clock {
            step: 0,
            time: 0.0,
            dt: 0.05,
        };
        let next = dynamics.field.exponential_step(at, &state, None);
        assert!(next.is_some(), "{name}");
    }
}

/// Inputs that lie together, and those that are asked for one by one, for each row and for all, past the end of a series.
#[test]
fn inputs_of_many_steps_are_those_of_each() {
    use crate::model::{ConstantInput, Input, InputSeries, Span};
    use crate::simulate::Grid;

    let grid = Grid::over(1.0, 0.05).unwrap();
    for (name, place) in f32_places() {
        let cells = cells::<HodgkinHuxley>(Given::Number, &place);
        let dynamics = cells.dynamics().unwrap();
        let state = cells.initial_state(BATCH).unwrap();
        for shape in [[1, 1], [BATCH, 1], [1, CELLS], [BATCH, 2 * CELLS]] {
            let [rows, columns] = shape;
            let series = place.tensor::<3>(scattered(9 * rows * columns, 70), [9, rows, columns]);
            let constant = ConstantInput(series.clone().narrow(0, 2, 1).reshape(shape));
            let series = InputSeries(series);
            for (input, steps, together) in [
                (&series as &dyn Input, 2..7, true),
                (&series, 5..12, false),
                (&constant, 3..6, true),
            ] {
                let span = Span {
                    steps: steps.map(|step| grid.clock(step)).collect(),
                    every: 2,
                };
                assert_eq!(input.during(&span.steps).is_some(), together);
                let one_by_one = |at: Clock| input.at(at);
                let run = |input: &dyn Input| {
                    let ran = dynamics.course(&span, &state, input).unwrap().unwrap();
                    let last = ran.1.into_tensors().into_iter().map(|x| host(x).unwrap());
                    (host(ran.0).unwrap(), last.collect::<Vec<_>>())
                };
                assert_eq!(run(input), run(&one_by_one), "{name} {shape:?}");
            }
        }
    }
}
