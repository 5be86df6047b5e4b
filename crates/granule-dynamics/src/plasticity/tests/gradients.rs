use burn::module::{Module, Param, ParamId};
use burn::optim::GradientsParams;

use super::*;
use crate::differences::{central, slopes};
use crate::gradient::{Memory, Run, gradient};
use crate::population::Activation;
use crate::testing::{f32_places, f64_autodiff, f64_places, host_device};
use crate::{ConstantInput, DynamicsError, Grid, Model};

/// Compares the gradient of `loss` with central differences in every trained number of `module`; returns how many.
fn check<M: Module>(name: &str, module: &M, loss: impl Fn(&M) -> Tensor<1>) -> usize {
    let gradients = GradientsParams::from_grads(loss(module).backward(), module);
    let mut checked = 0;
    for (parameter, (id, slopes)) in slopes(module, gradients).into_iter().enumerate() {
        for (element, slope) in slopes.into_iter().enumerate() {
            let difference = central(module, (id, element), 1e-5, |moved| values(&loss(moved))[0]);
            let limit = 1e-5 * difference.abs() + 1e-10;
            assert!(
                (slope - difference).abs() < limit,
                "{name}, parameter {parameter}[{element}]: {slope} {difference}"
            );
            assert!(slope.abs() > 1e-7, "{name}, parameter {parameter}: {slope}");
            checked += 1;
        }
    }
    checked
}

fn all(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).into()).collect()
}

/// Every rule with everything trainable.
fn rules() -> Vec<(RuleConfig, bool)> {
    let fixed = |value| ThresholdConfig::Fixed { value };
    let mean = |time_constant| ThresholdConfig::Mean { time_constant };
    let covariance = |pre, post| {
        RuleConfig::Covariance(CovarianceConfig {
            rate: 0.02,
            pre,
            post,
            trainable: all(&["rate", "pre", "post"]),
        })
    };
    let pairs = |pairing| {
        RuleConfig::PairStdp(PairStdpConfig {
            pairing,
            trainable: all(&[
                "potentiation",
                "depression",
                "potentiation_time_constant",
                "depression_time_constant",
            ]),
            ..PairStdpConfig::default()
        })
    };
    let triplets = |pairing| {
        RuleConfig::TripletStdp(TripletStdpConfig {
            pair_potentiation: 5e-3,
            triplet_depression: 2e-3,
            pairing,
            trainable: all(&[
                "pair_potentiation",
                "triplet_potentiation",
                "pair_depression",
                "triplet_depression",
                "pre_time_constant",
                "slow_pre_time_constant",
                "post_time_constant",
                "slow_post_time_constant",
            ]),
            ..TripletStdpConfig::default()
        })
    };
    let rewarded = |pairing| {
        RuleConfig::RewardStdp(RewardStdpConfig {
            eligibility_time_constant: 30.0,
            reward_time_constant: 10.0,
            baseline: 0.02,
            pairing,
            trainable: all(&[
                "potentiation",
                "depression",
                "potentiation_time_constant",
                "depression_time_constant",
                "eligibility_time_constant",
                "reward_time_constant",
                "baseline",
            ]),
            ..RewardStdpConfig::default()
        })
    };
    let homeostasis = |signal, target| {
        RuleConfig::Homeostasis(HomeostasisConfig {
            target,
            time_constant: 50.0,
            average_time_constant: 20.0,
            signal,
            trainable: all(&["target", "time_constant", "average_time_constant"]),
        })
    };
    let rate = || all(&["rate"]);
    vec![
        (
            RuleConfig::Hebb(HebbConfig {
                rate: 0.01,
                trainable: rate(),
            }),
            false,
        ),
        (
            RuleConfig::Oja(OjaConfig {
                rate: 0.05,
                trainable: rate(),
            }),
            false,
        ),
        (
            RuleConfig::Sanger(SangerConfig {
                rate: 0.05,
                trainable: rate(),
            }),
            false,
        ),
        (
            RuleConfig::Competitive(CompetitiveConfig {
                rate: 0.05,
                inhibition: 0.3,
                rank: 2,
                trainable: all(&["rate", "inhibition"]),
            }),
            false,
        ),
        (
            RuleConfig::Bcm(BcmConfig {
                rate: 0.02,
                trainable: all(&["rate", "time_constant", "target"]),
                ..BcmConfig::default()
            }),
            false,
        ),
        (covariance(fixed(0.2), fixed(0.3)), false),
        (covariance(mean(10.0), mean(30.0)), false),
        (covariance(fixed(0.1), mean(30.0)), false),
        (
            RuleConfig::TwoThreshold(TwoThresholdConfig {
                rate: 0.02,
                depression_threshold: 0.1,
                gap: 0.3,
                trainable: all(&["rate", "depression_threshold", "gap"]),
            }),
            false,
        ),
        (pairs(Pairing::AllToAll), true),
        (pairs(Pairing::NearestNeighbour), true),
        (triplets(Pairing::AllToAll), true),
        (triplets(Pairing::NearestNeighbour), true),
        (rewarded(Pairing::AllToAll), true),
        (rewarded(Pairing::NearestNeighbour), true),
        (homeostasis(Signal::Rates, 0.6), false),
        (homeostasis(Signal::Spikes, 0.2), true),
        (
            RuleConfig::Decay(DecayConfig {
                rate: 0.01,
                trainable: rate(),
            }),
            false,
        ),
    ]
}

