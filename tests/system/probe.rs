//! Looking into a network that was trained on a task.

use std::path::Path;

use serde_json::Value;

use crate::support::{fine, refused};

/// A small network under Dale's law, and how well it does in 100 trials.
fn trained(at: &Path) -> f64 {
    let train = "train rate --device flex --epochs 6 --trials 1000 --task perceptual-decision --run-dir run --json \
                 --set model.units=24 --set model.dt=50 --set model.dale_ratio=0.75 --set data.trials.test=100";
    let result = fine(at, &train.split_whitespace().collect::<Vec<_>>()).result();
    result["test_accuracy"].as_f64().unwrap()
}

fn probe(at: &Path, line: &str) -> Value {
    let line = format!("probe {line} --json");
    fine(at, &line.split_whitespace().collect::<Vec<_>>()).json()[0].clone()
}

fn rows<'a>(found: &'a Value, table: &str) -> &'a Vec<Value> {
    found["tables"][table].as_array().unwrap()
}

#[test]
fn a_trained_network_is_looked_into_and_interfered_with() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let accuracy = trained(at);

    // The trials of the test, on the host.
    let intact = probe(at, "choices run --trials 100");
    let scores = rows(&intact, "scores");
    assert_eq!((scores.len(), &scores[0]["trials"]), (1, &100.0.into()));
    assert!(
        (scores[0]["accuracy"].as_f64().unwrap() - accuracy).abs() < 0.02,
        "{scores:?}"
    );
    assert!(
        rows(&intact, "curves")[0]["slope, intact"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    let notes = intact["notes"].to_string();
    assert!(
        notes.contains("100 trials") && notes.contains("seed"),
        "{notes}"
    );
    assert_eq!(rows(&intact, "points").len(), 10);

    // Without any unit there is nothing to choose by.
    let silent = probe(
        at,
        "choices run --trials 200 --ablate units=[[0,24]] --plot choices.svg",
    );
    let scores = rows(&silent, "scores");
    let (intact, changed) = (&scores[0], &scores[1]);
    assert_eq!(changed["network"], "changed");
    assert!(
        changed["accuracy"].as_f64() < intact["accuracy"].as_f64(),
        "{scores:?}"
    );
    let points = rows(&silent, "points");
    let shares: Vec<f64> = points
        .iter()
        .map(|point| point["share of the second, changed"].as_f64().unwrap())
        .collect();
    assert!(shares.iter().all(|share| *share == shares[0]), "{shares:?}");
    assert!(at.join("choices.svg").exists());
    let curve = &rows(&silent, "curves")[0];
    assert!(
        curve["midpoint, changed"].is_null() && curve["shift"].is_null(),
        "{curve}"
    );
    for change in [
        "--ablate population=excitatory",
        "--lesion from=inhibitory,to=excitatory",
        "--perturb current=2,units=[[0,8]],period=stimulus",
        "--perturb noise=1",
    ] {
        let found = probe(at, &format!("choices run --trials 100 {change}"));
        let scores = rows(&found, "scores");
        assert_ne!(
            scores[0]["mean squared error"], scores[1]["mean squared error"],
            "{change}"
        );
        assert_eq!(
            found,
            probe(at, &format!("choices run --trials 100 {change}"))
        );
    }

    let tuning = probe(at, "tuning run --with period=stimulus --out tuning.csv");
    let units = rows(&tuning, "units");
    assert_eq!(units.len(), 24);
    assert!(
        units[0]["share of the variance"].as_f64() >= units[23]["share of the variance"].as_f64()
    );
    assert!(units.iter().any(|unit| unit["population"] == "inhibitory"));
    assert_eq!(tuning["arrays"]["values"]["shape"][0], 10);
    let table = std::fs::read_to_string(at.join("tuning.csv")).unwrap();
    assert_eq!(table.lines().count(), 25);

    let demixed = probe(at, "dpca run --plot components.png --out components.npz");
    let parts = rows(&demixed, "parts");
    let shares = parts
        .iter()
        .map(|part| part["share of the variance"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9, "{parts:?}");
    assert!(parts[1]["part"] == "coherence" && !rows(&demixed, "demixed components").is_empty());
    assert!(at.join("components.png").exists() && at.join("components.npz").exists());

    // A push is felt from its period on, and not before.
    let steps = |line: &str| -> Vec<Vec<f64>> {
        let found = probe(at, &format!("activity run --trials 4 {line}"));
        assert_eq!(found["arrays"]["activity"]["shape"][0], 4);
        let values = found["arrays"]["activity"]["values"].as_array().unwrap();
        let values: Vec<f64> = values.iter().map(|x| x.as_f64().unwrap()).collect();
        values.chunks(24).map(<[f64]>::to_vec).collect()
    };
    let (plain, pushed) = (steps(""), steps("--perturb current=1,period=decision"));
    let trial = plain.len() / 4;
    let first = (0..trial)
        .find(|&step| plain[step] != pushed[step])
        .unwrap();
    // Fixation and stimulus are 900 ms, steps 50 ms.
    assert_eq!(first, 18);

    let activity = probe(at, "activity run --trials 7 --ablate units=[[3,5]]");
    assert_eq!(
        activity["arrays"]["activity"]["shape"],
        serde_json::json!([7, 24, 24])
    );
    let values = activity["arrays"]["activity"]["values"].as_array().unwrap();
    let of_unit = |unit: usize| values.iter().skip(unit).step_by(24);
    assert!(
        of_unit(3)
            .chain(of_unit(4))
            .all(|x| x.as_f64() == Some(0.0))
    );
    assert!(
        of_unit(0)
            .chain(of_unit(5))
            .any(|x| x.as_f64() != Some(0.0))
    );
}

#[test]
fn what_cannot_be_probed_is_said_with_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    trained(at);
    for (line, words) in [
        ("choices run --trials 0", "trials"),
        ("choices run --trials 100001", "--trials"),
        ("choices run --ablate units=[[0,25]]", "there are 24 units"),
        ("choices run --ablate units=[[3,3]]", "--ablate units"),
        (
            "choices run --ablate population=inhib",
            "excitatory, inhibitory",
        ),
        ("choices run --ablate inhibitory", "for example --ablate"),
        ("choices run --ablate unit=3", "for example --ablate"),
        ("choices run --perturb units=[[0,1]]", "current or noise"),
        ("choices run --perturb noise=-1", "--perturb noise"),
        ("choices run --perturb current=1e300", "--perturb current"),
        (
            "choices run --perturb current=1,period=lunch",
            "fixation, stimulus, decision",
        ),
        ("choices run --lesion from=nobody", "--lesion from"),
        ("choices run --with trial=3", "--with"),
        ("tuning run --with variable=taste", "coherence, choice"),
        ("tuning run --with period=lunch", "stimulus"),
        ("dpca run --with components=0", "--with components"),
        ("dpca run --with ridge=0", "--with ridge"),
        (
            "dpca run --with variables=[\"coherence\",\"coherence\"]",
            "coherence twice",
        ),
        ("tuning run --trials 12", "take more trials"),
        ("dpca run --trials 3", "take more trials"),
        ("activity run --with trial=99999", "--with trial"),
        ("activity run --out a.txt", ".npz or .csv"),
        ("choices nonesuch", "nonesuch"),
    ] {
        let line = format!("probe {line}");
        let text = refused(at, &line.split_whitespace().collect::<Vec<_>>(), 2);
        assert!(text.contains(words), "{line}: {text}");
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mlp = fixtures.join("mlp").display().to_string();
    let text = refused(at, &["probe", "tuning", &mlp], 2);
    assert!(text.contains("not trained on a task"), "{text}");
}
