use super::*;
use crate::host;
use crate::model::{Clock, ConstantInput};
use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
use crate::testing::{assert_close, f64_place, f64_places};

#[test]
fn response_to_constant_activity_agrees_with_an_independent_integration() {
    // DOP853 of the equations without logarithms, at a relative tolerance of 1e-13.
    let expected = [
        (1, 0.00370698914265),
        (2, 0.02010854235095),
        (4, 0.04386849422698),
        (8, 0.04730589276728),
        (16, 0.04591010207288),
    ];
    for (_, place) in f64_places() {
        let model = BalloonWindkesselConfig::friston_2003()
            .init(&place)
            .unwrap();
        let activity = ConstantInput(place.full(1.0, [1, 1]));
        let (seen, _) = trace(&model, &activity, 10.0, 1600);
        for (second, bold) in expected {
            assert_close(seen[second * 100][0], bold, 1e-9);
        }
    }
}

#[test]
fn constant_activity_ends_in_the_closed_form() {
    let z = 0.7;
    for (_, place) in f64_places() {
        for config in [
            BalloonWindkesselConfig::friston_2003(),
            BalloonWindkesselConfig::stephan_2007(),
        ] {
            let value = |parameter: &crate::Values| parameter.as_slice()[0];
            let (rho, alpha) = (value(&config.oxygen_extraction), value(&config.stiffness));
            let f = 1.0 + z / value(&config.flow_feedback);
            let v = f.powf(alpha);
            let q = v * (1.0 - (1.0 - rho).powf(1.0 / f)) / rho;
            let bold = value(&config.resting_volume)
                * (value(&config.k1) * (1.0 - q)
                    + value(&config.k2) * (1.0 - q / v)
                    + value(&config.k3) * (1.0 - v));
            let activity = ConstantInput(place.full(z, [1, 1]));
            // In seconds, as another run's unit of time.
            let model = BalloonWindkesselConfig {
                time_unit: 1.0.into(),
                ..config
            }
            .init(&place)
            .unwrap();
            let (seen, state) = trace(&model, &activity, 0.1, 800);
            for (i, expected) in [0.0, f.ln(), v.ln(), q.ln()].into_iter().enumerate() {
                assert_close(host(state[i].clone()).unwrap()[0], expected, 1e-7);
            }
            assert_close(seen[800][0], bold, 1e-8);
        }
    }
}

#[test]
fn the_response_to_a_brief_stimulus_peaks_and_undershoots() {
    let place = f64_place();
    // DOP853: peak time (s), peak, undershoot.
    for (config, time, peak, trough) in [
        (
            BalloonWindkesselConfig::stephan_2007(),
            4.48,
            0.01705298962940945,
            -0.0012285686221091394,
        ),
        (
            BalloonWindkesselConfig::friston_2003(),
            3.21,
            0.015122763936302406,
            -0.0027388403143849185,
        ),
    ] {
        let model = config.init(&place).unwrap();
        let stimulus =
            |at: Clock| Some(place.full(if at.time < 499.0 { 1.0 } else { 0.0 }, [1, 1]));
        let (seen, _) = trace(&model, &stimulus, 10.0, 2000);
        let seen: Vec<f64> = seen.into_iter().map(|row| row[0]).collect();
        let extreme = |sign: f64| {
            (0..seen.len())
                .max_by(|a, b| (sign * seen[*a]).total_cmp(&(sign * seen[*b])))
                .unwrap()
        };
        let (top, bottom) = (extreme(1.0), extreme(-1.0));
        assert!((top as f64 * 0.01 - time).abs() < 0.011, "{top}");
        assert_close(seen[top], peak, 1e-6);
        assert_close(seen[bottom], trough, 1e-6);
        assert!(bottom > top);
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    every_gradient_agrees(
        |place| {
            BalloonWindkesselConfig {
                nodes: 2,
                transit_time: vec![2.0, 1.0].into(),
                rest: 0.1.into(),
                k3: 0.2.into(),
                initial: [0.1, 0.2, 0.1, -0.1].map(Into::into).to_vec(),
                trainable: BalloonWindkesselConfig::PARAMETERS
                    .iter()
                    .map(|x| (*x).into())
                    .collect(),
                ..Default::default()
            }
            .init(place)
            .unwrap()
        },
        &[1.0, 0.5],
        200.0,
        20,
    );
}

#[test]
fn single_precision_follows_on_every_device() {
    let config = BalloonWindkesselConfig::friston_2003();
    agrees_on_every_device(|place| config.init(place).unwrap(), &[1.0], 100.0, 15, 1e-5);
}

#[test]
fn extraction_is_a_share() {
    let config = BalloonWindkesselConfig {
        oxygen_extraction: 1.2.into(),
        ..Default::default()
    };
    let error = config.validate().unwrap_err().to_string();
    assert!(error.starts_with("oxygen_extraction = 1.2"), "{error}");
    let config = BalloonWindkesselConfig {
        transit_time: (-1.0).into(),
        ..Default::default()
    };
    assert!(
        config
            .validate()
            .unwrap_err()
            .to_string()
            .starts_with("transit_time = -1")
    );
}
