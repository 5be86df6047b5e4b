use super::*;
use crate::testing::{assert_close, f32_places, f64_place, f64_places};

/// One presynaptic spike and, for every Δt, a unit with one postsynaptic spike.
fn window(place: &Place, dt: f64, offsets: &[i32]) -> Vec<f64> {
    let rule = PairStdpConfig {
        potentiation: 0.01,
        depression: 0.012,
        potentiation_time_constant: 20.0,
        depression_time_constant: 34.0,
        ..PairStdpConfig::default()
    };
    let rule = rule.init(place).unwrap();
    let centre = offsets.iter().map(|x| x.abs()).max().unwrap();
    let activity = |step: usize, _: &Tensor<3>| {
        let now = step as i32 - centre;
        let post = offsets.iter().map(|at| f64::from(*at == now)).collect();
        Activity {
            pre: place.full(f64::from(now == 0), [1, 1]),
            post: place.tensor(post, [1, offsets.len()]),
            dt,
            reward: None,
        }
    };
    let start = place.full(0.0, [1, 1, offsets.len()]);
    let steps = 2 * centre as usize + 1;
    values(&run(&rule, start, steps, activity).0)
}

/// Reference numbers, section 6: +0.0060653066 at +10 ms; the rest against the closed form.
#[test]
fn the_stdp_window_is_exponential_on_both_sides() {
    let closed_form = |dt: f64| match dt {
        dt if dt > 0.0 => 0.01 * (-dt / 20.0).exp(),
        dt if dt < 0.0 => -0.012 * (dt / 34.0).exp(),
        _ => 0.0,
    };
    let offsets: Vec<i32> = (-80..=80).collect();
    for (_, place) in f64_places() {
        let changes = window(&place, 0.5, &offsets);
        for (change, offset) in changes.iter().zip(&offsets) {
            assert!((change - closed_form(0.5 * f64::from(*offset))).abs() < 1e-15);
        }
        assert!(
            (changes[100] - 0.0060653066).abs() < 5e-11,
            "{}",
            changes[100]
        );
    }
    for (name, place) in f32_places() {
        for (change, dt) in window(&place, 1.0, &[-12, 0, 10])
            .iter()
            .zip([-12.0, 0.0, 10.0])
        {
            let found = (change - closed_form(dt)).abs();
            assert!(found < 2e-8, "{name}: {change} at {dt}");
        }
    }
}

#[test]
fn nearest_neighbours_pair_once() {
    for (pairing, expected) in [
        (Pairing::AllToAll, (-0.5_f64).exp() + (-0.25_f64).exp()),
        (Pairing::NearestNeighbour, (-0.25_f64).exp()),
    ] {
        let place = f64_place();
        let rule = PairStdpConfig {
            potentiation: 1.0,
            pairing,
            ..PairStdpConfig::default()
        };
        let activity = |step: usize, _: &Tensor<3>| Activity {
            pre: place.full(f64::from(step == 0 || step == 5), [1, 1]),
            post: place.full(f64::from(step == 10), [1, 1]),
            dt: 1.0,
            reward: None,
        };
        let rule = rule.init(&place).unwrap();
        let (weights, _) = run(&rule, place.full(0.0, [1, 1, 1]), 11, activity);
        assert_close(values(&weights)[0], expected, 1e-14);
    }
}

/// The triplet rule spike by spike, as the paper has it: traces jump at spikes and decay in between.
fn triplet_by_events(config: &TripletStdpConfig, pre: &[(f64, bool)], post: &[(f64, bool)]) -> f64 {
    let spikes = |train: &[(f64, bool)]| -> Vec<f64> {
        train
            .iter()
            .filter(|(_, fired)| *fired)
            .map(|(t, _)| *t)
            .collect()
    };
    let (pre, post) = (spikes(pre), spikes(post));
    let trace = |train: &[f64], now: f64, tau: f64| {
        let earlier = train.iter().filter(|t| **t < now);
        let mut terms = earlier.map(|t| ((t - now) / tau).exp());
        match config.pairing {
            Pairing::AllToAll => terms.sum(),
            Pairing::NearestNeighbour => terms.next_back().unwrap_or(0.0),
        }
    };
    let mut weight = 0.0;
    for t in &pre {
        let o1: f64 = trace(&post, *t, config.post_time_constant);
        let r2: f64 = trace(&pre, *t, config.slow_pre_time_constant);
        weight -= o1 * (config.pair_depression + config.triplet_depression * r2);
    }
    for t in &post {
        let r1: f64 = trace(&pre, *t, config.pre_time_constant);
        let o2: f64 = trace(&post, *t, config.slow_post_time_constant);
        weight += r1 * (config.pair_potentiation + config.triplet_potentiation * o2);
    }
    weight
}

fn triplet_by_steps(config: &TripletStdpConfig, pre: &[f64], post: &[f64], dt: f64) -> f64 {
    let place = f64_place();
    let rule = config.init(&place).unwrap();
    let activity = |step: usize, _: &Tensor<3>| Activity {
        pre: place.full(pre[step], [1, 1]),
        post: place.full(post[step], [1, 1]),
        dt,
        reward: None,
    };
    let (weights, _) = run(&rule, place.full(0.0, [1, 1, 1]), pre.len(), activity);
    values(&weights)[0]
}

