//! Plasticity beside gradient descent: after it, and together with it.

use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};

use super::*;
use crate::gradient::{Memory, Run, gradient};
use crate::testing::f64_autodiff;
use crate::{Grid, InputSeries, NormalNoise};

/// A read-out is trained by gradient; then a sensor loses half of its gain. Hebb's rule with the error as postsynaptic activity
/// repairs it without a backward pass, and training by gradient goes on from there.
#[test]
fn a_rule_adjusts_what_a_gradient_has_trained() {
    let place = f64_autodiff();
    let rows = NormalNoise::new(2, 0).at(0, [200, 3], &place);
    let target = rows
        .clone()
        .matmul(place.tensor(vec![1.0, -2.0, 0.5], [3, 1]));
    let worn = rows.clone() * place.tensor(vec![1.0, 0.5, 1.0], [1, 3]);
    let mut linear: Linear = LinearConfig::new(3, 1).with_bias(false).init(&place.device);
    linear.weight = linear
        .weight
        .map(|w| w.cast(place.dtype).detach().require_grad());
    let error = |linear: &Linear, rows: &Tensor<2>| target.clone() - linear.forward(rows.clone());
    let loss = |linear: &Linear, rows: &Tensor<2>| error(linear, rows).square().mean();
    let number = |x: Tensor<1>| values(&x)[0];

    let mut adam = AdamConfig::new().init();
    let mut train = |mut linear: Linear, rows: &Tensor<2>, steps: usize| {
        for _ in 0..steps {
            let gradients = loss(&linear, rows).backward();
            let gradients = GradientsParams::from_grads(gradients, &linear);
            linear = adam.step(0.05, linear, gradients);
        }
        linear
    };
    linear = train(linear, &rows, 200);
    assert!(number(loss(&linear, &rows)) < 1e-3);
    let before = number(loss(&linear, &worn));
    assert!(before > 0.5, "{before}");

    let rule = HebbConfig {
        rate: 0.2,
        ..HebbConfig::default()
    };
    let rule = rule.init(&place).unwrap();
    for _ in 0..100 {
        let activity = Activity {
            pre: worn.clone(),
            post: error(&linear, &worn),
            dt: 1.0,
            reward: None,
        };
        (linear.weight, _) = adjust(linear.weight, &rule, [activity], None).unwrap();
    }
    let repaired = number(loss(&linear, &worn));
    assert!(repaired < 0.01 * before, "{repaired}");

    let trained = train(linear, &worn, 50);
    assert!(number(loss(&trained, &worn)) < before);
}

/// Which of two pulses came is to be told after a pause. The network learns by Hebb's rule while it runs; weights, and the
/// rule's own rate, are trained by gradient through that.
#[test]
fn a_gradient_trains_a_network_that_learns_while_it_runs() {
    let place = f64_autodiff();
    let hebb = HebbConfig {
        rate: 0.002,
        trainable: vec!["rate".into()],
    };
    let config = PlasticNetworkConfig {
        inputs: 1,
        units: 4,
        time_constant: 10.0,
        gain: 1.5,
        plasticity: RulesConfig {
            rules: vec![RuleConfig::Hebb(hebb)],
            limits: WeightLimits::default(),
        },
        seed: 1,
        ..PlasticNetworkConfig::default()
    };
    let mut network = config.init(&place).unwrap();
    let (steps, pulse) = (25, 10);
    let given = (0..steps).flat_map(|step| {
        if step < pulse {
            [1.0, -1.0]
        } else {
            [0.0, 0.0]
        }
    });
    let input = InputSeries(place.tensor(given.collect(), [steps, 2, 1]));
    let grid = Grid::over(2.0 * steps as f64, 2.0).unwrap();
    let target = place.tensor::<2>(vec![0.5, -0.5], [2, 1]);
    let rate = |network: &PlasticNetwork| match &network.rules.rules[0] {
        AnyRule::Hebb(hebb) => values(&hebb.rate.value())[0],
        _ => unreachable!(),
    };
    let start = rate(&network);
    let mut adam = AdamConfig::new().init();
    let mut losses = Vec::new();
    for _ in 0..120 {
        let run = Run {
            initial: None,
            batch: 2,
            input: &input,
            grid: &grid,
            every: steps,
            memory: &Memory::Segments(4),
        };
        let result = gradient(&network, &run, |rates| {
            let last = rates.narrow(0, 1, 1).narrow(2, 0, 1).reshape([2, 1]);
            (last - target.clone()).square().mean()
        })
        .unwrap();
        losses.push(result.loss);
        network = adam.step(0.02, network, result.parameters);
    }
    let (first, last) = (losses[0], losses[119]);
    assert!(last < 0.05 * first, "{losses:?}");
    let end = rate(&network);
    assert!((end / start - 1.0).abs() > 0.01, "{start} {end}");
}
