use std::sync::Arc;

use burn::tensor::Tensor;

use crate::NormalNoise;
use crate::differences::assert_gradient;
use crate::model;
use crate::model::Model as _;
use crate::solver::{Rk4, SolverKind};
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
use crate::unit::observed::testing::{course, spike_times};
use crate::unit::*;

type Reference = (fn() -> IzhikevichConfig, [f64; 4], usize);

/// The first spikes within 300 ms of I = 10, in ms, and their number: DOP853 at 1e-11 with event location.
const CELLS: [Reference; 5] = [
    (
        IzhikevichConfig::regular_spiking,
        [3.1271, 26.226, 71.0571, 115.8695],
        8,
    ),
    (
        IzhikevichConfig::intrinsically_bursting,
        [3.1271, 5.4154, 9.6501, 49.6292],
        12,
    ),
    (
        IzhikevichConfig::chattering,
        [3.1271, 4.5159, 6.0364, 7.7291],
        28,
    ),
    (
        IzhikevichConfig::fast_spiking,
        [3.1529, 7.4438, 13.3122, 20.3272],
        42,
    ),
    (
        IzhikevichConfig::low_threshold_spiking,
        [2.4682, 5.3371, 8.7983, 13.2276],
        26,
    ),
];

#[test]
fn each_kind_has_its_pattern() {
    let place = f64_places().swap_remove(0).1;
    for (config, times, count) in CELLS {
        let cells = config().init(Arc::new(Rk4), &place).unwrap();
        let spikes = &spike_times(&cells, 10.0, 0.1, 3000)[0];
        assert_eq!(spikes.len(), count);
        for (found, time) in spikes.iter().zip(times) {
            assert!((found - time).abs() < 1e-3, "{found} {time}");
        }
    }
}

/// Spike times of a chattering cell, by its own scheme with steps of 1 µs: each digit is that of 2 µs, too.
const CHATTER: [f64; 7] = [
    3.127055303877,
    4.515874853560,
    6.036373140279,
    7.729125169691,
    9.663338998025,
    11.98043373888,
    15.11820525774,
];

#[test]
fn spike_times_have_the_order_of_the_solver() {
    let place = f64_places().swap_remove(0).1;
    let worst = |solver: SolverKind, steps_per_ms: usize| {
        let solver = Arc::from(solver.init(NormalNoise::default()));
        let cells = IzhikevichConfig::chattering().init(solver, &place).unwrap();
        let dt = 1.0 / steps_per_ms as f64;
        let times = spike_times(&cells, 10.0, dt, 20 * steps_per_ms).remove(0);
        assert_eq!(times.len(), CHATTER.len(), "dt {dt}");
        let off = times
            .iter()
            .zip(CHATTER)
            .map(|(t, known)| (t - known).abs());
        off.fold(0.0, f64::max)
    };
    for (solver, order, steps) in [
        (SolverKind::Euler, 1.0, 64),
        (SolverKind::Heun, 2.0, 16),
        (SolverKind::Midpoint, 2.0, 16),
        (SolverKind::Rk4, 4.0, 8),
        (SolverKind::Tsit5, 4.0, 4),
        (SolverKind::DormandPrince, 4.0, 4),
    ] {
        let (coarse, fine) = (worst(solver, steps), worst(solver, 4 * steps));
        let found = (coarse / fine).log2() / 2.0;
        assert!(
            found > order - 0.3,
            "{solver}: order {found}, {coarse} {fine}"
        );
    }
    assert!(worst(SolverKind::Rk4, 20) < 1e-5);
}

