use super::*;
use crate::model::{Clock, ConstantInput, Dynamics, Field, InputSeries, Model, NoInput};
use crate::solver::{Rk4, SolverKind, Stepped};
use crate::testing::{assert_close, f32_places, f64_place, f64_places};
use crate::{Grid, State, record};

fn set(network: &mut RateNetwork, w: Vec<f64>, place: &Place) {
    let n = network.units();
    let RecurrentWeights::Dense(dense) = &mut network.recurrent else {
        panic!("not dense")
    };
    dense.raw = Param::from_tensor(place.tensor(w, [n, n]));
}

/// Section 4: x(τ) = e⁻¹(cos 1, sin 1), on the way there with any solver.
#[test]
fn a_linear_network_follows_its_exact_solution() {
    let rotation = RateNetworkConfig {
        activation: Activation::Linear,
        dt: 1.0,
        ..config(2)
    };
    for (_, place) in f64_places() {
        let mut network = rotation.init(0, 0, 0, &place).unwrap();
        // Rows are presynaptic: the transpose of section 4's W.
        set(&mut network, vec![0.0, 1.0, -1.0, 0.0], &place);
        let start = State::new(vec![place.tensor(vec![1.0, 0.0], [1, 2])]);
        let end = |dynamics: &dyn Dynamics, dt: f64| {
            let grid = Grid::over(100.0, dt).unwrap();
            let (seen, _) = record(dynamics, start.clone(), &NoInput, &grid).unwrap();
            host(seen).unwrap()[2 * grid.steps()..].to_vec()
        };
        let exact = [0.198766110346, 0.309559875653];
        let rk4 = Stepped {
            field: network.field(),
            solver: Rk4,
        };
        for (found, expected) in end(&rk4, 1.0).iter().zip(exact) {
            assert_close(*found, expected, 1e-9);
        }
        let euler = network.dynamics().unwrap();
        let error = |dt: f64| -> f64 {
            let pairs = end(&euler, dt).into_iter().zip(exact);
            pairs.map(|(a, b)| (a - b).abs()).sum()
        };
        let order = (error(2.0) / error(1.0)).log2();
        assert!((order - 1.0).abs() < 0.15, "{order}");
    }
}

#[test]
fn every_solver_moves_a_network_to_the_same_state() {
    let place = f64_place();
    let silent = RateNetworkConfig {
        private_noise: 0.3,
        ..config(5)
    };
    let end = |solver: SolverKind, noise: Option<NormalNoise>, dt: f64| {
        let config = RateNetworkConfig {
            solver,
            dt,
            ..silent.clone()
        };
        let mut network = config.init(1, 2, 5, &place).unwrap();
        network.noise = noise;
        let input = ConstantInput(place.full(0.8, [1, 1]));
        let start = network.initial_state(1).unwrap();
        let grid = Grid::over(200.0, dt).unwrap();
        let (seen, _) = record(&network.dynamics().unwrap(), start, &input, &grid).unwrap();
        host(seen).unwrap()[2 * grid.steps()..].to_vec()
    };
    let exact = end(SolverKind::Rk4, None, 1.0);
    for solver in SolverKind::ALL {
        let found = end(solver, None, 0.5);
        for (a, b) in found.iter().zip(&exact) {
            assert!((a - b).abs() < 2e-3, "{solver:?}: {a} {b}");
        }
        let noisy = end(solver, Some(NormalNoise::new(1, 0)), 0.5);
        let stochastic = solver.is_stochastic() || solver == SolverKind::Euler;
        assert_eq!(noisy != found, stochastic, "{solver:?}");
    }
}

