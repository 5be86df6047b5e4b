use super::*;
use crate::Place;
use crate::model::{ConstantInput, Field, NoInput};
use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
use crate::system::{FitzHughNagumoConfig, Mlp, MlpConfig};
use crate::testing::{assert_close, f64_place};

fn network() -> NonlinearSystemConfig {
    NonlinearSystemConfig {
        population: 2,
        external: 1,
        form: FormConfig::Network(NetworkFormConfig {
            size: 2,
            network: MlpConfig {
                hidden: vec![3],
                scale: 0.8,
                seed: 3,
            },
            time_constant: vec![5.0, 4.0].into(),
            initial: vec![0.5, -0.2].into(),
            trainable: vec!["time_constant".into(), "initial".into()],
        }),
        drive: DriveConfig::Network(MlpConfig {
            hidden: vec![2],
            scale: 0.1,
            seed: 4,
        }),
    }
}

fn named() -> NonlinearSystemConfig {
    NonlinearSystemConfig {
        population: 1,
        external: 2,
        form: FormConfig::FitzHughNagumo(FitzHughNagumoConfig {
            trainable: vec!["recovery_rate".into()],
            ..Default::default()
        }),
        drive: DriveConfig::Linear {
            b: vec![vec![0.5], vec![0.1]],
            c: vec![vec![0.1, 0.2], vec![0.0, -0.3]],
        },
    }
}

#[test]
fn a_network_form_is_what_its_layers_compute() {
    let place = f64_place();
    let model = network().init(&place).unwrap();
    let Form::Network(form) = &model.form else {
        unreachable!()
    };
    let Drive::Network(drive) = &model.drive else {
        unreachable!()
    };
    let layer = |mlp: &Mlp, i: usize| {
        let weight = &mlp.layers[i].weight;
        (crate::host(weight.val()).unwrap(), weight.dims())
    };
    let apply = |mlp: &Mlp, x: &[f64]| {
        let mut x = x.to_vec();
        for i in 0..mlp.layers.len() {
            let (weight, [rows, columns]) = layer(mlp, i);
            assert_eq!(rows, x.len());
            let y = (0..columns).map(|c| (0..rows).map(|r| x[r] * weight[r * columns + c]).sum());
            x = y.collect();
            if i + 1 < mlp.layers.len() {
                x.iter_mut().for_each(|x: &mut f64| *x = x.tanh());
            }
        }
        x
    };
    let (x, y, u) = ([0.5, -0.2], [1.0, 0.4], [2.0]);
    let f = apply(&form.network, &[x[0], x[1], y[0], y[1]]);
    let g = apply(drive, &[y[0], y[1], u[0]]);
    let input = place.tensor(vec![y[0], y[1], u[0]], [1, 3]);
    let state = model.initial_state(1).unwrap();
    let slope = model.field().unwrap().derivative(0.0, &state, Some(&input));
    for (i, found) in crate::host(slope[0].clone())
        .unwrap()
        .into_iter()
        .enumerate()
    {
        assert_close(found, f[i] / [5.0, 4.0][i] + g[i], 1e-14);
    }
}

#[test]
fn a_named_form_takes_the_drive_through_its_variables() {
    let place = f64_place();
    let system = named().init(&place).unwrap();
    let FormConfig::FitzHughNagumo(config) = named().form else {
        unreachable!()
    };
    let alone = config.init(&place).unwrap();
    // B·0.6 + C·(1, −0.5)
    let drive = ConstantInput(place.tensor(vec![0.3, 0.06 + 0.15], [1, 2]));
    let input = ConstantInput(place.tensor(vec![0.6, 1.0, -0.5], [1, 3]));
    let (seen, _) = trace(&system, &input, 0.1, 100);
    let (expected, _) = trace(&alone, &drive, 0.1, 100);
    assert_close(seen[100][0], expected[100][0], 1e-12);
    let (silent, _) = trace(&system, &NoInput, 0.1, 100);
    let (expected, _) = trace(&alone, &NoInput, 0.1, 100);
    assert_close(silent[100][0], expected[100][0], 1e-12);
}

#[test]
fn gradients_agree_with_central_differences() {
    every_gradient_agrees(
        |place| network().init(place).unwrap(),
        &[1.0, 0.4, 2.0],
        0.5,
        15,
    );
    every_gradient_agrees(
        |place| named().init(place).unwrap(),
        &[0.6, 1.0, -0.5],
        0.2,
        15,
    );
}

#[test]
fn single_precision_follows_on_every_device() {
    let make = |place: &Place| network().init(place).unwrap();
    agrees_on_every_device(make, &[1.0, 0.4, 2.0], 0.5, 5, 1e-5);
}

#[test]
fn settings_that_do_not_fit_are_named() {
    let refused = |config: NonlinearSystemConfig| config.validate().unwrap_err().to_string();
    let mut config = network();
    config.drive = DriveConfig::Linear {
        b: vec![vec![1.0]; 2],
        c: vec![],
    };
    assert!(refused(config).starts_with("drive.b = 2 rows of 1, 1 values"));
    let mut config = network();
    config.drive = DriveConfig::Network(MlpConfig {
        hidden: vec![0],
        ..Default::default()
    });
    assert!(refused(config).starts_with("drive.hidden[0] = 0"));
    let mut config = network();
    (config.population, config.external) = (0, 0);
    assert!(refused(config).starts_with("drive.kind = network"));
    let config: Result<NonlinearSystemConfig, _> = serde_json::from_str(
        r#"{"population": 2, "form": {"kind": "van-der-pol", "damping": -0.5}, "drive": {"kind": "linear"}}"#,
    );
    config.unwrap().validate().unwrap();
    for (text, place) in [
        (
            r#"{"form": {"kind": "van-der-pol", "time_constant": -1}}"#,
            "form.time_constant = -1",
        ),
        (
            r#"{"form": {"kind": "network", "size": 0}}"#,
            "form.size = 0",
        ),
        (
            r#"{"form": {"kind": "network", "network": {"hidden": [0]}}}"#,
            "form.network.hidden[0] = 0",
        ),
    ] {
        let config: NonlinearSystemConfig = serde_json::from_str(text).unwrap();
        let error = refused(config);
        assert!(error.starts_with(place), "{error}");
    }
    let config: Result<NonlinearSystemConfig, _> =
        serde_json::from_str(r#"{"form": {"kind": "van-der-pol", "mu": 1}}"#);
    assert!(config.unwrap_err().to_string().contains("mu"));
}
