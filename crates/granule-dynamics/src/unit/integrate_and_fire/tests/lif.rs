use burn::tensor::Tensor;

use crate::Place;
use crate::differences::assert_gradient;
use crate::gradient::{Memory, Run, gradient};
use crate::host;
use crate::model::Model as _;
use crate::model::{self, InputSeries, NoInput};
use crate::simulate::Grid;
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
use crate::unit::observed::testing::{course, spike_steps, spike_times};
use crate::unit::*;

/// Reference numbers, section 3.
const RATES: [(f64, f64); 5] = [
    (10.0, 0.0),
    (11.0, 34.507803),
    (14.0, 57.052780),
    (17.0, 72.082296),
    (20.0, 83.811957),
];

fn five() -> LifConfig {
    LifConfig {
        cells: RATES.len(),
        current: RATES.map(|(current, _)| current).to_vec().into(),
        ..Default::default()
    }
}

/// The rates in Hz from the last interval.
fn rates(config: &LifConfig, place: &Place, dt: f64, steps: usize) -> Vec<f64> {
    let cells = config.init(place).unwrap();
    let rate = |times: Vec<f64>| match times.as_slice() {
        [.., a, b] => 1000.0 / (b - a),
        _ => 0.0,
    };
    let times = spike_times(&cells, 0.0, dt, steps);
    times.into_iter().map(rate).collect()
}

#[test]
fn rates_are_those_of_the_formula_at_any_dt() {
    for (_, place) in f64_places() {
        for (dt, steps) in [(0.1, 800), (0.73, 150), (10.0, 20), (50.0, 4)] {
            for (found, (_, expected)) in rates(&five(), &place, dt, steps).into_iter().zip(RATES) {
                // The reference has eight digits.
                assert_close(found, expected, 1e-8);
            }
        }
    }
    for (name, place) in f32_places() {
        for (found, (_, expected)) in rates(&five(), &place, 0.5, 180).into_iter().zip(RATES) {
            assert!(
                (found - expected).abs() <= 1e-4 * expected,
                "{name}: {found}"
            );
        }
    }
}

/// Without a refractory period a spike comes every τ ln(14/4) ms.
#[test]
fn spikes_do_not_lie_on_the_grid() {
    let config = |refractory: f64| LifConfig {
        current: 14.0.into(),
        parameters: LifParameters {
            refractory: refractory.into(),
            ..Default::default()
        },
        ..Default::default()
    };
    let interval = 10.0 * 3.5_f64.ln();
    assert_close(1000.0 / interval, 79.82, 1e-4);
    for (_, place) in f64_places() {
        let free = config(0.0).init(&place).unwrap();
        // Down to several spikes in a step.
        for (dt, steps) in [(0.1, 2000), (7.0, 30), (100.0, 2)] {
            let times = spike_times(&free, 0.0, dt, steps).remove(0);
            assert_eq!(times.len(), (dt * steps as f64 / interval) as usize);
            for (count, time) in (1..).zip(&times) {
                assert_close(*time, f64::from(count) * interval, 1e-9);
            }
        }
    }
    for (name, place) in f32_places() {
        let times = spike_times(&config(0.0).init(&place).unwrap(), 0.0, 10.0, 10).remove(0);
        for (count, time) in (1..).zip(&times) {
            let expected = f64::from(count) * interval;
            assert!((time - expected).abs() < 1e-3, "{name}: {time} {expected}");
        }
        assert_eq!(times.len(), 7, "{name}");
    }
}

#[test]
fn the_step_does_not_matter_while_the_input_is_constant() {
    let place = f64_places().swap_remove(0).1;
    let config = LifConfig {
        current: 23.0.into(),
        parameters: LifParameters {
            refractory: 0.37.into(),
            ..Default::default()
        },
        ..Default::default()
    };
    let cells = config.init(&place).unwrap();
    let last = |dt: f64, steps: usize, variable: usize| {
        let dynamics = cells.dynamics().unwrap();
        let initial = cells.initial_state(1).unwrap();
        course(&dynamics, initial, 0.0, (dt, steps), variable)
    };
    // τ ln(23/13) + 0.37 = 6.0755 ms a spike: 16 spikes in 100 ms.
    let count = |rows: Vec<Vec<f64>>| rows.iter().map(|row| row[0]).sum::<f64>();
    for (dt, steps) in [(0.01, 10_000), (0.5, 200), (4.0, 25), (25.0, 4)] {
        assert_eq!(count(last(dt, steps, 1)), 16.0);
        let phase: f64 = 100.0 - 16.0 * (10.0 * (23.0f64 / 13.0).ln() + 0.37);
        let expected = 23.0 * (1.0 - (-phase / 10.0).exp());
        assert_close(last(dt, steps, 0)[steps - 1][0], expected, 1e-9);
    }
}

#[test]
fn a_cell_waits_at_the_reset_for_the_refractory_period() {
    let place = f64_places().swap_remove(0).1;
    let cells = LifConfig::default().init(&place).unwrap();
    let dynamics = cells.dynamics().unwrap();
    let v = course(
        &dynamics,
        cells.initial_state(1).unwrap(),
        100.0,
        (0.5, 20),
        0,
    );
    let spikes = spike_steps(&cells, 100.0, 0.5, 20);
    // τ ln(100/90) = 1.0536 ms, then 5 ms of nothing, and again.
    assert_eq!(spikes[0], [3, 15]);
    assert!(v[2..12].iter().all(|v| v[0] == 0.0));
    assert!(v[12][0] > 0.0);
}

