//! A model of several levels: simulated, fitted to the recording, scored and simulated again.

use std::path::Path;

use crate::support::{fine, refused};

/// The configuration of the examples, with other couplings.
fn example(gains: Option<[&str; 2]>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/three_levels.toml");
    let text = std::fs::read_to_string(path).unwrap();
    match gains {
        None => text,
        Some([up, drive]) => {
            assert!(text.contains("gain = 1.5") && text.contains("gain = 6.5"));
            let text = text.replace("gain = 1.5", &format!("gain = {up}"));
            text.replace("gain = 6.5", &format!("gain = {drive}"))
        }
    }
}

#[test]
fn a_model_of_several_levels_finds_its_couplings() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("truth.toml"), example(Some(["3", "4"]))).unwrap();
    std::fs::write(at.join("guess.toml"), example(None)).unwrap();
    let simulate = "simulate truth.toml --duration 20 --out recording.npz --json";
    let train = "train guess.toml --epochs 40 --device flex --run-dir run --json";
    let words = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
    fine(at, &words(simulate));
    let finished = fine(at, &words(train));
    let told = &finished.json()[1];
    assert_eq!(told["event"], "recording", "{told}");
    assert_eq!((&told["samples"], &told["trials"]), (&41.into(), &1.into()));
    let result = finished.result();
    let found = |index: usize| result["trained"][index]["after"][0].as_f64().unwrap();
    assert!((found(0) / 3.0 - 1.0).abs() < 0.05, "{result}");
    assert!((found(1) / 4.0 - 1.0).abs() < 0.1, "{result}");
    assert!(result["r2"].as_f64().unwrap() > 0.8, "{result}");

    let again = fine(at, &["eval", "run", "--device", "flex", "--json"]).result();
    for key in ["test_loss", "r2", "trained", "test_samples", "epochs"] {
        assert_eq!(again[key], result[key], "{key}");
    }
    let shown = fine(at, &["eval", "run", "--device", "ndarray"]).stdout;
    assert!(
        shown.contains("cells.v") && shown.contains("1.5000 → "),
        "{shown}"
    );

    // The trained model, from the run, goes on for longer than its recording.
    let plot = "simulate run --duration 30 --plot model.svg --out model.npz";
    fine(at, &words(plot));
    let before = fine(
        at,
        &["simulate", "guess.toml", "--duration", "30", "--json"],
    )
    .stdout;
    let after = fine(at, &["simulate", "run", "--duration", "30", "--json"]).stdout;
    assert_ne!(before, after);
    assert!(at.join("model.svg").is_file() && at.join("model.npz").is_file());
    // What is written beside the result is what was simulated, and gives it again.
    let of_run = fine(at, &["simulate", "run", "--duration", "30", "--json"]).json();
    let config = &of_run[0]["config"];
    let gain = |config: &serde_json::Value, index: usize| {
        config["composite"]["coupler"][index]["projection"]["mean"]["gain"].clone()
    };
    for index in [0, 1] {
        let written = gain(config, index).as_f64().unwrap();
        assert!((written / found(index) - 1.0).abs() < 1e-5, "{config}");
    }
    // What is set takes the place of what was learnt, also where it is what training began with.
    for (value, index) in [("1.5", 0), ("9", 1)] {
        let key = format!("composite.coupler.{index}.projection.mean.gain");
        let set = format!("{key}={value}");
        let args = [
            "simulate",
            "run",
            "--duration",
            "30",
            "--json",
            "--set",
            &set,
        ];
        let other = fine(at, &args);
        assert!(
            other.stderr.contains(&key) && other.stderr.contains("in place of what was learnt"),
            "{}",
            other.stderr
        );
        let other = &other.json()[0];
        assert_eq!(gain(&other["config"], index), value.parse::<f64>().unwrap());
        assert_ne!(other["mean"], of_run[0]["mean"], "{set}");
    }
    // The noise of the run is another with another seed, and the weights stay, those drawn in single precision.
    let args = [
        "simulate",
        "run",
        "--duration",
        "30",
        "--json",
        "--seed",
        "3",
    ];
    let seeded = &fine(at, &args).json()[0]["mean"]["system.x"];
    let ratio = seeded.as_f64().unwrap() / of_run[0]["mean"]["system.x"].as_f64().unwrap();
    assert!((ratio - 1.0).abs() < 1e-5, "{ratio}");
    // The weights of a population that has learnt are no setting, and those of one that has not are as they are set.
    let drawn = "composite.level.population.population.initialization.gaussian=3";
    fine(at, &["simulate", "run", "--set", drawn]);
    let turns = ["--set", "train.turns=[[\"population\"]]"];
    let train = words("train guess.toml --epochs 3 --device flex --run-dir drawn");
    fine(at, &[&train[..], &turns].concat());
    let error = refused(at, &["simulate", "drawn", "--set", drawn], 2);
    assert!(error.contains("replace the learnt \"levels.1."), "{error}");
    let sizes = ["simulate", "run", "--set", "composite.couplers=1"];
    assert!(refused(at, &sizes, 2).contains("couplers"));

    // From where training left it the couplings come to those of the recording, of which errors are told.
    let fit = "analyze fit run --with noise=[0.5,0.01,0.01] --json";
    let fitted = fine(at, &words(fit)).json().remove(0);
    let rows = fitted["tables"]["parameters"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "{fitted}");
    for (row, truth) in rows.iter().zip([3.0, 4.0]) {
        let key = row["parameter"].as_str().unwrap();
        assert!(key.starts_with("composite.coupler."), "{row}");
        assert!(
            (row["value"].as_f64().unwrap() / truth - 1.0).abs() < 1e-3,
            "{row}"
        );
        assert!(row["standard error"].as_f64().unwrap() > 0.0, "{row}");
    }
    // A run that has learnt nothing has nothing to fit.
    let drawn = refused(at, &["analyze", "fit", "drawn"], 2);
    assert!(drawn.contains("parameters"), "{drawn}");

    let error = refused(at, &["predict", "run", "a.npy"], 1);
    assert!(error.contains("granule eval"), "{error}");
    let error = refused(at, &["eval", "run", "--dataset", "mnist"], 2);
    assert!(error.contains("recording"), "{error}");
    let error = refused(
        at,
        &["eval", "run/../run/model.granule", "--device", "nix"],
        2,
    );
    assert!(error.contains("nix"), "{error}");
}

