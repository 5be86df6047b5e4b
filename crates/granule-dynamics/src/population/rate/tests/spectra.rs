use super::*;
use crate::Values;
use crate::host_field::{FieldOnHost, HostField};
use crate::linalg::spectral_radius;
use crate::testing::{assert_close, f32_places, f64_place};

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
