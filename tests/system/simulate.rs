use std::path::Path;

use serde_json::Value;

use crate::support::{Finished, devices, fine, granule, refused, run, software_adapter};

const CPU: &str = "flex";

fn simulate(dir: &Path, args: &[&str]) -> Value {
    let command = [&["simulate"], args, &["--json", "--device", CPU]].concat();
    let mut printed = fine(dir, &command).json();
    assert_eq!(printed.len(), 1, "{printed:?}");
    printed.remove(0)
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap_or_else(|| panic!("{value}"));
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

fn spikes(result: &Value, cell: usize) -> Vec<f64> {
    numbers(&result["cells"][cell]["spike_times_ms"])
}

/// Reference numbers, section 2.
#[test]
fn the_default_cell_fires_as_the_textbook_says() {
    let result = simulate(Path::new("."), &["hodgkin-huxley"]);
    let expected = [
        1.9012, 16.8227, 31.4719, 46.1091, 60.7453, 75.3816, 90.0178, 104.6540, 119.2902, 133.9264,
    ];
    let found = spikes(&result, 0);
    assert_eq!(found.len(), 11, "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-4, "{found} {expected}");
    }
    let cell = &result["cells"][0];
    assert!((cell["rate_hz"].as_f64().unwrap() - 68.32).abs() < 0.01);
    for name in ["v", "m", "h", "n"] {
        assert!(cell["final_state"][name].is_f64(), "{cell}");
    }
    assert_eq!(result["duration_ms"], 150.0);
    assert_eq!(result["dt_ms"], 0.025);
    assert_eq!(result["solver"], "rk4");
    assert_eq!(result["device"], CPU);
    assert_eq!(result["seed"], 0);
    assert_eq!(result["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(result["config"]["unit"]["current"], 10.0, "{result}");
    assert_eq!(result["precision"], "f64");
    assert!(
        result["operations_per_step"].as_u64().unwrap() > 100,
        "{result}"
    );
    assert_eq!(result.as_object().unwrap().len(), 10, "{result}");
}

#[test]
fn the_cells_of_a_coupled_model_are_reported_with_their_spikes() {
    let result = simulate(Path::new("."), &["multi-granularity", "--duration", "60"]);
    let cells = result["spike_times_ms"]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 20);
    let spikes: usize = cells.iter().map(|cell| numbers(cell).len()).sum();
    assert!(spikes >= 20, "{result}");
    let rate = result["mean_rate_hz"]["cells"].as_f64().unwrap();
    let expected = spikes as f64 / 20.0 / 0.06;
    assert!((rate - expected).abs() < 1e-9, "{rate} {expected}");
}

/// Reference numbers, sections 2 and 3.
#[test]
fn rates_over_currents_are_those_of_the_reference() {
    let set = "unit.current=[7, 8, 10, 15, 20, 30]";
    let result = simulate(Path::new("."), &["fi-curve", "--set", set]);
    let expected = [58.33, 62.47, 68.32, 78.65, 86.47, 98.75];
    let cells = result["cells"].as_array().unwrap();
    assert_eq!(cells.len(), expected.len());
    for (cell, expected) in cells.iter().zip(expected) {
        let rate = cell["rate_hz"].as_f64().unwrap();
        assert!((rate - expected).abs() < 0.01, "{rate} {expected}");
    }
    let set = "unit.current=[10, 11, 14, 17, 20]";
    let result = simulate(Path::new("."), &["lif", "--set", set, "--dt", "0.37"]);
    let expected = [0.0, 34.507803, 57.052780, 72.082296, 83.811957];
    for (cell, expected) in result["cells"].as_array().unwrap().iter().zip(expected) {
        let rate = cell["rate_hz"].as_f64().unwrap();
        assert!((rate - expected).abs() < 1e-5, "{rate} {expected}");
    }
}

#[test]
fn single_precision_agrees() {
    let double = spikes(&simulate(Path::new("."), &["hodgkin-huxley"]), 0);
    let args = ["hodgkin-huxley", "--precision", "f32"];
    let single = spikes(&simulate(Path::new("."), &args), 0);
    assert_eq!(single.len(), double.len());
    for (a, b) in single.iter().zip(&double).take(10) {
        // Section 2: 1e-4 ms at a dt of 0.025 ms.
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    assert_ne!(single, double);
}

#[test]
fn a_gpu_computes_in_single_precision_only() {
    if !software_adapter(&devices()) {
        return;
    }
    let dir = Path::new(".");
    let args = ["simulate", "hodgkin-huxley", "--device", "wgpu:software"];
    let text = refused(dir, &[&args[..], &["--precision", "f64"]].concat(), 2);
    assert!(text.contains("--precision f32"), "{text}");
    let brief = [&args[..], &["--duration", "2", "--dt", "0.05", "--json"]].concat();
    let result = fine(dir, &brief).json().remove(0);
    let spikes = spikes(&result, 0);
    assert!((spikes[0] - 1.9012).abs() < 1e-3, "{spikes:?}");
    assert_eq!(result["device"], "wgpu:software");
}

fn finite(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Number(x) => x.as_f64().is_some_and(f64::is_finite),
        Value::Array(all) => all.iter().all(finite),
        Value::Object(all) => all.iter().all(|(key, value)| {
            ["interval_variation", "config"].contains(&key.as_str()) || finite(value)
        }),
        _ => true,
    }
}

#[test]
fn every_preset_runs_and_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let listed = fine(dir.path(), &["presets", "--json"]).json();
    assert!(listed.len() >= 10, "{listed:?}");
    let text = fine(dir.path(), &["presets"]).stdout;
    for preset in &listed {
        let name = preset["name"].as_str().unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains(preset["summary"].as_str().unwrap()));
        if preset["command"] != "simulate" {
            continue;
        }
        let (svg, csv) = (format!("{name}.svg"), format!("{name}.csv"));
        let args = [name, "--duration", "5", "--plot", &svg, "--out", &csv];
        let result = simulate(dir.path(), &args);
        assert!(finite(&result), "{result}");
        let drawn = std::fs::read_to_string(dir.path().join(&svg)).unwrap();
        assert!(drawn.starts_with("<svg") && !drawn.contains("NaN"));
        let table = std::fs::read_to_string(dir.path().join(&csv)).unwrap();
        assert!(table.starts_with("time (ms),"), "{name}");
        assert!(!table.contains("NaN"), "{name}");
    }
}

