//! Gradients against reference numbers, central differences and each other.

use super::*;
use crate::gradient::{Memory, Run, gradient};
use crate::solver::{BackwardEuler, ExponentialEuler, Rk4};
use crate::testing::{assert_close, f64_autodiff, f64_autodiffs, f64_place};
use crate::unit::channel::ConductanceConfig;
use crate::{Bounds, Values};
use burn::tensor::Tensor;

fn grid(dt: f64, steps: usize) -> Grid {
    Grid::Uniform {
        start: 0.0,
        dt,
        steps,
    }
}

/// The gradient of `loss` by the values (not by what the optimiser sees) of all trainable parameters.
fn slopes<K: CellKind>(
    config: &CellConfig<K>,
    solver: Arc<dyn Solver>,
    grid: &Grid,
    memory: &Memory,
    loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
) -> (f64, Vec<(String, Vec<f64>)>) {
    slopes_at(&f64_autodiff(), config, solver, (grid, memory), loss)
}

fn slopes_at<K: CellKind>(
    place: &Place,
    config: &CellConfig<K>,
    solver: Arc<dyn Solver>,
    (grid, memory): (&Grid, &Memory),
    loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
) -> (f64, Vec<(String, Vec<f64>)>) {
    let cells = config.init(solver, place).unwrap();
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid,
        every: 1,
        memory,
    };
    let mut result = gradient(&cells, &run, loss).unwrap();
    let slopes = config.trainable.iter().map(|name| {
        let constant = cells.parameter(name).unwrap();
        let parameter = constant.parameter().unwrap();
        let raw = result.parameters.remove::<2>(parameter.raw.id).unwrap();
        let values = parameter.values().unwrap();
        let infos = config.parameters.entries().map(|(info, _)| info);
        let mut infos =
            infos.filter(|info| matches!(info.range, Range::Positive | Range::NonNegative));
        let positive = infos.any(|info| info.name == name);
        let by_value = host(raw).unwrap().into_iter().zip(values);
        // value = exp(raw) where it is positive
        let slope = by_value.map(|(slope, value)| if positive { slope / value } else { slope });
        (name.clone(), slope.collect())
    });
    (result.loss, slopes.collect())
}

/// Reference numbers, section 2.
#[test]
fn derivatives_of_the_voltage_after_1_ms() {
    let mut config = population::<HodgkinHuxley>(&[10.0]);
    config.initial.set("v", -65.0).unwrap();
    config.trainable = ["g_na", "g_k", "g_l", "current"].map(String::from).to_vec();
    let end = |seen: Tensor<3>| seen.narrow(0, 100, 1).sum();
    for place in f64_autodiffs() {
        let run = (&grid(0.01, 100), &Memory::Full);
        let (v, found) = slopes_at(&place, &config, Arc::new(Rk4), run, end);
        assert!((v - -55.97508800).abs() < 1e-7, "{v}");
        let expected = [0.0308062, -0.1872907, 6.650376, 1.0602615];
        for ((name, found), expected) in found.iter().zip(expected) {
            let off = (found[0] / expected - 1.0).abs();
            assert!(off < 1e-5, "{name}: {} {expected}", found[0]);
        }
    }
}

/// A loss that sees the whole trace of a cell that fires.
fn whole(seen: Tensor<3>) -> Tensor<1> {
    (seen.mul_scalar(0.05).sin() + 1.0).mean()
}

