//! Signals over time and what is decoded from them.

use std::path::Path;

use granule_data::decoding::{Anomaly, Division, Edges, Series, Unusual, Window};
use granule_data::{
    DataError, Dataset, DatasetSpec, DecodingConfig, Fold, LoadOptions, Shape, Split, Targets, load,
};

use crate::support::{npy, npy_f32, npy_i64, real_data, write, zip};

fn config() -> DecodingConfig {
    DecodingConfig {
        signal: "counts".into(),
        target: "velocity".into(),
        ..Default::default()
    }
}

fn read(path: &Path, config: &DecodingConfig) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        decoding: config.clone(),
        seed: 1,
        ..Default::default()
    };
    load(&DatasetSpec::Recording(path.to_path_buf()), &options)
}

fn refused(path: &Path, config: &DecodingConfig) -> String {
    read(path, config).unwrap_err().to_string()
}

/// Ten bins of two channels, `10 bin` and `10 bin + 1`, and one output, `−bin`.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let counts: Vec<i64> = (0..10).flat_map(|bin| [10 * bin, 10 * bin + 1]).collect();
    let velocity: Vec<f32> = (0..10).map(|bin| -(bin as f32)).collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[10, 2], &counts));
    write(dir.path().join("velocity.npy"), &npy_f32(&[10], &velocity));
    dir
}

/// The first windows under a limit are those of a shorter recording: nothing is known of what comes after.
#[test]
fn a_limit_knows_nothing_of_what_comes_after() {
    let dir = folder();
    let of = |limit_train, after| {
        let options = LoadOptions {
            decoding: DecodingConfig {
                window: Window { before: 1, after },
                ..config()
            },
            limit_train,
            ..Default::default()
        };
        load(&DatasetSpec::Recording(dir.path().to_path_buf()), &options).unwrap()
    };
    let (all, limited) = (of(None, 0), of(Some(3), 0));
    assert_eq!(all.test.len(), limited.test.len());
    assert_eq!(limited.train.len(), 3);
    // The means of bins 0 to 2, not of 0 to 7.
    assert_eq!(limited.normalization.mean, [10.0, 11.0]);
    assert_eq!(all.normalization.mean, [35.0, 36.0]);
    // A window that sees a bin ahead has that as well.
    let ahead = of(Some(3), 1);
    assert_eq!(ahead.train.len(), 3);
    assert_eq!(ahead.normalization.mean, [15.0, 16.0]);
    // More than there are is no limit.
    assert_eq!(of(Some(100), 0).normalization.mean, all.normalization.mean);
}

#[test]
fn a_recording_that_is_new_to_a_model_is_all_tested() {
    let dir = folder();
    let of = |config: &DecodingConfig| {
        let options = LoadOptions {
            decoding: config.clone(),
            tested: true,
            scored: true,
            ..Default::default()
        };
        load(&DatasetSpec::Recording(dir.path().to_path_buf()), &options).unwrap()
    };
    let divided = read(dir.path(), &config()).unwrap();
    assert_eq!((divided.test.len(), divided.divided), (2, true));
    let whole = of(&config());
    assert_eq!((whole.test.len(), whole.divided), (10, false));
    let bins = samples(&whole.test);
    assert_eq!(bins.first().unwrap().1, 0.0);
    assert_eq!(bins.last().unwrap(), &(vec![90.0], -9.0));
    let said = whole.notes.iter().chain(&whole.warnings);
    assert!(
        said.clone().all(|text| !text.contains("tested")),
        "{:?}",
        said.collect::<Vec<_>>()
    );
    // Beyond the edge stands what the decoder takes off.
    let options = LoadOptions {
        decoding: DecodingConfig {
            window: Window {
                before: 1,
                after: 0,
            },
            ..config()
        },
        tested: true,
        means: Some(&[4.5, 5.5]),
        ..Default::default()
    };
    let set = load(&DatasetSpec::Recording(dir.path().to_path_buf()), &options).unwrap();
    assert_eq!(samples(&set.test)[0], (vec![4.5, 0.0], 0.0));
    // A part of its own is what is tested, here as elsewhere.
    let counts: Vec<i64> = (0..6).flat_map(|bin| [7 * bin, bin]).collect();
    write(dir.path().join("later.npy"), &npy_i64(&[6, 2], &counts));
    write(
        dir.path().join("speed.npy"),
        &npy_f32(&[6], &[0.5, 1.0, 1.5, 2.0, 2.5, 3.0]),
    );
    let own = DecodingConfig {
        test_signal: Some("later".into()),
        test_target: Some("speed".into()),
        ..config()
    };
    let set = of(&own);
    assert_eq!(
        (set.train.len(), set.test.len(), set.divided),
        (10, 6, false)
    );
    // Targets of another width are named by their file.
    write(dir.path().join("speed.npy"), &npy_f32(&[6, 2], &[1.0; 12]));
    let error = refused(dir.path(), &own);
    assert!(
        error.contains("speed.npy: 2 real values in the test part, not 1 real value"),
        "{error}"
    );
}