#[test]
fn a_printed_preset_is_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let text = fine(dir.path(), &["presets", "lif"]).stdout;
    std::fs::write(dir.path().join("cell.toml"), &text).unwrap();
    let own = simulate(dir.path(), &["cell.toml"]);
    assert_eq!(own, simulate(dir.path(), &["lif"]));
    let text = refused(dir.path(), &["presets", "life"], 2);
    assert!(text.contains("did you mean `lif`?"), "{text}");
}

#[test]
fn settings_reach_the_model() {
    let dir = Path::new(".");
    let base = spikes(&simulate(dir, &["hodgkin-huxley"]), 0);
    for set in [
        "unit.current=12",
        "unit.parameters.g_na=110",
        "unit.parameters.capacitance=1.1",
        "unit.spike_threshold=-20",
        "unit.initial.v=-70",
    ] {
        let other = spikes(&simulate(dir, &["hodgkin-huxley", "--set", set]), 0);
        assert!(!other.is_empty() && other != base, "{set}");
    }
    for (flag, value) in [("--solver", "heun"), ("--dt", "0.05"), ("--duration", "60")] {
        let other = spikes(&simulate(dir, &["hodgkin-huxley", flag, value]), 0);
        assert!(other != base, "{flag}");
    }
    let model = [
        "hodgkin-huxley",
        "--set",
        "unit.kind=adex",
        "--set",
        "unit.current=800",
    ];
    let other = simulate(dir, &model);
    assert!(other["cells"][0]["final_state"]["w"].is_f64(), "{other}");
    // What is taken back has the value of the preset.
    let same = ["hodgkin-huxley", "--set", "unit.current="];
    assert_eq!(spikes(&simulate(dir, &same), 0), base);
    let pulse = ["hodgkin-huxley", "--set", "unit.current=0", "--set"];
    let one = [
        &pulse[..],
        &[
            "stimulus.kind=pulse",
            "--set",
            "stimulus.amplitude=10",
            "--set",
            "stimulus.onset=30",
        ],
    ]
    .concat();
    let found = spikes(&simulate(dir, &one), 0);
    assert!(found.len() == 1 && found[0] > 30.0, "{found:?}");
}

#[test]
fn one_seed_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for preset in ["balanced-network", "wong-wang", "rate-sine"] {
        let file = |name: &str, seed: &str| {
            let args = [
                preset,
                "--duration",
                "40",
                "--out",
                name,
                "--seed",
                seed,
                "--plot",
                "a.png",
            ];
            let result = simulate(dir.path(), &args);
            let bytes = |name| std::fs::read(dir.path().join(name)).unwrap();
            (result, bytes(name), bytes("a.png"))
        };
        let first = file("a.npz", "3");
        assert!(first == file("b.npz", "3"), "{preset}");
        assert!(first.1 != file("c.npz", "4").1, "{preset}");
    }
}

/// One array of an uncompressed archive: shape and values.
fn array(bytes: &[u8], name: &str) -> (String, Vec<f64>) {
    let name = format!("{name}.npy");
    let position = |what: &[u8], from: usize| {
        let found = bytes[from..].windows(what.len()).position(|w| w == what);
        from + found.unwrap_or_else(|| panic!("{name}"))
    };
    let start = position(name.as_bytes(), 0) + name.len();
    assert_eq!(&bytes[start..start + 6], b"\x93NUMPY");
    let length = u16::from_le_bytes([bytes[start + 8], bytes[start + 9]]) as usize;
    let header = String::from_utf8(bytes[start + 10..start + 10 + length].to_vec()).unwrap();
    let shape = header.split("'shape': ").nth(1).unwrap();
    let shape = shape.split(')').next().unwrap().trim_start_matches('(');
    let count = shape
        .split(',')
        .filter_map(|n| n.trim().parse::<usize>().ok())
        .product::<usize>();
    let data = &bytes[start + 10 + length..][..8 * count];
    let values = data
        .chunks_exact(8)
        .map(|x| f64::from_le_bytes(x.try_into().unwrap()));
    (shape.to_string(), values.collect())
}

#[test]
fn recorded_arrays_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let set = "unit.current=[0, 10]";
    let args = [
        "hodgkin-huxley",
        "--set",
        set,
        "--duration",
        "20",
        "--out",
        "new/a.npz",
    ];
    let result = simulate(dir.path(), &args);
    let bytes = std::fs::read(dir.path().join("new/a.npz")).unwrap();
    let (shape, time) = array(&bytes, "time");
    assert_eq!((shape.as_str(), time.len()), ("801,", 801));
    assert!((time[800] - 20.0).abs() < 1e-9);
    let (shape, v) = array(&bytes, "v");
    assert_eq!(shape, "801,2,");
    // Section 2: the rest, and the last value as the result has it.
    assert!((v[0] + 64.99638).abs() < 1e-4 && (v[1600] + 64.99638).abs() < 1e-3);
    assert_eq!(
        Some(v[1601]),
        result["cells"][1]["final_state"]["v"].as_f64()
    );
    assert_eq!(array(&bytes, "spike_times").1, spikes(&result, 1));
    assert_eq!(array(&bytes, "spike_cells").1, [1.0, 1.0]);
    let left = std::fs::read_dir(dir.path().join("new")).unwrap().count();
    assert_eq!(left, 1);
}

