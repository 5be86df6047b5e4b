use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::Tensor;
use proptest::prelude::*;

use super::*;
use crate::gradient::{Memory, Run, gradient};
use crate::model::{ConstantInput, InputSeries, Model, NoInput};
use crate::solver::{Solver, SolverKind, Stepped};
use crate::state::host;
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_place, f64_places};
use crate::{Bounds, NormalNoise, Parameter, Place, Variable, simulate};

/// A field of one-column variables made of a function.
struct Of<F> {
    variables: Vec<Variable>,
    slope: F,
}

fn of<F: Fn(f64, &[Tensor<2>], Option<&Tensor<2>>) -> Vec<Tensor<2>>>(
    names: &[&str],
    slope: F,
) -> Of<F> {
    Of {
        variables: names
            .iter()
            .map(|name| Variable::new(*name, "1", 1))
            .collect(),
        slope,
    }
}

impl<F: Fn(f64, &[Tensor<2>], Option<&Tensor<2>>) -> Vec<Tensor<2>>> Field for Of<F> {
    fn name(&self) -> &str {
        "test"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        State::new((self.slope)(time, state.tensors(), input))
    }
}

/// du/dt = 1 + u²v − 4u, dv/dt = 3u − u²v (Hairer, Nørsett and Wanner 1993, II.0).
fn brusselator() -> impl Field {
    of(&["u", "v"], |_, x, _| {
        let (u, v) = (x[0].clone(), x[1].clone());
        let reaction = u.clone() * u.clone() * v;
        let du = reaction.clone() - u.clone().mul_scalar(4.0).sub_scalar(1.0);
        vec![du, u.mul_scalar(3.0) - reaction]
    })
}

fn state(place: &Place, values: &[f64]) -> State {
    State::new(values.iter().map(|x| place.full(*x, [1, 1])).collect())
}

fn values(state: &State) -> Vec<f64> {
    let read = |x: &Tensor<2>| host(x.clone()).unwrap();
    state.tensors().iter().flat_map(read).collect()
}

