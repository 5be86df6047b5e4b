//! Cells from TOML, run whole: cables, traced cells, and channels of one's own.

use granule_dynamics::model::Model;

use super::from_toml as run;
use crate::ExperimentConfig;
use crate::testing::{assert_close, f64_place};

/// A soma with two dendrites at its end, one of which branches, and an axon at its beginning, with channels that differ.
const CELL: &str = include_str!("../../../granule-dynamics/src/unit/cable/tests/cell.toml");

#[test]
fn a_resistivity_of_one_section_is_that_of_the_general_form() {
    // The same number by both ways: through one value, and through one for each section.
    let one = CELL.replace(", axial_resistivity = 200.0", "");
    let each = CELL.replace(
        "axial_resistivity = 200.0",
        "axial_resistivity = 120.00000000001",
    );
    let text = |cell: &str| {
        let cell = cell.replace("[[", "[[unit.");
        format!("duration = 5.0\ndt = 0.025\n[unit]\nmodel = \"cable\"\n{cell}")
    };
    let (one, each) = (run(&text(&one)), run(&text(&each)));
    for (a, b) in one.traces[0].values.iter().zip(&each.traces[0].values) {
        assert_close(*a, *b, 1e-8);
    }
    let top = one.traces[0]
        .values
        .iter()
        .copied()
        .fold(f64::MIN, f64::max);
    assert!(top > 0.0, "{top}");
}

#[test]
fn cells_of_one_form_are_alone() {
    let text = |cells: usize, current: &str| {
        let cell = CELL
            .replace("[[", "[[unit.")
            .replace("current = 0.3", current);
        format!("duration = 5.0\ndt = 0.025\n[unit]\nmodel = \"cable\"\ncells = {cells}\n{cell}")
    };
    let two = run(&text(2, "current = [0.0, 0.3]"));
    let trace = &two.traces[0];
    assert_eq!((trace.width, trace.labels[5].as_str()), (10, "1: soma"));
    for (index, current) in ["current = 0.0", "current = 0.3"].into_iter().enumerate() {
        let one = run(&text(1, current));
        for column in 0..5 {
            let own = one.traces[0].column(column);
            for (a, b) in own.zip(trace.column(5 * index + column)) {
                assert_close(a, b, 1e-12);
            }
        }
    }
    // A list of currents for one cell makes as many, as with other cells.
    let swept = run(&text(1, "current = [0.0, 0.3]"));
    assert_eq!(swept.traces[0].values, trace.values);
}

