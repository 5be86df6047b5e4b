use std::sync::Arc;

use burn::tensor::Tensor;

use crate::differences::assert_gradient;
use crate::gradient::{Memory, Run, gradient};
use crate::host;
use crate::model;
use crate::model::Model as _;
use crate::simulate::Grid;
use crate::solver::Rk4;
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
use crate::unit::observed::testing::{course, spike_steps, spike_times};
use crate::unit::*;
use crate::{Place, Values};

/// Spike times in ms of the default cell at 800 pA: DOP853 at 1e-11 with event location.
const TIMES: [f64; 6] = [
    17.71952, 40.48517, 71.26696, 114.47754, 171.59464, 236.17395,
];

/// Second order: the error is below 0.06 ms for a step of 1 ms, and falls with its square.
#[test]
fn spike_times_converge_to_those_of_an_event_driven_solution() {
    let place = f64_places().swap_remove(0).1;
    let cells = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
    for dt in [2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125] {
        let times = spike_times(&cells, 800.0, dt, (240.0 / dt) as usize);
        assert_eq!(times[0].len(), TIMES.len(), "dt {dt}");
        for (found, expected) in times[0].iter().zip(TIMES) {
            let off = (found - expected).abs();
            // The times have five digits.
            assert!(off < 0.06 * dt * dt + 1e-5, "dt {dt}: {found} {expected}");
        }
    }
}

/// The same scheme, RK4 with dt = 0.05 ms, in numpy.
#[test]
fn two_hundred_milliseconds_equal_another_implementation() {
    let expected = [
        17.71951392672988,
        40.48516034251341,
        71.26695565850234,
        114.47748889485706,
        171.59461048208962,
    ];
    for (_, place) in f64_places() {
        let cells = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
        let times = spike_times(&cells, 800.0, 0.05, 4000);
        assert_eq!(times[0].len(), expected.len());
        for (found, expected) in times[0].iter().zip(expected) {
            assert_close(*found, expected, 1e-9);
        }
        let dynamics = cells.dynamics().unwrap();
        let last = |variable: usize| {
            let initial = cells.initial_state(1).unwrap();
            course(&dynamics, initial, 800.0, (0.05, 4000), variable)[3999][0]
        };
        assert_close(last(0), -52.87547677084851, 1e-8);
        assert_close(last(1), 240.2462311177373, 1e-8);
    }
}

#[test]
fn each_cell_of_each_row_fires_at_its_own_time() {
    let place = f64_places().swap_remove(0).1;
    let currents = [650.0, 800.0, 1200.0, 5000.0];
    let config = AdexConfig {
        cells: currents.len(),
        current: currents.to_vec().into(),
        ..Default::default()
    };
    let many = spike_times(&config.init(Arc::new(Rk4), &place).unwrap(), 0.0, 0.2, 500);
    let one = AdexConfig::default().init(Arc::new(Rk4), &place).unwrap();
    for (times, current) in many.iter().zip(currents) {
        assert!(!times.is_empty());
        assert_eq!(times, &spike_times(&one, current, 0.2, 500)[0]);
    }
}

#[test]
fn single_precision_is_sound_where_the_upstroke_is_steepest() {
    let config = AdexConfig {
        cells: 2,
        parameters: AdexParameters {
            slope: vec![0.2, 2.0].into(),
            ..Default::default()
        },
        current: vec![1600.0, 1600.0].into(),
        ..Default::default()
    };
    // Its second spike is at 12.71355 ms, by RK4 with steps of 1 µs and less.
    for (name, place) in f32_places() {
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let times = spike_times(&cells, 0.0, 0.1, 140);
        let second = times[1][1];
        assert!((second - 12.71355).abs() < 1e-3, "{name}: {second}");
        assert!(!times[0].is_empty(), "{name}");
    }
}

