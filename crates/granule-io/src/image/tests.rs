//! The files in `tests/images` were written by Pillow: 20×13 pixels with a red block at the upper left.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn all() -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| (name.clone(), file(&name)))
        .collect()
}

fn decode(bytes: &[u8]) -> Result<Picture, ImageError> {
    Picture::decode(bytes, Background::WHITE)
}

fn pixel(picture: &Picture, x: usize, y: usize) -> &[u8] {
    let count = picture.channels.count();
    let at = (y * picture.width as usize + x) * count;
    &picture.data[at..at + count]
}

fn is_red(pixel: &[u8]) -> bool {
    pixel[0] > 180 && pixel[1] < 80 && pixel[2] < 80
}

fn fit(channels: Channels, height: usize, width: usize, resize: Option<Resize>) -> Fit {
    Fit {
        channels,
        height,
        width,
        resize,
        background: Background::WHITE,
    }
}

#[test]
fn every_kind_is_read() {
    for (name, bytes) in all() {
        let header = header(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let picture = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(picture.size(), (header.width, header.height), "{name}");
        let expected = if name.starts_with("turned") {
            (13, 20)
        } else {
            (20, 13)
        };
        assert_eq!(picture.size(), expected, "{name}");
        let grey = ["grey.jpg", "grey_alpha.png", "deep.png"].contains(&name.as_str());
        assert_eq!(picture.channels == Channels::Grey, grey, "{name}");
        let marked = !grey
            && !["palette", "transparent", "animated", "bits", "alpha.webp"]
                .iter()
                .any(|kind| name.starts_with(kind));
        if marked && !name.starts_with("turned") {
            assert!(is_red(pixel(&picture, 1, 1)), "{name}");
            assert!(!is_red(pixel(&picture, 12, 8)), "{name}");
        }
    }
}

/// What was cut anywhere is refused, whatever a decoder would make of the rest.
#[test]
fn every_truncation_is_refused() {
    for (name, bytes) in all() {
        for len in 0..bytes.len() {
            let error = decode(&bytes[..len]).err();
            assert!(error.is_some(), "{name}: {len} of {} bytes", bytes.len());
        }
        let half = decode(&bytes[..bytes.len() / 2]).unwrap_err();
        assert!(
            matches!(half, ImageError::Truncated { .. }),
            "{name}: {half}"
        );
        // What follows the end belongs to no pixel.
        let longer = [&bytes[..], &[0xff, 0, 7, 0xd9]].concat();
        assert_eq!(decode(&longer).unwrap(), decode(&bytes).unwrap(), "{name}");
    }
}

/// A file whose later part never arrived, though room was made for it.
#[test]
fn a_tail_of_zeros_is_refused() {
    for (name, mut bytes) in all() {
        if name.ends_with("bmp") || name.ends_with("webp") {
            continue;
        }
        let at = bytes.len() * 3 / 5;
        bytes[at..].fill(0);
        assert!(decode(&bytes).is_err(), "{name}");
    }
}

/// Many truncations of larger images: `GRANULE_TRUNCATIONS=2000 cargo test --release -p granule-io truncations`.
#[test]
fn a_campaign_of_truncations() {
    let rounds = std::env::var("GRANULE_TRUNCATIONS").ok();
    let rounds: usize = rounds.and_then(|text| text.parse().ok()).unwrap_or(20);
    let noise = |x: u32, y: u32| (x.wrapping_mul(37) ^ y.wrapping_mul(101)) as u8;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut count = 0;
    for round in 0..rounds {
        let (width, height) = (1 + draw(200) as u32, 1 + draw(200) as u32);
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([noise(x, y), (x * y) as u8, (x + round as u32) as u8])
        });
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::Bmp,
            ImageFormat::WebP,
        ] {
            let mut bytes = Cursor::new(Vec::new());
            DynamicImage::from(image.clone())
                .write_to(&mut bytes, format)
                .unwrap();
            let bytes = bytes.into_inner();
            decode(&bytes).unwrap();
            for _ in 0..4 {
                let len = draw(bytes.len());
                assert!(
                    decode(&bytes[..len]).is_err(),
                    "{format:?}: {len} of {} bytes",
                    bytes.len()
                );
                count += 1;
            }
        }
    }
    println!("{count} truncations were refused");
}

#[test]
fn the_orientation_of_the_camera_is_applied() {
    // A quarter clockwise: what was at the upper left is at the upper right.
    for name in ["turned.jpg", "turned.png", "turned_late.png", "turned.webp"] {
        let picture = decode(&file(name)).unwrap();
        assert!(is_red(pixel(&picture, 11, 1)), "{name}");
        assert!(!is_red(pixel(&picture, 1, 1)), "{name}");
    }
}

