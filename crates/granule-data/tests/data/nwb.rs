//! Spikes, series and trials of NWB files, in bins.

use granule_data::decoding::{Division, inspect};
use granule_data::{DataError, Dataset, DatasetSpec, DecodingConfig, LoadOptions, Split, load};

use hdf5_pure::{AttrValue, FileBuilder};

use crate::containers::{fixture, named};
use crate::support::{npy_f32, npy_i64, write};

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
    // The cursor has its timestamps by a soft link to those of the hand.
    let cursor = DecodingConfig {
        target: "cursor".into(),
        ..config()
    };
    assert_eq!(read(&cursor).unwrap().train.len(), 20);
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
                smoothing: Some(200.0),
                ..config()
            },
            "at most 100 s",
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

/// What a small recording holds, to be changed.
struct Session {
    spikes: Vec<f64>,
    ends: Vec<i32>,
    velocity: Vec<f64>,
    stamps: Option<Vec<f64>>,
    conversion: f64,
    trials: Vec<[f64; 2]>,
}

impl Session {
    fn new() -> Self {
        Self {
            spikes: vec![0.1, 0.4, 0.7, 0.2, 0.9],
            ends: vec![3, 5],
            velocity: (0..10).map(f64::from).collect(),
            stamps: None,
            conversion: 1.0,
            trials: vec![[0.0, 0.5], [0.5, 1.0]],
        }
    }

    fn read(&self, trial: Option<&str>) -> Result<Dataset, DataError> {
        let mut file = FileBuilder::new();
        let mut units = file.create_group("units");
        units
            .create_dataset("spike_times")
            .with_f64_data(&self.spikes);
        units
            .create_dataset("spike_times_index")
            .with_i32_data(&self.ends);
        file.add_group(units.finish());
        let mut series = file.create_group("speed");
        series
            .create_dataset("data")
            .with_f64_data(&self.velocity)
            .set_attr("conversion", AttrValue::F64(self.conversion));
        match &self.stamps {
            Some(stamps) => series.create_dataset("timestamps").with_f64_data(stamps),
            None => series
                .create_dataset("starting_time")
                .with_f64_data(&[0.0])
                .set_attr("rate", AttrValue::F64(10.0)),
        };
        file.add_group(series.finish());
        let mut trials = file.create_group("trials");
        for (column, name) in ["start_time", "stop_time"].into_iter().enumerate() {
            let times: Vec<f64> = self.trials.iter().map(|times| times[column]).collect();
            trials.create_dataset(name).with_f64_data(&times);
        }
        file.add_group(trials.finish());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session.nwb");
        std::fs::write(&path, file.finish().unwrap()).unwrap();
        let decoding = DecodingConfig {
            signal: "units".into(),
            target: "speed".into(),
            trial: trial.map(str::to_owned),
            bin_width: Some(0.1),
            ..Default::default()
        };
        let options = LoadOptions {
            decoding,
            ..Default::default()
        };
        load(&DatasetSpec::Recording(path), &options)
    }

    fn refused(&self, trial: Option<&str>) -> String {
        self.read(trial).map(drop).unwrap_err().to_string()
    }
}

#[test]
fn spikes_that_make_no_sense_are_refused() {
    assert_eq!(Session::new().read(None).unwrap().train.len(), 8);
    for (spikes, ends, part) in [
        (
            vec![0.4, 0.1, 0.7],
            vec![3],
            "row 1, of unit 0, counted from 0: 0.1 s follows 0.4 s",
        ),
        (vec![0.1, f64::NAN], vec![2], "NaN is no time"),
        (
            vec![0.1, 0.2],
            vec![1, 3],
            "unit 1 end at 3, after 1 of 2 spikes",
        ),
        (vec![0.1, 0.2], vec![2, 1], "unit 1 end at 1, after 2"),
        (vec![0.1, 0.2], vec![-1, 2], "unit 0 end at -1"),
        (vec![0.1, 0.2], vec![1], "ends at 1, spike_times holds 2"),
        // In samples, or of another clock.
        (
            vec![3000.0, 6000.0],
            vec![2],
            "2 spikes from 3000 to 6000 s, bins from 0 to 1 s",
        ),
    ] {
        let session = Session {
            spikes,
            ends,
            ..Session::new()
        };
        let text = session.refused(None);
        assert!(text.contains(part), "{part}: {text}");
    }
    let early = Session {
        spikes: vec![-0.5, 0.1, 0.4, 2.0],
        ends: vec![4],
        ..Session::new()
    };
    let notes = early.read(None).unwrap().notes.join("\n");
    assert!(notes.contains("2 spikes of 1 unit"), "{notes}");
    assert!(
        notes.contains("2 spikes outside of them left out, 1 of them before 0 s"),
        "{notes}"
    );
}

