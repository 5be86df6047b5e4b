//! What targets are taken for.

use std::io::Cursor;
use std::path::Path;

use granule_data::arrays::{ArrayOptions, TargetKind, decode_npz};
use granule_data::{DataError, Dataset, Targets};

use crate::support::{npy, npy_f32, npy_i64, zip};

fn with(y: &[u8], samples: usize, targets: Option<TargetKind>) -> Result<Dataset, DataError> {
    let x: Vec<f32> = (0..samples).map(|i| i as f32).collect();
    let bytes = zip(
        &[("x.npy", &npy_f32(&[samples, 1], &x)), ("y.npy", y)],
        true,
    );
    let options = ArrayOptions {
        targets,
        ..Default::default()
    };
    decode_npz(&mut Cursor::new(&bytes), Path::new("a.npz"), 1, &options)
}

/// The labels of samples as names, in the order of the single feature.
fn names(set: &Dataset) -> Vec<String> {
    let mut all = Vec::new();
    for split in [&set.train, &set.test] {
        for i in 0..split.len() {
            let name = &set.classes[usize::from(split.class(i).unwrap())];
            all.push((split.values(i).unwrap()[0] as usize, name.clone()));
        }
    }
    all.sort();
    all.into_iter().map(|(_, name)| name).collect()
}

