//! Spikes, series and trials of NWB files, in bins.

use granule_data::decoding::{Division, inspect};
use granule_data::{DataError, Dataset, DatasetSpec, DecodingConfig, LoadOptions, Split, load};

use crate::containers::{fixture, named};

fn config() -> DecodingConfig {
    DecodingConfig {
        signal: "units".into(),
        target: "hand_velocity".into(),
        bin_width: Some(0.04),
        test: 0.2,
        ..Default::default()
    }
}

fn read(config: &DecodingConfig) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        decoding: config.clone(),
        seed: 1,
        ..Default::default()
    };
    load(&DatasetSpec::Recording(fixture("small.nwb")), &options)
}

fn refused(config: &DecodingConfig) -> String {
    read(config).map(drop).unwrap_err().to_string()
}

fn rows(split: &Split) -> Vec<(Vec<f32>, Vec<f32>)> {
    let row = |at| {
        (
            split.values(at).unwrap().to_vec(),
            split.target_values(at).unwrap().to_vec(),
        )
    };
    (0..split.len()).map(row).collect()
}

#[test]
fn spikes_are_counted_and_samples_averaged_in_bins() {
    let set = read(&config()).unwrap();
    // 50 samples a second for one second: 25 bins of 40 ms.
    assert_eq!((set.train.len(), set.test.len()), (20, 5));
    let train = rows(&set.train);
    for (bin, (_, target)) in train.iter().enumerate() {
        let mean = 2.0 * bin as f32 + 0.5;
        assert!(
            (target[0] - mean).abs() < 1e-4 && (target[1] + 2.0 * mean).abs() < 1e-4,
            "{bin}: {target:?}"
        );
    }
    // 0.01 and 0.03 s; 0.05; 0.11; 0.12 (an edge) and 0.13.
    let counts: Vec<_> = train
        .iter()
        .take(4)
        .map(|(counts, _)| counts.clone())
        .collect();
    assert_eq!(
        counts,
        [
            [2.0, 0.0, 0.0],
            [1.0, 0.0, 0.0],
            [1.0, 0.0, 0.0],
            [0.0, 2.0, 0.0]
        ]
    );
    assert_eq!(rows(&set.test)[2].0, [0.0, 1.0, 0.0]);
    let notes = set.notes.join("\n");
    for part in [
        "11 spikes of 3 units in 25 bins of 0.04 s; 0 spikes outside",
        "1 unit without a spike",
        "the mean of the samples in each bin, 2.0 of them",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(
        set.warnings
            .join("\n")
            .contains("1 of 3 channels is the same"),
        "{:?}",
        set.warnings
    );
}

#[test]
fn trials_have_bins_of_their_own() {
    let config = DecodingConfig {
        trial: Some("trials".into()),
        split: Division::Trial,
        test: 0.34,
        ..config()
    };
    let set = read(&config).unwrap();
    // Three trials of five bins; the last one ends after the velocity does.
    assert_eq!((set.train.len(), set.test.len()), (10, 5));
    let all = [rows(&set.train), rows(&set.test)].concat();
    // The first bin of the first trial has the samples at 0.10 and 0.12 s, and the spikes at 0.11, 0.12 and 0.13 s.
    let first = all
        .iter()
        .find(|(_, target)| (target[0] - 5.5).abs() < 1e-4);
    assert_eq!(first.unwrap().0, [1.0, 2.0, 0.0]);
    let notes = set.notes.join("\n");
    assert!(notes.contains("1 trial left out, of which"), "{notes}");
    assert!(
        notes.contains("7 spikes of 3 units in 15 bins of 0.04 s; 4 spikes outside"),
        "{notes}"
    );
}

#[test]
fn a_trial_may_have_one_target() {
    let of_trials = DecodingConfig {
        target: "trials/label".into(),
        trial: Some("intervals/trials".into()),
        bins: Some([0, 5]),
        split: Division::Trial,
        test: 0.5,
        ..config()
    };
    let set = read(&of_trials).unwrap();
    assert_eq!(set.classes, ["left", "right"]);
    assert_eq!((set.train.len(), set.test.len()), (2, 2));
    let unequal = DecodingConfig {
        bins: None,
        ..of_trials.clone()
    };
    assert!(
        refused(&unequal).contains("trials of unequal length"),
        "{}",
        refused(&unequal)
    );
    let unset = DecodingConfig {
        trial: None,
        ..of_trials
    };
    assert!(
        refused(&unset).contains("data.decoding.trial"),
        "{}",
        refused(&unset)
    );
}

#[test]
fn series_with_timestamps_are_scaled_and_filled_in() {
    let set = read(&DecodingConfig {
        target: "hand".into(),
        bin_width: Some(0.02),
        ..config()
    })
    .unwrap();
    // 40 samples a second in 50 bins of a second: ten bins have none.
    let notes = set.notes.join("\n");
    assert!(
        notes.contains("10 bins without a sample filled in"),
        "{notes}"
    );
    assert_eq!((set.train.len(), set.test.len()), (40, 10));
    // Ten times the time, in hundredths: metres.
    let (_, target) = &rows(&set.train)[20];
    assert!((target[0] - 0.04).abs() < 1e-6, "{target:?}");
}

#[test]
fn smoothed_counts_sum_to_as_much() {
    let set = read(&DecodingConfig {
        smoothing: Some(0.04),
        ..config()
    })
    .unwrap();
    let counts = rows(&set.train);
    assert!(counts[5].0[0] > 0.0 && counts[5].0[0] < 0.2, "{counts:?}");
    assert!(set.notes.join("\n").contains("centred Gaussian of 0.04 s"));
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (config, part) in [
        (
            DecodingConfig {
                bin_width: None,
                ..config()
            },
            "data.decoding.bin_width",
        ),
        (
            DecodingConfig {
                bin_width: Some(0.0),
                ..config()
            },
            "seconds above 0",
        ),
        (
            DecodingConfig {
                bin_width: Some(3.0),
                ..config()
            },
            "leaves no bin",
        ),
        (
            DecodingConfig {
                bin_width: Some(1e-300),
                ..config()
            },
            "memory",
        ),
        (
            DecodingConfig {
                signal: "spikes".into(),
                ..config()
            },
            "units, processing/behavior",
        ),
        (
            DecodingConfig {
                target: "speed".into(),
                ..config()
            },
            "processing/behavior/hand_velocity",
        ),
        (
            DecodingConfig {
                trial: Some("epochs".into()),
                ..config()
            },
            "there is intervals/trials",
        ),
        (
            DecodingConfig {
                start: Some(-5.0),
                ..config()
            },
            "no sample in 125 bins in a row, from -5 s",
        ),
        (
            DecodingConfig {
                smoothing: Some(0.1),
                square_root: true,
                ..config()
            },
            "unset with square_root",
        ),
        (
            DecodingConfig {
                bin_width: None,
                smoothing: Some(0.1),
                ..config()
            },
            "unset without bin_width",
        ),
    ] {
        let text = refused(&config);
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_an_nwb_file_holds_is_shown() {
    let found = inspect(&fixture("small.nwb")).unwrap();
    assert_eq!(found.kind, "an NWB file");
    let units = named(&found, "units");
    assert_eq!(
        (&units.shape[..], units.dtype.as_str()),
        (&[3][..], "spike times")
    );
    assert!(
        units
            .role
            .as_ref()
            .unwrap()
            .contains("11 spikes of 3 units")
    );
    let numbers = units.numbers.as_ref().unwrap();
    assert_eq!((numbers.min, numbers.max), (Some(0.01), Some(0.91)));
    assert_eq!(numbers.constant_channels, [2]);
    let velocity = named(&found, "processing/behavior/hand_velocity");
    assert!(
        velocity
            .role
            .as_ref()
            .unwrap()
            .contains("50.0000 samples a second from 0.000 to 1.000 s")
    );
    assert!(
        named(&found, "intervals/trials")
            .role
            .as_ref()
            .unwrap()
            .contains("4 trials from 0.100 to 1.300 s")
    );
    let label = named(&found, "intervals/trials/label");
    assert_eq!(
        (label.dtype.as_str(), label.role.as_deref()),
        ("strings", Some("target or group, one for each trial"))
    );
    let suggestion = found.suggestion.unwrap();
    assert_eq!(
        suggestion.settings()[..3],
        [
            "data.decoding.signal=units",
            "data.decoding.target=processing/behavior/hand_velocity",
            "data.decoding.bin_width=0.02"
        ]
    );
}