#[test]
fn all_eight_orientations() {
    let plain = file("baseline.jpg");
    for (tag, (x, y)) in [
        (1, (1, 1)),
        (2, (18, 1)),
        (3, (18, 11)),
        (4, (1, 11)),
        (5, (1, 1)),
        (6, (11, 1)),
        (7, (11, 18)),
        (8, (1, 18)),
    ] {
        for big in [false, true] {
            let exif: &[&[u8]] = if big {
                &[
                    b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
                    &[tag],
                    &[0; 6],
                ]
            } else {
                &[
                    b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
                    &[tag],
                    &[0; 7],
                ]
            };
            let exif = exif.concat();
            let len = u16::try_from(2 + 6 + exif.len()).unwrap().to_be_bytes();
            let bytes = [
                &plain[..2],
                b"\xff\xe1",
                &len,
                b"Exif\0\0",
                &exif,
                &plain[2..],
            ]
            .concat();
            let picture = decode(&bytes).unwrap();
            let expected = if tag > 4 { (13, 20) } else { (20, 13) };
            assert_eq!(picture.size(), expected, "{tag}");
            assert!(is_red(pixel(&picture, x, y)), "{tag}, big-endian {big}");
        }
    }
}

#[test]
fn transparent_pixels_show_the_background() {
    let green = Background([0, 255, 0]);
    for name in ["palette.png", "transparent.gif", "animated.gif"] {
        let picture = Picture::decode(&file(name), green).unwrap();
        assert!(picture.is_transparent(), "{name}");
        assert_eq!(pixel(&picture, 0, 0), [0, 255, 0], "{name}");
        assert_eq!(pixel(&picture, 5, 4), [255, 255, 255], "{name}");
        assert_eq!(
            pixel(&decode(&file(name)).unwrap(), 0, 0),
            [255; 3],
            "{name}"
        );
    }
    let half = decode(&file("alpha.png")).unwrap();
    // 12·13 and 19·10 at half opacity over white.
    assert_eq!(
        pixel(&half, 12, 10),
        [(144 * 128 + 255 * 127 + 127) / 255, 222, 187].map(|level: u32| level as u8)
    );
    let grey = Picture::decode(&file("grey_alpha.png"), green).unwrap();
    assert_eq!(
        (grey.channels, pixel(&grey, 19, 12)),
        (Channels::Colour, &[0, 255, 0][..])
    );
    let grey = Picture::decode(&file("grey_alpha.png"), Background([7; 3])).unwrap();
    assert_eq!(
        (grey.channels, pixel(&grey, 19, 12)),
        (Channels::Grey, &[7][..])
    );
    assert!(!decode(&file("rgb.bmp")).unwrap().is_transparent());

    // White strokes on a transparent ground are lost on white.
    let strokes = RgbaImage::from_fn(4, 4, |x, _| {
        Rgba([255, 255, 255, if x == 1 { 255 } else { 0 }])
    });
    let image = DynamicImage::from(strokes);
    assert!(
        Picture::from_image(&image, Background::WHITE)
            .unwrap()
            .is_blank()
    );
    assert!(
        !Picture::from_image(&image, Background([0; 3]))
            .unwrap()
            .is_blank()
    );
}

#[test]
fn sixteen_bits_become_eight() {
    let picture = decode(&file("deep.png")).unwrap();
    assert_eq!(pixel(&picture, 0, 12), [0]);
    assert_eq!(pixel(&picture, 19, 0), [((19 * 3000 + 128) / 257) as u8]);
}

#[test]
fn sizes_are_reached_in_three_ways() {
    // A white disc's box: left half black, right half white, twice as wide as high.
    let wide = RgbImage::from_fn(40, 20, |x, _| Rgb([if x < 20 { 0 } else { 255 }; 3]));
    let picture = || Picture::from_image(&wide.clone().into(), Background::WHITE).unwrap();
    let error = picture()
        .fit(&fit(Channels::Grey, 10, 10, None))
        .unwrap_err();
    assert_eq!(error.to_string(), "40×20 pixels, 10×10 are wanted");
    let fitted = |resize| {
        picture()
            .fit(&fit(Channels::Grey, 10, 10, Some(resize)))
            .unwrap()
    };
    for (resize, columns) in [(Resize::Stretch, 5), (Resize::Crop, 5)] {
        let pixels = fitted(resize);
        let dark = pixels[50..60].iter().filter(|level| **level < 128).count();
        assert_eq!(dark, columns, "{resize}");
    }
    let padded = fitted(Resize::Pad);
    assert_eq!(padded[0], 255);
    assert_eq!(padded[9 * 10], 255);
    assert_eq!(padded[5 * 10], 0);
    let black = Fit {
        background: Background([0; 3]),
        ..fit(Channels::Grey, 10, 10, Some(Resize::Pad))
    };
    assert_eq!(picture().fit(&black).unwrap()[9], 0);

    let colours = decode(&file("rgb.bmp")).unwrap();
    let planes = colours
        .clone()
        .fit(&fit(Channels::Colour, 13, 20, None))
        .unwrap();
    for (channel, plane) in planes.chunks(260).enumerate() {
        assert_eq!(plane[21], pixel(&colours, 1, 1)[channel]);
    }
    let grey = decode(&file("grey.jpg")).unwrap();
    let tripled = grey
        .clone()
        .fit(&fit(Channels::Colour, 13, 20, None))
        .unwrap();
    assert_eq!(tripled, grey.data.repeat(3));
}

