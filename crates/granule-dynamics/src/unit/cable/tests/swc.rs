//! Traced cells from SWC files.

use std::path::Path;

use super::super::swc::Morphology;
use super::sections::unit;
use crate::DynamicsError;
use crate::testing::{assert_close, f64_place};

fn parsed(text: &str) -> Result<Morphology, String> {
    let parsed = Morphology::parse(Path::new("cell.swc"), text);
    parsed.map_err(|error| error.to_string())
}

/// Name, parent with place, length and the diameters at both ends of every branch.
type Shape = (String, Option<(usize, f64)>, f64, [f64; 2]);

fn branches(text: &str) -> Vec<Shape> {
    let traced = parsed(text).unwrap().traced().unwrap();
    let branches = traced.branches().unwrap().into_iter();
    let shape = branches.map(|branch| {
        let [first, last] = [branch.frusta.first(), branch.frusta.last()].map(Option::unwrap);
        let ends = [first.diameters[0], last.diameters[1]];
        (branch.name.clone(), branch.parent, branch.length(), ends)
    });
    shape.collect()
}

#[test]
fn runs_of_points_are_sections() {
    let text = "# a cell\n1 1 0 0 0 5 -1 # the soma\n\n2 3 5 0 0 1 1\n3 3 15 0 0 1 2\n4 3 15 10 0 0.5 3\n\
                5 3 15 -20 0 0.5 3\n6 2 0 -5 0 0.5 1\n7 2 0 -45 0 0.25 6\n8 7 0 -50 0 0.25 7\n";
    let expected: [Shape; 6] = [
        ("soma".into(), None, 10.0, [10.0; 2]),
        // From its own first point, for that is at the surface of the soma.
        ("basal[0]".into(), Some((0, 0.5)), 10.0, [2.0; 2]),
        ("basal[1]".into(), Some((1, 1.0)), 10.0, [2.0, 1.0]),
        ("basal[2]".into(), Some((1, 1.0)), 20.0, [2.0, 1.0]),
        ("axon".into(), Some((0, 0.5)), 40.0, [1.0, 0.5]),
        ("type7".into(), Some((4, 1.0)), 5.0, [0.5; 2]),
    ];
    assert_eq!(branches(text), expected);
    // The order of the lines is not that of the tree.
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.reverse();
    let mut names: Vec<String> = branches(&lines.join("\n"))
        .into_iter()
        .map(|b| b.0)
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["axon", "basal[0]", "basal[1]", "basal[2]", "soma", "type7"]
    );
}

#[test]
fn a_sphere_is_a_cylinder_of_its_area() {
    // One point, and three as NeuroMorpho.Org writes the same sphere.
    let one = "1 1 1 2 3 5 -1\n2 3 6 2 3 1 1\n3 3 16 2 3 1 2\n";
    let three = "1 1 1 2 3 5 -1\n2 1 1 -3 3 5 1\n3 1 1 7 3 5 1\n4 3 6 2 3 1 1\n5 3 16 2 3 1 4\n";
    assert_eq!(branches(one), branches(three));
    assert_eq!(branches(one)[0], ("soma".into(), None, 10.0, [10.0; 2]));
    let text = "d_lambda = 1.0\n[[section]]\nname = \"soma\"\ncompartments = 1\n";
    let place = f64_place();
    let mut config: crate::unit::CableCellConfig = toml::from_str(text).unwrap();
    config.morphology = Some(parsed("1 1 0 0 0 5 -1\n").unwrap());
    let cell = config.init(&place).unwrap();
    let area = cell.cable.geometry.areas[0];
    assert_close(area, 4.0 * std::f64::consts::PI * 25e-8, 1e-14);
    // More points are a run of cones, and branches leave where they say.
    let run = "1 1 0 0 0 5 -1\n2 1 4 0 0 6 1\n3 1 8 0 0 5 2\n4 3 8 6 0 1 3\n5 3 8 16 0 1 4\n";
    let expected: [Shape; 2] = [
        ("soma".into(), None, 8.0, [10.0; 2]),
        ("basal".into(), Some((0, 1.0)), 10.0, [2.0; 2]),
    ];
    assert_eq!(branches(run), expected);
}

/// The area of the membrane, µm², of which there is as much in the branches as in the compartments.
fn area(text: &str) -> f64 {
    let place = f64_place();
    let config = crate::unit::CableCellConfig {
        morphology: Some(parsed(text).unwrap()),
        ..Default::default()
    };
    let cell = config.init(&place).unwrap();
    cell.cable.geometry.areas.iter().sum::<f64>() * 1e8
}

/// Names and parents.
fn joints(text: &str) -> Vec<(String, Option<(usize, f64)>)> {
    branches(text).into_iter().map(|b| (b.0, b.1)).collect()
}

