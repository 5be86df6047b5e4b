//! What published cells are known for, with times of spikes and potentials at rest found by an independent solver (Dormand and
//! Prince's eighth order, relative and absolute tolerance 1e-11) for the equations as the cells' documentation has them.

use super::*;
use crate::solver::Rk4;
use crate::testing::f64_place;

const DT: f64 = 0.02;

/// For the fast spikes of a sodium channel that opens at once.
const FINE: f64 = 0.005;

fn at_rest<K: CellKind>(expected: f64) {
    let cells = population::<K>(&[0.0]).init(Arc::new(Rk4), &f64_place());
    let found = host(cells.unwrap().resting_voltage().unwrap()).unwrap()[0];
    assert!((found - expected).abs() < 1e-6, "{}: {found}", K::NAME);
}

#[track_caller]
fn assert_spikes(found: &[f64], expected: &[f64]) {
    let near = |(found, expected): (&f64, &f64)| (found - expected).abs() < 1e-3;
    let all = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(all, "{found:?} {expected:?}");
}

/// The spikes of one cell under a current, in steps of `DT`, with some parameters set.
fn spikes<K: CellKind>(current: f64, duration: f64, set: &[(&str, f64)]) -> Vec<f64> {
    spikes_at::<K>(DT, current, duration, set)
}

fn spikes_at<K: CellKind>(dt: f64, current: f64, duration: f64, set: &[(&str, f64)]) -> Vec<f64> {
    let mut config = population::<K>(&[current]);
    for (name, value) in set {
        config.parameters.set(name, *value).unwrap();
    }
    let mut cells = fire(&config, Rk4, &f64_place(), dt, duration);
    cells.remove(0).times
}

/// The rate of a regular-spiking cell falls while the slow potassium channel opens; without it, it does not.
#[test]
fn regular_spiking_adapts() {
    at_rest::<RegularSpiking>(-70.571_233_2);
    let found = spikes::<RegularSpiking>(3.0, 130.0, &[]);
    assert_spikes(&found, &[15.44755, 34.89368, 57.91522, 85.70118, 119.92702]);
    let found = spikes::<RegularSpiking>(3.0, 80.0, &[("g_m", 0.0)]);
    let intervals: Vec<f64> = found.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((intervals[2] - intervals[1]).abs() < 0.05, "{intervals:?}");
}

#[test]
fn fast_spiking_does_not_adapt() {
    at_rest::<FastSpiking>(-69.999_994_1);
    let found = spikes::<FastSpiking>(5.0, 60.0, &[]);
    assert_spikes(&found, &[8.83693, 20.33448, 31.82528, 43.31603, 54.80677]);
}

/// A burst of ten spikes, and silence after it.
#[test]
fn intrinsically_bursting_bursts() {
    at_rest::<IntrinsicallyBursting>(-85.287_107_05);
    let expected = [
        92.48841, 98.93623, 104.94338, 111.08749, 117.52248, 124.34447, 131.67114, 139.69494,
        148.80407, 160.13864,
    ];
    let found = spikes::<IntrinsicallyBursting>(0.6, 260.0, &[]);
    assert_spikes(&found, &expected);
}

/// A current that is too small for sodium spikes alone gets a burst from the T-type channel.
#[test]
fn low_threshold_spikes_come_from_calcium() {
    at_rest::<LowThreshold>(-83.950_804_43);
    let found = spikes::<LowThreshold>(0.3, 120.0, &[]);
    assert_spikes(&found, &[50.48554, 79.23881]);
    assert_spikes(&spikes::<LowThreshold>(0.3, 120.0, &[("g_cat", 0.0)]), &[]);
}

/// With the A-current the first spike comes late; without it at once.
#[test]
fn the_a_current_delays() {
    assert_spikes(
        &spikes::<ConnorStevens>(10.0, 80.0, &[]),
        &[38.11675, 67.48901],
    );
    assert_spikes(&spikes::<ConnorStevens>(8.0, 80.0, &[]), &[]);
    let without = spikes::<ConnorStevens>(10.0, 80.0, &[("g_a", 0.0), ("e_l", -65.0)]);
    assert!(
        without.first().is_some_and(|first| *first < 10.0),
        "{without:?}"
    );
}

/// Type I: the rate begins at 0 and grows without a jump.
#[test]
fn connor_stevens_fires_slowly_near_its_threshold() {
    let found = spikes::<ConnorStevens>(8.5, 120.0, &[]);
    assert_spikes(&found, &[118.47885]);
    let found = spikes::<ConnorStevens>(20.0, 20.0, &[]);
    assert_spikes(&found, &[8.43574, 16.06667]);
}

/// Hyperpolarised, the h-current pulls the cell back; released, calcium spikes carry a burst.
#[test]
fn a_relay_cell_sags_and_rebounds() {
    at_rest::<ThalamicRelay>(-65.437_056_217);
    let place = f64_place();
    let cells = population::<ThalamicRelay>(&[0.0]).init(Arc::new(Rk4), &place);
    let current = |at: crate::Clock| {
        let released = at.step >= (300.0 / DT).round() as usize;
        Some(place.full(if released { 0.0 } else { -1.0 }, [1, 1]))
    };
    let (times, v) = trace(&cells.unwrap(), &current, DT, 17_000).unwrap();
    let at = |time: f64| v[(time / DT).round() as usize][0];
    assert!((at(60.0) - -94.322_329_56).abs() < 1e-3, "{}", at(60.0));
    assert!((at(300.0) - -88.686_276_88).abs() < 1e-3, "{}", at(300.0));
    let crossings = v
        .windows(2)
        .zip(&times)
        .filter(|(v, _)| v[0][0] <= 0.0 && v[1][0] > 0.0);
    let found: Vec<f64> = crossings
        .map(|(v, time)| time + DT * v[0][0] / (v[0][0] - v[1][0]))
        .collect();
    assert_spikes(&found, &[318.94698, 322.74481, 334.22419]);
}

/// Calcium that comes in with the spikes opens a potassium current; without that the rate stays.
#[test]
fn calcium_slows_a_pyramidal_cell() {
    at_rest::<WangPyramidal>(-64.553_853_557);
    let found = spikes_at::<WangPyramidal>(FINE, 2.0, 65.0, &[]);
    assert_spikes(&found, &[5.76918, 17.27056, 30.21762, 44.7353, 60.83865]);
    let found = spikes_at::<WangPyramidal>(FINE, 2.0, 50.0, &[("g_ahp", 0.0)]);
    assert_spikes(&found, &[5.73264, 15.93894, 26.1453, 36.35166, 46.55802]);
}
