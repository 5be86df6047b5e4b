use burn::module::Param;
use burn::nn::{Linear, LinearConfig};

use super::*;
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_place, f64_places};
use crate::{ConstantInput, Grid, Model, NoInput, NormalNoise, record, simulate};

fn oja(rate: f64, place: &Place) -> Oja {
    let config = OjaConfig {
        rate,
        ..OjaConfig::default()
    };
    config.init(place).unwrap()
}

/// The same seed gives one layer on every device, and learning moves it alike.
#[test]
fn layers_learn_alike_on_every_device() {
    let mut found: Vec<Vec<f64>> = Vec::new();
    for (_, place) in f32_places() {
        let config = PlasticLayerConfig {
            inputs: 5,
            units: 4,
            response: Response::Winners {
                count: 2,
                binary: false,
            },
            seed: 3,
            ..PlasticLayerConfig::default()
        };
        let mut layer = config.init(&place).unwrap();
        let rule = oja(0.1, &place);
        let mut progress = layer.begin(&rule);
        for batch in 0..3 {
            let rows = NormalNoise::new(1, 0).at(batch, [6, 5], &place);
            (layer, progress) = layer.learn(&rule, rows, progress).unwrap();
        }
        assert_eq!(progress.batches, 3);
        found.push(values(&layer.weights.val()));
    }
    for other in &found[1..] {
        for (a, b) in found[0].iter().zip(other) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn responses_are_what_they_say() {
    let place = f64_place();
    let rows = place.tensor(vec![1.0, 2.0], [1, 2]);
    let weights = vec![1.0, -1.0, 0.5, 0.2, 1.0, -2.0, 1.0, 0.1];
    let respond = |response: Response| {
        let config = PlasticLayerConfig {
            inputs: 2,
            units: 4,
            response,
            ..PlasticLayerConfig::default()
        };
        let mut layer = config.init(&place).unwrap();
        layer.weights = Param::from_tensor(place.tensor(weights.clone(), [2, 4]));
        values(&layer.forward(rows.clone()))
    };
    assert_eq!(respond(Response::Linear), [3.0, -5.0, 2.5, 0.4]);
    assert_eq!(respond(Response::Relu), [3.0, 0.0, 2.5, 0.4]);
    for (count, binary, expected) in [
        (1, true, [1.0, 0.0, 0.0, 0.0]),
        (2, false, [3.0, 0.0, 2.5, 0.0]),
        (3, true, [1.0, 0.0, 1.0, 1.0]),
    ] {
        assert_eq!(respond(Response::Winners { count, binary }), expected);
    }
}

/// A linear Poisson unit with one input: of each presynaptic spike's effect, the share 1 − e^(−dt/τ) is there at once, so
/// that E[pre·post] = p (p w̄ + (1 − e^(−dt/τ)) w (1 − p)) with p the probability of a spike in a step.
#[test]
fn spiking_layers_have_the_correlation_of_linear_poisson_units() {
    let place = f64_place();
    let (w, p, left) = (0.6, 0.05_f64, (-0.25_f64).exp());
    let config = PlasticLayerConfig {
        response: Response::Spikes {
            steps: 40,
            dt: 1.0,
            rate: p,
            time_constant: 4.0,
            seed: 5,
        },
        weight_mean: w,
        weight_deviation: Some(0.0),
        ..PlasticLayerConfig::default()
    };
    let layer = config.init(&place).unwrap();
    // So small a rate leaves the weight as it is and measures the correlation.
    let hebb = HebbConfig {
        rate: 1e-9,
        ..HebbConfig::default()
    };
    let hebb = hebb.init(&place).unwrap();
    let rows = place.full(1.0, [20_000, 1]);
    let (after, _) = layer.learn(&hebb, rows, layer.begin(&hebb)).unwrap();
    let found = (values(&after.weights.val())[0] - w) / 1e-9;
    // The filter begins empty: the mean drive after n steps is w (1 − leftⁿ).
    let mean: f64 = (1..=40).map(|n| 1.0 - left.powi(n)).sum();
    let expected = p * (p * w * mean + 40.0 * (1.0 - left) * w * (1.0 - p));
    // 800 000 Bernoulli trials.
    let error = (expected / 20_000.0_f64).sqrt();
    assert!((found - expected).abs() < 4.0 * error, "{found} {expected}");

    let (again, _) = layer
        .learn(&hebb, place.full(1.0, [20_000, 1]), layer.begin(&hebb))
        .unwrap();
    assert_eq!(values(&again.weights.val()), values(&after.weights.val()));
}

/// Inputs that fire together win the competition for timing (Song, Miller and Abbott 2000): under STDP with hard bounds they
/// end stronger than inputs of the same rate that do not.
#[test]
fn stdp_prefers_correlated_inputs() {
    let place = f64_place();
    let config = RulesConfig {
        rules: vec![RuleConfig::PairStdp(PairStdpConfig {
            potentiation: 0.02,
            depression: 0.022,
            ..PairStdpConfig::default()
        })],
        limits: WeightLimits {
            bounds: WeightBounds::Hard {
                low: 0.0,
                high: 1.0,
            },
            keep_signs: true,
        },
    };
    let rules = config.init(&place).unwrap();
    let (inputs, correlated) = (20, 10);
    let start = place.full(0.5, [inputs, 1]);
    let connection = PlasticConnection::new(&rules, start);
    let batch = 16;
    let mut state = connection.initial(batch, true);
    let mut drive = place.full(0.0, [batch, 1]);
    let mut draw = draws(4);
    for _ in 0..3000 {
        let mut pre = Vec::new();
        for _ in 0..batch {
            let common = draw() < 0.02;
            pre.extend((0..inputs).map(|i| {
                let own = draw() < 0.02;
                f64::from(if i < correlated { common } else { own })
            }));
        }
        let pre = place.tensor(pre, [batch, inputs]);
        drive = drive * 0.8 + connection.transmit(&state, pre.clone()) * 0.03;
        let chance = (0..batch).map(|_| draw()).collect();
        let post = place.tensor::<2>(chance, [batch, 1]).lower(drive.clone());
        let post = post.float().cast(place.dtype);
        let activity = Activity {
            pre,
            post,
            dt: 1.0,
            reward: None,
        };
        state = connection.learn(&state, &activity).unwrap();
    }
    let weights = values(&state[0]);
    let mean = |w: &[f64]| w.iter().sum::<f64>() / w.len() as f64;
    let (together, alone) = (mean(&weights[..correlated]), mean(&weights[correlated..]));
    assert!(together > alone + 0.3, "{together} {alone}");
}

#[test]
fn layers_refuse_rows_of_another_width() {
    let place = f64_place();
    let layer = PlasticLayerConfig::default().init(&place).unwrap();
    let rule = oja(0.1, &place);
    let error = layer.learn(&rule, place.full(0.0, [2, 3]), layer.begin(&rule));
    assert!(matches!(error, Err(crate::DynamicsError::Shape { .. })));
}

/// The weight of a trained module is adjusted, keeps its identity and goes on being trained.
#[test]
fn adjustment_keeps_the_parameter() {
    let place = f64_autodiff();
    let linear: Linear = LinearConfig::new(3, 2).init(&place.device);
    let weight = linear
        .weight
        .map(|w| w.cast(place.dtype).detach().require_grad());
    let before = values(&weight.val());
    let id = weight.id;
    let rule = HebbConfig {
        rate: 0.1,
        ..HebbConfig::default()
    };
    let rule = rule.init(&place).unwrap();
    let activity = Activity {
        pre: place.tensor(vec![1.0, 2.0, 3.0], [1, 3]),
        post: place.tensor(vec![1.0, -1.0], [1, 2]),
        dt: 1.0,
        reward: None,
    };
    let (weight, _) = adjust(weight, &rule, [activity.clone(), activity.clone()], None).unwrap();
    assert_eq!(weight.id, id);
    assert!(weight.is_require_grad());
    let after = values(&weight.val());
    for (i, (after, before)) in after.iter().zip(before).enumerate() {
        let (pre, sign) = ((i / 2 + 1) as f64, if i % 2 == 0 { 1.0 } else { -1.0 });
        assert_close(*after, before + 0.2 * pre * sign, 1e-12);
    }
    let gradients = weight.val().sum().backward();
    assert_eq!(values(&weight.val().grad(&gradients).unwrap()), [1.0; 6]);

    let wrong = Activity {
        pre: activity.post.clone(),
        ..activity
    };
    assert!(adjust(weight, &rule, [wrong], None).is_err());
}

/// Traces handed back continue where the first call ended.
#[test]
fn adjustment_goes_on_with_its_traces() {
    let place = f64_place();
    let rule = PairStdpConfig::default().init(&place).unwrap();
    let trains = spike_trains(8, 40, 3, 0.2);
    let activities: Vec<Activity> = trains
        .iter()
        .map(|row| Activity {
            pre: place.tensor(row[..2].to_vec(), [1, 2]),
            post: place.tensor(row[2..].to_vec(), [1, 1]),
            dt: 1.0,
            reward: None,
        })
        .collect();
    let start = || Param::from_tensor(place.full::<2>(0.5, [2, 1]));
    let (whole, _) = adjust(start(), &rule, activities.clone(), None).unwrap();
    let (half, traces) = adjust(start(), &rule, activities[..20].to_vec(), None).unwrap();
    let (joined, _) = adjust(half, &rule, activities[20..].to_vec(), Some(traces)).unwrap();
    for (a, b) in values(&whole.val()).iter().zip(values(&joined.val())) {
        assert_close(*a, b, 1e-15);
        assert!((a - 0.5).abs() > 1e-4);
    }
    let wrong = State::new(vec![place.full(0.0, [1, 2])]);
    assert!(adjust(start(), &rule, activities, Some(wrong)).is_err());
}

fn network(shared: bool, rate: f64) -> PlasticNetworkConfig {
    PlasticNetworkConfig {
        inputs: 0,
        units: 6,
        time_constant: 20.0,
        gain: 0.5,
        shared,
        plasticity: RulesConfig::of(RuleConfig::Hebb(HebbConfig {
            rate,
            ..HebbConfig::default()
        })),
        seed: 2,
        ..PlasticNetworkConfig::default()
    }
}

/// Fast weights belong to their row, shared weights to all: a row alone and in a batch differ only under shared weights.
#[test]
fn fast_weights_are_a_rows_own() {
    for (_, place) in f64_places() {
        for shared in [false, true] {
            let network = network(shared, 5e-3).init(&place).unwrap();
            let dynamics = network.dynamics().unwrap();
            let grid = Grid::over(100.0, 2.0).unwrap();
            let start = |rows: usize| {
                let mut state = network.initial_state(rows).unwrap();
                let x = NormalNoise::new(6, 0).at(0, [rows, 6], &place);
                state.replace(0, x);
                state
            };
            let (one, last) = record(&dynamics, start(1), &NoInput, &grid).unwrap();
            let (two, _) = record(&dynamics, start(2), &NoInput, &grid).unwrap();
            let first = values(&two.narrow(1, 0, 1));
            let one = values(&one);
            let differ = one.iter().zip(&first).any(|(a, b)| (a - b).abs() > 1e-9);
            assert_eq!(differ, shared);
            let moved = dynamics.weights(&last) - network.recurrent.val().unsqueeze_dim(0);
            assert!(values(&moved.abs().max())[0] > 1e-3);
        }
    }
}

/// A pattern shown once is stored in fast Hebbian weights and comes back from a part of it (Hopfield 1982).
#[test]
fn a_network_completes_the_pattern_it_saw() {
    let place = f64_place();
    let units = 12;
    let config = PlasticNetworkConfig {
        inputs: units,
        units,
        time_constant: 10.0,
        gain: 0.0,
        plasticity: RulesConfig::of(RuleConfig::Hebb(HebbConfig {
            rate: 3e-3,
            ..HebbConfig::default()
        })),
        ..PlasticNetworkConfig::default()
    };
    let mut network = config.init(&place).unwrap();
    let diagonal = (0..units * units).map(|i| f64::from(i % (units + 1) == 0));
    network.input = Some(Param::from_tensor(
        place.tensor(diagonal.collect(), [units, units]),
    ));
    let pattern: Vec<f64> = (0..units)
        .map(|i| if i * i % 5 < 2 { 1.0 } else { -1.0 })
        .collect();
    let dynamics = network.dynamics().unwrap();
    let grid = Grid::over(200.0, 2.0).unwrap();
    let go = |state: State, input: Vec<f64>| {
        let input = ConstantInput(place.tensor(input, [1, units]));
        simulate(&dynamics, state, &input, &grid, |_, _, _| {
            std::ops::ControlFlow::Continue(())
        })
        .unwrap()
    };
    let shown = go(
        network.initial_state(1).unwrap(),
        pattern.iter().map(|x| 2.0 * x).collect(),
    );
    let recall = |mut state: State| {
        state.replace(0, place.full(0.0, [1, units]));
        let cue = pattern
            .iter()
            .enumerate()
            .map(|(i, x)| if i < 3 { 0.5 * x } else { 0.0 });
        let rates = values(&go(state, cue.collect())[0].clone().tanh());
        let overlap: f64 = rates[3..]
            .iter()
            .zip(&pattern[3..])
            .map(|(r, p)| r * p)
            .sum();
        overlap / (units - 3) as f64
    };
    assert!(recall(shown) > 0.9);
    assert!(recall(network.initial_state(1).unwrap()) < 0.1);
}