/// A text of an uncompressed archive.
fn text(bytes: &[u8], name: &str) -> String {
    let name = format!("{name}.npy");
    let found = bytes.windows(name.len()).position(|w| w == name.as_bytes());
    let npy = &bytes[found.unwrap() + name.len()..];
    let length = u16::from_le_bytes([npy[8], npy[9]]) as usize;
    let header = String::from_utf8(npy[10..10 + length].to_vec()).unwrap();
    let count = header
        .split("<U")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let letters = npy[10 + length..]
        .chunks_exact(4)
        .take(count.parse().unwrap());
    let letter = |c: &[u8]| char::from_u32(u32::from_le_bytes(c.try_into().unwrap())).unwrap();
    letters.map(letter).collect()
}

#[test]
fn the_spikes_of_a_network_are_written_and_printed_with_what_made_them() {
    let dir = tempfile::tempdir().unwrap();
    let common = [
        "balanced-network",
        "--duration",
        "30",
        "--seed",
        "18446744073709551",
    ];
    let finished = fine(
        dir.path(),
        &[
            &["simulate"],
            &common[..],
            &["--out", "a.csv", "--device", CPU],
        ]
        .concat(),
    );
    for name in ["a.csv", "a.spikes.csv"] {
        assert!(
            finished.stdout.contains(&format!("wrote {name}\n")),
            "{}",
            finished.stdout
        );
    }
    let result = simulate(dir.path(), &[&common[..], &["--out", "a.npz"]].concat());
    let table = std::fs::read_to_string(dir.path().join("a.spikes.csv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("time (ms),cell,group"));
    let bytes = std::fs::read(dir.path().join("a.npz")).unwrap();
    let (times, cells) = (
        array(&bytes, "spike_times").1,
        array(&bytes, "spike_cells").1,
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.len() > 100 && rows.len() == times.len());
    for ((row, time), cell) in rows.iter().zip(&times).zip(&cells) {
        assert_eq!((row[0].parse(), row[1].parse()), (Ok(*time), Ok(*cell)));
        assert_eq!(
            row[2],
            if *cell < 800.0 {
                "excitatory"
            } else {
                "inhibitory"
            }
        );
    }
    let printed = |group: &str, cell: usize| numbers(&result["spike_times_ms"][group][cell]);
    for (group, cell, at) in [("excitatory", 3, 3.0), ("inhibitory", 7, 807.0)] {
        let own = times.iter().zip(&cells).filter(|(_, c)| **c == at);
        assert_eq!(
            printed(group, cell),
            own.map(|(t, _)| *t).collect::<Vec<_>>()
        );
    }
    assert_eq!(text(&bytes, "seed"), "18446744073709551");
    assert_eq!(text(&bytes, "granule_version"), env!("CARGO_PKG_VERSION"));
    let config: Value = serde_json::from_str(&text(&bytes, "config")).unwrap();
    assert_eq!(config, result["config"]);
    assert_eq!(config["network"]["excitatory"], 800);
    // A model without cells has no such file.
    simulate(dir.path(), &["mpr", "--duration", "5", "--out", "b.csv"]);
    assert!(!dir.path().join("b.spikes.csv").exists());
}

#[test]
fn places_are_tried_before_a_run_and_left_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a.spikes.csv")).unwrap();
    let hh = ["simulate", "hodgkin-huxley", "--duration", "1e7"];
    let mut places = vec![["--out", "a.csv"]];
    if cfg!(target_os = "linux") {
        places.extend([
            ["--out", "/proc/self/a.npz"],
            ["--plot", "/proc/self/a.png"],
        ]);
    }
    for place in places {
        let text = refused(dir.path(), &[&hh[..], &place].concat(), 2);
        assert!(text.contains(place[0]), "{text}");
    }
    let wrong = [
        "--out",
        "new/a.npz",
        "--plot",
        "new/a.svg",
        "--set",
        "unit.parameters.g_na=-1",
    ];
    refused(dir.path(), &[&hh[..], &wrong].concat(), 2);
    assert!(!dir.path().join("new").exists());
}

#[test]
fn quiet_prints_the_result_alone_but_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "simulate",
        "fi-curve",
        "--set",
        "unit.kind=lif",
        "--out",
        "a.csv",
        "--device",
        CPU,
    ];
    let loud = run(dir.path(), &args);
    assert!(loud.stderr.contains("note: ") && loud.stdout.contains("ran "));
    let quiet = fine(dir.path(), &[&args[..], &["--quiet"]].concat());
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.stdout.lines().count(), 24);
    assert!(loud.stdout.starts_with(&quiet.stdout));
    let both = fine(dir.path(), &[&args[..], &["--quiet", "--json"]].concat());
    assert_eq!((both.json().len(), both.stderr.as_str()), (1, ""));
}

