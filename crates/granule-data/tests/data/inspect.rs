//! What is inside files and folders of recordings.

use granule_data::decoding::{Found, Inspection, inspect};

use crate::support::{npy, npy_f32, npy_i64, write, zip};

fn named<'a>(inspection: &'a Inspection, name: &str) -> &'a Found {
    let found = inspection.arrays.iter().find(|array| array.name == name);
    found.unwrap_or_else(|| panic!("{name}: {inspection:?}"))
}

/// Four bins of three channels, of which the second is silent, a velocity and classes.
fn members() -> [(&'static str, Vec<u8>); 4] {
    let counts = [1, 0, 2, 3, 0, 0, 0, 0, 4, 1, 0, 1];
    let velocity = [0.5, f32::NAN, -1.0, 2.5];
    let position = [0.0, 1.0, 1.0, 2.0, 2.5, 3.0, 3.0, 4.0];
    [
        ("counts.npy", npy_i64(&[4, 3], &counts)),
        ("position.npy", npy_f32(&[4, 2], &position)),
        ("trial.npy", npy_i64(&[4], &[0, 0, 1, 1])),
        ("velocity.npy", npy_f32(&[4], &velocity)),
    ]
}

#[test]
fn folders_and_archives_are_told_alike() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("session");
    std::fs::create_dir(&folder).unwrap();
    let members = members();
    for (name, bytes) in &members {
        write(folder.join(name), bytes);
    }
    let archive = dir.path().join("session.npz");
    let borrowed: Vec<_> = members
        .iter()
        .map(|(name, bytes)| (*name, &bytes[..]))
        .collect();
    write(&archive, &zip(&borrowed, true));
    let [of_folder, of_archive] = [&folder, &archive].map(|path| inspect(path).unwrap());
    assert_eq!(of_folder.arrays, of_archive.arrays);
    assert_eq!(of_archive.kind, "an .npz archive");

    let counts = named(&of_folder, "counts");
    assert_eq!(
        (&counts.shape[..], counts.dtype.as_str()),
        (&[4, 3][..], "int64")
    );
    assert_eq!(counts.role.as_deref(), Some("signal"));
    let numbers = counts.numbers.as_ref().unwrap();
    assert_eq!(
        [numbers.min, numbers.mean, numbers.max],
        [0.0, 1.0, 4.0].map(Some)
    );
    assert_eq!((numbers.channels, numbers.constant), (3, 1));
    assert_eq!(
        (&numbers.constant_channels[..], numbers.counts),
        (&[1][..], true)
    );

    let velocity = named(&of_folder, "velocity").numbers.as_ref().unwrap();
    assert_eq!(
        (velocity.nan, velocity.min, velocity.max),
        (1, Some(-1.0), Some(2.5))
    );
    let role = |name| named(&of_folder, name).role.clone();
    assert_eq!(role("position").unwrap(), "target (real values, a bin)");
    assert!(role("trial").unwrap().contains("numbers of trials"));
    let of_nan = "none: 1 number of it NaN, which nothing is learnt from";
    assert_eq!(role("velocity").unwrap(), of_nan);
    let suggestion = of_folder.suggestion.unwrap();
    assert_eq!(
        suggestion.settings(),
        [
            "data.decoding.signal=counts",
            "data.decoding.target=position",
            "data.decoding.square_root=true",
            "data.decoding.window.before=15",
            "data.decoding.test_signal=",
            "data.decoding.test_target="
        ]
    );
}

