use std::io::Cursor;
use std::path::Path;

use granule_data::arrays::{ArrayOptions, Inputs, Items, decode_inputs, decode_npz, read_items};
use granule_data::{DataError, Dataset, DatasetSpec, Features, Shape, Targets};
use proptest::prelude::*;

use crate::memory::{cap, peak};
use crate::support::{damage, load_from, npy, npy_f32, npy_i64, write, zip};

fn inputs(bytes: &[u8]) -> Result<(Shape, Features), DataError> {
    read(bytes, &ArrayOptions::default()).map(|inputs| (inputs.shape, inputs.features))
}

fn read(bytes: &[u8], options: &ArrayOptions) -> Result<Inputs, DataError> {
    decode_inputs(bytes, bytes.len() as u64, Path::new("x.npy"), options)
}

fn npz(bytes: &[u8]) -> Result<Dataset, DataError> {
    decode_npz(
        &mut Cursor::new(bytes),
        Path::new("a.npz"),
        1,
        &ArrayOptions::default(),
    )
}

/// Loads `x` and `y` from two files.
fn pair(x: &[u8], y: &[u8]) -> Result<Dataset, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let (x_path, y_path) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    write(&x_path, x);
    write(&y_path, y);
    load_from(
        &DatasetSpec::Arrays {
            x: x_path,
            y: Some(y_path),
        },
        dir.path(),
    )
}

