use super::*;
use crate::host;
use crate::model::{Clock, ConstantInput, NoInput};
use crate::system::System;
use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
use crate::testing::{assert_close, f64_place, f64_places, host_device};
use crate::unit::{QifConfig, QifInitial};
use crate::{Dynamics, Model, Place};

/// The roots with r > 0 of (Δ/2πr)² + η + J·r − (πr)² = 0, with v = −Δ/(2πr): a low node, a saddle, a high focus.
const FIXED_POINTS: [(f64, f64); 3] = [
    (0.08113444195011976, -1.9616199885831647),
    (0.4729803406846835, -0.3364937808229061),
    (1.030596798837573, -0.15442988302642585),
];

fn with_initial(r: f64, v: f64) -> MontbrioPazoRoxinConfig {
    MontbrioPazoRoxinConfig {
        initial: vec![r.into(), v.into()],
        ..Default::default()
    }
}

#[test]
fn all_three_fixed_points_are_where_the_equations_put_them() {
    for (_, place) in f64_places() {
        for (r, v) in FIXED_POINTS {
            let model = with_initial(r, v).init(&place).unwrap();
            let state = model.initial_state(1).unwrap();
            let slope = model.field().unwrap().derivative(0.0, &state, None);
            for tensor in slope.tensors() {
                let slope = host(tensor.clone()).unwrap()[0];
                assert!(slope.abs() < 1e-12, "({r}, {v}): {slope}");
            }
        }
    }
}

#[test]
fn the_nodes_attract_and_the_saddle_parts_them() {
    // Reference numbers, section 6: a low node at (0.08114, −1.96149), given to the digits of r = 0.08114.
    let (low, high) = (FIXED_POINTS[0], FIXED_POINTS[2]);
    assert!((low.0 - 0.08114).abs() < 1e-5 && (low.1 + 1.96149).abs() < 2e-4);
    let saddle = FIXED_POINTS[1];
    for (_, place) in f64_places() {
        for (start, end) in [
            ((saddle.0 - 0.02, saddle.1), low),
            ((saddle.0 + 0.02, saddle.1), high),
        ] {
            let model = with_initial(start.0, start.1).init(&place).unwrap();
            let (_, state) = trace(&model, &NoInput, 0.02, 2500);
            let found = [0, 1].map(|i| host(state[i].clone()).unwrap()[0]);
            assert_close(found[0], end.0, 1e-5);
            assert_close(found[1], end.1, 1e-5);
        }
    }
}

#[test]
fn trace_agrees_with_an_independent_integration() {
    // DOP853 at a relative tolerance of 1e-13, from (0.1, −1) with I = 4.
    let expected = [
        (0.5, 0.17317868992187, -0.34535302121811),
        (1.0, 0.37893459265279, 0.76241815688941),
        (2.0, 0.50899916288412, -0.57894372612348),
        (10.0, 1.66436436991427, -0.08743151641046),
    ];
    for (_, place) in f64_places() {
        let model = with_initial(0.1, -1.0).init(&place).unwrap();
        for (until, r, v) in expected {
            let current = ConstantInput(place.full(4.0, [1, 1]));
            let (_, state) = trace(
                &model,
                &current,
                0.002,
                (until / 0.002_f64).round() as usize,
            );
            assert_close(host(state[0].clone()).unwrap()[0], r, 5e-8);
            assert_close(host(state[1].clone()).unwrap()[0], v, 5e-8);
        }
    }
}

/// The quantiles of a Lorentzian at the given shares.
fn lorentzian(centre: f64, half_width: f64, shares: impl Iterator<Item = f64>) -> Vec<f64> {
    shares
        .map(|share| centre + half_width * (PI * (share - 0.5)).tan())
        .collect()
}