#[test]
fn a_sequence_and_a_simulation_are_the_same_states_on_every_device() {
    let noisy = RateNetworkConfig {
        dale_ratio: Some(0.75),
        time_constant: vec![100.0, 60.0, 40.0, 200.0].into(),
        private_noise: 0.3,
        shared_noise: 0.2,
        ..config(4)
    };
    let noise = Some(NormalNoise::new(9, 4));
    let mut expected: Option<Vec<f64>> = None;
    for (name, place) in f64_places().into_iter().chain(f32_places()) {
        let mut network = noisy.init(2, 3, 5, &place).unwrap();
        let inputs = random(1, [2, 5, 2], &place);
        let found = network.forward(inputs.clone(), noise).unwrap();
        assert_eq!(found.rates.dims(), [2, 5, 4]);
        let states = network.states(inputs.clone(), noise).unwrap();
        let again = host(states.tanh() - found.rates).unwrap();
        assert!(again.iter().all(|x| x.abs() < 1e-6), "{name}: {again:?}");
        let outputs = host(found.outputs).unwrap();
        let expected = expected.get_or_insert_with(|| outputs.clone());
        let tolerance = match place.dtype {
            burn::tensor::DType::F64 => 1e-12,
            _ => 1e-5,
        };
        network.noise = noise;
        let grid = Grid::over(100.0, 20.0).unwrap();
        let (seen, _) = record(
            &network.dynamics().unwrap(),
            network.initial_state(2).unwrap(),
            &InputSeries(inputs.swap_dims(0, 1)),
            &grid,
        )
        .unwrap();
        let seen = host(seen.narrow(0, 1, 5).swap_dims(0, 1)).unwrap();
        for other in [outputs, seen] {
            assert_eq!(other.len(), 30);
            for (a, b) in other.iter().zip(expected.iter()) {
                assert!((a - b).abs() < tolerance, "{name}: {a} {b}");
            }
        }
    }
}

#[test]
fn noise_is_drawn_anew_for_every_stream_and_left_out_when_not_asked_for() {
    let place = f64_place();
    let noisy = RateNetworkConfig {
        private_noise: 0.3,
        ..config(4)
    };
    let network = noisy.init(1, 1, 5, &place).unwrap();
    let run = |noise| {
        let inputs = place.full(0.1, [2, 3, 1]);
        host(network.states(inputs, noise).unwrap()).unwrap()
    };
    assert_eq!(run(None), run(None));
    let one = Some(NormalNoise::new(1, 1));
    assert_eq!(run(one), run(one));
    assert_ne!(run(one), run(None));
    assert_ne!(run(one), run(Some(NormalNoise::new(1, 2))));
    let rows = run(None);
    assert_eq!(rows[..12], rows[12..]);
    assert_ne!(run(one)[..12], run(one)[12..]);
}

/// Section 4: the stationary variance is σ²/(1 − α/2), private and shared parts each, and only the shared part is common to
/// two units.
#[test]
fn noise_has_its_stationary_variance() {
    let (private, shared) = (0.5, 0.3);
    let noisy = RateNetworkConfig {
        dt: 40.0,
        private_noise: private,
        shared_noise: shared,
        ..config(20)
    };
    let states = |place: &Place| {
        let mut network = noisy.init(0, 0, 5, place).unwrap();
        set(&mut network, vec![0.0; 400], place);
        let inputs = place.full(0.0, [40, 540, 1]);
        let noise = Some(NormalNoise::new(2, 0));
        let states = network.states(inputs, noise).unwrap();
        host(states.narrow(1, 40, 500)).unwrap()
    };
    let [(_, flex), (_, ndarray)] = f64_places().try_into().unwrap();
    let x = states(&flex);
    for (a, b) in x.iter().zip(states(&ndarray)) {
        assert_close(*a, b, 1e-12);
    }
    let rows = x.len() as f64 / 20.0;
    let square = x.iter().map(|x| x * x).sum::<f64>() / (20.0 * rows);
    let common = x.chunks_exact(20).map(|row| {
        let sum: f64 = row.iter().sum();
        let own: f64 = row.iter().map(|x| x * x).sum();
        (sum * sum - own) / 380.0
    });
    let common = common.sum::<f64>() / rows;
    let gain = 1.0 / (1.0 - 0.2);
    // Some 2·10⁴/4 independent values of the shared part.
    assert_close(common / (shared * shared * gain), 1.0, 0.08);
    let variance = (private * private + shared * shared) * gain;
    assert_close(square / variance, 1.0, 0.03);
}

