//! Fixed points and exponents of published models.

mod by_name;

use burn::module::Param;
use granule_dynamics::linalg::eigenvalues;
use granule_dynamics::model::{Model, NoInput};
use granule_dynamics::population::{
    Initialization, RateNetwork, RateNetworkConfig, Recurrence, RecurrentWeights, WilsonCowanConfig,
};
use granule_dynamics::random::NormalNoise;
use granule_dynamics::system::System;
use granule_dynamics::{Grid, host, simulate};

use super::*;
use crate::testing::{assert_close, f64_place};

fn config(units: usize) -> RateNetworkConfig {
    RateNetworkConfig {
        units,
        ..RateNetworkConfig::default()
    }
}

/// W, `[pre, post]`.
fn recurrent(network: &RateNetwork) -> Vec<f64> {
    host(network.recurrent.value()).unwrap()
}

fn sompolinsky(g: f64, seed: u64) -> RateNetwork {
    let config = RateNetworkConfig {
        initialization: Initialization::Gaussian(g),
        time_constant: vec![1.0].into(),
        dt: 0.1,
        ..config(200)
    };
    config.init(0, 0, seed, &f64_place()).unwrap()
}

/// Section 4 (Sompolinsky, Crisanti and Sommers 1988).
#[test]
fn a_tanh_network_decays_below_g_1_and_is_chaotic_above() {
    let settings = Lyapunov {
        dt: 0.1,
        transient: 100.0,
        duration: 200.0,
        seed: 3,
    };
    let exponent = |network: &RateNetwork| {
        let start = NormalNoise::new(1, 1).values(0, 200);
        let field = network.on_host(&[]).unwrap();
        maximal_lyapunov_exponent(&field, &start, &settings).unwrap()
    };
    let quiet = sompolinsky(0.8, 5);
    let below = exponent(&quiet);
    // At rest the exponent is the largest real part of W's eigenvalues, minus 1; the mean still has some of the way there.
    let eigenvalues = eigenvalues(&recurrent(&quiet), 200).unwrap();
    assert!(below < 0.0);
    assert_close(below, eigenvalues[0].re - 1.0, 0.02);
    let chaotic = exponent(&sompolinsky(2.0, 5));
    assert!(chaotic > 0.03, "{chaotic}");

    let last = |network: &RateNetwork| {
        let start = network.initial_state(1).unwrap();
        let start = start.map(|x| x.add_scalar(0.5));
        let grid = Grid::over(100.0, 0.1).unwrap();
        let dynamics = network.dynamics().unwrap();
        let end = simulate(&dynamics, start, &NoInput, &grid, |_, _, _| {
            std::ops::ControlFlow::Continue(())
        });
        let x = host(end.unwrap()[0].clone()).unwrap();
        (x.iter().map(|x| x * x).sum::<f64>() / 200.0).sqrt()
    };
    assert!(last(&quiet) < 1e-3);
    assert!(last(&sompolinsky(2.0, 5)) > 0.3);
}

/// A rank-one tanh network with overlap mᵀn/N = 3 on all-equal units: x = κ m with κ = 3 tanh κ, and the origin.
#[test]
fn a_rank_one_memory_has_two_attractors_and_a_saddle() {
    let config = RateNetworkConfig {
        recurrence: Recurrence::LowRank {
            rank: 1,
            background: 0.0,
        },
        time_constant: vec![10.0].into(),
        dt: 1.0,
        ..config(16)
    };
    let place = f64_place();
    let mut network = config.init(0, 0, 1, &place).unwrap();
    let RecurrentWeights::LowRank(parts) = &mut network.recurrent else {
        panic!("not low rank")
    };
    parts.left = Param::from_tensor(place.full(1.0, [16, 1]));
    parts.right = Param::from_tensor(place.full(3.0, [16, 1]));
    let starts = scattered_starts(&[vec![0.0; 16]], 30, 2.0, 4).unwrap();
    let field = network.on_host(&[]).unwrap();
    let mut found = fixed_points(&field, &starts, &FixedPointSearch::default()).unwrap();
    found.sort_by(|a, b| a.state[0].total_cmp(&b.state[0]));
    // κ = 3 tanh κ
    let kappa = 2.984_704_585;
    let unstable: Vec<usize> = found.iter().map(|p| p.unstable()).collect();
    assert_eq!(unstable, [0, 1, 0]);
    for (point, expected) in found.iter().zip([-kappa, 0.0, kappa]) {
        point
            .state
            .iter()
            .for_each(|x| assert_close(*x, expected, 1e-8));
        let leading = (3.0 * (1.0 - expected.tanh().powi(2)) - 1.0) / 10.0;
        assert_close(point.eigenvalues[0].re, leading, 1e-8);
        assert_close(point.eigenvalues[15].re, -0.1, 1e-8);
    }
}

/// Figure 4 of the paper: multiple stable states.
fn hysteresis() -> WilsonCowanConfig {
    WilsonCowanConfig {
        excitatory_to_excitatory: 12.0.into(),
        inhibitory_to_excitatory: 4.0.into(),
        excitatory_to_inhibitory: 13.0.into(),
        inhibitory_to_inhibitory: 11.0.into(),
        excitatory_slope: 1.2.into(),
        inhibitory_slope: 1.0.into(),
        excitatory_threshold: 2.8.into(),
        inhibitory_threshold: 4.0.into(),
        excitatory_drive: 0.0.into(),
        ..WilsonCowanConfig::default()
    }
}

#[test]
fn figure_4_has_two_stable_states_and_a_saddle_between_them() {
    let field = hysteresis().init(&f64_place()).unwrap().field().unwrap();
    let on_host = FieldOnHost::new(&field, None, &f64_place());
    let starts: Vec<Vec<f64>> = (0..25)
        .map(|k| vec![0.12 * f64::from(k % 5), 0.12 * f64::from(k / 5)])
        .collect();
    let found = fixed_points(&on_host, &starts, &FixedPointSearch::default()).unwrap();
    let mut states: Vec<(f64, usize)> = found.iter().map(|p| (p.state[0], p.unstable())).collect();
    states.sort_by(|a, b| a.0.total_cmp(&b.0));
    let unstable: Vec<usize> = states.iter().map(|s| s.1).collect();
    assert_eq!(unstable, [0, 1, 0], "{states:?}");
    assert!(states[0].0.abs() < 1e-8);
    for point in &found {
        let slope = on_host.velocity(&point.state).unwrap();
        assert!(slope.iter().all(|x| x.abs() < 1e-9));
    }
}
