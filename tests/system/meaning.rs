//! What the numbers of arrays and the pixels of files mean: the same images are the same images, however they are stored.

use std::path::{Path, PathBuf};

use granule::data::synthetic::{self, Part};
use granule::data::{DatasetSpec, LoadOptions, Split};
use image::{GrayImage, ImageFormat, Luma};

use crate::support::{fine, real_data, refused, save_npy};

/// A way to save images: the type string and the bytes of the numbers, and the range that has to be said.
struct Form {
    /// Of the run, too.
    name: &'static str,
    descr: &'static str,
    encode: fn(u8) -> Vec<u8>,
    range: Option<&'static str>,
}

const FORMS: [Form; 7] = [
    Form {
        name: "uint8",
        descr: "|u1",
        encode: |pixel| vec![pixel],
        range: None,
    },
    Form {
        name: "int64",
        descr: "<i8",
        encode: |pixel| i64::from(pixel).to_le_bytes().to_vec(),
        range: None,
    },
    Form {
        name: "float32-to-255",
        descr: "<f4",
        encode: |pixel| f32::from(pixel).to_le_bytes().to_vec(),
        range: Some("0,255"),
    },
    Form {
        name: "float32-to-1",
        descr: "<f4",
        encode: |pixel| (f32::from(pixel) / 255.0).to_le_bytes().to_vec(),
        range: None,
    },
    Form {
        name: "big-endian-float64-to-1",
        descr: ">f8",
        encode: |pixel| (f64::from(pixel) / 255.0).to_be_bytes().to_vec(),
        range: None,
    },
    Form {
        name: "float32-about-0",
        descr: "<f4",
        encode: |pixel| (f32::from(pixel) / 127.5 - 1.0).to_le_bytes().to_vec(),
        range: Some("-1,1"),
    },
    Form {
        name: "float64-about-0",
        descr: "<f8",
        encode: |pixel| (f64::from(pixel) / 127.5 - 1.0).to_le_bytes().to_vec(),
        range: Some("-1,1"),
    },
];

/// Images of 28×28 and their labels.
struct Digits {
    images: Vec<u8>,
    labels: Vec<u8>,
}

impl Digits {
    fn of(split: &Split, count: usize) -> Self {
        let count = count.min(split.len());
        let pixels = (0..count).flat_map(|i| split.pixels(i).unwrap().to_vec());
        let labels = (0..count).map(|i| split.class(i).unwrap() as u8);
        Self {
            images: pixels.collect(),
            labels: labels.collect(),
        }
    }

    fn save(&self, dir: &Path, form: &Form) {
        let count = self.labels.len();
        let data: Vec<u8> = self.images.iter().flat_map(|&x| (form.encode)(x)).collect();
        let shape = format!("({count}, 28, 28)");
        save_npy(&dir.join("x.npy"), form.descr, &shape, &data);
        let shape = format!("({count},)");
        save_npy(&dir.join("y.npy"), "|u1", &shape, &self.labels);
    }
}

/// Accuracy and loss of a model trained on digits in each form, which must be the same to the last digit; numbers that are
/// no intensities are refused where nobody says what they are.
fn the_same_in_every_form(digits: &Digits, model: &str, at_least: f64) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let train = [
        "train",
        model,
        "--dataset",
        "arrays:x.npy,y.npy",
        "--device",
        "flex",
        "--epochs",
        "6",
        "--json",
    ];
    let mut first = None;
    for form in &FORMS {
        digits.save(at, form);
        let range = form.range.map(|range| format!("--range={range}"));
        let said: Vec<&str> = train
            .into_iter()
            .chain(range.as_deref())
            .chain(["--run-dir", form.name])
            .collect();
        let result = fine(at, &said).result();
        let scores =
            [&result["test_accuracy"], &result["test_loss"]].map(|score| score.as_f64().unwrap());
        println!(
            "{model}, {}: accuracy {}, loss {}",
            form.name, scores[0], scores[1]
        );
        assert!(scores[0] > at_least, "{}: {scores:?}", form.name);
        assert_eq!(*first.get_or_insert(scores), scores, "{}", form.name);

        let predict = ["predict", FORMS[0].name, "x.npy", "--json"];
        if form.range.is_none() {
            continue;
        }
        let text = refused(at, &[&train[..], &["--run-dir", "no"]].concat(), 1);
        assert!(text.contains("--range="), "{}: {text}", form.name);
        let text = refused(at, &predict, 1);
        assert!(text.contains("--range="), "{}: {text}", form.name);
    }
    // What was trained in any form answers in any other that says what its numbers are.
    let answers = |run: &str, form: &Form| -> Vec<String> {
        Digits {
            images: digits.images[..40 * 784].to_vec(),
            labels: digits.labels[..40].to_vec(),
        }
        .save(at, form);
        let range = format!("--range={}", form.range.unwrap_or("0,1"));
        let said = match (form.range, form.descr) {
            (None, "|u1" | "<i8") => "--range=0,255",
            _ => &range,
        };
        let lines = fine(at, &["predict", run, "x.npy", said, "--json"]).json();
        assert_eq!(lines.len(), 40);
        lines.iter().map(|line| line["class"].to_string()).collect()
    };
    let expected = answers(FORMS[0].name, &FORMS[0]);
    for form in &FORMS {
        assert_eq!(answers(FORMS[0].name, form), expected, "{}", form.name);
        assert_eq!(answers(form.name, &FORMS[0]), expected, "{}", form.name);
    }
}