#[test]
fn a_drive_beyond_all_measure_ends_soon() {
    let began = std::time::Instant::now();
    let set = "network.external_rate_ratio=1e15";
    let args = [
        "simulate",
        "balanced-network",
        "--duration",
        "20",
        "--set",
        set,
        "--device",
        CPU,
    ];
    run(Path::new("."), &args);
    assert!(began.elapsed().as_secs() < 60);
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    std::fs::write(
        dir.path().join("two.toml"),
        "[unit]\nkind = \"lif\"\n[population]\n",
    )
    .unwrap();
    let hh = "hodgkin-huxley";
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["hodgkin-huxly"],
            &["neither a preset", "did you mean `hodgkin-huxley`?"],
        ),
        (
            &[hh, "--set", "unit.parameters.g_naa=1"],
            &[
                "`unit.parameters.g_naa`",
                "--set",
                "did you mean `unit.parameters.g_na`?",
            ],
        ),
        (
            &[hh, "--set", "unit.curent=1"],
            &["`unit.curent`", "did you mean `unit.current`?"],
        ),
        (
            &[hh, "--set", "unit.knd=lif"],
            &["`unit.knd`", "did you mean `unit.kind`?"],
        ),
        (
            &[hh, "--duration", "1e300"],
            &["duration = 1e300", "2^32 steps", "from the flags"],
        ),
        (
            &[hh, "--set", "unit.kind=lif", "--solver", "rk4"],
            &["solver = rk4", "exact", "from the flags"],
        ),
        (
            &["multi-granularity", "--set", "composite.level.cels.dt=1"],
            &["`composite.level` has no element `cels`", "0 (cells)"],
        ),
        (
            &[hh, "--set", "durations=1"],
            &["`durations`", "did you mean `duration`?"],
        ),
        (
            &[hh, "--set", "unit.parameters.g_na=abc"],
            &["`unit.parameters.g_na` is \"abc\", but must be a number"],
        ),
        (
            &[hh, "--set", "unit.kind=hodgkin"],
            &["hodgkin", "did you mean `hodgkin-huxley`?"],
        ),
        (
            &[hh, "--set", "unit.parameters.capacitance=-1"],
            &["unit.parameters.capacitance = -1", "above 0"],
        ),
        (
            &["lif", "--set", "unit.parameters.time_constant=-5"],
            &["unit.parameters.time_constant = -5"],
        ),
        (
            &["rate-sine", "--set", "population.time_constant=-5"],
            &["population.time_constant = -5"],
        ),
        (
            &["mpr", "--set", "system.time_constant=0"],
            &["system.time_constant = 0"],
        ),
        (
            &["balanced-network", "--set", "network.delay=0.01"],
            &["network.delay = 0.01", "dt = 0.1"],
        ),
        (
            &[hh, "--solver", "rk5"],
            &["`solver` has no choice `rk5`", "rk4"],
        ),
        (&["lif", "--solver", "rk4"], &["solver = rk4", "exact"]),
        (
            &["adex", "--solver", "exponential-euler"],
            &["exponential-euler", "adex"],
        ),
        (&[hh, "--dt", "-1"], &["dt = -1"]),
        (
            &[hh, "--duration", "0.01"],
            &["duration = 0.01", "dt = 0.025"],
        ),
        (&[hh, "--duration", "nan"], &["duration = NaN"]),
        (
            &[hh, "--set", "record.variables=[\"w\"]"],
            &["record.variables = w", "v, m, h, n"],
        ),
        (
            &["whole-brain", "--set", "system.nodes=3"],
            &["connectivity.weights", "10 rows", "system.nodes"],
        ),
        (&[hh, "--out", "a.txt"], &["a.txt", ".npz or .csv"]),
        (&[hh, "--plot", "a.jpg"], &["a.jpg", ".svg or .png"]),
        (&[hh, "--out", "file/a.npz"], &["file", "not a folder"]),
        (&[hh, "--plot", "/dev/null/a.svg"], &["/dev/null"]),
        (
            &["rate-sine", "--dt", "30"],
            &["dt = 30", "from the flags", "time constant"],
        ),
        (&["two.toml"], &["2 tables", "exactly one of"]),
        (&["absent.toml"], &["absent.toml"]),
        (
            &[
                hh,
                "--set",
                "stimulus.kind=step",
                "--set",
                "stimulus.amplitude=[1,2,3]",
            ],
            &["stimulus.amplitude"],
        ),
    ];
    for (args, parts) in cases {
        let command = [&["simulate"], *args].concat();
        let text = refused(dir.path(), &command, 2);
        for part in *parts {
            assert!(text.contains(part), "{args:?} {part}: {text}");
        }
    }
    let unstable = [
        "simulate", hh, "--dt", "2", "--solver", "euler", "--device", CPU,
    ];
    let text = refused(dir.path(), &unstable, 1);
    for part in ["no longer finite at t = ", "smaller dt"] {
        assert!(text.contains(part), "{text}");
    }
    for (preset, dt, variable) in [("jansen-rit", "100", "y"), ("wong-wang", "500", "s")] {
        let unstable = ["simulate", preset, "--dt", dt, "--device", CPU];
        let text = refused(dir.path(), &unstable, 1);
        let begin = format!("error: {variable}");
        for part in [
            begin.as_str(),
            " at t = ",
            "unit 0",
            "blows up",
            "smaller dt",
        ] {
            assert!(text.contains(part), "{preset}: {text}");
        }
    }
}

#[test]
fn another_model_takes_over_what_it_knows() {
    let dir = Path::new(".");
    let args = [
        "simulate",
        "fi-curve",
        "--set",
        "unit.kind=lif",
        "--device",
        CPU,
    ];
    let finished = run(dir, &args);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("note: "), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("`solver` = rk4"),
        "{}",
        finished.stderr
    );
    assert_eq!(
        finished.stdout.matches("µA/cm²:").count(),
        24,
        "{}",
        finished.stdout
    );
}

