//! Cells of sections from TOML.

use std::sync::Arc;

use crate::differences::{assert_gradient, slopes};
use crate::gradient::{Memory, Run, gradient};
use crate::model::{ConstantInput, Dynamics, Model};
use crate::simulate::{Grid, record};
use crate::solver::Rk4;
use crate::testing::{assert_close, f64_autodiff, f64_place};
use crate::unit::{CableCell, UnitConfig, UnitModel};
use crate::{Place, host};

pub(super) fn unit(text: &str) -> Result<UnitConfig, String> {
    let text = format!("kind = \"cable\"\n{text}");
    let unit: UnitConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
    unit.validate().map_err(|error| error.to_string())?;
    Ok(unit)
}

pub(super) fn cell(text: &str, place: &Place) -> CableCell {
    match unit(text).unwrap().init(Arc::new(Rk4), place).unwrap() {
        UnitModel::Cable(cell) => cell,
        other => panic!("{other:?}"),
    }
}

/// The potentials at the record sites after one step without end, mV.
fn steady(text: &str) -> Vec<f64> {
    let place = f64_place();
    let cell = cell(text, &place);
    let grid = Grid::Uniform {
        start: 0.0,
        dt: 1e9,
        steps: 1,
    };
    let initial = cell.initial_state(1).unwrap();
    let dynamics = cell.dynamics().unwrap();
    let (_, last) = record(&dynamics, initial, &crate::NoInput, &grid).unwrap();
    host(last[0].clone()).unwrap()
}

/// A soma with two dendrites at its end, one of which branches, and an axon at its beginning, with channels that differ.
pub(super) const CELL: &str = include_str!("cell.toml");

#[test]
fn a_section_is_divided_as_its_length_constant_says() {
    // Hines and Carnevale: λ at 100 Hz = 10⁵ √(d/(4π·100 Hz·R_i·C)) µm; here 2 µm, 150 Ωcm: 325.7 µm, and 1000 µm are 31
    // compartments of at most a tenth of it.
    let one = |more: &str| {
        let section =
            format!("[[section]]\nname = \"a\"\nlength = 1000.0\ndiameter = 2.0\n{more}\n");
        cell(&section, &f64_place()).compartments()
    };
    assert_eq!(one(""), 31);
    assert_eq!(one("d_lambda = 0.3"), 11);
    assert_eq!(one("parameters.capacitance = 4.0"), 63);
    assert_eq!(one("compartments = 4"), 4);
}

#[test]
fn branches_meet_in_a_point() {
    // Rall: a cylinder whose end divides into two of the 2/3 power of half its diameter^3/2 is one cylinder; without that, its
    // branches, joined pair by pair, would leak into each other.
    let end = 2.0_f64.powf(-2.0 / 3.0) * 4.0;
    let shorter = (end / 4.0).sqrt() * 200.0;
    let passive = "leak = { conductance = 0.1, reversal = -65.0 }\ncurrent = 0.1\n";
    let trunk =
        "[[section]]\nname = \"trunk\"\nlength = 200.0\ndiameter = 4.0\ncompartments = 10\n";
    let twig = |name: &str| {
        format!(
            "[[section]]\nname = \"{name}\"\nparent = \"trunk\"\nlength = {shorter}\ndiameter = {end}\ncompartments = 10\n"
        )
    };
    let sites = "stimulus_sites = \"trunk(0)\"\n";
    let tree = format!(
        "{passive}{sites}record_sites = [\"trunk(0)\", \"trunk(0.99)\", \"a(0)\", \"b(1)\"]\n{trunk}{}{}",
        twig("a"),
        twig("b")
    );
    let cylinder = format!(
        "{passive}{sites}record_sites = [\"trunk(0)\", \"trunk(0.49)\", \"trunk(0.51)\", \"trunk(1)\"]\n\
         [[section]]\nname = \"trunk\"\nlength = 400.0\ndiameter = 4.0\ncompartments = 20\n"
    );
    for (found, expected) in steady(&tree).into_iter().zip(steady(&cylinder)) {
        assert_close(found, expected, 1e-12);
    }
}

