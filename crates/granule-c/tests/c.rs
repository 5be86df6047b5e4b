//! The header, the programs in C and C++, and what the functions refuse.
#![allow(missing_docs, unsafe_code, clippy::unwrap_used, clippy::panic)]

use std::ffi::{CStr, CString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use granule::device::DeviceSpec;
use granule::models::{
    InputShape, InputSpec, ModelConfig, ModelFile, Provenance, Sample, Stepper, Task, state,
};
use granule_c::*;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(model: serde_json::Value, shape: InputShape, task: Task) -> ModelFile {
    let device = DeviceSpec::Cpu.open().unwrap();
    let model: ModelConfig = serde_json::from_value(model).unwrap();
    let network = model.init(&shape, task.outputs(), 4, device.burn());
    ModelFile {
        state: state::state_dict(&network.unwrap()).unwrap(),
        model,
        input: InputSpec::new(shape),
        task,
        provenance: Provenance::now(),
    }
}

fn classifier() -> ModelFile {
    let shape = InputShape::Image {
        channels: 1,
        height: 28,
        width: 28,
    };
    let classes = (0..10).map(|class| format!("class-{class}")).collect();
    let task = Task::Classification { classes };
    file(serde_json::json!({"kind": "lenet"}), shape, task)
}

fn recurrent() -> ModelFile {
    let shape = InputShape::Sequence {
        steps: 10,
        channels: 3,
    };
    let rate = serde_json::json!({"kind": "rate", "units": 32});
    file(rate, shape, Task::regression(20))
}

/// The model of a file, through the border.
struct Handle(*mut Model);

impl Handle {
    fn of(file: &ModelFile) -> Self {
        let bytes = file.to_bytes().unwrap();
        let mut model = ptr::null_mut();
        // SAFETY: the pointers are of living values.
        let status = unsafe { granule_load_bytes(bytes.as_ptr(), bytes.len(), &mut model) };
        assert_eq!(status, Status::GranuleOk, "{}", last_error());
        Self(model)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it was loaded, and is freed once.
        unsafe { granule_free(self.0) };
    }
}

fn last_error() -> String {
    // SAFETY: it ends in a zero, and nothing fails before it is copied.
    let text = unsafe { CStr::from_ptr(granule_last_error()) };
    text.to_str().unwrap().to_owned()
}

/// The names of functions after some words.
fn names_after<'a>(text: &'a str, words: &str) -> Vec<&'a str> {
    let parts = text.split(words).skip(1);
    let names = parts.filter_map(|part| part.split('(').next());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("granule_")).collect();
    names.sort();
    names
}

/// What cbindgen makes of the functions is checked by the program in `header`, which is none of this workspace.
#[test]
fn every_function_is_declared_once() {
    let read = |file: &str| fs::read_to_string(here().join(file)).unwrap();
    let (source, header) = (read("src/border.rs"), read("include/granule.h"));
    let defined = names_after(&source, "extern \"C\" fn ");
    let declarations = header.replace("char *", "char ").replace("enum ", "");
    let mut declared = Vec::new();
    for kind in ["\nconst char ", "\nsize_t ", "\nvoid ", "\ngranule_status "] {
        declared.extend(names_after(&declarations, kind));
    }
    declared.sort();
    assert!(defined.len() > 15);
    assert_eq!(defined, declared);
}

/// Where cargo puts the libraries: beside this test.
fn libraries() -> PathBuf {
    std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned()
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    found.is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{command:?}:\n{out}{err}");
    out
}

/// Runs a program, under valgrind where there is one; a leak or a bad read is a failure.
fn checked(program: &Path, argument: &Path) -> String {
    let mut command = if is_there("valgrind") {
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
        command.args(["--errors-for-leak-kinds=definite", "--fair-sched=yes"]);
        command.arg(program);
        command
    } else {
        println!("without valgrind, which is not there");
        Command::new(program)
    };
    run(command.arg(argument).env("RAYON_NUM_THREADS", "1"))
}