#[test]
fn what_forks_at_the_root_is_in_the_cell_once() {
    use std::f64::consts::PI;
    let dendrite = |own: u32, parent: u32| {
        format!("{own} 3 -5 0 0 1 {parent}\n{} 3 -15 0 0 1 {own}\n", own + 1)
    };
    let of_dendrite = PI * 2.0 * 10.0;
    // A soma of 20 µm × 10 µm, with a dendrite at its first point, at its second and at its last.
    let soma = "1 1 0 0 0 5 -1\n2 1 10 0 0 5 1\n3 1 20 0 0 5 2\n";
    for (parent, joined) in [(1, (0, 0.0)), (3, (0, 1.0))] {
        let text = format!("{soma}{}", dendrite(4, parent));
        assert_close(area(&text), PI * 10.0 * 20.0 + of_dendrite, 1e-10);
        let expected = [("soma".into(), None), ("basal".into(), Some(joined))];
        assert_eq!(joints(&text), expected);
    }
    let text = format!("{soma}{}", dendrite(4, 2));
    assert_close(area(&text), PI * 10.0 * 20.0 + of_dendrite, 1e-10);
    // The dendrite is the first in the file.
    let text = "1 1 0 0 0 5 -1\n2 3 -5 0 0 1 1\n3 3 -15 0 0 1 2\n4 1 20 0 0 5 1\n";
    assert_close(area(text), PI * 10.0 * 20.0 + of_dendrite, 1e-10);
    assert_eq!(joints(text)[0], ("soma".into(), None));
    // Three points of a sphere, on the second of which the dendrite is, are two cones of its area.
    let three = "1 1 0 0 0 5 -1\n2 1 0 -5 0 5 1\n3 1 0 5 0 5 1\n";
    let text = format!("{three}{}", dendrite(4, 2));
    assert_close(area(&text), PI * 100.0 + of_dendrite, 1e-10);
    let expected = [
        ("soma[0]".into(), None),
        ("basal".into(), Some((0, 1.0))),
        ("soma[1]".into(), Some((0, 0.0))),
    ];
    assert_eq!(joints(&text), expected);
    assert_close(area(three), PI * 100.0, 1e-10);
    // Without a soma nothing is a sphere.
    let fork = "1 3 0 0 0 1 -1\n2 3 10 0 0 1 1\n3 3 0 20 0 1 1\n4 2 0 0 5 1 1\n5 2 0 0 9 1 4\n";
    assert_close(area(fork), PI * 2.0 * (10.0 + 20.0 + 9.0), 1e-10);
    let expected = [
        ("basal[0]".into(), None),
        ("basal[1]".into(), Some((0, 0.0))),
        ("axon".into(), Some((0, 0.0))),
    ];
    assert_eq!(joints(fork), expected);
    let one = "1 2 0 0 0 1 -1\n2 3 10 0 0 1 1\n3 3 20 0 0 1 2\n";
    assert_close(area(one), PI * 2.0 * 20.0, 1e-10);
    assert_eq!(joints(one), [("basal".to_owned(), None)]);
    let error = parsed("7 3 0 0 0 1 -1\n")
        .unwrap()
        .traced()
        .unwrap()
        .branches();
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("line 1: a branch without a length"),
        "{error}"
    );
}

#[test]
fn three_points_are_a_sphere_where_they_are_on_it() {
    use std::f64::consts::PI;
    let three = |y: f64, radius: f64| {
        format!(
            "1 1 0 0 0 5 -1\n2 1 0 {} 0 {radius} 1\n3 1 0 {y} 0 {radius} 1\n",
            -y
        )
    };
    for (y, radius) in [(5.0, 5.0), (4.9, 5.0), (5.1, 4.9)] {
        assert_close(area(&three(y, radius)), PI * 100.0, 1e-10);
        assert_eq!(branches(&three(y, radius)).len(), 1);
    }
    assert_close(area(&three(40.0, 5.0)), PI * 10.0 * 80.0, 1e-10);
    assert_eq!(branches(&three(5.0, 4.0)).len(), 2);
    assert_eq!(branches(&three(5.5, 5.0)).len(), 2);
}

#[test]
fn a_branch_of_one_point_begins_where_it_leaves() {
    let text = "1 1 0 0 0 5 -1\n2 3 9 0 0 1 1\n3 3 9 4 0 0.5 2\n4 3 9 -3 0 0.5 2\n";
    let found = branches(text);
    assert_eq!(found[1], ("basal[0]".into(), Some((0, 0.5)), 9.0, [2.0; 2]));
    assert_eq!(
        found[2],
        ("basal[1]".into(), Some((1, 1.0)), 4.0, [2.0, 1.0])
    );
    assert_eq!(found[3].2, 3.0);
}

