use std::path::Path;

use granule_data::{DataError, Dataset, DatasetSpec, ImageOptions, LoadOptions, Shape, Truncated};
use granule_io::image::{Background, Channels, ImageError, Resize, Size};
use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;

use crate::support::{damage, load_from, write};

fn load(dir: &Path) -> Result<Dataset, DataError> {
    load_from(&DatasetSpec::Folder(dir.to_path_buf()), dir)
}

fn load_as(dir: &Path, images: ImageOptions) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        seed: 1,
        images,
        ..LoadOptions::default()
    };
    granule_data::load(&DatasetSpec::Folder(dir.to_path_buf()), &options)
}

/// The warnings but that of images as tiny as those here are.
fn warned(set: &Dataset) -> Vec<String> {
    let all = set.warnings.iter();
    let others = all.filter(|text| !text.contains("in which hardly anything shows"));
    others.cloned().collect()
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
        warned(&set)
            .iter()
            .any(|warning| warning.contains("1 entry,")),
        "{:?}",
        warned(&set)
    );
    assert_eq!(load(dir.path()).unwrap(), set);
    let mean = set.normalization.mean[0];
    assert!((mean - 54.5 / 255.0).abs() < 0.01, "{mean}");
}

#[test]
fn a_set_that_was_divided_can_be_tested_whole() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    let set = load(dir.path()).unwrap();
    assert!(set.divided);
    let (train, test, fingerprint) = (set.train.len(), set.test.len(), set.fingerprint.clone());
    let whole = set.all_for_test().unwrap();
    assert_eq!(whole.test.len(), train + test);
    assert_ne!(whole.fingerprint, fingerprint);
    for i in 0..whole.test.len() {
        let bright = whole.test.pixels(i).unwrap()[5] >= 100;
        assert_eq!(whole.test.class(i), Some(u16::from(bright)));
    }
    let parts = tempfile::tempdir().unwrap();
    write_classes(&parts.path().join("train"));
    write_classes(&parts.path().join("test"));
    assert!(!load(parts.path()).unwrap().divided);
}

#[test]
fn folders_beside_the_parts_of_a_set_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train", "test", "testing", "Validate", "drafts", "val2017"] {
        write_classes(&dir.path().join(part));
    }
    let set = load(dir.path()).unwrap();
    assert_eq!(
        (set.train.len(), set.test.len(), &set.validation),
        (20, 20, &None)
    );
    let note = set
        .notes
        .iter()
        .find(|text| text.contains("not read"))
        .unwrap();
    assert!(
        note.ends_with("not read: drafts; the parts of a set are called train, test and val"),
        "{note}"
    );
    let all = warned(&set);
    for (folder, advice) in [
        ("testing", "as the test part is"),
        ("Validate", "if it is the validation part, rename it to val"),
        ("val2017", "if it is the validation part, rename it to val"),
    ] {
        let own = format!("{folder}: not read; {advice}");
        assert!(all.iter().any(|text| text.contains(&own)), "{own}: {all:?}");
    }
    // Two parts under names of elsewhere are no two classes.
    let dir = tempfile::tempdir().unwrap();
    for part in ["training", "testing"] {
        write_classes(&dir.path().join(part));
    }
    let error = load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("the parts of a divided set"), "{error}");
}

#[test]
fn one_sample_of_each_class_is_told_of_with_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    for (class, level) in [("cat", 10), ("dog", 100)] {
        write(dir.path().join(class).join("0.png"), &grey(3, 2, level));
    }
    let error = load(dir.path()).unwrap_err().to_string();
    let expected = format!(
        "{}: 2 samples in it, too few to be divided: a training and a test part take at least two of one class",
        dir.path().display()
    );
    assert_eq!(error, expected);
}

