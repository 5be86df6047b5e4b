use std::fs::OpenOptions;

use proptest::prelude::*;

use super::*;
use crate::record::tensorboard;

const STEPS_PER_EPOCH: u64 = 25;

fn summary() -> RunSummary {
    RunSummary {
        test_accuracy: Some(0.975),
        test_loss: 0.08,
        macro_f1: Some(0.974),
        r2: None,
        epochs: 3,
        steps: 75,
        images_per_second: 4000.0,
        seconds: 30.0,
        device: "flex (CPU, 2 threads)".into(),
        run_dir: "run".into(),
        model: "run/model.granule".into(),
    }
}

fn record(recorder: &mut RunRecorder, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        let epoch = step.div_ceil(STEPS_PER_EPOCH);
        let loss = 1.0 / step as f64;
        recorder
            .step(&StepRow {
                step,
                epoch,
                loss,
                accuracy: Some(1.0 - loss),
                learning_rate: 1e-7,
            })
            .unwrap();
        if step % STEPS_PER_EPOCH == 0 {
            recorder
                .epoch(&EpochRow {
                    epoch,
                    step,
                    train_loss: loss * 0.3,
                    train_accuracy: Some(1.0 - loss),
                    validation_loss: Some(loss / 0.7),
                    validation_accuracy: None,
                    learning_rate: 1e-7,
                    images_per_second: 1000.0 / 3.0,
                    seconds: 7.0,
                })
                .unwrap();
        }
    }
}

fn read(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

fn contents(dir: &Path) -> (String, String, Vec<(u64, Vec<String>)>) {
    (
        read(dir, METRICS_JSONL),
        read(dir, METRICS_CSV),
        tensorboard::events(dir),
    )
}

fn uninterrupted() -> (String, String, Vec<(u64, Vec<String>)>) {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder =
        RunRecorder::create(dir.path(), "seed = 1\n", RecordOptions::default()).unwrap();
    record(&mut recorder, 1..=75);
    recorder.finish(&summary()).unwrap();
    contents(dir.path())
}

#[test]
fn writes_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("runs/first");
    let mut recorder =
        RunRecorder::create(&run, "seed = 1\n", RecordOptions { step_interval: 25 }).unwrap();
    record(&mut recorder, 1..=25);
    recorder.finish(&summary()).unwrap();
    assert_eq!((recorder.epochs().len(), recorder.steps().len()), (1, 2));
    let (jsonl, csv, events) = contents(&run);
    assert_eq!(read(&run, CONFIG_FILE), "seed = 1\n");
    assert_eq!(
        csv,
        "epoch,step,train_loss,train_accuracy,validation_loss,validation_accuracy,learning_rate,\
         images_per_second,seconds\n1,25,0.012,0.96,0.05714285714285715,,0.0000001,333.3333333333333,7\n"
    );
    let lines: Vec<_> = jsonl.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"event":"step","step":1,"epoch":1,"loss":1.0,"accuracy":0.0,"learning_rate":1e-7}"#
    );
    assert_eq!(lines.len(), 4);
    assert!(lines[2].starts_with(r#"{"event":"epoch","epoch":1,"step":25,"train_loss":0.012,"#));
    assert!(lines[3].starts_with(
        r#"{"event":"result","test_accuracy":0.975,"test_loss":0.08,"macro_f1":0.974,"#
    ));
    let tags = |list: &[&str]| list.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        events,
        [
            (0, vec![]),
            (
                1,
                tags(&["train/loss", "train/accuracy", "train/learning_rate"])
            ),
            (
                25,
                tags(&["train/loss", "train/accuracy", "train/learning_rate"])
            ),
            (
                25,
                tags(&[
                    "epoch/train_loss",
                    "epoch/train_accuracy",
                    "epoch/images_per_second",
                    "validation/loss"
                ])
            ),
            (75, tags(&["test/loss", "test/accuracy", "test/macro_f1"])),
        ]
    );
}

