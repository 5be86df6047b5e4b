use std::f64::consts::E;

use super::*;
use crate::differences::assert_gradient;
use crate::host;
use crate::model::InputSeries;
use crate::simulate::{Grid, record};
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
use crate::unit::Constant;

/// Two cells to three.
const WEIGHTS: [f64; 6] = [0.5, 1.0, 0.0, 2.0, 0.0, 3.0];

fn weights(place: &Place) -> Weights {
    Weights::fixed(&WEIGHTS, [2, 3], Bounds::AtLeast(0.0), place).unwrap()
}

/// One spike of the first cell at 0 and one of the second at 1 ms; dt = 0.5 ms.
fn spikes(place: &Place, steps: usize) -> InputSeries {
    let mut values = vec![0.0; 2 * steps];
    values[0] = 1.0;
    values[5] = 1.0;
    InputSeries(place.tensor(values, [steps, 1, 2]))
}

fn course(config: &SynapseConfig, place: &Place, steps: usize) -> Vec<f64> {
    let synapse = config.init(weights(place), place).unwrap();
    let grid = Grid::Uniform {
        start: 0.0,
        dt: 0.5,
        steps,
    };
    let initial = synapse.initial_state(1).unwrap();
    let dynamics = synapse.dynamics().unwrap();
    let (seen, _) = record(&dynamics, initial, &spikes(place, steps), &grid).unwrap();
    host(seen).unwrap()
}

/// A time course after a spike, ms.
type Course = fn(f64) -> f64;

fn kinds() -> [(SynapseConfig, Course); 4] {
    [
        (SynapseConfig::ampa(), |t| (-t / 2.0).exp()),
        (SynapseConfig::current(7.0), |t| (-t / 7.0).exp()),
        (SynapseConfig::alpha(3.0, -80.0), |t| {
            t / 3.0 * (1.0 - t / 3.0).exp()
        }),
        (SynapseConfig::nmda(), |t| {
            let peak = 200.0 / 98.0 * 50.0f64.ln();
            let form = |t: f64| (-t / 100.0).exp() - (-t / 2.0).exp();
            form(t) / form(peak)
        }),
    ]
}

#[test]
fn time_courses_are_the_closed_forms() {
    let steps = 40;
    let check = |place: &Place, tolerance: f64| {
        for (config, form) in kinds() {
            let after = |t: f64| if t > 0.0 { form(t) } else { 0.0 };
            for (step, row) in course(&config, place, steps).chunks(3).enumerate() {
                let t = step as f64 * 0.5;
                for (post, found) in row.iter().enumerate() {
                    let expected = WEIGHTS[post] * after(t) + WEIGHTS[3 + post] * after(t - 1.0);
                    assert_close(*found, expected, tolerance);
                }
            }
        }
    };
    for (_, place) in f64_places() {
        check(&place, 1e-13);
    }
    for (_, place) in f32_places() {
        check(&place, 3e-6);
    }
}

#[test]
fn the_peak_is_the_weight() {
    let place = f64_places().swap_remove(0).1;
    let config = SynapseConfig::alpha(0.5 * E, 0.0);
    let synapse = config.init(weights(&place), &place).unwrap();
    let dynamics = synapse.dynamics().unwrap();
    let spike = place.tensor(vec![0.0, 1.0], [1, 2]);
    let at = Clock {
        step: 0,
        time: 0.0,
        dt: 0.5 * E,
    };
    let state = synapse.initial_state(1).unwrap();
    let state = dynamics.step(at, &state, Some(&spike)).unwrap();
    for (found, weight) in host(dynamics.observe(&state))
        .unwrap()
        .into_iter()
        .zip(&WEIGHTS[3..])
    {
        assert_close(found, *weight, 1e-14);
    }
}