#[test]
fn qif_population_follows_the_mean_field() {
    const CELLS: usize = 10_000;
    let place = Place::f32(&host_device("flex"));
    let (dt, phase) = (0.005, 3000);
    // Rest on the low node, a current that leaves only the high state, and the high state alone.
    let currents = [0.0, 3.0, 0.0];

    let excitabilities = (0..CELLS).map(|i| (i as f64 + 0.5) / CELLS as f64);
    // Potentials of the density that the mean field assumes at (r, v), the same at every excitability.
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let potentials = (0..CELLS).map(|i| (golden * (i as f64 + 0.5)).fract());
    let (r, v) = FIXED_POINTS[0];
    let mut cells = QifConfig {
        cells: CELLS,
        current: lorentzian(-5.0, 1.0, excitabilities).into(),
        initial: QifInitial {
            v: lorentzian(v, PI * r, potentials).into(),
        },
        ..Default::default()
    };
    cells.parameters.time_constant = 1.0.into();
    let cells = cells.init(&place).unwrap();
    let (dynamics, mut state) = (cells.dynamics().unwrap(), cells.initial_state(1).unwrap());
    let current = |step: usize| currents[(step / phase).min(2)];
    let mut rate: Tensor<2> = place.full(r, [1, 1]);
    let mut rates = Vec::new();
    for step in 0..3 * phase {
        let at = Clock {
            step,
            time: step as f64 * dt,
            dt,
        };
        let input = rate.mul_scalar(15.0).add_scalar(current(step));
        state = dynamics.step(at, &state, Some(&input)).unwrap();
        rate = state[1].clone().mean_dim(1).mul_scalar(1.0 / dt);
        rates.push(rate.clone());
    }
    let rates = host(Tensor::cat(rates, 1)).unwrap();

    let place = f64_place();
    let mean_field = with_initial(r, v).init(&place).unwrap();
    let input = |at: Clock| Some(place.full(current(at.step), [1, 1]));
    let (expected, _) = trace(&mean_field, &input, dt, 3 * phase);
    let expected: Vec<f64> = expected[1..].iter().map(|row| row[0]).collect();
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    for (index, (found, expected)) in rates.chunks(phase).zip(expected.chunks(phase)).enumerate() {
        let (found, expected) = (mean(found), mean(expected));
        let error = found / expected - 1.0;
        eprintln!("phase {index}: {found:.5} of the cells, {expected:.5} of the mean field");
        assert!(error.abs() < 0.02, "phase {index}: {found} and {expected}");
    }
    // The course of time too, in windows of 0.25 τ, as a share of the mean rate.
    let windows = rates.chunks(50).zip(expected.chunks(50));
    let apart: Vec<f64> = windows.map(|(a, b)| (mean(a) - mean(b)).abs()).collect();
    let apart = mean(&apart) / mean(&expected);
    eprintln!(
        "mean distance in windows of 0.25 τ: {:.2} % of the mean rate",
        100.0 * apart
    );
    assert!(apart < 0.05, "{apart}");
}

#[test]
fn gradients_agree_with_central_differences() {
    every_gradient_agrees(
        |place| {
            MontbrioPazoRoxinConfig {
                nodes: 2,
                excitability: vec![-5.0, -4.0].into(),
                trainable: MontbrioPazoRoxinConfig::PARAMETERS
                    .iter()
                    .map(|x| (*x).into())
                    .collect(),
                ..with_initial(0.2, -0.5)
            }
            .init(place)
            .unwrap()
        },
        &[3.0, 1.0],
        0.02,
        40,
    );
}

#[test]
fn single_precision_follows_on_every_device() {
    let config = MontbrioPazoRoxinConfig {
        nodes: 2,
        ..with_initial(0.2, -0.5)
    };
    agrees_on_every_device(
        |place| config.init(place).unwrap(),
        &[3.0, 1.0],
        0.02,
        20,
        1e-5,
    );
}

#[test]
fn a_negative_time_constant_or_width_is_refused() {
    for (config, name) in [
        (
            MontbrioPazoRoxinConfig {
                time_constant: (-1.0).into(),
                ..Default::default()
            },
            "time_constant = -1",
        ),
        (
            MontbrioPazoRoxinConfig {
                half_width: 0.0.into(),
                ..Default::default()
            },
            "half_width = 0",
        ),
    ] {
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}