#[test]
fn a_taper_has_the_area_and_the_resistance_of_a_cone() {
    let passive =
        "current = 0.05\nrecord_sites = [\"a(0)\", \"a(0.5)\"]\nstimulus_sites = \"a(0)\"\n";
    let cone = format!(
        "{passive}[[section]]\nname = \"a\"\nlength = 300.0\ndiameter = [4.0, 1.0]\ncompartments = 3\n"
    );
    let found = steady(&cone);
    let slant = 300.0_f64.hypot(1.5);
    let area = std::f64::consts::FRAC_PI_2 * 5.0 * slant * 1e-8;
    // All that enters leaves through a leak of 0.1 mS/cm²: the mean over the area of the three compartments.
    let all = steady(&cone.replace("\"a(0.5)\"", "\"a(0.5)\", \"a(1)\""));
    let part = |from: f64, to: f64| {
        let d = |x: f64| 4.0 - 3.0 * x;
        std::f64::consts::FRAC_PI_2 * (d(from) + d(to)) * slant * (to - from) * 1e-8
    };
    let leak: f64 = [(0.0, 1.0 / 3.0), (1.0 / 3.0, 2.0 / 3.0), (2.0 / 3.0, 1.0)]
        .iter()
        .zip(&all)
        .map(|((from, to), v)| 0.1 * part(*from, *to) * (v + 65.0) * 1e3)
        .sum();
    assert_close(leak, 0.05, 1e-7);
    assert_close(part(0.0, 1.0), area, 1e-12);
    // From the first middle to the second: l/(π/4·d₀·d₁) of the cone between them, 150 Ωcm.
    let way = 100.0 / (std::f64::consts::FRAC_PI_4 * 3.5 * 2.5) * 1e4;
    let through = 0.05 - 0.1 * part(0.0, 1.0 / 3.0) * (all[0] + 65.0) * 1e3;
    assert_close(found[0] - found[1], through * 150.0 * way * 1e-6, 1e-7);
}

/// x of a x = b, by elimination.
fn solved(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        for row in (0..3).filter(|row| *row != pivot) {
            let factor = a[row][pivot] / a[pivot][pivot];
            let above = a[pivot];
            for (own, above) in a[row].iter_mut().zip(above) {
                *own -= factor * above;
            }
            b[row] -= factor * b[pivot];
        }
    }
    [0, 1, 2].map(|row| b[row] / a[row][row])
}

#[test]
fn half_of_a_way_has_the_resistivity_of_its_own_section() {
    // Length and diameter in µm, R_i in Ωcm.
    let sections = [
        (300.0, 3.0, 100.0),
        (200.0, 2.0, 5000.0),
        (80.0, 1.0, 20000.0),
    ];
    let area = |i: usize| std::f64::consts::PI * sections[i].0 * sections[i].1 * 1e-8;
    // From the middle to an end, MΩ.
    let half = |i: usize| {
        let (length, diameter, resistivity) = sections[i];
        let section = std::f64::consts::FRAC_PI_4 * diameter * diameter;
        resistivity * 0.5 * length / section * 1e4 * 1e-6
    };
    let chain = [1.0 / (half(0) + half(1)), 0.0, 1.0 / (half(1) + half(2))];
    // Three that meet in a point: every pair by the product of both, over the sum of all.
    let [a, b, c] = [0, 1, 2].map(|i| 1.0 / half(i));
    let fork = [a * b, a * c, b * c].map(|product| product / (a + b + c));
    for (parent, [ab, ac, bc]) in [("b", chain), ("a", fork)] {
        let mut text = String::from(
            "current = 0.02\nstimulus_sites = \"c\"\nleak = { conductance = 0.1, reversal = -65.0 }\n",
        );
        for (name, parent, (length, diameter, resistivity)) in [
            ("a", "", sections[0]),
            ("b", "parent = \"a\"\n", sections[1]),
            ("c", &format!("parent = \"{parent}\"\n"), sections[2]),
        ] {
            text += &format!(
                "[[section]]\nname = \"{name}\"\n{parent}length = {length}\ndiameter = {diameter}\n\
                 compartments = 1\nparameters = {{ axial_resistivity = {resistivity} }}\n"
            );
        }
        let leak = |i: usize| 0.1 * area(i) * 1e3; // µS
        let expected = solved(
            [
                [leak(0) + ab + ac, -ab, -ac],
                [-ab, leak(1) + ab + bc, -bc],
                [-ac, -bc, leak(2) + ac + bc],
            ],
            [0.0, 0.0, 0.02],
        );
        for (found, expected) in steady(&text).into_iter().zip(expected) {
            assert_close(found + 65.0, expected, 1e-6);
        }
    }
}