#[test]
fn axes_in_another_order_are_told_of() {
    let dir = folder();
    let told = |signal: &[usize], target: &[usize]| {
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let counts: Vec<i64> = (0..count(signal) as i64).collect();
        let values: Vec<f32> = (0..count(target)).map(|i| i as f32).collect();
        write(dir.path().join("counts.npy"), &npy_i64(signal, &counts));
        write(dir.path().join("velocity.npy"), &npy_f32(target, &values));
        refused(dir.path(), &config())
    };
    for (signal, target, parts) in [
        (
            &[3, 40][..],
            &[40, 2][..],
            [
                "[3, 40]",
                "if it is [channels, bins]",
                "counts.transpose(1, 0)",
                "data.decoding.signal",
            ],
        ),
        (
            &[4, 30, 5],
            &[4, 30, 2],
            [
                "[4, 30, 5]",
                "if it is [trials, bins, channels]",
                "counts.transpose(0, 2, 1)",
                "data.decoding.signal",
            ],
        ),
        (
            &[40, 3],
            &[2, 40],
            [
                "[2, 40]",
                "if its axes are [outputs, bins]",
                "velocity.transpose(1, 0)",
                "40 bins",
            ],
        ),
    ] {
        let text = told(signal, target);
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let plain = told(&[40, 3], &[39, 2]);
    assert!(!plain.contains("transpose"), "{plain}");
}

/// The first channel of every sample, and its target.
fn samples(split: &Split) -> Vec<(Vec<f32>, f32)> {
    let Shape::Sequence { channels, .. } = split.shape() else {
        panic!("no sequences");
    };
    let sample = |index| {
        let steps = split.values(index).unwrap().chunks(channels);
        let first = steps.map(|step| step[0]).collect();
        (first, split.target_values(index).unwrap()[0])
    };
    (0..split.len()).map(sample).collect()
}

#[test]
fn windows_are_of_the_bins_around_the_one_that_is_decoded() {
    let dir = folder();
    let window = Window {
        before: 2,
        after: 1,
    };
    let edges = Edges::LeaveOut;
    let config = DecodingConfig {
        window,
        edges,
        test: 0.4,
        ..config()
    };
    let set = read(dir.path(), &config).unwrap();
    let shape = Shape::Sequence {
        steps: 4,
        channels: 2,
    };
    assert_eq!((set.train.shape(), set.test.shape()), (shape, shape));
    // Bins 0 to 5 train, 6 to 9 test; no window has bins of both.
    let expected = [
        (vec![0.0, 10.0, 20.0, 30.0], -2.0),
        (vec![10.0, 20.0, 30.0, 40.0], -3.0),
        (vec![20.0, 30.0, 40.0, 50.0], -4.0),
    ];
    assert_eq!(samples(&set.train), expected);
    assert_eq!(samples(&set.test), [(vec![60.0, 70.0, 80.0, 90.0], -8.0)]);
    // Of the training part: 0, 10, … 50.
    assert_eq!(set.normalization.mean, [25.0, 26.0]);
    let std = (1750.0_f32 / 6.0).sqrt();
    assert!((set.normalization.std[0] - std).abs() < 1e-5);
    let notes = set.notes.join("\n");
    for part in [
        "the last 40 % of the bins",
        "left out at the edges of the recording: 3 windows",
        "share no bin: 3 windows with bins of both",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn beyond_an_edge_stand_zeros_once_channels_are_standardised() {
    let dir = folder();
    let trial = [7, 7, 7, 7, 5, 5, 5, 7, 7, 7];
    write(dir.path().join("trial.npy"), &npy_i64(&[10], &trial));
    let config = DecodingConfig {
        window: Window {
            before: 1,
            after: 1,
        },
        trial: Some("trial".into()),
        test: 0.3,
        ..config()
    };
    let set = read(dir.path(), &config).unwrap();
    // Trials are bins 0 to 3, 4 to 6 and, tested on, 7 to 9.
    assert_eq!((set.train.len(), set.test.len()), (7, 3));
    let mut values = Vec::new();
    set.train
        .gather(&[0, 3, 4], &set.normalization, None, &mut values)
        .unwrap();
    let (mean, std) = (set.normalization.mean[0] as f32, set.normalization.std[0]);
    assert_eq!(mean, 30.0);
    let at = |x: f32| (x - mean) / std;
    let first: Vec<f32> = values.iter().step_by(2).copied().collect();
    let expected = [
        0.0,
        at(0.0),
        at(10.0),
        at(20.0),
        at(30.0),
        0.0,
        0.0,
        at(40.0),
        at(50.0),
    ];
    assert_eq!(first, expected);
    let notes = set.notes.join("\n");
    assert!(
        notes.contains("6 windows reach beyond the edge of a trial"),
        "{notes}"
    );
    // Bins are held once: seven, and two beside each of two trials.
    assert_eq!(set.train.features().len(), 2 * (7 + 4));
}

#[test]
fn bins_of_two_trials_do_not_follow_each_other() {
    let dir = folder();
    let trial = [7, 7, 7, 7, 5, 5, 5, 7, 7, 7];
    write(dir.path().join("trial.npy"), &npy_i64(&[10], &trial));
    for before in [0, 1] {
        for edges in [Edges::Zeros, Edges::LeaveOut] {
            let config = DecodingConfig {
                window: Window { before, after: 0 },
                edges,
                trial: Some("trial".into()),
                test: 0.3,
                ..config()
            };
            let train = read(dir.path(), &config).unwrap().train;
            let starts = train.starts().unwrap();
            let follow = starts.windows(2).filter(|pair| pair[1] == pair[0] + 1);
            assert_eq!(follow.count(), starts.len() - 2, "{starts:?}");
        }
    }
}

#[test]
fn parts_are_by_time_by_trials_or_by_groups() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write(
        at("trial.npy"),
        &npy_i64(&[10], &[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
    );
    write(
        at("run.npy"),
        &npy_i64(&[10], &[1, 1, 1, 2, 2, 2, 2, 1, 1, 1]),
    );
    write(at("of_trials.npy"), &npy_i64(&[5], &[0, 9, 0, 9, 9]));
    let bins = |split: &Split| -> Vec<f32> { samples(split).iter().map(|(_, y)| -y).collect() };

    let group = |name: &str, test_groups: &[i64]| DecodingConfig {
        split: Division::Group,
        group: Some(name.into()),
        test_groups: test_groups.to_vec(),
        trial: Some("trial".into()),
        ..config()
    };
    let set = read(dir.path(), &group("run", &[2])).unwrap();
    assert_eq!(bins(&set.test), [3.0, 4.0, 5.0, 6.0]);
    assert_eq!(bins(&set.train), [0.0, 1.0, 2.0, 7.0, 8.0, 9.0]);
    let set = read(dir.path(), &group("of_trials", &[0])).unwrap();
    assert_eq!(bins(&set.test), [0.0, 1.0, 4.0, 5.0]);
    let message = refused(dir.path(), &group("run", &[3]));
    assert!(
        message.contains("test_groups") && message.contains("1, 2"),
        "{message}"
    );

    // Runs that are both learnt from are as far apart as any two.
    write(
        at("runs.npy"),
        &npy_i64(&[10], &[1, 1, 1, 3, 3, 3, 3, 2, 2, 2]),
    );
    let apart = DecodingConfig {
        trial: None,
        window: Window {
            before: 1,
            after: 0,
        },
        edges: Edges::LeaveOut,
        ..group("runs", &[2])
    };
    let set = read(dir.path(), &apart).unwrap();
    assert_eq!(bins(&set.train), [1.0, 2.0, 4.0, 5.0, 6.0]);
    assert_eq!(bins(&set.test), [8.0, 9.0]);

    let drawn = DecodingConfig {
        split: Division::Trial,
        test: 0.4,
        ..group("run", &[2])
    };
    let drawn = DecodingConfig {
        group: None,
        test_groups: Vec::new(),
        ..drawn
    };
    let set = read(dir.path(), &drawn).unwrap();
    let test = bins(&set.test);
    assert_eq!(test.len(), 4);
    assert!(
        test.chunks(2)
            .all(|trial| trial[0] % 2.0 == 0.0 && trial[1] == trial[0] + 1.0)
    );
    let one = DecodingConfig {
        trial: None,
        ..drawn
    };
    assert!(refused(dir.path(), &one).contains("data.decoding.trial"));
}

#[test]
fn trials_with_a_class_each_are_samples() {
    let dir = tempfile::tempdir().unwrap();
    // [trials, channels, bins]: 100 trial + 10 channel + bin.
    let counts: Vec<u8> = (0..24)
        .map(|i| 40 * (i / 6) + 10 * (i / 3 % 2) + i % 3)
        .collect();
    let member = |shape: &[usize]| npy("|u1", false, shape, &counts);
    let object = npy_i64(&[4], &[5, 3, 3, 5]);
    let repeat = npy_i64(&[4], &[0, 0, 1, 1]);
    let path = dir.path().join("it.npz");
    let signal = member(&[4, 2, 3]);
    let members = [
        ("counts.npy", &signal),
        ("object.npy", &object),
        ("repeat.npy", &repeat),
    ];
    write(
        &path,
        &zip(&members.map(|(name, bytes)| (name, bytes.as_slice())), true),
    );
    let config = DecodingConfig {
        target: "object".into(),
        split: Division::Group,
        group: Some("repeat".into()),
        test_groups: vec![1],
        bins: Some([1, 3]),
        ..config()
    };
    let set = read(&path, &config).unwrap();
    assert_eq!(set.classes, ["3", "5"]);
    assert_eq!(
        set.train.shape(),
        Shape::Sequence {
            steps: 2,
            channels: 2
        }
    );
    assert_eq!(set.train.values(1), Some(&[41.0, 51.0, 42.0, 52.0][..]));
    assert_eq!(set.train.targets(), &Targets::Classes(vec![1, 0]));
    assert_eq!(set.test.values(0), Some(&[81.0, 91.0, 82.0, 92.0][..]));
    assert_eq!(set.test.targets(), &Targets::Classes(vec![0, 1]));
    // Of bins 1 and 2 of the two trials that train.
    assert_eq!(set.normalization.mean, [21.5, 31.5]);
    let all = DecodingConfig {
        bins: None,
        ..config.clone()
    };
    assert_eq!(
        read(&path, &all).unwrap().train.shape(),
        Shape::Sequence {
            steps: 3,
            channels: 2
        }
    );
    let window = DecodingConfig {
        window: Window {
            before: 1,
            after: 0,
        },
        ..config
    };
    assert!(refused(&path, &window).contains("data.decoding.window"));
}

#[test]
fn what_does_not_fit_is_named() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let message = refused(dir.path(), &DecodingConfig::default());
    assert!(
        message.contains("data.decoding.signal = unset"),
        "{message}"
    );
    let missing = DecodingConfig {
        signal: "rates".into(),
        ..config()
    };
    let message = refused(dir.path(), &missing);
    assert!(
        message.contains("\"rates\"") && message.contains("counts, velocity"),
        "{message}"
    );
    let nowhere = refused(&at("nowhere"), &config());
    assert!(nowhere.contains("recording:DIR"), "{nowhere}");

    write(at("velocity.npy"), &npy_f32(&[9], &[0.0; 9]));
    let message = refused(dir.path(), &config());
    assert!(
        message.contains("[9]") && message.contains("10 bins"),
        "{message}"
    );
    let mut values = [0.5; 10];
    values[4] = f32::NAN;
    write(at("velocity.npy"), &npy_f32(&[10], &values));
    let message = refused(dir.path(), &config());
    assert!(
        message.contains("velocity.npy: row 4 holds NaN"),
        "{message}"
    );

    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let roots = DecodingConfig {
        square_root: true,
        ..config()
    };
    let set = read(dir.path(), &roots).unwrap();
    assert_eq!(samples(&set.train)[4].0, [40.0_f32.sqrt()]);
    for (bad, shown) in [(-1.0, "-1"), (0.5, "0.5"), (f32::NAN, "NaN")] {
        let mut rates = [1.0; 20];
        rates[7] = bad;
        write(at("counts.npy"), &npy_f32(&[10, 2], &rates));
        let message = refused(dir.path(), &roots);
        assert!(
            message.contains("counts.npy") && message.contains(shown),
            "{message}"
        );
        if bad == bad {
            assert!(message.contains("bin 3, channel 1"), "{message}");
            assert!(read(dir.path(), &config()).is_ok());
        }
    }

    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write(
        at("trial.npy"),
        &npy_i64(&[10], &[0, 0, 0, 1, 1, 1, 1, 2, 2, 2]),
    );
    write(at("label.npy"), &npy_i64(&[3], &[0, 1, 0]));
    let by_trial = DecodingConfig {
        target: "label".into(),
        trial: Some("trial".into()),
        test: 0.34,
        ..config()
    };
    let message = refused(dir.path(), &by_trial);
    for part in ["unequal length", "trial 1 has 4 bins", "[0, 3]"] {
        assert!(message.contains(part), "{message}");
    }
    let cut = DecodingConfig {
        bins: Some([0, 3]),
        ..by_trial
    };
    assert_eq!(read(dir.path(), &cut).unwrap().train.len(), 2);
    let message = refused(
        dir.path(),
        &DecodingConfig {
            bins: Some([0, 4]),
            ..cut
        },
    );
    assert!(
        message.contains("trial 0") && message.contains("has 3 bins"),
        "{message}"
    );

    let long = DecodingConfig {
        window: Window {
            before: 9,
            after: 0,
        },
        edges: Edges::LeaveOut,
        ..config()
    };
    let message = refused(dir.path(), &long);
    assert!(
        message.contains("no sample in the training part"),
        "{message}"
    );
}

#[test]
fn constant_channels_are_counted() {
    let dir = folder();
    let counts: Vec<i64> = (0..10).flat_map(|bin| [bin, 4, bin, 0]).collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[10, 4], &counts));
    let set = read(dir.path(), &config()).unwrap();
    let warnings = set.warnings.join("\n");
    assert!(
        warnings.contains("2 of 4 channels are the same in every training bin"),
        "{warnings}"
    );
    assert!(warnings.contains(": 1, 3, counted from 0"), "{warnings}");
    let mut values = Vec::new();
    set.train
        .gather(&[5], &set.normalization, None, &mut values)
        .unwrap();
    assert_eq!([values[1], values[3]], [0.0, 0.0]);
}

#[test]
fn parts_that_overlap_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let counts: Vec<i64> = (0..100)
        .flat_map(|bin| [bin * 7 % 31, bin * bin % 17])
        .collect();
    let speed: Vec<f32> = (0..100).map(|bin| bin as f32).collect();
    for (name, bins) in [("", 0..60), ("own_", 60..100), ("shared_", 40..100)] {
        let len = bins.len();
        let rows = 2 * bins.start..2 * bins.end;
        write(
            at(&format!("{name}counts.npy")),
            &npy_i64(&[len, 2], &counts[rows]),
        );
        write(
            at(&format!("{name}velocity.npy")),
            &npy_f32(&[len], &speed[bins]),
        );
    }
    let of = |name: &str| DecodingConfig {
        test_signal: Some(format!("{name}counts")),
        test_target: Some(format!("{name}velocity")),
        ..config()
    };
    let message = refused(dir.path(), &of("shared_"));
    assert!(
        message.contains("overlap") && message.contains("from 40 on"),
        "{message}"
    );
    assert!(refused(dir.path(), &of("")).contains("overlap"));
    let half = DecodingConfig {
        test_target: None,
        ..of("own_")
    };
    assert!(refused(dir.path(), &half).contains("data.decoding.test_target"));
    let half = DecodingConfig {
        trial: Some("velocity".into()),
        ..of("own_")
    };
    assert!(refused(dir.path(), &half).contains("data.decoding.test_trial"));
    let set = read(dir.path(), &of("own_")).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (60, 40));
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
}