#[test]
fn what_is_wrong_with_a_file_is_named_with_its_line() {
    let cases = [
        ("", "unit.morphology = cell.swc with 0 points"),
        ("# nothing\n\n", "0 points"),
        (
            "1 1 0 0 0 5 -1\n2 3 9 0 0 0 1\n",
            "cell.swc, line 2: radius 0 is not allowed: from 0.001 to 1e4 µm",
        ),
        ("1 1 0 0 0 -5 -1\n", "line 1: radius -5"),
        ("1 1 0 0 0 nan -1\n", "line 1: radius NaN"),
        (
            "#\n1 1 0 0 0 5 -1\n2 3 x 0 0 1 1\n",
            "line 3: x \"x\" is not allowed: a number",
        ),
        ("1 1 inf 0 0 5 -1\n", "line 1: x inf"),
        (
            "1 1 0 0 0 5\n",
            "line 1: 6 of them is not allowed: seven numbers",
        ),
        (
            "1 1 0 0 0 5 -1\n2 3 9 0 0 1 1 0.5 # more\n",
            "line 2: 8 of them is not allowed: seven numbers",
        ),
        (
            "1 1 0 0 0 5 -1\n2 3 9 0 0 1 7\n",
            "line 2: parent 7 is not allowed: the number of a point",
        ),
        ("1 1 0 0 0 5 -1\n2 3 9 0 0 1 1.5\n", "line 2: parent 1.5"),
        ("1 1 0 0 0 5 -1\n2 3 9 0 0 1 -2\n", "line 2: parent -2"),
        (
            "1 1 0 0 0 5 -1\n1 3 9 0 0 1 1\n",
            "line 2: number 1 again is not allowed: another: line 1 has it",
        ),
        ("1.5 1 0 0 0 5 -1\n", "line 1: number 1.5"),
        ("1 300 0 0 0 5 -1\n", "line 1: type 300"),
        (
            "1 1 0 0 0 5 -1\n2 1 0 0 0 5 -1\n",
            "line 2: parent -1 of a second root is not allowed: one root, and that in line 1",
        ),
        (
            "1 1 0 0 0 5 -1\n2 3 1 0 0 1 4\n3 3 2 0 0 1 2\n4 3 3 0 0 1 3\n",
            "line 2: point 2 as its own ancestor",
        ),
        ("1 1 0 0 0 5 2\n2 3 1 0 0 1 1\n", "as its own ancestor"),
        ("1 1 0 0 0 5 1\n", "line 1: point 1 as its own ancestor"),
    ];
    for (text, part) in cases {
        let error = parsed(text).unwrap_err();
        assert!(error.contains(part), "{part}\n{error}");
    }
    let flat = "1 1 0 0 0 5 -1\n2 3 9 0 0 1 1\n3 3 9 0 0 1 2\n";
    let error = parsed(flat)
        .unwrap()
        .traced()
        .unwrap()
        .branches()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("line 3: a branch without a length"),
        "{error}"
    );
    let many: String = (1..=100_001)
        .map(|n| format!("{n} 3 {n} 0 0 1 {}\n", if n == 1 { -1 } else { n - 1 }))
        .collect();
    let error = parsed(&many).unwrap_err();
    assert!(
        error.contains("line 100001: more than 100000 points"),
        "{error}"
    );
    let error = Morphology::read(Path::new("no-such.swc")).unwrap_err();
    let error = error.under("level.cell");
    assert!(
        matches!(&error, DynamicsError::File { source, .. } if source.is_absent()),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("level.cell.unit.morphology: no-such.swc: cannot read"),
        "{text}"
    );
    let error = granule_io::budget::ask_for::<u8>("cell.swc", usize::MAX / 2).unwrap_err();
    let error = DynamicsError::file("unit.morphology", error.into());
    assert!(matches!(error, DynamicsError::Memory(_)), "{error:?}");
}

#[test]
fn groups_of_a_morphology_have_settings() {
    let points = "points = [[1,1,0,0,0,5,-1],[2,3,5,0,0,1,1],[3,3,15,0,0,1,2]]";
    let file = format!("[morphology]\nfile = \"cell.swc\"\n{points}\n");
    let section = |more: &str| format!("{file}[[section]]\n{more}\n");
    assert!(unit(&section("name = \"basal\"\nparameters = { g_l = 0.3 }")).is_ok());
    for (more, part) in [
        (
            "name = \"apical\"",
            "unit.section[0].name = \"apical\" is not allowed: a group of the morphology: soma, basal",
        ),
        ("name = \"basal\"\nlength = 3.0", "unit.section[0].length"),
        (
            "name = \"basal\"\ndiameter = 3.0",
            "unit.section[0].diameter",
        ),
        (
            "name = \"basal\"\nparent = \"soma\"",
            "unit.section[0].parent",
        ),
        (
            "name = \"basal\"\n[[section]]\nname = \"basal\"",
            "no other section has",
        ),
    ] {
        let error = unit(&section(more)).unwrap_err();
        assert!(error.contains(part), "{part}\n{error}");
    }
    let zero = file.replace("0,0,1,1]", "0,0,0,1]");
    let error = unit(&zero).unwrap_err();
    assert!(error.contains("cell.swc, line 2: radius 0"), "{error}");
    let far = file
        .replace("15,0,0,1,", "9e6,0,0,1e-3,")
        .replace("5,0,0,1,", "5,0,0,1e-3,");
    let error = unit(&far).unwrap_err();
    let found = "unit.morphology = cell.swc: basal of 9e6 µm is not allowed: points of a shorter or thicker one";
    assert!(error.contains(found), "{error}");
}