/// Patterns of Naud et al. (2008) as in Gerstner et al., Neuronal Dynamics (2014), table 6.1, driven by 65 pA; numbers of
/// spikes in 400 ms and first intervals by DOP853.
#[test]
fn parameters_make_the_firing_pattern() {
    let place = f64_places().swap_remove(0).1;
    // Capacitance, a, τ_w, b, reset: tonic, adapting, initial burst, bursting, transient.
    let patterns = [
        (40.0, 0.0, 30.0, 60.0, -55.0),
        (40.0, 0.0, 100.0, 5.0, -55.0),
        (10.0, 0.5, 100.0, 7.0, -51.0),
        (10.0, -0.5, 100.0, 7.0, -46.0),
        (20.0, 1.0, 100.0, 10.0, -60.0),
    ];
    let each = |of: fn(&(f64, f64, f64, f64, f64)) -> f64| -> Values {
        patterns.iter().map(of).collect::<Vec<_>>().into()
    };
    let config = AdexConfig {
        cells: patterns.len(),
        parameters: AdexParameters {
            capacitance: each(|p| p.0),
            g_l: 2.0.into(),
            e_l: (-70.0).into(),
            threshold: (-50.0).into(),
            adaptation: each(|p| p.1),
            adaptation_time_constant: each(|p| p.2),
            adaptation_jump: each(|p| p.3),
            reset: each(|p| p.4),
            ..Default::default()
        },
        initial: AdexInitial {
            v: (-70.0).into(),
            w: None,
        },
        peak: 0.0,
        ..Default::default()
    };
    let dt = 0.1;
    let cells = config.init(Arc::new(Rk4), &place).unwrap();
    let spikes = spike_times(&cells, 65.0, dt, 4000);
    let intervals: Vec<Vec<f64>> = spikes
        .iter()
        .map(|times| times.windows(2).map(|w| w[1] - w[0]).collect())
        .collect();
    let count = |pattern: usize| spikes[pattern].len();
    assert_eq!((count(0), count(1), count(4)), (7, 15, 7));
    assert!(
        (14..=15).contains(&count(2)) && (26..=28).contains(&count(3)),
        "{spikes:?}"
    );
    let near = |pattern: usize, interval: usize, expected: f64| {
        let found = intervals[pattern][interval];
        assert!(
            (found - expected).abs() < 0.05 + 0.01 * expected,
            "{pattern}: {found}"
        );
    };
    near(0, 1, 59.3);
    near(0, 5, 59.2);
    near(1, 0, 15.5);
    near(1, 6, 27.2);
    near(2, 0, 2.6);
    near(2, 5, 36.6);
    near(4, 0, 14.0);
    near(4, 5, 83.1);
    // Bursts: silences a hundred times longer than the intervals within.
    let (short, long): (Vec<f64>, Vec<f64>) = intervals[3].iter().partition(|i| **i < 5.0);
    assert!(
        long.len() >= 4 && long.iter().all(|i| *i > 50.0),
        "{long:?}"
    );
    assert!(short.len() >= 15, "{short:?}");
}

#[test]
fn the_refractory_period_holds_the_reset() {
    let place = f64_places().swap_remove(0).1;
    let config = AdexConfig {
        refractory: 2.0,
        ..Default::default()
    };
    let cells = config.init(Arc::new(Rk4), &place).unwrap();
    let dynamics = cells.dynamics().unwrap();
    let v = course(
        &dynamics,
        cells.initial_state(1).unwrap(),
        1000.0,
        (0.1, 200),
        0,
    );
    let spike = spike_steps(&cells, 1000.0, 0.1, 200)[0][0];
    let held = v[spike - 1..].iter().take_while(|v| v[0] == -70.6).count();
    assert_eq!(held, 20, "from the end of the step of the spike");
    // The period ends inside a step.
    let times = |dt: f64, steps: usize| spike_times(&cells, 1000.0, dt, steps).remove(0);
    let (coarse, fine) = (times(0.3, 400), times(0.01, 12_000));
    assert_eq!(coarse.len(), fine.len());
    for (coarse, fine) in coarse.iter().zip(&fine) {
        assert!((coarse - fine).abs() < 0.06 * 0.3 * 0.3, "{coarse} {fine}");
    }
}