/// Every parameter of a cell by central differences of fourth order.
fn check<K: CellKind>(current: f64, solver: impl Solver + Clone + 'static) {
    let mut config = population::<K>(&[current]);
    let names = config.parameters.entries().map(|(info, _)| info.name);
    let names = names.chain(["current"]);
    config.trainable = names.map(String::from).collect();
    let grid = grid(0.1, 40);
    let (_, found) = slopes(
        &config,
        Arc::new(solver.clone()),
        &grid,
        &Memory::Segments(4),
        whole,
    );
    assert_eq!(found.len(), 28);
    config.trainable.clear();
    let loss = |config: &CellConfig<K>| {
        let cells = config.init(Arc::new(solver.clone()), &f64_place()).unwrap();
        let (_, v) = trace(&cells, &NoInput, 0.1, 40).unwrap();
        v.iter().map(|v| (0.05 * v[0]).sin() + 1.0).sum::<f64>() / v.len() as f64
    };
    for (name, slope) in found {
        let at = |change: f64| {
            let mut moved = config.clone();
            let values = match name.as_str() {
                "current" => &mut moved.current,
                _ => moved.parameters.get_mut(&name).unwrap(),
            };
            let value = values.as_slice()[0];
            *values = Values::One(value + change);
            loss(&moved)
        };
        let value = match name.as_str() {
            "current" => current,
            _ => config.parameters.get(&name).unwrap().as_slice()[0],
        };
        let h = 2e-5 * value.abs().max(0.1);
        let near = (at(h) - at(-h)) / (2.0 * h);
        let far = (at(2.0 * h) - at(-2.0 * h)) / (4.0 * h);
        let expected = (4.0 * near - far) / 3.0;
        // Relative to the slope; the second term is the rounding of the differences.
        let limit = 1e-6 * expected.abs() + 1e-13 / h;
        assert!(
            (slope[0] - expected).abs() <= limit,
            "{}: {name}: {} by differences {expected}",
            K::NAME,
            slope[0]
        );
        assert!(
            expected.abs() > 1e-9 || name == "temperature_factor",
            "{}: {name} does nothing",
            K::NAME
        );
    }
}

#[test]
fn every_parameter_of_hodgkin_huxley() {
    check::<HodgkinHuxley>(15.0, ExponentialEuler);
}

#[test]
fn every_parameter_of_wang_buzsaki() {
    check::<WangBuzsaki>(8.0, BackwardEuler);
}

#[test]
fn every_parameter_of_traub_miles() {
    check::<TraubMiles>(6.0, ExponentialEuler);
}

#[test]
fn every_memory_policy_gives_one_gradient() {
    let mut config = population::<HodgkinHuxley>(&[10.0, 20.0]);
    config.trainable = ["g_na", "g_k", "e_l", "beta_n_slope"]
        .map(String::from)
        .to_vec();
    config.parameters.set("g_na", vec![120.0, 100.0]).unwrap();
    let of = |memory| slopes(&config, Arc::new(Rk4), &grid(0.05, 60), &memory, whole).1;
    let full = of(Memory::Full);
    assert_eq!(full[0].1.len(), 2);
    assert_eq!(full[1].1.len(), 1);
    for memory in [Memory::Segments(7), Memory::Nested(vec![3, 4])] {
        for ((_, a), (_, b)) in of(memory).iter().zip(&full) {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-10 * b.abs(), "{a} {b}");
            }
        }
    }
}

/// The resting voltage moves with the parameters, and its gradient with it.
#[test]
fn rest_is_differentiable() {
    let rest = |g_l: f64| {
        let mut config = HodgkinHuxleyConfig::default();
        config.parameters.set("g_l", g_l).unwrap();
        let cells = config.init(Arc::new(Rk4), &f64_place()).unwrap();
        host(cells.resting_voltage().unwrap()).unwrap()[0]
    };
    let config = HodgkinHuxleyConfig {
        trainable: vec!["g_l".into()],
        ..Default::default()
    };
    let cells = config.init(Arc::new(Rk4), &f64_autodiff()).unwrap();
    let mut gradients = cells.resting_voltage().unwrap().sum().backward();
    let raw = cells
        .parameter("g_l")
        .unwrap()
        .parameter()
        .unwrap()
        .raw
        .val();
    let slope = host(raw.grad_remove(&mut gradients).unwrap()).unwrap()[0];
    let h = 1e-4;
    assert_close(
        slope / 0.3,
        (rest(0.3 + h) - rest(0.3 - h)) / (2.0 * h),
        1e-6,
    );
}

