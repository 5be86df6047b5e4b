use crate::support::{Watched, fine, refused, tensors};

/// Some seconds of steps, so that a signal arrives before the end.
const WORK: [&str; 12] = [
    "--device",
    "flex",
    "--epochs",
    "5",
    "--seed",
    "3",
    "--limit-test",
    "200",
    "--set",
    "model.widths=[512,512]",
    "--set",
    "train.checkpoint_every_steps=50",
];

#[test]
fn a_signal_saves_a_checkpoint_and_the_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    fine(
        dir.path(),
        &[&["train", "--quiet", "--run-dir", "whole"], &WORK[..]].concat(),
    );
    for signal in ["INT", "TERM", "HUP"] {
        let run_dir = format!("stopped-{signal}");
        let mut process = Watched::start(
            dir.path(),
            &[&["train", "--json", "--run-dir", &run_dir], &WORK[..]].concat(),
        );
        assert!(process.wait_for("step"));
        process.signal(signal);
        let finished = process.finish();
        assert_eq!(finished.code, Some(130), "{}", finished.stderr);
        assert!(
            finished
                .stderr
                .contains(&format!("granule train --resume {run_dir}")),
            "{}",
            finished.stderr
        );
        assert!(finished.has_event("interrupted"), "{}", finished.stdout);
        assert!(!dir.path().join(&run_dir).join("model.granule").exists());
        let text = refused(dir.path(), &["eval", &run_dir], 2);
        assert!(text.contains("--resume"), "{text}");

        let resumed = fine(dir.path(), &["train", "--resume", &run_dir, "--json"]);
        let start = resumed
            .json()
            .into_iter()
            .find(|event| event["event"] == "start")
            .unwrap();
        assert!(start["done_steps"].as_u64().unwrap() > 0, "{start}");
        assert_eq!(resumed.result()["epochs"], 5);
        assert_eq!(
            tensors(&dir.path().join(&run_dir).join("model.granule")),
            tensors(&dir.path().join("whole/model.granule")),
            "{signal}"
        );
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    // One step takes seconds, so that the first signal alone would be heeded late.
    let long_step = [
        "--device",
        "flex",
        "--batch-size",
        "3000",
        "--set",
        "model.widths=[4096,4096]",
    ];
    let mut process = Watched::start(
        dir.path(),
        &[&["train", "--json", "--run-dir", "r"], &long_step[..]].concat(),
    );
    assert!(process.wait_for("start"));
    process.signal("INT");
    std::thread::sleep(std::time::Duration::from_millis(100));
    process.signal("INT");
    let finished = process.finish();
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    assert!(!dir.path().join("r/checkpoints").exists());
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let long = [
        "--epochs",
        "100000",
        "--device",
        "flex",
        "--limit-test",
        "100",
    ];
    let mut first = Watched::start(
        dir.path(),
        &[&["train", "--json", "--run-dir", "busy"], &long[..]].concat(),
    );
    assert!(first.wait_for("step"));
    let text = refused(dir.path(), &["train", "--resume", "busy"], 1);
    assert!(text.contains("another process"), "{text}");
    refused(dir.path(), &["train", "--run-dir", "busy"], 1);
}
