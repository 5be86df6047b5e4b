//! Recordings in tables of text.

use std::path::Path;

use granule_data::decoding::{Found, Inspection, inspect};
use granule_data::{DataError, Dataset, DatasetSpec, DecodingConfig, LoadOptions, load};

use crate::support::{npy_i64, write};

fn named<'a>(inspection: &'a Inspection, name: &str) -> &'a Found {
    let found = inspection.arrays.iter().find(|array| array.name == name);
    found.unwrap_or_else(|| panic!("{name}: {inspection:?}"))
}

fn read(path: &Path, signal: &str, target: &str) -> Result<Dataset, DataError> {
    let decoding = DecodingConfig {
        signal: signal.into(),
        target: target.into(),
        test: 0.5,
        ..Default::default()
    };
    let options = LoadOptions {
        decoding,
        seed: 1,
        ..Default::default()
    };
    load(&DatasetSpec::Recording(path.to_path_buf()), &options)
}

fn table(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    write(&path, text.as_bytes());
    (dir, path)
}

/// Four bins: two counts, whose columns are out of order, a speed and a label.
const ROWS: [&str; 5] = [
    "unit10,speed,unit2,side",
    "1,0.5,2,left",
    "3,-1,4,right",
    "5,2.5e1,6,left",
    "7,.25,8,right",
];

#[test]
fn commas_semicolons_and_tabs_separate() {
    for (name, separator, end) in [
        ("a.csv", ",", "\n"),
        ("a.csv", ";", "\r\n"),
        ("a.CSV", " , ", "\r"),
        ("a.tsv", "\t", "\n"),
        ("a.csv", "\t", "\n"),
    ] {
        let text = ROWS.map(|row| row.replace(',', separator)).join(end);
        for (before, after) in [("", ""), ("\u{feff}", "\n"), ("", "\n\n \n")] {
            let (_dir, path) = table(name, &format!("{before}{text}{after}"));
            let found = inspect(&path).unwrap();
            assert_eq!(found.kind, "a CSV file");
            let names: Vec<_> = found.arrays.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(names, ["unit", "speed", "side"], "{separator:?}");
            let unit = named(&found, "unit");
            assert_eq!(
                (unit.shape.as_slice(), unit.dtype.as_str()),
                (&[4, 2][..], "int64")
            );
            assert_eq!(named(&found, "side").dtype, "strings");
            // By their numbers, and not as they stand.
            let set = read(&path, "unit", "speed").unwrap();
            assert_eq!(
                (set.test.values(0).unwrap(), set.test.values(1).unwrap()),
                (&[6.0, 5.0][..], &[8.0, 7.0][..])
            );
            assert_eq!(set.train.target_values(0).unwrap(), [0.5]);
            assert_eq!(set.test.target_values(0).unwrap(), [25.0]);
            let set = read(&path, "unit10", "side").unwrap();
            assert_eq!(
                (set.test.values(1).unwrap(), set.classes.as_slice()),
                (&[7.0][..], &["left".to_owned(), "right".to_owned()][..])
            );
        }
    }
}

#[test]
fn quotes_hold_what_would_separate() {
    let text = "\"a, b\",\"say \"\"x\"\"\"\n1,\"one\ntwo\"\n\"2\" , \"three\"\n";
    let (_dir, path) = table("a.csv", text);
    let found = inspect(&path).unwrap();
    assert_eq!(
        named(&found, "a, b").numbers.as_ref().unwrap().max,
        Some(2.0)
    );
    assert_eq!(named(&found, "say \"x\"").problem, None);
    let set = read(&path, "a, b", "say \"x\"").unwrap();
    assert_eq!(set.classes.len(), 2);
    // A line end within quotes is of one row and two lines.
    let (_dir, path) = table("a.csv", &format!("{text}3\n"));
    let error = inspect(&path).unwrap_err().to_string();
    assert!(error.contains("line 5 has 1 cell"), "{error}");
}

#[test]
fn numbered_columns_are_one_array() {
    let of = |header: &str| {
        let cells = header.split(',').map(|_| "1").collect::<Vec<_>>().join(",");
        let (_dir, path) = table("a.csv", &format!("{header}\n{cells}\n{cells}\n"));
        let found = inspect(&path).unwrap();
        let shown = |one: &Found| format!("{}{:?}", one.name, one.shape);
        found.arrays.iter().map(shown).collect::<Vec<_>>().join(" ")
    };
    for (header, expected) in [
        ("u1,u2,x", "u[2, 2] x[2]"),
        ("u_1,u_2", "u[2, 2]"),
        ("u[0],x,u[1]", "u[2, 2] x[2]"),
        ("u 1,u.2,u-3", "u[2, 3]"),
        ("u1,x", "u1[2] x[2]"),
        // One number twice, the name of a column, and nothing in common.
        ("u1,u01", "u1[2] u01[2]"),
        ("u,u1,u2", "u[2] u1[2] u2[2]"),
        ("a,1,2", "a[2] 1[2] 2[2]"),
    ] {
        assert_eq!(of(header), expected, "{header}");
    }
    let (_dir, path) = table("a.csv", "u1,u2\n1,2\n3,0.5\n");
    let found = inspect(&path).unwrap();
    assert_eq!(named(&found, "u").dtype, "float64");
    assert_eq!(
        named(&found, "u").numbers.as_ref().unwrap().mean,
        Some(1.625)
    );
}