#[test]
fn the_forms_for_other_solvers_are_those_of_the_equation() {
    let place = f64_place();
    let noisy = RateNetworkConfig {
        time_constant: vec![100.0, 50.0, 20.0].into(),
        private_noise: 0.4,
        ..config(3)
    };
    let network = noisy.init(2, 0, 5, &place).unwrap();
    let field = network.field();
    let state = State::new(vec![random(3, [2, 3], &place)]);
    let input = random(4, [2, 2], &place);
    let slope = host(field.derivative(0.0, &state, Some(&input))[0].clone()).unwrap();
    let parts = field.linear(0, 0.0, &state, Some(&input));
    let linear = parts[0].drive.clone() - parts[0].decay.clone() * state[0].clone();
    for (a, b) in host(linear).unwrap().iter().zip(&slope) {
        assert_close(*a, *b, 1e-15);
    }
    let amplitude = host(field.diffusion(0.0, &state).unwrap()[0].clone()).unwrap();
    for (found, tau) in amplitude
        .iter()
        .zip([100.0_f64, 50.0, 20.0, 100.0, 50.0, 20.0])
    {
        assert_close(*found, 0.4 * (2.0 / tau).sqrt(), 1e-15);
    }
    let silent = config(3).init(2, 0, 5, &place).unwrap();
    assert!(silent.field().diffusion(0.0, &state).is_none());
}

#[test]
fn one_seed_is_one_network_on_every_device() {
    let (_, config) = &constrained()[0];
    let exact = recurrent(&config.init(1, 1, 3, &f64_place()).unwrap());
    let other = recurrent(&config.init(1, 1, 4, &f64_place()).unwrap());
    assert_ne!(exact, other);
    for (_, place) in f32_places() {
        let network = config.init(1, 1, 3, &place).unwrap();
        for (a, b) in recurrent(&network).iter().zip(&exact) {
            assert_close(*a, *b, 1e-7);
        }
    }
}

#[test]
fn what_is_not_finite_is_found_with_its_time_and_place() {
    let place = f64_place();
    let network = config(3).init(1, 1, 0, &place).unwrap();
    let mut values = vec![0.1; 8];
    values[4 + 2] = f64::NAN;
    let inputs = place.tensor::<3>(values, [2, 4, 1]);
    let trajectory = network.forward(inputs.clone(), None).unwrap();
    let error = trajectory.check_finite().unwrap_err();
    let expected = "at t = 3 (batch 1, unit 0)";
    assert!(error.to_string().contains(expected), "{error}");
    let good = network.forward(place.full(0.1, [2, 4, 1]), None).unwrap();
    good.check_finite().unwrap();
    let grid = Grid::over(80.0, 20.0).unwrap();
    let start = network.initial_state(2).unwrap();
    let dynamics = network.dynamics().unwrap();
    let error = record(
        &dynamics,
        start,
        &InputSeries(inputs.swap_dims(0, 1)),
        &grid,
    )
    .unwrap_err();
    let expected = "at t = 60 (batch 1, unit 0)";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn inputs_of_another_width_are_refused() {
    let place = f64_place();
    let network = config(3).init(2, 1, 0, &place).unwrap();
    for shape in [[1, 4, 1], [1, 0, 2], [0, 4, 2]] {
        let refused = network.forward(place.full(0.0, shape), None);
        assert!(matches!(refused, Err(DynamicsError::Shape { .. })));
    }
    let start = network.initial_state(1).unwrap();
    let at = Clock {
        step: 0,
        time: 0.0,
        dt: 20.0,
    };
    let input = ConstantInput(place.full(0.0, [1, 3])).0;
    let refused = network.dynamics().unwrap().step(at, &start, Some(&input));
    assert!(matches!(refused, Err(DynamicsError::Shape { .. })));
}
