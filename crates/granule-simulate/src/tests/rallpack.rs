//! The Rallpacks of Bhalla, Bilitch and Bower (Trends Neurosci. 15, 1992), as their specification has them, from TOML: d 1 µm,
//! L 1 mm, R_m 4 Ωm², R_i 1 Ωm, C_m 0.01 F/m², E_m −65 mV, 0.1 nA into one end for 250 ms. The passive ones are compared with
//! the cable equation's own solution, which a simulator is to meet to 1 % of its range (in the mean square).

use std::f64::consts::{FRAC_PI_4, PI};

use super::from_toml as run;
use crate::Outcome;

const PASSIVE: &str = "axial_resistivity = 100.0\nleak = { conductance = 0.025, reversal = -65.0 }\n\
                       current = 0.1\ninitial = { v = -65.0 }\n";

/// The rise at `x` of a cable of length constant λ in cm, whose end at 0 takes `current` in nA from 0 ms on, in mV: the steady
/// profile, and what is missing from it by its modes.
fn rise(x: f64, time: f64, (length, diameter, lambda): (f64, f64, f64), current: f64) -> f64 {
    let (tau, resistivity) = (40.0, 100.0);
    // MΩ
    let infinite = resistivity * lambda / (FRAC_PI_4 * diameter * diameter) * 1e-6;
    let (x, l, t) = (x / lambda, length / lambda, time / tau);
    let steady = (l - x).cosh() / l.sinh();
    let modes = (1..4000).map(|n| {
        let k = f64::from(n) * PI / l;
        2.0 * (k * x).cos() * (-(1.0 + k * k) * t).exp() / (1.0 + k * k)
    });
    let missing = ((-t).exp() + modes.sum::<f64>()) / l;
    infinite * current * (steady - missing)
}

/// The mean square and the largest difference of a column from the solution at `x`, of the solution's range.
fn errors(outcome: &Outcome, column: usize, solution: impl Fn(f64) -> f64) -> (f64, f64) {
    let trace = &outcome.traces[0];
    let exact: Vec<f64> = outcome.times.iter().map(|time| solution(*time)).collect();
    let range = exact.iter().copied().fold(0.0, f64::max);
    let differences: Vec<f64> = trace
        .column(column)
        .zip(&exact)
        .map(|(v, exact)| ((v + 65.0 - exact) / range).abs())
        .collect();
    let squares = differences.iter().map(|d| d * d).sum::<f64>();
    let most = differences.iter().copied().fold(0.0, f64::max);
    ((squares / differences.len() as f64).sqrt(), most)
}

#[test]
fn rallpack_1_a_uniform_cable() {
    for (scheme, tolerance) in [("backward-euler", 1e-3), ("crank-nicolson", 2e-4)] {
        let outcome = run(&format!(
            "duration = 250.0\ndt = 0.05\nrecord = {{ every = 10, variables = [\"v\"] }}\n\
             [unit]\nmodel = \"cable\"\nscheme = \"{scheme}\"\nstimulus_sites = \"cable(0)\"\n\
             record_sites = [\"cable(0)\", \"cable(1)\"]\n{PASSIVE}\
             [[unit.section]]\nname = \"cable\"\nlength = 1000.0\ndiameter = 1.0\ncompartments = 1000\n"
        ));
        let cable = (0.1, 1e-4, 0.1);
        // The middles of the first and of the last compartment.
        for (column, x) in [(0, 0.5e-4), (1, 0.1 - 0.5e-4)] {
            let (mean, most) = errors(&outcome, column, |time| rise(x, time, cable, 0.1));
            assert!(mean < tolerance, "{scheme} {column}: {mean:e}, {most:e}");
        }
    }
}

