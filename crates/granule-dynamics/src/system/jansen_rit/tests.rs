use super::*;
use crate::model::{Clock, NoInput};
use crate::simulate::{Grid, record};
use crate::solver::Rk4;
use crate::system::testing::{
    agrees_on_every_device, every_gradient_agrees, peak_frequency, trace,
};
use crate::system::{Integrated, System};
use crate::testing::{assert_close, f64_place, f64_places};
use crate::{Model, Values, host};

#[test]
fn trace_from_rest_agrees_with_an_independent_integration() {
    // DOP853 at a relative tolerance of 1e-13: y1 − y2 every 20 ms, then the whole state at 100 ms.
    let potential = [
        0.0,
        3.9823534641772,
        6.86004104719549,
        13.11606658815979,
        13.02552617615683,
        6.97382936395992,
    ];
    let last = [
        1.49234696685265e-01,
        2.43236531781993e+01,
        1.73498238142394e+01,
        -1.25841322155970e-03,
        3.12128403863692e-02,
        3.40316134082583e-01,
    ];
    for (name, place) in f64_places() {
        let model = JansenRitConfig::default().init(&place).unwrap();
        let (seen, state) = trace(&model, &NoInput, 0.1, 1000);
        for (at, expected) in potential.iter().enumerate() {
            let found = seen[at * 200][0];
            assert!(
                (found - expected).abs() < 1e-7,
                "{name}: {found} {expected}"
            );
        }
        for (found, expected) in state.tensors().iter().zip(last) {
            assert_close(host(found.clone()).unwrap()[0], expected, 1e-8);
        }
    }
}

#[test]
fn a_column_shows_the_alpha_rhythm() {
    let place = f64_place();
    let model = Integrated::new(JansenRitConfig::default().init(&place).unwrap(), Rk4);
    let steady = [150.0, 180.0, 220.0, 260.0, 300.0];
    let batch = steady.len() + 1;
    // The last row's pulses are drawn anew every ms between 120 and 320 Hz, as in the paper.
    let mut random = crate::system::testing::uniform(7);
    let pulses: Vec<f64> = (0..6000).map(|_| 120.0 + 200.0 * random()).collect();
    let input = |at: Clock| {
        let row = steady.iter().copied().chain([pulses[at.step]]);
        Some(place.tensor(row.map(|p| p - 220.0).collect(), [batch, 1]))
    };
    let grid = Grid::Uniform {
        start: 0.0,
        dt: 1.0,
        steps: 6000,
    };
    let initial = model.initial_state(batch).unwrap();
    let (seen, _) = record(&model.dynamics().unwrap(), initial, &input, &grid).unwrap();
    let seen = host(seen).unwrap();
    for row in 0..batch {
        let potential: Vec<f64> = seen.iter().skip(row).step_by(batch).copied().collect();
        let peak = peak_frequency(&potential[2001..], 1e-3);
        assert!((8.0..=12.0).contains(&peak), "row {row}: {peak} Hz");
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    every_gradient_agrees(
        |place| {
            JansenRitConfig {
                nodes: 2,
                threshold: vec![6.0, 5.5].into(),
                initial: [0.05, 8.0, 5.0, 0.01, 0.3, 0.2].map(Into::into).to_vec(),
                trainable: JansenRitConfig::PARAMETERS
                    .iter()
                    .map(|x| (*x).into())
                    .collect(),
                ..Default::default()
            }
            .init(place)
            .unwrap()
        },
        &[60.0, -40.0],
        0.5,
        30,
    );
}

#[test]
fn single_precision_follows_on_every_device() {
    let config = JansenRitConfig {
        nodes: 2,
        ..Default::default()
    };
    agrees_on_every_device(
        |place| config.init(place).unwrap(),
        &[30.0, -30.0],
        0.5,
        20,
        1e-4,
    );
}

#[test]
fn noise_enters_the_excitatory_slope_alone() {
    let place = f64_place();
    let config = JansenRitConfig {
        noise: 400.0.into(),
        ..Default::default()
    };
    let model = config.init(&place).unwrap();
    let state = model.initial_state(1).unwrap();
    let amplitude = model.field().unwrap().diffusion(0.0, &state).unwrap();
    let values: Vec<f64> = amplitude
        .tensors()
        .iter()
        .map(|x| host(x.clone()).unwrap()[0])
        .collect();
    assert_close(values[4], 3.25 / 10.0 * 0.4, 1e-14);
    assert_eq!(values.iter().filter(|x| **x == 0.0).count(), 5);
    let silent = JansenRitConfig::default().init(&place).unwrap();
    assert!(silent.field().unwrap().diffusion(0.0, &state).is_none());
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |config: JansenRitConfig| config.validate().unwrap_err().to_string();
    let default = JansenRitConfig::default;
    let error = refused(JansenRitConfig {
        excitatory_time_constant: (-10.0).into(),
        ..default()
    });
    assert!(
        error.starts_with("excitatory_time_constant = -10"),
        "{error}"
    );
    let error = refused(JansenRitConfig {
        drive: f64::NAN.into(),
        ..default()
    });
    assert!(error.starts_with("drive = NaN"), "{error}");
    let error = refused(JansenRitConfig {
        nodes: 3,
        threshold: vec![6.0; 2].into(),
        ..default()
    });
    assert!(error.starts_with("threshold = [2 values]"), "{error}");
    let error = refused(JansenRitConfig {
        noise: (-1.0).into(),
        ..default()
    });
    assert!(error.starts_with("noise = -1"), "{error}");
    let error = refused(JansenRitConfig {
        initial: vec![0.0.into()],
        ..default()
    });
    assert!(error.starts_with("initial = 1 entries"), "{error}");
    let error = refused(JansenRitConfig {
        trainable: vec!["gain".into()],
        ..default()
    });
    assert!(error.starts_with("trainable = gain"), "{error}");
    assert!(
        refused(JansenRitConfig {
            nodes: 0,
            ..default()
        })
        .starts_with("nodes = 0")
    );
    let unknown = serde_json::from_str::<JansenRitConfig>(r#"{"gian": 3}"#);
    assert!(unknown.unwrap_err().to_string().contains("gian"));
    let config: JansenRitConfig =
        serde_json::from_str(r#"{"nodes": 2, "drive": [150, 200.5], "connectivity": 140}"#)
            .unwrap();
    assert_eq!(config.drive, Values::Each(vec![150.0, 200.5]));
    assert_eq!(config.connectivity, Values::One(140.0));
    config.validate().unwrap();
}