/// An initial state that is given can be trained, and stays in its range.
#[test]
fn the_initial_state_is_trainable() {
    let mut config = population::<HodgkinHuxley>(&[5.0]);
    for (name, value) in [("v", -60.0), ("m", 0.1), ("n", 0.3)] {
        config.initial.set(name, value).unwrap();
    }
    config.trainable = vec!["v".into(), "m".into(), "n".into()];
    config
        .bounds
        .insert("v".into(), Bounds::Between(-80.0, -40.0));
    let cells = config.init(Arc::new(Rk4), &f64_autodiff()).unwrap();
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &grid(0.05, 20),
        every: 1,
        memory: &Memory::Full,
    };
    let mut result = gradient(&cells, &run, whole).unwrap();
    let loss = |voltage: f64, m: f64, n: f64| {
        let mut moved = config.clone();
        moved.trainable.clear();
        moved.initial.set("v", voltage).unwrap();
        moved.initial.set("m", m).unwrap();
        moved.initial.set("n", n).unwrap();
        let cells = moved.init(Arc::new(Rk4), &f64_place()).unwrap();
        let (_, v) = trace(&cells, &NoInput, 0.05, 20).unwrap();
        v.iter().map(|v| (0.05 * v[0]).sin() + 1.0).sum::<f64>() / v.len() as f64
    };
    let h = 1e-5;
    let (v, m, n) = (-60.0, 0.1, 0.3);
    let by_value = [
        (loss(v + h, m, n) - loss(v - h, m, n)) / (2.0 * h),
        (loss(v, m + h, n) - loss(v, m - h, n)) / (2.0 * h),
        (loss(v, m, n + h) - loss(v, m, n - h)) / (2.0 * h),
    ];
    // d value/d raw of low + (high − low)·sigmoid(raw)
    let inner = [20.0 * 20.0 / 40.0, 0.1 * 0.9, 0.3 * 0.7];
    for ((name, by_value), inner) in ["v", "m", "n"].iter().zip(by_value).zip(inner) {
        let parameter = cells.initial(name).unwrap().parameter().unwrap();
        let raw = result.parameters.remove::<2>(parameter.raw.id).unwrap();
        assert_close(host(raw).unwrap()[0], by_value * inner, 1e-7);
    }
}

/// Every parameter of a table of channels, from a state that moves.
pub(super) fn check_table(config: &ConductanceConfig, solver: impl Solver + Clone + 'static) {
    let grid = grid(0.1, 60);
    let init = |config: &ConductanceConfig, place: &Place| {
        config.init(Arc::new(solver.clone()), place).unwrap()
    };
    let infos: Vec<_> = config
        .parameters
        .entries()
        .map(|(info, x)| (*info, x.as_slice()[0]))
        .collect();
    // A constant of a composed curve may be negative, and 0 cannot be held above 0.
    let mut trained = config.clone();
    let positive = |range| matches!(range, Range::Positive | Range::NonNegative);
    let listed = infos
        .iter()
        .filter(|(info, x)| *x != 0.0 || !positive(info.range));
    trained.trainable = listed.map(|(info, _)| info.name.to_owned()).collect();
    let cells = init(&trained, &f64_autodiff());
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &grid,
        every: 1,
        memory: &Memory::Full,
    };
    let mut result = gradient(&cells, &run, whole).unwrap();
    let loss = |config: &ConductanceConfig| {
        let (_, v) = trace(&init(config, &f64_place()), &NoInput, 0.1, 60).unwrap();
        v.iter().map(|v| (0.05 * v[0]).sin() + 1.0).sum::<f64>() / v.len() as f64
    };
    for (info, value) in infos {
        let Some(parameter) = cells.parameter(info.name).unwrap().parameter() else {
            continue;
        };
        let raw = result.parameters.remove::<2>(parameter.raw.id).unwrap();
        let inner = if positive(info.range) { value } else { 1.0 };
        let slope = host(raw).unwrap()[0] / inner;
        let at = |change: f64| {
            let mut moved = config.clone();
            *moved.parameters.get_mut(info.name).unwrap() = (value + change).into();
            loss(&moved)
        };
        let h = 2e-5 * value.abs().max(0.1);
        let near = (at(h) - at(-h)) / (2.0 * h);
        let far = (at(2.0 * h) - at(-2.0 * h)) / (4.0 * h);
        let expected = (4.0 * near - far) / 3.0;
        let limit = 1e-5 * expected.abs() + 1e-12 / h;
        assert!(
            (slope - expected).abs() <= limit,
            "{}: {slope} by differences {expected}",
            info.name
        );
    }
}