#[test]
fn images_without_a_class_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..3 {
        write(dir.path().join(format!("{i}.png")), &grey(3, 2, i));
    }
    let error = load(dir.path()).unwrap_err().to_string();
    for part in [
        "0 sub-folders",
        "the 3 images in it are",
        "granule predict RUN",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
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
            DataError::ImageSizes {
                found: (4, 2),
                expected: (3, 2),
                ..
            }
        ),
        "{error}"
    );
    for part in ["odd.png", "cat/0.png", "data.size", "\"crop\""] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn images_of_many_sizes_are_brought_to_one() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    write(dir.path().join("dog/odd.png"), &grey(40, 20, 200));
    write(
        dir.path().join("dog/huge.webp"),
        &encoded(RgbImage::new(100, 300), ImageFormat::WebP),
    );
    let size = Some(Size {
        height: 6,
        width: 4,
    });
    for resize in [Resize::Stretch, Resize::Crop, Resize::Pad] {
        let set = load_as(
            dir.path(),
            ImageOptions {
                size,
                resize: Some(resize),
                ..Default::default()
            },
        )
        .unwrap();
        let shape = Shape::Image {
            channels: 3,
            height: 6,
            width: 4,
        };
        assert_eq!(
            (set.train.shape(), set.train.len() + set.test.len()),
            (shape, 22)
        );
        let notes = set.notes.join("\n");
        assert!(
            notes.contains("22 images resized to 4×6")
                && notes.contains("21 images in grey and 1 in colour"),
            "{notes}"
        );
    }
    let error = load_as(
        dir.path(),
        ImageOptions {
            size,
            ..Default::default()
        },
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("3×2 pixels, 4×6 are wanted"),
        "{error}"
    );
    let resize = Some(Resize::Crop);
    let error = load_as(
        dir.path(),
        ImageOptions {
            resize,
            ..Default::default()
        },
    )
    .unwrap_err();
    assert!(error.to_string().contains("size = 64"), "{error}");
}

#[test]
fn channels_are_found_or_said() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    let channels = |channels| {
        let set = load_as(
            dir.path(),
            ImageOptions {
                channels,
                ..Default::default()
            },
        )
        .unwrap();
        match set.train.shape() {
            Shape::Image { channels, .. } => channels,
            Shape::Vector { .. } | Shape::Sequence { .. } => 0,
        }
    };
    assert_eq!(channels(None), 1);
    assert_eq!(channels(Some(Channels::Colour)), 3);
    let red = RgbImage::from_pixel(3, 2, Rgb([250, 10, 20]));
    write(
        dir.path().join("dog/red.bmp"),
        &encoded(red, ImageFormat::Bmp),
    );
    assert_eq!(channels(None), 3);
    assert_eq!(channels(Some(Channels::Grey)), 1);
}

/// Two classes that differ by the way they were held alone.
#[test]
fn images_are_turned_as_the_camera_noted() {
    let dir = tempfile::tempdir().unwrap();
    let bright_above =
        GrayImage::from_fn(16, 16, |_, y| image::Luma([if y < 8 { 240 } else { 10 }]));
    let plain = encoded(bright_above, ImageFormat::Jpeg);
    let upside_down = [
        &plain[..2],
        b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0",
        &plain[2..],
    ]
    .concat();
    for i in 0..5 {
        write(dir.path().join(format!("up/{i}.jpg")), &plain);
        write(dir.path().join(format!("down/{i}.jpg")), &upside_down);
    }
    let set = load(dir.path()).unwrap();
    for split in [&set.train, &set.test] {
        for i in 0..split.len() {
            let above = split.pixels(i).unwrap()[0] > 128;
            assert_eq!(
                set.classes[usize::from(split.class(i).unwrap())] == "up",
                above
            );
        }
    }
    assert!(
        set.notes[0].contains("5 images turned upright"),
        "{:?}",
        set.notes
    );
}