/// Fitted to a recording of what it did when it was driven, a model does it again.
#[test]
fn a_fit_to_a_driven_recording_is_simulated_with_its_stimulus() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let model = |gain: &str| {
        format!(
            "[model]\nkind = \"multi-granularity\"\ndt = 0.5\n[[model.level]]\nname = \"in\"\nexternal = true\n\
             solver = \"rk4\"\n[model.level.system]\nkind = \"linear\"\na = [[-0.1]]\nb = [[1.0]]\n\
             [[model.level]]\nname = \"out\"\nsolver = \"rk4\"\n[model.level.system]\nkind = \"linear\"\na = [[-0.2]]\n\
             b = [[1.0]]\n[[model.coupler]]\nfrom = \"in.x\"\nto = \"out\"\nconversion = {{ kind = \"scale\", from = \"1\", to = \"1\", factor = 1.0 }}\n\
             projection = {{ mean = {{ gain = {gain} }} }}\n[data.recording]\nfile = \"r.npz\"\n\
             [optimizer]\nkind = \"adam\"\nlr = 0.05\n"
        )
    };
    std::fs::write(at.join("truth.toml"), model("2.0")).unwrap();
    std::fs::write(at.join("guess.toml"), model("1.0")).unwrap();
    let words = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
    let driven = "simulate truth.toml --duration 60 --out r.npz --set stimulus.kind=sine --set stimulus.frequency=40";
    fine(at, &words(driven));
    let train = words("train guess.toml --device flex --run-dir run");
    let finished = fine(at, &train);
    assert!(
        finished.stdout.contains("granule simulate run"),
        "{}",
        finished.stdout
    );
    assert!(
        !finished.stderr.contains("not followed to its noise"),
        "{}",
        finished.stderr
    );
    let shown = fine(at, &words("simulate run --out again.npz --json"));
    assert!(
        shown
            .stderr
            .contains("the one that the model was fitted with"),
        "{}",
        shown.stderr
    );
    let result = &shown.json()[0];
    let last = |result: &serde_json::Value| result["final_state"]["out.x"][0].as_f64().unwrap();
    let truth = words(
        "simulate truth.toml --duration 60 --json --set stimulus.kind=sine --set stimulus.frequency=40",
    );
    let expected = last(&fine(at, &truth).json()[0]);
    assert!(expected.abs() > 0.1, "{expected}");
    assert!(
        (last(result) / expected - 1.0).abs() < 0.02,
        "{} {expected}",
        last(result)
    );
    // With the gain that the result names, the model before training gives the same; the recording is in single precision.
    let gain = &result["config"]["composite"]["coupler"][0]["projection"]["mean"]["gain"];
    let gain = format!("composite.coupler.0.projection.mean.gain={gain}");
    let again = "simulate guess.toml --duration 60 --json --set stimulus.kind=sine --set stimulus.frequency=40 --set";
    let again = fine(at, &[words(again), vec![&gain]].concat());
    let again = last(&again.json()[0]);
    assert!(
        (again / last(result) - 1.0).abs() < 1e-4,
        "{again} {result}"
    );
    // A few epochs are too few, and it is said.
    let brief = fine(
        at,
        &words("train guess.toml --device flex --run-dir brief --epochs 3"),
    );
    assert!(
        brief
            .stderr
            .contains("out.x is not followed to its noise: R²"),
        "{}",
        brief.stderr
    );
    // Without the recording there is no stimulus, and with another there is that one.
    std::fs::remove_file(at.join("r.npz")).unwrap();
    let lost = fine(at, &words("simulate run --quiet"));
    assert!(
        lost.stderr.contains("warning: ")
            && lost.stderr.contains("r.npz")
            && lost.stderr.matches("os error").count() == 1,
        "{}",
        lost.stderr
    );
    let other = fine(at, &words("simulate run --set stimulus.kind=step"));
    assert!(!other.stderr.contains("r.npz"), "{}", other.stderr);
}