#[test]
fn a_cell_that_fell_silent_has_no_rate_in_words_and_figure() {
    let dir = tempfile::tempdir().unwrap();
    let set = "unit.current=[6, 10]";
    let args = [
        "simulate", "fi-curve", "--set", set, "--plot", "f.svg", "--device", CPU,
    ];
    let finished = run(dir.path(), &args);
    let line = |start: &str| {
        let found = finished.stdout.lines().find(|line| line.contains(start));
        found
            .unwrap_or_else(|| panic!("{start}: {}", finished.stdout))
            .to_string()
    };
    assert!(line("6 µA/cm²: ").contains("then silent: 0 Hz at the end"));
    assert!(line("10 µA/cm²: ").ends_with(" Hz in the mean"));
    let result = simulate(dir.path(), &["fi-curve", "--set", set]);
    assert_eq!(result["cells"][0]["rate_hz"], 0.0);
    let count = spikes(&result, 0).len() as f64;
    let mean = result["cells"][0]["mean_rate_hz"].as_f64().unwrap();
    assert!(count > 1.0 && (mean - count / 0.3).abs() < 1e-9, "{mean}");
}

#[test]
fn a_step_that_is_too_long_for_the_model_is_warned_of() {
    for (args, limit) in [
        (["izhikevich", "--dt", "5"], "take at most 1 ms"),
        (["jansen-rit", "--dt", "25"], "take at most 5 ms"),
        (["adex", "--dt", "3"], "take at most 2.3 ms"),
    ] {
        let finished = run(Path::new("."), &[&["simulate"], &args[..]].concat());
        let text = &finished.stderr;
        assert!(
            text.contains("warning: dt = ") && text.contains(limit),
            "{text}"
        );
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_what_there_is() {
    use std::process::Stdio;

    for signal in ["-INT", "-HUP"] {
        let dir = tempfile::tempdir().unwrap();
        let args = [
            "simulate",
            "hodgkin-huxley",
            "--duration",
            "1e6",
            "--json",
            "--out",
            "a.csv",
        ];
        let settings = ["--device", CPU, "--set", "record.every=1000"];
        let child = granule(dir.path())
            .args(args)
            .args(settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_secs(4));
        let status = std::process::Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        let finished = Finished::from(child.wait_with_output().unwrap());
        assert_eq!(finished.code, Some(130), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("interrupted at"),
            "{}",
            finished.stderr
        );
        let result = finished.json().remove(0);
        let reached = result["duration_ms"].as_f64().unwrap();
        assert!(reached > 1.0 && reached < 1e6, "{reached}");
        assert!(!spikes(&result, 0).is_empty());
        assert!(dir.path().join("a.csv").is_file());
    }
}

/// The folder becomes a file while the run is under way.
#[cfg(unix)]
#[test]
fn a_result_that_cannot_be_written_is_printed() {
    use std::process::Stdio;

    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("new")).unwrap();
    let args = "simulate hodgkin-huxley --duration 1e6 --json --out new/a.csv --plot b.svg --set record.every=1000";
    let child = granule(dir.path())
        .args(args.split(' '))
        .args(["--device", CPU])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    std::fs::remove_dir(dir.path().join("new")).unwrap();
    std::fs::write(dir.path().join("new"), "").unwrap();
    let id = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .unwrap();
    let finished = Finished::from(child.wait_with_output().unwrap());
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("error: ") && finished.stderr.contains("new"),
        "{}",
        finished.stderr
    );
    assert!(finished.json()[0]["duration_ms"].as_f64().unwrap() > 1.0);
    assert!(dir.path().join("b.svg").is_file());
}

#[test]
fn without_json_a_person_reads_the_result() {
    let text = run(Path::new("."), &["simulate", "hodgkin-huxley", "--quiet"]).stdout;
    for part in ["11 spikes", "68.32 Hz", "16.822"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// The name of a cell or system that no preset is called after.
#[test]
fn a_model_without_a_preset_says_how_it_is_run() {
    let dir = tempfile::tempdir().unwrap();
    for (name, way) in [
        ("qif", "granule simulate lif --set unit.kind=qif"),
        (
            "stuart-landau",
            "granule simulate jansen-rit --set system.kind=stuart-landau",
        ),
    ] {
        let text = refused(dir.path(), &["simulate", name], 2);
        assert!(text.contains(way), "{text}");
        let words: Vec<&str> = way
            .split(' ')
            .skip(1)
            .chain(["--duration", "20", "-q"])
            .collect();
        fine(dir.path(), &words);
    }
}

#[test]
fn a_stimulus_acts_when_its_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let rows = |times: &[f64]| {
        let rows: String = times.iter().map(|time| format!("{time},20\n")).collect();
        std::fs::write(at.join("i.csv"), format!("time (ms),i (µA/cm²)\n{rows}")).unwrap();
    };
    let cell = [
        "simulate",
        "hodgkin-huxley",
        "--duration",
        "60",
        "--set",
        "unit.current=0",
        "--set",
        "stimulus.kind=file",
        "--set",
        "stimulus.file=i.csv",
    ];
    let first = |more: &[&str]| {
        let finished = fine(at, &[&cell[..], more, &["--json"]].concat());
        let spikes = spikes(&finished.json()[0], 0);
        (spikes.first().copied(), finished.stderr)
    };
    rows(&[20.0, 25.0, 60.0]);
    let (late, told) = first(&[]);
    assert!(late.unwrap() > 20.0 && late.unwrap() < 25.0, "{late:?}");
    assert!(told.contains("i.csv begins at 20 ms"), "{told}");
    let (early, told) = first(&["--set", "stimulus.onset=0"]);
    assert!(
        (late.unwrap() - early.unwrap() - 20.0).abs() < 0.05,
        "{early:?} {late:?}"
    );
    assert!(!told.contains("begins at"), "{told}");
    rows(&[80.0, 90.0]);
    let (none, told) = first(&[]);
    assert!(
        none.is_none() && told.contains("warning: the stimulus begins at 80 ms"),
        "{told}"
    );
    std::fs::write(
        at.join("i.csv"),
        "# from the rig\ntime (ms),i\n0,1\n\n2,1\n1,1\n",
    )
    .unwrap();
    let error = refused(at, &cell, 1);
    assert!(
        error.contains("i.csv") && error.contains("(line 6): 1 ms after 2 ms"),
        "{error}"
    );
    let far = [
        "--set",
        "stimulus.kind=sine",
        "--set",
        "stimulus.onset=-1e15",
    ];
    let error = refused(at, &[&["simulate", "hodgkin-huxley"], &far[..]].concat(), 2);
    assert!(error.contains("stimulus.onset"), "{error}");
}

#[test]
fn a_read_out_that_is_set_is_recorded_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let simulate = ["simulate", "jansen-rit", "--json", "--set", "readout=rate"];
    let shown = fine(at, &simulate);
    assert!(shown.json()[0]["mean"]["rate"].is_f64(), "{}", shown.stdout);
    assert!(
        shown.stderr.contains("record.variables"),
        "{}",
        shown.stderr
    );
    let named = ["--set", "record.variables=[\"y1\"]"];
    let error = refused(at, &[&simulate[..], &named].concat(), 2);
    assert!(
        error.contains("readout") && error.contains("record.variables"),
        "{error}"
    );
    let both = ["--set", "record.variables=[\"rate\", \"y1\"]"];
    let both = fine(at, &[&simulate[..], &both].concat()).json();
    assert_eq!(both[0]["mean"].as_object().unwrap().len(), 2);
}