fn tolerance(method: Method, rtol: f64) -> AdaptiveConfig {
    AdaptiveConfig {
        method,
        rtol,
        atol: rtol,
        ..AdaptiveConfig::default()
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Accepted and refused steps and evaluations for each tolerance on the Brusselator up to t = 20, and how far from the
/// exact solution the end and the interpolation are.
#[test]
fn statistics_and_accuracy_on_the_brusselator() {
    for (name, place) in f64_places() {
        let start = || state(&place, &[1.5, 3.0]);
        let solve = |config: &AdaptiveConfig| {
            integrate(&brusselator(), start(), 0.0..20.0, config, &NoInput).unwrap()
        };
        let exact = solve(&tolerance(Method::Tsit5, 1e-13));
        let mut found = Vec::new();
        for method in [Method::DormandPrince, Method::Tsit5] {
            for rtol in [1e-4, 1e-6, 1e-8, 1e-10] {
                let solution = solve(&tolerance(method, rtol));
                let Statistics {
                    accepted,
                    rejected,
                    evaluations,
                } = solution.stats;
                assert_eq!(accepted + 1, solution.times.len());
                assert_eq!(evaluations, 2 + 6 * (accepted + rejected));
                found.push((accepted, rejected));
                let end = distance(&values(solution.last()), &values(exact.last()));
                let between = (0..200)
                    .map(|i| f64::from(i) * 0.1 + 0.03)
                    .map(|t| {
                        distance(
                            &values(&solution.at(t).unwrap()),
                            &values(&exact.at(t).unwrap()),
                        )
                    })
                    .fold(0.0, f64::max);
                assert!(end < 20.0 * rtol, "{method} {rtol:e}: {end:e}");
                assert!(between < 60.0 * rtol, "{method} {rtol:e}: {between:e}");
                assert!(
                    between > 1e-3 * rtol,
                    "a tolerance that is not used: {between:e}"
                );
            }
        }
        let dormand_prince = [(69, 9), (147, 13), (335, 6), (825, 0)];
        let tsit5 = [(66, 6), (139, 13), (314, 6), (778, 0)];
        assert_eq!(found[..4], dormand_prince, "{name}");
        assert_eq!(found[4..], tsit5, "{name}");
    }
}

#[test]
fn dense_output_has_order_four() {
    let place = f64_place();
    let field = of(&["x", "y"], |_, x, _| {
        vec![x[1].clone().neg(), x[0].clone()]
    });
    for method in [Method::DormandPrince, Method::Tsit5] {
        let error = |dt: f64| {
            let config = AdaptiveConfig {
                first_step: Some(dt),
                max_step: Some(dt),
                ..tolerance(method, 1e-2)
            };
            let solution = integrate(
                &field,
                state(&place, &[1.0, 0.0]),
                0.0..4.0,
                &config,
                &NoInput,
            )
            .unwrap();
            let off = |t: f64| distance(&values(&solution.at(t).unwrap()), &[t.cos(), t.sin()]);
            (0..400)
                .map(|i| off(f64::from(i) * 0.01))
                .fold(0.0, f64::max)
        };
        let order = (error(0.25) / error(0.125)).log2();
        // The error within a step falls with dt⁵.
        assert!((order - 5.0).abs() < 0.3, "{method}: {order}");
    }
}

#[test]
fn interpolation_meets_the_accepted_states() {
    let place = f64_place();
    for method in [Method::DormandPrince, Method::Tsit5] {
        let config = tolerance(method, 1e-5);
        let solution = integrate(
            &brusselator(),
            state(&place, &[1.5, 3.0]),
            0.0..3.0,
            &config,
            &NoInput,
        )
        .unwrap();
        for (time, known) in solution.times.iter().zip(&solution.states).skip(1) {
            assert_eq!(values(&solution.at(*time).unwrap()), values(known));
            let before = values(&solution.at(time - 1e-9).unwrap());
            assert!(distance(&before, &values(known)) < 1e-7);
        }
        assert!(solution.at(3.1).is_err() && solution.at(f64::NAN).is_err());
        let sparse = AdaptiveConfig {
            dense: false,
            ..config
        };
        let sparse = integrate(
            &brusselator(),
            state(&place, &[1.5, 3.0]),
            0.0..3.0,
            &sparse,
            &NoInput,
        )
        .unwrap();
        assert_eq!(sparse.times, solution.times);
        let error = sparse.at(1.234).unwrap_err().to_string();
        assert!(error.starts_with("dense"), "{error}");
    }
}

/// The worst trajectory decides: beside an easy one, the hard one takes the steps it takes alone.
#[test]
fn one_step_serves_the_batch() {
    let place = f64_place();
    let config = tolerance(Method::Tsit5, 1e-6);
    let solve = |u: Vec<f64>, v: Vec<f64>| {
        let batch = u.len();
        let start = State::new(vec![
            place.tensor(u, [batch, 1]),
            place.tensor(v, [batch, 1]),
        ]);
        integrate(&brusselator(), start, 0.0..10.0, &config, &NoInput).unwrap()
    };
    let alone = solve(vec![1.5], vec![3.0]);
    // (1, 3) is the fixed point.
    let resting = solve(vec![1.0], vec![3.0]);
    let both = solve(vec![1.5, 1.0], vec![3.0, 3.0]);
    assert!(
        resting.stats.accepted < alone.stats.accepted / 2,
        "{:?} {:?}",
        resting.stats,
        alone.stats
    );
    assert_eq!(both.stats, alone.stats);
    assert!(distance(&both.times, &alone.times) < 1e-9);
    let row = both.last()[0].clone().narrow(0, 0, 1);
    assert_close(host(row).unwrap()[0], values(alone.last())[0], 1e-9);
}

/// dx/dt = u − x: the input jumps at the stops.
fn leak() -> impl Field {
    of(&["x"], |_, x, input| {
        vec![match input {
            Some(input) => input.clone() - x[0].clone(),
            None => x[0].clone().neg(),
        }]
    })
}

#[test]
fn an_input_is_held_between_stops() {
    let place = f64_place();
    let config = AdaptiveConfig {
        stops: vec![1.0, 2.5],
        ..tolerance(Method::DormandPrince, 1e-10)
    };
    let levels = [2.0, -1.0, 0.5];
    let input = InputSeries(place.tensor(levels.to_vec(), [3, 1, 1]));
    let solution = integrate(&leak(), state(&place, &[0.0]), 0.0..4.0, &config, &input).unwrap();
    let mut exact = 0.0;
    for ((level, from), to) in levels.into_iter().zip([0.0, 1.0, 2.5]).zip([1.0, 2.5, 4.0]) {
        exact = level + (exact - level) * f64::exp(from - to);
        assert!(solution.times.contains(&to));
        assert_close(values(&solution.at(to).unwrap())[0], exact, 1e-9);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// Whatever the rate, the size and the tolerance: a leak forgets its errors, so those of the end are those of a step.
    #[test]
    fn a_leak_is_as_exact_as_asked(
        rate in 0.1..50.0_f64, size in 1e-3..1e3_f64, digits in 3..11_i32, input in -1.0..1.0_f64,
    ) {
        let place = f64_place();
        let field = of(&["x"], |_, x, input| {
            let target = input.map_or(x[0].zeros_like(), Clone::clone);
            vec![(target - x[0].clone()).mul_scalar(rate)]
        });
        let rtol = 10.0_f64.powi(-digits);
        let config = AdaptiveConfig { atol: rtol * size, ..tolerance(Method::Tsit5, rtol) };
        let input = input * size;
        let drive = ConstantInput(place.full(input, [1, 1]));
        let solution = integrate(&field, state(&place, &[size]), 0.0..1.0, &config, &drive).unwrap();
        let mut last = 0.0;
        for (time, found) in solution.times.iter().zip(&solution.states) {
            prop_assert!(*time == 0.0 || *time > last);
            last = *time;
            let exact = input + (size - input) * (-rate * time).exp();
            prop_assert!((values(found)[0] - exact).abs() < 10.0 * rtol * size);
        }
        prop_assert!(last == 1.0);
    }
}

/// A leaky integrate-and-fire unit: at x ≥ 1 back to 0.
struct Firing<F>(F);

impl<F: Field> Field for Firing<F> {
    fn name(&self) -> &str {
        "firing"
    }

    fn variables(&self) -> &[Variable] {
        self.0.variables()
    }

    fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        self.0.derivative(time, state, input)
    }

    fn after_step(&self, _time: f64, _before: &State, after: State) -> State {
        after.map(|x| {
            let fired = x.clone().greater_equal_elem(1.0);
            x.mask_fill(fired, 0.0)
        })
    }
}

fn replay(solution: &Solution, field: impl Field, method: Method, input: &dyn Input) -> Vec<State> {
    let dynamics = Stepped {
        field,
        solver: method.fixed(),
    };
    let mut states = Vec::new();
    let initial = solution.states[0].clone();
    let held = solution.held(input);
    simulate(
        &dynamics,
        initial,
        &held,
        &solution.grid(),
        |_, _, state| {
            states.push(state.clone());
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    states
}

#[test]
fn accepted_steps_settle_and_a_replay_repeats_them() {
    let place = f64_place();
    let input = InputSeries(place.tensor(vec![1.5, 3.0], [2, 1, 1]));
    for method in [Method::DormandPrince, Method::Tsit5] {
        let config = AdaptiveConfig {
            stops: vec![4.0],
            max_step: Some(0.05),
            ..tolerance(method, 1e-6)
        };
        let field = || Firing(leak());
        let solution =
            integrate(&field(), state(&place, &[0.0]), 0.0..8.0, &config, &input).unwrap();
        let x: Vec<f64> = solution.states.iter().map(|s| values(s)[0]).collect();
        assert!(x.iter().all(|x| *x < 1.0));
        let resets = x.windows(2).filter(|pair| pair[1] == 0.0).count();
        // Intervals of ln 3 ≈ 1.1 and of ln 1.5 ≈ 0.41, each longer by up to a step.
        assert!((3 + 8..=3 + 9).contains(&resets), "{resets}");
        // One more evaluation after every reset.
        let Statistics {
            accepted,
            rejected,
            evaluations,
        } = solution.stats;
        assert_eq!(evaluations, 3 + 6 * (accepted + rejected) + resets);
        for (again, known) in replay(&solution, field(), method, &input)
            .iter()
            .zip(&solution.states)
        {
            assert!(distance(&values(again), &values(known)) < 1e-14);
        }
    }
}

#[test]
fn single_precision_keeps_the_tolerance() {
    for (name, place) in f32_places() {
        let field = of(&["x", "y"], |_, x, _| {
            vec![x[1].clone().neg(), x[0].clone()]
        });
        let config = tolerance(Method::Tsit5, 1e-4);
        let solution = integrate(
            &field,
            state(&place, &[1.0, 0.0]),
            0.0..2.0,
            &config,
            &NoInput,
        )
        .unwrap();
        let off = distance(&values(solution.last()), &[2.0_f64.cos(), 2.0_f64.sin()]);
        assert!(off < 2e-4, "{name}: {off:e}");
        let off = distance(
            &values(&solution.at(1.1).unwrap()),
            &[1.1_f64.cos(), 1.1_f64.sin()],
        );
        assert!(off < 2e-4, "{name}: {off:e}");
        assert_eq!(solution.stats.rejected, 0, "{name}");
    }
}

fn fail(field: &dyn Field, start: &[f64], end: f64, config: &AdaptiveConfig) -> DynamicsError {
    integrate(
        field,
        state(&f64_place(), start),
        0.0..end,
        config,
        &NoInput,
    )
    .unwrap_err()
}

/// dx/dt = x² reaches infinity at t = 1/x₀.
#[test]
fn a_blow_up_is_found_where_it_happens() {
    let place = f64_place();
    let field = of(&["calm", "wild"], |_, x, _| {
        vec![x[0].clone().neg(), x[1].clone() * x[1].clone()]
    });
    let config = tolerance(Method::Tsit5, 1e-8);
    let start = State::new(vec![
        place.full(1.0, [3, 1]),
        place.tensor(vec![0.1, 0.1, 1.0], [3, 1]),
    ]);
    let error = integrate(&field, start, 0.0..2.0, &config, &NoInput).unwrap_err();
    let DynamicsError::StepTooSmall {
        time,
        dt,
        variable,
        batch,
        unit,
    } = &error
    else {
        panic!("{error}")
    };
    assert_close(*time, 1.0, 1e-6);
    assert!(*dt < 1e-14, "{error}");
    assert_eq!((variable.as_str(), *batch, *unit), ("wild", 2, 0));
}

/// λ = −10⁴ needs steps of 3·10⁻⁴ with an explicit method, whatever the tolerance.
#[test]
fn a_stiff_component_is_named_when_the_steps_run_out() {
    let field = of(&["slow", "stiff"], |_, x, _| {
        vec![
            x[0].clone().neg(),
            (x[0].clone() - x[1].clone()).mul_scalar(1e4),
        ]
    });
    let config = AdaptiveConfig {
        max_steps: 200,
        ..tolerance(Method::DormandPrince, 1e-4)
    };
    let error = fail(&field, &[1.0, 0.0], 10.0, &config);
    let DynamicsError::TooManySteps {
        steps,
        time,
        variable,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*steps, variable.as_str()), (200, "stiff"));
    assert!(*time > 0.0 && *time < 0.2, "{error}");
    let coarse = AdaptiveConfig {
        min_step: 0.01,
        ..config
    };
    let error = fail(&field, &[1.0, 0.0], 10.0, &coarse);
    let DynamicsError::StepTooSmall { dt, variable, .. } = &error else {
        panic!("{error}")
    };
    assert!(*dt < 0.01 && variable == "stiff", "{error}");
}

#[test]
fn a_field_that_is_not_a_number_is_named() {
    let config = tolerance(Method::Tsit5, 1e-6);
    let broken = |since: f64| {
        of(&["x", "y"], move |time, x, _| {
            let y = if time > since { f64::NAN } else { 1.0 };
            vec![x[0].clone().neg(), x[1].full_like(y)]
        })
    };
    for since in [-1.0, 0.5] {
        let error = fail(&broken(since), &[1.0, 0.0], 2.0, &config);
        let DynamicsError::NonFinite { time, variable, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(variable, "y");
        assert_close(*time, since.max(0.0), 1e-9);
    }
    let error = fail(&brusselator(), &[1.0, f64::INFINITY], 2.0, &config);
    assert!(matches!(error, DynamicsError::NonFinite { .. }), "{error}");
}

#[test]
fn settings_out_of_range_are_named() {
    let good = AdaptiveConfig::default;
    let wrong = [
        (
            "rtol",
            AdaptiveConfig {
                rtol: -1.0,
                ..good()
            },
        ),
        (
            "rtol",
            AdaptiveConfig {
                rtol: 0.0,
                atol: 0.0,
                ..good()
            },
        ),
        (
            "atol",
            AdaptiveConfig {
                atol: f64::NAN,
                ..good()
            },
        ),
        (
            "first_step",
            AdaptiveConfig {
                first_step: Some(0.0),
                ..good()
            },
        ),
        (
            "min_step",
            AdaptiveConfig {
                min_step: -0.1,
                ..good()
            },
        ),
        (
            "max_step",
            AdaptiveConfig {
                max_step: Some(0.1),
                min_step: 0.2,
                ..good()
            },
        ),
        (
            "max_steps",
            AdaptiveConfig {
                max_steps: 0,
                ..good()
            },
        ),
        (
            "stops",
            AdaptiveConfig {
                stops: vec![1.0, 1.0],
                ..good()
            },
        ),
        (
            "stops",
            AdaptiveConfig {
                stops: vec![2.0],
                ..good()
            },
        ),
    ];
    for (name, config) in wrong {
        let error = fail(&leak(), &[1.0], 2.0, &config);
        assert!(error.to_string().starts_with(name), "{name}: {error}");
    }
    let error = fail(&leak(), &[1.0], 0.0, &good());
    assert!(error.to_string().starts_with("span"), "{error}");
    let error = fail(&leak(), &[1.0, 2.0], 1.0, &good());
    assert!(matches!(error, DynamicsError::Shape { .. }), "{error}");
    let text = r#"{"method": "dormand-prince", "pid": {"integral": 1.0}, "rtol": 1e-3}"#;
    let config: AdaptiveConfig = serde_json::from_str(text).unwrap();
    assert_eq!(
        (config.method, config.pid.integral),
        (Method::DormandPrince, 1.0)
    );
    assert!(serde_json::from_str::<AdaptiveConfig>(r#"{"rtoll": 1e-3}"#).is_err());
}

/// The field of Van der Pol's oscillator with trainable damping.
#[derive(Module, Debug)]
struct Oscillator {
    damping: Parameter,
    start: Parameter,
    #[module(skip)]
    kind: SolverKind,
}

struct OscillatorField {
    variables: Vec<Variable>,
    damping: Tensor<2>,
}

impl Field for OscillatorField {
    fn name(&self) -> &str {
        "oscillator"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, _input: Option<&Tensor<2>>) -> State {
        let (x, y) = (state[0].clone(), state[1].clone());
        let slope =
            self.damping.clone() * (x.clone() * x.clone()).neg().add_scalar(1.0) * y.clone();
        State::new(vec![y, slope - x])
    }
}

impl Oscillator {
    fn new([damping, start]: [f64; 2], place: &Place) -> Self {
        let one = |name, value| Parameter::trainable(name, &[value], Bounds::Free, place).unwrap();
        Self {
            damping: one("damping", damping),
            start: one("start", start),
            kind: SolverKind::Tsit5,
        }
    }
}

impl Model for Oscillator {
    type Dynamics = Stepped<OscillatorField, Box<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: OscillatorField {
                variables: vec![Variable::new("x", "1", 1), Variable::new("y", "1", 1)],
                damping: self.damping.value(),
            },
            solver: self.kind.init(NormalNoise::default()),
        })
    }

    fn initial_state(&self, _batch: usize) -> Result<State, DynamicsError> {
        let x = self.start.value();
        Ok(State::new(vec![x.clone(), x.zeros_like()]))
    }
}

#[test]
fn the_gradient_is_that_of_the_accepted_steps() {
    let place = f64_autodiff();
    let at = [1.3, 2.0];
    let model = Oscillator::new(at, &place);
    let solve = |model: &Oscillator, rtol: f64| {
        let plain = model.clone().valid();
        let start = plain.initial_state(1).unwrap().without_autodiff();
        let config = tolerance(Method::Tsit5, rtol);
        integrate(
            &plain.dynamics().unwrap().field,
            start,
            0.0..5.0,
            &config,
            &NoInput,
        )
        .unwrap()
    };
    let solution = solve(&model, 1e-6);
    let grid = solution.grid();
    let run = |model: &Oscillator, memory: &Memory| {
        let run = Run {
            initial: None,
            batch: 1,
            input: &NoInput,
            grid: &grid,
            every: grid.steps(),
            memory,
        };
        let end = |seen: Tensor<3>| seen.narrow(0, 1, 1).sum();
        let mut result = gradient(model, &run, end).unwrap();
        let slopes = [&model.damping, &model.start]
            .map(|p| host(result.parameters.remove::<2>(p.raw.id).unwrap()).unwrap()[0]);
        (result.loss, slopes)
    };
    let (end, slopes) = run(&model, &Memory::Full);
    assert_close(end, values(solution.last())[0], 1e-13);
    for (a, b) in run(&model, &Memory::Segments(4)).1.into_iter().zip(slopes) {
        assert_close(a, b, 1e-12);
    }
    for (i, slope) in slopes.into_iter().enumerate() {
        let moved = |sign: f64| {
            let mut at = at;
            at[i] += sign * 1e-5;
            Oscillator::new(at, &place)
        };
        let frozen = [1.0, -1.0].map(|sign| run(&moved(sign), &Memory::Full).0);
        let expected = (frozen[0] - frozen[1]) / 2e-5;
        assert!(
            (slope - expected).abs() < 1e-8 * expected.abs().max(0.1),
            "{slope} {expected}"
        );
        // Near that of the exact solution, as the tolerance has it.
        let exact = [1.0, -1.0].map(|sign| values(solve(&moved(sign), 1e-12).last())[0]);
        let exact = (exact[0] - exact[1]) / 2e-5;
        assert!(
            (slope - exact).abs() < 1e-3 * exact.abs().max(0.1),
            "{slope} {exact}"
        );
    }
}

#[test]
fn an_empty_batch_is_integrated() {
    let start = State::new(vec![f64_place().full(0.0, [0, 1])]);
    let config = AdaptiveConfig::default();
    let solution = integrate(&leak(), start, 0.0..1.0, &config, &NoInput).unwrap();
    assert_eq!(solution.last()[0].dims(), [0, 1]);
}

#[test]
fn noise_is_refused() {
    struct Noisy<F>(F);
    impl<F: Field> Field for Noisy<F> {
        fn name(&self) -> &str {
            "noisy"
        }
        fn variables(&self) -> &[Variable] {
            self.0.variables()
        }
        fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
            self.0.derivative(time, state, input)
        }
        fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
            Some(state.clone())
        }
    }
    let error = fail(&Noisy(leak()), &[1.0], 1.0, &AdaptiveConfig::default());
    assert!(error.to_string().contains("euler-maruyama"), "{error}");
}
