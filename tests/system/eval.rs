use serde_json::Value;

use crate::support::{Finished, fine, trained};

const SMALL: [&str; 9] = [
    "train",
    "--json",
    "--device",
    "flex",
    "--epochs",
    "1",
    "--limit-train",
    "640",
    "--run-dir",
];

fn fingerprint(finished: &Finished) -> Value {
    let events = finished.json();
    let dataset = events.iter().find(|event| event["event"] == "dataset");
    dataset.unwrap()["fingerprint"].clone()
}

#[test]
fn the_data_follow_their_own_seed() {
    let dir = tempfile::tempdir().unwrap();
    let train =
        |run_dir: &str, args: &[&str]| fine(dir.path(), &[&SMALL[..], &[run_dir], args].concat());
    let one = train("one", &["--seed", "1"]);
    let two = train("two", &["--seed", "2"]);
    assert_eq!(fingerprint(&one), fingerprint(&two));
    assert_ne!(one.result()["test_loss"], two.result()["test_loss"]);
    let other = train("other", &["--set", "data.seed=9"]);
    assert_ne!(fingerprint(&one), fingerprint(&other));

    std::fs::copy(
        dir.path().join("other/model.granule"),
        dir.path().join("alone.granule"),
    )
    .unwrap();
    for model in ["other", "alone.granule"] {
        let finished = fine(dir.path(), &["eval", model, "--device", "flex", "--json"]);
        assert_eq!(finished.stderr, "", "{model}");
        let loss = |finished: &Finished| finished.result()["test_loss"].as_f64().unwrap();
        let distance = (loss(&finished) - loss(&other)).abs();
        assert!(distance < 1e-9, "{model}: {distance}");
    }
}

#[test]
fn a_run_tested_on_a_part_is_not_compared_silently() {
    let dir = tempfile::tempdir().unwrap();
    fine(
        dir.path(),
        &[&SMALL[..], &["r", "--limit-test", "100"]].concat(),
    );
    let eval = ["eval", "r", "--device", "flex"];
    let whole = fine(dir.path(), &eval);
    assert!(
        whole.stderr.contains("tested on 100 of"),
        "{}",
        whole.stderr
    );
    let same = fine(
        dir.path(),
        &[&eval[..], &["--limit-test", "100", "--json"]].concat(),
    );
    assert_eq!(same.stderr, "");
    assert_eq!(same.result()["test_samples"], 100);
}

/// Images of two classes in two folders, which are read one after the other.
#[test]
fn a_limit_takes_every_class_of_a_folder_and_the_same_samples_again() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train", "test"] {
        for (class, light) in [("dark", 20), ("light", 120)] {
            let folder = dir.path().join("pictures").join(part).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..30 {
                let pixels: [u8; 64] = std::array::from_fn(|p| light + (i * 37 + p * p) as u8 % 97);
                let path = folder.join(format!("{i}.png"));
                image::save_buffer(path, &pixels, 8, 8, image::ExtendedColorType::L8).unwrap();
            }
        }
    }
    let data = ["--dataset", "folder:pictures", "--run-dir", "r"];
    let limits = ["--limit-train", "20", "--limit-test", "12"];
    let train = fine(
        dir.path(),
        &[&["train", "--json", "--device", "flex"], &data[..], &limits].concat(),
    );
    let eval = ["eval", "r", "--device", "flex", "--limit-test", "12"];
    let text = fine(dir.path(), &eval).stdout;
    for class in ["dark", "light"] {
        let row = text
            .lines()
            .find(|line| line.trim_start().starts_with(class));
        let support = row.unwrap().split_whitespace().last().unwrap();
        assert!(support.parse::<u32>().unwrap() > 0, "{text}");
    }
    let again = fine(dir.path(), &[&eval[..], &["--json"]].concat()).result();
    assert_eq!(again["test_samples"], 12);
    let [first, second] =
        [train.result(), again].map(|result| result["test_loss"].as_f64().unwrap());
    assert!((first - second).abs() < 1e-9, "{first} {second}");
}

#[test]
fn a_broken_configuration_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(
        trained().join("model.granule"),
        dir.path().join("model.granule"),
    )
    .unwrap();
    std::fs::write(dir.path().join("config.toml"), "[data]\ndatset = 3\n").unwrap();
    let finished = fine(dir.path(), &["eval", ".", "--device", "flex", "--json"]);
    for part in ["warning:", "config.toml", "datset"] {
        assert!(finished.stderr.contains(part), "{}", finished.stderr);
    }
    assert!(finished.result()["test_accuracy"].as_f64().unwrap() > 0.5);
}
