use std::path::Path;

use granule_data::idx::{decode_images, decode_labels};
use granule_data::{DataError, DatasetSpec, Features, Targets};
use proptest::prelude::*;

use crate::memory::{cap, peak};
use crate::support::{about_files, damage, gz, gz_best, idx_images, idx_labels, load_from, write};

fn images(bytes: &[u8]) -> Result<granule_data::idx::Images, DataError> {
    decode_images(bytes, bytes.len() as u64, Path::new("images"))
}

fn labels(bytes: &[u8]) -> Result<Vec<u16>, DataError> {
    decode_labels(bytes, bytes.len() as u64, Path::new("labels"), 10)
}

fn names_file(error: &DataError, file: &str) {
    assert!(error.to_string().contains(file), "{error}");
}

/// Writes a whole set of `train` and 2 test images.
fn write_set(dir: &Path, separator: &str, zipped: bool, train: u32) {
    for (part, count) in [("train", train), ("t10k", 2)] {
        let pixels: Vec<u8> = (0..count as usize * 784).map(|i| (i % 251) as u8).collect();
        let labels: Vec<u8> = (0..count as usize).map(|i| (i % 10) as u8).collect();
        for (kind, bytes) in [
            ("images", idx_images(count, 28, 28, &pixels)),
            ("labels", idx_labels(count, &labels)),
        ] {
            let rank = if kind == "images" { 3 } else { 1 };
            let name = format!("{part}-{kind}{separator}idx{rank}-ubyte");
            if zipped {
                write(dir.join(name + ".gz"), &gz(&bytes))
            } else {
                write(dir.join(name), &bytes)
            }
        }
    }
}

/// As `gzip` and Python read it: zeros may follow a stream, another stream may follow them, anything else is damage.
#[test]
fn padding_after_a_gzip_stream_is_no_data() {
    let whole = idx_labels(5, &[0, 1, 2, 3, 4]);
    let plain = labels(&gz(&whole)).unwrap();
    for padding in [1, 511, 1 << 19] {
        let padded = [gz(&whole), vec![0; padding]].concat();
        assert_eq!(labels(&padded).unwrap(), plain, "{padding}");
        let (first, second) = whole.split_at(9);
        let two = [gz(first), vec![0; padding], gz(second), vec![0; padding]].concat();
        assert_eq!(labels(&two).unwrap(), plain, "{padding}");
    }
    let damaged = [gz(&whole), b"\0\0more".to_vec()].concat();
    assert!(labels(&damaged).is_err());
}

#[test]
fn every_form_of_the_files_gives_the_same_set() {
    let mut sets = Vec::new();
    for (separator, zipped) in [("-", true), ("-", false), (".", true), (".", false)] {
        let dir = tempfile::tempdir().unwrap();
        write_set(&dir.path().join("mnist"), separator, zipped, 7);
        let mut set = load_from(&DatasetSpec::Mnist, dir.path()).unwrap();
        assert_eq!(about_files(&set).len(), 4, "{:?}", set.warnings);
        set.warnings.clear();
        sets.push(set);
    }
    assert!(sets.windows(2).all(|pair| pair[0] == pair[1]));
    let set = &sets[0];
    assert_eq!(
        (set.train.len(), set.test.len(), set.name.as_str()),
        (7, 2, "mnist")
    );
    assert_eq!(
        set.classes,
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    );
    assert_eq!(set.train.targets(), &Targets::Classes((0..7).collect()));
    let expected: Vec<u8> = (0..7 * 784).map(|i| (i % 251) as u8).collect();
    assert_eq!(set.train.features(), &Features::Bytes(expected));
}

#[test]
fn unpacked_files_are_compared_with_the_published_ones() {
    let published = granule_data::registry::find("mnist").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mnist");
    write_set(&folder, ".", false, 60_000);
    // As long as the published files, with other content.
    let warnings = about_files(&load_from(&DatasetSpec::Mnist, dir.path()).unwrap());
    let of_train: Vec<_> = warnings.iter().filter(|w| w.contains("train-")).collect();
    assert_eq!(of_train.len(), 2, "{warnings:?}");
    assert!(
        of_train.iter().all(|w| w.contains("checksum")),
        "{warnings:?}"
    );
    let reports = granule_data::registry::verify(published, &folder).unwrap();
    for (report, warning) in reports.iter().zip(&warnings) {
        assert!(
            warning.starts_with(&report.path.display().to_string()),
            "{warning}"
        );
    }
    assert!(granule_data::registry::list(dir.path())[1].present);
}

