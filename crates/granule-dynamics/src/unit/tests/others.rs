//! Wang–Buzsáki and Traub–Miles cells against solutions by another program.
//!
//! The numbers are those of scipy 1.17 (`solve_ivp`, DOP853, rtol = atol = 10⁻¹², steps of at most 0.5 ms, spikes as events) in
//! double precision, on the equations as they are printed in the cells' documentation; rest by `brentq` of the steady
//! current. Rates are from the last interval before 1000 ms.

use super::*;
use crate::solver::Rk4;
use crate::testing::{f64_place, f64_places};

struct Expected<'a> {
    rest: f64,
    /// Gates at rest.
    gates: &'a [f64],
    /// Current, voltage at the beginning, voltage after 1, 5, 10 ms.
    voltages: [(f64, f64, [f64; 3]); 2],
    /// Current, the two spikes within 30 ms from rest.
    spikes: (f64, [f64; 2]),
    /// Current, Hz.
    rates: &'a [(f64, f64)],
    /// Largest and smallest voltage at that current between 50 and 100 ms.
    range: (f64, f64),
}

fn check<K: CellKind>(expected: &Expected) {
    for (name, place) in f64_places() {
        let config = population::<K>(&[0.0]);
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let state = cells.initial_state(1).unwrap();
        let values: Vec<f64> = state
            .tensors()
            .iter()
            .map(|x| host(x.clone()).unwrap()[0])
            .collect();
        assert!((values[0] - expected.rest).abs() < 1e-9, "{values:?}");
        assert_eq!(values.len() - 1, expected.gates.len());
        for (found, gate) in values[1..].iter().zip(expected.gates) {
            assert!((found - gate).abs() < 1e-11, "{name}: {found} {gate}");
        }

        let mut config = population::<K>(&expected.voltages.map(|(current, ..)| current));
        config
            .initial
            .set("v", expected.voltages.map(|(_, v, _)| v).to_vec())
            .unwrap();
        let cells = config.init(Arc::new(Rk4), &place).unwrap();
        let (_, v) = trace(&cells, &NoInput, 0.005, 2000).unwrap();
        for (cell, (_, _, expected)) in expected.voltages.iter().enumerate() {
            for (step, expected) in [200, 1000, 2000].into_iter().zip(expected) {
                let found = v[step][cell];
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }

    // Steps so short that the straight line over one of them hits the crossing to 10⁻⁴ ms.
    let first = population::<K>(&[expected.spikes.0]);
    let cells = fire(&first, Rk4, &f64_place(), 0.00625, 30.0);
    assert_eq!(cells[0].times.len(), 2);
    for (found, expected) in cells[0].times.iter().zip(expected.spikes.1) {
        assert!((found - expected).abs() < 1e-4, "{found}, not {expected}");
    }

    let currents: Vec<f64> = expected.rates.iter().map(|(current, _)| *current).collect();
    let cells = fire::<K>(&population(&currents), Rk4, &f64_place(), 0.025, 200.0);
    for ((current, rate), cell) in expected.rates.iter().zip(&cells) {
        let found = cell.rate_hz(200.0);
        let off = (found - rate).abs();
        assert!(off <= 5e-4 * rate, "{current}: {found}, not {rate}");
    }

    let cells = population::<K>(&[expected.spikes.0]).init(Arc::new(Rk4), &f64_place());
    let (_, v) = trace(&cells.unwrap(), &NoInput, 0.025, 4000).unwrap();
    let late = || v[2000..].iter().map(|v| v[0]);
    let (peak, trough) = (
        late().fold(f64::NEG_INFINITY, f64::max),
        late().fold(f64::INFINITY, f64::min),
    );
    // The peak, 0.1 ms wide, falls between samples.
    assert!((-0.4..1e-4).contains(&(peak - expected.range.0)), "{peak}");
    assert!((trough - expected.range.1).abs() < 1e-3, "{trough}");
}

#[test]
fn wang_buzsaki() {
    check::<WangBuzsaki>(&Expected {
        rest: -64.0175649096368,
        gates: &[0.7807915510016441, 0.08907801030858753],
        voltages: [
            (1.0, -65.0, [-63.964542672, -60.293412255, -55.005405397]),
            (2.0, -65.0, [-62.993664701, -54.627838189, -64.410489407]),
        ],
        spikes: (1.0, [11.74454, 28.495285]),
        rates: &[
            (0.1, 0.0),
            (0.5, 32.21715),
            (1.0, 59.70149),
            (2.0, 101.78572),
            (5.0, 189.62542),
            (10.0, 284.93826),
        ],
        range: (26.772612718624817, -66.68923766759926),
    });
}

#[test]
fn traub_miles() {
    check::<TraubMiles>(&Expected {
        rest: -66.59109339660779,
        gates: &[
            0.01604278224199061,
            0.9954960694229347,
            0.040275123984612256,
        ],
        voltages: [
            (2.0, -67.0, [-65.040366786, 10.863443089, -80.421956355]),
            (5.0, -67.0, [-62.085113304, -85.891749911, -57.184228173]),
        ],
        spikes: (2.0, [4.514787, 19.627402]),
        rates: &[
            (0.5, 27.53989),
            (1.0, 42.62972),
            (2.0, 66.16928),
            (5.0, 121.93604),
            (10.0, 193.86614),
            (20.0, 295.94037),
        ],
        range: (46.09059937142537, -96.8867698390327),
    });
}
