use burn::optim::GradientsParams;

use super::*;
use crate::Grid;
use crate::differences::{assert_gradient, central, nudged, slopes, trained};
use crate::gradient::{Memory, Run, gradient};
use crate::model::{ConstantInput, InputSeries};
use crate::solver::SolverKind;
use crate::testing::f64_autodiff;

fn read(network: &RateNetwork, gradients: GradientsParams) -> Vec<Vec<f64>> {
    let (reached, found): (Vec<_>, _) = slopes(network, gradients).into_iter().unzip();
    let all: Vec<_> = trained(network).into_iter().map(|(id, _)| id).collect();
    assert_eq!(reached, all);
    found
}

fn loss(outputs: Tensor<3>) -> Tensor<1> {
    (outputs.clone().sin() + outputs.powi_scalar(2).mul_scalar(0.3)).mean()
}

fn with_everything(mut config: RateNetworkConfig) -> RateNetworkConfig {
    config.time_constant_bounds = Some([25.0, 300.0]);
    config.train_initial_state = true;
    config.private_noise = 0.2;
    config.shared_noise = 0.1;
    config
}

/// Moves every trained parameter a little, so that nothing is at 0 or of one sign only.
fn stirred(mut network: RateNetwork) -> RateNetwork {
    for (stream, (id, count)) in trained(&network).into_iter().enumerate() {
        let by = NormalNoise::new(31, stream as u64).values(0, count);
        for (element, by) in by.into_iter().enumerate() {
            network = nudged(&network, (id, element), 0.3 * by);
        }
    }
    network
}

#[test]
fn every_trained_parameter_has_the_gradient_of_central_differences() {
    let place = f64_autodiff();
    let noise = Some(NormalNoise::new(3, 3));
    let all = [
        Activation::Tanh,
        Activation::Relu,
        Activation::Softplus,
        Activation::Sigmoid,
        Activation::PowerLaw {
            gain: 0.4,
            exponent: 2.0,
        },
        Activation::Linear,
    ];
    let mut cases: Vec<RateNetworkConfig> = all
        .map(|activation| RateNetworkConfig {
            activation,
            dale_ratio: Some(0.6),
            autapses: false,
            ..config(4)
        })
        .to_vec();
    cases[2].rectifier = Rectifier::Softplus;
    cases[3].rectifier = Rectifier::Relu;
    cases.push(RateNetworkConfig {
        recurrence: Recurrence::LowRank {
            rank: 2,
            background: 0.5,
        },
        ..config(4)
    });
    for case in cases {
        let network = stirred(with_everything(case.clone()).init(2, 2, 7, &place).unwrap());
        let inputs = random(1, [2, 4, 2], &place);
        let value = |network: &RateNetwork| {
            let out = network.forward(inputs.clone(), noise).unwrap();
            loss(out.outputs) + out.rates.powi_scalar(2).mean()
        };
        let gradients = value(&network).backward();
        let gradients = read(&network, GradientsParams::from_grads(gradients, &network));
        let trained = trained(&network);
        assert_eq!(trained.len(), gradients.len());
        assert!(gradients.len() >= 7);
        for ((id, count), slopes) in trained.into_iter().zip(gradients) {
            assert!(slopes.iter().any(|slope| *slope != 0.0));
            for (element, slope) in slopes.into_iter().enumerate().take(count) {
                let expected = central(&network, (id, element), 1e-5, |moved| {
                    host(value(moved)).unwrap()[0]
                });
                let near = (slope - expected).abs() <= 1e-7 * expected.abs().max(1e-2);
                assert!(near, "{case:?}: {slope} {expected}");
            }
        }
    }
}

#[test]
fn a_sequence_and_every_memory_policy_have_one_gradient() {
    let place = f64_autodiff();
    let noise = Some(NormalNoise::new(3, 3));
    for (name, config) in constrained() {
        let mut network = with_everything(config).init(2, 2, 7, &place).unwrap();
        network.noise = noise;
        let inputs = random(1, [3, 12, 2], &place);
        let out = network.forward(inputs.clone(), noise).unwrap().outputs;
        let whole = loss(out.swap_dims(0, 1)).backward();
        let whole = read(&network, GradientsParams::from_grads(whole, &network));
        let grid = Grid::over(240.0, 20.0).unwrap();
        let input = InputSeries(inputs.swap_dims(0, 1));
        for memory in [
            Memory::Full,
            Memory::Segments(3),
            Memory::Segments(5),
            Memory::Nested(vec![2, 3]),
        ] {
            let run = Run {
                initial: None,
                batch: 3,
                input: &input,
                grid: &grid,
                every: 1,
                memory: &memory,
            };
            let after = |seen: Tensor<3>| loss(seen.narrow(0, 1, 12));
            let back = gradient(&network, &run, after).unwrap();
            let parts = read(&network, back.parameters);
            assert_eq!(parts.len(), whole.len());
            for (a, b) in parts.concat().iter().zip(whole.concat()) {
                let near = (a - b).abs() <= 1e-10 * b.abs().max(1e-3);
                assert!(near, "{name}, {memory:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_run_by_another_solver_has_the_gradient_of_central_differences() {
    let place = f64_autodiff();
    for (solver, noise) in [
        (SolverKind::Rk4, None),
        (SolverKind::ExponentialEuler, None),
        (SolverKind::EulerMaruyama, Some(NormalNoise::new(2, 1))),
    ] {
        let mut config = with_everything(config(4));
        config.dale_ratio = Some(0.5);
        (config.shared_noise, config.solver) = (0.0, solver);
        let mut network = stirred(config.init(1, 2, 7, &place).unwrap());
        network.noise = noise;
        let input = ConstantInput(place.full(0.7, [1, 1]));
        assert_gradient(&network, &input, (20.0, 8), loss, 1e-5, 1e-7);
    }
}