#[test]
fn gradients_pass_through_spike_times() {
    let place = f64_autodiff();
    let names = [
        "time_constant",
        "rest",
        "threshold",
        "refractory",
        "resistance",
        "current",
        "v",
    ];
    let config = LifConfig {
        cells: 2,
        current: vec![14.0, 9.0].into(),
        initial: LifInitial { v: 1.0.into() },
        parameters: LifParameters {
            refractory: 1.3.into(),
            rest: 0.5.into(),
            ..Default::default()
        },
        trainable: names.map(String::from).to_vec(),
        ..Default::default()
    };
    let cells = config.init(&place).unwrap();
    assert!(spike_steps(&cells, 0.0, 0.5, 60)[0].len() >= 2);
    let loss = |seen: Tensor<3>| (seen * 0.3).cos().mean();
    assert_gradient(&cells, &NoInput, (0.5, 60), loss, 1e-6, 1e-6);
}

#[test]
fn the_spike_has_the_surrogates_slope() {
    let place = f64_autodiff();
    let config = LifConfig {
        trainable: vec!["current".into()],
        observed: Observed::Spikes,
        surrogate: Surrogate::Arctan { slope: 2.0 },
        ..Default::default()
    };
    let cells = config.init(&place).unwrap();
    let grid = Grid::Uniform {
        start: 0.0,
        dt: 1.0,
        steps: 1,
    };
    for current in [0.0, 100.0, 150.0] {
        let input = model::ConstantInput(place.full(current, [1, 1]));
        let run = Run {
            initial: None,
            batch: 1,
            input: &input,
            grid: &grid,
            every: 1,
            memory: &Memory::Full,
        };
        let mut result = gradient(&cells, &run, |seen| seen.sum()).unwrap();
        let reach = 1.0 - (-0.1f64).exp();
        let x = (current * reach - 10.0) / 10.0;
        assert_eq!(result.loss, f64::from(x >= 0.0));
        let slope = host(
            result
                .parameters
                .remove::<2>(cells.current.parameter().unwrap().raw.id)
                .unwrap(),
        )
        .unwrap();
        let expected = 1.0 / (1.0 + (std::f64::consts::PI * x).powi(2)) * reach / 10.0;
        assert_close(slope[0], expected, 1e-12);
    }
}

#[test]
fn rows_and_cells_are_independent() {
    let place = f64_places().swap_remove(0).1;
    let cells = five().init(&place).unwrap();
    let dynamics = cells.dynamics().unwrap();
    let input = InputSeries(place.tensor(vec![0.0, 3.0], [1, 2, 1]));
    let grid = Grid::Uniform {
        start: 0.0,
        dt: 0.5,
        steps: 100,
    };
    let start = cells.initial_state(2).unwrap();
    let (_, state) = crate::record(&dynamics, start, &input, &grid).unwrap();
    let v = host(state[0].clone()).unwrap();
    // 14 = 11 + 3, 17 = 14 + 3, 20 = 17 + 3.
    for cell in 1..4 {
        assert_close(v[5 + cell], v[cell + 1], 1e-12);
    }
    assert_ne!(v[1], v[2]);
}

#[test]
fn settings_without_sense_are_refused() {
    let refused = |change: fn(&mut LifConfig)| {
        let mut config = LifConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(|c| c.cells = 0).contains("cells"));
    assert!(refused(|c| c.parameters.time_constant = (-1.0).into()).contains("time_constant = -1"));
    assert!(refused(|c| c.parameters.threshold = 0.0.into()).contains("threshold = 0"));
    assert!(refused(|c| c.parameters.reset = 11.0.into()).contains("threshold = 10"));
    assert!(refused(|c| c.parameters.refractory = (-0.1).into()).contains("refractory = -0.1"));
    assert!(refused(|c| c.parameters.resistance = 0.0.into()).contains("resistance"));
    assert!(refused(|c| c.current = f64::NAN.into()).contains("current"));
    assert!(refused(|c| c.initial.v = 12.0.into()).contains("unit.initial.v = 12"));
    assert!(refused(|c| c.parameters.rest = vec![0.0, 1.0].into()).contains("rest = [2 values]"));
    assert!(refused(|c| c.trainable = vec!["tau".into()]).contains("trainable = tau"));
    let refractory = LifConfig {
        parameters: LifParameters {
            refractory: 0.0.into(),
            ..Default::default()
        },
        trainable: vec!["refractory".into()],
        ..Default::default()
    };
    let place = f64_places().swap_remove(0).1;
    let error = refractory.init(&place).unwrap_err().to_string();
    assert!(error.contains("refractory = 0"), "{error}");
    let unknown = serde_json::from_str::<LifConfig>(r#"{"treshold": 3.0}"#);
    assert!(unknown.unwrap_err().to_string().contains("treshold"));
    let some: LifConfig = serde_json::from_str(
        r#"{"cells": 2, "current": [1, 2], "surrogate": {"arctan": {"slope": 3}}}"#,
    )
    .unwrap();
    assert_eq!(some.current, vec![1.0, 2.0].into());
    some.validate().unwrap();
}
