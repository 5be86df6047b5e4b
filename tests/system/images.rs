//! Folders of images, as people have them.

use crate::support::{Finished, fine, refused};

/// 121 files of 47 kB that hold 2 GiB of pixels.
#[test]
fn a_folder_larger_than_the_memory_is_refused_before_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let first = at.join("zeros/a/0.png");
    for class in ["a", "b"] {
        std::fs::create_dir_all(at.join("zeros").join(class)).unwrap();
    }
    image::GrayImage::new(4096, 4096).save(&first).unwrap();
    for i in 1..121 {
        let class = if i % 2 == 0 { "a" } else { "b" };
        std::fs::hard_link(&first, at.join(format!("zeros/{class}/{i}.png"))).unwrap();
    }
    let train = [
        "train",
        "--dataset",
        "folder:zeros",
        "--device",
        "flex",
        "--epochs",
        "1",
        "--run-dir",
        "run",
        "--quiet",
        "--memory",
        "400MiB",
    ];
    let text = refused(at, &train, 1);
    for part in [
        "zeros: 121 images of 4096×4096",
        "1.89 GiB",
        "400 MiB",
        "data.size",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A fifth is held out of the set of training alone.
#[test]
fn a_new_folder_is_tested_whole() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for (set, count) in [("set", 10_u8), ("new", 15)] {
        for (class, ink) in [("dark", 30), ("light", 200)] {
            std::fs::create_dir_all(at.join(set).join(class)).unwrap();
            for i in 0..count {
                let image = image::GrayImage::from_pixel(4, 4, image::Luma([ink + i]));
                image
                    .save(at.join(format!("{set}/{class}/{i}.png")))
                    .unwrap();
            }
        }
    }
    let train = "train --dataset folder:set --device flex --epochs 2 --run-dir run --quiet";
    fine(at, &train.split(' ').collect::<Vec<_>>());
    for (set, samples, said) in [
        (
            "folder:set",
            4,
            "the 4 of 20 samples that training held out",
        ),
        ("folder:new", 30, "all 30 samples are tested"),
    ] {
        let finished = fine(at, &["eval", "run", "--dataset", set, "--json"]);
        assert_eq!(finished.result()["test_samples"], samples, "{set}");
        let finished = fine(at, &["eval", "run", "--dataset", set]);
        assert!(finished.stderr.contains(said), "{set}: {}", finished.stderr);
    }
    let text = refused(at, &["eval", "run", "--dataset", "folder:new/dark"], 1);
    assert!(text.contains("granule predict RUN"), "{text}");
}

/// As a camera held sideways writes a PNG file: the pixels lie, and orientation 6 says to turn them.
fn save_lying(image: &image::RgbaImage, path: &std::path::Path) {
    use image::ImageEncoder;
    let lying = image::imageops::rotate270(image);
    let mut encoder = image::codecs::png::PngEncoder::new(std::fs::File::create(path).unwrap());
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    let (width, height) = lying.dimensions();
    let kind = image::ExtendedColorType::Rgba8;
    encoder.write_image(&lying, width, height, kind).unwrap();
}

/// Photographs of many sizes, with an alpha channel, upright or held sideways: what training saw is what `eval` and
/// `predict` see.
#[test]
fn folders_are_read_the_same_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for class in ["light", "dark"] {
        for set in ["set", "upright", "lying"] {
            std::fs::create_dir_all(at.join(set).join(class)).unwrap();
        }
        for i in 0..10_u32 {
            let (width, height) = (20 + i, 30 - i);
            let ink = if class == "light" { 200 } else { 30 };
            let image = image::RgbaImage::from_fn(width, height, |x, y| {
                let alpha = if (x + y) % 4 == 0 { 0 } else { 255 };
                image::Rgba([ink, ink, (ink + x as u8) / 2, alpha])
            });
            for set in ["set", "upright"] {
                image
                    .save(at.join(format!("{set}/{class}/{i}.png")))
                    .unwrap();
            }
            save_lying(&image, &at.join(format!("lying/{class}/{i}.png")));
        }
    }
    let train = [
        "train",
        "mlp",
        "--dataset",
        "folder:set",
        "--device",
        "flex",
        "--epochs",
        "2",
        "--run-dir",
        "run",
        "--json",
    ];
    let text = refused(at, &train, 1);
    assert!(text.contains("data.size"), "{text}");
    let settings = [
        "--set",
        "data.size=16",
        "--set",
        "data.resize=crop",
        "--set",
        "data.background=black",
    ];
    let trained = fine(at, &[&train[..], &settings].concat());
    let evaluated = fine(at, &["eval", "run", "--device", "flex", "--json"]);
    let loss = |finished: &Finished| finished.result()["test_loss"].as_f64().unwrap();
    assert!((loss(&evaluated) - loss(&trained)).abs() < 1e-9);
    // The model file alone remembers size, resizing and background.
    std::fs::copy(at.join("run/model.granule"), at.join("alone.granule")).unwrap();
    let alone = fine(
        at,
        &[
            "eval",
            "alone.granule",
            "--dataset",
            "folder:set",
            "--device",
            "flex",
            "--json",
        ],
    );
    assert!((loss(&alone) - loss(&trained)).abs() < 1e-9);
    let answers = fine(at, &["predict", "alone.granule", "set", "--json"]);
    assert_eq!(answers.json().len(), 20);
    let of_each = |set: &str| {
        let set = format!("folder:{set}");
        let words = ["eval", "alone.granule", "--dataset", &set];
        let words = [&words[..], &["--device", "flex", "--json"]].concat();
        loss(&fine(at, &words))
    };
    assert_eq!(of_each("lying"), of_each("upright"));
    let answers = |image: &str| {
        let finished = fine(at, &["predict", "alone.granule", image, "--json"]);
        finished.json()[0]["top"].clone()
    };
    assert!(answers("upright/light/3.png").is_array());
    assert_eq!(answers("lying/light/3.png"), answers("upright/light/3.png"));
    for (set, picture) in [("upright", "upright.png"), ("lying", "lying.png")] {
        let set = format!("folder:{set}");
        fine(at, &["data", "preview", &set, "--out", picture]);
    }
    let picture = |name: &str| image::open(at.join(name)).unwrap();
    assert_eq!(picture("lying.png"), picture("upright.png"));
    // A grey set for a model of colours.
    for class in ["light", "dark"] {
        std::fs::create_dir_all(at.join("grey").join(class)).unwrap();
        for i in 0..10 {
            let level = if class == "light" { 200 } else { 30 };
            let image = image::GrayImage::from_pixel(16, 16, image::Luma([level]));
            image
                .save(at.join(format!("grey/{class}/{i}.png")))
                .unwrap();
        }
    }
    fine(
        at,
        &[
            "eval",
            "alone.granule",
            "--dataset",
            "folder:grey",
            "--device",
            "flex",
            "--json",
        ],
    );
    fine(at, &["data", "preview", "folder:set", "--out", "set.png"]);
}
