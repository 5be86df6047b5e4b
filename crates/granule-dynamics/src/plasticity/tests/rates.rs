use super::*;
use crate::NormalNoise;
use crate::testing::{assert_close, f32_places, f64_place, f64_places};

/// Rows whose mean of x xᵀ is exactly Σ λₖ qₖqₖᵀ: ±√(nλₖ) qₖ for each orthonormal qₖ.
fn rows_of_covariance(place: &Place) -> (Tensor<2>, [[f64; 3]; 3]) {
    let (a, b) = (0.6, 0.8);
    let q = [[a, b, 0.0], [-b * b, a * b, a], [a * b, -a * a, b]];
    let eigenvalues: [f64; 3] = [2.0, 1.0, 0.25];
    let mut rows = Vec::new();
    for (q, eigenvalue) in q.iter().zip(eigenvalues) {
        for sign in [1.0, -1.0] {
            rows.extend(q.map(|x| sign * (3.0 * eigenvalue).sqrt() * x));
        }
    }
    (place.tensor(rows, [6, 3]), q)
}

fn linear(rows: &Tensor<2>) -> impl FnMut(usize, &Tensor<3>) -> Activity {
    let rows = rows.clone();
    move |_, weights| Activity {
        pre: rows.clone(),
        post: rows.clone().matmul(weights.clone().squeeze_dim(0)),
        dt: 1.0,
        reward: None,
    }
}

/// Reference numbers, section 6.
#[test]
fn oja_finds_the_leading_eigenvector_with_norm_1() {
    let places = f64_places()
        .into_iter()
        .map(|(name, place)| (name, place, 1e-9));
    let single = f32_places()
        .into_iter()
        .map(|(name, place)| (name, place, 2e-5));
    for (name, place, tolerance) in places.chain(single) {
        let (rows, q) = rows_of_covariance(&place);
        let rule = OjaConfig {
            rate: 0.1,
            ..OjaConfig::default()
        };
        let start = place.tensor(vec![0.1, -0.2, 0.4, 0.3, 0.5, -0.6], [1, 3, 2]);
        let (weights, _) = run(&rule.init(&place).unwrap(), start, 300, linear(&rows));
        let weights = values(&weights);
        for unit in 0..2 {
            let w: Vec<f64> = (0..3).map(|i| weights[2 * i + unit]).collect();
            let sign = w[0].signum();
            for (w, q) in w.iter().zip(q[0]) {
                assert!((w * sign - q).abs() < tolerance, "{name}: {w} {q}");
            }
        }
    }
}

#[test]
fn sanger_finds_the_eigenvectors_in_order() {
    for (_, place) in f64_places() {
        let (rows, q) = rows_of_covariance(&place);
        let rule = SangerConfig {
            rate: 0.1,
            ..SangerConfig::default()
        };
        let start = vec![0.1, -0.2, 0.4, 0.3, 0.5, -0.6, 0.2, 0.2, 0.1];
        let start = place.tensor(start, [1, 3, 3]);
        let (weights, _) = run(&rule.init(&place).unwrap(), start, 1500, linear(&rows));
        let weights = values(&weights);
        for (unit, q) in q.iter().enumerate() {
            let cosine: f64 = (0..3).map(|i| weights[3 * i + unit] * q[i]).sum();
            let norm: f64 = (0..3).map(|i| weights[3 * i + unit].powi(2)).sum();
            assert_close(cosine.abs(), 1.0, 1e-9);
            assert_close(norm, 1.0, 1e-9);
        }
    }
}

