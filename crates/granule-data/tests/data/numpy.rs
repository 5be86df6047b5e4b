//! What NumPy reads is read the same: every type, byte order, layout and archive.

use std::io::Cursor;
use std::path::Path;

use granule_data::arrays::{
    ArrayOptions, Inputs, Items, Layout, decode_inputs, decode_npz, read_items,
};
use granule_data::{DataError, Dataset, Features, Normalization, Shape};

use crate::support::{npy, npy_f32, npy_i64, write, zip};

/// NumPy's codes of the number types, without byte order.
const CODES: [&str; 12] = [
    "b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8",
];

/// Whole numbers from 0 to 2048, as `code` stores them.
fn encode(code: &str, big: bool, numbers: &[u32]) -> Vec<u8> {
    let element = |&x: &u32| -> Vec<u8> {
        let mut bytes = match code {
            "b1" | "u1" | "i1" => vec![x as u8],
            "u2" | "i2" => (x as u16).to_le_bytes().to_vec(),
            "u4" | "i4" => x.to_le_bytes().to_vec(),
            "u8" | "i8" => u64::from(x).to_le_bytes().to_vec(),
            "f2" => half(f64::from(x)).to_le_bytes().to_vec(),
            "f4" => (x as f32).to_le_bytes().to_vec(),
            _ => f64::from(x).to_le_bytes().to_vec(),
        };
        if big {
            bytes.reverse();
        }
        bytes
    };
    numbers.iter().flat_map(element).collect()
}

/// The bits of a half-precision number that is exact in 11 bits, or 0.
fn half(x: f64) -> u16 {
    if x == 0.0 {
        return 0;
    }
    let exponent = x.abs().log2().floor() as i32;
    let fraction = ((x.abs() / 2f64.powi(exponent) - 1.0) * 1024.0) as u16;
    u16::from(x < 0.0) << 15 | ((exponent + 15) as u16) << 10 | fraction
}

/// `numbers` of a row-major array, in column-major order.
fn by_columns(numbers: &[u32], shape: &[usize]) -> Vec<u32> {
    let mut order = vec![(0, Vec::new())];
    for &extent in shape {
        order = order
            .into_iter()
            .flat_map(|(at, place): (usize, Vec<usize>)| {
                (0..extent).map(move |k| (at * extent + k, [place.clone(), vec![k]].concat()))
            })
            .collect();
    }
    order.sort_by_key(|(_, place)| place.iter().rev().copied().collect::<Vec<_>>());
    order.iter().map(|(at, _)| numbers[*at]).collect()
}

fn with_version(bytes: &[u8], version: u8) -> Vec<u8> {
    let header = u16::from_le_bytes([bytes[8], bytes[9]]);
    let length = u32::from(header).to_le_bytes();
    [b"\x93NUMPY", &[version, 0][..], &length, &bytes[10..]].concat()
}

fn inputs(bytes: &[u8], options: &ArrayOptions) -> Result<Inputs, DataError> {
    decode_inputs(bytes, bytes.len() as u64, Path::new("x.npy"), options)
}

fn npz(bytes: &[u8]) -> Result<Dataset, DataError> {
    let path = Path::new("a.npz");
    decode_npz(&mut Cursor::new(bytes), path, 1, &ArrayOptions::default())
}

