//! Channels of one's own: files, faults and gradients.

use super::*;
use crate::Values;
use crate::solver::{ExponentialEuler, Rk4};
use crate::testing::f64_place;
use crate::unit::channel::{ConductanceConfig, library};

fn unit(text: &str) -> Result<UnitConfig, String> {
    let text = format!("kind = \"conductance\"\n{text}");
    let unit: UnitConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
    unit.validate().map_err(|error| error.to_string())?;
    Ok(unit)
}

fn cells(unit: &UnitConfig, solver: impl Solver + 'static, place: &Place) -> Cells {
    match unit.init(Arc::new(solver), place).unwrap() {
        UnitModel::Conductance(cells) => cells,
        other => panic!("{other:?}"),
    }
}

/// The squid's axon from the library and as it is published, with two spellings of m.
#[test]
fn the_library_and_a_file_are_the_published_cell() {
    let by_name = r#"
        current = 10.0
        leak = { conductance = 0.3, reversal = -54.387 }
        channel = [{ library = "hodgkin-huxley/na" }, { library = "hodgkin-huxley/k" }]
    "#;
    let written = r#"
        current = 10.0
        leak = { conductance = 0.3, reversal = -54.387 }
        [[channel]]
        name = "na"
        conductance = 120.0
        reversal = 50.0
        [[channel.gate]]
        name = "m"
        power = 3
        alpha = { kind = "linear", rate = 1.0, midpoint = -40.0, slope = 10.0 }
        beta = { kind = "falling-exponential", rate = 4.0, midpoint = -65.0, slope = 18.0 }
        [[channel.gate]]
        name = "h"
        alpha = { kind = "falling-exponential", rate = 0.07, midpoint = -65.0, slope = 20.0 }
        beta = { kind = "sigmoid", midpoint = -35.0, slope = 10.0 }
        [[channel]]
        library = "hodgkin-huxley/k"
    "#;
    let place = f64_place();
    let published = population::<HodgkinHuxley>(&[10.0]);
    let published = published.init(Arc::new(ExponentialEuler), &place).unwrap();
    let (_, expected) = trace(&published, &NoInput, 0.025, 400).unwrap();
    for text in [by_name, written] {
        let unit = unit(text).unwrap();
        let (_, found) = trace(
            &cells(&unit, ExponentialEuler, &place),
            &NoInput,
            0.025,
            400,
        )
        .unwrap();
        assert_eq!(found, expected);
        let again = serde_json::to_string(&unit).unwrap();
        assert_eq!(serde_json::from_str::<UnitConfig>(&again).unwrap(), unit);
    }
    assert!(library::names().contains(&"traub-miles/na".to_owned()));
}

/// Every channel of the library stands in a table of one's own, as fast as in the cell that it is from.
#[test]
fn the_library_can_be_used() {
    let place = f64_place();
    let channels = library::names();
    let cells_of: std::collections::BTreeSet<&str> = channels
        .iter()
        .filter_map(|name| Some(name.split_once('/')?.0))
        .collect();
    assert!(cells_of.len() >= 10, "{cells_of:?}");
    for cell in cells_of {
        let own = channels
            .iter()
            .filter(|name| name.starts_with(&format!("{cell}/")));
        let own: String = own
            .map(|name| format!("[[channel]]\nlibrary = {name:?}\n"))
            .collect();
        let pool =
            "[[concentration]]\nname = \"ca\"\nrest = 0.0\ntime_constant = 80.0\ninflux = 0.002\n";
        let with_pool = if cell == "wang-pyramidal" { pool } else { "" };
        let published = UnitConfig::from_name(cell).unwrap();
        let get = |name: &str| {
            let found = published
                .parameters()
                .into_iter()
                .find(|(info, _)| info.name == name);
            found.unwrap().1.as_slice()[0]
        };
        let membrane = format!(
            "current = 2.0\nv_shift = {:?}\nleak = {{ conductance = {:?}, reversal = {:?} }}\n",
            get("v_shift"),
            get("g_l"),
            get("e_l")
        );
        let unit = unit(&format!("{membrane}{own}{with_pool}")).unwrap();
        let mut published = serde_json::to_value(&published).unwrap();
        published["current"] = 2.0.into();
        let published: UnitConfig = serde_json::from_value(published).unwrap();
        let run = |unit: &UnitConfig| {
            trace(&cells(unit, ExponentialEuler, &place), &NoInput, 0.025, 400)
                .unwrap()
                .1
        };
        for (found, expected) in run(&unit).into_iter().zip(run(&published)) {
            assert!(
                (found[0] - expected[0]).abs() < 1e-6,
                "{cell}: {found:?} {expected:?}"
            );
        }
    }
}

const SLOW: &str = r#"
    [[channel]]
    name = "slow"
    conductance = 1.0
    reversal = -90.0
    [[channel.gate]]
    name = "p"
"#;

