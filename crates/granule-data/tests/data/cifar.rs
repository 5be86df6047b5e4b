use std::path::Path;

use granule_data::{DataError, Dataset, DatasetSpec};
use proptest::prelude::*;

use crate::memory::{cap, peak};
use crate::support::{
    about_files, damage, gz, gz_best, load_from, tar, tar_header, tar_member, write,
};

const ARCHIVE: &str = "cifar-10/cifar-10-binary.tar.gz";
const FOLDER: &str = "cifar-10-batches-bin";
const NAMES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Records whose label is `first`, `first + 1`, … and whose pixels are `tag`.
fn batch(tag: u8, count: u8, first: u8) -> Vec<u8> {
    (0..count)
        .flat_map(|i| [vec![first + i], vec![tag; 3072]].concat())
        .collect()
}

fn members(order: [u8; 5]) -> Vec<(String, Vec<u8>)> {
    let mut members = vec![(format!("{FOLDER}/test_batch.bin"), batch(200, 2, 8))];
    for number in order {
        members.push((
            format!("{FOLDER}/data_batch_{number}.bin"),
            batch(number, number, 0),
        ));
    }
    members
}

fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    tar(&members)
}

fn load_archive(tar_gz: &[u8]) -> Result<Dataset, DataError> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join(ARCHIVE), tar_gz);
    load_from(&DatasetSpec::Cifar10, dir.path())
}

