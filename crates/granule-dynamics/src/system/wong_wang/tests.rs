use std::ops::ControlFlow;

use super::*;
use crate::model::{ConstantInput, Model, NoInput};
use crate::simulate::{Grid, simulate};
use crate::solver::{EulerMaruyama, StochasticHeun};
use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
use crate::system::{Integrated, System};
use crate::testing::{assert_close, f64_place, f64_places};
use crate::{NormalNoise, Place, host};

#[test]
fn decision_trace_agrees_with_an_independent_integration() {
    // DOP853 at a relative tolerance of 1e-13; coherence 25.6 %, 30 Hz.
    let expected = [
        (100, 0.1678959615642, 0.12972091586795),
        (500, 0.59255758492019, 0.09351047130069),
        (2000, 0.6749129040826, 0.04162271153338),
    ];
    for (_, place) in f64_places() {
        let model = WongWangConfig::default().init(&place).unwrap();
        let (first, second) = WongWang::stimulus(30.0, 0.256);
        let stimulus = ConstantInput(place.tensor(vec![first, second], [1, 2]));
        let (seen, _) = trace(&model, &stimulus, 1.0, 2000);
        for (at, s1, s2) in expected {
            assert_close(seen[at][0], s1, 1e-9);
            assert_close(seen[at][1], s2, 1e-9);
        }
    }
}

#[test]
fn the_population_with_more_evidence_wins_sooner_the_more_it_has() {
    let place = f64_place();
    let model = WongWangConfig::default().init(&place).unwrap();
    let mut times = Vec::new();
    for coherence in [0.032, 0.128, 0.512, -0.128] {
        let (first, second) = WongWang::stimulus(30.0, coherence);
        let stimulus = ConstantInput(place.tensor(vec![first, second], [1, 2]));
        let (seen, state) = trace(&model, &stimulus, 2.0, 1000);
        let (rate_1, rate_2) = model.field().unwrap().rates(&state, Some(&stimulus.0));
        let (rate_1, rate_2) = (host(rate_1).unwrap()[0], host(rate_2).unwrap()[0]);
        let (winner, loser) = if coherence > 0.0 {
            (rate_1, rate_2)
        } else {
            (rate_2, rate_1)
        };
        assert!(
            winner > 15.0 && loser < 5.0,
            "{coherence}: {rate_1} {rate_2} Hz"
        );
        let apart = seen.iter().position(|s| (s[0] - s[1]).abs() > 0.3).unwrap();
        times.push(apart);
    }
    assert!(times[0] > times[1] && times[1] > times[2], "{times:?}");
    assert_eq!(times[1], times[3]);
}

#[test]
fn without_stimulus_both_populations_fire_spontaneously() {
    let place = f64_place();
    let model = WongWangConfig::default().init(&place).unwrap();
    let (_, state) = trace(&model, &NoInput, 5.0, 2000);
    let (rate, _) = model.field().unwrap().rates(&state, None);
    assert_close(host(state[0].clone()).unwrap()[0], 0.10265124956488, 1e-6);
    assert_close(host(rate).unwrap()[0], 1.78461668261941, 1e-6);
}

#[test]
fn gradients_agree_with_central_differences() {
    every_gradient_agrees(
        |place| {
            WongWangConfig {
                initial: [0.3, 0.2, 0.01, -0.01].map(Into::into).to_vec(),
                trainable: WongWangConfig::PARAMETERS
                    .iter()
                    .map(|x| (*x).into())
                    .collect(),
                ..Default::default()
            }
            .init(place)
            .unwrap()
        },
        &[40.0, 20.0],
        1.0,
        40,
    );
}

#[test]
fn single_precision_follows_on_every_device() {
    let config = WongWangConfig::default();
    agrees_on_every_device(
        |place| config.init(place).unwrap(),
        &[40.0, 20.0],
        1.0,
        20,
        1e-5,
    );
}

#[test]
fn noise_currents_reach_their_stationary_variance() {
    let place = f64_place();
    let config = WongWangConfig {
        nodes: 50,
        ..Default::default()
    };
    let solver = StochasticHeun {
        noise: NormalNoise::new(5, 0),
    };
    let model = Integrated::new(config.init(&place).unwrap(), solver);
    let grid = Grid::over(60.0, 0.2).unwrap();
    let initial = model.initial_state(20).unwrap();
    let (mut sum, mut count) = (0.0, 0.0);
    simulate(
        &model.dynamics().unwrap(),
        initial,
        &NoInput,
        &grid,
        |step, _, state| {
            if step >= 100 && step.is_multiple_of(20) {
                let both = state[2].clone().square() + state[3].clone().square();
                sum += host(both.mean()).unwrap()[0] / 2.0;
                count += 1.0;
            }
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    // σ²/2 of 22 000 numbers
    assert_close(sum / count / (0.5 * 0.02 * 0.02), 1.0, 0.03);
}

#[test]
fn with_noise_decisions_are_the_better_the_more_evidence_there_is() {
    let place = Place::f32(&crate::testing::host_device("flex"));
    let coherences = [0.0, 0.064, 0.128, 0.512];
    let trials = 200;
    let rows = coherences
        .iter()
        .flat_map(|c| std::iter::repeat_n(*c, trials));
    let stimuli = rows.flat_map(|c| <[f64; 2]>::from(WongWang::stimulus(30.0, c)));
    let stimuli = ConstantInput(place.tensor(stimuli.collect(), [coherences.len() * trials, 2]));
    let solver = EulerMaruyama {
        noise: NormalNoise::new(11, 0),
    };
    let model = Integrated::new(WongWangConfig::default().init(&place).unwrap(), solver);
    let initial = model.initial_state(coherences.len() * trials).unwrap();
    let grid = Grid::over(1500.0, 1.0).unwrap();
    let dynamics = model.dynamics().unwrap();
    let last = simulate(&dynamics, initial, &stimuli, &grid, |_, _, _| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let apart = host(last[0].clone() - last[1].clone()).unwrap();
    let right: Vec<f64> = apart
        .chunks(trials)
        .map(|row| row.iter().filter(|x| **x > 0.0).count() as f64 / trials as f64)
        .collect();
    eprintln!("right at coherences {coherences:?}: {right:?}");
    assert!((right[0] - 0.5).abs() < 0.12, "{right:?}");
    assert!(right.windows(2).all(|pair| pair[0] < pair[1]), "{right:?}");
    assert!(right[3] > 0.98, "{right:?}");
}

#[test]
fn noise_drives_the_currents_by_its_filter() {
    let place = f64_place();
    let model = WongWangConfig::default().init(&place).unwrap();
    let state = model.initial_state(1).unwrap();
    let amplitude = model.field().unwrap().diffusion(0.0, &state).unwrap();
    let values: Vec<f64> = amplitude
        .tensors()
        .iter()
        .map(|x| host(x.clone()).unwrap()[0])
        .collect();
    assert_eq!(values[..2], [0.0, 0.0]);
    assert_close(values[2], 0.02 / 2f64.sqrt(), 1e-14);
}
