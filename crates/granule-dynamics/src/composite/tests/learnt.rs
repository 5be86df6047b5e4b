//! Where the configuration has what was learnt.

use super::*;
use crate::composite::{Learnt, LearntValue};
use crate::{DynamicsError, Values};

/// A level of each kind of cell, with numbers for `{…}`.
const LEVELS: &str = r#"
dt = 0.025
observe = ["squid.v", "own.v", "cable.v", "traced.v", "lif.v"]
[[level]]
name = "squid"
[level.unit]
kind = "hodgkin-huxley"
trainable = ["g_na", "v", "current"]
current = {current}
initial = { v = {v} }
parameters = { g_na = {g_na} }
[[level]]
name = "own"
[level.unit]
kind = "conductance"
cells = 2
trainable = ["g_na", "e_l", "capacitance", "alpha_n_midpoint", "v", "current"]
current = {current}
initial = { v = {v} }
leak = { conductance = 0.3, reversal = {e_l} }
capacitance = {capacitance}
[[level.unit.channel]]
library = "hodgkin-huxley/na"
conductance = [{g_na}, 90.0]
[[level.unit.channel]]
name = "k"
conductance = 36.0
reversal = -77.0
[[level.unit.channel.gate]]
name = "n"
power = 4
alpha = { kind = "linear", rate = 0.1, midpoint = {midpoint}, slope = 10.0 }
beta = { kind = "falling-exponential", rate = 0.125, midpoint = -65.0, slope = 80.0 }
[[level]]
name = "cable"
[level.unit]
kind = "cable"
trainable = ["g_na", "e_l", "g_l", "capacitance", "axial_resistivity", "v", "current"]
current = {current}
initial = { v = {v} }
axial_resistivity = {resistivity}
capacitance = {capacitance}
leak = { conductance = {leak}, reversal = {e_l} }
[[level.unit.channel]]
library = "hodgkin-huxley/na"
conductance = 100.0
[[level.unit.section]]
name = "soma"
length = 20.0
diameter = 20.0
{compartments}
parameters = { g_na = {g_na}, g_l = {leak} }
[[level.unit.section]]
name = "dendrite"
parent = "soma"
length = 100.0
diameter = 2.0
{compartments}
parameters = { g_na = 0.0, g_l = {leak} }
[[level.unit.section]]
name = "axon"
parent = "soma"
length = 100.0
diameter = 1.0
{compartments}
parameters = { g_na = 200.0, g_l = {leak} }
[[level]]
name = "traced"
[level.unit]
kind = "cable"
trainable = ["g_l"]
leak = { conductance = {leak}, reversal = -65.0 }
[[level]]
name = "lif"
[level.unit]
kind = "lif"
cells = 2
trainable = ["time_constant", "v"]
initial = { v = [{v}, -60.0] }
parameters = { time_constant = {leak} }
"#;

/// In the order of their names in the text.
const NAMES: [&str; 8] = [
    "current",
    "v",
    "g_na",
    "e_l",
    "capacitance",
    "midpoint",
    "resistivity",
    "leak",
];
const BEFORE: [f64; 8] = [5.0, -66.0, 100.0, -54.0, 1.0, -55.0, 150.0, 0.3];
const AFTER: [f64; 8] = [6.0, -66.37, 143.0, -57.0, 1.2, -54.0, 120.0, 0.4];

fn config(numbers: [f64; 8], compartments: &str) -> MultiGranularityConfig {
    let text = LEVELS.replace("{compartments}", compartments);
    let text = NAMES.iter().zip(numbers).fold(text, |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), &format!("{value:?}"))
    });
    toml::from_str(&text).unwrap()
}

/// What was learnt where training has made one model of another.
fn learnt(compartments: &str) -> Result<Learnt, DynamicsError> {
    let place = f64_place();
    let (before, after) = (config(BEFORE, compartments), config(AFTER, compartments));
    let model = before.init(&place)?;
    after.init(&place)?.learnt(&before, &model)
}

/// Writes a value at a path whose lists are there.
fn write(table: &mut toml::Value, path: &str, value: toml::Value) {
    let (parents, key) = path.rsplit_once('.').unwrap();
    let parent = parents
        .split('.')
        .fold(table, |table, name| match name.parse::<usize>() {
            Ok(index) => &mut table[index],
            Err(_) => table.get_mut(name).unwrap_or_else(|| panic!("{path}")),
        });
    let old = parent.as_table_mut().unwrap().insert(key.to_owned(), value);
    assert!(old.is_some(), "{path} was not in the configuration");
}

#[test]
fn what_every_kind_of_cell_has_learnt_has_its_setting() {
    let found = learnt("compartments = 1").unwrap();
    assert_eq!(found.without_setting, Vec::<String>::new());
    let paths: Vec<&str> = found.settings.iter().map(|one| one.path.as_str()).collect();
    for path in [
        "level.0.unit.initial.v",
        "level.0.unit.parameters.g_na",
        "level.1.unit.channel.0.conductance",
        "level.1.unit.channel.1.gate.0.alpha.midpoint",
        "level.1.unit.leak.reversal",
        "level.2.unit.section.0.parameters.g_na",
        "level.2.unit.section.1.parameters.g_l",
        "level.2.unit.axial_resistivity",
        "level.2.unit.current",
        "level.4.unit.initial.v",
    ] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    // A conductance that a section lacks, and one that did not move, stay as they are written.
    for index in [1, 2] {
        let path = format!("level.2.unit.section.{index}.parameters.g_na");
        assert!(!paths.contains(&path.as_str()), "{paths:?}");
    }
    // Written where they are said to be, they make one configuration of the other.
    let mut table = toml::Value::try_from(config(BEFORE, "compartments = 1")).unwrap();
    for setting in &found.settings {
        let rounded = |value: &f64| (value * 1e6).round() / 1e6;
        let value = match &setting.value {
            LearntValue::Values(Values::One(value)) => rounded(value).into(),
            LearntValue::Values(Values::Each(each)) => {
                each.iter().map(rounded).collect::<Vec<_>>().into()
            }
            LearntValue::Matrix(rows) => panic!("{rows:?}"),
        };
        write(&mut table, &setting.path, value);
    }
    let written: MultiGranularityConfig = table.try_into().unwrap();
    assert_eq!(written, config(AFTER, "compartments = 1"));
}

/// Other lengths of compartments would make another cell than the one that was trained.
#[test]
fn what_divides_a_cable_has_no_setting() {
    let found = learnt("").unwrap();
    let expected = ["capacitance", "axial_resistivity"].map(|name| format!("level.2.unit.{name}"));
    assert_eq!(found.without_setting, expected);
}

#[test]
fn trained_values_are_named_as_cells_declare_them() {
    let config = config(BEFORE, "compartments = 1");
    let model = config.init(&f64_autodiff()).unwrap();
    let all: Vec<String> = model
        .trained()
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    for name in [
        "level.squid.unit.parameters.g_na",
        "level.squid.unit.current",
        "level.squid.unit.initial.v",
        "level.own.unit.g_na",
        "level.cable.unit.axial_resistivity",
        "level.lif.unit.initial.v",
    ] {
        assert!(all.iter().any(|own| own == name), "{name}: {all:?}");
    }
}