fn in_order(set: &Dataset) {
    let expected: Vec<(u16, u8)> = (1..=5u8)
        .flat_map(|number| (0..number).map(move |label| (u16::from(label), number)))
        .collect();
    let found: Vec<(u16, u8)> = (0..set.train.len())
        .map(|i| {
            (
                set.train.class(i).unwrap(),
                set.train.pixels(i).unwrap()[3071],
            )
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(set.test.class(1), Some(9));
    assert_eq!(set.test.pixels(1).unwrap(), [200; 3072]);
}

#[test]
fn batches_are_put_in_order_whatever_the_archive() {
    let mut fingerprints = Vec::new();
    for order in [
        [1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1],
        [1, 3, 4, 5, 2],
        [4, 1, 5, 2, 3],
    ] {
        let set = load_archive(&gz(&archive(&members(order)))).unwrap();
        in_order(&set);
        assert_eq!(set.classes, NAMES);
        assert_eq!(about_files(&set).len(), 1, "{:?}", set.warnings);
        fingerprints.push(set.fingerprint);
    }
    assert!(fingerprints.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn unpacked_files() {
    for folder in ["cifar-10/cifar-10-batches-bin", "cifar-10"] {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in members([1, 2, 3, 4, 5]) {
            let name = name.rsplit('/').next().unwrap();
            write(dir.path().join(folder).join(name), &bytes);
        }
        let set = load_from(&DatasetSpec::Cifar10, dir.path()).unwrap();
        in_order(&set);
        assert_eq!(about_files(&set).len(), 6, "{:?}", set.warnings);
    }
}

#[test]
fn fine_labels_of_cifar_100() {
    let dir = tempfile::tempdir().unwrap();
    let record = |coarse, fine| [vec![coarse, fine], vec![9; 3072]].concat();
    let train = [record(19, 99), record(0, 3)].concat();
    let bytes = tar(&[
        ("cifar-100-binary/train.bin", &train),
        ("cifar-100-binary/test.bin", &record(1, 50)),
    ]);
    write(
        dir.path().join("cifar-100/cifar-100-binary.tar.gz"),
        &gz(&bytes),
    );
    let set = load_from(&DatasetSpec::Cifar100, dir.path()).unwrap();
    assert_eq!(
        (set.train.class(0), set.train.class(1), set.test.class(0)),
        (Some(99), Some(3), Some(50))
    );
    assert_eq!((set.classes.len(), set.classes[99].as_str()), (100, "worm"));
}

#[test]
fn class_names_come_from_the_archive() {
    let with = |text: &str| {
        let mut members = members([1, 2, 3, 4, 5]);
        members.push((format!("{FOLDER}/batches.meta.txt"), text.into()));
        load_archive(&gz(&archive(&members))).unwrap()
    };
    let own: Vec<String> = (0..10).map(|i| format!("class {i}")).collect();
    assert_eq!(with(&(own.join("\n") + "\n\n")).classes, own);
    let short = with("only\ntwo\n");
    assert_eq!(short.classes, NAMES);
    assert!(
        short
            .warnings
            .iter()
            .any(|warning| warning.contains("names 2 classes")),
        "{:?}",
        short.warnings
    );
}

#[test]
fn labels_stay_below_the_number_of_classes() {
    let mut members = members([1, 2, 3, 4, 5]);
    members[2].1[3073] = 10;
    let error = load_archive(&gz(&archive(&members))).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::LabelRange {
                index: 1,
                label: 10,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("data_batch_2.bin"), "{error}");
}

#[test]
fn truncated_members_and_archives() {
    let mut cut = members([1, 2, 3, 4, 5]);
    cut[3].1.pop();
    let error = load_archive(&gz(&archive(&cut))).unwrap_err();
    assert!(matches!(error, DataError::Format { .. }), "{error}");
    assert!(error.to_string().contains("data_batch_3.bin"), "{error}");

    let whole = archive(&members([1, 2, 3, 4, 5]));
    let error = load_archive(&gz(&whole[..whole.len() / 2])).unwrap_err();
    assert!(matches!(error, DataError::Truncated { .. }), "{error}");
    let whole = gz(&whole);
    let error = load_archive(&whole[..whole.len() / 2]).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Truncated { .. } | DataError::Corrupt { .. }
        ),
        "{error}"
    );
    let mut checksum = whole.clone();
    let at = checksum.len() - 6;
    checksum[at] ^= 1;
    assert!(matches!(
        load_archive(&checksum),
        Err(DataError::Corrupt { .. })
    ));
}

#[test]
fn absent_empty_and_doubled_members() {
    let four: Vec<_> = members([1, 2, 3, 4, 5])
        .into_iter()
        .filter(|(name, _)| !name.contains("_4"))
        .collect();
    let error = load_archive(&gz(&archive(&four))).unwrap_err();
    assert!(
        error.to_string().contains("no member data_batch_4.bin"),
        "{error}"
    );

    let mut empty = members([1, 2, 3, 4, 5]);
    empty[0].1.clear();
    assert!(matches!(
        load_archive(&gz(&archive(&empty))),
        Err(DataError::Empty { .. })
    ));

    let mut doubled = members([1, 2, 3, 4, 5]);
    doubled.push(doubled[2].clone());
    let error = load_archive(&gz(&archive(&doubled))).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");

    let nothing = load_archive(&[]).unwrap_err();
    assert!(
        nothing.to_string().contains("no member data_batch_1.bin"),
        "{nothing}"
    );
}

#[test]
fn members_that_leave_the_folder_and_links_are_refused() {
    for (name, kind, reason) in [
        ("../data_batch_1.bin", b'0', "leaves"),
        ("cifar-10-batches-bin/../../x", b'0', "leaves"),
        ("a\\..\\x", b'0', "leaves"),
        ("/etc/x", b'0', "absolute"),
        ("C:/x", b'0', "absolute"),
        ("cifar-10-batches-bin/data_batch_1.bin", b'2', "link"),
        ("cifar-10-batches-bin/data_batch_1.bin", b'1', "link"),
        ("cifar-10-batches-bin/fifo", b'6', "device"),
    ] {
        let bytes = [
            tar_member(name, kind, b""),
            archive(&members([1, 2, 3, 4, 5])),
        ]
        .concat();
        let error = load_archive(&gz(&bytes)).unwrap_err();
        assert!(matches!(error, DataError::UnsafeArchive { .. }), "{error}");
        assert!(
            error.to_string().contains(reason) && error.to_string().contains(ARCHIVE),
            "{error}"
        );
    }
}

#[test]
fn bombs_are_cut_off() {
    // Gzip streams may follow one another, so a small file can stand for any amount of zeros.
    let zeros = gz(&vec![0; 1 << 24]);
    for (name, kind) in [
        ("junk.bin", b'0'),
        ("long name", b'L'),
        ("extended header", b'x'),
    ] {
        let mut bytes = gz(&tar_header(name, kind, 1 << 32));
        for _ in 0..66 {
            bytes.extend(&zeros);
        }
        let (result, held) = peak(|| load_archive(&bytes));
        assert!(
            matches!(result, Err(DataError::TooLarge { .. })),
            "{result:?}"
        );
        assert!(held < 4 << 20, "{held} bytes were held");
    }
}

#[test]
fn forged_sizes_allocate_nothing() {
    let forged = 3073u64 * 1_000_000;
    let mut bytes = tar_header("cifar-10-batches-bin/data_batch_1.bin", b'0', forged);
    bytes.extend(batch(1, 1, 0));
    let bytes = gz(&bytes);
    let (result, held) = peak(|| load_archive(&bytes));
    assert!(
        matches!(result, Err(DataError::TooLarge { .. })),
        "{result:?}"
    );
    assert!(held < 4 << 20, "{held} bytes were held");
}

#[test]
fn what_no_set_needs_is_refused_before_it_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cifar-10");
    for (name, bytes) in members([1, 2, 3, 4, 5]) {
        write(folder.join(name.rsplit('/').next().unwrap()), &bytes);
    }
    // Sparse: it takes no room on the disk.
    let file = std::fs::File::create(folder.join("data_batch_2.bin")).unwrap();
    file.set_len(3073 * 10_000_000).unwrap();
    let (result, held) = peak(|| load_from(&DatasetSpec::Cifar10, dir.path()));
    let error = result.unwrap_err();
    assert!(matches!(error, DataError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("data_batch_2.bin"), "{error}");
    assert!(held < 4 << 20, "{held} bytes were held");
}

#[test]
fn few_bytes_that_stand_for_very_many_records_are_refused() {
    let records = 300_000u64;
    let mut bytes = gz(&tar_header("data_batch_1.bin", b'0', records * 3073));
    // Zeros are valid records of the first class.
    let zeros = gz_best(&vec![0; 3073 * 5000]);
    for _ in 0..60 {
        bytes.extend(&zeros);
    }
    let (result, held) = peak(|| load_archive(&bytes));
    let error = result.unwrap_err();
    assert!(
        matches!(error, DataError::TooLarge { limit, .. } if limit == 1 << 28),
        "{error}"
    );
    assert!(held < 2 << 28, "{held} bytes were held");
}

#[test]
fn names_of_members_and_classes_tell_a_terminal_nothing() {
    let mut clear = members([1, 2, 3, 4, 5]);
    clear[2].0 = "\x1b[2J/data_batch_2.bin".into();
    clear[2].1.pop();
    let error = load_archive(&gz(&archive(&clear))).unwrap_err().to_string();
    assert!(error.contains("[2J/data_batch_2.bin"), "{error}");
    assert!(!error.contains('\x1b'), "{error}");

    let mut named = members([1, 2, 3, 4, 5]);
    let names = NAMES.join("\n").replace("cat", "\x1b]0;cat\x07");
    named.push((format!("{FOLDER}/batches.meta.txt"), names.into()));
    let set = load_archive(&gz(&archive(&named))).unwrap();
    assert_eq!(set.classes[3], "\u{fffd}]0;cat\u{fffd}");
}

#[test]
fn what_verify_reports_is_what_is_read() {
    let published = granule_data::registry::find("cifar-10").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cifar-10");
    let reported = || -> Vec<_> {
        let reports = granule_data::registry::verify(published, &folder).unwrap();
        reports.into_iter().map(|report| report.path).collect()
    };
    let warned = || about_files(&load_from(&DatasetSpec::Cifar10, dir.path()).unwrap());
    write(
        dir.path().join(ARCHIVE),
        &gz(&archive(&members([1, 2, 3, 4, 5]))),
    );
    for place in [None, Some(folder.clone()), Some(folder.join(FOLDER))] {
        for (name, bytes) in members([1, 2, 3, 4, 5]) {
            let Some(place) = &place else { continue };
            write(place.join(name.rsplit('/').next().unwrap()), &bytes);
        }
        assert!(granule_data::registry::list(dir.path())[3].present);
        let (reported, warned) = (reported(), warned());
        assert_eq!(reported.len(), if place.is_some() { 6 } else { 1 });
        assert_eq!(reported.len(), warned.len(), "{warned:?}");
        for (path, warning) in reported.iter().zip(&warned) {
            assert!(
                warning.starts_with(&path.display().to_string()),
                "{warning}"
            );
            assert!(
                place
                    .as_ref()
                    .is_none_or(|place| path.parent() == Some(place))
            );
        }
    }
}

fn write_and_load(dir: &Path, bytes: &[u8]) -> (Result<Dataset, DataError>, usize) {
    write(dir.join(ARCHIVE), bytes);
    peak(|| load_from(&DatasetSpec::Cifar10, dir))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_records_round_trip(
        labels in prop::collection::vec(0u8..10, 6..12),
        noise in prop::collection::vec(any::<u8>(), 3072),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let record = |index: usize| -> Vec<u8> {
            let pixels = noise.iter().map(|byte| byte.wrapping_add(index as u8));
            std::iter::once(labels[index]).chain(pixels).collect()
        };
        let mut members: Vec<(String, Vec<u8>)> =
            (0..5).map(|i| (format!("data_batch_{}.bin", i + 1), record(i))).collect();
        members.push(("test_batch.bin".into(), (5..labels.len()).flat_map(record).collect()));
        let set = write_and_load(dir.path(), &gz(&archive(&members))).0.unwrap();
        for index in 0..labels.len() {
            let (split, at) = if index < 5 { (&set.train, index) } else { (&set.test, index - 5) };
            let found = std::iter::once(split.class(at).unwrap() as u8).chain(split.pixels(at).unwrap().iter().copied());
            prop_assert!(found.eq(record(index)));
        }
    }

    #[test]
    fn damaged_archives_never_panic(damage in damage(), level in 0..2) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = archive(&members([2, 1, 3, 4, 5]));
        if level == 0 {
            damage.apply(&mut bytes);
        }
        bytes = gz(&bytes);
        if level == 1 {
            damage.apply(&mut bytes);
        }
        let (result, held) = write_and_load(dir.path(), &bytes);
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
        if let Ok(set) = result {
            prop_assert!(set.train.len() > 4 && !set.test.is_empty());
        }
    }

    #[test]
    fn damaged_pickles_never_panic(damage in damage(), member in 0usize..7) {
        let dir = tempfile::tempdir().unwrap();
        let mut members = pickled_members();
        damage.apply(&mut members[member].1);
        let bytes = gz(&archive(&members));
        write(dir.path().join("cifar-10/cifar-10-python.tar.gz"), &bytes);
        let (result, held) = peak(|| load_from(&DatasetSpec::Cifar10, dir.path()));
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
        if let Ok(set) = result {
            prop_assert!(set.train.len() > 4 && !set.test.is_empty());
        }
    }

    #[test]
    fn damaged_headers_never_panic(
        at in 0usize..512,
        value: u8,
        tail in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = tar_header("data_batch_1.bin", b'0', 3073);
        bytes[at] = value;
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(tail);
        let (result, held) = write_and_load(dir.path(), &bytes);
        prop_assert!(result.is_err());
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
    }
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in members([1, 2, 3, 4, 5]) {
        if !name.contains("data_batch_4") {
            write(dir.path().join("cifar-10").join(name), &bytes);
        }
    }
    let error = load_from(&DatasetSpec::Cifar10, dir.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("data_batch_4.bin is not here"), "{error}");
    assert!(!error.contains("tar.gz is not here"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in pickled_members() {
        if !name.ends_with("data_batch_4") {
            write(dir.path().join("cifar-10").join(name), &bytes);
        }
    }
    let error = load_from(&DatasetSpec::Cifar10, dir.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cifar-10-batches-py/data_batch_4 is not here"),
        "{error}"
    );
}

/// A text as Python 2 pickles it.
fn text(text: &str) -> Vec<u8> {
    [&[b'U', text.len() as u8], text.as_bytes()].concat()
}

/// A batch as Python 2 pickled it: labels and the pixels of as many images.
fn pickled(key: &str, labels: &[u8], pixels: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}q\x01(".to_vec();
    bytes.extend([text("batch_label"), text("batch 1 of 5")].concat());
    bytes.extend([text(key), b"]q\x04(".to_vec()].concat());
    bytes.extend(labels.iter().flat_map(|&label| [b'K', label]));
    bytes.extend([&b"e"[..], &text("data")].concat());
    bytes.extend(b"cnumpy.core.multiarray\n_reconstruct\nq\x08cnumpy\nndarray\nq\tK\x00\x85q\n");
    bytes.extend([text("b"), b"q\x0b\x87q\x0cRq\r(K\x01K".to_vec()].concat());
    bytes.push((pixels.len() / 3072) as u8);
    bytes.extend(b"M\x00\x0c\x86q\x0ecnumpy\ndtype\nq\x0f");
    bytes.extend([text("u1"), b"K\x00K\x01\x87q\x11Rq\x12(K\x03".to_vec()].concat());
    bytes.extend(text("|"));
    bytes.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x14b\x89T");
    bytes.extend((pixels.len() as u32).to_le_bytes());
    bytes.extend(pixels);
    bytes.extend(b"q\x15tq\x16bu.");
    bytes
}

/// A list of texts under a key, pickled.
fn pickled_names(key: &str, names: &[&str]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|name| text(name)).collect();
    [&b"\x80\x02}("[..], &text(key), b"](", &names, b"eu."].concat()
}

/// The samples of `members`, as the version for Python has them.
fn pickled_members() -> Vec<(String, Vec<u8>)> {
    let samples = members([1, 2, 3, 4, 5]).into_iter();
    let mut pickled: Vec<(String, Vec<u8>)> = samples
        .map(|(name, bytes)| {
            let name = name.replace("-bin/", "-py/").replace(".bin", "");
            let (labels, pixels): (Vec<u8>, Vec<&[u8]>) = bytes
                .chunks_exact(3073)
                .map(|record| (record[0], &record[1..]))
                .unzip();
            (name, pickled("labels", &labels, &pixels.concat()))
        })
        .collect();
    let names = pickled_names("label_names", &NAMES);
    pickled.push(("cifar-10-batches-py/batches.meta".to_owned(), names));
    pickled
}

#[test]
fn the_version_for_python_is_read_where_the_binary_one_is_not() {
    let binary = load_archive(&gz(&archive(&members([1, 2, 3, 4, 5])))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path().join("cifar-10/cifar-10-python.tar.gz"),
        &gz(&archive(&pickled_members())),
    );
    let packed = load_from(&DatasetSpec::Cifar10, dir.path()).unwrap();
    in_order(&packed);
    assert_eq!(packed.fingerprint, binary.fingerprint);
    assert_eq!(about_files(&packed).len(), 1, "{:?}", packed.warnings);
    // The binary version goes first.
    write(dir.path().join(ARCHIVE), &gz(&archive(&[])));
    let error = load_from(&DatasetSpec::Cifar10, dir.path()).unwrap_err();
    let said = "no member data_batch_1.bin";
    assert!(error.to_string().contains(said), "{error}");

    for folder in ["cifar-10/cifar-10-batches-py", "cifar-10"] {
        let dir = tempfile::tempdir().unwrap();
        let load = || load_from(&DatasetSpec::Cifar10, dir.path()).unwrap();
        for (name, bytes) in pickled_members() {
            let name = name.rsplit('/').next().unwrap();
            write(dir.path().join(folder).join(name), &bytes);
        }
        assert!(granule_data::registry::list(dir.path())[3].present);
        let set = load();
        assert_eq!(set.fingerprint, binary.fingerprint);
        assert_eq!(about_files(&set).len(), 6, "{:?}", set.warnings);
        let own = pickled_names("label_names", &["only", "two"]);
        write(dir.path().join(folder).join("batches.meta"), &own);
        let warnings = load().warnings;
        assert!(
            warnings.iter().any(|text| text.contains("names 2 classes")),
            "{warnings:?}"
        );
    }
}

#[test]
fn fine_labels_of_cifar_100_for_python() {
    let pixels = [9; 2 * 3072];
    let pickled = |labels: &[u8]| pickled("fine_labels", labels, &pixels);
    let load = |train: &[u8], test: &[u8], names: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cifar-100/cifar-100-python");
        for (name, bytes) in [("train", train), ("test", test), ("meta", names)] {
            write(folder.join(name), bytes);
        }
        load_from(&DatasetSpec::Cifar100, dir.path())
    };
    let names: Vec<String> = (0..100).map(|class| format!("class {class}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let names = pickled_names("fine_label_names", &names);
    let set = load(&pickled(&[99, 3]), &pickled(&[50, 0]), &names).unwrap();
    assert_eq!(
        (set.train.class(0), set.train.class(1), set.test.class(0)),
        (Some(99), Some(3), Some(50))
    );
    assert_eq!(set.classes[99], "class 99");
    for (train, said) in [
        (pickled(&[99, 100]), "label 100"),
        (pickled(&[99]), "2 images and 1 label"),
        (crate::cifar::pickled("fine_labels", &[], &[]), "no images"),
        (b"\x80\x02cos\nsystem\n.".to_vec(), "os.system"),
        (Vec::new(), "cut off"),
    ] {
        let error = load(&train, &pickled(&[0, 1]), &names).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert!(error.contains("cifar-100-python/train"), "{error}");
    }
}

#[test]
fn members_without_their_bytes_allocate_nothing() {
    let mut bytes = tar_header("cifar-10-batches-py/data_batch_1", b'0', 1 << 29);
    bytes.extend(&pickled_members()[1].1);
    let bytes = gz(&bytes);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("cifar-10/cifar-10-python.tar.gz"), &bytes);
    let (result, held) = peak(|| load_from(&DatasetSpec::Cifar10, dir.path()));
    assert!(result.is_err());
    assert!(held < 4 << 20, "{held} bytes were held");
}