#[test]
fn series_that_make_no_sense_are_refused() {
    let nan = |at: usize| {
        let mut session = Session::new();
        session.velocity[at] = f64::NAN;
        session
    };
    let text = nan(3).refused(None);
    assert!(
        text.contains("1 of 10 bins hold what is not finite, the first at 0.3"),
        "{text}"
    );
    let mut session = Session::new();
    session.conversion = f64::NAN;
    let text = session.refused(None);
    assert!(text.contains("its conversion is NaN"), "{text}");
    // Trials may leave it out.
    let mut session = nan(7);
    session.trials = vec![[0.0, 0.3], [0.3, 0.7], [0.8, 1.0]];
    assert!(session.read(Some("trials")).is_ok());
    let even: Vec<f64> = (0..10).map(|sample| f64::from(sample) / 10.0).collect();
    let mut back = even.clone();
    back.swap(4, 5);
    let mut gap = even.clone();
    gap.iter_mut().skip(5).for_each(|time| *time += 3.0);
    for (stamps, part) in [
        (
            back,
            "its timestamps do not ascend: sample 4 is at 0.5 s, sample 5 at 0.4 s",
        ),
        (even[..9].to_vec(), "10 samples and 9 timestamps"),
        (gap, "no sample in 30 bins in a row, from 0.5 s on"),
    ] {
        let session = Session {
            stamps: Some(stamps),
            ..Session::new()
        };
        let text = session.refused(None);
        assert!(text.contains(part), "{part}: {text}");
    }
    let session = Session {
        stamps: Some(even),
        ..Session::new()
    };
    assert_eq!(session.read(None).unwrap().train.len(), 8);
}

#[test]
fn trials_that_make_no_sense_are_refused() {
    for (trials, part) in [
        (
            vec![[0.0, 0.6], [0.5, 1.0]],
            "row 1 begins at 0.5 s, before row 0 ends at 0.6 s",
        ),
        (
            vec![[0.5, 1.0], [0.0, 0.5]],
            "may not overlap and have to ascend",
        ),
        (vec![[f64::NAN, 1.0], [0.2, 0.25]], "leaves no bin"),
        (vec![[5.0, 6.0]], "leaves no bin"),
    ] {
        let session = Session {
            trials,
            ..Session::new()
        };
        let text = session.refused(Some("trials"));
        assert!(text.contains(part), "{part}: {text}");
    }
    let short = Session {
        trials: vec![[0.0, 0.05], [0.1, 1.0]],
        ..Session::new()
    };
    let notes = short.read(Some("trials")).unwrap().notes.join("\n");
    assert!(
        notes.contains("1 trial left out, shorter than a bin"),
        "{notes}"
    );
}

/// A folder as Kilosort writes it, at 1000 samples a second.
fn sorted(clusters: &[i64]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(
        at("spike_times.npy"),
        &npy_i64(&[6, 1], &[5, 150, 151, 420, 999, 5000]),
    );
    write(
        at("spike_clusters.npy"),
        &npy_i64(&[clusters.len()], clusters),
    );
    write(
        at("params.py"),
        b"dat_path = 'x.bin'\nsample_rate = 1000.\n",
    );
    let velocity: Vec<f32> = (0..10).map(|bin| bin as f32 + 0.5).collect();
    write(at("velocity.npy"), &npy_f32(&[10], &velocity));
    dir
}

#[test]
fn sorted_spikes_are_counted_for_every_row_of_the_target() {
    let dir = sorted(&[7, 3, 7, 7, 9, 3]);
    let config = DecodingConfig {
        target: "velocity".into(),
        bin_width: Some(0.1),
        ..config()
    };
    let read = |config: &DecodingConfig| {
        let options = LoadOptions {
            decoding: config.clone(),
            ..Default::default()
        };
        load(&DatasetSpec::Recording(dir.path().to_path_buf()), &options)
    };
    let set = read(&config).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (8, 2));
    // Clusters 3, 7 and 9.
    let counts: Vec<_> = rows(&set.train)
        .into_iter()
        .map(|(counts, _)| counts)
        .collect();
    assert_eq!(counts[..2], [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]);
    assert_eq!(rows(&set.test)[1].0, [0.0, 0.0, 1.0]);
    assert!(
        set.notes
            .join("\n")
            .contains("5 spikes of 3 units in 10 bins"),
        "{:?}",
        set.notes
    );

    write(
        dir.path().join("cluster_group.tsv"),
        b"cluster_id\tgroup\n3\tnoise\n7\tgood\n9\tmua\n",
    );
    let set = read(&config).unwrap();
    assert_eq!(rows(&set.train)[0].0, [1.0]);
    let notes = set.notes.join("\n");
    assert!(
        notes.contains("1 of 3 clusters that cluster_group.tsv calls good"),
        "{notes}"
    );
    // Of rows of one cluster the last counts.
    write(
        dir.path().join("cluster_group.tsv"),
        b"cluster_id\tgroup\n3\tgood\n7\tgood\n9\tmua\n3\tnoise\n",
    );
    let found = inspect(dir.path()).unwrap();
    assert!(found.kind.contains("Kilosort"), "{}", found.kind);
    assert!(
        named(&found, "units")
            .role
            .as_ref()
            .unwrap()
            .contains("3 spikes of 1 of 3 clusters")
    );

    write(dir.path().join("params.py"), b"n_channels_dat = 32\n");
    let text = read(&config).map(drop).unwrap_err().to_string();
    assert!(
        text.contains("params.py") && text.contains("sample_rate = 30000"),
        "{text}"
    );
}

#[test]
fn sorted_spikes_without_as_many_clusters_are_refused() {
    let dir = sorted(&[7, 3]);
    let found = inspect(dir.path()).unwrap();
    let problem = named(&found, "units").problem.clone().unwrap();
    assert!(
        problem.contains("holds 6 items") && problem.contains("holds 2: they do not belong"),
        "{problem}"
    );
}