#[test]
fn sections_have_channels_of_their_own() {
    let place = f64_place();
    let cell = cell(CELL, &place);
    let cells = &cell.cable.membrane.cells;
    let values = |name: &str| cells.parameters.get(name).unwrap().values().unwrap();
    assert_eq!(values("g_na"), [120.0, 0.0, 10.0, 120.0, 300.0]);
    assert_eq!(values("g_k"), [36.0, 0.0, 36.0, 36.0, 36.0]);
    assert_eq!(values("capacitance"), [1.0, 1.0, 2.0, 1.0, 1.0]);
    assert_eq!(values("e_l"), [-65.0]);
    let dynamics = cell.dynamics().unwrap();
    let names: Vec<&str> = dynamics
        .variables()
        .iter()
        .map(|v| v.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["v", "m", "h", "n", "v_all", "m_all", "h_all", "n_all"]
    );
    let v = &dynamics.variables()[0];
    assert_eq!((v.width, v.labels[1].as_str()), (5, "left(1)"));
    // A site shows what its compartment has.
    let state = cell.initial_state(2).unwrap();
    assert_eq!(state[0].dims(), [2, 5]);
    assert_eq!(state[4].dims(), [2, cell.compartments()]);
}

#[test]
fn sites_are_named_alike_however_they_are_written() {
    let text = CELL.replace(
        "[\"soma\", \"left(1)\"",
        r#"[" soma ", "left ( 1.0)", "soma(\n0.50)""#,
    );
    let cell = cell(&text, &f64_place());
    let v = cell.dynamics().unwrap().variables()[0].clone();
    assert_eq!(
        v.labels[..],
        [
            "soma",
            "left(1)",
            "soma(0.5)",
            "right(0.9)",
            "twig(1)",
            "axon(1)"
        ]
    );
}

#[test]
fn an_input_has_a_column_for_each_site_or_two_or_one_for_all() {
    let place = f64_place();
    let text = format!("stimulus_sites = [\"soma\", \"axon(1)\"]\n{CELL}");
    let cell = cell(&text, &place);
    let grid = Grid::over(0.5, 0.05).unwrap();
    let last = |input: &[f64]| {
        let initial = cell.initial_state(1).unwrap();
        let input = ConstantInput(place.tensor(input.to_vec(), [1, input.len()]));
        let (_, last) = record(&cell.dynamics().unwrap(), initial, &input, &grid)?;
        host(last[0].clone())
    };
    let expected = last(&[0.2, 0.3]).unwrap();
    for (found, expected) in last(&[0.1, 0.5, 0.1, -0.2]).unwrap().iter().zip(&expected) {
        assert_close(*found, *expected, 1e-12);
    }
    assert_eq!(last(&[0.2]).unwrap(), last(&[0.2, 0.2]).unwrap());
    let error = last(&[0.1, 0.2, 0.3]).unwrap_err().to_string();
    assert!(
        error.contains("nA at each stimulus site (or in one column for all of them")
            && error.ends_with("has shape [1, 3], expected [1, 2]"),
        "{error}"
    );
}

#[test]
fn the_gradient_through_a_cable_is_that_of_differences() {
    let more = r#"
trainable = ["g_na", "g_k", "e_l", "capacitance", "axial_resistivity", "current", "v"]
initial = { v = -62.0 }
stimulus_sites = ["soma", "right(1)"]
"#;
    for scheme in ["backward-euler", "crank-nicolson"] {
        let everywhere = CELL.replace("g_na = 0.0, g_k = 0.0", "g_na = 4.0, g_k = 2.0");
        let text = format!("scheme = \"{scheme}\"\n{more}{everywhere}");
        let place = f64_autodiff();
        let cell = cell(&text, &place);
        let input = ConstantInput(place.tensor(vec![0.2, 0.1], [1, 2]));
        let loss = |seen: burn::tensor::Tensor<3>| (seen * 0.1).cos().mean();
        assert_gradient(&cell, &input, (0.05, 12), loss, 1e-5, 1e-6);
    }
}