#[test]
fn the_fingerprint_follows_the_content() {
    let fingerprint = |train| {
        let dir = tempfile::tempdir().unwrap();
        write_set(&dir.path().join("fashion-mnist"), "-", true, train);
        let set = load_from(&DatasetSpec::FashionMnist, dir.path()).unwrap();
        assert_eq!(set.classes[9], "Ankle boot");
        set.fingerprint
    };
    assert_eq!(fingerprint(3), fingerprint(3));
    assert_ne!(fingerprint(3), fingerprint(4));
    assert_eq!(fingerprint(3).len(), 32);
}

#[test]
fn absent_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = load_from(&DatasetSpec::Mnist, dir.path()).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error}");
    write_set(&dir.path().join("mnist"), "-", true, 3);
    std::fs::remove_file(dir.path().join("mnist/t10k-labels-idx1-ubyte.gz")).unwrap();
    let error = load_from(&DatasetSpec::Mnist, dir.path()).unwrap_err();
    let text = error.to_string();
    for part in [
        "t10k-labels-idx1-ubyte.gz is not here",
        "fetch it with",
        "place it there",
    ] {
        assert!(text.contains(part), "{text}");
    }
    std::fs::remove_file(dir.path().join("mnist/train-images-idx3-ubyte.gz")).unwrap();
    let error = load_from(&DatasetSpec::Mnist, dir.path()).unwrap_err();
    let text = error.to_string();
    for part in [
        "train-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz are not here",
        "fetch them with `granule data fetch mnist`",
        "place them there under these names",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn counts_of_images_and_labels_must_agree() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mnist");
    write_set(&folder, "-", true, 3);
    write(
        folder.join("train-labels-idx1-ubyte.gz"),
        &gz(&idx_labels(2, &[0, 1])),
    );
    let error = load_from(&DatasetSpec::Mnist, dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::CountMismatch {
                inputs: 3,
                targets: 2,
                ..
            }
        ),
        "{error}"
    );
    names_file(&error, "train-images-idx3-ubyte.gz");
    names_file(&error, "train-labels-idx1-ubyte.gz");
}

#[test]
fn mnist_images_are_28_by_28() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mnist");
    write_set(&folder, "-", true, 3);
    write(
        folder.join("train-images-idx3-ubyte.gz"),
        &gz(&idx_images(3, 14, 28, &[0; 3 * 392])),
    );
    let error = load_from(&DatasetSpec::Mnist, dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::ImageSize {
                found: (14, 28, 1),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn wrong_magic_numbers() {
    let found = images(&idx_labels(3, &[1, 2, 3, 0, 0, 0, 0, 0, 0])).unwrap_err();
    assert!(
        matches!(
            found,
            DataError::Magic {
                found: 0x801,
                expected: 0x803,
                ..
            }
        ),
        "{found}"
    );
    names_file(&found, "images");
    let found = labels(&idx_images(1, 1, 1, &[0])).unwrap_err();
    assert!(
        matches!(
            found,
            DataError::Magic {
                found: 0x803,
                expected: 0x801,
                ..
            }
        ),
        "{found}"
    );
    assert!(matches!(images(b"<html>"), Err(DataError::Magic { .. })));
}

#[test]
fn truncated_and_trailing_bytes() {
    let whole = idx_images(3, 4, 5, &[7; 60]);
    for len in [0, 3, 4, 15] {
        assert!(
            matches!(images(&whole[..len]), Err(DataError::Truncated { .. })),
            "{len}"
        );
    }
    let error = images(&whole[..70]).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Truncated {
                expected: 60,
                found: 54,
                ..
            }
        ),
        "{error}"
    );
    let error = images(&gz(&whole[..70])).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Truncated {
                expected: 60,
                found: 54,
                ..
            }
        ),
        "{error}"
    );
    let longer = [&whole[..], &[0]].concat();
    for bytes in [longer.clone(), gz(&longer)] {
        assert!(matches!(
            images(&bytes),
            Err(DataError::Trailing { expected: 60, .. })
        ));
    }
    assert!(matches!(
        labels(&idx_labels(3, &[1, 2])),
        Err(DataError::Truncated { .. })
    ));
    assert!(matches!(
        labels(&idx_labels(3, &[1, 2, 3, 4])),
        Err(DataError::Trailing { .. })
    ));
}

