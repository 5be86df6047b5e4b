//! A server in a process of its own, and a model for it.
#![allow(dead_code)]

pub mod browser;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use granule::device::DeviceSpec;
use granule::models::{
    InputShape, InputSpec, ModelConfig, ModelFile, Profile, Provenance, Task, state,
};

/// LeNet as it is drawn.
pub fn model(profile: Option<Profile>) -> ModelFile {
    let device = DeviceSpec::Cpu.open().unwrap();
    let model = ModelConfig::from_name("lenet").unwrap();
    let shape = InputShape::Image {
        channels: 1,
        height: 28,
        width: 28,
    };
    let network = model.init(&shape, 10, 1, device.burn()).unwrap();
    ModelFile {
        state: state::state_dict(&network).unwrap(),
        model,
        input: InputSpec::new(shape),
        task: Task::Classification {
            classes: (0..10).map(|class| class.to_string()).collect(),
        },
        provenance: Provenance {
            profile,
            ..Provenance::now()
        },
    }
}

pub struct Server {
    child: Child,
    address: SocketAddr,
    folder: Option<tempfile::TempDir>,
}

impl Server {
    pub fn start(model: &ModelFile) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.granule");
        model.save(&path).unwrap();
        let mut server = Self::of(&path);
        server.folder = Some(folder);
        server
    }

    pub fn of(path: &Path) -> Self {
        let mut child = Self::command(path).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("http://").unwrap();
        Self {
            address: address.parse().unwrap(),
            child,
            folder: None,
        }
    }

    fn command(model: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_digit_pad"));
        command.arg(model).args(["--listen", "127.0.0.1:0"]);
        command
    }

    /// What it says of a model that it does not take.
    pub fn fails(model: &Path) -> String {
        let output = Self::command(model).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes, where the system says.
    pub fn memory(&self) -> Option<u64> {
        self.status("VmRSS:")
    }

    pub fn peak_memory(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Option<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(1024 * kibibytes)
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Whether it ends by itself, and says that all is well.
    pub fn ended_well(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
