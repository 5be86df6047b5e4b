//! Running the binary, and reading what it leaves behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The command in a folder, without the settings of the person who runs the tests.
pub fn granule(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_granule"));
    command.current_dir(dir).stdin(Stdio::null());
    for name in ["GRANULE_DEVICE", "GRANULE_DATA_DIR", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    // Without it Mesa's Vulkan layer writes to standard error.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command
}

pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }
}

impl Finished {
    /// Every line of standard output as JSON.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// Whether an event of that name is in the output.
    pub fn has_event(&self, name: &str) -> bool {
        self.json().iter().any(|event| event["event"] == name)
    }

    /// The last object, which must be a result.
    pub fn result(&self) -> Value {
        let last = self
            .json()
            .pop()
            .unwrap_or_else(|| panic!("no output; {}", self.stderr));
        assert_eq!(last["event"], "result", "{last}");
        last
    }
}

pub fn run(dir: &Path, args: &[&str]) -> Finished {
    granule(dir)
        .args(args)
        .output()
        .expect("the binary starts")
        .into()
}

/// Runs a command that must end with 0.
pub fn fine(dir: &Path, args: &[&str]) -> Finished {
    let finished = run(dir, args);
    assert_eq!(
        finished.code,
        Some(0),
        "{args:?}: {}{}",
        finished.stdout,
        finished.stderr
    );
    finished
}

/// Runs a command that must fail in a way that is explained: its standard error.
pub fn refused(dir: &Path, args: &[&str], code: i32) -> String {
    let finished = run(dir, args);
    assert_eq!(
        finished.code,
        Some(code),
        "{args:?}: {}{}",
        finished.stdout,
        finished.stderr
    );
    assert!(
        finished.stderr.contains("error: "),
        "{args:?}: {}",
        finished.stderr
    );
    for word in ["panicked", "RUST_BACKTRACE", "bug in granule"] {
        assert!(
            !finished.stderr.contains(word),
            "{args:?}: {}",
            finished.stderr
        );
    }
    finished.stderr
}

/// A run folder with a small model of drawn digits, trained once for all tests that only read it.
pub fn trained() -> &'static Path {
    static TRAINED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, run) = TRAINED.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let run = dir.path().join("run");
        fine(
            dir.path(),
            &[
                "train",
                "--device",
                "flex",
                "--epochs",
                "4",
                "--quiet",
                "--run-dir",
                run.to_str().expect("UTF-8"),
            ],
        );
        (dir, run)
    });
    run
}

/// A process whose standard output is read line by line; it is killed when dropped.
pub struct Watched {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watched {
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        let mut child = granule(dir)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    /// Reads until an event of that name, or the end: whether it came.
    pub fn wait_for(&mut self, event: &str) -> bool {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("a line") > 0 {
            let object: Value = serde_json::from_str(&line).expect("a line of JSON");
            if object["event"] == event {
                return true;
            }
            line.clear();
        }
        false
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("kill starts");
        assert!(status.success());
    }

    /// Reads the rest and waits for the end.
    pub fn finish(mut self) -> Finished {
        let mut rest = String::new();
        while self.lines.read_line(&mut rest).expect("a line") > 0 {}
        let mut stderr = String::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut pipe, &mut stderr).expect("standard error");
        }
        let status = self.child.wait().expect("the end of the process");
        Finished {
            code: status.code(),
            stdout: rest,
            stderr,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The tensors of a model file: names, shapes, places and bytes, without the metadata.
pub fn tensors(model: &Path) -> (Value, Vec<u8>) {
    let bytes = std::fs::read(model).expect("the model file");
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("8 bytes")) as usize;
    let (header, data) = rest.split_at(length);
    let mut header: Value = serde_json::from_slice(header).expect("a safetensors header");
    header
        .as_object_mut()
        .expect("an object")
        .remove("__metadata__")
        .expect("metadata");
    (header, data.to_vec())
}

/// Devices of this machine that a test can use, as `granule devices --json` lists them.
pub fn devices() -> Vec<String> {
    let listed = fine(Path::new("."), &["devices", "--json"]).json();
    listed
        .iter()
        .filter(|device| device["available"] == true)
        .map(|device| device["spec"].as_str().expect("a spec").to_string())
        .collect()
}

/// Whether the software adapter is here; says so when it is not.
pub fn software_adapter(devices: &[String]) -> bool {
    let here = devices.iter().any(|device| device == "wgpu:software");
    if !here {
        let required = std::env::var_os("GRANULE_REQUIRE_WGPU").is_some_and(|value| value == "1");
        assert!(
            !required,
            "GRANULE_REQUIRE_WGPU=1, but there is no wgpu:software"
        );
        println!("skipped: wgpu:software, there is no such adapter here");
    }
    here
}

/// The folder with `name` in it among the real data; says so when it is absent.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GRANULE_DATA_DIR").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let dir = named.unwrap_or(beside);
    if dir.join(name).is_dir() {
        return Some(dir.canonicalize().expect("the folder of real data"));
    }
    println!(
        "skipped: {name} is not in {}; set GRANULE_DATA_DIR",
        dir.display()
    );
    None
}

/// A .npy file of version 1.0.
pub fn save_npy(path: &Path, descr: &str, shape: &str, data: &[u8]) {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat();
    std::fs::write(path, bytes).unwrap();
}