#[test]
fn a_section_without_a_channel_stays_without_it_in_training() {
    let place = f64_autodiff();
    let trained = cell(&format!("trainable = [\"g_na\", \"g_k\"]\n{CELL}"), &place);
    let fixed = cell(CELL, &place);
    let grid = Grid::over(2.0, 0.05).unwrap();
    let seen = |cell: &CableCell| {
        let initial = cell.initial_state(1).unwrap();
        let dynamics = cell.dynamics().unwrap();
        host(
            record(&dynamics, initial, &crate::NoInput, &grid)
                .unwrap()
                .0,
        )
        .unwrap()
    };
    for (trained, fixed) in seen(&trained).into_iter().zip(seen(&fixed)) {
        assert_close(trained, fixed, 1e-12);
    }
    let run = Run {
        initial: None,
        batch: 1,
        input: &crate::NoInput,
        grid: &grid,
        every: 1,
        memory: &Memory::Full,
    };
    let result = gradient(&trained, &run, |seen| seen.powi_scalar(2).mean()).unwrap();
    let slopes = slopes(&trained, result.parameters);
    for (_, slope) in &slopes {
        let zero: Vec<bool> = slope.iter().map(|slope| *slope == 0.0).collect();
        assert_eq!(zero, [false, true, false, false, false]);
    }
    assert_eq!(slopes.len(), 2);
}