/// Rules together with the weights they begin with.
#[derive(Module, Debug)]
struct Learner {
    weights: Param<Tensor<2>>,
    rules: Rules,
}

const STEPS: usize = 50;
const SHAPE: [usize; 3] = [2, 3, 2];

/// A loss of the weights and traces after 50 steps, in which rates depend on the weights.
fn loss(learner: &Learner, spikes: bool, shared: bool) -> Tensor<1> {
    let [batch, pre, post] = SHAPE;
    let place = Place::of(&learner.weights.val());
    let trains = spike_trains(9, STEPS * batch, pre + post, 0.2);
    let rows = |step: usize, columns: std::ops::Range<usize>| {
        let rows = &trains[step * batch..(step + 1) * batch];
        let values = rows.iter().flat_map(|row| row[columns.clone()].to_vec());
        place.tensor::<2>(values.collect(), [batch, columns.len()])
    };
    let connection = PlasticConnection::new(&learner.rules, learner.weights.val());
    let mut state = connection.initial(batch, shared);
    for step in 0..STEPS {
        let wave = |i: usize| 0.6 + 0.5 * (0.37 * step as f64 + 1.7 * i as f64).sin();
        let pre = if spikes {
            rows(step, 0..pre)
        } else {
            place.tensor((0..batch * pre).map(wave).collect(), [batch, pre])
        };
        let activity = Activity {
            post: if spikes {
                rows(step, SHAPE[1]..SHAPE[1] + post)
            } else {
                (connection.transmit(&state, pre.clone()) * 0.8).tanh()
            },
            pre,
            dt: 1.0,
            reward: Some(place.full(f64::from(step % 9 == 4), [1, 1])),
        };
        state = connection.learn(&state, &activity).unwrap();
    }
    let weights = (state[0].clone() * 1.3).sin().sum();
    let traces = state.tensors()[1..].iter();
    traces.fold(weights, |sum, trace| {
        sum + trace.clone().powi_scalar(2).sum() * 0.1
    })
}

#[test]
fn gradients_of_every_rule_agree_with_central_differences() {
    let place = f64_autodiff();
    for (config, spikes) in rules() {
        for (shared, soft) in [(true, false), (false, true)] {
            let bounds = if soft {
                WeightBounds::Soft {
                    low: -2.0,
                    high: 2.0,
                }
            } else {
                WeightBounds::Free
            };
            let rules = RulesConfig {
                rules: vec![config.clone()],
                limits: WeightLimits {
                    bounds,
                    keep_signs: false,
                },
            };
            let learner = Learner {
                rules: rules.init(&place).unwrap(),
                ..learner(&config, &place)
            };
            let name = format!("{} (shared: {shared})", learner.rules.name());
            let checked = check(&name, &learner, |learner| loss(learner, spikes, shared));
            let trainable = serde_json::to_value(&config).unwrap()["trainable"].clone();
            assert_eq!(checked, 6 + trainable.as_array().unwrap().len(), "{name}");
        }
    }
}

fn learner(config: &RuleConfig, place: &Place) -> Learner {
    let start = vec![0.4, -0.3, 0.7, 0.5, 0.2, 0.6];
    Learner {
        weights: Param::from_tensor(place.tensor(start, [3, 2])),
        rules: RulesConfig::of(config.clone()).init(place).unwrap(),
    }
}

