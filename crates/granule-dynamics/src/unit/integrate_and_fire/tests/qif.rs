use std::f64::consts::{FRAC_1_PI, FRAC_PI_2, PI};

use burn::tensor::Tensor;

use crate::Place;
use crate::differences::assert_gradient;
use crate::model::Model as _;
use crate::model::NoInput;
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
use crate::unit::observed::testing::{course, spike_times};
use crate::unit::*;

fn run(config: &QifConfig, place: &Place, dt: f64, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let cells = config.init(place).unwrap();
    let read = |variable: usize| {
        let dynamics = cells.dynamics().unwrap();
        let initial = cells.initial_state(1).unwrap();
        course(&dynamics, initial, 0.0, (dt, steps), variable)
    };
    let v = read(0).pop().unwrap();
    let mut counts = vec![0.0; config.cells];
    for row in read(1) {
        counts.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    (v, counts)
}

/// (v₀, η, t, v(t), spikes) for τ = 10 ms: DOP853 at 1e-12 in the angle θ = 2 arctan v,
/// τ dθ/dt = 1 − cos θ + (1 + cos θ)η.
const SOLUTIONS: [(f64, f64, f64, f64, f64); 9] = [
    (-1.0, 4.0, 7.0, 2.71760077927962, 0.0),
    (-1.0, 4.0, 40.0, 6.083458577295651, 2.0),
    (3.0, -1.0, 2.0, 6.871299493369539, 0.0),
    (3.0, -1.0, 5.0, -6.568844764707904, 1.0),
    (0.5, -1.0, 5.0, 0.04926622716270591, 0.0),
    (2.0, 0.0, 4.0, 10.0, 0.0),
    (2.0, 0.0, 6.0, -10.0, 1.0),
    (-2.0, 1e-6, 10.0, -0.6666661851851363, 0.0),
    (0.3, 2500.0, 1.3, 11.328832919450388, 2.0),
];

#[test]
fn steps_of_any_length_follow_the_exact_solution() {
    for (_, place) in f64_places() {
        for (v0, drive, t, v, spikes) in SOLUTIONS {
            let config = QifConfig {
                current: drive.into(),
                initial: QifInitial { v: v0.into() },
                ..Default::default()
            };
            for steps in [1, 7, 50] {
                let (found, counts) = run(&config, &place, t / steps as f64, steps);
                assert_close(found[0], v, 1e-9);
                assert_eq!(counts[0], spikes, "v₀ {v0}, η {drive}, {steps} steps");
            }
        }
    }
    for (name, place) in f32_places() {
        let config = QifConfig {
            cells: SOLUTIONS.len(),
            current: SOLUTIONS.map(|s| s.1).to_vec().into(),
            initial: QifInitial {
                v: SOLUTIONS.map(|s| s.0).to_vec().into(),
            },
            ..Default::default()
        };
        let (v, _) = run(&config, &place, 0.5, 10);
        for cell in [3, 4] {
            let expected = SOLUTIONS[cell].3;
            assert!(
                (v[cell] - expected).abs() < 1e-3,
                "{name}: {} {expected}",
                v[cell]
            );
        }
    }
}

/// Reference numbers, section 3: f = √I/π per τ.
#[test]
fn rates_are_those_of_the_formula() {
    let drives = [0.01, 0.3, 1.0, 20.0, 1000.0];
    let config = QifConfig {
        cells: drives.len(),
        parameters: QifParameters {
            time_constant: 1.0.into(),
        },
        current: drives.to_vec().into(),
        ..Default::default()
    };
    let spikes = |place: &Place, dt: f64, steps: usize| run(&config, place, dt, steps).1;
    for (_, place) in f64_places() {
        let counts = spikes(&place, 0.1, 4000);
        for (count, drive) in counts.into_iter().zip(drives) {
            let expected = 400.0 * drive.sqrt() * FRAC_1_PI;
            assert!(
                (count - expected).abs() <= 1.0,
                "{drive}: {count} {expected}"
            );
        }
    }
    for (name, place) in f32_places() {
        let counts = spikes(&place, 0.25, 200);
        for (count, drive) in counts.into_iter().zip(drives) {
            let expected = 50.0 * drive.sqrt() * FRAC_1_PI;
            assert!(
                (count - expected).abs() <= 1.0,
                "{name}, {drive}: {count} {expected}"
            );
        }
    }
}

/// The way from v₀ to infinity and from −∞ on, by the formula.
#[test]
fn spike_times_are_those_of_the_formula_at_any_dt() {
    let config = QifConfig {
        current: 25.0.into(),
        ..Default::default()
    };
    // τ(π/2 − arctan(v₀/5))/5 to the first spike, τπ/5 between them: 159.155 Hz.
    let (first, interval) = (2.0 * (FRAC_PI_2 + 0.2_f64.atan()), 2.0 * PI);
    assert_close(1000.0 / interval, 159.155, 1e-6);
    for (_, place) in f64_places() {
        for (dt, steps) in [(0.1, 1000), (3.0, 34), (50.0, 2)] {
            let times = spike_times(&config.init(&place).unwrap(), 0.0, dt, steps).remove(0);
            assert!(times.len() >= 15, "{times:?}");
            for (count, time) in times.iter().enumerate() {
                assert_close(*time, first + count as f64 * interval, 1e-9);
            }
        }
    }
    // Without a period: v₀ above √−η, at 0, and close to it. τ artanh(√−η/v₀)/√−η, τ/v₀.
    let config = QifConfig {
        cells: 3,
        current: vec![-1.0, 0.0, 1e-7].into(),
        initial: QifInitial {
            v: vec![3.0, 2.0, 4.0].into(),
        },
        ..Default::default()
    };
    let expected = [10.0 * (1.0_f64 / 3.0).atanh(), 5.0, 2.5];
    let near = |times: Vec<Vec<f64>>, tolerance: f64, name: &str| {
        for (times, expected) in times.iter().zip(expected) {
            assert_eq!(times.len(), 1, "{name}");
            let off = (times[0] - expected).abs();
            assert!(off < tolerance, "{name}: {times:?} {expected}");
        }
    };
    for (name, place) in f64_places() {
        let cells = config.init(&place).unwrap();
        near(spike_times(&cells, 0.0, 0.7, 10), 1e-7, name);
    }
    for (name, place) in f32_places() {
        let cells = config.init(&place).unwrap();
        near(spike_times(&cells, 0.0, 0.7, 10), 1e-3, name);
    }
}

/// Uncoupled cells with Lorentzian drive of centre η and width Δ fire at Re √(η + iΔ)/π on average: the mean field
/// of Montbrió, Pazó & Roxin (2015) for J = 0.
#[test]
fn a_lorentzian_population_fires_at_the_rate_of_its_mean_field() {
    let cells = 10_000;
    let (centre, width) = (1.0, 1.0);
    let quantile = |i: usize| {
        let p = (2.0 * i as f64 + 1.0) / (2.0 * cells as f64) - 0.5;
        centre + width * (std::f64::consts::PI * p).tan()
    };
    let config = QifConfig {
        cells,
        parameters: QifParameters {
            time_constant: 1.0.into(),
        },
        current: (0..cells).map(quantile).collect::<Vec<_>>().into(),
        // Half a period from the last spike on: the count is then right on average.
        initial: QifInitial { v: 0.0.into() },
        ..Default::default()
    };
    let place = f32_places().swap_remove(0).1;
    let (_, counts) = run(&config, &place, 0.05, 400);
    let rate = counts.iter().sum::<f64>() / cells as f64 / 20.0;
    let modulus = f64::hypot(centre, width);
    let expected = ((modulus + centre) / 2.0).sqrt() * FRAC_1_PI;
    // Ten thousand cells miss the drive's tail, a few thousandths of the rate.
    assert!((rate / expected - 1.0).abs() < 0.005, "{rate} {expected}");
}

#[test]
fn gradients_pass_through_spikes() {
    let place = f64_autodiff();
    let config = QifConfig {
        cells: 4,
        current: vec![9.0, 0.0, -0.7, 1e-5].into(),
        initial: QifInitial {
            v: vec![0.1, 1.5, 1.4, -0.8].into(),
        },
        trainable: ["time_constant", "current", "v"].map(String::from).to_vec(),
        ..Default::default()
    };
    let cells = config.init(&place).unwrap();
    let counts = run(&config, &place, 0.5, 60).1;
    assert!(
        counts[0] >= 2.0 && counts[1] == 1.0 && counts[2] == 1.0,
        "{counts:?}"
    );
    let loss = |seen: Tensor<3>| (seen.atan() * 1.7).sin().mean();
    assert_gradient(&cells, &NoInput, (0.5, 60), loss, 1e-6, 1e-6);
}

#[test]
fn settings_without_sense_are_refused() {
    let refused = |change: fn(&mut QifConfig)| {
        let mut config = QifConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(|c| c.cells = 0).contains("cells"));
    assert!(refused(|c| c.parameters.time_constant = 0.0.into()).contains("time_constant = 0"));
    assert!(refused(|c| c.current = f64::INFINITY.into()).contains("current = inf"));
    assert!(refused(|c| c.surrogate = Surrogate::Arctan { slope: -1.0 }).contains("slope"));
}