#[test]
fn labels_stay_below_the_number_of_classes() {
    let error = labels(&idx_labels(4, &[0, 9, 10, 255])).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::LabelRange {
                index: 2,
                label: 10,
                classes: 10,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("0..=9"), "{error}");
}

#[test]
fn nothing_inside() {
    assert!(matches!(
        images(&idx_images(0, 28, 28, &[])),
        Err(DataError::Empty { .. })
    ));
    assert!(matches!(
        images(&idx_images(5, 0, 28, &[])),
        Err(DataError::Empty { .. })
    ));
    assert!(matches!(
        labels(&idx_labels(0, &[])),
        Err(DataError::Empty { .. })
    ));
}

#[test]
fn corrupt_gzip() {
    let pixels: Vec<u8> = (0..6000u32).map(|i| (i * i % 253) as u8).collect();
    let whole = gz(&idx_images(6, 10, 100, &pixels));
    let cut = images(&whole[..whole.len() / 2]).unwrap_err();
    assert!(matches!(cut, DataError::Truncated { .. }), "{cut}");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    assert!(images(&flipped).is_err());
    let mut checksum = whole.clone();
    let at = checksum.len() - 6;
    checksum[at] ^= 1;
    let error = images(&checksum).unwrap_err();
    assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
    let no_footer = images(&whole[..whole.len() - 4]).unwrap_err();
    assert!(
        matches!(no_footer, DataError::Corrupt { .. }),
        "{no_footer}"
    );
    let error = images(&[&whole[..], b"more"].concat()).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Corrupt { .. } | DataError::Trailing { .. }
        ),
        "{error}"
    );
    let error = images(&[0x1f, 0x8b, 8, 0]).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Truncated { .. } | DataError::Corrupt { .. }
        ),
        "{error}"
    );
}

#[test]
fn forged_counts_allocate_nothing() {
    for (count, rows, columns) in [
        (u32::MAX, 1, 1),
        (5_000_000, 28, 28),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        let plain = idx_images(count, rows, columns, &[1; 100]);
        for bytes in [plain.clone(), gz(&plain)] {
            let (result, bytes) = peak(|| images(&bytes));
            let error = result.unwrap_err();
            assert!(
                matches!(
                    error,
                    DataError::Truncated { .. } | DataError::TooLarge { .. }
                ),
                "{error}"
            );
            assert!(bytes < 2 << 20, "{bytes} bytes were held");
        }
    }
    let (result, bytes) = peak(|| labels(&idx_labels(u32::MAX, &[1; 100])));
    assert!(matches!(result, Err(DataError::Truncated { .. })));
    assert!(bytes < 2 << 20, "{bytes} bytes were held");
}

#[test]
fn a_decompression_bomb_is_cut_off_at_what_the_header_promised() {
    let mut bomb = idx_images(2, 28, 28, &[]);
    bomb.resize(256 << 20, 0);
    let bomb = gz(&bomb);
    let (result, bytes) = peak(|| images(&bomb));
    assert!(matches!(
        result,
        Err(DataError::Trailing { expected: 1568, .. })
    ));
    assert!(bytes < 1 << 20, "{bytes} bytes were held");
}