#[test]
fn currents_have_their_driving_force_and_block() {
    for (_, place) in f64_places() {
        let v = place.tensor(vec![-65.0, 20.0, -3000.0], [1, 3]);
        let at = |config: SynapseConfig| {
            let synapse = config.init(weights(&place), &place).unwrap();
            let dynamics = synapse.dynamics().unwrap();
            let open = place.full::<2>(2.0, [1, 3]);
            let mut state = vec![open.clone()];
            if dynamics.variables().len() == 2 {
                state.push(open.zeros_like());
            }
            let state = State::new(state);
            let open = host(dynamics.observe(&state)).unwrap()[0];
            let current = host(dynamics.current(&state, &v)).unwrap();
            let conductance = dynamics.conductance(&state, &v).map(|g| host(g).unwrap());
            (open, current, conductance)
        };
        let (_, current, conductance) = at(SynapseConfig::current(5.0));
        assert_eq!((current, conductance), (vec![2.0; 3], None));
        let (_, current, conductance) = at(SynapseConfig::gaba());
        assert_eq!(current, [-10.0, -180.0, 5860.0]);
        assert_eq!(conductance, Some(vec![2.0; 3]));
        // Jahr & Stevens (1990): 1/(1 + exp(4.03)/3.57) = 0.0596647 at −65 mV and 0.9249871 at 20 mV.
        let (open, current, _) = at(SynapseConfig::nmda());
        assert_close(current[0] / (open * 65.0), 0.0596651, 1e-4);
        let block = |v: f64| 1.0 / (1.0 + (-0.062 * v).exp() / 3.57);
        assert_close(current[0], open * block(-65.0) * 65.0, 1e-13);
        assert_close(current[1], -open * block(20.0) * 20.0, 1e-13);
        assert!(current[2].abs() < 1e-12);
    }
}

#[test]
fn gradients_agree_with_differences() {
    let place = f64_autodiff();
    let trainable: [(SynapseConfig, &[&str]); 3] = [
        (SynapseConfig::current(4.0), &["time_constant"]),
        (
            SynapseConfig::alpha(vec![2.0, 3.0, 4.0], 0.0),
            &["time_constant"],
        ),
        (SynapseConfig::nmda(), &["rise", "decay"]),
    ];
    for (mut config, names) in trainable {
        config.trainable = names.iter().map(|name| name.to_string()).collect();
        let shape = [2, 3];
        let values = [0.5, 1.0, 0.2, 2.0, 0.7, 3.0];
        let weights = Weights::trainable(&values, shape, Bounds::AtLeast(0.0), &place).unwrap();
        let synapse = config.init(weights, &place).unwrap();
        let loss = |seen: Tensor<3>| (seen * 2.0).sin().mean();
        assert_gradient(&synapse, &spikes(&place, 20), (0.5, 20), loss, 1e-6, 1e-6);
    }
}

#[test]
fn the_gradient_of_a_current_agrees_with_differences() {
    let place = f64_autodiff();
    let mut config = SynapseConfig::nmda();
    config.trainable = vec!["reversal".into(), "magnesium".into()];
    let synapse = config.init(weights(&place), &place).unwrap();
    let current = |synapse: &Synapse, v: Tensor<2>| {
        let dynamics = synapse.dynamics().unwrap();
        let open = place.full(2.0, [1, 3]);
        let state = State::new(vec![open.clone(), open.zeros_like()]);
        dynamics.current(&state, &v).sum()
    };
    let v = [-70.0, -30.0, 10.0];
    let at = place.tensor::<2>(v.to_vec(), [1, 3]).require_grad();
    let total = current(&synapse, at.clone());
    let slopes = host(at.grad(&total.backward()).unwrap()).unwrap();
    for unit in 0..3 {
        let moved = |h: f64| {
            let mut v = v.to_vec();
            v[unit] += h;
            host(current(&synapse, place.tensor(v, [1, 3]))).unwrap()[0]
        };
        assert_close(slopes[unit], (moved(1e-5) - moved(-1e-5)) / 2e-5, 1e-8);
    }
    let v = place.tensor(v.to_vec(), [1, 3]);
    let gradients = current(&synapse, v.clone()).backward();
    let magnesium = synapse
        .force
        .magnesium
        .as_ref()
        .unwrap()
        .parameter()
        .unwrap()
        .raw
        .clone();
    let slope = host(magnesium.val().grad(&gradients).unwrap()).unwrap()[0];
    let moved = |h: f64| {
        let mut synapse = synapse.clone();
        let Some(Constant::Parameter(parameter)) = synapse.force.magnesium.as_mut() else {
            panic!("a parameter")
        };
        parameter.raw = parameter.raw.clone().map(|raw| raw.add_scalar(h));
        host(current(&synapse, v.clone())).unwrap()[0]
    };
    assert_close(slope, (moved(1e-5) - moved(-1e-5)) / 2e-5, 1e-8);
}