#[test]
fn wrong_sections_are_named() {
    let soma = "[[section]]\nname = \"soma\"\nlength = 20.0\ndiameter = 20.0\n";
    let after = |more: &str| format!("{soma}{more}");
    let second = |more: &str| {
        after(&format!(
            "[[section]]\nname = \"d\"\nlength = 50.0\ndiameter = 2.0\n{more}"
        ))
    };
    let cases = [
        (second(""), "unit.section[1].parent = missing"),
        (second(""), "one root: soma"),
        (
            second("parent = \"sma\"\n"),
            "unit.section[1].parent = \"sma\" is not allowed: the only section is soma",
        ),
        (
            second("parent = \"d\"\n"),
            "an earlier section; before it the only section is soma",
        ),
        (second("parent = \"soma(1.5)\"\n"), "x from 0 to 1"),
        (after(soma), "unit.section[1].parent"),
        (after("parent = \"a\"\n"), "the first section is the root"),
        (
            soma.replace("20.0\nd", "-1.0\nd"),
            "unit.section[0].length = -1",
        ),
        (
            soma.replace("length = 20.0\n", ""),
            "unit.section[0].length = missing",
        ),
        (
            soma.replace("diameter = 20.0", "diameter = 0.0"),
            "unit.section[0].diameter = 0",
        ),
        (
            soma.replace("diameter = 20.0", "diameter = [1.0, 2.0, 3.0]"),
            "[3 values]",
        ),
        (
            soma.replace("soma", "so ma"),
            "unit.section[0].name = \"so ma\"",
        ),
        (
            after("compartments = 0\n"),
            "unit.section[0].compartments = 0",
        ),
        (
            after("compartments = 2000000\n"),
            "unit.section[0].compartments = 2000000 is not allowed: fewer: at most 1048576 compartments",
        ),
        (
            after("d_lambda = 1e-12\n"),
            "unit.section[0].d_lambda = 1e-12 is not allowed: larger: at most 1048576 compartments",
        ),
        (
            format!("d_lambda = 1e-9\n{soma}"),
            "unit.d_lambda = 1e-9 is not allowed: larger: at most 1048576 compartments of all cells, but soma has",
        ),
        ("d_lambda = 1e-9\n".into(), "unit.d_lambda = 1e-9"),
        (
            soma.replace("20.0\nd", "1e12\nd"),
            "unit.section[0].length = 1000000000000 is not allowed: from 0.001 to 1e7 µm",
        ),
        (
            soma.replace("diameter = 20.0", "diameter = 2e7"),
            "unit.section[0].diameter = 20000000 is not allowed: from 0.002 to 2e4 µm",
        ),
        (
            soma.replace("20.0\ndiameter = 20.0", "1e7\ndiameter = 2e-3"),
            "unit.section[0].length = 10000000 is not allowed: shorter: at most 1048576 compartments",
        ),
        (
            soma.replace("diameter = 20.0", "diameter = 1e-20"),
            "unit.section[0].diameter = 1e-20 is not allowed: from 0.002 to 2e4 µm",
        ),
        (
            format!("axial_resistivity = 1e18\n{soma}"),
            "unit.axial_resistivity = 1e18 is not allowed: from 0.01 to 1e5 Ωcm",
        ),
        (
            after("parameters = { axial_resistivity = 1e18 }\n"),
            "unit.section[0].parameters.axial_resistivity = 1e18 is not allowed: from 0.01 to 1e5 Ωcm",
        ),
        (
            format!("capacitance = 1e18\n{soma}"),
            "unit.capacitance = 1e18 is not allowed: lower",
        ),
        (
            after("parameters = { axial_resistvity = 100.0 }\n"),
            "did you mean `axial_resistivity`?",
        ),
        (
            format!("stimulus_sites = \"somma\"\n{soma}"),
            "did you mean `soma`?",
        ),
        (
            format!("trainable = [\"nothing\"]\n{soma}"),
            ", axial_resistivity, current",
        ),
        (
            format!("bounds = {{ curent = \"free\" }}\n{soma}"),
            "did you mean `current`?",
        ),
        (
            format!("cells = 600000\n{}", after("compartments = 2\n")),
            "unit.cells = 600000 of 2 compartments",
        ),
        (
            format!(
                "cells = 9223372036854775807\nstimulus_sites = [\"soma\", \"soma(0)\", \"soma(1)\"]\n{soma}"
            ),
            "unit.cells = 9223372036854775807",
        ),
        (after("d_lambda = 0.0\n"), "unit.section[0].d_lambda = 0"),
        (
            after("parameters = { g_na = 3.0 }\n"),
            "unit.section[0].parameters.g_na = 3",
        ),
        (
            after("parameters = { g_l = -3.0 }\n"),
            "unit.section[0].parameters.g_l = -3",
        ),
        (
            after("parameters = { axial_resistivity = 0.0 }\n"),
            "parameters.axial_resistivity = 0",
        ),
        (
            format!("axial_resistivity = -1.0\n{soma}"),
            "unit.axial_resistivity = -1",
        ),
        (format!("d_lambda = 0.0\n{soma}"), "unit.d_lambda = 0"),
        (
            format!("capacitance = [1.0, 2.0]\n{soma}"),
            "unit.capacitance = [2 values]",
        ),
        (
            format!("leak = {{ conductance = [1.0, 2.0] }}\n{soma}"),
            "unit.leak.conductance",
        ),
        (
            format!("initial = {{ v = [1.0, 2.0] }}\n{soma}"),
            "unit.initial.v = [2 values]",
        ),
        (format!("initial = {{ w = 1.0 }}\n{soma}"), "unit.initial.w"),
        (
            format!("current = [1.0, 2.0, 3.0]\nstimulus_sites = [\"soma(0)\"]\ncells = 2\n{soma}"),
            "unit.current = [3 values]",
        ),
        (
            format!("stimulus_sites = \"axon\"\n{soma}"),
            "unit.stimulus_sites[0] = \"axon\" is not allowed: the only section is soma",
        ),
        (
            format!("stimulus_sites = [\"soma\", \"soma(0.6)\"]\n{soma}"),
            "another compartment",
        ),
        (
            format!("record_sites = [\"soma\", \"soma(x)\"]\n{soma}"),
            "unit.record_sites[1] = \"soma(x)\"",
        ),
        (
            format!("cells = 600000\nrecord_sites = [\"soma(0.1)\", \"soma(0.9)\"]\n{soma}"),
            "unit.record_sites = [2 sites] is not allowed: at most 1048576 sites of all cells",
        ),
        (
            format!("trainable = [\"g_na\"]\n{soma}"),
            "trainable = g_na",
        ),
        (format!("cells = 0\n{soma}"), "unit.cells = 0"),
        (format!("cells = 100000000000\n{soma}"), "unit.cells"),
        (format!("lenght = 3\n{soma}"), "has no key \"lenght\""),
        (after("lenght = 3\n"), "has no key \"lenght\""),
        (
            format!("{soma}[[channel]]\nlibrary = \"hodgkin-huxley/nu\"\n"),
            "unit.channel[0].library",
        ),
    ];
    for (text, part) in cases {
        let error = unit(&text).unwrap_err();
        assert!(error.contains(part), "{part}\n{error}");
    }
}
