//! What `-v` tells, on standard error: each line with the seconds since the command began.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use granule::device::OpenDevice;
use granule::io::watch::Access;
use granule::io::{ByteSize, budget};
use granule::train::Event;
use toml::{Table, Value};

use crate::output::{self, Paint, Stream, grouped, paint};

/// How much is told: 0 nothing, 1 what decides a result and where time goes, 2 every file and every key.
static LEVEL: AtomicU8 = AtomicU8::new(0);

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

/// Files that were read and not told of yet.
static FILES: Mutex<Files> = Mutex::new(Files {
    seen: BTreeSet::new(),
    waiting: Vec::new(),
});

struct Clock {
    began: Instant,
    /// The end of the last phase.
    marked: Instant,
}

struct Files {
    seen: BTreeSet<PathBuf>,
    waiting: Vec<(PathBuf, u64)>,
}

/// The most files of one phase that are named one by one.
const NAMED: usize = 8;

/// Whether so much is told.
pub fn is_on(level: u8) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level
}

/// Begins to tell, and what holds for the whole command.
pub fn begin(level: u8) {
    if level == 0 {
        return;
    }
    let began = Instant::now();
    if let Ok(mut clock) = CLOCK.lock() {
        *clock = Some(Clock {
            began,
            marked: began,
        });
    }
    LEVEL.store(level, Ordering::Relaxed);
    let limit = match budget::limit() {
        Some(limit) => format!("within the limit of {limit}"),
        None => "what the machine has free".to_owned(),
    };
    tell(&format!(
        "memory: {} can be taken, {limit}",
        budget::available()
    ));
}

/// Tells that the command is over.
pub fn end() {
    if is_on(1) {
        files();
        tell("end");
    }
}

fn tell(text: &str) {
    let seconds = match CLOCK.lock() {
        Ok(clock) => clock.as_ref().map(|clock| clock.began.elapsed()),
        Err(_) => None,
    };
    let seconds = seconds.unwrap_or_default().as_secs_f64();
    let line = format!("{seconds:>8.3} s  {}", output::printable(text));
    output::note(&paint(Paint::Dim, &line, Stream::Stderr));
}

/// Tells what ended just now and how long it took.
pub fn phase(what: &str) {
    if !is_on(1) {
        return;
    }
    files();
    let took = match CLOCK.lock() {
        Ok(mut clock) => clock.as_mut().map(|clock| {
            let now = Instant::now();
            let took = now - clock.marked;
            clock.marked = now;
            took
        }),
        Err(_) => None,
    };
    let took = took.unwrap_or_default().as_secs_f64();
    tell(&format!("{what}: took {took:.3} s"));
}

/// Tells which device was opened, and what for.
pub fn device(device: &OpenDevice) {
    let reason = match device.reason() {
        Some(reason) => format!("; {reason}"),
        None => String::new(),
    };
    phase(&format!(
        "device {} opened for `{}`{reason}",
        device.spec(),
        device.requested()
    ));
}

/// Tells what the events of a run do not show otherwise.
pub fn event(event: &Event<'_>) {
    if !is_on(1) {
        return;
    }
    match event {
        Event::Device(opened) => device(opened),
        Event::Dataset { dataset, .. } => data(&dataset.fingerprint),
        Event::Task { fingerprint, .. } | Event::Recording { fingerprint, .. } => data(fingerprint),
        Event::Start(_) => phase("model built, run folder made"),
        Event::Validation(score) => phase(&format!("epoch {} trained and validated", score.epoch)),
        Event::Epoch(epoch) if epoch.validation_loss.is_none() => {
            phase(&format!("epoch {} trained", epoch.epoch));
        }
        Event::Checkpoint { step, .. } => phase(&format!("checkpoint of step {step}")),
        Event::Evaluated { done, total } if done == total => phase("test part scored"),
        Event::Result(_) => phase("model and report"),
        _ => {}
    }
}

/// Tells that the data are in memory.
pub fn data(fingerprint: &str) {
    phase(&format!("data ready, fingerprint {fingerprint}"));
}

/// Tells that a file was read or written.
pub fn file(access: Access, path: &Path, bytes: u64) {
    if !is_on(1) {
        return;
    }
    match access {
        Access::Written => tell(&format!("wrote {}, {}", path.display(), ByteSize(bytes))),
        Access::Read => {
            let Ok(mut files) = FILES.lock() else { return };
            // Members of an archive are read one after the other.
            if !files.seen.insert(path.to_owned()) {
                return;
            }
            if is_on(2) {
                tell(&read(path, bytes))
            } else {
                files.waiting.push((path.to_owned(), bytes))
            }
        }
    }
}