#[test]
fn triplets_agree_with_the_rule_spike_by_spike() {
    let dt = 0.5;
    for pairing in [Pairing::AllToAll, Pairing::NearestNeighbour] {
        let config = TripletStdpConfig {
            pair_potentiation: 6.1e-3,
            triplet_depression: 1.4e-3,
            pairing,
            ..TripletStdpConfig::default()
        };
        for seed in 1..=3 {
            let trains = spike_trains(seed, 1000, 2, 0.03);
            let side = |unit: usize| -> Vec<f64> { trains.iter().map(|row| row[unit]).collect() };
            let timed = |train: &[f64]| -> Vec<(f64, bool)> {
                let at = |(i, s): (usize, &f64)| (i as f64 * dt, *s > 0.0);
                train.iter().enumerate().map(at).collect()
            };
            let (pre, post) = (side(0), side(1));
            assert!(pre.iter().sum::<f64>() > 15.0 && post.iter().sum::<f64>() > 15.0);
            let expected = triplet_by_events(&config, &timed(&pre), &timed(&post));
            assert_close(triplet_by_steps(&config, &pre, &post, dt), expected, 1e-12);
            assert!(expected.abs() > 1e-3, "{expected}");
        }
    }
}

/// Sixty pairs at several frequencies: the measurements in visual cortex to which Pfister and Gerstner (2006) fitted the
/// parameters of either pairing, Δw with its standard error. Post after pre potentiates more at higher frequencies, and from 40 Hz on so
/// does pre after post, which pairs alone cannot do.
#[test]
fn triplets_reproduce_the_frequency_dependence_of_pairing() {
    let measured = [
        (
            10.0,
            [
                (10.0, 0.14, 0.10),
                (20.0, 0.29, 0.14),
                (40.0, 0.53, 0.11),
                (50.0, 0.56, 0.26),
            ],
        ),
        (
            -10.0,
            [
                (10.0, -0.41, 0.11),
                (20.0, -0.34, 0.10),
                (40.0, 0.56, 0.32),
                (50.0, 0.75, 0.19),
            ],
        ),
    ];
    let dt = 5.0;
    let models = [
        TripletStdpConfig::default(),
        TripletStdpConfig::nearest_neighbour(),
    ];
    let runs = models
        .iter()
        .flat_map(|config| measured.iter().map(move |row| (config, *row)));
    for (config, (delta, frequencies)) in runs {
        for (frequency, mean, error) in frequencies {
            let period = (1000.0 / frequency / dt) as usize;
            let train = |first: usize| -> Vec<f64> {
                let fires = |step: usize| step >= first && (step - first).is_multiple_of(period);
                (0..60 * period)
                    .map(|step| f64::from(fires(step)))
                    .collect()
            };
            let (pre, post) = if delta > 0.0 {
                (train(0), train((delta / dt) as usize))
            } else {
                (train((-delta / dt) as usize), train(0))
            };
            assert_eq!(pre.iter().sum::<f64>(), 60.0);
            let change = triplet_by_steps(config, &pre, &post, dt);
            let limit = 1.5 * error;
            assert!(
                (change - mean).abs() < limit,
                "{delta} {frequency}: {change}"
            );
        }
    }
}

/// Regular trains: u⁺ = U/(1 − (1 − U)e^(−T/τ_f)), x = (1 − e^(−T/τ_d))/(1 − (1 − u⁺)e^(−T/τ_d)).
#[test]
fn short_term_plasticity_settles_where_regular_trains_leave_it() {
    for (_, place) in f64_places() {
        for (release, tau_f, tau_d, steps_per_spike) in [
            (0.5, 1.0, 800.0, 12),
            (0.03, 530.0, 130.0, 25),
            (0.16, 45.0, 376.0, 7),
        ] {
            let config = ShortTermConfig {
                release,
                facilitation_time_constant: tau_f,
                recovery_time_constant: tau_d,
                ..ShortTermConfig::default()
            };
            let dt = 2.0;
            let synapse = config.init(&place).unwrap();
            let mut state = synapse.initial(1, 1, &place);
            let mut first = None;
            let mut last = 0.0;
            for step in 0..400 * steps_per_spike {
                let spike = step % steps_per_spike == 0;
                let pre = place.full(f64::from(spike), [1, 1]);
                let (efficacy, next) = synapse.step(&pre, dt, &state);
                state = next;
                if spike {
                    last = values(&efficacy)[0];
                    first.get_or_insert(last);
                }
            }
            let period = dt * steps_per_spike as f64;
            let u = release / (1.0 - (1.0 - release) * (-period / tau_f).exp());
            let left = (-period / tau_d).exp();
            let x = (1.0 - left) / (1.0 - (1.0 - u) * left);
            assert_close(first.unwrap(), release, 1e-14);
            assert_close(last, u * x, 1e-12);
        }
    }
}

/// A constant rate r: u = Uτ_f r/(1 + Uτ_f r), u⁺ = u + U(1 − u), x = 1/(1 + u⁺τ_d r), at any dt.
#[test]
fn short_term_plasticity_of_rates_settles_exactly() {
    let config = ShortTermConfig {
        release: 0.2,
        facilitation_time_constant: 300.0,
        recovery_time_constant: 150.0,
        signal: Signal::Rates,
        ..ShortTermConfig::default()
    };
    for (name, place) in f32_places() {
        let rate = 0.02;
        let u = 0.2 * 300.0 * rate / (1.0 + 0.2 * 300.0 * rate);
        let plus = u + 0.2 * (1.0 - u);
        let x = 1.0 / (1.0 + plus * 150.0 * rate);
        let synapse = config.init(&place).unwrap();
        for dt in [5.0, 200.0] {
            let mut state = synapse.initial(1, 1, &place);
            let mut efficacy = place.full(0.0, [1, 1]);
            for _ in 0..(4000.0 / dt) as usize {
                (efficacy, state) = synapse.step(&place.full(rate, [1, 1]), dt, &state);
            }
            let found = values(&efficacy)[0];
            assert!((found - plus * x).abs() < 1e-6, "{name} {dt}: {found}");
        }
    }
}