#[test]
fn results_replace_nothing_that_is_not_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("i.csv"), "20\n").unwrap();
    let simulate = [
        "simulate",
        "lif",
        "--set",
        "unit.current.file=i.csv",
        "--out",
    ];
    let out = |name: &'static str| [&simulate[..], &[name]].concat();
    let error = refused(at, &out("i.csv"), 2);
    assert!(
        error.contains("i.csv") && error.contains("was read"),
        "{error}"
    );
    assert_eq!(std::fs::read(at.join("i.csv")).unwrap(), b"20\n");
    // The table of spikes, which nobody named, takes the place of another such table alone.
    std::fs::write(at.join("q.spikes.csv"), "mine").unwrap();
    let error = refused(at, &out("q.csv"), 2);
    assert!(error.contains("q.spikes.csv"), "{error}");
    assert!(!at.join("q.csv").exists());
    assert_eq!(std::fs::read(at.join("q.spikes.csv")).unwrap(), b"mine");
    std::fs::remove_file(at.join("q.spikes.csv")).unwrap();
    fine(at, &out("q.csv"));
    fine(at, &out("q.csv"));
    // Beside the result of a model without spikes there are none of an earlier run.
    assert!(at.join("q.spikes.csv").exists());
    let system = ["simulate", "mpr", "--duration", "5", "--out", "q.csv"];
    fine(at, &system);
    assert!(at.join("q.csv").exists() && !at.join("q.spikes.csv").exists());
    // A pipe there is not waited for.
    #[cfg(unix)]
    {
        let pipe = at.join("q.spikes.csv");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(refused(at, &system, 2).contains("q.spikes.csv"));
        std::fs::remove_file(pipe).unwrap();
    }
    // A result is simulated again, but not into itself.
    fine(at, &["simulate", "lif", "--out", "lif.npz", "-q"]);
    fine(at, &["simulate", "lif.npz", "--out", "other.npz", "-q"]);
    let single = [
        "simulate",
        "lif",
        "--precision",
        "f32",
        "--out",
        "lif.npz",
        "-q",
    ];
    fine(at, &single);
    let again = fine(at, &["simulate", "lif.npz", "--json", "-q"]);
    let mut result = again.json().pop().unwrap();
    assert_eq!(result["precision"], "f32");
    // Without what no setting can say it would be another model.
    result["learnt_without_setting"] = vec!["composite.coupler.0.weights"].into();
    std::fs::write(at.join("trained.json"), result.to_string()).unwrap();
    let error = refused(at, &["simulate", "trained.json"], 2);
    assert!(
        error.contains("composite.coupler.0.weights") && error.contains("granule simulate RUN"),
        "{error}"
    );
    let error = refused(at, &["simulate", "lif.npz", "--out", "lif.npz"], 2);
    assert!(error.contains("was read"), "{error}");
}

#[test]
fn a_result_of_another_form_is_told_in_words_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let config = r#"{"dt": 0.1, "duration": 5, "unit": {"kind": "lif"}}"#;
    let whole = format!("\u{feff}{{\"config\": {config}}}");
    std::fs::write(at.join("a.json"), whole).unwrap();
    fine(at, &["simulate", "a.json", "-q"]);
    for (text, said) in [
        ("{}", "it lacks \"config\""),
        ("3", "it is 3, not a table"),
        ("{\"config\": 3}", "its config is no table"),
        ("{\"config\": {\"dt\"", "it is cut off"),
        ("hello", "it is no JSON from line 1, column 1 on"),
        (
            "{\"config\": {}, \"precision\": 5}",
            "`precision` is 5, not a name",
        ),
        (
            "{\"config\": {}, \"precision\": \"f9\"}",
            "the choices are f32, f64",
        ),
        (
            "{\"config\": {\"seed\": 9223372036854775808}}",
            "`config.seed` is 9223372036854775808, which must be at most 9223372036854775807",
        ),
        (
            "{\"config\": {\"dt\": 1, \"dt\": 2}}",
            "`config` has \"dt\" twice",
        ),
    ] {
        std::fs::write(at.join("b.json"), text).unwrap();
        let damaged = said.contains("cut off") || said.contains("no JSON");
        let error = refused(at, &["simulate", "b.json"], if damaged { 1 } else { 2 });
        assert!(error.contains(said), "{text}: {error}");
        for foreign in ["struct", "field", "enum", "EOF"] {
            assert!(!error.contains(foreign), "{text}: {error}");
        }
    }
}

