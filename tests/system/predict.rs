use std::path::Path;

use crate::support::{devices, fine, granule, refused, run, save_npy, trained};

/// A thick upright bar: any model of digits takes it for a 1.
fn one() -> Vec<u8> {
    let inked = |row: usize, column: usize| (5..23).contains(&row) && (13..16).contains(&column);
    (0..28 * 28)
        .map(|i| if inked(i / 28, i % 28) { 255 } else { 0 })
        .collect()
}

fn save_png(path: &Path, width: u32, height: u32, pixels: &[u8]) {
    image::save_buffer(path, pixels, width, height, image::ExtendedColorType::L8).unwrap();
}

#[test]
fn images_and_arrays_of_the_same_pixels_agree_on_every_device() {
    let dir = tempfile::tempdir().unwrap();
    let pixels = one();
    save_png(&dir.path().join("one.png"), 28, 28, &pixels);
    let inverted: Vec<u8> = pixels.iter().map(|pixel| 255 - pixel).collect();
    save_png(&dir.path().join("paper.png"), 28, 28, &inverted);
    save_npy(&dir.path().join("one.npy"), "|u1", "(28, 28)", &pixels);
    save_npy(
        &dir.path().join("two.npy"),
        "|u1",
        "(2, 1, 28, 28)",
        &[&pixels[..], &pixels[..]].concat(),
    );
    let floats: Vec<u8> = pixels
        .iter()
        .flat_map(|&pixel| (f32::from(pixel) / 255.0).to_le_bytes())
        .collect();
    save_npy(&dir.path().join("float.npy"), "<f4", "(784,)", &floats);

    let run_dir = trained().to_str().unwrap();
    for device in devices() {
        let finished = fine(
            dir.path(),
            &[
                "predict",
                run_dir,
                "one.png",
                "one.npy",
                "two.npy",
                "float.npy",
                "--device",
                &device,
                "--json",
            ],
        );
        let items = finished.json();
        assert_eq!(items.len(), 5, "{}", finished.stdout);
        for item in &items {
            assert_eq!(item["class"], "1", "{device}: {item}");
            assert_eq!(item["top"].as_array().unwrap().len(), 3);
            let distance =
                item["probability"].as_f64().unwrap() - items[0]["probability"].as_f64().unwrap();
            assert!(distance.abs() < 1e-5, "{device}: {item}");
        }
    }
    let paper = fine(
        dir.path(),
        &["predict", run_dir, "paper.png", "--invert", "--json"],
    )
    .json();
    let plain = fine(dir.path(), &["predict", run_dir, "one.png", "--json"]).json();
    assert_eq!(paper[0]["top"], plain[0]["top"]);
}

#[test]
fn text_shows_as_many_classes_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    save_png(&dir.path().join("one.png"), 28, 28, &one());
    let run_dir = trained().to_str().unwrap();
    let percentages = |top: &str| {
        let text = fine(dir.path(), &["predict", run_dir, "one.png", "--top", top]).stdout;
        assert!(text.contains("one.png"), "{text}");
        text.matches('%').count()
    };
    assert_eq!(percentages("1"), 1);
    assert_eq!(percentages("4"), 4);
    assert_eq!(percentages("99"), 10);
}

#[test]
fn an_image_of_another_size_is_refused_or_resized() {
    let dir = tempfile::tempdir().unwrap();
    let wide: Vec<u8> = (0..56 * 56)
        .map(|i| one()[(i / 56 / 2) * 28 + (i % 56) / 2])
        .collect();
    save_png(&dir.path().join("large.png"), 56, 56, &wide);
    let run_dir = trained().to_str().unwrap();
    let text = refused(dir.path(), &["predict", run_dir, "large.png"], 1);
    for part in ["large.png", "56", "28", "--resize"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let items = fine(
        dir.path(),
        &["predict", run_dir, "large.png", "--resize", "--json"],
    )
    .json();
    assert_eq!(items[0]["class"], "1", "{}", items[0]);
}

#[test]
fn what_is_no_sample_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text.png"), "not an image").unwrap();
    save_npy(
        &dir.path().join("wide.npy"),
        "|u1",
        "(28, 29)",
        &[0; 28 * 29],
    );
    save_npy(&dir.path().join("short.npy"), "|u1", "(28, 28)", &[0; 100]);
    save_npy(
        &dir.path().join("forged.npy"),
        "|u1",
        "(4000000000, 28, 28)",
        &[0; 784],
    );
    save_npy(
        &dir.path().join("words.npy"),
        "<U4",
        "(28, 28)",
        &[0; 16 * 784],
    );
    save_png(&dir.path().join("long.png"), 40_000, 1, &[0; 40_000]);
    let nan: Vec<u8> = (0..784).flat_map(|_| f32::NAN.to_le_bytes()).collect();
    save_npy(&dir.path().join("nan.npy"), "<f4", "(784,)", &nan);
    let run_dir = trained().to_str().unwrap();
    for name in [
        "text.png",
        "wide.npy",
        "short.npy",
        "forged.npy",
        "words.npy",
        "nan.npy",
        "absent.png",
    ] {
        let text = refused(dir.path(), &["predict", run_dir, name], 1);
        assert!(text.contains(name), "{name}: {text}");
    }
    for flag in ["--resize", "--invert"] {
        let args = ["predict", run_dir, "long.png", "--resize", flag];
        let args = if flag == "--resize" {
            &args[..4]
        } else {
            &args[..]
        };
        let text = refused(dir.path(), args, 1);
        assert!(text.contains("long.png"), "{text}");
    }
}