#[test]
fn gradients_pass_through_spike_times() {
    let place = f64_autodiff();
    let names = NAMES.map(String::from).into_iter();
    let more = ["adaptation_jump", "reset", "v", "w"].map(String::from);
    let config = AdexConfig {
        cells: 2,
        current: vec![900.0, 1300.0].into(),
        refractory: 1.03,
        initial: AdexInitial {
            v: (-65.0).into(),
            w: Some(3.0.into()),
        },
        trainable: names.chain(more).collect(),
        ..Default::default()
    };
    let cells = config.init(Arc::new(Rk4), &place).unwrap();
    let spikes = spike_times(&cells, 50.0, 0.2, 150);
    assert!(spikes.iter().all(|times| times.len() >= 2), "{spikes:?}");
    let input = model::ConstantInput(place.full(50.0, [1, 1]));
    let loss = |seen: Tensor<3>| (seen * 0.05).cos().mean();
    assert_gradient(&cells, &input, (0.2, 150), loss, 1e-6, 1e-4);
}

const NAMES: [&str; 8] = [
    "capacitance",
    "g_l",
    "e_l",
    "threshold",
    "slope",
    "adaptation_time_constant",
    "adaptation",
    "current",
];

/// No slope below the threshold, where there is none to be found by differences.
const NARROW: Surrogate = Surrogate::Triangular {
    slope: 10.0,
    height: 1.0,
};

#[test]
fn gradients_below_the_threshold_agree_with_differences() {
    let place = f64_autodiff();
    let config = AdexConfig {
        cells: 2,
        current: vec![400.0, 600.0].into(),
        initial: AdexInitial {
            v: (-65.0).into(),
            w: Some(3.0.into()),
        },
        surrogate: NARROW,
        trainable: NAMES
            .map(String::from)
            .into_iter()
            .chain(["v".into(), "w".into()])
            .collect(),
        ..Default::default()
    };
    let cells = config.init(Arc::new(Rk4), &place).unwrap();
    let input = model::ConstantInput(place.full(50.0, [1, 1]));
    let loss = |seen: Tensor<3>| (seen * 0.1).cos().mean();
    assert_gradient(&cells, &input, (0.1, 120), loss, 1e-6, 1e-5);
}

#[test]
fn spikes_leave_gradients_finite() {
    for (name, plain) in f32_places().into_iter().take(2) {
        let place = Place::f32(&plain.device.autodiff());
        let config = AdexConfig {
            current: 900.0.into(),
            observed: Observed::Spikes,
            trainable: NAMES.map(String::from).to_vec(),
            ..Default::default()
        };
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let grid = Grid::over(45.0, 0.2).unwrap();
        let run = Run {
            initial: None,
            batch: 1,
            input: &crate::NoInput,
            grid: &grid,
            every: 1,
            memory: &Memory::Full,
        };
        let mut result = gradient(&cells, &run, |seen| seen.sum()).unwrap();
        assert!(result.loss >= 2.0);
        let slope = result
            .parameters
            .remove::<2>(cells.current.parameter().unwrap().raw.id)
            .unwrap();
        let slope = host(slope).unwrap()[0];
        assert!(slope.is_finite() && slope > 0.0, "{name}: {slope}");
    }
}

#[test]
fn settings_without_sense_are_refused() {
    let refused = |change: fn(&mut AdexConfig)| {
        let mut config = AdexConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(|c| c.parameters.capacitance = (-281.0).into()).contains("capacitance = -281"));
    assert!(
        refused(|c| c.parameters.adaptation_time_constant = 0.0.into()).contains("adaptation_time")
    );
    assert!(refused(|c| c.parameters.slope = 0.0.into()).contains("slope = 0"));
    assert!(refused(|c| c.parameters.reset = 25.0.into()).contains("reset = 25"));
    assert!(refused(|c| c.initial.v = 20.0.into()).contains("unit.initial.v = 20"));
    assert!(refused(|c| c.refractory = -1.0).contains("refractory = -1"));
    assert!(refused(|c| c.peak = f64::NAN).contains("peak"));
    assert!(refused(|c| c.trainable = vec!["peak".into()]).contains("trainable = peak"));
}
