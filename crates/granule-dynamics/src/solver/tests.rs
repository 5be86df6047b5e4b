//! What holds for every solver, against `REFERENCE.md`, section 4.

use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::Tensor;

use super::*;
use crate::gradient::{Memory, Run, gradient};
use crate::model::{ConstantInput, Input, Linear, Model, NoInput};
use crate::state::host;
use crate::testing::{
    assert_close, f32_places, f64_autodiff, f64_autodiffs, f64_place, f64_places,
};
use crate::{Bounds, Grid, NormalNoise, Parameter, Place, simulate};

/// τ dx/dt = −x + Wx + u, a linear rate network; its linear form keeps the recurrent part in the drive.
struct Network {
    variables: Vec<Variable>,
    groups: Vec<Vec<usize>>,
    tau: f64,
    /// Wᵀ
    weights: Tensor<2>,
}

impl Network {
    /// Two units that rotate: x(t) = e^{−t/τ}(cos t/τ, sin t/τ) from (1, 0).
    fn rotation(tau: f64, place: &Place) -> Self {
        Self {
            variables: vec![Variable::new("x", "1", 2)],
            groups: vec![vec![0]],
            tau,
            weights: place.tensor(vec![0.0, 1.0, -1.0, 0.0], [2, 2]),
        }
    }

    fn drive(&self, state: &State, input: Option<&Tensor<2>>) -> Tensor<2> {
        let drive = state[0].clone().matmul(self.weights.clone());
        match input {
            Some(input) => drive + input.clone(),
            None => drive,
        }
    }
}

impl Field for Network {
    fn name(&self) -> &str {
        "network"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let x = (self.drive(state, input) - state[0].clone()).div_scalar(self.tau);
        State::new(vec![x])
    }

    fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    fn linear(
        &self,
        _group: usize,
        _time: f64,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        let place = Place::of(&state[0]);
        vec![Linear {
            decay: place.full(1.0 / self.tau, [1, 1]),
            drive: self.drive(state, input).div_scalar(self.tau),
        }]
    }
}

fn last<F: Field>(
    field: F,
    kind: SolverKind,
    start: &State,
    input: &dyn Input,
    grid: &Grid,
) -> State {
    let dynamics = Stepped {
        field,
        solver: kind.init(NormalNoise::new(1, 0)),
    };
    let observer = |_, _, _: &State| ControlFlow::Continue(());
    simulate(&dynamics, start.clone(), input, grid, observer).unwrap()
}

fn uniform(dt: f64, steps: usize) -> Grid {
    Grid::Uniform {
        start: 0.0,
        dt,
        steps,
    }
}

/// log₂ of the factor by which the error falls when the step is halved, for two halvings.
fn orders(error: impl Fn(usize) -> f64, steps: [usize; 3]) -> [f64; 2] {
    let [a, b, c] = steps.map(error);
    [(a / b).log2(), (b / c).log2()]
}

#[test]
fn every_method_has_its_order_on_a_linear_network() {
    let tau = 10.0;
    for (name, place) in f64_places() {
        let start = State::new(vec![place.tensor(vec![1.0, 0.0], [1, 2])]);
        for kind in SolverKind::ALL {
            let error = |per_tau: usize| {
                let grid = uniform(tau / per_tau as f64, 4 * per_tau);
                let field = Network::rotation(tau, &place);
                let x = host(last(field, kind, &start, &NoInput, &grid)[0].clone()).unwrap();
                let scale = (-4.0_f64).exp();
                (x[0] - scale * 4.0_f64.cos()).abs() + (x[1] - scale * 4.0_f64.sin()).abs()
            };
            let order = kind.init(NormalNoise::default()).order() as f64;
            let found = orders(error, [16, 32, 64]);
            // The fifth power of the steps is this small only for the finer ones.
            let relevant = if order == 5.0 {
                &found[1..]
            } else {
                &found[..]
            };
            for found in relevant {
                assert!(
                    (found - order).abs() < 0.15,
                    "{kind} on {name}: order {found}"
                );
            }
        }
    }
}

/// dx/dt = ½(1 + x²)cos t from 0: x = tan(½ sin t). Nonlinear, and with the time in it.
struct Swing(Vec<Variable>);

impl Field for Swing {
    fn name(&self) -> &str {
        "swing"
    }

    fn variables(&self) -> &[Variable] {
        &self.0
    }

    fn derivative(&self, time: f64, state: &State, _input: Option<&Tensor<2>>) -> State {
        let slope = |x: Tensor<2>| (x.clone() * x).add_scalar(1.0).mul_scalar(0.5 * time.cos());
        state.clone().map(slope)
    }
}