/// The same scheme, RK4 with dt = 0.1 ms, in numpy: bursts of 7 and then of 5 spikes.
#[test]
fn two_hundred_milliseconds_equal_another_implementation() {
    let expected = [
        3.1270551598887724,
        4.515873570202295,
        6.036369447342427,
        7.729116027756155,
        9.663318653016052,
        11.980390398913308,
        15.118094819837967,
        61.68969453077878,
    ];
    for (_, place) in f64_places() {
        let cells = IzhikevichConfig::chattering()
            .init(Arc::new(Rk4), &place)
            .unwrap();
        let times = spike_times(&cells, 10.0, 0.1, 2000).remove(0);
        assert_eq!(times.len(), 22);
        for (found, expected) in times.iter().zip(expected) {
            assert_close(*found, expected, 1e-10);
        }
        let dynamics = cells.dynamics().unwrap();
        let last = |variable: usize| {
            let initial = cells.initial_state(1).unwrap();
            course(&dynamics, initial, 10.0, (0.1, 2000), variable)[1999][0]
        };
        assert_close(last(0), -74.15644663494453, 1e-9);
        assert_close(last(1), -0.9788971070691904, 1e-9);
    }
    for (name, place) in f32_places() {
        let cells = IzhikevichConfig::chattering()
            .init(Arc::new(Rk4), &place)
            .unwrap();
        let times = spike_times(&cells, 10.0, 0.1, 100).remove(0);
        assert_eq!(times.len(), 5, "{name}");
        for (found, expected) in times.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{name}: {found} {expected}"
            );
        }
    }
}

#[test]
fn a_cell_that_would_fire_again_in_a_step_fires_in_the_next() {
    let place = f64_places().swap_remove(0).1;
    let cells = IzhikevichConfig::fast_spiking()
        .init(Arc::new(Rk4), &place)
        .unwrap();
    // More often than every millisecond.
    let times = |dt: f64, steps: usize| spike_times(&cells, 400.0, dt, steps).remove(0);
    let (coarse, fine) = (times(1.0, 20), times(0.05, 400));
    assert!(fine.windows(2).any(|pair| pair[1] - pair[0] < 1.0));
    assert_eq!(coarse.len(), 20);
    assert!(
        coarse.windows(2).all(|pair| pair[1] > pair[0]),
        "{coarse:?}"
    );
}

#[test]
fn gradients_pass_through_spike_times() {
    let place = f64_autodiff();
    let config = IzhikevichConfig {
        cells: 2,
        current: vec![12.0, 20.0].into(),
        trainable: ["a", "b", "c", "d", "current", "v"]
            .map(String::from)
            .to_vec(),
        ..IzhikevichConfig::chattering()
    };
    let cells = config.init(Arc::new(Rk4), &place).unwrap();
    let spikes = spike_times(&cells, 0.3, 0.2, 60);
    assert!(spikes.iter().all(|times| times.len() >= 3), "{spikes:?}");
    let input = model::ConstantInput(place.full(0.3, [1, 1]));
    let loss = |seen: Tensor<3>| (seen * 0.05).cos().mean();
    assert_gradient(&cells, &input, (0.2, 60), loss, 1e-6, 1e-4);
}

/// No slope below the threshold, where there is none to be found by differences.
const NARROW: Surrogate = Surrogate::Triangular {
    slope: 10.0,
    height: 1.0,
};

#[test]
fn gradients_below_the_threshold_agree_with_differences() {
    let place = f64_autodiff();
    let config = IzhikevichConfig {
        cells: 2,
        current: vec![2.0, 3.0].into(),
        initial: IzhikevichInitial {
            v: (-60.0).into(),
            u: Some((-12.5).into()),
        },
        surrogate: NARROW,
        trainable: ["a", "b", "current", "v", "u"].map(String::from).to_vec(),
        ..Default::default()
    };
    let cells = config.init(Arc::new(Rk4), &place).unwrap();
    let input = model::ConstantInput(place.full(0.3, [1, 1]));
    let loss = |seen: Tensor<3>| (seen * 0.1).cos().mean();
    assert_gradient(&cells, &input, (0.1, 100), loss, 1e-6, 1e-5);
}

#[test]
fn settings_without_sense_are_refused() {
    let refused = |change: fn(&mut IzhikevichConfig)| {
        let mut config = IzhikevichConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(|c| c.parameters.a = (-0.02).into()).contains("a = -0.02"));
    assert!(refused(|c| c.parameters.c = 30.0.into()).contains("c = 30"));
    assert!(refused(|c| c.initial.v = 31.0.into()).contains("unit.initial.v = 31"));
    assert!(refused(|c| c.peak = f64::INFINITY).contains("peak"));
    assert!(refused(|c| c.cells = 0).contains("cells"));
}
