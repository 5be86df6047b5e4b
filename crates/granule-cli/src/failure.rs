//! How a command fails: exit codes, and errors as a person reads them.

use std::fmt;
use std::process::ExitCode;

use granule::io::words::shortened;
use granule::models::ModelError;
use granule::train::TrainError;
use granule::train::record::RecordError;

use crate::output::{self, Paint, Stream, note, paint, printable};

pub const FAILED: u8 = 1;
pub const WRONG_USAGE: u8 = 2;
pub const INTERRUPTED: u8 = 130;

/// A mistake in what was asked for, found before any work started.
#[derive(Debug)]
pub struct Usage {
    message: String,
    hint: Option<String>,
}

impl Usage {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// With what it is about in front.
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Usage {}

/// A failure with what to do about it.
#[derive(Debug)]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// Why something that a person named cannot be read: wrong usage, unless it is a file that is `damaged` or too large.
pub fn unreadable(message: impl Into<String>, damaged: bool) -> anyhow::Error {
    if damaged {
        anyhow::Error::msg(message.into())
    } else {
        Usage::new(message).into()
    }
}

/// The error on standard error, causes one a line and hints last; the exit code it means.
pub fn report(error: &anyhow::Error) -> ExitCode {
    for (i, line) in lines(error).iter().enumerate() {
        let line = shortened(&printable(line));
        match i {
            0 => note(&format!(
                "{} {line}",
                paint(Paint::Error, "error:", Stream::Stderr)
            )),
            _ => note(&format!(
                "  {} {line}",
                paint(Paint::Dim, "because:", Stream::Stderr)
            )),
        }
    }
    if let Some(hint) = hint(error) {
        note(&format!(
            "{} {hint}",
            paint(Paint::Good, "hint:", Stream::Stderr)
        ));
    }
    ExitCode::from(code(error))
}

/// Wrong usage is what a person can correct before any work: a setting, or the name of a model or run that is not there. A
/// file that is there and damaged is a failure, whichever command reads it.
fn code(error: &anyhow::Error) -> u8 {
    let is_usage = |cause: &(dyn std::error::Error + 'static)| {
        let model = cause.downcast_ref::<ModelError>();
        let run = cause.downcast_ref::<TrainError>();
        let record = cause.downcast_ref::<RecordError>();
        cause.is::<Usage>()
            || matches!(model, Some(ModelError::NoModel { .. }))
            || matches!(
                run,
                Some(TrainError::NotARun { .. } | TrainError::Model(ModelError::NoModel { .. }))
            )
            || matches!(record, Some(RecordError::NotARun { .. }))
    };
    if error.chain().any(is_usage) {
        WRONG_USAGE
    } else {
        FAILED
    }
}

/// The error as the last object of `--json`.
pub fn report_json(error: &anyhow::Error) {
    let lines = lines(error)
        .into_iter()
        .map(|line| shortened(&printable(&line)));
    let lines: Vec<String> = lines.collect();
    let (message, because) = lines
        .split_first()
        .map_or(("", &[][..]), |(m, b)| (m.as_str(), b));
    let fields = serde_json::json!({
        "message": message,
        "because": because,
        "hint": hint(error),
        "exit_code": code(error),
    });
    // Standard error has it as well.
    let _ = output::event("error", fields);
}

fn hint(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| {
        let hinted = cause
            .downcast_ref::<Hinted>()
            .map(|hinted| hinted.hint.as_str());
        hinted.or_else(|| cause.downcast_ref::<Usage>().and_then(Usage::hint_text))
    })
}

/// The messages of the chain, without those that an outer message already quotes.
fn lines(error: &anyhow::Error) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string().trim().to_string();
        if !text.is_empty() && !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    lines
}

/// A panic is a bug of ours: say so with what a report needs, instead of a backtrace.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        // The failure of a device, or of a library that panics at a damaged file, which is reported where it is answered for.
        if granule::device::answers_for(panic) || granule::io::answers_for_panics() {
            return;
        }
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic
            .location()
            .map(|at| format!(" ({}:{})", at.file(), at.line()));
        output::note(&format!(
            "{} this is a bug in granule {}: {message}{}\n{} please report it with the command line you typed: {}/issues",
            paint(Paint::Error, "error:", Stream::Stderr),
            env!("CARGO_PKG_VERSION"),
            place.unwrap_or_default(),
            paint(Paint::Good, "hint:", Stream::Stderr),
            env!("CARGO_PKG_REPOSITORY"),
        ));
    }));
}

/// An allocation that fails in a library or a thread, where nothing can answer for it, aborts the process by a signal: it
/// ends with the exit code of any other failure instead, and says what helps.
#[cfg(unix)]
pub fn install_abort_handler() {
    use std::io::Write;
    use std::mem::ManuallyDrop;
    use std::os::fd::FromRawFd;

    const TEXT: &[u8] = b"error: granule was aborted, as happens when memory or the stack runs out\n\
        hint: use less of the data, smaller batches or a smaller model, or raise the limit (ulimit -v, ulimit -s, --memory)\n";
    let end = || {
        // SAFETY: 2 is standard error, which stays open: the file is not dropped.
        #[allow(unsafe_code)]
        let mut out = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(2) });
        let _ = out.write_all(TEXT);
        signal_hook::low_level::exit(i32::from(FAILED));
    };
    // SAFETY: the handler writes a constant and exits; it neither allocates nor waits for a lock.
    #[allow(unsafe_code)]
    let registered = unsafe { signal_hook::low_level::register(signal_hook::consts::SIGABRT, end) };
    // Without it an abort is an abort.
    drop(registered);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_already_quoted_is_not_repeated() {
        let error = anyhow::anyhow!("no such file")
            .context("cannot read a.png: no such file")
            .context("cannot predict");
        assert_eq!(
            lines(&error),
            ["cannot predict", "cannot read a.png: no such file"]
        );
    }

    #[test]
    fn usage_is_found_below_contexts() {
        let error = anyhow::Error::new(Usage::new("unknown key").hint("did you mean x?"))
            .context("in a.toml");
        assert_eq!(hint(&error), Some("did you mean x?"));
    }
}