#[test]
fn every_explicit_method_has_its_order_on_a_nonlinear_field() {
    for (name, place) in f64_places() {
        for kind in SolverKind::ALL {
            if matches!(
                kind,
                SolverKind::ExponentialEuler | SolverKind::BackwardEuler
            ) {
                continue;
            }
            let mean_error = |steps: usize| {
                let dynamics = Stepped {
                    field: Swing(vec![Variable::new("x", "1", 1)]),
                    solver: kind.init(NormalNoise::default()),
                };
                let start = State::new(vec![place.full(0.0, [1, 1])]);
                let grid = uniform(1.0 / steps as f64, steps);
                let mut sum = 0.0;
                simulate(&dynamics, start, &NoInput, &grid, |_, time, state| {
                    let x = host(state[0].clone()).unwrap()[0];
                    sum += (x - (0.5 * time.sin()).tan()).abs();
                    ControlFlow::Continue(())
                })
                .unwrap();
                sum / steps as f64
            };
            let order = kind.init(NormalNoise::default()).order() as f64;
            for found in orders(mean_error, [16, 32, 64]) {
                assert!(
                    (found - order).abs() < 0.15,
                    "{kind} on {name}: order {found}"
                );
            }
        }
    }
}

#[test]
fn one_time_constant_of_rotation() {
    let place = f64_place();
    let start = State::new(vec![place.tensor(vec![1.0, 0.0], [1, 2])]);
    for kind in [SolverKind::DormandPrince, SolverKind::Tsit5] {
        let field = Network::rotation(10.0, &place);
        let x = last(field, kind, &start, &NoInput, &uniform(0.1, 100));
        let x = host(x[0].clone()).unwrap();
        assert_close(x[0], 0.198766110346, 1e-12);
        assert_close(x[1], 0.309559875653, 1e-12);
    }
}

#[test]
fn exponential_euler_is_exact_for_a_diagonal_system_at_any_step() {
    let tau = 7.0;
    for (name, place) in f64_places() {
        for dt in [1e-3, 0.3, 7.0, 1e4] {
            let field = Network {
                weights: place.tensor(vec![0.0; 4], [2, 2]),
                ..Network::rotation(tau, &place)
            };
            let start = State::new(vec![place.tensor(vec![5.0, -3.0], [1, 2])]);
            let input = ConstantInput(place.tensor(vec![2.0, 0.5], [1, 2]));
            let grid = uniform(dt, 3);
            let x = last(field, SolverKind::ExponentialEuler, &start, &input, &grid);
            let x = host(x[0].clone()).unwrap();
            let decay = (-3.0 * dt / tau).exp();
            for (found, (x0, u)) in x.into_iter().zip([(5.0, 2.0), (-3.0, 0.5)]) {
                let exact: f64 = u + (x0 - u) * decay;
                assert!(
                    (found - exact).abs() < 2e-14,
                    "{name}, dt {dt}: {found} {exact}"
                );
            }
        }
    }
}

/// Two coupled groups with noise: τ dv/dt = −v + g·m, dm/dt = (1 − m)·a(v) − m with a = σ(v), noise amplitude s·v.
#[derive(Module, Debug)]
struct Cell {
    tau: Parameter,
    gain: Parameter,
    start: Parameter,
    #[module(skip)]
    kind: SolverKind,
}

struct CellField {
    variables: Vec<Variable>,
    groups: Vec<Vec<usize>>,
    tau: Tensor<2>,
    gain: Tensor<2>,
}

impl CellField {
    fn rate(v: &Tensor<2>) -> Tensor<2> {
        burn::tensor::activation::sigmoid(v.clone())
    }
}

impl Field for CellField {
    fn name(&self) -> &str {
        "cell"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, _input: Option<&Tensor<2>>) -> State {
        let (v, m) = (&state[0], &state[1]);
        let dv = (self.gain.clone() * m.clone() - v.clone()) / self.tau.clone();
        let rate = Self::rate(v);
        let dm = rate.clone() - m.clone() * rate.add_scalar(1.0);
        State::new(vec![dv, dm])
    }

    fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    fn linear(
        &self,
        group: usize,
        _time: f64,
        state: &State,
        _input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        vec![match group {
            0 => Linear {
                decay: Self::rate(&state[0]).add_scalar(1.0),
                drive: Self::rate(&state[0]),
            },
            _ => Linear {
                decay: self.tau.clone().recip(),
                drive: self.gain.clone() * state[1].clone() / self.tau.clone(),
            },
        }]
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        let amplitude = self.gain.clone().mul_scalar(0.1) * state[0].clone();
        Some(State::new(vec![amplitude, state[1].zeros_like()]))
    }
}