#[test]
fn settings_reach_into_lists_by_the_names_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("model.toml"), example(None)).unwrap();
    let simulate = |what: &str, set: &str| {
        let args = ["simulate", what, "--duration", "5", "--json", "--set", set];
        fine(at, &args).stdout
    };
    let plain = simulate("model.toml", "record.every=1");
    let one = simulate("model.toml", "model.coupler.0.projection.mean.gain=9");
    let other = simulate("model.toml", "composite.coupler.0.projection.mean.gain=9");
    assert!(one == other && one != plain);
    let whole = simulate("whole-brain", "record.every=1");
    let weight = simulate("whole-brain", "connectivity.weights.0.1=2.5");
    assert_ne!(whole, weight);
    for (what, set, parts) in [
        (
            "whole-brain",
            "connectivity.weights.0.10=1",
            &["connectivity.weights.0", "0 to 9"][..],
        ),
        (
            "whole-brain",
            "connectivity.weights.-1.0=1",
            &["connectivity.weights", "-1", "0 to 9"],
        ),
        (
            "model.toml",
            "model.coupler.0.projection.mean.gian=5",
            &["gian", "gain"],
        ),
        (
            "hodgkin-huxley",
            "unit.cells=100000000000",
            &["unit.cells", "1 to 16777216"],
        ),
        (
            "rate-sine",
            "population.units=1000000",
            &["population.units", "at most"],
        ),
    ] {
        let error = refused(at, &["simulate", what, "--set", set], 2);
        for part in parts {
            assert!(error.contains(part), "{set}: {error}");
        }
    }
    std::fs::write(at.join("c.toml"), "[composite]\ndt = 1.0").unwrap();
    let error = refused(at, &["train", "c.toml"], 2);
    assert!(error.contains("multi-granularity"), "{error}");
    let error = refused(at, &["train", "multi-granularity"], 2);
    assert!(error.contains("three_levels.toml"), "{error}");
}

