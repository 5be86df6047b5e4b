//! Volumes of NIfTI files, and the voxels that a mask keeps.

use std::path::Path;

use granule_data::decoding::{Found, Inspection, inspect};
use granule_data::{DataError, Dataset, DatasetSpec, DecodingConfig, LoadOptions, load};

use crate::support::{gz, npy_f32, npy_i64, write, zip};

fn named<'a>(inspection: &'a Inspection, name: &str) -> &'a Found {
    let found = inspection.arrays.iter().find(|array| array.name == name);
    found.unwrap_or_else(|| panic!("{name}: {inspection:?}"))
}

/// A file of volumes as the standards lay it out.
#[derive(Clone)]
struct File {
    dim: Vec<i64>,
    datatype: i16,
    /// Slope and intercept.
    scale: [f64; 2],
    big_endian: bool,
    second: bool,
    /// Numbers, each with its least byte first.
    numbers: Vec<Vec<u8>>,
}

impl File {
    fn new(dim: &[i64], datatype: i16, numbers: Vec<Vec<u8>>) -> Self {
        Self {
            dim: dim.to_vec(),
            datatype,
            scale: [0.0, 0.0],
            big_endian: false,
            second: false,
            numbers,
        }
    }

    fn shorts(dim: &[i64], numbers: &[i16]) -> Self {
        let numbers = numbers.iter().map(|number| number.to_le_bytes().to_vec());
        Self::new(dim, 4, numbers.collect())
    }

    fn bytes(&self) -> Vec<u8> {
        let size = if self.second { 540 } else { 348 };
        let mut bytes = vec![0; size];
        let mut put = |at: usize, number: &[u8]| {
            let mut number = number.to_vec();
            if self.big_endian {
                number.reverse();
            }
            bytes[at..at + number.len()].copy_from_slice(&number);
        };
        let mut dim = vec![self.dim.len() as i64];
        dim.extend(&self.dim);
        dim.resize(8, 1);
        put(0, &(size as i32).to_le_bytes());
        if self.second {
            put(12, &self.datatype.to_le_bytes());
            for (at, extent) in dim.iter().enumerate() {
                put(16 + 8 * at, &extent.to_le_bytes());
            }
            put(168, &544_i64.to_le_bytes());
            put(176, &self.scale[0].to_le_bytes());
            put(184, &self.scale[1].to_le_bytes());
            bytes[4..12].copy_from_slice(b"n+2\0\r\n\x1a\n");
        } else {
            put(70, &self.datatype.to_le_bytes());
            for (at, extent) in dim.iter().enumerate() {
                put(40 + 2 * at, &(*extent as i16).to_le_bytes());
            }
            put(108, &352_f32.to_le_bytes());
            put(112, &(self.scale[0] as f32).to_le_bytes());
            put(116, &(self.scale[1] as f32).to_le_bytes());
            bytes[344..348].copy_from_slice(b"n+1\0");
        }
        // No extensions.
        bytes.extend([0; 4]);
        for number in &self.numbers {
            let mut number = number.clone();
            if self.big_endian {
                number.reverse();
            }
            bytes.extend(number);
        }
        bytes
    }
}

/// Ten volumes of 2 × 1 × 2 voxels: in each the numbers `10 volume + voxel`.
fn bold() -> File {
    let numbers: Vec<i16> = (0..10)
        .flat_map(|volume| (0..4).map(move |voxel| 10 * volume + voxel))
        .collect();
    File::shorts(&[2, 1, 2, 10], &numbers)
}

fn config(signal: &str, mask: Option<&str>) -> DecodingConfig {
    DecodingConfig {
        signal: signal.into(),
        target: "labels".into(),
        mask: mask.map(Into::into),
        ..Default::default()
    }
}

fn read(path: &Path, decoding: DecodingConfig) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        decoding,
        seed: 1,
        ..Default::default()
    };
    load(&DatasetSpec::Recording(path.to_path_buf()), &options)
}