impl Cell {
    fn new(kind: SolverKind, [tau, gain, start]: [f64; 3], place: &Place) -> Self {
        let one =
            |name, value, bounds| Parameter::trainable(name, &[value], bounds, place).unwrap();
        Self {
            tau: one("tau", tau, Bounds::Free),
            gain: one("gain", gain, Bounds::Free),
            start: one("start", start, Bounds::Free),
            kind,
        }
    }
}

impl Model for Cell {
    type Dynamics = Stepped<CellField, Box<dyn Solver>>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        let field = CellField {
            variables: vec![Variable::new("v", "mV", 1), Variable::new("m", "1", 1)],
            groups: vec![vec![1], vec![0]],
            tau: self.tau.value(),
            gain: self.gain.value(),
        };
        let solver = self.kind.init(NormalNoise::new(3, 1));
        Ok(Stepped { field, solver })
    }

    fn initial_state(&self, _batch: usize) -> Result<State, DynamicsError> {
        let v = self.start.value();
        let m = v.zeros_like().add_scalar(0.2);
        Ok(State::new(vec![v, m]))
    }
}

fn loss_and_gradient(model: &Cell, dt: f64, steps: usize) -> (f64, [f64; 3]) {
    let run = Run {
        initial: None,
        batch: 1,
        input: &NoInput,
        grid: &uniform(dt, steps),
        every: steps,
        memory: &Memory::Segments(3),
    };
    let end = |seen: Tensor<3>| seen.narrow(0, 1, 1).sum();
    let mut result = gradient(model, &run, end).unwrap();
    let slopes = [&model.tau, &model.gain, &model.start]
        .map(|p| host(result.parameters.remove::<2>(p.raw.id).unwrap()).unwrap()[0]);
    (result.loss, slopes)
}

#[test]
fn gradients_through_every_method_agree_with_central_differences() {
    let place = f64_autodiff();
    let values = [2.0, 1.5, 0.7];
    for kind in SolverKind::ALL {
        let (_, slopes) = loss_and_gradient(&Cell::new(kind, values, &place), 0.25, 8);
        for (i, slope) in slopes.into_iter().enumerate() {
            let h = 1e-5;
            let loss = |sign: f64| {
                let mut values = values;
                values[i] += sign * h;
                loss_and_gradient(&Cell::new(kind, values, &place), 0.25, 8).0
            };
            let expected = (loss(1.0) - loss(-1.0)) / (2.0 * h);
            assert!(
                (slope - expected).abs() < 1e-8 * expected.abs().max(0.1),
                "{kind}, parameter {i}: {slope} {expected}"
            );
        }
    }
}

/// τ dx/dt = −x + b for T = 20 in 20 steps, in 3 and in 1.
#[test]
fn exponential_euler_gives_the_exact_gradient_of_a_leak() {
    let cases = f64_autodiffs().into_iter();
    for (place, steps) in cases.flat_map(|place| [20, 3, 1].map(|steps| (place.clone(), steps))) {
        let leaf = |value: f64| place.full::<2>(value, [1, 1]).require_grad();
        let (tau, b, start) = (leaf(10.0), leaf(0.3), leaf(1.0));
        let decay = tau.clone().recip();
        let linear = Linear {
            drive: b.clone() * decay.clone(),
            decay,
        };
        let dt = 20.0 / f64::from(steps);
        let x = (0..steps).fold(start.clone(), |x, _| linear.relax(x, dt));
        assert_close(host(x.clone()).unwrap()[0], 0.394734698266, 1e-12);
        let mut gradients = x.sum().backward();
        let exact = [0.018946939653, 0.864664716763, 0.135335283237];
        for (leaf, exact) in [&tau, &b, &start].into_iter().zip(exact) {
            let slope = leaf.grad_remove(&mut gradients).unwrap();
            assert_close(host(slope).unwrap()[0], exact, 1e-11);
        }
    }
}

