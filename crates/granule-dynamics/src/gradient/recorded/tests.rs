//! Recorded steps against Burn's tape.

use burn::tensor::DType;

use super::*;
use crate::composite::MultiGranularityConfig;
use crate::differences::{assert_as_on_the_tape, nudged, slopes, trained};
use crate::gradient::{RecordedSteps, gradient, gradient_again, taped};
use crate::model::{Clock, ConstantInput, InputSeries, NoInput};
use crate::population::RateNetworkConfig;
use crate::random::NormalNoise;
use crate::solver::{Rk4, Solver, SolverKind};
use crate::system::{FitzHughNagumoConfig, Integrated, JansenRitConfig};
use crate::testing::{f64_autodiff, f64_autodiffs, host_device};
use crate::unit::{Cells, HodgkinHuxleyConfig};

fn policies() -> [Memory; 5] {
    [
        Memory::Full,
        Memory::Segments(1),
        Memory::Segments(7),
        Memory::Nested(vec![3, 4]),
        Memory::Truncated(19),
    ]
}

fn grid(dt: f64, steps: usize) -> Grid {
    Grid::Uniform {
        start: 0.0,
        dt,
        steps,
    }
}

fn loss(seen: Tensor<3>) -> Tensor<1> {
    (seen * 0.05).sin().mean()
}

/// A cell with all that can be trained in this test.
fn cell(place: &Place, solver: Arc<dyn Solver>) -> Cells {
    let mut config = HodgkinHuxleyConfig {
        current: 9.0.into(),
        ..Default::default()
    };
    config.trainable = ["g_na", "g_k", "g_l", "current"].map(String::from).to_vec();
    config.init(solver, place).unwrap()
}

fn solver(kind: SolverKind) -> Arc<dyn Solver> {
    Arc::from(kind.init(NormalNoise::new(5, 1)))
}

/// A column with noise.
fn column(
    place: &Place,
    kind: SolverKind,
) -> Integrated<crate::system::JansenRit, Arc<dyn Solver>> {
    let config = JansenRitConfig {
        nodes: 2,
        noise: 300.0.into(),
        trainable: JansenRitConfig::PARAMETERS
            .iter()
            .map(|x| (*x).into())
            .collect(),
        ..Default::default()
    };
    Integrated::new(config.init(place).unwrap(), solver(kind))
}

/// Under every policy, and whether or not fewer steps are seen than taken.
#[track_caller]
fn recorded<M: Model>(model: &M, input: &dyn Input, (dt, steps): (f64, usize), batch: usize) {
    for memory in &policies() {
        for every in [1, 3] {
            let run = Run {
                initial: None,
                batch,
                input,
                grid: &grid(dt, steps),
                every,
                memory,
            };
            let tape = assert_as_on_the_tape(model, &run, loss, 1e-10);
            assert!(tape.is_none(), "{tape:?}");
        }
    }
}

#[test]
fn a_cell_that_fires_by_every_solver() {
    let place = f64_autodiff();
    let input = ConstantInput(place.tensor(vec![-5.0, 2.0, 10.0], [3, 1]));
    for kind in SolverKind::ALL {
        recorded(&cell(&place, solver(kind)), &input, (0.02, 100), 3);
    }
    // Longer than the steps between two looks at the state, with spikes.
    let model = cell(&place, Arc::new(Rk4));
    recorded(&model, &input, (0.05, 500), 3);
}

#[test]
fn columns_with_noise_and_systems_of_two_variables() {
    let place = f64_autodiff();
    for kind in [SolverKind::EulerMaruyama, SolverKind::StochasticHeun] {
        recorded(&column(&place, kind), &NoInput, (0.5, 100), 2);
    }
    let input = InputSeries(place.tensor(
        (0..60).map(|i| (f64::from(i) * 0.3).sin()).collect(),
        [30, 1, 2],
    ));
    let config = FitzHughNagumoConfig {
        trainable: FitzHughNagumoConfig::PARAMETERS
            .iter()
            .map(|x| (*x).into())
            .collect(),
        ..Default::default()
    };
    let model = Integrated::new(config.init(&place).unwrap(), Rk4);
    recorded(&model, &input, (0.5, 40), 2);
}

#[test]
fn a_rate_network_with_noise() {
    let place = f64_autodiff();
    let config = RateNetworkConfig {
        units: 5,
        private_noise: 0.2,
        solver: SolverKind::EulerMaruyama,
        ..Default::default()
    };
    let mut network = config.init(2, 3, 7, &place).unwrap();
    network.noise = Some(NormalNoise::new(3, 3));
    let input = ConstantInput(place.tensor(vec![0.3, -0.2], [1, 2]));
    recorded(&network, &input, (20.0, 40), 2);
}

