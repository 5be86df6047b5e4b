//! Little memory ends in an error, never in a signal.
//!
//! `GRANULE_MUTATIONS=1` or more tries many limits in place of a few.

use std::process::Command;

use crate::support::{Finished, fine};

/// The command under a limit on its address space, in KiB.
fn limited(dir: &std::path::Path, kilobytes: u64, args: &[&str]) -> std::process::Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_granule"))
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn little_memory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let small = [
        "--epochs",
        "1",
        "--limit-train",
        "64",
        "--limit-test",
        "32",
        "-q",
    ];
    let train = |run: &'static str| {
        [
            &["train", "mlp", "--device", "flex", "--run-dir", run][..],
            &small,
        ]
        .concat()
    };
    let _: Finished = fine(dir.path(), &train("run"));
    std::fs::write(dir.path().join("pixels.npy"), npy()).unwrap();
    let commands: [(&str, Vec<&str>); 4] = [
        ("train", train("other")),
        ("eval", vec!["eval", "run", "--device", "flex"]),
        ("predict", vec!["predict", "run", "pixels.npy"]),
        (
            "simulate",
            vec!["simulate", "lif", "--duration", "20", "-q"],
        ),
    ];
    let many = std::env::var("GRANULE_MUTATIONS").is_ok();
    // Below the first the system cannot map the program, and kills it before its first instruction.
    let limits: Vec<u64> = match many {
        true => (0..60).map(|i| 102_400 + 4_000 * i).collect(),
        false => vec![102_400, 120_000, 160_000],
    };
    for kilobytes in limits {
        for (name, args) in &commands {
            let _ = std::fs::remove_dir_all(dir.path().join("other"));
            let output = limited(dir.path(), kilobytes, args);
            let said = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert!(
                matches!(code, Some(0 | 1)),
                "{name} within {kilobytes} KiB: {code:?}\n{said}"
            );
            assert!(code != Some(1) || said.contains("error:"), "{name}: {said}");
        }
    }
}

/// One grey image of 28×28, `|u1`.
fn npy() -> Vec<u8> {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (28, 28), }";
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend([0; 28 * 28]);
    bytes
}