#[test]
fn absent_connections_stay_absent() {
    let place = f64_autodiff();
    let weights = Weights::trainable(&WEIGHTS, [2, 3], Bounds::AtLeast(0.0), &place).unwrap();
    for (found, expected) in host(weights.value()).unwrap().into_iter().zip(WEIGHTS) {
        assert_close(found, expected, 1e-15);
    }
    let gradients = weights.value().sum().backward();
    let slopes = host(weights.strengths.raw.val().grad(&gradients).unwrap()).unwrap();
    for (slope, weight) in slopes.into_iter().zip(WEIGHTS) {
        assert_close(slope, weight, 1e-15);
    }
}

#[test]
fn settings_without_sense_are_refused() {
    let place = f64_places().swap_remove(0).1;
    let refused = |config: SynapseConfig| {
        config
            .init(weights(&place), &place)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(SynapseConfig::current(-1.0)).contains("time_constant = -1"));
    assert!(refused(SynapseConfig::alpha(0.0, 0.0)).contains("time_constant = 0"));
    assert!(refused(SynapseConfig::current(vec![1.0, 2.0])).contains("[2 values]"));
    assert!(refused(SynapseConfig::exponential(1.0, f64::NAN)).contains("reversal = NaN"));
    let slow = Kinetics::DoubleExponential {
        rise: 5.0.into(),
        decay: 5.0.into(),
    };
    let error = refused(SynapseConfig::new(slow, Effect::Current));
    assert!(
        error.contains("rise = 5") && error.contains("decay = 5"),
        "{error}"
    );
    let mut config = SynapseConfig::nmda();
    config.trainable = vec!["magnesium".into(), "rice".into()];
    assert!(
        config
            .validate()
            .unwrap_err()
            .to_string()
            .contains("trainable = rice")
    );
    config.trainable.pop();
    config.effect = Effect::Nmda {
        reversal: 0.0.into(),
        magnesium: (-1.0).into(),
    };
    assert!(
        config
            .validate()
            .unwrap_err()
            .to_string()
            .contains("magnesium = -1")
    );

    let negative = Weights::fixed(&[-1.0], [1, 1], Bounds::AtLeast(0.0), &place);
    assert!(negative.unwrap_err().to_string().contains("weights = -1"));
    let few = Weights::fixed(&[1.0], [1, 2], Bounds::Free, &place);
    assert!(few.unwrap_err().to_string().contains("[1, 2]"));
    let none = weights(&place).masked(&[false; 6], &place);
    assert!(
        none.unwrap_err()
            .to_string()
            .contains("at least one connection")
    );

    let synapse = SynapseConfig::ampa().init(weights(&place), &place).unwrap();
    let at = Clock {
        step: 0,
        time: 0.0,
        dt: 0.1,
    };
    let state = synapse.initial_state(1).unwrap();
    let wide = place.full(1.0, [1, 3]);
    let error = synapse
        .dynamics()
        .unwrap()
        .step(at, &state, Some(&wide))
        .unwrap_err();
    assert!(
        error.to_string().contains("spikes that reach a synapse"),
        "{error}"
    );
}

#[test]
fn a_configuration_names_its_kinds() {
    let text = r#"{
        "kinetics": {"double-exponential": {"rise": 2, "decay": 100}},
        "effect": {"nmda": {"reversal": 0, "magnesium": 1}},
        "scale": "cell"
    }"#;
    let config: SynapseConfig = serde_json::from_str(text).unwrap();
    let expected = SynapseConfig {
        scale: Scale::Cell,
        ..SynapseConfig::nmda()
    };
    assert_eq!(config, expected);
    let wrong = serde_json::from_str::<SynapseConfig>(r#"{"effect": "conductance"}"#);
    assert!(wrong.is_err());
}