/// Cells with spikes and resets, a population and a system, with delays and every kind of coupling.
#[test]
fn levels_with_spikes_and_delays() {
    let text = r#"{"dt": 0.5, "seed": 3, "level": [
        {"name": "cells", "dt": 0.05, "unit": {"kind": "hodgkin-huxley", "cells": 3, "current": 9.0,
            "trainable": ["g_na", "current"]}},
        {"name": "fire", "unit": {"kind": "lif", "cells": 4, "current": [12.0, 14.0, 16.0, 18.0], "trainable": ["current"]}},
        {"name": "population", "inputs": 2, "population": {"units": 6, "time_constant": [10.0]}},
        {"name": "system", "solver": "rk4", "system": {"kind": "linear", "a": [[-0.05, -0.1], [0.1, -0.05]],
            "b": [[0.1], [0.0]]}}
    ], "coupler": [
        {"from": "cells.v", "to": "population", "channels": 1, "time_constant": 5.0,
            "conversion": {"kind": "voltage-to-rate"}, "projection": {"mean": {"gain": 2.0}}},
        {"from": "population.output", "to": "system", "conversion": {"kind": "rate-to-drive"},
            "projection": {"mean": {"gain": 1.5}}},
        {"from": "system.x", "to": "population", "channel": 1, "channels": 1, "delay": 1.5,
            "conversion": {"kind": "drive-to-rate"}, "projection": {"random": {"gain": 0.5, "seed": 1}}},
        {"from": "population.output", "to": "fire", "delay": 1.0, "conversion": {"kind": "rate-to-current"},
            "projection": {"random": {"gain": 1.0, "seed": 2}}}
    ], "observe": ["cells.v", "fire.v", "population.x", "system.x"]}"#;
    let config: MultiGranularityConfig = serde_json::from_str(text).unwrap();
    for place in f64_autodiffs() {
        let model = config.init(&place).unwrap();
        recorded(&model, &NoInput, (0.5, 40), 2);
    }
}

#[test]
fn a_given_initial_state_has_its_gradient() {
    let place = f64_autodiff();
    let model = cell(&place, solver(SolverKind::Heun));
    let variables = model.initial_state(2).unwrap().without_autodiff();
    for memory in &policies() {
        let run = Run {
            initial: Some(variables.clone()),
            batch: 2,
            input: &NoInput,
            grid: &grid(0.05, 60),
            every: 1,
            memory,
        };
        assert_eq!(assert_as_on_the_tape(&model, &run, loss, 1e-10), None);
        let found = gradient(&model, &run, loss).unwrap().initial;
        let largest = |x: &Tensor<2>| host(x.clone().abs().max()).unwrap()[0];
        assert!(found.tensors().iter().all(|x| largest(x) > 0.0));
    }
}

#[test]
fn single_precision_is_that_of_the_tape() {
    for name in ["flex", "ndarray"] {
        let place = Place::f32(&host_device(name).autodiff());
        let input = ConstantInput(place.tensor(vec![-5.0, 2.0, 10.0], [3, 1]));
        let model = cell(&place, Arc::new(Rk4));
        let run = Run {
            initial: None,
            batch: 3,
            input: &input,
            grid: &grid(0.05, 40),
            every: 1,
            memory: &Memory::Full,
        };
        assert_eq!(assert_as_on_the_tape(&model, &run, loss, 1e-5), None);
    }
}

/// All numbers of a gradient.
fn numbers<M: Model>(model: &M, of: Backward) -> Vec<u64> {
    let parameters = slopes(model, of.parameters);
    let initial = of.initial.into_tensors().into_iter();
    let all = initial.chain([]).map(|x| host(x).unwrap());
    let all = parameters.into_iter().map(|(_, x)| x).chain(all);
    let all = all.flatten().chain([of.loss]);
    all.map(f64::to_bits).collect()
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let place = f64_autodiff();
    let config = HodgkinHuxleyConfig {
        cells: 700,
        current: (0..700)
            .map(|i| f64::from(i) * 0.02)
            .collect::<Vec<_>>()
            .into(),
        trainable: vec!["g_na".into(), "current".into()],
        ..Default::default()
    };
    let model = config.init(Arc::new(Rk4), &place).unwrap();
    let ran = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let run = Run {
                initial: None,
                batch: 2,
                input: &NoInput,
                grid: &grid(0.05, 30),
                every: 1,
                memory: &Memory::Segments(3),
            };
            let found = gradient(&model, &run, loss).unwrap();
            assert_eq!(found.tape, None);
            numbers(&model, found)
        })
    };
    let one = ran(1);
    assert!(ran(2) == one && ran(7) == one);
}

