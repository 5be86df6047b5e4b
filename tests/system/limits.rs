//! Little memory ends in an error, never in a signal.
//!
//! `GRANULE_MUTATIONS=1` or more tries many limits in place of a few.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::support::{Finished, fine, granule, refused};

/// The command under a limit on its address space, in KiB.
fn limited(dir: &Path, kilobytes: u64, args: &[&str]) -> std::process::Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_granule"))
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn little_memory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let small = [
        "--epochs",
        "1",
        "--limit-train",
        "64",
        "--limit-test",
        "32",
        "-q",
    ];
    let train = |run: &'static str| {
        [
            &["train", "mlp", "--device", "flex", "--run-dir", run][..],
            &small,
        ]
        .concat()
    };
    let _: Finished = fine(dir.path(), &train("run"));
    std::fs::write(dir.path().join("pixels.npy"), npy()).unwrap();
    let commands: [(&str, Vec<&str>); 4] = [
        ("train", train("other")),
        ("eval", vec!["eval", "run", "--device", "flex"]),
        ("predict", vec!["predict", "run", "pixels.npy"]),
        (
            "simulate",
            vec!["simulate", "lif", "--duration", "20", "-q"],
        ),
    ];
    let many = std::env::var("GRANULE_MUTATIONS").is_ok();
    // With less than this beyond its own size the program cannot so much as begin.
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_granule"))
        .unwrap()
        .len()
        / 1024;
    let least = program + 8_000;
    let limits: Vec<u64> = if many {
        (0..60).map(|i| least + 4_000 * i).collect()
    } else {
        vec![least, least + 5_000, least + 18_000, least + 58_000]
    };
    for kilobytes in limits {
        for (name, args) in &commands {
            let _ = std::fs::remove_dir_all(dir.path().join("other"));
            let output = limited(dir.path(), kilobytes, args);
            let said = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert!(
                matches!(code, Some(0 | 1)),
                "{name} within {kilobytes} KiB: {code:?}\n{said}"
            );
            assert!(code != Some(1) || said.contains("error:"), "{name}: {said}");
        }
    }
}

/// What suffices within one limit suffices within every wider one: address space that the allocator reserves ahead is not
/// taken for used.
#[cfg(target_os = "linux")]
#[test]
fn more_memory_is_never_too_little() {
    let dir = tempfile::tempdir().unwrap();
    let args =
        "train mlp --device flex --run-dir run --epochs 1 --limit-train 64 --limit-test 32 -q";
    let args: Vec<&str> = args.split(' ').collect();
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_granule"))
        .unwrap()
        .len()
        / 1024;
    let mut least = None;
    let narrow = (0..10).map(|i| program + 80_000 + 20_000 * i);
    for kilobytes in narrow.chain([1_150_000, 1_200_000, 1_250_000, 4_200_000]) {
        let _ = std::fs::remove_dir_all(dir.path().join("run"));
        let output = limited(dir.path(), kilobytes, &args);
        if output.status.success() {
            least.get_or_insert(kilobytes);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || least.is_none(),
            "{kilobytes} KiB, where {least:?} suffice: {said}"
        );
    }
    assert!(least.is_some());
}