#[test]
fn real_recordings() {
    let Some(root) = real_data("neural-m1-reach") else {
        return;
    };
    let config = DecodingConfig {
        signal: "c_train_counts".into(),
        target: "c_train_velocity".into(),
        test_signal: Some("c_test_counts".into()),
        test_target: Some("c_test_velocity".into()),
        window: Window {
            before: 5,
            after: 0,
        },
        square_root: true,
        ..Default::default()
    };
    let set = read(&root.join("neural-m1-reach"), &config).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (1200, 1818));
    assert_eq!(
        set.train.shape(),
        Shape::Sequence {
            steps: 6,
            channels: 71
        }
    );
    assert!(set.classes.is_empty());
    let Some(root) = real_data("neural-it-objects") else {
        return;
    };
    let config = DecodingConfig {
        signal: "spike_counts_10ms".into(),
        target: "object".into(),
        split: Division::Group,
        group: Some("repeat".into()),
        test_groups: (15..19).collect(),
        bins: Some([60, 100]),
        ..Default::default()
    };
    let set = read(&root.join("neural-it-objects"), &config).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (315, 84));
    assert_eq!(
        set.train.shape(),
        Shape::Sequence {
            steps: 40,
            channels: 132
        }
    );
    assert_eq!(set.classes.len(), 7);
}