#[test]
fn a_damaged_precision_in_a_result_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let args = "simulate lif --duration 5 --precision f32 --out a.npz -q";
    fine(at, &args.split(' ').collect::<Vec<_>>());
    let mut bytes = std::fs::read(at.join("a.npz")).unwrap();
    let find = |bytes: &[u8], what: &[u8], from: usize| {
        let found = bytes[from..]
            .windows(what.len())
            .position(|part| part == what);
        from + found.unwrap()
    };
    let member = find(&bytes, b"precision.npy", 0);
    let array = find(&bytes, b"\x93NUMPY", member);
    let header = u16::from_le_bytes([bytes[array + 8], bytes[array + 9]]);
    bytes[array + 10 + usize::from(header)] ^= 1;
    std::fs::write(at.join("b.npz"), bytes).unwrap();
    let error = refused(at, &["simulate", "b.npz"], 1);
    assert!(
        error.contains("precision") && error.contains("b.npz"),
        "{error}"
    );
}

#[test]
fn what_is_taken_back_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for key in ["durations", "nonesuch.key", "unit.currents"] {
        let set = format!("{key}=");
        let text = refused(at, &["simulate", "hodgkin-huxley", "--set", &set], 2);
        assert!(
            text.contains("key") && text.contains(key.split('.').next().unwrap()),
            "{text}"
        );
    }
    let text = refused(at, &["train", "mlp", "--set", "nonesuch.key="], 2);
    assert!(text.contains("nonesuch"), "{text}");
    let without = "simulate hodgkin-huxley --duration 1 --set solver=euler --set solver= --set dt=";
    fine(at, &without.split(' ').collect::<Vec<_>>());
}

/// A recording goes in, and the values that made it come out, with errors, figures and tables.
#[test]
fn a_cell_is_fitted_to_its_recording() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let record = [
        "simulate",
        "hodgkin-huxley",
        "--duration",
        "20",
        "--out",
        "v.csv",
    ];
    fine(
        at,
        &[&record[..], &["--set", "record.variables=[\"v\"]"]].concat(),
    );
    let fit = [
        "analyze",
        "fit",
        "hodgkin-huxley",
        "--duration",
        "20",
        "--set",
        "unit.parameters.g_na=110",
        "--with",
        "recording=v.csv",
        "--with",
        "noise=0.5",
        "--with",
        "parameters=[\"unit.parameters.g_na=60..240:log\", \"unit.parameters.g_k\"]",
    ];
    let more = [
        "--json",
        "--with",
        "profile=3",
        "--plot",
        "fit.svg",
        "--out",
        "fit.npz",
    ];
    let found = fine(at, &[&fit[..], &more].concat()).json().remove(0);
    let rows = found["tables"]["parameters"].as_array().unwrap();
    for (row, truth) in rows.iter().zip([120.0, 36.0]) {
        assert!(
            (row["value"].as_f64().unwrap() / truth - 1.0).abs() < 1e-5,
            "{row}"
        );
        assert_eq!(row["determined"], "yes");
    }
    assert_eq!(found["tables"]["profiles"].as_array().unwrap().len(), 6);
    assert_eq!(found["arrays"]["JᵀJ"]["shape"], serde_json::json!([2, 2]));
    assert!(at.join("fit.svg").is_file() && at.join("fit.npz").is_file());
    // What it says at its end gives the recording again.
    let shown = fine(at, &fit).stdout;
    let set = shown.lines().last().unwrap();
    assert!(set.starts_with("--set unit.parameters.g_na="), "{shown}");
    for (wrong, expected) in [
        ("parameters=[\"unit.parameters.gna=1..2\"]", "gna"),
        ("recording=other.csv", "other.csv"),
        ("noise=-1", "--with noise"),
        ("height=1", "height"),
    ] {
        let args = [&fit[..], &["--with", wrong]].concat();
        let error = refused(at, &args, 2);
        assert!(error.contains(expected), "{wrong}: {error}");
    }
}

/// A file `.npy` of the numbers that are written here.
fn npy(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    let values = bytes[128..].chunks_exact(8);
    values
        .map(|x| f64::from_le_bytes(x.try_into().unwrap()))
        .collect()
}