#[test]
fn names_that_say_train_and_test_go_together() {
    let dir = tempfile::tempdir().unwrap();
    for (part, bins) in [("train", 4), ("test", 6)] {
        let counts: Vec<i64> = (0..2 * bins as i64).collect();
        let speed: Vec<f32> = (0..bins).map(|bin| bin as f32 / 2.0).collect();
        let at = |what: &str| dir.path().join(format!("{part}_{what}.npy"));
        write(at("counts"), &npy_i64(&[bins, 2], &counts));
        write(at("speed"), &npy_f32(&[bins], &speed));
    }
    let suggestion = inspect(dir.path()).unwrap().suggestion.unwrap();
    assert_eq!(
        (suggestion.signal.as_str(), suggestion.target.as_deref()),
        ("train_counts", Some("train_speed"))
    );
    let test = ["test_counts", "test_speed"].map(String::from);
    assert_eq!(suggestion.test, Some(test));
}

#[test]
fn what_cannot_be_read_is_told_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path().join("names.npy"),
        &npy("<U2", false, &[1], &[b'a', 0, 0, 0, 0, 0, 0, 0]),
    );
    write(
        dir.path().join("objects.npy"),
        &npy("|O", false, &[1], &[0; 8]),
    );
    let mut cut = npy_f32(&[3], &[1.0, 2.0, 3.0]);
    cut.truncate(cut.len() - 2);
    write(dir.path().join("cut.npy"), &cut);
    let found = inspect(dir.path()).unwrap();
    assert_eq!(found.suggestion, None);
    let names = named(&found, "names");
    assert_eq!(
        (names.dtype.as_str(), &names.numbers, &names.problem),
        ("strings", &None, &None)
    );
    let problem = |name| named(&found, name).problem.clone().unwrap();
    assert!(
        problem("objects").contains("\"|O\""),
        "{}",
        problem("objects")
    );
    assert!(problem("cut").contains("truncated"), "{}", problem("cut"));
    // A single file is an array called as it is.
    write(dir.path().join("x.npy"), &npy_i64(&[2], &[3, 5]));
    let single = inspect(&dir.path().join("x.npy")).unwrap();
    assert_eq!(single.arrays.len(), 1);
    assert_eq!(
        named(&single, "x").numbers.as_ref().unwrap().mean,
        Some(4.0)
    );
    let absent = inspect(&dir.path().join("absent")).unwrap_err().to_string();
    assert!(absent.contains("is not here"), "{absent}");
}

#[test]
fn strings_of_an_archive_are_read_to_their_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("names.npz");
    let names = npy("<U2", false, &[3], &[b'a', 0, 0, 0, 0, 0, 0, 0].repeat(3));
    for packed in [false, true] {
        write(&path, &zip(&[("names.npy", &names[..])], packed));
        let found = inspect(&path).unwrap();
        assert_eq!(named(&found, "names").problem, None, "{packed}");
    }
    let mut damaged = zip(&[("names.npy", &names[..])], false);
    let at = damaged
        .windows(5)
        .position(|bytes| bytes == [b'a', 0, 0, 0, 0])
        .unwrap();
    damaged[at] = b'b';
    write(&path, &damaged);
    let problem = named(&inspect(&path).unwrap(), "names").problem.clone();
    assert!(problem.unwrap().contains("checksum"));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_in_a_folder_is_told_as_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(at("x.npy"), &npy_i64(&[2], &[3, 5]));
    std::fs::create_dir(at("folder.npy")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling.npy")).unwrap();
    std::os::unix::fs::symlink(at("loop.npy"), at("loop.npy")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("zero.npy")).unwrap();
    // On a file system that takes such names.
    use std::os::unix::ffi::OsStrExt;
    let nameless = std::ffi::OsStr::from_bytes(b"\xff\xfe.npy");
    let _ = std::fs::write(dir.path().join(nameless), npy_i64(&[1], &[1]));
    let found = inspect(dir.path()).unwrap();
    let names: Vec<_> = found.arrays.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["dangling", "folder", "loop", "x", "zero"]);
    for name in ["dangling", "folder", "loop", "zero"] {
        let problem = named(&found, name).problem.clone().unwrap();
        let direct = granule_io::open_regular(&at(&format!("{name}.npy"))).unwrap_err();
        assert!(problem.contains(&direct.to_string()), "{name}: {problem}");
        assert!(!problem.contains("one of the arrays"), "{name}: {problem}");
    }
}