/// Three trials of four bins of two channels: the counts of bin b of trial t are b + 10 t and 1.
fn trials() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let counts: Vec<i64> = (0..3)
        .flat_map(|trial| (0..4).map(move |bin| bin + 10 * trial).chain([1; 4]))
        .collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[3, 2, 4], &counts));
    write(dir.path().join("label.npy"), &npy_i64(&[3], &[0, 1, 0]));
    dir
}

#[test]
fn bins_of_a_trial_are_added_before_their_root_is_taken() {
    let dir = trials();
    let by_trial = |bins, sum| DecodingConfig {
        target: "label".into(),
        test: 0.34,
        bins,
        sum,
        ..config()
    };
    let steps = |config: &DecodingConfig| {
        let set = read(dir.path(), config).unwrap();
        let Shape::Sequence { steps, channels: 2 } = set.train.shape() else {
            panic!("{:?}", set.train.shape());
        };
        let values: Vec<Vec<f32>> = (0..2)
            .map(|at| set.train.values(at).unwrap().to_vec())
            .collect();
        (steps, values, set.normalization.mean[0])
    };
    // Bins 1 to 3 of channel 0: 1 + 2 + 3 and 11 + 12 + 13; the mean is of what is seen.
    let expected = vec![vec![6.0, 3.0], vec![36.0, 3.0]];
    assert_eq!(steps(&by_trial(Some([1, 4]), 3)), (1, expected, 21.0));
    let expected = vec![vec![1.0, 2.0, 5.0, 2.0], vec![21.0, 2.0, 25.0, 2.0]];
    assert_eq!(steps(&by_trial(None, 2)), (2, expected, 13.0));
    let root = DecodingConfig {
        square_root: true,
        ..by_trial(Some([1, 4]), 3)
    };
    let three = 3.0_f32.sqrt();
    let expected = vec![vec![6.0_f32.sqrt(), three], vec![6.0, three]];
    let (count, found, mean) = steps(&root);
    assert_eq!((count, found), (1, expected));
    assert!((mean - (6.0_f64.sqrt() + 6.0) / 2.0).abs() < 1e-6);

    let message = refused(dir.path(), &by_trial(None, 3));
    for part in ["data.decoding.sum", "divisor", "4 bins"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(refused(dir.path(), &by_trial(None, 0)).contains("at least 1"));
    let bins = DecodingConfig { sum: 2, ..config() };
    let message = refused(folder().path(), &bins);
    assert!(
        message.contains("1 with a target for every bin"),
        "{message}"
    );
}

/// The targets of the parts that a fold tests on and learns from, which are `−bin` or labels.
fn fold(
    path: &Path,
    config: &DecodingConfig,
    fold: [usize; 2],
) -> Result<[Vec<f32>; 2], DataError> {
    let options = LoadOptions {
        decoding: config.clone(),
        seed: 1,
        fold: Some(Fold::new(fold)?),
        ..Default::default()
    };
    let set = load(&DatasetSpec::Recording(path.to_path_buf()), &options)?;
    let of = |split: &Split| -> Vec<f32> {
        (0..split.len())
            .map(|at| -split.target_values(at).unwrap()[0])
            .collect()
    };
    Ok([of(&set.test), of(&set.train)])
}

#[test]
fn folds_of_a_recording_are_blocks_that_share_no_bin() {
    let dir = folder();
    let window = Window {
        before: 1,
        after: 0,
    };
    // What it is tested on otherwise is left out.
    write(dir.path().join("other.npy"), &npy_i64(&[3, 2], &[7; 6]));
    write(dir.path().join("speed.npy"), &npy_f32(&[3], &[0.0; 3]));
    let config = DecodingConfig {
        window,
        test_signal: Some("other".into()),
        test_target: Some("speed".into()),
        ..config()
    };
    let found = |part| fold(dir.path(), &config, [part, 5]).unwrap();
    // Bin 2 needs bin 1, and bin 4 needs bin 3: neither is of one part.
    assert_eq!(found(2)[0], [3.0]);
    assert_eq!(found(2)[1], [0.0, 1.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    assert_eq!(found(1)[0], [0.0, 1.0]);
    assert_eq!(found(5)[0], [9.0]);
    let message = fold(dir.path(), &config, [1, 11]).unwrap_err().to_string();
    assert!(
        message.contains("at most 10 parts, as there are 10 bins"),
        "{message}"
    );
}

#[test]
fn folds_of_trials_are_drawn_and_those_of_groups_stay_together() {
    let dir = folder();
    let trials = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4];
    write(dir.path().join("trial.npy"), &npy_i64(&[10], &trials));
    let by_trial = DecodingConfig {
        trial: Some("trial".into()),
        split: Division::Trial,
        ..config()
    };
    let mut seen = Vec::new();
    // Of five trials one is tested on in the end.
    let tested = read(dir.path(), &by_trial).unwrap().test;
    for part in 1..=4 {
        let [test, train] = fold(dir.path(), &by_trial, [part, 4]).unwrap();
        assert_eq!((test.len(), train.len()), (2, 6));
        assert_eq!((test[0] / 2.0).floor(), (test[1] / 2.0).floor());
        seen.extend(test);
    }
    assert_ne!(seen[0], 0.0);
    assert_eq!(tested.len(), 2);
    let offset = tested.target_offset().first().copied().unwrap_or(0.0) as f32;
    seen.extend((0..2).map(|at| -(tested.target_values(at).unwrap()[0] + offset)));
    seen.sort_by(f32::total_cmp);
    assert_eq!(seen, (0..10).map(|bin| bin as f32).collect::<Vec<_>>());

    let runs = [7, 7, 7, 3, 3, 9, 9, 9, 9, 9];
    write(dir.path().join("run.npy"), &npy_i64(&[10], &runs));
    let by_run = DecodingConfig {
        split: Division::Group,
        group: Some("run".into()),
        ..config()
    };
    // In the order of their numbers, and no `test_groups` is asked for.
    let found = |part| fold(dir.path(), &by_run, [part, 3]).unwrap()[0].clone();
    assert_eq!(found(1), [3.0, 4.0]);
    assert_eq!(found(2), [0.0, 1.0, 2.0]);
    assert_eq!(found(3), [5.0, 6.0, 7.0, 8.0, 9.0]);
    let message = fold(dir.path(), &by_run, [1, 4]).unwrap_err().to_string();
    assert!(
        message.contains("at most 3 parts, as there are 3 groups"),
        "{message}"
    );
    assert!(refused(dir.path(), &by_run).contains("data.decoding.test_groups"));
    // Those that are tested on in the end are in no fold.
    let but_one = DecodingConfig {
        test_groups: vec![9],
        ..by_run.clone()
    };
    let of = |part| fold(dir.path(), &but_one, [part, 2]).unwrap();
    assert_eq!(of(1), [vec![3.0, 4.0], vec![0.0, 1.0, 2.0]]);
    assert_eq!(of(2), [vec![0.0, 1.0, 2.0], vec![3.0, 4.0]]);
    // Of a division by time the end.
    let by_time = fold(dir.path(), &config(), [2, 2]).unwrap();
    assert_eq!(
        by_time,
        [vec![4.0, 5.0, 6.0, 7.0], vec![0.0, 1.0, 2.0, 3.0]]
    );
}

#[test]
fn channels_that_are_held_out_are_the_target() {
    let dir = folder();
    let mut counts = Vec::new();
    for bin in 0..10_i64 {
        counts.extend([bin, 100 + bin, 200 + bin, 300 + bin]);
    }
    write(dir.path().join("counts.npy"), &npy_i64(&[10, 4], &counts));
    let named = DecodingConfig {
        target: String::new(),
        held_out_channels: vec![3, 1],
        ..config()
    };
    let set = read(dir.path(), &named).unwrap();
    assert!(set.counts);
    assert_eq!((set.columns, set.target_columns), (vec![0, 2], vec![1, 3]));
    let set = read(dir.path(), &named).unwrap();
    let channels = Shape::Sequence {
        steps: 1,
        channels: 2,
    };
    assert_eq!(set.train.shape(), channels);
    assert_eq!(set.train.values(4).unwrap(), [4.0, 204.0]);
    let offset = set.train.target_offset();
    let at = |channel: usize| offset.get(channel).copied().unwrap_or(0.0) as f32;
    let target = set.train.target_values(4).unwrap();
    assert_eq!([target[0] + at(0), target[1] + at(1)], [104.0, 304.0]);

    let drawn = DecodingConfig {
        held_out: Some(0.5),
        held_out_channels: Vec::new(),
        ..named.clone()
    };
    let of = |seed| {
        let options = LoadOptions {
            decoding: drawn.clone(),
            seed,
            ..Default::default()
        };
        load(&DatasetSpec::Recording(dir.path().to_path_buf()), &options).unwrap()
    };
    assert!((0..8).any(|seed| of(seed).train != of(1).train));
    assert_eq!(of(1), of(1));
    assert!(
        of(1).notes[0].contains("2 of 4 channels"),
        "{:?}",
        of(1).notes
    );

    for (wrong, key, part) in [
        (
            DecodingConfig {
                target: "velocity".into(),
                ..named.clone()
            },
            "data.decoding.target",
            "held out",
        ),
        (
            DecodingConfig {
                held_out: Some(1.0),
                held_out_channels: Vec::new(),
                ..named.clone()
            },
            "data.decoding.held_out",
            "between 0 and 1",
        ),
        (
            DecodingConfig {
                held_out: Some(0.01),
                held_out_channels: Vec::new(),
                ..named.clone()
            },
            "data.decoding.held_out",
            "leaves some of each",
        ),
        (
            DecodingConfig {
                held_out_channels: vec![4],
                ..named.clone()
            },
            "data.decoding.held_out_channels",
            "channels from 0 to 3",
        ),
        (
            DecodingConfig {
                held_out_channels: vec![0, 0],
                ..named.clone()
            },
            "data.decoding.held_out_channels",
            "each once",
        ),
    ] {
        let message = refused(dir.path(), &wrong);
        assert!(message.contains(key) && message.contains(part), "{message}");
    }
    write(
        dir.path().join("counts.npy"),
        &npy_f32(&[10, 4], &[0.5; 40]),
    );
    let message = refused(dir.path(), &named);
    assert!(
        message.contains("0.5") && message.contains("held_out predicts are counts"),
        "{message}"
    );
}

/// Of `folder`, what each channel adds up to in two bins.
fn reconstructing() -> DecodingConfig {
    DecodingConfig {
        target: String::new(),
        reconstruct: true,
        window: Window {
            before: 1,
            after: 0,
        },
        edges: Edges::LeaveOut,
        test: 0.5,
        ..config()
    }
}

#[test]
fn a_signal_is_its_own_target() {
    let dir = folder();
    let set = read(dir.path(), &reconstructing()).unwrap();
    assert!(set.reconstructs && !set.counts);
    // Bins 0 to 4 train; the first sample is of bins 0 and 1.
    assert_eq!((set.train.len(), set.test.len()), (4, 4));
    assert_eq!(set.train.target_values(0).unwrap(), [10.0, 12.0]);
    assert_eq!(set.test.target_values(3).unwrap(), [170.0, 172.0]);

    for (wrong, key) in [
        (
            DecodingConfig {
                target: "velocity".into(),
                ..reconstructing()
            },
            "data.decoding.target",
        ),
        (
            DecodingConfig {
                held_out: Some(0.5),
                test_target: Some("velocity".into()),
                ..reconstructing()
            },
            "data.decoding.test_target",
        ),
        (
            DecodingConfig {
                sum: 2,
                ..reconstructing()
            },
            "data.decoding.sum",
        ),
    ] {
        let message = refused(dir.path(), &wrong);
        assert!(message.contains(key), "{message}");
    }
}

#[test]
fn counts_of_the_others_are_learnt_beside_those_held_out() {
    let dir = folder();
    let beside = DecodingConfig {
        held_out_channels: vec![1],
        ..reconstructing()
    };
    let set = read(dir.path(), &beside).unwrap();
    assert!(set.learns_inputs && set.counts && !set.reconstructs);
    let plain = DecodingConfig {
        reconstruct: false,
        ..beside
    };
    let held_out = read(dir.path(), &plain).unwrap();
    assert!(!held_out.learns_inputs);
    assert_eq!((&set.train, &set.test), (&held_out.train, &held_out.test));
    // The target is that of the second bin of a window of two, and so is what the other channel counts there.
    let window = set.train.values(0).unwrap();
    assert_eq!(set.train.current_values(0), Some(&window[1..]));
    let last = set.train.len();
    assert_eq!(set.train.current_values(last), None);
    let text = "the counts of the 1 other in the same bin are learnt as well";
    assert!(
        set.notes.iter().any(|note| note.contains(text)),
        "{:?}",
        set.notes
    );
}

#[test]
fn what_would_not_be_unusual_is_not_made() {
    let dir = folder();
    let made = |kind: &str, seed| {
        let options = LoadOptions {
            decoding: DecodingConfig {
                window: Window::default(),
                ..reconstructing()
            },
            seed,
            unusual: Anomaly::find(kind).map(|kind| Unusual { kind, lesion: 0.5 }),
            ..Default::default()
        };
        load(&DatasetSpec::Recording(dir.path().to_path_buf()), &options)
    };
    let unmade = |kind: &str, reason: &str| {
        let error = made(kind, 1).unwrap_err();
        let DataError::Unmade { kind: named, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(named, kind);
        let message = error.to_string();
        assert!(message.contains(reason), "{message}");
    };
    // Of two channels a draw may leave both where they are.
    let counts: Vec<i64> = (0..24).map(|at| 1 + at * 7 % 60).collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[12, 2], &counts));
    let usual = made("none", 1).unwrap();
    for seed in 0..8 {
        assert_ne!(made("shuffle", seed).unwrap().test, usual.test, "{seed}");
    }
    made("lesion", 1).unwrap();
    write(
        dir.path().join("counts.npy"),
        &npy_i64(&[12, 1], &counts[..12]),
    );
    for kind in ["lesion", "shuffle", "shift"] {
        unmade(kind, "one channel");
    }
    let rates: Vec<f32> = counts.iter().map(|&x| x as f32 / 4.0).collect();
    write(dir.path().join("counts.npy"), &npy_f32(&[12, 2], &rates));
    unmade("lesion", "holds 0.25");
    made("shuffle", 1).unwrap();
}

#[test]
fn unusual_activity_is_made_of_what_is_tested_on() {
    let dir = folder();
    let channels = 5_usize;
    let counts: Vec<i64> = (0..12 * channels as i64)
        .map(|at| 1 + at * 7 % 60)
        .collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[12, 5], &counts));
    let decoding = DecodingConfig {
        window: Window::default(),
        ..reconstructing()
    };
    let made = |kind: &str, lesion, seed| {
        let options = LoadOptions {
            decoding: decoding.clone(),
            seed,
            unusual: Anomaly::find(kind).map(|kind| Unusual { kind, lesion }),
            ..Default::default()
        };
        load(&DatasetSpec::Recording(dir.path().to_path_buf()), &options)
    };
    let bins = |set: &Dataset| -> Vec<Vec<f32>> {
        (0..set.test.len())
            .map(|at| set.test.values(at).unwrap().to_vec())
            .collect()
    };
    let usual = made("none", 0.0, 1).unwrap();
    let before = bins(&usual);
    assert_eq!(before.len(), 6);
    let course = |bins: &[Vec<f32>], channel: usize| -> Vec<f32> {
        bins.iter().map(|bin| bin[channel]).collect()
    };
    let sorted = |values: &[f32]| {
        let mut values = values.to_vec();
        values.sort_by(f32::total_cmp);
        values
    };
    for kind in ["lesion", "shuffle", "shift"] {
        let set = made(kind, 0.4, 1).unwrap();
        assert_eq!(set.train, usual.train, "{kind}");
        assert_ne!(set.test, usual.test, "{kind}");
        assert_eq!(set.test, made(kind, 0.4, 1).unwrap().test, "{kind}");
        assert!((2..20).any(|seed| made(kind, 0.4, seed).unwrap().test != set.test));
        let after = bins(&set);
        // What is reconstructed is unusual as well.
        assert_eq!(set.test.target_values(3).unwrap(), after[3]);
        let same = (0..channels).filter(|&at| course(&after, at) == course(&before, at));
        match kind {
            "lesion" => {
                let silent = (0..channels).filter(|&at| course(&after, at) == [0.0; 6]);
                assert_eq!((silent.count(), same.count()), (2, 3));
            }
            "shuffle" => {
                for (after, before) in after.iter().zip(&before) {
                    assert_eq!(sorted(after), sorted(before));
                }
            }
            _ => {
                // Of six shifts by 0 to 5, five are drawn.
                assert!(same.count() <= 1);
                for at in 0..channels {
                    let (after, before) = (course(&after, at), course(&before, at));
                    let turned = (0..6).any(|by| [&before[by..], &before[..by]].concat() == after);
                    assert!(turned, "{before:?} {after:?}");
                }
            }
        }
    }
    for share in [0.0, 0.05, 0.95, f64::NAN] {
        let message = made("lesion", share, 1).unwrap_err().to_string();
        assert!(message.contains("lesion"), "{message}");
    }
}