#[test]
fn a_cable_takes_no_solver_and_no_tolerance() {
    for more in ["solver = \"rk4\"", "solver = \"tsit5\"\nrtol = 1e-6"] {
        let text = format!("duration = 1.0\n{more}\n[unit]\nmodel = \"cable\"\n");
        let config: ExperimentConfig = toml::from_str(&text).unwrap();
        let error = config.init(&f64_place()).err().unwrap().to_string();
        let reason = "none: cable has a method of its own, unit.scheme = backward-euler";
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_speed_is_between_sites_that_spike_by_themselves() {
    let outcome = run(r#"
duration = 8.0
dt = 0.025
[unit]
kind = "cable"
current = 0.3
axial_resistivity = 100.0
leak = { conductance = 0.3, reversal = -54.4 }
stimulus_sites = "axon(0)"
record_sites = ["axon(0)", "axon(0.3)", "axon(0.9)", "twig(0.1)"]
[[unit.channel]]
library = "hodgkin-huxley/na"
[[unit.channel]]
library = "hodgkin-huxley/k"
[[unit.section]]
name = "axon"
length = 600.0
diameter = 1.0
[[unit.section]]
name = "twig"
parent = "axon"
length = 5.0
diameter = 0.5
parameters = { g_na = 0.0, g_k = 0.0 }
"#);
    let first = |site: usize| outcome.spikes[site].times[0];
    // All of them cross the threshold: the twig what the axon does, and what is under the electrode of the current.
    let (velocity, ends) = outcome.conduction_velocity().unwrap();
    assert_eq!(ends, [1, 2]);
    assert_close(velocity, 0.6 * 0.6 / (first(2) - first(1)), 1e-12);
    assert!(first(0) < first(1) && first(2) < first(3));
}

#[test]
fn a_speed_is_along_one_way_from_where_the_current_enters() {
    let cell = |stimulus: &str, recorded: &str| {
        format!(
            r#"
duration = 8.0
dt = 0.025
[unit]
kind = "cable"
current = 0.4
axial_resistivity = 100.0
leak = {{ conductance = 0.3, reversal = -54.4 }}
stimulus_sites = "{stimulus}"
record_sites = [{recorded}]
[[unit.channel]]
library = "hodgkin-huxley/na"
[[unit.channel]]
library = "hodgkin-huxley/k"
[[unit.section]]
name = "trunk"
length = 400.0
diameter = 1.0
[[unit.section]]
name = "left"
parent = "trunk"
length = 300.0
diameter = 0.7
[[unit.section]]
name = "right"
parent = "trunk"
length = 400.0
diameter = 0.5
"#
        )
    };
    let ends = |stimulus: &str, recorded: &str| {
        let found = run(&cell(stimulus, recorded)).conduction_velocity();
        found.map(|(velocity, ends)| {
            assert!((0.01..10.0).contains(&velocity), "{velocity} m/s");
            ends
        })
    };
    // A spike that runs into both branches of a fork has no speed from the one to the other.
    assert_eq!(ends("trunk(0)", r#""left(0.5)", "right(0.5)""#), None);
    let all = r#""left(0.5)", "right(0.5)", "trunk(0.5)""#;
    assert_eq!(ends("trunk(0)", all), Some([2, 1]));
    // From the tip of a branch it comes back to the trunk, and into the other branch: not towards the root.
    assert_eq!(
        ends("left(1)", r#""trunk(0.1)", "left(0.5)""#),
        Some([1, 0])
    );
    assert_eq!(ends("left(1)", r#""trunk(0.1)", "right(0.9)""#), None);
    // From the middle it runs both ways.
    assert_eq!(ends("trunk(0.5)", r#""trunk(0.1)", "trunk(0.95)""#), None);
}

#[test]
fn so_many_compartments_that_a_step_takes_long_are_warned_of() {
    let warnings = |diameter: f64| {
        let text = format!(
            "duration = 1.0\ndt = 0.025\n[unit]\nmodel = \"cable\"\naxial_resistivity = 1e4\n[[unit.section]]\n\
             name = \"thread\"\nlength = 1e4\ndiameter = {diameter}\n"
        );
        let config: ExperimentConfig = toml::from_str(&text).unwrap();
        config.init(&f64_place()).unwrap().warnings().to_vec()
    };
    let thin = warnings(0.01);
    let said = "`unit` has 35,449 compartments, and every step goes through all of them";
    assert!(thin.iter().any(|text| text.contains(said)), "{thin:?}");
    assert!(
        thin.iter()
            .any(|text| text.contains("a larger d_lambda (here 0.1)")),
        "{thin:?}"
    );
    assert!(
        !warnings(1.0)
            .iter()
            .any(|text| text.contains("compartments"))
    );
}

#[test]
fn the_traced_example_fires_from_its_axon() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/");
    let text = include_str!("../../../../examples/swc_cell.toml");
    let text = text.replace("swc_cell.swc", &format!("{folder}swc_cell.swc"));
    let config: ExperimentConfig = toml::from_str(&text).unwrap();
    let outcome = run(&text);
    let first = |site: usize| outcome.spikes[site].times[0];
    assert_eq!(outcome.traces[0].labels[1], "axon(0.95)");
    assert!(outcome.spikes[0].times.len() > 1);
    assert!(first(0) < first(2), "from the soma into the dendrite");
    // The axon and the apical dendrite grow apart from the soma.
    assert_eq!(outcome.conduction_velocity(), None);
    let place = f64_place();
    let granule_dynamics::unit::UnitConfig::Cable(cable) = config.unit.unwrap() else {
        panic!("another model");
    };
    let cell = cable.init(&place).unwrap();
    assert_eq!(cell.initial_state(1).unwrap()[0].dims(), [1, 4]);
}

/// The example's slow channel makes the intervals grow, and its spikes are where they are in steps that follow the error
/// (`tsit5`, rtol 1e-9) or of 2.5 µs (`rk4`).
#[test]
fn the_example_adapts() {
    let text = include_str!("../../../../examples/own_channel.toml");
    let config: ExperimentConfig = toml::from_str(text).unwrap();
    config.validate().unwrap();
    let outcome = run(text);
    let spikes = &outcome.spikes[0].times;
    let (first, last) = (spikes[0], spikes[spikes.len() - 1]);
    assert_eq!(spikes.len(), 18);
    assert!((first - 5.0471).abs() < 0.1 && (last - 392.9555).abs() < 0.1);
    let intervals: Vec<f64> = spikes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (first, last) = (intervals[0], intervals[intervals.len() - 1]);
    assert!(last > 1.5 * first, "{intervals:?}");
}
