//! Sections 1 and 2 in double precision.

use burn::tensor::Tensor;

use super::*;
use crate::model::{Clock, Field};
use crate::solver::{BackwardEuler, Euler, ExponentialEuler, Rk4};
use crate::testing::{f64_place, f64_places};
use crate::{State, testing};

/// V = −65 mV with steady gates and 10 µA/cm².
fn from_65() -> HodgkinHuxleyConfig {
    let mut config = population(&[10.0]);
    config.initial.set("v", -65.0).unwrap();
    config
}

/// V after 20 ms of it.
const AT_20: f64 = -74.643321403;

#[test]
fn the_pinned_trace_is_met_in_double_precision() {
    for (name, place) in f64_places() {
        let error = precision::pinned_error(&place);
        assert!(error <= 1e-7, "{name}: {error:e}");
    }
}

#[test]
fn steady_gates_and_rest() {
    for (_, place) in f64_places() {
        let cells = from_65().init(Arc::new(Rk4), &place).unwrap();
        let state = cells.initial_state(2).unwrap();
        let expected = [-65.0, 0.0529324853, 0.5961207535, 0.3176769141];
        for (x, expected) in state.tensors().iter().zip(expected) {
            for found in host(x.clone()).unwrap() {
                assert!((found - expected).abs() < 5e-11, "{found} {expected}");
            }
        }
        let rest = host(cells.resting_voltage().unwrap()).unwrap()[0];
        assert!((rest - -64.99638).abs() < 5e-6, "{rest}");
        // By bisection of the steady current in double precision.
        assert!((rest - -64.99637933119206).abs() < 1e-11, "{rest}");
    }
}

#[test]
fn voltages_at_the_published_instants() {
    for (name, place) in f64_places() {
        let cells = from_65().init(Arc::new(Rk4), &place).unwrap();
        let (_, v) = trace(&cells, &NoInput, 0.01, 500).unwrap();
        for (step, expected, tolerance) in [(100, -55.97508800, 1e-7), (500, -75.058205, 1e-6)] {
            let found = v[step][0];
            assert!((found - expected).abs() < tolerance, "{name}: {found}");
        }
    }
}

#[test]
fn rates_spikes_and_rheobase() {
    let rates = [
        (7.0, 58.33),
        (8.0, 62.47),
        (10.0, 68.32),
        (15.0, 78.65),
        (20.0, 86.47),
        (30.0, 98.75),
    ];
    let spikes_at_10 = [
        1.9012, 16.8227, 31.4719, 46.1091, 60.7453, 75.3816, 90.0178, 104.6540, 119.2902, 133.9264,
    ];
    for (name, place) in f64_places() {
        let mut currents = vec![2.2402, 2.2404];
        currents.extend(rates.map(|(current, _)| current));
        let cells = fire::<HodgkinHuxley>(&population(&currents), Rk4, &place, 0.025, 150.0);
        // The smallest step that gives one spike is 2.2403.
        assert_eq!(cells[0].times.len(), 0, "{name}");
        assert_eq!(cells[1].times.len(), 1, "{name}");
        for ((current, rate), cell) in rates.iter().zip(&cells[2..]) {
            let found = cell.rate_hz(150.0);
            assert!(
                (found - rate).abs() <= 0.005 + 1e-9,
                "{name}: {current}: {found}"
            );
        }
        let times = &cells[4].times;
        assert_eq!(times.len(), 11);
        for (found, expected) in times.iter().zip(spikes_at_10) {
            // 0.6e-4 is the error of a straight line over a step, 0.5e-4 the last digit given.
            assert!(
                (found - expected).abs() < 1.2e-4,
                "{name}: {found} {expected}"
            );
        }
    }
}

#[test]
fn peak_and_trough_of_the_first_spike() {
    for (name, place) in f64_places() {
        let cells = population::<HodgkinHuxley>(&[10.0]).init(Arc::new(Rk4), &place);
        let (_, v) = trace(&cells.unwrap(), &NoInput, 0.01, 1000).unwrap();
        let peak = v.iter().map(|v| v[0]).fold(f64::NEG_INFINITY, f64::max);
        let trough = v.iter().map(|v| v[0]).fold(f64::INFINITY, f64::min);
        assert!((peak - 40.264).abs() < 2e-3, "{name}: {peak}");
        assert!((trough - -75.078).abs() < 1e-3, "{name}: {trough}");
    }
}

/// The error at 20 ms for each step, the same on both backends but for rounding.
fn errors(solver: impl Solver + Clone + 'static, steps: &[f64]) -> Vec<f64> {
    let error = |dt: &f64| {
        let at = |place: &Place| {
            let v = last(&from_65(), solver.clone(), place, *dt, 20.0);
            (v[0] - AT_20).abs()
        };
        let [flex, ndarray] = f64_places().try_into().unwrap();
        let found = at(&flex.1);
        assert!((at(&ndarray.1) - found).abs() < 1e-3 * found + 1e-11);
        found
    };
    steps.iter().map(error).collect()
}