#[test]
fn faults_are_named_by_their_place() {
    let gate = |curves: &str| format!("{SLOW}{curves}");
    let sigmoid = r#"steady_state = { kind = "sigmoid", midpoint = -35.0, slope = 10.0 }"#;
    let with = |time: &str| gate(&format!("{sigmoid}\ntime_constant = {time}"));
    let cases = [
        (
            "[[channel]]\nname = \"x\"\nconductance = 1.0\nreversal = 0.0\n".to_owned(),
            "unit.channel[0].gate = [] is not allowed: one gate or more",
        ),
        (
            "[[channel]]\nname = \"x\"\nreversal = 0.0\n".to_owned(),
            "unit.channel[0].conductance = missing",
        ),
        (
            "[[channel]]\nlibrary = \"squid/na\"\n".to_owned(),
            "hodgkin-huxley/na",
        ),
        (
            // The channel's reversal potential and the concentration's level at rest.
            format!(
                "{}\n[[concentration]]\nname = \"e\"\nrest = 0.1\ntime_constant = 10.0\ninflux = 0.0\n",
                with(r#"{ kind = "constant", scale = 5.0 }"#).replace("slow", "rest")
            ),
            "unit.channel = \"e_rest\" is not allowed: other names",
        ),
        (
            gate(""),
            "unit.channel[0].gate[0] = without a curve is not allowed: alpha and beta, or",
        ),
        (
            with(r#"{ kind = "constant", scale = 0.0 }"#),
            "unit.channel[0].gate[0].time_constant = 0 at -120 mV is not allowed: finite and above 0",
        ),
        (
            with(
                r#"{ kind = "sum", of = [{ kind = "constant", scale = -1.0 }, { kind = "sigmoid", scale = 1.5, midpoint = -40.0, slope = 5.0 }] }"#,
            ),
            "unit.channel[0].gate[0].time_constant = -0.99",
        ),
        (
            with(r#"{ kind = "cubic", scale = 1.0 }"#),
            "has no choice \"cubic\"; the choices are constant, linear",
        ),
        (
            gate(&format!("{sigmoid}\ntemperature_factor = 2.0")),
            "unit.channel[0].gate[0].temperature_factor = given is not allowed: unset",
        ),
        (
            gate(&format!("{sigmoid}\npower = 9")),
            "unit.channel[0].gate[0].power = 9 is not allowed: 1 to 8",
        ),
        (
            gate(&format!("{sigmoid}\npower = 0")),
            "unit.channel[0].gate[0].power = 0",
        ),
        (
            with(r#"{ kind = "product", of = [] }"#),
            "unit.channel[0].gate[0].time_constant.of = [] is not allowed: one curve or more",
        ),
        (
            gate(r#"steady_state = { kind = "hill", concentration = "ca", half = 1.0 }"#),
            "unit.channel[0].gate[0].steady_state = \"ca\" is not allowed: a concentration, and there is no",
        ),
        (
            gate(
                r#"steady_state = { kind = "sigmoid", scale = 2.0, midpoint = -35.0, slope = 10.0 }"#,
            ),
            "unit.channel[0].gate[0].steady_state = ",
        ),
        (
            gate(r#"steady_state = { kind = "sigmoid", midpoint = -35.0, slope = -10.0 }"#),
            "unit.channel[0].gate[0].steady_state.slope = -10 is not allowed: a finite number above 0; it is the parameter steady_p_slope",
        ),
        (
            // Below 0 for less than a mV.
            with(
                r#"{ kind = "sum", of = [{ kind = "constant", scale = 5.0 }, { kind = "product", of = [{ kind = "constant", scale = -5.5 }, { kind = "sigmoid", midpoint = -66.8, slope = 0.005 }, { kind = "falling-sigmoid", midpoint = -66.2, slope = 0.005 }] }] }"#,
            ),
            "unit.channel[0].gate[0].time_constant = -0.49",
        ),
        (
            // In one of many cells.
            format!(
                "cells = 100\n{}",
                with(&format!(
                    r#"{{ kind = "sum", of = [{{ kind = "constant", scale = {:?} }}, {{ kind = "product", of = [{{ kind = "constant", scale = -5.5 }}, {{ kind = "sigmoid", midpoint = -66.8, slope = 0.005 }}, {{ kind = "falling-sigmoid", midpoint = -66.2, slope = 0.005 }}] }}] }}"#,
                    (0..100)
                        .map(|cell| 5.0 + f64::from(99 - cell))
                        .collect::<Vec<_>>()
                ))
            ),
            "unit.channel[0].gate[0].time_constant = -0.49",
        ),
        (
            with(&format!(
                r#"{{ kind = "sum", of = [{}] }}"#,
                vec![r#"{ kind = "constant", scale = 1.0 }"#; 32].join(", ")
            )),
            "unit.channel[0].gate[0].time_constant = [33 curves] is not allowed: at most 32 curves",
        ),
        (
            (0..65)
                .map(|i| {
                    format!("[[channel]]\nname = \"c{i}\"\nconductance = 0.0\nreversal = 0.0\n")
                })
                .collect(),
            "unit.channel = [65 channels] is not allowed: at most 64 channels",
        ),
        (
            format!("trainable = [\"g_slow\", \"g_slow\"]\n{SLOW}\n{sigmoid}"),
            "unit.trainable = \"g_slow\" twice is not allowed",
        ),
        (
            format!("bounds = {{ g_slow = {{ between = [3.0, 1.0] }} }}\n{SLOW}\n{sigmoid}"),
            "unit.bounds.g_slow = { between = [3, 1] } is not allowed",
        ),
        (
            format!("initial = {{ v = 1e30 }}\n{SLOW}\n{sigmoid}"),
            "unit.initial.v = 1e30 is not allowed: from -1000 to 1000 mV",
        ),
        (
            format!("{}\n{sigmoid}", SLOW.replace("\"p\"", "\"v\"")),
            "unit.channel[0].gate[0].name = \"v\"",
        ),
        (
            format!("{}\n{sigmoid}", SLOW.replace("-90.0", "\"k\"")),
            "unit.channel[0].reversal = \"k\" is not allowed: a voltage: no channel has one",
        ),
        (
            format!("initial = {{ q = 0.1 }}\n{SLOW}\n{sigmoid}"),
            "unit.initial.q = given is not allowed: v",
        ),
    ];
    for (text, expected) in cases {
        let found = unit(&text).unwrap_err();
        assert!(found.contains(expected), "{found}\n\n{expected}");
    }
}

/// A cell with every kind of gate, curve and reversal.
const ALL: &str = r#"
    current = 3.0
    leak = { conductance = 0.1, reversal = -67.0 }
    v_shift = -67.0
    temperature_factor = 1.2
    spike_threshold = -20.0
    [[concentration]]
    name = "ca"
    rest = 0.05
    time_constant = 30.0
    influx = 0.01
    [[channel]]
    library = "traub-miles/na"
    [[channel]]
    library = "traub-miles/k"
    [[channel]]
    name = "ca"
    conductance = 0.6
    reversal = { inside = "ca", outside = 2000.0 }
    into = "ca"
    shifted = false
    [[channel.gate]]
    name = "s"
    power = 2
    steady_state = { kind = "sigmoid", midpoint = -30.0, slope = 9.0 }
    [[channel.gate]]
    name = "u"
    steady_state = { kind = "falling-sigmoid", midpoint = -60.0, slope = 8.0 }
    temperature_factor = 1.3
    time_constant = { kind = "sum", of = [
        { kind = "constant", scale = 5.0 },
        { kind = "power", exponent = -1.0, of = { kind = "sum", of = [
            { kind = "exponential", scale = 0.1, midpoint = -60.0, slope = 20.0 },
            { kind = "falling-exponential", scale = 0.1, midpoint = -60.0, slope = 20.0 },
        ] } },
    ] }
    [[channel]]
    name = "ahp"
    conductance = 2.0
    reversal = "k"
    [[channel.gate]]
    name = "w"
    steady_state = { kind = "hill", concentration = "ca", half = 1.0, exponent = 1.5 }
"#;

/// By central differences, with the fused step and with the composed one.
#[test]
fn every_parameter_of_a_cell_of_all_kinds_has_its_gradient() {
    let UnitConfig::Conductance(config) = unit(ALL).unwrap() else {
        panic!("a table of channels")
    };
    super::gradients::check_table(&config, ExponentialEuler);
    super::gradients::check_table(&config, Rk4);
}

#[test]
fn values_for_each_cell_are_those_of_cells_by_themselves() {
    let place = f64_place();
    let mut each: ConductanceConfig = match unit(ALL).unwrap() {
        UnitConfig::Conductance(config) => config,
        other => panic!("{other:?}"),
    };
    let set = |config: &mut ConductanceConfig, name: &str, values: Values| {
        *config.parameters.get_mut(name).unwrap() = values;
    };
    let mut alone = each.clone();
    each.cells = 2;
    set(&mut each, "tau_u_2_scale", vec![0.1, 0.2].into());
    set(&mut each, "ca_influx", vec![0.01, 0.03].into());
    set(&mut alone, "tau_u_2_scale", 0.2.into());
    set(&mut alone, "ca_influx", 0.03.into());
    let run = |config: ConductanceConfig| {
        let unit = UnitConfig::Conductance(config);
        trace(
            &cells(&unit, ExponentialEuler, &place),
            &NoInput,
            0.025,
            800,
        )
        .unwrap()
        .1
    };
    let (both, one) = (run(each), run(alone));
    for (both, one) in both.iter().zip(one) {
        assert!((both[1] - one[0]).abs() < 1e-9, "{both:?} {one:?}");
    }
}
