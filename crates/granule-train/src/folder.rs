//! Run folders: names, and the lock that keeps two processes out of one.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use granule_models::folder::{CHECKPOINTS, CONFIG_FILE};

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::record::METRICS_JSONL;

const LOCK: &str = ".lock";

/// Holds a run folder for this process; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    run_dir: PathBuf,
    /// What the folder was when it was taken.
    folder: Option<fs::Metadata>,
}

impl Lock {
    pub fn take(run_dir: &Path) -> Result<Self, TrainError> {
        let path = run_dir.join(LOCK);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            let link = std::io::Error::new(ErrorKind::InvalidInput, "it is a link; remove it");
            return Err(TrainError::io("lock", &path, link));
        }
        let opened = granule_io::open_lock(&path);
        let file = opened.map_err(|e| TrainError::io("create", &path, e))?;
        match file.try_lock() {
            Ok(()) => {
                let lock = Self {
                    file,
                    run_dir: run_dir.to_owned(),
                    folder: fs::metadata(run_dir).ok(),
                };
                lock.clear();
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => Err(TrainError::Locked {
                path: run_dir.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(TrainError::io("lock", &path, e)),
        }
    }

    /// The folder that it holds.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Checks that the folder is still the one that was taken: neither deleted, nor moved, nor open to another process
    /// because its lock was removed or replaced.
    pub fn check(&self) -> Result<(), TrainError> {
        if self.is_held() {
            return Ok(());
        }
        // Of a folder that is being deleted some files go first.
        thread::sleep(DELETION);
        let path = self.run_dir.clone();
        let there = fs::metadata(&path);
        match (&self.folder, &there) {
            (Some(taken), Ok(there)) if is_same(taken, there) => Err(TrainError::LockLost {
                path: path.join(LOCK),
            }),
            _ => Err(TrainError::FolderLost { path }),
        }
    }

    fn is_held(&self) -> bool {
        let there = fs::symlink_metadata(self.run_dir.join(LOCK));
        match (self.file.metadata(), &there) {
            (Ok(held), Ok(there)) => is_same(&held, there),
            _ => false,
        }
    }

    /// Refuses to go on without the files that the folder needs, once `saved` has the weights.
    pub fn check_files(&self, saved: &Path) -> Result<(), TrainError> {
        for (name, lost) in NEEDED {
            let path = self.run_dir.join(name);
            let there = fs::symlink_metadata(&path);
            if there.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                thread::sleep(DELETION);
                self.check()?;
                return Err(TrainError::FileLost {
                    path,
                    how: "deleted",
                    lost,
                    saved: saved.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Removes what processes left that were ended while they wrote. Nobody else writes here while the lock is held.
    fn clear(&self) {
        for folder in [self.run_dir.clone(), self.run_dir.join(CHECKPOINTS)] {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| granule_io::is_temporary(&entry.file_name())) {
                // What cannot be removed takes room, no more.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether two are of one file, whatever it holds.
#[cfg(unix)]
pub(crate) fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.dev() == b.dev() && a.ino() == b.ino()
}

/// An open file can neither be replaced nor removed here.
#[cfg(not(unix))]
pub(crate) fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

/// Refuses a folder that holds anything but what a process leaves that ended before its first whole file.
pub(crate) fn check_empty(run_dir: &Path) -> Result<(), TrainError> {
    match fs::read_dir(run_dir) {
        Ok(mut entries) => {
            let left_over = |name: &OsStr| name == LOCK || granule_io::is_temporary(name);
            if entries.all(|entry| entry.is_ok_and(|entry| left_over(&entry.file_name()))) {
                Ok(())
            } else {
                Err(TrainError::RunDirNotEmpty {
                    path: run_dir.to_owned(),
                })
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(TrainError::io("list", run_dir, error)),
    }
}

/// The files that a run folder needs, and what goes with them.
const NEEDED: [(&str, &str); 2] = [
    (
        CONFIG_FILE,
        "nothing else says what the run is: put it back for --resume, or begin anew with --from",
    ),
    (METRICS_JSONL, CURVES),
];

/// What goes with `metrics.jsonl`.
pub(crate) const CURVES: &str =
    "the curves up to here went with it; `granule train --resume` goes on without them";

/// The same, where something else lies at its path.
pub(crate) const CURVES_BLOCKED: &str = "the curves up to here went with it; once what lies there now is removed, \
    `granule train --resume` goes on without them";

/// `config.toml`, which a person may edit while the run trains.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    run_dir: PathBuf,
    seen: Option<Stamp>,
}

/// What shows that a file was written to: its length and the time of the last change.
type Stamp = (u64, Option<SystemTime>);

impl ConfigFile {
    /// The file of a run as it is now.
    pub fn new(run_dir: &Path) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
            seen: stamp(run_dir),
        }
    }

    /// What to say of the file if it was written to since this was last asked.
    pub fn told(&mut self) -> Option<String> {
        let now = stamp(&self.run_dir);
        if std::mem::replace(&mut self.seen, now) == now {
            return None;
        }
        let changed = format!(
            "{} was changed while the run trains, which goes on with the settings that it began with",
            self.run_dir.join(CONFIG_FILE).display()
        );
        Some(match RunConfig::of_run(&self.run_dir) {
            Ok(_) => changed,
            Err(error) => format!("{changed}; mend it, or the run cannot be resumed: {error}"),
        })
    }
}

fn stamp(run_dir: &Path) -> Option<Stamp> {
    let found = fs::metadata(run_dir.join(CONFIG_FILE)).ok()?;
    Some((found.len(), found.modified().ok()))
}

/// How long the deletion of a whole folder is waited for, of which one file is seen first.
const DELETION: Duration = Duration::from_millis(300);

/// Creates `parent/<date>-<time>-<model>-<dataset>`, with a number behind it where that exists. `now` is RFC 3339.
pub(crate) fn create_named(
    parent: &Path,
    now: &str,
    model: &str,
    dataset: &str,
) -> Result<PathBuf, TrainError> {
    let digits: String = now.chars().filter(char::is_ascii_digit).take(14).collect();
    let (date, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    // Of a path its last part, as far as it tells data sets apart.
    let (form, place) = dataset.split_once(':').unwrap_or(("", dataset));
    let last = place.split(',').next().unwrap_or_default();
    let last = match Path::new(last).file_name() {
        Some(name) => name.to_owned(),
        // `.` and `..` have a name all the same.
        None => fs::canonicalize(last)
            .ok()
            .and_then(|path| path.file_name().map(OsStr::to_owned))
            .unwrap_or_default(),
    };
    let last = last.to_string_lossy();
    let dataset = match form {
        "" => last.into_owned(),
        form => format!("{form}-{last}"),
    };
    let dataset: String = dataset
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let name = format!("{date}-{time}-{model}-{}", dataset.trim_matches('-'));
    fs::create_dir_all(parent).map_err(|e| TrainError::io("create", parent, e))?;
    let mut number = 1;
    loop {
        let path = match number {
            1 => parent.join(&name),
            _ => parent.join(format!("{name}-{number}")),
        };
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(TrainError::io("create", &path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_collide() {
        let dir = tempfile::tempdir().unwrap();
        let create = || {
            create_named(
                dir.path(),
                "2026-11-21T09:08:07Z",
                "mlp",
                "folder:/some/where",
            )
            .unwrap()
        };
        let names: Vec<_> = (0..3)
            .map(|_| create().file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let base = "20261121-090807-mlp-folder-where";
        assert_eq!(
            names,
            [base.to_owned(), format!("{base}-2"), format!("{base}-3")]
        );
    }

    #[test]
    fn a_lock_alone_leaves_a_folder_empty() {
        let dir = tempfile::tempdir().unwrap();
        check_empty(dir.path()).unwrap();
        check_empty(&dir.path().join("absent")).unwrap();
        drop(Lock::take(dir.path()).unwrap());
        fs::write(dir.path().join(".granule-a1B2c3.part"), "see").unwrap();
        check_empty(dir.path()).unwrap();
        fs::write(dir.path().join("config.toml"), "").unwrap();
        assert!(matches!(
            check_empty(dir.path()),
            Err(TrainError::RunDirNotEmpty { .. })
        ));
    }

    #[test]
    fn the_holder_clears_what_was_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = dir.path().join(CHECKPOINTS);
        fs::create_dir(&checkpoints).unwrap();
        for folder in [dir.path(), &checkpoints] {
            fs::write(folder.join(".granule-a1B2c3.part"), "see").unwrap();
            fs::write(folder.join("mine.part"), "keep").unwrap();
        }
        let _lock = Lock::take(dir.path()).unwrap();
        for folder in [dir.path(), &checkpoints] {
            assert!(!folder.join(".granule-a1B2c3.part").exists());
            assert!(folder.join("mine.part").exists());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_was_deleted_or_taken_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        let lock = Lock::take(&run).unwrap();
        lock.check().unwrap();
        let told = || lock.check().unwrap_err();
        fs::remove_file(run.join(LOCK)).unwrap();
        let error = told();
        assert!(
            matches!(&error, TrainError::LockLost { path } if path.ends_with(LOCK)),
            "{error}"
        );
        let _other = Lock::take(&run).unwrap();
        assert!(matches!(told(), TrainError::LockLost { .. }));
        fs::rename(&run, dir.path().join("moved")).unwrap();
        assert!(matches!(told(), TrainError::FolderLost { .. }));
        fs::create_dir(&run).unwrap();
        let _third = Lock::take(&run).unwrap();
        assert!(matches!(told(), TrainError::FolderLost { .. }));
    }

    #[test]
    fn files_that_were_deleted_are_named_with_what_is_saved() {
        let dir = tempfile::tempdir().unwrap();
        let saved = Path::new("step-1.ckpt");
        let lock = Lock::take(dir.path()).unwrap();
        for (there, lost) in [(METRICS_JSONL, CONFIG_FILE), (CONFIG_FILE, METRICS_JSONL)] {
            fs::write(dir.path().join(there), "").unwrap();
            let error = lock.check_files(saved).unwrap_err().to_string();
            assert!(
                error.contains(lost) && error.contains("step-1.ckpt"),
                "{error}"
            );
            fs::write(dir.path().join(lost), "").unwrap();
            lock.check_files(saved).unwrap();
            fs::remove_file(dir.path().join(METRICS_JSONL)).unwrap();
        }
    }

    #[test]
    fn a_configuration_that_was_written_to_is_told_of_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG_FILE);
        let whole = RunConfig::default().to_toml().unwrap();
        fs::write(&path, &whole).unwrap();
        let mut file = ConfigFile::new(dir.path());
        assert_eq!(file.told(), None);
        fs::write(&path, format!("{whole}\n")).unwrap();
        let changed = file.told().unwrap();
        assert!(changed.contains("goes on with the settings"), "{changed}");
        assert!(!changed.contains("mend it"), "{changed}");
        assert_eq!(file.told(), None);
        fs::write(&path, "[model").unwrap();
        let cut = file.told().unwrap();
        assert!(cut.contains("mend it"), "{cut}");
        assert_eq!(file.told(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("elsewhere"), "").unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join(LOCK)).unwrap();
        let error = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(LOCK) && error.contains("remove it"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_is_named_where_it_is_called_by_a_dot() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("cells").join("..").join("cells");
        fs::create_dir(dir.path().join("cells")).unwrap();
        let dataset = format!("folder:{}/..", data.join("x").display());
        fs::create_dir(data.join("x")).unwrap();
        let made = create_named(dir.path(), "2026-01-02T03:04:05Z", "mlp", &dataset).unwrap();
        assert!(
            made.ends_with("20260102-030405-mlp-folder-cells"),
            "{}",
            made.display()
        );
    }

    #[test]
    fn a_folder_of_another_kind_is_no_run_to_resume() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        let told = || check_empty(dir.path()).unwrap_err().to_string();
        assert!(told().contains("not the folder of a run") && !told().contains("--resume"));
        fs::write(dir.path().join(CONFIG_FILE), "").unwrap();
        assert!(told().contains("--resume"), "{}", told());
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        assert!(matches!(
            Lock::take(dir.path()),
            Err(TrainError::Locked { .. })
        ));
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }
}
