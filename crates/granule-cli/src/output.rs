//! Standard output and standard error: a reader that has gone away is no error.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::builder::styling::{AnsiColor, Style};
pub use granule::io::words::{counted, grouped};

static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes one line to standard output; silently nothing once its reader has gone.
pub fn line(text: &str) -> anyhow::Result<()> {
    if STDOUT_CLOSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            STDOUT_CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        other => other.context("cannot write to standard output"),
    }
}

/// Writes a value as one line of JSON to standard output, without a copy of all of it; silently nothing once its reader
/// has gone.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    if STDOUT_CLOSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer(&mut stdout, value).map_err(io::Error::from);
    match written
        .and_then(|()| writeln!(stdout))
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            STDOUT_CLOSED.store(true, Ordering::Relaxed);
            // What is still held back has no reader.
            let _ = stdout.into_parts();
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(error).context("cannot write the result as JSON")
        }
        other => other.context("cannot write to standard output"),
    }
}

/// Writes an object that tells of an event as one line of JSON to standard output, its name first.
pub fn event(name: &str, fields: serde_json::Value) -> anyhow::Result<()> {
    json(&named(name, fields))
}

/// An object that tells of an event, its name first.
pub fn named(name: &str, fields: serde_json::Value) -> impl serde::Serialize {
    #[derive(serde::Serialize)]
    struct Named<'a> {
        event: &'a str,
        #[serde(flatten)]
        fields: serde_json::Value,
    }
    Named {
        event: name,
        fields,
    }
}

/// Writes one line to standard error. There is nowhere to report a failure, so it is ignored.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// `1,234`, or `1.2` where whole numbers say too little.
pub fn rate(per_second: f64) -> String {
    if per_second < 10.0 {
        format!("{per_second:.1}")
    } else {
        grouped(per_second.round() as usize)
    }
}

/// `warning: …` on standard error.
pub fn warn(text: &str) {
    let text = printable(text);
    note(&format!(
        "{} {text}",
        paint(Paint::Warning, "warning:", Stream::Stderr)
    ));
}

/// Text that may come from a file of someone else's, without what a terminal would obey; lines stay lines.
pub fn printable(text: &str) -> String {
    let lines = text.split('\n').map(granule::io::words::printable);
    lines.collect::<Vec<_>>().join("\n")
}

#[derive(Clone, Copy)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy)]
pub enum Paint {
    Strong,
    Dim,
    Good,
    Bar,
    Warning,
    Error,
}

/// Whether a stream shows colour: a terminal that can, unless NO_COLOR is set.
pub fn coloured(stream: Stream) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let terminal = match stream {
        Stream::Stdout => io::stdout().is_terminal(),
        Stream::Stderr => io::stderr().is_terminal(),
    };
    terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The text in a style where the stream shows colour, else as it is.
pub fn paint(paint: Paint, text: &str, stream: Stream) -> String {
    if !coloured(stream) {
        return text.to_string();
    }
    let style = match paint {
        Paint::Strong => Style::new().bold(),
        Paint::Dim => Style::new().dimmed(),
        Paint::Good => AnsiColor::Green.on_default().bold(),
        Paint::Bar => AnsiColor::Cyan.on_default(),
        Paint::Warning => AnsiColor::Yellow.on_default().bold(),
        Paint::Error => AnsiColor::Red.on_default().bold(),
    };
    format!("{style}{text}{style:#}")
}

/// A duration in the unit a reader would choose: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Rows as aligned columns, two spaces apart.
pub fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, &width)| format!("{cell:<width$}  "))
            .collect();
        line.trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub use granule::io::words::quoted;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_not_printed() {
        assert_eq!(
            printable("a\u{1b}]0;x\u{7}\r\u{9b}2J\té\nb"),
            "a\u{fffd}]0;x\u{fffd}\u{fffd}\u{fffd}2J\u{fffd}é\nb"
        );
    }

    #[test]
    fn columns_align_by_characters() {
        let rows = [["é", "b", "c"], ["aaa", "", ""]];
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.map(String::from).to_vec())
            .collect();
        assert_eq!(columns(&rows), "é    b  c\naaa");
    }

    #[test]
    fn durations_take_a_readable_unit() {
        assert_eq!(duration(0.44), "0.4 s");
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(185.0), "3 min 05 s");
        assert_eq!(duration(7_625.0), "2 h 07 min");
    }
}