#[test]
fn every_rule_is_the_same_on_every_device() {
    let double = f64_places()
        .into_iter()
        .map(|(name, place)| (name, place, 1e-12));
    let single = f32_places()
        .into_iter()
        .map(|(name, place)| (name, place, 2e-5));
    let places: Vec<(&str, Place, f64)> = double.chain(single).collect();
    for (config, spikes) in rules() {
        let of = |place: &Place| values(&loss(&learner(&config, place), spikes, false))[0];
        let expected = of(&places[0].1);
        for (name, place, tolerance) in &places {
            let found = of(place);
            let near = (found - expected).abs() < tolerance * expected.abs().max(1.0);
            assert!(near, "{config:?} on {name}: {found} {expected}");
        }
    }
}

#[test]
fn both_cpu_backends_give_one_gradient() {
    let on = |backend: &str, config: &RuleConfig, spikes: bool| {
        let place = Place::f64(&host_device(backend).autodiff());
        let learner = learner(config, &place);
        let gradients = loss(&learner, spikes, true).backward();
        let gradients = GradientsParams::from_grads(gradients, &learner);
        let found = slopes(&learner, gradients).into_iter();
        found.flat_map(|(_, slopes)| slopes).collect::<Vec<f64>>()
    };
    for (config, spikes) in rules() {
        let (flex, ndarray) = (on("flex", &config, spikes), on("ndarray", &config, spikes));
        assert_eq!(flex.len(), ndarray.len());
        for (a, b) in flex.iter().zip(&ndarray) {
            assert!(
                (a - b).abs() < 1e-10 * b.abs().max(1.0),
                "{config:?}: {a} {b}"
            );
        }
    }
}

#[test]
fn gradients_of_short_term_plasticity_agree_with_central_differences() {
    let place = f64_autodiff();
    for signal in [Signal::Spikes, Signal::Rates] {
        let config = ShortTermConfig {
            release: 0.3,
            facilitation_time_constant: 40.0,
            recovery_time_constant: 90.0,
            signal,
            trainable: all(&[
                "release",
                "facilitation_time_constant",
                "recovery_time_constant",
            ]),
        };
        let synapses = config.init(&place).unwrap();
        let trains = spike_trains(2, STEPS, 3, 0.1);
        let checked = check("short-term", &synapses, |synapses| {
            let mut state = synapses.initial(1, 3, &place);
            let mut sum = place.full(0.0, [1]);
            for row in &trains {
                let scale = if signal == Signal::Rates { 0.3 } else { 1.0 };
                let pre = place.tensor(row.iter().map(|x| x * scale).collect(), [1, 3]);
                let (efficacy, next) = synapses.step(&pre, 1.0, &state);
                sum = sum + (efficacy * pre).sin().sum();
                state = next;
            }
            sum
        });
        assert_eq!(checked, 3);
    }
}

/// A network under one rule.
fn under(rule: RuleConfig) -> PlasticNetwork {
    let config = PlasticNetworkConfig {
        inputs: 1,
        units: 3,
        transfer: Activation::Sigmoid,
        time_constant: 20.0,
        plasticity: RulesConfig {
            rules: vec![rule],
            limits: WeightLimits::default(),
        },
        ..PlasticNetworkConfig::default()
    };
    config.init(&f64_autodiff()).unwrap()
}

/// Every rule that learns from rates, and those of spikes on the graded activity that the units have.
#[test]
fn every_rule_has_one_gradient_under_every_memory_policy() {
    let without_reward = |rule: &RuleConfig| !matches!(rule, RuleConfig::RewardStdp(_));
    for rule in rules()
        .into_iter()
        .map(|(rule, _)| rule)
        .filter(without_reward)
    {
        let network = under(rule.clone());
        let (_, full) = differentiate(&network, &Memory::Full);
        for memory in [Memory::Segments(7), Memory::Nested(vec![3, 4])] {
            let (_, other) = differentiate(&network, &memory);
            assert_eq!(full.len(), other.len(), "{rule:?}");
            for ((id, a), (other, b)) in full.iter().zip(&other) {
                assert_eq!(id, other);
                let largest = a.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
                for (a, b) in a.iter().zip(b) {
                    assert!((a - b).abs() <= 1e-10 * largest, "{rule:?}: {a} {b}");
                }
            }
        }
    }
}