#[test]
fn images_of_every_layout() {
    let bytes: Vec<u8> = (0..24).collect();
    let image = |channels, height, width| Shape::Image {
        channels,
        height,
        width,
    };
    for (shape, expected) in [
        (&[2usize, 3, 4][..], image(1, 3, 4)),
        (&[2, 1, 3, 4], image(1, 3, 4)),
        (&[2, 3, 4, 1], image(3, 4, 1)),
        (&[2, 4, 3, 1], image(1, 4, 3)),
        (&[2, 3, 2, 2], image(3, 2, 2)),
    ] {
        assert_eq!(
            inputs(&npy("|u1", false, shape, &bytes)).unwrap(),
            (expected, Features::Bytes(bytes.clone()))
        );
    }
    let (shape, features) = inputs(&npy("|u1", false, &[2, 2, 2, 3], &bytes)).unwrap();
    assert_eq!(shape, image(3, 2, 2));
    let Features::Bytes(found) = features else {
        panic!("not bytes")
    };
    assert_eq!(found[..12], [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
}

#[test]
fn feature_vectors_of_every_number_type() {
    let expected = (
        Shape::Vector { len: 2 },
        Features::Floats(vec![1.0, 2.0, 3.0, 4.0]),
    );
    let little = |size: usize| -> Vec<u8> {
        (1..=4u8)
            .flat_map(|value| std::iter::once(value).chain(vec![0; size - 1]))
            .collect()
    };
    let big = |size: usize| -> Vec<u8> {
        (1..=4u8)
            .flat_map(|value| [vec![0; size - 1], vec![value]].concat())
            .collect()
    };
    for (code, size) in [
        ("u1", 1),
        ("i1", 1),
        ("u2", 2),
        ("i2", 2),
        ("u4", 4),
        ("i4", 4),
        ("u8", 8),
        ("i8", 8),
    ] {
        assert_eq!(
            inputs(&npy(&format!("<{code}"), false, &[2, 2], &little(size))).unwrap(),
            expected,
            "{code}"
        );
        assert_eq!(
            inputs(&npy(&format!(">{code}"), false, &[2, 2], &big(size))).unwrap(),
            expected,
            "{code}"
        );
    }
    assert_eq!(
        inputs(&npy_f32(&[2, 2], &[1.0, 2.0, 3.0, 4.0])).unwrap(),
        expected
    );
    let doubles: Vec<u8> = [1.0f64, 3.0, 2.0, 4.0]
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect();
    assert_eq!(
        inputs(&npy(">f8", true, &[2, 2], &doubles)).unwrap(),
        expected
    );
}

#[test]
fn a_pair_of_files_is_divided_class_by_class() {
    let values: Vec<f32> = (0..60).map(|i| i as f32).collect();
    let labels: Vec<i64> = (0..30).map(|i| i % 3).collect();
    let set = pair(&npy_f32(&[30, 2], &values), &npy_i64(&[30], &labels)).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (24, 6));
    assert_eq!(set.classes, ["0", "1", "2"]);
    for i in 0..set.train.len() {
        let row = set.train.values(i).unwrap();
        assert_eq!(
            row[0] as i64 / 2 % 3,
            i64::from(set.train.class(i).unwrap())
        );
    }
    let mut batch = Vec::new();
    let all: Vec<usize> = (0..24).collect();
    set.train
        .gather(&all, &set.normalization, None, &mut batch)
        .unwrap();
    let (mean, square) = batch
        .iter()
        .step_by(2)
        .fold((0.0, 0.0), |(m, s), x| (m + x / 24.0, s + x * x / 24.0));
    assert!(
        mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-5,
        "{mean} {square}"
    );
}

#[test]
fn real_valued_targets() {
    let x = npy_f32(&[10, 1], &[0.5; 10]);
    let set = pair(&x, &npy_f32(&[10, 3], &[1.5; 30])).unwrap();
    assert!(set.classes.is_empty());
    assert!(matches!(
        set.test.targets(),
        Targets::Values { width: 3, .. }
    ));
    assert_eq!(set.test.target_values(1), Some(&[1.5f32; 3][..]));
    let set = pair(&x, &npy_f32(&[10], &[2.0; 10])).unwrap();
    assert_eq!(set.train.target_values(0), Some(&[2.0f32][..]));
    // A constant feature is centred, not divided by nothing.
    assert_eq!(set.normalization.std, [1.0]);
}

#[test]
fn archives_with_and_without_a_test_part() {
    let x = npy("|u1", false, &[4, 2, 2], &(0..16).collect::<Vec<u8>>());
    let y = npy_i64(&[4, 1], &[0, 1, 2, 1]);
    for deflate in [false, true] {
        let whole = npz(&zip(
            &[
                ("x_train.npy", &x),
                ("y_train.npy", &y),
                ("x_test.npy", &x),
                ("y_test.npy", &y),
                ("other.npy", b"?"),
            ],
            deflate,
        ))
        .unwrap();
        assert_eq!(
            (whole.train.len(), whole.test.len(), whole.classes.len()),
            (4, 4, 3)
        );
        assert_eq!(whole.train.pixels(3), Some(&[12u8, 13, 14, 15][..]));
        let divided = npz(&zip(&[("x.npy", &x), ("y.npy", &y)], deflate)).unwrap();
        assert_eq!((divided.train.len(), divided.test.len()), (3, 1));
    }
    let error = npz(&zip(&[("x.npy", &x), ("labels.npy", &y)], false)).unwrap_err();
    assert!(error.to_string().contains("[x, labels]"), "{error}");
    assert!(error.to_string().contains("x_train"), "{error}");
}

#[test]
fn counts_must_agree() {
    let error = pair(&npy_f32(&[3, 1], &[0.0; 3]), &npy_i64(&[4], &[0; 4])).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::CountMismatch {
                inputs: 3,
                targets: 4,
                ..
            }
        ),
        "{error}"
    );
    let (x, y) = (npy_f32(&[3, 1], &[0.0; 3]), npy_i64(&[2], &[0; 2]));
    let error = npz(&zip(&[("x.npy", &x), ("y.npy", &y)], false)).unwrap_err();
    assert!(error.to_string().contains("a.npz!x.npy holds 3"), "{error}");
}

#[test]
fn wrong_types_and_ranks() {
    let error = inputs(&npy("<U3", false, &[2, 1], &[0; 24])).unwrap_err();
    assert!(matches!(error, DataError::ArrayType { .. }), "{error}");
    for shape in [&[1usize, 2, 2, 2][..], &[1, 2, 2, 2, 1], &[]] {
        let data = vec![0; shape.iter().product()];
        let error = inputs(&npy("|u1", false, shape, &data)).unwrap_err();
        assert!(matches!(error, DataError::ArrayShape { .. }), "{error}");
        assert!(error.to_string().contains("x.npy"), "{error}");
    }
    let error = pair(&npy_f32(&[2, 1], &[0.0; 2]), &npy_i64(&[2, 1, 1], &[0; 2])).unwrap_err();
    assert!(matches!(error, DataError::ArrayShape { .. }), "{error}");
}