/// Ten generations of branches, each 0.008 length constants long, which by Rall's 3/2 law are one cylinder.
fn tree() -> String {
    let mut text = String::new();
    for depth in 0..10_u32 {
        let thinner = 2.0_f64.powf(-f64::from(depth) / 3.0);
        let (length, diameter) = (32.0 * thinner, 16.0 * thinner * thinner);
        for index in 0..2_u32.pow(depth) {
            text += &format!(
                "[[unit.section]]\nname = \"b{depth}-{index}\"\nlength = {length}\ndiameter = {diameter}\ncompartments = 1\n"
            );
            if depth > 0 {
                text += &format!("parent = \"b{}-{}\"\n", depth - 1, index / 2);
            }
        }
    }
    text
}

#[test]
fn rallpack_2_a_branching_cable() {
    let outcome = run(&format!(
        "duration = 250.0\ndt = 0.05\nrecord = {{ every = 10, variables = [\"v\"] }}\n\
         [unit]\nmodel = \"cable\"\nscheme = \"crank-nicolson\"\nstimulus_sites = \"b0-0\"\n\
         record_sites = [\"b0-0\", \"b9-0\", \"b9-511\"]\n{PASSIVE}{}",
        tree()
    ));
    // λ = 4 mm, and ten times 0.008 λ.
    let cylinder = (0.032, 16e-4, 0.4);
    for (column, x) in [(0, 0.0016), (1, 0.032 - 0.0016), (2, 0.032 - 0.0016)] {
        let (mean, most) = errors(&outcome, column, |time| rise(x, time, cylinder, 0.1));
        assert!(mean < 1e-4, "{column}: {mean:e}, {most:e}");
    }
}

/// The axon of Rallpack 3 for 62 ms.
pub(super) fn axon(scheme: &str, dt: f64, compartments: usize) -> String {
    format!(
        "duration = 62.0\ndt = {dt}\nrecord = {{ variables = [\"v\"] }}\n\
         [unit]\nmodel = \"cable\"\nscheme = \"{scheme}\"\nstimulus_sites = \"axon(0)\"\n\
         record_sites = [\"axon(0)\", \"axon(1)\"]\n{PASSIVE}\
         [[unit.channel]]\nlibrary = \"hodgkin-huxley/na\"\n[[unit.channel]]\nlibrary = \"hodgkin-huxley/k\"\n\
         [[unit.section]]\nname = \"axon\"\nlength = 1000.0\ndiameter = 1.0\ncompartments = {compartments}\n"
    )
}

#[test]
fn rallpack_3_an_axon_of_squid_channels() {
    // SciPy 1.x's LSODA with banded Jacobian at rtol = atol = 1e-8 on the same 1000 compartments, everything else written
    // out anew; with 2000 compartments the times differ by 3e-4 ms. When the ends cross 0 mV, and their first peaks.
    let near = [1.30627, 16.00411, 30.54546, 45.07782, 59.60940];
    let far = [4.07081, 18.68694, 33.23523, 47.76771];
    let (first_peak, far_peaks) = (41.436, [44.568, 46.253, 46.175]);
    let outcome = run(&axon("crank-nicolson", 0.02, 1000));
    for (spikes, expected) in outcome.spikes.iter().zip([&near[..], &far[..]]) {
        assert_eq!(spikes.times.len(), expected.len());
        for (found, expected) in spikes.times.iter().zip(expected) {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
    }
    let trace = &outcome.traces[0];
    let peak = |column: usize, from: f64, to: f64| {
        let rows = outcome.times.iter().zip(trace.column(column));
        let within = rows.filter(|(time, _)| (from..to).contains(*time));
        within.map(|(_, v)| v).fold(f64::MIN, f64::max)
    };
    let peaks = [4.0, 18.5, 33.0].map(|from| peak(1, from, from + 2.0));
    assert!((peak(0, 0.0, 3.0) - first_peak).abs() < 0.5);
    for (found, expected) in peaks.into_iter().zip(far_peaks) {
        assert!((found - expected).abs() < 0.5, "{found} {expected}");
    }
}