#[test]
fn channels_are_chosen_by_ranges() {
    let dir = folder();
    let counts: Vec<i64> = (0..10)
        .flat_map(|bin| [bin, 100 + bin, 200 + bin, 300 + bin])
        .collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[10, 4], &counts));
    let of = |ranges: &[[usize; 2]]| DecodingConfig {
        channels: Some(ranges.to_vec()),
        ..config()
    };
    let chosen = of(&[[0, 1], [2, 4]]);
    let set = read(dir.path(), &chosen).unwrap();
    assert_eq!(set.train.values(4).unwrap(), [4.0, 204.0, 304.0]);
    assert_eq!(set.normalization.mean.len(), 3);
    let note = "3 of 4 channels are seen, counted from 0: 0 to 0, 2 to 3";
    assert!(set.notes.iter().any(|own| own == note), "{:?}", set.notes);
    let parts = DecodingConfig {
        test_signal: Some("later".into()),
        test_target: Some("velocity".into()),
        ..chosen.clone()
    };
    let later: Vec<i64> = counts.iter().map(|x| x * x + 7).collect();
    write(dir.path().join("later.npy"), &npy_i64(&[10, 4], &later));
    let set = read(dir.path(), &parts).unwrap();
    assert_eq!(set.test.values(1).unwrap(), [8.0, 40_408.0, 90_608.0]);
    assert_eq!(set.notes.iter().filter(|own| *own == note).count(), 1);

    // What is answered is chosen alike, and what has no more channels is taken as it is.
    let answered = |config: &DecodingConfig| {
        let series = Series::read(dir.path(), config, (1, 3), &[0.0; 3], 1).unwrap();
        series.samples().nth(2).unwrap().0.to_vec()
    };
    assert_eq!(answered(&chosen), [2.0, 202.0, 302.0]);
    let three: Vec<i64> = (0..30).collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[10, 3], &three));
    assert_eq!(answered(&chosen), [6.0, 7.0, 8.0]);
    let said = refused(dir.path(), &chosen);
    assert!(
        said.contains("data.decoding.channels = [[0, 1], [2, 4]]")
            && said.ends_with("there are 3 channels"),
        "{said}"
    );
    for ranges in [&[][..], &[[1, 1]], &[[0, 2], [1, 3]], &[[2, 3], [0, 1]]] {
        let said = refused(dir.path(), &of(ranges));
        assert!(said.starts_with("data.decoding.channels = ["), "{said}");
    }
    let both = DecodingConfig {
        target: String::new(),
        held_out_channels: vec![1],
        ..of(&[[0, 2]])
    };
    assert!(refused(dir.path(), &both).contains("unset where channels are held out"));
}

