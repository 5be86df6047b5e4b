//! Cables against their equations.

use std::f64::consts::{FRAC_PI_4, PI};
use std::sync::Arc;

use burn::tensor::Tensor;

use super::*;
use crate::differences::assert_gradient;
use crate::model::{self, Dynamics, Model};
use crate::simulate::{Grid, record};
use crate::solver::{BackwardEuler, Stepped};
use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
use crate::unit::HodgkinHuxleyConfig;
use crate::{Place, host};

mod compartments;
mod fused;
mod sections;
mod swc;

use compartments::{Compartment, Compartments, passive};

/// Reference numbers, section 5: d = 1 µm, L = 300 µm, R_i = 150 Ωcm, g_L = 1e-4 S/cm².
fn finite(compartments: usize, place: &Place) -> Cable {
    let membrane = passive(compartments, place, |_| ());
    Compartments::cylinder(300.0, 1.0, compartments).cable(membrane, place)
}

fn run(cable: &Cable, density: Tensor<2>, (dt, steps): (f64, usize)) -> Vec<f64> {
    let grid = Grid::Uniform {
        start: 0.0,
        dt,
        steps,
    };
    let initial = cable.initial_state(1).unwrap();
    let dynamics = cable.dynamics().unwrap();
    let input = model::ConstantInput(density);
    let (seen, _) = record(&dynamics, initial, &input, &grid).unwrap();
    host(seen).unwrap()
}

#[test]
fn a_finite_cable_has_its_steady_profile_to_a_microvolt() {
    let compartments = 200;
    let (length, lambda) = (300.0, 408.2483);
    for (_, place) in f64_places() {
        let cable = finite(compartments, &place);
        // One implicit step without end is the steady state.
        let density = cable.density(0, 0.02).unwrap();
        let seen = run(&cable, density, (1e9, 1));
        let rise: Vec<f64> = seen[compartments..].iter().map(|v| v + 70.0).collect();
        for (index, rise) in rise.iter().enumerate() {
            let x = (index as f64 + 0.5) * length / compartments as f64;
            let shape = ((length - x) / lambda).cosh() / (length / lambda).cosh();
            assert_close(*rise, 24.909578 * shape, 1e-3 / 24.9);
        }
        // From the middle of the first compartment to its end the current meets r·h/2 = 150 Ωcm·h/2/(πd²/4).
        let half = 0.02 * 150.0 * 0.75 / FRAC_PI_4 * 1e-2;
        let [first, last] = [rise[0] + half, rise[compartments - 1]];
        assert!((first - 24.909578).abs() < 1e-3, "{first}");
        assert!((last - 19.424629).abs() < 1e-3, "{last}");
    }
}

#[test]
fn single_precision_has_the_profile_too() {
    let exact = finite(12, &f64_places().swap_remove(0).1);
    let expected = run(&exact, exact.density(0, 0.02).unwrap(), (0.5, 6));
    for (name, place) in f32_places() {
        let cable = finite(12, &place);
        let found = run(&cable, cable.density(0, 0.02).unwrap(), (0.5, 6));
        for (found, expected) in found.into_iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-3,
                "{name}: {found} {expected}"
            );
        }
    }
}

/// A root with two different branches, one of which branches again, and a cell apart.
fn branched() -> Compartments {
    let cylinder = |parent, length, diameter| Compartment {
        parent,
        length,
        diameter,
    };
    Compartments::new(vec![
        cylinder(None, 20.0, 15.0),
        cylinder(Some(0), 60.0, 3.0),
        cylinder(Some(1), 80.0, 2.0),
        cylinder(Some(1), 50.0, 1.0),
        cylinder(Some(0), 100.0, 4.0),
        cylinder(None, 30.0, 10.0),
    ])
}

#[test]
fn what_enters_a_tree_leaves_through_its_membrane() {
    let place = f64_places().swap_remove(0).1;
    let config = branched();
    let g_l = [0.1, 0.2, 0.3, 0.1, 0.05, 0.1];
    let membrane = passive(6, &place, |config| {
        let table = &mut config.parameters.0;
        table.capacitance = vec![1.0, 2.0, 0.5, 1.5, 1.0, 3.0].into();
        table.leak = g_l.to_vec().into();
    });
    let cable = config.cable(membrane, &place);
    let seen = run(&cable, cable.density(3, 0.1).unwrap(), (1e9, 1));
    let leaks: Vec<f64> = (0..6)
        .map(|i| {
            let area = config.all[i].area();
            g_l[i] * area * (seen[6 + i] + 70.0) * 1e3
        })
        .collect();
    assert_close(leaks.iter().sum(), 0.1, 1e-8);
    assert!(leaks[..5].iter().all(|leak| *leak > 1e-4), "{leaks:?}");
    assert!(leaks[5].abs() < 1e-9, "nothing reaches the other cell");
}