fn network(shared: bool, short_term: bool) -> PlasticNetwork {
    let hebb = HebbConfig {
        rate: 2e-3,
        trainable: all(&["rate"]),
    };
    let homeostasis = HomeostasisConfig {
        target: 0.5,
        time_constant: 500.0,
        average_time_constant: 100.0,
        trainable: all(&["target"]),
        ..HomeostasisConfig::default()
    };
    let config = PlasticNetworkConfig {
        inputs: 1,
        units: 3,
        transfer: Activation::Sigmoid,
        time_constant: 20.0,
        shared,
        plasticity: RulesConfig {
            rules: vec![RuleConfig::Hebb(hebb), RuleConfig::Homeostasis(homeostasis)],
            limits: WeightLimits::default(),
        },
        short_term: short_term.then(|| ShortTermConfig {
            release: 0.3,
            signal: Signal::Rates,
            trainable: all(&["release"]),
            ..ShortTermConfig::default()
        }),
        trainable: all(&["time_constant"]),
        ..PlasticNetworkConfig::default()
    };
    config.init(&f64_autodiff()).unwrap()
}

/// The loss of a run of 50 steps and, by parameter, its gradient under a memory policy.
fn differentiate(network: &PlasticNetwork, memory: &Memory) -> (f64, Vec<(ParamId, Vec<f64>)>) {
    let place = f64_autodiff();
    let input = ConstantInput(place.tensor(vec![0.5, -1.0], [2, 1]));
    let run = Run {
        initial: None,
        batch: 2,
        input: &input,
        grid: &Grid::over(100.0, 2.0).unwrap(),
        every: 5,
        memory,
    };
    let result = gradient(network, &run, |rates| (rates * 2.0).sin().sum()).unwrap();
    (result.loss, slopes(network, result.parameters))
}

#[test]
fn plastic_networks_have_one_gradient_under_every_memory_policy() {
    for (shared, short_term) in [(false, false), (true, true)] {
        let network = network(shared, short_term);
        let (_, full) = differentiate(&network, &Memory::Full);
        // Recurrent and input weights, bias, τ, two rules, perhaps U.
        assert_eq!(full.len(), 6 + usize::from(short_term));
        for memory in [Memory::Segments(7), Memory::Nested(vec![3, 4])] {
            let (_, other) = differentiate(&network, &memory);
            let pairs = full.iter().zip(&other);
            for (a, b) in pairs.flat_map(|((_, a), (_, b))| a.iter().zip(b)) {
                assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{a} {b}");
            }
        }
        for (index, (id, slopes)) in full.iter().enumerate() {
            for (element, slope) in slopes.iter().enumerate() {
                let difference = central(&network, (*id, element), 1e-5, |moved| {
                    differentiate(moved, &Memory::Full).0
                });
                let limit = 1e-5 * difference.abs() + 1e-9;
                assert!(
                    (slope - difference).abs() < limit,
                    "{index}: {slope} {difference}"
                );
            }
        }
    }
}

#[test]
fn gradients_stop_at_hard_bounds() {
    let place = f64_autodiff();
    let config = RulesConfig {
        rules: vec![RuleConfig::Hebb(HebbConfig {
            rate: 1.0,
            trainable: all(&["rate"]),
        })],
        limits: WeightLimits {
            bounds: WeightBounds::Hard {
                low: 0.0,
                high: 0.5,
            },
            keep_signs: true,
        },
    };
    let rules = config.init(&place).unwrap();
    let activity = Activity {
        pre: place.full(1.0, [1, 1]),
        post: place.full(1.0, [1, 1]),
        dt: 1.0,
        reward: None,
    };
    let connection = PlasticConnection::new(&rules, place.full(0.1, [1, 1]));
    let state = connection
        .learn(&connection.initial(1, true), &activity)
        .unwrap();
    assert_eq!(values(&state[0]), [0.5]);
    let gradients = state[0].clone().sum().backward();
    let AnyRule::Hebb(hebb) = &rules.rules[0] else {
        unreachable!()
    };
    assert_eq!(
        values(&hebb.rate.raw.val().grad(&gradients).unwrap()),
        [0.0]
    );
}

#[test]
fn networks_name_an_input_that_does_not_fit() {
    let network = network(false, false);
    let dynamics = network.dynamics().unwrap();
    let place = f64_autodiff();
    let error = crate::record(
        &dynamics,
        network.initial_state(2).unwrap(),
        &ConstantInput(place.full(0.0, [2, 3])),
        &Grid::over(10.0, 1.0).unwrap(),
    );
    assert!(
        matches!(error, Err(DynamicsError::Shape { .. })),
        "{error:?}"
    );
}
