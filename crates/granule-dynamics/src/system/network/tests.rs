use super::*;
use crate::host;
use crate::model::{Clock, ConstantInput, Dynamics, NoInput};
use crate::simulate::{Grid, record};
use crate::solver::{Heun, Rk4};
use crate::system::testing::{model_agrees_on_every_device, model_gradients_agree};
use crate::system::{
    Integrated, JansenRitConfig, LinearSystemConfig, MontbrioPazoRoxin, MontbrioPazoRoxinConfig,
    ReducedWongWangConfig, StuartLandauConfig,
};
use crate::testing::{assert_close, f64_place, f64_places};

/// Nodes whose slope is their input: x′ = u, from 1.
fn integrators(nodes: usize) -> LinearSystemConfig {
    let identity = |value: f64| {
        let row = |i: usize| {
            (0..nodes)
                .map(|j| if i == j { value } else { 0.0 })
                .collect()
        };
        (0..nodes).map(row).collect::<Vec<Vec<f64>>>()
    };
    LinearSystemConfig {
        a: identity(0.0),
        b: identity(1.0),
        c: Vec::new(),
        initial: 1.0.into(),
        trainable: vec!["initial".into()],
    }
}

fn run(config: &NetworkConfig, place: &Place, duration: f64) -> Vec<f64> {
    let nodes = integrators(config.weights.len()).init(place).unwrap();
    let network = config.init(nodes, Rk4, place).unwrap();
    let initial = network.initial_state(1).unwrap();
    let grid = Grid::over(duration, config.dt).unwrap();
    let (_, last) = record(&network.dynamics().unwrap(), initial, &NoInput, &grid).unwrap();
    host(last[0].clone()).unwrap()
}

/// x′ = −x(t − 1), x = 1 before 0: x(t) = Σₖ (−1)ᵏ (t − k + 1)ᵏ/k! for k up to ⌊t⌋ + 1.
fn delayed_decay(t: f64) -> f64 {
    let mut factorial = 1.0;
    (0..=t.floor() as i32 + 1).fold(0.0, |sum, k| {
        factorial *= f64::from(k.max(1));
        sum + (1.0 - f64::from(k) + t).powi(k) * (-1.0_f64).powi(k) / factorial
    })
}

fn scalar(dt: f64) -> NetworkConfig {
    NetworkConfig {
        weights: vec![vec![-1.0]],
        delays: Delays::Uniform(1.0),
        dt,
        ..Default::default()
    }
}

#[test]
fn a_scalar_delay_equation_follows_its_piecewise_polynomial() {
    assert_close(delayed_decay(0.5), 0.5, 1e-15);
    assert_close(delayed_decay(1.5), 1.0 - 1.5 + 0.125, 1e-15);
    for (name, place) in f64_places() {
        for t in [0.8, 1.6, 3.0, 6.4] {
            let found = run(&scalar(0.01), &place, t)[0];
            assert!(
                (found - delayed_decay(t)).abs() < 2e-5,
                "{name} {t}: {found}"
            );
        }
    }
}

#[test]
fn it_is_of_second_order_in_dt_also_between_the_steps() {
    let place = f64_place();
    // 1 is not a multiple of 0.12, 0.06 or 0.03.
    for steps in [[0.1, 0.05, 0.025], [0.12, 0.06, 0.03]] {
        let t = 3.6;
        let t = if steps[0] == 0.1 { 4.0 } else { t };
        let errors = steps.map(|dt| (run(&scalar(dt), &place, t)[0] - delayed_decay(t)).abs());
        if steps[0] == 0.1 {
            for pair in errors.windows(2) {
                let order = (pair[0] / pair[1]).log2();
                assert!((order - 2.0).abs() < 0.15, "{order} {errors:?}");
            }
        } else {
            assert!(
                errors[2] < 1e-3 && errors[2] < errors[0] / 8.0,
                "{errors:?}"
            );
        }
    }
}

#[test]
fn every_link_has_its_own_delay_and_direction() {
    // x₁′ = −x₂(t − 1), x₂′ = −x₁(t − 2), both 1 before 0: x₁(2) = −1/2, x₂(3) = −3/2.
    let config = NetworkConfig {
        weights: vec![vec![0.0, -1.0], vec![-1.0, 0.0]],
        delays: Delays::Distances {
            lengths: vec![vec![0.0, 5.0], vec![10.0, 0.0]],
            speed: 5.0,
        },
        dt: 0.01,
        ..Default::default()
    };
    for (_, place) in f64_places() {
        assert!((run(&config, &place, 2.0)[0] + 0.5).abs() < 1e-5);
        assert!((run(&config, &place, 3.0)[1] + 1.5).abs() < 1e-5);
    }
}