/// RK4 on the host with the couplings written out, in steps so small that it is exact to the digits compared.
fn by_hand(config: &Compartments, density: &[f64], until: f64) -> Vec<f64> {
    let cylinders = &config.all;
    let half = |c: &Compartment| c.length * 0.5e-4 / (PI / 4.0 * (c.diameter * 1e-4).powi(2));
    let slope = |v: &[f64]| {
        let leak = v.iter().zip(density).map(|(v, u)| 0.1 * (-70.0 - v) + u);
        let mut slope: Vec<f64> = leak.collect();
        for (i, child) in cylinders.iter().enumerate() {
            let Some(p) = child.parent else { continue };
            let current = 1e3 * (v[p] - v[i]) / (150.0 * (half(child) + half(&cylinders[p])));
            slope[i] += current / child.area();
            slope[p] -= current / cylinders[p].area();
        }
        slope
    };
    let add = |v: &[f64], k: &[f64], h: f64| -> Vec<f64> {
        v.iter().zip(k).map(|(v, k)| v + h * k).collect()
    };
    let steps = 8000;
    let h = until / f64::from(steps);
    let mut v = vec![-70.0; cylinders.len()];
    for _ in 0..steps {
        let k1 = slope(&v);
        let k2 = slope(&add(&v, &k1, h / 2.0));
        let k3 = slope(&add(&v, &k2, h / 2.0));
        let k4 = slope(&add(&v, &k3, h));
        for (k, weight) in [(k1, 1.0), (k2, 2.0), (k3, 2.0), (k4, 1.0)] {
            v = add(&v, &k, weight * h / 6.0);
        }
    }
    v
}

#[test]
fn the_time_course_converges_in_the_order_of_the_scheme() {
    let place = f64_places().swap_remove(0).1;
    let schemes = [
        (CableScheme::BackwardEuler, 1.0),
        (CableScheme::CrankNicolson, 2.0),
    ];
    for (scheme, order) in schemes {
        let config = Compartments {
            scheme,
            ..branched()
        };
        let cable = config.cable(passive(6, &place, |_| ()), &place);
        let density = cable.density(0, 0.5).unwrap();
        let expected = by_hand(&config, &host(density.clone()).unwrap(), 4.0);
        let error = |steps: usize| {
            let seen = run(&cable, density.clone(), (4.0 / steps as f64, steps));
            let last = seen[6 * steps..].iter().zip(&expected);
            last.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let found = (error(320) / error(640)).log2();
        assert!((found - order).abs() < 0.15, "{scheme:?}: order {found}");
    }
}

#[test]
fn one_compartment_is_a_cell() {
    let place = f64_places().swap_remove(0).1;
    let cells = HodgkinHuxleyConfig::default()
        .init(Arc::new(BackwardEuler), &place)
        .unwrap();
    let cable = Compartments::cylinder(10.0, 2.0, 1).cable(cells.clone(), &place);
    let grid = Grid::Uniform {
        start: 0.0,
        dt: 0.025,
        steps: 200,
    };
    let stepped: Stepped<_, _> = cells.dynamics().unwrap();
    let run = |dynamics: &dyn Dynamics| {
        let initial = cells.initial_state(1).unwrap();
        let current = model::ConstantInput(place.full(10.0, [1, 1]));
        host(record(dynamics, initial, &current, &grid).unwrap().0).unwrap()
    };
    let (cell, cable) = (run(&stepped), run(&cable.dynamics().unwrap()));
    assert!(cell.iter().copied().fold(f64::MIN, f64::max) > 30.0);
    for (a, b) in cable.into_iter().zip(cell) {
        assert_close(a, b, 1e-12);
    }
}

#[test]
fn a_spike_travels_along_an_axon() {
    let place = f64_places().swap_remove(0).1;
    let compartments = 30;
    let membrane = HodgkinHuxleyConfig {
        cells: compartments,
        ..Default::default()
    };
    let membrane = membrane.init(Arc::new(BackwardEuler), &place).unwrap();
    let cable = Compartments {
        axial_resistivity: 35.4,
        ..Compartments::cylinder(30_000.0, 476.0, compartments)
    };
    let cable = cable.cable(membrane, &place);
    let density = cable.density(0, 10_000.0).unwrap();
    let seen = run(&cable, density, (0.02, 250));
    let arrival = |compartment: usize| {
        let mut rows = seen.chunks(compartments);
        rows.position(|v| v[compartment] > 0.0).unwrap() as f64 * 0.02
    };
    let times: Vec<f64> = (0..compartments).map(arrival).collect();
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0]), "{times:?}");
    // The squid's giant axon of Hodgkin & Huxley (1952), 476 µm thick with R_i = 35.4 Ωcm, conducts at 18.8 m/s at
    // 18.5 °C and, with rates 3.8 times slower, at about 12 m/s at 6.3 °C.
    let speed = 10.0 / (times[20] - times[10]);
    assert!((10.0..15.0).contains(&speed), "{speed} m/s");
}

#[test]
fn gradients_agree_with_differences() {
    let place = f64_autodiff();
    for scheme in [CableScheme::BackwardEuler, CableScheme::CrankNicolson] {
        let membrane = passive(6, &place, |config| {
            config.initial.insert("v".into(), (-60.0).into());
            config.trainable = ["capacitance", "g_l", "e_l", "v"]
                .map(String::from)
                .to_vec();
            config.parameters.0.capacitance = vec![1.0, 2.0, 0.5, 1.5, 1.0, 3.0].into();
        });
        let config = Compartments {
            scheme,
            trainable: true,
            ..branched()
        };
        let cable = config.cable(membrane, &place);
        let input = model::ConstantInput(cable.density(2, 0.2).unwrap());
        let loss = |seen: Tensor<3>| (seen * 0.3).cos().mean();
        assert_gradient(&cable, &input, (0.3, 12), loss, 1e-5, 1e-6);
    }
}

#[test]
fn a_current_enters_a_compartment_that_is_there() {
    let place = f64_places().swap_remove(0).1;
    let cable = branched().cable(passive(6, &place, |_| ()), &place);
    let error = cable.density(6, 1.0).unwrap_err().to_string();
    assert!(error.contains("compartment = 6"), "{error}");
}
