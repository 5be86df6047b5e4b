use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Watched, fine, tensors};

const WORK: [&str; 14] = [
    "--device",
    "flex",
    "--epochs",
    "3",
    "--seed",
    "11",
    "--limit-test",
    "200",
    "--set",
    "model.widths=[256,256]",
    "--set",
    "model.dropout=0.1",
    "--set",
    "train.checkpoint_every_steps=7",
];

/// Kills a run again and again, at times drawn over its whole length, until one attempt reaches the end; as many runs as
/// GRANULE_TEST_KILLED_RUNS says, or a few.
#[test]
fn killed_at_any_time_a_run_ends_with_the_same_weights() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let runs = number("GRANULE_TEST_KILLED_RUNS").unwrap_or(4);
    let seed = number("GRANULE_TEST_SEED").unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .subsec_nanos()
            .into()
    });
    println!("GRANULE_TEST_SEED={seed}");
    let mut random = Random(seed);

    let dir = tempfile::tempdir().unwrap();
    let mut whole = Watched::start(
        dir.path(),
        &[&["train", "--json", "--run-dir", "whole"], &WORK[..]].concat(),
    );
    assert!(whole.wait_for("start"));
    let started = Instant::now();
    let finished = whole.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let length = started.elapsed();
    let expected = tensors(&dir.path().join("whole/model.granule"));

    let mut total = 0;
    for attempt in 0..runs {
        let run_dir = format!("killed-{attempt}");
        let mut kills = 0;
        if kill_within(
            dir.path(),
            &[&["train", "--json", "--run-dir", &run_dir], &WORK[..]].concat(),
            length,
            &mut random,
        ) {
            kills += 1;
            while kills < 3
                && kill_within(
                    dir.path(),
                    &["train", "--json", "--resume", &run_dir],
                    length,
                    &mut random,
                )
            {
                kills += 1;
            }
            fine(dir.path(), &["train", "--quiet", "--resume", &run_dir]);
        }
        println!("run {attempt}: killed {kills} times");
        total += kills;
        assert_eq!(
            tensors(&dir.path().join(&run_dir).join("model.granule")),
            expected,
            "run {attempt}"
        );
    }
    println!("{runs} runs, {total} kills");
    assert!(total > 0, "no process was killed in time");
}

/// Starts a process and kills it (SIGKILL) at a time drawn from `length` after training began: whether it came to that.
fn kill_within(dir: &Path, args: &[&str], length: Duration, random: &mut Random) -> bool {
    let mut process = Watched::start(dir, args);
    if !process.wait_for("start") {
        return false;
    }
    std::thread::sleep(length.mul_f64(0.9 * random.unit()));
    process.child.kill().is_ok() && process.finish().code.is_none()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