#[test]
fn extreme_forms_can_be_resized() {
    for (width, height) in [(1, 300), (300, 1), (1, 1)] {
        let image = DynamicImage::from(RgbImage::new(width, height));
        for resize in [Resize::Stretch, Resize::Crop, Resize::Pad] {
            for (h, w) in [(1, 1), (7, 200), (200, 7)] {
                let picture = Picture::from_image(&image, Background::WHITE).unwrap();
                let pixels = picture
                    .fit(&fit(Channels::Colour, h, w, Some(resize)))
                    .unwrap();
                assert_eq!(pixels.len(), 3 * h * w);
            }
        }
    }
}

#[test]
fn what_is_no_image_is_named() {
    for (bytes, part) in [
        (&b"<!DOCTYPE html><html>"[..], "web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        (b"%PDF-1.7\n", "PDF"),
        (b"hello, world", "text"),
    ] {
        let error = decode(bytes).unwrap_err();
        assert!(matches!(error, ImageError::Kind { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("WebP"), "{text}");
    }
    for start in [
        &b""[..],
        b"\x89P",
        b"\xff\xd8",
        b"GIF",
        b"B",
        b"RIFF\x10\0\0\0WE",
    ] {
        assert!(
            matches!(decode(start), Err(ImageError::Truncated { .. })),
            "{start:?}"
        );
    }
}

/// 32768×16000 pixels of one level fit into a file of 60 kB.
#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    let mut png = file("deep.png");
    png[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x3e, 0x80]);
    // The checksum of the header is part of what is forged.
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let error = decode(&png).unwrap_err();
    assert!(
        matches!(
            error,
            ImageError::TooLarge {
                width: 32768,
                height: 16000,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("at most 256 MiB"), "{error}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn names_tell_images_from_what_is_left_behind() {
    for name in ["a.PNG", "a.jpeg", "x/b.webp", "c.gif", "d.bmp", "e.JPG"] {
        assert!(is_named_as_image(Path::new(name)), "{name}");
    }
    assert!(!is_named_as_image(Path::new("a.txt")) && !is_named_as_image(Path::new("png")));
    for name in [
        "__MACOSX",
        "a/.ipynb_checkpoints",
        "Thumbs.db",
        ".DS_Store",
        "._a.png",
        "desktop.ini",
    ] {
        assert!(is_left_behind(Path::new(name)), "{name}");
    }
    assert!(!is_left_behind(Path::new("thumbs")));
}

#[test]
fn settings_are_written_as_they_are_read() {
    for (text, colour) in [
        ("white", [255; 3]),
        ("black", [0; 3]),
        ("grey", [128; 3]),
        ("#01ff7a", [1, 255, 122]),
    ] {
        let background: Background = text.parse().unwrap();
        assert_eq!(
            (background.0, background.to_string().as_str()),
            (colour, text)
        );
    }
    for text in ["", "red", "#12345", "#12345g", "#1234567", "#+12345"] {
        assert!(text.parse::<Background>().is_err(), "{text}");
    }
    for name in Resize::NAMES {
        assert_eq!(name.parse::<Resize>().unwrap().to_string(), name);
    }
}

/// Texts and colour profiles may be packed a thousandfold: no decoder is given them.
#[test]
fn what_says_nothing_of_the_pixels_is_left_out() {
    let plain = file("grey_alpha.png");
    for kind in [b"iCCP", b"zTXt", b"iTXt", b"tEXt"] {
        // After the chunk IHDR.
        let mut bytes = plain[..33].to_vec();
        bytes.extend(4_u32.to_be_bytes());
        bytes.extend(kind);
        bytes.extend(b"a\0\0x\0\0\0\0");
        bytes.extend(&plain[33..]);
        let found = structure::walk(ImageFormat::Png, &bytes);
        assert_eq!(found.idle.first(), Some(&(33..49)));
        let without = structure::without(&bytes, &found.idle).unwrap();
        let idle = structure::walk(ImageFormat::Png, &without).idle;
        assert!(idle.is_empty(), "{idle:?}");
        assert_eq!(decode(&bytes).unwrap(), decode(&plain).unwrap());
    }
}