#[test]
fn single_precision_agrees_on_every_device() {
    let run = |kind: SolverKind, place: &Place| {
        let start = State::new(vec![place.tensor(vec![1.0, 0.0, 0.5, -0.5], [2, 2])]);
        let field = Network::rotation(1.0, place);
        host(last(field, kind, &start, &NoInput, &uniform(0.125, 4))[0].clone()).unwrap()
    };
    for (name, place) in f32_places() {
        for kind in SolverKind::ALL {
            let exact = run(kind, &f64_place());
            for (a, b) in run(kind, &place).into_iter().zip(exact) {
                assert!((a - b).abs() < 1e-6, "{kind} on {name}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_field_without_linear_form_is_told_what_to_use() {
    struct Plain(Network);
    impl Field for Plain {
        fn name(&self) -> &str {
            "plain"
        }
        fn variables(&self) -> &[Variable] {
            self.0.variables()
        }
        fn derivative(&self, time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
            self.0.derivative(time, state, input)
        }
    }
    let place = f64_place();
    let field = Plain(Network::rotation(1.0, &place));
    let state = State::new(vec![place.full(0.0, [1, 2])]);
    let at = uniform(0.1, 1).clock(0);
    for kind in [SolverKind::ExponentialEuler, SolverKind::BackwardEuler] {
        let solver = kind.init(NormalNoise::default());
        let error = solver.step(&field, at, &state, None).unwrap_err();
        let DynamicsError::Unsupported { solver, model, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((solver.as_str(), model.as_str()), (kind.name(), "plain"));
    }
    let short = Network {
        groups: vec![vec![0, 0]],
        ..field.0
    };
    let error = ExponentialEuler.step(&short, at, &state, None).unwrap_err();
    assert!(matches!(error, DynamicsError::Shape { .. }), "{error}");
}

/// Section 1's scheme by hand: the gate exponentially at the old voltage, then the voltage implicitly with the new gate.
#[test]
fn backward_euler_updates_gates_exponentially_and_the_voltage_implicitly() {
    let place = f64_place();
    let field = || CellField {
        variables: vec![Variable::new("v", "mV", 1), Variable::new("m", "1", 1)],
        groups: vec![vec![1], vec![0]],
        tau: place.full(2.0, [1, 1]),
        gain: place.full(1.5, [1, 1]),
    };
    let start = State::new(vec![place.full(0.7, [1, 1]), place.full(0.2, [1, 1])]);
    let (v, m, dt) = (0.7_f64, 0.2, 0.5);
    let rate = 1.0 / (1.0 + (-v).exp());
    let settled = rate / (1.0 + rate);
    let m = settled + (m - settled) * (-dt * (1.0 + rate)).exp();
    let implicit = (v + dt * 1.5 * m / 2.0) / (1.0 + dt / 2.0);
    let exact = 1.5 * m + (v - 1.5 * m) * (-dt / 2.0_f64).exp();
    for (kind, v) in [
        (SolverKind::BackwardEuler, implicit),
        (SolverKind::ExponentialEuler, exact),
    ] {
        let next = last(field(), kind, &start, &NoInput, &uniform(dt, 1));
        assert_close(host(next[0].clone()).unwrap()[0], v, 1e-14);
        assert_close(host(next[1].clone()).unwrap()[0], m, 1e-14);
    }
}

/// dx = μ x dt + σ x dW, in either sense.
struct Growth {
    variables: Vec<Variable>,
    drift: f64,
    noise: f64,
}

impl Growth {
    fn new(drift: f64, noise: f64) -> Self {
        Self {
            variables: vec![Variable::new("x", "1", 1)],
            drift,
            noise,
        }
    }
}

impl Field for Growth {
    fn name(&self) -> &str {
        "growth"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, _input: Option<&Tensor<2>>) -> State {
        state.clone().map(|x| x.mul_scalar(self.drift))
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        Some(state.clone().map(|x| x.mul_scalar(self.noise)))
    }
}

/// Strong and weak error at T = 1 of geometric Brownian motion: the mean of |x − exact| and of x − exact over the paths,
/// where the exact solution takes the same Wiener process.
fn growth_errors(kind: SolverKind, steps: usize) -> (f64, f64) {
    const PATHS: usize = 20_000;
    let (drift, noise) = (1.0, 0.8);
    let place = f64_place();
    let dt = 1.0 / steps as f64;
    let start = State::new(vec![place.full(1.0, [PATHS, 1])]);
    let field = Growth::new(drift, noise);
    let x = last(field, kind, &start, &NoInput, &uniform(dt, steps));
    let mut wiener = vec![0.0; PATHS];
    for step in 0..steps {
        let values = NormalNoise::new(1, 0).values(step, PATHS);
        for (w, value) in wiener.iter_mut().zip(values) {
            *w += dt.sqrt() * value;
        }
    }
    let correction = match kind {
        SolverKind::EulerMaruyama => -0.5 * noise * noise,
        _ => 0.0,
    };
    let (mut strong, mut weak) = (0.0, 0.0);
    for (x, w) in host(x[0].clone()).unwrap().into_iter().zip(wiener) {
        let error = x - (drift + correction + noise * w).exp();
        strong += error.abs() / PATHS as f64;
        weak += error / PATHS as f64;
    }
    (strong, weak.abs())
}

#[test]
fn stochastic_methods_have_their_strong_and_weak_orders() {
    for (kind, strong, weak) in [
        (SolverKind::EulerMaruyama, 0.5, 1.0),
        (SolverKind::StochasticHeun, 1.0, 1.0),
    ] {
        let coarse = growth_errors(kind, 16);
        let fine = growth_errors(kind, 64);
        let found = (
            (coarse.0 / fine.0).log2() / 2.0,
            (coarse.1 / fine.1).log2() / 2.0,
        );
        assert!((found.0 - strong).abs() < 0.15, "{kind}: strong {found:?}");
        assert!((found.1 - weak).abs() < 0.15, "{kind}: weak {found:?}");
    }
}

/// dx = −x/τ dt + σ√(2/τ) dW, which Euler–Maruyama steps as x ← (1 − α)x + √(2α)σξ with α = dt/τ.
struct Relaxation {
    variables: Vec<Variable>,
    sigma: f64,
}

impl Field for Relaxation {
    fn name(&self) -> &str {
        "relaxation"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, _input: Option<&Tensor<2>>) -> State {
        state.clone().map(Tensor::neg)
    }

    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        let amplitude = self.sigma * 2.0_f64.sqrt();
        Some(state.clone().map(|x| x.full_like(amplitude)))
    }
}

#[test]
fn noise_has_its_stationary_variance() {
    let place = f64_place();
    let (sigma, width) = (0.7, 10);
    for (kind, alpha) in [
        (SolverKind::EulerMaruyama, 0.5),
        (SolverKind::EulerMaruyama, 0.1),
        (SolverKind::StochasticHeun, 0.5),
    ] {
        let dynamics = Stepped {
            field: Relaxation {
                variables: vec![
                    Variable::new("x", "1", width),
                    Variable::new("y", "1", width),
                ],
                sigma,
            },
            solver: kind.init(NormalNoise::new(5, 2)),
        };
        let zeros = || place.full(0.0, [500, width]);
        let start = State::new(vec![zeros(), zeros()]);
        let warm = (8.0 / alpha) as usize;
        let steps = warm + (40.0 / alpha) as usize;
        let (mut squares, mut products, mut count) = (0.0, 0.0, 0.0);
        simulate(
            &dynamics,
            start,
            &NoInput,
            &uniform(alpha, steps),
            |step, _, state| {
                if step > warm {
                    let x = host(state[0].clone()).unwrap();
                    let y = host(state[1].clone()).unwrap();
                    squares += x.iter().map(|x| x * x).sum::<f64>();
                    products += x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                    count += x.len() as f64;
                }
                ControlFlow::Continue(())
            },
        )
        .unwrap();
        // Heun multiplies by 1 − α + α²/2 and its noise by 1 − α/2.
        let expected = match kind {
            SolverKind::EulerMaruyama => sigma * sigma / (1.0 - alpha / 2.0),
            _ => {
                let (keep, kick) = (1.0 - alpha + alpha * alpha / 2.0, 1.0 - alpha / 2.0);
                2.0 * alpha * sigma * sigma * kick * kick / (1.0 - keep * keep)
            }
        };
        assert_close(squares / count / expected, 1.0, 0.01);
        // Every variable has its own process.
        assert_close(products / count / expected, 0.0, 0.01);
    }
}

#[test]
fn a_trajectory_has_the_same_noise_in_every_batch() {
    let place = f64_place();
    let run = |batch: usize| {
        let dynamics = Relaxation {
            variables: vec![Variable::new("x", "1", 2), Variable::new("y", "1", 1)],
            sigma: 1.0,
        };
        let start = State::new(vec![
            place.full(0.0, [batch, 2]),
            place.full(0.0, [batch, 1]),
        ]);
        last(
            dynamics,
            SolverKind::EulerMaruyama,
            &start,
            &NoInput,
            &uniform(0.1, 5),
        )
    };
    let (one, three) = (run(1), run(3));
    for variable in 0..2 {
        let first = three[variable].clone().narrow(0, 0, 1);
        let alone = host(one[variable].clone()).unwrap();
        assert_eq!(alone, host(first).unwrap());
    }
}
