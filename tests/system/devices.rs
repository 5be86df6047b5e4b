use std::path::Path;

use crate::support::{fine, granule, refused, run};

#[test]
fn a_device_that_is_absent_lists_those_that_are_here() {
    let dir = tempfile::tempdir().unwrap();
    for device in ["wgpu:discrete:7", "cuda:0"] {
        let text = refused(dir.path(), &["train", "--device", device], 1);
        for part in [device, "flex", "ndarray"] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn auto_is_marked_once() {
    let listed = fine(Path::new("."), &["devices", "--json"]).json();
    assert_eq!(
        listed
            .iter()
            .filter(|device| device["auto"] == true)
            .count(),
        1
    );
    let table = fine(Path::new("."), &["devices"]).stdout;
    for device in &listed {
        let spec = device["spec"].as_str().unwrap();
        assert!(table.contains(spec), "{spec}: {table}");
    }
    assert_eq!(
        table.lines().filter(|line| line.starts_with('*')).count(),
        1,
        "{table}"
    );
}

#[test]
fn what_is_fused_where_is_listed() {
    let listed = fine(Path::new("."), &["devices", "--json"]).json();
    let table = fine(Path::new("."), &["devices"]).stdout;
    for device in &listed {
        let fused = device["fused"].as_array().unwrap();
        assert!(fused.iter().any(|name| name == "rate_sequence"), "{device}");
        let cpu = device["kind"] == "cpu";
        assert_eq!(fused.iter().any(|name| name == "conv2d"), cpu, "{device}");
        let line = if cpu {
            "fused on CPUs: "
        } else {
            "fused on GPUs, in f32: "
        };
        let line = table.lines().find_map(|text| text.strip_prefix(line));
        let names: Vec<&str> = fused.iter().filter_map(|name| name.as_str()).collect();
        assert_eq!(line, Some(names.join(", ").as_str()), "{table}");
    }
}

#[test]
fn the_environment_names_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "train",
        "--epochs",
        "1",
        "--limit-train",
        "64",
        "--limit-test",
        "64",
        "--json",
    ];
    let output = granule(dir.path())
        .args(args)
        .env("GRANULE_DEVICE", "ndarray")
        .output()
        .unwrap();
    let finished = crate::support::Finished::from(output);
    assert!(
        finished.result()["device"]
            .as_str()
            .unwrap()
            .contains("ndarray"),
        "{}",
        finished.stdout
    );

    let output = granule(dir.path())
        .args(args)
        .env("GRANULE_DEVICE", "fluxx")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("GRANULE_DEVICE"));
}

#[test]
fn a_software_adapter_is_never_chosen_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "train",
        "--epochs",
        "1",
        "--limit-train",
        "64",
        "--limit-test",
        "64",
        "--json",
    ];
    let finished = run(dir.path(), &args);
    let device = finished
        .json()
        .into_iter()
        .find(|event| event["event"] == "device")
        .unwrap();
    assert!(
        !device["device"].as_str().unwrap().contains("software"),
        "{device}"
    );
    assert!(device["reason"].is_string(), "{device}");
}