#[test]
fn a_record_goes_to_a_folder_while_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let common = ["balanced-network", "--duration", "200"];
    let kept = simulate(at, &[&common[..], &["--out", "a.npz"]].concat());
    let told = simulate(
        at,
        &[
            &common[..],
            &["--stream", "new/a", "--save-state", "a.json"],
        ]
        .concat(),
    );
    let bytes = std::fs::read(at.join("a.npz")).unwrap();
    let names = ["time", "v", "spike_times", "spike_cells"];
    for name in names {
        let found = npy(&at.join(format!("new/a/{name}.npy")));
        assert_eq!(found, array(&bytes, name).1, "{name}");
    }
    // What is printed is what stands beside the arrays; the times of spikes are in these.
    let beside = std::fs::read_to_string(at.join("new/a/run.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&beside).unwrap(), told);
    assert_eq!(told["mean_rate_hz"], kept["mean_rate_hz"]);
    assert_eq!(told["mean"], kept["mean"]);
    assert!(told.get("spike_times_ms").is_none());
    let cell = simulate(at, &["hodgkin-huxley", "--stream", "cell"]);
    let spikes = npy(&at.join("cell/spike_times.npy"));
    assert!(cell["cells"][0].get("spike_times_ms").is_none() && spikes.len() > 3);
    let again = simulate(at, &["hodgkin-huxley"]);
    assert_eq!(numbers(&again["cells"][0]["spike_times_ms"]), spikes);
    assert_eq!(again["cells"][0]["rate_hz"], cell["cells"][0]["rate_hz"]);

    std::fs::write(at.join("file"), "").unwrap();
    for (folder, said) in [
        ("cell", "--stream cell: this folder is not empty"),
        ("file", "--stream file: "),
        ("file/a", "--stream file/a: "),
    ] {
        let error = refused(at, &["simulate", "lif", "--stream", folder], 2);
        assert!(error.contains(said), "{error}");
    }
    for other in [["--out", "b.npz"], ["--plot", "b.svg"]] {
        let args = [&["simulate", "lif", "--stream", "b"], &other[..]].concat();
        let error = refused(at, &args, 2);
        assert!(error.contains("cannot be used with"), "{error}");
        assert!(!at.join("b").exists());
    }
    for place in ["c/state.json", "c/time.npy"] {
        let args = ["simulate", "lif", "--stream", "c", "--save-state", place];
        let error = refused(at, &args, 2);
        assert!(error.contains("among the arrays of --stream c"), "{error}");
    }
    // More than may be kept.
    let long = ["simulate", "hodgkin-huxley", "--duration", "4e6"];
    let error = refused(at, &long, 2);
    assert!(error.contains("--stream FOLDER"), "{error}");
}

#[test]
fn edges_of_a_sonata_file_are_a_projection() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../granule-data/tests/fixtures");
    for name in ["edges.h5", "edge_types.csv"] {
        std::fs::copy(fixtures.join(name), at.join(name)).unwrap();
    }
    let circuit = |projection: &str| {
        format!(
            r#"
            duration = 30.0
            dt = 0.2
            [[population]]
            name = "e"
            size = 4
            cell = "spikes"
            train = {{ times = [1.0, 5.0, 9.0, 13.0], cells = [0, 1, 2, 3] }}
            [[population]]
            name = "i"
            size = 3
            cell = "lif"
            [[projection]]
            from = "e"
            to = "i"
            {projection}
            "#
        )
    };
    let run = |name: &str, projection: &str| {
        std::fs::write(at.join(name), circuit(projection)).unwrap();
        simulate(at, &[name])
    };
    let told = run(
        "sonata.toml",
        r#"sonata = { edges = "edges.h5", types = "edge_types.csv", population = "e_to_i" }"#,
    );
    let listed = run(
        "list.toml",
        "rule = { kind = \"list\", pre = [0, 1, 2, 2, 3], post = [1, 0, 0, 2, 1] }\n\
         weight = [0.25, 1.0, 3.0, 3.0, 4.5]\ndelay = [2.0, 2.0, 0.8, 0.8, 2.0]",
    );
    assert_eq!(told, listed);
    // What the projection says itself counts, and cells are counted from the first node.
    let own = run(
        "own.toml",
        r#"sonata = { edges = "edges.h5", types = "edge_types.csv", population = "e_to_i", targets = [1, 3] }
           weight = 2.0"#,
    );
    let projection = &own["config"]["circuit"]["projection"][0];
    assert_eq!(numbers(&projection["rule"]["post"]), [0.0, 1.0, 0.0]);
    assert_eq!(projection["weight"], 2.0);
    // By a flag as well, and the file's path is that from its folder.
    std::fs::create_dir(at.join("sub")).unwrap();
    std::fs::rename(at.join("own.toml"), at.join("sub/own.toml")).unwrap();
    for name in ["edges.h5", "edge_types.csv"] {
        std::fs::copy(at.join(name), at.join("sub").join(name)).unwrap();
    }
    let set = "circuit.projection.0.sonata.targets=[0,1]";
    let changed = simulate(at, &["sub/own.toml", "--set", set]);
    let rule = &changed["config"]["circuit"]["projection"][0]["rule"];
    assert_eq!(numbers(&rule["pre"]), [1.0, 2.0]);
    let set = "circuit.projection.0.rule.kind=all-to-all";
    let error = refused(at, &["simulate", "sonata.toml", "--set", set], 2);
    assert!(error.contains("has a rule as well"), "{error}");

    for (projection, code, parts) in [
        (
            r#"sonata = { edges = "absent.h5" }"#,
            2,
            &["circuit.projection.0.sonata", "absent.h5"][..],
        ),
        (
            r#"sonata = { edges = "edges.h5" }"#,
            2,
            &["edges.h5", "e_to_i, x_to_e"],
        ),
        (
            r#"sonata = { edge = "edges.h5" }"#,
            2,
            &["circuit.projection.0.sonata", "edge"],
        ),
        (
            "sonata = { edges = \"edges.h5\", population = \"e_to_i\" }\nrule = { kind = \"all-to-all\" }",
            2,
            &["has a rule as well"],
        ),
        // Nodes that are no cells.
        (
            "sonata = { edges = \"edges.h5\", types = \"edge_types.csv\", population = \"x_to_e\" }\nweight = 1.0",
            2,
            &["rule.pre", "10", "edges.h5"],
        ),
    ] {
        std::fs::write(at.join("wrong.toml"), circuit(projection)).unwrap();
        let error = refused(at, &["simulate", "wrong.toml"], code);
        for part in parts {
            assert!(error.contains(part), "{projection}: {error}");
        }
    }
}