#[test]
fn drawn_digits_score_the_same_in_every_form() {
    let split = synthetic::split(3, Part::Train, 1500).unwrap();
    the_same_in_every_form(&Digits::of(&split, 1500), "mlp", 0.6);
}

#[test]
fn real_digits_score_the_same_in_every_form() {
    let Some(data) = real_data("mnist") else {
        return;
    };
    let options = LoadOptions {
        data_dir: Some(data),
        offline: true,
        ..LoadOptions::default()
    };
    let mnist = granule::data::load(&DatasetSpec::Mnist, &options).unwrap();
    the_same_in_every_form(&Digits::of(&mnist.train, 1000), "lenet", 0.7);
}

/// Saves an image so that a viewer that obeys orientation `tag` shows it upright.
fn save_turned(path: &Path, upright: &GrayImage, tag: u8) {
    let stored = match tag {
        3 => image::imageops::rotate180(upright),
        6 => image::imageops::rotate270(upright),
        8 => image::imageops::rotate90(upright),
        _ => upright.clone(),
    };
    let mut plain = std::io::Cursor::new(Vec::new());
    let format = ImageFormat::from_path(path).unwrap();
    stored.write_to(&mut plain, format).unwrap();
    let plain = plain.into_inner();
    // One entry of 16 bits: the orientation.
    let exif = [
        &b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..],
        &[tag],
        &[0; 6],
    ]
    .concat();
    let bytes = match format {
        ImageFormat::Jpeg => {
            let len = u16::try_from(8 + exif.len()).unwrap().to_be_bytes();
            [
                &plain[..2],
                b"\xff\xe1",
                &len,
                b"Exif\0\0",
                &exif,
                &plain[2..],
            ]
            .concat()
        }
        _ => {
            let chunk = [b"eXIf", &exif[..]].concat();
            let len = u32::try_from(exif.len()).unwrap().to_be_bytes();
            // Behind the signature and the header.
            let (start, rest) = plain.split_at(33);
            [start, &len, &chunk, &crc32(&chunk).to_be_bytes(), rest].concat()
        }
    };
    std::fs::write(path, bytes).unwrap();
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

/// Every orientation is as frequent in either class, so that who ignores it has nothing to go by: 50 %.
#[test]
fn classes_that_differ_by_direction_alone_are_told_apart() {
    for kind in ["jpg", "png"] {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let mut files: Vec<(PathBuf, &str)> = Vec::new();
        for class in ["up", "down"] {
            for part in ["train", "test"] {
                std::fs::create_dir_all(at.join("set").join(part).join(class)).unwrap();
            }
            for i in 0..48_u32 {
                let upright = GrayImage::from_fn(16, 16, |x, y| {
                    let bright = (y < 8) == (class == "up");
                    let level = if bright { 180 } else { 40 };
                    Luma([level + ((x * 7 + y * 3 + i * 11) % 30) as u8])
                });
                let part = if i < 32 { "train" } else { "test" };
                let tag = [1, 3, 6, 8][i as usize % 4];
                let name = format!("set/{part}/{class}/{i}.{kind}");
                save_turned(&at.join(&name), &upright, tag);
                if part == "test" {
                    files.push((name.into(), class));
                }
            }
        }
        let result = fine(
            at,
            &[
                "train",
                "mlp",
                "--dataset",
                "folder:set",
                "--device",
                "flex",
                "--epochs",
                "20",
                "--run-dir",
                "run",
                "--json",
            ],
        )
        .result();
        assert_eq!(result["test_accuracy"], 1.0, "{kind}: {result}");
        let names = files.iter().map(|(file, _)| file.to_str().unwrap());
        let predict: Vec<&str> = ["predict", "run", "--json"]
            .into_iter()
            .chain(names)
            .collect();
        let answers = fine(at, &predict).json();
        assert_eq!(answers.len(), files.len());
        for (answer, (file, class)) in answers.iter().zip(&files) {
            assert_eq!(answer["class"], *class, "{}", file.display());
        }
    }
}

