//! Arrays in HDF5 and MATLAB files.

use std::path::{Path, PathBuf};

use granule_data::decoding::{Found, Inspection, inspect};
use granule_data::{Dataset, DatasetSpec, DecodingConfig, LoadOptions, load};

use hdf5_pure::FileBuilder;

use crate::support::{npy_f32, npy_i64, write};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub fn named<'a>(inspection: &'a Inspection, name: &str) -> &'a Found {
    let found = inspection.arrays.iter().find(|array| array.name == name);
    found.unwrap_or_else(|| panic!("{name}: {inspection:?}"))
}

fn read(path: &Path, signal: &str, target: &str) -> Dataset {
    let decoding = DecodingConfig {
        signal: signal.into(),
        target: target.into(),
        test: 0.5,
        ..Default::default()
    };
    let options = LoadOptions {
        decoding,
        seed: 1,
        ..Default::default()
    };
    load(&DatasetSpec::Recording(path.to_path_buf()), &options).unwrap()
}

/// The counts and the velocity that every one of these files holds.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let counts: Vec<i64> = (0..12).collect();
    let velocity = [0.5, -1.0, 1.5, 2.0, 2.5, 0.25, -3.5, 4.0];
    write(dir.path().join("counts.npy"), &npy_i64(&[4, 3], &counts));
    write(
        dir.path().join("velocity.npy"),
        &npy_f32(&[4, 2], &velocity),
    );
    dir
}

#[test]
fn every_kind_of_file_gives_the_same_samples() {
    let dir = folder();
    let expected = read(dir.path(), "counts", "velocity");
    for (file, signal, target) in [
        ("old.h5", "session/counts", "session/velocity"),
        ("new.h5", "/session/counts", "session/velocity"),
        ("old.h5", "session/packed", "session/half"),
        ("plain.mat", "counts", "velocity"),
        ("packed.mat", "counts", "velocity"),
        ("v73.mat", "counts", "velocity"),
    ] {
        let found = read(&fixture(file), signal, target);
        let parts = [
            (&found.train, &expected.train),
            (&found.test, &expected.test),
        ];
        for (part, expected) in parts {
            assert_eq!(part.len(), 2, "{file}");
            for sample in 0..part.len() {
                assert_eq!(
                    part.values(sample),
                    expected.values(sample),
                    "{file} {signal}"
                );
                assert_eq!(
                    part.target_values(sample),
                    expected.target_values(sample),
                    "{file} {target}"
                );
            }
        }
    }
}

#[test]
fn what_hdf5_files_hold_is_shown() {
    for file in ["old.h5", "new.h5"] {
        let found = inspect(&fixture(file)).unwrap();
        assert_eq!(found.kind, "an HDF5 file");
        let shown = |name: &str| {
            let array = named(&found, &format!("session/{name}"));
            assert_eq!(array.problem, None, "{file} {name}");
            (array.dtype.clone(), array.shape.clone())
        };
        for (name, dtype, shape) in [
            ("counts", "int32", &[4, 3][..]),
            ("packed", "uint16", &[4, 3]),
            ("velocity", "float32", &[4, 2]),
            ("half", "float16", &[4, 2]),
            ("moving", "bool", &[4]),
            ("label", "strings", &[4]),
            ("code", "strings", &[4]),
        ] {
            assert_eq!(
                shown(name),
                (dtype.to_owned(), shape.to_vec()),
                "{file} {name}"
            );
        }
        let numbers = named(&found, "session/velocity").numbers.clone().unwrap();
        assert_eq!(
            [numbers.min, numbers.mean, numbers.max],
            [-3.5, 0.78125, 4.0].map(Some)
        );
        let problem = |name: &str| {
            named(&found, &format!("session/{name}"))
                .problem
                .clone()
                .unwrap()
        };
        for (name, part) in [
            ("pair", "compound"),
            ("ref", "references"),
            ("empty", "holds no numbers: its shape is [0, 3]"),
        ] {
            assert!(problem(name).contains(part), "{name}: {}", problem(name));
        }
        let classes = read(&fixture(file), "session/counts", "session/label").classes;
        assert_eq!(classes, ["left", "right"]);
        let suggestion = found.suggestion.unwrap();
        assert_eq!(suggestion.signal, "session/counts");
    }
}

#[test]
fn matlab_variables_have_the_extents_that_size_shows() {
    let plain = inspect(&fixture("plain.mat")).unwrap();
    assert_eq!(plain.kind, "a MATLAB file");
    assert_eq!(named(&plain, "counts").shape, [4, 3]);
    assert_eq!(named(&plain, "target").shape, [1, 4]);
    assert_eq!(
        named(&plain, "session.rate").numbers.as_ref().unwrap().max,
        Some(30000.0)
    );
    assert_eq!(named(&plain, "session.nested.x").shape, [1, 3]);
    let problem = |found: &Inspection, name: &str| named(found, name).problem.clone().unwrap();
    for (name, part) in [
        ("cells", "cell array"),
        ("text", "text"),
        ("session.name", "text"),
    ] {
        assert!(problem(&plain, name).contains(part), "{name}");
    }
    assert_eq!(
        named(&plain, "target").role.as_deref(),
        Some("target (classes) or numbers of groups")
    );
    // A row of four, for four bins.
    let classes = read(&fixture("plain.mat"), "counts", "target").classes;
    assert_eq!(classes, ["1", "2"]);

    let packed = inspect(&fixture("packed.mat")).unwrap();
    assert_eq!(named(&packed, "cube").shape, [2, 3, 4]);
    assert_eq!(named(&packed, "cube").dtype, "float64");
    assert_eq!(named(&packed, "flag").dtype, "bool");
    assert!(problem(&packed, "z").contains("complex"));
    assert!(problem(&packed, "sparse").contains("sparse"));

    let new = inspect(&fixture("v73.mat")).unwrap();
    assert_eq!(new.kind, "a MATLAB file of version 7.3");
    assert_eq!(named(&new, "counts").shape, [4, 3]);
    assert_eq!(named(&new, "session.rate").shape, [1, 1]);
    assert_eq!(problem(&new, "nothing"), "empty");
    for (name, part) in [("cells", "cell array"), ("text", "text")] {
        assert!(problem(&new, name).contains(part), "{name}");
    }
    assert!(new.arrays.iter().all(|array| !array.name.starts_with('#')));
}