#[test]
fn values_that_are_not_finite_are_written_as_null_and_nan() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = RunRecorder::create(dir.path(), "", RecordOptions::default()).unwrap();
    let row = EpochRow {
        epoch: 1,
        step: 5,
        train_loss: f64::NAN,
        train_accuracy: None,
        validation_loss: Some(f64::INFINITY),
        validation_accuracy: None,
        learning_rate: 0.1,
        images_per_second: 1.0,
        seconds: 2.0,
    };
    recorder.epoch(&row).unwrap();
    let (jsonl, csv, _) = contents(dir.path());
    assert!(csv.ends_with("\n1,5,nan,,nan,,0.1,1,2\n"));
    let expected = r#"{"event":"epoch","epoch":1,"step":5,"train_loss":null,"validation_loss":null,"learning_rate":0.1,"images_per_second":1.0,"seconds":2.0}"#;
    assert_eq!(jsonl.trim_end(), expected);
    drop(recorder);
    let resumed = RunRecorder::resume(dir.path(), 5, RecordOptions::default()).unwrap();
    let [row] = resumed.epochs() else {
        panic!("one epoch")
    };
    assert!(row.train_loss.is_nan() && row.train_accuracy.is_none());
    assert!(row.validation_loss.is_some_and(f64::is_nan));
    assert_eq!(contents(dir.path()).1, csv);
}

#[test]
fn a_folder_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = RunRecorder::resume(dir.path(), 0, RecordOptions::default())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("config.toml is missing"),
        "{error}"
    );
    drop(RunRecorder::create(dir.path(), "a", RecordOptions::default()).unwrap());
    let error = RunRecorder::create(dir.path(), "b", RecordOptions::default())
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("choose another folder, or resume it"),
        "{error}"
    );
    assert_eq!(read(dir.path(), CONFIG_FILE), "a");
}

#[test]
fn a_lost_csv_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = RunRecorder::create(dir.path(), "", RecordOptions::default()).unwrap();
    record(&mut recorder, 1..=75);
    drop(recorder);
    let csv = read(dir.path(), METRICS_CSV);
    fs::remove_file(dir.path().join(METRICS_CSV)).unwrap();
    let recorder = RunRecorder::resume(dir.path(), 50, RecordOptions::default()).unwrap();
    assert_eq!(recorder.epochs().len(), 2);
    let rows = |text: &str| {
        text.lines()
            .skip(1)
            .filter_map(parse_csv_line)
            .map(|row| row.epoch)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&read(dir.path(), METRICS_CSV)), rows(&csv)[..2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_resumed_run_equals_an_uninterrupted_one(
        checkpoint in 0u64..=75,
        overrun in 0u64..40,
        torn in 0usize..60,
        finished in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let mut recorder = RunRecorder::create(path, "", RecordOptions::default()).unwrap();
        record(&mut recorder, 1..=checkpoint);
        recorder.sync().unwrap();
        let synced = [METRICS_JSONL, METRICS_CSV].map(|name| fs::metadata(path.join(name)).unwrap().len());
        record(&mut recorder, checkpoint + 1..=(checkpoint + overrun).min(75));
        if finished {
            recorder.finish(&summary()).unwrap();
        }
        drop(recorder);
        for (name, synced) in [METRICS_JSONL, METRICS_CSV].into_iter().zip(synced) {
            let file = OpenOptions::new().write(true).open(path.join(name)).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length.saturating_sub(torn as u64).max(synced)).unwrap();
        }
        let mut recorder = RunRecorder::resume(path, checkpoint, RecordOptions::default()).unwrap();
        record(&mut recorder, checkpoint + 1..=75);
        recorder.finish(&summary()).unwrap();
        prop_assert_eq!((recorder.epochs().len(), recorder.steps().len()), (3, 8));
        prop_assert_eq!(contents(path), uninterrupted());
    }
}
