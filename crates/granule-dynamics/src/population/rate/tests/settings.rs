use super::*;
use crate::solver::SolverKind;
use crate::testing::f64_place;

#[track_caller]
fn refused(change: impl FnOnce(&mut RateNetworkConfig), field: &str) {
    let mut config = config(6);
    change(&mut config);
    let error = config.init(1, 1, 0, &f64_place()).unwrap_err();
    let DynamicsError::Config(found) = &error else {
        panic!("{error}")
    };
    assert_eq!(found.field, field, "{error}");
}

#[test]
fn settings_out_of_range_name_their_field() {
    refused(|c| c.units = 0, "units");
    refused(|c| c.time_constant = vec![-100.0].into(), "time_constant");
    refused(|c| c.time_constant = vec![f64::NAN].into(), "time_constant");
    refused(|c| c.time_constant = vec![0.0].into(), "time_constant");
    refused(
        |c| c.time_constant = vec![100.0, 50.0].into(),
        "time_constant",
    );
    refused(|c| c.time_constant = Vec::new().into(), "time_constant");
    refused(|c| c.dt = 0.0, "dt");
    refused(|c| c.dt = f64::NAN, "dt");
    refused(|c| c.dt = 200.0, "dt");
    refused(|c| c.dt = 100.1, "dt");
    refused(|c| c.time_constant_bounds = Some([10.0, 200.0]), "dt");
    refused(
        |c| c.time_constant_bounds = Some([150.0, 200.0]),
        "time_constant_bounds",
    );
    refused(
        |c| c.time_constant_bounds = Some([-1.0, 200.0]),
        "time_constant_bounds",
    );
    refused(|c| c.dale_ratio = Some(1.2), "dale_ratio");
    refused(|c| c.dale_ratio = Some(-0.1), "dale_ratio");
    refused(|c| c.dale_ratio = Some(f64::NAN), "dale_ratio");
    refused(|c| c.excitatory_output = true, "excitatory_output");
    refused(
        |c| (c.excitatory_output, c.dale_ratio) = (true, Some(0.0)),
        "dale_ratio",
    );
    refused(|c| c.private_noise = -0.1, "private_noise");
    refused(|c| c.shared_noise = f64::INFINITY, "shared_noise");
    refused(
        |c| (c.shared_noise, c.solver) = (0.1, SolverKind::Rk4),
        "shared_noise",
    );
    let radius = "initialization.spectral_radius";
    refused(
        |c| c.initialization = Initialization::SpectralRadius(0.0),
        radius,
    );
    let gain = "initialization.gaussian";
    refused(
        |c| c.initialization = Initialization::Gaussian(f64::NAN),
        gain,
    );
    let power = Activation::PowerLaw {
        gain: 1.0,
        exponent: 0.5,
    };
    refused(|c| c.activation = power, "activation.power_law.exponent");
    let config = RateNetworkConfig {
        dt: 100.0,
        ..config(6)
    };
    config.validate().unwrap();
}

#[test]
fn recurrences_that_cannot_be_are_refused() {
    let sparse = |density| Recurrence::Sparse { density };
    refused(|c| c.recurrence = sparse(0.0), "recurrence.sparse.density");
    refused(|c| c.recurrence = sparse(1.1), "recurrence.sparse.density");
    refused(
        |c| c.recurrence = sparse(f64::NAN),
        "recurrence.sparse.density",
    );
    let blocks = |sizes: &[usize], d: f64| Recurrence::Blocks {
        sizes: sizes.to_vec(),
        densities: vec![vec![1.0, d]; 2],
    };
    refused(
        |c| c.recurrence = blocks(&[3, 2], 1.0),
        "recurrence.blocks.sizes",
    );
    refused(
        |c| c.recurrence = blocks(&[6, 0], 1.0),
        "recurrence.blocks.sizes",
    );
    refused(
        |c| c.recurrence = blocks(&[2, 2, 2], 1.0),
        "recurrence.blocks.densities",
    );
    refused(
        |c| c.recurrence = blocks(&[3, 3], -0.1),
        "recurrence.blocks.densities",
    );
    // Nothing reaches the second block.
    refused(|c| c.recurrence = blocks(&[3, 3], 0.0), "recurrence");
    let mask =
        |rows: usize, columns: usize, value: u8| Recurrence::Mask(vec![vec![value; columns]; rows]);
    refused(|c| c.recurrence = mask(5, 6, 1), "recurrence.mask");
    refused(|c| c.recurrence = mask(6, 5, 1), "recurrence.mask");
    refused(|c| c.recurrence = mask(6, 6, 2), "recurrence.mask");
    refused(|c| c.recurrence = mask(6, 6, 0), "recurrence");
    let deaf = |c: &mut RateNetworkConfig| {
        let row = vec![1, 1, 0, 1, 1, 1];
        c.recurrence = Recurrence::Mask(vec![row; 6]);
    };
    refused(deaf, "recurrence");
    let mut config = config(6);
    deaf(&mut config);
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("unit 2"), "{error}");
    // Its only input is itself.
    refused(
        |c| {
            let rows = (0..6).map(|i| (0..6).map(|j| u8::from(i == j)).collect());
            c.recurrence = Recurrence::Mask(rows.collect());
            c.autapses = false;
        },
        "recurrence",
    );
    refused(|c| (c.units, c.autapses) = (1, false), "recurrence");
    let low = |rank, background| Recurrence::LowRank { rank, background };
    refused(|c| c.recurrence = low(0, 0.0), "recurrence.low_rank.rank");
    refused(|c| c.recurrence = low(7, 0.0), "recurrence.low_rank.rank");
    refused(
        |c| c.recurrence = low(2, -1.0),
        "recurrence.low_rank.background",
    );
    refused(
        |c| (c.recurrence, c.dale_ratio) = (low(2, 0.0), Some(0.8)),
        "dale_ratio",
    );
    refused(
        |c| (c.recurrence, c.autapses) = (low(2, 0.0), false),
        "autapses",
    );
}

#[test]
fn a_configuration_comes_back_from_its_text() {
    for (name, config) in constrained() {
        let text = serde_json::to_string(&config).unwrap();
        let back: RateNetworkConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(back, config, "{name}");
    }
    let read = |text: &str| serde_json::from_str::<RateNetworkConfig>(text);
    let some = read(
        r#"{"units": 64, "activation": "relu", "dale_ratio": 0.8,
            "recurrence": {"sparse": {"density": 0.1}}, "initialization": {"spectral_radius": 1.5}}"#,
    );
    let some = some.unwrap();
    assert_eq!(some.initialization, Initialization::SpectralRadius(1.5));
    assert_eq!(some.dt, 20.0);
    assert!(read(r#"{"unit": 64}"#).is_err());
    assert!(read(r#"{"recurrence": {"sparse": {"densty": 0.1}}}"#).is_err());
}