#[test]
fn every_type_order_layout_and_version_gives_the_same_numbers() {
    for code in CODES {
        let numbers: Vec<u32> = (0..12)
            .map(|i| if code == "b1" { i % 2 } else { 9 * i })
            .collect();
        let expected: Vec<f32> = numbers.iter().map(|&x| x as f32).collect();
        for (order, big) in [
            ("<", false),
            (">", true),
            ("=", cfg!(target_endian = "big")),
            ("|", false),
        ] {
            for shape in [&[4usize, 3][..], &[12], &[12, 1]] {
                for column_major in [false, true] {
                    let stored = if column_major {
                        by_columns(&numbers, shape)
                    } else {
                        numbers.clone()
                    };
                    let data = encode(code, big, &stored);
                    let bytes = npy(&format!("{order}{code}"), column_major, shape, &data);
                    for bytes in [
                        bytes.clone(),
                        with_version(&bytes, 2),
                        with_version(&bytes, 3),
                    ] {
                        let found = inputs(&bytes, &ArrayOptions::default()).unwrap();
                        let len = shape.get(1).copied().unwrap_or(1);
                        assert_eq!(found.shape, Shape::Vector { len }, "{order}{code}");
                        assert_eq!(
                            found.features,
                            Features::Floats(expected.clone()),
                            "{order}{code} {shape:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn half_precision_has_its_special_numbers() {
    for (bits, expected) in [
        (0x3c00u16, 1.0f32),
        (0xc000, -2.0),
        (0x3555, 0.333_251_95),
        (0x7bff, 65504.0),
        (0x0001, 5.960_464_5e-8),
        (0x8000, -0.0),
    ] {
        let found = inputs(
            &npy("<f2", false, &[1, 1], &bits.to_le_bytes()),
            &ArrayOptions::default(),
        );
        assert_eq!(found.unwrap().features, Features::Floats(vec![expected]));
    }
    let infinite = npy("<f2", false, &[1, 1], &0x7c00u16.to_le_bytes());
    assert!(inputs(&infinite, &ArrayOptions::default()).is_err());
}

#[test]
fn images_of_every_type_are_the_same_pixels() {
    let shape = [2usize, 2, 3];
    let pixels: Vec<u8> = vec![0, 1, 2, 100, 127, 90, 3, 4, 5, 6, 7, 8];
    let numbers: Vec<u32> = pixels.iter().map(|&x| x.into()).collect();
    let range = ArrayOptions {
        range: Some([0.0, 255.0]),
        ..Default::default()
    };
    for code in &CODES[1..] {
        for big in [false, true] {
            let order = if big { ">" } else { "<" };
            let data = encode(code, big, &numbers);
            let bytes = npy(&format!("{order}{code}"), false, &shape, &data);
            let as_said = inputs(&bytes, &range).unwrap();
            assert_eq!(as_said.features, Features::Bytes(pixels.clone()), "{code}");
            if code.starts_with('f') {
                let error = inputs(&bytes, &ArrayOptions::default())
                    .unwrap_err()
                    .to_string();
                for part in [
                    "x.npy",
                    "from 0 to 127",
                    "--range=0,255",
                    "data.range = [0, 255]",
                ] {
                    assert!(error.contains(part), "{error}");
                }
            } else {
                let found = inputs(&bytes, &ArrayOptions::default()).unwrap();
                assert_eq!(found.features, as_said.features, "{code}");
                assert!(
                    found
                        .note
                        .unwrap()
                        .contains("taken for pixels from 0 to 255")
                );
            }
        }
    }
}

#[test]
fn floating_point_images_are_intensities_and_ranges_say_anything_else() {
    let pixels: Vec<u8> = (0..=255).collect();
    let scaled =
        |f: &dyn Fn(f64) -> f64| -> Vec<f64> { pixels.iter().map(|&x| f(f64::from(x))).collect() };
    let f4 = |values: &[f64]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|&x| (x as f32).to_le_bytes())
            .collect()
    };
    let f8 = |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let options = |range| ArrayOptions {
        range,
        ..Default::default()
    };
    let unit = scaled(&|x| x / 255.0);
    let signed = scaled(&|x| x / 127.5 - 1.0);
    for (values, range) in [(&unit, None), (&signed, Some([-1.0, 1.0]))] {
        for (code, data) in [("<f4", f4(values)), ("<f8", f8(values))] {
            let bytes = npy(code, false, &[1, 16, 16], &data);
            let found = inputs(&bytes, &options(range)).unwrap();
            assert_eq!(
                found.features,
                Features::Bytes(pixels.clone()),
                "{code} {range:?}"
            );
        }
    }
    let error = inputs(
        &npy("<f4", false, &[1, 16, 16], &f4(&signed)),
        &options(None),
    )
    .unwrap_err();
    assert!(error.to_string().contains("--range=-1,1"), "{error}");
    let error = inputs(
        &npy("|u1", false, &[1, 16, 16], &pixels),
        &options(Some([-1.0, 1.0])),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("beyond the range [-1, 1]"),
        "{error}"
    );

    // What lies between the levels of pixels stays as it is.
    let fine = [0.0, 0.1234, 0.5678, 1.0];
    let found = inputs(&npy("<f4", false, &[1, 2, 2], &f4(&fine)), &options(None)).unwrap();
    assert_eq!(
        found.features,
        Features::Floats(fine.map(|x| x as f32).to_vec())
    );
    let deep: Vec<u8> = [0u16, 1000, 4095, 77]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let found = inputs(
        &npy("<u2", false, &[1, 2, 2], &deep),
        &options(Some([0.0, 4095.0])),
    )
    .unwrap();
    let expected = [0.0, 1000.0 / 4095.0, 1.0, 77.0 / 4095.0].map(|x: f64| x as f32);
    assert_eq!(found.features, Features::Floats(expected.to_vec()));
}

#[test]
fn rows_and_columns_are_exchanged_where_that_is_said() {
    let bytes = npy("|u1", false, &[1, 2, 3], &[1, 2, 3, 4, 5, 6]);
    let options = ArrayOptions {
        transpose: true,
        ..Default::default()
    };
    let found = inputs(&bytes, &options).unwrap();
    let shape = Shape::Image {
        channels: 1,
        height: 3,
        width: 2,
    };
    assert_eq!(
        (found.shape, found.features),
        (shape, Features::Bytes(vec![1, 4, 2, 5, 3, 6]))
    );
}

/// Two channels of three steps, of any numbers: each channel has one mean and one deviation over all steps.
#[test]
fn sequences_are_standardised_by_channel() {
    let options = ArrayOptions {
        layout: Some(Layout::Sequence),
        ..Default::default()
    };
    // The first channel has the mean 2 and the deviation 1, the second −100 and 20.
    let values: Vec<f32> = (0..12)
        .flat_map(|i| {
            [
                1.0 + 2.0 * (i % 2) as f32,
                -120.0 + 40.0 * (i / 2 % 2) as f32,
            ]
        })
        .collect();
    let x = npy_f32(&[4, 3, 2], &values);
    let y = npy_i64(&[4], &[0, 1, 0, 1]);
    let members = [
        ("x_train.npy", &x),
        ("y_train.npy", &y),
        ("x_test.npy", &x),
        ("y_test.npy", &y),
    ];
    let archive = zip(
        &members.map(|(name, bytes)| (name, bytes.as_slice())),
        false,
    );
    let set = decode_npz(&mut Cursor::new(&archive), Path::new("a.npz"), 1, &options).unwrap();
    let shape = Shape::Sequence {
        steps: 3,
        channels: 2,
    };
    assert_eq!(set.train.shape(), shape);
    assert_eq!(set.train.features(), &Features::Floats(values.clone()));
    for (found, expected) in set.normalization.mean.iter().zip([2.0, -100.0]) {
        assert!((found - expected).abs() < 1e-12, "{found}");
    }
    assert_eq!(set.normalization.std, [1.0, 20.0]);
    let mut batch = Vec::new();
    set.train
        .gather(&[3, 0], &set.normalization, None, &mut batch)
        .unwrap();
    let one = [-1.0, -1.0, 1.0, -1.0, -1.0, 1.0];
    let other = [1.0, 1.0, -1.0, 1.0, 1.0, -1.0];
    let rows: Vec<&[f32]> = batch.chunks(6).collect();
    let expected = |sample: usize| if sample.is_multiple_of(2) { one } else { other };
    let of = |sample: usize| -> Vec<f32> {
        let row = &values[6 * sample..6 * sample + 6];
        row.iter()
            .enumerate()
            .map(|(i, x)| {
                if i % 2 == 0 {
                    x - 2.0
                } else {
                    (x + 100.0) / 20.0
                }
            })
            .collect()
    };
    assert_eq!(rows, [of(3), of(0)]);
    assert_eq!(of(0), expected(0));

    // One channel, of counts; a step of it is one number.
    let counts = inputs(&npy("|u1", false, &[2, 3], &[1, 2, 3, 4, 5, 6]), &options).unwrap();
    assert_eq!(
        counts.shape,
        Shape::Sequence {
            steps: 3,
            channels: 1
        }
    );
    for extents in [&[4][..], &[4, 3, 2, 1]] {
        let numbers = vec![0; extents.iter().product()];
        let text = inputs(&npy("|u1", false, extents, &numbers), &options)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("[N, steps, channels] or [N, steps]"),
            "{text}"
        );
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    for extents in [&[3, 2][..], &[1, 3, 2], &[6], &[1, 6]] {
        write(&path, &npy_f32(extents, &values[..6]));
        let found = read_items(&path, &shape, &ArrayOptions::default()).unwrap();
        let doubles = values[..6].iter().map(|&x| f64::from(x)).collect();
        assert_eq!(found, Items::Values(doubles));
    }
    write(&path, &npy_f32(&[2, 3], &values[..6]));
    let text = read_items(&path, &shape, &ArrayOptions::default())
        .unwrap_err()
        .to_string();
    assert!(text.contains("[3, 2] or a batch [N, 3, 2]"), "{text}");
}

#[test]
fn features_far_from_zero_keep_what_differs() {
    let values: Vec<f64> = (0..40).map(|i| 1.7e9 + 20.0 * f64::from(i % 2)).collect();
    let x = npy(
        "<f8",
        false,
        &[40, 1],
        &values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<_>>(),
    );
    let y = npy_i64(&[40], &(0..40).map(|i| i % 2).collect::<Vec<_>>());
    let set = npz(&zip(&[("x.npy", &x), ("y.npy", &y)], false)).unwrap();
    assert_eq!(set.normalization.mean, [1.7e9 + 10.0]);
    assert!((set.normalization.std[0] - 10.0).abs() < 1e-3);
    let mut batch = Vec::new();
    for split in [&set.train, &set.test] {
        let all: Vec<usize> = (0..split.len()).collect();
        split
            .gather(&all, &set.normalization, None, &mut batch)
            .unwrap();
        for (at, x) in batch.iter().enumerate() {
            let expected = if split.class(at) == Some(1) {
                1.0
            } else {
                -1.0
            };
            assert!((x - expected).abs() < 1e-4, "{x}");
        }
    }
    // Small numbers are no rounding error of one another.
    let small: Vec<f32> = (0..40).map(|i| (i % 2) as f32 * 1e-12).collect();
    let set = npz(&zip(
        &[("x.npy", &npy_f32(&[40, 1], &small)), ("y.npy", &y)],
        false,
    ))
    .unwrap();
    assert!(
        (set.normalization.std[0] - 5e-13).abs() < 1e-15,
        "{:?}",
        set.normalization
    );
}

#[test]
fn real_valued_targets_far_from_zero_are_standardised() {
    let bytes = |values: &[f64]| {
        values
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let x: Vec<f64> = (0..50).map(|i| f64::from(i) / 50.0).collect();
    let y: Vec<f64> = x.iter().map(|x| 1.7e9 + x).collect();
    let x = npy("<f8", false, &[50, 1], &bytes(&x));
    let y = npy("<f8", false, &[50], &bytes(&y));
    let set = npz(&zip(&[("x.npy", &x), ("y.npy", &y)], true)).unwrap();
    assert!((set.target_normalization.mean[0] - 1.7e9 - 0.5).abs() < 0.1);
    let all: Vec<usize> = (0..set.train.len()).collect();
    let mut targets = Vec::new();
    set.train
        .gather_targets(&all, &set.target_normalization, &mut targets)
        .unwrap();
    let square: f32 = targets.iter().map(|x| x * x / targets.len() as f32).sum();
    assert!((square - 1.0).abs() < 1e-3, "{square}");
    assert_eq!(
        Normalization::of_targets(&set.train),
        set.target_normalization
    );
    assert!(
        set.notes
            .iter()
            .any(|note| note.contains("real-valued targets")),
        "{:?}",
        set.notes
    );
}

#[test]
fn a_name_that_occurs_more_than_once_is_the_last_one() {
    let (first, last) = (
        npy_f32(&[4, 1], &[9.0; 4]),
        npy_f32(&[4, 1], &[1.0, 2.0, 3.0, 4.0]),
    );
    let y = npy_i64(&[4], &[0, 0, 1, 1]);
    let members: [(&str, &[u8]); 3] = [("x.npy", &first), ("y.npy", &y), ("x.npy", &last)];
    let set = npz(&zip(&members, true)).unwrap();
    let mut all = [set.train.features(), set.test.features()].map(|features| match features {
        Features::Floats(values) => values.clone(),
        Features::Bytes(_) => Vec::new(),
    });
    all[0].extend(all[1].clone());
    all[0].sort_by(f32::total_cmp);
    assert_eq!(all[0], [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn archives_may_hold_many_members_and_follow_other_bytes() {
    let (x, y) = (npy_f32(&[4, 1], &[0.5; 4]), npy_i64(&[4], &[0, 0, 1, 1]));
    let names: Vec<String> = (0..60_000).map(|i| format!("unused-{i}.npy")).collect();
    let mut members: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    members.extend([("x.npy", &x[..]), ("y.npy", &y[..])]);
    let bytes = zip(&members, false);
    assert_eq!(npz(&bytes).unwrap().train.len(), 2);
    let after = [
        &b"#!/bin/sh\n"[..],
        &zip(&[("x.npy", &x), ("y.npy", &y)], false),
    ]
    .concat();
    assert_eq!(npz(&after).unwrap().train.len(), 2);
}

/// The same archive with wide fields throughout, as NumPy writes those above 4 GiB.
fn widened(archive: &[u8]) -> Vec<u8> {
    let end = archive.len() - 22;
    let u32_at = |at: usize| u32::from_le_bytes(archive[at..at + 4].try_into().unwrap());
    let u16_at = |at: usize| u16::from_le_bytes(archive[at..at + 2].try_into().unwrap());
    let count = u64::from(u16_at(end + 10));
    let mut at = u32_at(end + 16) as usize;
    let mut bytes = archive[..at].to_vec();
    let start = bytes.len() as u64;
    for _ in 0..count {
        let name = usize::from(u16_at(at + 28));
        let mut entry = archive[at..at + 46].to_vec();
        let wide = [u32_at(at + 24), u32_at(at + 20), u32_at(at + 42)];
        for place in [20, 24, 42] {
            entry[place..place + 4].fill(0xff);
        }
        entry[30..32].copy_from_slice(&28u16.to_le_bytes());
        entry.extend(&archive[at + 46..at + 46 + name]);
        entry.extend([1, 0, 24, 0]);
        entry.extend(wide.iter().flat_map(|&x| u64::from(x).to_le_bytes()));
        bytes.extend(entry);
        at += 46 + name;
    }
    let (size, place) = (bytes.len() as u64 - start, bytes.len() as u64);
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(
        [count, count, size, start]
            .iter()
            .flat_map(|x| x.to_le_bytes()),
    );
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(place.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([0xff; 12]);
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn archives_with_wide_fields_are_read() {
    let (x, y) = (npy_f32(&[4, 1], &[0.5; 4]), npy_i64(&[4], &[0, 0, 1, 1]));
    for deflate in [false, true] {
        let plain = zip(&[("x.npy", &x), ("y.npy", &y)], deflate);
        let wide = widened(&plain);
        assert_eq!(npz(&wide).unwrap(), npz(&plain).unwrap());
        let after = [&[0; 100][..], &wide].concat();
        assert_eq!(npz(&after).unwrap(), npz(&plain).unwrap());
        for len in 0..wide.len() {
            assert!(npz(&wide[..len]).is_err(), "{len}");
        }
    }
}

#[test]
fn items_to_predict_are_read_by_the_same_rule() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let shape = Shape::Image {
        channels: 1,
        height: 1,
        width: 2,
    };
    let read = |bytes: &[u8], range| {
        write(&path, bytes);
        let options = ArrayOptions {
            range,
            ..ArrayOptions::default()
        };
        read_items(&path, &shape, &options)
    };
    let wide: Vec<u8> = [3i64, 200].iter().flat_map(|x| x.to_be_bytes()).collect();
    let wide = npy(">i8", false, &[1, 2], &wide);
    assert_eq!(read(&wide, None).unwrap(), Items::Pixels(vec![3, 200]));
    let values = Items::Values(vec![3.0, 200.0]);
    assert_eq!(read(&wide, Some([0.0, 200.0])).unwrap(), values);
    assert_eq!(
        read(&npy("|u1", false, &[1, 2], &[3, 200]), Some([0.0, 200.0])).unwrap(),
        values
    );
    assert_eq!(
        read(&npy_f32(&[1, 2], &[3.0, 200.0]), None).unwrap(),
        values
    );
}

/// A row of three channels, and 2×3 upright that are 3×2 in the file.
#[test]
fn items_stored_by_columns_are_set_upright() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let shape = Shape::Image {
        channels: 3,
        height: 1,
        width: 2,
    };
    let options = ArrayOptions {
        transpose: true,
        ..ArrayOptions::default()
    };
    let numbers: Vec<u8> = (0..12).collect();
    write(&path, &npy("|u1", false, &[2, 3, 2, 1], &numbers));
    let found = read_items(&path, &shape, &options).unwrap();
    assert_eq!(found, Items::Pixels(numbers));
    let shape = Shape::Image {
        channels: 1,
        height: 2,
        width: 3,
    };
    let stored: Vec<f32> = (0..12).map(|i| i as f32 / 16.0).collect();
    write(&path, &npy_f32(&[2, 3, 2], &stored));
    let upright = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11].map(|i| f64::from(i) / 16.0);
    let found = read_items(&path, &shape, &options).unwrap();
    assert_eq!(found, Items::Values(upright.to_vec()));
    write(&path, &npy_f32(&[2, 2, 3], &stored));
    assert!(read_items(&path, &shape, &options).is_err());
}

/// A member that nobody asks for may be stored as it likes.
#[test]
fn only_members_that_are_read_need_a_known_method() {
    let x = npy_f32(&[4, 1], &[0.0, 1.0, 2.0, 3.0]);
    let y = npy("|u1", false, &[4], &[0, 1, 0, 1]);
    let mut archive = zip(&[("x.npy", &x), ("y.npy", &y), ("z.npy", &x)], false);
    let plain = npz(&archive).unwrap();
    let entry = |archive: &[u8], name: &[u8]| {
        let named = |at: &usize| {
            archive[*at..].starts_with(b"PK\x01\x02") && archive[at + 46..].starts_with(name)
        };
        (0..archive.len() - 60).find(named).unwrap()
    };
    let at = entry(&archive, b"z.npy");
    archive[at + 10] = 14;
    assert_eq!(npz(&archive).unwrap(), plain);
    let at = entry(&archive, b"y.npy");
    archive[at + 10] = 12;
    let error = npz(&archive).unwrap_err().to_string();
    assert!(
        error.contains("y.npy") && error.contains("method 12"),
        "{error}"
    );
    archive[at + 8] |= 1;
    let error = npz(&archive).unwrap_err().to_string();
    assert!(error.contains("y.npy: encrypted"), "{error}");
}

#[test]
fn what_is_no_array_is_named() {
    for (bytes, expected) in [
        (&b"<!DOCTYPE html><html>"[..], "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00", "pickle"),
    ] {
        let error = inputs(bytes, &ArrayOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let object = npy("|O", false, &[1], &[0; 8]);
    let error = inputs(&object, &ArrayOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("y.astype(str)"), "{error}");
}
