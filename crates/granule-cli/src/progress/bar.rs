//! A bar below the lines that stay.

use std::time::{Duration, Instant};

use console::Term;
use granule::train::{Event, StepEvent};
use indicatif::{ProgressBar, ProgressStyle};

use super::View;
use super::lines::{Unit, counter, sentence, shown};
use crate::output::{self, Paint, Stream, coloured, grouped, note, paint, rate};

/// Columns of the bar.
const SHORTEST: usize = 8;
const LONGEST: usize = 40;

/// Time between two changes of the text beside the bar.
const PERIOD: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Bar {
    bar: Option<ProgressBar>,
    changed: Option<Instant>,
    unit: Unit,
}

impl View for Bar {
    fn show(&mut self, event: &Event<'_>) {
        self.unit = Unit::of(event).unwrap_or(self.unit);
        match event {
            Event::Start(_) => {
                note(&format!(
                    "{}\n",
                    sentence(event, self.unit).unwrap_or_default()
                ));
            }
            Event::Step(step) => self.step(step),
            Event::Evaluated { done, total } => self.evaluated(*done, *total),
            Event::Warning { text } => match &self.bar {
                Some(bar) => bar.suspend(|| output::warn(text)),
                None => output::warn(text),
            },
            Event::Interrupted { .. } | Event::Result(_) => self.clear(),
            _ => {
                if let Some(text) = sentence(event, self.unit) {
                    self.above(&text);
                }
            }
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Bar {
    fn above(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn step(&mut self, step: &StepEvent) {
        let fraction = step.global_step as f64 / step.total_steps.max(1) as f64;
        let label = format!("epoch {}", counter(step.epoch, step.epochs));
        let [long, short] = self.unit.speed();
        self.draw(&label, fraction, || {
            let images = rate(step.images_per_second);
            let left = format!("{} left", clock(step.remaining_seconds));
            let facts = |accuracy: &str, unit: &str| {
                let accuracy = step
                    .accuracy
                    .map(|share| format!("{accuracy} {:.1} %", share * 100.0));
                let loss = Some(format!("loss {}", shown(step.mean_loss)));
                let images = Some(format!("{images} {unit}"));
                let all = [loss, accuracy, Some(left.clone()), images];
                all.into_iter().flatten().collect()
            };
            [facts("accuracy", long), facts("acc", short)]
        });
    }

    fn evaluated(&mut self, done: usize, total: usize) {
        let fraction = done as f64 / total.max(1) as f64;
        self.draw("test", fraction, || {
            let of = format!("{} of {} samples", grouped(done), grouped(total));
            [vec![of], Vec::new()]
        });
    }

    fn draw(&mut self, label: &str, fraction: f64, facts: impl FnOnce() -> [Vec<String>; 2]) {
        let due = self
            .changed
            .is_none_or(|changed| changed.elapsed() >= PERIOD);
        if due {
            self.changed = Some(Instant::now());
            let width = usize::from(Term::stderr().size().1);
            let bar = self.bar.get_or_insert_with(empty);
            bar.set_message(line(label, fraction, &facts(), width));
        }
    }
}

fn empty() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// A label, a bar, a percentage, and the first list of facts that fits into the width; else what fits of the last.
fn line(label: &str, fraction: f64, facts: &[Vec<String>; 2], width: usize) -> String {
    let percent = format!("{:>3.0} %", (fraction * 100.0).floor());
    let around = label.chars().count() + percent.len() + 3;
    let mut room = width.saturating_sub(around + SHORTEST);
    let size = |fact: &String| fact.chars().count() + 2;
    let [long, short] = facts;
    let chosen = if long.iter().map(size).sum::<usize>() <= room {
        long
    } else {
        short
    };
    let mut tail = String::new();
    for fact in chosen {
        match room.checked_sub(size(fact)) {
            Some(rest) => room = rest,
            None => break,
        }
        tail.push_str("  ");
        tail.push_str(fact);
    }
    let length = (SHORTEST + room).min(LONGEST);
    let done = ((fraction * length as f64) as usize).min(length);
    let (full, rest) = ("━".repeat(done), "━".repeat(length - done));
    if coloured(Stream::Stderr) {
        format!(
            "{label} {}{} {percent}{tail}",
            paint(Paint::Bar, &full, Stream::Stderr),
            paint(Paint::Dim, &rest, Stream::Stderr),
        )
    } else {
        format!(
            "{label} {full}{} {percent}{tail}",
            " ".repeat(length - done)
        )
    }
}

/// Remaining time in a width that does not jump: 0:07, 12:30, 1:02:03.
fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).ceil() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_exceeds_the_terminal() {
        let facts = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
        let facts = [
            facts(&[
                "loss 0.1234",
                "accuracy 98.7 %",
                "1:23 left",
                "12,345 images/s",
            ]),
            facts(&["loss 0.1234", "acc 98.7 %", "1:23 left", "12,345 img/s"]),
        ];
        for width in 20..200 {
            for fraction in [0.0, 0.5, 1.0] {
                let line = line("epoch 10/10", fraction, &facts, width);
                assert!(line.chars().count() < width.max(30), "{width}: {line}");
                let facts = ["loss", "acc", "left", "/s"];
                let shown = facts.iter().filter(|fact| line.contains(*fact)).count();
                assert!(shown == 4 || width < 80, "{width}: {line}");
                assert!(line.contains("images/s") || width < 100, "{width}: {line}");
            }
        }
    }

    #[test]
    fn remaining_time_is_a_clock() {
        assert_eq!(clock(0.2), "0:01");
        assert_eq!(clock(750.0), "12:30");
        assert_eq!(clock(3723.0), "1:02:03");
        assert_eq!(clock(f64::NAN), "0:00");
    }
}