fn numbers(text: &str) -> Vec<f32> {
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn programs_in_c_and_cpp_predict_and_step() {
    if !is_there("cc") || !is_there("c++") {
        println!("skipped: there is no compiler of C and C++");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let mut install = Command::new(here().join("install"));
    run(install.arg(&prefix).arg(libraries()));
    let flags = ["-Wall", "-Wextra", "-Werror", "-g"];
    let examples = here().join("../../examples/c");
    let mut compiled = Vec::new();
    for (compiler, standard, source) in [
        ("cc", "-std=c99", "predict.c"),
        ("c++", "-std=c++17", "predict.cpp"),
    ] {
        let program = folder.path().join(source.replace('.', "_"));
        let mut command = Command::new(compiler);
        command
            .args(flags)
            .arg(standard)
            .arg(examples.join(source))
            .arg("-o")
            .arg(&program);
        if is_there("pkg-config") {
            let mut found = Command::new("pkg-config");
            let found = found.args(["--cflags", "--libs", "granule"]);
            let found = found.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
            command.args(run(found).split_whitespace());
        } else {
            println!("without pkg-config, which is not there");
            command
                .arg("-I")
                .arg(prefix.join("include"))
                .arg("-L")
                .arg(prefix.join("lib"));
            command.arg("-lgranule_c");
        }
        let mut path = "-Wl,-rpath,".to_owned();
        path.push_str(prefix.join("lib").to_str().unwrap());
        run(command.arg(path).arg("-pthread"));
        compiled.push(program);
    }

    let classifier = classifier();
    let model = folder.path().join("lenet.granule");
    classifier.save(&model).unwrap();
    let expected = granule::load(&model).unwrap();
    let mut answers = vec![0.0; 10];
    expected
        .predict_into(Sample::Pixels(&[0; 28 * 28]), &mut answers)
        .unwrap();
    let found = checked(&compiled[0], &model);
    let names = found.lines().filter_map(|line| line.split(' ').next());
    assert!(names.eq(expected.classes()), "{found}");
    assert_near(&numbers(&found), &answers);

    expected
        .predict_into(Sample::Values(&[0.25; 28 * 28]), &mut answers)
        .unwrap();
    let found = checked(&compiled[1], &model);
    let (description, found) = found.split_once('\n').unwrap();
    let description: serde_json::Value = serde_json::from_str(description).unwrap();
    assert_eq!(description["classes"][3], "class-3");
    assert_near(&numbers(found), &answers);

    let recurrent = recurrent();
    let model = folder.path().join("rate.granule");
    recurrent.save(&model).unwrap();
    let device = DeviceSpec::Cpu.open().unwrap();
    let stepper = Stepper::from_path(&model, device.burn()).unwrap();
    let mut state = stepper.initial().to_vec();
    let mut out = [0.0; 2];
    let steps = (0..10).flat_map(|_| {
        stepper.step(&[0.5; 3], &mut state, &mut out).unwrap();
        out
    });
    let expected: Vec<f32> = steps.collect();
    let found = checked(&compiled[1], &model);
    assert_near(&numbers(found.split_once('\n').unwrap().1), &expected);

    // What is no model is said, with the file.
    let wrong = Command::new(&compiled[0])
        .arg(examples.join("predict.c"))
        .output()
        .unwrap();
    assert!(!wrong.status.success());
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("predict.c"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_may_have_the_library_inside() {
    if !is_there("cc") {
        println!("skipped: there is no compiler of C");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("predict");
    let mut command = Command::new("cc");
    command.arg(here().join("../../examples/c/predict.c"));
    command.arg("-I").arg(here().join("include"));
    command.arg(libraries().join("libgranule_c.a"));
    run(command
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program));
    let model = folder.path().join("lenet.granule");
    classifier().save(&model).unwrap();
    let found = run(Command::new(&program).arg(&model));
    assert_eq!(found.lines().count(), 10, "{found}");
}

#[test]
fn nothing_is_installed_where_there_is_no_library() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let mut install = Command::new(here().join("install"));
    let output = install.arg(&prefix).arg(folder.path()).output().unwrap();
    assert!(!output.status.success() && !prefix.exists());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no library"), "{said}");
}

#[test]
fn a_model_is_described_and_answers_batches() {
    let file = classifier();
    let model = Handle::of(&file);
    let device = DeviceSpec::Cpu.open().unwrap();
    let expected = granule::Classifier::from_file(&file, device.burn()).unwrap();
    let mut dims = [0; 3];
    // SAFETY: the model is loaded, and there are three dimensions.
    unsafe {
        assert_eq!(granule_input_dims(model.0, dims.as_mut_ptr()), 3);
        assert_eq!(
            (granule_input_len(model.0), granule_output_len(model.0)),
            (784, 10)
        );
        assert_eq!(
            (granule_class_count(model.0), granule_state_len(model.0)),
            (10, 0)
        );
        assert_eq!(CStr::from_ptr(granule_class_name(model.0, 9)), c"class-9");
        assert!(granule_class_name(model.0, 10).is_null());
    }
    assert_eq!(dims, [1, 28, 28]);
    let pixels: Vec<u8> = (0..3 * 784).map(|i| (i * 31 % 251) as u8).collect();
    let mut out = vec![f32::NAN; 30];
    let pixel = pixels.as_ptr();
    // SAFETY: the lengths are those of the slices.
    let status =
        unsafe { granule_predict_pixels(model.0, pixel, 3 * 784, 3, out.as_mut_ptr(), 30) };
    assert_eq!(status, Status::GranuleOk);
    for (pixels, out) in pixels.chunks(784).zip(out.chunks(10)) {
        let mut alone = [0.0; 10];
        expected
            .predict_into(Sample::Pixels(pixels), &mut alone)
            .unwrap();
        assert_eq!(out, alone);
    }
}

#[test]
fn what_cannot_be_is_refused_with_words() {
    let model = Handle::of(&classifier());
    let pixels = [0_u8; 784];
    let mut values = [0.5_f32; 784];
    let mut out = [0.0_f32; 10];
    let o = out.as_mut_ptr();
    let p = pixels.as_ptr();
    let refused = |status: Status, expected: Status, words: &str| {
        assert_eq!(status, expected);
        assert!(last_error().contains(words), "{}", last_error());
    };
    use Status::*;
    // SAFETY: pointers are NULL or of slices at least as long as is said; what is longer is refused before it is read.
    unsafe {
        refused(
            granule_predict_pixels(ptr::null(), p, 784, 1, o, 10),
            GranuleNullPointer,
            "model",
        );
        refused(
            granule_predict_pixels(model.0, ptr::null(), 784, 1, o, 10),
            GranuleNullPointer,
            "pixels",
        );
        refused(
            granule_predict_pixels(model.0, p, 784, 1, ptr::null_mut(), 10),
            GranuleNullPointer,
            "out",
        );
        refused(
            granule_predict_pixels(model.0, p, 783, 1, o, 10),
            GranuleLength,
            "784",
        );
        refused(
            granule_predict_pixels(model.0, p, 784, 1, o, 9),
            GranuleLength,
            "10",
        );
        refused(
            granule_predict_pixels(model.0, p, 0, 0, o, 0),
            GranuleLength,
            "no samples",
        );
        refused(
            granule_predict_pixels(model.0, p, 784, usize::MAX, o, 10),
            GranuleLength,
            "fewer",
        );
        let far = usize::MAX;
        refused(
            granule_predict_values(model.0, values.as_ptr(), far, 1, o, 10),
            GranuleLength,
            "values",
        );
        let odd = values.as_ptr().byte_add(1);
        refused(
            granule_predict_values(model.0, odd, 784, 1, o, 10),
            GranuleNullPointer,
            "aligned",
        );
        values[5] = f32::NAN;
        refused(
            granule_predict_values(model.0, values.as_ptr(), 784, 1, o, 10),
            GranuleValue,
            "index 5",
        );
        values[5] = 7.0;
        refused(
            granule_predict_values(model.0, values.as_ptr(), 784, 1, o, 10),
            GranuleValue,
            "7",
        );
        refused(
            granule_step(model.0, ptr::null(), 0, o, 10, o, 10),
            GranuleModel,
            "no state",
        );
        values[5] = 0.5;
        let inside = values.as_mut_ptr().add(774);
        refused(
            granule_predict_values(model.0, values.as_ptr(), 784, 1, inside, 10),
            GranuleOverlap,
            "out and the values",
        );

        let mut loaded = ptr::dangling_mut();
        refused(
            granule_load(ptr::null(), &mut loaded),
            GranuleNullPointer,
            "path",
        );
        assert!(loaded.is_null());
        refused(
            granule_load(c"a".as_ptr(), ptr::null_mut()),
            GranuleNullPointer,
            "model",
        );
        refused(
            granule_load(c"\xff.granule".as_ptr(), &mut loaded),
            GranuleNotUtf8,
            "UTF-8",
        );
        refused(
            granule_load(c"no/such.granule".as_ptr(), &mut loaded),
            GranuleFile,
            "no/such.granule",
        );
        refused(
            granule_load_bytes(p, 784, &mut loaded),
            GranuleFile,
            "model file",
        );
        refused(granule_load_bytes(p, 0, &mut loaded), GranuleFile, "");
        granule_free(ptr::null_mut());
        assert_eq!(granule_input_len(ptr::null()), 0);
        assert!(granule_describe(ptr::null()).is_null());
        let version = CStr::from_ptr(granule_version());
        assert_eq!(
            version,
            CString::new(env!("CARGO_PKG_VERSION")).unwrap().as_c_str()
        );
    }
}

#[test]
fn a_step_that_fails_leaves_the_state() {
    let model = Handle::of(&recurrent());
    let mut out = [0.0_f32; 2];
    let mut state = vec![0.0_f32; 32];
    let input = [0.5, f32::INFINITY, 0.0];
    // SAFETY: the lengths are those of the slices.
    unsafe {
        assert_eq!(granule_step_input_len(model.0), 3);
        let status = granule_initial_state(model.0, state.as_mut_ptr(), 32);
        assert_eq!(status, Status::GranuleOk);
        state[0] = 0.75;
        let (i, s, o) = (input.as_ptr(), state.as_mut_ptr(), out.as_mut_ptr());
        assert_eq!(
            granule_step(model.0, i, 3, s, 32, o, 2),
            Status::GranuleValue
        );
        assert_eq!(
            granule_step(model.0, i, 2, s, 32, o, 2),
            Status::GranuleLength
        );
        assert_eq!(
            granule_step(model.0, i, 3, s, 31, o, 2),
            Status::GranuleLength
        );
        for (i, o) in [
            (i, s.add(30)),
            (s.add(1).cast_const(), o),
            (o.cast_const(), o),
        ] {
            let status = granule_step(model.0, i, 3, s, 32, o, 2);
            assert_eq!(status, Status::GranuleOverlap, "{}", last_error());
        }
    }
    assert_eq!(state[0], 0.75);
}

#[test]
fn words_belong_to_their_thread_and_threads_share_a_model() {
    let model = Handle::of(&classifier());
    struct Shared(*const Model);
    // SAFETY: a model may be used by several threads, as the library says.
    unsafe impl Sync for Shared {}
    let shared = Shared(model.0);
    let shared = &shared;
    let answer = |shade: u8| {
        let (pixels, mut out) = ([shade; 784], [0.0_f32; 10]);
        let o = out.as_mut_ptr();
        // SAFETY: the lengths are those of the arrays.
        let status = unsafe { granule_predict_pixels(shared.0, pixels.as_ptr(), 784, 1, o, 10) };
        assert_eq!(status, Status::GranuleOk);
        out
    };
    let alone: Vec<_> = (0..4).map(|i| answer(i * 60)).collect();
    std::thread::scope(|scope| {
        for (i, alone) in (0..).zip(&alone) {
            scope.spawn(move || {
                // SAFETY: NULL is refused.
                unsafe { granule_load(ptr::null(), ptr::null_mut()) };
                for _ in 0..50 {
                    assert_eq!(answer(i * 60), *alone);
                }
                assert!(last_error().contains("NULL"));
            });
        }
    });
}
