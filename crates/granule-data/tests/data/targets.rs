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

/// An archive of a feature for each sample of the parts, and their targets.
fn of_parts(parts: &[(&str, usize, Vec<u8>)]) -> Result<Dataset, DataError> {
    let mut members = Vec::new();
    for (part, samples, y) in parts {
        let x: Vec<f32> = (0..*samples).map(|i| i as f32).collect();
        members.push((format!("x{part}.npy"), npy_f32(&[*samples, 1], &x)));
        members.push((format!("y{part}.npy"), y.clone()));
    }
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    let bytes = zip(&members, true);
    let options = ArrayOptions::default();
    decode_npz(&mut Cursor::new(&bytes), Path::new("a.npz"), 1, &options)
}

fn strings(names: &[&str]) -> Vec<u8> {
    let data: Vec<u8> = names
        .iter()
        .flat_map(|name| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(8, 0);
            bytes
        })
        .collect();
    npy("|S8", false, &[names.len()], &data)
}

#[test]
fn labels_of_several_parts_are_compared_as_they_are_meant() {
    let train = npy_i64(&[4], &[0, 1, 10, 2]);
    let spelt = strings(&["10", "2", "0"]);
    let set = of_parts(&[("_train", 4, train.clone()), ("_test", 3, spelt)]).unwrap();
    assert_eq!(set.classes, ["0", "1", "2", "10"]);
    let test: Vec<u16> = (0..3).map(|i| set.test.class(i).unwrap()).collect();
    assert_eq!(test, [3, 2, 0]);
    let note = "a.npz!y_test.npy: its strings are whole numbers, taken for the labels of a.npz!y_train.npy";
    assert!(set.notes.contains(&note.to_owned()), "{:?}", set.notes);

    for other in ["cat", "01", "1.0", "-0"] {
        let y = strings(&[other, "1"]);
        let parts = [("_train", 4, train.clone()), ("_test", 2, y.clone())];
        let swapped = [("_train", 2, y), ("_test", 4, train.clone())];
        for parts in [parts, swapped] {
            let error = of_parts(&parts).unwrap_err().to_string();
            for what in ["y_train.npy", "y_test.npy", "strings", "0, 1, 10, 2", other] {
                assert!(error.contains(what), "{error}");
            }
        }
    }
    let error = of_parts(&[("", 4, strings(&["a\x01", "a\x02", "b", "b"]))]).unwrap_err();
    assert!(error.to_string().contains("look alike"), "{error}");
}

#[test]
fn a_validation_part_is_read_and_what_is_left_out_is_named() {
    let y = |count: usize| {
        npy_i64(
            &[count],
            &(0..count).map(|i| i as i64 % 2).collect::<Vec<_>>(),
        )
    };
    for named in ["_val", "_valid", "_validation"] {
        let all = of_parts(&[("_train", 8, y(8)), ("_test", 4, y(4)), (named, 6, y(6))]).unwrap();
        assert_eq!(all.validation.as_ref().unwrap().len(), 6);
        assert_eq!((all.train.len(), all.test.len()), (8, 4));
        assert!(
            all.notes
                .iter()
                .any(|note| note.contains("are the validation part"))
        );
        let whole = of_parts(&[("", 20, y(20)), (named, 6, y(6))]).unwrap();
        assert_eq!(whole.validation.as_ref().unwrap().len(), 6);
        assert_eq!((whole.train.len(), whole.divided), (16, true));
        let two = of_parts(&[("_train", 8, y(8)), (named, 6, y(6))]).unwrap();
        assert_eq!((two.test.len(), &two.validation), (6, &None));
        assert!(
            two.notes[0].contains("are taken for the test part"),
            "{:?}",
            two.notes
        );
    }
    let set = of_parts(&[
        ("", 8, y(8)),
        ("_train", 8, y(8)),
        ("_test", 4, y(4)),
        ("_extra", 3, y(3)),
    ])
    .unwrap();
    assert_eq!(
        set.warnings,
        ["a.npz: [x, y] in it left out, read are [x_train, y_train, x_test, y_test]"]
    );
    let meant = of_parts(&[
        ("_train", 8, y(8)),
        ("_test", 4, y(4)),
        ("_validate", 6, y(6)),
    ])
    .unwrap();
    assert_eq!(
        meant.warnings,
        [
            "a.npz: [x_validate, y_validate] in it left out, read are [x_train, y_train, x_test, y_test]; if x_validate is of the \
          validation part, call it x_val"
        ]
    );
    let again = of_parts(&[
        ("_train", 8, y(8)),
        ("_test", 4, y(4)),
        ("_testing", 6, y(6)),
    ])
    .unwrap();
    assert_eq!(
        again.warnings,
        [
            "a.npz: [x_testing, y_testing] in it left out, read are [x_train, y_train, x_test, y_test]"
        ]
    );
    assert!(set.notes.contains(
        &"a.npz: read are [x_train, y_train, x_test, y_test], not [x_extra, y_extra]".to_owned()
    ));
}

#[test]
fn whole_numbers_of_nearly_every_sample_are_no_labels_unless_said() {
    let prices: Vec<i64> = (0..100).map(|i| 100_000 + 37 * i).collect();
    let y = npy_i64(&[100], &prices);
    let error = with(&y, 100, None).unwrap_err().to_string();
    assert!(
        error.contains("100 different whole numbers in 100 samples"),
        "{error}"
    );
    assert!(error.contains("data.targets = \"values\""), "{error}");
    let set = with(&y, 100, Some(TargetKind::Values)).unwrap();
    assert!(set.classes.is_empty());
    let two_each: Vec<i64> = (0..100).map(|i| 7 * (i % 50)).collect();
    let y = npy_i64(&[100], &two_each);
    assert_eq!(with(&y, 100, None).unwrap().classes.len(), 50);
    let few: Vec<i64> = (0..15).map(|i| 7 * i).chain([0]).collect();
    assert_eq!(
        with(&npy_i64(&[16], &few), 16, None).unwrap().classes.len(),
        15
    );
}

#[test]
fn what_is_the_same_in_every_sample_is_warned_of_and_named() {
    let y: Vec<f64> = (0..40).flat_map(|i| [f64::from(i) + 0.5, 5.0]).collect();
    let set = with(&npy("<f8", false, &[40, 2], &f8(&y)), 40, None).unwrap();
    assert_eq!(
        set.warnings,
        [
            "target 1, counted from 0, is 5 in every training sample: there is nothing to learn of it"
        ]
    );
    let x = npy_f32(&[40, 1], &[3.0; 40]);
    let y = npy_i64(&[40], &(0..40).map(|i| i % 2).collect::<Vec<_>>());
    let bytes = zip(&[("x.npy", &x), ("y.npy", &y)], true);
    let options = ArrayOptions::default();
    let set = decode_npz(&mut Cursor::new(&bytes), Path::new("a.npz"), 1, &options).unwrap();
    assert_eq!(
        set.warnings,
        [
            "the only feature is the same in every training sample: there is nothing to tell samples apart by"
        ]
    );
    // A column that differs in one row alone does differ, wherever that row goes.
    for row in 0..40 {
        let mut x = vec![0.0; 80];
        for i in 0..40 {
            x[2 * i] = i as f32;
        }
        x[2 * row + 1] = 1.0;
        let bytes = zip(&[("x.npy", &npy_f32(&[40, 2], &x)), ("y.npy", &y)], true);
        let set = decode_npz(&mut Cursor::new(&bytes), Path::new("a.npz"), 1, &options).unwrap();
        assert_eq!(set.warnings, Vec::<String>::new(), "{row}");
    }
}