#[test]
fn few_bytes_that_honestly_promise_gigabytes_are_refused() {
    let zeros = gz_best(&vec![0; 1 << 24]);
    let bomb = |start: &[u8]| {
        let mut bytes = gz(start);
        for _ in 0..33 {
            bytes.extend(&zeros);
        }
        bytes
    };
    let bytes = bomb(&idx_images(1 << 29, 1, 1, &[]));
    let (result, held) = peak(|| images(&bytes));
    assert!(
        matches!(result, Err(DataError::TooLarge { .. })),
        "{result:?}"
    );
    assert!(held < 1 << 20, "{held} bytes were held");
    let bytes = bomb(&idx_labels(1 << 29, &[]));
    let (result, held) = peak(|| labels(&bytes));
    assert!(matches!(result, Err(DataError::TooLarge { .. })));
    assert!(held < 1 << 20, "{held} bytes were held");
}

#[test]
fn sizes_and_counts_of_a_published_set_are_checked_before_its_pixels() {
    for (start, part) in [
        (idx_images(600, 280, 280, &[]), "28x28"),
        (idx_images(2_000_000, 28, 28, &[]), "2000000 items"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("mnist");
        write_set(&folder, "-", false, 2);
        // Sparse, and as long as its header says.
        let path = folder.join("train-images-idx3-ubyte");
        write(&path, &start);
        let pixels = if part == "28x28" {
            600 * 280 * 280
        } else {
            2_000_000 * 784
        };
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(16 + pixels).unwrap();
        let (result, held) = peak(|| load_from(&DatasetSpec::Mnist, dir.path()));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(held < 2 << 20, "{held} bytes were held");
    }
}

#[test]
fn many_labels_are_held_twice_as_wide_and_once() {
    let values: Vec<u8> = (0..1_000_000u32).map(|i| (i % 10) as u8).collect();
    let bytes = idx_labels(1_000_000, &values);
    let (found, held) = peak(|| labels(&bytes).unwrap());
    assert_eq!(found.len(), 1_000_000);
    assert!(held < 2_000_000 + (1 << 21), "{held} bytes were held");
}

proptest! {
    #[test]
    fn random_images_round_trip(
        rows in 1u32..9,
        columns in 1u32..9,
        bytes in prop::collection::vec(any::<u8>(), 64..2000),
        zipped: bool,
    ) {
        let count = bytes.len() as u32 / (rows * columns);
        let pixels = &bytes[..(count * rows * columns) as usize];
        let plain = idx_images(count, rows, columns, pixels);
        let found = images(&if zipped { gz(&plain) } else { plain }).unwrap();
        prop_assert_eq!(found.pixels.as_slice(), pixels);
        prop_assert_eq!((found.len(), found.rows, found.columns), (count as usize, rows as usize, columns as usize));
    }

    #[test]
    fn random_labels_round_trip(values in prop::collection::vec(0u8..10, 1..500), zipped: bool) {
        let plain = idx_labels(values.len() as u32, &values);
        let found = labels(&if zipped { gz(&plain) } else { plain }).unwrap();
        prop_assert!(found.iter().copied().eq(values.iter().map(|&label| u16::from(label))));
    }

    #[test]
    fn random_bytes_are_refused(kind in 0..4, tail in prop::collection::vec(any::<u8>(), 0..600)) {
        let start: &[u8] = match kind {
            0 => &[0, 0, 8, 3],
            1 => &[0, 0, 8, 1],
            2 => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
            _ => &[],
        };
        let bytes = [start, &tail].concat();
        for bytes in [gz(&bytes), bytes] {
            let ((found, _), held) = peak(|| (images(&bytes), labels(&bytes)));
            prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
            if let Ok(found) = found {
                prop_assert_eq!(found.len() * found.rows * found.columns, found.pixels.len());
            }
        }
    }

    #[test]
    fn damaged_files_never_panic(
        pixels in prop::collection::vec(any::<u8>(), 60),
        damage in damage(),
        inside: bool,
    ) {
        let mut bytes = idx_images(3, 4, 5, &pixels);
        if inside {
            damage.apply(&mut bytes);
            bytes = gz(&bytes);
        } else {
            bytes = gz(&bytes);
            damage.apply(&mut bytes);
        }
        let (found, held) = peak(|| images(&bytes));
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
        if let Ok(found) = found {
            prop_assert_eq!(found.len() * found.rows * found.columns, found.pixels.len());
        }
    }
}