/// A folder with labels of ten bins.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let labels: Vec<i64> = (0..10).map(|bin| bin % 2).collect();
    write(dir.path().join("labels.npy"), &npy_i64(&[10], &labels));
    dir
}

/// The range of the numbers of a file's array, and its shape and type.
fn look(bytes: &[u8], name: &str) -> (Vec<u64>, String, [f64; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    write(&path, bytes);
    let found = inspect(&path).unwrap();
    assert_eq!(found.kind, "a NIfTI file");
    let array = named(&found, "bold");
    let numbers = array.numbers.clone().unwrap_or_else(|| panic!("{array:?}"));
    let range = [numbers.min, numbers.mean, numbers.max].map(Option::unwrap);
    (array.shape.clone(), array.dtype.clone(), range)
}

#[test]
fn either_order_of_bytes_and_either_version_says_the_same() {
    for (big_endian, second) in [(false, false), (true, false), (false, true), (true, true)] {
        let plain = File {
            big_endian,
            second,
            ..bold()
        };
        let expected = (vec![10, 4], "int16".to_owned(), [0.0, 46.5, 93.0]);
        assert_eq!(look(&plain.bytes(), "bold.nii"), expected);
        assert_eq!(look(&gz(&plain.bytes()), "bold.nii.gz"), expected);
        let scaled = File {
            scale: [0.5, -2.0],
            ..plain
        };
        let expected = (vec![10, 4], "float64".to_owned(), [-2.0, 21.25, 44.5]);
        assert_eq!(look(&scaled.bytes(), "bold.nii"), expected);
        // A slope of 1 that moves nothing leaves integers.
        let same = File {
            scale: [1.0, 0.0],
            ..scaled
        };
        assert_eq!(look(&same.bytes(), "bold.NII").1, "int16");
    }
}

#[test]
fn every_type_is_read_with_and_without_a_slope() {
    let three = |datatype: i16, bytes: [Vec<u8>; 3]| File::new(&[3, 1, 1], datatype, bytes.into());
    let (below, above) = (-3.0, 7.0);
    for (name, least, file) in [
        ("uint8", 0.0, three(2, [0_u8, 1, 7].map(|x| vec![x]))),
        (
            "int8",
            below,
            three(256, [-3_i8, 1, 7].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "int16",
            below,
            three(4, [-3_i16, 1, 7].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "uint16",
            0.0,
            three(512, [0_u16, 1, 7].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "int32",
            below,
            three(8, [-3_i32, 1, 7].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "uint32",
            0.0,
            three(768, [0_u32, 1, 7].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "int64",
            below,
            three(1024, [-3_i64, 1, 7].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "uint64",
            0.0,
            three(1280, [0_u64, 1, 7].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "float32",
            below,
            three(16, [-3_f32, 1.0, 7.0].map(|x| x.to_le_bytes().to_vec())),
        ),
        (
            "float64",
            below,
            three(64, [-3_f64, 1.0, 7.0].map(|x| x.to_le_bytes().to_vec())),
        ),
    ] {
        for big_endian in [false, true] {
            let mut file = File {
                big_endian,
                ..file.clone()
            };
            let (shape, dtype, [min, _, max]) = look(&file.bytes(), "bold.nii");
            assert_eq!(
                (shape, dtype.as_str(), min, max),
                (vec![1, 3], name, least, above)
            );
            file.scale = [2.0, 0.25];
            let (_, dtype, [min, _, max]) = look(&file.bytes(), "bold.nii");
            let scaled = [least, above].map(|x| 2.0 * x + 0.25);
            assert_eq!((dtype.as_str(), [min, max]), ("float64", scaled), "{name}");
        }
    }
}

#[test]
fn a_mask_keeps_voxels_in_their_order() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write(
        at("bold.nii.gz"),
        &gz(&File {
            scale: [0.5, 1.0],
            ..bold()
        }
        .bytes()),
    );
    let mask = File::new(&[2, 1, 2], 2, [0_u8, 1, 0, 9].map(|x| vec![x]).into());
    write(at("mask.nii"), &mask.bytes());
    let set = read(dir.path(), config("bold", Some("mask.nii"))).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (8, 2));
    // Voxels 1 and 3 of the volumes 8 and 9.
    assert_eq!(
        set.test.values(0).unwrap(),
        [0.5 * 81.0 + 1.0, 0.5 * 83.0 + 1.0]
    );
    assert_eq!(
        set.test.values(1).unwrap(),
        [0.5 * 91.0 + 1.0, 0.5 * 93.0 + 1.0]
    );
    assert_eq!(set.classes, ["0", "1"]);
    let note = "10 volumes of 2 × 1 × 2 voxels, 2 of 4 within the mask";
    assert_eq!(
        set.notes.iter().filter(|text| text.contains(note)).count(),
        1
    );
    let whole = read(dir.path(), config("bold", None)).unwrap();
    assert_eq!(
        whole.test.values(0).unwrap(),
        [80, 81, 82, 83].map(|x| x as f32 * 0.5 + 1.0)
    );

    let found = inspect(dir.path()).unwrap();
    assert_eq!(named(&found, "bold").shape, [10, 4]);
    assert_eq!(named(&found, "mask").shape, [1, 4]);
}

#[test]
fn masks_that_do_not_go_with_the_volumes_are_refused() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write(at("bold.nii"), &bold().bytes());
    write(
        at("counts.npy"),
        &npy_i64(&[10, 2], &(0..20).collect::<Vec<_>>()),
    );
    let mask = |dim: &[i64], numbers: &[f32]| {
        let numbers = numbers.iter().map(|x| x.to_le_bytes().to_vec());
        write(
            at("mask.nii"),
            &File::new(dim, 16, numbers.collect()).bytes(),
        );
    };
    let refused = |signal: &str| {
        let decoding = config(signal, Some("mask.nii"));
        read(dir.path(), decoding).unwrap_err().to_string()
    };
    for (dim, numbers, parts) in [
        (
            &[2, 2, 1][..],
            &[1.0; 4][..],
            &["[2, 2, 1]", "[2, 1, 2]", "bold.nii"][..],
        ),
        (&[2, 1, 2, 2], &[1.0; 8], &["[2, 1, 2] with 2 volumes"]),
        (&[2, 1, 2], &[0.0; 4], &["keeps no voxel"]),
        (&[2, 1, 2], &[1.0, 1.0, f32::NAN, 0.0], &["NaN"]),
    ] {
        mask(dim, numbers);
        let error = refused("bold");
        for part in parts.iter().chain(&["mask.nii"]) {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let error = refused("counts");
    assert!(
        error.contains("data.decoding.mask") && error.contains("counts.npy"),
        "{error}"
    );
    let error = read(dir.path(), config("bold", Some("none.nii"))).unwrap_err();
    assert!(error.to_string().contains("none.nii"), "{error}");
    let error = read(dir.path(), config("bold", Some(""))).unwrap_err();
    assert!(error.to_string().contains("data.decoding.mask"), "{error}");
    let archive = at("both.npz");
    write(
        &archive,
        &zip(&[("bold.npy", &npy_f32(&[2, 2], &[0.0; 4]))], false),
    );
    let error = read(&archive, config("bold", Some("mask.nii"))).unwrap_err();
    assert!(error.to_string().contains("data.decoding.mask"), "{error}");
}

#[test]
fn damaged_headers_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bold.nii");
    let refused = |bytes: &[u8]| {
        write(&path, bytes);
        match inspect(&path) {
            Ok(found) => named(&found, "bold").problem.clone().unwrap(),
            Err(error) => error.to_string(),
        }
    };
    let with = |at: usize, new: &[u8]| {
        let mut bytes = bold().bytes();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let dim = |dim: &[i64]| {
        File {
            dim: dim.to_vec(),
            ..bold()
        }
        .bytes()
    };
    let huge = |dim: &[i64]| {
        let second = true;
        File {
            dim: dim.to_vec(),
            second,
            ..bold()
        }
        .bytes()
    };
    let long = 1_i64 << 40;
    for (bytes, part) in [
        (b"not at all".to_vec(), "not a NIfTI file"),
        (with(344, b"n+7\0"), "not a NIfTI file"),
        (with(344, b"ni1\0"), "another file (.img)"),
        (dim(&[2, 0, 2, 10]), "an extent of 0"),
        (dim(&[2, 1, -2, 10]), "an extent of -2"),
        (dim(&[2, 20]), "[x, y, z]"),
        (dim(&[2, 1, 2, 5, 2]), "[x, y, z]"),
        (with(40, &9_i16.to_le_bytes()), "9 dimensions"),
        (dim(&[32767, 32767, 32767, 32767]), "truncated"),
        (huge(&[long, long, long]), "promises"),
        (huge(&[long, 1 << 20, 1]), "truncated"),
        (huge(&[long, 1 << 23, 1]), "promises"),
        (dim(&[2, 1, 2, 11]), "truncated"),
        (dim(&[2, 1, 2, 9]), "bytes follow"),
        (with(70, &32_i16.to_le_bytes()), "complex"),
        (with(70, &3_i16.to_le_bytes()), "data type 3"),
        (with(108, &12_f32.to_le_bytes()), "vox_offset"),
        (with(108, &352.5_f32.to_le_bytes()), "vox_offset"),
        (with(108, &f32::NAN.to_le_bytes()), "vox_offset"),
        (with(108, &1e12_f32.to_le_bytes()), "truncated"),
        (with(112, &f32::INFINITY.to_le_bytes()), "scaled by inf"),
        // More than so few bytes may decode to.
        (gz(&dim(&[1000, 1000, 100, 2])), "promises"),
        (gz(&dim(&[32767, 32767, 32767, 32767])), "promises"),
    ] {
        let error = refused(&bytes);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_is_cut_off_is_never_read_as_if_it_were_whole() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    // The last voxel is masked out, so that its numbers are not asked for.
    let mask = File::new(&[2, 1, 2], 2, [1_u8, 1, 1, 0].map(|x| vec![x]).into());
    write(at("mask.nii.gz"), &gz(&mask.bytes()));
    let (plain, packed) = (bold().bytes(), gz(&bold().bytes()));
    for (name, whole) in [("bold.nii", &plain), ("bold.nii.gz", &packed)] {
        for cut in [0, 3, 100, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            let cut = cut.min(whole.len() - 1);
            write(at(name), &whole[..cut]);
            for mask in [None, Some("mask.nii.gz")] {
                assert!(
                    read(dir.path(), config("bold", mask)).is_err(),
                    "{name} {cut}"
                );
            }
        }
        std::fs::remove_file(at(name)).unwrap();
    }
    // Numbers that differ from those that the checksum is of.
    let mut damaged = packed.clone();
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    write(at("bold.nii.gz"), &damaged);
    assert!(read(dir.path(), config("bold", Some("mask.nii.gz"))).is_err());
    write(at("bold.nii.gz"), &packed);
    assert!(read(dir.path(), config("bold", Some("mask.nii.gz"))).is_ok());
}

#[test]
fn of_files_of_one_name_the_first_is_read_and_told() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    write(at("bold.nii"), &bold().bytes());
    write(at("bold.npy"), &npy_f32(&[10, 1], &[0.25; 10]));
    let found = inspect(dir.path()).unwrap();
    assert_eq!(named(&found, "bold").shape, [10, 1]);
    assert_eq!(found.arrays.len(), 2);
    std::fs::remove_file(at("bold.npy")).unwrap();
    write(at("bold.csv"), b"a\n1\n");
    let set = read(dir.path(), config("bold", None)).unwrap();
    let told = |text: &String| text.contains("bold.nii is read") && text.contains("bold.csv");
    assert!(set.notes.iter().any(told), "{:?}", set.notes);
}