/// Asserts that errors have the two or three digits given, and that the last halving shows the order.
#[track_caller]
fn assert_table(found: &[f64], expected: &[f64], digits: f64, order: f64) {
    for (found, expected) in found.iter().zip(expected) {
        let off = (found / expected - 1.0).abs();
        assert!(off < digits, "{found:e} is not {expected:e}");
    }
    let [.., coarse, fine] = found else {
        panic!("two errors are needed")
    };
    let seen = (coarse / fine).log2();
    assert!((seen - order).abs() < 0.15, "order {seen}");
}

#[test]
fn runge_kutta_is_of_fourth_order() {
    let found = errors(Rk4, &[0.05, 0.025, 0.0125, 0.00625]);
    assert_table(&found, &[2.1e-5, 1.7e-6, 1.2e-7, 7.6e-9], 0.1, 4.0);
}

#[test]
fn forward_euler_is_of_first_order() {
    let found = errors(Euler, &[0.05, 0.025, 0.0125, 0.00625]);
    assert_table(&found, &[5.7e-2, 3.0e-2, 1.6e-2, 8.0e-3], 0.05, 1.0);
}

/// The exponential update of all variables from the old state.
#[derive(Clone, Debug)]
struct OldGates;

impl Solver for OldGates {
    fn name(&self) -> &'static str {
        "exponential Euler with the old gates"
    }

    fn order(&self) -> usize {
        1
    }

    fn step(
        &self,
        field: &dyn Field,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let mut next = state.clone();
        for (index, group) in field.groups().iter().enumerate() {
            let linear = field.linear(index, at.time, state, input);
            for (variable, linear) in group.iter().zip(linear) {
                next.replace(*variable, linear.relax(state[*variable].clone(), at.dt));
            }
        }
        Ok(next)
    }
}

#[test]
fn new_gates_make_the_exponential_scheme_second_order() {
    let found = errors(ExponentialEuler, &[0.1, 0.05, 0.025, 0.0125, 0.00625]);
    assert_table(&found[..4], &[0.132, 0.0352, 0.00893, 0.00224], 0.005, 2.0);
    let old = errors(OldGates, &[0.0125, 0.00625]);
    let ratio = old[1] / found[4];
    assert!((ratio / 144.0 - 1.0).abs() < 0.01, "{ratio}");
    assert!(((old[0] / old[1]).log2() - 1.0).abs() < 0.15, "{old:?}");
}

#[test]
fn the_semi_implicit_scheme_is_of_first_order_and_stable_at_long_steps() {
    let found = errors(BackwardEuler, &[0.0125, 0.00625]);
    let order = (found[0] / found[1]).log2();
    assert!((order - 1.0).abs() < 0.15, "{order}");
    let v = last(&from_65(), BackwardEuler, &f64_place(), 1.0, 50.0);
    assert!((-90.0..60.0).contains(&v[0]), "{v:?}");
}

#[test]
fn parameters_of_its_own_make_each_cell_a_cell_of_its_own() {
    let place = testing::f64_place();
    let values = [
        (120.0, -77.0, 10.0),
        (100.0, -80.0, 7.0),
        (140.0, -77.0, 0.0),
    ];
    let mut all = population::<HodgkinHuxley>(&values.map(|(_, _, current)| current));
    let g_na = values.map(|(g, _, _)| g).to_vec();
    all.parameters.set("g_na", g_na).unwrap();
    let e_k = values.map(|(_, e, _)| e).to_vec();
    all.parameters.set("e_k", e_k).unwrap();
    let together = last(&all, Rk4, &place, 0.025, 10.0);
    for (together, (g_na, e_k, current)) in together.into_iter().zip(values) {
        let mut one = population::<HodgkinHuxley>(&[current]);
        one.parameters.set("g_na", g_na).unwrap();
        one.parameters.set("e_k", e_k).unwrap();
        let alone = last(&one, Rk4, &place, 0.025, 10.0)[0];
        assert!((together - alone).abs() < 1e-9, "{together} {alone}");
    }
}

#[test]
fn current_comes_from_the_setting_the_input_and_the_synapses() {
    let place = f64_place();
    let expected = last(
        &population::<HodgkinHuxley>(&[10.0, 6.0]),
        Rk4,
        &place,
        0.025,
        5.0,
    );
    let with = |currents: &[f64], input: Vec<f64>| {
        let config = population::<HodgkinHuxley>(currents);
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let columns = input.len();
        let input = crate::ConstantInput(place.tensor(input, [1, columns]));
        let (_, v) = trace(&cells, &input, 0.025, 200).unwrap();
        v.last().unwrap().clone()
    };
    for found in [
        with(&[4.0, 0.0], vec![6.0]),
        with(&[0.0, 0.0], vec![10.0, 6.0]),
        with(&[0.0, 0.0], vec![4.0, 8.0, 6.0, -2.0]),
    ] {
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }
}