/// Numbers that look random and are the same every time.
struct Mixed(u64);

impl Mixed {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn damaged_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged");
    let mut mixed = Mixed(7);
    let mut refused = 0;
    for file in [
        "small.nwb",
        "old.h5",
        "new.h5",
        "v73.mat",
        "plain.mat",
        "packed.mat",
    ] {
        let whole = std::fs::read(fixture(file)).unwrap();
        for case in 0..60 {
            let mut bytes = whole.clone();
            // Structure lies at the beginning, and everywhere.
            let within = if case % 2 == 0 {
                bytes.len()
            } else {
                bytes.len().min(4096)
            };
            for _ in 0..=mixed.below(4) {
                let at = mixed.below(within);
                bytes[at] = match mixed.below(3) {
                    0 => 0xff,
                    1 => 0,
                    _ => mixed.below(256) as u8,
                };
            }
            if case % 8 == 7 {
                bytes.truncate(mixed.below(whole.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            refused += usize::from(inspect(&path).is_err());
            let decoding = DecodingConfig {
                signal: if file == "small.nwb" {
                    "units"
                } else {
                    "counts"
                }
                .into(),
                target: if file == "small.nwb" {
                    "hand_velocity"
                } else {
                    "velocity"
                }
                .into(),
                bin_width: (file == "small.nwb").then_some(0.04),
                ..Default::default()
            };
            let options = LoadOptions {
                decoding,
                ..Default::default()
            };
            let _ = load(&DatasetSpec::Recording(path.clone()), &options);
        }
        // Cut anywhere, none is read as if it were whole.
        for part in 1..8 {
            std::fs::write(&path, &whole[..whole.len() * part / 8]).unwrap();
            let found = inspect(&path);
            let whole =
                |found: Inspection| found.arrays.iter().all(|array| array.problem.is_none());
            assert!(!found.is_ok_and(whole), "{file}: {part}/8");
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn chunks_beyond_the_end_of_a_file_are_refused_before_there_is_room_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claims.h5");
    let mut bytes = std::fs::read(fixture("old.h5")).unwrap();
    // The stored length of a chunk, in the key of a B-tree.
    bytes[4896..4900].fill(0xff);
    write(&path, &bytes);
    let found = inspect(&path).unwrap();
    let problems: Vec<_> = found
        .arrays
        .iter()
        .filter_map(|one| one.problem.as_ref())
        .collect();
    let told = |problem: &&&String| problem.contains("a chunk of 4294967295 bytes at byte");
    assert!(
        problems.iter().any(|problem| told(&problem)),
        "{problems:?}"
    );
    assert_eq!(named(&found, "session/velocity").problem, None);
}

#[test]
fn hdf5_files_behind_other_bytes_are_read_and_open_ones_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session.h5");
    let mut builder = FileBuilder::new();
    builder.with_userblock(1024);
    builder
        .create_dataset("counts")
        .with_i32_data(&[1, 2, 3, 4])
        .with_shape(&[2, 2]);
    write(&path, &builder.finish().unwrap());
    assert_eq!(named(&inspect(&path).unwrap(), "counts").shape, [2, 2]);

    let mut open = std::fs::read(fixture("new.h5")).unwrap();
    open[11] = 1;
    open[44..48].copy_from_slice(&[0x8e, 0x6d, 0x47, 0xa8]);
    write(&path, &open);
    let error = inspect(&path).unwrap_err().to_string();
    assert!(
        error.contains("open for writing") && error.contains("h5clear -s"),
        "{error}"
    );
    assert!(!error.contains("File::"), "{error}");
}

#[test]
fn a_file_of_too_many_objects_says_how_many_there_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.h5");
    let mut builder = FileBuilder::new();
    for at in 0..=10_000 {
        builder
            .create_dataset(&format!("d{at}"))
            .with_i32_data(&[1]);
    }
    write(&path, &builder.finish().unwrap());
    let error = inspect(&path).unwrap_err().to_string();
    assert!(error.contains("more than 10000 objects"), "{error}");
}

#[test]
fn of_variables_of_one_name_the_last_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("twice.mat");
    let mut bytes = std::fs::read(fixture("plain.mat")).unwrap();
    let mut again = bytes[128..].to_vec();
    let once = inspect(&fixture("plain.mat")).unwrap();
    // A velocity of -3.5, which the second one calls -7.
    let at = again
        .windows(8)
        .position(|bytes| *bytes == (-3.5_f64).to_le_bytes());
    let at = at.unwrap();
    again[at..at + 8].copy_from_slice(&(-7.0_f64).to_le_bytes());
    bytes.extend(again);
    write(&path, &bytes);
    let twice = inspect(&path).unwrap();
    assert_eq!(twice.arrays.len(), once.arrays.len());
    let least = |found: &Inspection| named(found, "velocity").numbers.as_ref().unwrap().min;
    assert_eq!((least(&once), least(&twice)), (Some(-3.5), Some(-7.0)));
}