#[test]
fn other_runs_are_not_simulated() {
    let dir = tempfile::tempdir().unwrap();
    let run = crate::support::trained();
    let error = refused(dir.path(), &["simulate", run.to_str().unwrap()], 2);
    assert!(
        error.contains("mlp") && error.contains("granule eval"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("model.toml"), example(None)).unwrap();
    let error = refused(at, &["train", "model.toml"], 1);
    assert!(error.contains("recording.npz"), "{error}");
    for (set, parts) in [
        ("model.dt=0.3", &["delay", "0.3"][..]),
        (
            "train.turns=[[\"cell\"]]",
            &["train.turns", "cells, population"],
        ),
        ("train.memory={segments=0}", &["train.memory"]),
        ("data.recording=", &["data.recording", "unset"]),
        ("data.recording.test=2", &["data.recording.test"]),
        ("model.kind=mlp", &["model.kind", "multi-granularity"]),
        ("train.loss=cross-entropy", &["train.loss"]),
    ] {
        let error = refused(at, &["train", "model.toml", "--set", set], 2);
        for part in parts {
            assert!(error.contains(part), "{set}: {error}");
        }
    }
}

/// Channels of one's own have no table of parameters, and the state at the beginning is in another one than they are.
#[test]
fn the_configuration_of_a_trained_cell_has_what_was_learnt() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let model = |g_na: &str, v: &str| {
        format!(
            "[model]\nkind = \"multi-granularity\"\ndt = 0.05\n[[model.level]]\nname = \"cell\"\n[model.level.unit]\n\
             kind = \"conductance\"\ncurrent = 10.0\ntrainable = [\"g_na\", \"v\"]\ninitial = {{ v = {v} }}\n\
             leak = {{ conductance = 0.3, reversal = -54.4 }}\n[[model.level.unit.channel]]\n\
             library = \"hodgkin-huxley/na\"\nconductance = {g_na}\n[[model.level.unit.channel]]\n\
             library = \"hodgkin-huxley/k\"\n[data.recording]\nfile = \"r.npz\"\n[optimizer]\nkind = \"adam\"\nlr = 0.05\n"
        )
    };
    std::fs::write(at.join("truth.toml"), model("120.0", "-64.0")).unwrap();
    std::fs::write(at.join("guess.toml"), model("100.0", "-66.0")).unwrap();
    let words = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
    fine(
        at,
        &words("simulate truth.toml --duration 10 --out r.npz --json"),
    );
    let train = "train guess.toml --epochs 3 --device flex --run-dir run --json";
    let result = fine(at, &words(train)).result();
    let learnt = |name: &str| {
        let all = result["trained"].as_array().unwrap().iter();
        let mut own = all.filter(|one| one["name"] == format!("level.cell.unit.{name}"));
        own.next().unwrap()["after"][0].as_f64().unwrap()
    };
    let shown = fine(at, &words("simulate run --json")).json();
    let unit = &shown[0]["config"]["composite"]["level"][0]["unit"];
    for (written, (name, before)) in [
        (&unit["channel"][0]["conductance"], ("g_na", 100.0)),
        (&unit["initial"]["v"], ("initial.v", -66.0)),
    ] {
        let written = written.as_f64().unwrap();
        assert!(
            (written / learnt(name) - 1.0).abs() < 1e-5,
            "{name}: {unit}"
        );
        assert_ne!(written, before, "{name}");
    }
}
