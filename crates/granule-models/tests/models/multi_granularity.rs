use burn::tensor::{Tensor, TensorData};
use granule_dynamics::composite::MultiGranularityConfig;
use granule_dynamics::{Dynamics, Model, NoInput, Place, host};
use granule_models::{
    InputShape, InputSpec, Model as _, ModelConfig, ModelError, ModelFile, MultiGranularity,
    Network, Provenance, Task, load_levels, state,
};

use crate::support::{flex, values};

/// A population of three units drives a system of two variables, which takes input from outside where it is asked to.
fn levels(external: bool) -> MultiGranularityConfig {
    let text = format!(
        r#"{{"dt": 0.5, "seed": 4, "level": [
            {{"name": "population", "dt": 0.25, "population": {{"units": 3, "time_constant": 5.0}}}},
            {{"name": "system", "external": {external}, "system": {{"kind": "linear", "initial": [1.0, 0.0],
                "a": [[-0.1, -0.2], [0.2, -0.1]], "b": [[0.3], [0.0]]}}}}
        ], "coupler": [{{"from": "population.output", "to": "system", "conversion": {{"kind": "rate-to-drive"}}}}]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn network(external: bool, samples: usize, every: usize) -> (ModelConfig, InputShape, Network) {
    let config = ModelConfig::new(levels(external));
    let input = InputShape::Sequence {
        steps: (samples - 1) * every,
        channels: usize::from(external),
    };
    let network = config.init(&input, samples * 5, 9, &flex()).unwrap();
    (config, input, network)
}

fn inside(network: &Network) -> &MultiGranularity {
    network.get().unwrap()
}

#[test]
fn a_sequence_goes_in_and_what_is_observed_comes_out() {
    let (_, input, network) = network(true, 4, 3);
    let model = inside(&network);
    assert_eq!((model.steps(), model.every(), model.columns()), (9, 3, 5));
    let given: Vec<f32> = (0..18).map(|k| (k as f32).sin()).collect();
    let x = Tensor::<2>::from_data(TensorData::new(given, [2, 9]), &flex());
    let both = network.forward(x.clone()).unwrap();
    assert_eq!(both.dims(), [2, 4 * 5]);
    // One trial does not know of the other, and the first instant is the initial state.
    for row in 0..2 {
        let alone = network.forward(x.clone().narrow(0, row, 1)).unwrap();
        assert_eq!(values(alone), values(both.clone().narrow(0, row, 1)));
    }
    let all = values(both);
    assert_eq!(all[3..5], [1.0, 0.0]);
    assert_eq!(all[..5], all[20..25]);
    assert_ne!(all[5..20], all[25..40]);
    assert!(all.iter().all(|x| x.is_finite()));

    // What comes from outside and what does not arrive through one channel.
    let quiet = values(network.forward(Tensor::zeros([1, 9], &flex())).unwrap());
    let model = levels(true).init(&Place::f64(&flex())).unwrap();
    let dynamics = model.dynamics().unwrap();
    let mut state = model.initial_state(1).unwrap();
    for step in 0..9 {
        let at = granule_dynamics::Clock {
            step,
            time: 0.5 * step as f64,
            dt: 0.5,
        };
        state = dynamics.step(at, &state, None).unwrap();
    }
    let exact = host(dynamics.observe(&state)).unwrap();
    for (found, exact) in quiet[15..].iter().zip(exact) {
        assert!((f64::from(*found) - exact).abs() < 1e-5);
    }
    assert!(input.len() == 9);
}

#[test]
fn a_model_without_input_takes_rows_of_no_width() {
    for name in ["flex", "ndarray"] {
        let device = name.parse::<granule_device::DeviceSpec>().unwrap();
        let device = device.open().unwrap().burn().clone();
        let config = ModelConfig::new(levels(false));
        let input = InputShape::Sequence {
            steps: 4,
            channels: 0,
        };
        let network = config.init(&input, 25, 0, &device).unwrap();
        let seen = inside(&network).observe(2, 4, &NoInput).unwrap();
        assert_eq!(seen.dims(), [5, 2, 5], "{name}");
        let rows = network.forward(Tensor::zeros([2, 0], &device)).unwrap();
        assert_eq!(rows.dims(), [2, 25], "{name}");
        let first = seen.narrow(1, 0, 1).reshape([1, 25]);
        assert_eq!(values(first), values(rows.narrow(0, 0, 1)), "{name}");
    }
}

#[test]
fn a_file_keeps_it_and_its_weights_load_in_either_precision() {
    let (config, shape, network) = network(true, 3, 1);
    let file = ModelFile {
        model: config,
        input: InputSpec::new(shape),
        task: Task::Recording {
            quantities: vec![("population.x".into(), 3), ("system.x".into(), 2)],
            samples: 3,
        },
        provenance: Provenance::now(),
        state: state::state_dict(&network).unwrap(),
    };
    let back = ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
    assert_eq!(back, file);
    let again = back.network(&flex()).unwrap();
    let x = || Tensor::<2>::ones([1, 2], &flex());
    assert_eq!(
        values(again.forward(x()).unwrap()),
        values(network.forward(x()).unwrap())
    );

    let mut other = levels(true);
    other.seed = 5;
    let place = Place::f64(&flex());
    let fresh = other.init(&place).unwrap();
    let loaded = load_levels(fresh, &file.state).unwrap();
    let expected = levels(true).init(&place).unwrap();
    let of = |model: &granule_dynamics::composite::MultiGranularityModel| {
        state::state_dict(model).unwrap()
    };
    assert_eq!(of(&loaded), of(&expected));
    let mut larger = levels(true);
    if let Some(population) = &mut larger.levels[0].population {
        population.units = 4;
    }
    let error = load_levels(larger.init(&place).unwrap(), &file.state);
    assert!(matches!(error, Err(ModelError::TensorShape { .. })));
}

#[test]
fn extents_that_do_not_fit_are_refused() {
    let config = ModelConfig::new(levels(true));
    let sequence = |steps, channels| InputShape::Sequence { steps, channels };
    for (input, outputs, field) in [
        (sequence(8, 2), 25, "input"),
        (sequence(8, 1), 24, "outputs"),
        (sequence(8, 1), 20, "outputs"),
        (sequence(8, 1), 5, "outputs"),
        (InputShape::Vector { len: 8 }, 25, "input"),
    ] {
        match config.init(&input, outputs, 0, &flex()) {
            Err(ModelError::Config(error)) => assert_eq!(error.field, field),
            other => panic!("{input} {outputs}: {other:?}"),
        }
    }
    let empty = ModelConfig::from_name(ModelConfig::MULTI_GRANULARITY).unwrap();
    assert!(matches!(
        empty.validate(&sequence(8, 1), 25),
        Err(ModelError::Config(error)) if error.field == "level"
    ));
}

#[test]
fn a_run_that_diverges_is_an_error() {
    let mut settings = levels(false);
    settings.dt = 1e3;
    settings.levels[0].dt = None;
    settings.levels.remove(0);
    settings.couplers.clear();
    let config = ModelConfig::new(settings);
    let input = InputShape::Sequence {
        steps: 40,
        channels: 0,
    };
    let network = config.init(&input, 41 * 2, 0, &flex()).unwrap();
    let error = network.forward(Tensor::zeros([1, 0], &flex())).unwrap_err();
    assert!(matches!(error, ModelError::Dynamics(_)), "{error:?}");
    assert!(inside(&network).observe(1, 40, &NoInput).is_err());
}