/// Black strokes on a transparent ground are black strokes on white paper, to the last digit of the scores.
#[test]
fn digits_drawn_on_a_transparent_ground_are_learnt_as_on_paper() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let split = synthetic::split(5, Part::Train, 300).unwrap();
    for i in 0..split.len() {
        let class = split.class(i).unwrap();
        let ink = split.pixels(i).unwrap();
        for set in ["paper", "drawn"] {
            let folder = at.join(format!("{set}/{class}"));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("{i}.png"));
            let (pixels, colour): (Vec<u8>, _) = match set {
                "paper" => (
                    ink.iter().map(|ink| 255 - ink).collect(),
                    image::ExtendedColorType::L8,
                ),
                _ => (
                    ink.iter().flat_map(|ink| [0, *ink]).collect(),
                    image::ExtendedColorType::La8,
                ),
            };
            image::save_buffer(path, &pixels, 28, 28, colour).unwrap();
        }
    }
    let scores = |set: &str| {
        let dataset = format!("folder:{set}");
        let args = [
            "train",
            "mlp",
            "--dataset",
            &dataset,
            "--device",
            "flex",
            "--epochs",
            "10",
            "--run-dir",
            set,
            "--json",
        ];
        let run = format!("run-{set}");
        let args: Vec<&str> = args
            .into_iter()
            .map(|arg| if arg == set { run.as_str() } else { arg })
            .collect();
        let result = fine(at, &args).result();
        [&result["test_accuracy"], &result["test_loss"]].map(|score| score.as_f64().unwrap())
    };
    let (paper, drawn) = (scores("paper"), scores("drawn"));
    assert_eq!(paper, drawn);
    assert!(drawn[0] > 0.4, "{drawn:?}");
}

/// A model of images that were stored by columns knows it, and takes files of images as they are.
#[test]
fn arrays_by_columns_are_set_upright_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let (height, width, count) = (8, 12, 120);
    // The upper half is bright, or the left one.
    let level = |i: usize, y: usize, x: usize| -> u8 {
        let bright = if i.is_multiple_of(2) {
            y < height / 2
        } else {
            x < width / 2
        };
        (if bright { 200 } else { 40 }) + ((i * 7 + y * 3 + x * 5) % 40) as u8
    };
    let by_columns =
        |i: usize| (0..width).flat_map(move |x| (0..height).map(move |y| level(i, y, x)));
    let by_rows = |i: usize| (0..height).flat_map(move |y| (0..width).map(move |x| level(i, y, x)));
    let stored: Vec<u8> = (0..count).flat_map(by_columns).collect();
    let labels: Vec<u8> = (0..count).map(|i| (i % 2) as u8).collect();
    save_npy(&at.join("x.npy"), "|u1", "(120, 12, 8)", &stored);
    save_npy(&at.join("y.npy"), "|u1", "(120,)", &labels);
    let upright: Vec<u8> = (0..6).flat_map(by_rows).collect();
    save_npy(&at.join("upright.npy"), "|u1", "(6, 8, 12)", &upright);
    save_npy(
        &at.join("columns.npy"),
        "|u1",
        "(6, 12, 8)",
        &stored[..6 * 96],
    );
    let train = [
        "train",
        "mlp",
        "--dataset",
        "arrays:x.npy,y.npy",
        "--set",
        "data.transpose=true",
        "--device",
        "flex",
        "--epochs",
        "8",
        "--run-dir",
        "run",
        "--json",
    ];
    assert_eq!(fine(at, &train).result()["test_accuracy"], 1.0);
    let classes = |args: &[&str]| {
        let finished = fine(at, &[&["predict", "run", "--json"], args].concat());
        let lines = finished.json();
        let classes: Vec<String> = lines.iter().map(|line| line["class"].to_string()).collect();
        (classes.concat(), finished.stderr)
    };
    let (found, told) = classes(&["columns.npy"]);
    assert_eq!(found, "\"0\"\"1\"".repeat(3));
    assert!(
        told.contains("by columns") && told.contains("--transpose=false"),
        "{told}"
    );
    assert_eq!(classes(&["columns.npy", "--transpose"]).0, found);
    assert_eq!(classes(&["upright.npy", "--transpose=false"]).0, found);
    let text = refused(at, &["predict", "run", "upright.npy"], 1);
    assert!(text.contains("--transpose=false"), "{text}");
    // The model file alone remembers it too.
    std::fs::copy(at.join("run/model.granule"), at.join("alone.granule")).unwrap();
    let eval = [
        "eval",
        "alone.granule",
        "--dataset",
        "arrays:x.npy,y.npy",
        "--device",
        "flex",
        "--json",
    ];
    assert_eq!(fine(at, &eval).result()["test_accuracy"], 1.0);
}