/// Two patterns, each with probability 1/2: a unit answers one with y₀/p = 2y₀ and the other with 0, whatever its weights at
/// the beginning; answering both alike is a fixed point, too, but not a stable one.
#[test]
fn bcm_units_become_selective_and_stay_so() {
    let place = f64_place();
    let rows = place.tensor(vec![1.0, 0.3, 0.2, 0.9], [2, 2]);
    // Weights with responses (1 + ε, 1 − ε): W = X⁻¹ Y.
    let weights_for = |y: [f64; 2]| {
        let determinant = 0.9 - 0.06;
        let w0 = (0.9 * y[0] - 0.3 * y[1]) / determinant;
        [w0, (y[1] - 0.2 * w0) / 0.9]
    };
    let starts = [
        [1.001, 0.999],
        [0.999, 1.001],
        [0.3, 0.1],
        [0.1, 0.5],
        [2.3, 0.2],
    ];
    let weights: Vec<[f64; 2]> = starts.map(weights_for).to_vec();
    let flat = [0, 1].map(|i| weights.iter().map(|w| w[i]).collect::<Vec<f64>>());
    let target = 1.5;
    let rule = BcmConfig {
        rate: 0.02,
        time_constant: 4.0,
        target,
        ..BcmConfig::default()
    };
    let rule = rule.init(&place).unwrap();
    let start = place.tensor(flat.concat(), [1, 2, 5]) * target;
    // The threshold is averaged over both patterns, as a layer does it.
    let mut traces = State::new(vec![place.full(target, [1, 5])]);
    let mut weights = start;
    for step in 0..4000 {
        let (change, after) = rule.change(&weights, &linear(&rows)(0, &weights), &traces);
        weights = weights + change;
        traces = after.map(|x| x.mean_dim(0));
        if step == 3000 {
            // A push that a stable state undoes.
            weights = weights + 0.1;
        }
    }
    let responses = values(&rows.matmul(weights.squeeze_dim(0)));
    for unit in 0..5 {
        let [a, b] = [responses[unit], responses[5 + unit]];
        let (high, low) = (a.max(b), a.min(b));
        assert_close(high, 2.0 * target, 1e-6);
        assert_close(low, 0.0, 1e-6);
    }
    for (unit, prefers_first) in [(0, true), (1, false), (2, true), (3, false), (4, true)] {
        assert_eq!(
            responses[unit] > responses[5 + unit],
            prefers_first,
            "{unit}"
        );
    }
}

#[test]
fn covariance_potentiates_on_the_same_side_of_both_thresholds() {
    for (_, place) in f64_places() {
        let rule = CovarianceConfig {
            rate: 0.1,
            pre: ThresholdConfig::Fixed { value: 0.4 },
            post: ThresholdConfig::Fixed { value: 0.7 },
            ..CovarianceConfig::default()
        };
        let rule = rule.init(&place).unwrap();
        assert!(rule.variables(2, 2).is_empty());
        let weights = place.full(0.0, [1, 2, 2]);
        let both = |_: usize, _: &Tensor<3>| Activity {
            pre: place.tensor(vec![0.1, 0.9], [1, 2]),
            post: place.tensor(vec![0.2, 1.0], [1, 2]),
            dt: 2.0,
            reward: None,
        };
        let (change, _) = run(&rule, weights, 1, both);
        let expected = [0.3 * 0.5, -0.3 * 0.3, -0.5 * 0.5, 0.5 * 0.3];
        for (found, expected) in values(&change).into_iter().zip(expected) {
            assert_close(found, 0.2 * expected, 1e-14);
        }
    }
}

