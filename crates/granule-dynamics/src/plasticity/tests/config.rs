use super::*;
use crate::DynamicsError;
use crate::testing::f64_place;

fn field(result: Result<(), DynamicsError>) -> String {
    match result {
        Err(DynamicsError::Config(error)) => error.field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let rules = [
        (r#"{"kind": "hebb", "rate": null}"#, ""),
        (r#"{"kind": "oja", "rate": -1.0}"#, "oja.rate"),
        (
            r#"{"kind": "oja", "trainable": ["decay"]}"#,
            "oja.trainable",
        ),
        (r#"{"kind": "sanger", "rate": 0.0}"#, "sanger.rate"),
        (r#"{"kind": "competitive", "rank": 1}"#, "competitive.rank"),
        (
            r#"{"kind": "competitive", "inhibition": -0.1}"#,
            "competitive.inhibition",
        ),
        (
            r#"{"kind": "bcm", "time_constant": 0.0}"#,
            "bcm.time_constant",
        ),
        (
            r#"{"kind": "covariance", "post": {"kind": "mean", "time_constant": -5.0}}"#,
            "covariance.post",
        ),
        (
            r#"{"kind": "two-threshold", "gap": 0.0}"#,
            "two-threshold.gap",
        ),
        (
            r#"{"kind": "pair-stdp", "depression": -0.1}"#,
            "pair-stdp.depression",
        ),
        (
            r#"{"kind": "triplet-stdp", "slow_post_time_constant": 0.0}"#,
            "triplet-stdp.slow_post_time_constant",
        ),
        (
            r#"{"kind": "homeostasis", "target": 0.0}"#,
            "homeostasis.target",
        ),
        (r#"{"kind": "decay", "rate": -0.1}"#, "decay.rate"),
    ];
    for (json, expected) in rules {
        let config: Result<RuleConfig, _> = serde_json::from_str(json);
        match config {
            Ok(config) => {
                assert_eq!(field(config.validate()), expected);
                assert!(config.init(&f64_place()).is_err());
            }
            Err(error) => assert_eq!(expected, "", "{error}"),
        }
    }
    for unknown in [
        r#"{"kind": "hebbian"}"#,
        r#"{"kind": "oja", "speed": 1.0}"#,
        r#"{"kind": "pair-stdp", "pairing": "some"}"#,
    ] {
        assert!(
            serde_json::from_str::<RuleConfig>(unknown).is_err(),
            "{unknown}"
        );
    }
    let infinite = HebbConfig {
        rate: f64::INFINITY,
        ..HebbConfig::default()
    };
    assert_eq!(field(infinite.validate()), "hebb.rate");
}

#[test]
fn an_amplitude_of_zero_is_off_and_cannot_be_trained() {
    let place = f64_place();
    let mut config = PairStdpConfig {
        depression: 0.0,
        ..PairStdpConfig::default()
    };
    let rule = config.init(&place).unwrap();
    assert_eq!(rule.depression.values().unwrap(), [0.0]);
    config.trainable = vec!["depression".into()];
    let refused = config.init(&place).map(|_| ());
    assert_eq!(field(refused), "pair-stdp.depression");
}

#[test]
fn configurations_of_rules_survive_a_file() {
    let config = RulesConfig {
        rules: vec![
            RuleConfig::Covariance(CovarianceConfig::default()),
            RuleConfig::TripletStdp(TripletStdpConfig::default()),
            RuleConfig::TwoThreshold(TwoThresholdConfig::default()),
        ],
        limits: WeightLimits {
            bounds: WeightBounds::Soft {
                low: 0.0,
                high: 1.0,
            },
            keep_signs: true,
        },
    };
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""kind":"two-threshold""#), "{text}");
    assert_eq!(serde_json::from_str::<RulesConfig>(&text).unwrap(), config);
    assert_eq!(field(RulesConfig::default().validate()), "rules");
    let turned = RulesConfig {
        limits: WeightLimits {
            bounds: WeightBounds::Hard {
                low: 1.0,
                high: 0.0,
            },
            keep_signs: false,
        },
        ..config
    };
    assert_eq!(field(turned.validate()), "limits.bounds");
}

#[test]
fn layers_and_networks_name_what_they_refuse() {
    let layer = |json: &str| {
        field(
            serde_json::from_str::<PlasticLayerConfig>(json)
                .unwrap()
                .validate(),
        )
    };
    assert_eq!(layer(r#"{"inputs": 0}"#), "inputs");
    assert_eq!(layer(r#"{"units": 0}"#), "units");
    assert_eq!(layer(r#"{"weight_deviation": -1.0}"#), "weight_deviation");
    let winners = r#"{"units": 3, "response": {"kind": "winners", "count": 4, "binary": true}}"#;
    assert_eq!(layer(winners), "response.count");
    let spikes = r#"{"response": {"kind": "spikes", "steps": 10, "dt": 0.0, "rate": 0.1,
        "time_constant": 5.0, "seed": 1}}"#;
    assert_eq!(layer(spikes), "response.dt");

    let network = |json: &str| {
        field(
            serde_json::from_str::<PlasticNetworkConfig>(json)
                .unwrap()
                .validate(),
        )
    };
    let hebb = r#""plasticity": {"rules": [{"kind": "hebb"}]}"#;
    assert_eq!(network(r#"{"units": 0}"#), "units");
    assert_eq!(network(r#"{"gain": -1.0}"#), "gain");
    assert_eq!(
        network(r#"{"time_constant": -1.0}"#),
        "plastic-network.time_constant"
    );
    assert_eq!(network("{}"), "rules");
    let spikes = format!(r#"{{{hebb}, "short_term": {{"signal": "spikes"}}}}"#);
    assert_eq!(network(&spikes), "short_term.signal");
    let negative = format!(r#"{{{hebb}, "short_term": {{"signal": "rates"}}}}"#);
    assert_eq!(network(&negative), "transfer");
    let rewarded = r#"{"plasticity": {"rules": [{"kind": "reward-stdp"}]}}"#;
    let rewarded: PlasticNetworkConfig = serde_json::from_str(rewarded).unwrap();
    // A rule of spikes, of which this network has none.
    assert!(rewarded.init(&f64_place()).is_err());
    let release = format!(r#"{{{hebb}, "short_term": {{"release": 1.5}}}}"#);
    assert_eq!(network(&release), "short-term.release");
}

#[test]
fn activities_that_do_not_fit_are_named() {
    let place = f64_place();
    let activity = |pre: [usize; 2], post: [usize; 2], dt: f64| Activity {
        pre: place.full(0.0, pre),
        post: place.full(0.0, post),
        dt,
        reward: None,
    };
    let weights = place.full(0.0, [1, 3, 2]);
    activity([4, 3], [4, 2], 1.0).check(&weights).unwrap();
    let wrong = [
        activity([4, 2], [4, 2], 1.0),
        activity([4, 3], [4, 3], 1.0),
        activity([4, 3], [3, 2], 1.0),
    ];
    for activity in wrong {
        let error = activity.check(&weights);
        assert!(
            matches!(error, Err(DynamicsError::Shape { .. })),
            "{error:?}"
        );
    }
    let error = activity([4, 3], [4, 2], 1.0).check(&place.full(0.0, [3, 3, 2]));
    assert!(
        matches!(error, Err(DynamicsError::Shape { .. })),
        "{error:?}"
    );
    assert_eq!(field(activity([4, 3], [4, 2], 0.0).check(&weights)), "dt");
}

#[test]
fn limits_hold() {
    let place = f64_place();
    let weights = place.tensor::<3>(vec![0.9, 0.2, 0.0, -0.3], [1, 1, 4]);
    let change = place.tensor::<3>(vec![0.4, -0.4, 0.5, 0.5], [1, 1, 4]);
    let after = |bounds: WeightBounds, keep_signs: bool| {
        let limits = WeightLimits { bounds, keep_signs };
        let signs = limits.signs(&weights);
        values(&limits.apply(weights.clone(), change.clone(), signs.as_ref()))
    };
    let close = |found: Vec<f64>, expected: [f64; 4]| {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        }
    };
    close(after(WeightBounds::Free, false), [1.3, -0.2, 0.5, 0.2]);
    close(after(WeightBounds::Free, true), [1.3, 0.0, 0.0, 0.0]);
    let (low, high) = (0.0, 1.0);
    close(
        after(WeightBounds::Hard { low, high }, false),
        [1.0, 0.0, 0.5, 0.2],
    );
    let soft = WeightBounds::Soft {
        low: -1.0,
        high: 1.0,
    };
    close(
        after(soft, false),
        [0.9 + 0.4 * 0.05, 0.2 - 0.4 * 0.6, 0.25, -0.3 + 0.5 * 0.65],
    );
}