fn f8(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The warnings of features in double precision or integers, with a good column behind the first one.
fn lost(first: &dyn Fn(usize) -> Vec<u8>, descr: &str, column_major: bool) -> Vec<String> {
    let good: Vec<Vec<u8>> = (0..40)
        .map(|i| match descr {
            "<f8" => (i as f64).to_le_bytes().to_vec(),
            _ => (i as i64).to_le_bytes().to_vec(),
        })
        .collect();
    let x: Vec<u8> = if column_major {
        (0..40).map(first).chain(good).flatten().collect()
    } else {
        (0..40)
            .zip(good)
            .flat_map(|(i, good)| [first(i), good].concat())
            .collect()
    };
    let order = if column_major { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (40, 2), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(x);
    let y: Vec<i64> = (0..40).map(|i| i % 2).collect();
    let bytes = zip(&[("x.npy", &bytes), ("y.npy", &npy_i64(&[40], &y))], true);
    let options = ArrayOptions::default();
    let set = decode_npz(&mut Cursor::new(&bytes), Path::new("a.npz"), 1, &options).unwrap();
    set.warnings
}

#[test]
fn a_column_that_no_longer_differs_is_named() {
    let f8 = |x: f64| x.to_le_bytes().to_vec();
    let i8 = |x: i64| x.to_le_bytes().to_vec();
    for column_major in [false, true] {
        let named = |lost: Vec<String>| {
            assert_eq!(lost.len(), 1, "{lost:?}");
            assert!(
                lost[0].contains("a.npz!x.npy: feature 0, counted from 0"),
                "{lost:?}"
            );
        };
        named(lost(&|i| f8((i % 2) as f64 * 1e-50), "<f8", column_major));
        named(lost(&|i| f8((i % 2) as f64 * 1e-40), "<f8", column_major));
        named(lost(
            &|i| i8((1 << 60) + (i % 2) as i64),
            "<i8",
            column_major,
        ));
        for fine in [
            lost(&|_| f8(1e-50), "<f8", column_major),
            lost(&|i| f8(1.7e9 + (i % 2) as f64), "<f8", column_major),
            lost(&|i| f8((i % 2) as f64 * 1e-30), "<f8", column_major),
            lost(
                &|i| i8((1 << 60) + 4096 * (i % 2) as i64),
                "<i8",
                column_major,
            ),
            lost(&|_| i8(i64::MAX), "<i8", column_major),
        ] {
            assert!(fine.is_empty(), "{fine:?}");
        }
    }
}

#[test]
fn classes_are_the_labels_that_occur() {
    for labels in [
        vec![1i64, 2, 3],
        vec![3, 700, 20_000],
        vec![-1, 1],
        vec![i64::MIN, 0, i64::MAX],
    ] {
        let all: Vec<i64> = labels.iter().cycle().take(30).copied().collect();
        let set = with(&npy_i64(&[30], &all), 30, None).unwrap();
        let expected: Vec<String> = labels.iter().map(i64::to_string).collect();
        assert_eq!(set.classes, expected);
        let expected: Vec<String> = all.iter().map(i64::to_string).collect();
        assert_eq!(names(&set), expected);
        let said = set
            .notes
            .iter()
            .any(|note| note.contains("labels that occur"));
        assert!(said, "{:?}", set.notes);
        assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    }
    // Ages, say: each way to take them is told.
    for amounts in [vec![21i64, 35, 35, 48, 60, 21, 21], (0..40).collect()] {
        let amounts = amounts.repeat(2);
        let y = npy_i64(&[amounts.len()], &amounts);
        let told = |set: &Dataset| {
            set.notes
                .iter()
                .any(|note| note.contains("data.targets = \"values\""))
        };
        assert!(told(&with(&y, amounts.len(), None).unwrap()));
        assert!(!told(
            &with(&y, amounts.len(), Some(TargetKind::Classes)).unwrap()
        ));
    }
    let plain: Vec<i64> = (0..30).map(|i| i % 3).collect();
    let set = with(&npy_i64(&[30], &plain), 30, None).unwrap();
    assert!(set.notes.is_empty(), "{:?}", set.notes);
    let large = [u64::MAX, u64::MAX - 1].repeat(5);
    let data: Vec<u8> = large.iter().flat_map(|x| x.to_le_bytes()).collect();
    let set = with(&npy("<u8", false, &[10], &data), 10, None).unwrap();
    assert_eq!(
        set.classes,
        ["18446744073709551614", "18446744073709551615"]
    );
}

#[test]
fn strings_are_names_of_classes() {
    let unicode = |text: &str| -> Vec<u8> {
        let mut bytes: Vec<u8> = text
            .chars()
            .flat_map(|c| u32::from(c).to_le_bytes())
            .collect();
        bytes.resize(4 * 4, 0);
        bytes
    };
    let words = ["dog", "çat", "dog", "çat", "dog", "çat"];
    let data: Vec<u8> = words.iter().flat_map(|word| unicode(word)).collect();
    for shape in [&[6usize][..], &[6, 1]] {
        let set = with(&npy("<U4", false, shape, &data), 6, None).unwrap();
        assert_eq!(set.classes, ["dog", "çat"]);
        assert_eq!(names(&set), words);
    }
    let set = with(&npy("|S3", false, &[4], b"a\0\0bcda\0\0bcd"), 4, None).unwrap();
    assert_eq!(set.classes, ["a", "bcd"]);
    let error = with(
        &npy("|S3", false, &[4], b"a\0\0bcda\0\0bcd"),
        4,
        Some(TargetKind::Values),
    );
    assert!(error.unwrap_err().to_string().contains("data.targets"));
    let error = with(&npy("|O", false, &[4], &[0; 32]), 4, None).unwrap_err();
    assert!(error.to_string().contains("y.astype(str)"), "{error}");
}

#[test]
fn one_hot_rows_and_whole_floats_are_recognised_and_that_can_be_overruled() {
    let one_hot: Vec<f32> = (0..12)
        .flat_map(|i| (0..3).map(move |k| f32::from(i % 3 == k)))
        .collect();
    let set = with(&npy_f32(&[12, 3], &one_hot), 12, None).unwrap();
    assert_eq!(set.classes, ["0", "1", "2"]);
    assert!(
        set.notes[0].contains("one-hot rows of 3"),
        "{:?}",
        set.notes
    );
    let set = with(&npy_f32(&[12, 3], &one_hot), 12, Some(TargetKind::Values)).unwrap();
    assert!(matches!(
        set.train.targets(),
        Targets::Values { width: 3, .. }
    ));

    for labels in [vec![0.0, 1.0, 2.0], vec![1.0, 2.0], vec![-1.0, 1.0]] {
        let all: Vec<f64> = labels.iter().cycle().take(12).copied().collect();
        let set = with(&npy("<f8", false, &[12], &f8(&all)), 12, None).unwrap();
        assert_eq!(set.classes.len(), labels.len());
        assert!(
            set.notes[0].contains("whole numbers in float64"),
            "{:?}",
            set.notes
        );
        let set = with(
            &npy("<f8", false, &[12], &f8(&all)),
            12,
            Some(TargetKind::Values),
        )
        .unwrap();
        assert!(set.classes.is_empty());
    }
    let amounts: Vec<f64> = (0..12).map(|i| f64::from(i * i)).collect();
    let set = with(&npy("<f8", false, &[12], &f8(&amounts)), 12, None).unwrap();
    assert!(set.classes.is_empty());
    let integers: Vec<i64> = (0..12).map(|i| i % 3).collect();
    let set = with(&npy_i64(&[12], &integers), 12, Some(TargetKind::Values)).unwrap();
    assert!(set.classes.is_empty());
    let halves = npy("<f8", false, &[12], &f8(&[0.5; 12]));
    let error = with(&halves, 12, Some(TargetKind::Classes))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("y holds float64") && error.contains("data.targets = \"values\""),
        "{error}"
    );
}

#[test]
fn classes_without_samples_are_warned_of_by_name() {
    let x = npy_f32(&[4, 1], &[0.0, 1.0, 2.0, 3.0]);
    let set = |train: [i64; 4], test: [i64; 4]| {
        let (train, test) = (npy_i64(&[4], &train), npy_i64(&[4], &test));
        let members: [(&str, &[u8]); 4] = [
            ("x_train.npy", &x),
            ("y_train.npy", &train),
            ("x_test.npy", &x),
            ("y_test.npy", &test),
        ];
        let options = ArrayOptions::default();
        decode_npz(
            &mut Cursor::new(zip(&members, false)),
            Path::new("a.npz"),
            1,
            &options,
        )
        .unwrap()
    };
    let warned = set([1, 2, 2, 1], [1, 2, 5, 5]).warnings;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].contains("class 5 has no training sample"),
        "{warned:?}"
    );
    let warned = set([1, 2, 5, 7], [1, 2, 2, 2]).warnings;
    assert!(
        warned[0].contains("2 classes have no test sample") && warned[0].contains("5, 7"),
        "{warned:?}"
    );
    let warned = set([4; 4], [4; 4]).warnings;
    assert!(warned[0].contains("of one class, 4"), "{warned:?}");
}
