use std::sync::Arc;

use super::*;
use crate::DynamicsError;
use crate::model::{ConstantInput, Model};
use crate::population::{Initialization, WilsonCowanConfig};
use crate::solver::Euler;
use crate::state::host;
use crate::system::Integrated;
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_place};
use crate::{Grid, record};

fn small() -> WilsonCowanNetworkConfig {
    WilsonCowanNetworkConfig {
        units: 5,
        dt: 10.0,
        ..Default::default()
    }
}

/// One population of either kind with the connections of the paper's limit cycle is its pair.
#[test]
fn two_populations_are_the_pair_of_the_paper() {
    let (place, dt, steps) = (f64_place(), 0.5, 200);
    let config = WilsonCowanNetworkConfig {
        units: 2,
        excitatory_share: 0.5,
        dt,
        excitatory_time_constant: 8.0,
        inhibitory_time_constant: 8.0,
        ..Default::default()
    };
    let mut network = config.init(2, 1, 3, &place).unwrap();
    let RecurrentWeights::Dense(dense) = &mut network.recurrent else {
        panic!("other weights");
    };
    // Rows presynaptic: E on E and I, then I on E and I, whose sign Dale's law gives.
    dense.raw = Param::from_tensor(place.tensor(vec![16.0, 15.0, 12.0, 3.0], [2, 2]));
    network.input.weight = Param::from_tensor(place.tensor(vec![1.0, 0.0, 0.0, 1.0], [2, 2]));
    network.input.bias = None;
    let drives = [1.25, 0.1].repeat(steps);
    let found = network
        .forward(place.tensor(drives, [1, steps, 2]), None)
        .unwrap();
    let found = host(found.rates).unwrap();

    let pair = WilsonCowanConfig {
        excitatory_drive: 0.0.into(),
        ..Default::default()
    };
    let pair = Integrated::new(pair.init(&place).unwrap(), Arc::new(Euler));
    let grid = Grid::over(dt * steps as f64, dt).unwrap();
    let input = ConstantInput(place.tensor(vec![1.25, 0.1], [1, 2]));
    let initial = pair.initial_state(1).unwrap();
    let (seen, _) = record(&pair.dynamics().unwrap(), initial, &input, &grid).unwrap();
    let expected = host(seen).unwrap();
    let excitation: Vec<f64> = found.chunks(2).map(|x| x[0]).collect();
    assert!(excitation.iter().any(|e| *e > 0.2), "{excitation:?}");
    for (found, expected) in excitation.iter().zip(&expected[1..]) {
        assert_close(*found, *expected, 1e-12);
    }
}

#[test]
fn gradients_agree_with_differences() {
    let place = f64_autodiff();
    let network = small().init(2, 1, 7, &place).unwrap();
    let u = place.tensor(
        (0..16).map(|i| (f64::from(i) * 0.7).sin()).collect(),
        [2, 4, 2],
    );
    let loss = |network: &WilsonCowanNetwork| {
        let out = network.forward(u.clone(), None).unwrap().outputs;
        (out * 3.0).cos().mean()
    };
    let gradients = loss(&network).backward();
    let RecurrentWeights::Dense(dense) = &network.recurrent else {
        panic!("other weights");
    };
    let check = |value: Tensor<2>, put: &dyn Fn(Tensor<2>) -> WilsonCowanNetwork| {
        let slope = host(value.grad(&gradients).unwrap()).unwrap();
        let (values, shape) = (host(value.clone()).unwrap(), value.dims());
        for at in 0..values.len() {
            let moved = |by: f64| {
                let mut values = values.clone();
                values[at] += by;
                host(loss(&put(place.tensor(values, shape)))).unwrap()[0]
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (slope[at] - difference).abs() < 1e-8,
                "{} {difference}",
                slope[at]
            );
        }
    };
    check(dense.raw.val(), &|values| {
        let mut moved = network.clone();
        if let RecurrentWeights::Dense(dense) = &mut moved.recurrent {
            dense.raw = Param::from_tensor(values);
        }
        moved
    });
    check(network.input.weight.val(), &|values| {
        let mut moved = network.clone();
        moved.input.weight = Param::from_tensor(values);
        moved
    });
}

#[test]
fn rates_are_shares_on_every_device() {
    let expected = {
        let place = f64_place();
        let network = small().init(2, 1, 5, &place).unwrap();
        host(
            network
                .forward(place.full(2.0, [1, 9, 2]), None)
                .unwrap()
                .rates,
        )
        .unwrap()
    };
    assert!(expected.iter().all(|x| (0.0..1.0).contains(&x.abs())));
    for (name, place) in f32_places() {
        let network = small().init(2, 1, 5, &place).unwrap();
        let found = network.forward(place.full(2.0, [1, 9, 2]), None).unwrap();
        for (a, b) in host(found.rates).unwrap().iter().zip(&expected) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} {b}");
        }
    }
}

#[test]
fn settings_without_sense_are_named() {
    let refused = |change: fn(&mut WilsonCowanNetworkConfig), field: &str| {
        let mut config = small();
        change(&mut config);
        let DynamicsError::Config(error) = config.validate().unwrap_err() else {
            panic!("{field}");
        };
        assert_eq!(error.field, field);
    };
    refused(|c| c.units = 1, "units");
    refused(|c| c.excitatory_share = 1.0, "excitatory_share");
    refused(|c| c.dt = 60.0, "dt");
    refused(|c| c.inhibitory_slope = 0.0, "inhibitory_slope");
    refused(
        |c| c.excitatory_threshold = f64::NAN,
        "excitatory_threshold",
    );
    refused(|c| c.refractoriness = -1.0, "refractoriness");
    let infinite = |c: &mut WilsonCowanNetworkConfig| {
        c.initialization = Initialization::SpectralRadius(f64::INFINITY);
    };
    refused(infinite, "initialization.spectral_radius");
}