#[test]
fn a_preview_is_a_png() {
    let dir = tempfile::tempdir().unwrap();
    let finished = fine(
        dir.path(),
        &[
            "data",
            "preview",
            "synthetic-digits",
            "--out",
            "grid.png",
            "--rows",
            "3",
        ],
    );
    assert_eq!(finished.stdout.trim(), "grid.png");
    let (width, height) = image::image_dimensions(dir.path().join("grid.png")).unwrap();
    assert!(width >= 280 && height >= 84, "{width}×{height}");
}

/// A JPEG of a few kB.
fn jpeg(path: &Path) {
    let image = image::GrayImage::from_raw(28, 28, one()).unwrap();
    image.save(path).unwrap();
}

#[test]
fn one_bad_file_among_many_is_reported_and_the_others_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::create_dir_all(at.join("scans/more/__MACOSX")).unwrap();
    for name in ["scans/a.png", "scans/more/c.png"] {
        save_png(&at.join(name), 28, 28, &one());
    }
    jpeg(&at.join("scans/d.jpg"));
    let whole = std::fs::read(at.join("scans/d.jpg")).unwrap();
    std::fs::write(at.join("scans/b.jpg"), &whole[..whole.len() * 3 / 5]).unwrap();
    std::fs::write(at.join("scans/more/__MACOSX/._c.png"), "junk").unwrap();
    std::fs::write(at.join("scans/Thumbs.db"), "junk").unwrap();
    let run_dir = trained().to_str().unwrap();

    let finished = run(at, &["predict", run_dir, "scans", "--csv", "--top", "2"]);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "input,index,class,probability,class_2,probability_2"
    );
    let names: Vec<&str> = lines[1..]
        .iter()
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!(names, ["scans/a.png", "scans/d.jpg", "scans/more/c.png"]);
    assert!(lines[1].starts_with("scans/a.png,0,1,0."), "{}", lines[1]);
    for part in ["scans/b.jpg", "truncated", "1 of 4 inputs"] {
        assert!(
            finished.stderr.contains(part),
            "{part}: {}",
            finished.stderr
        );
    }

    let finished = run(
        at,
        &[
            "predict",
            run_dir,
            "scans/*.jpg",
            "absent.png",
            "scans/a.png",
            "--json",
        ],
    );
    assert_eq!(finished.code, Some(1));
    let items = finished.json();
    let kinds: Vec<_> = items
        .iter()
        .map(|item| {
            (
                item["event"].as_str().unwrap(),
                item["input"].as_str().unwrap_or("the command"),
            )
        })
        .collect();
    let expected = [
        ("error", "scans/b.jpg"),
        ("prediction", "scans/d.jpg"),
        ("error", "absent.png"),
        ("prediction", "scans/a.png"),
        ("error", "the command"),
    ];
    assert_eq!(kinds, expected);

    let text = refused(at, &["predict", run_dir, "scans/b.jpg"], 1);
    assert!(
        text.contains("scans/b.jpg") && text.contains("truncated"),
        "{text}"
    );
}

#[test]
fn an_image_may_come_from_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    save_png(&dir.path().join("one.png"), 28, 28, &one());
    let file = std::fs::File::open(dir.path().join("one.png")).unwrap();
    let output = granule(dir.path())
        .args(["predict", trained().to_str().unwrap(), "-", "--json"])
        .stdin(file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let item: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (item["input"].as_str(), item["class"].as_str()),
        (Some("-"), Some("1"))
    );
}