#[test]
fn trials_of_equal_numbers_are_repeats() {
    let dir = tempfile::tempdir().unwrap();
    // Six trials of two channels in three bins.
    let counts: Vec<i64> = (0..36).map(|at| at * 7 % 5).collect();
    write(dir.path().join("counts.npy"), &npy_i64(&[6, 2, 3], &counts));
    write(
        dir.path().join("object.npy"),
        &npy_i64(&[6], &[4, 4, 9, 9, 4, 9]),
    );
    write(
        dir.path().join("place.npy"),
        &npy_i64(&[6], &[1, 1, 1, 1, 2, 1]),
    );
    write(
        dir.path().join("run.npy"),
        &npy_i64(&[6], &[0, 0, 1, 1, 1, 1]),
    );
    write(dir.path().join("odd.npy"), &npy_i64(&[5], &[0; 5]));
    let named = DecodingConfig {
        signal: "counts".into(),
        held_out_channels: vec![1],
        split: Division::Group,
        group: Some("run".into()),
        test_groups: vec![1],
        condition: vec!["object".into(), "place".into()],
        ..DecodingConfig::default()
    };
    let set = read(dir.path(), &named).unwrap();
    let repeats = set.repeats.clone().unwrap();
    let places: Vec<[usize; 3]> = repeats
        .iter()
        .map(|place| [place.condition, place.trial, place.bin])
        .collect();
    let expected = [(1, 2), (1, 3), (2, 4), (1, 5)];
    let expected = expected.map(|(condition, trial)| [0, 1, 2].map(|bin| [condition, trial, bin]));
    assert_eq!(places, expected.concat());
    let few = set.tested_on(&[1, 5]).unwrap();
    assert_eq!(few.repeats.unwrap(), [repeats[1], repeats[5]]);

    let plain = DecodingConfig {
        condition: Vec::new(),
        ..named.clone()
    };
    assert_eq!(read(dir.path(), &plain).unwrap().repeats, None);
    for (name, part) in [
        ("absent", "data.decoding.condition"),
        ("odd", "holds 5 numbers"),
    ] {
        let wrong = DecodingConfig {
            condition: vec![name.into()],
            ..named.clone()
        };
        let text = read(dir.path(), &wrong).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
    write(dir.path().join("flat.npy"), &npy_i64(&[18, 2], &counts));
    let flat = DecodingConfig {
        signal: "flat".into(),
        split: Division::Time,
        group: None,
        test_groups: Vec::new(),
        ..named
    };
    let text = read(dir.path(), &flat).unwrap_err().to_string();
    assert!(text.contains("without trials"), "{text}");
}