/// Two bistable populations that drive each other with different delays.
fn populations(place: &Place, dt: f64) -> Network<MontbrioPazoRoxin, Heun> {
    let nodes = MontbrioPazoRoxinConfig {
        nodes: 2,
        initial: vec![0.2.into(), vec![-0.5, -1.0].into()],
        ..Default::default()
    };
    let config = NetworkConfig {
        weights: vec![vec![0.0, 1.0], vec![0.5, 0.0]],
        delays: Delays::Matrix(vec![vec![0.0, 1.5], vec![1.0, 0.0]]),
        strength: 2.0,
        dt,
        ..Default::default()
    };
    config
        .init(nodes.init(place).unwrap(), Heun, place)
        .unwrap()
}

#[test]
fn delayed_populations_agree_with_an_independent_integration() {
    // Method of steps with DOP853 at a relative tolerance of 1e-12, I = (3, 1): r₁, r₂, v₁, v₂ at t = 3.
    let expected = [
        0.729101270909,
        0.151132870832,
        -0.144728789971,
        -1.08840559676,
    ];
    for (name, place) in f64_places() {
        let errors = [0.005, 0.0025].map(|dt| {
            let network = populations(&place, dt);
            let input = ConstantInput(place.tensor(vec![3.0, 1.0], [1, 2]));
            let initial = network.initial_state(1).unwrap();
            let grid = Grid::over(3.0, dt).unwrap();
            let (_, last) = record(&network.dynamics().unwrap(), initial, &input, &grid).unwrap();
            let found = [0, 1].map(|i| host(last[i].clone()).unwrap()).concat();
            let errors = found
                .iter()
                .zip(expected)
                .map(|(a, b): (&f64, f64)| (a - b).abs());
            errors.fold(0.0, f64::max)
        });
        let order = (errors[0] / errors[1]).log2();
        assert!(errors[1] < 5e-4, "{name}: {errors:?}");
        assert!((order - 2.0).abs() < 0.15, "{name}: {errors:?}");
    }
}

#[test]
fn links_without_delay_keep_the_solvers_order() {
    // x₁′ = −x₂, x₂′ = x₁ from (1, 1) turns by t.
    let config = NetworkConfig {
        weights: vec![vec![0.0, -0.5], vec![0.5, 0.0]],
        strength: 2.0,
        dt: 0.05,
        ..Default::default()
    };
    for (_, place) in f64_places() {
        let found = run(&config, &place, 2.0);
        let (sin, cos) = 2.0_f64.sin_cos();
        assert_close(found[0], cos - sin, 1e-6);
        assert_close(found[1], cos + sin, 1e-6);
    }
}

#[test]
fn diffusive_coupling_ends_in_the_mean() {
    let config = NetworkConfig {
        weights: vec![vec![0.0, 1.0], vec![1.0, 0.0]],
        coupling: Coupling::Diffusive,
        strength: 0.5,
        dt: 0.05,
        ..Default::default()
    };
    for (_, place) in f64_places() {
        let nodes = LinearSystemConfig {
            initial: vec![3.0, -1.0].into(),
            ..integrators(2)
        };
        let network = config
            .init(nodes.init(&place).unwrap(), Rk4, &place)
            .unwrap();
        let grid = Grid::over(2.0, 0.05).unwrap();
        let initial = network.initial_state(1).unwrap();
        let (_, last) = record(&network.dynamics().unwrap(), initial, &NoInput, &grid).unwrap();
        let found = host(last[0].clone()).unwrap();
        // The difference of 4 decays as exp(−2·a·t).
        assert_close(found[0], 1.0 + 2.0 * (-2.0_f64).exp(), 1e-6);
        assert_close(found[1], 1.0 - 2.0 * (-2.0_f64).exp(), 1e-6);
    }
}