#[test]
fn the_home_is_known_where_the_shell_does_not_see_it() {
    let dir = tempfile::tempdir().unwrap();
    save_png(&dir.path().join("one.png"), 28, 28, &one());
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let with_home = |args: &[&str]| {
        let output = granule(dir.path())
            .args(args)
            .env("HOME", dir.path())
            .output()
            .unwrap();
        let texts = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        texts.concat()
    };
    let text = with_home(&["predict", trained().to_str().unwrap(), "~/one.png"]);
    assert!(text.contains("one.png  1 "), "{text}");
    let text = with_home(&["data", "list", "--data-dir=~/data"]);
    assert!(
        text.contains(&dir.path().join("data").display().to_string()),
        "{text}"
    );
    let text = with_home(&["data", "preview", "folder:~/absent"]);
    assert!(
        text.contains(&dir.path().join("absent").display().to_string()),
        "{text}"
    );
}

#[test]
fn far_brightness_is_hinted_at() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = trained().to_str().unwrap();
    let inverted: Vec<u8> = one().iter().map(|pixel| 255 - pixel).collect();
    save_png(&dir.path().join("paper.png"), 28, 28, &inverted);
    save_png(&dir.path().join("one.png"), 28, 28, &one());
    let stderr = |args: &[&str]| fine(dir.path(), &[&["predict", run_dir], args].concat()).stderr;
    let hint = stderr(&["paper.png"]);
    assert!(
        hint.contains("far brighter") && hint.contains("--invert"),
        "{hint}"
    );
    assert_eq!(stderr(&["paper.png", "--invert"]), "");
    assert_eq!(stderr(&["one.png"]), "");
    assert!(stderr(&["one.png", "--invert"]).contains("leave --invert away"));
    assert_eq!(stderr(&["one.png", "one.png", "paper.png"]), "");
}

/// White strokes on a transparent ground, as a drawing program saves them.
#[test]
fn transparent_pixels_are_told_of_and_their_background_can_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = trained().to_str().unwrap();
    let drawn: Vec<u8> = one().iter().flat_map(|ink| [255, *ink]).collect();
    image::save_buffer(
        dir.path().join("drawn.png"),
        &drawn,
        28,
        28,
        image::ExtendedColorType::La8,
    )
    .unwrap();
    let told = fine(dir.path(), &["predict", run_dir, "drawn.png"]).stderr;
    for part in [
        "1 image with transparent pixels",
        "laid over white",
        "--background",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let finished = fine(
        dir.path(),
        &[
            "predict",
            run_dir,
            "drawn.png",
            "--background",
            "black",
            "--json",
        ],
    );
    assert_eq!(finished.json()[0]["class"], "1");
    assert_eq!(
        finished.stderr.trim(),
        "1 image with transparent pixels, laid over black"
    );
    let wrong = ["predict", run_dir, "drawn.png", "--background", "no"];
    assert!(refused(dir.path(), &wrong, 2).contains("#rrggbb"));
}

/// Amounts of vectors: named where they lie, taken as they are said, answered from the kind of file they were learnt from.
#[test]
fn arrays_are_learnt_and_answered_from_archives() {
    use granule::data::arrays::{NpzArray, write_npz};
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::create_dir(at.join("sub")).unwrap();
    let x: Vec<f64> = (0..120).map(|i| f64::from(i * 37 % 101)).collect();
    let y: Vec<f64> = x.chunks(3).map(|row| row[0] + row[1]).collect();
    let write = |name: &str, arrays: &[NpzArray]| {
        let mut bytes = Vec::new();
        write_npz(&mut bytes, arrays).unwrap();
        std::fs::write(at.join(name), bytes).unwrap();
    };
    let inputs = || NpzArray::new("x", vec![40, 3], x.clone());
    write("sub/set.npz", &[inputs(), NpzArray::new("y", vec![40], y)]);
    write("new.npz", &[inputs()]);
    let text = "[data]\ndataset = 'arrays:set.npz'\ntargets = 'values'\n[model]\nkind = 'mlp'\n[train]\nepochs = 2\n";
    std::fs::write(at.join("sub/my.toml"), text).unwrap();
    let train = "train sub/my.toml --device flex --run-dir run";
    let trained = fine(at, &train.split(' ').collect::<Vec<_>>());
    assert!(
        trained.stdout.contains("granule predict run NEW.npz"),
        "{}",
        trained.stdout
    );
    let answers = fine(at, &["predict", "run", "new.npz", "--json"]).json();
    assert_eq!(answers.len(), 40);
    let text = refused(at, &["train", "--set", "data.dataset=arrays:set.npz"], 1);
    assert!(text.contains("set.npz"), "{text}");
    std::fs::write(
        at.join("sub/bad.toml"),
        "[data]\ndataset = 'arrays:set2.npz'\n",
    )
    .unwrap();
    let text = refused(at, &["train", "sub/bad.toml"], 1);
    assert!(text.contains("sub/set2.npz"), "{text}");
}
