use crate::support::{Watched, fine, refused};

/// Makes the report of a run again: the page.
fn report(dir: &std::path::Path, run_dir: &str) -> String {
    let finished = fine(dir, &["report", run_dir]);
    let resume = format!("granule train --resume {run_dir}");
    assert!(finished.stderr.contains(&resume), "{}", finished.stderr);
    let page = std::fs::read_to_string(dir.join(finished.stdout.trim())).unwrap();
    assert!(page.contains("not finished"), "{page}");
    page
}

#[test]
fn a_run_that_diverges_says_where_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let diverging = [
        "train",
        "--device",
        "flex",
        "--optimizer",
        "sgd",
        "--lr",
        "1e30",
        "--schedule",
        "constant",
        "--limit-train",
        "640",
        "--run-dir",
        "r",
    ];
    let text = refused(dir.path(), &diverging, 1);
    for part in [
        "at step 2 ",
        "learning rate 1.000e30",
        "gradient norm",
        "optimizer.lr",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let page = report(dir.path(), "r");
    assert!(page.contains("learning rate 1.000e30"), "{page}");
    assert!(page.contains("2 steps, the last in epoch 1"), "{page}");
}

#[test]
fn a_run_that_was_killed_is_reported_as_far_as_it_came() {
    let dir = tempfile::tempdir().unwrap();
    let long = ["--epochs", "100000", "--device", "flex"];
    let mut process = Watched::start(
        dir.path(),
        &[&["train", "--json", "--run-dir", "r"], &long[..]].concat(),
    );
    assert!(process.wait_for("checkpoint"));
    process.child.kill().unwrap();
    process.finish();
    let page = report(dir.path(), "r");
    assert!(page.contains("Learning curves"), "{page}");
}

#[cfg(unix)]
#[test]
fn a_limit_of_file_sizes_ends_a_run_with_an_error() {
    use crate::support::{Finished, granule};

    let dir = tempfile::tempdir().unwrap();
    let binary = granule(dir.path());
    // 100 blocks hold the configuration and the first lines of the journal, but no checkpoint.
    let limited = Finished::from(
        std::process::Command::new("sh")
            .current_dir(dir.path())
            .args(["-c", "ulimit -f 100; exec \"$0\" \"$@\""])
            .arg(binary.get_program())
            .args(
                "train mlp --json --device flex --epochs 1 --limit-train 256 --run-dir r"
                    .split(' '),
            )
            .output()
            .unwrap(),
    );
    assert_eq!(limited.code, Some(1), "{}", limited.stderr);
    let last = limited.json().pop().unwrap();
    assert_eq!(last["event"], "error", "{last}");
    for part in ["cannot write", "too large", "granule train --resume r"] {
        let said = limited.stderr.to_lowercase();
        assert!(said.contains(part), "{part}: {}", limited.stderr);
    }
}

#[test]
fn a_run_folder_that_is_deleted_meanwhile_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let endless = "train mlp --json --device flex --epochs 100000 --limit-train 512 --run-dir r";
    let args: Vec<&str> = endless.split(' ').collect();
    let mut process = Watched::start(dir.path(), &args);
    assert!(process.wait_for("checkpoint"));
    std::fs::remove_dir_all(dir.path().join("r")).unwrap();
    let finished = process.finish();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    for part in [
        "error: r was deleted, moved or taken over",
        "nothing more is saved",
    ] {
        assert!(
            finished.stderr.contains(part),
            "{part}: {}",
            finished.stderr
        );
    }
    assert_eq!(finished.json().pop().unwrap()["event"], "error");
    assert!(!dir.path().join("r/config.toml").exists());
    assert!(!dir.path().join("r/model.granule").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use crate::support::{Finished, granule, trained};

    let dir = tempfile::tempdir().unwrap();
    let json = |args: &[&OsStr]| {
        let finished = Finished::from(granule(dir.path()).args(args).output().unwrap());
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished.json().pop().unwrap()
    };
    let run_dir = OsStr::from_bytes(b"run-\xff");
    let train = "train --json --device flex --epochs 1 --limit-train 256 --limit-test 64 --run-dir";
    let train: Vec<&OsStr> = train.split(' ').map(OsStr::new).chain([run_dir]).collect();
    let again = ["train", "--json", "--resume"].map(OsStr::new);
    let eval = ["eval", "--json", "--device", "flex"].map(OsStr::new);
    for args in [
        &train[..],
        &[&again[..], &[run_dir]].concat(),
        &[&eval[..], &[run_dir]].concat(),
    ] {
        let result = json(args);
        assert_eq!(result["run_dir"], "run-\u{fffd}", "{args:?}: {result}");
    }
    let image = OsStr::from_bytes(b"\xff.png");
    let path = dir.path().join("digit.png");
    image::save_buffer(&path, &[0; 784], 28, 28, image::ExtendedColorType::L8).unwrap();
    std::fs::rename(path, dir.path().join(image)).unwrap();
    let predict = ["predict", "--json"].map(OsStr::new);
    let answer = json(&[&predict[..], &[trained().as_os_str(), image]].concat());
    assert_eq!(answer["input"], "\u{fffd}.png");
}
