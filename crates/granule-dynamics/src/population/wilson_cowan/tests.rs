use burn::tensor::Tensor;

use super::*;
use crate::differences::assert_gradient;
use crate::model::{ConstantInput, Field, Model, NoInput};
use crate::solver::Rk4;
use crate::state::host;
use crate::system::Integrated;
use crate::testing::{f32_places, f64_autodiff, f64_place, f64_places, host_device};
use crate::{Grid, record};

/// E over time at rows of a batch.
fn excitation(config: &WilsonCowanConfig, place: &Place, duration: f64, dt: f64) -> Vec<f64> {
    let system = config.init(place).unwrap();
    let start = system.initial_state(1).unwrap();
    let start = start.map(|x| x.add_scalar(0.1));
    let grid = Grid::over(duration, dt).unwrap();
    let model = Integrated::new(system, Rk4).dynamics().unwrap();
    let (seen, _) = record(&model, start, &NoInput, &grid).unwrap();
    host(seen).unwrap()
}

#[test]
fn the_derivative_is_that_of_the_equations() {
    let config = WilsonCowanConfig {
        inhibitory_time_constant: 20.0.into(),
        excitatory_refractoriness: 0.7.into(),
        inhibitory_refractoriness: 1.3.into(),
        inhibitory_drive: 0.4.into(),
        pairs: 2,
        ..WilsonCowanConfig::default()
    };
    let s = |x: f64, a: f64, theta: f64| {
        1.0 / (1.0 + (-a * (x - theta)).exp()) - 1.0 / (1.0 + (a * theta).exp())
    };
    let k = |a: f64, theta: f64| 1.0 - 1.0 / (1.0 + (a * theta).exp());
    let expected = |e: f64, i: f64, p: f64, q: f64| {
        let to_e = s(16.0 * e - 12.0 * i + 1.25 + p, 1.3, 4.0);
        let to_i = s(15.0 * e - 3.0 * i + 0.4 + q, 2.0, 3.7);
        [
            (-e + (k(1.3, 4.0) - 0.7 * e) * to_e) / 8.0,
            (-i + (k(2.0, 3.7) - 1.3 * i) * to_i) / 20.0,
        ]
    };
    for (name, place) in f64_places().into_iter().chain(f32_places()) {
        let tolerance = match place.dtype {
            burn::tensor::DType::F64 => 1e-15,
            _ => 1e-7,
        };
        let field = config.init(&place).unwrap().field().unwrap();
        let (e, i) = ([0.3, 0.1], [0.05, 0.2]);
        let state = [e, i].map(|x| place.tensor(x.to_vec(), [1, 2])).to_vec();
        let input = place.tensor(vec![0.5, -0.2, 0.1, 0.3], [1, 4]);
        let slope = field.derivative(0.0, &State::new(state), Some(&input));
        let found: Vec<f64> = (0..2)
            .flat_map(|v| host(slope[v].clone()).unwrap())
            .collect();
        let first = expected(0.3, 0.05, 0.5, 0.1);
        let second = expected(0.1, 0.2, -0.2, 0.3);
        let expected = [first[0], second[0], first[1], second[1]];
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < tolerance, "{name}: {a} {b}");
        }
    }
}

#[test]
fn rest_without_drive_and_a_limit_cycle_with_it() {
    let at_rest = WilsonCowanConfig {
        excitatory_drive: 0.0.into(),
        ..WilsonCowanConfig::default()
    };
    let silent = excitation(&at_rest, &f64_place(), 300.0, 0.5);
    assert!(silent.last().unwrap().abs() < 1e-6);
    for name in ["flex", "ndarray"] {
        let place = Place::f32(&host_device(name));
        let cycle = excitation(&WilsonCowanConfig::default(), &place, 300.0, 0.5);
        let late = &cycle[cycle.len() / 2..];
        let high = late.iter().copied().fold(f64::MIN, f64::max);
        let low = late.iter().copied().fold(f64::MAX, f64::min);
        assert!(high - low > 0.15, "{name}: {low} to {high}");
        let middle = 0.5 * (high + low);
        let rises = late.windows(2).filter(|w| w[0] < middle && w[1] >= middle);
        assert!(rises.count() >= 2, "{name}");
    }
}

#[test]
fn every_parameter_has_the_gradient_of_central_differences() {
    let place = f64_autodiff();
    let mut config = WilsonCowanConfig {
        pairs: 2,
        inhibitory_drive: vec![0.2, -0.1].into(),
        ..WilsonCowanConfig::default()
    };
    let settings = config.settings().concat();
    config.trainable = settings.iter().map(|s| s.name.into()).collect();
    let model = Integrated::new(config.init(&place).unwrap(), Rk4);
    let input = ConstantInput(place.tensor(vec![0.1, 0.0, 0.3, 0.2], [1, 4]));
    let loss = |seen: Tensor<3>| (seen.clone() * seen.add_scalar(1.0)).sum();
    assert_gradient(&model, &input, (1.0, 20), loss, 1e-5, 1e-8);
}

#[test]
fn settings_out_of_range_name_their_field() {
    let fails = |change: &dyn Fn(&mut WilsonCowanConfig), field: &str| {
        let mut config = WilsonCowanConfig::default();
        change(&mut config);
        let error = config.init(&f64_place()).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    };
    fails(&|c| c.pairs = 0, "pairs");
    fails(
        &|c| c.excitatory_time_constant = (-8.0).into(),
        "excitatory_time_constant",
    );
    fails(
        &|c| c.inhibitory_slope = f64::NAN.into(),
        "inhibitory_slope",
    );
    fails(
        &|c| c.inhibitory_to_excitatory = (-1.0).into(),
        "inhibitory_to_excitatory",
    );
    fails(
        &|c| c.excitatory_drive = f64::INFINITY.into(),
        "excitatory_drive",
    );
    fails(&|c| c.trainable = vec!["tau".into()], "trainable");
    fails(
        &|c| c.excitatory_slope = vec![1.0, 2.0].into(),
        "excitatory_slope",
    );
    let untrainable = WilsonCowanConfig {
        inhibitory_refractoriness: 0.0.into(),
        trainable: vec!["inhibitory_refractoriness".into()],
        ..WilsonCowanConfig::default()
    };
    assert!(untrainable.init(&f64_place()).is_err());
    let model = WilsonCowanConfig::default().init(&f64_place()).unwrap();
    let start = model.initial_state(1).unwrap();
    let narrow = f64_place().full(0.0, [1, 1]);
    let refused = model.field().unwrap().check_input(&start, Some(&narrow));
    assert!(matches!(refused, Err(DynamicsError::Shape { .. })));
}
