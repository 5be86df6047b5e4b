//! Download of the published files.
//!
//! A file grows under the name `NAME.part`, is compared with the published size and SHA-256, and only then gets its
//! own name. What is there of it is kept when a connection breaks, and continued from any mirror.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use ureq::Agent;

use self::download::Pace;
use crate::registry::Published;
use crate::{DataError, Progress, Silent};

mod download;
#[cfg(test)]
mod tests;

const LOCK: &str = ".fetch.lock";

/// How to fetch.
#[derive(Clone, Copy, Default)]
pub struct FetchOptions<'a> {
    /// Never use the network: what is missing is an error.
    pub offline: bool,
    /// Receives the progress.
    pub progress: Option<&'a dyn Progress>,
}

/// Downloads the files of a set that are absent from `dir` (the folder of that set, for example `DIR/mnist`).
///
/// Files that are there are left alone, whatever they hold; [`verify`](crate::registry::verify) compares them. While
/// another process fetches into the same folder, this one waits and then takes what the other has fetched. The proxy
/// is that of `ALL_PROXY`, `HTTPS_PROXY` or `HTTP_PROXY`.
///
/// # Errors
/// [`DataError::Missing`] when offline, [`DataError::Download`] when no mirror delivered the published content,
/// [`DataError::NoSpace`], [`DataError::Io`].
pub fn ensure(set: &Published, dir: &Path, options: &FetchOptions<'_>) -> Result<(), DataError> {
    if set.missing(dir).is_empty() {
        return Ok(());
    }
    if options.offline {
        return set.require(dir);
    }
    let timeouts = Timeouts {
        connect: Duration::from_secs(15),
        read: Duration::from_secs(30),
    };
    fetch(
        set,
        dir,
        &timeouts.agent(),
        Pace::default(),
        options.progress.unwrap_or(&Silent),
    )
}

fn fetch(
    set: &Published,
    dir: &Path,
    agent: &Agent,
    pace: Pace,
    progress: &dyn Progress,
) -> Result<(), DataError> {
    fs::create_dir_all(dir).map_err(|error| DataError::io(dir, "create", error))?;
    let _lock = lock(set, dir, progress)?;
    for file in set.missing(dir) {
        download::file(file, dir, agent, pace, progress)?;
    }
    Ok(())
}

/// Waits until no other process holds the lock. It ends with the process, however that ends.
fn lock(set: &Published, dir: &Path, progress: &dyn Progress) -> Result<File, DataError> {
    let path = dir.join(LOCK);
    let opened = granule_io::open_lock(&path);
    let file = opened.map_err(|error| DataError::io(&path, "create", error))?;
    let locked = match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            progress.warn(&format!(
                "another process is fetching {} into {}; waiting for it",
                set.name,
                dir.display()
            ));
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    };
    match locked {
        // Some network file systems have no locks; a file is checked before it gets its name in any case.
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
        Err(error) => return Err(DataError::io(&path, "lock", error)),
        Ok(()) => {}
    }
    Ok(file)
}

struct Timeouts {
    connect: Duration,
    /// For each piece of an answer, not for the whole of it.
    read: Duration,
}

impl Timeouts {
    fn config(&self) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
        Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("granule/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(self.connect))
            .timeout_connect(Some(self.connect))
            .timeout_recv_response(Some(self.read))
            .timeout_per_read(Some(self.read))
    }

    fn agent(&self) -> Agent {
        self.config().build().new_agent()
    }
}