#[test]
fn numbers_must_be_finite() {
    for (value, column_major) in [(f32::NAN, false), (f32::INFINITY, false), (f32::NAN, true)] {
        let mut values = [0.0; 6];
        values[4] = value;
        let data: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let error = inputs(&npy("<f4", column_major, &[3, 2], &data)).unwrap_err();
        // [[0, 1], [2, 3], [4, 5]] in the order of the file, or [[0, 3], [1, 4], [2, 5]].
        let expected = if column_major {
            "x.npy: row 1, column 1 holds NaN;".to_owned()
        } else {
            format!("x.npy: row 2, column 0 holds {value};")
        };
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let large: Vec<u8> = [1e300f64, 0.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let error = inputs(&npy("<f8", false, &[2, 1], &large)).unwrap_err();
    assert!(
        error.to_string().starts_with("x.npy: row 0 holds 1e300;"),
        "{error}"
    );
    let mut image = [0.0; 24];
    image[17] = f32::NAN;
    let error = inputs(&npy_f32(&[2, 3, 4], &image)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the number at [1, 1, 1] holds NaN"),
        "{error}"
    );
    let error = pair(
        &npy_f32(&[2, 1], &[0.0; 2]),
        &npy_f32(&[2], &[0.0, f32::NAN]),
    )
    .unwrap_err();
    assert!(error.to_string().contains("y.npy"), "{error}");
}

#[test]
fn truncated_trailing_and_empty() {
    let whole = npy_f32(&[3, 1], &[0.0; 3]);
    // Before its header ends there is no promise to fall short of.
    for len in [0, 5, 9, 60] {
        let error = inputs(&whole[..len]);
        assert!(matches!(error, Err(DataError::Format { .. })), "{len}");
    }
    assert!(matches!(
        inputs(&whole[..whole.len() - 1]),
        Err(DataError::Truncated { .. })
    ));
    assert!(matches!(
        inputs(&[&whole[..], b"x"].concat()),
        Err(DataError::Trailing { .. })
    ));
    assert!(matches!(
        inputs(&npy_f32(&[0, 4], &[])),
        Err(DataError::Empty { .. })
    ));
    assert!(matches!(
        inputs(b"hello, this is text"),
        Err(DataError::Format { .. })
    ));
}

#[test]
fn damaged_archives() {
    let (x, y) = (npy_f32(&[20, 1], &[0.25; 20]), npy_i64(&[20], &[1; 20]));
    let whole = zip(&[("x.npy", &x), ("y.npy", &y)], true);
    let cut = npz(&whole[..whole.len() - 30]).unwrap_err();
    assert!(matches!(cut, DataError::Corrupt { .. }), "{cut}");
    assert!(matches!(npz(b"text"), Err(DataError::Corrupt { .. })));
    let stored = zip(&[("x.npy", &x), ("y.npy", &y)], false);
    let mut flipped = stored.clone();
    flipped[30 + 5 + x.len() - 1] ^= 1;
    let error = npz(&flipped).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn forged_headers_and_bombs_allocate_nothing() {
    for shape in [&[1usize << 33, 1][..], &[1 << 28, 1], &[1 << 62, 1 << 62]] {
        let bytes = npy("<f4", false, shape, &[0; 64]);
        let (result, held) = peak(|| inputs(&bytes));
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                DataError::Truncated { .. } | DataError::TooLarge { .. }
            ),
            "{error}"
        );
        assert!(held < 1 << 20, "{held} bytes were held");
    }
    let mut bomb = npy_f32(&[4, 1], &[0.0; 4]);
    bomb.resize((128 << 20) + 12_345, 0);
    let y = npy_i64(&[4], &[0; 4]);
    let bytes = zip(&[("x.npy", &bomb), ("y.npy", &y)], true);
    let (result, held) = peak(|| npz(&bytes));
    assert!(
        matches!(result, Err(DataError::Trailing { .. })),
        "{result:?}"
    );
    assert!(held < 1 << 20, "{held} bytes were held");
    // The directory agrees with the header, and the stream goes on.
    let honest = npy_f32(&[4, 1], &[0.0; 4]).len() as u32;
    let mut lying = bytes.clone();
    let size = (bomb.len() as u32).to_le_bytes();
    while let Some(at) = lying.windows(4).position(|window| window == size) {
        lying[at..at + 4].copy_from_slice(&honest.to_le_bytes());
    }
    let (result, held) = peak(|| npz(&lying));
    assert!(
        matches!(result, Err(DataError::Trailing { .. })),
        "{result:?}"
    );
    assert!(held < 1 << 20, "{held} bytes were held");
}

/// Overwrites the sizes of every member in the directory of an archive.
fn forge_sizes(archive: &mut [u8], stored: Option<u32>, bytes: Option<u32>) {
    let entries: Vec<usize> = (0..archive.len() - 4)
        .filter(|&at| archive[at..].starts_with(b"PK\x01\x02"))
        .collect();
    for at in entries {
        for (offset, value) in [(20, stored), (24, bytes)] {
            if let Some(value) = value {
                archive[at + offset..at + offset + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
}

#[test]
fn a_forged_directory_allocates_nothing() {
    // Header and directory promise 1 GiB of labels and pretend that most of it is stored.
    let data = npy("|u1", false, &[1 << 30], &[0; 64]);
    let promised = (data.len() - 64 + (1 << 30)) as u32;
    for deflate in [false, true] {
        let y = npy_f32(&[4, 1], &[0.0; 4]);
        let mut bytes = zip(&[("x.npy", &data), ("y.npy", &y)], deflate);
        forge_sizes(&mut bytes, Some(promised), Some(promised));
        let (result, held) = peak(|| npz(&bytes));
        let error = result.unwrap_err();
        assert!(error.to_string().contains("beyond the file"), "{error}");
        assert!(held < 1 << 20, "{held} bytes were held");
    }
}

#[test]
fn room_ahead_is_counted_in_bytes_of_what_is_held() {
    // A member that claims all of a large archive, and becomes numbers of four times its size.
    let data = npy("|u1", false, &[1 << 28, 1], &[0; 64]);
    let noise: Vec<u8> = (0..1u32 << 20)
        .flat_map(|i| {
            i.wrapping_mul(0x9e37_79b1)
                .rotate_left(i % 32)
                .to_le_bytes()
        })
        .collect();
    let members: [(&str, &[u8]); 3] = [("x.npy", &data), ("y.npy", &data), ("noise", &noise)];
    let mut bytes = zip(&members, true);
    let stored = bytes.len() as u32 - 400;
    forge_sizes(
        &mut bytes,
        Some(stored),
        Some((data.len() - 64 + (1 << 28)) as u32),
    );
    let (result, held) = peak(|| npz(&bytes));
    assert!(
        matches!(result, Err(DataError::Truncated { .. })),
        "{result:?}"
    );
    assert!(held < 40 * bytes.len(), "{held} of {} bytes", bytes.len());
}

#[test]
fn few_bytes_that_honestly_promise_gigabytes_are_refused() {
    let mut data = npy("|u1", false, &[300 << 20, 1], &[]);
    data.resize(data.len() + (300 << 20), 0);
    let y = npy_i64(&[4], &[0; 4]);
    let bytes = zip(&[("x.npy", &data), ("y.npy", &y)], true);
    drop(data);
    let (result, held) = peak(|| npz(&bytes));
    assert!(
        matches!(result, Err(DataError::TooLarge { .. })),
        "{result:?}"
    );
    assert!(held < 1 << 20, "{held} bytes were held");
}

#[test]
fn names_of_members_tell_a_terminal_nothing() {
    let x = npy_f32(&[4, 1], &[0.0; 4]);
    let error = npz(&zip(&[("\x1b[2Jx.npy", &x)], false))
        .unwrap_err()
        .to_string();
    assert!(error.contains("[2Jx") && !error.contains('\x1b'), "{error}");
}

proptest! {
    #[test]
    fn damaged_items_never_panic(damage in damage(), vector: bool, code in 0usize..3) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        let descr = ["|u1", "<f4", ">i8"][code];
        let mut bytes = npy(descr, false, &[2, 2, 3], &vec![0; 12 * [1, 4, 8][code]]);
        damage.apply(&mut bytes);
        write(&path, &bytes);
        let shape = if vector {
            Shape::Vector { len: 3 }
        } else {
            Shape::Image { channels: 1, height: 2, width: 3 }
        };
        let (result, held) = peak(|| read_items(&path, &shape, &ArrayOptions::default()));
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
        if let Ok(items) = result {
            let len = match items {
                Items::Pixels(pixels) => pixels.len(),
                Items::Values(values) => values.len(),
            };
            prop_assert_eq!(len % shape.len(), 0);
        }
    }

    #[test]
    fn random_features_round_trip(
        columns in 1usize..6,
        values in prop::collection::vec(-1e30f32..1e30, 6..200),
        column_major: bool,
    ) {
        let rows = values.len() / columns;
        let values = &values[..rows * columns];
        let order: Vec<usize> = if column_major { (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column)).collect() } else { (0..values.len()).collect() };
        let data: Vec<u8> = order.iter().flat_map(|&i| values[i].to_le_bytes()).collect();
        let (shape, features) = inputs(&npy("<f4", column_major, &[rows, columns], &data)).unwrap();
        prop_assert_eq!(shape, Shape::Vector { len: columns });
        prop_assert_eq!(features, Features::Floats(values.to_vec()));
    }

    #[test]
    fn random_archives_round_trip(
        pixels in prop::collection::vec(any::<u8>(), 12 * 6),
        labels in prop::collection::vec(0i64..4, 12),
        deflate: bool,
    ) {
        let x = npy("|u1", false, &[12, 2, 3], &pixels);
        let y = npy_i64(&[12], &labels);
        let members: [(&str, &[u8]); 4] =
            [("x_train.npy", &x), ("y_train.npy", &y), ("x_test.npy", &x), ("y_test.npy", &y)];
        let set = npz(&zip(&members, deflate)).unwrap();
        prop_assert_eq!(set.train.features(), &Features::Bytes(pixels));
        for (sample, label) in labels.iter().enumerate() {
            let class = set.train.class(sample).unwrap();
            prop_assert_eq!(&set.classes[usize::from(class)], &label.to_string());
        }
    }

    #[test]
    fn damaged_arrays_never_panic(damage in damage()) {
        let mut bytes = npy_f32(&[5, 3], &[0.5; 15]);
        damage.apply(&mut bytes);
        let (result, held) = peak(|| inputs(&bytes));
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
        if let Ok((shape, features)) = result {
            prop_assert_eq!(features.len() % shape.len(), 0);
        }
    }

    #[test]
    fn random_headers_never_panic(text in "[{}()':, a-z0-9<|]{0,120}", tail in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(tail);
        let (_, held) = peak(|| inputs(&bytes));
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
    }

    #[test]
    fn damaged_archives_never_panic(damage in damage(), deflate: bool) {
        let (x, y) = (npy_f32(&[20, 1], &[0.25; 20]), npy_i64(&[20], &[1; 20]));
        let mut bytes = zip(&[("x.npy", &x), ("y.npy", &y)], deflate);
        damage.apply(&mut bytes);
        let (result, held) = peak(|| npz(&bytes));
        // A damaged directory may name up to a megabyte of members.
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
        if let Ok(set) = result {
            prop_assert_eq!(set.train.len() + set.test.len(), 20);
        }
    }
}

#[test]
fn images_that_fill_next_to_nothing_of_their_range_are_warned_of() {
    let y = npy_i64(&[20], &(0..20).map(|i| i % 2).collect::<Vec<_>>());
    let warnings = |descr: &str, data: &[u8]| {
        let x = npy(descr, false, &[20, 8, 8], data);
        npz(&zip(&[("x.npy", &x), ("y.npy", &y)], true))
            .unwrap()
            .warnings
    };
    let bytes = |most: usize| {
        (0..20 * 64)
            .map(|i| ((i + i / 64) % (most + 1)) as u8)
            .collect::<Vec<_>>()
    };
    let dark = warnings("|u1", &bytes(3));
    assert!(
        dark[0].contains("go from 0 to 3 alone") && dark[0].contains("--range=0,3"),
        "{dark:?}"
    );
    let masks = warnings("|u1", &bytes(1));
    assert!(
        masks[0].contains("0 and 1 alone, as masks do") && masks[0].contains("--range=0,1"),
        "{masks:?}"
    );
    assert_eq!(warnings("|u1", &bytes(50)), Vec::<String>::new());
    assert_eq!(warnings("|b1", &bytes(1)), Vec::<String>::new());
    let floats = |scale: f32| -> Vec<u8> {
        let numbers = bytes(250).into_iter().map(|x| f32::from(x) * scale / 250.0);
        numbers.flat_map(f32::to_le_bytes).collect()
    };
    let dark = warnings("<f4", &floats(0.01));
    assert!(dark[0].contains("--range=0,0.01"), "{dark:?}");
    assert_eq!(warnings("<f4", &floats(0.5)), Vec::<String>::new());
}

#[test]
fn numbers_that_are_not_finite_are_counted() {
    let mut x = vec![0.5; 2 * 9000];
    let odd = [3, 4, 17_000];
    for (at, value) in odd.into_iter().zip([f32::INFINITY, f32::NAN, f32::NAN]) {
        x[at] = value;
    }
    for (shape, place) in [
        (&[9000, 2][..], "row 1, column 1"),
        (&[20, 30, 30], "the number at [0, 0, 3]"),
    ] {
        let told = inputs(&npy_f32(shape, &x)).unwrap_err().to_string();
        let expected = format!(
            "{place} holds inf, the first of 3 such numbers; every number must be finite in 32 bits: leave such samples out, or \
             replace the numbers, as numpy.nan_to_num(x) does"
        );
        assert!(told.contains(&expected), "{told}");
    }
    let wide: Vec<u8> = [1.0, 1e300, 2.0, -1e300]
        .into_iter()
        .flat_map(f64::to_le_bytes)
        .collect();
    let told = inputs(&npy("<f8", false, &[2, 2], &wide))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("row 0, column 1 holds 1e300, the first of 2 such numbers"),
        "{told}"
    );
}

#[test]
fn parts_that_differ_are_named_by_their_arrays() {
    let labels = npy_i64(&[4], &[0, 1, 0, 1]);
    let told = |x_test: &[u8], y_test: &[u8]| {
        let x = npy_f32(&[4, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let members = [
            ("x_train.npy", &x[..]),
            ("y_train.npy", &labels),
            ("x_test.npy", x_test),
            ("y_test.npy", y_test),
        ];
        npz(&zip(&members, true)).unwrap_err().to_string()
    };
    let wider = told(&npy_f32(&[4, 3], &[0.5; 12]), &labels);
    assert!(
        wider.contains("!x_test.npy: ")
            && wider.contains("in the test part, not samples of the shape"),
        "{wider}"
    );
}

#[test]
fn a_range_is_advised_for_pictures_alone() {
    let told = |shape: &[usize]| {
        let count: usize = shape.iter().product();
        let x: Vec<f32> = (0..count).map(|i| (i as f32).sin() * 3.0).collect();
        inputs(&npy_f32(shape, &x)).unwrap_err().to_string()
    };
    let series = told(&[10, 200, 3]);
    assert!(
        !series.contains("range") && series.contains("x.reshape(len(x), -1)"),
        "{series}"
    );
    let images = told(&[10, 16, 16]);
    assert!(
        images.contains("--range=-3,3") && images.contains("data.layout = \"sequence\""),
        "{images}"
    );
    let colours = told(&[10, 16, 16, 3]);
    assert!(!colours.contains("data.layout"), "{colours}");
}