#[test]
fn transparent_images_are_laid_over_the_background() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    // White strokes: visible on black alone.
    let strokes = RgbaImage::from_fn(3, 2, |x, _| {
        Rgba([255, 255, 255, if x == 1 { 255 } else { 0 }])
    });
    write(
        dir.path().join("dog/drawn.png"),
        &encoded(strokes, ImageFormat::Png),
    );
    let set = load(dir.path()).unwrap();
    assert!(
        set.notes
            .iter()
            .any(|note| note.contains("1 image with transparent pixels, laid over white")),
        "{:?}",
        set.notes
    );
    let blank = &set.warnings[0];
    assert!(
        blank.contains("drawn.png: this image is of one colour")
            && blank.contains("data.background"),
        "{blank}"
    );
    let background = Background([0; 3]);
    let set = load_as(
        dir.path(),
        ImageOptions {
            background,
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!(warned(&set), Vec::<String>::new());
    let drawn = |split: &granule_data::Split| {
        (0..split.len()).any(|i| split.pixels(i).unwrap()[..6] == [0, 255, 0, 0, 255, 0])
    };
    assert!(drawn(&set.train) || drawn(&set.test));
}

#[test]
fn truncated_images_are_refused_or_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    let whole = encoded(GrayImage::new(3, 2), ImageFormat::Jpeg);
    for (name, len) in [
        ("cat/cut.jpg", whole.len() * 3 / 5),
        ("dog/cut.jpg", whole.len() - 3),
        ("dog/void.png", 0),
    ] {
        write(dir.path().join(name), &whole[..len]);
    }
    let error = load(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Image {
                source: ImageError::Truncated { .. },
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("cat/cut.jpg"), "{error}");
    assert!(
        error.to_string().contains("data.truncated = \"skip\""),
        "{error}"
    );
    let skip = ImageOptions {
        truncated: Truncated::Skip,
        ..Default::default()
    };
    let set = load_as(dir.path(), skip).unwrap();
    assert_eq!(set.train.len() + set.test.len(), 20);
    let warning = &set.warnings[0];
    assert!(
        warning.contains("cat/cut.jpg and 2 more: these images are truncated and were left out"),
        "{warning}"
    );
    // What is damaged otherwise is not left out.
    write(dir.path().join("dog/page.png"), b"<!doctype html>");
    let error = load_as(dir.path(), skip).unwrap_err();
    assert!(error.to_string().contains("a web page"), "{error}");
}

#[test]
fn what_computers_leave_behind_is_nobodys_class() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    for name in [
        "__MACOSX/cat/._0.png",
        ".ipynb_checkpoints/0-checkpoint.png",
        "@eaDir/0.png",
        "Thumbs.db",
        ".DS_Store",
        "cat/Thumbs.db",
        "cat/.DS_Store",
        "dog/._1.png",
        "dog/desktop.ini",
    ] {
        write(dir.path().join(name), b"junk");
    }
    let set = load(dir.path()).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(set.train.len() + set.test.len(), 20);
    assert_eq!(warned(&set), Vec::<String>::new());
}

#[test]
fn a_test_part_without_classes_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(&dir.path().join("train"));
    for i in 0..3 {
        write(dir.path().join(format!("test/{i}.png")), &grey(3, 2, i));
    }
    let error = load(dir.path()).unwrap_err().to_string();
    let train = format!("folder:{}", dir.path().join("train").display());
    for part in ["3 images and no sub-folders", &train, "granule predict RUN"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(
        load(&dir.path().join("train")).unwrap().classes,
        ["cat", "dog"]
    );
    let error = load(&dir.path().join("test")).unwrap_err().to_string();
    assert!(error.contains("class the 3 images in it are of"), "{error}");
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
        assert!(matches!(error, DataError::Image { .. }), "{error}");
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
    assert!(error.to_string().contains("65536×65536 pixels"), "{error}");
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
    for part in ["train", "dev"] {
        write_classes(&dir.path().join(part));
    }
    let error = load(dir.path()).unwrap_err().to_string();
    for path in [dir.path().join("train"), dir.path().join("test")] {
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn a_validation_part_is_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train", "val"] {
        write_classes(&dir.path().join(part));
    }
    // Without a test part the other one is what is tested on.
    let set = load(dir.path()).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (20, 20));
    assert_eq!(set.validation, None);
    assert!(!set.divided);
    assert!(
        set.notes[0].contains("val: taken for the test part"),
        "{:?}",
        set.notes
    );

    let without = set.fingerprint;
    write_classes(&dir.path().join("test"));
    let set = load(dir.path()).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (20, 20));
    assert_eq!(set.validation.as_ref().unwrap().len(), 20);
    assert_ne!(set.fingerprint, without);
    let note = "val: the 20 images in it are the validation part, so that nothing is held out of";
    assert!(set.notes[0].contains(note), "{:?}", set.notes);
    assert_eq!(set.all_for_test().unwrap().test.len(), 60);

    write(dir.path().join("val/cow/0.png"), &grey(3, 2, 7));
    let error = load(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("the class \"cow\" does not occur"),
        "{error}"
    );
    write_classes(&dir.path().join("valid"));
    let error = load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("only one of them"), "{error}");
}