/// Recorded steps serve models with other values, runs of other shapes and parts of a model; each gradient is the same as with
/// steps of its own.
#[test]
fn recorded_steps_are_used_again() {
    let place = f64_autodiff();
    let mut steps = RecordedSteps::default();
    let first = column(&place, SolverKind::StochasticHeun);
    let other = cell(&place, Arc::new(Rk4));
    let check = |steps: &mut RecordedSteps, batch: usize, dt: f64, change: f64| {
        let run = Run {
            initial: None,
            batch,
            input: &NoInput,
            grid: &grid(dt, 30),
            every: 1,
            memory: &Memory::Full,
        };
        let at = trained(&first)[1];
        let moved = nudged(&first, (at.0, 0), change);
        let again = gradient_again(&moved, &run, loss, steps).unwrap();
        let fresh = gradient(&moved, &run, loss).unwrap();
        assert_eq!(again.tape, None);
        assert!(numbers(&moved, again) == numbers(&moved, fresh));
        let again = gradient_again(&other, &run, loss, steps).unwrap();
        let fresh = gradient(&other, &run, loss).unwrap();
        assert!(numbers(&other, again) == numbers(&other, fresh));
    };
    for change in [0.0, 0.1, -0.2] {
        check(&mut steps, 1, 0.02, change);
        assert_eq!(steps.kept.len(), 2);
    }
    check(&mut steps, 2, 0.02, 0.3);
    assert_eq!(steps.kept.len(), 4);
    check(&mut steps, 2, 0.01, 0.3);
    check(&mut steps, 1, 0.02, 0.3);
    assert_eq!(steps.kept.len(), 6);
}

/// Of the same parameters, here none.
#[test]
fn other_numbers_beside_parameters_are_other_steps() {
    let place = f64_autodiff();
    let mut steps = RecordedSteps::default();
    for (kept, current) in [9.0, 12.0].into_iter().enumerate() {
        let config = HodgkinHuxleyConfig {
            current: current.into(),
            ..Default::default()
        };
        let model = config.init(Arc::new(Rk4), &place).unwrap();
        let run = Run {
            initial: Some(model.initial_state(1).unwrap()),
            batch: 1,
            input: &NoInput,
            grid: &grid(0.02, 30),
            every: 1,
            memory: &Memory::Full,
        };
        for _ in 0..2 {
            let again = gradient_again(&model, &run, loss, &mut steps).unwrap();
            let fresh = gradient(&model, &run, loss).unwrap();
            assert_eq!((again.tape, again.loss), (None, fresh.loss));
            assert_eq!(steps.kept.len(), kept + 1);
        }
    }
}

#[test]
fn what_goes_onto_the_tape_says_why() {
    let place = f64_autodiff();
    let model = cell(&place, Arc::new(Rk4));
    let why = |model: &Cells, input: &dyn Input, grid: &Grid| {
        let run = Run {
            initial: None,
            batch: 1,
            input,
            grid,
            every: 1,
            memory: &Memory::Full,
        };
        let found = gradient(model, &run, loss).unwrap();
        let expected = taped(model, &run, loss).unwrap();
        let why = found.tape.clone();
        assert!(numbers(model, found) == numbers(model, expected));
        why.unwrap_or_default()
    };
    let times = Grid::Times(vec![0.0, 0.02, 0.05]);
    assert!(why(&model, &NoInput, &times).contains("several lengths"));
    let some = |at: Clock| (at.step > 2).then(|| place.full(1.0, [1, 1]));
    assert!(why(&model, &some, &grid(0.02, 5)).contains("input"));
    let tracked = place.full(1.0, [1, 1]).require_grad();
    let input = ConstantInput(tracked);
    assert!(why(&model, &input, &grid(0.02, 5)).contains("input"));
    assert_eq!(place.dtype, DType::F64);
}

#[test]
fn a_run_that_blows_up_says_where() {
    let place = f64_autodiff();
    let model = cell(&place, solver(SolverKind::Euler));
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &grid(5.0, 60),
        every: 1,
        memory: &Memory::Full,
    };
    let error = gradient(&model, &run, loss).unwrap_err().to_string();
    assert_eq!(error, taped(&model, &run, loss).unwrap_err().to_string());
    assert!(error.contains("t = "), "{error}");
}