#[test]
fn what_is_suggested_goes_with_the_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let counts: Vec<i64> = (0..8 * 3 * 4).map(|x| x % 5).collect();
    write(at("trials.npy"), &npy_i64(&[8, 3, 4], &counts));
    write(at("moves.npy"), &npy_f32(&[8, 4, 2], &[0.5; 64]));
    write(at("turned.npy"), &npy_f32(&[8, 2, 4], &[0.5; 64]));
    let role = |name: &str| named(&inspect(dir.path()).unwrap(), name).role.clone();
    assert_eq!(
        role("moves").unwrap(),
        "target (real values, a bin of a trial)"
    );
    assert!(role("turned").unwrap().contains("exchange its last axes?"));
    let suggested = || inspect(dir.path()).unwrap().suggestion.unwrap();
    write(at("object.npy"), &npy_i64(&[8], &[0, 1, 0, 1, 2, 0, 2, 1]));
    write(at("effort.npy"), &npy_f32(&[8], &[0.5; 8]));
    let classes = suggested();
    assert_eq!(classes.preset, "identify-objects");
    assert_eq!(
        classes.settings(),
        [
            "data.decoding.signal=trials",
            "data.decoding.target=object",
            "data.decoding.square_root=true",
            "data.decoding.split=trial",
            "data.decoding.group=",
            "data.decoding.test_groups=",
            "data.decoding.bins=",
            "data.decoding.sum=4",
        ]
    );
    // Names of classes are classes as well.
    std::fs::remove_file(at("object.npy")).unwrap();
    let names = [b"a\0\0\0", b"b\0\0\0"].map(|name| name.to_vec());
    write(
        at("seen.npy"),
        &npy("<U1", false, &[8], &names.concat().repeat(4)),
    );
    assert_eq!(suggested().target.as_deref(), Some("seen"));
    let found = inspect(dir.path()).unwrap();
    let role = named(&found, "seen").role.as_deref();
    assert_eq!(role, Some("target (classes, a trial)"));

    let alone = tempfile::tempdir().unwrap();
    write(alone.path().join("spikes.npy"), &npy_i64(&[8, 12], &counts));
    let found = inspect(alone.path()).unwrap();
    let suggestion = found.suggestion.clone().unwrap();
    assert_eq!(suggestion.preset, "predict-activity");
    assert_eq!(
        suggestion.settings(),
        [
            "data.decoding.signal=spikes",
            "data.decoding.test_signal=",
            "data.decoding.square_root=true"
        ]
    );
    let role = named(&found, "spikes").role.as_deref();
    assert_eq!(
        role,
        Some("signal, of which channels are predicted from others")
    );
}

#[test]
fn what_is_neither_signal_nor_target_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let counts: Vec<i64> = (0..40).map(|x| x % 5).collect();
    let below: Vec<i64> = (0..40).map(|x| x % 5 - 1).collect();
    write(at("counts.npy"), &npy_i64(&[10, 4], &counts));
    write(
        at("below.npy"),
        &npy_i64(&[10, 5], &[&below[..], &[0; 10]].concat()),
    );
    write(at("turned.npy"), &npy_f32(&[2, 10], &[0.5; 20]));
    write(at("short.npy"), &npy_f32(&[9, 2], &[0.5; 18]));
    write(at("speed.npy"), &npy_f32(&[10], &[0.5; 10]));
    let found = inspect(dir.path()).unwrap();
    for (name, part) in [
        ("counts", "signal"),
        ("below", "signal, but no counts: -1 is below 0"),
        ("turned", "exchange its axes?"),
        ("short", "none: nothing narrower has as many rows (9)"),
    ] {
        let role = named(&found, name).role.clone().unwrap_or_default();
        assert!(role.contains(part), "{name}: {role}");
    }
}
