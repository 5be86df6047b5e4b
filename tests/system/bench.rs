use std::path::Path;

use crate::support::{fine, refused};

/// One row of each kind, for as short as can be.
#[test]
fn rows_are_measured_on_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "bench",
        "predict-mlp",
        "load-lenet",
        "train-gru",
        "simulate-jansen-rit",
        "--seconds",
        "0.1",
        "--device",
        "flex",
    ];
    let lines = fine(dir.path(), &[&args[..], &["--json"]].concat()).json();
    let machine = &lines[0];
    assert_eq!(machine["event"], "machine");
    assert_eq!(machine["device"], "flex");
    for ceiling in ["matrix_gflops", "memory_gb_per_second"] {
        assert!(machine[ceiling].as_f64().unwrap() > 0.1, "{machine}");
    }
    let rows = &lines[1..];
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["row"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "predict-mlp",
            "load-lenet",
            "train-gru",
            "simulate-jansen-rit"
        ]
    );
    for row in rows {
        let number = |of: &serde_json::Value| of.as_f64().unwrap_or_else(|| panic!("{row}"));
        let [least, median, most] = ["least", "median", "most"].map(|name| number(&row[name]));
        let ordered = 0.0 < least && least <= median && median <= most;
        assert!(ordered, "{row}");
        let rounds = row["rounds"].as_array().unwrap();
        let within = |round| (least..=most).contains(&number(round));
        assert!(!rounds.is_empty() && rounds.iter().all(within), "{row}");
    }
    let text = fine(dir.path(), &args).stdout;
    for part in ["GFLOP/s", "predict-mlp", "µs", "round"] {
        assert!(text.contains(part), "{text}");
    }
    // Nothing is written.
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

/// Far less time than a second of ten thousand cells takes: a part of a round stands for all of it.
#[test]
fn rounds_that_take_too_long_are_cut() {
    let args = [
        "bench",
        "simulate-balanced-network-10000",
        "--seconds",
        "0.01",
        "--device",
        "flex",
    ];
    let lines = fine(Path::new("."), &[&args[..], &["--json"]].concat()).json();
    let row = &lines[1];
    assert_eq!(row["cut"], true, "{row}");
    let seconds = row["median"].as_f64().unwrap();
    assert!(seconds > 0.05 && seconds < 1e4, "{row}");
    assert!(
        fine(Path::new("."), &args)
            .stdout
            .contains("part of a round")
    );
}

#[test]
fn rows_are_listed_and_unknown_ones_refused() {
    let here = Path::new(".");
    let listed = fine(here, &["bench", "--list"]).stdout;
    let json = fine(here, &["bench", "--list", "--json"]).json();
    let lines = listed.lines().filter(|line| !line.is_empty());
    assert_eq!(lines.count(), json.len());
    for row in &json {
        let name = row["row"].as_str().or(row["against"].as_str());
        assert!(listed.contains(name.unwrap()), "{listed}");
    }
    let text = refused(here, &["bench", "train-nothing"], 2);
    assert!(
        text.contains("train-nothing") && text.contains("train-mlp"),
        "{text}"
    );
    for seconds in ["0", "-1", "nan", "1e9", "x"] {
        let text = refused(here, &["bench", "--seconds", seconds], 2);
        assert!(text.contains("0.01 to 3600"), "{text}");
    }
}

#[test]
fn a_series_is_measured_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "bench",
        "--against",
        "cells",
        "--seconds",
        "0.01",
        "--device",
        "flex",
    ];
    let drawn = [&args[..], &["--json", "--plot", "cells.svg"]].concat();
    let points = fine(folder.path(), &drawn).json();
    assert_eq!(points.len(), 7);
    for (at, point) in points.iter().enumerate() {
        assert_eq!(point["at"], 10_usize.pow(at as u32), "{point}");
        assert!(point["cost"].as_f64().unwrap() > 0.0, "{point}");
    }
    let figure = std::fs::read_to_string(folder.path().join("cells.svg")).unwrap();
    assert!(figure.contains("<polyline"), "{figure}");
    for (args, said) in [
        (&["--against", "cell"][..], "threads"),
        (&["--against", "cells", "train-mlp"], "--against"),
        (&["--plot", "cells.svg"], "--against"),
        (&["--against", "cells", "--plot", "cells.txt"], ".svg"),
    ] {
        let text = refused(folder.path(), &[&["bench"], args].concat(), 2);
        assert!(text.contains(said), "{text}");
    }
}