/// Drivers of graphics cards do not all live through an allocation that fails: they are not asked where there is little room.
#[cfg(target_os = "linux")]
#[test]
fn a_named_gpu_is_refused_within_little_address_space() {
    let dir = tempfile::tempdir().unwrap();
    let args = "train mlp --device wgpu:software --run-dir run --epochs 1 --limit-train 64 -q";
    let args: Vec<&str> = args.split(' ').collect();
    for kilobytes in [700_000, 850_000] {
        let output = limited(dir.path(), kilobytes, &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{kilobytes} KiB: {said}");
        for part in ["wgpu:software", "ulimit -v", "MiB of address space"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

/// What the state and the steps of cells take is asked for, which is more than one number a cell.
#[cfg(target_os = "linux")]
#[test]
fn many_cells_ask_for_their_memory() {
    let dir = tempfile::tempdir().unwrap();
    let args = "simulate hodgkin-huxley --device flex --set unit.cells=2000000 --duration 0.1 -q";
    let args: Vec<&str> = args.split(' ').collect();
    let output = limited(dir.path(), 1_000_000, &args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["the cells and their state: needs", "use less"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// A simulation asks for its cells before it makes them; a small stack is no lack of memory.
#[cfg(target_os = "linux")]
#[test]
fn many_cells_and_a_small_stack() {
    let dir = tempfile::tempdir().unwrap();
    let cells = [
        "simulate",
        "lif",
        "--set",
        "unit.cells=16777216",
        "--duration",
        "1",
    ];
    let said = refused(
        dir.path(),
        &[&cells[..], &["--memory", "200MiB"]].concat(),
        1,
    );
    for part in ["cells", "needs 2 GiB", "within the limit of 200 MiB"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -s 100 && exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_granule"))
        .args(["simulate", "hodgkin-huxley", "--duration", "20", "-q"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Small files that become large: an archive of pixels that inflates to 250 MB, one of features, to 240 MB, and tables of
/// one endless line and of many short ones.
#[cfg(target_os = "linux")]
#[test]
fn what_a_file_becomes_is_bounded_by_the_memory_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let images = 318_878;
    npz(
        &at("pixels.npz"),
        &[
            ("x", "|u1", &format!("({images}, 28, 28)"), images * 784),
            ("y", "|u1", &format!("({images},)"), images),
        ],
    );
    npz(
        &at("features.npz"),
        &[
            ("x", "<f4", "(100, 600000)", 240_000_000),
            ("y", "|u1", "(100,)", 100),
        ],
    );
    std::fs::write(at("wide.csv"), "0,".repeat(6_000_000) + "0\n").unwrap();
    std::fs::write(at("long.csv"), "0\n".repeat(6_000_000)).unwrap();
    let train = |file: &str| {
        let dataset = format!("arrays:{file}");
        let rest = ["--epochs", "1", "--run-dir", "r", "-q", "--device", "flex"];
        let words = [&["train", "mlp", "--dataset", &dataset][..], &rest].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let simulate = |file: &str| {
        std::fs::write(
            at("cell.toml"),
            "[unit]\nmodel = 'lif'\n[stimulus]\nkind = 'file'\nfile = 'i.csv'\n",
        )
        .unwrap();
        let file = format!("stimulus.file={file}");
        ["simulate", "cell.toml", "--set", &file, "-q"].map(str::to_owned)
    };
    let commands = [
        ("pixels.npz", train("pixels.npz")),
        ("features.npz", train("features.npz")),
        ("wide.csv", simulate("wide.csv").to_vec()),
        ("long.csv", simulate("long.csv").to_vec()),
    ];
    for (file, args) in &commands {
        assert!(std::fs::metadata(at(file)).unwrap().len() < 50_000_000);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let told = [&["--memory", "64MiB"], &args[..]].concat();
        let said = refused(dir.path(), &told, 1);
        for part in [*file, "needs", "within the limit of 64 MiB", "--memory"] {
            assert!(said.contains(part), "{file}: {part}: {said}");
        }
        assert!(!at("r").exists(), "{file}");
        // Of address space the command's own file fills a part.
        let own = std::fs::metadata(env!("CARGO_BIN_EXE_granule"))
            .unwrap()
            .len()
            / 1024;
        for kilobytes in [own + 14_000, own + 54_000] {
            let output = limited(dir.path(), kilobytes, &args);
            let said = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert_eq!(code, Some(1), "{file} within {kilobytes} KiB: {said}");
            assert!(said.contains("of memory"), "{file}: {said}");
        }
    }
}

/// The beginning of an array in NumPy's form.
fn header(descr: &str, shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes
}

/// One grey image of 28×28, `|u1`.
fn npy() -> Vec<u8> {
    let mut bytes = header("|u1", "(28, 28)");
    bytes.extend([0; 28 * 28]);
    bytes
}

/// Writes an archive of arrays, each of so many bytes that alternate between 0 and 1, in an `x` all 0; compressed.
fn npz(path: &Path, arrays: &[(&str, &str, &str, usize)]) {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, descr, shape, length) in arrays {
        let mut block = vec![0_u8; 1 << 16];
        if *name == "y" {
            block
                .iter_mut()
                .skip(1)
                .step_by(2)
                .for_each(|byte| *byte = 1);
        }
        let (mut crc, mut encoder) = (Crc::new(), DeflateEncoder::new(vec![], Compression::best()));
        let begin = header(descr, shape);
        let blocks = std::iter::repeat_n(&block[..], length / block.len());
        let rest = &block[..length % block.len()];
        for part in std::iter::once(&begin[..]).chain(blocks).chain([rest]) {
            crc.update(part);
            encoder.write_all(part).unwrap();
        }
        let stored = encoder.finish().unwrap();
        let name = format!("{name}.npy");
        let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        for size in [stored.len(), begin.len() + length] {
            common.extend((size as u32).to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((bytes.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(stored);
    }
    let count = (arrays.len() as u16).to_le_bytes();
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend([count, count].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    std::fs::write(path, bytes).unwrap();
}

/// The words were right: a file that does not fit is a failure, whichever setting names it.
#[test]
fn a_limit_that_holds_no_program_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    for limit in ["0", "2", "1000K"] {
        let text = refused(dir.path(), &["--memory", limit, "presets"], 2);
        assert!(
            text.contains("--memory") && text.contains("1 MiB"),
            "{text}"
        );
        let mut of_variable = granule(dir.path());
        of_variable.env("GRANULE_MEMORY", limit).arg("presets");
        let output = of_variable.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("GRANULE_MEMORY: "), "{text}");
    }
    fine(dir.path(), &["--memory", "1MiB", "presets"]);
}

#[test]
fn a_file_of_a_setting_that_does_not_fit_is_no_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("big.csv"), "1,2,3,4\n".repeat(2_000_000)).unwrap();
    for setting in [
        "unit.current.file=big.csv",
        "unit.parameters.resistance.file=big.csv",
        "stimulus={ kind = \"file\", file = \"big.csv\", interval = 1.0 }",
    ] {
        let args = ["simulate", "lif", "--set", setting, "--memory", "40MiB"];
        let text = refused(at, &args, 1);
        for part in ["big.csv", "needs", "within the limit of 40 MiB"] {
            assert!(text.contains(part), "{setting}: {text}");
        }
        let args = ["simulate", "lif", "--set", &setting.replace("big", "none")];
        let text = refused(at, &args, 2);
        assert!(text.contains("none.csv"), "{setting}: {text}");
    }
}