#[test]
fn folders_within_a_class_are_of_that_class() {
    let dir = tempfile::tempdir().unwrap();
    write_classes(dir.path());
    write(dir.path().join("cat/tabby/young/0.png"), &grey(3, 2, 7));
    write(dir.path().join("cat/tabby/1.png"), &grey(3, 2, 8));
    let set = load(dir.path()).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(set.train.len() + set.test.len(), 22);
    assert_eq!(warned(&set), Vec::<String>::new());
    assert!(
        set.notes[0].contains("2 images in folders within the folder of a class"),
        "{:?}",
        set.notes
    );
    // The folder that holds the classes, one too high.
    let error = load(dir.path().parent().unwrap());
    assert!(error.is_err());
    let outer = tempfile::tempdir().unwrap();
    write_classes(&outer.path().join("images"));
    let error = load(outer.path()).unwrap_err().to_string();
    let meant = format!(
        "did you mean folder:{}?",
        outer.path().join("images").display()
    );
    assert!(error.contains(&meant), "{error}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path().join("cat"), dir.path().join("cat/again")).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("link lead back"), "{error}");
    }
}

#[test]
fn a_trained_model_is_scored_on_one_class_or_one_sample_of_each() {
    let score = |dir: &Path| {
        let options = LoadOptions {
            scored: true,
            ..LoadOptions::default()
        };
        granule_data::load(&DatasetSpec::Folder(dir.to_path_buf()), &options)
    };
    let dir = tempfile::tempdir().unwrap();
    for i in 0..5 {
        write(dir.path().join(format!("cat/{i}.png")), &grey(3, 2, i));
    }
    assert!(matches!(load(dir.path()), Err(DataError::Empty { .. })));
    let set = score(dir.path()).unwrap();
    assert_eq!(warned(&set), Vec::<String>::new());
    assert_eq!(set.all_for_test().unwrap().test.len(), 5);
    let dir = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        write(dir.path().join(class).join("0.png"), &grey(3, 2, 9));
    }
    assert!(load(dir.path()).is_err());
    let set = score(dir.path()).unwrap();
    assert_eq!((set.test.len(), set.divided), (2, false));
}

#[test]
fn images_that_are_all_the_same_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        for i in 0..5 {
            write(
                dir.path().join(class).join(format!("{i}.png")),
                &grey(3, 2, 9),
            );
        }
    }
    let set = load(dir.path()).unwrap();
    assert!(set.warnings[0].contains("all images of the training part are the same one"));
}

#[cfg(unix)]
#[test]
fn names_that_are_not_unicode_stay_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let dir = tempfile::tempdir().unwrap();
    for name in [&b"caf\xe8"[..], b"caf\xe9", b"dog"] {
        for i in 0..5 {
            let file = dir
                .path()
                .join(OsStr::from_bytes(name))
                .join(format!("{i}.png"));
            write(file, &grey(3, 2, i));
        }
    }
    let set = load(dir.path()).unwrap();
    assert_eq!(set.classes, ["caf\\xE8", "caf\\xE9", "dog"]);
    let count = |class| {
        (0..set.train.len())
            .filter(|&i| set.train.class(i) == Some(class))
            .count()
    };
    assert_eq!([0, 1, 2].map(count), [4, 4, 4]);
    // What a terminal would obey is shown as one character.
    for name in ["d\x01g", "d\x02g"] {
        write(dir.path().join(name).join("0.png"), &grey(3, 2, 1));
    }
    let error = load(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains(r#""d\u{1}g" and "d\u{2}g" look alike"#),
        "{error}"
    );
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
    fn damaged_images_never_panic(damage in damage(), kind in 0..5_usize, colour: bool) {
        let noise = |x: u32, y: u32| (x * 37 + y * 101) as u8;
        let format = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif][kind];
        let mut bytes = if colour {
            let image = RgbImage::from_fn(9, 7, |x, y| Rgb([noise(x, y), noise(y, x), 9]));
            encoded(image, format)
        } else {
            let image = GrayImage::from_fn(9, 7, |x, y| image::Luma([noise(x, y)]));
            match format {
                ImageFormat::Gif => encoded(DynamicImage::from(image).into_rgb8(), format),
                _ => encoded(image, format),
            }
        };
        damage.apply(&mut bytes);
        let dir = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            write(dir.path().join(class).join("0.png"), &grey(9, 7, 1));
            write(dir.path().join(class).join("1.png"), &bytes);
        }
        let (result, held) = crate::memory::peak(|| load(dir.path()));
        // One decoder of the largest image, its pixels turned or made opaque, and those of all.
        prop_assert!(held < 640 << 20, "{held} bytes were held");
        if let Ok(set) = result {
            prop_assert_eq!(set.train.len() + set.test.len(), 4);
        }
    }
}