#[test]
fn input_from_outside_adds_to_the_coupling_in_every_channel() {
    let place = f64_place();
    let nodes = ReducedWongWangConfig {
        nodes: 2,
        ..Default::default()
    };
    let alone = Integrated::new(nodes.init(&place).unwrap(), Rk4);
    let config = NetworkConfig {
        delays: Delays::Uniform(3.0),
        dt: 1.0,
        strength: 0.3,
        ..Default::default()
    };
    let network = config
        .init(nodes.init(&place).unwrap(), Rk4, &place)
        .unwrap();
    let at = Clock {
        step: 0,
        time: 0.0,
        dt: 1.0,
    };
    // During the first step the coupling is a constant, 0.3·0.1.
    let outside = place.tensor(vec![0.1, 0.2, 0.01, 0.02], [1, 4]);
    let inside = place.tensor(vec![0.13, 0.23, 0.01, 0.02], [1, 4]);
    let coupled = network.dynamics().unwrap();
    let state = network.initial_state(3).unwrap();
    let found = coupled.step(at, &state, Some(&outside)).unwrap();
    let expected = alone.initial_state(3).unwrap();
    let expected = alone
        .dynamics()
        .unwrap()
        .step(at, &expected, Some(&inside))
        .unwrap();
    for (a, b) in host(found[0].clone())
        .unwrap()
        .into_iter()
        .zip(host(expected[0].clone()).unwrap())
    {
        assert_close(a, b, 1e-14);
    }
    let silent = coupled.step(at, &state, None).unwrap();
    assert!(host(silent[0].clone()).unwrap()[0] < host(found[0].clone()).unwrap()[0]);
    let rate = network
        .with_readout(Readout::Rate)
        .dynamics()
        .unwrap()
        .observe(&state);
    let recurrent = place.tensor(vec![0.03, 0.03, 0.0, 0.0], [1, 4]);
    let field = nodes.init(&place).unwrap().field().unwrap();
    let expected = field
        .rate(&State::new(vec![state[0].clone()]), Some(&recurrent))
        .unwrap();
    assert_close(host(rate).unwrap()[0], host(expected).unwrap()[0], 1e-12);
}

#[test]
fn gradients_agree_with_central_differences() {
    let delays = Delays::Matrix(vec![
        vec![0.0, 2.0, 3.3],
        vec![1.0, 0.0, 0.0],
        vec![4.0, 2.5, 1.0],
    ]);
    let config = NetworkConfig {
        weights: vec![
            vec![0.0, 0.5, -0.3],
            vec![0.8, 0.0, 0.4],
            vec![0.2, 0.6, 0.1],
        ],
        strength: 0.7,
        delays,
        dt: 1.0,
        trainable: vec!["weights".into(), "strength".into()],
        ..Default::default()
    };
    model_gradients_agree(
        |place| {
            let nodes = JansenRitConfig {
                nodes: 3,
                initial: [0.05, 8.0, 5.0, 0.01, 0.3, 0.2].map(Into::into).to_vec(),
                trainable: vec![
                    "drive".into(),
                    "excitatory_time_constant".into(),
                    "initial".into(),
                ],
                ..Default::default()
            };
            let config = NetworkConfig {
                strength: 30.0,
                ..config.clone()
            };
            config.init(nodes.init(place).unwrap(), Rk4, place).unwrap()
        },
        &[10.0, 20.0, -10.0],
        1.0,
        20,
    );
    model_gradients_agree(
        |place| {
            let nodes = StuartLandauConfig {
                nodes: 3,
                initial: vec![vec![0.1, 0.5, -0.3].into(), 0.2.into()],
                trainable: vec!["frequency".into()],
                ..Default::default()
            };
            let config = NetworkConfig {
                coupling: Coupling::Diffusive,
                strength: 0.05,
                ..config.clone()
            };
            config.init(nodes.init(place).unwrap(), Rk4, place).unwrap()
        },
        &[0.01, 0.02, 0.0, -0.01, 0.0, 0.01],
        1.0,
        20,
    );
}

#[test]
fn single_precision_follows_on_every_device() {
    let config = NetworkConfig {
        weights: vec![vec![0.0, 1.0], vec![0.5, 0.0]],
        delays: Delays::Matrix(vec![vec![0.0, 0.05], vec![0.025, 0.0]]),
        dt: 0.02,
        ..Default::default()
    };
    model_agrees_on_every_device(
        |place| {
            let nodes = MontbrioPazoRoxinConfig {
                nodes: 2,
                initial: vec![0.2.into(), vec![-0.5, -1.0].into()],
                ..Default::default()
            };
            config.init(nodes.init(place).unwrap(), Rk4, place).unwrap()
        },
        &[3.0, 1.0],
        0.02,
        8,
        1e-5,
    );
}

