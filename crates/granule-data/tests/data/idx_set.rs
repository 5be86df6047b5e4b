//! Published sets of IDX files, under their own names.

use std::path::Path;

use granule_data::arrays::ArrayOptions;
use granule_data::{DataError, Dataset, DatasetSpec, LoadOptions, Shape, load};

use crate::support::{gz, idx_images, idx_labels, write};

fn read(path: &Path, transpose: bool) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        offline: true,
        seed: 1,
        arrays: ArrayOptions {
            transpose,
            ..Default::default()
        },
        ..Default::default()
    };
    load(&DatasetSpec::Idx(path.to_path_buf()), &options)
}

/// Images of 2 rows and 3 columns whose first pixel is their number.
fn images(count: u32) -> Vec<u8> {
    let pixels: Vec<u8> = (0..count as u8).flat_map(|i| [i, 1, 2, 3, 4, 5]).collect();
    idx_images(count, 2, 3, &pixels)
}

#[test]
fn emnist_has_labels_from_1_and_images_by_columns() {
    let dir = tempfile::tempdir().unwrap();
    for beginning in ["emnist-letters", "emnist-digits"] {
        for (part, count) in [("train", 6u32), ("test", 4)] {
            let place = |what: &str| dir.path().join(format!("{beginning}-{part}-{what}.gz"));
            let labels: Vec<u8> = (0..count as u8).map(|i| 1 + i % 2).collect();
            write(place("images-idx3-ubyte"), &gz(&images(count)));
            write(place("labels-idx1-ubyte"), &gz(&idx_labels(count, &labels)));
        }
    }
    write(
        dir.path().join("emnist-letters-mapping.txt"),
        b"1 65 97\n2 66 98\n",
    );
    let error = read(dir.path(), false).unwrap_err().to_string();
    assert!(
        error.contains("several sets") && error.contains("/emnist-letters"),
        "{error}"
    );

    let set = read(&dir.path().join("emnist-letters"), true).unwrap();
    assert_eq!(set.classes, ["Aa", "Bb"]);
    assert_eq!((set.train.len(), set.test.len()), (6, 4));
    let shape = Shape::Image {
        channels: 1,
        height: 3,
        width: 2,
    };
    assert_eq!(set.train.shape(), shape);
    assert_eq!(set.train.pixels(5), Some(&[5u8, 3, 1, 4, 2, 5][..]));
    // Images of which one side has two pixels, the same in both parts.
    let [tiny, shared] = set.warnings.as_slice() else {
        panic!("{:?}", set.warnings);
    };
    assert!(tiny.contains("3 pixels high and 2 pixels wide"), "{tiny}");
    assert!(shared.starts_with("4 of the 4 test samples"), "{shared}");
    let lying = read(&dir.path().join("emnist-digits"), false).unwrap();
    assert_eq!(lying.classes, ["1", "2"]);
    assert!(
        lying.warnings[0].contains("data.transpose = true"),
        "{:?}",
        lying.warnings
    );
}

#[test]
fn qmnist_has_columns_of_wide_integers() {
    let dir = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 6u32), ("test", 4)] {
        let mut labels = 0x0c02u32.to_be_bytes().to_vec();
        for number in [count, 8] {
            labels.extend(number.to_be_bytes());
        }
        for i in 0..count {
            let row = [i % 2, 4, 100 + i, 7, 8, 9, 0, 0];
            labels.extend(row.iter().flat_map(|x| x.to_be_bytes()));
        }
        write(
            dir.path().join(format!("qmnist-{part}-images-idx3-ubyte")),
            &images(count),
        );
        write(
            dir.path().join(format!("qmnist-{part}-labels-idx2-int")),
            &labels,
        );
    }
    let set = read(dir.path(), false).unwrap();
    assert_eq!(set.classes, ["0", "1"]);
    assert_eq!(set.train.class(3), Some(1));
    assert!(
        set.notes
            .iter()
            .any(|note| note.contains("first of 8 columns")),
        "{:?}",
        set.notes
    );
}

#[test]
fn zeros_may_follow_a_gzip_stream_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let labels = idx_labels(10, &[0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    write(
        place("train-labels-idx1-ubyte.gz"),
        &[gz(&labels), vec![0; 1000]].concat(),
    );
    let two = images(10)
        .chunks(30)
        .map(gz)
        .collect::<Vec<_>>()
        .join(&[0u8; 7][..]);
    write(place("train-images-idx3-ubyte.gz"), &two);
    let set = read(dir.path(), false).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (8, 2));
    assert!(
        set.notes
            .iter()
            .any(|note| note.contains("no files of a test part")),
        "{:?}",
        set.notes
    );
    write(
        place("train-labels-idx1-ubyte.gz"),
        &[gz(&labels), b"rest".to_vec()].concat(),
    );
    let error = read(dir.path(), false).unwrap_err();
    assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
}

#[test]
fn what_is_wrong_leads_on() {
    let dir = tempfile::tempdir().unwrap();
    let error = read(dir.path(), false).unwrap_err().to_string();
    assert!(error.contains("train-images-idx3-ubyte"), "{error}");
    write(dir.path().join("train-images-idx3-ubyte"), &images(4));
    let error = read(dir.path(), false).unwrap_err().to_string();
    assert!(
        error.contains("train-labels-idx1-ubyte is not here; place it beside the others"),
        "{error}"
    );
    write(
        dir.path().join("train-labels-idx1-ubyte.gz"),
        b"<!DOCTYPE html><html></html>",
    );
    let error = read(dir.path(), false).unwrap_err().to_string();
    assert!(
        error.contains("web page") && error.contains("fetch"),
        "{error}"
    );

    // The wide labels of QMNIST, where MNIST's are read.
    let mnist = tempfile::tempdir().unwrap();
    for part in ["train", "t10k"] {
        let name = |what: &str| mnist.path().join(format!("mnist/{part}-{what}"));
        write(name("images-idx3-ubyte"), &images(4));
        write(name("labels-idx1-ubyte"), &[0, 0, 0x0c, 2, 0, 0, 0, 4]);
    }
    let options = LoadOptions {
        data_dir: Some(mnist.path().to_path_buf()),
        offline: true,
        ..Default::default()
    };
    let error = load(&DatasetSpec::Mnist, &options).unwrap_err().to_string();
    assert!(
        error.contains("32-bit integers") && error.contains("idx:DIR"),
        "{error}"
    );
}