/// With running means the mean change is η cov(x, y), whatever the means are.
#[test]
fn covariance_about_running_means_measures_the_covariance() {
    let place = f64_place();
    let rule = CovarianceConfig {
        rate: 1.0,
        pre: ThresholdConfig::Mean {
            time_constant: 50.0,
        },
        post: ThresholdConfig::Mean {
            time_constant: 50.0,
        },
        ..CovarianceConfig::default()
    };
    let rule = rule.init(&place).unwrap();
    let noise = NormalNoise::new(3, 0);
    let activity = |step: usize, _: &Tensor<3>| {
        let [a, b] = [0, 1].map(|column| {
            let values = noise.values(step, 128);
            let values = values.chunks_exact(2).map(|pair| pair[column]).collect();
            place.tensor::<2>(values, [64, 1])
        });
        let pre = a.clone() + 5.0;
        Activity {
            pre,
            post: Tensor::cat(vec![a.clone() * 0.5 + b.clone() + 2.0, b], 1),
            dt: 1.0,
            reward: None,
        }
    };
    let (early, traces) = run(&rule, place.full(0.0, [1, 1, 2]), 500, activity);
    let [early, late] = [early, {
        let mut traces = traces;
        let mut weights = place.full(0.0, [1, 1, 2]);
        for step in 500..1500 {
            let (change, after) = rule.change(&weights, &activity(step, &weights), &traces);
            weights = weights + change;
            traces = after;
        }
        weights
    }]
    .map(|w| values(&w));
    // 64 000 draws: a standard error of 0.005.
    assert_close(late[0] / 1000.0, 0.5, 0.02);
    assert_close(late[1] / 1000.0, 0.0, 0.02);
    assert!(early[0] / 500.0 > 0.6, "the means begin at 0: {early:?}");
}

#[test]
fn two_thresholds_leave_depress_and_potentiate() {
    let place = f64_place();
    let rule = TwoThresholdConfig {
        rate: 1.0,
        depression_threshold: 0.5,
        gap: 0.4,
        ..TwoThresholdConfig::default()
    };
    let rule = rule.init(&place).unwrap();
    let post = vec![-1.0, 0.3, 0.5, 0.6, 0.8, 0.9, 1.2];
    let activity = |_: usize, _: &Tensor<3>| Activity {
        pre: place.tensor(vec![0.0, 2.0], [1, 2]),
        post: place.tensor(post.clone(), [1, 7]),
        dt: 1.0,
        reward: None,
    };
    let (change, _) = run(&rule, place.full(0.0, [1, 2, 7]), 1, activity);
    let expected = [0.0, 0.0, 0.0, -0.03, -0.03, 0.0, 0.21];
    for (post, (found, expected)) in values(&change)[7..].iter().zip(expected).enumerate() {
        assert!((found - 2.0 * expected).abs() < 1e-14, "{post}: {found}");
    }
    assert!(values(&change)[..7].iter().all(|silent| *silent == 0.0));
}

#[test]
fn homeostasis_reaches_the_target_and_keeps_the_ratios() {
    for (_, place) in f64_places() {
        let rule = HomeostasisConfig {
            target: 0.7,
            time_constant: 400.0,
            average_time_constant: 50.0,
            ..HomeostasisConfig::default()
        };
        let rule = rule.init(&place).unwrap();
        let rows = place.tensor(vec![1.0, 0.5, 0.8, 0.6], [2, 2]);
        let start = place.tensor(vec![1.0, 0.1, 3.0, 0.2], [1, 2, 2]);
        let (weights, traces) = run(&rule, start, 8000, linear(&rows));
        let mean = rows.mean_dim(0).matmul(weights.clone().squeeze_dim(0));
        for rate in values(&mean) {
            assert_close(rate, 0.7, 1e-6);
        }
        for average in values(&traces[0].clone().mean_dim(0)) {
            assert_close(average, 0.7, 1e-6);
        }
        let w = values(&weights);
        assert_close(w[2] / w[0], 3.0, 1e-9);
        assert_close(w[3] / w[1], 2.0, 1e-9);
    }
}

#[test]
fn homeostasis_of_spikes_counts_them_per_ms() {
    let place = f64_place();
    let rule = HomeostasisConfig {
        target: 0.05,
        time_constant: 100.0,
        average_time_constant: 20.0,
        signal: Signal::Spikes,
        ..HomeostasisConfig::default()
    };
    let rule = rule.init(&place).unwrap();
    // A spike every 20 ms in steps of 0.5 ms is the target rate: the average ripples about it and the weight stays.
    let activity = |step: usize, _: &Tensor<3>| Activity {
        pre: place.full(0.0, [1, 1]),
        post: place.full(f64::from(step.is_multiple_of(40)), [1, 1]),
        dt: 0.5,
        reward: None,
    };
    let (weights, _) = run(&rule, place.full(1.0, [1, 1, 1]), 4000, activity);
    assert_close(values(&weights)[0], 1.0, 0.02);
}