fn read(path: &Path, bytes: u64) -> String {
    format!("read {}, {}", path.display(), ByteSize(bytes))
}

/// Tells of the files that were read since the last phase.
fn files() {
    let waiting = match FILES.lock() {
        Ok(mut files) => std::mem::take(&mut files.waiting),
        Err(_) => return,
    };
    for line in summary(&waiting) {
        tell(&line);
    }
}

fn summary(files: &[(PathBuf, u64)]) -> Vec<String> {
    let shown = if files.len() > NAMED { 1 } else { files.len() };
    let mut lines: Vec<String> = files.iter().take(shown).map(|(p, n)| read(p, *n)).collect();
    let rest = files.get(shown..).unwrap_or_default();
    if !rest.is_empty() {
        let bytes = rest.iter().map(|(_, bytes)| bytes).sum();
        let count = grouped(rest.len());
        lines.push(format!(
            "read {count} more files, {} in all (-vv names them)",
            ByteSize(bytes)
        ));
    }
    lines
}

/// Tells the keys of a configuration whose values are not its defaults; all of them when every key is asked for. Both are
/// made when they are told.
///
/// # Errors
/// Those of what makes them.
pub fn settings(
    config_and_defaults: impl FnOnce() -> anyhow::Result<(Table, Table)>,
) -> anyhow::Result<()> {
    if !is_on(1) {
        return Ok(());
    }
    let (config, defaults) = config_and_defaults()?;
    let all = is_on(2);
    let lines = differences(&config, &defaults, all);
    tell(match (lines.is_empty(), all) {
        (_, true) => "configuration:",
        (true, false) => "configuration: all keys at their defaults",
        (false, false) => "configuration, what is not at its default:",
    });
    for line in lines {
        tell(&format!("  {line}"));
    }
    Ok(())
}

fn differences(config: &Table, defaults: &Table, all: bool) -> Vec<String> {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    leaves("", &Value::Table(config.clone()), &mut own);
    leaves("", &Value::Table(defaults.clone()), &mut others);
    let default = |path: &str| others.iter().find(|(other, _)| other == path);
    let mut lines = Vec::new();
    for (path, value) in &own {
        match default(path) {
            Some((_, default)) if default == value && all => {
                lines.push(format!("{path} = {value}"));
            }
            Some((_, default)) if default == value => {}
            Some((_, default)) => {
                lines.push(format!("{path} = {value}  (default {default})"));
            }
            None => lines.push(format!("{path} = {value}  (default unset)")),
        }
    }
    let unset = others
        .iter()
        .filter(|(path, _)| !own.iter().any(|(other, _)| other == path));
    lines.extend(unset.map(|(path, default)| format!("{path} unset  (default {default})")));
    lines
}

/// Every value with its path, long ones cut.
fn leaves(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    const LONGEST: usize = 100;
    let at = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                leaves(&at(key), value, found);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (index, value) in list.iter().enumerate() {
                leaves(&at(&index.to_string()), value, found);
            }
        }
        value => {
            let mut text = value.to_string();
            if let Some((end, _)) = text.char_indices().nth(LONGEST) {
                text.truncate(end);
                text.push('…');
            }
            found.push((path.to_owned(), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_at_their_default_are_told() {
        let defaults: Table = "seed = 1\n[a]\nx = 1\ny = 2\nz = 3".parse().unwrap();
        let config: Table = "seed = 1\n[a]\nx = 5\ny = 2\n[[a.w]]\nk = \"b\""
            .parse()
            .unwrap();
        let expected = [
            "a.w.0.k = \"b\"  (default unset)",
            "a.x = 5  (default 1)",
            "a.z unset  (default 3)",
        ];
        let mut lines = differences(&config, &defaults, false);
        lines.sort();
        assert_eq!(lines, expected);
        assert_eq!(differences(&config, &defaults, true).len(), 5);
        assert!(differences(&defaults, &defaults, false).is_empty());
    }

    #[test]
    fn many_files_are_one_line() {
        let files = |n: usize| -> Vec<(PathBuf, u64)> {
            (0..n).map(|i| (format!("{i}.png").into(), 1024)).collect()
        };
        assert_eq!(summary(&files(8)).len(), 8);
        assert_eq!(
            summary(&files(101)),
            [
                "read 0.png, 1 KiB",
                "read 100 more files, 100 KiB in all (-vv names them)"
            ]
        );
    }
}
