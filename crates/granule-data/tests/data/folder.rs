use std::path::Path;

use granule_data::{DataError, Dataset, DatasetSpec, Shape};
use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;

use crate::support::{damage, load_from, write};

fn load(dir: &Path) -> Result<Dataset, DataError> {
    load_from(&DatasetSpec::Folder(dir.to_path_buf()), dir)
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn grey(width: u32, height: u32, level: u8) -> Vec<u8> {
    encoded(
        GrayImage::from_pixel(width, height, image::Luma([level])),
        ImageFormat::Png,
    )
}

/// Ten grey images in each of two classes.
fn write_classes(dir: &Path) {
    for (class, base) in [("cat", 0), ("dog", 100)] {
        for i in 0..10 {
            write(
                dir.join(class).join(format!("{i}.png")),
                &grey(3, 2, base + i),
            );
        }
    }
}

#[test]
fn sub_folders_are_classes() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    write(dir.path().join("cat/notes.txt"), b"not an image");
    write(dir.path().join(".hidden/x.png"), b"never opened");
    let set = load(dir.path()).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(
        set.train.shape(),
        Shape::Image {
            channels: 1,
            height: 2,
            width: 3
        }
    );
    assert_eq!((set.train.len(), set.test.len()), (16, 4));
    for split in [&set.train, &set.test] {
        for i in 0..split.len() {
            assert_eq!(
                split.class(i).unwrap(),
                u16::from(split.pixels(i).unwrap()[5] >= 100)
            );
        }
    }
    assert_eq!((0..4).filter(|&i| set.test.class(i) == Some(1)).count(), 2);
    assert!(
        set.warnings
            .iter()
            .any(|warning| warning.contains("1 entries")),
        "{:?}",
        set.warnings
    );
    assert_eq!(load(dir.path()).unwrap(), set);
    let mean = set.normalization.mean[0];
    assert!((mean - 54.5 / 255.0).abs() < 0.01, "{mean}");
}

#[test]
fn train_and_test_folders_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(&dir.path().join("train"));
    write(dir.path().join("test/dog/a.png"), &grey(3, 2, 250));
    let set = load(dir.path()).unwrap();
    assert_eq!(
        (set.train.len(), set.test.len(), set.test.class(0)),
        (20, 1, Some(1))
    );
    write(dir.path().join("test/bird/a.png"), &grey(3, 2, 1));
    let error = load(dir.path()).unwrap_err();
    assert!(error.to_string().contains("\"bird\""), "{error}");
}

#[test]
fn colour_and_jpeg() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    let red = RgbImage::from_pixel(3, 2, Rgb([250, 10, 20]));
    write(
        dir.path().join("dog/red.PNG"),
        &encoded(red.clone(), ImageFormat::Png),
    );
    write(
        dir.path().join("dog/red.jpeg"),
        &encoded(red, ImageFormat::Jpeg),
    );
    let set = load(dir.path()).unwrap();
    assert_eq!(
        set.train.shape(),
        Shape::Image {
            channels: 3,
            height: 2,
            width: 3
        }
    );
    let all = || {
        [&set.train, &set.test]
            .into_iter()
            .flat_map(|split| (0..split.len()).map(|i| split.pixels(i).unwrap()))
    };
    let red = all()
        .filter(|pixels| pixels[0] > 200 && pixels[6] < 40 && pixels[12] < 40)
        .count();
    assert_eq!(red, 2);
    assert!(all().any(|pixels| pixels == [109; 18]));
}

#[test]
fn an_image_of_another_size_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    write(dir.path().join("dog/odd.png"), &grey(4, 2, 0));
    let error = load(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::ImageSize {
                found: (2, 4, 1),
                expected: (2, 3, 1),
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("odd.png"), "{error}");
}

#[test]
fn damaged_images_are_named() {
    let whole = grey(3, 2, 9);
    let mut checksum = whole.clone();
    let at = checksum.len() - 20;
    checksum[at] ^= 0xff;
    for bytes in [
        &b""[..],
        b"text",
        &whole[..20],
        &whole[..whole.len() - 20],
        &checksum,
    ] {
        let dir = tempfile::tempdir().unwrap();
        write_classes(dir.path());
        write(dir.path().join("cat/bad.png"), bytes);
        let error = load(dir.path()).unwrap_err();
        assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("bad.png"), "{error}");
    }
}

#[test]
fn forged_sizes_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    let mut forged = grey(3, 2, 9);
    forged[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&forged[12..29]);
    forged[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    write(dir.path().join("cat/0.png"), &forged);
    let (result, held) = crate::memory::peak(|| load(dir.path()));
    let error = result.unwrap_err();
    assert!(error.to_string().contains("limit of 4096x4096"), "{error}");
    assert!(held < 1 << 20, "{held} bytes were held");
}

#[test]
fn nothing_to_learn_from() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(load(dir.path()), Err(DataError::Empty { .. })));
    assert!(matches!(
        load(&dir.path().join("absent")),
        Err(DataError::Io { .. })
    ));
    write_classes(dir.path());
    std::fs::create_dir(dir.path().join("eel")).unwrap();
    let error = load(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
    assert!(error.to_string().contains("eel"), "{error}");
}

#[test]
fn a_part_that_has_another_name_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train", "val"] {
        write_classes(&dir.path().join(part));
    }
    let error = load(dir.path()).unwrap_err().to_string();
    for path in [dir.path().join("train"), dir.path().join("test")] {
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn names_of_classes_tell_a_terminal_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    std::fs::rename(dir.path().join("dog"), dir.path().join("d\x1b[2Jog")).unwrap();
    let set = load(dir.path()).unwrap();
    assert_eq!(set.classes, ["cat", "d\u{fffd}[2Jog"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn damaged_images_never_panic(damage in damage(), jpeg: bool, colour: bool) {
        let noise = |x: u32, y: u32| (x * 37 + y * 101) as u8;
        let format = if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png };
        let mut bytes = if colour {
            let image = RgbImage::from_fn(9, 7, |x, y| Rgb([noise(x, y), noise(y, x), 9]));
            encoded(image, format)
        } else {
            encoded(GrayImage::from_fn(9, 7, |x, y| image::Luma([noise(x, y)])), format)
        };
        damage.apply(&mut bytes);
        let dir = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            write(dir.path().join(class).join("0.png"), &grey(9, 7, 1));
            write(dir.path().join(class).join("1.png"), &bytes);
        }
        let (result, held) = crate::memory::peak(|| load(dir.path()));
        // One decoder of the largest image, and the pixels.
        prop_assert!(held < 256 << 20, "{held} bytes were held");
        if let Ok(set) = result {
            prop_assert_eq!(set.train.len() + set.test.len(), 4);
        }
    }
}