#[test]
fn connectivity_that_makes_no_sense_is_named() {
    let refused = |config: NetworkConfig| config.validate().unwrap_err().to_string();
    let two = || NetworkConfig::default();
    let error = refused(NetworkConfig {
        weights: vec![vec![0.0, 1.0]],
        ..two()
    });
    assert!(error.starts_with("weights = 1 row of 2 values"), "{error}");
    let error = refused(NetworkConfig {
        weights: vec![vec![0.0, f64::NAN], vec![1.0, 0.0]],
        ..two()
    });
    assert!(error.starts_with("weights[0][1] = NaN"), "{error}");
    let error = refused(NetworkConfig {
        weights: vec![vec![0.0; 2]; 2],
        ..two()
    });
    assert!(error.starts_with("weights = 0 everywhere"), "{error}");
    let matrix = |delay: f64| Delays::Matrix(vec![vec![0.0, delay], vec![1.0, 0.0]]);
    let error = refused(NetworkConfig {
        delays: matrix(-1.0),
        ..two()
    });
    assert!(error.starts_with("delays.matrix[0][1] = -1"), "{error}");
    let error = refused(NetworkConfig {
        delays: matrix(0.05),
        ..two()
    });
    assert!(
        error.starts_with("delays.matrix[0][1] = 0.05") && error.contains("from node 1 to node 0"),
        "{error}"
    );
    NetworkConfig {
        delays: matrix(0.1),
        ..two()
    }
    .validate()
    .unwrap();
    let error = refused(NetworkConfig {
        delays: Delays::Matrix(vec![vec![1.0; 3]; 2]),
        ..two()
    });
    assert!(
        error.starts_with("delays.matrix = 2 rows of 3, 3 values"),
        "{error}"
    );
    let distances = |speed: f64| Delays::Distances {
        lengths: vec![vec![1.0; 2]; 2],
        speed,
    };
    let error = refused(NetworkConfig {
        delays: distances(0.0),
        ..two()
    });
    assert!(error.starts_with("delays.distances.speed = 0"), "{error}");
    let error = refused(NetworkConfig {
        delays: distances(40.0),
        ..two()
    });
    assert_eq!(
        error,
        "delays.distances.lengths[0][1] = 1 is not allowed: the delay from node 1 to node 0, 1 mm / 40 mm/ms = 0.025 ms, \
         must be 0 or at least dt = 0.1 ms"
    );
    let error = refused(NetworkConfig {
        delays: distances(1e-5),
        ..two()
    });
    assert!(
        error.starts_with("delays.distances.lengths[") && error.contains("at most 10000 ms"),
        "{error}"
    );
    let misspelt = "distances = { lengths = [[0.0]], speed = 5.0, sped = 6.0 }";
    let error = toml::from_str::<Delays>(misspelt).unwrap_err().to_string();
    assert!(error.contains("sped"), "{error}");
    assert!(
        refused(NetworkConfig {
            delays: Delays::Uniform(f64::NAN),
            ..two()
        })
        .contains("NaN")
    );
    assert!(refused(NetworkConfig { dt: 0.0, ..two() }).starts_with("dt = 0"));

    let place = f64_place();
    let three = integrators(3).init(&place).unwrap();
    let error = two().init(three, Rk4, &place).unwrap_err();
    assert!(matches!(error, DynamicsError::Shape { .. }), "{error}");
    let config = NetworkConfig {
        channel: 2,
        ..two()
    };
    let error = config
        .init(integrators(2).init(&place).unwrap(), Rk4, &place)
        .unwrap_err();
    assert!(error.to_string().starts_with("channel = 2"), "{error}");
    let network = two()
        .init(integrators(2).init(&place).unwrap(), Rk4, &place)
        .unwrap();
    let error = network
        .clone()
        .with_readout(Readout::Rate)
        .dynamics()
        .err()
        .unwrap();
    assert!(error.to_string().starts_with("readout = rate"), "{error}");
    let at = Clock {
        step: 0,
        time: 0.0,
        dt: 0.2,
    };
    let state = network.initial_state(1).unwrap();
    let error = network
        .dynamics()
        .unwrap()
        .step(at, &state, None)
        .unwrap_err();
    assert!(error.to_string().starts_with("dt = 0.2"), "{error}");
}