#[test]
fn competitive_units_take_the_directions_of_the_clusters() {
    let place = f64_place();
    let noise = NormalNoise::new(5, 0);
    let rule = CompetitiveConfig {
        rate: 0.1,
        inhibition: 0.0,
        ..CompetitiveConfig::default()
    };
    let rule = rule.init(&place).unwrap();
    let centres = place.tensor(vec![3.0, 0.0, 0.0, 0.0, 2.0, 1.0, 0.0, -1.0, 2.0], [3, 3]);
    let activity = |step: usize, weights: &Tensor<3>| {
        let rows = centres.clone().repeat_dim(0, 20) + noise.at(step, [60, 3], &place) * 0.1;
        linear(&rows)(0, weights)
    };
    let start = place.tensor(vec![0.6, 0.0, 0.1, 0.0, 0.8, 0.3, 0.2, 0.0, 0.6], [1, 3, 3]);
    let (weights, _) = run(&rule, start, 600, activity);
    let (w, c) = (values(&weights), values(&centres));
    for unit in 0..3 {
        let centre = &c[3 * unit..3 * unit + 3];
        let norm = centre.iter().map(|x| x * x).sum::<f64>().sqrt();
        for i in 0..3 {
            assert_close(w[3 * i + unit], centre[i] / norm, 0.02);
        }
    }
}

/// The unit with the largest response gets 1, the one at the rank −Δ.
#[test]
fn competition_is_by_rank() {
    for (name, place) in f32_places() {
        let rule = CompetitiveConfig {
            rate: 1.0,
            inhibition: 0.4,
            rank: 3,
            ..CompetitiveConfig::default()
        };
        let rule = rule.init(&place).unwrap();
        let activity = |_: usize, _: &Tensor<3>| Activity {
            pre: place.full(1.0, [1, 1]),
            post: place.tensor(vec![0.1, 0.9, 0.3, 0.5], [1, 4]),
            dt: 1.0,
            reward: None,
        };
        let (change, _) = run(&rule, place.full(0.0, [1, 1, 4]), 1, activity);
        let expected = [0.0, 1.0, -0.4, 0.0];
        for (found, expected) in values(&change).iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-6,
                "{name}: {found} {expected}"
            );
        }
    }
}

#[test]
fn hebb_grows_and_decay_forgets() {
    let place = f64_place();
    let hebb = HebbConfig {
        rate: 0.2,
        ..HebbConfig::default()
    };
    let decay = DecayConfig {
        rate: 0.1,
        ..DecayConfig::default()
    };
    let config = RulesConfig {
        rules: vec![RuleConfig::Hebb(hebb), RuleConfig::Decay(decay)],
        ..RulesConfig::default()
    };
    let rules = config.init(&place).unwrap();
    let activity = |_: usize, _: &Tensor<3>| Activity {
        pre: place.tensor(vec![1.0, 3.0], [2, 1]),
        post: place.tensor(vec![0.5, -1.5], [2, 1]),
        dt: 2.0,
        reward: None,
    };
    // Shared weights move by the mean over the rows, fast weights by each row's own.
    let kept = (-0.2_f64).exp();
    let (shared, _) = run(&rules, place.full(1.0, [1, 1, 1]), 1, activity);
    assert_close(values(&shared)[0], kept + 0.4 * (0.5 - 4.5) / 2.0, 1e-14);
    let (own, _) = run(&rules, place.full(1.0, [2, 1, 1]), 1, activity);
    let own = values(&own);
    assert_close(own[0], kept + 0.4 * 0.5, 1e-14);
    assert_close(own[1], kept - 0.4 * 4.5, 1e-14);
}
