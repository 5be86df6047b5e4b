use super::*;
use crate::analysis::{
    FieldOnHost, FixedPointSearch, HostField, Lyapunov, fixed_points, maximal_lyapunov_exponent,
    scattered_starts,
};
use crate::linalg::{eigenvalues, spectral_radius};
use crate::model::{Model, NoInput};
use crate::testing::{assert_close, f32_places, f64_place};
use crate::{Grid, Values, simulate};

#[test]
fn a_promised_spectral_radius_is_hit() {
    let mut all = constrained();
    all.push((
        "large, Dale",
        RateNetworkConfig {
            dale_ratio: Some(0.8),
            autapses: false,
            ..config(100)
        },
    ));
    for (name, mut config) in all {
        for radius in [0.9, 1.5] {
            config.initialization = Initialization::SpectralRadius(radius);
            let network = config.init(1, 1, 8, &f64_place()).unwrap();
            let found = spectral_radius(&recurrent(&network), config.units).unwrap();
            assert!((found - radius).abs() < 1e-10, "{name}: {found}");
            for (device, place) in f32_places() {
                let network = config.init(1, 1, 8, &place).unwrap();
                let found = spectral_radius(&recurrent(&network), config.units).unwrap();
                assert!((found - radius).abs() < 1e-6, "{name}, {device}: {found}");
            }
        }
    }
}

/// Section 4: variance g²/N and a spectral radius near g; the circular law has corrections of order 1/√N.
#[test]
fn gaussian_weights_have_their_variance_and_circular_law() {
    let g = 1.3;
    let gaussian = RateNetworkConfig {
        initialization: Initialization::Gaussian(g),
        ..config(200)
    };
    let w = recurrent(&gaussian.init(1, 1, 2, &f64_place()).unwrap());
    let variance = w.iter().map(|w| w * w).sum::<f64>() / w.len() as f64;
    // Four standard errors of 4·10⁴ squares.
    assert_close(
        variance * 200.0 / (g * g),
        1.0,
        4.0 * (2.0 / 4e4_f64).sqrt(),
    );
    let radius = spectral_radius(&w, 200).unwrap();
    assert!((radius / g - 1.0).abs() < 0.1, "{radius}");
    let sparse = RateNetworkConfig {
        recurrence: Recurrence::Sparse { density: 0.2 },
        ..gaussian
    };
    let w = recurrent(&sparse.init(1, 1, 2, &f64_place()).unwrap());
    let radius = spectral_radius(&w, 200).unwrap();
    assert!((radius / g - 1.0).abs() < 0.15, "{radius}");
}

#[test]
fn a_low_rank_network_is_its_structure_and_its_background() {
    let low = |background| RateNetworkConfig {
        recurrence: Recurrence::LowRank {
            rank: 3,
            background,
        },
        initialization: Initialization::Gaussian(2.0),
        ..config(40)
    };
    let network = low(0.0).init(1, 1, 2, &f64_place()).unwrap();
    let RecurrentWeights::LowRank(parts) = &network.recurrent else {
        panic!("not low rank")
    };
    let (m, n) = (
        host(parts.left.val()).unwrap(),
        host(parts.right.val()).unwrap(),
    );
    let w = recurrent(&network);
    for (pre, post) in [(0, 0), (3, 17), (39, 5)] {
        let sum: f64 = (0..3).map(|k| m[post * 3 + k] * n[pre * 3 + k]).sum();
        assert_close(w[pre * 40 + post], sum / 40.0, 1e-15);
    }
    let both = recurrent(&low(0.7).init(1, 1, 2, &f64_place()).unwrap());
    let noise: Vec<f64> = both.iter().zip(&w).map(|(a, b)| a - b).collect();
    let variance = noise.iter().map(|x| x * x).sum::<f64>() / 1600.0;
    assert_close(variance * 40.0 / 0.49, 1.0, 4.0 * (2.0_f64 / 1600.0).sqrt());
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

#[test]
fn the_equation_on_the_host_is_that_on_the_device() {
    let place = f64_place();
    for (name, mut config) in constrained() {
        config.time_constant = Values::Each((0..10).map(|i| 30.0 + 7.0 * f64::from(i)).collect());
        config.activation = Activation::Softplus;
        let network = config.init(2, 1, 6, &place).unwrap();
        let u = [0.4, -1.1];
        let exact = network.on_host(&u).unwrap();
        let field = network.field();
        let input = place.tensor(u.to_vec(), [1, 2]);
        let differences = FieldOnHost::new(&field, Some(input), &place);
        let x = NormalNoise::new(3, 0).values(0, 10);
        let v = NormalNoise::new(3, 1).values(0, 10);
        let close = |a: Vec<f64>, b: Vec<f64>, tolerance: f64| {
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < tolerance, "{name}: {a} {b}");
            }
        };
        let velocity = exact.velocity(&x).unwrap();
        close(velocity, differences.velocity(&x).unwrap(), 1e-15);
        let jacobian = exact.jacobian(&x).unwrap();
        close(jacobian, differences.jacobian(&x).unwrap(), 1e-9);
        let tangent = exact.tangent(&x, &v).unwrap();
        close(tangent, differences.tangent(&x, &v).unwrap(), 1e-9);
    }
    let network = config(3).init(2, 1, 0, &place).unwrap();
    assert!(network.on_host(&[1.0]).is_err());
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