#[test]
fn what_is_wrong_is_named_by_line_and_column() {
    let wide = vec!["x"; 100_001].join(",");
    for (text, parts) in [
        ("", &["first line has to name the columns"][..]),
        ("\na,b\n1,2\n", &["first line has to name the columns"]),
        (
            "1,2\n3,4\n",
            &["of numbers", "first line has to name the columns"],
        ),
        ("a,b\n", &["no rows"]),
        ("a,b,a\n1,2,3\n", &["columns 1 and 3", "\"a\""]),
        (
            ",b\n1,2\n",
            &["line 1, column 1 has no name", "index=False"],
        ),
        (
            "a,b\n1,2\n3\n",
            &["line 3 has 1 cell, the first line 2 names"],
        ),
        ("a,b\n1,2,3\n", &["line 2 has 3 cells"]),
        ("a,b\n1,2\n3,\n", &["line 3, column \"b\" is empty"]),
        ("a\n1\n\n2\n", &["line 3 is empty, and line 4 is not"]),
        ("a,b\n\"1,2\n3,4\n", &["line 2, column 1", "never ends"]),
        (
            "a,b\n\"1\"2,3\n",
            &["line 2, column 1", "behind its closing quote"],
        ),
        (&wide, &["line 1, column 100001", "100000"]),
        (
            &format!("a\n{}\n", "x".repeat(5000)),
            &["line 2, column 1", "4096 bytes"],
        ),
    ] {
        let (_dir, path) = table("a.csv", text);
        let error = inspect(&path).unwrap_err().to_string();
        for part in parts.iter().chain(&["a.csv"]) {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let (_dir, path) = table("a.csv", "");
    std::fs::write(&path, b"a\n\xff\xfe\n").unwrap();
    let error = inspect(&path).unwrap_err().to_string();
    assert!(error.contains("line 2 is no text in UTF-8"), "{error}");
}

#[test]
fn a_column_is_of_numbers_or_of_text() {
    let text = "a;b;c1;c2\n1;x;1;2\nNA;y;3,5;4\n2;7;3;4\n";
    let (_dir, path) = table("a.csv", text);
    let found = inspect(&path).unwrap();
    for (name, parts) in [
        ("a", &["line 3, column \"a\"", "\"NA\""][..]),
        ("b", &["line 4, column \"b\"", "the number 7"]),
        ("c", &["line 3, column \"c1\"", "\"3,5\"", "a point"]),
    ] {
        let problem = named(&found, name).problem.clone().unwrap();
        for part in parts {
            assert!(problem.contains(part), "{part}: {problem}");
        }
    }
    let error = read(&path, "c2", "a").unwrap_err().to_string();
    assert!(error.contains("a.csv!a: line 3"), "{error}");
    // NaN is a number that nothing is learnt from; words for the infinite are labels.
    let (_dir, path) = table("a.csv", "a,b\n1,inf\nNaN,sup\n");
    let found = inspect(&path).unwrap();
    assert_eq!(named(&found, "a").numbers.as_ref().unwrap().nan, 1);
    assert_eq!(named(&found, "b").dtype, "strings");
}

#[test]
fn tables_in_a_folder_are_called_as_their_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(
        at("counts.npy"),
        &npy_i64(&[4, 3], &(0..12).collect::<Vec<_>>()),
    );
    write(at("labels.csv"), b"label\nface\nhouse\nface\nhouse\n");
    write(at("movement.tsv"), b"x\ty\n1\t2\n3\t4\n5\t6.5\n7\t8\n");
    write(at("events.csv"), b"onset,what\n0,go\n1,stop\n2,go\n3,go\n");
    write(at("broken.csv"), b"a,b\n1\n");
    write(at("notes.txt"), b"none");
    let found = inspect(dir.path()).unwrap();
    assert_eq!(found.kind, "a folder of .npy, NIfTI and CSV files");
    let names: Vec<_> = found.arrays.iter().map(|one| one.name.as_str()).collect();
    let expected = [
        "broken",
        "counts",
        "events.onset",
        "events.what",
        "labels",
        "movement",
        "movement.x",
        "movement.y",
    ];
    assert_eq!(names, expected);
    assert!(
        named(&found, "broken")
            .problem
            .as_ref()
            .unwrap()
            .contains("line 2 has 1 cell")
    );
    assert_eq!(named(&found, "movement").shape, [4, 2]);
    assert_eq!(
        read(dir.path(), "counts", "labels").unwrap().classes,
        ["face", "house"]
    );
    let set = read(dir.path(), "counts", "movement").unwrap();
    assert_eq!(set.test.target_values(0).unwrap(), [5.0, 6.5]);
    let set = read(dir.path(), "counts", "events.what").unwrap();
    assert_eq!(set.classes, ["go", "stop"]);
    let error = read(dir.path(), "counts", "events.none")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data.decoding.target") && error.contains("events.onset"),
        "{error}"
    );
    let error = read(dir.path(), "counts", "events")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("events.csv") && error.contains("\"what\""),
        "{error}"
    );
}
